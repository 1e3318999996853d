public import Fleet

/// What a host is taken to be.
public enum HostState: String, Hashable, Sendable, CaseIterable {
    /// It answers.
    case healthy
    /// It missed answers, or answers unsteadily.
    case suspect
    /// It was silent for long enough to act, and proof is being looked for.
    case unreachable
    /// It is silent, and no means can prove it dead: only an operator can.
    case unprovable
    /// It is being powered off.
    case fencing
    /// It is proven dead; nothing was started elsewhere yet.
    case fenced
    /// Its guests are being started elsewhere.
    case evacuating
    /// Its guests run elsewhere.
    case evacuated
    /// It answers again and still holds old copies.
    case returning
}

/// Why a host counts as dead.
public enum DeathProof: Hashable, Sendable, CustomStringConvertible {
    /// Power observed off at the BMC bound to the host.
    case poweredOff
    /// Its lease expired, and its last record showed an armed watchdog.
    case leaseExpired
    /// A named operator's word, bound to this incident.
    case confirmed(by: String)

    /// For the journal.
    public var description: String {
        switch self {
        case .poweredOff: "its power was observed off at its own BMC"
        case .leaseExpired: "its lease expired under an armed watchdog"
        case .confirmed(let by): "\(by) confirmed it"
        }
    }
}

/// What was seen of a host; each is one observation of ours, in order.
public enum HostEvent: Hashable, Sendable {
    /// libvirt answered.
    case answered
    /// Its address refused the connection: a machine that lives without libvirtd.
    case refused
    /// The connection stood, the call did not return: a machine that lives, with a stuck libvirtd.
    case hung
    /// Nothing came back, on any path.
    case silent
    /// Its lease was renewed between two of our reads.
    case leaseRenewed
    /// Its lease expired by two of our reads; `isContract` where a watchdog backs it (see ``LeaseWatch``).
    case leaseExpired(isContract: Bool)
    /// Power is off at its BMC.
    case powerOff
    /// Power is on at its BMC.
    case powerOn
    /// The BMC did not answer, or is not bound to the host.
    case powerDark(String)
    /// A fence attempt ended and the power was read.
    case fenced(FenceResult)
    /// An operator says that it is dead, for the incident shown to him.
    case confirmed(by: String, incident: UInt64)
    /// The evacuation's plan ended; `isComplete` where every guest that can be saved was seen running elsewhere.
    case evacuationEnded(isComplete: Bool)
    /// Its old copies are stopped or undefined.
    case cleaned
    /// Time has passed.
    case tick
}

/// How a fence attempt ended, by what the power was afterwards.
public enum FenceResult: Hashable, Sendable, CaseIterable {
    /// Off before we asked.
    case alreadyOff
    /// Off afterwards.
    case off
    /// The agent reported an error, and the power is off.
    case errorButOff
    /// The agent reported success, and the power is on.
    case okButOn
    /// The agent reported an error, and the power is on.
    case errorAndOn
    /// The agent ran into its deadline, and the power is not off.
    case timedOut
    /// The BMC cannot be read any more.
    case dark

    var isOff: Bool { self == .alreadyOff || self == .off || self == .errorButOff }
}

/// What the watch asks to be done.
public enum HostEffect: Hashable, Sendable {
    /// Read the power at the bound BMC.
    case readPower
    /// Power it off, then read the power.
    case fence(incident: UInt64)
    /// Start its guests elsewhere; before each batch of starts the proof is read again.
    case evacuate(incident: UInt64, proof: DeathProof)
    /// Begin no further start for the incident.
    case stopStarts(incident: UInt64)
    /// Stop or undefine the old copies of guests that were started elsewhere.
    case clean
    /// Tell somebody.
    case alarm(String)
}

