import Fleet
import TimeSeries

/// Which series a column is.
struct SeriesKey: Hashable, Sendable {
    let metric: String
    let labels: LabelSet
}

/// One column of a guest's schema and where its numbers come from.
struct PlannedColumn: Sendable {
    enum Origin: Hashable, Sendable {
        /// That parameter of the bulk answer.
        case statistic(Int)
        /// That parameter of the job's answer.
        case job(Int)
        /// The description: always this number while it holds.
        case constant(UInt64)
        /// The mapper works it out.
        case own
        /// The guest gave it before; this answer lacks it.
        case missing
    }

    let key: SeriesKey
    /// The family's index in the catalogue.
    let family: Int
    var origin: Origin

    var column: Column {
        Column(metric: key.metric, labels: key.labels, kind: .unsigned, scale: MetricCatalogue.families[family].scale)
    }

    /// Whether its absence makes an answer partial: not so for what the guest's own driver reports or what is asked for with cause.
    var isExpectedInEveryTick: Bool { PlannedColumn.expected[family] }

    private static let expected: [Bool] = MetricCatalogue.families.map { family in
        guard family.kind != .info, let field = family.fields.first, field.answer == .domainStatistics else { return false }
        let always = [
            "state.", "cpu.time", "cpu.user", "cpu.system", "block.", "net.", "balloon.current", "balloon.maximum", "balloon.rss",
        ]
        return always.contains { field.pattern.hasPrefix($0) } || (field.pattern.hasPrefix("vcpu.") && !field.pattern.contains("?"))
    }
}

/// Collects the columns of one shape of answer.
struct GuestPlanBuilder {
    /// The parameters whose values are labels.
    private(set) var labelFields: Set<Int> = []

    private let reading: DomainReading
    private let places: [String: Int]
    private var columns: [PlannedColumn] = []
    private var known: Set<SeriesKey> = []

