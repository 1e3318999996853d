import Fleet
import Glibc
import TimeSeries

/// What is wrong with a line of a text that is imported.
struct OpenMetricsLineError: Error {
    /// From 1, in bytes.
    let column: Int
    let message: String
}

/// Reads sample lines of OpenMetrics or Prometheus text.
///
/// Series are interned by the bytes of name and labels. Scrapes repeat the order of their lines, so the series that followed the last one
/// before is tried first: most lines cost one comparison, the others a hash.
struct OpenMetricsParser {
    /// A line's sample.
    struct Sample {
        let series: Int
        let milliseconds: Int64
        let value: Double
    }

    /// Lines longer than this are refused: no series needs them.
    static let longestLine = 1 << 20

    /// The labels of each series, in the order in which they first came.
    private(set) var series: [LabelSet] = []
    private var known: [[UInt8]: Int] = [:]
    /// For each series its bytes.
    private var prefixes: [[UInt8]] = []
    /// For each series the one that came after it, at first itself.
    private var follower: [Int] = []
    private var last = -1
    /// Whether timestamps are in seconds (OpenMetrics) or milliseconds (Prometheus' own text).
    private let unit: TimeUnit

    enum TimeUnit { case seconds, milliseconds }

    init(unit: TimeUnit) { self.unit = unit }

    /// The sample of a line without its end; nil for comments and empty lines.
    mutating func parse(_ line: UnsafeRawBufferPointer) throws(OpenMetricsLineError) -> Sample? {
        guard let first = line.first, first != UInt8(ascii: "#") else { return nil }
        let (series, prefixLength) = try identify(line)
        var position = prefixLength
        skipSpaces(line, &position)
        let value = try number(line, &position, "a value")
        skipSpaces(line, &position)
        guard position < line.count, line[position] != UInt8(ascii: "#") else {
            throw OpenMetricsLineError(column: position + 1, message: "no timestamp; only text with timestamps can become history")
        }
        let time = try milliseconds(line, &position)
        skipSpaces(line, &position)
        guard position == line.count || line[position] == UInt8(ascii: "#") else {
            throw OpenMetricsLineError(column: position + 1, message: "text behind the timestamp")
        }
        return Sample(series: series, milliseconds: time, value: value)
    }

    private func skipSpaces(_ line: UnsafeRawBufferPointer, _ position: inout Int) {
        while position < line.count, line[position] == 0x20 || line[position] == 0x09 || line[position] == 0x0d { position += 1 }
    }

    /// Where name and labels end.
    private func prefixEnd(_ line: UnsafeRawBufferPointer) throws(OpenMetricsLineError) -> Int {
        var position = 0
        while position < line.count, line[position] != UInt8(ascii: "{"), line[position] != 0x20 { position += 1 }
        guard position < line.count, line[position] == UInt8(ascii: "{") else { return position }
        var isQuoted = false
        while position < line.count {
            let byte = line[position]
            if isQuoted, byte == 0x5c {
                position += 1
            } else if byte == 0x22 {
                isQuoted.toggle()
            } else if byte == UInt8(ascii: "}"), !isQuoted {
                return position + 1
            }
            position += 1
        }
        throw OpenMetricsLineError(column: line.count, message: "labels without a closing brace")
    }

    private func begins(_ line: UnsafeRawBufferPointer, with prefix: [UInt8]) -> Bool {
        let length = prefix.count
        guard length < line.count, line[length] == 0x20, let start = line.baseAddress else { return false }
        return prefix.withUnsafeBytes { $0.baseAddress.map { memcmp($0, start, length) == 0 } ?? false }
    }

    /// The series that a line begins with, and where its name and labels end.
    private mutating func identify(_ line: UnsafeRawBufferPointer) throws(OpenMetricsLineError) -> (series: Int, end: Int) {
        if last >= 0 {
            let next = follower[last]
            if begins(line, with: prefixes[next]) {
                last = next
                return (next, prefixes[next].count)
            }
            if begins(line, with: prefixes[last]) {
                follower[last] = last
                return (last, prefixes[last].count)
            }
        }
        let length = try prefixEnd(line)
        let prefix = Array(line[..<length])
        let found: Int
        if let one = known[prefix] {
            found = one
        } else {
            found = series.count
            series.append(try OpenMetricsParser.labels(prefix))
            known[prefix] = found
            prefixes.append(prefix)
            follower.append(found)
        }
        if last >= 0 { follower[last] = found }
        last = found
        return (found, length)
    }

