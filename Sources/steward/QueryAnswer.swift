import Fleet
import FoundationEssentials
import PromQL
import TimeSeries

/// An answer of Prometheus' API, for a terminal.
struct QueryAnswer: Decodable {
    private let status: String
    private let error: String?
    private let data: Content?
    private let warnings: [String]?
    private let infos: [String]?

    private struct Content: Decodable {
        let resultType: String
        let result: Outcome

        private enum Keys: CodingKey { case resultType, result }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: Keys.self)
            resultType = try values.decode(String.self, forKey: .resultType)
            switch resultType {
            case "vector", "matrix": result = .series(try values.decode([Series].self, forKey: .result))
            default: result = .single(try values.decode(Sample.self, forKey: .result))
            }
        }
    }

    private enum Outcome {
        case single(Sample)
        case series([Series])
    }

    private struct Series: Decodable {
        let metric: [String: String]
        let value: Sample?
        let values: [Sample]?
    }

    private struct Sample: Decodable {
        let seconds: Double
        let text: String

        init(from decoder: any Decoder) throws {
            var items = try decoder.unkeyedContainer()
            seconds = try items.decode(Double.self)
            text = try items.decode(String.self)
        }

        var number: Double {
            switch text {
            case "+Inf": .infinity
            case "-Inf": -.infinity
            default: Double(text) ?? .nan
            }
        }
    }

    init(json: [UInt8]) throws { self = try JSONDecoder().decode(QueryAnswer.self, from: Data(json)) }

    /// Why there is no answer; nil where there is one.
    var failure: String? { status == "success" ? nil : error ?? "the server says neither success nor why not" }

    /// Warnings and notes.
    var notes: [String] { (warnings ?? []) + (infos ?? []) }

    /// The answer, line by line.
    func lines(now: Timestamp) -> [String] {
        switch data?.result {
        case .single(let sample)?: [sample.text]
        case .series(let series)?:
            series.isEmpty ? ["no series"] : data?.resultType == "vector" ? QueryAnswer.table(series) : QueryAnswer.charts(series)
        case nil: []
        }
    }

    private static func labelNames(_ series: [Series]) -> [String] {
        let names = Set(series.flatMap(\.metric.keys)).sorted()
        return names.filter { $0 == LabelSet.metricName } + names.filter { $0 != LabelSet.metricName }
    }

    private static func table(_ series: [Series]) -> [String] {
        let names = labelNames(series)
        let titles = names.map { ($0 == LabelSet.metricName ? "METRIC" : $0.uppercased(), TextTable.Alignment.left) }
        var table = TextTable(titles.map { (title: $0.0, alignment: $0.1) } + [(title: "VALUE", alignment: .right)])
        for one in series { table.add(names.map { one.metric[$0] ?? "" } + [one.value.map { shown($0.number) } ?? ""]) }
        return table.lines
    }

    /// Two lines a series: its labels with the least, the greatest and the last number, and a line of eight heights.
    private static func charts(_ series: [Series]) -> [String] {
        var lines: [String] = []
        for one in series {
            let samples = one.values ?? []
            let numbers = samples.map(\.number).filter(\.isFinite)
            let labels = LabelSet(one.metric.sorted { $0.key < $1.key }.map { Label($0.key, $0.value) })
            let least = numbers.min() ?? .nan
            let greatest = numbers.max() ?? .nan
            let last = samples.last?.number ?? .nan
            lines.append("\(labels.promText)  min \(shown(least))  max \(shown(greatest))  last \(shown(last))")
            lines.append("  \(chart(samples, series, from: min(0, least), to: greatest))")
        }
        return lines
    }

    private static let width = 72

    private static func chart(_ samples: [Sample], _ all: [Series], from low: Double, to high: Double) -> String {
        let times = all.flatMap { $0.values ?? [] }.map(\.seconds)
        guard let start = times.min(), let end = times.max() else { return "" }
        let heights = Array("▁▂▃▄▅▆▇█")
        var sums = [(sum: Double, count: Double)](repeating: (0, 0), count: width)
        for sample in samples where sample.number.isFinite {
            let share = end > start ? (sample.seconds - start) / (end - start) : 0
            let place = min(width - 1, Int(share * Double(width)))
            sums[place] = (sums[place].sum + sample.number, sums[place].count + 1)
        }
        // Fewer samples than places: each fills the places up to the next.
        let distinct = Set(times).count
        let spread = max(1, width / max(1, distinct))
        var text = ""
        var carried: (height: Character, left: Int)?
        for column in sums {
            if column.count > 0 {
                let share = high > low ? (column.sum / column.count - low) / (high - low) : 0
                let height = heights[min(7, max(0, Int(share * 8)))]
                carried = (height, spread)
            }
            if let known = carried, known.left >= 0 {
                text.append(known.height)
                carried = (known.height, known.left - 1)
            } else {
                text.append(" ")
            }
        }
        return String(text.reversed().drop { $0 == " " }.reversed())
    }

    /// Six digits that count: a table is for reading, `--json` for computing.
    private static func shown(_ value: Double) -> String {
        guard value.isFinite, value != 0, value != value.rounded() || value.magnitude >= 1e15 else { return NumberText.general(value) }
        var scale = 1.0
        var magnitude = value.magnitude
        while magnitude < 100_000 {
            magnitude *= 10
            scale *= 10
            if scale > 1e15 { return NumberText.general(value) }
        }
        return NumberText.general((value * scale).rounded() / scale)
    }
}
