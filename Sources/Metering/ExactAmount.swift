import Fleet

/// What a usage is counted and priced in.
public enum UsageUnit: UInt8, Hashable, Sendable, CaseIterable {
    /// Seconds, priced by the hour.
    case hours = 1
    /// vCPU-seconds, priced by the vCPU-hour.
    case vcpuHours = 2
    /// Byte-seconds, priced by the GiB-hour.
    case gibibyteHours = 3
    /// Bytes, priced by the GiB.
    case gibibytes = 4

    /// How many counted units one priced unit has.
    public var size: UInt128 {
        switch self {
        case .hours, .vcpuHours: 3600
        case .gibibyteHours: 3600 << 30
        case .gibibytes: 1 << 30
        }
    }

    /// The words that reports and FOCUS show (FOCUS 1.2, UnitFormat).
    public var words: String {
        switch self {
        case .hours: "Hours"
        case .vcpuHours: "vCPU-Hours"
        case .gibibyteHours: "GiB-Hours"
        case .gibibytes: "GiB"
        }
    }
}

/// An amount of money without any rounding: 10⁻¹² currency units and a rest below one of them.
///
/// Every price is whole in 10⁻¹², every usage whole in seconds or bytes, every discount whole in parts per million; so 3600 · 2³⁰ · 10⁶ is a
/// common denominator of every rest, and sums are exact whatever their order.
public struct ExactAmount: Hashable, Comparable, Sendable {
    /// Whole 10⁻¹² currency units, rounded down.
    public let trillionths: Int128
    /// The rest, as a numerator over ``denominator``; 0…denominator−1.
    public let rest: UInt64

    /// The denominator of every rest.
    public static let denominator: UInt64 = 3600 * (1 << 30) * 1_000_000
    /// Nothing.
    public static let zero = ExactAmount(trillionths: 0, rest: 0)

    init(trillionths: Int128, rest: UInt64) {
        self.trillionths = trillionths
        self.rest = rest
    }

    /// What a usage costs.
    ///
    /// - Parameters:
    ///   - usage: The counted units, at least 0.
    ///   - unit: What is counted.
    ///   - price: 10⁻¹² currency units for one priced unit, at least 0.
    ///   - keptPartsPerMillion: What a discount leaves, 0…1,000,000.
    public init(usage: Int128, unit: UsageUnit, price: Int128, keptPartsPerMillion: Int = 1_000_000) {
        let divisor = unit.size * 1_000_000
        let kept = price.magnitude * UInt128(keptPartsPerMillion)
        let (product, overflow) = kept.multipliedReportingOverflow(by: usage.magnitude)
        let quotient: UInt128
        let remainder: UInt128
        if overflow {
            // Price books keep prices below 2⁶⁰ and 2¹⁰⁰ byte-seconds are an exabyte for 30,000 years: the quotient always fits.
            let wide = kept.multipliedFullWidth(by: usage.magnitude)
            (quotient, remainder) = divisor.dividingFullWidth(wide)
        } else {
            (quotient, remainder) = product.quotientAndRemainder(dividingBy: divisor)
        }
        self.init(trillionths: Int128(quotient), rest: UInt64(remainder * (UInt128(ExactAmount.denominator) / divisor)))
    }

    /// The exact sum.
    public static func + (left: ExactAmount, right: ExactAmount) -> ExactAmount {
        let sum = left.rest + right.rest
        let carries = sum >= denominator
        return ExactAmount(
            trillionths: left.trillionths + right.trillionths + (carries ? 1 : 0), rest: carries ? sum - denominator : sum)
    }

    /// The exact opposite.
    public static prefix func - (amount: ExactAmount) -> ExactAmount {
        amount.rest == 0
            ? ExactAmount(trillionths: -amount.trillionths, rest: 0)
            : ExactAmount(trillionths: -amount.trillionths - 1, rest: denominator - amount.rest)
    }

    /// The exact difference.
    public static func - (left: ExactAmount, right: ExactAmount) -> ExactAmount { left + -right }

    /// Orders by size.
    public static func < (left: ExactAmount, right: ExactAmount) -> Bool {
        (left.trillionths, left.rest) < (right.trillionths, right.rest)
    }

    /// The amount in whole minor units, rounded down, and what is left of one.
    func floored(minorDigits: Int) -> (units: Int128, left: ExactAmount) {
        let unit = ExactAmount.trillionths(ofMinorDigits: minorDigits)
        var (units, left) = trillionths.quotientAndRemainder(dividingBy: unit)
        if left < 0 {
            units -= 1
            left += unit
        }
        return (units, ExactAmount(trillionths: left, rest: rest))
    }

    /// The amount in whole minor units, rounded half to even: the one rounding that a bill knows.
    public func rounded(minorDigits: Int) -> Int128 {
        let (units, left) = floored(minorDigits: minorDigits)
        let twice = left + left
        let unit = ExactAmount(trillionths: ExactAmount.trillionths(ofMinorDigits: minorDigits), rest: 0)
        if twice < unit || (twice == unit && units % 2 == 0) { return units }
        return units + 1
    }

    static func trillionths(ofMinorDigits digits: Int) -> Int128 {
        var unit = Money.trillionthsPerUnit
        for _ in 0..<digits { unit /= 10 }
        return unit
    }
}

/// Spreads a rounded total over its parts by largest remainder, so that the parts add up to it; ties go to the earlier part.
///
/// - Returns: Whole minor units for each part.
public func apportioned(_ parts: [ExactAmount], minorDigits: Int) -> [Int128] {
    let total = parts.reduce(.zero, +).rounded(minorDigits: minorDigits)
    let floors = parts.map { $0.floored(minorDigits: minorDigits) }
    var units = floors.map(\.units)
    let missing = Int(total - units.reduce(0, +))
    let order = floors.indices.sorted { left, right in
        floors[left].left == floors[right].left ? left < right : floors[left].left > floors[right].left
    }
    for index in order.prefix(missing) { units[index] += 1 }
    return units
}

/// A whole count of 10⁻ᵈⁱᵍⁱᵗˢ as decimal text; `trimmed` drops trailing zeros.
public func decimalText(_ count: Int128, digits: Int, trimmed: Bool = false) -> String {
    var whole = String(count.magnitude)
    if whole.utf8.count <= digits { whole = String(repeating: "0", count: digits + 1 - whole.utf8.count) + whole }
    var fraction = String(whole.suffix(digits))
    let integer = String(whole.dropLast(digits))
    if trimmed { while fraction.hasSuffix("0") { fraction.removeLast() } }
    return (count < 0 ? "-" : "") + integer + (fraction.isEmpty ? "" : "." + fraction)
}
