import Collection
import Fleet
import Glibc
import Libvirt
import Storage
import Synchronization
import TimeSeries

/// What Steward counts of itself: its scrapes, its CPU, its memory.
final class ProcessWatch: Sendable {
    private struct State {
        var figures: ProcessFigures
        var mapper = ProcessMapper()
    }

    private let clock: SystemClock
    private let state: Mutex<State>

    init(clock: SystemClock, build: [Label]) {
        self.clock = clock
        var figures = ProcessFigures()
        figures.start = clock.now().wall
        figures.build = build
        state = Mutex(State(figures: figures))
    }

    /// The CPU time that the calling thread has used.
    func threadNanoseconds() -> UInt64 { clock.threadNanoseconds() }

    /// Counts one answered scrape.
    func scraped(bytes: Int, nanoseconds: UInt64) {
        state.withLock { state in
            state.figures.scrapes += 1
            state.figures.scrapeBytes += UInt64(bytes)
            state.figures.scrapeNanoseconds += nanoseconds
        }
    }

    /// The figures now, as samples.
    func tick(at time: Timestamp) -> SourceTick {
        let cpu = clock.processNanoseconds()
        let resident = residentBytes()
        let files = countEntries("/proc/self/fd")
        let threads = countEntries("/proc/self/task")
        return state.withLock { state in
            state.figures.cpuNanoseconds = cpu
            state.figures.resident = resident
            // The folder that is being counted is open too.
            state.figures.openFiles = files.map { $0 - 1 }
            state.figures.threads = threads
            return state.mapper.map(state.figures, at: time)
        }
    }

    private func residentBytes() -> Bytes? {
        // Pages: total, resident, … (proc(5)).
        guard let text = try? readTextFile("/proc/self/statm"),
            let pages = text.split(separator: " ").dropFirst().first.flatMap({ UInt64($0) })
        else { return nil }
        return Bytes(pages * UInt64(sysconf(Int32(_SC_PAGESIZE))))
    }

    private func countEntries(_ path: String) -> UInt64? {
        guard let directory = opendir(path) else { return nil }
        defer { closedir(directory) }
        var count: UInt64 = 0
        while let entry = readdir(directory) {
            // Every name but "." and "..".
            if entry.pointee.d_name.0 != 46 { count += 1 }
        }
        return count
    }
}

/// What `steward_build_info` tells: Steward's version and the libraries that it runs with.
func buildLabels(_ runtime: LibvirtRuntime) -> [Label] {
    let number = runtime.libraryVersion
    let libvirt = "\(number / 1_000_000).\(number / 1000 % 1000).\(number % 1000)"
    return [Label("version", stewardVersion), Label("libvirt_library", libvirt), Label("sqlite", storeLibraryVersion())]
}
