import Actuation
import ArgumentParser
import Decisions
import Fleet
import JournalStorage
import Libvirt
import Operations
import Plans

struct Migrate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Moves a guest to another host: running where it runs, else its definition.",
        discussion: """
            The plan is shown first, written to the journal, and then carried out; each step is looked up on the hosts before and \
            after it. What stands in the way is named before anything moves. Ctrl-C ends a migration that has not switched yet: the \
            guest goes on where it was. If this command is killed, the next one takes the plan up.

                steward migrate web-1 --to h2 --connect h1=qemu+tls://kvm1/system --connect h2=qemu+tls://kvm2/system
                steward migrate web-1 --to h2 --cold        # a running guest is shut down, moved, and started
                steward migrate web-1 --to h2 --plan        # only show what would be done
            """)

    @OptionGroup var options: ActingOptions

    @Argument(help: "The guest's name or UUID.")
    var guest: String

    @Option(help: ArgumentHelp("The host that it goes to.", valueName: "host"))
    var to: String

    @Flag(help: "Only while it runs: refuse a guest that is shut off.")
    var live = false

    @Flag(help: "Shut it down first where it runs, and start it again afterwards.")
    var cold = false

    func validate() throws {
        if live, cold { throw ValidationError("--live and --cold exclude each other") }
    }

    func run() throws {
        let bar = ProgressBar(isQuiet: options.json)
        let session = try ActingSession(options) { bar.show($0) }
        let target = try session.host(to)
        let survey = session.survey()
        let found = try one(survey, guest)
        guard found.host != target else { throw Failure("\(found.name) is on \(target) already") }
        if let silent = survey.host(target)?.failure { throw Failure("the target does not answer: \(silent)") }
        if let other = survey.silent.first {
            printError("steward: \(other.name) does not answer, so nobody knows whether it has \(found.name) too: \(other.failure ?? "")")
        }
        let move = try GuestMove(found, to: target, preference: live ? .live : cold ? .cold : nil)
        let obstacles = try session.obstacles(move)
        guard obstacles.isEmpty else {
            throw Failure("\(found.name) cannot go to \(target):\n" + obstacles.map { "  - \($0)" }.joined(separator: "\n"))
        }
        bar.setNames([found.guest: found.name])
        bar.say(move.words)
        if options.plan {
            if options.json { print(Json.object([("moves", .list([move.json(outcome: nil, last: nil)]))]).serialized) }
            return
        }
        session.start()
        session.settleEarlierPlans()
        let result = try session.carryOut(
            move.steps(after: []), decider: .drain, reasons: ["an operator asked for it"], lifetime: .seconds(6 * 3600)
        ) { _ in }
        let failure = move.failure(in: result.steps)
        if options.json {
            print(
                Json.object([
                    ("plan", .unsigned(result.plan.number)), ("outcome", .text(result.outcome.rawValue)),
                    ("moves", .list([move.json(outcome: failure ?? "done", last: bar.last(found.guest))])),
                ]).serialized)
        }
        if let failure { throw Failure("\(found.name) was not moved: \(failure)") }
        bar.say(move.done(bar.last(found.guest)))
    }
}

/// The one place of a guest, or a failure that says what to do.
func one(_ survey: FleetSurvey, _ text: String) throws -> SurveyedGuest {
    let found = survey.find(text)
    guard let first = found.first else {
        let hint = nearest(to: text, among: survey.guests.map(\.name)).map { "; did you mean '\($0)'?" } ?? ""
        let silent = survey.silent.map { "; \($0.name) does not answer and was not looked at" }.joined()
        throw Failure("no guest '\(text)' on \(survey.hosts.map(\.name.text).joined(separator: ", "))\(hint)\(silent)")
    }
    guard found.count > 1 else { return first }
    let active = found.filter(\.presence.isActive)
    if active.count == 1, let only = active.first, Set(found.map(\.guest)).count == 1 { return only }
    let places = found.map { "\($0.guest) on \($0.host)" }.joined(separator: ", ")
    throw Failure("'\(text)' is not one guest: \(places); give its UUID, or undefine the copy that is not wanted")
}

/// One guest going to one host, in the steps that it takes.
struct GuestMove {
    /// How long one live migration may take before the call is given up and the guest is looked at.
    static let liveDeadline = Duration.seconds(2 * 3600)
    /// How long a guest may take to shut down.
    static let shutdownDeadline = Duration.seconds(180)

    let found: SurveyedGuest
    let target: HostName
    let kind: MigrationKind
    /// Whether it is shut down first and started afterwards.
    let isInterrupted: Bool

