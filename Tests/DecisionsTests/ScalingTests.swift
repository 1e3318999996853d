import Decisions
import Fleet
import Plans
import Testing

@Suite("Scaling: arithmetic")
struct ScalingArithmeticTests {
    @Test(
        "the HPA's table: members, value, target 60 %, size",
        arguments: [
            (4, 0.9, 6), (4, 0.6, 4), (4, 0.66, 4), (4, 0.661, 5), (4, 0.54, 4), (4, 0.539, 4), (4, 0.45, 3), (4, 0.44, 3), (4, 0.3, 2),
            (4, 0.0, 1), (1, 6.0, 10), (3, 0.8, 4), (10, 1.0, 17), (2, 0.601, 2),
        ])
    func average(count: Int, value: Double, size: Int) {
        #expect(Scaling.decide(plainPolicy(), input(members(count), value)).desired == size)
    }

    @Test(
        "a total is shared at so much a member: members, total, size",
        arguments: [(2, 400.0, 2), (2, 440, 2), (2, 441, 3), (2, 1000, 5), (5, 900, 5), (5, 899, 5), (5, 799, 4), (5, 0, 1)])
    func total(count: Int, value: Double, size: Int) {
        var sample = input(members(count), value)
        sample.targets = [Measurement(value)]
        #expect(Scaling.decide(plainPolicy(.perMember(200)), sample).desired == size)
    }

    @Test(
        "each direction has its own tolerance",
        arguments: [(0.62, 0.0, 0.5, 5), (0.62, 0.1, 0.5, 4), (0.4, 0.1, 0.0, 3), (0.4, 0.1, 0.5, 4)])
    func tolerance(value: Double, out: Double, in inward: Double, size: Int) {
        var policy = plainPolicy()
        policy.targets[0].toleranceOut = out
        policy.targets[0].toleranceIn = inward
        #expect(Scaling.decide(policy, input(members(4), value)).desired == size)
    }

    @Test(
        "silent members are full when shrinking and idle when growing: of 10, matched, value, size",
        arguments: [
            (10, 0.3, 5), (9, 0.3, 7), (8, 0.3, 8), (8, 0.5, 10), (7, 0.1, 10), (9, 0.9, 14), (9, 0.74, 12), (9, 0.73, 10), (8, 0.66, 10),
        ])
    func bounds(matched: Int, value: Double, size: Int) {
        let decision = Scaling.decide(plainPolicy(), input(members(10), value, matched: matched))
        #expect(decision.desired == size)
        #expect(decision.isUnknown == (matched < 8))
    }

    @Test("one silent member of 160 does not hold the others up")
    func oneOfMany() {
        var policy = plainPolicy(max: 200)
        policy.victims = [.newest]
        #expect(Scaling.decide(policy, input(members(160), 0.3, matched: 159)).desired == 82)
    }

    @Test("pending members count as capacity when growing: the same peak does not launch twice", arguments: [(0, 2), (1, 1), (2, 0)])
    func pending(count: Int, launches: Int) {
        let group = members(4) + (0..<count).map { GroupMember(guest(100 + $0), .warming, host: "a") }
        #expect(Scaling.decide(plainPolicy(), input(group, 0.9)).launches == launches)
    }

    @Test("nothing shrinks while members are on their way in", arguments: [GroupMember.State.wanted, .starting, .warming])
    func warming(state: GroupMember.State) {
        let group = members(6) + [GroupMember(guest(100), state)]
        let decision = Scaling.decide(plainPolicy(), input(group, 0.1))
        #expect(decision.desired == 7 && decision.terminations.isEmpty)
    }

    @Test("the largest wish wins in both directions", arguments: [(0.9, 0.1, 6), (0.1, 0.9, 6), (0.3, 0.15, 2), (0.3, 0.45, 3)])
    func several(first: Double, second: Double, size: Int) {
        var policy = plainPolicy()
        policy.targets.append(ScalingTarget(query: "other", goal: .average(0.6, ceiling: 1)))
        var sample = input(members(4), first)
        sample.targets.append(Measurement(second, membersMatched: 4))
        #expect(Scaling.decide(policy, sample).desired == size)
    }

