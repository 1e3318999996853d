public import Fleet
import Glibc
import Synchronization
import TimeSeries

/// What an import brought in.
public struct OpenMetricsImportReport: Sendable, Equatable {
    /// Series that the text speaks of.
    public var series = 0
    /// Samples written.
    public var samples = 0
    /// Samples that repeated a time of their series, in the text or in the store: the first one stays.
    public var duplicates = 0
    /// Segments written.
    public var segments = 0
}

/// Why an import stopped.
public enum SampleImportError: Error, Sendable, CustomStringConvertible {
    /// A line of the text is wrong; nothing of the part of the file that was not yet written is kept.
    case text(Diagnostic)
    /// The store could not write.
    case storage(StorageError)

    /// One line for an operator.
    public var description: String {
        switch self {
        case .text(let diagnostic): diagnostic.description
        case .storage(let error): error.description
        }
    }
}

/// The samples of one series, as they are read.
private struct SeriesBuffer {
    var milliseconds: [Int64] = []
    var bits: [UInt64] = []

    mutating func append(_ time: Int64, _ value: UInt64) {
        milliseconds.append(time)
        bits.append(value)
    }

    /// Sorts by time where needed; returns how many repeated a time.
    mutating func settle() -> Int {
        guard zip(milliseconds, milliseconds.dropFirst()).contains(where: { $0 >= $1 }) else { return 0 }
        let order = milliseconds.indices.sorted { (milliseconds[$0], $0) < (milliseconds[$1], $1) }
        var settled = SeriesBuffer()
        for index in order where settled.milliseconds.last != milliseconds[index] {
            settled.milliseconds.append(milliseconds[index])
            settled.bits.append(bits[index])
        }
        let dropped = milliseconds.count - settled.milliseconds.count
        self = settled
        return dropped
    }
}

extension SampleStore {
    /// Samples held in memory before they are written: 16 bytes each.
    private static let mostImportedSamples = 1 << 23
    /// Labels that say whose a series is; the others tell apart the series of one source.
    private static let sourceLabels: Set<String> = ["host", "uuid", "domain", "instance", "job"]
    /// Ticks in one segment at most.
    private static let ticksASegment = 1024

    /// Takes the samples of a file of OpenMetrics text (or, with `milliseconds`, Prometheus' own) straight into sealed segments.
    ///
    /// Where a series has a sample at a time already, that one stays. `progress` is told the bytes read, and returns false to stop.
    public func importOpenMetrics(
        path: String, milliseconds: Bool = false, progress: (Int) -> Bool = { _ in true }
    ) throws(SampleImportError) -> OpenMetricsImportReport {
        var lines: TextLines
        do throws(StorageError) { lines = try TextLines(path: path) } catch { throw .storage(error) }
        var parser = OpenMetricsParser(unit: milliseconds ? .milliseconds : .seconds)
        var buffers: [SeriesBuffer] = []
        var report = OpenMetricsImportReport()
        var held = 0
        while true {
            let bytes: Int
            do throws(StorageError) { bytes = try lines.fill() } catch { throw .storage(error) }
            while let line = lines.next() {
                do throws(OpenMetricsLineError) {
                    guard let sample = try parser.parse(line) else { continue }
                    if sample.series >= buffers.count { buffers.append(SeriesBuffer()) }
                    buffers[sample.series].append(sample.milliseconds, sample.value.bitPattern)
                    held += 1
                } catch {
                    throw .text(Diagnostic(at: SourcePlace(file: path, line: lines.number, column: error.column), error.message))
                }
            }
            if held >= SampleStore.mostImportedSamples {
                try writeImport(parser.series, &buffers, &report)
                held = 0
            }
            if bytes == 0 || !progress(lines.bytesRead) { break }
        }
        try writeImport(parser.series, &buffers, &report)
        report.series = parser.series.count
        return report
    }

