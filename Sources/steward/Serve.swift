import ArgumentParser
import Collection
import Fleet
import HTTPServer
import Libvirt
import Logging

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Collects from the hosts and serves what it found.")

    @OptionGroup var hosts: ConnectOptions

    @Option(help: ArgumentHelp("Time between two readings of a host.", valueName: "duration"))
    var interval = DurationArgument(.seconds(10))

    func run() async throws {
        let clock = SystemClock()
        let runtime = try LibvirtRuntime()
        startThread(named: "libvirt events") { runtime.runEventLoop() }
        let lanes = Lanes(
            clock: { clock.now() }, seed: UInt64.random(in: .min ... .max),
            listener: LaneListener(
                report: { report in
                    printError(
                        "\(report.time) \(report.host) up=\(report.isUp) guests=\(report.guests.map { "\($0.reading.name):\($0.condition.rawValue):\($0.reading.parameters.count):\($0.description == nil ? "?" : "d")" }) inactive=\(report.inactive.count) node=\(report.node != nil) pools=\(report.pools.map(\.name)) took=\(report.took) \(report.failure.map { "\($0)" } ?? "") abandoned=\(report.counters.abandonedCalls) late=\(report.counters.lateAnswers) "
                    )
                },
                event: { host, event, _ in printError("\(host) event \(event)") }))
        lanes.setHosts(
            try hosts.hosts().map { host in
                LaneHost(name: host.name, settings: LaneSettings(interval: interval.duration)) { events throws(HypervisorError) in
                    try LibvirtConnection(to: host.uri, host: host.name, access: .readOnly, runtime: runtime, events: events)
                }
            })
        lanes.run()
    }
}
