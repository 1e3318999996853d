import Decisions
import Fleet
import Synchronization
import Threads
import Webhooks

/// Asks each distinct query of a tick once, all of them at the same time, each on a thread of its own.
final class PolicyQueries: Sendable {
    /// How long a tick waits for answers; a query that takes longer is unknown at this tick.
    static let deadline = Duration.seconds(5)
    /// Queries under way at once, those that hang included.
    static let underWayMaximum = 64

    struct Question: Hashable, Sendable {
        let source: QuerySource
        let query: String
    }

    /// Answers a query over Steward's own samples.
    typealias OwnAnswer = @Sendable (_ query: String, _ at: Timestamp) -> Measurement

    private let own: OwnAnswer?
    private let underWay = Mutex<Set<Question>>([])

    init(own: OwnAnswer?) { self.own = own }

    /// The answers at an instant; what does not answer in time is unknown, and is not asked again while it hangs.
    func ask(_ questions: [Question], at instant: Timestamp) -> [Question: Measurement] {
        var answers: [Question: Measurement] = [:]
        let mailbox = Mailbox<(Question, Measurement)>()
        var asked = 0
        for question in Set(questions).sorted(by: { ($0.query, "\($0.source)") < ($1.query, "\($1.source)") }) {
            let refusal = underWay.withLock { underWay -> String? in
                if underWay.contains(question) { return "the last time it was asked it has not answered yet" }
                if underWay.count >= PolicyQueries.underWayMaximum { return "\(underWay.count) queries hang, the most allowed" }
                underWay.insert(question)
                return nil
            }
            if let refusal {
                answers[question] = Measurement(nil, failure: refusal)
                continue
            }
            asked += 1
            startThread(named: "query") { [self] in
                let answer = answer(question, at: instant)
                _ = underWay.withLock { $0.remove(question) }
                mailbox.put((question, answer))
            }
        }
        let end = ContinuousClock.now + PolicyQueries.deadline
        while asked > 0, ContinuousClock.now < end {
            for (question, answer) in mailbox.take(within: end - ContinuousClock.now) {
                answers[question] = answer
                asked -= 1
            }
        }
        for question in questions where answers[question] == nil {
            answers[question] = Measurement(nil, failure: "no answer within \(PolicyQueries.deadline.operatorText)")
        }
        return answers
    }

    private func answer(_ question: Question, at instant: Timestamp) -> Measurement {
        switch question.source {
        case .own:
            guard let own else { return Measurement(nil, failure: "there is no history to ask; start steward serve with --data DIR") }
            return own(question.query, instant)
        case .prometheus(let server):
            switch PrometheusQuery.run(question.query, at: instant, server: server, deadline: PolicyQueries.deadline) {
            case .value(let value, let age): return Measurement(value, oldest: age)
            case .empty: return Measurement(nil)
            case .failed(let reason): return Measurement(nil, failure: reason)
            }
        }
    }
}
