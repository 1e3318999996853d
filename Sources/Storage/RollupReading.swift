import Fleet
public import TimeSeries

extension SampleStore {
    /// The rollups of a selection, as `StoreSnapshot.rollups`.
    public func rollups(
        _ selection: SeriesSelection, _ resolution: RollupResolution, visit: (LabelSet, [RollupBucket]) -> Bool
    ) throws(SeriesSourceError) {
        try snapshot().rollups(selection, resolution, visit: visit)
    }
}

extension StoreSnapshot {
    /// Buckets that one selection may hold in memory: some 800 MiB.
    private static let mostBuckets = 1 << 22

    private struct Found {
        let kind: NumberKind
        let scale: Scale
        var buckets: [NativeBucket]
    }

    /// Visits the rolled up series of a selection whose buckets begin in its window, in the order of their label sets.
    ///
    /// `visit` returns false to stop. What is younger than the last finished partition has no rollups yet: ask for the samples.
    public func rollups(
        _ selection: SeriesSelection, _ resolution: RollupResolution, visit: (LabelSet, [RollupBucket]) -> Bool
    ) throws(SeriesSourceError) {
        var found: [LabelSet: Found] = [:]
        let window = (selection.from.milliseconds, selection.through.milliseconds)
        guard window.0 <= window.1 else { return }
        var total = 0
        do throws(StorageError) {
            for file in core.rollups.sorted(by: { $0.partition.number < $1.partition.number }) where file.resolution == resolution {
                guard let span = file.span, span.lowerBound <= window.1, span.upperBound >= window.0 else { continue }
                try file.partition.readRollups(selection.matchers, from: window.0, through: window.1) { labels, layout, buckets in
                    total += buckets.count
                    let value = layout.columns[1]
                    found[labels, default: Found(kind: value.kind, scale: value.scale, buckets: [])].buckets += buckets
                }
                guard total <= StoreSnapshot.mostBuckets else {
                    throw StorageError(.other, "more than \(StoreSnapshot.mostBuckets) buckets; ask for fewer series or a shorter time")
                }
            }
        } catch { throw SeriesSourceError(error.description) }
        for labels in found.keys.sorted() {
            guard let one = found[labels] else { continue }
            let shown = StoreSnapshot.merge(one.buckets, one.kind).map { RollupBucket($0, one.kind, one.scale) }
            if !visit(labels, shown) { return }
        }
    }

    /// Joins the halves of buckets that two files share.
    private static func merge(_ buckets: [NativeBucket], _ kind: NumberKind) -> [NativeBucket] {
        var merged: [NativeBucket] = []
        for index in buckets.indices.sorted(by: { (buckets[$0].start, $0) < (buckets[$1].start, $1) }) {
            if merged.last?.start == buckets[index].start {
                merged[merged.count - 1].merge(buckets[index], kind)
            } else {
                merged.append(buckets[index])
            }
        }
        return merged
    }
}

extension Partition {
    /// Reads the buckets of every series of a file of rollups that meets the matchers, within a window of their starts.
    func readRollups(
        _ matchers: [LabelMatcher], from: Int64, through: Int64, _ take: (LabelSet, SourceLayout, [NativeBucket]) -> Void
    ) throws(StorageError) {
        let (sources, entries) = try catalogue()
        let wanted = sources.values.filter { source in matchers.allSatisfy { $0.matches(source.labels[$0.name] ?? "") } }
        let byID = Dictionary(wanted.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let zstd = try ZstdDecompressorBox()
        for entry in entries where entry.first <= through && entry.last >= from {
            let own = entry.sources.compactMap { byID[$0] }
            guard !own.isEmpty else { continue }
            do throws(SegmentReadFailure) {
                for (source, buckets) in try rollups(of: entry, own, zstd: zstd) {
                    take(source.labels, source.layout, buckets.filter { $0.start >= from && $0.start <= through })
                }
            } catch {
                switch error {
                case .storage(let failure): throw failure
                case .damaged(let damage):
                    throw StorageError(.damaged, "\(path), segment \(entry.row): \(damage); 'steward store verify' says what is lost")
                }
            }
        }
    }

    private func rollups(
        of entry: SegmentEntry, _ sources: [StoredSource], zstd: ZstdDecompressorBox
    ) throws(SegmentReadFailure) -> [(StoredSource, [NativeBucket])] {
        let directory = try directory(of: entry, zstd: zstd)
        do throws(DamagedData) {
            var decoder = SegmentDecoder(directory)
            for (family, frame) in try frames(Array(0..<directory.familyCount), entry, directory) {
                decoder.load(
                    family, try frame.withBytes { raw throws(DamagedData) in try directory.inflate(raw, family: family, zstd: zstd.zstd) })
            }
            var found: [(StoredSource, [NativeBucket])] = []
            for source in sources {
                guard let place = directory.sources.firstIndex(where: { $0.id == source.id }) else { continue }
                let columns = source.layout.columns
                guard directory.sources[place].columnCount == RollupColumns.names.count, columns.map(\.metric) == RollupColumns.names else {
                    throw DamagedData("a rollup with other columns")
                }
                let times = directory.times(source: place)
                var values: [[UInt64]] = []
                for column in columns.indices { values.append(try decoder.values(source: place, column: column)) }
                guard values.allSatisfy({ $0.count == times.count }) else { throw DamagedData("a rollup with gaps") }
                let isCounter = columns[7].labels["counter"] != nil
                found.append(
                    (
                        source,
                        times.indices.map { tick in
                            RollupColumns.bucket(start: times[tick], values.map { $0[tick] }, columns[1].kind, isCounter: isCounter)
                        }
                    ))
            }
            return found
        } catch { throw .damaged(error) }
    }
}
