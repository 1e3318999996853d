import Actuation
import Collection
import Decisions
import Fleet
import Groups
import Libvirt
import Plans
import Synchronization
import Threads
import Webhooks

/// A host as policies need it.
struct PolicyHost: Sendable {
    let name: HostName
    let zone: String?
    let allowsActions: Bool
}

/// The fleet as the lanes last reported it, with what policies alone look up: images, guests that are shut off.
final class PolicyFleet: Sendable {
    /// How old what was looked up on a host may be.
    static let surveyEvery = Duration.seconds(30)

    private struct State {
        var hosts: [PolicyHost] = []
        var reports: [HostName: LaneReport] = [:]
        var descriptions: [HostName: HostDescription] = [:]
        var surveys: [HostName: HostSurvey] = [:]
        var surveying: Set<HostName> = []
    }

    /// What a host's libvirt was asked beyond the lane's report.
    private struct HostSurvey: Sendable {
        var images: [ImageSight] = []
        var inactive: [GuestDescription] = []
        var domainType = "kvm"
        var at: Duration
    }

    private let state = Mutex(State())

    func setHosts(_ hosts: [PolicyHost]) {
        state.withLock { state in
            state.hosts = hosts
            let names = Set(hosts.map(\.name))
            state.reports = state.reports.filter { names.contains($0.key) }
        }
    }

    func take(_ report: LaneReport) {
        state.withLock { state in
            // What is known of a silent host's guests is in the groups' own memory; here it is simply not up.
            state.reports[report.host] = report
            if let description = report.description { state.descriptions[report.host] = description }
        }
    }

    /// Whether every host has been heard of, answering or not.
    var isComplete: Bool { state.withLock { state in state.hosts.allSatisfy { state.reports[$0.name] != nil } } }

    /// Whether a host answered its last reading.
    func answers(_ host: HostName) -> Bool { state.withLock { $0.reports[host]?.isUp ?? false } }

    /// The guests that a host lists as active, with their descriptions.
    func guest(_ guest: GuestID) -> (host: HostName, description: GuestDescription?)? {
        state.withLock { state in
            for host in state.hosts {
                guard let report = state.reports[host.name], report.isUp else { continue }
                if let found = report.guests.first(where: { $0.reading.guest == guest }) { return (host.name, found.description) }
            }
            return nil
        }
    }

    /// The processor time of each active guest, to see whether it still works.
    func processorTimes() -> [GuestID: UInt64] {
        state.withLock { state in
            var times: [GuestID: UInt64] = [:]
            for report in state.reports.values where report.isUp {
                for guest in report.guests {
                    times[guest.reading.guest] = guest.reading.parameters.first { $0.name == "cpu.time" }?.value.unsignedInteger
                }
            }
            return times
        }
    }

    var sight: FleetSight {
        state.withLock { state in
            var hosts: [HostSight] = []
            var guests: [GuestSight] = []
            for host in state.hosts {
                let report = state.reports[host.name]
                var sight = HostSight(host.name, zone: host.zone, isUp: report?.isUp ?? false, allowsActions: host.allowsActions)
                let description = state.descriptions[host.name]
                sight.cpus = description?.cpus
                sight.memory = description?.memory ?? Bytes(0)
                let survey = state.surveys[host.name]
                sight.images = survey?.images ?? []
                sight.domainType = survey?.domainType ?? "kvm"
                sight.seenAt = report?.time
                hosts.append(sight)
                guard let report, report.isUp else { continue }
                let moving = Set(report.jobs.map(\.guest))
                guests += report.guests.map { guest in
                    PolicyFleet.sight(guest, on: host.name, isMoving: moving.contains(guest.reading.guest))
                }
                guests += report.inactive.map { reading in
                    let description = survey?.inactive.first { $0.guest == reading.guest }
                    return GuestSight(
                        reading.guest, name: reading.name, host: host.name, group: description?.metadata.group, isActive: false)
                }
            }
            return FleetSight(hosts: hosts, guests: guests)
        }
    }

    private static func sight(_ guest: GuestReport, on host: HostName, isMoving: Bool) -> GuestSight {
        var sight = GuestSight(
            guest.reading.guest, name: guest.reading.name, host: host, group: guest.description?.metadata.group, isActive: true)
        sight.isMoving = isMoving
        sight.vcpus = guest.description?.vcpusCurrent ?? 1
        sight.memory = guest.description?.memoryMaximum ?? Bytes(0)
        sight.macs = guest.description?.interfaces.compactMap(\.mac) ?? []
        return sight
    }

