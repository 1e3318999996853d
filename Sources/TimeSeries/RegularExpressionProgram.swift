/// A set of bytes.
struct ByteSet: Hashable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    init() {}

    init(_ range: ClosedRange<UInt8>) { insert(range) }

    mutating func insert(_ range: ClosedRange<UInt8>) {
        for byte in range {
            let bit = UInt64(1) << UInt64(byte & 63)
            switch byte >> 6 {
            case 0: words.0 |= bit
            case 1: words.1 |= bit
            case 2: words.2 |= bit
            default: words.3 |= bit
            }
        }
    }

    func contains(_ byte: UInt8) -> Bool {
        let word =
            switch byte >> 6 {
            case 0: words.0
            case 1: words.1
            case 2: words.2
            default: words.3
            }
        return word >> UInt64(byte & 63) & 1 == 1
    }

    static func == (left: ByteSet, right: ByteSet) -> Bool { left.words == right.words }

    func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
        hasher.combine(words.2)
        hasher.combine(words.3)
    }
}

/// One step of a compiled pattern; targets are places in the program.
enum RegexInstruction: Hashable {
    case bytes(ByteSet, next: Int)
    case split(preferred: Int, other: Int)
    case save(slot: Int, next: Int)
    case assertion(RegexAssertion, next: Int)
    case match
}

/// Turns a tree into a program, from its end to its start, so that every target is known when it is needed.
struct RegexCompiler {
    private var instructions: [RegexInstruction] = [.match]
    /// Tails of multi-byte characters that were already written: `.` and classes share them.
    private var tails: [RegexInstruction: Int] = [:]

    static func compile(_ tree: RegexNode, groups: Int) throws(RegularExpressionError) -> RegexProgram {
        var compiler = RegexCompiler()
        let start = try compiler.emit(.group(tree, index: 0), next: 0)
        return RegexProgram(instructions: compiler.instructions, start: start, slotCount: 2 * (groups + 1))
    }

    private mutating func add(_ instruction: RegexInstruction) throws(RegularExpressionError) -> Int {
        if instructions.count >= RegularExpression.Limit.instructions {
            throw RegularExpressionError(.large, "more than \(RegularExpression.Limit.instructions) instructions")
        }
        instructions.append(instruction)
        return instructions.count - 1
    }

    private mutating func emit(_ node: RegexNode, next: Int) throws(RegularExpressionError) -> Int {
        switch node {
        case .empty: return next
        case .scalars(let set): return try emit(set, next: next)
        case .assertion(let assertion): return try add(.assertion(assertion, next: next))
        case .group(let inner, let index):
            let end = try add(.save(slot: 2 * index + 1, next: next))
            return try add(.save(slot: 2 * index, next: try emit(inner, next: end)))
        case .concatenation(let items):
            var target = next
            for item in items.reversed() { target = try emit(item, next: target) }
            return target
        case .alternation(let items):
            var entry: Int?
            for item in items.reversed() {
                let branch = try emit(item, next: next)
                entry =
                    try entry.map { (other) throws(RegularExpressionError) in try add(.split(preferred: branch, other: other)) } ?? branch
            }
            return entry ?? next
        case .repetition(let inner, let minimum, let maximum, let greedy):
            return try emitRepetition(inner, minimum: minimum, maximum: maximum, greedy: greedy, next: next)
        }
    }

    private mutating func emitRepetition(
        _ inner: RegexNode, minimum: Int, maximum: Int?, greedy: Bool, next: Int
    ) throws(RegularExpressionError) -> Int {
        var target = next
        if let maximum {
            // x{0,2} is (x(x)?)?: each further copy may be reached only through the one before it.
            for _ in minimum..<max(minimum, maximum) {
                let body = try emit(inner, next: target)
                target = try add(greedy ? .split(preferred: body, other: next) : .split(preferred: next, other: body))
            }
        } else {
            let loop = try add(.match)
            let body = try emit(inner, next: loop)
            instructions[loop] = greedy ? .split(preferred: body, other: next) : .split(preferred: next, other: body)
            target = loop
            // x+ is x followed by x*; an inner that can be empty is handled by the visited set of the machines.
        }
        for _ in 0..<minimum { target = try emit(inner, next: target) }
        return target
    }

    private mutating func emit(_ set: ScalarSet, next: Int) throws(RegularExpressionError) -> Int {
        var single: ByteSet?
        var starts: [Int] = []
        for range in set.ranges {
            for sequence in UTF8Sequences.sequences(of: range) {
                if sequence.count == 1 {
                    if single == nil { single = ByteSet(sequence[0]) } else { single?.insert(sequence[0]) }
                    continue
                }
                var target = next
                for part in sequence.reversed() {
                    let instruction = RegexInstruction.bytes(ByteSet(part), next: target)
                    if let known = tails[instruction] {
                        target = known
                    } else {
                        target = try add(instruction)
                        tails[instruction] = target
                    }
                }
                starts.append(target)
            }
        }
        var entry: Int?
        if let single { starts.insert(try add(.bytes(single, next: next)), at: 0) }
        for start in starts.reversed() {
            entry = try entry.map { (other) throws(RegularExpressionError) in try add(.split(preferred: start, other: other)) } ?? start
        }
        // A class without members, such as [^\x00-\x{10FFFF}], matches nothing.
        if let entry { return entry }
        return try add(.bytes(ByteSet(), next: next))
    }
}

/// Ranges of scalars as sequences of byte ranges in UTF-8.
enum UTF8Sequences {
    static func sequences(of range: ClosedRange<UInt32>) -> [[ClosedRange<UInt8>]] {
        var result: [[ClosedRange<UInt8>]] = []
        split(range.lowerBound, range.upperBound, into: &result)
        return result
    }

    private static func split(_ low: UInt32, _ high: UInt32, into result: inout [[ClosedRange<UInt8>]]) {
        guard low <= high else { return }
        // Surrogates have no encoding.
        if low <= 0xDFFF, high >= 0xD800 {
            if low < 0xD800 { split(low, 0xD7FF, into: &result) }
            if high > 0xDFFF { split(0xE000, high, into: &result) }
            return
        }
        for last: UInt32 in [0x7F, 0x7FF, 0xFFFF] where low <= last && last < high {
            split(low, last, into: &result)
            split(last + 1, high, into: &result)
            return
        }
        if high <= 0x7F {
            result.append([UInt8(low)...UInt8(high)])
            return
        }
        // Cut until all continuation bytes below the first differing one run over their full range.
        for position: UInt32 in 1...3 {
            let mask = (UInt32(1) << (6 * position)) - 1
            guard low & ~mask != high & ~mask else { break }
            if low & mask != 0 {
                split(low, low | mask, into: &result)
                split((low | mask) + 1, high, into: &result)
                return
            }
            if high & mask != mask {
                split(low, (high & ~mask) - 1, into: &result)
                split(high & ~mask, high, into: &result)
                return
            }
        }
        result.append(zip(encode(low), encode(high)).map { $0...$1 })
    }

    private static func encode(_ value: UInt32) -> [UInt8] {
        func tail(_ shift: UInt32) -> UInt8 { UInt8(0x80 | (value >> shift & 0x3F)) }
        return value <= 0x7F
            ? [UInt8(value)]
            : value <= 0x7FF
                ? [UInt8(0xC0 | value >> 6), tail(0)]
                : value <= 0xFFFF
                    ? [UInt8(0xE0 | value >> 12), tail(6), tail(0)] : [UInt8(0xF0 | value >> 18), tail(12), tail(6), tail(0)]
    }
}
