public import Fleet

/// By what a report's lines are told apart, besides tenant, meter, article and price.
public enum ReportDimension: Hashable, Sendable {
    /// The autoscaling group.
    case group
    /// The availability zone.
    case zone
    /// The guest.
    case guest
    /// The host.
    case host
    /// The disk, snapshot, image or interface.
    case volume
    /// The value of a tag.
    case tag(String)
    /// The civil day of the tariff's calendar.
    case day
    /// The evidence class.
    case evidence
    /// Every stretch of time on its own, with its state.
    case interval
}

/// What a report is to cover.
public struct ReportRequest: Hashable, Sendable {
    /// The seconds.
    public var window: Interval
    /// Whose usage.
    public var filter: UsageFilter
    /// By what lines are told apart.
    public var by: [ReportDimension]

    /// A request.
    public init(window: Interval, filter: UsageFilter = UsageFilter(), by: [ReportDimension] = []) {
        self.window = window
        self.filter = filter
        self.by = by
    }
}

/// One line of a report.
public struct ReportLine: Hashable, Sendable {
    /// Who pays; nil where no tenant is known.
    public internal(set) var tenant: String?
    /// The group, where lines are told apart by it.
    public internal(set) var group: String?
    /// The zone, where lines are told apart by it.
    public internal(set) var zone: String?
    /// The guest, where lines are told apart by it.
    public internal(set) var guest: GuestID?
    /// The guest's name, where lines are told apart by guest.
    public internal(set) var guestName: String?
    /// The host, where lines are told apart by it.
    public internal(set) var host: HostName?
    /// The volume or interface, where lines are told apart by it.
    public internal(set) var volume: String?
    /// The tag's value, where lines are told apart by it.
    public internal(set) var tag: String?
    /// The day, where lines are told apart by it.
    public internal(set) var day: CivilDate?
    /// The evidence, where lines are told apart by it.
    public internal(set) var evidence: Evidence?
    /// The state, where every stretch has its own line.
    public internal(set) var state: SpanState?
    /// The shape, where every stretch has its own line.
    public internal(set) var shape: GuestShape?
    /// From the first second of usage to the first one after the last; empty at an instant.
    public internal(set) var interval: Interval
    /// What is counted.
    public let meter: Meter
    /// The article: an instance type, a disk type, `custom vCPU` and so on.
    public let sku: String
    /// How it is counted.
    public let unit: UsageUnit
    /// The usage in counted units.
    public internal(set) var usage: Int128
    /// The same by evidence, in the order of ``Evidence``.
    public internal(set) var usageByEvidence: [Int128]
    /// The price book's version; nil where none is in force.
    public let book: String?
    /// The currency; nil where no book is in force.
    public let currency: Currency?
    /// 10⁻¹² currency units for one priced unit before the discount; nil where there is no price.
    public let unitPrice: Int128?
    /// The step of a stepped price, from 0.
    public let tier: Int
    /// What the tenant's discount leaves, in parts per million.
    public let keptPartsPerMillion: Int
    /// The amount in whole minor units: the tenant's rounded total, spread by largest remainder; nil where there is no price.
    public internal(set) var charged: Int128?

    /// The exact amount before the discount; nil where there is no price.
    public var listAmount: ExactAmount? { unitPrice.map { ExactAmount(usage: usage, unit: unit, price: $0) } }
    /// The exact amount; nil where there is no price.
    public var amount: ExactAmount? { amount(of: usage) }

    /// The exact amount of the seconds of one evidence class; nil where there is no price.
    public func amount(_ evidence: Evidence) -> ExactAmount? { amount(of: usageByEvidence[Int(evidence.rawValue)]) }

    private func amount(of usage: Int128) -> ExactAmount? {
        unitPrice.map { ExactAmount(usage: usage, unit: unit, price: $0, keptPartsPerMillion: keptPartsPerMillion) }
    }

    /// The line's name, by which it can be explained: meter, resource, article, step and seconds.
    public var id: String {
        let resource = [guest?.description, volume].compactMap { $0 }.joined(separator: "/")
        let who = resource.isEmpty ? "tenant=\(tenant ?? "")" : resource
        return "\(meter.word):\(who):\(sku)#\(tier):\(interval.from)-\(interval.to)"
    }

    var sortKey: [String] {
        [
            tenant ?? "", group ?? "", zone ?? "", tag ?? "", guestName ?? "", guest?.description ?? "", host?.text ?? "", volume ?? "",
            day?.description ?? "",
        ]
    }
}