    init(_ found: SurveyedGuest, to target: HostName, preference: MigrationKind?) throws {
        self.found = found
        self.target = target
        if found.hasJob { throw Failure("\(found.name) is busy with a job on \(found.host) already; wait for its end or abort it") }
        if !found.presence.isPersistent, preference == .cold {
            throw Failure("\(found.name) is transient: it has no definition that could be moved; move it live")
        }
        switch preference {
        case .live? where !found.presence.isActive:
            throw Failure("\(found.name) is shut off; only a running guest moves live: leave --live out")
        case .cold?: kind = .cold
        default: kind = found.presence.isActive ? .live : .cold
        }
        isInterrupted = kind == .cold && found.presence.isActive
    }

    func steps(after: [Int]) -> [Step] {
        switch (kind, isInterrupted) {
        case (.cold, true):
            let first = after.last.map { $0 + 1 } ?? 0
            return [
                Step(.shutdown(found.guest, on: found.host), after: after, deadline: GuestMove.shutdownDeadline),
                Step(.migrate(found.guest, from: found.host, to: target, .cold), after: [first], attempts: 3),
                Step(.start(found.guest, on: target, incident: nil), after: [first + 1], attempts: 5),
            ]
        case (.cold, false): return [Step(.migrate(found.guest, from: found.host, to: target, .cold), after: after, attempts: 3)]
        default:
            return [
                Step(.migrate(found.guest, from: found.host, to: target, .live), after: after, deadline: GuestMove.liveDeadline)
            ]
        }
    }

    var words: String {
        let how =
            isInterrupted ? "shut down, moved, started again" : kind == .live ? "live, without a stop" : "its definition, since it is off"
        return "\(found.name): \(found.host) → \(target), \(how) (\(found.description.memoryMaximum) of memory)"
    }

    /// The first failure among the steps, or nil where all were done.
    func failure(in outcomes: [StepOutcome?]) -> String? {
        for outcome in outcomes {
            switch outcome {
            case .done?: continue
            case .failed(let reason)?, .skipped(let reason)?: return reason
            case nil: return "a step has no outcome"
            }
        }
        return nil
    }

    func done(_ last: MigrationProgress?) -> String {
        var text = "\(found.name) is on \(target)"
        if kind == .live, let last {
            text += " after \(last.elapsed.operatorText)"
            if let downtime = last.downtime { text += ", stopped for \(downtime.operatorText)" }
        }
        return text
    }

    func json(outcome: String?, last: MigrationProgress?) -> Json {
        .object([
            ("guest", .text(found.guest.description)), ("name", .text(found.name)), ("from", .text(found.host.text)),
            ("to", .text(target.text)), ("kind", .text(kind.rawValue)), ("interrupted", .flag(isInterrupted)),
            ("outcome", .optional(outcome)),
            ("elapsed_milliseconds", last.map { .integer($0.elapsed.milliseconds) } ?? .null),
            ("downtime_milliseconds", last?.downtime.map { .integer($0.milliseconds) } ?? .null),
        ])
    }
}

extension ActingSession {
    /// What is known against a move, before anything is done.
    func obstacles(_ move: GuestMove) throws -> [String] {
        do {
            let known = try actuator.obstacles(to: move.found.guest, from: move.found.host, to: move.target, isLive: move.kind == .live)
            return known + (move.kind == .cold ? move.found.ties : [])
        } catch { throw Failure("\(error)") }
    }
}

struct Resume: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Finishes the plans that an earlier command left, and shows how they ended.",
        discussion: "Each step in doubt is looked up on the hosts first. Every command that acts does this before its own plan.")

    @OptionGroup var options: ActingOptions

    func run() throws {
        let session = try ActingSession(options)
        let left = session.runner.status.open.map(\.plan)
        guard !left.isEmpty else {
            print("no plan is open")
            return
        }
        if options.plan {
            for plan in left { print("\(plan.id) (\(plan.decider)): \(plan.steps.count) steps, \(plan.reasons.joined(separator: "; "))") }
            return
        }
        session.start()
        session.settleEarlierPlans()
        for plan in left {
            do {
                for entry in try session.store.entries(of: plan.id) {
                    switch entry.record {
                    case .settled(let step, .done(let evidence)): print("\(step) is done: \(evidence)")
                    case .settled(let step, .failed(let reason)): print("\(step) failed: \(reason)")
                    case .settled(let step, .skipped(let reason)): print("\(step) was not begun: \(reason)")
                    case .closed(_, let outcome, _): print("\(plan.id) ended: \(outcome.rawValue)")
                    default: break
                    }
                }
            } catch { throw Failure("\(error)") }
        }
    }
}
