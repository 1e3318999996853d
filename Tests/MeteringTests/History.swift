import Fleet
import Metering

/// SplitMix64: a seed replays.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

/// Writes facts as a collector would.
struct Scribe {
    /// 2026-11-01T00:00:00Z.
    static let epoch: Int64 = 1_793_491_200
    var facts: [Fact] = []
    var origin = "collector:1"
    var machine = "collector-boot"
    var ordinal: UInt64 = 0
    /// Added to the wall clock only: a stepped clock.
    var wallOffset: Int64 = 0

    /// Writes a fact at so many seconds after the epoch.
    mutating func write(
        _ second: Double, host: HostName? = nil, source: FactSource = .event, bootID: String? = nil, _ body: FactBody
    ) {
        ordinal += 1
        let milliseconds = Int64((second * 1000).rounded())
        let seen = ClockReading(
            wall: Timestamp(milliseconds: Scribe.epoch * 1000 + milliseconds + wallOffset), steadyMilliseconds: 50_000_000 + milliseconds,
            machine: machine)
        facts.append(
            Fact(id: FactID(origin: origin, ordinal: ordinal), source: source, host: host, bootID: bootID, seen: seen, body: body))
    }

    /// An operator's entry for an instant.
    mutating func state(_ second: Double, _ body: FactBody) {
        ordinal += 1
        facts.append(
            Fact(
                id: FactID(origin: "operator:ann", ordinal: ordinal), source: .operatorEntry, host: nil,
                seen: ClockReading(stated: Timestamp(milliseconds: Scribe.epoch * 1000 + Int64(second * 1000))), body: body))
    }

    mutating func guest(
        _ second: Double, _ host: HostName, _ id: GuestID, _ state: DomainState?, reason: Int32 = 1, edge: GuestFact.Edge = .none,
        run: Int32? = nil, source: FactSource = .event, before: Double? = nil, shape: GuestShape? = nil, continuity: Continuity? = nil
    ) {
        write(
            second, host: host, source: source,
            .guest(
                GuestFact(
                    guest: id, presence: state.map { .state($0, reason: reason) } ?? .absent, edge: edge, run: run,
                    previousListingMillisecondsBefore: before.map { Int64($0 * 1000) }, shape: shape, continuity: continuity)))
    }

    mutating func open(_ second: Double, _ host: HostName, _ guests: [GuestID] = [], means: WatchMeans = .events) {
        write(second, host: host, source: .poll, .watchOpened(means, guests: guests))
    }

    mutating func close(_ second: Double, _ host: HostName, lastAnswer: Double) {
        write(
            second, host: host, source: .poll, .watchClosed(lastAnswerMillisecondsBefore: Int64(((second - lastAnswer) * 1000).rounded())))
    }

    mutating func alive(_ second: Double) { write(second, source: .poll, .alive(oldestAnswerMillisecondsBefore: 0)) }
}

func guest(_ number: Int) -> GuestID { GuestID(high: 0xA0, low: UInt64(number)) }

func shape(
    _ name: String = "web-1", vcpus: Int = 2, gib: UInt64 = 4, type: String? = "c2.large", tenant: String? = "acme", group: String? = nil,
    zone: String? = nil, tags: [GuestMetadata.Tag] = []
) -> GuestShape {
    GuestShape(
        name: name, vcpus: vcpus, memory: .gibibytes(gib), instanceType: type, tenant: tenant, group: group, zone: zone, tags: tags)
}

func yuan() -> Currency { Currency(code: "CNY") ?? fallbackCurrency }
let fallbackCurrency = Currency(code: "XXX").unsafelyUnwrapped

/// 0.36 an hour for c2.large: one ten-thousandth a second, so that amounts are easy to check.
func priceBook(_ version: String = "v1", large: Int128 = 360_000_000_000, minimum: Int64 = 0) -> PriceBook {
    var book = PriceBook(version: version, currency: yuan())
    book.instances = ["c2.large": Price(trillionths: large), "c4.large": Price(trillionths: 2 * large)]
    book.customVCPU = Price(trillionths: 150_000_000_001)
    book.customMemory = Price(trillionths: 40_000_000_003)
    book.reservedMemory = Price(trillionths: 9_000_000_007)
    book.disks = ["ssd": Price(trillionths: 1_000_000_007), "standard": Price(trillionths: 500_000_003)]
    book.others = [
        .snapshot: Price(trillionths: 200_000_000), .image: Price(trillionths: 100_000_000), .savedMemory: Price(trillionths: 100_000_000),
        .trafficOut: Price(trillionths: 800_000_000_000),
    ]
    book.minimumSeconds = minimum
    return book
}

