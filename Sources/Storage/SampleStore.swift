import Fleet
import Glibc
import Synchronization
public import TimeSeries

/// The time-series store: readings in, series out, in SQLite files under the data folder.
///
/// A reading is published to the head at once and queued to the one writer; when `head.db` has committed it, it is acknowledged. Sealing
/// turns the head's readings into compressed segments in partition files. Sealing and retention run when asked, on the caller's thread.
public final class SampleStore: SampleSink, SeriesSource, Sendable {
    let folder: DataFolder
    let options: SampleStoreOptions
    let core: Mutex<StoreCore>
    let writer: StoreWriter
    /// One seal or retention run at a time.
    let maintenance = Mutex(())
    /// One rolling up at a time; sealing goes on meanwhile.
    let rolling = Mutex(())
    let damageLog: DamageLog

    private init(folder: DataFolder, options: SampleStoreOptions, core: consuming sending StoreCore, damageLog: DamageLog) {
        self.damageLog = damageLog
        self.folder = folder
        self.options = options
        writer = StoreWriter(retryMilliseconds: max(1, Int(options.retryInterval.milliseconds)))
        self.core = Mutex(core)
    }

    /// Opens the store of a folder, makes it when it is new, and replays what was not sealed.
    public static func open(folder: DataFolder, options: SampleStoreOptions = SampleStoreOptions()) throws(StorageError) -> SampleStore {
        var core = StoreCore()
        let damageLog = DamageLog()
        let database = try HeadDatabase.open(path: folder.path + "/head.db", vfs: options.fileSystem)
        var covered: [String: Int64] = [:]
        for name in try folder.files() {
            let isLeftOver = name.hasSuffix(".gone") || name.hasSuffix(".unfinished") || name.hasSuffix(".unfinished-journal")
            if name.hasPrefix("samples-") || name.hasPrefix("rollup-"), isLeftOver { unlink(folder.path + "/" + name) }
            if let (resolution, number) = RollupFile.parse(name) {
                let partition = Partition(number: number, path: folder.path + "/" + name, vfs: options.fileSystem)
                do throws(StorageError) {
                    core.rollups.append(RollupFile(resolution: resolution, partition: partition, span: try partition.span()))
                } catch {
                    guard error.reason == .damaged else { throw error }
                    // Derived: when the samples are still there it is made again under its name.
                    damageLog.add(StoreDamage(file: name, segment: nil, message: error.description))
                }
                continue
            }
            guard let number = Partition.number(ofFile: name) else { continue }
            core.highestPartition = max(core.highestPartition, number)
            let partition = Partition(number: number, path: folder.path + "/" + name, vfs: options.fileSystem)
            do throws(StorageError) {
                let (entries, sealed) = try partition.open(&core.layouts, &core.index)
                core.partitions.append(PartitionView(partition, entries: entries))
                for (host, through) in sealed { covered[host] = max(covered[host] ?? 0, through) }
            } catch {
                guard error.reason == .damaged else { throw error }
                // One bad file does not stop the collector; its name stays taken, for whoever can repair it.
                damageLog.add(StoreDamage(file: name, segment: nil, message: error.description))
            }
        }
        core.partitions.sort { $0.partition.number < $1.partition.number }
        try core.layouts.read(database.connection, into: &core.index)
        core.nextSequence = (covered.values.max() ?? 0) + 1
        let leftovers = try replay(database, covered: covered, into: &core)
        let store = SampleStore(folder: folder, options: options, core: core, damageLog: damageLog)
        try store.start(database)
        if !leftovers.isEmpty { store.writer.drop(leftovers) }
        return store
    }

    /// Takes the unsealed ticks into the head; returns the sequence numbers of those that segments hold already.
    private static func replay(
        _ database: borrowing HeadDatabase, covered: [String: Int64], into core: inout StoreCore
    ) throws(StorageError) -> [Int64] {
        var leftovers: [Int64] = []
        let path = database.connection.path
        try database.readTicks { sequence, host, data throws(StorageError) in
            if sequence <= covered[host] ?? 0 {
                leftovers.append(sequence)
                return
            }
            do throws(DamagedData) {
                try core.replay(sequence: sequence, host: host, data: data)
            } catch {
                throw StorageError(.damaged, "\(path): \(error); restore a backup, or delete that row to go on without it")
            }
        }
        // What comes next must not lean on rows that a later seal may take away.
        for lane in core.lanes.indices { core.lanes[lane].cut() }
        return leftovers
    }

    private func start(_ database: consuming HeadDatabase) throws(StorageError) {
        // A noncopyable value cannot be captured by an escaping closure; the box hands it to the thread once.
        let box = DatabaseBox(database)
        let hooks = StoreWriter.Hooks(
            committed: { [weak self] ticks in self?.committed(ticks) },
            failed: { [weak self] _ in self?.core.withLock { $0.counters.failedCommits += 1 } })
        let writer = self.writer
        let interval = Int(options.syncInterval.milliseconds)
        do throws(StorageError) {
            try startStorageThread {
                box.run { writer.run($0, syncMilliseconds: interval, hooks: hooks) }
                writer.ended()
            }
        } catch {
            // There is no thread whose end the store's own end could wait for.
            writer.ended()
            throw error
        }
    }

