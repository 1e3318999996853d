import Decisions
import Fleet
import Foundation
import OperatorFiles
import Plans
import Testing

/// A small policy that is right; tests change one thing in it.
private let right = """
    policy: web
    mode: auto
    scale:
      group: web
      min: 2
      max: 8
      template: {image: debian, instance_type: s1}
      targets:
        - query: load
          target: 60%

    """

private func read(_ text: String) -> PolicySet { PolicyFiles.read([.init(path: "p.yaml", text: text)]) }

private func changed(_ old: String, _ new: String) -> PolicySet { read(right.replacingOccurrences(of: old, with: new)) }

@Suite("Policy files")
struct PolicyFileTests {
    @Test("every key of a policy arrives where it belongs")
    func whole() throws {
        let set = read(
            """
            # two documents
            policy: web
            mode: approve
            scale:
              group: g
              min: 1
              max: 9
              template: {image: i, instance_type: t, disk: {type: ssd, size: 20GiB}, networks: [n], security_groups: [s], zones: [z], user_data: u}
              targets:
                - {query: a, target: 60%, tolerance: {out: 5%, in: 20%}, coverage: 90%, absent: ignore}
                - {query: b, prometheus: "http://h:9090", target_per_member: 2.5, tolerance: 15%, absent: zero, because: quiet}
              steps:
                - {query: c, bands: [{to: 1, change: -1}, {from: 2, to: 3, change: +25%}, {from: 3, change: "=4"}]}
              schedule: [{at: "0 8 * * mon-fri", timezone: UTC, min: 4, for: 10h}]
              scale_out: {stabilization: 30s, limit: [4 guests per 1m, 50% per 2m], warmup: 90s}
              scale_in: {stabilization: 5m, limit: 1 guest per 1m, victim: [oldest], drain: 2m, enabled: false}
              health: {tcp: 80, interval: 5s, failures: 2, replace: true}
              budget: {max_per_hour: 3.20 CNY}
              failover: true
              prediction: forecast-only
            via: {webhook: w}
            notify: [{webhook: ops, events: [scale]}]
            ---
            alert: full
            query: x > 1
            for: 10m
            notify: [{webhook: ops}]
            """)
        #expect(set.diagnostics.filter { $0.severity == .error }.isEmpty, "\(set.diagnostics)")
        let policy = try #require(set.policies.first?.policy)
        let scaling = policy.scaling
        #expect(scaling.mode == .approve && scaling.group == "g" && scaling.min == 1 && scaling.max == 9)
        #expect(scaling.template?.diskSize == .gibibytes(20) && scaling.template?.zones == ["z"] && scaling.template?.userData == "u")
        #expect(scaling.targets.map(\.goal) == [.average(0.6, ceiling: 1), .perMember(2.5)])
        #expect(scaling.targets.map(\.toleranceOut) == [0.05, 0.15] && scaling.targets.map(\.toleranceIn) == [0.2, 0.15])
        #expect(scaling.targets.map(\.absent) == [.ignore, .zero(because: "quiet")] && scaling.targets.map(\.coverage) == [0.9, 0.8])
        #expect(scaling.targets[1].source == .prometheus("http://h:9090"))
        #expect(scaling.steps.first?.bands.map(\.change) == [.by(-1), .percent(25), .to(4)])
        #expect(scaling.schedule.first?.lasts == .seconds(36_000) && scaling.schedule.first?.min == 4)
        #expect(scaling.scaleOut.limits == [RateLimit(.guests(4), per: .seconds(60)), RateLimit(.percent(50), per: .seconds(120))])
        #expect(
            scaling.scaleIn.isDisabled && scaling.victims == [.oldest] && scaling.drain == .seconds(120) && scaling.warmup == .seconds(90))
        #expect(policy.health == Policy.HealthCheck(port: 80, interval: .seconds(5), failures: 2) && scaling.replacesUnhealthy)
        #expect(scaling.budgetPerHour?.trillionths == 3_200_000_000_000 && scaling.keepsFailover && scaling.prediction == .forecastOnly)
        #expect(policy.via == .webhook("w") && policy.notify == [Policy.Recipient(webhook: "ops", events: [.scale])])
        #expect(set.alerts.first?.alert == AlertRule(name: "full", query: "x > 1", holdsFor: .seconds(600), webhooks: ["ops"]))
        #expect(set.alerts.first?.place.line == 24)
    }

    @Test("a small policy takes the defaults and has no complaint")
    func small() throws {
        let set = read(right)
        #expect(set.diagnostics.isEmpty && set.isUsable)
        let scaling = try #require(set.policies.first?.policy.scaling)
        #expect(scaling.scaleIn.stabilization == .seconds(300) && scaling.targets.first?.toleranceOut == 0.1)
    }

    @Test(
        "what is wrong is told at its place, with what to write",
        arguments: [
            ("group: web", "gruop: web", "p.yaml:4:3: error: unknown key 'gruop' in scale; did you mean 'group'?"),
            ("max: 8", "max: 1", "p.yaml:6:8: error: max is 1, below min 2; write 'max: 2' or lower min"),
            ("max: 8", "max: many", "p.yaml:6:8: error: max must be a whole number"),
            ("mode: auto", "mode: automatic", "p.yaml:2:7: error: mode is 'automatic'"),
            ("target: 60%", "target: 160%", "p.yaml:10:15: error: target is 160%, outside 0…100 %"),
            ("target: 60%", "target: 0", "p.yaml:9:7: error: target must be above 0"),
            ("target: 60%", "tagret: 60%", "p.yaml:10:7: error: unknown key 'tagret' in a target; did you mean 'target'?"),
            ("target: 60%", "target: 60%\n      target_per_member: 3", "p.yaml:9:7: error: a target has exactly one of"),
            ("target: 60%", "target: 60%\n      absent: zero", "p.yaml:11:15: error: 'absent: zero' is only for sources outside libvirt"),
            ("  template: {image: debian, instance_type: s1}\n", "", "p.yaml:4:3: error: the policy has no 'template'"),
            ("targets:", "steps: []\n  targets_:", "unknown key 'targets_'"),
            ("policy: web", "polciy: web", "p.yaml:1:1: error: a policy or alert needs 'policy'"),
            ("min: 2", "min: 2\n  scale_out: {limit: 4 per 1m}", "p.yaml:6:22: error: limit is '4 per 1m', which is no limit"),
            ("min: 2", "min: 2\n  schedule: [{at: \"61 * * * *\", timezone: UTC, min: 3}]", "error: '61' is no minute"),
            (
                "min: 2", "min: 2\n  schedule: [{at: \"1 * * * *\", timezone: UTC, min: 9}]",
                "the schedule asks for 9, more than the policy's max 8"
            ),
            (
                "targets:", "steps: [{query: q, bands: [{from: 1, to: 3, change: +1}, {from: 2, change: +2}]}]\n  targets:",
                "error: the band overlaps the one at p.yaml:8:30"
            ),
            ("min: 2", "min: 2\n  health: {tcp: 70000}", "outside 1…65535"),
        ])
    func wrong(old: String, new: String, expected: String) {
        let set = changed(old, new)
        #expect(!set.isUsable)
        #expect(set.diagnostics.contains { $0.description.contains(expected) }, "\(set.diagnostics)")
    }

    @Test("all faults of all files are told at once, sorted; two claims to one group show both places")
    func together() {
        let set = PolicyFiles.read([
            .init(path: "b.yaml", text: right + "---\n" + right), .init(path: "a.yaml", text: "alert: x\nquery: y\nfor: soon\nnotfy: []\n"),
        ])
        #expect(
            set.diagnostics.filter { $0.severity == .error }.map(\.place.description) == [
                "a.yaml:3:6", "a.yaml:4:1", "b.yaml:12:1", "b.yaml:12:1",
            ], "\(set.diagnostics)")
        #expect(set.diagnostics.contains { $0.message == "group 'web' is also steered by the policy at b.yaml:1:1" })
    }

    @Test("a query that the parser refuses is an error at the query")
    func query() {
        let set = PolicyFiles.read([.init(path: "p.yaml", text: right)], flaw: { $0 == "load" ? "1:1: nonsense" : nil })
        #expect(set.diagnostics.map(\.description) == ["p.yaml:9:14: error: the query cannot be read: 1:1: nonsense"])
    }

    @Test(
        "what acts on missing data, can flap, can never fire or hides a default is warned of",
        arguments: [
            ("mode: auto\n", "", "only observes"), ("min: 2", "min: 8", "can never change the size"),
            ("target: 60%", "target: 95%", "can never ask for more"), ("target: 60%", "target: 60%\n      tolerance: 0%", "can flap"),
            ("target: 60%", "target: 60%\n      coverage: 40%", "minority"),
            ("min: 2", "min: 2\n  scale_in: {stabilization: 0s}", "can flap"),
            ("min: 2", "min: 2\n  scale_in: {stabilization: 30s}", "can flap"),
            ("min: 2", "min: 2\n  schedule: [{at: \"0 8 * * *\", timezone: UTC, min: 3}]", "holds for ever"),
            ("min: 2", "min: 2\n  health: {tcp: 80}", "not replaced"),
            (
                "target: 60%", "target: 60%\n      prometheus: http://x\n      absent: zero\n      because: no errors",
                "shrinks on missing data"
            ),
        ])
    func lint(old: String, new: String, expected: String) {
        let set = changed(old, new)
        #expect(set.isUsable)
        #expect(set.diagnostics.contains { $0.severity == .warning && $0.message.contains(expected) }, "\(set.diagnostics)")
    }

    @Test("empty, huge and other files are refused", arguments: ["", "# nothing\n", "- a\n", "hello\n", "a: [\n", "---\n---\n"])
    func rubbish(text: String) { #expect(!read(text).isUsable) }
}