/// The times and counts of host watching.
public struct HostWatchSettings: Hashable, Sendable {
    /// The pause between two probes.
    public var probeInterval = Duration.seconds(1)
    /// Silence after which a host is suspect.
    public var suspectAfter = Duration.seconds(2)
    /// Silence after which proof of death is looked for; doubles with each flap.
    public var unreachableAfter = Duration.seconds(6)
    /// Silence after which a host whose power is on is fenced; doubles with each flap.
    public var fenceAfter = Duration.seconds(60)
    /// Answers in a row that make a suspect host healthy.
    public var answersToRecover = 3
    /// Doublings of the times above that flaps can add: 2⁴ makes 6 s more than a minute and a half.
    public var flapsMaximum = 4
    /// Steady health after which flaps are forgotten.
    public var flapMemory = Duration.seconds(3600)
    /// Fence attempts for one incident.
    public var fenceAttempts = 3
    /// The pause between two fence attempts, two power reads, or two tries of a partial evacuation.
    public var retryPause = Duration.seconds(5)
    /// Dark reads in a row that make a host unprovable.
    public var darkReads = 3
    /// After an evacuation, the host is not evacuated again by itself for this long.
    public var evacuationQuiet = Duration.seconds(3600)

    /// The default settings.
    public init() {}
}

/// What holds around a host at one step.
public struct HostContext: Hashable, Sendable {
    /// The monotonic clock.
    public var now: Duration
    /// Whether a BMC is bound to the host.
    public var hasBMC: Bool
    /// Whether the host keeps a lease under an armed watchdog.
    public var hasLeaseContract: Bool
    /// Why nothing may be fenced or evacuated automatically: the brake, a quiet time, a disarm; nil where it may.
    public var hold: String?
    /// Whether an operator has disarmed everything: stops even what he confirmed.
    public var isDisarmed: Bool

    /// A context.
    public init(now: Duration, hasBMC: Bool, hasLeaseContract: Bool, hold: String? = nil, isDisarmed: Bool = false) {
        self.now = now
        self.hasBMC = hasBMC
        self.hasLeaseContract = hasLeaseContract
        self.hold = hold
        self.isDisarmed = isDisarmed
    }
}

/// The watch over one host: a value that each observation moves on.
public struct HostWatch: Hashable, Sendable {
    /// The host.
    public let host: HostName
    /// What it is taken to be.
    public internal(set) var state: HostState = .healthy
    /// Since when, on the monotonic clock.
    public internal(set) var since: Duration
    /// The silence seen by our own probes, gaps in our own probing left out.
    public internal(set) var silence = Duration.zero
    /// Answers in a row.
    public internal(set) var answers = 0
    /// How often it came back after it had been given up.
    public internal(set) var flaps = 0
    /// The current incident's number; 0 before the first.
    public internal(set) var incident: UInt64 = 0
    /// Why it counts as dead; voided by any sign of life.
    public internal(set) var proof: DeathProof?
    /// Whether guests of this incident may run elsewhere: its old copies must be cleared before it is trusted.
    public internal(set) var mayRunElsewhere = false
    /// Why it stands where it stands, for the operator.
    public internal(set) var reason = "not observed yet"

    var lastProbe: Duration?
    var isLeaseRenewed = false
    var darkCount = 0
    var isPowerOn = false
    var fenceCount = 0
    var lastTry: Duration?
    var isFenceRunning = false
    var livedDuringFence = false
    var lastEvacuation: Duration?

    /// A watch over a host that counts as healthy until it has been silent.
    public init(_ host: HostName, now: Duration) {
        self.host = host
        since = now
    }

    /// A watch over a host of which the journal says that guests of it may have been started elsewhere: it begins unreachable,
    /// needs fresh proof for any further start, and is cleared of old copies when it answers.
    public init(_ host: HostName, now: Duration, resumingIncident incident: UInt64) {
        self.init(host, now: now)
        state = .unreachable
        self.incident = incident
        mayRunElsewhere = true
        reason = "an evacuation was under way when Steward stopped"
    }
}
