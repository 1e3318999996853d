import Decisions
import Fleet
import Plans
import Testing

private func fleetHost(_ name: String, cpu: Double = 16, memory: Double = 64, cordoned: Bool = false) -> BalanceFleet.Host {
    BalanceFleet.Host(name, capacity: ["cpu": cpu, "memory": memory], cordoned: cordoned)
}

private func fleetGuest(_ name: String, _ host: String, cpu: Double, memory: Double = 4, pinned: [String]? = nil, fixed: Bool = false)
    -> BalanceFleet.Guest
{
    BalanceFleet.Guest(name, host: host, demand: ["cpu": cpu, "memory": memory], memory: memory * 1e9, pinned: pinned, fixed: fixed)
}

/// A random fleet with rules on all of it.
private func randomFleet(_ random: inout SeededGenerator, hosts: Int, guests: Int) -> BalanceFleet {
    var fleet = BalanceFleet(hosts: (0..<hosts).map { fleetHost("h\($0)", cordoned: $0 == 0 && hosts > 4) }, guests: [])
    var free = Array(repeating: 64.0, count: hosts)
    for number in 0..<guests {
        let memory = Double(1 << Int.random(in: 0...3, using: &random))
        let crowded = min(Int.random(in: 0..<hosts, using: &random), Int.random(in: 0..<hosts, using: &random))
        guard let host = ([crowded] + Array(0..<hosts)).first(where: { free[$0] >= memory }) else { continue }
        free[host] -= memory
        fleet.guests.append(
            fleetGuest(
                "g\(number)", "h\(host)", cpu: .random(in: 0.1...3, using: &random), memory: memory,
                pinned: number % 9 == 0 ? ["h\(host)", "h\(hosts - 1)"] : nil, fixed: number % 13 == 0))
    }
    for _ in 0..<max(1, guests / 12) {
        let names = (0..<3).map { _ in "g\(Int.random(in: 0..<fleet.guests.count, using: &random))" }
        if Bool.random(using: &random) {
            fleet.antiAffinity.append(Set(names).sorted())
        } else {
            fleet.affinity.append(Set(names.prefix(2)).sorted())
        }
    }
    return fleet
}

/// Rules that a placement breaks, found without the planner's code.
private func brokenRules(_ fleet: BalanceFleet, _ place: [String: String]) -> Set<String> {
    var found: Set<String> = []
    for guest in fleet.guests {
        let host = place[guest.name] ?? ""
        if let pinned = guest.pinned, !pinned.contains(host) { found.insert("pin \(guest.name)") }
        if guest.fixed == true, host != guest.host { found.insert("fixed \(guest.name)") }
        if host != guest.host, fleet.hosts.contains(where: { $0.name == host && $0.cordoned == true }) {
            found.insert("cordon \(guest.name)")
        }
    }
    for (index, group) in fleet.antiAffinity.enumerated() {
        for left in group {
            for right in group where left < right && place[left] == place[right] { found.insert("anti \(index) \(left) \(right)") }
        }
    }
    for host in fleet.hosts {
        let used = fleet.guests.filter { place[$0.name] == host.name }.reduce(0.0) { $0 + ($1.demand["memory"] ?? 0) }
        if used > (host.capacity["memory"] ?? 0) + 1e-6 { found.insert("memory \(host.name)") }
    }
    return found
}

@Suite("Balancing")
struct BalancingTests {
    @Test("one big guest, a symmetric overload, an even fleet: no move, with the reason", arguments: 0..<4)
    func nothing(kind: Int) throws {
        let two = [fleetHost("a"), fleetHost("b")]
        let fleets = [
            BalanceFleet(hosts: two, guests: [fleetGuest("big", "a", cpu: 14), fleetGuest("small", "b", cpu: 1)]),
            BalanceFleet(hosts: two, guests: ["a", "b"].flatMap { host in (0..<4).map { fleetGuest("\(host)\($0)", host, cpu: 4.5) } }),
            BalanceFleet(hosts: [two[0]], guests: [fleetGuest("x", "a", cpu: 14)]),
            BalanceFleet(hosts: two, guests: []),
        ]
        let plan = try Balancing.plan(fleets[kind], annealingSteps: 40_000)
        #expect(plan.moves.isEmpty)
        #expect(plan.noMoveReason != nil)
        #expect(plan.objectiveAfter == plan.objectiveBefore)
    }

