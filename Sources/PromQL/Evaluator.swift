public import Fleet
public import TimeSeries

/// The bounds of one evaluation; each has a reason and an error of its own.
public struct EvaluationLimits: Hashable, Sendable {
    /// Samples that may be read: the time of a query.
    public var samples = 200_000_000
    /// Series that may be returned: the size of an answer.
    public var series = 100_000
    /// Numbers that may be held at once, 8 bytes each: the memory of a query.
    public var heldValues = 100_000_000
    /// Steps of a range query: Prometheus' own bound.
    public var steps = 11_000
    /// Evaluations of one subquery.
    public var subquerySteps = 1_000_000

    /// The usual bounds.
    public init() {}
}

/// What an evaluation needs to know besides the query.
public struct EvaluationSettings: Hashable, Sendable {
    /// How old the newest sample of a series may be to stand for it; Prometheus' five minutes.
    public var lookbackMilliseconds: Int64 = 300_000
    /// The step of subqueries that name none; Prometheus takes its evaluation interval.
    public var subqueryStepMilliseconds: Int64 = 60_000
    /// Whether evidence is gathered: deciders need it, dashboards do not.
    public var gathersEvidence = true

    /// Prometheus' values, with evidence.
    public init() {}
}

/// Why an evaluation was told to stop.
public enum StopReason: Hashable, Sendable {
    /// The one who asked went away.
    case cancelled
    /// The time allowed is over.
    case deadline
}

/// Why a query has no answer.
public struct EvaluationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kinds; the HTTP API gives each its status.
    public enum Kind: Hashable, Sendable {
        /// The query or its parameters cannot be evaluated in this way at all (`bad_data`).
        case invalid
        /// The data do not allow it, such as an ambiguous match (`execution`).
        case execution
        /// A bound of ``EvaluationLimits`` (`execution`).
        case limit
        /// The store did not answer (`internal`).
        case source
        /// Told to stop (`canceled`).
        case cancelled
        /// Told to stop, time over (`timeout`).
        case deadline
    }

    /// The kind.
    public let kind: Kind
    /// What failed, why, and what to do next.
    public let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    static func execution(_ description: String) -> EvaluationError { EvaluationError(.execution, description) }

    static let sameLabelSet = execution("vector cannot contain metrics with the same labelset")
}

/// One number of one series.
public struct VectorSample: Hashable, Sendable {
    /// Whose.
    public let labels: LabelSet
    /// The instant of the evaluation.
    public let time: Timestamp
    /// How much.
    public let value: Double

    /// A sample.
    public init(labels: LabelSet, time: Timestamp, value: Double) {
        self.labels = labels
        self.time = time
        self.value = value
    }
}

/// The numbers of one series.
public struct ResultSeries: Hashable, Sendable {
    /// Whose.
    public let labels: LabelSet
    /// When and how much.
    public let samples: SampleRun

    /// Equal are series of the same labels and the same bits.
    public static func == (left: ResultSeries, right: ResultSeries) -> Bool {
        left.labels == right.labels && left.samples.milliseconds == right.samples.milliseconds
            && left.samples.values.map(\.bitPattern) == right.samples.values.map(\.bitPattern)
    }

    /// Hashes the labels.
    public func hash(into hasher: inout Hasher) { hasher.combine(labels) }
}

/// What a query yields.
public enum QueryValue: Hashable, Sendable {
    /// One number.
    case scalar(Double)
    /// A text.
    case string(String)
    /// One number a series, in the order of the evaluation: sorted where the query sorts.
    case vector([VectorSample])
    /// Several numbers a series; of a range query, sorted by labels.
    case matrix([ResultSeries])
}

/// An answer and what it rests on.
public struct QueryResult: Sendable {
    /// The numbers, exactly Prometheus'.
    public let value: QueryValue
    /// What the reader should know about them.
    public let annotations: [Annotation]
    /// For each selector in the order of the query, what it found; empty where none was gathered.
    public let evidence: [SelectorEvidence]
    /// How many samples were read.
    public let samplesRead: Int
}

/// Evaluates queries over a source of series with the semantics of Prometheus 3.9.
///
/// It has no clock and no state: time is a parameter, and whether to go on is asked of `shouldStop`, which is called often, from the
/// calling thread, and must be quick. Stack: about 2 KiB for each level of the query (see ``Expression/depthLimit``).
public struct Evaluator: Sendable {
    /// Where the series come from.
    public let source: any SeriesSource
    /// The bounds.
    public let limits: EvaluationLimits
    /// Lookback and the like.
    public let settings: EvaluationSettings

