import Fleet

/// What FOCUS wants to know of the operator.
public struct FocusIssuer: Hashable, Sendable {
    /// The operator's name: provider, publisher and issuer of invoices.
    public var name: String
    /// The region's id and name, where there is one.
    public var region: String?

    /// An issuer.
    public init(name: String, region: String? = nil) {
        self.name = name
        self.region = region
    }
}

extension Billing {
    /// The columns of a FOCUS 1.2 file, in its order: the 21 mandatory ones and those whose conditions hold here
    /// (https://focus.finops.org/focus-specification/v1-2/).
    public static let focusColumns = [
        "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
        "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd",
        "ChargePeriodStart", "CommitmentDiscountStatus", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice",
        "EffectiveCost", "InvoiceId",
        "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName",
        "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName",
        "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags",
        "x_Book", "x_EvidenceClass", "x_ExactBilledCost", "x_Line",
    ]

    /// A period's usage and corrections as FOCUS 1.2 CSV.
    ///
    /// Unpriced usage has no place in it: look at the report's findings first.
    ///
    /// `BilledCost` is exact in minor units and adds up to each invoice. `ListCost` and `ContractedCost` must equal quantity × price as a
    /// reader of doubles computes it; the exact amount is in `x_ExactBilledCost`.
    public func focus(window: Interval, issuer: FocusIssuer) -> String {
        let closing = closingRow(of: window)
        let sequence = closing?.throughSequence ?? rows.last?.sequence ?? 0
        let lines = report(window, through: sequence).lines.filter { $0.unitPrice != nil }
        let corrections = corrections(through: sequence).filter { $0.line.unitPrice != nil }
        var text = Billing.focusColumns.joined(separator: ",") + "\r\n"
        let tenants = Set(lines.map { $0.tenant ?? "" } + corrections.map { $0.line.tenant ?? "" }).sorted()
        for tenant in tenants {
            let own = lines.filter { ($0.tenant ?? "") == tenant }
            let changes = corrections.filter { ($0.line.tenant ?? "") == tenant }
            for currency in Set(own.compactMap(\.currency) + changes.compactMap(\.line.currency)).sorted() {
                let digits = tariff.books.entries.first { $0.value.currency == currency }?.value.minorDigits ?? 2
                let charged = own.filter { $0.currency == currency }
                let changed = changes.filter { $0.line.currency == currency }
                let shares = apportioned(charged.map { $0.amount ?? .zero } + changed.map(\.amount), minorDigits: digits)
                let entries = charged.map { ($0, false, false) } + changed.map { ($0.line, true, $0.isReversal) }
                for (entry, share) in zip(entries, shares) {
                    let suffix = closing == nil ? "-provisional" : ""
                    let row = FocusRow(
                        line: entry.0, isCorrection: entry.1, isReversal: entry.2, billed: decimalText(share, digits: digits),
                        window: window, issuer: issuer, invoice: "\(tenant)-\(tariff.calendar.date(at: window.from))\(suffix)")
                    text += Billing.focusColumns.map { csvField(row.value($0)) }.joined(separator: ",") + "\r\n"
                }
            }
        }
        return text
    }

    private func closingRow(of window: Interval) -> PeriodClosing? {
        for row in rows {
            if case .closing(let closing) = row.fact.body, closing.from.wholeSeconds == window.from, closing.to.wholeSeconds == window.to {
                return closing
            }
        }
        return nil
    }
}

/// One row of a FOCUS file.
struct FocusRow {
    let line: ReportLine
    let isCorrection: Bool
    let isReversal: Bool
    let billed: String
    let window: Interval
    let issuer: FocusIssuer
    let invoice: String

    private var sign: String { isReversal ? "-" : "" }
    /// To twelve decimals, rounded down: what a reader multiplies.
    private var quantity: String {
        sign + decimalText(Int128(line.usage) * 1_000_000_000 / Int128(line.unit.size), digits: 9, trimmed: true)
    }
    private var contractedPrice: String {
        decimalText((line.unitPrice ?? 0) * Int128(line.keptPartsPerMillion), digits: 18, trimmed: true)
    }

    private var isStorage: Bool { [.disk, .snapshot, .image, .savedMemory].contains(line.meter) }
    private var isTraffic: Bool { line.meter == .trafficIn || line.meter == .trafficOut }

    private var period: Interval {
        line.interval.seconds > 0 ? line.interval : Interval(from: line.interval.from, to: line.interval.from + 1)
    }

    /// The product as every reader of IEEE doubles computes it from this row's own text: FOCUS ListUnitPrice-C-010 compares without tolerance.
    private func product(_ price: String) -> String {
        guard let left = Double(price), let right = Double(quantity) else { return "0" }
        return plainDecimal("\(left * right)")
    }

    private var details: String {
        var out = JSONWriter()
        out.open("{")
        if let shape = line.shape, !isStorage, !isTraffic {
            out.raw("\(shape.vcpus)", key: "CoreCount")
            out.raw(decimalText(Int128(shape.memory.count) * 1_000_000 >> 30, digits: 6, trimmed: true), key: "MemorySize")
        }
        if isStorage { out.string(line.sku, key: "x_StorageType") } else if !isTraffic { out.string(line.sku, key: "InstanceType") }
        if let state = line.state { out.string(state.words, key: "x_State") }
        if line.tier > 0 { out.raw("\(line.tier)", key: "x_Step") }
        out.close("}")
        return out.text
    }

