import TimeSeries

/// The figures of guests, a batch of them.
struct GuestFigures {
    /// Two readings further apart than this are no neighbours: the lookback of an instant query.
    static let longestGap: Int64 = 300_000
    /// A guest's own figures of memory stand still where nobody asks the balloon; older ones are unknown.
    private static let freshSeconds = 300.0
    /// Intervals for which the last figure of a guest that went away stands, waiting for the host that it went to.
    private static let handoverIntervals: Int64 = 3

    private let figure: ReadyMadeFamily.Figure
    private let zones: ZoneHistory
    private let identities: [String: [RawSeries]]
    private let states: [String: [RawSeries]]
    private let descriptions: [String: [RawSeries]]
    private let vcpus: [String: [RawSeries]]
    private var counters: [[String: [RawSeries]]] = []
    private var memory: [[String: [RawSeries]]] = []

    init(_ figure: ReadyMadeFamily.Figure, _ reader: RawReader, _ zones: ZoneHistory) throws(SeriesSourceError) {
        func byGuest(_ metric: String) throws(SeriesSourceError) -> [String: [RawSeries]] {
            Dictionary(grouping: try reader.series(metric)) { $0.labels["uuid"] ?? "" }
        }
        self.figure = figure
        self.zones = zones
        identities = try byGuest("libvirt_domain_id")
        states = try byGuest("libvirt_domain_state_code")
        descriptions = try byGuest("libvirt_domain_info")
        switch figure {
        case .guestTimeShare(let metrics):
            vcpus = try byGuest("libvirt_domain_vcpus_current")
            for metric in metrics { counters.append(try byGuest(metric)) }
        case .guestRate(let metrics):
            vcpus = [:]
            for metric in metrics { counters.append(try byGuest(metric)) }
        default:
            vcpus = [:]
            for part in ["used_bytes", "available_bytes", "stats_updated_timestamp_seconds"] {
                memory.append(try byGuest("libvirt_domain_memory_\(part)"))
            }
        }
    }

    /// A guest on one host from a start, or an arrival, to its end there: one domain id, no gap.
    private struct Stay {
        let host: String
        let id: Double
        var times: [Int64]
        var domains: [String]
        /// When the host's reading first lacked it; nil where the window ends before.
        var end: Int64?
        /// When it counts as the guest; nil while another stay does.
        var opened: Int64?
        /// When another stay took over.
        var closed: Int64?

        /// Until when its last figure stands at the most.
        var grace: Int64 {
            let last = times[times.count - 1]
            let interval = times.count > 1 ? last - times[times.count - 2] : 0
            return max(end ?? .max, last + GuestFigures.handoverIntervals * interval)
        }
    }

    func add(_ uuids: [String], to builder: inout SeriesBuilder) {
        for uuid in uuids {
            var stays = stays(of: uuid)
            let values = stays.map { stay in stay.times.indices.map { value(uuid, stay, $0) } }
            settle(&stays, values, uuid)
            for (index, stay) in stays.enumerated() { write(stay, values[index], uuid, to: &builder) }
        }
    }

    // MARK: Stays

    private func stays(of uuid: String) -> [Stay] {
        let byHost = Dictionary(grouping: identities[uuid] ?? []) { $0.labels["host"] ?? "" }
        var result: [Stay] = []
        for host in byHost.keys.sorted() {
            // A rename makes another raw series: their readings together are the guest's.
            var readings: [Int64: (id: Double, domain: String)] = [:]
            var ends: Set<Int64> = []
            for series in byHost[host] ?? [] {
                for (index, time) in series.run.milliseconds.enumerated() {
                    if isPresent(series.run.values[index]) {
                        readings[time] = (series.run.values[index], series.labels["domain"] ?? "")
                    } else {
                        ends.insert(time)
                    }
                }
            }
            result += GuestFigures.cut(readings, ends.filter { readings[$0] == nil }.sorted(), host)
        }
        return result.sorted { ($0.times[0], $0.host) < ($1.times[0], $1.host) }
    }

    private static func cut(_ readings: [Int64: (id: Double, domain: String)], _ ends: [Int64], _ host: String) -> [Stay] {
        var result: [Stay] = []
        var current: Stay?
        var nextEnd = 0
        func close(_ end: Int64?) {
            guard var stay = current else { return }
            stay.end = end
            result.append(stay)
            current = nil
        }
        for time in readings.keys.sorted() {
            guard let (id, domain) = readings[time] else { continue }
            while nextEnd < ends.count, ends[nextEnd] < time {
                close(ends[nextEnd])
                nextEnd += 1
            }
            if let stay = current, stay.id != id || time - stay.times[stay.times.count - 1] > longestGap { close(time) }
            if current == nil { current = Stay(host: host, id: id, times: [], domains: []) }
            current?.times.append(time)
            current?.domains.append(domain)
        }
        close(nextEnd < ends.count ? ends[nextEnd] : nil)
        return result
    }

