public import Fleet

/// The offsets of one time zone from UTC.
public struct ZoneOffsets: Hashable, Sendable {
    /// The zone's name, such as `Asia/Shanghai`.
    public let name: String
    /// The offset before the first transition, in seconds east of UTC.
    public let firstOffsetSeconds: Int64
    /// From when which offset holds, in ascending order.
    public let transitions: [Transition]

    /// A change of the offset.
    public struct Transition: Hashable, Sendable {
        /// The instant.
        public let at: Timestamp
        /// The offset from then on, in seconds east of UTC.
        public let offsetSeconds: Int64
        /// A change of the offset.
        public init(at: Timestamp, offsetSeconds: Int64) {
            self.at = at
            self.offsetSeconds = offsetSeconds
        }
    }

    /// A zone's offsets.
    public init(name: String, firstOffsetSeconds: Int64, transitions: [Transition] = []) {
        self.name = name
        self.firstOffsetSeconds = firstOffsetSeconds
        self.transitions = transitions
    }

    /// UTC.
    public static let utc = ZoneOffsets(name: "UTC", firstOffsetSeconds: 0)

    func offset(at seconds: Int64) -> Int64 {
        transitions.last { $0.at.wholeSeconds <= seconds }?.offsetSeconds ?? firstOffsetSeconds
    }

    /// The first instant at which the zone's clocks show that local time or, in the gap of a change to summer time, have just passed it.
    func instant(local: Int64) -> Int64 {
        let near = transitions.filter { abs($0.at.wholeSeconds - local) < 172_800 }
        var before = offset(at: local - 172_800)
        for transition in near {
            let at = transition.at.wholeSeconds
            if local - before < at { return local - before }
            if local - transition.offsetSeconds < at { return at }
            before = transition.offsetSeconds
        }
        return local - before
    }
}

/// A rule of the classic cron form: minute, hour, day of month, month, day of week.
public struct CronRule: Hashable, Sendable, CustomStringConvertible {
    /// As the operator wrote it.
    public let description: String
    let minutes: Set<Int>
    let hours: Set<Int>
    let days: Set<Int>
    let months: Set<Int>
    let weekdays: Set<Int>
    let isDayRestricted: Bool
    let isWeekdayRestricted: Bool

    /// A rule from its text, or nil with the reason where the text is none.
    public static func parse(_ text: String) -> Result<CronRule, CronError> {
        let fields = text.split(separator: " ").map(String.init)
        guard fields.count == 5 else {
            return .failure(CronError(message: "a schedule has 5 fields (minute hour day month weekday), not \(fields.count)"))
        }
        let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
        let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
        let shapes: [(String, ClosedRange<Int>, [String], Int)] = [
            ("minute", 0...59, [], 0), ("hour", 0...23, [], 0), ("day", 1...31, [], 0), ("month", 1...12, months, 1),
            ("weekday", 0...7, days, 0),
        ]
        var sets: [Set<Int>] = []
        for (field, (name, range, names, base)) in zip(fields, shapes) {
            guard let set = values(of: field.lowercased(), range, names: names, base: base) else {
                return .failure(
                    CronError(
                        message:
                            "'\(field)' is no \(name): use *, numbers \(range.lowerBound)-\(range.upperBound), ranges, lists and steps (*/5)"
                    ))
            }
            sets.append(set)
        }
        if sets[4].contains(7) { sets[4].insert(0) }
        return .success(
            CronRule(
                description: text, minutes: sets[0], hours: sets[1], days: sets[2], months: sets[3], weekdays: sets[4],
                isDayRestricted: fields[2] != "*", isWeekdayRestricted: fields[4] != "*"))
    }

