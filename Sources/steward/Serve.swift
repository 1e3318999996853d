import Actuation
import ArgumentParser
import Collection
import Exposition
import Fleet
import Glibc
import HTTPServer
import Libvirt
import Logging
import ServiceLifecycle
import Threads
import UnixSignals

/// An address and a port on the command line: `127.0.0.1:9177`.
struct ListenAddress: ExpressibleByArgument {
    let address: String
    let port: Int

    /// 9177 is the port that Prometheus' list of ports keeps for exporters of libvirt.
    static let standard = ListenAddress(address: "127.0.0.1", port: 9177)

    private init(address: String, port: Int) {
        self.address = address
        self.port = port
    }

    init?(argument: String) {
        guard let colon = argument.lastIndex(of: ":"), let port = UInt16(argument[argument.index(after: colon)...]) else { return nil }
        let address = argument[..<colon]
        guard !address.isEmpty else { return nil }
        let isBracketed = address.hasPrefix("[") && address.hasSuffix("]")
        self.address = isBracketed ? String(address.dropFirst().dropLast()) : String(address)
        self.port = Int(port)
    }

    var isLoopback: Bool { address == "localhost" || address == "::1" || address.hasPrefix("127.") }
    var defaultValueDescription: String { "\(address):\(port)" }
}

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Collects from the hosts and serves what it found to Prometheus.",
        discussion: """
            Reads every guest of every host at each interval, over read-only connections, and keeps the newest figures in memory. \
            GET /metrics writes them in Prometheus' text form, or OpenMetrics where the scraper asks for it, and never calls libvirt. \
            A host or a guest that hangs delays no other.

                steward serve
                steward serve --connect qemu+tls://kvm1/system --connect qemu+tls://kvm2/system --interval 15s
                steward serve --metric-names tinkoff        # names of the archived exporter, for existing dashboards

            Listens on loopback unless told otherwise. SIGTERM and Ctrl-C end it.
            """)

    @OptionGroup var hosts: ConnectOptions

    @Option(help: ArgumentHelp("Time between two readings of a host, at least 200ms.", valueName: "duration"))
    var interval = DurationArgument(.seconds(10))

    @Option(help: ArgumentHelp("Where to listen; port 0 takes a free one.", valueName: "address:port"))
    var listen = ListenAddress.standard

    @Flag(help: "Allow --listen beyond loopback, where everybody who reaches it may read.")
    var insecure = false

    @Option(
        help: ArgumentHelp("The names of the metrics: canonical or tinkoff.", valueName: "names"),
        transform: { text in
            guard let names = MetricNames(rawValue: text) else { throw ValidationError("'\(text)' is neither canonical nor tinkoff") }
            return names
        })
    var metricNames = MetricNames.canonical

    @Option(
        help: ArgumentHelp(
            "The folder of policies to evaluate on the fleet.",
            discussion: "Needs --data. Policies act only where their mode says so and the host allows actions.", valueName: "DIR"))
    var policies: String?

    @Option(help: ArgumentHelp("The folder of the journal.", valueName: "DIR"))
    var data: String?

    @Flag(help: "Allow policies to act on the hosts given by --connect.")
    var allowActions = false

    func validate() throws {
        guard policies == nil || data != nil else {
            throw ValidationError("--policies needs --data DIR: what is done is written down there first")
        }
        guard interval.duration >= .milliseconds(200) else {
            throw ValidationError("--interval \(interval.duration.operatorText) is under 200ms; libvirt would be busy with nothing else")
        }
        guard listen.isLoopback || insecure else {
            throw ValidationError(
                "--listen \(listen.address) is not loopback, and /metrics has neither TLS nor a password yet; put a proxy before it, or add --insecure"
            )
        }
    }

    func run() async throws {
        let targets = try hosts.hosts()
        let logger = Logger(label: "steward") { StreamLogHandler.standardError(label: $0) }
        let runtime = try LibvirtRuntime()
        startThread(named: "libvirt events") { runtime.runEventLoop() }
        let clock = SystemClock()
        let snapshot = LiveSnapshot()
        let policyPart = try policies.map { folder in
            try PolicyPart.make(
                folder: folder, data: data ?? "",
                hosts: targets.map { host in
                    (
                        PolicyHost(name: host.name, zone: nil, allowsActions: allowActions),
                        ActuatorHost(host.name, address: host.uri)
                    )
                }, runtime: runtime, interval: interval.duration, clock: { clock.now() }, logger: logger, own: nil)
        }
        let lanes = Lanes(
            clock: { clock.now() }, seed: UInt64.random(in: .min ... .max), listener: listener(snapshot, logger, policyPart))
        lanes.setHosts(
            targets.map { host in
                LaneHost(name: host.name, settings: LaneSettings(interval: interval.duration)) { events throws(HypervisorError) in
                    try LibvirtConnection(to: host.uri, host: host.name, access: .readOnly, runtime: runtime, events: events)
                }
            })
        startThread(named: "lanes") { lanes.run() }
        policyPart?.start()
        let reloading = Task {
            for await _ in await UnixSignalsSequence(trapping: .sighup) { policyPart?.reload() }
        }
        defer { reloading.cancel() }
        let routes = ServeRoutes(snapshot: snapshot, names: metricNames, hosts: targets.count)
        let server = WebServer(address: listen.address, port: listen.port, routes: routes.all + (policyPart?.routes ?? []), logger: logger)
        let address = listen.address
        do {
            try await server.run { port in
                let authority = address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
                logger.info("watching \(targets.count) host\(targets.count == 1 ? "" : "s"); metrics at http://\(authority)/metrics")
            }
        } catch let error as WebServerError {
            throw Failure("\(error)")
        }
        policyPart?.close()
        lanes.stop()
    }

    /// Says once when a host is lost and when it is back, not at every tick.
    private func listener(_ snapshot: LiveSnapshot, _ logger: Logger, _ policies: PolicyPart?) -> LaneListener {
        let log = HostLog(logger: logger)
        return LaneListener(
            report: { report in
                snapshot.take(report)
                policies?.fleet.take(report)
                log.note(report)
            }, event: { _, _, _ in })
    }
}
