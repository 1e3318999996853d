import Fleet
import Glibc
import Synchronization
import TimeSeries

/// A file of rollups: what one partition came to, at one resolution.
struct RollupFile: Sendable {
    let resolution: RollupResolution
    let partition: Partition
    /// The earliest and latest bucket; nil where no series had enough samples to pay.
    let span: ClosedRange<Int64>?

    static func fileName(_ resolution: RollupResolution, _ number: Int) -> String {
        "rollup-\(resolution.word)-" + Partition.fileName(number).dropFirst("samples-".count)
    }

    /// The resolution and the partition's number of a file of rollups.
    static func parse(_ name: String) -> (RollupResolution, Int)? {
        for resolution in RollupResolution.allCases {
            let prefix = "rollup-\(resolution.word)-"
            guard name.hasPrefix(prefix), let number = Partition.number(ofFile: "samples-" + name.dropFirst(prefix.count)) else { continue }
            return (resolution, number)
        }
        return nil
    }
}

/// What one run of rolling up did.
public struct RollupReport: Sendable, Equatable {
    /// Files written.
    public var files = 0
    /// Buckets in them.
    public var buckets = 0
    /// Segments that could not be read, and so are not in any bucket.
    public var damagedSegments = 0

    /// Nothing done.
    public init() {}
}

extension SampleStore {
    /// Buckets with fewer samples on average do not pay: their ten numbers would take more than the samples.
    static let fewestSamplesABucket = 24

    /// Rolls up every partition that is written to no more and has no rollups yet.
    ///
    /// A file of rollups gets its name when it is whole, so a crash leaves nothing half done. Retention rolls up first what it removes.
    @discardableResult
    public func rollUp() throws(StorageError) -> RollupReport {
        try rolling.withLock { _ throws(StorageError) in
            var report = RollupReport()
            guard options.makesRollups else { return report }
            let core = core.withLock { $0 }
            for view in core.partitions.dropLast() {
                let done = core.rollups.filter { $0.partition.number == view.partition.number }.map(\.resolution)
                let missing = RollupResolution.allCases.filter { !done.contains($0) }
                if !missing.isEmpty { try rollUp(view, core, missing, &report) }
            }
            return report
        }
    }

    private func rollUp(
        _ view: PartitionView, _ core: StoreCore, _ resolutions: [RollupResolution], _ report: inout RollupReport
    ) throws(StorageError) {
        var writers: [RollupWriter] = []
        for resolution in resolutions {
            writers.append(try RollupWriter(resolution, number: view.partition.number, folder: folder.path, vfs: options.fileSystem))
        }
        for entries in RollupReader.groups(view, core) {
            var reader = try RollupReader(view.partition, entries, core)
            while try reader.next() {
                for index in writers.indices { writers[index].take(reader.series, columns: reader.columns) }
                for index in writers.indices { try writers[index].flush(isLast: false) }
            }
            for index in writers.indices { try writers[index].flush(isLast: true) }
            report.damagedSegments += reader.damaged
        }
        for index in writers.indices {
            let file = try writers[index].finish()
            report.files += 1
            report.buckets += writers[index].written
            self.core.withLock { $0.rollups.append(file) }
        }
        folder.sync()
    }

    /// Takes away files of rollups that are older than they are kept.
    func retainRollups(now milliseconds: Int64) throws(StorageError) -> [String] {
        var removed: [String] = []
        for resolution in RollupResolution.allCases {
            let kept = resolution == .fiveMinutes ? options.fiveMinuteRetention : options.oneHourRetention
            guard let kept else { continue }
            let cutoff = milliseconds - kept.milliseconds - resolution.milliseconds
            // A file without buckets goes with its partition's.
            let old = core.withLock { core in
                let numbers = Set(core.partitions.map(\.partition.number))
                return core.rollups.filter { file in
                    file.resolution == resolution && (file.span.map { $0.upperBound < cutoff } ?? !numbers.contains(file.partition.number))
                }
            }
            for file in old {
                try file.partition.pin()
                core.withLock { core in core.rollups.removeAll { $0.partition === file.partition } }
                try file.partition.remove()
                removed.append(RollupFile.fileName(resolution, file.partition.number))
            }
        }
        if !removed.isEmpty { folder.sync() }
        return removed
    }
}

