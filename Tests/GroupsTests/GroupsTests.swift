import Decisions
import Fleet
import Groups
import Plans
import Testing

private let gibibyte = Bytes.gibibytes(1)
private let noon = Timestamp(seconds: 1_764_000_000)

private func moment(_ seconds: Int) -> Moment { Moment(wall: noon + .seconds(seconds), uptime: .seconds(1000 + seconds)) }

private func template(zones: [String] = [], groups: [String] = []) -> MemberTemplate {
    MemberTemplate(image: "debian", instanceType: "c2.small", networks: ["bridge:br0"], securityGroups: groups, zones: zones)
}

private let blueprint = MemberBlueprint(template: template(), vcpus: 1, memory: gibibyte, userData: "#cloud-config\n", tenant: "acme")

private func policy(min: Int = 2, max: Int = 8) -> ScalingPolicy {
    var policy = ScalingPolicy(name: "web", group: "web", min: min, max: max)
    policy.mode = .auto
    var target = ScalingTarget(query: "load", goal: .perMember(10))
    target.source = .prometheus("http://p")
    policy.targets = [target]
    policy.template = template()
    policy.scaleIn = DirectionRules(stabilization: .zero, limits: [])
    policy.warmup = .zero
    return policy
}

private func guest(_ number: UInt64) -> GuestID { GuestID(high: 7, low: number) }

/// A fleet of hosts in two zones, a group that can be acted out on it, and ticks.
private struct Stage {
    var policy: ScalingPolicy
    var hosts: [HostSight]
    var guests: [GuestSight] = []
    var state = GroupState()
    var memory = GroupMemory()
    var blueprint: MemberBlueprint? = GroupsTests_blueprint
    var seconds = 0
    var plans: [Executor.OpenPlan] = []

    init(policy: ScalingPolicy = GroupsTests_policy, hosts count: Int = 4, guests number: Int = 2) {
        self.policy = policy
        hosts = (1...count).map { index in
            var host = HostSight(HostName("h\(index)"), zone: "z\((index - 1) % 2 + 1)", isUp: true, allowsActions: true)
            host.cpus = 8
            host.memory = .gibibytes(16)
            host.images = [ImageSight(name: "debian", pool: "default", path: "/images/debian", capacity: gibibyte)]
            return host
        }
        for index in 0..<number { add(guest(UInt64(index + 1)), on: HostName("h\(index % count + 1)")) }
    }

    mutating func add(_ id: GuestID, on host: HostName, isActive: Bool = true) {
        var sight = GuestSight(id, name: "g-\(id.low)", host: host, group: "web", isActive: isActive)
        sight.vcpus = 1
        sight.memory = gibibyte
        guests.append(sight)
    }

    /// Ten seconds pass, and the load is that.
    mutating func tick(_ load: Double?, failure: String? = nil) -> GroupOutcome {
        seconds += 10
        let view = GroupView(
            policy: policy, fleet: FleetSight(hosts: hosts, guests: guests), health: [:],
            measurements: [Measurement(load, failure: failure)], plans: plans, memberPricePerHour: nil, zones: [], now: moment(seconds))
        let outcome = GroupTick.run(view, blueprint: blueprint, installation: "here", state: state, memory: &memory)
        state = outcome.stateAfter
        return outcome
    }

    /// The executor does all of a proposal at once.
    mutating func carryOut(_ proposal: GroupProposal, failing: (Action) -> Bool = { _ in false }) {
        let plan = Plan(
            id: PlanID(UInt64(seconds)), decider: .scaling, policy: "web", mode: .auto, madeAt: noon + .seconds(seconds),
            steps: proposal.steps(digests: [:]))
        state = GroupProgress.begin(plan, group: "web", installation: "here", state: state, now: noon + .seconds(seconds))
        var outcomes: [StepOutcome?] = []
        for step in plan.steps {
            let isBroken = step.after.contains { outcomes[$0]?.isDone == false && !plan.steps[$0].isAdvisory }
            guard !isBroken else {
                outcomes.append(.skipped("a step before it was not done"))
                continue
            }
            guard !failing(step.action) else {
                outcomes.append(.failed("no"))
                continue
            }
            switch step.action {
            case .start(let id, let host, _): add(id, on: host)
            case .undefine(let id, _, _): guests.removeAll { $0.guest == id }
            default: break
            }
            outcomes.append(.done(evidence: "seen"))
        }
        state = GroupProgress.close(plan, outcomes: outcomes, state: state, now: noon + .seconds(seconds))
    }
}

