import Actuation
import ArgumentParser
import Decisions
import Fencing
import Fleet
import Foundation
import Glibc
import JournalStorage
import Libvirt
import Logging
import Operations
import Plans
import Synchronization
import Threads

/// What `serve` is told about watching over hosts and acting when one dies.
struct EvacuationOptions: ParsableArguments {
    @Flag(help: "Fence hosts that are silent, and start their guests elsewhere once they are proven dead. Needs --data.")
    var evacuate = false

    @Option(
        help: ArgumentHelp(
            "A host's power switch: a file with the lines that the fence agent reads, such as ip=, login=, password=.",
            discussion: "May be given several times. Giving it says that this switch is that host's and no other's.",
            valueName: "host=file"))
    var bmc: [String] = []

    @Option(help: ArgumentHelp("The fence agent of the power switches (Debian: fence-agents).", valueName: "program"))
    var fenceAgent = "fence_ipmilan"

    @Option(
        help: ArgumentHelp(
            "An address that answers us when our own network is well, such as the gateway. Three hosts or fewer need it.",
            valueName: "address:port"))
    var witness: ListenAddress?

    @Option(help: ArgumentHelp("Silence after which a host with its power on is fenced.", valueName: "duration"))
    var fenceAfter = DurationArgument(.seconds(60))

    @Option(help: ArgumentHelp("How long nothing is fenced or evacuated after the start.", valueName: "duration"))
    var quietAfterStart = DurationArgument(.seconds(120))

    @Option(help: ArgumentHelp("Time between two readings of what each host has, for starting it elsewhere.", valueName: "duration"))
    var keepInterval = DurationArgument(.seconds(5))

    func devices(_ hosts: [HostName]) throws -> [HostName: FenceDevice] {
        var devices: [HostName: FenceDevice] = [:]
        for text in bmc {
            guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
                throw Failure("--bmc \(text) is no host=file", code: Failure.usage)
            }
            let host = HostName(String(text[..<equals]))
            guard hosts.contains(host) else {
                let hint = nearest(to: host.text, among: hosts.map(\.text)).map { "; did you mean '\($0)'?" } ?? ""
                throw Failure("--bmc \(text): no host '\(host)' is watched\(hint)", code: Failure.usage)
            }
            let path = String(text[text.index(after: equals)...])
            guard let data = FileManager.default.contents(atPath: path) else {
                throw Failure("--bmc \(text): the file cannot be read", code: Failure.usage)
            }
            do { devices[host] = try FenceDevice(agent: fenceAgent, settings: String(decoding: data, as: UTF8.self)) } catch {
                throw Failure("\(path): \(error)", code: Failure.usage)
            }
        }
        return devices
    }
}

/// The part of the server that watches over hosts: probes, power switches, kept definitions, fencing, evacuation, return.
final class EvacuationPart: Sendable {
    private let guardian: HostGuard
    private let probers: [HostProber]
    private let options: EvacuationOptions
    private let folder: String

    /// Makes the part; nothing runs before ``start()``.
    init(
        _ options: EvacuationOptions, hosts: [WatchedHost], folder: String, runtime: LibvirtRuntime,
        logger: Logger,
        clock: @escaping @Sendable () -> Moment
    ) throws {
        self.options = options
        self.folder = folder
        let devices = try options.devices(hosts.map(\.name))
        let shared = GuardShared()
        let store: PlanStore
        do { store = try PlanStore(folder: folder) } catch { throw Failure("\(error)") }
        let actuator = LibvirtActuator(
            hosts: hosts.map(\.actuatorHost), runtime: runtime,
            services: EvacuationPart.services(store, shared, devices, clock))
        let runner: PlanRunner
        do {
            runner = try PlanRunner(journal: store, actuator: actuator, clock: clock) { entries in
                for entry in entries {
                    switch entry.record {
                    case .settled(let step, let outcome): shared.mailbox.put(.settled(step, outcome))
                    case .closed(let plan, let outcome, _): shared.mailbox.put(.closed(plan, outcome))
                    case .accepted, .approved, .begun, .disarmed, .armed: break
                    }
                }
            }
        } catch { throw Failure("\(error)") }
        var settings = HostGuard.Settings()
        settings.watch.fenceAfter = options.fenceAfter.duration
        settings.quietAfterStart = options.quietAfterStart.duration
        if let witness = options.witness { settings.witness = (witness.address, UInt16(clamping: witness.port)) }
        guardian = HostGuard(
            hosts: hosts.map { GuardedHost(name: $0.name, address: $0.operateURI, device: devices[$0.name]) }, settings: settings,
            store: store,
            runner: runner, actuator: actuator, shared: shared, logger: logger, clock: clock)
        let interval = settings.watch.probeInterval
        probers = hosts.map { host in
            HostProber(host.name, address: host.operateURI, runtime: runtime, interval: interval) { shared.mailbox.put(.saw($0, $1)) }
        }
    }

