/// Why a query could not be read, with the place and Prometheus' words.
public struct ParseError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public let message: String
    /// Where.
    public let range: SourceRange
    /// The line, from 1.
    public let line: Int
    /// The column in bytes, from 1, as Prometheus counts.
    public let column: Int
    /// What to write instead, where that is known.
    public let suggestion: String?
    /// The line of the query that holds the place, cut to `excerptLimit` bytes around it.
    private let excerpt: String
    private let caretColumn: Int
    private let caretWidth: Int

    /// The largest excerpt that is shown: a query may be a megabyte on one line.
    private static let excerptLimit = 120

    init(_ message: String, at range: SourceRange, in query: [UInt8], suggestion: String? = nil) {
        self.message = message
        self.range = range
        self.suggestion = suggestion
        let place = min(range.start, query.count)
        let lineBreak = UInt8(ascii: "\n")
        line = query[..<place].count { $0 == lineBreak } + 1
        let lineStart = (query[..<place].lastIndex(of: lineBreak) ?? -1) + 1
        column = place - lineStart + 1
        let lineEnd = query[place...].firstIndex(of: lineBreak) ?? query.count
        let from = max(lineStart, place - ParseError.excerptLimit / 2)
        let to = min(lineEnd, from + ParseError.excerptLimit)
        let before = String(decoding: query[from..<place], as: UTF8.self)
        excerpt = before + String(decoding: query[place..<to], as: UTF8.self)
        caretColumn = before.count
        let marked = String(decoding: query[place..<max(place, min(range.end, to))], as: UTF8.self)
        caretWidth = max(1, marked.count)
    }

    /// `line:column: parse error: message`, as Prometheus prints it.
    public var description: String { "\(line):\(column): parse error: \(message)" }

    /// The message, the line it is about and a caret under the place: for people.
    public var rendered: String {
        let gap = excerpt.prefix(caretColumn).map { $0 == "\t" ? "\t" : " " }.joined()
        let caret = gap + String(repeating: "^", count: caretWidth)
        return ([description, "  " + excerpt, "  " + caret] + (suggestion.map { ["  " + $0] } ?? [])).joined(separator: "\n")
    }
}
