import Collection
import Fleet
import TimeSeries

/// A large fleet made from a small capture, without becoming easier to compress than the capture.
///
/// Each guest replays increments of one captured guest, drawn in short blocks from random places and stretched by a factor of its own that
/// changes with every tick; increments stay whole quanta of their series, and what belongs together (requests and bytes, user and total
/// CPU time) is drawn together. Guests start at counts of their own.
struct BootstrappedFleet {
    /// A captured guest.
    struct Template {
        let schema: SourceSchema
        /// Native bits, tick by tick.
        let ticks: [[Int64]]
        /// For each column what its increments are multiples of.
        let quanta: [Int64]
        let isCounter: [Bool]
        /// When, in milliseconds.
        let times: [Int64]
        /// For columns that tell a time the milliseconds in one of their units.
        let clockUnits: [Int64?]
        /// The columns of total, user and system CPU time, where they are.
        let cpu: (total: Int, user: Int, system: Int)?
    }

    private struct Guest {
        let schema: SourceSchema
        let template: Int
        var current: [Int64]
        var position = 0
        var left = 0
        let factor: Double
    }

    private let templates: [Template]
    private var guests: [Guest] = []
    private var dice: BenchDice
    /// Captured ticks in one made-up tick.
    private let stride: Int
    private let cadence: Int64
    private let guestsPerHost: Int
    private var time: Int64
    private(set) var series = 0
    var hosts: Int { (guests.count + guestsPerHost - 1) / guestsPerHost }

    init(capture path: String, series wanted: Int, cadenceSeconds: Int, guestsPerHost: Int, seed: UInt64, start: Timestamp) throws {
        templates = try BootstrappedFleet.templates(path)
        dice = BenchDice(state: seed)
        stride = cadenceSeconds / 2
        cadence = Int64(cadenceSeconds) * 1000
        self.guestsPerHost = guestsPerHost
        time = start.milliseconds - cadence
        while series < wanted {
            let template = guests.count % templates.count
            let made = makeGuest(template)
            series += made.schema.columns.count
            guests.append(made)
        }
    }

    private mutating func makeGuest(_ template: Int) -> Guest {
        let model = templates[template]
        let host = guests.count / guestsPerHost
        let uuid = GuestID(high: dice.next(), low: dice.next())
        let schema = SourceSchema(
            labels: LabelSet([Label("host", "host-\(host)"), Label("uuid", uuid.description), Label("domain", "guest-\(guests.count)")]),
            columns: model.schema.columns)
        var current = model.ticks[0]
        for column in current.indices where model.isCounter[column] && model.quanta[column] > 0 && current[column] > 0 {
            current[column] += model.quanta[column] * Int64(dice.next() % 1_000_000)
        }
        if let cpu = model.cpu { current[cpu.total] = current[cpu.user] + current[cpu.system] }
        return Guest(schema: schema, template: template, current: current, factor: 0.7 + 0.7 * dice.unit())
    }

    /// The next tick of the whole fleet, host by host.
    mutating func next() -> [[SourceTick]] {
        time += cadence
        var all: [[SourceTick]] = []
        var host: [SourceTick] = []
        var stamp = Timestamp(milliseconds: time)
        for index in guests.indices {
            if index % guestsPerHost == 0 {
                if !host.isEmpty { all.append(host) }
                host = []
                // A poll begins some milliseconds late, as timers do.
                stamp = Timestamp(milliseconds: time + Int64(dice.next() % 20))
            }
            advance(index, now: stamp.milliseconds)
            let guest = guests[index]
            host.append(SourceTick(schema: guest.schema, time: stamp, bits: guest.current.map { UInt64(bitPattern: $0) }))
        }
        all.append(host)
        return all
    }

