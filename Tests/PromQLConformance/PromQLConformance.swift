import Foundation
import QueryScripts

/// `promql-conformance DIR`: runs Prometheus' scripted tests and prints what passed; exits 1 where anything failed.
@main
struct PromQLConformance {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        guard let folder = arguments.first(where: { !$0.hasPrefix("-") }) else {
            print("usage: promql-conformance [--excluded] DIR   (a folder of *.test scripts)")
            exit(2)
        }
        do {
            let files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".test") }.sorted()
            var passed = 0
            var total = 0
            var excluded = 0
            for file in files {
                let report = try ScriptRunner.run(try String(contentsOfFile: "\(folder)/\(file)", encoding: .utf8))
                print(
                    "\(file): passed \(report.passed) of \(report.passed + report.failed.count), \(report.excluded.count) excluded by rule")
                for finding in report.failed { print("  \(file):\(finding)") }
                if arguments.contains("--excluded") { for finding in report.excluded { print("  excluded \(file):\(finding)") } }
                passed += report.passed
                total += report.passed + report.failed.count
                excluded += report.excluded.count
            }
            print("passed \(passed) of \(total), \(excluded) excluded by rule")
            exit(passed == total && total > 0 ? 0 : 1)
        } catch {
            print("promql-conformance: \(error)")
            exit(1)
        }
    }
}
