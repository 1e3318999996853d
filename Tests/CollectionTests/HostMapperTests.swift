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

    @Test("node figures carry their mode and lane figures their call")
    func host() {
        var mapper = HostMapper(host: "h1")
        var lane = LaneFigures()
        lane.isUp = true
        lane.ticks = 4
        lane.calls = [LaneFigures.Call(name: "virNodeGetInfo", count: 5, errors: 1, nanoseconds: 6)]
        let description = HostDescription(
            hostname: "node1", hypervisor: "QEMU", hypervisorVersion: 7_002_022, libvirtVersion: nil, libraryVersion: 9_000_000,
            cpuModel: "x86_64", cpus: 8, megahertz: 2400, topology: .init(cells: 1, sockets: 1, cores: 4, threads: 2), memory: .gibibytes(1)
        )
        let tick = mapper.map(
            node: node, description: description, readings: [reading(full), reading([("state.state", .signed(5))])], lane: lane, at: noon)
        let known = values(tick)
        #expect(tick.schema.labels.labels == [Label("host", "h1")])
        #expect(known["libvirt_up"] == 1 && known["libvirt_node_cpus"] == 8 && known["libvirt_node_cpu_frequency_hertz"] == 2400)
        #expect(known["libvirt_node_cpu_seconds_total{mode=user}"] == 1 && known["libvirt_node_memory_free_bytes"] == 2)
        #expect(known["libvirt_domains{state=running}"] == 1 && known["libvirt_domains{state=shut off}"] == 1)
        #expect(known["steward_libvirt_call_errors_total{call=virNodeGetInfo}"] == 1 && known["steward_ticks_total"] == 4)
        let info =
            "libvirt_node_info{cells=1,cores=4,cpu_model=x86_64,hostname=node1,hypervisor=QEMU,hypervisor_version=7.2.22,"
            + "library_version=9.0.0,sockets=1,threads=2}"
        #expect(known[info] == 1)
        #expect(known["steward_tick_duration_seconds"] == nil, "unknown before the first tick has ended")
    }

    @Test("a host that does not answer has no counts, and a state that emptied counts 0")
    func down() {
        var mapper = HostMapper(host: "h1")
        func map(_ readings: [DomainReading]?) -> [String: UInt64] {
            values(mapper.map(node: nil, description: nil, readings: readings, lane: LaneFigures(), at: noon))
        }
        #expect(map([reading(full)])["libvirt_domains{state=running}"] == 1)
        #expect(map(nil)["libvirt_domains{state=running}"] == nil)
        #expect(map(nil)["libvirt_up"] == 0)
        #expect(map([])["libvirt_domains{state=running}"] == 0)
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
        var lane = LaneFigures()
        lane.calls = [LaneFigures.Call(name: "c")]
        ticks.append(host.map(node: node, description: nil, readings: [reading(full)], lane: lane, at: noon))
        var pool = PoolMapper(host: "h1", pool: "p")
        ticks.append(pool.map(PoolReading(name: "p", state: nil, capacity: Bytes(1), allocation: Bytes(1), available: Bytes(1)), at: noon))
        var guest = GuestMapper(host: "h1", guest: guestID)
        ticks.append(guest.map(reading(full), at: noon))
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
