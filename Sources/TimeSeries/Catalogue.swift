/// One metric: everything that a series of it, its documentation and its `# HELP` line need.
public struct MetricFamily: Sendable, CustomStringConvertible {
    /// What a number of it means.
    public enum Kind: String, Sendable {
        /// Grows, and begins anew at 0 when the guest does.
        case counter
        /// Goes up and down.
        case gauge
        /// Always 1; what it says is in its labels.
        case info
    }

    /// What its series are about, and so which labels all of them carry.
    public enum Subject: String, Sendable, CaseIterable {
        /// A guest on a host: `host`, `uuid`, `domain`.
        case domain
        /// A host: `host`.
        case node
        /// A storage pool on a host: `host`, `pool`.
        case pool
        /// Steward's own process: none.
        case process

        /// The labels of every series about it.
        public var labels: [String] {
            switch self {
            case .domain: ["host", "uuid", "domain"]
            case .node: ["host"]
            case .pool: ["host", "pool"]
            case .process: []
            }
        }
    }

    /// What its values were checked against.
    public enum Evidence: String, Sendable {
        /// Real guests under real libvirt.
        case realGuests = "real guests"
        /// Recorded or written data only: the hardware or hypervisor of the laboratory does not give it.
        case recordedData = "recorded data only"
        /// Steward's own books: there is nothing of libvirt's to compare with.
        case own = "own figure"
    }

    /// The name as a sample shows it, with `_total` or `_info`.
    public let name: String
    /// What a number of it means.
    public let kind: Kind
    /// One sentence without line breaks, for `# HELP`.
    public let help: String
    /// What its series are about.
    public let subject: Subject
    /// Where its numbers come from, by libvirt's names.
    public let fields: [MetricField]
    /// How libvirt's native number becomes base units.
    public let scale: Scale
    /// The labels beyond those of the subject, sorted.
    public let labels: [String]
    /// The libvirt in whose headers the group of statistics or the parameter first stands; single fields of a group may be younger.
    public let since: String?
    /// What its values were checked against.
    public let evidence: Evidence
    /// Whether the number is read anew in every tick; false for descriptions, limits and pools, which are read when they change or seldom.
    public let isReadEveryTick: Bool

    /// The base unit that the name ends in (before `_total`), or nil for a plain number.
    public var unit: String? {
        let units = ["bytes_per_second", "requests_per_second", "pages_per_second", "seconds", "bytes", "hertz", "ratio"]
        return units.first { familyName.hasSuffix("_\($0)") }
    }

    /// The name.
    public var description: String { name }

    /// The name of the family in OpenMetrics: without `_total` and `_info`.
    public var familyName: String {
        switch kind {
        case .counter: String(name.dropLast("_total".count))
        case .info: String(name.dropLast("_info".count))
        case .gauge: name
        }
    }
}

/// One place where libvirt (or Steward) gives a family's number.
public struct MetricField: Sendable {
    /// Which answer holds it.
    public enum Answer: String, Sendable {
        /// `virConnectGetAllDomainStats`.
        case domainStatistics = "domain statistics"
        /// `virDomainGetJobStats`.
        case jobStatistics = "job statistics"
        /// `virNodeGetCPUStats`.
        case nodeCPU = "node CPU"
        /// `virNodeGetMemoryStats`.
        case nodeMemory = "node memory"
        /// Anything else: the XML, `virNodeGetInfo`, `virStoragePoolGetInfo`, Steward's own books.
        case other = ""
    }

    /// Which answer holds it.
    public let answer: Answer
    /// The field: `*` stands for a number (`block.*.rd.bytes`), `?` for one word that the hypervisor chooses (`vm.?.sum`).
    public let pattern: String
    /// The labels that this field sets.
    public let labels: [MetricLabel]
}

