/// Something that the reader of an answer should know; the answer stands all the same.
public struct Annotation: Hashable, Sendable {
    /// How much it matters.
    public enum Severity: String, Sendable {
        /// The answer may be wrong or incomplete.
        case warning
        /// The answer may not be what was meant.
        case info
    }

    /// How much it matters.
    public let severity: Severity
    /// What it says, without Prometheus' prefix and place.
    public let message: String
    /// What part of the query it is about.
    public let range: SourceRange

    /// As the HTTP API gives it without a place: `PromQL warning: …`.
    public var text: String { "PromQL \(severity.rawValue): \(message)" }

    /// As the HTTP API gives it: `PromQL warning: … (line:column)`.
    public func text(in query: String) -> String {
        let before = query.utf8.prefix(range.start)
        let lineBreak = UInt8(ascii: "\n")
        let line = before.count { $0 == lineBreak } + 1
        let column = before.reversed().prefix { $0 != lineBreak }.count + 1
        return "\(text) (\(line):\(column))"
    }
}
