import TimeSeries

/// Which labels a group has in common.
struct Grouping {
    private let names: Set<String>
    private let isWithout: Bool
    private let isSingle: Bool

    init(_ node: Aggregation) {
        names = Set(node.grouping)
        isWithout = node.isWithout
        isSingle = !node.isWithout && node.grouping.isEmpty
    }

    func key(_ labels: SeriesLabels) -> LabelSet {
        if isSingle { return .empty }
        if isWithout { return labels.filtered { $0 != LabelSet.metricName && !names.contains($0) } }
        return labels.filtered(names.contains)
    }
}

extension Evaluation {
    func streamAggregation(_ node: Aggregation, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        switch node.operation {
        case .topk, .bottomk: try streamExtremes(node, frame, emit)
        case .quantile: try streamQuantile(node, frame, emit)
        case .countValues: try streamCountValues(node, frame, emit)
        default: try streamFolded(node, frame, emit)
        }
    }

    /// The aggregations that need one state a group and step.
    private func streamFolded(_ node: Aggregation, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        let grouping = Grouping(node)
        var keys: [LabelSet] = []
        var indices: [LabelSet: Int] = [:]
        var folds: [Fold] = []
        try stream(node.expression, frame) { [self] (labels, values) throws(EvaluationError) in
            let key = grouping.key(labels)
            let index: Int
            if let known = indices[key] {
                index = known
            } else {
                index = keys.count
                indices[key] = index
                keys.append(key)
                try hold(3 * frame.count)
                folds.append(Fold(node.operation, frame.count))
            }
            try work(frame.count)
            folds[index].add(values)
        }
        var values: [Double] = []
        for (index, key) in keys.enumerated() {
            values = folds[index].finished
            try emit(SeriesLabels(full: key), &values)
        }
    }

    // MARK: topk and bottomk

    private struct Grouped {
        var keys: [LabelSet] = []
        var members: [[Row]] = []
    }

    private func groupedRows(_ node: Aggregation, _ frame: Frame) throws(EvaluationError) -> Grouped {
        let grouping = Grouping(node)
        var result = Grouped()
        var indices: [LabelSet: Int] = [:]
        try stream(node.expression, frame) { [self] (labels, values) throws(EvaluationError) in
            let key = grouping.key(labels)
            let index = indices[key] ?? result.keys.count
            if index == result.keys.count {
                indices[key] = index
                result.keys.append(key)
                result.members.append([])
            }
            try hold(values.count)
            result.members[index].append(Row(labels: labels.resolved, values: values))
        }
        return result
    }

    private func streamExtremes(_ node: Aggregation, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        let counts = try counts(node, frame)
        let groups = try groupedRows(node, frame)
        if (0..<frame.count).allSatisfy({ counts[$0] < 1 }) { return }
        let isTop = node.operation == .topk
        for members in groups.members {
            var chosen = Array(repeating: Array(repeating: absent, count: frame.count), count: members.count)
            var order: [Int] = []
            for step in 0..<frame.count where counts[step] >= 1 {
                try work(members.count)
                order = Selection.best(members, step, counts[step], isTop: isTop)
                for index in order { chosen[index][step] = members[index].values[step] }
            }
            // An instant query answers best first, a range query in the order of the series.
            for index in frame.count == 1 ? order : Array(members.indices) {
                try emit(SeriesLabels(full: members[index].labels), &chosen[index])
            }
        }
    }

    /// How many to choose at each step.
    private func counts(_ node: Aggregation, _ frame: Frame) throws(EvaluationError) -> [Int] {
        guard let parameter = node.parameter else { return Array(repeating: 0, count: frame.count) }
        let values = try scalar(parameter, frame)
        var counts: [Int] = []
        for step in 0..<frame.count {
            let value = values[step]
            if value.isNaN { throw .execution("Parameter value is NaN") }
            if value >= 0x1p63 { throw .execution("Scalar value \(NumberText.general(value)) overflows int64") }
            if value < -0x1p63 { throw .execution("Scalar value \(NumberText.general(value)) underflows int64") }
            counts.append(Int(value))
        }
        return counts
    }

    // MARK: quantile and count_values

    private func streamQuantile(_ node: Aggregation, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        guard let parameter = node.parameter else { return }
        let q = try scalar(parameter, frame)
        for step in 0..<frame.count { noteQuantile(q[step], at: parameter.range) }
        let groups = try groupedRows(node, frame)
        var numbers: [Double] = []
        for (index, members) in groups.members.enumerated() {
            var values = Array(repeating: absent, count: frame.count)
            for step in 0..<frame.count {
                try work(members.count)
                numbers.removeAll(keepingCapacity: true)
                for row in members where isPresent(row.values[step]) { numbers.append(row.values[step]) }
                if !numbers.isEmpty { values[step] = quantile(q[step], &numbers) }
            }
            try emit(SeriesLabels(full: groups.keys[index]), &values)
        }
    }

