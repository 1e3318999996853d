import Decisions
import Fleet
import Plans

/// Turns documents into policies.
struct PolicyReader {
    let flaw: (String) -> String?

    func policy(_ mapping: inout YamlMapping, _ problems: inout YamlProblems) -> Policy? {
        let name = mapping.required("policy", &problems)?.text("policy", &problems)
        let mode = mapping.optional("mode")
        let read = mode?.choice("mode", PolicyMode.allCases.map { ($0.rawValue, $0) }, &problems)
        if mode == nil {
            problems.warning("no 'mode': the policy only observes", at: mapping.place, suggestion: "write 'mode: observe' to say so")
        }
        let scale = mapping.required("scale", &problems)
        let via = mapping.optional("via")
        let notify = mapping.optional("notify")
        mapping.refuseUnknown(&problems)
        guard let name, var section = scale?.mapping("scale", &problems) else { return nil }
        guard var policy = scaling(name, &section, &problems) else { return nil }
        policy.scaling.mode = read ?? .observe
        if let via { policy.via = actor(via, &problems) }
        if let notify { policy.notify = recipients(notify, &problems) }
        if policy.scaling.template == nil, policy.via == .libvirt {
            problems.error(
                "the policy has no 'template', so libvirt cannot make a member", at: section.place,
                suggestion: "write 'template: …' or 'via: {webhook: …}'")
        }
        return policy
    }

    func alert(_ mapping: inout YamlMapping, _ problems: inout YamlProblems) -> AlertRule? {
        let name = mapping.required("alert", &problems)?.text("alert", &problems)
        let query = mapping.required("query", &problems).flatMap { self.query($0, &problems) }
        let holdsFor = mapping.optional("for")?.duration("for", &problems)
        let notify = mapping.optional("notify")
        mapping.refuseUnknown(&problems)
        guard let name, let query else { return nil }
        if holdsFor == nil {
            problems.warning(
                "no 'for': one sample is enough to fire", at: mapping.place, suggestion: "write 'for: 5m', or 'for: 0s' to mean it")
        }
        let hooks = notify.map { recipients($0, &problems).map(\.webhook) } ?? []
        return AlertRule(name: name, query: query, holdsFor: holdsFor ?? .zero, webhooks: hooks)
    }

    func webhook(_ mapping: inout YamlMapping, _ problems: inout YamlProblems) -> LoadedWebhook? {
        let name = mapping.required("webhook", &problems)?.text("webhook", &problems)
        let node = mapping.required("url", &problems)
        let url = node?.text("url", &problems)
        if let node, let url, !url.hasPrefix("http://"), !url.hasPrefix("https://") {
            problems.error("url is '\(url)', which is no URL", at: node.place, suggestion: "write https://HOST/PATH")
        }
        let secret = mapping.optional("secret_file")?.text("secret_file", &problems)
        if secret == nil {
            problems.warning(
                "no 'secret_file': what is sent is not signed", at: mapping.place,
                suggestion: "make one with: echo whsec_$(openssl rand -base64 32)")
        }
        let certificates = mapping.optional("ca_file")?.text("ca_file", &problems)
        let timeout = mapping.optional("timeout")?.duration("timeout", in: .seconds(1) ... .seconds(60), &problems)
        let place = mapping.place
        mapping.refuseUnknown(&problems)
        guard let name, let url else { return nil }
        return LoadedWebhook(
            name: name, url: url, secretFile: secret, certificateFile: certificates, timeout: timeout ?? .seconds(15), place: place)
    }

    private func query(_ node: YamlNode, _ problems: inout YamlProblems) -> String? {
        guard let text = node.text("query", &problems) else { return nil }
        if let flaw = flaw(text) { problems.error("the query cannot be read: \(flaw)", at: node.place) }
        return text
    }

    private func actor(_ node: YamlNode, _ problems: inout YamlProblems) -> Policy.Actor {
        if case .scalar = node.content {
            _ = node.choice("via", [("libvirt", true)], &problems)
            return .libvirt
        }
        guard var mapping = node.mapping("via", &problems) else { return .libvirt }
        let webhook = mapping.required("webhook", &problems)?.text("webhook", &problems)
        mapping.refuseUnknown(&problems)
        return webhook.map { .webhook($0) } ?? .libvirt
    }

