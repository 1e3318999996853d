import Decisions
import Fleet
import Plans

/// Splitmix64: a seed replays.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

func guest(_ number: Int) -> GuestID { GuestID(high: 0, low: UInt64(number)) }

func moment(_ seconds: Int64) -> Moment { Moment(wall: Timestamp(seconds: 1_000_000 + seconds), uptime: .seconds(seconds)) }

/// A group: so many members in service, numbered from 1, launched in that order, over the given hosts and zones in turn.
func members(_ count: Int, hosts: [HostName] = ["a", "b", "c"], zones: [String] = ["z1", "z2", "z3"]) -> [GroupMember] {
    (0..<count).map {
        GroupMember(
            guest($0 + 1), .inService, host: hosts[$0 % hosts.count], zone: zones[$0 % zones.count], launchedAt: .seconds(-10_000 + $0))
    }
}

/// A policy that acts at once, so that a test sees the stage it is about.
func plainPolicy(min: Int = 1, max: Int = 20, _ goal: ScalingTarget.Goal = .average(0.6, ceiling: 1)) -> ScalingPolicy {
    var policy = ScalingPolicy(name: "web", group: "web", min: min, max: max)
    policy.targets = [ScalingTarget(query: "load", goal: goal)]
    policy.scaleIn = DirectionRules(stabilization: .zero, limits: [])
    return policy
}

func input(_ members: [GroupMember], _ value: Double?, matched: Int? = nil, at seconds: Int64 = 10_000) -> ScalingInput {
    ScalingInput(
        now: moment(seconds), members: members,
        targets: [Measurement(value, membersMatched: matched ?? members.count { $0.state.isMeasured })])
}
