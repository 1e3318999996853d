import ArgumentParser
import Collection
import Fleet
import Glibc
import Libvirt
import Logging
import OperatorFiles
import Synchronization
import Threads
import TimeSeries
import UnixSignals

struct Record: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Records what the hosts answer into a capture, for tests, benchmarks and reports of faults.",
        discussion: """
            Reads the hosts exactly as `steward serve` does and writes every answer down: guests with their XML (without secrets), their \
            figures, and the hosts' own. The file is gzip with one JSON value a line. It grows as FILE.part and gets its name when the \
            recording ends, by --duration, Ctrl-C or SIGTERM.

                steward record --out fleet.jsonl.gz --duration 30m
                steward capture fleet.jsonl.gz
            """)

    @OptionGroup var hosts: ConnectOptions

    @Option(help: ArgumentHelp("The file to make; one that exists is not overwritten.", valueName: "FILE"))
    var out: String

    @Option(help: ArgumentHelp("Time between two readings of a host, at least 200ms.", valueName: "duration"))
    var interval = DurationArgument(.seconds(10))

    @Option(help: ArgumentHelp("When to end; without it Ctrl-C does.", valueName: "duration"))
    var duration: DurationArgument?

    func validate() throws {
        guard interval.duration >= .milliseconds(200) else {
            throw ValidationError("--interval \(interval.duration.operatorText) is under 200ms; libvirt would be busy with nothing else")
        }
    }

    func run() async throws {
        let watched = try hosts.hosts()
        let logger = Logger(label: "steward") { StreamLogHandler.standardError(label: $0) }
        let runtime = try LibvirtRuntime()
        startThread(named: "libvirt events") { runtime.runEventLoop() }
        let tape = Tape()
        let header = CaptureHeader(
            libvirt: buildLabels(runtime).first { $0.name == "libvirt_library" }?.value,
            intervalMilliseconds: UInt64(interval.duration.milliseconds))
        try tape.start(path: out, header: header)
        let clock = SystemClock()
        let log = HostLog(logger: logger)
        let lanes = Lanes(
            clock: { clock.now() }, seed: UInt64.random(in: .min ... .max),
            listener: LaneListener(report: { log.note($0) }, event: { _, _, _ in }))
        lanes.setHosts(watched.map { lane($0, tape, clock, runtime) })
        startThread(named: "lanes") { lanes.run() }
        await waitForEnd()
        lanes.stop()
        let records = try tape.finish()
        print("\(out): \(records) records of \(watched.count) host\(watched.count == 1 ? "" : "s")")
    }

    private func lane(_ host: WatchedHost, _ tape: Tape, _ clock: SystemClock, _ runtime: LibvirtRuntime) -> LaneHost {
        let settings = LaneSettings(interval: host.configured.interval ?? interval.duration)
        return LaneHost(name: host.name, settings: settings, connection: host.fingerprint) { events throws(HypervisorError) in
            RecordingHypervisor(
                try host.collect(runtime: runtime, events: events), host: host.name, clock: { clock.now() },
                note: { tape.put($0) })
        }
    }

    private func waitForEnd() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) { return } }
            if let duration {
                group.addTask { try? await Task.sleep(for: duration.duration) }
            }
            await group.next()
            group.cancelAll()
        }
    }
}

/// Writes records to a capture on a thread of its own, and flushes about once a second.
private final class Tape: Sendable {
    private enum Order: Sendable {
        case record(CaptureRecord)
        case finish
    }

    private let orders = Mailbox<Order>()
    private let outcome = Mailbox<Result<Int, CaptureError>>()

    /// Makes the file and starts the thread.
    func start(path: String, header: CaptureHeader) throws {
        startThread(named: "capture") { [self] in
            do throws(CaptureError) {
                var writer = try CaptureWriter(path: path, header: header)
                outcome.put(.success(0))
                let records = try write(&writer)
                try writer.finish()
                outcome.put(.success(records))
            } catch {
                outcome.put(.failure(error))
            }
        }
        _ = try next()
    }

    func put(_ record: CaptureRecord) { orders.put(.record(record)) }

    /// Ends the capture; returns how many records it has.
    func finish() throws -> Int {
        orders.put(.finish)
        return try next()
    }

    private func next() throws -> Int {
        guard let result = outcome.take(within: nil).first else { return 0 }
        do { return try result.get() } catch { throw Failure("\(error)") }
    }

    private func write(_ writer: inout CaptureWriter) throws(CaptureError) -> Int {
        while true {
            for order in orders.take(within: .seconds(1)) {
                switch order {
                case .record(let record): try writer.append(record)
                case .finish: return writer.records
                }
            }
            try writer.flush()
        }
    }
}

struct Capture: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says what captures hold, and whether they are whole.",
        discussion: """
            Reads every line. Exit code 1 if a capture is cut off or a line is not one: the message names file, line and column.

                steward capture fleet.jsonl.gz
            """)

    @Argument(help: ArgumentHelp("The captures.", valueName: "FILE"))
    var files: [String]

    @Flag(help: "Print as JSON.")
    var json = false

    func run() throws {
        var table = TextTable([
            ("FILE", .left), ("HOSTS", .right), ("GUESTS", .right), ("READINGS", .right), ("FROM", .left), ("TO", .left),
        ])
        var list: [Json] = []
        var mistakes: [String] = []
        for file in files {
            let contents = CaptureContents(reading: file)
            if let mistake = contents.mistake { mistakes.append(mistake) }
            let times = [contents.first, contents.last].map { $0?.description ?? "–" }
            table.add([file, "\(contents.hosts.count)", "\(contents.guests.count)", "\(contents.readings)"] + times)
            list.append(
                .object([
                    ("file", .text(file)), ("hosts", .integer(Int64(contents.hosts.count))),
                    ("guests", .integer(Int64(contents.guests.count))),
                    ("readings", .integer(Int64(contents.readings))), ("from", .text(times[0])), ("to", .text(times[1])),
                    ("mistake", contents.mistake.map { .text($0) } ?? .null),
                ]))
        }
        print(json ? Json.list(list).serialized : table.lines.joined(separator: "\n"))
        guard mistakes.isEmpty else { throw Failure(mistakes.joined(separator: "\n")) }
    }
}

/// What one capture holds, up to its end or to the first line that is none.
private struct CaptureContents {
    var hosts: Set<HostName> = []
    var guests: Set<GuestID> = []
    var readings = 0
    var first: Timestamp?
    var last: Timestamp?
    var mistake: String?

    init(reading path: String) {
        do throws(CaptureError) {
            var reader = try CaptureReader(path: path)
            while let record = try reader.next() { take(record) }
        } catch {
            mistake = error.description
        }
    }

    private mutating func take(_ record: CaptureRecord) {
        let time: Timestamp
        switch record {
        case .guest(let guest):
            time = guest.time
            hosts.insert(guest.host)
            guests.insert(guest.guest)
        case .reading(let reading):
            time = reading.time
            hosts.insert(reading.host)
            guests.insert(reading.guest)
            readings += 1
        case .node(let moment, let host, _):
            time = moment
            hosts.insert(host)
        }
        first = min(first ?? time, time)
        last = max(last ?? time, time)
    }
}
