import ArgumentParser
import Fleet
import Glibc
import Libvirt
import OperatorFiles

/// A duration on the command line: `10s`, `1m30s`.
struct DurationArgument: ExpressibleByArgument {
    let duration: Duration

    init(_ duration: Duration) { self.duration = duration }

    init?(argument: String) {
        guard let duration = Duration(operatorText: argument) else { return nil }
        self.duration = duration
    }

    var defaultValueDescription: String { duration.operatorText }
}

/// A size on the command line: `20GiB`.
struct SizeArgument: ExpressibleByArgument {
    let bytes: Bytes

    init?(argument: String) {
        let units: [(name: String, bits: UInt64)] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)]
        guard let unit = units.first(where: { argument.hasSuffix($0.name) }), let count = UInt64(argument.dropLast(unit.name.count)),
            count.leadingZeroBitCount > unit.bits
        else { return nil }
        bytes = Bytes(count << unit.bits)
    }
}

/// One host that a command is about.
struct WatchedHost: Sendable {
    /// The name: its `host` label.
    let name: HostName
    /// Where it is read.
    let uri: ConnectionURI
    /// Where it is told what to do.
    let operateURI: ConnectionURI
    /// User and password for SASL.
    let credentials: Credentials?
    /// Zone, region and the operator's own labels stand here.
    let configured: ConfiguredHost

    /// Opens connections for collecting, with what the host's configuration says.
    func collect(
        runtime: LibvirtRuntime, events: @escaping @Sendable (HypervisorEvent) -> Void
    ) throws(HypervisorError) -> PooledHypervisor {
        try PooledHypervisor(to: uri, host: name, access: .readOnly, credentials: credentials, runtime: runtime, events: events)
    }
}

/// How a command is told which hosts it is about.
struct ConnectOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The file that lists the hosts, steward.yaml.",
            discussion: "Docs/Configuration.md describes it. Cannot be used together with --connect.", valueName: "FILE"))
    var config: String?

    @Option(
        name: [.customShort("c"), .long],
        help: ArgumentHelp(
            "A libvirt host, as URI or NAME=URI. May be given several times.",
            discussion: "Without it LIBVIRT_DEFAULT_URI counts, and without that qemu:///system.", valueName: "URI"))
    var connect: [String] = []

    /// The hosts, each with its name; those of --connect are called by their addresses, made different where they are not.
    func hosts() throws -> [WatchedHost] {
        if let config {
            guard connect.isEmpty else {
                throw Failure("--config \(config) and --connect cannot be used together; write the host into the file", code: Failure.usage)
            }
            return try readFleetFile(config)
        }
        let texts = connect.isEmpty ? [getenv("LIBVIRT_DEFAULT_URI").map { String(cString: $0) } ?? "qemu:///system"] : connect
        var hosts: [WatchedHost] = []
        for text in texts {
            let (given, address) = ConnectOptions.split(text)
            let uri: ConnectionURI
            do { uri = try ConnectionURI(address) } catch { throw Failure("\(error)", code: Failure.usage) }
            let base = given.map { HostName($0) } ?? uri.defaultHostName(localName: localHostName())
            if given != nil, hosts.contains(where: { $0.name == base }) {
                throw Failure("--connect \(text): the name '\(base)' was given twice", code: Failure.usage)
            }
            let taken = hosts.filter { $0.uri.defaultHostName(localName: localHostName()) == base }.count
            if hosts.contains(where: { $0.uri == uri }) {
                throw Failure("--connect \(text) was given twice; a host is watched once", code: Failure.usage)
            }
            let name = taken == 0 ? base : HostName("\(base)-\(taken + 1)")
            hosts.append(
                WatchedHost(
                    name: name, uri: uri, operateURI: uri, credentials: nil, configured: ConfiguredHost(name: name, uri: text)))
        }
        return hosts
    }
}

extension ConnectOptions {
    /// `NAME=URI` in its parts; an equals sign after the scheme belongs to the URI.
    static func split(_ text: String) -> (name: String?, uri: String) {
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex, !text[..<equals].contains(":") else { return (nil, text) }
        return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }
}

/// This machine's name, for hosts that are reached through a local socket.
func localHostName() -> String {
    var name = [CChar](repeating: 0, count: Int(HOST_NAME_MAX) + 1)
    guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
