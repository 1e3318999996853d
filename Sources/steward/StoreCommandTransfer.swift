import ArgumentParser
import Collection
import Fleet
import Glibc
import Storage
import TimeSeries

/// What kinds of file can become history.
enum ImportFormat: String, CaseIterable, ExpressibleByArgument {
    case capture
    case openmetrics
    case prometheus
}

struct StoreImport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Takes captures, or text with timestamps, into the store.",
        discussion: """
            Where a series has a sample at a time already, that one stays, so importing a file twice changes nothing.

                steward store import lab.jsonl.gz --data /var/lib/steward
                steward store import old.om --format openmetrics --data /var/lib/steward
            """)

    @OptionGroup var data: DataOptions

    @Argument(help: ArgumentHelp("The files.", valueName: "FILE"))
    var files: [String]

    @Option(
        help: "capture (Steward's own, gzip or plain), openmetrics (timestamps in seconds) or prometheus (timestamps in milliseconds).")
    var format = ImportFormat.capture

    @Flag(help: "Print what was done as JSON.")
    var json = false

    func run() throws {
        let store = try data.openStore(creating: true)
        var total = (samples: 0, duplicates: 0)
        for file in files {
            let (samples, duplicates) = try format == .capture ? importCapture(file, store) : importText(file, store)
            total.samples += samples
            total.duplicates += duplicates
        }
        let stats = store.stats()
        store.close()
        if json {
            print(
                Json.object([
                    ("files", .integer(Int64(files.count))), ("samples", .integer(Int64(total.samples))),
                    ("duplicates", .integer(Int64(total.duplicates))), ("series", .integer(Int64(stats.series))),
                ]).serialized)
        } else {
            let repeated = total.duplicates == 0 ? "" : ", \(total.duplicates) repeated and left out"
            print("\(total.samples) samples taken\(repeated); the store has \(stats.series) series")
        }
    }

    private func importText(_ file: String, _ store: SampleStore) throws -> (Int, Int) {
        var bar = StoreProgress(file, total: fileBytes(file))
        defer { bar.clear() }
        do throws(SampleImportError) {
            let report = try store.importOpenMetrics(path: file, milliseconds: format == .prometheus) { bytes in
                bar.show(bytes)
                return true
            }
            return (report.samples, report.duplicates)
        } catch {
            switch error {
            case .text: throw Failure("\(error)", code: Failure.usage)
            case .storage: throw Failure("\(error)")
            }
        }
    }

    private func importCapture(_ file: String, _ store: SampleStore) throws -> (Int, Int) {
        let before = (stats: store.stats(), counters: store.counters)
        var ticks: CaptureTicks
        do throws(CaptureError) { ticks = try CaptureTicks(path: file) } catch { throw Failure("\(error)", code: Failure.usage) }
        do {
            var newest = Timestamp(milliseconds: 0)
            while let (time, readings) = try ticks.next() {
                newest = max(newest, time)
                store.appendWaiting(readings)
                try store.seal(now: newest)
            }
            try store.seal(now: newest, everything: true)
            try store.checkpoint()
        } catch let error as StorageError {
            throw Failure("\(error)")
        } catch { throw Failure("\(error)", code: Failure.usage) }
        let after = store.stats()
        let samples = after.sealedSamples + after.headSamples - before.stats.sealedSamples - before.stats.headSamples
        let taken = store.counters.samples - before.counters.samples
        return (samples, taken - samples)
    }
}