    private func recipients(_ node: YamlNode, _ problems: inout YamlProblems) -> [Policy.Recipient] {
        (node.list("notify", maximum: 20, &problems) ?? []).compactMap { item in
            guard var mapping = item.mapping("notify", &problems) else { return nil }
            let webhook = mapping.required("webhook", &problems)?.text("webhook", &problems)
            let events = mapping.optional("events")?.list("events", maximum: 20, &problems)?.compactMap {
                $0.choice("an event", Policy.Event.allCases.map { ($0.rawValue, $0) }, &problems)
            }
            mapping.refuseUnknown(&problems)
            return webhook.map { Policy.Recipient(webhook: $0, events: events ?? []) }
        }
    }

    // MARK: scale

    private func scaling(_ name: String, _ section: inout YamlMapping, _ problems: inout YamlProblems) -> Policy? {
        let group = section.required("group", &problems)?.text("group", &problems)
        let low = section.required("min", &problems)
        let high = section.required("max", &problems)
        let minimum = low?.integer("min", in: 0...10_000, &problems)
        let maximum = high?.integer("max", in: 0...10_000, &problems)
        if let minimum, let maximum, minimum > maximum, let high {
            problems.error("max is \(maximum), below min \(minimum)", at: high.place, suggestion: "write 'max: \(minimum)' or lower min")
        }
        var scaling = ScalingPolicy(name: name, group: group ?? "", min: minimum ?? 0, max: max(maximum ?? 0, minimum ?? 0))
        scaling.template = section.optional("template").flatMap { template($0, &problems) }
        scaling.targets = (section.optional("targets")?.list("targets", maximum: 20, &problems) ?? []).compactMap { target($0, &problems) }
        scaling.steps = (section.optional("steps")?.list("steps", maximum: 20, &problems) ?? []).compactMap { step($0, &problems) }
        scaling.schedule = (section.optional("schedule")?.list("schedule", maximum: 100, &problems) ?? []).compactMap {
            schedule($0, maximum, &problems)
        }
        if let node = section.optional("scale_out") { scaleOut(node, &scaling, &problems) }
        if let node = section.optional("scale_in") { scaleIn(node, &scaling, &problems) }
        let health = section.optional("health").flatMap { self.health($0, &scaling, &problems) }
        if var budget = section.optional("budget")?.mapping("budget", &problems) {
            scaling.budgetPerHour = budget.required("max_per_hour", &problems)?.money("max_per_hour", &problems)
            budget.refuseUnknown(&problems)
        }
        scaling.keepsFailover = section.optional("failover")?.boolean("failover", &problems) ?? false
        scaling.prediction =
            section.optional("prediction")?.choice("prediction", ScalingPolicy.Prediction.allCases.map { ($0.rawValue, $0) }, &problems)
            ?? .off
        section.refuseUnknown(&problems)
        guard group != nil, minimum != nil, maximum != nil else { return nil }
        if scaling.targets.isEmpty, scaling.steps.isEmpty, scaling.schedule.isEmpty, !section.has("targets"), !section.has("steps") {
            problems.error("nothing steers the group", at: section.place, suggestion: "write 'targets', 'steps' or 'schedule'")
        }
        var policy = Policy(scaling)
        policy.health = health
        return policy
    }

    private func template(_ node: YamlNode, _ problems: inout YamlProblems) -> MemberTemplate? {
        guard var mapping = node.mapping("template", &problems) else { return nil }
        let image = mapping.required("image", &problems)?.text("image", &problems)
        let type = mapping.required("instance_type", &problems)?.text("instance_type", &problems)
        var template = MemberTemplate(image: image ?? "", instanceType: type ?? "")
        if var disk = mapping.optional("disk")?.mapping("disk", &problems) {
            template.diskType = disk.optional("type")?.text("type", &problems)
            template.diskSize = disk.optional("size")?.bytes("size", &problems)
            disk.refuseUnknown(&problems)
        }
        template.networks = words("networks", &mapping, &problems)
        template.securityGroups = words("security_groups", &mapping, &problems)
        template.zones = words("zones", &mapping, &problems)
        template.userData = mapping.optional("user_data")?.text("user_data", &problems)
        template.domain = mapping.optional("domain")?.text("domain", &problems)
        template.addressFromMAC = mapping.optional("address_from_mac")?.text("address_from_mac", &problems)
        mapping.refuseUnknown(&problems)
        return image == nil || type == nil ? nil : template
    }

