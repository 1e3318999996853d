import Actuation
import Collection
import Decisions
import Fleet
import Foundation
import Groups
import JournalStorage
import Libvirt
import Logging
import Operations
import Plans
import Synchronization
import Threads
import Webhooks

/// Evaluates the policies of a folder on the fleet, and hands what they decide to the executor.
///
/// One thread ticks. It reads memory only, but for the queries, which run on threads of their own; the executor and the looks at hosts have
/// theirs. What must survive a restart is in the journal's store before the executor hears of a plan.
final class PolicyPart: Sendable {
    /// The folder of policies.
    let folder: String
    let store: PlanStore
    let runner: PlanRunner
    let fleet: PolicyFleet

    private let actuator: LibvirtActuator
    private let queries: PolicyQueries
    private let health = PolicyHealth()
    private let clock: @Sendable () -> Moment
    let logger: Logger
    let deliverer: Deliverer
    private let interval: Duration
    private let installation: String
    private let orders = Mailbox<Order>()
    private let state: Mutex<State>

    private enum Order: Sendable {
        case reload
        case save(String)
        case stop
    }

    struct State {
        var loaded: PolicyFolder
        var generation: UInt64 = 1
        var reloadFailures: UInt64 = 0
        var groups: [String: GroupState] = [:]
        var memories: [String: GroupMemory] = [:]
        var views: [String: GroupReport] = [:]
        /// Plans of scaling that were accepted, until they are closed: with the outcomes of their steps.
        var plans: [PlanID: (plan: Plan, outcomes: [StepOutcome?])] = [:]
        /// The hosts that may be acted on, as far as their connections depend on it.
        var actingHosts: [String] = []
        var ticks: UInt64 = 0
        var lastTick = Duration.zero
        var counts: [String: Counts] = [:]
    }

    /// What a policy has done since the start.
    struct Counts {
        var launches: UInt64 = 0
        var stops: UInt64 = 0
        var plans: UInt64 = 0
        var refused: UInt64 = 0
        var failed: UInt64 = 0
        var unknown: UInt64 = 0
    }

    /// A group's last tick, for whoever asks.
    struct GroupReport: Sendable {
        let at: Timestamp
        let members: [GroupMember]
        let names: [GuestID: String]
        let decision: ScalingDecision
        let measurements: [(query: String, measurement: Decisions.Measurement)]
        let obstacles: [String]
        let note: String?
        let price: Money?
    }

    init(
        folder: String, loaded: PolicyFolder, store: PlanStore, runner: PlanRunner, actuator: LibvirtActuator, fleet: PolicyFleet,
        own: PolicyQueries.OwnAnswer?, interval: Duration, clock: @escaping @Sendable () -> Moment, logger: Logger
    ) throws {
        self.folder = folder
        self.store = store
        self.runner = runner
        self.actuator = actuator
        self.fleet = fleet
        self.clock = clock
        self.logger = logger
        self.interval = interval
        queries = PolicyQueries(own: own)
        deliverer = Deliverer(
            log: store, now: { clock().wall }, jitter: { Double.random(in: 0...1) }, startThread: { startThread(named: $0, $1) })
        deliverer.setEndpoints(PolicyPart.endpoints(of: loaded) { logger.warning("\($0)") })
        do throws(JournalError) {
            if let known = try store.facts("installation").first {
                installation = known.body
            } else {
                installation = UUID().uuidString
                try store.keepFact("installation", "id", installation)
            }
            var state = State(loaded: loaded)
            for (name, body) in try store.facts("group") {
                guard let group = try? JSONDecoder().decode(GroupState.self, from: Data(body.utf8)) else {
                    throw JournalError.storage("what is kept of the group '\(name)' cannot be read; was it written by a newer Steward?")
                }
                state.groups[name] = group
            }
            self.state = Mutex(state)
        } catch {
            throw Failure("\(error)")
        }
        for open in runner.status.open where open.plan.decider == .scaling && open.isApproved { begin(open.plan) }
        for open in runner.status.open where open.plan.decider == .scaling {
            state.withLock {
                $0.plans[open.plan.id] = (open.plan, open.steps.map { if case .settled(let outcome) = $0 { outcome } else { nil } })
            }
        }
    }

    func start() { startThread(named: "policies") { [self] in run() } }
    func setHosts(_ hosts: [(policy: PolicyHost, actuator: ActuatorHost)]) {
        fleet.setHosts(hosts.map(\.policy))
        let allowed = hosts.filter(\.policy.allowsActions).map(\.actuator)
        // Connections are made anew only where something changed, since calls may be under way on them.
        let print = allowed.map { "\($0.name) \($0.address.text) \($0.credentials?.user ?? "")" }
        let isSame = state.withLock { state in
            defer { state.actingHosts = print }
            return state.actingHosts == print
        }
        if !isSame { actuator.setHosts(allowed) }
    }

