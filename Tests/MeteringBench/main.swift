// Times the meter on a fleet of 50,000 guests over 31 days with 20 changes each: `swift run -c release metering-bench [GUESTS]`.
// With `--focus` after the number it prints that fleet's month as a FOCUS 1.2 file instead, for the FOCUS project's own validator.
import Fleet
import Metering

let guests = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 50_000
let epoch: Int64 = 1_793_491_200
let month = Interval(from: epoch, to: epoch + 31 * 86_400)
let clock = ContinuousClock()

func fact(_ ordinal: Int, _ second: Int64, _ host: HostName?, _ body: FactBody) -> Fact {
    Fact(
        id: FactID(origin: "collector:1", ordinal: UInt64(ordinal)), source: .event, host: host,
        seen: ClockReading(wall: Timestamp(seconds: epoch + second), steadyMilliseconds: second * 1000, machine: "m"), body: body)
}

func time<Result>(_ name: String, _ work: () -> Result) -> Result {
    let start = clock.now
    let result = work()
    let spent = clock.now - start
    print("\(name): \(spent.milliseconds) ms")
    return result
}

let hosts = (0..<200).map { HostName("h\($0)") }
var facts: [Fact] = []
facts.reserveCapacity(guests * 21 + 1000)
for host in hosts { facts.append(fact(facts.count, 0, host, .watchOpened(.events, guests: []))) }
for number in 0..<guests {
    let guest = GuestID(high: 7, low: UInt64(number))
    let host = hosts[number % hosts.count]
    let shape = GuestShape(
        name: "guest-\(number)", vcpus: 2, memory: .gibibytes(4), instanceType: "c2.large", tenant: "tenant-\(number % 500)",
        group: "group-\(number % 50)", zone: "z\(number % 3)")
    for change in 0..<20 {
        let second = Int64(change) * 133_000 + Int64(number % 1000)
        let isStart = change % 2 == 0
        let body = GuestFact(
            guest: guest, presence: .state(isStart ? .running : .shutOff, reason: 1), edge: isStart ? .started : .stopped,
            run: Int32(number / hosts.count * 20 + change / 2), shape: change == 0 ? shape : nil)
        facts.append(fact(facts.count, second, host, .guest(body)))
    }
    let disk = VolumeFact(
        key: "pool/disk-\(number)", size: .gibibytes(40), presence: .attached(guest), hints: VolumeHints(metadataType: "ssd"))
    facts.append(fact(facts.count, Int64(number % 1000), host, .volume(disk)))
}
facts.append(fact(facts.count, 31 * 86_400, nil, .alive(oldestAnswerMillisecondsBefore: 0)))

guard let currency = Currency(code: "CNY") else { fatalError("CNY is three capital letters") }
var book = PriceBook(version: "v1", currency: currency)
book.instances = ["c2.large": Price(trillionths: 440_000_000_000)]
book.disks = ["ssd": Price(trillionths: 1_400_000_000)]
book.minimumSeconds = 60
var second = book
second.version = "v2"
second.instances = ["c2.large": Price(trillionths: 450_000_000_000)]
guard let books = Schedule([(from: 0, until: nil, value: book), (from: epoch + 1_000_000, until: nil, value: second)]) else {
    fatalError("the two books do not overlap")
}
let types = InstanceCatalogue(types: [.init(name: "c2.large", vcpus: 2, memory: .gibibytes(4))])
let tariff = Tariff(books: books, catalogues: Schedule(always: types))

if CommandLine.arguments.contains("--focus") {
    let rows = facts.enumerated().map { FactRow(sequence: Int64($0.offset + 1), fact: $0.element, hash: []) }
    let billing = Billing(rows: rows, tariff: tariff, digest: { "\($0.count)" })
    print(billing.focus(window: month, issuer: FocusIssuer(name: "Example Cloud", region: "region-1")), terminator: "")
} else {
    compare()
}

@MainActor func compare() {
    print("\(guests) guests, \(facts.count) facts")
    let spans = time("spans from facts") { SpanBook(facts: facts) }
    let fleet = time("fleet report") { Report(spans: spans, tariff: tariff, request: ReportRequest(window: month)) }
    let filter = UsageFilter(tenant: "tenant-7")
    let tenant = time("one tenant's report") { Report(spans: spans, tariff: tariff, request: ReportRequest(window: month, filter: filter)) }
    let daily = time("fleet report by day and group") {
        Report(spans: spans, tariff: tariff, request: ReportRequest(window: month, by: [.day, .group]))
    }
    let rebuilt = time("one tenant's report, everything rebuilt from facts") {
        Report(spans: SpanBook(facts: facts), tariff: tariff, request: ReportRequest(window: month, filter: filter))
    }
    print(
        "spans \(spans.spans.count), fleet lines \(fleet.lines.count), daily lines \(daily.lines.count), billed seconds \(fleet.seconds.billed)"
    )
    print("remainder \(fleet.seconds.remainder), fast path equals slow path: \(rebuilt == tenant)")
}
