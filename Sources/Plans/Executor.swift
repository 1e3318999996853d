public import Fleet

/// How much may be done at once, and in an hour.
public struct ExecutorLimits: Hashable, Sendable {
    /// Steps in flight over the whole fleet: what a bounded pool of threads can watch.
    public var stepsAtOnce = 64
    /// Steps in flight that touch one host: libvirtd has 20 workers and others need them too.
    public var stepsPerHost = 4
    /// Migrations in flight that touch one host: more share one link and all converge later.
    public var migrationsPerHost = 2
    /// Disruptive steps begun in any hour; evacuation and drain are counted but never held back by it.
    public var disruptionsPerHour = 60
    /// Plans open at once; a further one is refused.
    public var openPlans = 1000
    /// The pause before the world is looked at again; doubles up to `pauseMaximum`.
    public var pause = Duration.seconds(1)
    /// The longest pause between two looks.
    public var pauseMaximum = Duration.seconds(60)

    /// The default limits.
    public init() {}
}

/// What a look at the world said about a step's expectation.
public enum Observation: Hashable, Sendable {
    /// What the step wants is so.
    case inEffect(evidence: String)
    /// It is not so, and nothing stands in the way of making it so.
    case notInEffect
    /// It is being made so, by us or by a job of an earlier life of ours: wait.
    case underWay
    /// It is not so and must not be done: the world has changed since the plan was made.
    case prevented(String)
    /// The world could not be read.
    case unknown(String)
}

/// What the driver tells the executor.
public enum ExecutorEvent: Hashable, Sendable {
    /// A decider wants a plan carried out.
    case submit(Plan)
    /// An operator approves.
    case approve(PlanID, by: String)
    /// An operator rejects; steps in flight are still seen to their end.
    case reject(PlanID, by: String)
    /// The journal's rows up to this one are durable.
    case persisted(through: UInt64)
    /// The call of an `act` came back or ran into its deadline; nil means that it claims success, which the next look checks.
    case returned(StepReference, failure: String?)
    /// A look came back.
    case looked(StepReference, Observation)
    /// Stop every automatic effect.
    case disarm(until: Timestamp?, by: String)
    /// Allow them again.
    case arm(by: String)
    /// Time has passed.
    case tick
}

/// What the executor asks of the driver, in order.
public enum ExecutorEffect: Hashable, Sendable {
    /// Append these rows, then report `persisted`.
    case persist([JournalEntry])
    /// Look whether the action's expectation holds, then report `looked`.
    case look(StepReference, Action)
    /// Do it, then report `returned`. Its `begun` row is durable.
    case act(StepReference, Action, attempt: Int, deadline: Duration)
    /// The plan was not accepted.
    case refused(PlanID, reason: String)
    /// The plan has ended.
    case closed(PlanID, PlanOutcome)
}

/// Carries plans out, as a pure state machine.
///
/// The rules: a row is durable before its act; each act lies between two looks at the world; after a crash, steps in doubt are looked at
/// before anything else; a guest belongs to one plan at a time, by precedence. Feed it every event in order; carry its effects out in
/// order; it never blocks.
public struct Executor: Sendable {
    /// The limits.
    public let limits: ExecutorLimits
    /// The owner's epoch.
    public let epoch: UInt64
    /// The plans that have not ended, strongest decider first, then oldest.
    public internal(set) var open: [OpenPlan] = []
    /// Until when everything is stopped; nil while armed.
    public internal(set) var disarmed: Disarm?
    /// The number for the next plan.
    public internal(set) var nextPlan = PlanID(1)

    var nextSequence: UInt64 = 1
    var claims: [GuestID: PlanID] = [:]
    var inFlight: [GuestID: PlanID] = [:]
    var inFlightCount: [GuestID: Int] = [:]
    var stepsInFlight = 0
    var hostLoad: [HostName: HostLoad] = [:]
    var disruptions: [Duration] = []
    var awaitingDisk: [(sequence: UInt64, step: StepReference)] = []

    struct HostLoad {
        var steps = 0
        var migrations = 0
    }

