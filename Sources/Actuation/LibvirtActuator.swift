public import Fleet
public import Libvirt
public import Plans

/// Carries actions out on libvirt hosts, and looks whether they are in effect.
///
/// Every call blocks on the host that it is about and on no other; the caller gives each its own thread and deadline.
public final class LibvirtActuator: Actuator {
    /// The namespace under which a definition carries the digest of the document that it was made from.
    static let definitionNamespace = "https://steward.dev/xmlns/definition/1"
    static let definitionPrefix = "stewarddefinition"

    let connections: Connections
    let services: ActuatorServices

    /// An actuator for hosts.
    public init(hosts: [ActuatorHost], runtime: LibvirtRuntime, services: ActuatorServices = ActuatorServices()) {
        connections = Connections(runtime: runtime)
        connections.setHosts(hosts)
        self.services = services
    }

    /// Replaces the hosts that may be acted on.
    public func setHosts(_ hosts: [ActuatorHost]) { connections.setHosts(hosts) }

    /// Makes calls over a read-write connection to a host that is this thread's own meanwhile.
    public func withConnection<Value>(
        to host: HostName, _ body: (LibvirtConnection) throws(HypervisorError) -> Value
    ) throws(HypervisorError) -> Value {
        try connections.leasing { () throws(HypervisorError) in try body(try connections.connection(to: host)) }
    }

    /// Does it; nil claims success.
    public func act(_ action: Action, deadline: Duration) -> String? {
        connections.leasing { carryOut(action, deadline) }
    }

    private func carryOut(_ action: Action, _ deadline: Duration) -> String? {
        do throws(HypervisorError) {
            switch action {
            case .migrate(let guest, let source, let target, let kind): return try migrate(guest, source, target, kind, deadline)
            case .start(let guest, let host, let incident): return try start(guest, on: host, incident: incident)
            case .shutdown(let guest, let host): return try shutdown(guest, on: host, within: deadline)
            case .destroy(let guest, let host): try connections.connection(to: host).destroy(guest)
            case .undefine(let guest, let host, let keepingState):
                try connections.connection(to: host).undefine(guest, keepingState ? .definition : .everything)
            case .define(let guest, let host, let definition): return try define(guest, on: host, definition)
            case .setAutostart(let guest, let host, let isOn): try connections.connection(to: host).setAutostart(guest, isOn)
            case .resize(let guest, let host, let vcpus, let memory):
                try connections.connection(to: host).resize(guest, vcpus: vcpus, memory: memory)
            case .createVolume, .createOverlay, .createSeed, .quarantineVolume, .deleteVolume: return try actOnVolume(action)
            case .defineFilter(let name, let host, _):
                guard let xml = services.filter(name) else { return "no definition of filter \(name) is kept" }
                try connections.connection(to: host).defineFilter(xml)
            case .undefineFilter(let name, let host, _): try connections.connection(to: host).undefineFilter(name)
            case .fence(let host, let incident):
                guard let fence = services.fence else { return "no fence device of \(host) is configured" }
                return fence(host, incident, deadline)
            case .notify(let endpoint, let event, let payload, let guest):
                guard let notify = services.notify else { return "no endpoints are configured" }
                return notify(endpoint, event, payload, guest)
            case .awaitHealth, .awaitDrain: return wait(for: action, within: deadline)
            }
            return nil
        } catch {
            return error.description
        }
    }

    /// Looks whether the action's expectation holds.
    public func look(_ action: Action) -> Observation {
        connections.leasing { observe(action) }
    }

    private func observe(_ action: Action) -> Observation {
        do throws(HypervisorError) {
            switch action {
            case .migrate(let guest, let source, let target, let kind): return try lookAtMigration(guest, source, target, kind)
            case .start(let guest, let host, let incident): return try lookBeforeStart(guest, host, incident)
            case .createVolume, .createOverlay, .createSeed, .quarantineVolume, .deleteVolume: return try lookAtVolume(action)
            default: return try look(at: action.expectation)
            }
        } catch {
            return .unknown(error.description)
        }
    }

    /// Asks a migration to end; the guest goes on where it was.
    public func cancel(_ action: Action) {
        guard case .migrate(let guest, let source, _, .live) = action else { return }
        // A refusal means that there is no job any more, or one that cannot be ended: the look tells.
        try? withConnection(to: source) { connection throws(HypervisorError) in try connection.abortJob(of: guest) }
    }

