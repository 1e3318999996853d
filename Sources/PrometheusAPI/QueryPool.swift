import Dispatch
import Glibc
import Synchronization

/// Says to a running query that nobody waits for its answer any more.
public final class CancelFlag: Sendable {
    private let flag = Atomic(false)

    /// A flag that is not set.
    public init() {}

    /// Whether it was set.
    public var isSet: Bool { flag.load(ordering: .relaxed) }

    /// Sets it, for good.
    public func set() { flag.store(true, ordering: .relaxed) }
}

/// A bounded number of threads that answer queries, and a bounded queue before them.
///
/// Queries block on disks and burn a core each; on Swift's cooperative pool, which has as many threads as cores, two of them would stop
/// every scrape.
public final class QueryPool: Sendable {
    /// Queries that run at once.
    public let threads: Int
    /// Queries that may wait; those beyond are refused, so that a dashboard storm costs its senders and nobody else.
    public let queueLimit: Int

    private struct State {
        var waiting: [@Sendable () -> Void] = []
        var running = 0
        var isClosed = false
    }

    private let state = Mutex(State())
    private let arrived = DispatchSemaphore(value: 0)

    /// Evaluating a query that nests `Expression.depthLimit` deep stays under 1 MiB; four leave room.
    private static let stackBytes = 4 << 20

    /// Starts the threads.
    public init(threads: Int = 4, queueLimit: Int = 64) {
        self.threads = max(1, threads)
        self.queueLimit = max(0, queueLimit)
        for _ in 0..<self.threads { QueryPool.startThread { [weak self] in self?.next() ?? false } }
    }

    /// Lets the threads end once what they run is done; what waits is still answered.
    public func close() {
        state.withLock { $0.isClosed = true }
        for _ in 0..<threads { arrived.signal() }
    }

    /// Queries that run and that wait.
    public var load: (running: Int, waiting: Int) { state.withLock { ($0.running, $0.waiting.count) } }

    /// Runs a piece of work on a thread of the pool; nil where the queue is full or the pool closed.
    ///
    /// The flag is set when the calling task is cancelled: the client went away.
    public func run<Answer: Sendable>(_ work: @escaping @Sendable (CancelFlag) -> Answer) async -> Answer? {
        let flag = CancelFlag()
        return await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Answer?, Never>) in
                let isTaken = state.withLock { state in
                    let isFree = state.running + state.waiting.count < threads
                    if state.isClosed || (!isFree && state.waiting.count >= queueLimit) { return false }
                    state.waiting.append { continuation.resume(returning: work(flag)) }
                    return true
                }
                if isTaken { arrived.signal() } else { continuation.resume(returning: nil) }
            }
        } onCancel: {
            flag.set()
        }
    }

    /// Waits for one piece of work and does it; false when the thread should end.
    private func next() -> Bool {
        arrived.wait()
        let work: (@Sendable () -> Void)? = state.withLock { state in
            if state.waiting.isEmpty { return nil }
            state.running += 1
            return state.waiting.removeFirst()
        }
        guard let work else { return false }
        work()
        state.withLock { $0.running -= 1 }
        return true
    }

    private final class ThreadBody: Sendable {
        let next: @Sendable () -> Bool
        init(_ next: @escaping @Sendable () -> Bool) { self.next = next }
    }

    private static func startThread(_ next: @escaping @Sendable () -> Bool) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, stackBytes)
        let body = Unmanaged.passRetained(ThreadBody(next))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                let body = Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue()
                while body.next() {}
                return nil
            }, body.toOpaque())
        // Fewer threads answer more slowly; with none at all the queue fills and clients are told.
        if status != 0 { body.release() }
    }
}
