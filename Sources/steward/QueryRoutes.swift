import Collection
import Fleet
import HTTPServer
import PromQL
import PrometheusAPI
import Storage
import TimeSeries

/// Prometheus' HTTP API over the sample store, as routes of the server.
struct QueryRoutes: Sendable {
    private let api: PrometheusAPI
    private let pool = QueryPool()

    init(_ store: SampleStore, clock: SystemClock, retention: String) {
        let environment = QueryRoutes.environment(store, now: { clock.now().wall }, retention: retention)
        api = PrometheusAPI(environment: environment, pool: pool)
    }

    /// The API as a part of a running server.
    static func part(_ store: SampleStore, clock: SystemClock, retention: String) -> ServePart {
        let routes = QueryRoutes(store, clock: clock, retention: retention)
        return ServePart(
            listener: LaneListener(report: { _ in }, event: { _, _, _ in }), routes: routes.all, close: { routes.pool.close() })
    }

    /// What the API needs, with the ready-made series beside the stored ones.
    static func environment(_ store: SampleStore, now: @escaping @Sendable () -> Timestamp, retention: String) -> APIEnvironment {
        let stored = MetricCatalogue.families.map { family in
            MetricMetadata(name: family.name, type: family.kind.rawValue, help: family.help, unit: family.unit ?? "")
        }
        let readyMade = ReadyMadeFamily.all.map { MetricMetadata(name: $0.name, type: "gauge", help: $0.help, unit: $0.unit) }
        return APIEnvironment(
            source: { ReadyMadeSource(store.snapshot()) }, now: now, version: stewardVersion, started: now(),
            metadata: (stored + readyMade).sorted { $0.name < $1.name }, retention: retention)
    }

    var all: [WebRoute] {
        api.routes.map { route in
            WebRoute(route.method, route.path) { request in
                let answer = await route.answer(
                    APIRequest(captures: request.captures, parameters: request.parameters.map { ($0.name, $0.value) }))
                return WebResponse(status: answer.status, contentType: answer.contentType, body: .bytes(answer.body))
            }
        }
    }
}
