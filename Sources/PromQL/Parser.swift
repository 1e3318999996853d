import Fleet
public import TimeSeries

extension Expression {
    /// How deep a query may nest: parentheses, arguments and chains of operators all count.
    ///
    /// Every level costs stack when a query is read, evaluated and freed; a thread with 1 MiB of stack carries this many.
    public static let depthLimit = 200

    /// Reads a query.
    ///
    /// Throws ``ParseError`` with Prometheus' words for the first thing that is wrong, in syntax or in types. Time and memory are linear
    /// in the length of the query.
    public init(parsing query: String) throws(ParseError) {
        var parser = try Parser(query)
        let expression = try parser.parseQuery()
        try TypeChecker(source: parser.source).check(expression)
        self = expression
    }
}

extension [LabelMatcher] {
    /// Reads a selector alone, such as `up{job="a"}`: what `match[]` of the HTTP API holds.
    public init(parsingSelector query: String) throws(ParseError) {
        var parser = try Parser(query)
        guard case .selector(let selector) = try parser.parseQuery(), !selector.shift.hasOffset, selector.shift.instant == nil else {
            throw ParseError("expected a series selector alone", at: SourceRange(0, parser.source.count), in: parser.source)
        }
        self = selector.matchers
    }
}

/// Reads words into a tree: recursive descent, operators by precedence.
struct Parser {
    /// An expression and how deep it nests.
    struct Node {
        var expression: Expression
        var depth: Int
    }

    let source: [UInt8]
    private var lexer: Lexer
    private var token: Token
    private var depth = 0
    private var selectorCount = 0
    private var previousEnd = 0

    init(_ query: String) throws(ParseError) {
        source = Array(query.utf8)
        lexer = Lexer(source)
        token = Token(kind: .end, range: SourceRange(0, 0))
        token = try lexer.next()
    }

    mutating func parseQuery() throws(ParseError) -> Expression {
        if token.kind == .end { throw failure("no expression found in input", at: SourceRange(0, 0)) }
        let node = try parseExpression(minimum: 0)
        if token.kind != .end { throw unexpected() }
        return node.expression
    }

    // MARK: Words

    private mutating func advance() throws(ParseError) {
        previousEnd = token.range.end
        token = try lexer.next()
    }

    private func text(_ range: SourceRange) -> String { String(decoding: source[range.start..<range.end], as: UTF8.self) }

    private func failure(_ message: String, at range: SourceRange, suggestion: String? = nil) -> ParseError {
        ParseError(message, at: range, in: source, suggestion: suggestion)
    }

    private func unexpected(in context: String = "", expected: String = "") -> ParseError {
        let message =
            "unexpected \(describe(token))" + (context.isEmpty ? "" : " in \(context)") + (expected.isEmpty ? "" : ", expected \(expected)")
        return failure(message, at: token.range)
    }

    private func describe(_ token: Token) -> String {
        let bytes = source[token.range.start..<token.range.end]
        let longest = 10
        let shown = bytes.count > longest ? quoted(bytes.prefix(longest)) + "..." : quoted(bytes)
        switch token.kind {
        case .end: return "end of input"
        case .identifier: return "identifier \(quoted(bytes))"
        case .metricIdentifier: return "metric identifier \(quoted(bytes))"
        case .string:
            return
                "string \(bytes.count > longest ? quoted(bytes.dropFirst().dropLast().prefix(longest)) + "..." : quoted(bytes.dropFirst().dropLast()))"
        case .number: return "number \(shown)"
        case .duration: return "duration \(shown)"
        case .binary: return "<op:\(text(token.range))>"
        case .matchesRegex, .doesNotMatchRegex: return "<op:\(text(token.range))>"
        case .aggregation: return "<aggr:\(text(token.range))>"
        case .keyword: return "<\(text(token.range))>"
        default: return shown
        }
    }

    private mutating func expect(_ kind: TokenKind, in context: String, _ expected: String) throws(ParseError) {
        guard token.kind == kind else { throw unexpected(in: context, expected: expected) }
        try advance()
    }

