import Fleet

extension HostWatch {
    /// Takes one observation, moves on, and says what to do.
    public mutating func step(_ event: HostEvent, _ settings: HostWatchSettings, _ context: HostContext) -> [HostEffect] {
        var effects: [HostEffect] = []
        switch event {
        case .answered: alive(answers: true, "libvirt answers", settings, context, &effects)
        case .refused: alive(answers: false, "it refuses connections: the machine lives, libvirtd does not", settings, context, &effects)
        case .hung: alive(answers: false, "the connection stands and the call hangs: libvirtd is stuck", settings, context, &effects)
        case .silent: silent(settings, context, &effects)
        case .leaseRenewed: leaseRenewed(context, &effects)
        case .leaseExpired(let isContract):
            isLeaseRenewed = false
            if isContract { prove(.leaseExpired, context, &effects) }
        case .powerOff: powerOff(context, &effects)
        case .powerOn: powerOn(context, &effects)
        case .powerDark(let why): powerDark(why, settings, context, &effects)
        case .fenced(let result): fenced(result, settings, context, &effects)
        case .confirmed(let by, let number): confirmed(by: by, number, context, &effects)
        case .evacuationEnded(let isComplete): evacuationEnded(isComplete, context, &effects)
        case .cleaned: cleaned(context)
        case .tick: break
        }
        goOn(settings, context, &effects)
        return effects
    }

    private mutating func enter(_ new: HostState, _ why: String, _ context: HostContext) {
        if new != state { since = context.now }
        state = new
        reason = why
    }

    /// How much longer a host that came and went is given.
    private func patience(_ base: Duration, _ settings: HostWatchSettings) -> Duration { base * (1 << min(flaps, settings.flapsMaximum)) }

    /// Whether the probes before this one were made by a process that was not frozen.
    ///
    /// A gap in our own probing is no silence of the host's.
    private mutating func gap(_ settings: HostWatchSettings, _ context: HostContext) -> Duration? {
        defer { lastProbe = context.now }
        guard let lastProbe else { return .zero }
        let gap = context.now - lastProbe
        return gap > settings.probeInterval * 5 ? nil : gap
    }

    // MARK: Life

    private mutating func alive(
        answers isAnswer: Bool, _ why: String, _ settings: HostWatchSettings, _ context: HostContext, _ effects: inout [HostEffect]
    ) {
        _ = gap(settings, context)
        silence = .zero
        answers = isAnswer ? answers + 1 : 0
        switch state {
        case .healthy:
            reason = why
            if flaps > 0, context.now - since > settings.flapMemory { flaps = 0 }
        case .suspect:
            if answers >= settings.answersToRecover { enter(.healthy, why, context) } else { reason = why }
        case .unreachable, .unprovable, .fenced: revive(why, context, &effects)
        case .fencing:
            livedDuringFence = true
            if !isFenceRunning { revive(why, context, &effects) }
        case .evacuating, .evacuated: revive(why, context, &effects)
        case .returning: reason = why
        }
    }

    /// A host that was given up shows life: its proof is void.
    private mutating func revive(_ why: String, _ context: HostContext, _ effects: inout [HostEffect]) {
        if proof != nil, state != .evacuated {
            effects.append(.alarm("\(host) was proven dead (\(proof.map(\.description) ?? "")) and lives: \(why)"))
        }
        if state == .evacuating || proof != nil { effects.append(.stopStarts(incident: incident)) }
        flaps += 1
        forget()
        if mayRunElsewhere {
            enter(.returning, why, context)
            effects.append(.clean)
        } else {
            enter(.suspect, "\(why); watched until it answers steadily", context)
        }
    }

    private mutating func forget() {
        proof = nil
        darkCount = 0
        isPowerOn = false
        fenceCount = 0
        lastTry = nil
        isFenceRunning = false
        livedDuringFence = false
        isLeaseRenewed = false
    }

    private mutating func leaseRenewed(_ context: HostContext, _ effects: inout [HostEffect]) {
        let isNews = !isLeaseRenewed
        isLeaseRenewed = true
        switch state {
        case .healthy, .suspect, .returning: break
        case .unreachable, .unprovable:
            reason = "it renews its lease: it lives without its management link"
            if isNews {
                effects.append(.alarm("\(host) does not answer but renews its lease; it is left alone; look at its management link"))
            }
        case .fencing: livedDuringFence = true
        case .fenced, .evacuating, .evacuated: revive("it renews its lease", context, &effects)
        }
    }