struct StoreExport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Writes samples as OpenMetrics text with timestamps.",
        discussion: """
            Prometheus takes the text: `promtool tsdb create-blocks-from openmetrics FILE DIR`. Stale markers have no text and are \
            left out.

                steward store export --data /var/lib/steward > all.om
                steward store export --data /var/lib/steward --match host=kvm1 --from 2026-11-01T00:00:00Z > kvm1.om
            """)

    enum Format: String, CaseIterable, ExpressibleByArgument { case openmetrics }

    @OptionGroup var data: DataOptions

    @Option(help: "The form of the text.")
    var format = Format.openmetrics

    @Option(help: ArgumentHelp("Only series with this label; __name__ is the metric. Several must all hold.", valueName: "label=value"))
    var match: [String] = []

    @Option(help: ArgumentHelp("The first instant.", valueName: "time"))
    var from: String?

    @Option(help: ArgumentHelp("The last instant.", valueName: "time"))
    var through: String?

    func run() throws {
        let matchers = try match.map { text in
            guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
                throw Failure("'\(text)' is no label=value; write for example host=kvm1", code: Failure.usage)
            }
            return LabelMatcher(String(text[..<equals]), equals: String(text[text.index(after: equals)...]))
        }
        let first = try from.map(instant) ?? Timestamp(milliseconds: .min)
        let last = try through.map(instant) ?? Timestamp(milliseconds: .max)
        let store = try data.openStore()
        defer { store.close() }
        let selection = SeriesSelection(matchers: matchers, from: first, through: last)
        do {
            let report = try store.snapshot().exportOpenMetrics(selection) { bytes throws(Failure) in try writeOut(bytes) }
            printError("\(report.samples) samples of \(report.series) series written")
        } catch let failure as Failure {
            throw failure
        } catch { throw Failure("\(error)") }
    }

    private func instant(_ text: String) throws -> Timestamp {
        guard let time = Timestamp(instantText: text) else {
            throw Failure("'\(text)' is no time; write 2026-11-23T12:00:00Z, or seconds since 1970", code: Failure.usage)
        }
        return time
    }

    private func writeOut(_ bytes: [UInt8]) throws(Failure) {
        guard writeWhole(bytes, to: STDOUT_FILENO) else {
            throw Failure("cannot write to standard output: \(String(cString: strerror(errno)))")
        }
    }
}

struct StoreBackup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Copies the samples to a folder that is a whole data folder of its own.",
        discussion: """
            The copy appears under its name only when it is whole and on the disk. To restore, give `--data` the copy.

                steward store backup /backup/steward-2026-11-23 --data /var/lib/steward
            """)

    @OptionGroup var data: DataOptions

    @Argument(help: ArgumentHelp("The folder to make; it must not be there yet.", valueName: "FOLDER"))
    var folder: String

    func run() throws {
        let store = try data.openStore()
        defer { store.close() }
        var bar = StoreProgress("copying", total: 1000)
        do throws(StorageError) {
            let bytes = try store.backup(to: folder) { done, of in
                bar.show(of == 0 ? 1000 : done * 1000 / of)
                return true
            }
            bar.clear()
            print("\(Bytes(UInt64(bytes))) copied to \(folder)")
        } catch { throw Failure(error.description) }
    }
}

extension Timestamp {
    /// An instant on the command line: RFC 3339 in UTC, with or without a time of day, or whole seconds since 1970.
    init?(instantText text: String) {
        if let seconds = Int64(text), abs(seconds) < 1 << 40 {
            self.init(seconds: seconds)
            return
        }
        let parts = text.split(separator: "T", maxSplits: 1, omittingEmptySubsequences: false)
        let day = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        guard day.count == 3, let year = Int64(day[0]), let month = Int(day[1]), let number = Int(day[2]),
            let date = CivilDate(year: year, month: month, day: number)
        else { return nil }
        var seconds: Int64 = 0
        if parts.count == 2 {
            guard parts[1].hasSuffix("Z") else { return nil }
            let clock = parts[1].dropLast().split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) }
            guard clock.count == 3, let hour = clock[0], let minute = clock[1], let second = clock[2], (0..<24).contains(hour),
                (0..<60).contains(minute), (0..<60).contains(second)
            else { return nil }
            seconds = hour * 3600 + minute * 60 + second
        }
        self.init(seconds: date.daysSinceEpoch * 86_400 + seconds)
    }
}