    private func checked(_ expression: Expression, depth: Int) throws(ParseError) -> Node {
        if depth > Expression.depthLimit {
            throw failure("query nests deeper than \(Expression.depthLimit) levels", at: expression.range, suggestion: "split the query")
        }
        return Node(expression: expression, depth: depth)
    }

    private mutating func nested<T>(_ body: (inout Parser) throws(ParseError) -> T) throws(ParseError) -> T {
        depth += 1
        defer { depth -= 1 }
        if depth > Expression.depthLimit {
            throw failure("query nests deeper than \(Expression.depthLimit) levels", at: token.range, suggestion: "split the query")
        }
        return try body(&self)
    }

    // MARK: Operators

    private mutating func parseExpression(minimum: Int) throws(ParseError) -> Node {
        var left = try parseUnary()
        while case .binary(let operation) = token.kind, operation.precedence >= minimum {
            let operatorRange = token.range
            try advance()
            let (matching, returnsBool) = try parseModifiers(of: operation)
            // The power operator groups from the right.
            let next = operation == .power ? operation.precedence : operation.precedence + 1
            let right = try nested { (parser) throws(ParseError) in try parser.parseExpression(minimum: next) }
            let binary = BinaryOperation(
                operation: operation, left: left.expression, right: right.expression, matching: matching, returnsBool: returnsBool,
                operatorRange: operatorRange)
            left = try checked(.binary(binary), depth: max(left.depth, right.depth) + 1)
        }
        return left
    }

    private mutating func parseUnary() throws(ParseError) -> Node {
        guard token.kind == .binary(.add) || token.kind == .binary(.subtract) else { return try parsePostfix() }
        let start = token.range.start
        let negates = token.kind == .binary(.subtract)
        try advance()
        // A sign binds like a multiplication: -2^2 is -(2^2).
        let operand = try nested { (parser) throws(ParseError) in try parser.parseExpression(minimum: BinaryOperator.power.precedence) }
        let range = SourceRange(start, operand.expression.range.end)
        if case .number(let literal) = operand.expression {
            let value = negates ? -literal.value : literal.value
            return try checked(.number(NumberLiteral(value: value, isDuration: literal.isDuration, range: range)), depth: operand.depth)
        }
        return try checked(.unary(UnaryOperation(negates: negates, operand: operand.expression, range: range)), depth: operand.depth + 1)
    }

    private mutating func parseModifiers(of operation: BinaryOperator) throws(ParseError) -> (VectorMatching, Bool) {
        var matching = VectorMatching()
        var returnsBool = false
        if operation.isSetOperator { matching.cardinality = .manyToMany }
        if token.kind == .keyword(.bool) {
            if !operation.isComparison {
                throw failure("bool modifier can only be used on comparison operators", at: token.range)
            }
            returnsBool = true
            try advance()
        }
        guard case .keyword(let keyword) = token.kind, keyword == .on || keyword == .ignoring else { return (matching, returnsBool) }
        try advance()
        matching.isExplicit = true
        matching.isOn = keyword == .on
        matching.labels = try parseLabelNames()
        guard case .keyword(let group) = token.kind, group == .groupLeft || group == .groupRight else { return (matching, returnsBool) }
        let range = token.range
        try advance()
        if operation.isSetOperator { throw failure("no grouping allowed for \"\(operation.rawValue)\" operation", at: range) }
        matching.cardinality = group == .groupLeft ? .manyToOne : .oneToMany
        if token.kind == .leftParenthesis { matching.included = try parseLabelNames() }
        for label in matching.included where matching.isOn && matching.labels.contains(label) {
            throw failure("label \(quoted(label.utf8)) must not occur in ON and GROUP clause at once", at: range)
        }
        return (matching, returnsBool)
    }

