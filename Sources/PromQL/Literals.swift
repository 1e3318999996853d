/// The syntax of numbers and durations.
enum NumberSyntax {
    /// Just behind a number, or nil where there is none.
    static func endOfNumber(in source: [UInt8], from start: Int) -> Int? {
        var place = start
        func at(_ index: Int) -> UInt8? { index < source.count ? source[index] : nil }
        func skipDigits(_ isMember: (UInt8) -> Bool) -> Int {
            var count = 0
            while let byte = at(place), isMember(byte) || byte == UInt8(ascii: "_") {
                place += 1
                count += 1
            }
            return count
        }
        if at(place) == UInt8(ascii: "0"), at(place + 1) == UInt8(ascii: "x") || at(place + 1) == UInt8(ascii: "X") {
            place += 2
            guard skipDigits(isHexDigit) > 0 else { return nil }
        } else {
            var digits = skipDigits(isDigit)
            if at(place) == UInt8(ascii: ".") {
                place += 1
                digits += skipDigits(isDigit)
            }
            guard digits > 0 else { return nil }
            if at(place) == UInt8(ascii: "e") || at(place) == UInt8(ascii: "E") {
                place += 1
                if at(place) == UInt8(ascii: "+") || at(place) == UInt8(ascii: "-") { place += 1 }
                guard skipDigits(isDigit) > 0 else { return nil }
            }
        }
        if let next = at(place), isNameStart(next) || isDigit(next) { return nil }
        return place
    }

    /// The value of a number's text: decimal, hexadecimal or, with a leading zero, octal (Go's rules); nil where it is none.
    static func value(of bytes: ArraySlice<UInt8>) -> Double? {
        let text = String(decoding: bytes, as: UTF8.self).lowercased()
        switch text {
        case "inf", "+inf": return .infinity
        case "-inf": return -.infinity
        case "nan": return .nan
        default: break
        }
        if text.hasPrefix("_") || text.hasSuffix("_") || text.contains("__") { return nil }
        let digits = text.filter { $0 != "_" }
        if digits.hasPrefix("0x") { return UInt64(digits.dropFirst(2), radix: 16).map(Double.init) }
        if digits.count > 1, digits.hasPrefix("0"), let octal = UInt64(digits.dropFirst(), radix: 8) { return Double(octal) }
        return Double(digits.hasSuffix(".") ? String(digits.dropLast()) : digits)
    }

    private static let units: [(name: [UInt8], milliseconds: Int64)] = [
        (Array("ms".utf8), 1), (Array("y".utf8), 31_536_000_000), (Array("w".utf8), 604_800_000), (Array("d".utf8), 86_400_000),
        (Array("h".utf8), 3_600_000), (Array("m".utf8), 60_000), (Array("s".utf8), 1000),
    ]

    /// Just behind a duration such as `1h30m`, or nil where there is none.
    static func endOfDuration(in source: [UInt8], from start: Int) -> Int? {
        var place = start
        while place < source.count, isDigit(source[place]) {
            while place < source.count, isDigit(source[place]) { place += 1 }
            guard let unit = units.first(where: { source[place...].starts(with: $0.name) }) else { return nil }
            place += unit.name.count
        }
        if place == start { return nil }
        if place < source.count, isNameStart(source[place]) { return nil }
        return place
    }

    /// The milliseconds of a duration's text; nil when its units are not in falling order, or beyond 64 bits.
    static func milliseconds(of bytes: ArraySlice<UInt8>) -> Int64? {
        var place = bytes.startIndex
        var total: Int64 = 0
        var previous = Int64.max
        while place < bytes.endIndex {
            var count: Int64 = 0
            while place < bytes.endIndex, isDigit(bytes[place]) {
                let (product, overflow) = count.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(Int64(bytes[place] - 0x30))
                if overflow || carry { return nil }
                count = sum
                place += 1
            }
            guard let unit = units.first(where: { bytes[place...].starts(with: $0.name) }), unit.milliseconds < previous else { return nil }
            previous = unit.milliseconds
            place += unit.name.count
            let (product, overflow) = count.multipliedReportingOverflow(by: unit.milliseconds)
            let (sum, carry) = total.addingReportingOverflow(product)
            if overflow || carry || sum > Int64.max / 1_000_000 { return nil }
            total = sum
        }
        return total
    }

    /// A duration as Prometheus prints it: `1h30m`, `0s`.
    static func text(ofMilliseconds milliseconds: Int64) -> String {
        if milliseconds == 0 { return "0s" }
        var rest = milliseconds.magnitude
        var text = milliseconds < 0 ? "-" : ""
        let table: [(String, UInt64, exact: Bool)] = [
            ("y", 31_536_000_000, true), ("w", 604_800_000, true), ("d", 86_400_000, false), ("h", 3_600_000, false), ("m", 60_000, false),
            ("s", 1000, false), ("ms", 1, false),
        ]
        // Years and weeks only where nothing is left over, so that 366d does not become 1y1d.
        for (name, size, exact) in table where rest >= size && (!exact || rest % size == 0) {
            text += "\(rest / size)\(name)"
            rest %= size
        }
        return text
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        isDigit(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
    }
}

/// The syntax of texts: Go's escapes in quotes, none in back quotes.
enum StringSyntax {
    /// Why an escape is wrong.
    struct Failure: Error {
        let message: String
        let place: Int
    }

