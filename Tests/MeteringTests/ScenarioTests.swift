import Fleet
import Metering
import Testing

@Suite("Scenarios that meters get wrong")
struct ScenarioTests {
    let gib = Int128(1) << 30

    /// One guest running from 0 on h1, watched.
    func running(at start: Double = 0, shape described: GuestShape = shape()) -> Scribe {
        var scribe = Scribe()
        scribe.open(0, "h1")
        scribe.guest(start, "h1", guest(1), .running, edge: .started, run: 1, shape: described)
        return scribe
    }

    @Test("S1: five starts in a minute are five minimums, each its own line quantity; without a minimum there is none")
    func minimums() {
        var scribe = Scribe()
        scribe.open(0, "h1")
        for cycle in 0..<5 {
            scribe.guest(Double(cycle) * 12 + 1, "h1", guest(1), .running, edge: .started, run: Int32(cycle + 1), shape: shape())
            scribe.guest(Double(cycle) * 12 + 11, "h1", guest(1), .shutOff, edge: .stopped, run: Int32(cycle + 1))
        }
        scribe.alive(100)
        let result = report(scribe.facts, window(0, 100), tariff: tariff([(0, nil, priceBook(minimum: 60))]))
        #expect(result.seconds() == 50)
        #expect(result.seconds(meter: .minimum) == 250)
        #expect(report(scribe.facts, window(0, 100)).seconds(meter: .minimum) == 0)
    }

    @Test("a start that lasted less than a second is still a start")
    func instantStart() {
        var scribe = Scribe()
        scribe.open(0, "h1")
        scribe.guest(5.1, "h1", guest(1), .running, edge: .started, run: 1, shape: shape())
        scribe.guest(5.6, "h1", guest(1), .shutOff, edge: .stopped, run: 1)
        scribe.alive(100)
        let result = report(scribe.facts, window(0, 100), tariff: tariff([(0, nil, priceBook(minimum: 60))]))
        #expect(result.seconds(meter: .minimum) == 60)
    }

    @Test("a guest that already ran when it was first seen is charged no minimum")
    func noMinimumForKnown() {
        var scribe = Scribe()
        scribe.open(0, "h1", [guest(1)])
        scribe.guest(0, "h1", guest(1), .running, run: 1, source: .poll, shape: shape())
        scribe.guest(10, "h1", guest(1), .shutOff, edge: .stopped, run: 1)
        scribe.alive(100)
        let result = report(scribe.facts, window(0, 100), tariff: tariff([(0, nil, priceBook(minimum: 60))]))
        #expect(result.seconds(meter: .minimum) == 0)
        #expect(result.seconds() == 10)
    }

    @Test("S2: a resize splits at its second and the new size is billed from there")
    func resize() {
        var scribe = running()
        scribe.guest(30, "h1", guest(1), .running, run: 1, source: .poll, shape: shape(vcpus: 4, gib: 8, type: "c4.large"))
        scribe.alive(100)
        let result = report(scribe.facts, window(0, 100))
        #expect(result.seconds("c2.large") == 30)
        #expect(result.seconds("c4.large") == 70)
    }

    @Test("a claimed type that the guest does not have is billed as custom, and told")
    func mismatch() {
        var scribe = running(shape: shape(vcpus: 3, gib: 5))
        scribe.alive(100)
        let result = report(scribe.facts, window(0, 100))
        #expect(result.seconds("custom vCPU") == 300)
        #expect(result.seconds("custom memory") == 500 * gib)
        #expect(result.findings.map(\.kind) == [.typeMismatch])
        #expect(result.needsAttention)
    }

    @Test("without a claim the catalogue is matched, and what fits nothing is custom without complaint")
    func unclaimed() {
        var scribe = running(shape: shape(vcpus: 4, gib: 8, type: nil))
        scribe.alive(100)
        #expect(report(scribe.facts, window(0, 100)).seconds("c4.large") == 100)
        var odd = running(shape: shape(vcpus: 7, gib: 8, type: nil))
        odd.alive(100)
        #expect(report(odd.facts, window(0, 100)).findings.isEmpty)
    }