    @Test(
        "an unknown query blocks shrinking, not growing; an ignored one has no vote; a zero one is zero",
        arguments: [
            (AbsentMeaning.hold, 0.3, 4, true), (.hold, 0.9, 6, true), (.ignore, 0.3, 2, false), (.ignore, 0.9, 6, false),
            (.zero(because: "no errors, no series"), 0.3, 2, false),
        ])
    func absent(meaning: AbsentMeaning, value: Double, size: Int, isUnknown: Bool) {
        var policy = plainPolicy()
        var other = ScalingTarget(query: "other", goal: .perMember(10))
        other.absent = meaning
        policy.targets.append(other)
        var sample = input(members(4), value)
        sample.targets.append(Measurement(nil))
        let decision = Scaling.decide(policy, sample)
        #expect(decision.desired == size)
        #expect(decision.isUnknown == isUnknown)
    }

    @Test("a source that failed is never taken for a silent one, whatever silence means")
    func failure() {
        var policy = plainPolicy(.perMember(10))
        policy.targets[0].absent = .zero(because: "quiet at night")
        var sample = input(members(4), nil)
        sample.targets = [Measurement(nil, failure: "connection refused")]
        #expect(Scaling.decide(policy, sample).desired == 4)
        sample.targets = [Measurement(nil)]
        #expect(Scaling.decide(policy, sample).desired == 1)
    }

    @Test("NaN, infinity and a negative load are unknown", arguments: [Double.nan, .infinity, -.infinity, -0.1])
    func notANumber(value: Double) {
        let decision = Scaling.decide(plainPolicy(), input(members(4), value))
        #expect(decision.isUnknown && decision.desired == 4)
    }

    @Test(
        "step scaling goes by the band, the lower end included",
        arguments: [(0.1, 3), (0.2, 4), (0.79, 4), (0.8, 5), (0.95, 8), (2, 8)])
    func steps(value: Double, size: Int) {
        var policy = plainPolicy()
        policy.targets = []
        policy.steps = [
            StepScaling(
                query: "load",
                bands: [.init(from: nil, to: 0.2, .by(-1)), .init(from: 0.8, to: 0.95, .by(1)), .init(from: 0.95, to: nil, .percent(100))])
        ]
        var sample = input(members(4), nil)
        sample.steps = [Measurement(value, membersMatched: 4)]
        #expect(Scaling.decide(policy, sample).desired == size)
        sample.steps = [Measurement(value, membersMatched: 3)]
        policy.steps[0].coverage = 0.7
        #expect(Scaling.decide(policy, sample).desired >= 4)
    }
}

@Suite("Scaling: the stages after the wish")
struct ScalingStageTests {
    private func history(_ sizes: [Int], every seconds: Int64 = 15, until now: Int64 = 10_000) -> [Recommendation] {
        sizes.enumerated().map { Recommendation(at: .seconds(now - Int64(sizes.count - $0.offset) * seconds), size: $0.element) }
    }

    @Test(
        "shrinking takes the highest recommendation of a window seen whole",
        arguments: [
            (Array(repeating: 2, count: 21), 2), (Array(repeating: 2, count: 19), 4), ([3] + Array(repeating: 2, count: 19), 2),
            (Array(repeating: 2, count: 10) + [3] + Array(repeating: 2, count: 10), 3), ([9] + Array(repeating: 2, count: 20), 2), ([], 4),
        ])
    func scaleIn(sizes: [Int], size: Int) {
        var policy = plainPolicy()
        policy.scaleIn.stabilization = .seconds(300)
        var sample = input(members(4), 0.3)
        sample.recommendations = history(sizes)
        #expect(Scaling.decide(policy, sample).desired == size)
    }

    @Test("a hole of more than half the window, such as a frozen process leaves, holds the size", arguments: [(149, 2), (151, 4)])
    func frozen(hole: Int64, size: Int) {
        var policy = plainPolicy()
        policy.scaleIn.stabilization = .seconds(300)
        var sample = input(members(4), 0.3)
        sample.recommendations = history(Array(repeating: 2, count: 30), until: 10_000 - hole + 15)
        #expect(Scaling.decide(policy, sample).desired == size)
    }

    @Test("a wall clock stepped by an hour changes no window", arguments: [Int64(-3600), 3600])
    func steppedClock(step: Int64) {
        var policy = plainPolicy()
        policy.scaleIn.stabilization = .seconds(300)
        var sample = input(members(4), 0.3)
        sample.recommendations = history(Array(repeating: 3, count: 25))
        sample.now = Moment(wall: sample.now.wall + .seconds(step), uptime: sample.now.uptime)
        #expect(Scaling.decide(policy, sample).desired == 3)
    }

