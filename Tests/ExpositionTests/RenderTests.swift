import Exposition
import Fleet
import Testing
import TimeSeries

@Suite("Text expositions")
struct RenderTests {
    static let time = Timestamp(seconds: 1_700_000_000)

    func guest(_ host: String, _ name: String, _ columns: [(Column, UInt64?)]) -> SourceTick {
        let labels = LabelSet([Label("host", host), Label("uuid", GuestID(high: 0, low: 1).description), Label("domain", name)])
        return SourceTick(
            schema: SourceSchema(labels: labels, columns: columns.map(\.0)), time: Self.time, bits: columns.map { $0.1 ?? 0 },
            presence: columns.contains { $0.1 == nil } ? columns.map { $0.1 != nil } : [])
    }

    func seconds(_ metric: String, _ labels: [Label] = []) -> Column {
        Column(metric: metric, labels: LabelSet(labels), scale: .nanoseconds)
    }

    var twoGuests: [SourceTick] {
        [
            guest(
                "h1", "web",
                [
                    (seconds("libvirt_domain_vcpu_time_seconds_total", [Label("vcpu", "0")]), 1_500_000_000),
                    (seconds("libvirt_domain_vcpu_time_seconds_total", [Label("vcpu", "2")]), nil),
                    (seconds("libvirt_domain_cpu_time_seconds_total"), 7_000_000_001),
                    (Column(metric: "libvirt_domain_info", labels: LabelSet([Label("group", "a")])), 1),
                ]),
            guest(
                "h2", "db",
                [(seconds("libvirt_domain_cpu_time_seconds_total"), 0), (seconds("libvirt_domain_cpu_user_seconds_total"), nil)]),
        ]
    }