    /// Looks images and shut-off guests up where that is due: each host on a thread of its own, never two for one host.
    func survey(images: [String], now: Duration, actuator: LibvirtActuator, clock: @escaping @Sendable () -> Moment) {
        let due = state.withLock { state -> [HostName] in
            let due = state.hosts.map(\.name).filter { name in
                guard state.reports[name]?.isUp == true, !state.surveying.contains(name) else { return false }
                guard let last = state.surveys[name] else { return true }
                let missing = images.contains { image in !last.images.contains { $0.name == image } }
                return now - last.at >= (missing ? PolicyFleet.surveyEvery / 6 : PolicyFleet.surveyEvery)
            }
            state.surveying.formUnion(due)
            return due
        }
        for host in due {
            startThread(named: "survey \(host)") { [self] in
                let inactive = state.withLock { $0.reports[host]?.inactive.map(\.guest) ?? [] }
                let found = PolicyFleet.look(host, images: images, inactive: inactive, actuator: actuator, now: clock().uptime)
                state.withLock { state in
                    state.surveying.remove(host)
                    if let found { state.surveys[host] = found }
                }
            }
        }
    }

    private static func look(
        _ host: HostName, images: [String], inactive: [GuestID], actuator: LibvirtActuator, now: Duration
    ) -> HostSurvey? {
        do throws(HypervisorError) {
            return try actuator.withConnection(to: host) { connection throws(HypervisorError) in
                var survey = HostSurvey(at: now)
                for (pool, _) in try connection.poolFolders() {
                    for image in images where !survey.images.contains(where: { $0.name == image }) {
                        guard let volume = try connection.volume(image, inPool: pool) else { continue }
                        survey.images.append(ImageSight(name: image, pool: pool, path: volume.path, capacity: volume.capacity))
                    }
                }
                for guest in inactive {
                    // One that went away meanwhile is simply not there.
                    if let description = try? connection.describeGuest(guest) { survey.inactive.append(description) }
                }
                return survey
            }
        } catch {
            return nil
        }
    }
}

/// Health checks of members by TCP: each at its interval, on threads of their own, a bounded number at once.
final class PolicyHealth: Sendable {
    /// Checks under way at once: each takes at most its deadline.
    static let checksMaximum = 64
    /// How long one check may take.
    static let deadline = Duration.seconds(2)

    private struct Entry {
        var nextAt: Duration
        var failures = 0
        var failingSince: Duration?
        var isUnhealthy = false
        var isChecking = false
        var processorTime: UInt64?
        var countersMove: Bool?
    }

    private let entries = Mutex<[GuestID: Entry]>([:])

    /// The health of the guests that were checked.
    var health: [GuestID: MemberHealth] {
        entries.withLock { entries in
            entries.mapValues { MemberHealth(unhealthySince: $0.isUnhealthy ? $0.failingSince : nil, countersMove: $0.countersMove) }
        }
    }

    func keepOnly(_ guests: Set<GuestID>) { entries.withLock { $0 = $0.filter { guests.contains($0.key) } } }

    /// Begins the checks that are due.
    func check(
        _ targets: [(guest: GuestID, address: String)], _ rule: Policy.HealthCheck, times: [GuestID: UInt64],
        clock: @escaping @Sendable () -> Moment
    ) {
        let now = clock().uptime
        for (guest, address) in targets {
            let begins = entries.withLock { entries -> Bool in
                guard entries.values.count(where: \.isChecking) < PolicyHealth.checksMaximum else { return false }
                var entry = entries[guest] ?? Entry(nextAt: now)
                guard !entry.isChecking, entry.nextAt <= now else { return false }
                entry.isChecking = true
                entry.nextAt = now + rule.interval
                if let time = times[guest] {
                    entry.countersMove = entry.processorTime.map { time > $0 }
                    entry.processorTime = time
                }
                entries[guest] = entry
                return true
            }
            guard begins else { continue }
            startThread(named: "health") { [self] in
                let failure = Probe.connect(to: address, port: rule.port, within: PolicyHealth.deadline)
                let at = clock().uptime
                entries.withLock { entries in
                    guard var entry = entries[guest] else { return }
                    entry.isChecking = false
                    if failure == nil {
                        entry.failures = 0
                        entry.failingSince = nil
                        entry.isUnhealthy = false
                    } else {
                        entry.failures += 1
                        entry.failingSince = entry.failingSince ?? at
                        if entry.failures >= rule.failures { entry.isUnhealthy = true }
                    }
                    entries[guest] = entry
                }
            }
        }
    }
}
