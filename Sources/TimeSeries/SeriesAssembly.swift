/// One piece of a series: from a segment, or from the head.
package struct SeriesPiece: Sendable {
    package var milliseconds: [Int64]
    package var values: [Double]

    package init(milliseconds: [Int64] = [], values: [Double] = []) {
        self.milliseconds = milliseconds
        self.values = values
    }

    /// A piece from the numbers of the ticks that have one: where a number is missing after one was there stands a stale marker.
    package init(times: [Int64], runs: [UInt32], wasPresent: Bool, native: [UInt64], column: Column) {
        let scaled = [Double](unsafeUninitializedCapacity: native.count) { target, count in
            native.withUnsafeBufferPointer {
                column.scale.apply($0, kind: column.kind, into: UnsafeMutableBufferPointer(rebasing: target[..<native.count]))
            }
            count = native.count
        }
        guard !runs.isEmpty else {
            self.init(milliseconds: times, values: scaled)
            return
        }
        self.init()
        var tick = 0
        var number = 0
        for (position, run) in runs.enumerated() {
            let length = Int(run)
            if position % 2 == 0 {
                milliseconds.append(contentsOf: times[tick..<tick + length])
                values.append(contentsOf: scaled[number..<number + length])
                number += length
            } else if position > 1 || runs[0] > 0 || wasPresent {
                milliseconds.append(times[tick])
                values.append(SampleRun.staleMarker)
            }
            tick += length
        }
    }

    /// The times of the ticks that have a number.
    package static func presentTimes(_ times: [Int64], runs: [UInt32]) -> [Int64] {
        guard !runs.isEmpty else { return times }
        var present: [Int64] = []
        var tick = 0
        for (position, run) in runs.enumerated() {
            let end = min(times.count, tick + Int(run))
            if position % 2 == 0 { present += times[tick..<end] }
            tick = end
        }
        return present
    }

    /// Cuts the piece down to a window, both ends included.
    package mutating func clip(from: Int64, through: Int64) {
        guard let first = milliseconds.first, let last = milliseconds.last else { return }
        if first >= from && last <= through { return }
        let start = milliseconds.lowerBound(from) ?? milliseconds.count
        let end = through == .max ? milliseconds.count : milliseconds.lowerBound(through + 1) ?? milliseconds.count
        let range = start..<max(start, end)
        milliseconds = Array(milliseconds[range])
        values = Array(values[range])
    }

    /// One run from several pieces, each in ascending order of time.
    ///
    /// Of equal times the earlier piece's stays, except that a number wins over a stale marker.
    package static func merge(_ pieces: [SeriesPiece]) -> SampleRun {
        let filled = pieces.filter { !$0.milliseconds.isEmpty }
        guard var merged = filled.first else { return SampleRun() }
        for piece in filled.dropFirst() {
            if let last = merged.milliseconds.last, let first = piece.milliseconds.first, last < first {
                merged.milliseconds.append(contentsOf: piece.milliseconds)
                merged.values.append(contentsOf: piece.values)
            } else {
                merged = merge(merged, piece)
            }
        }
        return SampleRun(milliseconds: merged.milliseconds, values: merged.values)
    }

    private static func merge(_ first: SeriesPiece, _ second: SeriesPiece) -> SeriesPiece {
        var merged = SeriesPiece()
        merged.milliseconds.reserveCapacity(first.milliseconds.count + second.milliseconds.count)
        merged.values.reserveCapacity(first.values.count + second.values.count)
        var left = 0
        var right = 0
        while left < first.milliseconds.count || right < second.milliseconds.count {
            let leftTime = left < first.milliseconds.count ? first.milliseconds[left] : .max
            let rightTime = right < second.milliseconds.count ? second.milliseconds[right] : .max
            let takesLeft = left < first.milliseconds.count && (leftTime <= rightTime || right >= second.milliseconds.count)
            var value = takesLeft ? first.values[left] : second.values[right]
            merged.milliseconds.append(takesLeft ? leftTime : rightTime)
            if takesLeft, right < second.milliseconds.count, leftTime == rightTime {
                if value.bitPattern == SampleRun.staleBits { value = second.values[right] }
                right += 1
            }
            if takesLeft { left += 1 } else { right += 1 }
            merged.values.append(value)
        }
        return merged
    }
}

extension HeadStream {
    /// Whether any row lies in the window.
    package func overlaps(from: Int64, through: Int64) -> Bool { extents.contains { $0.first <= through && $0.last >= from } }

    /// The columns' pieces within a window, in the order of `columns`.
    ///
    /// Blocks outside the window are not read.
    package func pieces(columns: [Int], from: Int64, through: Int64) throws(DamagedData) -> [SeriesPiece] {
        var pieces = columns.map { _ in SeriesPiece() }
        var wasPresent = columns.map { _ in false }
        var row = Row(columns: source.layout.columns.count)
        var isSorted = true
        var previousTime = Int64.min
        for extent in extents where extent.first <= through && extent.last >= from {
            var reader = ByteReader(extent.bytes)
            for _ in 0..<extent.rows {
                try row.read(&reader)
                if row.isKey, row.tellsPrevious {
                    for (index, column) in columns.enumerated() { wasPresent[index] = row.previousPresence[column] }
                }
                if row.time <= previousTime { isSorted = false }
                previousTime = row.time
                let isInside = row.time >= from && row.time <= through
                for (index, column) in columns.enumerated() {
                    let isPresent = !row.isPartial || row.presence[column]
                    if isInside, isPresent || wasPresent[index] {
                        let description = source.layout.columns[column]
                        pieces[index].milliseconds.append(row.time)
                        pieces[index].values.append(
                            isPresent ? description.scale.apply(toBits: row.bits[column], kind: description.kind) : SampleRun.staleMarker)
                    }
                    wasPresent[index] = isPresent
                }
            }
        }
        if !isSorted { for index in pieces.indices { pieces[index].sort() } }
        return pieces
    }
}

extension SeriesPiece {
    /// Sorts by time; of equal times the first to come stays, unless it is a stale marker.
    package mutating func sort() {
        let order = milliseconds.indices.sorted { (milliseconds[$0], $0) < (milliseconds[$1], $1) }
        var sorted = SeriesPiece()
        for index in order {
            if let last = sorted.milliseconds.last, last == milliseconds[index] {
                if sorted.values[sorted.values.count - 1].bitPattern == SampleRun.staleBits {
                    sorted.values[sorted.values.count - 1] = values[index]
                }
            } else {
                sorted.milliseconds.append(milliseconds[index])
                sorted.values.append(values[index])
            }
        }
        self = sorted
    }
}
