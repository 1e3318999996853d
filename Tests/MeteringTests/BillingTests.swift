import Fleet
import Metering
import Testing

@Suite("Closing, correcting, explaining and writing bills")
struct BillingTests {
    /// FNV-1a over the key and the bytes: a keyed hash good enough for chains in tests.
    static let hash = ChainHash { bytes in
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in [7] + bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return (0..<8).map { UInt8(truncatingIfNeeded: hash >> ($0 * 8)) }
    }

    static func digest(_ bytes: [UInt8]) -> String { "\(hash(sequence: 0, previous: [], encodedFact: bytes))" }

    func log(_ facts: [Fact]) throws -> MemoryFactLog {
        var log = MemoryFactLog(hash: BillingTests.hash)
        _ = try log.append(facts)
        return log
    }

    func billing(_ log: MemoryFactLog, _ used: Tariff = tariff()) throws -> Billing {
        Billing(rows: try log.allRows(), tariff: used, digest: { BillingTests.digest($0) })
    }

    let november = window(0, 30 * 86_400)
    let december = window(30 * 86_400, 61 * 86_400)

    /// A guest that ran the first 1000 s of November and the first 500 s of December.
    func twoMonths() -> Scribe {
        var scribe = Scribe()
        scribe.open(0, "h1")
        scribe.guest(0, "h1", guest(1), .running, edge: .started, run: 1, shape: shape())
        scribe.guest(1000, "h1", guest(1), .shutOff, edge: .stopped, run: 1)
        scribe.guest(30 * 86_400, "h1", guest(1), .running, edge: .started, run: 2)
        scribe.guest(30 * 86_400 + 500, "h1", guest(1), .shutOff, edge: .stopped, run: 2)
        scribe.alive(31 * 86_400)
        return scribe
    }

    func closingFact(_ closing: PeriodClosing, _ ordinal: UInt64) -> Fact {
        Fact(
            id: FactID(origin: "operator:ann", ordinal: 1000 + ordinal), source: .operatorEntry, host: nil,
            seen: ClockReading(stated: closing.to), body: .closing(closing))
    }

    @Test("S14, I6: facts that arrive after a month was closed change only a later invoice, by reversal and replacement that add up")
    func corrections() throws {
        var log = try log(twoMonths().facts)
        let closed = try #require(try billing(log).closing(of: november).closing)
        let before = try #require(try billing(log).invoices(tenant: "acme", window: november).first)
        _ = try log.append([closingFact(closed, 1)])
        #expect(try billing(log).corrections(through: 100).isEmpty)
        let openBefore = try #require(try billing(log).invoices(tenant: "acme", window: december).first)
        // Three days late, the hook's journal: the guest had stopped at 800 and nobody else had seen it.
        var journal = Scribe(origin: "hook:h1:boot", machine: "h1-boot")
        journal.guest(800, "h1", guest(1), .shutOff, edge: .stopped, run: 1, source: .hook)
        _ = try log.append(journal.facts)
        let after = try #require(try billing(log).invoices(tenant: "acme", window: november).first)
        #expect(after.total == before.total)
        #expect(after.lines == before.lines)
        let open = try #require(try billing(log).invoices(tenant: "acme", window: december).first)
        #expect(open.corrections.map(\.correction.isReversal) == [true, false])
        #expect(open.corrections.map(\.correction.line.usage) == [1000, 800])
        #expect(open.corrections[0].correction.cause.contains("row 8 (hook"))
        let difference = ExactAmount(usage: 200, unit: .hours, price: 360_000_000_000)
        #expect(open.exact + difference == openBefore.exact)
        #expect(open.lines.reduce(0) { $0 + ($1.charged ?? 0) } + open.corrections.reduce(0) { $0 + $1.charged } == open.total)
        // Once December is closed with the correction in it, January corrects nothing again.
        var later = Scribe(origin: "collector:9", machine: "other")
        later.alive(62 * 86_400)
        _ = try log.append(later.facts)
        let second = try #require(try billing(log).closing(of: december).closing)
        _ = try log.append([closingFact(second, 2)])
        let january = window(61 * 86_400, 92 * 86_400)
        #expect(try billing(log).invoices(tenant: "acme", window: january).isEmpty)
        #expect(try billing(log).invoices(tenant: "acme", window: december).first?.total == open.total)
        #expect(try billing(log).problems(chain: log.verify()) == [])
    }

