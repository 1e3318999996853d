import TimeSeries

/// A tick on its way to the disk.
struct PendingTick: Sendable {
    let sequence: Int64
    let host: String
    /// Rows of the host's sources, behind a checksum.
    let data: [UInt8]
    /// Sources that no file knows yet.
    let newSources: [SourceRecord]
    let samples: Int
    /// The latest reading's time, in milliseconds.
    let time: Int64
}

/// A source with its layout's number, as files keep it.
struct SourceRecord: Sendable {
    let source: StoredSource
    let layout: Int64
}

/// `head.db`: the ticks that are in no segment yet, one row each, and the sources they speak of.
///
/// One connection, used by the writer's thread alone; nobody else opens the file while the store is open.
struct HeadDatabase: ~Copyable {
    /// The write-ahead log is copied back and cut when it is longer: 64 MiB, in pages.
    static let longestLogPages = (64 << 20) / 4096
    static let version: Int64 = 1
    static let applicationID: Int64 = 0x5374_7744

    let connection: SQLiteConnection
    private let insertTick: SQLiteStatement
    private let insertSource: SQLiteStatement
    private let insertLayout: SQLiteStatement
    private let deleteTick: SQLiteStatement

    /// Opens the file, makes it when it is new, recovers it after a crash.
    static func open(path: String, vfs: String?) throws(StorageError) -> HeadDatabase {
        let connection = try SQLiteConnection(path, .create, vfs: vfs)
        try connection.execute(
            """
            PRAGMA locking_mode=EXCLUSIVE; PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;
            PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=OFF; PRAGMA cache_size=-4096;
            """)
        try HeadDatabase.checkVersion(connection)
        try connection.execute(
            """
            CREATE TABLE IF NOT EXISTS layout(id INTEGER PRIMARY KEY, definition BLOB NOT NULL);
            CREATE TABLE IF NOT EXISTS source(id INTEGER PRIMARY KEY, layout INTEGER NOT NULL, labels BLOB NOT NULL);
            CREATE TABLE IF NOT EXISTS tick(sequence INTEGER PRIMARY KEY, host TEXT NOT NULL, data BLOB NOT NULL);
            """)
        let insertTick = try connection.prepare("INSERT INTO tick VALUES(?,?,?)")
        let insertSource = try connection.prepare("INSERT OR IGNORE INTO source VALUES(?,?,?)")
        let insertLayout = try connection.prepare("INSERT OR IGNORE INTO layout VALUES(?,?)")
        let deleteTick = try connection.prepare("DELETE FROM tick WHERE sequence=?")
        return HeadDatabase(
            connection: connection, insertTick: insertTick, insertSource: insertSource, insertLayout: insertLayout, deleteTick: deleteTick)
    }

    /// Marks a new file with this version; refuses a newer one and one of another program.
    static func checkVersion(_ connection: borrowing SQLiteConnection) throws(StorageError) {
        let version = try connection.integer("PRAGMA user_version")
        let application = try connection.integer("PRAGMA application_id")
        if version == 0, application == 0, try connection.integer("SELECT count(*) FROM sqlite_master") == 0 {
            try connection.execute("PRAGMA application_id=\(applicationID); PRAGMA user_version=\(HeadDatabase.version)")
            return
        }
        guard application == applicationID else { throw StorageError(.damaged, "\(connection.path) is not one of Steward's sample files") }
        guard version <= HeadDatabase.version else {
            throw StorageError(
                .newer,
                "\(connection.path) has schema version \(version), this Steward knows \(HeadDatabase.version); run the newer Steward that wrote it"
            )
        }
    }

    /// Writes ticks, and drops those that segments hold now, in one commit.
    func commit(_ ticks: [PendingTick], dropping sealed: [Int64]) throws(StorageError) {
        try connection.transaction { () throws(StorageError) in
            for tick in ticks {
                for record in tick.newSources { try write(record) }
                insertTick.bind(1, tick.sequence)
                insertTick.bind(2, tick.host)
                insertTick.bind(3, tick.data)
                try insertTick.run()
            }
            for sequence in sealed {
                deleteTick.bind(1, sequence)
                try deleteTick.run()
            }
        }
    }

