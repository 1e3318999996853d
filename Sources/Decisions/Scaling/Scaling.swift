import Fleet
import Plans

/// Decides a group's size, in stages with reasons.
///
/// Pure: the same policy and input give the same decision.
public enum Scaling {
    /// After so many failed creations in a row the breaker opens.
    public static let breakerFailures = 3
    /// The breaker's first pause; it doubles with each further failure, up to `breakerPauseMaximum`.
    public static let breakerPause = Duration.seconds(60)
    /// The breaker's longest pause.
    public static let breakerPauseMaximum = Duration.seconds(3600)

    /// Decides one tick for one group.
    public static func decide(_ policy: ScalingPolicy, _ input: ScalingInput) -> ScalingDecision {
        var chain = Chain(policy: policy, input: input)
        chain.combine()
        chain.listenToOperator()
        chain.addForecast()
        let recommendation = chain.size
        chain.stabilize()
        chain.limitRate()
        chain.keepBudget()
        chain.applyBounds()
        chain.guardFailover()
        chain.refuseToShrinkOnUnknown()
        let desired = chain.size
        let launches = chain.launches()
        let victims = chain.victims(count: max(0, chain.count.capacity - desired))
        let (replacements, alarms) = chain.replacements(besides: victims.count)
        return ScalingDecision(
            current: chain.count.capacity, desired: desired, recommendation: recommendation, launches: launches, terminations: victims,
            cleanups: input.members.filter { $0.state == .failed && $0.isOurs }.map(\.guest).sorted(),
            replacements: replacements, stages: chain.stages, alarms: alarms + chain.alarms, isUnknown: chain.isUnknown)
    }
}

/// The chain of stages of one decision.
struct Chain {
    let policy: ScalingPolicy
    let input: ScalingInput
    let count: Headcount
    var size: Int
    var stages: [StageRecord] = []
    var alarms: [String] = []
    var isUnknown = false

    init(policy: ScalingPolicy, input: ScalingInput) {
        self.policy = policy
        self.input = input
        count = Headcount(input.members)
        size = count.capacity
    }

    /// Notes what a stage made of the size.
    ///
    /// A remedy means that the stage held something back.
    mutating func note(_ stage: ScalingStage, _ after: Int, _ reason: String, remedy: String? = nil) {
        stages.append(StageRecord(stage: stage, before: size, after: after, reason: reason, remedy: remedy))
        size = after
    }

    /// The largest wish wins, in both directions; one that is unknown blocks shrinking.
    mutating func combine() {
        var wishes: [Wish] = []
        for (index, target) in policy.targets.enumerated() {
            let measurement = index < input.targets.count ? input.targets[index] : Measurement(nil, failure: "not evaluated")
            wishes.append(Scaling.wish(target, measurement, count))
        }
        for (index, rule) in policy.steps.enumerated() {
            let measurement = index < input.steps.count ? input.steps[index] : Measurement(nil, failure: "not evaluated")
            wishes.append(Scaling.wish(rule, measurement, count))
        }
        for wish in wishes { stages += wish.stages }
        isUnknown = wishes.contains { $0.vote == .unknown }
        let sizes = wishes.compactMap { if case .size(let size) = $0.vote { size } else { nil } }
        guard let largest = sizes.max() else {
            if !wishes.isEmpty {
                note(.combine, count.capacity, "nothing to go by: hold")
                isUnknown = true
            }
            return
        }
        if isUnknown, largest < count.capacity {
            note(
                .combine, count.capacity, "\(largest) is asked for, but a query is unknown: nothing shrinks on an unknown",
                remedy: "a value for the unknown query")
        } else if wishes.count > 1 {
            note(.combine, largest, "the largest of \(sizes.map(String.init).joined(separator: ", ")) wins")
        } else {
            size = largest
        }
    }

    mutating func listenToOperator() {
        guard let wanted = input.operatorSize else { return }
        note(.operatorSize, wanted, "an operator asked for \(wanted)")
    }

