import Fleet
import Foundation
import PromQL
import QueryScripts
import Testing
import TimeSeries

/// Every metric of the catalogue on two hosts with two guests each, for ten minutes.
private enum EveryMetric {
    static func source() -> MemorySource {
        var source = MemorySource()
        for family in MetricCatalogue.families {
            for labels in labelSets(family) {
                for tick in 0...60 {
                    let seconds = Double(tick * 10)
                    let grown = family.kind == .counter ? seconds * (labels["mode"] == "idle" ? 3 : 0.5) : 1
                    let value = family.name.hasSuffix("timestamp_seconds") ? seconds : grown
                    source.add(labels, Int64(tick) * 10_000, value)
                }
            }
        }
        return source
    }

    private static func labelSets(_ family: MetricFamily) -> [LabelSet] {
        var result: [LabelSet] = []
        let own = family.labels.map { Label($0, $0 == "mode" ? "user" : "some-\($0)") }
        for host in ["h1", "h2"] {
            for number in ["1", "2"] {
                var subject: [Label] = []
                for name in family.subject.labels {
                    switch name {
                    case "host": subject.append(Label("host", host))
                    case "uuid": subject.append(Label("uuid", "\(host)-\(number)"))
                    default: subject.append(Label(name, "\(host)-\(name)-\(number)"))
                    }
                }
                let labels = LabelSet(metric: family.name, subject + own)
                if !result.contains(labels) { result.append(labels) }
                if family.labels.contains("mode") { result.append(labels.setting("mode", to: "idle")) }
            }
        }
        return Set(result).sorted()
    }
}

@Suite("Dashboards")
struct DashboardTests {
    static let folder = ConformanceTests.folder.deletingLastPathComponent().deletingLastPathComponent().appending(path: "Dashboards")
    static let boards = ["fleet.json", "host.json", "guest.json"]

    private static func board(_ file: String) throws -> [String: Any] {
        let json = try JSONSerialization.jsonObject(with: try Data(contentsOf: folder.appending(path: file)))
        return try #require(json as? [String: Any])
    }

    /// Every text under a key, wherever it stands.
    private static func texts(_ key: String, in value: Any) -> [String] {
        if let object = value as? [String: Any] {
            return object.keys.sorted().flatMap { name -> [String] in
                if name == key, let text = object[name] as? String { return [text] }
                return texts(key, in: object[name] ?? "")
            }
        }
        return (value as? [Any] ?? []).flatMap { texts(key, in: $0) }
    }

    /// The query with Grafana's variables filled in.
    private static func filled(_ query: String) -> String {
        query.replacing(/\$__rate_interval|\$__interval|\$__range/, with: "1m").replacing(/\$[a-z]+/, with: ".*")
    }

    @Test("every query of every panel parses, and answers with numbers and without a warning", arguments: boards)
    func panels(file: String) throws {
        let queries = DashboardTests.texts("expr", in: try DashboardTests.board(file))
        #expect(queries.count > 10)
        let evaluator = Evaluator(source: ReadyMadeSource(EveryMetric.source()))
        for query in queries {
            let result = try evaluator.instant(
                try Expression(parsing: DashboardTests.filled(query)), at: Timestamp(milliseconds: 600_000))
            guard case .vector(let samples) = result.value else {
                Issue.record("\(file): no vector: \(query)")
                continue
            }
            #expect(!samples.isEmpty, "\(file): nothing found: \(query)")
            #expect(samples.allSatisfy { $0.value.isFinite }, "\(file): no numbers: \(query)")
            #expect(result.annotations.isEmpty, "\(file): \(result.annotations.map(\.text)): \(query)")
        }
    }

    @Test("variables ask for labels that exist, and every data source is the board's variable", arguments: boards)
    func variables(file: String) throws {
        let board = try DashboardTests.board(file)
        let source = ReadyMadeSource(EveryMetric.source())
        var found = 0
        for definition in DashboardTests.texts("definition", in: board) {
            let parts = try #require(definition.wholeMatch(of: /label_values\((.+), ([a-z]+)\)/))
            let matchers = try [LabelMatcher](parsingSelector: String(parts.1))
            let sets = try source.labelSets(
                SeriesSelection(matchers: matchers, from: Timestamp(milliseconds: 0), through: Timestamp(milliseconds: 600_000)))
            #expect(sets.contains { $0[String(parts.2)] != nil }, "\(file): \(definition)")
            found += 1
        }
        #expect(found > 0)
        let uids = Set(DashboardTests.texts("uid", in: board))
        #expect(uids == ["${datasource}", "steward-\(file.prefix { $0 != "." })"])
    }

    @Test("with the source silent, panels go blank, not to zero", arguments: boards)
    func silence(file: String) throws {
        let evaluator = Evaluator(source: ReadyMadeSource(EveryMetric.source()))
        for query in DashboardTests.texts("expr", in: try DashboardTests.board(file)) {
            let result = try evaluator.instant(
                try Expression(parsing: DashboardTests.filled(query)), at: Timestamp(milliseconds: 1_200_000))
            #expect(result.value == .vector([]), "\(file): \(query)")
        }
    }
}
