import Fleet
import Glibc

/// How a program ended.
enum ProcessEnd {
    /// By itself, with that status; the words are the last it wrote.
    case exited(Int32, String)
    /// It was killed at its deadline.
    case timedOut
    /// It could not be started, or died of a signal.
    case notRun(String)
}

/// What of a program's output is kept: enough for an error message, whatever it prints.
private let outputMaximum = 4096

/// Runs a program with a text on its standard input, in a process group of its own so that a deadline ends its children too.
func runProcess(_ arguments: [String], input: String, within limit: Duration) -> ProcessEnd {
    var toChild: [Int32] = [-1, -1]
    var fromChild: [Int32] = [-1, -1]
    guard pipe(&toChild) == 0 else { return .notRun("pipe: \(String(cString: strerror(errno)))") }
    guard pipe(&fromChild) == 0 else {
        close(toChild[0])
        close(toChild[1])
        return .notRun("pipe: \(String(cString: strerror(errno)))")
    }
    // Swift's Glibc has no pipe2. A child of another thread that is started in between inherits an end; nothing here waits for its end.
    for descriptor in toChild + fromChild { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
    posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
    posix_spawn_file_actions_adddup2(&actions, fromChild[1], 2)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    posix_spawnattr_setpgroup(&attributes, 0)
    // The child must not inherit that we block signals, or nobody could end it.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
    var child = pid_t()
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    let status = posix_spawnp(&child, arguments[0], &actions, &attributes, &words, environ)
    for word in words { free(word) }
    posix_spawn_file_actions_destroy(&actions)
    posix_spawnattr_destroy(&attributes)
    close(toChild[0])
    close(fromChild[1])
    defer { close(fromChild[0]) }
    guard status == 0 else {
        close(toChild[1])
        return .notRun("\(arguments[0]) cannot be run: \(String(cString: strerror(status))); is its package installed?")
    }
    writeAll(input, to: toChild[1])
    close(toChild[1])
    return wait(for: child, reading: fromChild[0], until: ContinuousClock.now + limit)
}

private func writeAll(_ text: String, to descriptor: Int32) {
    // A child that does not read would raise SIGPIPE, which ends us: settings fit into a pipe, and the write end is ignored then.
    var text = text
    signal(SIGPIPE, SIG_IGN)
    _ = text.withUTF8 { write(descriptor, $0.baseAddress, $0.count) }
}

private func wait(for child: pid_t, reading descriptor: Int32, until end: ContinuousClock.Instant) -> ProcessEnd {
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    var isOpen = true
    while true {
        let left = (end - ContinuousClock.now).milliseconds
        if left <= 0 {
            kill(-child, SIGKILL)
            var status: Int32 = 0
            waitpid(child, &status, 0)
            return .timedOut
        }
        if isOpen {
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if poll(&waiting, 1, Int32(min(left, 100))) > 0 {
                let count = read(descriptor, &buffer, buffer.count)
                if count > 0 { output = Array((output + buffer.prefix(count)).suffix(outputMaximum)) } else { isOpen = false }
            }
        } else {
            usleep(10_000)
        }
        var status: Int32 = 0
        guard waitpid(child, &status, WNOHANG) == child else { continue }
        let words = String(decoding: output, as: UTF8.self).split(separator: "\n").suffix(3).joined(separator: "; ")
        let signal = status & 0x7F
        return signal == 0 ? .exited((status >> 8) & 0xFF, words) : .notRun("it died of signal \(signal): \(words)")
    }
}