/// What one tenant owes in one currency.
public struct ReportTotal: Hashable, Sendable {
    /// The tenant.
    public let tenant: String?
    /// The currency.
    public let currency: Currency
    /// The decimals of the currency's minor unit.
    public let minorDigits: Int
    /// The exact sum of the lines.
    public let exact: ExactAmount
    /// The sum rounded half to even, in minor units: the one rounding.
    public let rounded: Int128
    /// The exact sum by evidence, in the order of ``Evidence``.
    public let exactByEvidence: [ExactAmount]
}

/// Usage and money of a window.
public struct Report: Hashable, Sendable {
    /// What was asked for.
    public let request: ReportRequest
    /// The calendar's zone.
    public let zone: String
    /// The first second of which nothing is known yet: seconds from here on are not in the report.
    public let horizon: Int64
    /// The lines, sorted.
    public internal(set) var lines: [ReportLine]
    /// The totals by tenant and currency, sorted.
    public internal(set) var totals: [ReportTotal]
    /// The seconds of guests' lives.
    public let seconds: SecondsTally
    /// What an operator must know, sorted.
    public let findings: [Finding]

    /// Whether a command that shows the report exits non-zero: unpriced usage, a mismatch, a double run or lost seconds.
    public var needsAttention: Bool { seconds.remainder != 0 || findings.contains(where: \.isSerious) }

    /// The report of a window; a pure function of its arguments.
    public init(spans: SpanBook, tariff: Tariff, request: ReportRequest) {
        let builder = ReportBuilder(spans: spans, tariff: tariff, request: request)
        self = builder.build()
    }

    init(
        request: ReportRequest, zone: String, horizon: Int64, lines: [ReportLine], totals: [ReportTotal], seconds: SecondsTally,
        findings: [Finding]
    ) {
        self.request = request
        self.zone = zone
        self.horizon = horizon
        self.lines = lines
        self.totals = totals
        self.seconds = seconds
        self.findings = findings
    }
}

extension SpanBook {
    /// The whole billable seconds before an instant by instance type and tenant, for counters on a metrics endpoint.
    ///
    /// Of `custom` guests these are vCPU-seconds. The difference between two instants equals the usage in a report of that window.
    public func billableSeconds(before second: Int64, tariff: Tariff) -> [(tenant: String?, sku: String, seconds: Int128)] {
        let first = spans.map(\.interval.from).min() ?? second
        let request = ReportRequest(window: Interval(from: min(first, second), to: second))
        var sums: [(tenant: String?, sku: String, seconds: Int128)] = []
        for line in Report(spans: self, tariff: tariff, request: request).lines where line.meter == .compute && line.sku != "custom memory"
        {
            if let last = sums.last, last.tenant == line.tenant, last.sku == line.sku {
                sums[sums.count - 1].seconds += line.usage
            } else {
                sums.append((line.tenant, line.sku, line.usage))
            }
        }
        return sums
    }
}

/// Adds rated pieces up to lines.
struct ReportBuilder {
    struct Key: Hashable {
        var tenant: Int32 = -1
        var group: Int32 = -1
        var zone: Int32 = -1
        var guest: Int32 = -1
        var host: Int32 = -1
        var volume: Int32 = -1
        var tag: Int32 = -1
        var day: Int32 = -1
        var evidence: Int32 = -1
        var part: Int32
        var from: Int64 = 0
        var to: Int64 = 0
        var shape: Int32 = -1
        var state = SpanState.unknown
    }

    struct Sum {
        var usage: Int128 = 0
        var byEvidence: [Int128] = Array(repeating: 0, count: Evidence.allCases.count)
        var from = Int64.max
        var to = Int64.min
    }

    /// The words of one dimension by shape.
    struct Words {
        private(set) var names = Interner<String>()
        private(set) var ofShape: [Int32] = []

        init(_ shapes: [GuestShape], _ word: (GuestShape) -> String?) {
            for shape in shapes { ofShape.append(word(shape).map { names.index($0) } ?? -1) }
        }

        func index(_ shape: Int32) -> Int32 { shape >= 0 ? ofShape[Int(shape)] : -1 }
        func word(_ index: Int32) -> String? { index >= 0 ? names.values[Int(index)] : nil }
    }

    let spans: SpanBook
    let tariff: Tariff
    let request: ReportRequest
    let days: [Int64]
    let tenants: Words
    let groups: Words
    let zones: Words
    let tags: Words

    init(spans: SpanBook, tariff: Tariff, request: ReportRequest) {
        self.spans = spans
        self.tariff = tariff
        self.request = request
        days = request.by.contains(.day) ? tariff.calendar.days(in: request.window) : []
        tenants = Words(spans.shapes) { $0.tenant }
        groups = Words(request.by.contains(.group) ? spans.shapes : []) { $0.group }
        zones = Words(request.by.contains(.zone) ? spans.shapes : []) { $0.zone }
        var tagName: String?
        for case .tag(let name) in request.by { tagName = name }
        tags = Words(tagName == nil ? [] : spans.shapes) { shape in shape.tags.first { $0.name == tagName }?.value }
    }

