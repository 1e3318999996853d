import Fleet
import TimeSeries

/// The unsealed readings of one host: what the writer's rows and the sealer's segments are about.
struct Lane: Sendable {
    let host: String
    var heads: [HeadStream] = []
    /// Readings out of order, in the order they came.
    var late: [HeadStream] = []
    var headOfSource: [UInt32: Int] = [:]
    var lateOfSource: [UInt32: Int] = [:]
    /// The source that a set of labels is now: when a guest's columns change, the old source ends.
    var current: [LabelSet: UInt32] = [:]
    /// Sequence numbers of the ticks in `head.db`, ascending.
    var sequences: [Int64] = []
    var samples = 0
    var ticks = 0
    /// The earliest unsealed reading.
    var first: Int64?
    /// Ticks waiting for the disk.
    var queued = 0

    init(host: String) { self.host = host }
}

/// A partition as a snapshot sees it.
struct PartitionView: Sendable {
    let partition: Partition
    var entries: [SegmentEntry]
    var known: Set<UInt32>
    /// The earliest and latest tick of all segments.
    var first: Int64 = .max
    var last: Int64 = .min
    var bytes = 0

    init(_ partition: Partition, entries: [SegmentEntry]) {
        self.partition = partition
        self.entries = []
        known = []
        add(entries)
    }

    mutating func add(_ more: [SegmentEntry]) {
        entries += more
        for entry in more {
            first = min(first, entry.first)
            last = max(last, entry.last)
            bytes += entry.bytes
            known.formUnion(entry.sources)
        }
    }
}

/// Everything that the store's lock guards.
///
/// A value: a copy of it is a snapshot, and costs a few references.
struct StoreCore: Sendable {
    var index = SeriesIndex()
    var layouts = SourceReader()
    var lanes: [Lane] = []
    var laneOfHost: [String: Int] = [:]
    var partitions: [PartitionView] = []
    /// The highest number that a partition's file has or had, damaged ones included.
    var highestPartition = 0
    var rollups: [RollupFile] = []
    var nextSequence: Int64 = 1
    /// Sources that no row in `head.db` speaks of yet.
    var unsavedSources: [StoredSource] = []
    var counters = SampleStoreCounters()
    /// Readings before this are not taken any more.
    var horizon = Int64.min

