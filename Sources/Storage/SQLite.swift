import GRDBSQLite

/// Why the store could not do something.
public struct StorageError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of failure it is, for code that must tell them apart.
    public enum Reason: String, Sendable {
        /// The disk, or the quota, is full.
        case full
        /// The folder or file cannot be written.
        case readOnly
        /// Another process has the folder.
        case locked
        /// A newer Steward wrote it.
        case newer
        /// The bytes are not what was written.
        case damaged
        /// Anything else.
        case other
    }

    /// The kind of failure.
    public let reason: Reason
    /// What failed, on which file, why, what to do next.
    public let description: String

    /// An error.
    public init(_ reason: Reason, _ description: String) {
        self.reason = reason
        self.description = description
    }
}

/// Owns one connection to one SQLite file.
///
/// Not for two threads at a time.
///
/// The samples need what GRDB keeps to itself (incremental blobs, checkpoints by one connection alone), so this speaks SQLite's C.
struct SQLiteConnection: ~Copyable {
    /// How a file is opened.
    enum Access { case create, write, read }

    let handle: OpaquePointer
    let path: String

    /// Opens a file; `vfs` names a registered file system layer, nil the operating system's.
    init(_ path: String, _ access: Access, vfs: String? = nil) throws(StorageError) {
        var flags = SQLITE_OPEN_NOMUTEX
        switch access {
        case .create: flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        case .write: flags |= SQLITE_OPEN_READWRITE
        case .read: flags |= SQLITE_OPEN_READONLY
        }
        var opened: OpaquePointer?
        let code = sqlite3_open_v2(path, &opened, flags, vfs)
        guard code == SQLITE_OK, let opened else {
            let words = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "no memory"
            sqlite3_close_v2(opened)
            throw StorageError(SQLiteConnection.reason(code), "cannot open \(path): \(words)")
        }
        handle = opened
        self.path = path
        sqlite3_extended_result_codes(handle, 1)
        // A committing writer holds a partition for some milliseconds; a reader waits for it, and the writer for readers.
        sqlite3_busy_timeout(handle, 10_000)
    }

    deinit { sqlite3_close_v2(handle) }

    /// Runs statements that return nothing of interest.
    func execute(_ sql: String) throws(StorageError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw failure(code, sql) }
    }

    /// The first column of the first row as an integer.
    func integer(_ sql: String) throws(StorageError) -> Int64 {
        let statement = try prepare(sql)
        return try statement.step() ? statement.integer(0) : 0
    }

    /// The first column of the first row as text.
    func text(_ sql: String) throws(StorageError) -> String {
        let statement = try prepare(sql)
        return try statement.step() ? statement.text(0) : ""
    }

    func prepare(_ sql: String) throws(StorageError) -> SQLiteStatement {
        var prepared: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard code == SQLITE_OK, let prepared else { throw failure(code, sql) }
        return SQLiteStatement(prepared, connection: handle, path: path)
    }

    /// Runs a body in one transaction: committed when it returns, rolled back when it throws.
    func transaction(_ body: () throws(StorageError) -> Void) throws(StorageError) {
        try execute("BEGIN IMMEDIATE")
        do {
            try body()
            try execute("COMMIT")
        } catch {
            // A failed commit may or may not have ended the transaction.
            if sqlite3_get_autocommit(handle) == 0 { sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
            throw error
        }
    }

    /// Reads parts of a blob without the rest: `body` gets its size and a function that copies a range.
    func readBlob<Result>(
        table: String, column: String, row: Int64,
        _ body: (Int, (Range<Int>, UnsafeMutableRawPointer) throws(StorageError) -> Void) throws(StorageError) -> Result
    ) throws(StorageError) -> Result {
        var blob: OpaquePointer?
        let code = sqlite3_blob_open(handle, "main", table, column, row, 0, &blob)
        guard code == SQLITE_OK, let blob else { throw failure(code, "row \(row) of \(table)") }
        defer { sqlite3_blob_close(blob) }
        return try body(Int(sqlite3_blob_bytes(blob))) { range, target throws(StorageError) in
            let code = sqlite3_blob_read(blob, target, Int32(range.count), Int32(range.lowerBound))
            guard code == SQLITE_OK else { throw failure(code, "row \(row) of \(table)") }
        }
    }

    /// Copies the whole file, page by page, to a new one that is on the disk when this returns.
    ///
    /// `progress` is told how many of how many pages are done; false when it asked to stop.
    func copy(to target: String, progress: (Int, Int) -> Bool) throws(StorageError) -> Bool {
        /// Between two looks at whether to go on: 4 MiB.
        let pagesAStep: Int32 = 1024
        let copy = try SQLiteConnection(target, .create)
        guard let backup = sqlite3_backup_init(copy.handle, "main", handle, "main") else {
            throw copy.failure(sqlite3_errcode(copy.handle), "copying \(path)")
        }
        var code = sqlite3_backup_step(backup, pagesAStep)
        var goesOn = true
        while code == SQLITE_OK, goesOn {
            let total = Int(sqlite3_backup_pagecount(backup))
            goesOn = progress(total - Int(sqlite3_backup_remaining(backup)), total)
            if goesOn { code = sqlite3_backup_step(backup, pagesAStep) }
        }
        let end = sqlite3_backup_finish(backup)
        guard goesOn else { return false }
        guard code == SQLITE_DONE, end == SQLITE_OK else { throw copy.failure(code == SQLITE_DONE ? end : code, "copying \(path)") }
        return true
    }

    func failure(_ code: Int32, _ doing: String) -> StorageError {
        SQLiteConnection.failure(code, handle, path, doing)
    }

    static func failure(_ code: Int32, _ handle: OpaquePointer, _ path: String, _ doing: String) -> StorageError {
        let words = String(cString: sqlite3_errmsg(handle))
        return switch reason(code) {
        case .full: StorageError(.full, "\(path): no space left; free some, samples are kept in memory until then")
        case .readOnly: StorageError(.readOnly, "\(path): cannot be written (\(words)); samples are kept in memory until it can")
        case .damaged:
            StorageError(.damaged, "\(path): damaged (\(words)); 'steward store verify' names what is lost, a backup brings it back")
        case let reason: StorageError(reason, "\(path): \(words) (SQLite \(code)) at: \(doing.prefix(60))")
        }
    }

    private static func reason(_ code: Int32) -> StorageError.Reason {
        switch code & 0xff {
        case SQLITE_FULL: .full
        case SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_PERM: .readOnly
        case SQLITE_CORRUPT, SQLITE_NOTADB: .damaged
        case SQLITE_BUSY, SQLITE_LOCKED: .locked
        default: .other
        }
    }
}

