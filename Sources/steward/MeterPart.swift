import Collection
import Fleet
import Glibc
import LedgerStorage
import Libvirt
import Logging
import MeterFeed
import Metering
import OperatorFiles
import Threads

/// The meter of a running server: a thread of its own turns what the lanes hear into facts and commits them to the ledger.
final class MeterPart: Sendable {
    /// Reports and events that wait for the ledger: some minutes of a thousand hosts.
    static let maximumQueued = 100_000
    /// Facts that wait while the disk is full or gone; beyond that the feed begins anew, and what it did not write is a gap, not a guess.
    static let maximumPending = 500_000

    /// The files in the data folder.
    struct Paths {
        let folder: String
        var ledger: String { folder + "/ledger.db" }
        var memory: String { folder + "/meter.memory" }
    }

    private enum Input: Sendable {
        case report(LaneReport, Moment)
        case event(HostName, HypervisorEvent, Moment)
        case hosts([WatchedHost])
        case stop
    }

    private let inputs = Mailbox<Input>()
    private let ended = Mailbox<Void>()
    private let ledger: Ledger
    private let files: Paths
    private let clock: SystemClock
    private let logger: Logger

    /// Opens the ledger in the data folder, and makes it where there is none.
    init(folder: String, clock: SystemClock, logger: Logger) throws(Failure) {
        files = Paths(folder: folder)
        self.clock = clock
        self.logger = logger
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

    /// The meter as a part of a running server.
    func servePart(billing: String) -> ServePart {
        start()
        return ServePart(
            listener: listener, routes: UsageRoute(data: files.folder, billing: billing).routes,
            hostsChanged: { [self] hosts in inputs.put(.hosts(hosts)) }, close: { [self] in close() })
    }

    /// Closes every watch and returns once that is committed, or after five seconds.
    func close() {
        inputs.put(.stop)
        _ = ended.take(within: .seconds(5))
    }

    // MARK: - On the meter's thread

    private func newFeed() -> FactFeed {
        let machine = bootID() ?? "unknown"
        let origin = "collector:\(localHostName()):\(clock.now().wall.milliseconds)-\(String(UInt32.random(in: .min ... .max), radix: 16))"
        var feed = FactFeed(origin: origin, machine: machine)
        if let text = Files.text(files.memory, limit: FactFeed.maximumMemoryBytes), !feed.recall(text, now: clock.now()) {
            logger.warning("\(files.memory) is no whole memory of the meter: runs that last through this restart are not proven")
        }
        return feed
    }

    private func write() {
        var feed = newFeed()
        var hosts: [WatchedHost] = []
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
                case .hosts(let new):
                    hosts = new
                    pending += tell(hosts, to: &feed)
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
                    pending += tell(hosts, to: &feed)
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

    private func tell(_ hosts: [WatchedHost], to feed: inout FactFeed) -> [Fact] {
        var zones: [HostName: String] = [:]
        var boots: [HostName: String] = [:]
        for host in hosts {
            zones[host.name] = host.configured.zone
            // This machine's own libvirt; a socket elsewhere may be another host's that is forwarded.
            if host.uri.address == nil, !host.uri.text.contains("socket=") { boots[host.name] = bootID() }
        }
        return feed.setHosts(hosts.map(\.name), zones: zones, bootIDs: boots, now: clock.now())
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
        guard Files.replace(files.memory, with: Array(feed.memory(now: now).utf8)) else {
            logger.warning("\(files.memory) cannot be written: \(systemError()); runs that last through a restart are not proven")
            return
        }
    }
}

/// This machine's boot id, or nil where the kernel does not tell it.
func bootID() -> String? {
    Files.text("/proc/sys/kernel/random/boot_id", limit: 100)?.split(whereSeparator: \.isWhitespace).first.map(String.init)
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
