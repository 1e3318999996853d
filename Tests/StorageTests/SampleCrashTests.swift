import Fleet
import Foundation
import Storage
import Testing
import TimeSeries

@Suite("The sample store's crashes", .serialized)
struct SampleCrashTests {
    /// Killings in one run; `make soak` asks for more.
    private static let rounds = Int(ProcessInfo.processInfo.environment["STEWARD_KILLS"] ?? "") ?? 20

    @Test("after kill -9 at any instant every acknowledged tick is there, none twice", .timeLimit(.minutes(10)))
    func killed() throws {
        var dice = SampleDice(seed: UInt64(SampleCrashTests.rounds))
        let temporary = TemporaryFolder()
        var acknowledged: [String: Set<Int64>] = [:]
        for round in 0..<SampleCrashTests.rounds {
            let output = try SampleCrashTests.runAndKill(
                temporary.path, seed: round, microseconds: UInt32.random(in: 2000...400_000, using: &dice))
            for line in output.split(separator: "\n", omittingEmptySubsequences: true) {
                let words = line.split(separator: " ")
                #expect(words.first != "failed", "\(line)")
                if words.count == 3, words[0] == "tick", let time = Int64(words[2]) {
                    acknowledged[String(words[1]), default: []].insert(time)
                }
            }
            try SampleCrashTests.check(temporary.path, acknowledged)
        }
        #expect(!acknowledged.isEmpty)
    }

    private static func check(_ path: String, _ acknowledged: [String: Set<Int64>]) throws {
        guard FileManager.default.fileExists(atPath: path) else { return }
        let store = try SampleStore.open(folder: DataFolder(path: path))
        #expect(try store.verify() == [])
        for (host, times) in acknowledged.sorted(by: { $0.key < $1.key }) {
            for guest in ["g0", "g1"] {
                var found: [String: SampleRun] = [:]
                let selection = SeriesSelection(
                    matchers: [LabelMatcher("host", equals: host), LabelMatcher("uuid", equals: guest)], from: Timestamp(seconds: 0),
                    through: Timestamp(seconds: 1 << 40))
                try store.select(selection) { labels, run in
                    found[labels["__name__"] ?? ""] = run
                    return true
                }
                let counts = try #require(found["count"])
                #expect(zip(counts.milliseconds, counts.milliseconds.dropFirst()).allSatisfy { $0 < $1 })
                #expect(times.isSubset(of: Set(counts.milliseconds)), "host \(host)")
                for (time, value) in zip(counts.milliseconds, counts.values) { #expect(value == Double(time / 1000 * 3)) }
                let hashes = try #require(found["hash"])
                #expect(hashes.values == hashes.milliseconds.map { Double(UInt64($0 / 1000) &* 0x9e37_79b9_7f4a_7c15) })
            }
        }
        store.close()
    }

    private static func runAndKill(_ path: String, seed: Int, microseconds: UInt32) throws -> String {
        let process = Process()
        process.executableURL = try writer()
        process.arguments = [path, "\(seed)", "30"]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let reader = Thread.collect(pipe.fileHandleForReading)
        // Not a wait for a condition: the instant is what is drawn by lot.
        usleep(microseconds)
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        return reader.wait()
    }

    /// The helper stands beside the test bundle.
    private static func writer() throws -> URL {
        var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        for _ in 0..<4 {
            let candidate = folder.appendingPathComponent("sample-writer")
            if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
            folder.deleteLastPathComponent()
        }
        throw StorageError(.other, "sample-writer was not built beside \(CommandLine.arguments[0])")
    }
}

/// Collects what a pipe gives, so that the child never waits for us.
final class PipeCollector: @unchecked Sendable {
    private let done = DispatchSemaphore(value: 0)
    private var data = Data()

    init(_ handle: FileHandle) {
        Thread.detachNewThread { [self] in
            data = (try? handle.readToEnd()) ?? Data()
            done.signal()
        }
    }

    func wait() -> String {
        done.wait()
        return String(decoding: data, as: UTF8.self)
    }
}

extension Thread {
    static func collect(_ handle: FileHandle) -> PipeCollector { PipeCollector(handle) }
}
