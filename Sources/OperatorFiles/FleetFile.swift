public import Fleet

/// One host as an operator writes it down in `steward.yaml`.
public struct ConfiguredHost: Hashable, Sendable {
    /// The host's name: its `host` label.
    public var name: HostName
    /// Where its libvirt is read, over a read-only connection.
    public var uri: String
    /// Where its libvirt is told what to do; nil is the same URI.
    public var operateURI: String?
    /// What fails together: guests of a group are spread over zones.
    public var zone: String?
    /// Where the zone is.
    public var region: String?
    /// The operator's own labels, in the order of the file.
    public var labels: [HostLabel] = []
    /// The file with user and password for SASL.
    public var credentials: String?
    /// The time between two readings; nil is the command's.
    public var interval: Duration?
    /// Whether policies may change anything there.
    public var allowsActions = false

    /// A host that is only read.
    public init(name: HostName, uri: String) {
        self.name = name
        self.uri = uri
    }
}

/// One label that an operator gave a host.
public struct HostLabel: Hashable, Sendable {
    /// Its name, `[a-zA-Z_][a-zA-Z0-9_]*` as Prometheus wants it.
    public let name: String
    /// Its value.
    public let value: String

    /// A label.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// A user and a password as they stand in a credentials file.
public struct ConfiguredCredentials: Hashable, Sendable {
    /// The user.
    public let user: String
    /// The password.
    public let password: String

    /// Credentials.
    public init(user: String, password: String) {
        self.user = user
        self.password = password
    }
}

/// Reads `steward.yaml`, the list of the hosts.
public enum FleetFile {
    /// The most hosts of one file: beyond what one Steward is made for, so it only keeps accidents out.
    public static let maximumHosts = 5000
    /// The most labels of one host; each is a label of a series.
    public static let maximumLabels = 32

    /// The hosts of a file, in its order; nil with the errors where anything in it is wrong: all or nothing.
    ///
    /// - Parameter flaw: says what is wrong with a connection URI, or nil where it is well.
    public static func read(_ text: String, file: String, flaw: (String) -> String?) -> (hosts: [ConfiguredHost]?, problems: [Diagnostic]) {
        var problems = YamlProblems()
        guard let root = YamlNode.parse(text, file: file, &problems), var mapping = root.mapping("the fleet file", &problems) else {
            return (nil, problems.sorted)
        }
        let defaults = mapping.optional("defaults").flatMap { readDefaults($0, &problems) }
        var hosts: [ConfiguredHost] = []
        if let list = mapping.required("hosts", &problems, suggestion: "list the hosts under it: '- name: kvm1'") {
            for node in list.list("hosts", maximum: maximumHosts, &problems) ?? [] {
                if let host = readHost(node, defaults, flaw, &problems) { add(host, at: node.place, to: &hosts, &problems) }
            }
        }
        mapping.refuseUnknown(&problems)
        return (problems.hasErrors ? nil : hosts, problems.sorted)
    }

    /// User and password of a credentials file; nil with the errors where anything in it is wrong.
    public static func readCredentials(_ text: String, file: String) -> (credentials: ConfiguredCredentials?, problems: [Diagnostic]) {
        var problems = YamlProblems()
        guard let root = YamlNode.parse(text, file: file, &problems), var mapping = root.mapping("a credentials file", &problems) else {
            return (nil, problems.sorted)
        }
        let user = mapping.required("user", &problems)?.text("the user", &problems)
        let password = mapping.required("password", &problems)?.text("the password", &problems)
        mapping.refuseUnknown(&problems)
        guard let user, let password, !problems.hasErrors else { return (nil, problems.sorted) }
        return (ConfiguredCredentials(user: user, password: password), problems.sorted)
    }

    private struct Defaults {
        var interval: Duration?
        var allowsActions: Bool?
    }

    private static func readDefaults(_ node: YamlNode, _ problems: inout YamlProblems) -> Defaults? {
        guard var mapping = node.mapping("defaults", &problems) else { return nil }
        let defaults = Defaults(
            interval: readInterval(&mapping, &problems),
            allowsActions: mapping.either("allow-actions", "allow_actions")?.boolean("allow-actions", &problems))
        mapping.refuseUnknown(&problems)
        return defaults
    }