/// The samples of one series within one window.
struct WindowSamples {
    var milliseconds: [Int64] = []
    var bits: [UInt64] = []

    /// Sorts by time; of equal times the first to come stays.
    mutating func settle() {
        guard zip(milliseconds, milliseconds.dropFirst()).contains(where: { $0 >= $1 }) else { return }
        let order = milliseconds.indices.sorted { (milliseconds[$0], $0) < (milliseconds[$1], $1) }
        var settled = WindowSamples()
        for index in order where settled.milliseconds.last != milliseconds[index] {
            settled.milliseconds.append(milliseconds[index])
            settled.bits.append(bits[index])
        }
        self = settled
    }
}

/// Reads the sealed samples of one host window by window, so that memory is bounded by a window of a host.
private struct RollupReader {
    /// A multiple of every bucket's width.
    private static let window: Int64 = 6 * 3_600_000

    private let partition: Partition
    private let entries: [SegmentEntry]
    private let core: StoreCore
    private let zstd: ZstdDecompressorBox
    private var window: Int64
    private let end: Int64
    private var damagedRows: Set<Int64> = []
    var damaged: Int { damagedRows.count }

    /// The series: a source and one of its columns.
    private(set) var columns: [(source: StoredSource, column: Int)] = []
    private var firstColumn: [UInt32: Int] = [:]
    /// The samples of each series in the window at hand.
    private(set) var series: [WindowSamples] = []

    /// The segments of a partition, host by host, those in order before the late ones.
    static func groups(_ view: PartitionView, _ core: StoreCore) -> [[SegmentEntry]] {
        var groups: [String: [SegmentEntry]] = [:]
        for entry in view.entries.sorted(by: { ($0.isLate ? 1 : 0, $0.row) < ($1.isLate ? 1 : 0, $1.row) }) {
            let host = entry.sources.first.flatMap { core.index.sources[$0]?.labels["host"] } ?? ""
            groups[host, default: []].append(entry)
        }
        return groups.sorted { $0.key < $1.key }.map(\.value)
    }

    init(_ partition: Partition, _ entries: [SegmentEntry], _ core: StoreCore) throws(StorageError) {
        self.partition = partition
        self.entries = entries
        self.core = core
        zstd = try ZstdDecompressorBox()
        let first = entries.map(\.first).min() ?? 0
        let rest = first % RollupReader.window
        window = first - (rest < 0 ? rest + RollupReader.window : rest)
        end = entries.map(\.last).max() ?? .min
        for id in Set(entries.flatMap(\.sources)).sorted() {
            guard let source = core.index.sources[id] else { continue }
            firstColumn[id] = columns.count
            for column in source.layout.columns.indices { columns.append((source, column)) }
        }
    }

    /// Reads the next window; false after the last.
    mutating func next() throws(StorageError) -> Bool {
        guard window <= end else { return false }
        series = Array(repeating: WindowSamples(), count: columns.count)
        let range = window...(window + RollupReader.window - 1)
        for entry in entries where entry.first <= range.upperBound && entry.last >= range.lowerBound {
            do throws(SegmentReadFailure) { try read(entry, range) } catch {
                guard case .storage(let failure) = error else {
                    damagedRows.insert(entry.row)
                    continue
                }
                throw failure
            }
        }
        for index in series.indices { series[index].settle() }
        window += RollupReader.window
        return true
    }

