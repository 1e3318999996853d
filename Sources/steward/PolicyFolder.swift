import Decisions
import Fleet
import Foundation
import Groups
import Metering
import OperatorFiles
import Plans
import PromQL

/// One policy with everything that its files name read in.
struct LoadedGroup: Sendable {
    let policy: Policy
    let place: SourcePlace
    /// What members are made from; nil where a webhook makes them.
    let blueprint: MemberBlueprint?
    /// What a member costs in an hour; nil without a price book.
    let pricePerHour: Money?
}

/// A folder of policies as it stands on the disk: all of it is used, or nothing.
struct PolicyFolder: Sendable {
    let groups: [LoadedGroup]
    let alerts: [LoadedAlert]
    let webhooks: [LoadedWebhook]
    let scenarios: [(scenario: Scenario, file: String)]
    let zones: [ZoneOffsets]
    let diagnostics: [Diagnostic]
    var isUsable: Bool { !diagnostics.contains { $0.severity == .error } }

    /// The most files of one folder.
    private static let filesMaximum = 1000
    /// The largest user data or domain file.
    private static let partMaximum = 1 << 20

    /// Reads `*.yaml` and `*.scenario` of folders, and files named one by one.
    ///
    /// - Parameter runsScenarios: whether the scenarios' expectations are held against the policies.
    static func read(_ paths: [String], runsScenarios: Bool) -> PolicyFolder {
        var diagnostics: [Diagnostic] = []
        var files: [PolicyFiles.File] = []
        var tests: [PolicyFiles.File] = []
        var root = ""
        for path in paths {
            for name in list(path, &diagnostics) {
                guard let text = text(name, &diagnostics) else { continue }
                if name.hasSuffix(".scenario") {
                    tests.append(PolicyFiles.File(path: name, text: text))
                } else {
                    files.append(PolicyFiles.File(path: name, text: text))
                }
            }
            root = isFolder(path) ? path : folder(of: path)
        }
        let set = PolicyFiles.read(files) { query in
            do throws(ParseError) {
                _ = try Expression(parsing: query)
                return nil
            } catch {
                return "\(error)"
            }
        }
        diagnostics += set.diagnostics
        let tariff = Tariffs(folder: root + "/billing", &diagnostics)
        let names = Set(set.policies.flatMap { $0.policy.scaling.schedule.map(\.timezone) }).sorted()
        let zones = names.compactMap(offsets)
        for name in names where !zones.contains(where: { $0.name == name }) {
            let place = set.policies.first { $0.policy.scaling.schedule.contains { $0.timezone == name } }?.place
            diagnostics.append(Diagnostic(at: place ?? SourcePlace(file: root), "the time zone '\(name)' is not known on this machine"))
        }
        let groups = set.policies.map { loaded in
            LoadedGroup(
                policy: loaded.policy, place: loaded.place, blueprint: blueprint(loaded, tariff, &diagnostics),
                pricePerHour: loaded.policy.scaling.template.flatMap(tariff.price))
        }
        var scenarios: [(scenario: Scenario, file: String)] = []
        for file in tests {
            let (scenario, problems) = ScenarioFiles.read(file)
            diagnostics += problems
            guard let scenario else { continue }
            scenarios.append((scenario, file.path))
            guard runsScenarios else { continue }
            guard let group = groups.first(where: { $0.policy.scaling.name == scenario.policy }) else {
                diagnostics.append(
                    Diagnostic(
                        at: SourcePlace(file: file.path), "no policy is called '\(scenario.policy)'",
                        suggestion: nearest(to: scenario.policy, among: groups.map(\.policy.scaling.name)).map { "did you mean '\($0)'?" }))
                continue
            }
            diagnostics += scenario.run(group.policy.scaling, zones: zones)
        }
        diagnostics.sort { ($0.place, $0.message) < ($1.place, $1.message) }
        return PolicyFolder(
            groups: groups, alerts: set.alerts, webhooks: set.webhooks, scenarios: scenarios, zones: zones, diagnostics: diagnostics)
    }

    private static func list(_ path: String, _ diagnostics: inout [Diagnostic]) -> [String] {
        guard isFolder(path) else { return [path] }
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else {
            diagnostics.append(Diagnostic(at: SourcePlace(file: path), "the folder cannot be read"))
            return []
        }
        let chosen = names.filter { ($0.hasSuffix(".yaml") || $0.hasSuffix(".scenario")) && !$0.hasPrefix(".") }.sorted()
        if chosen.count > filesMaximum {
            diagnostics.append(Diagnostic(at: SourcePlace(file: path), "the folder has \(chosen.count) files, more than \(filesMaximum)"))
            return []
        }
        return chosen.map { path + "/" + $0 }
    }