    @Test("an uneven fleet is evened with the fewest moves")
    func even() throws {
        let fleet = BalanceFleet(hosts: [fleetHost("a"), fleetHost("b")], guests: (0..<4).map { fleetGuest("g\($0)", "a", cpu: 4) })
        let plan = try Balancing.plan(fleet, annealingSteps: 40_000)
        #expect(plan.moves.count == 2)
        #expect(plan.peakAfter == 0.5)
        #expect(plan.noMoveReason == nil)
    }

    @Test("a dear move that gains less than it costs is not made", arguments: [(0.002, 1), (10.0, 0)])
    func pays(weight: Double, moves: Int) throws {
        var fleet = BalanceFleet(
            hosts: [fleetHost("a"), fleetHost("b")], guests: [fleetGuest("x", "a", cpu: 4), fleetGuest("y", "a", cpu: 4)])
        fleet.weights.move = weight
        #expect(try Balancing.plan(fleet, annealingSteps: 40_000).moves.count == moves)
    }

    @Test("a bundle moves whole, a fixed guest stays, a cordoned host gets nothing")
    func rules() throws {
        var fleet = BalanceFleet(
            hosts: [fleetHost("a"), fleetHost("b"), fleetHost("c", cordoned: true)],
            guests: [
                fleetGuest("x", "a", cpu: 3), fleetGuest("y", "a", cpu: 3), fleetGuest("z", "a", cpu: 5, fixed: true),
                fleetGuest("w", "a", cpu: 4),
            ])
        fleet.affinity = [["x", "y"]]
        let plan = try Balancing.plan(fleet, annealingSteps: 40_000)
        #expect(plan.moves.allSatisfy { $0.to == "b" && $0.guest != "z" })
        let moved = Set(plan.moves.map(\.guest))
        #expect(moved.contains("x") == moved.contains("y"))
    }

    @Test("broken rules are mended even where the load is even")
    func repair() throws {
        var fleet = BalanceFleet(
            hosts: [fleetHost("a"), fleetHost("b")],
            guests: [
                fleetGuest("x", "a", cpu: 2), fleetGuest("y", "a", cpu: 2), fleetGuest("u", "b", cpu: 2), fleetGuest("v", "b", cpu: 2),
            ])
        fleet.antiAffinity = [["x", "y"]]
        let plan = try Balancing.plan(fleet, annealingSteps: 40_000)
        #expect(plan.broken.isEmpty && !plan.moves.isEmpty)
        fleet.antiAffinity = []
        fleet.affinity = [["x", "u"]]
        let bundled = try Balancing.plan(fleet, annealingSteps: 40_000)
        #expect(bundled.broken.isEmpty && !bundled.moves.isEmpty)
    }

    @Test("rules that cannot all hold are named with the smallest set", arguments: 0..<5)
    func conflicts(kind: Int) throws {
        var fleet = BalanceFleet(hosts: [fleetHost("a"), fleetHost("b")], guests: ["x", "y", "z"].map { fleetGuest($0, "a", cpu: 1) })
        switch kind {
        case 0:
            fleet.affinity = [["x", "y"]]
            fleet.antiAffinity = [["x", "y"]]
        case 1: fleet.antiAffinity = [["x", "y", "z"]]
        case 2:
            fleet.affinity = [["x", "y"], ["y", "z"]]
            fleet.guests[0].pinned = ["a"]
            fleet.guests[2].pinned = ["b"]
        case 3: fleet.guests[1].demand["memory"] = 65
        default:
            fleet.antiAffinity = [["x", "y"]]
            fleet.guests[0].pinned = ["b"]
            fleet.guests[1].pinned = ["b"]
        }
        let expected = [
            ["'x' and 'y' must share a host (affinity) and must not (anti_affinity 1)"],
            ["anti_affinity 1: 'x', 'y', 'z' need 3 hosts and may be on 2"],
            ["'x', 'z' must share a host (affinity) and are pinned to different ones"], ["'y' fits no host that it may be on"],
            ["anti_affinity 1: 'x', 'y' need 2 hosts and may be on 1"],
        ][kind]
        let plan = try Balancing.plan(fleet, annealingSteps: 40_000)
        #expect(plan.conflicts == expected)
        #expect(plan.moves.isEmpty && plan.noMoveReason != nil)
    }

