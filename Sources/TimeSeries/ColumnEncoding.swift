import Glibc

/// One column's small numbers, ready for its family's frame.
struct EncodedColumn {
    var header = ColumnHeader()
    var tokens: [UInt8] = []
    var bits: [UInt8] = []
}

/// Encodes the columns of one source over one window: finds for each the smallest of the ways in `ColumnMode`.
struct SourceEncoder {
    private let ticks: Int
    private let columnCount: Int
    private let block: TickBlock
    /// For columns with a number at each tick that change: differences, and their common divisor.
    private var deltas: [[Int64]]
    private var divisors: [UInt64]
    private var normalized: [[Int64]]
    private var depths: [Int]
    private var histogram = [UInt32](repeating: 0, count: 256)

    init(_ block: TickBlock) {
        self.block = block
        ticks = block.times.count
        columnCount = block.columnCount
        deltas = Array(repeating: [], count: columnCount)
        normalized = deltas
        divisors = Array(repeating: 1, count: columnCount)
        depths = Array(repeating: 0, count: columnCount)
    }

    /// The columns in their order.
    ///
    /// `kinds` says how each one's bits are read.
    mutating func encode(kinds: [NumberKind]) -> [EncodedColumn] {
        var columns: [EncodedColumn] = []
        var residuals: [[UInt64]] = []
        var costs: [Double] = []
        for column in 0..<columnCount {
            let (header, small, cost) = encodeAlone(column, kind: kinds[column])
            columns.append(EncodedColumn(header: header))
            residuals.append(small)
            costs.append(cost)
        }
        let sums = encodeSums(&columns, &residuals, costs)
        for column in 0..<columnCount where !normalized[column].isEmpty && !sums[column] {
            encodeClock(column, &columns, &residuals, costs: &costs)
            encodeReference(column, &columns, &residuals, costs: &costs, sums: sums)
        }
        for column in 0..<columnCount { finish(&columns[column], residuals[column]) }
        return columns
    }

    // MARK: One column by itself

    private mutating func encodeAlone(_ column: Int, kind: NumberKind) -> (ColumnHeader, [UInt64], Double) {
        var header = ColumnHeader()
        header.wasPresent = block.wasPresent[column]
        var values = block.presentValues(column)
        header.runs = block.runs(column)
        header.count = values.count
        guard let first = values.first else { return (header, [], 0) }
        header.first = first
        guard values.contains(where: { $0 != first }) else { return (header, [], 0) }
        if kind == .real {
            guard let places = decimalPlaces(values) else { return encodeExclusiveOr(values, header) }
            header.decimals = places
            values = values.map { UInt64(bitPattern: Int64((Double(bitPattern: $0) * exactPowersOfTen[places]).rounded())) }
            header.first = values[0]
        }
        let differences = zip(values.dropFirst(), values).map { Int64(bitPattern: $0 &- $1) }
        let divisor = commonDivisor(differences)
        let scaled = divisor == 1 ? differences : differences.map { $0 / Int64(divisor) }
        if header.runs.isEmpty {
            deltas[column] = differences
            divisors[column] = divisor
            normalized[column] = scaled
        }
        return bestAlone(header, values: values, scaled: scaled, divisor: divisor)
    }

    private mutating func bestAlone(
        _ header: ColumnHeader, values: [UInt64], scaled: [Int64], divisor: UInt64
    ) -> (ColumnHeader, [UInt64], Double) {
        var best = (header, [UInt64](), Double.infinity)
        func consider(_ small: [UInt64], _ histogram: inout [UInt32], _ adjust: (inout ColumnHeader) -> Void) {
            let cost = cost(of: small, &histogram)
            guard cost < best.2 else { return }
            var candidate = header
            candidate.divisor = divisor
            adjust(&candidate)
            best = (candidate, small, cost)
        }
        let least = scaled.min() ?? 0
        let middle = median(scaled)
        consider(scaled.map { UInt64(bitPattern: $0 &- least) }, &histogram) { header in
            header.mode = .delta
            header.base = least
        }
        consider(scaled.map { zigzag($0 &- middle) }, &histogram) { header in
            header.mode = .delta
            header.base = middle
            header.isZigzag = true
        }
        if scaled.count >= 2, least != scaled.max() {
            consider(zip(scaled.dropFirst(), scaled).map { zigzag($0 &- $1) }, &histogram) { header in
                header.mode = .deltaOfDelta
                header.base = scaled[0]
                header.isZigzag = true
            }
        }
        if least < 0 {
            let centre = UInt64(bitPattern: median(values.map { Int64(bitPattern: $0) }))
            let distances = values.map { Int64(bitPattern: $0 &- centre) }
            let common = commonDivisor(distances)
            consider(distances.map { zigzag($0 / Int64(common)) }, &histogram) { header in
                header.mode = .offset
                header.first = centre
                header.divisor = common
                header.isZigzag = true
            }
        }
        return best
    }

