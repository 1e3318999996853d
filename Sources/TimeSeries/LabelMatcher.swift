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
}
