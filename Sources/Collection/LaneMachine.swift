public import Fleet

/// What a lane asks of its host in one go, in this order, on one thread.
public struct LaneRequest: Hashable, Sendable {
    /// The most descriptions read in one tick, so that a host with thousands of guests is not late at its first one.
    public static let maximumDescriptions = 200

    /// Guests whose XML is to be read first.
    public var describe: [GuestID]
    /// The groups of the bulk read.
    public var groups: StatGroups
    /// The guests of the bulk read.
    public var scope: GuestScope
    /// Guests whose running job is to be read.
    public var jobs: [GuestID]
    /// Whether the inactive guests are to be listed.
    public var listsInactive: Bool
    /// Whether the storage pools are to be read.
    public var readsPools: Bool
}

/// What came back of a request.
public struct LaneAnswer: Sendable {
    /// Guests whose XML could be read.
    public var descriptions: [GuestDescription]
    /// The active guests, and when their bulk read began.
    public var domains: [DomainReading]
    /// The inactive guests; nil where they were not asked for.
    public var inactive: [DomainReading]?
    /// The node; nil where its call failed.
    public var node: NodeReading?
    /// The storage pools; nil where they were not asked for, or their call failed.
    public var pools: [PoolReading]?
    /// The running jobs of the guests asked for.
    public var jobs: [JobReading]
    /// When the bulk read began.
    public var began: Moment
    /// How many calls went to the host.
    public var calls: Int
    /// Calls that failed beside the bulk read, each on its own without spoiling the rest.
    public var failures: [HypervisorError]

    /// An answer.
    public init(
        descriptions: [GuestDescription] = [], domains: [DomainReading], inactive: [DomainReading]? = nil, node: NodeReading? = nil,
        pools: [PoolReading]? = nil, jobs: [JobReading] = [], began: Moment, calls: Int, failures: [HypervisorError] = []
    ) {
        self.descriptions = descriptions
        self.domains = domains
        self.inactive = inactive
        self.node = node
        self.pools = pools
        self.jobs = jobs
        self.began = began
        self.calls = calls
        self.failures = failures
    }
}

/// The settings of one lane.
public struct LaneSettings: Hashable, Sendable {
    /// The time between ticks.
    public var interval: Duration
    /// How long a request may take before its thread is abandoned; under half the interval, so that a second try still fits.
    public var deadline: Duration { interval * 9 / 20 }
    /// The first wait before a reconnect; it doubles up to `longestBackoff`, each with up to a quarter of jitter.
    public var firstBackoff: Duration = .seconds(1)
    /// The longest wait before a reconnect.
    public var longestBackoff: Duration = .seconds(30)
    /// How often pools are read and inactive guests listed without an event that asks for it.
    public var slowInterval: Duration = .seconds(60)

    /// Settings; the interval is at least 200 ms.
    public init(interval: Duration = .seconds(10)) {
        self.interval = max(interval, .milliseconds(200))
    }
}

/// Decides what one host's lane does next: pure, with time as a parameter.
///
/// At most two calls are outstanding and at most one of them is abandoned; never a second open while one hangs.
public struct LaneMachine: Sendable {
    /// The number of one call.
    public typealias CallID = UInt64

    /// What happened.
    public enum Event: Sendable {
        /// The time asked for has come, or the lane starts.
        case woke
        /// The connection is open; `groups` are those that this host knows.
        case opened(CallID, HostDescription, groups: StatGroups)
        /// A connection could not be opened, or a request failed.
        case failed(CallID, HypervisorError)
        /// A request was answered.
        case answered(CallID, LaneAnswer)
        /// The host told something by itself.
        case told(HypervisorEvent)
    }

    /// What is to be done.
    public enum Effect: Sendable {
        /// Open a connection.
        case open(CallID)
        /// Send a request.
        case request(CallID, LaneRequest)
        /// Leave the thread of this call to itself; it ends when its call does.
        case abandon(CallID)
        /// Close the connection.
        case close
        /// Make this known.
        case publish(LaneReport)
    }

