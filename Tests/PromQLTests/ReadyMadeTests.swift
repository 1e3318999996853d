import Fleet
import PromQL
import QueryScripts
import Testing
import TimeSeries

/// A fleet read every ten seconds, as the store would keep it: each guest's series end with stale markers where a reading lacks them.
private struct RecordedFleet {
    struct Guest {
        var uuid = "g1"
        var domain = "web"
        var tenant = "red"
        var id = 7.0
        var state = 1.0
        var cpu: Double
        var cpus = 2.0
    }

    var source = MemorySource()
    private var live: [String: Set<LabelSet>] = [:]

    /// One reading of a host; `second` is a multiple of the interval.
    mutating func read(_ host: String, at second: Int64, zone: String = "z1", _ guests: [Guest]) {
        var samples: [(LabelSet, Double)] = []
        samples.append((LabelSet(metric: "libvirt_node_info", [Label("host", host), Label("zone", zone)]), 1))
        for guest in guests {
            let own = [Label("host", host), Label("uuid", guest.uuid), Label("domain", guest.domain)]
            let described = own + [Label("tenant", guest.tenant), Label("group", "web-group"), Label("title", "x")]
            samples.append((LabelSet(metric: "libvirt_domain_info", described), 1))
            samples.append((LabelSet(metric: "libvirt_domain_id", own), guest.id))
            samples.append((LabelSet(metric: "libvirt_domain_state_code", own), guest.state))
            samples.append((LabelSet(metric: "libvirt_domain_cpu_time_seconds_total", own), guest.cpu))
            samples.append((LabelSet(metric: "libvirt_domain_vcpus_current", own), guest.cpus))
            for disk in ["vda", "vdb"] {
                let labels = own + [Label("device", disk)]
                samples.append((LabelSet(metric: "libvirt_domain_block_read_bytes_total", labels), guest.cpu * 100))
            }
        }
        let now = Set(samples.map(\.0))
        for gone in (live[host] ?? []).subtracting(now).sorted() { source.add(gone, second * 1000, SampleRun.staleMarker) }
        for (labels, value) in samples { source.add(labels, second * 1000, value) }
        live[host] = now
    }

    func value(_ query: String, at second: Int64) throws -> [String] {
        let result = try Evaluator(source: ReadyMadeSource(source))
            .instant(try Expression(parsing: query), at: Timestamp(milliseconds: second * 1000))
        guard case .vector(let samples) = result.value else { return [] }
        return samples.map { "\($0.labels.promText) \($0.value)" }.sorted()
    }

    /// How many guests there are, and their mean, at each second.
    func checkOneGuest(from: Int64, through: Int64, mean: Double) throws {
        for second in from...through {
            let found = try value("steward_guest_cpu_ratio", at: second)
            #expect(found.count == 1, "at \(second) s: \(found)")
            #expect(try value("avg(steward_guest_cpu_ratio)", at: second) == ["{} \(mean)"], "at \(second) s")
        }
    }
}

