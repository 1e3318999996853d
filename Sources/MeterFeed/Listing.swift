import Collection
import Fleet
import Metering

/// What a listing shows, and how it differs from what is known.
extension FactFeed {
    mutating func listed(_ report: LaneReport, began: Duration) {
        let seen = reading(report.time, began)
        let name = report.host
        var host = hosts[name] ?? KnownHost()
        if let description = report.description {
            host.cpus = description.cpus
            host.means = FactFeed.eventfulDrivers.contains(description.hypervisor) ? .events : .polls
        }
        let opens = !host.isWatched
        // A watch opens with a complete listing only: who is not named there is gone.
        guard !opens || report.isComplete else { return }
        let previousAnswer = host.lastAnswer
        hosts[name] = host
        if opens {
            open(report, began, seen)
            wantAlive(soonAfter: began)
        }
        hosts[name]?.isWatched = true
        for guest in report.guests {
            look(at: guest, on: report, began, seen, isNewWatch: opens)
        }
        let active = Set(report.guests.map(\.reading.guest))
        // The inactive guests are listed after the active ones: a guest in both lists is judged at the next listing.
        for guest in report.inactive where report.isComplete && !active.contains(guest.guest) {
            lookAtInactive(guest, on: report, began, seen, isNewWatch: opens)
        }
        lookForAbsent(report, began, seen, previousAnswer: opens ? previousAnswer : nil)
        // An event that was heard since the listing began is the later answer.
        hosts[name]?.lastAnswer = max(previousAnswer, began)
        hosts[name]?.lastListing = began
    }

    private mutating func open(_ report: LaneReport, _ began: Duration, _ seen: ClockReading) {
        var guests = Set(report.guests.map(\.reading.guest) + report.inactive.map(\.guest))
        guard let host = hosts[report.host] else { return }
        for (guest, known) in host.guests where known.touched.map({ $0 > began }) ?? false {
            // Told of since the listing began: the event is the newer word.
            guests.insert(guest)
        }
        add(.poll, report.host, seen, .watchOpened(host.means, guests: guests.sorted()))
    }

    private mutating func look(
        at guest: GuestReport, on report: LaneReport, _ began: Duration, _ seen: ClockReading, isNewWatch: Bool
    ) {
        let id = guest.reading.guest
        let isWhole = guest.condition == .whole
        let readings = GuestReadings(guest.reading, isWhole: isWhole)
        let known = hosts[report.host]?.guests[id]
        if let touched = known?.touched, touched > began { return }
        // A process that libvirt is still preparing is not the guest's run yet: an event tells when it is.
        let isStartingUp = readings.presence == .state(.paused, reason: 11) && known?.presence.isActive != true
        if isStartingUp, !isNewWatch, hosts[report.host]?.means == .events { return }
        let counters = readings.counters.flatMap { counted in
            readings.run.map { run in
                Continuity.Counters(
                    run: run, cpuNanoseconds: counted.cpu, others: counted.others, nodeNanoseconds: report.nodeNanoseconds,
                    bootID: bootIDs[report.host])
            }
        }
        if let presence = readings.presence {
            if !isNewWatch, known == nil, hosts[report.host]?.means == .events {
                expect(id, on: report.host, began)
                compare(id, presence, readings.run, on: report.host, began, seen)
            } else if isNewWatch || known == nil {
                restate(id, presence, readings.run, counters, on: report.host, began, seen, isNewWatch: isNewWatch)
            } else {
                compare(id, presence, readings.run, on: report.host, began, seen)
            }
        }
        guard var entry = hosts[report.host]?.guests[id], entry.presence.isActive, entry.run == readings.run else { return }
        if let counters {
            entry.earlierCounters = entry.counters
            entry.counters = Reading(counters: counters, read: began)
        }
        if let vcpus = readings.vcpus { entry.vcpus = max(vcpus, 1) }
        hosts[report.host]?.guests[id] = entry
        guard let description = guest.description else { return }
        hosts[report.host]?.guests[id]?.isTransient = !description.isPersistent
        describe(id, guest.reading.name, description, readings, on: report.host, began, seen)
    }

    /// A guest that nobody announced: the event, or the next listing, will tell since when it is there.
    private mutating func expect(_ guest: GuestID, on host: HostName, _ began: Duration) {
        let previous = hosts[host]?.lastListing ?? began
        hosts[host]?.guests[guest] = KnownGuest(presence: .absent, run: nil, lastSeen: previous)
    }

