/// A policy document: what is to be steered, through whom, and who is told.
public struct Policy: Hashable, Sendable {
    /// The scaling of its group.
    public var scaling: ScalingPolicy
    /// How a member's health is told.
    public var health: HealthCheck?
    /// Who does the work.
    public var via: Actor = .libvirt
    /// Who is told.
    public var notify: [Recipient] = []

    /// Who does the work.
    public enum Actor: Hashable, Sendable {
        /// Steward, through libvirt.
        case libvirt
        /// The receiver of a webhook; its work is verified.
        case webhook(String)
    }

    /// Who is told of what.
    public struct Recipient: Hashable, Sendable {
        /// The webhook's name in the configuration.
        public var webhook: String
        /// The events; empty means all.
        public var events: [Event]

        /// A recipient.
        public init(webhook: String, events: [Event]) {
            self.webhook = webhook
            self.events = events
        }
    }

    /// What can be told.
    public enum Event: String, Hashable, Sendable, CaseIterable {
        /// A group changes its size.
        case scale
        /// A change was held back.
        case blocked
        /// A plan waits for approval.
        case approval
        /// A step failed.
        case failed
        /// An unhealthy member is replaced.
        case replace
    }

    /// How a member's health is told.
    public struct HealthCheck: Hashable, Sendable {
        /// The TCP port that must accept.
        public var port: Int
        /// The pause between two checks.
        public var interval: Duration
        /// Failures in a row that make a member unhealthy.
        public var failures: Int

        /// A check.
        public init(port: Int, interval: Duration, failures: Int) {
            self.port = port
            self.interval = interval
            self.failures = failures
        }
    }

    /// A policy that tells nobody.
    public init(_ scaling: ScalingPolicy) { self.scaling = scaling }
}

/// An alert rule.
public struct AlertRule: Hashable, Sendable {
    /// The alert's name.
    public var name: String
    /// The query; each series of its result is an alert.
    public var query: String
    /// How long the query must hold.
    public var holdsFor: Duration
    /// Who is told.
    public var webhooks: [String]

    /// An alert rule.
    public init(name: String, query: String, holdsFor: Duration, webhooks: [String]) {
        self.name = name
        self.query = query
        self.holdsFor = holdsFor
        self.webhooks = webhooks
    }
}
