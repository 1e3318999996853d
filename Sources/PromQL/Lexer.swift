/// The kinds of words of a query.
enum TokenKind: Hashable {
    case end, identifier, metricIdentifier, string, number, duration
    case leftParenthesis, rightParenthesis, leftBrace, rightBrace, leftBracket, rightBracket, comma, colon, equals, at
    case matchesRegex, doesNotMatchRegex
    case binary(BinaryOperator)
    case aggregation(AggregationOperator)
    case keyword(Keyword)
}

enum Keyword: String, CaseIterable {
    case bool, by, ignoring, offset, on, without, start, end
    case groupLeft = "group_left"
    case groupRight = "group_right"
}

/// A word of a query.
struct Token {
    let kind: TokenKind
    let range: SourceRange
}

/// Cuts a query into words, as Prometheus does: inside braces no word is a keyword, inside brackets a colon is a colon.
struct Lexer {
    let source: [UInt8]
    private var position = 0
    private var parentheses = 0
    private var isInsideBraces = false
    private var isInsideBrackets = false

    private static let keywords: [String: TokenKind] = {
        var result: [String: TokenKind] = ["inf": .number, "nan": .number]
        for operation in BinaryOperator.allCases where operation.isSetOperator || operation == .atan2 {
            result[operation.rawValue] = .binary(operation)
        }
        for aggregation in AggregationOperator.allCases { result[aggregation.rawValue] = .aggregation(aggregation) }
        for keyword in Keyword.allCases { result[keyword.rawValue] = .keyword(keyword) }
        return result
    }()

    init(_ source: [UInt8]) { self.source = source }

    private func byte(_ ahead: Int = 0) -> UInt8? {
        position + ahead < source.count ? source[position + ahead] : nil
    }

    private func failure(_ message: String, from start: Int) -> ParseError {
        ParseError(message, at: SourceRange(start, max(position, start)), in: source)
    }

    private mutating func token(_ kind: TokenKind, length: Int) -> Token {
        position += length
        return Token(kind: kind, range: SourceRange(position - length, position))
    }

