import Decisions
import Fleet
import Groups
import Logging
import Operations
import Plans

/// What a command is answered; a code other than 0 means that it was not done.
struct PolicyAnswer: Sendable {
    var code = 0
    var text: String
}

/// What a running server answers to commands about policies.
extension PolicyPart {
    /// A request of the control socket, whose last word says who asks.
    func answer(_ words: [String]) -> String {
        let user = words.last ?? "somebody"
        if !["list", "explain", "plans"].contains(words.first) {
            logger.info("command of \(user): \(words.dropLast().joined(separator: " "))")
        }
        let answer = answer(Array(words.dropLast()), user: user)
        return answer.code == 0 ? answer.text : "error\t" + answer.text.prefix { $0 != "\n" }
    }

    func answer(_ words: [String], user: String) -> PolicyAnswer {
        switch (words.first ?? "", Array(words.dropFirst())) {
        case ("list", _): return PolicyAnswer(text: list())
        case ("explain", let rest) where rest.count == 1: return explain(rest[0])
        case ("plans", _): return PolicyAnswer(text: openPlans())
        case ("approve", let rest) where rest.count == 1: return judge(rest[0], isApproved: true, user)
        case ("reject", let rest) where rest.count == 1: return judge(rest[0], isApproved: false, user)
        case ("pause", let rest) where rest.count == 1: return pause(rest[0], user)
        case ("resume", let rest) where rest.count == 1: return pause(rest[0], nil)
        case ("disarm", _):
            runner.disarm(until: nil, by: user)
            return PolicyAnswer(text: "ok")
        case ("arm", _):
            runner.arm(by: user)
            return PolicyAnswer(text: "ok")
        case ("scale", let rest) where rest.count == 2: return scale(rest[0], rest[1])
        case ("adopt", let rest) where rest.count == 1: return adopt(rest[0], user)
        default: return PolicyAnswer(code: 2, text: "the server does not know '\(words.joined(separator: " "))'\n")
        }
    }

    private func group(_ name: String) -> LoadedGroup? {
        read { state in
            state.loaded.groups.first { $0.policy.scaling.name == name } ?? state.loaded.groups.first { $0.policy.scaling.group == name }
        }
    }

    private func unknown(_ name: String) -> PolicyAnswer {
        let names = read { $0.loaded.groups.map(\.policy.scaling.name) }
        let hint = nearest(to: name, among: names).map { "; did you mean '\($0)'?" } ?? ""
        return PolicyAnswer(code: 1, text: "no policy is called '\(name)'\(hint)\n")
    }

    private func list() -> String {
        var table = TextTable([
            ("POLICY", .left), ("MODE", .left), ("GROUP", .left), ("MEMBERS", .right), ("WANTED", .right), ("BECAUSE", .left),
        ])
        for loaded in read({ $0.loaded.groups }) {
            let policy = loaded.policy.scaling
            let view = read { $0.views[policy.name] }
            let paused = read { $0.groups[policy.group]?.pausedBy }.map { "paused by \($0); " } ?? ""
            let why =
                view?.decision.binding.map { "\($0.stage.rawValue): \($0.reason)" }
                ?? (view == nil ? "not looked at yet" : "nothing asks for a change")
            table.add([
                policy.name, policy.mode.rawValue, policy.group, view.map { "\($0.decision.current)" } ?? "?",
                view.map { "\($0.decision.desired)" } ?? "?", paused + why,
            ])
        }
        let disarmed = runner.status.disarmedBy.map { "disarmed by \($0): nothing is done by itself\n" } ?? ""
        return disarmed + table.lines.joined(separator: "\n") + "\n"
    }

