import FaultyVFS
import Fleet
import Foundation
import GRDBSQLite
import Storage
import Testing
import TimeSeries

/// The layer's faults are the process's, so these tests go one after the other.
@Suite("The sample store's disk faults", .serialized)
struct SampleFaultTests {
    private static let isRegistered = faulty_register() == SQLITE_OK

    private static func options(_ acknowledged: AcknowledgedTicks) -> SampleStoreOptions {
        var options = SampleStoreOptions()
        options.fileSystem = "faulty"
        options.partitionSpan = .seconds(40)
        options.retention = .seconds(60)
        options.syncInterval = .seconds(3600)
        options.acknowledged = { acknowledged.add($0) }
        return options
    }

    private static let schema = SourceSchema(
        labels: LabelSet([Label("host", "h"), Label("uuid", "u")]), columns: [Column(metric: "n"), Column(metric: "m")])

    private static func tick(_ second: Int) -> SourceTick {
        SourceTick(schema: schema, time: Timestamp(seconds: Int64(second)), bits: [UInt64(second), 7])
    }

    /// Ticks, seals, retention and a restart; faults end a step, not the script.
    private static func script(_ path: String, _ acknowledged: AcknowledgedTicks) {
        guard let folder = try? DataFolder(path: path), var store = try? SampleStore.open(folder: folder, options: options(acknowledged))
        else { return }
        for second in 1...100 {
            store.append([tick(second)])
            try? store.flush()
            if second % 20 == 0 { _ = try? store.seal(now: Timestamp(seconds: Int64(second)), everything: true) }
            if second % 25 == 0 { _ = try? store.retain(now: Timestamp(seconds: Int64(second))) }
            if second == 50 { try? store.checkpoint() }
            if second == 70 {
                store.close()
                guard let again = try? SampleStore.open(folder: folder, options: options(acknowledged)) else { return }
                store = again
            }
        }
        store.close()
    }

    private static func check(_ path: String, _ acknowledged: Set<Int64>, since: Int64, _ note: String) throws {
        var options = SampleStoreOptions()
        options.retention = nil
        let store = try SampleStore.open(folder: DataFolder(path: path), options: options)
        #expect(try store.verify() == [], "\(note)")
        let selection = SeriesSelection(
            matchers: [LabelMatcher("__name__", equals: "n")], from: Timestamp(seconds: 0), through: Timestamp(seconds: 1 << 40))
        var seen = SampleRun()
        try store.select(selection) { _, run in
            seen = run
            return true
        }
        #expect(zip(seen.milliseconds, seen.milliseconds.dropFirst()).allSatisfy { $0 < $1 }, "\(note)")
        #expect(seen.values == seen.milliseconds.map { Double($0 / 1000) }, "\(note)")
        let kept = acknowledged.filter { $0 >= since }
        #expect(kept.isSubset(of: Set(seen.milliseconds)), "\(note): lost \(kept.subtracting(seen.milliseconds).sorted())")
        store.close()
    }

    @Test(
        "when the nth write, sync, truncate, open or delete fails, no acknowledged tick is lost or doubled",
        arguments: [SQLITE_IOERR, SQLITE_FULL])
    func failAtEach(code: Int32) throws {
        try #require(SampleFaultTests.isRegistered)
        let clean = TemporaryFolder()
        faulty_fail_at(0, 0, 0)
        SampleFaultTests.script(clean.path, AcknowledgedTicks())
        let total = faulty_operations()
        #expect(total > 200)
        // Every operation in a soak; a prime step in a quick run, so that all kinds come up.
        let step = ProcessInfo.processInfo.environment["STEWARD_SOAK"] == nil ? 7 : 1
        for n in stride(from: 1, through: Int(total), by: step) {
            let temporary = TemporaryFolder()
            let acknowledged = AcknowledgedTicks()
            faulty_fail_at(n, code, 0)
            SampleFaultTests.script(temporary.path, acknowledged)
            faulty_fail_at(0, 0, 0)
            guard FileManager.default.fileExists(atPath: temporary.path) else { continue }
            // Retention may have taken what is older than a minute before its last run.
            try SampleFaultTests.check(temporary.path, acknowledged.times, since: 41_000, "operation \(n)")
        }
    }

