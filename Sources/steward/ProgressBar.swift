import Actuation
import Fleet
import Glibc
import Synchronization

/// Shows migrations as they go: one line a migration that is redrawn on a terminal, single lines elsewhere.
final class ProgressBar: Sendable {
    private struct State {
        var latest: [GuestID: MigrationProgress] = [:]
        var hasLine = false
    }

    private let names: Mutex<[GuestID: String]> = Mutex([:])
    private let state = Mutex(State())
    private let isQuiet: Bool

    init(isQuiet: Bool) { self.isQuiet = isQuiet }

    func setNames(_ all: [GuestID: String]) { names.withLock { $0 = all } }

    /// The last progress of a guest, with the figures of its end.
    func last(_ guest: GuestID) -> MigrationProgress? { state.withLock { $0.latest[guest] } }

    func show(_ progress: MigrationProgress) {
        let name = names.withLock { $0[progress.guest] } ?? progress.guest.description
        state.withLock { state in
            let earlier = state.latest[progress.guest]
            // The end's figures come from the target; what it does not say is kept.
            if !(progress.hasEnded && progress.total.count == 0 && earlier != nil) { state.latest[progress.guest] = progress }
            guard !isQuiet, Terminal.isInteractive, !progress.hasEnded else { return }
            state.hasLine = true
            write("\r\u{1b}[K" + line(name, progress))
        }
    }

    /// Prints a line above the bar.
    func say(_ text: String) {
        guard !isQuiet else { return }
        state.withLock { state in
            if state.hasLine { write("\r\u{1b}[K") }
            state.hasLine = false
            write(text + "\n")
        }
    }

    private func line(_ name: String, _ progress: MigrationProgress) -> String {
        let width = 24
        let total = progress.total.count
        let sent = total > progress.remaining.count ? total - progress.remaining.count : 0
        let filled = total == 0 ? 0 : Int(sent * UInt64(width) / total)
        let percent = total == 0 ? 0 : sent * 100 / total
        var text = "\(name) \(progress.source) → \(progress.target) [" + String(repeating: "#", count: filled)
        text += String(repeating: ".", count: width - filled) + "] \(percent) %"
        if let rate = progress.rate { text += "  \(rate)/s" }
        if let pass = progress.pass { text += "  pass \(pass)" }
        return text + "  \(progress.elapsed.milliseconds / 1000) s"
    }

    private func write(_ text: String) {
        var text = text
        _ = text.withUTF8 { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
    }
}
