import Decisions
import Fleet
import Testing

func host(_ name: HostName, zone: String? = nil, cpus: Double = 4, gibibytes: UInt64 = 16) -> PlacementHost {
    var host = PlacementHost(name, zone: zone, cpus: cpus, memory: .gibibytes(gibibytes))
    host.cpuOvercommit = 1
    return host
}

func placed(_ number: Int, on host: HostName? = nil, vcpus: Double = 1, gibibytes: UInt64 = 1) -> PlacementGuest {
    PlacementGuest(guest(number), host: host, vcpus: vcpus, memory: .gibibytes(gibibytes))
}

@Suite("Placement")
struct PlacementTests {
    @Test("members of a group are spread over zones, then hosts")
    func spread() {
        var board = Board(hosts: [host("a", zone: "z1"), host("b", zone: "z1"), host("c", zone: "z2")], guests: [])
        let wanted = (1...4).map { number -> PlacementGuest in
            var member = placed(number)
            member.group = "web"
            return member
        }
        #expect(Placement.place(wanted, on: &board).map(\.host) == ["a", "c", "b", "c"])
    }

    @Test("a guest goes to the least loaded host, the first by name among equals")
    func leastLoaded() {
        let board = Board(hosts: [host("c"), host("b"), host("a")], guests: [placed(1, on: "a")])
        #expect(board.place(placed(9)).host == "b")
    }

    struct Refused: Sendable {
        let constraint: PlacementConstraint
        let host: PlacementHost
        let guest: PlacementGuest
        var others: [PlacementGuest] = []
    }

    static func refused(
        _ constraint: PlacementConstraint, others: [PlacementGuest] = [], _ arrange: (inout PlacementHost, inout PlacementGuest) -> Void
    ) -> Refused {
        var where_ = host("a", zone: "z1")
        var who = placed(9)
        arrange(&where_, &who)
        return Refused(constraint: constraint, host: where_, guest: who, others: others)
    }

    static let friend: PlacementGuest = {
        var guest = placed(1, on: "z")
        guest.affinity = ["pair"]
        return guest
    }()
    static let foe: PlacementGuest = {
        var guest = placed(1, on: "a")
        guest.antiAffinity = ["apart"]
        return guest
    }()

    static let table: [Refused] = [
        refused(.unavailable) { host, _ in host.isAvailable = false },
        refused(.cordoned) { host, _ in host.isCordoned = true },
        refused(.pinned) { _, guest in guest.pinnedTo = ["b"] },
        refused(.zone("z1")) { _, guest in guest.zones = ["z2"] },
        refused(.cpuModel("EPYC")) { host, guest in
            host.cpuModels = ["Skylake"]
            guest.cpuModel = "EPYC"
        },
        refused(.cpuModel("EPYC")) { _, guest in guest.cpuModel = "EPYC" },
        refused(.machine("q35")) { host, guest in
            host.machines = ["pc"]
            guest.machine = "q35"
        },
        refused(.pool("fast")) { host, guest in
            host.pools = ["slow"]
            guest.pools = ["slow", "fast"]
        },
        refused(.network("tenant-a")) { _, guest in guest.networks = ["tenant-a"] },
        refused(.antiAffinity("apart"), others: [foe]) { _, guest in guest.antiAffinity = ["apart"] },
        refused(.affinity("pair", on: "z"), others: [friend]) { _, guest in guest.affinity = ["pair"] },
        refused(.cpu(needed: 4.5, free: 4)) { _, guest in guest.vcpus = 4.5 },
        refused(.memory(needed: .gibibytes(15), free: .gibibytes(14))) { host, guest in
            host.memoryReserve = .gibibytes(2)
            guest.memory = .gibibytes(15)
        },
    ]

    @Test("infeasible names the constraint that failed on each host", arguments: table.indices)
    func infeasible(index: Int) {
        let example = PlacementTests.table[index]
        var far = host("z", zone: "z9")
        far.isCordoned = true
        let board = Board(hosts: [example.host, far], guests: example.others)
        guard case .infeasible(let refusals) = board.place(example.guest) else {
            Issue.record("it was placed")
            return
        }
        #expect(refusals.map(\.host) == ["a", "z"])
        #expect(refusals.first?.constraint == example.constraint)
        #expect(!example.constraint.description.isEmpty)
    }

    @Test(
        "what fits to the last byte and CPU is placed",
        arguments: [(4.0, 16, 1.0, true), (4.1, 16, 1, false), (4, 17, 1, false), (8, 16, 2, true)])
    func boundary(vcpus: Double, gibibytes: Int, overcommit: Double, fits: Bool) {
        var only = host("a")
        only.cpuOvercommit = overcommit
        let board = Board(hosts: [only], guests: [])
        #expect((board.place(placed(1, vcpus: vcpus, gibibytes: UInt64(gibibytes))).host != nil) == fits)
    }

    @Test("whatever is placed or taken off, no rule is broken and no room is overdrawn", arguments: UInt64(0)..<60)
    func random(seed: UInt64) {
        var random = SeededGenerator(seed)
        let hosts = (0..<6).map { host(HostName("h\($0)"), zone: "z\($0 % 3)") }
        var board = Board(hosts: hosts, guests: [])
        for number in 1...60 {
            var wanted = placed(number, vcpus: Double(Int.random(in: 1...2, using: &random)), gibibytes: .random(in: 1...4, using: &random))
            if Bool.random(using: &random) { wanted.antiAffinity = ["apart\(number % 3)"] }
            if number % 7 == 0 { wanted.affinity = ["pair"] }
            if let target = board.place(wanted).host { board.put(wanted, on: target) }
            if Int.random(in: 0..<3, using: &random) == 0 {
                let victimHost = hosts[Int.random(in: 0..<6, using: &random)].name
                if let victim = board.guests(on: victimHost).first { board.remove(victim.guest, from: victimHost) }
            }
        }
        var pairHosts: Set<HostName> = []
        for host in hosts {
            let there = board.guests(on: host.name)
            #expect(there.reduce(0) { $0 + $1.vcpus } <= 4)
            #expect(there.reduce(0) { $0 + $1.memory.count } <= Bytes.gibibytes(16).count)
            let groups = there.flatMap(\.antiAffinity)
            #expect(Set(groups).count == groups.count)
            if there.contains(where: { !$0.affinity.isEmpty }) { pairHosts.insert(host.name) }
        }
        #expect(pairHosts.count <= 1)
    }

    @Test("the loss of a host is placeable or named with its limiting guest", arguments: [(8, nil), (9, guest(1))])
    func failover(gibibytes: Int, limiting: GuestID?) {
        let board = Board(
            hosts: [host("a"), host("b")], guests: [placed(1, on: "a", gibibytes: UInt64(gibibytes)), placed(2, on: "b", gibibytes: 8)])
        let report = Placement.failover(board)
        #expect(report.unplaceable.first?.guest == limiting)
        #expect(report.holds == (limiting == nil))
    }

    @Test("room that keeps every host's loss placeable")
    func room() {
        let board = Board(hosts: [host("a"), host("b"), host("c")], guests: [])
        // 12 CPUs in all; the guests of any one host must fit on the two others.
        #expect(Placement.roomKeepingFailover(for: placed(1), on: board, limit: 50) == 8)
        #expect(Placement.roomKeepingFailover(for: placed(1), on: board, limit: 3) == 3)
    }
}
