import TimeSeries

extension Evaluation {
    /// The label that holds the upper bound of a bucket.
    private static let boundLabel = "le"

    private struct Histogram {
        let labels: LabelSet
        var buckets: [(bound: Double, values: [Double])] = []
    }

    /// `histogram_quantile` and `histogram_fraction` of classic buckets.
    func streamHistogram(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        let isQuantile = node.function == .histogramQuantile
        let first = try scalar(node.arguments[0], frame)
        let second = isQuantile ? first : try scalar(node.arguments[1], frame)
        let child = node.arguments[isQuantile ? 1 : 2]
        if isQuantile { for step in 0..<frame.count { noteQuantile(first[step], at: node.arguments[0].range) } }

        let histograms = try gatherBuckets(child, frame)
        var merged = MergedRows()
        var scratch: [Bucket] = []
        for histogram in histograms {
            try work(histogram.buckets.count * frame.count)
            var values = Array(repeating: absent, count: frame.count)
            for step in 0..<frame.count {
                scratch.removeAll(keepingCapacity: true)
                for bucket in histogram.buckets where isPresent(bucket.values[step]) {
                    scratch.append(Bucket(bound: bucket.bound, count: bucket.values[step]))
                }
                if scratch.isEmpty { continue }
                if isQuantile {
                    let (value, wasForced) = Bucket.quantile(first[step], &scratch)
                    values[step] = value
                    if wasForced { noteForcedMonotonicity(histogram.labels, at: child.range) }
                } else {
                    values[step] = Bucket.fraction(first[step], second[step], &scratch)
                }
            }
            if !merged.add(histogram.labels.withoutMetricName, values) { throw .sameLabelSet }
        }
        try emitRows(merged.rows, emit)
    }

    private func noteForcedMonotonicity(_ labels: LabelSet, at range: SourceRange) {
        let name = labels[LabelSet.metricName].map { " for metric name \(quoted($0.utf8))" } ?? ""
        note(
            .info,
            "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)\(name)",
            at: range)
    }

    /// The buckets of each histogram, sorted by bound.
    private func gatherBuckets(_ child: Expression, _ frame: Frame) throws(EvaluationError) -> [Histogram] {
        var histograms: [Histogram] = []
        var indices: [LabelSet: Int] = [:]
        try stream(child, frame) { [self] (labels, values) throws(EvaluationError) in
            let labels = labels.resolved
            let text = labels[Evaluation.boundLabel] ?? ""
            guard let bound = Bucket.bound(text) else {
                let name = labels[LabelSet.metricName] ?? ""
                note(
                    .warning,
                    "bucket label \"\(Evaluation.boundLabel)\" is missing or has a malformed value of \(quoted(text.utf8)) for metric name \(quoted(name.utf8))",
                    at: child.range)
                return
            }
            try hold(values.count)
            let key = labels.filtered { $0 != Evaluation.boundLabel }
            let index = indices[key] ?? histograms.count
            if index == histograms.count {
                indices[key] = index
                histograms.append(Histogram(labels: key))
            }
            histograms[index].buckets.append((bound, values))
        }
        for index in histograms.indices { histograms[index].buckets.sort { $0.bound < $1.bound } }
        return histograms
    }
}

/// One bucket of a classic histogram: how many observations were at most the bound.
struct Bucket {
    let bound: Double
    var count: Double

    /// Differences of neighbouring counts below this share are rounding, not observations (Prometheus' tolerance).
    private static let tolerance = 1e-12

    /// Reads the value of an `le` label as Go reads a number.
    static func bound(_ text: String) -> Double? {
        switch text.lowercased() {
        case "+inf", "inf", "+infinity", "infinity": return .infinity
        case "-inf", "-infinity": return -.infinity
        case "nan": return .nan
        default: break
        }
        guard let first = text.utf8.first, isDigit(first) || "+-.".utf8.contains(first) else { return nil }
        return Double(text.hasSuffix(".") ? String(text.dropLast()) : text)
    }

    /// The quantile of sorted buckets, interpolated within one, and whether counts had to be made to rise.
    static func quantile(_ q: Double, _ buckets: inout [Bucket]) -> (Double, wasForced: Bool) {
        if q.isNaN { return (.nan, false) }
        if q < 0 { return (-.infinity, false) }
        if q > 1 { return (.infinity, false) }
        guard buckets.last?.bound == .infinity else { return (.nan, false) }
        coalesce(&buckets)
        let wasForced = makeMonotonic(&buckets)
        guard buckets.count > 1, let observations = buckets.last?.count, observations != 0 else { return (.nan, false) }
        var rank = q * observations
        let place = buckets.dropLast().firstIndex { $0.count >= rank } ?? buckets.count - 1
        // In the last bucket nothing is known but its lower bound; in a first one below zero, its upper bound.
        if place == buckets.count - 1 { return (buckets[place - 1].bound, wasForced) }
        if place == 0, buckets[0].bound <= 0 { return (buckets[0].bound, wasForced) }
        let end = buckets[place].bound
        var start = 0.0
        var count = buckets[place].count
        if place > 0 {
            start = buckets[place - 1].bound
            count -= buckets[place - 1].count
            rank -= buckets[place - 1].count
        }
        return (start + (end - start) * (rank / count), wasForced)
    }

    /// The share of observations between two bounds, interpolated within buckets of finite width.
    static func fraction(_ lower: Double, _ upper: Double, _ buckets: inout [Bucket]) -> Double {
        guard buckets.last?.bound == .infinity else { return .nan }
        coalesce(&buckets)
        let total = buckets[buckets.count - 1].count
        if total == 0 || lower.isNaN || upper.isNaN { return .nan }
        if lower >= upper { return 0 }
        return (rank(of: upper, buckets) - rank(of: lower, buckets)) / total
    }

    private static func rank(of value: Double, _ buckets: [Bucket]) -> Double {
        let total = buckets[buckets.count - 1].count
        var below = 0.0
        for (index, bucket) in buckets.enumerated() {
            let start = index > 0 ? buckets[index - 1].bound : bucket.bound > 0 ? 0 : -Double.infinity
            if start >= value { return min(below, total) }
            if bucket.bound > value {
                let rank = start == -.infinity ? bucket.count : below + (bucket.count - below) * (value - start) / (bucket.bound - start)
                return min(rank, total)
            }
            below = bucket.count
        }
        return total
    }

    private static func coalesce(_ buckets: inout [Bucket]) {
        var kept = 0
        for index in buckets.indices.dropFirst() {
            if buckets[index].bound == buckets[kept].bound {
                buckets[kept].count += buckets[index].count
            } else {
                kept += 1
                buckets[kept] = buckets[index]
            }
        }
        buckets.removeLast(buckets.count - kept - 1)
    }

    private static func makeMonotonic(_ buckets: inout [Bucket]) -> Bool {
        var wasForced = false
        var previous = buckets[0].count
        for index in buckets.indices.dropFirst() where buckets[index].count != previous {
            let count = buckets[index].count
            if isAlmostEqual(previous, count) {
                buckets[index].count = previous
            } else if count < previous {
                buckets[index].count = previous
                wasForced = true
            } else {
                previous = count
            }
        }
        return wasForced
    }

    private static func isAlmostEqual(_ left: Double, _ right: Double) -> Bool {
        if left.isNaN || right.isNaN { return left.isNaN && right.isNaN }
        let sum = left.magnitude + right.magnitude
        let difference = (left - right).magnitude
        let smallest = Double.leastNormalMagnitude
        if left == 0 || right == 0 || sum < smallest { return difference < tolerance * smallest }
        return difference / min(sum, .greatestFiniteMagnitude) < tolerance
    }
}