    private static func services(
        _ store: PlanStore, _ shared: GuardShared, _ devices: [HostName: FenceDevice], _ clock: @escaping @Sendable () -> Moment
    ) -> ActuatorServices {
        var services = ActuatorServices()
        services.definition = { digest in try? store.document(digest) }
        services.answers = { shared.answers($0) }
        services.refusal = { _, _, incident in shared.refusal(incident, devices: devices, clock: clock) }
        services.fence = { host, _, deadline in
            guard let device = devices[host] else { return "no power switch of \(host) is configured" }
            let attempt = device.powerOff(within: deadline - .seconds(15))
            shared.attempts.withLock { $0[host] = attempt }
            return attempt.failure
        }
        services.power = { host in
            guard let device = devices[host] else { return .prevented("no power switch of \(host) is configured") }
            switch device.readPower() {
            case .off: return .inEffect(evidence: "its power was read as off")
            case .on: return .notInEffect
            case .dark(let why): return .prevented("its power cannot be read: \(why)")
            }
        }
        return services
    }

    /// Starts every thread of the part.
    func start() throws {
        let guardian = self.guardian
        startThread(named: "plans") { guardian.runner.run() }
        startThread(named: "guard") { guardian.run() }
        for prober in probers { startThread(named: "prober") { prober.run() } }
        if let witness = guardian.settings.witness {
            startThread(named: "witness") {
                while true {
                    let sight = reach(witness.address, port: witness.port, within: .seconds(1))
                    let answers = sight == .accepted || sight == .refused
                    guardian.shared.witnessAnswers.withLock { $0 = answers }
                    sleep(1)
                }
            }
        }
        let interval = options.keepInterval.duration
        startThread(named: "keeper") { Keeper(guardian, interval: interval).run() }
        let control = GuardControl(guardian)
        try ControlSocket.serve(folder: folder) { control.answer($0) }
    }
}

/// Reads what every host has, again and again: definitions to be kept, and whether anything runs twice.
struct Keeper {
    /// How long a proof that pools are shared is believed.
    static let proofAge = Duration.seconds(3600)

    private let guardian: HostGuard
    private let interval: Duration

    init(_ guardian: HostGuard, interval: Duration) {
        self.guardian = guardian
        self.interval = interval
    }

    func run() -> Never {
        var shared: [HostName: (pools: SharedPools, among: [HostName], at: Duration)] = [:]
        var told: Set<String> = []
        while true {
            let begun = guardian.clock().uptime
            let answering = guardian.hosts.map(\.name).filter { guardian.shared.answers($0) }
            for host in answering {
                let known = shared[host]
                if let known, begun - known.at < Keeper.proofAge, Set(answering).isSubset(of: known.among) { continue }
                do throws(HypervisorError) {
                    let pools = try guardian.actuator.provePools(of: host, among: answering, token: UInt64.random(in: 0 ... .max))
                    shared[host] = (pools, answering, begun)
                } catch { guardian.logger.warning("whether the pools of \(host) are shared cannot be proven: \(error)") }
            }
            let survey = FleetSurvey.take(answering, guardian.actuator)
            for host in survey.hosts where host.failure == nil && guardian.shared.answers(host.name) {
                guard guardian.shared.standing(host.name).state != .returning, let pools = shared[host.name]?.pools else { continue }
                do throws(JournalError) { try KeptGuests(store: guardian.store).take(host, pools) } catch {
                    guardian.logger.error("\(error)")
                }
            }
            look(for: survey, &told)
            let left = interval - (guardian.clock().uptime - begun)
            if left > .zero { usleep(UInt32(clamping: left.milliseconds * 1000)) }
        }
    }

    /// Tells each double run once, until it is gone.
    private func look(for survey: FleetSurvey, _ told: inout Set<String>) {
        let sightings = survey.guests.filter(\.presence.isActive).map { guest in
            DoubleRunDetector.Sighting(
                guest: guest.guest, host: guest.host, isRunning: guest.presence.isRunning,
                isMigrating: guest.hasJob || guest.presence.isPausedByMigration, disks: guest.needs.exclusiveDisks)
        }
        let findings = DoubleRunDetector.findings(sightings).map(\.description)
        for finding in findings where !told.contains(finding) {
            guardian.logger.critical("ALARM: \(finding)")
            guardian.shared.raise(finding)
        }
        told = Set(findings)
    }
}
