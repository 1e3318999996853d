import Foundation
import GRDB
public import Metering

/// The ledger of facts in SQLite: append-only, chained, every commit synced before ``append(_:)`` returns.
///
/// One ledger writes; ``Ledger/init(reading:)`` opens another connection that only reads and never checkpoints. Beside the database lie its
/// key (`….key`, mode 0600) and its anchor (`….anchor`): the head of the chain after the last commit, by which a database that was copied
/// back from an old backup is noticed.
public final class Ledger: FactLog, @unchecked Sendable {
    /// The most facts of one call of ``append(_:)``: one transaction's memory.
    public static let maximumBatch = 100_000

    private let queue: DatabaseQueue
    private let hash: ChainHash
    private let anchorPath: String
    private let isWriter: Bool

    /// Opens the ledger for writing, and makes it where there is none.
    ///
    /// - Throws: ``FactLogError/medium(_:)`` where a file cannot be opened or another writer holds it, ``FactLogError/damaged(sequence:reason:)``
    ///   where the chain's head does not fit the anchor.
    public init(path: String) throws(FactLogError) {
        isWriter = true
        anchorPath = path + ".anchor"
        let queue = try Ledger.open(path: path, readonly: false)
        self.queue = queue
        let isEmpty = try Ledger.perform { try queue.read { try Int64.fetchOne($0, sql: "SELECT count(*) FROM fact") == 0 } }
        hash = try LedgerKey.load(path: path + ".key", mayCreate: isEmpty).chainHash
        try checkAnchor()
    }

    /// Opens the ledger for reading only.
    public init(reading path: String) throws(FactLogError) {
        isWriter = false
        anchorPath = path + ".anchor"
        queue = try Ledger.open(path: path, readonly: true)
        hash = try LedgerKey.load(path: path + ".key", mayCreate: false).chainHash
    }

    private static func open(path: String, readonly: Bool) throws(FactLogError) -> DatabaseQueue {
        var configuration = Configuration()
        configuration.readonly = readonly
        configuration.busyMode = .timeout(5)
        configuration.label = "ledger"
        let queue = try perform { try DatabaseQueue(path: path, configuration: configuration) }
        guard !readonly else { return queue }
        try perform {
            try queue.writeWithoutTransaction { database in
                // GRDB sets `synchronous` to NORMAL when it turns WAL on; set here, after any such step, and read back by a test.
                try database.execute(sql: "PRAGMA journal_mode = WAL")
                try database.execute(sql: "PRAGMA synchronous = FULL")
                try database.execute(sql: "PRAGMA fullfsync = ON")
                try database.execute(sql: "PRAGMA foreign_keys = ON")
                try database.inTransaction(.immediate) {
                    try database.execute(sql: schema)
                    return .commit
                }
            }
        }
        return queue
    }

    /// Rows can be added and read; triggers keep even a stray statement from changing one.
    private static let schema = """
        CREATE TABLE IF NOT EXISTS fact (
            sequence INTEGER PRIMARY KEY CHECK (sequence > 0),
            origin TEXT NOT NULL,
            ordinal BLOB NOT NULL,
            body BLOB NOT NULL,
            hash BLOB NOT NULL,
            UNIQUE (origin, ordinal)
        ) STRICT;
        CREATE TRIGGER IF NOT EXISTS fact_is_not_changed BEFORE UPDATE ON fact
        BEGIN SELECT RAISE(ABORT, 'a fact is never changed'); END;
        CREATE TRIGGER IF NOT EXISTS fact_is_not_deleted BEFORE DELETE ON fact
        BEGIN SELECT RAISE(ABORT, 'a fact is never deleted'); END;
        """

    /// SQLite's synchronous level and journal mode, as this connection has them: 2 is FULL.
    public func durability() throws(FactLogError) -> (synchronous: Int, journalMode: String) {
        let queue = self.queue
        return try Ledger.perform {
            try queue.read { database in
                (
                    try Int.fetchOne(database, sql: "PRAGMA synchronous") ?? -1,
                    try String.fetchOne(database, sql: "PRAGMA journal_mode") ?? ""
                )
            }
        }
    }

    /// Appends the facts that are not there yet, all or none, and returns after they are on the disk.
    public func append(_ facts: [Fact]) throws(FactLogError) -> AppendOutcome {
        guard isWriter else { throw .medium("this ledger was opened for reading only") }
        guard facts.count <= Ledger.maximumBatch else {
            throw .medium("\(facts.count) facts at once are more than \(Ledger.maximumBatch): append them in parts")
        }
        let queue = self.queue
        let hash = self.hash
        let (outcome, head) = try Ledger.perform {
            try queue.write { database in
                var head = try Ledger.head(database)
                var appended = 0
                let find = try database.cachedStatement(sql: "SELECT body FROM fact WHERE origin = ? AND ordinal = ?")
                let insert = try database.cachedStatement(
                    sql: "INSERT INTO fact (sequence, origin, ordinal, body, hash) VALUES (?, ?, ?, ?, ?)")
                for fact in facts {
                    let body = fact.encoded
                    let ordinal = Ledger.ordinal(fact.id)
                    if let known = try Data.fetchOne(find, arguments: [fact.id.origin, ordinal]) {
                        guard Array(known) == body else { throw FactLogError.conflict(fact.id) }
                        continue
                    }
                    let sequence = head.sequence + 1
                    let chained = hash(sequence: sequence, previous: head.hash, encodedFact: body)
                    try insert.execute(arguments: [sequence, fact.id.origin, ordinal, Data(body), Data(chained)])
                    head = ChainHead(sequence: sequence, hash: chained)
                    appended += 1
                }
                return (AppendOutcome(appended: appended, known: facts.count - appended), head)
            }
        }
        if outcome.appended > 0 { writeAnchor(head) }
        return outcome
    }

