import TimeSeries

/// One command of a script.
enum ScriptCommand {
    case clear
    case load(stepMilliseconds: Int64, series: [SeriesNotation], alsoNative: Bool)
    case evaluate(ScriptEvaluation)
}

/// One query and what it must yield.
struct ScriptEvaluation {
    var line: Int
    var query: String
    /// First, last and step in milliseconds; an instant query has one instant and no step.
    var start: Int64
    var end: Int64
    var step: Int64?
    var expected: [SeriesNotation] = []
    var expectedNumber: NotedValue?
    var expectedString: String?
    /// The times of an expected range vector.
    var rangeStart: Int64?
    var rangeStep: Int64?
    var isOrdered = false
    var expectations: [Expectation] = []

    /// What is said about failures, warnings and notes.
    enum Expectation {
        case failure(MessageCheck)
        case warning(MessageCheck)
        case noWarning
        case info(MessageCheck)
        case noInfo
    }

    /// How a message is compared.
    enum MessageCheck {
        case any
        case equal(String)
        case matches(String)

        func holds(_ message: String) -> Bool {
            switch self {
            case .any: true
            case .equal(let text): message == text
            case .matches(let pattern): (try? Regex(pattern).firstMatch(in: message)) != nil
            }
        }
    }

    var expectsNative: Bool { expected.contains { $0.values.contains(.native) } || expectedNumber == .native }
}

/// A line that no script may hold.
struct ScriptError: Error, CustomStringConvertible {
    let line: Int
    let message: String
    var description: String { "line \(line): \(message)" }
}

/// Reads Prometheus' format of scripted tests.
struct ScriptReader {
    private let lines: [Substring]
    private var next = 0

    init(_ text: String) {
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { $0.hasSuffix("\r") ? $0.dropLast() : $0 }
    }

    mutating func commands() throws -> [(line: Int, command: ScriptCommand)] {
        var result: [(Int, ScriptCommand)] = []
        while let (number, line) = nextLine() {
            let trimmed = ScriptReader.trim(line)
            if trimmed.isEmpty { continue }
            do {
                result.append((number, try command(trimmed, number)))
            } catch let error as NotationError {
                throw ScriptError(line: next, message: error.message)
            }
        }
        return result
    }

    private static func trim(_ line: Substring) -> String {
        var part = line
        while let first = part.first, first == " " || first == "\t" { part.removeFirst() }
        while let last = part.last, last == " " || last == "\t" { part.removeLast() }
        return part.hasPrefix("#") ? "" : String(part)
    }

    private mutating func nextLine() -> (Int, Substring)? {
        guard next < lines.count else { return nil }
        next += 1
        return (next, lines[next - 1])
    }

    /// The indented lines that follow; an empty line ends them.
    private mutating func block() -> [String] {
        var result: [String] = []
        while next < lines.count, !lines[next].allSatisfy({ $0 == " " || $0 == "\t" }) {
            let trimmed = ScriptReader.trim(lines[next])
            next += 1
            if !trimmed.isEmpty { result.append(trimmed) }
        }
        return result
    }

    private mutating func command(_ text: String, _ line: Int) throws -> ScriptCommand {
        if text == "clear" { return .clear }
        if let match = text.wholeMatch(of: #/load(_with_nhcb)?\s+(\S+)/#) {
            let step = try ScriptReader.milliseconds(match.2)
            return .load(stepMilliseconds: step, series: try block().map { try SeriesNotation($0) }, alsoNative: match.1 != nil)
        }
        if let match = text.wholeMatch(of: #/eval(_fail|_warn|_info|_ordered)?\s+instant\s+(?:at\s+(\S+)\s+)?(\S.*)/#) {
            let time = try ScriptReader.milliseconds(match.2 ?? "0")
            var evaluation = ScriptEvaluation(line: line, query: String(match.3), start: time, end: time, step: nil)
            legacy(match.1, &evaluation)
            return .evaluate(try fill(evaluation))
        }
        let range = #/eval(_fail|_warn|_info)?\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(\S.*)/#
        if let match = text.wholeMatch(of: range) {
            var evaluation = ScriptEvaluation(
                line: line, query: String(match.5), start: try ScriptReader.milliseconds(match.2),
                end: try ScriptReader.milliseconds(match.3), step: try ScriptReader.milliseconds(match.4))
            legacy(match.1, &evaluation)
            return .evaluate(try fill(evaluation))
        }
        throw ScriptError(line: line, message: "unknown command: \(text)")
    }

