public import Fleet
import Synchronization

/// How a step ended.
public enum StepOutcome: Hashable, Codable, Sendable {
    /// Seen to be in effect.
    case done(evidence: String)
    /// Seen not to be in effect, and not to be tried again.
    case failed(String)
    /// Never tried, or seen not to have begun.
    case skipped(String)

    /// Whether the steps after it may go on.
    public var isDone: Bool { if case .done = self { true } else { false } }
}

/// How a plan ended.
public enum PlanOutcome: String, Hashable, Codable, Sendable, CaseIterable {
    /// Every step was done, or was advisory.
    case completed
    /// Some steps were done.
    case partial
    /// No step was done.
    case failed
    /// Recorded only: its policy observes.
    case observed
    /// An operator said no.
    case rejected
    /// A newer plan took its place before it began.
    case superseded
}

/// One row of the journal.
public struct JournalEntry: Hashable, Codable, Sendable {
    /// Rising by one from 1.
    public let sequence: UInt64
    /// When it was written.
    public let at: Timestamp
    /// What it says.
    public let record: Record

    /// What a row says.
    public enum Record: Hashable, Codable, Sendable {
        /// A plan was accepted.
        case accepted(Plan)
        /// An operator approved a plan.
        case approved(PlanID, by: String)
        /// A step is about to be tried: written before the act.
        case begun(StepReference, attempt: Int)
        /// A step ended: written after the world was looked at.
        case settled(StepReference, StepOutcome)
        /// A plan ended.
        case closed(PlanID, PlanOutcome, note: String)
        /// Every automatic effect is stopped, until then or until somebody arms it again.
        case disarmed(until: Timestamp?, by: String)
        /// Automatic effects are allowed again.
        case armed(by: String)
    }

    /// A row.
    public init(sequence: UInt64, at: Timestamp, record: Record) {
        self.sequence = sequence
        self.at = at
        self.record = record
    }
}

/// Why a journal could not be read or written.
public enum JournalError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The disk refused.
    case storage(String)
    /// A row is out of order: two writers, or a lost row.
    case sequence(expected: UInt64, found: UInt64)

    /// For the operator.
    public var description: String {
        switch self {
        case .storage(let reason):
            "the journal cannot be written: \(reason); nothing will be done until it can be: free space or restore the ledger"
        case .sequence(let expected, let found):
            "the journal expects row \(expected) but was given row \(found); is a second Steward writing to the same data folder?"
        }
    }
}

/// Where plans and steps are written before they are carried out.
public protocol Journal: Sendable {
    /// Appends rows; returns only once they would survive a power cut. All or none.
    func append(_ entries: [JournalEntry]) throws(JournalError)
    /// Every row of the plans that are not closed, and every row of at least the last hour, in order.
    func openEntries(now: Timestamp) throws(JournalError) -> [JournalEntry]
}

/// A journal in memory, which never loses a row: for dry runs and tests.
public final class InMemoryJournal: Journal {
    private let rows = Mutex<[JournalEntry]>([])

    /// An empty journal.
    public init() {}

    /// Appends rows after the last one.
    public func append(_ entries: [JournalEntry]) throws(JournalError) {
        let refusal: JournalError? = rows.withLock { rows in
            var expected = (rows.last?.sequence ?? 0) + 1
            for entry in entries {
                if entry.sequence != expected { return .sequence(expected: expected, found: entry.sequence) }
                expected += 1
            }
            rows += entries
            return nil
        }
        if let refusal { throw refusal }
    }

    /// All rows, whatever their age.
    public func openEntries(now: Timestamp) throws(JournalError) -> [JournalEntry] { rows.withLock { $0 } }
}
