import Collection
import Exposition
import Fleet
import Testing
import TimeSeries

#if canImport(Glibc)
import Glibc
#endif

/// Captures of real hosts: the folder that STEWARD_CORPUS names, or `shared/corpus` beside the package or above it.
func corpusFiles() -> [String] {
    var folders: [String] = []
    if let named = getenv("STEWARD_CORPUS") { folders.append(String(cString: named)) }
    var parts = #filePath.split(separator: "/").dropLast(3)
    while !parts.isEmpty {
        parts.removeLast()
        folders.append("/" + (parts + ["shared", "corpus"]).joined(separator: "/"))
    }
    for folder in folders {
        guard let listing = opendir(folder) else { continue }
        defer { closedir(listing) }
        var files: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".jsonl.gz") { files.append("\(folder)/\(name)") }
        }
        if !files.isEmpty { return files.sorted() }
    }
    return []
}

/// What each parameter must become, written down apart from the catalogue: metric, label, multiplier, decimals.
private let expectations: [String: (metric: String, label: String?, multiplier: UInt64, decimals: Int)] = [
    "state.state": ("libvirt_domain_state_code", nil, 1, 0), "state.reason": ("libvirt_domain_state_reason_code", nil, 1, 0),
    "cpu.time": ("libvirt_domain_cpu_time_seconds_total", nil, 1, 9), "cpu.user": ("libvirt_domain_cpu_user_seconds_total", nil, 1, 9),
    "cpu.system": ("libvirt_domain_cpu_system_seconds_total", nil, 1, 9),
    "cpu.haltpoll.success.time": ("libvirt_domain_cpu_haltpoll_seconds_total", "result=success", 1, 9),
    "cpu.haltpoll.fail.time": ("libvirt_domain_cpu_haltpoll_seconds_total", "result=fail", 1, 9),
    "balloon.current": ("libvirt_domain_memory_current_bytes", nil, 1024, 0),
    "balloon.maximum": ("libvirt_domain_memory_maximum_bytes", nil, 1024, 0),
    "balloon.swap_in": ("libvirt_domain_memory_swap_in_bytes_total", nil, 1024, 0),
    "balloon.swap_out": ("libvirt_domain_memory_swap_out_bytes_total", nil, 1024, 0),
    "balloon.major_fault": ("libvirt_domain_memory_major_faults_total", nil, 1, 0),
    "balloon.minor_fault": ("libvirt_domain_memory_minor_faults_total", nil, 1, 0),
    "balloon.unused": ("libvirt_domain_memory_unused_bytes", nil, 1024, 0),
    "balloon.available": ("libvirt_domain_memory_available_bytes", nil, 1024, 0),
    "balloon.usable": ("libvirt_domain_memory_usable_bytes", nil, 1024, 0),
    "balloon.last-update": ("libvirt_domain_memory_stats_updated_timestamp_seconds", nil, 1, 0),
    "balloon.disk_caches": ("libvirt_domain_memory_disk_caches_bytes", nil, 1024, 0),
    "balloon.hugetlb_pgalloc": ("libvirt_domain_memory_hugetlb_allocations_total", nil, 1, 0),
    "balloon.hugetlb_pgfail": ("libvirt_domain_memory_hugetlb_failures_total", nil, 1, 0),
    "balloon.rss": ("libvirt_domain_memory_rss_bytes", nil, 1024, 0), "vcpu.current": ("libvirt_domain_vcpus_current", nil, 1, 0),
    "vcpu.maximum": ("libvirt_domain_vcpus_maximum", nil, 1, 0), "vcpu.N.state": ("libvirt_domain_vcpu_state_code", "vcpu=N", 1, 0),
    "vcpu.N.time": ("libvirt_domain_vcpu_time_seconds_total", "vcpu=N", 1, 9),
    "vcpu.N.wait": ("libvirt_domain_vcpu_wait_seconds_total", "vcpu=N", 1, 9),
    "vcpu.N.delay": ("libvirt_domain_vcpu_delay_seconds_total", "vcpu=N", 1, 9),
    "net.N.rx.bytes": ("libvirt_domain_interface_receive_bytes_total", "device=net", 1, 0),
    "net.N.rx.pkts": ("libvirt_domain_interface_receive_packets_total", "device=net", 1, 0),
    "net.N.rx.errs": ("libvirt_domain_interface_receive_errors_total", "device=net", 1, 0),
    "net.N.rx.drop": ("libvirt_domain_interface_receive_drops_total", "device=net", 1, 0),
    "net.N.tx.bytes": ("libvirt_domain_interface_transmit_bytes_total", "device=net", 1, 0),
    "net.N.tx.pkts": ("libvirt_domain_interface_transmit_packets_total", "device=net", 1, 0),
    "net.N.tx.errs": ("libvirt_domain_interface_transmit_errors_total", "device=net", 1, 0),
    "net.N.tx.drop": ("libvirt_domain_interface_transmit_drops_total", "device=net", 1, 0),
    "block.N.rd.reqs": ("libvirt_domain_block_read_requests_total", "device=block", 1, 0),
    "block.N.rd.bytes": ("libvirt_domain_block_read_bytes_total", "device=block", 1, 0),
    "block.N.rd.times": ("libvirt_domain_block_read_time_seconds_total", "device=block", 1, 9),
    "block.N.wr.reqs": ("libvirt_domain_block_write_requests_total", "device=block", 1, 0),
    "block.N.wr.bytes": ("libvirt_domain_block_write_bytes_total", "device=block", 1, 0),
    "block.N.wr.times": ("libvirt_domain_block_write_time_seconds_total", "device=block", 1, 9),
    "block.N.fl.reqs": ("libvirt_domain_block_flush_requests_total", "device=block", 1, 0),
    "block.N.fl.times": ("libvirt_domain_block_flush_time_seconds_total", "device=block", 1, 9),
    "block.N.allocation": ("libvirt_domain_block_allocation_bytes", "device=block", 1, 0),
    "block.N.capacity": ("libvirt_domain_block_capacity_bytes", "device=block", 1, 0),
    "block.N.physical": ("libvirt_domain_block_physical_bytes", "device=block", 1, 0),
]

