public import Fleet
public import TimeSeries

/// Turns what one host says of one guest into samples.
///
/// The shape of the answer (which parameters in which order) is remembered together with the schema: while it stays the same,
/// numbers are copied and nothing is looked up. What is missing stays missing; nothing becomes zero.
public struct GuestMapper: Sendable {
    /// The host that the readings come from.
    public let host: HostName
    /// The guest.
    public let guest: GuestID
    /// What the guest's XML said last; nil until it is known.
    public private(set) var description: GuestDescription?
    /// When the guest's figures were last read; nil before the first time.
    public private(set) var lastRead: Timestamp?
    /// Whether the last reading lacked figures that the guest gave before.
    public var isPartial: Bool { plan?.isPartial ?? false }

    private var plan: GuestPlan?
    private var isDescriptionNew = false

    /// A mapper for one guest on one host.
    public init(host: HostName, guest: GuestID) {
        self.host = host
        self.guest = guest
    }

    /// Takes a new description, which later ticks carry on their `*_info` series.
    public mutating func describe(_ description: GuestDescription?) {
        guard description != self.description else { return }
        self.description = description
        isDescriptionNew = true
    }

    /// The samples of one reading, with those of the guest's job where one runs.
    public mutating func map(_ reading: DomainReading, job: JobReading? = nil, at time: Timestamp) -> SourceTick {
        let job = job.flatMap { $0.type == 0 ? nil : $0 }
        let plan = currentPlan(for: reading, job: job)
        lastRead = time
        return plan.tick(reading, job: job, at: time)
    }

    /// The samples of a tick in which the guest kept libvirt from answering: its descriptions, its flag and how old its figures are.
    public mutating func stuck(name: String, at time: Timestamp) -> SourceTick {
        let isUsable = plan?.name == name && !isDescriptionNew
        let reading = DomainReading(guest: guest, name: name, domainID: plan?.domainID, parameters: [])
        let plan = isUsable ? plan ?? makePlan(for: reading, job: nil) : makePlan(for: reading, job: nil)
        self.plan = plan
        return plan.stuckTick(lastRead: lastRead, at: time)
    }

    private mutating func currentPlan(for reading: DomainReading, job: JobReading?) -> GuestPlan {
        if let plan, !isDescriptionNew, plan.matches(reading, job: job) { return plan }
        let plan = makePlan(for: reading, job: job)
        self.plan = plan
        return plan
    }

    private mutating func makePlan(for reading: DomainReading, job: JobReading?) -> GuestPlan {
        isDescriptionNew = false
        return GuestPlan(host: host, reading: reading, job: job, description: description, after: plan)
    }
}

/// How the numbers of one shape of answer reach the columns of one schema.
struct GuestPlan: Sendable {
    let schema: SourceSchema
    let name: String
    let domainID: Int32?
    /// What each column is, in the order of the schema's columns.
    let columns: [PlannedColumn]
    let isPartial: Bool

    private let statistics: Binding
    private let job: Binding?
    private let own: OwnColumns

    init(host: HostName, reading: DomainReading, job: JobReading?, description: GuestDescription?, after previous: GuestPlan?) {
        var builder = GuestPlanBuilder(reading: reading)
        builder.addOwn(isActive: reading.domainID != nil)
        builder.addStatistics()
        if let job { builder.addJob(job) }
        if let description { builder.addDescription(description) }
        let kept = previous.map { $0.name == reading.name && $0.domainID == reading.domainID ? $0.columns : [] } ?? []
        builder.keep(kept)

        let columns = builder.sorted()
        self.columns = columns
        name = reading.name
        domainID = reading.domainID
        isPartial = columns.contains { $0.origin == .missing && $0.isExpectedInEveryTick }
        if let previous, previous.name == reading.name, previous.columns.elementsEqual(columns, by: { $0.key == $1.key }) {
            schema = previous.schema
        } else {
            schema = SourceSchema(
                labels: LabelSet([Label("host", host.text), Label("uuid", reading.guest.description), Label("domain", reading.name)]),
                columns: columns.map(\.column))
        }
        own = OwnColumns(columns)
        statistics = Binding(reading.parameters, labelFields: builder.labelFields) { index in
            columns.firstIndex { $0.origin == .statistic(index) }
        }
        self.job = job.map { job in
            Binding(job.parameters, labelFields: []) { index in columns.firstIndex { $0.origin == .job(index) } }
        }
    }

    /// Whether the answer has the same parameters in the same order, for the same devices, of the same run under the same name.
    func matches(_ reading: DomainReading, job: JobReading?) -> Bool {
        guard reading.name == name, (reading.domainID == nil) == (domainID == nil), statistics.matches(reading.parameters) else {
            return false
        }
        guard let job else { return self.job == nil }
        return self.job?.matches(job.parameters) ?? false
    }