    /// The names in parentheses after `by`, `on` and their like; any word is a name here, and so is a text in quotes.
    private mutating func parseLabelNames() throws(ParseError) -> [String] {
        try expect(.leftParenthesis, in: "grouping opts", "\"(\"")
        var names: [String] = []
        while token.kind != .rightParenthesis {
            names.append(try parseLabelName())
            if token.kind == .comma {
                try advance()
            } else if token.kind != .rightParenthesis {
                throw unexpected(in: "grouping opts", expected: "\",\" or \")\"")
            }
        }
        try advance()
        return names
    }

    private mutating func parseLabelName() throws(ParseError) -> String {
        switch token.kind {
        case .identifier, .keyword, .aggregation, .binary(.and), .binary(.or), .binary(.unless), .binary(.atan2):
            let name = text(token.range)
            try advance()
            return name
        case .number where isNameStart(source[token.range.start]):
            let name = text(token.range)
            try advance()
            return name
        case .string:
            let literal = try parseString()
            if !literal.isValid || literal.bytes.isEmpty {
                throw failure("invalid label name \(quoted(literal.bytes))", at: literal.range)
            }
            return literal.text
        default: throw unexpected(in: "grouping opts", expected: "label")
        }
    }

    // MARK: Operands

    private mutating func parsePostfix() throws(ParseError) -> Node {
        var node = try parsePrimary()
        while true {
            switch token.kind {
            case .leftBracket: node = try parseBrackets(after: node)
            case .keyword(.offset): node.expression = try parseOffset(of: node.expression)
            case .at: node.expression = try parseAt(of: node.expression)
            default: return node
            }
        }
    }

    private mutating func parsePrimary() throws(ParseError) -> Node {
        switch token.kind {
        case .number, .duration:
            let range = token.range
            let isDuration = token.kind == .duration
            let value = try parseSeconds()
            return Node(expression: .number(NumberLiteral(value: value, isDuration: isDuration, range: range)), depth: 1)
        case .string: return Node(expression: .string(try parseString()), depth: 1)
        case .leftParenthesis:
            let start = token.range.start
            try advance()
            let inner = try nested { (parser) throws(ParseError) in try parser.parseExpression(minimum: 0) }
            guard token.kind == .rightParenthesis else { throw unexpected() }
            try advance()
            return try checked(.parenthesized(inner.expression, SourceRange(start, previousEnd)), depth: inner.depth + 1)
        case .leftBrace: return Node(expression: .selector(try parseSelector(name: nil, start: token.range.start)), depth: 1)
        case .metricIdentifier: return try parseNamedSelector()
        case .identifier:
            let name = token
            try advance()
            if token.kind == .leftParenthesis { return try parseCall(name) }
            return Node(expression: .selector(try parseSelector(name: text(name.range), start: name.range.start)), depth: 1)
        case .aggregation(let operation): return try parseAggregationOrMetric(operation)
        case .keyword(let keyword) where keyword != .bool && keyword != .groupLeft && keyword != .groupRight:
            return try parseNamedSelector()
        case .binary(.and), .binary(.or), .binary(.unless): return try parseNamedSelector()
        default: throw unexpected()
        }
    }

    private mutating func parseNamedSelector() throws(ParseError) -> Node {
        let name = token
        try advance()
        return Node(expression: .selector(try parseSelector(name: text(name.range), start: name.range.start)), depth: 1)
    }

    private mutating func parseString() throws(ParseError) -> StringLiteral {
        let range = token.range
        do {
            let bytes = try StringSyntax.decode(source[range.start..<range.end])
            try advance()
            return StringLiteral(bytes: bytes, range: range)
        } catch let error as StringSyntax.Failure {
            throw failure(error.message, at: SourceRange(error.place, range.end))
        } catch let error as ParseError {
            throw error
        } catch {
            throw failure("unreadable text", at: range)
        }
    }

    /// The seconds of a number or a duration.
    private mutating func parseSeconds() throws(ParseError) -> Double {
        let range = token.range
        let bytes = source[range.start..<range.end]
        let value: Double?
        if token.kind == .duration {
            value = NumberSyntax.milliseconds(of: bytes).map { Double($0) / 1000 }
        } else {
            value = NumberSyntax.value(of: bytes)
        }
        guard let value else {
            throw failure(
                token.kind == .duration ? "not a valid duration string: \(quoted(bytes))" : "error parsing number: \(quoted(bytes))",
                at: range)
        }
        try advance()
        return value
    }

