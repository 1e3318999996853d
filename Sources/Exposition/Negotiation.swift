/// The two text formats that Prometheus reads.
public enum ExpositionFormat: String, Sendable, CaseIterable {
    /// Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
    case prometheusText
    /// OpenMetrics 1.0 (https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md).
    case openMetrics

    /// What goes into `Content-Type`.
    public var contentType: String {
        switch self {
        case .prometheusText: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// The format for an `Accept` header: OpenMetrics where it is named and wanted at least as much as plain text, else plain text.
    ///
    /// A client that accepts neither gets plain text, as from Prometheus' own libraries. Wildcards speak for plain text only.
    public init(accept: String?) {
        var openMetrics = 0
        var text = (specificity: -1, quality: 0)
        for range in accept.map(weightedList) ?? [] {
            switch range.name {
            case "application/openmetrics-text":
                let version = range.parameters.first { $0.name == "version" }?.value ?? "1.0.0"
                if version == "1.0.0" || version == "0.0.1" { openMetrics = max(openMetrics, range.quality) }
            case "text/plain" where text.specificity <= 2: text = (2, range.quality)
            case "text/*" where text.specificity <= 1: text = (1, range.quality)
            case "*/*" where text.specificity <= 0: text = (0, range.quality)
            default: break
            }
        }
        self = openMetrics > 0 && openMetrics >= text.quality ? .openMetrics : .prometheusText
    }
}

/// The names that metrics are served under: `--metric-names`.
public enum MetricNames: String, Sendable, CaseIterable {
    /// The catalogue's own.
    case canonical
    /// Those of the archived exporter of Tinkoff.
    case tinkoff
}

/// Whether an `Accept-Encoding` header allows gzip (RFC 9110, 12.5.3): named with a quality above 0, or covered by `*`.
public func acceptsGzip(_ acceptEncoding: String?) -> Bool {
    let codings = acceptEncoding.map(weightedList) ?? []
    let named = codings.first { $0.name == "gzip" || $0.name == "x-gzip" }
    return (named ?? codings.first { $0.name == "*" }).map { $0.quality > 0 } ?? false
}

private struct WeightedItem {
    let name: String
    let parameters: [(name: String, value: String)]
    /// Thousandths.
    let quality: Int
}

/// The most items of a header that are looked at: Prometheus sends five.
private let maximumItems = 32

private func weightedList(_ header: String) -> [WeightedItem] {
    header.split(separator: ",").prefix(maximumItems).map { item in
        let parts = item.split(separator: ";").map { trimmed($0).lowercased() }
        let parameters = parts.dropFirst().map { parameter in
            let pair = parameter.split(separator: "=", maxSplits: 1).map(trimmed)
            return (name: pair.first ?? "", value: pair.count > 1 ? pair[1].filter { $0 != "\"" } : "")
        }
        let quality = parameters.first { $0.name == "q" }.map { thousandths($0.value) } ?? 1000
        return WeightedItem(name: parts.first ?? "", parameters: parameters, quality: quality)
    }
}

/// A quality as RFC 9110, 12.4.2 writes it: 0 to 1 with at most three decimals; anything else counts as 0.
private func thousandths(_ text: String) -> Int {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count <= 2, let whole = parts.first, whole == "0" || whole == "1" else { return 0 }
    let decimals = parts.count == 2 ? parts[1] : ""
    guard decimals.utf8.count <= 3, decimals.utf8.allSatisfy({ (48...57).contains($0) }) else { return 0 }
    let rest = Int(decimals + String(repeating: "0", count: 3 - decimals.utf8.count)) ?? 0
    return min(1000, (whole == "1" ? 1000 : 0) + rest)
}

private func trimmed(_ text: some StringProtocol) -> String {
    String(text.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
}