    func reload() { orders.put(.reload) }
    func close() {
        orders.put(.stop)
        runner.stop()
    }

    /// Hears every durable row of the journal: called on the runner's thread, so it only notes.
    func note(_ entries: [JournalEntry]) {
        for entry in entries {
            switch entry.record {
            case .accepted(let plan) where plan.decider == .scaling && plan.mode != .observe:
                state.withLock { $0.plans[plan.id] = (plan, plan.steps.map { _ in nil }) }
            case .settled(let step, let outcome):
                state.withLock { $0.plans[step.plan]?.outcomes[step.index] = outcome }
                if case .failed(let reason) = outcome, let plan = state.withLock({ $0.plans[step.plan]?.plan }) {
                    logger.warning("\(step) (\(plan.steps[step.index].action.kind.rawValue)) failed: \(reason)")
                }
            case .closed(let id, let outcome, let note): closed(id, outcome, note, at: entry.at)
            default: break
            }
        }
    }

    private func closed(_ id: PlanID, _ outcome: PlanOutcome, _ note: String, at: Timestamp) {
        guard let (plan, outcomes) = state.withLock({ $0.plans.removeValue(forKey: id) }), let policy = plan.policy else { return }
        logger.info("\(id) of policy \(policy): \(outcome.rawValue)\(note.isEmpty ? "" : ", \(note)")")
        let group = state.withLock { state -> String? in
            guard let group = state.loaded.groups.first(where: { $0.policy.scaling.name == policy })?.policy.scaling.group else {
                return nil
            }
            state.groups[group] = GroupProgress.close(plan, outcomes: outcomes, state: state.groups[group] ?? GroupState(), now: at)
            if outcome == .failed || outcome == .partial { state.counts[policy, default: Counts()].failed += 1 }
            if outcome == .rejected { state.memories[group]?.lastPlan?.isRejected = true }
            return group
        }
        // The disk is waited for on the policies' own thread; a crash before that is mended by the next look at the fleet.
        if let group { orders.put(.save(group)) }
    }

    /// Keeps a group's state; failing that, the next tick does it again.
    private func save(_ group: String) {
        guard let kept = state.withLock({ $0.groups[group] }) else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        do {
            try store.keepFact("group", group, String(decoding: try encoder.encode(kept), as: UTF8.self))
        } catch {
            logger.error("the state of group \(group) cannot be kept: \(error)")
        }
    }

    /// A plan may be carried out from now on: its members count.
    func begin(_ plan: Plan) {
        guard let policy = plan.policy,
            let group = state.withLock({ $0.loaded.groups.first { $0.policy.scaling.name == policy }?.policy.scaling.group })
        else { return }
        let now = clock().wall
        state.withLock { state in
            state.groups[group] = GroupProgress.begin(
                plan, group: group, installation: installation, state: state.groups[group] ?? GroupState(), now: now)
        }
        save(group)
    }

    // MARK: Ticks

    private func run() {
        var next = clock().uptime
        while true {
            for order in orders.take(within: max(.zero, next - clock().uptime)) {
                switch order {
                case .stop: return
                case .reload: reloadNow()
                case .save(let group): save(group)
                }
            }
            let now = clock().uptime
            guard now >= next else { continue }
            next = max(next + interval, now)
            // Before every host was tried once, a guest that is not seen may simply not have been looked for.
            if fleet.isComplete { tick() }
        }
    }

    private func reloadNow() {
        let fresh = PolicyFolder.read([folder], runsScenarios: false)
        for diagnostic in fresh.diagnostics where diagnostic.severity == .error { logger.error("\(diagnostic)") }
        guard fresh.isUsable else {
            state.withLock { $0.reloadFailures += 1 }
            logger.error("the policies stay as they were: \(folder) has errors")
            return
        }
        state.withLock { state in
            state.loaded = fresh
            state.generation += 1
        }
        deliverer.setEndpoints(PolicyPart.endpoints(of: fresh) { logger.warning("\($0)") })
        logger.info("policies read again: \(fresh.groups.count) from \(folder)")
    }

