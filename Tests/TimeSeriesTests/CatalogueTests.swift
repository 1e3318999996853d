import Testing
import TimeSeries

@Suite("The metric catalogue")
struct CatalogueTests {
    static let families = MetricCatalogue.families

    @Test("every name stands once, and no two families collide in OpenMetrics")
    func distinct() {
        #expect(Set(Self.families.map(\.name)).count == Self.families.count)
        #expect(Set(Self.families.map(\.familyName)).count == Self.families.count)
        for (index, family) in Self.families.enumerated() { #expect(MetricCatalogue.index(of: family.name) == index) }
    }

    @Test("names are lower snake case, end as their kind asks, and hold no unit that is not a base unit", arguments: families)
    func names(family: MetricFamily) {
        #expect(family.name.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 95 })
        #expect(family.name.hasSuffix("_total") == (family.kind == .counter))
        #expect(family.name.hasSuffix("_info") == (family.kind == .info))
        for word in ["milliseconds", "nanoseconds", "kilobytes", "percent", "megahertz", "minutes"] { #expect(!family.name.contains(word)) }
        #expect(family.kind != .info || family.unit == nil)
    }

    @Test("scales turn libvirt's units into the unit of the name", arguments: families)
    func scales(family: MetricFamily) {
        if family.scale.decimals > 2 { #expect(family.unit == "seconds") }
        if family.scale.multiplier % 1024 == 0 { #expect(family.unit?.hasPrefix("bytes") == true) }
    }

    @Test("every help is one line that ends with a full stop, every label sorted and legal", arguments: families)
    func help(family: MetricFamily) {
        #expect(family.help.hasSuffix(".") && !family.help.contains("\n") && !family.help.contains("\\"))
        #expect(family.labels == family.labels.sorted() && Set(family.labels).count == family.labels.count)
        for label in family.labels {
            #expect(label.utf8.allSatisfy { (97...122).contains($0) || $0 == 95 })
            #expect(!family.subject.labels.contains(label))
        }
    }

    @Test("one field of libvirt feeds one family only")
    func fields() {
        let fields = Self.families.flatMap(\.fields).filter { $0.answer != .other }.map { "\($0.answer)/\($0.pattern)" }
        #expect(Set(fields).count == fields.count)
    }

    @Test("a schema lists its columns in the catalogue's order and leaves out what the catalogue does not know")
    func order() throws {
        let first = MetricCatalogue.families[3].name
        let second = MetricCatalogue.families[7].name
        let schema = SourceSchema(
            labels: LabelSet([]),
            columns: [
                Column(metric: second, labels: LabelSet([Label("a", "1")])), Column(metric: "unknown"), Column(metric: first),
                Column(metric: second, labels: LabelSet([Label("a", "0")])),
            ])
        var found: [String] = []
        var entry = schema.text.firstEntry
        while entry.family != SchemaText.Entry.endFamily {
            found.append("\(entry.family) \(entry.column) \(String(decoding: entry.labels, as: UTF8.self))")
            entry = entry.next
        }
        #expect(found == ["3 2 ", "7 0 a=\"1\"", "7 3 a=\"0\""])
    }
}