    private func writeImport(
        _ series: [LabelSet], _ buffers: inout [SeriesBuffer], _ report: inout OpenMetricsImportReport
    ) throws(SampleImportError) {
        for index in buffers.indices { report.duplicates += buffers[index].settle() }
        let sources = SampleStore.group(series, buffers)
        buffers = []
        for _ in series { buffers.append(SeriesBuffer()) }
        guard !sources.isEmpty else { return }
        do throws(StorageError) {
            let written = try writeImported(sources)
            report.segments += written.segments
            report.samples += written.samples
            report.duplicates += written.duplicates
        } catch { throw .storage(error) }
    }

    /// Series of one source that have the same ticks become its columns.
    private static func group(_ series: [LabelSet], _ buffers: [SeriesBuffer]) -> [ImportedSource] {
        struct Key: Hashable {
            let source: LabelSet
            let ticks: [Int64]
        }
        var groups: [Key: Int] = [:]
        var found: [(labels: LabelSet, ticks: [Int64], columns: [Column], bits: [[UInt64]])] = []
        for (index, buffer) in buffers.enumerated() where !buffer.milliseconds.isEmpty {
            let all = series[index].labels
            let source = LabelSet(all.filter { sourceLabels.contains($0.name) })
            let own = LabelSet(all.filter { !sourceLabels.contains($0.name) && $0.name != LabelSet.metricName })
            let column = Column(metric: series[index][LabelSet.metricName] ?? "", labels: own, kind: .real)
            let key = Key(source: source, ticks: buffer.milliseconds)
            if let known = groups[key] {
                found[known].columns.append(column)
                found[known].bits.append(buffer.bits)
            } else {
                groups[key] = found.count
                found.append((source, buffer.milliseconds, [column], [buffer.bits]))
            }
        }
        return found.map { ImportedSource(schema: SourceSchema(labels: $0.labels, columns: $0.columns), ticks: $0.ticks, bits: $0.bits) }
    }

    /// Writes whole histories of sources as segments that are merged behind what is there.
    func writeImported(_ imported: [ImportedSource]) throws(StorageError) -> ImportedSegments {
        try maintenance.withLock { _ throws(StorageError) in
            let encoder: SegmentEncoder
            do throws(CompressionFailure) { encoder = try SegmentEncoder() } catch { throw StorageError(.other, error.description) }
            var stretches: [(part: Int, record: SourceRecord, isNew: Bool, source: Int, ticks: Range<Int>)] = []
            for (position, source) in imported.enumerated() {
                let (record, isNew) = core.withLock { $0.register(source.schema) }
                for (part, ticks) in SampleStore.stretches(source.ticks.count).enumerated() {
                    stretches.append((part, record, isNew, position, ticks))
                }
            }
            // The oldest first, so that files stay in the order of time; within a segment the sources' numbers must ascend.
            stretches.sort { ($0.part, $0.record.source.id) < ($1.part, $1.record.source.id) }
            var batch: [NewSegment] = []
            var sealed = SealedTicks(core.withLock { $0 })
            var written = ImportedSegments()
            var start = 0
            while start < stretches.count {
                var inputs: [SegmentInput] = []
                var records: [SourceRecord] = []
                let part = stretches[start].part
                var samples = 0
                while start < stretches.count, stretches[start].part == part, samples < options.sealSamples {
                    let stretch = stretches[start]
                    start += 1
                    let whole = imported[stretch.source].block(stretch.ticks)
                    let block = stretch.isNew ? whole : sealed.removeKnown(whole, of: stretch.record.source.id)
                    written.duplicates += whole.values.count - block.values.count
                    guard !block.times.isEmpty else { continue }
                    samples += block.values.count
                    inputs.append(SegmentInput(id: stretch.record.source.id, layout: stretch.record.source.layout, block: block))
                    records.append(stretch.record)
                }
                if !inputs.isEmpty { batch.append(try SampleStore.makeSegment(inputs, records, isLate: true, encoder)) }
                written.segments += inputs.isEmpty ? 0 : 1
                written.samples += samples
                if start == stretches.count || batch.reduce(0, { $0 + $1.data.count }) >= SampleStore.mostBytesACommit {
                    if !batch.isEmpty { try commit(batch) }
                    batch.removeAll()
                }
            }
            return written
        }
    }

