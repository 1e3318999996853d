public import TimeSeries

extension Evaluation {
    func streamBinary(_ node: BinaryOperation, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        if node.operation.isSetOperator { return try streamSetOperation(node, frame, emit) }
        switch (node.left.type, node.right.type) {
        case (.vector, .scalar): try streamWithScalar(node, frame, vector: node.left, scalar: node.right, isSwapped: false, emit)
        case (.scalar, .vector): try streamWithScalar(node, frame, vector: node.right, scalar: node.left, isSwapped: true, emit)
        default: try streamMatched(node, frame, emit)
        }
    }

    // MARK: Vector and scalar

    private func streamWithScalar(
        _ node: BinaryOperation, _ frame: Frame, vector: Expression, scalar: Expression, isSwapped: Bool, _ emit: Emit
    ) throws(EvaluationError) {
        let operation = node.operation
        let other = try self.scalar(scalar, frame)
        if operation.isComparison, !node.returnsBool {
            return try stream(vector, frame) { (labels, values) throws(EvaluationError) in
                for step in values.indices where isPresent(values[step]) {
                    let value = values[step]
                    let holds =
                        isSwapped ? Arithmetic.holds(operation, other[step], value) : Arithmetic.holds(operation, value, other[step])
                    if !holds { values[step] = absent }
                }
                try emit(labels, &values)
            }
        }
        if case .constant(let constant) = other, !operation.isComparison {
            return try streamWithConstant(operation, constant, vector, isSwapped: isSwapped, frame, emit)
        }
        try transformDroppingName(vector, frame, emit) { values throws(EvaluationError) in
            for step in values.indices where isPresent(values[step]) {
                let value = values[step]
                values[step] =
                    isSwapped ? Arithmetic.scalar(operation, other[step], value) : Arithmetic.scalar(operation, value, other[step])
            }
        }
    }

    private func streamWithConstant(
        _ operation: BinaryOperator, _ constant: Double, _ vector: Expression, isSwapped: Bool, _ frame: Frame, _ emit: Emit
    ) throws(EvaluationError) {
        switch (operation, isSwapped) {
        case (.add, _): try mapDroppingName(vector, frame, emit) { $0 + constant }
        case (.multiply, _): try mapDroppingName(vector, frame, emit) { $0 * constant }
        case (.subtract, false): try mapDroppingName(vector, frame, emit) { $0 - constant }
        case (.divide, false): try mapDroppingName(vector, frame, emit) { $0 / constant }
        case (_, false): try mapDroppingName(vector, frame, emit) { Arithmetic.value(operation, $0, constant) }
        case (_, true): try mapDroppingName(vector, frame, emit) { Arithmetic.value(operation, constant, $0) }
        }
    }

    // MARK: Sets

    private func signature(_ matching: VectorMatching) -> (LabelSet) -> LabelSet {
        let names = Set(matching.labels)
        if matching.isOn { return { $0.filtered(names.contains) } }
        if names.isEmpty { return { $0.withoutMetricName } }
        return { $0.filtered { $0 != LabelSet.metricName && !names.contains($0) } }
    }

    /// For each signature the steps at which one of the rows has a number.
    private func presence(_ rows: [Row], _ signature: (LabelSet) -> LabelSet, _ frame: Frame) -> [LabelSet: [Bool]] {
        var result: [LabelSet: [Bool]] = [:]
        for row in rows {
            let key = signature(row.labels)
            for step in 0..<frame.count where isPresent(row.values[step]) {
                result[key, default: Array(repeating: false, count: frame.count)][step] = true
            }
        }
        return result
    }

