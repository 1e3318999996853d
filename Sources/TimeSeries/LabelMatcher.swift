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

    /// The matcher `name="value"`.
    public init(_ name: String, equals value: String) {
        self.name = name
        operation = .equal
        self.value = value
    }

    /// The matcher `name!="value"`.
    public init(_ name: String, differsFrom value: String) {
        self.name = name
        operation = .notEqual
        self.value = value
    }

    /// Whether a value meets the condition; pass the empty text for a label that is not there.
    public func matches(_ candidate: String) -> Bool {
        switch operation {
        case .equal, .matches: candidate == value
        case .notEqual, .doesNotMatch: candidate != value
        }
    }
}