    @Test(
        "S4, S5, S6: ten minutes without the collector are charged only where one run is proven",
        arguments: [
            ("the same run, node time spans the gap", 1, (5, 50), (0, 2_400_000_000_000), nil, 600),
            ("the same run, 97 % of the node time", 1, (5, 50), (0, 2_328_000_000_000), nil, 0),
            ("restarted: another run", 2, (5, 50), (0, 2_400_000_000_000), nil, 0),
            ("restarted with the same id: less CPU time", 1, (50, 5), (0, 2_400_000_000_000), nil, 0),
            ("host rebooted: same id, larger CPU time, node time began again", 1, (5, 50), (9_000_000_000_000, 800_000_000_000), nil, 0),
            ("host rebooted: same id, larger CPU time, another boot", 1, (5, 50), (0, 2_400_000_000_000), ("a", "b"), 0),
            ("one boot id at both ends", 1, (5, 50), nil, ("a", "a"), 600),
            ("nothing known of the host", 1, (5, 50), nil, nil, 0),
            ("replaced: more CPU time than two vCPUs can use", 1, (5, 1_300_000_000_000), nil, ("a", "a"), 0),
        ] as [(String, Int32, (UInt64, UInt64), (UInt64, UInt64)?, (String, String)?, Int128)])
    func outage(name: String, run: Int32, cpu: (UInt64, UInt64), node: (UInt64, UInt64)?, boot: (String, String)?, charged: Int128) {
        var scribe = running()
        scribe.close(110, "h1", lastAnswer: 100)
        scribe.origin = "collector:2"
        scribe.open(700, "h1", [guest(1)])
        scribe.guest(
            700, "h1", guest(1), .running, run: run, source: .poll, shape: shape(),
            continuity: Continuity(
                gapMilliseconds: 600_000, vcpus: 2, nodeCPUs: 4,
                before: .init(run: 1, cpuNanoseconds: cpu.0, nodeNanoseconds: node?.0, bootID: boot?.0),
                after: .init(run: run, cpuNanoseconds: cpu.1, nodeNanoseconds: node?.1, bootID: boot?.1)))
        scribe.alive(1000)
        let result = report(scribe.facts, window(0, 1000))
        #expect(result.seconds() == 400 + charged, "\(name)")
        #expect(result.seconds.billedByEvidence[Int(Evidence.proven.rawValue)] == Int64(charged))
        #expect(result.seconds.unknown == 600 - Int64(charged))
        #expect(report(scribe.facts, window(0, 1000), policy: .free).seconds() == 400)
    }

    @Test("a collector that was killed is trusted to its last sign of life, and no further")
    func killed() {
        var scribe = running()
        scribe.alive(60)
        scribe.alive(120)
        scribe.origin = "collector:2"
        scribe.open(700, "h1", [guest(1)])
        scribe.guest(700, "h1", guest(1), .running, run: 1, source: .poll, shape: shape())
        scribe.alive(1000)
        #expect(report(scribe.facts, window(0, 1000)).seconds() == 120 + 300)
    }

    @Test(
        "the gap policy 'assume' charges short gaps as assumed, and long ones not", arguments: [(580, 580), (579, 0)] as [(Int64, Int64)])
    func assumed(maximum: Int64, charged: Int64) {
        var scribe = running()
        scribe.alive(120)
        scribe.origin = "collector:2"
        scribe.open(700, "h1", [guest(1)])
        scribe.guest(700, "h1", guest(1), .running, run: 1, source: .poll, shape: shape())
        scribe.alive(1000)
        let result = report(scribe.facts, window(0, 1000), policy: .assume(maximumSeconds: maximum))
        #expect(result.seconds.billedByEvidence == [420, 0, 0, charged, 0])
    }

