import Fleet

extension SpanBook {
    /// Derives everything from a set of facts; the order of `facts` makes no difference.
    ///
    /// - Parameters:
    ///   - facts: The facts, in any order; repetitions of one ``FactID`` count once.
    ///   - policy: What is charged of gaps.
    public init(facts: [Fact], policy: GapPolicy = .proven) {
        var builder = SpanBuilder(facts: facts, policy: policy)
        self = builder.build()
    }
}

/// Derives a ``SpanBook``.
struct SpanBuilder {
    struct Place: Hashable {
        let guest: GuestID
        let host: HostName
    }

    let facts: [Fact]
    let instants: [Int64]
    let policy: GapPolicy
    let clocks: ClockMap
    let coverage: [HostName: Coverage]
    var book = SpanBook()
    var shapes = Interner<GuestShape>()
    var hostPlaces: [HostName: Int32] = [:]
    var guestPlaces: [GuestID: Int32] = [:]
    /// By guest: from which second which shape governs who pays.
    var shapeChanges: [[(second: Int64, shape: Int32)]] = []

    init(facts all: [Fact], policy: GapPolicy) {
        var seen: Set<FactID> = []
        seen.reserveCapacity(all.count)
        facts = all.filter { seen.insert($0.id).inserted }
        self.policy = policy
        let clocks = ClockMap(facts)
        self.clocks = clocks
        instants = facts.map { clocks.milliseconds($0.seen) }
        coverage = Coverage.ofHosts(facts, instants: instants, clocks: clocks)
    }

    mutating func build() -> SpanBook {
        book.horizon = horizon()
        var places: [Place: [Int]] = [:]
        var hosts: Set<HostName> = []
        var assignments: [GuestID: [(second: Int64, tenant: String?)]] = [:]
        var volumeFacts: [VolumeIdentity: [Int]] = [:]
        var trafficFacts: [TrafficKey: [Int]] = [:]
        var acknowledged: Set<String> = []
        for (index, fact) in facts.enumerated() {
            if let host = fact.host { hosts.insert(host) }
            switch fact.body {
            case .guest(let body):
                if let host = fact.host { places[Place(guest: body.guest, host: host), default: []].append(index) }
            case .volume(let body): volumeFacts[VolumeIdentity(kind: body.kind, key: body.key), default: []].append(index)
            case .traffic(let body):
                if let host = fact.host {
                    let key = TrafficKey(guest: body.guest, host: host, run: body.run, interface: body.interface)
                    trafficFacts[key, default: []].append(index)
                }
            case .assignment(let guest, let tenant):
                assignments[guest, default: []].append((wholeSeconds(instants[index]), tenant))
            case .acknowledgement(let finding): acknowledged.insert(finding)
            case .closing(let closing): book.closings.append(closing)
            case .watchOpened, .watchClosed, .alive, .journalRead, .clockAnchor: break
            }
        }
        book.closings.sort { ($0.from, $0.to, $0.throughSequence) < ($1.from, $1.to, $1.throughSequence) }
        book.hosts = hosts.sorted()
        for (index, host) in book.hosts.enumerated() { hostPlaces[host] = Int32(index) }
        let ordered = places.keys.sorted { ($0.guest, $0.host) < ($1.guest, $1.host) }
        var start = 0
        while start < ordered.count {
            var end = start
            while end < ordered.count, ordered[end].guest == ordered[start].guest { end += 1 }
            let guest = ordered[start].guest
            addGuest(guest, ordered[start..<end].map { ($0.host, places[$0] ?? []) }, assignments[guest] ?? [])
            start = end
        }
        addVolumes(volumeFacts)
        addTraffic(trafficFacts)
        book.shapes = shapes.values
        addIndices()
        addClockSteps()
        for index in book.findings.indices where acknowledged.contains(book.findings[index].id) {
            book.findings[index].isAcknowledged = true
        }
        book.findings.sort()
        return book
    }