    @Test(
        "growing takes the lowest recommendation of its window",
        arguments: [(Array(repeating: 6, count: 5), 6), ([6, 6, 5, 6, 6], 5), ([6, 6, 3, 6, 6], 4)])
    func scaleOut(sizes: [Int], size: Int) {
        var policy = plainPolicy()
        policy.scaleOut.stabilization = .seconds(60)
        var sample = input(members(4), 0.9)
        sample.recommendations = history(sizes)
        #expect(Scaling.decide(policy, sample).desired == size)
    }

    @Test("a direction that is switched off holds", arguments: [(true, 0.9, 4), (true, 0.3, 2), (false, 0.9, 6), (false, 0.3, 4)])
    func disabled(isOut: Bool, value: Double, size: Int) {
        var policy = plainPolicy()
        if isOut { policy.scaleOut.isDisabled = true } else { policy.scaleIn.isDisabled = true }
        #expect(Scaling.decide(policy, input(members(4), value)).desired == size)
    }

    @Test(
        "the loosest limit counts, and what was changed within its period is counted: limits, earlier change, seconds ago, size of 4 wanting 12",
        arguments: [
            ([RateLimit(.guests(4), per: .seconds(60))], 0, 0, 8), ([RateLimit(.guests(4), per: .seconds(60))], 3, 59, 5),
            ([RateLimit(.guests(4), per: .seconds(60))], 3, 60, 8), ([RateLimit(.percent(100), per: .seconds(60))], 0, 0, 8),
            ([RateLimit(.percent(50), per: .seconds(60)), RateLimit(.guests(1), per: .seconds(60))], 0, 0, 6), ([], 0, 0, 12),
        ])
    func rate(limits: [RateLimit], delta: Int, ago: Int64, size: Int) {
        var policy = plainPolicy()
        policy.scaleOut.limits = limits
        var sample = input(members(4), 1.8)
        if delta != 0 { sample.changes = [SizeChange(at: .seconds(10_000 - ago), delta: delta)] }
        #expect(Scaling.decide(policy, sample).desired == size)
    }

    @Test("shrinking keeps to its limit, even down to a lowered max", arguments: [(20, 0.1, 9), (6, 0.6, 9)])
    func rateIn(max: Int, value: Double, size: Int) {
        var policy = plainPolicy(max: max)
        policy.scaleIn.limits = [RateLimit(.guests(1), per: .seconds(60))]
        let decision = Scaling.decide(policy, input(members(10), value))
        #expect(decision.desired == size)
        #expect(decision.terminations.count == 1)
    }

    @Test(
        "the budget holds growth back, never stops a member, and without a price there is no growth",
        arguments: [(60, 5), (50, 5), (49, 4), (10, 4), (nil, 4)])
    func budget(hundredths: Int?, size: Int) throws {
        let currency = try #require(Currency(code: "CNY"))
        var policy = plainPolicy()
        policy.budgetPerHour = Money(trillionths: Int128(hundredths ?? 100) * 10_000_000_000, currency: currency)
        var sample = input(members(4), 0.75)
        if hundredths != nil { sample.memberPricePerHour = Money(trillionths: 100_000_000_000, currency: currency) }
        let decision = Scaling.decide(policy, sample)
        #expect(decision.desired == size)
        #expect(decision.terminations.isEmpty)
        #expect(decision.alarms.isEmpty == (hundredths != nil))
    }

    @Test("the bounds hold at once, whatever the load", arguments: [(6, 20, 0.6, 6), (1, 5, 3.0, 5), (0, 20, 0.0, 0)])
    func bounds(min: Int, max: Int, value: Double, size: Int) {
        #expect(Scaling.decide(plainPolicy(min: min, max: max), input(members(4), value)).desired == size)
    }

    @Test(
        "the failover guard keeps enough members whichever host is lost",
        arguments: [(["a", "b", "c", "d"], 2), (["a", "a", "a", "b"], 2), (["a", "a", "a", "a"], 4)])
    func guarded(hosts: [String], size: Int) {
        var policy = plainPolicy()
        policy.keepsFailover = true
        policy.victims = [.crowdedHost]
        let group = members(4, hosts: hosts.map { HostName($0) }, zones: ["z"])
        #expect(Scaling.decide(policy, input(group, 0.15)).desired == size)
    }