    mutating func addForecast() {
        guard policy.prediction != .off, let forecast = input.forecast else { return }
        if policy.prediction == .forecastOnly {
            note(.forecast, size, "the forecast would ask for \(forecast); it only forecasts")
        } else if forecast > size {
            note(.forecast, forecast, "the forecast asks for \(forecast)")
        }
    }

    /// What every recommendation within the window agrees on; an operator's word needs no agreement.
    mutating func stabilize() {
        guard input.operatorSize == nil, size != count.capacity else { return }
        let now = input.now.uptime
        let isGrowing = size > count.capacity
        let rules = isGrowing ? policy.scaleOut : policy.scaleIn
        if rules.isDisabled {
            note(.stabilization, count.capacity, "\(isGrowing ? "growing" : "shrinking") is switched off", remedy: "switching it on")
            return
        }
        guard rules.stabilization > .zero else { return }
        let window = input.recommendations.filter { $0.at > now - rules.stabilization && $0.at <= now }
        if let gap = unseen(window: rules.stabilization) {
            note(
                .stabilization, count.capacity, "the window of \(spoken(rules.stabilization)) was not seen whole: \(gap)",
                remedy: "\(spoken(rules.stabilization)) of uninterrupted ticks")
            return
        }
        let agreed =
            isGrowing
            ? max(count.capacity, window.map(\.size).reduce(size, min)) : min(count.capacity, window.map(\.size).reduce(size, max))
        if agreed != size {
            note(
                .stabilization, agreed,
                "within the last \(spoken(rules.stabilization)) the \(isGrowing ? "lowest" : "highest") recommendation was \(agreed)",
                remedy: "a recommendation of \(size) throughout the window")
        }
    }

    /// Where the window has a hole of more than half its length, or does not reach back far enough.
    private func unseen(window: Duration) -> String? {
        let now = input.now.uptime
        var last = now
        for recommendation in input.recommendations.reversed() where recommendation.at <= now {
            if last - recommendation.at > window / 2 { return "a gap of \(spoken(last - recommendation.at))" }
            last = recommendation.at
            if last <= now - window { return nil }
        }
        return "it reaches back \(spoken(now - last))"
    }

    mutating func limitRate() {
        guard size != count.capacity else { return }
        let isGrowing = size > count.capacity
        let limits = (isGrowing ? policy.scaleOut : policy.scaleIn).limits
        guard let (reach, limit) = reach(limits, isGrowing: isGrowing) else { return }
        let allowed = isGrowing ? min(size, max(count.capacity, reach)) : max(size, min(count.capacity, reach))
        guard allowed != size else { return }
        note(.rateLimit, allowed, "no more than \(limit)", remedy: "a higher limit, or \(spoken(longest(limits))) without a change")
    }

    private func longest(_ limits: [RateLimit]) -> Duration { limits.map(\.period).max() ?? .zero }

    /// How far the loosest limit lets the size go.
    private func reach(_ limits: [RateLimit], isGrowing: Bool) -> (size: Int, limit: String)? {
        var best: (size: Int, limit: String)?
        for limit in limits {
            let recent = input.changes.filter { $0.at > input.now.uptime - limit.period && ($0.delta > 0) == isGrowing }
            let start = count.capacity - recent.reduce(0) { $0 + $1.delta }
            let size: Int
            let text: String
            switch limit.amount {
            case .guests(let guests):
                size = isGrowing ? start + guests : start - guests
                text = "\(counted(guests, "guest")) in \(spoken(limit.period))"
            case .percent(let share):
                size = isGrowing ? roundedUp(Double(start) * Double(100 + share) / 100) : start * max(0, 100 - share) / 100
                text = "\(share) % in \(spoken(limit.period))"
            }
            if best.map({ isGrowing ? size > $0.size : size < $0.size }) ?? true { best = (size, text) }
        }
        return best
    }

