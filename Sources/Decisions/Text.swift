import Fleet

/// A number for a reason's text: at most `places` decimals, no trailing zeros.
func decimal(_ value: Double, places: Int = 3) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return value.isNaN ? "NaN" : value > 0 ? "a huge number" : "a hugely negative number" }
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let rounded = Int128((abs(value) * scale).rounded())
    let whole = rounded / Int128(scale)
    var rest = String(rounded % Int128(scale))
    rest = String(repeating: "0", count: places - rest.count) + rest
    while rest.hasSuffix("0") { rest.removeLast() }
    return (value < 0 && rounded != 0 ? "-" : "") + String(whole) + (rest.isEmpty ? "" : "." + rest)
}

/// A share for a reason's text: `62.5 %`.
func percent(_ value: Double) -> String { decimal(value * 100, places: 1) + " %" }

/// A duration for a reason's text: `1 h 5 min`, `90 s`, `250 ms`.
func spoken(_ duration: Duration) -> String {
    let milliseconds = duration.milliseconds
    if abs(milliseconds) < 1000 { return "\(milliseconds) ms" }
    let seconds = milliseconds / 1000
    if abs(seconds) < 120 { return "\(seconds) s" }
    if abs(seconds) < 7200 { return "\(seconds / 60) min" + (seconds % 60 == 0 ? "" : " \(seconds % 60) s") }
    return "\(seconds / 3600) h" + (seconds / 60 % 60 == 0 ? "" : " \(seconds / 60 % 60) min")
}

/// `1 guest`, `2 guests`.
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
