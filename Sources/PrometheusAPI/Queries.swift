import Fleet
import PromQL
import TimeSeries

extension PrometheusAPI {
    private static let truncation = "results truncated due to limit"

    @Sendable
    static func query(_ page: QueryPage) throws(APIError) -> Envelope {
        let limit = try page.request.limit()
        let time = try page.request.time("time", default: page.now)
        let expression = try page.request.expression()
        let evaluator = try page.evaluator()
        do throws(EvaluationError) {
            let result = try evaluator.instant(expression, at: time, shouldStop: page.shouldStop)
            return envelope(result, page, at: time, limit: limit)
        } catch {
            throw APIError(error)
        }
    }

    @Sendable
    static func queryRange(_ page: QueryPage) throws(APIError) -> Envelope {
        let request = page.request
        let limit = try request.limit()
        let start = try request.requiredTime("start")
        let end = try request.requiredTime("end")
        if end < start { throw .invalid("end", "end timestamp must not be before start time") }
        let step = try request.requiredDuration("step")
        if step.milliseconds <= 0 {
            throw .invalid("step", "zero or negative query resolution step widths are not accepted. Try a positive integer")
        }
        if (end - start).milliseconds / step.milliseconds > stepLimit {
            throw APIError(
                kind: .badData,
                message: "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
        }
        let expression = try request.expression()
        let evaluator = try page.evaluator()
        do throws(EvaluationError) {
            let result = try evaluator.range(expression, from: start, through: end, step: step, shouldStop: page.shouldStop)
            return envelope(result, page, at: end, limit: limit)
        } catch {
            throw APIError(error)
        }
    }

    private static func envelope(_ result: QueryResult, _ page: QueryPage, at time: Timestamp, limit: Int?) -> Envelope {
        let query = page.request["query"] ?? ""
        var isTruncated = false
        var envelope = Envelope { json in
            json.object { json in
                switch result.value {
                case .scalar(let value):
                    json.member("resultType", "scalar")
                    json.name("result")
                    json.sample(time.milliseconds, value)
                case .string(let text):
                    json.member("resultType", "string")
                    json.name("result")
                    json.list { json in
                        json.number(Double(time.milliseconds) / 1000)
                        json.text(text)
                    }
                case .vector(let samples):
                    json.member("resultType", "vector")
                    json.name("result")
                    isTruncated = samples.count > limit ?? .max
                    json.list { json in
                        for sample in samples.prefix(limit ?? .max) {
                            json.object { json in
                                json.name("metric")
                                json.labels(sample.labels)
                                json.name("value")
                                json.sample(sample.time.milliseconds, sample.value)
                            }
                        }
                    }
                case .matrix(let series):
                    json.member("resultType", "matrix")
                    json.name("result")
                    isTruncated = series.count > limit ?? .max
                    json.list { json in for one in series.prefix(limit ?? .max) { json.series(one) } }
                }
            }
        }
        envelope.warnings = result.annotations.filter { $0.severity == .warning }.map { $0.text(in: query) }
        envelope.infos = result.annotations.filter { $0.severity == .info }.map { $0.text(in: query) }
        if isTruncated { envelope.warnings.append(truncation) }
        return envelope
    }

    @Sendable
    static func formatQuery(_ page: QueryPage) throws(APIError) -> Envelope {
        let text = try page.request.expression().description
        return Envelope { $0.text(text) }
    }

    /// libvirt gives no exemplars; the query is read all the same, for its mistakes.
    @Sendable
    static func exemplars(_ page: QueryPage) throws(APIError) -> Envelope {
        let start = try page.request.time("start", default: QueryTime.earliest)
        let end = try page.request.time("end", default: QueryTime.latest)
        if end < start { throw .invalid("end", "end timestamp must not be before start timestamp") }
        _ = try page.request.expression()
        return Envelope { $0.list { _ in } }
    }

    // MARK: Series

    @Sendable
    static func series(_ page: QueryPage) throws(APIError) -> Envelope {
        let limit = try page.request.limit()
        let (start, end) = try window(page.request)
        let selectors = try page.request.selectors()
        if selectors.isEmpty { throw APIError(kind: .badData, message: "no match[] parameter provided") }
        let found = try page.labelSets(from: start, through: end, matching: selectors)
        var envelope = Envelope { json in
            json.list { json in for labels in found.prefix(limit ?? .max) { json.labels(labels) } }
        }
        if found.count > limit ?? .max { envelope.warnings.append(truncation) }
        return envelope
    }

    @Sendable
    static func labelNames(_ page: QueryPage) throws(APIError) -> Envelope {
        let limit = try page.request.limit()
        let (start, end) = try window(page.request)
        var names: Set<String> = []
        for labels in try page.labelSets(from: start, through: end, matching: try page.request.selectors()) {
            for label in labels.labels { names.insert(label.name) }
        }
        return texts(names, limit)
    }

    @Sendable
    static func labelValues(_ page: QueryPage) throws(APIError) -> Envelope {
        let limit = try page.request.limit()
        let name = page.request.captures.first ?? ""
        if name.isEmpty { throw APIError(kind: .badData, message: "invalid label name: \(quotedText(name))") }
        let (start, end) = try window(page.request)
        var values: Set<String> = []
        for labels in try page.labelSets(from: start, through: end, matching: try page.request.selectors()) {
            if let value = labels[name] { values.insert(value) }
        }
        return texts(values, limit)
    }

    private static func window(_ request: APIRequest) throws(APIError) -> (Timestamp, Timestamp) {
        let start = try request.time("start", default: QueryTime.earliest)
        let end = try request.time("end", default: QueryTime.latest)
        if end < start { throw .invalid("end", "end timestamp must not be before start time") }
        return (start, end)
    }

    private static func texts(_ set: Set<String>, _ limit: Int?) -> Envelope {
        let sorted = set.sorted { $0.compareBytes(with: $1) < 0 }
        var envelope = Envelope { $0.texts(Array(sorted.prefix(limit ?? .max))) }
        if sorted.count > limit ?? .max { envelope.warnings.append(truncation) }
        return envelope
    }

    @Sendable
    static func metadata(_ page: QueryPage) throws(APIError) -> Envelope {
        let limit = try page.request.limit()
        let metric = page.request["metric"].flatMap { $0.isEmpty ? nil : $0 }
        let wanted = page.api.environment.metadata.filter { metric == nil || $0.name == metric }
        return Envelope { json in
            json.object { json in
                for family in wanted.prefix(limit ?? .max) {
                    json.name(family.name)
                    json.list { json in
                        json.object { json in
                            json.member("type", family.type)
                            json.member("help", family.help)
                            json.member("unit", family.unit)
                        }
                    }
                }
            }
        }
    }
}

extension JSONText {
    mutating func series(_ series: ResultSeries) {
        object { json in
            json.name("metric")
            json.labels(series.labels)
            json.name("values")
            json.list { json in
                for (index, time) in series.samples.milliseconds.enumerated() { json.sample(time, series.samples.values[index]) }
            }
        }
    }
}
