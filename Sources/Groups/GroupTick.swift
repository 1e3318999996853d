public import Decisions
public import Fleet
public import Plans

/// What a tick wants done, before it has a plan's number.
public struct GroupProposal: Hashable, Sendable {
    /// The steps.
    public var steps: [Step]
    /// Why, most important first.
    public var reasons: [String]
    /// What it would do, in a form that can be compared with another proposal's.
    public var content: [String]
    /// The documents that the steps refer to: to be kept before the plan is handed in.
    public var definitions: [Definition]
    /// The filters that the steps refer to, by name.
    public var filters: [Filter]
    /// Members that it makes.
    public var launches: [GuestID]
    /// Members that it stops or clears away.
    public var retirements: [GuestID]
    /// Disks whose quarantine ends.
    public var deletions: [QuarantinedDisk]

    /// A definition and a seed of a member.
    public struct Definition: Hashable, Sendable {
        /// The member.
        public var guest: GuestID
        /// The domain XML; the step that defines it carries the key ``placeholder(for:)``.
        public var xml: String
        /// The seed's meta-data.
        public var metaData: String
        /// The seed's user-data.
        public var userData: String
    }

    /// A network filter.
    public struct Filter: Hashable, Sendable {
        /// The name.
        public var name: String
        /// The XML.
        public var xml: String
    }

    /// Stands in a step for the digest of a member's definition, which only the store of documents can tell.
    public static func placeholder(for guest: GuestID) -> String { "definition of \(guest)" }

    /// The steps with the digests of their definitions.
    public func steps(digests: [GuestID: String]) -> [Step] {
        steps.map { step in
            guard case .define(let guest, let host, _) = step.action, let digest = digests[guest] else { return step }
            return Step(
                .define(guest, on: host, definition: digest), after: step.after, attempts: step.attempts, deadline: step.deadline,
                isAdvisory: step.isAdvisory)
        }
    }
}

/// What a tick found out about a group.
public struct GroupOutcome: Sendable {
    /// The members that the decision saw.
    public var members: [GroupMember]
    /// The decision with its chain.
    public var decision: ScalingDecision
    /// What is to be done; nil where nothing is.
    public var proposal: GroupProposal?
    /// What could not be done, and the constraint that stood in the way, on each host.
    public var obstacles: [String]
    /// The state, reconciled with what was seen.
    public var stateAfter: GroupState
}

/// One tick of one group: from what is seen to what is to be done.
public enum GroupTick {
    /// How long a plan of scaling may be begun.
    public static let lifetime = Duration.seconds(600)
    /// The least pause between two proposals of the same content.
    public static let repetition = Duration.seconds(600)

    /// Runs a tick.
    ///
    /// - Parameters:
    ///   - blueprint: nil where the template's files could not be read; nothing is launched then.
    ///   - installation: the secret from which identities are worked out.
    public static func run(
        _ view: GroupView, blueprint: MemberBlueprint?, installation: String, state: GroupState, memory: inout GroupMemory
    ) -> GroupOutcome {
        var state = state
        let now = view.now
        let members = Membership.members(view, &state, &memory)
        var input = ScalingInput(now: now, members: members, targets: Array(view.measurements.prefix(view.policy.targets.count)))
        input.steps = Array(view.measurements.dropFirst(view.policy.targets.count))
        input.recommendations = memory.recommendations
        state.changes.removeAll { now.wall - $0.at > .seconds(86_400) }
        input.changes = state.changes.map { SizeChange(at: now.uptime(of: $0.at), delta: $0.delta) }
        input.memberPricePerHour = view.memberPricePerHour
        input.failuresInARow = state.failuresInARow
        input.lastFailure = state.lastFailure.map { now.uptime(of: $0) }
        input.operatorSize = state.operatorSize
        input.zones = view.zones
        if view.policy.keepsFailover, let blueprint {
            let board = Site.board(view, blueprint: blueprint)
            let copy = Site.guest(GuestID(high: 0, low: 0), view, blueprint)
            input.roomKeepingFailover = Placement.roomKeepingFailover(for: copy, on: board, limit: view.policy.max)
        }
        let decision = Scaling.decide(view.policy, input)
        remember(decision, view, &memory)
        var draft = Draft(view: view, blueprint: blueprint, installation: installation, state: state)
        if state.pausedBy == nil {
            for guest in decision.terminations { draft.retire(guest, drain: true, why: "stops") }
            for guest in decision.replacements { draft.retire(guest, drain: true, why: "replaces unhealthy") }
            for guest in decision.cleanups { draft.retire(guest, drain: false, why: "clears away") }
            draft.launch(decision.launches)
            draft.endQuarantine()
        } else if decision.launches > 0 || !decision.terminations.isEmpty {
            draft.obstacles.append("paused by \(state.pausedBy ?? "nobody"): nothing is done")
        }
        return GroupOutcome(
            members: members, decision: decision, proposal: draft.proposal(decision), obstacles: draft.obstacles,
            stateAfter: draft.state)
    }

