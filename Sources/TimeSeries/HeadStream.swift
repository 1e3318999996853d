/// A fixed piece of memory that rows are appended to and never moved in.
///
/// A reader holds (block, length) and looks only below that length; the writer writes only beyond it. The store's lock orders the two.
package final class HeadBlock: @unchecked Sendable {
    let memory: UnsafeMutableRawBufferPointer

    init(capacity: Int) {
        memory = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 8)
    }

    deinit { memory.deallocate() }

    var capacity: Int { memory.count }
}

/// The filled part of a block, as of a snapshot.
package struct HeadExtent: Sendable {
    let block: HeadBlock
    var length: Int
    var rows: Int
    /// The earliest and the latest tick.
    var first: Int64
    var last: Int64
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: block.memory[..<length]) }
}

/// What the next row is told against.
///
/// Only the writer touches it, so snapshots do not copy it.
final class RowState: @unchecked Sendable {
    var time: Int64 = 0
    var bits: [UInt64]
    var presence: [Bool]

    init(columns: Int) {
        bits = Array(repeating: 0, count: columns)
        presence = Array(repeating: false, count: columns)
    }
}

/// The unsealed readings of one source, compressed row by row as they come: a value type, so that a copy is a snapshot.
///
/// The same bytes are what `head.db` keeps of a tick.
package struct HeadStream: Sendable {
    /// Blocks of one source start here and grow with the width of its rows.
    static let smallestBlock = 1 << 10
    static let largestBlock = 1 << 14

    /// Whose readings these are.
    package let source: StoredSource
    package private(set) var extents: [HeadExtent] = []
    private let state: RowState
    private var mustCut = true

    package init(_ source: StoredSource) {
        self.source = source
        state = RowState(columns: source.layout.columns.count)
    }

    /// The latest tick ever appended in order; nil before the first.
    package var lastTime: Int64? { hasRows ? state.time : nil }
    private var hasRows = false

    package var extentCount: Int { extents.count }
    package var rows: Int { extents.reduce(0) { $0 + $1.rows } }
    package var byteCount: Int { extents.reduce(0) { $0 + $1.block.capacity } }

    /// Readings in the oldest block.
    package var firstRows: Int { extents.first?.rows ?? 0 }
    /// The earliest unsealed reading.
    package var firstTime: Int64? { extents.map(\.first).min() }

    /// The latest unsealed reading.
    package var latestTime: Int64? { extents.map(\.last).max() }

    /// Makes the next row begin a block, so that what is there now can be taken away.
    package mutating func cut() { mustCut = true }

    /// Drops the oldest blocks, which are now in a segment.
    package mutating func removeFirst(_ count: Int) { extents.removeFirst(count) }

    /// Appends a row and returns its bytes, valid until the next call.
    package mutating func append(time: Int64, bits: [UInt64], presence: [Bool]) -> UnsafeRawBufferPointer {
        let columns = bits.count
        let largestRow = 21 + 3 * ((columns + 7) / 8) + 10 * columns
        let isKey: Bool
        if !mustCut, let last = extents.last, last.block.capacity - last.length >= largestRow {
            isKey = false
        } else {
            isKey = true
            // A block for each eight or so of its own rows at first, so that short-lived guests stay small; then doubling.
            let wanted = max(HeadStream.smallestBlock, min(HeadStream.largestBlock, (extents.last?.block.capacity ?? 0) * 2))
            extents.append(HeadExtent(block: HeadBlock(capacity: max(wanted, largestRow * 2)), length: 0, rows: 0, first: time, last: time))
        }
        mustCut = false
        let index = extents.count - 1
        let extent = extents[index]
        let target = UnsafeMutableRawBufferPointer(rebasing: extent.block.memory[extent.length...])
        let length = RowCodec.encode(time: time, bits: bits, presence: presence, isKey: isKey, state: state, into: target)
        extents[index].length += length
        extents[index].rows += 1
        extents[index].first = min(extent.first, time)
        extents[index].last = max(extent.last, time)
        hasRows = true
        return UnsafeRawBufferPointer(rebasing: target[..<length])
    }

    /// Goes on behind readings that are sealed: later ones only, and stale where a column is missing that was there.
    package mutating func resume(after time: Int64, presence: [Bool]) {
        state.time = time
        hasRows = true
        for index in presence.indices { state.presence[index] = presence[index] }
    }

    /// Appends a row that was kept as bytes, and says what it holds.
    package mutating func replay(_ bytes: UnsafeRawBufferPointer) throws(DamagedData) -> Row {
        var row = Row(columns: source.layout.columns.count)
        row.time = state.time
        row.bits = state.bits
        var reader = ByteReader(bytes)
        try row.read(&reader)
        guard reader.remaining == 0 else { throw DamagedData("\(reader.remaining) bytes behind a row") }
        if row.isKey {
            mustCut = true
            if row.tellsPrevious { for index in row.previousPresence.indices { state.presence[index] = row.previousPresence[index] } }
        }
        _ = append(time: row.time, bits: row.bits, presence: row.isPartial ? row.presence : [])
        return row
    }

    /// The readings of the first `count` extents, sorted by time, of equal times the first; nil where there is none.
    package func block(extents count: Int) throws(DamagedData) -> (block: TickBlock, duplicates: Int)? {
        var rows = RowCollector(columns: source.layout.columns.count)
        for extent in extents[..<count] { try rows.read(extent) }
        return rows.block()
    }
}

