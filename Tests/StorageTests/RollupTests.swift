import Fleet
import Foundation
import Storage
import Testing
import TimeSeries

@Suite("Rollups")
struct RollupTests {
    private static let schema = SourceSchema(
        labels: LabelSet([Label("host", "h"), Label("uuid", "u")]),
        columns: [
            Column(metric: "work_seconds_total", scale: .nanoseconds), Column(metric: "level", kind: .signed, scale: .kibibytes),
            Column(metric: "ratio", kind: .real), Column(metric: "huge_total"),
        ])

    private static func options(_ edit: (inout SampleStoreOptions) -> Void = { _ in }) -> SampleStoreOptions {
        var options = SampleStoreOptions()
        options.partitionSpan = .seconds(20_000)
        options.retention = nil
        edit(&options)
        return options
    }

    /// A reading each ten seconds; the counter begins again at 0 now and then.
    private static func fill(_ path: String, ticks: ClosedRange<Int>, options: SampleStoreOptions, skipping: (Int) -> Bool = { _ in false })
        throws -> SampleStore
    {
        let store = try SampleStore.open(folder: DataFolder(path: path), options: options)
        var dice = SampleDice(seed: 77)
        var counter: UInt64 = 5
        for tick in ticks {
            counter = dice.chance(1) ? 3 : counter + UInt64.random(in: 0...9_000_000_000, using: &dice)
            let bits = [
                counter, UInt64(bitPattern: Int64.random(in: -500...500, using: &dice)),
                Double.random(in: 0...1, using: &dice).bitPattern, .max - UInt64.random(in: 0...9, using: &dice),
            ]
            if skipping(tick) { continue }
            store.appendWaiting([SourceTick(schema: schema, time: Timestamp(milliseconds: Int64(tick) * 10_000 + 3), bits: bits)])
            if tick % 400 == 0 { try store.seal(now: Timestamp(seconds: Int64(tick) * 10), everything: true) }
        }
        try store.seal(now: Timestamp(seconds: 1 << 30), everything: true)
        return store
    }

    private static func all(_ metric: String? = nil) -> SeriesSelection {
        SeriesSelection(
            matchers: metric.map { [LabelMatcher("__name__", equals: $0)] } ?? [], from: Timestamp(milliseconds: 0),
            through: Timestamp(milliseconds: 1 << 50))
    }

    /// Holds every bucket against the samples that a select answers; the last file has no rollups yet.
    private static func compare(_ store: SampleStore, _ resolution: RollupResolution) throws -> Int {
        var samples: [LabelSet: SampleRun] = [:]
        try store.select(all()) { labels, run in
            samples[labels] = run
            return true
        }
        var compared = 0
        try store.rollups(all(), resolution) { labels, buckets in
            let run = samples[labels] ?? SampleRun()
            for bucket in buckets {
                let end = bucket.start + resolution.duration
                let inside = run.milliseconds.indices.filter {
                    run.milliseconds[$0] >= bucket.start.milliseconds && run.milliseconds[$0] < end.milliseconds
                }
                let values = inside.map { run.values[$0] }
                // The bucket at the seam to the file that is still written to has only its first part.
                if bucket == buckets.last { continue }
                #expect(bucket.count == values.count)
                #expect(bucket.minimum == values.min() && bucket.maximum == values.max())
                #expect(bucket.first == values.first && bucket.last == values.last)
                #expect(bucket.firstTime.milliseconds == inside.first.map { run.milliseconds[$0] })
                #expect(bucket.lastTime.milliseconds == inside.last.map { run.milliseconds[$0] })
                let sum = values.reduce(0, +)
                #expect(abs(bucket.sum - sum) <= abs(sum) * 1e-12)
                let grown = zip(values, values.dropFirst()).reduce(0.0) { $0 + ($1.1 < $1.0 ? $1.1 : $1.1 - $1.0) }
                let isCounter = labels["__name__"]?.hasSuffix("_total") == true
                #expect((bucket.increase != nil) == isCounter)
                // Doubles cannot tell the huge numbers apart; another test looks at those.
                if let increase = bucket.increase, labels["__name__"] != "huge_total" {
                    #expect(abs(increase - grown) <= abs(grown) * 1e-9 + 1e-3)
                }
                compared += 1
            }
            return true
        }
        return compared
    }

    @Test("a bucket says what the samples in it say, across files and after a restart", arguments: RollupResolution.allCases)
    func truth(resolution: RollupResolution) throws {
        let temporary = TemporaryFolder()
        try {
            let store = try RollupTests.fill(temporary.path, ticks: 1...9000, options: RollupTests.options())
            let report = try store.rollUp()
            #expect(report.files == (store.stats().partitions - 1) * 2 && report.damagedSegments == 0)
            #expect(try store.rollUp() == RollupReport(), "what is rolled up is not rolled up again")
            store.close()
        }()
        let store = try SampleStore.open(folder: DataFolder(path: temporary.path), options: RollupTests.options())
        #expect(try store.verify() == [])
        #expect(store.stats().rollupBytes > 0)
        #expect(try RollupTests.compare(store, resolution) > (resolution == .oneHour ? 50 : 800))
        store.close()
    }