/// Owns one prepared statement; must not outlive its connection.
struct SQLiteStatement: ~Copyable {
    private let handle: OpaquePointer
    private let connection: OpaquePointer
    private let path: String

    fileprivate init(_ handle: OpaquePointer, connection: OpaquePointer, path: String) {
        self.handle = handle
        self.connection = connection
        self.path = path
    }

    deinit { sqlite3_finalize(handle) }

    func bind(_ position: Int32, _ value: Int64) { sqlite3_bind_int64(handle, position, value) }
    func bind(_ position: Int32, _ value: String) { sqlite3_bind_text(handle, position, value, -1, copying) }

    func bind(_ position: Int32, _ value: [UInt8]) {
        _ = value.withUnsafeBytes { sqlite3_bind_blob64(handle, position, $0.baseAddress ?? emptyBlob, UInt64($0.count), copying) }
    }

    /// Goes to the next row; false after the last.
    func step() throws(StorageError) -> Bool {
        let code = sqlite3_step(handle)
        if code == SQLITE_ROW { return true }
        guard code == SQLITE_DONE else { throw SQLiteConnection.failure(code, connection, path, String(cString: sqlite3_sql(handle))) }
        return false
    }

    /// Runs to the end and makes ready for the next values.
    func run() throws(StorageError) {
        defer { sqlite3_reset(handle) }
        while try step() {}
    }

    func reset() { sqlite3_reset(handle) }
    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }
    func text(_ column: Int32) -> String { sqlite3_column_text(handle, column).map { String(cString: $0) } ?? "" }

    func bytes(_ column: Int32) -> [UInt8] {
        guard let start = sqlite3_column_blob(handle, column) else { return [] }
        return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))))
    }
}

/// SQLITE_TRANSIENT, a macro that Swift does not see: SQLite copies the bytes before it returns.
private let copying = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
/// An empty blob must not be a null pointer, which would be NULL.
private nonisolated(unsafe) let emptyBlob: UnsafeRawPointer = UnsafeRawPointer(UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1))

/// The version of the SQLite library that is running, such as `3.40.1`.
public func storeLibraryVersion() -> String { String(cString: sqlite3_libversion()) }
