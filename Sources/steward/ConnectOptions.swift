import ArgumentParser
import Fleet
import Glibc
import Libvirt

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

/// How a command is told which hosts it is about.
struct ConnectOptions: ParsableArguments {
    @Option(
        name: [.customShort("c"), .long],
        help: ArgumentHelp(
            "A libvirt host, as URI or NAME=URI. May be given several times.",
            discussion: "Without it LIBVIRT_DEFAULT_URI counts, and without that qemu:///system.", valueName: "URI"))
    var connect: [String] = []

    /// The hosts, each with its name; names are the addresses, made different where they are not.
    func hosts() throws -> [(name: HostName, uri: ConnectionURI)] {
        let texts = connect.isEmpty ? [getenv("LIBVIRT_DEFAULT_URI").map { String(cString: $0) } ?? "qemu:///system"] : connect
        var hosts: [(name: HostName, uri: ConnectionURI)] = []
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
            hosts.append((taken == 0 ? base : HostName("\(base)-\(taken + 1)"), uri))
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