    /// Takes the readings of one host at one tick; returns what `head.db` must keep of it, nil where there was nothing to take.
    mutating func append(_ ticks: [SourceTick], host: String) -> PendingTick? {
        let lane = lane(of: host)
        var rows = ByteWriter()
        rows.word32(0)
        var samples = 0
        var latest = Int64.min
        for tick in ticks {
            let time = tick.time.milliseconds
            guard time >= horizon else {
                counters.expiredReadings += 1
                continue
            }
            let (source, isNew) = index.source(of: tick.schema)
            if isNew { unsavedSources.append(source) }
            end(previousOf: source, in: lane, at: time, into: &rows)
            guard append(tick.bits, tick.presence, time: time, of: source, in: lane, into: &rows) else { continue }
            latest = max(latest, time)
            samples += tick.presence.isEmpty ? tick.bits.count : tick.presence.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        guard latest > .min else { return nil }
        lanes[lane].samples += samples
        lanes[lane].ticks += 1
        counters.samples += samples
        let sequence = nextSequence
        nextSequence += 1
        var data = rows.bytes
        let checksum = data.withUnsafeBytes { Checksum.crc32c(UnsafeRawBufferPointer(rebasing: $0[4...])) }
        for byte in 0..<4 { data[byte] = UInt8(truncatingIfNeeded: checksum >> UInt32(8 * byte)) }
        return PendingTick(sequence: sequence, host: host, data: data, newSources: takeUnsaved(), samples: samples, time: latest)
    }

    mutating func takeUnsaved() -> [SourceRecord] {
        defer { unsavedSources.removeAll() }
        return unsavedSources.map { record($0) }
    }

    mutating func record(_ source: StoredSource) -> SourceRecord { SourceRecord(source: source, layout: layouts.number(of: source.layout)) }

    mutating func lane(of host: String) -> Int {
        if let known = laneOfHost[host] { return known }
        lanes.append(Lane(host: host))
        laneOfHost[host] = lanes.count - 1
        return lanes.count - 1
    }

    /// When labels belong to a source of other columns from now on, the old one's series turn stale at this tick.
    private mutating func end(previousOf source: StoredSource, in lane: Int, at time: Int64, into rows: inout ByteWriter) {
        guard let previous = lanes[lane].current[source.labels], previous != source.id else {
            lanes[lane].current[source.labels] = source.id
            return
        }
        lanes[lane].current[source.labels] = source.id
        guard let head = lanes[lane].headOfSource[previous], let last = lanes[lane].heads[head].lastTime, last < time else { return }
        let old = lanes[lane].heads[head].source
        let nothing = Array(repeating: UInt64(0), count: old.layout.columns.count)
        _ = append(nothing, Array(repeating: false, count: nothing.count), time: time, of: old, in: lane, into: &rows)
    }

    /// Appends one reading to its stream and its row to what `head.db` keeps; false where it was there already.
    private mutating func append(
        _ bits: [UInt64], _ presence: [Bool], time: Int64, of source: StoredSource, in lane: Int, into rows: inout ByteWriter
    ) -> Bool {
        let head = headPosition(of: source, in: lane)
        let last = lanes[lane].heads[head].lastTime ?? .min
        if time == last, last != .min {
            counters.duplicateReadings += 1
            return false
        }
        let isLate = time < last
        let row: UnsafeRawBufferPointer
        if isLate {
            counters.lateReadings += 1
            let position = latePosition(of: source, in: lane)
            row = lanes[lane].late[position].append(time: time, bits: bits, presence: presence)
        } else {
            row = lanes[lane].heads[head].append(time: time, bits: bits, presence: presence)
        }
        lanes[lane].first = min(lanes[lane].first ?? time, time)
        rows.varint(UInt64(source.id) << 1 | (isLate ? 1 : 0))
        rows.varint(row.count)
        rows.append(row)
        return true
    }

    /// The stream of a source; one that has only sealed readings goes on behind them.
    private mutating func headPosition(of source: StoredSource, in lane: Int) -> Int {
        if let known = lanes[lane].headOfSource[source.id] { return known }
        var stream = HeadStream(source)
        if let last = lastSealed(source.id) {
            // Which columns had a number in the last sealed tick is not looked up: a marker too many behind a marker changes nothing.
            stream.resume(after: last, presence: Array(repeating: true, count: source.layout.columns.count))
        }
        lanes[lane].heads.append(stream)
        lanes[lane].headOfSource[source.id] = lanes[lane].heads.count - 1
        return lanes[lane].heads.count - 1
    }

    private mutating func latePosition(of source: StoredSource, in lane: Int) -> Int {
        if let known = lanes[lane].lateOfSource[source.id] { return known }
        lanes[lane].late.append(HeadStream(source))
        lanes[lane].lateOfSource[source.id] = lanes[lane].late.count - 1
        return lanes[lane].late.count - 1
    }

    /// The latest sealed tick of a source.
    private func lastSealed(_ source: UInt32) -> Int64? {
        for view in partitions.reversed() where view.known.contains(source) {
            return view.entries.reversed().filter { !$0.isLate && $0.sources.contains(source) }.map(\.last).max()
        }
        return nil
    }

    /// Takes a tick that `head.db` kept, when the store is opened again.
    mutating func replay(sequence: Int64, host: String, data: [UInt8]) throws(DamagedData) {
        let lane = lane(of: host)
        nextSequence = max(nextSequence, sequence + 1)
        try data.withBytes { bytes throws(DamagedData) in
            var reader = ByteReader(bytes)
            let checksum = try reader.word32()
            guard bytes.count > 4, Checksum.crc32c(UnsafeRawBufferPointer(rebasing: bytes[4...])) == checksum else {
                throw DamagedData("the checksum of tick \(sequence) is wrong")
            }
            while reader.remaining > 0 {
                let tag = try reader.count(atMost: 1 << 33, "as a source's number")
                let length = try reader.count(atMost: reader.remaining, "bytes of a row")
                let row = try reader.take(length)
                guard let source = index.sources[UInt32(truncatingIfNeeded: tag >> 1)] else {
                    throw DamagedData("a row of an unknown source")
                }
                try replay(row, of: source, isLate: tag & 1 == 1, lane: lane)
            }
        }
        lanes[lane].sequences.append(sequence)
        lanes[lane].ticks += 1
    }

    private mutating func replay(_ bytes: UnsafeRawBufferPointer, of source: StoredSource, isLate: Bool, lane: Int) throws(DamagedData) {
        let row: Row
        if isLate {
            let position = latePosition(of: source, in: lane)
            row = try lanes[lane].late[position].replay(bytes)
        } else {
            let position = headPosition(of: source, in: lane)
            row = try lanes[lane].heads[position].replay(bytes)
            if row.present > 0 { lanes[lane].current[source.labels] = source.id }
        }
        lanes[lane].first = min(lanes[lane].first ?? row.time, row.time)
        lanes[lane].samples += row.present
    }
}
