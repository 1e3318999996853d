import Fleet

/// Evens out a fleet with the fewest moves that pay.
public enum Balancing {
    /// Annealing steps for a plan of a small fleet: about a second on one core.
    ///
    /// The comparison with an exact solver uses these.
    public static let annealingSteps = 2_400_000

    /// Plans for a fleet.
    ///
    /// Pure: the same fleet and seed give the same plan.
    ///
    /// - Throws: ``BalanceFleetError`` where names or numbers of the description are wrong.
    public static func plan(
        _ fleet: BalanceFleet, seed: UInt64 = 1, annealingSteps: Int = Balancing.annealingSteps
    ) throws(BalanceFleetError) -> BalancePlan {
        let problem = try BalanceProblem(fleet)
        let start = BalanceState(problem)
        let before = try evaluate(fleet, hosts: fleet.guests.map(\.host))
        guard problem.conflicts.isEmpty else {
            return BalancePlan(
                moves: [], objectiveBefore: before.objective, objectiveAfter: before.objective, peakBefore: before.peak,
                peakAfter: before.peak,
                peakLowerBound: problem.fleetLoad.max() ?? 0,
                broken: BalanceOrder.broken(start) + BalanceOrder.torn(problem, problem.homeOfGuest),
                conflicts: problem.conflicts, noMoveReason: "rules conflict; change one of each conflict first")
        }
        var search = BalanceSearch(problem, seed: seed, steps: annealingSteps)
        search.run()
        var order = BalanceOrder(problem, goal: search.state.place)
        order.run()
        // A bundle that is torn apart breaks a rule that the state, which keeps bundles whole, does not show.
        let tornBefore = BalanceOrder.torn(problem, problem.homeOfGuest)
        let tornAfter = BalanceOrder.torn(problem, order.hostOfGuest)
        let isWorth = order.state.energy + 5 * Double(tornAfter.count) < start.energy + 5 * Double(tornBefore.count) - 1e-9
        let end = isWorth ? order.state : start
        let after = isWorth ? try evaluate(fleet, hosts: order.hosts) : before
        return BalancePlan(
            moves: isWorth ? order.moves : [], objectiveBefore: before.objective, objectiveAfter: after.objective, peakBefore: before.peak,
            peakAfter: after.peak, peakLowerBound: problem.fleetLoad.max() ?? 0,
            broken: BalanceOrder.broken(end) + (isWorth ? tornAfter : tornBefore), conflicts: [],
            noMoveReason: isWorth ? nil : reason(start, found: search.state))
    }

    /// The demand to balance by: now and the peak of the last day, half and half.
    ///
    /// A guest that is idle now and was busy at noon will be busy at noon: balancing by the moment alone moves guests with the sun.
    public static func demand(now: Double, dayPeak: Double) -> Double { (now + max(now, dayPeak)) / 2 }

    /// The objective and the peak of a fleet with each guest on the given host, computed anew from the description.
    ///
    /// - Throws: ``BalanceFleetError`` where names or numbers of the description are wrong, or a host is not known.
    public static func evaluate(_ fleet: BalanceFleet, hosts: [String]) throws(BalanceFleetError) -> (objective: Double, peak: Double) {
        let names = try BalanceNames(fleet)
        let width = names.resources.count
        var used = Array(repeating: 0.0, count: fleet.hosts.count * width)
        var total = Array(repeating: 0.0, count: width)
        var moved = 0.0
        var memory = 0.0
        for (guest, host) in zip(fleet.guests, hosts) {
            guard let index = names.hosts[host] else { throw BalanceFleetError(messages: ["unknown host '\(host)'"]) }
            for (column, resource) in names.resources.enumerated() {
                used[index * width + column] += guest.demand[resource] ?? 0
                total[column] += guest.demand[resource] ?? 0
            }
            memory += guest.memory
            if guest.host != host { moved += guest.memory }
        }
        var peak = 0.0
        var spread = 0.0
        for (column, resource) in names.resources.enumerated() {
            let capacity = fleet.hosts.reduce(0.0) { $0 + ($1.capacity[resource] ?? 0) }
            for (index, host) in fleet.hosts.enumerated() {
                let load = used[index * width + column] / (host.capacity[resource] ?? 1)
                peak = max(peak, load)
                spread += abs(load - total[column] / capacity)
            }
        }
        let weights = fleet.weights
        let move = memory > 0 ? weights.move * Double(fleet.guests.count) * moved / memory : 0
        return (peak + weights.spread * spread / Double(fleet.hosts.count * width) + move, peak)
    }

