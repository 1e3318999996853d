public import Fleet

/// Closing months, correcting closed ones, invoices, previews and checks.
///
/// All are pure functions of facts and tariff.
public struct Billing: Sendable {
    /// Every row of the ledger, in order.
    public let rows: [FactRow]
    /// The prices, types and tables.
    public let tariff: Tariff
    /// What is charged of gaps.
    public let policy: GapPolicy
    private let digest: @Sendable ([UInt8]) -> String

    /// A bill's inputs.
    ///
    /// `digest` is a hash of bytes as hexadecimal text, such as SHA-256.
    public init(rows: [FactRow], tariff: Tariff, policy: GapPolicy = .proven, digest: @escaping @Sendable ([UInt8]) -> String) {
        self.rows = rows
        self.tariff = tariff
        self.policy = policy
        self.digest = digest
    }

    /// The dimensions of the lines that are closed, corrected and explained: every stretch of every resource.
    public static let finest: [ReportDimension] = [.guest, .volume, .host, .interval]

    /// The report as the facts up to a row tell it.
    func report(_ window: Interval, through sequence: Int64, filter: UsageFilter = UsageFilter()) -> Report {
        let known = rows.prefix { $0.sequence <= sequence }.map(\.fact)
        return Report(
            spans: SpanBook(facts: known, policy: policy), tariff: tariff,
            request: ReportRequest(window: window, filter: filter, by: Billing.finest))
    }

    /// The second up to which the writer's last sign of life confirms what is known; where there is none, that of the last fact.
    ///
    /// What lies after it is told at most a minute later: a report of now ends here.
    public var confirmed: Int64 {
        let clocks = ClockMap(rows.map(\.fact))
        var alive: Int64?
        var last: Int64 = 0
        for row in rows where row.fact.source != .operatorEntry {
            let instant = clocks.milliseconds(row.fact.seen)
            last = max(last, instant)
            if case .alive(let before) = row.fact.body { alive = max(alive ?? .min, instant - before) }
        }
        return wholeSeconds(alive ?? last)
    }

    private var closings: [PeriodClosing] {
        rows.compactMap { row in
            if case .closing(let closing) = row.fact.body { closing } else { nil }
        }.sorted { ($0.throughSequence, $0.from) < ($1.throughSequence, $1.from) }
    }

    private func reportDigest(_ window: Interval, through sequence: Int64) -> String {
        digest(Array(report(window, through: sequence).json.utf8))
    }

    private func tariffDigest(_ window: Interval) -> String { digest(Array(tariff.canonicalText(in: window).utf8)) }
}

/// Why a period does not close.
public enum ClosingObstacle: Error, Hashable, Sendable, CustomStringConvertible {
    /// It is not over, as far as the facts reach.
    case notOver(horizon: Timestamp)
    /// It, or a part of it, is closed already.
    case closedAlready(PeriodClosing)
    /// Seconds are missing or counted twice.
    case secondsDoNotAddUp(remainder: Int64)
    /// A finding that nobody acknowledged.
    case finding(Finding)

    /// What stands in the way and what to do.
    public var description: String {
        switch self {
        case .notOver(let horizon): "the ledger reaches only to \(horizon): close the period after a later fact is there"
        case .closedAlready(let closing): "closed already: \(closing.from) to \(closing.to); later facts become corrections"
        case .secondsDoNotAddUp(let remainder): "\(remainder) s are missing or counted twice: this is a defect of Steward, report it"
        case .finding(let finding): "\(finding.id): \(finding.message); then acknowledge it"
        }
    }
}

/// A change to a closed period, charged in a later one.
public struct Correction: Hashable, Sendable {
    /// The closed period.
    public let period: PeriodClosing
    /// The line that is reversed, or that takes its place.
    public let line: ReportLine
    /// Whether the line is taken back.
    public let isReversal: Bool
    /// What came to be known since: facts with their row numbers.
    public let cause: String
    /// The line's exact amount with its sign.
    public var amount: ExactAmount { isReversal ? -(line.amount ?? .zero) : line.amount ?? .zero }
}

