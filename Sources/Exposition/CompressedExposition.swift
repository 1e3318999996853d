import Gzip

/// A text exposition as a gzip stream, in pieces that are pulled one by one like the renderer's own.
///
/// Holds what the renderer holds and 330 KiB more.
public struct CompressedExposition: ~Copyable {
    /// Level 1 shrinks the text fourfold to fivefold even with random numbers in it; higher levels cost several times the CPU.
    private static let level = 1
    /// Output is handed on when there is this much of it.
    private static let pieceBytes = 16 << 10

    /// Lines written so far, `#` lines not counted.
    public var lines: Int { renderer.lines }
    /// Bytes of text written so far, before compression.
    public private(set) var textBytes = 0

    private var renderer: ExpositionRenderer
    private var gzip: GzipCompressor
    private var isFinished = false

    /// Begins with a renderer that has not been pulled from; fails only when zlib gets no memory.
    public init(_ renderer: ExpositionRenderer) throws(GzipFailure) {
        self.renderer = renderer
        do { gzip = try GzipCompressor(level: CompressedExposition.level) } catch { throw GzipFailure(description: error.description) }
    }

    /// The next piece, or nil after the last; at most 96 KiB.
    public mutating func next() -> [UInt8]? {
        var output: [UInt8] = []
        while !isFinished, output.count < CompressedExposition.pieceBytes {
            if let piece = renderer.next() {
                textBytes += piece.count
                gzip.compress(piece, into: &output)
            } else {
                gzip.finish(into: &output)
                isFinished = true
            }
        }
        return output.isEmpty ? nil : output
    }
}

/// Compression could not begin; the answer goes out uncompressed instead.
public struct GzipFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public let description: String
}