    private func words(_ key: String, _ mapping: inout YamlMapping, _ problems: inout YamlProblems) -> [String] {
        (mapping.optional(key)?.list(key, maximum: 100, &problems) ?? []).compactMap { $0.text(key, &problems) }
    }

    private func source(_ mapping: inout YamlMapping, _ problems: inout YamlProblems) -> QuerySource {
        guard let node = mapping.optional("prometheus"), let url = node.text("prometheus", &problems) else { return .own }
        if !url.hasPrefix("http://"), !url.hasPrefix("https://") {
            problems.error("prometheus is '\(url)', which is no URL", at: node.place, suggestion: "write http://HOST:9090")
        }
        return .prometheus(url)
    }

    private func absent(_ mapping: inout YamlMapping, _ source: QuerySource, _ problems: inout YamlProblems) -> AbsentMeaning {
        let because = mapping.optional("because")?.text("because", &problems)
        guard let node = mapping.optional("absent"),
            let word = node.choice("absent", ["hold", "ignore", "zero"].map { ($0, $0) }, &problems)
        else { return .hold }
        guard word == "zero" else { return word == "hold" ? .hold : .ignore }
        if source == .own {
            problems.error(
                "'absent: zero' is only for sources outside libvirt: a guest without samples is not idle", at: node.place,
                suggestion: "write 'absent: hold'")
        }
        guard let because else {
            problems.error("'absent: zero' needs 'because': why no series means no load", at: node.place, suggestion: "write 'because: …'")
            return .hold
        }
        problems.warning("the rule shrinks on missing data, because: \(because)", at: node.place)
        return .zero(because: because)
    }

    private func coverage(_ mapping: inout YamlMapping, _ problems: inout YamlProblems) -> Double? {
        guard let node = mapping.optional("coverage"), let share = node.ratio("coverage", &problems) else { return nil }
        if share.value < 0.5 { problems.warning("a minority of the members decides for all", at: node.place, suggestion: "write 80%") }
        return share.value
    }

    private func number(_ node: YamlNode, _ subject: String, _ problems: inout YamlProblems) -> Double? {
        node.decimal(subject, places: 6, &problems).map { Double($0) / 1_000_000 }
    }

    private func target(_ node: YamlNode, _ problems: inout YamlProblems) -> ScalingTarget? {
        guard var mapping = node.mapping("a target", &problems) else { return nil }
        let query = mapping.required("query", &problems).flatMap { self.query($0, &problems) }
        let source = source(&mapping, &problems)
        var goal: ScalingTarget.Goal?
        let average = mapping.optional("target")
        let total = mapping.optional("target_per_member")
        if let average, let text = average.text("target", &problems) {
            if text.hasSuffix("%") {
                goal = average.ratio("target", &problems).map { .average($0.value, ceiling: 1) }
            } else {
                goal = number(average, "target", &problems).map { .average($0, ceiling: nil) }
            }
        } else if let total {
            goal = number(total, "target_per_member", &problems).map { .perMember($0) }
        }
        if (average == nil) == (total == nil) {
            problems.error(
                "a target has exactly one of 'target' (an average over members) and 'target_per_member' (a total to be shared)",
                at: mapping.place)
        }
        let absent = absent(&mapping, source, &problems)
        let share = coverage(&mapping, &problems)
        var result = ScalingTarget(query: query ?? "", goal: goal ?? .perMember(1))
        if let node = mapping.optional("tolerance") { tolerance(node, &result, &problems) }
        mapping.refuseUnknown(&problems)
        guard query != nil, let goal else { return nil }
        if case .average(let value, _) = goal, value <= 0 { problems.error("target must be above 0", at: mapping.place) }
        if case .perMember(let value) = goal, value <= 0 { problems.error("target_per_member must be above 0", at: mapping.place) }
        result.source = source
        result.absent = absent
        result.coverage = share ?? result.coverage
        return result
    }

    private func tolerance(_ node: YamlNode, _ target: inout ScalingTarget, _ problems: inout YamlProblems) {
        if case .scalar = node.content {
            guard let share = node.ratio("tolerance", &problems) else { return }
            target.toleranceOut = share.value
            target.toleranceIn = share.value
            return
        }
        guard var mapping = node.mapping("tolerance", &problems) else { return }
        if let share = mapping.optional("out")?.ratio("out", &problems) { target.toleranceOut = share.value }
        if let share = mapping.optional("in")?.ratio("in", &problems) { target.toleranceIn = share.value }
        mapping.refuseUnknown(&problems)
    }

