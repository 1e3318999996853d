import Fleet
import TimeSeries

/// SplitMix64: the same seed gives the same numbers for ever.
struct Dice: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}

/// The ways in which made-up columns move.
enum Motion: CaseIterable {
    case still, counter, quanta, resetting, gauge, negative, steady, huge, noise, follower, total, ratio, double, strange
}

/// Makes readings of one source whose columns move in every way that encodings are made for, and in some that they are not.
struct BlockMaker {
    static func column(_ motion: Motion, index: Int) -> Column {
        let kind: NumberKind =
            switch motion {
            case .ratio, .double, .strange: .real
            case .negative: .signed
            default: .unsigned
            }
        return Column(metric: "metric_\(motion)_\(index % 5)", labels: LabelSet([Label("device", "d\(index)")]), kind: kind)
    }

    static func values(_ motion: Motion, ticks: Int, earlier: [[UInt64]], dice: inout Dice) -> [UInt64] {
        var value = UInt64.random(in: 0..<1 << 40, using: &dice)
        let quantum = [1, 512, 4096, 10_000_000].randomElement(using: &dice) ?? 1
        return (0..<ticks).map { tick in
            switch motion {
            case .still: return value
            case .counter: value &+= UInt64.random(in: 0..<5_000_000, using: &dice)
            case .quanta: value &+= UInt64(quantum) * UInt64.random(in: 0..<40, using: &dice)
            case .resetting: value = dice.chance(3) ? 0 : value &+ UInt64.random(in: 0..<1000, using: &dice)
            case .gauge: value = 1_000_000 + 4 * UInt64.random(in: 0..<3000, using: &dice)
            case .negative: value = UInt64(bitPattern: Int64.random(in: -5000...5000, using: &dice))
            case .steady: value &+= 30
            case .huge: value = UInt64.max - UInt64.random(in: 0..<1 << 62, using: &dice)
            case .noise: value = dice.next()
            case .follower:
                guard let followed = earlier.last else { return 7 }
                return followed[tick] &* 4096
            case .total:
                guard earlier.count >= 2 else { return 9 }
                return earlier[earlier.count - 1][tick] &+ earlier[earlier.count - 2][tick] &+ (dice.chance(2) ? 1 : 0)
            case .ratio: return (Double(Int.random(in: -1000...1000, using: &dice)) / 1000).bitPattern
            case .double: return Double.random(in: 0..<1, using: &dice).bitPattern
            case .strange:
                return [Double.nan, .infinity, -0.0, 0.0, .leastNonzeroMagnitude, SampleRun.staleMarker, 1e300].randomElement(using: &dice)?
                    .bitPattern ?? 0
            }
            return value
        }
    }

    /// A layout and a block of it.
    static func make(ticks: Int, gapPercent: Int, dice: inout Dice, motions: [Motion]) -> (SourceLayout, TickBlock) {
        var columns: [Column] = []
        var values: [[UInt64]] = []
        for (index, motion) in motions.enumerated() {
            columns.append(column(motion, index: index))
            values.append(BlockMaker.values(motion, ticks: ticks, earlier: values, dice: &dice))
        }
        var times: [Int64] = []
        var time: Int64 = 1_700_000_000_000
        for _ in 0..<ticks {
            time += 29_990 + Int64.random(in: 0..<20, using: &dice)
            times.append(time)
        }
        var presence: [Bool] = []
        if gapPercent > 0 {
            for _ in motions {
                var isPresent = dice.chance(90)
                for _ in 0..<ticks {
                    if dice.chance(gapPercent) { isPresent.toggle() }
                    presence.append(isPresent)
                }
            }
        }
        let wasPresent = motions.map { _ in dice.chance(50) }
        let block = TickBlock(
            columnCount: motions.count, times: times, values: values.flatMap { $0 }, presence: presence, wasPresent: wasPresent)
        return (SourceLayout(columns: columns), block)
    }
}

extension SegmentDirectory {
    /// Everything of a segment, decoded: for each source its number, ticks, and for each column the stretches and numbers.
    static func decodeAll(_ segment: [UInt8]) throws -> [(
        id: UInt32, times: [Int64], columns: [(runs: [UInt32], was: Bool, values: [UInt64])]
    )] {
        let zstd = try ZstdDecompressor()
        return try segment.withBytes { bytes in
            let directory = try SegmentDirectory(bytes, zstd: zstd)
            var decoder = SegmentDecoder(directory)
            for family in 0..<directory.familyCount {
                let range = directory.frame(family)
                guard range.upperBound <= bytes.count else { throw DamagedData("a frame beyond the end") }
                decoder.load(family, try directory.inflate(UnsafeRawBufferPointer(rebasing: bytes[range]), family: family, zstd: zstd))
            }
            var all: [(id: UInt32, times: [Int64], columns: [(runs: [UInt32], was: Bool, values: [UInt64])])] = []
            for (index, source) in directory.sources.enumerated() {
                var columns: [(runs: [UInt32], was: Bool, values: [UInt64])] = []
                for column in 0..<source.columnCount {
                    columns.append(
                        (
                            directory.runs(source: index, column: column), directory.wasPresent(source: index, column: column),
                            try decoder.values(source: index, column: column)
                        ))
                }
                all.append((source.id, directory.times(source: index), columns))
            }
            return all
        }
    }
}