    /// A guest as a new watch, or a listing that alone shows it, first sees it.
    private mutating func restate(
        _ guest: GuestID, _ presence: GuestFact.Presence, _ run: Int32?, _ counters: Continuity.Counters?, on host: HostName,
        _ began: Duration, _ seen: ClockReading, isNewWatch: Bool
    ) {
        let known = hosts[host]?.guests[guest]
        var continuity: Continuity?
        if isNewWatch, let before = known?.counters, let after = counters, let known {
            continuity = Continuity(
                gapMilliseconds: (began - before.read).milliseconds, vcpus: known.vcpus, nodeCPUs: hosts[host]?.cpus ?? 0,
                before: before.counters, after: after)
        }
        // A guest that no event announced was not there at the listing before.
        let previous = isNewWatch ? nil : hosts[host].map { max(0, (began - $0.lastListing).milliseconds) }
        var entry = known ?? KnownGuest(presence: presence, run: run, lastSeen: began)
        let isSameRun = entry.run == run
        entry.presence = presence
        if let run { entry.run = run }
        entry.pending = nil
        entry.lastSeen = began
        if !isSameRun, run != nil {
            entry.traffic = [:]
            entry.counters = nil
            entry.vcpus = 0
        }
        hosts[host]?.guests[guest] = entry
        let body = GuestFact(
            guest: guest, presence: presence, run: presence.isActive ? run : nil, previousListingMillisecondsBefore: previous,
            continuity: continuity)
        add(.poll, host, seen, .guest(body))
    }

    /// Writes a difference that two listings show, or one where no events are told.
    private mutating func compare(
        _ guest: GuestID, _ presence: GuestFact.Presence, _ run: Int32?, on host: HostName, _ began: Duration, _ seen: ClockReading
    ) {
        guard var known = hosts[host]?.guests[guest] else { return }
        defer { if hosts[host]?.guests[guest] != nil { hosts[host]?.guests[guest] = known } }
        let isSame = known.presence == presence && (!presence.isActive || known.run == run)
        if isSame {
            known.lastSeen = began
            known.pending = nil
            return
        }
        let isOtherReason = known.presence.isSameState(as: presence) && (!presence.isActive || known.run == run)
        let first: Pending
        if let pending = known.pending, pending.presence == presence, pending.run == run {
            first = pending
        } else {
            first = Pending(presence: presence, run: run, first: seen, at: began, previous: isOtherReason ? nil : known.lastSeen)
            guard hosts[host]?.means == .polls else {
                known.pending = first
                return
            }
        }
        if presence.isActive, known.run != run {
            known.traffic = [:]
            known.counters = nil
            known.earlierCounters = nil
            known.vcpus = 0
        }
        known.presence = presence
        if let run { known.run = run }
        known.pending = nil
        known.lastSeen = began
        let body = GuestFact(
            guest: guest, presence: presence, run: presence.isActive ? run : nil,
            previousListingMillisecondsBefore: first.previous.map { max(0, (first.at - $0).milliseconds) })
        add(.poll, host, first.first, .guest(body))
    }

    private mutating func lookAtInactive(
        _ reading: DomainReading, on report: LaneReport, _ began: Duration, _ seen: ClockReading, isNewWatch: Bool
    ) {
        let known = hosts[report.host]?.guests[reading.guest]
        if let touched = known?.touched, touched > began { return }
        guard let presence = GuestReadings(reading).presence else { return }
        if !isNewWatch, known == nil, hosts[report.host]?.means == .events { expect(reading.guest, on: report.host, began) }
        let isKnown = hosts[report.host]?.guests[reading.guest] != nil
        guard isNewWatch || !isKnown else { return compare(reading.guest, presence, nil, on: report.host, began, seen) }
        restate(reading.guest, presence, nil, nil, on: report.host, began, seen, isNewWatch: isNewWatch)
        for key in (known?.volumes ?? [:]).keys.sorted() {
            guard let volume = known?.volumes[key] else { continue }
            add(
                .poll, report.host, seen,
                .volume(VolumeFact(key: key, size: Bytes(volume.size), presence: .attached(reading.guest), hints: volume.hints)))
        }
    }

    /// Guests that a complete listing does not name; `previousAnswer` is set where the listing opens a watch.
    private mutating func lookForAbsent(_ report: LaneReport, _ began: Duration, _ seen: ClockReading, previousAnswer: Duration?) {
        guard report.isComplete, let host = hosts[report.host] else { return }
        let named = Set(report.guests.map(\.reading.guest) + report.inactive.map(\.guest))
        for guest in host.guests.keys.sorted() where !named.contains(guest) {
            guard let known = host.guests[guest], known.touched.map({ $0 <= began }) ?? true else { continue }
            if known.presence.isMigratedAway, let touched = known.touched, began - touched < FactFeed.handover { continue }
            if let previousAnswer {
                forget(guest, on: report.host, .poll, seen, previous: began - previousAnswer)
            } else if host.means == .polls {
                forget(guest, on: report.host, .poll, seen, previous: began - known.lastSeen)
            } else if let pending = known.pending, pending.presence == .absent {
                forget(guest, on: report.host, .poll, pending.first, previous: pending.previous.map { pending.at - $0 })
            } else {
                hosts[report.host]?.guests[guest]?.pending = Pending(
                    presence: .absent, run: nil, first: seen, at: began, previous: known.lastSeen)
            }
        }
    }

