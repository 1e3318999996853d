import Fleet
import Metering
import Testing

@Suite("Invariants of the meter on random fleets")
struct InvariantTests {
    @Test("I1: every second of every life is billed, free or unknown, with no remainder", arguments: 0..<20 as Range<UInt64>)
    func conservation(seed: UInt64) {
        let history = History(seed: seed, outageCount: 4)
        let result = report(history.scribe.facts, window(0, history.length))
        #expect(result.seconds.life > 0)
        #expect(result.seconds.remainder == 0)
        #expect(result.seconds.billedByEvidence.reduce(0, +) == result.seconds.billed)
    }

    @Test(
        "a watched fleet is billed exactly the seconds that its guests ran or were paused by their users",
        arguments: 0..<30 as Range<UInt64>)
    func agreesWithTruth(seed: UInt64) {
        let history = History(seed: seed)
        for tenant in ["acme", "bolt"] {
            var truth: Int128 = 0
            for id in history.guests {
                for second in 0..<history.length {
                    let (state, payer) = history.truths[id]?.at(Scribe.epoch + second) ?? (0, "")
                    if (state == 1 || state == 2) && payer == tenant { truth += 1 }
                }
            }
            #expect(report(history.scribe.facts, window(0, history.length), filter: UsageFilter(tenant: tenant)).seconds() == truth)
        }
    }

    @Test("I2: no second of a guest stands in two spans, whatever the hosts say", arguments: 0..<20 as Range<UInt64>)
    func noOverlap(seed: UInt64) {
        let book = SpanBook(facts: History(seed: seed, outageCount: 5).scribe.facts)
        for range in book.spanRanges {
            for (left, right) in zip(book.spans[range], book.spans[range].dropFirst()) { #expect(left.interval.to <= right.interval.from) }
        }
    }

    @Test("I3: reports over any cut of time and any partition add up exactly", arguments: 0..<20 as Range<UInt64>)
    func additivity(seed: UInt64) {
        var random = Seeded(seed &+ 1000)
        let history = History(seed: seed, outageCount: 2)
        let used = tariff([
            (from: 0, until: nil, value: priceBook("a", minimum: 60)),
            (from: Scribe.epoch + 1777, until: nil, value: priceBook("b", large: 411_111_111_113, minimum: 30)),
        ])
        let whole = report(history.scribe.facts, window(0, history.length), tariff: used)
        let cut = Int64.random(in: 1..<history.length, using: &random)
        let parts = [window(0, cut), window(cut, history.length)].map { report(history.scribe.facts, $0, tariff: used) }
        #expect(parts[0].exactTotal + parts[1].exactTotal == whole.exactTotal)
        #expect(parts[0].seconds.life + parts[1].seconds.life == whole.seconds.life)
        let tenants = ["acme", "bolt"].map {
            report(history.scribe.facts, window(0, history.length), tariff: used, filter: UsageFilter(tenant: $0))
        }
        #expect(tenants[0].exactTotal + tenants[1].exactTotal == whole.exactTotal)
        let hosts = history.hosts.map {
            report(history.scribe.facts, window(0, history.length), tariff: used, filter: UsageFilter(host: $0))
        }
        #expect(hosts.reduce(.zero) { $0 + $1.exactTotal } == whole.exactTotal)
        #expect(whole.exactTotal > .zero)
    }

    @Test("I4, I5: the same facts in another order, in repeated batches, give the same report", arguments: 0..<20 as Range<UInt64>)
    func orderIndependence(seed: UInt64) {
        var random = Seeded(seed)
        let history = History(seed: seed, outageCount: 3)
        let shuffled = (history.scribe.facts + history.scribe.facts.filter { _ in Bool.random(using: &random) }).shuffled(using: &random)
        let first = report(history.scribe.facts, window(0, history.length), by: [.guest, .host, .interval])
        let second = report(shuffled, window(0, history.length), by: [.guest, .host, .interval])
        #expect(first == second)
        #expect(first.lines.count > 20)
    }

    @Test("I6: what later facts tell never makes the bill of a watched past smaller", arguments: 0..<10 as Range<UInt64>)
    func prefixMonotone(seed: UInt64) {
        let history = History(seed: seed)
        let facts = history.scribe.facts
        var before = ExactAmount.zero
        for count in stride(from: 5, through: facts.count, by: 7) {
            let total = report(Array(facts.prefix(count)), window(0, history.length), tariff: tariff([(0, nil, priceBook(minimum: 60))]))
                .exactTotal
            #expect(total >= before)
            before = total
        }
    }

    @Test("I8: a price change inside a span gives two amounts that meet at its second", arguments: [1, 600, 1799, 1800, 3599])
    func priceSplit(at second: Int64) {
        var scribe = Scribe()
        scribe.open(0, "h1")
        scribe.guest(0, "h1", guest(1), .running, edge: .started, run: 1, shape: shape())
        scribe.alive(3600)
        let used = tariff([
            (from: 0, until: nil, value: priceBook("a", large: 360_000_000_000)),
            (from: Scribe.epoch + second, until: nil, value: priceBook("b", large: 720_000_000_007)),
        ])
        let result = report(scribe.facts, window(0, 3600), tariff: used)
        #expect(result.lines.map(\.usage) == [Int128(second), Int128(3600 - second)])
        let expected =
            ExactAmount(usage: Int128(second), unit: .hours, price: 360_000_000_000)
            + ExactAmount(usage: Int128(3600 - second), unit: .hours, price: 720_000_000_007)
        #expect(result.exactTotal == expected)
    }

    @Test(
        "I10: doubling a flat usage doubles its amount exactly, and a tier's bound splits at the unit-second",
        arguments: [-1, 0, 1] as [Int128])
    func tiers(offset: Int128) throws {
        var book = priceBook()
        let price = try #require(
            Price(tiers: [.init(upTo: 1000, trillionths: 3_600_000_000_000), .init(upTo: nil, trillionths: 360_000_000_000)]))
        book.instances["c2.large"] = price
        var scribe = Scribe()
        scribe.open(0, "h1")
        scribe.guest(0, "h1", guest(1), .running, edge: .started, run: 1, shape: shape())
        scribe.guest(Double(1000 + offset), "h1", guest(1), .shutOff, edge: .stopped, run: 1)
        scribe.alive(3000)
        let result = report(scribe.facts, window(0, 3000), tariff: tariff([(0, nil, book)]))
        #expect(result.lines.map(\.usage) == (offset > 0 ? [1000, 1] : [1000 + offset]))
        #expect(result.lines.first?.unitPrice == 3_600_000_000_000)
    }