    private mutating func advance(_ index: Int, now: Int64) {
        let model = templates[guests[index].template]
        if guests[index].left == 0 || guests[index].position + stride >= model.ticks.count {
            guests[index].position = Int(dice.next() % UInt64(model.ticks.count - stride))
            // One to eight ticks, four on average.
            guests[index].left = 1 + Int(dice.next() % 8)
        }
        let before = model.ticks[guests[index].position]
        let after = model.ticks[guests[index].position + stride]
        guests[index].position += stride
        guests[index].left -= 1
        let factor = guests[index].factor * (0.9 + 0.2 * dice.unit())
        let captured = model.times[guests[index].position]
        guests[index].current.withUnsafeMutableBufferPointer { current in
            for column in current.indices {
                let quantum = model.quanta[column]
                if quantum == 0 { continue }
                if let unit = model.clockUnits[column] {
                    // When figures were taken: as long ago as in the capture.
                    current[column] = (now - (captured - after[column] * unit)) / unit
                    continue
                }
                let origin = model.isCounter[column] ? before[column] : model.ticks[0][column]
                let change = Int64((Double((after[column] - origin) / quantum) * factor).rounded()) * quantum
                if model.isCounter[column], after[column] < before[column] {
                    // The captured guest was started anew: so is this one.
                    current[column] = after[column]
                    continue
                }
                current[column] = model.isCounter[column] ? current[column] + change : max(0, model.ticks[0][column] + change)
            }
            if let cpu = model.cpu,
                after[cpu.total] - before[cpu.total] == after[cpu.user] + after[cpu.system] - before[cpu.user] - before[cpu.system]
            {
                current[cpu.total] = current[cpu.user] + current[cpu.system]
            }
        }
    }

    private static func templates(_ path: String) throws -> [Template] {
        var reader = try CaptureReader(path: path)
        var mappers: [String: GuestMapper] = [:]
        var described: [String: CapturedGuest] = [:]
        var order: [String] = []
        var ticks: [String: [SourceTick]] = [:]
        while let record = try reader.next() {
            switch record {
            case .guest(let guest):
                let key = "\(guest.host)/\(guest.guest)"
                described[key] = guest
                if let xml = guest.xml {
                    mappers[key, default: GuestMapper(host: guest.host, guest: guest.guest)].describe(try GuestDescription(domainXML: xml))
                }
            case .reading(let reading):
                let key = "\(reading.host)/\(reading.guest)"
                if ticks[key] == nil { order.append(key) }
                let domain = reading.domainReading(of: described[key])
                ticks[key, default: []].append(
                    mappers[key, default: GuestMapper(host: reading.host, guest: reading.guest)].map(domain, at: reading.time))
            case .node: break
            }
        }
        return order.compactMap { key in ticks[key].flatMap { template($0) } }
    }

    /// The ticks that have the shape of the last one, complete.
    private static func template(_ ticks: [SourceTick]) -> Template? {
        guard let last = ticks.last else { return nil }
        let same = ticks.filter { $0.schema.columns == last.schema.columns && !$0.presence.contains(false) }
        let rows = same.map { $0.bits.map { Int64(bitPattern: $0) } }
        guard rows.count > 100 else { return nil }
        let columns = last.schema.columns
        var quanta: [Int64] = []
        for column in columns.indices {
            var divisor: UInt64 = 0
            for (before, after) in zip(rows, rows.dropFirst()) {
                var (large, small) = (divisor, (after[column] - before[column]).magnitude)
                while small != 0 { (large, small) = (small, large % small) }
                divisor = large
            }
            quanta.append(columns[column].kind == .real ? 0 : Int64(divisor))
        }
        func position(_ metric: String) -> Int? { columns.firstIndex { $0.metric == "libvirt_domain_cpu_\(metric)_seconds_total" } }
        var cpu: (total: Int, user: Int, system: Int)?
        if let total = position("time"), let user = position("user"), let system = position("system") { cpu = (total, user, system) }
        let isCounter = columns.map { $0.metric.hasSuffix("_total") }
        let clockUnits = columns.map { column -> Int64? in
            guard column.metric.hasSuffix("_timestamp_seconds") else { return nil }
            return column.scale.decimals == 3 ? 1 : 1000
        }
        return Template(
            schema: last.schema, ticks: rows, quanta: quanta, isCounter: isCounter, times: same.map(\.time.milliseconds),
            clockUnits: clockUnits, cpu: cpu)
    }
}

/// SplitMix64.
struct BenchDice {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    /// 0…1.
    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