    /// Size, owner, disks and traffic of an active guest.
    private mutating func describe(
        _ guest: GuestID, _ name: String, _ description: GuestDescription, _ readings: GuestReadings, on host: HostName,
        _ began: Duration, _ seen: ClockReading
    ) {
        guard let known = hosts[host]?.guests[guest] else { return }
        let shape = description.shape(name: name, vcpus: readings.vcpus, zone: zones[host])
        // An event told when; without one it was between this listing and the one before.
        let isTold = known.changed != nil
        let stamp = known.changed?.heard ?? seen
        let before = isTold ? nil : hosts[host].map { max(0, (began - $0.lastListing).milliseconds) }
        hosts[host]?.guests[guest]?.changed = nil
        if shape != known.shape {
            hosts[host]?.guests[guest]?.shape = shape
            let body = GuestFact(
                guest: guest, presence: known.changed?.presence ?? known.presence, run: known.changed?.run ?? known.run,
                previousListingMillisecondsBefore: known.shape == nil ? nil : before, shape: shape)
            add(isTold ? .event : .poll, host, stamp, .guest(body))
        }
        var attached: Set<String> = []
        for disk in description.billedDisks {
            let key = "\(guest)/\(disk.target)"
            attached.insert(key)
            guard let size = readings.capacities[disk.target] else { continue }
            let type = description.metadata.diskTypes.first { $0.target == disk.target }?.type
            let volume = KnownVolume(size: size, hints: VolumeHints(metadataType: type, pool: disk.pool, bus: disk.bus))
            guard let old = known.volumes[key] else {
                state(volume, key, .attached(guest), of: guest, on: host, isTold ? .event : .poll, stamp, before: nil)
                continue
            }
            if old.size != volume.size {
                // No event tells that a disk grew or shrank.
                let between = hosts[host].map { max(0, (began - $0.lastListing).milliseconds) }
                state(volume, key, .attached(guest), of: guest, on: host, .poll, seen, before: between)
            } else if old.hints != volume.hints {
                state(volume, key, .attached(guest), of: guest, on: host, isTold ? .event : .poll, stamp, before: before)
            }
        }
        for key in known.volumes.keys.sorted() where !attached.contains(key) {
            guard let volume = known.volumes[key] else { continue }
            state(volume, key, .unseen, of: guest, on: host, isTold ? .event : .poll, stamp, before: before)
            hosts[host]?.guests[guest]?.volumes[key] = nil
        }
        count(readings, description, of: guest, on: host, began, seen)
    }

    private mutating func state(
        _ volume: KnownVolume, _ key: String, _ presence: VolumeFact.Presence, of guest: GuestID, on host: HostName, _ source: FactSource,
        _ seen: ClockReading, before: Int64?
    ) {
        hosts[host]?.guests[guest]?.volumes[key] = volume
        let body = VolumeFact(
            key: key, size: Bytes(volume.size), presence: presence, hints: volume.hints, previousListingMillisecondsBefore: before)
        add(source, host, seen, .volume(body))
    }

    private mutating func count(
        _ readings: GuestReadings, _ description: GuestDescription, of guest: GuestID, on host: HostName, _ began: Duration,
        _ seen: ClockReading
    ) {
        guard let known = hosts[host]?.guests[guest], let run = known.run else { return }
        for line in readings.traffic {
            guard let mac = description.interfaces.first(where: { $0.device == line.device })?.mac else { continue }
            if var counted = known.traffic[mac] {
                counted.received = line.received
                counted.sent = line.sent
                counted.read = seen
                hosts[host]?.guests[guest]?.traffic[mac] = counted
            } else {
                // The first reading of a run is stated: it is the baseline of all later ones.
                hosts[host]?.guests[guest]?.traffic[mac] = KnownTraffic(
                    received: line.received, sent: line.sent, read: seen, statedReceived: line.received, statedSent: line.sent,
                    stated: began)
                let body = TrafficFact(guest: guest, run: run, interface: mac, received: line.received, sent: line.sent)
                add(.poll, host, seen, .traffic(body))
            }
        }
        stateTraffic(of: guest, on: host, began, isLast: false)
    }
}
