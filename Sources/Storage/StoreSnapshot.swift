import Fleet
public import TimeSeries

/// The store at one moment: the sealed segments that were there, and the head's blocks up to their lengths then.
public struct StoreSnapshot: SeriesSource {
    let core: StoreCore
    private let damageLog: DamageLog

    init(_ core: StoreCore, _ damageLog: DamageLog) {
        self.core = core
        self.damageLog = damageLog
    }

    /// Series are decoded so many at a time: their samples together are what a select holds in memory.
    private static let mostSamplesABatch = 1 << 21

    /// One series that meets the matchers: there may be several with the same labels, of sources with other columns.
    private struct Wanted {
        let labels: LabelSet
        let source: StoredSource
        let column: Int
    }

    /// The label sets of the selection, as `SeriesSource` asks.
    public func labelSets(_ selection: SeriesSelection) throws(SeriesSourceError) -> [LabelSet] {
        var found: [LabelSet] = []
        try select(selection) { labels, _ in
            found.append(labels)
            return true
        }
        return found
    }

    /// Visits the series of the selection, as `SeriesSource` asks.
    ///
    /// A damaged segment is left out of the answer, and named in `SampleStore.damages`.
    public func select(_ selection: SeriesSelection, visit: (LabelSet, SampleRun) -> Bool) throws(SeriesSourceError) {
        let from = selection.from.milliseconds
        let through = selection.through.milliseconds
        guard from <= through else { return }
        var wanted: [Wanted] = []
        for match in core.index.matches(selection.matchers) {
            for column in match.columns {
                wanted.append(Wanted(labels: match.source.labelSet(ofColumn: column), source: match.source, column: column))
            }
        }
        wanted.sort { ($0.labels, $0.source.id) < ($1.labels, $1.source.id) }
        do throws(StorageError) {
            var reading = try SnapshotReading(
                core, damageLog, sources: Set(wanted.map(\.source.id)), from: from, through: through)
            var start = 0
            while start < wanted.count {
                let end = batchEnd(wanted, from: start, ticks: reading.ticksASource)
                let pieces = try reading.pieces(wanted[start..<end].map { ($0.source, $0.column) })
                var position = start
                while position < end {
                    var next = position + 1
                    while next < end, wanted[next].labels == wanted[position].labels { next += 1 }
                    let run = SeriesPiece.merge(pieces[(position - start)..<(next - start)].flatMap { $0 })
                    if !run.milliseconds.isEmpty, !visit(wanted[position].labels, run) { return }
                    position = next
                }
                start = end
            }
        } catch {
            throw SeriesSourceError(error.description)
        }
    }

    /// Batches end where the metric does, so that each frame is inflated once, or where they are large; never between equal labels.
    private func batchEnd(_ wanted: [Wanted], from start: Int, ticks: Int) -> Int {
        let metric = wanted[start].source.layout.columns[wanted[start].column].metric
        let most = max(1, StoreSnapshot.mostSamplesABatch / max(1, ticks))
        var end = start + 1
        while end < wanted.count {
            let isSame = wanted[end].labels == wanted[end - 1].labels
            let isWithin = end - start < most && wanted[end].source.layout.columns[wanted[end].column].metric == metric
            guard isSame || isWithin else { break }
            end += 1
        }
        return end
    }
}

/// The files and blocks that one select reads.
private struct SnapshotReading {
    private struct Place {
        let partition: Partition
        let entry: SegmentEntry
    }

    private let damageLog: DamageLog
    private let from: Int64
    private let through: Int64
    private var places: [Place] = []
    /// For each source the positions in `places`, in the order they were sealed, those in order before the late ones.
    private var placesOfSource: [UInt32: [Int]] = [:]
    private var heads: [UInt32: [HeadStream]] = [:]
    private var late: [UInt32: [HeadStream]] = [:]
    private var directories: [Int: SegmentDirectory] = [:]
    private let zstd: ZstdDecompressorBox
    /// A guess of how many ticks each source has in the window, to bound memory.
    private(set) var ticksASource = 1

    /// Directories kept between batches: about 64 MiB of them.
    private static let mostDirectories = 512