    /// Up to `limit` rows after a sequence number, in order.
    public func rows(after sequence: Int64, limit: Int) throws(FactLogError) -> [FactRow] {
        let queue = self.queue
        return try Ledger.perform {
            try queue.read { database in
                let found = try Row.fetchCursor(
                    database, sql: "SELECT sequence, body, hash FROM fact WHERE sequence > ? ORDER BY sequence LIMIT ?",
                    arguments: [sequence, limit])
                var rows: [FactRow] = []
                while let row = try found.next() {
                    let number: Int64 = row[0]
                    let body: Data = row[1]
                    let hash: Data = row[2]
                    do {
                        rows.append(FactRow(sequence: number, fact: try Fact(encoded: Array(body)), hash: Array(hash)))
                    } catch {
                        throw FactLogError.damaged(sequence: number, reason: "its content is no fact (\(error))")
                    }
                }
                return rows
            }
        }
    }

    /// The last row's number and hash.
    public func head() throws(FactLogError) -> ChainHead {
        let queue = self.queue
        return try Ledger.perform { try queue.read { try Ledger.head($0) } }
    }

    /// Computes the whole chain anew and compares its end with the anchor.
    public func verify() throws(FactLogError) -> ChainVerdict {
        let queue = self.queue
        let hash = self.hash
        let verdict = try Ledger.perform {
            try queue.read { database in
                let found = try Row.fetchCursor(database, sql: "SELECT sequence, origin, ordinal, body, hash FROM fact ORDER BY sequence")
                var head = ChainHead(sequence: 0, hash: [])
                while let row = try found.next() {
                    let sequence: Int64 = row[0]
                    guard sequence == head.sequence + 1 else {
                        return ChainVerdict.broken(sequence: head.sequence + 1, reason: "the row is missing")
                    }
                    let body: Data = row[3]
                    let stored: Data = row[4]
                    let expected = hash(sequence: sequence, previous: head.hash, encodedFact: Array(body))
                    guard expected == Array(stored) else {
                        return .broken(sequence: sequence, reason: "its hash does not follow from its content and the row before")
                    }
                    let origin: String = row[1]
                    let ordinal: Data = row[2]
                    guard let fact = try? Fact(encoded: Array(body)), fact.id.origin == origin, Ledger.ordinal(fact.id) == ordinal else {
                        return .broken(sequence: sequence, reason: "its identity is not that of its content")
                    }
                    head = ChainHead(sequence: sequence, hash: expected)
                }
                return .whole(head)
            }
        }
        guard case .whole = verdict, let damage = try anchorDamage() else { return verdict }
        return .broken(sequence: damage.sequence, reason: damage.reason)
    }

    private static func head(_ database: Database) throws -> ChainHead {
        guard let row = try Row.fetchOne(database, sql: "SELECT sequence, hash FROM fact ORDER BY sequence DESC LIMIT 1") else {
            return ChainHead(sequence: 0, hash: [])
        }
        let hash: Data = row[1]
        return ChainHead(sequence: row[0], hash: Array(hash))
    }

    /// Eight bytes, big-endian: SQLite's integers are signed.
    private static func ordinal(_ id: FactID) -> Data {
        Data(stride(from: UInt64(56), through: 0, by: -8).map { UInt8(truncatingIfNeeded: id.ordinal >> $0) })
    }

    private static func perform<Result>(_ work: () throws -> Result) throws(FactLogError) -> Result {
        do {
            return try work()
        } catch let error as FactLogError {
            throw error
        } catch let error as DatabaseError {
            throw .medium("the ledger: \(error.message ?? "SQLite error \(error.resultCode.rawValue)")")
        } catch {
            throw .medium("the ledger: \(error)")
        }
    }
}

extension Ledger {
    /// Names the chain's head outside the database.
    ///
    /// Not synced: after a power cut it may lag behind, which proves nothing and harms nothing.
    private func writeAnchor(_ head: ChainHead) {
        let text = "\(head.sequence) \(head.hash.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined())\n"
        let draft = anchorPath + ".new"
        guard (try? Data(text.utf8).write(to: URL(fileURLWithPath: draft))) != nil else { return }
        rename(draft, anchorPath)
    }

    private func checkAnchor() throws(FactLogError) {
        if let damage = try anchorDamage() { throw .damaged(sequence: damage.sequence, reason: damage.reason) }
    }

    /// What is wrong between the anchor and the database; nil where nothing is, or where there is no readable anchor.
    private func anchorDamage() throws(FactLogError) -> (sequence: Int64, reason: String)? {
        guard let data = FileManager.default.contents(atPath: anchorPath), data.count < 200 else { return nil }
        let fields = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isWhitespace)
        guard fields.count == 2, let sequence = Int64(fields[0]), sequence > 0 else { return nil }
        let head = try head()
        guard head.sequence >= sequence else {
            let reason =
                "the anchor knows \(sequence) rows, the ledger has \(head.sequence): the database is older than its anchor, as after copying "
                + "back a backup. Put the newer database back, or remove \(anchorPath) to accept the loss"
            return (head.sequence + 1, reason)
        }
        let row = try rows(after: sequence - 1, limit: 1).first
        let text = row.map { $0.hash.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() }
        guard text == String(fields[1]) else {
            return (sequence, "its hash is not the one that the anchor knows: another ledger, or a rewritten one")
        }
        return nil
    }
}