/// What a tenant owes for a period: its lines, and the corrections of closed periods that became known in it.
public struct Invoice: Sendable {
    /// The tenant.
    public let tenant: String
    /// The period.
    public let window: Interval
    /// The currency.
    public let currency: Currency
    /// The decimals of its minor unit.
    public let minorDigits: Int
    /// The lines by guest and volume; `charged` adds up to the total together with the corrections' shares.
    public let lines: [ReportLine]
    /// The corrections and their shares in minor units.
    public let corrections: [(correction: Correction, charged: Int128)]
    /// What is owed in minor units: the exact sum rounded half to even, once.
    public let total: Int128
    /// The exact sum.
    public let exact: ExactAmount
    /// The seconds of the tenant's guests.
    public let seconds: SecondsTally
    /// What an operator must know.
    public let findings: [Finding]
    /// The calendar's zone and its civil bounds.
    public let calendar: ZoneCalendar
    /// Whether the period is closed.
    public let isClosed: Bool

    /// The invoice's number: tenant and first day.
    public var number: String { "\(tenant)-\(calendar.date(at: window.from))" }
}

/// One tenant under two tariffs.
public struct PreviewRow: Hashable, Sendable {
    /// The tenant.
    public let tenant: String?
    /// The currency.
    public let currency: Currency
    /// The decimals of its minor unit.
    public let minorDigits: Int
    /// Owed under the prices in force, in minor units.
    public let before: Int128
    /// Owed under the draft.
    public let after: Int128
}

extension Billing {
    /// What closing a period would record, or every obstacle to it.
    public func closing(of window: Interval) -> (closing: PeriodClosing?, obstacles: [ClosingObstacle]) {
        let head = rows.last?.sequence ?? 0
        let result = report(window, through: head)
        var obstacles: [ClosingObstacle] = []
        if result.horizon < window.to { obstacles.append(.notOver(horizon: Timestamp(seconds: result.horizon))) }
        for closing in closings where closing.from.wholeSeconds < window.to && window.from < closing.to.wholeSeconds {
            obstacles.append(.closedAlready(closing))
        }
        if result.seconds.remainder != 0 { obstacles.append(.secondsDoNotAddUp(remainder: result.seconds.remainder)) }
        obstacles += result.findings.filter(\.isSerious).map { .finding($0) }
        guard obstacles.isEmpty else { return (nil, obstacles) }
        let closing = PeriodClosing(
            from: Timestamp(seconds: window.from), to: Timestamp(seconds: window.to), throughSequence: head,
            chainHash: hexadecimal(rows.last?.hash ?? []), reportDigest: reportDigest(window, through: head),
            tariffDigest: tariffDigest(window), zoneData: "\(tariff.calendar.name) \(tariff.calendar.dataVersion)")
        return (closing, [])
    }

    /// What facts of after the last closing change in closed periods: each changed line reversed and replaced.
    ///
    /// - Parameter sequence: The row up to which facts count: the closing row of the period being billed, or the last row for an open one.
    public func corrections(through sequence: Int64) -> [Correction] {
        let past = closings.filter { $0.throughSequence < sequence }
        guard let last = past.map(\.throughSequence).max() else { return [] }
        var result: [Correction] = []
        for period in past.sorted(by: { $0.from < $1.from }) {
            let window = Interval(from: period.from.wholeSeconds, to: period.to.wholeSeconds)
            let before = report(window, through: last).lines.map(\.withoutCharge)
            let after = report(window, through: sequence).lines.map(\.withoutCharge)
            let known = Set(before)
            let wanted = Set(after)
            for line in before where !wanted.contains(line) {
                result.append(Correction(period: period, line: line, isReversal: true, cause: cause(of: line, last, sequence)))
            }
            for line in after where !known.contains(line) {
                result.append(Correction(period: period, line: line, isReversal: false, cause: cause(of: line, last, sequence)))
            }
        }
        return result
    }

