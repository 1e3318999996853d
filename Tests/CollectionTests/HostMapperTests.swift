import Collection
import Fleet
import Testing
import TimeSeries

@Suite("From a host's and a pool's figures to samples")
struct HostMapperTests {
    let noon = Timestamp(seconds: 1_700_000_100)
    let node = NodeReading(
        cpu: [StatParameter("user", .unsigned(1)), StatParameter("utilization", .unsigned(9))],
        memory: [StatParameter("free", .unsigned(2)), StatParameter("total", .unsigned(3))])

    func report(isUp: Bool = true, guests: [GuestReport] = [], inactive: [DomainReading] = [], jobs: [JobReading] = []) -> LaneReport {
        let description = HostDescription(
            hostname: "node1", hypervisor: "QEMU", hypervisorVersion: 7_002_022, libvirtVersion: nil, libraryVersion: 9_000_000,
            cpuModel: "x86_64", cpus: 8, megahertz: 2400, topology: .init(cells: 1, sockets: 1, cores: 4, threads: 2), memory: .gibibytes(1)
        )
        var counters = LaneCounters()
        counters.calls = 4
        return LaneReport(
            host: "h1", time: noon, isUp: isUp, description: description, guests: guests, inactive: inactive, node: isUp ? node : nil,
            jobs: jobs, took: .milliseconds(20), counters: counters)
    }

    func guest(_ condition: GuestCondition, _ parameters: [(String, StatValue)] = full) -> GuestReport {
        GuestReport(reading: reading(parameters), description: nil, condition: condition, lastWhole: nil)
    }

    @Test("a host's tick has its node's figures, its guests by state and what the lane counted")
    func host() {
        var mapper = HostMapper(host: "h1")
        let stopped = reading([("state.state", .signed(5))], id: nil)
        let tick = mapper.map(report(guests: [guest(.whole)], inactive: [stopped]), partial: 0)
        let known = values(tick)
        #expect(tick.schema.labels.labels == [Label("host", "h1")])
        #expect(known["libvirt_up"] == 1 && known["libvirt_node_cpus"] == 8 && known["libvirt_node_cpu_frequency_hertz"] == 2400)
        #expect(known["libvirt_node_cpu_seconds_total{mode=user}"] == 1 && known["libvirt_node_memory_free_bytes"] == 2)
        #expect(known["libvirt_domains{state=running}"] == 1 && known["libvirt_domains{state=shut off}"] == 1)
        #expect(known["steward_libvirt_calls_total"] == 4 && known["steward_tick_duration_seconds"] == 20_000_000)
        let info =
            "libvirt_node_info{cells=1,cores=4,cpu_model=x86_64,hostname=node1,hypervisor=QEMU,hypervisor_version=7.2.22,"
            + "library_version=9.0.0,sockets=1,threads=2}"
        #expect(known[info] == 1)
    }

    @Test("a host that does not answer has no counts, and a state that emptied counts 0")
    func down() {
        var mapper = HostMapper(host: "h1")
        let up = values(mapper.map(report(guests: [guest(.whole)]), partial: 0))
        #expect(up["libvirt_domains{state=running}"] == 1)
        let silent = values(mapper.map(report(isUp: false), partial: 0))
        #expect(silent["libvirt_up"] == 0 && silent["steward_tick_timestamp_seconds"] == 1_700_000_100_000)
        for unknown in [
            "libvirt_domains{state=running}", "steward_guests_stuck", "steward_tick_duration_seconds", "libvirt_node_memory_free_bytes",
        ] {
            #expect(silent[unknown] == nil)
        }
        #expect(values(mapper.map(report(), partial: 0))["libvirt_domains{state=running}"] == 0)
    }

    @Test("a lane's report becomes the host's, its pools' and its guests' samples, stuck and partial ones told")
    func wholeReport() {
        var mapper = ReportMapper(host: "h1")
        let job = JobReading(guest: guestID, type: 2, parameters: [])
        let first = mapper.map(report(guests: [guest(.whole)], jobs: [job]))
        #expect(first.count == 2 && values(first[1])["libvirt_domain_job_type_code"] == 2)
        let partial = mapper.map(report(guests: [guest(.partial, full.filter { !$0.0.hasPrefix("block.") })]))
        #expect(values(partial[0])["steward_guests_partial"] == 1 && values(partial[1])["steward_guest_partial"] == 1)
        let stuck = mapper.map(report(guests: [guest(.stuck, [])]))
        #expect(values(stuck[0])["steward_guests_stuck"] == 1 && values(stuck[0])["steward_guests_partial"] == 0)
        #expect(values(stuck[1]) == ["steward_guest_stuck": 1, "steward_guest_read_timestamp_seconds": 1_700_000_100_000])
        #expect(mapper.map(report(isUp: false)).count == 1)
        #expect(mapper.map(report()).count == 1)
        #expect(
            values(mapper.map(report(guests: [guest(.stuck, [])]))[1]) == ["steward_guest_stuck": 1], "a guest that went away is forgotten")
    }

    @Test("a pool's sizes are unknown while it is not running, and its age is told where it is known")
    func pool() {
        var mapper = PoolMapper(host: "h1", pool: "fast")
        let running = PoolReading(name: "fast", state: .running, capacity: Bytes(3), allocation: Bytes(1), available: Bytes(2))
        #expect(
            values(mapper.map(running, refreshed: Timestamp(milliseconds: 5), at: noon)) == [
                "libvirt_storage_pool_state_code": 2, "libvirt_storage_pool_capacity_bytes": 3, "libvirt_storage_pool_allocation_bytes": 1,
                "libvirt_storage_pool_available_bytes": 2, "libvirt_storage_pool_read_timestamp_seconds": 1_700_000_100_000,
                "libvirt_storage_pool_refreshed_timestamp_seconds": 5,
            ])
        let inactive = PoolReading(name: "fast", state: .inactive, capacity: Bytes(0), allocation: Bytes(0), available: Bytes(0))
        #expect(
            values(mapper.map(inactive, at: noon)) == [
                "libvirt_storage_pool_state_code": 0, "libvirt_storage_pool_read_timestamp_seconds": 1_700_000_100_000,
            ])
    }

    @Test("every series that the mappers make is in the catalogue, with the labels and the scale that it names")
    func catalogued() throws {
        var process = ProcessFigures()
        process.build = [Label("version", "1")]
        process.cpuNanoseconds = 1
        var ticks: [SourceTick] = []
        var processMapper = ProcessMapper()
        ticks.append(processMapper.map(process, at: noon))
        var host = HostMapper(host: "h1")
        ticks.append(host.map(report(guests: [guest(.whole)]), partial: 0, mapNanoseconds: 1))
        var pool = PoolMapper(host: "h1", pool: "p")
        ticks.append(pool.map(PoolReading(name: "p", state: nil, capacity: Bytes(1), allocation: Bytes(1), available: Bytes(1)), at: noon))
        var guestMapper = GuestMapper(host: "h1", guest: guestID)
        ticks.append(guestMapper.map(reading(full), at: noon))
        for tick in ticks {
            for column in tick.schema.columns {
                let index = try #require(MetricCatalogue.index(of: column.metric))
                let family = MetricCatalogue.families[index]
                #expect(column.scale == family.scale)
                #expect(Set(column.labels.labels.map(\.name)).isSubset(of: family.labels))
                #expect(Set(tick.schema.labels.labels.map(\.name)) == Set(family.subject.labels))
            }
        }
    }
}
