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

/// The state of the guard's thread.
struct GuardLoop {
    /// The pause between two tries to clear a returning host.
    static let cleanPause = Duration.seconds(5)

    let owner: HostGuard
    private(set) var goesOn = true
    private var watches: [HostName: HostWatch] = [:]
    private let startedAt: Duration
    private var lastFence: (host: HostName, at: Duration)?
    private var plans: [PlanID: Purpose] = [:]
    private var lastClean: [HostName: Duration] = [:]
    private var timelines: [HostName: Timeline] = [:]
    private var names: [GuestID: String] = [:]

    /// What a plan of ours is for.
    private enum Purpose {
        case fence(HostName)
        case evacuation(HostName, steps: [Step], isComplete: Bool)
        case cleaning(HostName)

        func clears(_ host: HostName) -> Bool {
            if case .cleaning(let other) = self { other == host } else { false }
        }
    }

    /// When what happened in an incident, for the operator.
    private struct Timeline {
        var lastLife: Duration
        var unreachable: Duration?
        var proof: Duration?
        var decision: Duration?
        var started: [Duration] = []
    }

    init(_ owner: HostGuard) {
        self.owner = owner
        let now = owner.clock().uptime
        startedAt = now
        let incidents = (try? owner.store.facts("incident")) ?? []
        for host in owner.hosts {
            if let number = incidents.first(where: { $0.key == host.name.text }).flatMap({ UInt64($0.body) }) {
                watches[host.name] = HostWatch(host.name, now: now, resumingIncident: number)
            } else {
                watches[host.name] = HostWatch(host.name, now: now)
            }
        }
    }

    private var now: Duration { owner.clock().uptime }

    // MARK: Messages

    mutating func receive(_ message: HostGuard.Message) {
        switch message {
        case .saw(let host, let sight):
            switch sight {
            case .answered: step(host, .answered)
            case .refused: step(host, .refused)
            case .hung: step(host, .hung)
            case .silent: step(host, .silent)
            }
            if sight != .silent { timelines[host] = nil } else if timelines[host] == nil { timelines[host] = Timeline(lastLife: now) }
        case .event(let host, let event): step(host, event)
        case .power(let host, let reading):
            owner.shared.standings.withLock { $0[host, default: HostStanding()].power = (reading, now) }
            switch reading {
            case .on: step(host, .powerOn)
            case .off: step(host, .powerOff)
            case .dark(let why): step(host, .powerDark(why))
            }
        case .closed(let plan, let outcome): closed(plan, outcome)
        case .settled(let step, let outcome): settled(step, outcome)
        case .surveyed(let host, let incident, let survey): evacuate(host, incident, survey)
        case .cleaning(let host, let steps): clean(host, steps)
        case .stop: goesOn = false
        }
    }

    /// Lets time pass for every watch, in the order of their names.
    mutating func passTime() {
        for host in owner.hosts {
            step(host.name, .tick)
            if watches[host.name]?.state == .returning, lastClean[host.name].map({ now - $0 > GuardLoop.cleanPause }) ?? true {
                prepareCleaning(host.name)
            }
        }
    }

    // MARK: The watches

    private func context(_ host: HostName) -> HostContext {
        let states = owner.hosts.map { watches[$0.name]?.state ?? .healthy }
        let fence = lastFence.flatMap { $0.host == host ? nil : $0.at }
        let situation = Brake.Situation(
            states: states, witnessAnswers: owner.shared.witnessAnswers.withLock { $0 }, now: now, startedAt: startedAt, lastFence: fence,
            quietAfterStart: owner.settings.quietAfterStart)
        return HostContext(
            now: now, hasBMC: owner.hosts.first { $0.name == host }?.device != nil, hasLeaseContract: false, hold: Brake.hold(situation),
            isDisarmed: owner.runner.status.disarmedBy != nil)
    }

    private mutating func step(_ host: HostName, _ event: HostEvent) {
        guard var watch = watches[host] else { return }
        let before = (watch.state, watch.reason)
        let effects = watch.step(event, owner.settings.watch, context(host))
        watches[host] = watch
        publish(watch)
        if before.0 != watch.state {
            note(watch)
            owner.logger.notice("host \(host) is \(watch.state.rawValue): \(watch.reason)")
        } else if before.1 != watch.reason, watch.state != .healthy {
            owner.logger.info("host \(host) is \(watch.state.rawValue) still: \(watch.reason)")
        }
        for effect in effects { carryOut(effect, host) }
    }

    private func publish(_ watch: HostWatch) {
        owner.shared.standings.withLock { standings in
            var standing = standings[watch.host] ?? HostStanding()
            standing.state = watch.state
            standing.incident = watch.incident
            standing.proof = watch.proof
            standing.reason = watch.reason
            standing.silence = watch.silence
            standing.since = watch.since
            standing.flaps = watch.flaps
            standings[watch.host] = standing
        }
    }

