public import Fleet

/// A plan's number: unique in one journal, rising.
public struct PlanID: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    /// The number, from 1.
    public let number: UInt64

    /// A plan's number.
    public init(_ number: UInt64) {
        self.number = number
    }

    /// Orders by number.
    public static func < (left: PlanID, right: PlanID) -> Bool { left.number < right.number }
    /// `plan 17`.
    public var description: String { "plan \(number)" }
}

/// Who wants something done, in rising precedence.
///
/// An operator's own command for one guest ranks with `drain`.
public enum Decider: Int, Hashable, Comparable, Codable, Sendable, CaseIterable, CustomStringConvertible {
    /// Even load.
    case balance
    /// The size of a group.
    case scaling
    /// Affinity and the other placement rules.
    case rules
    /// Emptying a host, or an operator's command.
    case drain
    /// Bringing back the guests of a dead host.
    case evacuation

    /// Orders by precedence, weaker first.
    public static func < (left: Decider, right: Decider) -> Bool { left.rawValue < right.rawValue }

    /// The word in logs and reasons.
    public var description: String {
        switch self {
        case .balance: "balance"
        case .scaling: "scaling"
        case .rules: "rules"
        case .drain: "drain"
        case .evacuation: "evacuation"
        }
    }
}

/// How far a policy may go.
public enum PolicyMode: String, Hashable, Codable, Sendable, CaseIterable {
    /// Decide and record, do nothing.
    case observe
    /// Do it after an operator has approved the plan.
    case approve
    /// Do it.
    case auto
}

/// One step of a plan.
public struct Step: Hashable, Codable, Sendable {
    /// What to do.
    public let action: Action
    /// The indices of the steps that must be done first; each lower than this step's own.
    public let after: [Int]
    /// How often it may be tried, at least 1.
    public let attempts: Int
    /// How long one attempt may take before the driver gives up on it.
    public let deadline: Duration
    /// Whether the steps after it go on when it fails: a drain that nobody answered, a notice that did not arrive.
    public let isAdvisory: Bool

    /// A step; by default tried once, within two minutes.
    public init(_ action: Action, after: [Int] = [], attempts: Int = 1, deadline: Duration = .seconds(120), isAdvisory: Bool = false) {
        self.action = action
        self.after = after
        self.attempts = max(1, attempts)
        self.deadline = deadline
        self.isAdvisory = isAdvisory
    }
}

/// What is wanted, why, in which steps, and until when.
public struct Plan: Hashable, Codable, Sendable {
    /// The most steps of a plan: 1,000 guests evacuated in 10 steps each.
    public static let stepsMaximum = 10_000

    /// The number.
    public let id: PlanID
    /// The generation of the policy set from which it was made; a newer one replaces a plan that has not begun.
    public let generation: UInt64
    /// The owner's epoch under which it was made; a plan of an older epoch needs an operator.
    public let epoch: UInt64
    /// Who wants it.
    public let decider: Decider
    /// The policy, where one asked for it.
    public let policy: String?
    /// What it answers to, such as an incident; two open plans never have the same cause.
    public let cause: String?
    /// How far it may go.
    public let mode: PolicyMode
    /// When it was made.
    public let madeAt: Timestamp
    /// How long it may be begun: no step starts later.
    public let lifetime: Duration
    /// Why, for the operator, most important first.
    public let reasons: [String]
    /// What to do.
    public let steps: [Step]

    /// A plan; it may be begun for ten minutes unless told otherwise.
    public init(
        id: PlanID, generation: UInt64 = 0, epoch: UInt64 = 0, decider: Decider, policy: String? = nil, cause: String? = nil,
        mode: PolicyMode, madeAt: Timestamp, lifetime: Duration = .seconds(600), reasons: [String] = [], steps: [Step]
    ) {
        self.id = id
        self.generation = generation
        self.epoch = epoch
        self.decider = decider
        self.policy = policy
        self.cause = cause
        self.mode = mode
        self.madeAt = madeAt
        self.lifetime = lifetime
        self.reasons = reasons
        self.steps = steps
    }

    /// The guests that it touches, sorted.
    public var guests: [GuestID] {
        var seen: Set<GuestID> = []
        return steps.compactMap(\.action.guest).filter { seen.insert($0).inserted }.sorted()
    }

    /// What makes the plan impossible to carry out, or nil.
    public var flaw: String? {
        if steps.isEmpty { return "it has no steps" }
        if steps.count > Plan.stepsMaximum { return "it has \(steps.count) steps, more than \(Plan.stepsMaximum)" }
        for (index, step) in steps.enumerated() {
            if let bad = step.after.first(where: { $0 < 0 || $0 >= index }) {
                return "step \(index) waits for step \(bad), which does not come before it"
            }
        }
        return nil
    }
}

/// One step of one plan.
public struct StepReference: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    /// The plan.
    public let plan: PlanID
    /// The step's index, from 0.
    public let index: Int

    /// A step of a plan.
    public init(_ plan: PlanID, _ index: Int) {
        self.plan = plan
        self.index = index
    }

    /// Orders by plan, then step.
    public static func < (left: StepReference, right: StepReference) -> Bool { (left.plan, left.index) < (right.plan, right.index) }
    /// `plan 17 step 2`.
    public var description: String { "\(plan) step \(index)" }
}
