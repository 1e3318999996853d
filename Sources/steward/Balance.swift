import Actuation
import ArgumentParser
import Decisions
import Fleet
import Foundation
import JournalStorage
import Libvirt
import Plans

struct Balance: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Evens out the hosts with the fewest live migrations that pay.",
        discussion: """
            Measures every running guest's CPU for a while, plans with the guests' memory as the hard limit, shows the plan and \
            carries it out, one move after the other where they touch the same host. Cordoned hosts get nothing; guests that cannot \
            migrate stay. `steward plan balance` plans for a described fleet without touching anything.

                steward balance --plan
                steward balance --plan --describe > fleet.json
                steward balance
            """)

    @OptionGroup var options: ActingOptions

    @Option(help: ArgumentHelp("How long the load is measured.", valueName: "duration"))
    var measure = DurationArgument(.seconds(10))

    @Option(help: ArgumentHelp("The least improvement of the objective for which anything is moved.", valueName: "number"))
    var gain = BalancePolicy().gainMinimum

    @Flag(help: "Print the fleet as measured, in the form of Docs/FleetFile.md, and do nothing.")
    var describe = false

    func validate() throws {
        guard measure.duration >= .seconds(1) else {
            throw ValidationError("--measure \(measure.duration.operatorText) is too short; 1s at least")
        }
    }

    func run() throws {
        let bar = ProgressBar(isQuiet: options.json || describe)
        let session = try ActingSession(options) { bar.show($0) }
        let before = session.survey()
        if let silent = before.silent.first {
            throw Failure("\(silent.name) does not answer, and unknown is not zero: \(silent.failure ?? ""); leave it out with --connect")
        }
        let fleet = try measuredFleet(before, session)
        if describe {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
            FileHandle.standardOutput.write(try encoder.encode(fleet) + Data("\n".utf8))
            return
        }
        let plan: BalancePlan
        do { plan = try Balancing.plan(fleet) } catch { throw Failure("\(error)") }
        bar.say(plan.words)
        let isWorth = plan.objectiveBefore - plan.objectiveAfter >= gain
        if !plan.moves.isEmpty, !isWorth { bar.say("the gain is below \(gain): nothing is moved") }
        guard !options.plan, isWorth, !plan.moves.isEmpty else {
            if options.json { print(try report(plan, nil, [])) }
            return
        }
        let byName = Dictionary(before.guests.map { ($0.guest.description, $0) }) { first, _ in first }
        let steps = Balancing.steps(plan.moves) { byName[$0]?.guest }
        session.start()
        session.settleEarlierPlans()
        bar.setNames(Dictionary(before.guests.map { ($0.guest, $0.name) }) { first, _ in first })
        let result = try session.carryOut(
            steps, decider: .balance, cause: "balance", reasons: ["an operator asked for balance"], lifetime: .seconds(6 * 3600)
        ) { entry in
            guard case .settled(let step, let outcome) = entry.record, plan.moves.indices.contains(step.index) else { return }
            let move = plan.moves[step.index]
            let name = byName[move.guest]?.name ?? move.guest
            switch outcome {
            case .done: bar.say("\(name) is on \(move.to)")
            case .failed(let reason), .skipped(let reason): bar.say("\(name) stays on \(move.from): \(reason)")
            }
        }
        if options.json { print(try report(plan, result.plan, result.steps)) }
        guard result.outcome == .completed else {
            throw Failure("not every move was made; the fleet is as `steward balance --plan` shows it")
        }
    }

    /// The fleet as it is, its CPU demand measured between two readings; guests go by their UUID.
    private func measuredFleet(_ survey: FleetSurvey, _ session: ActingSession) throws -> BalanceFleet {
        let first = try cpuTimes(survey, session)
        let begun = ContinuousClock.now
        usleep(UInt32(clamping: measure.duration.milliseconds * 1000))
        let second = try cpuTimes(survey, session)
        let seconds = Double((ContinuousClock.now - begun).milliseconds) / 1000
        let cordoned = try session.cordoned()
        let hosts = survey.hosts.compactMap { host -> BalanceFleet.Host? in
            guard let description = host.description else { return nil }
            let capacity = ["cpu": Double(description.cpus), "memory": Double(description.memory.count)]
            return BalanceFleet.Host(host.name.text, capacity: capacity, cordoned: cordoned.contains(host.name))
        }
        var guests: [BalanceFleet.Guest] = []
        for guest in survey.guests where guest.presence.isActive {
            guard let start = first[guest.guest], let end = second[guest.guest], end >= start else {
                throw Failure("the CPU time of \(guest.name) on \(guest.host) could not be read twice; try again")
            }
            let memory = Double(guest.description.memoryMaximum.count)
            let demand = ["cpu": Double(end - start) / 1e9 / seconds, "memory": memory]
            let isFixed = !guest.needs.boundToHost.isEmpty || guest.hasJob || !guest.presence.isRunning
            guests.append(
                BalanceFleet.Guest(guest.guest.description, host: guest.host.text, demand: demand, memory: memory, fixed: isFixed))
        }
        return BalanceFleet(hosts: hosts, guests: guests)
    }

    private func cpuTimes(_ survey: FleetSurvey, _ session: ActingSession) throws -> [GuestID: UInt64] {
        var times: [GuestID: UInt64] = [:]
        for host in survey.hosts {
            do throws(HypervisorError) {
                let readings = try session.actuator.withConnection(to: host.name) { connection throws(HypervisorError) in
                    try connection.readDomains(.cpu, .active)
                }
                for reading in readings {
                    times[reading.guest] = reading.parameters.first { $0.name == "cpu.time" }?.value.unsignedInteger
                }
            } catch { throw Failure("\(error)") }
        }
        return times
    }

    private func report(_ plan: BalancePlan, _ number: PlanID?, _ outcomes: [StepOutcome?]) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let done = outcomes.map { Json.flag($0?.isDone ?? false) }
        return Json.object([
            ("plan", number.map { .unsigned($0.number) } ?? .null), ("done", .list(done)),
            ("balance", .number(String(decoding: try encoder.encode(plan), as: UTF8.self))),
        ]).serialized
    }
}
