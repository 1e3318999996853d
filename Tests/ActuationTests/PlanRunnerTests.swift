import Fleet
import Foundation
import JournalStorage
import Operations
import Plans
import Synchronization
import Testing

/// A world of one set of actions that are in effect; may hang, fail or lie.
final class FakeWorld: Actuator {
    struct State {
        var inEffect: Set<Action> = []
        var acts: [Action] = []
        var hanging: Set<Action> = []
    }
    let state = Mutex(State())
    let beforeAct: @Sendable (Action) -> Void

    init(beforeAct: @escaping @Sendable (Action) -> Void = { _ in }) { self.beforeAct = beforeAct }

    func act(_ action: Action, deadline: Duration) -> String? {
        beforeAct(action)
        let hangs = state.withLock { state in
            state.acts.append(action)
            return state.hanging.contains(action)
        }
        if hangs { while true { sleep(1000) } }
        state.withLock { _ = $0.inEffect.insert(action) }
        return nil
    }

    func look(_ action: Action) -> Observation {
        state.withLock { $0.inEffect.contains(action) ? .inEffect(evidence: "seen") : .notInEffect }
    }

    func cancel(_ action: Action) {}
}

func guest(_ number: UInt64) -> GuestID { GuestID(high: 0, low: number) }

func temporaryFolder() throws -> String {
    let folder = FileManager.default.temporaryDirectory.appending(path: "steward-\(UInt64.random(in: 0 ... .max))").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    return folder
}

@Sendable func systemNow() -> Moment {
    let seconds = Date().timeIntervalSince1970
    let uptime = ProcessInfo.processInfo.systemUptime
    return Moment(wall: Timestamp(milliseconds: Int64(seconds * 1000)), uptime: .milliseconds(Int64(uptime * 1000)))
}

/// Waits for a condition, at most a minute.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    let end = Date().addingTimeInterval(60)
    while Date() < end {
        if try condition() { return true }
        usleep(10_000)
    }
    return false
}

