import Fleet
import Metering
import OperatorFiles

/// The operator's billing folder: `billing.yaml`, `instance-types*.yaml`, `billable*.yaml` and `prices/*.yaml`.
struct BillingFiles {
    /// Where the kernel's users keep time zones.
    static let zoneFolder = "/usr/share/zoneinfo"
    /// The largest time-zone file that is read.
    static let maximumBytes = 4 << 20
    /// The most files of one kind.
    static let maximumFiles = 1000

    let settings: BillingSettings
    let tariff: Tariff
    /// What is odd but no error.
    let warnings: [Diagnostic]

    /// Reads a whole folder; nothing of it is used where any file has an error.
    ///
    /// `draft` is a price book that takes the place of all others.
    init(folder: String, draft: String? = nil) throws {
        guard Files.exists(folder) else {
            throw Failure(
                "there is no billing folder \(folder): give --billing DIR, or begin with a copy of Policies/billing", code: Failure.usage)
        }
        var problems = YamlProblems()
        var settings = BillingSettings()
        if let root = try BillingFiles.root(folder + "/billing.yaml", isOptional: true, &problems) {
            settings = BillingSettings(root, &problems)
        }
        let calendar = try BillingFiles.calendar(settings.timeZone)
        let files = TariffFiles(calendar: calendar)
        let catalogues = try BillingFiles.roots(folder, "instance-types", &problems).compactMap { files.instanceTypes($0, &problems) }
        let tables = try BillingFiles.roots(folder, "billable", &problems).compactMap { files.billableTable($0, &problems) }
        let types = catalogues.flatMap { $0.value.types.map(\.name) }
        let bookRoots =
            try draft.map { path in try BillingFiles.root(path, isOptional: false, &problems).map { [$0] } ?? [] }
            ?? BillingFiles.roots(folder + "/prices", "", &problems)
        let books = bookRoots.compactMap { files.priceBook($0, types: types, &problems) }
        let bookSchedule = files.schedule(books, "the prices", &problems)
        let catalogueSchedule = files.schedule(catalogues, "the instance types", &problems)
        let tableSchedule = tables.isEmpty ? nil : files.schedule(tables, "the billable table", &problems)
        let found = problems.sorted
        guard !problems.hasErrors, let bookSchedule, let catalogueSchedule else {
            throw Failure(found.map(\.description).joined(separator: "\n"), code: Failure.usage)
        }
        warnings = found
        self.settings = settings
        tariff = Tariff(
            books: bookSchedule, catalogues: catalogueSchedule,
            tables: tableSchedule ?? Schedule(always: BillableTable(version: "default")), calendar: calendar)
    }

    /// A zone's calendar from the system's TZif files.
    static func calendar(_ name: String) throws -> ZoneCalendar {
        if name == "UTC" { return .utc }
        let isPlain = !name.isEmpty && name.utf8.count < 100 && !name.contains("..") && !name.hasPrefix("/")
        // The first line of tzdata.zi is `# version 2024a`; its zones and links follow.
        let index = Files.text("\(zoneFolder)/tzdata.zi", limit: maximumBytes)?.split(separator: "\n") ?? []
        guard isPlain, let data = Files.read("\(zoneFolder)/\(name)", limit: maximumBytes) else {
            let known = index.compactMap { line -> String? in
                let words = line.split(separator: " ")
                guard words.count >= 3, words[0] == "Z" || words[0] == "L" else { return nil }
                return String(words[0] == "Z" ? words[1] : words[2])
            }
            let hint = nearest(to: name, among: known.sorted())
            throw Failure(
                "unknown time zone '\(name)'\(hint.map { "; did you mean '\($0)'?" } ?? "; write an IANA name such as Asia/Shanghai")",
                code: Failure.usage)
        }
        let version = index.first?.split(separator: " ").last.map(String.init) ?? "unknown"
        guard let calendar = ZoneCalendar(tzif: data, name: name, dataVersion: version) else {
            throw Failure("\(zoneFolder)/\(name) is no time-zone file of version 2 or later; install tzdata", code: Failure.usage)
        }
        return calendar
    }

    static func root(_ path: String, isOptional: Bool, _ problems: inout YamlProblems) throws -> YamlNode? {
        if isOptional, !Files.exists(path) { return nil }
        return YamlNode.parse(try readTextFile(path), file: path, &problems)
    }

    private static func roots(_ folder: String, _ prefix: String, _ problems: inout YamlProblems) throws -> [YamlNode] {
        let names = Files.names(in: folder).filter {
            $0.hasPrefix(prefix) && ($0.hasSuffix(".yaml") || $0.hasSuffix(".yml"))
        }
        guard names.count <= maximumFiles else {
            throw Failure("\(folder) has \(names.count) files; at most \(maximumFiles) are read", code: Failure.usage)
        }
        return try names.compactMap { try root("\(folder)/\($0)", isOptional: false, &problems) }
    }
}
