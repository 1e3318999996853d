public import Fleet
import PromQL
import TimeSeries

/// Reads times and durations as Prometheus' API and `steward query` take them.
public enum QueryTime {
    /// Before and after every sample there can be: a thousand centuries either way, so that arithmetic on them cannot overflow.
    static let earliest = Timestamp(milliseconds: -3_000_000_000_000_000)
    static let latest = Timestamp(milliseconds: 3_000_000_000_000_000)

    /// Unix seconds with a fraction, or RFC 3339; nil for anything else.
    public static func timestamp(_ text: String) -> Timestamp? {
        if let seconds = decimal(text) {
            guard seconds.magnitude <= 3_000_000_000_000 else { return nil }
            return Timestamp(milliseconds: Int64((seconds * 1000).rounded()))
        }
        return rfc3339(text)
    }

    /// Seconds with a fraction, or Prometheus' `1h30m`; nil for anything else.
    public static func duration(_ text: String) -> Duration? {
        if let seconds = decimal(text) {
            guard seconds.magnitude <= 9_000_000_000 else { return nil }
            return .milliseconds(Int64(seconds * 1000))
        }
        guard !text.isEmpty, case .number(let literal)? = try? Expression(parsing: text), literal.isDuration else { return nil }
        return .milliseconds(Int64((literal.value * 1000).rounded()))
    }

    /// A finite decimal number; Swift's reader alone would take `0x10`, `inf` and `nan` too.
    private static func decimal(_ text: String) -> Double? {
        guard let value = Double(text), value.isFinite, text.utf8.allSatisfy({ $0 != UInt8(ascii: "x") && $0 != UInt8(ascii: "X") }) else {
            return nil
        }
        return value
    }

    private static func rfc3339(_ text: String) -> Timestamp? {
        let bytes = Array(text.utf8)
        func digits(_ range: Range<Int>) -> Int64? {
            guard range.upperBound <= bytes.count else { return nil }
            var value: Int64 = 0
            for byte in bytes[range] {
                guard (48...57).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 48)
            }
            return value
        }
        func isByte(_ index: Int, _ characters: String) -> Bool { index < bytes.count && characters.utf8.contains(bytes[index]) }
        guard isByte(4, "-"), isByte(7, "-"), isByte(10, "Tt "), isByte(13, ":"), isByte(16, ":"),
            let year = digits(0..<4), let month = digits(5..<7), let day = digits(8..<10), let hour = digits(11..<13),
            let minute = digits(14..<16), let second = digits(17..<19), hour < 24, minute < 60, second < 60,
            let date = CivilDate(year: year, month: Int(month), day: Int(day))
        else { return nil }
        var position = 19
        var milliseconds: Int64 = 0
        if isByte(position, ".") {
            position += 1
            var scale: Int64 = 100
            while position < bytes.count, (48...57).contains(bytes[position]) {
                milliseconds += Int64(bytes[position] - 48) * scale
                scale /= 10
                position += 1
            }
        }
        var offset: Int64 = 0
        if isByte(position, "Zz") {
            position += 1
        } else if isByte(position, "+-"), isByte(position + 3, ":"), let hours = digits(position + 1..<position + 3),
            let minutes = digits(position + 4..<position + 6), hours < 24, minutes < 60
        {
            offset = (hours * 60 + minutes) * 60 * (isByte(position, "-") ? -1 : 1)
            position += 6
        } else {
            return nil
        }
        guard position == bytes.count else { return nil }
        let seconds = date.daysSinceEpoch * 86_400 + hour * 3600 + minute * 60 + second - offset
        return Timestamp(milliseconds: seconds * 1000 + milliseconds)
    }
}

extension APIRequest {
    func time(_ name: String, default fallback: Timestamp) throws(APIError) -> Timestamp {
        guard let text = self[name], !text.isEmpty else { return fallback }
        return try requiredTime(name)
    }

    func requiredTime(_ name: String) throws(APIError) -> Timestamp {
        let text = self[name] ?? ""
        guard let time = QueryTime.timestamp(text) else { throw .invalid(name, "cannot parse \(quotedText(text)) to a valid timestamp") }
        return time
    }

    func duration(_ name: String) throws(APIError) -> Duration? {
        guard let text = self[name], !text.isEmpty else { return nil }
        return try requiredDuration(name)
    }

    func requiredDuration(_ name: String) throws(APIError) -> Duration {
        let text = self[name] ?? ""
        guard let duration = QueryTime.duration(text) else { throw .invalid(name, "cannot parse \(quotedText(text)) to a valid duration") }
        return duration
    }

    /// How many items may be answered; nil for all.
    func limit(_ name: String = "limit") throws(APIError) -> Int? {
        guard let text = self[name], !text.isEmpty else { return nil }
        guard let limit = Int(text) else { throw .invalid(name, "cannot parse \(quotedText(text)) to a number") }
        if limit < 0 { throw .invalid(name, "limit must be non-negative") }
        return limit == 0 ? nil : limit
    }

    func expression() throws(APIError) -> Expression {
        do throws(ParseError) {
            return try Expression(parsing: self["query"] ?? "")
        } catch {
            throw .invalid("query", error.description)
        }
    }

    /// The selectors of `match[]`; each must ask for something that a series without labels does not have.
    func selectors() throws(APIError) -> [[LabelMatcher]] {
        var result: [[LabelMatcher]] = []
        for text in all("match[]") {
            do throws(ParseError) {
                result.append(try [LabelMatcher](parsingSelector: text))
            } catch {
                throw .invalid("match[]", error.description)
            }
        }
        return result
    }
}

/// A text as it stands in messages, cut where somebody sends a megabyte.
func quotedText(_ text: String) -> String {
    let shown = text.count > 200 ? text.prefix(200) + "…" : text[...]
    var json = JSONText()
    json.text(String(shown))
    return String(decoding: json.bytes, as: UTF8.self)
}
