public import Fleet
import Synchronization

/// Connections to one host, each used by one thread at a time.
///
/// libvirt's client documents its connections as safe for many threads, but before 10.4 two threads that wait on one connection leave a
/// stale event source behind that writes into a dead stack (CVE-2024-4418); Debian 12's 9.0.0 crashed so in the laboratory whenever a call
/// hung beside another. A call that hangs keeps its connection; others take another one.
public final class ConnectionPool: Sendable {
    /// The most connections at once: hung calls included.
    public static let maximum = 16
    /// Connections kept open while nobody uses them.
    public static let idleMaximum = 3

    private struct State {
        var idle: [LibvirtConnection] = []
        var busy = 0
        var isClosed = false
    }

    private let host: HostName
    private let open: @Sendable () throws(HypervisorError) -> LibvirtConnection
    private let state: Mutex<State>

    /// A pool that opens connections by `open`, on the thread that needs one; `first` is one that is open already.
    public init(
        host: HostName, first: LibvirtConnection? = nil, open: @escaping @Sendable () throws(HypervisorError) -> LibvirtConnection
    ) {
        self.host = host
        self.open = open
        state = Mutex(State(idle: first.map { [$0] } ?? []))
    }

    /// A connection for this thread alone, until it is given back; blocks while one is being opened.
    public func take() throws(HypervisorError) -> LibvirtConnection {
        while true {
            let (found, mayOpen) = state.withLock { state -> (LibvirtConnection?, Bool) in
                if let connection = state.idle.popLast() {
                    state.busy += 1
                    return (connection, true)
                }
                guard !state.isClosed, state.busy < ConnectionPool.maximum else { return (nil, false) }
                state.busy += 1
                return (nil, true)
            }
            guard mayOpen else {
                throw HypervisorError(
                    .timedOut, call: "steward", host: host, words: "\(ConnectionPool.maximum) connections hang there or are closed")
            }
            guard let found else { break }
            if found.isAlive { return found }
            state.withLock { $0.busy -= 1 }
            found.close()
        }
        do throws(HypervisorError) { return try open() } catch {
            state.withLock { $0.busy -= 1 }
            throw error
        }
    }

    /// Gives a connection back.
    public func giveBack(_ connection: LibvirtConnection) {
        let isKept = state.withLock { state -> Bool in
            state.busy -= 1
            guard !state.isClosed, state.idle.count < ConnectionPool.idleMaximum else { return false }
            state.idle.append(connection)
            return true
        }
        if !isKept { connection.close() }
    }

    /// Makes calls on a connection of this thread's own.
    public func borrow<Value>(
        _ body: (LibvirtConnection) throws(HypervisorError) -> Value
    ) throws(HypervisorError) -> Value {
        let connection = try take()
        defer { giveBack(connection) }
        return try body(connection)
    }

    /// Closes what is idle; what is in use is closed when it is given back.
    public func close() {
        let idle = state.withLock { state in
            state.isClosed = true
            defer { state.idle = [] }
            return state.idle
        }
        for connection in idle { connection.close() }
    }
}

/// A host for collecting: one connection that also listens to events, and others beside it while a call hangs.
public final class PooledHypervisor: Hypervisor {
    private let pool: ConnectionPool

    /// Opens the first connection, which is subscribed to the host's events.
    public init(
        to address: ConnectionURI, host: HostName, access: Access, credentials: Credentials? = nil, preflight: Duration = .seconds(3),
        runtime: LibvirtRuntime, events: @escaping @Sendable (HypervisorEvent) -> Void
    ) throws(HypervisorError) {
        let first = try LibvirtConnection(
            to: address, host: host, access: access, credentials: credentials, preflight: preflight, runtime: runtime, events: events)
        pool = ConnectionPool(host: host, first: first) { () throws(HypervisorError) in
            try LibvirtConnection(
                to: address, host: host, access: access, credentials: credentials, preflight: preflight, runtime: runtime, events: nil)
        }
    }

    /// What changes seldom about the host.
    public func describeHost() throws(HypervisorError) -> HostDescription {
        try pool.borrow { connection throws(HypervisorError) in try connection.describeHost() }
    }

    /// The groups of `groups` that this host's libvirt knows.
    public func supportedGroups(among groups: StatGroups) throws(HypervisorError) -> StatGroups {
        try pool.borrow { connection throws(HypervisorError) in try connection.supportedGroups(among: groups) }
    }

    /// Reads the statistics of many guests in one call.
    public func readDomains(_ groups: StatGroups, _ scope: GuestScope) throws(HypervisorError) -> [DomainReading] {
        try pool.borrow { connection throws(HypervisorError) in try connection.readDomains(groups, scope) }
    }

    /// Reads the node's CPU and memory figures.
    public func readNode() throws(HypervisorError) -> NodeReading {
        try pool.borrow { connection throws(HypervisorError) in try connection.readNode() }
    }

    /// Reads and parses a guest's live XML.
    public func describeGuest(_ guest: GuestID) throws(HypervisorError) -> GuestDescription {
        try pool.borrow { connection throws(HypervisorError) in try connection.describeGuest(guest) }
    }

    /// A guest's live XML as libvirt prints it, without secrets.
    public func guestXML(_ guest: GuestID) throws(HypervisorError) -> String {
        try pool.borrow { connection throws(HypervisorError) in try connection.guestXML(guest) }
    }

    /// The figures of the storage pools.
    public func readPools() throws(HypervisorError) -> [PoolReading] {
        try pool.borrow { connection throws(HypervisorError) in try connection.readPools() }
    }

    /// The job that runs on a guest, or nil where there is none.
    public func readJob(of guest: GuestID) throws(HypervisorError) -> JobReading? {
        try pool.borrow { connection throws(HypervisorError) in try connection.readJob(of: guest) }
    }

    /// Ends the connections; one on which a call hangs ends with it.
    public func close() { pool.close() }
}