    private static func remember(_ decision: ScalingDecision, _ view: GroupView, _ memory: inout GroupMemory) {
        memory.recommendations.append(Recommendation(at: view.now.uptime, size: decision.recommendation))
        let window = max(view.policy.scaleIn.stabilization, view.policy.scaleOut.stabilization)
        // One older than the window is kept, which shows that the window was seen whole.
        while memory.recommendations.count > 2, memory.recommendations[1].at < view.now.uptime - window {
            memory.recommendations.removeFirst()
        }
    }
}

/// Where a member may go.
enum Site {
    static func guest(_ guest: GuestID, _ view: GroupView, _ blueprint: MemberBlueprint) -> PlacementGuest {
        var placed = PlacementGuest(guest, vcpus: Double(blueprint.vcpus), memory: blueprint.memory)
        placed.group = view.policy.group
        placed.zones = blueprint.template.zones
        placed.pools = [imagePool(blueprint.template.image)]
        return placed
    }

    /// A pool that is named by what it must hold.
    static func imagePool(_ image: String) -> String { "with image \(image)" }

    static func board(_ view: GroupView, blueprint: MemberBlueprint) -> Board {
        let hosts = view.fleet.hosts.map { host in
            var site = PlacementHost(host.name, zone: host.zone, cpus: Double(host.cpus ?? 0), memory: host.memory)
            site.isAvailable = host.isUp && host.cpus != nil
            site.isCordoned = !host.allowsActions
            site.pools = host.images.map { imagePool($0.name) }
            return site
        }
        let guests = view.fleet.guests.filter(\.isActive).map { sight in
            var guest = PlacementGuest(sight.guest, host: sight.host, vcpus: Double(sight.vcpus), memory: sight.memory)
            guest.group = sight.group
            return guest
        }
        return Board(hosts: hosts, guests: guests)
    }
}

/// A proposal that is being written.
private struct Draft {
    let view: GroupView
    let blueprint: MemberBlueprint?
    let installation: String
    let state: GroupState
    var steps: [Step] = []
    var content: [String] = []
    var reasons: [String] = []
    var obstacles: [String] = []
    var definitions: [GroupProposal.Definition] = []
    var filters: [GroupProposal.Filter] = []
    var launches: [GuestID] = []
    var retirements: [GuestID] = []
    var deletions: [QuarantinedDisk] = []

    init(view: GroupView, blueprint: MemberBlueprint?, installation: String, state: GroupState) {
        self.view = view
        self.blueprint = blueprint
        self.installation = installation
        self.state = state
    }

    mutating func add(_ action: Action, after: [Int], attempts: Int = 1, deadline: Duration = .seconds(120), isAdvisory: Bool = false)
        -> Int
    {
        steps.append(Step(action, after: after, attempts: attempts, deadline: deadline, isAdvisory: isAdvisory))
        return steps.count - 1
    }

    func proposal(_ decision: ScalingDecision) -> GroupProposal? {
        guard !steps.isEmpty else { return nil }
        let why = decision.binding.map { ["\($0.stage.rawValue): \($0.reason)"] } ?? []
        return GroupProposal(
            steps: steps, reasons: why + reasons, content: content, definitions: definitions, filters: filters, launches: launches,
            retirements: retirements, deletions: deletions)
    }

