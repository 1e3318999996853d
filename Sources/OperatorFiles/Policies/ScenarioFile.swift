public import Decisions
public import Fleet

/// Reads `.scenario` files.
public enum ScenarioFiles {
    /// A scenario, or nil with the errors in the diagnostics.
    public static func read(_ file: PolicyFiles.File) -> (scenario: Scenario?, diagnostics: [Diagnostic]) {
        var problems = YamlProblems()
        var scenario: Scenario?
        if let root = YamlNode.parse(file.text, file: file.path, &problems) { scenario = whole(root, &problems) }
        return (problems.hasErrors ? nil : scenario, problems.sorted)
    }

    private static func whole(_ root: YamlNode, _ problems: inout YamlProblems) -> Scenario? {
        guard var mapping = root.mapping("a scenario", &problems) else { return nil }
        let policy = mapping.required("policy", &problems)?.text("policy", &problems)
        let interval = mapping.optional("interval")?.duration("interval", in: .seconds(1) ... .seconds(3600), &problems)
        let members = mapping.required("members", &problems)?.integer("members", in: 0...10_000, &problems)
        let start = mapping.optional("start").flatMap { instant($0, &problems) }
        let ticks = (mapping.required("ticks", &problems)?.list("ticks", maximum: 1000, &problems) ?? []).compactMap { tick($0, &problems) }
        mapping.refuseUnknown(&problems)
        if ticks.reduce(0, { $0 + $1.count }) > Scenario.ticksMaximum {
            problems.error("the scenario has more than \(Scenario.ticksMaximum) ticks", at: mapping.place)
        }
        guard let policy, let members, !problems.hasErrors else { return nil }
        return Scenario(
            policy: policy, interval: interval ?? .seconds(15), start: start ?? Timestamp(seconds: 1_700_000_000), members: members,
            ticks: ticks)
    }

    /// `2026-11-23T08:00:00Z`.
    private static func instant(_ node: YamlNode, _ problems: inout YamlProblems) -> Timestamp? {
        guard let text = node.text("start", &problems) else { return nil }
        let parts = text.split(whereSeparator: { "-T:Z".contains($0) }).map { Int64($0) }
        guard parts.count == 6, text.utf8.count == 20, let year = parts[0], let month = parts[1], let day = parts[2], let hour = parts[3],
            let minute = parts[4], let second = parts[5], let date = CivilDate(year: year, month: Int(month), day: Int(day)),
            (0...23).contains(hour), (0...59).contains(minute), (0...59).contains(second)
        else {
            problems.error("start is '\(text)', which is no instant", at: node.place, suggestion: "write 2026-11-23T08:00:00Z")
            return nil
        }
        return Timestamp(seconds: date.startUTC.wholeSeconds + hour * 3600 + minute * 60 + second)
    }

    private static func tick(_ node: YamlNode, _ problems: inout YamlProblems) -> Scenario.Tick? {
        guard var mapping = node.mapping("a tick", &problems) else { return nil }
        var values: [Double?] = []
        if let node = mapping.required("value", &problems, suggestion: "write 'value: 0.7', 'value: [0.7, 300]' or 'value: unknown'") {
            var nodes = [node]
            if case .sequence(let items) = node.content { nodes = items }
            values = nodes.map { value($0, &problems) }
        }
        var tick = Scenario.Tick(values: values, place: mapping.place)
        if let share = mapping.optional("coverage")?.ratio("coverage", &problems) { tick.coverage = share.value }
        tick.count = mapping.optional("repeat")?.integer("repeat", in: 1...Scenario.ticksMaximum, &problems) ?? 1
        tick.failing = mapping.optional("unhealthy")?.integer("unhealthy", in: 0...10_000, &problems) ?? 0
        if var expected = mapping.optional("expect")?.mapping("expect", &problems) {
            tick.expected.size = expected.optional("size")?.integer("size", in: 0...10_000, &problems)
            tick.expected.launches = expected.optional("launches")?.integer("launches", in: 0...10_000, &problems)
            tick.expected.stops = expected.optional("stops")?.integer("stops", in: 0...10_000, &problems)
            tick.expected.because = expected.optional("because")?.choice(
                "because", ScalingStage.allCases.map { ($0.rawValue, $0) }, &problems)
            expected.refuseUnknown(&problems)
        }
        mapping.refuseUnknown(&problems)
        return tick
    }

    private static func value(_ node: YamlNode, _ problems: inout YamlProblems) -> Double? {
        if case .scalar("unknown", _) = node.content { return nil }
        return node.decimal("value", places: 6, &problems).map { Double($0) / 1_000_000 }
    }
}
