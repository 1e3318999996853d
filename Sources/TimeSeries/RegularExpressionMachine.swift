/// A compiled pattern and the machine that runs it: all threads advance together, one byte at a time, so that time is
/// bounded by text × program (Thompson's simulation; with groups, Pike's).
struct RegexProgram: Sendable {
    let instructions: [RegexInstruction]
    let start: Int
    let slotCount: Int

    /// The slots of the preferred match of the whole text (−1 where unset), empty when only the answer is wanted; nil without a match.
    func captures(in text: UnsafeBufferPointer<UInt8>, wanted: Bool) -> [Int]? {
        let width = wanted ? slotCount : 0
        var current = RegexThreads(instructions.count, slots: width)
        var following = RegexThreads(instructions.count, slots: width)
        var scratch = [Int](repeating: -1, count: width)
        follow(start, at: 0, text, &scratch, into: &current)
        for position in 0...text.count {
            for index in 0..<current.count {
                let place = current.places[index]
                switch instructions[place] {
                case .match:
                    if position == text.count { return wanted ? current.slots(at: index) : [] }
                case .bytes(let set, let next):
                    guard position < text.count, set.contains(text[position]) else { continue }
                    if wanted { scratch = current.slots(at: index) }
                    follow(next, at: position + 1, text, &scratch, into: &following)
                case .split, .save, .assertion: continue
                }
            }
            if following.count == 0 { return nil }
            swap(&current, &following)
            following.removeAll()
        }
        return nil
    }

    /// Adds all places that are reached from one without reading a byte, the preferred ones first.
    private func follow(
        _ place: Int, at position: Int, _ text: UnsafeBufferPointer<UInt8>, _ slots: inout [Int], into threads: inout RegexThreads
    ) {
        enum Task {
            case visit(Int)
            case restore(slot: Int, value: Int)
        }
        var tasks: [Task] = [.visit(place)]
        while let task = tasks.popLast() {
            switch task {
            case .restore(let slot, let value): slots[slot] = value
            case .visit(let place):
                guard threads.insert(place) else { continue }
                switch instructions[place] {
                case .split(let preferred, let other):
                    tasks.append(.visit(other))
                    tasks.append(.visit(preferred))
                case .save(let slot, let next):
                    if !slots.isEmpty {
                        tasks.append(.restore(slot: slot, value: slots[slot]))
                        slots[slot] = position
                    }
                    tasks.append(.visit(next))
                case .assertion(let assertion, let next):
                    if holds(assertion, at: position, text) { tasks.append(.visit(next)) }
                case .bytes, .match: threads.setSlots(slots)
                }
            }
        }
    }

    private func holds(_ assertion: RegexAssertion, at position: Int, _ text: UnsafeBufferPointer<UInt8>) -> Bool {
        let lineBreak = UInt8(ascii: "\n")
        switch assertion {
        case .beginText: return position == 0
        case .endText: return position == text.count
        case .beginLine: return position == 0 || text[position - 1] == lineBreak
        case .endLine: return position == text.count || text[position] == lineBreak
        case .wordBoundary, .noWordBoundary:
            let before = position > 0 && isWordByte(text[position - 1])
            let after = position < text.count && isWordByte(text[position])
            return (before != after) == (assertion == .wordBoundary)
        }
    }
}

/// The threads of one position in the order of preference, each place at most once.
struct RegexThreads {
    private(set) var places: [Int] = []
    private var marks: [Bool]
    private var slotValues: [Int] = []
    private let width: Int

    init(_ size: Int, slots: Int) {
        marks = [Bool](repeating: false, count: size)
        width = slots
    }

    var count: Int { places.count }

    mutating func insert(_ place: Int) -> Bool {
        if marks[place] { return false }
        marks[place] = true
        places.append(place)
        if width > 0 { slotValues.append(contentsOf: repeatElement(-1, count: width)) }
        return true
    }

    /// The slots of the thread that was inserted last.
    mutating func setSlots(_ slots: [Int]) {
        for index in 0..<width { slotValues[slotValues.count - width + index] = slots[index] }
    }

    func slots(at index: Int) -> [Int] { Array(slotValues[index * width..<(index + 1) * width]) }

    mutating func removeAll() {
        for place in places { marks[place] = false }
        places.removeAll(keepingCapacity: true)
        slotValues.removeAll(keepingCapacity: true)
    }
}

/// A pattern as a table of states and bytes: one look-up a byte.
///
/// Built ahead and bounded; patterns that need more states, or conditions inside the text, have none.
struct RegexTable: Sendable {
    private let classOfByte: [UInt8]
    private let classCount: Int
    private let next: [UInt16]
    private let accepts: [Bool]

