public import Fleet

/// A decimal number exactly as written, as digits and how many of them are decimals.
///
/// Never by way of a Double, so 0.1 is one tenth.
public struct ExactDecimal: Hashable, Sendable {
    /// All digits as one integer, with the sign.
    public let digits: Int128
    /// How many of them stand after the point, 0…30.
    public let places: Int

    /// A decimal from its text: an optional sign, digits, an optional point and digits; nil for anything else.
    ///
    /// Exponents, thousands separators, leading or trailing points and more than 30 digits are refused.
    public init?(_ text: some StringProtocol) {
        var digits: Int128 = 0
        var count = 0
        var places: Int?
        var isNegative = false
        for (position, byte) in text.utf8.enumerated() {
            switch byte {
            case UInt8(ascii: "-") where position == 0: isNegative = true
            case UInt8(ascii: "+") where position == 0: break
            case UInt8(ascii: ".") where places == nil && count > 0: places = 0
            case 48...57:
                guard count < 30 else { return nil }
                digits = digits * 10 + Int128(byte - 48)
                count += 1
                places = places.map { $0 + 1 }
            default: return nil
            }
        }
        guard count > 0, places != 0 else { return nil }
        self.digits = isNegative ? -digits : digits
        self.places = places ?? 0
    }

    /// The number times 10ˢᶜᵃˡᵉ, or nil where that is no whole number or too large.
    public func scaled(by scale: Int) -> Int128? {
        var result = digits
        if scale >= places {
            for _ in places..<scale {
                let (product, overflow) = result.multipliedReportingOverflow(by: 10)
                guard !overflow else { return nil }
                result = product
            }
            return result
        }
        for _ in scale..<places {
            guard result % 10 == 0 else { return nil }
            result /= 10
        }
        return result
    }
}

extension YamlNode {
    /// A whole number within a range.
    public func integer(_ subject: String, in range: ClosedRange<Int>, _ problems: inout YamlProblems) -> Int? {
        guard let text = text(subject, &problems) else { return nil }
        guard let number = Int(text) else {
            problems.error("\(subject) must be a whole number, not \(kind)", at: place)
            return nil
        }
        guard range.contains(number) else {
            problems.error("\(subject) is \(number), outside \(range.lowerBound)…\(range.upperBound)", at: place)
            return nil
        }
        return number
    }

    /// `true` or `false`; YAML 1.1's other words are refused because they surprise.
    public func boolean(_ subject: String, _ problems: inout YamlProblems) -> Bool? {
        choice(subject, [("true", true), ("false", false)], &problems)
    }

    /// A duration within a range, such as `500ms`, `15s`, `5m`, `1h30m`, `2d`; a unit is required unless it is 0.
    public func duration(
        _ subject: String, in range: ClosedRange<Duration> = .zero ... .seconds(366 * 86_400), _ problems: inout YamlProblems
    ) -> Duration? {
        guard let text = text(subject, &problems) else { return nil }
        guard let milliseconds = durationMilliseconds(text) else {
            problems.error(
                "\(subject) is '\(text)', which is no duration", at: place, suggestion: "write it with units: 500ms, 15s, 5m, 1h30m, 2d")
            return nil
        }
        let duration = Duration.milliseconds(milliseconds)
        guard range.contains(duration) else {
            problems.error(
                "\(subject) is \(text), outside \(durationText(range.lowerBound))…\(durationText(range.upperBound))", at: place)
            return nil
        }
        return duration
    }

