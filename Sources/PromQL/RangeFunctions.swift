import TimeSeries

extension Evaluation {
    /// A function of a window: rates, sums over time and their like.
    func streamRangeFunction(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        let windowed = node.arguments[node.function == .quantileOverTime ? 1 : 0]
        var parameter = ScalarSteps.constant(0)
        if node.function == .quantileOverTime { parameter = try scalar(node.arguments[0], frame) }
        if node.function == .predictLinear { parameter = try scalar(node.arguments[1], frame) }
        if node.function == .absentOverTime { return try streamAbsentOverTime(node, frame, emit) }

        var merged: MergedRows?
        let keepsName = node.function == .lastOverTime
        if !keepsName, !NameUniformity.holds(windowed) { merged = MergedRows() }
        var values = Array(repeating: absent, count: frame.count)
        try streamWindows(windowed, frame) { [self] (labels, run, windows) throws(EvaluationError) in
            try work(run.values.count + frame.count)
            let kernel = RangeKernel(run: run, windows: windows, frame: frame)
            guard kernel.evaluate(node.function, parameter, into: &values) else { return }
            noteAbout(node, windowed, labels, values, parameter)
            if merged == nil {
                try emit(keepsName ? labels : labels.droppingName, &values)
            } else {
                try hold(values.count)
                if merged?.add(labels.droppingName.resolved, values) == false { throw .sameLabelSet }
            }
        }
        if let merged { try emitRows(merged.rows, emit) }
    }

    private func noteAbout(
        _ node: FunctionCall, _ windowed: Expression, _ labels: SeriesLabels, _ values: [Double], _ parameter: ScalarSteps
    ) {
        switch node.function {
        case .rate, .increase:
            guard !labels.dropsName, let name = labels.full[LabelSet.metricName] else { return }
            let isCounter = ["_total", "_sum", "_count", "_bucket"].contains { name.hasSuffix($0) }
            if !isCounter {
                note(
                    .info, "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \(quoted(name.utf8))",
                    at: windowed.range)
            }
        case .quantileOverTime:
            for step in values.indices where isPresent(values[step]) { noteQuantile(parameter[step], at: node.arguments[0].range) }
        default: return
        }
    }

    func noteQuantile(_ q: Double, at range: SourceRange) {
        if q.isNaN || q < 0 || q > 1 {
            note(.warning, "quantile value should be between 0 and 1, got \(NumberText.general(q))", at: range)
        }
    }

    /// 1 at the steps whose windows hold no sample of any series.
    private func streamAbsentOverTime(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        var result = Array(repeating: 1.0, count: frame.count)
        var counts = Array(repeating: absent, count: frame.count)
        try streamWindows(node.arguments[0], frame) { [self] (_, run, windows) throws(EvaluationError) in
            try work(run.values.count + frame.count)
            let kernel = RangeKernel(run: run, windows: windows, frame: frame)
            guard kernel.evaluate(.countOverTime, .constant(0), into: &counts) else { return }
            for step in 0..<frame.count where isPresent(counts[step]) { result[step] = absent }
        }
        try emit(SeriesLabels(full: labelsOfAbsence(node.arguments[0])), &result)
    }

    /// The labels that a missing series would have had, as far as the selector says: those that it asks for once and by equality.
    func labelsOfAbsence(_ expression: Expression) -> LabelSet {
        let matchers: [LabelMatcher]
        switch expression.unwrapped {
        case .selector(let node): matchers = node.matchers
        case .range(let node): matchers = node.selector.matchers
        default: return .empty
        }
        var labels = LabelSet.empty
        var seen: Set<String> = []
        for matcher in matchers where matcher.name != LabelSet.metricName {
            let isWanted = matcher.operation == .equal && seen.insert(matcher.name).inserted
            labels = labels.setting(matcher.name, to: isWanted ? matcher.value : "")
        }
        return labels
    }
}

/// The samples of one series and the windows that slide over them.
struct RangeKernel {
    let run: SampleRun
    let windows: Windows
    let frame: Frame

