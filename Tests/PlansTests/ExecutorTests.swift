import Fleet
import Plans
import Testing

private func migration(_ number: UInt64, from: HostName = "a", to: HostName = "b") -> Action {
    .migrate(guest(number), from: from, to: to, .live)
}

private let scaleOut: [Step] = [
    Step(.createOverlay(VolumeReference(host: "a", pool: "p", name: "v"), backing: "image", size: .gibibytes(20), owner: guest(1))),
    Step(.createSeed(VolumeReference(host: "a", pool: "p", name: "s"), owner: guest(1)), after: [0]),
    Step(.defineFilter("web", on: "a", owner: guest(1))),
    Step(.define(guest(1), on: "a", definition: "d1"), after: [1, 2]),
    Step(.start(guest(1), on: "a", incident: nil), after: [3]),
    Step(.awaitHealth(guest(1), on: "a"), after: [4]),
]

@Suite("The executor")
struct ExecutorTests {
    @Test("a plan's steps are done in order, each once, each between two looks")
    func order() throws {
        var driver = Driver()
        let id = driver.submit(scaleOut)
        try driver.run()
        #expect(driver.closed[id] == .completed)
        #expect(driver.acts.count == 6 && driver.acts.last == scaleOut[5].action)
        #expect(driver.looks.count == 12)
        #expect(driver.actedBeforeDurable == 0)
    }

    @Test("killed after any effect, it resumes and every step takes effect exactly once", arguments: 0..<40)
    func crashAnywhere(effects: Int) throws {
        var driver = Driver()
        let id = driver.submit(scaleOut)
        for _ in 0..<effects { _ = try driver.carryOutOne() }
        try driver.crash()
        if try driver.journal.openEntries(now: driver.now.wall).isEmpty { driver.send(.submit(plan(id, scaleOut, at: driver.now))) }
        try driver.run(forSeconds: 30)
        #expect(driver.world.effectiveActs.count == 6)
        #expect(driver.world.effectiveActs.allSatisfy { $0.value == 1 })
        #expect(driver.actedBeforeDurable == 0)
        #expect(driver.executor.open.isEmpty)
    }

    @Test("killed again and again at random, with lying calls, no effect is doubled", arguments: UInt64(0)..<200)
    func randomCrashes(seed: UInt64) throws {
        var random = SeededGenerator(seed)
        var driver = Driver()
        let lying = Action.Kind.allCases.randomElement(using: &random) ?? .start
        driver.world.lies[lying] = (failure: "timed out", takesEffect: true)
        _ = driver.submit(scaleOut)
        while try driver.journal.openEntries(now: driver.now.wall).isEmpty { _ = try driver.carryOutOne() }
        for _ in 0..<6 {
            for _ in 0..<Int.random(in: 0..<12, using: &random) { _ = try driver.carryOutOne() }
            driver.seconds += Int64.random(in: 0..<5, using: &random)
            try driver.crash()
        }
        try driver.run(forSeconds: 60)
        #expect(driver.executor.open.isEmpty)
        #expect(driver.world.actsOnWhatIsSo == 0)
        #expect(scaleOut.allSatisfy { driver.world.effectiveActs[$0.action] == 1 })
    }

    @Test("a claimed success that the world does not show is a failure, and what depends on it is skipped")
    func lie() throws {
        var driver = Driver()
        driver.world.lies[.define] = (failure: nil, takesEffect: false)
        let id = driver.submit(scaleOut)
        try driver.run(forSeconds: 5)
        #expect(driver.closed[id] == .partial)
        #expect(!driver.acts.contains(scaleOut[4].action))
    }

    @Test("a reported error whose effect is there counts as done")
    func errorButDone() throws {
        var driver = Driver()
        driver.world.lies[.start] = (failure: "timed out", takesEffect: true)
        let id = driver.submit(scaleOut)
        try driver.run()
        #expect(driver.closed[id] == .completed)
    }

    @Test("a step is tried as often as it says, with a pause between, and no more", arguments: 1...4)
    func attempts(count: Int) throws {
        var driver = Driver()
        driver.world.lies[.start] = (failure: "locked", takesEffect: false)
        let id = driver.submit([Step(.start(guest(1), on: "a", incident: "i"), attempts: count)])
        try driver.run(forSeconds: 60)
        #expect(driver.acts.count == count)
        #expect(driver.closed[id] == .failed)
    }

