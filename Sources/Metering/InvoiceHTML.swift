import Fleet

/// Text for HTML: the five characters that mean something there are escaped.
func htmlText(_ text: String) -> String {
    var result = ""
    for character in text {
        switch character {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        case "'": result += "&#39;"
        default: result.append(character)
        }
    }
    return result
}

extension Invoice {
    private static let style = """
        body{font:10pt/1.4 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111}
        table{border-collapse:collapse;width:100%;margin:1em 0}th,td{padding:.25em .5em;border-bottom:1px solid #ccc;text-align:left}
        td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}tfoot td{font-weight:bold;border-top:2px solid #111}
        thead{display:table-header-group}tr{break-inside:avoid}.draft{color:#a00}small{color:#555;word-break:break-all}
        @media print{body{margin:0;max-width:none}@page{size:A4;margin:18mm}}
        """

    /// The invoice as one HTML page that needs nothing else and prints on A4.
    public func html(issuer: FocusIssuer) -> String {
        func money(_ units: Int128) -> String { decimalText(units, digits: minorDigits) }
        func cell(_ text: String, _ isNumber: Bool = false) -> String { "<td\(isNumber ? " class=\"n\"" : "")>\(htmlText(text))</td>" }
        let last = calendar.date(at: window.to - 1)
        var out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Invoice \(htmlText(number))</title>"
        out += "<style>\(Invoice.style)</style></head><body>\n<h1>Invoice \(htmlText(number))</h1>\n"
        out += "<p>From <b>\(htmlText(issuer.name))</b> to <b>\(htmlText(tenant))</b><br>"
        out += "\(calendar.date(at: window.from)) to \(last), \(htmlText(calendar.name)) "
        out += "(\(Timestamp(seconds: window.from)) up to, not including, \(Timestamp(seconds: window.to)))</p>\n"
        if !isClosed { out += "<p class=\"draft\">Draft: the period is not closed.</p>\n" }
        out += "<table><thead><tr><th>Resource<th>Article<th class=\"n\">Usage<th>Unit<th class=\"n\">Price<th class=\"n\">Discount"
        out += "<th class=\"n\">\(currency)</tr></thead>\n<tbody>\n"
        for line in lines {
            let resource = [line.guestName, line.volume].compactMap { $0 }.joined(separator: " / ")
            let discount =
                line.keptPartsPerMillion == 1_000_000
                ? "" : decimalText(Int128(1_000_000 - line.keptPartsPerMillion), digits: 4, trimmed: true) + " %"
            let article = "\(line.meter.word) \(line.sku)" + (line.tier > 0 ? ", step \(line.tier + 1)" : "")
            out += "<tr>" + cell(resource) + cell(article) + cell(line.quantityText, true) + cell(line.unit.words)
            out += cell(line.unitPrice == nil ? "none" : line.unitPriceText, true) + cell(discount, true)
            out += cell(line.chargedText(minorDigits), true) + "</tr>\n"
        }
        for (correction, charged) in corrections {
            let line = correction.line
            let what = correction.isReversal ? "reversed" : "corrected"
            let period = "\(calendar.date(at: correction.period.from.wholeSeconds))"
            out +=
                "<tr>" + cell("\([line.guestName, line.volume].compactMap { $0 }.joined(separator: " / ")) (\(what), period of \(period))")
            out += "<td>\(htmlText("\(line.meter.word) \(line.sku)"))<br><small>\(htmlText(correction.cause))</small></td>"
            out += cell((correction.isReversal ? "-" : "") + line.quantityText, true) + cell(line.unit.words)
            out += cell(line.unitPriceText, true) + cell("", true) + cell(money(charged), true) + "</tr>\n"
        }
        out += "</tbody>\n<tfoot><tr><td colspan=\"6\">Total</td><td class=\"n\">\(money(total))</td></tr></tfoot></table>\n"
        out += "<p>Guests' seconds: \(seconds.life) of life = \(seconds.billed) billed + \(seconds.free) free + \(seconds.unknown) unknown"
        let classes = Evidence.allCases.map { "\($0.word) \(seconds.billedByEvidence[Int($0.rawValue)])" }.joined(separator: ", ")
        out +=
            " (billed: \(classes)). The exact total is \(exact.exactText) \(currency); it is rounded once, half to even, and the lines share it "
        out += "by largest remainder.</p>\n"
        if !findings.isEmpty {
            out += "<ul>" + findings.map { "<li>\(htmlText($0.message))</li>" }.joined() + "</ul>\n"
        }
        return out + "</body></html>\n"
    }
}
