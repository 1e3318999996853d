/// A guest's identity everywhere in Steward: its libvirt domain UUID.
///
/// Hosts and names change, this does not.
public struct GuestID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The first eight bytes, big-endian.
    public let high: UInt64
    /// The last eight bytes, big-endian.
    public let low: UInt64

    /// An identity from its two halves, big-endian.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// An identity from RFC 4122 text (`8-4-4-4-12` hexadecimal digits, either case), or nil for any other text.
    public init?(_ text: some StringProtocol) {
        var high: UInt64 = 0
        var low: UInt64 = 0
        var digits = 0
        var position = 0
        for byte in text.utf8 {
            if position == 8 || position == 13 || position == 18 || position == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
            } else {
                guard let digit = hexadecimalValue(byte), digits < 32 else { return nil }
                if digits < 16 { high = high << 4 | UInt64(digit) } else { low = low << 4 | UInt64(digit) }
                digits += 1
            }
            position += 1
        }
        guard digits == 32, position == 36 else { return nil }
        self.high = high
        self.low = low
    }

    /// Lower-case RFC 4122 text.
    public var description: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(36)
        for index in 0..<32 {
            if index == 8 || index == 12 || index == 16 || index == 20 { bytes.append(UInt8(ascii: "-")) }
            let half = index < 16 ? high : low
            let digit = UInt8(half >> UInt64(60 - index % 16 * 4) & 15)
            bytes.append(digit < 10 ? 48 + digit : 87 + digit)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Orders by the bytes of the UUID.
    public static func < (left: GuestID, right: GuestID) -> Bool {
        (left.high, left.low) < (right.high, right.low)
    }
}

/// The operator's name of a libvirt host: what `host` labels carry.
public struct HostName: Hashable, Comparable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// The name.
    public let text: String

    /// A host's name.
    public init(_ text: String) { self.text = text }
    /// A host's name.
    public init(stringLiteral value: String) { self.text = value }
    /// Orders by the text's Unicode scalars.
    public static func < (left: HostName, right: HostName) -> Bool { left.text < right.text }
    /// The name.
    public var description: String { text }
}

func hexadecimalValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 48...57: byte - 48
    case 65...70: byte - 55
    case 97...102: byte - 87
    default: nil
    }
}
