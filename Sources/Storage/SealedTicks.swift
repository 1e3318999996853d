import TimeSeries

/// Looks up which ticks of a source are sealed already, so that what comes twice is kept once.
///
/// A tick counts as known where every column of it has a number: then a second one can add nothing.
struct SealedTicks {
    private let core: StoreCore
    private let zstd: ZstdDecompressorBox?
    private var directories: [Place: SegmentDirectory] = [:]

    private struct Place: Hashable {
        let partition: Int
        let row: Int64
    }

    /// Directories kept at a time: some 30 MiB.
    private static let mostDirectories = 256

    init(_ core: StoreCore) {
        self.core = core
        do throws(StorageError) { zstd = try ZstdDecompressorBox() } catch { zstd = nil }
    }

    /// The block without the ticks that are known.
    ///
    /// A segment that cannot be read knows nothing: then a tick may be kept twice, and a select still answers it once.
    mutating func removeKnown(_ block: TickBlock, of source: UInt32) -> TickBlock {
        guard let first = block.times.first, let last = block.times.last else { return block }
        let known = known(of: source, from: first, through: last)
        guard !known.isEmpty else { return block }
        return block.filter { !known.contains($0) }
    }

    private mutating func known(of source: UInt32, from: Int64, through: Int64) -> Set<Int64> {
        var times: Set<Int64> = []
        for view in core.partitions where view.known.contains(source) && view.first <= through && view.last >= from {
            for entry in view.entries where entry.first <= through && entry.last >= from && entry.sources.contains(source) {
                guard let directory = directory(view.partition, entry), let place = directory.sources.firstIndex(where: { $0.id == source })
                else { continue }
                let columns = 0..<directory.sources[place].columnCount
                guard columns.allSatisfy({ directory.runs(source: place, column: $0).isEmpty }) else { continue }
                times.formUnion(directory.times(source: place).filter { $0 >= from && $0 <= through })
            }
        }
        return times
    }

    private mutating func directory(_ partition: Partition, _ entry: SegmentEntry) -> SegmentDirectory? {
        let place = Place(partition: partition.number, row: entry.row)
        if let known = directories[place] { return known }
        guard let zstd else { return nil }
        if directories.count >= SealedTicks.mostDirectories { directories.removeAll() }
        do throws(SegmentReadFailure) {
            let directory = try partition.directory(of: entry, zstd: zstd)
            directories[place] = directory
            return directory
        } catch { return nil }
    }
}
