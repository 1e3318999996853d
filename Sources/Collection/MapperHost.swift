public import Fleet
public import TimeSeries

/// What Steward's process counts of itself; nil where the system does not say.
public struct ProcessFigures: Hashable, Sendable {
    /// Labels of the build: version and libraries; empty ones are left out.
    public var build: [Label] = []
    /// Scrapes answered.
    public var scrapes: UInt64 = 0
    /// CPU time spent on answering them.
    public var scrapeNanoseconds: UInt64 = 0
    /// Bytes written for them, as sent.
    public var scrapeBytes: UInt64 = 0
    /// CPU time of the process, user and system.
    public var cpuNanoseconds: UInt64?
    /// Resident memory.
    public var resident: Bytes?
    /// When the process began.
    public var start: Timestamp?
    /// Open file descriptors.
    public var openFiles: UInt64?
    /// Threads.
    public var threads: UInt64?

    /// Nothing known yet.
    public init() {}
}

/// Turns what a host says of itself, and what its lane counts, into samples with the label `host`.
public struct HostMapper: Sendable {
    private var figures: FigureMapper
    private let labels: [Label]
    /// States that some guest has been in: their count stays when it falls back to 0, states never seen have no series.
    private var seenStates: Set<DomainState> = []
    /// When the host last answered.
    private var lastUp: Timestamp?

    /// A mapper for one host; `labels` are the operator's, for the series that describes the host.
    public init(host: HostName, labels: [Label] = []) {
        self.labels = labels
        figures = FigureMapper(labels: LabelSet([Label("host", host.text)]))
    }

    /// The samples of one report; `partial` guests and the CPU time of mapping are what the caller counted.
    public mutating func map(_ report: LaneReport, partial: Int, mapNanoseconds: UInt64? = nil) -> SourceTick {
        if report.isUp { lastUp = report.time }
        var list: [Figure] = [Figure("libvirt_up", report.isUp ? 1 : 0)]
        if let description = report.description { list += descriptionFigures(description) }
        list += nodeFigures(report.node?.cpu ?? [], .nodeCPU) + nodeFigures(report.node?.memory ?? [], .nodeMemory)
        list += stateFigures(report.isUp ? report.guests.map(\.reading) + report.inactive : nil)
        let stuck = report.guests.count { $0.condition == .stuck }
        list += [
            Figure("steward_tick_duration_seconds", report.isUp ? nanoseconds(report.took) : nil),
            Figure("steward_tick_timestamp_seconds", lastUp.flatMap { UInt64(exactly: $0.milliseconds) }),
            Figure("steward_guests_stuck", report.isUp ? UInt64(stuck) : nil),
            Figure("steward_guests_partial", report.isUp ? UInt64(exactly: partial) : nil),
            Figure("steward_map_seconds_total", mapNanoseconds),
        ]
        return figures.tick(list + counterFigures(report.counters), at: report.time)
    }

    private func descriptionFigures(_ host: HostDescription) -> [Figure] {
        func version(_ number: UInt64) -> String { "\(number / 1_000_000).\(number / 1000 % 1000).\(number % 1000)" }
        let labels = [
            descriptiveLabel("hostname", host.hostname), descriptiveLabel("hypervisor", host.hypervisor),
            descriptiveLabel("hypervisor_version", host.hypervisorVersion.map(version)),
            descriptiveLabel("libvirt_version", host.libvirtVersion.map(version)),
            descriptiveLabel("library_version", version(host.libraryVersion)), descriptiveLabel("cpu_model", host.cpuModel),
            Label("cells", String(host.topology.cells)), Label("sockets", String(host.topology.sockets)),
            Label("cores", String(host.topology.cores)), Label("threads", String(host.topology.threads)),
        ]
        return [
            Figure("libvirt_node_info", labels.compactMap { $0 } + self.labels, 1),
            Figure("libvirt_node_cpus", UInt64(exactly: host.cpus)),
            Figure("libvirt_node_cpu_frequency_hertz", host.megahertz > 0 ? UInt64(exactly: host.megahertz) : nil),
        ]
    }

    private func nodeFigures(_ parameters: [StatParameter], _ answer: MetricField.Answer) -> [Figure] {
        parameters.compactMap { parameter in
            guard let match = FieldIndex.shared.match(parameter.name, from: answer) else { return nil }
            let labels = match.labels.compactMap { label -> Label? in
                guard case .fixed(let value) = label.value else { return nil }
                return Label(label.name, value)
            }
            return Figure(MetricCatalogue.families[match.family].name, labels, parameter.value.unsignedInteger)
        }
    }

    private mutating func stateFigures(_ readings: [DomainReading]?) -> [Figure] {
        var counts: [DomainState: UInt64] = [:]
        for reading in readings ?? [] {
            let code = reading.parameters.first { $0.name == "state.state" }?.value.unsignedInteger
            guard let state = code.flatMap({ Int32(exactly: $0) }).flatMap(DomainState.init(rawValue:)) else { continue }
            counts[state, default: 0] += 1
            seenStates.insert(state)
        }
        return DomainState.allCases.filter(seenStates.contains).map { state in
            Figure("libvirt_domains", [Label("state", state.word)], readings == nil ? nil : counts[state, default: 0])
        }
    }

