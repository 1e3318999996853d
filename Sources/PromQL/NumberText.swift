/// Numbers as Go prints them, which is how Prometheus does.
public enum NumberText {
    /// The shortest text that reads back as the number, without an exponent: `strconv.FormatFloat(x, 'f', -1, 64)`.
    ///
    /// What the HTTP API and `count_values` write: `NaN`, `+Inf`, `0.000001`, `123000000000000000000000`.
    public static func plain(_ value: Double) -> String {
        guard let (sign, digits, exponent) = decompose(value) else { return special(value) }
        return sign + plain(digits, exponent)
    }

    /// The shortest text, with an exponent below 1e-4 and from 1e21 on: Go's `%v`.
    public static func general(_ value: Double) -> String {
        guard let (sign, digits, exponent) = decompose(value) else { return special(value) }
        if exponent > -5, exponent < 21 { return sign + plain(digits, exponent) }
        let tail = digits.dropFirst()
        let power = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
        return sign + digits.prefix(1) + (tail.isEmpty ? "" : "." + tail) + (exponent < 0 ? "e-" : "e+") + power
    }

    /// So many decimals, as `%.3f`; for numbers below 2^53.
    static func fixed(_ value: Double, decimals: Int) -> String {
        guard value.isFinite else { return special(value) }
        let factor = (0..<decimals).reduce(1.0) { scaled, _ in scaled * 10 }
        guard (value * factor).magnitude < 9e18 else { return plain(value) }
        let scaled = Int64((value * factor).rounded()).magnitude
        let digits = String(scaled)
        let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
        return (value < 0 ? "-" : "") + padded.dropLast(decimals) + "." + padded.suffix(decimals)
    }

    private static func special(_ value: Double) -> String {
        value.isNaN ? "NaN" : value > 0 ? "+Inf" : value < 0 ? "-Inf" : value.sign == .minus ? "-0" : "0"
    }

    /// Sign, shortest digits, and the power of ten of the first digit; nil for zero and what is not finite.
    private static func decompose(_ value: Double) -> (sign: String, digits: String, exponent: Int)? {
        guard value.isFinite, value != 0 else { return nil }
        let text = value.magnitude.description
        let parts = text.split(separator: "e", maxSplits: 1)
        let mantissa = parts[0].split(separator: ".", maxSplits: 1)
        let whole = mantissa[0]
        let fraction = mantissa.count > 1 ? mantissa[1] : ""
        var digits = whole + fraction
        var exponent = (parts.count > 1 ? Int(parts[1]) ?? 0 : 0) + whole.count - 1
        while digits.first == "0", digits.count > 1 {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.last == "0", digits.count > 1 { digits.removeLast() }
        return (value < 0 ? "-" : "", String(digits), exponent)
    }

    private static func plain(_ digits: String, _ exponent: Int) -> String {
        if exponent < 0 { return "0." + String(repeating: "0", count: -exponent - 1) + digits }
        if digits.count <= exponent + 1 { return digits + String(repeating: "0", count: exponent + 1 - digits.count) }
        return digits.prefix(exponent + 1) + "." + digits.dropFirst(exponent + 1)
    }
}
