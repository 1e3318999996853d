import Collection
import Exposition
import Fleet
import TimeSeries

#if canImport(Glibc)
import Glibc
#endif

/// Renders a made-up fleet to text and reports the time a line and the memory beyond the snapshot.
///
/// The bounds: 1,000,000 series at no more than 150 ns a line on one core and 16 MiB beyond the snapshot.
struct RenderBench {
    /// The series to reach at least.
    var series = 1_000_000
    /// Guests on one host.
    var guestsPerHost = 20
    /// How often the snapshot is rendered; the best and the middle time count.
    var rounds = 7

    /// Runs and prints one line of `key=value` pairs for each format; true when both bounds hold.
    func run() -> Bool {
        let ticks = makeFleet()
        let count = ticks.reduce(0) { $0 + $1.schema.columns.count }
        let text = ticks.reduce(0) { $0 + $1.schema.text.bytes }
        print(
            "render snapshot: series=\(count) sources=\(ticks.count) hosts=\(ticks.count / (guestsPerHost + 1)) rounds=\(rounds) label_text_bytes=\(text)"
        )
        let isWithin = [ExpositionFormat.prometheusText, .openMetrics].map { measure(ticks, $0, .canonical) }
        _ = measure(ticks, .prometheusText, .tinkoff)
        measureCompression(ticks)
        measureMapping()
        return isWithin.allSatisfy { $0 }
    }

    private func measure(_ ticks: [SourceTick], _ format: ExpositionFormat, _ names: MetricNames) -> Bool {
        var nanosecondsALine: [Double] = []
        var bytes = 0
        var lines = 0
        let before = peakKibibytesAfterReset()
        for _ in 0..<rounds {
            let start = processNanoseconds()
            var renderer = ExpositionRenderer(ticks, format: format, names: names)
            bytes = 0
            while let piece = renderer.next() { bytes += piece.count }
            lines = renderer.lines
            nanosecondsALine.append(Double(processNanoseconds() - start) / Double(lines))
        }
        let beyond = peakKibibytes() - before
        let sorted = nanosecondsALine.sorted()
        let middle = sorted[sorted.count / 2]
        let isWithin = middle <= 150 && beyond <= 16 << 10
        print(
            "render format=\(format) names=\(names) lines=\(lines) bytes=\(bytes) ns_per_line_best=\(tenths(sorted[0]))",
            "ns_per_line_middle=\(tenths(middle)) beyond_snapshot_kib=\(beyond) within_bounds=\(isWithin)")
        return isWithin
    }

    private func measureCompression(_ ticks: [SourceTick]) {
        guard var body = try? CompressedExposition(ExpositionRenderer(ticks)) else { return }
        let start = processNanoseconds()
        var bytes = 0
        while let piece = body.next() { bytes += piece.count }
        let nanoseconds = Double(processNanoseconds() - start) / Double(body.lines)
        print("render gzip text_bytes=\(body.textBytes) gzip_bytes=\(bytes) ns_per_line=\(tenths(nanoseconds))")
    }

    /// Maps readings of one guest, the shape staying the same, as ticks do.
    private func measureMapping() {
        var random = SeededNumbers(state: 1)
        let guest = GuestID(high: 1, low: 2)
        let readings = (0..<64).map { _ in DomainReading(guest: guest, name: "g", domainID: 1, parameters: parameters(3, &random)) }
        var mapper = GuestMapper(host: "h", guest: guest)
        mapper.describe(description(guest, "g", 3))
        var samples = 0
        let count = 100_000
        let start = processNanoseconds()
        for index in 0..<count { samples += mapper.map(readings[index % readings.count], at: Timestamp(seconds: Int64(index))).bits.count }
        let nanoseconds = processNanoseconds() - start
        print(
            "map readings=\(count) samples_per_reading=\(samples / count) ns_per_reading=\(nanoseconds / UInt64(count))",
            "ns_per_sample=\(tenths(Double(nanoseconds) / Double(samples)))")
    }

    private func tenths(_ number: Double) -> Double { (number * 10).rounded() / 10 }

