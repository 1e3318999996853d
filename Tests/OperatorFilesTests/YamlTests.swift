import Fleet
import OperatorFiles
import Testing

@Suite("Reading operators' YAML")
struct YamlTests {
    func root(_ text: String, limits: YamlLimits = YamlLimits()) -> (node: YamlNode?, problems: YamlProblems) {
        var problems = YamlProblems()
        let node = YamlNode.parse(text, file: "f.yaml", limits: limits, &problems)
        return (node, problems)
    }

    func scalar<Value>(_ text: String, _ read: (YamlNode, inout YamlProblems) -> Value?) -> (value: Value?, errors: [String]) {
        var (node, problems) = root("key: \(text)\n")
        guard let node, var mapping = node.mapping("the file", &problems), let value = mapping.required("key", &problems) else {
            return (nil, problems.sorted.map(\.description))
        }
        let result = read(value, &problems)
        return (result, problems.sorted.map(\.description))
    }

    @Test("all unknown and missing keys are told at once, sorted, with the nearest known key")
    func keys() {
        var (node, problems) = root("hots: [a]\nname: x\nextra: 1\n")
        if var mapping = node?.mapping("a policy", &problems) {
            _ = mapping.required("name", &problems)
            _ = mapping.optional("hosts")
            _ = mapping.required("target", &problems)
            mapping.refuseUnknown(&problems)
        }
        #expect(
            problems.sorted.map(\.description) == [
                "f.yaml:1:1: error: a policy needs 'target'; write 'target: …'",
                "f.yaml:1:1: error: unknown key 'hots' in a policy; did you mean 'hosts'?",
                "f.yaml:3:1: error: unknown key 'extra' in a policy; known here: hosts, name, target",
            ])
    }

    @Test(
        "text that is not one document of YAML is refused at its place",
        arguments: [
            ("a: b: c\n", "f.yaml:1:5: error: not YAML: mapping values are not allowed in this context"),
            ("a: 1\na: 2\n", "f.yaml:1:1: error: the mapping that begins here has a key twice: 'a'; keep one of them"),
            ("", "f.yaml:1:1: error: the file is empty"),
            ("a: 1\n---\nb: 1\n", "f.yaml:3:1: error: a second document begins here; one file holds one; remove the '---'"),
            ("a: *x\n", "f.yaml:1:4: error: not YAML: found undefined alias"),
        ])
    func notYaml(text: String, expected: String) {
        let (node, problems) = root(text)
        #expect(node == nil)
        #expect(problems.sorted.map(\.description) == [expected])
    }

    @Test("a file at the limit of bytes or depth is read and one beyond is not")
    func limits() {
        var limits = YamlLimits()
        limits.bytes = 5
        #expect(root("a: 1\n", limits: limits).node != nil)
        #expect(root("a: 12\n", limits: limits).node == nil)
        limits = YamlLimits()
        limits.depth = 3
        #expect(root("[[1]]", limits: limits).node != nil)
        #expect(root("[[[1]]]", limits: limits).node == nil)
    }

    @Test("nested aliases that would grow without bound are refused")
    func laughs() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<12 {
            text += "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ") + "]\n"
        }
        let (node, problems) = root(text)
        #expect(node == nil)
        #expect(problems.sorted.first?.message == "the file has more than 200000 nodes, aliases expanded")
    }

    @Test("nesting far beyond any stack is refused, not crashed on")
    func deep() {
        #expect(root(String(repeating: "[", count: 100_000)).node == nil)
        #expect(root(String(repeating: "- ", count: 100_000)).node == nil)
    }

    @Test(
        "decimals are read from their text exactly",
        arguments: [
            ("0.1", 100_000_000_000), ("0.000000000001", 1), ("3.20", 3_200_000_000_000), ("1000000", 1_000_000_000_000_000_000),
            ("-0.5", -500_000_000_000), ("0.1000000000000", 100_000_000_000),
        ] as [(String, Int128)])
    func decimals(text: String, expected: Int128) {
        #expect(scalar(text) { $0.decimal("a price", places: 12, &$1) }.value == expected)
    }

    @Test(
        "what is no exact decimal is refused",
        arguments: ["1e3", "0.0000000000001", "1,5", ".5", "5.", "0x10", "1_000", "NaN", "--1", "''"])
    func badDecimals(text: String) {
        let (value, errors) = scalar(text) { $0.decimal("a price", places: 12, &$1) }
        #expect(value == nil)
        #expect(errors.count == 1)
    }

    @Test(
        "durations need units in falling order",
        arguments: [
            ("5m", 300_000), ("1h30m", 5_400_000), ("500ms", 500), ("2d", 172_800_000), ("0", 0), ("1m1ms", 60_001), ("90", nil),
            ("5 m", nil), ("30m1h", nil), ("1h1h", nil), ("-5m", nil), ("m", nil), ("99999999999999999d", nil), ("400d", nil),
        ] as [(String, Int64?)])
    func durations(text: String, expected: Int64?) {
        #expect(scalar(text) { $0.duration("the period", &$1) }.value == expected.map { .milliseconds($0) })
    }

    @Test(
        "sizes need binary units",
        arguments: [
            ("20GiB", 20 << 30), ("1.5 TiB", 3 << 39), ("0B", 0), ("16 EiB", nil), ("20", nil), ("0.3B", nil), ("20GB", nil),
            ("-1GiB", nil),
        ] as [(String, UInt64?)])
    func sizes(text: String, expected: UInt64?) {
        #expect(scalar(text) { $0.bytes("the size", &$1) }.value == expected.map(Bytes.init))
    }

    @Test("a decimal unit is refused with its binary neighbour")
    func decimalUnit() {
        #expect(
            scalar("20GB") { $0.bytes("the size", &$1) }.errors == [
                "f.yaml:1:6: error: the size has the unknown unit 'GB'; did you mean 'GiB' (powers of 1024)?"
            ])
    }

    @Test(
        "shares are percent or fractions",
        arguments: [("70%", 700_000), ("0.7", 700_000), ("12.5 %", 125_000), ("1", 1_000_000), ("101%", nil), ("70", nil), ("-1%", nil)]
            as [(String, Int?)])
    func shares(text: String, expected: Int?) {
        #expect(scalar(text) { $0.partsPerMillion("the discount", &$1) }.value == expected)
        #expect(scalar(text) { $0.ratio("the discount", &$1) }.value?.value == expected.map { Double($0) / 1e6 })
    }

    @Test("70 without a percent sign is suggested to be 70 %")
    func percentSuggestion() {
        #expect(
            scalar("70") { $0.ratio("the target", &$1) }.errors == [
                "f.yaml:1:6: error: the target is 70, outside 0…100 %; did you mean '70%'?"
            ])
    }

    @Test("money needs a currency, and the same one as its file")
    func money() throws {
        let yuan = try #require(Currency(code: "CNY"))
        #expect(scalar("3.20 CNY") { $0.money("a price", &$1) }.value == Money(trillionths: 3_200_000_000_000, currency: yuan))
        #expect(scalar("3.20") { $0.money("a price", currency: yuan, &$1) }.value == Money(trillionths: 3_200_000_000_000, currency: yuan))
        #expect(scalar("3.20") { $0.money("a price", &$1) }.errors.count == 1)
        #expect(scalar("3.20 EUR") { $0.money("a price", currency: yuan, &$1) }.errors.count == 1)
        #expect(scalar("3.20 yuan") { $0.money("a price", &$1) }.errors.count == 1)
    }

    @Test(
        "instants carry their offset",
        arguments: [
            ("2026-11-23T09:30:00Z", 1_795_426_200), ("2026-11-23T09:30:00+08:00", 1_795_397_400),
            ("2026-11-23T09:30:00-05:45", 1_795_446_900),
            ("2026-11-23", nil), ("2026-11-23T09:30:00", nil), ("2026-02-29T00:00:00Z", nil), ("2026-11-23T24:00:00Z", nil),
        ] as [(String, Int64?)])
    func instants(text: String, expected: Int64?) {
        #expect(scalar(text) { $0.timestamp("from", &$1) }.value == expected.map { Timestamp(seconds: $0) })
    }

    @Test("dates exist", arguments: [("2026-11-23", true), ("2026-11-31", false), ("26-11-23", false), ("2026-1-023", false)])
    func dates(text: String, exists: Bool) {
        #expect((scalar(text) { $0.civilDate("from", &$1) }.value != nil) == exists)
    }
}
