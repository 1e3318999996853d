public import Fleet

/// One thing that was seen, or that an operator stated; never changed and never deleted.
///
/// Spans, lines and reports are functions of the *set* of facts: the order in which they arrive, their batches and their repetitions
/// make no difference.
public struct Fact: Hashable, Sendable {
    /// Who wrote the fact and its number among all that this writer wrote: two facts with one identity are the same fact.
    public let id: FactID
    /// By what means it came to be known.
    public let source: FactSource
    /// The host that it is about; nil for an operator's entry.
    public let host: HostName?
    /// The boot id of that host, where it could be read.
    public let bootID: String?
    /// When it was seen.
    public let seen: ClockReading
    /// What was seen.
    public let body: FactBody

    /// A fact.
    public init(id: FactID, source: FactSource, host: HostName?, bootID: String? = nil, seen: ClockReading, body: FactBody) {
        self.id = id
        self.source = source
        self.host = host
        self.bootID = bootID
        self.seen = seen
        self.body = body
    }
}

/// The idempotency key of a fact.
public struct FactID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The writer: one run of a collector (`collector:` and an id of its own for each start), one boot of a host's hook journal
    /// (`hook:HOST:BOOT`), or an operator (`operator:NAME`).
    public let origin: String
    /// The writer's own counter, rising in the order in which it saw things.
    public let ordinal: UInt64

    /// An identity.
    public init(origin: String, ordinal: UInt64) {
        self.origin = origin
        self.ordinal = ordinal
    }

    /// Orders by origin, then by number.
    public static func < (left: FactID, right: FactID) -> Bool { (left.origin, left.ordinal) < (right.origin, right.ordinal) }
    /// `origin#ordinal`.
    public var description: String { "\(origin)#\(ordinal)" }
}

/// By what means a fact came to be known; where two sources tell of one edge, the greater is believed.
public enum FactSource: UInt8, Hashable, Comparable, Sendable, CaseIterable {
    /// A listing that found something changed.
    case poll = 1
    /// A lifecycle event of libvirt, stamped when it arrived.
    case event = 2
    /// The journal of a libvirt hook, stamped on the host while it happened.
    case hook = 3
    /// An operator's entry.
    case operatorEntry = 4

    /// Orders by how well the source knows the instant of an edge.
    public static func < (left: FactSource, right: FactSource) -> Bool { left.rawValue < right.rawValue }

    /// The word that explanations show.
    public var word: String {
        switch self {
        case .poll: "poll"
        case .event: "event"
        case .hook: "hook"
        case .operatorEntry: "operator"
        }
    }
}

/// One reading of a machine's two clocks at once.
///
/// Time within one boot is taken from the steady clock, so a step of the wall clock changes no billed second (see ``ClockMap``).
public struct ClockReading: Hashable, Sendable {
    /// The wall clock (`CLOCK_REALTIME`).
    public let wall: Timestamp
    /// Milliseconds of `CLOCK_BOOTTIME`; nil where the instant is stated, not read, as in an operator's entry.
    public let steadyMilliseconds: Int64?
    /// The boot id of the machine whose clocks were read: the collector's machine, or the host for its hook journal.
    public let machine: String

    /// A reading of both clocks.
    public init(wall: Timestamp, steadyMilliseconds: Int64, machine: String) {
        self.wall = wall
        self.steadyMilliseconds = steadyMilliseconds
        self.machine = machine
    }

    /// An instant that somebody states.
    public init(stated instant: Timestamp) {
        wall = instant
        steadyMilliseconds = nil
        machine = ""
    }
}

