import Fleet
import Foundation
import GRDB
import LedgerStorage
import Metering
import Testing

@Suite("The ledger")
struct LedgerTests {
    /// A folder of its own for each test, removed with it.
    final class Folder {
        let path: String

        init() throws {
            path = NSTemporaryDirectory() + "/steward-ledger-\(UInt64.random(in: 0 ... .max))"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }

        var ledger: String { path + "/ledger.db" }

        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    func fact(_ number: UInt64, tenant: String? = "acme") -> Fact {
        Fact(
            id: FactID(origin: "collector:1", ordinal: number), source: .event, host: "h1",
            seen: ClockReading(wall: Timestamp(seconds: 1000 + Int64(number)), steadyMilliseconds: Int64(number) * 1000, machine: "m"),
            body: .assignment(GuestID(high: 1, low: number), tenant: tenant))
    }

    @Test("commits are synced: synchronous reads back as FULL, in WAL mode")
    func durability() throws {
        let folder = try Folder()
        let durability = try Ledger(path: folder.ledger).durability()
        #expect(durability.synchronous == 2)
        #expect(durability.journalMode == "wal")
    }

    @Test("facts come back in order, byte for byte, and a second time they change nothing")
    func roundTrip() throws {
        let folder = try Folder()
        let ledger = try Ledger(path: folder.ledger)
        let facts = (1...100).map { fact($0) }
        #expect(try ledger.append(facts) == AppendOutcome(appended: 100, known: 0))
        let head = try ledger.head()
        #expect(try ledger.append(facts.shuffled()) == AppendOutcome(appended: 0, known: 100))
        #expect(try ledger.head() == head)
        #expect(try ledger.allRows().map(\.fact) == facts)
        #expect(try ledger.rows(after: 98, limit: 1).map(\.sequence) == [99])
        #expect(try ledger.verify() == .whole(head))
    }

    @Test("two facts of one identity with different content are refused, and nothing of that batch stays")
    func conflict() throws {
        let folder = try Folder()
        let ledger = try Ledger(path: folder.ledger)
        _ = try ledger.append([fact(1)])
        #expect(throws: FactLogError.conflict(FactID(origin: "collector:1", ordinal: 1))) {
            _ = try ledger.append([fact(2), fact(1, tenant: "bolt")])
        }
        #expect(try ledger.head().sequence == 1)
    }

    @Test("the SQLite ledger and the one in memory chain alike")
    func sameChain() throws {
        let folder = try Folder()
        let ledger = try Ledger(path: folder.ledger)
        var memory = MemoryFactLog(hash: try LedgerKey.load(path: folder.ledger + ".key", mayCreate: false).chainHash)
        for batch in [[fact(1)], [fact(2), fact(3)], [fact(3), fact(4)]] {
            #expect(try ledger.append(batch) == memory.append(batch))
        }
        #expect(try ledger.head() == memory.head())
    }

    @Test("the key is readable by its owner alone; one that others may read is refused; a lost one is not replaced")
    func key() throws {
        let folder = try Folder()
        let path = folder.ledger + ".key"
        do { _ = try Ledger(path: folder.ledger).append([fact(1)]) }
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        chmod(path, 0o640)
        #expect(throws: FactLogError.self) { _ = try Ledger(path: folder.ledger) }
        try FileManager.default.removeItem(atPath: path)
        #expect(throws: FactLogError.self) { _ = try Ledger(path: folder.ledger) }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    func tampered(_ sql: String) throws -> ChainVerdict {
        let folder = try Folder()
        do { _ = try Ledger(path: folder.ledger).append((1...10).map { fact($0) }) }
        do {
            let raw = try DatabaseQueue(path: folder.ledger)
            try raw.write { database in
                try database.execute(sql: "DROP TRIGGER fact_is_not_changed; DROP TRIGGER fact_is_not_deleted;" + sql)
            }
        }
        return try Ledger(reading: folder.ledger).verify()
    }

    @Test(
        "a ledger that somebody changed names its first bad row",
        arguments: [
            ("UPDATE fact SET body = (SELECT body FROM fact WHERE sequence = 5) WHERE sequence = 4", 4),
            ("UPDATE fact SET hash = zeroblob(32) WHERE sequence = 7", 7), ("DELETE FROM fact WHERE sequence = 3", 3),
            ("UPDATE fact SET origin = 'x' WHERE sequence = 6", 6), ("DELETE FROM fact WHERE sequence > 8", 9),
        ] as [(String, Int64)])
    func tampering(sql: String, row: Int64) throws {
        guard case .broken(let sequence, _) = try tampered(sql) else {
            Issue.record("not noticed")
            return
        }
        #expect(sequence == row)
    }

