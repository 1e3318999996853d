import Fleet
public import TimeSeries

/// A source and, beside its series, the ready-made ones of ``ReadyMadeFamily``.
///
/// A series of a guest carries `host`, `uuid`, `domain` and, where they are known at that reading, `group`, `tenant` and `zone`; one of a
/// host carries `host` and `zone`. A change of a description, a rename or a migration closes one label set with a stale marker at the very
/// reading at which the next one opens: an average over guests sees each of them once.
public struct ReadyMadeSource: SeriesSource {
    private let base: any SeriesSource

    /// A source around another one.
    public init(_ base: any SeriesSource) { self.base = base }

    /// Readings before the window that are looked at: the first ratio in it needs the reading before, and a guest's owner must be known.
    private static let lookBehind = Duration.seconds(900)
    /// Guests whose raw samples are held at once.
    private static let guestsABatch = 64

    /// The families that the matchers on the name allow.
    private func families(_ selection: SeriesSelection) -> [ReadyMadeFamily] {
        let names = selection.matchers.filter { $0.name == LabelSet.metricName }
        return ReadyMadeFamily.all.filter { family in names.allSatisfy { $0.matches(family.name) } }
    }

    /// Visits the series of the source and the ready-made ones, in the order of their label sets.
    public func select(_ selection: SeriesSelection, visit: (LabelSet, SampleRun) -> Bool) throws(SeriesSourceError) {
        let families = families(selection)
        if families.isEmpty { return try base.select(selection, visit: visit) }
        var made: [(labels: LabelSet, run: SampleRun)] = []
        for family in families { made += try series(of: family, selection) }
        made = made.filter { selection.matchers.allMatch($0.labels) }
        made.sort { $0.labels < $1.labels }
        var next = 0
        var goesOn = true
        try base.select(selection) { labels, run in
            while next < made.count, made[next].labels < labels {
                goesOn = visit(made[next].labels, made[next].run)
                next += 1
                if !goesOn { return false }
            }
            goesOn = visit(labels, run)
            return goesOn
        }
        while goesOn, next < made.count {
            goesOn = visit(made[next].labels, made[next].run)
            next += 1
        }
    }

    /// The label sets of the selection; of ready-made series those that the descriptions in the window yield.
    public func labelSets(_ selection: SeriesSelection) throws(SeriesSourceError) -> [LabelSet] {
        var result = try base.labelSets(selection)
        let families = families(selection)
        if families.isEmpty { return result }
        let reader = RawReader(base, from: selection.from, through: selection.through, uuids: uuidMatchers(selection))
        var zones: [String: Set<String>] = [:]
        for labels in try reader.labelSets("libvirt_node_info") {
            zones[labels["host"] ?? "", default: []].insert(labels["zone"] ?? "")
        }
        var candidates: Set<LabelSet> = []
        if families.contains(where: { $0.figure.isOfGuest }) {
            for labels in try reader.labelSets("libvirt_domain_info") {
                for zone in zones[labels["host"] ?? ""] ?? [""] {
                    candidates.insert(labels.filtered(Description.names.contains).setting("zone", to: zone))
                }
            }
        }
        var hosts: Set<LabelSet> = []
        for (host, zones) in zones { for zone in zones { hosts.insert(LabelSet([Label("host", host), Label("zone", zone)])) } }
        for family in families {
            for labels in family.figure.isOfGuest ? candidates : hosts {
                let full = labels.setting(LabelSet.metricName, to: family.name)
                if selection.matchers.allMatch(full) { result.append(full) }
            }
        }
        return result.sorted()
    }

    private func uuidMatchers(_ selection: SeriesSelection) -> [LabelMatcher] { selection.matchers.filter { $0.name == "uuid" } }

    private func series(
        of family: ReadyMadeFamily, _ selection: SeriesSelection
    ) throws(SeriesSourceError) -> [(labels: LabelSet, run: SampleRun)] {
        let from = selection.from - ReadyMadeSource.lookBehind
        let all = RawReader(base, from: from, through: selection.through, uuids: uuidMatchers(selection))
        let zones = ZoneHistory(try all.series("libvirt_node_info"))
        var builder = SeriesBuilder(name: family.name, from: selection.from.milliseconds, through: selection.through.milliseconds)
        switch family.figure {
        case .hostCPU: HostFigures.addCPU(try all.series("libvirt_node_cpu_seconds_total"), zones, to: &builder)
        case .hostMemory:
            var parts: [[RawSeries]] = []
            for part in ["total", "free", "buffers", "cached"] { parts.append(try all.series("libvirt_node_memory_\(part)_bytes")) }
            HostFigures.addMemory(parts, zones, to: &builder)
        default:
            let uuids = Set(try all.labelSets("libvirt_domain_id").compactMap { $0["uuid"] }).sorted()
            var start = 0
            while start < uuids.count {
                let batch = Array(uuids[start..<min(uuids.count, start + ReadyMadeSource.guestsABatch)])
                let reader = RawReader(base, from: from, through: selection.through, uuids: [try ReadyMadeSource.anyOf(batch)])
                try GuestFigures(family.figure, reader, zones).add(batch, to: &builder)
                start += batch.count
            }
        }
        return builder.finished
    }

