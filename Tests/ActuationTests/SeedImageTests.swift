import Actuation
import Foundation
import Testing

@Suite("Cloud-init seeds")
struct SeedImageTests {
    static let files = [SeedFile("user-data", "#cloud-config\n"), SeedFile("meta-data", "instance-id: i-1\n")]

    @Test("the image is labelled cidata, twice")
    func label() throws {
        let image = try SeedImage.bytes(of: SeedImageTests.files)
        #expect(image.count == (27 + 150) * 2048)
        #expect(Array(image[16 * 2048 + 40..<16 * 2048 + 46]) == Array("cidata".utf8))
        #expect(Array(image[17 * 2048 + 40..<17 * 2048 + 52]) == "cidata".utf8.flatMap { [0, $0] })
    }

    @Test("the order in which files are given does not change the image")
    func order() throws {
        #expect(try SeedImage.bytes(of: SeedImageTests.files) == SeedImage.bytes(of: SeedImageTests.files.reversed()))
    }

    @Test("a long file takes as many sectors as it needs", arguments: [(2048, 27), (2049, 28), (1 << 20, 538)])
    func length(bytes: Int, sectors: Int) throws {
        let long = SeedFile("user-data", String(repeating: "x", count: bytes))
        #expect(try SeedImage.bytes(of: [long, SeedImageTests.files[1]]).count == (sectors + 150) * 2048)
    }

    @Test(
        "what no reader could read is refused",
        arguments: [
            [], [SeedFile("User Data", "")], [SeedFile("a", ""), SeedFile("a", "")],
            [SeedFile("a", String(repeating: "x", count: 1 << 20 + 1))],
        ])
    func refusals(files: [SeedFile]) {
        #expect(throws: SeedImageError.self) { try SeedImage.bytes(of: files) }
    }
}
