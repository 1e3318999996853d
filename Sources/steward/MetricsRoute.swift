import Collection
import Exposition
import HTTPServer
import Synchronization
import TimeSeries

/// The routes of `serve`: the scrape, and whether we are well.
struct ServeRoutes: Sendable {
    let watch: FleetWatch
    let names: MetricNames
    let process: ProcessWatch

    var all: [WebRoute] {
        let page = self
        return [
            WebRoute("GET", "/metrics") { page.metrics($0) },
            WebRoute("GET", "/-/healthy") { _ in .text("Steward is healthy.\n") },
            WebRoute("GET", "/-/ready") { _ in page.ready() },
            WebRoute("GET", "/") { _ in .text("Steward \(stewardVersion). Metrics are at /metrics.\n") },
        ]
    }

    /// Ready once every host has been tried: before that a scrape would miss hosts that are well.
    private func ready() -> WebResponse {
        let seen = watch.snapshot.hostsSeen
        let hosts = watch.hostCount
        guard seen >= hosts else { return .text("\(seen) of \(hosts) hosts have been tried.\n", status: 503) }
        return .text("Steward is ready.\n")
    }

    /// Memory only: the snapshot's ticks, written piece by piece as the client takes them.
    private func metrics(_ request: WebRequest) -> WebResponse {
        let format = ExpositionFormat(accept: request.accept)
        let ticks = watch.snapshot.ticks + [process.tick(at: watch.now)]
        if acceptsGzip(request.acceptEncoding), let compressed = try? CompressedPieces(ticks, format, names, process) {
            return WebResponse(
                contentType: format.contentType,
                headers: [
                    WebParameter(name: "Content-Encoding", value: "gzip"), WebParameter(name: "Vary", value: "Accept, Accept-Encoding"),
                ],
                body: .pieces { compressed.next() })
        }
        let plain = PlainPieces(ticks, format, names, process)
        return WebResponse(
            contentType: format.contentType, headers: [WebParameter(name: "Vary", value: "Accept, Accept-Encoding")],
            body: .pieces { plain.next() })
    }
}

/// A renderer that a response's writer, on whichever thread, pulls from.
private final class PlainPieces: Sendable {
    private let renderer: Mutex<ExpositionRenderer>
    private let count: ScrapeCount

    init(_ ticks: [SourceTick], _ format: ExpositionFormat, _ names: MetricNames, _ process: ProcessWatch) {
        renderer = Mutex(ExpositionRenderer(ticks, format: format, names: names))
        count = ScrapeCount(process)
    }

    func next() -> [UInt8]? { count.piece { renderer.withLock { $0.next() } } }
}

/// The same, through gzip.
private final class CompressedPieces: Sendable {
    private let pieces: Mutex<CompressedExposition>
    private let count: ScrapeCount

    init(_ ticks: [SourceTick], _ format: ExpositionFormat, _ names: MetricNames, _ process: ProcessWatch) throws(GzipFailure) {
        pieces = Mutex(try CompressedExposition(ExpositionRenderer(ticks, format: format, names: names)))
        count = ScrapeCount(process)
    }

    func next() -> [UInt8]? { count.piece { pieces.withLock { $0.next() } } }
}

/// Adds up what one scrape costs, and tells it at its end.
private final class ScrapeCount: Sendable {
    private let process: ProcessWatch
    private let total = Mutex((bytes: 0, nanoseconds: UInt64(0)))

    init(_ process: ProcessWatch) { self.process = process }

    func piece(_ make: () -> [UInt8]?) -> [UInt8]? {
        let before = process.threadNanoseconds()
        let piece = make()
        let took = process.threadNanoseconds() - before
        let sum = total.withLock { total in
            total.bytes += piece?.count ?? 0
            total.nanoseconds += took
            return total
        }
        if piece == nil { process.scraped(bytes: sum.bytes, nanoseconds: sum.nanoseconds) }
        return piece
    }
}
