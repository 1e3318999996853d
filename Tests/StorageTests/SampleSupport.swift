import Fleet
import Foundation
import Storage
import Testing
import TimeSeries

/// SplitMix64: the same seed gives the same numbers for ever.
struct SampleDice: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}

/// A folder of its own for one test, gone afterwards.
final class TemporaryFolder {
    let path: String

    init() {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("steward-\(UUID().uuidString)").path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// What a store must answer: kept the simple way.
struct SampleOracle {
    /// For each series its samples by time; nil is a stale marker.
    private var series: [LabelSet: [Int64: Double?]] = [:]
    private var wasPresent: [LabelSet: Bool] = [:]

    /// A reading in order.
    mutating func take(_ tick: SourceTick) {
        for index in tick.schema.columns.indices {
            let labels = tick.schema.labelSet(ofColumn: index)
            let column = tick.schema.columns[index]
            if tick.isPresent(index) {
                series[labels, default: [:]][tick.time.milliseconds] = .some(
                    column.scale.apply(toBits: tick.bits[index], kind: column.kind))
            } else if wasPresent[labels] == true {
                series[labels, default: [:]][tick.time.milliseconds] = .some(nil)
            }
            wasPresent[labels] = tick.isPresent(index)
        }
    }

    /// A complete reading out of order: what is there already stays.
    mutating func takeLate(_ tick: SourceTick) {
        for index in tick.schema.columns.indices {
            let labels = tick.schema.labelSet(ofColumn: index)
            let column = tick.schema.columns[index]
            let number = column.scale.apply(toBits: tick.bits[index], kind: column.kind)
            if let known = series[labels]?[tick.time.milliseconds], known != nil { continue }
            series[labels, default: [:]][tick.time.milliseconds] = .some(number)
        }
    }

    func answer(_ matches: (LabelSet) -> Bool, from: Int64, through: Int64) -> [String] {
        series.keys.sorted().filter(matches).compactMap { labels in
            let samples = (series[labels] ?? [:]).filter { $0.key >= from && $0.key <= through }.sorted { $0.key < $1.key }
            guard !samples.isEmpty else { return nil }
            return SampleOracle.line(labels, samples.map { ($0.key, $0.value?.bitPattern ?? SampleRun.staleBits) })
        }
    }

    static func line(_ labels: LabelSet, _ samples: [(Int64, UInt64)]) -> String {
        labels.labels.map { "\($0.name)=\($0.value)" }.joined(separator: ",") + ": "
            + samples.map { "\($0.0)=\(String($0.1, radix: 16))" }.joined(separator: " ")
    }
}

extension SeriesSource {
    /// Everything that a selection finds, one line a series.
    func lines(_ matchers: [LabelMatcher] = [], from: Int64 = .min, through: Int64 = .max) throws -> [String] {
        var lines: [String] = []
        let selection = SeriesSelection(matchers: matchers, from: Timestamp(milliseconds: from), through: Timestamp(milliseconds: through))
        try select(selection) { labels, run in
            lines.append(SampleOracle.line(labels, Array(zip(run.milliseconds, run.values.map(\.bitPattern)))))
            return true
        }
        return lines
    }
}