    private func commit(_ segments: [NewSegment]) throws(StorageError) {
        var (partition, known) = try activePartition(for: segments)
        let entries = try partition.append(segments, sealed: [], known: &known)
        core.withLock { core in
            if let position = core.partitions.firstIndex(where: { $0.partition === partition }) { core.partitions[position].add(entries) }
        }
    }

    /// Equal stretches of at most `ticksASegment` ticks.
    private static func stretches(_ count: Int) -> [Range<Int>] {
        let parts = (count + ticksASegment - 1) / ticksASegment
        return (0..<parts).map { count * $0 / parts..<count * ($0 + 1) / parts }
    }
}

/// What was written of an import.
struct ImportedSegments {
    var segments = 0
    var samples = 0
    /// Samples at times that were sealed already.
    var duplicates = 0
}

/// The history of one source, column by column.
struct ImportedSource {
    let schema: SourceSchema
    /// Milliseconds, strictly increasing.
    let ticks: [Int64]
    /// For each column its native bits, one a tick.
    let bits: [[UInt64]]

    func block(_ range: Range<Int>) -> TickBlock {
        var values: [UInt64] = []
        values.reserveCapacity(range.count * bits.count)
        for column in bits { values += column[range] }
        return TickBlock(
            columnCount: bits.count, times: Array(ticks[range]), values: values, wasPresent: Array(repeating: false, count: bits.count))
    }
}

extension StoreCore {
    /// The source of a schema; a new one also waits to be told to `head.db`, which may get ticks of it later.
    fileprivate mutating func register(_ schema: SourceSchema) -> (record: SourceRecord, isNew: Bool) {
        let (source, isNew) = index.source(of: schema)
        if isNew { unsavedSources.append(source) }
        return (record(source), isNew)
    }
}

/// Reads a text file in pieces, line by line.
struct TextLines: ~Copyable {
    private static let pieceBytes = 1 << 20

    private let path: String
    private let descriptor: Int32
    private var buffer: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0
    private var isAtEnd = false
    /// The number of the line that `next` gave last, from 1.
    private(set) var number = 0
    private(set) var bytesRead = 0

    init(path: String) throws(StorageError) {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StorageError(.other, "cannot read \(path): \(DataFolder.systemError())") }
        self.path = path
        buffer = .allocate(byteCount: TextLines.pieceBytes + OpenMetricsParser.longestLine, alignment: 16)
    }

    deinit {
        buffer.deallocate()
        close(descriptor)
    }

    /// Reads on; 0 at the end of the file.
    ///
    /// Lines given before are no longer there.
    mutating func fill() throws(StorageError) -> Int {
        guard let base = buffer.baseAddress else { return 0 }
        if start > 0 { memmove(base, base + start, end - start) }
        (start, end) = (0, end - start)
        guard end < OpenMetricsParser.longestLine else {
            throw StorageError(.other, "\(path):\(number + 1): a line longer than 1 MiB; no series needs that, so this is no such text")
        }
        let count = read(descriptor, base + end, TextLines.pieceBytes)
        guard count >= 0 else { throw StorageError(.other, "cannot read \(path): \(DataFolder.systemError())") }
        end += count
        bytesRead += count
        isAtEnd = count == 0
        return count
    }

    /// The next whole line without its end; nil when the piece is used up.
    mutating func next() -> UnsafeRawBufferPointer? {
        guard start < end, let base = buffer.baseAddress else { return nil }
        guard let found = memchr(base + start, 0x0a, end - start) else {
            guard isAtEnd else { return nil }
            defer { start = end }
            number += 1
            return UnsafeRawBufferPointer(rebasing: buffer[start..<end])
        }
        let stop = UnsafeRawPointer(found) - UnsafeRawPointer(base)
        defer { start = stop + 1 }
        number += 1
        return UnsafeRawBufferPointer(rebasing: buffer[start..<stop])
    }
}