    /// Guests with two vCPUs, two disks and an interface, whose numbers are of the size that a week's uptime gives.
    private func makeFleet() -> [SourceTick] {
        var random = SeededNumbers(state: 20_261_123)
        var ticks: [SourceTick] = []
        var count = 0
        var host = 0
        let time = Timestamp(seconds: 1_795_421_832)
        while count < series {
            let name = HostName("host-\(host)")
            var hostMapper = HostMapper(host: name)
            ticks.append(hostMapper.map(LaneReport(host: name, time: time, isUp: true), partial: 0))
            for index in 0..<guestsPerHost {
                let guest = GuestID(high: random.next(), low: random.next())
                var mapper = GuestMapper(host: name, guest: guest)
                mapper.describe(description(guest, "guest-\(host)-\(index)", index))
                let reading = DomainReading(
                    guest: guest, name: "guest-\(host)-\(index)", domainID: Int32(index + 1), parameters: parameters(index, &random))
                ticks.append(mapper.map(reading, at: time))
            }
            count = ticks.suffix(guestsPerHost + 1).reduce(count) { $0 + $1.schema.columns.count }
            host += 1
        }
        return ticks
    }

    private func description(_ guest: GuestID, _ name: String, _ index: Int) -> GuestDescription {
        GuestDescription(
            guest: guest, name: name, osType: "hvm", architecture: "x86_64", machine: "pc-q35-7.2", vcpusMaximum: 2, vcpusCurrent: 2,
            memoryMaximum: .gibibytes(4),
            disks: ["vda", "vdb"].map {
                DiskDescription(target: $0, bus: "virtio", format: "qcow2", source: "/var/lib/libvirt/images/\(name)-\($0).qcow2")
            },
            interfaces: [
                InterfaceDescription(device: "vnet\(index)", mac: "52:54:00:00:00:01", type: "bridge", source: "br0", model: "virtio")
            ], metadata: GuestMetadata(group: "web", tenant: "acme", instanceType: "s1.small"))
    }

    private func parameters(_ index: Int, _ random: inout SeededNumbers) -> [StatParameter] {
        func number(below bound: UInt64) -> StatValue { .unsigned(random.next() % bound) }
        var list = [StatParameter("state.state", .signed(1)), StatParameter("state.reason", .signed(1))]
        list += ["time", "user", "system"].map { StatParameter("cpu.\($0)", number(below: 600_000_000_000_000)) }
        list += ["current", "maximum", "swap_in", "swap_out", "major_fault", "minor_fault", "unused", "available", "usable", "rss"].map {
            StatParameter("balloon.\($0)", number(below: 4 << 20))
        }
        list.append(StatParameter("balloon.last-update", .unsigned(1_795_421_830)))
        list += [StatParameter("vcpu.current", .unsigned(2)), StatParameter("vcpu.maximum", .unsigned(2))]
        for vcpu in 0..<2 {
            list.append(StatParameter("vcpu.\(vcpu).state", .signed(1)))
            list += ["time", "wait", "delay"].map { StatParameter("vcpu.\(vcpu).\($0)", number(below: 600_000_000_000_000)) }
        }
        list += [StatParameter("net.count", .unsigned(1)), StatParameter("net.0.name", .text("vnet\(index)"))]
        for direction in ["rx", "tx"] {
            list += ["bytes", "pkts", "errs", "drop"].map { StatParameter("net.0.\(direction).\($0)", number(below: 1 << 40)) }
        }
        list.append(StatParameter("block.count", .unsigned(2)))
        for (disk, name) in ["vda", "vdb"].enumerated() {
            list.append(StatParameter("block.\(disk).name", .text(name)))
            for operation in ["rd", "wr"] {
                list += ["reqs", "bytes", "times"].map { StatParameter("block.\(disk).\(operation).\($0)", number(below: 1 << 44)) }
            }
            list += ["fl.reqs", "fl.times", "allocation", "capacity", "physical"].map {
                StatParameter("block.\(disk).\($0)", number(below: 1 << 38))
            }
        }
        return list
    }
}

/// SplitMix64: a seed that replays.
private struct SeededNumbers {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

/// CPU time of the process in nanoseconds.
func processNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// The largest resident size since the last reset, from `/proc/self/status`; 0 where there is none.
func peakKibibytes() -> Int {
    guard let file = fopen("/proc/self/status", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if text.hasPrefix("VmHWM:") { return Int(text.filter(\.isNumber)) ?? 0 }
    }
    return 0
}

/// Resets the largest resident size to the present one (proc(5), clear_refs) and returns it.
func peakKibibytesAfterReset() -> Int {
    if let file = fopen("/proc/self/clear_refs", "w") {
        fputs("5", file)
        fclose(file)
    }
    return peakKibibytes()
}
