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

func guest(_ number: UInt64) -> GuestID { GuestID(high: 0, low: number) }

/// A world that takes acts, counts them, and can be looked at; it outlives the executor.
struct World {
    var inEffect: Set<Action> = []
    var effectiveActs: [Action: Int] = [:]
    var actsOnWhatIsSo = 0
    /// Calls that fail, and whether they take effect all the same.
    var lies: [Action.Kind: (failure: String?, takesEffect: Bool)] = [:]
    var observation: (Action) -> Observation? = { _ in nil }

    mutating func act(_ action: Action) -> String? {
        let (failure, takesEffect) = lies[action.kind] ?? (nil, true)
        if takesEffect {
            if inEffect.contains(action) { actsOnWhatIsSo += 1 }
            inEffect.insert(action)
            effectiveActs[action, default: 0] += 1
        }
        return failure
    }

    func look(_ action: Action) -> Observation {
        observation(action) ?? (inEffect.contains(action) ? .inEffect(evidence: "seen") : .notInEffect)
    }
}

/// Carries effects out at once, in order, and feeds the answers back; can stop after so many effects.
struct Driver {
    var executor: Executor
    var world = World()
    let journal = InMemoryJournal()
    var seconds: Int64 = 1000
    var queue: [ExecutorEffect] = []
    var closed: [PlanID: PlanOutcome] = [:]
    var refused: [PlanID: String] = [:]
    var acts: [Action] = []
    var looks: [Action] = []
    var durable: UInt64 = 0
    var begunRows: [StepReference: UInt64] = [:]
    var actedBeforeDurable = 0
    var mostAtOnce = 0

    init(limits: ExecutorLimits = ExecutorLimits(), epoch: UInt64 = 0) { executor = Executor(limits: limits, epoch: epoch) }

    var now: Moment { Moment(wall: Timestamp(seconds: seconds), uptime: .seconds(seconds)) }

    mutating func send(_ event: ExecutorEvent) {
        queue += executor.step(event, now: now)
        mostAtOnce = max(mostAtOnce, queue.count { if case .act = $0 { true } else { false } })
    }

    /// Carries out the oldest effect; false when there is none.
    mutating func carryOutOne() throws -> Bool {
        guard !queue.isEmpty else { return false }
        switch queue.removeFirst() {
        case .persist(let entries):
            try journal.append(entries)
            for entry in entries { if case .begun(let step, _) = entry.record { begunRows[step] = entry.sequence } }
            durable = entries.last?.sequence ?? durable
            send(.persisted(through: durable))
        case .look(let step, let action):
            looks.append(action)
            send(.looked(step, world.look(action)))
        case .act(let step, let action, _, _):
            acts.append(action)
            if begunRows[step, default: .max] > durable { actedBeforeDurable += 1 }
            send(.returned(step, failure: world.act(action)))
        case .refused(let plan, let reason): refused[plan] = reason
        case .closed(let plan, let outcome): closed[plan] = outcome
        }
        return true
    }

    /// Carries everything out and lets time pass, up to `seconds` seconds.
    mutating func run(forSeconds limit: Int64 = 0) throws {
        let end = seconds + limit
        while true {
            while try carryOutOne() {}
            if seconds >= end { return }
            seconds += 1
            send(.tick)
        }
    }

    mutating func crash() throws {
        executor = Executor(
            resuming: try journal.openEntries(now: now.wall), limits: executor.limits, epoch: executor.epoch, now: now)
        queue = []
        send(.tick)
    }

    mutating func submit(
        _ steps: [Step], decider: Decider = .scaling, mode: PolicyMode = .auto, policy: String? = nil, cause: String? = nil,
        generation: UInt64 = 0, lifetime: Duration = .seconds(600)
    ) -> PlanID {
        let id = executor.nextPlan
        send(
            .submit(
                Plan(
                    id: id, generation: generation, epoch: executor.epoch, decider: decider, policy: policy, cause: cause, mode: mode,
                    madeAt: now.wall, lifetime: lifetime, steps: steps)))
        return id
    }
}
