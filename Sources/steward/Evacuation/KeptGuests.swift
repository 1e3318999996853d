import Actuation
import Decisions
import Fleet
import Foundation
import JournalStorage
import Libvirt
import Plans

/// What is kept of a guest, so that it can be started elsewhere when its host is gone.
struct KeptGuest: Codable, Hashable, Sendable {
    let guest: GuestID
    let name: String
    /// Under which its definition, with its secrets, lies in the store.
    let definition: String
    let wasActive: Bool
    let vcpus: Int
    let memory: Bytes
    let group: String?
    let networks: [String]
    /// The hosts that were seen to share all its disks.
    let sharedWith: [HostName]
    /// Why it could not be started elsewhere; empty where it could.
    let obstacles: [String]

    var placement: PlacementGuest {
        var value = PlacementGuest(guest, vcpus: Double(vcpus), memory: memory)
        value.group = group
        value.networks = networks
        value.pinnedTo = sharedWith
        return value
    }

    var evacuable: EvacuableGuest { EvacuableGuest(placement, definition: definition, obstacles: obstacles) }
}

/// Keeps what the hosts have, in the store, as of the last time that each was read.
struct KeptGuests {
    private static let kind = "kept"
    let store: PlanStore

    /// The guests that a host had when it was last read.
    func guests(of host: HostName) -> [KeptGuest] {
        let rows = (try? store.facts(KeptGuests.kind)) ?? []
        guard let row = rows.first(where: { $0.key == host.text }) else { return [] }
        return (try? JSONDecoder().decode([KeptGuest].self, from: Data(row.body.utf8))) ?? []
    }

    /// Takes what a host has now; writes only where something changed.
    func take(_ host: SurveyedHost, _ shared: SharedPools) throws(JournalError) {
        var kept: [KeptGuest] = []
        for guest in host.guests { kept.append(try self.kept(guest, shared)) }
        guard kept != guests(of: host.name) else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let body: Data
        do { body = try encoder.encode(kept) } catch { throw .storage("\(error)") }
        try store.keepFact(KeptGuests.kind, host.name.text, String(decoding: body, as: UTF8.self))
    }

    private func kept(_ guest: SurveyedGuest, _ shared: SharedPools) throws(JournalError) -> KeptGuest {
        var obstacles = guest.needs.boundToHost + guest.ties
        if guest.presence.isAutostarted {
            obstacles.append("libvirt starts it at the host's boot (autostart), so a returning host would run a second copy: turn it off")
        }
        var sharedWith: Set<HostName>?
        for path in guest.needs.paths {
            guard let hosts = shared.hosts(seeing: path) else {
                obstacles.append("nobody can tell whether other hosts see \(path): it lies in no storage pool")
                continue
            }
            if hosts.isEmpty { obstacles.append("no other host was seen to share \(path)") }
            sharedWith = sharedWith.map { $0.intersection(hosts) } ?? Set(hosts)
        }
        for volume in guest.needs.volumes {
            let hosts = shared.pools.first { $0.name == volume.pool }?.hosts ?? []
            if hosts.isEmpty { obstacles.append("no other host was seen to share pool \(volume.pool)") }
            sharedWith = sharedWith.map { $0.intersection(hosts) } ?? Set(hosts)
        }
        return KeptGuest(
            guest: guest.guest, name: guest.name, definition: try store.keep(guest.definition), wasActive: guest.presence.isActive,
            vcpus: guest.description.vcpusCurrent, memory: guest.description.memoryMaximum, group: guest.description.metadata.group,
            networks: guest.needs.networks, sharedWith: (sharedWith ?? []).sorted(), obstacles: obstacles)
    }
}
