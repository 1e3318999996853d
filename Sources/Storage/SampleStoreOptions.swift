public import Fleet

/// How a sample store behaves.
public struct SampleStoreOptions: Sendable {
    /// How long samples are kept at least; nil keeps them for ever.
    public var retention: Duration? = .seconds(90 * 86_400)
    /// What the sealed segments may take together, rollups not counted; the oldest file goes first.
    ///
    /// Nil is no bound.
    public var retentionBytes: Bytes?
    /// Whether finished files are rolled up into buckets of five minutes and one hour, in files of their own.
    public var makesRollups = true
    /// How long buckets of five minutes are kept; nil keeps them for ever.
    public var fiveMinuteRetention: Duration? = .seconds(400 * 86_400)
    /// How long buckets of one hour are kept; nil keeps them for ever.
    public var oneHourRetention: Duration? = .seconds(5 * 366 * 86_400)
    /// How much time one file covers before the next is begun; what retention takes away is a file at a time.
    public var partitionSpan: Duration = .seconds(7 * 86_400)
    /// A file is also ended at this size.
    public var partitionBytes: Bytes = .gibibytes(1)
    /// A host's readings are sealed when it has this many samples: about 150 KiB compressed, which wastes little of its last page.
    public var sealSamples = 1 << 19
    /// But not before this many ticks, below which compression suffers.
    public var sealTicks = 240
    /// Readings older than this are sealed however few they are, so that a restart has little to replay.
    public var sealAge: Duration = .seconds(86_400)
    /// How much the unsealed readings may take in memory before the oldest that the disk refuses are dropped and counted.
    public var headBytes: Bytes = .mebibytes(512)
    /// Ticks of one host that may wait for the disk; more are kept in memory only, and counted as gaps.
    public var queuedTicks = 3
    /// The longest time between two moments at which everything acknowledged survives a power cut.
    public var syncInterval: Duration = .seconds(10)
    /// The registered SQLite file system layer; nil is the operating system's.
    ///
    /// For tests.
    public var fileSystem: String?
    /// Told after each commit, on the writer's thread: what is durable now.
    ///
    /// Must not block.
    public var acknowledged: (@Sendable ([Acknowledgement]) -> Void)?

    /// The defaults.
    public init() {}
}

/// A tick of one host that no crash takes away any more.
public struct Acknowledgement: Sendable {
    /// The `host` label, empty where there is none.
    public let host: String
    /// The time of the latest reading in the tick.
    public let time: Timestamp
    /// Numbers in the tick.
    public let samples: Int
}

/// What the store counts since it was opened.
public struct SampleStoreCounters: Sendable, Equatable {
    /// Numbers taken.
    public var samples = 0
    /// Ticks of hosts committed.
    public var committedTicks = 0
    /// Ticks that did not reach the disk before they were sealed, since it was too slow or refused: lost if the process dies meanwhile.
    public var gapTicks = 0
    /// Readings of a source that came out of order.
    public var lateReadings = 0
    /// Readings of a source with a time that it had already: the first one stays.
    public var duplicateReadings = 0
    /// Readings older than the retention.
    public var expiredReadings = 0
    /// Readings dropped since memory had no room while the disk refused.
    public var droppedReadings = 0
    /// Commits that the disk refused.
    public var failedCommits = 0
}