    private static func reason(_ start: BalanceState, found: BalanceState) -> String {
        if start.problem.hostCount < 2 { return "there is only one host" }
        if start.problem.units.isEmpty { return "there are no guests" }
        if start.violation > 0 { return "rules are broken, and no placement that was found keeps more of them" }
        let crowd = start.onHost[start.hottest]
        let name = start.problem.fleet.hosts[start.hottest].name
        if crowd.count == 1 { return "no beneficial move: the highest load is that of the only guest on \(name)" }
        if found.energy < start.energy - 1e-9 {
            return "no beneficial move: better placements exist, but no order of moves keeps every rule"
        }
        return "no beneficial move: no placement that was found gains more than its moves cost"
    }
}

/// Puts moves into an order in which each step keeps the rules, and leaves out what cannot be ordered.
struct BalanceOrder {
    private(set) var state: BalanceState
    private(set) var moves: [BalanceMove] = []
    private let goal: [Int]
    private(set) var hostOfGuest: [Int]
    /// What is used now, by host × resource, guest by guest.
    private var usedNow: [Double]

    /// Where each guest ends, by name.
    var hosts: [String] { hostOfGuest.map { state.problem.fleet.hosts[$0].name } }

    init(_ problem: BalanceProblem, goal: [Int]) {
        state = BalanceState(problem)
        self.goal = goal
        hostOfGuest = problem.homeOfGuest
        usedNow = Array(repeating: 0, count: problem.hostCount * problem.resources.count)
        for guest in hostOfGuest.indices { count(guest, on: hostOfGuest[guest], 1) }
    }

    private mutating func count(_ guest: Int, on host: Int, _ sign: Double) {
        let problem = state.problem
        for (index, resource) in problem.resources.enumerated() {
            usedNow[host * problem.resources.count + index] += sign * (problem.fleet.guests[guest].demand[resource] ?? 0)
        }
    }

    mutating func run() {
        let problem = state.problem
        var left = goal.indices.filter { goal[$0] != state.place[$0] || problem.memoryMoved($0, to: goal[$0]) > 0 }
        var detours = 0
        while !left.isEmpty {
            var blocked: [Int] = []
            for unit in left {
                if mayMove(unit, to: goal[unit]) {
                    carry(unit, to: goal[unit])
                } else {
                    blocked.append(unit)
                }
            }
            if blocked.count == left.count {
                // A circle: one of them steps aside, or the dearest stays.
                if detours < 50, let (unit, host) = detour(blocked) {
                    detours += 1
                    carry(unit, to: host)
                } else if let dearest = blocked.max(by: { (problem.units[$0].memory, $1) < (problem.units[$1].memory, $0) }) {
                    blocked.removeAll { $0 == dearest }
                }
            }
            left = blocked
        }
        takeBackWhatNoLongerPays()
    }

    /// A step is allowed when it breaks nothing that was whole.
    ///
    /// Members of a bundle that is still torn apart are where they are, not where the state has the bundle: they are counted here.
    private func mayMove(_ unit: Int, to host: Int) -> Bool {
        let problem = state.problem
        guard problem.mayBe(unit, on: host) else { return false }
        for group in problem.units[unit].antiGroups {
            for guest in problem.antiGuests[group] where hostOfGuest[guest] == host && problem.unitOfGuest[guest] != unit { return false }
        }
        let width = problem.resources.count
        for index in 0..<width where problem.isHard[index] {
            var needed = usedNow[host * width + index]
            for guest in problem.units[unit].guests where hostOfGuest[guest] != host {
                needed += problem.fleet.guests[guest].demand[problem.resources[index]] ?? 0
            }
            if needed > problem.capacity[host * width + index] * (1 + 1e-9) { return false }
        }
        return true
    }

