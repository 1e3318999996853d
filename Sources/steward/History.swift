import Collection
import Fleet
import Glibc
import Logging
import Storage
import Synchronization
import Threads
import TimeSeries

/// The sample store of a running server: it takes what the lanes read, and seals and clears up on a thread of its own.
final class History: Sendable {
    /// Between two looks for something to seal: a host fills a segment in hours, so this costs nothing and delays nothing.
    private static let sealEvery = Duration.seconds(30)
    /// Between two runs of retention, which takes whole files of days away.
    private static let retainEvery = Duration.seconds(600)

    /// The store.
    let store: SampleStore
    /// The folder, held for as long as this lives: the ledger and the plans lie in it too.
    let folder: DataFolder
    private let feed = Mutex(HistoryFeed())
    private let orders = Mailbox<Void>()
    private let clock: SystemClock
    private let logger: Logger

    /// Opens the store of a folder, made with mode 0700 where it is not there.
    init(path: String, options: SampleStoreOptions, clock: SystemClock, logger: Logger) throws(Failure) {
        do throws(StorageError) {
            folder = try DataFolder(path: path)
            store = try SampleStore.open(folder: folder, options: options)
        } catch {
            throw Failure("\(error)")
        }
        self.clock = clock
        self.logger = logger
        if let warning = folder.warning { logger.warning("\(warning)") }
        // Answers go on without what is damaged: whoever reads them must be able to know.
        for damage in store.damages { logger.error("damaged, and left out of answers: \(damage); restore it from a backup") }
    }

    /// Starts sealing and retention.
    func start() {
        startThread(named: "store upkeep") { [self] in keepUp() }
    }

    /// Takes the samples of one host at one tick.
    ///
    /// Never waits for the disk.
    func take(_ ticks: [SourceTick], host: HostName, at time: Timestamp) {
        let new = feed.withLock { $0.take(ticks, host: host, at: time) }
        if !new.isEmpty { store.append(new) }
    }

    /// Takes Steward's own figures.
    func takeOwn(_ tick: SourceTick) { store.append([tick]) }

    /// Ends the series of a host that was taken out of the configuration.
    func forget(_ host: HostName, at time: Timestamp) {
        let ends = feed.withLock { $0.forget(host, at: time) }
        if !ends.isEmpty { store.append(ends) }
    }

    /// Commits what waits.
    func close() {
        orders.put(())
        store.close()
    }

    private func keepUp() {
        var sinceRetention = History.retainEvery
        var lastWords: String?
        while orders.take(within: History.sealEvery).isEmpty {
            sinceRetention += History.sealEvery
            do throws(StorageError) {
                try store.seal(now: clock.now().wall)
                if sinceRetention >= History.retainEvery {
                    sinceRetention = .zero
                    for file in try store.retain(now: clock.now().wall) { logger.info("retention removed \(folder.path)/\(file)") }
                }
                if lastWords != nil { logger.info("the store seals again") }
                lastWords = nil
            } catch {
                // Once for each new reason; the head keeps everything meanwhile, and head.db what was committed.
                if lastWords != "\(error)" { logger.error("the store cannot seal: \(error)") }
                lastWords = "\(error)"
            }
        }
    }
}
