import HTTPServer
import Testing

@Suite("Forms")
struct FormTests {
    @Test(
        "names and values are decoded as browsers, curl and Grafana send them",
        arguments: [
            ("", []),
            ("a=1", [("a", "1")]),
            ("a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
            ("query=up%7Bjob%3D%22x%22%7D", [("query", "up{job=\"x\"}")]),
            ("q=a+b%2Bc", [("q", "a b+c")]),
            ("match[]=a=b", [("match[]", "a=b")]),
            ("flag", [("flag", "")]),
            ("a=%", [("a", "%")]), ("a=%4", [("a", "%4")]), ("a=%zz", [("a", "%zz")]),
            ("a=%C3%A9", [("a", "é")]), ("a=%FF", [("a", "\u{FFFD}")]),
            ("&&a=1&", [("a", "1")]),
        ] as [(String, [(String, String)])])
    func decodes(text: String, expected: [(String, String)]) {
        #expect(decodeForm(text) == expected.map { WebParameter(name: $0.0, value: $0.1) })
    }
}
