import ArgumentParser
import Fleet
import Storage

struct StoreStats: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats", abstract: "Says how many samples there are, from when, and what they take.")

    @OptionGroup var data: DataOptions

    @Flag(help: "Print the figures as JSON.")
    var json = false

    func run() throws {
        let store = try data.openStore()
        let stats = store.stats()
        store.close()
        if json {
            print(stats.json.serialized)
        } else {
            var table = TextTable([("FIGURE", .left), ("", .right)])
            for row in stats.rows { table.add([row.0, row.1]) }
            print(table.lines.joined(separator: "\n"))
        }
    }
}

extension SampleStoreStats {
    fileprivate var rows: [(String, String)] {
        func bytes(_ count: Int?) -> String { count.map { "\(Bytes(UInt64(max(0, $0))))" } ?? "unknown" }
        return [
            ("series", "\(series)"), ("sources", "\(sources)"), ("samples, sealed", "\(sealedSamples)"),
            ("samples, unsealed", "\(headSamples)"), ("segments", "\(segments)"), ("files", "\(partitions)"),
            ("segments take", bytes(segmentBytes)), ("index takes", bytes(indexBytes)), ("pages waste", bytes(pageWasteBytes)),
            ("rollups take", bytes(rollupBytes)), ("head.db takes", bytes(headBytes)), ("all files take", bytes(fileBytes)),
            ("bytes a sample", bytesPerSample.map(thousandthsText) ?? "none sealed"),
            ("of these in segments", segmentBytesPerSample.map(thousandthsText) ?? "none sealed"),
            ("oldest", oldest.map { "\($0)" } ?? "none"), ("newest", newest.map { "\($0)" } ?? "none"),
        ]
    }

    fileprivate var json: Json {
        func count(_ number: Int?) -> Json { number.map { .integer(Int64($0)) } ?? .null }
        func ratio(_ number: Double?) -> Json { number.map { .number(thousandthsText($0)) } ?? .null }
        return .object([
            ("series", count(series)), ("sources", count(sources)), ("samples_sealed", count(sealedSamples)),
            ("samples_unsealed", count(headSamples)), ("segments", count(segments)), ("files", count(partitions)),
            ("segment_bytes", count(segmentBytes)), ("index_bytes", count(indexBytes)), ("page_waste_bytes", count(pageWasteBytes)),
            ("rollup_bytes", count(rollupBytes)), ("head_bytes", count(headBytes)), ("file_bytes", count(fileBytes)),
            ("bytes_per_sample", ratio(bytesPerSample)), ("segment_bytes_per_sample", ratio(segmentBytesPerSample)),
            ("oldest", .optional(oldest.map { "\($0)" })), ("newest", .optional(newest.map { "\($0)" })),
        ])
    }
}

struct StoreVerify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Reads every segment and checks all that can be checked; names what is damaged.",
        discussion: """
            What is damaged is skipped by queries' neighbours and lost itself; a backup brings it back. Exit code 1 if anything is \
            damaged.
            """)

    @OptionGroup var data: DataOptions

    @Flag(help: "Print the findings as JSON.")
    var json = false

    func run() throws {
        let store = try data.openStore()
        var bar = StoreProgress("verifying", total: store.stats().segments)
        let damages: [StoreDamage]
        do throws(StorageError) {
            damages = try store.verify { done, _ in
                bar.show(done)
                return true
            }
        } catch { throw Failure(error.description) }
        bar.clear()
        let segments = store.stats().segments
        store.close()
        if json {
            let list = damages.map {
                Json.object([
                    ("file", .text($0.file)), ("segment", $0.segment.map { .integer($0) } ?? .null), ("message", .text($0.message)),
                ])
            }
            print(Json.object([("segments", .integer(Int64(segments))), ("damages", .list(list))]).serialized)
        } else {
            for damage in damages { print(Terminal.coloured("damaged", .red) + "  \(damage)") }
            let words = damages.isEmpty ? "nothing is damaged" : "\(damages.count) damaged; restore them from a backup"
            print("\(segments) segments read: \(words)")
        }
        if !damages.isEmpty { throw ExitCode(Failure.other) }
    }
}
