import Glibc
import Synchronization
import TimeSeries

/// What is known of a segment without reading it.
struct SegmentEntry: Sendable {
    let row: Int64
    /// The earliest and latest tick, in milliseconds.
    let first: Int64
    let last: Int64
    /// Readings that came out of order: merged behind the others.
    let isLate: Bool
    let samples: Int
    let bytes: Int
    /// The sources, ascending.
    let sources: [UInt32]
}

/// A segment that is about to be written.
struct NewSegment: Sendable {
    let first: Int64
    let last: Int64
    let isLate: Bool
    let samples: Int
    let sources: [SourceRecord]
    let data: [UInt8]
}

/// One file of sealed segments.
///
/// Append-only: a segment, once written, never changes; the file goes as a whole.
///
/// Rollback journal rather than write-ahead log, so that between commits the file alone is everything and can be copied. `auto_vacuum`
/// buys SQLite's pointer map, with which the end of a large blob is found without walking through its pages.
final class Partition: @unchecked Sendable {
    // @unchecked: the reading connection is touched under `lock` only.
    /// The number in the file's name, rising.
    let number: Int
    let path: String
    private let vfs: String?
    private let lock = Mutex(())
    private var reader: SQLiteConnection?

    static let pageBytes = 4096

    init(number: Int, path: String, vfs: String?) {
        self.number = number
        self.path = path
        self.vfs = vfs
    }

    static func fileName(_ number: Int) -> String {
        let digits = String(number)
        return "samples-\(String(repeating: "0", count: max(0, 8 - digits.count)))\(digits).db"
    }

    static func number(ofFile name: String) -> Int? {
        guard name.hasPrefix("samples-"), name.hasSuffix(".db") else { return nil }
        return Int(name.dropFirst(8).dropLast(3))
    }

    /// Makes the file when it is new; recovers it after a crash; returns what it holds.
    func open(_ sources: inout SourceReader, _ index: inout SeriesIndex) throws(StorageError) -> (
        entries: [SegmentEntry], sealed: [(String, Int64)]
    ) {
        let connection = try openForWriting()
        try sources.read(connection, into: &index)
        let entries = try Partition.entries(connection)
        var sealed: [(String, Int64)] = []
        let marks = try connection.prepare("SELECT host, through FROM sealed ORDER BY host")
        while try marks.step() { sealed.append((marks.text(0), marks.integer(1))) }
        return (entries, sealed)
    }

    private static func entries(_ connection: borrowing SQLiteConnection) throws(StorageError) -> [SegmentEntry] {
        let rows = try connection.prepare("SELECT id, first, last, late, samples, length(data), sources FROM segment ORDER BY id")
        var entries: [SegmentEntry] = []
        while try rows.step() {
            do throws(DamagedData) {
                let ids = try rows.bytes(6).withBytes { bytes throws(DamagedData) in try Partition.decodeSources(bytes) }
                entries.append(
                    SegmentEntry(
                        row: rows.integer(0), first: rows.integer(1), last: rows.integer(2), isLate: rows.integer(3) != 0,
                        samples: Int(rows.integer(4)), bytes: Int(rows.integer(5)), sources: ids))
            } catch {
                throw StorageError(.damaged, "\(connection.path): segment \(rows.integer(0)): \(error)")
            }
        }
        return entries
    }

    /// What the file holds, read without writing: its own sources, and its segments.
    func catalogue() throws(StorageError) -> (sources: [UInt32: StoredSource], entries: [SegmentEntry]) {
        let connection = try SQLiteConnection(path, .read, vfs: vfs)
        try HeadDatabase.checkVersion(connection)
        var reader = SourceReader()
        var index = SeriesIndex()
        try reader.read(connection, into: &index)
        return (index.sources, try Partition.entries(connection))
    }

