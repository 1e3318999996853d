public import Fleet
import Plans

/// An operator's test of a policy: loads in, expected decisions out.
public struct Scenario: Hashable, Sendable {
    /// The policy's name.
    public var policy: String
    /// The time between two ticks.
    public var interval: Duration
    /// When the first tick is.
    public var start: Timestamp
    /// Members in service at the start.
    public var members: Int
    /// What happens.
    public var ticks: [Tick]

    /// The most ticks of one scenario: a week at 15 s.
    public static let ticksMaximum = 40_320

    /// One line of a scenario.
    public struct Tick: Hashable, Sendable {
        /// The value of each query, in the policy's order, targets before steps; nil is unknown.
        public var values: [Double?]
        /// The share of members with fresh samples.
        public var coverage = 1.0
        /// How many ticks it lasts.
        public var count = 1
        /// Members that fail at its start.
        public var failing = 0
        /// What is expected at its last tick.
        public var expected = Expected()
        /// Where it stands.
        public var place: SourcePlace

        /// A line.
        public init(values: [Double?], place: SourcePlace) {
            self.values = values
            self.place = place
        }
    }

    /// What is expected; nil is not looked at.
    public struct Expected: Hashable, Sendable {
        /// The size decided.
        public var size: Int?
        /// Members launched.
        public var launches: Int?
        /// Members stopped.
        public var stops: Int?
        /// The stage that decided.
        public var because: ScalingStage?
        /// Nothing expected.
        public init() {}
    }

    /// A scenario.
    public init(policy: String, interval: Duration, start: Timestamp, members: Int, ticks: [Tick]) {
        self.policy = policy
        self.interval = interval
        self.start = start
        self.members = members
        self.ticks = ticks
    }

    /// Runs the scenario with the live decision code; what differs from what was expected, none where it holds.
    ///
    /// Launched members serve after one tick and are warm after the policy's warm-up; stopped ones are gone after its drain.
    public func run(_ policy: ScalingPolicy, zones: [ZoneOffsets] = [], memberPricePerHour: Money? = nil) -> [Diagnostic] {
        var run = ScenarioRun(scenario: self, policy: policy, zones: zones, price: memberPricePerHour)
        var failures: [Diagnostic] = []
        for tick in ticks {
            var last: ScalingDecision?
            run.fail(tick.failing)
            for _ in 0..<max(1, tick.count) { last = run.step(tick) }
            if let last { failures += ScenarioRun.differences(last, tick) }
        }
        return failures
    }
}

/// A scenario on its way: a small group that does what it is told.
struct ScenarioRun {
    let scenario: Scenario
    let policy: ScalingPolicy
    let zones: [ZoneOffsets]
    let price: Money?
    var members: [GroupMember]
    var leaving: [GuestID: Duration] = [:]
    var recommendations: [Recommendation] = []
    var changes: [SizeChange] = []
    var uptime = Duration.zero
    var nextGuest: UInt64

    init(scenario: Scenario, policy: ScalingPolicy, zones: [ZoneOffsets], price: Money?) {
        self.scenario = scenario
        self.policy = policy
        self.zones = zones
        self.price = price
        let places = policy.template.map { $0.zones.isEmpty ? ["z"] : $0.zones } ?? ["z"]
        members = (0..<scenario.members).map {
            GroupMember(
                GuestID(high: 0, low: UInt64($0 + 1)), .inService, host: HostName("host-\($0)"), zone: places[$0 % places.count],
                launchedAt: .seconds(-86_400 + $0))
        }
        nextGuest = UInt64(scenario.members + 1)
        // The group is taken to have been steady before: a window is full at the start.
        let span = max(policy.scaleIn.stabilization, policy.scaleOut.stabilization) + scenario.interval
        var at = .zero - span
        while at < .zero {
            recommendations.append(Recommendation(at: at, size: scenario.members))
            at += max(scenario.interval, .milliseconds(1))
        }
    }

    mutating func fail(_ count: Int) {
        for index in members.indices.filter({ members[$0].state == .inService }).prefix(count) {
            members[index].state = .unhealthy
            members[index].unhealthySince = uptime
        }
    }

    mutating func step(_ tick: Scenario.Tick) -> ScalingDecision {
        for index in members.indices {
            switch members[index].state {
            case .wanted: members[index].state = .warming
            case .warming where uptime - members[index].launchedAt >= policy.warmup: members[index].state = .inService
            case .starting, .warming, .inService, .unhealthy, .draining, .failed, .unknown: break
            }
        }
        members.removeAll { member in leaving[member.guest].map { uptime >= $0 } ?? false }
        let measured = members.count { $0.state.isMeasured }
        let matched = Int((Double(measured) * tick.coverage).rounded(.down))
        let sources = policy.targets.map(\.source) + policy.steps.map(\.source)
        let measurements = zip(tick.values, sources).map { value, source in
            Measurement(value, membersMatched: value == nil || source != .own ? nil : matched)
        }
        var input = ScalingInput(
            now: Moment(wall: scenario.start + uptime, uptime: uptime), members: members,
            targets: Array(measurements.prefix(policy.targets.count)))
        input.steps = Array(measurements.dropFirst(policy.targets.count))
        input.recommendations = recommendations
        input.changes = changes
        input.zones = zones
        input.memberPricePerHour = price
        let decision = Scaling.decide(policy, input)
        apply(decision)
        uptime += scenario.interval
        return decision
    }

    private mutating func apply(_ decision: ScalingDecision) {
        recommendations.append(Recommendation(at: uptime, size: decision.recommendation))
        let places = policy.template.map { $0.zones.isEmpty ? ["z"] : $0.zones } ?? ["z"]
        for _ in 0..<decision.launches {
            let counts = places.map { zone in members.count { $0.zone == zone } }
            let zone = zip(counts, places).min { $0.0 < $1.0 }?.1
            members.append(
                GroupMember(
                    GuestID(high: 0, low: nextGuest), .wanted, host: HostName("host-\(nextGuest)"), zone: zone, launchedAt: uptime))
            nextGuest += 1
        }
        let stopped = Set(decision.terminations + decision.replacements)
        for index in members.indices where stopped.contains(members[index].guest) {
            members[index].state = .draining
            leaving[members[index].guest] = uptime + policy.drain
        }
        if decision.launches > 0 { changes.append(SizeChange(at: uptime, delta: decision.launches)) }
        if !stopped.isEmpty { changes.append(SizeChange(at: uptime, delta: -stopped.count)) }
    }

    static func differences(_ decision: ScalingDecision, _ tick: Scenario.Tick) -> [Diagnostic] {
        var found: [String] = []
        if let size = tick.expected.size, size != decision.desired {
            found.append("size \(size) was expected, \(decision.desired) was decided")
        }
        if let launches = tick.expected.launches, launches != decision.launches {
            found.append("\(launches) launches were expected, \(decision.launches) were decided")
        }
        let stops = decision.terminations.count + decision.replacements.count
        if let expected = tick.expected.stops, expected != stops { found.append("\(expected) stops were expected, \(stops) were decided") }
        if let because = tick.expected.because, because != decision.binding?.stage {
            found.append("'\(because.rawValue)' was expected to decide, it was '\(decision.binding?.stage.rawValue ?? "nothing")'")
        }
        let why = decision.stages.map { "\($0.stage.rawValue): \($0.reason)" }.joined(separator: "; ")
        return found.map { Diagnostic(at: tick.place, $0, suggestion: why.isEmpty ? nil : why) }
    }
}
