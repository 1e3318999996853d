public import Fleet
public import PromQL
public import TimeSeries

/// One page of the API.
public struct APIRoute: Sendable {
    /// `GET` or `POST`.
    public let method: String
    /// The path; a part `{name}` matches anything but a slash and is captured.
    public let path: String
    /// Answers; whatever blocks runs on the query threads.
    public let answer: @Sendable (APIRequest) async -> APIResponse
}

/// One family of metrics, as `/api/v1/metadata` shows it.
public struct MetricMetadata: Sendable {
    /// The name.
    public let name: String
    /// `counter`, `gauge` or `info`.
    public let type: String
    /// One sentence.
    public let help: String
    /// The unit, or empty.
    public let unit: String

    /// A family.
    public init(name: String, type: String, help: String, unit: String) {
        self.name = name
        self.type = type
        self.help = help
        self.unit = unit
    }
}

/// What the API needs from the server around it.
public struct APIEnvironment: Sendable {
    /// A consistent view of all series, taken anew for each request.
    public var source: @Sendable () -> any SeriesSource
    /// The wall clock.
    public var now: @Sendable () -> Timestamp
    /// Steward's version.
    public var version: String
    /// When the server began.
    public var started: Timestamp
    /// What there is to know of each metric, sorted by name.
    public var metadata: [MetricMetadata]
    /// How long samples are kept, in words.
    public var retention: String
    /// The rules and their alerts.
    public var rules: @Sendable () -> [RuleGroup]

    /// An environment without rules.
    public init(
        source: @escaping @Sendable () -> any SeriesSource, now: @escaping @Sendable () -> Timestamp, version: String, started: Timestamp,
        metadata: [MetricMetadata] = [], retention: String = "", rules: @escaping @Sendable () -> [RuleGroup] = { [] }
    ) {
        self.source = source
        self.now = now
        self.version = version
        self.started = started
        self.metadata = metadata
        self.retention = retention
        self.rules = rules
    }
}

/// Bounds of the API beside those of one evaluation.
public struct APILimits: Sendable {
    /// Bounds of one evaluation: smaller than the evaluator's own, since several run at once and their answers are written out whole.
    public var evaluation: EvaluationLimits = {
        var limits = EvaluationLimits()
        limits.heldValues = 20_000_000
        // Prometheus allows 11,000 intervals, which are 11,001 points.
        limits.steps = PrometheusAPI.stepLimit + 1
        return limits
    }()
    /// How long a query may take, the wait for a thread included: Prometheus' own two minutes.
    public var timeout = Duration.seconds(120)
    /// The longest query: what Prometheus' own clients send stays under a tenth of it.
    public var queryBytes = 1 << 20

    /// The usual bounds.
    public init() {}
}

/// Prometheus' HTTP API over a source of series.
///
/// Errors, statuses and texts are those of Prometheus 3.9 (https://prometheus.io/docs/prometheus/latest/querying/api/).
public struct PrometheusAPI: Sendable {
    /// The release of Prometheus whose answers these are; clients choose features by it.
    public static let compatibleVersion = "3.9.1"
    /// Intervals of a range query.
    static let stepLimit = 11_000

    let environment: APIEnvironment
    let limits: APILimits
    let pool: QueryPool

    /// An API; the pool may be shared with others that ask.
    public init(environment: APIEnvironment, pool: QueryPool, limits: APILimits = APILimits()) {
        self.environment = environment
        self.pool = pool
        self.limits = limits
    }