private let GroupsTests_blueprint = blueprint
private let GroupsTests_policy = policy()

@Suite("The identity of a member")
struct IdentityTests {
    @Test("the same installation, group and number are the same guest, whoever asks and whenever")
    func repeatable() {
        let one = MemberIdentity(installation: "a", group: "web", number: 7)
        let two = MemberIdentity(installation: "a", group: "web", number: 7)
        #expect(one == two)
        #expect(one.name == two.name && one.mac(interface: 0) == two.mac(interface: 0) && one.diskVolume == two.diskVolume)
        #expect(one.diskVolume.hasPrefix(one.guest.description))
    }

    @Test("ten thousand members of some groups and installations are all different guests")
    func different() {
        var seen: Set<GuestID> = []
        for installation in ["a", "b"] {
            for group in ["web", "we", "b"] {
                for number in 1...2000 {
                    seen.insert(MemberIdentity(installation: installation, group: group, number: number).guest)
                }
            }
        }
        #expect(seen.count == 12_000)
    }

    @Test("the UUID is of version 8 and of the RFC's variant")
    func version() {
        for number in 1...100 {
            let text = Array(MemberIdentity(installation: "a", group: "web", number: number).guest.description)
            #expect(text[14] == "8")
            #expect("89ab".contains(text[19]))
        }
    }

    @Test(
        "an address follows from the lowest bits of a MAC",
        arguments: [
            ("52:54:00:0c:81:05", "10.12.128.0/17", "10.12.129.5"), ("52:54:00:0c:01:05", "10.12.128.0/17", "10.12.129.5"),
            ("52:54:00:aa:bb:cc", "192.168.7.0/24", "192.168.7.204"), ("52:54:00:aa:bb:cc", "192.168.7.0", nil),
            ("52:54:00", "192.168.7.0/24", nil), ("52:54:00:aa:bb:cc", "192.168.7.0/33", nil),
        ] as [(String, String, String?)])
    func addresses(mac: String, network: String, wanted: String?) {
        #expect(address(fromMAC: mac, network: network) == wanted)
    }
}

@Suite("What a member is made of")
struct DefinitionTests {
    private let member = MemberIdentity(installation: "a", group: "web", number: 1)

    @Test("a definition holds its identity, its group, its disks and its interface")
    func whole() throws {
        let xml = try blueprint.definition(
            of: member, disk: "/d/a&b.qcow2", seed: "/d/seed.iso", macs: ["52:54:00:01:02:03"], domainType: "kvm", filter: "steward-web")
        let description = try GuestDescription(domainXML: xml)
        #expect(description.guest == member.guest)
        #expect(description.name == member.name)
        #expect(description.metadata.group == "web")
        #expect(description.metadata.tenant == "acme")
        #expect(description.memoryMaximum == gibibyte)
        #expect(description.disks.map(\.source) == ["/d/a&b.qcow2", "/d/seed.iso"])
        #expect(description.disks.map(\.isReadOnly) == [false, true])
        #expect(description.interfaces.map(\.mac) == ["52:54:00:01:02:03"])
        #expect(description.interfaces.map(\.source) == ["br0"])
        #expect(xml.contains("<filterref filter='steward-web'/>"))
    }

    @Test(
        "an operator's domain that says what Steward writes is refused by name",
        arguments: [
            ("<domain><uuid>x</uuid><devices></devices></domain>", "<uuid>"), ("<domain></domain>", "<devices>"),
            ("<domain><devices><disk/></devices></domain>", "<disk>"), ("<network/>", "<network>"), ("<domain", "line"),
        ])
    func flaws(domain: String, word: String) {
        var own = blueprint
        own.domain = domain
        #expect(own.flaw?.contains(word) == true)
        #expect(throws: MemberDefinitionError.self) {
            try own.definition(of: member, disk: "/d", seed: "/s", macs: [], domainType: "kvm", filter: nil)
        }
    }

    @Test("security groups become one filter that refers to each")
    func filter() {
        let xml = MemberBlueprint.composedFilter(name: "steward-web", of: ["web", "ssh"])
        #expect(xml?.contains("<filterref filter='web'/><filterref filter='ssh'/>") == true)
        #expect(xml == MemberBlueprint.composedFilter(name: "steward-web", of: ["web", "ssh"]))
    }
}

