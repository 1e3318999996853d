/// A JSON value with its numbers whole: 64-bit integers are never doubles, and objects keep the order of their keys.
enum JSONValue: Hashable, Sendable {
    case null
    case flag(Bool)
    case unsigned(UInt64)
    case signed(Int64)
    case real(Double)
    case text(String)
    case array([JSONValue])
    case object([Member])

    struct Member: Hashable, Sendable {
        let key: String
        let value: JSONValue
    }

    /// The value of a key of an object; of several the first.
    subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }

    var text: String? {
        guard case .text(let text) = self else { return nil }
        return text
    }
}

/// Why a line is not JSON, and at which byte of it.
struct JSONError: Error, Hashable {
    /// From 1.
    let column: Int
    let message: String
}

/// Reads one JSON value (RFC 8259) from one line.
struct JSONReader {
    /// A capture nests three deep; more is somebody else's file.
    static let maximumDepth = 8

    private let bytes: ArraySlice<UInt8>
    private var position: Int

    /// Reads the whole of a line.
    static func read(_ line: ArraySlice<UInt8>) throws(JSONError) -> JSONValue {
        var reader = JSONReader(line)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.position == line.endIndex else { throw reader.error("text after the end of the JSON value") }
        return value
    }

    private init(_ line: ArraySlice<UInt8>) {
        bytes = line
        position = line.startIndex
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard depth <= JSONReader.maximumDepth else { throw error("JSON nested deeper than \(JSONReader.maximumDepth)") }
        skipSpace()
        guard position < bytes.endIndex else { throw error("the line ends where a JSON value is expected") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return .object(try object(depth: depth))
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .text(try string())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: break
        }
        for (word, value) in [("true", JSONValue.flag(true)), ("false", .flag(false)), ("null", .null)]
        where bytes[position...].starts(with: word.utf8) {
            position += word.utf8.count
            return value
        }
        throw error("no JSON value begins like this")
    }