    /// A duration, or a number of seconds, in milliseconds.
    private mutating func parseMilliseconds(in context: String, expected: String = "number or duration") throws(ParseError) -> Int64 {
        guard token.kind == .number || token.kind == .duration else { throw unexpected(in: context, expected: expected) }
        let range = token.range
        let milliseconds = try parseSeconds() * 1000
        // Durations are nanoseconds in 64 bits, about 292 years.
        let largest = 9_223_372_036_854.0
        guard milliseconds.magnitude <= largest else { throw failure("duration out of range", at: range) }
        return Int64(milliseconds.rounded())
    }

    // MARK: Selectors

    private mutating func parseSelector(name: String?, start: Int) throws(ParseError) -> VectorSelector {
        var matchers: [LabelMatcher] = []
        var quotedName: String?
        if token.kind == .leftBrace {
            try advance()
            while token.kind != .rightBrace {
                if let metric = try parseMatcher(into: &matchers) {
                    if let earlier = name ?? quotedName {
                        throw failure(
                            "metric name must not be set twice: \(quoted(earlier.utf8)) or \(quoted(metric.utf8))",
                            at: SourceRange(start, previousEnd))
                    }
                    quotedName = metric
                }
                if token.kind == .comma {
                    try advance()
                } else if token.kind != .rightBrace {
                    throw unexpected(in: "label matching", expected: "\",\" or \"}\"")
                }
            }
            try advance()
        }
        let range = SourceRange(start, previousEnd)
        if let metric = name ?? quotedName {
            for matcher in matchers where matcher.name == LabelSet.metricName && matcher.operation == .equal {
                throw failure("metric name must not be set twice: \(quoted(metric.utf8)) or \(quoted(matcher.value.utf8))", at: range)
            }
            matchers.append(LabelMatcher(LabelSet.metricName, equals: metric))
        }
        if matchers.allSatisfy(\.matchesAbsence) {
            throw failure("vector selector must contain at least one non-empty matcher", at: range)
        }
        selectorCount += 1
        return VectorSelector(name: name ?? quotedName, matchers: matchers, ordinal: selectorCount - 1, range: range)
    }

    /// Reads `name="value"`, or a metric's name in quotes, which it returns.
    private mutating func parseMatcher(into matchers: inout [LabelMatcher]) throws(ParseError) -> String? {
        let name: String
        switch token.kind {
        case .identifier:
            name = text(token.range)
            try advance()
        case .string:
            let literal = try parseString()
            guard literal.isValid, !literal.bytes.isEmpty else {
                throw failure("invalid label name \(quoted(literal.bytes))", at: literal.range)
            }
            name = literal.text
            if token.kind == .comma || token.kind == .rightBrace { return name }
        default: throw unexpected(in: "label matching", expected: "identifier or \"}\"")
        }
        let operation: LabelMatcher.Operation
        switch token.kind {
        case .equals: operation = .equal
        case .binary(.notEqual): operation = .notEqual
        case .matchesRegex: operation = .matches
        case .doesNotMatchRegex: operation = .doesNotMatch
        default: throw unexpected(in: "label matching", expected: "label matching operator")
        }
        try advance()
        guard token.kind == .string else { throw unexpected(in: "label matching", expected: "string") }
        let value = try parseString()
        do {
            matchers.append(try LabelMatcher(name, operation, value.text))
        } catch {
            throw failure(error.description, at: value.range)
        }
        return nil
    }

