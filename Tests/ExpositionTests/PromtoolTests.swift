import Exposition
import Fleet
import Testing
import TimeSeries

#if canImport(Glibc)
import Glibc
#endif

/// Runs a command and returns its exit status and everything that it said.
func shell(_ command: String) -> (status: Int32, output: String) {
    guard let pipe = popen("(\(command)) 2>&1", "r") else { return (-1, "") }
    var bytes: [UInt8] = []
    while case let byte = fgetc(pipe), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
    return (pclose(pipe) >> 8 & 0xff, String(decoding: bytes, as: UTF8.self))
}

/// A file that goes when the test does.
struct TemporaryFile: ~Copyable {
    let path: String

    init(_ text: String) {
        var template = Array("/tmp/steward-test-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let bytes = Array(text.utf8)
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count <= 0 { break }
            written += count
        }
        close(descriptor)
    }

    deinit { unlink(path) }
}

let hasPromtool = shell("command -v promtool").status == 0

/// A snapshot in which every family of the catalogue has a series.
func wholeCatalogue() -> [SourceTick] {
    MetricFamily.Subject.allCases.flatMap { subject in
        (1...2).map { number in
            let columns = MetricCatalogue.families.filter { $0.subject == subject }.map { family in
                Column(metric: family.name, labels: LabelSet(family.labels.map { Label($0, "x\\\"\ny") }), scale: family.scale)
            }
            return SourceTick(
                schema: SourceSchema(
                    labels: LabelSet(subject.labels.map { Label($0, "s\(number)") }),
                    columns: subject == .process && number == 2 ? [] : columns),
                time: RenderTests.time, bits: (subject == .process && number == 2 ? [] : columns).map { UInt64($0.metric.utf8.count) })
        }
    }
}

@Suite("Prometheus' own tools", .enabled(if: hasPromtool, "promtool is not installed (Debian package prometheus)"))
struct PromtoolTests {
    @Test("promtool finds nothing to say about the whole catalogue")
    func silent() {
        let file = TemporaryFile(render(wholeCatalogue()))
        let (status, output) = shell("promtool check metrics < \(file.path)")
        #expect(status == 0 && output == "", "\(output)")
    }

    @Test("promtool reads the legacy names")
    func legacy() {
        let file = TemporaryFile(render(wholeCatalogue(), .prometheusText, .tinkoff))
        let (status, output) = shell("promtool check metrics < \(file.path)")
        // 1 is a parse error, 3 are remarks on names, which are not ours to change.
        #expect(status == 0 || status == 3, "\(output)")
    }

    @Test("Prometheus' storage takes in the OpenMetrics form, every series of it", arguments: MetricNames.allCases)
    func openMetrics(names: MetricNames) {
        // Backfilling wants timestamps, which are not printed: they are added behind each value here.
        let lines = render(wholeCatalogue(), .openMetrics, names).split(separator: "\n")
        let dated = lines.map { $0.hasPrefix("#") ? "\($0)\n" : "\($0) 1700000000\n" }.joined()
        let file = TemporaryFile(dated)
        let folder = "\(file.path)-blocks"
        let (status, output) = shell("promtool tsdb create-blocks-from openmetrics \(file.path) \(folder); rm -rf \(folder)")
        // A table of one block: its name, four times and durations, samples, chunks, series, size.
        let series = output.split(separator: "\n").last?.split(separator: " ").dropLast().last.map(String.init)
        #expect(series == "\(lines.count { !$0.hasPrefix("#") })", "\(status) \(output)")
    }
}
