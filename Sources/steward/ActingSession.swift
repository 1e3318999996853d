import Actuation
import ArgumentParser
import Collection
import Fleet
import Glibc
import JournalStorage
import Libvirt
import Operations
import Plans
import Synchronization
import Threads

/// How a command that acts is told where, and how.
struct ActingOptions: ParsableArguments {
    @OptionGroup var hosts: ConnectOptions

    @Option(
        help: ArgumentHelp(
            "The folder of the journal of plans.", discussion: "STEWARD_DATA where it is set, else /var/lib/steward.", valueName: "folder"))
    var data: String?

    @Flag(help: "Show what would be done, and do nothing.")
    var plan = false

    @Flag(help: "Print the outcome as JSON.")
    var json = false

    @Flag(
        name: .customLong("unsafe"),
        help:
            "Tell libvirt that the disks may be migrated although it cannot see that they are shared. For labs: with local disks it destroys them."
    )
    var isUnsafe = false

    var folder: String { data ?? getenv("STEWARD_DATA").map { String(cString: $0) } ?? "/var/lib/steward" }

    func actuatorHosts() throws -> [ActuatorHost] {
        try hosts.hosts().map { host in
            var value = host.actuatorHost
            value.allowsUnsafeMigration = isUnsafe
            return value
        }
    }
}

/// One command's use of the executor: opens the journal, finishes what an earlier command left, runs a plan and waits for its end.
final class ActingSession: Sendable {
    let names: [HostName]
    let store: PlanStore
    let actuator: LibvirtActuator
    let runner: PlanRunner
    private let rows = Mailbox<JournalEntry>()
    private let current = Mutex<PlanID?>(nil)

    init(_ options: ActingOptions, progress: @escaping @Sendable (MigrationProgress) -> Void = { _ in }) throws {
        // Before any thread is started: a thread that does not block them would die of them, and the process with it.
        let signals = ActingSession.blockInterrupts()
        let hosts = try options.actuatorHosts()
        names = hosts.map(\.name)
        mkdir(options.folder, 0o700)
        do { store = try PlanStore(folder: options.folder) } catch { throw Failure("\(error)") }
        let runtime = try LibvirtRuntime()
        startThread(named: "libvirt events") { runtime.runEventLoop() }
        var services = ActuatorServices()
        let store = self.store
        services.definition = { digest in try? store.document(digest) }
        services.progress = progress
        actuator = LibvirtActuator(hosts: hosts, runtime: runtime, services: services)
        let rows = self.rows
        let clock = SystemClock()
        do {
            runner = try PlanRunner(journal: store, actuator: actuator, clock: { clock.now() }) { entries in
                for entry in entries { rows.put(entry) }
            }
        } catch { throw Failure("\(error)") }
        catchInterrupts(signals)
    }

    func survey() -> FleetSurvey { FleetSurvey.take(names, actuator) }

    /// Hosts that get nothing new.
    func cordoned() throws -> Set<HostName> { Set(try store.facts("cordon").map { HostName($0.key) }) }

    /// A host by name, or a failure with the nearest name.
    func host(_ text: String) throws -> HostName {
        let name = HostName(text)
        guard names.contains(name) else {
            let hint = nearest(to: text, among: names.map(\.text)).map { "did you mean '\($0)'?" }
            throw Failure(
                "no host '\(text)' was given with --connect; \(hint ?? "there are \(names.map(\.text).joined(separator: ", "))")",
                code: Failure.usage)
        }
        return name
    }

    /// Starts the executor; plans that an earlier process left are taken up by it.
    ///
    /// Ctrl-C ends the current plan without harm, a second one the process.
    func start() {
        let runner = self.runner
        startThread(named: "plans") { runner.run() }
        let left = runner.status.open
        if !left.isEmpty {
            printError("steward: taking up \(left.map(\.plan.id.description).joined(separator: ", ")), which an earlier run left")
        }
    }

    private static func blockInterrupts() -> sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        return signals
    }

    private func catchInterrupts(_ waited: sigset_t) {
        startThread(named: "signals") { [self] in
            var signals = waited
            var count = 0
            while true {
                var number: Int32 = 0
                guard sigwait(&signals, &number) == 0 else { continue }
                count += 1
                guard count == 1, let plan = current.withLock({ $0 }) else { exit(130) }
                printError("\nsteward: ending \(plan); a migration that has not switched yet goes back. Once more ends Steward at once.")
                runner.reject(plan, by: number == SIGINT ? "Ctrl-C" : "SIGTERM")
            }
        }
    }

    /// Runs a plan to its end; `note` is told each row of it.
    func carryOut(
        _ steps: [Step], decider: Decider, cause: String? = nil, reasons: [String], lifetime: Duration, note: (JournalEntry) -> Void
    ) throws -> (plan: PlanID, outcome: PlanOutcome, steps: [StepOutcome?]) {
        let now = SystemClock().now().wall
        let answer = runner.submit { id in
            Plan(
                id: id, decider: decider, cause: cause, mode: .auto, madeAt: now, lifetime: lifetime, reasons: reasons, steps: steps)
        }
        guard case .accepted(let plan) = answer else {
            if case .refused(let reason) = answer { throw Failure("the plan was refused: \(reason)") }
            throw Failure("the plan was refused")
        }
        current.withLock { $0 = plan }
        defer { current.withLock { $0 = nil } }
        var outcomes = [StepOutcome?](repeating: nil, count: steps.count)
        while true {
            for entry in rows.take(within: .seconds(1)) where belongs(entry, to: plan) {
                note(entry)
                if case .settled(let step, let outcome) = entry.record, outcomes.indices.contains(step.index) {
                    outcomes[step.index] = outcome
                }
                if case .closed(_, let outcome, _) = entry.record { return (plan, outcome, outcomes) }
            }
            if let failure = runner.status.journalFailure { printError("steward: \(failure)") }
        }
    }

    private func belongs(_ entry: JournalEntry, to plan: PlanID) -> Bool { entry.record.plan == plan }

    /// Waits until plans of an earlier run have ended.
    func settleEarlierPlans() {
        while !runner.status.open.isEmpty { usleep(100_000) }
        _ = rows.take(within: .zero)
    }
}
