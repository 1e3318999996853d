import Collection
import Fleet
import HTTPServer
import Libvirt
import Logging
import OperatorFiles
import Synchronization
import Threads
import TimeSeries

/// What every part of a running server shares.
struct ServeContext: Sendable {
    /// libvirt's library and its event loop.
    let runtime: LibvirtRuntime
    /// The clocks.
    let clock: SystemClock
    /// The log.
    let logger: Logger
}

/// Something that runs beside collecting: it hears what the lanes hear, and adds its own pages.
struct ServePart: Sendable {
    /// Hears reports and events, on the thread that drives the lanes: it must not block.
    var listener: LaneListener
    /// Its pages.
    var routes: [WebRoute] = []
    /// Hears of the hosts, before the lanes do.
    var hostsChanged: @Sendable ([WatchedHost]) -> Void = { _ in }
    /// Reads its files anew.
    var reload: @Sendable () -> Void = {}
    /// Begins it, when collecting does.
    var start: @Sendable () -> Void = {}
    /// Ends it; what it holds is on the disk when this returns.
    var close: @Sendable () -> Void = {}
}

/// The lanes of a running server, and who hears of what they read: the live snapshot, history, the log, the parts.
final class FleetWatch: Sendable {
    /// The newest figures.
    let snapshot = LiveSnapshot()
    /// Routes that the parts add.
    var partRoutes: [WebRoute] { parts.flatMap(\.routes) }

    private let context: ServeContext
    private let interval: Duration
    private let history: History?
    private let process: ProcessWatch
    private let parts: [ServePart]
    private let lanes: Lanes
    private let hosts: Mutex<[HostName]>
    private let orders = Mailbox<Void>()

    init(context: ServeContext, interval: Duration, history: History?, process: ProcessWatch, parts: [ServePart]) {
        self.context = context
        self.interval = interval
        self.history = history
        self.process = process
        self.parts = parts
        hosts = Mutex([])
        let log = HostLog(logger: context.logger)
        let snapshot = snapshot
        let clock = context.clock
        lanes = Lanes(
            clock: { clock.now() }, seed: UInt64.random(in: .min ... .max),
            listener: LaneListener(
                report: { report in
                    let ticks = snapshot.take(report)
                    history?.take(ticks, host: report.host, at: report.time)
                    log.note(report)
                    for part in parts { part.listener.report(report) }
                },
                event: { host, event, moment in
                    for part in parts { part.listener.event(host, event, moment) }
                }))
    }

    /// Now, by the machine's clock.
    var now: Timestamp { context.clock.now().wall }
    /// How many hosts are configured.
    var hostCount: Int { hosts.withLock { $0.count } }

    /// Starts the threads that drive the lanes and keep the history.
    func start() {
        let runtime = context.runtime
        startThread(named: "libvirt events") { runtime.runEventLoop() }
        startThread(named: "lanes") { [lanes] in lanes.run() }
        history?.start()
        for part in parts { part.start() }
        if history != nil { startThread(named: "own figures") { [self] in keepOwnFigures() } }
    }

    /// Replaces the hosts: new ones begin, missing ones end, changed ones begin anew.
    func setHosts(_ watched: [WatchedHost]) {
        let names = watched.map(\.name)
        let gone = hosts.withLock { hosts in
            defer { hosts = names }
            return hosts.filter { !names.contains($0) }
        }
        snapshot.setHosts(Dictionary(watched.map { ($0.name, $0.configured.descriptiveLabels) }, uniquingKeysWith: { $1 }))
        for part in parts { part.hostsChanged(watched) }
        let runtime = context.runtime
        lanes.setHosts(
            watched.map { host in
                let settings = LaneSettings(interval: host.configured.interval ?? interval)
                return LaneHost(name: host.name, settings: settings, connection: host.fingerprint) { events throws(HypervisorError) in
                    try host.collect(runtime: runtime, events: events)
                }
            })
        for host in gone { history?.forget(host, at: now) }
    }

    /// Lets the parts read their files anew.
    func reloadParts() { for part in parts { part.reload() } }

    /// Ends the lanes and the parts, and commits what waits.
    func close() {
        lanes.stop()
        orders.put(())
        for part in parts { part.close() }
        history?.close()
    }

    /// Steward's own figures go into history at the interval of the lanes.
    private func keepOwnFigures() {
        repeat {
            history?.takeOwn(process.tick(at: now))
        } while orders.take(within: interval).isEmpty
    }
}
