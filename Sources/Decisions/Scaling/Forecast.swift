public import Fleet

/// A forecast from the pattern of the day and of the week: it may only add members.
public enum Forecast {
    /// The least history, as a share of it may be one odd day.
    public static let historyMinimum = Duration.seconds(2 * 86_400)

    /// A load at an instant: the sum over the group, in the target's unit.
    public struct Load: Hashable, Sendable {
        /// When.
        public let at: Timestamp
        /// How much.
        public let value: Double
        /// A load.
        public init(at: Timestamp, value: Double) {
            self.at = at
            self.value = value
        }
    }

    /// The load to expect between `now` and `now + lead`.
    ///
    /// The highest, over that time, of the median at the same time of day on earlier days or, with three weeks of history, at the same
    /// time of the week. Nil without two days of history.
    public static func load(_ history: [Load], now: Timestamp, lead: Duration, slot: Duration = .seconds(300)) -> Double? {
        guard let first = history.map(\.at).min(), now - first >= historyMinimum, slot > .zero else { return nil }
        let width = slot.milliseconds
        let hasWeeks = now - first >= .seconds(21 * 86_400)
        let period: Int64 = hasWeeks ? 7 * 86_400_000 : 86_400_000
        func place(_ instant: Timestamp) -> Int64 { ((instant.milliseconds % period + period) % period) / width }
        var slots: [Int64: [Double]] = [:]
        for load in history where load.at < now && load.value.isFinite { slots[place(load.at), default: []].append(load.value) }
        var highest: Double?
        var instant = now
        while instant <= now + lead {
            if let values = slots[place(instant)]?.sorted(), !values.isEmpty {
                highest = max(highest ?? 0, values[values.count / 2])
            }
            instant = instant + slot
        }
        return highest
    }

    /// The size that a forecast load asks for.
    public static func size(load: Double, goal: ScalingTarget.Goal) -> Int { roundedUp(load / goal.value) }
}