    /// The bytes of a literal with its quotes.
    static func decode(_ literal: ArraySlice<UInt8>) throws(Failure) -> [UInt8] {
        guard let quote = literal.first else { return [] }
        let body = literal.dropFirst().dropLast()
        let backslash = UInt8(ascii: "\\")
        if quote == UInt8(ascii: "`") || !body.contains(backslash) { return Array(body) }
        var result: [UInt8] = []
        var place = body.startIndex
        while place < body.endIndex {
            guard body[place] == backslash else {
                result.append(body[place])
                place += 1
                continue
            }
            try decodeEscape(body, &place, quote: quote, into: &result)
        }
        return result
    }

    private static func decodeEscape(
        _ body: ArraySlice<UInt8>, _ place: inout Int, quote: UInt8, into result: inout [UInt8]
    ) throws(Failure) {
        let start = place
        guard place + 1 < body.endIndex else { throw Failure(message: "escape sequence not terminated", place: start) }
        let letter = body[place + 1]
        place += 2
        switch letter {
        case UInt8(ascii: "a"): result.append(7)
        case UInt8(ascii: "b"): result.append(8)
        case UInt8(ascii: "f"): result.append(12)
        case UInt8(ascii: "n"): result.append(10)
        case UInt8(ascii: "r"): result.append(13)
        case UInt8(ascii: "t"): result.append(9)
        case UInt8(ascii: "v"): result.append(11)
        case UInt8(ascii: "\\"), quote: result.append(letter)
        case UInt8(ascii: "x"): result.append(UInt8(truncatingIfNeeded: try number(body, &place, digits: 2, radix: 16, start: start)))
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            place -= 1
            let value = try number(body, &place, digits: 3, radix: 8, start: start)
            if value > 255 { throw Failure(message: "octal escape value \(value) > 255", place: start) }
            result.append(UInt8(truncatingIfNeeded: value))
        case UInt8(ascii: "u"), UInt8(ascii: "U"):
            let value = try number(body, &place, digits: letter == UInt8(ascii: "u") ? 4 : 8, radix: 16, start: start)
            guard let scalar = Unicode.Scalar(value) else {
                throw Failure(message: "escape sequence is an invalid Unicode code point", place: start)
            }
            result += Array(String(Character(scalar)).utf8)
        default:
            let shown = String(decoding: body[(start + 1)..<min(start + 5, body.endIndex)], as: UTF8.self).unicodeScalars.first
            let code = shown.map { String($0.value, radix: 16, uppercase: true) } ?? ""
            let padding = String(repeating: "0", count: max(0, 4 - code.count))
            throw Failure(
                message: "unknown escape sequence U+\(padding)\(code) '\(shown.map { String(Character($0)) } ?? "")'", place: start)
        }
    }

    private static func number(
        _ body: ArraySlice<UInt8>, _ place: inout Int, digits: Int, radix: Int, start: Int
    ) throws(Failure) -> UInt32 {
        let end = min(place + digits, body.endIndex)
        let text = String(decoding: body[place..<end], as: UTF8.self)
        guard text.utf8.count == digits, text.first != "+", text.first != "-", let value = UInt32(text, radix: radix) else {
            throw Failure(message: "illegal character in escape sequence", place: start)
        }
        place = end
        return value
    }
}

/// A text in double quotes with Go's escapes, as `%q` prints it; bytes that are no UTF-8 become `\xff`.
func quoted(_ bytes: some Sequence<UInt8>) -> String {
    let all = Array(bytes)
    var result = "\""
    var place = 0
    while place < all.count {
        let length = min(4, all.count - place)
        guard let width = (1...length).first(where: { String(validating: all[place..<place + $0], as: UTF8.self) != nil }),
            let scalar = String(validating: all[place..<place + width], as: UTF8.self)?.unicodeScalars.first
        else {
            result += "\\x" + hexadecimal(UInt32(all[place]), width: 2)
            place += 1
            continue
        }
        place += width
        result += escaped(scalar)
    }
    return result + "\""
}

private func escaped(_ scalar: Unicode.Scalar) -> String {
    switch scalar {
    case "\"": return "\\\""
    case "\\": return "\\\\"
    case "\u{07}": return "\\a"
    case "\u{08}": return "\\b"
    case "\u{0C}": return "\\f"
    case "\n": return "\\n"
    case "\r": return "\\r"
    case "\t": return "\\t"
    case "\u{0B}": return "\\v"
    default: break
    }
    if scalar.value < 0x20 || scalar.value == 0x7F { return "\\x" + hexadecimal(scalar.value, width: 2) }
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
        return scalar.value > 0xFFFF ? "\\U" + hexadecimal(scalar.value, width: 8) : "\\u" + hexadecimal(scalar.value, width: 4)
    case .spaceSeparator where scalar != " ": return "\\u" + hexadecimal(scalar.value, width: 4)
    default: return String(Character(scalar))
    }
}

private func hexadecimal(_ value: UInt32, width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
