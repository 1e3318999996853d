import Fleet
import TimeSeries

extension Evaluation {
    /// The instant that `@` names, or nil where the steps move.
    func instant(of shift: TimeShift) -> Int64? {
        switch shift.instant {
        case .milliseconds(let value): value
        case .start: query.start
        case .end: query.last
        case nil: nil
        }
    }

    /// Reads series from the source; the samples stay valid during `visit` only.
    private func select(
        _ matchers: [LabelMatcher], from: Int64, through: Int64,
        _ visit: @escaping (LabelSet, SampleRun) throws(EvaluationError) -> Void
    ) throws(EvaluationError) {
        var failure: EvaluationError?
        let selection = SeriesSelection(matchers: matchers, from: Timestamp(milliseconds: from), through: Timestamp(milliseconds: through))
        do {
            try source.select(selection) { labels, run in
                do throws(EvaluationError) {
                    try read(run.values.count)
                    try visit(labels, run)
                    return true
                } catch {
                    failure = error
                    return false
                }
            }
        } catch {
            throw EvaluationError(.source, error.description)
        }
        if let failure { throw failure }
    }

    /// `name{…}`: for each series and step the newest sample of the lookback window, unless it says that the series is stale.
    func streamSelector(_ node: VectorSelector, _ frame: Frame, wantsTimestamps: Bool = false, _ emit: Emit) throws(EvaluationError) {
        let lookback = settings.lookbackMilliseconds
        let places = Windows(node.shift, frame, at: instant(of: node.shift), length: lookback)
        evidence?.begin(node, frame)
        var values = Array(repeating: absent, count: frame.count)
        var newest: [Int64] = []
        try select(node.matchers, from: places.firstEnd - lookback + 1, through: places.lastEnd(frame)) {
            [self] (labels, run) throws(EvaluationError) in
            let isFound = fill(&values, from: run, places, frame, wantsTimestamps: wantsTimestamps)
            if let evidence {
                newestSamples(&newest, run.milliseconds, places, frame)
                for step in 0..<frame.count where !isPresent(values[step]) { newest[step] = .min }
                evidence.add(labels, newest: newest, to: node)
            }
            if isFound {
                try work(frame.count)
                try emit(SeriesLabels(full: labels), &values)
            }
        }
    }

    private func fill(
        _ values: inout [Double], from run: SampleRun, _ places: Windows, _ frame: Frame, wantsTimestamps: Bool
    ) -> Bool {
        var isFound = false
        values.withUnsafeMutableBufferPointer { values in
            run.milliseconds.withUnsafeBufferPointer { times in
                run.values.withUnsafeBufferPointer { samples in
                    var next = 0
                    for step in 0..<frame.count {
                        let end = places.end(step)
                        while next < times.count, times[next] <= end { next += 1 }
                        guard next > 0, times[next - 1] > end - places.length, isPresent(samples[next - 1]) else {
                            values[step] = absent
                            continue
                        }
                        values[step] = wantsTimestamps ? Double(times[next - 1]) / 1000 : samples[next - 1]
                        isFound = true
                    }
                }
            }
        }
        return isFound
    }

    /// For each step the newest time within its window, `.min` where there is none.
    private func newestSamples(_ newest: inout [Int64], _ times: [Int64], _ places: Windows, _ frame: Frame) {
        newest.removeAll(keepingCapacity: true)
        var next = 0
        for step in 0..<frame.count {
            let end = places.end(step)
            while next < times.count, times[next] <= end { next += 1 }
            newest.append(next > 0 && times[next - 1] > end - places.length ? times[next - 1] : .min)
        }
    }

    /// A range selector or a subquery: for each series all its samples over all windows, stale markers left out.
    func streamWindows(
        _ expression: Expression, _ frame: Frame, _ body: @escaping VisitWindows.Body
    ) throws(EvaluationError) {
        try streamWindows(expression, frame, VisitWindows(body))
    }

    private func streamWindows(_ expression: Expression, _ frame: Frame, _ visit: VisitWindows) throws(EvaluationError) {
        switch expression {
        case .parenthesized(let inner, _): try streamWindows(inner, frame, visit)
        case .range(let node):
            let selector = node.selector
            let windows = Windows(selector.shift, frame, at: instant(of: selector.shift), length: node.windowMilliseconds)
            evidence?.begin(selector, frame)
            var newest: [Int64] = []
            try select(selector.matchers, from: windows.firstEnd - windows.length + 1, through: windows.lastEnd(frame)) {
                [self] (labels, run) throws(EvaluationError) in
                let run = withoutStaleMarkers(run)
                if let evidence {
                    newestSamples(&newest, run.milliseconds, windows, frame)
                    evidence.add(labels, newest: newest, to: selector)
                }
                if !run.values.isEmpty { try visit(SeriesLabels(full: labels), run, windows) }
            }
        case .subquery(let node): try streamSubquery(node, frame, visit)
        default: throw .execution("internal: a \(expression.type) where a range vector is needed")
        }
    }

    private func withoutStaleMarkers(_ run: SampleRun) -> SampleRun {
        let hasMarkers = run.values.withUnsafeBufferPointer { values in
            var found = false
            for value in values { found = found || !isPresent(value) }
            return found
        }
        if !hasMarkers { return run }
        var result = SampleRun()
        for (index, value) in run.values.enumerated() where isPresent(value) {
            result.milliseconds.append(run.milliseconds[index])
            result.values.append(value)
        }
        return result
    }

    /// Evaluates the inner expression on a grid of multiples of the step, so that neighbouring outer steps share its points.
    private func streamSubquery(
        _ node: Subquery, _ frame: Frame, _ visit: VisitWindows
    ) throws(EvaluationError) {
        let windows = Windows(node.shift, frame, at: instant(of: node.shift), length: node.windowMilliseconds)
        let step = node.stepMilliseconds ?? settings.subqueryStepMilliseconds
        let before = windows.firstEnd - windows.length
        let remainder = before % step
        // The first multiple after the open start of the first window.
        let first = before - (remainder < 0 ? remainder + step : remainder) + step
        let last = windows.lastEnd(frame)
        guard first <= last else { return }
        let count = (last - first) / step + 1
        if count > limits.subquerySteps {
            throw EvaluationError(
                .limit,
                "subquery needs \(count) evaluations, more than \(limits.subquerySteps); use a larger step or a shorter window, or raise `subquerySteps` of the query limits"
            )
        }
        let inner = Frame(start: first, interval: step, count: Int(count))
        try stream(node.expression, inner) { [self] (labels, values) throws(EvaluationError) in
            let run = inner.samples(values)
            try work(inner.count)
            if !run.values.isEmpty { try visit(labels, run, windows) }
        }
    }

    /// A range vector as the answer of an instant query.
    func matrix(_ expression: Expression, _ frame: Frame) throws(EvaluationError) -> [ResultSeries] {
        var result: [ResultSeries] = []
        try streamWindows(expression, frame) { [self] (labels, run, windows) throws(EvaluationError) in
            var samples = SampleRun()
            for (index, time) in run.milliseconds.enumerated()
            where time > windows.firstEnd - windows.length && time <= windows.firstEnd {
                samples.milliseconds.append(time)
                samples.values.append(run.values[index])
            }
            if samples.values.isEmpty { return }
            try hold(samples.values.count)
            result.append(ResultSeries(labels: labels.resolved, samples: samples))
            try checkReturned(result.count)
        }
        return result
    }
}