    func build() -> Report {
        var rater = Rater(spans: spans, tariff: tariff, filter: request.filter)
        let slices = rater.slices(request.window, cuts: days)
        var sums: [Key: Int] = [:]
        var keys: [Key] = []
        var totals: [Sum] = []
        var stepped: [RatedPiece] = []
        var steppedParts: [Bool] = []
        var last: (key: Key, place: Int)?
        let flags = Flags(request.by)
        func add(_ piece: RatedPiece) {
            let key = key(of: piece, flags)
            let place: Int
            if let last, last.key == key {
                place = last.place
            } else if let known = sums[key] {
                place = known
            } else {
                place = keys.count
                sums[key] = place
                keys.append(key)
                totals.append(Sum())
            }
            last = (key, place)
            totals[place].usage += piece.usage
            totals[place].byEvidence[Int(piece.evidence.rawValue)] += piece.usage
            totals[place].from = min(totals[place].from, piece.from)
            totals[place].to = max(totals[place].to, piece.to)
        }
        var flat: [RatedPiece] = []
        let hasSteps = tariff.books.entries.contains { $0.value.hasSteps }
        if hasSteps {
            rater.rate(slices) { flat.append($0) }
            steppedParts = rater.parts.values.map(\.isStepped)
            for piece in flat where !steppedParts[Int(piece.part)] { add(piece) }
            stepped = steppedPieces(&rater)
            for piece in stepped { add(piece) }
        } else {
            rater.rate(slices) { add($0) }
        }
        var lines = keys.indices.map { line(keys[$0], totals[$0], rater.parts.values) }
        lines.sort { left, right in
            let leftKey = left.sortKey
            let rightKey = right.sortKey
            if leftKey != rightKey { return leftKey.lexicographicallyPrecedes(rightKey) }
            if left.meter != right.meter { return left.meter < right.meter }
            if left.sku != right.sku { return left.sku < right.sku }
            if left.interval != right.interval { return left.interval < right.interval }
            if left.tier != right.tier { return left.tier < right.tier }
            return (left.book ?? "", left.unitPrice ?? -1, left.evidence?.rawValue ?? 0, left.usage)
                < (right.book ?? "", right.unitPrice ?? -1, right.evidence?.rawValue ?? 0, right.usage)
        }
        let sumsByTenant = ReportBuilder.charge(&lines, tariff: tariff)
        return Report(
            request: request, zone: tariff.calendar.name, horizon: spans.horizon, lines: lines, totals: sumsByTenant,
            seconds: rater.tally, findings: findings(lines, rater))
    }

    /// Which dimensions are asked for.
    struct Flags {
        let group, zone, guest, host, volume, tag, day, evidence, interval: Bool

        init(_ by: [ReportDimension]) {
            group = by.contains(.group)
            zone = by.contains(.zone)
            guest = by.contains(.guest)
            host = by.contains(.host)
            volume = by.contains(.volume)
            day = by.contains(.day)
            evidence = by.contains(.evidence)
            interval = by.contains(.interval)
            tag = by.contains { if case .tag = $0 { true } else { false } }
        }
    }

    private func key(of piece: RatedPiece, _ flags: Flags) -> Key {
        var key = Key(part: piece.part)
        key.tenant = tenants.index(piece.shape)
        if flags.group { key.group = groups.index(piece.shape) }
        if flags.zone { key.zone = zones.index(piece.shape) }
        if flags.tag { key.tag = tags.index(piece.shape) }
        if flags.guest { key.guest = piece.guest }
        if flags.host { key.host = piece.host }
        if flags.volume { key.volume = piece.volume }
        if flags.day { key.day = Int32((days.lastIndex { $0 <= piece.from }) ?? 0) }
        if flags.evidence { key.evidence = Int32(piece.evidence.rawValue) }
        if flags.interval {
            key.from = piece.from
            key.to = piece.to
            key.shape = piece.shape
            key.state = piece.state
            key.evidence = Int32(piece.evidence.rawValue)
        }
        return key
    }