@Suite("Ready-made series")
struct ReadyMadeTests {
    @Test("a ratio is the growth between two readings by time and vCPUs, with the descriptions of that reading")
    func ratio() throws {
        var fleet = RecordedFleet()
        for tick in 0...6 { fleet.read("a", at: Int64(tick) * 10, [.init(cpu: Double(tick) * 5)]) }
        #expect(try fleet.value("steward_guest_cpu_ratio", at: 9) == [])
        #expect(
            try fleet.value("steward_guest_cpu_ratio", at: 60) == [
                #"steward_guest_cpu_ratio{domain="web", group="web-group", host="a", tenant="red", uuid="g1", zone="z1"} 0.25"#
            ])
        #expect(try fleet.value("sum(steward_guest_disk_read_bytes_per_second)", at: 60) == ["{} 100.0"])
        #expect(try fleet.value("steward_guest_cpu_ratio{tenant!=\"red\"}", at: 60) == [])
        #expect(try fleet.value("count(libvirt_domain_id)", at: 60) == ["{} 1.0"])
    }

    @Test("a migration closes one label set where the next opens: never no guest, never two")
    func migration() throws {
        var fleet = RecordedFleet()
        for tick in 0...20 {
            let second = Int64(tick) * 10
            // The source runs it until 95 s; the target lists it paused from 75 s on, its counter from zero.
            fleet.read("a", at: second, second < 95 ? [.init(cpu: Double(tick) * 5)] : [])
            let state = second < 95 ? 3.0 : 1.0
            fleet.read("b", at: second, second > 75 ? [.init(id: 3, state: state, cpu: second < 95 ? 0 : Double(second - 90) / 2)] : [])
        }
        try fleet.checkOneGuest(from: 10, through: 200, mean: 0.25)
        #expect(try fleet.value("count by (host) (steward_guest_cpu_ratio)", at: 99) == [#"{host="a"} 1.0"#])
        #expect(try fleet.value("count by (host) (steward_guest_cpu_ratio)", at: 100) == [#"{host="b"} 1.0"#])
    }

    @Test("a guest that appears on its target only after it left its source is bridged, and its readings' phases do not matter")
    func lateTarget() throws {
        var fleet = RecordedFleet()
        for tick in 0...20 {
            let second = Int64(tick) * 10
            fleet.read("a", at: second, second < 95 ? [.init(cpu: Double(tick) * 5)] : [])
            fleet.read("b", at: second + 7, second > 95 ? [.init(id: 3, cpu: Double(second - 100) / 2)] : [])
        }
        try fleet.checkOneGuest(from: 10, through: 200, mean: 0.25)
        #expect(try fleet.value("count by (host) (steward_guest_cpu_ratio)", at: 116) == [#"{host="a"} 1.0"#])
        #expect(try fleet.value("count by (host) (steward_guest_cpu_ratio)", at: 117) == [#"{host="b"} 1.0"#])
    }

    @Test("a migration that fails leaves the guest where it was")
    func failedMigration() throws {
        var fleet = RecordedFleet()
        for tick in 0...20 {
            let second = Int64(tick) * 10
            fleet.read("a", at: second, [.init(cpu: Double(tick) * 5)])
            fleet.read("b", at: second, (75...95).contains(second) ? [.init(id: 3, state: 3, cpu: 0)] : [])
        }
        try fleet.checkOneGuest(from: 10, through: 200, mean: 0.25)
        #expect(try fleet.value("count by (host) (steward_guest_cpu_ratio)", at: 150) == [#"{host="a"} 1.0"#])
    }

    @Test("a rename, a change of tenant and one of zone each close one label set at the reading that opens the next")
    func relabelling() throws {
        var fleet = RecordedFleet()
        for tick in 0...20 {
            let second = Int64(tick) * 10
            let guest = RecordedFleet.Guest(
                domain: second < 50 ? "web" : "shop", tenant: second < 100 ? "red" : "blue", cpu: Double(tick) * 5)
            fleet.read("a", at: second, zone: second < 150 ? "z1" : "z2", [guest])
        }
        try fleet.checkOneGuest(from: 10, through: 200, mean: 0.25)
        let by = "count by (domain, tenant, zone) (steward_guest_cpu_ratio)"
        #expect(try fleet.value(by, at: 49) == [#"{domain="web", tenant="red", zone="z1"} 1.0"#])
        #expect(try fleet.value(by, at: 50) == [#"{domain="shop", tenant="red", zone="z1"} 1.0"#])
        #expect(try fleet.value(by, at: 99) == [#"{domain="shop", tenant="red", zone="z1"} 1.0"#])
        #expect(try fleet.value(by, at: 100) == [#"{domain="shop", tenant="blue", zone="z1"} 1.0"#])
        #expect(try fleet.value(by, at: 150) == [#"{domain="shop", tenant="blue", zone="z2"} 1.0"#])
    }

    @Test("a guest that ends is gone after three intervals, and one that starts anew never borrows from its former life")
    func endAndRestart() throws {
        var fleet = RecordedFleet()
        for tick in 0...30 {
            let second = Int64(tick) * 10
            if second < 95 {
                fleet.read("a", at: second, [.init(cpu: Double(tick) * 5)])
            } else if second < 200 {
                fleet.read("a", at: second, [])
            } else {
                fleet.read("a", at: second, [.init(id: 8, cpu: 1000 + Double(second - 200))])
            }
        }
        #expect(try fleet.value("count(steward_guest_cpu_ratio)", at: 119) == ["{} 1.0"])
        #expect(try fleet.value("steward_guest_cpu_ratio", at: 120) == [])
        #expect(try fleet.value("steward_guest_cpu_ratio", at: 209) == [])
        #expect(try fleet.value("sum(steward_guest_cpu_ratio)", at: 210) == ["{} 0.5"])
    }

    @Test("a counter that falls, a domain id that changes and a missing figure give no ratio, not a wrong one")
    func unknown() throws {
        var fleet = RecordedFleet()
        for (second, id, cpu) in [(0, 7.0, 100.0), (10, 7, 105), (20, 7, 3), (30, 8, 5), (40, 8, 10)] {
            fleet.read("a", at: Int64(second), [.init(id: id, cpu: cpu)])
        }
        #expect(try fleet.value("sum(steward_guest_cpu_ratio)", at: 19) == ["{} 0.25"])
        #expect(try fleet.value("steward_guest_cpu_ratio", at: 20) == [])
        #expect(try fleet.value("sum(steward_guest_cpu_ratio)", at: 40) == ["{} 0.25"])
        #expect(try fleet.value("steward_guest_memory_used_ratio", at: 40) == [])
    }

    @Test("label sets name the ready-made series beside the stored ones, sorted")
    func labelSets() throws {
        var fleet = RecordedFleet()
        for tick in 0...6 { fleet.read("a", at: Int64(tick) * 10, [.init(cpu: Double(tick) * 5)]) }
        let source = ReadyMadeSource(fleet.source)
        let window = (Timestamp(milliseconds: 0), Timestamp(milliseconds: 60_000))
        let all = try source.labelSets(SeriesSelection(matchers: [], from: window.0, through: window.1))
        #expect(all == all.sorted())
        #expect(Set(all.compactMap { $0[LabelSet.metricName] }).isSuperset(of: ReadyMadeFamily.all.map(\.name)))
        let one = try source.labelSets(
            SeriesSelection(
                matchers: [LabelMatcher(LabelSet.metricName, equals: "steward_guest_cpu_ratio")], from: window.0, through: window.1))
        #expect(
            one.map(\.promText) == [
                #"steward_guest_cpu_ratio{domain="web", group="web-group", host="a", tenant="red", uuid="g1", zone="z1"}"#
            ])
    }
}