    /// The bounds that hold now: the calendar's where it has any, else the policy's.
    mutating func applyBounds() {
        var low = policy.min
        var high = policy.max
        var source = "the policy"
        var stage = ScalingStage.bounds
        switch Calendar.bounds(policy.schedule, at: input.now.wall, zones: input.zones) {
        case .none: break
        case .unknownZone(let zone):
            alarms.append("policy \(policy.name): the time zone \(zone) is not known; its schedule is not applied")
        case .bounds(let minimum, let maximum, let entry):
            low = minimum ?? low
            high = max(low, maximum ?? high)
            source = "the schedule '\(entry)'"
            stage = .schedule
        }
        // The calendar may narrow the operator's upper bound, never widen it.
        high = min(high, policy.max)
        low = min(low, high)
        if size < low {
            note(stage, low, "\(source) asks for at least \(low)", remedy: "a lower min")
        } else if size > high {
            let isShrinking = high < count.capacity
            let reach = isShrinking ? reach(policy.scaleIn.limits, isGrowing: false)?.size ?? high : high
            note(stage, isShrinking ? max(high, min(count.capacity, reach)) : high, "\(source) allows \(high)", remedy: "a higher max")
        }
    }

    /// The budget holds growth back; it never stops a member.
    mutating func keepBudget() {
        guard size > count.capacity, let budget = policy.budgetPerHour else { return }
        guard let price = input.memberPricePerHour, price.currency == budget.currency else {
            note(
                .budget, count.capacity, "the price of a member is not known, so the budget cannot be kept", remedy: "a price for the type")
            alarms.append(
                "policy \(policy.name): a budget is set but a member's price in \(budget.currency) is not known; it does not grow")
            return
        }
        guard price.trillionths > 0 else { return }
        let affordable = Int(min(budget.trillionths / price.trillionths, 1_000_000)) - (count.notGone - count.capacity)
        guard affordable < size else { return }
        note(
            .budget, max(count.capacity, affordable), "the budget pays for \(max(0, affordable))",
            remedy: "a higher budget or a cheaper type")
    }

    /// N+1: growth keeps room for every host's loss; shrinking leaves enough members whichever host is lost.
    mutating func guardFailover() {
        guard policy.keepsFailover, size != count.capacity else { return }
        if size > count.capacity {
            guard let room = input.roomKeepingFailover, count.capacity + room < size else { return }
            note(
                .failoverGuard, count.capacity + max(0, room), "more than \(room) would leave no room for a host's guests when it fails",
                remedy: "capacity on another host")
            return
        }
        let needed = max(1, min(policy.min, count.capacity), neededAtFull())
        var kept = size
        while kept < count.capacity, survivors(of: kept) < needed { kept += 1 }
        guard kept != size else { return }
        note(
            .failoverGuard, kept,
            "with \(size), the loss of the fullest host would leave \(survivors(of: size)) where \(needed) are needed",
            remedy: "members spread over more hosts")
    }

    /// Members that the load needs when each runs at its ceiling.
    private func neededAtFull() -> Int {
        var needed = 0
        for (target, measurement) in zip(policy.targets, input.targets) {
            guard let value = measurement.value else { continue }
            switch target.goal {
            case .average(let goal, let ceiling):
                needed = max(needed, roundedUp(value * Double(count.measured) / max(ceiling ?? goal, goal)))
            case .perMember(let goal): needed = max(needed, roundedUp(value / goal))
            }
        }
        return needed
    }

    /// Members left when, after shrinking to `size`, the host with most of them is lost.
    private func survivors(of size: Int) -> Int {
        let gone = Set(Victims.choose(count.capacity - size, policy: policy, input: input))
        let left = input.members.filter { $0.state.isCapacity && !gone.contains($0.guest) }
        var perHost: [HostName: Int] = [:]
        for member in left { if let host = member.host { perHost[host, default: 0] += 1 } }
        return left.count - (perHost.values.max() ?? 0)
    }

    /// Invariant 3, once more at the end, whatever stage asked for it.
    mutating func refuseToShrinkOnUnknown() {
        guard isUnknown, input.operatorSize == nil, size < count.capacity else { return }
        note(
            .combine, count.capacity, "nothing shrinks on an unknown, not even to the bounds", remedy: "a value for the unknown query")
    }

