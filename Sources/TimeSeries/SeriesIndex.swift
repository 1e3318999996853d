/// The columns that sources of one shape have: interned, since a thousand guests share a few.
public final class SourceLayout: Sendable {
    /// The columns.
    public let columns: [Column]
    package let kinds: [NumberKind]

    /// A layout.
    public init(columns: [Column]) {
        self.columns = columns
        kinds = columns.map(\.kind)
    }

    /// The bytes from which `init(encoded:)` makes the layout again.
    package func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.varint(columns.count)
        for column in columns {
            writer.text(column.metric)
            writer.labels(column.labels)
            writer.byte(column.kind.rawValue)
            writer.varint(UInt64(column.scale.multiplier))
            writer.byte(column.scale.decimals)
        }
        return writer.bytes
    }

    package convenience init(encoded bytes: [UInt8]) throws(DamagedData) {
        let columns = try bytes.withBytes { raw throws(DamagedData) in
            var reader = ByteReader(raw)
            var columns: [Column] = []
            for _ in 0..<(try reader.count(atMost: SourceLayout.mostColumns, "columns")) {
                let metric = try reader.text(atMost: SourceLayout.longestText)
                let labels = try reader.labels()
                guard let kind = NumberKind(rawValue: try reader.byte()) else { throw DamagedData("a column of an unknown kind") }
                let multiplier = try reader.count(atMost: Int(UInt32.max), "as a multiplier")
                let decimals = try reader.byte()
                guard multiplier > 0, decimals <= 18 else { throw DamagedData("a scale outside its bounds") }
                let scale = Scale(multiplier: UInt32(multiplier), decimals: decimals)
                columns.append(Column(metric: metric, labels: labels, kind: kind, scale: scale))
            }
            return columns
        }
        self.init(columns: columns)
    }

    /// A host with more columns than this is no host.
    package static let mostColumns = 1 << 16
    package static let longestText = 1 << 16
}

extension ByteWriter {
    package mutating func labels(_ set: LabelSet) {
        varint(set.labels.count)
        for label in set.labels {
            text(label.name)
            text(label.value)
        }
    }
}

extension ByteReader {
    package mutating func labels() throws(DamagedData) -> LabelSet {
        var labels: [Label] = []
        for _ in 0..<(try count(atMost: 1024, "labels")) {
            let name = try text(atMost: SourceLayout.longestText)
            labels.append(Label(name, try text(atMost: SourceLayout.longestText)))
        }
        return LabelSet(labels)
    }
}

/// A source as the store knows it: a number, labels, a layout.
///
/// Never changes; a guest that gains a disk becomes another source.
public final class StoredSource: Sendable {
    /// The number, unique in the data folder and never used again.
    public let id: UInt32
    /// The labels of all its series.
    public let labels: LabelSet
    /// Its columns.
    public let layout: SourceLayout

    package init(id: UInt32, labels: LabelSet, layout: SourceLayout) {
        self.id = id
        self.labels = labels
        self.layout = layout
    }

    /// The full identity of one series; a column's own label wins over the source's.
    public func labelSet(ofColumn index: Int) -> LabelSet {
        let column = layout.columns[index]
        return LabelSet(labels.labels + column.labels.labels + [Label(LabelSet.metricName, column.metric)])
    }
}

