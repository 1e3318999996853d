import Actuation
import Decisions
import Fleet
import Libvirt
import Synchronization
import Threads

/// A guest as it was found on a host.
struct SurveyedGuest: Sendable {
    let guest: GuestID
    let name: String
    let host: HostName
    let presence: GuestPresence
    /// Complete enough to start it elsewhere: with its secrets.
    let definition: String
    let needs: GuestNeeds
    let description: GuestDescription
    /// What ties it to the host beyond its definition: snapshots, a saved image.
    let ties: [String]
    /// Whether a job, such as a migration, runs on it.
    let hasJob: Bool

    var placement: PlacementGuest {
        var value = PlacementGuest(guest, host: host, vcpus: Double(description.vcpusCurrent), memory: description.memoryMaximum)
        value.group = description.metadata.group
        value.pools = needs.volumes.map(\.pool)
        value.networks = needs.networks
        return value
    }
}

/// A host as it was found, or why it could not be.
struct SurveyedHost: Sendable {
    let name: HostName
    var description: HostDescription?
    var pools: [String] = []
    var guests: [SurveyedGuest] = []
    var failure: String?

    func placement(isCordoned: Bool, networks: [String]) -> PlacementHost? {
        guard let description else { return nil }
        var value = PlacementHost(name, cpus: Double(description.cpus), memory: description.memory)
        value.pools = pools
        value.networks = networks
        value.isCordoned = isCordoned
        value.isAvailable = failure == nil
        return value
    }
}

/// Everything that is on every host, read at once over read-write connections.
struct FleetSurvey: Sendable {
    /// How long a host may take before it counts as one that does not answer: libvirt's keepalive finds a dead one after 15 s.
    static let deadline = Duration.seconds(20)

    let hosts: [SurveyedHost]

    var guests: [SurveyedGuest] { hosts.flatMap(\.guests) }
    var silent: [SurveyedHost] { hosts.filter { $0.failure != nil } }

    func host(_ name: HostName) -> SurveyedHost? { hosts.first { $0.name == name } }

    /// Guests by name or UUID; more than one where several hosts have it.
    func find(_ text: String) -> [SurveyedGuest] {
        let id = GuestID(text)
        return guests.filter { $0.name == text || $0.guest == id }
    }

    /// Every host is read by a thread of its own, so that one that hangs costs the deadline and no more.
    static func take(_ names: [HostName], _ actuator: LibvirtActuator, within limit: Duration = deadline) -> FleetSurvey {
        let mailbox = Mailbox<SurveyedHost>()
        for name in names {
            startThread(named: "survey \(name)") { mailbox.put(SurveyedHost.read(name, actuator)) }
        }
        let end = ContinuousClock.now + limit
        var found: [SurveyedHost] = []
        while found.count < names.count {
            let left = end - ContinuousClock.now
            guard left > .zero else { break }
            found += mailbox.take(within: left)
        }
        return FleetSurvey(
            hosts: names.sorted().map { name in
                found.first { $0.name == name } ?? SurveyedHost(name: name, failure: "no answer within \(limit.operatorText)")
            })
    }

    /// A board of the hosts that answer, for placing guests.
    func board(cordoned: Set<HostName>, networks more: [String] = []) -> Board {
        // Whether a host has a network is checked when a move is prepared, or by libvirt at the start; the board does not know it.
        let networks = Set(guests.flatMap(\.needs.networks) + more).sorted()
        return Board(
            hosts: hosts.compactMap { $0.placement(isCordoned: cordoned.contains($0.name), networks: networks) },
            guests: guests.filter(\.presence.isActive).map(\.placement))
    }
}

extension SurveyedHost {
    static func read(_ name: HostName, _ actuator: LibvirtActuator) -> SurveyedHost {
        var host = SurveyedHost(name: name)
        do throws(HypervisorError) {
            try actuator.withConnection(to: name) { connection throws(HypervisorError) in try host.read(connection) }
        } catch {
            host.failure = error.description
        }
        return host
    }

    private mutating func read(_ connection: LibvirtConnection) throws(HypervisorError) {
        description = try connection.describeHost()
        pools = try connection.readPools().filter { $0.state == .running }.map(\.name)
        for (guest, guestName) in try connection.guests() {
            do throws(HypervisorError) {
                if let found = try SurveyedHost.read(guest, guestName, connection) { guests.append(found) }
            } catch {
                // A guest may go away between two calls; any other failure is the host's.
                if error.kind != .noSuchGuest { throw error }
            }
        }
    }

    private static func read(
        _ guest: GuestID, _ name: String, _ connection: LibvirtConnection
    ) throws(HypervisorError) -> SurveyedGuest? {
        guard let presence = try connection.presence(of: guest) else { return nil }
        let xml = try connection.completeXML(of: guest, isLive: presence.isActive)
        func unreadable(_ error: any Error) -> HypervisorError {
            HypervisorError(.failed, call: "virDomainGetXMLDesc", host: connection.host, guest: guest, words: "\(error)")
        }
        let needs: GuestNeeds
        do { needs = try GuestNeeds(xml) } catch { throw unreadable(error) }
        let description: GuestDescription
        do { description = try GuestDescription(domainXML: xml, isPersistent: presence.isPersistent) } catch { throw unreadable(error) }
        return SurveyedGuest(
            guest: guest, name: name, host: connection.host, presence: presence, definition: xml, needs: needs, description: description,
            ties: presence.isPersistent ? try connection.tiesToHost(of: guest) : [],
            hasJob: presence.isActive ? try connection.readJob(of: guest) != nil : false)
    }
}