    @Test("a month does not close before it is over, twice, or with a finding that nobody acknowledged")
    func obstacles() throws {
        var scribe = twoMonths()
        var log = try log(scribe.facts)
        #expect(try billing(log).closing(of: december).obstacles.count == 1)
        let closed = try #require(try billing(log).closing(of: november).closing)
        _ = try log.append([closingFact(closed, 1)])
        #expect(try billing(log).closing(of: november).obstacles == [.closedAlready(closed)])

        scribe.facts.removeAll { if case .alive = $0.body { true } else { false } }
        scribe.open(0, "h2")
        scribe.guest(500, "h2", guest(1), .running, edge: .started, run: 4, shape: shape())
        scribe.guest(900, "h2", guest(1), .shutOff, edge: .stopped, run: 4)
        scribe.alive(31 * 86_400)
        var doubled = try self.log(scribe.facts)
        let obstacles = try billing(doubled).closing(of: november).obstacles
        guard case .finding(let finding)? = obstacles.first else {
            Issue.record("the double run does not hinder closing")
            return
        }
        scribe.state(1, .acknowledgement(finding: finding.id))
        doubled = try self.log(scribe.facts)
        #expect(try billing(doubled).closing(of: november).closing != nil)
    }

    @Test("changing the prices of a closed month is told by verify")
    func changedPrices() throws {
        var log = try log(twoMonths().facts)
        let closed = try #require(try billing(log).closing(of: november).closing)
        _ = try log.append([closingFact(closed, 1)])
        #expect(try billing(log).problems(chain: log.verify()).isEmpty)
        let problems = try billing(log, tariff([(0, nil, priceBook(large: 1))])).problems(chain: log.verify())
        #expect(problems.count == 1)
        #expect(problems.first?.contains("changed after it was closed") == true)
        // A later version leaves the closed month alone.
        let later = tariff([(0, nil, priceBook()), (december.from, nil, priceBook("v2", large: 1))])
        #expect(try billing(log, later).problems(chain: log.verify()).isEmpty)
    }

    @Test("I7: whatever prefix of the batches was committed, appending all of them again gives the same chain and bill")
    func everyPrefix() throws {
        let facts = History(seed: 3, guests: 2, changes: 10).scribe.facts
        let whole = try log(facts)
        for count in 0...facts.count {
            var crashed = try log(Array(facts.prefix(count)))
            let outcome = try crashed.append(facts)
            #expect(outcome == AppendOutcome(appended: facts.count - count, known: count))
            #expect(try crashed.head() == whole.head())
        }
    }

