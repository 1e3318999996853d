import Fleet

/// The way from a line back to what was seen.
public struct Explanation: Sendable {
    /// The stretches of usage that the line is made of, each with its exact amount.
    public let stretches: [ReportLine]
    /// The ledger rows that the stretches follow from, in order: those within the line's seconds and the last of each writer before them.
    public let rows: [FactRow]
    /// The sum of the stretches; nil where one of them has no price.
    public let amount: ExactAmount?
}

extension Billing {
    /// The most ledger rows that an explanation lists.
    public static let explainedRows = 1000

    /// Explains a line by its ``ReportLine/id``, or returns nil where the id is none or no usage fits it.
    public func explain(line id: String) -> Explanation? {
        let fields = id.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard fields.count >= 4, let bounds = fields.last?.split(separator: "-", maxSplits: 1).map(String.init), bounds.count == 2,
            let from = Int64(bounds[0]), let to = Int64(bounds[1]), let meter = Meter.allCases.first(where: { $0.word == fields[0] })
        else { return nil }
        let who = fields[1..<fields.count - 2].joined(separator: ":")
        let article = fields[fields.count - 2]
        let window = Interval(from: from, to: max(to, from + 1))
        let stretches = report(window, through: rows.last?.sequence ?? 0).lines.filter { line in
            guard line.meter == meter, "\(line.sku)#\(line.tier)" == article else { return false }
            if who.hasPrefix("tenant=") { return (line.tenant ?? "") == who.dropFirst("tenant=".count) }
            let resources = [line.guest?.description, line.volume]
            return who == resources.compactMap { $0 }.joined(separator: "/") || who == line.guest?.description || who == line.volume
        }
        guard !stretches.isEmpty else { return nil }
        let amounts = stretches.compactMap(\.amount)
        return Explanation(
            stretches: stretches, rows: evidence(for: stretches, window),
            amount: amounts.count == stretches.count ? amounts.reduce(.zero, +) : nil)
    }

    private func evidence(for stretches: [ReportLine], _ window: Interval) -> [FactRow] {
        let clocks = ClockMap(rows.map(\.fact))
        var before: [String: FactRow] = [:]
        var result: [FactRow] = []
        let guests = Set(stretches.compactMap(\.guest))
        let volumes = Set(stretches.compactMap(\.volume))
        for row in rows {
            let subject: String
            switch row.fact.body {
            case .guest(let body) where guests.contains(body.guest): subject = "guest \(body.guest)"
            case .assignment(let guest, _) where guests.contains(guest): subject = "assignment \(guest)"
            case .traffic(let body) where guests.contains(body.guest) && volumes.contains(body.interface):
                subject = "traffic \(body.interface)"
            case .volume(let body) where volumes.contains(body.key): subject = "volume \(body.key)"
            default: continue
            }
            let second = wholeSeconds(clocks.milliseconds(row.fact.seen))
            if second >= window.from && second <= window.to {
                result.append(row)
            } else if second < window.from {
                let key = "\(subject) \(row.fact.host?.text ?? "") \(row.fact.id.origin)"
                let known = before[key].map { clocks.milliseconds($0.fact.seen) } ?? .min
                if clocks.milliseconds(row.fact.seen) >= known { before[key] = row }
            }
        }
        return Array((result + before.values).sorted { $0.sequence < $1.sequence }.prefix(Billing.explainedRows))
    }
}

extension Explanation: CustomStringConvertible {
    /// The explanation for a terminal.
    public var description: String {
        var text = ""
        for line in stretches {
            let state = line.state.map { ", \($0.words)" } ?? ""
            let host = line.host.map { " on \($0)" } ?? ""
            text += "\(Timestamp(seconds: line.interval.from)) to \(Timestamp(seconds: line.interval.to))\(host)\(state)"
            text += ", \(line.evidence?.word ?? "observed"): \(line.usage) counted = \(line.quantityText) \(line.unit.words)"
            if let amount = line.amount {
                let discount = line.keptPartsPerMillion == 1_000_000 ? "" : ", discount \(1_000_000 - line.keptPartsPerMillion) ppm"
                text +=
                    " x \(line.unitPriceText) \(line.currency?.code ?? "") (book \(line.book ?? "none"), step \(line.tier + 1)\(discount))"
                text += " = \(amount.exactText)\n"
            } else {
                text += ", no price\n"
            }
        }
        if let amount { text += "sum, exact: \(amount.exactText)\n" }
        text += "follows from the ledger rows:\n"
        for row in rows {
            text += "  #\(row.sequence) \(row.fact.seen.wall) \(row.fact.source.word)\(row.fact.host.map { " \($0)" } ?? ""): "
            text += "\(row.fact.body.summary) [\(row.fact.id), chain \(hexadecimal(Array(row.hash.prefix(8))))]\n"
        }
        return text
    }
}

extension FactBody {
    /// What was seen, in a few words.
    public var summary: String {
        switch self {
        case .guest(let fact):
            let what: String
            switch fact.presence {
            case .absent: what = "gone"
            case .state(let state, let reason): what = SpanState(state, reason: reason).words
            }
            let edge = fact.edge == .started ? ", started" : fact.edge == .stopped ? ", stopped" : ""
            let shape = fact.shape.map { ", \($0.vcpus) vCPUs, \($0.memory), tenant \($0.tenant ?? "none")" } ?? ""
            let proof = fact.continuity.map { $0.isProven ? ", gap proven" : ", gap not proven" } ?? ""
            return "guest \(what)\(edge)\(fact.run.map { ", run \($0)" } ?? "")\(shape)\(proof)"
        case .volume(let fact): return "\(fact.kind.word) \(fact.key) \(fact.size.count) bytes, \(fact.presence)"
        case .traffic(let fact): return "traffic \(fact.interface) run \(fact.run): \(fact.received) in, \(fact.sent) out"
        case .watchOpened(let means, let guests): return "watch opened (\(means)), \(guests.count) guests"
        case .watchClosed(let before): return "watch lost, last answer \(before) ms before"
        case .alive(let before): return "alive, oldest answer \(before) ms before"
        case .journalRead(let from, let through): return "hook journal read, \(from)…\(through) ms since boot"
        case .assignment(_, let tenant): return "assigned to \(tenant ?? "its metadata's tenant")"
        case .clockAnchor(let machine): return "clock of \(machine) anchored"
        case .acknowledgement(let finding): return "acknowledged \(finding)"
        case .closing(let closing): return "closed \(closing.from) to \(closing.to)"
        }
    }
}
