public import Fleet
public import Metering

/// One version of something in an operator's file: when it holds, where that stands, and what it says.
public struct DatedVersion<Value: Sendable>: Sendable {
    /// The first UTC second in which it holds.
    public let from: Int64
    /// The first UTC second in which it no longer does; nil where the next version ends it.
    public let until: Int64?
    /// Where the version begins in its file.
    public let place: SourcePlace
    /// What it says.
    public let value: Value
}

/// Reads price books, instance types and billable tables from YAML.
///
/// Every function reads on after an error, so that all errors of a file are told at once; what it returns is only to be used where
/// ``YamlProblems/hasErrors`` stays false.
public struct TariffFiles: Sendable {
    /// The most versions of one schedule.
    public static let maximumVersions = 1000

    /// The calendar in which dates without a time begin.
    public let calendar: ZoneCalendar

    /// A reader; dates begin at midnight of `calendar`.
    public init(calendar: ZoneCalendar) { self.calendar = calendar }

    /// Puts versions from any number of files in order.
    ///
    /// - Returns: The schedule, or nil with an error at each version that overlaps the one before.
    public func schedule<Value: Sendable>(
        _ versions: [DatedVersion<Value>], _ subject: String, _ problems: inout YamlProblems
    ) -> Schedule<Value>? {
        let sorted = versions.sorted { ($0.from, $0.place) < ($1.from, $1.place) }
        if sorted.count > TariffFiles.maximumVersions {
            problems.error("there are more than \(TariffFiles.maximumVersions) versions of \(subject)", at: sorted[0].place)
        }
        for (earlier, later) in zip(sorted, sorted.dropFirst()) {
            if earlier.from == later.from {
                problems.error(
                    "this version of \(subject) begins at the same instant as the one at \(earlier.place)", at: later.place,
                    suggestion: "keep one of them, or give this one another 'effective_from'")
            } else if let until = earlier.until, until > later.from {
                problems.error(
                    "this version of \(subject) begins at \(Timestamp(seconds: later.from)), before the one at \(earlier.place) ends "
                        + "(\(Timestamp(seconds: until)))", at: later.place,
                    suggestion: "end that one with 'effective_until: \(Timestamp(seconds: later.from))'")
            }
        }
        return Schedule(sorted.map { (from: $0.from, until: $0.until, value: $0.value) })
    }

    /// Reads `effective_from` and `effective_until`: dates of the calendar, or instants.
    func bounds(_ mapping: inout YamlMapping, _ problems: inout YamlProblems) -> (from: Int64, until: Int64?)? {
        let from = mapping.required("effective_from", &problems, suggestion: "write 'effective_from: 2026-01-01'")
            .flatMap { instant($0, "'effective_from'", &problems) }
        let untilNode = mapping.optional("effective_until")
        let until = untilNode.flatMap { instant($0, "'effective_until'", &problems) }
        guard let from else { return nil }
        if let until, let untilNode, until <= from {
            problems.error("'effective_until' is not after 'effective_from'", at: untilNode.place)
            return nil
        }
        return (from, until)
    }

    private func instant(_ node: YamlNode, _ subject: String, _ problems: inout YamlProblems) -> Int64? {
        if case .scalar(let text, _) = node.content, let date = parsedDate(text) { return calendar.start(of: date) }
        guard let instant = node.timestamp(subject, &problems) else { return nil }
        guard instant.milliseconds % 1000 == 0 else { return nil }
        return instant.wholeSeconds
    }
}