    @Test("S5: the hook's journal tells what happened while the collector was away")
    func hook() {
        var scribe = running()
        scribe.alive(100)
        var journal = Scribe(origin: "hook:h1:boot", machine: "h1-boot")
        journal.guest(250, "h1", guest(1), .shutOff, edge: .stopped, run: 1, source: .hook)
        journal.guest(400, "h1", guest(1), .running, edge: .started, run: 2, source: .hook)
        let bare = journal.facts
        journal.write(
            700, host: "h1", source: .hook, .journalRead(fromSteady: 50_000_000, throughSteady: 50_700_000))
        scribe.origin = "collector:2"
        scribe.open(700, "h1", [guest(1)])
        scribe.guest(700, "h1", guest(1), .running, run: 2, source: .poll, shape: shape())
        scribe.alive(1000)
        let covered = report(scribe.facts + journal.facts, window(0, 1000))
        #expect(covered.seconds() == 250 + 600)
        #expect(covered.seconds.billedByEvidence == [850, 0, 0, 0, 0])
        // Without the word that the journal has no hole, the runs between its edges are proven, the rest between them is not known.
        let alone = report(scribe.facts + bare, window(0, 1000))
        #expect(alone.seconds() == 850)
        #expect(alone.seconds.billedByEvidence == [400, 450, 0, 0, 0])
        #expect(alone.seconds.unknown == 150)
    }

    @Test("S8: two collectors three seconds apart and a hook tell of the same starts: each run is charged once, by the hook's clock")
    func duplicateStarts() {
        var first = Scribe()
        var second = Scribe(origin: "collector:b", machine: "b")
        var journal = Scribe(origin: "hook:h1:boot", machine: "h1-boot")
        first.open(0, "h1")
        second.open(-3, "h1")
        for (run, start, stop) in [(Int32(1), 50.0, 100.0), (2, 101, 160)] {
            first.guest(start, "h1", guest(1), .running, edge: .started, run: run, shape: shape())
            first.guest(stop, "h1", guest(1), .shutOff, edge: .stopped, run: run)
            second.guest(start - 3, "h1", guest(1), .running, edge: .started, run: run, shape: shape())
            second.guest(stop - 3, "h1", guest(1), .shutOff, edge: .stopped, run: run)
            journal.guest(start, "h1", guest(1), .running, edge: .started, run: run, source: .hook)
            journal.guest(stop, "h1", guest(1), .shutOff, edge: .stopped, run: run, source: .hook)
        }
        first.alive(200)
        second.alive(197)
        let facts = first.facts + second.facts + journal.facts
        let book = SpanBook(facts: facts)
        #expect(report(facts, window(0, 200)).seconds() == 50 + 59)
        #expect(book.sessions.count == 2)
    }

    /// Source h1, target h2: the facts of a live migration whose hand-over happens at 100.
    enum Step: CaseIterable { case targetStarted, targetResumed, sourceSuspended, sourceStopped }

    func migration(_ order: [Step], spacing: Double) -> [Fact] {
        var scribe = running()
        scribe.open(0, "h2")
        for (index, step) in order.enumerated() {
            let second = 100 + Double(index) * spacing
            switch step {
            case .targetStarted: scribe.guest(second, "h2", guest(1), .paused, reason: 2, edge: .started, run: 7, shape: shape())
            case .targetResumed: scribe.guest(second, "h2", guest(1), .running, reason: 2, run: 7)
            case .sourceSuspended: scribe.guest(second, "h1", guest(1), .paused, reason: 2, run: 1)
            case .sourceStopped: scribe.guest(second, "h1", guest(1), .shutOff, reason: 4, edge: .stopped, run: 1)
            }
        }
        scribe.guest(120, "h1", guest(1), nil)
        scribe.alive(300)
        return scribe.facts
    }

