import Dispatch
import Fleet
import Glibc
import PromQL
import PrometheusAPI
import QueryScripts
import Synchronization
import Testing
import TimeSeries

/// A source that blocks until it is let go, and then gives one series again and again until told to stop.
private final class SlowSource: SeriesSource {
    let entered = Atomic(0)
    let gate = DispatchSemaphore(value: 0)
    let visits = Atomic(0)

    func select(_ selection: SeriesSelection, visit: (LabelSet, SampleRun) -> Bool) throws(SeriesSourceError) {
        entered.add(1, ordering: .relaxed)
        gate.wait()
        gate.signal()
        // More than any query may see: it ends when it is told to, and a busy machine may be long in telling.
        for index in 0..<1_000_000_000 {
            visits.add(1, ordering: .relaxed)
            // From here on slower, so that no other bound is met while the test waits for its turn on a busy machine.
            if index > 10_000 { usleep(1000) }
            let times = (0..<100).map { selection.from.milliseconds + Int64($0) }
            let run = SampleRun(milliseconds: times, values: times.map { Double($0) })
            if !visit(LabelSet(metric: "slow", [Label("n", "\(index)")]), run) { return }
        }
    }

    func labelSets(_ selection: SeriesSelection) throws(SeriesSourceError) -> [LabelSet] {
        throw SeriesSourceError("/data/part.db: the disk is gone; look at the kernel's log")
    }
}

@Suite("Prometheus' HTTP API")
struct PrometheusAPITests {
    static let now = Timestamp(milliseconds: 600_250)

    static func api(_ source: any SeriesSource = memory, pool: QueryPool? = nil, limits: APILimits = APILimits()) -> PrometheusAPI {
        let environment = APIEnvironment(
            source: { source }, now: { now }, version: "0.1.0", started: Timestamp(milliseconds: 0),
            metadata: [MetricMetadata(name: "cpu_total", type: "counter", help: "CPU \"time\".", unit: "seconds")], retention: "90d",
            rules: {
                [
                    RuleGroup(
                        name: "g", file: "policies.yaml", interval: .seconds(30),
                        rules: [
                            AlertingRule(
                                name: "hot", query: "cpu > 1", lastEvaluation: now,
                                alerts: [Alert(labels: LabelSet([Label("uuid", "1")]), isFiring: true, since: now, value: 2)])
                        ])
                ]
            })
        return PrometheusAPI(environment: environment, pool: pool ?? QueryPool(threads: 1, queueLimit: 1), limits: limits)
    }

    static var memory: MemorySource {
        var source = MemorySource()
        for index in 0...60 {
            source.add(LabelSet(metric: "cpu_total", [Label("host", "a"), Label("uuid", "1")]), Int64(index) * 10_000, Double(index))
            source.add(LabelSet(metric: "libvirt_up", [Label("host", "a\"\n")]), Int64(index) * 10_000, 1)
            source.add(LabelSet(metric: "steward_tick_duration_seconds", [Label("host", "a\"\n")]), Int64(index) * 10_000, 0.25)
        }
        return source
    }