    /// Steps that building may take; a bound on compile time, some milliseconds.
    private static let workLimit = 3_000_000

    init?(_ program: RegexProgram) {
        var builder = RegexTableBuilder(program, workLimit: RegexTable.workLimit)
        guard builder.build() else { return nil }
        classOfByte = builder.classOfByte
        classCount = builder.classCount
        next = builder.next
        accepts = builder.accepts
    }

    func matches(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        next.withUnsafeBufferPointer { next in
            classOfByte.withUnsafeBufferPointer { classes in
                var state = 1
                for byte in text {
                    state = Int(next[state * classCount + Int(classes[Int(byte)])])
                    if state == 0 { return false }
                }
                return accepts[state]
            }
        }
    }
}

private struct RegexTableBuilder {
    let program: RegexProgram
    var work: Int
    var classOfByte = [UInt8](repeating: 0, count: 256)
    var classCount = 0
    var next: [UInt16] = []
    var accepts: [Bool] = []
    private var representatives: [UInt8] = []
    private var states: [[Int]: UInt16] = [:]
    private var marks: [Bool]

    init(_ program: RegexProgram, workLimit: Int) {
        self.program = program
        work = workLimit
        marks = [Bool](repeating: false, count: program.instructions.count)
    }

    /// False where the table would be too large or the pattern looks at the text around it.
    mutating func build() -> Bool {
        for case .assertion(let assertion, _) in program.instructions where assertion != .beginText && assertion != .endText {
            return false
        }
        guard classifyBytes() else { return false }
        // State 0 is the dead one.
        next = [UInt16](repeating: 0, count: classCount)
        accepts = [false]
        var pending: [[Int]] = []
        guard state(of: closure([program.start], atStart: true), atStart: true, &pending) != nil else { return false }
        var done = 0
        while done < pending.count {
            let places = pending[done]
            done += 1
            for index in 0..<classCount {
                let byte = representatives[index]
                var targets: [Int] = []
                for place in places {
                    if case .bytes(let set, let target) = program.instructions[place], set.contains(byte) { targets.append(target) }
                }
                work -= places.count
                if work < 0 { return false }
                if targets.isEmpty { continue }
                guard let target = state(of: closure(targets, atStart: false), atStart: false, &pending) else { return false }
                next[done * classCount + index] = target
            }
        }
        return true
    }

    /// Bytes that no instruction tells apart share a class.
    private mutating func classifyBytes() -> Bool {
        var sets: [ByteSet] = []
        var seen: Set<ByteSet> = []
        for case .bytes(let set, _) in program.instructions where seen.insert(set).inserted { sets.append(set) }
        work -= sets.count * 256
        if work < 0 { return false }
        var classes: [[Bool]: UInt8] = [:]
        for byte in UInt8.min...UInt8.max {
            let signature = sets.map { $0.contains(byte) }
            if classes[signature] == nil {
                if representatives.count > Int(UInt8.max) { return false }
                classes[signature] = UInt8(representatives.count)
                representatives.append(byte)
            }
            classOfByte[Int(byte)] = classes[signature] ?? 0
        }
        classCount = representatives.count
        return true
    }

    private mutating func state(of places: [Int], atStart: Bool, _ pending: inout [[Int]]) -> UInt16? {
        // The start state is a state of its own, as conditions hold there that hold nowhere else.
        if !atStart, let known = states[places] { return known }
        guard accepts.count < RegularExpression.Limit.tableStates else { return nil }
        let number = UInt16(accepts.count)
        if !atStart { states[places] = number }
        accepts.append(acceptsAtEnd(places, atStart: atStart))
        next.append(contentsOf: repeatElement(0, count: classCount))
        pending.append(places)
        return number
    }

    /// The places that read a byte, match, or wait for the end, sorted.
    private mutating func closure(_ starts: [Int], atStart: Bool, atEnd: Bool = false) -> [Int] {
        var stack = starts
        var visited: [Int] = []
        var result: [Int] = []
        while let place = stack.popLast() {
            if marks[place] { continue }
            marks[place] = true
            visited.append(place)
            switch program.instructions[place] {
            case .split(let preferred, let other): stack += [preferred, other]
            case .save(_, let target): stack.append(target)
            case .assertion(.beginText, let target): if atStart { stack.append(target) }
            case .assertion(.endText, let target): if atEnd { stack.append(target) } else { result.append(place) }
            case .assertion: break
            case .bytes, .match: result.append(place)
            }
        }
        for place in visited { marks[place] = false }
        work -= visited.count
        return result.sorted()
    }

    private mutating func acceptsAtEnd(_ places: [Int], atStart: Bool) -> Bool {
        closure(places, atStart: atStart, atEnd: true).contains { program.instructions[$0] == .match }
    }
}
