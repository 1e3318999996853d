public import Fleet

/// The stages of a scaling decision, in their order.
public enum ScalingStage: String, Hashable, Sendable, CaseIterable {
    /// A query's value against its target or its bands.
    case measure
    /// Too near to the target to act.
    case tolerance
    /// Members that the metric should show and does not.
    case missingMembers = "missing members"
    /// The largest wish wins; an unknown one blocks shrinking.
    case combine
    /// An operator's word.
    case operatorSize = "operator"
    /// What the forecast adds.
    case forecast
    /// What the window agrees on.
    case stabilization
    /// How fast it may change.
    case rateLimit = "rate limit"
    /// What it may cost.
    case budget
    /// The calendar's bounds.
    case schedule
    /// The policy's bounds.
    case bounds
    /// What a host's loss must leave.
    case failoverGuard = "failover guard"
    /// Members that are not proven gone take the places of new ones.
    case notGone = "not proven gone"
    /// Too many creations failed.
    case breaker
    /// Who may be stopped.
    case victims
}

/// What one stage made of the size.
public struct StageRecord: Hashable, Sendable {
    /// The stage.
    public let stage: ScalingStage
    /// The size that came in.
    public let before: Int
    /// The size that went out.
    public let after: Int
    /// Why, one sentence without a full stop.
    public let reason: String
    /// What would have to be different for this stage to let the size through; nil where it did.
    public let remedy: String?
}

/// What a tick decided for a group, with the whole chain.
public struct ScalingDecision: Hashable, Sendable {
    /// Members that count as capacity now.
    public let current: Int
    /// The size to have.
    public let desired: Int
    /// The size that the measurements ask for, to be kept as history for the windows.
    public let recommendation: Int
    /// How many members to launch.
    public let launches: Int
    /// Whom to stop, in order.
    public let terminations: [GuestID]
    /// Half-made or dead members of ours to clear away.
    public let cleanups: [GuestID]
    /// Unhealthy members to stop, to be replaced at a later tick.
    public let replacements: [GuestID]
    /// The chain.
    public let stages: [StageRecord]
    /// What an operator should be told at once.
    public let alarms: [String]
    /// Whether any target was unknown.
    public let isUnknown: Bool

    /// The stage that decided: the last that held the size back or, where none did, the one that asked for it.
    public var binding: StageRecord? {
        stages.last { $0.remedy != nil && $0.before != $0.after } ?? stages.last { $0.remedy != nil }
            ?? stages.last { $0.before != $0.after } ?? stages.last
    }
}
