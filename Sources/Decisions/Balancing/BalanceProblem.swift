import Fleet

/// A fleet by numbers: guests bound by affinity are one unit, which moves whole.
struct BalanceProblem {
    let fleet: BalanceFleet
    let resources: [String]
    let hostCount: Int
    /// Capacity, by host × resource.
    let capacity: [Double]
    let isHard: [Bool]
    let isCordoned: [Bool]
    /// The fleet's load, by resource.
    let fleetLoad: [Double]
    let units: [Unit]
    /// The units of each anti-affinity group.
    let antiGroups: [[Int]]
    /// The guests of each anti-affinity group.
    let antiGuests: [[Int]]
    let unitOfGuest: [Int]
    let homeOfGuest: [Int]
    let memoryTotal: Double
    /// What moving all of the fleet's memory costs.
    let moveCostOfAll: Double
    let conflicts: [String]

    struct Unit {
        let guests: [Int]
        let demand: [Double]
        let memory: Double
        /// Memory that is already on each home host of a member; moving the unit there costs only the rest.
        let memoryAt: [(host: Int, memory: Double)]
        /// Where it is; for a split unit, where most of its memory is.
        let home: Int
        let isSplit: Bool
        /// The hosts that its pins leave, ascending; nil for any.
        let allowed: [Int]?
        let antiGroups: [Int]
    }

    func memoryMoved(_ unit: Int, to host: Int) -> Double {
        let unit = units[unit]
        for (home, memory) in unit.memoryAt where home == host { return unit.memory - memory }
        return unit.memory
    }

    /// Whether pins and cordons let a unit be on a host.
    ///
    /// A cordoned host keeps what is wholly there and gets nothing.
    func mayBe(_ unit: Int, on host: Int) -> Bool {
        let unit = units[unit]
        if let allowed = unit.allowed, !contains(allowed, host) { return false }
        return !isCordoned[host] || (!unit.isSplit && unit.home == host)
    }

    private func contains(_ sorted: [Int], _ value: Int) -> Bool {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < value { low = middle + 1 } else { high = middle }
        }
        return low < sorted.count && sorted[low] == value
    }

    init(_ fleet: BalanceFleet) throws(BalanceFleetError) {
        let names = try BalanceNames(fleet)
        self.fleet = fleet
        resources = names.resources
        hostCount = fleet.hosts.count
        let capacity = fleet.hosts.flatMap { host in names.resources.map { host.capacity[$0] ?? 0 } }
        self.capacity = capacity
        isHard = names.resources.map { fleet.hard.contains($0) }
        isCordoned = fleet.hosts.map { $0.cordoned ?? false }
        homeOfGuest = fleet.guests.map { names.hosts[$0.host] ?? 0 }
        let demands = fleet.guests.map { guest in names.resources.map { guest.demand[$0] ?? 0 } }
        var load = Array(repeating: 0.0, count: names.resources.count)
        for index in load.indices {
            let total = fleet.hosts.indices.reduce(0.0) { $0 + capacity[$1 * names.resources.count + index] }
            load[index] = demands.reduce(0.0) { $0 + $1[index] } / total
        }
        fleetLoad = load
        memoryTotal = fleet.guests.reduce(0.0) { $0 + $1.memory }
        moveCostOfAll = fleet.weights.move * Double(fleet.guests.count)
        let groups = BalanceProblem.bundles(fleet, names)
        var unitOfGuest = Array(repeating: 0, count: fleet.guests.count)
        for (unit, guests) in groups.enumerated() { for guest in guests { unitOfGuest[guest] = unit } }
        antiGroups = fleet.antiAffinity.map { Set($0.compactMap { names.guests[$0] }.map { unitOfGuest[$0] }).sorted() }
        antiGuests = fleet.antiAffinity.map { $0.compactMap { names.guests[$0] } }
        self.unitOfGuest = unitOfGuest
        var groupsOfUnit = Array(repeating: [Int](), count: groups.count)
        for (group, members) in antiGroups.enumerated() { for unit in members { groupsOfUnit[unit].append(group) } }
        var made: [Unit] = []
        made.reserveCapacity(groups.count)
        for (index, guests) in groups.enumerated() {
            made.append(BalanceProblem.unit(guests, fleet, names, homeOfGuest, demands, groupsOfUnit[index]))
        }
        units = made
        conflicts = BalanceConflicts.find(fleet, names: names, units: made, unitOfGuest: unitOfGuest, antiGroups: antiGroups)
    }

    /// Guests joined by affinity, each once, in the order of their first member.
    private static func bundles(_ fleet: BalanceFleet, _ names: BalanceNames) -> [[Int]] {
        var parent = Array(fleet.guests.indices)
        func root(_ guest: Int) -> Int {
            var at = guest
            while parent[at] != at {
                parent[at] = parent[parent[at]]
                at = parent[at]
            }
            return at
        }
        for group in fleet.affinity {
            let members = group.compactMap { names.guests[$0] }
            for member in members.dropFirst() {
                let (left, right) = (root(members[0]), root(member))
                parent[max(left, right)] = min(left, right)
            }
        }
        var unitOfRoot = Array(repeating: -1, count: parent.count)
        var groups: [[Int]] = []
        for guest in parent.indices {
            let first = root(guest)
            if unitOfRoot[first] < 0 {
                unitOfRoot[first] = groups.count
                groups.append([])
            }
            groups[unitOfRoot[first]].append(guest)
        }
        return groups
    }

    private static func unit(
        _ guests: [Int], _ fleet: BalanceFleet, _ names: BalanceNames, _ homes: [Int], _ demands: [[Double]], _ antiGroups: [Int]
    ) -> Unit {
        var demand = Array(repeating: 0.0, count: names.resources.count)
        var memory = 0.0
        var at: [(host: Int, memory: Double)] = []
        var allowed: Set<Int>?
        for guest in guests {
            for index in demand.indices { demand[index] += demands[guest][index] }
            let bytes = fleet.guests[guest].memory
            memory += bytes
            if let place = at.firstIndex(where: { $0.host == homes[guest] }) {
                at[place].memory += bytes
            } else {
                at.append((homes[guest], bytes))
            }
            var own = fleet.guests[guest].pinned.map { Set($0.compactMap { names.hosts[$0] }) }
            if fleet.guests[guest].fixed == true { own = [homes[guest]] }
            if let own { allowed = allowed?.intersection(own) ?? own }
        }
        let home = at.max { ($0.memory, $1.host) < ($1.memory, $0.host) }?.host ?? 0
        return Unit(
            guests: guests, demand: demand, memory: memory, memoryAt: at, home: home, isSplit: at.count > 1, allowed: allowed?.sorted(),
            antiGroups: antiGroups)
    }
}