    private func cause(of line: ReportLine, _ from: Int64, _ through: Int64) -> String {
        let late = rows.filter { $0.sequence > from && $0.sequence <= through && isAbout($0.fact, line) }
        guard let first = late.first else { return "facts about its hosts that were recorded after the period was closed" }
        let more = late.count > 1 ? " and \(late.count - 1) more" : ""
        return "row \(first.sequence) (\(first.fact.source.word) of \(first.fact.seen.wall))\(more), recorded after the period was closed"
    }

    func isAbout(_ fact: Fact, _ line: ReportLine) -> Bool {
        switch fact.body {
        case .guest(let body): body.guest == line.guest
        case .traffic(let body): body.guest == line.guest && (line.volume == nil || body.interface == line.volume)
        case .volume(let body): body.key == line.volume
        case .assignment(let guest, _): guest == line.guest
        default: false
        }
    }

    /// A tenant's invoice of a period, in each currency that it was charged in.
    public func invoices(tenant: String, window: Interval) -> [Invoice] {
        let closing = closings.first { $0.from.wholeSeconds == window.from && $0.to.wholeSeconds == window.to }
        let sequence = closing?.throughSequence ?? rows.last?.sequence ?? 0
        let known = rows.prefix { $0.sequence <= sequence }.map(\.fact)
        let result = Report(
            spans: SpanBook(facts: known, policy: policy), tariff: tariff,
            request: ReportRequest(window: window, filter: UsageFilter(tenant: tenant), by: [.guest, .volume]))
        let corrections = corrections(through: sequence).filter { $0.line.tenant == tenant }
        let currencies = Set(result.lines.compactMap(\.currency) + corrections.compactMap(\.line.currency)).sorted()
        return currencies.map { currency in
            let digits =
                tariff.books.entries.first { $0.value.currency == currency }?.value.minorDigits ?? PriceBook.minorDigits(of: currency)
            var lines = result.lines.filter { $0.currency == currency }
            let changes = corrections.filter { $0.line.currency == currency }
            let amounts = lines.map { $0.amount ?? .zero } + changes.map(\.amount)
            let shares = apportioned(amounts, minorDigits: digits)
            for index in lines.indices where lines[index].unitPrice != nil { lines[index].charged = shares[index] }
            let exact = amounts.reduce(.zero, +)
            return Invoice(
                tenant: tenant, window: window, currency: currency, minorDigits: digits, lines: lines,
                corrections: Array(zip(changes, shares.dropFirst(lines.count))), total: exact.rounded(minorDigits: digits), exact: exact,
                seconds: result.seconds, findings: result.findings, calendar: tariff.calendar, isClosed: closing != nil)
        }
    }

    /// A window under other prices, tenant by tenant, by the same code that bills.
    public func preview(_ window: Interval, under draft: Tariff) -> [PreviewRow] {
        let spans = SpanBook(facts: rows.map(\.fact), policy: policy)
        let request = ReportRequest(window: window)
        let before = Report(spans: spans, tariff: tariff, request: request).totals
        let after = Report(spans: spans, tariff: draft, request: request).totals
        var rows = before.map { total in
            PreviewRow(
                tenant: total.tenant, currency: total.currency, minorDigits: total.minorDigits, before: total.rounded,
                after: after.first { $0.tenant == total.tenant && $0.currency == total.currency }?.rounded ?? 0)
        }
        for total in after where !before.contains(where: { $0.tenant == total.tenant && $0.currency == total.currency }) {
            rows.append(
                PreviewRow(
                    tenant: total.tenant, currency: total.currency, minorDigits: total.minorDigits, before: 0, after: total.rounded))
        }
        return rows.sorted { ($0.tenant ?? "", $0.currency) < ($1.tenant ?? "", $1.currency) }
    }