    static let interleavings: [[Step]] = {
        var all: [[Step]] = []
        for first in Step.allCases {
            for second in Step.allCases where second != first {
                for third in Step.allCases where third != first && third != second {
                    guard let fourth = Step.allCases.first(where: { ![first, second, third].contains($0) }) else { continue }
                    all.append([first, second, third, fourth])
                }
            }
        }
        return all.filter { order in
            func place(_ step: Step) -> Int { order.firstIndex(of: step) ?? 0 }
            return place(.targetStarted) < place(.targetResumed) && place(.sourceSuspended) < place(.sourceStopped)
        }
    }()

    @Test(
        "I15: a live migration charges wall seconds once, in one session, in every order of the two hosts' events", arguments: interleavings
    )
    func migration(order: [Step]) {
        for spacing in [0.0, 0.4, 2.0] {
            let facts = migration(order, spacing: spacing)
            let result = report(facts, window(0, 300), tariff: tariff([(0, nil, priceBook(minimum: 3600))]))
            #expect(result.seconds() == 300)
            #expect(SpanBook(facts: facts).sessions.count == 1)
            #expect(result.seconds(meter: .minimum) == 3300)
            #expect(result.findings.isEmpty)
        }
    }

    @Test("I15: a failed migration leaves the guest where it was, charged once")
    func failedMigration() {
        var scribe = running()
        scribe.open(0, "h2")
        scribe.guest(50, "h2", guest(1), .paused, reason: 2, edge: .started, run: 7, shape: shape())
        scribe.guest(60, "h1", guest(1), .paused, reason: 2, run: 1)
        scribe.guest(62, "h1", guest(1), .running, reason: 6, run: 1)
        scribe.guest(62, "h2", guest(1), .shutOff, reason: 6, edge: .stopped, run: 7)
        scribe.guest(63, "h2", guest(1), nil)
        scribe.alive(300)
        #expect(report(scribe.facts, window(0, 300)).seconds() == 300)
        #expect(report(scribe.facts, window(0, 300), filter: UsageFilter(host: "h1")).seconds() == 300)
        #expect(SpanBook(facts: scribe.facts).sessions.count == 1)
    }

    @Test("S15: a post-copy migration that fails half-way on both hosts is not charged while it is broken")
    func postcopyFailed() {
        var scribe = running()
        scribe.open(0, "h2")
        scribe.guest(50, "h2", guest(1), .paused, reason: 2, edge: .started, run: 7, shape: shape())
        scribe.guest(60, "h1", guest(1), .paused, reason: 12, run: 1)
        scribe.guest(60, "h2", guest(1), .running, reason: 10, run: 7)
        scribe.guest(70, "h1", guest(1), .paused, reason: 13, run: 1)
        scribe.guest(70, "h2", guest(1), .paused, reason: 13, run: 7)
        scribe.alive(100)
        #expect(report(scribe.facts, window(0, 100)).seconds() == 70)
    }

    @Test("I16: an evacuated guest is free in the hole, keeps its session, and is flagged once if the dead host's journal shows it ran on")
    func evacuation() {
        var scribe = running()
        scribe.open(0, "h2")
        scribe.close(110, "h1", lastAnswer: 100)
        scribe.guest(200, "h2", guest(1), .running, edge: .started, run: 3, shape: shape())
        scribe.alive(500)
        let result = report(scribe.facts, window(0, 500), tariff: tariff([(0, nil, priceBook(minimum: 60))]))
        #expect(result.seconds() == 400)
        #expect(result.seconds.unknown == 100)
        #expect(SpanBook(facts: scribe.facts).sessions.count == 1)
        #expect(result.findings.isEmpty)

        var journal = Scribe(origin: "hook:h1:boot", machine: "h1-boot")
        journal.guest(260, "h1", guest(1), .shutOff, edge: .stopped, run: 1, source: .hook)
        let late = report(scribe.facts + journal.facts, window(0, 500))
        #expect(late.seconds() == 500)
        #expect(late.findings.map(\.kind) == [.doubleRun])
        #expect(late.needsAttention)
        scribe.state(501, .acknowledgement(finding: late.findings[0].id))
        #expect(!report(scribe.facts + journal.facts, window(0, 500)).needsAttention)
    }

