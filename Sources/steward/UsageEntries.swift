import ArgumentParser
import Collection
import Fleet
import Glibc
import LedgerStorage
import Metering
import Storage

/// Operators' entries on their way into the ledger.
///
/// One process writes a ledger. Where a server runs it takes the entries out of a spool in the data folder; where none runs the command takes
/// the folder's lock and writes itself.
struct LedgerEntries {
    /// How long a command waits for the server to take its entry.
    static let patience = Duration.seconds(20)
    /// The most entries that the server takes at once.
    static let maximumAtOnce = 1000

    let data: String
    /// The largest list of facts: a journal of years.
    static let maximumBytes = 512 << 20
    private var spool: String { data + "/entries" }

    init(data: String) { self.data = data }

    /// Writes a fact and returns once it is committed.
    func append(_ fact: Fact) throws { try append([fact]) }

    /// Writes facts, all or none, and returns once they are committed.
    func append(_ facts: [Fact]) throws {
        guard !facts.isEmpty else { return }
        do {
            let folder = try DataFolder(path: data)
            defer { withExtendedLifetime(folder) {} }
            do throws(FactLogError) {
                _ = try Ledger(path: data + "/ledger.db").append(facts)
            } catch {
                throw Failure("\(data)/ledger.db: \(error.words)")
            }
        } catch let error as StorageError {
            guard error.reason == .locked else { throw Failure("\(error)") }
            try hand(over: facts)
        }
    }

    private func hand(over facts: [Fact]) throws {
        if mkdir(spool, 0o700) != 0, errno != EEXIST {
            throw Failure("\(spool) cannot be made: \(systemError())")
        }
        let path = "\(spool)/\(UInt64.random(in: .min ... .max)).facts"
        var bytes: [UInt8] = []
        for fact in facts {
            let encoded = fact.encoded
            // Each with its length in four bytes, big-endian.
            bytes += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: encoded.count >> $0) }
            bytes += encoded
        }
        guard Files.replace(path, with: bytes) else { throw Failure("\(path) cannot be written: \(systemError())") }
        let deadline = ContinuousClock.now + LedgerEntries.patience
        while access(path, F_OK) == 0 {
            guard ContinuousClock.now < deadline else {
                unlink(path)
                throw Failure("the server that holds \(data) did not take the entry within \(LedgerEntries.patience); look at its log")
            }
            usleep(50_000)
        }
        if let words = Files.text(path + ".refused", limit: 64 << 10) {
            unlink(path + ".refused")
            throw Failure("the server refused the entry: \(words)")
        }
    }

    /// Takes what waits in the spool, nil for what is no list of facts; called by the server.
    func take() -> [(path: String, facts: [Fact]?)] {
        let names = Files.names(in: spool).filter { $0.hasSuffix(".facts") }
        return names.prefix(LedgerEntries.maximumAtOnce).map { name in
            let path = "\(spool)/\(name)"
            return (path, Files.read(path, limit: LedgerEntries.maximumBytes).flatMap(LedgerEntries.facts))
        }
    }

    private static func facts(_ bytes: [UInt8]) -> [Fact]? {
        var facts: [Fact] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            guard rest.count >= 4 else { return nil }
            let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(4)
            guard rest.count >= length, let fact = try? Fact(encoded: Array(rest.prefix(length))) else { return nil }
            facts.append(fact)
            rest = rest.dropFirst(length)
        }
        return facts
    }

    /// Says what became of an entry.
    func answer(_ path: String, refusal: String?) {
        if let refusal { _ = Files.replace(path + ".refused", with: Array(refusal.utf8)) }
        unlink(path)
    }

    /// A fact that an operator states.
    static func statement(_ body: FactBody, at instant: Timestamp? = nil) -> Fact {
        let wall = SystemClock().now().wall
        let name = getenv("SUDO_USER").map { String(cString: $0) } ?? getpwuid(getuid()).map { String(cString: $0.pointee.pw_name) }
        // The instant and a random number: two people may state something in one millisecond.
        let ordinal = UInt64(max(0, wall.milliseconds)) * 1_000_000 + UInt64.random(in: 0..<1_000_000)
        return Fact(
            id: FactID(origin: "operator:\(name ?? "\(getuid())")", ordinal: ordinal), source: .operatorEntry, host: nil,
            seen: ClockReading(stated: instant ?? wall), body: body)
    }
}