    @Test("a wrong description is refused with every fault and a suggestion")
    func faults() {
        var fleet = BalanceFleet(
            hosts: [fleetHost("alpha"), fleetHost("beta", cpu: 0)],
            guests: [fleetGuest("x", "alpa", cpu: 1), fleetGuest("x", "beta", cpu: -1)])
        fleet.affinity = [["x", "ghost"]]
        let error = #expect(throws: BalanceFleetError.self) { try Balancing.plan(fleet, annealingSteps: 40_000) }
        #expect(error?.messages.count == 5)
        #expect(error?.messages.contains("guest 'x': unknown host 'alpa'; did you mean 'alpha'?") == true)
    }

    @Test("two full hosts can trade only through a third; every step holds the rules")
    func detour() throws {
        let fleet = BalanceFleet(
            hosts: [fleetHost("a", memory: 95), fleetHost("b", memory: 95), fleetHost("c", cpu: 0.5, memory: 95)],
            guests: [
                fleetGuest("a1", "a", cpu: 7, memory: 32), fleetGuest("a2", "a", cpu: 7, memory: 32),
                fleetGuest("b1", "b", cpu: 1, memory: 32),
                fleetGuest("b2", "b", cpu: 1, memory: 32),
            ])
        let plan = try Balancing.plan(fleet, annealingSteps: 40_000)
        var place = Dictionary(uniqueKeysWithValues: fleet.guests.map { ($0.name, $0.host) })
        for move in plan.moves {
            #expect(place[move.guest] == move.from)
            place[move.guest] = move.to
            #expect(brokenRules(fleet, place).isEmpty)
        }
        #expect(plan.peakAfter < 0.7 && plan.moves.count >= 3)
    }

    @Test("a torn bundle is joined only after the guest that it must not meet has left")
    func tornBundle() throws {
        var fleet = BalanceFleet(
            hosts: [fleetHost("a"), fleetHost("b"), fleetHost("c")],
            guests: [
                fleetGuest("x", "a", cpu: 2, memory: 8), fleetGuest("y", "b", cpu: 2), fleetGuest("foe", "a", cpu: 2),
                fleetGuest("other", "b", cpu: 9, fixed: true),
            ])
        fleet.affinity = [["x", "y"]]
        fleet.antiAffinity = [["y", "foe"]]
        let plan = try Balancing.plan(fleet, annealingSteps: 40_000)
        #expect(plan.broken.isEmpty && plan.conflicts.isEmpty)
        var place = Dictionary(uniqueKeysWithValues: fleet.guests.map { ($0.name, $0.host) })
        for move in plan.moves {
            place[move.guest] = move.to
            #expect(place["y"] != place["foe"])
        }
        #expect(place["x"] == place["y"])
    }

    @Test(
        "on random fleets each step breaks nothing new, the objective is as stated, and the same plan comes again",
        arguments: UInt64(0)..<40)
    func random(seed: UInt64) throws {
        var random = SeededGenerator(seed)
        let fleet = randomFleet(&random, hosts: .random(in: 2...9, using: &random), guests: .random(in: 8...40, using: &random))
        let plan = try Balancing.plan(fleet, annealingSteps: 40_000)
        var place = Dictionary(uniqueKeysWithValues: fleet.guests.map { ($0.name, $0.host) })
        var known = brokenRules(fleet, place)
        for move in plan.moves {
            #expect(place[move.guest] == move.from)
            place[move.guest] = move.to
            let now = brokenRules(fleet, place)
            #expect(now.subtracting(known).isEmpty, "\(move)")
            known = now
        }
        let end = try Balancing.evaluate(fleet, hosts: fleet.guests.map { place[$0.name] ?? "" })
        #expect(abs(end.objective - plan.objectiveAfter) < 1e-9 && abs(end.peak - plan.peakAfter) < 1e-9)
        #expect(plan.broken.isEmpty == (known.isEmpty && fleet.affinity.allSatisfy { Set($0.map { place[$0] ?? "" }).count == 1 }))
        #expect(try Balancing.plan(fleet, annealingSteps: 40_000) == plan)
    }

    @Test("with moves free, the peak of a large fleet comes within 5 % of what divisible guests would allow")
    func large() throws {
        var random = SeededGenerator(7)
        var fleet = randomFleet(&random, hosts: 100, guests: 1000)
        fleet.antiAffinity = []
        fleet.affinity = []
        fleet.guests = fleet.guests.map {
            var guest = $0
            guest.fixed = nil
            guest.pinned = nil
            return guest
        }
        fleet.hosts[0].cordoned = nil
        fleet.weights.move = 0
        let plan = try Balancing.plan(fleet, annealingSteps: 40_000)
        #expect(plan.peakBefore > plan.peakLowerBound * 1.3)
        #expect(plan.peakAfter <= plan.peakLowerBound * 1.05)
    }