    /// Where each guest's and volume's rows stand, and which of them a tenant ever paid for.
    private mutating func addIndices() {
        book.sessionRanges = SpanBuilder.ranges(of: book.sessions.map(\.guest), count: book.guests.count)
        book.trafficRanges = SpanBuilder.ranges(of: book.traffic.map(\.guest), count: book.guests.count)
        book.volumeRanges = SpanBuilder.ranges(of: book.volumeSpans.map(\.volume), count: book.volumes.count)
        let tenants = book.shapes.map(\.tenant)
        for span in book.spans where span.shape >= 0 {
            guard let tenant = tenants[Int(span.shape)], book.guestsByTenant[tenant]?.last != span.guest else { continue }
            book.guestsByTenant[tenant, default: []].append(span.guest)
        }
        for span in book.volumeSpans where span.shape >= 0 {
            guard let tenant = tenants[Int(span.shape)], book.volumesByTenant[tenant]?.last != span.volume else { continue }
            book.volumesByTenant[tenant, default: []].append(span.volume)
        }
    }

    private static func ranges(of owners: [Int32], count: Int) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        ranges.reserveCapacity(count)
        var start = 0
        for owner in 0..<Int32(count) {
            var end = start
            while end < owners.count, owners[end] == owner { end += 1 }
            ranges.append(start..<end)
            start = end
        }
        return ranges
    }

    private func horizon() -> Int64 {
        // What an operator states of the future moves no horizon: only what was seen does.
        var latest = Int64.min
        for (fact, instant) in zip(facts, instants) where fact.source != .operatorEntry { latest = max(latest, instant) }
        return latest == .min ? 0 : wholeSeconds(latest)
    }

    private mutating func addClockSteps() {
        for step in clocks.steps {
            let message =
                "the wall clock was stepped by \(step.byMilliseconds) ms; no billed second moved: time within one boot is taken from its "
                + "steady clock. If the boot began with a wrong clock, state its true start with a clock anchor"
            book.findings.append(Finding(.clockStep, step.machine, at: wholeSeconds(step.atMilliseconds), message))
        }
    }

    private mutating func addGuest(
        _ guest: GuestID, _ hosts: [(host: HostName, facts: [Int])], _ assignments: [(second: Int64, tenant: String?)]
    ) {
        let place = Int32(book.guests.count)
        book.guests.append(guest)
        guestPlaces[guest] = place
        var known: [(at: Int64, id: FactID, shape: Int32)] = []
        var told: [(host: Int32, segments: [HostSegment])] = []
        for (host, indices) in hosts {
            var sightings: [Sighting] = []
            for index in indices {
                guard case .guest(let body) = facts[index].body else { continue }
                let shape = body.shape.map { shapes.index($0) } ?? -1
                if shape >= 0 { known.append((instants[index], facts[index].id, shape)) }
                let state: SpanState
                switch body.presence {
                case .absent: state = .absent
                case .state(let domainState, let reason):
                    state = domainState == .noState ? .unknown : SpanState(domainState, reason: reason)
                }
                sightings.append(
                    Sighting(
                        at: instants[index], state: state, edge: body.edge, run: body.run, source: facts[index].source,
                        id: facts[index].id, previousListing: body.previousListingMillisecondsBefore.map { instants[index] - $0 },
                        shape: shape, continuity: body.continuity))
            }
            let timeline = HostTimeline(coverage: coverage[host] ?? Coverage(), policy: policy, horizon: book.horizon)
            told.append((hostPlaces[host] ?? -1, timeline.segments(of: sightings, guest: guest)))
        }
        known.sort { ($0.at, $0.id) < ($1.at, $1.id) }
        let joined = GuestTimeline(told)
        for run in joined.doubleRuns {
            let names = "\(book.hosts[Int(run.first)]) and \(book.hosts[Int(run.second)])"
            let message =
                "ran on \(names) at once for \(run.interval.seconds) s; charged once. Find out which copy wrote the disks, then acknowledge"
            book.findings.append(Finding(.doubleRun, guest.description, at: run.interval.from, message))
        }
        emit(
            joined.pieces, guest: place, known: known,
            assignments: assignments.sorted { ($0.second, $0.tenant ?? "") < ($1.second, $1.tenant ?? "") })
    }

    /// Numbers sessions and generations, fills in shapes and tenants, and joins what is alike.
    private mutating func emit(
        _ pieces: [GuestTimeline.Piece], guest: Int32, known: [(at: Int64, id: FactID, shape: Int32)],
        assignments: [(second: Int64, tenant: String?)]
    ) {
        let first = book.spans.count
        var session: Int32 = -1
        var lastHost: Int32 = -1
        var lastRun: Int32 = -1
        var generation: Int32 = 0
        var hasLived = false
        var isGone = false
        for piece in pieces {
            if piece.state == .absent {
                session = -1
                isGone = hasLived && piece.interval.seconds > 0 || isGone
                continue
            }
            if isGone {
                generation += 1
                isGone = false
            }
            hasLived = true
            let shape = piece.shape >= 0 ? piece.shape : shapeAt(piece.interval.from, known)
            if piece.state.isActive {
                let isOther = piece.host == lastHost && piece.run != lastRun && piece.run >= 0 && lastRun >= 0
                if session < 0 || isOther {
                    session = Int32(book.sessions.count)
                    book.sessions.append(
                        Session(
                            guest: guest, start: piece.interval.from, shape: assigned(shape, at: piece.interval.from, assignments),
                            host: piece.host, startSeen: piece.startsRun))
                }
                lastHost = piece.host
                if piece.run >= 0 { lastRun = piece.run }
            } else if piece.state.code != 8 {
                session = -1
            }
            let span = GuestSpan(
                guest: guest, interval: piece.interval, state: piece.state, evidence: piece.evidence, host: piece.host, shape: shape,
                run: piece.state.isActive ? piece.run : -1, session: piece.state.isActive ? session : -1, generation: generation)
            append(span, assignments, after: first)
        }
        book.spanRanges.append(first..<book.spans.count)
        var changes: [(second: Int64, shape: Int32)] = []
        for span in book.spans[first...] where changes.last?.shape != span.shape { changes.append((span.interval.from, span.shape)) }
        shapeChanges.append(changes)
    }

    private func shapeAt(_ second: Int64, _ known: [(at: Int64, id: FactID, shape: Int32)]) -> Int32 {
        (known.last { wholeSeconds($0.at) <= second } ?? known.first)?.shape ?? -1
    }

    private mutating func assigned(_ shape: Int32, at second: Int64, _ assignments: [(second: Int64, tenant: String?)]) -> Int32 {
        guard shape >= 0, let tenant = assignments.last(where: { $0.second <= second })?.tenant else { return shape }
        return shapes.index(shapes.values[Int(shape)].with(tenant: tenant))
    }

    private mutating func append(_ whole: GuestSpan, _ assignments: [(second: Int64, tenant: String?)], after first: Int) {
        guard whole.interval.seconds > 0 else { return }
        var cuts = assignments.map(\.second).filter { $0 > whole.interval.from && $0 < whole.interval.to }
        cuts.append(whole.interval.to)
        var from = whole.interval.from
        for cut in cuts where cut > from {
            var span = whole
            span.interval = Interval(from: from, to: cut)
            span.shape = assigned(whole.shape, at: from, assignments)
            from = cut
            if book.spans.count > first, var last = Optional(book.spans[book.spans.count - 1]), last.interval.to == span.interval.from {
                last.interval = span.interval
                if last == span {
                    let joined = Interval(from: book.spans[book.spans.count - 1].interval.from, to: span.interval.to)
                    book.spans[book.spans.count - 1].interval = joined
                    continue
                }
            }
            book.spans.append(span)
        }
    }
}