struct UsageClose: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "close", abstract: "Closes a month: from here on it is changed by corrections only.",
        discussion: """
            Refused while the month is not over in the ledger, its seconds do not add up, or a serious finding is not acknowledged. \
            What it records (ledger row, chain, digests of report and prices) is checked by `steward usage verify`.
            """)

    @OptionGroup var options: UsageOptions

    @Argument(help: "The month, such as 2026-11; or leave it out and give --from and --to.")
    var month: String?

    @Option(help: ArgumentHelp("The first instant.", valueName: "time"))
    var from: String?

    @Option(help: ArgumentHelp("The first instant after it.", valueName: "time"))
    var to: String?

    func run() throws {
        guard month != nil || (from != nil && to != nil) else {
            throw Failure("say what to close: a month such as 2026-11, or --from and --to", code: Failure.usage)
        }
        let (billing, files) = try options.bills()
        let window = try usageWindow(from: from, to: to, month: month, files.tariff.calendar, horizon: 0)
        let (closing, obstacles) = billing.closing(of: window)
        guard let closing else {
            throw Failure("not closed:\n" + obstacles.map { "  \($0)" }.joined(separator: "\n"))
        }
        try LedgerEntries(data: options.data).append(LedgerEntries.statement(.closing(closing)))
        print("closed \(closing.from) to \(closing.to) through ledger row \(closing.throughSequence); report \(closing.reportDigest)")
    }
}

struct UsageAcknowledge: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "acknowledge", abstract: "Says that a finding was looked at and the bill stands as it is.")

    @OptionGroup var options: UsageOptions

    @Argument(help: "The finding's name, such as double-run:UUID:SECOND, as the report shows it.")
    var finding: String

    func run() throws {
        let kinds = Finding.Kind.allCases.map(\.rawValue)
        let kind = String(finding.prefix { $0 != ":" })
        guard kinds.contains(kind), finding.contains(":") else {
            let hint = nearest(to: kind, among: kinds).map { "; did you mean '\($0):…'?" } ?? ""
            throw Failure("'\(finding)' names no finding\(hint)", code: Failure.usage)
        }
        try LedgerEntries(data: options.data).append(LedgerEntries.statement(.acknowledgement(finding: finding)))
        print("acknowledged \(finding)")
    }
}

struct UsageAssign: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "assign", abstract: "Says from which second on a guest belongs to a tenant, whatever its metadata says.")

    @OptionGroup var options: UsageOptions

    @Argument(help: "The guest's name or UUID.")
    var guest: String

    @Argument(help: "The tenant; empty ends the assignment.")
    var tenant: String

    @Option(help: ArgumentHelp("From when on; without it from now on.", valueName: "time"))
    var from: String?

    func run() throws {
        let (billing, files) = try options.bills()
        let spans = SpanBook(facts: billing.rows.map(\.fact), policy: billing.policy)
        let id = try spans.guest(named: guest)
        let start = try from.map { text in
            try usageWindow(from: text, to: nil, month: nil, files.tariff.calendar, horizon: .max / 2).from
        }
        let body = FactBody.assignment(id, tenant: tenant.isEmpty ? nil : tenant)
        try LedgerEntries(data: options.data).append(LedgerEntries.statement(body, at: start.map { Timestamp(seconds: $0) }))
        print(
            "\(guest) belongs to \(tenant.isEmpty ? "its metadata's tenant" : tenant) from \(start.map { "\(Timestamp(seconds: $0))" } ?? "now") on"
        )
    }
}
