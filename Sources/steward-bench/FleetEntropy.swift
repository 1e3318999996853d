import Fleet
import TimeSeries

#if canImport(Glibc)
import Glibc
#endif

extension BootstrappedFleet {
    /// Prints the mean order-0 entropy of the series' differences, in the capture and in a fleet made of it at the same cadence and length.
    ///
    /// If making the fleet made it easier to compress, its entropy would be lower.
    static func compareEntropy(capture: String, guests: Int, seed: UInt64) throws {
        let templates = try templates(capture)
        let ticks = templates.map(\.ticks.count).min() ?? 0
        var captured: [Double] = []
        for template in templates {
            for column in template.schema.columns.indices where template.quanta[column] != 0 {
                captured.append(entropy(template.ticks.prefix(ticks).map { $0[column] }))
            }
        }
        let series = templates.reduce(0) { $0 + $1.schema.columns.count } * guests / max(1, templates.count)
        var fleet = try BootstrappedFleet(
            capture: capture, series: series, cadenceSeconds: 2, guestsPerHost: 15, seed: seed, start: Timestamp(seconds: 1_761_847_200))
        var rows: [ObjectIdentifier: (schema: SourceSchema, values: [[Int64]])] = [:]
        var order: [ObjectIdentifier] = []
        for _ in 0..<ticks {
            for tick in fleet.next().joined() {
                let key = ObjectIdentifier(tick.schema)
                if rows[key] == nil {
                    rows[key] = (tick.schema, tick.bits.map { _ in [] })
                    order.append(key)
                }
                for index in tick.bits.indices { rows[key]?.values[index].append(Int64(bitPattern: tick.bits[index])) }
            }
        }
        var made: [Double] = []
        for (position, key) in order.enumerated() {
            let quanta = templates[position % templates.count].quanta
            for (column, values) in (rows[key]?.values ?? []).enumerated() where quanta[column] != 0 { made.append(entropy(values)) }
        }
        let (before, after) = (mean(captured), mean(made))
        print(
            "entropy ticks=\(ticks) captured_series=\(captured.count) captured_bits=\(thousandths(before)) made_series=\(made.count)",
            "made_bits=\(thousandths(after)) ratio=\(thousandths(after / before))")
    }

    private static func mean(_ numbers: [Double]) -> Double { numbers.isEmpty ? 0 : numbers.reduce(0, +) / Double(numbers.count) }

    /// Bits a difference, each kind of difference as likely as it is frequent.
    private static func entropy(_ values: [Int64]) -> Double {
        var counts: [Int64: Int] = [:]
        for (before, after) in zip(values, values.dropFirst()) { counts[after &- before, default: 0] += 1 }
        let total = Double(max(1, values.count - 1))
        return counts.values.sorted().reduce(0) { $0 - Double($1) / total * log2(Double($1) / total) }
    }
}
