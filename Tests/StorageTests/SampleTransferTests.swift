import Fleet
import Foundation
import Storage
import Testing
import TimeSeries

@Suite("Import, export and backup of samples")
struct SampleTransferTests {
    private static let guests = (0..<3).map { guest in
        SourceSchema(
            labels: LabelSet([Label("host", "h"), Label("uuid", "u\(guest)"), Label("domain", "a \"quoted\\ name\n")]),
            columns: [
                Column(metric: "cpu_seconds_total", scale: .nanoseconds), Column(metric: "level", kind: .signed),
                Column(metric: "ratio", labels: LabelSet([Label("device", "vda")]), kind: .real), Column(metric: "large", kind: .unsigned),
            ])
    }

    private static func open(_ path: String) throws -> SampleStore {
        var options = SampleStoreOptions()
        options.retention = nil
        return try SampleStore.open(folder: DataFolder(path: path), options: options)
    }

    private static func tick(_ schema: SourceSchema, _ second: Int, dice: inout SampleDice) -> SourceTick {
        let ratios = [0.1, -0.0, 1e300, .infinity, -.infinity, .nan, .leastNonzeroMagnitude, Double(second) / 3]
        return SourceTick(
            schema: schema, time: Timestamp(milliseconds: Int64(second) * 1000 + 7),
            bits: [
                UInt64(second) * 1_234_567_891, UInt64(bitPattern: Int64.random(in: -9...9, using: &dice)),
                ratios[Int.random(in: 0..<ratios.count, using: &dice)].bitPattern, .max - UInt64(second),
            ])
    }

    private static func fill(_ store: SampleStore, seconds: ClosedRange<Int>) throws {
        var dice = SampleDice(seed: 5)
        for second in seconds { store.appendWaiting(guests.map { tick($0, second, dice: &dice) }) }
        try store.flush()
    }

    private static func export(_ store: SampleStore) throws -> String {
        var text: [UInt8] = []
        let all = SeriesSelection(matchers: [], from: Timestamp(milliseconds: .min), through: Timestamp(milliseconds: .max))
        _ = try store.snapshot().exportOpenMetrics(all) { (bytes) throws(Never) in text += bytes }
        return String(decoding: text, as: UTF8.self)
    }

    @Test("what is exported and imported again is the same to the bit, and importing it twice changes nothing")
    func roundTrip() throws {
        let (here, there, file) = (TemporaryFolder(), TemporaryFolder(), TemporaryFolder())
        let store = try SampleTransferTests.open(here.path)
        try SampleTransferTests.fill(store, seconds: 1...3000)
        let text = try SampleTransferTests.export(store)
        #expect(text.hasSuffix("# EOF\n"))
        try text.write(toFile: file.path, atomically: true, encoding: .utf8)
        let copy = try SampleTransferTests.open(there.path)
        let report = try copy.importOpenMetrics(path: file.path)
        #expect(report.samples == 36_000 && report.series == 12 && report.duplicates == 0)
        #expect(try copy.lines() == store.lines())
        #expect(try copy.verify() == [])
        let again = try copy.importOpenMetrics(path: file.path)
        #expect(again.samples == 0 && again.duplicates == 36_000)
        #expect(copy.stats().sealedSamples == 36_000)
        #expect(try copy.lines() == store.lines())
        #expect(try SampleTransferTests.export(copy) == text)
        store.close()
        copy.close()
    }

    @Test("samples that were imported stay when live readings of the same series follow and the store is opened again")
    func importThenLive() throws {
        let (here, file) = (TemporaryFolder(), TemporaryFolder())
        try "# TYPE level unknown\nlevel{host=\"h\",uuid=\"u0\"} 1 1\nlevel{host=\"h\",uuid=\"u0\"} 2 2\n# EOF\n"
            .write(toFile: file.path, atomically: true, encoding: .utf8)
        let schema = SourceSchema(
            labels: LabelSet([Label("host", "h"), Label("uuid", "u0")]), columns: [Column(metric: "level", kind: .real)])
        func run(_ body: (SampleStore) throws -> Void) throws {
            let store = try SampleTransferTests.open(here.path)
            try body(store)
            store.close()
        }
        try run { store in
            _ = try store.importOpenMetrics(path: file.path)
            for second in 2...4 {
                let time = Timestamp(seconds: Int64(second))
                store.appendWaiting([SourceTick(schema: schema, time: time, bits: [Double(second * 10).bitPattern])])
            }
            try store.flush()
        }
        let expected = ["__name__=level,host=h,uuid=u0"]
        try run { store in
            let lines = try store.lines()
            #expect(lines.map { $0.prefix { $0 != ":" } }.map(String.init) == expected)
            let values: [Double] = [1, 2, 30, 40]
            let wanted = zip([1000, 2000, 3000, 4000], values).map { "\($0)=\(String($1.bitPattern, radix: 16))" }
            // Sealed samples go before unsealed ones unless they came late; either way each time is answered once.
            let found = lines[0].split(separator: " ").dropFirst().map(String.init)
            #expect(found.count == 4)
            #expect([found[0], found[2], found[3]] == [wanted[0], wanted[2], wanted[3]])
        }
    }

