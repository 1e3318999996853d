import Fleet
import Foundation
import GRDBSQLite
import Storage
import Testing
import TimeSeries

@Suite("The sample store")
struct SampleStoreTests {
    private static func schema(host: Int, guest: Int, disks: Int) -> SourceSchema {
        var columns = [
            Column(metric: "cpu_seconds_total", scale: .nanoseconds), Column(metric: "memory_bytes", scale: .kibibytes),
            Column(metric: "temperature", kind: .signed), Column(metric: "ratio", kind: .real),
        ]
        for disk in 0..<disks { columns.append(Column(metric: "read_bytes_total", labels: LabelSet([Label("device", "vd\(disk)")]))) }
        return SourceSchema(labels: LabelSet([Label("host", "h\(host)"), Label("uuid", "g\(guest)")]), columns: columns)
    }

    private static func bits(_ schema: SourceSchema, time: Int64, dice: inout SampleDice) -> [UInt64] {
        schema.columns.indices.map { column in
            switch schema.columns[column].kind {
            case .unsigned: column == 0 ? UInt64(time) * 1_000_003 : UInt64.random(in: 0..<1000, using: &dice) * 512
            case .signed: UInt64(bitPattern: Int64.random(in: -50...50, using: &dice))
            case .real: (Double(Int.random(in: 0...100, using: &dice)) / 100).bitPattern
            }
        }
    }

    @Test(
        "whatever is sealed, late, missing, replugged or restarted in between, a select answers what was taken", arguments: 0..<25)
    func againstOracle(seed: Int) throws {
        var dice = SampleDice(seed: UInt64(seed))
        let temporary = TemporaryFolder()
        var options = SampleStoreOptions()
        options.sealSamples = 900
        options.sealTicks = 10
        options.partitionSpan = .seconds(2000)
        options.syncInterval = .milliseconds(20)
        options.retention = nil
        var store = try SampleStore.open(folder: DataFolder(path: temporary.path), options: options)
        var oracle = SampleOracle()
        var guests = (0..<6).map { (host: $0 % 2, guest: $0, schema: SampleStoreTests.schema(host: $0 % 2, guest: $0, disks: $0 % 3)) }
        for step in 1...160 {
            let time = Int64(step) * 15_000
            var ticks: [SourceTick] = []
            for index in guests.indices where !dice.chance(5) {
                let schema = guests[index].schema
                let isPartial = dice.chance(20)
                let presence = isPartial ? schema.columns.map { _ in dice.chance(70) } : []
                ticks.append(
                    SourceTick(
                        schema: schema, time: Timestamp(milliseconds: time), bits: SampleStoreTests.bits(schema, time: time, dice: &dice),
                        presence: presence))
            }
            store.appendWaiting(ticks)
            for tick in ticks { oracle.take(tick) }
            if dice.chance(6), step > 3, let guest = guests.randomElement(using: &dice) {
                let past = time - Int64.random(in: 1...3, using: &dice) * 15_000 + (dice.chance(50) ? 0 : 7)
                let late = SourceTick(
                    schema: guest.schema, time: Timestamp(milliseconds: past),
                    bits: SampleStoreTests.bits(guest.schema, time: past, dice: &dice))
                // Only a reading behind the source's last is late; one that repeats the last is dropped by its time.
                if ticks.contains(where: { $0.schema === guest.schema }) {
                    store.appendWaiting([late])
                    oracle.takeLate(late)
                }
            }
            if dice.chance(10) { try store.seal(now: Timestamp(milliseconds: time), everything: dice.chance(50)) }
            if dice.chance(4) {
                store.close()
                // The folder's lock goes with the store.
                store = try SampleStoreTests.reopen(&store, temporary.path, options)
            }
            if dice.chance(10) { try SampleStoreTests.compare(store, oracle, dice: &dice, until: time) }
            if dice.chance(2), let index = guests.indices.randomElement(using: &dice) {
                guests[index].schema = SampleStoreTests.schema(host: guests[index].host, guest: guests[index].guest, disks: 4)
            }
        }
        try store.flush()
        try SampleStoreTests.compare(store, oracle, dice: &dice, until: 160 * 15_000)
        #expect(try store.verify() == [])
        #expect(store.counters.gapTicks == 0)
    }

    private static func reopen(_ store: inout SampleStore, _ path: String, _ options: SampleStoreOptions) throws -> SampleStore {
        // A store holds its folder; opening another store of a folder that is held must wait until that is gone.
        let elsewhere = TemporaryFolder()
        store = try SampleStore.open(folder: DataFolder(path: elsewhere.path), options: options)
        return try SampleStore.open(folder: DataFolder(path: path), options: options)
    }

