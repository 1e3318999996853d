public import Fleet

/// What one lane counted of its own work since it began.
public struct LaneCounters: Hashable, Sendable {
    /// Connections opened.
    public var connects: UInt64 = 0
    /// Calls sent to the host.
    public var calls: UInt64 = 0
    /// Calls that failed, those of a bulk read's companions included.
    public var failures: UInt64 = 0
    /// Requests whose thread was abandoned at the deadline.
    public var abandonedCalls: UInt64 = 0
    /// Abandoned requests that came back after all.
    public var lateAnswers: UInt64 = 0
    /// Ticks for which there is no reading.
    public var missedTicks: UInt64 = 0
    /// Bulk reads published.
    public var reads: UInt64 = 0
    /// Events that the host told.
    public var events: UInt64 = 0

    /// Nothing counted yet.
    public init() {}
}

/// How much of a guest a tick could read.
public enum GuestCondition: String, Hashable, Sendable {
    /// Everything that it answered before.
    case whole
    /// Some groups are missing: something else is busy with it.
    case partial
    /// It is left out because a call hangs on it, or may.
    case stuck
}

/// One guest in a lane's report.
public struct GuestReport: Sendable {
    /// What was read; no parameters where nothing was.
    public let reading: DomainReading
    /// Its description, nil until its XML was read.
    public let description: GuestDescription?
    /// How much of it could be read.
    public let condition: GuestCondition
    /// When it was last read whole.
    public let lastWhole: Timestamp?

    /// A guest in a report.
    public init(reading: DomainReading, description: GuestDescription?, condition: GuestCondition, lastWhole: Timestamp?) {
        self.reading = reading
        self.description = description
        self.condition = condition
        self.lastWhole = lastWhole
    }
}

/// What a lane makes known at a tick.
public struct LaneReport: Sendable {
    /// The host.
    public let host: HostName
    /// When its figures were read; for a silent host, when it was found silent.
    public let time: Timestamp
    /// Whether the host answered this tick.
    public let isUp: Bool
    /// Why it did not, where that is known.
    public let failure: HypervisorError?
    /// The host, once it was reached.
    public let description: HostDescription?
    /// The active guests, sorted by identity; empty for a silent host, since nothing is known of them.
    public let guests: [GuestReport]
    /// The inactive guests at their last listing, sorted by identity.
    public let inactive: [DomainReading]
    /// Whether the inactive guests were listed at this very tick, so that `guests` and `inactive` name every guest of the host.
    public let isComplete: Bool
    /// The node's figures.
    public let node: NodeReading?
    /// The storage pools at their last reading.
    public let pools: [PoolReading]
    /// When the pools were read.
    public let poolsRead: Timestamp?
    /// Running jobs.
    public let jobs: [JobReading]
    /// How long the calls of this tick took, all together.
    public let took: Duration
    /// The time between ticks.
    public let interval: Duration
    /// What the lane counted so far.
    public let counters: LaneCounters

    /// A report.
    public init(
        host: HostName, time: Timestamp, isUp: Bool, failure: HypervisorError? = nil, description: HostDescription? = nil,
        guests: [GuestReport] = [], inactive: [DomainReading] = [], isComplete: Bool = false, node: NodeReading? = nil,
        pools: [PoolReading] = [],
        poolsRead: Timestamp? = nil, jobs: [JobReading] = [], took: Duration = .zero, interval: Duration = .seconds(10),
        counters: LaneCounters = LaneCounters()
    ) {
        self.host = host
        self.time = time
        self.isUp = isUp
        self.failure = failure
        self.description = description
        self.guests = guests
        self.inactive = inactive
        self.isComplete = isComplete
        self.node = node
        self.pools = pools
        self.poolsRead = poolsRead
        self.jobs = jobs
        self.took = took
        self.interval = interval
        self.counters = counters
    }
}