/// Parameters that become no number: counts of what follows, names, and the state of a measurement that nobody began.
private let silent: Set<String> = [
    "cpu.cache.monitor.count", "net.count", "net.N.name", "block.count", "block.N.name", "block.N.path", "block.N.backingIndex",
    "dirtyrate.calc_status", "dirtyrate.calc_start_time", "dirtyrate.calc_period", "dirtyrate.calc_mode",
]

@Suite("Captures of real hosts", .enabled(if: !corpusFiles().isEmpty, "no captures found: set STEWARD_CORPUS to their folder"))
struct CorpusTests {
    @Test("every number of every reading arrives under its name, and nothing else does", arguments: corpusFiles())
    func everyValue(path: String) throws {
        var reader = try CaptureReader(path: path)
        var mappers: [String: GuestMapper] = [:]
        var described: [String: CapturedGuest] = [:]
        var readings = 0
        var numbers = 0
        var schemas: Set<ObjectIdentifier> = []
        var kept: [SourceSchema] = []
        while let record = try reader.next() {
            switch record {
            case .guest(let guest):
                let key = "\(guest.host)/\(guest.guest)"
                described[key] = guest
                guard let xml = guest.xml else { continue }
                let description = try GuestDescription(domainXML: xml)
                #expect(description.guest == guest.guest && description.name == guest.name)
                #expect(description.balloonPeriodSeconds == 2 && description.disks.first?.bus == "virtio")
                mappers[key, default: GuestMapper(host: guest.host, guest: guest.guest)].describe(description)
            case .reading(let captured):
                let key = "\(captured.host)/\(captured.guest)"
                var mapper = mappers[key] ?? GuestMapper(host: captured.host, guest: captured.guest)
                let tick = mapper.map(captured.domainReading(of: described[key]), at: captured.time)
                mappers[key] = mapper
                numbers += try check(tick, captured)
                if schemas.insert(ObjectIdentifier(tick.schema)).inserted { kept.append(tick.schema) }
                readings += 1
            case .node: break
            }
        }
        #expect(readings > 1000 && numbers > readings * 40, "\(readings) readings, \(numbers) numbers")
        #expect(schemas.count < readings / 100, "\(schemas.count) schemas for \(readings) readings: the shape is not remembered")
    }

