public import Fleet
public import TimeSeries

/// Decides what of a host's samples goes into history: each reading once, and an end for what is gone.
///
/// The live snapshot repeats a pool's figures until they are read again, and simply lacks a guest that went away. History wants each
/// reading at its own time, and a marker where a series ends, so that a query sees it end there and not five minutes later.
public struct HistoryFeed: Sendable {
    private struct Known: Sendable {
        let schema: SourceSchema
        let time: Timestamp
    }

    private var known: [HostName: [LabelSet: Known]] = [:]

    /// A feed that has seen nothing.
    public init() {}

    /// What to append for one host's samples at `time`: its new readings in their order, then ends, sorted by labels.
    ///
    /// An end is a reading in which no column is present.
    public mutating func take(_ ticks: [SourceTick], host: HostName, at time: Timestamp) -> [SourceTick] {
        let before = known[host] ?? [:]
        var now: [LabelSet: Known] = [:]
        var new: [SourceTick] = []
        for tick in ticks {
            let labels = tick.schema.labels
            now[labels] = Known(schema: tick.schema, time: tick.time)
            if let last = before[labels], last.time >= tick.time { continue }
            new.append(tick)
        }
        known[host] = now
        return new + ends(of: before.filter { now[$0.key] == nil }, at: time)
    }

    /// The ends of everything of a host that was taken out of the configuration.
    public mutating func forget(_ host: HostName, at time: Timestamp) -> [SourceTick] {
        ends(of: known.removeValue(forKey: host) ?? [:], at: time)
    }

    private func ends(of gone: [LabelSet: Known], at time: Timestamp) -> [SourceTick] {
        gone.keys.sorted().compactMap { labels in
            guard let last = gone[labels], last.time < time else { return nil }
            let columns = last.schema.columns.count
            return SourceTick(
                schema: last.schema, time: time, bits: Array(repeating: 0, count: columns),
                presence: Array(repeating: false, count: columns))
        }
    }
}