    private static func readInterval(_ mapping: inout YamlMapping, _ problems: inout YamlProblems) -> Duration? {
        // Below 200 ms a host would be busy with nothing but answering.
        mapping.optional("interval")?.duration("interval", in: .milliseconds(200) ... .seconds(3600), &problems)
    }

    private static func readHost(
        _ node: YamlNode, _ defaults: Defaults?, _ flaw: (String) -> String?, _ problems: inout YamlProblems
    ) -> ConfiguredHost? {
        guard var mapping = node.mapping("a host", &problems) else { return nil }
        let name = mapping.required("name", &problems)?.text("the host's name", &problems)
        let uri = readURI(mapping.required("uri", &problems, suggestion: "write 'uri: qemu+tls://kvm1/system'"), flaw, &problems)
        let operateURI = readURI(mapping.either("operate-uri", "operate_uri"), flaw, &problems)
        let zone = mapping.optional("zone")?.text("the zone", &problems)
        let region = mapping.optional("region")?.text("the region", &problems)
        let labels = mapping.optional("labels").map { readLabels($0, &problems) } ?? []
        let credentials = mapping.optional("credentials")?.text("credentials", &problems)
        let interval = readInterval(&mapping, &problems)
        let allowsActions = mapping.either("allow-actions", "allow_actions")?.boolean("allow-actions", &problems)
        mapping.refuseUnknown(&problems)
        guard let name, let uri else { return nil }
        var host = ConfiguredHost(name: HostName(name), uri: uri)
        host.operateURI = operateURI
        host.zone = zone
        host.region = region
        host.labels = labels
        host.credentials = credentials
        host.interval = interval ?? defaults?.interval
        host.allowsActions = allowsActions ?? defaults?.allowsActions ?? false
        return host
    }

    private static func readURI(_ node: YamlNode?, _ flaw: (String) -> String?, _ problems: inout YamlProblems) -> String? {
        guard let node, let text = node.text("the URI", &problems) else { return nil }
        if let words = flaw(text) {
            problems.error(words, at: node.place)
            return nil
        }
        return text
    }

    private static func readLabels(_ node: YamlNode, _ problems: inout YamlProblems) -> [HostLabel] {
        guard let mapping = node.mapping("labels", &problems) else { return [] }
        guard mapping.entries.count <= maximumLabels else {
            problems.error("a host has \(mapping.entries.count) labels, more than \(maximumLabels)", at: node.place)
            return []
        }
        return mapping.entries.compactMap { entry in
            let bytes = Array(entry.key.utf8)
            let isName =
                bytes.allSatisfy { isLetter($0) || (48...57).contains($0) } && bytes.first.map(isLetter) == true
            guard isName else {
                problems.error("'\(entry.key)' is no label name", at: entry.place, suggestion: "use letters, digits and underscores")
                return nil
            }
            return entry.value.text("the label '\(entry.key)'", &problems).map { HostLabel(entry.key, $0) }
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (65...90).contains(byte) || (97...122).contains(byte) || byte == 95 }

    /// Two entries of one name, or of one libvirt, would count everything there twice.
    private static func add(_ host: ConfiguredHost, at place: SourcePlace, to hosts: inout [ConfiguredHost], _ problems: inout YamlProblems)
    {
        if hosts.contains(where: { $0.name == host.name }) {
            problems.error("a second host is called '\(host.name)'", at: place, suggestion: "give each host a name of its own")
        } else if let other = hosts.first(where: { $0.uri == host.uri }) {
            problems.error("host '\(host.name)' has the URI of host '\(other.name)'", at: place, suggestion: "a host is watched once")
        } else {
            hosts.append(host)
        }
    }
}

extension YamlMapping {
    /// The value of a key that may be spelt in two ways.
    fileprivate mutating func either(_ key: String, _ other: String) -> YamlNode? {
        let second = has(key) ? nil : optional(other)
        return optional(key) ?? second
    }
}
