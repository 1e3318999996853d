/// A regular expression with RE2's syntax that matches in time linear in the text, whatever the pattern.
///
/// Patterns are read as Prometheus reads them: `.` also matches a line break. Compiled once, then immutable and free to share.
/// Bounds: see ``RegularExpression/Limit``. A pattern beyond them is refused when it is compiled, never when it runs.
public final class RegularExpression: Sendable {
    /// The named bounds of a pattern.
    public enum Limit {
        /// The largest count in `x{n,m}`, and the largest product of nested counts: RE2's.
        public static let repeatCount = 1000
        /// How deep groups and repetitions may nest: Go's.
        public static let depth = 1000
        /// Instructions of a compiled pattern; `\pL` takes about 2,000.
        public static let instructions = 100_000
        /// States of the table that is built ahead; a pattern that needs more is simulated instead, still in linear time.
        public static let tableStates = 400
    }

    /// The pattern as it was written.
    public let pattern: String
    /// The names of the capturing groups, from group 1; nil for one without a name.
    public let groupNames: [String?]

    let shape: LiteralShape
    private let program: RegexProgram
    private let table: RegexTable?

    /// Compiles a pattern.
    ///
    /// Throws ``RegularExpressionError`` with RE2's text where the pattern is wrong or beyond a bound.
    public init(_ pattern: String) throws(RegularExpressionError) {
        self.pattern = pattern
        var parser = RegexParser(pattern)
        let tree = try parser.parse()
        groupNames = parser.groupNames
        shape = LiteralShape(tree)
        program = try RegexCompiler.compile(tree, groups: parser.groupNames.count)
        table = shape.isComplete ? nil : RegexTable(program)
    }

    /// Whether the whole text matches.
    public func matchesWhole(_ text: String) -> Bool {
        if let answer = shape.matches(text) { return answer }
        var text = text
        return text.withUTF8 { bytes in
            if let table { return table.matches(bytes) }
            return program.captures(in: bytes, wanted: false) != nil
        }
    }

    /// Where the groups lie when the whole text matches, as offsets in UTF-8 bytes; group 0 is the whole text.
    ///
    /// Nil when the text does not match; a nil element is a group that took no part. Alternatives are preferred from left to right,
    /// as Perl and RE2 do.
    public func groups(inWhole text: String) -> [Range<Int>?]? {
        var text = text
        guard let slots = text.withUTF8({ program.captures(in: $0, wanted: true) }) else { return nil }
        return (0..<slots.count / 2).map { index in
            slots[2 * index] < 0 || slots[2 * index + 1] < 0 ? nil : slots[2 * index]..<slots[2 * index + 1]
        }
    }

    /// The template with `$1`, `${1}`, `$name` and `${name}` replaced by groups and `$$` by `$`, or nil when the whole text does not match.
    ///
    /// A name is the longest run of letters, digits and underscores, so `$1x` is the group called `1x`; unknown groups are empty (Go's rules).
    public func expand(_ template: String, matchingWhole text: String) -> String? {
        guard let groups = groups(inWhole: text) else { return nil }
        let source = Array(text.utf8)
        var result: [UInt8] = []
        for piece in TemplatePiece.pieces(of: template) {
            switch piece {
            case .text(let bytes): result += bytes
            case .group(let name):
                let index = Int(name) ?? groupNames.firstIndex(of: name).map { $0 + 1 } ?? -1
                if groups.indices.contains(index), let range = groups[index] { result += source[range] }
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// Every text that matches, when they are few and known, in the order of the pattern; otherwise nil.
    ///
    /// An index can look these up instead of trying each value.
    public var alternatives: [String]? { shape.alternatives }

    /// What every matching text begins with; empty when nothing is known.
    public var prefix: String { shape.prefix }
}

/// Why a pattern was refused, with RE2's texts: the kind of error and the part of the pattern.
public struct RegularExpressionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kinds, with the texts of RE2 as Go prints them.
    public enum Kind: String, Sendable {
        /// `[z-a]`, or a class that is not known.
        case invalidCharacterClassRange = "invalid character class range"
        /// `\8` and the like.
        case invalidEscape = "invalid escape sequence"
        /// A group name that is not made of letters, digits and underscores.
        case invalidNamedCapture = "invalid named capture"
        /// Two groups with one name.
        case duplicateNamedCapture = "duplicate capture group name"
        /// `(?=` and the like, which no linear matcher can have.
        case invalidPerlOperator = "invalid or unsupported Perl syntax"
        /// `a**`.
        case invalidRepeatOperator = "invalid nested repetition operator"
        /// A count above the bound.
        case invalidRepeatSize = "invalid repeat count"
        /// `[a`.
        case missingBracket = "missing closing ]"
        /// `(a`.
        case missingParenthesis = "missing closing )"
        /// `*a`.
        case missingRepeatArgument = "missing argument to repetition operator"
        /// `a\`.
        case trailingBackslash = "trailing backslash at end of expression"
        /// `a)`.
        case unexpectedParenthesis = "unexpected )"
        /// Groups nest too deeply.
        case nestingDepth = "expression nests too deeply"
        /// More instructions than the bound.
        case large = "expression too large"
    }

    /// What is wrong.
    public let kind: Kind
    /// The part of the pattern that is wrong.
    public let part: String

    init(_ kind: Kind, _ part: String) {
        self.kind = kind
        self.part = part
    }

    /// ``error parsing regexp: missing closing ): `(a` ``.
    public var description: String { "error parsing regexp: \(kind.rawValue): `\(part)`" }
}

enum TemplatePiece {
    case text([UInt8])
    case group(String)

    static func pieces(of template: String) -> [TemplatePiece] {
        let bytes = Array(template.utf8)
        let dollar = UInt8(ascii: "$")
        var pieces: [TemplatePiece] = []
        var text: [UInt8] = []
        var position = 0
        while position < bytes.count {
            guard bytes[position] == dollar else {
                text.append(bytes[position])
                position += 1
                continue
            }
            if position + 1 < bytes.count, bytes[position + 1] == dollar {
                text.append(dollar)
                position += 2
                continue
            }
            let braced = position + 1 < bytes.count && bytes[position + 1] == UInt8(ascii: "{")
            let start = position + (braced ? 2 : 1)
            var end = start
            while end < bytes.count, isWordByte(bytes[end]) { end += 1 }
            let closed = !braced || (end < bytes.count && bytes[end] == UInt8(ascii: "}"))
            guard end > start, closed else {
                text.append(dollar)
                position += 1
                continue
            }
            if !text.isEmpty { pieces.append(.text(text)) }
            text = []
            pieces.append(.group(String(decoding: bytes[start..<end], as: UTF8.self)))
            position = end + (braced ? 1 : 0)
        }
        if !text.isEmpty { pieces.append(.text(text)) }
        return pieces
    }
}

func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "_"):
        true
    default: false
    }
}
