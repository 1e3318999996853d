import Fleet

/// How a lane takes the answer of a host in.
extension LaneMachine {
    /// How soon a newcomer's XML is read, so that its descriptive series do not wait for the next tick.
    static let newcomerDelay = Duration.seconds(1)

    mutating func answered(_ id: CallID, _ answer: LaneAnswer, _ now: Moment) -> [Effect] {
        counters.calls += UInt64(answer.calls)
        counters.failures += UInt64(answer.failures.count)
        let asked = (abandoned?.id == id ? abandoned : current)?.request.jobs ?? []
        if abandoned?.id == id {
            endAbandonment()
            counters.lateAnswers += 1
            // Its first values may be as old as the hang; what is older than a tick is no reading of now. And never backwards.
            let age = now.uptime - answer.began.uptime
            guard age <= settings.interval, lastPublished.map({ $0 < answer.began.uptime }) ?? true else { return [] }
        } else if current?.id == id {
            current = nil
        } else {
            return []
        }
        guard link == .up else { return [] }
        lastFailure = answer.failures.first
        takeDescriptions(answer)
        if let inactive = answer.inactive { self.inactive = inactive.sorted { $0.guest < $1.guest } }
        if let pools = answer.pools {
            self.pools = pools
            poolsRead = answer.began.wall
        }
        let reports = answer.domains.sorted { $0.guest < $1.guest }.map { takeReading($0, answer.began) }
        forgetAbsent(active: answer.domains)
        if answer.failures.isEmpty {
            migrating.removeAll { guest in asked.contains(guest) && !answer.jobs.contains { $0.guest == guest } }
        }
        if guests.values.contains(where: { $0.description == nil }) {
            nextTick = min(nextTick, max(now.uptime, answer.began.uptime + min(LaneMachine.newcomerDelay, settings.interval)))
        }
        lastPublished = answer.began.uptime
        counters.reads += 1
        return [
            .publish(
                LaneReport(
                    host: host, time: answer.began.wall, isUp: true, failure: lastFailure, description: description, guests: reports,
                    inactive: inactive, isComplete: answer.inactive != nil, node: answer.node, pools: pools, poolsRead: poolsRead,
                    jobs: answer.jobs,
                    took: now.uptime - answer.began.uptime, interval: settings.interval, counters: counters))
        ]
    }

    private mutating func takeDescriptions(_ answer: LaneAnswer) {
        for description in answer.descriptions {
            guests[description.guest, default: KnownGuest()].description = description
            guests[description.guest]?.isDescriptionStale = false
        }
    }

    /// Judges how much of the guest was read.
    private mutating func takeReading(_ reading: DomainReading, _ began: Moment) -> GuestReport {
        var known = guests[reading.guest] ?? KnownGuest()
        defer { guests[reading.guest] = known }
        let condition: GuestCondition
        if reading.parameters.isEmpty {
            condition = .stuck
        } else if known.answersToJobs, !LaneMachine.wasReadUnderJob(reading) {
            // While a call hangs, who answers only in part is who it hangs on.
            condition = abandoned == nil ? .partial : .stuck
            if abandoned != nil, !suspects.contains(reading.guest) { suspects.append(reading.guest) }
        } else {
            condition = .whole
            known.answersToJobs = LaneMachine.wasReadUnderJob(reading)
            known.lastWhole = began
        }
        return GuestReport(reading: reading, description: known.description, condition: condition, lastWhole: known.lastWhole?.wall)
    }

    /// Whether libvirt got hold of the guest for this reading.
    ///
    /// The QEMU driver gives `balloon.rss` of every active guest, balloon or not, but only under the guest's job lock; with NOWAIT and the
    /// lock held by somebody else, it and all else that needs the monitor is missing (seen on libvirt 9.0 with a frozen QEMU).
    static func wasReadUnderJob(_ reading: DomainReading) -> Bool {
        reading.parameters.contains { $0.name == "balloon.rss" }
    }

    private mutating func forgetAbsent(active: [DomainReading]) {
        let present = Set(active.map(\.guest))
        guests = guests.filter { present.contains($0.key) }
        suspects.removeAll { !present.contains($0) }
        migrating.removeAll { !present.contains($0) }
    }

    /// A report of a tick without a reading: the host's state and nothing else, since nothing else is known.
    func silentReport(_ now: Moment) -> LaneReport {
        LaneReport(
            host: host, time: now.wall, isUp: false, failure: lastFailure, description: description, interval: settings.interval,
            counters: counters)
    }
}