let catalogue = InstanceCatalogue(types: [
    .init(name: "c2.large", vcpus: 2, memory: .gibibytes(4)), .init(name: "c4.large", vcpus: 4, memory: .gibibytes(8)),
])

func tariff(_ books: [(from: Int64, until: Int64?, value: PriceBook)]? = nil, table: BillableTable? = nil, calendar: ZoneCalendar = .utc)
    -> Tariff
{
    Tariff(
        books: books.flatMap { Schedule($0) } ?? Schedule(always: priceBook()), catalogues: Schedule(always: catalogue),
        tables: Schedule(always: table ?? BillableTable(version: "t1")), calendar: calendar)
}

func window(_ from: Int64, _ to: Int64) -> Interval { Interval(from: Scribe.epoch + from, to: Scribe.epoch + to) }

func report(
    _ facts: [Fact], _ interval: Interval, tariff used: Tariff = tariff(), policy: GapPolicy = .proven, filter: UsageFilter = UsageFilter(),
    by: [ReportDimension] = []
) -> Report {
    Report(spans: SpanBook(facts: facts, policy: policy), tariff: used, request: ReportRequest(window: interval, filter: filter, by: by))
}

extension Report {
    /// Seconds of compute by article.
    func seconds(_ sku: String = "c2.large", meter: Meter = .compute) -> Int128 {
        lines.filter { $0.meter == meter && $0.sku == sku }.reduce(0) { $0 + $1.usage }
    }

    var exactTotal: ExactAmount { totals.reduce(.zero) { $0 + $1.exact } }
}

/// A random fleet and what truly happened in it, second by second.
struct History {
    /// What a guest truly did from a second on: 0 nothing known yet or gone, 1 running, 2 paused by its user, 3 shut off.
    struct Truth {
        var changes: [(second: Int64, state: Int, tenant: String)] = []

        func at(_ second: Int64) -> (state: Int, tenant: String) {
            changes.last { $0.second <= second }.map { ($0.state, $0.tenant) } ?? (0, "")
        }
    }

    var scribe = Scribe()
    var truths: [GuestID: Truth] = [:]
    let length: Int64
    let guests: [GuestID]
    let hosts: [HostName] = ["h1", "h2", "h3"]
    /// When each host was not watched.
    var outages: [HostName: [(from: Double, to: Double)]] = [:]

    private struct Live {
        var host = 0
        var state = 0
        var run: Int32 = -1
        var started = 0.0
        var changed = 0.0
        var shape: GuestShape
        var knownShape: GuestShape?
    }

    init(seed: UInt64, guests count: Int = 6, length: Int64 = 4000, changes: Int = 40, outageCount: Int = 0) {
        var random = Seeded(seed)
        self.length = length
        guests = (1...count).map { guest($0) }
        for host in hosts { scribe.open(0, host) }
        for _ in 0..<outageCount {
            let host = hosts[Int.random(in: 0..<hosts.count, using: &random)]
            let from = Double(Int.random(in: 200..<Int(length) - 900, using: &random))
            let outage = (from: from, to: from + Double(Int.random(in: 30..<600, using: &random)))
            if outages[host, default: []].allSatisfy({ outage.to + 40 < $0.from || $0.to + 40 < outage.from }) {
                outages[host, default: []].append(outage)
            }
        }
        var live: [Live] = (1...count).map { Live(shape: shape("web-\($0)", tenant: ["acme", "bolt"][$0 % 2])) }
        var nextRun: [Int32] = [0, 0, 0]
        var instants = (0..<changes * count).map { _ in
            (Double(Int.random(in: 1000..<Int(length - 1) * 1000, using: &random)) / 1000, Int.random(in: 0..<count, using: &random))
        }
        for host in hosts { for outage in outages[host] ?? [] { instants.append((outage.from, -1)); instants.append((outage.to, -2)) } }
        instants.sort { $0 < $1 }
        for (second, index) in instants {
            if index == -1 {
                for host in hosts where (outages[host] ?? []).contains(where: { $0.from == second }) {
                    scribe.close(second + 10, host, lastAnswer: second)
                }
            } else if index == -2 {
                reopen(second, live)
            } else {
                act(second, index, &live, &nextRun, &random)
            }
        }
        scribe.facts.sort { $0.seen.wall < $1.seen.wall }
        scribe.alive(Double(length))
    }