    private static func compare(_ store: SampleStore, _ oracle: SampleOracle, dice: inout SampleDice, until: Int64) throws {
        let from = dice.chance(30) ? Int64.min : Int64.random(in: 0...until, using: &dice)
        let through = dice.chance(30) ? Int64.max : Int64.random(in: 0...until, using: &dice)
        #expect(try store.lines(from: from, through: through) == oracle.answer({ _ in true }, from: from, through: through))
        let guest = "g\(Int.random(in: 0..<6, using: &dice))"
        #expect(
            try store.lines([LabelMatcher("uuid", equals: guest)], from: from, through: through)
                == oracle.answer({ $0["uuid"] == guest }, from: from, through: through))
        let metric = ["cpu_seconds_total", "read_bytes_total", "ratio"].randomElement(using: &dice) ?? ""
        #expect(
            try store.lines([LabelMatcher("__name__", equals: metric), LabelMatcher("device", differsFrom: "vd1")])
                == oracle.answer({ $0["__name__"] == metric && $0["device"] != "vd1" }, from: .min, through: .max))
    }

    @Test("a second process on the folder is refused, with the pid of the first")
    func locking() throws {
        let temporary = TemporaryFolder()
        let folder = try DataFolder(path: temporary.path)
        let error = #expect(throws: StorageError.self) { _ = try DataFolder(path: temporary.path) }
        #expect(error?.reason == .locked)
        #expect(error?.description.contains("process \(getpid());") == true)
        let mode = try FileManager.default.attributesOfItem(atPath: folder.path)[.posixPermissions] as? Int
        #expect(mode == 0o700)
    }

    @Test("files of a newer schema are refused", arguments: ["head.db", "samples-00000001.db"])
    func newer(file: String) throws {
        let temporary = TemporaryFolder()
        try SampleStoreTests.fill(temporary.path, ticks: 30)
        try SampleStoreTests.sql(temporary.path + "/" + file, "PRAGMA user_version=99")
        let error = #expect(throws: StorageError.self) {
            _ = try SampleStore.open(folder: DataFolder(path: temporary.path))
        }
        #expect(error?.reason == .newer)
    }

    @Test("a flipped bit in a segment is found and named, and the other guests' samples are still answered")
    func flippedBit() throws {
        let temporary = TemporaryFolder()
        try SampleStoreTests.fill(temporary.path, ticks: 400)
        try SampleStoreTests.fill(temporary.path, ticks: 400, guest: 2)
        let file = temporary.path + "/samples-00000001.db"
        try SampleStoreTests.sql(
            file, "UPDATE segment SET data = substr(data,1,length(data)-3) || x'ff' || substr(data,length(data)-1) WHERE id=1")
        let store = try SampleStore.open(folder: DataFolder(path: temporary.path))
        let other = try store.lines([LabelMatcher("uuid", equals: "g2")])
        #expect(other.count == 6 && store.damages.isEmpty)
        let lines = try store.lines()
        #expect(other.allSatisfy(lines.contains))
        // Only the columns whose frame is damaged are missing.
        #expect(lines.count < 12)
        #expect(store.damages.map(\.file) == ["samples-00000001.db"] && store.damages.map(\.segment) == [1])
        let damages = try store.verify()
        #expect(damages.map(\.file) == ["samples-00000001.db"])
        #expect(damages.map(\.segment) == [1])
    }

    @Test(
        "a garbage file is named, left alone and not written to; what is no file of ours is ignored",
        arguments: ["samples-00000001.db", "samples-00000009.db", "rollup-5m-00000001.db"])
    func garbageFile(name: String) throws {
        let temporary = TemporaryFolder()
        try SampleStoreTests.fill(temporary.path, ticks: 100, guest: 2)
        let garbage = Data((0..<9000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 3) })
        try garbage.write(to: URL(fileURLWithPath: temporary.path + "/" + name))
        try Data("hello".utf8).write(to: URL(fileURLWithPath: temporary.path + "/samples-notes.db"))
        try SampleStoreTests.fill(temporary.path, ticks: 100, guest: 3)
        let store = try SampleStore.open(folder: DataFolder(path: temporary.path))
        #expect(store.damages.map(\.file) == [name])
        #expect(try store.verify().map(\.file) == [name])
        #expect(try store.lines([LabelMatcher("uuid", equals: "g3")]).count == 6)
        #expect(try store.lines([LabelMatcher("uuid", equals: "g2")]).count == (name == "samples-00000001.db" ? 0 : 6))
        #expect(try Data(contentsOf: URL(fileURLWithPath: temporary.path + "/" + name)) == garbage)
    }

    @Test("a garbage head.db is refused, with its name")
    func garbageHead() throws {
        let temporary = TemporaryFolder()
        try SampleStoreTests.fill(temporary.path, ticks: 10)
        try Data(repeating: 0x5a, count: 8192).write(to: URL(fileURLWithPath: temporary.path + "/head.db"))
        let error = #expect(throws: StorageError.self) { _ = try SampleStore.open(folder: DataFolder(path: temporary.path)) }
        #expect(error?.reason == .damaged && error?.description.contains("head.db") == true)
    }

    @Test("a clock that is set back or forward by an hour loses no reading")
    func steppedClock() throws {
        let temporary = TemporaryFolder()
        let store = try SampleStore.open(folder: DataFolder(path: temporary.path))
        let schema = SourceSchema(labels: LabelSet([Label("host", "h")]), columns: [Column(metric: "n")])
        var expected: [Int64: UInt64] = [:]
        var clock: Int64 = 1_000_000_000
        for tick in 0..<900 {
            clock += 10_000
            if tick == 300 { clock -= 3_600_007 }
            if tick == 600 { clock += 7_200_000 }
            expected[clock] = UInt64(tick)
            store.appendWaiting([SourceTick(schema: schema, time: Timestamp(milliseconds: clock), bits: [UInt64(tick)])])
            if tick % 170 == 0 { try store.seal(now: Timestamp(milliseconds: clock), everything: true) }
        }
        var run = SampleRun()
        try store.select(SeriesSelection(matchers: [], from: Timestamp(milliseconds: 0), through: Timestamp(milliseconds: .max))) {
            _, one in
            run = one
            return true
        }
        #expect(run.milliseconds == expected.keys.sorted())
        #expect(run.values == run.milliseconds.map { Double(expected[$0] ?? 0) })
        #expect(store.counters.lateReadings > 0 && store.counters.duplicateReadings == 0)
    }

    @Test("under a reader that keeps a snapshot the write-ahead log stays below 64 MiB, and the snapshot answers as it did")
    func boundedLog() throws {
        let temporary = TemporaryFolder()
        var options = SampleStoreOptions()
        options.syncInterval = .seconds(3600)
        let store = try SampleStore.open(folder: DataFolder(path: temporary.path), options: options)
        let schema = SourceSchema(
            labels: LabelSet([Label("host", "h")]), columns: (0..<4000).map { Column(metric: "n\($0)") })
        var dice = SampleDice(seed: 4)
        func write(_ ticks: Range<Int>) throws -> Int {
            var largest = 0
            for tick in ticks {
                let bits = schema.columns.map { _ in dice.next() }
                store.appendWaiting([SourceTick(schema: schema, time: Timestamp(seconds: Int64(tick)), bits: bits)])
                if tick % 100 == 0 { try store.flush() }
                let attributes = try? FileManager.default.attributesOfItem(atPath: temporary.path + "/head.db-wal")
                largest = max(largest, attributes?[.size] as? Int ?? 0)
            }
            return largest
        }
        _ = try write(1..<10)
        let snapshot = store.snapshot()
        let before = try snapshot.lines([LabelMatcher("__name__", equals: "n7")])
        // Some 150 MiB of rows that no compression makes smaller.
        let largest = try write(10..<4000)
        #expect(largest > 16 << 20 && largest < 64 << 20, "\(largest)")
        #expect(try snapshot.lines([LabelMatcher("__name__", equals: "n7")]) == before)
    }

    @Test("guests that come and go leave nothing behind once their samples are gone")
    func churn() throws {
        let temporary = TemporaryFolder()
        var options = SampleStoreOptions()
        options.partitionSpan = .seconds(600)
        options.retention = .seconds(1800)
        options.makesRollups = false
        let store = try SampleStore.open(folder: DataFolder(path: temporary.path), options: options)
        var most = 0
        for round in 0..<60 {
            let guests = (0..<40).map { guest in
                SourceSchema(
                    labels: LabelSet([Label("host", "h"), Label("uuid", "r\(round)-\(guest)")]),
                    columns: [Column(metric: "n"), Column(metric: "m")])
            }
            for tick in 0..<20 {
                let time = Timestamp(seconds: Int64(round * 300 + tick * 15))
                store.appendWaiting(guests.map { SourceTick(schema: $0, time: time, bits: [UInt64(tick), 1]) })
            }
            let now = Timestamp(seconds: Int64(round * 300 + 300))
            try store.seal(now: now, everything: true)
            try store.retain(now: now)
            most = max(most, store.stats().sources)
        }
        // Retention, two files that it cannot take yet, and the one at hand: 12 rounds of 40.
        #expect(most <= 480, "\(most)")
        #expect(try store.verify() == [])
        #expect(store.stats().oldest ?? Timestamp(seconds: 0) > Timestamp(seconds: 14_000))
    }

    static func fill(_ path: String, ticks: Int, guest: Int = 1) throws {
        let store = try SampleStore.open(folder: DataFolder(path: path))
        var dice = SampleDice(seed: 3)
        let schema = SampleStoreTests.schema(host: 1, guest: guest, disks: 2)
        for tick in 1...ticks {
            let bits = SampleStoreTests.bits(schema, time: Int64(tick), dice: &dice)
            store.appendWaiting([SourceTick(schema: schema, time: Timestamp(seconds: Int64(tick)), bits: bits)])
        }
        try store.seal(now: Timestamp(seconds: Int64(ticks)), everything: true)
        store.close()
    }

    static func sql(_ path: String, _ text: String) throws {
        var handle: OpaquePointer?
        #expect(sqlite3_open(path, &handle) == SQLITE_OK)
        #expect(sqlite3_exec(handle, text, nil, nil, nil) == SQLITE_OK)
        sqlite3_close(handle)
    }

    @Test("retention takes away whole files, by age and by size, and never the one that is written to")
    func retention() throws {
        let temporary = TemporaryFolder()
        var options = SampleStoreOptions()
        options.partitionSpan = .seconds(1000)
        options.retention = .seconds(3000)
        let store = try SampleStore.open(folder: DataFolder(path: temporary.path), options: options)
        let schema = SampleStoreTests.schema(host: 1, guest: 1, disks: 0)
        var dice = SampleDice(seed: 9)
        for second in 1...10_000 {
            let time = Timestamp(seconds: Int64(second))
            store.appendWaiting([
                SourceTick(schema: schema, time: time, bits: SampleStoreTests.bits(schema, time: Int64(second), dice: &dice))
            ])
            if second % 250 == 0 { try store.seal(now: time, everything: true) }
        }
        let snapshot = store.snapshot()
        let before = try snapshot.lines()
        #expect(store.stats().partitions == 10)
        let removed = try store.retain(now: Timestamp(seconds: 10_000))
        #expect(removed.count == 6)
        // A snapshot from before goes on reading what is unlinked.
        #expect(try snapshot.lines() == before)
        let oldest = try #require(store.stats().oldest)
        #expect(oldest <= Timestamp(seconds: 7000) && oldest > Timestamp(seconds: 6000))
        store.append([SourceTick(schema: schema, time: Timestamp(seconds: 10), bits: [1, 2, 3, 4])])
        #expect(store.counters.expiredReadings == 1)
        #expect(try store.verify() == [])
    }

    @Test("a query that races sealing, new files and retention sees each sample exactly once", .timeLimit(.minutes(2)))
    func racing() async throws {
        let temporary = TemporaryFolder()
        var options = SampleStoreOptions()
        options.partitionSpan = .seconds(300)
        options.retention = .seconds(2000)
        let store = try SampleStore.open(folder: DataFolder(path: temporary.path), options: options)
        let schema = SourceSchema(labels: LabelSet([Label("host", "h")]), columns: [Column(metric: "number"), Column(metric: "other")])
        let isDone = Flag()
        let published = Flag()
        try await withThrowingTaskGroup(of: Int.self) { group in
            group.addTask {
                for second in 1...6000 {
                    let time = Timestamp(seconds: Int64(second))
                    store.appendWaiting([SourceTick(schema: schema, time: time, bits: [UInt64(second), 5])])
                    published.count = second
                    if second % 60 == 0 { try store.seal(now: time, everything: true) }
                    if second % 300 == 0 { try store.retain(now: time) }
                }
                isDone.raise()
                return 0
            }
            group.addTask {
                var queries = 0
                while !isDone.isRaised || queries == 0 {
                    var seen: [Double] = []
                    let selection = SeriesSelection(
                        matchers: [LabelMatcher("__name__", equals: "number")], from: Timestamp(seconds: 0),
                        through: Timestamp(seconds: 9999))
                    let before = published.count
                    try store.select(selection) { _, run in
                        seen = run.values
                        return true
                    }
                    // Without a gap or a double, up to at least what was published before, back to at least what is kept.
                    let first = seen.first ?? 1
                    #expect(seen == (0..<seen.count).map { first + Double($0) })
                    #expect(Int(seen.last ?? 0) >= before)
                    #expect(Int(first) <= max(1, Int(seen.last ?? 0) - 2000))
                    queries += 1
                }
                return queries
            }
            try await group.waitForAll()
        }
        #expect(try store.lines().count == 2)
        #expect(try #require(store.stats().oldest) > Timestamp(seconds: 3000), "retention took part in the race")
    }
}

/// Raised once, seen by another thread.
final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false
    private var number = 0
    var count: Int {
        get { lock.withLock { number } }
        set { lock.withLock { number = newValue } }
    }
    var isRaised: Bool { lock.withLock { value } }
    func raise() { lock.withLock { value = true } }
}
