import Fleet
import Gzip

#if canImport(Glibc)
import Glibc
#endif

/// Writes a capture to a gzip file, tick by tick.
///
/// Everything goes to `FILE.part`, which `finish` renames to `FILE`: a capture under its own name is always whole. What was flushed
/// before a crash can still be read from the `.part` file, up to its end.
public struct CaptureWriter: ~Copyable {
    /// The file that `finish` makes.
    public let path: String
    /// Records written so far.
    public private(set) var records = 0

    private let partialPath: String
    private let descriptor: Int32
    private var gzip: GzipCompressor
    private var pending: [UInt8] = []
    /// Text is handed to gzip in pieces of this size.
    private static let pieceBytes = 64 << 10

    /// Creates `path` with `.part` appended, overwriting one left behind; an existing `path` itself is refused.
    public init(path: String, header: CaptureHeader) throws(CaptureError) {
        let descriptor = try CaptureWriter.create(path)
        do { gzip = try GzipCompressor() } catch {
            close(descriptor)
            throw CaptureError(.file, SourcePlace(file: path), error.description)
        }
        self.path = path
        partialPath = path + ".part"
        self.descriptor = descriptor
        append(header.json)
    }

    private static func create(_ path: String) throws(CaptureError) -> Int32 {
        guard access(path, F_OK) != 0 else {
            throw CaptureError(.file, SourcePlace(file: path), "exists already; name another file or remove it")
        }
        let descriptor = open(path + ".part", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else {
            throw CaptureError(.file, SourcePlace(file: path + ".part"), "cannot be created: \(String(cString: strerror(errno)))")
        }
        return descriptor
    }

    deinit { close(descriptor) }

    /// Adds one record; it reaches the file with the next `flush`, or before.
    public mutating func append(_ record: CaptureRecord) throws(CaptureError) {
        append(record.json)
        records += 1
        if pending.count >= CaptureWriter.pieceBytes { try drain { gzip, bytes, output in gzip.compress(bytes, into: &output) } }
    }

    /// Brings everything so far into the file, so that a reader of the file gets it: at the end of a tick.
    public mutating func flush() throws(CaptureError) {
        try drain { gzip, bytes, output in
            gzip.compress(bytes, into: &output)
            gzip.flush(into: &output)
        }
    }

    /// Ends the capture, brings it to the disk and gives it its name.
    public consuming func finish() throws(CaptureError) {
        try drain { gzip, bytes, output in
            gzip.compress(bytes, into: &output)
            gzip.finish(into: &output)
        }
        guard fsync(descriptor) == 0, rename(partialPath, path) == 0 else {
            throw CaptureError(.file, SourcePlace(file: partialPath), "cannot be completed: \(String(cString: strerror(errno)))")
        }
    }

    private mutating func append(_ json: JSONValue) {
        json.write(to: &pending)
        pending.append(10)
    }

    private mutating func drain(_ body: (inout GzipCompressor, [UInt8], inout [UInt8]) -> Void) throws(CaptureError) {
        var output: [UInt8] = []
        body(&gzip, pending, &output)
        pending.removeAll(keepingCapacity: true)
        var written = 0
        while written < output.count {
            let count = output[written...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw CaptureError(.file, SourcePlace(file: partialPath), "cannot be written: \(String(cString: strerror(errno)))")
            }
            written += count
        }
    }
}