    @Test(
        "two hosts that both run a guest are charged once; ten seconds of it are a hand-over, eleven a double run",
        arguments: [(10, false), (11, true)])
    func doubleRun(seconds: Int, isFlagged: Bool) {
        var scribe = running()
        scribe.open(0, "h2")
        scribe.guest(100, "h2", guest(1), .running, edge: .started, run: 5, shape: shape())
        scribe.guest(Double(100 + seconds), "h1", guest(1), .shutOff, reason: 2, edge: .stopped, run: 1)
        scribe.alive(300)
        let result = report(scribe.facts, window(0, 300))
        #expect(result.seconds() == 300)
        #expect(result.seconds.life == 300)
        #expect(result.findings.contains { $0.kind == .doubleRun } == isFlagged)
    }

    @Test("a change that only a listing found: a start counts from the listing, a stop from the one before")
    func polled() {
        var scribe = Scribe()
        scribe.open(0, "h1", means: .polls)
        scribe.guest(30, "h1", guest(1), .running, run: 1, source: .poll, before: 15, shape: shape())
        scribe.guest(90, "h1", guest(1), .shutOff, run: 1, source: .poll, before: 15)
        scribe.alive(120)
        let result = report(scribe.facts, window(0, 120))
        #expect(result.seconds() == 45)
        #expect(result.seconds.billedByEvidence == [0, 0, 45, 0, 0])
    }

    @Test("a guest that a new listing does not name is gone, and the gap before is unknown")
    func vanished() {
        var scribe = running()
        scribe.close(110, "h1", lastAnswer: 100)
        scribe.origin = "collector:2"
        scribe.open(300, "h1", [])
        scribe.alive(400)
        let result = report(scribe.facts, window(0, 400))
        #expect(result.seconds() == 100)
        #expect(result.seconds.life == 300)
        #expect(result.seconds.unknown == 200)
    }

    @Test(
        "what is billable follows the table",
        arguments: [
            (DomainState.running, 1, true), (.blocked, 0, true), (.paused, 1, true), (.paused, 2, true), (.paused, 5, false),
            (.paused, 6, false),
            (.paused, 10, false), (.paused, 13, false), (.paused, 14, false), (.shutdown, 1, false), (.shutOff, 1, false),
            (.crashed, 1, false),
            (.suspended, 0, true), (.noState, 0, false),
        ] as [(DomainState, Int32, Bool)])
    func billable(state: DomainState, reason: Int32, isBilled: Bool) {
        var scribe = running()
        scribe.guest(50, "h1", guest(1), state, reason: reason, run: 1)
        scribe.alive(100)
        #expect(report(scribe.facts, window(50, 100)).seconds() == (isBilled ? 50 : 0))
    }

    @Test("shut-off guests are charged where the operator keeps charging, and paused memory as reserved where the table says so")
    func otherTables() {
        var scribe = running()
        scribe.guest(10, "h1", guest(1), .paused, reason: 1, run: 1)
        scribe.guest(40, "h1", guest(1), .shutOff, edge: .stopped, run: 1)
        scribe.alive(100)
        let keep = report(scribe.facts, window(0, 100), tariff: tariff(table: BillableTable(version: "k", keepsChargingShutOff: true)))
        #expect(keep.seconds() == 100)
        let rows: [BillableTable.Row] = [.init(.paused, .compute, isBilled: false), .init(.paused, .reservedMemory, isBilled: true)]
        let reserved = report(scribe.facts, window(0, 100), tariff: tariff(table: BillableTable(version: "r", rows: rows)))
        #expect(reserved.seconds() == 10)
        #expect(reserved.seconds("memory", meter: .reservedMemory) == 120 * gib)
    }