    /// The earliest and latest time of all segments; nil where there is none.
    func span() throws(StorageError) -> ClosedRange<Int64>? {
        let connection = try SQLiteConnection(path, .read, vfs: vfs)
        try HeadDatabase.checkVersion(connection)
        guard try connection.integer("SELECT count(*) FROM segment") > 0 else { return nil }
        let first = try connection.integer("SELECT min(first) FROM segment")
        return first...max(first, try connection.integer("SELECT max(last) FROM segment"))
    }

    /// The same file under another name; nobody has it open yet.
    func renamed(_ path: String) -> Partition { Partition(number: number, path: path, vfs: vfs) }

    /// Makes the file.
    func create() throws(StorageError) { _ = try openForWriting() }

    private func openForWriting() throws(StorageError) -> SQLiteConnection {
        let connection = try SQLiteConnection(path, .create, vfs: vfs)
        try connection.execute(
            """
            PRAGMA page_size=\(Partition.pageBytes); PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL;
            PRAGMA secure_delete=OFF; PRAGMA cache_size=-2048;
            """)
        try HeadDatabase.checkVersion(connection)
        try connection.execute(
            """
            CREATE TABLE IF NOT EXISTS layout(id INTEGER PRIMARY KEY, definition BLOB NOT NULL);
            CREATE TABLE IF NOT EXISTS source(id INTEGER PRIMARY KEY, layout INTEGER NOT NULL, labels BLOB NOT NULL);
            CREATE TABLE IF NOT EXISTS sealed(host TEXT PRIMARY KEY, through INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS segment(id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
              late INTEGER NOT NULL, samples INTEGER NOT NULL, sources BLOB NOT NULL, data BLOB NOT NULL);
            """)
        return connection
    }

    /// Adds segments and the marks up to which each host is sealed, in one durable commit.
    ///
    /// `known` are sources already in the file.
    func append(_ segments: [NewSegment], sealed: [(host: String, through: Int64)], known: inout Set<UInt32>) throws(StorageError)
        -> [SegmentEntry]
    {
        let connection = try openForWriting()
        let layout = try connection.prepare("INSERT OR IGNORE INTO layout VALUES(?,?)")
        let source = try connection.prepare("INSERT OR IGNORE INTO source VALUES(?,?,?)")
        let insert = try connection.prepare("INSERT INTO segment(first,last,late,samples,sources,data) VALUES(?,?,?,?,?,?) RETURNING id")
        let mark = try connection.prepare(
            "INSERT INTO sealed VALUES(?,?) ON CONFLICT(host) DO UPDATE SET through=max(through,excluded.through)")
        var entries: [SegmentEntry] = []
        var written = known
        try connection.transaction { () throws(StorageError) in
            for segment in segments {
                for record in segment.sources where written.insert(record.source.id).inserted {
                    layout.bind(1, record.layout)
                    layout.bind(2, record.source.layout.encoded())
                    try layout.run()
                    var labels = ByteWriter()
                    labels.labels(record.source.labels)
                    source.bind(1, Int64(record.source.id))
                    source.bind(2, record.layout)
                    source.bind(3, labels.bytes)
                    try source.run()
                }
                let ids = segment.sources.map(\.source.id)
                insert.bind(1, segment.first)
                insert.bind(2, segment.last)
                insert.bind(3, segment.isLate ? 1 : 0)
                insert.bind(4, Int64(segment.samples))
                insert.bind(5, Partition.encodeSources(ids))
                insert.bind(6, segment.data)
                guard try insert.step() else { throw StorageError(.other, "\(path): an inserted segment has no number") }
                entries.append(
                    SegmentEntry(
                        row: insert.integer(0), first: segment.first, last: segment.last, isLate: segment.isLate, samples: segment.samples,
                        bytes: segment.data.count, sources: ids))
                insert.reset()
            }
            for (host, through) in sealed {
                mark.bind(1, host)
                mark.bind(2, through)
                try mark.run()
            }
        }
        known = written
        return entries
    }

