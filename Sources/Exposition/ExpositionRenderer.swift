public import TimeSeries

/// Writes a snapshot as text, in pieces of at most `maximumChunkBytes`, pulled one by one.
///
/// Families come in the catalogue's order and each in one run; within a family the sources keep the order of the snapshot. Absent
/// cells have no line, and a family without a line has no head. Beyond the snapshot it holds one piece and 32 bytes a source,
/// whatever the number of series; nothing is kept from one scrape to the next, the text of the labels being the schemas' own.
/// Every full label set must occur once in the snapshot: Prometheus refuses a scrape that repeats a series.
public struct ExpositionRenderer: Sequence, IteratorProtocol {
    /// The size of a piece: one write to a socket.
    ///
    /// Only a single line longer than this makes a longer piece.
    public static let maximumChunkBytes = 64 << 10

    /// Lines written so far, `#` lines not counted.
    public private(set) var lines = 0

    private let ticks: [SourceTick]
    private let format: ExpositionFormat
    private let plans: [FamilyPlan]
    /// For each family of the catalogue whether some plan shows it.
    private let isPlanned: [Bool]
    private var sources: [SourceCursor]

    private var plan = 0
    private var source = 0
    private var isHeadWritten = false
    private var isEndWritten = false
    /// The sum of what `fetch` read, kept so that the reads are made.
    private var fetched: UInt64 = 0
    /// The bytes that the next line needs where an empty piece of the usual size is too small for it.
    private var oversize = 0

    /// Begins with a snapshot: the last tick of each source, ordered by host and guest.
    public init(_ ticks: [SourceTick], format: ExpositionFormat = .prometheusText, names: MetricNames = .canonical) {
        self.ticks = ticks
        self.format = format
        let plans = FamilyPlan.all(occurring: ExpositionRenderer.occurring(ticks), format: format, names: names)
        var isPlanned = Array(repeating: false, count: MetricCatalogue.families.count)
        for plan in plans { isPlanned[plan.family] = true }
        self.plans = plans
        self.isPlanned = isPlanned
        sources = ticks.map { SourceCursor($0.schema.text, isPlanned: isPlanned) }
    }

    /// The next piece, or nil after the last.
    public mutating func next() -> [UInt8]? {
        repeat {
            let capacity = Swift.max(ExpositionRenderer.maximumChunkBytes, oversize)
            oversize = 0
            let piece = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
                guard let base = buffer.baseAddress else { return }
                var writer = TextWriter(base, capacity: capacity)
                fill(&writer)
                count = writer.count
            }
            if !piece.isEmpty { return piece }
        } while oversize > 0
        return nil
    }

    private static func occurring(_ ticks: [SourceTick]) -> [Bool] {
        var occurring = Array(repeating: false, count: MetricCatalogue.families.count)
        for tick in ticks {
            var entry = tick.schema.text.firstEntry
            while entry.family != SchemaText.Entry.endFamily {
                occurring[Int(entry.family)] = true
                entry = entry.next
            }
        }
        return occurring
    }

    private mutating func fill(_ writer: inout TextWriter) {
        while plan < plans.count {
            guard fillFamily(plans[plan], &writer) else { return }
            plan += 1
            source = 0
            isHeadWritten = false
        }
        if format == .openMetrics, !isEndWritten, writer.room >= 6 {
            writer.write("# EOF\n")
            isEndWritten = true
        }
    }

    /// Writes the lines of one family from where the last piece ended; false when the piece is full.
    private mutating func fillFamily(_ plan: FamilyPlan, _ writer: inout TextWriter) -> Bool {
        let family = UInt16(plan.family)
        while source < sources.count {
            if source % ExpositionRenderer.sourcesAhead == 0 { fetch(family) }
            if sources[source].family == family {
                guard fillSource(plan, &writer) else { return false }
            }
            source += 1
        }
        return true
    }

    /// How many sources are fetched at once: what they need, some 300 bytes each, stays in the first-level cache until it is written.
    private static let sourcesAhead = 32

    /// Reads one word of everything that the next lines need.
    ///
    /// A family's pass touches each source at places that no cache foresees. Read one at a time, every line would wait for memory;
    /// in a short loop the processor has many such reads under way at once (measured: half the time of a line).
    private mutating func fetch(_ family: UInt16) {
        for index in source..<Swift.min(source + ExpositionRenderer.sourcesAhead, sources.count) where sources[index].family == family {
            let column = sources[index].entry.column
            fetched &+= ticks[index].bits[column] &+ UInt64(sources[index].entry.next.family)
            if !ticks[index].presence.isEmpty { fetched &+= ticks[index].presence[column] ? 1 : 0 }
            if let first = sources[index].labels.first, let last = sources[index].labels.last { fetched &+= UInt64(first &+ last) }
        }
    }

    private mutating func fillSource(_ plan: FamilyPlan, _ writer: inout TextWriter) -> Bool {
        let family = UInt16(plan.family)
        var entry = sources[source].entry
        var done = sources[source].done
        for _ in 0..<done { entry = entry.next }
        while entry.family == family {
            if ticks[source].isPresent(entry.column), !writeLine(plan, entry, &writer) {
                sources[source].done = done
                return false
            }
            done += 1
            entry = entry.next
        }
        sources[source].done = 0
        if plan.isLast { sources[source].move(to: entry.skipping(unless: isPlanned)) }
        return true
    }
}

