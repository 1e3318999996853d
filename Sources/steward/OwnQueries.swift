import Decisions
import Fleet
import PromQL
import TimeSeries

extension PolicyQueries {
    /// How old the newest sample of a member may be to count as fresh, in intervals: one may be missed, two are a gap.
    static let freshIntervals = 3

    /// Answers queries over Steward's own samples, with the evidence on which a decision may rest.
    ///
    /// - Parameters:
    ///   - interval: the time between two readings of a host; a member whose newest sample is older than three of them is silent.
    ///   - source: one logical snapshot of the samples.
    static func answering(interval: Duration, from source: @escaping @Sendable () -> (any SeriesSource)?) -> OwnAnswer {
        { query, instant in
            guard let source = source() else { return Measurement(nil, failure: "the samples cannot be read") }
            let expression: Expression
            do throws(ParseError) { expression = try Expression(parsing: query) } catch { return Measurement(nil, failure: "\(error)") }
            var settings = EvaluationSettings()
            // A silent member must drop out of the answer, instead of standing there with its last value for five minutes.
            settings.lookbackMilliseconds = (interval * freshIntervals).milliseconds
            let result: QueryResult
            let deadline = ContinuousClock.now + PolicyQueries.deadline
            do throws(EvaluationError) {
                result = try Evaluator(source: source, settings: settings).instant(expression, at: instant) {
                    ContinuousClock.now > deadline ? .deadline : nil
                }
            } catch { return Measurement(nil, failure: "\(error)") }
            let matched = result.evidence.map(\.guests.count).filter { $0 > 0 }.min()
            let oldest = result.evidence.compactMap(\.oldestSample).min().map { instant - $0 }
            let members = result.evidence.isEmpty ? nil : matched ?? 0
            switch result.value {
            case .scalar(let value): return Measurement(value, membersMatched: members, oldest: oldest)
            case .vector(let samples) where samples.count == 1:
                return Measurement(samples[0].value, membersMatched: members, oldest: oldest)
            case .vector(let samples) where samples.isEmpty: return Measurement(nil, membersMatched: members)
            case .vector(let samples):
                return Measurement(nil, failure: "the query gives \(samples.count) series; write one that gives one, such as avg(…)")
            case .string, .matrix: return Measurement(nil, failure: "the query gives no number; write one that gives one, such as avg(…)")
            }
        }
    }
}
