/// The kinds of statistics that a bulk read can ask for, by libvirt's bits (`virDomainStatsTypes`).
///
/// Raw bits, so that groups newer than the headers that Steward was built with can be asked for too.
public struct StatGroups: OptionSet, Hashable, Sendable {
    /// libvirt's bits.
    public let rawValue: UInt32
    /// A set of groups.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// State and reason.
    public static let state = StatGroups(rawValue: 1 << 0)
    /// CPU time, user, system, halt-poll.
    public static let cpu = StatGroups(rawValue: 1 << 1)
    /// Memory, through the balloon.
    public static let balloon = StatGroups(rawValue: 1 << 2)
    /// Each vCPU.
    public static let vcpu = StatGroups(rawValue: 1 << 3)
    /// Each interface.
    public static let interface = StatGroups(rawValue: 1 << 4)
    /// Each disk.
    public static let block = StatGroups(rawValue: 1 << 5)
    /// perf events.
    public static let perf = StatGroups(rawValue: 1 << 6)
    /// I/O threads (libvirt 4.10).
    public static let iothread = StatGroups(rawValue: 1 << 7)
    /// Memory bandwidth monitors (libvirt 6.0).
    public static let memory = StatGroups(rawValue: 1 << 8)
    /// The last dirty-rate measurement (libvirt 7.2).
    public static let dirtyRate = StatGroups(rawValue: 1 << 9)
    /// What the hypervisor itself counts (libvirt 8.9).
    public static let vm = StatGroups(rawValue: 1 << 10)

    /// What every guest can answer.
    public static let standard: StatGroups = [.state, .cpu, .balloon, .vcpu, .interface, .block]
    /// What is asked for only where the guest's XML or a running job gives cause, since each costs a monitor call a guest.
    public static let occasional: StatGroups = [.perf, .iothread, .memory, .dirtyRate, .vm]
}

/// Why a call to a hypervisor failed, in the hypervisor's own words.
public struct HypervisorError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What a caller can do about it.
    public enum Kind: String, Hashable, Sendable {
        /// The address does not resolve, or nothing could be reached there.
        case unreachable
        /// The host answered and refused the connection or the credentials.
        case refused
        /// The connection was lost.
        case disconnected
        /// The guest does not exist there (any more).
        case noSuchGuest
        /// Another object (a pool, a volume) does not exist there.
        case noSuchObject
        /// The host's libvirt cannot do it.
        case unsupported
        /// The connection may not do it: read-only, or not allowed.
        case denied
        /// The guest, or libvirt, was busy for too long.
        case timedOut
        /// Steward's own request made no sense there.
        case invalid
        /// Anything else.
        case failed
    }

    /// What a caller can do about it.
    public let kind: Kind
    /// The C function that failed, such as `virDomainGetXMLDesc`.
    public let call: String
    /// On which host.
    public let host: HostName
    /// On which guest, where there was one.
    public let guest: GuestID?
    /// libvirt's error number (`virErrorNumber`), 0 where the error is not libvirt's.
    public let code: Int32
    /// libvirt's words, or the system's.
    public let words: String

    /// An error.
    public init(_ kind: Kind, call: String, host: HostName, guest: GuestID? = nil, code: Int32 = 0, words: String) {
        self.kind = kind
        self.call = call
        self.host = host
        self.guest = guest
        self.code = code
        self.words = words
    }

    /// `virDomainGetXMLDesc failed on host h1 for guest …: words (libvirt error 42)`.
    public var description: String {
        "\(call) failed on host \(host)" + (guest.map { " for guest \($0)" } ?? "") + ": \(words)"
            + (code == 0 ? "" : " (libvirt error \(code))")
    }
}

/// What a host tells without being asked.
///
/// Carries no time: libvirt sends none. Events are lost while disconnected, so a reconnect is followed by a listing.
public enum HypervisorEvent: Hashable, Sendable {
    /// A guest was defined, started, suspended, stopped and so on, by libvirt's numbers (`virDomainEventType` and its detail).
    ///
    /// `run` is libvirt's running id at that moment; nil where the guest is not active (any more).
    case lifecycle(guest: GuestID, name: String, event: Lifecycle, detail: Int32, run: Int32?)
    /// The guest's devices, metadata or tunables changed: its description is to be read again.
    case changed(guest: GuestID)
    /// A migration of the guest began its next pass over the memory; the first one tells that a migration began.
    case migrationPass(guest: GuestID, pass: Int32)
    /// A job of the guest ended.
    case jobCompleted(guest: GuestID)
    /// The connection is gone, with libvirt's reason.
    case closed(reason: String)

    /// libvirt's `virDomainEventType`.
    public enum Lifecycle: Int32, Hashable, Sendable {
        /// The definition was added or updated.
        case defined = 0
        /// The definition was removed.
        case undefined = 1
        /// Started, by boot, migration, restore or wake-up.
        case started = 2
        /// Paused.
        case suspended = 3
        /// Unpaused.
        case resumed = 4
        /// Stopped: shut down, destroyed, crashed, migrated away, saved or failed.
        case stopped = 5
        /// The guest finished its own shutdown.
        case shutdown = 6
        /// Suspended by its own power management.
        case suspendedByGuest = 7
        /// Crashed.
        case crashed = 8
    }
}

/// Which guests a bulk read covers.
public enum GuestScope: Hashable, Sendable {
    /// Every active guest.
    case active
    /// Every active guest, but nothing is asked of these: they are listed with no parameters.
    case activeExcept([GuestID])
    /// Every defined guest that is not active.
    case inactive
}

/// A connection to one host: what Steward asks of libvirt when it collects.
///
/// Synchronous and blocking, without a deadline of its own: it is called on threads of the host's lane, which abandons them.
/// Several threads may call at once. Ids go in, values come out; no handle leaves.
public protocol Hypervisor: AnyObject, Sendable {
    /// What changes seldom about the host.
    func describeHost() throws(HypervisorError) -> HostDescription

    /// The groups of `groups` that this host's libvirt knows.
    func supportedGroups(among groups: StatGroups) throws(HypervisorError) -> StatGroups

    /// Reads the statistics of many guests in one call that never waits for a busy guest: groups it cannot have now are missing.
    func readDomains(_ groups: StatGroups, _ scope: GuestScope) throws(HypervisorError) -> [DomainReading]

    /// Reads the node's CPU and memory figures.
    func readNode() throws(HypervisorError) -> NodeReading

    /// Reads and parses a guest's live XML.
    func describeGuest(_ guest: GuestID) throws(HypervisorError) -> GuestDescription

    /// A guest's live XML as libvirt prints it, without secrets.
    func guestXML(_ guest: GuestID) throws(HypervisorError) -> String

    /// The figures of the storage pools, as old as the host's last refresh.
    func readPools() throws(HypervisorError) -> [PoolReading]

    /// The job that runs on a guest, or nil where there is none.
    func readJob(of guest: GuestID) throws(HypervisorError) -> JobReading?

    /// Ends the connection; calls that are under way fail. May block as long as the host does.
    func close()
}
