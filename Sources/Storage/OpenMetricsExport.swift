public import TimeSeries

/// What an export wrote.
public struct OpenMetricsExportReport: Sendable, Equatable {
    /// Series.
    public var series = 0
    /// Samples.
    public var samples = 0
    /// Stale markers, for which OpenMetrics has no text: left out.
    public var staleMarkers = 0
}

extension SeriesSource {
    /// Writes series as OpenMetrics text with timestamps, so that `promtool tsdb create-blocks-from openmetrics` can take the data away.
    ///
    /// A metric's series stand together, each in the order of time. `write` gets pieces of about 64 KiB; what it throws ends the export.
    public func exportOpenMetrics<Failure: Error>(
        _ selection: SeriesSelection, write: ([UInt8]) throws(Failure) -> Void
    ) throws -> OpenMetricsExportReport {
        var report = OpenMetricsExportReport()
        var text: [UInt8] = []
        var metric = ""
        var failure: Failure?
        try select(selection) { labels, run in
            let name = labels[LabelSet.metricName] ?? ""
            if name != metric {
                metric = name
                text += Array(OpenMetricsText.typeLine(name).utf8)
            }
            let prefix = OpenMetricsText.prefix(labels)
            for (time, value) in zip(run.milliseconds, run.values) {
                if value.bitPattern == SampleRun.staleBits {
                    report.staleMarkers += 1
                    continue
                }
                text += prefix
                text += Array(OpenMetricsText.number(value).utf8)
                text.append(UInt8(ascii: " "))
                text += Array(OpenMetricsText.seconds(time).utf8)
                text.append(UInt8(ascii: "\n"))
                report.samples += 1
            }
            report.series += 1
            guard text.count >= OpenMetricsText.pieceBytes else { return true }
            do throws(Failure) { try write(text) } catch {
                failure = error
                return false
            }
            text.removeAll(keepingCapacity: true)
            return true
        }
        if let failure { throw failure }
        text += Array("# EOF\n".utf8)
        try write(text)
        return report
    }
}

/// How OpenMetrics writes things down (OpenMetrics 1.0, section 4).
enum OpenMetricsText {
    static let pieceBytes = 64 << 10

    /// The type of a family; a counter's name is the one without `_total`.
    static func typeLine(_ metric: String) -> String {
        if metric.hasSuffix("_total") { return "# TYPE \(metric.dropLast(6)) counter\n" }
        if metric.hasSuffix("_info") { return "# TYPE \(metric.dropLast(5)) info\n" }
        return "# TYPE \(metric) unknown\n"
    }

    /// Name and labels, up to and with the space before the number.
    static func prefix(_ labels: LabelSet) -> [UInt8] {
        let pairs = labels.labels.filter { $0.name != LabelSet.metricName }.map { "\($0.name)=\"\(escaped($0.value))\"" }
        let name = labels[LabelSet.metricName] ?? ""
        return Array((pairs.isEmpty ? "\(name) " : "\(name){\(pairs.joined(separator: ","))} ").utf8)
    }

    static func escaped(_ value: String) -> String {
        guard value.utf8.contains(where: { $0 == 0x5c || $0 == 0x22 || $0 == 0x0a }) else { return value }
        return value.unicodeScalars.map { scalar in
            switch scalar {
            case "\\": "\\\\"
            case "\"": "\\\""
            case "\n": "\\n"
            default: String(Character(scalar))
            }
        }.joined()
    }

    /// The shortest text that reads back as the same double.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), abs(value) < 1e15, value != 0 || value.sign == .plus { return "\(Int64(value))" }
        return "\(value)"
    }

    static func seconds(_ milliseconds: Int64) -> String {
        let (whole, rest) = milliseconds.magnitude.quotientAndRemainder(dividingBy: 1000)
        let sign = milliseconds < 0 ? "-" : ""
        return rest == 0 ? "\(sign)\(whole)" : "\(sign)\(whole).\(String(rest + 1000).dropFirst())"
    }
}
