import Collection
import Fleet
import Testing
import TimeSeries

let guestID = GuestID(high: 1, low: 2)

func reading(_ parameters: [(String, StatValue)], id: Int32? = 7, name: String = "web") -> DomainReading {
    DomainReading(guest: guestID, name: name, domainID: id, parameters: parameters.map { StatParameter($0, $1) })
}

/// The numbers of a tick that are there, by metric and labels without those of the source.
func values(_ tick: SourceTick) -> [String: UInt64] {
    var values: [String: UInt64] = [:]
    for (index, column) in tick.schema.columns.enumerated() where tick.isPresent(index) {
        let labels = column.labels.labels.map { "\($0.name)=\($0.value)" }.joined(separator: ",")
        values[labels.isEmpty ? column.metric : "\(column.metric){\(labels)}"] = tick.bits[index]
    }
    return values
}

let full: [(String, StatValue)] = [
    ("state.state", .signed(1)), ("state.reason", .signed(5)), ("cpu.time", .unsigned(100)), ("cpu.user", .unsigned(60)),
    ("balloon.current", .unsigned(1024)), ("balloon.maximum", .unsigned(2048)), ("balloon.available", .unsigned(900)),
    ("balloon.usable", .unsigned(400)), ("balloon.last-update", .unsigned(1_700_000_000)), ("balloon.rss", .unsigned(700)),
    ("vcpu.current", .unsigned(2)), ("vcpu.maximum", .unsigned(4)), ("vcpu.0.state", .signed(1)), ("vcpu.0.time", .unsigned(10)),
    ("vcpu.2.state", .signed(1)), ("vcpu.2.time", .unsigned(20)), ("vcpu.2.halted", .flag(true)), ("net.count", .unsigned(1)),
    ("net.0.name", .text("vnet3")), ("net.0.rx.bytes", .unsigned(5)), ("block.count", .unsigned(2)), ("block.0.name", .text("vda")),
    ("block.0.rd.bytes", .unsigned(.max)), ("block.1.name", .text("vdb")), ("block.1.rd.bytes", .unsigned(8)),
]

@Suite("From readings to samples")
struct MapperTests {
    let noon = Timestamp(seconds: 1_700_000_100)