    private func explain(_ name: String) -> PolicyAnswer {
        guard let loaded = group(name) else { return unknown(name) }
        let policy = loaded.policy.scaling
        guard let view = read({ $0.views[policy.name] }) else {
            return PolicyAnswer(code: 1, text: "policy \(policy.name) was not looked at yet\n")
        }
        let decision = view.decision
        var lines = ["policy \(policy.name) (\(policy.mode.rawValue)), group \(policy.group), at \(view.at)"]
        lines.append("  \(decision.current) members, \(decision.desired) wanted, between \(policy.min) and \(policy.max)")
        for (query, measurement) in view.measurements {
            let value = measurement.value.map { "\($0)" } ?? "unknown (\(measurement.failure ?? "no series"))"
            let matched = measurement.membersMatched.map { ", \($0) members" } ?? ""
            let age = measurement.oldest.map { ", oldest sample \($0.operatorText) old" } ?? ""
            lines.append("  \(query) = \(value)\(matched)\(age)")
        }
        lines.append("decision")
        for stage in decision.stages {
            lines.append("  \(stage.stage.rawValue): \(stage.before) → \(stage.after)  \(stage.reason)")
        }
        if let binding = decision.binding, let remedy = binding.remedy {
            lines.append("what would have to change: \(remedy)")
        }
        lines.append("outcome")
        lines.append(
            "  \(decision.launches) to launch, \(decision.terminations.count) to stop, \(decision.replacements.count) to replace, "
                + "\(decision.cleanups.count) to clear away" + (view.note.map { ": \($0)" } ?? ""))
        for obstacle in view.obstacles { lines.append("  \(obstacle)") }
        for alarm in decision.alarms { lines.append("  alarm: \(alarm)") }
        if let price = view.price {
            let perHour = price.trillionths * Int128(decision.desired)
            lines.append("  cost: \(decimal(perHour)) \(price.currency) an hour for \(decision.desired) members")
        }
        lines.append("members")
        for member in view.members {
            let ours = member.isOurs ? "" : ", not ours: never stopped"
            lines.append(
                "  \(view.names[member.guest] ?? member.guest.description)  \(member.state.rawValue) on \(member.host?.text ?? "no host")"
                    + (member.zone.map { " (\($0))" } ?? "") + ours)
        }
        return PolicyAnswer(text: lines.joined(separator: "\n") + "\n")
    }

    private func decimal(_ trillionths: Int128) -> String {
        let whole = trillionths / Money.trillionthsPerUnit
        let rest = String(trillionths % Money.trillionthsPerUnit / 100_000_000)
        return "\(whole).\(String(repeating: "0", count: max(0, 4 - rest.count)))\(rest)"
    }

    private func openPlans() -> String {
        var table = TextTable([("PLAN", .right), ("POLICY", .left), ("STATE", .left), ("STEPS", .right), ("WHY", .left)])
        for open in runner.status.open.sorted(by: { $0.plan.id < $1.plan.id }) {
            let settled = open.steps.count { if case .settled = $0 { true } else { false } }
            table.add([
                "\(open.plan.id.number)", open.plan.policy ?? "\(open.plan.decider)", open.isApproved ? "under way" : "awaits approval",
                "\(settled)/\(open.steps.count)", open.plan.reasons.joined(separator: "; "),
            ])
        }
        return table.lines.joined(separator: "\n") + "\n"
    }

    private func judge(_ text: String, isApproved: Bool, _ user: String) -> PolicyAnswer {
        guard let number = UInt64(text), let open = runner.status.open.first(where: { $0.plan.id.number == number }) else {
            return PolicyAnswer(code: 1, text: "no plan \(text) is open; steward plans lists them\n")
        }
        guard !(isApproved && open.isApproved) else { return PolicyAnswer(text: "plan \(number) was approved already\n") }
        if isApproved {
            begin(open.plan)
            runner.approve(open.plan.id, by: user)
        } else {
            runner.reject(open.plan.id, by: user)
        }
        return PolicyAnswer(text: "plan \(number) \(isApproved ? "approved" : "rejected") by \(user)\n")
    }

    private func pause(_ name: String, _ user: String?) -> PolicyAnswer {
        guard let loaded = group(name) else { return unknown(name) }
        change(loaded.policy.scaling.group) { $0.pausedBy = user }
        return PolicyAnswer(text: "policy \(loaded.policy.scaling.name) \(user == nil ? "resumed" : "paused")\n")
    }

