import PromQL
import TimeSeries

/// A line of a script could not be read.
struct NotationError: Error {
    let message: String
}

/// One value of a series line.
enum NotedValue: Equatable {
    case absent
    case number(Double)
    /// A native histogram, which Steward does not have.
    case native
}

/// `name{label="value"} 1 2+3x4 _ stale`: a series and its values.
struct SeriesNotation {
    var labels: LabelSet
    var values: [NotedValue]

    /// The most values that one repetition may stand for.
    private static let repetitionLimit = 100_000

    init(labels: LabelSet, values: [NotedValue]) {
        self.labels = labels
        self.values = values
    }

    init(_ line: String) throws {
        let bytes = Array(line.utf8)
        var reader = Reader(bytes: bytes)
        labels = try reader.labels()
        values = try SeriesNotation.values(String(decoding: bytes[reader.position...], as: UTF8.self))
    }

    static func values(_ text: String) throws -> [NotedValue] {
        if text.contains("{{") { return [.native] }
        var result: [NotedValue] = []
        for word in text.split(whereSeparator: { $0 == " " || $0 == "\t" }) { result += try expanded(String(word)) }
        return result
    }

    private static func expanded(_ word: String) throws -> [NotedValue] {
        if word == "stale" { return [.number(SampleRun.staleMarker)] }
        var rest = Substring(word)
        if rest.first == "_" {
            rest.removeFirst()
            if rest.isEmpty { return [.absent] }
            return Array(repeating: .absent, count: try count(rest, of: word))
        }
        let first = try number(&rest, of: word)
        if rest.isEmpty { return [.number(first)] }
        var step = 0.0
        if rest.first == "+" || rest.first == "-" { step = try number(&rest, of: word) }
        let repeats = try count(rest, of: word)
        var value = first
        var result = [NotedValue.number(first)]
        for _ in 0..<repeats {
            value += step
            result.append(.number(value))
        }
        return result
    }

    private static func count(_ text: Substring, of word: String) throws -> Int {
        guard text.first == "x", let count = Int(text.dropFirst()), count >= 0, count <= repetitionLimit else {
            throw NotationError(message: "cannot read the value \(word)")
        }
        return count
    }

    private static func number(_ text: inout Substring, of word: String) throws -> Double {
        let match = try #/[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[iI]nf|[nN]a[nN])/#
            .prefixMatch(in: text)
        guard let match else { throw NotationError(message: "cannot read the value \(word)") }
        text = text[match.range.upperBound...]
        let digits = match.output.hasSuffix(".") ? match.output.dropLast() : match.output
        guard let value = Double(digits.lowercased()) else { throw NotationError(message: "cannot read the value \(word)") }
        return value
    }

    /// Reads the labels before the values.
    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        private var byte: UInt8? { position < bytes.count ? bytes[position] : nil }

        private mutating func skipSpace() {
            while let byte, byte == 32 || byte == 9 { position += 1 }
        }

        private mutating func take(_ character: Character) -> Bool {
            guard byte == character.asciiValue else { return false }
            position += 1
            skipSpace()
            return true
        }

        private mutating func word() -> String {
            let start = position
            while let byte,
                byte == 95 || byte == 58 || byte == 46 || (48...57).contains(byte) || (65...90).contains(byte)
                    || (97...122).contains(byte) || byte >= 128
            {
                position += 1
            }
            return String(decoding: bytes[start..<position], as: UTF8.self)
        }

        mutating func labels() throws -> LabelSet {
            var labels: [Label] = []
            skipSpace()
            let name = word()
            if !name.isEmpty { labels.append(Label(LabelSet.metricName, name)) }
            if take("{") {
                while !take("}") {
                    let isQuoted = byte == 34 || byte == 39 || byte == 96
                    let name = isQuoted ? try text() : word()
                    skipSpace()
                    if take("=") {
                        labels.append(Label(name, try text()))
                    } else if isQuoted {
                        labels.append(Label(LabelSet.metricName, name))
                    } else {
                        throw NotationError(message: "expected = after the label \(name)")
                    }
                    skipSpace()
                    if !take(","), byte != 125 { throw NotationError(message: "expected , or } in the labels") }
                }
            }
            return LabelSet(labels)
        }

        /// A quoted text, read as a literal of the language.
        mutating func text() throws -> String {
            guard let quote = byte, quote == 34 || quote == 39 || quote == 96 else {
                throw NotationError(message: "expected a quoted text")
            }
            let start = position
            position += 1
            while let byte, byte != quote { position += byte == 92 && quote != 96 ? 2 : 1 }
            position += 1
            guard position <= bytes.count else { throw NotationError(message: "a quoted text does not end") }
            let literal = String(decoding: bytes[start..<position], as: UTF8.self)
            guard case .string(let value) = try Expression(parsing: literal) else {
                throw NotationError(message: "cannot read the text \(literal)")
            }
            skipSpace()
            return value.text
        }
    }
}
