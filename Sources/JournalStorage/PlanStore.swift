public import Fleet
import Foundation
import GRDB
public import Plans

/// The journal of plans in SQLite (`plans.db`), with what its rows refer to: definitions, payloads, seeds, deliveries.
///
/// Every commit is on the disk before a call returns (`synchronous=FULL`). One store writes: a second one on the same folder is refused.
/// The files are their owner's alone (0600), since definitions hold secrets.
public final class PlanStore: Journal, DeliveryLog, @unchecked Sendable {
    // @unchecked: the queue serialises every access; the lock's descriptor is only closed at the end.
    private let queue: DatabaseQueue
    private let lock: Int32

    /// The largest document: libvirt's own limit on a text (4 MiB).
    public static let documentMaximum = 4 << 20

    /// Opens `plans.db` in a folder, and makes it where there is none.
    ///
    /// - Throws: ``Plans/JournalError/storage(_:)`` where a file cannot be opened or another Steward holds it.
    public init(folder: String) throws(JournalError) {
        lock = try PlanStore.takeLock(folder + "/plans.lock")
        let path = folder + "/plans.db"
        // Made before SQLite opens it, so that it is never readable by others; its WAL takes over the mode.
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        if descriptor >= 0 { close(descriptor) }
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        configuration.label = "plans"
        let settings = configuration
        let queue = try PlanStore.perform { try DatabaseQueue(path: path, configuration: settings) }
        self.queue = queue
        try PlanStore.perform {
            try queue.writeWithoutTransaction { database in
                // GRDB sets NORMAL when it turns WAL on; set here, after any such step, and read back by a test.
                try database.execute(sql: "PRAGMA journal_mode = WAL")
                try database.execute(sql: "PRAGMA synchronous = FULL")
                try database.inTransaction(.immediate) {
                    try database.execute(sql: PlanStore.schema)
                    return .commit
                }
            }
        }
    }

    deinit {
        // Closing alone would not do: a child that is just being started holds the descriptor until it runs its program.
        flock(lock, LOCK_UN)
        close(lock)
    }