    /// An amount of bytes such as `20GiB` or `1.5 TiB`; decimal units are refused with their binary neighbour as suggestion.
    public func bytes(_ subject: String, _ problems: inout YamlProblems) -> Bytes? {
        guard let text = text(subject, &problems) else { return nil }
        let units: [(name: String, bits: Int)] = [
            ("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("PiB", 50), ("EiB", 60),
        ]
        let number = text.prefix { $0.isNumber || $0 == "." }
        let unit = text.dropFirst(number.count).drop { $0 == " " }
        guard let decimal = ExactDecimal(number) else {
            problems.error("\(subject) is '\(text)', which is no amount of bytes", at: place, suggestion: "write it with a unit: 20GiB")
            return nil
        }
        guard let bits = units.first(where: { $0.name == unit })?.bits else {
            let meant = units.first { $0.name.first?.lowercased() == unit.first?.lowercased() && unit.count <= 3 }?.name
            problems.error(
                unit.isEmpty ? "\(subject) is '\(text)', without a unit" : "\(subject) has the unknown unit '\(unit)'", at: place,
                suggestion: unit.isEmpty
                    ? "write a unit: B, KiB, MiB, GiB, TiB, PiB or EiB" : meant.map { "did you mean '\($0)' (powers of 1024)?" })
            return nil
        }
        let power = tenToThe(decimal.places)
        let (product, overflow) = decimal.digits.multipliedReportingOverflow(by: Int128(1) << bits)
        guard !overflow, product % power == 0, let count = UInt64(exactly: product / power) else {
            problems.error("\(subject) is \(text), which is no whole number of bytes up to 2⁶⁴−1", at: place)
            return nil
        }
        return Bytes(count)
    }

    /// A share: `70%` or `0.7`, within 0…1.
    public func ratio(_ subject: String, _ problems: inout YamlProblems) -> Ratio? {
        guard let millionths = partsPerMillion(subject, &problems) else { return nil }
        return Ratio(Double(millionths) / 1_000_000)
    }

    /// A share in exact parts per million: `12.5%` is 125,000, `0.7` is 700,000; at most four decimals of a percent.
    public func partsPerMillion(_ subject: String, _ problems: inout YamlProblems) -> Int? {
        guard let text = text(subject, &problems) else { return nil }
        let isPercent = text.hasSuffix("%")
        let number = isPercent ? text.dropLast().filter { $0 != " " } : text
        guard let decimal = ExactDecimal(number), let parts = decimal.scaled(by: isPercent ? 4 : 6) else {
            problems.error("\(subject) is '\(text)', which is no share", at: place, suggestion: "write 70% or 0.7, to six decimals at most")
            return nil
        }
        guard (0...1_000_000).contains(parts) else {
            problems.error(
                "\(subject) is \(text), outside 0…100 %", at: place,
                suggestion: isPercent || parts > 100_000_000 ? nil : "did you mean '\(text)%'?")
            return nil
        }
        return Int(parts)
    }

    /// A decimal as the exact count of 10⁻ᵖˡᵃᶜᵉˢ; an error where the text has more decimals.
    public func decimal(_ subject: String, places: Int, _ problems: inout YamlProblems) -> Int128? {
        guard let text = text(subject, &problems) else { return nil }
        return exact(text, subject, places: places, &problems)
    }

    private func exact(_ text: some StringProtocol, _ subject: String, places: Int, _ problems: inout YamlProblems) -> Int128? {
        guard let decimal = ExactDecimal(text) else {
            problems.error(
                "\(subject) is '\(text)', which is no decimal number", at: place,
                suggestion: text.contains(",")
                    ? "write the decimal point as '.', without thousands separators" : "write it out, such as 0.25"
            )
            return nil
        }
        guard let scaled = decimal.scaled(by: places) else {
            problems.error("\(subject) is \(text), finer than 10⁻\(places) or too large to be kept exactly", at: place)
            return nil
        }
        return scaled
    }

    /// Money such as `3.20 CNY`, exactly; `currency` is used where the text names none, and must agree where it does.
    public func money(_ subject: String, currency: Currency? = nil, _ problems: inout YamlProblems) -> Money? {
        guard let text = text(subject, &problems) else { return nil }
        let parts = text.split(separator: " ", omittingEmptySubsequences: true)
        guard parts.count == 1 || parts.count == 2 else {
            problems.error("\(subject) is '\(text)', which is no amount of money", at: place, suggestion: "write it as 3.20 CNY")
            return nil
        }
        guard let trillionths = exact(parts[0], subject, places: 12, &problems) else { return nil }
        var named: Currency?
        if parts.count == 2 {
            named = Currency(code: String(parts[1]))
            guard named != nil else {
                problems.error(
                    "\(subject) names the currency '\(parts[1])', which is no ISO 4217 code", at: place,
                    suggestion: "write three capital letters, such as CNY")
                return nil
            }
        }
        if let named, let currency, named != currency {
            problems.error(
                "\(subject) is in \(named), but the file is in \(currency)", at: place, suggestion: "keep one currency in a file")
            return nil
        }
        guard let used = named ?? currency else {
            problems.error("\(subject) names no currency", at: place, suggestion: "write '\(text) CNY' or a 'currency:' for the file")
            return nil
        }
        return Money(trillionths: trillionths, currency: used)
    }

    /// A calendar date: `2026-11-23`.
    public func civilDate(_ subject: String, _ problems: inout YamlProblems) -> CivilDate? {
        guard let text = text(subject, &problems) else { return nil }
        guard let date = parsedDate(text) else {
            problems.error("\(subject) is '\(text)', which is no date", at: place, suggestion: "write YYYY-MM-DD")
            return nil
        }
        return date
    }

    /// An instant by RFC 3339 with its offset, such as `2026-11-23T09:30:00+08:00` or `…Z`.
    public func timestamp(_ subject: String, _ problems: inout YamlProblems) -> Timestamp? {
        guard let text = text(subject, &problems) else { return nil }
        guard let instant = parsedInstant(text) else {
            problems.error(
                "\(subject) is '\(text)', which is no instant", at: place,
                suggestion: parsedDate(text) == nil
                    ? "write it as 2026-11-23T00:00:00+08:00" : "write the time and the offset: \(text)T00:00:00Z")
            return nil
        }
        return instant
    }
}

func tenToThe(_ places: Int) -> Int128 {
    var power: Int128 = 1
    for _ in 0..<places { power *= 10 }
    return power
}

/// The milliseconds of `1h30m`-like text, units each at most once and in falling order; nil for anything else.
func durationMilliseconds(_ text: String) -> Int64? {
    if text == "0" { return 0 }
    let units: [(name: String, milliseconds: Int64)] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
    var total: Int64 = 0
    var next = 0
    var rest = text[...]
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        rest = rest.dropFirst(digits.count)
        let name = rest.prefix { !($0.isASCII && $0.isNumber) }
        rest = rest.dropFirst(name.count)
        guard let number = Int64(digits), let index = units.firstIndex(where: { $0.name == name }), index >= next else { return nil }
        let (part, overflow) = number.multipliedReportingOverflow(by: units[index].milliseconds)
        let (sum, tooLarge) = total.addingReportingOverflow(part)
        guard !overflow, !tooLarge else { return nil }
        total = sum
        next = index + 1
    }
    return total
}

