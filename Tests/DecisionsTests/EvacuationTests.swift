import Decisions
import Fleet
import Plans
import Testing

/// A watch with its clock.
private struct Observed {
    var watch = HostWatch("a", now: .zero)
    var settings = HostWatchSettings()
    var context = HostContext(now: .zero, hasBMC: true, hasLeaseContract: false)
    var effects: [HostEffect] = []

    mutating func send(_ event: HostEvent, seconds: Int64 = 1) {
        context.now += .seconds(seconds)
        effects += watch.step(event, settings, context)
    }

    mutating func silence(_ count: Int) { for _ in 0..<count { send(.silent) } }

    /// A watch in a state, reached by events.
    init(in state: HostState) {
        send(.answered)
        switch state {
        case .healthy: break
        case .suspect: silence(2)
        case .unreachable: silence(6)
        case .unprovable:
            silence(6)
            for _ in 0..<3 { send(.powerDark("no route")) }
        case .fencing:
            silence(6)
            send(.powerOn)
            silence(60)
        case .fenced:
            silence(6)
            context.hold = "held by the test"
            send(.powerOff)
            context.hold = nil
        case .evacuating:
            silence(6)
            send(.powerOff)
        case .evacuated:
            silence(6)
            send(.powerOff)
            send(.evacuationEnded(isComplete: true))
        case .returning:
            silence(6)
            send(.powerOff)
            send(.answered)
        }
        effects = []
    }
}

@Suite("Evacuation: the states of a host")
struct HostWatchTests {
    enum Stimulus: String, CaseIterable, Sendable {
        case answered, refused, hung, silent, longSilence, leaseRenewed, leaseExpired, leaseExpiredBare, powerOff, powerOn, powerDark
        case fencedOff, fencedOkButOn, fencedDark, confirmed, confirmedWrong, ended, endedPartly, cleaned, tick
    }

    /// Where each state goes, in the order of the stimuli: Healthy, Suspect, Unreachable, unProvable, Fencing, feNced, Evacuating,
    /// eVacuated, Returning.
    static let table: [(HostState, String)] = [
        (.healthy, "H H H H U H H H H H H H H H H H H H H H"),
        (.suspect, "S S S S U S S S S S S S S S S S S S S S"),
        (.unreachable, "S S S U U U E U E U U U U U E U U U U U"),
        (.unprovable, "S S S P P P E P E U P P P P E P P P P P"),
        (.fencing, "F F F F F F E F E F F E F P F F F F F F"),
        (.fenced, "S S S E E S E E E U E E E E E E E E E E"),
        (.evacuating, "R R R E E R E E E U E E E E E E V E E E"),
        (.evacuated, "R R R V V R V V V V V V V V V V V V V V"),
        (.returning, "R R R R U R R R R R R R R R R R R R S R"),
    ]

    static let letters: [Character: HostState] = [
        "H": .healthy, "S": .suspect, "U": .unreachable, "P": .unprovable, "F": .fencing, "N": .fenced, "E": .evacuating, "V": .evacuated,
        "R": .returning,
    ]