    @Test("what is so already is not done again")
    func alreadySo() throws {
        var driver = Driver()
        let fence = Action.fence("a", incident: "i")
        driver.world.inEffect = [fence]
        let id = driver.submit([Step(fence)], decider: .evacuation)
        try driver.run()
        #expect(driver.acts.isEmpty)
        #expect(driver.closed[id] == .completed)
    }

    @Test("a world that cannot be read holds a step until the plan expires, then it is skipped")
    func unknownBefore() throws {
        var driver = Driver()
        driver.world.observation = { _ in .unknown("no answer") }
        let id = driver.submit([Step(migration(1))], lifetime: .seconds(30))
        try driver.run(forSeconds: 29)
        #expect(driver.closed[id] == nil)
        try driver.run(forSeconds: 3)
        #expect(driver.closed[id] == .failed)
        #expect(driver.acts.isEmpty)
    }

    @Test("a step in doubt outlives the plan's expiry: it is looked at until the world answers")
    func unknownAfter() throws {
        var driver = Driver()
        let id = driver.submit([Step(migration(1))], lifetime: .seconds(30))
        while driver.acts.isEmpty { _ = try driver.carryOutOne() }
        driver.world.observation = { _ in .unknown("no answer") }
        try driver.run(forSeconds: 200)
        #expect(driver.closed[id] == nil)
        driver.world.observation = { _ in nil }
        try driver.run(forSeconds: 61)
        #expect(driver.closed[id] == .completed)
        #expect(driver.acts.count == 1)
    }

    @Test("a failed advisory step lets the next one go on; a failed ordinary one does not", arguments: [true, false])
    func advisory(isAdvisory: Bool) throws {
        var driver = Driver()
        driver.world.lies[.shutdown] = (failure: "ignored", takesEffect: false)
        let id = driver.submit([
            Step(.shutdown(guest(1), on: "a"), isAdvisory: isAdvisory), Step(.destroy(guest(1), on: "a"), after: [0]),
        ])
        try driver.run(forSeconds: 5)
        #expect(driver.acts.contains(.destroy(guest(1), on: "a")) == isAdvisory)
        #expect(driver.closed[id] == (isAdvisory ? .completed : .failed))
    }

    @Test("a plan that observes is written and never acts; one to approve waits for its word", arguments: PolicyMode.allCases)
    func modes(mode: PolicyMode) throws {
        var driver = Driver()
        let id = driver.submit([Step(migration(1))], mode: mode)
        try driver.run()
        #expect(driver.acts.count == (mode == .auto ? 1 : 0))
        #expect(driver.closed[id] == (mode == .auto ? .completed : mode == .observe ? .observed : nil))
        driver.send(.approve(id, by: "ann"))
        try driver.run()
        #expect(driver.acts.count == (mode == .observe ? 0 : 1))
    }

    @Test("disarmed, nothing begins, not even what was about to; armed again the rest goes on", arguments: 0..<3)
    func disarm(effects: Int) throws {
        var driver = Driver()
        let id = driver.submit([Step(migration(1))])
        for _ in 0..<effects { _ = try driver.carryOutOne() }
        let acted = driver.acts.count
        driver.send(.disarm(until: Timestamp(seconds: driver.seconds + 60), by: "ann"))
        try driver.run(forSeconds: 59)
        #expect(driver.acts.count == acted)
        try driver.crash()
        try driver.run()
        #expect(driver.acts.count == acted)
        try driver.run(forSeconds: 3)
        #expect(driver.executor.disarmed == nil)
        #expect(driver.closed[id] != nil)
    }

    @Test("a plan of an older epoch waits for an operator after a restart")
    func epoch() throws {
        var driver = Driver(epoch: 1)
        let id = driver.submit([Step(migration(1))])
        while try driver.journal.openEntries(now: driver.now.wall).isEmpty { _ = try driver.carryOutOne() }
        driver.executor = Executor(resuming: try driver.journal.openEntries(now: driver.now.wall), epoch: 2, now: driver.now)
        driver.queue = []
        try driver.run(forSeconds: 5)
        #expect(driver.acts.isEmpty)
        driver.send(.approve(id, by: "ann"))
        try driver.run(forSeconds: 5)
        #expect(driver.acts.count == 1)
    }

