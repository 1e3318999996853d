import Collection
import Fleet
import MeterFeed
import Metering
import Testing

/// One host, its guests, and a feed that hears of them; seconds since the boot of the collector.
final class Stage {
    static let wallAtBoot: Int64 = 1_793_491_200_000
    var feed = FactFeed(origin: "collector:test", machine: "boot-1")
    var facts: [Fact] = []

    static func moment(_ second: Double) -> Moment {
        let milliseconds = Int64((second * 1000).rounded())
        return Moment(wall: Timestamp(milliseconds: wallAtBoot + milliseconds), uptime: .milliseconds(milliseconds))
    }

    static func reading(_ guest: Guest) -> DomainReading {
        var parameters = [
            StatParameter("state.state", .signed(Int64(guest.state.rawValue))), StatParameter("state.reason", .signed(Int64(guest.reason))),
        ]
        if guest.run != nil {
            parameters += [
                StatParameter("cpu.time", .unsigned(guest.cpu)), StatParameter("vcpu.current", .unsigned(UInt64(guest.vcpus))),
                StatParameter("block.count", .unsigned(1)), StatParameter("block.0.name", .text("vda")),
                StatParameter("block.0.capacity", .unsigned(guest.disk)), StatParameter("block.0.rd.bytes", .unsigned(guest.cpu)),
                StatParameter("net.0.name", .text("vnet0")), StatParameter("net.0.rx.bytes", .unsigned(guest.received)),
                StatParameter("net.0.tx.bytes", .unsigned(guest.sent)),
            ]
        }
        return DomainReading(guest: guest.id, name: guest.name, domainID: guest.run, parameters: parameters)
    }

    /// A listing that began at `second`; guests without a run are inactive.
    @discardableResult
    func list(
        _ guests: [Guest], at second: Double, host: HostName = "h1", isComplete: Bool = true, driver: String = "QEMU", took: Double = 0.1
    ) -> [Fact] {
        let active = guests.filter { $0.run != nil }.map {
            GuestReport(
                reading: Stage.reading($0), description: $0.isDescribed ? $0.description : nil, condition: $0.isStuck ? .stuck : .whole,
                lastWhole: nil)
        }
        let report = LaneReport(
            host: host, time: Stage.moment(second).wall, isUp: true, description: Stage.description(driver), guests: active,
            inactive: guests.filter { $0.run == nil }.map(Stage.reading), isComplete: isComplete,
            node: NodeReading(cpu: [StatParameter("idle", .unsigned(UInt64(second * 4e9)))], memory: []),
            took: .milliseconds(Int64(took * 1000)), interval: .seconds(10))
        return keep(feed.take(report, now: Stage.moment(second + took)))
    }

    @discardableResult
    func miss(at second: Double, host: HostName = "h1", failure: HypervisorError.Kind? = nil) -> [Fact] {
        let error = failure.map { HypervisorError($0, call: "read", host: host, words: "gone") }
        let report = LaneReport(
            host: host, time: Stage.moment(second).wall, isUp: false, failure: error, interval: .seconds(10))
        return keep(feed.take(report, now: Stage.moment(second)))
    }

    @discardableResult
    func tell(
        _ event: HypervisorEvent.Lifecycle, _ detail: Int32 = 0, run: Int32? = nil, at second: Double, host: HostName = "h1",
        guest: Guest = Guest()
    ) -> [Fact] {
        keep(
            feed.take(
                .lifecycle(guest: guest.id, name: guest.name, event: event, detail: detail, run: run), from: host,
                now: Stage.moment(second)))
    }

    func tick(at second: Double) -> [Fact] { keep(feed.tick(now: Stage.moment(second))) }

    func setHosts(_ hosts: [HostName], at second: Double) -> [Fact] { keep(feed.setHosts(hosts, now: Stage.moment(second))) }

    func recall(_ text: String, at second: Double) -> Bool { feed.recall(text, now: Stage.moment(second)) }

    func take(_ report: LaneReport, at second: Double) -> [Fact] { keep(feed.take(report, now: Stage.moment(second))) }

    func keep(_ new: [Fact]) -> [Fact] {
        facts += new
        return new
    }

    static func description(_ driver: String) -> HostDescription {
        HostDescription(
            hostname: "h1", hypervisor: driver, hypervisorVersion: nil, libvirtVersion: nil, libraryVersion: 9_000_000, cpuModel: "x",
            cpus: 4, megahertz: 1000, topology: .init(cells: 1, sockets: 1, cores: 4, threads: 1), memory: .gibibytes(8))
    }

