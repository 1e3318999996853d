import PromQL
import TimeSeries

/// Writes JSON into bytes, member by member, without a tree: answers hold millions of numbers.
struct JSONText {
    private(set) var bytes: [UInt8] = []
    /// Whether the next item needs a comma before it.
    private var needsComma = false

    mutating func raw(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    mutating func object(_ body: (inout JSONText) -> Void) { enclosed(UInt8(ascii: "{"), UInt8(ascii: "}"), body) }
    mutating func list(_ body: (inout JSONText) -> Void) { enclosed(UInt8(ascii: "["), UInt8(ascii: "]"), body) }

    private mutating func enclosed(_ open: UInt8, _ close: UInt8, _ body: (inout JSONText) -> Void) {
        separate()
        bytes.append(open)
        needsComma = false
        body(&self)
        bytes.append(close)
        needsComma = true
    }

    /// The name of the next member.
    mutating func name(_ text: String) {
        separate()
        quoted(text)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    mutating func text(_ text: String) {
        separate()
        quoted(text)
    }

    mutating func flag(_ value: Bool) {
        separate()
        if value { raw("true") } else { raw("false") }
    }

    mutating func integer(_ value: Int) {
        separate()
        bytes.append(contentsOf: String(value).utf8)
    }

    /// A number as a JSON number, not as the text in which samples travel.
    mutating func number(_ value: Double) {
        separate()
        bytes.append(contentsOf: NumberText.general(value.isFinite ? value : 0).utf8)
    }

    mutating func member(_ title: String, _ value: String) {
        name(title)
        text(value)
    }

    mutating func member(_ title: String, _ value: Int) {
        name(title)
        integer(value)
    }

    mutating func texts(_ values: [String]) {
        list { json in for value in values { json.text(value) } }
    }

    /// Members that were written before.
    mutating func append(members: JSONText) {
        if members.bytes.isEmpty { return }
        separate()
        bytes.append(contentsOf: members.bytes)
    }

    mutating func labels(_ labels: LabelSet) {
        object { json in for label in labels.labels { json.member(label.name, label.value) } }
    }

    /// `[1700000000.25,"0.5"]`: an instant in seconds and a number as text, which alone can be NaN.
    mutating func sample(_ milliseconds: Int64, _ value: Double) {
        separate()
        bytes.append(UInt8(ascii: "["))
        seconds(milliseconds)
        raw(",\"")
        let isWhole =
            value == value.rounded(.towardZero) && value.magnitude < 9_007_199_254_740_992 && !(value == 0 && value.sign == .minus)
        bytes.append(contentsOf: (isWhole ? String(Int64(value)) : JSONText.sampleText(value)).utf8)
        raw("\"]")
    }

    private mutating func seconds(_ milliseconds: Int64) {
        var rest = milliseconds
        if rest < 0 {
            bytes.append(UInt8(ascii: "-"))
            rest = -rest
        }
        bytes.append(contentsOf: String(rest / 1000).utf8)
        if rest % 1000 != 0 {
            let thousandths = String(rest % 1000)
            bytes.append(UInt8(ascii: "."))
            bytes.append(contentsOf: String(repeating: "0", count: 3 - thousandths.count).utf8)
            bytes.append(contentsOf: thousandths.utf8)
        }
    }

    /// As Prometheus' API writes a sample: with an exponent below 1e-6 and from 1e21 on.
    static func sampleText(_ value: Double) -> String {
        let isExtreme = value.isFinite && value != 0 && (value.magnitude < 1e-6 || value.magnitude >= 1e21)
        return isExtreme ? NumberText.general(value) : NumberText.plain(value)
    }

    private mutating func quoted(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): raw("\\\"")
            case UInt8(ascii: "\\"): raw("\\\\")
            case UInt8(ascii: "\n"): raw("\\n")
            case UInt8(ascii: "\r"): raw("\\r")
            case UInt8(ascii: "\t"): raw("\\t")
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                raw("\\u")
                bytes.append(contentsOf: (String(repeating: "0", count: 4 - digits.count) + digits).utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
