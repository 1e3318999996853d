import Fleet

/// One sighting of a guest on one host, in UTC milliseconds.
struct Sighting {
    var at: Int64
    let state: SpanState
    let edge: GuestFact.Edge
    let run: Int32?
    let source: FactSource
    let id: FactID
    /// The instant of the listing before, for a change that only a listing found.
    let previousListing: Int64?
    let shape: Int32
    let continuity: Continuity?
}

/// A stretch of a guest's life as one host tells it.
struct HostSegment {
    var interval: Interval
    let state: SpanState
    let evidence: Evidence
    let run: Int32
    let shape: Int32
    /// Whether this begins a run that was seen to begin.
    let startsRun: Bool
}

/// Turns the sightings of one guest on one host into segments.
struct HostTimeline {
    /// How far apart two writers may tell of one edge, and a listing follow the opening of a watch, in milliseconds.
    static let skewMilliseconds: Int64 = 10_000
    /// By how much the counters' gap may fall short of the gap in the watch: both ends are read a moment apart, in milliseconds.
    static let proofSlackMilliseconds: Int64 = 2000

    let coverage: Coverage
    let policy: GapPolicy
    let horizon: Int64

    func segments(of raw: [Sighting], guest: GuestID) -> [HostSegment] {
        var sightings = withListings(raw.sorted { ($0.at, $0.id) < ($1.at, $1.id) }, guest: guest)
        sightings = settled(sightings)
        var segments: [HostSegment] = []
        var doubtful: [Interval] = []
        backdateStops(&sightings, &doubtful)
        var state = SpanState.absent
        var run: Int32 = -1
        var shape: Int32 = -1
        for (position, sighting) in sightings.enumerated() {
            let startedRun = sighting.run ?? run
            let starts = isStart(sighting, run: startedRun, after: state, lastRun: run, isFirst: position == 0)
            state = sighting.state
            if sighting.state.isActive { run = startedRun } else { run = -1 }
            if sighting.shape >= 0 { shape = sighting.shape }
            let next = position + 1 < sightings.count ? sightings[position + 1] : nil
            let interval = Interval(from: wholeSeconds(sighting.at), to: next.map { wholeSeconds($0.at) } ?? horizon)
            cut(interval, of: sighting, run: run, shape: shape, next: next, startsRun: starts, into: &segments)
        }
        return marked(segments, inferred: doubtful)
    }

    /// Whether a run was seen to begin: not one that already ran when it was first seen, nor one that came from another host.
    private func isStart(_ sighting: Sighting, run: Int32, after state: SpanState, lastRun: Int32, isFirst: Bool) -> Bool {
        guard sighting.state.isActive, !isFirst || sighting.edge == .started else { return false }
        // Reason 2 is `migrated` of a running and `migration` of a paused guest.
        guard !((sighting.state.code == 1 || sighting.state.code == 3) && sighting.state.reason == 2) else { return false }
        if state.code == 8 { return run != lastRun }
        return !state.isActive || (run != lastRun && lastRun >= 0)
    }

    /// Adds an absence for every complete listing that does not name the guest.
    private func withListings(_ sightings: [Sighting], guest: GuestID) -> [Sighting] {
        guard let first = sightings.first else { return [] }
        var result = sightings
        for listing in coverage.listings where listing.milliseconds > first.at && !listing.guests.contains(guest) {
            result.append(
                Sighting(
                    at: listing.milliseconds, state: .absent, edge: .none, run: nil, source: .poll, id: FactID(origin: "", ordinal: 0),
                    previousListing: nil, shape: -1, continuity: nil))
        }
        return result.count == sightings.count ? result : result.sorted { ($0.at, $0.id) < ($1.at, $1.id) }
    }

    /// Where several writers tell of one start or stop of one run, keeps the best told and drops what contradicts it nearby.
    private func settled(_ sightings: [Sighting]) -> [Sighting] {
        guard let origin = sightings.first?.id.origin, sightings.contains(where: { $0.id.origin != origin && !$0.id.origin.isEmpty }) else {
            return sightings
        }
        var chosen: [Int32: [Sighting]] = [:]
        for sighting in sightings where sighting.edge != .none {
            guard let run = sighting.run else { continue }
            var there = chosen[run] ?? []
            if let place = there.firstIndex(where: { $0.edge == sighting.edge && sighting.at - $0.at <= HostTimeline.skewMilliseconds }) {
                if sighting.source > there[place].source { there[place] = sighting }
            } else {
                there.append(sighting)
            }
            chosen[run] = there
        }
        return sightings.filter { sighting in
            guard let run = sighting.run, let edges = chosen[run] else { return true }
            return !edges.contains { edge in
                if sighting.id == edge.id { return false }
                let distance = sighting.at - edge.at
                guard abs(distance) <= HostTimeline.skewMilliseconds else { return false }
                if sighting.edge == edge.edge { return true }
                if sighting.edge != .none { return false }
                if edge.edge == .started { return distance < 0 && sighting.state.isActive }
                return sighting.state.isActive ? distance >= 0 : distance < 0 || sighting.state.code == 5
            }
        }
    }