    @Test("every state answers every event as the table says", arguments: HostState.allCases, Stimulus.allCases)
    func transition(state: HostState, stimulus: Stimulus) throws {
        var observed = Observed(in: state)
        try #require(observed.watch.state == state)
        let incident = observed.watch.incident
        switch stimulus {
        case .answered: observed.send(.answered)
        case .refused: observed.send(.refused)
        case .hung: observed.send(.hung)
        case .silent: observed.send(.silent)
        case .longSilence: observed.silence(30)
        case .leaseRenewed: observed.send(.leaseRenewed)
        case .leaseExpired: observed.send(.leaseExpired(isContract: true))
        case .leaseExpiredBare: observed.send(.leaseExpired(isContract: false))
        case .powerOff: observed.send(.powerOff)
        case .powerOn: observed.send(.powerOn)
        case .powerDark: observed.send(.powerDark("no route"))
        case .fencedOff: observed.send(.fenced(.off))
        case .fencedOkButOn: observed.send(.fenced(.okButOn))
        case .fencedDark: observed.send(.fenced(.dark))
        case .confirmed: observed.send(.confirmed(by: "ann", incident: incident))
        case .confirmedWrong: observed.send(.confirmed(by: "ann", incident: incident + 1))
        case .ended: observed.send(.evacuationEnded(isComplete: true))
        case .endedPartly: observed.send(.evacuationEnded(isComplete: false))
        case .cleaned: observed.send(.cleaned)
        case .tick: observed.send(.tick)
        }
        let row = try #require(HostWatchTests.table.first { $0.0 == state }).1.split(separator: " ")
        let column = try #require(Stimulus.allCases.firstIndex(of: stimulus))
        let expected = try #require(HostWatchTests.letters[Character(String(row[column]))])
        #expect(observed.watch.state == expected, "\(observed.watch.reason)")
        let evacuates = observed.effects.contains { if case .evacuate = $0 { true } else { false } }
        #expect(evacuates == (expected == .evacuating && state != .evacuating))
    }

    @Test(
        "silence moves the state at its thresholds and not before",
        arguments: [(1, HostState.healthy), (2, .suspect), (5, .suspect), (6, .unreachable)])
    func thresholds(seconds: Int, state: HostState) {
        var observed = Observed(in: .healthy)
        observed.silence(seconds)
        #expect(observed.watch.state == state)
    }

    @Test(
        "a host with its power on is fenced after a minute of silence, and not while the brake holds or it is disarmed",
        arguments: [(53, nil, false, false), (54, nil, false, true), (200, "brake", false, false), (200, nil, true, false)])
    func fenceWait(more: Int, hold: String?, isDisarmed: Bool, isFenced: Bool) {
        var observed = Observed(in: .unreachable)
        observed.context.hold = hold
        observed.context.isDisarmed = isDisarmed
        observed.send(.powerOn, seconds: 0)
        observed.silence(more)
        #expect(observed.effects.contains(.fence(incident: 1)) == isFenced)
    }

    @Test("we were frozen: minutes that we did not look at count for nothing", arguments: [HostState.healthy, .suspect, .unreachable])
    func frozen(state: HostState) {
        var observed = Observed(in: state)
        observed.send(.silent, seconds: 180)
        #expect(observed.watch.state == (state == .healthy ? .healthy : .suspect))
        #expect(observed.watch.silence == .zero)
        #expect(!observed.effects.contains(.fence(incident: 1)))
    }

    @Test(
        "the ways in which a fence ends",
        arguments: [
            (FenceResult.alreadyOff, 1, HostState.evacuating), (.off, 1, .evacuating), (.errorButOff, 1, .evacuating),
            (.okButOn, 1, .fencing),
            (.okButOn, 3, .unprovable), (.errorAndOn, 2, .fencing), (.errorAndOn, 3, .unprovable), (.timedOut, 3, .unprovable),
            (.dark, 1, .unprovable),
        ])
    func fences(result: FenceResult, times: Int, state: HostState) {
        var observed = Observed(in: .fencing)
        for _ in 0..<times {
            observed.send(.fenced(result))
            if observed.watch.state == .fencing { for _ in 0..<5 { observed.send(.silent) } }
        }
        #expect(observed.watch.state == state)
    }

    @Test(
        "life during a fence that fails is believed; the fence that works is believed too",
        arguments: [(FenceResult.okButOn, HostState.suspect), (.timedOut, .suspect), (.dark, .suspect), (.off, .evacuating)])
    func lifeDuringFence(result: FenceResult, state: HostState) {
        var observed = Observed(in: .fencing)
        observed.send(.refused)
        observed.send(.fenced(result))
        #expect(observed.watch.state == state)
    }

    @Test("without any means of proof a host is unprovable at once, and says so")
    func noMeans() {
        var observed = Observed(in: .healthy)
        observed.context.hasBMC = false
        observed.silence(6)
        #expect(observed.watch.state == .unprovable)
        #expect(observed.effects.contains { if case .alarm(let text) = $0 { text.contains("confirm-dead a") } else { false } })
    }

