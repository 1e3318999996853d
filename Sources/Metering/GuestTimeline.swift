import Fleet

/// Joins what several hosts tell of one guest into the one life that is charged.
struct GuestTimeline {
    /// How long a guest may be nowhere, or on both sides, while it is handed over: callbacks of two connections have no common order.
    static let handoverSeconds: Int64 = 60
    /// How long two hosts may both say `running` before it is called a double run.
    static let doubleRunSeconds: Int64 = 10

    struct Piece {
        var interval: Interval
        var state: SpanState
        var evidence: Evidence
        var host: Int32
        var run: Int32
        var shape: Int32
        var startsRun: Bool
    }

    private(set) var pieces: [Piece] = []
    private(set) var doubleRuns: [(interval: Interval, first: Int32, second: Int32)] = []

    /// Joins segments by host; hosts in ascending order.
    init(_ hosts: [(host: Int32, segments: [HostSegment])]) {
        if hosts.count == 1 {
            pieces = hosts[0].segments.map { GuestTimeline.piece($0, on: hosts[0].host) }
        } else {
            sweep(hosts)
            fillHandovers()
        }
    }

    private static func piece(_ segment: HostSegment, on host: Int32, _ interval: Interval? = nil) -> Piece {
        Piece(
            interval: interval ?? segment.interval, state: segment.state, evidence: segment.evidence, host: host, run: segment.run,
            shape: segment.shape, startsRun: segment.startsRun && (interval?.from ?? segment.interval.from) == segment.interval.from)
    }

    private mutating func sweep(_ hosts: [(host: Int32, segments: [HostSegment])]) {
        var bounds: [Int64] = []
        for (_, segments) in hosts { for segment in segments { bounds += [segment.interval.from, segment.interval.to] } }
        bounds = Array(Set(bounds)).sorted()
        var next = hosts.map { _ in 0 }
        var superseded = hosts.map { _ in false }
        var previous: Int32 = -1
        var overlap: (interval: Interval, first: Int32, second: Int32)?
        func note(_ interval: Interval, _ running: [Int32]) {
            guard running.count > 1 else { return }
            if let open = overlap, open.interval.to == interval.from, open.first == running[0], open.second == running[1] {
                overlap = (Interval(from: open.interval.from, to: interval.to), open.first, open.second)
            } else {
                if let open = overlap { doubleRuns.append(open) }
                overlap = (interval, running[0], running[1])
            }
        }
        for (position, bound) in bounds.enumerated() {
            let interval = Interval(from: bound, to: position + 1 < bounds.count ? bounds[position + 1] : bound)
            var candidates: [(host: Int, segment: HostSegment)] = []
            for index in hosts.indices {
                let segments = hosts[index].segments
                while next[index] < segments.count, segments[next[index]].interval.to <= bound {
                    let passed = segments[next[index]]
                    // A run shorter than a second still started: it keeps its place as an empty piece.
                    if passed.interval.seconds == 0, passed.interval.from == bound, passed.state.isActive, passed.startsRun {
                        pieces.append(GuestTimeline.piece(passed, on: hosts[index].host))
                    }
                    next[index] += 1
                }
                guard next[index] < segments.count, segments[next[index]].interval.from <= bound else { continue }
                let segment = segments[next[index]]
                if segment.state.code != 8 { superseded[index] = false }
                candidates.append((index, segment))
            }
            guard interval.seconds > 0, !candidates.isEmpty else { continue }
            if candidates.contains(where: { $0.segment.state.isActive && $0.segment.state != .migrating }) {
                // What an unreachable host last had is settled by the guest's turning up elsewhere; not by its being sent to that very host.
                for candidate in candidates where candidate.segment.state.code == 8 { superseded[candidate.host] = true }
            }
            let ranked = candidates.filter { !(superseded[$0.host] && $0.segment.state.code == 8) }.sorted { left, right in
                let leftKey = (left.segment.state.rank, hosts[left.host].host == previous ? 1 : 0)
                let rightKey = (right.segment.state.rank, hosts[right.host].host == previous ? 1 : 0)
                return leftKey == rightKey ? left.host < right.host : leftKey > rightKey
            }
            guard let winner = ranked.first else { continue }
            previous = hosts[winner.host].host
            pieces.append(GuestTimeline.piece(winner.segment, on: previous, interval))
            note(interval, candidates.filter { $0.segment.state.isRunning }.map { hosts[$0.host].host })
        }
        if let open = overlap { doubleRuns.append(open) }
        doubleRuns.removeAll { $0.interval.seconds <= GuestTimeline.doubleRunSeconds }
    }

    /// Between the source's `stopped (migrated)` and the target's first sign, the guest was on its way, not stopped.
    private mutating func fillHandovers() {
        var start = 0
        while start < pieces.count {
            guard pieces[start].state == .migratedAway, start > 0, pieces[start - 1].state.isActive else {
                start += 1
                continue
            }
            var end = start
            while end < pieces.count, !pieces[end].state.isActive, pieces[end].state.code != 8 { end += 1 }
            if end < pieces.count, pieces[end].state.isActive, pieces[end].host != pieces[start - 1].host,
                pieces[end].interval.from - pieces[start].interval.from <= GuestTimeline.handoverSeconds
            {
                for index in start..<end {
                    pieces[index].state = .migrating
                    pieces[index].evidence = .inferred
                    pieces[index].host = pieces[end].host
                    pieces[index].run = pieces[end].run
                    pieces[index].shape = pieces[start - 1].shape
                    pieces[index].startsRun = false
                }
            }
            start = end
        }
    }
}
