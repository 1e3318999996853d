import ArgumentParser
import Fleet
import LedgerStorage
import Metering
import OperatorFiles

/// Where usage commands find the ledger and the prices.
struct UsageOptions: ParsableArguments {
    static let standardData = "/var/lib/steward"
    static let standardBilling = "/etc/steward/billing"

    @Option(help: ArgumentHelp("The data folder of `steward serve`.", valueName: "DIR"))
    var data = UsageOptions.standardData

    @Option(
        help: ArgumentHelp(
            "The billing folder: billing.yaml, instance-types*.yaml, billable*.yaml and prices/*.yaml.",
            discussion: "Policies/billing is an example.", valueName: "DIR"))
    var billing = UsageOptions.standardBilling

    @Flag(help: "Work on a ledger whose chain is broken. What it says may be forged or incomplete.")
    var evenIfDamaged = false

    /// The ledger, for reading.
    func ledger() throws -> Ledger {
        let path = data + "/ledger.db"
        guard Files.exists(path) else {
            throw Failure("there is no ledger \(path): run `steward serve --data \(data)`, or give --data another folder")
        }
        do throws(FactLogError) {
            return try Ledger(reading: path)
        } catch {
            throw Failure("\(path): \(error.words)")
        }
    }

    /// The whole ledger and the prices; refuses a broken chain unless told otherwise.
    func bills() throws -> (billing: Billing, files: BillingFiles) {
        let files = try BillingFiles(folder: billing)
        for warning in files.warnings { printError("\(warning)") }
        let ledger = try ledger()
        do throws(FactLogError) {
            if case .broken(let sequence, let reason) = try ledger.verify() {
                let words = "the ledger is damaged at row \(sequence): \(reason)"
                guard evenIfDamaged else {
                    throw FactLogError.medium("\(words). Reports are refused; --even-if-damaged shows one all the same")
                }
                printError("steward: \(words); this report may be wrong")
            }
            return (Billing(rows: try ledger.allRows(), files: files), files)
        } catch {
            throw Failure("\(data)/ledger.db: \(error.words)")
        }
    }
}

extension Billing {
    init(rows: [FactRow], files: BillingFiles) {
        self.init(rows: rows, tariff: files.tariff, policy: files.settings.gaps, digest: LedgerKey.digest)
    }
}

/// The period of a report.
struct PeriodOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The first instant: 2026-11-01, or 2026-11-01T08:00:00+08:00.", valueName: "time"))
    var from: String?

    @Option(help: ArgumentHelp("The first instant after the period; without it, as far as the ledger reaches.", valueName: "time"))
    var to: String?

    @Option(help: ArgumentHelp("A calendar month in the bill's time zone: 2026-11.", valueName: "month"))
    var month: String?

    /// The period in whole seconds; without any option the month in which the ledger ends.
    func window(_ calendar: ZoneCalendar, horizon: Int64) throws -> Interval {
        try usageWindow(from: from, to: to, month: month, calendar, horizon: horizon)
    }
}

/// The period that three texts name, from a command line or a request.
func usageWindow(from: String?, to: String?, month: String?, _ calendar: ZoneCalendar, horizon: Int64) throws -> Interval {
    let files = TariffFiles(calendar: calendar)
    if let month {
        guard from == nil, to == nil else { throw Failure("give either a month or from and to, not both", code: Failure.usage) }
        guard let window = files.month(of: month) else {
            throw Failure("'\(month)' is no month; write for example 2026-11", code: Failure.usage)
        }
        return window
    }
    func second(_ text: String, _ name: String) throws -> Int64 {
        guard let instant = files.instant(of: text) else {
            throw Failure("\(name) '\(text)' is no instant; write 2026-11-01 or 2026-11-01T08:00:00+08:00", code: Failure.usage)
        }
        guard instant.milliseconds % 1000 == 0 else { throw Failure("\(name) must be a whole second", code: Failure.usage) }
        return instant.wholeSeconds
    }
    let last = try to.map { try second($0, "to") }
    let first = try from.map { try second($0, "from") } ?? calendar.month(at: (last ?? horizon) - 1).from
    let window = Interval(from: first, to: last ?? max(horizon, first + 1))
    guard window.seconds > 0 else { throw Failure("the period ends before it begins", code: Failure.usage) }
    return window
}

/// Whose usage.
struct FilterOptions: ParsableArguments {
    @Option(help: "Only this tenant.")
    var tenant: String?
    @Option(help: "Only this group.")
    var group: String?
    @Option(help: "Only this zone.")
    var zone: String?
    @Option(help: ArgumentHelp("Only guests with this tag. May be given several times.", valueName: "name=value"))
    var tag: [String] = []
    @Option(help: ArgumentHelp("Only this guest, by name or UUID.", valueName: "guest"))
    var guest: String?
    @Option(help: "Only this host.")
    var host: String?

    func filter(_ spans: SpanBook) throws -> UsageFilter {
        try usageFilter(tenant: tenant, group: group, zone: zone, tags: tag, guest: guest, host: host, spans)
    }
}

/// The filter that texts name, from a command line or a request.
func usageFilter(
    tenant: String?, group: String?, zone: String?, tags: [String], guest: String?, host: String?, _ spans: SpanBook
) throws -> UsageFilter {
    UsageFilter(
        tenant: tenant, group: group, zone: zone,
        tags: try tags.map { text in
            guard let equals = text.firstIndex(of: "=") else {
                throw Failure("'\(text)' is no tag; write name=value", code: Failure.usage)
            }
            return GuestMetadata.Tag(name: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
        }, guest: try guest.map { try spans.guest(named: $0) }, host: host.map { HostName($0) })
}

extension SpanBook {
    /// A guest by its UUID, or by a name that only one guest ever had.
    func guest(named text: String) throws -> GuestID {
        if let id = GuestID(text) { return id }
        var found: [GuestID] = []
        for (index, guest) in guests.enumerated()
        where spans[spanRanges[index]].contains(where: { $0.shape >= 0 && shapes[Int($0.shape)].name == text }) { found.append(guest) }
        if found.count == 1 { return found[0] }
        guard found.isEmpty else {
            throw Failure(
                "\(found.count) guests were named '\(text)': give the UUID, one of \(found.map(\.description).joined(separator: ", "))",
                code: Failure.usage)
        }
        let hint = nearest(to: text, among: Set(shapes.map(\.name)).sorted()).map { "; did you mean '\($0)'?" } ?? ""
        throw Failure("the ledger knows no guest '\(text)'\(hint)", code: Failure.usage)
    }
}

/// By what the lines of a report are told apart, from words such as `guest,day,tag:team`.
func usageDimensions(_ words: [String]) throws -> [ReportDimension] {
    let known: [(word: String, value: ReportDimension)] = [
        ("group", .group), ("zone", .zone), ("guest", .guest), ("host", .host), ("volume", .volume), ("day", .day),
        ("evidence", .evidence), ("interval", .interval),
    ]
    return try words.flatMap { $0.split(separator: ",").map(String.init) }.compactMap { word in
        // Lines are always told apart by tenant.
        if word == "tenant" { return nil }
        if word.hasPrefix("tag:"), word.count > 4 { return .tag(String(word.dropFirst(4))) }
        if let dimension = known.first(where: { $0.word == word }) { return dimension.value }
        let hint = nearest(to: word, among: known.map(\.word)).map { "; did you mean '\($0)'?" } ?? ""
        throw Failure(
            "lines cannot be told apart by '\(word)'\(hint) (tenant, \(known.map(\.word).joined(separator: ", ")) or tag:NAME)",
            code: Failure.usage)
    }
}