    private func step(_ node: YamlNode, _ problems: inout YamlProblems) -> StepScaling? {
        guard var mapping = node.mapping("a step rule", &problems) else { return nil }
        let query = mapping.required("query", &problems).flatMap { self.query($0, &problems) }
        let source = source(&mapping, &problems)
        let absent = absent(&mapping, source, &problems)
        let share = coverage(&mapping, &problems)
        var bands: [(band: StepScaling.Band, place: SourcePlace)] = []
        for item in mapping.required("bands", &problems)?.list("bands", maximum: 50, &problems) ?? [] {
            if let band = band(item, &problems) { bands.append((band, item.place)) }
        }
        mapping.refuseUnknown(&problems)
        for (index, one) in bands.enumerated() {
            for other in bands.dropFirst(index + 1) {
                let low = max(one.band.from ?? -.infinity, other.band.from ?? -.infinity)
                let high = min(one.band.to ?? .infinity, other.band.to ?? .infinity)
                if low < high { problems.error("the band overlaps the one at \(one.place)", at: other.place) }
            }
        }
        guard let query else { return nil }
        var rule = StepScaling(query: query, bands: bands.map(\.band))
        rule.source = source
        rule.absent = absent
        rule.coverage = share ?? rule.coverage
        return rule
    }

    private func band(_ node: YamlNode, _ problems: inout YamlProblems) -> StepScaling.Band? {
        guard var mapping = node.mapping("a band", &problems) else { return nil }
        let from = mapping.optional("from").flatMap { number($0, "from", &problems) }
        let to = mapping.optional("to").flatMap { number($0, "to", &problems) }
        let change = mapping.required("change", &problems)
        mapping.refuseUnknown(&problems)
        if let from, let to, from >= to { problems.error("from \(from) is not below to \(to)", at: mapping.place) }
        guard let change, let text = change.text("change", &problems) else { return nil }
        let value: StepScaling.Change?
        if text.hasPrefix("=") {
            value = Int(text.dropFirst()).flatMap { $0 >= 0 ? .to($0) : nil }
        } else if text.hasSuffix("%") {
            value = Int(text.dropLast()).map { .percent($0) }
        } else {
            value = Int(text).map { .by($0) }
        }
        guard let value else {
            problems.error("change is '\(text)'", at: change.place, suggestion: "write +2, -1, +50%, -25% or \"=4\"")
            return nil
        }
        return StepScaling.Band(from: from, to: to, value)
    }

    private func schedule(_ node: YamlNode, _ policyMaximum: Int?, _ problems: inout YamlProblems) -> ScheduleEntry? {
        guard var mapping = node.mapping("a schedule", &problems) else { return nil }
        let at = mapping.required("at", &problems)
        let zone = mapping.required("timezone", &problems, suggestion: "write 'timezone: UTC' or a name such as Asia/Shanghai")
        let minimum = mapping.optional("min")?.integer("min", in: 0...10_000, &problems)
        let high = mapping.optional("max")
        let maximum = high?.integer("max", in: 0...10_000, &problems)
        let lasts = mapping.optional("for")?.duration("for", &problems)
        mapping.refuseUnknown(&problems)
        if minimum == nil, maximum == nil { problems.error("a schedule sets 'min', 'max' or both", at: mapping.place) }
        if let minimum, let maximum, minimum > maximum { problems.error("max is \(maximum), below min \(minimum)", at: mapping.place) }
        if let policyMaximum, let over = [minimum, maximum].compactMap({ $0 }).first(where: { $0 > policyMaximum }) {
            problems.error("the schedule asks for \(over), more than the policy's max \(policyMaximum)", at: mapping.place)
        }
        guard let at, let text = at.text("at", &problems), let name = zone?.text("timezone", &problems) else { return nil }
        switch CronRule.parse(text) {
        case .failure(let error):
            problems.error(error.message, at: at.place)
            return nil
        case .success(let rule): return ScheduleEntry(at: rule, timezone: name, min: minimum, max: maximum, lasts: lasts)
        }
    }

