import Fleet

/// Writes JSON with keys in a fixed order; amounts are strings, since many readers make Doubles of numbers.
struct JSONWriter {
    private(set) var text = ""
    private var needsComma = false

    mutating func open(_ bracket: String, key: String? = nil) {
        separate(key)
        text += bracket
        needsComma = false
    }

    mutating func close(_ bracket: String) {
        text += bracket
        needsComma = true
    }

    mutating func string(_ value: String?, key: String? = nil) {
        separate(key)
        text += value.map(JSONWriter.quoted) ?? "null"
        needsComma = true
    }

    mutating func raw(_ value: String, key: String? = nil) {
        separate(key)
        text += value
        needsComma = true
    }

    private mutating func separate(_ key: String?) {
        if needsComma { text += "," }
        if let key { text += JSONWriter.quoted(key) + ":" }
        needsComma = false
    }

    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 32: result += "\\u00" + hexadecimal([UInt8(scalar.value)])
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

extension ExactAmount {
    /// The exact value as text: whole 10⁻¹² units and the rest over the common denominator.
    var exactText: String {
        rest == 0 ? decimalText(trillionths, digits: 12) : "\(decimalText(trillionths, digits: 12))+\(rest)/\(ExactAmount.denominator)e-12"
    }
}

/// One field of CSV (RFC 4180): quoted where it must be.
func csvField(_ text: String) -> String {
    let needsQuotes = text.unicodeScalars.contains { $0 == "," || $0 == "\"" || $0 == "\n" || $0 == "\r" }
    guard needsQuotes else { return text }
    return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
}

extension ReportLine {
    /// The usage in priced units, to six decimals, rounded down.
    var quantityText: String { decimalText(usage * 1_000_000 / Int128(unit.size), digits: 6, trimmed: true) }
    var unitPriceText: String { unitPrice.map { decimalText($0, digits: 12, trimmed: true) } ?? "" }
    func chargedText(_ digits: Int) -> String { charged.map { decimalText($0, digits: digits) } ?? "unpriced" }
}

extension Report {
    private func digits(_ line: ReportLine) -> Int {
        totals.first { $0.tenant == line.tenant && $0.currency == line.currency }?.minorDigits ?? 2
    }

    private static let columns = [
        "tenant", "group", "zone", "tag", "guest", "name", "host", "volume", "day", "evidence", "state", "from", "to", "meter", "sku",
        "step",
        "usage", "unit", "price", "discount_ppm", "amount", "currency", "book", "line",
    ]

    private func fields(_ line: ReportLine) -> [String] {
        [
            line.tenant ?? "", line.group ?? "", line.zone ?? "", line.tag ?? "", line.guest?.description ?? "", line.guestName ?? "",
            line.host?.text ?? "", line.volume ?? "", line.day?.description ?? "", line.evidence?.word ?? "", line.state?.words ?? "",
            Timestamp(seconds: line.interval.from).description, Timestamp(seconds: line.interval.to).description, line.meter.word, line.sku,
            "\(line.tier)", line.quantityText, line.unit.words, line.unitPriceText, "\(1_000_000 - line.keptPartsPerMillion)",
            line.chargedText(digits(line)), line.currency?.code ?? "", line.book ?? "", line.id,
        ]
    }

    /// The lines as CSV with a heading.
    public var csv: String {
        ([Report.columns] + lines.map(fields)).map { $0.map(csvField).joined(separator: ",") + "\r\n" }.joined()
    }

    /// The lines as one HTML page that needs nothing else, with totals and seconds below them.
    public var html: String {
        var out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Usage</title><style>"
        out += "body{font:10pt/1.4 system-ui,sans-serif;margin:2em}table{border-collapse:collapse}"
        out +=
            "th,td{padding:.2em .5em;border-bottom:1px solid #ccc;text-align:left}thead{display:table-header-group}</style></head><body>\n"
        out += "<h1>Usage from \(Timestamp(seconds: request.window.from)) to \(Timestamp(seconds: request.window.to))</h1>\n"
        let rows = lines.map(fields)
        // Columns that no line fills are left out.
        let shown = Report.columns.indices.filter { column in rows.contains { !$0[column].isEmpty } }
        out += "<table><thead><tr>" + shown.map { "<th>\(htmlText(Report.columns[$0]))</th>" }.joined() + "</tr></thead>\n<tbody>\n"
        for row in rows { out += "<tr>" + shown.map { "<td>\(htmlText(row[$0]))</td>" }.joined() + "</tr>\n" }
        out += "</tbody></table>\n"
        for total in totals {
            let amount = decimalText(total.rounded, digits: total.minorDigits)
            out += "<p>Total \(htmlText(total.tenant ?? "(no tenant)")): <b>\(amount) \(total.currency)</b></p>\n"
        }
        out += "<p>Seconds of life \(seconds.life) = billed \(seconds.billed) + free \(seconds.free) + unknown \(seconds.unknown)</p>\n"
        out += findings.map { "<p>\(htmlText($0.id)): \(htmlText($0.message))</p>\n" }.joined()
        return out + "</body></html>\n"
    }

