import ArgumentParser
import Fleet
import Libvirt

struct Host: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Looks at hosts.", subcommands: [HostCheck.self, HostList.self, HostShow.self])
}

struct HostCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Says what works on a host, and what a read-only connection loses there.",
        discussion: """
            Opens a read-only connection, as collecting does, and tries every call that Steward makes. Nothing on the host is \
            changed. Exit code 1 if the host cannot be collected from.

                steward host check qemu+tls://kvm1.example.org/system
            """)

    @Argument(help: ArgumentHelp("The host's libvirt.", valueName: "URI"))
    var uri: String

    @Flag(help: "Print the findings as JSON.")
    var json = false

    func run() throws {
        let address: ConnectionURI
        do { address = try ConnectionURI(uri) } catch { throw Failure("\(error)", code: Failure.usage) }
        let host = address.defaultHostName(localName: localHostName())
        let findings: [HostFinding]
        do throws(HypervisorError) {
            let runtime: LibvirtRuntime
            do { runtime = try LibvirtRuntime() } catch { throw HypervisorError(.failed, call: error.description, host: host, words: "") }
            let connection = try LibvirtConnection(to: address, host: host, access: .readOnly, runtime: runtime, events: { _ in })
            defer { connection.close() }
            findings = examine(connection)
        } catch {
            throw Failure("\(error)\n\(advice(for: error, address))")
        }
        if json {
            let list = findings.map {
                Json.object([("check", .text($0.check)), ("state", .text($0.state.rawValue)), ("words", .text($0.words))])
            }
            print(Json.object([("host", .text(host.text)), ("uri", .text(uri)), ("findings", .list(list))]).serialized)
        } else {
            var table = TextTable([("CHECK", .left), ("STATE", .left), ("", .left)])
            for finding in findings { table.add([finding.check, finding.state.rawValue, finding.words]) }
            print(table.lines.joined(separator: "\n"))
        }
        if findings.contains(where: { $0.state == .failed }) { throw ExitCode(Failure.other) }
    }

    private func advice(for error: HypervisorError, _ address: ConnectionURI) -> String {
        switch error.kind {
        case .unreachable:
            "check the name and that libvirtd listens there: systemctl status virtproxyd-\(address.transport.rawValue).socket libvirtd"
        case .refused: "check the user, the password and the certificates of transport \(address.transport.rawValue)"
        default: "try `virsh -r -c \(address) list` from here: it uses the same library"
        }
    }
}

/// What one check found.
struct HostFinding {
    enum State: String {
        /// Works.
        case works
        /// The host does not have it; nothing is lost that it could give.
        case absent
        /// Works on a read-write connection only.
        case readWriteOnly = "read-write only"
        /// Should work and does not.
        case failed
    }

    let check: String
    let state: State
    let words: String
}

/// Tries every call that collecting makes, then names what read-only loses.
private func examine(_ connection: LibvirtConnection) -> [HostFinding] {
    var findings: [HostFinding] = []
    func tryOut(_ check: String, _ call: () throws(HypervisorError) -> (HostFinding.State, String)) {
        do throws(HypervisorError) {
            let (state, words) = try call()
            findings.append(HostFinding(check: check, state: state, words: words))
        } catch {
            findings.append(HostFinding(check: check, state: error.kind == .unsupported ? .absent : .failed, words: "\(error)"))
        }
    }
    tryOut("connection") { () throws(HypervisorError) in
        let host = try connection.describeHost()
        return (.works, "\(host.hypervisor) \(dotted(host.hypervisorVersion)), libvirt \(dotted(host.libvirtVersion)) on \(host.hostname)")
    }
    tryOut("node") { () throws(HypervisorError) in
        let node = try connection.readNode()
        guard !node.cpu.isEmpty, !node.memory.isEmpty else { return (.absent, "this driver gives no CPU or memory figures of the host") }
        return (.works, "CPU time and memory of the host")
    }
    var guests: [DomainReading] = []
    tryOut("guests") { () throws(HypervisorError) in
        guests = try connection.readDomains(.standard, .active)
        let inactive = try connection.readDomains(.state, .inactive)
        return (.works, "\(guests.count) active, \(inactive.count) inactive")
    }
    tryOut("statistics groups") { () throws(HypervisorError) in
        let all: [(StatGroups, String)] = [
            (.state, "state"), (.cpu, "cpu"), (.balloon, "balloon"), (.vcpu, "vcpu"), (.interface, "interface"), (.block, "block"),
            (.perf, "perf"), (.iothread, "iothread"), (.memory, "memory"), (.dirtyRate, "dirtyrate"), (.vm, "vm"),
        ]
        let known = try connection.supportedGroups(among: StatGroups.standard.union(.occasional))
        let missing = all.filter { !known.contains($0.0) }.map(\.1)
        return (.works, missing.isEmpty ? "all" : "all but \(missing.joined(separator: ", "))")
    }
    tryOut("balloon statistics") { () throws(HypervisorError) in
        let silent = guests.filter { guest in
            !guest.parameters.contains { $0.name == "balloon.last-update" && $0.value.unsignedInteger ?? 0 > 0 }
        }
        guard !silent.isEmpty else { return (.works, "every active guest reports its memory") }
        let names = silent.prefix(5).map(\.name).joined(separator: ", ")
        return (
            .absent,
            "\(silent.count) of \(guests.count) guests do not report memory use (\(names)): give them <memballoon><stats period='10'/>"
        )
    }
    tryOut("descriptions") { () throws(HypervisorError) in
        for guest in guests { _ = try connection.describeGuest(guest.guest) }
        return (.works, "the XML of every active guest can be read")
    }
    tryOut("storage pools") { () throws(HypervisorError) in
        let pools = try connection.readPools()
        return pools.isEmpty ? (.absent, "no pool is defined") : (.works, pools.map(\.name).joined(separator: ", "))
    }
    for (check, words) in lostReadOnly { findings.append(HostFinding(check: check, state: .readWriteOnly, words: words)) }
    return findings
}

/// What libvirt refuses on a read-only connection, of what Steward can use (libvirt's own `virCheckReadOnlyGoto` calls).
private let lostReadOnly = [
    ("pool refresh", "pool figures are as old as the last refresh by somebody else"),
    ("balloon period", "the period of balloon statistics cannot be set by Steward"),
    ("dirty rate", "a measurement cannot be started; the last one is read"),
    ("guest agent", "nothing is asked of the agent inside the guest"),
    ("secure XML", "definitions are read without secrets, so they are not enough to start the guest elsewhere"),
]

/// libvirt's version number in the form that people know: 9000000 is 9.0.0.
func dotted(_ version: UInt64?) -> String {
    version.map { "\($0 / 1_000_000).\($0 / 1000 % 1000).\($0 % 1000)" } ?? "of unknown version"
}
