import Fleet
public import TimeSeries

/// Series in memory: the simplest possible source, for tests.
public struct MemorySource: SeriesSource {
    private var runs: [LabelSet: SampleRun] = [:]

    /// A source without series.
    public init() {}

    /// Adds samples to a series; their times must rise.
    public mutating func add(_ labels: LabelSet, _ milliseconds: Int64, _ value: Double) {
        runs[labels, default: SampleRun()].milliseconds.append(milliseconds)
        runs[labels, default: SampleRun()].values.append(value)
    }

    private func window(_ run: SampleRun, _ selection: SeriesSelection) -> SampleRun {
        var result = SampleRun()
        for (index, time) in run.milliseconds.enumerated()
        where time >= selection.from.milliseconds && time <= selection.through.milliseconds {
            result.milliseconds.append(time)
            result.values.append(run.values[index])
        }
        return result
    }

    /// Visits the series that meet the matchers, in the order of their label sets.
    public func select(_ selection: SeriesSelection, visit: (LabelSet, SampleRun) -> Bool) throws(SeriesSourceError) {
        for labels in runs.keys.sorted() where selection.matchers.allMatch(labels) {
            guard let run = runs[labels] else { continue }
            let part = window(run, selection)
            if !part.values.isEmpty, !visit(labels, part) { return }
        }
    }

    /// The label sets of the series that meet the matchers, sorted.
    public func labelSets(_ selection: SeriesSelection) throws(SeriesSourceError) -> [LabelSet] {
        var result: [LabelSet] = []
        try select(selection) { labels, _ in
            result.append(labels)
            return true
        }
        return result
    }
}
