import Collection
import Fleet
import Metering

/// What the meter takes out of one guest's part of a tick.
struct GuestReadings {
    /// The state, where the host told it.
    let presence: GuestFact.Presence?
    let run: Int32?
    /// CPU time and everything else of the run that only grows; nil where the host could not read the guest whole.
    let counters: (cpu: UInt64, others: [UInt64])?
    /// The vCPUs that it has now, where the host told it.
    let vcpus: Int?
    /// Provisioned bytes by disk target.
    let capacities: [String: UInt64]
    /// Received and sent bytes by the host's device.
    let traffic: [(device: String, received: UInt64, sent: UInt64)]

    /// The counters that only grow while a run lasts.
    private static let growing = ["rd.bytes", "wr.bytes", "rd.reqs", "wr.reqs", "rx.bytes", "tx.bytes"]

    init(_ reading: DomainReading, isWhole: Bool = false) {
        var state: DomainState?
        var reason: Int32 = 0
        var cpu: UInt64?
        var others: [(name: String, value: UInt64)] = []
        var vcpus: Int?
        var names: [String: String] = [:]
        var values: [String: UInt64] = [:]
        for parameter in reading.parameters {
            let name = parameter.name
            switch name {
            case "state.state": state = parameter.value.unsignedInteger.flatMap { DomainState(rawValue: Int32(truncatingIfNeeded: $0)) }
            case "state.reason": reason = Int32(truncatingIfNeeded: parameter.value.unsignedInteger ?? 0)
            case "cpu.time": cpu = parameter.value.unsignedInteger
            case "vcpu.current": vcpus = parameter.value.unsignedInteger.map { Int(clamping: $0) }
            default:
                guard name.hasPrefix("block.") || name.hasPrefix("net.") else { continue }
                if case .text(let text) = parameter.value {
                    if name.hasSuffix(".name") { names[String(name.dropLast(".name".count))] = text }
                } else if let value = parameter.value.unsignedInteger {
                    values[name] = value
                    if GuestReadings.growing.contains(where: { name.hasSuffix("." + $0) }) { others.append((name, value)) }
                }
            }
        }
        presence = state.map { .state($0, reason: reason) }
        run = reading.domainID
        others.sort { $0.name < $1.name }
        counters = isWhole ? cpu.map { ($0, others.map(\.value)) } : nil
        self.vcpus = vcpus
        var capacities: [String: UInt64] = [:]
        var traffic: [(device: String, received: UInt64, sent: UInt64)] = []
        for prefix in names.keys.sorted() {
            guard let name = names[prefix] else { continue }
            if prefix.hasPrefix("block."), let capacity = values["\(prefix).capacity"] { capacities[name] = capacity }
            if let received = values["\(prefix).rx.bytes"], let sent = values["\(prefix).tx.bytes"] {
                traffic.append((name, received, sent))
            }
        }
        self.capacities = capacities
        self.traffic = traffic
    }
}

extension LaneReport {
    /// The host's CPU time over all modes in nanoseconds; nil where it could not be read.
    var nodeNanoseconds: UInt64? {
        guard let cpu = node?.cpu, !cpu.isEmpty else { return nil }
        return cpu.reduce(UInt64(0)) { $0 &+ ($1.value.unsignedInteger ?? 0) }
    }
}

extension GuestDescription {
    /// What the bill cares about.
    ///
    /// The memory is the most that the guest may use: what a balloon takes for a while changes no bill.
    func shape(name: String, vcpus: Int?, zone: String?) -> GuestShape {
        GuestShape(
            name: name, vcpus: vcpus ?? vcpusCurrent, memory: memoryMaximum, instanceType: metadata.instanceType, tenant: metadata.tenant,
            group: metadata.group, zone: zone, tags: metadata.tags)
    }

    /// The disks that are billed: no CD-ROMs or floppies, which hold what belongs to nobody in particular.
    var billedDisks: [DiskDescription] { disks.filter { $0.device == "disk" || $0.device == "lun" } }
}
