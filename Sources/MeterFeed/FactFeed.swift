public import Collection
public import Fleet
public import Metering

/// Turns what the lanes find out into the facts that are billed: pure, with the clocks as a parameter.
///
/// Events tell when something changed, listings tell what there is. A change that only a listing shows is believed when the next one shows
/// it too, since an event may be a moment behind; it is stamped with the first of the two and with the listing before.
public struct FactFeed: Sendable {
    /// How often a sign of life is written: after a crash the watch ends there.
    public static let aliveInterval = Duration.seconds(60)
    /// How soon after a start, or the opening of a watch, one is written besides: what is new is provable from there on.
    public static let earlyAlive = Duration.seconds(10)
    /// How long a guest that went to another host may be missing before it is called gone: the target may be heard later.
    static let handover = Duration.seconds(60)
    /// How often a running guest's traffic is written; the last reading of a run is written at its end in any case.
    public static let trafficInterval = Duration.seconds(900)
    /// How many intervals a host may be silent before its watch is closed: one missed tick loses no event while the connection stands.
    static let toleratedIntervals = 2
    /// Drivers that tell lifecycle events; the hosts of all others are watched by listings alone.
    static let eventfulDrivers = ["QEMU", "TEST", "Test", "LXC", "Xen", "bhyve", "BHYVE", "VZ"]

    /// What is known of a volume that was stated.
    struct KnownVolume: Hashable, Sendable {
        var size: UInt64
        var hints: VolumeHints
    }

    struct KnownTraffic: Hashable, Sendable {
        var received: UInt64
        var sent: UInt64
        var read: ClockReading
        var statedReceived: UInt64
        var statedSent: UInt64
        var stated: Duration
    }

    struct Pending: Hashable, Sendable {
        let presence: GuestFact.Presence
        let run: Int32?
        let first: ClockReading
        let at: Duration
        /// When a listing last showed the old state; nil where only the reason is another.
        let previous: Duration?
    }

    struct Reading: Hashable, Sendable {
        var counters: Continuity.Counters
        var read: Duration
    }

    struct Change: Hashable, Sendable {
        let heard: ClockReading
        let presence: GuestFact.Presence
        let run: Int32?
    }

    struct KnownGuest: Sendable {
        var presence: GuestFact.Presence
        /// The run that exists, or the last one.
        var run: Int32?
        var shape: GuestShape?
        var isTransient = false
        /// When an event last spoke of it: readings that began before are older than it.
        var touched: Duration?
        /// When an event said that its description changes, and what the guest was doing then.
        var changed: Change?
        /// When a listing last showed what is known.
        var lastSeen: Duration
        var pending: Pending?
        var counters: Reading?
        /// The reading before that one: a memory of it is never younger than the writer's last sign of life.
        var earlierCounters: Reading?
        var vcpus = 0
        var volumes: [String: KnownVolume] = [:]
        var traffic: [String: KnownTraffic] = [:]
    }

    struct KnownHost: Sendable {
        var isWatched = false
        var means = WatchMeans.polls
        var cpus = 0
        /// The last complete answer, or an event: the connection stood then.
        var lastAnswer: Duration = .zero
        var lastListing: Duration = .zero
        var guests: [GuestID: KnownGuest] = [:]
    }

    let origin: String
    let machine: String
    var bootIDs: [HostName: String] = [:]
    var zones: [HostName: String] = [:]
    var hosts: [HostName: KnownHost] = [:]
    var nextOrdinal: UInt64 = 1
    var nextAlive: Duration?
    var facts: [Fact] = []

    /// A feed that has seen nothing.
    ///
    /// - Parameters:
    ///   - origin: This run of the collector, unlike that of any other run: ``FactID/origin``.
    ///   - machine: The boot id of the machine whose clocks are read.
    public init(origin: String, machine: String) {
        self.origin = origin
        self.machine = machine
    }

    /// Takes a lane's report; `now` is when it was published.
    public mutating func take(_ report: LaneReport, now: Moment) -> [Fact] {
        facts = []
        if report.isUp { listed(report, began: now.uptime - report.took) } else { missed(report, now) }
        return facts
    }

