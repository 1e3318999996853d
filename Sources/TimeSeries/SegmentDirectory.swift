/// The map of one segment: which sources and ticks it holds, and where each column's small numbers are.
///
/// A segment is: magic and version, the directory's sizes and checksum, the directory (zstd), then one frame a metric family. Whoever
/// wants one metric of all guests reads the directory and one frame; whoever wants one guest reads the frames of its metrics.
package final class SegmentDirectory: Sendable {
    /// Where a family's frame is and what it holds.
    struct Family {
        /// Bytes from the start of the segment.
        var offset = 0
        var tokens = 0
        var tokenBytes = 0
        var bits = 0
        var checksum: UInt32 = 0
        var byteCount: Int { tokenBytes + bits }
    }

    /// One source of the segment.
    package struct Source: Sendable {
        /// The catalogue's number of the source.
        package let id: UInt32
        let timeColumn: Int
        let timeRange: Range<Int>
        let firstColumn: Int
        /// How many columns it has.
        package let columnCount: Int
        /// How many ticks it has.
        package var ticks: Int { timeRange.count }
    }

    /// Bounds: no segment is made larger, and none that says it is gets memory.
    enum Limits {
        static let sources = 1 << 16
        static let columns = 1 << 20
        static let ticks = 1 << 20
        static let samples = 1 << 26
        static let directoryBytes = 1 << 26
        static let frameBytes = 1 << 28
    }

    static let magic: [UInt8] = [0x53, 0x54, 0x57, 0x31]
    /// Magic, directory size stored and inflated, checksum.
    package static let preambleBytes = 16

    /// The sources in ascending order of their numbers.
    package let sources: [Source]
    let families: [Family]
    private let columns: [ColumnHeader]
    private let timeColumns: [[Int64]]
    /// Bytes before the first frame.
    package let byteCount: Int

    /// How many bytes the preamble and the directory take, from the first `preambleBytes` bytes of a segment.
    package static func byteCount(preamble: UnsafeRawBufferPointer) throws(DamagedData) -> Int {
        var reader = ByteReader(preamble)
        let magic = try reader.take(4)
        guard magic.elementsEqual(SegmentDirectory.magic) else { throw DamagedData("not a segment: its first bytes are wrong") }
        let stored = Int(try reader.word32())
        guard stored <= Limits.directoryBytes else { throw DamagedData("a directory of \(stored) bytes") }
        return preambleBytes + stored
    }

    /// Reads the directory from the start of a segment, at least `byteCount(preamble:)` bytes of it.
    package init(_ segment: UnsafeRawBufferPointer, zstd: borrowing ZstdDecompressor) throws(DamagedData) {
        let total = try SegmentDirectory.byteCount(preamble: segment)
        var reader = ByteReader(segment)
        _ = try reader.take(8)
        let inflated = Int(try reader.word32())
        let checksum = try reader.word32()
        let stored = try reader.take(total - SegmentDirectory.preambleBytes)
        guard inflated <= Limits.directoryBytes else { throw DamagedData("a directory of \(inflated) bytes") }
        // The checksum covers the sizes too.
        let sizes = UnsafeRawBufferPointer(rebasing: segment[..<12])
        guard Checksum.crc32c(stored, after: Checksum.crc32c(sizes)) == checksum else {
            throw DamagedData("the checksum of the directory is wrong")
        }
        var bytes = [UInt8](repeating: 0, count: inflated)
        try bytes.withMutableBytes { target throws(DamagedData) in try zstd.decompress(stored, into: target) }
        let parsed = try bytes.withBytes { raw throws(DamagedData) in try Parsed(raw, frames: total) }
        sources = parsed.sources
        families = parsed.families
        columns = parsed.columns
        timeColumns = parsed.timeColumns
        byteCount = total
    }

    func column(source: Int, column: Int) -> ColumnHeader { columns[sources[source].firstColumn + column] }

    /// The number of samples, stale markers not counted.
    package var samples: Int { columns.reduce(0) { $0 + $1.count } }

    /// How many metric families, and so frames, there are.
    package var familyCount: Int { families.count }

    /// Where a family's frame is, in bytes from the start of the segment.
    package func frame(_ family: Int) -> Range<Int> {
        families[family].offset..<families[family].offset + families[family].byteCount
    }

    /// Checks and inflates a family's frame.
    package func inflate(_ frame: UnsafeRawBufferPointer, family: Int, zstd: borrowing ZstdDecompressor) throws(DamagedData) -> FamilyData {
        try FamilyData(frame, family: families[family], zstd: zstd)
    }

    /// The families that must be loaded to decode a column, without repetition.
    package func families(source: Int, column: Int) throws(DamagedData) -> [Int] {
        var found: [Int] = []
        try collect(source: source, column: column, depth: 0, into: &found)
        return found
    }

    private func collect(source: Int, column index: Int, depth: Int, into found: inout [Int]) throws(DamagedData) {
        guard depth <= ColumnHeader.deepestReference else { throw DamagedData("columns that lean on each other without end") }
        let header = column(source: source, column: index)
        if header.mode == .constant { return }
        if !header.isExact, !found.contains(header.family) { found.append(header.family) }
        if header.mode == .reference || header.mode == .sum {
            try collect(source: source, column: header.left, depth: depth + 1, into: &found)
        }
        if header.mode == .sum { try collect(source: source, column: header.right, depth: depth + 1, into: &found) }
    }

    /// All ticks of a source, in milliseconds.
    package func times(source: Int) -> [Int64] {
        let source = sources[source]
        let column = timeColumns[source.timeColumn]
        return source.timeRange.count == column.count ? column : Array(column[source.timeRange])
    }

    /// Whether a column has a number at every tick; otherwise the stretches with and without, the first with.
    package func runs(source: Int, column index: Int) -> [UInt32] { column(source: source, column: index).runs }

    /// Whether a column had a number at the tick before the source's first in this segment.
    package func wasPresent(source: Int, column index: Int) -> Bool { column(source: source, column: index).wasPresent }
}