    @Test("libvirtd stopped for five minutes: the refused connection is life, nothing is fenced")
    func libvirtdStopped() {
        var observed = Observed(in: .healthy)
        for _ in 0..<300 { observed.send(.refused) }
        #expect(observed.watch.state == .healthy)
        #expect(observed.effects.isEmpty)
    }

    @Test("a partitioned host that renews its lease is left alone, with one alarm")
    func partitioned() {
        var observed = Observed(in: .unreachable)
        observed.context.hasLeaseContract = true
        observed.send(.powerOn)
        for _ in 0..<200 {
            observed.send(.leaseRenewed, seconds: 0)
            observed.send(.silent)
        }
        #expect(observed.watch.state == .unreachable)
        #expect(!observed.effects.contains(.fence(incident: 1)))
        #expect(observed.effects.count { if case .alarm = $0 { true } else { false } } == 1)
    }

    @Test(
        "an operator's word is refused for a host that lives, that has its power on, or for another incident",
        arguments: [HostState.healthy, .suspect, .returning, .fencing])
    func refusedWord(state: HostState) {
        var observed = Observed(in: state)
        observed.send(.confirmed(by: "ann", incident: observed.watch.incident))
        #expect(observed.watch.state == state)
        #expect(observed.effects.count { if case .alarm(let text) = $0 { text.contains("refused") } else { false } } == 1)
        var powered = Observed(in: .unreachable)
        powered.send(.powerOn)
        powered.send(.confirmed(by: "ann", incident: 1))
        #expect(powered.watch.state == .unreachable)
    }

    @Test("an operator's word passes the brake but not a disarm", arguments: [(true, HostState.fenced), (false, .evacuating)])
    func word(isDisarmed: Bool, state: HostState) {
        var observed = Observed(in: .unprovable)
        observed.context.hold = "brake"
        observed.context.isDisarmed = isDisarmed
        observed.send(.confirmed(by: "ann", incident: 1))
        #expect(observed.watch.state == state)
    }

    @Test("a host that flaps each 40 s for an hour is evacuated at most once, and gets more patience each time", arguments: [true, false])
    func flapping(powersOff: Bool) {
        var observed = Observed(in: .healthy)
        var evacuations = 0
        var suspicions: [Int] = []
        for round in 0..<90 {
            let isUp = round % 2 == 0
            var silentFor = 0
            for _ in 0..<40 {
                observed.effects = []
                observed.send(isUp ? .answered : .silent)
                if !isUp { silentFor += 1 }
                if observed.watch.state == .unreachable, silentFor > 0 {
                    suspicions.append(silentFor)
                    silentFor = -1000
                    observed.send(powersOff ? .powerOff : .powerOn, seconds: 0)
                }
                evacuations += observed.effects.count { if case .evacuate = $0 { true } else { false } }
                if observed.effects.contains(.clean) || observed.watch.state == .returning { observed.send(.cleaned, seconds: 0) }
            }
        }
        #expect(evacuations <= 1)
        #expect((suspicions.first ?? 0) < (suspicions.dropFirst().first ?? 0))
    }

    @Test(
        "no further start once the proof is void: the host answers, renews its lease, or has its power on again",
        arguments: [HostEvent.answered, .refused, .hung, .leaseRenewed, .powerOn])
    func voided(event: HostEvent) {
        var observed = Observed(in: .evacuating)
        observed.send(event)
        #expect(observed.effects.contains(.stopStarts(incident: 1)))
        #expect(observed.watch.proof == nil)
        observed.send(.evacuationEnded(isComplete: false))
        observed.send(.tick, seconds: 60)
        #expect(!observed.effects.contains { if case .evacuate = $0 { true } else { false } })
    }

