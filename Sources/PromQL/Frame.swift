import TimeSeries

/// The steps at which an expression is evaluated.
struct Frame: Hashable {
    /// The first step, in milliseconds.
    let start: Int64
    /// The distance of the steps, positive.
    let interval: Int64
    /// How many, at least one.
    let count: Int

    @inline(__always)
    func time(_ step: Int) -> Int64 { start + Int64(step) * interval }

    var last: Int64 { time(count - 1) }

    /// The numbers that are present, with their times.
    func samples(_ values: [Double]) -> SampleRun {
        var run = SampleRun()
        for step in 0..<count where isPresent(values[step]) {
            run.milliseconds.append(time(step))
            run.values.append(values[step])
        }
        return run
    }
}

/// Stands for "no number at this step": the bits of the stale marker.
///
/// It is a signalling NaN, which no arithmetic yields and which no sample has once stale ones are left out, so that
/// presence needs no array of its own.
let absent = SampleRun.staleMarker

@inline(__always)
func isPresent(_ value: Double) -> Bool { value.bitPattern != SampleRun.staleBits }

/// One number a step, often the same.
enum ScalarSteps {
    case constant(Double)
    case varying([Double])

    subscript(step: Int) -> Double {
        switch self {
        case .constant(let value): value
        case .varying(let values): values[step]
        }
    }
}

/// Where the windows of a range selector end, step by step, and how long they are.
struct Windows {
    let firstEnd: Int64
    /// 0 where `@` holds all windows in one place.
    let interval: Int64
    let length: Int64

    @inline(__always)
    func end(_ step: Int) -> Int64 { firstEnd + Int64(step) * interval }

    init(_ shift: TimeShift, _ frame: Frame, at instant: Int64?, length: Int64) {
        firstEnd = (instant ?? frame.start) - shift.offsetMilliseconds
        interval = instant == nil ? frame.interval : 0
        self.length = length
    }

    func lastEnd(_ frame: Frame) -> Int64 { end(frame.count - 1) }

    /// Whether each sample lies in several windows, so that sliding pays.
    var overlap: Bool { interval > 0 && interval * 2 < length }
}

/// The labels of a series on its way through an evaluation; the metric's name is dropped only where somebody looks.
struct SeriesLabels {
    let full: LabelSet
    var dropsName = false

    var resolved: LabelSet { dropsName ? full.withoutMetricName : full }
    var droppingName: SeriesLabels { SeriesLabels(full: full, dropsName: true) }

    /// The labels whose names pass.
    func filtered(_ isKept: (String) -> Bool) -> LabelSet {
        dropsName ? full.filtered { $0 != LabelSet.metricName && isKept($0) } : full.filtered(isKept)
    }
}

/// One series and its numbers, a number a step.
struct Row {
    var labels: LabelSet
    var values: [Double]
}

/// Series with distinct labels: series that come again with the same labels fill each other's gaps, and clash where both have numbers.
struct MergedRows {
    private(set) var rows: [Row] = []
    private var indices: [LabelSet: Int] = [:]

    /// Adds a series; returns false where it clashes with one that is there.
    mutating func add(_ labels: LabelSet, _ values: [Double]) -> Bool {
        guard let index = indices[labels] else {
            indices[labels] = rows.count
            rows.append(Row(labels: labels, values: values))
            return true
        }
        for step in values.indices where isPresent(values[step]) {
            if isPresent(rows[index].values[step]) { return false }
            rows[index].values[step] = values[step]
        }
        return true
    }
}
