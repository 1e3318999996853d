public import Fleet
import Glibc
import Synchronization
import TimeSeries

/// What one run of sealing did.
public struct SealReport: Sendable, Equatable {
    /// Segments written.
    public var segments = 0
    /// Numbers in them.
    public var samples = 0
    /// Their bytes.
    public var bytes = 0
    /// Late readings that repeated a time.
    public var duplicates = 0
}

/// The readings of one host that are about to be sealed.
private struct SealJob {
    let lane: Int
    let host: String
    let through: Int64
    let heads: [(stream: HeadStream, extents: Int)]
    let late: [(stream: HeadStream, extents: Int)]
    let samples: Int
    let ticks: Int
}

extension SampleStore {
    /// Segments of several hosts share a durable commit up to this many bytes.
    static let mostBytesACommit = 4 << 20

    /// Seals every host that has enough unsealed readings, or old ones; all that have any when `everything` is true.
    ///
    /// A host's segments and the mark up to which it is sealed are one commit; only when that is durable do the readings leave the head
    /// and the rows `head.db`. A crash between the two leaves rows that the next start finds covered and drops.
    @discardableResult
    public func seal(now: Timestamp, everything: Bool = false) throws(StorageError) -> SealReport {
        try maintenance.withLock { _ throws(StorageError) in
            var report = SealReport()
            let encoder: SegmentEncoder
            do throws(CompressionFailure) { encoder = try SegmentEncoder() } catch { throw StorageError(.other, error.description) }
            var batch: [(job: SealJob, segments: [NewSegment], duplicates: Int)] = []
            var bytes = 0
            for lane in dueLanes(now: now, everything: everything) {
                guard let job = core.withLock({ $0.beginSeal(lane) }) else { continue }
                let (segments, duplicates) = try encode(job, encoder)
                bytes += segments.reduce(0) { $0 + $1.data.count }
                batch.append((job, segments, duplicates))
                if bytes >= SampleStore.mostBytesACommit {
                    try write(batch, now: now, &report)
                    batch.removeAll()
                    bytes = 0
                }
            }
            if !batch.isEmpty { try write(batch, now: now, &report) }
            return report
        }
    }

    private func dueLanes(now: Timestamp, everything: Bool) -> [Int] {
        let oldest = (now - options.sealAge).milliseconds
        return core.withLock { core in
            core.lanes.indices.filter { index in
                let lane = core.lanes[index]
                guard let first = lane.first else { return false }
                return everything || lane.samples >= options.sealSamples && lane.ticks >= options.sealTicks
                    || lane.samples >= options.sealSamples * 8 || first <= oldest
            }
        }
    }

    private func encode(_ job: SealJob, _ encoder: borrowing SegmentEncoder) throws(StorageError) -> ([NewSegment], Int) {
        var segments: [NewSegment] = []
        var duplicates = 0
        // A copy of the core that is held makes the next append copy what it changes: only where there is something to look up.
        var sealed = job.late.isEmpty ? nil : SealedTicks(core.withLock { $0 })
        for (streams, isLate) in [(job.heads, false), (job.late, true)] {
            var inputs: [SegmentInput] = []
            var records: [SourceRecord] = []
            var samples = 0
            for (stream, extents) in streams.sorted(by: { $0.stream.source.id < $1.stream.source.id }) {
                let block: TickBlock
                do throws(DamagedData) {
                    guard let (whole, repeated) = try stream.block(extents: extents) else { continue }
                    let fresh = isLate ? sealed?.removeKnown(whole, of: stream.source.id) ?? whole : whole
                    duplicates += repeated + whole.times.count - fresh.times.count
                    block = fresh
                } catch {
                    throw StorageError(.damaged, "memory of host \(job.host): \(error)")
                }
                guard !block.times.isEmpty else { continue }
                inputs.append(SegmentInput(id: stream.source.id, layout: stream.source.layout, block: block))
                records.append(core.withLock { $0.record(stream.source) })
                samples += inputs[inputs.count - 1].block.values.count
                if samples >= options.sealSamples {
                    segments.append(try SampleStore.makeSegment(inputs, records, isLate: isLate, encoder))
                    inputs.removeAll()
                    records.removeAll()
                    samples = 0
                }
            }
            if !inputs.isEmpty { segments.append(try SampleStore.makeSegment(inputs, records, isLate: isLate, encoder)) }
        }
        return (segments, duplicates)
    }

