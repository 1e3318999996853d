public import Fleet
import Glibc
import Libvirt
import Plans
import Synchronization
import Threads

/// The pause between two looks of a wait, and between two readings of a migration's progress.
private let pauseMicroseconds: UInt32 = 500_000

func sleepBriefly() { usleep(pauseMicroseconds) }

func sleepFor(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    nanosleep(&time, nil)
}

extension LibvirtActuator {
    func migrate(
        _ guest: GuestID, _ source: HostName, _ target: HostName, _ kind: MigrationKind, _ deadline: Duration
    ) throws(HypervisorError) -> String? {
        switch kind {
        case .live: try migrateLive(guest, source, target)
        case .cold: try migrateCold(guest, source, target)
        case .saved: "migration through a saved image is not carried out by this version; use live or cold"
        }
    }

    func lookAtMigration(
        _ guest: GuestID, _ source: HostName, _ target: HostName, _ kind: MigrationKind
    ) throws(HypervisorError) -> Observation {
        // The target first: a guest that arrives between the two reads is then seen on both sides, never on none.
        let there = try connections.connection(to: target).presence(of: guest)
        let here = try connections.connection(to: source).presence(of: guest)
        return kind == .cold ? lookAtCold(here: here, there: there, source, target) : try lookAtLive(guest, here, there, source, target)
    }

    // MARK: Live

    private func lookAtLive(
        _ guest: GuestID, _ here: GuestPresence?, _ there: GuestPresence?, _ source: HostName, _ target: HostName
    ) throws(HypervisorError) -> Observation {
        if let here, here.isActive {
            if try connections.connection(to: source).readJob(of: guest) != nil || here.isPausedByMigration { return .underWay }
            if let there, there.isActive {
                return there.isRunning && here.isRunning
                    ? .prevented("it runs on \(source) and on \(target): stop one of them now, then check its disk") : .underWay
            }
            return here.isRunning || here.state == .paused ? .notInEffect : .prevented("it is shutting down or crashed on \(source)")
        }
        if let there, there.isActive {
            if there.isPausedByMigration { return .underWay }
            // Left behind by a migration that was cut off after its switch.
            if here?.isPersistent == true { return .notInEffect }
            return there.isPersistent ? .inEffect(evidence: "it runs on \(target) and \(source) has nothing of it") : .notInEffect
        }
        if here == nil, there == nil { return .prevented("neither \(source) nor \(target) has it") }
        return .prevented("it is shut off; a guest that does not run is moved cold")
    }

    private func migrateLive(_ guest: GuestID, _ source: HostName, _ target: HostName) throws(HypervisorError) -> String? {
        guard let from = connections.host(source), let to = connections.host(target) else {
            return "\(connections.host(source) == nil ? source : target) is no host that may be acted on"
        }
        let there = try connections.connection(to: target)
        let here = try connections.connection(to: source)
        if let arrived = try there.presence(of: guest), arrived.isRunning, try here.presence(of: guest)?.isActive != true {
            try cleanUpAfterLive(guest, here, there, arrived)
            return nil
        }
        let obstacles = try obstacles(to: guest, from: here, to: there, isLive: true)
        guard obstacles.isEmpty else { return obstacles.joined(separator: "; ") }
        let wasAutostarted = try here.presence(of: guest)?.isAutostarted ?? false
        var options = MigrationOptions(target: to.peerAddress ?? to.address.text)
        options.memoryAddress = to.memoryAddress
        options.isUnsafe = from.allowsUnsafeMigration && to.allowsUnsafeMigration
        options.usesTLS = to.usesTLS
        options.bandwidth = to.bandwidth
        let watch = MigrationWatch(guest, source, target, connections, services.progress)
        watch.begin()
        defer { watch.end(arrivedOn: there) }
        try here.migrate(guest, options)
        // libvirt does not take the flag along: without it the guest would stay down after the target's next boot.
        if wasAutostarted { try there.setAutostart(guest, true) }
        return nil
    }

