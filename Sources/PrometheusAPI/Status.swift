import Fleet
import PromQL
import TimeSeries

extension PrometheusAPI {
    /// What stands in `version`: clients choose what to ask by Prometheus' release, so Steward's own version stands beside it.
    @Sendable
    static func buildInformation(_ page: QueryPage) throws(APIError) -> Envelope {
        let version = page.api.environment.version
        return Envelope { json in
            json.object { json in
                json.member("version", compatibleVersion)
                json.member("revision", "steward-\(version)")
                json.member("branch", "steward")
                json.member("buildUser", "")
                json.member("buildDate", "")
                json.member("goVersion", "")
            }
        }
    }

    @Sendable
    static func runtimeInformation(_ page: QueryPage) throws(APIError) -> Envelope {
        let environment = page.api.environment
        let now = page.now
        return Envelope { json in
            json.object { json in
                json.member("startTime", environment.started.description)
                json.member("CWD", "/")
                json.member("hostname", "")
                json.member("serverTime", now.description)
                json.name("reloadConfigSuccess")
                json.flag(true)
                json.member("lastConfigTime", environment.started.description)
                json.member("corruptionCount", 0)
                json.member("goroutineCount", page.api.pool.threads)
                json.member("GOMAXPROCS", page.api.pool.threads)
                json.member("GOMEMLIMIT", 0)
                json.member("GOGC", "")
                json.member("GODEBUG", "")
                json.member("storageRetention", environment.retention)
            }
        }
    }

    private static let mostShown = 10

    /// What the series of the last five minutes are made of.
    @Sendable
    static func tsdb(_ page: QueryPage) throws(APIError) -> Envelope {
        let most = try page.request.limit() ?? mostShown
        let now = page.now
        let start = now - .seconds(300)
        let sets = try page.labelSets(from: start, through: now, matching: [])
        var byMetric: [String: Int] = [:]
        var byPair: [String: Int] = [:]
        var values: [String: Set<String>] = [:]
        for labels in sets {
            for label in labels.labels {
                if label.name == LabelSet.metricName { byMetric[label.value, default: 0] += 1 }
                byPair["\(label.name)=\(label.value)", default: 0] += 1
                values[label.name, default: []].insert(label.value)
            }
        }
        func top(_ counts: [String: Int]) -> [(name: String, value: Int)] {
            let sorted = counts.map { (name: $0.key, value: $0.value) }.sorted { ($1.value, $0.name) < ($0.value, $1.name) }
            return Array(sorted.prefix(most))
        }
        let bytes = values.mapValues { $0.reduce(0) { $0 + $1.utf8.count } }
        let tables: [(String, [(name: String, value: Int)])] = [
            ("seriesCountByMetricName", top(byMetric)), ("labelValueCountByLabelName", top(values.mapValues(\.count))),
            ("memoryInBytesByLabelName", top(bytes)), ("seriesCountByLabelValuePair", top(byPair)),
        ]
        return Envelope { json in
            json.object { json in
                json.name("headStats")
                json.object { json in
                    json.member("numSeries", sets.count)
                    json.member("numLabelPairs", byPair.count)
                    json.member("chunkCount", 0)
                    json.member("minTime", Int(start.milliseconds))
                    json.member("maxTime", Int(now.milliseconds))
                }
                for (title, rows) in tables {
                    json.name(title)
                    json.list { json in
                        for row in rows {
                            json.object { json in
                                json.member("name", row.name)
                                json.member("value", row.value)
                            }
                        }
                    }
                }
            }
        }
    }

    // MARK: Hosts

    /// The hosts: up, down, and how long the last reading took.
    @Sendable
    static func targets(_ page: QueryPage) throws(APIError) -> Envelope {
        let state = page.request["state"]?.lowercased() ?? "any"
        let up = try newest("libvirt_up", page)
        let durations = try newest("steward_tick_duration_seconds", page)
        let times = try newest("steward_tick_timestamp_seconds", page)
        return Envelope { json in
            json.object { json in
                json.name("activeTargets")
                json.list { json in
                    guard state == "any" || state == "active" else { return }
                    for (host, value) in up {
                        json.target(
                            host, isUp: value == 1, duration: durations.first { $0.host == host }?.value,
                            seconds: times.first { $0.host == host }?.value)
                    }
                }
                json.name("droppedTargets")
                json.list { _ in }
                json.name("droppedTargetCounts")
                json.object { _ in }
            }
        }
    }

