import Foundation
import PromQL
import QueryScripts
import Testing

@Suite("Scripted queries")
struct ConformanceTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()

    /// Where Prometheus' own scripts lie; they are no part of this project.
    static var prometheusFolder: URL {
        if let given = ProcessInfo.processInfo.environment["STEWARD_PROMQLTEST"] { return URL(fileURLWithPath: given) }
        return folder.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().appending(
            path: "shared/promqltest")
    }

    /// Prometheus 3.9.1's scripts: how many evaluations pass, and how many a rule of `Exclusion` leaves out.
    ///
    /// Every other evaluation must pass, and these numbers may only get better.
    static let ratchet: [(file: String, passed: Int, excluded: Int)] = [
        ("aggregators.test", 123, 37), ("at_modifier.test", 45, 0), ("functions.test", 249, 129), ("histograms.test", 79, 82),
        ("literals.test", 25, 0), ("operators.test", 141, 72), ("range_queries.test", 11, 2), ("selectors.test", 31, 0),
    ]

    @Test("Prometheus' own scripts pass, except what a rule leaves out", arguments: ConformanceTests.ratchet.map(\.file))
    func prometheus(file: String) throws {
        let path = ConformanceTests.prometheusFolder.appending(path: file)
        guard FileManager.default.fileExists(atPath: path.path) else {
            print("NOT PROVEN: Prometheus' scripted tests are not in \(ConformanceTests.prometheusFolder.path): \(file) did not run")
            return
        }
        let row = try #require(ConformanceTests.ratchet.first { $0.file == file })
        let report = try ScriptRunner.run(try String(contentsOf: path, encoding: .utf8))
        for finding in report.failed { Issue.record("\(file):\(finding)") }
        #expect(report.passed >= row.passed)
        #expect(report.excluded.count <= row.excluded)
    }

    @Test("Steward's own scripts pass whole", arguments: ["guests.test"])
    func own(file: String) throws {
        let report = try ScriptRunner.run(
            try String(contentsOf: ConformanceTests.folder.appending(path: "Scripts/\(file)"), encoding: .utf8))
        for finding in report.failed { Issue.record("\(file):\(finding)") }
        #expect(report.passed > 20)
        #expect(report.excluded.isEmpty)
    }

    @Test(
        "a script with a wrong expectation fails",
        arguments: [
            "eval instant at 1m up\n  up{a=\"1\"} 2", "eval instant at 1m up\n  up{a=\"2\"} 1", "eval instant at 1m up\n",
            "eval instant at 1m up\n  up{a=\"1\"} 1\n  up 1", "eval instant at 1m up\n  expect fail", "eval instant at 1m up(",
            "eval instant at 1m up\n  expect warn\n  up{a=\"1\"} 1", "eval range from 0 to 1m step 1m up\n  up{a=\"1\"} 1 1 1",
            "eval range from 0 to 1m step 1m up\n  up{a=\"1\"} 1 2", "eval instant at 1m 1\n  2",
            "eval instant at 1m quantile(2, up)\n  expect no_warn\n  {} +Inf",
        ])
    func wrong(script: String) throws {
        let report = try ScriptRunner.run("load 1m\n  up{a=\"1\"} 1x10\n\n" + script)
        #expect(report.failed.count == 1 && report.passed == 0)
    }
}
