import CLibvirt
public import Fleet
import Synchronization

/// What a connection may do on the host.
public enum Access: String, Hashable, Sendable {
    /// Look only: libvirt refuses what changes anything, and some reads too.
    case readOnly
    /// Everything that the host's libvirt allows this user.
    case readWrite
}

/// One connection to one host's libvirt.
///
/// `@unchecked Sendable` because libvirt's connections may be used by several threads at once; what is Swift's own here is
/// behind a mutex.
public final class LibvirtConnection: Hypervisor, @unchecked Sendable {
    /// Keepalive: a message after so many seconds of silence, and the connection is dead after `keepaliveCount` without an answer.
    static let keepaliveSeconds: Int32 = 5
    static let keepaliveCount: UInt32 = 3

    /// The host, by the operator's name.
    public let host: HostName
    let handle: ConnectionHandle
    let libraryVersion: UInt64
    private let shapes = Mutex<[GuestID: [StatParameter]]>([:])
    private let subscriptions = Mutex<[Int32]>([])

    /// Opens a connection.
    ///
    /// Blocks until the host answers; only the TCP pre-flight has a deadline of its own. Without `events` nothing is subscribed to. One
    /// thread at a time may use it: see ``ConnectionPool``.
    ///
    /// - Parameter events: called on the event loop's thread with what the host tells by itself.
    public init(
        to address: ConnectionURI, host: HostName, access: Access, credentials: Credentials? = nil, preflight: Duration = .seconds(3),
        runtime: LibvirtRuntime, events: (@Sendable (HypervisorEvent) -> Void)?
    ) throws(HypervisorError) {
        try checkReachable(address, host: host, within: preflight)
        let pointer = credentials.withAuthentication { authentication in
            virConnectOpenAuth(address.textForLibvirt, authentication, access == .readOnly ? VIR_CONNECT_RO.rawValue : 0)
        }
        guard let pointer else { throw lastError("virConnectOpenAuth", host: host) }
        self.host = host
        handle = ConnectionHandle(owning: pointer)
        libraryVersion = runtime.libraryVersion
        // Local drivers (test:///) have no keepalive; that is no failure.
        _ = virConnectSetKeepAlive(pointer, LibvirtConnection.keepaliveSeconds, LibvirtConnection.keepaliveCount)
        guard let events else { return }
        let registered = subscribe(to: pointer, events: events)
        subscriptions.withLock { $0 = registered }
    }

    /// Ends the connection; calls that are under way fail.
    public func close() {
        virConnectUnregisterCloseCallback(handle.pointer, connectionClosed)
        let ids = subscriptions.withLock { ids in
            defer { ids = [] }
            return ids
        }
        // Each subscription holds a reference to the connection; without this it would never close.
        for id in ids { virConnectDomainEventDeregisterAny(handle.pointer, id) }
    }

    /// Whether libvirt believes that the connection is usable.
    public var isAlive: Bool { virConnectIsAlive(handle.pointer) == 1 }

    func shape(of guest: GuestID) -> [StatParameter] {
        shapes.withLock { $0[guest] ?? [] }
    }

    /// Remembers the shapes of this read and forgets guests that are gone.
    func rememberShapes(_ readings: [DomainReading]) {
        shapes.withLock { shapes in
            var latest: [GuestID: [StatParameter]] = [:]
            latest.reserveCapacity(readings.count)
            for reading in readings {
                // A guest that was left out of this read keeps its shape for when it answers again.
                latest[reading.guest] = reading.parameters.isEmpty ? shapes[reading.guest] : reading.parameters
            }
            shapes = latest
        }
    }
}
