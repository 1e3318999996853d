public import Fleet
public import Plans

/// Settles who gets a guest when several deciders want it in one tick.
///
/// The executor enforces the same order again, against plans of earlier ticks, when a plan is submitted.
public enum Arbitration {
    /// What became of a plan.
    public struct Verdict: Hashable, Sendable {
        /// The plan with the steps that may go on; nil where none is left.
        public let plan: Plan?
        /// Guests that another has, and who.
        public let refusals: [Refusal]
    }

    /// A guest that a plan does not get.
    public struct Refusal: Hashable, Sendable {
        /// The guest.
        public let guest: GuestID
        /// Why.
        public let reason: String
    }

    /// Verdicts in the order of the plans.
    ///
    /// A stronger decider takes a guest from a weaker one; among equals the lower number does.
    ///
    /// A plan loses all steps of a guest that it does not get, and every step that waits for one of those.
    public static func settle(_ plans: [Plan]) -> [Verdict] {
        var owners: [GuestID: Plan] = [:]
        for plan in plans where plan.mode != .observe {
            for guest in plan.guests {
                guard let owner = owners[guest] else {
                    owners[guest] = plan
                    continue
                }
                if (owner.decider, plan.id) < (plan.decider, owner.id) { owners[guest] = plan }
            }
        }
        return plans.map { plan in
            if plan.mode == .observe { return Verdict(plan: plan, refusals: []) }
            let lost = plan.guests.compactMap { guest -> Refusal? in
                guard let owner = owners[guest], owner.id != plan.id else { return nil }
                return Refusal(guest: guest, reason: "guest \(guest) goes to \(owner.id): \(owner.decider) comes before \(plan.decider)")
            }
            return lost.isEmpty
                ? Verdict(plan: plan, refusals: []) : Verdict(plan: reduced(plan, without: Set(lost.map(\.guest))), refusals: lost)
        }
    }

    private static func reduced(_ plan: Plan, without lost: Set<GuestID>) -> Plan? {
        var newIndex: [Int?] = []
        var steps: [Step] = []
        for step in plan.steps {
            let mapped = step.after.map { newIndex[$0] }
            if step.action.guest.map({ lost.contains($0) }) == true || mapped.contains(nil) {
                newIndex.append(nil)
                continue
            }
            newIndex.append(steps.count)
            steps.append(
                Step(
                    step.action, after: mapped.compactMap { $0 }, attempts: step.attempts, deadline: step.deadline,
                    isAdvisory: step.isAdvisory))
        }
        guard !steps.isEmpty else { return nil }
        return Plan(
            id: plan.id, generation: plan.generation, epoch: plan.epoch, decider: plan.decider, policy: plan.policy, cause: plan.cause,
            mode: plan.mode, madeAt: plan.madeAt, lifetime: plan.lifetime, reasons: plan.reasons, steps: steps)
    }
}