/// One label of a family and where its value comes from.
public struct MetricLabel: Sendable {
    /// Where the value comes from.
    public enum Value: Sendable {
        /// Always the same for this field.
        case fixed(String)
        /// The number at that `*` of the pattern, from 0.
        case number(Int)
        /// The word at the `?` of the pattern.
        case word
        /// The value of another field with the same numbers, such as `block.*.name`.
        case field(String)
        /// A description, such as the domain's XML.
        case description
    }

    /// The label's name.
    public let name: String
    /// Where the value comes from.
    public let value: Value
}

/// Every metric that Steward knows, in the order in which it is shown.
public enum MetricCatalogue {
    /// All families; the place in this array is a family's index.
    public static let families: [MetricFamily] =
        nodeFamilies + domainFamilies + blockFamilies + interfaceFamilies + rareFamilies + jobFamilies + poolFamilies + stewardFamilies

    /// The index of the family with that sample name, or nil.
    public static func index(of name: String) -> Int? { indices[name] }

    private static let indices: [String: Int] = Dictionary(
        families.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
}

/// One column of a schema and the family that it belongs to.
struct CataloguedColumn {
    /// The family's index in the catalogue.
    let family: UInt16
    /// The column's index in the schema.
    let column: UInt16

    /// The columns whose metric the catalogue knows, in the catalogue's order and within a family in the columns' own.
    static func all(of columns: [Column]) -> [CataloguedColumn] {
        columns.prefix(Int(UInt16.max)).enumerated().compactMap { index, column in
            MetricCatalogue.index(of: column.metric).map { CataloguedColumn(family: UInt16($0), column: UInt16(index)) }
        }.sorted { ($0.family, $0.column) < ($1.family, $1.column) }
    }
}

// MARK: - How the tables are written

extension MetricFamily {
    /// A family that one or more fields of an answer give.
    static func read(
        _ name: String, _ kind: Kind, _ help: String, about subject: Subject = .domain,
        from answer: MetricField.Answer = .domainStatistics, _ pattern: String, _ labels: [MetricLabel] = [], scale: Scale = .one,
        since: String, evidence: Evidence = .realGuests
    ) -> MetricFamily {
        read(
            name, kind, help, about: subject, fields: [MetricField(answer: answer, pattern: pattern, labels: labels)], scale: scale,
            since: since, evidence: evidence)
    }

    /// A family that several fields give, told apart by a label.
    static func read(
        _ name: String, _ kind: Kind, _ help: String, about subject: Subject = .domain, fields: [MetricField],
        scale: Scale = .one, since: String, evidence: Evidence = .realGuests
    ) -> MetricFamily {
        MetricFamily(
            name: name, kind: kind, help: help, subject: subject, fields: fields, scale: scale,
            labels: Array(Set(fields.flatMap { $0.labels.map(\.name) })).sorted(), since: since, evidence: evidence, isReadEveryTick: true)
    }

    /// A family whose numbers the mapper works out or takes from elsewhere; `source` says where in words or by libvirt's names.
    static func made(
        _ name: String, _ kind: Kind, _ help: String, about subject: Subject = .domain, source: String,
        labels: [String] = [], scale: Scale = .one, since: String? = nil, evidence: Evidence = .realGuests, isReadEveryTick: Bool = true
    ) -> MetricFamily {
        MetricFamily(
            name: name, kind: kind, help: help, subject: subject,
            fields: [
                MetricField(answer: .other, pattern: source, labels: labels.map { MetricLabel(name: $0, value: .description) })
            ], scale: scale, labels: labels.sorted(), since: since, evidence: evidence, isReadEveryTick: isReadEveryTick && kind != .info)
    }
}

extension MetricLabel {
    /// The label `device` of a disk.
    static let disk = MetricLabel(name: "device", value: .field("block.*.name"))
    /// The label `device` of an interface.
    static let interface = MetricLabel(name: "device", value: .field("net.*.name"))
    /// The label `vcpu`.
    static let vcpu = MetricLabel(name: "vcpu", value: .number(0))

    static func fixed(_ name: String, _ value: String) -> MetricLabel { MetricLabel(name: name, value: .fixed(value)) }
}