    enum Link: Equatable {
        case down(retryAt: Duration)
        case opening(CallID)
        case up
    }

    struct Outstanding {
        let id: CallID
        let sent: Duration
        let request: LaneRequest
    }

    let host: HostName
    var settings: LaneSettings
    var link: Link
    var backoffs = 0
    var nextCall: CallID = 1
    var nextTick: Duration
    var current: Outstanding?
    var abandoned: Outstanding?
    /// Guests that are left out of bulk reads while an abandoned call may still hang on them.
    var suspects: [GuestID] = []
    var groups: StatGroups = .standard
    var description: HostDescription?
    var guests: [GuestID: KnownGuest] = [:]
    var inactive: [DomainReading] = []
    var pools: [PoolReading] = []
    var poolsRead: Timestamp?
    var nextSlowRead: Duration = .zero
    var migrating: [GuestID] = []
    var lastFailure: HypervisorError?
    var lastPublished: Duration?
    var counters = LaneCounters()
    var jitter: SeededGenerator

    struct KnownGuest {
        var description: GuestDescription?
        var isDescriptionStale = true
        /// Whether its last whole reading held what libvirt gives only under the guest's job lock; other drivers than QEMU's never do.
        var answersToJobs = false
        var lastWhole: Moment?
    }

    /// A lane that begins at `start`.
    public init(host: HostName, settings: LaneSettings, start: Duration, seed: UInt64) {
        self.host = host
        self.settings = settings
        link = .down(retryAt: start)
        nextTick = start
        jitter = SeededGenerator(seed: seed)
    }

    /// When the lane wants to be woken.
    public var wakeAt: Duration {
        var earliest = nextTick
        if case .down(let retryAt) = link { earliest = min(earliest, retryAt) }
        if let current, abandoned == nil { earliest = min(earliest, current.sent + settings.deadline) }
        return earliest
    }

    /// The counters of the lane's own work.
    public var ownCounters: LaneCounters { counters }

    /// Takes one event and says what is to be done, in order.
    public mutating func step(_ event: Event, now: Moment) -> [Effect] {
        switch event {
        case .woke: return wake(now)
        case .opened(let id, let description, let groups): return opened(id, description, groups, now)
        case .failed(let id, let error): return failed(id, error, now)
        case .answered(let id, let answer): return answered(id, answer, now)
        case .told(let event): return told(event, now)
        }
    }

    private mutating func wake(_ now: Moment) -> [Effect] {
        var effects: [Effect] = []
        if let late = current, abandoned == nil, now.uptime >= late.sent + settings.deadline {
            abandoned = late
            current = nil
            counters.abandonedCalls += 1
            effects.append(.abandon(late.id))
            // At once, so that every other guest's tick is late by the deadline only; but a request without a connection is answered by nobody.
            if link == .up { effects.append(request(now)) }
        }
        if now.uptime >= nextTick {
            advanceTick(now)
            if link == .up, current == nil {
                effects.append(request(now))
            } else {
                counters.missedTicks += 1
                // What happened meanwhile was not looked at: the next listing is a complete one.
                nextSlowRead = now.uptime
                effects.append(.publish(silentReport(now)))
            }
        }
        if case .down(let retryAt) = link, now.uptime >= retryAt, abandoned == nil || current == nil {
            let id = takeCallID()
            link = .opening(id)
            effects.append(.open(id))
        }
        return effects
    }

    /// Keeps the phase: a late wake-up does not shift the ticks after it.
    private mutating func advanceTick(_ now: Moment) {
        nextTick += settings.interval
        if nextTick <= now.uptime {
            let missed = (now.uptime - nextTick) / settings.interval
            nextTick += settings.interval * (Int(missed.rounded(.down)) + 1)
        }
    }

    private mutating func takeCallID() -> CallID {
        defer { nextCall += 1 }
        return nextCall
    }