    @Test("a move waits for the earlier ones on its hosts, and for no other")
    func ordered() {
        let moves = [
            BalanceMove(guest: "1", from: "a", to: "b"), BalanceMove(guest: "2", from: "c", to: "d"),
            BalanceMove(guest: "3", from: "d", to: "a"),
            BalanceMove(guest: "1", from: "b", to: "e"),
        ]
        #expect(Balancing.steps(moves) { Int($0).map(guest) }.map(\.after) == [[], [], [0, 1], [0]])
    }
}

@Suite("Balancing: stillness")
struct BalanceWatchTests {
    private let uneven = BalanceFleet(hosts: [fleetHost("a"), fleetHost("b")], guests: (0..<4).map { fleetGuest("g\($0)", "a", cpu: 4) })

    private func round(_ fleet: BalanceFleet, _ shares: [Double?], inFlight: Int = 0) -> BalanceWatch.Round {
        .init(fleet: fleet, contention: zip(fleet.hosts, shares).map { .init(host: $0.name, share: $1) }, movesInFlight: inFlight)
    }

    private var policy: BalancePolicy {
        var policy = BalancePolicy()
        policy.annealingSteps = 20_000
        return policy
    }

    private func rounds(_ steps: [BalanceWatch.Round]) throws -> [Int] {
        var watch = BalanceWatch()
        return try steps.map { if case .plan(let plan) = try watch.step($0, policy) { plan.moves.count } else { 0 } }
    }

    @Test("uneven and contended for three rounds: moved once; a spike in between, migrations on the way or an unknown host: not")
    func hold() throws {
        let hot = round(uneven, [0.2, 0])
        #expect(try rounds([hot, hot, hot]) == [0, 0, 2])
        #expect(try rounds([hot, hot, round(uneven, [0.04, 0]), hot]) == [0, 0, 0, 0])
        #expect(try rounds([hot, hot, round(uneven, [0.2, nil]), hot]) == [0, 0, 0, 0])
        #expect(try rounds([hot, hot, round(uneven, [0.2, 0], inFlight: 1), hot]) == [0, 0, 0, 2])
    }

    @Test("a lopsided fleet without contention, and an even fleet with it, are left alone")
    func floors() throws {
        let even = BalanceFleet(
            hosts: uneven.hosts, guests: ["a", "b"].flatMap { host in (0..<4).map { fleetGuest("\(host)\($0)", host, cpu: 4.2) } })
        #expect(try rounds(Array(repeating: round(uneven, [0.049, 0]), count: 9)).reduce(0, +) == 0)
        #expect(try rounds(Array(repeating: round(even, [0.3, 0.3]), count: 9)).reduce(0, +) == 0)
    }

    @Test("seven days of daily load: no guest goes to and fro more than its cooldown lets it", arguments: UInt64(0)..<5)
    func week(seed: UInt64) throws {
        var random = SeededGenerator(seed)
        var fleet = BalanceFleet(
            hosts: (0..<3).map { fleetHost("h\($0)") }, guests: (0..<12).map { fleetGuest("g\($0)", "h\($0 % 3)", cpu: 1) })
        var watch = BalanceWatch()
        var history: [String: [MigrationCooldown.Past]] = [:]
        var loads = Array(repeating: [Double](), count: 12)
        var moves = 0
        for tick in 0..<(7 * 24 * 6) {
            let now = Duration.seconds(tick * 600)
            let hour = tick / 6 % 24
            for index in fleet.guests.indices {
                let isDay = (8..<20).contains((hour + index % 3 * 8) % 24)
                loads[index].append((isDay ? 4 : 1) * Double.random(in: 0.95...1.05, using: &random))
                let load = loads[index].last ?? 0
                fleet.guests[index].demand["cpu"] = Balancing.demand(now: load, dayPeak: loads[index].suffix(144).max() ?? load)
                fleet.guests[index].fixed = MigrationCooldown.until(history[fleet.guests[index].name] ?? [], now: now) != nil
            }
            let used = fleet.hosts.map { host in
                fleet.guests.indices.filter { fleet.guests[$0].host == host.name }.reduce(0.0) { $0 + (loads[$1].last ?? 0) }
            }
            guard case .plan(let plan) = try watch.step(round(fleet, used.map { $0 > 14 ? 0.2 : 0 }), policy) else { continue }
            for move in plan.moves {
                moves += 1
                history[move.guest, default: []].append(.init(ended: now, took: .seconds(30)))
                if let index = fleet.guests.firstIndex(where: { $0.name == move.guest }) { fleet.guests[index].host = move.to }
            }
        }
        #expect((1...42).contains(moves), "\(moves) moves in 7 days of 12 guests")
    }

