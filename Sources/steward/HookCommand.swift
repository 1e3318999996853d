import ArgumentParser
import Fleet
import Glibc
import MeterFeed
import Metering

struct HookCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hook", abstract: "The journal that a libvirt hook keeps on a host while Steward is away.",
        discussion: """
            Optional, for each host by itself. With it, starts and stops are known to the second even where nobody watched; pauses are \
            not, libvirt has no hook for them. Nothing is installed but by `steward hook install`.
            """,
        subcommands: [HookShow.self, HookInstall.self, HookRemove.self, HookRead.self])
}

struct HookShow: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Prints the hook and changes nothing.")

    func run() { writeOut(HookScript.text) }
}

/// What every word about the hook's installation says first.
private let hookEffects = """
    The hook is a shell script that libvirt runs, as root, at each start, stop, migration and reconnect of a guest on this host.
      It reads the guest's definition, appends one line to \(HookScript.journalFolder)/journal, and syncs that file.
      It exits 0 whatever happens, prints nothing, never calls libvirt, and gives up after a second.
      A start or a stop may take up to a second longer where that disk hangs.
      libvirt looks for hooks when its daemon starts: the first hook of a host works after `systemctl restart libvirtd` (guests run on).
    """

struct HookInstall: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "install", abstract: "Installs the hook on this host; with --yes only.", discussion: hookEffects)

    @Option(help: ArgumentHelp("libvirt's folder for hooks of guests.", valueName: "DIR"))
    var folder = HookScript.standardFolder

    @Option(help: ArgumentHelp("Where the journal lies; made with mode 0700.", valueName: "DIR"))
    var journal = HookScript.journalFolder

    @Flag(help: "Install it. Without this, only what would be done is told.")
    var yes = false

    func run() throws {
        let path = "\(folder)/\(HookScript.name)"
        guard yes else {
            print(hookEffects)
            print("It would be written to \(path). Add --yes to do so.")
            return
        }
        guard journal == HookScript.journalFolder else {
            throw Failure("the hook's text never changes: its journal is \(HookScript.journalFolder)", code: Failure.usage)
        }
        if Files.exists(path), Files.text(path, limit: 64 << 10)?.contains("# Steward's hook") != true {
            throw Failure("\(path) is there and is not Steward's; look at it first")
        }
        for (made, mode) in [(folder, mode_t(0o755)), (journal, 0o700)] where !Files.makeFolder(made, mode: mode) {
            throw Failure("\(made) cannot be made: \(systemError())")
        }
        // Written elsewhere first and renamed: libvirt never runs half of it.
        let draft = "\(journal)/hook"
        guard Files.replace(draft, with: Array(HookScript.text.utf8), mode: 0o755) else {
            throw Failure("\(draft) cannot be written: \(systemError())")
        }
        if rename(draft, path) != 0 {
            // Another file system. Run under this name too for a moment, it would write one line twice, which is one fact.
            let other = "\(folder)/.\(HookScript.name)"
            unlink(draft)
            guard Files.replace(other, with: Array(HookScript.text.utf8), mode: 0o755), rename(other, path) == 0 else {
                throw Failure("\(path) cannot be written: \(systemError())")
            }
        }
        print("\(path) is installed. If it is this host's first hook, run: systemctl restart libvirtd")
    }
}

struct HookRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Takes the hook away; the journal stays.")

    @Option(help: ArgumentHelp("libvirt's folder for hooks of guests.", valueName: "DIR"))
    var folder = HookScript.standardFolder

    func run() throws {
        let path = "\(folder)/\(HookScript.name)"
        guard Files.exists(path) else {
            print("there is no \(path)")
            return
        }
        guard Files.text(path, limit: 64 << 10)?.contains("# Steward's hook") == true else { throw Failure("\(path) is not Steward's") }
        guard unlink(path) == 0 else { throw Failure("\(path) cannot be removed: \(systemError())") }
        print("\(path) is gone")
    }
}

struct HookRead: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "read", abstract: "Takes a host's hook journal into the ledger; what is there already is not taken twice.",
        discussion: """
            A journal that comes after a period was closed changes it by corrections only.

                steward hook read --host kvm1 --data /var/lib/steward /var/lib/steward-hook/journal
            """)

    @Option(help: ArgumentHelp("The data folder.", valueName: "DIR"))
    var data = UsageOptions.standardData

    @Option(help: "The host, by the name under which Steward watches it.")
    var host: String

    @Flag(
        help: "The hook lost lines, as /run/steward-hook.lost on the host tells: nothing is concluded from what the journal does not say.")
    var incomplete = false

    @Argument(help: "The journal's file.")
    var file: String

    func run() throws {
        guard let text = Files.text(file, limit: HookJournal.maximumBytes) else {
            throw Failure("\(file) cannot be read, or has more than \(HookJournal.maximumBytes) bytes: \(systemError())")
        }
        let journal = HookJournal(text, host: HostName(host), isWhole: !incomplete)
        try LedgerEntries(data: data).append(journal.facts)
        print("\(journal.facts.count) facts of \(host)" + (journal.unreadable > 0 ? "; \(journal.unreadable) lines could not be read" : ""))
    }
}
