public import Fleet

/// A time zone's offsets as data, so that days and months are the same on every machine.
public struct ZoneCalendar: Hashable, Sendable {
    /// The zone's IANA name.
    public let name: String
    /// The version of the time-zone data, for the record of a closed month.
    public let dataVersion: String
    private let firstOffset: Int64
    private let transitions: [Transition]

    /// From a UTC second on, the zone's clocks show UTC plus an offset.
    public struct Transition: Hashable, Sendable {
        /// The UTC second.
        public let second: Int64
        /// The offset in seconds, east positive.
        public let offset: Int64
        /// A transition.
        public init(second: Int64, offset: Int64) {
            self.second = second
            self.offset = offset
        }
    }

    /// UTC.
    public static let utc = ZoneCalendar(name: "UTC", dataVersion: "none", firstOffset: 0, transitions: [])

    /// A zone by its offsets.
    public init(name: String, dataVersion: String, firstOffset: Int64, transitions: [Transition]) {
        self.name = name
        self.dataVersion = dataVersion
        self.firstOffset = firstOffset
        self.transitions = transitions.sorted { $0.second < $1.second }
    }

    /// A zone from the bytes of a TZif file of version 2 or later (RFC 8536), or nil where they are none.
    ///
    /// Only the transitions that the file lists are used: up to 2037 in the files that Debian ships.
    public init?(tzif bytes: [UInt8], name: String, dataVersion: String) {
        func number(_ offset: Int, width: Int) -> Int64? {
            guard offset >= 0, offset + width <= bytes.count else { return nil }
            let pattern = bytes[offset..<offset + width].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return width == 4 ? Int64(Int32(truncatingIfNeeded: pattern)) : Int64(bitPattern: pattern)
        }
        func header(_ start: Int) -> (counts: [Int], body: Int)? {
            guard bytes.count >= start + 44, Array(bytes[start..<start + 4]) == Array("TZif".utf8) else { return nil }
            let counts = (0..<6).compactMap { number(start + 20 + $0 * 4, width: 4).map { Int($0) } }
            guard counts.count == 6, counts.allSatisfy({ (0...100_000).contains($0) }) else { return nil }
            return (counts, start + 44)
        }
        // The counts: UT flags, standard flags, leap seconds, transitions, types, abbreviation characters.
        guard let first = header(0), bytes[4] >= UInt8(ascii: "2") else { return nil }
        let skipped = first.counts
        let second = first.body + skipped[3] * 5 + skipped[4] * 6 + skipped[5] + skipped[2] * 8 + skipped[1] + skipped[0]
        guard let (counts, body) = header(second), counts[4] > 0 else { return nil }
        let types = body + counts[3] * 9
        func offset(ofType type: Int) -> Int64? { type < counts[4] ? number(types + type * 6, width: 4) : nil }
        var transitions: [Transition] = []
        for index in 0..<counts[3] {
            let place = body + counts[3] * 8 + index
            guard let at = number(body + index * 8, width: 8), place < bytes.count, let offset = offset(ofType: Int(bytes[place])) else {
                return nil
            }
            transitions.append(Transition(second: at, offset: offset))
        }
        guard let initial = offset(ofType: 0) else { return nil }
        self.init(name: name, dataVersion: dataVersion, firstOffset: initial, transitions: transitions)
    }

    /// The zone's offset at a UTC second, in seconds, east positive.
    public func offset(at second: Int64) -> Int64 {
        var low = 0
        var high = transitions.count
        while low < high {
            let middle = (low + high) / 2
            if transitions[middle].second <= second { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? firstOffset : transitions[low - 1].offset
    }

    /// The civil date at a UTC second.
    public func date(at second: Int64) -> CivilDate {
        let local = second + offset(at: second)
        return CivilDate(daysSinceEpoch: local >= 0 ? local / 86_400 : (local - 86_399) / 86_400)
    }

    /// The first UTC second of a civil date; where the date begins in a gap, or was left out altogether, the first one after it.
    public func start(of date: CivilDate) -> Int64 {
        let midnight = date.daysSinceEpoch * 86_400
        // The earliest second whose date is not before this one; offsets lie within ±26 h, and a repeated midnight counts once, the first.
        var low = midnight - 26 * 3600
        var high = midnight + 26 * 3600
        for transition in transitions where transition.second > low && transition.second < high {
            let before = transition.second - 1
            if self.date(at: before) >= date { high = transition.second } else { low = transition.second }
        }
        if self.date(at: low) >= date { return low }
        let start = midnight - offset(at: low)
        return min(max(start, low), high)
    }

    /// The first UTC second of a month and of the next one.
    public func month(year: Int64, month: Int) -> Interval? {
        let next = month == 12 ? CivilDate(year: year + 1, month: 1, day: 1) : CivilDate(year: year, month: month + 1, day: 1)
        guard let first = CivilDate(year: year, month: month, day: 1), let next else { return nil }
        return Interval(from: start(of: first), to: start(of: next))
    }

    /// The month that a UTC second lies in.
    public func month(at second: Int64) -> Interval {
        let date = date(at: second)
        return month(year: date.year, month: date.month) ?? Interval(from: second, to: second)
    }

    /// The starts of all civil dates within an interval, the interval's own start first.
    public func days(in interval: Interval) -> [Int64] {
        guard interval.seconds > 0 else { return [] }
        var starts = [interval.from]
        var day = date(at: interval.from).daysSinceEpoch + 1
        while true {
            let start = start(of: CivilDate(daysSinceEpoch: day))
            if start >= interval.to { return starts }
            if start > (starts.last ?? start) { starts.append(start) }
            day += 1
        }
    }
}
