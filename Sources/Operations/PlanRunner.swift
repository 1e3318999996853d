public import Fleet
public import Plans
import Synchronization
import Threads

/// Runs the executor: writes each row of the journal before the act it announces, and makes acts and looks on threads of their own.
///
/// A call that does not come back by its deadline is abandoned with its thread: the executor is told, looks, and goes on. One stuck host
/// can therefore hold back its own steps only. Made from the journal's open rows, it resumes what an earlier process left: each step in
/// doubt is looked at before anything is done.
public final class PlanRunner: Sendable {
    /// How often time passes for the executor without an event.
    public static let tick = Duration.milliseconds(200)
    /// How long a look may take before the world counts as unreadable: longer than libvirt's keepalive needs to find a host dead.
    public static let lookDeadline = Duration.seconds(20)
    /// Calls that may hang at once on abandoned threads; beyond that nothing is begun until one ends.
    public static let abandonedMaximum = 256

    private enum Message: Sendable {
        case submit(@Sendable (PlanID) -> Plan, Mailbox<Submission>)
        case event(ExecutorEvent)
        case looked(StepReference, call: UInt64, Observation)
        case returned(StepReference, call: UInt64, failure: String?)
        case stop
    }

    /// What became of a submitted plan.
    public enum Submission: Hashable, Sendable {
        /// It is in the journal.
        case accepted(PlanID)
        /// It is not, for that reason.
        case refused(String)
    }

    /// What the runner is doing, as of its last step.
    public struct Status: Sendable {
        /// The plans that have not ended.
        public let open: [Executor.OpenPlan]
        /// Who stopped every automatic effect, where somebody did.
        public let disarmedBy: String?
        /// Calls that are under way, and those that were abandoned and have not come back.
        public let calls: (underWay: Int, abandoned: Int)
        /// Why the journal cannot be written; nothing is done while it cannot.
        public let journalFailure: String?
    }

    private let journal: any Journal
    private let actuator: any Actuator
    private let clock: @Sendable () -> Moment
    private let written: @Sendable ([JournalEntry]) -> Void
    private let mailbox = Mailbox<Message>()
    private let state: Mutex<State>

    private struct State {
        var executor: Executor
        var calls: [StepReference: Call] = [:]
        var abandoned: [UInt64: String] = [:]
        var nextCall: UInt64 = 1
        var waiting: [PlanID: Mailbox<Submission>] = [:]
        /// Rows that the disk has refused so far, in order.
        var unwritten: [JournalEntry] = []
        var journalFailure: String?
        /// What happened while the disk refused, in order.
        var heldBack: [ExecutorEvent] = []
        var isStopped = false
    }

    private struct Call {
        let number: UInt64
        let action: Action
        let isAct: Bool
        let deadline: Duration
        let limit: Duration
    }

    /// A runner that goes on where the journal ends.
    ///
    /// - Parameter written: told every row once it is on the disk, in order, on the runner's thread; must neither block nor
    ///   call the runner.
    public init(
        journal: any Journal, actuator: any Actuator, limits: ExecutorLimits = ExecutorLimits(), epoch: UInt64 = 0,
        clock: @escaping @Sendable () -> Moment, written: @escaping @Sendable ([JournalEntry]) -> Void = { _ in }
    ) throws(JournalError) {
        self.journal = journal
        self.actuator = actuator
        self.clock = clock
        self.written = written
        let now = clock()
        let entries = try journal.openEntries(now: now.wall)
        state = Mutex(State(executor: Executor(resuming: entries, limits: limits, epoch: epoch, now: now)))
    }

    // MARK: From any thread

    /// Hands a plan in and waits until it is in the journal, or refused; `make` is given the plan's number.
    public func submit(_ make: @escaping @Sendable (PlanID) -> Plan) -> Submission {
        let answer = Mailbox<Submission>()
        mailbox.put(.submit(make, answer))
        return answer.take(within: nil).first ?? .refused("the runner has stopped")
    }

    /// Approves a plan that waits for it.
    public func approve(_ plan: PlanID, by: String) { mailbox.put(.event(.approve(plan, by: by))) }

    /// Ends a plan: steps that are not under way are skipped, the others asked to end without harm.
    public func reject(_ plan: PlanID, by: String) {
        mailbox.put(.event(.reject(plan, by: by)))
        let running = state.withLock { state in state.calls.filter { $0.key.plan == plan && $0.value.isAct }.map(\.value.action) }
        for action in running {
            let actuator = self.actuator
            startThread(named: "cancel") { actuator.cancel(action) }
        }
    }

    /// Stops every automatic effect, until then or until armed.
    public func disarm(until: Timestamp?, by: String) { mailbox.put(.event(.disarm(until: until, by: by))) }

    /// Allows automatic effects again.
    public func arm(by: String) { mailbox.put(.event(.arm(by: by))) }

    /// What the runner is doing.
    public var status: Status {
        state.withLock { state in
            Status(
                open: state.executor.open, disarmedBy: state.executor.disarmed?.by, calls: (state.calls.count, state.abandoned.count),
                journalFailure: state.journalFailure)
        }
    }