extension TariffFiles {
    /// Reads one price book.
    ///
    /// - Parameters:
    ///   - root: The file's root.
    ///   - types: The names of the instance types that a price may be for; nil leaves them unchecked.
    public func priceBook(_ root: YamlNode, types: [String]?, _ problems: inout YamlProblems) -> DatedVersion<PriceBook>? {
        guard var mapping = root.mapping("a price book", &problems) else { return nil }
        let version = mapping.required("version", &problems)?.text("'version'", &problems)
        let bounds = bounds(&mapping, &problems)
        let currency = currency(&mapping, &problems)
        let reader = PriceReader(currency: currency)
        var book = PriceDraft()
        if let node = mapping.optional("minor_digits"), let digits = node.integer("'minor_digits'", in: 0...6, &problems) {
            book.minorDigits = digits
        }
        if let node = mapping.optional("minimum_charge"),
            let duration = node.duration("'minimum_charge'", in: .zero ... .seconds(86_400), &problems)
        {
            book.minimumSeconds = duration.components.seconds
            if duration.milliseconds % 1000 != 0 { problems.error("'minimum_charge' must be whole seconds", at: node.place) }
        }
        if let node = mapping.optional("instances"), let entries = node.mapping("'instances'", &problems)?.entries {
            for entry in entries {
                if let types, !types.contains(entry.key) {
                    problems.error(
                        "unknown instance type '\(entry.key)'", at: entry.place,
                        suggestion: nearest(to: entry.key, among: types).map { "did you mean '\($0)'?" }
                            ?? "add it to the catalogue of instance types")
                }
                book.instances[entry.key] = reader.price(entry.value, "the price of '\(entry.key)'", .hours, &problems)
            }
        }
        if let node = mapping.optional("custom"), var custom = node.mapping("'custom'", &problems) {
            book.customVCPU = custom.required("vcpu", &problems).flatMap { reader.price($0, "the price of a vCPU", .vcpuHours, &problems) }
            book.customMemory = custom.required("memory", &problems).flatMap {
                reader.price($0, "the price of memory", .gibibyteHours, &problems)
            }
            custom.refuseUnknown(&problems)
        }
        book.reservedMemory = mapping.optional("reserved_memory").flatMap {
            reader.price($0, "the price of reserved memory", .gibibyteHours, &problems)
        }
        if let node = mapping.optional("disks"), let entries = node.mapping("'disks'", &problems)?.entries {
            for entry in entries {
                book.disks[entry.key] = reader.price(entry.value, "the price of '\(entry.key)'", .gibibyteHours, &problems)
            }
        }
        for (key, meter, unit) in [
            ("snapshots", Meter.snapshot, UsageUnit.gibibyteHours), ("images", .image, .gibibyteHours),
            ("saved_memory", .savedMemory, .gibibyteHours), ("traffic_in", .trafficIn, .gibibytes),
            ("traffic_out", .trafficOut, .gibibytes),
        ] {
            book.others[meter] = mapping.optional(key).flatMap { reader.price($0, "the price of '\(key)'", unit, &problems) }
        }
        if let node = mapping.optional("discounts") { book.discounts = discounts(node, &problems) }
        mapping.refuseUnknown(&problems)
        guard let bounds, let version, let currency else { return nil }
        let value = book.book(version: version, currency: currency)
        return DatedVersion(from: bounds.from, until: bounds.until, place: root.place, value: value)
    }

    private func currency(_ mapping: inout YamlMapping, _ problems: inout YamlProblems) -> Currency? {
        guard let node = mapping.required("currency", &problems, suggestion: "write its ISO 4217 code: 'currency: CNY'"),
            let text = node.text("'currency'", &problems)
        else { return nil }
        guard let currency = Currency(code: text) else {
            problems.error(
                "'currency' is '\(text)', which is no ISO 4217 code", at: node.place,
                suggestion: text.utf8.count == 3 ? "write '\(text.uppercased())'" : "write three capital letters, such as CNY")
            return nil
        }
        return currency
    }

    private func discounts(_ node: YamlNode, _ problems: inout YamlProblems) -> [PriceBook.Discount] {
        var discounts: [PriceBook.Discount] = []
        for item in node.list("'discounts'", &problems) ?? [] {
            guard var mapping = item.mapping("a discount", &problems) else { continue }
            let tenant = mapping.required("tenant", &problems)?.text("'tenant'", &problems)
            let parts = mapping.required("percent", &problems)?.partsPerMillion("'percent'", &problems)
            let meters = Meter.allCases.map { (word: $0.word, value: $0) }
            let meter = mapping.optional("meter")?.choice("'meter'", meters, &problems)
            mapping.refuseUnknown(&problems)
            guard let tenant, let parts else { continue }
            if discounts.contains(where: { $0.tenant == tenant && ($0.meter == meter || $0.meter == nil) }) {
                problems.error(
                    "tenant '\(tenant)' has an earlier discount that covers this one", at: item.place, suggestion: "keep one of them")
            }
            discounts.append(PriceBook.Discount(tenant: tenant, meter: meter, partsPerMillion: parts))
        }
        return discounts
    }
}

/// What was read of a price book so far; its currency may turn out to be wrong, and the rest is checked all the same.
private struct PriceDraft {
    var minorDigits: Int?
    var instances: [String: Price] = [:]
    var customVCPU: Price?
    var customMemory: Price?
    var reservedMemory: Price?
    var disks: [String: Price] = [:]
    var others: [Meter: Price] = [:]
    var minimumSeconds: Int64 = 0
    var discounts: [PriceBook.Discount] = []

    func book(version: String, currency: Currency) -> PriceBook {
        var book = PriceBook(version: version, currency: currency, minorDigits: minorDigits)
        book.instances = instances
        book.customVCPU = customVCPU
        book.customMemory = customMemory
        book.reservedMemory = reservedMemory
        book.disks = disks
        book.others = others
        book.minimumSeconds = minimumSeconds
        book.discounts = discounts
        return book
    }
}

/// Reads prices of one book.
struct PriceReader {
    let currency: Currency?

