import Collection
import Fleet
import Testing

/// Drives a lane by hand: events in, effects out, time as we say.
private struct Bench {
    var machine = LaneMachine(host: "h1", settings: LaneSettings(interval: .seconds(10)), start: .zero, seed: 1)
    var now = Moment(wall: Timestamp(seconds: 1000), uptime: .zero)
    var opened: LaneMachine.CallID?
    var sent: [(id: LaneMachine.CallID, request: LaneRequest)] = []
    var abandoned: [LaneMachine.CallID] = []
    var closes = 0
    var reports: [LaneReport] = []

    static let host = HostDescription(
        hostname: "h1", hypervisor: "QEMU", hypervisorVersion: nil, libvirtVersion: nil, libraryVersion: 9_000_000, cpuModel: "x", cpus: 2,
        megahertz: 0, topology: .init(cells: 1, sockets: 1, cores: 2, threads: 1), memory: .gibibytes(1))

    mutating func step(_ event: LaneMachine.Event) {
        for effect in machine.step(event, now: now) {
            switch effect {
            case .open(let id): opened = id
            case .request(let id, let request): sent.append((id, request))
            case .abandon(let id): abandoned.append(id)
            case .close: closes += 1
            case .publish(let report): reports.append(report)
            }
        }
    }

    mutating func advance(to seconds: Double) {
        let target = Duration.milliseconds(Int64(seconds * 1000))
        now = Moment(wall: Timestamp(milliseconds: 1_000_000) + target, uptime: target)
    }

    /// Wakes the lane at every moment that it asks for, up to and including `seconds`.
    mutating func run(to seconds: Double) {
        let end = Duration.milliseconds(Int64(seconds * 1000))
        while machine.wakeAt <= end {
            let next = max(machine.wakeAt, now.uptime)
            now = Moment(wall: Timestamp(milliseconds: 1_000_000) + next, uptime: next)
            step(.woke)
        }
        advance(to: seconds)
    }

    /// Wakes the lane when it next asks for it.
    mutating func wakeNext() {
        let next = max(machine.wakeAt, now.uptime)
        now = Moment(wall: Timestamp(milliseconds: 1_000_000) + next, uptime: next)
        step(.woke)
    }

    mutating func connect() {
        run(to: 0)
        if let opened { step(.opened(opened, Bench.host, groups: StatGroups.standard.union(.occasional))) }
    }

    mutating func answer(_ guests: [DomainReading], to position: Int? = nil, beganAt began: Double? = nil) {
        let (id, _) = sent[position ?? sent.count - 1]
        let uptime = began.map { Duration.milliseconds(Int64($0 * 1000)) } ?? now.uptime
        step(
            .answered(
                id,
                LaneAnswer(
                    descriptions: guests.compactMap { described($0.guest, $0.name) }, domains: guests,
                    began: Moment(wall: Timestamp(milliseconds: 1_000_000) + uptime, uptime: uptime), calls: 2)))
    }
}

/// A description as short as it may be; without one the lane would ask for it within a second.
private func described(_ guest: GuestID, _ name: String) -> GuestDescription? {
    try? GuestDescription(
        domainXML: "<domain type='qemu'><name>\(name)</name><uuid>\(guest)</uuid><memory>1024</memory><vcpu>1</vcpu></domain>")
}

private func guest(_ number: UInt64, whole: Bool = true) -> DomainReading {
    let state = StatParameter("state.state", .signed(1))
    return DomainReading(
        guest: GuestID(high: 0, low: number), name: "g\(number)", domainID: Int32(number),
        parameters: whole ? [state, StatParameter("balloon.rss", .unsigned(1))] : [state])
}

@Suite("A host's lane")
struct LaneMachineTests {
    @Test("a host is opened, read at once, and then at every interval")
    func cadence() {
        var bench = Bench()
        bench.connect()
        #expect(bench.sent.count == 1)
        bench.answer([guest(1)])
        bench.run(to: 10)
        #expect(bench.sent.count == 2)
        bench.answer([guest(1)])
        bench.run(to: 20)
        #expect(bench.sent.count == 3)
        #expect(bench.reports.filter(\.isUp).count == 2)
    }

    @Test("a call is abandoned at the deadline and not before, and everybody is asked again at once")
    func deadline() {
        var bench = Bench()
        bench.connect()
        bench.run(to: 4.499)
        #expect(bench.abandoned.isEmpty && bench.sent.count == 1)
        bench.run(to: 4.5)
        #expect(bench.abandoned == [bench.sent[0].id] && bench.sent.count == 2)
    }

    @Test("never more than two calls are out, however long a host hangs")
    func outstanding() {
        var bench = Bench()
        bench.connect()
        bench.run(to: 3600)
        #expect(bench.sent.count == 2 && bench.abandoned.count == 1 && bench.opened != nil)
        #expect(bench.reports.last?.isUp == false)
        #expect(bench.reports.last?.counters.missedTicks ?? 0 > 300)
    }