    func disk(_ gib: UInt64, _ presence: VolumeFact.Presence, before: Int64? = nil) -> FactBody {
        .volume(
            VolumeFact(
                key: "pool/data", size: .gibibytes(gib), presence: presence, hints: VolumeHints(metadataType: "ssd"),
                previousListingMillisecondsBefore: before))
    }

    @Test("S9, S10: a disk grows, is shrunk by a revert, is kept after its guest is gone, moves to another tenant's guest, and is deleted")
    func disks() {
        var scribe = running()
        scribe.guest(0, "h1", guest(2), .running, edge: .started, run: 2, shape: shape("db-1", tenant: "bolt"))
        scribe.write(0, host: "h1", disk(10, .attached(guest(1))))
        scribe.write(100, host: "h1", disk(20, .attached(guest(1))))
        scribe.write(200, host: "h1", source: .poll, disk(10, .attached(guest(1)), before: 15_000))
        scribe.guest(300, "h1", guest(1), nil, run: 1)
        scribe.write(300, host: "h1", disk(10, .detached))
        scribe.write(400, host: "h1", disk(10, .attached(guest(2))))
        scribe.write(500, host: "h1", disk(10, .deleted))
        scribe.alive(600)
        let acme = report(scribe.facts, window(0, 600), filter: UsageFilter(tenant: "acme"))
        #expect(acme.seconds("ssd", meter: .disk) == 4850 * gib)
        let bolt = report(scribe.facts, window(0, 600), filter: UsageFilter(tenant: "bolt"))
        #expect(bolt.seconds("ssd", meter: .disk) == 1000 * gib)
        #expect(report(scribe.facts, window(500, 600)).seconds("ssd", meter: .disk) == 0)
        let attachedOnly = tariff(table: BillableTable(version: "a", billsDetached: false))
        #expect(report(scribe.facts, window(300, 400), tariff: attachedOnly).seconds("ssd", meter: .disk) == 0)
    }

    @Test("a disk that stands at both ends of a gap is charged at the smaller size, as inferred; one nobody looks at is free")
    func diskGap() {
        var scribe = running()
        scribe.write(0, host: "h1", disk(20, .attached(guest(1))))
        scribe.close(110, "h1", lastAnswer: 100)
        scribe.origin = "collector:2"
        scribe.open(300, "h1", [guest(1)])
        scribe.guest(300, "h1", guest(1), .running, run: 1, source: .poll, shape: shape())
        scribe.write(300, host: "h1", source: .poll, disk(10, .attached(guest(1))))
        scribe.write(400, host: "h1", disk(10, .unseen))
        scribe.alive(500)
        #expect(report(scribe.facts, window(0, 500)).seconds("ssd", meter: .disk) == 5000 * gib)
    }

    @Test("traffic counts from a seen start, restarts with each run, and what came after the last reading is told, not charged")
    func traffic() {
        var scribe = running()
        func counters(_ run: Int32, _ received: UInt64, _ sent: UInt64) -> FactBody {
            .traffic(TrafficFact(guest: guest(1), run: run, interface: "52:54:00:00:00:01", received: received, sent: sent))
        }
        scribe.write(50, host: "h1", source: .poll, counters(1, 1000, 500))
        scribe.write(90, host: "h1", source: .poll, counters(1, 1500, 900))
        scribe.guest(100, "h1", guest(1), .shutOff, edge: .stopped, run: 1)
        scribe.guest(110, "h1", guest(1), .running, edge: .started, run: 2)
        scribe.write(150, host: "h1", source: .poll, counters(2, 10, 70))
        scribe.alive(200)
        let result = report(scribe.facts, window(0, 150))
        #expect(result.seconds("traffic", meter: .trafficOut) == 900)
        #expect(report(scribe.facts, window(0, 200)).seconds("traffic", meter: .trafficOut) == 970)
        #expect(result.findings.map(\.kind) == [.unreadTraffic])
        #expect(!result.needsAttention)
    }

