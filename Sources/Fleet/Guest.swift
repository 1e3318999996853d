/// The state of a domain, by libvirt's numbers (`virDomainState`).
public enum DomainState: Int32, Sendable, CaseIterable {
    /// libvirt cannot say.
    case noState = 0
    /// Running.
    case running = 1
    /// Blocked on a resource.
    case blocked = 2
    /// Paused, by a user or by an error.
    case paused = 3
    /// Being shut down.
    case shutdown = 4
    /// Shut off.
    case shutOff = 5
    /// Crashed.
    case crashed = 6
    /// Suspended by the guest's own power management.
    case suspended = 7

    /// The word that metrics and tables show.
    public var word: String {
        switch self {
        case .noState: "no state"
        case .running: "running"
        case .blocked: "blocked"
        case .paused: "paused"
        case .shutdown: "in shutdown"
        case .shutOff: "shut off"
        case .crashed: "crashed"
        case .suspended: "suspended"
        }
    }
}

/// What Steward's own element in a domain's `<metadata>` says.
public struct GuestMetadata: Hashable, Sendable {
    /// The XML namespace of the element, and the key under which libvirt files it.
    public static let namespace = "https://steward.dev/xmlns/guest/1"
    /// The prefix that Steward writes.
    public static let prefix = "steward"

    /// The autoscaling group.
    public var group: String?
    /// Who pays.
    public var tenant: String?
    /// The instance type that the guest is said to be.
    public var instanceType: String?
    /// Free tags, sorted by name.
    public var tags: [Tag]
    /// The billing type of each disk that has one, sorted by target.
    public var diskTypes: [DiskType]

    /// A tag.
    public struct Tag: Hashable, Sendable {
        /// The tag's name.
        public let name: String
        /// The tag's value.
        public let value: String
        /// A tag.
        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// The billing type of one disk.
    public struct DiskType: Hashable, Sendable {
        /// The disk's target, such as `vda`.
        public let target: String
        /// The type, such as `ssd`.
        public let type: String
        /// A disk's billing type.
        public init(target: String, type: String) {
            self.target = target
            self.type = type
        }
    }

    /// Metadata; nothing by default.
    public init(
        group: String? = nil, tenant: String? = nil, instanceType: String? = nil, tags: [Tag] = [], diskTypes: [DiskType] = []
    ) {
        self.group = group
        self.tenant = tenant
        self.instanceType = instanceType
        self.tags = tags.sorted { $0.name < $1.name }
        self.diskTypes = diskTypes.sorted { $0.target < $1.target }
    }
}

/// A disk as the domain's XML describes it.
public struct DiskDescription: Hashable, Sendable {
    /// The target, such as `vda`: the `device` label.
    public let target: String
    /// `disk`, `cdrom`, `floppy` or `lun`.
    public let device: String
    /// The bus: virtio, scsi, sata, ide and so on.
    public let bus: String?
    /// The image format, such as `qcow2`.
    public let format: String?
    /// The cache mode.
    public let cache: String?
    /// The discard mode.
    public let discard: String?
    /// Path, volume (`pool/volume`) or network name of what backs it.
    public let source: String?
    /// The pool where the source is given as pool and volume.
    public let pool: String?
    /// The serial that the guest sees.
    public let serial: String?
    /// Whether the guest may only read it.
    public let isReadOnly: Bool
    /// Whether several guests may write it at once.
    public let isShareable: Bool
    /// The throttling that is set, in the order of the XML.
    public let limits: [Limit]

    /// One setting of `<iotune>`.
    public struct Limit: Hashable, Sendable {
        /// libvirt's name, such as `total_bytes_sec` or `read_iops_sec_max`.
        public let name: String
        /// Bytes or requests per second, seconds, or bytes, as the name says; never 0, which means no limit.
        public let value: UInt64
        /// A limit.
        public init(name: String, value: UInt64) {
            self.name = name
            self.value = value
        }
    }

    /// A disk.
    public init(
        target: String, device: String = "disk", bus: String? = nil, format: String? = nil, cache: String? = nil, discard: String? = nil,
        source: String? = nil, pool: String? = nil, serial: String? = nil, isReadOnly: Bool = false, isShareable: Bool = false,
        limits: [Limit] = []
    ) {
        self.target = target
        self.device = device
        self.bus = bus
        self.format = format
        self.cache = cache
        self.discard = discard
        self.source = source
        self.pool = pool
        self.serial = serial
        self.isReadOnly = isReadOnly
        self.isShareable = isShareable
        self.limits = limits
    }
}

/// A network interface as the domain's XML describes it.
public struct InterfaceDescription: Hashable, Sendable {
    /// The host's tap device, such as `vnet3`: the `device` label; nil while the guest is not running.
    public let device: String?
    /// The MAC address, lower case.
    public let mac: String?
    /// The kind of attachment: bridge, network, direct and so on.
    public let type: String
    /// The bridge, network or device it is attached to.
    public let source: String?
    /// The model that the guest sees, such as `virtio`.
    public let model: String?

