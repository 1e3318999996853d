/// Where every unit is, and what that is worth; each change costs time that grows with the resources and the logarithm of the hosts.
struct BalanceState {
    let problem: BalanceProblem
    private(set) var place: [Int]
    /// Use by host × resource.
    private(set) var used: [Double]
    private(set) var onHost: [[Int]]
    private var slot: [Int]
    /// A tournament over the hosts' peaks, for the highest and for the lowest.
    private var highest: [Double]
    private var lowest: [Double]
    private let leaves: Int
    private var spread = 0.0
    private(set) var memoryMoved = 0.0
    /// Broken rules and overdrawn capacity; 0 where every rule holds.
    private(set) var violation = 0.0
    private let resources: Int

    init(_ problem: BalanceProblem) {
        self.problem = problem
        resources = problem.resources.count
        place = problem.units.map(\.home)
        used = Array(repeating: 0, count: problem.hostCount * problem.resources.count)
        onHost = Array(repeating: [], count: problem.hostCount)
        slot = Array(repeating: 0, count: place.count)
        var size = 1
        while size < problem.hostCount { size *= 2 }
        leaves = size
        highest = Array(repeating: -.infinity, count: size * 2)
        lowest = Array(repeating: .infinity, count: size * 2)
        for (unit, host) in place.enumerated() {
            slot[unit] = onHost[host].count
            onHost[host].append(unit)
            for index in 0..<resources { used[host * resources + index] += problem.units[unit].demand[index] }
            memoryMoved += problem.memoryMoved(unit, to: host)
        }
        for host in 0..<problem.hostCount {
            spread += distance(host)
            violation += overdraft(host)
            let value = peak(host)
            highest[leaves + host] = value
            lowest[leaves + host] = value
        }
        for node in stride(from: leaves - 1, through: 1, by: -1) { refresh(node) }
        for unit in place.indices { violation += ownViolation(unit, on: place[unit]) }
        // Each pair of an anti-affinity group on one host was counted from both sides; whole counts keep later differences exact.
        for unit in place.indices { violation -= Double(neighbours(unit, on: place[unit])) / 2 }
    }

    private mutating func refresh(_ node: Int) {
        highest[node] = max(highest[2 * node], highest[2 * node + 1])
        lowest[node] = min(lowest[2 * node], lowest[2 * node + 1])
    }

    private mutating func setLeaf(_ host: Int, highest high: Double, lowest low: Double) {
        var node = leaves + host
        highest[node] = high
        lowest[node] = low
        node /= 2
        while node >= 1 {
            refresh(node)
            node /= 2
        }
    }

    func load(_ host: Int, _ index: Int) -> Double { used[host * resources + index] / problem.capacity[host * resources + index] }

    func peak(_ host: Int) -> Double {
        var value = 0.0
        for index in 0..<resources { value = max(value, load(host, index)) }
        return value
    }

    /// The host's peak with a demand added or taken away.
    func peak(_ host: Int, changedBy demand: [Double], _ sign: Double) -> Double {
        var value = 0.0
        for index in 0..<resources {
            let place = host * resources + index
            value = max(value, (used[place] + sign * demand[index]) / problem.capacity[place])
        }
        return value
    }

    private func distance(_ host: Int) -> Double {
        var value = 0.0
        for index in 0..<resources { value += abs(load(host, index) - problem.fleetLoad[index]) }
        return value
    }

    private func overdraft(_ host: Int) -> Double {
        var value = 0.0
        for index in 0..<resources where problem.isHard[index] {
            let load = load(host, index)
            if load > 1 + 1e-9 { value += load }
        }
        return value
    }

    /// Whether a host has promised more of a hard resource than it has.
    func isOverdrawn(_ host: Int) -> Bool { overdraft(host) > 0 }

    /// Whether a unit would overdraw a hard resource of a host, itself not counted as being there.
    func fits(_ unit: Int, on host: Int) -> Bool {
        let demand = problem.units[unit].demand
        for index in 0..<resources where problem.isHard[index] {
            let place = host * resources + index
            if used[place] + demand[index] > problem.capacity[place] * (1 + 1e-9) { return false }
        }
        return true
    }

    /// Members of the unit's anti-affinity groups on a host, the unit itself left out.
    func neighbours(_ unit: Int, on host: Int) -> Int {
        var count = 0
        for group in problem.units[unit].antiGroups {
            for other in problem.antiGroups[group] where other != unit && place[other] == host { count += 1 }
        }
        return count
    }

    /// What a unit breaks by being on a host, capacity left out.
    private func ownViolation(_ unit: Int, on host: Int) -> Double {
        (problem.mayBe(unit, on: host) ? 0 : 1) + Double(neighbours(unit, on: host))
    }

    /// Whether a unit may come to a host with every rule kept.
    func accepts(_ unit: Int, on host: Int) -> Bool {
        problem.mayBe(unit, on: host) && neighbours(unit, on: host) == 0 && fits(unit, on: host)
    }

    /// Moves a unit.
    mutating func move(_ unit: Int, to host: Int) {
        let old = place[unit]
        guard old != host else { return }
        violation -= ownViolation(unit, on: old) + overdraft(old) + overdraft(host)
        spread -= distance(old) + distance(host)
        memoryMoved += problem.memoryMoved(unit, to: host) - problem.memoryMoved(unit, to: old)
        let demand = problem.units[unit].demand
        for index in 0..<resources {
            used[old * resources + index] -= demand[index]
            used[host * resources + index] += demand[index]
        }
        place[unit] = host
        let position = slot[unit]
        let last = onHost[old].removeLast()
        if last != unit {
            onHost[old][position] = last
            slot[last] = position
        }
        slot[unit] = onHost[host].count
        onHost[host].append(unit)
        spread += distance(old) + distance(host)
        violation += ownViolation(unit, on: host) + overdraft(old) + overdraft(host)
        for changed in [old, host] {
            let value = peak(changed)
            setLeaf(changed, highest: value, lowest: value)
        }
    }

    /// The highest peak of all hosts.
    var peakOfAll: Double { highest[1] }

    /// The host with the highest peak, the first among equals.
    var hottest: Int {
        var node = 1
        while node < leaves { node = highest[2 * node] >= highest[2 * node + 1] ? 2 * node : 2 * node + 1 }
        return node - leaves
    }

    /// The hosts with the lowest peaks, lowest first, the first among equals.
    mutating func coolest(_ count: Int) -> [Int] {
        var found: [Int] = []
        while found.count < min(count, problem.hostCount) {
            var node = 1
            while node < leaves { node = lowest[2 * node] <= lowest[2 * node + 1] ? 2 * node : 2 * node + 1 }
            found.append(node - leaves)
            setLeaf(node - leaves, highest: highest[node], lowest: .infinity)
        }
        for host in found { setLeaf(host, highest: highest[leaves + host], lowest: highest[leaves + host]) }
        return found
    }

    /// The objective.
    var objective: Double {
        peakOfAll + problem.fleet.weights.spread * spread / Double(problem.hostCount * resources)
            + (problem.memoryTotal > 0 ? problem.moveCostOfAll * memoryMoved / problem.memoryTotal : 0)
    }

    /// What the search minimises: broken rules outweigh every load.
    var energy: Double { objective + 5 * violation }
}