    private mutating func cleaned(_ context: HostContext) {
        guard state == .returning else { return }
        mayRunElsewhere = false
        enter(.suspect, "its old copies are gone; watched until it answers steadily", context)
    }

    // MARK: Silence

    private mutating func silent(_ settings: HostWatchSettings, _ context: HostContext, _ effects: inout [HostEffect]) {
        answers = 0
        guard let gap = gap(settings, context) else {
            // We were frozen: what we did not look at says nothing. Begin again.
            silence = .zero
            if state == .unreachable, !mayRunElsewhere { enter(.suspect, "Steward itself had stopped looking", context) }
            return
        }
        silence += gap
        switch state {
        case .healthy where silence >= settings.suspectAfter: enter(.suspect, "silent for \(spoken(silence))", context)
        case .suspect where silence >= patience(settings.unreachableAfter, settings),
            .returning where silence >= patience(settings.unreachableAfter, settings):
            giveUp(context, &effects)
        case .healthy, .suspect, .returning, .unreachable, .unprovable, .fencing, .fenced, .evacuating, .evacuated: break
        }
    }

    private mutating func giveUp(_ context: HostContext, _ effects: inout [HostEffect]) {
        incident += 1
        forget()
        enter(.unreachable, "silent for \(spoken(silence)) by our own probes", context)
        effects.append(.alarm("\(host) is unreachable"))
    }

    // MARK: Proof

    private mutating func prove(_ kind: DeathProof, _ context: HostContext, _ effects: inout [HostEffect]) {
        switch state {
        case .unreachable, .unprovable, .fencing:
            proof = kind
            isFenceRunning = false
            enter(.fenced, kind.description, context)
        case .healthy, .suspect, .fenced, .evacuating, .evacuated, .returning: break
        }
    }

    private mutating func powerOff(_ context: HostContext, _ effects: inout [HostEffect]) {
        isPowerOn = false
        darkCount = 0
        guard context.hasBMC else { return }
        prove(.poweredOff, context, &effects)
    }

    private mutating func powerOn(_ context: HostContext, _ effects: inout [HostEffect]) {
        isPowerOn = true
        darkCount = 0
        switch state {
        case .unprovable: enter(.unreachable, "its BMC answers again: power is on", context)
        case .fenced, .evacuating:
            // It was switched on again: no start may rest on the old proof.
            if state == .evacuating { effects.append(.stopStarts(incident: incident)) }
            effects.append(.alarm("\(host) was proven dead and its power is on again: no further start"))
            proof = nil
            fenceCount = 0
            // It is given the time of a boot before it is fenced again.
            silence = .zero
            enter(.unreachable, "its power is on again", context)
        case .healthy, .suspect, .unreachable, .fencing, .evacuated, .returning: break
        }
    }

    private mutating func powerDark(
        _ why: String, _ settings: HostWatchSettings, _ context: HostContext, _ effects: inout [HostEffect]
    ) {
        isPowerOn = false
        darkCount += 1
        guard state == .unreachable, darkCount >= settings.darkReads, !context.hasLeaseContract else { return }
        giveUpProof("its BMC does not answer (\(why))", context, &effects)
    }

    private mutating func giveUpProof(_ why: String, _ context: HostContext, _ effects: inout [HostEffect]) {
        enter(.unprovable, why, context)
        effects.append(
            .alarm("\(host) is silent and cannot be proven dead: \(why); if it is dead, run: steward confirm-dead \(host)"))
    }

    private mutating func fenced(
        _ result: FenceResult, _ settings: HostWatchSettings, _ context: HostContext, _ effects: inout [HostEffect]
    ) {
        guard state == .fencing else { return }
        isFenceRunning = false
        lastTry = context.now
        if result.isOff {
            prove(.poweredOff, context, &effects)
        } else if livedDuringFence {
            revive("it showed life while it was being fenced", context, &effects)
        } else if result == .dark {
            giveUpProof("its BMC went dark during the fence", context, &effects)
        } else if fenceCount >= settings.fenceAttempts {
            giveUpProof("\(fenceCount) fence attempts left its power on (\(result))", context, &effects)
        } else {
            reason = "fence attempt \(fenceCount): \(result)"
        }
    }

