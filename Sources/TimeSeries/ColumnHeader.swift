/// How the numbers of one column in one segment are turned into small ones.
enum ColumnMode: UInt8 {
    /// All equal.
    case constant = 0
    /// Differences of neighbours, over their common divisor.
    case delta = 1
    /// Differences of those differences.
    case deltaOfDelta = 2
    /// Distance from one number, over the common divisor.
    case offset = 3
    /// Exclusive-or of neighbours, without the zero bits that all share: doubles that are no decimals.
    case exclusiveOr = 4
    /// Differences that follow those of another column, each over its own divisor: bytes and requests, usable and unused.
    case reference = 5
    /// Differences that are the sum or the difference of two other columns': CPU time, user and system.
    case sum = 6
    /// Differences that follow those of the ticks' own times: a reading's age, a daemon's clock.
    case clock = 7
}

/// Everything about a column in a segment except its tokens and bits.
struct ColumnHeader {
    /// How far a column may lean on others that lean on others.
    static let deepestReference = 4

    var mode = ColumnMode.constant
    /// Whether small numbers carry their sign in the lowest bit.
    var isZigzag = false
    /// Whether the column had a number at the tick before the first.
    var wasPresent = false
    /// For doubles that are decimals: how many places; the numbers are then integers.
    var decimals: Int?
    /// Lengths of alternating stretches of ticks with and without a number, the first with; empty where all have one.
    var runs: [UInt32] = []
    /// How many ticks have a number.
    var count = 0
    var first: UInt64 = 0
    var divisor: UInt64 = 1
    var base: Int64 = 0
    var shift: UInt8 = 0
    /// The columns of the same source that `reference` and `sum` lean on, and the divisor of the first.
    var left = 0
    var right = 0
    var isDifference = false
    var leftDivisor: UInt64 = 1
    /// Whether every small number is 0, so that none is stored.
    var isExact = false
    var bitBytes = 0
    /// What is taken from each token, so that busy and idle guests' tokens look alike to the compressor: their middle one.
    var tokenShift: UInt8 = 0

    // Where the small numbers are, known after reading the directory.
    var family = 0
    var tokenOffset = 0
    var bitOffset = 0

    /// How many small numbers the column has.
    var residuals: Int {
        switch mode {
        case .constant: 0
        case .offset: count
        case .deltaOfDelta: max(0, count - 2)
        default: max(0, count - 1)
        }
    }

    /// How many tokens are stored.
    var tokens: Int { isExact ? 0 : residuals }

    func write(to writer: inout ByteWriter) {
        var flags = mode.rawValue
        if isZigzag { flags |= 8 }
        if !runs.isEmpty { flags |= 16 }
        if decimals != nil { flags |= 32 }
        if isExact { flags |= 64 }
        if wasPresent { flags |= 128 }
        writer.byte(flags)
        if let decimals { writer.byte(UInt8(decimals)) }
        for run in runs { writer.varint(UInt64(run)) }
        guard count > 0 else { return }
        writer.signed(Int64(bitPattern: first))
        switch mode {
        case .constant: return
        case .delta, .deltaOfDelta, .clock:
            writer.varint(divisor)
            writer.signed(base)
        case .offset: writer.varint(divisor)
        case .exclusiveOr: writer.byte(shift)
        case .reference:
            writer.varint(divisor)
            writer.varint(leftDivisor)
            writer.varint(left)
            writer.byte(isDifference ? 1 : 0)
        case .sum:
            writer.varint(divisor)
            writer.signed(base)
            writer.varint(left)
            writer.varint(right)
            writer.byte(isDifference ? 1 : 0)
        }
        guard !isExact else { return }
        writer.varint(bitBytes)
        writer.byte(tokenShift)
    }

    /// Reads a header of a column among `columns` with `ticks` ticks.
    init(from reader: inout ByteReader, ticks: Int, columns: Int) throws(DamagedData) {
        let flags = try reader.byte()
        guard let mode = ColumnMode(rawValue: flags & 7) else { throw DamagedData("a column of an unknown encoding") }
        self.mode = mode
        isZigzag = flags & 8 != 0
        isExact = flags & 64 != 0
        wasPresent = flags & 128 != 0
        if flags & 32 != 0 {
            let places = try reader.byte()
            guard places <= 15 else { throw DamagedData("a column of \(places) decimals") }
            decimals = Int(places)
        }
        count = ticks
        if flags & 16 != 0 { try readRuns(from: &reader, ticks: ticks) }
        guard count > 0 else {
            guard mode == .constant else { throw DamagedData("an empty column that is not constant") }
            return
        }
        first = UInt64(bitPattern: try reader.signed())
        switch mode {
        case .constant: return
        case .delta, .deltaOfDelta, .clock:
            divisor = try reader.varint()
            base = try reader.signed()
        case .offset: divisor = try reader.varint()
        case .exclusiveOr:
            shift = try reader.byte()
            guard shift < 64 else { throw DamagedData("a shift of \(shift) bits") }
        case .reference:
            divisor = try reader.varint()
            leftDivisor = try reader.varint()
            guard leftDivisor > 0 else { throw DamagedData("a divisor of 0") }
            left = try reader.count(atMost: columns - 1, "as a column's number")
            isDifference = try reader.byte() == 1
        case .sum:
            divisor = try reader.varint()
            base = try reader.signed()
            left = try reader.count(atMost: columns - 1, "as a column's number")
            right = try reader.count(atMost: columns - 1, "as a column's number")
            isDifference = try reader.byte() == 1
        }
        guard !isExact else { return }
        bitBytes = try reader.count(atMost: residuals * 8, "bytes of one column's bits")
        tokenShift = try reader.byte()
    }

    init() {}

    private mutating func readRuns(from reader: inout ByteReader, ticks: Int) throws(DamagedData) {
        var covered = 0
        count = 0
        while covered < ticks {
            let run = try reader.count(atMost: ticks - covered, "ticks in one stretch")
            guard run > 0 || runs.isEmpty else { throw DamagedData("an empty stretch of ticks") }
            if runs.count % 2 == 0 { count += run }
            runs.append(UInt32(run))
            covered += run
        }
    }
}
