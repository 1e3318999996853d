import Foundation
import Testing

/// Holds the code against the table of rooms in Docs/Architecture.md.
@Suite("The house")
struct ArchitectureTests {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Room → rooms that it may import, from the rows of the table.
    static func allowedArrows() throws -> [String: Set<String>] {
        let page = try String(contentsOf: root.appending(path: "Docs/Architecture.md"), encoding: .utf8)
        var allowed: [String: Set<String>] = [:]
        for line in page.split(separator: "\n") where line.hasPrefix("| `") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 3 else { continue }
            let names = cells[2] == "–" ? [] : cells[2].split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
            allowed[cells[0].replacing("`", with: "")] = Set(names)
        }
        return allowed
    }

    /// The rooms that a file of Swift imports: every form of import, scoped and attributed ones too.
    static func imports(in text: String) -> [String] {
        text.split(separator: "\n").compactMap { line in
            var words = line.split(separator: " ").map(String.init)
            let modifiers: Set = ["public", "package", "internal", "fileprivate", "private", "@_exported", "@preconcurrency", "@testable"]
            while let first = words.first, modifiers.contains(first) || first.hasPrefix("@_spi") { words.removeFirst() }
            guard words.first == "import", words.count > 1 else { return nil }
            let kinds: Set = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias", "actor"]
            let path = kinds.contains(words[1]) && words.count > 2 ? words[2] : words[1]
            return path.split(separator: ".").first.map(String.init)
        }
    }

    @Test("no room imports a room that Docs/Architecture.md does not allow it, and every room has a row")
    func arrows() throws {
        let allowed = try ArchitectureTests.allowedArrows()
        let sources = ArchitectureTests.root.appending(path: "Sources")
        let rooms = try FileManager.default.contentsOfDirectory(atPath: sources.path).sorted()
        var filesRead = 0
        for room in rooms {
            let arrows = try #require(allowed[room], "Docs/Architecture.md has no row for room \(room)")
            let files = FileManager.default.enumerator(at: sources.appending(path: room), includingPropertiesForKeys: nil)
            while let file = files?.nextObject() as? URL {
                guard file.pathExtension == "swift" else { continue }
                filesRead += 1
                for name in ArchitectureTests.imports(in: try String(contentsOf: file, encoding: .utf8)) where rooms.contains(name) {
                    #expect(arrows.contains(name), "\(room)/\(file.lastPathComponent) imports \(name)")
                }
            }
        }
        #expect(filesRead > 50)
        #expect(Set(allowed.keys) == Set(rooms), "a row without a room, or a room without a row")
    }

    @Test("Package.swift gives no room a dependency that the table does not allow")
    func manifest() throws {
        let allowed = try ArchitectureTests.allowedArrows()
        let manifest = try String(contentsOf: ArchitectureTests.root.appending(path: "Package.swift"), encoding: .utf8)
        let targets = manifest.matches(of: /(?:target|executableTarget)\(\s*name: "([A-Za-z-]+)",?\s*(?:dependencies: \[([^\]]*)\])?/)
        var checked = 0
        for target in targets {
            guard let arrows = allowed[String(target.1)] else { continue }
            checked += 1
            for name in (target.2 ?? "").matches(of: /"([A-Za-z-]+)"/) {
                #expect(arrows.contains(String(name.1)), "Package.swift lets \(target.1) depend on \(name.1)")
            }
        }
        #expect(checked >= allowed.count - 3, "only \(checked) targets were found in Package.swift")
    }

    @Test(
        "every form of import is seen",
        arguments: [
            ("import Fleet", "Fleet"), ("public import Fleet", "Fleet"), ("import struct Fleet.Bytes", "Fleet"),
            ("@_exported import Fleet", "Fleet"), ("@preconcurrency public import Fleet.Sub", "Fleet"),
        ])
    func importForms(line: String, room: String) {
        #expect(ArchitectureTests.imports(in: line) == [room])
    }
}