    init(reading: DomainReading) {
        self.reading = reading
        places = Dictionary(reading.parameters.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    mutating func addOwn(isActive: Bool) {
        if isActive { addOwn("libvirt_domain_id") }
        addOwn("steward_guest_stuck")
        addOwn("steward_guest_partial")
        addOwn("steward_guest_read_timestamp_seconds")
    }

    mutating func addStatistics() {
        for (index, parameter) in reading.parameters.enumerated() {
            guard let match = FieldIndex.shared.match(parameter.name, from: .domainStatistics), parameter.value.unsignedInteger != nil
            else {
                continue
            }
            guard let labels = labels(of: match) else { continue }
            add(match.family, labels, .statistic(index))
        }
        if places["balloon.available"] != nil, places["balloon.usable"] != nil { addOwn("libvirt_domain_memory_used_bytes") }
    }

    mutating func addJob(_ job: JobReading) {
        addOwn("libvirt_domain_job_type_code")
        for (index, parameter) in job.parameters.enumerated() {
            guard let match = FieldIndex.shared.match(parameter.name, from: .jobStatistics) else { continue }
            add(match.family, [], .job(index))
        }
    }

    /// Keeps what the guest gave before and this answer lacks, unless the answer shows that the device or vCPU is gone.
    mutating func keep(_ previous: [PlannedColumn]) {
        for var column in previous where !known.contains(column.key) && column.isExpectedInEveryTick && !isGone(column.key) {
            column.origin = .missing
            known.insert(column.key)
            columns.append(column)
        }
        for var column in previous where !known.contains(column.key) && isReportedByGuest(column) {
            column.origin = column.key.metric == "libvirt_domain_memory_used_bytes" ? .own : .missing
            known.insert(column.key)
            columns.append(column)
        }
    }

    /// The columns in the catalogue's order, and within a family in the order in which they came, missing ones by their labels.
    func sorted() -> [PlannedColumn] {
        columns.enumerated().sorted { left, right in
            (left.element.family, left.element.key.labels, left.offset) < (right.element.family, right.element.key.labels, right.offset)
        }.map(\.element)
    }

    private func isReportedByGuest(_ column: PlannedColumn) -> Bool {
        column.key.metric.hasPrefix("libvirt_domain_memory_") && column.key.metric != "libvirt_domain_memory_bandwidth_bytes_total"
    }

    private func isGone(_ key: SeriesKey) -> Bool {
        if key.metric.hasPrefix("libvirt_domain_block_") { return isGone(key.labels["device"], count: "block.count", names: "block.") }
        if key.metric.hasPrefix("libvirt_domain_interface_") { return isGone(key.labels["device"], count: "net.count", names: "net.") }
        guard let vcpu = key.labels["vcpu"], let current = number("vcpu.current") else { return false }
        // Fewer vCPUs listed than the guest has means that the answer is partial; as many as it has, and this one not among them, gone.
        let listed = reading.parameters.filter { $0.name.hasPrefix("vcpu.") && $0.name.hasSuffix(".state") }
        return UInt64(listed.count) >= current && !listed.contains { $0.name == "vcpu.\(vcpu).state" }
    }

    private func isGone(_ device: String?, count: String, names: String) -> Bool {
        guard let device, number(count) != nil else { return false }
        return !reading.parameters.contains {
            $0.value == .text(device) && $0.name.hasPrefix(names) && $0.name.hasSuffix(".name")
        }
    }

    private func number(_ name: String) -> UInt64? {
        places[name].flatMap { reading.parameters[$0].value.unsignedInteger }
    }

    /// The labels of a field, or nil where a field that holds one is missing.
    private mutating func labels(of match: FieldIndex.Match) -> [Label]? {
        var labels: [Label] = []
        for label in match.labels {
            switch label.value {
            case .fixed(let value): labels.append(Label(label.name, value))
            case .number(let index): labels.append(Label(label.name, index < match.numbers.count ? String(match.numbers[index]) : ""))
            case .word: labels.append(Label(label.name, String(match.word ?? "")))
            case .description: break
            case .field(let pattern):
                guard let place = places[match.sibling(pattern)] else { return nil }
                labelFields.insert(place)
                switch reading.parameters[place].value {
                case .text(let text): labels.append(Label(label.name, text))
                case .signed, .unsigned, .real, .flag:
                    guard let number = reading.parameters[place].value.unsignedInteger else { return nil }
                    labels.append(Label(label.name, String(number)))
                }
            }
        }
        return labels
    }

    private mutating func addOwn(_ metric: String) {
        add(metric, [], .own)
    }

    private mutating func add(_ metric: String, _ labels: [Label], _ origin: PlannedColumn.Origin) {
        guard let family = MetricCatalogue.index(of: metric) else { return }
        add(family, labels, origin)
    }

    private mutating func add(_ family: Int, _ labels: [Label], _ origin: PlannedColumn.Origin) {
        let key = SeriesKey(metric: MetricCatalogue.families[family].name, labels: LabelSet(labels))
        guard known.insert(key).inserted else { return }
        columns.append(PlannedColumn(key: key, family: family, origin: origin))
    }
}

// MARK: - What the XML says

extension GuestPlanBuilder {
    mutating func addDescription(_ guest: GuestDescription) {
        addInfo(
            "libvirt_domain_info",
            [
                ("title", guest.title), ("os_type", guest.osType), ("architecture", guest.architecture), ("machine", guest.machine),
                ("group", guest.metadata.group), ("tenant", guest.metadata.tenant), ("instance_type", guest.metadata.instanceType),
            ])
        for tag in guest.metadata.tags { addInfo("libvirt_domain_tag_info", [("tag", tag.name), ("value", tag.value)]) }
        for disk in guest.disks { addDisk(disk, type: guest.metadata.diskTypes.first { $0.target == disk.target }?.type) }
        for interface in guest.interfaces {
            addInfo(
                "libvirt_domain_interface_info",
                [
                    ("device", interface.device), ("mac", interface.mac), ("type", interface.type), ("source", interface.source),
                    ("model", interface.model),
                ])
        }
    }

    private mutating func addDisk(_ disk: DiskDescription, type: String?) {
        addInfo(
            "libvirt_domain_block_info",
            [
                ("device", disk.target), ("device_type", disk.device), ("bus", disk.bus), ("format", disk.format), ("cache", disk.cache),
                ("discard", disk.discard), ("source", disk.source), ("pool", disk.pool), ("serial", disk.serial),
                ("read_only", disk.isReadOnly ? "yes" : nil), ("shareable", disk.isShareable ? "yes" : nil), ("type", type),
            ])
        for limit in disk.limits {
            guard let (metric, operation) = limitMetric(limit.name) else { continue }
            add(metric, [Label("device", disk.target)] + (operation.map { [Label("operation", $0)] } ?? []), .constant(limit.value))
        }
    }

    private mutating func addInfo(_ metric: String, _ labels: [(String, String?)]) {
        add(metric, labels.compactMap { descriptiveLabel($0, $1) }, .constant(1))
    }

    /// libvirt's `total_iops_sec_max` is the metric of burst requests with `operation="total"`.
    private func limitMetric(_ name: String) -> (metric: String, operation: String?)? {
        let prefix = "libvirt_domain_block_limit_"
        if name == "size_iops_sec" { return (prefix + "request_size_bytes", nil) }
        let parts = name.split(separator: "_", maxSplits: 1)
        guard parts.count == 2, ["total", "read", "write"].contains(parts[0]) else { return nil }
        let suffix: String? =
            switch parts[1] {
            case "bytes_sec": "bytes_per_second"
            case "iops_sec": "requests_per_second"
            case "bytes_sec_max": "burst_bytes_per_second"
            case "iops_sec_max": "burst_requests_per_second"
            case "bytes_sec_max_length": "burst_bytes_seconds"
            case "iops_sec_max_length": "burst_requests_seconds"
            default: nil
            }
        return suffix.map { (prefix + $0, String(parts[0])) }
    }
}
