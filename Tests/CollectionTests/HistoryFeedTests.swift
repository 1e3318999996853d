import Collection
import Fleet
import Testing
import TimeSeries

@Suite("What goes into history")
struct HistoryFeedTests {
    let guest = SourceSchema(
        labels: LabelSet([Label("host", "h1"), Label("uuid", "u")]), columns: [Column(metric: "a"), Column(metric: "b")])
    let pool = SourceSchema(labels: LabelSet([Label("host", "h1"), Label("pool", "p")]), columns: [Column(metric: "c")])

    func at(_ seconds: Int64) -> Timestamp { Timestamp(seconds: seconds) }
    func tick(_ schema: SourceSchema, _ seconds: Int64) -> SourceTick {
        SourceTick(schema: schema, time: at(seconds), bits: schema.columns.map { _ in 7 })
    }

    @Test("a reading that is shown again goes in once")
    func once() {
        var feed = HistoryFeed()
        #expect(feed.take([tick(pool, 10), tick(guest, 10)], host: "h1", at: at(10)).count == 2)
        let second = feed.take([tick(pool, 10), tick(guest, 20)], host: "h1", at: at(20))
        #expect(second.map(\.time) == [at(20)] && second.first?.schema === guest)
        #expect(feed.take([tick(pool, 21), tick(guest, 30)], host: "h1", at: at(30)).count == 2)
    }

    @Test("what is gone ends at the tick that lacks it, once")
    func ends() {
        var feed = HistoryFeed()
        _ = feed.take([tick(pool, 10), tick(guest, 10)], host: "h1", at: at(10))
        let second = feed.take([tick(pool, 20)], host: "h1", at: at(20))
        #expect(second.count == 2)
        #expect(second.last?.schema === guest && second.last?.time == at(20) && second.last?.presence == [false, false])
        #expect(feed.take([tick(pool, 30)], host: "h1", at: at(30)).count == 1)
        #expect(feed.take([tick(guest, 40), tick(pool, 40)], host: "h1", at: at(40)).allSatisfy { $0.presence.isEmpty })
    }

    @Test("a host's end does not touch another host with the same labels")
    func hosts() {
        var feed = HistoryFeed()
        _ = feed.take([tick(guest, 10)], host: "h1", at: at(10))
        _ = feed.take([tick(guest, 10)], host: "h2", at: at(10))
        #expect(feed.forget("h1", at: at(11)).count == 1)
        #expect(feed.forget("h1", at: at(12)).isEmpty)
        #expect(feed.take([tick(guest, 20)], host: "h2", at: at(20)).count == 1)
    }

    @Test("an end is never written at the time of a reading")
    func order() {
        var feed = HistoryFeed()
        _ = feed.take([tick(guest, 10)], host: "h1", at: at(10))
        #expect(feed.take([], host: "h1", at: at(10)).isEmpty)
    }
}
