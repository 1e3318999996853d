/// The tokens and bits of one metric family in one segment, checked and inflated.
package final class FamilyData: Sendable {
    /// Tokens, then bits, then the padding that a reader may touch.
    private let bytes: [UInt8]
    private let tokenCount: Int
    private let bitCount: Int

    init(_ frame: UnsafeRawBufferPointer, family: SegmentDirectory.Family, zstd: borrowing ZstdDecompressor) throws(DamagedData) {
        guard frame.count == family.byteCount else { throw DamagedData("a frame of \(frame.count) bytes, not \(family.byteCount)") }
        guard Checksum.crc32c(frame) == family.checksum else { throw DamagedData("the checksum of a metric family's frame is wrong") }
        var all = [UInt8](repeating: 0, count: family.tokens + family.bits + TokenReader.padding)
        let stored = family.tokenBytes
        try all.withMutableBytes { target throws(DamagedData) in
            if family.tokens > 0 {
                let tokens = UnsafeMutableRawBufferPointer(rebasing: target[..<family.tokens])
                try zstd.decompress(UnsafeRawBufferPointer(rebasing: frame[..<stored]), into: tokens)
            }
            UnsafeMutableRawBufferPointer(rebasing: target[family.tokens...]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: frame[stored...]))
        }
        bytes = all
        tokenCount = family.tokens
        bitCount = family.bits
    }

    /// Decodes the small numbers of one column into `target`, which has room for them.
    func read(_ column: ColumnHeader, with reader: TokenReader, into target: UnsafeMutablePointer<UInt64>) throws(DamagedData) {
        guard column.tokenOffset + column.tokens <= tokenCount, column.bitOffset + column.bitBytes <= bitCount else {
            throw DamagedData("a column reaches beyond its frame")
        }
        try bytes.withBytes { all throws(DamagedData) in
            guard let start = all.baseAddress else { return }
            let tokens = UnsafeBufferPointer(
                start: start.advanced(by: column.tokenOffset).assumingMemoryBound(to: UInt8.self), count: column.tokens)
            let bits = start.advanced(by: tokenCount + column.bitOffset)
            try reader.read(tokens: tokens, shift: column.tokenShift, bits: bits, byteCount: column.bitBytes, into: target)
        }
    }
}

/// Decodes columns of one segment out of the families that were loaded.
package struct SegmentDecoder {
    private let directory: SegmentDirectory
    private var families: [FamilyData?]
    /// Small numbers of the column at hand.
    private var scratch: [UInt64] = []

    package init(_ directory: SegmentDirectory) {
        self.directory = directory
        families = Array(repeating: nil, count: directory.families.count)
    }

    package mutating func load(_ family: Int, _ data: FamilyData) { families[family] = data }
    package func isLoaded(_ family: Int) -> Bool { families[family] != nil }

    /// The native numbers of a column, those of the ticks that have one.
    package mutating func values(source: Int, column: Int) throws(DamagedData) -> [UInt64] {
        try values(source: source, column: column, depth: 0)
    }

    private mutating func values(source: Int, column: Int, depth: Int) throws(DamagedData) -> [UInt64] {
        guard depth <= ColumnHeader.deepestReference else { throw DamagedData("columns that lean on each other without end") }
        let header = directory.column(source: source, column: column)
        guard header.count > 0 else { return [] }
        if header.mode == .constant { return Array(repeating: header.first, count: header.count) }
        var left: [UInt64] = []
        var right: [UInt64] = []
        if header.mode == .clock {
            left = directory.times(source: source).map { UInt64(bitPattern: $0) }
            guard left.count == header.count else { throw DamagedData("a column follows the clock, with gaps") }
        }
        if header.mode == .reference || header.mode == .sum {
            left = try followed(source: source, column: header.left, count: header.count, depth: depth)
            if header.mode == .sum { right = try followed(source: source, column: header.right, count: header.count, depth: depth) }
        }
        let residuals = header.residuals
        if scratch.count < residuals { scratch = Array(repeating: 0, count: residuals + residuals / 4) }
        if header.isExact {
            for index in 0..<residuals { scratch[index] = 0 }
        } else {
            guard let family = families[header.family] else { throw DamagedData("a family that was not loaded") }
            try scratch.withUnsafeMutableBufferPointer { buffer throws(DamagedData) in
                guard let start = buffer.baseAddress else { return }
                try TokenReader.with { reader throws(DamagedData) in try family.read(header, with: reader, into: start) }
            }
        }
        var values = [UInt64](unsafeUninitializedCapacity: header.count) { target, count in
            scratch.withUnsafeBufferPointer { expand(header, $0, left, right, into: target) }
            count = header.count
        }
        if let places = header.decimals {
            let divisor = exactPowersOfTen[places]
            for index in values.indices { values[index] = (Double(Int64(bitPattern: values[index])) / divisor).bitPattern }
        }
        return values
    }

    /// A column that another one leans on: as integers, complete.
    private mutating func followed(source: Int, column: Int, count: Int, depth: Int) throws(DamagedData) -> [UInt64] {
        let header = directory.column(source: source, column: column)
        guard header.runs.isEmpty, header.count == count else { throw DamagedData("a column leans on one with gaps") }
        var values = try values(source: source, column: column, depth: depth + 1)
        if let places = header.decimals {
            for index in values.indices {
                let scaled = (Double(bitPattern: values[index]) * exactPowersOfTen[places]).rounded()
                values[index] = UInt64(bitPattern: Int64(exactly: scaled) ?? 0)
            }
        }
        return values
    }
}