    /// Decides which stay is the guest, and when: one at a time.
    ///
    /// During a migration both hosts list the guest, the target's paused. The target takes over at its first figure at which the guest runs
    /// there; a stay that begins alone takes over at its first figure.
    private func settle(_ stays: inout [Stay], _ values: [[Double?]], _ uuid: String) {
        for index in stays.indices {
            for (place, time) in stays[index].times.enumerated() where values[index][place] != nil {
                let others = stays.indices.filter { other in
                    guard other != index, let opened = stays[other].opened else { return false }
                    return opened <= time && stays[other].closed ?? .max > time && stays[other].grace >= time
                }
                guard others.isEmpty || isRunning(uuid, stays[index].host, time) else { continue }
                stays[index].opened = time
                for other in others { stays[other].closed = time }
                break
            }
        }
    }

    private func isRunning(_ uuid: String, _ host: String, _ time: Int64) -> Bool {
        (states[uuid] ?? []).contains { series in
            guard series.labels["host"] == host, let state = series.value(at: time) else { return false }
            // libvirt's running and blocked.
            return state == 1 || state == 2
        }
    }

    private func write(_ stay: Stay, _ values: [Double?], _ uuid: String, to builder: inout SeriesBuilder) {
        guard let opened = stay.opened else { return }
        let closed = stay.closed ?? .max
        var current: LabelSet?
        var described: (description: Int?, domain: String, zone: String, labels: LabelSet)?
        for (place, time) in stay.times.enumerated() where time >= opened && time < closed {
            let domain = stay.domains[place]
            let description = description(uuid, stay.host, domain, at: time)
            let zone = zones.zone(of: stay.host, at: time)
            if described.map({ $0.description != description || $0.domain != domain || $0.zone != zone }) ?? true {
                let known = description.flatMap { descriptions[uuid]?[$0].labels.filtered(Description.names.contains) } ?? .empty
                let own = [Label("host", stay.host), Label("uuid", uuid), Label("domain", domain), Label("zone", zone)]
                described = (description, domain, zone, LabelSet(known.labels + own))
            }
            guard let labels = described?.labels else { continue }
            if let current, current != labels || values[place] == nil { builder.end(current, time) }
            current = values[place] == nil ? nil : labels
            if let value = values[place] { builder.add(labels, time, value) }
        }
        guard let current else { return }
        if closed != .max {
            builder.end(current, closed)
        } else if stay.end != nil {
            builder.end(current, stay.grace)
        }
    }

    /// Which of the guest's descriptions holds at a reading: the newest of that name on that host.
    private func description(_ uuid: String, _ host: String, _ domain: String, at time: Int64) -> Int? {
        var newest: (time: Int64, place: Int)?
        for (place, series) in (descriptions[uuid] ?? []).enumerated() {
            guard series.labels["host"] == host, series.labels["domain"] == domain, let seen = series.newest(upTo: time) else { continue }
            if newest.map({ seen > $0.time }) ?? true { newest = (seen, place) }
        }
        return newest?.place
    }

    // MARK: Numbers

    private func value(_ uuid: String, _ stay: Stay, _ place: Int) -> Double? {
        let time = stay.times[place]
        switch figure {
        case .guestMemory:
            let parts = memory.map { sum($0[uuid], stay.host, time) }
            guard parts.count == 3, let used = parts[0], let available = parts[1], let updated = parts[2], available > 0,
                Double(time) / 1000 - updated <= GuestFigures.freshSeconds
            else { return nil }
            return used / available
        case .guestRate: return growth(uuid, stay, place)
        case .guestTimeShare:
            guard let rate = growth(uuid, stay, place), let cpus = sum(vcpus[uuid], stay.host, time), cpus > 0 else { return nil }
            return rate / cpus
        default: return nil
        }
    }

    /// The only value of a host's series at a reading.
    private func sum(_ series: [RawSeries]?, _ host: String, _ time: Int64) -> Double? {
        for one in series ?? [] where one.labels["host"] == host {
            if let value = one.value(at: time) { return value }
        }
        return nil
    }

    /// How much all counters grew together since the reading before, by second; nil where one of them is new, gone or fell.
    private func growth(_ uuid: String, _ stay: Stay, _ place: Int) -> Double? {
        guard place > 0 else { return nil }
        let time = stay.times[place]
        let previous = stay.times[place - 1]
        var total = 0.0
        for counter in counters {
            var after: [LabelSet: Double] = [:]
            var before: [LabelSet: Double] = [:]
            for series in counter[uuid] ?? [] where series.labels["host"] == stay.host {
                // The same disk under another name of the guest is the same disk.
                let key = series.labels.filtered { $0 != "domain" }
                if let value = series.value(at: time) { after[key] = value }
                if let value = series.value(at: previous) { before[key] = value }
            }
            guard !after.isEmpty, after.count == before.count else { return nil }
            for key in after.keys.sorted() {
                guard let old = before[key], let new = after[key], new >= old else { return nil }
                total += new - old
            }
        }
        return total / (Double(time - previous) / 1000)
    }
}
