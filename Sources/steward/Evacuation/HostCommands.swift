import ArgumentParser
import Fleet
import Foundation
import Glibc

/// How a command finds the server that it is about.
struct ServerOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The data folder of the running server.", discussion: "STEWARD_DATA where it is set, else /var/lib/steward.",
            valueName: "folder"))
    var data: String?

    var folder: String { data ?? getenv("STEWARD_DATA").map { String(cString: $0) } ?? "/var/lib/steward" }

    func ask(_ words: [String]) throws -> String {
        guard let answer = try ControlSocket.ask(folder: folder, words) else {
            throw Failure(
                "no server with --evacuate answers in \(folder): start `steward serve --evacuate --data \(folder) …`, or give its --data")
        }
        if answer.hasPrefix("error\t") { throw Failure(String(answer.dropFirst(6))) }
        return answer
    }

    func hosts() throws -> [HostReport] {
        do { return try JSONDecoder().decode([HostReport].self, from: Data(try ask(["hosts"]).utf8)) } catch let error as DecodingError {
            throw Failure("the server's answer cannot be read (\(error)); is it of the same version?")
        }
    }

    func host(_ name: String) throws -> HostReport {
        let all = try hosts()
        guard let host = all.first(where: { $0.host == name }) else {
            let hint = nearest(to: name, among: all.map(\.host)).map { "; did you mean '\($0)'?" } ?? ""
            throw Failure("the server watches no host '\(name)'\(hint)", code: Failure.usage)
        }
        return host
    }
}

/// A host as the server tells it.
struct HostReport: Decodable {
    struct Guest: Decodable {
        let name: String
        let active: Bool
        let obstacles: [String]
    }

    let host: String
    let state: String
    let reason: String
    let incident: UInt64
    let proof: String?
    let guests: [Guest]
    let bmc: Bool

    /// The guests that would be started elsewhere.
    var evacuable: [Guest] { guests.filter { $0.active && $0.obstacles.isEmpty } }
}

struct HostList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists the hosts with the state in which the server sees them.")

    @OptionGroup var server: ServerOptions
    @Flag(help: "Print the hosts as JSON.")
    var json = false

    func run() throws {
        if json {
            print(try server.ask(["hosts"]))
            return
        }
        var table = TextTable([("HOST", .left), ("STATE", .left), ("GUESTS", .right), ("SAVABLE", .right), ("BMC", .left), ("", .left)])
        for host in try server.hosts() {
            let active = host.guests.filter(\.active).count
            table.add([
                host.host, host.state, String(active), String(host.evacuable.count), host.bmc ? "yes" : "no", host.reason,
            ])
        }
        print(table.lines.joined(separator: "\n"))
    }
}

struct HostShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Shows a host's state, its guests, and which of them could not be saved and why.")

    @OptionGroup var server: ServerOptions
    @Argument(help: "The host.")
    var host: String

    func run() throws {
        let found = try server.host(host)
        print("\(found.host) is \(found.state): \(found.reason)")
        if found.incident > 0 { print("incident \(found.incident)" + (found.proof.map { ", \($0)" } ?? "")) }
        print(found.bmc ? "its power switch is known" : "no power switch is known: only an operator can prove it dead")
        for guest in found.guests {
            let words =
                !guest.active
                ? "is off" : guest.obstacles.isEmpty ? "can be saved" : "cannot be saved: " + guest.obstacles.joined(separator: "; ")
            print("  \(guest.name) \(words)")
        }
    }
}

struct ConfirmDead: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "confirm-dead",
        abstract: "Says that a silent host is dead, so that its guests may start elsewhere.",
        discussion: """
            For a host that nothing can prove dead. Go there and see that it has no power, or pull it. The guests that will be started \
            are shown first, and the host's name has to be typed again. The word holds for this incident, and is void at any sign of life.
            """)

    @OptionGroup var server: ServerOptions
    @Argument(help: "The host.")
    var host: String

    @Option(help: ArgumentHelp("The host's name again, instead of typing it.", valueName: "host"))
    var again: String?

    func run() throws {
        let found = try server.host(host)
        guard found.state == "unreachable" || found.state == "unprovable" else {
            throw Failure("\(host) is \(found.state), not silent: \(found.reason). Nothing was confirmed")
        }
        print("Incident \(found.incident) of \(host): \(found.reason)")
        print("These guests will be started elsewhere; if \(host) still runs them, their disks will be destroyed:")
        for guest in found.evacuable { print("  \(guest.name)") }
        if found.evacuable.isEmpty { print("  none") }
        let typed: String
        if let again {
            typed = again
        } else {
            print("Type the host's name to say that it has no power: ", terminator: "")
            fflush(nil)
            typed = readLine() ?? ""
        }
        guard typed == host else { throw Failure("'\(typed)' is not '\(host)'; nothing was confirmed") }
        _ = try server.ask(["confirm-dead", host, String(found.incident), operatorName()])
        print("Confirmed. Follow it with: steward host show \(host)")
    }
}

struct Disarm: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Stops everything that Steward does by itself: fencing, evacuation, plans.")

    @OptionGroup var server: ServerOptions

    func run() throws {
        _ = try server.ask(["disarm", operatorName()])
        print("Disarmed: steps that are under way end, nothing new begins until `steward arm`.")
    }
}

struct Arm: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lets Steward act by itself again.")

    @OptionGroup var server: ServerOptions

    func run() throws {
        _ = try server.ask(["arm", operatorName()])
        print("Armed.")
    }
}

/// Who is at the keyboard, for the journal.
func operatorName() -> String {
    let name = getenv("SUDO_USER").map { String(cString: $0) } ?? getpwuid(getuid()).map { String(cString: $0.pointee.pw_name) }
    return name ?? "uid \(getuid())"
}
