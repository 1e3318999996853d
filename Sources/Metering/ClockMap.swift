import Fleet

/// What the clocks of all machines meant: steady readings turned into UTC milliseconds.
///
/// One boot has one offset between its steady clock and UTC: that of its earliest reading, unless an operator states another. A step of the
/// wall clock therefore moves nothing; it is reported as a finding.
struct ClockMap {
    /// How far a wall clock may move against its steady clock before it is called a step, in milliseconds.
    static let stepMilliseconds: Int64 = 1000
    /// The most steps that one machine's finding lists.
    static let listedSteps = 100

    private var anchors: [String: (steady: Int64, wall: Int64)] = [:]
    private var stated: [String: Int64] = [:]
    private(set) var steps: [(machine: String, atMilliseconds: Int64, byMilliseconds: Int64)] = []

    init(_ facts: [Fact]) {
        var spread: [String: (low: Int64, high: Int64)] = [:]
        for fact in facts {
            if case .clockAnchor(let machine) = fact.body {
                // Two statements on one boot: the earlier instant holds, whatever their order of arrival.
                stated[machine] = min(stated[machine] ?? .max, fact.seen.wall.milliseconds)
            }
            guard let steady = fact.seen.steadyMilliseconds else { continue }
            let wall = fact.seen.wall.milliseconds
            let machine = fact.seen.machine
            if let there = anchors[machine] {
                if (steady, wall) < there { anchors[machine] = (steady, wall) }
            } else {
                anchors[machine] = (steady, wall)
            }
            let offset = wall - steady
            let range = spread[machine] ?? (offset, offset)
            spread[machine] = (min(range.low, offset), max(range.high, offset))
        }
        let suspects = spread.filter { $0.value.high - $0.value.low > ClockMap.stepMilliseconds }.keys.sorted()
        for machine in suspects { findSteps(of: machine, in: facts) }
    }

    private mutating func findSteps(of machine: String, in facts: [Fact]) {
        let readings = facts.compactMap { fact -> (steady: Int64, wall: Int64)? in
            guard fact.seen.machine == machine, let steady = fact.seen.steadyMilliseconds else { return nil }
            return (steady, fact.seen.wall.milliseconds)
        }.sorted { $0 < $1 }
        var listed = 0
        for (earlier, later) in zip(readings, readings.dropFirst()) where listed < ClockMap.listedSteps {
            let step = (later.wall - later.steady) - (earlier.wall - earlier.steady)
            guard abs(step) > ClockMap.stepMilliseconds else { continue }
            steps.append((machine, milliseconds(machine: machine, steady: later.steady) ?? later.wall, step))
            listed += 1
        }
    }

    /// The instant of a reading in UTC milliseconds.
    func milliseconds(_ reading: ClockReading) -> Int64 {
        guard let steady = reading.steadyMilliseconds else { return reading.wall.milliseconds }
        return milliseconds(machine: reading.machine, steady: steady) ?? reading.wall.milliseconds
    }

    /// The instant of a steady reading of a machine in UTC milliseconds, or nil where no clock of it was ever read.
    func milliseconds(machine: String, steady: Int64) -> Int64? {
        if let boot = stated[machine] { return boot + steady }
        return anchors[machine].map { $0.wall - $0.steady + steady }
    }
}

/// Whole seconds, rounded towards the past: every edge is rounded alike, so that lengths add up.
func wholeSeconds(_ milliseconds: Int64) -> Int64 { Timestamp(milliseconds: milliseconds).wholeSeconds }