    private func scale(_ name: String, _ text: String) -> PolicyAnswer {
        guard let loaded = group(name) else { return unknown(name) }
        let policy = loaded.policy.scaling
        let size = Int(text)
        guard text == "auto" || size.map({ (policy.min...policy.max).contains($0) }) == true else {
            return PolicyAnswer(code: 2, text: "'\(text)' is not a size from \(policy.min) to \(policy.max), nor 'auto'\n")
        }
        change(policy.group) { $0.operatorSize = size }
        return PolicyAnswer(
            text: size.map { "group \(policy.group) is to have \($0) members until 'steward scale \(policy.group) auto'\n" }
                ?? "group \(policy.group) follows its policy again\n")
    }

    private func adopt(_ text: String, _ user: String) -> PolicyAnswer {
        let found = fleet.sight.guests.filter { $0.name == text || $0.guest.description == text }
        guard let sight = found.first else { return PolicyAnswer(code: 1, text: "no guest '\(text)' is listed by any host\n") }
        guard found.count == 1 else {
            return PolicyAnswer(
                code: 1, text: "'\(text)' is on \(found.map(\.host.text).joined(separator: " and ")); give its UUID\n")
        }
        guard let name = sight.group, let loaded = group(name) else {
            return PolicyAnswer(
                code: 1, text: "no policy steers the group of \(text); tag it with: steward tag \(text) group=NAME\n")
        }
        let now = now.wall - loaded.policy.scaling.warmup
        change(loaded.policy.scaling.group) { state in
            var known = state.member(sight.guest) ?? KnownMember(sight.guest, host: sight.host, launchedAt: now, stage: .present)
            known.isAdopted = true
            state.put(known)
        }
        return PolicyAnswer(text: "\(sight.name) on \(sight.host) is a member of \(name) that Steward may stop; its disks stay\n")
    }

    /// The policies in Prometheus' text form.
    var metrics: String {
        var text = ""
        func family(_ name: String, _ type: String, _ help: String, _ samples: [(labels: String, value: String)]) {
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
            for sample in samples { text += "\(name)\(sample.labels) \(sample.value)\n" }
        }
        let groups = read { $0.loaded.groups.map(\.policy.scaling) }
        let views = read { $0.views }
        let counts = read { $0.counts }
        func each(_ value: (ScalingPolicy) -> String?) -> [(labels: String, value: String)] {
            groups.compactMap { policy in value(policy).map { ("{policy=\"\(policy.name)\",group=\"\(policy.group)\"}", $0) } }
        }
        func flag(_ value: Bool) -> String { value ? "1" : "0" }
        family(
            "steward_policy_members", "gauge", "Members that count as capacity.", each { views[$0.name].map { "\($0.decision.current)" } })
        family("steward_policy_members_wanted", "gauge", "The size decided.", each { views[$0.name].map { "\($0.decision.desired)" } })
        family(
            "steward_policy_unknown", "gauge", "Whether a query of the last tick was unknown.",
            each { views[$0.name].map { flag($0.decision.isUnknown) } })
        family("steward_policy_launches_total", "counter", "Members launched.", each { "\(counts[$0.name]?.launches ?? 0)" })
        family("steward_policy_stops_total", "counter", "Members stopped or cleared away.", each { "\(counts[$0.name]?.stops ?? 0)" })
        family(
            "steward_policy_failed_plans_total", "counter", "Plans that failed, wholly or in part.",
            each { "\(counts[$0.name]?.failed ?? 0)" })
        family(
            "steward_policy_reload_failures_total", "counter", "Reloads refused, the last good policies kept.",
            [("", "\(read { $0.reloadFailures })")])
        family(
            "steward_policy_tick_seconds", "gauge", "How long the last tick took.",
            [("", "\(Double(read { $0.lastTick }.milliseconds) / 1000)")])
        family("steward_disarmed", "gauge", "Whether every automatic effect is stopped.", [("", flag(runner.status.disarmedBy != nil))])
        return text
    }
}