    private mutating func parseBrackets(after node: Node) throws(ParseError) -> Node {
        let start = token.range.start
        try advance()
        let window = try parsePositive(in: "subquery or range selector")
        if token.kind == .rightBracket {
            try advance()
            let brackets = SourceRange(start, previousEnd)
            guard case .selector(let selector) = node.expression else {
                throw failure("ranges only allowed for vector selectors", at: brackets)
            }
            if selector.shift.hasOffset { throw failure("no offset modifiers allowed before range", at: brackets) }
            if selector.shift.instant != nil { throw failure("no @ modifiers allowed before range", at: brackets) }
            let range = SourceRange(selector.range.start, previousEnd)
            return try checked(.range(RangeSelector(selector: selector, windowMilliseconds: window, range: range)), depth: node.depth + 1)
        }
        guard token.kind == .colon else { throw unexpected(in: "subquery or range", expected: "\":\" or \"]\"") }
        try advance()
        var step: Int64?
        if token.kind != .rightBracket { step = try parsePositive(in: "subquery selector", expected: "number, duration or \"]\"") }
        try expect(.rightBracket, in: "subquery selector", "\"]\"")
        let range = SourceRange(node.expression.range.start, previousEnd)
        let subquery = Subquery(expression: node.expression, windowMilliseconds: window, stepMilliseconds: step, range: range)
        return try checked(.subquery(subquery), depth: node.depth + 1)
    }

    private mutating func parsePositive(in context: String, expected: String = "number or duration") throws(ParseError) -> Int64 {
        let range = token.range
        let milliseconds = try parseMilliseconds(in: context, expected: expected)
        if milliseconds <= 0 { throw failure("duration must be greater than 0", at: range) }
        return milliseconds
    }

    private mutating func parseOffset(of expression: Expression) throws(ParseError) -> Expression {
        try advance()
        let sign = try parseSign()
        let milliseconds = sign * (try parseMilliseconds(in: "offset"))
        let end = previousEnd
        return try shifted(
            expression, end: end, name: "offset modifier", message: "offset may not be set multiple times"
        ) { shift in
            if shift.hasOffset { return false }
            shift.hasOffset = true
            shift.offsetMilliseconds = milliseconds
            return true
        }
    }

    private mutating func parseSign() throws(ParseError) -> Int64 {
        var sign: Int64 = 1
        if token.kind == .binary(.subtract) || token.kind == .binary(.add) {
            sign = token.kind == .binary(.subtract) ? -1 : 1
            try advance()
        }
        return sign
    }

    private mutating func parseAt(of expression: Expression) throws(ParseError) -> Expression {
        try advance()
        let instant: FixedInstant
        if case .keyword(let keyword) = token.kind, keyword == .start || keyword == .end {
            try advance()
            try expect(.leftParenthesis, in: "@", "\"(\"")
            try expect(.rightParenthesis, in: "@", "\")\"")
            instant = keyword == .start ? .start : .end
        } else {
            let sign = try parseSign()
            guard token.kind == .number || token.kind == .duration else { throw unexpected(in: "@", expected: "timestamp") }
            let range = token.range
            let seconds = Double(sign) * (try parseSeconds())
            let largest = 9_223_372_036_854_774.0
            guard seconds.magnitude <= largest else {
                throw failure("timestamp out of bounds for @ modifier: \(NumberText.fixed(seconds, decimals: 6))", at: range)
            }
            instant = .milliseconds(Int64((seconds * 1000).rounded()))
        }
        return try shifted(
            expression, end: previousEnd, name: "@ modifier", message: "@ <timestamp> may not be set multiple times"
        ) { shift in
            if shift.instant != nil { return false }
            shift.instant = instant
            return true
        }
    }

    private func shifted(
        _ expression: Expression, end: Int, name: String, message: String, _ change: (inout TimeShift) -> Bool
    ) throws(ParseError) -> Expression {
        var changed = true
        let result: Expression
        switch expression {
        case .selector(var node):
            changed = change(&node.shift)
            node.range = SourceRange(node.range.start, end)
            result = .selector(node)
        case .range(var node):
            changed = change(&node.selector.shift)
            node.range = SourceRange(node.range.start, end)
            result = .range(node)
        case .subquery(var node):
            changed = change(&node.shift)
            node.range = SourceRange(node.range.start, end)
            result = .subquery(node)
        default:
            throw failure(
                "\(name) must be preceded by an instant vector selector or range vector selector or a subquery", at: expression.range)
        }
        if !changed { throw failure(message, at: expression.range) }
        return result
    }