    /// An evaluator.
    public init(
        source: any SeriesSource, limits: EvaluationLimits = EvaluationLimits(), settings: EvaluationSettings = EvaluationSettings()
    ) {
        self.source = source
        self.limits = limits
        self.settings = settings
    }

    /// Evaluates a query at one instant.
    public func instant(
        _ expression: Expression, at time: Timestamp, shouldStop: () -> StopReason? = { nil }
    ) throws(EvaluationError) -> QueryResult {
        let frame = Frame(start: time.milliseconds, interval: 1, count: 1)
        return try withoutEscaping(expression, frame, shouldStop) { (evaluation) throws(EvaluationError) in
            switch expression.type {
            case .string:
                guard case .string(let literal) = expression.unwrapped else { return .string("") }
                return .string(literal.text)
            case .scalar: return .scalar(try evaluation.scalar(expression, frame)[0])
            case .matrix: return .matrix(try evaluation.matrix(expression, frame))
            case .vector:
                var samples: [VectorSample] = []
                try evaluation.stream(expression, frame) { (labels, values) throws(EvaluationError) in
                    guard isPresent(values[0]) else { return }
                    samples.append(VectorSample(labels: labels.resolved, time: time, value: values[0]))
                    try evaluation.checkReturned(samples.count)
                }
                return .vector(samples)
            }
        }
    }

    /// Evaluates a query at `start`, `start + step`, … up to `end`.
    ///
    /// `step` must be positive; the first and the last instant are whole milliseconds.
    public func range(
        _ expression: Expression, from start: Timestamp, through end: Timestamp, step: Duration,
        shouldStop: () -> StopReason? = { nil }
    ) throws(EvaluationError) -> QueryResult {
        let interval = step.milliseconds
        if interval <= 0 {
            throw EvaluationError(.invalid, "zero or negative query resolution step widths are not accepted. Try a positive integer")
        }
        if end < start { throw EvaluationError(.invalid, "end timestamp must not be before start time") }
        let count = (end.milliseconds - start.milliseconds) / interval + 1
        if count > limits.steps {
            throw EvaluationError(
                .invalid,
                "exceeded maximum resolution of \(limits.steps) points per timeseries. Try decreasing the query resolution (?step=XX)")
        }
        guard expression.type == .scalar || expression.type == .vector else {
            throw EvaluationError(
                .invalid, "invalid expression type \"\(expression.type)\" for range query, must be Scalar or instant Vector")
        }
        let frame = Frame(start: start.milliseconds, interval: interval, count: Int(count))
        return try withoutEscaping(expression, frame, shouldStop) { (evaluation) throws(EvaluationError) in
            var series: [ResultSeries] = []
            if expression.type == .scalar {
                let values = try evaluation.scalar(expression, frame)
                series.append(ResultSeries(labels: .empty, samples: frame.samples((0..<frame.count).map { values[$0] })))
                return .matrix(series)
            }
            try evaluation.stream(expression, frame) { (labels, values) throws(EvaluationError) in
                let samples = frame.samples(values)
                if samples.values.isEmpty { return }
                try evaluation.hold(samples.values.count)
                series.append(ResultSeries(labels: labels.resolved, samples: samples))
                try evaluation.checkReturned(series.count)
            }
            series.sort { $0.labels < $1.labels }
            return .matrix(series)
        }
    }

    private func withoutEscaping(
        _ expression: Expression, _ frame: Frame, _ shouldStop: () -> StopReason?,
        _ body: (Evaluation) throws(EvaluationError) -> QueryValue
    ) throws(EvaluationError) -> QueryResult {
        var result: Result<QueryResult, EvaluationError>?
        withoutActuallyEscaping(shouldStop) { shouldStop in
            let evaluation = Evaluation(self, expression, frame, shouldStop)
            do throws(EvaluationError) {
                let value = try body(evaluation)
                result = .success(
                    QueryResult(
                        value: value, annotations: evaluation.annotations, evidence: evaluation.evidence?.finished ?? [],
                        samplesRead: evaluation.samplesRead))
            } catch {
                result = .failure(error)
            }
        }
        guard let result else { throw EvaluationError(.execution, "the evaluation ended without a result") }
        return try result.get()
    }
}
