/// An amount of memory, disk or traffic, as whole bytes, 0…2⁶⁴−1.
public struct Bytes: Hashable, Comparable, Sendable {
    /// The number of bytes.
    public var count: UInt64

    /// An amount of so many bytes.
    public init(_ count: UInt64) {
        self.count = count
    }

    /// So many KiB (1024 bytes); traps beyond 2⁶⁴−1 bytes.
    public static func kibibytes(_ count: UInt64) -> Bytes { Bytes(count, shiftedBy: 10) }
    /// So many MiB (1024² bytes); traps beyond 2⁶⁴−1 bytes.
    public static func mebibytes(_ count: UInt64) -> Bytes { Bytes(count, shiftedBy: 20) }
    /// So many GiB (1024³ bytes); traps beyond 2⁶⁴−1 bytes.
    public static func gibibytes(_ count: UInt64) -> Bytes { Bytes(count, shiftedBy: 30) }

    private init(_ units: UInt64, shiftedBy bits: UInt64) {
        precondition(units.leadingZeroBitCount >= bits, "an amount beyond 2⁶⁴−1 bytes")
        count = units << bits
    }

    /// Orders amounts, smaller first.
    public static func < (left: Bytes, right: Bytes) -> Bool { left.count < right.count }
    /// The sum of two amounts; traps on overflow.
    public static func + (left: Bytes, right: Bytes) -> Bytes { Bytes(left.count + right.count) }
    /// The difference of two amounts; traps when `right` is larger.
    public static func - (left: Bytes, right: Bytes) -> Bytes { Bytes(left.count - right.count) }
}

extension Bytes: CustomStringConvertible {
    /// The largest binary unit in which the amount is at least 1, with at most one decimal, cut not rounded: `1.5 GiB`.
    public var description: String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        let unit = count == 0 ? 0 : (63 - count.leadingZeroBitCount) / 10
        guard unit > 0 else { return "\(count) B" }
        let whole = count >> UInt64(unit * 10)
        let tenths = ((count >> UInt64(unit * 10 - 10)) & 1023) * 10 / 1024
        return tenths == 0 || whole >= 100 ? "\(whole) \(units[unit])" : "\(whole).\(tenths) \(units[unit])"
    }
}

/// A share of a whole: 0 is nothing, 1 is all of it.
public struct Ratio: Hashable, Comparable, Sendable {
    /// The share, within 0…1 and never NaN.
    public let value: Double

    /// A share, or nil for anything outside 0…1.
    public init?(_ value: Double) {
        guard value >= 0, value <= 1 else { return nil }
        self.value = value
    }

    /// Orders shares, smaller first.
    public static func < (left: Ratio, right: Ratio) -> Bool { left.value < right.value }
}