/// How one reading becomes bytes.
///
/// A row: flags, the time against the row before, presence where not all are there, and for each eight columns a byte that says which
/// changed, followed by the changes. Two thirds of a guest's series stand still, so a row is little more than its mask.
enum RowCodec {
    static let hasPresence: UInt8 = 1
    static let hasPrevious: UInt8 = 2
    static let isKey: UInt8 = 4

    /// Writes a row; `target` has room for the largest there can be.
    ///
    /// Returns its length.
    static func encode(
        time: Int64, bits: [UInt64], presence: [Bool], isKey: Bool, state: RowState, into target: UnsafeMutableRawBufferPointer
    ) -> Int {
        var cursor = Cursor(target)
        let isPartial = !presence.isEmpty && presence.contains(false)
        let tellsPrevious = isKey && isPartial
        cursor.byte((isPartial ? hasPresence : 0) | (tellsPrevious ? hasPrevious : 0) | (isKey ? RowCodec.isKey : 0))
        cursor.varint(zigzag(time &- (isKey ? 0 : state.time)))
        if isPartial { cursor.bitmap(presence) }
        if tellsPrevious { cursor.bitmap(state.presence) }
        state.time = time
        state.bits.withUnsafeMutableBufferPointer { previous in
            bits.withUnsafeBufferPointer { bits in
                if isKey { previous.update(repeating: 0) }
                var group = 0
                while group < bits.count {
                    let end = min(group + 8, bits.count)
                    let maskAt = cursor.position
                    cursor.byte(0)
                    var mask: UInt8 = 0
                    for column in group..<end {
                        if isPartial && !presence[column] { continue }
                        let value = bits[column]
                        if value != previous[column] {
                            mask |= 1 << UInt8(column - group)
                            cursor.varint(zigzag(Int64(bitPattern: value &- previous[column])))
                            previous[column] = value
                        }
                    }
                    target[maskAt] = mask
                    group = end
                }
            }
        }
        for column in state.presence.indices { state.presence[column] = !isPartial || presence[column] }
        return cursor.position
    }

