import Fleet

/// What one target or step rule asks for.
struct Wish {
    enum Vote: Hashable {
        case size(Int)
        case unknown
        case none
    }

    var vote: Vote
    var stages: [StageRecord]
}

/// Counts of a group at one moment.
struct Headcount {
    let capacity: Int
    let pending: Int
    let measured: Int
    let notGone: Int

    init(_ members: [GroupMember]) {
        capacity = members.count { $0.state.isCapacity }
        pending = members.count { $0.state.isPending }
        measured = members.count { $0.state.isMeasured }
        notGone = members.count
    }
}

/// The smallest whole number not below `value`, forgiving the last bits of a division.
func roundedUp(_ value: Double) -> Int {
    let up = (value - 1e-9).rounded(.up)
    return up >= 1e9 ? 1_000_000_000 : max(0, Int(up))
}

extension Scaling {
    /// The HPA's arithmetic for one target, with bounds for members that are missing.
    static func wish(_ target: ScalingTarget, _ measurement: Measurement, _ count: Headcount) -> Wish {
        let matched = min(measurement.membersMatched ?? count.measured, count.measured)
        let found = resolve(
            measurement, query: target.query, absent: target.absent, coverage: target.coverage, matched: matched, count: count)
        guard case .value(let value) = found else { return found.wish(count) }
        let missing = measurement.membersMatched == nil ? 0 : count.measured - matched
        let load: Double
        let goal = target.goal.value
        let first: Double
        switch target.goal {
        case .average:
            guard matched > 0 else { return unknown("\(target.query): no member in service to measure", "a member in service", count) }
            load = value * Double(matched)
            first = value / goal
        case .perMember:
            load = value
            first = count.capacity == 0 ? (value > 0 ? .infinity : 1) : value / (goal * Double(count.capacity))
        }
        let basis = "\(target.query) = \(decimal(value)) of \(decimal(goal))" + evidence(measurement, count)
        if let near = tolerated(first, target, basis: basis, count) { return near }
        return first > 1
            ? growth(target, load: load, basis: basis, first: first, missing: missing, count)
            : shrinkage(target, load: load, basis: basis, missing: missing, count)
    }

    private static func tolerated(_ ratio: Double, _ target: ScalingTarget, basis: String, _ count: Headcount) -> Wish? {
        let (allowed, side) = ratio > 1 ? (target.toleranceOut, "above") : (target.toleranceIn, "below")
        guard abs(ratio - 1) <= allowed + 1e-9 else { return nil }
        let reason = "\(basis): \(percent(abs(ratio - 1))) \(side) the target, within the tolerance of \(percent(allowed))"
        return Wish(
            vote: .size(count.capacity),
            stages: [
                StageRecord(
                    stage: .tolerance, before: count.capacity, after: count.capacity, reason: reason,
                    remedy: ratio == 1 ? nil : "a tolerance below \(percent(abs(ratio - 1)))")
            ])
    }

    /// Growing: members that are silent or on their way in are taken to carry nothing.
    private static func growth(
        _ target: ScalingTarget, load: Double, basis: String, first: Double, missing: Int, _ count: Headcount
    ) -> Wish {
        let size = max(count.capacity, roundedUp(load / target.goal.value))
        let asked = StageRecord(stage: .measure, before: count.capacity, after: size, reason: "\(basis) asks for \(size)", remedy: nil)
        guard case .average = target.goal, missing + count.pending > 0 else { return Wish(vote: .size(size), stages: [asked]) }
        let all = count.measured + count.pending
        let bounded = load / (target.goal.value * Double(all))
        let names = "\(counted(missing, "silent member")) and \(count.pending) on the way in taken at 0"
        if bounded <= 1 + target.toleranceOut + 1e-9 {
            return Wish(
                vote: .size(count.capacity),
                stages: [
                    asked,
                    StageRecord(
                        stage: .missingMembers, before: size, after: count.capacity,
                        reason: "with \(names) the load is \(percent(bounded)) of the target: hold",
                        remedy: missing > 0 ? "samples of the silent members" : "the new members' load, once they have warmed up"),
                ])
        }
        return Wish(
            vote: .size(size),
            stages: [
                asked,
                StageRecord(
                    stage: .missingMembers, before: size, after: size, reason: "with \(names) it still asks for \(size)", remedy: nil),
            ])
    }