    /// All pages.
    public var routes: [APIRoute] {
        let queries =
            both("/api/v1/query", PrometheusAPI.query) + both("/api/v1/query_range", PrometheusAPI.queryRange)
            + both("/api/v1/format_query", PrometheusAPI.formatQuery) + both("/api/v1/query_exemplars", PrometheusAPI.exemplars)
        let series =
            both("/api/v1/series", PrometheusAPI.series) + both("/api/v1/labels", PrometheusAPI.labelNames)
            + [
                get("/api/v1/label/{name}/values", PrometheusAPI.labelValues), get("/api/v1/metadata", PrometheusAPI.metadata),
                APIRoute(method: "GET", path: "/federate") { request in
                    await run(request) { (page: QueryPage) throws(APIError) in try page.federate() }
                },
            ]
        let status = [
            get("/api/v1/targets", PrometheusAPI.targets), get("/api/v1/rules", PrometheusAPI.rules),
            get("/api/v1/alerts", PrometheusAPI.alerts), get("/api/v1/status/buildinfo", PrometheusAPI.buildInformation),
            get("/api/v1/status/runtimeinfo", PrometheusAPI.runtimeInformation), get("/api/v1/status/tsdb", PrometheusAPI.tsdb),
        ]
        return queries + series + status
    }

    typealias Page = @Sendable (QueryPage) throws(APIError) -> Envelope

    private func get(_ path: String, _ page: @escaping Page) -> APIRoute {
        APIRoute(method: "GET", path: path) { request in
            await run(request) { (asked: QueryPage) throws(APIError) in try page(asked).response }
        }
    }

    private func both(_ path: String, _ page: @escaping Page) -> [APIRoute] {
        let route = get(path, page)
        return [route, APIRoute(method: "POST", path: path, answer: route.answer)]
    }

    /// Answers on a thread of the pool, within the time that is left.
    private func run(
        _ request: APIRequest, _ page: @escaping @Sendable (QueryPage) throws(APIError) -> APIResponse
    ) async -> APIResponse {
        let clock = ContinuousClock()
        let asked = clock.now
        let api = self
        let answer: APIResponse? = await pool.run { cancelled in
            do throws(APIError) {
                if let query = request["query"], query.utf8.count > api.limits.queryBytes {
                    throw .invalid("query", "the query has \(query.utf8.count) bytes, more than the \(api.limits.queryBytes) allowed")
                }
                var timeout = api.limits.timeout
                if let wanted = try request.duration("timeout") { timeout = min(timeout, wanted) }
                let deadline = asked + timeout
                return try page(
                    QueryPage(api: api, request: request) {
                        if cancelled.isSet { return .cancelled }
                        return clock.now >= deadline ? .deadline : nil
                    })
            } catch {
                return Envelope.failure(error)
            }
        }
        return answer
            ?? Envelope.failure(
                APIError(
                    kind: .unavailable,
                    message:
                        "too many queries: \(pool.threads) run and \(pool.queueLimit) wait; ask again later, or raise the number of query threads"
                ))
    }
}

/// One request on its thread.
struct QueryPage {
    let api: PrometheusAPI
    let request: APIRequest
    let shouldStop: () -> StopReason?

    var now: Timestamp { api.environment.now() }

    func evaluator() throws(APIError) -> Evaluator {
        var settings = EvaluationSettings()
        settings.gathersEvidence = false
        if let lookback = try request.duration("lookback_delta"), lookback > .zero {
            settings.lookbackMilliseconds = lookback.milliseconds
        }
        return Evaluator(source: api.environment.source(), limits: api.limits.evaluation, settings: settings)
    }

    /// The label sets that meet any of the selectors, or all where there are none, sorted and without doubles.
    func labelSets(from: Timestamp, through: Timestamp, matching: [[LabelMatcher]]) throws(APIError) -> [LabelSet] {
        let source = api.environment.source()
        var result: [LabelSet] = []
        for matchers in matching.isEmpty ? [[]] : matching {
            try checkStop()
            do throws(SeriesSourceError) {
                result += try source.labelSets(SeriesSelection(matchers: matchers, from: from, through: through))
            } catch {
                throw APIError(kind: .internalError, message: error.description)
            }
        }
        if matching.count < 2 { return result }
        result.sort()
        var unique: [LabelSet] = []
        for labels in result where labels != unique.last { unique.append(labels) }
        return unique
    }

    func checkStop() throws(APIError) {
        switch shouldStop() {
        case nil: return
        case .cancelled: throw APIError(kind: .canceled, message: "the client went away")
        case .deadline: throw APIError(kind: .timeout, message: "the request took longer than its timeout")
        }
    }
}
