public import Fleet

/// Versions of something, each in force from one second until another.
public struct Schedule<Value: Sendable>: Sendable {
    /// One version.
    public struct Entry: Sendable {
        /// When it is in force.
        public let interval: Interval
        /// The version.
        public let value: Value
    }

    /// The versions by time; none overlaps another.
    public let entries: [Entry]

    /// Versions by their first second and, optionally, the first second after them; without one, a version lasts until the next.
    ///
    /// - Returns: nil where two overlap.
    public init?(_ versions: [(from: Int64, until: Int64?, value: Value)]) {
        let sorted = versions.sorted { $0.from < $1.from }
        var entries: [Entry] = []
        for (index, version) in sorted.enumerated() {
            let next = index + 1 < sorted.count ? sorted[index + 1].from : Int64.max
            let until = version.until ?? next
            guard until <= next, until > version.from else { return nil }
            entries.append(Entry(interval: Interval(from: version.from, to: until), value: version.value))
        }
        self.entries = entries
    }

    /// One version, in force always.
    public init(always value: Value) {
        entries = [Entry(interval: Interval(from: .min, to: .max), value: value)]
    }

    /// The index of the version in force at a second.
    func index(at second: Int64) -> Int? { entries.firstIndex { $0.interval.from <= second && second < $0.interval.to } }
}

/// What is charged for: the lines of a bill are of these kinds.
public enum Meter: UInt8, Hashable, Comparable, Sendable, CaseIterable {
    /// A running guest.
    case compute = 1
    /// The memory of a guest that does not compute but holds it.
    case reservedMemory = 2
    /// A disk's provisioned size.
    case disk = 3
    /// A snapshot's size.
    case snapshot = 4
    /// An image's size.
    case image = 5
    /// Saved memory's size.
    case savedMemory = 6
    /// Traffic that guests received.
    case trafficIn = 7
    /// Traffic that guests sent.
    case trafficOut = 8
    /// What a start costs beyond the seconds that it ran.
    case minimum = 9

    /// Orders by number: the order of lines.
    public static func < (left: Meter, right: Meter) -> Bool { left.rawValue < right.rawValue }

    /// The word in files, lines and commands.
    public var word: String {
        switch self {
        case .compute: "compute"
        case .reservedMemory: "reserved_memory"
        case .disk: "disk"
        case .snapshot: "snapshot"
        case .image: "image"
        case .savedMemory: "saved_memory"
        case .trafficIn: "traffic_in"
        case .trafficOut: "traffic_out"
        case .minimum: "minimum"
        }
    }
}

/// A price, or steps of prices: each step holds for the usage of one tenant and month beyond the step before (graduated).
public struct Price: Hashable, Sendable {
    /// One step.
    public struct Tier: Hashable, Sendable {
        /// The usage in counted units (seconds, byte-seconds, bytes) up to which it holds; nil for the last.
        public let upTo: Int128?
        /// 10⁻¹² currency units for one priced unit.
        public let trillionths: Int128
        /// A step.
        public init(upTo: Int128?, trillionths: Int128) {
            self.upTo = upTo
            self.trillionths = trillionths
        }
    }

    /// The steps, `upTo` rising; the last has none.
    public let tiers: [Tier]

    /// One price for all usage.
    public init(trillionths: Int128) { tiers = [Tier(upTo: nil, trillionths: trillionths)] }

    /// Steps; nil where they do not rise or the last one ends.
    public init?(tiers: [Tier]) {
        guard let last = tiers.last, last.upTo == nil else { return nil }
        var before: Int128 = 0
        for tier in tiers.dropLast() {
            guard let upTo = tier.upTo, upTo > before else { return nil }
            before = upTo
        }
        self.tiers = tiers
    }
}

/// One version of the prices, in one currency.
public struct PriceBook: Hashable, Sendable {
    /// The largest price that a book may hold: a million currency units for one priced unit.
    public static let maximumPrice: Int128 = 1_000_000 * Money.trillionthsPerUnit

    /// A discount of one tenant.
    public struct Discount: Hashable, Sendable {
        /// The tenant.
        public let tenant: String
        /// The meter; nil for all.
        public let meter: Meter?
        /// What is taken off, in parts per million.
        public let partsPerMillion: Int
        /// A discount.
        public init(tenant: String, meter: Meter? = nil, partsPerMillion: Int) {
            self.tenant = tenant
            self.meter = meter
            self.partsPerMillion = partsPerMillion
        }
    }