    @Test("every parameter arrives as libvirt gave it, named by device and vCPU, holes among the vCPUs kept")
    func complete() {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        let tick = mapper.map(reading(full), at: noon)
        #expect(tick.schema.labels.labels == [Label("domain", "web"), Label("host", "h1"), Label("uuid", guestID.description)])
        #expect(
            values(tick) == [
                "libvirt_domain_id": 7, "libvirt_domain_state_code": 1, "libvirt_domain_state_reason_code": 5,
                "libvirt_domain_cpu_time_seconds_total": 100, "libvirt_domain_cpu_user_seconds_total": 60,
                "libvirt_domain_memory_current_bytes": 1024, "libvirt_domain_memory_maximum_bytes": 2048,
                "libvirt_domain_memory_available_bytes": 900, "libvirt_domain_memory_usable_bytes": 400,
                "libvirt_domain_memory_used_bytes": 500, "libvirt_domain_memory_stats_updated_timestamp_seconds": 1_700_000_000,
                "libvirt_domain_memory_rss_bytes": 700, "libvirt_domain_vcpus_current": 2, "libvirt_domain_vcpus_maximum": 4,
                "libvirt_domain_vcpu_state_code{vcpu=0}": 1, "libvirt_domain_vcpu_time_seconds_total{vcpu=0}": 10,
                "libvirt_domain_vcpu_state_code{vcpu=2}": 1, "libvirt_domain_vcpu_time_seconds_total{vcpu=2}": 20,
                "libvirt_domain_vcpu_halted{vcpu=2}": 1, "libvirt_domain_interface_receive_bytes_total{device=vnet3}": 5,
                "libvirt_domain_block_read_bytes_total{device=vda}": .max, "libvirt_domain_block_read_bytes_total{device=vdb}": 8,
                "steward_guest_stuck": 0, "steward_guest_partial": 0, "steward_guest_read_timestamp_seconds": 1_700_000_100_000,
            ])
    }

    @Test("the same shape keeps the schema, and new numbers are the new ones")
    func sameShape() {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        let first = mapper.map(reading(full), at: noon)
        var later = full
        later[2].1 = .unsigned(150)
        let second = mapper.map(reading(later), at: noon)
        #expect(first.schema === second.schema)
        #expect(values(second)["libvirt_domain_cpu_time_seconds_total"] == 150)
    }

    @Test(
        "a group that is left out leaves its cells absent in the same schema, and the guest partial",
        arguments: ["cpu.", "vcpu.", "net.", "block.", "balloon."])
    func partial(group: String) {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        let whole = mapper.map(reading(full), at: noon)
        let tick = mapper.map(reading(full.filter { !$0.0.hasPrefix(group) }), at: noon)
        #expect(tick.schema === whole.schema)
        #expect(mapper.isPartial)
        var expected = values(whole)
        let prefixes = [
            "cpu.": ["libvirt_domain_cpu_"], "vcpu.": ["libvirt_domain_vcpu"], "net.": ["libvirt_domain_interface_"],
            "block.": ["libvirt_domain_block_"], "balloon.": ["libvirt_domain_memory_"],
        ]
        expected = expected.filter { key, _ in !(prefixes[group] ?? []).contains { key.hasPrefix($0) } }
        expected["steward_guest_partial"] = 1
        #expect(values(tick) == expected)
        #expect(values(mapper.map(reading(full), at: noon)) == values(whole))
        #expect(!mapper.isPartial)
    }

    @Test("figures that a busy guest leaves out of a group are absent, those that it gives are there")
    func partialGroup() {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        let whole = mapper.map(reading(full), at: noon)
        let tick = mapper.map(reading(full.filter { !$0.0.hasSuffix("rd.bytes") }), at: noon)
        #expect(tick.schema === whole.schema && mapper.isPartial)
        #expect(values(tick).keys.filter { $0.hasPrefix("libvirt_domain_block") }.isEmpty)
        #expect(values(tick)["libvirt_domain_cpu_time_seconds_total"] == 100)
    }

    @Test("a disk, interface or vCPU that is gone takes its series with it and leaves nothing partial")
    func unplugged() {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        _ = mapper.map(reading(full), at: noon)
        var smaller = full.filter { !$0.0.hasPrefix("block.1.") && !$0.0.hasPrefix("net.0.") && !$0.0.hasPrefix("vcpu.0.") }
        for index in smaller.indices {
            if smaller[index].0 == "block.count" { smaller[index].1 = .unsigned(1) }
            if smaller[index].0 == "net.count" { smaller[index].1 = .unsigned(0) }
            if smaller[index].0 == "vcpu.current" { smaller[index].1 = .unsigned(1) }
        }
        let tick = mapper.map(reading(smaller), at: noon)
        #expect(!mapper.isPartial && tick.presence.isEmpty)
        let metrics = tick.schema.columns.map { "\($0.metric) \($0.labels.labels.map(\.value))" }
        #expect(
            !metrics.contains {
                $0.contains("vdb") || $0.contains("vnet3") || $0.hasPrefix("libvirt_domain_vcpu_time_seconds_total [\"0\"]")
            })
        #expect(metrics.contains { $0.contains("vda") } && metrics.contains("libvirt_domain_vcpu_time_seconds_total [\"2\"]"))
    }

    @Test("disks that change places keep their numbers under their own names")
    func reordered() {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        _ = mapper.map(reading(full), at: noon)
        var swapped = full
        for index in swapped.indices {
            if swapped[index].0 == "block.0.name" { swapped[index].1 = .text("vdb") }
            if swapped[index].0 == "block.1.name" { swapped[index].1 = .text("vda") }
        }
        let tick = values(mapper.map(reading(swapped), at: noon))
        #expect(tick["libvirt_domain_block_read_bytes_total{device=vdb}"] == .max)
        #expect(tick["libvirt_domain_block_read_bytes_total{device=vda}"] == 8)
    }

    @Test("memory figures that the guest never reported are unknown, those of the hypervisor stay")
    func neverReported() {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        var parameters = full
        for index in parameters.indices where parameters[index].0 == "balloon.last-update" { parameters[index].1 = .unsigned(0) }
        let memory = values(mapper.map(reading(parameters), at: noon)).filter { $0.key.hasPrefix("libvirt_domain_memory_") }
        #expect(
            memory == [
                "libvirt_domain_memory_current_bytes": 1024, "libvirt_domain_memory_maximum_bytes": 2048,
                "libvirt_domain_memory_rss_bytes": 700,
            ])
        #expect(!mapper.isPartial)
    }

    @Test("a guest that was shut off loses the series of its running life")
    func shutOff() {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        _ = mapper.map(reading(full), at: noon)
        let tick = mapper.map(reading([("state.state", .signed(5)), ("state.reason", .signed(1))], id: nil), at: noon)
        #expect(tick.schema.columns.count == 5 && tick.presence.isEmpty && !mapper.isPartial)
    }

    @Test("a stuck guest keeps its descriptions, its flag and its age, and no value")
    func stuck() throws {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        let xml = """
            <domain><name>web</name><uuid>\(guestID)</uuid><memory>1</memory><os><type arch='x86_64'>hvm</type></os><devices><disk>
            <target dev='vda'/><iotune><total_iops_sec>9</total_iops_sec></iotune></disk></devices></domain>
            """
        mapper.describe(try GuestDescription(domainXML: xml))
        let whole = mapper.map(reading(full), at: noon)
        let later = noon + .seconds(20)
        let tick = mapper.stuck(name: "web", at: later)
        #expect(tick.schema === whole.schema && tick.time == later)
        #expect(
            values(tick) == [
                "libvirt_domain_info{architecture=x86_64,os_type=hvm}": 1, "libvirt_domain_block_info{device=vda,device_type=disk}": 1,
                "steward_guest_stuck": 1, "steward_guest_read_timestamp_seconds": 1_700_000_100_000,
            ])
        #expect(values(mapper.map(reading(full), at: later))["libvirt_domain_cpu_time_seconds_total"] == 100)
    }

    @Test("a guest that was stuck from the first tick has a flag and no age")
    func stuckFromTheStart() {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        #expect(values(mapper.stuck(name: "web", at: noon)) == ["steward_guest_stuck": 1])
        #expect(values(mapper.map(reading(full), at: noon)).count == 25)
    }

    @Test("a description that arrives later adds its series, and a renamed guest gets a new source")
    func described() throws {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        let before = mapper.map(reading(full), at: noon)
        let description = GuestDescription(
            guest: guestID, name: "web", title: String(repeating: "ö", count: 600), vcpusMaximum: 4, vcpusCurrent: 2,
            memoryMaximum: .mebibytes(2), disks: [DiskDescription(target: "vda", limits: [.init(name: "read_iops_sec_max", value: 5)])],
            metadata: GuestMetadata(tags: [.init(name: "k", value: "v")], diskTypes: [.init(target: "vda", type: "ssd")]))
        mapper.describe(description)
        let after = mapper.map(reading(full), at: noon)
        #expect(before.schema !== after.schema)
        let added = Set(values(after).keys).subtracting(values(before).keys)
        #expect(
            added == [
                "libvirt_domain_info{title=\(String(repeating: "ö", count: 512))}", "libvirt_domain_tag_info{tag=k,value=v}",
                "libvirt_domain_block_info{device=vda,device_type=disk,type=ssd}",
                "libvirt_domain_block_limit_burst_requests_per_second{device=vda,operation=read}",
            ])
        mapper.describe(description)
        #expect(mapper.map(reading(full), at: noon).schema === after.schema)
        #expect(mapper.map(reading(full, name: "shop"), at: noon).schema.labels["domain"] == "shop")
    }

    @Test("a job's figures stand beside the guest's while it runs and vanish with it")
    func job() {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        let before = values(mapper.map(reading(full), at: noon))
        let job = JobReading(
            guest: guestID, type: 2,
            parameters: [
                StatParameter("operation", .signed(6)), StatParameter("time_elapsed", .unsigned(1500)),
                StatParameter("memory_remaining", .unsigned(4096)), StatParameter("auto_converge_throttle", .signed(20)),
            ])
        let during = values(mapper.map(reading(full), job: job, at: noon))
        #expect(
            during.filter { $0.key.hasPrefix("libvirt_domain_job") } == [
                "libvirt_domain_job_type_code": 2, "libvirt_domain_job_operation_code": 6, "libvirt_domain_job_elapsed_seconds": 1500,
                "libvirt_domain_job_memory_remaining_bytes": 4096, "libvirt_domain_job_auto_converge_throttle_ratio": 20,
            ])
        #expect(during.count == before.count + 5)
        #expect(values(mapper.map(reading(full), job: JobReading(guest: guestID, type: 0, parameters: []), at: noon)) == before)
    }

    @Test("monitors, perf events, I/O threads and the hypervisor's own words find their families")
    func rare() {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        let tick = mapper.map(
            reading([
                ("cpu.cache.monitor.count", .unsigned(1)), ("cpu.cache.monitor.0.name", .text("vcpus_0-1")),
                ("cpu.cache.monitor.0.bank.0.id", .unsigned(3)), ("cpu.cache.monitor.0.bank.0.bytes", .unsigned(11)),
                ("memory.bandwidth.monitor.0.name", .text("all")), ("memory.bandwidth.monitor.0.node.1.id", .unsigned(4)),
                ("memory.bandwidth.monitor.0.node.1.bytes.local", .unsigned(12)), ("perf.cpu_cycles", .unsigned(13)),
                ("perf.task_clock", .unsigned(14)), ("perf.mbmt", .unsigned(15)), ("iothread.5.poll-max-ns", .unsigned(16)),
                ("vm.remote_tlb_flush.sum", .unsigned(17)), ("vm.halted.cur", .flag(true)), ("vcpu.1.exits.sum", .unsigned(18)),
                ("cpu.haltpoll.fail.time", .unsigned(19)), ("dirtyrate.megabytes_per_second", .signed(20)),
                ("dirtyrate.calc_mode", .text("page-sampling")), ("dirtyrate.vcpu.0.megabytes_per_second", .unsigned(21)),
                ("something.new", .unsigned(1)), ("block.7.rd.bytes", .unsigned(1)),
            ]), at: noon)
        #expect(
            values(tick).filter { !$0.key.hasPrefix("steward_") && $0.key != "libvirt_domain_id" } == [
                "libvirt_domain_cache_occupancy_bytes{bank=3,monitor=vcpus_0-1}": 11,
                "libvirt_domain_memory_bandwidth_bytes_total{monitor=all,node=4,scope=local}": 12,
                "libvirt_domain_perf_events_total{event=cpu_cycles}": 13, "libvirt_domain_perf_clock_seconds_total{event=task_clock}": 14,
                "libvirt_domain_perf_memory_bandwidth_bytes_per_second{scope=total}": 15,
                "libvirt_domain_iothread_poll_max_seconds{iothread=5}": 16,
                "libvirt_domain_hypervisor_events_total{statistic=remote_tlb_flush}": 17,
                "libvirt_domain_hypervisor_value{statistic=halted,value=cur}": 1,
                "libvirt_domain_vcpu_hypervisor_events_total{statistic=exits,vcpu=1}": 18,
                "libvirt_domain_cpu_haltpoll_seconds_total{result=fail}": 19, "libvirt_domain_dirty_rate_bytes_per_second": 20,
                "libvirt_domain_vcpu_dirty_rate_bytes_per_second{vcpu=0}": 21,
            ])
    }

    @Test("a negative number is unknown, not huge")
    func negative() {
        var mapper = GuestMapper(host: "h1", guest: guestID)
        var parameters = full
        _ = mapper.map(reading(parameters), at: noon)
        parameters[2].1 = .signed(-1)
        #expect(values(mapper.map(reading(parameters), at: noon))["libvirt_domain_cpu_time_seconds_total"] == nil)
    }
}