    private mutating func carry(_ unit: Int, to host: Int) {
        state.move(unit, to: host)
        for guest in state.problem.units[unit].guests where hostOfGuest[guest] != host {
            moves.append(
                BalanceMove(
                    guest: state.problem.fleet.guests[guest].name, from: state.problem.fleet.hosts[hostOfGuest[guest]].name,
                    to: state.problem.fleet.hosts[host].name))
            count(guest, on: hostOfGuest[guest], -1)
            count(guest, on: host, 1)
            hostOfGuest[guest] = host
        }
    }

    /// A blocked unit and a host where it may wait, after which another blocked unit can go.
    private func detour(_ blocked: [Int]) -> (unit: Int, host: Int)? {
        for unit in blocked.sorted(by: { (state.problem.units[$0].memory, $0) < (state.problem.units[$1].memory, $1) }).prefix(20) {
            for host in 0..<state.problem.hostCount where host != state.place[unit] && host != goal[unit] && mayMove(unit, to: host) {
                var trial = self
                trial.carry(unit, to: host)
                if blocked.contains(where: { $0 != unit && trial.mayMove($0, to: goal[$0]) }) { return (unit, host) }
            }
        }
        return nil
    }

    /// After moves were left out, others may have lost their point: the last that can be taken back without harm are.
    private mutating func takeBackWhatNoLongerPays() {
        var index = moves.count - 1
        let problem = state.problem
        var unitOfGuest: [String: Int] = [:]
        for (unit, value) in problem.units.enumerated() where value.guests.count == 1 {
            unitOfGuest[problem.fleet.guests[value.guests[0]].name] = unit
        }
        var hosts: [String: Int] = [:]
        for (host, value) in problem.fleet.hosts.enumerated() { hosts[value.name] = host }
        var timesMoved: [String: Int] = [:]
        for move in moves { timesMoved[move.guest, default: 0] += 1 }
        // Only the tail: nothing after it can have relied on the room that it made.
        while index >= 0, moves.count - index <= 64 {
            let move = moves[index]
            guard timesMoved[move.guest] == 1, let unit = unitOfGuest[move.guest], let from = hosts[move.from] else { return }
            let before = state.energy
            let to = state.place[unit]
            guard moves[(index + 1)...].allSatisfy({ $0.to != move.from }) else { return }
            state.move(unit, to: from)
            if state.energy > before - 1e-12 {
                state.move(unit, to: to)
            } else {
                moves.remove(at: index)
                hostOfGuest[problem.units[unit].guests[0]] = from
            }
            index -= 1
        }
    }

    /// Bundles that are not on one host.
    static func torn(_ problem: BalanceProblem, _ hostOfGuest: [Int]) -> [String] {
        problem.units.filter { unit in unit.guests.contains { hostOfGuest[$0] != hostOfGuest[unit.guests[0]] } }.map { unit in
            unit.guests.map { "'\(problem.fleet.guests[$0].name)'" }.joined(separator: ", ") + " do not share a host (affinity)"
        }
    }

    /// Rules that a placement breaks, by name.
    static func broken(_ state: BalanceState) -> [String] {
        guard state.violation > 1e-9 else { return [] }
        let problem = state.problem
        var found: [String] = []
        for unit in problem.units.indices {
            let name = problem.fleet.guests[problem.units[unit].guests[0]].name
            let host = problem.fleet.hosts[state.place[unit]].name
            if !problem.mayBe(unit, on: state.place[unit]) { found.append("'\(name)' may not be on '\(host)'") }
        }
        for (group, members) in problem.antiGroups.enumerated() {
            var first: [Int: Int] = [:]
            for unit in members {
                let name = problem.fleet.guests[problem.units[unit].guests[0]].name
                if let other = first[state.place[unit]] {
                    let otherName = problem.fleet.guests[problem.units[other].guests[0]].name
                    found.append(
                        "'\(otherName)' and '\(name)' share '\(problem.fleet.hosts[state.place[unit]].name)' against anti_affinity \(group + 1)"
                    )
                } else {
                    first[state.place[unit]] = unit
                }
            }
        }
        for host in 0..<problem.hostCount {
            for (index, resource) in problem.resources.enumerated() where problem.isHard[index] && state.load(host, index) > 1 + 1e-9 {
                found.append("'\(problem.fleet.hosts[host].name)' has promised \(percent(state.load(host, index))) of its \(resource)")
            }
        }
        return found
    }
}
