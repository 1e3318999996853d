import ArgumentParser
import Collection
import Fleet
import PromQL
import PrometheusAPI
import Storage
import TimeSeries

struct Query: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Asks the history a question in PromQL.",
        discussion: """
            Asks a running server, or, with --data, a folder that no server holds. An instant query prints a table, a range query a \
            small chart for each series; --json prints what Prometheus' API answers. Times are RFC 3339, Unix seconds, 'now', or \
            before now: -30m.

                steward query 'topk(3, steward_guest_cpu_ratio)'
                steward query 'sum by (host) (rate(libvirt_domain_block_read_bytes_total[5m]))' --from -6h
                steward query 'libvirt_up == 0' --url http://steward.example.org:9177 --json
                steward query 'count(libvirt_domain_id)' --data /var/lib/steward --at 2026-11-23T09:00:00Z
            """)

    @Argument(help: ArgumentHelp("The question, in PromQL.", valueName: "EXPR"))
    var expression: String

    @Option(parsing: .unconditional, help: ArgumentHelp("The instant of an instant query; now, if not given.", valueName: "time"))
    var at: String?

    @Option(parsing: .unconditional, help: ArgumentHelp("The start of a range query.", valueName: "time"))
    var from: String?

    @Option(parsing: .unconditional, help: ArgumentHelp("The end of a range query; now, if not given.", valueName: "time"))
    var to: String?

    @Option(help: ArgumentHelp("The step of a range query; a hundredth of the range, if not given.", valueName: "duration"))
    var step: String?

    @Option(help: ArgumentHelp("A folder of history that no running server holds.", valueName: "DIR"))
    var data: String?

    @Option(help: ArgumentHelp("A running server.", valueName: "URL"))
    var url: String?

    @Flag(help: "Print the answer as JSON, in Prometheus' form.")
    var json = false

    /// Points of a chart whose step is not given: about as many as a terminal is wide.
    private static let chartPoints: Int64 = 100

    func validate() throws {
        if data != nil, url != nil { throw ValidationError("--data and --url are two places to ask; give one") }
        if from == nil, to != nil || step != nil { throw ValidationError("a range query needs --from") }
        if from != nil, at != nil { throw ValidationError("--at is for an instant query, --from for a range query; give one") }
    }

    func run() async throws {
        // Mistakes are shown here, with the place under the query; the server would only name line and column.
        do { _ = try Expression(parsing: expression) } catch { throw Failure(error.rendered, code: Failure.usage) }
        let clock = SystemClock()
        let now = clock.now().wall
        let (path, form) = try request(now)
        let (status, body) = try await ask(path, form, clock)
        if json {
            print(String(decoding: body, as: UTF8.self))
            if status != 200 { throw ExitCode(Failure.other) }
            return
        }
        let answer: QueryAnswer
        do {
            answer = try QueryAnswer(json: body)
        } catch {
            throw Failure("status \(status), and no answer of Prometheus' API: \(String(decoding: body.prefix(200), as: UTF8.self))")
        }
        if let message = answer.failure { throw Failure(message) }
        for line in answer.lines(now: now) { print(line) }
        for note in answer.notes { printError(note) }
    }

    private func request(_ now: Timestamp) throws(Failure) -> (path: String, form: [(name: String, value: String)]) {
        guard let from else {
            let time = try instant(at ?? "now", "--at", now)
            return ("/api/v1/query", [("query", expression), ("time", Query.seconds(time))])
        }
        let start = try instant(from, "--from", now)
        let end = try instant(to ?? "now", "--to", now)
        let length = max(0, end.milliseconds - start.milliseconds)
        // Whole seconds, at least one: a step that a person would choose.
        var chosen = Duration.seconds(max(1, (length / Query.chartPoints + 999) / 1000))
        if let step {
            guard let given = QueryTime.duration(step), given > .zero else {
                throw Failure("--step \(step) is no duration above zero; write 15s or 5m", code: Failure.usage)
            }
            chosen = given
        }
        let form = [
            ("query", expression), ("start", Query.seconds(start)), ("end", Query.seconds(end)),
            ("step", Query.seconds(Timestamp(milliseconds: chosen.milliseconds))),
        ]
        return ("/api/v1/query_range", form)
    }

    private func instant(_ text: String, _ option: String, _ now: Timestamp) throws(Failure) -> Timestamp {
        if text == "now" { return now }
        if text.hasPrefix("-"), let ago = QueryTime.duration(String(text.dropFirst())) { return now - ago }
        if let time = QueryTime.timestamp(text) { return time }
        throw Failure("\(option) \(text) is no time; write 2026-11-23T09:00:00Z, Unix seconds, now, or -30m", code: Failure.usage)
    }

    private static func seconds(_ time: Timestamp) -> String {
        NumberText.plain(Double(time.milliseconds) / 1000)
    }

    private func ask(
        _ path: String, _ form: [(name: String, value: String)], _ clock: SystemClock
    ) async throws(Failure) -> (status: Int, body: [UInt8]) {
        guard let data else {
            return try PlainHTTP(url: url ?? "http://\(ListenAddress.standard.defaultValueDescription)").post(path, form)
        }
        let store: SampleStore
        do throws(StorageError) {
            store = try SampleStore.open(folder: try DataFolder(path: data))
        } catch {
            throw Failure("\(error)")
        }
        defer { store.close() }
        let pool = QueryPool(threads: 1, queueLimit: 1)
        defer { pool.close() }
        let environment = QueryRoutes.environment(store, now: { clock.now().wall }, retention: "")
        let api = PrometheusAPI(environment: environment, pool: pool)
        guard let route = api.routes.first(where: { $0.path == path }) else { throw Failure("internal: no page \(path)") }
        let response = await route.answer(APIRequest(parameters: form))
        return (response.status, response.body)
    }
}