    private func tick() {
        let now = clock()
        let (loaded, generation) = state.withLock { ($0.loaded, $0.generation) }
        let images = Set(loaded.groups.compactMap { $0.blueprint?.template.image }).sorted()
        fleet.survey(images: images, now: now.uptime, actuator: actuator, clock: clock)
        let sight = fleet.sight
        checkHealth(loaded.groups, sight)
        let questions = loaded.groups.flatMap { group in
            group.policy.scaling.targets.map { PolicyQueries.Question(source: $0.source, query: $0.query) }
                + group.policy.scaling.steps.map { PolicyQueries.Question(source: $0.source, query: $0.query) }
        }
        let answers = queries.ask(questions, at: now.wall)
        let healthNow = health.health
        for group in loaded.groups { tick(group, sight, answers, healthNow, loaded.zones, generation) }
        do { try deliverer.resume() } catch { logger.error("what waits to be delivered cannot be read: \(error)") }
        state.withLock { state in
            state.ticks += 1
            state.lastTick = clock().uptime - now.uptime
        }
    }

    private func checkHealth(_ groups: [LoadedGroup], _ sight: FleetSight) {
        let times = fleet.processorTimes()
        health.keepOnly(Set(sight.guests.filter(\.isActive).map(\.guest)))
        for group in groups {
            guard let rule = group.policy.health else { continue }
            let members = sight.guests.filter { $0.isActive && $0.group == group.policy.scaling.group }
            let targets = members.compactMap { member in address(of: member, group).map { (guest: member.guest, address: $0) } }
            health.check(targets, rule, times: times, clock: clock)
        }
    }

    private func address(of member: GuestSight, _ group: LoadedGroup) -> String? {
        guard let network = group.policy.scaling.template?.addressFromMAC, let mac = member.macs.first else { return nil }
        return Groups.address(fromMAC: mac, network: network)
    }

    private func tick(
        _ loaded: LoadedGroup, _ sight: FleetSight, _ answers: [PolicyQueries.Question: Decisions.Measurement],
        _ health: [GuestID: MemberHealth],
        _ zones: [ZoneOffsets], _ generation: UInt64
    ) {
        let policy = loaded.policy.scaling
        let questions =
            policy.targets.map { PolicyQueries.Question(source: $0.source, query: $0.query) }
            + policy.steps.map { PolicyQueries.Question(source: $0.source, query: $0.query) }
        let measurements = questions.map { answers[$0] ?? Decisions.Measurement(nil, failure: "not asked") }
        let now = clock()
        let view = GroupView(
            policy: policy, fleet: sight, health: health, measurements: measurements, plans: runner.status.open,
            memberPricePerHour: loaded.pricePerHour, zones: zones, now: now)
        let (outcome, memory) = state.withLock { state -> (GroupOutcome, GroupMemory) in
            var memory = state.memories[policy.group] ?? GroupMemory()
            let outcome = GroupTick.run(
                view, blueprint: loaded.blueprint, installation: installation, state: state.groups[policy.group] ?? GroupState(),
                memory: &memory)
            state.memories[policy.group] = memory
            if outcome.decision.isUnknown { state.counts[policy.name, default: Counts()].unknown += 1 }
            return (outcome, memory)
        }
        let isChanged = state.withLock { state in
            defer { state.groups[policy.group] = outcome.stateAfter }
            return state.groups[policy.group] != outcome.stateAfter
        }
        if isChanged { save(policy.group) }
        let note = outcome.proposal.flatMap { submit($0, loaded, memory, generation, now) }
        let names = Dictionary(sight.guests.map { ($0.guest, $0.name) }, uniquingKeysWith: { first, _ in first })
        let report = GroupReport(
            at: now.wall, members: outcome.members, names: names, decision: outcome.decision,
            measurements: zip(questions, measurements).map { ($0.query, $1) }, obstacles: outcome.obstacles, note: note,
            price: loaded.pricePerHour)
        let before = state.withLock { state in
            defer { state.views[policy.name] = report }
            return state.views[policy.name]
        }
        logChange(policy, report, before)
    }

    /// Says what changed, not every tick.
    private func logChange(_ policy: ScalingPolicy, _ report: GroupReport, _ before: GroupReport?) {
        let decision = report.decision
        if before?.decision.desired != decision.desired || before?.decision.current != decision.current {
            let why = decision.binding.map { "\($0.stage.rawValue): \($0.reason)" } ?? "nothing asks for a change"
            logger.info("policy \(policy.name): \(decision.current) members, \(decision.desired) wanted; \(why)")
        }
        for alarm in decision.alarms where before?.decision.alarms.contains(alarm) != true { logger.warning("\(alarm)") }
        for obstacle in report.obstacles where before?.obstacles.contains(obstacle) != true {
            logger.warning("policy \(policy.name): \(obstacle)")
        }
    }