    init(_ core: StoreCore, _ damageLog: DamageLog, sources: Set<UInt32>, from: Int64, through: Int64) throws(StorageError) {
        self.damageLog = damageLog
        self.from = from
        self.through = through
        zstd = try ZstdDecompressorBox()
        for isLate in [false, true] {
            for view in core.partitions where view.first <= through && view.last >= from {
                for entry in view.entries where entry.isLate == isLate && entry.first <= through && entry.last >= from {
                    let own = entry.sources.filter { sources.contains($0) }
                    guard !own.isEmpty else { continue }
                    for source in own { placesOfSource[source, default: []].append(places.count) }
                    places.append(Place(partition: view.partition, entry: entry))
                }
            }
        }
        for lane in core.lanes {
            for stream in lane.heads where sources.contains(stream.source.id) { heads[stream.source.id, default: []].append(stream) }
            for stream in lane.late where sources.contains(stream.source.id) { late[stream.source.id, default: []].append(stream) }
        }
        let longest = placesOfSource.values.map(\.count).max() ?? 0
        ticksASource = longest * 512 + 512
    }

    /// For each series its pieces within the window, those that win first.
    mutating func pieces(_ series: [(StoredSource, Int)]) throws(StorageError) -> [[SeriesPiece]] {
        var found = series.map { _ in [(rank: Int, piece: SeriesPiece)]() }
        var seriesOfPlace: [Int: [Int]] = [:]
        for (position, one) in series.enumerated() {
            for place in placesOfSource[one.0.id] ?? [] { seriesOfPlace[place, default: []].append(position) }
        }
        for place in seriesOfPlace.keys.sorted() {
            let wanted = seriesOfPlace[place] ?? []
            let decoded = try decode(place, wanted.map { (series[$0].0, series[$0].1) })
            for (index, position) in wanted.enumerated() where !decoded[index].milliseconds.isEmpty {
                found[position].append((places[place].entry.isLate ? 2 : 0, decoded[index]))
            }
        }
        try addHeads(series, heads, rank: 1, to: &found)
        try addHeads(series, late, rank: 3, to: &found)
        return found.map { pieces in
            // A stable sort by rank: within one rank the order is that of arrival.
            [0, 1, 2, 3].flatMap { rank in pieces.filter { $0.rank == rank }.map(\.piece) }
        }
    }

    private func addHeads(
        _ series: [(StoredSource, Int)], _ streams: [UInt32: [HeadStream]], rank: Int, to found: inout [[(rank: Int, piece: SeriesPiece)]]
    ) throws(StorageError) {
        var seriesOfSource: [UInt32: [Int]] = [:]
        for (position, one) in series.enumerated() { seriesOfSource[one.0.id, default: []].append(position) }
        for source in seriesOfSource.keys.sorted() {
            let positions = seriesOfSource[source] ?? []
            for stream in streams[source] ?? [] {
                do throws(DamagedData) {
                    let pieces = try stream.pieces(columns: positions.map { series[$0].1 }, from: from, through: through)
                    for (index, position) in positions.enumerated() where !pieces[index].milliseconds.isEmpty {
                        found[position].append((rank, pieces[index]))
                    }
                } catch {
                    throw StorageError(.damaged, "unsealed readings of source \(source): \(error)")
                }
            }
        }
    }

    /// Decodes some series of one segment: reads its directory, then only the frames that they need.
    private mutating func decode(_ place: Int, _ series: [(StoredSource, Int)]) throws(StorageError) -> [SeriesPiece] {
        let partition = places[place].partition
        let entry = places[place].entry
        if directories.count > SnapshotReading.mostDirectories { directories.removeAll() }
        do throws(SegmentReadFailure) {
            let known = directories[place]
            let directory = if let known { known } else { try partition.directory(of: entry, zstd: zstd) }
            directories[place] = directory
            return try partition.pieces(of: entry, directory, series, from: from, through: through, zstd: zstd)
        } catch {
            let words: String
            switch error {
            case .storage(let failure) where failure.reason == .damaged: words = failure.description
            case .storage(let failure): throw failure
            case .damaged(let damage): words = damage.description
            }
            // The rest is answered; who asks for the damages hears of it.
            damageLog.add(StoreDamage(file: Partition.fileName(partition.number), segment: entry.row, message: words))
            return series.map { _ in SeriesPiece() }
        }
    }
}

/// A decompressor that several values may share within one thread.
final class ZstdDecompressorBox {
    let zstd: ZstdDecompressor

    init() throws(StorageError) {
        do throws(CompressionFailure) { zstd = try ZstdDecompressor() } catch { throw StorageError(.other, error.description) }
    }
}

/// Reading failed, or what was read is damaged.
enum SegmentReadFailure: Error {
    case storage(StorageError)
    case damaged(DamagedData)
}

extension Partition {
    /// Bytes read at first: most directories are shorter.
    private static let firstRead = 8 << 10

