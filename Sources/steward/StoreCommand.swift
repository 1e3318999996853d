import ArgumentParser
import Glibc
import Storage

struct StoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store",
        abstract: "Looks after the samples in a data folder: sizes, checks, import, export, backup.",
        discussion: """
            The samples are SQLite files: head.db, what is not sealed yet, and samples-N.db, sealed and append-only, each of which \
            can be copied by itself. These commands take the folder's lock, so stop a `steward serve` that has it first.
            """,
        subcommands: [StoreStats.self, StoreVerify.self, StoreImport.self, StoreExport.self, StoreBackup.self])
}

/// Which data folder a command is about.
struct DataOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The data folder of `steward serve`.", valueName: "DIR"))
    var data: String

    /// Opens the folder's store; one that is not there is made only when `creating`.
    ///
    /// Nothing expires in a store that a command opens.
    func openStore(creating: Bool = false) throws -> SampleStore {
        if !creating, access(data + "/head.db", F_OK) != 0 {
            throw Failure("no samples in '\(data)': it has no head.db; give --data the folder that `steward serve --data` writes to")
        }
        var options = SampleStoreOptions()
        options.retention = nil
        do throws(StorageError) {
            let folder = try DataFolder(path: data)
            if let warning = folder.warning { printError("steward: \(warning)") }
            return try SampleStore.open(folder: folder, options: options)
        } catch { throw Failure(error.description) }
    }
}

/// A line on a terminal that says how far a long command is; nothing where standard error is no terminal.
struct StoreProgress {
    private let title: String
    private let total: Int
    private let isShown = isatty(STDERR_FILENO) == 1
    private var shown = -1

    /// `total` is in any unit; 0 when it is not known.
    init(_ title: String, total: Int) {
        self.title = title
        self.total = total
    }

    mutating func show(_ done: Int) {
        guard isShown, total > 0 else { return }
        let percent = min(100, done * 100 / total)
        guard percent != shown else { return }
        shown = percent
        let width = 40
        let filled = percent * width / 100
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
        _ = writeWhole(Array("\r\(title) [\(bar)] \(percent) %".utf8), to: STDERR_FILENO)
    }

    /// Takes the line away.
    mutating func clear() {
        guard shown >= 0 else { return }
        _ = writeWhole(Array("\r\u{1b}[K".utf8), to: STDERR_FILENO)
        shown = -1
    }
}

/// Bytes a sample, rounded to thousandths, as text that is a JSON number too.
func thousandthsText(_ value: Double) -> String {
    let thousandths = Int64((value * 1000).rounded())
    let fraction = String(1000 + thousandths % 1000).dropFirst()
    return "\(thousandths / 1000).\(fraction)"
}

/// The size of a file in bytes; 0 where it cannot be told.
func fileBytes(_ path: String) -> Int {
    var information = stat()
    return stat(path, &information) == 0 ? Int(information.st_size) : 0
}

/// Writes all bytes; false when the other end takes no more.
func writeWhole(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var start = 0
    while start < bytes.count {
        let written = bytes[start...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if written < 0, errno == EINTR { continue }
        guard written > 0 else { return false }
        start += written
    }
    return true
}