    private func legacy(_ suffix: Substring?, _ evaluation: inout ScriptEvaluation) {
        switch suffix {
        case "_fail": evaluation.expectations.append(.failure(.any))
        case "_warn": evaluation.expectations.append(.warning(.any))
        case "_info": evaluation.expectations.append(.info(.any))
        case "_ordered": evaluation.isOrdered = true
        default: return
        }
    }

    /// Reads what an evaluation must yield.
    private mutating func fill(_ start: ScriptEvaluation) throws -> ScriptEvaluation {
        var evaluation = start
        for line in block() {
            if let match = line.wholeMatch(of: #/expect\s+(fail|warn|info|no_warn|no_info|ordered)(?:\s+(msg|regex):\s*(.*))?/#) {
                let check: ScriptEvaluation.MessageCheck =
                    match.2 == "msg" ? .equal(String(match.3 ?? "")) : match.2 == "regex" ? .matches(String(match.3 ?? "")) : .any
                switch match.1 {
                case "fail": evaluation.expectations.append(.failure(check))
                case "warn": evaluation.expectations.append(.warning(check))
                case "info": evaluation.expectations.append(.info(check))
                case "no_warn": evaluation.expectations.append(.noWarning)
                case "no_info": evaluation.expectations.append(.noInfo)
                default: evaluation.isOrdered = true
                }
            } else if let match = line.wholeMatch(of: #/expect\s+string\s+(.*)/#) {
                evaluation.expectedString = try ScriptReader.text(String(match.1))
            } else if let match = line.wholeMatch(of: #/expect\s+range\s+vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)/#) {
                evaluation.rangeStart = try ScriptReader.milliseconds(match.1)
                evaluation.rangeStep = try ScriptReader.milliseconds(match.3)
            } else if let match = line.wholeMatch(of: #/expected_fail_message\s+(.*)/#) {
                evaluation.expectations.append(.failure(.equal(String(match.1))))
            } else if let match = line.wholeMatch(of: #/expected_fail_regexp\s+(.*)/#) {
                evaluation.expectations.append(.failure(.matches(String(match.1))))
            } else if let values = try? SeriesNotation.values(line), values.count == 1, !line.hasPrefix("{") {
                evaluation.expectedNumber = values[0]
            } else {
                evaluation.expected.append(try SeriesNotation(line))
            }
        }
        return evaluation
    }

    private static func text(_ literal: String) throws -> String {
        let wrapped = "x{a=\(literal)}"
        return try SeriesNotation(wrapped).labels["a"] ?? ""
    }

    /// `1h30m`, `5m`, `10s`, `250ms`, or plain seconds; a sign may stand before.
    static func milliseconds(_ text: Substring) throws -> Int64 {
        if let seconds = Double(text) { return Int64((seconds * 1000).rounded()) }
        var rest = text
        let isNegative = rest.first == "-"
        if isNegative { rest.removeFirst() }
        var total: Int64 = 0
        while !rest.isEmpty {
            guard let match = rest.prefixMatch(of: #/([0-9]+)(ms|[smhdwy])/#), let count = Int64(match.1) else {
                throw NotationError(message: "cannot read the duration \(text)")
            }
            let units: [Substring: Int64] = [
                "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000,
            ]
            total += count * (units[match.2] ?? 0)
            rest = rest[match.range.upperBound...]
        }
        return isNegative ? -total : total
    }
}