    // MARK: Calls

    private mutating func parseArguments() throws(ParseError) -> (arguments: [Expression], depth: Int) {
        try advance()
        var arguments: [Expression] = []
        var deepest = 0
        while token.kind != .rightParenthesis {
            let argument = try nested { (parser) throws(ParseError) in try parser.parseExpression(minimum: 0) }
            arguments.append(argument.expression)
            deepest = max(deepest, argument.depth)
            if token.kind == .comma {
                let comma = token.range
                try advance()
                if token.kind == .rightParenthesis {
                    throw failure("trailing commas not allowed in function call args", at: comma)
                }
            } else if token.kind != .rightParenthesis {
                throw unexpected()
            }
        }
        try advance()
        return (arguments, deepest)
    }

    private mutating func parseCall(_ name: Token) throws(ParseError) -> Node {
        let word = text(name.range)
        guard let function = Function(rawValue: word) else {
            if Function.experimental.contains(word) || Function.experimentalAggregations.contains(word) {
                throw failure(
                    "function \(quoted(word.utf8)) is not enabled", at: name.range,
                    suggestion: "it is experimental in Prometheus and not offered here")
            }
            let known = Function.allCases.map(\.rawValue) + AggregationOperator.allCases.map(\.rawValue)
            // A misspelt name is short; a long one would only cost time.
            let suggestion = word.utf8.count > 64 ? nil : nearest(to: word, among: known).map { "did you mean \"\($0)\"?" }
            throw failure("unknown function with name \(quoted(word.utf8))", at: name.range, suggestion: suggestion)
        }
        let (arguments, deepest) = try parseArguments()
        let call = FunctionCall(function: function, arguments: arguments, range: SourceRange(name.range.start, previousEnd))
        return try checked(.call(call), depth: deepest + 1)
    }

    private mutating func parseAggregationOrMetric(_ operation: AggregationOperator) throws(ParseError) -> Node {
        let name = token
        try advance()
        switch token.kind {
        case .leftParenthesis, .keyword(.by), .keyword(.without): break
        case .leftBrace, .end, .binary, .rightParenthesis, .comma, .leftBracket, .keyword(.offset), .at:
            // The names of aggregations are also names of metrics.
            return Node(expression: .selector(try parseSelector(name: text(name.range), start: name.range.start)), depth: 1)
        default: throw unexpected(in: "aggregation")
        }
        var grouping: (labels: [String], isWithout: Bool)? = try parseGrouping()
        guard token.kind == .leftParenthesis else { throw unexpected(in: "aggregation") }
        let (arguments, deepest) = try parseArguments()
        var end = previousEnd
        if grouping == nil, let later = try parseGrouping() {
            grouping = later
            end = previousEnd
        }
        let range = SourceRange(name.range.start, end)
        if arguments.isEmpty { throw failure("no arguments for aggregate expression provided", at: range) }
        let wanted = operation.takesParameter ? 2 : 1
        guard arguments.count == wanted else {
            throw failure(
                "wrong number of arguments for aggregate expression provided, expected \(wanted), got \(arguments.count)", at: range)
        }
        let aggregation = Aggregation(
            operation: operation, expression: arguments[wanted - 1], parameter: wanted == 2 ? arguments[0] : nil,
            grouping: grouping?.labels ?? [], isWithout: grouping?.isWithout ?? false, range: range)
        return try checked(.aggregation(aggregation), depth: deepest + 1)
    }

    private mutating func parseGrouping() throws(ParseError) -> (labels: [String], isWithout: Bool)? {
        guard case .keyword(let keyword) = token.kind, keyword == .by || keyword == .without else { return nil }
        try advance()
        return (try parseLabelNames(), keyword == .without)
    }
}