@Suite("Shipped policies")
struct ShippedPolicyTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Policies")

    static func file(_ name: String) throws -> PolicyFiles.File {
        .init(path: name, text: try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8))
    }

    static func names(_ suffix: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(suffix) }.sorted()
    }

    /// The offsets that the shipped schedules name.
    static let zones = [ZoneOffsets(name: "Asia/Shanghai", firstOffsetSeconds: 28_800)]

    @Test("each is without complaint, and each policy has a scenario that holds")
    func shipped() throws {
        let files = try ShippedPolicyTests.names(".yaml").map(ShippedPolicyTests.file)
        #expect(files.count >= 4)
        #expect(PolicyFiles.read(files).diagnostics.isEmpty, "\(PolicyFiles.read(files).diagnostics)")
        for file in files {
            guard let policy = PolicyFiles.read([file]).policies.first?.policy else { continue }
            let sibling = file.path.replacingOccurrences(of: ".yaml", with: ".scenario")
            let (scenario, diagnostics) = ScenarioFiles.read(try ShippedPolicyTests.file(sibling))
            #expect(diagnostics.isEmpty)
            let failures = try #require(scenario).run(policy.scaling, zones: ShippedPolicyTests.zones)
            #expect(failures.isEmpty, "\(failures.map(\.description).joined(separator: "\n"))")
        }
    }

    @Test("a scenario fails where the policy changes its mind", arguments: ["target", "max", "window", "tolerance"])
    func scenarioFails(change: String) throws {
        var policy = try #require(PolicyFiles.read([try ShippedPolicyTests.file("web.yaml")]).policies.first?.policy.scaling)
        switch change {
        case "target": policy.targets[0].goal = .average(0.8, ceiling: 1)
        case "max": policy.max = 2
        case "window": policy.scaleIn.stabilization = .seconds(60)
        default: policy.targets[0].toleranceOut = 0.01
        }
        let scenario = try #require(ScenarioFiles.read(try ShippedPolicyTests.file("web.scenario")).scenario)
        let failures = scenario.run(policy, zones: ShippedPolicyTests.zones)
        #expect(!failures.isEmpty)
        #expect(failures.allSatisfy { $0.place.line > 0 && $0.suggestion != nil })
    }

    @Test(
        "a wrong scenario is refused at its place",
        arguments: [
            ("members: 2\nticks: []\n", "s:1:1: error: a scenario needs 'policy'"),
            ("policy: w\nmembers: 2\nticks: [{expect: {size: 1}}]\n", "s:3:9: error: a tick needs 'value'"),
            ("policy: w\nmembers: 2\nticks: [{value: 1, expect: {sise: 1}}]\n", "unknown key 'sise' in expect; did you mean 'size'?"),
            ("policy: w\nmembers: 2\nstart: noon\nticks: []\n", "s:3:8: error: start is 'noon'"),
        ])
    func wrongScenario(text: String, expected: String) {
        let (scenario, diagnostics) = ScenarioFiles.read(.init(path: "s", text: text))
        #expect(scenario == nil)
        #expect(diagnostics.contains { $0.description.contains(expected) }, "\(diagnostics)")
    }
}