    private static func anyOf(_ uuids: [String]) throws(SeriesSourceError) -> LabelMatcher {
        let special = "\\.+*?()|[]{}^$"
        let escaped = uuids.map { uuid in uuid.map { special.contains($0) ? "\\\($0)" : "\($0)" }.joined() }
        do throws(RegularExpressionError) {
            return try LabelMatcher("uuid", .matches, escaped.joined(separator: "|"))
        } catch {
            throw SeriesSourceError("a guest's uuid cannot be looked up: \(error.description)")
        }
    }
}

/// A series as the source has it.
struct RawSeries {
    let labels: LabelSet
    let run: SampleRun

    /// The value at exactly that reading; nil where there is none or a stale marker.
    func value(at time: Int64) -> Double? {
        let index = placesUpTo(time) - 1
        guard index >= 0, run.milliseconds[index] == time, isPresent(run.values[index]) else { return nil }
        return run.values[index]
    }

    /// When the newest sample at or before a time was taken; nil where there is none or it is a stale marker.
    func newest(upTo time: Int64) -> Int64? {
        let index = placesUpTo(time) - 1
        guard index >= 0, isPresent(run.values[index]) else { return nil }
        return run.milliseconds[index]
    }

    /// How many samples are not younger than a time.
    private func placesUpTo(_ time: Int64) -> Int {
        var low = 0
        var high = run.milliseconds.count
        while low < high {
            let middle = (low + high) / 2
            if run.milliseconds[middle] <= time { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// Reads raw series of some guests over a window.
struct RawReader {
    private let base: any SeriesSource
    private let from: Timestamp
    private let through: Timestamp
    private let uuids: [LabelMatcher]

    init(_ base: any SeriesSource, from: Timestamp, through: Timestamp, uuids: [LabelMatcher]) {
        self.base = base
        self.from = from
        self.through = through
        self.uuids = uuids
    }

    private func selection(_ metric: String) -> SeriesSelection {
        let isOfGuest = metric.hasPrefix("libvirt_domain_")
        return SeriesSelection(
            matchers: [LabelMatcher(LabelSet.metricName, equals: metric)] + (isOfGuest ? uuids : []), from: from, through: through)
    }

    func series(_ metric: String) throws(SeriesSourceError) -> [RawSeries] {
        var result: [RawSeries] = []
        try base.select(selection(metric)) { labels, run in
            result.append(RawSeries(labels: labels, run: run))
            return true
        }
        return result
    }

    func labelSets(_ metric: String) throws(SeriesSourceError) -> [LabelSet] { try base.labelSets(selection(metric)) }
}

/// The labels that describe a guest in ready-made series.
enum Description {
    static let names: Set<String> = ["host", "uuid", "domain", "group", "tenant"]
}

/// In which zone a host was, and when.
struct ZoneHistory {
    private let byHost: [String: [RawSeries]]

    init(_ series: [RawSeries]) { byHost = Dictionary(grouping: series) { $0.labels["host"] ?? "" } }

    /// The zone at a reading, empty where none is known.
    func zone(of host: String, at time: Int64) -> String {
        var best: (time: Int64, zone: String)?
        for series in byHost[host] ?? [] {
            guard let seen = series.newest(upTo: time) else { continue }
            if best.map({ seen > $0.time }) ?? true { best = (seen, series.labels["zone"] ?? "") }
        }
        return best?.zone ?? ""
    }
}

/// Gathers samples and ends of series.
struct SeriesBuilder {
    private let name: String
    private let from: Int64
    private let through: Int64
    private var samples: [LabelSet: [Int64: Double]] = [:]

    init(name: String, from: Int64, through: Int64) {
        self.name = name
        self.from = from
        self.through = through
    }

    /// A sample; it wins over an end at the same time.
    mutating func add(_ labels: LabelSet, _ time: Int64, _ value: Double) {
        guard time >= from, time <= through else { return }
        samples[labels, default: [:]][time] = value
    }

    /// The end of a series at a time.
    mutating func end(_ labels: LabelSet, _ time: Int64) {
        guard time >= from, time <= through, samples[labels]?[time] == nil else { return }
        samples[labels, default: [:]][time] = SampleRun.staleMarker
    }

    var finished: [(labels: LabelSet, run: SampleRun)] {
        samples.keys.sorted().map { labels in
            let sorted = (samples[labels] ?? [:]).sorted { $0.key < $1.key }
            return (
                labels.setting(LabelSet.metricName, to: name), SampleRun(milliseconds: sorted.map(\.key), values: sorted.map(\.value))
            )
        }
    }
}

/// The figures of hosts.
enum HostFigures {
    static func addCPU(_ series: [RawSeries], _ zones: ZoneHistory, to builder: inout SeriesBuilder) {
        let byHost = Dictionary(grouping: series) { $0.labels["host"] ?? "" }
        for host in byHost.keys.sorted() {
            let modes = byHost[host] ?? []
            var path = LabelledPath()
            for (previous, time) in neighbours(modes.map(\.run)) {
                var busy = 0.0
                var all = 0.0
                var isKnown = true
                for mode in modes {
                    let before = mode.value(at: previous)
                    let after = mode.value(at: time)
                    if before == nil, after == nil { continue }
                    guard let before, let after, after >= before else {
                        isKnown = false
                        break
                    }
                    all += after - before
                    if mode.labels["mode"] != "idle", mode.labels["mode"] != "iowait" { busy += after - before }
                }
                let labels = LabelSet([Label("host", host), Label("zone", zones.zone(of: host, at: time))])
                path.step(labels, time, isKnown && all > 0 ? busy / all : nil, &builder)
            }
            path.finish(ends(modes.map(\.run)), &builder)
        }
    }

    /// `parts` are the total and what is taken off it.
    static func addMemory(_ parts: [[RawSeries]], _ zones: ZoneHistory, to builder: inout SeriesBuilder) {
        for total in parts[0] {
            let host = total.labels["host"] ?? ""
            let others = parts.dropFirst().compactMap { $0.first { $0.labels["host"] == host } }
            var path = LabelledPath()
            for (index, time) in total.run.milliseconds.enumerated() where isPresent(total.run.values[index]) {
                let unused = others.map { $0.value(at: time) }
                let known = unused.compactMap { $0 }
                let size = total.run.values[index]
                let isKnown = known.count == unused.count && unused.count == parts.count - 1 && size > 0
                let labels = LabelSet([Label("host", host), Label("zone", zones.zone(of: host, at: time))])
                path.step(labels, time, isKnown ? (size - known.reduce(0, +)) / size : nil, &builder)
            }
            path.finish(ends([total.run]), &builder)
        }
    }

    /// Neighbouring readings, both present, at most five minutes apart: beyond that a ratio would say nothing of now.
    private static func neighbours(_ runs: [SampleRun]) -> [(Int64, Int64)] {
        guard let run = runs.max(by: { $0.milliseconds.count < $1.milliseconds.count }) else { return [] }
        var result: [(Int64, Int64)] = []
        for index in run.milliseconds.indices.dropFirst() where isPresent(run.values[index]) && isPresent(run.values[index - 1]) {
            let gap = run.milliseconds[index] - run.milliseconds[index - 1]
            if gap <= GuestFigures.longestGap { result.append((run.milliseconds[index - 1], run.milliseconds[index])) }
        }
        return result
    }

    private static func ends(_ runs: [SampleRun]) -> [Int64] {
        runs.flatMap { run in run.milliseconds.indices.filter { !isPresent(run.values[$0]) }.map { run.milliseconds[$0] } }.sorted()
    }
}

/// Follows one thing through its changing labels: each change ends one series where the next begins.
struct LabelledPath {
    private var current: LabelSet?
    private var last: Int64 = .min

    mutating func step(_ labels: LabelSet, _ time: Int64, _ value: Double?, _ builder: inout SeriesBuilder) {
        last = time
        if let current, current != labels || value == nil { builder.end(current, time) }
        current = value == nil ? nil : labels
        if let value { builder.add(labels, time, value) }
    }

    /// The raw series ended at one of these times.
    mutating func finish(_ ends: [Int64], _ builder: inout SeriesBuilder) {
        if let current, let end = ends.first(where: { $0 > last }) { builder.end(current, end) }
    }
}
