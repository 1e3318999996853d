public import Fleet
import Synchronization

/// Something to be told to an endpoint.
public struct Notice: Hashable, Codable, Sendable {
    /// The identity, the same over all retries: the receiver's key against doubles.
    public let id: String
    /// The endpoint's name in the configuration.
    public let endpoint: String
    /// The event's type, such as `scale` or `blocked`.
    public let event: String
    /// When it happened.
    public let at: Timestamp
    /// The body, JSON text; at most ``Notice/bodyMaximum`` bytes.
    public let body: String

    /// The largest body: Standard Webhooks asks for less than 20 kB.
    public static let bodyMaximum = 20_000

    /// A notice.
    public init(id: String, endpoint: String, event: String, at: Timestamp, body: String) {
        self.id = id
        self.endpoint = endpoint
        self.event = event
        self.at = at
        self.body = body
    }
}

/// One notice on its way to one endpoint.
public struct Delivery: Hashable, Codable, Sendable {
    /// What is told.
    public let notice: Notice
    /// Every attempt, oldest first.
    public var attempts: [Attempt]
    /// Where it stands.
    public var state: State

    /// Where a delivery stands.
    public enum State: Hashable, Codable, Sendable {
        /// To be tried at that instant or later.
        case pending(Timestamp)
        /// The endpoint accepted it.
        case delivered
        /// Given up, for that reason.
        case givenUp(String)
    }

    /// One attempt.
    public struct Attempt: Hashable, Codable, Sendable {
        /// When it was made.
        public let at: Timestamp
        /// The HTTP status, nil where there was no answer.
        public let status: Int?
        /// What went wrong, nil where nothing did.
        public let failure: String?
        /// An attempt.
        public init(at: Timestamp, status: Int?, failure: String?) {
            self.at = at
            self.status = status
            self.failure = failure
        }
    }

    /// A delivery that has not been tried.
    public init(_ notice: Notice) {
        self.notice = notice
        attempts = []
        state = .pending(notice.at)
    }
}

/// Where deliveries are remembered.
public protocol DeliveryLog: Sendable {
    /// Adds or replaces the delivery with the same notice id; durable on return.
    func write(_ delivery: Delivery) throws(JournalError)
    /// The delivery of a notice.
    func delivery(id: String) throws(JournalError) -> Delivery?
    /// Deliveries that are due, by due time and id, at most `limit`.
    func due(now: Timestamp, limit: Int) throws(JournalError) -> [Delivery]
}

/// Takes notices to be delivered; it never waits for the endpoint.
public protocol Notifier: Sendable {
    /// Takes a notice, or refuses it where the queue is full.
    func take(_ notice: Notice) throws(JournalError)
}

/// A delivery log in memory: for dry runs, simulation and tests.
public final class InMemoryDeliveryLog: DeliveryLog {
    private let rows = Mutex<[String: Delivery]>([:])

    /// An empty log.
    public init() {}

    /// Adds or replaces.
    public func write(_ delivery: Delivery) throws(JournalError) { rows.withLock { $0[delivery.notice.id] = delivery } }

    /// The delivery of a notice.
    public func delivery(id: String) throws(JournalError) -> Delivery? { rows.withLock { $0[id] } }

    /// Deliveries that are due.
    public func due(now: Timestamp, limit: Int) throws(JournalError) -> [Delivery] {
        let due = rows.withLock { rows in
            rows.values.compactMap { delivery -> (at: Timestamp, delivery: Delivery)? in
                guard case .pending(let at) = delivery.state, at <= now else { return nil }
                return (at, delivery)
            }
        }
        return due.sorted { ($0.at, $0.delivery.notice.id) < ($1.at, $1.delivery.notice.id) }.prefix(limit).map(\.delivery)
    }
}

/// A notifier that only remembers what it was told.
public final class RecordingNotifier: Notifier {
    private let rows = Mutex<[Notice]>([])

    /// A notifier that was told nothing.
    public init() {}

    /// Remembers a notice.
    public func take(_ notice: Notice) throws(JournalError) { rows.withLock { $0.append(notice) } }

    /// What it was told, in order.
    public var notices: [Notice] { rows.withLock { $0 } }
}
