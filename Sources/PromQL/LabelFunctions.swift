import TimeSeries

extension Evaluation {
    /// Sets a label from a regular expression on another one.
    func streamLabelReplace(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        let destination = string(node.arguments[1])
        let replacement = string(node.arguments[2]).text
        let source = string(node.arguments[3]).text
        let pattern = string(node.arguments[4]).text
        let expression: RegularExpression
        do {
            expression = try RegularExpression(pattern)
        } catch {
            throw .execution("invalid regular expression in label_replace(): \(error.description)")
        }
        if !destination.isValid || destination.bytes.isEmpty {
            throw .execution("invalid destination label name in label_replace(): \(destination.text)")
        }
        try relabel(node.arguments[0], frame, emit) { labels in
            guard let value = expression.expand(replacement, matchingWhole: labels[source] ?? "") else { return labels }
            return labels.setting(destination.text, to: value)
        }
    }

    /// Sets a label to the values of others, joined.
    func streamLabelJoin(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        let destination = string(node.arguments[1])
        let separator = string(node.arguments[2]).text
        var sources: [String] = []
        for argument in node.arguments.dropFirst(3) {
            let source = string(argument)
            if !source.isValid || source.bytes.isEmpty { throw .execution("invalid source label name in label_join(): \(source.text)") }
            sources.append(source.text)
        }
        if !destination.isValid || destination.bytes.isEmpty {
            throw .execution("invalid destination label name in label_join(): \(destination.text)")
        }
        try relabel(node.arguments[0], frame, emit) { labels in
            labels.setting(destination.text, to: sources.map { labels[$0] ?? "" }.joined(separator: separator))
        }
    }

    private func relabel(
        _ child: Expression, _ frame: Frame, _ emit: Emit, _ change: @escaping (LabelSet) -> LabelSet
    ) throws(EvaluationError) {
        var merged = MergedRows()
        try stream(child, frame) { [self] (labels, values) throws(EvaluationError) in
            try hold(values.count)
            if !merged.add(change(labels.resolved), values) { throw .sameLabelSet }
        }
        try emitRows(merged.rows, emit)
    }
}