    @Test("the text format has each family once, with help and type, and no line for what is unknown")
    func prometheusText() {
        #expect(
            render(twoGuests) == """
                # HELP libvirt_domain_info The guest as its XML describes it, with Steward's metadata.
                # TYPE libvirt_domain_info gauge
                libvirt_domain_info{domain="web",host="h1",uuid="00000000-0000-0000-0000-000000000001",group="a"} 1
                # HELP libvirt_domain_cpu_time_seconds_total CPU time of the guest's process, vCPUs and hypervisor together.
                # TYPE libvirt_domain_cpu_time_seconds_total counter
                libvirt_domain_cpu_time_seconds_total{domain="web",host="h1",uuid="00000000-0000-0000-0000-000000000001"} 7.000000001
                libvirt_domain_cpu_time_seconds_total{domain="db",host="h2",uuid="00000000-0000-0000-0000-000000000001"} 0
                # HELP libvirt_domain_vcpu_time_seconds_total CPU time of the vCPU's thread.
                # TYPE libvirt_domain_vcpu_time_seconds_total counter
                libvirt_domain_vcpu_time_seconds_total{domain="web",host="h1",uuid="00000000-0000-0000-0000-000000000001",vcpu="0"} 1.5

                """)
    }

    @Test("OpenMetrics names families without suffix, tells units, knows info and ends with EOF")
    func openMetrics() {
        #expect(
            render(twoGuests, .openMetrics) == """
                # HELP libvirt_domain The guest as its XML describes it, with Steward's metadata.
                # TYPE libvirt_domain info
                libvirt_domain_info{domain="web",host="h1",uuid="00000000-0000-0000-0000-000000000001",group="a"} 1
                # HELP libvirt_domain_cpu_time_seconds CPU time of the guest's process, vCPUs and hypervisor together.
                # TYPE libvirt_domain_cpu_time_seconds counter
                # UNIT libvirt_domain_cpu_time_seconds seconds
                libvirt_domain_cpu_time_seconds_total{domain="web",host="h1",uuid="00000000-0000-0000-0000-000000000001"} 7.000000001
                libvirt_domain_cpu_time_seconds_total{domain="db",host="h2",uuid="00000000-0000-0000-0000-000000000001"} 0
                # HELP libvirt_domain_vcpu_time_seconds CPU time of the vCPU's thread.
                # TYPE libvirt_domain_vcpu_time_seconds counter
                # UNIT libvirt_domain_vcpu_time_seconds seconds
                libvirt_domain_vcpu_time_seconds_total{domain="web",host="h1",uuid="00000000-0000-0000-0000-000000000001",vcpu="0"} 1.5
                # EOF

                """)
    }

    @Test("an empty snapshot is an empty text, and in OpenMetrics its end")
    func empty() {
        #expect(render([]) == "")
        #expect(render([], .openMetrics) == "# EOF\n")
        let nothing = guest("h1", "web", [(seconds("libvirt_domain_cpu_time_seconds_total"), nil)])
        #expect(render([nothing]) == "")
    }

    @Test("a source without labels has no braces")
    func noLabels() {
        let tick = SourceTick(
            schema: SourceSchema(labels: LabelSet([]), columns: [Column(metric: "process_threads")]), time: Self.time, bits: [3])
        #expect(render([tick]).hasSuffix("\nprocess_threads 3\n"))
        let labelled = SourceTick(
            schema: SourceSchema(
                labels: LabelSet([]), columns: [Column(metric: "steward_build_info", labels: LabelSet([Label("version", "1")]))]),
            time: Self.time, bits: [1])
        #expect(render([labelled]).hasSuffix("\nsteward_build_info{version=\"1\"} 1\n"))
    }

    @Test(
        "numbers stand with their point placed, exactly, without zeros at the end",
        arguments: [
            (UInt64(0), NumberKind.unsigned, Scale.nanoseconds, "0"), (1, .unsigned, .nanoseconds, "0.000000001"),
            (10_000_000, .unsigned, .nanoseconds, "0.01"), (1_000_000_000, .unsigned, .nanoseconds, "1"),
            (UInt64.max, .unsigned, .nanoseconds, "18446744073.709551615"), (UInt64.max, .unsigned, .one, "18446744073709551615"),
            (UInt64.max, .unsigned, .kibibytes, "18889465931478580853760"),
            (UInt64.max, .unsigned, Scale(multiplier: .max, decimals: 18), "79228162495.817593515539431425"),
            (UInt64.max, .unsigned, Scale(decimals: 18), "18.446744073709551615"),
            (1, .unsigned, Scale(decimals: 18), "0.000000000000000001"),
            (1500, .unsigned, .milliseconds, "1.5"), (20, .unsigned, Scale(decimals: 2), "0.2"),
            (123, .unsigned, .microseconds, "0.000123"),
            (UInt64(bitPattern: -1), .signed, .one, "-1"), (UInt64(bitPattern: -1500), .signed, .milliseconds, "-1.5"),
            (UInt64(bitPattern: .min), .signed, .one, "-9223372036854775808"), (99, .unsigned, .one, "99"), (100, .unsigned, .one, "100"),
            (9_999_999_999_999_999_999, .unsigned, .one, "9999999999999999999"),
            (10_000_000_000_000_000_000, .unsigned, .one, "10000000000000000000"),
            (0.1.bitPattern, .real, .one, "0.1"), (5.0.bitPattern, .real, .one, "5"), (1e-7.bitPattern, .real, .one, "1e-07"),
            (1e300.bitPattern, .real, .one, "1e+300"), (Double.nan.bitPattern, .real, .one, "NaN"),
            (Double.infinity.bitPattern, .real, .one, "+Inf"), ((-Double.infinity).bitPattern, .real, .one, "-Inf"),
        ])
    func numbers(bits: UInt64, kind: NumberKind, scale: Scale, text: String) {
        let tick = guest("h", "d", [(Column(metric: "libvirt_domain_id", kind: kind, scale: scale), bits)])
        #expect(render([tick]).split(separator: " ").last == "\(text)\n")
        #expect(isExactly(text, bits: bits, kind: kind, scale: scale))
    }

    @Test("label values are escaped, and nothing else of them is touched")
    func escaping() throws {
        let name = "a\\b\"c\nd\te{},=ü\u{1F600} "
        let tick = guest(
            "h\"1", name,
            [(Column(metric: "libvirt_domain_block_info", labels: LabelSet([Label("device", "v"), Label("source", name)])), 1)])
        for format in ExpositionFormat.allCases {
            let line = try #require(try ParsedText(render([tick], format)).lines.first)
            #expect(line.labels["domain"] == name && line.labels["source"] == name && line.labels["host"] == "h\"1")
        }
        let line = render([tick], .prometheusText, .tinkoff).split(separator: "\n").last
        #expect(
            line
                == "libvirt_domain_block_meta{domain=\"a\\\\b\\\"c\\nd\te{},=ü\u{1F600} \",host=\"h\\\"1\",target_device=\"v\",source_file=\"a\\\\b\\\"c\\nd\te{},=ü\u{1F600} \"} 1"
        )
    }

    @Test("no piece is longer than its bound, and pieces joined are the whole", arguments: [1, 7, 400, 3000])
    func pieces(guests: Int) throws {
        let ticks = (0..<guests).map { index in
            guest(
                "h1", "guest-\(index)",
                (0..<9).map { (seconds("libvirt_domain_vcpu_time_seconds_total", [Label("vcpu", "\($0)")]), UInt64(index * 9 + $0)) })
        }
        var renderer = ExpositionRenderer(ticks, format: .openMetrics)
        var bytes: [UInt8] = []
        while let piece = renderer.next() {
            #expect(!piece.isEmpty && piece.count <= ExpositionRenderer.maximumChunkBytes)
            bytes += piece
        }
        #expect(renderer.next() == nil)
        let parsed = try ParsedText(String(decoding: bytes, as: UTF8.self))
        #expect(parsed.lines.count == guests * 9 && renderer.lines == guests * 9 && parsed.types.count == 1 && parsed.hasEnd)
        #expect(Set(parsed.lines).count == guests * 9)
    }

    @Test("a line longer than a piece comes whole in a piece of its own")
    func longLine() throws {
        let long = String(repeating: "x", count: ExpositionRenderer.maximumChunkBytes)
        let ticks = [
            guest("h1", "a", [(Column(metric: "libvirt_domain_id"), 1)]), guest("h1", long, [(Column(metric: "libvirt_domain_id"), 2)]),
            guest("h1", "c", [(Column(metric: "libvirt_domain_id"), 3)]),
        ]
        for names in MetricNames.allCases where names == .canonical {
            let parsed = try ParsedText(render(ticks, .prometheusText, names))
            #expect(parsed.lines.map(\.value) == ["1", "2", "3"] && parsed.types.count == 1)
            #expect(parsed.lines.count == 3 && parsed.lines[1].labels["domain"] == long)
        }
    }

    @Test("text read back is the snapshot, whatever its shape", arguments: 1...60)
    func roundTrip(seed: UInt64) throws {
        var random = SeededNumbers(state: seed)
        let ticks = randomSnapshot(&random)
        for format in ExpositionFormat.allCases {
            let parsed = try ParsedText(render(ticks, format))
            var expected: [LabelSet: (UInt64, Column)] = [:]
            for tick in ticks {
                for (index, column) in tick.schema.columns.enumerated() where tick.isPresent(index) {
                    expected[tick.schema.labelSet(ofColumn: index)] = (tick.bits[index], column)
                }
            }
            #expect(parsed.lines.count == expected.count)
            for line in parsed.lines {
                let key = LabelSet(metric: line.name, line.labels.map { Label($0.key, $0.value) })
                let found = expected.removeValue(forKey: key)
                let (bits, column) = try #require(found)
                #expect(isExactly(line.value, bits: bits, kind: column.kind, scale: column.scale), "\(line) is not \(bits) \(column)")
            }
            #expect(expected.isEmpty)
            let runs = parsed.lines.map(\.name).reduce(into: [String]()) { runs, name in if runs.last != name { runs.append(name) } }
            #expect(Set(runs).count == runs.count && runs.count == parsed.types.count && parsed.helps == parsed.types.map(\.name))
            #expect(parsed.hasEnd == (format == .openMetrics))
            for (name, unit) in parsed.units { #expect(name.hasSuffix("_\(unit)")) }
        }
    }

    private func randomSnapshot(_ random: inout SeededNumbers) -> [SourceTick] {
        let values = ["", "a", "vda", "\\", "\"", "\n", "x\\\"\ny", "ünï", String(repeating: "long", count: 50)]
        let special: [UInt64] = [0, 1, .max, 9, 10, 1 << 63, 999_999_999, 1_000_000_000, Double.nan.bitPattern]
        return (0..<Int.random(in: 0...40, using: &random)).map { source in
            var columns: [Column] = []
            var seen: Set<LabelSet> = []
            for _ in 0..<Int.random(in: 0...30, using: &random) {
                let family = MetricCatalogue.families[Int.random(in: 0..<MetricCatalogue.families.count, using: &random)]
                let labels = LabelSet(family.labels.map { Label($0, values.randomElement(using: &random) ?? "") })
                let isUsual = Bool.random(using: &random)
                let kinds: [NumberKind] = [.signed, .unsigned, .real]
                let column = Column(
                    metric: family.name, labels: labels, kind: isUsual ? .unsigned : kinds.randomElement(using: &random) ?? .real,
                    scale: isUsual
                        ? family.scale
                        : Scale(multiplier: .random(in: 1...UInt32.max, using: &random), decimals: .random(in: 0...18, using: &random)))
                if seen.insert(LabelSet(metric: column.metric, labels.labels)).inserted { columns.append(column) }
            }
            let isWhole = Bool.random(using: &random)
            return SourceTick(
                schema: SourceSchema(
                    labels: LabelSet([Label("host", "h\(source)"), Label("domain", values[source % 9])]), columns: columns),
                time: Self.time,
                bits: columns.map { _ in special.randomElement(using: &random).map { Bool.random(using: &random) ? $0 : random.next() } ?? 0
                },
                presence: isWhole ? [] : columns.map { _ in Bool.random(using: &random) })
        }
    }
}