    /// Fills in a number for each step; false where no step has one.
    func evaluate(_ function: Function, _ parameter: ScalarSteps, into values: inout [Double]) -> Bool {
        switch function {
        case .rate: rate(&values, isCounter: true, isRate: true)
        case .increase: rate(&values, isCounter: true, isRate: false)
        case .delta: rate(&values, isCounter: false, isRate: false)
        case .irate: lastTwo(&values, isRate: true)
        case .idelta: lastTwo(&values, isRate: false)
        case .changes: count(&values) { $0 != $1 && !($0.isNaN && $1.isNaN) }
        case .resets: count(&values) { $1 < $0 }
        case .countOverTime: slide(&values) { _, _, _, low, high in Double(high - low) }
        case .presentOverTime: slide(&values) { _, _, _, _, _ in 1 }
        case .lastOverTime: slide(&values) { _, _, samples, _, high in samples[high - 1] }
        case .sumOverTime: sum(&values)
        case .avgOverTime: average(&values)
        case .minOverTime: extreme(&values) { $0 < $1 }
        case .maxOverTime: extreme(&values) { $0 > $1 }
        case .stdvarOverTime: slide(&values) { _, _, samples, low, high in RangeKernel.variance(samples, low, high) }
        case .stddevOverTime: slide(&values) { _, _, samples, low, high in RangeKernel.variance(samples, low, high).squareRoot() }
        case .quantileOverTime: quantiles(&values, parameter)
        case .deriv:
            slide(&values) { _, times, samples, low, high in
                high - low < 2 ? absent : RangeKernel.regression(times, samples, low, high, origin: times[low]).slope
            }
        case .predictLinear:
            slide(&values) { step, times, samples, low, high in
                if high - low < 2 { return absent }
                let line = RangeKernel.regression(times, samples, low, high, origin: frame.time(step))
                return line.slope * parameter[step] + line.intercept
            }
        default: false
        }
    }

    /// Calls `body` for each window with the samples `low..<high` that lie in it, at least one; windows are open at their start.
    @inline(__always)
    private func slide(
        _ values: inout [Double],
        _ body: (_ step: Int, _ times: UnsafeBufferPointer<Int64>, _ samples: UnsafeBufferPointer<Double>, _ low: Int, _ high: Int) ->
            Double
    ) -> Bool {
        var isFound = false
        values.withUnsafeMutableBufferPointer { values in
            run.milliseconds.withUnsafeBufferPointer { times in
                run.values.withUnsafeBufferPointer { samples in
                    var low = 0
                    var high = 0
                    for step in 0..<frame.count {
                        let end = windows.end(step)
                        let start = end - windows.length
                        while high < times.count, times[high] <= end { high += 1 }
                        while low < high, times[low] <= start { low += 1 }
                        let value = low < high ? body(step, times, samples, low, high) : absent
                        values[step] = value
                        isFound = isFound || isPresent(value)
                    }
                }
            }
        }
        return isFound
    }

    // MARK: Rates

    /// The change over a window, stretched to its whole length where the samples reach near enough to its ends.
    private func rate(_ values: inout [Double], isCounter: Bool, isRate: Bool) -> Bool {
        // A counter that falls was reset; what it had before counts. Resets are rare, so their places are listed once.
        var resets: [Int] = []
        if isCounter, run.values.count > 1 {
            run.values.withUnsafeBufferPointer { samples in
                for index in 1..<samples.count where samples[index] < samples[index - 1] { resets.append(index) }
            }
        }
        var firstReset = 0
        let seconds = Double(windows.length) / 1000
        return slide(&values) { step, times, samples, low, high in
            guard high - low > 1 else { return absent }
            var change = samples[high - 1] - samples[low]
            while firstReset < resets.count, resets[firstReset] <= low { firstReset += 1 }
            var reset = firstReset
            while reset < resets.count, resets[reset] < high {
                change += samples[resets[reset] - 1]
                reset += 1
            }
            let end = windows.end(step)
            var toStart = Double(times[low] - (end - windows.length)) / 1000
            var toEnd = Double(end - times[high - 1]) / 1000
            let sampled = Double(times[high - 1] - times[low]) / 1000
            let distance = sampled / Double(high - low - 1)
            let threshold = distance * 1.1
            if toStart >= threshold { toStart = distance / 2 }
            // A counter cannot have been below zero: do not stretch past the place where it would have been.
            if isCounter, change > 0, samples[low] >= 0 {
                let toZero = sampled * (samples[low] / change)
                if toZero < toStart { toStart = toZero }
            }
            if toEnd >= threshold { toEnd = distance / 2 }
            var factor = (sampled + toStart + toEnd) / sampled
            if isRate { factor /= seconds }
            return change * factor
        }
    }

    private func lastTwo(_ values: inout [Double], isRate: Bool) -> Bool {
        slide(&values) { _, times, samples, low, high in
            guard high - low > 1 else { return absent }
            let last = samples[high - 1]
            let previous = samples[high - 2]
            let change = isRate && last < previous ? last : last - previous
            return isRate ? change / (Double(times[high - 1] - times[high - 2]) / 1000) : change
        }
    }

    /// How many neighbours meet a condition.
    @inline(__always)
    private func count(_ values: inout [Double], _ isCounted: (Double, Double) -> Bool) -> Bool {
        var before = [0.0]
        before.reserveCapacity(run.values.count)
        for index in run.values.indices.dropFirst() {
            before.append(before[index - 1] + (isCounted(run.values[index - 1], run.values[index]) ? 1 : 0))
        }
        return before.withUnsafeBufferPointer { before in
            slide(&values) { _, _, _, low, high in before[high - 1] - before[low] }
        }
    }

