import Glibc
import TimeSeries

/// The one thread that writes `head.db`: takes what waits, commits it at once, tells who asked.
final class StoreWriter: @unchecked Sendable {
    // @unchecked: everything below is touched under the pthread mutex only; Synchronization.Mutex has nothing to wait on.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let changed: UnsafeMutablePointer<pthread_cond_t>
    private var queue: [PendingTick] = []
    private var sealed: [Int64] = []
    private var forgotten: [UInt32] = []
    private var isClosing = false
    private var isIdle = true
    private var mustCheckpoint = false
    private var isDone = false
    private var lastFailure: StorageError?
    private var thread: pthread_t?
    private var errand: Errand?
    private var errandResult: Result<Void, StorageError>?

    /// What the thread needs from the store.
    struct Hooks: Sendable {
        /// Ticks are durable.
        var committed: @Sendable ([PendingTick]) -> Void
        /// A commit failed.
        var failed: @Sendable (StorageError) -> Void
    }

    /// Something else to do with the file, between two commits.
    typealias Errand = @Sendable (borrowing HeadDatabase) throws(StorageError) -> Void

    /// Rows of sealed ticks are deleted this many at a time, so that one commit stays small.
    static let mostDeletions = 4096

    /// Between two attempts to write to a disk that refuses.
    private let retryMilliseconds: Int