    /// What the facts amount to: state words and seconds since the boot, for every stretch of the guest's life.
    func life(_ guest: Guest = Guest(), policy: GapPolicy = .proven) -> [String] {
        let book = SpanBook(facts: facts, policy: policy)
        guard let index = book.index(of: guest.id) else { return [] }
        return book.spans[book.spanRanges[index]].map { span in
            let from = span.interval.from - Stage.wallAtBoot / 1000
            let to = span.interval.to - Stage.wallAtBoot / 1000
            return "\(from)-\(to) \(span.state.words) \(span.evidence.word)"
        }
    }
}

struct Guest {
    var id = GuestID(high: 1, low: 1)
    var name = "web-1"
    var state = DomainState.running
    var reason: Int32 = 1
    var run: Int32? = 7
    var cpu: UInt64 = 1_000_000_000
    var vcpus = 2
    var disk: UInt64 = 1 << 30
    var received: UInt64 = 100
    var sent: UInt64 = 200
    var tenant: String? = "acme"
    var isDescribed = true
    var isStuck = false
    var isPersistent = true

    var description: GuestDescription {
        GuestDescription(
            guest: id, name: name, vcpusMaximum: 8, vcpusCurrent: 2, memoryMaximum: .gibibytes(4), isPersistent: isPersistent,
            disks: [DiskDescription(target: "vda", bus: "virtio"), DiskDescription(target: "sda", device: "cdrom")],
            interfaces: [InterfaceDescription(device: "vnet0", mac: "52:54:00:00:00:01", type: "bridge", source: nil, model: nil)],
            metadata: GuestMetadata(tenant: tenant))
    }

    static func off(_ reason: Int32 = 2) -> Guest {
        var guest = Guest()
        guest.state = .shutOff
        guest.reason = reason
        guest.run = nil
        return guest
    }

    func with(_ change: (inout Guest) -> Void) -> Guest {
        var guest = self
        change(&guest)
        return guest
    }
}

extension [Fact] {
    var guests: [GuestFact] { compactMap { if case .guest(let body) = $0.body { body } else { nil } } }
    var volumes: [VolumeFact] { compactMap { if case .volume(let body) = $0.body { body } else { nil } } }
    var traffic: [TrafficFact] { compactMap { if case .traffic(let body) = $0.body { body } else { nil } } }
    var opened: [[GuestID]] { compactMap { if case .watchOpened(_, let guests) = $0.body { guests } else { nil } } }
    var closed: [Int64] { compactMap { if case .watchClosed(let before) = $0.body { before } else { nil } } }
}

@Suite("What a collector writes")
struct FeedTests {
    @Test(
        "every lifecycle event is the state, reason and edge that libvirt means by it",
        arguments: [
            (.started, 0, .running, 1, .started), (.started, 1, .paused, 2, .started), (.started, 2, .running, 3, .started),
            (.started, 4, .running, 8, .started), (.started, 99, .running, 0, .started), (.suspended, 0, .paused, 1, .none),
            (.suspended, 1, .paused, 2, .none), (.suspended, 2, .paused, 5, .none), (.suspended, 7, .paused, 12, .none),
            (.suspended, 8, .paused, 13, .none), (.suspended, 9, .paused, 0, .none), (.resumed, 0, .running, 5, .none),
            (.resumed, 1, .running, 2, .none), (.stopped, 0, .shutOff, 1, .stopped), (.stopped, 1, .shutOff, 2, .stopped),
            (.stopped, 3, .shutOff, 4, .stopped), (.stopped, 6, .shutOff, 7, .stopped), (.stopped, 7, .shutOff, 0, .stopped),
            (.shutdown, 1, .shutdown, 0, .none), (.suspendedByGuest, 0, .suspended, 0, .none), (.crashed, 0, .crashed, 1, .stopped),
        ] as [(HypervisorEvent.Lifecycle, Int32, DomainState, Int32, GuestFact.Edge)])
    func events(event: HypervisorEvent.Lifecycle, detail: Int32, state: DomainState, reason: Int32, edge: GuestFact.Edge) {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        let run: Int32? = event == .started ? 9 : nil
        let facts = stage.tell(event, detail, run: run, at: 5.25)
        let body = facts.guests.first
        #expect(body?.presence == .state(state, reason: reason))
        #expect(body?.edge == edge)
        // The run that began, or the one that was there.
        #expect(body?.run == (event == .started ? 9 : 7))
        let fact = facts.first { if case .guest = $0.body { true } else { false } }
        #expect(fact?.source == .event)
        #expect(fact?.seen == ClockReading(wall: Stage.moment(5.25).wall, steadyMilliseconds: 5250, machine: "boot-1"))
    }