    private mutating func note(_ watch: HostWatch) {
        let now = self.now
        switch watch.state {
        case .unreachable: if timelines[watch.host]?.unreachable == nil { timelines[watch.host]?.unreachable = now }
        case .fenced: timelines[watch.host]?.proof = now
        case .evacuating: if timelines[watch.host]?.proof == nil { timelines[watch.host]?.proof = now }
        default: break
        }
    }

    private mutating func carryOut(_ effect: HostEffect, _ host: HostName) {
        switch effect {
        case .readPower:
            guard let device = owner.hosts.first(where: { $0.name == host })?.device else { return }
            let mailbox = owner.shared.mailbox
            startThread(named: "power \(host)") { mailbox.put(.power(host, device.readPower())) }
        case .fence(let incident): fence(host, incident)
        case .evacuate(let incident, let proof):
            let now = self.now
            owner.logger.warning("evacuating \(host): \(proof)")
            if timelines[host]?.proof == nil { timelines[host]?.proof = now }
            survey(for: host, incident)
        case .stopStarts(let incident):
            for plan in owner.runner.status.open where plan.plan.cause == "evacuate \(host)#\(incident)" {
                owner.runner.reject(plan.plan.id, by: "\(host) shows life")
            }
        case .clean: prepareCleaning(host)
        case .alarm(let words): alarm(words)
        }
    }

    private func alarm(_ words: String) {
        owner.logger.critical("ALARM: \(words)")
        owner.shared.raise(words)
    }

    // MARK: Fencing

    private mutating func fence(_ host: HostName, _ incident: UInt64) {
        owner.shared.attempts.withLock { $0[host] = nil }
        lastFence = (host, now)
        let name = "\(host)#\(incident)"
        let steps = [Step(.fence(host, incident: name), deadline: HostGuard.fenceDeadline)]
        if let plan = submit(steps, cause: "fence \(name)", reasons: ["\(host) is silent with its power on"]) {
            plans[plan] = .fence(host)
        } else {
            owner.shared.mailbox.put(.event(host, .fenced(.dark)))
        }
    }

    private func fenceResult(_ host: HostName, _ outcome: PlanOutcome) -> FenceResult {
        let attempt = owner.shared.attempts.withLock { $0[host] }
        guard let attempt else { return outcome == .completed ? .alreadyOff : .dark }
        if outcome == .completed { return attempt.failure == nil ? (attempt.before == .off ? .alreadyOff : .off) : .errorButOff }
        switch attempt.after {
        case .dark: return .dark
        case .on, .off: return attempt.isTimedOut ? .timedOut : attempt.failure == nil ? .okButOn : .errorAndOn
        }
    }

    // MARK: Evacuation

    /// Reads the survivors anew, on a thread of its own: who is placed where must rest on what is so now.
    private func survey(for host: HostName, _ incident: UInt64) {
        let shared = owner.shared
        let actuator = owner.actuator
        let others = owner.hosts.map(\.name).filter { $0 != host && shared.answers($0) }
        startThread(named: "evacuation") {
            shared.mailbox.put(.surveyed(host, incident: incident, FleetSurvey.take(others, actuator, within: .seconds(5))))
        }
    }

    private mutating func evacuate(_ host: HostName, _ incident: UInt64, _ survey: FleetSurvey) {
        guard let watch = watches[host], watch.state == .evacuating, watch.incident == incident else { return }
        let now = self.now
        timelines[host]?.decision = now
        do { try owner.store.keepFact("incident", host.text, String(incident)) } catch {
            alarm("\(host) is not evacuated: \(error)")
            step(host, .evacuationEnded(isComplete: false))
            return
        }
        let cause = "evacuate \(host)#\(incident)"
        if let open = owner.runner.status.open.first(where: { $0.plan.cause == cause }) {
            plans[open.plan.id] = .evacuation(host, steps: open.plan.steps, isComplete: true)
            return
        }
        let elsewhere = Set(survey.guests.filter(\.presence.isActive).map(\.guest))
        let kept = KeptGuests(store: owner.store).guests(of: host).filter { $0.wasActive && !elsewhere.contains($0.guest) }
        for guest in kept { names[guest.guest] = guest.name }
        let cordoned = Set(((try? owner.store.facts("cordon")) ?? []).map { HostName($0.key) })
        let wave = Evacuation.plan(
            kept.map(\.evacuable), from: host, incident: incident,
            board: survey.board(cordoned: cordoned, networks: kept.flatMap(\.networks)))
        for guest in wave.unsavable {
            alarm("guest \(name(guest.guest)) of \(host) cannot be saved: \(guest.reasons.joined(separator: "; "))")
        }
        for guest in wave.waiting {
            let why = guest.refusals.filter { $0.host != host }.map { "\($0.host): \($0.constraint)" }.joined(separator: "; ")
            owner.logger.warning("guest \(name(guest.guest)) of \(host) has no place yet: \(why)")
        }
        guard !wave.steps.isEmpty else {
            step(host, .evacuationEnded(isComplete: wave.isComplete))
            return
        }
        if let plan = submit(wave.steps, cause: cause, reasons: [watch.reason]) {
            plans[plan] = .evacuation(host, steps: wave.steps, isComplete: wave.isComplete)
        } else {
            step(host, .evacuationEnded(isComplete: false))
        }
    }