    private func streamSetOperation(_ node: BinaryOperation, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        let signature = signature(node.matching)
        if node.operation == .or {
            let left = try rows(node.left, frame)
            let taken = presence(left, signature, frame)
            var merged = MergedRows()
            for row in left where !merged.add(row.labels, row.values) { throw .sameLabelSet }
            try stream(node.right, frame) { [self] (labels, values) throws(EvaluationError) in
                let labels = labels.resolved
                if let steps = taken[signature(labels)] {
                    for step in 0..<frame.count where steps[step] { values[step] = absent }
                }
                try hold(values.count)
                if !merged.add(labels, values) { throw .sameLabelSet }
            }
            return try emitRows(merged.rows, emit)
        }
        let other = presence(try rows(node.right, frame), signature, frame)
        let keepsMatches = node.operation == .and
        try stream(node.left, frame) { (labels, values) throws(EvaluationError) in
            let steps = other[signature(labels.resolved)]
            if steps == nil, keepsMatches { return }
            if let steps { for step in 0..<frame.count where steps[step] != keepsMatches { values[step] = absent } }
            try emit(labels, &values)
        }
    }

    // MARK: Vector and vector

    /// Arithmetic and comparisons of series that find each other by their labels.
    private func streamMatched(_ node: BinaryOperation, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        // The "one" side is the right one, except that group_right swaps the sides.
        let isSwapped = node.matching.cardinality == .oneToMany
        let left = try rows(node.left, frame)
        let right = try rows(node.right, frame)
        let many = isSwapped ? right : left
        let one = isSwapped ? left : right
        if many.isEmpty || one.isEmpty { return }
        let signature = signature(node.matching)
        var groups: [LabelSet: [Int]] = [:]
        for (index, row) in one.enumerated() { groups[signature(row.labels), default: []].append(index) }
        try checkUnique(node, one, many, groups, frame, isSwapped: isSwapped)

        var matches = MatchedRows(isOneToOne: node.matching.cardinality == .oneToOne)
        let labeller = ResultLabels(node)
        for row in many {
            let key = signature(row.labels)
            guard let partners = groups[key] else { continue }
            for partner in partners {
                try work(frame.count)
                try hold(frame.count)
                let other = one[partner]
                let (values, occupied) = combine(node, row.values, other.values, isSwapped: isSwapped)
                try matches.add(labeller.labels(row.labels, other.labels), key, values, occupied)
            }
        }
        try emitRows(matches.rows, emit)
    }

    /// Computes one pair; `occupied` says where both had a number, where a filter makes that differ from the result.
    private func combine(
        _ node: BinaryOperation, _ many: [Double], _ one: [Double], isSwapped: Bool
    ) -> (values: [Double], occupied: [Bool]?) {
        let operation = node.operation
        var values = many
        let isFilter = operation.isComparison && !node.returnsBool
        var occupied: [Bool]?
        if isFilter { occupied = Array(repeating: false, count: many.count) }
        for step in many.indices {
            guard isPresent(many[step]), isPresent(one[step]) else {
                values[step] = absent
                continue
            }
            let left = isSwapped ? one[step] : many[step]
            let right = isSwapped ? many[step] : one[step]
            if isFilter {
                occupied?[step] = true
                values[step] = Arithmetic.holds(operation, left, right) ? left : absent
            } else {
                values[step] = Arithmetic.scalar(operation, left, right)
            }
        }
        return (values, occupied)
    }

    /// The "one" side may have one series a signature at each step where the other side has any.
    private func checkUnique(
        _ node: BinaryOperation, _ one: [Row], _ many: [Row], _ groups: [LabelSet: [Int]], _ frame: Frame, isSwapped: Bool
    ) throws(EvaluationError) {
        let crowded = groups.filter { $0.value.count > 1 }.sorted { $0.key < $1.key }
        if crowded.isEmpty { return }
        var isNeeded = Array(repeating: false, count: frame.count)
        for row in many { for step in 0..<frame.count where isPresent(row.values[step]) { isNeeded[step] = true } }
        for (_, members) in crowded {
            var owner: [Int?] = Array(repeating: nil, count: frame.count)
            for member in members {
                for step in 0..<frame.count where isNeeded[step] && isPresent(one[member].values[step]) {
                    guard let earlier = owner[step] else {
                        owner[step] = member
                        continue
                    }
                    let names = Set(node.matching.labels)
                    let group = one[member].labels.filtered {
                        node.matching.isOn ? names.contains($0) : $0 != LabelSet.metricName && !names.contains($0)
                    }
                    throw .execution(
                        "found duplicate series for the match group \(group.promText) on the \(isSwapped ? "left" : "right") hand-side of the operation: [\(one[member].labels.promText), \(one[earlier].labels.promText)];many-to-many matching not allowed: matching labels must be unique on one side"
                    )
                }
            }
        }
    }
}

