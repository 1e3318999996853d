#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

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

    /// Equal are labels of the same bytes; canonically equivalent texts of other bytes are other labels, as in Prometheus.
    public static func == (left: Label, right: Label) -> Bool {
        left.name.hasSameBytes(as: right.name) && left.value.hasSameBytes(as: right.value)
    }

    /// Hashes the bytes of both.
    public func hash(into hasher: inout Hasher) {
        name.hashBytes(into: &hasher)
        value.hashBytes(into: &hasher)
    }

    /// Orders by name, then value, by their UTF-8 bytes.
    public static func < (left: Label, right: Label) -> Bool {
        let order = left.name.compareBytes(with: right.name)
        return order != 0 ? order < 0 : left.value.compareBytes(with: right.value) < 0
    }
}

/// The identity of a series: labels with distinct names, sorted, none of them empty.
///
/// An empty value is the same as no label (Prometheus' data model), so it is dropped.
public struct LabelSet: Hashable, Comparable, Sendable {
    /// The label that holds the metric's name.
    public static let metricName = "__name__"
    /// The set without labels.
    public static let empty = LabelSet(sorted: [])

    /// The labels, sorted by name.
    public let labels: [Label]

    /// A label set; of several labels with one name the last wins.
    public init(_ labels: [Label]) {
        if LabelSet.isCanonical(labels) {
            self.labels = labels
            return
        }
        var sorted: [Label] = []
        sorted.reserveCapacity(labels.count)
        for (_, label) in labels.enumerated().sorted(by: { left, right in
            let order = left.element.name.compareBytes(with: right.element.name)
            return order != 0 ? order < 0 : left.offset < right.offset
        }) {
            if let last = sorted.last, last.name.hasSameBytes(as: label.name) { sorted.removeLast() }
            sorted.append(label)
        }
        self.labels = sorted.filter { !$0.value.isEmpty }
    }

    /// A label set from a metric's name and further labels.
    public init(metric: String, _ labels: [Label] = []) {
        self.init([Label(LabelSet.metricName, metric)] + labels)
    }

    /// A label set from labels that are known to be sorted by name, distinct and not empty.
    init(sorted labels: [Label]) { self.labels = labels }

    private static func isCanonical(_ labels: [Label]) -> Bool {
        var previous: String?
        for label in labels {
            if label.value.isEmpty { return false }
            if let previous, previous.compareBytes(with: label.name) >= 0 { return false }
            previous = label.name
        }
        return true
    }

    /// The value of a label, or nil where there is none.
    public subscript(name: String) -> String? {
        for label in labels where label.name.hasSameBytes(as: name) { return label.value }
        return nil
    }

    /// The labels whose names pass, in the same order.
    public func filtered(_ isKept: (String) -> Bool) -> LabelSet {
        LabelSet(sorted: labels.filter { isKept($0.name) })
    }

    /// The same labels without the metric's name.
    public var withoutMetricName: LabelSet {
        guard self[LabelSet.metricName] != nil else { return self }
        return filtered { !$0.hasSameBytes(as: LabelSet.metricName) }
    }

    /// The same labels with one set to a value, or removed when the value is empty.
    public func setting(_ name: String, to value: String) -> LabelSet {
        var result = labels.filter { !$0.name.hasSameBytes(as: name) }
        if !value.isEmpty {
            let place = result.firstIndex { $0.name.compareBytes(with: name) > 0 } ?? result.count
            result.insert(Label(name, value), at: place)
        }
        return LabelSet(sorted: result)
    }

    /// Orders by the sorted labels, pair by pair.
    public static func < (left: LabelSet, right: LabelSet) -> Bool {
        left.labels.lexicographicallyPrecedes(right.labels)
    }
}

extension String {
    /// Whether both have the same UTF-8 bytes; unlike `==`, which takes canonically equivalent texts as equal.
    public func hasSameBytes(as other: String) -> Bool {
        utf8.count == other.utf8.count && compareBytes(with: other) == 0
    }

    /// Negative, zero or positive as the UTF-8 bytes of this text come before, equal or come after the other's.
    public func compareBytes(with other: String) -> Int {
        let fast = utf8.withContiguousStorageIfAvailable { left in
            other.utf8.withContiguousStorageIfAvailable { right -> Int in
                let shared = Swift.min(left.count, right.count)
                if let start = left.baseAddress, let otherStart = right.baseAddress {
                    let order = memcmp(start, otherStart, shared)
                    if order != 0 { return Int(order) }
                }
                return left.count - right.count
            }
        }
        if let fast, let answer = fast { return answer }
        return utf8.elementsEqual(other.utf8) ? 0 : utf8.lexicographicallyPrecedes(other.utf8) ? -1 : 1
    }

    func hashBytes(into hasher: inout Hasher) {
        let done: Void? = utf8.withContiguousStorageIfAvailable { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        if done == nil { for byte in utf8 { hasher.combine(byte) } }
        hasher.combine(UInt8(0xFF))
    }
}
