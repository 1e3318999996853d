import Fleet

struct TrafficKey: Hashable, Comparable {
    let guest: GuestID
    let host: HostName
    let run: Int32
    let interface: String

    static func < (left: TrafficKey, right: TrafficKey) -> Bool {
        (left.guest, left.host, left.run, left.interface) < (right.guest, right.host, right.run, right.interface)
    }
}

extension SpanBuilder {
    private struct VolumeSighting {
        var at: Int64
        let seen: Int64
        let id: FactID
        let host: HostName?
        let body: VolumeFact
    }

    mutating func addVolumes(_ facts: [VolumeIdentity: [Int]]) {
        var hints = Interner<VolumeHints>()
        for identity in facts.keys.sorted() {
            let place = Int32(book.volumes.count)
            book.volumes.append(identity)
            var sightings = (facts[identity] ?? []).compactMap { index -> VolumeSighting? in
                guard case .volume(let body) = self.facts[index].body else { return nil }
                return VolumeSighting(
                    at: instants[index], seen: instants[index], id: self.facts[index].id, host: self.facts[index].host, body: body)
            }.sorted { ($0.at, $0.id) < ($1.at, $1.id) }
            backdate(&sightings)
            addSpans(sightings, of: place, &hints)
        }
        book.hints = hints.values
    }

    /// A volume that a listing found smaller or gone was so at the listing before; one found larger is larger from the listing on.
    private func backdate(_ sightings: inout [VolumeSighting]) {
        for index in sightings.indices.dropFirst() {
            guard let before = sightings[index].body.previousListingMillisecondsBefore else { continue }
            let body = sightings[index].body
            let isLess = body.presence == .deleted || body.presence == .unseen || body.size < sightings[index - 1].body.size
            if isLess { sightings[index].at = max(sightings[index].at - before, sightings[index - 1].at) }
        }
    }

    private mutating func addSpans(_ sightings: [VolumeSighting], of volume: Int32, _ hints: inout Interner<VolumeHints>) {
        var guest: Int32 = -1
        var shape: Int32 = -1
        for (index, sighting) in sightings.enumerated() {
            let next = index + 1 < sightings.count ? sightings[index + 1] : nil
            let interval = Interval(from: wholeSeconds(sighting.at), to: next.map { wholeSeconds($0.at) } ?? book.horizon)
            var isAttached = false
            switch sighting.body.presence {
            case .deleted:
                guest = -1
                shape = -1
                continue
            case .attached(let id):
                guest = guestPlaces[id] ?? -1
                isAttached = true
            case .detached, .unseen: break
            }
            let hint = hints.index(sighting.body.hints)
            for piece in evidencePieces(interval, sighting, next) {
                for owner in owners(of: piece.interval, guest: guest, isAttached: isAttached, kept: &shape) {
                    var payer = owner.shape
                    if let tenant = sighting.body.tenant {
                        let base = payer >= 0 ? shapes.values[Int(payer)] : GuestShape(name: "", vcpus: 0, memory: Bytes(0))
                        payer = shapes.index(base.with(tenant: tenant))
                    }
                    let span = VolumeSpan(
                        volume: volume, interval: owner.interval, bytes: piece.bytes, hints: hint, guest: guest, isAttached: isAttached,
                        shape: payer, evidence: piece.evidence)
                    appendVolume(span)
                }
            }
        }
    }

    private mutating func appendVolume(_ span: VolumeSpan) {
        guard span.interval.seconds > 0 else { return }
        if var last = book.volumeSpans.last, last.interval.to == span.interval.from {
            let from = last.interval.from
            last.interval = span.interval
            if last == span {
                book.volumeSpans[book.volumeSpans.count - 1].interval = Interval(from: from, to: span.interval.to)
                return
            }
        }
        book.volumeSpans.append(span)
    }

    /// Cuts by evidence. A gap with the volume at both ends is inferred, at the smaller of the two sizes; any other gap is unknown.
    private func evidencePieces(
        _ interval: Interval, _ sighting: VolumeSighting, _ next: VolumeSighting?
    ) -> [(interval: Interval, bytes: UInt64, evidence: Evidence)] {
        let size = sighting.body.size.count
        if sighting.body.presence == .unseen { return [(interval, size, .unknown)] }
        guard let host = sighting.host else { return [(interval, size, .observed)] }
        let covered = coverage[host] ?? Coverage()
        var pieces: [(interval: Interval, bytes: UInt64, evidence: Evidence)] = []
        var second = interval.from
        while second < interval.to {
            let (evidence, edge) = covered.piece(at: second, until: interval.to)
            if let evidence {
                pieces.append((Interval(from: second, to: edge), size, evidence))
                second = edge
                continue
            }
            let gap = Interval(from: second, to: interval.to)
            if let next, next.body.presence != .deleted, next.body.presence != .unseen, policy != .free {
                pieces.append((gap, min(size, next.body.size.count), .inferred))
            } else {
                pieces.append((gap, size, .unknown))
            }
            second = interval.to
        }
        return pieces
    }