    @Test("growth keeps room for a host's loss", arguments: [(nil, 6), (5, 6), (1, 5), (0, 4)])
    func growthRoom(room: Int?, size: Int) {
        var policy = plainPolicy()
        policy.keepsFailover = true
        var sample = input(members(4), 0.9)
        sample.roomKeepingFailover = room
        #expect(Scaling.decide(policy, sample).desired == size)
    }

    @Test(
        "a forecast may only add, and only where it is told to",
        arguments: [(ScalingPolicy.Prediction.off, 9, 4), (.forecastOnly, 9, 4), (.add, 9, 9), (.add, 2, 4)])
    func forecast(mode: ScalingPolicy.Prediction, forecast: Int, size: Int) {
        var policy = plainPolicy()
        policy.prediction = mode
        var sample = input(members(4), 0.6)
        sample.forecast = forecast
        #expect(Scaling.decide(policy, sample).desired == size)
    }

    @Test(
        "after three failures in a row the breaker pauses, then tries one; the pause doubles",
        arguments: [(2, 0, 2), (3, 59, 0), (3, 60, 1), (4, 119, 0), (4, 120, 1), (99, 3599, 0), (99, 3600, 1)])
    func breaker(failures: Int, ago: Int64, launches: Int) {
        var sample = input(members(4), 0.9)
        sample.failuresInARow = failures
        sample.lastFailure = .seconds(10_000 - ago)
        #expect(Scaling.decide(plainPolicy(), sample).launches == launches)
    }

    @Test(
        "failed and leaving members take room below max until they are proven gone",
        arguments: [(0, 4), (3, 4), (4, 4), (6, 2), (8, 0), (20, 0)])
    func notGone(failed: Int, launches: Int) {
        let states: [GroupMember.State] = [.failed, .draining]
        let group = members(4) + (0..<failed).map { GroupMember(guest(100 + $0), states[$0 % 2]) }
        let decision = Scaling.decide(plainPolicy(max: 12), input(group, 1.2))
        #expect(decision.launches == launches)
    }

    @Test("the median of the same time of day is forecast, and nothing from less than two days", arguments: [(1, nil), (3, 80.0), (6, 80)])
    func pattern(days: Int, expected: Double?) {
        let history = (0..<(days * 288)).map { slot -> Forecast.Load in
            let isPeak = (96..<108).contains(slot % 288)
            return Forecast.Load(at: Timestamp(seconds: Int64(slot) * 300), value: slot < 288 && isPeak ? 999 : isPeak ? 80 : 10)
        }
        let now = Timestamp(seconds: Int64(days) * 86_400 + 95 * 300)
        let load = Forecast.load(history, now: now, lead: .seconds(600))
        #expect(load == (days == 6 || days == 3 ? expected : nil))
        #expect(load.map { Forecast.size(load: $0, goal: .perMember(20)) } == expected.map { _ in 4 })
    }
}

@Suite("Scaling: who goes and who is replaced")
struct VictimTests {
    @Test(
        "victims by the policy's order",
        arguments: [
            ([VictimOrder.newest], [6, 5]), ([.oldest], [1, 2]), ([.unhealthy, .oldest], [4, 2]), ([.crowdedZone, .newest], [6, 5]),
            ([.crowdedHost, .oldest], [1, 2]),
        ])
    func order(order: [VictimOrder], expected: [Int]) {
        var policy = plainPolicy()
        policy.victims = order
        var group = members(6)
        group[3].state = .unhealthy
        #expect(Scaling.decide(policy, input(group, 0.4)).terminations == expected.map(guest))
    }

    @Test("a member that is foreign, protected, busy or being moved is never a victim", arguments: 0..<4)
    func spared(kind: Int) {
        var group = members(3, zones: ["z"])
        for index in 0..<2 {
            switch kind {
            case 0: group[index].isOurs = false
            case 1: group[index].protectedUntil = .seconds(10_001)
            case 2: group[index].isBusy = true
            default: group[index].isMoving = true
            }
        }
        let decision = Scaling.decide(plainPolicy(), input(group, 0.1))
        #expect(decision.desired == 1)
        #expect(decision.terminations == [guest(3)])
        #expect(decision.binding?.stage == .victims)
    }

