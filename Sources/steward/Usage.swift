import ArgumentParser
import Fleet
import LedgerStorage
import Metering
import OperatorFiles

struct Usage: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says who used what, for how long, what it costs, and why.",
        discussion: """
            Reads the ledger that `steward serve --data DIR` writes, and the prices in the billing folder. Nothing here changes \
            a fact; `close`, `acknowledge` and `assign` add one.

                steward usage --month 2026-11 --by guest
                steward usage report --from 2026-11-01 --to 2026-11-08 --tenant acme --format csv
                steward usage invoice --tenant acme --month 2026-11 >acme.html
                steward usage explain web-1
                steward usage verify

            Exit codes: 0 done, 1 something needs attention (unpriced usage, a double run, a broken chain), 2 the command line \
            or a file was wrong.
            """,
        subcommands: [
            UsageReport.self, UsageInvoice.self, UsageExplain.self, UsageVerify.self, UsagePreview.self, UsageClose.self,
            UsageAcknowledge.self, UsageAssign.self,
        ],
        defaultSubcommand: UsageReport.self)
}

/// How a report is written.
enum UsageFormat: String, ExpressibleByArgument, CaseIterable {
    case table
    case csv
    case json
    case focus
    case html
}

struct UsageReport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report", abstract: "Usage and money of a period, line by line.",
        discussion: """
            Lines are told apart by tenant, article and price, and by what --by names: group, zone, guest, host, volume, day, \
            evidence, interval, tag:NAME. Without a period it is the month in which the ledger ends.
            """)

    @OptionGroup var options: UsageOptions
    @OptionGroup var period: PeriodOptions
    @OptionGroup var filters: FilterOptions

    @Option(help: ArgumentHelp("By what lines are told apart, with commas between.", valueName: "words"))
    var by: [String] = []

    @Option(help: "table, csv, json, focus (FOCUS 1.2) or html.")
    var format = UsageFormat.table

    @Flag(help: "The same as --format json.")
    var json = false

    func run() throws {
        let (billing, files) = try options.bills()
        let spans = SpanBook(facts: billing.rows.map(\.fact), policy: billing.policy)
        let window = try period.window(files.tariff.calendar, horizon: billing.confirmed)
        let request = ReportRequest(window: window, filter: try filters.filter(spans), by: try usageDimensions(by))
        let report = Report(spans: spans, tariff: files.tariff, request: request)
        switch json ? .json : format {
        case .table: writeOut(report.table)
        case .csv: writeOut(report.csv)
        case .json: writeOut(report.json)
        case .html: writeOut(report.html)
        case .focus:
            guard request.filter == UsageFilter() else {
                throw Failure("a FOCUS file covers every tenant: leave the filters out", code: Failure.usage)
            }
            writeOut(billing.focus(window: window, issuer: files.settings.issuer))
        }
        try attend(report)
    }

    /// Fails where somebody must look at the bill before it is sent.
    private func attend(_ report: Report) throws {
        guard report.needsAttention else { return }
        let serious = report.findings.filter(\.isSerious)
        for finding in serious where format != .table || json { printError("\(finding.id): \(finding.message)") }
        throw Failure("\(serious.count) finding\(serious.count == 1 ? " needs" : "s need") attention")
    }
}

struct UsageInvoice: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invoice", abstract: "A tenant's invoice of a period as HTML that prints well.",
        discussion: "Corrections of closed periods that became known since stand on it, each with its cause.")

    @OptionGroup var options: UsageOptions
    @OptionGroup var period: PeriodOptions

    @Option(help: "The tenant.")
    var tenant: String

    func run() throws {
        let (billing, files) = try options.bills()
        let spans = SpanBook(facts: billing.rows.map(\.fact), policy: billing.policy)
        let window = try period.window(files.tariff.calendar, horizon: billing.confirmed)
        let invoices = billing.invoices(tenant: tenant, window: window)
        guard !invoices.isEmpty else {
            let known = Set(spans.shapes.compactMap(\.tenant)).sorted()
            let hint = nearest(to: tenant, among: known).map { "; did you mean '\($0)'?" } ?? ""
            throw Failure("tenant '\(tenant)' has no priced usage in that period\(hint)")
        }
        for invoice in invoices { writeOut(invoice.html(issuer: files.settings.issuer)) }
        if invoices.contains(where: { $0.findings.contains(where: \.isSerious) }) {
            throw Failure("the invoice has findings that need attention; they stand at its end")
        }
    }
}

