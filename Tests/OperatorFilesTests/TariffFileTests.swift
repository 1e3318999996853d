import Fleet
import Foundation
import Metering
import OperatorFiles
import Testing

@Suite("Price books, instance types and billable tables")
struct TariffFileTests {
    let files = TariffFiles(calendar: .utc)

    func book(_ text: String, types: [String]? = ["c2.large"]) -> (book: DatedVersion<PriceBook>?, errors: [String]) {
        var problems = YamlProblems()
        let root = YamlNode.parse(text, file: "p.yaml", &problems)
        let book = root.flatMap { files.priceBook($0, types: types, &problems) }
        return (book, problems.sorted.map(\.description))
    }

    static let head = "version: v\neffective_from: 2026-01-01\ncurrency: CNY\n"

    @Test("the shipped files are read without a word")
    func shipped() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        func node(_ path: String, _ problems: inout YamlProblems) throws -> YamlNode? {
            let text = try String(contentsOf: root.appendingPathComponent("Policies/" + path), encoding: .utf8)
            return YamlNode.parse(text, file: path, &problems)
        }
        var problems = YamlProblems()
        let types = try node("billing/instance-types.yaml", &problems).flatMap { files.instanceTypes($0, &problems) }
        let book = try node("billing/prices/example.yaml", &problems).flatMap {
            files.priceBook($0, types: types?.value.types.map(\.name), &problems)
        }
        let table = try node("billing/billable.yaml", &problems).flatMap { files.billableTable($0, &problems) }
        #expect(problems.sorted.map(\.description) == [])
        #expect(types?.value.types.count == 3)
        #expect(table?.value.bills(.compute, in: SpanState(.paused, reason: 5)) == false)
        #expect(book?.from == 1_767_225_600)
        #expect(book?.value.minimumSeconds == 60)
        #expect(book?.value.instances["c2.small"]?.tiers[0].trillionths == 110_000_000_000)
        #expect(book?.value.others[.trafficOut]?.tiers.map(\.upTo) == [100 << 30, 10240 << 30, nil])
        #expect(book?.value.discounts == [PriceBook.Discount(tenant: "example-tenant", partsPerMillion: 125_000)])
    }

    @Test(
        "a price that a float would lose is read exactly: 0.1 is one tenth",
        arguments: [
            ("0.1", 100_000_000_000), ("0.1 CNY", 100_000_000_000), ("0.1 CNY/hour", 100_000_000_000), ("0.000000000001", 1),
            ("1000000", 1_000_000_000_000_000_000),
        ] as [(String, Int128)])
    func exact(text: String, trillionths: Int128) {
        let (book, errors) = book(TariffFileTests.head + "instances:\n  c2.large: \(text)\n")
        #expect(errors == [])
        #expect(book?.value.instances["c2.large"]?.tiers[0].trillionths == trillionths)
    }

    @Test(
        "what is wrong with a price book is told at its place, with what to write",
        arguments: [
            (head + "instances:\n  c2.lage: 1\n", "p.yaml:5:3: error: unknown instance type 'c2.lage'; did you mean 'c2.large'?"),
            (
                head + "instances:\n  c2.large: -1\n",
                "p.yaml:5:13: error: the price of 'c2.large' is negative; give the tenant a discount instead"
            ),
            (
                head + "instances:\n  c2.large: 1/month\n",
                "p.yaml:5:13: error: the price of 'c2.large' has the unit 'month', which is not how it is counted; write '1/hour'"
            ),
            (
                head + "instances:\n  c2.large: 1 EUR\n",
                "p.yaml:5:13: error: the price of 'c2.large' is in EUR, but the file is in CNY; keep one currency in a file"
            ),
            (
                "version: v\neffective_from: 2026-01-01\n",
                "p.yaml:1:1: error: a price book needs 'currency'; write its ISO 4217 code: 'currency: CNY'"
            ),
            (
                "version: v\neffective_from: 2026-01-01\ncurrency: cny\n",
                "p.yaml:3:11: error: 'currency' is 'cny', which is no ISO 4217 code; write 'CNY'"
            ),
            (head + "snapshot: 1\n", "p.yaml:4:1: error: unknown key 'snapshot' in a price book; did you mean 'snapshots'?"),
            (
                head + "disks:\n  ssd: 0.0000000000001\n",
                "p.yaml:5:8: error: the price of 'ssd' is 0.0000000000001, finer than 10⁻12 or too large to be kept exactly"
            ),
            (head + "disks:\n  ssd: 1000000.01\n", "p.yaml:5:8: error: the price of 'ssd' is above a million for one unit"),
            (
                head + "traffic_out:\n  - {up_to: 5, price: 1}\n  - {up_to: 9, price: 1}\n",
                "p.yaml:6:5: error: the last step of the price of 'traffic_out' must not end; remove its 'up_to'"
            ),
            (
                head + "traffic_out:\n  - {up_to: 5, price: 1}\n  - {up_to: 5, price: 1}\n  - {price: 1}\n",
                "p.yaml:5:3: error: the steps of the price of 'traffic_out' must rise, each 'up_to' above the one before"
            ),
            (
                head + "discounts:\n  - {tenant: a, percent: 10}\n",
                "p.yaml:5:26: error: 'percent' is 10, outside 0…100 %; did you mean '10%'?"
            ),
        ])
    func wrong(text: String, expected: String) {
        #expect(book(text).errors == [expected])
    }

    @Test("all errors of a file come at once, sorted by place")
    func several() {
        let errors = book("version: v\neffective_from: yesterday\nprice: 1\ninstances:\n  c2.large: -1\n").errors
        #expect(errors.map { $0.split(separator: " ")[0] } == ["p.yaml:1:1:", "p.yaml:2:17:", "p.yaml:3:1:", "p.yaml:5:13:"])
    }

    @Test("versions that overlap are refused at the later one; those that meet are not", arguments: [("2026-02-01", 0), ("2026-02-02", 1)])
    func overlap(until: String, count: Int) {
        var problems = YamlProblems()
        let texts = [
            ("a.yaml", "version: a\neffective_from: 2026-01-01\neffective_until: \(until)\ncurrency: CNY\n"),
            ("b.yaml", "version: b\neffective_from: 2026-02-01\ncurrency: CNY\n"),
        ]
        let versions = texts.compactMap { file, text in
            YamlNode.parse(text, file: file, &problems).flatMap { files.priceBook($0, types: nil, &problems) }
        }
        let schedule = files.schedule(versions, "the price book", &problems)
        #expect((schedule == nil) == (count == 1))
        #expect(problems.sorted.count == count)
        #expect(problems.sorted.allSatisfy { $0.place.file == "b.yaml" })
    }

    @Test("dates begin at midnight of the bill's zone")
    func zone() throws {
        let shanghai = ZoneCalendar(name: "Asia/Shanghai", dataVersion: "test", firstOffset: 28_800, transitions: [])
        var problems = YamlProblems()
        let root = try #require(YamlNode.parse(TariffFileTests.head, file: "p.yaml", &problems))
        #expect(TariffFiles(calendar: shanghai).priceBook(root, types: nil, &problems)?.from == 1_767_196_800)
    }

    @Test("a row of the billable table names a state and reason that exist")
    func table() {
        var problems = YamlProblems()
        let text =
            "version: t\neffective_from: 2026-01-01\nstates:\n  - {state: pausd, compute: free}\n  - {state: paused, reason: ioeror, compute: free}\n"
        let root = YamlNode.parse(text, file: "t.yaml", &problems)
        _ = root.flatMap { files.billableTable($0, &problems) }
        #expect(problems.sorted.map(\.suggestion) == ["did you mean 'paused'?", "did you mean 'ioerror'?"])
        #expect(problems.sorted.map(\.place.line) == [4, 5])
    }
}