/// From small numbers back to native ones.
///
/// All arithmetic wraps: whatever the bytes say, it ends, and without a trap.
private func expand(
    _ header: ColumnHeader, _ small: UnsafeBufferPointer<UInt64>, _ left: [UInt64], _ right: [UInt64],
    into target: UnsafeMutableBufferPointer<UInt64>
) {
    let count = header.count
    let divisor = header.divisor
    let base = UInt64(bitPattern: header.base)
    var value = header.first
    switch header.mode {
    case .constant: break
    case .delta:
        target[0] = value
        if header.isExact {
            let step = divisor &* base
            for index in 1..<max(1, count) {
                value &+= step
                target[index] = value
            }
        } else if header.isZigzag {
            for index in 1..<max(1, count) {
                value &+= divisor &* (base &+ UInt64(bitPattern: unzigzag(small[index &- 1])))
                target[index] = value
            }
        } else {
            for index in 1..<max(1, count) {
                value &+= divisor &* (base &+ small[index &- 1])
                target[index] = value
            }
        }
    case .deltaOfDelta:
        var step = divisor &* base
        target[0] = value
        for index in 1..<max(1, count) {
            if index > 1 { step &+= divisor &* UInt64(bitPattern: unzigzag(small[index &- 2])) }
            value &+= step
            target[index] = value
        }
    case .offset:
        for index in 0..<count { target[index] = value &+ divisor &* UInt64(bitPattern: unzigzag(small[index])) }
    case .exclusiveOr:
        let shift = UInt64(header.shift)
        target[0] = value
        for index in 1..<max(1, count) {
            value ^= small[index &- 1] << shift
            target[index] = value
        }
    case .reference:
        let division = ExactDivision(by: header.leftDivisor)
        target[0] = value
        for index in 1..<max(1, count) {
            let step = UInt64(bitPattern: division.divide(Int64(bitPattern: left[index] &- left[index &- 1])))
            value &+= divisor &* ((header.isDifference ? 0 &- step : step) &+ UInt64(bitPattern: unzigzag(small[index &- 1])))
            target[index] = value
        }
    case .clock:
        target[0] = value
        for index in 1..<max(1, count) {
            value &+= (left[index] &- left[index &- 1]) &+ divisor &* (base &+ UInt64(bitPattern: unzigzag(small[index &- 1])))
            target[index] = value
        }
    case .sum:
        target[0] = value
        for index in 1..<max(1, count) {
            let first = left[index] &- left[index &- 1]
            let second = right[index] &- right[index &- 1]
            let own = divisor &* (base &+ UInt64(bitPattern: unzigzag(small[index &- 1])))
            value &+= (header.isDifference ? first &- second : first &+ second) &+ own
            target[index] = value
        }
    }
}

/// Division of multiples of one divisor: a shift and a multiplication with the odd part's inverse modulo 2^64.
private struct ExactDivision {
    private let shift: Int64
    private let inverse: UInt64

    init(by divisor: UInt64) {
        let zeros = divisor.trailingZeroBitCount
        let odd = divisor >> UInt64(zeros)
        // Newton's iteration doubles the right bits each time: 3, 6, 12, 24, 48, 96.
        var inverse = odd &* 3 ^ 2
        for _ in 0..<5 { inverse = inverse &* (2 &- odd &* inverse) }
        self.inverse = inverse
        shift = Int64(zeros)
    }

    @inline(__always)
    func divide(_ multiple: Int64) -> Int64 {
        Int64(bitPattern: UInt64(bitPattern: multiple >> shift) &* inverse)
    }
}

extension SegmentDecoder {
    /// The number and the sum of all samples of a segment, each decoded to its double beside its expanded time.
    package static func sum(
        _ segment: [UInt8], layouts: (UInt32) -> SourceLayout?, zstd: borrowing ZstdDecompressor
    ) throws(DamagedData) -> (samples: Int, sum: Double) {
        try segment.withBytes { bytes throws(DamagedData) in
            let directory = try SegmentDirectory(bytes, zstd: zstd)
            var decoder = SegmentDecoder(directory)
            for family in 0..<directory.familyCount {
                let range = directory.frame(family)
                guard range.upperBound <= bytes.count else { throw DamagedData("a frame beyond the segment's end") }
                decoder.load(family, try directory.inflate(UnsafeRawBufferPointer(rebasing: bytes[range]), family: family, zstd: zstd))
            }
            var samples = 0
            var sum = 0.0
            for (index, source) in directory.sources.enumerated() {
                guard let layout = layouts(source.id), layout.columns.count == source.columnCount else {
                    throw DamagedData("an unknown source")
                }
                let times = directory.times(source: index)
                for column in 0..<source.columnCount {
                    let native = try decoder.values(source: index, column: column)
                    let piece = SeriesPiece(
                        times: times, runs: directory.runs(source: index, column: column), wasPresent: false, native: native,
                        column: layout.columns[column])
                    var part = 0.0
                    for value in piece.values { part += value }
                    sum += part
                    samples += native.count
                }
            }
            return (samples, sum)
        }
    }
}
