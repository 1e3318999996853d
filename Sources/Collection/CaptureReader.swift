import Fleet
import Gzip

#if canImport(Glibc)
import Glibc
#endif

/// Reads a capture from a file, gzip or plain, record by record in bounded memory.
public struct CaptureReader: ~Copyable {
    /// The longest line: libvirt's longest XML (4 MiB) with every byte escaped.
    public static let maximumLineBytes = 32 << 20

    /// What the capture says about itself.
    public let header: CaptureHeader
    /// The file as it was named.
    public let path: String
    /// Records handed out so far.
    public private(set) var records = 0

    private var lines: LineSource

    /// Opens a capture and reads its first line.
    public init(path: String) throws(CaptureError) {
        self.path = path
        var lines = try LineSource(path: path)
        guard let first = try lines.next() else {
            throw CaptureError(
                .format, SourcePlace(file: path), "the file is empty; a capture begins with a line {\"steward-capture\": 2, …}")
        }
        header = try CaptureReader.parse(first, lines.place(), .format) { json throws(CaptureLineError) in try CaptureHeader(json: json) }
        self.lines = lines
    }

    /// The next record, or nil after the last; an error names the file and the line, and nothing after it is read.
    public mutating func next() throws(CaptureError) -> CaptureRecord? {
        let line: [UInt8]?
        do { line = try lines.next() } catch {
            guard error.reason == .cutOff else { throw error }
            throw CaptureError(.cutOff, error.place, "\(error.message); the \(records) records before it are whole")
        }
        guard let line else { return nil }
        let record = try CaptureReader.parse(line, lines.place(), .line) { json throws(CaptureLineError) in try CaptureRecord(json: json) }
        records += 1
        return record
    }

    private static func parse<Value>(
        _ line: [UInt8], _ place: SourcePlace, _ reason: CaptureError.Reason, _ make: (JSONValue) throws(CaptureLineError) -> Value
    ) throws(CaptureError) -> Value {
        let json: JSONValue
        do { json = try JSONReader.read(line[...]) } catch {
            let at = SourcePlace(file: place.file, line: place.line, column: error.column)
            let advice = reason == .format ? "this is no capture" : "remove the line or record anew"
            throw CaptureError(reason, at, "not a line of a capture: \(error.message); \(advice)")
        }
        do { return try make(json) } catch { throw CaptureError(reason, place, error.message) }
    }
}

/// The lines of a file, decompressed where it begins like gzip.
private struct LineSource: ~Copyable {
    /// gzip makes at most about a thousand times as much of it.
    private static let readBytes = 16 << 10

    private let path: String
    private let descriptor: Int32
    private var gzip: GzipDecompressor?
    private var isAtEnd = false
    /// Whether the gzip data ended before its end.
    private var isCutOff = false
    private var buffer: [UInt8] = []
    private var consumed = 0
    /// Bytes of the buffer that were searched for a line end already.
    private var searched = 0
    private var line = 0

    init(path: String) throws(CaptureError) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CaptureError(.file, SourcePlace(file: path), "cannot be opened: \(String(cString: strerror(errno)))")
        }
        let first = try read()
        if first.starts(with: [0x1f, 0x8b]) {
            do { gzip = try GzipDecompressor() } catch { throw CaptureError(.file, SourcePlace(file: path), error.description) }
        }
        try take(first)
    }

    deinit { close(descriptor) }

    func place() -> SourcePlace { SourcePlace(file: path, line: line) }

    /// The next line without its end; blank lines are skipped.
    mutating func next() throws(CaptureError) -> [UInt8]? {
        while true {
            let end = buffer[searched...].firstIndex(of: 10)
            let here = SourcePlace(file: path, line: line + 1)
            guard (end ?? buffer.count) - consumed <= CaptureReader.maximumLineBytes else {
                throw CaptureError(.line, here, "a line of more than \(CaptureReader.maximumLineBytes) bytes; this is no capture")
            }
            if let end {
                line += 1
                let content = Array(buffer[consumed..<end])
                consumed = end + 1
                searched = consumed
                if content.allSatisfy({ $0 == 32 || $0 == 9 || $0 == 13 }) { continue }
                return content
            }
            searched = buffer.count
            if isAtEnd {
                guard consumed == buffer.count else { throw CaptureError(.cutOff, here, "the capture ends in the middle of this line") }
                guard !isCutOff else { throw CaptureError(.cutOff, here, "the capture's gzip data ends in the middle") }
                return nil
            }
            try take(try read())
        }
    }

    private mutating func take(_ piece: [UInt8]) throws(CaptureError) {
        buffer.removeFirst(consumed)
        searched -= consumed
        consumed = 0
        isAtEnd = piece.isEmpty
        guard gzip != nil else {
            buffer += piece
            return
        }
        let here = SourcePlace(file: path, line: line + 1)
        var decompressed: [UInt8] = []
        do {
            if piece.isEmpty {
                try gzip?.finish()
            } else {
                try gzip?.decompress(piece) { decompressed += $0 }
            }
        } catch GzipError.cutOff {
            // The whole lines that were decompressed are handed out first.
            isCutOff = true
        } catch {
            throw CaptureError(.line, here, "\(error); nothing after the lines before it can be read")
        }
        buffer += decompressed
    }

    private func read() throws(CaptureError) -> [UInt8] {
        var result = 0
        let piece = [UInt8](unsafeUninitializedCapacity: LineSource.readBytes) { bytes, count in
            repeat { result = Glibc.read(descriptor, bytes.baseAddress, bytes.count) } while result < 0 && errno == EINTR
            count = max(0, result)
        }
        guard result >= 0 else { throw CaptureError(.file, place(), "cannot be read: \(String(cString: strerror(errno)))") }
        return piece
    }
}