    private static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }

    static func folder(of path: String) -> String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "." }

    static func text(_ path: String, _ diagnostics: inout [Diagnostic]) -> String? {
        guard let data = FileManager.default.contents(atPath: path) else {
            diagnostics.append(Diagnostic(at: SourcePlace(file: path), "the file cannot be read: is the path right, and may you read it?"))
            return nil
        }
        return String(decoding: data, as: UTF8.self)
    }

    private static func blueprint(_ loaded: LoadedPolicy, _ tariff: Tariffs, _ diagnostics: inout [Diagnostic]) -> MemberBlueprint? {
        guard let template = loaded.policy.scaling.template else { return nil }
        let place = loaded.place
        guard let type = tariff.types.first(where: { $0.name == template.instanceType }) else {
            let hint = nearest(to: template.instanceType, among: tariff.types.map(\.name)).map { "did you mean '\($0)'?" }
            // A policy that only observes needs no size of its members.
            diagnostics.append(
                Diagnostic(
                    loaded.policy.scaling.mode == .observe || tariff.types.isEmpty ? .warning : .error, at: place,
                    "the instance type '\(template.instanceType)' is not in billing/instance-types.yaml, so nothing can be launched",
                    suggestion: hint))
            return nil
        }
        let folder = folder(of: place.file)
        func part(_ name: String?) -> String? {
            guard let name else { return nil }
            let path = name.hasPrefix("/") ? name : folder + "/" + name
            var problems: [Diagnostic] = []
            guard let text = text(path, &problems), text.utf8.count <= partMaximum else {
                diagnostics.append(Diagnostic(at: place, "'\(name)' cannot be read as \(path), or is larger than \(partMaximum) bytes"))
                return nil
            }
            return text
        }
        let userData = part(template.userData)
        let domain = part(template.domain)
        if template.userData != nil && userData == nil || template.domain != nil && domain == nil { return nil }
        let blueprint = MemberBlueprint(
            template: template, vcpus: type.vcpus, memory: type.memory, userData: userData ?? "#cloud-config\n", domain: domain)
        if let flaw = blueprint.flaw {
            diagnostics.append(Diagnostic(at: place, "the domain '\(template.domain ?? "")' cannot be used: \(flaw)"))
            return nil
        }
        return blueprint
    }

    /// A zone's offsets from the system's time zone data, for some years around now.
    private static func offsets(_ name: String) -> ZoneOffsets? {
        guard name != "UTC" else { return .utc }
        guard let zone = TimeZone(identifier: name) else { return nil }
        var date = Date(timeIntervalSinceNow: -5 * 365 * 86_400)
        let first = Int64(zone.secondsFromGMT(for: date))
        var transitions: [ZoneOffsets.Transition] = []
        let end = Date(timeIntervalSinceNow: 5 * 365 * 86_400)
        while let next = zone.nextDaylightSavingTimeTransition(after: date), next < end {
            transitions.append(
                ZoneOffsets.Transition(
                    at: Timestamp(seconds: Int64(next.timeIntervalSince1970)), offsetSeconds: Int64(zone.secondsFromGMT(for: next))))
            date = next
        }
        return ZoneOffsets(name: name, firstOffsetSeconds: first, transitions: transitions)
    }
}

/// The instance types and prices of a billing folder, as far as policies need them.
private struct Tariffs {
    private(set) var types: [InstanceCatalogue.InstanceType] = []
    private var book: PriceBook?

    init(folder: String, _ diagnostics: inout [Diagnostic]) {
        var problems = YamlProblems()
        let calendar = ZoneCalendar(name: "UTC", dataVersion: "", firstOffset: 0, transitions: [])
        let reader = TariffFiles(calendar: calendar)
        let now = Int64(Date().timeIntervalSince1970)
        let path = folder + "/instance-types.yaml"
        if FileManager.default.fileExists(atPath: path), let text = PolicyFolder.text(path, &diagnostics),
            let root = YamlNode.parse(text, file: path, &problems), let version = reader.instanceTypes(root, &problems)
        {
            types = version.value.types
        }
        let prices = folder + "/prices"
        var latest: Int64?
        for name in ((try? FileManager.default.contentsOfDirectory(atPath: prices)) ?? []).sorted() where name.hasSuffix(".yaml") {
            guard let text = PolicyFolder.text(prices + "/" + name, &diagnostics),
                let root = YamlNode.parse(text, file: prices + "/" + name, &problems),
                let version = reader.priceBook(root, types: types.map(\.name), &problems)
            else { continue }
            if version.from <= now, version.until.map({ $0 > now }) ?? true, version.from >= latest ?? .min {
                latest = version.from
                book = version.value
            }
        }
        diagnostics += problems.sorted
    }

    /// What a member costs in an hour, by the first step of each price; nil where a price is missing.
    func price(_ template: MemberTemplate) -> Money? {
        guard let book, let instance = book.instances[template.instanceType]?.tiers.first else { return nil }
        var sum = instance.trillionths
        if let type = template.diskType, let size = template.diskSize {
            guard let disk = book.disks[type]?.tiers.first else { return nil }
            sum += disk.trillionths * Int128(size.count) / Int128(1 << 30)
        }
        return Money(trillionths: sum, currency: book.currency)
    }
}
