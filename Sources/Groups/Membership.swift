public import Decisions
public import Fleet
public import Plans

/// A member's health, as the checks of a policy found it.
public struct MemberHealth: Hashable, Sendable {
    /// Since when it fails, on the monotonic clock; nil where it is well or not known.
    public var unhealthySince: Duration?
    /// Whether libvirt's counters of it still move; nil where that is not known.
    public var countersMove: Bool?

    /// A member's health.
    public init(unhealthySince: Duration?, countersMove: Bool?) {
        self.unhealthySince = unhealthySince
        self.countersMove = countersMove
    }
}

/// What open plans do with guests.
struct OpenWork {
    /// Guests that an approved plan makes, and whether it has begun with them.
    var launching: [GuestID: Bool] = [:]
    /// Guests that an approved plan stops or clears away.
    var retiring: Set<GuestID> = []
    /// Guests that another decider holds.
    var held: Set<GuestID> = []

    init(_ plans: [Executor.OpenPlan], policy: String) {
        for open in plans {
            let isMine = open.plan.decider == .scaling && open.plan.policy == policy
            for (step, state) in zip(open.plan.steps, open.steps) {
                guard let guest = step.action.guest else { continue }
                guard isMine else {
                    held.insert(guest)
                    continue
                }
                // A plan that waits for an operator has done nothing yet: the next tick may propose a better one.
                guard open.isApproved else { continue }
                var hasBegun = true
                if case .waiting(attempts: 0, _, _) = state { hasBegun = false }
                switch step.action {
                case .createOverlay, .createSeed, .define, .start, .awaitHealth:
                    launching[guest] = (launching[guest] ?? false) || hasBegun
                case .shutdown, .destroy, .undefine, .deleteVolume, .quarantineVolume, .awaitDrain: retiring.insert(guest)
                default: break
                }
            }
        }
    }
}

/// Who belongs to a group, and where each stands.
enum Membership {
    /// How long a member must be listed nowhere, with every host answering, before it counts as gone.
    ///
    /// Lists of guests that are shut off may be this old.
    static let goneAfter = Duration.seconds(30)

    /// Reconciles what is known with what is seen, and returns every member not proven gone.
    static func members(_ view: GroupView, _ state: inout GroupState, _ memory: inout GroupMemory) -> [GroupMember] {
        learn(view, &state)
        var result: [GroupMember] = []
        for known in state.members {
            let sights = view.fleet.guests.filter { $0.guest == known.guest }
            let sight = sights.first { $0.isActive } ?? sights.first
            guard let standing = standing(known, sight, view, &memory) else {
                state.forget(known.guest)
                memory.missingSince[known.guest] = nil
                continue
            }
            if let sight, sight.host != known.host {
                var moved = known
                moved.host = sight.host
                state.put(moved)
            }
            let host = sight?.host ?? known.host
            var member = GroupMember(
                known.guest, standing, host: host, zone: view.fleet.host(host)?.zone, launchedAt: view.now.uptime(of: known.launchedAt),
                isOurs: known.isOurs)
            member.isMoving = sight?.isMoving == true || view.work.held.contains(known.guest)
            if standing == .unhealthy || standing == .inService, let health = view.health[known.guest] {
                member.unhealthySince = health.unhealthySince
                member.countersMove = health.countersMove
            }
            result.append(member)
        }
        return result
    }

    /// Guests whose metadata names the group become members; only a number or an operator makes them ours.
    private static func learn(_ view: GroupView, _ state: inout GroupState) {
        for sight in view.fleet.guests where sight.group == view.policy.group {
            guard let known = state.member(sight.guest) else {
                // Found in service: it is not new, so it has no warm-up.
                let age = view.now.wall - max(view.policy.warmup, .seconds(1))
                state.put(KnownMember(sight.guest, host: sight.host, launchedAt: age, stage: .present))
                continue
            }
            if known.stage == .launching, view.work.launching[sight.guest] == nil, sight.isActive {
                var present = known
                present.stage = .present
                state.put(present)
            }
        }
    }

    /// Where a member stands; nil where it is proven gone.
    private static func standing(
        _ known: KnownMember, _ sight: GuestSight?, _ view: GroupView, _ memory: inout GroupMemory
    ) -> GroupMember.State? {
        let guest = known.guest
        if view.work.retiring.contains(guest) { return .draining }
        if let hasBegun = view.work.launching[guest] {
            memory.missingSince[guest] = nil
            return hasBegun ? .starting : .wanted
        }
        if known.stage == .failed { return .failed }
        guard let sight else {
            // Nowhere to be seen: gone only if every host says so for long enough.
            guard view.fleet.isWhole else {
                memory.missingSince[guest] = nil
                return .unknown
            }
            let since = memory.missingSince[guest] ?? view.now.uptime
            memory.missingSince[guest] = since
            guard view.now.uptime - since >= goneAfter else { return .unknown }
            // What we made leaves volumes behind, which are cleared away like those of a launch that failed.
            return known.volumes == nil ? nil : .failed
        }
        memory.missingSince[guest] = nil
        guard sight.isActive else { return .failed }
        if view.now.wall - known.launchedAt < view.policy.warmup { return .warming }
        if view.health[guest]?.unhealthySince != nil { return .unhealthy }
        return .inService
    }
}

/// All that a group's tick looks at.
public struct GroupView: Sendable {
    /// The policy.
    public var policy: ScalingPolicy
    /// The fleet.
    public var fleet: FleetSight
    /// Health by guest; guests without a known address are not in it.
    public var health: [GuestID: MemberHealth]
    /// One measurement for each target, then one for each step rule.
    public var measurements: [Measurement]
    /// The executor's open plans.
    public var plans: [Executor.OpenPlan]
    /// What a member costs in an hour.
    public var memberPricePerHour: Money?
    /// The time zones of the schedule.
    public var zones: [ZoneOffsets]
    /// Now.
    public var now: Moment

    var work: OpenWork

    /// A view.
    public init(
        policy: ScalingPolicy, fleet: FleetSight, health: [GuestID: MemberHealth], measurements: [Measurement],
        plans: [Executor.OpenPlan], memberPricePerHour: Money?, zones: [ZoneOffsets], now: Moment
    ) {
        self.policy = policy
        self.fleet = fleet
        self.health = health
        self.measurements = measurements
        self.plans = plans
        self.memberPricePerHour = memberPricePerHour
        self.zones = zones
        self.now = now
        work = OpenWork(plans, policy: policy.name)
    }
}
