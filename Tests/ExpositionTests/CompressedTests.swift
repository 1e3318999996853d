import Exposition
import Fleet
import Gzip
import Testing
import TimeSeries

@Suite("Compressed expositions")
struct CompressedTests {
    @Test("what is decompressed is the text, in pieces within their bound", arguments: [0, 1, 5000])
    func same(sources: Int) throws {
        let schemas = (0..<sources).map { index in
            SourceSchema(
                labels: LabelSet([Label("host", "h\(index)")]),
                columns: [Column(metric: "libvirt_up"), Column(metric: "steward_map_seconds_total", scale: .nanoseconds)])
        }
        var random = SeededNumbers(state: 7)
        let ticks = schemas.map { SourceTick(schema: $0, time: RenderTests.time, bits: [1, random.next()]) }
        var compressed = try CompressedExposition(ExpositionRenderer(ticks, format: .openMetrics))
        var reader = try GzipDecompressor()
        var text: [UInt8] = []
        while let piece = compressed.next() {
            #expect(piece.count <= 96 << 10)
            try reader.decompress(piece) { text += $0 }
        }
        try reader.finish()
        #expect(String(decoding: text, as: UTF8.self) == render(ticks, .openMetrics))
        #expect(compressed.lines == sources * 2 && compressed.textBytes == text.count)
    }
}
