import TimeSeries

extension Expression: CustomStringConvertible {
    /// The query as Prometheus prints it on one line; it reads back as the same tree.
    public var description: String {
        var printer = Printer()
        printer.write(self)
        return printer.text
    }
}

/// Writes a tree as text; one growing text, so that time is linear.
private struct Printer {
    var text = ""

    mutating func write(_ expression: Expression) {
        switch expression {
        case .number(let node):
            text +=
                node.isDuration ? NumberSyntax.text(ofMilliseconds: Int64((node.value * 1000).rounded())) : NumberText.general(node.value)
        case .string(let node): text += quoted(node.bytes)
        case .selector(let node): write(node, window: nil)
        case .range(let node): write(node.selector, window: node.windowMilliseconds)
        case .subquery(let node):
            write(node.expression)
            text += "[" + NumberSyntax.text(ofMilliseconds: node.windowMilliseconds) + ":"
            text += node.stepMilliseconds.map(NumberSyntax.text) ?? ""
            text += "]"
            write(node.shift)
        case .parenthesized(let inner, _):
            text += "("
            write(inner)
            text += ")"
        case .unary(let node):
            text += node.negates ? "-" : "+"
            write(node.operand)
        case .binary(let node): write(node)
        case .call(let node):
            text += node.function.rawValue
            writeArguments(node.arguments)
        case .aggregation(let node): write(node)
        }
    }

    private mutating func writeArguments(_ arguments: [Expression]) {
        text += "("
        for (index, argument) in arguments.enumerated() {
            if index > 0 { text += ", " }
            write(argument)
        }
        text += ")"
    }

    private mutating func write(_ node: Aggregation) {
        text += node.operation.rawValue
        if node.isWithout || !node.grouping.isEmpty {
            text += node.isWithout ? " without " : " by "
            writeNames(node.grouping)
            text += " "
        }
        writeArguments((node.parameter.map { [$0] } ?? []) + [node.expression])
    }

    private mutating func write(_ node: BinaryOperation) {
        write(node.left)
        text += " " + node.operation.rawValue + (node.returnsBool ? " bool" : "")
        let matching = node.matching
        if matching.isExplicit {
            text += matching.isOn ? " on " : " ignoring "
            writeNames(matching.labels)
        }
        if matching.cardinality == .manyToOne || matching.cardinality == .oneToMany {
            text += matching.cardinality == .manyToOne ? " group_left " : " group_right "
            writeNames(matching.included)
        }
        text += " "
        write(node.right)
    }

    private mutating func writeNames(_ names: [String]) {
        text += "("
        for (index, name) in names.enumerated() {
            if index > 0 { text += ", " }
            text += isPlainLabelName(name) ? name : quoted(name.utf8)
        }
        text += ")"
    }

    private mutating func write(_ node: VectorSelector, window: Int64?) {
        let isPlain = node.name.map(isPlainMetricName) ?? false
        var parts: [String] = []
        if let name = node.name {
            if isPlain { text += name } else { parts.append(quoted(name.utf8)) }
        }
        // The matcher on a name that was written apart is the last.
        for matcher in node.name == nil ? node.matchers : node.matchers.dropLast() {
            let label = isPlainLabelName(matcher.name) ? matcher.name : quoted(matcher.name.utf8)
            parts.append(label + matcher.operation.rawValue + quoted(matcher.value.utf8))
        }
        if !parts.isEmpty || !isPlain { text += "{" + parts.joined(separator: ",") + "}" }
        if let window { text += "[" + NumberSyntax.text(ofMilliseconds: window) + "]" }
        write(node.shift)
    }

    private mutating func write(_ shift: TimeShift) {
        switch shift.instant {
        case .milliseconds(let value): text += " @ " + NumberText.fixed(Double(value) / 1000, decimals: 3)
        case .start: text += " @ start()"
        case .end: text += " @ end()"
        case nil: break
        }
        if shift.offsetMilliseconds != 0 { text += " offset " + NumberSyntax.text(ofMilliseconds: shift.offsetMilliseconds) }
    }
}

/// Whether a name needs no quotes inside braces and parentheses.
func isPlainLabelName(_ name: String) -> Bool {
    guard let first = name.utf8.first, isNameStart(first) else { return false }
    return name.utf8.allSatisfy { isNameStart($0) || isDigit($0) }
}

/// Whether a name needs no quotes before braces.
func isPlainMetricName(_ name: String) -> Bool {
    guard let first = name.utf8.first, isNameStart(first) || first == UInt8(ascii: ":") else { return false }
    // These words cannot stand before an operator or a brace without being read as themselves.
    if ["bool", "group_left", "group_right", "inf", "nan", "atan2"].contains(name.lowercased()) { return false }
    return name.utf8.allSatisfy { isNameStart($0) || isDigit($0) || $0 == UInt8(ascii: ":") }
}
