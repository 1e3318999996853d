extension Duration {
    /// The units that operators write, with their length in milliseconds.
    private static let units: [(name: String, milliseconds: Int64)] = [
        ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000),
    ]

    /// The longest duration that is read: a century.
    private static let longestMilliseconds: Int64 = 100 * 366 * 86_400_000

    /// A duration as Prometheus writes them, `1h30m`, `500ms`: whole numbers, each with its unit, larger units first, each once.
    ///
    /// Nil for any other text, for `0` without a unit too, and beyond a century.
    public init?(operatorText text: some StringProtocol) {
        var total: Int64 = 0
        var lastUnit = Int.max
        var rest = Substring(text)
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest[digits.endIndex...]
            let letters = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest[letters.endIndex...]
            guard let number = Int64(digits), let unit = Duration.units.firstIndex(where: { $0.name == letters }), unit < lastUnit else {
                return nil
            }
            lastUnit = unit
            let (product, overflows) = number.multipliedReportingOverflow(by: Duration.units[unit].milliseconds)
            guard !overflows, product <= Duration.longestMilliseconds - total else { return nil }
            total += product
        }
        self = .milliseconds(total)
    }

    /// The text that `init(operatorText:)` reads, in the largest units that fit: `1h30m`, `0s`.
    public var operatorText: String {
        var rest = milliseconds
        guard rest != 0 else { return "0s" }
        var text = rest < 0 ? "-" : ""
        rest = abs(rest)
        for unit in Duration.units.reversed() where unit.name != "w" && rest >= unit.milliseconds {
            text += "\(rest / unit.milliseconds)\(unit.name)"
            rest %= unit.milliseconds
        }
        return text
    }
}