    // MARK: Scale-out

    /// How long a new member may take until it answers: a slow boot is no failed one.
    private let healthDeadline = Duration.seconds(300)

    mutating func launch(_ count: Int) {
        guard count > 0 else { return }
        guard let blueprint else {
            obstacles.append("\(count) would be launched, but the policy has no template that can be used")
            return
        }
        var board = Site.board(view, blueprint: blueprint)
        // Members on their way in are not listed by their hosts yet, and take their room all the same.
        for known in state.members where !view.fleet.guests.contains(where: { $0.guest == known.guest }) {
            board.put(Site.guest(known.guest, view, blueprint), on: known.host)
        }
        var number = state.nextNumber
        for _ in 0..<count {
            let identity = MemberIdentity(installation: installation, group: view.policy.group, number: number)
            let placed = Site.guest(identity.guest, view, blueprint)
            switch board.place(placed) {
            case .infeasible(let refusals):
                let words = refusals.map { "\($0.host): \(refusalWords($0))" }.joined(separator: "; ")
                obstacles.append("no host for a new member: \(words.isEmpty ? "there is no host" : words)")
                return
            case .host(let name, let reason):
                board.put(placed, on: name)
                if let obstacle = make(identity, on: name, blueprint, reason) {
                    obstacles.append(obstacle)
                    return
                }
                number += 1
            }
        }
    }

    private func refusalWords(_ refusal: PlacementAnswer.Refusal) -> String {
        if case .cordoned = refusal.constraint { return "its configuration does not allow actions" }
        return "\(refusal.constraint)"
    }

    private mutating func make(_ identity: MemberIdentity, on host: HostName, _ blueprint: MemberBlueprint, _ reason: String) -> String? {
        guard let sight = view.fleet.host(host), let image = sight.images.first(where: { $0.name == blueprint.template.image }) else {
            return "\(host) has no image \(blueprint.template.image)"
        }
        if let twin = view.fleet.guests.first(where: { $0.guest == identity.guest || ($0.name == identity.name && $0.host == host) }) {
            return "\(twin.name) on \(twin.host) has the identity of the next member already; look at it, then steward adopt it"
        }
        let folder = image.path.lastIndex(of: "/").map { String(image.path[...$0]) } ?? ""
        let macs = blueprint.template.networks.indices.map { freeMAC(identity, interface: $0) }
        let filter = blueprint.template.securityGroups.isEmpty ? nil : "steward-\(view.policy.name)"
        let xml: String
        do throws(MemberDefinitionError) {
            xml = try blueprint.definition(
                of: identity, disk: folder + identity.diskVolume, seed: folder + identity.seedVolume, macs: macs,
                domainType: sight.domainType, filter: filter)
        } catch {
            return error.description
        }
        let guest = identity.guest
        var ready: [Int] = []
        if let filter, let definition = MemberBlueprint.composedFilter(name: filter, of: blueprint.template.securityGroups) {
            if !filters.contains(where: { $0.name == filter }) { filters.append(GroupProposal.Filter(name: filter, xml: definition)) }
            ready.append(add(.defineFilter(filter, on: host, owner: guest), after: []))
        }
        let disk = VolumeReference(host: host, pool: image.pool, name: identity.diskVolume)
        let seed = VolumeReference(host: host, pool: image.pool, name: identity.seedVolume)
        let size = max(blueprint.template.diskSize ?? image.capacity, image.capacity)
        ready.append(add(.createOverlay(disk, backing: image.path, size: size, owner: guest), after: [], attempts: 3))
        ready.append(add(.createSeed(seed, owner: guest), after: [], attempts: 3))
        let defined = add(.define(guest, on: host, definition: GroupProposal.placeholder(for: guest)), after: ready, attempts: 3)
        let started = add(.start(guest, on: host, incident: nil), after: [defined], attempts: 2)
        _ = add(.awaitHealth(guest, on: host), after: [started], deadline: max(view.policy.warmup * 2, healthDeadline))
        definitions.append(
            GroupProposal.Definition(
                guest: guest, xml: xml, metaData: blueprint.metaData(of: identity), userData: blueprint.userData))
        launches.append(guest)
        content.append("launch on \(host)")
        reasons.append("launch \(identity.name) on \(host): \(reason)")
        return nil
    }

