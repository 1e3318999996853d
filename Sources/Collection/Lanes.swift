public import Fleet
import Synchronization
import Threads

/// One host as the operator configured it, with the way to connect to it.
public struct LaneHost: Sendable {
    /// The host.
    public let name: HostName
    /// The lane's settings.
    public let settings: LaneSettings
    /// Names what `open` connects to: where it differs from the running lane's, the lane begins anew.
    public let connection: String
    /// Opens a connection; called on the lane's own thread; its argument takes what the host tells by itself.
    public let open: @Sendable (@escaping @Sendable (HypervisorEvent) -> Void) throws(HypervisorError) -> any Hypervisor

    /// A host.
    public init(
        name: HostName, settings: LaneSettings, connection: String,
        open: @escaping @Sendable (@escaping @Sendable (HypervisorEvent) -> Void) throws(HypervisorError) -> any Hypervisor
    ) {
        self.name = name
        self.settings = settings
        self.connection = connection
        self.open = open
    }
}

/// Who hears of what the lanes find out; both are called on the one thread that drives them, so they must not block.
public struct LaneListener: Sendable {
    /// A tick's report.
    public let report: @Sendable (LaneReport) -> Void
    /// What a host told, when it was heard.
    public let event: @Sendable (HostName, HypervisorEvent, Moment) -> Void

    /// A listener.
    public init(
        report: @escaping @Sendable (LaneReport) -> Void, event: @escaping @Sendable (HostName, HypervisorEvent, Moment) -> Void
    ) {
        self.report = report
        self.event = event
    }
}

/// Drives every host's lane: one thread for all decisions, and for each host a thread of its own for its calls.
public final class Lanes: Sendable {
    enum Message: Sendable {
        case event(HostName, generation: UInt64, LaneMachine.Event, (any Hypervisor)?)
        case setHosts([LaneHost])
        case stop
    }

    private let clock: @Sendable () -> Moment
    private let listener: LaneListener
    private let seed: UInt64
    private let inbox = Mailbox<Message>()

    /// Lanes without hosts yet.
    public init(clock: @escaping @Sendable () -> Moment, seed: UInt64, listener: LaneListener) {
        self.clock = clock
        self.listener = listener
        self.seed = seed
    }

    /// Replaces the hosts: new ones begin, missing ones end, those whose settings changed begin anew.
    public func setHosts(_ hosts: [LaneHost]) { inbox.put(.setHosts(hosts)) }

    /// Ends all lanes, so that `run` returns.
    ///
    /// Threads that hang in a call are left to themselves.
    public func stop() { inbox.put(.stop) }

    /// Drives the lanes until `stop`; call it on a thread of its own.
    public func run() {
        var lanes: [HostName: RunningLane] = [:]
        var generation: UInt64 = 0
        while true {
            let now = clock()
            let earliest = lanes.values.map(\.machine.wakeAt).min()
            for message in inbox.take(within: earliest.map { max(.zero, $0 - now.uptime) }) {
                switch message {
                case .event(let host, let from, let event, let hypervisor):
                    guard let lane = lanes[host], lane.generation == from else {
                        // A lane that is gone: whatever it opened is closed on a thread of its own.
                        if let hypervisor { startThread(named: "close \(host)") { hypervisor.close() } }
                        continue
                    }
                    if case .told(let told) = event { listener.event(host, told, clock()) }
                    lane.take(event, hypervisor, clock(), listener)
                case .setHosts(let hosts):
                    for name in lanes.keys.sorted() where !hosts.contains(where: { lanes[name]?.serves($0) == true }) {
                        lanes.removeValue(forKey: name)?.end()
                    }
                    for host in hosts where lanes[host.name] == nil {
                        generation += 1
                        lanes[host.name] = start(host, generation)
                    }
                case .stop:
                    for name in lanes.keys.sorted() { lanes[name]?.end() }
                    return
                }
            }
            let due = clock()
            for name in lanes.keys.sorted() {
                guard let lane = lanes[name], lane.machine.wakeAt <= due.uptime else { continue }
                lane.take(.woke, nil, due, listener)
            }
        }
    }

    /// Hosts begin a thousandth of an interval apart, so that a thousand lanes do not tick at once.
    private func start(_ host: LaneHost, _ generation: UInt64) -> RunningLane {
        let inbox = inbox
        let name = host.name
        let start = clock().uptime + host.settings.interval * Int(generation % 1000) / 1000
        return RunningLane(host: host, generation: generation, start: start, seed: seed ^ generation, clock: clock) {
            inbox.put(.event(name, generation: generation, $0, $1))
        }
    }
}

/// One lane's machine, its connection and its thread; touched by the driving thread only.
private final class RunningLane {
    let generation: UInt64
    var machine: LaneMachine
    private let host: LaneHost
    private let clock: @Sendable () -> Moment
    private let post: @Sendable (LaneMachine.Event, (any Hypervisor)?) -> Void
    private var worker: LaneWorker
    private var hypervisor: (any Hypervisor)?

    init(
        host: LaneHost, generation: UInt64, start: Duration, seed: UInt64, clock: @escaping @Sendable () -> Moment,
        post: @escaping @Sendable (LaneMachine.Event, (any Hypervisor)?) -> Void
    ) {
        self.host = host
        self.generation = generation
        self.clock = clock
        self.post = post
        machine = LaneMachine(host: host.name, settings: host.settings, start: start, seed: seed)
        worker = LaneWorker(host: host.name, clock: clock, open: host.open, post: post)
    }

    func take(_ event: LaneMachine.Event, _ opened: (any Hypervisor)?, _ now: Moment, _ listener: LaneListener) {
        if let opened { hypervisor = opened }
        for effect in machine.step(event, now: now) {
            switch effect {
            case .open(let id): worker.put(.open(id))
            case .request(let id, let request):
                if let hypervisor { worker.put(.request(id, request, hypervisor)) }
            case .abandon:
                // It ends by itself after the call that holds it; a fresh thread takes over.
                worker.put(.end)
                worker = LaneWorker(host: host.name, clock: clock, open: host.open, post: post)
            case .close:
                closeConnection()
            case .publish(let report): listener.report(report)
            }
        }
    }

    /// Closing may block as long as the host does: the thread that made the calls does it and ends.
    private func closeConnection() {
        guard let hypervisor else { return }
        worker.put(.close(hypervisor))
        self.hypervisor = nil
        worker = LaneWorker(host: host.name, clock: clock, open: host.open, post: post)
    }

    /// Whether this lane does what is configured: the same host, reached in the same way, as often.
    func serves(_ other: LaneHost) -> Bool {
        other.name == host.name && other.settings == host.settings && other.connection == host.connection
    }

    func end() {
        if let hypervisor { worker.put(.close(hypervisor)) } else { worker.put(.end) }
        hypervisor = nil
    }
}