    @Test("a protection ends")
    func protectionEnds() {
        var group = members(2, zones: ["z"])
        group[0].protectedUntil = .seconds(10_000)
        group[1].isOurs = false
        #expect(Scaling.decide(plainPolicy(), input(group, 0.1)).terminations == [guest(1)])
    }

    @Test("the last member of a zone is spared while another zone has several")
    func lastOfZone() {
        var policy = plainPolicy()
        policy.victims = [.newest]
        var group = members(3, zones: ["z1"])
        group[2].zone = "z2"
        #expect(Scaling.decide(policy, input(group, 0.4)).terminations == [guest(2)])
    }

    @Test(
        "unhealthy members are replaced few at a time, and not at all where the fault looks like ours",
        arguments: [(1, 100, false, 1), (3, 100, false, 2), (7, 10, false, 0), (6, 10, false, 2), (3, 100, true, 0), (1, 100, true, 1)])
    func replacement(sick: Int, ago: Int64, moving: Bool, expected: Int) {
        var policy = plainPolicy(max: 40)
        policy.replacesUnhealthy = true
        var group = members(20)
        for index in 0..<sick {
            group[index].state = .unhealthy
            group[index].unhealthySince = .seconds(10_000 - ago)
            group[index].countersMove = moving
        }
        let decision = Scaling.decide(policy, input(group, 0.6))
        #expect(decision.replacements.count == expected)
        #expect(decision.alarms.isEmpty == (expected > 0))
    }
}

@Suite("Scaling: explanations")
struct ExplanationTests {
    struct Case: Sendable {
        let name: String
        let stage: ScalingStage
        let policy: ScalingPolicy
        let input: ScalingInput
        let changedPolicy: ScalingPolicy
        let changedInput: ScalingInput
    }

    static func make(
        _ name: String, _ stage: ScalingStage, _ value: Double?, count: Int = 4, matched: Int? = nil,
        _ arrange: (inout ScalingPolicy, inout ScalingInput) -> Void, change: (inout ScalingPolicy, inout ScalingInput) -> Void
    ) -> Case {
        var policy = plainPolicy()
        var sample = input(members(count), value, matched: matched)
        arrange(&policy, &sample)
        var changedPolicy = policy
        var changedSample = sample
        change(&changedPolicy, &changedSample)
        return Case(
            name: name, stage: stage, policy: policy, input: sample, changedPolicy: changedPolicy, changedInput: changedSample)
    }