    /// Checks the whole bill: the chain, the seconds, lines against totals, and every closed period against what it was closed as.
    ///
    /// - Parameter chain: What the log's own check of its chain showed.
    /// - Returns: What is wrong, empty where nothing is.
    public func problems(chain: ChainVerdict) -> [String] {
        var problems: [String] = []
        if case .broken(let sequence, let reason) = chain { problems.append("ledger row \(sequence): \(reason)") }
        let spans = SpanBook(facts: rows.map(\.fact), policy: policy)
        let first = spans.spans.map(\.interval.from).min() ?? spans.horizon
        let whole = Report(
            spans: spans, tariff: tariff,
            request: ReportRequest(window: Interval(from: first, to: max(first, spans.horizon)), by: [.guest, .volume]))
        if whole.seconds.remainder != 0 { problems.append("\(whole.seconds.remainder) s of guests' lives are missing or counted twice") }
        for total in whole.totals {
            let own = whole.lines.filter { $0.tenant == total.tenant && $0.currency == total.currency }
            guard own.reduce(0, { $0 + ($1.charged ?? 0) }) == total.rounded else {
                problems.append("the lines of tenant \(total.tenant ?? "(none)") do not add up to its total")
                continue
            }
        }
        for closing in closings {
            let window = Interval(from: closing.from.wholeSeconds, to: closing.to.wholeSeconds)
            let name = "the period \(closing.from) to \(closing.to)"
            let row = rows.first { $0.sequence == closing.throughSequence }
            if hexadecimal(row?.hash ?? []) != closing.chainHash {
                problems.append("\(name) was closed on another ledger row \(closing.throughSequence) than is there now")
            }
            if tariffDigest(window) != closing.tariffDigest {
                problems.append("prices, types or the billable table of \(name) were changed after it was closed: put the old ones back")
            } else if reportDigest(window, through: closing.throughSequence) != closing.reportDigest {
                problems.append("\(name) does not give the report that it was closed with")
            }
        }
        return problems
    }
}

extension ReportLine {
    var withoutCharge: ReportLine {
        var line = self
        line.charged = nil
        return line
    }
}

/// Bytes as lower-case hexadecimal text.
func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}

extension Tariff {
    /// Everything that governs an interval, as text that is equal where the tariff is.
    func canonicalText(in window: Interval) -> String {
        var text: [String] = []
        func price(_ price: Price) -> String {
            price.tiers.map { "\($0.upTo.map(String.init) ?? "-"):\($0.trillionths)" }.joined(separator: ",")
        }
        func bounds(_ interval: Interval) -> String { "\(interval.clipped(to: window).from)-\(interval.clipped(to: window).to)" }
        for entry in books.entries where entry.interval.clipped(to: window).seconds > 0 {
            let book = entry.value
            text.append("book \(bounds(entry.interval)) \(book.currency) \(book.minorDigits) \(book.minimumSeconds)")
            for name in book.instances.keys.sorted() { text.append("instance \(name) \(book.instances[name].map(price) ?? "")") }
            for name in book.disks.keys.sorted() { text.append("disk \(name) \(book.disks[name].map(price) ?? "")") }
            for meter in book.others.keys.sorted() { text.append("\(meter.word) \(book.others[meter].map(price) ?? "")") }
            for (name, value) in [("vcpu", book.customVCPU), ("memory", book.customMemory), ("reserved", book.reservedMemory)] {
                text.append("\(name) \(value.map(price) ?? "none")")
            }
            for each in book.discounts { text.append("discount \(each.tenant) \(each.meter?.word ?? "all") \(each.partsPerMillion)") }
        }
        for entry in catalogues.entries where entry.interval.clipped(to: window).seconds > 0 {
            text.append("catalogue \(bounds(entry.interval)) \(entry.value.mismatch)")
            for type in entry.value.types { text.append("type \(type.name) \(type.vcpus) \(type.memory.count)") }
            for rule in entry.value.diskRules { text.append("disk rule \(rule.pool ?? "*") \(rule.bus ?? "*") \(rule.type)") }
        }
        for entry in tables.entries where entry.interval.clipped(to: window).seconds > 0 {
            text.append("table \(bounds(entry.interval)) \(entry.value.billsDetached)")
            text.append(entry.value.meters.sorted().map(\.word).joined(separator: " "))
            for row in entry.value.rows { text.append("row \(row.state.rawValue) \(row.reason ?? -1) \(row.meter.word) \(row.isBilled)") }
        }
        return text.joined(separator: "\n")
    }
}
