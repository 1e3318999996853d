import Decisions
import Fencing
import Fleet
import Operations
import Plans
import Threads

/// Answers what the command line asks of the running server.
struct GuardControl: Sendable {
    private let guardian: HostGuard

    init(_ guardian: HostGuard) { self.guardian = guardian }

    func answer(_ words: [String]) -> String {
        switch words.first {
        case "hosts": return Json.list(guardian.hosts.map { describe($0) }).serialized
        case "confirm-dead" where words.count == 4:
            guard let incident = UInt64(words[2]) else { return "error\tno incident number" }
            return confirm(HostName(words[1]), incident, by: words[3])
        case "disarm" where words.count == 2:
            guardian.runner.disarm(until: nil, by: words[1])
            return "ok"
        case "arm" where words.count == 2:
            guardian.runner.arm(by: words[1])
            return "ok"
        default: return "error\tthis server does not know '\(words.joined(separator: " "))'; is it of the same version?"
        }
    }

    private func confirm(_ host: HostName, _ incident: UInt64, by: String) -> String {
        let standing = guardian.shared.standing(host)
        guard [.unreachable, .unprovable].contains(standing.state), standing.incident == incident else {
            return "error\t\(host) is \(standing.state.rawValue), incident \(standing.incident): \(standing.reason)"
        }
        if let power = standing.power, power.reading == .on {
            return "error\tits BMC says that the power of \(host) is on; switch it off there"
        }
        guardian.shared.mailbox.put(.event(host, .confirmed(by: by, incident: incident)))
        return "ok"
    }

    private func describe(_ host: GuardedHost) -> Json {
        let standing = guardian.shared.standing(host.name)
        let kept = KeptGuests(store: guardian.store).guests(of: host.name)
        let guests = kept.map { guest in
            Json.object([
                ("name", .text(guest.name)), ("uuid", .text(guest.guest.description)), ("active", .flag(guest.wasActive)),
                ("obstacles", .list(guest.obstacles.map(Json.text))), ("shared_with", .list(guest.sharedWith.map { .text($0.text) })),
            ])
        }
        return .object([
            ("host", .text(host.name.text)), ("state", .text(standing.state.rawValue)), ("reason", .text(standing.reason)),
            ("incident", .unsigned(standing.incident)), ("proof", .optional(standing.proof?.description)),
            ("silent_milliseconds", .integer(standing.silence.milliseconds)), ("flaps", .integer(Int64(standing.flaps))),
            ("bmc", .flag(host.device != nil)), ("guests", .list(guests)),
        ])
    }
}
