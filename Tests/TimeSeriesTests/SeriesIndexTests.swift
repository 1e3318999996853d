import Fleet
import Testing
import TimeSeries

@Suite("The index")
struct SeriesIndexTests {
    @Test("matchers find what asking every series finds", arguments: 0..<60)
    func againstAll(seed: Int) {
        var dice = Dice(seed: UInt64(seed))
        var index = SeriesIndex()
        for guest in 0..<30 {
            var labels = [Label("host", "h\(guest % 3)"), Label("uuid", "u\(guest)")]
            if guest % 4 == 0 { labels.append(Label("tenant", "t\(guest % 8)")) }
            var columns = [Column(metric: "cpu"), Column(metric: "memory")]
            for disk in 0..<guest % 3 { columns.append(Column(metric: "read", labels: LabelSet([Label("device", "vd\(disk)")]))) }
            if guest % 5 == 0 { columns.append(Column(metric: "odd", labels: LabelSet([Label("tenant", "column's own")]))) }
            _ = index.source(of: SourceSchema(labels: LabelSet(labels), columns: columns))
        }
        let names = ["__name__", "host", "uuid", "tenant", "device", "absent"]
        let values = ["cpu", "read", "odd", "h1", "u7", "t4", "vd0", "column's own", "", "none"]
        let matchers = (0..<Int.random(in: 0...3, using: &dice)).map { _ in
            let name = names.randomElement(using: &dice) ?? ""
            let value = values.randomElement(using: &dice) ?? ""
            return dice.chance(60) ? LabelMatcher(name, equals: value) : LabelMatcher(name, differsFrom: value)
        }
        let found = index.matches(matchers).flatMap { match in match.columns.map { match.source.labelSet(ofColumn: $0) } }.sorted()
        let expected = index.sources.values.flatMap { source in source.layout.columns.indices.map { source.labelSet(ofColumn: $0) } }
            .filter { set in matchers.allSatisfy { $0.matches(set[$0.name] ?? "") } }.sorted()
        #expect(found == expected)
    }

    @Test("a schema of the same content is the same source, a gone one's number is not used again")
    func identity() {
        var index = SeriesIndex()
        let labels = LabelSet([Label("host", "a")])
        let first = index.source(of: SourceSchema(labels: labels, columns: [Column(metric: "m")]))
        let again = index.source(of: SourceSchema(labels: labels, columns: [Column(metric: "m")]))
        let other = index.source(of: SourceSchema(labels: labels, columns: [Column(metric: "m"), Column(metric: "n")]))
        #expect(first.isNew && !again.isNew && other.isNew)
        #expect(first.source === again.source)
        index.remove([first.source.id, other.source.id])
        #expect(index.matches([]).isEmpty)
        #expect(index.source(of: SourceSchema(labels: labels, columns: [Column(metric: "m")])).source.id > other.source.id)
    }
}