/// The sources, and for each label of theirs who has which value: matchers are asked once a value, not once a series.
package struct SeriesIndex: Sendable {
    package private(set) var sources: [UInt32: StoredSource] = [:]
    package private(set) var nextID: UInt32 = 1
    private var layouts: [[Column]: SourceLayout] = [:]
    private var byIdentity: [Identity: UInt32] = [:]
    /// Sources of each layout; positions in `layoutList`.
    private var layoutList: [SourceLayout] = []
    private var postings: [String: [String: Set<UInt32>]] = [:]
    private var bySchema: [ObjectIdentifier: (schema: SourceSchema, source: StoredSource)] = [:]

    private struct Identity: Hashable {
        let labels: LabelSet
        let layout: ObjectIdentifier
    }

    package init() {}

    package var seriesCount: Int { sources.values.reduce(0) { $0 + $1.layout.columns.count } }

    /// The layout with these columns, made when it is new.
    package mutating func layout(of columns: [Column]) -> SourceLayout {
        if let known = layouts[columns] { return known }
        let layout = SourceLayout(columns: columns)
        layouts[columns] = layout
        layoutList.append(layout)
        return layout
    }

    /// The source of a schema, made when it is new.
    package mutating func source(of schema: SourceSchema) -> (source: StoredSource, isNew: Bool) {
        if let known = bySchema[ObjectIdentifier(schema)] { return (known.source, false) }
        let layout = layout(of: schema.columns)
        let identity = Identity(labels: schema.labels, layout: ObjectIdentifier(layout))
        if let id = byIdentity[identity], let source = sources[id] {
            remember(schema, source)
            return (source, false)
        }
        let source = StoredSource(id: nextID, labels: schema.labels, layout: layout)
        insert(source)
        remember(schema, source)
        return (source, true)
    }

    /// Schemas are remembered by identity up to a bound; beyond it all are looked up by content again.
    private mutating func remember(_ schema: SourceSchema, _ source: StoredSource) {
        if bySchema.count >= 1 << 17 { bySchema.removeAll() }
        bySchema[ObjectIdentifier(schema)] = (schema, source)
    }

    /// Takes a source that was stored; its layout must come from `layout(of:)`.
    package mutating func insert(_ source: StoredSource) {
        guard sources[source.id] == nil else { return }
        sources[source.id] = source
        byIdentity[Identity(labels: source.labels, layout: ObjectIdentifier(source.layout))] = source.id
        for label in source.labels.labels { postings[label.name, default: [:]][label.value, default: []].insert(source.id) }
        nextID = max(nextID, source.id &+ 1)
    }

    /// Numbers below this were used once, even where nothing of them is left.
    package mutating func reserve(through id: UInt32) { nextID = max(nextID, id &+ 1) }

    /// Forgets sources that have no samples left.
    package mutating func remove(_ ids: [UInt32]) {
        for id in ids {
            guard let source = sources.removeValue(forKey: id) else { continue }
            byIdentity[Identity(labels: source.labels, layout: ObjectIdentifier(source.layout))] = nil
            for label in source.labels.labels {
                postings[label.name]?[label.value]?.remove(id)
                if postings[label.name]?[label.value]?.isEmpty == true { postings[label.name]?[label.value] = nil }
            }
        }
        let gone = Set(ids)
        bySchema = bySchema.filter { !gone.contains($0.value.source.id) }
    }

    /// One group of series that meet the matchers: a source and some of its columns.
    package struct Match: Sendable {
        package let source: StoredSource
        package let columns: [Int]
    }

    /// Every source with columns that meet all matchers, in the order of the sources' numbers.
    package func matches(_ matchers: [LabelMatcher]) -> [Match] {
        var found: [Match] = []
        var cache: [Int: Set<UInt32>] = [:]
        var columnsOfLayout: [ObjectIdentifier: [(columns: [Int], pending: [Int])]] = [:]
        for layout in layoutList { columnsOfLayout[ObjectIdentifier(layout)] = columnGroups(layout, matchers) }
        let needed = Set(columnsOfLayout.values.flatMap { $0.flatMap(\.pending) })
        for index in needed { cache[index] = sourcesMeeting(matchers[index]) }
        let candidates = candidates(columnsOfLayout, cache)
        for source in candidates {
            guard let groups = columnsOfLayout[ObjectIdentifier(source.layout)], !groups.isEmpty else { continue }
            var columns: [Int] = []
            for group in groups where group.pending.allSatisfy({ cache[$0]?.contains(source.id) == true }) { columns += group.columns }
            if !columns.isEmpty { found.append(Match(source: source, columns: columns.sorted())) }
        }
        return found
    }

    /// The sources that can have a match: those of the smallest set that all column groups need, or else all.
    private func candidates(
        _ groups: [ObjectIdentifier: [(columns: [Int], pending: [Int])]], _ cache: [Int: Set<UInt32>]
    ) -> [StoredSource] {
        let all = groups.values.flatMap { $0 }
        guard let first = all.first else { return [] }
        let shared = first.pending.filter { index in all.allSatisfy { $0.pending.contains(index) } }
        let smallest = shared.compactMap { cache[$0] }.min { $0.count < $1.count }
        guard let smallest else { return sources.values.sorted { $0.id < $1.id } }
        return smallest.sorted().compactMap { sources[$0] }
    }

    /// The columns of a layout that can match, grouped by the matchers that the source's own labels decide.
    private func columnGroups(_ layout: SourceLayout, _ matchers: [LabelMatcher]) -> [(columns: [Int], pending: [Int])] {
        var groups: [(columns: [Int], pending: [Int])] = []
        column: for (index, column) in layout.columns.enumerated() {
            var pending: [Int] = []
            for (position, matcher) in matchers.enumerated() {
                if matcher.name == LabelSet.metricName {
                    guard matcher.matches(column.metric) else { continue column }
                } else if let value = column.labels[matcher.name] {
                    guard matcher.matches(value) else { continue column }
                } else {
                    pending.append(position)
                }
            }
            if let group = groups.firstIndex(where: { $0.pending == pending }) {
                groups[group].columns.append(index)
            } else {
                groups.append(([index], pending))
            }
        }
        return groups
    }

    /// The sources whose own label meets a matcher; a label they lack counts as empty.
    private func sourcesMeeting(_ matcher: LabelMatcher) -> Set<UInt32> {
        let values = postings[matcher.name] ?? [:]
        if matcher.operation == .equal, !matcher.value.isEmpty { return values[matcher.value] ?? [] }
        guard matcher.matches("") else {
            return values.reduce(into: Set()) { found, entry in
                if matcher.matches(entry.key) { found.formUnion(entry.value) }
            }
        }
        var found = Set(sources.keys)
        for (value, ids) in values where !matcher.matches(value) { found.subtract(ids) }
        return found
    }
}
