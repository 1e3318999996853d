import Fleet
import Storage
import TimeSeries

#if canImport(Glibc)
import Glibc
#endif

/// Measures the sample store: size, ingest, decoding, selects, restart, memory.
///
/// `steward-bench store SET --corpus CAPTURE --data DIR [--series N] [--ticks N] [--text DIR [--window SECONDS]]`; SET is day, month, wide, live, or `read`
/// for the selects of a fresh process on a folder that was filled before.
struct StoreBench {
    struct UsageError: Error, CustomStringConvertible { let description: String }

    private var set = "day"
    private var corpus = ""
    private var data = ""
    private var text: String?
    private var window = 7200
    private var series = 10_000
    private var ticks = 2880
    private var cadence = 30
    /// Guests of about 70 series each: some 1,000 series a host.
    private let guestsPerHost = 15
    private let seed: UInt64 = 20_261_123
    /// In the past, since VictoriaMetrics refuses what is days ahead of the clock; where Prometheus' blocks of 18 and 162 hours begin.
    private static let start = Timestamp(seconds: 1_761_847_200)

    init(_ words: [String]) throws {
        var words = words[...]
        set = words.popFirst() ?? "day"
        switch set {
        case "day", "read": break
        case "month": (series, ticks, cadence) = (500, 43_200, 60)
        case "wide": (series, ticks, cadence) = (100_000, 360, 10)
        case "live": (series, ticks, cadence) = (100_000, 720, 10)
        default: throw UsageError(description: "unknown set '\(set)'; there are: day, month, wide, live, read")
        }
        while let option = words.popFirst() {
            guard let value = words.popFirst() else { throw UsageError(description: "\(option) wants a value") }
            switch option {
            case "--corpus": corpus = value
            case "--data": data = value
            case "--text": text = value
            case "--window": window = Int(value) ?? window
            case "--series": series = Int(value) ?? series
            case "--ticks": ticks = Int(value) ?? ticks
            default: throw UsageError(description: "unknown option \(option)")
            }
        }
        guard !data.isEmpty, set == "read" || !corpus.isEmpty else { throw UsageError(description: "--data and --corpus are needed") }
    }

    func run() throws {
        if set == "read" { return try read() }
        calibrate()
        var options = SampleStoreOptions()
        options.retention = nil
        let store = try SampleStore.open(folder: DataFolder(path: data), options: options)
        let (samples, nanoseconds) = try ingest(store)
        let stats = store.stats()
        print(
            "store set=\(set) series=\(stats.series) samples=\(samples) ingest_cpu_s=\(thousandths(Double(nanoseconds) / 1e9))",
            "samples_per_cpu_second=\(Int(Double(samples) / (Double(nanoseconds) / 1e9))) peak_kib=\(peakKibibytes())",
            "start_seconds=\(StoreBench.start.wholeSeconds) end_seconds=\(StoreBench.start.wholeSeconds + Int64(ticks * cadence))")
        print(
            "store set=\(set) segments=\(stats.segments) partitions=\(stats.partitions) segment_bytes=\(stats.segmentBytes)",
            "partition_bytes=\(stats.partitionBytes) head_bytes=\(stats.headBytes)",
            "segment_bytes_per_sample=\(thousandths(stats.segmentBytesPerSample ?? 0)) bytes_per_sample=\(thousandths(stats.bytesPerSample ?? 0))"
        )
        if set == "live" {
            store.close()
            return
        }
        try decode(store, samples: samples)
        try compare(store)
        store.close()
    }

    /// Feeds the fleet as a collector would; counts only the store's own CPU time, whose thread takes part.
    private func ingest(_ store: SampleStore) throws -> (samples: Int, nanoseconds: UInt64) {
        var fleet = try makeFleet()
        var writer = try text.map { try TextFiles(folder: $0, windowSeconds: window) }
        var samples = 0
        var spent: UInt64 = 0
        for tick in 1...ticks {
            let hosts = fleet.next()
            try writer?.write(hosts)
            let before = processNanoseconds()
            for host in hosts {
                samples += host.reduce(0) { $0 + $1.bits.count }
                store.appendWaiting(host)
            }
            try store.seal(now: StoreBench.start + .seconds(tick * cadence))
            spent += processNanoseconds() - before
        }
        let before = processNanoseconds()
        if set != "live" { try store.seal(now: StoreBench.start + .seconds(ticks * cadence), everything: true) }
        try store.checkpoint()
        spent += processNanoseconds() - before
        try writer?.close()
        return (samples, spent)
    }

    private func makeFleet() throws -> BootstrappedFleet {
        try BootstrappedFleet(
            capture: corpus, series: series, cadenceSeconds: cadence, guestsPerHost: guestsPerHost, seed: seed, start: StoreBench.start)
    }

