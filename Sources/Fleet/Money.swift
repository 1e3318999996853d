/// An amount of money in one currency, as a whole number of 10⁻¹² currency units.
///
/// Never a Double. Sums and products are exact; rounding happens in one named place, where an invoice is written.
public struct Money: Hashable, Sendable {
    /// The count of 10⁻¹² currency units; negative for a reversal.
    public let trillionths: Int128
    /// The currency.
    public let currency: Currency

    /// An amount from its count of 10⁻¹² units.
    public init(trillionths: Int128, currency: Currency) {
        self.trillionths = trillionths
        self.currency = currency
    }

    /// The number of 10⁻¹² parts in one currency unit.
    public static let trillionthsPerUnit: Int128 = 1_000_000_000_000
}

/// A currency by its ISO 4217 code: three capital letters.
public struct Currency: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The code, such as `CNY`.
    public let code: String

    /// A currency, or nil where the code is not three capital ASCII letters.
    public init?(code: String) {
        guard code.utf8.count == 3, code.utf8.allSatisfy({ (65...90).contains($0) }) else { return nil }
        self.code = code
    }

    /// Orders by code.
    public static func < (left: Currency, right: Currency) -> Bool { left.code < right.code }
    /// The code.
    public var description: String { code }
}
