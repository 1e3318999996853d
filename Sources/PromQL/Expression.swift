public import TimeSeries

/// A part of a query, as offsets in its UTF-8 bytes.
public struct SourceRange: Hashable, Sendable {
    /// Where it begins.
    public let start: Int
    /// Just behind its end.
    public let end: Int

    /// A part of a query.
    public init(_ start: Int, _ end: Int) {
        self.start = start
        self.end = end
    }
}

/// What an expression yields.
public enum ValueType: String, Hashable, Sendable, CustomStringConvertible {
    /// One number.
    case scalar = "scalar"
    /// One number for each of several series.
    case vector = "instant vector"
    /// Several samples for each of several series.
    case matrix = "range vector"
    /// A text.
    case string = "string"

    /// Prometheus' words for it.
    public var description: String { rawValue }
}

/// A query as a tree; every node knows where it stands in the text.
public indirect enum Expression: Sendable {
    /// A number, or a duration used as one.
    case number(NumberLiteral)
    /// A text.
    case string(StringLiteral)
    /// Series at an instant.
    case selector(VectorSelector)
    /// Series over a window.
    case range(RangeSelector)
    /// An expression evaluated again and again over a window.
    case subquery(Subquery)
    /// An expression in parentheses.
    case parenthesized(Expression, SourceRange)
    /// A sign.
    case unary(UnaryOperation)
    /// Two operands and what joins them.
    case binary(BinaryOperation)
    /// A function.
    case call(FunctionCall)
    /// Several series into fewer.
    case aggregation(Aggregation)

    /// Where it stands in the query.
    public var range: SourceRange {
        switch self {
        case .number(let node): node.range
        case .string(let node): node.range
        case .selector(let node): node.range
        case .range(let node): node.range
        case .subquery(let node): node.range
        case .parenthesized(_, let range): range
        case .unary(let node): node.range
        case .binary(let node): SourceRange(node.left.range.start, node.right.range.end)
        case .call(let node): node.range
        case .aggregation(let node): node.range
        }
    }

    /// What it yields.
    public var type: ValueType {
        switch self {
        case .number: .scalar
        case .string: .string
        case .selector, .aggregation: .vector
        case .range, .subquery: .matrix
        case .parenthesized(let inner, _): inner.type
        case .unary(let node): node.operand.type
        case .binary(let node): node.left.type == .scalar && node.right.type == .scalar ? .scalar : .vector
        case .call(let node): node.function.result
        }
    }

    /// The expression inside all parentheses around it.
    public var unwrapped: Expression {
        var node = self
        while case .parenthesized(let inner, _) = node { node = inner }
        return node
    }
}

/// A number in a query.
public struct NumberLiteral: Sendable {
    /// The number; seconds when it was written as a duration.
    public let value: Double
    /// Whether it was written as a duration such as `5m`.
    public let isDuration: Bool
    /// Where it stands.
    public let range: SourceRange
}

/// A text in a query.
public struct StringLiteral: Sendable {
    /// The bytes after escapes; not always UTF-8, as `"\xff"` is allowed.
    public let bytes: [UInt8]
    /// Where it stands.
    public let range: SourceRange

    /// The text, wrong bytes replaced.
    public var text: String { String(decoding: bytes, as: UTF8.self) }
    /// Whether the bytes are UTF-8.
    public var isValid: Bool { String(validating: bytes, as: UTF8.self) != nil }
}

/// An instant that does not move with the steps of a query.
public enum FixedInstant: Hashable, Sendable {
    /// Milliseconds since the epoch.
    case milliseconds(Int64)
    /// The first step of the query.
    case start
    /// The last step of the query.
    case end
}

/// `offset` and `@`.
public struct TimeShift: Hashable, Sendable {
    /// How far back, in milliseconds; negative looks ahead.
    public var offsetMilliseconds: Int64 = 0
    /// Whether an `offset` was written, which it may be once.
    public var hasOffset = false
    /// The `@` part.
    public var instant: FixedInstant?

    /// No shift.
    public init() {}
}

/// `name{matchers}`.
public struct VectorSelector: Sendable {
    /// The metric's name where it was written before the braces.
    public let name: String?
    /// All conditions, that on the name last when it was written before the braces.
    public let matchers: [LabelMatcher]
    /// `offset` and `@`.
    public var shift = TimeShift()
    /// The number of selectors before it in the query: the key of its evidence.
    public let ordinal: Int
    /// Where it stands.
    public var range: SourceRange
}

/// `selector[window]`.
public struct RangeSelector: Sendable {
    /// The series.
    public var selector: VectorSelector
    /// How long the window is.
    public let windowMilliseconds: Int64
    /// Where it stands.
    public var range: SourceRange
}