    /// Finishes what a migration left that was cut off after its switch.
    private func cleanUpAfterLive(
        _ guest: GuestID, _ here: LibvirtConnection, _ there: LibvirtConnection, _ arrived: GuestPresence
    ) throws(HypervisorError) {
        if !arrived.isPersistent { try there.define(try there.completeXML(of: guest, isLive: true)) }
        if let rest = try here.presence(of: guest), rest.isPersistent, !rest.isActive {
            if rest.isAutostarted { try there.setAutostart(guest, true) }
            try here.undefine(guest, .definition)
        }
    }

    // MARK: Cold

    private func lookAtCold(here: GuestPresence?, there: GuestPresence?, _ source: HostName, _ target: HostName) -> Observation {
        if here?.isActive == true { return .prevented("it runs on \(source): shut it down first, or move it live") }
        if there?.isActive == true {
            return here == nil
                ? .inEffect(evidence: "it already runs on \(target)") : .prevented("it runs on \(target) and is defined on \(source)")
        }
        guard here != nil || there != nil else { return .prevented("neither \(source) nor \(target) has it") }
        return here == nil ? .inEffect(evidence: "defined on \(target), \(source) has nothing of it") : .notInEffect
    }

    /// Defines it on the target, then undefines it on the source: between the two nobody may start it but us, and after each the look
    /// tells what is left.
    private func migrateCold(_ guest: GuestID, _ source: HostName, _ target: HostName) throws(HypervisorError) -> String? {
        let here = try connections.connection(to: source)
        let there = try connections.connection(to: target)
        guard let presence = try here.presence(of: guest), presence.isPersistent, !presence.isActive else {
            return "it is not shut off on \(source)"
        }
        let obstacles = try obstacles(to: guest, from: here, to: there, isLive: false) + here.tiesToHost(of: guest)
        guard obstacles.isEmpty else { return obstacles.joined(separator: "; ") }
        // Autostart goes first: a boot of the source in the middle must not start it.
        if presence.isAutostarted { try here.setAutostart(guest, false) }
        try there.define(try here.completeXML(of: guest, isLive: false))
        try here.undefine(guest, .definition)
        if presence.isAutostarted { try there.setAutostart(guest, true) }
        return nil
    }

    // MARK: What stands in the way

    /// Why a guest cannot go to a host, as far as libvirt can tell beforehand; empty where nothing is known against it.
    public func obstacles(to guest: GuestID, from source: HostName, to target: HostName, isLive: Bool) throws(HypervisorError) -> [String] {
        try connections.leasing { () throws(HypervisorError) in
            try obstacles(
                to: guest, from: try connections.connection(to: source), to: try connections.connection(to: target), isLive: isLive)
        }
    }

    private func obstacles(
        to guest: GuestID, from here: LibvirtConnection, to there: LibvirtConnection, isLive: Bool
    ) throws(HypervisorError) -> [String] {
        let xml = try here.completeXML(of: guest, isLive: isLive)
        let needs: GuestNeeds
        do { needs = try GuestNeeds(xml) } catch {
            throw HypervisorError(.failed, call: "virDomainGetXMLDesc", host: here.host, guest: guest, words: "\(error)")
        }
        var obstacles = needs.boundToHost
        if let cpu = needs.cpuXML, try there.canRunCPU(cpu, type: needs.type) == false {
            obstacles.append("\(there.host) lacks the CPU model \(needs.cpuModel ?? "that it needs")")
        }
        for network in needs.networks where try !there.hasNetwork(network) {
            obstacles.append("\(there.host) has no active network \(network)")
        }
        for bridge in needs.bridges where try there.hasInterface(bridge) == false {
            obstacles.append("\(there.host) has no bridge \(bridge)")
        }
        for filter in needs.filters where try !there.hasFilter(filter) {
            obstacles.append("\(there.host) has no network filter \(filter)")
        }
        for disk in needs.volumes where try there.volumeIfAny(disk.volume, inPool: disk.pool) == nil {
            obstacles.append("\(there.host) does not have volume \(disk.pool)/\(disk.volume)")
        }
        return obstacles
    }
}

