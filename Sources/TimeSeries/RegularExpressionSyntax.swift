/// A pattern as a tree.
indirect enum RegexNode: Hashable {
    case empty
    case scalars(ScalarSet)
    case assertion(RegexAssertion)
    case group(RegexNode, index: Int)
    case repetition(RegexNode, minimum: Int, maximum: Int?, greedy: Bool)
    case concatenation([RegexNode])
    case alternation([RegexNode])
}

/// A condition on a place between two characters.
enum RegexAssertion: Hashable {
    case beginText, endText, beginLine, endLine, wordBoundary, noWordBoundary
}

/// Reads RE2's syntax by recursive descent over groups, whose depth is bounded.
struct RegexParser {
    private struct Flags {
        var foldsCase = false
        var dotMatchesLineBreak = true
        var multipleLines = false
        var swapsGreed = false
    }

    private let source: [Unicode.Scalar]
    private var position = 0
    private var flags = Flags()
    private var depth = 0
    private var unicodeClasses: [String: ScalarSet] = [:]
    /// The largest product of nested counts in what was parsed last.
    private var countProduct = 1
    private(set) var groupNames: [String?] = []

    init(_ pattern: String) { source = Array(pattern.unicodeScalars) }

    mutating func parse() throws(RegularExpressionError) -> RegexNode {
        let node = try parseAlternation()
        if position < source.count { throw RegularExpressionError(.unexpectedParenthesis, text(from: 0)) }
        return node
    }

