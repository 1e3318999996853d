public import Fleet
import TimeSeries

/// What one selector of a query found: deciders compare it with what should have been there.
///
/// A value of PromQL does not say how many guests it rests on, nor how old it is. This does.
public struct SelectorEvidence: Hashable, Sendable {
    /// What it found at one step.
    public struct Step: Hashable, Sendable {
        /// The step; of a selector inside a subquery, a step of the subquery.
        public let time: Timestamp
        /// Series that gave at least one sample.
        public let series: Int
        /// Distinct guests (`uuid` labels) among them.
        public let guests: Int
        /// The newest sample of the series whose newest sample is the oldest; nil without series.
        public let oldestSample: Timestamp?
    }

    /// Which selector, counted from 0 in the order of the query.
    public let ordinal: Int
    /// Where it stands in the query.
    public let range: SourceRange
    /// Distinct series that gave at least one sample at any step.
    public let series: Int
    /// The distinct `uuid` labels among them, sorted.
    public let guests: [String]
    /// Over the whole query, the newest sample used of the series whose newest sample is the oldest; nil without series.
    public let oldestSample: Timestamp?
    /// Step by step.
    public let steps: [Step]
}

/// Gathers evidence while series stream past.
final class EvidenceCollector {
    private struct Entry {
        let range: SourceRange
        let frame: Frame
        var series = 0
        var oldest = Int64.max
        var seriesAtStep: [Int]
        var oldestAtStep: [Int64]
        var guests: [String: Int] = [:]
        /// For each guest in turn, a bit a step.
        var presence: [UInt64] = []
        var words: Int { (frame.count + 63) / 64 }
    }

    private var entries: [Int: Entry] = [:]

    /// A selector is about to stream.
    func begin(_ selector: VectorSelector, _ frame: Frame) {
        entries[selector.ordinal] = Entry(
            range: selector.range, frame: frame, seriesAtStep: Array(repeating: 0, count: frame.count),
            oldestAtStep: Array(repeating: .max, count: frame.count))
    }

    /// One series: for each step the time of its newest sample used, or `.min` where it gave none.
    func add(_ labels: LabelSet, newest: [Int64], to selector: VectorSelector) {
        guard var entry = entries.removeValue(forKey: selector.ordinal) else { return }
        defer { entries[selector.ordinal] = entry }
        guard let last = newest.max(), last != .min else { return }
        entry.series += 1
        entry.oldest = min(entry.oldest, last)
        var guestStart: Int?
        if let uuid = labels["uuid"] {
            let index = entry.guests[uuid] ?? entry.guests.count
            if index == entry.guests.count {
                entry.guests[uuid] = index
                entry.presence += Array(repeating: 0, count: entry.words)
            }
            guestStart = index * entry.words
        }
        for (step, time) in newest.enumerated() where time != .min {
            entry.seriesAtStep[step] += 1
            entry.oldestAtStep[step] = min(entry.oldestAtStep[step], time)
            if let guestStart { entry.presence[guestStart + step / 64] |= 1 << UInt64(step % 64) }
        }
    }

    /// All of it, in the order of the selectors.
    var finished: [SelectorEvidence] {
        entries.sorted { $0.key < $1.key }.map { ordinal, entry in
            var guestsAtStep = Array(repeating: 0, count: entry.frame.count)
            for guest in 0..<entry.guests.count {
                for step in 0..<entry.frame.count
                where entry.presence[guest * entry.words + step / 64] >> UInt64(step % 64) & 1 == 1 {
                    guestsAtStep[step] += 1
                }
            }
            let steps = (0..<entry.frame.count).map { step in
                SelectorEvidence.Step(
                    time: Timestamp(milliseconds: entry.frame.time(step)), series: entry.seriesAtStep[step], guests: guestsAtStep[step],
                    oldestSample: entry.oldestAtStep[step] == .max ? nil : Timestamp(milliseconds: entry.oldestAtStep[step]))
            }
            return SelectorEvidence(
                ordinal: ordinal, range: entry.range, series: entry.series, guests: entry.guests.keys.sorted(),
                oldestSample: entry.series == 0 ? nil : Timestamp(milliseconds: entry.oldest), steps: steps)
        }
    }
}