    /// One series for each group and value: how many have it.
    private func streamCountValues(_ node: Aggregation, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        guard let parameter = node.parameter else { return }
        let name = string(parameter)
        if !name.isValid || name.bytes.isEmpty { throw .execution("invalid label name \(quoted(name.bytes))") }
        let label = name.text
        let names = Set(node.grouping)
        // The label is set before the groups are made, so `without` may take it away again.
        let isRemoved = node.isWithout && names.contains(label)
        var rows: [Row] = []
        var indices: [LabelSet: Int] = [:]
        try stream(node.expression, frame) { [self] (labels, values) throws(EvaluationError) in
            let base = labels.filtered { name in
                if name == label { return false }
                return node.isWithout ? name != LabelSet.metricName && !names.contains(name) : names.contains(name)
            }
            var known: (bits: UInt64, index: Int)?
            try work(frame.count)
            for step in 0..<frame.count where isPresent(values[step]) {
                let bits = values[step].isNaN ? Double.nan.bitPattern : values[step].bitPattern
                if known?.bits != bits {
                    let key = isRemoved ? base : base.setting(label, to: NumberText.plain(values[step]))
                    let index = indices[key] ?? rows.count
                    if index == rows.count {
                        indices[key] = index
                        try hold(frame.count)
                        rows.append(Row(labels: key, values: Array(repeating: absent, count: frame.count)))
                    }
                    known = (bits, index)
                }
                guard let index = known?.index else { continue }
                let before = rows[index].values[step]
                rows[index].values[step] = isPresent(before) ? before + 1 : 1
            }
        }
        try emitRows(rows, emit)
    }
}

/// Choosing the best of a group.
private enum Selection {
    /// The rows with the best numbers at a step, best first; NaN is never better, and of equals the earlier row is.
    static func best(_ members: [Row], _ step: Int, _ count: Int, isTop: Bool) -> [Int] {
        let order = ValueOrder(isAscending: !isTop)
        func isBetter(_ left: Int, _ right: Int) -> Bool {
            order.precedes(members[left].values[step], left, members[right].values[step], right)
        }
        // A heap with the worst of the chosen on top.
        var heap: [Int] = []
        func siftDown(_ start: Int) {
            var place = start
            while true {
                var worst = place
                for child in [2 * place + 1, 2 * place + 2] where child < heap.count && isBetter(heap[worst], heap[child]) { worst = child }
                if worst == place { return }
                heap.swapAt(place, worst)
                place = worst
            }
        }
        for index in members.indices where isPresent(members[index].values[step]) {
            if heap.count < count {
                heap.append(index)
                var place = heap.count - 1
                while place > 0, isBetter(heap[(place - 1) / 2], heap[place]) {
                    heap.swapAt(place, (place - 1) / 2)
                    place = (place - 1) / 2
                }
            } else if isBetter(index, heap[0]) {
                heap[0] = index
                siftDown(0)
            }
        }
        return heap.sorted(by: isBetter)
    }
}

/// The state of one group: for each step what was seen so far.
private struct Fold {
    let operation: AggregationOperator
    var first: [Double]
    var second: [Double] = []
    var counts: [Double] = []
    var means: [CompensatedMean?] = []

    init(_ operation: AggregationOperator, _ steps: Int) {
        self.operation = operation
        first = Array(repeating: absent, count: steps)
        switch operation {
        case .sum: second = Array(repeating: 0, count: steps)
        case .avg: means = Array(repeating: nil, count: steps)
        case .stddev, .stdvar:
            second = Array(repeating: 0, count: steps)
            counts = Array(repeating: 0, count: steps)
        default: break
        }
    }

    mutating func add(_ values: [Double]) {
        switch operation {
        case .sum: addToSum(values)
        case .avg: addToMean(values)
        case .min: each(values) { state, value in value < state || state.isNaN ? value : state }
        case .max: each(values) { state, value in value > state || state.isNaN ? value : state }
        case .stddev, .stdvar: addToVariance(values)
        case .group: for step in values.indices where isPresent(values[step]) { first[step] = 1 }
        default:
            for step in values.indices where isPresent(values[step]) { first[step] = isPresent(first[step]) ? first[step] + 1 : 1 }
        }
    }

    @inline(__always)
    private mutating func each(_ values: [Double], _ combine: (Double, Double) -> Double) {
        first.withUnsafeMutableBufferPointer { first in
            for step in 0..<first.count where isPresent(values[step]) {
                first[step] = isPresent(first[step]) ? combine(first[step], values[step]) : values[step]
            }
        }
    }

    private mutating func addToSum(_ values: [Double]) {
        first.withUnsafeMutableBufferPointer { first in
            second.withUnsafeMutableBufferPointer { second in
                for step in 0..<first.count where isPresent(values[step]) {
                    guard isPresent(first[step]) else {
                        first[step] = values[step]
                        continue
                    }
                    var sum = CompensatedSum(first[step], second[step])
                    sum.add(values[step])
                    first[step] = sum.sum
                    second[step] = sum.compensation
                }
            }
        }
    }

    private mutating func addToMean(_ values: [Double]) {
        means.withUnsafeMutableBufferPointer { means in
            for step in 0..<means.count where isPresent(values[step]) {
                if means[step] == nil { means[step] = CompensatedMean(values[step]) } else { means[step]?.add(values[step]) }
            }
        }
    }

    /// Welford's sum of squares; a group with an infinite or NaN member has none.
    private mutating func addToVariance(_ values: [Double]) {
        for step in values.indices where isPresent(values[step]) {
            let value = values[step]
            counts[step] += 1
            guard isPresent(first[step]) else {
                first[step] = value
                second[step] = value.isFinite ? 0 : .nan
                continue
            }
            let delta = value - first[step]
            first[step] += delta / counts[step]
            second[step] += delta * (value - first[step])
        }
    }

    var finished: [Double] {
        switch operation {
        case .sum:
            return first.indices.map { isPresent(first[$0]) ? first[$0] + second[$0] : absent }
        case .avg: return means.map { $0?.mean ?? absent }
        case .stdvar: return first.indices.map { isPresent(first[$0]) ? second[$0] / counts[$0] : absent }
        case .stddev: return first.indices.map { isPresent(first[$0]) ? (second[$0] / counts[$0]).squareRoot() : absent }
        default: return first
        }
    }
}