    @Test("a watch opens with the first complete listing, names everybody, and states each guest and disk anew")
    func opening() {
        let stage = Stage()
        let off = Guest.off().with { $0.id = GuestID(high: 1, low: 2) }
        #expect(stage.list([Guest()], at: 1, isComplete: false).isEmpty)
        let facts = stage.list([Guest(), off], at: 11)
        #expect(facts.opened == [[Guest().id, off.id]])
        #expect(facts.guests.filter { $0.shape == nil }.map(\.guest) == [Guest().id, off.id])
        #expect(facts.guests.contains { $0.shape?.tenant == "acme" && $0.shape?.vcpus == 2 && $0.shape?.memory == .gibibytes(4) })
        #expect(facts.volumes.map(\.key) == ["\(Guest().id)/vda"])
        #expect(facts.traffic == [TrafficFact(guest: Guest().id, run: 7, interface: "52:54:00:00:00:01", received: 100, sent: 200)])
        #expect(facts.map(\.id.ordinal) == Array(1...UInt64(facts.count)))
        // The instant is when the listing began, not when it was heard.
        #expect(facts.allSatisfy { $0.seen.steadyMilliseconds == 11_000 })
        #expect(stage.list([Guest(), off], at: 21).isEmpty)
    }

    @Test("a host whose driver tells no events is watched by listings alone", arguments: [("QEMU", WatchMeans.events), ("ESX", .polls)])
    func means(driver: String, means: WatchMeans) {
        let stage = Stage()
        let facts = stage.list([], at: 1, driver: driver)
        #expect(facts.first?.body == .watchOpened(means, guests: []))
    }

