public import Fleet
public import Plans

/// A guest of a dead host, with what is kept of it.
public struct EvacuableGuest: Hashable, Sendable {
    /// The guest, as placement sees it; its host is the dead one.
    public var guest: PlacementGuest
    /// The digest of the definition that Steward keeps.
    public var definition: String?
    /// Higher goes first.
    public var priority: Int
    /// Whether it is only defined elsewhere, not started.
    public var comesBackStopped: Bool
    /// Why it cannot be saved: local disk, host device, NVRAM, autostart on and the like.
    public var obstacles: [String]

    /// A guest to be saved.
    public init(
        _ guest: PlacementGuest, definition: String?, priority: Int = 0, comesBackStopped: Bool = false, obstacles: [String] = []
    ) {
        self.guest = guest
        self.definition = definition
        self.priority = priority
        self.comesBackStopped = comesBackStopped
        self.obstacles = obstacles
    }
}

/// One wave of an evacuation.
public struct EvacuationWave: Hashable, Sendable {
    /// What to do, the most important guests first.
    public let steps: [Step]
    /// Who goes where, in that order.
    public let placed: [Placed]
    /// Who has no place now, and why; to be planned again when this wave has ended or capacity returns.
    public let waiting: [Waiting]
    /// Who cannot be saved at all, and why.
    public let unsavable: [Unsavable]
    /// Whether nobody waits.
    public var isComplete: Bool { waiting.isEmpty }

    /// A guest with its new host.
    public struct Placed: Hashable, Sendable {
        /// The guest.
        public let guest: GuestID
        /// Its new host.
        public let host: HostName
    }

    /// A guest without a place.
    public struct Waiting: Hashable, Sendable {
        /// The guest.
        public let guest: GuestID
        /// Why each host refused it.
        public let refusals: [PlacementAnswer.Refusal]
    }

    /// A guest that cannot be saved.
    public struct Unsavable: Hashable, Sendable {
        /// The guest.
        public let guest: GuestID
        /// Why.
        public let reasons: [String]
    }
}

/// Plans where the guests of a dead host are started.
public enum Evacuation {
    /// How an evacuation is carried out.
    public struct Settings: Hashable, Sendable {
        /// The most guests of one wave.
        public var perWave = 100
        /// The most guests that one target takes in a wave: more would start from its disks all at once.
        public var perTarget = 10
        /// Tries of each start: a dead host's image locks take their time to go.
        public var startAttempts = 20
        /// How long one try may take.
        public var startDeadline = Duration.seconds(60)

        /// The default settings.
        public init() {}
    }

    /// One wave: by priority, then by UUID; spread by the board; nothing on the dead host.
    ///
    /// The board holds the survivors' guests and
    /// those already evacuated.
    public static func plan(
        _ guests: [EvacuableGuest], from dead: HostName, incident: UInt64, board: Board, settings: Settings = Settings()
    ) -> EvacuationWave {
        var trial = board
        trial.clearArrivals()
        trial.arrivalsPerHost = settings.perTarget
        var steps: [Step] = []
        var placed: [EvacuationWave.Placed] = []
        var waiting: [EvacuationWave.Waiting] = []
        var unsavable: [EvacuationWave.Unsavable] = []
        for candidate in guests.sorted(by: { ($1.priority, $0.guest.guest) < ($0.priority, $1.guest.guest) }) {
            let id = candidate.guest.guest
            guard candidate.obstacles.isEmpty, let definition = candidate.definition else {
                let missing = candidate.definition == nil ? ["no complete definition of it is kept"] : []
                unsavable.append(.init(guest: id, reasons: candidate.obstacles + missing))
                continue
            }
            guard placed.count < settings.perWave else {
                waiting.append(.init(guest: id, refusals: []))
                continue
            }
            switch trial.place(candidate.guest, avoiding: [dead]) {
            case .infeasible(let refusals): waiting.append(.init(guest: id, refusals: refusals))
            case .host(let target, _):
                trial.put(candidate.guest, on: target)
                placed.append(.init(guest: id, host: target))
                steps.append(Step(.define(id, on: target, definition: definition), attempts: 3))
                guard !candidate.comesBackStopped else { continue }
                steps.append(
                    Step(
                        .start(id, on: target, incident: "\(dead)#\(incident)"), after: [steps.count - 1], attempts: settings.startAttempts,
                        deadline: settings.startDeadline))
            }
        }
        return EvacuationWave(steps: steps, placed: placed, waiting: waiting, unsavable: unsavable)
    }
}

/// Looks for guests and disks that run twice.
public enum DoubleRunDetector {
    /// One active guest on one host.
    public struct Sighting: Hashable, Sendable {
        /// The guest.
        public let guest: GuestID
        /// The host.
        public let host: HostName
        /// Whether its CPUs run; a migration's target is paused until the switch.
        public let isRunning: Bool
        /// Whether a migration of it, on either side, is known.
        public let isMigrating: Bool
        /// Its writable, unshared disks, by storage identity and path.
        public let disks: [String]

        /// A sighting.
        public init(guest: GuestID, host: HostName, isRunning: Bool, isMigrating: Bool, disks: [String]) {
            self.guest = guest
            self.host = host
            self.isRunning = isRunning
            self.isMigrating = isMigrating
            self.disks = disks
        }
    }

    /// What runs twice.
    public struct Finding: Hashable, Sendable, CustomStringConvertible {
        /// The guest's UUID, or the disk.
        public let subject: String
        /// Where, sorted.
        public let hosts: [HostName]
        /// Which guests, sorted.
        public let guests: [GuestID]

        /// For the alarm.
        public var description: String {
            "\(subject) is active twice: " + guests.map(\.description).joined(separator: ", ") + " on "
                + hosts.map(\.description).joined(separator: " and ") + "; stop one of them now, then check the disk"
        }
    }

    /// Every UUID that runs on two hosts, and every disk that two running guests write, without a migration that explains it; sorted.
    public static func findings(_ sightings: [Sighting]) -> [Finding] {
        var byGuest: [GuestID: [Sighting]] = [:]
        var byDisk: [String: [Sighting]] = [:]
        for sighting in sightings {
            byGuest[sighting.guest, default: []].append(sighting)
            for disk in sighting.disks { byDisk[disk, default: []].append(sighting) }
        }
        var findings: [Finding] = []
        func add(_ subject: String, _ found: [Sighting]) {
            findings.append(Finding(subject: subject, hosts: Set(found.map(\.host)).sorted(), guests: Set(found.map(\.guest)).sorted()))
        }
        for (guest, found) in byGuest where Set(found.map(\.host)).count > 1 && !isExplained(found) { add("guest \(guest)", found) }
        for (disk, found) in byDisk where found.count > 1 {
            // One guest on two hosts has been told above.
            if Set(found.map(\.guest)).count > 1, !isExplained(found) { add("disk \(disk)", found) }
        }
        return findings.sorted { $0.subject < $1.subject }
    }

    /// A migration explains two copies of one guest as long as only one of them runs.
    private static func isExplained(_ found: [Sighting]) -> Bool {
        Set(found.map(\.guest)).count == 1 && found.contains(where: \.isMigrating) && found.count(where: \.isRunning) <= 1
    }
}