@Suite("Legacy names")
struct LegacyTests {
    func tick(_ columns: [(String, [Label], UInt64)]) -> SourceTick {
        SourceTick(
            schema: SourceSchema(
                labels: LabelSet([Label("host", "h1"), Label("uuid", "u1"), Label("domain", "web")]),
                columns: columns.map { metric, labels, _ in
                    let scale = MetricCatalogue.index(of: metric).map { MetricCatalogue.families[$0].scale } ?? .one
                    return Column(metric: metric, labels: LabelSet(labels), scale: scale)
                }), time: RenderTests.time, bits: columns.map(\.2))
    }

    @Test("the archived exporter's names, labels and units come out, and no name of ours beside them")
    func names() throws {
        let vda = [Label("device", "vda")]
        let parsed = try ParsedText(
            render(
                [
                    tick([
                        ("libvirt_domain_info", [Label("instance_type", "s1"), Label("tenant", "acme"), Label("machine", "q35")], 1),
                        ("libvirt_domain_cpu_time_seconds_total", [], 1_500_000_000), ("libvirt_domain_cpu_user_seconds_total", [], 1),
                        ("libvirt_domain_memory_current_bytes", [], 2), ("libvirt_domain_memory_available_bytes", [], 8),
                        ("libvirt_domain_memory_used_bytes", [], 2), ("libvirt_domain_block_read_bytes_total", vda, 5),
                        ("libvirt_domain_block_info", vda + [Label("source", "/a"), Label("format", "raw"), Label("pool", "p")], 1),
                        ("libvirt_domain_block_limit_bytes_per_second", vda + [Label("operation", "read")], 7),
                        ("libvirt_domain_block_limit_bytes_per_second", vda + [Label("operation", "total")], 9),
                        ("libvirt_domain_interface_receive_drops_total", [Label("device", "vnet0")], 3),
                    ])
                ], .prometheusText, .tinkoff))
        let own = ["domain": "web", "host": "h1"]
        let disk = ["domain": "web", "host": "h1", "target_device": "vda"]
        let expected: [ParsedLine] = [
            ParsedLine(
                name: "libvirt_domain_info_meta",
                labels: ["domain": "web", "host": "h1", "uuid": "u1", "flavor": "s1", "project_name": "acme"], value: "1"),
            ParsedLine(name: "libvirt_domain_info_cpu_time_seconds_total", labels: own, value: "1.5"),
            ParsedLine(name: "libvirt_domain_info_memory_usage_bytes", labels: own, value: "2048"),
            ParsedLine(name: "libvirt_domain_memory_stats_actual_balloon_bytes", labels: own, value: "2048"),
            ParsedLine(name: "libvirt_domain_memory_stats_available_bytes", labels: own, value: "8192"),
            ParsedLine(name: "libvirt_domain_memory_stats_used_percent", labels: own, value: "25"),
            ParsedLine(
                name: "libvirt_domain_block_meta",
                labels: ["domain": "web", "host": "h1", "target_device": "vda", "source_file": "/a", "driver_type": "raw"], value: "1"),
            ParsedLine(name: "libvirt_domain_block_stats_read_bytes_total", labels: disk, value: "5"),
            ParsedLine(name: "libvirt_domain_block_stats_limit_total_bytes", labels: disk, value: "9"),
            ParsedLine(name: "libvirt_domain_block_stats_limit_read_bytes", labels: disk, value: "7"),
            ParsedLine(
                name: "libvirt_domain_interface_stats_receive_drops_total",
                labels: ["domain": "web", "host": "h1", "target_device": "vnet0"], value: "3"),
        ]
        #expect(parsed.lines == expected)
    }

