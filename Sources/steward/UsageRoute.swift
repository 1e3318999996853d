import Collection
import Fleet
import HTTPServer
import LedgerStorage
import Metering
import OperatorFiles
import Synchronization
import Threads

/// GET /api/v1/usage: reports of the running server's ledger, with the filters of `steward usage report`.
///
/// Reports are computed on threads of their own, never on those that answer requests; the derived spans are kept until the ledger grows.
final class UsageRoute: Sendable {
    /// More reports at once would only make each one late.
    static let maximumReports = 2

    private struct Known {
        var rows: [FactRow] = []
        var spans = SpanBook()
        var ledger: Ledger?
    }

    private let data: String
    private let billingFolder: String
    private let known = Mutex(Known())
    private let running = Mutex(0)

    init(data: String, billing: String) {
        self.data = data
        billingFolder = billing
    }

    var routes: [WebRoute] {
        [WebRoute("GET", "/api/v1/usage") { [self] request in await answer(request) }]
    }

    private func answer(_ request: WebRequest) async -> WebResponse {
        let mayRun = running.withLock { count in
            guard count < UsageRoute.maximumReports else { return false }
            count += 1
            return true
        }
        guard mayRun else { return error("\(UsageRoute.maximumReports) reports are being written; try again in a moment", status: 503) }
        return await withCheckedContinuation { continuation in
            startThread(named: "usage report") { [self] in
                let response = report(request)
                running.withLock { $0 -= 1 }
                continuation.resume(returning: response)
            }
        }
    }

    private func error(_ words: String, status: Int) -> WebResponse {
        .json(
            Json.object([
                ("status", .text("error")), ("errorType", .text(status == 400 ? "bad_data" : "execution")), ("error", .text(words)),
            ])
            .serialized + "\n", status: status)
    }

    private func report(_ request: WebRequest) -> WebResponse {
        let taken = ["from", "to", "month", "tenant", "group", "zone", "tag", "guest", "host", "by", "format"]
        if let unknown = request.parameters.first(where: { !taken.contains($0.name) }) {
            let hint = nearest(to: unknown.name, among: taken).map { "; did you mean '\($0)'?" } ?? ""
            return error("unknown parameter '\(unknown.name)'\(hint)", status: 400)
        }
        do {
            let files = try BillingFiles(folder: billingFolder)
            let (billing, spans) = try current(files)
            let window = try usageWindow(
                from: request.parameter("from"), to: request.parameter("to"), month: request.parameter("month"), files.tariff.calendar,
                horizon: billing.confirmed)
            let filter = try usageFilter(
                tenant: request.parameter("tenant"), group: request.parameter("group"), zone: request.parameter("zone"),
                tags: request.allParameters("tag"), guest: request.parameter("guest"), host: request.parameter("host"), spans)
            let asked = ReportRequest(window: window, filter: filter, by: try usageDimensions(request.allParameters("by")))
            switch request.parameter("format") ?? "json" {
            case "json": return .json(Report(spans: spans, tariff: files.tariff, request: asked).json)
            case "csv":
                let text = Report(spans: spans, tariff: files.tariff, request: asked).csv
                return WebResponse(contentType: "text/csv; charset=utf-8", body: .bytes(Array(text.utf8)))
            case "focus":
                guard filter == UsageFilter() else { return error("a FOCUS file covers every tenant: leave the filters out", status: 400) }
                let text = billing.focus(window: window, issuer: files.settings.issuer)
                return WebResponse(contentType: "text/csv; charset=utf-8", body: .bytes(Array(text.utf8)))
            case let other: return error("unknown format '\(other)'; json, csv and focus are known", status: 400)
            }
        } catch let failure as Failure {
            return error(failure.message, status: failure.code == Failure.usage ? 400 : 500)
        } catch {
            return self.error("\(error)", status: 500)
        }
    }

    /// The bills as the ledger stands now.
    ///
    /// The chain is checked when the ledger is first read; every later row is this server's own.
    private func current(_ files: BillingFiles) throws -> (Billing, SpanBook) {
        try known.withLock { known in
            do throws(FactLogError) {
                let ledger: Ledger
                if let open = known.ledger {
                    ledger = open
                } else {
                    ledger = try Ledger(reading: data + "/ledger.db")
                    if case .broken(let sequence, let reason) = try ledger.verify() {
                        throw FactLogError.damaged(sequence: sequence, reason: reason)
                    }
                    known.ledger = ledger
                }
                let before = known.rows.count
                while true {
                    let next = try ledger.rows(after: known.rows.last?.sequence ?? 0, limit: 10_000)
                    known.rows += next
                    if next.count < 10_000 { break }
                }
                if known.rows.count != before { known.spans = SpanBook(facts: known.rows.map(\.fact), policy: files.settings.gaps) }
            } catch {
                throw Failure("\(data)/ledger.db: \(error.words)")
            }
            return (Billing(rows: known.rows, files: files), known.spans)
        }
    }
}
