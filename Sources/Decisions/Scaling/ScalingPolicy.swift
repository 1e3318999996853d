public import Fleet
public import Plans

/// How a group follows its load.
public struct ScalingPolicy: Hashable, Sendable {
    /// The policy's name.
    public var name: String
    /// How far it may go.
    public var mode: PolicyMode = .observe
    /// The group that it steers.
    public var group: String
    /// The fewest members.
    public var min: Int
    /// The most members, counting every one that is not proven gone.
    public var max: Int
    /// What a new member is made from; nil where a webhook makes it.
    public var template: MemberTemplate?
    /// Target tracking.
    public var targets: [ScalingTarget] = []
    /// Step scaling.
    public var steps: [StepScaling] = []
    /// Bounds by the calendar.
    public var schedule: [ScheduleEntry] = []
    /// Growing: at once, at most doubled or by four in a minute, as the HPA does.
    public var scaleOut = DirectionRules(stabilization: .zero, limits: [])
    /// How long a new member is left out of the metric.
    public var warmup = Duration.seconds(90)
    /// Shrinking: what the last five minutes agree on.
    public var scaleIn = DirectionRules(stabilization: .seconds(300), limits: [RateLimit(.guests(1), per: .seconds(60))])
    /// Who goes first; ties are broken by the next, then by the guest's UUID.
    public var victims: [VictimOrder] = [.unhealthy, .crowdedZone, .newest]
    /// How long a victim may drain.
    public var drain = Duration.seconds(120)
    /// How long the disk of a stopped member can be had back.
    public var quarantine = Duration.seconds(86_400)
    /// Whether unhealthy members are replaced.
    public var replacesUnhealthy = false
    /// The most that the group may cost in an hour.
    public var budgetPerHour: Money?
    /// Whether the loss of the fullest host must leave enough members for the load.
    public var keepsFailover = false
    /// What a forecast may do; it never shrinks.
    public var prediction = Prediction.off

    /// What a forecast may do.
    public enum Prediction: String, Hashable, Sendable, CaseIterable {
        /// Not computed.
        case off
        /// Shown beside the decision.
        case forecastOnly = "forecast-only"
        /// May add members.
        case add
    }

    /// A policy with the default rules.
    public init(name: String, group: String, min: Int, max: Int) {
        self.name = name
        self.group = group
        self.min = min
        self.max = max
    }
}

/// What a new member is made from.
public struct MemberTemplate: Hashable, Sendable {
    /// The image volume; a member's disk is an overlay of it.
    public var image: String
    /// The instance type.
    public var instanceType: String
    /// The disk's billing type.
    public var diskType: String?
    /// The disk's size, at least the image's.
    public var diskSize: Bytes?
    /// The networks, one interface each.
    public var networks: [String]
    /// The network filters of each interface.
    public var securityGroups: [String]
    /// The zones to spread over; empty means any.
    public var zones: [String]
    /// The path of the cloud-init user data, relative to the policy file.
    public var userData: String?
    /// The path of domain XML to complete, relative to the policy file; nil for the standard one.
    public var domain: String?
    /// The network (`10.0.0.0/16`) whose addresses follow from the lowest bits of the first MAC address; nil where they do not.
    public var addressFromMAC: String?

    /// A template.
    public init(
        image: String, instanceType: String, diskType: String? = nil, diskSize: Bytes? = nil, networks: [String] = [],
        securityGroups: [String] = [], zones: [String] = [], userData: String? = nil
    ) {
        self.image = image
        self.instanceType = instanceType
        self.diskType = diskType
        self.diskSize = diskSize
        self.networks = networks
        self.securityGroups = securityGroups
        self.zones = zones
        self.userData = userData
    }
}

/// What a query's silence means.
public enum AbsentMeaning: Hashable, Sendable {
    /// Unknown: never shrink on it.
    case hold
    /// No vote: the other targets decide.
    case ignore
    /// Zero, for the stated reason; only for sources outside libvirt.
    case zero(because: String)
}

/// Where a query is evaluated.
public enum QuerySource: Hashable, Sendable {
    /// Over Steward's own samples.
    case own
    /// By a Prometheus server at that URL.
    case prometheus(String)
}