func durationText(_ duration: Duration) -> String {
    var left = duration.milliseconds
    var text = ""
    for (name, size) in [("d", Int64(86_400_000)), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] where left >= size {
        text += "\(left / size)\(name)"
        left %= size
    }
    return text.isEmpty ? "0" : text
}

func parsedDate(_ text: some StringProtocol) -> CivilDate? {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard text.utf8.count == 10, parts.count == 3, parts[0].utf8.count == 4, parts[1].utf8.count == 2, text.utf8.allSatisfy({ $0 != 43 }),
        let year = Int64(parts[0]), let month = Int(parts[1]), let day = Int(parts[2])
    else { return nil }
    return CivilDate(year: year, month: month, day: day)
}

func parsedInstant(_ text: String) -> Timestamp? {
    let halves = text.split(separator: "T", omittingEmptySubsequences: false)
    guard halves.count == 2, let date = parsedDate(halves[0]) else { return nil }
    let clock = Array(halves[1].utf8)
    func two(_ start: Int) -> Int64? {
        guard clock.count >= start + 2, (48...57).contains(clock[start]), (48...57).contains(clock[start + 1]) else { return nil }
        return Int64(clock[start] - 48) * 10 + Int64(clock[start + 1] - 48)
    }
    let colon = UInt8(ascii: ":")
    guard clock.count >= 9, let hour = two(0), clock[2] == colon, let minute = two(3), clock[5] == colon, let second = two(6),
        hour < 24, minute < 60, second < 60
    else { return nil }
    let local = date.daysSinceEpoch * 86_400 + hour * 3600 + minute * 60 + second
    if clock.count == 9, clock[8] == UInt8(ascii: "Z") { return Timestamp(seconds: local) }
    guard clock.count == 14, clock[8] == UInt8(ascii: "+") || clock[8] == UInt8(ascii: "-"), let hours = two(9), clock[11] == colon,
        let minutes = two(12), hours < 24, minutes < 60
    else { return nil }
    let offset = hours * 3600 + minutes * 60
    return Timestamp(seconds: clock[8] == UInt8(ascii: "+") ? local - offset : local + offset)
}
