/// Stored bytes that cannot be what was written: a flipped bit, a cut file, foreign data.
public struct DamagedData: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong with the bytes.
    public let description: String
    /// An error.
    public init(_ description: String) { self.description = description }
}

/// Collects bytes: little-endian words and LEB128 varints.
package struct ByteWriter {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func byte(_ value: UInt8) { bytes.append(value) }

    package mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    package mutating func varint(_ value: Int) { varint(UInt64(value)) }

    /// A signed number, small magnitudes short whichever their sign.
    package mutating func signed(_ value: Int64) { varint(zigzag(value)) }

    package mutating func word32(_ value: UInt32) {
        for shift in stride(from: UInt32(0), to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    package mutating func append(_ more: [UInt8]) { bytes.append(contentsOf: more) }
    package mutating func append(_ more: UnsafeRawBufferPointer) { bytes.append(contentsOf: more) }

    package mutating func text(_ value: String) {
        varint(value.utf8.count)
        bytes.append(contentsOf: value.utf8)
    }
}

/// Reads what `ByteWriter` wrote; every read is checked against the end.
package struct ByteReader {
    private let bytes: UnsafeRawBufferPointer
    package private(set) var position = 0

    /// The bytes must outlive the reader.
    package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    package var remaining: Int { bytes.count - position }

    @inline(__always)
    package mutating func byte() throws(DamagedData) -> UInt8 {
        guard position < bytes.count else { throw DamagedData("the data ends in the middle of a number") }
        let value = bytes.load(fromByteOffset: position, as: UInt8.self)
        position += 1
        return value
    }

    @inline(__always)
    package mutating func varint() throws(DamagedData) -> UInt64 {
        let first = try byte()
        return first < 0x80 ? UInt64(first) : try longVarint(first)
    }

    private mutating func longVarint(_ first: UInt8) throws(DamagedData) -> UInt64 {
        var value = UInt64(first & 0x7f)
        var shift: UInt64 = 7
        while true {
            let next = try byte()
            guard shift < 63 || next <= 1 else { throw DamagedData("a number of more than 64 bits") }
            value |= UInt64(next & 0x7f) << shift
            if next < 0x80 { return value }
            shift += 7
        }
    }

    /// A count that must not exceed `limit`.
    package mutating func count(atMost limit: Int, _ what: StaticString) throws(DamagedData) -> Int {
        let value = try varint()
        guard value <= UInt64(limit) else { throw DamagedData("\(value) \(what), more than the \(limit) there can be") }
        return Int(value)
    }

    package mutating func signed() throws(DamagedData) -> Int64 { unzigzag(try varint()) }

    package mutating func word32() throws(DamagedData) -> UInt32 {
        var value: UInt32 = 0
        for shift in stride(from: UInt32(0), to: 32, by: 8) { value |= UInt32(try byte()) << shift }
        return value
    }

    package mutating func take(_ count: Int) throws(DamagedData) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= remaining else { throw DamagedData("the data ends \(count - remaining) bytes early") }
        let slice = UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
        position += count
        return slice
    }

    package mutating func text(atMost limit: Int) throws(DamagedData) -> String {
        let length = try count(atMost: limit, "bytes of text")
        guard let text = String(validating: try take(length), as: UTF8.self) else { throw DamagedData("text that is not UTF-8") }
        return text
    }
}

extension [UInt8] {
    /// The bytes as a raw buffer; unlike the standard library's own it hands typed errors on.
    @inline(__always)
    package func withBytes<Result, Failure: Error>(_ body: (UnsafeRawBufferPointer) throws(Failure) -> Result) throws(Failure) -> Result {
        try withUnsafeBufferPointer { buffer throws(Failure) in try body(UnsafeRawBufferPointer(buffer)) }
    }

    /// The bytes as a raw buffer to write to.
    @inline(__always)
    package mutating func withMutableBytes<Result, Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeMutableBufferPointer { buffer throws(Failure) in try body(UnsafeMutableRawBufferPointer(buffer)) }
    }
}

@inline(__always)
package func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: (value << 1) ^ (value >> 63)) }

@inline(__always)
package func unzigzag(_ value: UInt64) -> Int64 { Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1) }

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), eight bytes a step.
package enum Checksum {
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for index in 0..<256 {
            var value = UInt32(index)
            for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82f6_3b78 : value >> 1 }
            tables[index] = value
        }
        for index in 256..<8 * 256 { tables[index] = tables[index - 256] >> 8 ^ tables[Int(tables[index - 256] & 255)] }
        return tables
    }()

    /// The checksum of the bytes, going on from the checksum of those before them.
    package static func crc32c(_ bytes: UnsafeRawBufferPointer, after previous: UInt32 = 0) -> UInt32 {
        tables.withUnsafeBufferPointer { table in
            var value = ~previous
            var position = 0
            while position + 8 <= bytes.count {
                let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)) ^ UInt64(value)
                var next: UInt32 = 0
                for step in 0..<8 { next ^= table[(7 - step) &* 256 &+ Int(word >> UInt64(8 &* step) & 255)] }
                value = next
                position += 8
            }
            while position < bytes.count {
                value = value >> 8 ^ table[Int((value ^ UInt32(bytes[position])) & 255)]
                position += 1
            }
            return ~value
        }
    }

    package static func crc32c(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { crc32c($0) } }
}