    @Test("a fact is neither changed nor deleted by a stray statement")
    func triggers() throws {
        let folder = try Folder()
        do { _ = try Ledger(path: folder.ledger).append([fact(1)]) }
        let raw = try DatabaseQueue(path: folder.ledger)
        #expect(throws: DatabaseError.self) { try raw.write { try $0.execute(sql: "DELETE FROM fact") } }
        #expect(throws: DatabaseError.self) { try raw.write { try $0.execute(sql: "UPDATE fact SET body = x'00'") } }
    }

    @Test("S17: a database copied back from an older backup is refused; a lagging or unreadable anchor is not")
    func rollback() throws {
        let folder = try Folder()
        let backup = folder.path + "/backup.db"
        do { _ = try Ledger(path: folder.ledger).append([fact(1), fact(2)]) }
        try DatabaseQueue(path: folder.ledger).inDatabase { try $0.execute(sql: "VACUUM INTO ?", arguments: [backup]) }
        do { _ = try Ledger(path: folder.ledger).append([fact(3)]) }
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: folder.ledger + suffix) }
        try FileManager.default.moveItem(atPath: backup, toPath: folder.ledger)
        #expect {
            _ = try Ledger(path: folder.ledger)
        } throws: { error in
            guard case .damaged(sequence: 3, _) = error as? FactLogError else { return false }
            return true
        }
        try Data("".utf8).write(to: URL(fileURLWithPath: folder.ledger + ".anchor"))
        #expect(try Ledger(path: folder.ledger).head().sequence == 2)
    }

    @Test("a reader cannot write")
    func reader() throws {
        let folder = try Folder()
        do { _ = try Ledger(path: folder.ledger).append([fact(1)]) }
        let reader = try Ledger(reading: folder.ledger)
        #expect(throws: FactLogError.self) { _ = try reader.append([fact(2)]) }
        #expect(try reader.head().sequence == 1)
    }

    @Test("what a killed process had committed is there, whole batches only, and appending again doubles nothing", arguments: 0..<8)
    func killed(round: Int) throws {
        let folder = try Folder()
        do { _ = try Ledger(path: folder.ledger) }
        var random = SystemRandomNumberGenerator()
        let batches = (0..<200).map { batch in (1...5).map { fact(UInt64(batch * 5 + $0)) } }
        let acknowledged = folder.path + "/acknowledged"
        _ = FileManager.default.createFile(atPath: acknowledged, contents: nil)
        let child = try spawnWriter(folder: folder, rounds: batches.count)
        let deadline = ContinuousClock.now + .seconds(20)
        let goal = Int.random(in: 1...60, using: &random)
        func count() -> Int { FileManager.default.contents(atPath: acknowledged)?.count ?? 0 }
        while count() < goal, ContinuousClock.now < deadline { usleep(500) }
        kill(child.processIdentifier, SIGKILL)
        child.waitUntilExit()
        let known = count()
        #expect(known >= goal)
        let ledger = try Ledger(path: folder.ledger)
        let rows = try ledger.allRows()
        #expect(rows.count % 5 == 0)
        #expect(rows.count >= known * 5)
        for batch in batches { _ = try ledger.append(batch) }
        #expect(try ledger.allRows().map(\.fact) == batches.flatMap { $0 })
        #expect(try ledger.verify() == .whole(try ledger.head()))
    }

    /// Runs the ledger's writer in a process of its own, so that it can be killed: it appends batches of five and notes each that returned.
    func spawnWriter(folder: Folder, rounds: Int) throws -> Process {
        let products =
            Bundle.main.bundleURL.path.hasSuffix(".xctest") ? Bundle.main.bundleURL.deletingLastPathComponent() : Bundle.main.bundleURL
        let process = Process()
        process.executableURL = products.appendingPathComponent("ledger-writer")
        process.arguments = [folder.ledger, folder.path + "/acknowledged", "\(rounds)"]
        try process.run()
        return process
    }
}