    @Test("one missed tick keeps the watch, the second closes it at the last answer; a lost connection closes it at once")
    func missed() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        #expect(stage.miss(at: 11).isEmpty)
        #expect(stage.miss(at: 20.999).isEmpty)
        #expect(stage.miss(at: 21).closed == [20_000])
        #expect(stage.miss(at: 31).isEmpty)
        for kind in [HypervisorError.Kind.disconnected, .unreachable, .refused] {
            let other = Stage()
            other.list([Guest()], at: 1)
            #expect(other.miss(at: 2, failure: kind).closed == [1000])
        }
        let busy = Stage()
        busy.list([Guest()], at: 1)
        #expect(busy.miss(at: 2, failure: .timedOut).isEmpty)
    }

    @Test("an event is an answer: the watch lasts until it")
    func eventIsAnswer() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        stage.tell(.suspended, at: 4)
        #expect(stage.miss(at: 6, failure: .disconnected).closed == [2000])
    }

    @Test("a listing that began before an event is older than it and says nothing about that guest; one that began after it does")
    func staleListing() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        stage.tell(.stopped, 1, at: 11.05)
        #expect(stage.list([Guest()], at: 11, took: 0.1).isEmpty)
        #expect(stage.list([Guest.off()], at: 21).isEmpty)
        stage.facts += stage.feed.end(now: Stage.moment(21.5))
        #expect(stage.life() == ["1-11 running (booted) observed", "11-21 shut off (destroyed) observed"])
    }

    @Test("a change that no event told is believed at the second listing that shows it, from the first on, with the listing before")
    func pending() throws {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        #expect(stage.list([Guest.off()], at: 11).isEmpty)
        let facts = stage.list([Guest.off()], at: 21)
        let body = try #require(facts.guests.first)
        #expect(body.presence == .state(.shutOff, reason: 2))
        #expect(body.previousListingMillisecondsBefore == 10_000)
        #expect(facts.first?.seen.steadyMilliseconds == 11_000)
        #expect(facts.first?.source == .poll)
        // A listing that overtook its event is not a change: the event comes, and is the one that counts.
        let other = Stage()
        other.list([Guest()], at: 1)
        #expect(other.list([Guest.off()], at: 11).isEmpty)
        #expect(other.tell(.stopped, 1, at: 11.2).guests.count == 1)
        #expect(other.list([Guest.off()], at: 21).isEmpty)
    }

    @Test(
        "a guest that is listed before its event comes is not there before the event says so; without an event it is there at the listing")
    func unannounced() throws {
        let stage = Stage()
        stage.list([], at: 1)
        let incoming = Guest().with {
            $0.state = .paused; $0.reason = 11
        }
        #expect(stage.list([incoming], at: 11).isEmpty)
        #expect(stage.list([incoming], at: 11.2).isEmpty)
        let told = stage.tell(.started, 0, run: 7, at: 11.5)
        #expect(told.guests.map(\.edge) == [.started])
        let other = Stage()
        other.list([], at: 1)
        #expect(other.list([Guest()], at: 11).isEmpty)
        let facts = other.list([Guest()], at: 21)
        #expect(facts.guests.first?.previousListingMillisecondsBefore == 10_000)
        #expect(facts.first?.seen.steadyMilliseconds == 11_000)
        // One that was gone again before anybody else saw it was never there.
        let brief = Stage()
        brief.list([], at: 1)
        brief.list([Guest()], at: 11)
        #expect(brief.list([], at: 21).isEmpty)
        #expect(brief.list([], at: 31).isEmpty)
    }

    @Test("where no events are told, a listing is believed at once")
    func polled() {
        let stage = Stage()
        stage.list([Guest()], at: 1, driver: "ESX")
        let facts = stage.list([Guest.off()], at: 11, driver: "ESX")
        #expect(facts.guests.first?.previousListingMillisecondsBefore == 10_000)
    }

    @Test("the CPUs that resume just before a start is told are no start of their own")
    func resumeBeforeStart() {
        let stage = Stage()
        stage.list([Guest.off()], at: 1)
        #expect(stage.tell(.resumed, 0, run: 8, at: 5).isEmpty)
        #expect(stage.tell(.started, 0, run: 8, at: 5.005).guests.map(\.run) == [8])
    }

    @Test("size and owner hold from the start that was told, not from when they could be read")
    func shapeAtStart() throws {
        let stage = Stage()
        stage.list([Guest.off()], at: 1)
        stage.tell(.started, 0, run: 8, at: 5.5)
        #expect(
            stage.list(
                [
                    Guest().with {
                        $0.run = 8; $0.isDescribed = false
                    }
                ], at: 6
            ).isEmpty)
        let facts = stage.list([Guest().with { $0.run = 8 }], at: 7)
        let fact = try #require(facts.first { if case .guest(let body) = $0.body { body.shape != nil } else { false } })
        #expect(fact.seen.steadyMilliseconds == 5500)
        #expect(fact.source == .event)
        #expect(facts.volumes.count == 1)
    }

    @Test("a new size is a fact with all of the shape; between two listings where no event told, at the event where one did")
    func resize() throws {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        let found = try #require(stage.list([Guest().with { $0.vcpus = 4 }], at: 11).guests.first)
        #expect(found.shape?.vcpus == 4)
        #expect(found.shape?.tenant == "acme")
        #expect(found.previousListingMillisecondsBefore == 10_000)
        stage.facts += stage.feed.take(.changed(guest: Guest().id), from: "h1", now: Stage.moment(15))
        let told = stage.list(
            [
                Guest().with {
                    $0.vcpus = 4; $0.tenant = "umbrella"
                }
            ], at: 21)
        #expect(told.guests.first?.shape?.tenant == "umbrella")
        #expect(told.guests.first?.previousListingMillisecondsBefore == nil)
        #expect(told.first?.seen.steadyMilliseconds == 15_000)
    }

    @Test("a disk that grew or shrank is stated with the listing before; one that is gone is out of sight")
    func disks() throws {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        let grown = try #require(stage.list([Guest().with { $0.disk = 2 << 30 }], at: 11).volumes.first)
        #expect(grown.size == .gibibytes(2))
        #expect(grown.previousListingMillisecondsBefore == 10_000)
        let undefined = stage.tell(.stopped, 1, at: 15) + stage.tell(.undefined, at: 16)
        #expect(undefined.volumes.map(\.presence) == [.unseen])
        #expect(undefined.guests.last?.presence == .absent)
    }

    @Test("a guest that moved keeps its disk: leaving the source ends nothing while the target has it")
    func migration() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        stage.list([], at: 1, host: "h2")
        stage.tell(.started, 1, run: 3, at: 12, host: "h2")
        stage.tell(.suspended, 1, at: 13)
        stage.tell(.resumed, 1, run: 3, at: 13.1, host: "h2")
        let left = stage.tell(.stopped, 3, at: 13.2) + stage.tell(.undefined, at: 13.3)
        #expect(left.volumes.isEmpty)
        stage.list([Guest().with { $0.run = 3 }], at: 21, host: "h2")
        stage.list([], at: 21)
        stage.list([Guest().with { $0.run = 3 }], at: 31, host: "h2")
        stage.list([], at: 31)
        stage.facts += stage.feed.end(now: Stage.moment(31.2))
        let book = SpanBook(facts: stage.facts)
        #expect(book.sessions.count == 1)
        #expect(book.findings.filter { $0.isSerious }.isEmpty)
        #expect(book.volumes.count == 1)
        let spans = book.spans
        #expect(spans.map(\.interval.seconds).reduce(0, +) == 30)
        #expect(spans.allSatisfy { $0.evidence == .observed })
        #expect(zip(spans, spans.dropFirst()).allSatisfy { $0.interval.to == $1.interval.from })
    }

    @Test("the traffic of a run is stated at its first reading, every quarter of an hour, and as last read when it ends")
    func traffic() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        #expect(stage.list([Guest().with { $0.sent = 300 }], at: 11).traffic.isEmpty)
        #expect(stage.list([Guest().with { $0.sent = 400 }], at: 900.9).traffic.isEmpty)
        #expect(stage.list([Guest().with { $0.sent = 500 }], at: 901).traffic.map(\.sent) == [500])
        #expect(stage.list([Guest().with { $0.sent = 600 }], at: 911).traffic.isEmpty)
        let stop = stage.tell(.stopped, 1, at: 915)
        #expect(stop.traffic.map(\.sent) == [600])
        #expect(stop.first?.seen.steadyMilliseconds == 911_000)
    }

    @Test("a sign of life is written at once and then every minute, with the age of the oldest answer")
    func alive() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        stage.list([], at: 4, host: "h2")
        #expect(stage.tick(at: 5).map(\.body) == [.alive(oldestAnswerMillisecondsBefore: 4000)])
        #expect(stage.tick(at: 64.999).isEmpty)
        #expect(stage.tick(at: 65).count == 1)
    }

    @Test("a sign of life follows ten seconds after a start, so that what is new is provable from there on")
    func earlyAlive() {
        let stage = Stage()
        _ = stage.tick(at: 1)
        stage.list([Guest.off()], at: 2)
        #expect(stage.tick(at: 11.999).isEmpty)
        #expect(stage.tick(at: 12).count == 1)
        stage.tell(.started, 0, run: 8, at: 30)
        #expect(stage.tick(at: 39.999).isEmpty)
        #expect(stage.tick(at: 40).count == 1)
        #expect(stage.tick(at: 99.999).isEmpty)
        #expect(stage.tick(at: 100).count == 1)
    }

    @Test("a guest that moved away is not called gone before the target had a minute to be heard")
    func handover() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        stage.tell(.stopped, 3, at: 10)
        #expect(stage.tell(.undefined, at: 10.1).isEmpty)
        for second in [11.0, 21, 70.099] { #expect(stage.list([], at: second).isEmpty) }
        #expect(stage.list([], at: 70.1).isEmpty)
        #expect(stage.list([], at: 80).guests.map(\.presence) == [.absent])
    }

    @Test("a crash of the collector in the second of a handover loses no second of the guest's life")
    func crashAtHandover() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        stage.list([], at: 1, host: "h2")
        stage.tell(.started, 1, run: 3, at: 17.7, host: "h2")
        stage.tell(.suspended, 1, at: 18.7)
        stage.tell(.resumed, 1, run: 3, at: 18.9, host: "h2")
        stage.tell(.stopped, 3, at: 19.2)
        stage.tell(.undefined, at: 19.3)
        stage.list([], at: 21)
        let after = Stage()
        after.facts = stage.facts
        after.feed = FactFeed(origin: "collector:second", machine: "boot-1")
        after.list([], at: 45)
        after.list([Guest().with { $0.run = 3 }], at: 45, host: "h2")
        after.list([Guest().with { $0.run = 3 }], at: 55, host: "h2")
        after.facts += after.feed.end(now: Stage.moment(55.5))
        let book = SpanBook(facts: after.facts)
        #expect(book.spans.map(\.interval.seconds).reduce(0, +) == 54)
        #expect(book.spans.allSatisfy { $0.generation == 0 })
        #expect(book.sessions.count == 1)
    }

    @Test("after a gap each guest is stated with the counters at both ends; the same run is proven, another is not")
    func continuity() throws {
        for (run, cpu, isProven) in [(7, 3_000_000_000, true), (8, 3_000_000_000, false), (7, 999_999_999, false)]
            as [(Int32, UInt64, Bool)]
        {
            let stage = Stage()
            stage.list([Guest()], at: 1)
            stage.miss(at: 3, failure: .disconnected)
            let facts = stage.list(
                [
                    Guest().with {
                        $0.run = run; $0.cpu = cpu
                    }
                ], at: 101)
            #expect(facts.opened.count == 1)
            let continuity = try #require(facts.guests.first?.continuity)
            #expect(continuity.gapMilliseconds == 100_000)
            #expect(continuity.isProven == isProven)
            stage.facts += stage.feed.end(now: Stage.moment(102))
            let middle = stage.life().first { $0.hasPrefix("1-101") }
            #expect((middle == "1-101 running (booted) proven") == isProven)
        }
    }

    @Test("a feed that was killed proves the gap from what it remembered, in the same boot and after a reboot of its machine")
    func memory() throws {
        for machine in ["boot-1", "boot-2"] {
            let stage = Stage()
            stage.list([Guest(), Guest.off().with { $0.id = GuestID(high: 1, low: 2) }], at: 1)
            stage.list([Guest(), Guest.off().with { $0.id = GuestID(high: 1, low: 2) }], at: 11)
            let text = stage.feed.memory(now: Stage.moment(12))
            _ = stage.tick(at: 12)
            let after = Stage()
            after.feed = FactFeed(origin: "collector:second", machine: machine)
            #expect(after.recall(text, at: 100))
            let facts = after.list([Guest().with { $0.cpu = 5_000_000_000 }], at: 101)
            let continuity = try #require(facts.guests.first?.continuity)
            #expect(continuity.gapMilliseconds == 90_000)
            #expect(continuity.isProven)
            // The other guest is gone, and so is no disk of the first.
            #expect(facts.guests.contains { $0.guest == GuestID(high: 1, low: 2) && $0.presence == .absent })
            #expect(facts.volumes.allSatisfy { $0.presence == .attached(Guest().id) })
            #expect(!after.recall(String(text.dropLast(5)), at: 100))
            #expect(!after.recall("", at: 100))
        }
    }

    @Test("a guest that the host can only name is neither changed nor gone")
    func stuck() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        let named = GuestReport(
            reading: DomainReading(guest: Guest().id, name: "web-1", domainID: 7, parameters: []), description: nil, condition: .stuck,
            lastWhole: nil)
        let report = LaneReport(
            host: "h1", time: Stage.moment(11).wall, isUp: true, description: Stage.description("QEMU"), guests: [named], isComplete: true,
            took: .milliseconds(100), interval: .seconds(10))
        #expect(stage.take(report, at: 11.1).isEmpty)
        #expect(stage.take(report, at: 21.1).isEmpty)
    }

    @Test("a transient guest is gone when it stops; a persistent one is shut off", arguments: [(true, 1), (false, 2)])
    func transient(isPersistent: Bool, count: Int) {
        let stage = Stage()
        stage.list([Guest().with { $0.isPersistent = isPersistent }], at: 1)
        #expect(stage.tell(.stopped, 1, at: 5).guests.count == count)
    }

    @Test("a host that leaves the configuration is watched no longer")
    func removed() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        #expect(stage.setHosts(["h1"], at: 2).isEmpty)
        #expect(stage.setHosts([], at: 3).closed == [2000])
    }

    @Test("a host that is put into a zone takes its guests there")
    func zones() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        _ = stage.keep(stage.feed.setHosts(["h1"], zones: ["h1": "az-1"], now: Stage.moment(2)))
        #expect(stage.list([Guest()], at: 11).guests.first?.shape?.zone == "az-1")
    }

    @Test("the same life told with a clock that steps by an hour has the same seconds")
    func steppedClock() {
        let stage = Stage()
        stage.list([Guest()], at: 1)
        stage.tell(.suspended, 0, at: 20)
        let late = Moment(wall: Stage.moment(30).wall + .seconds(3600), uptime: Stage.moment(30).uptime)
        stage.facts += stage.feed.take(
            .lifecycle(guest: Guest().id, name: "web-1", event: .stopped, detail: 1, run: nil), from: "h1", now: late)
        #expect(stage.life().prefix(2) == ["1-20 running (booted) observed", "20-30 paused (user) observed"])
    }
}
