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
    private let stream: UnsafeMutablePointer<z_stream>
    private static let chunkBytes = 32 << 10

    /// Begins a stream; level 1 is fastest, 9 smallest.
    public init(level: Int = 6) throws(GzipError) {
        stream = .allocate(capacity: 1)
        guard steward_gzip_begin(stream, Int32(min(9, max(1, level)))) == Z_OK else {
            stream.deallocate()
            throw .outOfMemory
        }
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    /// Appends to `output` what the stream gives after taking in `input`; often nothing yet.
    public mutating func compress(_ input: [UInt8], into output: inout [UInt8]) {
        run(input, Z_NO_FLUSH, into: &output)
    }

    /// Appends everything held back so far, so that a reader can go on up to here.
    public mutating func flush(into output: inout [UInt8]) {
        run([], Z_SYNC_FLUSH, into: &output)
    }

    /// Appends the end of the stream; nothing may follow.
    public mutating func finish(into output: inout [UInt8]) {
        run([], Z_FINISH, into: &output)
    }

    /// zlib cannot fail here: the stream is in order and there is always room for output.
    private func run(_ input: [UInt8], _ mode: Int32, into output: inout [UInt8]) {
        input.withUnsafeBufferPointer { source in
            stream.pointee.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
            stream.pointee.avail_in = UInt32(source.count)
            repeat {
                output += [UInt8](unsafeUninitializedCapacity: GzipCompressor.chunkBytes) { buffer, count in
                    stream.pointee.next_out = buffer.baseAddress
                    stream.pointee.avail_out = UInt32(GzipCompressor.chunkBytes)
                    deflate(stream, mode)
                    count = GzipCompressor.chunkBytes - Int(stream.pointee.avail_out)
                }
            } while stream.pointee.avail_out == 0
            stream.pointee.next_in = nil
        }
    }
}

/// Decompresses a stream piece by piece; several gzip members in a row are one stream.
public struct GzipDecompressor: ~Copyable {
    private let stream: UnsafeMutablePointer<z_stream>
    private static let chunkBytes = 64 << 10
    /// Whether the last member has ended and no byte of another has come.
    private var isAtEnd = false

    /// Begins to read a stream.
    public init() throws(GzipError) {
        stream = .allocate(capacity: 1)
        guard steward_gunzip_begin(stream) == Z_OK else {
            stream.deallocate()
            throw .outOfMemory
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Takes in `input` and hands on what it holds, in pieces of at most 64 KiB, so that no input makes more than that at once.
    public mutating func decompress(_ input: [UInt8], _ body: ([UInt8]) -> Void) throws(GzipError) {
        var status = Z_OK
        var offset = 0
        while offset < input.count || status == Z_OK {
            if isAtEnd {
                guard offset < input.count else { return }
                inflateReset(stream)
                isAtEnd = false
            }
            let before = offset
            let piece = step(input, &offset, &status)
            if !piece.isEmpty { body(piece) }
            switch status {
            case Z_STREAM_END: isAtEnd = true
            case Z_OK where offset > before || !piece.isEmpty: break
            case Z_OK, Z_BUF_ERROR: return
            case Z_MEM_ERROR: throw .outOfMemory
            default: throw .damaged(stream.pointee.msg.map { String(cString: $0) } ?? "zlib's error \(status)")
            }
        }
    }

    /// Fails where the stream has begun and not ended.
    public func finish() throws(GzipError) {
        if !isAtEnd { throw .cutOff }
    }

    private func step(_ input: [UInt8], _ offset: inout Int, _ status: inout Int32) -> [UInt8] {
        input.withUnsafeBufferPointer { source in
            let rest = UnsafeBufferPointer(rebasing: source[offset...])
            stream.pointee.next_in = UnsafeMutablePointer(mutating: rest.baseAddress)
            stream.pointee.avail_in = UInt32(rest.count)
            let piece = [UInt8](unsafeUninitializedCapacity: GzipDecompressor.chunkBytes) { buffer, count in
                stream.pointee.next_out = buffer.baseAddress
                stream.pointee.avail_out = UInt32(GzipDecompressor.chunkBytes)
                status = inflate(stream, Z_NO_FLUSH)
                count = GzipDecompressor.chunkBytes - Int(stream.pointee.avail_out)
            }
            offset = source.count - Int(stream.pointee.avail_in)
            stream.pointee.next_in = nil
            return piece
        }
    }
}