    private static func values(of field: String, _ range: ClosedRange<Int>, names: [String], base: Int) -> Set<Int>? {
        var result: Set<Int> = []
        for part in field.split(separator: ",", omittingEmptySubsequences: false) {
            let pieces = part.split(separator: "/", omittingEmptySubsequences: false)
            guard pieces.count <= 2, let span = pieces.first else { return nil }
            var step = 1
            if pieces.count == 2 {
                guard let number = Int(pieces[1]), number > 0 else { return nil }
                step = number
            }
            func value(_ text: Substring) -> Int? { Int(text) ?? names.firstIndex(of: String(text)).map { $0 + base } }
            var low = range.lowerBound
            var high = range.upperBound
            if span != "*" {
                let ends = span.split(separator: "-", omittingEmptySubsequences: false)
                guard ends.count <= 2, let first = value(ends[0]), let last = ends.count == 2 ? value(ends[1]) : first else { return nil }
                (low, high) = (first, pieces.count == 2 && ends.count == 1 ? high : last)
            }
            guard range.contains(low), range.contains(high), low <= high else { return nil }
            result.formUnion(stride(from: low, through: high, by: step))
        }
        return result
    }

    func holds(_ date: CivilDate) -> Bool {
        guard months.contains(date.month) else { return false }
        let weekday = Int(((date.daysSinceEpoch + 4) % 7 + 7) % 7)
        // As in every cron: with both day fields restricted, either is enough.
        if isDayRestricted, isWeekdayRestricted { return days.contains(date.day) || weekdays.contains(weekday) }
        return days.contains(date.day) && weekdays.contains(weekday)
    }

    /// The latest firing at or before an instant, within the last `days` days.
    public func lastFiring(before instant: Timestamp, zone: ZoneOffsets, days: Int64 = 1500) -> Timestamp? {
        let now = instant.wholeSeconds
        let times = hours.sorted(by: >).flatMap { hour in minutes.sorted(by: >).map { Int64(hour * 3600 + $0 * 60) } }
        let today = CivilDate(daysSinceEpoch: floorDay(now + zone.offset(at: now))).daysSinceEpoch
        // A day ahead as well: near a change of offset the local date can run behind what the offset says.
        for day in stride(from: today + 1, to: today - days, by: -1) where holds(CivilDate(daysSinceEpoch: day)) {
            for time in times {
                let firing = zone.instant(local: day * 86_400 + time)
                if firing <= now { return Timestamp(seconds: firing) }
            }
        }
        return nil
    }

    private func floorDay(_ seconds: Int64) -> Int64 { seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400 }
}

/// Why a text is no schedule.
public struct CronError: Error, Hashable, Sendable {
    /// For the operator.
    public let message: String
}

/// Bounds that hold from a firing on, until another entry fires or their time is over.
public struct ScheduleEntry: Hashable, Sendable {
    /// When it fires.
    public var at: CronRule
    /// The zone of its clock.
    public var timezone: String
    /// The fewest members from then on.
    public var min: Int?
    /// The most members from then on.
    public var max: Int?
    /// For how long; nil until the next entry.
    public var lasts: Duration?

    /// An entry.
    public init(at: CronRule, timezone: String, min: Int?, max: Int?, lasts: Duration? = nil) {
        self.at = at
        self.timezone = timezone
        self.min = min
        self.max = max
        self.lasts = lasts
    }
}

/// What a schedule says at an instant.
///
/// It looks for the last firing instead of waiting for the next, so a restart or a stepped clock across a firing can neither skip nor
/// double it.
enum Calendar {
    enum Answer: Hashable {
        case none
        case bounds(min: Int?, max: Int?, entry: String)
        case unknownZone(String)
    }

    static func bounds(_ schedule: [ScheduleEntry], at now: Timestamp, zones: [ZoneOffsets]) -> Answer {
        var last: (at: Timestamp, entry: ScheduleEntry)?
        for entry in schedule {
            guard let zone = entry.timezone == "UTC" ? .utc : zones.first(where: { $0.name == entry.timezone }) else {
                return .unknownZone(entry.timezone)
            }
            guard let firing = entry.at.lastFiring(before: now, zone: zone) else { continue }
            if let lasts = entry.lasts, now >= firing + lasts { continue }
            if last.map({ firing >= $0.at }) ?? true { last = (firing, entry) }
        }
        guard let last else { return .none }
        return .bounds(min: last.entry.min, max: last.entry.max, entry: last.entry.at.description)
    }
}