    private func look(at expectation: Expectation) throws(HypervisorError) -> Observation {
        switch expectation {
        case .stopped(let guest, let host):
            let presence = try connections.connection(to: host).presence(of: guest)
            return presence?.isActive == true ? .notInEffect : .inEffect(evidence: "it does not run on \(host)")
        case .undefined(let guest, let host):
            let presence = try connections.connection(to: host).presence(of: guest)
            return presence?.isPersistent == true ? .notInEffect : .inEffect(evidence: "\(host) has no definition of it")
        case .defined(let guest, let host, let definition): return try lookAtDefinition(guest, host, definition)
        case .autostart(let guest, let host, let isOn):
            guard let presence = try connections.connection(to: host).presence(of: guest), presence.isPersistent else {
                return isOn ? .prevented("it is not defined on \(host)") : .inEffect(evidence: "it is not defined on \(host)")
            }
            return presence.isAutostarted == isOn ? .inEffect(evidence: "autostart is \(isOn ? "on" : "off")") : .notInEffect
        case .size(let guest, let host, let vcpus, let memory):
            let size = try connections.connection(to: host).size(of: guest)
            return size == (vcpus, memory) ? .inEffect(evidence: "it has \(vcpus) vCPUs and \(memory)") : .notInEffect
        case .filter(let name, let host, let exists):
            let isThere = try connections.connection(to: host).hasFilter(name)
            return isThere == exists ? .inEffect(evidence: "filter \(name) is \(exists ? "" : "not ")on \(host)") : .notInEffect
        case .poweredOff(let host): return services.power?(host) ?? .prevented("no fence device of \(host) is configured")
        case .delivered(let endpoint, let payload):
            return services.delivered?(endpoint, payload) ?? .prevented("no endpoints are configured")
        case .healthy(let guest, let host): return services.health?(guest, host) ?? .prevented("no health check is configured")
        case .drained(let guest, let host): return services.drained?(guest, host) ?? .prevented("no drain check is configured")
        case .runsOnlyOn, .definedOnlyOn, .runs, .volume, .noVolume:
            // Reached only by an action whose own look lies elsewhere.
            return .unknown("not looked up by itself")
        }
    }

    // MARK: Definitions

    private func define(_ guest: GuestID, on host: HostName, _ digest: String) throws(HypervisorError) -> String? {
        guard let xml = services.definition(digest) else { return "no definition is kept under \(digest)" }
        let connection = try connections.connection(to: host)
        let defined = try connection.define(xml)
        guard defined == guest else {
            try connection.undefine(defined, .definition)
            return "the definition under \(digest) is that of \(defined), not of \(guest)"
        }
        try connection.setMetadataElement(
            of: guest, namespace: LibvirtActuator.definitionNamespace, prefix: LibvirtActuator.definitionPrefix,
            to: "<definition digest='\(digest)'/>")
        return nil
    }

    private func lookAtDefinition(_ guest: GuestID, _ host: HostName, _ digest: String) throws(HypervisorError) -> Observation {
        let connection = try connections.connection(to: host)
        guard let presence = try connection.presence(of: guest), presence.isPersistent else { return .notInEffect }
        let element = try connection.metadataElement(of: guest, namespace: LibvirtActuator.definitionNamespace)
        return element?.contains(digest) == true ? .inEffect(evidence: "\(host) has that definition of it") : .notInEffect
    }

    // MARK: Starting and stopping

    /// Where else a guest is active, among the hosts that answer; `except` is not asked.
    func activeElsewhere(_ guest: GuestID, except: [HostName]) throws(HypervisorError) -> HostName? {
        for host in connections.hosts where !except.contains(host.name) && services.answers(host.name) {
            if let presence = try connections.connection(to: host.name).presence(of: guest), presence.isActive { return host.name }
        }
        return nil
    }

    private func lookBeforeStart(_ guest: GuestID, _ host: HostName, _ incident: String?) throws(HypervisorError) -> Observation {
        guard let presence = try connections.connection(to: host).presence(of: guest) else {
            return .prevented("it is not defined on \(host)")
        }
        if presence.isRunning { return .inEffect(evidence: "it runs on \(host)") }
        if presence.isActive {
            return presence.isPausedByMigration
                ? .underWay : .prevented("it is paused on \(host) (reason \(presence.reason)): resume it there")
        }
        if let other = try activeElsewhere(guest, except: [host] + deadHost(of: incident)) { return .prevented("it is active on \(other)") }
        return .notInEffect
    }

    /// An incident is written `host#number`; its host is proven dead, so it is not asked.
    private func deadHost(of incident: String?) -> [HostName] {
        incident.flatMap { $0.split(separator: "#").first }.map { [HostName(String($0))] } ?? []
    }

    private func start(_ guest: GuestID, on host: HostName, incident: String?) throws(HypervisorError) -> String? {
        if let other = try activeElsewhere(guest, except: [host] + deadHost(of: incident)) { return "it is active on \(other)" }
        // Last before the start, so that as little time as possible lies between the proof and what rests on it.
        if let incident, let refusal = services.refusal(guest, host, incident) { return refusal }
        try connections.connection(to: host).start(guest)
        return nil
    }

    /// Presses the power button, then waits for the guest's own end.
    private func shutdown(_ guest: GuestID, on host: HostName, within limit: Duration) throws(HypervisorError) -> String? {
        let connection = try connections.connection(to: host)
        try connection.shutdown(guest)
        let end = ContinuousClock.now + limit - .seconds(2)
        while ContinuousClock.now < end {
            guard let presence = try connection.presence(of: guest), presence.isActive else { return nil }
            sleepBriefly()
        }
        return "it did not power off within \(limit.operatorText)"
    }

    private func wait(for action: Action, within limit: Duration) -> String? {
        let end = ContinuousClock.now + limit - .seconds(2)
        while ContinuousClock.now < end {
            switch look(action) {
            case .inEffect: return nil
            case .prevented(let reason): return reason
            case .notInEffect, .underWay, .unknown: sleepBriefly()
            }
        }
        return action.kind == .awaitHealth ? "it did not become healthy in time" : "it still carried work"
    }
}