/// `expression[window:step]`.
public struct Subquery: Sendable {
    /// What is evaluated.
    public let expression: Expression
    /// How long the window is.
    public let windowMilliseconds: Int64
    /// The distance of the evaluations; nil for the server's default.
    public let stepMilliseconds: Int64?
    /// `offset` and `@`.
    public var shift = TimeShift()
    /// Where it stands.
    public var range: SourceRange
}

/// `-x` or `+x`.
public struct UnaryOperation: Sendable {
    /// Whether the sign is a minus.
    public let negates: Bool
    /// What it stands before.
    public let operand: Expression
    /// Where it stands.
    public let range: SourceRange
}

/// What joins two operands.
public enum BinaryOperator: String, CaseIterable, Hashable, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case modulo = "%"
    case power = "^"
    case atan2 = "atan2"
    case equal = "=="
    case notEqual = "!="
    case greater = ">"
    case less = "<"
    case greaterOrEqual = ">="
    case lessOrEqual = "<="
    case and = "and"
    case or = "or"
    case unless = "unless"

    /// Whether it compares.
    public var isComparison: Bool {
        switch self {
        case .equal, .notEqual, .greater, .less, .greaterOrEqual, .lessOrEqual: true
        default: false
        }
    }

    /// Whether it joins sets of series.
    public var isSetOperator: Bool { self == .and || self == .or || self == .unless }

    /// Binds tighter the greater it is.
    var precedence: Int {
        switch self {
        case .or: 1
        case .and, .unless: 2
        case .equal, .notEqual, .greater, .less, .greaterOrEqual, .lessOrEqual: 3
        case .add, .subtract: 4
        case .multiply, .divide, .modulo, .atan2: 5
        case .power: 6
        }
    }
}

/// How series of two sides find each other.
public struct VectorMatching: Hashable, Sendable {
    /// How many series of each side may share the matching labels.
    public enum Cardinality: Hashable, Sendable {
        /// One each.
        case oneToOne
        /// `group_left`: many on the left.
        case manyToOne
        /// `group_right`: many on the right.
        case oneToMany
        /// Set operators.
        case manyToMany
    }

    /// How many may share the labels.
    public var cardinality = Cardinality.oneToOne
    /// Whether `labels` are the only ones compared (`on`), or the only ones not compared (`ignoring`).
    public var isOn = false
    /// The labels of `on` or `ignoring`.
    public var labels: [String] = []
    /// Whether `on` or `ignoring` was written.
    public var isExplicit = false
    /// The labels that `group_left` or `group_right` copies.
    public var included: [String] = []

    /// One to one on all labels.
    public init() {}
}

/// Two operands and what joins them.
public struct BinaryOperation: Sendable {
    /// What joins them.
    public let operation: BinaryOperator
    /// The left operand.
    public let left: Expression
    /// The right operand.
    public let right: Expression
    /// How their series find each other.
    public let matching: VectorMatching
    /// Whether a comparison yields 0 and 1 (`bool`).
    public let returnsBool: Bool
    /// Where the operator stands.
    public let operatorRange: SourceRange
}

/// A function and its arguments.
public struct FunctionCall: Sendable {
    /// The function.
    public let function: Function
    /// Its arguments.
    public let arguments: [Expression]
    /// Where it stands.
    public let range: SourceRange
}

/// The ways to turn several series into fewer.
public enum AggregationOperator: String, CaseIterable, Hashable, Sendable {
    case sum, avg, min, max, count, group, stddev, stdvar, topk, bottomk, quantile
    case countValues = "count_values"

    /// Whether it takes a parameter before the series.
    public var takesParameter: Bool {
        switch self {
        case .topk, .bottomk, .quantile, .countValues: true
        default: false
        }
    }
}

/// Several series into fewer.
public struct Aggregation: Sendable {
    /// How.
    public let operation: AggregationOperator
    /// The series.
    public let expression: Expression
    /// How many, which quantile, or which label.
    public let parameter: Expression?
    /// The labels of `by` or `without`.
    public let grouping: [String]
    /// Whether the labels are those that go (`without`) or those that stay (`by`).
    public let isWithout: Bool
    /// Where it stands.
    public let range: SourceRange
}

extension Expression {
    /// The expressions directly inside.
    public var children: [Expression] {
        switch self {
        case .number, .string, .selector, .range: []
        case .subquery(let node): [node.expression]
        case .parenthesized(let inner, _): [inner]
        case .unary(let node): [node.operand]
        case .binary(let node): [node.left, node.right]
        case .call(let node): node.arguments
        case .aggregation(let node): (node.parameter.map { [$0] } ?? []) + [node.expression]
        }
    }

    /// All selectors of the query, in its order.
    public var selectors: [VectorSelector] {
        switch self {
        case .selector(let node): [node]
        case .range(let node): [node.selector]
        default: children.flatMap(\.selectors)
        }
    }
}