    /// Reads a row against `row`, which becomes it.
    static func decode(_ reader: inout ByteReader, into row: inout Row) throws(DamagedData) {
        let flags = try reader.byte()
        guard flags < 8 else { throw DamagedData("a row with unknown flags") }
        let isKey = flags & RowCodec.isKey != 0
        row.isKey = isKey
        let step = try reader.signed()
        row.time = isKey ? step : row.time &+ step
        row.isPartial = flags & hasPresence != 0
        row.tellsPrevious = flags & hasPrevious != 0
        if row.isPartial { try bitmap(&reader, into: &row.presence) }
        if row.tellsPrevious { try bitmap(&reader, into: &row.previousPresence) }
        let columns = row.bits.count
        var failure: DamagedData?
        row.bits.withUnsafeMutableBufferPointer { bits in
            if isKey { bits.update(repeating: 0) }
            var group = 0
            do throws(DamagedData) {
                while group < columns {
                    var mask = try reader.byte()
                    while mask != 0 {
                        let column = group + mask.trailingZeroBitCount
                        guard column < columns else { throw DamagedData("a change of a column that is not there") }
                        bits[column] &+= UInt64(bitPattern: try reader.signed())
                        mask &= mask &- 1
                    }
                    group += 8
                }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    private static func bitmap(_ reader: inout ByteReader, into flags: inout [Bool]) throws(DamagedData) {
        let bytes = try reader.take((flags.count + 7) / 8)
        for index in flags.indices { flags[index] = bytes[index / 8] >> UInt8(index % 8) & 1 == 1 }
    }

    private struct Cursor {
        let target: UnsafeMutableRawBufferPointer
        var position = 0

        init(_ target: UnsafeMutableRawBufferPointer) { self.target = target }

        @inline(__always)
        mutating func byte(_ value: UInt8) {
            target[position] = value
            position &+= 1
        }

        @inline(__always)
        mutating func varint(_ value: UInt64) {
            var rest = value
            while rest >= 0x80 {
                byte(UInt8(truncatingIfNeeded: rest) | 0x80)
                rest >>= 7
            }
            byte(UInt8(truncatingIfNeeded: rest))
        }

        mutating func bitmap(_ flags: [Bool]) {
            var value: UInt8 = 0
            for (index, flag) in flags.enumerated() {
                if flag { value |= 1 << UInt8(index % 8) }
                if index % 8 == 7 || index == flags.count - 1 {
                    byte(value)
                    value = 0
                }
            }
        }
    }
}

/// A row as it is read.
package struct Row {
    package var time: Int64 = 0
    package var bits: [UInt64]
    package var presence: [Bool]
    package var previousPresence: [Bool]
    package var isPartial = false
    package var tellsPrevious = false
    package var isKey = false

    package init(columns: Int) {
        bits = Array(repeating: 0, count: columns)
        presence = Array(repeating: true, count: columns)
        previousPresence = presence
    }

    /// Reads the next row of a stream of rows.
    package mutating func read(_ reader: inout ByteReader) throws(DamagedData) { try RowCodec.decode(&reader, into: &self) }
}

/// Collects rows into columns.
private struct RowCollector {
    private let columns: Int
    private var times: [Int64] = []
    private var bits: [UInt64] = []
    private var presence: [Bool] = []
    private var wasPresent: [Bool]
    private var isPartial = false

    init(columns: Int) {
        self.columns = columns
        wasPresent = Array(repeating: false, count: columns)
    }

    mutating func read(_ extent: HeadExtent) throws(DamagedData) {
        var row = Row(columns: columns)
        var reader = ByteReader(extent.bytes)
        for _ in 0..<extent.rows {
            try row.read(&reader)
            if times.isEmpty, row.tellsPrevious { wasPresent = row.previousPresence }
            if row.isPartial, !isPartial {
                isPartial = true
                presence = Array(repeating: true, count: bits.count)
            }
            times.append(row.time)
            bits.append(contentsOf: row.bits)
            if isPartial {
                if row.isPartial {
                    presence.append(contentsOf: row.presence)
                } else {
                    presence.append(contentsOf: repeatElement(true, count: columns))
                }
            }
        }
    }

    /// Rows become columns; rows out of order are sorted, and of equal times the first to come stays.
    consuming func block() -> (block: TickBlock, duplicates: Int)? {
        guard !times.isEmpty else { return nil }
        var order = Array(times.indices)
        var duplicates = 0
        if zip(times, times.dropFirst()).contains(where: { $0 >= $1 }) {
            order.sort { (times[$0], $0) < (times[$1], $1) }
            var kept: [Int] = []
            for index in order {
                if let last = kept.last, times[last] == times[index] { duplicates += 1 } else { kept.append(index) }
            }
            order = kept
        }
        let count = order.count
        var values = [UInt64](repeating: 0, count: count * columns)
        var present = [Bool](repeating: true, count: isPartial ? count * columns : 0)
        for (tick, row) in order.enumerated() {
            for column in 0..<columns { values[column * count + tick] = bits[row * columns + column] }
            if isPartial { for column in 0..<columns { present[column * count + tick] = presence[row * columns + column] } }
        }
        let block = TickBlock(
            columnCount: columns, times: order.map { times[$0] }, values: values, presence: present, wasPresent: wasPresent)
        return (block, duplicates)
    }
}

extension Row {
    /// How many columns have a number.
    package var present: Int { isPartial ? presence.reduce(0) { $0 + ($1 ? 1 : 0) } : bits.count }
}
