import Fleet
import Testing

@Suite("Timestamps")
struct TimestampTests {
    @Test(
        "print as RFC 3339 in UTC, before and after the epoch, around leap days",
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (-1, "1969-12-31T23:59:59.999Z"), (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"), (1_709_251_200_000, "2024-03-01T00:00:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"), (-62_135_596_800_000, "0001-01-01T00:00:00Z"),
        ])
    func printing(milliseconds: Int, text: String) {
        #expect(Timestamp(milliseconds: Int64(milliseconds)).description == text)
    }

    @Test(
        "whole seconds round towards the past on both sides of the epoch",
        arguments: [(0, 0), (999, 0), (1000, 1), (-1, -1), (-1000, -1), (-1001, -2)])
    func wholeSeconds(milliseconds: Int, seconds: Int) {
        #expect(Timestamp(milliseconds: Int64(milliseconds)).wholeSeconds == Int64(seconds))
    }

    @Test("every day from 1600 to 2400 survives the way to a civil date and back, and months have their days")
    func calendar() {
        var previous = CivilDate(daysSinceEpoch: -135_141)
        for day in Int64(-135_140)...157_055 {
            let date = CivilDate(daysSinceEpoch: day)
            #expect(date.daysSinceEpoch == day)
            #expect(date > previous)
            if date.day == 1 { #expect(previous.day == CivilDate.daysInMonth(year: previous.year, month: previous.month)) }
            previous = date
        }
    }
}