    static let money = Currency(code: "CNY")
    static let cases: [Case] = [
        make("tolerance out", .tolerance, 0.65, { _, _ in }, change: { policy, _ in policy.targets[0].toleranceOut = 0.05 }),
        make(
            "tolerance in", .tolerance, 0.56, { _, _ in },
            change: { policy, _ in
                policy.targets[0].toleranceIn = 0; policy.targets[0].goal = .average(0.8, ceiling: 1)
            }),
        make(
            "coverage", .missingMembers, 0.1, count: 10, matched: 7, { _, _ in },
            change: { _, sample in sample.targets[0].membersMatched = 10 }),
        make(
            "silent when shrinking", .missingMembers, 0.5, count: 10, matched: 8, { _, _ in },
            change: { _, sample in sample.targets[0].membersMatched = 10 }),
        make(
            "silent when growing", .missingMembers, 0.7, count: 10, matched: 9, { _, _ in },
            change: { _, sample in sample.targets[0].membersMatched = 10 }),
        make("no value", .missingMembers, nil, { _, _ in }, change: { _, sample in sample.targets[0].value = 0.9 }),
        make(
            "an unknown second query", .combine, 0.3,
            { policy, sample in
                policy.targets.append(ScalingTarget(query: "other", goal: .perMember(10)))
                sample.targets.append(Measurement(nil, failure: "time-out"))
            }, change: { _, sample in sample.targets[1] = Measurement(10) }),
        make(
            "warming", .missingMembers, 0.3, { _, sample in sample.members.append(GroupMember(guest(99), .warming)) },
            change: { _, sample in
                sample.members[4].state = .inService
                sample.targets[0].membersMatched = 5
            }),
        make(
            "window", .stabilization, 0.3, { policy, _ in policy.scaleIn.stabilization = .seconds(300) },
            change: { _, sample in
                sample.recommendations = (1...21).map { Recommendation(at: .seconds(10_000 - 330 + $0 * 15), size: 2) }
            }),
        make(
            "window of growth", .stabilization, 0.9, { policy, _ in policy.scaleOut.stabilization = .seconds(60) },
            change: { _, sample in
                sample.recommendations = (1...5).map { Recommendation(at: .seconds(10_000 - 90 + $0 * 15), size: 6) }
            }),
        make(
            "shrinking off", .stabilization, 0.3, { policy, _ in policy.scaleIn.isDisabled = true },
            change: { policy, _ in policy.scaleIn.isDisabled = false }),
        make(
            "growing off", .stabilization, 0.9, { policy, _ in policy.scaleOut.isDisabled = true },
            change: { policy, _ in policy.scaleOut.isDisabled = false }),
        make(
            "rate out", .rateLimit, 1.2, { policy, _ in policy.scaleOut.limits = [RateLimit(.guests(1), per: .seconds(60))] },
            change: { policy, _ in
                policy.scaleOut.limits = [RateLimit(.guests(3), per: .seconds(60))]
            }),
        make(
            "rate in", .rateLimit, 0.15, { policy, _ in policy.scaleIn.limits = [RateLimit(.guests(1), per: .seconds(60))] },
            change: { policy, _ in
                policy.scaleIn.limits = []
            }),
        make(
            "budget", .budget, 0.9,
            { policy, sample in
                policy.budgetPerHour = money.map { Money(trillionths: 4, currency: $0) }
                sample.memberPricePerHour = money.map { Money(trillionths: 1, currency: $0) }
            }, change: { policy, _ in policy.budgetPerHour = money.map { Money(trillionths: 9, currency: $0) } }),
        make("max", .bounds, 0.9, { policy, _ in policy.max = 5 }, change: { policy, _ in policy.max = 6 }),
        make("min", .bounds, 0.15, { policy, _ in policy.min = 3 }, change: { policy, _ in policy.min = 1 }),
        make(
            "failover when shrinking", .failoverGuard, 0.15,
            { policy, sample in
                policy.keepsFailover = true
                sample.members = members(4, hosts: ["a"])
            }, change: { _, sample in sample.members = members(4, hosts: ["a", "b", "c", "d"]) }),
        make(
            "failover when growing", .failoverGuard, 0.9,
            { policy, sample in
                policy.keepsFailover = true
                sample.roomKeepingFailover = 0
            }, change: { _, sample in sample.roomKeepingFailover = 9 }),
        make(
            "not proven gone", .notGone, 0.9,
            { policy, sample in
                policy.max = 6
                sample.members += [GroupMember(guest(98), .failed), GroupMember(guest(99), .unknown)]
                sample.members.removeLast()
            }, change: { _, sample in sample.members.removeLast() }),
        make(
            "breaker", .breaker, 0.9,
            { _, sample in
                sample.failuresInARow = 5
                sample.lastFailure = .seconds(9999)
            }, change: { _, sample in sample.failuresInARow = 0 }),
        make(
            "victims", .victims, 0.3, { _, sample in for index in 0..<4 { sample.members[index].isOurs = false } },
            change: { _, sample in
                for index in 0..<4 { sample.members[index].isOurs = true }
            }),
    ]

    @Test("the constraint that an explanation names, changed, flips the decision", arguments: cases.indices)
    func flips(index: Int) {
        let example = ExplanationTests.cases[index]
        let before = Scaling.decide(example.policy, example.input)
        let after = Scaling.decide(example.changedPolicy, example.changedInput)
        #expect(before.binding?.stage == example.stage, "\(example.name): \(before.stages)")
        #expect(before.binding?.remedy != nil, "\(example.name)")
        let changes = (before.launches, before.terminations, before.desired) == (after.launches, after.terminations, after.desired)
        #expect(!changes, "\(example.name): \(after.stages)")
    }
}

@Suite("Scaling: invariants 2 and 3 over random interleavings")
struct ScalingInvariantTests {
    /// A group that lives through create failures, deaths, lost polls and policy edits.
    struct Group {
        var random: SeededGenerator
        var policy = plainPolicy(min: 1, max: 6)
        var members: [GroupMember] = []
        var recommendations: [Recommendation] = []
        var changes: [SizeChange] = []
        var failures = 0
        var lastFailure: Duration?
        var nextGuest = 1
        var load = 1.0

