import Actuation
import Decisions
import Fencing
import Fleet
import JournalStorage
import Libvirt
import Logging
import Operations
import Plans
import Synchronization
import Threads

/// A host that is guarded.
struct GuardedHost: Sendable {
    let name: HostName
    let address: ConnectionURI
    /// Its power switch, where it has one.
    let device: FenceDevice?
}

/// What the rest of the process may know of a host's watch.
struct HostStanding: Sendable {
    var state = HostState.healthy
    var incident: UInt64 = 0
    var proof: DeathProof?
    var reason = "not observed yet"
    var silence = Duration.zero
    var since = Duration.zero
    var flaps = 0
    /// The last power reading, and when it was made.
    var power: (reading: PowerReading, at: Duration)?
}

/// Watches the hosts, and carries out what their watches ask: the driver of `HostWatch`, as `PlanRunner` is that of `Executor`.
///
/// One thread owns every watch; probes, power readings, surveys and plans run elsewhere and report to its mailbox.
final class HostGuard: Sendable {
    /// How often time passes for the watches.
    static let tick = Duration.milliseconds(250)
    /// How old a power reading may be when a start rests on it.
    static let powerAge = Duration.seconds(3)
    /// How long one fence attempt may take.
    static let fenceDeadline = Duration.seconds(60)

    enum Message: Sendable {
        case saw(HostName, ProbeSight)
        case event(HostName, HostEvent)
        case power(HostName, PowerReading)
        case closed(PlanID, PlanOutcome)
        case settled(StepReference, StepOutcome)
        case surveyed(HostName, incident: UInt64, FleetSurvey)
        case cleaning(HostName, [Step])
        case stop
    }

    struct Settings: Sendable {
        var watch = HostWatchSettings()
        var quietAfterStart = Brake.quietAfterStart
        var witness: (address: String, port: UInt16)?
    }

    let hosts: [GuardedHost]
    let settings: Settings
    let store: PlanStore
    let runner: PlanRunner
    let actuator: LibvirtActuator
    let shared: GuardShared
    let logger: Logger
    let clock: @Sendable () -> Moment

    init(
        hosts: [GuardedHost], settings: Settings, store: PlanStore, runner: PlanRunner, actuator: LibvirtActuator, shared: GuardShared,
        logger: Logger, clock: @escaping @Sendable () -> Moment
    ) {
        self.hosts = hosts.sorted { $0.name < $1.name }
        self.settings = settings
        self.store = store
        self.runner = runner
        self.actuator = actuator
        self.shared = shared
        self.logger = logger
        self.clock = clock
    }

    /// Guards until stopped; call it on a thread of its own.
    func run() {
        var loop = GuardLoop(self)
        while loop.goesOn {
            let messages = shared.mailbox.take(within: HostGuard.tick)
            for message in messages { loop.receive(message) }
            loop.passTime()
        }
    }
}

/// What the guard's thread and the threads of actions share.
final class GuardShared: Sendable {
    let mailbox = Mailbox<HostGuard.Message>()
    let standings = Mutex<[HostName: HostStanding]>([:])
    let attempts = Mutex<[HostName: FenceAttempt]>([:])
    let witnessAnswers = Mutex<Bool?>(nil)
    let alarms = Mutex<[String]>([])

    /// Alarms that are kept to be shown.
    static let alarmsMaximum = 200

    func standing(_ host: HostName) -> HostStanding { standings.withLock { $0[host] ?? HostStanding() } }

    /// Whether a host may be asked something: one that is silent would only hold the asker.
    func answers(_ host: HostName) -> Bool {
        let standing = standing(host)
        return [.healthy, .suspect, .returning].contains(standing.state) && standing.silence == .zero
    }

    func raise(_ words: String) {
        alarms.withLock { alarms in
            alarms.append(words)
            if alarms.count > GuardShared.alarmsMaximum { alarms.removeFirst(alarms.count - GuardShared.alarmsMaximum) }
        }
    }

    /// Why a start that rests on a death must not be made now; nil where the proof, read again, still holds.
    func refusal(_ incident: String, devices: [HostName: FenceDevice], clock: @Sendable () -> Moment) -> String? {
        let parts = incident.split(separator: "#")
        guard parts.count == 2, let number = UInt64(parts[1]) else { return "'\(incident)' names no incident" }
        let host = HostName(String(parts[0]))
        let standing = standing(host)
        guard standing.incident == number, let proof = standing.proof, [.fenced, .evacuating, .evacuated].contains(standing.state) else {
            return "the proof that \(host) is dead does not hold any more (\(standing.state.rawValue): \(standing.reason))"
        }
        guard proof == .poweredOff, let device = devices[host] else { return nil }
        if let power = standing.power, power.reading == .off, clock().uptime - power.at < HostGuard.powerAge { return nil }
        let reading = device.readPower()
        mailbox.put(.power(host, reading))
        switch reading {
        case .off: return nil
        case .on: return "the power of \(host) is on again"
        case .dark(let why): return "the power of \(host) cannot be read again: \(why)"
        }
    }
}