    /// The stepped usage of every month that the window touches, split as a whole, then cut to the window and the filter.
    private func steppedPieces(_ rater: inout Rater) -> [RatedPiece] {
        let calendar = tariff.calendar
        var month = calendar.month(at: request.window.from)
        var result: [RatedPiece] = []
        while month.from < request.window.to, month.seconds > 0 {
            var whole = Rater(spans: spans, tariff: tariff, filter: UsageFilter(tenant: request.filter.tenant))
            var pieces: [RatedPiece] = []
            whole.rate(whole.slices(month, cuts: days)) { pieces.append($0) }
            let parts = whole.parts.values
            struct Group: Hashable, Comparable {
                let tenant: String
                let meter: Meter
                let sku: String
                static func < (left: Group, right: Group) -> Bool {
                    (left.tenant, left.meter, left.sku) < (right.tenant, right.meter, right.sku)
                }
            }
            var groups: [Group: [RatedPiece]] = [:]
            for piece in pieces where parts[Int(piece.part)].isStepped {
                let part = parts[Int(piece.part)]
                let tenant = tenants.word(tenants.index(piece.shape)).map { "+" + $0 } ?? ""
                groups[Group(tenant: tenant, meter: part.meter, sku: part.sku), default: []].append(piece)
            }
            let splitter = TierSplitter { parts[Int($0)].price?.tiers ?? [] }
            for group in groups.keys.sorted() {
                for (piece, tier) in splitter.split(groups[group] ?? []) {
                    guard rater.passes(piece), let cut = ReportBuilder.cut(piece, to: request.window, days) else { continue }
                    for each in cut {
                        var kept = each
                        kept.part = rater.index(of: parts[Int(piece.part)].on(tier: tier))
                        result.append(kept)
                    }
                }
            }
            month = calendar.month(at: month.to)
        }
        return result
    }

    /// A piece within a window, cut at the days.
    private static func cut(_ piece: RatedPiece, to window: Interval, _ days: [Int64]) -> [RatedPiece]? {
        if piece.from == piece.to { return piece.from >= window.from && piece.from < window.to ? [piece] : nil }
        let interval = Interval(from: piece.from, to: piece.to).clipped(to: window)
        guard interval.seconds > 0 else { return nil }
        let rate = piece.usage / Int128(piece.to - piece.from)
        let isEven = rate * Int128(piece.to - piece.from) == piece.usage
        var bounds = days.filter { $0 > interval.from && $0 < interval.to }
        bounds.append(interval.to)
        var from = interval.from
        var result: [RatedPiece] = []
        for bound in bounds {
            var cut = piece
            cut.from = from
            cut.to = bound
            // Only the single second that crosses a step is uneven, and it is never cut.
            if isEven { cut.usage = rate * Int128(bound - from) }
            result.append(cut)
            from = bound
        }
        return result
    }

    private func line(_ key: Key, _ sum: Sum, _ parts: [RatePart]) -> ReportLine {
        let part = parts[Int(key.part)]
        let book = part.book >= 0 ? tariff.books.entries[Int(part.book)].value : nil
        let isTraffic = part.meter == .trafficIn || part.meter == .trafficOut
        let volume =
            key.volume < 0
            ? nil : isTraffic ? spans.interfaces[Int(key.volume)] : spans.volumes[Int(key.volume)].key
        return ReportLine(
            tenant: tenants.word(key.tenant), group: groups.word(key.group), zone: zones.word(key.zone),
            guest: key.guest >= 0 ? spans.guests[Int(key.guest)] : nil, guestName: key.guest >= 0 ? name(of: key.guest) : nil,
            host: key.host >= 0 ? spans.hosts[Int(key.host)] : nil, volume: volume, tag: tags.word(key.tag),
            day: key.day >= 0 && !days.isEmpty ? tariff.calendar.date(at: days[Int(key.day)]) : nil,
            evidence: key.evidence >= 0 ? Evidence(rawValue: UInt8(key.evidence)) : nil,
            state: key.state.domainState == nil ? nil : key.state, shape: key.shape >= 0 ? spans.shapes[Int(key.shape)] : nil,
            interval: Interval(from: sum.from, to: sum.to), meter: part.meter, sku: part.sku, unit: part.unit, usage: sum.usage,
            usageByEvidence: sum.byEvidence, book: book?.version, currency: book?.currency, unitPrice: part.unitPrice,
            tier: Int(part.tier), keptPartsPerMillion: part.keptPartsPerMillion, charged: nil)
    }

    /// The last name that a guest had in the window, or before it.
    private func name(of guest: Int32) -> String? {
        let own = spans.spans[spans.spanRanges[Int(guest)]]
        let span = own.last { $0.interval.from < request.window.to && $0.shape >= 0 } ?? own.first { $0.shape >= 0 }
        return span.map { spans.shapes[Int($0.shape)].name }
    }

