import Collection
import Fleet
import Foundation
import Glibc
import LedgerStorage
import Logging
import MeterFeed
import Metering
import Threads

/// The meter of a running server: a thread of its own turns what the lanes hear into facts and commits them to the ledger.
final class MeterPart: Sendable {
    /// Reports and events that wait for the ledger: some minutes of a thousand hosts.
    static let maximumQueued = 100_000
    /// Facts that wait while the disk is full or gone; beyond that the feed begins anew, and what it did not write is a gap, not a guess.
    static let maximumPending = 500_000

    /// The files in the data folder.
    struct Files {
        let folder: String
        var ledger: String { folder + "/ledger.db" }
        var memory: String { folder + "/meter.memory" }
    }

    private enum Input: Sendable {
        case report(LaneReport, Moment)
        case event(HostName, HypervisorEvent, Moment)
        case hosts([HostName])
        case stop
    }

    private let inputs = Mailbox<Input>()
    private let ended = Mailbox<Void>()
    private let ledger: Ledger
    private let files: Files
    private let clock: SystemClock
    private let logger: Logger
    private let localHosts: [HostName]

    /// Opens the ledger in the data folder, and makes it where there is none.
    ///
    /// `localHosts` are hosts on this very machine, whose boot id is this machine's.
    init(folder: String, localHosts: [HostName], clock: SystemClock, logger: Logger) throws(Failure) {
        files = Files(folder: folder)
        self.clock = clock
        self.logger = logger
        self.localHosts = localHosts
        do throws(FactLogError) {
            ledger = try Ledger(path: files.ledger)
        } catch {
            throw Failure("\(files.ledger): \(error.words)")
        }
    }

    /// What hears the lanes; neither call blocks.
    var listener: LaneListener {
        let inputs = inputs
        let clock = clock
        return LaneListener(
            report: { report in _ = inputs.put(.report(report, clock.now()), limit: MeterPart.maximumQueued) },
            event: { host, event, now in _ = inputs.put(.event(host, event, now), limit: MeterPart.maximumQueued) })
    }

    /// Starts the thread.
    func start() {
        startThread(named: "meter") { [self] in
            write()
            ended.put(())
        }
    }

    /// Hears which hosts there are.
    func hostsChanged(_ hosts: [HostName]) { inputs.put(.hosts(hosts)) }

    /// Closes every watch and returns once that is committed, or after five seconds.
    func close() {
        inputs.put(.stop)
        _ = ended.take(within: .seconds(5))
    }

    // MARK: - On the meter's thread

    private func newFeed() -> FactFeed {
        let machine = bootID() ?? "unknown"
        let origin = "collector:\(localHostName()):\(clock.now().wall.milliseconds)-\(String(UInt32.random(in: .min ... .max), radix: 16))"
        var feed = FactFeed(
            origin: origin, machine: machine, bootIDs: Dictionary(localHosts.map { ($0, machine) }, uniquingKeysWith: { $1 }))
        if let data = FileManager.default.contents(atPath: files.memory), data.count <= FactFeed.maximumMemoryBytes,
            !feed.recall(String(decoding: data, as: UTF8.self), now: clock.now())
        {
            logger.warning("\(files.memory) is no whole memory of the meter: runs that last through this restart are not proven")
        }
        return feed
    }

    private func write() {
        var feed = newFeed()
        var pending: [Fact] = []
        var isRunning = true
        var isBehind = false
        var lastWords: String?
        while isRunning {
            let taken = inputs.take(within: .seconds(1))
            if taken.count >= MeterPart.maximumQueued { isBehind = true }
            for input in taken where !isBehind {
                switch input {
                case .report(let report, let now): pending += feed.take(report, now: now)
                case .event(let host, let event, let now): pending += feed.take(event, from: host, now: now)
                case .hosts(let hosts): pending += feed.keepOnly(hosts, now: clock.now())
                case .stop: isRunning = false
                }
            }
            let now = clock.now()
            if isRunning, !isBehind {
                let alive = feed.tick(now: now)
                if !alive.isEmpty { remember(feed, now) }
                pending += alive
            } else if !isRunning {
                remember(feed, now)
                pending += feed.end(now: now)
            }
            takeEntries()
            if pending.count > MeterPart.maximumPending { isBehind = true }
            guard !pending.isEmpty else { continue }
            do throws(FactLogError) {
                while !pending.isEmpty {
                    let batch = Array(pending.prefix(Ledger.maximumBatch))
                    _ = try ledger.append(batch)
                    pending.removeFirst(batch.count)
                }
                if lastWords != nil { logger.info("the ledger takes facts again") }
                lastWords = nil
                if isBehind {
                    logger.error("the ledger was behind for too long: what was not written is a gap, proven where a run lasted through it")
                    feed = newFeed()
                    isBehind = false
                }
            } catch {
                // Once for each new reason; the facts wait.
                if lastWords != error.words { logger.error("\(files.ledger): \(error.words); \(pending.count) facts wait") }
                lastWords = error.words
                usleep(200_000)
            }
        }
    }

    /// Commits what operators stated meanwhile, each on its own: one that is refused keeps back no other.
    private func takeEntries() {
        let entries = LedgerEntries(data: files.folder)
        for (path, facts) in entries.take() {
            guard let facts, facts.allSatisfy({ $0.source == .operatorEntry || $0.source == .hook }) else {
                entries.answer(path, refusal: "it is neither an operator's entry nor a hook's journal")
                continue
            }
            do throws(FactLogError) {
                let outcome = try ledger.append(facts)
                logger.notice("\(outcome.appended) entries from \(facts.first?.id.origin ?? "nobody")")
                entries.answer(path, refusal: nil)
            } catch {
                entries.answer(path, refusal: error.words)
            }
        }
    }

    /// Replaces the memory as a whole: a crash leaves the old one or the new one.
    private func remember(_ feed: FactFeed, _ now: Moment) {
        let draft = files.memory + ".new"
        let bytes = Data(feed.memory(now: now).utf8)
        guard FileManager.default.createFile(atPath: draft, contents: bytes, attributes: [.posixPermissions: 0o600]) else {
            logger.warning("\(draft) cannot be written: runs that last through a restart are not proven")
            return
        }
        rename(draft, files.memory)
    }
}

/// This machine's boot id, or nil where the kernel does not tell it.
func bootID() -> String? {
    guard let data = FileManager.default.contents(atPath: "/proc/sys/kernel/random/boot_id") else { return nil }
    let text = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isWhitespace).first.map(String.init)
    return text.flatMap { $0.isEmpty ? nil : $0 }
}

extension FactLogError {
    /// What is wrong, for an operator.
    var words: String {
        switch self {
        case .conflict(let id): "the fact \(id) is there with other content: two collectors write under one name; stop one of them"
        case .damaged(let sequence, let reason):
            "row \(sequence) is damaged: \(reason). Nothing is written until that is settled; see `steward usage verify`"
        case .medium(let words): words
        }
    }
}