    private var tags: String {
        var out = JSONWriter()
        out.open("{")
        var last: String?
        for tag in line.shape?.tags ?? [] where tag.name != last {
            out.string(tag.value, key: tag.name)
            last = tag.name
        }
        if let group = line.shape?.group { out.string(group, key: "steward/group") }
        out.close("}")
        return out.text
    }

    private var resource: (id: String, name: String, type: String) {
        if isStorage { return ("urn:libvirt:volume:\(line.volume ?? "")", line.volume ?? "", "Volume") }
        let id = line.guest.map { "urn:libvirt:domain:\($0)" } ?? ""
        return isTraffic
            ? ("\(id):\(line.volume ?? "")", line.volume ?? "", "Network Interface") : (id, line.guestName ?? "", "Instance")
    }

    private var service: (category: String, subcategory: String, name: String) {
        if isTraffic { return ("Networking", "Network Connectivity", "Guest Traffic") }
        guard isStorage else { return ("Compute", "Virtual Machines", "Virtual Machines") }
        return line.meter == .disk ? ("Storage", "Block Storage", "Block Volumes") : ("Storage", "Backup Storage", "Snapshots and Images")
    }

    func value(_ column: String) -> String {
        func instant(_ second: Int64) -> String { Timestamp(seconds: second).description }
        let tenant = line.tenant ?? "unassigned"
        switch column {
        case "AvailabilityZone": return line.shape?.zone ?? line.zone ?? ""
        case "BilledCost", "EffectiveCost": return billed
        case "BillingAccountId", "BillingAccountName", "SubAccountId", "SubAccountName": return tenant
        case "BillingCurrency": return line.currency?.code ?? ""
        case "BillingPeriodStart": return instant(window.from)
        case "BillingPeriodEnd": return instant(window.to)
        case "ChargeCategory": return "Usage"
        case "ChargeClass": return isCorrection ? "Correction" : ""
        case "ChargeDescription":
            let state = line.state.map { " \($0.words)" } ?? ""
            return "\(resource.name.isEmpty ? line.meter.word : resource.name) \(line.sku)\(state)\(isReversal ? " reversed" : "")"
        case "ChargeFrequency": return "Usage-Based"
        case "ChargePeriodStart": return instant(period.from)
        case "ChargePeriodEnd": return instant(period.to)
        case "ConsumedQuantity": return line.unit == .hours ? sign + "\(line.usage)" : quantity
        case "ConsumedUnit": return line.unit == .hours ? "Seconds" : line.unit.words
        case "ContractedCost": return product(contractedPrice)
        case "ContractedUnitPrice": return contractedPrice
        case "InvoiceId": return invoice
        case "InvoiceIssuerName", "ProviderName", "PublisherName": return issuer.name
        case "ListCost": return product(line.unitPriceText)
        case "ListUnitPrice": return line.unitPriceText
        case "PricingCategory": return "Standard"
        case "PricingQuantity": return quantity
        case "PricingUnit": return line.unit.words
        case "RegionId", "RegionName": return issuer.region ?? ""
        case "ResourceId": return resource.id
        case "ResourceName": return resource.name
        case "ResourceType": return resource.type
        case "ServiceCategory": return service.category
        case "ServiceSubcategory": return service.subcategory
        case "ServiceName": return service.name
        case "SkuId": return "\(line.meter.word)/\(line.sku)"
        case "SkuMeter": return line.meter.word
        case "SkuPriceDetails": return details
        case "SkuPriceId": return "\(line.meter.word)/\(line.sku)/\(line.tier)"
        case "Tags": return tags
        case "x_Book": return line.book ?? ""
        case "x_EvidenceClass": return line.evidence?.word ?? ""
        case "x_ExactBilledCost": return (isReversal ? -(line.amount ?? .zero) : line.amount ?? .zero).exactText
        case "x_Line": return line.id
        default: return ""
        }
    }
}

/// A double's shortest text without an exponent.
func plainDecimal(_ text: String) -> String {
    guard let mark = text.firstIndex(where: { $0 == "e" || $0 == "E" }), let exponent = Int(text[text.index(after: mark)...]) else {
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
    let isNegative = text.hasPrefix("-")
    let mantissa = text[..<mark].drop { $0 == "-" }
    let parts = mantissa.split(separator: ".", omittingEmptySubsequences: false)
    var digits = parts.joined()
    var point = parts[0].count + exponent
    if point <= 0 {
        digits = String(repeating: "0", count: 1 - point) + digits
        point = 1
    }
    if point > digits.count { digits += String(repeating: "0", count: point - digits.count) }
    var fraction = String(digits.dropFirst(point))
    while fraction.hasSuffix("0") { fraction.removeLast() }
    return (isNegative ? "-" : "") + digits.prefix(point) + (fraction.isEmpty ? "" : "." + fraction)
}