    private mutating func encodeExclusiveOr(_ values: [UInt64], _ header: ColumnHeader) -> (ColumnHeader, [UInt64], Double) {
        var header = header
        let differences = zip(values.dropFirst(), values).map { $0 ^ $1 }
        let shift = differences.reduce(0, |).trailingZeroBitCount
        header.mode = .exclusiveOr
        header.shift = UInt8(shift)
        let small = differences.map { $0 >> UInt64(shift) }
        return (header, small, cost(of: small, &histogram))
    }

    // MARK: Columns that follow others

    /// Marks columns that are the sum or difference of two others; returns which.
    private mutating func encodeSums(_ columns: inout [EncodedColumn], _ residuals: inout [[UInt64]], _ costs: [Double]) -> [Bool] {
        var isSum = Array(repeating: false, count: columnCount)
        var isTerm = isSum
        let moving = (0..<columnCount).filter { !normalized[$0].isEmpty && ticks >= 16 && columns[$0].header.decimals == nil }
        // The dearest first: it saves most when it is the one that is left out.
        for column in moving.sorted(by: { (costs[$0], $1) > (costs[$1], $0) }) where !isTerm[column] && costs[column] > 64 {
            guard let (left, right, isDifference) = terms(of: column, among: moving.filter { !isSum[$0] && $0 != column }) else { continue }
            var difference: [Int64] = []
            difference.reserveCapacity(ticks)
            for index in 0..<ticks - 1 {
                let other = isDifference ? deltas[left][index] &- deltas[right][index] : deltas[left][index] &+ deltas[right][index]
                difference.append(deltas[column][index] &- other)
            }
            let middle = median(difference)
            let centred = difference.map { $0 &- middle }
            let divisor = commonDivisor(centred)
            guard middle % Int64(divisor) == 0 else { continue }
            let small = centred.map { zigzag($0 / Int64(divisor)) }
            guard cost(of: small, &histogram) < costs[column] * 0.8 else { continue }
            columns[column].header.mode = .sum
            columns[column].header.isZigzag = true
            columns[column].header.divisor = divisor
            columns[column].header.base = middle / Int64(divisor)
            columns[column].header.left = left
            columns[column].header.right = right
            columns[column].header.isDifference = isDifference
            columns[column].header.first = block.values[column * ticks]
            residuals[column] = small
            isSum[column] = true
            isTerm[left] = true
            isTerm[right] = true
        }
        return isSum
    }

    /// Two columns whose differences add up (or subtract) to this one's at nearly all of a few probed ticks.
    private func terms(of column: Int, among candidates: [Int]) -> (Int, Int, Bool)? {
        let probes = (0..<8).map { ($0 * 2 + 1) * (ticks - 1) / 16 }
        let wanted = deltas[column]
        guard probes.contains(where: { wanted[$0] != 0 }) else { return nil }
        for (position, left) in candidates.enumerated() {
            for right in candidates[(position + 1)...] {
                var sum = 0
                var forward = 0
                var backward = 0
                for (tried, probe) in probes.enumerated() {
                    let a = deltas[left][probe]
                    let b = deltas[right][probe]
                    if a &+ b == wanted[probe] { sum += 1 }
                    if a &- b == wanted[probe] { forward += 1 }
                    if b &- a == wanted[probe] { backward += 1 }
                    if max(sum, forward, backward) + 1 < tried { break }
                }
                let isZero = probes.allSatisfy { deltas[left][$0] == 0 || deltas[right][$0] == 0 }
                if isZero { continue }
                if sum >= 6 { return (left, right, false) }
                if forward >= 6 { return (left, right, true) }
                if backward >= 6 { return (right, left, true) }
            }
        }
        return nil
    }

    private mutating func encodeReference(
        _ column: Int, _ columns: inout [EncodedColumn], _ residuals: inout [[UInt64]], costs: inout [Double], sums: [Bool]
    ) {
        // Header bytes that a reference adds over a difference.
        let extraCost = 24.0
        for other in 0..<column where !normalized[other].isEmpty && !sums[other] && depths[other] < ColumnHeader.deepestReference - 2 {
            let followed = normalized[other]
            let own = normalized[column]
            let isOpposed = moveOppositely(own, followed)
            var small: [UInt64] = []
            small.reserveCapacity(own.count)
            if isOpposed {
                for index in own.indices { small.append(zigzag(own[index] &+ followed[index])) }
            } else {
                for index in own.indices { small.append(zigzag(own[index] &- followed[index])) }
            }
            let cost = cost(of: small, &histogram) + extraCost
            guard cost < costs[column] else { continue }
            columns[column].header.isDifference = isOpposed
            costs[column] = cost
            residuals[column] = small
            depths[column] = depths[other] + 1
            columns[column].header.mode = .reference
            columns[column].header.isZigzag = true
            columns[column].header.left = other
            columns[column].header.leftDivisor = divisors[other]
            columns[column].header.divisor = divisors[column]
            columns[column].header.first = firstValue(column, columns[column].header)
        }
    }