    private func name(_ guest: GuestID) -> String { names[guest] ?? guest.description }

    private func submit(_ steps: [Step], cause: String, reasons: [String]) -> PlanID? {
        let wall = owner.clock().wall
        let answer = owner.runner.submit { id in
            Plan(
                id: id, decider: .evacuation, cause: cause, mode: .auto, madeAt: wall, lifetime: .seconds(3600), reasons: reasons,
                steps: steps)
        }
        switch answer {
        case .accepted(let plan): return plan
        case .refused(let reason):
            alarm("\(cause): the plan was refused: \(reason)")
            return nil
        }
    }

    private mutating func settled(_ step: StepReference, _ outcome: StepOutcome) {
        guard case .evacuation(let host, let steps, _) = plans[step.plan], steps.indices.contains(step.index) else { return }
        guard case .start(let guest, let target, _) = steps[step.index].action else { return }
        switch outcome {
        case .done:
            owner.logger.notice("guest \(name(guest)) of \(host) runs on \(target)")
            let now = self.now
            timelines[host]?.started.append(now)
        case .failed(let reason), .skipped(let reason): alarm("guest \(name(guest)) of \(host) was not started on \(target): \(reason)")
        }
    }

    private mutating func closed(_ plan: PlanID, _ outcome: PlanOutcome) {
        switch plans.removeValue(forKey: plan) {
        case .fence(let host)?: step(host, .fenced(fenceResult(host, outcome)))
        case .evacuation(let host, _, let isComplete)?:
            tell(timelines[host], host)
            step(host, .evacuationEnded(isComplete: isComplete && outcome == .completed))
        case .cleaning(let host)?: if outcome == .completed { endCleaning(host) }
        case nil: break
        }
    }

    private func tell(_ timeline: Timeline?, _ host: HostName) {
        guard let timeline, let proof = timeline.proof, let decision = timeline.decision else { return }
        let from = timeline.lastLife
        var words = "timeline of \(host), since its first missed probe: "
        if let unreachable = timeline.unreachable { words += "unreachable \((unreachable - from).operatorText), " }
        words += "proven dead \((proof - from).operatorText), decided \((decision - from).operatorText)"
        if let first = timeline.started.first, let last = timeline.started.last {
            words += ", first guest \((first - from).operatorText), all \(timeline.started.count) guests \((last - from).operatorText)"
        }
        owner.logger.notice("\(words)")
    }

    // MARK: Return

    /// Reads what the returning host still holds of guests that now live elsewhere.
    private mutating func prepareCleaning(_ host: HostName) {
        guard !plans.values.contains(where: { $0.clears(host) }) else { return }
        lastClean[host] = now
        let shared = owner.shared
        let actuator = owner.actuator
        let logger = owner.logger
        let others = owner.hosts.map(\.name).filter { $0 != host && shared.answers($0) }
        startThread(named: "cleaning") {
            let survey = FleetSurvey.take([host] + others, actuator, within: .seconds(10))
            guard let returned = survey.host(host), returned.failure == nil else {
                logger.warning("\(host) cannot be cleared of old copies yet: \(survey.host(host)?.failure ?? "it does not answer")")
                return
            }
            shared.mailbox.put(.cleaning(host, GuardLoop.cleaningSteps(returned, survey.guests.filter { $0.host != host })))
        }
    }

    /// What runs elsewhere goes from the returned host; what was only defined elsewhere, and never started, goes there.
    private static func cleaningSteps(_ returned: SurveyedHost, _ others: [SurveyedGuest]) -> [Step] {
        var steps: [Step] = []
        for copy in returned.guests {
            let elsewhere = others.filter { $0.guest == copy.guest }
            if elsewhere.contains(where: \.presence.isActive) {
                if copy.presence.isActive { steps.append(Step(.destroy(copy.guest, on: copy.host), attempts: 3)) }
                guard copy.presence.isPersistent else { continue }
                let after = copy.presence.isActive ? [steps.count - 1] : []
                steps.append(Step(.undefine(copy.guest, on: copy.host, keepingState: true), after: after, attempts: 3))
            } else {
                for other in elsewhere { steps.append(Step(.undefine(other.guest, on: other.host, keepingState: true), attempts: 3)) }
            }
        }
        return steps
    }

    private mutating func clean(_ host: HostName, _ steps: [Step]) {
        guard watches[host]?.state == .returning else { return }
        guard !steps.isEmpty else {
            endCleaning(host)
            return
        }
        if steps.contains(where: { $0.action.kind == .destroy }) {
            alarm("\(host) came back and runs copies of guests that run elsewhere; they are stopped there; check the disks")
        }
        if let plan = submit(steps, cause: "clean \(host)", reasons: ["\(host) came back with old copies"]) {
            plans[plan] = .cleaning(host)
        }
    }

    private mutating func endCleaning(_ host: HostName) {
        do { try owner.store.forgetFact("incident", host.text) } catch { owner.logger.error("\(error)") }
        step(host, .cleaned)
    }
}