    @Test(
        "a wrong line is named by file, line and column, and nothing of the piece is kept",
        arguments: [
            ("level{host=\"h\" 1 1", 1, 18), ("level 1", 1, 8), ("level x 1", 1, 7), ("level 1 1 1", 1, 11), ("9level 1 1", 1, 1),
            ("ok 1 1\nlevel{a=\"b\",a=\"c\"} 1 1", 2, 17), ("level 1 1e30", 1, 9), ("level{a=b} 1 1", 1, 9),
        ])
    func wrongLines(text: String, line: Int, column: Int) throws {
        let (here, file) = (TemporaryFolder(), TemporaryFolder())
        try text.write(toFile: file.path, atomically: true, encoding: .utf8)
        let store = try SampleTransferTests.open(here.path)
        defer { store.close() }
        let error = #expect(throws: SampleImportError.self) { _ = try store.importOpenMetrics(path: file.path) }
        #expect(error?.description.hasPrefix("\(file.path):\(line):\(column): ") == true, "\(error?.description ?? "no error")")
        #expect(store.stats().sealedSamples == 0)
    }

    @Test("lines of any order, repeated and without a last newline, come in")
    func unusualText() throws {
        let (here, file) = (TemporaryFolder(), TemporaryFolder())
        try "b 3 3\r\na 1 2\n\na 1 1\nb 4 3\na{} 2 3".write(toFile: file.path, atomically: true, encoding: .utf8)
        let store = try SampleTransferTests.open(here.path)
        defer { store.close() }
        let report = try store.importOpenMetrics(path: file.path)
        #expect(report.samples == 4 && report.duplicates == 1)
        let one = String(1.0.bitPattern, radix: 16)
        let two = String(2.0.bitPattern, radix: 16)
        let three = String(3.0.bitPattern, radix: 16)
        #expect(try store.lines() == ["__name__=a: 1000=\(one) 2000=\(one) 3000=\(two)", "__name__=b: 3000=\(three)"])
    }

    @Test("a late reading that repeats a sealed one is counted and not kept again")
    func repeatedLate() throws {
        let here = TemporaryFolder()
        let store = try SampleTransferTests.open(here.path)
        defer { store.close() }
        try SampleTransferTests.fill(store, seconds: 1...50)
        try store.seal(now: Timestamp(seconds: 50), everything: true)
        let before = try store.lines()
        try SampleTransferTests.fill(store, seconds: 20...40)
        let report = try store.seal(now: Timestamp(seconds: 60), everything: true)
        #expect(report.samples == 0 && report.duplicates == 63)
        #expect(store.stats().sealedSamples == 600 && store.stats().headSamples == 0)
        #expect(try store.lines() == before)
    }

    @Test("a backup taken while ticks arrive is a whole store with everything acknowledged before it began")
    func backup() throws {
        let (here, there) = (TemporaryFolder(), TemporaryFolder())
        let store = try SampleTransferTests.open(here.path)
        try SampleTransferTests.fill(store, seconds: 1...500)
        try store.seal(now: Timestamp(seconds: 500), everything: true)
        try SampleTransferTests.fill(store, seconds: 501...800)
        let before = try store.lines(through: 801_000)
        let feeder = Thread.feed(store, seconds: 801...1500)
        try store.backup(to: there.path)
        feeder.wait()
        let copy = try SampleTransferTests.open(there.path)
        #expect(try copy.lines(through: 801_000) == before)
        #expect(try copy.verify() == [])
        copy.close()
        let error = #expect(throws: StorageError.self) { try store.backup(to: there.path) }
        #expect(error?.description.contains("is there already") == true)
        store.close()
        #expect(!FileManager.default.fileExists(atPath: there.path + ".unfinished"))
    }

    fileprivate static func feed(_ store: SampleStore, _ seconds: ClosedRange<Int>) {
        var dice = SampleDice(seed: 6)
        for second in seconds { store.appendWaiting(guests.map { tick($0, second, dice: &dice) }) }
    }

    @Test("a guest that is gone from its host's readings turns stale once, and comes back fresh")
    func roster() throws {
        var roster = SourceRoster()
        var dice = SampleDice(seed: 1)
        let (first, second) = (SampleTransferTests.guests[0], SampleTransferTests.guests[1])
        var seen: [[Int]] = []
        for (time, present) in [(1, [first, second]), (2, [first]), (3, [first]), (4, [first, second])] {
            let ticks = roster.complete(
                present.map { SampleTransferTests.tick($0, time, dice: &dice) }, at: Timestamp(seconds: Int64(time)))
            seen.append(ticks.map { $0.presence.isEmpty ? 1 : 0 })
        }
        #expect(seen == [[1, 1], [1, 0], [1], [1, 1]])
    }
}

extension Thread {
    /// Feeds a store on a thread of its own.
    fileprivate static func feed(_ store: SampleStore, seconds: ClosedRange<Int>) -> Waiter {
        let waiter = Waiter()
        Thread.detachNewThread {
            SampleTransferTests.feed(store, seconds)
            waiter.done.signal()
        }
        return waiter
    }
}

/// Waits for a thread's end.
private final class Waiter: Sendable {
    let done = DispatchSemaphore(value: 0)
    func wait() { done.wait() }
}