    /// The operator's name of this version.
    public var version: String
    /// The currency.
    public var currency: Currency
    /// The decimals that an invoice in it shows.
    public var minorDigits: Int
    /// Per instance type, by the hour.
    public var instances: [String: Price] = [:]
    /// A vCPU of a guest billed as `custom`, by the hour.
    public var customVCPU: Price?
    /// A GiB of memory of a guest billed as `custom`, by the hour.
    public var customMemory: Price?
    /// A GiB of reserved memory, by the hour.
    public var reservedMemory: Price?
    /// Per disk type, by the GiB-hour.
    public var disks: [String: Price] = [:]
    /// Snapshots, images and saved memory, by the GiB-hour; traffic, by the GiB.
    public var others: [Meter: Price] = [:]
    /// The least seconds charged for one start.
    public var minimumSeconds: Int64 = 0
    /// The discounts; the first that fits a tenant and meter holds.
    public var discounts: [Discount] = []

    /// A book without prices.
    public init(version: String, currency: Currency, minorDigits: Int? = nil) {
        self.version = version
        self.currency = currency
        self.minorDigits = minorDigits ?? PriceBook.minorDigits(of: currency)
    }

    /// The decimals of a currency's minor unit (ISO 4217): 2 unless listed otherwise there.
    public static func minorDigits(of currency: Currency) -> Int {
        let without = ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"]
        if without.contains(currency.code) { return 0 }
        return ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"].contains(currency.code) ? 3 : 2
    }

    func keptPartsPerMillion(tenant: String?, meter: Meter) -> Int {
        let discount = discounts.first { $0.tenant == tenant && ($0.meter == nil || $0.meter == meter) }
        return 1_000_000 - (discount?.partsPerMillion ?? 0)
    }
}

/// One version of the instance types, and the rules by which disks get their type.
public struct InstanceCatalogue: Hashable, Sendable {
    /// An instance type.
    public struct InstanceType: Hashable, Sendable {
        /// Its name.
        public let name: String
        /// Its vCPUs.
        public let vcpus: Int
        /// Its memory.
        public let memory: Bytes
        /// An instance type.
        public init(name: String, vcpus: Int, memory: Bytes) {
            self.name = name
            self.vcpus = vcpus
            self.memory = memory
        }
    }

    /// What is billed where the claimed type is not what the guest has.
    public enum MismatchRule: Hashable, Sendable {
        /// vCPUs and memory as observed, at the `custom` prices.
        case custom
        /// The claimed type.
        case claimed
    }

    /// A rule that gives disks their type; what is nil fits everything.
    public struct DiskRule: Hashable, Sendable {
        /// The pool.
        public let pool: String?
        /// The bus.
        public let bus: String?
        /// The type.
        public let type: String
        /// A rule.
        public init(pool: String? = nil, bus: String? = nil, type: String) {
            self.pool = pool
            self.bus = bus
            self.type = type
        }
    }

    /// The types, sorted by name.
    public let types: [InstanceType]
    /// What a mismatch is billed as.
    public let mismatch: MismatchRule
    /// The rules for disks whose metadata gives no type; the first that fits holds.
    public let diskRules: [DiskRule]

    /// A catalogue.
    public init(types: [InstanceType], mismatch: MismatchRule = .custom, diskRules: [DiskRule] = []) {
        self.types = types.sorted { $0.name < $1.name }
        self.mismatch = mismatch
        self.diskRules = diskRules
    }

    /// The billed type of a shape: nil for `custom`; and what is wrong with its claim.
    func resolve(_ shape: GuestShape) -> (type: String?, mismatch: String?) {
        let has = "\(shape.vcpus) vCPUs and \(shape.memory)"
        guard let claimed = shape.instanceType else {
            return (types.first { $0.vcpus == shape.vcpus && $0.memory == shape.memory }?.name, nil)
        }
        guard let type = types.first(where: { $0.name == claimed }) else {
            let near = nearest(to: claimed, among: types.map(\.name)).map { "; did its metadata mean '\($0)'?" } ?? ""
            return (nil, "claims the unknown type '\(claimed)' and has \(has): billed as custom\(near)")
        }
        if type.vcpus == shape.vcpus, type.memory == shape.memory { return (claimed, nil) }
        let billed = mismatch == .custom ? nil : claimed
        return (
            billed,
            "claims '\(claimed)' (\(type.vcpus) vCPUs and \(type.memory)) and has \(has): billed as \(billed ?? "custom")"
        )
    }

