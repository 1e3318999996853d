public import Fleet
import Yams

/// What a YAML file may hold at most.
///
/// An operator's file is read by people: these bounds only keep accidents and attacks out.
public struct YamlLimits: Sendable {
    /// The most bytes of one file.
    public var bytes = 4 << 20
    /// The deepest nesting of sequences and mappings.
    public var depth = 32
    /// The most nodes, aliases expanded: a file of nested aliases grows exponentially.
    public var nodes = 200_000

    /// The default limits: 4 MiB, 32 levels, 200,000 nodes.
    public init() {}
}

/// One node of a YAML file with the place where it stands.
public struct YamlNode: Sendable {
    /// What kind of node it is.
    public enum Content: Sendable {
        /// A scalar by its text, exactly as written; `isPlain` where it was written without quotes.
        case scalar(String, isPlain: Bool)
        /// A list.
        case sequence([YamlNode])
        /// Keys and values in the order of the file; keys are unique.
        case mapping([YamlEntry])
    }

    /// What it holds.
    public let content: Content
    /// Where it starts.
    public let place: SourcePlace

    /// A node.
    public init(_ content: Content, at place: SourcePlace) {
        self.content = content
        self.place = place
    }

    /// Whether it is an empty plain scalar, `~` or `null`: a key written without a value.
    public var isNull: Bool {
        guard case .scalar(let text, isPlain: true) = content else { return false }
        return text.isEmpty || text == "~" || text.lowercased() == "null"
    }

    /// What an operator would call it: `a list`, `a mapping`, `'text'`, `nothing`.
    public var kind: String {
        switch content {
        case .sequence: "a list"
        case .mapping: "a mapping"
        case .scalar(let text, _): isNull ? "nothing" : "'\(text.count > 60 ? text.prefix(57) + "…" : text[...])'"
        }
    }
}

/// One key of a mapping with its value.
public struct YamlEntry: Sendable {
    /// The key's text.
    public let key: String
    /// Where the key stands.
    public let place: SourcePlace
    /// The value.
    public let value: YamlNode
}

/// Everything found wrong so far in the files being read; reading goes on after an error so that all are told at once.
public struct YamlProblems: Sendable {
    /// The most that are kept for one reading: more would not be read by anybody.
    public static let maximum = 200

    private var found: [Diagnostic] = []

    /// No problems.
    public init() {}

    /// The diagnostics, sorted by place.
    public var sorted: [Diagnostic] {
        found.enumerated().sorted { ($0.element.place, $0.offset) < ($1.element.place, $1.offset) }.map(\.element)
    }

    /// Whether any of them is an error: nothing of the file is used then.
    public var hasErrors: Bool { found.contains { $0.severity == .error } }

    /// Adds an error.
    public mutating func error(_ message: String, at place: SourcePlace, suggestion: String? = nil) {
        add(Diagnostic(.error, at: place, message, suggestion: suggestion))
    }

    /// Adds a warning.
    public mutating func warning(_ message: String, at place: SourcePlace, suggestion: String? = nil) {
        add(Diagnostic(.warning, at: place, message, suggestion: suggestion))
    }

    /// Adds a diagnostic, up to ``maximum``.
    public mutating func add(_ diagnostic: Diagnostic) {
        if found.count < YamlProblems.maximum { found.append(diagnostic) }
    }
}

extension YamlNode {
    /// Reads the one document of a YAML file.
    ///
    /// - Returns: The root, or nil with an error in `problems` where the text is too large, too deep, empty or not YAML.
    public static func parse(_ text: String, file: String, limits: YamlLimits = YamlLimits(), _ problems: inout YamlProblems) -> YamlNode? {
        let top = SourcePlace(file: file, line: 1, column: 1)
        guard text.utf8.count <= limits.bytes else {
            problems.error(
                "the file has \(text.utf8.count) bytes, more than the \(limits.bytes) that are read", at: SourcePlace(file: file),
                suggestion: "split it")
            return nil
        }
        do {
            var documents = try Yams.compose_all(yaml: text)
            guard let root = documents.next() else {
                if let error = documents.error { throw error }
                problems.error("the file is empty", at: top)
                return nil
            }
            if let second = documents.next() {
                problems.error(
                    "a second document begins here; one file holds one", at: place(of: second, file: file), suggestion: "remove the '---'")
                return nil
            }
            if let error = documents.error { throw error }
            var left = limits.nodes
            return try convert(root, file: file, depth: limits.depth, left: &left, limits: limits)
        } catch let refusal as Refusal {
            problems.add(refusal.diagnostic)
        } catch let error as YamlError {
            problems.add(diagnostic(of: error, file: file))
        } catch {
            problems.error("the file cannot be read as YAML: \(error)", at: top)
        }
        return nil
    }

    private struct Refusal: Error {
        let diagnostic: Diagnostic
    }

    private static func place(of node: Yams.Node, file: String) -> SourcePlace {
        SourcePlace(file: file, line: node.mark?.line ?? 1, column: node.mark?.column ?? 1)
    }

    private static func convert(_ node: Yams.Node, file: String, depth: Int, left: inout Int, limits: YamlLimits) throws -> YamlNode {
        let place = place(of: node, file: file)
        left -= 1
        guard left >= 0 else {
            throw Refusal(diagnostic: Diagnostic(at: place, "the file has more than \(limits.nodes) nodes, aliases expanded"))
        }
        guard depth > 0 else {
            throw Refusal(diagnostic: Diagnostic(at: place, "lists and mappings are nested deeper than \(limits.depth) levels"))
        }
        switch node {
        case .scalar(let scalar):
            return YamlNode(.scalar(scalar.string, isPlain: scalar.style == .plain || scalar.style == .any), at: place)
        case .sequence(let sequence):
            var items: [YamlNode] = []
            for item in sequence { items.append(try convert(item, file: file, depth: depth - 1, left: &left, limits: limits)) }
            return YamlNode(.sequence(items), at: place)
        case .mapping(let mapping):
            var entries: [YamlEntry] = []
            for (key, value) in mapping {
                guard case .scalar(let scalar) = key else {
                    throw Refusal(diagnostic: Diagnostic(at: self.place(of: key, file: file), "a key must be plain text"))
                }
                let read = try convert(value, file: file, depth: depth - 1, left: &left, limits: limits)
                entries.append(YamlEntry(key: scalar.string, place: self.place(of: key, file: file), value: read))
            }
            return YamlNode(.mapping(entries), at: place)
        case .alias:
            throw Refusal(diagnostic: Diagnostic(at: place, "an alias that names no anchor before it"))
        }
    }

    private static func diagnostic(of error: YamlError, file: String) -> Diagnostic {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let around = context.map { " \($0.text) begun at line \($0.mark.line)" } ?? ""
            return Diagnostic(
                at: SourcePlace(file: file, line: mark.line, column: mark.column), "not YAML: \(problem)\(around)",
                suggestion: problem.contains("tab") || problem.contains("cannot start any token") ? "indent with spaces, not tabs" : nil)
        case .duplicatedKeysInMapping(let duplicates, let context):
            let names = duplicates.sorted().map { "'\($0)'" }.joined(separator: ", ")
            return Diagnostic(
                at: SourcePlace(file: file, line: context.mark.line, column: context.mark.column),
                "the mapping that begins here has a key twice: \(names)", suggestion: "keep one of them")
        case .reader(let problem, _, _, _):
            return Diagnostic(at: SourcePlace(file: file), "not YAML: \(problem)", suggestion: "save the file as UTF-8")
        default:
            return Diagnostic(at: SourcePlace(file: file), "the file cannot be read as YAML: \(error)")
        }
    }
}