    private func committed(_ ticks: [PendingTick]) {
        core.withLock { core in
            core.counters.committedTicks += ticks.count
            for tick in ticks { core.lanes[core.lane(of: tick.host)].queued -= 1 }
        }
        options.acknowledged?(
            ticks.map { Acknowledgement(host: $0.host, time: Timestamp(milliseconds: $0.time), samples: $0.samples) })
    }

    /// Publishes the readings and queues them for the disk; never waits.
    ///
    /// The readings of one host are one tick.
    ///
    /// When `queuedTicks` of a host wait already, its tick stays in memory until it is sealed, and is counted as a gap.
    public func append(_ ticks: [SourceTick]) {
        core.withLock { core in
            for (host, group) in SampleStore.byHost(ticks) { publish(group, host: host, bound: options.queuedTicks, in: &core) }
        }
    }

    /// Publishes the readings, and waits for a place in the queue first: for imports, which must not leave gaps.
    public func appendWaiting(_ ticks: [SourceTick]) {
        /// Enough that the writer's commits are large, few enough that they are little memory.
        let most = 256
        writer.waitForRoom(most)
        core.withLock { core in
            for (host, group) in SampleStore.byHost(ticks) { publish(group, host: host, bound: .max, in: &core) }
        }
    }

    private func publish(_ ticks: [SourceTick], host: String, bound: Int, in core: inout StoreCore) {
        guard let pending = core.append(ticks, host: host) else { return }
        let lane = core.lane(of: host)
        core.limitHead(to: Int(options.headBytes.count), lane: lane)
        guard core.lanes[lane].queued < bound else {
            core.counters.gapTicks += 1
            core.unsavedSources += pending.newSources.map(\.source)
            // The next row that reaches the disk must not lean on this one.
            core.lanes[lane].cut()
            return
        }
        core.lanes[lane].queued += 1
        core.lanes[lane].sequences.append(pending.sequence)
        writer.enqueue(pending)
    }

    /// Groups by the `host` label, hosts in the order in which they first come.
    private static func byHost(_ ticks: [SourceTick]) -> [(String, [SourceTick])] {
        var groups: [(String, [SourceTick])] = []
        var positions: [String: Int] = [:]
        for tick in ticks {
            let host = tick.schema.labels["host"] ?? ""
            if let last = groups.last, last.0 == host {
                groups[groups.count - 1].1.append(tick)
            } else if let known = positions[host] {
                groups[known].1.append(tick)
            } else {
                positions[host] = groups.count
                groups.append((host, [tick]))
            }
        }
        return groups
    }

    /// Waits until everything published and queued so far is committed; throws when the disk refuses.
    public func flush() throws(StorageError) { try writer.flush() }

    /// Copies the log back into `head.db`, gives its free pages back, and makes all of it survive a power cut.
    public func checkpoint() throws(StorageError) { try writer.flush(checkpointing: true) }

    /// Commits what waits, and ends the writer.
    ///
    /// The store takes nothing any more.
    public func close() { writer.close() }

    deinit { writer.close() }

    /// What was found damaged since the store was opened, at most 1,000: it is left out of answers.
    public var damages: [StoreDamage] { damageLog.all }

    /// What was counted since the store was opened.
    public var counters: SampleStoreCounters { core.withLock { $0.counters } }

    /// A logical snapshot: it sees each sample that is published now exactly once, whatever is sealed or removed meanwhile.
    public func snapshot() -> StoreSnapshot { StoreSnapshot(core.withLock { $0 }, damageLog) }

    /// Visits the series of the selection, as `SeriesSource` asks.
    public func select(_ selection: SeriesSelection, visit: (LabelSet, SampleRun) -> Bool) throws(SeriesSourceError) {
        try snapshot().select(selection, visit: visit)
    }

    /// The label sets of the selection, as `SeriesSource` asks.
    public func labelSets(_ selection: SeriesSelection) throws(SeriesSourceError) -> [LabelSet] {
        try snapshot().labelSets(selection)
    }
}

/// Hands a noncopyable database to one thread, once.
private final class DatabaseBox: @unchecked Sendable {
    // @unchecked: filled before the thread starts, emptied by it alone.
    private var database: HeadDatabase?

    init(_ database: consuming HeadDatabase) { self.database = consume database }

    func run(_ body: (consuming HeadDatabase) -> Void) {
        guard let taken = database.take() else { return }
        body(taken)
    }
}

extension Lane {
    /// Makes every stream's next row begin a block.
    mutating func cut() {
        for index in heads.indices { heads[index].cut() }
        for index in late.indices { late[index].cut() }
    }

    var headBytes: Int { heads.reduce(0) { $0 + $1.byteCount } + late.reduce(0) { $0 + $1.byteCount } }
}

extension StoreCore {
    /// Drops the oldest unsealed blocks of a host that has more than its share of memory: only a disk that refuses for long leads here.
    mutating func limitHead(to bytes: Int, lane: Int) {
        // Counting takes a look at each block; every 64th tick is often enough.
        guard lanes[lane].ticks % 64 == 0 else { return }
        let share = max(1 << 20, bytes / max(1, lanes.count))
        guard lanes[lane].headBytes > share else { return }
        for index in lanes[lane].heads.indices {
            while lanes[lane].heads[index].extentCount > 1, lanes[lane].heads[index].byteCount > share / max(1, lanes[lane].heads.count) {
                counters.droppedReadings += lanes[lane].heads[index].firstRows
                lanes[lane].heads[index].removeFirst(1)
            }
        }
    }
}