    /// The billed type of a disk: its metadata's word, else the first rule that fits, else `standard`.
    func diskType(_ hints: VolumeHints) -> String {
        if let type = hints.metadataType { return type }
        let rule = diskRules.first { ($0.pool == nil || $0.pool == hints.pool) && ($0.bus == nil || $0.bus == hints.bus) }
        return rule?.type ?? "standard"
    }
}

/// One version of what is billed and what is free.
public struct BillableTable: Hashable, Sendable {
    /// One row: a state, with one of its reasons or all, and whether a meter runs in it.
    public struct Row: Hashable, Sendable {
        /// libvirt's state.
        public let state: DomainState
        /// libvirt's reason number; nil for every reason that has no row of its own.
        public let reason: Int32?
        /// ``Meter/compute`` or ``Meter/reservedMemory``.
        public let meter: Meter
        /// Whether it is billed.
        public let isBilled: Bool
        /// A row.
        public init(_ state: DomainState, reason: Int32? = nil, _ meter: Meter, isBilled: Bool) {
            self.state = state
            self.reason = reason
            self.meter = meter
            self.isBilled = isBilled
        }
    }

    /// The operator's name of this version.
    public let version: String
    /// The rows laid over the defaults.
    public let rows: [Row]
    /// Volumes and traffic that are billed.
    public let meters: Set<Meter>
    /// Whether disks are billed while they are attached to nothing.
    public let billsDetached: Bool
    private let compute: Set<SpanState>
    private let reserved: Set<SpanState>

    /// The defaults: a guest is billed while a process of it holds CPU or memory by its owner's or the operator's doing; pauses that an
    /// error of the host caused, a guest that is shut off or crashed, and its last moments in shutdown are free; storage and sent traffic
    /// are billed, received traffic is free.
    public static let defaultRows: [Row] =
        [.running, .blocked, .paused, .suspended].map { Row($0, .compute, isBilled: true) }
        // I/O error, watchdog, crashed, post-copy failed, API error.
        + [5, 6, 10, 13, 14].map { Row(.paused, reason: $0, .compute, isBilled: false) }

    /// A table: the defaults with rows laid over them.
    public init(
        version: String, rows: [Row] = [], keepsChargingShutOff: Bool = false,
        meters: Set<Meter> = [.compute, .disk, .snapshot, .image, .savedMemory, .trafficOut, .minimum], billsDetached: Bool = true
    ) {
        self.version = version
        let shutOff = keepsChargingShutOff ? [Row(.shutOff, .compute, isBilled: true)] : []
        self.rows = BillableTable.defaultRows + shutOff + rows
        self.meters = meters.union([.compute, .reservedMemory, .minimum])
        self.billsDetached = billsDetached
        compute = BillableTable.states(self.rows, .compute)
        reserved = BillableTable.states(self.rows, .reservedMemory)
    }

    private static func states(_ rows: [Row], _ meter: Meter) -> Set<SpanState> {
        var billed: Set<SpanState> = []
        for state in DomainState.allCases {
            for reason in UInt8.min...UInt8.max {
                let fitting = rows.filter { $0.meter == meter && $0.state == state }
                // A row with the reason beats one without; of two alike the later holds.
                let row = fitting.last { $0.reason == Int32(reason) } ?? fitting.last { $0.reason == nil }
                if row?.isBilled == true { billed.insert(SpanState(state, reason: Int32(reason))) }
            }
        }
        return billed
    }

    /// Whether a meter runs in a state; unknown is never billed.
    public func bills(_ meter: Meter, in state: SpanState) -> Bool {
        meter == .compute ? compute.contains(state) : meter == .reservedMemory && reserved.contains(state)
    }
}

/// Everything that turns usage into money.
public struct Tariff: Sendable {
    /// The price books.
    public var books: Schedule<PriceBook>
    /// The instance types.
    public var catalogues: Schedule<InstanceCatalogue>
    /// The billable tables.
    public var tables: Schedule<BillableTable>
    /// The calendar that months and days are taken from.
    public var calendar: ZoneCalendar

    /// A tariff.
    public init(
        books: Schedule<PriceBook>, catalogues: Schedule<InstanceCatalogue>,
        tables: Schedule<BillableTable> = Schedule(always: BillableTable(version: "default")), calendar: ZoneCalendar = .utc
    ) {
        self.books = books
        self.catalogues = catalogues
        self.tables = tables
        self.calendar = calendar
    }
}
