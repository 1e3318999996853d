import Fleet

/// A fleet to be balanced, as it is written in a file: names, capacities, demands and rules.
public struct BalanceFleet: Codable, Hashable, Sendable {
    /// The hosts.
    public var hosts: [Host]
    /// The guests.
    public var guests: [Guest]
    /// Guests that share a host, whichever; the groups may overlap.
    public var affinity: [[String]]
    /// Guests no two of which share a host.
    public var antiAffinity: [[String]]
    /// Resources of which a host cannot promise more than it has.
    public var hard: [String]
    /// The weights of the objective.
    public var weights: Weights

    /// A host.
    public struct Host: Codable, Hashable, Sendable {
        /// The name.
        public var name: String
        /// The failure domain.
        public var zone: String?
        /// What it has of each resource; above 0.
        public var capacity: [String: Double]
        /// Whether it gets nothing new.
        public var cordoned: Bool?

        /// A host.
        public init(_ name: String, zone: String? = nil, capacity: [String: Double], cordoned: Bool = false) {
            self.name = name
            self.zone = zone
            self.capacity = capacity
            self.cordoned = cordoned
        }
    }

    /// A guest.
    public struct Guest: Codable, Hashable, Sendable {
        /// The name, unique.
        public var name: String
        /// Its host.
        public var host: String
        /// What it takes of each resource, in the host's unit; every resource must be there, since unknown is not zero.
        public var demand: [String: Double]
        /// The memory that a migration copies, in bytes.
        public var memory: Double
        /// Bytes that it dirties each second.
        public var dirtyRate: Double?
        /// Hosts that it may be on; absent means any.
        public var pinned: [String]?
        /// Whether it stays where it is: cooling down, locked, or not migratable.
        public var fixed: Bool?

        /// A guest.
        public init(
            _ name: String, host: String, demand: [String: Double], memory: Double, dirtyRate: Double? = nil, pinned: [String]? = nil,
            fixed: Bool = false
        ) {
            self.name = name
            self.host = host
            self.demand = demand
            self.memory = memory
            self.dirtyRate = dirtyRate
            self.pinned = pinned
            self.fixed = fixed
        }

        enum CodingKeys: String, CodingKey {
            case name, host, demand, memory, pinned, fixed
            case dirtyRate = "dirty_rate"
        }
    }

    /// The weights of the objective.
    public struct Weights: Codable, Hashable, Sendable {
        /// Of the mean distance from the fleet's load.
        public var spread: Double
        /// Of moving a guest of average memory.
        public var move: Double

        /// Weights; by default those of the comparison with an exact solver.
        public init(spread: Double = 0.1, move: Double = 0.002) {
            self.spread = spread
            self.move = move
        }
    }

    enum CodingKeys: String, CodingKey {
        case hosts, guests, affinity, hard, weights
        case antiAffinity = "anti_affinity"
    }

    /// A fleet; memory is the hard resource unless told otherwise.
    public init(
        hosts: [Host], guests: [Guest], affinity: [[String]] = [], antiAffinity: [[String]] = [], hard: [String] = ["memory"],
        weights: Weights = Weights()
    ) {
        self.hosts = hosts
        self.guests = guests
        self.affinity = affinity
        self.antiAffinity = antiAffinity
        self.hard = hard
        self.weights = weights
    }

    /// Reads a fleet; rules, hard resources and weights may be absent.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        hosts = try values.decode([Host].self, forKey: .hosts)
        guests = try values.decode([Guest].self, forKey: .guests)
        affinity = try values.decodeIfPresent([[String]].self, forKey: .affinity) ?? []
        antiAffinity = try values.decodeIfPresent([[String]].self, forKey: .antiAffinity) ?? []
        hard = try values.decodeIfPresent([String].self, forKey: .hard) ?? ["memory"]
        weights = try values.decodeIfPresent(Weights.self, forKey: .weights) ?? Weights()
    }
}

/// Everything wrong with a described fleet.
public struct BalanceFleetError: Error, Hashable, Sendable, CustomStringConvertible {
    /// One message for each fault, at most ``messagesMaximum``.
    public let messages: [String]
    /// The most faults that are told: more would not be read.
    public static let messagesMaximum = 100
    /// All messages, a line each.
    public var description: String { messages.joined(separator: "\n") }
}

/// One move of a balancing plan.
public struct BalanceMove: Codable, Hashable, Sendable {
    /// The guest.
    public let guest: String
    /// Where it is.
    public let from: String
    /// Where it goes.
    public let to: String

    /// A move.
    public init(guest: String, from: String, to: String) {
        self.guest = guest
        self.from = from
        self.to = to
    }
}

/// What balancing came to.
public struct BalancePlan: Codable, Hashable, Sendable {
    /// The moves, in an order in which each step keeps every rule.
    public let moves: [BalanceMove]
    /// The objective before and after.
    public let objectiveBefore: Double
    /// The objective once all moves are done.
    public let objectiveAfter: Double
    /// The highest load of any resource of any host before.
    public let peakBefore: Double
    /// The highest load of any resource of any host after.
    public let peakAfter: Double
    /// The peak that no plan can be below, moves being free and guests divisible.
    public let peakLowerBound: Double
    /// Rules that are still broken afterwards, and capacity that is still overdrawn.
    public let broken: [String]
    /// Rules that cannot all hold, the smallest set found for each conflict.
    public let conflicts: [String]
    /// Why nothing is moved; nil where something is.
    public let noMoveReason: String?

    enum CodingKeys: String, CodingKey {
        case moves, broken, conflicts
        case objectiveBefore = "objective_before"
        case objectiveAfter = "objective_after"
        case peakBefore = "peak_before"
        case peakAfter = "peak_after"
        case peakLowerBound = "peak_lower_bound"
        case noMoveReason = "no_move_reason"
    }
}
