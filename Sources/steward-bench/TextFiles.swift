import Fleet
import TimeSeries

#if canImport(Glibc)
import Glibc
#endif

/// The same samples as OpenMetrics text for the peers, a file for each window of time, families contiguous within a file.
///
/// Each family grows in a file of its own until the window ends, so that a window may be larger than memory.
struct TextFiles {
    private struct Family {
        let path: String
        var text: [UInt8] = []
    }

    private let folder: String
    private let window: Int64
    private var current: Int64?
    /// Windows are counted from the first tick.
    private var first: Int64?
    private var families: [String: Family] = [:]
    private var prefixes: [ObjectIdentifier: (schema: SourceSchema, prefixes: [[UInt8]])] = [:]
    /// Written out when longer.
    private static let mostText = 1 << 20

    init(folder: String, windowSeconds: Int) throws {
        self.folder = folder
        window = Int64(windowSeconds) * 1000
        mkdir(folder, 0o700)
    }

    mutating func write(_ hosts: [[SourceTick]]) throws {
        for tick in hosts.joined() {
            let origin = first ?? tick.time.milliseconds / 1000 * 1000
            first = origin
            let slot = (tick.time.milliseconds - origin) / window
            if current != slot {
                try flush()
                current = slot
            }
            let known = prefixes[ObjectIdentifier(tick.schema)]?.prefixes ?? makePrefixes(tick.schema)
            let time = Array(" \(tick.time.milliseconds / 1000).\(String(tick.time.milliseconds % 1000 + 1000).dropFirst())\n".utf8)
            for (index, column) in tick.schema.columns.enumerated() {
                let value = column.scale.apply(toBits: tick.bits[index], kind: column.kind)
                let isWhole = value == value.rounded() && abs(value) < 1e15
                let number = isWhole ? Array("\(Int64(value))".utf8) : Array("\(value)".utf8)
                try append(known[index] + number + time, to: column.metric)
            }
        }
    }

    private mutating func append(_ line: [UInt8], to metric: String) throws {
        families[metric, default: Family(path: "\(folder)/.\(metric)")].text += line
        guard let count = families[metric]?.text.count, count > TextFiles.mostText else { return }
        try spill(metric)
    }

    private mutating func spill(_ metric: String) throws {
        guard let family = families[metric] else { return }
        guard let file = fopen(family.path, "a") else { throw StoreBench.UsageError(description: "cannot write \(family.path)") }
        fwrite(family.text, 1, family.text.count, file)
        fclose(file)
        families[metric]?.text.removeAll(keepingCapacity: true)
    }

    private mutating func makePrefixes(_ schema: SourceSchema) -> [[UInt8]] {
        let made = schema.columns.indices.map { index in
            let labels = schema.labelSet(ofColumn: index).labels.filter { $0.name != LabelSet.metricName }
            let text = labels.map { "\($0.name)=\"\($0.value)\"" }.joined(separator: ",")
            return Array("\(schema.columns[index].metric){\(text)} ".utf8)
        }
        prefixes[ObjectIdentifier(schema)] = (schema, made)
        return made
    }

    private mutating func flush() throws {
        guard let current else { return }
        let path = "\(folder)/\(1000 + current).om"
        guard let file = fopen(path, "w") else { throw StoreBench.UsageError(description: "cannot write \(path)") }
        defer { fclose(file) }
        var piece = [UInt8](repeating: 0, count: 1 << 20)
        for metric in families.keys.sorted() {
            try spill(metric)
            fputs("# TYPE \(metric) unknown\n", file)
            guard let family = families[metric], let part = fopen(family.path, "r") else { continue }
            while case let count = fread(&piece, 1, piece.count, part), count > 0 { fwrite(piece, 1, count, file) }
            fclose(part)
            unlink(family.path)
        }
        fputs("# EOF\n", file)
        families.removeAll()
    }

    mutating func close() throws { try flush() }
}
