public import Fleet
public import Plans

/// When balancing acts at all.
public struct BalancePolicy: Hashable, Sendable {
    /// Share of the time that vCPUs waited for a CPU below which a host is left alone: an uneven but happy fleet is a good fleet.
    public var contentionFloor = 0.05
    /// Peak load above the fleet's mean below which nothing is done.
    public var imbalanceFloor = 0.1
    /// Rounds in a row in which both must be seen: a spike is over before.
    public var rounds = 3
    /// The least improvement of the objective that a plan must bring.
    public var gainMinimum = 0.05
    /// Annealing steps for a plan.
    public var annealingSteps = Balancing.annealingSteps

    /// The default policy.
    public init() {}
}

/// Watches over rounds and decides whether a fleet is balanced.
public struct BalanceWatch: Hashable, Sendable {
    /// Rounds in a row in which the fleet was contended and uneven.
    public private(set) var roundsHeld = 0

    /// What a round sees.
    public struct Round: Hashable, Sendable {
        /// The fleet; guests that cool down or are locked are `fixed`.
        public var fleet: BalanceFleet
        /// The share of time that vCPUs waited, by host; nil where it was not measured.
        public var contention: [Contention]
        /// Migrations on their way.
        public var movesInFlight: Int

        /// The contention of a host.
        public struct Contention: Hashable, Sendable {
            /// The host.
            public let host: String
            /// 0…1, or nil.
            public let share: Double?
            /// The contention of a host.
            public init(host: String, share: Double?) {
                self.host = host
                self.share = share
            }
        }

        /// A round.
        public init(fleet: BalanceFleet, contention: [Contention], movesInFlight: Int = 0) {
            self.fleet = fleet
            self.contention = contention
            self.movesInFlight = movesInFlight
        }
    }

    /// What a round decided.
    public enum Decision: Hashable, Sendable {
        /// Nothing, for that reason.
        case still(String)
        /// This plan.
        case plan(BalancePlan)
    }

    /// A watch that has seen nothing.
    public init() {}

    /// Decides one round.
    ///
    /// - Throws: ``BalanceFleetError`` where the fleet's description is wrong.
    public mutating func step(_ round: Round, _ policy: BalancePolicy) throws(BalanceFleetError) -> Decision {
        if round.movesInFlight > 0 { return .still("\(counted(round.movesInFlight, "migration")) on the way: their effect is awaited") }
        for host in round.fleet.hosts {
            guard round.contention.first(where: { $0.host == host.name })?.share != nil else {
                roundsHeld = 0
                return .still("the contention of \(host.name) is unknown, and unknown is not zero")
            }
        }
        let worst = round.contention.max { ($0.share ?? 0, $1.host) < ($1.share ?? 0, $0.host) }
        guard let worst, let share = worst.share, share >= policy.contentionFloor else {
            roundsHeld = 0
            return .still("no host is contended: vCPUs waited at most \(percent(worst?.share ?? 0)) of the time")
        }
        let problem = try BalanceProblem(round.fleet)
        let state = BalanceState(problem)
        let imbalance = state.peakOfAll - (problem.fleetLoad.max() ?? 0)
        guard imbalance >= policy.imbalanceFloor else {
            roundsHeld = 0
            return .still("the load is even: the peak is \(percent(imbalance)) above the mean; \(worst.host) is contended because all are")
        }
        roundsHeld += 1
        guard roundsHeld >= policy.rounds else {
            return .still("uneven and contended for \(counted(roundsHeld, "round")) of \(policy.rounds)")
        }
        let plan = try Balancing.plan(round.fleet, annealingSteps: policy.annealingSteps)
        if let reason = plan.noMoveReason { return .still(reason) }
        let gain = plan.objectiveBefore - plan.objectiveAfter
        guard gain >= policy.gainMinimum else { return .still("no beneficial move: the best plan gains \(decimal(gain, places: 4))") }
        roundsHeld = 0
        return .plan(plan)
    }
}

extension Balancing {
    /// A plan's moves as steps: a move waits for the earlier ones that touch its hosts or its guest, so that every rule holds after each.
    public static func steps(_ moves: [BalanceMove], guest: (String) -> GuestID?) -> [Step] {
        var steps: [Step] = []
        var kept: [BalanceMove] = []
        for move in moves {
            guard let id = guest(move.guest) else { continue }
            let before = kept.indices.filter {
                kept[$0].guest == move.guest || kept[$0].from == move.to || kept[$0].to == move.to || kept[$0].to == move.from
            }
            kept.append(move)
            steps.append(
                Step(
                    .migrate(id, from: HostName(move.from), to: HostName(move.to), .live), after: before, deadline: .seconds(3600)))
        }
        return steps
    }
}

/// How long a guest is left where it is after a migration: longer each time, so that none goes to and fro.
public enum MigrationCooldown {
    /// The shortest.
    public static let base = Duration.seconds(600)
    /// The longest.
    public static let maximum = Duration.seconds(6 * 3600)
    /// The time over which migrations are counted.
    public static let window = Duration.seconds(24 * 3600)

    /// A migration that ended.
    public struct Past: Hashable, Sendable {
        /// When it ended, on the monotonic clock.
        public let ended: Duration
        /// How long it took.
        public let took: Duration
        /// A migration that ended.
        public init(ended: Duration, took: Duration) {
            self.ended = ended
            self.took = took
        }
    }

    /// Until when a guest stays, or nil where it may move: `max(base, last duration) × 2^(n−1)`, capped, n migrations in a day.
    public static func until(_ history: [Past], now: Duration) -> Duration? {
        let recent = history.filter { $0.ended > now - window && $0.ended <= now }
        guard let last = recent.max(by: { $0.ended < $1.ended }) else { return nil }
        let end = last.ended + min(maximum, max(base, last.took) * (1 << min(recent.count - 1, 16)))
        return end > now ? end : nil
    }
}

/// What a live migration will take.
public struct MigrationForecast: Hashable, Sendable {
    /// Passes over the memory, the last with the guest stopped.
    public let passes: Int
    /// From the start to the guest running on the target.
    public let total: Duration
    /// While the guest is stopped.
    public let downtime: Duration
    /// Bytes sent.
    public let sent: Double
    /// Whether the downtime limit is met within the passes allowed.
    public let converges: Bool

    /// Passes after which pre-copy is taken not to converge: libvirt's own jobs stall long before.
    public static let passesMaximum = 50

    /// Forecasts a pre-copy migration; nil where the dirty rate is not known or the link has no rate.
    ///
    /// Each pass sends what was dirtied during the one before, never more than all memory; rates are bytes a second.
    public static func precopy(memory: Bytes, dirtyRate: Double?, linkRate: Double, downtimeLimit: Duration) -> MigrationForecast? {
        guard let dirtyRate, dirtyRate >= 0, linkRate > 0 else { return nil }
        let all = Double(memory.count)
        let limit = Double(downtimeLimit.milliseconds) / 1000
        var left = all
        var seconds = 0.0
        var sent = 0.0
        var passes = 0
        while left / linkRate > limit, passes < passesMaximum {
            let pass = left / linkRate
            seconds += pass
            sent += left
            left = min(all, dirtyRate * pass)
            passes += 1
        }
        let converges = left / linkRate <= limit
        let stop = left / linkRate
        return MigrationForecast(
            passes: passes + 1, total: .milliseconds(Int64((seconds + stop) * 1000)), downtime: .milliseconds(Int64(stop * 1000)),
            sent: sent + left, converges: converges)
    }
}
