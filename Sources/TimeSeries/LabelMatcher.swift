/// A condition on one label; a label that a series does not have counts as empty.
public struct LabelMatcher: Hashable, Sendable {
    /// The four ways to compare.
    public enum Operation: String, Sendable {
        /// The value is the text.
        case equal = "="
        /// The value is not the text.
        case notEqual = "!="
        /// The whole value matches the regular expression.
        case matches = "=~"
        /// The whole value does not match the regular expression.
        case doesNotMatch = "!~"
    }

    /// The label's name.
    public let name: String
    /// How it is compared.
    public let operation: Operation
    /// The text or the regular expression.
    public let value: String
    /// The compiled value of the two operations that have one.
    public let expression: RegularExpression?

    /// A matcher; throws where the value is a wrong regular expression.
    public init(_ name: String, _ operation: Operation, _ value: String) throws(RegularExpressionError) {
        self.name = name
        self.operation = operation
        self.value = value
        expression = operation == .matches || operation == .doesNotMatch ? try RegularExpression(value) : nil
    }

    /// The matcher `name="value"`.
    public init(_ name: String, equals value: String) {
        self.name = name
        operation = .equal
        self.value = value
        expression = nil
    }

    /// The matcher `name!="value"`.
    public init(_ name: String, differsFrom value: String) {
        self.name = name
        operation = .notEqual
        self.value = value
        expression = nil
    }

    /// Whether a value meets the condition; pass the empty text for a label that is not there.
    public func matches(_ candidate: String) -> Bool {
        switch operation {
        case .equal: candidate.hasSameBytes(as: value)
        case .notEqual: !candidate.hasSameBytes(as: value)
        case .matches: expression?.matchesWhole(candidate) ?? false
        case .doesNotMatch: !(expression?.matchesWhole(candidate) ?? false)
        }
    }

    /// Whether a series meets the condition.
    public func matches(_ labels: LabelSet) -> Bool { matches(labels[name] ?? "") }

    /// Whether a series without the label meets the condition; an index must then look at all series.
    public var matchesAbsence: Bool { matches("") }

    /// The only values that can meet the condition, when they are few and known; an index can look these up.
    public var candidateValues: [String]? {
        switch operation {
        case .equal: [value]
        case .matches: expression?.alternatives
        case .notEqual, .doesNotMatch: nil
        }
    }

    /// What every value that meets the condition begins with; empty when nothing is known.
    public var valuePrefix: String {
        switch operation {
        case .equal: value
        case .matches: expression?.prefix ?? ""
        case .notEqual, .doesNotMatch: ""
        }
    }

    /// Equal are matchers of the same name, operation and text.
    public static func == (left: LabelMatcher, right: LabelMatcher) -> Bool {
        left.operation == right.operation && left.name.hasSameBytes(as: right.name) && left.value.hasSameBytes(as: right.value)
    }

    /// Hashes the name, the operation and the text.
    public func hash(into hasher: inout Hasher) {
        name.hashBytes(into: &hasher)
        hasher.combine(operation)
        value.hashBytes(into: &hasher)
    }
}

extension Sequence<LabelMatcher> {
    /// Whether a series meets every condition.
    public func allMatch(_ labels: LabelSet) -> Bool { allSatisfy { $0.matches(labels) } }
}