    private static func newest(_ metric: String, _ page: QueryPage) throws(APIError) -> [(host: String, value: Double)] {
        do {
            let result = try page.evaluator().instant(try Expression(parsing: metric), at: page.now, shouldStop: page.shouldStop)
            guard case .vector(let samples) = result.value else { return [] }
            return samples.map { ($0.labels["host"] ?? "", $0.value) }.sorted { $0.0 < $1.0 }
        } catch let error as EvaluationError {
            throw APIError(error)
        } catch {
            throw APIError(kind: .internalError, message: "\(error)")
        }
    }

    @Sendable
    static func rules(_ page: QueryPage) throws(APIError) -> Envelope {
        let groups = page.request["type"] == "record" ? [] : page.api.environment.rules()
        return Envelope { $0.rules(groups) }
    }

    @Sendable
    static func alerts(_ page: QueryPage) throws(APIError) -> Envelope {
        let alerts = page.api.environment.rules().flatMap(\.rules).flatMap(\.alerts)
        return Envelope { json in
            json.object { json in
                json.name("alerts")
                json.list { json in for alert in alerts { json.alert(alert) } }
            }
        }
    }
}

extension JSONText {
    fileprivate mutating func target(_ host: String, isUp: Bool, duration: Double?, seconds: Double?) {
        object { json in
            json.name("discoveredLabels")
            json.labels(LabelSet([Label("host", host)]))
            json.name("labels")
            json.labels(LabelSet([Label("host", host), Label("job", "libvirt")]))
            json.member("scrapePool", "libvirt")
            json.member("scrapeUrl", "")
            json.member("globalUrl", "")
            json.member("lastError", isUp ? "" : "the host does not answer")
            json.member("lastScrape", Timestamp(milliseconds: Int64((seconds ?? 0) * 1000)).description)
            json.name("lastScrapeDuration")
            json.number(duration ?? 0)
            json.member("health", isUp ? "up" : "down")
            json.member("scrapeInterval", "")
            json.member("scrapeTimeout", "")
        }
    }
}

// MARK: Federation

extension QueryPage {
    /// The newest sample of each selected series in Prometheus' text form, for another Prometheus to take in.
    func federate() throws(APIError) -> APIResponse {
        let selectors = try request.selectors()
        let time = now
        let evaluator = try evaluator()
        let lookback = Duration.milliseconds(evaluator.settings.lookbackMilliseconds)
        var newest: [LabelSet: (Int64, Double)] = [:]
        for matchers in selectors {
            do throws(SeriesSourceError) {
                try evaluator.source.select(
                    SeriesSelection(matchers: matchers, from: time - lookback + .milliseconds(1), through: time)
                ) { labels, run in
                    if let last = run.milliseconds.last, let value = run.values.last, value.bitPattern != SampleRun.staleBits {
                        newest[labels] = (last, value)
                    }
                    return shouldStop() == nil
                }
            } catch {
                throw APIError(kind: .internalError, message: error.description)
            }
            try checkStop()
        }
        var text = ""
        var name: String?
        for labels in newest.keys.sorted() {
            guard let (milliseconds, value) = newest[labels], let metric = labels[LabelSet.metricName] else { continue }
            if metric != name { text += "# TYPE \(metric) untyped\n" }
            name = metric
            text += "\(metric){" + labels.withoutMetricName.labels.map(QueryPage.pair).joined(separator: ",") + "} "
            text += "\(JSONText.sampleText(value)) \(milliseconds)\n"
        }
        return APIResponse(status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: Array(text.utf8))
    }

    private static func pair(_ label: Label) -> String {
        let value = label.value.replacing("\\", with: "\\\\").replacing("\n", with: "\\n").replacing("\"", with: "\\\"")
        return "\(label.name)=\"\(value)\""
    }
}
