public import Fleet
public import Plans

/// What the begin and the end of a plan mean for its group.
public enum GroupProgress {
    /// The state once a plan may be carried out: its members count from now on, and their numbers are used up.
    ///
    /// Doing it twice changes nothing, so it is also done for the plans that are open at a start.
    public static func begin(_ plan: Plan, group: String, installation: String, state: GroupState, now: Timestamp) -> GroupState {
        var state = state
        var launches = 0
        for step in plan.steps {
            guard case .createOverlay(let disk, _, _, let guest) = step.action, state.member(guest) == nil else { continue }
            // A plan takes its numbers from the next one on; lower ones only if the state was saved after them.
            let numbers = Array(state.nextNumber..<state.nextNumber + plan.steps.count) + Array(1..<state.nextNumber)
            let number = numbers.first {
                MemberIdentity(installation: installation, group: group, number: $0).guest == guest
            }
            guard let number else { continue }
            let identity = MemberIdentity(installation: installation, group: group, number: number)
            var known = KnownMember(guest, number: number, host: disk.host, launchedAt: now, stage: .launching)
            known.volumes = KnownMember.Volumes(pool: disk.pool, disk: disk.name, seed: identity.seedVolume)
            state.put(known)
            state.nextNumber = max(state.nextNumber, number + 1)
            launches += 1
        }
        if launches > 0 { state.changes.append(RecordedChange(at: now, delta: launches)) }
        let stops = plan.steps.filter { if case .shutdown = $0.action { true } else { false } }.count
        let isKnown = state.changes.contains { $0.at == plan.madeAt && $0.delta == -stops }
        if stops > 0, !isKnown { state.changes.append(RecordedChange(at: plan.madeAt, delta: -stops)) }
        return state
    }

    /// The state after a plan has ended.
    ///
    /// - Parameter outcomes: how each step ended; nil for one without an outcome.
    public static func close(_ plan: Plan, outcomes: [StepOutcome?], state: GroupState, now: Timestamp) -> GroupState {
        var state = state
        for guest in plan.guests {
            let own = plan.steps.indices.filter { plan.steps[$0].action.guest == guest }
            let isDone = own.allSatisfy { plan.steps[$0].isAdvisory || outcomes[$0]?.isDone == true }
            let isUntouched = own.allSatisfy { if case .skipped = outcomes[$0] { true } else { outcomes[$0] == nil } }
            if own.contains(where: { if case .start = plan.steps[$0].action { true } else { false } }) {
                launched(guest, isDone: isDone, isUntouched: isUntouched, &state, now)
            } else if own.contains(where: { if case .undefine = plan.steps[$0].action { true } else { false } }) {
                retired(guest, plan, isDone: isDone, &state, now)
            } else if isDone {
                state.quarantine.removeAll { $0.guest == guest }
            }
        }
        return state
    }

    private static func launched(_ guest: GuestID, isDone: Bool, isUntouched: Bool, _ state: inout GroupState, _ now: Timestamp) {
        guard var known = state.member(guest), known.stage == .launching else { return }
        if isUntouched {
            state.forget(guest)
            return
        }
        known.stage = isDone ? .present : .failed
        state.put(known)
        if isDone {
            state.failuresInARow = 0
            state.lastFailure = nil
        } else {
            state.failuresInARow += 1
            state.lastFailure = now
        }
    }

    private static func retired(_ guest: GuestID, _ plan: Plan, isDone: Bool, _ state: inout GroupState, _ now: Timestamp) {
        guard isDone else { return }
        for step in plan.steps {
            if case .quarantineVolume(let volume, guest) = step.action, !state.quarantine.contains(where: { $0.disk == volume.name }) {
                state.quarantine.append(
                    QuarantinedDisk(guest: guest, host: volume.host, pool: volume.pool, disk: volume.name, since: now))
            }
        }
        state.forget(guest)
    }
}
