public import Fleet
import Synchronization

/// A connection that tells everything it reads as records of a capture: what a lane was answered is what is recorded.
public final class RecordingHypervisor: Hypervisor {
    private let host: HostName
    private let inner: any Hypervisor
    private let clock: @Sendable () -> Moment
    private let note: @Sendable (CaptureRecord) -> Void
    private let known = Mutex<[GuestID: DomainReading]>([:])

    /// Records what `inner` answers; `note` is called on the threads of the lane.
    public init(
        _ inner: any Hypervisor, host: HostName, clock: @escaping @Sendable () -> Moment, note: @escaping @Sendable (CaptureRecord) -> Void
    ) {
        self.inner = inner
        self.host = host
        self.clock = clock
        self.note = note
    }

    /// Asks, and records nothing: the capture's first line says it.
    public func describeHost() throws(HypervisorError) -> HostDescription { try inner.describeHost() }

    /// Asks, and records nothing.
    public func supportedGroups(among groups: StatGroups) throws(HypervisorError) -> StatGroups {
        try inner.supportedGroups(among: groups)
    }

    /// Records each guest's parameters, and guests that are gone.
    public func readDomains(_ groups: StatGroups, _ scope: GuestScope) throws(HypervisorError) -> [DomainReading] {
        let time = clock().wall
        let readings = try inner.readDomains(groups, scope)
        guard scope != .inactive else { return readings }
        for gone in forget(allBut: readings) {
            note(.guest(CapturedGuest(time: time, host: host, guest: gone.guest, name: gone.name, domainID: nil, xml: nil)))
        }
        for reading in readings {
            note(.reading(CapturedReading(time: time, host: host, guest: reading.guest, parameters: reading.parameters)))
        }
        return readings
    }

    private func forget(allBut readings: [DomainReading]) -> [DomainReading] {
        known.withLock { known in
            let gone = known.values.filter { old in !readings.contains { $0.guest == old.guest } }
            known = Dictionary(readings.map { ($0.guest, $0) }, uniquingKeysWith: { $1 })
            return gone.sorted { $0.guest < $1.guest }
        }
    }

    /// Records the node's figures.
    public func readNode() throws(HypervisorError) -> NodeReading {
        let time = clock().wall
        let reading = try inner.readNode()
        note(.node(time: time, host: host, reading))
        return reading
    }

    /// Records the guest with its XML, and reads the description from that same text.
    public func describeGuest(_ guest: GuestID) throws(HypervisorError) -> GuestDescription {
        let time = clock().wall
        let description = try inner.describeGuest(guest)
        let xml = try inner.guestXML(guest)
        let number = known.withLock { $0[guest]?.domainID }
        note(.guest(CapturedGuest(time: time, host: host, guest: guest, name: description.name, domainID: number, xml: xml)))
        return description
    }

    /// Asks, and records nothing.
    public func guestXML(_ guest: GuestID) throws(HypervisorError) -> String { try inner.guestXML(guest) }

    /// Asks, and records nothing: the format has no pools.
    public func readPools() throws(HypervisorError) -> [PoolReading] { try inner.readPools() }

    /// Asks, and records nothing: the format has no jobs.
    public func readJob(of guest: GuestID) throws(HypervisorError) -> JobReading? { try inner.readJob(of: guest) }

    /// Closes the connection.
    public func close() { inner.close() }
}
