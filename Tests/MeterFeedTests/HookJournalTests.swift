import Fleet
import MeterFeed
import Metering
import Testing

@Suite("The journal of a libvirt hook")
struct HookJournalTests {
    static let boot = "0b7e5a4c-1111-4222-8333-444455556666"
    static let guest = "00000000-0000-0001-0000-000000000001"

    func line(_ centiseconds: Int, _ operation: String, run: String = "-", extra: String = "-", boot: String = boot) -> String {
        "1 \(boot) \(centiseconds) \(1_793_491_200 + centiseconds / 100) \(HookJournalTests.guest) \(operation) begin \(extra) \(run)\n"
    }

    @Test("a run is told by its start and its first end; a repeated end, a migration's announcement and a reconnect tell nothing more")
    func runs() throws {
        let text =
            line(1000, "started", run: "4") + line(1500, "reconnect", run: "4") + line(2000, "stopped") + line(2001, "release")
            + line(3000, "migrate") + line(3050, "started", run: "5") + line(4000, "stopped", extra: "migrated")
        let journal = HookJournal(text, host: "h1", isWhole: true)
        let bodies = journal.facts.guests
        #expect(bodies.map(\.edge) == [.started, .stopped, .started, .stopped])
        #expect(bodies.map(\.run) == [4, 4, 5, 5])
        #expect(
            bodies.map(\.presence) == [
                .state(.running, reason: 1), .state(.shutOff, reason: 0), .state(.paused, reason: 2), .state(.shutOff, reason: 4),
            ])
        #expect(journal.unreadable == 0)
        let first = try #require(journal.facts.first)
        #expect(first.id.origin == "hook:h1:\(HookJournalTests.boot)")
        #expect(first.seen.steadyMilliseconds == 10_000)
        #expect(first.source == .hook)
        #expect(journal.facts.last?.body == .journalRead(fromSteady: 10_000, throughSteady: 40_000))
    }

    @Test("reading more of a journal repeats no fact under another name")
    func growing() {
        let first = line(1000, "started", run: "4") + line(2000, "stopped")
        let more = first + line(3000, "started", run: "5")
        let before = HookJournal(first, host: "h1", isWhole: false).facts
        let after = HookJournal(more, host: "h1", isWhole: false).facts
        #expect(Array(after.prefix(before.count)) == before)
    }

    @Test(
        "a line that a full disk cut short is counted, and nothing is concluded from what the journal does not say",
        arguments: ["1 \(boot) 12", "1 \(boot) 1200 x \(guest) started begin - 4", "2 \(boot) 1 1 \(guest) started begin - 4", "garbage"])
    func broken(text: String) {
        let journal = HookJournal(line(1000, "started", run: "4") + text + "\n" + line(2000, "stopped"), host: "h1", isWhole: true)
        #expect(journal.unreadable == 1)
        #expect(journal.facts.guests.count == 2)
        #expect(journal.facts.count == 2)
    }

    @Test("a reboot of the host ends what was known of its runs")
    func reboot() {
        let other = "0b7e5a4c-1111-4222-8333-444455557777"
        let journal = HookJournal(line(1000, "started", run: "4") + line(500, "release", boot: other), host: "h1", isWhole: true)
        #expect(journal.facts.guests.count == 1)
    }

    @Test("a gap whose edges the journal tells is charged to the second; without it, it is unknown")
    func lateJournal() {
        let stage = Stage()
        stage.feed = FactFeed(origin: "collector:test", machine: HookJournalTests.boot)
        _ = stage.keep(stage.feed.setHosts(["h1"], bootIDs: ["h1": HookJournalTests.boot], now: Stage.moment(0)))
        stage.list([Guest.off()], at: 1)
        _ = stage.miss(at: 2, failure: .disconnected)
        stage.list([Guest.off()], at: 100)
        stage.facts += stage.feed.end(now: Stage.moment(100.5))
        #expect(stage.life().contains("1-100 unknown unknown"))
        stage.facts += HookJournal(line(2000, "started", run: "4") + line(8000, "stopped"), host: "h1", isWhole: true).facts
        #expect(stage.life().contains("20-80 running (booted) observed"))
    }
}