/// How far one source has been written.
private struct SourceCursor {
    /// The labels of the source; like `entry` kept alive by the tick's schema.
    let labels: UnsafeBufferPointer<UInt8>
    /// The first column of the family in hand, or of the next one.
    var entry: SchemaText.Entry
    /// The family of that column, here so that a family's pass need not look at sources without it.
    var family: UInt16
    /// Columns of the family in hand that were written before the last piece was full.
    var done: UInt16 = 0

    init(_ text: SchemaText, isPlanned: [Bool]) {
        labels = text.sourceLabels
        entry = text.firstEntry.skipping(unless: isPlanned)
        family = entry.family
    }

    mutating func move(to entry: SchemaText.Entry) {
        self.entry = entry
        family = entry.family
    }
}

extension SchemaText.Entry {
    /// This entry or the first one after it whose family is shown.
    fileprivate func skipping(unless isPlanned: [Bool]) -> SchemaText.Entry {
        var entry = self
        while entry.family != SchemaText.Entry.endFamily, !isPlanned[Int(entry.family)] { entry = entry.next }
        return entry
    }
}

// MARK: - Lines

extension ExpositionRenderer {
    /// Writes one line, after the family's head where that is due; false, and nothing written, when there is no room.
    private mutating func writeLine(_ plan: FamilyPlan, _ entry: SchemaText.Entry, _ writer: inout TextWriter) -> Bool {
        if let legacy = plan.legacy { return writeLegacyLine(plan, legacy, entry, &writer) }
        let sourceLabels = sources[source].labels
        let labels = entry.labels
        guard makeRoom(plan, sourceLabels.count + labels.count, writer) else { return false }
        writeHead(plan, &writer)
        writer.write(plan.name)
        if sourceLabels.count + labels.count > 0 {
            writer.write(UInt8(ascii: "{"))
            writer.write(sourceLabels)
            if !sourceLabels.isEmpty, !labels.isEmpty { writer.write(UInt8(ascii: ",")) }
            writer.write(labels)
            writer.write(UInt8(ascii: "}"))
        }
        writer.write(UInt8(ascii: " "))
        if entry.isUsual {
            writer.write(bits: ticks[source].bits[entry.column], kind: .unsigned, scale: plan.scale)
        } else {
            let column = ticks[source].schema.columns[entry.column]
            writer.write(bits: ticks[source].bits[entry.column], kind: column.kind, scale: column.scale)
        }
        writer.write(UInt8(ascii: "\n"))
        lines += 1
        return true
    }

    private mutating func writeLegacyLine(
        _ plan: FamilyPlan, _ legacy: LegacyFamily, _ entry: SchemaText.Entry, _ writer: inout TextWriter
    ) -> Bool {
        let tick = ticks[source]
        let column = tick.schema.columns[entry.column]
        if let condition = legacy.condition, column.labels[condition.name] != condition.value { return true }
        var (bits, kind, scale) = (tick.bits[entry.column], column.kind, column.scale)
        if let whole = legacy.percentOf {
            guard let share = percent(bits, of: whole, in: tick) else { return true }
            (bits, kind, scale) = (share.bitPattern, .real, .one)
        }
        var labels: [UInt8] = []
        for rename in legacy.labels {
            guard let value = column.labels[rename.from] ?? tick.schema.labels[rename.from] else {
                // The exporter showed no device without a name, and two of them would be the same series twice.
                if rename.from == "device" { return true }
                continue
            }
            Label.appendText(rename.to, value, to: &labels)
        }
        guard makeRoom(plan, labels.count, writer) else { return false }
        writeHead(plan, &writer)
        writer.write(plan.name)
        if !labels.isEmpty {
            writer.write(UInt8(ascii: "{"))
            writer.write(labels)
            writer.write(UInt8(ascii: "}"))
        }
        writer.write(UInt8(ascii: " "))
        writer.write(bits: bits, kind: kind, scale: scale)
        writer.write(UInt8(ascii: "\n"))
        lines += 1
        return true
    }

    /// A share in percent of another column of the tick, both in the same native unit.
    private func percent(_ part: UInt64, of metric: String, in tick: SourceTick) -> Double? {
        guard let column = tick.schema.columns.firstIndex(where: { $0.metric == metric }), tick.isPresent(column), tick.bits[column] > 0
        else { return nil }
        return Double(part) * 100 / Double(tick.bits[column])
    }

    /// Whether a line with labels of that length fits, the family's head included where it is due.
    private mutating func makeRoom(_ plan: FamilyPlan, _ labelBytes: Int, _ writer: TextWriter) -> Bool {
        let punctuation = 5
        let bound = plan.name.count + labelBytes + punctuation + TextWriter.longestNumber + (isHeadWritten ? 0 : plan.head.count)
        if writer.room >= bound { return true }
        if writer.count == 0 { oversize = bound }
        return false
    }

    private mutating func writeHead(_ plan: FamilyPlan, _ writer: inout TextWriter) {
        guard !isHeadWritten else { return }
        writer.write(plan.head)
        isHeadWritten = true
    }
}