    /// The words by which a price may name its unit.
    private static func words(of unit: UsageUnit) -> [String] {
        switch unit {
        case .hours: ["hour"]
        case .vcpuHours: ["vcpu-hour"]
        case .gibibyteHours: ["gib-hour"]
        case .gibibytes: ["gib"]
        }
    }

    /// A price: `0.25 CNY/hour`, the currency and unit optional but checked where written; or a list of steps.
    func price(_ node: YamlNode, _ subject: String, _ unit: UsageUnit, _ problems: inout YamlProblems) -> Price? {
        guard case .sequence(let steps) = node.content else {
            return amount(node, subject, unit, &problems).map { Price(trillionths: $0) }
        }
        var tiers: [Price.Tier] = []
        var isWhole = true
        for (index, step) in steps.enumerated() {
            guard var mapping = step.mapping("a step of \(subject)", &problems) else {
                isWhole = false
                continue
            }
            let amount = mapping.required("price", &problems).flatMap { self.amount($0, subject, unit, &problems) }
            let bound = mapping.optional("up_to").flatMap { self.bound($0, subject, unit, &problems) }
            let isLast = index == steps.count - 1
            if isLast == mapping.has("up_to") {
                problems.error(
                    isLast ? "the last step of \(subject) must not end" : "a step of \(subject) that is not the last needs 'up_to'",
                    at: step.place, suggestion: isLast ? "remove its 'up_to'" : nil)
                isWhole = false
            }
            mapping.refuseUnknown(&problems)
            guard let amount, isLast || bound != nil else {
                isWhole = false
                continue
            }
            tiers.append(Price.Tier(upTo: isLast ? nil : bound, trillionths: amount))
        }
        guard isWhole else { return nil }
        guard let price = Price(tiers: tiers) else {
            problems.error("the steps of \(subject) must rise, each 'up_to' above the one before", at: node.place)
            return nil
        }
        return price
    }

    private func amount(_ node: YamlNode, _ subject: String, _ unit: UsageUnit, _ problems: inout YamlProblems) -> Int128? {
        guard let text = node.text(subject, &problems) else { return nil }
        let halves = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        if halves.count == 2 {
            let named = halves[1].filter { $0 != " " }.lowercased()
            let words = PriceReader.words(of: unit)
            guard words.contains(named) else {
                problems.error(
                    "\(subject) has the unit '\(halves[1])', which is not how it is counted", at: node.place,
                    suggestion: "write '\(halves[0])/\(words[0])'")
                return nil
            }
        }
        let number = YamlNode(.scalar(String(halves[0]), isPlain: true), at: node.place)
        // Without a currency of the book, which is told elsewhere, the digits are still checked.
        let bare = YamlNode(.scalar(String(halves[0].prefix { $0 != " " }), isPlain: true), at: node.place)
        let read =
            currency.map { number.money(subject, currency: $0, &problems)?.trillionths } ?? bare.decimal(subject, places: 12, &problems)
        guard let trillionths = read else { return nil }
        guard trillionths >= 0 else {
            problems.error("\(subject) is negative", at: node.place, suggestion: "give the tenant a discount instead")
            return nil
        }
        guard trillionths <= PriceBook.maximumPrice else {
            problems.error("\(subject) is above a million for one unit", at: node.place)
            return nil
        }
        return trillionths
    }

    private func bound(_ node: YamlNode, _ subject: String, _ unit: UsageUnit, _ problems: inout YamlProblems) -> Int128? {
        guard let count = node.decimal("'up_to' of \(subject)", places: 6, &problems) else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: Int128(unit.size))
        guard count > 0, !overflow, product % 1_000_000 == 0 else {
            problems.error(
                "'up_to' of \(subject) must be above 0 and a whole number of seconds or bytes", at: node.place,
                suggestion: "write it in \(unit.words)")
            return nil
        }
        return product / 1_000_000
    }
}

