public import Fleet

// MARK: What an attempt goes through

extension Executor {
    /// Every change of a step's state, so that the counts of what is in flight cannot drift.
    mutating func set(_ step: StepReference, _ new: StepState) {
        guard let (plan, old) = state(step) else { return }
        open[plan].steps[step.index] = new
        guard old.isInFlight != new.isInFlight else { return }
        let change = new.isInFlight ? 1 : -1
        let action = open[plan].plan.steps[step.index].action
        stepsInFlight += change
        for host in action.hosts {
            hostLoad[host, default: HostLoad()].steps += change
            if action.kind == .migrate { hostLoad[host, default: HostLoad()].migrations += change }
        }
        guard let guest = action.guest else { return }
        let count = inFlightCount[guest, default: 0] + change
        inFlightCount[guest] = count == 0 ? nil : count
        inFlight[guest] = count == 0 ? nil : step.plan
    }

    mutating func settle(_ step: StepReference, _ outcome: StepOutcome, in round: inout Round) {
        set(step, .settled(outcome))
        write(.settled(step, outcome), in: &round)
    }

    /// Sends the acts whose rows are durable, unless something has stopped them meanwhile.
    mutating func release(through sequence: UInt64, in round: inout Round) {
        while let first = awaitingDisk.first, first.sequence <= sequence {
            awaitingDisk.removeFirst()
            guard let (plan, state) = state(first.step), case .writing(let attempt) = state else { continue }
            if let reason = obstacle(plan, now: round.now) {
                settle(first.step, .skipped(reason), in: &round)
                continue
            }
            let step = open[plan].plan.steps[first.step.index]
            set(first.step, .acting(attempt: attempt))
            round.effects.append(.act(first.step, step.action, attempt: attempt, deadline: step.deadline))
        }
    }

    /// Why no step of a plan may begin now.
    func obstacle(_ plan: Int, now: Moment) -> String? {
        if let disarmed { return "disarmed by \(disarmed.by)" }
        if open[plan].isRejected { return "rejected" }
        if now.uptime > open[plan].expiry { return "the plan expired" }
        return nil
    }

    mutating func returned(_ step: StepReference, failure: String?, in round: inout Round) {
        guard let (plan, state) = state(step), case .acting(let attempt) = state else { return }
        set(step, .verifying(attempt: attempt, failure: failure, looks: 0))
        round.effects.append(.look(step, open[plan].plan.steps[step.index].action))
    }

    mutating func looked(_ step: StepReference, _ observation: Observation, in round: inout Round) {
        guard let (plan, state) = state(step) else { return }
        switch state {
        case .checking(let attempts, let looks): checked(step, plan, attempts, looks, observation, in: &round)
        case .verifying(let attempt, let failure, let looks): verified(step, plan, attempt, failure, looks, observation, in: &round)
        case .waiting, .writing, .acting, .resting, .settled: break
        }
    }

    /// The look before an attempt: whether there is still something to do, and whether it may be done.
    mutating func checked(
        _ step: StepReference, _ plan: Int, _ attempts: Int, _ looks: Int, _ observation: Observation, in round: inout Round
    ) {
        let again = StepState.waiting(attempts: attempts, notBefore: round.now.uptime + pause(looks), looks: looks + 1)
        switch observation {
        case .inEffect(let evidence): settle(step, .done(evidence: evidence), in: &round)
        case .prevented(let reason): settle(step, .failed(reason), in: &round)
        case .underWay, .unknown: set(step, again)
        case .notInEffect:
            guard obstacle(plan, now: round.now) == nil, hasRoom(for: plan, step.index, now: round.now) else {
                set(step, .waiting(attempts: attempts, notBefore: round.now.uptime + limits.pause, looks: 0))
                return
            }
            let action = open[plan].plan.steps[step.index].action
            if action.isDisruptive { disruptions.append(round.now.uptime) }
            awaitingDisk.append((nextSequence, step))
            write(.begun(step, attempt: attempts + 1), in: &round)
            set(step, .writing(attempt: attempts + 1))
        }
    }

    /// The look after an attempt: only the world says whether it worked.
    mutating func verified(
        _ step: StepReference, _ plan: Int, _ attempt: Int, _ failure: String?, _ looks: Int, _ observation: Observation,
        in round: inout Round
    ) {
        let wanted = open[plan].plan.steps[step.index]
        switch observation {
        case .inEffect(let evidence): settle(step, .done(evidence: evidence), in: &round)
        case .prevented(let reason): settle(step, .failed(failure.map { "\($0); \(reason)" } ?? reason), in: &round)
        case .notInEffect:
            if attempt < wanted.attempts, obstacle(plan, now: round.now) == nil {
                set(step, .waiting(attempts: attempt, notBefore: round.now.uptime + pause(attempt - 1), looks: 0))
            } else {
                settle(step, .failed(failure ?? "it reported success, but the world does not show it"), in: &round)
            }
        case .underWay, .unknown:
            if case .unknown(let reason) = observation, let guest = wanted.action.guest, let owner = claims[guest], owner != step.plan {
                settle(step, .failed("its outcome is unknown (\(reason)) and \(owner) has taken the guest over"), in: &round)
                return
            }
            set(step, .resting(attempt: attempt, failure: failure, until: round.now.uptime + pause(looks), looks: looks + 1))
        }
    }

    func pause(_ count: Int) -> Duration {
        min(limits.pauseMaximum, limits.pause * (1 << min(max(count, 0), 16)))
    }
}

// MARK: What may go on

