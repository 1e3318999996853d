/// One typed parameter as libvirt gave it: `cpu.time`, `block.0.rd.bytes`, `balloon.usable`.
public struct StatParameter: Hashable, Sendable {
    /// libvirt's field name.
    public let name: String
    /// The value in libvirt's own unit, never converted.
    public let value: StatValue

    /// A typed parameter.
    public init(_ name: String, _ value: StatValue) {
        self.name = name
        self.value = value
    }
}

/// The value of a typed parameter, losslessly.
public enum StatValue: Hashable, Sendable {
    /// libvirt's int and llong.
    case signed(Int64)
    /// libvirt's uint and ullong.
    case unsigned(UInt64)
    /// libvirt's double.
    case real(Double)
    /// libvirt's boolean.
    case flag(Bool)
    /// libvirt's string.
    case text(String)

    /// The value as an unsigned integer, where it is a whole number of at least 0.
    public var unsignedInteger: UInt64? {
        switch self {
        case .signed(let number): UInt64(exactly: number)
        case .unsigned(let number): number
        case .flag(let flag): flag ? 1 : 0
        case .real, .text: nil
        }
    }
}

/// What one host said of one guest in one bulk call.
///
/// Groups that libvirt left out (NOWAIT, no balloon driver) are missing from `parameters`: missing is unknown, not zero.
public struct DomainReading: Hashable, Sendable {
    /// The guest.
    public let guest: GuestID
    /// The guest's name on that host.
    public let name: String
    /// libvirt's running id, which changes at each start; nil while the guest is not active.
    public let domainID: Int32?
    /// The parameters in the order libvirt gave them.
    public let parameters: [StatParameter]

    /// A reading of one guest.
    public init(guest: GuestID, name: String, domainID: Int32?, parameters: [StatParameter]) {
        self.guest = guest
        self.name = name
        self.domainID = domainID
        self.parameters = parameters
    }
}

/// What a host said of itself in one tick.
public struct NodeReading: Hashable, Sendable {
    /// `virNodeGetCPUStats` over all CPUs: `kernel`, `user`, `idle`, `iowait` in nanoseconds; empty where unsupported.
    public let cpu: [StatParameter]
    /// `virNodeGetMemoryStats` over all cells: `total`, `free`, `buffers`, `cached` in KiB; empty where unsupported.
    public let memory: [StatParameter]

    /// A reading of the node.
    public init(cpu: [StatParameter], memory: [StatParameter]) {
        self.cpu = cpu
        self.memory = memory
    }
}

/// The figures of one storage pool, as old as the host's last refresh of that pool.
public struct PoolReading: Hashable, Sendable {
    /// libvirt's states of a pool, by its numbers.
    public enum State: Int32, Sendable {
        /// Not running.
        case inactive = 0
        /// Initialising, not yet usable.
        case building = 1
        /// Running normally.
        case running = 2
        /// Running, degraded.
        case degraded = 3
        /// Running, but not accessible.
        case inaccessible = 4
    }

    /// The pool's name on that host.
    public let name: String
    /// The pool's state, nil for a number that this version does not know.
    public let state: State?
    /// Size of the pool.
    public let capacity: Bytes
    /// What is in use.
    public let allocation: Bytes
    /// What is left.
    public let available: Bytes

    /// The figures of a pool.
    public init(name: String, state: State?, capacity: Bytes, allocation: Bytes, available: Bytes) {
        self.name = name
        self.state = state
        self.capacity = capacity
        self.allocation = allocation
        self.available = available
    }
}

/// The job (a migration, a save, a backup) that runs on a guest.
public struct JobReading: Hashable, Sendable {
    /// The guest.
    public let guest: GuestID
    /// libvirt's `virDomainJobType`: 0 none, 1 bounded, 2 unbounded, 3 completed, 4 failed, 5 cancelled.
    public let type: Int32
    /// libvirt's job parameters, such as `operation`, `time_elapsed` (ms) and `memory_remaining` (bytes).
    public let parameters: [StatParameter]

    /// A job's figures.
    public init(guest: GuestID, type: Int32, parameters: [StatParameter]) {
        self.guest = guest
        self.type = type
        self.parameters = parameters
    }
}