    /// A stop that only a listing found took effect at the listing before: what is not known to have run is not charged.
    private func backdateStops(_ sightings: inout [Sighting], _ doubtful: inout [Interval]) {
        for position in sightings.indices.dropFirst() {
            guard let listing = sightings[position].previousListing else { continue }
            let before = sightings[position - 1]
            let at = sightings[position].at
            if before.state.isActive, !sightings[position].state.isActive { sightings[position].at = min(at, max(listing, before.at)) }
            doubtful.append(Interval(from: wholeSeconds(max(listing, before.at)), to: wholeSeconds(at)))
        }
    }

    private func cut(
        _ interval: Interval, of sighting: Sighting, run: Int32, shape: Int32, next: Sighting?, startsRun: Bool,
        into segments: inout [HostSegment]
    ) {
        func add(_ piece: Interval, _ state: SpanState, _ evidence: Evidence, startsRun: Bool) {
            segments.append(
                HostSegment(interval: piece, state: state, evidence: evidence, run: run, shape: shape, startsRun: startsRun))
        }
        guard interval.seconds > 0 else {
            add(Interval(from: interval.from, to: interval.from), sighting.state, .observed, startsRun: startsRun)
            return
        }
        if sighting.state == .absent { return add(interval, .absent, .observed, startsRun: false) }
        var second = interval.from
        var isFirst = true
        while second < interval.to {
            let (evidence, edge) = coverage.piece(at: second, until: interval.to)
            let starts = startsRun && isFirst
            isFirst = false
            if let evidence {
                add(Interval(from: second, to: edge), sighting.state, evidence, startsRun: starts)
                second = edge
                continue
            }
            // Nobody looked. What holds depends on the sighting that ends the gap; without one nothing is known until the next sighting.
            let gap = Interval(from: second, to: interval.to)
            let endsWithGap = next != nil && (interval.to - edge) * 1000 <= HostTimeline.skewMilliseconds
            let evidenceOfGap = endsWithGap ? verdict(on: gap, from: sighting, run: run, next: next) : .unknown
            if evidenceOfGap == .unknown {
                add(gap, .unknown, .unknown, startsRun: false)
            } else {
                add(gap, sighting.state, evidenceOfGap, startsRun: starts)
            }
            second = interval.to
        }
    }

    private func verdict(on gap: Interval, from sighting: Sighting, run: Int32, next: Sighting?) -> Evidence {
        guard let next, policy != .free else { return .unknown }
        let isSameRun = sighting.state.isActive && run >= 0 && next.run == run && (next.state.isActive || next.edge == .stopped)
        if isSameRun {
            if let continuity = next.continuity, next.state.isActive {
                let spans = continuity.gapMilliseconds + HostTimeline.proofSlackMilliseconds >= gap.seconds * 1000
                return spans && continuity.isProven && continuity.after.run == run ? .proven : .unknown
            }
            let journalled =
                (next.source == .hook && next.edge == .stopped) || (sighting.source == .hook && sighting.edge == .started)
            if journalled { return .proven }
        }
        guard case .assume(let maximum) = policy, gap.seconds <= maximum else { return .unknown }
        let bothRest = !sighting.state.isActive && !next.state.isActive && next.state != .absent
        return isSameRun || bothRest ? .assumed : .unknown
    }

    private func marked(_ segments: [HostSegment], inferred intervals: [Interval]) -> [HostSegment] {
        guard !intervals.isEmpty else { return segments }
        let doubtful = union(intervals)
        var result: [HostSegment] = []
        for segment in segments {
            var rest = segment.interval
            var starts = segment.startsRun
            func add(_ piece: Interval, _ evidence: Evidence) {
                result.append(
                    HostSegment(
                        interval: piece, state: segment.state, evidence: max(evidence, segment.evidence), run: segment.run,
                        shape: segment.shape, startsRun: starts))
                starts = false
                rest = Interval(from: piece.to, to: rest.to)
            }
            for interval in doubtful where rest.seconds > 0 {
                let piece = interval.clipped(to: rest)
                guard piece.seconds > 0 else { continue }
                if piece.from > rest.from { add(Interval(from: rest.from, to: piece.from), segment.evidence) }
                add(piece, .inferred)
            }
            if rest.seconds > 0 || segment.interval.seconds == 0 { add(rest, segment.evidence) }
        }
        return result
    }
}
