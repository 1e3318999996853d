public import Fleet
import Glibc
public import Libvirt
import Synchronization

/// A host on which something may be done.
public struct ActuatorHost: Sendable {
    /// The name.
    public let name: HostName
    /// Its libvirt, for a read-write connection.
    public let address: ConnectionURI
    /// Who we are there.
    public let credentials: Credentials?
    /// Its libvirt as the other hosts reach it; nil where that is `address`.
    public var peerAddress: String?
    /// Where memory is sent to it; nil lets its libvirt say.
    public var memoryAddress: String?
    /// Whether libvirt is told that disks are safe to migrate although it cannot see that: for labs.
    public var allowsUnsafeMigration = false
    /// Whether memory travels to it over TLS.
    public var usesTLS = false
    /// The most bytes a second of one migration to it; nil for no limit.
    public var bandwidth: Bytes?

    /// A host.
    public init(_ name: HostName, address: ConnectionURI, credentials: Credentials? = nil) {
        self.name = name
        self.address = address
        self.credentials = credentials
    }
}

/// The read-write connections to each host.
///
/// A thread gets one of its own for each host that it asks for, until the outermost ``leasing(_:)`` of that thread ends.
final class Connections: Sendable {
    private final class Slot: Sendable {
        let host: ActuatorHost
        let pool: ConnectionPool
        init(_ host: ActuatorHost, _ runtime: LibvirtRuntime) {
            self.host = host
            pool = ConnectionPool(host: host.name) { () throws(HypervisorError) in
                try LibvirtConnection(
                    to: host.address, host: host.name, access: .readWrite, credentials: host.credentials, runtime: runtime, events: nil)
            }
        }
    }

    private struct Lease {
        var depth = 0
        var taken: [(slot: Slot, connection: LibvirtConnection)] = []
    }

    private let slots = Mutex<[HostName: Slot]>([:])
    private let leases = Mutex<[UInt: Lease]>([:])
    private let runtime: LibvirtRuntime

    init(runtime: LibvirtRuntime) { self.runtime = runtime }

    var hosts: [ActuatorHost] { slots.withLock { $0.values.map(\.host).sorted { $0.name < $1.name } } }

    func host(_ name: HostName) -> ActuatorHost? { slots.withLock { $0[name]?.host } }

    /// Replaces the hosts; connections to hosts that are gone end when their threads give them back.
    func setHosts(_ hosts: [ActuatorHost]) {
        let old = slots.withLock { slots in
            let old = slots
            slots = Dictionary(hosts.map { ($0.name, Slot($0, runtime)) }) { first, _ in first }
            return old
        }
        for slot in old.values { slot.pool.close() }
    }

    /// Runs `body` with connections of this thread's own, and gives them back at the end of the outermost such call.
    func leasing<Value, Failure>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        let thread = UInt(pthread_self())
        leases.withLock { $0[thread, default: Lease()].depth += 1 }
        defer {
            let done = leases.withLock { leases -> [(slot: Slot, connection: LibvirtConnection)] in
                leases[thread]?.depth -= 1
                guard let lease = leases[thread], lease.depth == 0 else { return [] }
                leases[thread] = nil
                return lease.taken
            }
            for (slot, connection) in done { slot.pool.giveBack(connection) }
        }
        return try body()
    }

    /// This thread's connection to a host; blocks while it is being opened.
    ///
    /// To be called inside ``leasing(_:)``.
    func connection(to name: HostName) throws(HypervisorError) -> LibvirtConnection {
        let thread = UInt(pthread_self())
        let kept = leases.withLock { $0[thread]?.taken.first { $0.slot.host.name == name }?.connection }
        if let kept { return kept }
        guard let slot = slots.withLock({ $0[name] }) else {
            throw HypervisorError(.invalid, call: "steward", host: name, words: "no host of that name may be acted on")
        }
        let connection = try slot.pool.take()
        leases.withLock { $0[thread]?.taken.append((slot, connection)) }
        return connection
    }
}