    @Test("a guest on which a call hangs is left out until that call returns, and the others go on")
    func suspect() throws {
        var bench = Bench()
        bench.connect()
        bench.answer([guest(1), guest(2)])
        bench.run(to: 14.5)
        // The call of the second tick hangs; the one after it finds guest 2 without what needs its lock.
        bench.answer([guest(1), guest(2, whole: false)])
        let report = try #require(bench.reports.last)
        #expect(report.guests.map(\.condition) == [.whole, .stuck])
        bench.run(to: 20)
        let stuck = guest(2).guest
        #expect(bench.sent.last?.request.scope == .activeExcept([stuck]))
        let nothing = DomainReading(guest: stuck, name: "g2", domainID: 2, parameters: [])
        bench.answer([guest(1), nothing])
        #expect(bench.reports.last?.guests.map(\.condition) == [.whole, .stuck])
        // The hung call comes back: too old to be a reading of now, but a sign that everybody may be asked again.
        bench.answer([guest(1), guest(2)], to: 1, beganAt: 10)
        bench.run(to: 30)
        #expect(bench.sent.last?.request.scope == .active)
        #expect(bench.machine.ownCounters.lateAnswers == 1)
    }

    @Test("a late answer counts while it is younger than an interval", arguments: [(14.9, true), (20.0, true), (20.1, false)])
    func late(at seconds: Double, counts: Bool) {
        var bench = Bench()
        bench.connect()
        bench.answer([guest(1)])
        bench.run(to: 14.5)
        bench.advance(to: seconds)
        let before = bench.reports.filter(\.isUp).count
        bench.answer([guest(1)], to: 1, beganAt: 10)
        #expect(bench.reports.filter(\.isUp).count == before + (counts ? 1 : 0))
    }

    @Test("a guest that lacks figures while nothing hangs is partial, not stuck")
    func partial() {
        var bench = Bench()
        bench.connect()
        bench.answer([guest(1)])
        bench.run(to: 10)
        bench.answer([guest(1, whole: false)])
        #expect(bench.reports.last?.guests.map(\.condition) == [.partial])
    }

    @Test("a lost connection is closed once, told, and opened again after a wait that doubles up to its bound")
    func reconnect() {
        var bench = Bench()
        bench.connect()
        bench.answer([guest(1)])
        bench.step(.told(.closed(reason: "the host ended the connection")))
        bench.step(.told(.closed(reason: "the host ended the connection")))
        #expect(bench.closes == 1 && bench.reports.last?.isUp == false && bench.reports.last?.guests.isEmpty == true)
        var waits: [Duration] = []
        for _ in 0..<8 {
            let before = bench.now.uptime
            let last = bench.opened
            for _ in 0..<20 where bench.opened == last { bench.wakeNext() }
            waits.append(bench.now.uptime - before)
            bench.step(.failed(bench.opened ?? 0, HypervisorError(.unreachable, call: "connect", host: "h1", words: "no")))
        }
        #expect(waits[0] >= .seconds(1) && waits[0] <= .milliseconds(1250))
        #expect(waits[3] >= .seconds(8) && waits[3] <= .seconds(10))
        #expect(waits[7] >= .seconds(30) && waits[7] <= .milliseconds(37_500))
    }

    @Test("an open that never returns is not followed by another")
    func hungOpen() {
        var bench = Bench()
        bench.run(to: 0)
        let first = bench.opened
        bench.run(to: 600)
        #expect(bench.opened == first && bench.sent.isEmpty)
        #expect(bench.reports.count == 61 && bench.reports.allSatisfy { !$0.isUp })
    }

    @Test("what only some guests can answer is asked for only where one can")
    func groups() {
        var bench = Bench()
        bench.connect()
        #expect(bench.sent[0].request.groups == .standard)
        bench.answer([guest(1)])
        bench.step(.told(.migrationPass(guest: guest(1).guest, pass: 1)))
        bench.run(to: 10)
        #expect(bench.sent[bench.sent.count - 1].request.groups == StatGroups.standard.union(.dirtyRate))
        #expect(bench.sent[bench.sent.count - 1].request.jobs == [guest(1).guest])
        bench.answer([guest(1)])
        bench.step(.told(.jobCompleted(guest: guest(1).guest)))
        bench.run(to: 20)
        #expect(bench.sent[bench.sent.count - 1].request.groups == .standard)
    }

    @Test("a late wake-up keeps the phase of the ticks after it")
    func phase() {
        var bench = Bench()
        bench.connect()
        bench.answer([guest(1)])
        bench.advance(to: 27)
        bench.step(.woke)
        bench.answer([guest(1)])
        #expect(bench.machine.wakeAt == .seconds(30))
    }
}