    /// The report as JSON: amounts and usages are strings of exact integers or decimals.
    public var json: String {
        var out = JSONWriter()
        out.open("{")
        out.string(Timestamp(seconds: request.window.from).description, key: "from")
        out.string(Timestamp(seconds: request.window.to).description, key: "to")
        out.string(zone, key: "zone")
        out.string(Timestamp(seconds: horizon).description, key: "known_until")
        out.open("{", key: "seconds")
        for (name, value) in [
            ("life", seconds.life), ("billed", seconds.billed), ("free", seconds.free), ("unknown", seconds.unknown),
            ("remainder", seconds.remainder),
        ] { out.raw("\(value)", key: name) }
        for evidence in Evidence.allCases { out.raw("\(seconds.billedByEvidence[Int(evidence.rawValue)])", key: "billed_\(evidence.word)") }
        out.close("}")
        out.open("[", key: "totals")
        for total in totals {
            out.open("{")
            out.string(total.tenant, key: "tenant")
            out.string(total.currency.code, key: "currency")
            out.string(decimalText(total.rounded, digits: total.minorDigits), key: "amount")
            out.string(total.exact.exactText, key: "amount_exact")
            for evidence in Evidence.allCases {
                out.string(total.exactByEvidence[Int(evidence.rawValue)].exactText, key: "exact_\(evidence.word)")
            }
            out.close("}")
        }
        out.close("]")
        out.open("[", key: "lines")
        for line in lines {
            out.open("{")
            for (name, value) in zip(Report.columns, fields(line)) where !value.isEmpty { out.string(value, key: name) }
            out.string("\(line.usage)", key: "usage_exact")
            out.string(line.amount?.exactText, key: "amount_exact")
            out.close("}")
        }
        out.close("]")
        out.open("[", key: "findings")
        for finding in findings {
            out.open("{")
            out.string(finding.id, key: "id")
            out.string(finding.message, key: "message")
            out.raw("\(finding.isAcknowledged)", key: "acknowledged")
            out.close("}")
        }
        out.close("]")
        out.close("}")
        return out.text + "\n"
    }

    /// The report as a table for a terminal, with totals, seconds, money by evidence and findings below it.
    public var table: String {
        let names: [(title: String, value: (ReportLine) -> String)] = [
            ("TENANT", { $0.tenant ?? "-" }), ("GROUP", { $0.group ?? "" }), ("ZONE", { $0.zone ?? "" }), ("TAG", { $0.tag ?? "" }),
            ("GUEST", { $0.guestName ?? $0.guest?.description ?? "" }), ("HOST", { $0.host?.text ?? "" }), ("VOLUME", { $0.volume ?? "" }),
            ("DAY", { $0.day?.description ?? "" }), ("EVIDENCE", { $0.evidence?.word ?? "" }), ("METER", { $0.meter.word }),
            ("ARTICLE", { $0.tier > 0 ? "\($0.sku) (step \($0.tier + 1))" : $0.sku }), ("USAGE", { "\($0.quantityText) \($0.unit.words)" }),
            ("PRICE", { $0.unitPrice == nil ? "none" : $0.unitPriceText }),
            ("AMOUNT", { line in "\(line.chargedText(digits(line))) \(line.currency?.code ?? "")" }),
        ]
        let shown = names.filter { column in lines.contains { !column.value($0).isEmpty } }
        let cells = [shown.map(\.title)] + lines.map { line in shown.map { $0.value(line) } }
        let widths = shown.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
        var text = cells.map { row in
            let padded = row.enumerated().map { column, cell in cell + String(repeating: " ", count: widths[column] - cell.count) }
            var line = padded.joined(separator: "  ")
            while line.hasSuffix(" ") { line.removeLast() }
            return line + "\n"
        }.joined()
        text += "\n"
        for total in totals {
            text += "total \(total.tenant ?? "(no tenant)"): \(decimalText(total.rounded, digits: total.minorDigits)) \(total.currency)"
            let parts = Evidence.allCases.compactMap { evidence -> String? in
                let amount = total.exactByEvidence[Int(evidence.rawValue)]
                return amount == .zero
                    ? nil : "\(evidence.word) \(decimalText(amount.rounded(minorDigits: total.minorDigits), digits: total.minorDigits))"
            }
            text += " (\(parts.joined(separator: ", ")))\n"
        }
        text += "seconds of life \(seconds.life) = billed \(seconds.billed) + free \(seconds.free) + unknown \(seconds.unknown)"
        text += ", remainder \(seconds.remainder)\n"
        let classes = Evidence.allCases.map { "\($0.word) \(seconds.billedByEvidence[Int($0.rawValue)])" }
        text += "billed seconds: \(classes.joined(separator: ", "))\n"
        if horizon < request.window.to { text += "nothing is known yet after \(Timestamp(seconds: horizon))\n" }
        for finding in findings { text += "\(finding.isSerious ? "!" : "-") \(finding.id): \(finding.message)\n" }
        return text
    }
}