    /// Hands a proposal in; the words for `explain`.
    private func submit(
        _ proposal: GroupProposal, _ loaded: LoadedGroup, _ memory: GroupMemory, _ generation: UInt64, _ now: Moment
    ) -> String? {
        let policy = loaded.policy.scaling
        if policy.mode != .auto, let last = memory.lastPlan, last.content == proposal.content,
            now.uptime - last.at < GroupTick.repetition
        {
            return last.isRejected ? "an operator rejected this; it is proposed again later" : "proposed already, \(policy.mode.rawValue)"
        }
        state.withLock {
            $0.memories[policy.group]?.lastPlan = GroupMemory.LastPlan(content: proposal.content, at: now.uptime)
        }
        var digests: [GuestID: String] = [:]
        do throws(JournalError) {
            // In this order: a plan in the journal always finds its documents.
            for definition in proposal.definitions {
                digests[definition.guest] = try store.keep(definition.xml)
                try store.keep(GuestSeed(metaData: definition.metaData, userData: definition.userData), for: definition.guest)
            }
            for filter in proposal.filters { try store.keepFact("filter", filter.name, filter.xml) }
        } catch {
            return "\(error)"
        }
        let steps = proposal.steps(digests: digests)
        let answer = runner.submit { id in
            Plan(
                id: id, generation: generation, decider: .scaling, policy: policy.name, mode: policy.mode, madeAt: now.wall,
                lifetime: GroupTick.lifetime, reasons: proposal.reasons, steps: steps)
        }
        switch answer {
        case .refused(let reason):
            state.withLock { $0.counts[policy.name, default: Counts()].refused += 1 }
            logger.warning("policy \(policy.name): the plan was refused: \(reason)")
            return "refused: \(reason)"
        case .accepted(let id):
            logger.info("policy \(policy.name): \(id) (\(policy.mode.rawValue)): \(proposal.reasons.joined(separator: "; "))")
            tell(loaded.policy, policy.mode == .approve ? .approval : .scale, key: "\(id.number)", proposal.reasons)
            if policy.mode == .auto {
                begin(
                    Plan(
                        id: id, generation: generation, decider: .scaling, policy: policy.name, mode: .auto, madeAt: now.wall, steps: steps)
                )
            }
            state.withLock { state in
                state.counts[policy.name, default: Counts()].plans += 1
                guard policy.mode == .auto else { return }
                state.counts[policy.name, default: Counts()].launches += UInt64(proposal.launches.count)
                state.counts[policy.name, default: Counts()].stops += UInt64(proposal.retirements.count)
            }
            return "\(id), \(policy.mode.rawValue)"
        }
    }

    // MARK: For whoever asks

    var now: Moment { clock() }

    func read<Result>(_ body: (borrowing State) -> Result) -> Result { state.withLock { body($0) } }

    /// Changes a group's own state by an operator's word.
    func change(_ group: String, _ body: (inout GroupState) -> Void) {
        state.withLock { body(&$0.groups[group, default: GroupState()]) }
        save(group)
    }

    /// The services of the actuator that policies give.
    static func services(
        store: PlanStore, fleet: PolicyFleet, part: @escaping @Sendable () -> PolicyPart?
    ) -> ActuatorServices {
        var services = ActuatorServices()
        services.definition = { digest in try? store.document(digest) }
        services.filter = { name in (try? store.facts("filter"))?.first { $0.key == name }?.body }
        services.seed = { guest in
            guard let seed = try? store.seed(of: guest) else { return nil }
            var files = [SeedFile("meta-data", seed.metaData), SeedFile("user-data", seed.userData)]
            if let network = seed.networkConfig { files.append(SeedFile("network-config", network)) }
            return files
        }
        services.answers = { host in fleet.answers(host) }
        services.health = { guest, host in part()?.healthNow(guest, host) ?? .unknown("policies are not running") }
        // Without a drain hook nobody can say that work is left: the drain time is simply waited for.
        services.drained = { _, _ in .notInEffect }
        return services
    }

    /// Whether a new member answers: by its policy's check, else by running with moving counters.
    private func healthNow(_ guest: GuestID, _ host: HostName) -> Observation {
        guard let (place, description) = fleet.guest(guest), place == host, let description else {
            return .unknown("\(host) has not listed it yet")
        }
        let group = state.withLock { state in
            state.loaded.groups.first { $0.policy.scaling.group == description.metadata.group }
        }
        guard let group, let rule = group.policy.health, let network = group.policy.scaling.template?.addressFromMAC,
            let mac = description.interfaces.compactMap(\.mac).first, let address = Groups.address(fromMAC: mac, network: network)
        else { return .inEffect(evidence: "it runs on \(host); no health check reaches it") }
        if let failure = probe(address, rule.port) { return .unknown("\(address) port \(rule.port): \(failure)") }
        return .inEffect(evidence: "\(address) port \(rule.port) accepts")
    }
}

/// One TCP check; nil where it was accepted.
private func probe(_ address: String, _ port: Int) -> String? { Probe.connect(to: address, port: port, within: PolicyHealth.deadline) }
