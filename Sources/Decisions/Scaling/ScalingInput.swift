public import Fleet

/// One member of a group, wanted or there.
public struct GroupMember: Hashable, Sendable {
    /// The guest; a wanted member has its UUID before it exists.
    public var guest: GuestID
    /// Where it stands.
    public var state: State
    /// Its host.
    public var host: HostName?
    /// Its zone.
    public var zone: String?
    /// When it was launched, on the monotonic clock.
    public var launchedAt: Duration
    /// Whether its creation is in our journal, or an operator had it adopted: only such a member is ever stopped.
    public var isOurs: Bool
    /// Until when it must not be stopped, on the monotonic clock; a protection always ends.
    public var protectedUntil: Duration?
    /// Whether it says that it is at work which must not be cut off.
    public var isBusy = false
    /// Whether a migration or another job holds it.
    public var isMoving = false
    /// Since when it fails its health check.
    public var unhealthySince: Duration?
    /// Whether libvirt's counters of it still move; nil where that is not known.
    public var countersMove: Bool?

    /// Where a member stands.
    ///
    /// Only a member that was proven gone is left out of the list altogether.
    public enum State: String, Hashable, Sendable, CaseIterable {
        /// In an open plan, not begun.
        case wanted
        /// Being made.
        case starting
        /// Serving, and too young for the metric.
        case warming
        /// Serving.
        case inService
        /// Failing its health check.
        case unhealthy
        /// On its way out.
        case draining
        /// Half made, crashed or stopped.
        case failed
        /// On a host that does not answer.
        case unknown

        /// Whether it counts as capacity: neither leaving nor failed.
        public var isCapacity: Bool {
            switch self {
            case .wanted, .starting, .warming, .inService, .unhealthy, .unknown: true
            case .draining, .failed: false
            }
        }
        /// Whether it is on its way in: capacity that the metric does not show.
        public var isPending: Bool {
            switch self {
            case .wanted, .starting, .warming: true
            case .inService, .unhealthy, .unknown, .draining, .failed: false
            }
        }
        /// Whether the metric should show it.
        public var isMeasured: Bool { isCapacity && !isPending }
    }

    /// A member.
    public init(
        _ guest: GuestID, _ state: State, host: HostName? = nil, zone: String? = nil, launchedAt: Duration = .zero, isOurs: Bool = true
    ) {
        self.guest = guest
        self.state = state
        self.host = host
        self.zone = zone
        self.launchedAt = launchedAt
        self.isOurs = isOurs
    }
}

/// A query's value, and on what it rests.
public struct Measurement: Hashable, Sendable {
    /// The value; nil where the result was empty, NaN or several series.
    public var value: Double?
    /// Guests with a fresh sample that the query's selectors matched; nil for a source that knows no members.
    public var membersMatched: Int?
    /// The age of the oldest sample used.
    public var oldest: Duration?
    /// Why there is no value.
    public var failure: String?

    /// A measurement.
    public init(_ value: Double?, membersMatched: Int? = nil, oldest: Duration? = nil, failure: String? = nil) {
        self.value = value.flatMap { $0.isFinite ? $0 : nil }
        self.membersMatched = membersMatched
        self.oldest = oldest
        self.failure = failure
    }
}

/// A recommendation of an earlier tick.
public struct Recommendation: Hashable, Sendable {
    /// When, on the monotonic clock.
    public let at: Duration
    /// The size that was recommended before stabilization.
    public let size: Int

    /// A recommendation.
    public init(at: Duration, size: Int) {
        self.at = at
        self.size = size
    }
}

/// A change of a group's size that was begun.
public struct SizeChange: Hashable, Sendable {
    /// When, on the monotonic clock.
    public let at: Duration
    /// Launches positive, terminations negative.
    public let delta: Int

    /// A change.
    public init(at: Duration, delta: Int) {
        self.at = at
        self.delta = delta
    }
}

/// All that a scaling decision rests on.
public struct ScalingInput: Hashable, Sendable {
    /// Now.
    public var now: Moment
    /// Every member not proven gone.
    public var members: [GroupMember]
    /// One for each of the policy's targets, in its order.
    public var targets: [Measurement]
    /// One for each of the policy's step rules, in its order.
    public var steps: [Measurement] = []
    /// What earlier ticks recommended, oldest first, at least as far back as the longest window.
    public var recommendations: [Recommendation] = []
    /// What was changed, oldest first, at least as far back as the longest period of a limit.
    public var changes: [SizeChange] = []
    /// What one member costs in an hour; nil where the price book has no price.
    public var memberPricePerHour: Money?
    /// Creations that failed since the last that succeeded.
    public var failuresInARow = 0
    /// The last of them, on the monotonic clock.
    public var lastFailure: Duration?
    /// How many members could be added with every host's loss still placeable; nil where that was not computed.
    public var roomKeepingFailover: Int?
    /// What the forecast asks for.
    public var forecast: Int?
    /// What an operator asks for, until it is taken back.
    public var operatorSize: Int?
    /// The time zones of the schedule, by name.
    public var zones: [ZoneOffsets] = []

    /// An input without history.
    public init(now: Moment, members: [GroupMember], targets: [Measurement]) {
        self.now = now
        self.members = members
        self.targets = targets
    }
}
