/// An append-only log of facts, each chained to the one before by a keyed hash.
///
/// Two exist: ``MemoryFactLog`` for tests and the simulation, and the SQLite ledger.
public protocol FactLog {
    /// Appends the facts that are not there yet, all or none, and returns once they are as safe as this log can make them.
    ///
    /// - Throws: ``FactLogError/conflict(_:)`` where a fact has the identity of another one with other content.
    mutating func append(_ facts: [Fact]) throws(FactLogError) -> AppendOutcome

    /// Up to `limit` rows after a sequence number, in order.
    func rows(after sequence: Int64, limit: Int) throws(FactLogError) -> [FactRow]

    /// The last row's number and hash.
    func head() throws(FactLogError) -> ChainHead

    /// Reads the whole chain.
    func verify() throws(FactLogError) -> ChainVerdict
}

extension FactLog {
    /// How many rows ``allRows()`` asks for at a time.
    private static var page: Int { 10_000 }

    /// Every row, in order.
    public func allRows() throws(FactLogError) -> [FactRow] {
        var rows: [FactRow] = []
        while true {
            let next = try self.rows(after: rows.last?.sequence ?? 0, limit: Self.page)
            rows += next
            if next.count < Self.page { return rows }
        }
    }
}

/// A stored fact.
public struct FactRow: Hashable, Sendable {
    /// The row's number, from 1 without holes.
    public let sequence: Int64
    /// The fact.
    public let fact: Fact
    /// The chain hash up to and including this row.
    public let hash: [UInt8]

    /// A row.
    public init(sequence: Int64, fact: Fact, hash: [UInt8]) {
        self.sequence = sequence
        self.fact = fact
        self.hash = hash
    }
}

/// What became of the facts handed to a log.
public struct AppendOutcome: Hashable, Sendable {
    /// How many are new.
    public let appended: Int
    /// How many were there already.
    public let known: Int

    /// An outcome.
    public init(appended: Int, known: Int) {
        self.appended = appended
        self.known = known
    }
}

/// The end of a chain.
public struct ChainHead: Hashable, Sendable {
    /// The last row's number; 0 for an empty log.
    public let sequence: Int64
    /// The last row's hash; empty for an empty log.
    public let hash: [UInt8]

    /// A head.
    public init(sequence: Int64, hash: [UInt8]) {
        self.sequence = sequence
        self.hash = hash
    }
}

/// What reading a whole chain showed.
public enum ChainVerdict: Hashable, Sendable {
    /// Every row follows from the one before.
    case whole(ChainHead)
    /// The first row that does not, and why.
    case broken(sequence: Int64, reason: String)
}

/// Why a log could not do what was asked.
public enum FactLogError: Error, Hashable, Sendable {
    /// A fact with this identity is there with other content: its writer numbers two facts alike.
    case conflict(FactID)
    /// The chain is broken at a row: nothing is appended or rewritten until an operator has looked.
    case damaged(sequence: Int64, reason: String)
    /// The medium failed; the text says how.
    case medium(String)
}

/// The keyed hash that chains rows, injected so that this room needs no cryptography.
public struct ChainHash: Sendable {
    private let compute: @Sendable ([UInt8]) -> [UInt8]

    /// A keyed hash of bytes, such as HMAC-SHA256 under the ledger's key.
    public init(_ compute: @escaping @Sendable ([UInt8]) -> [UInt8]) { self.compute = compute }

    /// The hash of a row: over the row's number, the hash before it (with its length), and the fact's bytes.
    public func callAsFunction(sequence: Int64, previous: [UInt8], encodedFact: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16 + previous.count + encodedFact.count)
        for shift in stride(from: Int64(56), through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: sequence >> shift)) }
        bytes.append(UInt8(truncatingIfNeeded: previous.count))
        bytes += previous
        bytes += encodedFact
        return compute(bytes)
    }
}

/// A log in memory.
public struct MemoryFactLog: FactLog, Sendable {
    private let hash: ChainHash
    private var stored: [FactRow] = []
    private var places: [FactID: Int] = [:]

    /// An empty log.
    public init(hash: ChainHash) { self.hash = hash }

    /// Appends the facts that are not there yet, all or none.
    public mutating func append(_ facts: [Fact]) throws(FactLogError) -> AppendOutcome {
        var new: [Fact] = []
        var fresh: [FactID: Fact] = [:]
        for fact in facts {
            if let there = places[fact.id].map({ stored[$0].fact }) ?? fresh[fact.id] {
                guard there == fact else { throw .conflict(fact.id) }
            } else {
                fresh[fact.id] = fact
                new.append(fact)
            }
        }
        for fact in new {
            let sequence = Int64(stored.count + 1)
            let chained = hash(sequence: sequence, previous: stored.last?.hash ?? [], encodedFact: fact.encoded)
            places[fact.id] = stored.count
            stored.append(FactRow(sequence: sequence, fact: fact, hash: chained))
        }
        return AppendOutcome(appended: new.count, known: facts.count - new.count)
    }

    /// Up to `limit` rows after a sequence number, in order.
    public func rows(after sequence: Int64, limit: Int) throws(FactLogError) -> [FactRow] {
        Array(stored.dropFirst(Int(max(0, sequence))).prefix(limit))
    }

    /// The last row's number and hash.
    public func head() throws(FactLogError) -> ChainHead {
        ChainHead(sequence: Int64(stored.count), hash: stored.last?.hash ?? [])
    }

    /// Computes the whole chain anew.
    public func verify() throws(FactLogError) -> ChainVerdict {
        var previous: [UInt8] = []
        for row in stored {
            let expected = hash(sequence: row.sequence, previous: previous, encodedFact: row.fact.encoded)
            guard expected == row.hash else { return .broken(sequence: row.sequence, reason: "its hash does not follow from its content") }
            previous = expected
        }
        return .whole(try head())
    }
}