    @Test("two answers and a miss are unsteady, not healthy")
    func unsteady() {
        var observed = Observed(in: .suspect)
        for _ in 0..<20 {
            observed.send(.answered)
            observed.send(.answered)
            observed.send(.silent)
            #expect(observed.watch.state == .suspect)
        }
        for _ in 0..<3 { observed.send(.answered) }
        #expect(observed.watch.state == .healthy)
    }

    @Test("killed during an evacuation, the watch asks for fresh proof, and a host that answers is cleared first")
    func resumed() {
        var watch = HostWatch("a", now: .zero, resumingIncident: 4)
        let context = HostContext(now: .seconds(1), hasBMC: true, hasLeaseContract: false)
        #expect(watch.step(.tick, HostWatchSettings(), context) == [.readPower])
        var again = watch
        #expect(again.step(.powerOff, HostWatchSettings(), context) == [.evacuate(incident: 4, proof: .poweredOff)])
        #expect(watch.step(.answered, HostWatchSettings(), context).contains(.clean))
        #expect(watch.state == .returning)
    }

    @Test("whatever happens, guests are started elsewhere only while none runs on the host", arguments: UInt64(0)..<300)
    func randomTruth(seed: UInt64) {
        var random = SeededGenerator(seed)
        func chance(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &random) < share }
        var observed = Observed(in: .healthy)
        var isPowered = true
        var isLinked = true
        var isBMCUp = true
        var guestsRun = true
        var evacuations = 0
        for _ in 0..<3000 {
            if chance(0.004) { isPowered.toggle() }
            if chance(0.004) { isLinked.toggle() }
            if chance(0.004) { isBMCUp.toggle() }
            if !isPowered { guestsRun = false }
            observed.context.hold = chance(0.1) ? "brake" : nil
            observed.effects = []
            let probe: HostEvent = isPowered && isLinked ? (chance(0.05) ? .refused : .answered) : .silent
            observed.send(probe, seconds: chance(0.003) ? 200 : 1)
            var pending = observed.effects
            var rounds = 0
            while !pending.isEmpty, rounds < 20 {
                rounds += 1
                observed.effects = []
                switch pending.removeFirst() {
                case .readPower: observed.send(!isBMCUp ? .powerDark("no route") : isPowered ? .powerOn : .powerOff, seconds: 0)
                case .fence:
                    if isBMCUp, chance(0.7) { isPowered = false }
                    if !isPowered { guestsRun = false }
                    let off: [FenceResult] = [.off, .errorButOff, .alreadyOff]
                    let on: [FenceResult] = [.okButOn, .errorAndOn, .timedOut]
                    let result = !isBMCUp ? .dark : (isPowered ? on : off).randomElement(using: &random) ?? .timedOut
                    observed.send(.fenced(result), seconds: 0)
                case .evacuate:
                    #expect(!guestsRun, "seed \(seed): \(observed.watch.reason)")
                    evacuations += 1
                    if chance(0.7) { observed.send(.evacuationEnded(isComplete: chance(0.7)), seconds: 0) }
                case .clean:
                    observed.send(.cleaned, seconds: 0)
                    guestsRun = isPowered
                case .stopStarts, .alarm: break
                }
                pending += observed.effects
            }
        }
        #expect(observed.watch.flaps >= 0)
        if seed < 3 { #expect(evacuations > 0) }
    }
}

@Suite("Evacuation: brake, leases, double runs")
struct BrakeTests {
    private func situation(_ count: Int, troubled: Int, witness: Bool? = true, age: Int64 = 1000, lastFence: Int64? = nil)
        -> Brake.Situation
    {
        Brake.Situation(
            states: (0..<count).map { $0 < troubled ? .unreachable : .healthy }, witnessAnswers: witness, now: .seconds(1000 + age),
            startedAt: .seconds(1000), lastFence: lastFence.map { .seconds(1000 + age - $0) })
    }