    /// Invariant 2: members not proven gone, those to be launched included, never exceed `max`.
    mutating func launches() -> Int {
        let wanted = max(0, size - count.capacity)
        guard wanted > 0 else { return 0 }
        let room = max(0, policy.max - count.notGone)
        var launches = min(wanted, room)
        if launches < wanted {
            stages.append(
                StageRecord(
                    stage: .notGone, before: wanted, after: launches,
                    reason: "\(count.notGone) members are not proven gone and \(policy.max) is the most",
                    remedy: "clearing away failed and leaving members, or finding the unknown ones"))
        }
        if launches > 0, let pause = breakerPause() {
            let isTrial = pause <= .zero
            let before = launches
            launches = isTrial ? 1 : 0
            if launches < before {
                stages.append(
                    StageRecord(
                        stage: .breaker, before: before, after: launches,
                        reason: "\(input.failuresInARow) creations in a row failed: "
                            + (isTrial ? "one is tried" : "nothing is tried for \(spoken(pause))"),
                        remedy: "a creation that succeeds"))
            }
        }
        return launches
    }

    /// How long the open breaker still pauses; zero or less where one trial is due; nil while it is closed.
    private func breakerPause() -> Duration? {
        guard input.failuresInARow >= Scaling.breakerFailures, let last = input.lastFailure else { return nil }
        let doublings = min(input.failuresInARow - Scaling.breakerFailures, 10)
        return min(Scaling.breakerPauseMaximum, Scaling.breakerPause * (1 << doublings)) - (input.now.uptime - last)
    }

    mutating func victims(count excess: Int) -> [GuestID] {
        guard excess > 0 else { return [] }
        // Members on hosts that do not answer count as capacity when growing; when shrinking they may be gone already.
        let unseen = input.members.count { $0.state == .unknown }
        let wanted = max(0, excess - unseen)
        if wanted < excess {
            stages.append(
                StageRecord(
                    stage: .victims, before: count.capacity - excess, after: count.capacity - wanted,
                    reason: "\(counted(unseen, "member")) on hosts that do not answer may be gone: fewer are stopped",
                    remedy: "an answer of those hosts"))
        }
        guard wanted > 0 else { return [] }
        let chosen = Victims.choose(wanted, policy: policy, input: input)
        if chosen.count < wanted {
            stages.append(
                StageRecord(
                    stage: .victims, before: count.capacity - wanted, after: count.capacity - chosen.count,
                    reason: "only \(chosen.count) of \(wanted) may be stopped: " + Victims.exclusions(policy: policy, input: input),
                    remedy: "members of ours that are free to stop"))
        }
        return chosen
    }

    /// Unhealthy members to stop: few at a time, and none where the fault looks like ours.
    func replacements(besides leaving: Int) -> (guests: [GuestID], alarms: [String]) {
        guard policy.replacesUnhealthy, leaving == 0 else { return ([], []) }
        let now = input.now.uptime
        let sick = input.members.filter { $0.state == .unhealthy }
        guard !sick.isEmpty else { return ([], []) }
        let sudden = sick.count { now - ($0.unhealthySince ?? now) <= .seconds(60) }
        if sick.count > 1, sudden * 10 > count.capacity * 3 {
            return (
                [],
                [
                    "group \(policy.group): \(sudden) of \(count.capacity) turned unhealthy within a minute; none is replaced, look at the network between Steward and them"
                ]
            )
        }
        let moving = sick.count { $0.countersMove == true }
        if sick.count > 1, moving * 2 > sick.count {
            return (
                [],
                [
                    "group \(policy.group): \(sick.count) fail their health check, but \(moving) still work; none is replaced, look at the check's way to them"
                ]
            )
        }
        let busy = input.members.count { $0.state == .draining || $0.state.isPending || $0.state == .failed }
        let room = max(1, count.capacity / 10) - busy
        let chosen = sick.filter { Victims.mayStop($0, now: now) }
            .sorted { ($0.unhealthySince ?? now, $0.guest) < ($1.unhealthySince ?? now, $1.guest) }
        return (chosen.prefix(max(0, room)).map(\.guest), [])
    }
}