    @Test("a wall clock stepped by an hour neither expires a plan nor prolongs it", arguments: [-3600, 3600])
    func steppedClock(step: Int64) throws {
        var executor = Executor()
        let start = Moment(wall: Timestamp(seconds: 10_000), uptime: .seconds(0))
        let plan = Plan(id: PlanID(1), decider: .scaling, mode: .approve, madeAt: start.wall, steps: [Step(migration(1))])
        _ = executor.step(.submit(plan), now: start)
        _ = executor.step(.tick, now: Moment(wall: Timestamp(seconds: 10_000 + step), uptime: .seconds(599)))
        #expect(executor.open.count == 1)
        _ = executor.step(.tick, now: Moment(wall: Timestamp(seconds: 10_000 + step), uptime: .seconds(601)))
        #expect(executor.open.isEmpty)
    }

    private func plan(_ id: PlanID, _ steps: [Step], at now: Moment) -> Plan {
        Plan(id: id, decider: .scaling, mode: .auto, madeAt: now.wall, steps: steps)
    }
}

@Suite("Locks and limits of the executor")
struct ExecutorLockTests {
    @Test("a guest goes to the stronger decider, and a weaker or equal one is refused", arguments: Decider.allCases, Decider.allCases)
    func precedence(first: Decider, second: Decider) throws {
        var driver = Driver()
        driver.world.observation = { _ in .unknown("slow") }
        let one = driver.submit([Step(migration(1, to: "b"))], decider: first)
        let two = driver.submit([Step(migration(1, to: "c"))], decider: second)
        try driver.run()
        driver.world.observation = { _ in nil }
        try driver.run(forSeconds: 5)
        #expect((driver.refused[two] == nil) == (second > first))
        #expect(driver.acts == [second > first ? migration(1, to: "c") : migration(1, to: "b")])
        #expect(driver.closed[one] == (second > first ? .failed : .completed))
    }

    @Test("one guest wanted by three deciders at once moves once", arguments: UInt64(0)..<50)
    func three(seed: UInt64) throws {
        var random = SeededGenerator(seed)
        var driver = Driver()
        for decider in [Decider.balance, .drain, .evacuation].shuffled(using: &random) {
            _ = driver.submit([Step(migration(1, to: HostName("to-\(decider)")))], decider: decider)
        }
        try driver.run(forSeconds: 5)
        #expect(driver.acts == [migration(1, to: "to-evacuation")])
    }

    @Test("a migration under way is not torn: the stronger plan waits for its end, and other guests do not wait")
    func inFlight() throws {
        var driver = Driver()
        let weak = driver.submit([Step(migration(1)), Step(.setAutostart(guest(1), on: "b", true), after: [0])], decider: .balance)
        while driver.acts.isEmpty { _ = try driver.carryOutOne() }
        driver.world.observation = { $0.kind == .migrate ? .underWay : nil }
        let strong = driver.submit(
            [Step(.start(guest(1), on: "c", incident: "i")), Step(.start(guest(2), on: "c", incident: "i"))], decider: .evacuation)
        try driver.run(forSeconds: 10)
        #expect(driver.acts == [migration(1), .start(guest(2), on: "c", incident: "i")])
        driver.world.observation = { _ in nil }
        try driver.run(forSeconds: 20)
        #expect(driver.closed[weak] == .partial)
        #expect(driver.closed[strong] == .completed)
        #expect(!driver.acts.contains(.setAutostart(guest(1), on: "b", true)))
    }

    @Test("an attempt whose outcome cannot be read yields the guest to an evacuation")
    func doubtYields() throws {
        var driver = Driver()
        _ = driver.submit([Step(migration(1))], decider: .balance)
        while driver.acts.isEmpty { _ = try driver.carryOutOne() }
        driver.world.observation = { $0.kind == .migrate ? .unknown("host gone") : nil }
        let strong = driver.submit([Step(.start(guest(1), on: "c", incident: "i"))], decider: .evacuation)
        try driver.run(forSeconds: 10)
        #expect(driver.closed[strong] == .completed)
    }