    private func write(_ record: SourceRecord) throws(StorageError) {
        insertLayout.bind(1, record.layout)
        insertLayout.bind(2, record.source.layout.encoded())
        try insertLayout.run()
        insertSource.bind(1, Int64(record.source.id))
        insertSource.bind(2, record.layout)
        var labels = ByteWriter()
        labels.labels(record.source.labels)
        insertSource.bind(3, labels.bytes)
        try insertSource.run()
    }

    /// Forgets sources that neither the head nor any partition has samples of.
    func forget(_ sources: [UInt32]) throws(StorageError) {
        let statement = try connection.prepare("DELETE FROM source WHERE id=?")
        try connection.transaction { () throws(StorageError) in
            for id in sources {
                statement.bind(1, Int64(id))
                try statement.run()
            }
        }
    }

    /// Copies the log back into the file, makes it durable, and cuts the log; gives free pages back when there are many.
    func checkpoint(trimming: Bool = false) throws(StorageError) {
        if trimming { try connection.execute("PRAGMA incremental_vacuum") }
        try connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    }

    /// Makes the commits so far survive a power cut.
    func sync() throws(StorageError) { try connection.execute("PRAGMA wal_checkpoint(PASSIVE)") }

    /// The ticks in the order they were taken.
    func readTicks(_ visit: (Int64, String, [UInt8]) throws(StorageError) -> Void) throws(StorageError) {
        let statement = try connection.prepare("SELECT sequence, host, data FROM tick ORDER BY sequence")
        while try statement.step() { try visit(statement.integer(0), statement.text(1), statement.bytes(2)) }
    }
}

/// The sources that a file knows, read into an index.
struct SourceReader {
    /// Numbers of layouts, by their identity.
    private(set) var layoutNumbers: [ObjectIdentifier: Int64] = [:]
    private var layouts: [Int64: SourceLayout] = [:]
    private(set) var nextLayout: Int64 = 1

    /// The number under which files keep a layout.
    mutating func number(of layout: SourceLayout) -> Int64 {
        if let known = layoutNumbers[ObjectIdentifier(layout)] { return known }
        let number = nextLayout
        nextLayout += 1
        layoutNumbers[ObjectIdentifier(layout)] = number
        layouts[number] = layout
        return number
    }

    /// Reads the tables `layout` and `source` of a file.
    mutating func read(_ connection: borrowing SQLiteConnection, into index: inout SeriesIndex) throws(StorageError) {
        let layoutRows = try connection.prepare("SELECT id, definition FROM layout")
        while try layoutRows.step() {
            let number = layoutRows.integer(0)
            guard layouts[number] == nil else { continue }
            do throws(DamagedData) {
                let layout = index.layout(of: try SourceLayout(encoded: layoutRows.bytes(1)).columns)
                layouts[number] = layout
                layoutNumbers[ObjectIdentifier(layout)] = number
                nextLayout = max(nextLayout, number + 1)
            } catch {
                throw StorageError(.damaged, "\(connection.path): layout \(number): \(error)")
            }
        }
        let sourceRows = try connection.prepare("SELECT id, layout, labels FROM source")
        while try sourceRows.step() {
            let id = UInt32(truncatingIfNeeded: sourceRows.integer(0))
            guard index.sources[id] == nil else { continue }
            guard let layout = layouts[sourceRows.integer(1)] else {
                throw StorageError(.damaged, "\(connection.path): source \(id) has a layout that is not there")
            }
            do throws(DamagedData) {
                let labels = try sourceRows.bytes(2).withBytes { bytes throws(DamagedData) in
                    var reader = ByteReader(bytes)
                    return try reader.labels()
                }
                index.insert(StoredSource(id: id, labels: labels, layout: layout))
            } catch {
                throw StorageError(.damaged, "\(connection.path): source \(id): \(error)")
            }
        }
    }
}