    private mutating func confirmed(by: String, _ number: UInt64, _ context: HostContext, _ effects: inout [HostEffect]) {
        switch state {
        case .unreachable, .unprovable:
            guard number == incident, !isLeaseRenewed, !isPowerOn else {
                let why =
                    isLeaseRenewed
                    ? "it renews its lease"
                    : isPowerOn
                        ? "its BMC says that its power is on; switch it off there"
                        : "that word was for incident \(number), this is \(incident)"
                effects.append(.alarm("\(by)'s word that \(host) is dead is refused: \(why)"))
                return
            }
            prove(.confirmed(by: by), context, &effects)
        case .healthy, .suspect, .returning: effects.append(.alarm("\(by)'s word that \(host) is dead is refused: it lives (\(reason))"))
        case .fencing: effects.append(.alarm("\(by)'s word that \(host) is dead is refused: a fence is under way; wait for its end"))
        case .fenced, .evacuating, .evacuated: break
        }
    }

    private mutating func evacuationEnded(_ isComplete: Bool, _ context: HostContext, _ effects: inout [HostEffect]) {
        guard state == .evacuating else { return }
        if isComplete {
            enter(.evacuated, "its guests were seen running elsewhere", context)
        } else {
            reason = "some guests have no place yet"
            lastTry = context.now
        }
    }

    // MARK: Going on

    /// What time and circumstances allow now, in the state that the event left.
    private mutating func goOn(_ settings: HostWatchSettings, _ context: HostContext, _ effects: inout [HostEffect]) {
        let mayRetry = lastTry.map { context.now - $0 >= settings.retryPause } ?? true
        switch state {
        case .unreachable: seekProof(mayRetry, settings, context, &effects)
        case .unprovable where context.hasBMC && mayRetry:
            lastTry = context.now
            effects.append(.readPower)
        case .fencing where !isFenceRunning && mayRetry && context.hold == nil && !context.isDisarmed: fence(context, &effects)
        case .fenced: evacuate(settings, context, &effects)
        case .evacuating where lastTry != nil && mayRetry && context.hold == nil && !context.isDisarmed:
            guard let proof else { return }
            lastTry = nil
            effects.append(.evacuate(incident: incident, proof: proof))
        case .healthy, .suspect, .unprovable, .fencing, .evacuating, .evacuated, .returning: break
        }
    }

    private mutating func seekProof(
        _ mayRetry: Bool, _ settings: HostWatchSettings, _ context: HostContext, _ effects: inout [HostEffect]
    ) {
        guard context.hasBMC || context.hasLeaseContract else {
            giveUpProof("it has neither a bound BMC nor a lease under a watchdog", context, &effects)
            return
        }
        guard context.hasBMC else { return }
        if isPowerOn, !isLeaseRenewed, silence >= patience(settings.fenceAfter, settings) {
            if let hold = context.isDisarmed ? "disarmed" : context.hold {
                reason = "to be fenced, held back: \(hold)"
            } else {
                enter(.fencing, "silent for \(spoken(silence)) with its power on", context)
                fence(context, &effects)
                return
            }
        }
        if mayRetry {
            lastTry = context.now
            effects.append(.readPower)
        }
    }

    private mutating func fence(_ context: HostContext, _ effects: inout [HostEffect]) {
        fenceCount += 1
        isFenceRunning = true
        livedDuringFence = false
        effects.append(.fence(incident: incident))
    }

    private mutating func evacuate(_ settings: HostWatchSettings, _ context: HostContext, _ effects: inout [HostEffect]) {
        guard let proof else { return }
        if context.isDisarmed {
            reason = "\(proof); held back: disarmed"
            return
        }
        if case .confirmed = proof {
        } else {
            if let hold = context.hold {
                reason = "\(proof); held back: \(hold)"
                return
            }
            if !mayRunElsewhere, let lastEvacuation, context.now - lastEvacuation < settings.evacuationQuiet {
                reason = "\(proof); it was evacuated \(spoken(context.now - lastEvacuation)) ago: a second time needs an operator's word"
                return
            }
        }
        lastEvacuation = context.now
        mayRunElsewhere = true
        lastTry = nil
        enter(.evacuating, proof.description, context)
        effects.append(.evacuate(incident: incident, proof: proof))
    }
}
