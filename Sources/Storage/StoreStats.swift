public import Fleet
import Glibc
import Synchronization
import TimeSeries

/// What a store holds and what it takes.
public struct SampleStoreStats: Sendable, Equatable {
    /// Series that have samples.
    public var series = 0
    /// Sources (guests on a host, hosts).
    public var sources = 0
    /// Numbers in sealed segments.
    public var sealedSamples = 0
    /// Numbers that are not sealed yet.
    public var headSamples = 0
    /// Sealed segments.
    public var segments = 0
    /// Files of sealed segments.
    public var partitions = 0
    /// Bytes of the segments themselves.
    public var segmentBytes = 0
    /// Bytes of what says which segment holds what: sources, their labels and layouts; nil where a file could not be asked.
    public var indexBytes: Int? = 0
    /// What the partition files take on the disk: segments, their index, and what pages waste.
    public var partitionBytes = 0
    /// What the files of rollups take on the disk.
    public var rollupBytes = 0
    /// What `head.db` and its log take on the disk.
    public var headBytes = 0
    /// What the unsealed readings take in memory.
    public var memoryBytes = 0
    /// The earliest sample.
    public var oldest: Timestamp?
    /// The latest sample.
    public var newest: Timestamp?

    /// What pages of the partition files hold beyond segments and index; nil where that is not known.
    public var pageWasteBytes: Int? { indexBytes.map { partitionBytes - segmentBytes - $0 } }
    /// What all sample files take on the disk.
    public var fileBytes: Int { partitionBytes + rollupBytes + headBytes }

    /// Bytes of the data folder's sample files for each sealed sample, everything included; nil before the first.
    public var bytesPerSample: Double? { sealedSamples == 0 ? nil : Double(fileBytes) / Double(sealedSamples) }
    /// The same without index, pages and head.
    public var segmentBytesPerSample: Double? { sealedSamples == 0 ? nil : Double(segmentBytes) / Double(sealedSamples) }
}

/// Something that is wrong in the store's files.
public struct StoreDamage: Sendable, Equatable, CustomStringConvertible {
    /// The file.
    public let file: String
    /// The segment's number, nil where the damage is the file's.
    public let segment: Int64?
    /// What is wrong.
    public let message: String

    /// One line for an operator.
    public var description: String { "\(file)\(segment.map { ", segment \($0)" } ?? ""): \(message)" }
}

/// Collects what queries and openings find damaged.
final class DamageLog: Sendable {
    /// More say no more than that the disk is bad.
    private static let most = 1000
    private let found = Mutex<[StoreDamage]>([])

    var all: [StoreDamage] { found.withLock { $0 } }

    func add(_ damage: StoreDamage) {
        found.withLock { found in
            if found.count < DamageLog.most, !found.contains(damage) { found.append(damage) }
        }
    }
}

extension SampleStore {
    /// Counts what is there; reads no segment.
    public func stats() -> SampleStoreStats {
        let core = core.withLock { $0 }
        var stats = SampleStoreStats()
        stats.sources = core.index.sources.count
        stats.series = core.index.seriesCount
        stats.partitions = core.partitions.count
        var first = Int64.max
        var last = Int64.min
        for view in core.partitions {
            stats.segments += view.entries.count
            stats.segmentBytes += view.bytes
            stats.partitionBytes += DataFolder.allocatedBytes(view.partition.path)
            if let sum = stats.indexBytes { stats.indexBytes = view.partition.indexBytes().map { sum + $0 } }
            for entry in view.entries {
                stats.sealedSamples += entry.samples
                first = min(first, entry.first)
                last = max(last, entry.last)
            }
        }
        for lane in core.lanes {
            stats.headSamples += lane.samples
            stats.memoryBytes += lane.headBytes
            first = min(first, lane.first ?? .max)
            for stream in lane.heads + lane.late { last = max(last, stream.latestTime ?? .min) }
        }
        for file in core.rollups { stats.rollupBytes += DataFolder.allocatedBytes(file.partition.path) }
        let head = folder.path + "/head.db"
        stats.headBytes = DataFolder.allocatedBytes(head) + DataFolder.allocatedBytes(head + "-wal")
        if first <= last {
            stats.oldest = Timestamp(milliseconds: first)
            stats.newest = Timestamp(milliseconds: last)
        }
        return stats
    }

    /// Reads every sealed segment and checks all that can be checked; damaged ones are named, the rest is read on.
    ///
    /// `progress` is told how many of how many segments are done, and returns false to stop.
    public func verify(progress: (_ done: Int, _ of: Int) -> Bool = { _, _ in true }) throws(StorageError) -> [StoreDamage] {
        let core = core.withLock { $0 }
        let total = core.partitions.reduce(0) { $0 + $1.entries.count }
        let zstd = try ZstdDecompressorBox()
        // Files that could not be opened at all.
        var damages = damages.filter { $0.segment == nil }
        var done = 0
        for view in core.partitions {
            let file = Partition.fileName(view.partition.number)
            do throws(StorageError) {
                let words = try view.partition.integrityCheck()
                if words != "ok" { damages.append(StoreDamage(file: file, segment: nil, message: words)) }
            } catch { damages.append(StoreDamage(file: file, segment: nil, message: error.description)) }
            for entry in view.entries {
                if let message = view.partition.check(entry, index: core.index, zstd: zstd) {
                    damages.append(StoreDamage(file: file, segment: entry.row, message: message))
                }
                done += 1
                guard progress(done, total) else { return damages }
            }
        }
        for file in core.rollups {
            let name = RollupFile.fileName(file.resolution, file.partition.number)
            do throws(StorageError) {
                let words = try file.partition.integrityCheck()
                if words != "ok" { damages.append(StoreDamage(file: name, segment: nil, message: words)) }
                try file.partition.readRollups([], from: .min, through: .max) { _, _, _ in }
            } catch { damages.append(StoreDamage(file: name, segment: nil, message: error.description)) }
        }
        return damages
    }
}

extension Partition {
    /// What is wrong with a segment; nil where nothing is.
    fileprivate func check(_ entry: SegmentEntry, index: SeriesIndex, zstd: ZstdDecompressorBox) -> String? {
        do throws(SegmentReadFailure) {
            let directory = try directory(of: entry, zstd: zstd)
            guard directory.sources.map(\.id) == entry.sources else { return "its sources are not those of the index" }
            guard directory.samples == entry.samples else { return "\(directory.samples) samples, not \(entry.samples)" }
            for (position, source) in directory.sources.enumerated() {
                guard let known = index.sources[source.id] else { return "source \(source.id) is unknown" }
                guard known.layout.columns.count == source.columnCount else { return "source \(source.id) has other columns" }
                let times = directory.times(source: position)
                guard let first = times.first, let last = times.last, first >= entry.first, last <= entry.last else {
                    return "source \(source.id) has ticks outside the segment's window"
                }
                let series = (0..<source.columnCount).map { (known, $0) }
                _ = try pieces(of: entry, directory, series, from: .min, through: .max, zstd: zstd)
            }
            return nil
        } catch {
            return switch error {
            case .storage(let failure): failure.description
            case .damaged(let damage): damage.description
            }
        }
    }
}
