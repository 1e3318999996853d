import Crypto
public import Fleet
import Foundation
import GRDB
public import Plans

/// What a guest's cloud-init seed says.
public struct GuestSeed: Hashable, Sendable {
    /// The file `meta-data`.
    public var metaData: String
    /// The file `user-data`.
    public var userData: String
    /// The file `network-config`, where there is one.
    public var networkConfig: String?

    /// A seed.
    public init(metaData: String, userData: String, networkConfig: String? = nil) {
        self.metaData = metaData
        self.userData = userData
        self.networkConfig = networkConfig
    }
}

/// What plans refer to.
extension PlanStore {
    /// Keeps a text under the SHA-256 of its bytes, and returns that in hexadecimal; keeping it again changes nothing.
    public func keep(_ text: String) throws(JournalError) -> String {
        guard text.utf8.count <= PlanStore.documentMaximum else {
            throw .storage("a document of \(text.utf8.count) bytes is longer than \(PlanStore.documentMaximum)")
        }
        let digest = SHA256.hash(data: Data(text.utf8)).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
        try write { database in
            try database.execute(sql: "INSERT OR IGNORE INTO document (digest, body) VALUES (?, ?)", arguments: [digest, text])
        }
        return digest
    }

    /// The text kept under a digest.
    public func document(_ digest: String) throws(JournalError) -> String? {
        try read { try String.fetchOne($0, sql: "SELECT body FROM document WHERE digest = ?", arguments: [digest]) }
    }

    /// Keeps what a guest's seed is made from.
    public func keep(_ seed: GuestSeed, for owner: GuestID) throws(JournalError) {
        try write { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO seed (owner, metaData, userData, networkConfig) VALUES (?, ?, ?, ?)",
                arguments: [owner.description, seed.metaData, seed.userData, seed.networkConfig])
        }
    }

    /// What a guest's seed is made from.
    public func seed(of owner: GuestID) throws(JournalError) -> GuestSeed? {
        try read { database in
            try Row.fetchOne(
                database, sql: "SELECT metaData, userData, networkConfig FROM seed WHERE owner = ?", arguments: [owner.description]
            ).map { GuestSeed(metaData: $0[0], userData: $0[1], networkConfig: $0[2]) }
        }
    }

    // MARK: Small facts

    /// Keeps a small fact, such as the definition of a guest or the incident of a host; replaces the older one.
    public func keepFact(_ kind: String, _ key: String, _ body: String) throws(JournalError) {
        try write { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO fact (kind, key, body) VALUES (?, ?, ?)", arguments: [kind, key, body])
        }
    }

    /// Forgets a small fact.
    public func forgetFact(_ kind: String, _ key: String) throws(JournalError) {
        try write { try $0.execute(sql: "DELETE FROM fact WHERE kind = ? AND key = ?", arguments: [kind, key]) }
    }

    /// All facts of a kind, by key.
    public func facts(_ kind: String) throws(JournalError) -> [(key: String, body: String)] {
        try read { database in
            try Row.fetchAll(database, sql: "SELECT key, body FROM fact WHERE kind = ? ORDER BY key", arguments: [kind])
                .map { (key: $0[0], body: $0[1]) }
        }
    }

    // MARK: Deliveries

    /// Adds or replaces the delivery with the same notice id; durable on return.
    public func write(_ delivery: Delivery) throws(JournalError) {
        var due: Int64?
        if case .pending(let at) = delivery.state { due = at.milliseconds }
        try write { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO delivery (id, due, body) VALUES (?, ?, ?)",
                arguments: [delivery.notice.id, due, try JSONEncoder().encode(delivery)])
        }
    }

    /// The delivery of a notice.
    public func delivery(id: String) throws(JournalError) -> Delivery? {
        try read { database in
            try Data.fetchOne(database, sql: "SELECT body FROM delivery WHERE id = ?", arguments: [id])
                .map { try JSONDecoder().decode(Delivery.self, from: $0) }
        }
    }

    /// Deliveries that are due, by due time and id, at most `limit`.
    public func due(now: Timestamp, limit: Int) throws(JournalError) -> [Delivery] {
        try read { database in
            try Data.fetchAll(
                database, sql: "SELECT body FROM delivery WHERE due <= ? ORDER BY due, id LIMIT ?", arguments: [now.milliseconds, limit]
            ).map { try JSONDecoder().decode(Delivery.self, from: $0) }
        }
    }
}
