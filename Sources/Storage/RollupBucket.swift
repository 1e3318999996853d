public import Fleet
import TimeSeries

/// How wide the buckets of a rollup are.
public enum RollupResolution: Int, CaseIterable, Sendable {
    /// Five minutes.
    case fiveMinutes = 300
    /// One hour.
    case oneHour = 3600

    /// The width of a bucket.
    public var duration: Duration { .seconds(rawValue) }
    var milliseconds: Int64 { Int64(rawValue) * 1000 }
    var word: String { self == .fiveMinutes ? "5m" : "1h" }

    /// The start of the bucket that a time is in.
    func start(of time: Int64) -> Int64 {
        let rest = time % milliseconds
        return time - (rest < 0 ? rest + milliseconds : rest)
    }
}

/// What the samples of one series within one bucket come to, in base units.
public struct RollupBucket: Sendable, Equatable {
    /// The first instant of the bucket; it ends before the next one's.
    public let start: Timestamp
    /// How many samples there were; stale markers are none.
    public let count: Int
    /// Their sum: integers are added exactly and scaled once.
    public let sum: Double
    /// The least.
    public let minimum: Double
    /// The greatest.
    public let maximum: Double
    /// The first sample.
    public let first: Double
    /// When the first sample was taken.
    public let firstTime: Timestamp
    /// The last sample.
    public let last: Double
    /// When the last sample was taken.
    public let lastTime: Timestamp
    /// How much a counter grew from the first to the last sample, restarts at 0 corrected.
    ///
    /// Nil for a gauge, and where two halves of a bucket, one of them late, overlap in time.
    public let increase: Double?
}

/// A bucket in the numbers of its series, before scaling.
struct NativeBucket: Sendable, Equatable {
    var start: Int64
    var count: UInt64 = 0
    var first: UInt64 = 0
    var last: UInt64 = 0
    var least: UInt64 = 0
    var greatest: UInt64 = 0
    var firstTime: Int64 = 0
    var lastTime: Int64 = 0
    /// Nil where it cannot be told.
    var increase: UInt64? = 0
    /// The sum of integers.
    var sum: Int128 = 0
    /// The sum of doubles.
    var realSum = 0.0

    /// A bucket with one sample.
    init(start: Int64, time: Int64, bits: UInt64, kind: NumberKind) {
        self.start = start
        (count, firstTime, lastTime) = (1, time, time)
        (first, last, least, greatest) = (bits, bits, bits, bits)
        switch kind {
        case .real: realSum = Double(bitPattern: bits)
        case .signed, .unsigned: sum = NativeBucket.integer(bits, kind)
        }
    }

    static func integer(_ bits: UInt64, _ kind: NumberKind) -> Int128 {
        kind == .signed ? Int128(Int64(bitPattern: bits)) : Int128(bits)
    }

    static func isLess(_ left: UInt64, _ right: UInt64, _ kind: NumberKind) -> Bool {
        switch kind {
        case .unsigned: left < right
        case .signed: Int64(bitPattern: left) < Int64(bitPattern: right)
        // What is no number is neither least nor greatest beside one that is.
        case .real:
            Double(bitPattern: left) < Double(bitPattern: right) || Double(bitPattern: right).isNaN && !Double(bitPattern: left).isNaN
        }
    }

    static func isGreater(_ left: UInt64, _ right: UInt64, _ kind: NumberKind) -> Bool {
        guard kind == .real else { return isLess(right, left, kind) }
        let (left, right) = (Double(bitPattern: left), Double(bitPattern: right))
        return left > right || right.isNaN && !left.isNaN
    }

    /// How much a counter grew from one sample to the next: a smaller number means that it began again at 0.
    static func step(from before: UInt64, to after: UInt64, _ kind: NumberKind) -> UInt64 {
        switch kind {
        case .unsigned, .signed: isLess(after, before, kind) ? after : after &- before
        case .real:
            after == before
                ? 0.0.bitPattern
                : (isLess(after, before, .real) ? Double(bitPattern: after) : Double(bitPattern: after) - Double(bitPattern: before))
                    .bitPattern
        }
    }

    static func add(_ left: UInt64, _ right: UInt64, _ kind: NumberKind) -> UInt64 {
        kind == .real ? (Double(bitPattern: left) + Double(bitPattern: right)).bitPattern : left &+ right
    }

    /// Takes what comes behind: another sample, or the later part of the same bucket.
    mutating func append(_ other: NativeBucket, _ kind: NumberKind) {
        if let own = increase, let more = other.increase {
            let between = NativeBucket.step(from: last, to: other.first, kind)
            increase = NativeBucket.add(NativeBucket.add(own, between, kind), more, kind)
        } else {
            increase = nil
        }
        count += other.count
        sum += other.sum
        realSum += other.realSum
        if NativeBucket.isLess(other.least, least, kind) { least = other.least }
        if NativeBucket.isGreater(other.greatest, greatest, kind) { greatest = other.greatest }
        last = other.last
        lastTime = other.lastTime
    }