    /// A column that tells the time: its differences are those of the ticks, or nearly.
    private mutating func encodeClock(
        _ column: Int, _ columns: inout [EncodedColumn], _ residuals: inout [[UInt64]], costs: inout [Double]
    ) {
        guard columns[column].header.decimals == nil, costs[column] > 64 else { return }
        let own = deltas[column]
        let offsets = own.indices.map { own[$0] &- (block.times[$0 + 1] &- block.times[$0]) }
        let middle = median(offsets)
        let centred = offsets.map { $0 &- middle }
        let divisor = commonDivisor(centred)
        guard middle % Int64(divisor) == 0 else { return }
        let small = centred.map { zigzag($0 / Int64(divisor)) }
        let cost = cost(of: small, &histogram)
        guard cost < costs[column] else { return }
        costs[column] = cost
        residuals[column] = small
        columns[column].header.mode = .clock
        columns[column].header.isZigzag = true
        columns[column].header.divisor = divisor
        columns[column].header.base = middle / Int64(divisor)
        columns[column].header.first = block.values[column * ticks]
    }

    /// The number that differences start from; `offset` keeps another one in its place.
    private func firstValue(_ column: Int, _ header: ColumnHeader) -> UInt64 {
        let bits = block.values[column * ticks]
        guard let places = header.decimals else { return bits }
        return UInt64(bitPattern: Int64((Double(bitPattern: bits) * exactPowersOfTen[places]).rounded()))
    }

    // MARK: Tools

    private func finish(_ column: inout EncodedColumn, _ small: [UInt64]) {
        guard column.header.mode != .constant else { return }
        guard small.contains(where: { $0 != 0 }) else {
            column.header.isExact = true
            return
        }
        var bits = BitWriter()
        let shift = UInt8(ValueToken.token(of: small.sorted()[small.count / 2]))
        column.header.tokenShift = shift
        column.tokens.reserveCapacity(small.count)
        for value in small {
            let token = ValueToken.token(of: value)
            column.tokens.append(UInt8(token) &- shift)
            bits.append(value, count: ValueToken.extraBits(token))
        }
        bits.alignToByte()
        column.bits = bits.bytes
        column.header.bitBytes = bits.bytes.count
    }
}

/// What the numbers cost in bits: the entropy of their tokens and the bits beside them.
private func cost(of small: [UInt64], _ histogram: inout [UInt32]) -> Double {
    for index in histogram.indices { histogram[index] = 0 }
    for value in small { histogram[ValueToken.token(of: value)] += 1 }
    var bits = 0.0
    let total = Double(small.count)
    for (token, count) in histogram.enumerated() where count > 0 {
        let share = Double(count)
        bits += share * (log2(total / share) + Double(ValueToken.extraBits(token)))
    }
    return bits
}

/// The greatest number that divides all; 1 where there is none, or none that fits a signed number.
private func commonDivisor(_ numbers: [Int64]) -> UInt64 {
    var divisor: UInt64 = 0
    for number in numbers {
        var (larger, smaller) = (divisor, number.magnitude)
        if larger == smaller { continue }
        while smaller != 0 { (larger, smaller) = (smaller, larger % smaller) }
        divisor = larger
        if divisor == 1 { return 1 }
    }
    return divisor == 0 || divisor > UInt64(Int64.max) ? 1 : divisor
}

/// Whether most of a few probed differences have opposite signs: what is used against what is free.
private func moveOppositely(_ left: [Int64], _ right: [Int64]) -> Bool {
    var balance = 0
    for index in stride(from: 0, to: left.count, by: max(1, left.count / 32)) {
        balance += Int(left[index].signum() * right[index].signum())
    }
    return balance < 0
}

private func median(_ numbers: [Int64]) -> Int64 {
    // A sample of 64 is near enough, and sorting it costs nothing.
    let step = max(1, numbers.count / 64)
    let sample = stride(from: 0, to: numbers.count, by: step).map { numbers[$0] }.sorted()
    return sample.isEmpty ? 0 : sample[sample.count / 2]
}

/// How many decimal places hold every one of these doubles exactly, at most 9; nil where that is not enough.
private func decimalPlaces(_ values: [UInt64]) -> Int? {
    (0...9).first { places in
        values.allSatisfy { bits in
            let number = Double(bitPattern: bits)
            let integer = (number * exactPowersOfTen[places]).rounded()
            return abs(integer) <= 0x1p53 && (Double(Int64(integer)) / exactPowersOfTen[places]).bitPattern == bits
        }
    }
}