    private static func takeLock(_ path: String) throws(JournalError) -> Int32 {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .storage("\(path): \(String(cString: strerror(errno)))") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw .storage("another Steward works with \(path): stop it, or give this one another data folder")
        }
        return descriptor
    }

    private static let schema = """
        CREATE TABLE IF NOT EXISTS entry (
            sequence INTEGER PRIMARY KEY CHECK (sequence > 0),
            at INTEGER NOT NULL,
            plan INTEGER,
            isSwitch INTEGER NOT NULL,
            body BLOB NOT NULL
        ) STRICT;
        CREATE INDEX IF NOT EXISTS entryByPlan ON entry (plan);
        CREATE INDEX IF NOT EXISTS entryByTime ON entry (at);
        CREATE TABLE IF NOT EXISTS openPlan (plan INTEGER PRIMARY KEY) STRICT;
        CREATE TRIGGER IF NOT EXISTS entryIsNotChanged BEFORE UPDATE ON entry
        BEGIN SELECT RAISE(ABORT, 'a row of the journal is never changed'); END;
        CREATE TABLE IF NOT EXISTS document (digest TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS seed (
            owner TEXT PRIMARY KEY, metaData TEXT NOT NULL, userData TEXT NOT NULL, networkConfig TEXT
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS delivery (id TEXT PRIMARY KEY, due INTEGER, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS fact (kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID;
        """

    /// SQLite's synchronous level and journal mode, as this connection has them: 2 is FULL.
    public func durability() throws(JournalError) -> (synchronous: Int, journalMode: String) {
        let queue = self.queue
        return try PlanStore.perform {
            try queue.read { database in
                (
                    try Int.fetchOne(database, sql: "PRAGMA synchronous") ?? -1,
                    try String.fetchOne(database, sql: "PRAGMA journal_mode") ?? ""
                )
            }
        }
    }

    // MARK: The journal

    /// Appends rows, all or none; returns only once they would survive a power cut.
    public func append(_ entries: [JournalEntry]) throws(JournalError) {
        guard !entries.isEmpty else { return }
        let queue = self.queue
        try PlanStore.perform {
            try queue.write { database in
                var expected = UInt64(try Int64.fetchOne(database, sql: "SELECT max(sequence) FROM entry") ?? 0) + 1
                for entry in entries {
                    guard entry.sequence == expected else { throw JournalError.sequence(expected: expected, found: entry.sequence) }
                    expected += 1
                    try PlanStore.insert(entry, database)
                }
            }
        }
    }

    private static func insert(_ entry: JournalEntry, _ database: Database) throws {
        let plan = entry.record.plan.map { Int64($0.number) }
        try database.execute(
            sql: "INSERT INTO entry (sequence, at, plan, isSwitch, body) VALUES (?, ?, ?, ?, ?)",
            arguments: [
                Int64(entry.sequence), entry.at.milliseconds, plan, entry.record.isSwitch ? 1 : 0, try JSONEncoder().encode(entry),
            ])
        switch entry.record {
        case .accepted: try database.execute(sql: "INSERT OR REPLACE INTO openPlan (plan) VALUES (?)", arguments: [plan])
        case .closed: try database.execute(sql: "DELETE FROM openPlan WHERE plan = ?", arguments: [plan])
        case .approved, .begun, .settled, .disarmed, .armed: break
        }
    }

    /// Every row of the plans that are not closed and of the newest plan, the last disarming or arming, every row of the last hour, and the
    /// last row of all; in order.
    public func openEntries(now: Timestamp) throws(JournalError) -> [JournalEntry] {
        let hourAgo = now - .seconds(3600)
        return try fetch(
            """
            SELECT body FROM entry WHERE plan IN (SELECT plan FROM openPlan) OR plan = (SELECT max(plan) FROM entry) OR at >= ?
            OR sequence = (SELECT max(sequence) FROM entry WHERE isSwitch = 1) OR sequence = (SELECT max(sequence) FROM entry)
            ORDER BY sequence
            """, [hourAgo.milliseconds])
    }

    /// The rows of a plan, in order; empty where there is no such plan.
    public func entries(of plan: PlanID) throws(JournalError) -> [JournalEntry] {
        try fetch("SELECT body FROM entry WHERE plan = ? ORDER BY sequence", [Int64(plan.number)])
    }

    /// The newest rows, at most `limit`, in order.
    public func newestEntries(limit: Int) throws(JournalError) -> [JournalEntry] {
        try fetch("SELECT body FROM (SELECT sequence, body FROM entry ORDER BY sequence DESC LIMIT ?) ORDER BY sequence", [limit])
    }

    private func fetch(_ sql: String, _ arguments: StatementArguments) throws(JournalError) -> [JournalEntry] {
        let queue = self.queue
        return try PlanStore.perform {
            let bodies = try queue.read { try Data.fetchAll($0, sql: sql, arguments: arguments) }
            let decoder = JSONDecoder()
            return try bodies.map { try decoder.decode(JournalEntry.self, from: $0) }
        }
    }

    static func perform<Result>(_ work: () throws -> Result) throws(JournalError) -> Result {
        do {
            return try work()
        } catch let error as JournalError {
            throw error
        } catch let error as DatabaseError {
            throw .storage("plans.db: \(error.message ?? "SQLite error \(error.resultCode.rawValue)")")
        } catch {
            throw .storage("plans.db: \(error)")
        }
    }

    func read<Result>(_ work: (Database) throws -> Result) throws(JournalError) -> Result {
        let queue = self.queue
        return try PlanStore.perform { try queue.read(work) }
    }

    func write<Result>(_ work: (Database) throws -> Result) throws(JournalError) -> Result {
        let queue = self.queue
        return try PlanStore.perform { try queue.write(work) }
    }
}

extension JournalEntry.Record {
    /// The plan that the row is about.
    public var plan: PlanID? {
        switch self {
        case .accepted(let plan): plan.id
        case .approved(let id, _), .closed(let id, _, _): id
        case .begun(let step, _), .settled(let step, _): step.plan
        case .disarmed, .armed: nil
        }
    }

    fileprivate var isSwitch: Bool {
        switch self {
        case .disarmed, .armed: true
        case .accepted, .approved, .begun, .settled, .closed: false
        }
    }
}
