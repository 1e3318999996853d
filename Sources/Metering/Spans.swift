public import Fleet

/// What a guest was doing, with libvirt's reason.
public struct SpanState: Hashable, Comparable, Sendable {
    /// libvirt's state number 0…7; 8 for unknown; 9 for absent (only while spans are being derived).
    let code: UInt8
    /// libvirt's reason number of that state.
    public let reason: UInt8

    init(code: UInt8, reason: UInt8) {
        self.code = code
        self.reason = reason
    }

    /// A state that libvirt reported.
    public init(_ state: DomainState, reason: Int32) {
        code = UInt8(truncatingIfNeeded: state.rawValue)
        self.reason = UInt8(clamping: reason)
    }

    /// Nobody knows.
    public static let unknown = SpanState(code: 8, reason: 0)
    static let absent = SpanState(code: 9, reason: 0)
    /// Stopped because it went to another host.
    static let migratedAway = SpanState(.shutOff, reason: 4)
    /// Paused by a migration.
    static let migrating = SpanState(.paused, reason: 2)

    /// libvirt's state, nil where it is unknown.
    public var domainState: DomainState? { DomainState(rawValue: Int32(code)) }

    /// Whether a process of the guest exists.
    var isActive: Bool { code == 1 || code == 2 || code == 3 || code == 4 || code == 7 }
    var isRunning: Bool { code == 1 || code == 2 }

    /// Which of two hosts' states is the guest's: the livelier one.
    var rank: Int {
        switch code {
        case 1, 2: 7
        case 7: 6
        case 3: 5
        case 4: 4
        case 8, 0: 3
        case 6: 2
        case 5: 1
        default: 0
        }
    }

    /// The words that reports show: `paused (user)`.
    public var words: String {
        guard let state = domainState else { return "unknown" }
        let reasons = SpanState.reasons(of: state)
        let name = Int(reason) < reasons.count ? reasons[Int(reason)] : "reason \(reason)"
        return name == "unknown" ? state.word : "\(state.word) (\(name))"
    }

    /// libvirt's reasons of a state, by number (`virDomainRunningReason` and so on, libvirt-domain.h).
    public static func reasons(of state: DomainState) -> [String] {
        switch state {
        case .running:
            [
                "unknown", "booted", "migrated", "restored", "from snapshot", "unpaused", "migration canceled", "save canceled", "wakeup",
                "crashed", "postcopy", "postcopy failed",
            ]
        case .paused:
            [
                "unknown", "user", "migration", "save", "dump", "ioerror", "watchdog", "from snapshot", "shutting down", "snapshot",
                "crashed", "starting up", "postcopy", "postcopy failed", "api error",
            ]
        case .shutdown: ["unknown", "user"]
        case .shutOff: ["unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from snapshot", "daemon"]
        case .crashed: ["unknown", "panicked"]
        case .noState, .blocked, .suspended: ["unknown"]
        }
    }

    /// Orders by state, then by reason.
    public static func < (left: SpanState, right: SpanState) -> Bool { (left.code, left.reason) < (right.code, right.reason) }
}

/// A stretch of one guest's life in which nothing about it changed. Indices point into the ``SpanBook``.
public struct GuestSpan: Hashable, Sendable {
    /// The guest's index.
    public let guest: Int32
    /// The seconds.
    public internal(set) var interval: Interval
    /// What it was doing.
    public let state: SpanState
    /// How well that is known.
    public let evidence: Evidence
    /// The host's index.
    public let host: Int32
    /// The shape's index; -1 where no shape was ever read.
    public internal(set) var shape: Int32
    /// libvirt's running id on that host; -1 where unknown or not running.
    public let run: Int32
    /// The session's index; -1 outside any.
    public internal(set) var session: Int32
    /// How often this UUID was defined anew after it had been gone, from 0.
    public internal(set) var generation: Int32
}

/// One start of a guest up to its stop; a migration, an evacuation or a reboot does not end it.
public struct Session: Hashable, Sendable {
    /// The guest's index.
    public let guest: Int32
    /// The second of the start.
    public let start: Int64
    /// The shape's index at the start.
    public internal(set) var shape: Int32
    /// The host's index at the start.
    public let host: Int32
    /// Whether the start itself was seen; a guest that already ran when it was first seen is charged no minimum.
    public let startSeen: Bool
}

/// A stretch of one volume's life in which nothing about it changed.
public struct VolumeSpan: Hashable, Sendable {
    /// The volume's index.
    public let volume: Int32
    /// The seconds.
    public internal(set) var interval: Interval
    /// The provisioned size in bytes.
    public let bytes: UInt64
    /// The index of the hints that its type comes from.
    public let hints: Int32
    /// The index of the guest that it is, or was last, attached to; -1 for none.
    public let guest: Int32
    /// Whether it is attached.
    public let isAttached: Bool
    /// The index of the shape that says who pays; -1 where nobody is known.
    public internal(set) var shape: Int32
    /// How well it is known.
    public let evidence: Evidence
}

/// Traffic, charged at the second in which the counter was read.
public struct TrafficUse: Hashable, Sendable {
    /// The guest's index.
    public let guest: Int32
    /// The second of the reading.
    public let second: Int64
    /// The interface's index.
    public let interface: Int32
    /// Bytes received since the reading before.
    public let received: UInt64
    /// Bytes sent since the reading before.
    public let sent: UInt64
    /// The shape's index at that second.
    public let shape: Int32
    /// The host's index.
    public let host: Int32
}

