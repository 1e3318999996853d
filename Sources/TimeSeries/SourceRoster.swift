public import Fleet

/// Who was read at a host's last tick, so that the series of who is gone turn stale.
///
/// A store cannot tell a guest that is gone from one whose reading is late; who reads the host can.
public struct SourceRoster: Sendable {
    private var present: [LabelSet: SourceSchema] = [:]

    /// Nobody yet.
    public init() {}

    /// The readings of one host at one tick, and behind them an empty one for each source that the last tick had and this one has not.
    ///
    /// An empty reading makes the source's series stale from `time` on.
    public mutating func complete(_ ticks: [SourceTick], at time: Timestamp) -> [SourceTick] {
        var now: [LabelSet: SourceSchema] = [:]
        for tick in ticks { now[tick.schema.labels] = tick.schema }
        let gone = present.keys.filter { now[$0] == nil }.sorted()
        let empty = gone.compactMap { present[$0] }.map { schema in
            let count = schema.columns.count
            return SourceTick(
                schema: schema, time: time, bits: Array(repeating: 0, count: count), presence: Array(repeating: false, count: count))
        }
        present = now
        return ticks + empty
    }
}