    private mutating func object(depth: Int) throws(JSONError) -> [JSONValue.Member] {
        var members: [JSONValue.Member] = []
        position += 1
        if take(UInt8(ascii: "}")) { return members }
        repeat {
            skipSpace()
            guard position < bytes.endIndex, bytes[position] == UInt8(ascii: "\"") else { throw error("a key is expected here") }
            let key = try string()
            guard take(UInt8(ascii: ":")) else { throw error("':' is expected after a key") }
            members.append(JSONValue.Member(key: key, value: try value(depth: depth + 1)))
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")) else { throw error("',' or '}' is expected here") }
        return members
    }

    private mutating func array(depth: Int) throws(JSONError) -> [JSONValue] {
        var elements: [JSONValue] = []
        position += 1
        if take(UInt8(ascii: "]")) { return elements }
        repeat { elements.append(try value(depth: depth + 1)) } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "]")) else { throw error("',' or ']' is expected here") }
        return elements
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        while position < bytes.endIndex, isNumberByte(bytes[position]) { position += 1 }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        let digits = text.drop { $0 == "-" }
        let isWhole = !digits.isEmpty && digits.utf8.allSatisfy { (48...57).contains($0) }
        let value = isWhole ? wholeNumber(text, digits) : fractionalNumber(text)
        if let value { return value }
        position = start
        throw error(isWhole && !digits.hasPrefix("0") ? "the number \(text) does not fit 64 bits" : "\(text) is not a number")
    }

    private func wholeNumber(_ text: String, _ digits: Substring) -> JSONValue? {
        guard digits == "0" || !digits.hasPrefix("0") else { return nil }
        if text.hasPrefix("-") { return Int64(text).map(JSONValue.signed) }
        return UInt64(text).map(JSONValue.unsigned)
    }

    private func fractionalNumber(_ text: String) -> JSONValue? {
        Double(text).flatMap { $0.isFinite ? JSONValue.real($0) : nil }
    }

    private func isNumberByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): true
        default: false
        }
    }

    private mutating func string() throws(JSONError) -> String {
        position += 1
        let start = position
        var unescaped: [UInt8]?
        while position < bytes.endIndex, bytes[position] != UInt8(ascii: "\"") {
            let byte = bytes[position]
            guard byte >= 32 else { throw error("a control character inside a string") }
            if byte == UInt8(ascii: "\\") {
                if unescaped == nil { unescaped = Array(bytes[start..<position]) }
                unescaped? += try escape()
            } else {
                unescaped?.append(byte)
                position += 1
            }
        }
        guard position < bytes.endIndex else { throw error("the line ends inside a string") }
        let content = unescaped.map { String(validating: $0, as: UTF8.self) } ?? String(validating: bytes[start..<position], as: UTF8.self)
        guard let content else { throw error("a string that is not UTF-8") }
        position += 1
        return content
    }

    private mutating func escape() throws(JSONError) -> [UInt8] {
        guard position + 1 < bytes.endIndex else { throw error("the line ends inside a string") }
        let kind = bytes[position + 1]
        let simple: [UInt8: UInt8] = [
            UInt8(ascii: "\""): 34, UInt8(ascii: "\\"): 92, UInt8(ascii: "/"): 47, UInt8(ascii: "b"): 8, UInt8(ascii: "f"): 12,
            UInt8(ascii: "n"): 10, UInt8(ascii: "r"): 13, UInt8(ascii: "t"): 9,
        ]
        if let byte = simple[kind] {
            position += 2
            return [byte]
        }
        guard kind == UInt8(ascii: "u") else { throw error("'\\' begins no escape that JSON knows") }
        let unit = try hexadecimal(at: position + 2)
        position += 6
        if UTF16.isLeadSurrogate(unit), bytes[position...].starts(with: "\\u".utf8) {
            let trail = try hexadecimal(at: position + 2)
            guard UTF16.isTrailSurrogate(trail) else { throw error("half of a surrogate pair") }
            position += 6
            return Array(String(decoding: [unit, trail], as: UTF16.self).utf8)
        }
        guard !UTF16.isLeadSurrogate(unit), !UTF16.isTrailSurrogate(unit) else { throw error("half of a surrogate pair") }
        return Array(String(decoding: [unit], as: UTF16.self).utf8)
    }

    private func hexadecimal(at start: Int) throws(JSONError) -> UInt16 {
        guard start + 4 <= bytes.endIndex,
            bytes[start..<(start + 4)].allSatisfy({ (48...57).contains($0) || (65...70).contains($0) || (97...102).contains($0) }),
            let unit = UInt16(String(decoding: bytes[start..<(start + 4)], as: UTF8.self), radix: 16)
        else { throw error("'\\u' without four hexadecimal digits") }
        return unit
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard position < bytes.endIndex, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while position < bytes.endIndex, [32, 9, 13].contains(bytes[position]) { position += 1 }
    }

    private func error(_ message: String) -> JSONError {
        JSONError(column: position - bytes.startIndex + 1, message: message)
    }
}

extension JSONValue {
    /// Appends the value as JSON on one line.
    func write(to text: inout [UInt8]) {
        switch self {
        case .null: text += Array("null".utf8)
        case .flag(let flag): text += Array((flag ? "true" : "false").utf8)
        case .unsigned(let number): text += Array(String(number).utf8)
        case .signed(let number): text += Array(String(number).utf8)
        case .real(let number): text += Array((number.isFinite ? number.description : "null").utf8)
        case .text(let string): JSONValue.write(string, to: &text)
        case .array(let elements):
            text.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                element.write(to: &text)
            }
            text.append(UInt8(ascii: "]"))
        case .object(let members):
            text.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                JSONValue.write(member.key, to: &text)
                text.append(UInt8(ascii: ":"))
                member.value.write(to: &text)
            }
            text.append(UInt8(ascii: "}"))
        }
    }

    private static func write(_ string: String, to text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
            case 10: text += Array("\\n".utf8)
            case 0..<32: text += Array((byte < 16 ? "\\u000" : "\\u00").utf8) + Array(String(byte, radix: 16).utf8)
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}