    // MARK: Sums

    /// Sums from the start, where all sums of whole numbers are exact, so that differences are too; nil where they are not.
    private func exactSums() -> [Double]? {
        guard windows.overlap else { return nil }
        let exact = 9_007_199_254_740_992.0
        var magnitude = 0.0
        var sums = [0.0]
        sums.reserveCapacity(run.values.count + 1)
        var sum = 0.0
        for value in run.values {
            magnitude += value.magnitude
            guard magnitude <= exact, value == value.rounded(.towardZero), value != 0 || value.sign == .plus else { return nil }
            sum += value
            sums.append(sum)
        }
        return sums
    }

    private func sum(_ values: inout [Double]) -> Bool {
        if let sums = exactSums() {
            return sums.withUnsafeBufferPointer { sums in slide(&values) { _, _, _, low, high in sums[high] - sums[low] } }
        }
        return slide(&values) { _, _, samples, low, high in
            var sum = CompensatedSum()
            for index in low..<high { sum.add(samples[index]) }
            return sum.sum.isInfinite ? sum.sum : sum.total
        }
    }

    private func average(_ values: inout [Double]) -> Bool {
        if let sums = exactSums() {
            return sums.withUnsafeBufferPointer { sums in
                slide(&values) { _, _, _, low, high in (sums[high] - sums[low]) / Double(high - low) }
            }
        }
        return slide(&values) { _, _, samples, low, high in
            var mean = CompensatedMean(samples[low])
            for index in low + 1..<high { mean.add(samples[index]) }
            return mean.mean
        }
    }

    /// The smallest or largest number, NaN only where there is nothing else.
    @inline(__always)
    private func extreme(_ values: inout [Double], _ isBetter: (Double, Double) -> Bool) -> Bool {
        if !windows.overlap {
            return slide(&values) { _, _, samples, low, high in
                var best = samples[low]
                for index in low + 1..<high where isBetter(samples[index], best) || best.isNaN { best = samples[index] }
                return best
            }
        }
        // The candidates of the window, best first: each sample enters and leaves once.
        var candidates: [Int] = []
        var first = 0
        var seen = 0
        return slide(&values) { _, _, samples, low, high in
            while seen < high {
                if !samples[seen].isNaN {
                    while candidates.count > first, isBetter(samples[seen], samples[candidates[candidates.count - 1]]) {
                        candidates.removeLast()
                    }
                    candidates.append(seen)
                }
                seen += 1
            }
            while first < candidates.count, candidates[first] < low { first += 1 }
            return first < candidates.count ? samples[candidates[first]] : .nan
        }
    }

    private func quantiles(_ values: inout [Double], _ parameter: ScalarSteps) -> Bool {
        var window: [Double] = []
        return slide(&values) { step, _, samples, low, high in
            window.removeAll(keepingCapacity: true)
            window.append(contentsOf: samples[low..<high])
            return quantile(parameter[step], &window)
        }
    }

    /// Welford's variance with compensated sums.
    private static func variance(_ samples: UnsafeBufferPointer<Double>, _ low: Int, _ high: Int) -> Double {
        var count = 0.0
        var mean = CompensatedSum()
        var squares = CompensatedSum()
        for index in low..<high {
            count += 1
            let delta = samples[index] - mean.total
            mean.add(delta / count)
            squares.add(delta * (samples[index] - mean.total))
        }
        return squares.total / count
    }

    /// The line of least squares, with its value at `origin`.
    private static func regression(
        _ times: UnsafeBufferPointer<Int64>, _ samples: UnsafeBufferPointer<Double>, _ low: Int, _ high: Int, origin: Int64
    ) -> (slope: Double, intercept: Double) {
        var sumX = CompensatedSum()
        var sumY = CompensatedSum()
        var sumXY = CompensatedSum()
        var sumXX = CompensatedSum()
        let first = samples[low]
        var isConstant = true
        for index in low..<high {
            if samples[index] != first, index > low { isConstant = false }
            let x = Double(times[index] - origin) / 1000
            sumX.add(x)
            sumY.add(samples[index])
            sumXY.add(x * samples[index])
            sumXX.add(x * x)
        }
        if isConstant { return first.isInfinite ? (.nan, .nan) : (0, first) }
        let count = Double(high - low)
        let covariance = sumXY.total - sumX.total * sumY.total / count
        let variance = sumXX.total - sumX.total * sumX.total / count
        let slope = covariance / variance
        return (slope, sumY.total / count - slope * sumX.total / count)
    }
}