    @Test("I3 with steps: stepped amounts add up over any cut and any partition by host or tag", arguments: 0..<10 as Range<UInt64>)
    func steppedAdditivity(seed: UInt64) throws {
        var random = Seeded(seed)
        let history = History(seed: seed)
        var book = priceBook()
        book.instances["c2.large"] = try #require(
            Price(tiers: [
                .init(upTo: 2501, trillionths: 900_000_000_001), .init(upTo: 2503, trillionths: 700_000_000_003),
                .init(upTo: nil, trillionths: 100_000_000_007),
            ]))
        let used = tariff([(0, nil, book)])
        let whole = report(history.scribe.facts, window(0, history.length), tariff: used)
        let cut = Int64.random(in: 1..<history.length, using: &random)
        let parts = [window(0, cut), window(cut, history.length)].map { report(history.scribe.facts, $0, tariff: used).exactTotal }
        #expect(parts[0] + parts[1] == whole.exactTotal)
        let hosts = history.hosts.map {
            report(history.scribe.facts, window(0, history.length), tariff: used, filter: UsageFilter(host: $0)).exactTotal
        }
        #expect(hosts.reduce(.zero, +) == whole.exactTotal)
        let flat = report(history.scribe.facts, window(0, history.length))
        #expect(whole.lines.filter { $0.meter == .compute }.reduce(0) { $0 + $1.usage } == flat.seconds())
        for tenant in ["acme", "bolt"] {
            let steps = whole.lines.filter { $0.tenant == tenant && $0.tier == 0 }.reduce(0) { $0 + $1.usage }
            let all = whole.lines.filter { $0.tenant == tenant && $0.meter == .compute }.reduce(0) { $0 + $1.usage }
            #expect(steps == min(2501, all))
        }
    }

    @Test("I11: no line is negative or larger than its window", arguments: 0..<10 as Range<UInt64>)
    func bounds(seed: UInt64) {
        let history = History(seed: seed, outageCount: 4)
        for line in report(history.scribe.facts, window(100, 3000), by: [.guest]).lines {
            #expect(line.usage >= 0)
            #expect(line.meter != .compute || line.usage <= 2900)
        }
    }

    @Test(
        "I12: stepping the collector's clock by an hour moves no billed second and is told", arguments: [3_600_000, -3_600_000] as [Int64])
    func clockStep(step: Int64) {
        func facts(_ offset: Int64) -> [Fact] {
            var scribe = Scribe()
            scribe.open(0, "h1")
            scribe.guest(10, "h1", guest(1), .running, edge: .started, run: 1, shape: shape())
            scribe.wallOffset = offset
            scribe.guest(500, "h1", guest(1), .paused, run: 1)
            scribe.guest(700, "h1", guest(1), .shutOff, edge: .stopped, run: 1)
            scribe.wallOffset = 0
            scribe.guest(900, "h1", guest(1), .running, edge: .started, run: 2)
            scribe.alive(1000)
            return scribe.facts
        }
        let steady = report(facts(0), window(0, 2000))
        let stepped = report(facts(step), window(0, 2000))
        #expect(stepped.lines == steady.lines)
        #expect(steady.seconds() == 790)
        #expect(stepped.findings.map(\.kind) == [.clockStep, .clockStep])
        #expect(steady.findings.isEmpty)
    }

    @Test(
        "I14: an outage charges at most what is proven, nothing under 'free', and every second has its class",
        arguments: 0..<20 as Range<UInt64>)
    func gaps(seed: UInt64) {
        let history = History(seed: seed, outageCount: 5)
        let proven = report(history.scribe.facts, window(0, history.length))
        let free = report(history.scribe.facts, window(0, history.length), policy: .free)
        #expect(free.seconds.billedByEvidence[1] == 0)
        #expect(free.seconds.billed + proven.seconds.billedByEvidence[1] == proven.seconds.billed)
        var truth: Int64 = 0
        for id in history.guests {
            for second in 0..<history.length where [1, 2].contains(history.truths[id]?.at(Scribe.epoch + second).state ?? 0) { truth += 1 }
        }
        #expect(proven.seconds.billed <= truth)
    }

    @Test("I17: the counters' increase between two scrapes is the report of that window", arguments: 0..<5 as Range<UInt64>)
    func counters(seed: UInt64) {
        let history = History(seed: seed)
        let book = SpanBook(facts: history.scribe.facts)
        func sum(_ second: Int64) -> Int128 {
            book.billableSeconds(before: Scribe.epoch + second, tariff: tariff()).reduce(0) { $0 + $1.seconds }
        }
        #expect(sum(3000) - sum(1000) == report(history.scribe.facts, window(1000, 3000)).seconds())
    }

    @Test("I17: lines add up to their rounded total, for any number of lines", arguments: 0..<20 as Range<UInt64>)
    func rounding(seed: UInt64) {
        let history = History(seed: seed)
        let result = report(history.scribe.facts, window(0, history.length), by: [.guest, .host, .interval])
        for total in result.totals {
            let lines = result.lines.filter { $0.tenant == total.tenant }
            #expect(lines.reduce(0) { $0 + ($1.charged ?? 0) } == total.rounded)
            #expect(lines.reduce(.zero) { $0 + ($1.amount ?? .zero) } == total.exact)
            #expect(total.exactByEvidence.reduce(.zero, +) == total.exact)
        }
    }

    @Test("I18: usage without a price is told, has no amount, and the report asks for attention")
    func unpriced() {
        var scribe = Scribe()
        scribe.open(0, "h1")
        scribe.guest(0, "h1", guest(1), .running, edge: .started, run: 1, shape: shape())
        scribe.alive(100)
        var book = priceBook()
        book.instances = [:]
        let result = report(scribe.facts, window(0, 100), tariff: tariff([(0, nil, book)]))
        #expect(result.lines.map(\.usage) == [100])
        #expect(result.lines.first?.amount == nil)
        #expect(result.findings.map(\.kind) == [.unpriced])
        #expect(result.needsAttention)
        let none = report(scribe.facts, window(0, 100), tariff: tariff([(Scribe.epoch + 50, nil, priceBook())]))
        #expect(none.lines.map { $0.unitPrice == nil } == [true, false])
    }

    @Test("I19: a UUID that is deleted and defined again begins a new generation")
    func generations() {
        var scribe = Scribe()
        scribe.open(0, "h1")
        scribe.guest(0, "h1", guest(1), .running, edge: .started, run: 1, shape: shape())
        scribe.guest(100, "h1", guest(1), nil, run: 1)
        scribe.guest(200, "h1", guest(1), .running, edge: .started, run: 2, shape: shape())
        scribe.alive(300)
        let book = SpanBook(facts: scribe.facts)
        #expect(book.spans.map(\.generation) == [0, 1])
        #expect(report(scribe.facts, window(0, 300)).seconds.life == 200)
    }

    @Test("I20: the fleet never bills more vCPU-seconds than its hosts have", arguments: 0..<10 as Range<UInt64>)
    func fleetBound(seed: UInt64) {
        let history = History(seed: seed)
        let billed = report(history.scribe.facts, window(0, history.length)).seconds() * 2
        #expect(billed <= Int128(history.guests.count * 2) * Int128(history.length))
    }
}
