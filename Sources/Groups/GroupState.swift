public import Decisions
public import Fleet

/// A member of a group that was made, adopted or seen: what must survive a restart of Steward.
public struct KnownMember: Hashable, Sendable, Codable {
    /// The guest.
    public var guest: GuestID
    /// The member's number, where Steward made it.
    public var number: Int?
    /// Whether an operator had it adopted.
    public var isAdopted = false
    /// The host where it was last seen, or is to be made.
    public var host: HostName
    /// When it was launched or first seen.
    public var launchedAt: Timestamp
    /// Where it stands in our own doing.
    public var stage: Stage
    /// The volumes that we made for it.
    public var volumes: Volumes?

    /// Where a member stands in our own doing.
    public enum Stage: String, Hashable, Sendable, Codable {
        /// A plan to make it was or is to be submitted.
        case launching
        /// It was made, adopted or found.
        case present
        /// A plan to make it failed: what there is of it is to be cleared away.
        case failed
    }

    /// The volumes of a member.
    public struct Volumes: Hashable, Sendable, Codable {
        /// Their pool.
        public var pool: String
        /// The disk.
        public var disk: String
        /// The seed.
        public var seed: String
    }

    /// A member.
    public init(_ guest: GuestID, number: Int? = nil, host: HostName, launchedAt: Timestamp, stage: Stage) {
        self.guest = guest
        self.number = number
        self.host = host
        self.launchedAt = launchedAt
        self.stage = stage
    }

    /// Whether Steward may stop it.
    public var isOurs: Bool { number != nil || isAdopted }
}

/// A disk that was set aside, to be deleted later.
public struct QuarantinedDisk: Hashable, Sendable, Codable {
    /// Whose it was.
    public var guest: GuestID
    /// Through which host it is reached.
    public var host: HostName
    /// Its pool.
    public var pool: String
    /// Its name before it was set aside.
    public var disk: String
    /// Since when.
    public var since: Timestamp
}

/// A change of size, by the wall clock so that limits survive a restart.
public struct RecordedChange: Hashable, Sendable, Codable {
    /// When.
    public var at: Timestamp
    /// Launches positive, terminations negative.
    public var delta: Int
}

/// What is kept of a group between ticks and over restarts.
public struct GroupState: Hashable, Sendable, Codable {
    /// The members, by identity.
    public var members: [KnownMember] = []
    /// The number that the next new member gets.
    public var nextNumber = 1
    /// The size that an operator asked for, until taken back.
    public var operatorSize: Int?
    /// Who paused the policy, where somebody did.
    public var pausedBy: String?
    /// What was changed, oldest first, for an hour.
    public var changes: [RecordedChange] = []
    /// Creations that failed since the last that succeeded.
    public var failuresInARow = 0
    /// The last of them.
    public var lastFailure: Timestamp?
    /// Disks that were set aside.
    public var quarantine: [QuarantinedDisk] = []

    /// A group of which nothing is known.
    public init() {}

    /// The member with that identity.
    public func member(_ guest: GuestID) -> KnownMember? { members.first { $0.guest == guest } }

    /// Adds or replaces a member.
    public mutating func put(_ member: KnownMember) {
        if let place = members.firstIndex(where: { $0.guest == member.guest }) {
            members[place] = member
        } else {
            members.append(member)
            members.sort { $0.guest < $1.guest }
        }
    }

    /// Forgets a member.
    public mutating func forget(_ guest: GuestID) { members.removeAll { $0.guest == guest } }
}

/// What is kept of a group in memory only: after a restart its windows fill anew, and nothing shrinks before they have.
public struct GroupMemory: Hashable, Sendable {
    /// What earlier ticks recommended, oldest first.
    public var recommendations: [Recommendation] = []
    /// Since when each member was not listed anywhere, on the monotonic clock.
    public var missingSince: [GuestID: Duration] = [:]
    /// The last plan's content, and when it was submitted or refused.
    public var lastPlan: LastPlan?

    /// A plan that was handed in.
    public struct LastPlan: Hashable, Sendable {
        /// What it would do, in a form that can be compared.
        public var content: [String]
        /// When, on the monotonic clock.
        public var at: Duration
        /// Whether an operator rejected it.
        public var isRejected = false

        /// A plan that was handed in.
        public init(content: [String], at: Duration) {
            self.content = content
            self.at = at
        }
    }

    /// A group that was never looked at.
    public init() {}
}
