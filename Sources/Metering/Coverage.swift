import Fleet

/// A half-open interval of whole UTC seconds.
public struct Interval: Hashable, Comparable, Sendable {
    /// The first second.
    public let from: Int64
    /// The first second after it.
    public let to: Int64

    /// An interval; empty where `to` is not after `from`.
    public init(from: Int64, to: Int64) {
        self.from = from
        self.to = to
    }

    /// The number of seconds.
    public var seconds: Int64 { max(0, to - from) }

    func clipped(to other: Interval) -> Interval { Interval(from: max(from, other.from), to: min(to, other.to)) }

    /// Orders by start, then by end.
    public static func < (left: Interval, right: Interval) -> Bool { (left.from, left.to) < (right.from, right.to) }
}

/// Sorts and joins intervals that touch or overlap.
func union(_ intervals: [Interval]) -> [Interval] {
    var joined: [Interval] = []
    for interval in intervals.sorted() where interval.seconds > 0 {
        if let last = joined.last, interval.from <= last.to {
            joined[joined.count - 1] = Interval(from: last.from, to: max(last.to, interval.to))
        } else {
            joined.append(interval)
        }
    }
    return joined
}

/// When one host was looked at.
struct Coverage {
    /// Seconds in which any change would have been seen: events were delivered, or the hook's journal was in place.
    private(set) var observed: [Interval] = []
    /// Seconds under any watch.
    private(set) var watched: [Interval] = []
    /// Complete listings at the opening of a watch: the instant in milliseconds and who was there.
    private(set) var listings: [(milliseconds: Int64, guests: Set<GuestID>)] = []

    /// The evidence of a second that starts at `second`, how long that evidence lasts, and nil for a gap.
    func piece(at second: Int64, until end: Int64) -> (evidence: Evidence?, to: Int64) {
        let (isWatched, watchEdge) = Coverage.look(watched, at: second)
        guard isWatched else { return (nil, min(end, watchEdge)) }
        let (isObserved, edge) = Coverage.look(observed, at: second)
        return (isObserved ? .observed : .inferred, min(end, edge, watchEdge))
    }

    private static func look(_ intervals: [Interval], at second: Int64) -> (inside: Bool, edge: Int64) {
        var low = 0
        var high = intervals.count
        while low < high {
            let middle = (low + high) / 2
            if intervals[middle].to <= second { low = middle + 1 } else { high = middle }
        }
        guard low < intervals.count else { return (false, .max) }
        let found = intervals[low]
        return found.from <= second ? (true, found.to) : (false, found.from)
    }

    /// The coverage of every host. `instants` are the facts' instants in UTC milliseconds.
    static func ofHosts(_ facts: [Fact], instants: [Int64], clocks: ClockMap) -> [HostName: Coverage] {
        struct Watch {
            var opened: Int64?
            var through: Int64
            var means: WatchMeans
        }
        struct Writer: Hashable {
            let host: HostName
            let origin: String
        }
        var alive: [String: Int64] = [:]
        for (fact, instant) in zip(facts, instants) {
            if case .alive(let before) = fact.body { alive[fact.id.origin] = max(alive[fact.id.origin] ?? .min, instant - before) }
        }
        var open: [Writer: Watch] = [:]
        var found: [HostName: [(interval: Interval, isObserved: Bool)]] = [:]
        var result: [HostName: Coverage] = [:]
        func close(_ writer: Writer, through: Int64) {
            guard let watch = open.removeValue(forKey: writer), let opened = watch.opened else { return }
            let interval = Interval(from: wholeSeconds(opened), to: wholeSeconds(max(opened, through)))
            found[writer.host, default: []].append((interval, watch.means == .events))
        }
        let order = facts.indices.filter { facts[$0].host != nil }.sorted {
            (instants[$0], facts[$0].id) < (instants[$1], facts[$1].id)
        }
        for index in order {
            let fact = facts[index]
            guard let host = fact.host else { continue }
            let writer = Writer(host: host, origin: fact.id.origin)
            switch fact.body {
            case .watchOpened(let means, let guests):
                if let watch = open[writer] { close(writer, through: watch.through) }
                open[writer] = Watch(opened: instants[index], through: instants[index], means: means)
                result[host, default: Coverage()].listings.append((instants[index], Set(guests)))
            case .watchClosed(let before):
                close(writer, through: instants[index] - before)
            case .journalRead(let from, let through):
                guard let start = clocks.milliseconds(machine: fact.seen.machine, steady: from),
                    let end = clocks.milliseconds(machine: fact.seen.machine, steady: through)
                else { continue }
                found[host, default: []].append((Interval(from: wholeSeconds(start), to: wholeSeconds(end)), true))
            default:
                open[writer]?.through = instants[index]
            }
        }
        for writer in open.keys.sorted(by: { ($0.host, $0.origin) < ($1.host, $1.origin) }) {
            guard let watch = open[writer] else { continue }
            // A watch that never closed lasts as long as its writer gave signs of life.
            close(writer, through: max(watch.through, alive[writer.origin] ?? .min))
        }
        for host in found.keys.sorted() {
            let pieces = found[host] ?? []
            result[host, default: Coverage()].watched = union(pieces.map(\.interval))
            result[host, default: Coverage()].observed = union(pieces.filter(\.isObserved).map(\.interval))
        }
        return result
    }
}

/// How well a second is known; the lower the number, the better.
public enum Evidence: UInt8, Hashable, Comparable, Sendable, CaseIterable {
    /// Any change would have been seen when it happened.
    case observed = 0
    /// Nobody looked, but counters or the hook's journal prove that one run lasted.
    case proven = 1
    /// Between two listings.
    case inferred = 2
    /// Nobody looked, and the operator's gap policy says what to assume.
    case assumed = 3
    /// Not known; never charged.
    case unknown = 4

    /// Orders from the best to the worst.
    public static func < (left: Evidence, right: Evidence) -> Bool { left.rawValue < right.rawValue }

    /// The word that reports show.
    public var word: String {
        switch self {
        case .observed: "observed"
        case .proven: "proven"
        case .inferred: "inferred"
        case .assumed: "assumed"
        case .unknown: "unknown"
        }
    }
}

/// What is charged of the seconds in which nobody looked.
public enum GapPolicy: Hashable, Sendable {
    /// Nothing, even where the run is proven.
    case free
    /// What is proven.
    case proven
    /// What is proven; and gaps of at most so many seconds where the same run, or the same rest, stands at both ends.
    case assume(maximumSeconds: Int64)
}