    /// The next word; `.end` again and again once the query is read.
    mutating func next() throws(ParseError) -> Token {
        skipSpace()
        let start = position
        guard let first = byte() else { return try endOfInput() }
        if isInsideBraces { return try nextInsideBraces(first) }
        switch first {
        case UInt8(ascii: ","): return token(.comma, length: 1)
        case UInt8(ascii: "+"): return token(.binary(.add), length: 1)
        case UInt8(ascii: "-"): return token(.binary(.subtract), length: 1)
        case UInt8(ascii: "*"): return token(.binary(.multiply), length: 1)
        case UInt8(ascii: "/"): return token(.binary(.divide), length: 1)
        case UInt8(ascii: "%"): return token(.binary(.modulo), length: 1)
        case UInt8(ascii: "^"): return token(.binary(.power), length: 1)
        case UInt8(ascii: "@"): return token(.at, length: 1)
        case UInt8(ascii: "="):
            if byte(1) == UInt8(ascii: "=") { return token(.binary(.equal), length: 2) }
            if byte(1) == UInt8(ascii: "~") { return token(.matchesRegex, length: 2) }
            return token(.equals, length: 1)
        case UInt8(ascii: "!"):
            if byte(1) == UInt8(ascii: "=") { return token(.binary(.notEqual), length: 2) }
            throw failure("unexpected character after '!': \(character(at: position + 1))", from: start)
        case UInt8(ascii: "<"):
            return byte(1) == UInt8(ascii: "=") ? token(.binary(.lessOrEqual), length: 2) : token(.binary(.less), length: 1)
        case UInt8(ascii: ">"):
            return byte(1) == UInt8(ascii: "=") ? token(.binary(.greaterOrEqual), length: 2) : token(.binary(.greater), length: 1)
        case UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: "["), UInt8(ascii: "]"):
            return try bracket(first)
        case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "`"): return try string(quote: first)
        case UInt8(ascii: ":") where isInsideBrackets: return token(.colon, length: 1)
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return try numberOrDuration()
        case UInt8(ascii: ".") where byte(1).map(isDigit) ?? false: return try numberOrDuration()
        case _ where isNameStart(first) || first == UInt8(ascii: ":"): return word()
        default: throw failure("unexpected character: \(character(at: position))", from: start)
        }
    }

    private func endOfInput() throws(ParseError) -> Token {
        if isInsideBraces { throw failure("unexpected end of input inside braces", from: position) }
        if parentheses > 0 { throw failure("unclosed left parenthesis", from: position) }
        if isInsideBrackets { throw failure("unclosed left bracket", from: position) }
        return Token(kind: .end, range: SourceRange(position, position))
    }

    private mutating func bracket(_ first: UInt8) throws(ParseError) -> Token {
        let start = position
        switch first {
        case UInt8(ascii: "("):
            parentheses += 1
            return token(.leftParenthesis, length: 1)
        case UInt8(ascii: ")"):
            parentheses -= 1
            if parentheses < 0 { throw failure("unexpected right parenthesis ')'", from: start) }
            return token(.rightParenthesis, length: 1)
        case UInt8(ascii: "{"):
            isInsideBraces = true
            return token(.leftBrace, length: 1)
        case UInt8(ascii: "["):
            if isInsideBrackets { throw failure("unexpected left bracket '['", from: start) }
            isInsideBrackets = true
            return token(.leftBracket, length: 1)
        case UInt8(ascii: "]"):
            if !isInsideBrackets { throw failure("unexpected right bracket ']'", from: start) }
            isInsideBrackets = false
            return token(.rightBracket, length: 1)
        default: throw failure("unexpected right brace '}'", from: start)
        }
    }

    private mutating func nextInsideBraces(_ first: UInt8) throws(ParseError) -> Token {
        let start = position
        switch first {
        case UInt8(ascii: "{"): throw failure("unexpected left brace '{'", from: start)
        case UInt8(ascii: "}"):
            isInsideBraces = false
            return token(.rightBrace, length: 1)
        case UInt8(ascii: ","): return token(.comma, length: 1)
        case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "`"): return try string(quote: first)
        case UInt8(ascii: "="): return byte(1) == UInt8(ascii: "~") ? token(.matchesRegex, length: 2) : token(.equals, length: 1)
        case UInt8(ascii: "!"):
            if byte(1) == UInt8(ascii: "~") { return token(.doesNotMatchRegex, length: 2) }
            if byte(1) == UInt8(ascii: "=") { return token(.binary(.notEqual), length: 2) }
            throw failure("unexpected character after '!' inside braces: \(character(at: position + 1))", from: start)
        case _ where isNameStart(first):
            while let next = byte(), isNameStart(next) || isDigit(next) { position += 1 }
            return Token(kind: .identifier, range: SourceRange(start, position))
        default: throw failure("unexpected character inside braces: \(character(at: position))", from: start)
        }
    }

    private mutating func skipSpace() {
        while let next = byte() {
            switch next {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"): position += 1
            case UInt8(ascii: "#"):
                while let inside = byte(), inside != UInt8(ascii: "\n") { position += 1 }
            default: return
            }
        }
    }

    private mutating func word() -> Token {
        let start = position
        var hasColon = false
        while let next = byte(), isNameStart(next) || isDigit(next) || next == UInt8(ascii: ":") {
            if next == UInt8(ascii: ":") { hasColon = true }
            position += 1
        }
        let range = SourceRange(start, position)
        if hasColon { return Token(kind: .metricIdentifier, range: range) }
        // No keyword is longer; a metric's name may be.
        let longestKeyword = 12
        if range.end - range.start <= longestKeyword {
            let lowered = source[start..<position].map { (65...90).contains($0) ? $0 + 32 : $0 }
            if let kind = Lexer.keywords[String(decoding: lowered, as: UTF8.self)] { return Token(kind: kind, range: range) }
        }
        return Token(kind: .identifier, range: range)
    }

    private mutating func string(quote: UInt8) throws(ParseError) -> Token {
        let start = position
        position += 1
        let isRaw = quote == UInt8(ascii: "`")
        while let next = byte(), next != quote {
            if !isRaw, next == UInt8(ascii: "\n") { break }
            position += !isRaw && next == UInt8(ascii: "\\") ? 2 : 1
        }
        guard byte() == quote else {
            position = min(position, source.count)
            throw failure(isRaw ? "unterminated raw string" : "unterminated quoted string", from: start)
        }
        position += 1
        return Token(kind: .string, range: SourceRange(start, position))
    }

    private mutating func numberOrDuration() throws(ParseError) -> Token {
        let start = position
        if let end = NumberSyntax.endOfNumber(in: source, from: start) {
            position = end
            return Token(kind: .number, range: SourceRange(start, end))
        }
        if let end = NumberSyntax.endOfDuration(in: source, from: start) {
            position = end
            return Token(kind: .duration, range: SourceRange(start, end))
        }
        while let next = byte(), isNameStart(next) || isDigit(next) || next == UInt8(ascii: ".") { position += 1 }
        throw failure("bad number or duration syntax: \(quoted(source[start..<position]))", from: start)
    }

    private func character(at place: Int) -> String {
        guard place < source.count else { return "end of input" }
        return "'" + String(String(decoding: source[place..<min(place + 4, source.count)], as: UTF8.self).prefix(1)) + "'"
    }
}

func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

func isNameStart(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): true
    default: false
    }
}
