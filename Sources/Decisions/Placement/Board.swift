public import Fleet

/// Who is where, and what room is left: a value that plans are tried out on.
///
/// Hosts are kept sorted by name, so that equal boards answer alike.
public struct Board: Sendable {
    /// The hosts, by name.
    public let hosts: [PlacementHost]
    private let indexOfHost: [HostName: Int]
    private var cpuUsed: [Double]
    private var memoryUsed: [Double]
    private var guestsOfHost: [[PlacementGuest]]
    private var arrivals: [Int]
    private var antiAffinityCount: [[String: Int]]
    private var affinityHosts: [String: [Int]] = [:]
    private var groupOnHost: [[String: Int]]
    private var groupInZone: [String: [String: Int]] = [:]
    /// The most guests that one host takes before `clearArrivals`; nil for no limit.
    public var arrivalsPerHost: Int?

    /// A board with the guests on their hosts; guests elsewhere are left out.
    public init(hosts: [PlacementHost], guests: [PlacementGuest]) {
        self.hosts = hosts.sorted { $0.name < $1.name }
        indexOfHost = Dictionary(self.hosts.enumerated().map { ($0.element.name, $0.offset) }) { first, _ in first }
        cpuUsed = Array(repeating: 0, count: hosts.count)
        memoryUsed = cpuUsed
        guestsOfHost = Array(repeating: [], count: hosts.count)
        arrivals = Array(repeating: 0, count: hosts.count)
        antiAffinityCount = Array(repeating: [:], count: hosts.count)
        groupOnHost = antiAffinityCount
        for guest in guests.sorted(by: { $0.guest < $1.guest }) {
            if let host = guest.host { put(guest, on: host) }
        }
        arrivals = Array(repeating: 0, count: hosts.count)
    }

    /// The guests of a host, in order of arrival.
    public func guests(on host: HostName) -> [PlacementGuest] { indexOfHost[host].map { guestsOfHost[$0] } ?? [] }

    /// Puts a guest on a host, whatever the rules say; nothing where the host is not known.
    public mutating func put(_ guest: PlacementGuest, on host: HostName) {
        guard let index = indexOfHost[host] else { return }
        var placed = guest
        placed.host = host
        guestsOfHost[index].append(placed)
        arrivals[index] += 1
        count(placed, on: index, 1)
    }

    /// Takes a guest off its host.
    public mutating func remove(_ guest: GuestID, from host: HostName) {
        guard let index = indexOfHost[host], let place = guestsOfHost[index].firstIndex(where: { $0.guest == guest }) else { return }
        count(guestsOfHost[index].remove(at: place), on: index, -1)
    }

    /// Begins a new round of arrivals.
    public mutating func clearArrivals() { arrivals = Array(repeating: 0, count: hosts.count) }

    private mutating func count(_ guest: PlacementGuest, on index: Int, _ change: Int) {
        cpuUsed[index] += guest.vcpus * Double(change)
        memoryUsed[index] += Double(guest.memory.count) * Double(change)
        for group in guest.antiAffinity { antiAffinityCount[index][group, default: 0] += change }
        for group in guest.affinity {
            if change > 0 {
                affinityHosts[group, default: []].append(index)
            } else if let place = affinityHosts[group]?.firstIndex(of: index) {
                affinityHosts[group]?.remove(at: place)
            }
        }
        guard let group = guest.group else { return }
        groupOnHost[index][group, default: 0] += change
        groupInZone[group, default: [:]][hosts[index].zone ?? "", default: 0] += change
    }

    /// The first constraint that keeps a guest off a host, or nil.
    public func obstacle(_ guest: PlacementGuest, on host: HostName) -> PlacementConstraint? {
        indexOfHost[host].map { obstacle(guest, $0) } ?? .unavailable
    }

    func obstacle(_ guest: PlacementGuest, _ index: Int) -> PlacementConstraint? {
        let host = hosts[index]
        if !host.isAvailable { return .unavailable }
        if host.isCordoned { return .cordoned }
        if let unfit = unfitness(guest, host) { return unfit }
        if let group = guest.antiAffinity.first(where: { antiAffinityCount[index][$0, default: 0] > 0 }) { return .antiAffinity(group) }
        for group in guest.affinity {
            if let other = affinityHosts[group]?.first(where: { $0 != index }) { return .affinity(group, on: hosts[other].name) }
        }
        let cpuFree = host.cpuLimit - cpuUsed[index]
        if guest.vcpus > cpuFree + 1e-9 { return .cpu(needed: guest.vcpus, free: max(0, cpuFree)) }
        let memoryFree = host.memoryLimit - memoryUsed[index]
        if Double(guest.memory.count) > memoryFree + 0.5 { return .memory(needed: guest.memory, free: Bytes(UInt64(max(0, memoryFree)))) }
        if let limit = arrivalsPerHost, arrivals[index] >= limit { return .targetLimit(limit) }
        return nil
    }