    @Test("S11: a guest that starts around midnight of a month's end is charged in the right month", arguments: [-1, 0, 1])
    func monthEnd(offset: Double) {
        let start = 30 * 86_400 + offset
        var scribe = Scribe()
        scribe.open(0, "h1")
        scribe.guest(start, "h1", guest(1), .running, edge: .started, run: 1, shape: shape())
        scribe.guest(start + 10, "h1", guest(1), .shutOff, edge: .stopped, run: 1)
        scribe.alive(31 * 86_400)
        let november = report(scribe.facts, window(0, 30 * 86_400), tariff: tariff([(0, nil, priceBook(minimum: 60))]))
        let december = report(scribe.facts, window(30 * 86_400, 61 * 86_400), tariff: tariff([(0, nil, priceBook(minimum: 60))]))
        #expect(november.seconds() == (offset < 0 ? 1 : 0))
        #expect(december.seconds() == (offset < 0 ? 9 : 10))
        #expect(november.seconds(meter: .minimum) + december.seconds(meter: .minimum) == 50)
    }

    @Test("S13: a change of tenant, by metadata or by an operator's word, splits at its second")
    func tenants() {
        var scribe = running()
        scribe.guest(30, "h1", guest(1), .running, run: 1, source: .poll, shape: shape(tenant: "bolt"))
        scribe.state(50, .assignment(guest(1), tenant: "acme"))
        scribe.state(80, .assignment(guest(1), tenant: nil))
        scribe.alive(100)
        func seconds(_ tenant: String) -> Int128 { report(scribe.facts, window(0, 100), filter: UsageFilter(tenant: tenant)).seconds() }
        #expect(seconds("acme") == 60)
        #expect(seconds("bolt") == 40)
    }

    @Test("two guests that swap names are told apart by their UUIDs")
    func swappedNames() {
        var scribe = Scribe()
        scribe.open(0, "h1")
        scribe.guest(0, "h1", guest(1), .running, edge: .started, run: 1, shape: shape("a", tenant: "acme"))
        scribe.guest(0, "h1", guest(2), .running, edge: .started, run: 2, shape: shape("b", tenant: "bolt"))
        scribe.guest(50, "h1", guest(1), .running, run: 1, source: .poll, shape: shape("b", tenant: "acme"))
        scribe.guest(50, "h1", guest(2), .running, run: 2, source: .poll, shape: shape("a", tenant: "bolt"))
        scribe.alive(100)
        let result = report(scribe.facts, window(0, 100), by: [.guest])
        #expect(result.lines.map(\.guest) == [guest(1), guest(2)])
        #expect(result.lines.map(\.usage) == [100, 100])
        #expect(result.lines.map(\.guestName) == ["b", "a"])
    }

    @Test("usage of nobody is told")
    func ownerless() {
        var scribe = running(shape: shape(tenant: nil))
        scribe.alive(100)
        #expect(report(scribe.facts, window(0, 100)).findings.map(\.kind) == [.noTenant])
    }

    @Test("an operator's word on a machine's boot time moves what its clocks say")
    func anchored() {
        var scribe = running(at: 10)
        scribe.guest(50, "h1", guest(1), .shutOff, edge: .stopped, run: 1)
        scribe.alive(100)
        let boot = Scribe.epoch * 1000 - 50_000_000
        scribe.facts.append(
            Fact(
                id: FactID(origin: "operator:ann", ordinal: 1), source: .operatorEntry, host: nil,
                seen: ClockReading(stated: Timestamp(milliseconds: boot + 3_600_000)), body: .clockAnchor(machine: "collector-boot")))
        #expect(report(scribe.facts, window(0, 1000)).seconds() == 0)
        #expect(report(scribe.facts, window(3600, 4000)).seconds() == 40)
    }
}
