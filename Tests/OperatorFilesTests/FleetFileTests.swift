import Fleet
import OperatorFiles
import Testing

@Suite("The fleet file")
struct FleetFileTests {
    func read(_ text: String) -> (hosts: [ConfiguredHost]?, problems: [String]) {
        let (hosts, problems) = FleetFile.read(text, file: "steward.yaml") { $0.contains("://") ? nil : "'\($0)' has no scheme" }
        return (hosts, problems.map(\.description))
    }

    @Test("everything that may stand there is read")
    func whole() throws {
        let text = """
            defaults: {interval: 5s}
            hosts:
              - name: kvm1
                uri: qemu+tls://kvm1/system
                operate-uri: qemu+ssh://root@kvm1/system
                zone: az-1
                region: north
                labels: {rack: r12, owner: "a b"}
                credentials: /etc/steward/kvm1.credentials
                interval: 30s
                allow-actions: true
              - name: kvm2
                uri: qemu+tls://kvm2/system
            """
        let (hosts, problems) = read(text)
        #expect(problems == [])
        let first = try #require(hosts?.first)
        #expect(first.operateURI == "qemu+ssh://root@kvm1/system" && first.zone == "az-1" && first.region == "north")
        #expect(first.labels == [HostLabel("rack", "r12"), HostLabel("owner", "a b")])
        #expect(first.credentials == "/etc/steward/kvm1.credentials" && first.interval == .seconds(30) && first.allowsActions)
        let second = try #require(hosts?.last)
        #expect(second.interval == .seconds(5) && !second.allowsActions && second.operateURI == nil && second.labels.isEmpty)
    }

    @Test("a key may be written with a dash or an underscore", arguments: ["allow-actions", "allow_actions"])
    func spelling(key: String) {
        #expect(read("hosts: [{name: a, uri: 't://a', \(key): true}]").hosts?.first?.allowsActions == true)
    }

    @Test(
        "nothing of a file with a mistake is used, and each mistake is told at its place",
        arguments: [
            ("hosts:\n  - nmae: a\n    uri: t://a\n", "steward.yaml:2:5: error: unknown key 'nmae' in a host; did you mean 'name'?"),
            ("hosts:\n  - name: a\n    uri: kvm1\n", "steward.yaml:3:10: error: 'kvm1' has no scheme"),
            ("hosts:\n  - name: a\n", "steward.yaml:2:5: error: a host needs 'uri'; write 'uri: qemu+tls://kvm1/system'"),
            (
                "hosts:\n  - {name: a, uri: t://a}\n  - {name: a, uri: t://b}\n",
                "steward.yaml:3:5: error: a second host is called 'a'; give each host a name of its own"
            ),
            (
                "hosts:\n  - {name: a, uri: t://a}\n  - {name: b, uri: t://a}\n",
                "steward.yaml:3:5: error: host 'b' has the URI of host 'a'; a host is watched once"
            ),
            ("hosts:\n  - {name: a, uri: t://a, interval: 199ms}\n", "steward.yaml:2:37: error: interval is 199ms, outside 200ms…1h"),
            (
                "hosts:\n  - {name: a, uri: t://a, labels: {1x: y}}\n",
                "steward.yaml:2:36: error: '1x' is no label name; use letters, digits and underscores"
            ),
            ("host: []\n", "steward.yaml:1:1: error: unknown key 'host' in the fleet file; did you mean 'hosts'?"),
            ("hosts: {}\n", "steward.yaml:1:8: error: hosts must be a list, not a mapping; write '- item' lines"),
            ("hosts:\n\t- a\n", "indent with spaces"),
        ])
    func mistakes(text: String, expected: String) {
        let (hosts, problems) = read(text)
        #expect(hosts == nil)
        #expect(problems.contains { $0.contains(expected) }, "\(problems)")
    }

    @Test("an interval of exactly the least is taken")
    func boundary() {
        #expect(read("hosts: [{name: a, uri: 't://a', interval: 200ms}]").hosts?.first?.interval == .milliseconds(200))
    }

    @Test(
        "a credentials file has a user and a password and nothing else",
        arguments: [
            ("user: u\npassword: p\n", true), ("user: u\n", false), ("user: u\npassword: p\nrealm: r\n", false), ("- u\n", false),
        ])
    func credentials(text: String, isRead: Bool) {
        let (credentials, problems) = FleetFile.readCredentials(text, file: "c")
        #expect((credentials == ConfiguredCredentials(user: "u", password: "p")) == isRead)
        #expect(problems.isEmpty == isRead)
    }
}
