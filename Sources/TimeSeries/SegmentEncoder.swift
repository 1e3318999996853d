/// What one source brings to a segment.
package struct SegmentInput {
    /// The catalogue's number of the source.
    package let id: UInt32
    /// Its columns.
    package let layout: SourceLayout
    /// Its readings; at least one tick.
    package let block: TickBlock

    package init(id: UInt32, layout: SourceLayout, block: TickBlock) {
        self.id = id
        self.layout = layout
        self.block = block
    }
}

/// Turns readings into segments.
///
/// Owns a compressor: one encoder a thread.
package struct SegmentEncoder: ~Copyable {
    private let zstd: ZstdCompressor
    /// zstd's level for frames of a few KiB: above 9 nothing is gained that time is worth.
    private static let level: Int32 = 9

    package init() throws(CompressionFailure) { zstd = try ZstdCompressor(level: SegmentEncoder.level) }

    /// One segment from several sources, which must be in ascending order of their numbers.
    package func encode(_ inputs: [SegmentInput]) throws(CompressionFailure) -> [UInt8] {
        var families = FamilyBuilder()
        var times = TimeColumns()
        var layouts: [SourceLayout] = []
        var sources = ByteWriter()
        var previousID: UInt32 = 0
        for input in inputs {
            let layout = layouts.firstIndex { $0 === input.layout } ?? layouts.count
            if layout == layouts.count { layouts.append(input.layout) }
            let (timeColumn, start) = times.place(input.block.times)
            sources.varint(UInt64(input.id - previousID))
            previousID = input.id
            sources.varint(layout)
            sources.varint(timeColumn)
            sources.varint(start)
            sources.varint(input.block.times.count)
            var encoder = SourceEncoder(input.block)
            let columns = encoder.encode(kinds: input.layout.kinds)
            for (index, column) in columns.enumerated() {
                column.header.write(to: &sources)
                families.append(column, metric: input.layout.columns[index].metric)
            }
        }
        return try assemble(families, times, layouts, sourceCount: inputs.count, sources)
    }

    private func assemble(
        _ families: FamilyBuilder, _ times: TimeColumns, _ layouts: [SourceLayout], sourceCount: Int, _ sources: ByteWriter
    ) throws(CompressionFailure) -> [UInt8] {
        var directory = ByteWriter()
        times.write(to: &directory)
        directory.varint(families.families.count)
        var frames: [UInt8] = []
        for family in families.families {
            var frame: [UInt8] = []
            if !family.tokens.isEmpty {
                frame = try zstd.compress(family.tokens)
            }
            directory.varint(family.tokens.count)
            directory.varint(frame.count)
            directory.varint(family.bits.count)
            frame.append(contentsOf: family.bits)
            directory.word32(Checksum.crc32c(frame))
            frames.append(contentsOf: frame)
        }
        directory.varint(layouts.count)
        for layout in layouts {
            directory.varint(layout.columns.count)
            for column in layout.columns { directory.varint(families.index[column.metric] ?? 0) }
        }
        directory.varint(sourceCount)
        directory.append(sources.bytes)
        let stored = try zstd.compress(directory.bytes)
        var segment = ByteWriter()
        segment.append(SegmentDirectory.magic)
        segment.word32(UInt32(stored.count))
        segment.word32(UInt32(directory.bytes.count))
        let sizes = Checksum.crc32c(segment.bytes)
        segment.word32(stored.withUnsafeBytes { Checksum.crc32c($0, after: sizes) })
        segment.append(stored)
        segment.append(frames)
        return segment.bytes
    }
}

/// Collects the tokens and bits of each metric family, families in the order of their first column.
private struct FamilyBuilder {
    var families: [(tokens: [UInt8], bits: [UInt8])] = []
    var index: [String: Int] = [:]

    mutating func append(_ column: EncodedColumn, metric: String) {
        let family = index[metric] ?? families.count
        if family == families.count {
            families.append(([], []))
            index[metric] = family
        }
        families[family].tokens.append(contentsOf: column.tokens)
        families[family].bits.append(contentsOf: column.bits)
    }
}

/// The distinct tick columns of a segment; a source that joined late or left early uses a stretch of another's.
private struct TimeColumns {
    private var columns: [[Int64]] = []

    mutating func place(_ times: [Int64]) -> (column: Int, start: Int) {
        for (index, column) in columns.enumerated() {
            guard let first = times.first, let start = column.lowerBound(first), column.count - start >= times.count else { continue }
            if column[start..<start + times.count].elementsEqual(times) { return (index, start) }
        }
        columns.append(times)
        return (columns.count - 1, 0)
    }

    func write(to writer: inout ByteWriter) {
        writer.varint(columns.count)
        for column in columns {
            writer.varint(column.count)
            var step: Int64 = 0
            for index in column.indices {
                if index == 0 {
                    writer.signed(column[0])
                } else {
                    let next = column[index] &- column[index - 1]
                    writer.signed(next &- step)
                    step = next
                }
            }
        }
    }
}

extension [Int64] {
    /// The position of the first element that is not less, in a sorted array; nil beyond the end.
    package func lowerBound(_ value: Int64) -> Int? {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < value { low = middle + 1 } else { high = middle }
        }
        return low < count ? low : nil
    }
}
