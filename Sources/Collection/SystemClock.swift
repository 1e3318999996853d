public import Fleet
import Glibc

/// This machine's clocks; the one place that reads them.
public struct SystemClock: Sendable {
    /// The clocks.
    public init() {}

    /// Now, on both clocks.
    public func now() -> Moment {
        var wall = timespec()
        clock_gettime(CLOCK_REALTIME, &wall)
        var monotonic = timespec()
        // Counts time asleep too, unlike CLOCK_MONOTONIC: a suspended watcher must notice that time went by.
        clock_gettime(CLOCK_BOOTTIME, &monotonic)
        return Moment(
            wall: Timestamp(milliseconds: Int64(wall.tv_sec) * 1000 + Int64(wall.tv_nsec) / 1_000_000),
            uptime: .seconds(monotonic.tv_sec) + .nanoseconds(monotonic.tv_nsec))
    }

    /// The CPU time that this process has used, in nanoseconds, user and system.
    public func processNanoseconds() -> UInt64 { nanoseconds(CLOCK_PROCESS_CPUTIME_ID) }

    /// The CPU time that the calling thread has used, in nanoseconds.
    public func threadNanoseconds() -> UInt64 { nanoseconds(CLOCK_THREAD_CPUTIME_ID) }

    private func nanoseconds(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