    @Test(
        "the cooldown grows with each migration of a day, up to its cap: migrations, last took, seconds",
        arguments: [(0, 10, nil), (1, 10, 600), (1, 900, 900), (2, 10, 1200), (4, 10, 4800), (12, 10, 21_600)])
    func cooldown(count: Int, took: Int, seconds: Int?) {
        let history = (0..<count).map { MigrationCooldown.Past(ended: .seconds(10_000 - $0), took: .seconds(took)) }
        #expect(MigrationCooldown.until(history, now: .seconds(10_000)) == seconds.map { .seconds(10_000 + $0) })
        #expect(MigrationCooldown.until(history, now: .seconds(10_000 + (seconds ?? 0))) == nil)
    }

    @Test(
        "a forecast by hand: 8 GiB over 1 GiB/s with 0.3 s allowed",
        arguments: [
            (0.0, 2, 8000, 0, true), (0.125, 3, 9125, 125, true), (0.5, 6, 15_750, 250, true), (1, 51, 408_000, 8000, false),
            (2, 51, 408_000, 8000, false),
        ])
    func forecast(gibibytesDirtied: Double, passes: Int, total: Int, downtime: Int, converges: Bool) throws {
        let gibibyte = Double(1 << 30)
        let forecast = try #require(
            MigrationForecast.precopy(
                memory: .gibibytes(8), dirtyRate: gibibytesDirtied * gibibyte, linkRate: gibibyte, downtimeLimit: .milliseconds(300)))
        #expect(forecast.passes == passes && forecast.converges == converges)
        #expect(forecast.total == .milliseconds(total) && forecast.downtime == .milliseconds(downtime))
    }

    @Test("an unknown dirty rate gives no forecast")
    func unknownRate() {
        #expect(MigrationForecast.precopy(memory: .gibibytes(1), dirtyRate: nil, linkRate: 1e9, downtimeLimit: .zero) == nil)
    }
}

@Suite("Arbitration")
struct ArbitrationTests {
    private func plan(_ number: UInt64, _ decider: Decider, _ steps: [Step], mode: PolicyMode = .auto) -> Plan {
        Plan(id: PlanID(number), decider: decider, mode: mode, madeAt: Timestamp(seconds: 0), steps: steps)
    }

    private func move(_ number: Int, after: [Int] = []) -> Step { Step(.migrate(guest(number), from: "a", to: "b", .live), after: after) }

    @Test("one guest wanted by several moves once, by the strongest, whatever their order", arguments: UInt64(0)..<30)
    func once(seed: UInt64) {
        var random = SeededGenerator(seed)
        let plans = Decider.allCases.enumerated().map { plan(UInt64($0 + 1), $1, [move(1), move(10 + $0)]) }.shuffled(using: &random)
        let verdicts = Arbitration.settle(plans)
        for (wanted, verdict) in zip(plans, verdicts) {
            #expect(verdict.plan?.guests.contains(guest(1)) == (wanted.decider == .evacuation))
            #expect(verdict.refusals.count == (wanted.decider == .evacuation ? 0 : 1))
            #expect(verdict.plan?.steps.count == (wanted.decider == .evacuation ? 2 : 1))
        }
    }

    @Test("among equals the first number has it; what waits for a lost step is lost too; an observer takes nothing")
    func details() {
        let verdicts = Arbitration.settle([
            plan(2, .scaling, [move(1), move(2, after: [0]), move(3), move(4, after: [2])]), plan(1, .scaling, [move(1)]),
            plan(3, .evacuation, [move(3)], mode: .observe),
        ])
        #expect(verdicts[0].plan?.steps == [move(3), move(4, after: [0])])
        #expect(verdicts[1].refusals.isEmpty && verdicts[2].refusals.isEmpty)
        #expect(Arbitration.settle([plan(1, .drain, [move(1)]), plan(2, .balance, [move(1)])])[1].plan == nil)
    }
}