@Suite("Running plans")
struct PlanRunnerTests {
    @Test("every kind of row comes back from the disk as it was written, and the disk is synced at each commit")
    func rows() throws {
        let folder = try temporaryFolder()
        let volume = VolumeReference(host: "h1", pool: "p", name: "v")
        let actions: [Action] = [
            .migrate(guest(1), from: "h1", to: "h2", .live), .start(guest(1), on: "h1", incident: "h9#3"), .shutdown(guest(1), on: "h1"),
            .destroy(guest(1), on: "h1"), .undefine(guest(1), on: "h1", keepingState: true), .define(guest(1), on: "h1", definition: "d"),
            .setAutostart(guest(1), on: "h1", false), .resize(guest(1), on: "h1", vcpus: 2, memory: Bytes(5)),
            .createVolume(volume, size: Bytes(9), owner: guest(1)), .createOverlay(volume, backing: "/b", size: Bytes(9), owner: guest(1)),
            .createSeed(volume, owner: guest(1)), .quarantineVolume(volume, owner: guest(1)), .deleteVolume(volume, owner: guest(1)),
            .defineFilter("f", on: "h1", owner: nil), .undefineFilter("f", on: "h1", owner: guest(2)), .fence("h1", incident: "h1#1"),
            .notify(endpoint: "e", event: "x", payload: "p", guest: nil), .awaitHealth(guest(1), on: "h1"), .awaitDrain(guest(1), on: "h1"),
        ]
        #expect(Set(actions.map(\.kind)).count == Action.Kind.allCases.count)
        let plan = Plan(
            id: PlanID(1), epoch: 7, decider: .drain, policy: "p", cause: "c", mode: .approve, madeAt: Timestamp(seconds: 50),
            reasons: ["why"],
            steps: actions.enumerated().map { Step($1, after: $0 == 0 ? [] : [$0 - 1], attempts: 2, isAdvisory: $0 % 2 == 0) })
        let records: [JournalEntry.Record] = [
            .accepted(plan), .approved(PlanID(1), by: "anna"), .begun(StepReference(PlanID(1), 0), attempt: 1),
            .settled(StepReference(PlanID(1), 0), .done(evidence: "e")), .settled(StepReference(PlanID(1), 1), .failed("f")),
            .settled(StepReference(PlanID(1), 2), .skipped("s")), .disarmed(until: Timestamp(seconds: 90), by: "anna"), .armed(by: "anna"),
        ]
        let entries = records.enumerated().map { JournalEntry(sequence: UInt64($0 + 1), at: Timestamp(seconds: 100), record: $1) }
        do {
            let store = try PlanStore(folder: folder)
            try store.append(entries)
            #expect(try store.durability().synchronous == 2)
            #expect(try store.durability().journalMode == "wal")
            #expect(throws: JournalError.sequence(expected: 9, found: 8)) { try store.append([entries[7]]) }
            #expect(throws: JournalError.self) { try PlanStore(folder: folder) }
        }
        let again = try PlanStore(folder: folder)
        #expect(try again.openEntries(now: Timestamp(seconds: 1_000_000)) == entries)
        let mode = try FileManager.default.attributesOfItem(atPath: folder + "/plans.db")[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test("a row is on the disk before its act, and the plan ends as the world shows")
    func order() throws {
        let store = try PlanStore(folder: try temporaryFolder())
        let begunBefore = Mutex<[Bool]>([])
        let world = FakeWorld { action in
            let rows = (try? store.newestEntries(limit: 10)) ?? []
            let isBegun = rows.contains { entry in
                if case .begun(let step, _) = entry.record { step.index == (action.kind == .define ? 0 : 1) } else { false }
            }
            begunBefore.withLock { $0.append(isBegun) }
        }
        let runner = try PlanRunner(journal: store, actuator: world, clock: systemNow)
        let thread = Thread { runner.run() }
        thread.start()
        let steps = [Step(.define(guest(1), on: "h1", definition: "d")), Step(.start(guest(1), on: "h1", incident: nil), after: [0])]
        let answer = runner.submit { Plan(id: $0, decider: .drain, mode: .auto, madeAt: systemNow().wall, steps: steps) }
        #expect(answer == .accepted(PlanID(1)))
        #expect(try eventually { try store.newestEntries(limit: 1).last?.record == .closed(PlanID(1), .completed, note: "") })
        #expect(begunBefore.withLock { $0 } == [true, true])
        #expect(world.state.withLock { $0.acts } == steps.map(\.action))
        runner.stop()
    }

    @Test("a plan cut off before, during or after its act is looked at first and done once")
    func resume() throws {
        let step = Step(.start(guest(1), on: "h1", incident: nil))
        for wasDone in [false, true] {
            let folder = try temporaryFolder()
            let now = systemNow().wall
            let store = try PlanStore(folder: folder)
            let plan = Plan(id: PlanID(1), decider: .drain, mode: .auto, madeAt: now, steps: [step])
            try store.append([
                JournalEntry(sequence: 1, at: now, record: .accepted(plan)),
                JournalEntry(sequence: 2, at: now, record: .begun(StepReference(plan.id, 0), attempt: 1)),
            ])
            let world = FakeWorld()
            if wasDone { world.state.withLock { _ = $0.inEffect.insert(step.action) } }
            let runner = try PlanRunner(journal: store, actuator: world, clock: systemNow)
            Thread { runner.run() }.start()
            #expect(try eventually { try store.newestEntries(limit: 1).last?.record == .closed(PlanID(1), .completed, note: "") })
            #expect(world.state.withLock { $0.acts.count } == (wasDone ? 0 : 1))
            runner.stop()
        }
    }

    @Test("a call that hangs is given up at its deadline and holds back no other step")
    func hanging() throws {
        let stuck = Action.destroy(guest(1), on: "h1")
        let other = Action.destroy(guest(2), on: "h2")
        let world = FakeWorld()
        world.state.withLock { $0.hanging = [stuck] }
        let store = try PlanStore(folder: try temporaryFolder())
        let runner = try PlanRunner(journal: store, actuator: world, clock: systemNow)
        Thread { runner.run() }.start()
        let steps = [Step(stuck, deadline: .milliseconds(300)), Step(other)]
        _ = runner.submit { Plan(id: $0, decider: .drain, mode: .auto, madeAt: systemNow().wall, steps: steps) }
        #expect(try eventually { try store.newestEntries(limit: 1).last?.record == .closed(PlanID(1), .partial, note: "") })
        let failures = try store.entries(of: PlanID(1)).compactMap { entry -> String? in
            if case .settled(_, .failed(let reason)) = entry.record { reason } else { nil }
        }
        #expect(failures == ["no answer within 300ms"])
        runner.stop()
    }

    @Test("a definition, a seed and a fact come back as they were kept")
    func documents() throws {
        let store = try PlanStore(folder: try temporaryFolder())
        let digest = try store.keep("<domain/>")
        #expect(digest.count == 64)
        #expect(try store.keep("<domain/>") == digest)
        #expect(try store.document(digest) == "<domain/>")
        #expect(try store.document("none") == nil)
        let seed = GuestSeed(metaData: "m", userData: "u")
        try store.keep(seed, for: guest(1))
        #expect(try store.seed(of: guest(1)) == seed)
        try store.keepFact("incident", "h1", "3")
        try store.keepFact("incident", "h1", "4")
        #expect(try store.facts("incident").map(\.body) == ["4"])
        try store.forgetFact("incident", "h1")
        #expect(try store.facts("incident").isEmpty)
    }
}