    /// Cuts by who pays: the guest's tenant while attached, the last one's after that.
    private func owners(
        of interval: Interval, guest: Int32, isAttached: Bool, kept: inout Int32
    ) -> [(interval: Interval, shape: Int32)] {
        guard isAttached, guest >= 0 else { return [(interval, kept)] }
        let changes = shapeChanges[Int(guest)]
        var result: [(interval: Interval, shape: Int32)] = []
        var from = interval.from
        var current = changes.last { $0.second <= interval.from }?.shape ?? changes.first?.shape ?? -1
        for change in changes where change.second > interval.from && change.second < interval.to {
            result.append((Interval(from: from, to: change.second), current))
            from = change.second
            current = change.shape
        }
        result.append((Interval(from: from, to: interval.to), current))
        kept = current
        return result
    }

    mutating func addTraffic(_ groups: [TrafficKey: [Int]]) {
        struct Run: Hashable {
            let guest: GuestID
            let host: HostName
            let run: Int32
        }
        guard !groups.isEmpty else { return }
        var started: Set<Run> = []
        for fact in facts {
            guard case .guest(let body) = fact.body, body.edge == .started, let host = fact.host, let run = body.run else { continue }
            started.insert(Run(guest: body.guest, host: host, run: run))
        }
        book.interfaces = Set(groups.keys.map(\.interface)).sorted()
        var interfacePlaces: [String: Int32] = [:]
        for (index, interface) in book.interfaces.enumerated() { interfacePlaces[interface] = Int32(index) }
        for key in groups.keys.sorted() {
            guard let guest = guestPlaces[key.guest], let host = hostPlaces[key.host] else { continue }
            let order = (groups[key] ?? []).sorted { (instants[$0], facts[$0].id) < (instants[$1], facts[$1].id) }
            // A run whose start was seen counts from zero; of any other, the first reading is only a baseline.
            var last: (received: UInt64, sent: UInt64)? =
                started.contains(Run(guest: key.guest, host: key.host, run: key.run)) ? (0, 0) : nil
            var origin: String?
            for index in order {
                guard case .traffic(let body) = facts[index].body else { continue }
                defer { origin = facts[index].id.origin }
                guard let before = last else {
                    last = (body.received, body.sent)
                    continue
                }
                let isReset = body.received < before.received || body.sent < before.sent
                // A smaller count from the same writer is a counter that began again; from another writer it is an older reading.
                if isReset, origin != facts[index].id.origin { continue }
                let received = isReset ? body.received : body.received - before.received
                let sent = isReset ? body.sent : body.sent - before.sent
                last = (body.received, body.sent)
                guard received > 0 || sent > 0 else { continue }
                let second = wholeSeconds(instants[index])
                let changes = shapeChanges[Int(guest)]
                book.traffic.append(
                    TrafficUse(
                        guest: guest, second: second, interface: interfacePlaces[key.interface] ?? -1, received: received, sent: sent,
                        shape: changes.last { $0.second <= second }?.shape ?? changes.first?.shape ?? -1, host: host))
            }
            noteUnread(key, guest: guest, host: host, last: order.last)
        }
        book.traffic.sort { ($0.guest, $0.second, $0.interface, $0.host) < ($1.guest, $1.second, $1.interface, $1.host) }
    }

    /// Bytes after the last reading of a run are not charged; says for how long nobody read.
    private mutating func noteUnread(_ key: TrafficKey, guest: Int32, host: Int32, last: Int?) {
        guard let last else { return }
        let second = wholeSeconds(instants[last])
        let end = book.spans[book.spanRanges[Int(guest)]].last { $0.host == host && $0.run == key.run }?.interval.to ?? second
        guard end > second, end < book.horizon else { return }
        let message =
            "traffic of \(key.interface) on \(key.host) in the last \(end - second) s of run \(key.run) was not read and is not charged"
        book.findings.append(Finding(.unreadTraffic, key.guest.description, at: second, message))
    }
}