    private mutating func read(_ entry: SegmentEntry, _ range: ClosedRange<Int64>) throws(SegmentReadFailure) {
        let bytes: [UInt8]
        do throws(StorageError) { bytes = try partition.readAll(entry) } catch { throw .storage(error) }
        do throws(DamagedData) {
            try bytes.withBytes { raw throws(DamagedData) in
                let directory = try SegmentDirectory(raw, zstd: zstd.zstd)
                var decoder = SegmentDecoder(directory)
                for family in 0..<directory.familyCount {
                    let place = directory.frame(family)
                    guard place.upperBound <= raw.count else { throw DamagedData("a frame beyond the segment's end") }
                    let frame = UnsafeRawBufferPointer(rebasing: raw[place])
                    decoder.load(family, try directory.inflate(frame, family: family, zstd: zstd.zstd))
                }
                for (position, source) in directory.sources.enumerated() {
                    guard let first = firstColumn[source.id] else { continue }
                    let times = directory.times(source: position)
                    for column in 0..<source.columnCount {
                        let native = try decoder.values(source: position, column: column)
                        let present = SeriesPiece.presentTimes(times, runs: directory.runs(source: position, column: column))
                        guard present.count == native.count, first + column < series.count else {
                            throw DamagedData("ticks without numbers")
                        }
                        let start = present.lowerBound(range.lowerBound) ?? present.count
                        let stop = present.lowerBound(range.upperBound + 1) ?? present.count
                        series[first + column].milliseconds += present[start..<stop]
                        series[first + column].bits += native[start..<stop]
                    }
                }
            }
        } catch { throw .damaged(error) }
    }
}

/// Collects the buckets of one host and writes them as segments of a file of rollups.
///
/// Each series is a source of its own in that file, with ten columns: one a statistic.
private struct RollupWriter {
    private let resolution: RollupResolution
    private let partition: Partition
    private let path: String
    private let finalPath: String
    private var known: Set<UInt32> = []
    private var buckets: [LabelSet: (column: Column, buckets: [NativeBucket])] = [:]
    private var identities: [LabelSet: SourceRecord] = [:]
    private var layouts: [[Column]: (layout: SourceLayout, number: Int64)] = [:]
    private var pending: [NewSegment] = []
    private var span: ClosedRange<Int64>?
    private(set) var written = 0
    private let encoder: EncoderBox

    /// Buckets of one series held at a time: a day of five minutes.
    private static let mostBuckets = 288
    /// Numbers in one segment at most.
    private static let mostNumbers = 1 << 18

    init(_ resolution: RollupResolution, number: Int, folder: String, vfs: String?) throws(StorageError) {
        self.resolution = resolution
        finalPath = folder + "/" + RollupFile.fileName(resolution, number)
        path = finalPath + ".unfinished"
        unlink(path)
        unlink(path + "-journal")
        partition = Partition(number: number, path: path, vfs: vfs)
        try partition.create()
        encoder = try EncoderBox()
    }

    mutating func take(_ series: [WindowSamples], columns: [(source: StoredSource, column: Int)]) {
        for (samples, place) in zip(series, columns) where !samples.milliseconds.isEmpty {
            let column = place.source.layout.columns[place.column]
            let more = NativeBucket.buckets(samples.milliseconds, samples.bits, column.kind, resolution)
            let labels = place.source.labelSet(ofColumn: place.column)
            // A series whose kind of number changed, with its source, goes on as the first kind only where they agree.
            if let known = buckets[labels], known.column.kind != column.kind || known.column.scale != column.scale { continue }
            buckets[labels, default: (column, [])].buckets += more
        }
    }

