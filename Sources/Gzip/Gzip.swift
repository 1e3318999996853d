import CZlib

/// Why a gzip stream could not be written or read.
public enum GzipError: Error, Hashable, Sendable, CustomStringConvertible {
    /// zlib has no memory.
    case outOfMemory
    /// The bytes are no gzip stream, or damaged.
    case damaged(String)
    /// The stream ends before its end.
    case cutOff

    /// What is wrong, without a full stop.
    public var description: String {
        switch self {
        case .outOfMemory: "zlib could not get memory"
        case .damaged(let why): "the gzip data is damaged (\(why))"
        case .cutOff: "the gzip data ends in the middle"
        }
    }
}

/// Compresses a stream piece by piece (RFC 1952).
///
/// Holds about 270 KiB, whatever the length of the stream.
public struct GzipCompressor: ~Copyable {
    private let stream: OpaquePointer
    private static let chunkBytes = 32 << 10

    /// Begins a stream; level 1 is fastest, 9 smallest.
    public init(level: Int = 6) throws(GzipError) {
        guard let stream = steward_deflate_new(Int32(min(9, max(1, level)))) else { throw .outOfMemory }
        self.stream = stream
    }

    deinit { steward_zlib_free(stream) }

    /// Appends to `output` what the stream gives after taking in `input`; often nothing yet.
    public mutating func compress(_ input: [UInt8], into output: inout [UInt8]) {
        run(input, STEWARD_ZLIB_GO_ON, into: &output)
    }

    /// Appends everything held back so far, so that a reader can go on up to here.
    public mutating func flush(into output: inout [UInt8]) {
        run([], STEWARD_ZLIB_FLUSH, into: &output)
    }

    /// Appends the end of the stream; nothing may follow.
    public mutating func finish(into output: inout [UInt8]) {
        run([], STEWARD_ZLIB_FINISH, into: &output)
    }

    /// zlib cannot fail here: the stream is in order and there is always room for output.
    private func run(_ input: [UInt8], _ mode: steward_zlib_mode, into output: inout [UInt8]) {
        var offset = 0
        var isFull = false
        repeat {
            output += [UInt8](unsafeUninitializedCapacity: GzipCompressor.chunkBytes) { buffer, count in
                input.withUnsafeBufferPointer { source in
                    let rest = UnsafeBufferPointer(rebasing: source[offset...])
                    var taken = rest.count
                    count = GzipCompressor.chunkBytes
                    _ = steward_deflate(stream, rest.baseAddress, &taken, buffer.baseAddress, &count, mode)
                    offset += taken
                }
                isFull = count == GzipCompressor.chunkBytes
            }
        } while isFull
    }
}

/// Decompresses a stream piece by piece; several gzip members in a row are one stream.
public struct GzipDecompressor: ~Copyable {
    private let stream: OpaquePointer
    private static let chunkBytes = 64 << 10
    /// Whether the last member has ended and no byte of another has come.
    private var isAtEnd = false

    /// Begins to read a stream.
    public init() throws(GzipError) {
        guard let stream = steward_inflate_new() else { throw .outOfMemory }
        self.stream = stream
    }

    deinit { steward_zlib_free(stream) }

    /// Takes in `input` and hands on what it holds, in pieces of at most 64 KiB, so that no input makes more than that at once.
    public mutating func decompress(_ input: [UInt8], _ body: ([UInt8]) -> Void) throws(GzipError) {
        var status = STEWARD_ZLIB_OK
        var offset = 0
        while offset < input.count || status == STEWARD_ZLIB_OK {
            if isAtEnd {
                guard offset < input.count else { return }
                steward_inflate_next_member(stream)
                isAtEnd = false
            }
            let before = offset
            let piece = step(input, &offset, &status)
            if !piece.isEmpty { body(piece) }
            switch status {
            case STEWARD_ZLIB_END: isAtEnd = true
            case STEWARD_ZLIB_OK where offset > before || !piece.isEmpty: break
            case STEWARD_ZLIB_OK, STEWARD_ZLIB_STALLED: return
            case STEWARD_ZLIB_OUT_OF_MEMORY: throw .outOfMemory
            default:
                throw .damaged(steward_zlib_message(stream).map { String(cString: $0) } ?? "no reason given")
            }
        }
    }

    /// Fails where the stream has begun and not ended.
    public func finish() throws(GzipError) {
        if !isAtEnd { throw .cutOff }
    }

    private func step(_ input: [UInt8], _ offset: inout Int, _ status: inout steward_zlib_status) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: GzipDecompressor.chunkBytes) { buffer, count in
            input.withUnsafeBufferPointer { source in
                let rest = UnsafeBufferPointer(rebasing: source[offset...])
                var taken = rest.count
                count = GzipDecompressor.chunkBytes
                status = steward_inflate(stream, rest.baseAddress, &taken, buffer.baseAddress, &count)
                offset += taken
            }
        }
    }
}