/// What the directory's bytes say.
private struct Parsed {
    var timeColumns: [[Int64]] = []
    var sources: [SegmentDirectory.Source] = []
    var families: [SegmentDirectory.Family] = []
    var columns: [ColumnHeader] = []

    init(_ bytes: UnsafeRawBufferPointer, frames: Int) throws(DamagedData) {
        var reader = ByteReader(bytes)
        for _ in 0..<(try reader.count(atMost: SegmentDirectory.Limits.sources, "time columns")) {
            timeColumns.append(try Parsed.times(&reader))
        }
        var offset = frames
        for _ in 0..<(try reader.count(atMost: SegmentDirectory.Limits.columns, "families")) {
            var family = SegmentDirectory.Family()
            family.offset = offset
            family.tokens = try reader.count(atMost: SegmentDirectory.Limits.samples, "tokens")
            family.tokenBytes = try reader.count(atMost: SegmentDirectory.Limits.frameBytes, "bytes of tokens")
            family.bits = try reader.count(atMost: SegmentDirectory.Limits.frameBytes, "bytes of bits")
            family.checksum = try reader.word32()
            offset += family.byteCount
            families.append(family)
        }
        var layouts: [[Int]] = []
        for _ in 0..<(try reader.count(atMost: SegmentDirectory.Limits.sources, "layouts")) {
            var layout: [Int] = []
            for _ in 0..<(try reader.count(atMost: SegmentDirectory.Limits.columns, "columns")) {
                layout.append(try reader.count(atMost: families.count - 1, "as a family's number"))
            }
            layouts.append(layout)
        }
        try readSources(&reader, layouts)
        guard reader.remaining == 0 else { throw DamagedData("\(reader.remaining) bytes after the directory's end") }
    }

    private static func times(_ reader: inout ByteReader) throws(DamagedData) -> [Int64] {
        let count = try reader.count(atMost: SegmentDirectory.Limits.ticks, "ticks")
        guard count <= reader.remaining + 2 else { throw DamagedData("\(count) ticks in \(reader.remaining) bytes") }
        var times: [Int64] = []
        times.reserveCapacity(count)
        var time: Int64 = 0
        var step: Int64 = 0
        for index in 0..<count {
            if index == 0 {
                time = try reader.signed()
            } else {
                step = step &+ (try reader.signed())
                let (next, overflow) = time.addingReportingOverflow(step)
                guard step > 0, !overflow else { throw DamagedData("ticks that go back in time") }
                time = next
            }
            times.append(time)
        }
        return times
    }

    private mutating func readSources(_ reader: inout ByteReader, _ layouts: [[Int]]) throws(DamagedData) {
        var tokenOffsets = Array(repeating: 0, count: families.count)
        var bitOffsets = tokenOffsets
        var id: UInt64 = 0
        var samples = 0
        for position in 0..<(try reader.count(atMost: SegmentDirectory.Limits.sources, "sources")) {
            let step = try reader.varint()
            guard position == 0 || step > 0, step <= UInt64(UInt32.max) - id else { throw DamagedData("sources out of order") }
            id += step
            let layout = layouts.isEmpty ? 0 : try reader.count(atMost: layouts.count - 1, "as a layout's number")
            let timeColumn = timeColumns.isEmpty ? 0 : try reader.count(atMost: timeColumns.count - 1, "as a time column's number")
            guard layout < layouts.count, timeColumn < timeColumns.count else { throw DamagedData("a source without layout or ticks") }
            let start = try reader.count(atMost: timeColumns[timeColumn].count, "as a first tick")
            let ticks = try reader.count(atMost: timeColumns[timeColumn].count - start, "ticks")
            let kinds = layouts[layout]
            guard columns.count + kinds.count <= SegmentDirectory.Limits.columns else { throw DamagedData("too many columns") }
            samples += ticks * kinds.count
            guard samples <= SegmentDirectory.Limits.samples else { throw DamagedData("too many samples") }
            sources.append(
                SegmentDirectory.Source(
                    id: UInt32(id), timeColumn: timeColumn, timeRange: start..<start + ticks, firstColumn: columns.count,
                    columnCount: kinds.count))
            for family in kinds {
                var header = try ColumnHeader(from: &reader, ticks: ticks, columns: kinds.count)
                header.family = family
                header.tokenOffset = tokenOffsets[family]
                header.bitOffset = bitOffsets[family]
                tokenOffsets[family] += header.tokens
                bitOffsets[family] += header.bitBytes
                columns.append(header)
            }
        }
        for (family, entry) in families.enumerated() where tokenOffsets[family] != entry.tokens || bitOffsets[family] != entry.bits {
            throw DamagedData("a family's frame is not as long as its columns")
        }
    }
}
