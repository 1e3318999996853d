public import Fleet

/// A guest as its host's last report shows it.
public struct GuestSight: Hashable, Sendable {
    /// The guest.
    public var guest: GuestID
    /// Its name there.
    public var name: String
    /// Where it was listed.
    public var host: HostName
    /// The group of its metadata.
    public var group: String?
    /// Whether it is active: running, paused or on its way down.
    public var isActive: Bool
    /// Whether a migration or another job holds it.
    public var isMoving = false
    /// vCPUs that it has.
    public var vcpus = 0
    /// Memory promised to it.
    public var memory = Bytes(0)
    /// The MAC addresses of its interfaces.
    public var macs: [String] = []

    /// A guest.
    public init(_ guest: GuestID, name: String, host: HostName, group: String?, isActive: Bool) {
        self.guest = guest
        self.name = name
        self.host = host
        self.group = group
        self.isActive = isActive
    }
}

/// An image on a host.
public struct ImageSight: Hashable, Sendable {
    /// The image volume's name.
    public var name: String
    /// The pool that holds it.
    public var pool: String
    /// Its path there: what an overlay names as its backing file.
    public var path: String
    /// Its size as a guest sees it.
    public var capacity: Bytes

    /// An image.
    public init(name: String, pool: String, path: String, capacity: Bytes) {
        self.name = name
        self.pool = pool
        self.path = path
        self.capacity = capacity
    }
}

/// A host as its last report shows it.
public struct HostSight: Hashable, Sendable {
    /// The host.
    public var name: HostName
    /// Its zone.
    public var zone: String?
    /// Whether it answered.
    public var isUp: Bool
    /// When its last good report was read.
    public var seenAt: Timestamp?
    /// Whether its configuration allows actions.
    public var allowsActions: Bool
    /// CPUs that guests may use; nil until it was described.
    public var cpus: Int?
    /// Memory that guests may use.
    public var memory = Bytes(0)
    /// The images that were found on it.
    public var images: [ImageSight] = []
    /// `kvm` where it has that, else `qemu`.
    public var domainType = "kvm"

    /// A host.
    public init(_ name: HostName, zone: String? = nil, isUp: Bool, allowsActions: Bool) {
        self.name = name
        self.zone = zone
        self.isUp = isUp
        self.allowsActions = allowsActions
    }
}

/// The fleet at a tick.
public struct FleetSight: Hashable, Sendable {
    /// Every configured host, by name.
    public var hosts: [HostSight]
    /// Every guest that the hosts that answer list, by identity.
    public var guests: [GuestSight]

    /// A fleet.
    public init(hosts: [HostSight], guests: [GuestSight]) {
        self.hosts = hosts.sorted { $0.name < $1.name }
        self.guests = guests.sorted { ($0.guest, $0.host) < ($1.guest, $1.host) }
    }

    func host(_ name: HostName?) -> HostSight? { name.flatMap { name in hosts.first { $0.name == name } } }
    /// Whether every host answers: only then can it be said that a guest is nowhere.
    public var isWhole: Bool { hosts.allSatisfy(\.isUp) }
}