    private func text(from start: Int, to end: Int? = nil) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: source[start..<min(end ?? source.count, source.count)])
        return String(view)
    }

    private var next: Unicode.Scalar? { position < source.count ? source[position] : nil }

    private func lookingAt(_ text: String) -> Bool {
        source[position...].starts(with: text.unicodeScalars)
    }

    private mutating func parseAlternation() throws(RegularExpressionError) -> RegexNode {
        depth += 1
        if depth > RegularExpression.Limit.depth { throw RegularExpressionError(.nestingDepth, text(from: 0)) }
        defer { depth -= 1 }
        var branches: [RegexNode] = []
        var largestProduct = 1
        while true {
            branches.append(try parseConcatenation())
            largestProduct = max(largestProduct, countProduct)
            guard next == "|" else { break }
            position += 1
        }
        countProduct = largestProduct
        return branches.count == 1 ? branches[0] : .alternation(branches)
    }

    private mutating func parseConcatenation() throws(RegularExpressionError) -> RegexNode {
        var items: [RegexNode] = []
        var largestProduct = 1
        defer { countProduct = largestProduct }
        while let scalar = next, scalar != "|", scalar != ")" {
            let start = position
            if scalar == "*" || scalar == "+" || scalar == "?" {
                throw RegularExpressionError(.missingRepeatArgument, String(scalar))
            }
            if scalar == "{", let count = try parseCount() {
                throw RegularExpressionError(.missingRepeatArgument, text(from: start, to: count.end))
            }
            countProduct = 1
            guard let atom = try parseAtom() else { continue }
            items.append(try parseRepetition(of: atom))
            largestProduct = max(largestProduct, countProduct)
        }
        return items.isEmpty ? .empty : items.count == 1 ? items[0] : .concatenation(items)
    }

    private mutating func parseRepetition(of atom: RegexNode) throws(RegularExpressionError) -> RegexNode {
        var node = atom
        var start = position
        var repeated = false
        while let scalar = next {
            let bounds: (minimum: Int, maximum: Int?)
            let operatorStart = position
            switch scalar {
            case "*": bounds = (0, nil)
            case "+": bounds = (1, nil)
            case "?": bounds = (0, 1)
            case "{":
                guard let count = try parseCount() else { return node }
                bounds = (count.minimum, count.maximum)
                position = count.end - 1
            default: return node
            }
            position += 1
            var greedy = !flags.swapsGreed
            if next == "?" {
                position += 1
                greedy.toggle()
            }
            if repeated { throw RegularExpressionError(.invalidRepeatOperator, text(from: start, to: position)) }
            repeated = true
            start = operatorStart
            node = .repetition(node, minimum: bounds.minimum, maximum: bounds.maximum, greedy: greedy)
            if scalar == "{" { countProduct *= max(bounds.minimum, bounds.maximum ?? 0, 1) }
            if countProduct > RegularExpression.Limit.repeatCount {
                throw RegularExpressionError(.invalidRepeatSize, text(from: operatorStart, to: position))
            }
        }
        return node
    }

    /// `{n}`, `{n,}` or `{n,m}` at the current place; nil where the brace is an ordinary character.
    private func parseCount() throws(RegularExpressionError) -> (minimum: Int, maximum: Int?, end: Int)? {
        var place = position + 1
        func number() -> Int? {
            var value: Int?
            while place < source.count, let digit = source[place].properties.numericType == .decimal ? Int(source[place].value) - 48 : nil,
                (0...9).contains(digit)
            {
                value = min((value ?? 0) * 10 + digit, 1_000_000)
                place += 1
            }
            return value
        }
        guard let minimum = number() else { return nil }
        var maximum: Int? = minimum
        if place < source.count, source[place] == "," {
            place += 1
            maximum = place < source.count && source[place] == "}" ? nil : number() ?? -1
            if maximum == -1 { return nil }
        }
        guard place < source.count, source[place] == "}" else { return nil }
        let limit = RegularExpression.Limit.repeatCount
        if minimum > limit || maximum ?? 0 > limit || maximum ?? minimum < minimum {
            throw RegularExpressionError(.invalidRepeatSize, text(from: position, to: place + 1))
        }
        return (minimum, maximum, place + 1)
    }

    private mutating func parseAtom() throws(RegularExpressionError) -> RegexNode? {
        let scalar = source[position]
        switch scalar {
        case "(": return try parseGroup()
        case "[": return .scalars(try parseClass())
        case ".":
            position += 1
            return .scalars(flags.dotMatchesLineBreak ? .all : ScalarSet([0x0A...0x0A]).inverted)
        case "^":
            position += 1
            return .assertion(flags.multipleLines ? .beginLine : .beginText)
        case "$":
            position += 1
            return .assertion(flags.multipleLines ? .endLine : .endText)
        case "\\": return try parseEscape()
        default:
            position += 1
            return literal(scalar.value)
        }
    }

    private func literal(_ value: UInt32) -> RegexNode {
        let set = ScalarSet([value...value])
        return .scalars(flags.foldsCase ? set.foldingCase : set)
    }

    // MARK: Groups

    private mutating func parseGroup() throws(RegularExpressionError) -> RegexNode? {
        let start = position
        position += 1
        guard next == "?" else { return try finishGroup(name: nil, start: start) }
        if lookingAt("?P<") || lookingAt("?<") {
            let opening = lookingAt("?P<") ? 3 : 2
            guard let end = source[position...].firstIndex(of: ">") else {
                throw RegularExpressionError(.invalidNamedCapture, text(from: start))
            }
            let name = text(from: position + opening, to: end)
            if name.isEmpty || !name.utf8.allSatisfy(isWordByte) {
                if lookingAt("?<"), name.hasPrefix("=") || name.hasPrefix("!") {
                    throw RegularExpressionError(.invalidPerlOperator, text(from: start, to: position + 3))
                }
                throw RegularExpressionError(.invalidNamedCapture, text(from: start, to: end + 1))
            }
            if groupNames.contains(name) { throw RegularExpressionError(.duplicateNamedCapture, name) }
            position = end + 1
            return try finishGroup(name: name, start: start)
        }
        return try parseFlags(start: start)
    }

    private mutating func finishGroup(name: String?, start: Int) throws(RegularExpressionError) -> RegexNode {
        groupNames.append(name)
        let index = groupNames.count
        return .group(try parseUntilParenthesis(start: start), index: index)
    }

    /// Flags that are set inside a group end with it.
    private mutating func parseUntilParenthesis(start: Int) throws(RegularExpressionError) -> RegexNode {
        let outer = flags
        let node = try parseAlternation()
        guard next == ")" else { throw RegularExpressionError(.missingParenthesis, text(from: start)) }
        position += 1
        flags = outer
        return node
    }

    private mutating func parseFlags(start: Int) throws(RegularExpressionError) -> RegexNode? {
        let outer = flags
        position += 1
        var value = true
        var seen = false
        while let scalar = next {
            position += 1
            switch scalar {
            case "i": flags.foldsCase = value
            case "m": flags.multipleLines = value
            case "s": flags.dotMatchesLineBreak = value
            case "U": flags.swapsGreed = value
            case "-" where value:
                value = false
                seen = false
                continue
            case ":" where seen || value, ")" where seen || value:
                if scalar == ")" {
                    if !seen { throw RegularExpressionError(.missingRepeatArgument, "?") }
                    return nil
                }
                let node = try parseAlternation()
                guard next == ")" else { throw RegularExpressionError(.missingParenthesis, text(from: start)) }
                position += 1
                flags = outer
                return node
            default: throw RegularExpressionError(.invalidPerlOperator, text(from: start, to: position))
            }
            seen = true
        }
        throw RegularExpressionError(.missingParenthesis, text(from: start))
    }

    // MARK: Escapes

    private mutating func parseEscape() throws(RegularExpressionError) -> RegexNode? {
        let start = position
        guard position + 1 < source.count else { throw RegularExpressionError(.trailingBackslash, "") }
        switch source[position + 1] {
        case "A":
            position += 2
            return .assertion(.beginText)
        case "z":
            position += 2
            return .assertion(.endText)
        case "b":
            position += 2
            return .assertion(.wordBoundary)
        case "B":
            position += 2
            return .assertion(.noWordBoundary)
        case "Q":
            position += 2
            var items: [RegexNode] = []
            while position < source.count, !lookingAt("\\E") {
                items.append(literal(source[position].value))
                position += 1
            }
            if position < source.count { position += 2 }
            // A repetition after \E belongs to the last character only.
            guard let last = items.popLast() else { return nil }
            let repeated = try parseRepetition(of: last)
            return items.isEmpty ? repeated : .concatenation(items + [repeated])
        default:
            if let set = try parseClassEscape() { return .scalars(flags.foldsCase ? set.foldingCase : set) }
            return literal(try parseScalarEscape(start: start))
        }
    }

    /// `\d`, `\pL` and the like at the current place; nil where there is none.
    private mutating func parseClassEscape() throws(RegularExpressionError) -> ScalarSet? {
        guard position + 1 < source.count else { return nil }
        let letter = source[position + 1]
        switch letter {
        case "d", "D", "s", "S", "w", "W":
            position += 2
            let set: ScalarSet = letter == "d" || letter == "D" ? .digits : letter == "s" || letter == "S" ? .spaces : .words
            return letter.properties.isUppercase ? set.inverted : set
        case "p", "P":
            let start = position
            position += 2
            guard let first = next else { throw RegularExpressionError(.invalidCharacterClassRange, text(from: start)) }
            var name = String(first)
            position += 1
            if first == "{" {
                guard let end = source[position...].firstIndex(of: "}") else {
                    throw RegularExpressionError(.invalidCharacterClassRange, text(from: start))
                }
                name = text(from: position, to: end)
                position = end + 1
            }
            var negated = letter == "P"
            if name.hasPrefix("^") {
                name.removeFirst()
                negated.toggle()
            }
            guard let set = unicodeClasses[name] ?? NamedClass.unicode(name) else {
                throw RegularExpressionError(.invalidCharacterClassRange, text(from: start, to: position))
            }
            unicodeClasses[name] = set
            return negated ? set.inverted : set
        default: return nil
        }
    }

    /// One character written as an escape.
    private mutating func parseScalarEscape(start: Int) throws(RegularExpressionError) -> UInt32 {
        guard position + 1 < source.count else { throw RegularExpressionError(.trailingBackslash, "") }
        let scalar = source[position + 1]
        position += 2
        switch scalar {
        case "a": return 7
        case "f": return 12
        case "n": return 10
        case "r": return 13
        case "t": return 9
        case "v": return 11
        case "x": return try parseHexadecimal(start: start)
        case "0"..."7":
            // \1 to \7 alone would be a back reference, which no linear matcher can have.
            if scalar != "0", !(next.map { ("0"..."7").contains($0) } ?? false) { break }
            var value = scalar.value - 48
            for _ in 0..<2 {
                guard let digit = next, ("0"..."7").contains(digit) else { break }
                value = value * 8 + digit.value - 48
                position += 1
            }
            return value
        default:
            if scalar.value < 0x80, !isWordByte(UInt8(scalar.value)) { return scalar.value }
        }
        throw RegularExpressionError(.invalidEscape, text(from: start, to: position))
    }

    private mutating func parseHexadecimal(start: Int) throws(RegularExpressionError) -> UInt32 {
        var digits = ""
        if next == "{" {
            guard let end = source[position...].firstIndex(of: "}") else { throw RegularExpressionError(.invalidEscape, text(from: start)) }
            digits = text(from: position + 1, to: end)
            position = end + 1
        } else {
            digits = text(from: position, to: position + 2)
            position = min(position + 2, source.count)
            if digits.count < 2 { digits = "" }
        }
        guard digits.first?.isHexDigit == true, let value = UInt32(digits, radix: 16), value <= ScalarSet.last else {
            throw RegularExpressionError(.invalidEscape, text(from: start, to: position))
        }
        return value
    }

    // MARK: Classes

    private mutating func parseClass() throws(RegularExpressionError) -> ScalarSet {
        let start = position
        position += 1
        var negated = false
        if next == "^" {
            negated = true
            position += 1
        }
        var ranges: [ClosedRange<UInt32>] = []
        var first = true
        while first || next != "]" {
            guard position < source.count else { throw RegularExpressionError(.missingBracket, text(from: start)) }
            first = false
            if lookingAt("[:"), let end = endOfPosixName() {
                let negatedName = source[position + 2] == "^"
                guard let named = NamedClass.posix(text(from: position + (negatedName ? 3 : 2), to: end)) else {
                    throw RegularExpressionError(.invalidCharacterClassRange, text(from: position, to: end + 2))
                }
                ranges += (negatedName ? named.inverted : named).ranges
                position = end + 2
                continue
            }
            if source[position] == "\\", let escaped = try parseClassEscape() {
                ranges += escaped.ranges
                continue
            }
            let rangeStart = position
            let low = try parseClassScalar(start: start)
            var high = low
            if next == "-", position + 1 < source.count, source[position + 1] != "]" {
                position += 1
                high = try parseClassScalar(start: start)
            }
            if high < low { throw RegularExpressionError(.invalidCharacterClassRange, text(from: rangeStart, to: position)) }
            ranges.append(low...high)
        }
        position += 1
        var set = ScalarSet(ranges)
        if flags.foldsCase { set = set.foldingCase }
        return negated ? set.inverted : set
    }

    private func endOfPosixName() -> Int? {
        var place = position + 2
        let longestName = 10
        while place + 1 < min(source.count, position + 2 + longestName) {
            if source[place] == ":", source[place + 1] == "]" { return place }
            place += 1
        }
        return nil
    }

    private mutating func parseClassScalar(start: Int) throws(RegularExpressionError) -> UInt32 {
        guard position < source.count else { throw RegularExpressionError(.missingBracket, text(from: start)) }
        if source[position] == "\\" { return try parseScalarEscape(start: position) }
        position += 1
        return source[position - 1].value
    }
}
