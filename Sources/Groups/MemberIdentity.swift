public import Fleet

/// Who the next member of a group will be, worked out from the installation, the group and a number.
///
/// The same three always give the same guest: a plan that is made twice names the same UUID, name, addresses and volumes, and so never
/// makes a second guest. Another installation gives other ones.
public struct MemberIdentity: Hashable, Sendable {
    /// The group.
    public let group: String
    /// The member's number, from 1, never used twice.
    public let number: Int
    /// The UUID: version 8 of RFC 9562.
    public let guest: GuestID
    /// Marks the member's volumes as ours, beside the UUID.
    public let nonce: String
    private let seed: UInt64

    /// The identity of a member.
    ///
    /// - Parameter installation: a secret of this installation, made once.
    public init(installation: String, group: String, number: Int) {
        self.group = group
        self.number = number
        let text = "\(installation)\u{0}\(group)\u{0}\(number)"
        let high = mixed(text, salt: 1)
        let low = mixed(text, salt: 2)
        guest = GuestID(high: high & ~0xF000 | 0x8000, low: low & ~(3 << 62) | 2 << 62)
        seed = mixed(text, salt: 3)
        nonce = hexadecimal(mixed(text, salt: 4), digits: 8)
    }

    /// The name: the group, the number, and four digits that keep it from a hand-made guest's.
    public var name: String { "\(group)-\(number)-\(hexadecimal(guest.high >> 48, digits: 4))" }

    /// The MAC address of an interface; `attempt` steps on where one is taken.
    public func mac(interface: Int, attempt: Int = 0) -> String {
        let bits = mixed("\(seed)\u{0}\(interface)\u{0}\(attempt)", salt: 5)
        // 52:54:00 is QEMU's range of locally administered addresses.
        let parts = (0..<3).map { hexadecimal(bits >> UInt64($0 * 8) & 0xFF, digits: 2) }
        return "52:54:00:" + parts.joined(separator: ":")
    }

    /// The name of the member's disk.
    public var diskVolume: String { "\(guest)-\(nonce).qcow2" }
    /// The name of the member's seed.
    public var seedVolume: String { "\(guest)-\(nonce)-seed.iso" }
}

/// FNV-1a over the bytes, then the finalizer of SplitMix64, which spreads every bit over all others.
func mixed(_ text: String, salt: UInt64) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ (salt &* 0x9E37_79B9_7F4A_7C15)
    for byte in text.utf8 {
        hash ^= UInt64(byte)
        hash = hash &* 0x0000_0100_0000_01B3
    }
    hash = (hash ^ hash >> 30) &* 0xBF58_476D_1CE4_E5B9
    hash = (hash ^ hash >> 27) &* 0x94D0_49BB_1331_11EB
    return hash ^ hash >> 31
}

func hexadecimal(_ value: UInt64, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text.suffix(digits)
}
