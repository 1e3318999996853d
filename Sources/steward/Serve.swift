import Actuation
import ArgumentParser
import Collection
import Exposition
import Fleet
import Glibc
import HTTPServer
import Libvirt
import Logging
import OperatorFiles
import ServiceLifecycle
import Storage
import Threads
import UnixSignals

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Collects from the hosts, keeps what it found, and serves it to Prometheus and Grafana.",
        discussion: """
            Reads every guest of every host at each interval, over read-only connections. GET /metrics writes the newest figures in \
            Prometheus' text form, or OpenMetrics where the scraper asks for it, and never calls libvirt. A host or a guest that hangs \
            delays no other. With --data, every figure is kept as history in that folder.

                steward serve
                steward serve --connect qemu+tls://kvm1/system --connect qemu+tls://kvm2/system --interval 15s
                steward serve --config /etc/steward/steward.yaml --data /var/lib/steward
                steward serve --metric-names tinkoff        # names of the archived exporter, for existing dashboards

            Listens on loopback unless told otherwise. SIGHUP reads --config again: all of it, or, where it has a mistake, nothing. \
            SIGTERM and Ctrl-C end it.
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
            "The folder for history and the ledger of usage, made with mode 0700 where it is not there.",
            discussion: "Without it the newest figures are kept in memory, and nothing is metered.", valueName: "DIR"))
    var data: String?

    @Option(help: ArgumentHelp("How long history is kept at least.", valueName: "duration"))
    var retention = DurationArgument(.seconds(90 * 86_400))

    @Option(help: ArgumentHelp("What history may take on the disk, as 20GiB; the oldest goes first.", valueName: "size"))
    var retentionSize: SizeArgument?

    @Option(help: ArgumentHelp("The billing folder, for GET /api/v1/usage.", valueName: "DIR"))
    var billing = UsageOptions.standardBilling
    @Option(
        help: ArgumentHelp(
            "The folder of policies to evaluate on the fleet.",
            discussion: "Needs --data. A policy acts only where its mode says so, and only on hosts that allow actions.", valueName: "DIR"))
    var policies: String?

    @Flag(help: "Allow policies to act on hosts given by --connect; in --config each host says 'allow-actions: true'.")
    var allowActions = false

    @OptionGroup(title: "Acting when a host dies") var evacuation: EvacuationOptions

    func validate() throws {
        if evacuation.evacuate, data == nil {
            throw ValidationError("--evacuate needs --data: plans are written down before they are carried out")
        }
        if policies != nil, data == nil {
            throw ValidationError("--policies needs --data: plans are written down before they are carried out")
        }
        if policies != nil, evacuation.evacuate {
            throw ValidationError("--policies and --evacuate cannot share a data folder yet; run two servers, each with its own --data")
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
        let watched = try hosts.hosts()
        let logger = Logger(label: "steward") { StreamLogHandler.standardError(label: $0) }
        let clock = SystemClock()
        let context = ServeContext(runtime: try LibvirtRuntime(), clock: clock, logger: logger)
        let history = try data.map { try History(path: $0, options: storeOptions, clock: clock, logger: logger) }
        let process = ProcessWatch(clock: clock, build: buildLabels(context.runtime))
        let watch = FleetWatch(
            context: context, interval: interval.duration, history: history, process: process, parts: try parts(context, history, watched))
        watch.setHosts(watched)
        watch.start()
        let routes = ServeRoutes(watch: watch, names: metricNames, process: process)
        let server = WebServer(address: listen.address, port: listen.port, routes: routes.all + watch.partRoutes, logger: logger)
        let address = listen.address
        let reloading = Task { await reload(watch, logger) }
        defer { reloading.cancel() }
        do {
            try await server.run { port in
                let authority = address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
                logger.info("watching \(watched.count) host\(watched.count == 1 ? "" : "s"); metrics at http://\(authority)/metrics")
            }
        } catch let error as WebServerError {
            watch.close()
            throw Failure("\(error)")
        }
        watch.close()
    }

    /// What else runs beside collecting, each with its own listener and routes.
    private func parts(_ context: ServeContext, _ history: History?, _ watched: [WatchedHost]) throws -> [ServePart] {
        var parts: [ServePart] = []
        guard let history else { return parts }
        let folder = history.folder.path
        if evacuation.evacuate {
            let clock = context.clock
            try EvacuationPart(
                evacuation, hosts: watched, isFile: hosts.config != nil, folder: folder, runtime: context.runtime, logger: context.logger,
                clock: { clock.now() }
            ).start()
        }
        parts.append(try MeterPart(folder: folder, clock: context.clock, logger: context.logger).servePart(billing: billing))
        parts.append(QueryRoutes.part(history.store, clock: context.clock, retention: retention.duration.operatorText))
        guard let policies else { return parts }
        let clock = context.clock
        let part = try PolicyPart.make(
            folder: policies, data: folder, hosts: watched.map(policyHost), runtime: context.runtime, interval: interval.duration,
            clock: { clock.now() }, logger: context.logger,
            own: PolicyQueries.answering(interval: interval.duration) { history.store })
        parts.append(part.servePart(policyHost))
        return parts
    }

    private func policyHost(_ host: WatchedHost) -> (policy: PolicyHost, actuator: ActuatorHost) {
        let isAllowed = hosts.config == nil ? allowActions : host.configured.allowsActions == true
        return (PolicyHost(name: host.name, zone: host.configured.zone, allowsActions: isAllowed), host.actuatorHost)
    }

    private var storeOptions: SampleStoreOptions {
        var options = SampleStoreOptions()
        options.retention = retention.duration
        options.retentionBytes = retentionSize?.bytes
        return options
    }

    /// Reads the hosts anew at each SIGHUP; a mistake changes nothing.
    private func reload(_ watch: FleetWatch, _ logger: Logger) async {
        for await _ in await UnixSignalsSequence(trapping: .sighup) {
            watch.reloadParts()
            do {
                let watched = try hosts.hosts()
                watch.setHosts(watched)
                logger.info("configuration read again: \(watched.count) host\(watched.count == 1 ? "" : "s")")
            } catch {
                logger.error("the configuration stays as it was: \((error as? Failure)?.message ?? "\(error)")")
            }
        }
    }
}