    /// Opens the reading connection, so that a snapshot can go on reading after the file's name is gone.
    func pin() throws(StorageError) {
        try lock.withLock { _ throws(StorageError) in try ensureOpen() }
    }

    private func ensureOpen() throws(StorageError) {
        guard reader == nil else { return }
        let opened = try SQLiteConnection(path, .read, vfs: vfs)
        try opened.execute("PRAGMA cache_size=-512")
        reader = consume opened
    }

    /// Reads ranges of a segment: `body` gets its size and a function that copies a range; the file is locked no longer than that.
    func read<Result: Sendable>(
        _ entry: SegmentEntry,
        _ body: (Int, (Range<Int>, UnsafeMutableRawPointer) throws(StorageError) -> Void) throws(StorageError) -> Result
    ) throws(StorageError) -> Result {
        try lock.withLock { _ throws(StorageError) in
            try ensureOpen()
            guard let result = try reader?.readBlob(table: "segment", column: "data", row: entry.row, body) else {
                throw StorageError(.other, "\(path): not open")
            }
            return result
        }
    }

    /// A whole segment.
    func readAll(_ entry: SegmentEntry) throws(StorageError) -> [UInt8] {
        try read(entry) { size, copy throws(StorageError) in
            var bytes = [UInt8](repeating: 0, count: size)
            try bytes.withMutableBytes { target throws(StorageError) in
                if let start = target.baseAddress { try copy(0..<size, start) }
            }
            return bytes
        }
    }

    /// Bytes of everything in the file but segments; nil where it cannot be read.
    func indexBytes() -> Int? {
        lock.withLock { _ in
            do throws(StorageError) {
                try ensureOpen()
                let sum = """
                    SELECT (SELECT coalesce(sum(length(definition)),0) FROM layout)
                      + (SELECT coalesce(sum(length(labels)+4),0) FROM source)
                      + (SELECT coalesce(sum(length(sources)+24),0) FROM segment) + (SELECT coalesce(sum(length(host)+8),0) FROM sealed)
                    """
                guard let bytes = try reader?.integer(sum) else { return nil }
                return Int(bytes)
            } catch { return nil }
        }
    }

    /// Copies the file as it is after the last commit.
    func copy(to target: String, progress: (Int, Int) -> Bool) throws(StorageError) -> Bool {
        let source = try SQLiteConnection(path, .read, vfs: vfs)
        return try source.copy(to: target, progress: progress)
    }

    /// What SQLite itself says of the file: "ok", or what is wrong.
    func integrityCheck() throws(StorageError) -> String {
        let connection = try SQLiteConnection(path, .read, vfs: vfs)
        return try connection.text("PRAGMA integrity_check(1)")
    }

    /// Takes the file away: readers that have it keep it until they are done.
    func remove() throws(StorageError) {
        try pin()
        let gone = path + ".gone"
        guard rename(path, gone) == 0, unlink(gone) == 0 else {
            throw StorageError(.readOnly, "cannot remove \(path): \(DataFolder.systemError())")
        }
    }

    private static func encodeSources(_ ids: [UInt32]) -> [UInt8] {
        var writer = ByteWriter()
        writer.varint(ids.count)
        var previous: UInt32 = 0
        for id in ids {
            writer.varint(UInt64(id - previous))
            previous = id
        }
        return writer.bytes
    }

    private static func decodeSources(_ bytes: UnsafeRawBufferPointer) throws(DamagedData) -> [UInt32] {
        var reader = ByteReader(bytes)
        var ids: [UInt32] = []
        var id: UInt64 = 0
        for _ in 0..<(try reader.count(atMost: 1 << 20, "sources")) {
            id += UInt64(try reader.count(atMost: Int(UInt32.max), "as a source's number"))
            guard id <= UInt64(UInt32.max) else { throw DamagedData("a source's number beyond 32 bits") }
            ids.append(UInt32(id))
        }
        return ids
    }
}