    /// A MAC address that no guest of the fleet has; nor, with an address worked out from it, one that ends alike.
    private func freeMAC(_ identity: MemberIdentity, interface: Int) -> String {
        let taken = Set(view.fleet.guests.flatMap { $0.macs.map(tail) } + definitions.flatMap { macTails(in: $0.xml) })
        for attempt in 0..<64 {
            let mac = identity.mac(interface: interface, attempt: attempt)
            if !taken.contains(tail(mac)), !tail(mac).hasSuffix("00"), !tail(mac).hasSuffix("ff") { return mac }
        }
        return identity.mac(interface: interface)
    }

    private func tail(_ mac: String) -> String { String(mac.lowercased().suffix(5)) }

    private func macTails(in xml: String) -> [String] {
        (try? XMLElement(parsing: xml))?.child("devices")?.children.filter { $0.name == "interface" }
            .compactMap { $0.child("mac")?["address"].map(tail) } ?? []
    }

    // MARK: Scale-in

    /// Drain, power button, power off, undefine, and the volumes: only those that we made, and only with every host in sight.
    mutating func retire(_ guest: GuestID, drain: Bool, why: String) {
        guard let known = state.member(guest), known.isOurs else {
            obstacles.append("\(guest) is not ours: it is never stopped")
            return
        }
        let sight = view.fleet.guests.first { $0.guest == guest && $0.isActive } ?? view.fleet.guests.first { $0.guest == guest }
        let host = sight?.host ?? known.host
        guard let site = view.fleet.host(host), site.isUp, site.allowsActions else {
            obstacles.append("\(why) \(guest): \(host) does not answer or may not be acted on")
            return
        }
        var last: [Int] = []
        if sight?.isActive == true || sight == nil {
            if drain, sight != nil {
                if view.policy.drain > .zero {
                    last = [add(.awaitDrain(guest, on: host), after: [], deadline: view.policy.drain + .seconds(5), isAdvisory: true)]
                }
                last = [add(.shutdown(guest, on: host), after: last, deadline: .seconds(60), isAdvisory: true)]
            }
            last = [add(.destroy(guest, on: host), after: last, attempts: 3)]
        }
        last = [add(.undefine(guest, on: host, keepingState: false), after: last, attempts: 3)]
        if let volumes = known.volumes {
            if view.fleet.isWhole {
                let seed = VolumeReference(host: host, pool: volumes.pool, name: volumes.seed)
                let disk = VolumeReference(host: host, pool: volumes.pool, name: volumes.disk)
                _ = add(.deleteVolume(seed, owner: guest), after: last, attempts: 3)
                _ = add(.quarantineVolume(disk, owner: guest), after: last, attempts: 3, deadline: .seconds(600))
            } else {
                obstacles.append("the disk \(volumes.disk) of \(guest) is kept: a host that does not answer may use it")
            }
        }
        retirements.append(guest)
        content.append("\(why) \(guest)")
        reasons.append("\(why) \(sight?.name ?? guest.description) on \(host)")
    }

    /// Deletes disks whose quarantine has lasted long enough.
    mutating func endQuarantine() {
        guard view.fleet.isWhole else { return }
        for disk in state.quarantine where view.now.wall - disk.since >= view.policy.quarantine {
            guard view.fleet.host(disk.host)?.allowsActions == true else { continue }
            let volume = VolumeReference(host: disk.host, pool: disk.pool, name: "quarantined-by-steward-\(disk.disk)")
            _ = add(.deleteVolume(volume, owner: disk.guest), after: [])
            deletions.append(disk)
            content.append("delete \(disk.disk)")
            reasons.append("delete \(volume): its quarantine of \(view.policy.quarantine.operatorText) is over")
        }
    }
}