    /// Shrinking: silent members are taken to be full, and nothing shrinks while members are on their way in.
    private static func shrinkage(_ target: ScalingTarget, load: Double, basis: String, missing: Int, _ count: Headcount) -> Wish {
        let goal = target.goal.value
        let wanted = min(count.capacity, roundedUp(load / goal))
        var stages = [
            StageRecord(stage: .measure, before: count.capacity, after: wanted, reason: "\(basis) asks for \(wanted)", remedy: nil)
        ]
        if wanted < count.capacity, count.pending > 0 {
            stages.append(
                StageRecord(
                    stage: .missingMembers, before: wanted, after: count.capacity,
                    reason: "\(count.pending) on the way in: nothing shrinks before they show their load",
                    remedy: "members that have warmed up"))
            return Wish(vote: .size(count.capacity), stages: stages)
        }
        guard missing > 0 else { return Wish(vote: .size(wanted), stages: stages) }
        let each: Double
        switch target.goal {
        case .average(_, let ceiling): each = max(ceiling ?? goal, goal)
        case .perMember: each = goal
        }
        let bounded = load + each * Double(missing)
        let ratio = bounded / (goal * Double(max(1, count.measured)))
        let names = "\(counted(missing, "silent member")) taken at \(decimal(each)) each"
        let size = ratio >= 1 - target.toleranceIn - 1e-9 ? count.capacity : min(count.capacity, roundedUp(bounded / goal))
        stages.append(
            StageRecord(
                stage: .missingMembers, before: wanted, after: size,
                reason: size == count.capacity ? "with \(names) nothing is to spare: hold" : "with \(names) it asks for \(size)",
                remedy: size > wanted ? "samples of the silent members" : nil))
        return Wish(vote: .size(size), stages: stages)
    }

    /// Step scaling for one rule.
    static func wish(_ rule: StepScaling, _ measurement: Measurement, _ count: Headcount) -> Wish {
        let matched = min(measurement.membersMatched ?? count.measured, count.measured)
        let found = resolve(
            measurement, query: rule.query, absent: rule.absent, coverage: rule.coverage, matched: matched, count: count)
        guard case .value(let value) = found else { return found.wish(count) }
        let basis = "\(rule.query) = \(decimal(value))" + evidence(measurement, count)
        let size = rule.bands.first { $0.holds(value) }?.change.applied(to: count.capacity) ?? count.capacity
        let asked = StageRecord(
            stage: .measure, before: count.capacity, after: size,
            reason: size == count.capacity
                ? "\(basis) lies in no band that changes the size" : "\(basis) lies in a band that asks for \(size)",
            remedy: nil)
        let missing = measurement.membersMatched == nil ? 0 : count.measured - matched
        if size < count.capacity, missing + count.pending > 0 {
            return held(asked, "\(missing) silent and \(count.pending) on the way in: a band cannot shrink on a part of the group", count)
        }
        if size > count.capacity, missing + count.pending > 0, measurement.membersMatched != nil {
            let bounded = value * Double(matched) / Double(count.measured + count.pending)
            let again = rule.bands.first { $0.holds(bounded) }?.change.applied(to: count.capacity) ?? count.capacity
            if again <= count.capacity {
                return held(
                    asked, "with \(missing) silent and \(count.pending) on the way in taken at 0 it is \(decimal(bounded)): hold", count)
            }
        }
        return Wish(vote: .size(size), stages: [asked])
    }

    private static func held(_ asked: StageRecord, _ reason: String, _ count: Headcount) -> Wish {
        Wish(
            vote: .size(count.capacity),
            stages: [
                asked,
                StageRecord(
                    stage: .missingMembers, before: asked.after, after: count.capacity, reason: reason, remedy: "samples of every member"),
            ])
    }

    private enum Found {
        case value(Double)
        case unknown(String, remedy: String)
        case ignored(String)

        func wish(_ count: Headcount) -> Wish {
            switch self {
            case .value: Wish(vote: .none, stages: [])
            case .unknown(let reason, let remedy): Scaling.unknown(reason, remedy, count)
            case .ignored(let reason):
                Wish(
                    vote: .none,
                    stages: [
                        StageRecord(stage: .measure, before: count.capacity, after: count.capacity, reason: reason, remedy: nil)
                    ])
            }
        }
    }

    private static func unknown(_ reason: String, _ remedy: String, _ count: Headcount) -> Wish {
        Wish(
            vote: .unknown,
            stages: [
                StageRecord(
                    stage: .missingMembers, before: count.capacity, after: count.capacity, reason: "unknown: \(reason)", remedy: remedy)
            ])
    }

    private static func resolve(
        _ measurement: Measurement, query: String, absent: AbsentMeaning, coverage: Double, matched: Int, count: Headcount
    ) -> Found {
        guard let value = measurement.value, value >= 0 else {
            let why = measurement.failure ?? (measurement.value == nil ? "no value" : "a negative value")
            // Only silence has a meaning of its own; a source that failed is never taken for a silent one.
            guard measurement.failure == nil, measurement.value == nil else { return .unknown("\(query): \(why)", remedy: "a value") }
            switch absent {
            case .hold: return .unknown("\(query): \(why)", remedy: "a value")
            case .ignore: return .ignored("\(query): \(why); ignored, as the policy says")
            case .zero: return .value(0)
            }
        }
        if measurement.membersMatched != nil, count.measured > 0, Double(matched) < coverage * Double(count.measured) - 1e-9 {
            return .unknown(
                "\(query): \(matched) of \(counted(count.measured, "member")) have fresh samples, less than \(percent(coverage))",
                remedy: "fresh samples of at least \(percent(coverage)) of the members")
        }
        return .value(value)
    }

    private static func evidence(_ measurement: Measurement, _ count: Headcount) -> String {
        guard let matched = measurement.membersMatched else { return "" }
        return " (\(matched) of \(count.measured) members" + (measurement.oldest.map { ", oldest sample \(spoken($0)) old" } ?? "") + ")"
    }
}