    /// A stop of every automatic effect.
    public struct Disarm: Hashable, Sendable {
        /// The end on the monotonic clock; nil means until armed.
        public let until: Duration?
        /// Who asked.
        public let by: String
    }

    /// A plan that has not ended.
    public struct OpenPlan: Sendable {
        /// The plan.
        public let plan: Plan
        /// Whether it may be carried out.
        public internal(set) var isApproved: Bool
        /// The state of each step.
        public internal(set) var steps: [StepState]
        /// On the monotonic clock: no step is begun later.
        public let expiry: Duration
        var isRejected = false
    }

    /// Where a step stands.
    public enum StepState: Hashable, Sendable {
        /// Not looked at since `attempts` attempts; not before `notBefore`, after `looks` fruitless looks.
        case waiting(attempts: Int, notBefore: Duration, looks: Int)
        /// Being looked at before the next attempt.
        case checking(attempts: Int, looks: Int)
        /// Its `begun` row is on its way to the disk.
        case writing(attempt: Int)
        /// The driver is doing it.
        case acting(attempt: Int)
        /// Being looked at after the attempt; `failure` is what the call said.
        case verifying(attempt: Int, failure: String?, looks: Int)
        /// To be looked at again.
        case resting(attempt: Int, failure: String?, until: Duration, looks: Int)
        /// Ended.
        case settled(StepOutcome)

        /// Whether an attempt may be changing the world.
        var isInFlight: Bool {
            switch self {
            case .writing, .acting, .verifying, .resting: true
            case .waiting, .checking, .settled: false
            }
        }
    }

    /// An executor with an empty journal behind it.
    public init(limits: ExecutorLimits = ExecutorLimits(), epoch: UInt64 = 0) {
        self.limits = limits
        self.epoch = epoch
    }

    /// Takes one event and says what to do.
    public mutating func step(_ event: ExecutorEvent, now: Moment) -> [ExecutorEffect] {
        var round = Round(now: now)
        if let until = disarmed?.until, now.uptime >= until {
            disarmed = nil
            write(.armed(by: "the end of the disarm"), in: &round)
        }
        switch event {
        case .submit(let plan): submit(plan, in: &round)
        case .approve(let id, let by): approve(id, by: by, in: &round)
        case .reject(let id, let by): reject(id, by: by, in: &round)
        case .persisted(let sequence): release(through: sequence, in: &round)
        case .returned(let step, let failure): returned(step, failure: failure, in: &round)
        case .looked(let step, let observation): looked(step, observation, in: &round)
        case .disarm(let until, let by):
            disarmed = Disarm(until: until.map { now.uptime + ($0 - now.wall) }, by: by)
            write(.disarmed(until: until, by: by), in: &round)
        case .arm(let by):
            disarmed = nil
            write(.armed(by: by), in: &round)
        case .tick: break
        }
        advance(in: &round)
        return (round.entries.isEmpty ? [] : [.persist(round.entries)]) + round.effects
    }

    struct Round {
        let now: Moment
        var entries: [JournalEntry] = []
        var effects: [ExecutorEffect] = []
    }

    mutating func write(_ record: JournalEntry.Record, in round: inout Round) {
        round.entries.append(JournalEntry(sequence: nextSequence, at: round.now.wall, record: record))
        nextSequence += 1
    }

    func position(_ id: PlanID) -> Int? { open.firstIndex { $0.plan.id == id } }

    func state(_ step: StepReference) -> (plan: Int, state: StepState)? {
        guard let plan = position(step.plan), open[plan].steps.indices.contains(step.index) else { return nil }
        return (plan, open[plan].steps[step.index])
    }
}

// MARK: Plans

extension Executor {
    mutating func submit(_ plan: Plan, in round: inout Round) {
        if let reason = refusal(of: plan) {
            round.effects.append(.refused(plan.id, reason: reason))
            return
        }
        nextPlan = PlanID(plan.id.number + 1)
        write(.accepted(plan), in: &round)
        if plan.mode == .observe {
            write(.closed(plan.id, .observed, note: "its policy observes"), in: &round)
            round.effects.append(.closed(plan.id, .observed))
            return
        }
        for older in open where isReplaced(older, by: plan) {
            close(older.plan.id, .superseded, note: "\(plan.id) takes its place", in: &round)
        }
        let expiry = round.now.uptime(of: plan.madeAt) + plan.lifetime
        insert(
            OpenPlan(
                plan: plan, isApproved: plan.mode == .auto && plan.epoch == epoch,
                steps: plan.steps.map { _ in .waiting(attempts: 0, notBefore: .zero - .seconds(1 << 40), looks: 0) }, expiry: expiry))
        claim(for: plan, in: &round)
    }