    /// Takes another part of the same bucket, from another file.
    mutating func merge(_ other: NativeBucket, _ kind: NumberKind) {
        if lastTime < other.firstTime {
            append(other, kind)
        } else if other.lastTime < firstTime {
            var whole = other
            whole.append(self, kind)
            self = whole
        } else {
            let (earliest, latest) = (firstTime <= other.firstTime ? self : other, lastTime >= other.lastTime ? self : other)
            append(other, kind)
            (first, firstTime, last, lastTime, increase) = (earliest.first, earliest.firstTime, latest.last, latest.lastTime, nil)
        }
    }

    /// The buckets of samples in ascending order of time.
    static func buckets(_ milliseconds: [Int64], _ bits: [UInt64], _ kind: NumberKind, _ resolution: RollupResolution) -> [NativeBucket] {
        var found: [NativeBucket] = []
        for (time, value) in zip(milliseconds, bits) {
            let sample = NativeBucket(start: resolution.start(of: time), time: time, bits: value, kind: kind)
            if let open = found.last, open.start == sample.start {
                found[found.count - 1].append(sample, kind)
            } else {
                found.append(sample)
            }
        }
        return found
    }
}

/// The columns in which a series' buckets are kept: one a statistic.
enum RollupColumns {
    /// Which statistics there are, in the order of the columns.
    static let names = ["count", "first", "last", "least", "greatest", "first_time", "last_time", "increase", "sum", "sum_high"]

    static func layout(of column: Column) -> [Column] {
        names.map { name in
            switch name {
            case "count", "first_time", "last_time": Column(metric: name)
            case "sum": Column(metric: name, kind: column.kind == .real ? .real : .unsigned, scale: column.scale)
            case "sum_high": Column(metric: name, kind: .signed)
            // Whether the series is a counter is told by this column's label, since the layout is all that a reader has.
            case "increase":
                Column(
                    metric: name, labels: LabelSet(isCounter(column.metric) ? [Label("counter", "yes")] : []), kind: column.kind,
                    scale: column.scale)
            default: Column(metric: name, kind: column.kind, scale: column.scale)
            }
        }
    }

    static func isCounter(_ metric: String) -> Bool { metric.hasSuffix("_total") }

    /// The numbers of a bucket, in the order of the columns.
    static func values(_ bucket: NativeBucket, _ kind: NumberKind, isCounter: Bool) -> [UInt64] {
        // As the distance from so many times the first sample, which is small.
        let distance = bucket.sum - Int128(bucket.count) * NativeBucket.integer(bucket.first, kind)
        let low = kind == .real ? bucket.realSum.bitPattern : UInt64(truncatingIfNeeded: distance)
        let high = kind == .real ? 0 : UInt64(truncatingIfNeeded: distance >> 64)
        return [
            bucket.count, bucket.first, bucket.last, bucket.least, bucket.greatest, UInt64(bucket.firstTime - bucket.start),
            UInt64(bucket.lastTime - bucket.start), isCounter ? bucket.increase ?? 0 : 0, low, high,
        ]
    }

    /// The bucket of one row of columns.
    static func bucket(start: Int64, _ row: [UInt64], _ kind: NumberKind, isCounter: Bool) -> NativeBucket {
        var bucket = NativeBucket(start: start, time: start &+ Int64(truncatingIfNeeded: row[5]), bits: row[1], kind: kind)
        bucket.count = row[0]
        (bucket.last, bucket.least, bucket.greatest) = (row[2], row[3], row[4])
        bucket.lastTime = start &+ Int64(truncatingIfNeeded: row[6])
        bucket.increase = isCounter ? row[7] : nil
        if kind == .real {
            bucket.realSum = Double(bitPattern: row[8])
        } else {
            let distance = Int128(Int64(bitPattern: row[9])) << 64 | Int128(row[8])
            bucket.sum = distance &+ Int128(truncatingIfNeeded: row[0]) &* NativeBucket.integer(row[1], kind)
        }
        return bucket
    }
}

extension RollupBucket {
    init(_ native: NativeBucket, _ kind: NumberKind, _ scale: Scale) {
        func shown(_ bits: UInt64) -> Double { scale.apply(toBits: bits, kind: kind) }
        start = Timestamp(milliseconds: native.start)
        count = Int(truncatingIfNeeded: native.count)
        let whole = (kind == .real ? native.realSum : Double(native.sum)) * Double(scale.multiplier)
        sum = whole / (0..<scale.decimals).reduce(1.0) { power, _ in power * 10 }
        minimum = shown(native.least)
        maximum = shown(native.greatest)
        first = shown(native.first)
        last = shown(native.last)
        firstTime = Timestamp(milliseconds: native.firstTime)
        lastTime = Timestamp(milliseconds: native.lastTime)
        increase = native.increase.map(shown)
    }
}