    private func counterFigures(_ counters: LaneCounters) -> [Figure] {
        [
            Figure("steward_reads_total", counters.reads), Figure("steward_ticks_missed_total", counters.missedTicks),
            Figure("steward_connects_total", counters.connects), Figure("steward_libvirt_calls_total", counters.calls),
            Figure("steward_libvirt_call_failures_total", counters.failures),
            Figure("steward_calls_abandoned_total", counters.abandonedCalls), Figure("steward_late_answers_total", counters.lateAnswers),
            Figure("steward_libvirt_events_total", counters.events),
        ]
    }

    private func nanoseconds(_ duration: Duration) -> UInt64? {
        let (seconds, attoseconds) = duration.components
        return UInt64(exactly: seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}

/// Turns the figures of one storage pool into samples with the labels `host` and `pool`.
public struct PoolMapper: Sendable {
    private var figures: FigureMapper

    /// A mapper for one pool on one host.
    public init(host: HostName, pool: String) {
        figures = FigureMapper(labels: LabelSet([Label("host", host.text), Label("pool", pool)]))
    }

    /// The samples of one reading; `refreshed` is when libvirt itself last looked at the pool, where that is known.
    public mutating func map(_ pool: PoolReading, refreshed: Timestamp? = nil, at time: Timestamp) -> SourceTick {
        // libvirt answers 0 for the sizes of a pool that is not running: unknown, not empty.
        let isKnown = pool.state != .inactive && pool.state != .building
        func size(_ bytes: Bytes) -> UInt64? { isKnown ? bytes.count : nil }
        return figures.tick(
            [
                Figure("libvirt_storage_pool_state_code", pool.state.flatMap { UInt64(exactly: $0.rawValue) }),
                Figure("libvirt_storage_pool_capacity_bytes", size(pool.capacity)),
                Figure("libvirt_storage_pool_allocation_bytes", size(pool.allocation)),
                Figure("libvirt_storage_pool_available_bytes", size(pool.available)),
                Figure("libvirt_storage_pool_read_timestamp_seconds", UInt64(exactly: time.milliseconds)),
                Figure("libvirt_storage_pool_refreshed_timestamp_seconds", refreshed.flatMap { UInt64(exactly: $0.milliseconds) }),
            ], at: time)
    }
}

/// Turns what Steward's process counts of itself into samples without a host.
public struct ProcessMapper: Sendable {
    private var figures = FigureMapper(labels: LabelSet([]))

    /// A mapper for this process.
    public init() {}

    /// The samples of one moment.
    public mutating func map(_ process: ProcessFigures, at time: Timestamp) -> SourceTick {
        figures.tick(
            [
                Figure("steward_build_info", process.build, 1),
                Figure("steward_scrapes_total", process.scrapes), Figure("steward_scrape_seconds_total", process.scrapeNanoseconds),
                Figure("steward_scrape_bytes_total", process.scrapeBytes), Figure("process_cpu_seconds_total", process.cpuNanoseconds),
                Figure("process_resident_memory_bytes", process.resident?.count),
                Figure("process_start_time_seconds", process.start.flatMap { UInt64(exactly: $0.milliseconds) }),
                Figure("process_open_fds", process.openFiles), Figure("process_threads", process.threads),
            ], at: time)
    }
}

/// One number with its series; nil where it is unknown.
private struct Figure {
    let key: SeriesKey
    let value: UInt64?

    init(_ metric: String, _ value: UInt64?) {
        self.init(metric, [], value)
    }

    init(_ metric: String, _ labels: [Label], _ value: UInt64?) {
        key = SeriesKey(metric: metric, labels: LabelSet(labels))
        self.value = value
    }
}

/// Makes ticks of lists of figures; the schema stays while the list's series do.
private struct FigureMapper: Sendable {
    private let labels: LabelSet
    private var keys: [SeriesKey] = []
    private var schema: SourceSchema?

    init(labels: LabelSet) { self.labels = labels }

    mutating func tick(_ figures: [Figure], at time: Timestamp) -> SourceTick {
        let presence = figures.map { $0.value != nil }
        return SourceTick(
            schema: schema(of: figures), time: time, bits: figures.map { $0.value ?? 0 },
            presence: presence.allSatisfy { $0 } ? [] : presence)
    }

    private mutating func schema(of figures: [Figure]) -> SourceSchema {
        if let schema, keys.elementsEqual(figures.lazy.map(\.key)) { return schema }
        let made = SourceSchema(
            labels: labels,
            columns: figures.map { figure in
                let scale = MetricCatalogue.index(of: figure.key.metric).map { MetricCatalogue.families[$0].scale } ?? .one
                return Column(metric: figure.key.metric, labels: figure.key.labels, scale: scale)
            })
        keys = figures.map(\.key)
        schema = made
        return made
    }
}
