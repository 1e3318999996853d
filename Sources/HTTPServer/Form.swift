/// Decodes `name=value&…` as browsers, curl and Grafana send it: percent escapes, and a plus for a space.
///
/// A broken escape is kept as it stands; bytes that are no UTF-8 become U+FFFD.
package func decodeForm(_ text: String) -> [WebParameter] {
    text.utf8.split(separator: UInt8(ascii: "&")).map { pair in
        let halves = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
        return WebParameter(name: decodeFormText(halves[0]), value: halves.count == 2 ? decodeFormText(halves[1]) : "")
    }
}

private func decodeFormText(_ text: Substring.UTF8View) -> String {
    var bytes: [UInt8] = []
    var index = text.startIndex
    while index < text.endIndex {
        let byte = text[index]
        if byte == UInt8(ascii: "%"), let high = text.index(index, offsetBy: 1, limitedBy: text.endIndex), high < text.endIndex,
            let low = text.index(index, offsetBy: 2, limitedBy: text.endIndex), low < text.endIndex,
            let first = hexadecimalValue(text[high]), let second = hexadecimalValue(text[low])
        {
            bytes.append(first << 4 | second)
            index = text.index(after: low)
            continue
        }
        bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
        index = text.index(after: index)
    }
    return String(decoding: bytes, as: UTF8.self)
}

private func hexadecimalValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 48...57: byte - 48
    case 65...70: byte - 55
    case 97...102: byte - 87
    default: nil
    }
}
