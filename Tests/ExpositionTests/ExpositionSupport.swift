import Exposition
import Fleet
import TimeSeries

/// One line of a text exposition, read back.
struct ParsedLine: Hashable {
    let name: String
    let labels: [String: String]
    let value: String
}

/// A strict reader of the text formats, written for these tests: traps nothing, returns why it gave up.
enum ParseFailure: Error { case line(String, String) }

struct ParsedText {
    var lines: [ParsedLine] = []
    /// The `# TYPE` of each family in order.
    var types: [(name: String, type: String)] = []
    var helps: [String] = []
    var units: [(name: String, unit: String)] = []
    var hasEnd = false

    init(_ text: String) throws {
        guard text.isEmpty || text.hasSuffix("\n") else { throw ParseFailure.line(text, "no line end at the end") }
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            if hasEnd { throw ParseFailure.line(String(line), "after # EOF") }
            if line == "# EOF" {
                hasEnd = true
            } else if line.hasPrefix("# ") {
                let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
                guard words.count == 4 else { throw ParseFailure.line(String(line), "comment") }
                switch words[1] {
                case "HELP": helps.append(words[2])
                case "TYPE": types.append((words[2], words[3]))
                case "UNIT": units.append((words[2], words[3]))
                default: throw ParseFailure.line(String(line), "comment")
                }
            } else {
                lines.append(try ParsedText.sample(String(line)))
            }
        }
    }

    private static func sample(_ line: String) throws -> ParsedLine {
        var rest = Array(line)[...]
        let name = String(rest.prefix { $0 != "{" && $0 != " " })
        rest = rest.dropFirst(name.count)
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest = rest.dropFirst()
            while true {
                let label = String(rest.prefix { $0 != "=" })
                rest = rest.dropFirst(label.count)
                guard rest.starts(with: ["=", "\""]) else { throw ParseFailure.line(line, "label") }
                rest = rest.dropFirst(2)
                var value = ""
                while let character = rest.first, character != "\"" {
                    rest = rest.dropFirst()
                    if character == "\\" {
                        guard let escaped = rest.popFirst(), ["\\", "\"", "n"].contains(escaped) else {
                            throw ParseFailure.line(line, "escape")
                        }
                        value.append(escaped == "n" ? "\n" : escaped)
                    } else {
                        value.append(character)
                    }
                }
                guard rest.popFirst() == "\"", labels.updateValue(value, forKey: label) == nil else {
                    throw ParseFailure.line(line, "value")
                }
                guard let separator = rest.popFirst() else { throw ParseFailure.line(line, "cut off") }
                if separator == "}" { break }
                guard separator == "," else { throw ParseFailure.line(line, "separator") }
            }
        }
        guard rest.popFirst() == " " else { throw ParseFailure.line(line, "no value") }
        return ParsedLine(name: name, labels: labels, value: String(rest))
    }
}

func render(_ ticks: [SourceTick], _ format: ExpositionFormat = .prometheusText, _ names: MetricNames = .canonical) -> String {
    var renderer = ExpositionRenderer(ticks, format: format, names: names)
    var bytes: [UInt8] = []
    while let piece = renderer.next() { bytes += piece }
    return String(decoding: bytes, as: UTF8.self)
}

/// SplitMix64: a seed that replays.
struct SeededNumbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

/// Whether a decimal text is exactly `native × multiplier ÷ 10^decimals`.
func isExactly(_ text: String, bits: UInt64, kind: NumberKind, scale: Scale) -> Bool {
    if kind == .real {
        let expected = Double(bitPattern: bits) * Double(scale.multiplier) / powerOfTen(Int(scale.decimals))
        if expected.isNaN { return text == "NaN" }
        if expected.isInfinite { return text == (expected < 0 ? "-Inf" : "+Inf") }
        return Double(text) == expected
    }
    let number = kind == .signed ? Int128(Int64(bitPattern: bits)) : Int128(bits)
    let isNegative = text.hasPrefix("-")
    let parts = text.drop { $0 == "-" }.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), let whole = UInt128(parts[0]), parts[0].count == 1 || !parts[0].hasPrefix("0") else {
        return false
    }
    let fraction = parts.count == 2 ? String(parts[1]) : ""
    guard parts.count == 1 || (!fraction.isEmpty && !fraction.hasSuffix("0")), fraction.count <= Int(scale.decimals) else { return false }
    let padded = fraction + String(repeating: "0", count: Int(scale.decimals) - fraction.count)
    var power: UInt128 = 1
    for _ in 0..<scale.decimals { power *= 10 }
    let magnitude = whole * power + (UInt128(padded) ?? 0)
    return magnitude == number.magnitude * UInt128(scale.multiplier) && isNegative == (number < 0)
}

private func powerOfTen(_ exponent: Int) -> Double { (0..<exponent).reduce(1) { power, _ in power * 10 } }
