import Fleet
import Foundation
import Metering
import Testing

@Suite("Exact amounts, rounding and calendars")
struct ArithmeticTests {
    @Test("an amount is price times usage without any loss, beyond 128 bits too", arguments: 0..<50 as Range<UInt64>)
    func amounts(seed: UInt64) {
        var random = Seeded(seed)
        for unit in UsageUnit.allCases {
            let usage = Int128(random.next() >> 4) * (seed % 2 == 0 || unit != .gibibyteHours ? 1 : Int128(1) << 40)
            let price = Int128(random.next() % UInt64(PriceBook.maximumPrice))
            let kept = Int(random.next() % 1_000_001)
            let cut = usage / 3
            let whole = ExactAmount(usage: usage, unit: unit, price: price, keptPartsPerMillion: kept)
            let parts =
                ExactAmount(usage: cut, unit: unit, price: price, keptPartsPerMillion: kept)
                + ExactAmount(usage: usage - cut, unit: unit, price: price, keptPartsPerMillion: kept)
            #expect(whole == parts)
            #expect(whole - whole == .zero)
            #expect(whole + -whole == .zero)
        }
    }

    @Test("amounts agree with sums done by hand")
    func byHand() {
        // Not as arguments: tuples that hold both 128-bit and 64-bit integers crash the runner of Swift 6.3.1.
        func check(_ usage: Int128, _ unit: UsageUnit, _ price: Int128, _ kept: Int, _ trillionths: Int128, _ rest: UInt64) {
            let amount = ExactAmount(usage: usage, unit: unit, price: price, keptPartsPerMillion: kept)
            #expect(amount.trillionths == trillionths)
            #expect(amount.rest == rest)
        }
        check(3600, .hours, 1_000_000_000_000, 1_000_000, 1_000_000_000_000, 0)
        check(1, .hours, 1, 1_000_000, 0, ExactAmount.denominator / 3600)
        check(1, .hours, 3600, 500_000, 0, ExactAmount.denominator / 2)
        check(1 << 30, .gibibytes, 7, 1_000_000, 7, 0)
        check(3600 << 30, .gibibyteHours, 7, 1_000_000, 7, 0)
        check(Int128(3600) << 97, .gibibyteHours, 1 << 40, 1_000_000, Int128(1) << 107, 0)
    }

    @Test(
        "rounding is half to even, on both sides of each half, for charges and reversals",
        arguments: [
            (5_000_000_000, 0), (5_000_000_001, 1), (4_999_999_999, 0), (15_000_000_000, 2), (14_999_999_999, 1), (25_000_000_000, 2),
            (-5_000_000_000, 0), (-5_000_000_001, -1), (-15_000_000_000, -2), (-25_000_000_000, -2), (0, 0),
        ] as [(Int128, Int128)])
    func halfEven(trillionths: Int128, cents: Int128) {
        let one = ExactAmount(usage: Int128(trillionths.magnitude) << 30, unit: .gibibytes, price: 1)
        #expect((trillionths < 0 ? -one : one).rounded(minorDigits: 2) == cents)
    }

    @Test("parts that are rounded by largest remainder add up to the rounded total", arguments: 0..<40 as Range<UInt64>)
    func largestRemainder(seed: UInt64) {
        var random = Seeded(seed)
        let parts = (0..<Int.random(in: 1...50, using: &random)).map { _ in
            let amount = ExactAmount(usage: Int128.random(in: 0...100_000, using: &random), unit: .hours, price: 123_456_789_011)
            return Bool.random(using: &random) ? amount : -amount
        }
        for digits in [0, 2, 3] {
            let shares = apportioned(parts, minorDigits: digits)
            let total = parts.reduce(.zero, +).rounded(minorDigits: digits)
            #expect(shares.reduce(0, +) == total)
            for (share, part) in zip(shares, parts) { #expect(abs(share - part.rounded(minorDigits: digits)) <= 1) }
        }
    }

    @Test(
        "decimal text keeps every digit",
        arguments: [(5, 2, false, "0.05"), (-5, 2, false, "-0.05"), (1200, 2, true, "12"), (1230, 3, true, "1.23"), (7, 0, false, "7")]
            as [(Int128, Int, Bool, String)])
    func text(count: Int128, digits: Int, trimmed: Bool, expected: String) {
        #expect(decimalText(count, digits: digits, trimmed: trimmed) == expected)
    }

    static let zones: [String] = {
        let listed = (try? String(contentsOfFile: "/usr/share/zoneinfo/tzdata.zi", encoding: .utf8)) ?? ""
        let names = listed.split(separator: "\n").compactMap { line -> String? in
            let words = line.split(separator: " ")
            guard words.count >= 3 else { return nil }
            return words[0] == "Z" ? String(words[1]) : words[0] == "L" ? String(words[2]) : nil
        }
        return names.sorted()
    }()

    @Test("I13: in every IANA zone the days of a month are adjacent and add up to it, with 23, 24, 25 hours or a day left out")
    func zones() throws {
        try #require(ArithmeticTests.zones.count > 400)
        for name in ArithmeticTests.zones {
            let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: "/usr/share/zoneinfo/\(name)")))
            let calendar = try #require(ZoneCalendar(tzif: bytes, name: name, dataVersion: "test"), "\(name)")
            for (year, month) in [(2011, 12), (2026, 3), (2026, 4), (2026, 10), (2026, 11), (2027, 2)] as [(Int64, Int)] {
                let whole = try #require(calendar.month(year: year, month: month))
                let starts = calendar.days(in: whole)
                let lengths = zip(starts, starts.dropFirst() + [whole.to]).map { $1 - $0 }
                #expect(lengths.reduce(0, +) == whole.seconds)
                #expect(lengths.allSatisfy { $0 > 20 * 3600 && $0 < 28 * 3600 }, "\(name) \(year)-\(month): \(lengths)")
                let expected = CivilDate.daysInMonth(year: year, month: month)
                let skipped = ["Pacific/Apia", "Pacific/Fakaofo", "Pacific/Enderbury", "Pacific/Kanton"].contains(name) && year == 2011
                #expect(starts.count == expected || skipped, "\(name) \(year)-\(month)")
                #expect(calendar.date(at: whole.from).month == month)
                #expect(calendar.date(at: whole.to - 1).month == month)
            }
        }
    }

    @Test(
        "I13: a month's report by days adds up to the month, across a change of clocks",
        arguments: ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
    func days(name: String) throws {
        let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: "/usr/share/zoneinfo/\(name)")))
        let calendar = try #require(ZoneCalendar(tzif: bytes, name: name, dataVersion: "test"))
        let month = try #require(calendar.month(year: 2026, month: name.hasPrefix("America") ? 11 : 10))
        var scribe = Scribe()
        let start = Double(month.from - Scribe.epoch) - 5000
        scribe.open(start, "h1")
        scribe.guest(start, "h1", guest(1), .running, edge: .started, run: 1, shape: shape())
        scribe.alive(Double(month.to - Scribe.epoch) + 5000)
        let whole = report(scribe.facts, month, tariff: tariff(calendar: calendar))
        let daily = report(scribe.facts, month, tariff: tariff(calendar: calendar), by: [.day])
        #expect(daily.lines.count == (name.hasPrefix("America") ? 30 : 31))
        #expect(daily.exactTotal == whole.exactTotal)
        #expect(daily.lines.reduce(0) { $0 + $1.usage } == Int128(month.seconds))
    }
}
