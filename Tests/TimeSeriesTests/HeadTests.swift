import Fleet
import Testing
import TimeSeries

@Suite("The head")
struct HeadTests {
    @Test("rows come back as they went in, gaps and all", arguments: 0..<40)
    func roundTrip(seed: Int) throws {
        var dice = Dice(seed: UInt64(seed))
        let (layout, block) = BlockMaker.make(
            ticks: 150, gapPercent: seed % 2 * 8, dice: &dice, motions: Motion.allCases + Motion.allCases.shuffled(using: &dice))
        var stream = HeadStream(StoredSource(id: 1, labels: LabelSet([]), layout: layout))
        HeadTests.fill(&stream, from: block, ticks: 0..<150)
        let read = try #require(try stream.block(extents: stream.extentCount))
        #expect(read.duplicates == 0)
        #expect(read.block.times == block.times)
        #expect(HeadTests.present(read.block) == HeadTests.present(block))
        #expect(read.block.wasPresent.allSatisfy { !$0 })
    }

    @Test("a snapshot keeps its length while the writer goes on")
    func snapshot() throws {
        var dice = Dice(seed: 77)
        let (layout, block) = BlockMaker.make(ticks: 100, gapPercent: 0, dice: &dice, motions: Motion.allCases)
        var stream = HeadStream(StoredSource(id: 1, labels: LabelSet([]), layout: layout))
        HeadTests.fill(&stream, from: block, ticks: 0..<40)
        let snapshot = stream
        HeadTests.fill(&stream, from: block, ticks: 40..<100)
        let column = try #require(layout.columns.firstIndex { $0.kind == .unsigned })
        let early = try snapshot.pieces(columns: [column], from: .min, through: .max)[0]
        let late = try stream.pieces(columns: [column], from: .min, through: .max)[0]
        #expect(early.milliseconds == Array(block.times[..<40]))
        #expect(late.milliseconds == block.times)
        #expect(early.values == Array(late.values[..<40]))
    }

    @Test("a stale marker stands where a number is missing after one was there, in the head as in a segment", arguments: 0..<30)
    func staleness(seed: Int) throws {
        var dice = Dice(seed: UInt64(seed) + 500)
        let (layout, block) = BlockMaker.make(ticks: 90, gapPercent: 15, dice: &dice, motions: [.counter, .gauge, .still, .quanta])
        var stream = HeadStream(StoredSource(id: 4, labels: LabelSet([]), layout: layout))
        HeadTests.fill(&stream, from: block, ticks: 0..<90)
        let columns = Array(layout.columns.indices)
        let fromHead = try stream.pieces(columns: columns, from: .min, through: .max)
        let sealed = try #require(try stream.block(extents: stream.extentCount)?.block)
        let encoder = try SegmentEncoder()
        let segment = try encoder.encode([SegmentInput(id: 4, layout: layout, block: sealed)])
        let decoded = try #require(try SegmentDirectory.decodeAll(segment).first)
        for column in columns {
            let (runs, was, values) = decoded.columns[column]
            let piece = SeriesPiece(times: decoded.times, runs: runs, wasPresent: was, native: values, column: layout.columns[column])
            #expect(piece.milliseconds == fromHead[column].milliseconds)
            #expect(piece.values.map(\.bitPattern) == fromHead[column].values.map(\.bitPattern))
            // The rule itself, said another way.
            var expected: [(Int64, Bool)] = []
            for tick in 0..<90 {
                let isPresent = block.presence[column * 90 + tick]
                let before = tick > 0 && block.presence[column * 90 + tick - 1]
                if isPresent || before { expected.append((block.times[tick], !isPresent)) }
            }
            #expect(piece.milliseconds == expected.map(\.0))
            #expect(piece.values.map { $0.bitPattern == SampleRun.staleBits } == expected.map(\.1))
        }
    }

    @Test("of readings out of order and with equal times, sorting keeps the first and counts the rest")
    func late() throws {
        let layout = SourceLayout(columns: [Column(metric: "m")])
        var stream = HeadStream(StoredSource(id: 1, labels: LabelSet([]), layout: layout))
        for (time, value) in [(30, 1), (10, 2), (20, 3), (10, 4), (30, 5)] {
            _ = stream.append(time: Int64(time), bits: [UInt64(value)], presence: [])
        }
        let read = try #require(try stream.block(extents: stream.extentCount))
        #expect(read.block.times == [10, 20, 30])
        #expect(read.block.values == [2, 3, 1])
        #expect(read.duplicates == 2)
        let piece = try stream.pieces(columns: [0], from: 0, through: 100)[0]
        #expect(piece.milliseconds == [10, 20, 30])
        #expect(piece.values == [2, 3, 1])
    }

    @Test("pieces merge: the earlier one's sample stays, a number beats a stale marker")
    func merging() {
        let stale = SampleRun.staleMarker
        let run = SeriesPiece.merge([
            SeriesPiece(milliseconds: [1, 3, 5], values: [1, stale, 5]), SeriesPiece(milliseconds: [2, 3, 5], values: [20, 30, 50]),
            SeriesPiece(milliseconds: [6], values: [6]), SeriesPiece(milliseconds: [0], values: [0]),
        ])
        #expect(run.milliseconds == [0, 1, 2, 3, 5, 6])
        #expect(run.values == [0, 1, 20, 30, 5, 6])
    }

    static func fill(_ stream: inout HeadStream, from block: TickBlock, ticks: Range<Int>) {
        let count = block.times.count
        for tick in ticks {
            let bits = (0..<block.columnCount).map { block.values[$0 * count + tick] }
            let presence = block.presence.isEmpty ? [] : (0..<block.columnCount).map { block.presence[$0 * count + tick] }
            _ = stream.append(time: block.times[tick], bits: bits, presence: presence)
        }
    }

    static func present(_ block: TickBlock) -> [UInt64?] {
        block.values.indices.map { block.presence.isEmpty || block.presence[$0] ? block.values[$0] : nil }
    }
}
