/// A place in an operator's file.
public struct SourcePlace: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The file's path as the operator gave it.
    public let file: String
    /// The line, from 1; 0 where only the file is known.
    public let line: Int
    /// The column in characters, from 1; 0 where only the line is known.
    public let column: Int

    /// A place in a file.
    public init(file: String, line: Int = 0, column: Int = 0) {
        self.file = file
        self.line = line
        self.column = column
    }

    /// Orders by file, line, column.
    public static func < (left: SourcePlace, right: SourcePlace) -> Bool {
        (left.file, left.line, left.column) < (right.file, right.line, right.column)
    }

    /// `file:line:column`, without the parts that are not known.
    public var description: String {
        line == 0 ? file : column == 0 ? "\(file):\(line)" : "\(file):\(line):\(column)"
    }
}

/// One thing that is wrong, or looks wrong, in an operator's file or command.
public struct Diagnostic: Hashable, Sendable, CustomStringConvertible {
    /// How much it matters.
    public enum Severity: String, Sendable {
        /// Nothing of the file is used.
        case error
        /// The file is used; the operator should look.
        case warning
    }

    /// How much it matters.
    public let severity: Severity
    /// Where it stands.
    public let place: SourcePlace
    /// What is wrong and why, one sentence without a full stop.
    public let message: String
    /// What to write or do instead, where that is known.
    public let suggestion: String?

    /// A diagnostic.
    public init(_ severity: Severity = .error, at place: SourcePlace, _ message: String, suggestion: String? = nil) {
        self.severity = severity
        self.place = place
        self.message = message
        self.suggestion = suggestion
    }

    /// `file:line:column: error: message; suggestion`.
    public var description: String {
        "\(place): \(severity.rawValue): \(message)" + (suggestion.map { "; \($0)" } ?? "")
    }
}

/// The candidate nearest to `word` by edit distance, or nil where none is near enough to be what was meant.
///
/// Near enough is at most one edit in three characters and never more than four; ties go to the earlier candidate.
public func nearest(to word: String, among candidates: [String]) -> String? {
    var best: (distance: Int, candidate: String)?
    let bound = min(4, max(1, word.count / 3 + 1))
    for candidate in candidates {
        let distance = editDistance(word.lowercased(), candidate.lowercased())
        if distance <= bound, distance < best?.distance ?? .max { best = (distance, candidate) }
    }
    return best?.candidate
}

func editDistance(_ left: String, _ right: String) -> Int {
    let columns = Array(right)
    var previous = Array(0...columns.count)
    for (row, character) in left.enumerated() {
        var current = [row + 1]
        for (column, other) in columns.enumerated() {
            current.append(min(previous[column] + (character == other ? 0 : 1), previous[column + 1] + 1, current[column] + 1))
        }
        previous = current
    }
    return previous[columns.count]
}