    func tick(_ reading: DomainReading, job: JobReading?, at time: Timestamp) -> SourceTick {
        var cells = Cells(count: columns.count)
        statistics.copy(reading.parameters, into: &cells)
        if let job { self.job?.copy(job.parameters, into: &cells) }
        cells.set(own.jobType, job.map { UInt64(UInt32(bitPattern: $0.type)) })
        for column in own.constants { cells.set(column.index, column.bits) }
        cells.set(own.domainID, reading.domainID.flatMap { UInt64(exactly: $0) })
        cells.set(own.stuck, 0)
        cells.set(own.partial, isPartial ? 1 : 0)
        cells.set(own.readTime, UInt64(exactly: time.milliseconds))
        // 0 means that the guest's balloon driver never reported: the figures are the hypervisor's initial values, not the guest's.
        if let updated = own.updated, cells.isPresent[updated], cells.bits[updated] == 0 {
            for column in own.reportedByGuest { cells.isPresent[column] = false }
        }
        if let used = own.used, let available = cells[own.available], let usable = cells[own.usable], available >= usable {
            cells.set(used, available - usable)
        }
        return cells.tick(schema, at: time)
    }

    func stuckTick(lastRead: Timestamp?, at time: Timestamp) -> SourceTick {
        var cells = Cells(count: columns.count)
        for column in own.constants where column.isDescription { cells.set(column.index, column.bits) }
        cells.set(own.stuck, 1)
        cells.set(own.readTime, lastRead.flatMap { UInt64(exactly: $0.milliseconds) })
        return cells.tick(schema, at: time)
    }
}

/// Where the columns are that are not simply copied.
private struct OwnColumns: Sendable {
    let domainID: Int?
    let jobType: Int?
    let stuck: Int?
    let partial: Int?
    let readTime: Int?
    let updated: Int?
    let used: Int?
    let available: Int?
    let usable: Int?
    /// Figures that the guest's balloon driver reports.
    let reportedByGuest: [Int]
    let constants: [(index: Int, bits: UInt64, isDescription: Bool)]

    init(_ columns: [PlannedColumn]) {
        func index(_ metric: String) -> Int? { columns.firstIndex { $0.key.metric == metric } }
        domainID = index("libvirt_domain_id")
        jobType = index("libvirt_domain_job_type_code")
        stuck = index("steward_guest_stuck")
        partial = index("steward_guest_partial")
        readTime = index("steward_guest_read_timestamp_seconds")
        updated = index("libvirt_domain_memory_stats_updated_timestamp_seconds")
        used = index("libvirt_domain_memory_used_bytes")
        available = index("libvirt_domain_memory_available_bytes")
        usable = index("libvirt_domain_memory_usable_bytes")
        let byHypervisor = ["maximum", "current", "rss"].map { "libvirt_domain_memory_\($0)_bytes" }
        reportedByGuest = columns.indices.filter {
            columns[$0].key.metric.hasPrefix("libvirt_domain_memory_") && !byHypervisor.contains(columns[$0].key.metric)
        }
        constants = columns.enumerated().compactMap { index, column in
            guard case .constant(let bits) = column.origin else { return nil }
            return (index, bits, MetricCatalogue.families[column.family].kind == .info)
        }
    }
}

/// The numbers of a tick while it is filled.
private struct Cells {
    var bits: [UInt64]
    var isPresent: [Bool]

    init(count: Int) {
        bits = Array(repeating: 0, count: count)
        isPresent = Array(repeating: false, count: count)
    }

    subscript(column: Int?) -> UInt64? {
        column.flatMap { isPresent[$0] ? bits[$0] : nil }
    }

    mutating func set(_ column: Int?, _ value: UInt64?) {
        guard let column, let value else { return }
        bits[column] = value
        isPresent[column] = true
    }

    func tick(_ schema: SourceSchema, at time: Timestamp) -> SourceTick {
        SourceTick(schema: schema, time: time, bits: bits, presence: isPresent.allSatisfy { $0 } ? [] : isPresent)
    }
}

/// Which parameter goes to which column, for one shape of answer.
private struct Binding: Sendable {
    private let names: [String]
    /// For each parameter its column, or −1.
    private let targets: [Int32]
    /// The parameters whose values are labels, such as the names of disks.
    private let labels: [(index: Int, value: StatValue)]

    init(_ parameters: [StatParameter], labelFields: Set<Int>, column: (Int) -> Int?) {
        names = parameters.map(\.name)
        targets = parameters.indices.map { index in column(index).flatMap { Int32(exactly: $0) } ?? -1 }
        labels = labelFields.sorted().map { ($0, parameters[$0].value) }
    }

    func matches(_ parameters: [StatParameter]) -> Bool {
        guard parameters.count == names.count else { return false }
        for index in names.indices where parameters[index].name != names[index] { return false }
        return labels.allSatisfy { parameters[$0.index].value == $0.value }
    }

    func copy(_ parameters: [StatParameter], into cells: inout Cells) {
        for index in targets.indices where targets[index] >= 0 {
            guard let value = parameters[index].value.unsignedInteger else { continue }
            cells.bits[Int(targets[index])] = value
            cells.isPresent[Int(targets[index])] = true
        }
    }
}
