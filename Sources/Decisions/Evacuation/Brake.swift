import Fleet

/// Holds fencing and evacuation back when the fault may be our own.
public enum Brake {
    /// After our own start nothing is fenced for this long: what we see first may be what we missed.
    public static let quietAfterStart = Duration.seconds(120)
    /// Between two fences.
    public static let quietBetweenFences = Duration.seconds(60)
    /// Fleets up to this size act on one host at a time, and only with a witness.
    public static let smallFleet = 3

    /// What the brake looks at.
    public struct Situation: Hashable, Sendable {
        /// The state of every host of the fleet.
        public var states: [HostState]
        /// Whether a gateway or witness answers us; nil where none is named.
        public var witnessAnswers: Bool?
        /// The monotonic clock.
        public var now: Duration
        /// When our process started.
        public var startedAt: Duration
        /// The last fence of another host.
        public var lastFence: Duration?
        /// How long we are quiet after our own start.
        public var quietAfterStart: Duration

        /// A situation.
        public init(
            states: [HostState], witnessAnswers: Bool?, now: Duration, startedAt: Duration, lastFence: Duration? = nil,
            quietAfterStart: Duration = Brake.quietAfterStart
        ) {
            self.quietAfterStart = quietAfterStart
            self.states = states
            self.witnessAnswers = witnessAnswers
            self.now = now
            self.startedAt = startedAt
            self.lastFence = lastFence
        }
    }

    /// How many hosts of so many may be in trouble while we still act: one up to three hosts, above that 30 % rounded down.
    public static func troubleMaximum(of hosts: Int) -> Int { hosts <= smallFleet ? 1 : hosts * 3 / 10 }

    /// Why nothing may be fenced or evacuated now, or nil.
    ///
    /// Suspect hosts count as in trouble: when our own link fails, hosts are missed one after the other. Evacuated ones do not: they are
    /// dealt with.
    public static func hold(_ situation: Situation) -> String? {
        let count = situation.states.count { $0 != .evacuated }
        let trouble = situation.states.count {
            switch $0 {
            case .suspect, .unreachable, .unprovable, .fencing, .fenced, .evacuating: true
            case .healthy, .evacuated, .returning: false
            }
        }
        let limit = troubleMaximum(of: count)
        if trouble > limit { return "\(trouble) of \(count) hosts are in trouble, more than \(limit): the fault may be ours" }
        if situation.witnessAnswers == false { return "our gateway or witness does not answer: the fault may be ours" }
        if count <= smallFleet, situation.witnessAnswers == nil {
            return "with \(count) hosts a gateway or witness must answer us, and none is named"
        }
        let age = situation.now - situation.startedAt
        if age < situation.quietAfterStart {
            return "Steward started \(spoken(age)) ago; quiet for \(spoken(situation.quietAfterStart))"
        }
        if let last = situation.lastFence, situation.now - last < quietBetweenFences {
            return "another host was fenced \(spoken(situation.now - last)) ago; quiet for \(spoken(quietBetweenFences))"
        }
        return nil
    }
}

/// Judges a host's storage lease by our own successful reads alone.
///
/// The rule is sanlock's: a lease is dead when two of our reads, far enough apart on our clock, found the same record; a reader that was
/// delayed has proven nothing by the time it lost.
public struct LeaseWatch: Hashable, Sendable {
    /// What a lease record says.
    public struct Record: Hashable, Sendable {
        /// Raised by each renewal.
        public let counter: UInt64
        /// Whether a watchdog was armed at the renewal.
        public let isWatchdogArmed: Bool
        /// After how long without a renewal the host gives its guests up.
        public let leaseTime: Duration
        /// How long the watchdog then takes to reset the host.
        public let watchdogTime: Duration

        /// A record.
        public init(counter: UInt64, isWatchdogArmed: Bool, leaseTime: Duration, watchdogTime: Duration) {
            self.counter = counter
            self.isWatchdogArmed = isWatchdogArmed
            self.leaseTime = leaseTime
            self.watchdogTime = watchdogTime
        }
    }

    /// Added to the host's own times: its clock may run slower than ours, and a reset takes a moment.
    public static let margin = Duration.seconds(10)

    private var record: Record?
    private var firstSeen = Duration.zero

    /// A watch that has read nothing.
    public init() {}

    /// Takes one successful read, by the times on our clock at which it began and ended; an event where something is to be concluded.
    public mutating func read(_ new: Record, began: Duration, ended: Duration) -> HostEvent? {
        guard let old = record, old == new else {
            let isRenewal = record != nil
            record = new
            // From the end: the record may have been written at any time up to then.
            firstSeen = ended
            return isRenewal ? .leaseRenewed : nil
        }
        guard began - firstSeen >= old.leaseTime + old.watchdogTime + LeaseWatch.margin else { return nil }
        return .leaseExpired(isContract: old.isWatchdogArmed)
    }
}