/// What was seen.
public enum FactBody: Hashable, Sendable {
    /// A guest's state, and what else is known of it, on the fact's host.
    case guest(GuestFact)
    /// A disk, snapshot, image or saved memory.
    case volume(VolumeFact)
    /// A guest's interface counters.
    case traffic(TrafficFact)
    /// The fact's host is watched from now on; a complete listing named exactly these guests.
    ///
    /// The writer then states every guest and volume that it sees anew, with ``GuestFact/continuity`` where it can.
    case watchOpened(WatchMeans, guests: [GuestID])
    /// The host is no longer watched: its last complete answer came so many milliseconds before this fact.
    case watchClosed(lastAnswerMillisecondsBefore: Int64)
    /// A sign of life of the writer: every host that it watches answered at most so many milliseconds ago.
    case alive(oldestAnswerMillisecondsBefore: Int64)
    /// The host's hook journal was in place and without a hole between two readings of the host's steady clock, in milliseconds.
    case journalRead(fromSteady: Int64, throughSteady: Int64)
    /// From the stated instant, a guest belongs to a tenant whatever its metadata says; nil ends the override.
    case assignment(GuestID, tenant: String?)
    /// An operator's word on what a machine's clocks mean: its boot (steady clock 0) was at the stated instant.
    case clockAnchor(machine: String)
    /// An operator has looked at a finding and accepts the bill as it stands.
    case acknowledgement(finding: String)
    /// A period was closed: what was rated in it is only changed by corrections from here on.
    case closing(PeriodClosing)
}

/// How a host is watched.
public enum WatchMeans: UInt8, Hashable, Sendable {
    /// Lifecycle events are delivered and listings confirm them: any change would have been seen.
    case events = 1
    /// Listings alone: what happens between two of them is inferred.
    case polls = 2
}

/// The state of a guest on one host.
public struct GuestFact: Hashable, Sendable {
    /// Whether an edge was seen, or only the state.
    public enum Edge: UInt8, Hashable, Sendable {
        /// The state was looked at.
        case none = 0
        /// The run began: STARTED, or the hook's `start`.
        case started = 1
        /// The run ended: STOPPED, CRASHED, or the hook's `release`.
        case stopped = 2
    }

    /// Whether the host has the guest.
    public enum Presence: Hashable, Sendable {
        /// It has, in a state of libvirt for a reason of libvirt (`virDomain…Reason` of that state).
        case state(DomainState, reason: Int32)
        /// It has not: undefined, or gone with its run where it was transient.
        case absent
    }

    /// The guest.
    public let guest: GuestID
    /// Its state there.
    public let presence: Presence
    /// What kind of sighting this is.
    public let edge: Edge
    /// libvirt's running id of the run that this is about (of the run that ended, for a stop); nil where unknown or never run.
    public let run: Int32?
    /// For a change that only a listing found: how long before the listing the one before it was, in milliseconds.
    public let previousListingMillisecondsBefore: Int64?
    /// Size and owner, where they were read; nil leaves the last known ones.
    public let shape: GuestShape?
    /// After a gap: the counters at both its ends.
    public let continuity: Continuity?

    /// The state of a guest.
    public init(
        guest: GuestID, presence: Presence, edge: Edge = .none, run: Int32? = nil, previousListingMillisecondsBefore: Int64? = nil,
        shape: GuestShape? = nil, continuity: Continuity? = nil
    ) {
        self.guest = guest
        self.presence = presence
        self.edge = edge
        self.run = run
        self.previousListingMillisecondsBefore = previousListingMillisecondsBefore
        self.shape = shape
        self.continuity = continuity
    }
}

/// What a guest is and whose, as far as the bill cares.
public struct GuestShape: Hashable, Sendable {
    /// The guest's name.
    public let name: String
    /// The vCPUs that it has now.
    public let vcpus: Int
    /// The most memory that it may use (`<memory>`); what a balloon takes for a while changes no bill.
    public let memory: Bytes
    /// The instance type that its metadata claims.
    public let instanceType: String?
    /// Who pays.
    public let tenant: String?
    /// The autoscaling group.
    public let group: String?
    /// The availability zone of its host.
    public let zone: String?
    /// Tags, sorted by name.
    public let tags: [GuestMetadata.Tag]

    /// A shape.
    public init(
        name: String, vcpus: Int, memory: Bytes, instanceType: String? = nil, tenant: String? = nil, group: String? = nil,
        zone: String? = nil, tags: [GuestMetadata.Tag] = []
    ) {
        self.name = name
        self.vcpus = vcpus
        self.memory = memory
        self.instanceType = instanceType
        self.tenant = tenant
        self.group = group
        self.zone = zone
        self.tags = tags.sorted { ($0.name, $0.value) < ($1.name, $1.value) }
    }

