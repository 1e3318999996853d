public import Fleet
import Metering

/// What a feed must remember over a restart to prove that a run lasted through it: the counters before the gap, and each guest's disks.
///
/// A file of lines; losing it loses proofs, never facts.
extension FactFeed {
    /// The first word of the file and its version.
    private static let heading = "steward-meter-memory-1"
    /// The longest memory that is read back: ten thousand hosts with hundreds of guests each.
    public static let maximumMemoryBytes = 1 << 30

    /// What is known now, as text.
    public func memory(now: Moment) -> String {
        var text = "\(FactFeed.heading) \(word(machine)) \(now.uptime.milliseconds) \(now.wall.milliseconds)\n"
        let answers = hosts.values.filter(\.isWatched).map(\.lastListing)
        let bound = answers.min() ?? now.uptime
        for name in hosts.keys.sorted() {
            guard let host = hosts[name] else { continue }
            text += "host \(word(name.text)) \(host.cpus)\n"
            for guest in host.guests.keys.sorted() {
                guard let known = host.guests[guest], case .state(let state, let reason) = known.presence else { continue }
                text += "guest \(guest) \(state.rawValue) \(reason) \(known.run.map(String.init) ?? "-")"
                text += " \(known.isTransient ? 1 : 0) \(known.vcpus)"
                // No younger than the writer's sign of life: a proof must span the whole gap.
                if let latest = known.counters {
                    let kept = latest.read > bound ? known.earlierCounters ?? latest : latest
                    text += " \(kept.read.milliseconds) \(kept.counters.run) \(kept.counters.cpuNanoseconds)"
                    text += " \(kept.counters.nodeNanoseconds.map(String.init) ?? "-") \(kept.counters.bootID.map(word) ?? "-")"
                    text += kept.counters.others.map { " \($0)" }.joined()
                }
                text += "\n"
                for key in known.volumes.keys.sorted() {
                    guard let volume = known.volumes[key] else { continue }
                    let hints = [volume.hints.metadataType, volume.hints.pool, volume.hints.bus].map { $0.map(word) ?? "-" }
                    text += "volume \(word(key)) \(volume.size) \(hints.joined(separator: " "))\n"
                }
            }
        }
        return text + "end\n"
    }

    /// Takes back what an earlier run remembered; false, and nothing taken, where the text is no whole memory.
    public mutating func recall(_ text: String, now: Moment) -> Bool {
        let lines = text.split(separator: "\n")
        guard let first = lines.first, lines.last == "end" else { return false }
        let heading = first.split(separator: " ").map(String.init)
        guard heading.count == 4, heading[0] == FactFeed.heading, let uptime = Int64(heading[2]), let wall = Int64(heading[3]) else {
            return false
        }
        // The same boot has one steady clock; over a reboot only the wall clock tells how long ago it was.
        let shift: Duration =
            plain(heading[1]) == machine
            ? .zero : now.uptime - max(.zero, now.wall - Timestamp(milliseconds: wall)) - .milliseconds(uptime)
        var recalled: [HostName: KnownHost] = [:]
        var host: HostName?
        var guest: GuestID?
        for line in lines.dropFirst().dropLast() {
            let fields = line.split(separator: " ").map(String.init)
            switch fields[0] {
            case "host" where fields.count == 3:
                let name = HostName(plain(fields[1]))
                host = name
                recalled[name] = KnownHost()
                recalled[name]?.cpus = Int(fields[2]) ?? 0
            case "guest":
                guard let name = host, let (id, known) = knownGuest(fields, shift: shift) else { return false }
                guest = id
                recalled[name]?.guests[id] = known
            case "volume" where fields.count == 6:
                guard let name = host, let id = guest, let size = UInt64(fields[2]) else { return false }
                let hints = fields[3...].map { $0 == "-" ? nil : plain($0) }
                recalled[name]?.guests[id]?.volumes[plain(fields[1])] = KnownVolume(
                    size: size, hints: VolumeHints(metadataType: hints[0], pool: hints[1], bus: hints[2]))
            default: return false
            }
        }
        for name in recalled.keys where hosts[name] == nil { hosts[name] = recalled[name] }
        return true
    }

    private func knownGuest(_ fields: [String], shift: Duration) -> (GuestID, KnownGuest)? {
        guard fields.count >= 7, let id = GuestID(fields[1]), let state = Int32(fields[2]).flatMap({ DomainState(rawValue: $0) }),
            let reason = Int32(fields[3]), let vcpus = Int(fields[6])
        else { return nil }
        var known = KnownGuest(presence: .state(state, reason: reason), run: Int32(fields[4]), lastSeen: .zero)
        known.isTransient = fields[5] == "1"
        known.vcpus = vcpus
        guard fields.count >= 12 else { return fields.count == 7 ? (id, known) : nil }
        guard let read = Int64(fields[7]), let run = Int32(fields[8]), let cpu = UInt64(fields[9]) else { return nil }
        let counters = Continuity.Counters(
            run: run, cpuNanoseconds: cpu, others: fields[12...].compactMap { UInt64($0) }, nodeNanoseconds: UInt64(fields[10]),
            bootID: fields[11] == "-" ? nil : plain(fields[11]))
        known.counters = Reading(counters: counters, read: .milliseconds(read) + shift)
        return (id, known)
    }

    /// A text without spaces or line ends, and unlike `-`.
    private func word(_ text: String) -> String {
        guard text != "-", !text.isEmpty else { return text.isEmpty ? "%" : "%2d" }
        var result = ""
        for byte in text.utf8 {
            if byte <= 32 || byte == UInt8(ascii: "%") || byte == 127 {
                result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            } else {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            }
        }
        return text.utf8.allSatisfy { $0 < 128 } ? result : escapedWhole(text)
    }

    private func escapedWhole(_ text: String) -> String {
        text.utf8.map { "%" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private func plain(_ word: String) -> String {
        var bytes: [UInt8] = []
        var rest = Array(word.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2, let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) {
                bytes.append(code)
                rest = rest.dropFirst(2)
            } else if byte != UInt8(ascii: "%") {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
