import Fleet
import Metering

/// Every second of one guest in a period: what it did, how that is known, whether it is billed.
struct GuestLife {
    struct Stretch {
        let interval: Interval
        let state: SpanState
        let evidence: Evidence
        let host: HostName?
        let run: Int32?
        let shape: GuestShape?
        /// Whether the billable table in force bills it as compute.
        let isBilled: Bool
    }

    let guest: GuestID
    let window: Interval
    let stretches: [Stretch]

    init(guest: GuestID, window: Interval, spans: SpanBook, tariff: Tariff) {
        self.guest = guest
        self.window = window
        guard let index = spans.index(of: guest) else {
            stretches = []
            return
        }
        var stretches: [Stretch] = []
        for span in spans.spans[spans.spanRanges[index]] {
            let whole = Interval(from: max(span.interval.from, window.from), to: min(span.interval.to, window.to))
            guard whole.seconds > 0 else { continue }
            // A change of the billable table splits a stretch, as it splits the bill.
            var cuts = tariff.tables.entries.flatMap { [$0.interval.from, $0.interval.to] }.filter { $0 > whole.from && $0 < whole.to }
            cuts = Array(Set(cuts + [whole.to])).sorted()
            var from = whole.from
            for cut in cuts {
                let table = tariff.tables.entries.first { $0.interval.from <= from && from < $0.interval.to }?.value
                stretches.append(
                    Stretch(
                        interval: Interval(from: from, to: cut), state: span.state, evidence: span.evidence,
                        host: span.host >= 0 ? spans.hosts[Int(span.host)] : nil, run: span.run >= 0 ? span.run : nil,
                        shape: span.shape >= 0 ? spans.shapes[Int(span.shape)] : nil,
                        isBilled: span.evidence != .unknown && table?.bills(.compute, in: span.state) == true))
                from = cut
            }
        }
        self.stretches = stretches
    }

    /// Seconds by what becomes of them.
    var sums: (life: Int64, billed: Int64, free: Int64, unknown: Int64) {
        var sums: (life: Int64, billed: Int64, free: Int64, unknown: Int64) = (0, 0, 0, 0)
        for stretch in stretches {
            sums.life += stretch.interval.seconds
            if stretch.evidence == .unknown {
                sums.unknown += stretch.interval.seconds
            } else if stretch.isBilled {
                sums.billed += stretch.interval.seconds
            } else {
                sums.free += stretch.interval.seconds
            }
        }
        return sums
    }

    private func verdict(_ stretch: Stretch) -> String {
        stretch.evidence == .unknown ? "unknown" : stretch.isBilled ? "billed" : "free"
    }

    var text: String {
        var table = TextTable([
            ("FROM", .left), ("TO", .left), ("SECONDS", .right), ("STATE", .left), ("EVIDENCE", .left), ("COMPUTE", .left),
            ("HOST", .left), ("RUN", .right), ("SIZE", .left), ("TENANT", .left),
        ])
        for stretch in stretches {
            table.add([
                Timestamp(seconds: stretch.interval.from).description, Timestamp(seconds: stretch.interval.to).description,
                "\(stretch.interval.seconds)", stretch.state.words, stretch.evidence.word, verdict(stretch), stretch.host?.text ?? "-",
                stretch.run.map(String.init) ?? "-", stretch.shape.map { "\($0.vcpus) vCPUs, \($0.memory)" } ?? "not read",
                stretch.shape?.tenant ?? "-",
            ])
        }
        let sums = sums
        return table.lines.joined(separator: "\n")
            + "\n\(sums.life) s of life = \(sums.billed) billed + \(sums.free) free + \(sums.unknown) unknown\n"
            + "the ledger's rows about it in the period:\n"
    }

    var json: Json {
        let sums = sums
        return .object([
            ("guest", .text(guest.description)), ("from", .text(Timestamp(seconds: window.from).description)),
            ("to", .text(Timestamp(seconds: window.to).description)),
            (
                "seconds",
                .object([
                    ("life", .integer(sums.life)), ("billed", .integer(sums.billed)), ("free", .integer(sums.free)),
                    ("unknown", .integer(sums.unknown)),
                ])
            ),
            (
                "stretches",
                .list(
                    stretches.map { stretch in
                        .object([
                            ("from", .integer(stretch.interval.from)), ("to", .integer(stretch.interval.to)),
                            ("state", .text(stretch.state.words)), ("evidence", .text(stretch.evidence.word)),
                            ("compute", .text(verdict(stretch))), ("host", .optional(stretch.host?.text)),
                            ("run", stretch.run.map { .integer(Int64($0)) } ?? .null),
                            ("vcpus", .integer(Int64(stretch.shape?.vcpus ?? 0))),
                            ("tenant", .optional(stretch.shape?.tenant)),
                        ])
                    })
            ),
        ])
    }
}

extension Fact {
    /// Whether a guest, or a disk of it, is what this is about.
    func isAbout(_ guest: GuestID) -> Bool {
        switch body {
        case .guest(let body): body.guest == guest
        case .traffic(let body): body.guest == guest
        case .assignment(let id, _): id == guest
        case .volume(let body): body.presence == .attached(guest) || body.key.hasPrefix("\(guest)/")
        default: false
        }
    }
}
