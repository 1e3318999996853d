import Fleet

/// Splits the usage of one tenant, article and month over the steps of a stepped price.
///
/// Usage fills the steps second by second; within the one second that crosses a bound, resources fill them in their fixed order. The split
/// depends on the month alone, never on a report's window or filters: so stepped amounts add up like flat ones.
struct TierSplitter {
    let tiersOfPart: (Int32) -> [Price.Tier]

    /// The pieces cut by step: (piece, step).
    func split(_ pieces: [RatedPiece]) -> [(piece: RatedPiece, tier: Int)] {
        let ordered = pieces.sorted {
            ($0.from, $0.to) == ($1.from, $1.to) ? $0.resource < $1.resource : ($0.from, $0.to) < ($1.from, $1.to)
        }
        var bounds: Set<Int64> = []
        for piece in ordered { bounds.formUnion([piece.from, piece.to == piece.from ? piece.from + 1 : piece.to]) }
        let edges = bounds.sorted()
        var result: [(piece: RatedPiece, tier: Int)] = []
        var used: Int128 = 0
        var next = 0
        var active: [RatedPiece] = []
        for (start, end) in zip(edges, edges.dropFirst()) {
            active.removeAll { $0.to <= start }
            var instants: [RatedPiece] = []
            while next < ordered.count, ordered[next].from <= start {
                if ordered[next].to > ordered[next].from { active.append(ordered[next]) } else { instants.append(ordered[next]) }
                next += 1
            }
            for piece in instants { fill(piece, usage: piece.usage, from: piece.from, to: piece.to, &used, &result) }
            guard let first = active.first else { continue }
            active.sort { $0.resource < $1.resource }
            let rate = active.reduce(Int128(0)) { $0 + $1.usage / Int128($1.to - $1.from) }
            var second = start
            while second < end {
                let (tier, bound) = step(tiersOfPart(first.part), at: used)
                // Whole seconds that fit below the bound go in one piece; the second that crosses it goes resource by resource.
                let fitting = bound.map { rate == 0 ? Int64.max : Int64(clamping: ($0 - used) / rate) } ?? .max
                let length = min(fitting, end - second)
                if length > 0 {
                    for piece in active { result.append((part(of: piece, second, second + length), tier)) }
                    used += rate * Int128(length)
                    second += length
                } else {
                    for piece in active {
                        fill(piece, usage: piece.usage / Int128(piece.to - piece.from), from: second, to: second + 1, &used, &result)
                    }
                    second += 1
                }
            }
        }
        return joined(result)
    }

    private func step(_ tiers: [Price.Tier], at used: Int128) -> (tier: Int, bound: Int128?) {
        for (index, tier) in tiers.enumerated() {
            guard let upTo = tier.upTo else { return (index, nil) }
            if used < upTo { return (index, upTo) }
        }
        return (tiers.count - 1, nil)
    }

    private func part(of piece: RatedPiece, _ from: Int64, _ to: Int64) -> RatedPiece {
        var cut = piece
        cut.usage = piece.usage / Int128(piece.to - piece.from) * Int128(to - from)
        cut.from = from
        cut.to = to
        return cut
    }

    private func fill(
        _ piece: RatedPiece, usage: Int128, from: Int64, to: Int64, _ used: inout Int128, _ result: inout [(piece: RatedPiece, tier: Int)]
    ) {
        var left = usage
        while left > 0 {
            let (tier, bound) = step(tiersOfPart(piece.part), at: used)
            let amount = bound.map { min(left, $0 - used) } ?? left
            var cut = piece
            cut.usage = amount
            cut.from = from
            cut.to = to
            result.append((cut, tier))
            used += amount
            left -= amount
        }
    }

    /// Joins cuts of one piece that meet on one step; not the single seconds that cross a bound, whose usage is not even.
    private func joined(_ cuts: [(piece: RatedPiece, tier: Int)]) -> [(piece: RatedPiece, tier: Int)] {
        struct Key: Hashable {
            let resource: [Int32]
            let part: Int32
            let tier: Int
            let shape: Int32
            let state: SpanState
            let evidence: Evidence
            let to: Int64
        }
        var result: [(piece: RatedPiece, tier: Int)] = []
        var ends: [Key: Int] = [:]
        for (piece, tier) in cuts {
            func key(_ end: Int64) -> Key {
                Key(
                    resource: [piece.guest, piece.volume, piece.host], part: piece.part, tier: tier, shape: piece.shape,
                    state: piece.state, evidence: piece.evidence, to: end)
            }
            if piece.to > piece.from, let place = ends.removeValue(forKey: key(piece.from)),
                result[place].piece.to > result[place].piece.from
            {
                result[place].piece.to = piece.to
                result[place].piece.usage += piece.usage
                ends[key(piece.to)] = place
            } else {
                ends[key(piece.to)] = result.count
                result.append((piece, tier))
            }
        }
        return result
    }
}