    private func isWatched(_ host: HostName, _ second: Double) -> Bool {
        !(outages[host] ?? []).contains { $0.from <= second && second < $0.to }
    }

    private mutating func reopen(_ second: Double, _ live: [Live]) {
        for (place, host) in hosts.enumerated() {
            guard let outage = (outages[host] ?? []).first(where: { $0.to == second }) else { continue }
            let there = live.indices.filter { live[$0].host == place && live[$0].state > 0 }
            scribe.open(second, host, there.map { guests[$0] })
            for index in there {
                let one = live[index]
                let ran = one.state < 3
                var continuity: Continuity?
                if ran, one.started < outage.from {
                    let gap = Int64((outage.to - outage.from) * 1000)
                    continuity = Continuity(
                        gapMilliseconds: gap, vcpus: one.shape.vcpus, nodeCPUs: 4,
                        before: .init(run: one.run, cpuNanoseconds: 1_000_000, others: [5], nodeNanoseconds: 10_000_000_000),
                        after: .init(
                            run: one.run, cpuNanoseconds: 2_000_000, others: [5],
                            nodeNanoseconds: 10_000_000_000 + UInt64(gap) * 4_000_000))
                }
                scribe.guest(
                    second, host, guests[index], [nil, .running, .paused, .shutOff][one.state], run: ran ? one.run : nil, source: .poll,
                    shape: one.shape, continuity: continuity)
            }
        }
    }

    private mutating func act(_ second: Double, _ index: Int, _ live: inout [Live], _ nextRun: inout [Int32], _ random: inout Seeded) {
        let id = guests[index]
        var one = live[index]
        let host = hosts[one.host]
        let sees = isWatched(host, second)
        func start(_ place: Int) -> Int32 {
            nextRun[place] += 1
            return nextRun[place]
        }
        switch (one.state, Int.random(in: 0..<10, using: &random)) {
        case (0, _):
            one.host = Int.random(in: 0..<3, using: &random)
            one.state = 3
            if isWatched(hosts[one.host], second) { scribe.guest(second, hosts[one.host], id, .shutOff, run: nil, shape: one.shape) }
        case (3, 0):
            one.state = 0
            if sees { scribe.guest(second, host, id, nil) }
        case (3, 1...):
            one.state = 1
            one.run = start(one.host)
            one.started = second
            if sees { scribe.guest(second, host, id, .running, edge: .started, run: one.run, shape: one.shape) }
        case (1, 0...1):
            one.state = 2
            if sees { scribe.guest(second, host, id, .paused, run: one.run) }
        case (2, 0...4):
            one.state = 1
            if sees { scribe.guest(second, host, id, .running, reason: 5, run: one.run) }
        case (1, 2...3), (2, 5...6):
            one.state = 3
            if sees { scribe.guest(second, host, id, .shutOff, edge: .stopped, run: one.run) }
        case (1, 4...6):
            // A live migration, with the target's and the source's events in any order within a second.
            let target = (one.host + 1) % 3
            guard second - one.changed > 1, sees, isWatched(host, second - 0.6), isWatched(hosts[target], second - 0.6),
                isWatched(hosts[target], second), isWatched(hosts[target], second + 1), isWatched(host, second + 1)
            else { return }
            let run = start(target)
            scribe.guest(second - 0.5, hosts[target], id, .paused, reason: 2, edge: .started, run: run, shape: one.shape)
            let swap = Bool.random(using: &random)
            scribe.guest(second + (swap ? 0.02 : 0), host, id, .shutOff, reason: 4, edge: .stopped, run: one.run)
            scribe.guest(second + (swap ? 0 : 0.02), hosts[target], id, .running, reason: 2, run: run)
            scribe.guest(second + 0.03, host, id, nil)
            one.host = target
            one.run = run
            one.started = second
        default:
            one.shape = shape(one.shape.name, tenant: ["acme", "bolt"][Int.random(in: 0..<2, using: &random)])
            if sees {
                scribe.guest(
                    second, host, id, [nil, .running, .paused, .shutOff][one.state], run: one.state < 3 ? one.run : nil, source: .poll,
                    shape: one.shape)
            }
        }
        one.changed = second
        live[index] = one
        truths[id, default: Truth()].changes.append(
            (Scribe.epoch + Int64(second.rounded(.down)), one.state, one.shape.tenant ?? ""))
    }
}