    /// Makes segments of what was collected, when it is much or the host's last.
    mutating func flush(isLast: Bool) throws(StorageError) {
        guard isLast || buckets.values.contains(where: { $0.buckets.count >= RollupWriter.mostBuckets }) else { return }
        var inputs: [SegmentInput] = []
        var records: [SourceRecord] = []
        var numbers = 0
        for labels in buckets.keys.sorted() {
            guard let (column, list) = buckets[labels], let first = list.first, let last = list.last else { continue }
            let samples = list.reduce(0) { $0 + Int($1.count) }
            guard samples >= list.count * SampleStore.fewestSamplesABucket else { continue }
            let record = identify(labels, column)
            let settled = RollupWriter.settle(list, column.kind)
            records.append(record)
            inputs.append(SegmentInput(id: record.source.id, layout: record.source.layout, block: block(settled, column)))
            numbers += settled.count * RollupColumns.names.count
            written += settled.count
            span = min(span?.lowerBound ?? first.start, first.start)...max(span?.upperBound ?? last.start, last.start)
            if numbers >= RollupWriter.mostNumbers {
                try seal(&inputs, &records)
                numbers = 0
            }
        }
        buckets.removeAll(keepingCapacity: true)
        if !inputs.isEmpty { try seal(&inputs, &records) }
        if pending.reduce(0, { $0 + $1.data.count }) >= SampleStore.mostBytesACommit { try commit() }
    }

    /// Ascending, each start once: a guest whose columns changed has two sources with the same series.
    private static func settle(_ list: [NativeBucket], _ kind: NumberKind) -> [NativeBucket] {
        guard zip(list, list.dropFirst()).contains(where: { $0.start >= $1.start }) else { return list }
        var settled: [NativeBucket] = []
        let order = list.indices.sorted { (list[$0].start, $0) < (list[$1].start, $1) }
        for index in order {
            if settled.last?.start == list[index].start {
                settled[settled.count - 1].merge(list[index], kind)
            } else {
                settled.append(list[index])
            }
        }
        return settled
    }

    private mutating func identify(_ labels: LabelSet, _ column: Column) -> SourceRecord {
        if let known = identities[labels] { return known }
        let columns = RollupColumns.layout(of: column)
        let (layout, number) = layouts[columns] ?? (SourceLayout(columns: columns), Int64(layouts.count + 1))
        layouts[columns] = (layout, number)
        let record = SourceRecord(source: StoredSource(id: UInt32(identities.count + 1), labels: labels, layout: layout), layout: number)
        identities[labels] = record
        return record
    }

    private func block(_ list: [NativeBucket], _ column: Column) -> TickBlock {
        let isCounter = RollupColumns.isCounter(column.metric)
        let rows = list.map { RollupColumns.values($0, column.kind, isCounter: isCounter) }
        var values: [UInt64] = []
        values.reserveCapacity(rows.count * RollupColumns.names.count)
        for place in RollupColumns.names.indices { values += rows.map { $0[place] } }
        return TickBlock(
            columnCount: RollupColumns.names.count, times: list.map(\.start), values: values,
            wasPresent: Array(repeating: false, count: RollupColumns.names.count))
    }

    private mutating func seal(_ inputs: inout [SegmentInput], _ records: inout [SourceRecord]) throws(StorageError) {
        let order = inputs.indices.sorted { inputs[$0].id < inputs[$1].id }
        pending.append(try SampleStore.makeSegment(order.map { inputs[$0] }, order.map { records[$0] }, isLate: false, encoder.encoder))
        inputs.removeAll()
        records.removeAll()
    }

    private mutating func commit() throws(StorageError) {
        _ = try partition.append(pending, sealed: [], known: &known)
        pending.removeAll()
    }

    /// Gives the file its name.
    mutating func finish() throws(StorageError) -> RollupFile {
        if !pending.isEmpty { try commit() }
        guard rename(path, finalPath) == 0 else {
            throw StorageError(.readOnly, "cannot name \(finalPath): \(DataFolder.systemError())")
        }
        return RollupFile(resolution: resolution, partition: partition.renamed(finalPath), span: span)
    }
}

/// An encoder that a value may hold.
private final class EncoderBox {
    let encoder: SegmentEncoder

    init() throws(StorageError) {
        do throws(CompressionFailure) { encoder = try SegmentEncoder() } catch { throw StorageError(.other, error.description) }
    }
}