    @Test(
        "every line of a report is explained by stretches that add up to it, and by the facts that they follow from",
        arguments: [3, 4, 5] as [UInt64])
    func explain(seed: UInt64) throws {
        let history = History(seed: seed, outageCount: 2)
        let log = try log(history.scribe.facts)
        let bill = try billing(log)
        for dimensions in [[.guest, .interval], [.guest], []] as [[ReportDimension]] {
            let result = report(history.scribe.facts, window(0, history.length), by: dimensions)
            for line in result.lines.prefix(12) {
                let explanation = try #require(bill.explain(line: line.id), "\(line.id)")
                if dimensions.count != 1 { #expect(explanation.amount == line.amount) }
                #expect(!explanation.rows.isEmpty)
                #expect(explanation.description.contains("counted"))
            }
        }
        #expect(bill.explain(line: "compute:nobody:c2.large#0:1-2") == nil)
        #expect(bill.explain(line: "nonsense") == nil)
    }

    @Test("a preview under the same prices changes nobody's bill; a doubled price doubles it")
    func preview() throws {
        let log = try log(History(seed: 5).scribe.facts)
        let bill = try billing(log)
        let same = bill.preview(window(0, 4000), under: tariff())
        #expect(same.map(\.tenant) == ["acme", "bolt"])
        #expect(same.allSatisfy { $0.before == $0.after && $0.before > 0 })
        let doubled = bill.preview(window(0, 4000), under: tariff([(0, nil, priceBook(large: 720_000_000_000))]))
        #expect(doubled.allSatisfy { abs($0.after - 2 * $0.before) <= 1 })
    }

    @Test("a fact is the same after encoding and decoding, and every cut or changed length of its bytes is refused")
    func coding() throws {
        for fact in History(seed: 2, outageCount: 3).scribe.facts + twoMonths().facts {
            let bytes = fact.encoded
            #expect(try Fact(encoded: bytes) == fact)
            for length in stride(from: 0, to: bytes.count, by: 7) {
                #expect(throws: FactCodingError.self) { try Fact(encoded: Array(bytes.prefix(length))) }
            }
            #expect(throws: FactCodingError.self) { try Fact(encoded: bytes + [0]) }
        }
        for body in [
            .journalRead(fromSteady: .min, throughSteady: .max), .clockAnchor(machine: "ü"), .acknowledgement(finding: ""),
            .watchClosed(lastAnswerMillisecondsBefore: -1),
            .volume(
                VolumeFact(
                    key: "k", kind: .snapshot, size: Bytes(.max), presence: .unseen, hints: VolumeHints(pool: "p", bus: "b"), tenant: "t")),
            .traffic(TrafficFact(guest: guest(9), run: .min, interface: "m", received: .max, sent: 0)),
        ] as [FactBody] {
            var scribe = Scribe()
            scribe.write(1, host: "h", bootID: "b", body)
            #expect(try Fact(encoded: scribe.facts[0].encoded) == scribe.facts[0])
        }
    }

    @Test("FOCUS: the columns, the invoice's sum, half-open periods, and what the validator compares")
    func focus() throws {
        let history = History(seed: 8)
        var book = priceBook(minimum: 60)
        book.discounts = [.init(tenant: "acme", partsPerMillion: 125_000)]
        let bill = try billing(try log(history.scribe.facts), tariff([(0, nil, book)]))
        let text = bill.focus(window: window(0, history.length), issuer: FocusIssuer(name: "Example Cloud"))
        let rows = text.split(separator: "\r\n").map { FocusReader.fields(String($0)) }
        let columns = rows[0]
        #expect(FocusReader.mandatory.filter { !columns.contains($0) } == [])
        var sums: [String: Int] = [:]
        for fields in rows.dropFirst() {
            #expect(fields.count == columns.count)
            let row = Dictionary(uniqueKeysWithValues: zip(columns, fields))
            func value(_ name: String) -> String { row[name] ?? "" }
            for name in FocusReader.mandatory where name != "ChargeClass" { #expect(!value(name).isEmpty, "\(name)") }
            #expect(value("ChargePeriodStart") < value("ChargePeriodEnd"))
            #expect(value("ChargePeriodStart").hasSuffix("Z"))
            for name in ["List", "Contracted"] {
                let product = try #require(Double(value("\(name)UnitPrice"))) * (try #require(Double(value("PricingQuantity"))))
                #expect(Double(value("\(name)Cost")) == product)
            }
            #expect(value("BilledCost").wholeMatch(of: /-?[0-9]+\.[0-9]{2}/) != nil)
            let cents = try #require(Int(value("BilledCost").filter { $0 != "." }))
            sums[value("BillingAccountId"), default: 0] += cents
        }
        for tenant in ["acme", "bolt"] {
            let invoice = try #require(bill.invoices(tenant: tenant, window: window(0, history.length)).first)
            #expect(Int128(sums[tenant] ?? 0) == invoice.total)
        }
    }

    @Test("what a tenant may name cannot break out of HTML, CSV or JSON")
    func hostileNames() throws {
        let name = "<script>\",\n'=1+1&"
        var scribe = Scribe()
        scribe.open(0, "h1")
        scribe.guest(0, "h1", guest(1), .running, edge: .started, run: 1, shape: shape(name))
        scribe.alive(3600)
        let log = try log(scribe.facts)
        let invoice = try #require(try billing(log).invoices(tenant: "acme", window: window(0, 3600)).first)
        let html = invoice.html(issuer: FocusIssuer(name: "A & B"))
        #expect(!html.contains("<script>"))
        #expect(html.contains("A &amp; B"))
        let result = report(scribe.facts, window(0, 3600), by: [.guest])
        #expect(result.csv.contains("\"<script>\"\",\n'=1+1&\""))
        #expect(result.json.contains("\"name\":\"<script>\\\",\\n'=1+1&\""))
        #expect(result.table.contains("total acme: 0.36 CNY (observed 0.36)"))
    }
}

/// Reads CSV as RFC 4180 says.
enum FocusReader {
    /// The 21 mandatory columns of FOCUS 1.2.
    static let mandatory = [
        "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
        "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost",
        "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory",
        "ServiceName",
    ]

    static func fields(_ line: String) -> [String] {
        var fields = [""]
        var isQuoted = false
        for character in line {
            if character == "\"" {
                isQuoted.toggle()
                if isQuoted, fields[fields.count - 1].last != nil { fields[fields.count - 1].append("\"") }
            } else if character == ",", !isQuoted {
                fields.append("")
            } else {
                fields[fields.count - 1].append(character)
            }
        }
        return fields
    }
}