extension Executor {
    /// Looks at everything that may go on, strongest decider first, and closes what has ended.
    mutating func advance(in round: inout Round) {
        disruptions.removeAll { $0 <= round.now.uptime - .seconds(3600) }
        var ended: [(PlanID, PlanOutcome)] = []
        for plan in open.indices {
            let id = open[plan].plan.id
            if round.now.uptime > open[plan].expiry { skip(plan, reason: "the plan expired", in: &round) { _ in true } }
            var isOver = true
            for index in open[plan].steps.indices {
                progress(plan, index, StepReference(id, index), in: &round)
                if case .settled = open[plan].steps[index] { continue }
                isOver = false
            }
            if isOver { ended.append((id, outcome(of: open[plan]))) }
        }
        for (id, outcome) in ended { close(id, outcome, note: "", in: &round) }
    }

    private mutating func progress(_ plan: Int, _ index: Int, _ step: StepReference, in round: inout Round) {
        switch open[plan].steps[index] {
        case .resting(let attempt, let failure, let until, let looks) where round.now.uptime >= until:
            set(step, .verifying(attempt: attempt, failure: failure, looks: looks))
            round.effects.append(.look(step, open[plan].plan.steps[index].action))
        case .waiting(let attempts, let notBefore, let looks) where round.now.uptime >= notBefore:
            if let broken = brokenPrerequisite(plan, index) {
                settle(step, .skipped("step \(broken) was not done"), in: &round)
            } else if open[plan].isApproved, disarmed == nil, isReady(plan, index), hasRoom(for: plan, index, now: round.now) {
                set(step, .checking(attempts: attempts, looks: looks))
                round.effects.append(.look(step, open[plan].plan.steps[index].action))
            }
        case .waiting, .checking, .writing, .acting, .verifying, .resting, .settled: break
        }
    }

    private func brokenPrerequisite(_ plan: Int, _ index: Int) -> Int? {
        open[plan].plan.steps[index].after.first { earlier in
            guard case .settled(let outcome) = open[plan].steps[earlier] else { return false }
            return !outcome.isDone && !open[plan].plan.steps[earlier].isAdvisory
        }
    }

    private func isReady(_ plan: Int, _ index: Int) -> Bool {
        open[plan].plan.steps[index].after.allSatisfy { if case .settled = open[plan].steps[$0] { true } else { false } }
    }

    private func hasRoom(for plan: Int, _ index: Int, now: Moment) -> Bool {
        let action = open[plan].plan.steps[index].action
        if let guest = action.guest {
            if let owner = claims[guest], owner != open[plan].plan.id { return false }
            if let other = inFlight[guest], other != open[plan].plan.id { return false }
        }
        guard !action.hosts.isEmpty else { return true }
        if stepsInFlight >= limits.stepsAtOnce { return false }
        for host in action.hosts {
            let load = hostLoad[host] ?? HostLoad()
            if load.steps >= limits.stepsPerHost { return false }
            if action.kind == .migrate, load.migrations >= limits.migrationsPerHost { return false }
        }
        return !action.isDisruptive || open[plan].plan.decider >= .drain || disruptions.count < limits.disruptionsPerHour
    }

    private func outcome(of plan: OpenPlan) -> PlanOutcome {
        if plan.isRejected { return .rejected }
        var done = 0
        var undone = 0
        for (index, state) in plan.steps.enumerated() {
            guard case .settled(let outcome) = state else { continue }
            if outcome.isDone { done += 1 } else if !plan.plan.steps[index].isAdvisory { undone += 1 }
        }
        return undone == 0 ? .completed : done == 0 ? .failed : .partial
    }
}

// MARK: After a crash

extension Executor {
    /// An executor that goes on where the journal ends.
    ///
    /// Steps that were begun and not settled are in doubt: each is looked at first. Plans of an older epoch wait for an operator.
    /// `entries` are those of ``Journal/openEntries(now:)``, which always include the last row of all.
    public init(resuming entries: [JournalEntry], limits: ExecutorLimits = ExecutorLimits(), epoch: UInt64 = 0, now: Moment) {
        self.init(limits: limits, epoch: epoch)
        for entry in entries.sorted(by: { $0.sequence < $1.sequence }) {
            nextSequence = entry.sequence + 1
            replay(entry, now: now)
        }
    }

    private mutating func replay(_ entry: JournalEntry, now: Moment) {
        switch entry.record {
        case .accepted(let plan):
            nextPlan = max(nextPlan, PlanID(plan.id.number + 1))
            guard plan.mode != .observe else { return }
            insert(
                OpenPlan(
                    plan: plan, isApproved: plan.mode == .auto && plan.epoch == epoch,
                    steps: plan.steps.map { _ in .waiting(attempts: 0, notBefore: now.uptime, looks: 0) },
                    expiry: now.uptime(of: plan.madeAt) + plan.lifetime))
            for guest in plan.guests { claims[guest] = plan.id }
        case .approved(let id, _):
            if let plan = position(id), open[plan].plan.epoch == epoch { open[plan].isApproved = true }
        case .begun(let step, let attempt):
            guard let (plan, _) = state(step) else { return }
            if open[plan].plan.steps[step.index].action.isDisruptive { disruptions.append(now.uptime(of: entry.at)) }
            // The cut-off attempt does not count: seen not to be in effect, it is tried again under the same number.
            set(step, .resting(attempt: attempt - 1, failure: "Steward stopped during the attempt", until: now.uptime, looks: 0))
        case .settled(let step, let outcome): set(step, .settled(outcome))
        case .closed(let id, _, _):
            guard let plan = position(id) else { return }
            for guest in open[plan].plan.guests where claims[guest] == id { claims[guest] = nil }
            open.remove(at: plan)
        case .disarmed(let until, let by):
            disarmed = Disarm(until: until.map { now.uptime + ($0 - now.wall) }, by: by)
        case .armed: disarmed = nil
        }
    }
}