    func directory(of entry: SegmentEntry, zstd: ZstdDecompressorBox) throws(SegmentReadFailure) -> SegmentDirectory {
        let bytes: [UInt8]
        do throws(StorageError) {
            bytes = try read(entry) { size, copy throws(StorageError) in
                var bytes = [UInt8](repeating: 0, count: min(size, Partition.firstRead))
                try bytes.withMutableBytes { target throws(StorageError) in
                    if let start = target.baseAddress { try copy(0..<target.count, start) }
                }
                let wanted = min(size, bytes.withBytes { (try? SegmentDirectory.byteCount(preamble: $0)) ?? 0 })
                guard wanted > bytes.count else { return bytes }
                let have = bytes.count
                bytes.append(contentsOf: repeatElement(0, count: wanted - have))
                try bytes.withMutableBytes { target throws(StorageError) in
                    if let start = target.baseAddress { try copy(have..<wanted, start + have) }
                }
                return bytes
            }
        } catch { throw .storage(error) }
        do throws(DamagedData) {
            return try bytes.withBytes { raw throws(DamagedData) in try SegmentDirectory(raw, zstd: zstd.zstd) }
        } catch { throw .damaged(error) }
    }

    /// The series' pieces of one segment, in the order asked.
    func pieces(
        of entry: SegmentEntry, _ directory: SegmentDirectory, _ series: [(StoredSource, Int)], from: Int64, through: Int64,
        zstd: ZstdDecompressorBox
    ) throws(SegmentReadFailure) -> [SeriesPiece] {
        var decoder = SegmentDecoder(directory)
        var places: [UInt32: Int] = [:]
        for (index, source) in directory.sources.enumerated() { places[source.id] = index }
        do throws(DamagedData) {
            var families: Set<Int> = []
            for (source, column) in series {
                guard let place = places[source.id] else { continue }
                guard column < directory.sources[place].columnCount else { throw DamagedData("a source with fewer columns than it has") }
                families.formUnion(try directory.families(source: place, column: column))
            }
            for (family, frame) in try frames(families.sorted(), entry, directory) {
                decoder.load(
                    family, try frame.withBytes { raw throws(DamagedData) in try directory.inflate(raw, family: family, zstd: zstd.zstd) })
            }
            var pieces: [SeriesPiece] = []
            var times: (source: Int, times: [Int64]) = (-1, [])
            for (source, column) in series {
                guard let place = places[source.id] else {
                    pieces.append(SeriesPiece())
                    continue
                }
                if times.source != place { times = (place, directory.times(source: place)) }
                let native = try decoder.values(source: place, column: column)
                var piece = SeriesPiece(
                    times: times.times, runs: directory.runs(source: place, column: column),
                    wasPresent: directory.wasPresent(source: place, column: column), native: native, column: source.layout.columns[column])
                piece.clip(from: from, through: through)
                pieces.append(piece)
            }
            return pieces
        } catch { throw .damaged(error) }
    }

    func frames(_ families: [Int], _ entry: SegmentEntry, _ directory: SegmentDirectory) throws(DamagedData) -> [(Int, [UInt8])] {
        do throws(StorageError) {
            return try read(entry) { size, copy throws(StorageError) in
                var frames: [(Int, [UInt8])] = []
                for family in families {
                    let range = directory.frame(family)
                    guard range.upperBound <= size else { throw StorageError(.damaged, "a frame beyond the segment's end") }
                    var bytes = [UInt8](repeating: 0, count: range.count)
                    try bytes.withMutableBytes { target throws(StorageError) in
                        if let start = target.baseAddress, !range.isEmpty { try copy(range, start) }
                    }
                    frames.append((family, bytes))
                }
                return frames
            }
        } catch { throw DamagedData(error.description) }
    }
}

extension StoreSnapshot {
    /// Decodes every sealed sample to a double and adds them all up: how fast history can be read at best.
    ///
    /// The sum is taken in the order of files, segments, sources, columns and ticks, and so is the same each time.
    public func sumOfEverything() throws(SeriesSourceError) -> (samples: Int, sum: Double) {
        var samples = 0
        var sum = 0.0
        do throws(StorageError) {
            let zstd = try ZstdDecompressorBox()
            for view in core.partitions {
                for entry in view.entries {
                    let bytes = try view.partition.readAll(entry)
                    do throws(DamagedData) {
                        let (count, part) = try SegmentDecoder.sum(bytes, layouts: { core.index.sources[$0]?.layout }, zstd: zstd.zstd)
                        samples += count
                        sum += part
                    } catch {
                        throw StorageError(.damaged, "\(view.partition.path), segment \(entry.row): \(error)")
                    }
                }
            }
        } catch { throw SeriesSourceError(error.description) }
        return (samples, sum)
    }
}
