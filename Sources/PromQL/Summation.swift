/// Neumaier's compensated sum, in the form in which Prometheus uses it: an infinite sum forgets the compensation.
struct CompensatedSum {
    var sum: Double
    var compensation: Double

    @inline(__always)
    init(_ sum: Double = 0, _ compensation: Double = 0) {
        self.sum = sum
        self.compensation = compensation
    }

    @inline(__always)
    mutating func add(_ value: Double) {
        let total = sum + value
        if total.isInfinite {
            compensation = 0
        } else if sum.magnitude >= value.magnitude {
            compensation += (sum - total) + value
        } else {
            compensation += (value - total) + sum
        }
        sum = total
    }

    @inline(__always)
    var total: Double { sum + compensation }
}

/// Prometheus' mean: sum by count as long as the sum is finite, from then on a running mean.
struct CompensatedMean {
    private var running: CompensatedSum
    private var count = 1.0
    private var isIncremental = false

    @inline(__always)
    init(_ first: Double) { running = CompensatedSum(first) }

    @inline(__always)
    mutating func add(_ value: Double) {
        count += 1
        if !isIncremental {
            var next = running
            next.add(value)
            if !next.sum.isInfinite {
                running = next
                return
            }
            isIncremental = true
            running = CompensatedSum(running.sum / (count - 1), running.compensation / (count - 1))
        }
        let share = (count - 1) / count
        running = CompensatedSum(share * running.sum, share * running.compensation)
        running.add(value / count)
    }

    @inline(__always)
    var mean: Double {
        isIncremental ? running.total : running.sum / count + running.compensation / count
    }
}

/// The quantile of numbers, NaN counted as the smallest; the numbers are sorted in place.
///
/// NaN for no numbers or a NaN quantile, ∓infinity for a quantile below 0 or above 1.
func quantile(_ q: Double, _ values: inout [Double]) -> Double {
    if values.isEmpty || q.isNaN { return .nan }
    if q < 0 { return -.infinity }
    if q > 1 { return .infinity }
    values.sort { left, right in left.isNaN ? !right.isNaN : left < right }
    let rank = q * Double(values.count - 1)
    let lower = max(0, rank.rounded(.down))
    let upper = min(Double(values.count - 1), lower + 1)
    let weight = rank - rank.rounded(.down)
    return values[Int(lower)] * (1 - weight) + values[Int(upper)] * weight
}