    func with(tenant: String?) -> GuestShape {
        GuestShape(
            name: name, vcpus: vcpus, memory: memory, instanceType: instanceType, tenant: tenant, group: group, zone: zone, tags: tags)
    }
}

/// The counters of one run at both ends of a gap, and the verdict whether it ran through.
public struct Continuity: Hashable, Sendable {
    /// What was read at one end.
    public struct Counters: Hashable, Sendable {
        /// libvirt's running id.
        public let run: Int32
        /// `cpu.time` in nanoseconds.
        public let cpuNanoseconds: UInt64
        /// Every other counter of the run that only grows (disk and network totals), in one fixed order.
        public let others: [UInt64]
        /// The host's CPU time over all modes and CPUs in nanoseconds; nil where it could not be read.
        public let nodeNanoseconds: UInt64?
        /// The host's boot id, where it could be read.
        public let bootID: String?

        /// Counters at one end of a gap.
        public init(run: Int32, cpuNanoseconds: UInt64, others: [UInt64] = [], nodeNanoseconds: UInt64?, bootID: String? = nil) {
            self.run = run
            self.cpuNanoseconds = cpuNanoseconds
            self.others = others
            self.nodeNanoseconds = nodeNanoseconds
            self.bootID = bootID
        }
    }

    /// The time between the two readings in milliseconds.
    public let gapMilliseconds: Int64
    /// The guest's vCPUs, the most that it had during the gap.
    public let vcpus: Int
    /// The host's CPUs.
    public let nodeCPUs: Int
    /// The last reading before the gap.
    public let before: Counters
    /// The first reading after it.
    public let after: Counters

    /// The counters at both ends of a gap.
    public init(gapMilliseconds: Int64, vcpus: Int, nodeCPUs: Int, before: Counters, after: Counters) {
        self.gapMilliseconds = gapMilliseconds
        self.vcpus = vcpus
        self.nodeCPUs = nodeCPUs
        self.before = before
        self.after = after
    }

    /// How much of the node's CPU time may be missing from its counters: two seconds of each CPU, for the readings' own spacing.
    static let nodeSlackNanoseconds: Int128 = 2_000_000_000
    /// How far a guest's CPU time may run ahead of its vCPUs: a tenth of a second each, for the host's accounting ticks.
    static let cpuSlackNanoseconds: Int128 = 100_000_000

    /// Whether it is proven that one run spans the gap: the same running id, no counter smaller, no more CPU time than the vCPUs could use,
    /// and a host that did not reboot (one boot id at both ends, or node CPU time for 98 % of the gap).
    ///
    /// Running ids begin again at 1 when a host boots: the same id with a larger CPU time alone proves nothing.
    public var isProven: Bool {
        guard gapMilliseconds > 0, before.run == after.run, before.others.count == after.others.count,
            after.cpuNanoseconds >= before.cpuNanoseconds, zip(before.others, after.others).allSatisfy({ $0 <= $1 })
        else { return false }
        let gap = Int128(gapMilliseconds) * 1_000_000
        let growth = Int128(after.cpuNanoseconds - before.cpuNanoseconds)
        guard growth <= Int128(vcpus) * (gap + Continuity.cpuSlackNanoseconds) else { return false }
        if let first = before.bootID, let second = after.bootID { return first == second }
        guard let first = before.nodeNanoseconds, let second = after.nodeNanoseconds, second >= first, nodeCPUs > 0 else { return false }
        return Int128(second - first) * 100 >= Int128(nodeCPUs) * (gap * 98 - Continuity.nodeSlackNanoseconds * 100)
    }
}

/// A disk, snapshot, image or saved memory as one host sees it.
public struct VolumeFact: Hashable, Sendable {
    /// What kind of storage it is.
    public enum Kind: UInt8, Hashable, Comparable, Sendable, CaseIterable {
        /// A disk.
        case disk = 1
        /// A snapshot.
        case snapshot = 2
        /// An image or template.
        case image = 3
        /// The memory of a guest saved to disk (managed save).
        case savedMemory = 4
        /// Orders by number.
        public static func < (left: Kind, right: Kind) -> Bool { left.rawValue < right.rawValue }
        /// The word that lines show.
        public var word: String {
            switch self {
            case .disk: "disk"
            case .snapshot: "snapshot"
            case .image: "image"
            case .savedMemory: "saved memory"
            }
        }
    }