    /// Takes what a host told; `now` is when it was heard.
    public mutating func take(_ event: HypervisorEvent, from host: HostName, now: Moment) -> [Fact] {
        facts = []
        let heard = reading(now.wall, now.uptime)
        switch event {
        case .lifecycle(let guest, let name, let event, let detail, let run):
            lifecycle(guest, name, event, detail, run, on: host, now.uptime, heard)
        case .changed(let guest):
            if let known = hosts[host]?.guests[guest], known.changed == nil {
                hosts[host]?.guests[guest]?.changed = Change(heard: heard, presence: known.presence, run: known.run)
            }
        case .closed: close(host, now.uptime, heard)
        case .migrationPass, .jobCompleted: break
        }
        if let known = hosts[host], known.isWatched { hosts[host]?.lastAnswer = max(known.lastAnswer, now.uptime) }
        return facts
    }

    /// Called from time to time: the sign of life, when one is due.
    public mutating func tick(now: Moment) -> [Fact] {
        facts = []
        if let due = nextAlive, now.uptime < due { return [] }
        nextAlive = now.uptime + FactFeed.aliveInterval
        var oldest = Duration.zero
        for host in hosts.values where host.isWatched { oldest = max(oldest, now.uptime - host.lastAnswer) }
        let body = FactBody.alive(oldestAnswerMillisecondsBefore: max(0, oldest.milliseconds))
        add(.poll, nil, reading(now.wall, now.uptime), body)
        return facts
    }

    /// Learns which hosts there are, in which zones, and their boot ids where they can be read; closes the watches of those that were taken out of the configuration.
    public mutating func setHosts(
        _ kept: [HostName], zones: [HostName: String] = [:], bootIDs: [HostName: String] = [:], now: Moment
    ) -> [Fact] {
        facts = []
        self.bootIDs = bootIDs
        self.zones = zones
        for host in hosts.keys.sorted() where !kept.contains(host) {
            close(host, now.uptime, reading(now.wall, now.uptime))
            hosts[host] = nil
        }
        return facts
    }

    /// Closes every watch: the collector ends.
    public mutating func end(now: Moment) -> [Fact] {
        facts = []
        nextAlive = nil
        let last = tick(now: now)
        facts = last
        for host in hosts.keys.sorted() { close(host, now.uptime, reading(now.wall, now.uptime)) }
        return facts
    }

    // MARK: -

    func reading(_ wall: Timestamp, _ uptime: Duration) -> ClockReading {
        ClockReading(wall: wall, steadyMilliseconds: uptime.milliseconds, machine: machine)
    }

    mutating func add(_ source: FactSource, _ host: HostName?, _ seen: ClockReading, _ body: FactBody) {
        let id = FactID(origin: origin, ordinal: nextOrdinal)
        nextOrdinal += 1
        facts.append(Fact(id: id, source: source, host: host, bootID: host.flatMap { bootIDs[$0] }, seen: seen, body: body))
    }

    mutating func wantAlive(soonAfter now: Duration) { nextAlive = nextAlive.map { min($0, now + FactFeed.earlyAlive) } }

    /// A tick without an answer: the host's watch ends with its last one, at once where the connection is gone.
    private mutating func missed(_ report: LaneReport, _ now: Moment) {
        guard let host = hosts[report.host], host.isWatched else { return }
        let isGone = report.failure.map { [.disconnected, .unreachable, .refused].contains($0.kind) } ?? false
        guard isGone || now.uptime - host.lastAnswer >= report.interval * FactFeed.toleratedIntervals else { return }
        close(report.host, now.uptime, reading(now.wall, now.uptime))
    }

    private mutating func close(_ name: HostName, _ now: Duration, _ seen: ClockReading) {
        guard let host = hosts[name], host.isWatched else { return }
        for guest in host.guests.keys.sorted() { stateTraffic(of: guest, on: name, now, isLast: true) }
        hosts[name]?.isWatched = false
        add(.poll, name, seen, .watchClosed(lastAnswerMillisecondsBefore: max(0, (now - host.lastAnswer).milliseconds)))
    }