    @Test("interfaces of a guest that is not running, which have no device, are left out instead of shown twice")
    func noDevice() {
        let ticks = [
            tick([
                ("libvirt_domain_interface_info", [Label("mac", "a"), Label("source", "br0")], 1),
                ("libvirt_domain_interface_info", [Label("mac", "b"), Label("source", "br0")], 1),
            ])
        ]
        #expect(render(ticks, .prometheusText, .tinkoff) == "")
    }

    @Test("every legacy family draws on a canonical one and on labels that it has")
    func complete() {
        #expect(Set(MetricCatalogue.legacy.map(\.name)).count == MetricCatalogue.legacy.count)
        for legacy in MetricCatalogue.legacy {
            guard let index = MetricCatalogue.index(of: legacy.canonical) else {
                Issue.record("\(legacy.name) draws on \(legacy.canonical), which is not in the catalogue")
                continue
            }
            let family = MetricCatalogue.families[index]
            let known = family.labels + family.subject.labels + ["domain"]
            for rename in legacy.labels { #expect(known.contains(rename.from), "\(legacy.name): \(rename.from)") }
            #expect(legacy.percentOf.map { MetricCatalogue.index(of: $0) != nil } ?? true)
        }
    }
}

@Suite("Negotiation")
struct NegotiationTests {
    @Test(
        "OpenMetrics is served where it is asked for, plain text to everyone else",
        arguments: [
            (nil, ExpositionFormat.prometheusText), ("", .prometheusText), ("*/*", .prometheusText), ("text/html", .prometheusText),
            ("application/openmetrics-text", .openMetrics), ("application/openmetrics-text; version=1.0.0", .openMetrics),
            ("Application/OpenMetrics-Text;Version=\"1.0.0\";Q=0.5, text/plain;q=0.4", .openMetrics),
            ("application/openmetrics-text;version=2.0.0", .prometheusText),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                .openMetrics
            ),
            ("application/openmetrics-text;q=0.3,text/plain;q=0.5", .prometheusText),
            ("application/openmetrics-text;q=0.3,text/*;q=0.5", .prometheusText),
            ("application/openmetrics-text;q=0.3,text/*;q=0.5,text/plain;q=0.2", .openMetrics),
            ("application/openmetrics-text;q=0", .prometheusText), ("application/openmetrics-text;q=0,*/*", .prometheusText),
            ("application/openmetrics-text;q=x", .prometheusText), ("application/openmetrics-text;q=0.001", .openMetrics),
            ("application/*", .prometheusText), (",,;;,=", .prometheusText),
        ])
    func format(accept: String?, format: ExpositionFormat) {
        #expect(ExpositionFormat(accept: accept) == format)
    }

    @Test(
        "gzip is used where it is allowed",
        arguments: [
            (nil, false), ("", false), ("gzip", true), ("GZIP;q=1.0", true), ("gzip;q=0", false), ("deflate, gzip;q=0.5", true),
            ("br", false), ("*", true), ("*;q=0", false), ("*;q=1, gzip;q=0", false), ("identity", false), ("x-gzip", true),
        ])
    func gzip(header: String?, isAccepted: Bool) {
        #expect(acceptsGzip(header) == isAccepted)
    }
}