    /// An interface.
    public init(device: String?, mac: String?, type: String, source: String?, model: String?) {
        self.device = device
        self.mac = mac
        self.type = type
        self.source = source
        self.model = model
    }
}

/// What changes seldom about a guest: read from its XML, cached until an event says that it changed.
public struct GuestDescription: Hashable, Sendable {
    /// The guest.
    public let guest: GuestID
    /// The guest's name on that host.
    public let name: String
    /// The title, where the operator gave one.
    public let title: String?
    /// `hvm` and the like.
    public let osType: String?
    /// The architecture, such as `x86_64`.
    public let architecture: String?
    /// The machine type, such as `pc-i440fx-7.2`.
    public let machine: String?
    /// The most vCPUs that it may have.
    public let vcpusMaximum: Int
    /// The vCPUs that it has now.
    public let vcpusCurrent: Int
    /// The most memory that it may have.
    public let memoryMaximum: Bytes
    /// Whether a virtio balloon is configured, and the period of its statistics in seconds; 0 means that no statistics are gathered.
    public let balloonPeriodSeconds: Int?
    /// Whether the definition survives a shutdown.
    public let isPersistent: Bool
    /// How many I/O threads are configured.
    public let iothreads: Int
    /// Whether perf events are enabled.
    public let hasPerfEvents: Bool
    /// The disks in the order of the XML.
    public let disks: [DiskDescription]
    /// The interfaces in the order of the XML.
    public let interfaces: [InterfaceDescription]
    /// Steward's own metadata.
    public let metadata: GuestMetadata

    /// A description.
    public init(
        guest: GuestID, name: String, title: String? = nil, osType: String? = nil, architecture: String? = nil, machine: String? = nil,
        vcpusMaximum: Int, vcpusCurrent: Int, memoryMaximum: Bytes, balloonPeriodSeconds: Int? = nil, isPersistent: Bool = true,
        iothreads: Int = 0, hasPerfEvents: Bool = false, disks: [DiskDescription] = [], interfaces: [InterfaceDescription] = [],
        metadata: GuestMetadata = GuestMetadata()
    ) {
        self.guest = guest
        self.name = name
        self.title = title
        self.osType = osType
        self.architecture = architecture
        self.machine = machine
        self.vcpusMaximum = vcpusMaximum
        self.vcpusCurrent = vcpusCurrent
        self.memoryMaximum = memoryMaximum
        self.balloonPeriodSeconds = balloonPeriodSeconds
        self.isPersistent = isPersistent
        self.iothreads = iothreads
        self.hasPerfEvents = hasPerfEvents
        self.disks = disks
        self.interfaces = interfaces
        self.metadata = metadata
    }
}

/// What changes seldom about a host.
public struct HostDescription: Hashable, Sendable {
    /// The host's own idea of its name.
    public let hostname: String
    /// The driver, such as `QEMU`.
    public let hypervisor: String
    /// Versions as libvirt counts them: 1,000,000 × major + 1,000 × minor + release; nil where it cannot say.
    public let hypervisorVersion: UInt64?
    /// The version of the libvirt daemon, counted the same way.
    public let libvirtVersion: UInt64?
    /// The version of the library that Steward runs with, counted the same way.
    public let libraryVersion: UInt64
    /// The CPU model.
    public let cpuModel: String
    /// The CPUs that guests may use.
    public let cpus: Int
    /// The clock, as the node reports it.
    public let megahertz: Int
    /// NUMA cells, sockets a cell, cores a socket, threads a core.
    public let topology: Topology
    /// The memory.
    public let memory: Bytes

    /// How a node's CPUs are arranged.
    public struct Topology: Hashable, Sendable {
        /// NUMA cells.
        public let cells: Int
        /// Sockets per cell.
        public let sockets: Int
        /// Cores per socket.
        public let cores: Int
        /// Threads per core.
        public let threads: Int
        /// An arrangement.
        public init(cells: Int, sockets: Int, cores: Int, threads: Int) {
            self.cells = cells
            self.sockets = sockets
            self.cores = cores
            self.threads = threads
        }
    }

    /// A description.
    public init(
        hostname: String, hypervisor: String, hypervisorVersion: UInt64?, libvirtVersion: UInt64?, libraryVersion: UInt64,
        cpuModel: String, cpus: Int, megahertz: Int, topology: Topology, memory: Bytes
    ) {
        self.hostname = hostname
        self.hypervisor = hypervisor
        self.hypervisorVersion = hypervisorVersion
        self.libvirtVersion = libvirtVersion
        self.libraryVersion = libraryVersion
        self.cpuModel = cpuModel
        self.cpus = cpus
        self.megahertz = megahertz
        self.topology = topology
        self.memory = memory
    }
}
