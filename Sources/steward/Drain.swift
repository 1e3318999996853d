import ArgumentParser
import Decisions
import Fleet
import JournalStorage
import Plans

struct Cordon: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lets a host get nothing new; what it has stays.")

    @OptionGroup var options: ActingOptions
    @Argument(help: "The host.")
    var host: String

    func run() throws {
        let session = try ActingSession(options)
        let name = try session.host(host)
        try session.setCordon(name, true)
        print("\(name) gets nothing new, until: steward uncordon \(name)")
    }
}

struct Uncordon: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lets a host get new guests again.")

    @OptionGroup var options: ActingOptions
    @Argument(help: "The host.")
    var host: String

    func run() throws {
        let session = try ActingSession(options)
        let name = try session.host(host)
        try session.setCordon(name, false)
        print("\(name) gets new guests again")
    }
}

extension ActingSession {
    func setCordon(_ host: HostName, _ isOn: Bool) throws {
        do {
            if isOn { try store.keepFact("cordon", host.text, "operator") } else { try store.forgetFact("cordon", host.text) }
        } catch { throw Failure("\(error)") }
    }
}

struct Drain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Empties a host for maintenance: cordons it, then moves every guest away.",
        discussion: """
            Running guests move live, others by their definition, each to the best host that has room and what the guest needs. A \
            guest that cannot move is named with the reason, and exit code 1 tells that the host is not empty. It stays cordoned \
            until `steward uncordon`.

                steward drain h1 --plan
                steward drain h1
            """)

    @OptionGroup var options: ActingOptions
    @Argument(help: "The host.")
    var host: String

    func run() throws {
        let bar = ProgressBar(isQuiet: options.json)
        let session = try ActingSession(options) { bar.show($0) }
        let name = try session.host(host)
        let survey = session.survey()
        if let failure = survey.host(name)?.failure { throw Failure("\(name) does not answer, so it cannot be drained: \(failure)") }
        let (moves, stuck) = try plan(name, survey, session)
        for move in moves { bar.say(move.words) }
        for (guest, reasons) in stuck { bar.say("\(guest.name) stays: \(reasons.joined(separator: "; "))") }
        if moves.isEmpty, stuck.isEmpty { bar.say("\(name) has no guests") }
        guard !options.plan else {
            if options.json { print(report(nil, moves.map { ($0, nil) }, stuck, bar).serialized) }
            return
        }
        try session.setCordon(name, true)
        var outcomes: [(GuestMove, String?)] = []
        var planNumber: UInt64?
        if !moves.isEmpty {
            session.start()
            session.settleEarlierPlans()
            bar.setNames(Dictionary(moves.map { ($0.found.guest, $0.found.name) }) { first, _ in first })
            let steps = moves.flatMap { $0.steps(after: []) }
            let result = try session.carryOut(
                steps, decider: .drain, cause: "drain \(name)", reasons: ["\(name) is drained"], lifetime: .seconds(24 * 3600)
            ) { entry in
                guard case .settled(let step, let outcome) = entry.record, moves.indices.contains(step.index) else { return }
                let move = moves[step.index]
                bar.say(
                    outcome.isDone
                        ? move.done(bar.last(move.found.guest)) : "\(move.found.name) stays: \(move.failure(in: [outcome]) ?? "")")
            }
            planNumber = result.plan.number
            outcomes = zip(moves, result.steps).map { ($0, $0.failure(in: [$1])) }
        }
        let after = session.survey().host(name)
        if options.json { print(report(planNumber, outcomes, stuck, bar).serialized) }
        guard let after, after.failure == nil else { throw Failure("\(name) does not answer any more; look at it") }
        guard after.guests.isEmpty else {
            throw Failure("\(name) is not empty: \(after.guests.map(\.name).joined(separator: ", "))")
        }
        bar.say("\(name) is empty; bring it back with: steward uncordon \(name)")
    }

    /// Who goes where, the biggest first so that the small ones fill what is left; and who cannot go.
    private func plan(
        _ name: HostName, _ survey: FleetSurvey, _ session: ActingSession
    ) throws -> (moves: [GuestMove], stuck: [(SurveyedGuest, [String])]) {
        var board = survey.board(cordoned: try session.cordoned().union([name]))
        var moves: [GuestMove] = []
        var stuck: [(SurveyedGuest, [String])] = []
        let leaving = (survey.host(name)?.guests ?? []).sorted {
            ($1.description.memoryMaximum, $0.guest) < ($0.description.memoryMaximum, $1.guest)
        }
        for guest in leaving { board.remove(guest.guest, from: name) }
        for guest in leaving {
            var avoided: Set<HostName> = [name]
            var reasons: [String] = []
            search: while true {
                switch board.place(guest.placement, avoiding: avoided) {
                case .infeasible(let refusals):
                    reasons += refusals.filter { !avoided.contains($0.host) }.map { "\($0.host): \($0.constraint)" }
                    stuck.append((guest, reasons.isEmpty ? ["there is no other host"] : reasons))
                    break search
                case .host(let target, _):
                    do {
                        let move = try GuestMove(guest, to: target, preference: nil)
                        let obstacles = try session.obstacles(move)
                        guard obstacles.isEmpty else {
                            reasons += obstacles
                            avoided.insert(target)
                            continue
                        }
                        board.put(guest.placement, on: target)
                        moves.append(move)
                    } catch let failure as Failure {
                        stuck.append((guest, [failure.message]))
                    }
                    break search
                }
            }
        }
        return (moves, stuck)
    }

    private func report(
        _ plan: UInt64?, _ moves: [(GuestMove, String?)], _ stuck: [(SurveyedGuest, [String])], _ bar: ProgressBar
    ) -> Json {
        .object([
            ("host", .text(host)), ("plan", plan.map { .unsigned($0) } ?? .null),
            (
                "moves",
                .list(moves.map { $0.json(outcome: plan == nil ? nil : $1 ?? "done", last: bar.last($0.found.guest)) })
            ),
            (
                "stuck",
                .list(stuck.map { .object([("guest", .text($0.name)), ("reasons", .list($1.map(Json.text)))]) })
            ),
        ])
    }
}