    /// Asks for `path?name=value&…`, not escaped.
    static func ask(_ api: PrometheusAPI, _ target: String, method: String = "GET") async throws -> (status: Int, body: String) {
        let halves = target.split(separator: "?", maxSplits: 1)
        let path = String(halves[0])
        var captures: [String] = []
        let route = try #require(
            api.routes.first { route in
                let parts = route.path.split(separator: "/")
                let given = path.split(separator: "/")
                guard route.method == method, parts.count == given.count else { return false }
                captures = zip(parts, given).filter { $0.0.hasPrefix("{") }.map { String($0.1) }
                return zip(parts, given).allSatisfy { $0.0.hasPrefix("{") || $0.0 == $0.1 }
            })
        var parameters: [(name: String, value: String)] = []
        for pair in halves.dropFirst().joined().split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            parameters.append((name: String(parts[0]), value: parts.count > 1 ? String(parts[1]) : ""))
        }
        let response = await route.answer(APIRequest(captures: captures, parameters: parameters))
        return (response.status, String(decoding: response.body, as: UTF8.self))
    }

    @Test(
        "answers are Prometheus' to the byte",
        arguments: [
            (
                "/api/v1/query?query=cpu_total&time=600",
                #"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"cpu_total","host":"a","uuid":"1"},"value":[600,"60"]}]}}"#
            ),
            ("/api/v1/query?query=1 / 3", #"{"status":"success","data":{"resultType":"scalar","result":[600.250,"0.3333333333333333"]}}"#),
            ("/api/v1/query?query=\"x\"&time=1.5", #"{"status":"success","data":{"resultType":"string","result":[1.5,"x"]}}"#),
            (
                "/api/v1/query_range?query=-cpu_total / 0&start=10&end=1970-01-01T00:00:20Z&step=10s",
                #"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"host":"a","uuid":"1"},"values":[[10,"-Inf"],[20,"-Inf"]]}]}}"#
            ),
            (
                "/api/v1/query?query=rate(libvirt_up[1m])&time=60",
                #"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"host":"a\"\n"},"value":[60,"0"]}]},"infos":["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"libvirt_up\" (1:6)"]}"#
            ),
            (
                "/api/v1/series?match[]=cpu_total&match[]={uuid=\"1\"}&start=0&end=100",
                #"{"status":"success","data":[{"__name__":"cpu_total","host":"a","uuid":"1"}]}"#
            ),
            ("/api/v1/labels", #"{"status":"success","data":["__name__","host","uuid"]}"#),
            (
                "/api/v1/labels?match[]=libvirt_up&limit=1",
                #"{"status":"success","data":["__name__"],"warnings":["results truncated due to limit"]}"#
            ),
            ("/api/v1/label/uuid/values", #"{"status":"success","data":["1"]}"#),
            ("/api/v1/label/nothing/values", #"{"status":"success","data":[]}"#),
            (
                "/api/v1/metadata",
                #"{"status":"success","data":{"cpu_total":[{"type":"counter","help":"CPU \"time\".","unit":"seconds"}]}}"#
            ),
            ("/api/v1/metadata?metric=other", #"{"status":"success","data":{}}"#),
            ("/api/v1/query_exemplars?query=up&start=0&end=1", #"{"status":"success","data":[]}"#),
            ("/api/v1/format_query?query=sum  by(a)(b)", #"{"status":"success","data":"sum by (a) (b)"}"#),
            (
                "/api/v1/alerts",
                #"{"status":"success","data":{"alerts":[{"labels":{"uuid":"1"},"annotations":{},"state":"firing","activeAt":"1970-01-01T00:10:00.250Z","value":"2"}]}}"#
            ),
        ])
    func answers(target: String, body: String) async throws {
        let answer = try await PrometheusAPITests.ask(PrometheusAPITests.api(), target)
        #expect(answer.body == body)
        #expect(answer.status == 200)
    }

    @Test(
        "mistakes have Prometheus' status, type and words",
        arguments: [
            ("/api/v1/query", 400, "bad_data", #"invalid parameter \"query\": 1:1: parse error: no expression found in input"#),
            ("/api/v1/query?query=sum(", 400, "bad_data", #"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"#),
            ("/api/v1/query?query=1&time=x", 400, "bad_data", #"invalid parameter \"time\": cannot parse \"x\" to a valid timestamp"#),
            (
                "/api/v1/query_range?query=1&end=1&step=1", 400, "bad_data",
                #"invalid parameter \"start\": cannot parse \"\" to a valid timestamp"#
            ),
            ("/api/v1/query_range?query=1&start=2&end=1&step=1", 400, "bad_data", "end timestamp must not be before start time"),
            ("/api/v1/query_range?query=1&start=0&end=1&step=-1", 400, "bad_data", "zero or negative query resolution step widths"),
            ("/api/v1/query_range?query=1&start=0&end=11001&step=1", 400, "bad_data", "exceeded maximum resolution of 11,000 points"),
            ("/api/v1/query_range?query=1&start=0&end=1&step=banana", 400, "bad_data", #"invalid parameter \"step\": cannot parse"#),
            ("/api/v1/query_range?query=up[5m]&start=0&end=1&step=1", 400, "bad_data", "for range query, must be Scalar or instant Vector"),
            (
                "/api/v1/query?query=cpu_total + on(x) group_left libvirt_up + on(x) {__name__=~\".+\"}", 422, "execution",
                "duplicate series"
            ),
            ("/api/v1/query?query={a=~\"(\"}", 400, "bad_data", "parse error"),
            ("/api/v1/series", 400, "bad_data", "no match[] parameter provided"),
            ("/api/v1/series?match[]={}", 400, "bad_data", #"invalid parameter \"match[]\""#),
            ("/api/v1/query?query=1&limit=-1", 400, "bad_data", "limit must be non-negative"),
            ("/api/v1/query?query=1&timeout=x", 400, "bad_data", #"invalid parameter \"timeout\""#),
        ])
    func mistakes(target: String, status: Int, type: String, words: String) async throws {
        let answer = try await PrometheusAPITests.ask(PrometheusAPITests.api(), target)
        #expect(answer.status == status)
        #expect(answer.body.hasPrefix(#"{"status":"error","errorType":"\#(type)","error":""#))
        #expect(answer.body.contains(words), "\(answer.body)")
    }

    @Test("a range of 11,000 intervals is answered")
    func longestRange() async throws {
        let answer = try await PrometheusAPITests.ask(PrometheusAPITests.api(), "/api/v1/query_range?query=1&start=0&end=11000&step=1")
        #expect(answer.status == 200)
    }

    @Test("a megabyte of query is refused, and so is a query beyond a bound, with the bound's name")
    func bounds() async throws {
        let long = try await PrometheusAPITests.ask(
            PrometheusAPITests.api(), "/api/v1/query?query=" + String(repeating: "1", count: 1 << 20 | 1))
        #expect(long.status == 400 && long.body.count < 1000)
        var limits = APILimits()
        limits.evaluation.samples = 60
        let answer = try await PrometheusAPITests.ask(
            PrometheusAPITests.api(limits: limits), "/api/v1/query?query=sum(sum_over_time(cpu_total[1h]))")
        #expect(answer.status == 422)
        #expect(answer.body.contains("raise `samples` of the query limits"))
    }

    @Test("queries beyond the threads and the queue are refused with 503; the others are answered")
    func fullPool() async throws {
        let source = SlowSource()
        let pool = QueryPool(threads: 1, queueLimit: 1)
        let api = PrometheusAPITests.api(source, pool: pool)
        let target = "/api/v1/query?query=count(slow)&timeout=1ms"
        async let first = PrometheusAPITests.ask(api, target)
        while source.entered.load(ordering: .relaxed) == 0 { await Task.yield() }
        async let second = PrometheusAPITests.ask(api, target)
        while pool.load != (1, 1) { await Task.yield() }
        let refused = try await PrometheusAPITests.ask(api, target)
        #expect(refused.status == 503)
        #expect(refused.body.contains("\"unavailable\"") && refused.body.contains("1 run and 1 wait"))
        source.gate.signal()
        #expect(try await first.body.contains("\"timeout\""))
        #expect(try await second.body.contains("\"timeout\""))
    }

    @Test("a query past its timeout ends with 503, one whose client went away with 499, long before its end")
    func stops() async throws {
        let source = SlowSource()
        source.gate.signal()
        let api = PrometheusAPITests.api(source)
        let late = try await PrometheusAPITests.ask(api, "/api/v1/query?query=count(slow)&timeout=50ms")
        #expect(late.status == 503 && late.body.contains("\"timeout\""))
        let before = source.visits.load(ordering: .relaxed)
        let task = Task { try await PrometheusAPITests.ask(api, "/api/v1/query?query=count(slow)") }
        while source.visits.load(ordering: .relaxed) == before { await Task.yield() }
        task.cancel()
        let gone = try await task.value
        #expect(gone.status == 499 && gone.body.contains("\"canceled\""))
        #expect(source.visits.load(ordering: .relaxed) < 1_000_000_000)
    }

    @Test("a store that fails is told as an internal error, in its own words")
    func brokenStore() async throws {
        let answer = try await PrometheusAPITests.ask(PrometheusAPITests.api(SlowSource()), "/api/v1/labels")
        #expect(answer.status == 500)
        #expect(answer.body.contains("the disk is gone"))
    }

    @Test("GET and form POST answer the same")
    func post() async throws {
        for path in [
            "/api/v1/query?query=1&time=1", "/api/v1/query_range?query=1&start=0&end=1&step=1", "/api/v1/labels",
            "/api/v1/series?match[]=libvirt_up",
        ] {
            let got = try await PrometheusAPITests.ask(PrometheusAPITests.api(), path)
            let posted = try await PrometheusAPITests.ask(PrometheusAPITests.api(), path, method: "POST")
            #expect(got == posted && got.status == 200)
        }
    }

    @Test("targets are the hosts; status pages answer; federation is Prometheus' text form")
    func status() async throws {
        let api = PrometheusAPITests.api()
        let targets = try await PrometheusAPITests.ask(api, "/api/v1/targets?state=active")
        #expect(targets.body.contains(#""lastScrapeDuration":0.25,"health":"up""#))
        let build = try await PrometheusAPITests.ask(api, "/api/v1/status/buildinfo")
        #expect(build.body.contains(#""version":"3.9.1","revision":"steward-0.1.0""#))
        #expect(try await PrometheusAPITests.ask(api, "/api/v1/status/runtimeinfo").body.contains(#""storageRetention":"90d""#))
        let tsdb = try await PrometheusAPITests.ask(api, "/api/v1/status/tsdb")
        #expect(tsdb.body.contains(#""numSeries":3"#) && tsdb.body.contains(#"{"name":"cpu_total","value":1}"#))
        let rules = try await PrometheusAPITests.ask(api, "/api/v1/rules")
        #expect(rules.body.contains(#""state":"firing","name":"hot""#))
        let federated = try await PrometheusAPITests.ask(api, "/federate?match[]=cpu_total")
        #expect(federated.body == "# TYPE cpu_total untyped\ncpu_total{host=\"a\",uuid=\"1\"} 60 600000\n")
    }

    @Test(
        "times and durations are read as Prometheus reads them",
        arguments: [
            ("0", 0), ("1.0005", 1001), ("-1", -1000), ("1970-01-01T00:00:01Z", 1000), ("1970-01-01T01:00:00.25+01:00", 250),
            ("2026-11-23T13:00:00Z", 1_795_438_800_000),
        ])
    func times(text: String, milliseconds: Int64) {
        #expect(QueryTime.timestamp(text)?.milliseconds == milliseconds)
    }

    @Test(
        "what is no time or duration is refused", arguments: ["", "x", "0x10", "nan", "inf", "1e300", "1970-13-01T00:00:00Z", "1970-01-01"])
    func wrongTimes(text: String) {
        #expect(QueryTime.timestamp(text) == nil)
        #expect(QueryTime.duration(text) == nil)
    }

    @Test("durations", arguments: [("5m", 300_000), ("1h30m", 5_400_000), ("0.5", 500), ("15", 15_000), ("250ms", 250)])
    func durations(text: String, milliseconds: Int64) {
        #expect(QueryTime.duration(text)?.milliseconds == milliseconds)
    }
}