    @Test("the same cause is answered once")
    func cause() throws {
        var driver = Driver()
        driver.world.observation = { _ in .unknown("slow") }
        _ = driver.submit([Step(migration(1))], cause: "incident 4")
        let second = driver.submit([Step(migration(2))], cause: "incident 4")
        try driver.run()
        #expect(driver.refused[second]?.contains("already answers") == true)
    }

    @Test(
        "a policy's next plan replaces one that has not begun only if that waits for approval or is of an older policy set",
        arguments: [(PolicyMode.approve, UInt64(0), true), (.auto, 1, true), (.auto, 0, false)])
    func superseded(mode: PolicyMode, generation: UInt64, isReplaced: Bool) throws {
        var driver = Driver()
        driver.world.observation = { _ in .unknown("slow") }
        let first = driver.submit([Step(migration(1))], mode: mode, policy: "web")
        let second = driver.submit([Step(migration(1))], mode: mode, policy: "web", generation: generation)
        try driver.run()
        #expect((driver.closed[first] == .superseded) == isReplaced)
        #expect((driver.refused[second] == nil) == isReplaced)
    }

    @Test("no more steps at once than the host's limits allow, and all are done in the end", arguments: [(1, 1), (2, 2), (4, 2), (1, 4)])
    func hostLimits(steps: Int, migrations: Int) throws {
        var limits = ExecutorLimits()
        limits.stepsPerHost = steps
        limits.migrationsPerHost = migrations
        var driver = Driver(limits: limits)
        let id = driver.submit((1...20).map { Step(migration(UInt64($0))) }, decider: .drain)
        try driver.run(forSeconds: 60)
        #expect(driver.mostAtOnce <= min(steps, migrations))
        #expect(driver.closed[id] == .completed)
    }

    @Test("the hourly disruption budget holds automation back over a crash, drains and evacuations never")
    func budget() throws {
        var limits = ExecutorLimits()
        limits.disruptionsPerHour = 3
        var driver = Driver(limits: limits)
        _ = driver.submit((1...5).map { Step(migration(UInt64($0))) }, decider: .balance, lifetime: .seconds(7000))
        try driver.run(forSeconds: 60)
        #expect(driver.acts.count == 3)
        try driver.crash()
        try driver.run(forSeconds: 3400)
        #expect(driver.acts.count == 3)
        _ = driver.submit([Step(migration(9))], decider: .drain)
        try driver.run(forSeconds: 10)
        #expect(driver.acts.count == 4)
        try driver.run(forSeconds: 200)
        #expect(driver.acts.count == 6)
    }

    @Test(
        "a flawed plan is refused with the flaw",
        arguments: [
            ([], "no steps"), ([Step(migration(1), after: [0])], "does not come before"), ([Step(migration(1), after: [-1])], "not come"),
        ])
    func flaws(steps: [Step], reason: String) throws {
        var driver = Driver()
        let id = driver.submit(steps)
        try driver.run()
        #expect(driver.refused[id]?.contains(reason) == true)
    }

    @Test("a journal refuses a row out of order and keeps none of its batch")
    func journalOrder() throws {
        let journal = InMemoryJournal()
        let rows = [1, 3].map { JournalEntry(sequence: $0, at: Timestamp(seconds: 0), record: .armed(by: "ann")) }
        #expect(throws: JournalError.sequence(expected: 2, found: 3)) { try journal.append(rows) }
        #expect(try journal.openEntries(now: Timestamp(seconds: 0)).isEmpty)
    }

    @Test("due deliveries come by due time and id, and only those due")
    func deliveries() throws {
        let log = InMemoryDeliveryLog()
        for (id, due) in [("b", 5), ("a", 5), ("c", 1), ("d", 11)] as [(String, Int64)] {
            try log.write(Delivery(Notice(id: id, endpoint: "ops", event: "scale", at: Timestamp(seconds: due), body: "{}")))
        }
        #expect(try log.due(now: Timestamp(seconds: 10), limit: 9).map(\.notice.id) == ["c", "a", "b"])
        #expect(try log.due(now: Timestamp(seconds: 11), limit: 2).map(\.notice.id) == ["c", "a"])
    }
}