    @Test(
        "the brake for 1 to 10 hosts and above: hosts, most in trouble",
        arguments: [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 2), (8, 2), (9, 2), (10, 3), (11, 3), (20, 6), (100, 30)])
    func ratio(hosts: Int, most: Int) {
        #expect(Brake.hold(situation(hosts, troubled: most)) == nil)
        if most < hosts { #expect(Brake.hold(situation(hosts, troubled: most + 1)) != nil) }
    }

    @Test(
        "with three hosts or fewer a witness must answer; above, it must not be silent",
        arguments: [(3, nil, true), (3, false, true), (3, true, false), (4, nil, false), (4, false, true)])
    func witness(hosts: Int, answers: Bool?, holds: Bool) {
        #expect((Brake.hold(situation(hosts, troubled: 1, witness: answers)) != nil) == holds)
    }

    @Test(
        "quiet after our own start and between fences", arguments: [(119, nil, true), (120, nil, false), (500, 59, true), (500, 60, false)])
    func quiet(age: Int, lastFence: Int?, holds: Bool) {
        #expect((Brake.hold(situation(6, troubled: 1, age: Int64(age), lastFence: lastFence.map { Int64($0) })) != nil) == holds)
    }

    @Test("all hosts of one uplink go silent within seconds: nothing is fenced and nothing evacuated", arguments: 2...12)
    func uplink(count: Int) {
        var watches = (0..<count).map { HostWatch(HostName("h\($0)"), now: .zero) }
        var acts = 0
        for second in 0..<600 {
            let now = Duration.seconds(1000 + second)
            let hold = Brake.hold(
                Brake.Situation(states: watches.map(\.state), witnessAnswers: nil, now: now, startedAt: .zero))
            for index in watches.indices {
                let context = HostContext(now: now, hasBMC: true, hasLeaseContract: false, hold: hold)
                for event in [HostEvent.silent, .powerOn] {
                    acts += watches[index].step(event, HostWatchSettings(), context).count {
                        switch $0 {
                        case .fence, .evacuate: true
                        default: false
                        }
                    }
                }
            }
        }
        #expect(acts == 0)
    }

    @Test(
        "a lease is dead after two of our own reads that are far enough apart, and never by a lost hour",
        arguments: [(Int64(99), nil), (Int64(100), HostEvent.leaseExpired(isContract: true))])
    func lease(seconds: Int64, event: HostEvent?) {
        var watch = LeaseWatch()
        let record = LeaseWatch.Record(counter: 7, isWatchdogArmed: true, leaseTime: .seconds(30), watchdogTime: .seconds(60))
        #expect(watch.read(record, began: .seconds(4000), ended: .seconds(4005)) == nil)
        #expect(watch.read(record, began: .seconds(4005 + seconds), ended: .seconds(4200)) == event)
    }

    @Test("a lease without a watchdog is evidence, and a renewal begins anew")
    func leaseWithoutWatchdog() {
        var watch = LeaseWatch()
        func record(_ counter: UInt64) -> LeaseWatch.Record {
            .init(counter: counter, isWatchdogArmed: false, leaseTime: .seconds(30), watchdogTime: .seconds(60))
        }
        _ = watch.read(record(1), began: .seconds(0), ended: .seconds(0))
        #expect(watch.read(record(2), began: .seconds(500), ended: .seconds(500)) == .leaseRenewed)
        #expect(watch.read(record(2), began: .seconds(599), ended: .seconds(599)) == nil)
        #expect(watch.read(record(2), began: .seconds(600), ended: .seconds(600)) == .leaseExpired(isContract: false))
    }

    private func seen(_ number: Int, _ host: HostName, runs: Bool = true, migrates: Bool = false, disks: [String] = [])
        -> DoubleRunDetector.Sighting
    {
        .init(guest: guest(number), host: host, isRunning: runs, isMigrating: migrates, disks: disks)
    }

    @Test("one guest or one disk active twice is found, a migration is not")
    func doubleRuns() {
        #expect(DoubleRunDetector.findings([seen(1, "a", disks: ["x"]), seen(2, "b", disks: ["y"])]).isEmpty)
        #expect(DoubleRunDetector.findings([seen(1, "a", disks: ["x"]), seen(1, "b", disks: ["x"])]).map(\.hosts) == [["a", "b"]])
        #expect(DoubleRunDetector.findings([seen(1, "a", migrates: true, disks: ["x"]), seen(1, "b", runs: false, disks: ["x"])]).isEmpty)
        #expect(DoubleRunDetector.findings([seen(1, "a", migrates: true), seen(1, "b")]).count == 1)
        let disk = DoubleRunDetector.findings([seen(1, "a", disks: ["x"]), seen(2, "a", disks: ["x"])])
        #expect(disk.map(\.subject) == ["disk x"] && disk.first?.guests == [guest(1), guest(2)])
    }
}

