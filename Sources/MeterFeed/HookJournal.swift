public import Fleet
public import Metering

/// The journal that the libvirt hook writes on its host: one line for each start and end of a run, stamped while it happened.
///
/// A line is `1 BOOT STEADY-CENTISECONDS WALL-SECONDS UUID OP SUB EXTRA RUN`; a word that is not known is `-`. Lines are only ever added.
public struct HookJournal: Sendable {
    /// The longest journal that is read: years of a busy host.
    public static let maximumBytes = 256 << 20

    /// One line.
    struct Line {
        let ordinal: UInt64
        let boot: String
        let seen: ClockReading
        let guest: GuestID
        let operation: String
        let phase: String
        let extra: String
        let run: Int32?
    }

    /// The facts of the journal, in its order.
    public let facts: [Fact]
    /// How many lines are no lines of a journal, such as one that a full disk cut short.
    public let unreadable: Int

    /// Reads a journal of a host.
    ///
    /// Where `isWhole` holds no line was lost (the hook leaves a mark when it fails), and each boot from its first line to its last one counts
    /// as watched.
    public init(_ text: String, host: HostName, isWhole: Bool) {
        var facts: [Fact] = []
        var unreadable = 0
        var lines: [Line] = []
        var offset: UInt64 = 0
        for part in text.split(separator: "\n", omittingEmptySubsequences: false) {
            defer { offset += UInt64(part.utf8.count) + 1 }
            if part.isEmpty { continue }
            if let line = HookJournal.line(part, at: offset) { lines.append(line) } else { unreadable += 1 }
        }
        self.unreadable = unreadable
        /// What was seen of each guest in this boot: the run that lives, and whether it came from another host.
        var runs: [GuestID: Int32] = [:]
        var incoming: Set<GuestID> = []
        var boot = ""
        var first: [String: Int64] = [:]
        var last: [String: Int64] = [:]
        for line in lines {
            if line.boot != boot {
                boot = line.boot
                runs = [:]
                incoming = []
            }
            if let steady = line.seen.steadyMilliseconds {
                first[boot] = first[boot] ?? steady
                last[boot] = steady
            }
            guard let body = HookJournal.body(line, &runs, &incoming) else { continue }
            facts.append(
                Fact(
                    id: FactID(origin: "hook:\(host):\(boot)", ordinal: line.ordinal), source: .hook, host: host, bootID: boot,
                    seen: line.seen, body: .guest(body)))
        }
        if isWhole, unreadable == 0 {
            for boot in first.keys.sorted() {
                guard let from = first[boot], let through = last[boot], through > from,
                    let line = lines.last(where: { $0.boot == boot })
                else { continue }
                // The same stretch read again is the same fact; a longer one is another.
                facts.append(
                    Fact(
                        id: FactID(origin: "hook:\(host):\(boot):whole", ordinal: UInt64(max(0, through))), source: .hook, host: host,
                        bootID: boot, seen: line.seen, body: .journalRead(fromSteady: from, throughSteady: through)))
            }
        }
        self.facts = facts
    }

    private static func line(_ text: Substring, at offset: UInt64) -> Line? {
        let fields = text.split(separator: " ").map(String.init)
        guard fields.count == 9, fields[0] == "1", fields[1].utf8.count == 36, let steady = Int64(fields[2]), let wall = Int64(fields[3]),
            let guest = GuestID(fields[4])
        else { return nil }
        let seen = ClockReading(wall: Timestamp(seconds: wall), steadyMilliseconds: steady * 10, machine: fields[1])
        return Line(
            ordinal: offset, boot: fields[1], seen: seen, guest: guest, operation: fields[5], phase: fields[6], extra: fields[7],
            run: Int32(fields[8]))
    }

    /// The words of libvirt's shutoff reasons, as the hook's last argument of `release` has them (libvirt 10.5).
    private static let reasons = ["unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from snapshot", "daemon"]

    private static func body(_ line: Line, _ runs: inout [GuestID: Int32], _ incoming: inout Set<GuestID>) -> GuestFact? {
        switch (line.operation, line.phase) {
        case ("migrate", _):
            incoming.insert(line.guest)
            return nil
        case ("started", _):
            runs[line.guest] = line.run
            let isIncoming = incoming.remove(line.guest) != nil
            return GuestFact(
                guest: line.guest, presence: isIncoming ? .state(.paused, reason: 2) : .state(.running, reason: 1), edge: .started,
                run: line.run)
        case ("reconnect", _):
            runs[line.guest] = line.run
            return nil
        case ("stopped", _), ("release", _):
            // Either ends the run; the first one tells.
            incoming.remove(line.guest)
            let ended = runs.removeValue(forKey: line.guest)
            guard line.operation == "stopped" || ended != nil else { return nil }
            let reason = reasons.firstIndex(of: line.extra).map { Int32($0) } ?? 0
            return GuestFact(
                guest: line.guest, presence: .state(.shutOff, reason: reason), edge: .stopped, run: line.run ?? ended)
        default: return nil
        }
    }
}