/// One target to track.
public struct ScalingTarget: Hashable, Sendable {
    /// The query.
    public var query: String
    /// Where it is evaluated.
    public var source = QuerySource.own
    /// What it is held against.
    public var goal: Goal
    /// How far above the goal nothing happens; 0.1 as the HPA's.
    public var toleranceOut = 0.1
    /// How far below the goal nothing happens.
    public var toleranceIn = 0.1
    /// What silence means.
    public var absent = AbsentMeaning.hold
    /// The share of members with fresh samples below which the value is unknown, 0…1.
    public var coverage = 0.8

    /// What a query's value is held against.
    public enum Goal: Hashable, Sendable {
        /// The value is an average over members; `ceiling` is the most that one member can show (1 for ratios), the bound that a silent
        /// member is given when shrinking.
        case average(Double, ceiling: Double?)
        /// The value is a total, to be shared at so much a member.
        case perMember(Double)

        var value: Double {
            switch self {
            case .average(let value, _), .perMember(let value): value
            }
        }
    }

    /// A target with the default tolerances.
    public init(query: String, goal: Goal) {
        self.query = query
        self.goal = goal
    }
}

/// Step scaling: the size changes by the band in which the value lies.
public struct StepScaling: Hashable, Sendable {
    /// The query.
    public var query: String
    /// Where it is evaluated.
    public var source = QuerySource.own
    /// The bands, none overlapping; between them nothing changes.
    public var bands: [Band]
    /// What silence means.
    public var absent = AbsentMeaning.hold
    /// The share of members with fresh samples below which the value is unknown, 0…1.
    public var coverage = 0.8

    /// A range of values and what it does.
    public struct Band: Hashable, Sendable {
        /// The lower end, included; nil for none.
        public var from: Double?
        /// The upper end, excluded; nil for none.
        public var to: Double?
        /// What to do.
        public var change: Change

        /// A band.
        public init(from: Double?, to: Double?, _ change: Change) {
            self.from = from
            self.to = to
            self.change = change
        }

        func holds(_ value: Double) -> Bool { (from ?? -.infinity) <= value && value < (to ?? .infinity) }
    }

    /// A change of size.
    public enum Change: Hashable, Sendable {
        /// So many guests more, or fewer.
        case by(Int)
        /// So many per cent more, or fewer; at least one guest.
        case percent(Int)
        /// That many guests.
        case to(Int)

        func applied(to size: Int) -> Int {
            switch self {
            case .by(let count): max(0, size + count)
            case .to(let count): count
            case .percent(let share):
                share == 0 ? size : max(0, size + (share > 0 ? max(1, size * share / 100) : min(-1, size * share / 100)))
            }
        }
    }

    /// Step scaling on a query.
    public init(query: String, bands: [Band]) {
        self.query = query
        self.bands = bands
    }
}

/// What holds for one direction.
public struct DirectionRules: Hashable, Sendable {
    /// The window whose recommendations must agree.
    public var stabilization: Duration
    /// The speed limits; the loosest counts, none means no limit.
    public var limits: [RateLimit]
    /// Whether this direction is switched off.
    public var isDisabled = false

    /// Rules for one direction.
    public init(stabilization: Duration, limits: [RateLimit]) {
        self.stabilization = stabilization
        self.limits = limits
    }
}

/// A speed limit.
public struct RateLimit: Hashable, Sendable {
    /// How much.
    public var amount: Amount
    /// In which time.
    public var period: Duration

    /// An amount of change.
    public enum Amount: Hashable, Sendable {
        /// So many guests.
        case guests(Int)
        /// So many per cent of the size at the period's start.
        case percent(Int)
    }

    /// A speed limit.
    public init(_ amount: Amount, per period: Duration) {
        self.amount = amount
        self.period = period
    }
}

/// Who is stopped first.
public enum VictimOrder: String, Hashable, Sendable, CaseIterable {
    /// Members whose health check fails.
    case unhealthy
    /// Members of the zone that holds most.
    case crowdedZone = "crowded_zone"
    /// Members of the host that holds most.
    case crowdedHost = "crowded_host"
    /// The youngest.
    case newest
    /// The oldest.
    case oldest
}