@Suite("Evacuation: the plan")
struct EvacuationPlanTests {
    private func evacuable(_ number: Int, priority: Int = 0, gibibytes: UInt64 = 1) -> EvacuableGuest {
        EvacuableGuest(placed(number, on: "dead", gibibytes: gibibytes), definition: "d\(number)", priority: priority)
    }

    private let survivors = [
        host("a", cpus: 100, gibibytes: 64), host("b", cpus: 100, gibibytes: 64), host("dead", cpus: 100, gibibytes: 64),
    ]

    @Test("by priority, then UUID; each start depends on its own definition and on the incident's proof; none on the dead host")
    func order() {
        let wave = Evacuation.plan(
            [evacuable(1), evacuable(2, priority: 5), evacuable(3)], from: "dead", incident: 7, board: Board(hosts: survivors, guests: []))
        #expect(wave.placed.map(\.guest) == [guest(2), guest(1), guest(3)])
        #expect(wave.placed.allSatisfy { $0.host != "dead" })
        #expect(wave.steps.map(\.after) == [[], [0], [], [2], [], [4]])
        #expect(wave.steps[1].action == .start(guest(2), on: wave.placed[0].host, incident: "dead#7"))
        #expect(Plan(id: PlanID(1), decider: .evacuation, mode: .auto, madeAt: Timestamp(seconds: 0), steps: wave.steps).flaw == nil)
    }

    @Test("a storm is spread and limited per target; the rest waits for the next wave", arguments: [(12, 5), (200, 10)])
    func storm(count: Int, perTarget: Int) {
        var settings = Evacuation.Settings()
        settings.perTarget = perTarget
        let wave = Evacuation.plan(
            (1...count).map { evacuable($0, gibibytes: 0) }, from: "dead", incident: 1, board: Board(hosts: survivors, guests: []),
            settings: settings)
        #expect(wave.placed.count { $0.host == "a" } == perTarget && wave.placed.count { $0.host == "b" } == perTarget)
        #expect(wave.waiting.count == count - 2 * perTarget && !wave.isComplete)
    }

    @Test("with too little room the important ones are saved first and the others are told why they wait")
    func shortage() {
        let board = Board(hosts: [host("a", gibibytes: 4), host("dead")], guests: [placed(50, on: "a", gibibytes: 1)])
        let wave = Evacuation.plan(
            [evacuable(1, gibibytes: 2), evacuable(2, priority: 9, gibibytes: 3)], from: "dead", incident: 1, board: board)
        #expect(wave.placed.map(\.guest) == [guest(2)])
        #expect(wave.waiting.first?.refusals.first?.constraint == .memory(needed: .gibibytes(2), free: .gibibytes(0)))
    }

    @Test("what cannot be saved is named and never started; what comes back stopped is only defined")
    func unsavable() {
        var local = evacuable(1)
        local.obstacles = ["disk vda is local"]
        var lost = evacuable(2)
        lost.definition = nil
        var stopped = evacuable(3)
        stopped.comesBackStopped = true
        let wave = Evacuation.plan([local, lost, stopped], from: "dead", incident: 1, board: Board(hosts: survivors, guests: []))
        #expect(wave.unsavable.map(\.guest) == [guest(1), guest(2)] && wave.isComplete)
        #expect(wave.steps.map(\.action.kind) == [.define])
    }
}
