/// What a pattern says without running it: the fast paths of label matchers, which are literals most of the time.
struct LiteralShape: Sendable {
    private enum Kind: Sendable {
        case alternatives([String], Set<ByteString>)
        case anything
        case nonEmpty
        case beginning(ByteString)
        case ending(ByteString)
        case containing(ByteString)
        case other
    }

    /// How many alternatives, and how many bytes in them, are listed; beyond it the pattern is run.
    private static let alternativeLimit = 10_000
    private static let byteLimit = 1_000_000

    private let kind: Kind
    /// What every matching text begins with.
    let prefix: String

    init(_ tree: RegexNode) {
        if let alternatives = LiteralShape.alternatives(of: tree) {
            kind = .alternatives(alternatives, Set(alternatives.map(ByteString.init)))
            prefix = alternatives.count == 1 ? alternatives[0] : ""
            return
        }
        let items = LiteralShape.flattened(tree)
        prefix = LiteralShape.literal(items.prefix { LiteralShape.literal([$0]) != nil }) ?? ""
        let isLoose = { (node: RegexNode?) in node.map(LiteralShape.isAnything) ?? false }
        let middle = items.dropFirst().dropLast()
        if items.count == 1, isLoose(items.first) {
            kind = .anything
        } else if items.count == 1, case .repetition(.scalars(.all), 1, nil, _) = items[0] {
            kind = .nonEmpty
        } else if isLoose(items.first), isLoose(items.last), let text = LiteralShape.literal(middle) {
            kind = .containing(ByteString(text))
        } else if isLoose(items.last), let text = LiteralShape.literal(items.dropLast()) {
            kind = .beginning(ByteString(text))
        } else if isLoose(items.first), let text = LiteralShape.literal(items.dropFirst()) {
            kind = .ending(ByteString(text))
        } else {
            kind = .other
        }
    }

    /// Whether `matches` always answers.
    var isComplete: Bool { if case .other = kind { false } else { true } }

    var alternatives: [String]? { if case .alternatives(let texts, _) = kind { texts } else { nil } }

    /// The answer, or nil where the pattern must be run.
    func matches(_ text: String) -> Bool? {
        switch kind {
        case .alternatives(let texts, let set):
            texts.count == 1 ? texts[0].hasSameBytes(as: text) : set.contains(ByteString(text))
        case .anything: true
        case .nonEmpty: !text.isEmpty
        case .beginning(let part): text.utf8.starts(with: part.text.utf8)
        case .ending(let part): text.utf8.reversed().starts(with: part.text.utf8.reversed())
        case .containing(let part): LiteralShape.contains(part.text, in: text)
        case .other: nil
        }
    }

    /// Linear for all texts: the naive search is bounded by looking for the first byte with few restarts, else by a failure table.
    private static func contains(_ part: String, in text: String) -> Bool {
        let needle = Array(part.utf8)
        if needle.isEmpty { return true }
        var failure = [0]
        var matched = 0
        for index in needle.indices.dropFirst() {
            while matched > 0, needle[index] != needle[matched] { matched = failure[matched - 1] }
            if needle[index] == needle[matched] { matched += 1 }
            failure.append(matched)
        }
        matched = 0
        for byte in text.utf8 {
            while matched > 0, byte != needle[matched] { matched = failure[matched - 1] }
            if byte == needle[matched] { matched += 1 }
            if matched == needle.count { return true }
        }
        return false
    }

    private static func isAnything(_ node: RegexNode) -> Bool {
        switch node {
        case .repetition(.scalars(.all), 0, nil, _): true
        case .group(let inner, _): isAnything(inner)
        default: false
        }
    }

    private static func flattened(_ tree: RegexNode) -> [RegexNode] {
        switch tree {
        case .concatenation(let items): items.flatMap(flattened)
        case .group(let inner, _): flattened(inner)
        case .empty: []
        default: [tree]
        }
    }

    private static func literal(_ nodes: some Sequence<RegexNode>) -> String? {
        var text = String.UnicodeScalarView()
        for node in nodes {
            guard case .scalars(let set) = node, let value = set.single, let scalar = Unicode.Scalar(value) else { return nil }
            text.append(scalar)
        }
        return String(text)
    }

    private static func alternatives(of tree: RegexNode) -> [String]? {
        switch tree {
        case .empty: return [""]
        case .group(let inner, _): return alternatives(of: inner)
        case .scalars(let set):
            var texts: [String] = []
            for range in set.ranges {
                if range.count > 16 || texts.count > 16 { return nil }
                texts += range.compactMap { Unicode.Scalar($0).map { String(Character($0)) } }
            }
            return texts
        case .alternation(let items):
            var texts: [String] = []
            for item in items {
                guard let more = alternatives(of: item) else { return nil }
                texts += more
                if texts.count > alternativeLimit { return nil }
            }
            return texts
        case .concatenation(let items): return product(items)
        case .assertion, .repetition: return nil
        }
    }

    private static func product(_ items: [RegexNode]) -> [String]? {
        if let text = literal(items) { return [text] }
        var texts = [""]
        var bytes = 0
        for item in items {
            guard let more = alternatives(of: item), more.count * texts.count <= 256 else { return nil }
            texts = texts.flatMap { text in more.map { text + $0 } }
            bytes += texts.reduce(0) { $0 + $1.utf8.count }
            if bytes > byteLimit { return nil }
        }
        return texts
    }
}

/// A text that is compared and hashed by its bytes: to Swift, `é` in one and in two scalars are equal, to Prometheus they are not.
struct ByteString: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: ByteString, right: ByteString) -> Bool { left.text.hasSameBytes(as: right.text) }

    func hash(into hasher: inout Hasher) { text.hashBytes(into: &hasher) }
}
