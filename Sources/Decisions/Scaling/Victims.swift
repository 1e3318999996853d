import Fleet
import Plans

/// Chooses who is stopped.
enum Victims {
    /// Whether a member may be stopped at all.
    static func mayStop(_ member: GroupMember, now: Duration) -> Bool { obstacle(member, now: now) == nil }

    static func obstacle(_ member: GroupMember, now: Duration) -> String? {
        if !member.isOurs { return "not made or adopted by Steward" }
        if let until = member.protectedUntil, until > now { return "protected" }
        if member.isBusy { return "busy" }
        if member.isMoving { return "being moved" }
        switch member.state {
        case .inService, .unhealthy: return nil
        case .wanted, .starting, .warming: return "on the way in"
        case .draining: return "leaving"
        case .failed: return "failed"
        case .unknown: return "on a host that does not answer"
        }
    }

    /// Up to `count` victims, in the order in which they go; the last member of a zone is spared while another zone has several.
    static func choose(_ count: Int, policy: ScalingPolicy, input: ScalingInput) -> [GuestID] {
        guard count > 0 else { return [] }
        var left = input.members.filter { $0.state.isCapacity }.sorted { $0.guest < $1.guest }
        var chosen: [GuestID] = []
        while chosen.count < count {
            let zones = tally(left, \.zone)
            let hosts = tally(left, \.host)
            let isSomeZoneCrowded = zones.values.contains { $0 > 1 }
            var best: (index: Int, keys: [Double])?
            for (index, member) in left.enumerated() where mayStop(member, now: input.now.uptime) {
                if isSomeZoneCrowded, let zone = member.zone, zones[zone] == 1 { continue }
                let keys = policy.victims.map { key($0, member, zones: zones, hosts: hosts) }
                if best.map({ keys.lexicographicallyPrecedes($0.keys) }) ?? true { best = (index, keys) }
            }
            guard let best else { break }
            chosen.append(left.remove(at: best.index).guest)
        }
        return chosen
    }

    private static func tally<Key: Hashable>(_ members: [GroupMember], _ key: (GroupMember) -> Key?) -> [Key: Int] {
        var counts: [Key: Int] = [:]
        for member in members { if let key = key(member) { counts[key, default: 0] += 1 } }
        return counts
    }

    /// Smaller goes first.
    private static func key(_ order: VictimOrder, _ member: GroupMember, zones: [String: Int], hosts: [HostName: Int]) -> Double {
        switch order {
        case .unhealthy: member.state == .unhealthy ? 0 : 1
        case .crowdedZone: -Double(member.zone.flatMap { zones[$0] } ?? 0)
        case .crowdedHost: -Double(member.host.flatMap { hosts[$0] } ?? 0)
        case .newest: -Double(member.launchedAt.milliseconds)
        case .oldest: Double(member.launchedAt.milliseconds)
        }
    }

    /// Why the others may not be stopped, by reason.
    static func exclusions(policy: ScalingPolicy, input: ScalingInput) -> String {
        var reasons: [String: Int] = [:]
        for member in input.members where member.state.isCapacity {
            reasons[obstacle(member, now: input.now.uptime) ?? "the last of their zone", default: 0] += 1
        }
        let stopped = "the last of their zone"
        return reasons.sorted { $0.key < $1.key }.filter { $0.key != stopped || reasons.count == 1 }
            .map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    }
}
