import Collection
import Exposition
import HTTPServer
import Synchronization
import TimeSeries

/// The routes of `serve`: the scrape, and whether we are well.
struct ServeRoutes: Sendable {
    let snapshot: LiveSnapshot
    let names: MetricNames
    let hosts: Int

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
        let seen = snapshot.hostsSeen
        guard seen >= hosts else { return .text("\(seen) of \(hosts) hosts have been tried.\n", status: 503) }
        return .text("Steward is ready.\n")
    }

    /// Memory only: the snapshot's ticks, written piece by piece as the client takes them.
    private func metrics(_ request: WebRequest) -> WebResponse {
        let format = ExpositionFormat(accept: request.accept)
        let ticks = snapshot.ticks
        if acceptsGzip(request.acceptEncoding), let compressed = try? CompressedPieces(ticks, format, names) {
            return WebResponse(
                contentType: format.contentType,
                headers: [
                    WebParameter(name: "Content-Encoding", value: "gzip"), WebParameter(name: "Vary", value: "Accept, Accept-Encoding"),
                ],
                body: .pieces { compressed.next() })
        }
        let plain = PlainPieces(ticks, format, names)
        return WebResponse(
            contentType: format.contentType, headers: [WebParameter(name: "Vary", value: "Accept, Accept-Encoding")],
            body: .pieces { plain.next() })
    }
}

/// A renderer that a response's writer, on whichever thread, pulls from.
private final class PlainPieces: Sendable {
    private let renderer: Mutex<ExpositionRenderer>

    init(_ ticks: [SourceTick], _ format: ExpositionFormat, _ names: MetricNames) {
        renderer = Mutex(ExpositionRenderer(ticks, format: format, names: names))
    }

    func next() -> [UInt8]? { renderer.withLock { $0.next() } }
}

/// The same, through gzip.
private final class CompressedPieces: Sendable {
    private let pieces: Mutex<CompressedExposition>

    init(_ ticks: [SourceTick], _ format: ExpositionFormat, _ names: MetricNames) throws(GzipFailure) {
        pieces = Mutex(try CompressedExposition(ExpositionRenderer(ticks, format: format, names: names)))
    }

    func next() -> [UInt8]? { pieces.withLock { $0.next() } }
}