/// The results of matched pairs, with the checks that matches are unique.
private struct MatchedRows {
    let isOneToOne: Bool
    private(set) var rows: [Row] = []
    private var groups: [LabelSet] = []
    private var occupied: [[Bool]?] = []
    private var byResult: [LabelSet: Int] = [:]
    /// For one to one: the steps that a signature has used, kept from its second pair on.
    private var bySignature: [LabelSet: [Int]] = [:]

    init(isOneToOne: Bool) { self.isOneToOne = isOneToOne }

    mutating func add(_ labels: LabelSet, _ signature: LabelSet, _ values: [Double], _ steps: [Bool]?) throws(EvaluationError) {
        if isOneToOne {
            for earlier in bySignature[signature] ?? [] where clashes(earlier, values, steps) {
                throw .execution("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)")
            }
        }
        if let earlier = byResult[labels] {
            if clashes(earlier, values, steps) {
                throw groups[earlier] == signature
                    ? .execution("multiple matches for labels: grouping labels must ensure unique matches") : .sameLabelSet
            }
            for step in values.indices where isPresent(values[step]) { rows[earlier].values[step] = values[step] }
            if let steps { for step in steps.indices where steps[step] { occupied[earlier]?[step] = true } }
            return
        }
        byResult[labels] = rows.count
        if isOneToOne { bySignature[signature, default: []].append(rows.count) }
        rows.append(Row(labels: labels, values: values))
        groups.append(signature)
        occupied.append(steps)
    }

    private func clashes(_ index: Int, _ values: [Double], _ steps: [Bool]?) -> Bool {
        if let steps, let earlier = occupied[index] { return zip(steps, earlier).contains { $0 && $1 } }
        return zip(values, rows[index].values).contains { isPresent($0) && isPresent($1) }
    }
}

/// The labels of a result of matched series; pairs with the same labels share the work.
private struct ResultLabels {
    private let matching: VectorMatching
    private let names: Set<String>
    private let dropsName: Bool

    init(_ node: BinaryOperation) {
        matching = node.matching
        names = Set(node.matching.labels)
        dropsName = !node.operation.isComparison || node.returnsBool
    }

    func labels(_ many: LabelSet, _ one: LabelSet) -> LabelSet {
        var result = dropsName ? many.withoutMetricName : many
        switch matching.cardinality {
        case .oneToOne:
            if matching.isOn {
                result = result.filtered(names.contains)
            } else if !names.isEmpty {
                result = result.filtered { !names.contains($0) }
            }
        default:
            for name in matching.included { result = result.setting(name, to: one[name] ?? "") }
        }
        return result
    }
}

extension LabelSet {
    /// As Prometheus prints a series: `name{a="b", c="d"}`.
    public var promText: String {
        let name = self[LabelSet.metricName] ?? ""
        let isPlain = name.isEmpty || isPlainMetricName(name)
        let others = labels.filter { !isPlain || $0.name != LabelSet.metricName }
        var parts: [String] = []
        for label in others {
            if label.name == LabelSet.metricName {
                parts.append(quoted(name.utf8))
                continue
            }
            let shown = isPlainLabelName(label.name) ? label.name : quoted(label.name.utf8)
            parts.append("\(shown)=\(quoted(label.value.utf8))")
        }
        if isPlain, !name.isEmpty { return parts.isEmpty ? name : name + "{" + parts.joined(separator: ", ") + "}" }
        return "{" + parts.joined(separator: ", ") + "}"
    }
}