    /// Name and labels from their text.
    static func labels(_ prefix: [UInt8]) throws(OpenMetricsLineError) -> LabelSet {
        var position = 0
        func name() throws(OpenMetricsLineError) -> String {
            let start = position
            while position < prefix.count, isNameByte(prefix[position]) { position += 1 }
            guard position > start, prefix[start] < 48 || prefix[start] > 57 else {
                throw OpenMetricsLineError(column: start + 1, message: "a name is expected here")
            }
            return String(decoding: prefix[start..<position], as: UTF8.self)
        }
        func take(_ byte: UInt8, _ what: String) throws(OpenMetricsLineError) {
            guard position < prefix.count, prefix[position] == byte else {
                throw OpenMetricsLineError(column: position + 1, message: "\(what) is expected here")
            }
            position += 1
        }
        var labels = [Label(LabelSet.metricName, try name())]
        guard position < prefix.count else { return LabelSet(labels) }
        try take(UInt8(ascii: "{"), "'{'")
        while position < prefix.count, prefix[position] != UInt8(ascii: "}") {
            let label = try name()
            try take(UInt8(ascii: "="), "'='")
            try take(0x22, "a quotation mark")
            var value: [UInt8] = []
            while position < prefix.count, prefix[position] != 0x22 {
                if prefix[position] == 0x5c, position + 1 < prefix.count {
                    position += 1
                    value.append(prefix[position] == UInt8(ascii: "n") ? 0x0a : prefix[position])
                } else {
                    value.append(prefix[position])
                }
                position += 1
            }
            try take(0x22, "a quotation mark")
            guard let text = String(validating: value, as: UTF8.self) else {
                throw OpenMetricsLineError(column: position, message: "a label's value is not UTF-8")
            }
            guard !labels.contains(where: { $0.name == label }) else {
                throw OpenMetricsLineError(column: position, message: "label '\(label)' comes twice")
            }
            labels.append(Label(label, text))
            if position < prefix.count, prefix[position] == UInt8(ascii: ",") { position += 1 }
        }
        try take(UInt8(ascii: "}"), "'}'")
        return LabelSet(labels)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        byte >= 97 && byte <= 122 || byte >= 65 && byte <= 90 || byte >= 48 && byte <= 57 || byte == 95 || byte == 58
    }

    /// A number: up to 19 digits and a small power of ten are exact by one division or multiplication; the rest is left to strtod.
    private func number(_ line: UnsafeRawBufferPointer, _ position: inout Int, _ what: String) throws(OpenMetricsLineError) -> Double {
        let start = position
        var mantissa: UInt64 = 0
        var digits = 0
        var decimals = 0
        var isPlain = true
        var hasPoint = false
        let isNegative = position < line.count && line[position] == UInt8(ascii: "-")
        if isNegative { position += 1 }
        while position < line.count, line[position] > 0x20 {
            let byte = line[position]
            if byte >= 48, byte <= 57 {
                digits += 1
                if digits <= 18 { mantissa = mantissa &* 10 &+ UInt64(byte - 48) }
                if hasPoint { decimals += 1 }
            } else if byte == UInt8(ascii: "."), !hasPoint {
                hasPoint = true
            } else {
                isPlain = false
            }
            position += 1
        }
        if isPlain, digits > 0, digits <= 18, mantissa <= 1 << 53, decimals <= 18 {
            let value = Scale(decimals: UInt8(decimals)).apply(toMagnitude: mantissa)
            return isNegative ? -value : value
        }
        let text = String(decoding: line[start..<position], as: UTF8.self)
        switch text.lowercased() {
        case "nan", "+nan", "-nan": return .nan
        case "inf", "+inf", "+infinity", "infinity": return .infinity
        case "-inf", "-infinity": return -.infinity
        default: break
        }
        guard let value = Double(text), !text.lowercased().contains("x") else {
            throw OpenMetricsLineError(column: start + 1, message: "'\(text)' is not \(what)")
        }
        return value
    }

    private func milliseconds(_ line: UnsafeRawBufferPointer, _ position: inout Int) throws(OpenMetricsLineError) -> Int64 {
        let start = position
        let value = try number(line, &position, "a timestamp")
        let scaled = unit == .seconds ? (value * 1000).rounded() : value.rounded()
        // The years 0 to 9999, near enough.
        guard abs(scaled) < 4e14 else { throw OpenMetricsLineError(column: start + 1, message: "a timestamp outside all years") }
        return Int64(scaled)
    }
}
