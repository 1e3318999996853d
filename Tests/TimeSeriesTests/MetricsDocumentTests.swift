import Testing
import TimeSeries

#if canImport(Glibc)
import Glibc
#endif

@Suite("Docs/Metrics.md")
struct MetricsDocumentTests {
    static let path = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/Docs/Metrics.md"

    /// With STEWARD_WRITE_DOCS set, the page is written anew before it is compared.
    @Test("the page is what the catalogue says; STEWARD_WRITE_DOCS=1 writes it anew")
    func current() throws {
        let expected = MetricCatalogue.document()
        if getenv("STEWARD_WRITE_DOCS") != nil {
            let file = try #require(fopen(Self.path, "w"))
            fputs(expected, file)
            fclose(file)
        }
        let file = try #require(fopen(Self.path, "r"), "Docs/Metrics.md is missing")
        defer { fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = fgetc(file), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
        let isCurrent = String(decoding: bytes, as: UTF8.self) == expected
        #expect(isCurrent, "Docs/Metrics.md is out of date: run the tests once with STEWARD_WRITE_DOCS=1 and commit it")
    }

    @Test("every metric stands on the page once")
    func complete() {
        let page = MetricCatalogue.document()
        for family in MetricCatalogue.families { #expect(page.components(of: "| `\(family.name)` | \(family.kind.rawValue) |") == 1) }
        for family in MetricCatalogue.legacy { #expect(page.components(of: "| `\(family.name)` | `\(family.canonical)` |") == 1) }
        for line in page.split(separator: "\n") where line.hasPrefix("| `") {
            #expect(line.filter { $0 == "|" }.count == 9 || line.filter { $0 == "|" }.count == 4)
        }
    }
}

extension String {
    /// How often a text occurs.
    fileprivate func components(of text: String) -> Int {
        var rest = self[...]
        var count = 0
        while let range = rest.firstRange(of: text) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