    static func makeSegment(
        _ inputs: [SegmentInput], _ records: [SourceRecord], isLate: Bool, _ encoder: borrowing SegmentEncoder
    ) throws(StorageError) -> NewSegment {
        var first = Int64.max
        var last = Int64.min
        var samples = 0
        for input in inputs {
            first = min(first, input.block.times.first ?? .max)
            last = max(last, input.block.times.last ?? .min)
            samples += input.block.presence.isEmpty ? input.block.values.count : input.block.presence.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        do throws(CompressionFailure) {
            let data = try encoder.encode(inputs)
            return NewSegment(first: first, last: last, isLate: isLate, samples: samples, sources: records, data: data)
        } catch { throw StorageError(.other, error.description) }
    }

    private func write(
        _ batch: [(job: SealJob, segments: [NewSegment], duplicates: Int)], now: Timestamp, _ report: inout SealReport
    ) throws(StorageError) {
        let segments = batch.flatMap(\.segments)
        var (partition, known) = try activePartition(for: segments)
        let entries = try partition.append(segments, sealed: batch.map { ($0.job.host, $0.job.through) }, known: &known)
        let sequences = core.withLock { core in
            if let position = core.partitions.firstIndex(where: { $0.partition === partition }) { core.partitions[position].add(entries) }
            return batch.flatMap { core.endSeal($0.job, duplicates: $0.duplicates) }
        }
        writer.drop(sequences)
        report.segments += segments.count
        report.samples += segments.reduce(0) { $0 + $1.samples }
        report.bytes += segments.reduce(0) { $0 + $1.data.count }
        report.duplicates += batch.reduce(0) { $0 + $1.duplicates }
    }

    /// The newest file, or a new one when that covers its span or has its size.
    func activePartition(for segments: [NewSegment]) throws(StorageError) -> (Partition, Set<UInt32>) {
        let last = segments.map(\.last).max()
        let span = options.partitionSpan.milliseconds
        let bound = Int(options.partitionBytes.count)
        let active = core.withLock { core -> (Partition, Set<UInt32>)? in
            guard let view = core.partitions.last, view.bytes < bound else { return nil }
            if let last, !view.entries.isEmpty, last &- view.first >= span { return nil }
            return (view.partition, view.known)
        }
        if let active { return active }
        let number = core.withLock { core in
            core.highestPartition = max(core.highestPartition, core.partitions.last?.partition.number ?? 0) + 1
            return core.highestPartition
        }
        let partition = Partition(number: number, path: folder.path + "/" + Partition.fileName(number), vfs: options.fileSystem)
        try partition.create()
        folder.sync()
        core.withLock { $0.partitions.append(PartitionView(partition, entries: [])) }
        return (partition, [])
    }

    /// Takes away files whose samples are all older than the retention, and the oldest while all are larger than they may be.
    ///
    /// What goes is rolled up first. Returns the names of the files removed. Readers that have a snapshot go on reading them until they are done.
    @discardableResult
    public func retain(now: Timestamp) throws(StorageError) -> [String] {
        try rollUp()
        return try maintenance.withLock { _ throws(StorageError) in
            let cutoff = options.retention.map { (now - $0).milliseconds } ?? .min
            var removed: [String] = []
            core.withLock { $0.horizon = cutoff }
            while let partition = core.withLock({ $0.expired(before: cutoff, most: options.retentionBytes.map { Int($0.count) }) }) {
                try partition.pin()
                let orphans = core.withLock { $0.remove(partition) }
                try partition.remove()
                folder.sync()
                writer.drop([], forgetting: orphans)
                removed.append(Partition.fileName(partition.number))
            }
            removed += try retainRollups(now: now.milliseconds)
            return removed
        }
    }
}

extension StoreCore {
    /// Notes what a host has unsealed, and makes the next rows begin new blocks; nil where there is nothing.
    fileprivate mutating func beginSeal(_ index: Int) -> SealJob? {
        guard lanes[index].first != nil else { return nil }
        lanes[index].cut()
        let lane = lanes[index]
        return SealJob(
            lane: index, host: lane.host, through: nextSequence - 1, heads: lane.heads.map { ($0, $0.extentCount) },
            late: lane.late.map { ($0, $0.extentCount) }, samples: lane.samples, ticks: lane.ticks)
    }

    /// Drops from the head what is in segments now; returns the rows of `head.db` that hold it too.
    fileprivate mutating func endSeal(_ job: SealJob, duplicates: Int) -> [Int64] {
        counters.duplicateReadings += duplicates
        lanes[job.lane].endSeal(
            heads: job.heads.map { ($0.stream.source.id, $0.extents) }, late: job.late.map { ($0.stream.source.id, $0.extents) })
        lanes[job.lane].samples -= job.samples
        lanes[job.lane].ticks -= job.ticks
        let sealed = lanes[job.lane].sequences.prefix { $0 <= job.through }
        lanes[job.lane].sequences.removeFirst(sealed.count)
        return Array(sealed)
    }

    /// The oldest file that is to go; never the newest one, which is written to.
    fileprivate func expired(before cutoff: Int64, most: Int?) -> Partition? {
        guard partitions.count > 1 else { return nil }
        if let old = partitions.dropLast().first(where: { $0.last < cutoff }) { return old.partition }
        guard let most, partitions.reduce(0, { $0 + $1.bytes }) > most else { return nil }
        return partitions.first?.partition
    }

    /// Forgets a file, and the sources that have no samples any more; returns those.
    fileprivate mutating func remove(_ partition: Partition) -> [UInt32] {
        guard let position = partitions.firstIndex(where: { $0.partition === partition }) else { return [] }
        let gone = partitions.remove(at: position)
        let live = Set(lanes.flatMap { $0.headOfSource.keys })
        let orphans = gone.known.filter { id in !live.contains(id) && !partitions.contains { $0.known.contains(id) } }.sorted()
        index.remove(orphans)
        return orphans
    }
}

extension Lane {
    /// Drops sealed blocks; a stream that had none to seal has ended, and goes.
    fileprivate mutating func endSeal(heads sealedHeads: [(UInt32, Int)], late sealedLate: [(UInt32, Int)]) {
        var ended: Set<UInt32> = []
        for (source, extents) in sealedHeads {
            guard let position = headOfSource[source] else { continue }
            heads[position].removeFirst(extents)
            if extents == 0, heads[position].extentCount == 0 { ended.insert(source) }
        }
        for (source, extents) in sealedLate {
            if let position = lateOfSource[source] { late[position].removeFirst(extents) }
        }
        if !ended.isEmpty {
            heads.removeAll { ended.contains($0.source.id) }
            headOfSource = Dictionary(uniqueKeysWithValues: heads.enumerated().map { ($1.source.id, $0) })
            current = current.filter { !ended.contains($0.value) }
        }
        late.removeAll { $0.extentCount == 0 }
        lateOfSource = Dictionary(uniqueKeysWithValues: late.enumerated().map { ($1.source.id, $0) })
        first = nil
        for stream in heads + late { if let earliest = stream.firstTime { first = min(first ?? earliest, earliest) } }
    }
}