    private mutating func request(_ now: Moment) -> Effect {
        let stale = guests.filter { $0.value.isDescriptionStale }.map(\.key).sorted()
        let isSlowTick = now.uptime >= nextSlowRead
        if isSlowTick { nextSlowRead = now.uptime + settings.slowInterval }
        let request = LaneRequest(
            describe: Array(stale.filter { !suspects.contains($0) }.prefix(LaneRequest.maximumDescriptions)),
            groups: wantedGroups(), scope: suspects.isEmpty ? .active : .activeExcept(suspects), jobs: migrating,
            listsInactive: isSlowTick, readsPools: isSlowTick)
        let id = takeCallID()
        current = Outstanding(id: id, sent: now.uptime, request: request)
        return .request(id, request)
    }

    /// Asks only for what the guests can answer: each further group is a monitor call per guest.
    private func wantedGroups() -> StatGroups {
        var wanted = StatGroups.standard
        for known in guests.values {
            guard let description = known.description else { continue }
            if description.iothreads > 0 { wanted.insert(.iothread) }
            if description.hasPerfEvents { wanted.insert(.perf) }
        }
        if !migrating.isEmpty { wanted.insert(.dirtyRate) }
        return wanted.intersection(groups)
    }

    private mutating func opened(_ id: CallID, _ description: HostDescription, _ groups: StatGroups, _ now: Moment) -> [Effect] {
        guard link == .opening(id) else { return [] }
        link = .up
        backoffs = 0
        lastFailure = nil
        self.description = description
        self.groups = groups
        suspects = []
        nextSlowRead = now.uptime
        counters.connects += 1
        for guest in guests.keys { guests[guest]?.isDescriptionStale = true }
        // Events were lost while there was no connection: list and compare without waiting for the next tick.
        nextTick = now.uptime
        return wake(now)
    }

    private mutating func failed(_ id: CallID, _ error: HypervisorError, _ now: Moment) -> [Effect] {
        counters.failures += 1
        if link == .opening(id) {
            lastFailure = error
            link = .down(retryAt: now.uptime + nextBackoff())
            return [.publish(silentReport(now))]
        }
        if abandoned?.id == id { endAbandonment() } else if current?.id == id { current = nil } else { return [] }
        lastFailure = error
        guard error.kind == .disconnected, link == .up else { return [.publish(silentReport(now))] }
        return lost(error, now)
    }

    private mutating func lost(_ error: HypervisorError, _ now: Moment) -> [Effect] {
        lastFailure = error
        link = .down(retryAt: now.uptime + nextBackoff())
        suspects = []
        return [.close, .publish(silentReport(now))]
    }

    /// 1, 2, 4 … seconds up to the longest, each with up to a quarter more, so that a fleet does not reconnect in step.
    private mutating func nextBackoff() -> Duration {
        let doubled = settings.firstBackoff * (1 << min(backoffs, 16))
        backoffs += 1
        let wait = min(doubled, settings.longestBackoff)
        return wait + wait * Int(jitter.next() % 256) / 1024
    }

    mutating func endAbandonment() {
        abandoned = nil
        // Whatever it hung on has let go: ask everybody again.
        suspects = []
    }

    private mutating func told(_ event: HypervisorEvent, _ now: Moment) -> [Effect] {
        counters.events += 1
        switch event {
        case .lifecycle(let guest, _, let lifecycle, _, _):
            guests[guest]?.isDescriptionStale = true
            if lifecycle == .stopped || lifecycle == .undefined { migrating.removeAll { $0 == guest } }
            nextSlowRead = now.uptime
        case .changed(let guest):
            guests[guest]?.isDescriptionStale = true
        case .migrationPass(let guest, _):
            if !migrating.contains(guest) { migrating.append(guest) }
        case .jobCompleted(let guest):
            migrating.removeAll { $0 == guest }
        case .closed(let reason):
            guard link == .up else { return [] }
            return lost(HypervisorError(.disconnected, call: "connection", host: host, words: reason), now)
        }
        return []
    }
}