    /// Compares one tick with the raw parameters; returns how many numbers there were.
    private func check(_ tick: SourceTick, _ captured: CapturedReading) throws -> Int {
        var raw: [String: StatValue] = [:]
        for parameter in captured.parameters { raw[parameter.name] = parameter.value }
        let isReported = raw["balloon.last-update"]?.unsignedInteger ?? 0 > 0
        var found = values(tick)
        var numbers = 0
        for parameter in captured.parameters {
            let words = parameter.name.split(separator: ".").map(String.init)
            let pattern = words.map { Int($0) == nil ? $0 : "N" }.joined(separator: ".")
            guard let expected = expectations[pattern] else {
                #expect(silent.contains(pattern), "\(parameter.name) is not mapped")
                continue
            }
            var label = expected.label?.replacing("=N", with: "=\(words[1])")
            if let group = label, group.hasPrefix("device="), case .text(let name)? = raw["\(words[0]).\(words[1]).name"] {
                label = "device=\(name)"
            }
            let key = expected.metric + (label.map { "{\($0)}" } ?? "")
            let byGuest = pattern.hasPrefix("balloon.") && !["balloon.current", "balloon.maximum", "balloon.rss"].contains(pattern)
            let value = found.removeValue(forKey: key)
            #expect(value == (byGuest && !isReported ? nil : parameter.value.unsignedInteger), "\(parameter.name)")
            numbers += 1
            if let column = tick.schema.columns.first(where: { $0.metric == expected.metric }) {
                #expect(column.scale == Scale(multiplier: UInt32(expected.multiplier), decimals: UInt8(expected.decimals)))
            }
        }
        let used = found.removeValue(forKey: "libvirt_domain_memory_used_bytes")
        if isReported, let available = raw["balloon.available"]?.unsignedInteger, let usable = raw["balloon.usable"]?.unsignedInteger {
            #expect(used == available - usable)
        } else {
            #expect(used == nil)
        }
        found.removeValue(forKey: "libvirt_domain_id")
        #expect(found.removeValue(forKey: "steward_guest_read_timestamp_seconds") == UInt64(captured.time.milliseconds))
        #expect(found.removeValue(forKey: "steward_guest_stuck") == 0 && found.removeValue(forKey: "steward_guest_partial") == 0)
        #expect(found.keys.allSatisfy { $0.contains("_info") && found[$0] == 1 }, "\(found)")
        return numbers
    }

    @Test(
        "the last tick of every guest and host, written as text, is what Prometheus' linter has nothing to say about",
        arguments: corpusFiles())
    func exposition(path: String) throws {
        var reader = try CaptureReader(path: path)
        var guests: [String: (GuestMapper, SourceTick?, CapturedGuest)] = [:]
        var hosts: [String: (HostMapper, SourceTick)] = [:]
        while let record = try reader.next() {
            switch record {
            case .guest(let guest):
                let key = "\(guest.host)/\(guest.guest)"
                var mapper = guests[key]?.0 ?? GuestMapper(host: guest.host, guest: guest.guest)
                mapper.describe(try guest.xml.map { try GuestDescription(domainXML: $0) })
                guests[key] = (mapper, guests[key]?.1, guest)
            case .reading(let captured):
                let key = "\(captured.host)/\(captured.guest)"
                guard let known = guests[key] else { continue }
                var mapper = known.0
                let tick = mapper.map(captured.domainReading(of: known.2), at: captured.time)
                guests[key] = (mapper, tick, known.2)
            case .node(let time, let host, let node):
                var mapper = hosts[host.text]?.0 ?? HostMapper(host: host)
                let tick = mapper.map(LaneReport(host: host, time: time, isUp: true, node: node), partial: 0)
                hosts[host.text] = (mapper, tick)
            }
        }
        let ticks = hosts.keys.sorted().compactMap { hosts[$0]?.1 } + guests.keys.sorted().compactMap { guests[$0]?.1 }
        var renderer = ExpositionRenderer(ticks)
        let folder = TemporaryFolder()
        var text: [UInt8] = []
        while let piece = renderer.next() { text += piece }
        #expect(renderer.lines > ticks.count * 10)
        guard system("command -v promtool >/dev/null") == 0 else { return }
        let status = system("promtool check metrics < \(folder.file("metrics", text)) > \(folder.path)/output 2>&1")
        #expect(status == 0 && contents("\(folder.path)/output").isEmpty)
    }
}