/// Names resolved to numbers, and every fault of the description found.
struct BalanceNames {
    let resources: [String]
    let hosts: [String: Int]
    let guests: [String: Int]

    init(_ fleet: BalanceFleet) throws(BalanceFleetError) {
        var faults: [String] = []
        var hosts: [String: Int] = [:]
        var guests: [String: Int] = [:]
        resources = Set(fleet.hosts.flatMap(\.capacity.keys)).sorted()
        if fleet.hosts.isEmpty { faults.append("the fleet has no hosts") }
        if resources.isEmpty { faults.append("no host states a capacity") }
        for (index, host) in fleet.hosts.enumerated() {
            if hosts.updateValue(index, forKey: host.name) != nil { faults.append("host '\(host.name)' is listed twice") }
            for resource in resources where !((host.capacity[resource] ?? 0) > 0 && (host.capacity[resource] ?? 0).isFinite) {
                faults.append("host '\(host.name)': its capacity of \(resource) must be stated and above 0")
            }
        }
        let hostNames = fleet.hosts.map(\.name)
        for (index, guest) in fleet.guests.enumerated() {
            if guests.updateValue(index, forKey: guest.name) != nil { faults.append("guest '\(guest.name)' is listed twice") }
            for host in [guest.host] + (guest.pinned ?? []) where hosts[host] == nil {
                faults.append("guest '\(guest.name)': unknown host '\(host)'" + BalanceNames.hint(host, hostNames))
            }
            for resource in resources {
                guard let demand = guest.demand[resource], demand >= 0, demand.isFinite else {
                    faults.append("guest '\(guest.name)': its demand of \(resource) must be stated, 0 or more: unknown is not zero")
                    continue
                }
            }
            for resource in guest.demand.keys.sorted() where !resources.contains(resource) {
                faults.append("guest '\(guest.name)': no host has '\(resource)'" + BalanceNames.hint(resource, resources))
            }
            if !(guest.memory > 0 && guest.memory.isFinite) { faults.append("guest '\(guest.name)': its memory must be above 0") }
        }
        for resource in fleet.hard where !resources.contains(resource) && fleet.hard != ["memory"] {
            faults.append("hard: no host has '\(resource)'" + BalanceNames.hint(resource, resources))
        }
        let isKnown = guests
        for (kind, groups) in [("affinity", fleet.affinity), ("anti_affinity", fleet.antiAffinity)] {
            for group in groups {
                for name in group where isKnown[name] == nil {
                    let near = fleet.guests.count <= 10_000 ? BalanceNames.hint(name, fleet.guests.map(\.name)) : ""
                    faults.append("\(kind): unknown guest '\(name)'\(near)")
                }
            }
        }
        if !(fleet.weights.move >= 0 && fleet.weights.spread >= 0) { faults.append("weights: move and spread must be 0 or more") }
        self.hosts = hosts
        self.guests = guests
        guard faults.isEmpty else {
            throw BalanceFleetError(messages: Array(faults.prefix(BalanceFleetError.messagesMaximum)))
        }
    }

