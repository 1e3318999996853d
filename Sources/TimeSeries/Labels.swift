/// One label of a series.
public struct Label: Hashable, Comparable, Sendable {
    /// The name; `__name__` holds the metric's name.
    public let name: String
    /// The value.
    public let value: String

    /// A label.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    /// Orders by name, then value, by their UTF-8 bytes.
    public static func < (left: Label, right: Label) -> Bool {
        (left.name, left.value) < (right.name, right.value)
    }
}

/// The identity of a series: labels with distinct names, sorted, none of them empty.
///
/// An empty value is the same as no label (Prometheus' data model), so it is dropped.
public struct LabelSet: Hashable, Comparable, Sendable {
    /// The label that holds the metric's name.
    public static let metricName = "__name__"

    /// The labels, sorted by name.
    public let labels: [Label]

    /// A label set; of several labels with one name the last wins.
    public init(_ labels: [Label]) {
        var latest: [Label] = []
        for label in labels.reversed() where !latest.contains(where: { $0.name == label.name }) { latest.append(label) }
        self.labels = latest.filter { !$0.value.isEmpty }.sorted()
    }

    /// A label set from a metric's name and further labels.
    public init(metric: String, _ labels: [Label] = []) {
        self.init([Label(LabelSet.metricName, metric)] + labels)
    }

    /// The value of a label, or nil where there is none.
    public subscript(name: String) -> String? {
        labels.first { $0.name == name }?.value
    }

    /// Orders by the sorted labels, pair by pair.
    public static func < (left: LabelSet, right: LabelSet) -> Bool {
        left.labels.lexicographicallyPrecedes(right.labels)
    }
}
