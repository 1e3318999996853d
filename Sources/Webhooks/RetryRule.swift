public import Fleet
public import Plans

/// When a delivery is tried again: pure.
public enum RetryRule {
    /// The pauses before each further attempt, as Standard Webhooks proposes them.
    public static let pauses: [Duration] = [
        .seconds(5), .seconds(5 * 60), .seconds(30 * 60), .seconds(2 * 3600), .seconds(5 * 3600), .seconds(10 * 3600),
        .seconds(14 * 3600), .seconds(20 * 3600), .seconds(24 * 3600),
    ]
    /// The longest that a receiver's `Retry-After` is heeded.
    public static let retryAfterMaximum = Duration.seconds(24 * 3600)

    /// How an attempt ended.
    public enum Outcome: Hashable, Sendable {
        /// The receiver answered.
        case answered(WebAnswer)
        /// There was no answer.
        case failed(WebFailure)
    }

    /// The delivery after one more attempt.
    ///
    /// 2xx is accepted; 410 gives up for good; everything else, redirects included, is tried again.
    /// - Parameter jitter: 0…1, spreads the pauses by up to a tenth, so that receivers are not met by everybody at once.
    public static func after(_ outcome: Outcome, of delivery: Delivery, now: Timestamp, jitter: Double) -> Delivery {
        var next = delivery
        switch outcome {
        case .answered(let answer):
            let isAccepted = (200..<300).contains(answer.status)
            next.attempts.append(
                Delivery.Attempt(at: now, status: answer.status, failure: isAccepted ? nil : "it answered \(answer.status)"))
            if isAccepted {
                next.state = .delivered
                return next
            }
            if answer.status == 410 {
                next.state = .givenUp("the endpoint is gone (410)")
                return next
            }
        case .failed(let failure): next.attempts.append(Delivery.Attempt(at: now, status: nil, failure: failure.words))
        }
        guard next.attempts.count <= pauses.count else {
            next.state = .givenUp("\(next.attempts.count) attempts failed")
            return next
        }
        let pause = pauses[next.attempts.count - 1]
        var due = now + pause + .milliseconds(Int64(Double(pause.milliseconds) / 10 * jitter))
        if case .answered(let answer) = outcome, let wanted = answer.retryAfter.flatMap({ Int64($0) }), wanted > 0 {
            due = max(due, now + min(.seconds(wanted), retryAfterMaximum))
        }
        next.state = .pending(due)
        return next
    }
}
