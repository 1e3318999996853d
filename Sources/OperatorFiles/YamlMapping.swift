public import Fleet

/// A mapping being read: it remembers which keys were asked for, so that the others can be named as unknown.
///
/// Ask for every key that may stand there, then call ``refuseUnknown(_:)``.
public struct YamlMapping: Sendable {
    /// What the mapping is, for messages: `a price book`.
    public let subject: String
    /// Where it begins.
    public let place: SourcePlace
    /// The keys and values in the order of the file.
    public let entries: [YamlEntry]
    private var known: [String] = []

    init(subject: String, place: SourcePlace, entries: [YamlEntry]) {
        self.subject = subject
        self.place = place
        self.entries = entries
    }

    /// The value of a key, or nil where it is absent or has no value.
    public mutating func optional(_ key: String) -> YamlNode? {
        known.append(key)
        guard let value = entries.first(where: { $0.key == key })?.value, !value.isNull else { return nil }
        return value
    }

    /// The value of a key that must be there; an error names the mapping where it is not.
    public mutating func required(_ key: String, _ problems: inout YamlProblems, suggestion: String? = nil) -> YamlNode? {
        if let value = optional(key) { return value }
        let place = entries.first { $0.key == key }?.place ?? self.place
        problems.error("\(subject) needs '\(key)'", at: place, suggestion: suggestion ?? "write '\(key): …'")
        return nil
    }

    /// Whether a key is there, with or without a value; does not count as asking for it.
    public func has(_ key: String) -> Bool { entries.contains { $0.key == key } }

    /// Names every key that was not asked for, with the nearest one that was.
    public func refuseUnknown(_ problems: inout YamlProblems) {
        for entry in entries where !known.contains(entry.key) {
            let suggestion =
                nearest(to: entry.key, among: known).map { "did you mean '\($0)'?" }
                ?? "known here: \(known.sorted().joined(separator: ", "))"
            problems.error("unknown key '\(entry.key)' in \(subject)", at: entry.place, suggestion: suggestion)
        }
    }
}

extension YamlNode {
    /// The node as a mapping; an error where it is anything else.
    ///
    /// `subject` is what it is, for messages: `a price book`.
    public func mapping(_ subject: String, _ problems: inout YamlProblems) -> YamlMapping? {
        guard case .mapping(let entries) = content else {
            problems.error("\(subject) must be a mapping, not \(kind)", at: place, suggestion: "write 'key: value' lines")
            return nil
        }
        return YamlMapping(subject: subject, place: place, entries: entries)
    }

    /// The node as a list of at most `maximum` items; an error where it is anything else.
    public func list(_ subject: String, maximum: Int = 10_000, _ problems: inout YamlProblems) -> [YamlNode]? {
        guard case .sequence(let items) = content else {
            problems.error("\(subject) must be a list, not \(kind)", at: place, suggestion: "write '- item' lines")
            return nil
        }
        guard items.count <= maximum else {
            problems.error("\(subject) has \(items.count) items, more than \(maximum)", at: place)
            return nil
        }
        return items
    }

    /// The node as text, quoted or not; an error where it is a list, a mapping or nothing.
    public func text(_ subject: String, _ problems: inout YamlProblems) -> String? {
        guard case .scalar(let text, let isPlain) = content, !isNull, isPlain || !text.isEmpty else {
            problems.error("\(subject) must be text, not \(kind)", at: place)
            return nil
        }
        return text
    }

    /// The node as one of some words; an error suggests the nearest.
    public func choice<Choice>(_ subject: String, _ choices: [(word: String, value: Choice)], _ problems: inout YamlProblems) -> Choice? {
        guard let text = text(subject, &problems) else { return nil }
        if let choice = choices.first(where: { $0.word == text }) { return choice.value }
        let words = choices.map(\.word)
        problems.error(
            "\(subject) is '\(text)', which is none of \(words.joined(separator: ", "))", at: place,
            suggestion: nearest(to: text, among: words).map { "did you mean '\($0)'?" })
        return nil
    }
}
