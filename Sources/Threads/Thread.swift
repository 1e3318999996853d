import Fleet
import Glibc

/// Starts a detached thread with a name that `top -H` shows (cut at 15 bytes, the kernel's bound).
///
/// Blocking calls live on threads of their own, never on Swift's cooperative pool, which has as many threads as cores.
package func startThread(named name: String, _ body: @escaping @Sendable () -> Void) {
    /// Lanes keep little on the stack; libvirt's deepest calls were seen under 64 KiB.
    let stackBytes = 512 << 10
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, stackBytes)
    let start = Unmanaged.passRetained(ThreadStart(name: name, body: body))
    var thread = pthread_t()
    let status = pthread_create(
        &thread, &attributes,
        { argument in
            guard let argument else { return nil }
            let start = Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
            nameThisThread(start.name)
            start.body()
            return nil
        }, start.toOpaque())
    if status != 0 {
        start.release()
        // Without threads nothing can be watched; dying loudly lets the service manager start us afresh.
        let words = "steward: pthread_create failed: \(String(cString: strerror(status))); raise the limit of tasks\n"
        _ = words.withCString { write(STDERR_FILENO, $0, strlen($0)) }
        abort()
    }
}

/// pthread_setname_np is a GNU extension that Swift's Glibc does not show; the kernel's file does the same.
private func nameThisThread(_ name: String) {
    let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = name.withCString { write(descriptor, $0, min(15, strlen($0))) }
    close(descriptor)
}

private final class ThreadStart: Sendable {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}

/// A queue between threads: any may put, one takes.
package final class Mailbox<Item: Sendable>: @unchecked Sendable {
    // @unchecked: the queue is touched under the pthread mutex only. Synchronization.Mutex has no condition variable to wait on.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let arrived: UnsafeMutablePointer<pthread_cond_t>
    private var items: [Item] = []

    package init() {
        mutex = .allocate(capacity: 1)
        arrived = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // Waits are measured on the clock that does not step.
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(arrived, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(arrived)
        pthread_mutex_destroy(mutex)
        arrived.deallocate()
        mutex.deallocate()
    }

    package func put(_ item: Item) {
        pthread_mutex_lock(mutex)
        items.append(item)
        pthread_cond_signal(arrived)
        pthread_mutex_unlock(mutex)
    }

    /// Takes all that is there, waiting for something until `limit` has passed; nil waits for ever.
    package func take(within limit: Duration?) -> [Item] {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if let limit {
            var until = timespec()
            clock_gettime(CLOCK_MONOTONIC, &until)
            let (seconds, attoseconds) = max(limit, .zero).components
            until.tv_sec += Int(seconds)
            until.tv_nsec += Int(attoseconds / 1_000_000_000)
            if until.tv_nsec >= 1_000_000_000 {
                until.tv_sec += 1
                until.tv_nsec -= 1_000_000_000
            }
            while items.isEmpty, pthread_cond_timedwait(arrived, mutex, &until) == 0 {}
        } else {
            while items.isEmpty { pthread_cond_wait(arrived, mutex) }
        }
        defer { items = [] }
        return items
    }
}