/// Something that an operator must know about a bill.
public struct Finding: Hashable, Comparable, Sendable {
    /// What kind of thing.
    public enum Kind: String, Hashable, Comparable, Sendable, CaseIterable {
        /// One guest ran on two hosts at once.
        case doubleRun = "double-run"
        /// A machine's wall clock was stepped.
        case clockStep = "clock-step"
        /// Usage for which no price is in force.
        case unpriced = "unpriced"
        /// The type that a guest's metadata claims is not what it has.
        case typeMismatch = "type-mismatch"
        /// Usage that belongs to no tenant.
        case noTenant = "no-tenant"
        /// Traffic after the last reading of a run was not charged.
        case unreadTraffic = "unread-traffic"
        /// Prices, types or the billable table of a closed period were changed.
        case tariffChanged = "tariff-changed"
        /// Orders by name.
        public static func < (left: Kind, right: Kind) -> Bool { left.rawValue < right.rawValue }
    }

    /// What kind of thing.
    public let kind: Kind
    /// The guest, machine or price that it is about.
    public let subject: String
    /// When it began, in UTC seconds.
    public let second: Int64
    /// What happened and what to do.
    public let message: String
    /// Whether an operator acknowledged it.
    public internal(set) var isAcknowledged: Bool

    init(_ kind: Kind, _ subject: String, at second: Int64, _ message: String) {
        self.kind = kind
        self.subject = subject
        self.second = second
        self.message = message
        isAcknowledged = false
    }

    /// The word by which `acknowledgement` names it.
    public var id: String { "\(kind.rawValue):\(subject):\(second)" }
    /// Whether a month with it does not close and a report with it exits non-zero.
    public var isSerious: Bool { kind != .unreadTraffic && kind != .clockStep && !isAcknowledged }

    /// Orders by kind, subject and time.
    public static func < (left: Finding, right: Finding) -> Bool {
        (left.kind, left.subject, left.second, left.message) < (right.kind, right.subject, right.second, right.message)
    }
}

/// Everything that was derived from a set of facts; dropped and rebuilt at will, to the same bytes.
public struct SpanBook: Sendable {
    /// The last second that any fact speaks of; nothing is known, or charged, from here on.
    public internal(set) var horizon: Int64 = 0
    /// The guests, sorted.
    public internal(set) var guests: [GuestID] = []
    /// The hosts, sorted.
    public internal(set) var hosts: [HostName] = []
    /// The shapes that occur.
    public internal(set) var shapes: [GuestShape] = []
    /// The spans, by guest and time.
    public internal(set) var spans: [GuestSpan] = []
    /// Where each guest's spans stand in ``spans``.
    public internal(set) var spanRanges: [Range<Int>] = []
    /// The sessions, by guest and time.
    public internal(set) var sessions: [Session] = []
    /// The volumes: kind and key, sorted.
    public internal(set) var volumes: [VolumeIdentity] = []
    /// The hints that occur.
    public internal(set) var hints: [VolumeHints] = []
    /// The volumes' spans, by volume and time.
    public internal(set) var volumeSpans: [VolumeSpan] = []
    /// Traffic, by guest, second and interface.
    public internal(set) var traffic: [TrafficUse] = []
    /// The interfaces by MAC address, sorted.
    public internal(set) var interfaces: [String] = []
    /// What was found while deriving, sorted.
    public internal(set) var findings: [Finding] = []
    /// Where each guest's sessions stand in ``sessions``.
    public internal(set) var sessionRanges: [Range<Int>] = []
    /// Where each guest's traffic stands in ``traffic``.
    public internal(set) var trafficRanges: [Range<Int>] = []
    /// Where each volume's spans stand in ``volumeSpans``.
    public internal(set) var volumeRanges: [Range<Int>] = []
    var guestsByTenant: [String: [Int32]] = [:]
    var volumesByTenant: [String: [Int32]] = [:]
    /// The closings, by period.
    public internal(set) var closings: [PeriodClosing] = []

    /// An empty book.
    public init() {}

    /// The index of a guest, or nil where it never occurs.
    public func index(of guest: GuestID) -> Int? {
        var low = 0
        var high = guests.count
        while low < high {
            let middle = (low + high) / 2
            if guests[middle] < guest { low = middle + 1 } else { high = middle }
        }
        return low < guests.count && guests[low] == guest ? low : nil
    }
}

/// What identifies a volume.
public struct VolumeIdentity: Hashable, Comparable, Sendable {
    /// What kind of storage.
    public let kind: VolumeFact.Kind
    /// The key of its facts.
    public let key: String

    /// Orders by kind, then by key.
    public static func < (left: VolumeIdentity, right: VolumeIdentity) -> Bool { (left.kind, left.key) < (right.kind, right.key) }
}

/// Numbers equal values alike.
struct Interner<Value: Hashable> {
    private(set) var values: [Value] = []
    private var places: [Value: Int32] = [:]

    mutating func index(_ value: Value) -> Int32 {
        if let place = places[value] { return place }
        let place = Int32(values.count)
        places[value] = place
        values.append(value)
        return place
    }
}