    /// Whether it exists and where it is plugged in.
    public enum Presence: Hashable, Sendable {
        /// It belongs to a guest.
        case attached(GuestID)
        /// It exists on its own, as a listing of its pool showed.
        case detached
        /// It was detached, and nobody looks at where it lies: unknown, hence free.
        case unseen
        /// It was deleted.
        case deleted
    }

    /// What identifies it fleet-wide: `GUEST/TARGET` for a guest's disk wherever it runs, since neither paths nor pools' names are the same on
    /// all hosts; a snapshot adds `@name`.
    public let key: String
    /// What it is.
    public let kind: Kind
    /// The provisioned size (libvirt's capacity, not its allocation).
    public let size: Bytes
    /// Whether it exists.
    public let presence: Presence
    /// What the operator's rules derive the disk type from: the metadata's word, the pool, the bus.
    public let hints: VolumeHints
    /// The owner where it is not the guest's.
    public let tenant: String?
    /// For a change that only a listing found: how long before the listing the one before it was, in milliseconds.
    public let previousListingMillisecondsBefore: Int64?

    /// A volume.
    public init(
        key: String, kind: Kind = .disk, size: Bytes, presence: Presence, hints: VolumeHints = VolumeHints(), tenant: String? = nil,
        previousListingMillisecondsBefore: Int64? = nil
    ) {
        self.key = key
        self.kind = kind
        self.size = size
        self.presence = presence
        self.hints = hints
        self.tenant = tenant
        self.previousListingMillisecondsBefore = previousListingMillisecondsBefore
    }
}

/// What a disk's billing type is derived from.
public struct VolumeHints: Hashable, Sendable {
    /// The type that the guest's metadata gives this disk.
    public let metadataType: String?
    /// The storage pool.
    public let pool: String?
    /// The bus.
    public let bus: String?

    /// Hints; nothing by default.
    public init(metadataType: String? = nil, pool: String? = nil, bus: String? = nil) {
        self.metadataType = metadataType
        self.pool = pool
        self.bus = bus
    }
}

/// The counters of one interface, seen from the guest, since its run began on this host.
public struct TrafficFact: Hashable, Sendable {
    /// The guest.
    public let guest: GuestID
    /// libvirt's running id.
    public let run: Int32
    /// The interface by its MAC address.
    public let interface: String
    /// Bytes that the guest received.
    public let received: UInt64
    /// Bytes that the guest sent.
    public let sent: UInt64

    /// Counters.
    public init(guest: GuestID, run: Int32, interface: String, received: UInt64, sent: UInt64) {
        self.guest = guest
        self.run = run
        self.interface = interface
        self.received = received
        self.sent = sent
    }
}

/// What was closed.
public struct PeriodClosing: Hashable, Sendable {
    /// The first second of the period.
    public let from: Timestamp
    /// The first second after it.
    public let to: Timestamp
    /// The ledger row up to which the period was rated.
    public let throughSequence: Int64
    /// The chain hash of that row, hexadecimal.
    public let chainHash: String
    /// The digest of the report as closed, hexadecimal.
    public let reportDigest: String
    /// The digest of prices, types and billable table as far as they govern the period, hexadecimal.
    public let tariffDigest: String
    /// The version of the time-zone data that the period's bounds came from.
    public let zoneData: String

    /// A closing.
    public init(
        from: Timestamp, to: Timestamp, throughSequence: Int64, chainHash: String, reportDigest: String, tariffDigest: String,
        zoneData: String
    ) {
        self.from = from
        self.to = to
        self.throughSequence = throughSequence
        self.chainHash = chainHash
        self.reportDigest = reportDigest
        self.tariffDigest = tariffDigest
        self.zoneData = zoneData
    }
}
