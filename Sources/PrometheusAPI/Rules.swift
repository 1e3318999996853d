public import Fleet
public import TimeSeries

/// A group of rules, as `/api/v1/rules` shows it.
public struct RuleGroup: Sendable {
    /// The name.
    public var name: String
    /// The file that it stands in.
    public var file: String
    /// The time between two evaluations.
    public var interval: Duration
    /// Its rules.
    public var rules: [AlertingRule]

    /// A group.
    public init(name: String, file: String, interval: Duration, rules: [AlertingRule]) {
        self.name = name
        self.file = file
        self.interval = interval
        self.rules = rules
    }
}

/// A condition that is watched.
public struct AlertingRule: Sendable {
    /// The name.
    public var name: String
    /// The condition.
    public var query: String
    /// How long it must hold.
    public var holds: Duration
    /// The labels of its alerts.
    public var labels: LabelSet
    /// Descriptions.
    public var annotations: LabelSet
    /// Why the last evaluation failed; nil where it did not.
    public var lastError: String?
    /// When it was last evaluated.
    public var lastEvaluation: Timestamp
    /// Its alerts.
    public var alerts: [Alert]

    /// A rule.
    public init(
        name: String, query: String, holds: Duration = .zero, labels: LabelSet = .empty, annotations: LabelSet = .empty,
        lastError: String? = nil, lastEvaluation: Timestamp, alerts: [Alert] = []
    ) {
        self.name = name
        self.query = query
        self.holds = holds
        self.labels = labels
        self.annotations = annotations
        self.lastError = lastError
        self.lastEvaluation = lastEvaluation
        self.alerts = alerts
    }
}

/// A condition that holds.
public struct Alert: Sendable {
    /// What it is about.
    public var labels: LabelSet
    /// Descriptions.
    public var annotations: LabelSet
    /// Whether it has held long enough.
    public var isFiring: Bool
    /// Since when it holds.
    public var since: Timestamp
    /// The number that met the condition.
    public var value: Double

    /// An alert.
    public init(labels: LabelSet, annotations: LabelSet = .empty, isFiring: Bool, since: Timestamp, value: Double) {
        self.labels = labels
        self.annotations = annotations
        self.isFiring = isFiring
        self.since = since
        self.value = value
    }
}

extension JSONText {
    mutating func rules(_ groups: [RuleGroup]) {
        object { json in
            json.name("groups")
            json.list { json in for group in groups { json.group(group) } }
        }
    }

    private mutating func group(_ group: RuleGroup) {
        object { json in
            json.member("name", group.name)
            json.member("file", group.file)
            json.name("rules")
            json.list { json in for rule in group.rules { json.rule(rule) } }
            json.name("interval")
            json.number(group.interval / .seconds(1))
            json.member("limit", 0)
        }
    }

    private mutating func rule(_ rule: AlertingRule) {
        let state = rule.alerts.contains(where: \.isFiring) ? "firing" : rule.alerts.isEmpty ? "inactive" : "pending"
        object { json in
            json.member("state", state)
            json.member("name", rule.name)
            json.member("query", rule.query)
            json.name("duration")
            json.number(rule.holds / .seconds(1))
            json.name("labels")
            json.labels(rule.labels)
            json.name("annotations")
            json.labels(rule.annotations)
            json.name("alerts")
            json.list { json in for alert in rule.alerts { json.alert(alert) } }
            json.member("health", rule.lastError == nil ? "ok" : "err")
            if let error = rule.lastError { json.member("lastError", error) }
            json.member("lastEvaluation", rule.lastEvaluation.description)
            json.member("type", "alerting")
        }
    }

    mutating func alert(_ alert: Alert) {
        object { json in
            json.name("labels")
            json.labels(alert.labels)
            json.name("annotations")
            json.labels(alert.annotations)
            json.member("state", alert.isFiring ? "firing" : "pending")
            json.member("activeAt", alert.since.description)
            json.member("value", JSONText.sampleText(alert.value))
        }
    }
}