    /// What no change of load can mend.
    private func unfitness(_ guest: PlacementGuest, _ host: PlacementHost) -> PlacementConstraint? {
        if let pins = guest.pinnedTo, !pins.contains(host.name) { return .pinned }
        if !guest.zones.isEmpty, !guest.zones.contains(host.zone ?? "") { return .zone(host.zone) }
        if let model = guest.cpuModel, host.cpuModels?.contains(model) != true { return .cpuModel(model) }
        if let machine = guest.machine, host.machines?.contains(machine) != true { return .machine(machine) }
        if let pool = guest.pools.first(where: { !host.pools.contains($0) }) { return .pool(pool) }
        if let network = guest.networks.first(where: { !host.networks.contains($0) }) { return .network(network) }
        return nil
    }

    /// The best host for a guest: the zone with the fewest members of its group, then the host with the fewest, then the least loaded
    /// host, then the first by name.
    public func place(_ guest: PlacementGuest, avoiding: Set<HostName> = []) -> PlacementAnswer {
        var best: (index: Int, zone: Int, group: Int, load: Double)?
        var refusals: [PlacementAnswer.Refusal] = []
        for index in hosts.indices {
            if avoiding.contains(hosts[index].name) {
                refusals.append(.init(host: hosts[index].name, constraint: .unavailable))
                continue
            }
            if let constraint = obstacle(guest, index) {
                refusals.append(.init(host: hosts[index].name, constraint: constraint))
                continue
            }
            let zone = guest.group.map { groupInZone[$0]?[hosts[index].zone ?? ""] ?? 0 } ?? 0
            let group = guest.group.map { groupOnHost[index][$0] ?? 0 } ?? 0
            let load = max(
                (cpuUsed[index] + guest.vcpus) / max(hosts[index].cpuLimit, 1e-9),
                (memoryUsed[index] + Double(guest.memory.count)) / max(hosts[index].memoryLimit, 1))
            if best.map({ (zone, group, load) < ($0.zone, $0.group, $0.load) }) ?? true { best = (index, zone, group, load) }
        }
        guard let best else { return .infeasible(refusals) }
        let host = hosts[best.index]
        let zoneText = guest.group == nil ? "" : "zone \(host.zone ?? "none") has \(best.zone) of the group, the host \(best.group); "
        return .host(host.name, reason: "\(zoneText)\(percent(best.load)) of it promised afterwards")
    }
}

/// Places guests one after the other.
public enum Placement {
    /// Places guests in the given order, each seeing those before it.
    public static func place(_ guests: [PlacementGuest], on board: inout Board) -> [PlacementAnswer] {
        guests.map { guest in
            let answer = board.place(guest)
            if let host = answer.host { board.put(guest, on: host) }
            return answer
        }
    }

    /// What the fleet could bear.
    public struct FailoverReport: Hashable, Sendable {
        /// Hosts whose loss leaves guests without a place, each with the first such guest, by name.
        public let unplaceable: [Loss]
        /// Whether any one host may be lost.
        public var holds: Bool { unplaceable.isEmpty }

        /// A host whose loss could not be borne.
        public struct Loss: Hashable, Sendable {
            /// The host.
            public let host: HostName
            /// The guest without a place, and why each other host refused it.
            public let guest: GuestID
            /// Why, on each other host.
            public let refusals: [PlacementAnswer.Refusal]
        }
    }

    /// Whether the loss of each single host could be borne, biggest guests placed first.
    public static func failover(_ board: Board) -> FailoverReport {
        var losses: [FailoverReport.Loss] = []
        for host in board.hosts where host.isAvailable {
            var trial = board
            let guests = board.guests(on: host.name).sorted { ($1.memory, $0.guest) < ($0.memory, $1.guest) }
            for guest in guests { trial.remove(guest.guest, from: host.name) }
            for guest in guests {
                switch trial.place(guest, avoiding: [host.name]) {
                case .host(let target, _): trial.put(guest, on: target)
                case .infeasible(let refusals):
                    losses.append(.init(host: host.name, guest: guest.guest, refusals: refusals.filter { $0.host != host.name }))
                }
                if losses.last?.host == host.name { break }
            }
        }
        return FailoverReport(unplaceable: losses)
    }

    /// How many copies of a guest could be added with every host's loss still placeable, up to `limit`.
    public static func roomKeepingFailover(for guest: PlacementGuest, on board: Board, limit: Int) -> Int {
        var trial = board
        for added in 0..<max(0, limit) {
            var copy = guest
            copy.guest = GuestID(high: .max, low: UInt64(added))
            guard let host = trial.place(copy).host else { return added }
            trial.put(copy, on: host)
            if !failover(trial).holds { return added }
        }
        return max(0, limit)
    }
}