    /// How fast this machine is at the moment: a loop that anybody can repeat.
    private func calibrate() {
        var dice = BenchDice(state: seed)
        let rounds = 100_000_000
        var mixed: UInt64 = 0
        let before = processNanoseconds()
        for _ in 0..<rounds { mixed ^= dice.next() }
        let spent = processNanoseconds() - before
        print("calibration splitmix64_rounds=\(rounds) ns_per_round=\(thousandths(Double(spent) / Double(rounds))) mixed=\(mixed)")
    }

    private func decode(_ store: SampleStore, samples: Int) throws {
        var rates: [Double] = []
        var sum = 0.0
        for _ in 0..<5 {
            let before = processNanoseconds()
            let (count, total) = try store.snapshot().sumOfEverything()
            sum = total
            guard count == samples else { throw UsageError(description: "decoded \(count) of \(samples) samples") }
            rates.append(Double(samples) / Double(processNanoseconds() - before) * 1000)
        }
        rates.sort()
        print(
            "decode set=\(set) million_samples_per_cpu_second=\(thousandths(rates[2])) best=\(thousandths(rates[4])) worst=\(thousandths(rates[0])) sum=\(sum)"
        )
    }

    /// Makes the fleet once more and compares every sample, through selects of a guest at a time.
    private func compare(_ store: SampleStore) throws {
        var fleet = try makeFleet()
        var expected: [LabelSet: (times: Int, hash: UInt64)] = [:]
        for _ in 1...ticks {
            for host in fleet.next() {
                for tick in host {
                    for (index, column) in tick.schema.columns.enumerated() where index % 7 == 3 {
                        let value = column.scale.apply(toBits: tick.bits[index], kind: column.kind)
                        let labels = tick.schema.labelSet(ofColumn: index)
                        let known = expected[labels] ?? (0, 0)
                        expected[labels] = (known.times + 1, mix(mix(known.hash, UInt64(tick.time.milliseconds)), value.bitPattern))
                    }
                }
            }
            if series > 20_000 { break }
        }
        guard series <= 20_000 else { return }
        var checked = 0
        let all = SeriesSelection(matchers: [], from: Timestamp(milliseconds: 0), through: Timestamp(milliseconds: .max))
        var wrong = 0
        try store.select(all) { labels, run in
            guard let known = expected[labels] else { return true }
            var hash: UInt64 = 0
            for (time, value) in zip(run.milliseconds, run.values) { hash = mix(mix(hash, UInt64(time)), value.bitPattern) }
            if hash != known.hash || run.values.count != known.times { wrong += 1 }
            checked += 1
            return true
        }
        print("compare set=\(set) series_compared=\(checked) of=\(expected.count) wrong=\(wrong)")
        guard wrong == 0, checked == expected.count else {
            throw UsageError(description: "the store answers other samples than it was given")
        }
    }

    private func mix(_ hash: UInt64, _ word: UInt64) -> UInt64 { (hash ^ word) &* 0x9e37_79b9_7f4a_7c15 &+ (hash >> 29) }

    /// The selects of a fresh process: opening, one guest, one metric.
    private func read() throws {
        let opened = wallNanoseconds()
        let store = try SampleStore.open(folder: DataFolder(path: data))
        print("open ms=\(milliseconds(since: opened)) head_samples=\(store.stats().headSamples)")
        let guest = LabelMatcher("domain", equals: "guest-7")
        try select("one_guest_all_series", store, [guest])
        try select("one_metric_all_guests", store, [LabelMatcher("__name__", equals: "libvirt_domain_cpu_time_seconds_total")])
        store.close()
    }

    private func select(_ name: String, _ store: SampleStore, _ matchers: [LabelMatcher]) throws {
        var samples = 0
        var series = 0
        let start = wallNanoseconds()
        let bytes = bytesRead()
        let selection = SeriesSelection(matchers: matchers, from: StoreBench.start, through: StoreBench.start + .seconds(86_400))
        try store.select(selection) { _, run in
            series += 1
            samples += run.values.count
            return true
        }
        let read = bytesRead() - bytes
        print(
            "select name=\(name) ms=\(milliseconds(since: start)) series=\(series) samples=\(samples) bytes_read=\(read)",
            "bytes_per_sample=\(thousandths(Double(read) / Double(max(1, samples))))")
    }

    private func milliseconds(since start: UInt64) -> Double { thousandths(Double(wallNanoseconds() - start) / 1e6) }
}

func thousandths(_ number: Double) -> Double { (number * 1000).rounded() / 1000 }

func wallNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// What this process had from read calls so far, cached or not, from `/proc/self/io`.
func bytesRead() -> Int {
    guard let file = fopen("/proc/self/io", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    while fgets(&line, Int32(line.count), file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if text.hasPrefix("rchar:") { return Int(text.filter(\.isNumber)) ?? 0 }
    }
    return 0
}
