import Decisions
import Fleet
import Plans

/// Warns of policies that are well written and still will not do what was meant.
enum PolicyLint {
    static func check(_ policy: Policy, at place: SourcePlace, _ problems: inout YamlProblems) {
        let scaling = policy.scaling
        if scaling.min == scaling.max, !scaling.targets.isEmpty {
            problems.warning("min and max are both \(scaling.max): the targets can never change the size", at: place)
        }
        for target in scaling.targets {
            if case .average(let goal, let ceiling?) = target.goal, goal * (1 + target.toleranceOut) >= ceiling {
                problems.warning(
                    "'\(target.query)' can never ask for more: at its target and tolerance a member is already full", at: place,
                    suggestion: "lower the target")
            }
            if target.toleranceOut + target.toleranceIn < 0.02 {
                problems.warning("'\(target.query)' has no tolerance and can flap", at: place, suggestion: "write 'tolerance: 10%'")
            }
        }
        if scaling.min > 0, scaling.targets.contains(where: { oneMemberMatters($0, scaling) }),
            scaling.scaleIn.stabilization < .seconds(60),
            scaling.scaleIn.stabilization > .zero
        {
            problems.warning(
                "with few members each change moves the average far, and the window is short: it can flap", at: place,
                suggestion: "write 'stabilization: 5m' under 'scale_in'")
        }
        if let only = scaling.schedule.first, scaling.schedule.count == 1, only.lasts == nil {
            problems.warning(
                "the only schedule entry '\(only.at)' holds for ever once it has fired", at: place,
                suggestion: "add 'for: 10h' or an entry that takes it back")
        }
        if scaling.scaleIn.stabilization > .zero, scaling.warmup > scaling.scaleIn.stabilization * 4 {
            problems.warning("the warm-up is longer than four windows: nothing shrinks while a member warms up", at: place)
        }
        if policy.health != nil, !scaling.replacesUnhealthy {
            problems.warning("health is checked, but unhealthy members are not replaced", at: place, suggestion: "write 'replace: true'")
        }
    }

    private static func oneMemberMatters(_ target: ScalingTarget, _ policy: ScalingPolicy) -> Bool {
        if case .average = target.goal { policy.min <= 2 } else { false }
    }

    /// Receivers that are described twice, or by nobody.
    static func webhooks(
        _ webhooks: [LoadedWebhook], _ policies: [LoadedPolicy], _ alerts: [LoadedAlert], _ problems: inout YamlProblems
    ) {
        var known: [String: SourcePlace] = [:]
        for webhook in webhooks {
            if let first = known[webhook.name] {
                problems.error("webhook '\(webhook.name)' is also at \(first)", at: webhook.place, suggestion: "remove one of them")
            } else {
                known[webhook.name] = webhook.place
            }
        }
        // Single files may be checked without the rest of their folder.
        guard !webhooks.isEmpty else { return }
        func look(_ name: String, _ place: SourcePlace) {
            guard known[name] == nil else { return }
            problems.warning(
                "no document says where the webhook '\(name)' is, so nobody is told", at: place,
                suggestion: nearest(to: name, among: known.keys.sorted()).map { "did you mean '\($0)'?" })
        }
        for loaded in policies {
            for recipient in loaded.policy.notify { look(recipient.webhook, loaded.place) }
            if case .webhook(let name) = loaded.policy.via { look(name, loaded.place) }
        }
        for loaded in alerts { for name in loaded.alert.webhooks { look(name, loaded.place) } }
    }

    /// Two documents that claim the same name or the same group.
    static func conflicts(_ policies: [LoadedPolicy], _ alerts: [LoadedAlert], _ problems: inout YamlProblems) {
        var names: [String: SourcePlace] = [:]
        var groups: [String: SourcePlace] = [:]
        for loaded in policies {
            let scaling = loaded.policy.scaling
            if let first = names[scaling.name] {
                problems.error(
                    "policy '\(scaling.name)' is also at \(first)", at: loaded.place, suggestion: "give one of them another name")
            } else {
                names[scaling.name] = loaded.place
            }
            if let first = groups[scaling.group] {
                problems.error(
                    "group '\(scaling.group)' is also steered by the policy at \(first)", at: loaded.place, suggestion: "join the two")
            } else {
                groups[scaling.group] = loaded.place
            }
        }
        var alertNames: [String: SourcePlace] = [:]
        for loaded in alerts {
            if let first = alertNames[loaded.alert.name] {
                problems.error(
                    "alert '\(loaded.alert.name)' is also at \(first)", at: loaded.place, suggestion: "give one of them another name")
            } else {
                alertNames[loaded.alert.name] = loaded.place
            }
        }
    }
}
