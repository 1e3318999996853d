public import Fleet

/// The samples of one series within a window, oldest first, in two parallel arrays.
public struct SampleRun: Sendable {
    /// When, in milliseconds since the Unix epoch; strictly increasing.
    public var milliseconds: [Int64]
    /// How much, in base units; a stale marker is the NaN whose bits are `SampleRun.staleBits`.
    public var values: [Double]

    /// A run of samples.
    public init(milliseconds: [Int64] = [], values: [Double] = []) {
        precondition(milliseconds.count == values.count, "two arrays of one length")
        self.milliseconds = milliseconds
        self.values = values
    }

    /// The bits of the NaN that marks a series as stale: Prometheus' own, 0x7ff0000000000002.
    public static let staleBits: UInt64 = 0x7ff0_0000_0000_0002
    /// The number with those bits.
    public static let staleMarker = Double(bitPattern: staleBits)
}

/// What is asked of a source.
public struct SeriesSelection: Sendable {
    /// Every matcher must hold.
    public let matchers: [LabelMatcher]
    /// The first instant, included.
    public let from: Timestamp
    /// The last instant, included.
    public let through: Timestamp

    /// A selection.
    public init(matchers: [LabelMatcher], from: Timestamp, through: Timestamp) {
        self.matchers = matchers
        self.from = from
        self.through = through
    }
}

/// Why a source could not answer.
public struct SeriesSourceError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What failed, on which object, why, what to do next.
    public let description: String
    /// An error.
    public init(_ description: String) { self.description = description }
}

/// Anything that series can be selected from: the store, the head, a test's memory.
public protocol SeriesSource: Sendable {
    /// Visits every series that meets the matchers and has a sample in the window, in the order of their label sets.
    ///
    /// `visit` returns false to stop. All visits of one call see one logical snapshot.
    func select(_ selection: SeriesSelection, visit: (LabelSet, SampleRun) -> Bool) throws(SeriesSourceError)

    /// The label sets of every series that meets the matchers and has a sample in the window, sorted.
    func labelSets(_ selection: SeriesSelection) throws(SeriesSourceError) -> [LabelSet]
}
