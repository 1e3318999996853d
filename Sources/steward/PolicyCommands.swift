import ArgumentParser
import Fleet

extension ServerOptions {
    /// Asks the server and prints what it says.
    fileprivate func show(_ words: [String]) throws { print(try ask(words + [operatorName()]), terminator: "") }
}

struct PolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "Checks policies, and shows what they decide and why.",
        subcommands: [PolicyCheck.self, PolicyList.self, PolicyExplain.self, PolicyPause.self, PolicyResume.self])
}

struct PolicyCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Reads policy files, tells all that is wrong, and runs their scenarios.",
        discussion: """
            Takes folders and files (*.yaml and *.scenario). Exit codes: 0 nothing is wrong, 1 something is.

                steward policy check Policies
                steward policy check web.yaml web.scenario --json
            """)

    @Argument(help: ArgumentHelp("Folders or files.", valueName: "PATH"))
    var paths: [String]

    @Flag(help: "Print the diagnostics as JSON.")
    var json = false

    func run() throws {
        let folder = PolicyFolder.read(paths, runsScenarios: true)
        if json {
            let items = folder.diagnostics.map { diagnostic in
                Json.object([
                    ("severity", .text(diagnostic.severity.rawValue)), ("file", .text(diagnostic.place.file)),
                    ("line", .integer(Int64(diagnostic.place.line))), ("column", .integer(Int64(diagnostic.place.column))),
                    ("message", .text(diagnostic.message)), ("suggestion", .optional(diagnostic.suggestion)),
                ])
            }
            print(Json.list(items).serialized)
        } else {
            for diagnostic in folder.diagnostics { print(diagnostic) }
            let errors = folder.diagnostics.count { $0.severity == .error }
            print(
                "\(folder.groups.count) policies, \(folder.alerts.count) alerts, \(folder.scenarios.count) scenarios: "
                    + (errors == 0 ? "no errors" : "\(errors) errors"))
        }
        if !folder.isUsable { throw ExitCode(Failure.other) }
    }
}

struct PolicyList: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Lists the policies of a running server.")
    @OptionGroup var server: ServerOptions
    func run() throws { try server.show(["list"]) }
}

struct PolicyExplain: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Shows the whole chain of a policy's last decision, and what would have to change.")
    @OptionGroup var server: ServerOptions
    @Argument(help: ArgumentHelp("The policy or its group.", valueName: "NAME"))
    var name: String
    func run() throws { try server.show(["explain", name]) }
}

struct PolicyPause: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "pause", abstract: "Lets a policy decide but do nothing.")
    @OptionGroup var server: ServerOptions
    @Argument(help: ArgumentHelp("The policy.", valueName: "NAME"))
    var name: String
    func run() throws { try server.show(["pause", name]) }
}

struct PolicyResume: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "resume", abstract: "Ends a policy's pause.")
    @OptionGroup var server: ServerOptions
    @Argument(help: ArgumentHelp("The policy.", valueName: "NAME"))
    var name: String
    func run() throws { try server.show(["resume", name]) }
}

struct PlansCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "plans", abstract: "Lists the plans that have not ended.")
    @OptionGroup var server: ServerOptions
    func run() throws { try server.show(["plans"]) }
}

struct Approve: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Approves a plan that waits for it.")
    @OptionGroup var server: ServerOptions
    @Argument(help: ArgumentHelp("The plan's number.", valueName: "PLAN"))
    var plan: UInt64
    func run() throws { try server.show(["approve", "\(plan)"]) }
}

struct Reject: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Rejects a plan, or ends it without harm.")
    @OptionGroup var server: ServerOptions
    @Argument(help: ArgumentHelp("The plan's number.", valueName: "PLAN"))
    var plan: UInt64
    func run() throws { try server.show(["reject", "\(plan)"]) }
}

struct ScaleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale", abstract: "Gives a group a size, or back to its policy with 'auto'.")
    @OptionGroup var server: ServerOptions
    @Argument(help: ArgumentHelp("The group.", valueName: "GROUP"))
    var group: String
    @Argument(help: ArgumentHelp("The size, or auto.", valueName: "N"))
    var size: String
    func run() throws { try server.show(["scale", group, size]) }
}

struct Adopt: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lets Steward stop a guest of a group that it did not make itself.")
    @OptionGroup var server: ServerOptions
    @Argument(help: ArgumentHelp("The guest's name or UUID.", valueName: "GUEST"))
    var guest: String
    func run() throws { try server.show(["adopt", guest]) }
}
