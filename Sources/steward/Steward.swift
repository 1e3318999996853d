import ArgumentParser
import Glibc

struct Steward: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "steward",
        abstract: "Watches, bills and looks after a fleet of KVM guests through libvirt.",
        discussion: """
            One program: it collects what libvirt knows of hosts and guests, stores it, serves it to Prometheus and Grafana, \
            charges for it by the second, and acts on it by policies.

            Begin with

                steward serve --connect qemu:///system
                curl http://127.0.0.1:9177/metrics

            Every command takes --help; those that print tables take --json. Exit codes: 0 done, 1 failed, 2 the command line \
            or a file was wrong.
            """,
        version: stewardVersion,
        subcommands: [
            Serve.self, Host.self, Query.self, Tag.self, Record.self, Capture.self, Migrate.self, Resume.self, Drain.self, Cordon.self,
            Uncordon.self,
            Balance.self, PlanCommand.self, ConfirmDead.self, Disarm.self, Arm.self, StoreCommand.self, Usage.self, PriceCommand.self,
            HookCommand.self, PolicyCommand.self, PlansCommand.self, Approve.self, Reject.self, ScaleCommand.self, Adopt.self,
        ])
}

/// The version that `--version`, `steward_build_info` and the server's API show.
let stewardVersion = "0.1.0"

@main
enum Main {
    static func main() async {
        do {
            var command = try Steward.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let failure as Failure {
            printError("steward: \(failure.message)")
            exit(failure.code)
        } catch {
            let message = Steward.fullMessage(for: error)
            // The parser's code for a wrong command line is sysexits' 64; ours is 2, as in promtool and grep.
            switch Steward.exitCode(for: error) {
            case .success:
                print(message)
                exit(0)
            case .validationFailure:
                printError(message)
                exit(Failure.usage)
            case let code:
                if !message.isEmpty { printError(message) }
                exit(code.rawValue)
            }
        }
    }
}

/// Why a command did not do what was asked, in words for its user.
struct Failure: Error {
    /// The command line, or a file that it names, is wrong.
    static let usage: Int32 = 2
    /// Something else failed.
    static let other: Int32 = 1

    let message: String
    let code: Int32

    init(_ message: String, code: Int32 = Failure.other) {
        self.message = message
        self.code = code
    }
}

/// Prints a line to standard error, whole, so that lines of several threads do not mix.
func printError(_ line: String) {
    var text = line + "\n"
    text.withUTF8 { bytes in
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = write(STDERR_FILENO, rest.base, rest.count)
            if written <= 0 { return }
            rest = rest.dropFirst(written)
        }
    }
}

extension Slice<UnsafeBufferPointer<UInt8>> {
    fileprivate var base: UnsafePointer<UInt8>? { base.baseAddress.map { $0 + startIndex } }
}