extension LibvirtConnection {
    /// A volume, or nil where the host has no such pool or volume.
    func volumeIfAny(_ name: String, inPool pool: String) throws(HypervisorError) -> VolumeDescription? {
        do throws(HypervisorError) { return try volume(name, inPool: pool) } catch {
            if error.kind == .noSuchObject { return nil }
            throw error
        }
    }
}

/// Reads a migration's progress beside the call that carries it, and allows longer stops of the guest where it stalls.
final class MigrationWatch: Sendable {
    /// The stops allowed one after the other where the memory left to send no longer shrinks: oVirt's ladder
    /// (MigrationPolicies, "minimal downtime"), here without its last step, post-copy.
    static let downtimeLadder: [Duration] = [.milliseconds(300), .milliseconds(500), .seconds(1), .seconds(2)]
    /// Readings in a row without a new least before the next step: five seconds.
    static let stalledReadings = 10

    private struct State {
        var hasEnded = false
        var least = UInt64.max
        var stalled = 0
        var step = 0
    }

    private let guest: GuestID
    private let source: HostName
    private let target: HostName
    private let connections: Connections
    private let tell: @Sendable (MigrationProgress) -> Void
    private let state = Mutex(State())

    init(
        _ guest: GuestID, _ source: HostName, _ target: HostName, _ connections: Connections,
        _ tell: @escaping @Sendable (MigrationProgress) -> Void
    ) {
        self.guest = guest
        self.source = source
        self.target = target
        self.connections = connections
        self.tell = tell
    }

    func begin() {
        startThread(named: "migration watch") { [self] in
            connections.leasing {
                // A reading that fails tells nothing; the call itself tells how the migration ended.
                guard let connection = try? connections.connection(to: source) else { return }
                while !state.withLock({ $0.hasEnded }) {
                    if let job = try? connection.readJob(of: guest) { read(job, connection) }
                    sleepBriefly()
                }
            }
        }
    }

    /// Ends the watching and tells the outcome, as the target counted it.
    func end(arrivedOn there: LibvirtConnection) {
        state.withLock { $0.hasEnded = true }
        let job = try? there.readCompletedJob(of: guest)
        tell(progress(job?.parameters ?? [], hasEnded: true))
    }

    private func read(_ job: JobReading, _ connection: LibvirtConnection) {
        let progress = progress(job.parameters, hasEnded: false)
        tell(progress)
        guard progress.total.count > 0 else { return }
        let downtime = state.withLock { state -> Duration? in
            if progress.remaining.count < state.least {
                state.least = progress.remaining.count
                state.stalled = 0
                return nil
            }
            state.stalled += 1
            guard state.stalled >= MigrationWatch.stalledReadings, state.step < MigrationWatch.downtimeLadder.count else { return nil }
            state.stalled = 0
            state.step += 1
            return MigrationWatch.downtimeLadder[state.step - 1]
        }
        // A refusal means that the migration has just ended.
        if let downtime { try? connection.setMigrationDowntime(of: guest, downtime) }
    }

    private func progress(_ parameters: [StatParameter], hasEnded: Bool) -> MigrationProgress {
        func number(_ name: String) -> UInt64? { parameters.first { $0.name == name }?.value.unsignedInteger }
        return MigrationProgress(
            guest: guest, source: source, target: target, elapsed: .milliseconds(Int64(number("time_elapsed") ?? 0)),
            total: Bytes(number("data_total") ?? 0), remaining: Bytes(number("data_remaining") ?? 0),
            dirtyRate: number("memory_dirty_rate").flatMap { rate in number("memory_page_size").map { Bytes(rate * $0) } },
            rate: number("memory_bps").map { Bytes($0) }, pass: number("memory_iteration"),
            downtime: number("downtime").map { .milliseconds(Int64($0)) }, hasEnded: hasEnded)
    }
}