    @Test("the increase is exact to the native unit, restarts and all")
    func increase() throws {
        let temporary = TemporaryFolder()
        let store = try SampleStore.open(
            folder: DataFolder(path: temporary.path), options: RollupTests.options { $0.partitionSpan = .seconds(300) })
        let schema = SourceSchema(labels: LabelSet([Label("host", "h")]), columns: [Column(metric: "n_total")])
        // 2^63 and more: a double could not tell these apart.
        let values: [UInt64] = (0..<30).map { $0 < 20 ? 1 << 63 + $0 * 3 : $0 - 20 }
        for (index, value) in values.enumerated() {
            store.appendWaiting([SourceTick(schema: schema, time: Timestamp(seconds: Int64(index * 10)), bits: [value])])
        }
        try store.seal(now: Timestamp(seconds: 300), everything: true)
        for second in [300, 301] {
            store.appendWaiting([SourceTick(schema: schema, time: Timestamp(seconds: Int64(second * 2)), bits: [1])])
            try store.seal(now: Timestamp(seconds: Int64(second)), everything: true)
        }
        try store.rollUp()
        var found: [RollupBucket] = []
        try store.rollups(RollupTests.all(), .fiveMinutes) { _, buckets in
            found += buckets
            return true
        }
        let first = try #require(found.first)
        #expect(first.count == 30)
        // 19 steps of 3, then from 0 by 9.
        #expect(first.increase == 66.0)
        store.close()
    }

    @Test(
        "series with too few samples a bucket are left to the coarser rollup, or to none",
        arguments: [(12, [1, 1]), (13, [0, 1]), (150, [0, 1]), (151, [0, 0])])
    func tooFew(secondsBetween: Int, rollups: [Int]) throws {
        let temporary = TemporaryFolder()
        let store = try SampleStore.open(
            folder: DataFolder(path: temporary.path), options: RollupTests.options { $0.partitionSpan = .seconds(35_000) })
        let schema = SourceSchema(labels: LabelSet([Label("host", "h")]), columns: [Column(metric: "n_total")])
        // Ten whole hours in the first file.
        for second in stride(from: 0, to: 72_000, by: secondsBetween) {
            if (36_000..<36_000 + secondsBetween).contains(second) {
                try store.seal(now: Timestamp(seconds: Int64(second)), everything: true)
            }
            store.appendWaiting([SourceTick(schema: schema, time: Timestamp(seconds: Int64(second)), bits: [UInt64(second)])])
        }
        try store.seal(now: Timestamp(seconds: 72_000), everything: true)
        #expect(store.stats().partitions == 2)
        try store.rollUp()
        var counts: [Int] = []
        for resolution in RollupResolution.allCases {
            var count = 0
            try store.rollups(RollupTests.all(), resolution) { _, _ in
                count += 1
                return true
            }
            counts.append(count)
        }
        #expect(counts == rollups)
        store.close()
    }

    @Test("retention rolls up what it takes away, and takes rollups away when they are old too")
    func retention() throws {
        let temporary = TemporaryFolder()
        let store = try RollupTests.fill(
            temporary.path, ticks: 1...9000,
            options: RollupTests.options {
                $0.retention = .seconds(30_000)
                $0.fiveMinuteRetention = .seconds(60_000)
                $0.oneHourRetention = nil
            })
        let removed = try store.retain(now: Timestamp(seconds: 90_000))
        #expect(removed.contains("samples-00000001.db") && removed.contains("rollup-5m-00000001.db"))
        #expect(!removed.contains { $0.hasPrefix("rollup-1h") })
        var first: Timestamp?
        try store.rollups(RollupTests.all("level"), .oneHour) { _, buckets in
            first = buckets.first?.start
            return true
        }
        #expect(first == Timestamp(seconds: 0))
        #expect(try #require(store.stats().oldest) > Timestamp(seconds: 20_000))
        #expect(try store.verify() == [])
        store.close()
    }

    @Test("a selection picks series by matchers and buckets by their start")
    func selection() throws {
        let temporary = TemporaryFolder()
        let store = try RollupTests.fill(temporary.path, ticks: 1...5000, options: RollupTests.options())
        try store.rollUp()
        var names: [String] = []
        var starts: [Int64] = []
        let selection = SeriesSelection(
            matchers: [LabelMatcher("__name__", equals: "huge_total"), LabelMatcher("uuid", equals: "u")], from: Timestamp(seconds: 3600),
            through: Timestamp(seconds: 10_799))
        try store.rollups(selection, .oneHour) { labels, buckets in
            names.append(labels["__name__"] ?? "")
            starts += buckets.map { $0.start.milliseconds / 1000 }
            return true
        }
        #expect(names == ["huge_total"] && starts == [3600, 7200])
        store.close()
    }
}
