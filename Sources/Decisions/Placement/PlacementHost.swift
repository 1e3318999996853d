public import Fleet

/// A host as placement sees it.
public struct PlacementHost: Hashable, Sendable {
    /// The name.
    public var name: HostName
    /// Its failure domain.
    public var zone: String?
    /// CPUs that guests may use.
    public var cpus: Double
    /// Memory that guests may use.
    public var memory: Bytes
    /// Memory that is kept free.
    public var memoryReserve = Bytes(0)
    /// vCPUs that may be promised for each CPU.
    public var cpuOvercommit = 4.0
    /// Memory that may be promised for each byte; above 1 only where swap or deduplication stands behind it.
    public var memoryOvercommit = 1.0
    /// CPU models that it can offer; nil where that is not known, which fits nothing that asks for one.
    public var cpuModels: [String]?
    /// Machine types that it can offer; nil where that is not known.
    public var machines: [String]?
    /// Storage pools that it reaches.
    public var pools: [String] = []
    /// Networks and bridges that it has.
    public var networks: [String] = []
    /// Whether it is to get nothing new.
    public var isCordoned = false
    /// Whether it answers and is healthy.
    public var isAvailable = true

    /// A host that answers.
    public init(_ name: HostName, zone: String? = nil, cpus: Double, memory: Bytes) {
        self.name = name
        self.zone = zone
        self.cpus = cpus
        self.memory = memory
    }

    var cpuLimit: Double { cpus * cpuOvercommit }
    var memoryLimit: Double { max(0, Double(memory.count) - Double(memoryReserve.count)) * memoryOvercommit }
}

/// A guest as placement sees it.
public struct PlacementGuest: Hashable, Sendable {
    /// The guest.
    public var guest: GuestID
    /// Where it is; nil for one to be placed.
    public var host: HostName?
    /// vCPUs promised to it.
    public var vcpus: Double
    /// Memory promised to it.
    public var memory: Bytes
    /// The scaling group, whose members are spread over zones, then hosts.
    public var group: String?
    /// Zones that it may be in; empty means any.
    public var zones: [String] = []
    /// Hosts that it may be on; nil means any.
    public var pinnedTo: [HostName]?
    /// Groups no two members of which share a host.
    public var antiAffinity: [String] = []
    /// Groups all members of which share a host.
    public var affinity: [String] = []
    /// The CPU model that it needs.
    public var cpuModel: String?
    /// The machine type that it needs.
    public var machine: String?
    /// Pools that hold its disks.
    public var pools: [String] = []
    /// Networks that it is attached to.
    public var networks: [String] = []

    /// A guest.
    public init(_ guest: GuestID, host: HostName? = nil, vcpus: Double, memory: Bytes) {
        self.guest = guest
        self.host = host
        self.vcpus = vcpus
        self.memory = memory
    }
}

/// Why a guest cannot be on a host.
public enum PlacementConstraint: Hashable, Sendable, CustomStringConvertible {
    /// The host does not answer, or is not healthy.
    case unavailable
    /// The host is cordoned.
    case cordoned
    /// The guest may not be in the host's zone.
    case zone(String?)
    /// The guest is pinned to other hosts.
    case pinned
    /// The host lacks the CPU model.
    case cpuModel(String)
    /// The host lacks the machine type.
    case machine(String)
    /// The host does not reach the pool.
    case pool(String)
    /// The host lacks the network.
    case network(String)
    /// Another member of the group is there.
    case antiAffinity(String)
    /// The other members of the group are elsewhere.
    case affinity(String, on: HostName)
    /// Too few CPUs are left.
    case cpu(needed: Double, free: Double)
    /// Too little memory is left.
    case memory(needed: Bytes, free: Bytes)
    /// The host takes no more in this round.
    case targetLimit(Int)

    /// For the operator.
    public var description: String {
        switch self {
        case .unavailable: "it does not answer or is not healthy"
        case .cordoned: "it is cordoned"
        case .zone(let zone): "zone \(zone ?? "none") is not allowed"
        case .pinned: "the guest is pinned elsewhere"
        case .cpuModel(let model): "it lacks CPU model \(model)"
        case .machine(let machine): "it lacks machine type \(machine)"
        case .pool(let pool): "it does not reach pool \(pool)"
        case .network(let network): "it lacks network \(network)"
        case .antiAffinity(let group): "a member of anti-affinity group \(group) is there"
        case .affinity(let group, let host): "affinity group \(group) is on \(host)"
        case .cpu(let needed, let free): "\(decimal(needed, places: 1)) vCPUs are needed and \(decimal(free, places: 1)) are left"
        case .memory(let needed, let free): "\(needed) of memory is needed and \(free) is left"
        case .targetLimit(let limit): "it takes no more than \(limit) at once"
        }
    }
}

/// Where a guest goes.
public enum PlacementAnswer: Hashable, Sendable {
    /// To that host.
    case host(HostName, reason: String)
    /// Nowhere: the constraint that failed on each host, in the order of the hosts' names.
    case infeasible([Refusal])

    /// Why one host was refused.
    public struct Refusal: Hashable, Sendable {
        /// The host.
        public let host: HostName
        /// The first constraint that failed there.
        public let constraint: PlacementConstraint
    }

    /// The host, where there is one.
    public var host: HostName? { if case .host(let host, _) = self { host } else { nil } }
}