@Suite("A group at a tick")
struct GroupTickTests {
    @Test("load grows the group to the computed size, spread over the zones and the emptiest hosts")
    func growth() throws {
        var stage = Stage()
        let outcome = stage.tick(40)
        #expect(outcome.decision.launches == 2)
        let proposal = try #require(outcome.proposal)
        let hosts = proposal.steps.compactMap { step -> HostName? in
            if case .start(_, let host, _) = step.action { host } else { nil }
        }
        #expect(hosts == ["h3", "h4"])
        #expect(
            proposal.steps.map(\.action.kind)
                == Array(repeating: [.createOverlay, .createSeed, .define, .start, .awaitHealth], count: 2).flatMap { $0 })
        #expect(Plan(id: PlanID(1), decider: .scaling, mode: .auto, madeAt: noon, steps: proposal.steps).flaw == nil)
    }

    @Test("a plan that is made twice names the same guests and volumes")
    func twice() {
        var stage = Stage()
        #expect(stage.tick(40).proposal?.launches == stage.tick(40).proposal?.launches)
    }

    @Test("members of an open plan count: the next tick launches no more")
    func pending() throws {
        var stage = Stage()
        let proposal = try #require(stage.tick(40).proposal)
        let plan = Plan(id: PlanID(1), decider: .scaling, policy: "web", mode: .auto, madeAt: noon, steps: proposal.steps(digests: [:]))
        var executor = Executor()
        _ = executor.step(.submit(plan), now: moment(10))
        stage.state = GroupProgress.begin(plan, group: "web", installation: "here", state: stage.state, now: noon)
        stage.plans = executor.open
        let next = stage.tick(40)
        #expect(next.decision.current == 4)
        #expect(next.proposal == nil)
        #expect(next.members.filter { $0.state == .wanted || $0.state == .starting }.count == 2)
    }

    @Test("beginning a plan twice, as after a crash, changes nothing the second time")
    func beginTwice() throws {
        var stage = Stage()
        let proposal = try #require(stage.tick(40).proposal)
        let plan = Plan(id: PlanID(1), decider: .scaling, policy: "web", mode: .auto, madeAt: noon, steps: proposal.steps(digests: [:]))
        let once = GroupProgress.begin(plan, group: "web", installation: "here", state: stage.state, now: noon)
        let again = GroupProgress.begin(plan, group: "web", installation: "here", state: once, now: noon + .seconds(5))
        #expect(once == again)
        #expect(once.nextNumber == 3)
    }

    @Test("without load only members of ours are stopped, never a hand-made guest")
    func onlyOurs() throws {
        var stage = Stage()
        stage.carryOut(try #require(stage.tick(40).proposal))
        #expect(stage.guests.count == 4)
        let outcome = stage.tick(0)
        let proposal = try #require(outcome.proposal)
        #expect(Set(proposal.retirements).isDisjoint(with: [guest(1), guest(2)]))
        stage.carryOut(proposal)
        #expect(stage.guests.map(\.guest).sorted() == [guest(1), guest(2)])
        #expect(stage.state.quarantine.count == 2)
        var alone = Stage(guests: 4)
        #expect(alone.tick(0).proposal == nil)
    }

    @Test("an adopted guest may be stopped, and its disks stay")
    func adopted() throws {
        var stage = Stage(policy: policy(min: 1), guests: 2)
        _ = stage.tick(20)
        for index in stage.state.members.indices { stage.state.members[index].isAdopted = true }
        let proposal = try #require(stage.tick(0).proposal)
        #expect(proposal.retirements.count == 1)
        #expect(!proposal.steps.contains { $0.action.kind == .deleteVolume || $0.action.kind == .quarantineVolume })
    }

    @Test("an unknown query stops and launches nothing", arguments: [nil, "refused"] as [String?])
    func unknownQuery(failure: String?) throws {
        var stage = Stage()
        stage.carryOut(try #require(stage.tick(40).proposal))
        for _ in 0..<50 { #expect(stage.tick(nil, failure: failure).proposal == nil) }
    }

    @Test("a host that does not answer makes its members unknown: they count, and are neither stopped nor replaced")
    func unreachable() throws {
        var stage = Stage(guests: 4)
        _ = stage.tick(40)
        stage.hosts[1].isUp = false
        stage.guests.removeAll { $0.host == "h2" }
        let outcome = stage.tick(40)
        #expect(outcome.members.filter { $0.state == .unknown }.map(\.guest) == [guest(2)])
        #expect(outcome.decision.current == 4)
        #expect(outcome.proposal == nil)
    }

    @Test("a member that vanished is gone only when every host has said so for long enough", arguments: [(20, 2), (40, 1)])
    func vanished(after: Int, current: Int) {
        var stage = Stage()
        _ = stage.tick(20)
        stage.guests.removeLast()
        var outcome = stage.tick(20)
        for _ in 0..<(after / 10 - 1) { outcome = stage.tick(20) }
        #expect(outcome.decision.current == current)
    }

    @Test("members that may be gone are not made up for by stopping those that serve")
    func noShrinkOnUnseen() throws {
        var stage = Stage()
        stage.carryOut(try #require(stage.tick(40).proposal))
        stage.hosts[0].isUp = false
        stage.hosts[1].isUp = false
        stage.guests.removeAll { $0.host == "h1" || $0.host == "h2" }
        #expect(stage.tick(0).proposal == nil)
    }

    @Test("disks are kept while any host does not answer, since it might use them")
    func keepsDisks() throws {
        var stage = Stage()
        stage.carryOut(try #require(stage.tick(40).proposal))
        stage.hosts[0].isUp = false
        stage.guests.removeAll { $0.host == "h1" }
        let outcome = stage.tick(0)
        let proposal = try #require(outcome.proposal)
        #expect(!proposal.steps.contains { $0.action.kind == .quarantineVolume || $0.action.kind == .deleteVolume })
        #expect(outcome.obstacles.contains { $0.contains("is kept") })
    }

    @Test("a launch that fails is cleared away, and after three in a row the breaker opens")
    func failing() throws {
        var stage = Stage()
        for _ in 0..<2 {
            stage.carryOut(try #require(stage.tick(40).proposal)) { $0.kind == .start }
        }
        #expect(stage.state.failuresInARow >= 3)
        let outcome = stage.tick(40)
        #expect(outcome.decision.launches == 0)
        let proposal = try #require(outcome.proposal)
        #expect(proposal.launches.isEmpty)
        #expect(!proposal.retirements.isEmpty)
        #expect(stage.state.members.count <= stage.policy.max)
    }

    @Test("wherever a creation fails, the members never outnumber max", arguments: Action.Kind.allCases)
    func never(kind: Action.Kind) {
        var stage = Stage(policy: policy(max: 4))
        for _ in 0..<30 {
            let outcome = stage.tick(400)
            #expect(outcome.members.count <= 4)
            if let proposal = outcome.proposal { stage.carryOut(proposal) { $0.kind == kind } }
            #expect(stage.state.members.count <= 4)
            #expect(stage.guests.count <= 4)
        }
    }

    @Test("without a host that has the image, the constraint of each host is told")
    func infeasible() {
        var stage = Stage(hosts: 2)
        stage.hosts[0].images = []
        stage.hosts[1].allowsActions = false
        let outcome = stage.tick(40)
        #expect(outcome.proposal == nil)
        #expect(
            outcome.obstacles == [
                "no host for a new member: h1: it does not reach pool with image debian; h2: its configuration does not allow actions"
            ])
    }

    @Test("a paused policy decides and does nothing")
    func paused() {
        var stage = Stage()
        stage.state.pausedBy = "anna"
        let outcome = stage.tick(40)
        #expect(outcome.decision.launches == 2)
        #expect(outcome.proposal == nil)
        #expect(outcome.obstacles == ["paused by anna: nothing is done"])
    }

    @Test("a disk is deleted when its quarantine is over, not before", arguments: [(86_390, false), (86_400, true)])
    func quarantine(age: Int, isDeleted: Bool) throws {
        var stage = Stage()
        stage.carryOut(try #require(stage.tick(40).proposal))
        stage.carryOut(try #require(stage.tick(0).proposal))
        stage.seconds += age - 10
        let outcome = stage.tick(20)
        #expect((outcome.proposal?.deletions.count == 2) == isDeleted)
        if let proposal = outcome.proposal {
            stage.carryOut(proposal)
            #expect(stage.state.quarantine.isEmpty)
        }
    }
}