        init(seed: UInt64) {
            random = SeededGenerator(seed)
            policy.scaleIn = DirectionRules(stabilization: .seconds(60), limits: [RateLimit(.guests(2), per: .seconds(60))])
            policy.replacesUnhealthy = true
        }

        mutating func chance(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &random) < share }

        mutating func live(at seconds: Int64) {
            for index in members.indices.reversed() {
                switch members[index].state {
                case .wanted: if chance(0.5) { members[index].state = .starting }
                case .starting:
                    if chance(0.3) {
                        members[index].state = .failed
                        failures += 1
                        lastFailure = .seconds(seconds)
                    } else if chance(0.5) {
                        members[index].state = .warming
                        failures = 0
                    }
                case .warming: if chance(0.3) { members[index].state = .inService }
                case .inService:
                    members[index].state = chance(0.02) ? .unknown : chance(0.02) ? .unhealthy : chance(0.01) ? .failed : .inService
                case .unhealthy: if chance(0.2) { members[index].state = .inService }
                case .unknown: if chance(0.2) { members[index].state = .inService }
                case .draining, .failed: if chance(0.2) { members.remove(at: index) }
                }
            }
            if chance(0.02) { policy.max = Int.random(in: 2...8, using: &random) }
            if chance(0.02) { members.append(GroupMember(guest(90_000 + nextGuest), .inService, isOurs: false)); nextGuest += 1 }
            load = max(0, load + Double.random(in: -0.6...0.6, using: &random))
        }
    }

    @Test("never a launch at or above max, never a scale-in on an unknown, never a victim that is not ours", arguments: UInt64(0)..<150)
    func invariants(seed: UInt64) {
        var group = Group(seed: seed)
        var grew = 0
        var shrank = 0
        for tick in 0..<400 {
            let seconds = Int64(tick) * 15
            group.live(at: seconds)
            let measured = group.members.count { $0.state.isMeasured }
            let matched = group.chance(0.1) ? Int.random(in: 0...measured, using: &group.random) : measured
            let value = group.chance(0.05) || matched == 0 ? nil : group.load / Double(max(1, measured))
            var sample = input(group.members, value, matched: matched, at: seconds)
            sample.recommendations = group.recommendations
            sample.changes = group.changes
            sample.failuresInARow = group.failures
            sample.lastFailure = group.lastFailure
            let decision = Scaling.decide(group.policy, sample)
            let notGone = group.members.count
            #expect(decision.launches == 0 || notGone + decision.launches <= group.policy.max)
            #expect(decision.terminations.isEmpty || (value != nil && Double(matched) >= 0.8 * Double(measured)))
            let stopped = Set(decision.terminations + decision.replacements + decision.cleanups)
            #expect(!group.members.contains { stopped.contains($0.guest) && !$0.isOurs })
            #expect(stopped.count == decision.terminations.count + decision.replacements.count + decision.cleanups.count)
            #expect(Scaling.decide(group.policy, sample) == decision)
            grew += decision.launches
            shrank += decision.terminations.count
            for _ in 0..<decision.launches {
                group.members.append(GroupMember(guest(group.nextGuest), .wanted, host: "a", zone: "z", launchedAt: .seconds(seconds)))
                group.nextGuest += 1
            }
            for index in group.members.indices where stopped.contains(group.members[index].guest) && group.members[index].state != .failed {
                group.members[index].state = .draining
            }
            group.recommendations.append(Recommendation(at: .seconds(seconds), size: decision.recommendation))
            if decision.launches > 0 { group.changes.append(SizeChange(at: .seconds(seconds), delta: decision.launches)) }
            if !decision.terminations.isEmpty {
                group.changes.append(SizeChange(at: .seconds(seconds), delta: -decision.terminations.count))
            }
        }
        #expect(grew > 0 && shrank > 0)
    }
}