    private static func hint(_ name: String, _ known: [String]) -> String {
        nearest(to: name, among: known).map { "; did you mean '\($0)'?" } ?? ""
    }
}

/// Finds rules that cannot all hold.
enum BalanceConflicts {
    static func find(
        _ fleet: BalanceFleet, names: BalanceNames, units: [BalanceProblem.Unit], unitOfGuest: [Int], antiGroups: [[Int]]
    ) -> [String] {
        var found: [String] = []
        for (index, group) in fleet.antiAffinity.enumerated() {
            var firstOfUnit: [Int: String] = [:]
            for name in group {
                guard let guest = names.guests[name] else { continue }
                if let other = firstOfUnit[unitOfGuest[guest]], other != name {
                    found.append("'\(other)' and '\(name)' must share a host (affinity) and must not (anti_affinity \(index + 1))")
                }
                firstOfUnit[unitOfGuest[guest]] = firstOfUnit[unitOfGuest[guest]] ?? name
            }
        }
        for unit in units where unit.allowed?.isEmpty == true { found.append(pins(of: unit, fleet)) }
        for unit in units where unit.allowed?.isEmpty != true {
            let fits = (unit.allowed ?? Array(fleet.hosts.indices)).contains { host in
                names.resources.enumerated().allSatisfy { index, resource in
                    !fleet.hard.contains(resource) || unit.demand[index] <= (fleet.hosts[host].capacity[resource] ?? 0) * (1 + 1e-9)
                }
            }
            if !fits {
                found.append("\(list(unit.guests, fleet)) \(unit.guests.count > 1 ? "together fit" : "fits") no host that it may be on")
            }
        }
        for (index, members) in antiGroups.enumerated() {
            if let crowd = crowded(members, units, hosts: fleet.hosts, homes: units.map(\.home)) {
                let hosts = Set(crowd.flatMap { usable($0, units, fleet.hosts) })
                found.append(
                    "anti_affinity \(index + 1): \(list(crowd.flatMap { units[$0].guests.prefix(1) }, fleet)) need \(crowd.count) hosts and may be on \(hosts.count)"
                )
            }
        }
        return found
    }

    private static func list(_ guests: [Int], _ fleet: BalanceFleet) -> String {
        guests.map { "'\(fleet.guests[$0].name)'" }.joined(separator: ", ")
    }

    /// The smallest set of pins of a unit that leaves no host: two where two suffice.
    private static func pins(of unit: BalanceProblem.Unit, _ fleet: BalanceFleet) -> String {
        func hosts(_ guest: Int) -> Set<String>? {
            fleet.guests[guest].fixed == true ? [fleet.guests[guest].host] : fleet.guests[guest].pinned.map(Set.init)
        }
        let pinned = unit.guests.filter { hosts($0) != nil }
        for (index, left) in pinned.enumerated() {
            for right in pinned.dropFirst(index + 1) where hosts(left)?.isDisjoint(with: hosts(right) ?? []) == true {
                return "\(list([left, right], fleet)) must share a host (affinity) and are pinned to different ones"
            }
        }
        return "\(list(pinned, fleet)) must share a host (affinity) and no host suits all their pins"
    }

    private static func usable(_ unit: Int, _ units: [BalanceProblem.Unit], _ hosts: [BalanceFleet.Host]) -> [Int] {
        (units[unit].allowed ?? Array(hosts.indices)).filter {
            hosts[$0].cordoned != true || (!units[unit].isSplit && units[unit].home == $0)
        }
    }

    /// Units of an anti-affinity group that have fewer hosts than they are (Hall's theorem), or nil.
    private static func crowded(
        _ members: [Int], _ units: [BalanceProblem.Unit], hosts: [BalanceFleet.Host], homes: [Int]
    ) -> [Int]? {
        var ownerOfHost: [Int: Int] = [:]
        for unit in members {
            var visited: Set<Int> = []
            var reached: [Int] = [unit]
            func assign(_ unit: Int) -> Bool {
                for host in usable(unit, units, hosts) where visited.insert(host).inserted {
                    guard let owner = ownerOfHost[host] else {
                        ownerOfHost[host] = unit
                        return true
                    }
                    reached.append(owner)
                    if assign(owner) {
                        ownerOfHost[host] = unit
                        return true
                    }
                }
                return false
            }
            if !assign(unit) { return Set(reached).sorted() }
        }
        return nil
    }
}