    init(retryMilliseconds: Int) {
        self.retryMilliseconds = retryMilliseconds
        mutex = .allocate(capacity: 1)
        changed = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
        changed.deallocate()
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    func enqueue(_ tick: PendingTick) {
        locked {
            queue.append(tick)
            pthread_cond_broadcast(changed)
        }
    }

    /// Deletes rows that segments hold now, when there is something to write anyway or enough of them.
    func drop(_ sequences: [Int64], forgetting sources: [UInt32] = []) {
        locked {
            sealed += sequences
            forgotten += sources
            pthread_cond_broadcast(changed)
        }
    }

    /// Waits until everything enqueued so far is durable; throws when the disk refuses.
    func flush(checkpointing: Bool = false) throws(StorageError) {
        let failure: StorageError? = locked {
            if checkpointing { mustCheckpoint = true }
            lastFailure = nil
            pthread_cond_broadcast(changed)
            while !isDone, lastFailure == nil, !queue.isEmpty || !sealed.isEmpty || !isIdle || mustCheckpoint {
                pthread_cond_wait(changed, mutex)
            }
            return lastFailure
        }
        if let failure { throw failure }
    }

    /// Has the writer's thread do something with `head.db`, and waits for it.
    ///
    /// One at a time: the caller holds the store's maintenance lock.
    func perform(_ body: @escaping Errand) throws(StorageError) {
        let result: Result<Void, StorageError> = locked {
            errand = body
            errandResult = nil
            pthread_cond_broadcast(changed)
            while errandResult == nil, !isDone { pthread_cond_wait(changed, mutex) }
            return errandResult ?? .failure(StorageError(.other, "the store is closed"))
        }
        try result.get()
    }

    private func runErrand(_ database: borrowing HeadDatabase) {
        guard let body = locked({ errand }) else { return }
        let result: Result<Void, StorageError>
        do throws(StorageError) {
            try body(database)
            result = .success(())
        } catch { result = .failure(error) }
        locked {
            errand = nil
            errandResult = result
            pthread_cond_broadcast(changed)
        }
    }

    /// Waits until fewer than `bound` ticks of all hosts wait.
    func waitForRoom(_ bound: Int) {
        locked { while queue.count >= bound, !isDone, lastFailure == nil { pthread_cond_wait(changed, mutex) } }
    }

    /// Ends the thread after what waits is written, or refused once more.
    func close() {
        locked {
            isClosing = true
            pthread_cond_broadcast(changed)
            // The store's last reference may go on the writer's own thread, which cannot wait for itself.
            if let thread, pthread_equal(thread, pthread_self()) != 0 { return }
            while !isDone { pthread_cond_wait(changed, mutex) }
        }
    }

    /// Tells that the thread is done and its database closed: the file is anybody's from here on.
    func ended() {
        locked {
            isDone = true
            pthread_cond_broadcast(changed)
        }
    }

    /// The thread's body.
    ///
    /// `database` is nobody else's.
    func run(_ database: consuming HeadDatabase, syncMilliseconds: Int, hooks: Hooks) {
        locked { thread = pthread_self() }
        work(database, syncMilliseconds: syncMilliseconds, hooks: hooks)
        // Here, not when the caller lets go of it: whoever waits for the end may open the file at once.
        _ = consume database
    }

    private func work(_ database: borrowing HeadDatabase, syncMilliseconds: Int, hooks: Hooks) {
        var lastSync = monotonicMilliseconds()
        var logPages = 0
        while true {
            let (ticks, deletions, sources, checkpoint, closing) = take(until: lastSync + syncMilliseconds)
            do throws(StorageError) {
                if !ticks.isEmpty || !deletions.isEmpty { try database.commit(ticks, dropping: deletions) }
                if !sources.isEmpty { try database.forget(sources) }
                logPages += ticks.reduce(0) { $0 + $1.data.count / 4096 + 2 } + deletions.count
                let isDue = monotonicMilliseconds() - lastSync >= syncMilliseconds
                if checkpoint || closing || logPages >= HeadDatabase.longestLogPages / 2 {
                    try database.checkpoint(trimming: checkpoint || closing)
                    logPages = 0
                    lastSync = monotonicMilliseconds()
                } else if isDue {
                    if logPages > 0 { try database.sync() }
                    logPages = 0
                    lastSync = monotonicMilliseconds()
                }
                if !ticks.isEmpty { hooks.committed(ticks) }
                runErrand(database)
                if finish(checkpointed: checkpoint) { return }
            } catch {
                hooks.failed(error)
                runErrand(database)
                if giveBack(ticks, deletions, error) { return }
            }
        }
    }

    private func take(until deadline: Int) -> ([PendingTick], [Int64], [UInt32], Bool, Bool) {
        locked {
            while queue.isEmpty, sealed.isEmpty, forgotten.isEmpty, errand == nil, !isClosing, !mustCheckpoint,
                monotonicMilliseconds() < deadline
            {
                wait(milliseconds: max(1, deadline - monotonicMilliseconds()))
            }
            isIdle = false
            let ticks = queue
            queue.removeAll()
            let deletions = Array(sealed.prefix(StoreWriter.mostDeletions))
            sealed.removeFirst(deletions.count)
            let sources = sealed.isEmpty ? forgotten : []
            if sealed.isEmpty { forgotten.removeAll() }
            return (ticks, deletions, sources, mustCheckpoint && sealed.isEmpty, isClosing && sealed.isEmpty)
        }
    }

    /// True when the thread is to end.
    private func finish(checkpointed: Bool) -> Bool {
        locked {
            isIdle = true
            lastFailure = nil
            if checkpointed { mustCheckpoint = false }
            pthread_cond_broadcast(changed)
            return isClosing && queue.isEmpty && sealed.isEmpty
        }
    }

    /// Puts back what could not be written, and waits a little; true when the thread is to end.
    private func giveBack(_ ticks: [PendingTick], _ deletions: [Int64], _ failure: StorageError) -> Bool {
        locked {
            queue = ticks + queue
            sealed = deletions + sealed
            lastFailure = failure
            mustCheckpoint = false
            isIdle = true
            pthread_cond_broadcast(changed)
            if !isClosing { wait(milliseconds: retryMilliseconds) }
            return isClosing
        }
    }

    private func wait(milliseconds: Int) {
        var until = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        let nanoseconds = Int(until.tv_nsec) + milliseconds % 1000 * 1_000_000
        until.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
        until.tv_nsec = nanoseconds % 1_000_000_000
        pthread_cond_timedwait(changed, mutex, &until)
    }
}

/// Milliseconds of a clock that only goes forward: for waiting, never for data.
func monotonicMilliseconds() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// Runs a body on a thread of its own.
func startStorageThread(_ body: @escaping @Sendable () -> Void) throws(StorageError) {
    final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    let start = Unmanaged.passRetained(Start(body))
    var thread = pthread_t()
    let status = pthread_create(
        &thread, &attributes,
        { argument in
            guard let argument else { return nil }
            Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        }, start.toOpaque())
    guard status == 0 else {
        start.release()
        throw StorageError(.other, "cannot start a thread: \(String(cString: strerror(status))); raise the limit of tasks")
    }
}