    /// Rounds each tenant's total once and spreads it over its lines.
    static func charge(_ lines: inout [ReportLine], tariff: Tariff) -> [ReportTotal] {
        struct Account: Hashable, Comparable {
            let tenant: String
            let currency: Currency
            static func < (left: Account, right: Account) -> Bool { (left.tenant, left.currency) < (right.tenant, right.currency) }
        }
        var members: [Account: [Int]] = [:]
        for (index, line) in lines.enumerated() {
            guard let currency = line.currency, line.unitPrice != nil else { continue }
            members[Account(tenant: line.tenant.map { "+" + $0 } ?? "", currency: currency), default: []].append(index)
        }
        var totals: [ReportTotal] = []
        for account in members.keys.sorted() {
            let indices = members[account] ?? []
            let digits =
                tariff.books.entries.first { $0.value.currency == account.currency }?.value.minorDigits
                ?? PriceBook.minorDigits(of: account.currency)
            let amounts = indices.map { lines[$0].amount ?? .zero }
            for (index, units) in zip(indices, apportioned(amounts, minorDigits: digits)) { lines[index].charged = units }
            let exact = amounts.reduce(.zero, +)
            totals.append(
                ReportTotal(
                    tenant: account.tenant.isEmpty ? nil : String(account.tenant.dropFirst()), currency: account.currency,
                    minorDigits: digits, exact: exact, rounded: exact.rounded(minorDigits: digits),
                    exactByEvidence: Evidence.allCases.map { evidence in
                        indices.reduce(.zero) { $0 + (lines[$1].amount(evidence) ?? .zero) }
                    }))
        }
        return totals
    }

    private func findings(_ lines: [ReportLine], _ rater: Rater) -> [Finding] {
        var findings = spans.findings.filter { finding in
            guard finding.second >= request.window.from, finding.second < request.window.to else { return false }
            guard finding.kind == .doubleRun || finding.kind == .unreadTraffic else { return true }
            return GuestID(finding.subject).flatMap { spans.index(of: $0) }.map { isInQuestion($0, rater) } ?? true
        }
        var unpriced: [String: (second: Int64, usage: Int128, unit: UsageUnit)] = [:]
        var ownerless: [String: Int64] = [:]
        for line in lines {
            if line.unitPrice == nil, line.usage > 0 {
                let subject = "\(line.meter.word)/\(line.sku)"
                let known = unpriced[subject] ?? (line.interval.from, 0, line.unit)
                unpriced[subject] = (min(known.second, line.interval.from), known.usage + line.usage, line.unit)
            }
            if line.tenant == nil {
                ownerless[line.meter.word] = min(ownerless[line.meter.word] ?? .max, line.interval.from)
            }
        }
        for subject in unpriced.keys.sorted() {
            guard let (second, usage, unit) = unpriced[subject] else { continue }
            let hours = decimalText(usage * 1000 / Int128(unit.size), digits: 3)
            let message =
                "\(hours) \(unit.words) of \(subject) have no price: add one to the price book in force, or make it free in the table"
            findings.append(Finding(.unpriced, subject, at: second, message))
        }
        for meter in ownerless.keys.sorted() {
            let message = "usage of \(meter) belongs to no tenant: set the tenant in the guests' metadata, or assign them to one"
            findings.append(Finding(.noTenant, meter, at: ownerless[meter] ?? 0, message))
        }
        for guest in rater.mismatches.keys.sorted() {
            guard let (second, message) = rater.mismatches[guest] else { continue }
            findings.append(Finding(.typeMismatch, spans.guests[Int(guest)].description, at: second, message))
        }
        return findings.sorted()
    }

    private func isInQuestion(_ guest: Int, _ rater: Rater) -> Bool {
        if let wanted = request.filter.guest, spans.guests[guest] != wanted { return false }
        return spans.spans[spans.spanRanges[guest]].contains { rater.fits(shape: $0.shape) }
    }
}

extension PriceBook {
    /// Whether any price has steps.
    var hasSteps: Bool {
        let single: [Price?] = [customVCPU, customMemory, reservedMemory]
        return (single.compactMap { $0 } + Array(instances.values) + Array(disks.values) + Array(others.values)).contains {
            $0.tiers.count > 1
        }
    }
}

extension Rater {
    /// Whether a piece fits the filter.
    func passes(_ piece: RatedPiece) -> Bool {
        guard fits(shape: piece.shape) else { return false }
        if let host = filter.host {
            guard piece.host >= 0, spans.hosts[Int(piece.host)] == host else { return false }
        }
        if let guest = filter.guest {
            guard piece.guest >= 0, spans.guests[Int(piece.guest)] == guest else { return false }
        }
        return true
    }
}