struct UsageExplain: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "The way from a line, or a guest, back to what was seen.",
        discussion: """
            A line is named as the last column of --format csv names it. For a guest (name or UUID) every second of the period is \
            shown: what the guest did, how that is known, and whether it is billed.
            """)

    @OptionGroup var options: UsageOptions
    @OptionGroup var period: PeriodOptions

    @Argument(help: ArgumentHelp("A line's name, or a guest.", valueName: "line or guest"))
    var what: String

    @Flag(help: "The guest's seconds as JSON.")
    var json = false

    func run() throws {
        let (billing, files) = try options.bills()
        if let explanation = billing.explain(line: what) {
            guard !json else { throw Failure("--json explains guests, not lines", code: Failure.usage) }
            writeOut("\(explanation)")
            return
        }
        let spans = SpanBook(facts: billing.rows.map(\.fact), policy: billing.policy)
        let guest = try spans.guest(named: what)
        let window = try period.window(files.tariff.calendar, horizon: billing.confirmed)
        let life = GuestLife(guest: guest, window: window, spans: spans, tariff: files.tariff)
        writeOut(json ? life.json.serialized + "\n" : life.text)
        guard !json else { return }
        for row in billing.rows where row.fact.isAbout(guest) {
            let second = row.fact.seen.wall.wholeSeconds
            guard second >= window.from, second <= window.to else { continue }
            print(
                "  #\(row.sequence) \(row.fact.seen.wall) \(row.fact.source.word) \(row.fact.host?.text ?? "-"): \(row.fact.body.summary)")
        }
    }
}

struct UsageVerify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Checks the chain, the seconds, lines against totals, and every closed period.",
        discussion: "Changes nothing. Exits 1 with the first bad row where anything is wrong.")

    @OptionGroup var options: UsageOptions

    func run() throws {
        let files = try BillingFiles(folder: options.billing)
        let ledger = try options.ledger()
        let problems: [String]
        let count: Int
        do throws(FactLogError) {
            let chain = try ledger.verify()
            if case .broken(let sequence, let reason) = chain, !options.evenIfDamaged {
                throw FactLogError.medium("row \(sequence) is the first bad one: \(reason)")
            }
            let rows = try ledger.allRows()
            count = rows.count
            problems = Billing(rows: rows, files: files).problems(chain: chain)
        } catch {
            throw Failure("\(options.data)/ledger.db: \(error.words)")
        }
        for problem in problems { printError(problem) }
        guard problems.isEmpty else { throw Failure("\(problems.count) problem\(problems.count == 1 ? "" : "s") found") }
        print("\(count) rows: the chain is whole, every second is accounted for, lines add up to totals, closed periods stand")
    }
}

struct UsagePreview: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preview", abstract: "A period under other prices, tenant by tenant, by the same code that bills.")

    @OptionGroup var options: UsageOptions
    @OptionGroup var period: PeriodOptions

    @Option(help: ArgumentHelp("The draft of a price book.", valueName: "FILE"))
    var prices: String

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let (billing, files) = try options.bills()
        let draft = try BillingFiles(folder: options.billing, draft: prices)
        let rows = billing.preview(try period.window(files.tariff.calendar, horizon: billing.confirmed), under: draft.tariff)
        func money(_ units: Int128, _ row: PreviewRow) -> String { decimalText(units, digits: row.minorDigits) }
        if json {
            let list = rows.map { row in
                Json.object([
                    ("tenant", .optional(row.tenant)), ("currency", .text(row.currency.code)), ("before", .text(money(row.before, row))),
                    ("after", .text(money(row.after, row))), ("difference", .text(money(row.after - row.before, row))),
                ])
            }
            print(Json.list(list).serialized)
            return
        }
        var table = TextTable([("TENANT", .left), ("NOW", .right), ("DRAFT", .right), ("DIFFERENCE", .right), ("", .left)])
        for row in rows {
            table.add([
                row.tenant ?? "-", money(row.before, row), money(row.after, row), money(row.after - row.before, row), row.currency.code,
            ])
        }
        for line in table.lines { print(line) }
    }
}

/// Prints text that ends its own lines.
func writeOut(_ text: String) { print(text, terminator: "") }