extension TariffFiles {
    /// Reads a catalogue of instance types.
    public func instanceTypes(_ root: YamlNode, _ problems: inout YamlProblems) -> DatedVersion<InstanceCatalogue>? {
        guard var mapping = root.mapping("a catalogue of instance types", &problems) else { return nil }
        let bounds = bounds(&mapping, &problems)
        var types: [InstanceCatalogue.InstanceType] = []
        if let node = mapping.required("types", &problems), let entries = node.mapping("'types'", &problems)?.entries {
            for entry in entries {
                guard var type = entry.value.mapping("the type '\(entry.key)'", &problems) else { continue }
                let vcpus = type.required("vcpus", &problems)?.integer("'vcpus'", in: 1...8192, &problems)
                let memory = type.required("memory", &problems)?.bytes("'memory'", &problems)
                type.refuseUnknown(&problems)
                guard let vcpus, let memory else { continue }
                if let twin = types.first(where: { $0.vcpus == vcpus && $0.memory == memory }) {
                    problems.warning(
                        "'\(entry.key)' is as large as '\(twin.name)': guests that claim no type are billed as "
                            + "'\(min(entry.key, twin.name))'", at: entry.place)
                }
                types.append(InstanceCatalogue.InstanceType(name: entry.key, vcpus: vcpus, memory: memory))
            }
        }
        let rule = mapping.optional("on_mismatch")?.choice(
            "'on_mismatch'", [("custom", InstanceCatalogue.MismatchRule.custom), ("claimed", .claimed)], &problems)
        var disks: [InstanceCatalogue.DiskRule] = []
        if let node = mapping.optional("disk_types") {
            for item in node.list("'disk_types'", &problems) ?? [] {
                guard var disk = item.mapping("a rule for disk types", &problems) else { continue }
                let pool = disk.optional("pool")?.text("'pool'", &problems)
                let bus = disk.optional("bus")?.text("'bus'", &problems)
                let type = disk.required("type", &problems)?.text("'type'", &problems)
                disk.refuseUnknown(&problems)
                if let type { disks.append(InstanceCatalogue.DiskRule(pool: pool, bus: bus, type: type)) }
            }
        }
        mapping.refuseUnknown(&problems)
        guard let bounds else { return nil }
        let catalogue = InstanceCatalogue(types: types, mismatch: rule ?? .custom, diskRules: disks)
        return DatedVersion(from: bounds.from, until: bounds.until, place: root.place, value: catalogue)
    }

    /// Reads a billable table.
    public func billableTable(_ root: YamlNode, _ problems: inout YamlProblems) -> DatedVersion<BillableTable>? {
        guard var mapping = root.mapping("a billable table", &problems) else { return nil }
        let version = mapping.required("version", &problems)?.text("'version'", &problems)
        let bounds = bounds(&mapping, &problems)
        let keeps = mapping.optional("shut_off")?.choice("'shut_off'", [("stop_charging", false), ("keep_charging", true)], &problems)
        let detached = mapping.optional("detached_disks")?.choice("'detached_disks'", [("billed", true), ("free", false)], &problems)
        var meters = BillableTable(version: "").meters
        if let node = mapping.optional("meters"), var switches = node.mapping("'meters'", &problems) {
            for meter in [Meter.disk, .snapshot, .image, .savedMemory, .trafficIn, .trafficOut] {
                guard let value = switches.optional(meter.word) else { continue }
                switch value.choice("'\(meter.word)'", [("billed", true), ("free", false)], &problems) {
                case true?: meters.insert(meter)
                case false?: meters.remove(meter)
                case nil: break
                }
            }
            switches.refuseUnknown(&problems)
        }
        var rows: [BillableTable.Row] = []
        if let node = mapping.optional("states") {
            for item in node.list("'states'", &problems) ?? [] { rows += self.rows(item, &problems) }
        }
        mapping.refuseUnknown(&problems)
        guard let bounds, let version else { return nil }
        let table = BillableTable(
            version: version, rows: rows, keepsChargingShutOff: keeps ?? false, meters: meters, billsDetached: detached ?? true)
        return DatedVersion(from: bounds.from, until: bounds.until, place: root.place, value: table)
    }

    private func rows(_ item: YamlNode, _ problems: inout YamlProblems) -> [BillableTable.Row] {
        guard var mapping = item.mapping("a row of 'states'", &problems) else { return [] }
        let states = DomainState.allCases.filter { $0 != .noState }.map { (word: $0.word, value: $0) }
        let state = mapping.required("state", &problems)?.choice("'state'", states, &problems)
        var reason: Int32?
        var isReasonKnown = true
        if let node = mapping.optional("reason"), let state {
            let words = SpanState.reasons(of: state).enumerated().map { (word: $0.element, value: Int32($0.offset)) }
            reason = node.choice("'reason' of \(state.word)", words, &problems)
            isReasonKnown = reason != nil
        }
        let choices = [("billed", true), ("free", false)]
        let compute = mapping.optional("compute")?.choice("'compute'", choices, &problems)
        let reserved = mapping.optional("reserved_memory")?.choice("'reserved_memory'", choices, &problems)
        mapping.refuseUnknown(&problems)
        if !mapping.has("compute"), !mapping.has("reserved_memory") {
            problems.error("a row of 'states' says nothing", at: item.place, suggestion: "write 'compute: billed' or 'compute: free'")
        }
        if compute == true, reserved == true {
            problems.error("a state is billed as compute or as reserved memory, not both", at: item.place)
        }
        guard let state, isReasonKnown else { return [] }
        return [(Meter.compute, compute), (.reservedMemory, reserved)].compactMap { meter, billed in
            billed.map { BillableTable.Row(state, reason: reason, meter, isBilled: $0) }
        }
    }
}