@Suite("Scaling: the calendar")
struct CalendarTests {
    // Berlin in 2026: summer time from 29 March 01:00 UTC to 25 October 01:00 UTC.
    private let berlin = ZoneOffsets(
        name: "Europe/Berlin", firstOffsetSeconds: 3600,
        transitions: [
            .init(at: Timestamp(seconds: 1_774_746_000), offsetSeconds: 7200),
            .init(at: Timestamp(seconds: 1_792_890_000), offsetSeconds: 3600),
        ])

    private func instant(_ month: Int, _ day: Int, _ hour: Int, _ minute: Int) throws -> Timestamp {
        try #require(CivilDate(year: 2026, month: month, day: day)).startUTC + .seconds(hour * 3600 + minute * 60)
    }

    @Test(
        "the last firing, across both changes of the clock: rule, month, day, hour and minute in UTC, the firing",
        arguments: [
            ("30 2 * * *", [3, 29, 0, 59], [3, 28, 1, 30]), ("30 2 * * *", [3, 29, 1, 0], [3, 29, 1, 0]),
            ("30 2 * * *", [10, 25, 0, 29], [10, 24, 0, 30]), ("30 2 * * *", [10, 25, 1, 45], [10, 25, 0, 30]),
            ("0 8 * * mon-fri", [11, 22, 12, 0], [11, 20, 7, 0]), ("0 8 * * mon-fri", [11, 23, 6, 59], [11, 20, 7, 0]),
            ("0 8 * * mon-fri", [11, 23, 7, 0], [11, 23, 7, 0]), ("*/15 9-17 * * *", [7, 1, 9, 7], [7, 1, 9, 0]),
            ("0 0 1 jan *", [7, 1, 0, 0], [0, 0, 0, 0]),
        ])
    func firing(rule: String, at: [Int], expected: [Int]) throws {
        let cron = try CronRule.parse(rule).get()
        let found = cron.lastFiring(before: try instant(at[0], at[1], at[2], at[3]), zone: berlin)
        if expected[0] == 0 {
            #expect(found?.description == "2025-12-31T23:00:00Z")
        } else {
            let firing = try instant(expected[0], expected[1], expected[2], expected[3])
            #expect(found == firing)
        }
    }

    @Test(
        "bounds by the calendar hold from the firing on, also for a process that was down at the firing",
        arguments: [(7, 59, 2), (8, 0, 4), (11, 0, 4), (17, 59, 4), (18, 0, 2)])
    func bounds(hour: Int, minute: Int, size: Int) throws {
        var policy = plainPolicy(min: 1)
        policy.schedule = [
            ScheduleEntry(at: try CronRule.parse("0 8 * * *").get(), timezone: "UTC", min: 4, max: nil),
            ScheduleEntry(at: try CronRule.parse("0 18 * * *").get(), timezone: "UTC", min: 2, max: nil),
        ]
        var sample = input(members(2), 0.15)
        sample.now = Moment(wall: try instant(11, 23, hour, minute), uptime: .seconds(10_000))
        #expect(Scaling.decide(policy, sample).desired == size)
    }

    @Test("an entry that lasts ends", arguments: [(9, 59, 4), (10, 0, 1)])
    func lasts(hour: Int, minute: Int, size: Int) throws {
        var policy = plainPolicy(min: 1)
        policy.schedule = [
            ScheduleEntry(at: try CronRule.parse("0 8 * * *").get(), timezone: "UTC", min: 4, max: nil, lasts: .seconds(7200))
        ]
        var sample = input(members(1), 0.6)
        sample.now = Moment(wall: try instant(11, 23, hour, minute), uptime: .seconds(10_000))
        #expect(Scaling.decide(policy, sample).desired == size)
    }

    @Test("an unknown zone is an alarm and no schedule")
    func unknownZone() throws {
        var policy = plainPolicy()
        policy.schedule = [ScheduleEntry(at: try CronRule.parse("0 8 * * *").get(), timezone: "Mars/Base", min: 9, max: nil)]
        let decision = Scaling.decide(policy, input(members(2), 0.6))
        #expect(decision.desired == 2 && decision.alarms.count == 1)
    }

    @Test(
        "text that is no schedule is refused",
        arguments: [
            "", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *", "a * * * *",
            "1,,2 * * * *", "1/2/3 * * * *",
        ])
    func bad(text: String) {
        guard case .failure(let error) = CronRule.parse(text) else {
            Issue.record("it was taken for a schedule")
            return
        }
        #expect(!error.message.isEmpty)
    }
}