    mutating func insert(_ plan: OpenPlan) {
        let place = open.firstIndex { ($0.plan.decider, plan.plan.id) < (plan.plan.decider, $0.plan.id) } ?? open.endIndex
        open.insert(plan, at: place)
    }

    func refusal(of plan: Plan) -> String? {
        if plan.id < nextPlan { return "its number was given out before; ask for the next one" }
        if let flaw = plan.flaw { return flaw }
        if plan.epoch > epoch { return "it was made by a newer owner (epoch \(plan.epoch), ours is \(epoch)); this Steward only observes" }
        if plan.mode == .observe { return nil }
        if open.count >= limits.openPlans { return "\(open.count) plans are open, the most allowed" }
        if let cause = plan.cause, let other = open.first(where: { $0.plan.cause == cause && !isReplaced($0, by: plan) }) {
            return "\(other.plan.id) already answers \(cause)"
        }
        for guest in plan.guests {
            guard let holder = claims[guest], let other = position(holder).map({ open[$0] }), !isReplaced(other, by: plan) else { continue }
            if other.plan.decider >= plan.decider {
                return "guest \(guest) belongs to \(holder) (\(other.plan.decider)\(other.isApproved ? "" : ", awaiting approval"))"
            }
        }
        return nil
    }

    /// A plan that has not begun gives way to its policy's next one when it waits for approval or stems from an older policy set.
    func isReplaced(_ older: OpenPlan, by plan: Plan) -> Bool {
        older.plan.decider == plan.decider && older.plan.policy != nil && older.plan.policy == plan.policy
            && (!older.isApproved || older.plan.generation < plan.generation)
            && older.steps.allSatisfy {
                switch $0 {
                case .waiting(attempts: 0, _, _), .checking(attempts: 0, _): true
                default: false
                }
            }
    }

    mutating func claim(for plan: Plan, in round: inout Round) {
        for guest in plan.guests {
            if let holder = claims[guest], let other = position(holder) {
                skip(other, reason: "\(plan.id) (\(plan.decider)) has taken guest \(guest) over", in: &round) { $0.action.guest == guest }
            }
            claims[guest] = plan.id
        }
    }

    mutating func approve(_ id: PlanID, by: String, in round: inout Round) {
        guard let plan = position(id) else {
            round.effects.append(.refused(id, reason: "no such plan is open"))
            return
        }
        guard !open[plan].isApproved else { return }
        open[plan].isApproved = true
        write(.approved(id, by: by), in: &round)
    }

    mutating func reject(_ id: PlanID, by: String, in round: inout Round) {
        guard let plan = position(id) else {
            round.effects.append(.refused(id, reason: "no such plan is open"))
            return
        }
        open[plan].isRejected = true
        skip(plan, reason: "rejected by \(by)", in: &round) { _ in true }
    }

    /// Settles as skipped every chosen step of which no attempt is in flight.
    mutating func skip(_ plan: Int, reason: String, in round: inout Round, where chosen: (Step) -> Bool) {
        for index in open[plan].steps.indices where chosen(open[plan].plan.steps[index]) {
            switch open[plan].steps[index] {
            case .waiting, .checking: settle(StepReference(open[plan].plan.id, index), .skipped(reason), in: &round)
            case .writing, .acting, .verifying, .resting, .settled: break
            }
        }
    }

    mutating func close(_ id: PlanID, _ outcome: PlanOutcome, note: String, in round: inout Round) {
        guard let plan = position(id) else { return }
        for guest in open[plan].plan.guests where claims[guest] == id { claims[guest] = nil }
        open.remove(at: plan)
        write(.closed(id, outcome, note: note), in: &round)
        round.effects.append(.closed(id, outcome))
    }
}
