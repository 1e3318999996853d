import Fleet
import Testing
import TimeSeries

@Suite("Segments")
struct SegmentTests {
    @Test("any readings decode to the same bits, gaps and all", arguments: 0..<120)
    func roundTrip(seed: Int) throws {
        var dice = Dice(seed: UInt64(seed))
        var inputs: [SegmentInput] = []
        let motions = Motion.allCases.shuffled(using: &dice) + Motion.allCases.shuffled(using: &dice)
        let shared = dice.chance(50)
        var layout: SourceLayout?
        for id in 1...Int.random(in: 1...5, using: &dice) {
            let ticks = [1, 2, 3, 17, 60, 300].randomElement(using: &dice) ?? 1
            let columns = shared ? motions : Array(motions.shuffled(using: &dice).prefix(Int.random(in: 1...28, using: &dice)))
            let (made, block) = BlockMaker.make(ticks: ticks, gapPercent: dice.chance(50) ? 0 : 10, dice: &dice, motions: columns)
            if shared, layout == nil { layout = made }
            inputs.append(SegmentInput(id: UInt32(id * 3), layout: shared ? layout ?? made : made, block: block))
        }
        let encoder = try SegmentEncoder()
        let segment = try encoder.encode(inputs)
        let decoded = try SegmentDirectory.decodeAll(segment)
        try #require(decoded.count == inputs.count)
        for (input, output) in zip(inputs, decoded) {
            #expect(output.id == input.id)
            #expect(output.times == input.block.times)
            for column in 0..<input.block.columnCount {
                let ticks = input.block.times.count
                let range = column * ticks..<(column + 1) * ticks
                let expected = range.filter { input.block.presence.isEmpty || input.block.presence[$0] }.map { input.block.values[$0] }
                #expect(output.columns[column].values == expected, "column \(column) \(input.layout.columns[column].metric)")
                #expect(output.columns[column].was == input.block.wasPresent[column])
                var present: [Bool] = []
                for (index, run) in output.columns[column].runs.enumerated() {
                    present += Array(repeating: index % 2 == 0, count: Int(run))
                }
                if present.isEmpty { present = Array(repeating: true, count: ticks) }
                #expect(present == range.map { input.block.presence.isEmpty || input.block.presence[$0] })
            }
        }
    }

    private static func sample(seed: UInt64) throws -> [UInt8] {
        var dice = Dice(seed: seed)
        var inputs: [SegmentInput] = []
        for id in 1...3 {
            let (layout, block) = BlockMaker.make(ticks: 40, gapPercent: id == 2 ? 10 : 0, dice: &dice, motions: Motion.allCases)
            inputs.append(SegmentInput(id: UInt32(id), layout: layout, block: block))
        }
        let encoder = try SegmentEncoder()
        return try encoder.encode(inputs)
    }

    @Test("a flipped bit anywhere is an error, never other numbers")
    func flippedBits() throws {
        let segment = try SegmentTests.sample(seed: 5)
        var dice = Dice(seed: 6)
        for _ in 0..<1500 {
            var damaged = segment
            damaged[Int.random(in: 0..<damaged.count, using: &dice)] ^= 1 << UInt8.random(in: 0..<8, using: &dice)
            #expect(throws: DamagedData.self) { try SegmentDirectory.decodeAll(damaged) }
        }
    }

    @Test("a segment cut short at any byte is an error")
    func truncated() throws {
        let segment = try SegmentTests.sample(seed: 7)
        for length in stride(from: 0, to: segment.count, by: 7) {
            #expect(throws: DamagedData.self) { try SegmentDirectory.decodeAll(Array(segment[..<length])) }
        }
    }

    @Test("garbage behind right checksums is an error or numbers, never a crash", arguments: 0..<8)
    func forged(seed: Int) throws {
        let zstd = try ZstdCompressor(level: 1)
        let inflate = try ZstdDecompressor()
        var dice = Dice(seed: UInt64(seed))
        let segment = try SegmentTests.sample(seed: 9)
        var refused = 0
        for _ in 0..<600 {
            // The directory is inflated, damaged, deflated and given a right checksum again.
            let stored = Int(segment[4]) | Int(segment[5]) << 8 | Int(segment[6]) << 16
            let size = Int(segment[8]) | Int(segment[9]) << 8 | Int(segment[10]) << 16
            var directory = [UInt8](repeating: 0, count: size)
            try directory.withMutableBytes { target throws(DamagedData) in
                try segment.withBytes { bytes throws(DamagedData) in
                    try inflate.decompress(UnsafeRawBufferPointer(rebasing: bytes[16..<16 + stored]), into: target)
                }
            }
            for _ in 0..<Int.random(in: 1...4, using: &dice) {
                directory[Int.random(in: 0..<size, using: &dice)] = UInt8.random(in: 0...255, using: &dice)
            }
            if dice.chance(20) { directory.removeLast(Int.random(in: 1..<size, using: &dice)) }
            let compressed = try zstd.compress(directory)
            var forged = ByteWriter()
            forged.append(Array(segment[..<4]))
            forged.word32(UInt32(compressed.count))
            forged.word32(UInt32(directory.count))
            let sizes = Checksum.crc32c(forged.bytes)
            forged.word32(compressed.withUnsafeBytes { Checksum.crc32c($0, after: sizes) })
            forged.append(compressed)
            forged.append(Array(segment[(16 + stored)...]))
            do { _ = try SegmentDirectory.decodeAll(forged.bytes) } catch { refused += 1 }
        }
        #expect(refused > 0)
    }

    @Test("random bytes are refused")
    func noise() {
        var dice = Dice(seed: 11)
        for _ in 0..<500 {
            let bytes = (0..<Int.random(in: 0..<200, using: &dice)).map { _ in UInt8.random(in: 0...255, using: &dice) }
            #expect(throws: DamagedData.self) { try SegmentDirectory.decodeAll(bytes) }
        }
    }

    @Test("CRC-32C gives the check value of its definition, in one piece and in two")
    func checksum() {
        let digits = Array("123456789".utf8)
        #expect(Checksum.crc32c(digits) == 0xe306_9283)
        let long = Array((0..<100).map { UInt8($0) })
        let first = Checksum.crc32c(Array(long[..<37]))
        #expect(Array(long[37...]).withUnsafeBytes { Checksum.crc32c($0, after: first) } == Checksum.crc32c(long))
    }
}