    /// Ends ``run()``; what is under way is found by the next runner.
    public func stop() { mailbox.put(.stop) }

    // MARK: The runner's thread

    /// Runs until stopped; call it on a thread of its own.
    public func run() {
        state.withLock { feed(.tick, &$0) }
        while true {
            let messages = mailbox.take(within: PlanRunner.tick)
            let isOver = state.withLock { state -> Bool in
                for message in messages { receive(message, &state) }
                giveUpLateCalls(&state)
                feed(.tick, &state)
                return state.isStopped
            }
            if isOver { return }
        }
    }

    private func receive(_ message: Message, _ state: inout State) {
        switch message {
        case .submit(let make, let answer):
            if let failure = state.journalFailure {
                answer.put(.refused(failure))
                return
            }
            let id = state.executor.nextPlan
            state.waiting[id] = answer
            feed(.submit(make(id)), &state)
            // Refusals have been answered; what is left was accepted, and its row is on the disk.
            if state.journalFailure == nil { state.waiting.removeValue(forKey: id)?.put(.accepted(id)) }
        case .event(let event): feed(event, &state)
        case .looked(let step, let call, let observation):
            state.abandoned[call] = nil
            guard state.calls[step]?.number == call else { return }
            state.calls[step] = nil
            feed(.looked(step, observation), &state)
        case .returned(let step, let call, let failure):
            state.abandoned[call] = nil
            guard state.calls[step]?.number == call else { return }
            state.calls[step] = nil
            feed(.returned(step, failure: failure), &state)
        case .stop: state.isStopped = true
        }
    }

    /// Gives an event to the executor and carries out what it asks, and what follows from that.
    private func feed(_ event: ExecutorEvent, _ state: inout State) {
        if !state.unwritten.isEmpty, !writeOut(&state) {
            if event != .tick { state.heldBack.append(event) }
            return
        }
        var events = state.heldBack + [event]
        state.heldBack = []
        while !events.isEmpty {
            let next = events.removeFirst()
            for effect in state.executor.step(next, now: clock()) {
                switch effect {
                case .persist(let entries):
                    state.unwritten += entries
                    if writeOut(&state) { events.append(.persisted(through: entries.last?.sequence ?? 0)) }
                case .look(let step, let action): begin(step, action, isAct: false, limit: PlanRunner.lookDeadline, &state)
                case .act(let step, let action, _, let deadline): begin(step, action, isAct: true, limit: deadline, &state)
                case .refused(let plan, let reason): state.waiting.removeValue(forKey: plan)?.put(.refused(reason))
                case .closed: break
                }
            }
        }
    }

    /// Writes the rows that are due; false where the disk refuses, in which case nothing that they announce is done.
    private func writeOut(_ state: inout State) -> Bool {
        let entries = state.unwritten
        do throws(JournalError) {
            try journal.append(entries)
        } catch {
            state.journalFailure = error.description
            return false
        }
        let wasStuck = state.journalFailure != nil
        state.unwritten = []
        state.journalFailure = nil
        written(entries)
        for entry in entries {
            if case .accepted(let plan) = entry.record { state.waiting.removeValue(forKey: plan.id)?.put(.accepted(plan.id)) }
        }
        if wasStuck, let last = entries.last { mailbox.put(.event(.persisted(through: last.sequence))) }
        return true
    }

    private func begin(_ step: StepReference, _ action: Action, isAct: Bool, limit: Duration, _ state: inout State) {
        let number = state.nextCall
        state.nextCall += 1
        guard state.abandoned.count < PlanRunner.abandonedMaximum else {
            let words = "\(state.abandoned.count) calls hang, the most allowed; look at the hosts that do not answer"
            mailbox.put(isAct ? .returned(step, call: number, failure: words) : .looked(step, call: number, .unknown(words)))
            state.calls[step] = Call(number: number, action: action, isAct: isAct, deadline: .seconds(1 << 40), limit: limit)
            return
        }
        state.calls[step] = Call(number: number, action: action, isAct: isAct, deadline: clock().uptime + limit, limit: limit)
        let actuator = self.actuator
        let mailbox = self.mailbox
        startThread(named: "\(isAct ? "act" : "look") \(action.kind.rawValue)") {
            if isAct {
                mailbox.put(.returned(step, call: number, failure: actuator.act(action, deadline: limit)))
            } else {
                mailbox.put(.looked(step, call: number, actuator.look(action)))
            }
        }
    }

    private func giveUpLateCalls(_ state: inout State) {
        let now = clock().uptime
        for (step, call) in state.calls.sorted(by: { $0.key < $1.key }) where now > call.deadline {
            state.calls[step] = nil
            let words = "no answer within \(call.limit.operatorText)"
            state.abandoned[call.number] = words
            feed(call.isAct ? .returned(step, failure: words) : .looked(step, .unknown(words)), &state)
        }
    }
}
