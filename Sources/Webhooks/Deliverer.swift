public import Fleet
public import Plans
import Synchronization

/// Delivers notices: each endpoint has a thread of its own, so one that is slow or down delays no other.
public final class Deliverer: Notifier {
    /// Notices that wait for one endpoint; a further one is refused, as a receiver that is this far behind is not reading.
    public static let waitingMaximum = 10_000

    private let log: any DeliveryLog
    private let now: @Sendable () -> Timestamp
    private let jitter: @Sendable () -> Double
    private let startThread: @Sendable (String, @escaping @Sendable () -> Void) -> Void
    private let state: Mutex<State>

    private struct State {
        var endpoints: [String: WebhookEndpoint] = [:]
        /// Notices under way, by endpoint, oldest first.
        var waiting: [String: [Delivery]] = [:]
        var running: Set<String> = []
        var counts: [String: Counts] = [:]
    }

    /// What became of an endpoint's deliveries since the start.
    public struct Counts: Hashable, Sendable {
        /// Accepted by the receiver.
        public var delivered: UInt64 = 0
        /// Attempts that failed.
        public var failures: UInt64 = 0
        /// Given up.
        public var givenUp: UInt64 = 0
    }

    /// A deliverer; `startThread` starts a thread with a name.
    public init(
        log: any DeliveryLog, now: @escaping @Sendable () -> Timestamp, jitter: @escaping @Sendable () -> Double,
        startThread: @escaping @Sendable (String, @escaping @Sendable () -> Void) -> Void
    ) {
        self.log = log
        self.now = now
        self.jitter = jitter
        self.startThread = startThread
        state = Mutex(State())
    }

    /// Replaces the endpoints; what waits for one that is gone is kept in the log.
    public func setEndpoints(_ endpoints: [WebhookEndpoint]) {
        state.withLock { $0.endpoints = Dictionary(endpoints.map { ($0.name, $0) }) { first, _ in first } }
    }

    /// Takes a notice, once the log has it.
    public func take(_ notice: Notice) throws(JournalError) {
        let isKnown = state.withLock { $0.endpoints[notice.endpoint] != nil }
        guard isKnown else { throw .storage("no webhook is called '\(notice.endpoint)'") }
        let isFull = state.withLock { $0.waiting[notice.endpoint, default: []].count >= Deliverer.waitingMaximum }
        guard !isFull else { throw .storage("\(Deliverer.waitingMaximum) notices wait for the webhook '\(notice.endpoint)'") }
        if try log.delivery(id: notice.id) != nil { return }
        let delivery = Delivery(notice)
        try log.write(delivery)
        enqueue(delivery)
    }

    /// Takes up what the log says is due: after a start, and now and then for retries.
    public func resume() throws(JournalError) {
        for delivery in try log.due(now: now(), limit: 1000) { enqueue(delivery) }
    }

    /// The counts of every endpoint, by name.
    public var counts: [(endpoint: String, counts: Counts)] {
        state.withLock { state in state.counts.keys.sorted().map { ($0, state.counts[$0] ?? Counts()) } }
    }

    private func enqueue(_ delivery: Delivery) {
        let endpoint = delivery.notice.endpoint
        let isNew = state.withLock { state -> Bool in
            guard !state.waiting[endpoint, default: []].contains(where: { $0.notice.id == delivery.notice.id }) else { return false }
            state.waiting[endpoint, default: []].append(delivery)
            return state.running.insert(endpoint).inserted
        }
        if isNew { startThread("webhook \(endpoint)") { [self] in work(endpoint) } }
    }

    /// One attempt for each notice that waits, then the thread ends; retries come back through `resume`.
    private func work(_ name: String) {
        while true {
            let next = state.withLock { state -> (WebhookEndpoint, Delivery)? in
                guard let endpoint = state.endpoints[name], let first = state.waiting[name]?.first else {
                    state.running.remove(name)
                    return nil
                }
                return (endpoint, first)
            }
            guard let (endpoint, delivery) = next else { return }
            let outcome = endpoint.post(delivery.notice, now: now())
            let after = RetryRule.after(outcome, of: delivery, now: now(), jitter: jitter())
            // A log that cannot be written keeps its old row, and the notice is tried again: twice told rather than never.
            try? log.write(after)
            state.withLock { state in
                state.waiting[name]?.removeFirst()
                switch after.state {
                case .delivered: state.counts[name, default: Counts()].delivered += 1
                case .pending: state.counts[name, default: Counts()].failures += 1
                case .givenUp: state.counts[name, default: Counts()].givenUp += 1
                }
            }
        }
    }
}
