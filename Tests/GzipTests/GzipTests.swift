import Gzip
import Testing

@Suite("Gzip")
struct GzipTests {
    static let text =
        Array(String(repeating: "All work and no play. ", count: 20_000).utf8)
        + (0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 3) }

    func compressed(_ bytes: [UInt8], pieces: Int) throws -> [UInt8] {
        var gzip = try GzipCompressor()
        var output: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: pieces) {
            gzip.compress(Array(bytes[start..<min(start + pieces, bytes.count)]), into: &output)
        }
        gzip.finish(into: &output)
        return output
    }

    func decompressed(_ bytes: [UInt8], pieces: Int) throws -> [UInt8] {
        var gzip = try GzipDecompressor()
        var output: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: pieces) {
            try gzip.decompress(Array(bytes[start..<min(start + pieces, bytes.count)])) { piece in
                output += piece
                #expect(piece.count <= 64 << 10)
            }
        }
        try gzip.finish()
        return output
    }

    @Test("what goes in comes out, in pieces of any size", arguments: [1, 7, 4096, 1 << 20], [997, 1 << 20])
    func roundTrip(write: Int, read: Int) throws {
        let bytes = write == 1 ? Array(Self.text.suffix(5000)) : Self.text
        let small = try compressed(bytes, pieces: write)
        #expect(small.starts(with: [0x1f, 0x8b]))
        #expect(try decompressed(small, pieces: read) == bytes)
    }

    @Test("nothing is a stream too, and two streams in a row are one")
    func members() throws {
        #expect(try decompressed(try compressed([], pieces: 1), pieces: 1) == [])
        let both = try compressed([1, 2], pieces: 9) + compressed([3], pieces: 9)
        #expect(try decompressed(both, pieces: 1) == [1, 2, 3])
        #expect(try decompressed(both, pieces: 100) == [1, 2, 3])
    }

    @Test("what was flushed can be read before the end")
    func flush() throws {
        var gzip = try GzipCompressor()
        var output: [UInt8] = []
        gzip.compress([5, 6, 7], into: &output)
        gzip.flush(into: &output)
        var reader = try GzipDecompressor()
        var read: [UInt8] = []
        try reader.decompress(output) { read += $0 }
        #expect(read == [5, 6, 7])
        #expect(throws: GzipError.cutOff) { try reader.finish() }
    }

    @Test("a stream cut off anywhere is told from a whole one, and a damaged one is refused")
    func cutOff() throws {
        let whole = try compressed(Array(Self.text.prefix(300)), pieces: 300)
        for length in 0..<whole.count {
            #expect(throws: GzipError.cutOff) { try decompressed(Array(whole[..<length]), pieces: 16) }
        }
        var damaged = whole
        damaged[damaged.count - 6] ^= 1
        #expect(throws: GzipError.self) { try decompressed(damaged, pieces: 1000) }
        #expect(throws: GzipError.self) { try decompressed(Array("not gzip".utf8), pieces: 1000) }
    }
}
