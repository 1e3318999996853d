public import Fleet
public import Metering

/// What `billing.yaml` says: whose bills these are, where their days begin, and what is charged of gaps.
public struct BillingSettings: Hashable, Sendable {
    /// The IANA time zone in which days and months begin.
    public var timeZone = "UTC"
    /// What is charged of gaps.
    public var gaps = GapPolicy.proven
    /// Who issues the invoices.
    public var issuer = FocusIssuer(name: "Steward")

    /// The settings of a folder without the file.
    public init() {}
}

/// What a file of the billing folder holds.
public enum BillingFileKind: Hashable, Sendable {
    /// `billing.yaml`.
    case settings
    /// Instance types and rules for disk types.
    case instanceTypes
    /// What is billed and what is free.
    case billableTable
    /// Prices.
    case priceBook

    /// Told by the keys that only one kind has; a file without any of them is taken for a price book.
    public init(of root: YamlNode) {
        guard case .mapping(let entries) = root.content else {
            self = .priceBook
            return
        }
        func has(_ keys: [String]) -> Bool { entries.contains { keys.contains($0.key) } }
        if has(["time_zone", "gaps", "issuer"]) {
            self = .settings
        } else if has(["types", "on_mismatch", "disk_types"]) {
            self = .instanceTypes
        } else if has(["shut_off", "detached_disks", "meters", "states"]) {
            self = .billableTable
        } else {
            self = .priceBook
        }
    }
}

extension BillingSettings {
    /// The longest gap that may be assumed: a month.
    private static let longestGap = Duration.seconds(31 * 86_400)

    /// Reads `billing.yaml`.
    public init(_ root: YamlNode, _ problems: inout YamlProblems) {
        self.init()
        guard var mapping = root.mapping("the billing settings", &problems) else { return }
        if let zone = mapping.optional("time_zone")?.text("'time_zone'", &problems) { timeZone = zone }
        if let name = mapping.optional("issuer")?.text("'issuer'", &problems) { issuer.name = name }
        issuer.region = mapping.optional("region")?.text("'region'", &problems)
        if let node = mapping.optional("gaps") {
            if case .mapping = node.content, var gap = node.mapping("'gaps'", &problems) {
                let assumed = gap.required("assume", &problems)?
                    .duration("'assume'", in: .seconds(1)...BillingSettings.longestGap, &problems)
                if let assumed { gaps = .assume(maximumSeconds: assumed.components.seconds) }
                gap.refuseUnknown(&problems)
            } else if let policy = node.choice("'gaps'", [("proven", GapPolicy.proven), ("free", .free)], &problems) {
                gaps = policy
            }
        }
        mapping.refuseUnknown(&problems)
    }
}

extension TariffFiles {
    /// An instant that somebody writes on a command line or in a request: a date of the calendar, or a date with time and offset; nil for
    /// any other text.
    public func instant(of text: String) -> Timestamp? {
        if let date = parsedDate(text) { return Timestamp(seconds: calendar.start(of: date)) }
        return parsedInstant(text)
    }

    /// A month that somebody writes as `2026-11`; nil for any other text.
    public func month(of text: String) -> Interval? {
        guard let date = parsedDate(text + "-01") else { return nil }
        return calendar.month(year: date.year, month: date.month)
    }
}
