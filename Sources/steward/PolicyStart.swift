import Actuation
import Collection
import Decisions
import Fleet
import Glibc
import HTTPServer
import JournalStorage
import Libvirt
import Logging
import Operations
import Plans
import Synchronization
import Threads

/// Holds the part for those who need it before it is made: the journal's rows and the health checks reach it through here.
private final class PartHolder: Sendable {
    private let part = Mutex<PolicyPart?>(nil)
    var value: PolicyPart? { part.withLock { $0 } }
    func set(_ value: PolicyPart) { part.withLock { $0 = value } }
}

extension PolicyPart {
    /// Reads the policies, opens the journal, resumes what an earlier process left, and takes commands; ticks begin with `start`.
    static func make(
        folder: String, data: String, hosts: [(policy: PolicyHost, actuator: ActuatorHost)], runtime: LibvirtRuntime, interval: Duration,
        clock: @escaping @Sendable () -> Moment, logger: Logger, own: PolicyQueries.OwnAnswer?
    ) throws -> PolicyPart {
        let loaded = PolicyFolder.read([folder], runsScenarios: false)
        guard loaded.isUsable else {
            throw Failure(
                loaded.diagnostics.filter { $0.severity == .error }.map(\.description).joined(separator: "\n"), code: Failure.usage)
        }
        for diagnostic in loaded.diagnostics { logger.warning("\(diagnostic)") }
        mkdir(data, 0o700)
        let store: PlanStore
        do { store = try PlanStore(folder: data) } catch { throw Failure("\(error)") }
        let fleet = PolicyFleet()
        let holder = PartHolder()
        let services = PolicyPart.services(store: store, fleet: fleet) { holder.value }
        let actuator = LibvirtActuator(hosts: [], runtime: runtime, services: services)
        let runner: PlanRunner
        do {
            runner = try PlanRunner(journal: store, actuator: actuator, clock: clock) { entries in holder.value?.note(entries) }
        } catch { throw Failure("\(error)") }
        let part = try PolicyPart(
            folder: folder, loaded: loaded, store: store, runner: runner, actuator: actuator, fleet: fleet, own: own, interval: interval,
            clock: clock, logger: logger)
        holder.set(part)
        part.setHosts(hosts)
        try ControlSocket.serve(folder: data) { part.answer($0) }
        let acting = loaded.groups.filter { $0.policy.scaling.mode != .observe }.count
        logger.info("\(loaded.groups.count) policies from \(folder), \(acting) of them may act")
        startThread(named: "plans") { runner.run() }
        return part
    }

    /// The part as a running server wants it; `policyHost` tells what a configured host means for policies.
    func servePart(_ policyHost: @escaping @Sendable (WatchedHost) -> (policy: PolicyHost, actuator: ActuatorHost)) -> ServePart {
        let part = self
        return ServePart(
            listener: LaneListener(report: { part.fleet.take($0) }, event: { _, _, _ in }), routes: routes,
            hostsChanged: { part.setHosts($0.map(policyHost)) }, reload: { part.reload() }, start: { part.start() }, close: { part.close() }
        )
    }

    /// Its pages.
    var routes: [WebRoute] {
        let part = self
        return [
            WebRoute("GET", "/metrics/policies") { _ in
                WebResponse(contentType: "text/plain; version=0.0.4; charset=utf-8", body: .bytes(Array(part.metrics.utf8)))
            },
            WebRoute("GET", "/policies") { _ in .text(part.answer(["list"], user: "HTTP").text) },
            WebRoute("GET", "/policies/{name}") { request in
                let answer = part.answer(["explain", request.captures.first ?? ""], user: "HTTP")
                return .text(answer.text, status: answer.code == 0 ? 200 : 404)
            },
        ]
    }
}