    @Test("after a power cut at any moment the store opens, and has at least what was there at the last checkpoint", arguments: 0..<12)
    func powerCut(seed: Int) throws {
        try #require(SampleFaultTests.isRegistered)
        var dice = SampleDice(seed: UInt64(seed))
        let temporary = TemporaryFolder()
        let acknowledged = AcknowledgedTicks()
        faulty_keep_synced(1)
        defer { faulty_keep_synced(0) }
        faulty_fail_at(0, 0, 0)
        var durable = 0
        do {
            let store = try SampleStore.open(folder: DataFolder(path: temporary.path), options: SampleFaultTests.options(acknowledged))
            let cut = Int.random(in: 20...90, using: &dice)
            for second in 1...cut {
                store.append([SampleFaultTests.tick(second)])
                try store.flush()
                if dice.chance(10) {
                    try store.checkpoint()
                    durable = second
                }
                if dice.chance(8) {
                    try store.seal(now: Timestamp(seconds: Int64(second)), everything: true)
                    durable = second
                }
            }
            faulty_fail_at(Int.random(in: 1...30, using: &dice), SQLITE_IOERR, 1)
            store.append([SampleFaultTests.tick(cut + 1)])
            _ = try? store.flush()
            _ = try? store.seal(now: Timestamp(seconds: Int64(cut)), everything: true)
            store.close()
        }
        faulty_fail_at(0, 0, 0)
        try SampleFaultTests.dropUnsynced(temporary.path)
        let sure = acknowledged.times.filter { $0 <= Int64(durable) * 1000 }
        try SampleFaultTests.check(temporary.path, sure, since: 0, "seed \(seed)")
    }

    /// Puts in the place of each file what its last sync left, or nothing.
    private static func dropUnsynced(_ path: String) throws {
        let manager = FileManager.default
        let names = try manager.contentsOfDirectory(atPath: path).sorted()
        for name in names where !name.hasSuffix(".synced") && name != "steward.lock" {
            try manager.removeItem(atPath: path + "/" + name)
            let synced = path + "/" + name + ".synced"
            if manager.fileExists(atPath: synced) { try manager.moveItem(atPath: synced, toPath: path + "/" + name) }
        }
        for name in try manager.contentsOfDirectory(atPath: path) where name.hasSuffix(".synced") {
            try manager.removeItem(atPath: path + "/" + name)
        }
    }

    @Test(
        "while the disk is full or read-only queries answer from memory, the refusal is counted, and all is kept once it is well again",
        arguments: [(SQLITE_FULL, StorageError.Reason.full), (SQLITE_READONLY, .readOnly)])
    func refusingDisk(code: Int32, reason: StorageError.Reason) throws {
        try #require(SampleFaultTests.isRegistered)
        let temporary = TemporaryFolder()
        faulty_fail_at(0, 0, 0)
        try SampleFaultTests.refuse(temporary.path, code, reason)
        try SampleFaultTests.check(temporary.path, Set((1...31).map { Int64($0) * 1000 }), since: 0, "after the disk was full")
    }

    /// In a function of its own, so that the store lets go of the folder.
    private static func refuse(_ path: String, _ code: Int32, _ reason: StorageError.Reason) throws {
        let store = try SampleStore.open(folder: DataFolder(path: path), options: SampleFaultTests.options(AcknowledgedTicks()))
        for second in 1...10 {
            store.append([SampleFaultTests.tick(second)])
            try store.flush()
        }
        faulty_fail_at(1, code, 1)
        for second in 11...30 { store.append([SampleFaultTests.tick(second)]) }
        let error = #expect(throws: StorageError.self) { try store.flush() }
        #expect(error?.reason == reason)
        #expect(store.counters.failedCommits > 0)
        #expect(store.counters.gapTicks == 17, "three ticks of a host may wait")
        #expect(throws: StorageError.self) { try store.seal(now: Timestamp(seconds: 30), everything: true) }
        let selection = SeriesSelection(
            matchers: [LabelMatcher("__name__", equals: "n")], from: Timestamp(seconds: 0), through: Timestamp(seconds: 100))
        var seen: [Double] = []
        try store.select(selection) { _, run in
            seen = run.values
            return true
        }
        #expect(seen == (1...30).map(Double.init))
        faulty_fail_at(0, 0, 0)
        try store.flush()
        store.append([SampleFaultTests.tick(31)])
        try store.flush()
        try store.seal(now: Timestamp(seconds: 31), everything: true)
        store.close()
    }
}

/// Times that were acknowledged.
final class AcknowledgedTicks: @unchecked Sendable {
    private let lock = NSLock()
    private var seen: Set<Int64> = []
    var times: Set<Int64> { lock.withLock { seen } }
    func add(_ acknowledgements: [Acknowledgement]) {
        lock.withLock { for one in acknowledgements { seen.insert(one.time.milliseconds) } }
    }
}