    private mutating func lifecycle(
        _ guest: GuestID, _ name: String, _ event: HypervisorEvent.Lifecycle, _ detail: Int32, _ run: Int32?, on host: HostName,
        _ now: Duration, _ seen: ClockReading
    ) {
        let isNew = hosts[host]?.guests[guest].map { $0.presence == .absent } ?? true
        var entry = hosts[host]?.guests[guest] ?? KnownGuest(presence: .state(.shutOff, reason: 0), run: nil, lastSeen: now)
        if isNew { entry.presence = .state(.shutOff, reason: 0) }
        entry.touched = now
        entry.pending = nil
        if event == .defined, entry.changed == nil { entry.changed = Change(heard: seen, presence: entry.presence, run: entry.run) }
        guard let told = LifecycleState(event, detail: detail) else {
            if event == .undefined {
                if entry.presence.isActive || entry.presence.isMigratedAway {
                    entry.isTransient = true
                } else {
                    return forget(guest, on: host, .event, seen, previous: nil)
                }
            } else {
                entry.isTransient = false
                if isNew { add(.event, host, seen, .guest(GuestFact(guest: guest, presence: entry.presence))) }
            }
            hosts[host, default: KnownHost()].guests[guest] = entry
            return
        }
        // libvirt tells of the resumed CPUs just before it tells of the start.
        if told.edge == .none, told.presence.isActive, !entry.presence.isActive { return }
        if told.edge == .started {
            entry.run = run
            wantAlive(soonAfter: now)
            entry.traffic = [:]
            entry.counters = nil
            entry.earlierCounters = nil
            entry.vcpus = 0
            entry.changed = Change(heard: seen, presence: told.presence, run: run)
        }
        if told.edge == .stopped { stateTraffic(of: guest, on: host, now, isLast: true) }
        entry.presence = told.presence
        hosts[host, default: KnownHost()].guests[guest] = entry
        add(.event, host, seen, .guest(GuestFact(guest: guest, presence: told.presence, edge: told.edge, run: entry.run)))
        if told.edge == .stopped, entry.isTransient, !told.presence.isMigratedAway {
            forget(guest, on: host, .event, seen, previous: nil)
        }
    }

    /// The guest is gone from a host; its disks are out of sight unless another host has the guest.
    mutating func forget(_ guest: GuestID, on host: HostName, _ source: FactSource, _ seen: ClockReading, previous: Duration?) {
        guard let known = hosts[host]?.guests.removeValue(forKey: guest), known.presence != .absent else { return }
        let before = previous.map { max(0, $0.milliseconds) }
        add(source, host, seen, .guest(GuestFact(guest: guest, presence: .absent, previousListingMillisecondsBefore: before)))
        guard !hosts.values.contains(where: { $0.guests[guest] != nil }) else { return }
        for key in known.volumes.keys.sorted() {
            guard let volume = known.volumes[key] else { continue }
            let body = VolumeFact(
                key: key, size: Bytes(volume.size), presence: .unseen, hints: volume.hints, previousListingMillisecondsBefore: before)
            add(source, host, seen, .volume(body))
        }
    }

    /// Writes what was read of a guest's interfaces and not written yet.
    mutating func stateTraffic(of guest: GuestID, on host: HostName, _ now: Duration, isLast: Bool) {
        guard let known = hosts[host]?.guests[guest], let run = known.run else { return }
        for interface in known.traffic.keys.sorted() {
            guard var counted = known.traffic[interface] else { continue }
            guard isLast || now - counted.stated >= FactFeed.trafficInterval else { continue }
            guard counted.received != counted.statedReceived || counted.sent != counted.statedSent else { continue }
            counted.statedReceived = counted.received
            counted.statedSent = counted.sent
            counted.stated = now
            hosts[host]?.guests[guest]?.traffic[interface] = counted
            let body = TrafficFact(guest: guest, run: run, interface: interface, received: counted.received, sent: counted.sent)
            add(.poll, host, counted.read, .traffic(body))
        }
    }
}