    private func scaleOut(_ node: YamlNode, _ policy: inout ScalingPolicy, _ problems: inout YamlProblems) {
        guard var mapping = node.mapping("scale_out", &problems) else { return }
        direction(&mapping, &policy.scaleOut, &problems)
        if let warmup = mapping.optional("warmup")?.duration("warmup", &problems) { policy.warmup = warmup }
        mapping.refuseUnknown(&problems)
    }

    private func scaleIn(_ node: YamlNode, _ policy: inout ScalingPolicy, _ problems: inout YamlProblems) {
        guard var mapping = node.mapping("scale_in", &problems) else { return }
        direction(&mapping, &policy.scaleIn, &problems)
        if let drain = mapping.optional("drain")?.duration("drain", &problems) { policy.drain = drain }
        if let time = mapping.optional("quarantine")?.duration("quarantine", in: .zero ... .seconds(90 * 86_400), &problems) {
            policy.quarantine = time
        }
        if let node = mapping.optional("victim"), let items = node.list("victim", maximum: 10, &problems) {
            policy.victims = items.compactMap { $0.choice("victim", VictimOrder.allCases.map { ($0.rawValue, $0) }, &problems) }
        }
        mapping.refuseUnknown(&problems)
        if policy.scaleIn.stabilization == .zero, !policy.scaleIn.isDisabled {
            problems.warning(
                "shrinking without a stabilization window can flap", at: mapping.place, suggestion: "write 'stabilization: 5m'")
        }
    }

    private func direction(_ mapping: inout YamlMapping, _ rules: inout DirectionRules, _ problems: inout YamlProblems) {
        if let window = mapping.optional("stabilization")?.duration("stabilization", in: .zero ... .seconds(86_400), &problems) {
            rules.stabilization = window
        }
        if let node = mapping.optional("limit") {
            if case .sequence = node.content {
                rules.limits = (node.list("limit", maximum: 10, &problems) ?? []).compactMap { limit($0, &problems) }
            } else {
                rules.limits = [limit(node, &problems)].compactMap { $0 }
            }
        }
        if let enabled = mapping.optional("enabled")?.boolean("enabled", &problems) { rules.isDisabled = !enabled }
    }

    /// `4 guests per 1m` or `100% per 1m`.
    private func limit(_ node: YamlNode, _ problems: inout YamlProblems) -> RateLimit? {
        guard let text = node.text("limit", &problems) else { return nil }
        let hint = "write '4 guests per 1m' or '100% per 1m'"
        let words = text.split(separator: " ").map(String.init)
        guard let per = words.firstIndex(of: "per"), per + 2 == words.count, per >= 1 else {
            problems.error("limit is '\(text)', which is no limit", at: node.place, suggestion: hint)
            return nil
        }
        let amount: RateLimit.Amount?
        if words[0].hasSuffix("%"), per == 1 {
            amount = Int(words[0].dropLast()).flatMap { $0 > 0 ? .percent($0) : nil }
        } else {
            amount = per == 2 && ["guest", "guests"].contains(words[1]) ? Int(words[0]).flatMap { $0 > 0 ? .guests($0) : nil } : nil
        }
        guard let amount else {
            problems.error("limit is '\(text)', which is no limit", at: node.place, suggestion: hint)
            return nil
        }
        let period = YamlNode(.scalar(words[per + 1], isPlain: true), at: node.place)
        return period.duration("limit", in: .seconds(1) ... .seconds(86_400), &problems).map { RateLimit(amount, per: $0) }
    }

    private func health(_ node: YamlNode, _ policy: inout ScalingPolicy, _ problems: inout YamlProblems) -> Policy.HealthCheck? {
        guard var mapping = node.mapping("health", &problems) else { return nil }
        let port = mapping.required("tcp", &problems)?.integer("tcp", in: 1...65_535, &problems)
        let interval = mapping.optional("interval")?.duration("interval", in: .seconds(1) ... .seconds(3600), &problems)
        let failures = mapping.optional("failures")?.integer("failures", in: 1...100, &problems)
        policy.replacesUnhealthy = mapping.optional("replace")?.boolean("replace", &problems) ?? false
        mapping.refuseUnknown(&problems)
        return port.map { Policy.HealthCheck(port: $0, interval: interval ?? .seconds(10), failures: failures ?? 3) }
    }
}
