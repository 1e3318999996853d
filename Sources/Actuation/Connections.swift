public import Fleet
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

/// The read-write connections, one a host, opened when first needed.
final class Connections: Sendable {
    private final class Slot: Sendable {
        let host: ActuatorHost
        let connection = Mutex<LibvirtConnection?>(nil)
        init(_ host: ActuatorHost) { self.host = host }
    }

    private let slots = Mutex<[HostName: Slot]>([:])
    private let runtime: LibvirtRuntime

    init(runtime: LibvirtRuntime) { self.runtime = runtime }

    var hosts: [ActuatorHost] { slots.withLock { $0.values.map(\.host).sorted { $0.name < $1.name } } }

    func host(_ name: HostName) -> ActuatorHost? { slots.withLock { $0[name]?.host } }

    /// Replaces the hosts; a host that stays keeps its connection only if nothing about it was changed by the caller making it anew.
    func setHosts(_ hosts: [ActuatorHost]) {
        slots.withLock { slots in
            var next: [HostName: Slot] = [:]
            for host in hosts { next[host.name] = Slot(host) }
            slots = next
        }
    }

    /// The connection to a host; blocks while it is being opened, by us or another thread, and never opens a second one beside that.
    func connection(to name: HostName) throws(HypervisorError) -> LibvirtConnection {
        guard let slot = slots.withLock({ $0[name] }) else {
            throw HypervisorError(.invalid, call: "steward", host: name, words: "no host of that name may be acted on")
        }
        let result: Result<LibvirtConnection, HypervisorError> = slot.connection.withLock { kept in
            if let kept, kept.isAlive { return .success(kept) }
            kept?.close()
            kept = nil
            do throws(HypervisorError) {
                let fresh = try LibvirtConnection(
                    to: slot.host.address, host: name, access: .readWrite, credentials: slot.host.credentials, runtime: runtime,
                    events: { _ in })
                kept = fresh
                return .success(fresh)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
