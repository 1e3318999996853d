import Fleet
import Testing

@Suite("Identities, quantities, diagnostics")
struct VocabularyTests {
    @Test("a UUID prints as it was read, in lower case")
    func uuid() {
        #expect(GuestID("0A1b2c3d-4e5f-6789-abcd-ef0123456789")?.description == "0a1b2c3d-4e5f-6789-abcd-ef0123456789")
    }

    @Test(
        "text that is no UUID is refused",
        arguments: [
            "", "0a1b2c3d4e5f6789abcdef0123456789", "0a1b2c3d-4e5f-6789-abcd-ef012345678", "0a1b2c3d-4e5f-6789-abcd-ef01234567890",
            "0a1b2c3g-4e5f-6789-abcd-ef0123456789", "0a1b2c3d+4e5f-6789-abcd-ef0123456789",
        ])
    func badUUID(text: String) {
        #expect(GuestID(text) == nil)
    }

    @Test(
        "bytes print in the largest unit that they fill",
        arguments: [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (1 << 30, "1 GiB"), ((1 << 30) - 1, "1023 MiB")])
    func bytes(count: Int, text: String) {
        #expect(Bytes(UInt64(count)).description == text)
    }

    @Test("a ratio holds 0…1 and nothing else", arguments: [(0.0, true), (1.0, true), (-0.001, false), (1.001, false), (.nan, false)])
    func ratio(value: Double, holds: Bool) {
        #expect((Ratio(value) != nil) == holds)
    }

    @Test("the nearest word is suggested, and a far one is not", arguments: [("intervall", "interval"), ("hots", "hosts"), ("zebra", nil)])
    func suggestion(word: String, expected: String?) {
        #expect(nearest(to: word, among: ["hosts", "interval", "connect"]) == expected)
    }

    @Test("a diagnostic prints its place, what is wrong and what to do")
    func diagnostic() {
        let place = SourcePlace(file: "steward.yaml", line: 3, column: 5)
        #expect(
            Diagnostic(at: place, "unknown key 'hots'", suggestion: "did you mean 'hosts'?").description
                == "steward.yaml:3:5: error: unknown key 'hots'; did you mean 'hosts'?")
    }
}
