import Fleet
import TimeSeries

/// Takes one series after the other; the numbers are a buffer that the receiver may change, and keep by copying.
///
/// An object and not a bare closure: every level of a query wraps the receiver of the level above, and the optimiser would make a copy
/// of every function for each such wrapping of closures, without end.
final class Emit {
    typealias Body = (SeriesLabels, inout [Double]) throws(EvaluationError) -> Void
    private let body: Body

    init(_ body: @escaping Body) { self.body = body }

    @inline(never)
    func callAsFunction(_ labels: SeriesLabels, _ values: inout [Double]) throws(EvaluationError) { try body(labels, &values) }
}

/// Takes the samples of one series after the other with the windows over them; an object for the same reason as ``Emit``.
final class VisitWindows {
    typealias Body = (SeriesLabels, SampleRun, Windows) throws(EvaluationError) -> Void
    private let body: Body

    init(_ body: @escaping Body) { self.body = body }

    @inline(never)
    func callAsFunction(_ labels: SeriesLabels, _ run: SampleRun, _ windows: Windows) throws(EvaluationError) {
        try body(labels, run, windows)
    }
}

/// One evaluation of one query: what it has read, held and noted so far.
///
/// Series flow from the selectors upwards, each with all its steps, so that an aggregation over a thousand series holds one at a time.
final class Evaluation {
    let source: any SeriesSource
    let limits: EvaluationLimits
    let settings: EvaluationSettings
    let query: Frame
    let evidence: EvidenceCollector?
    private(set) var annotations: [Annotation] = []
    private(set) var samplesRead = 0
    private var noted: Set<Annotation> = []
    private var heldValues = 0
    private var workSincePoll = 0
    private let hasFixedInstants: Bool
    private let shouldStop: () -> StopReason?

    /// Numbers handled between two looks at `shouldStop`: well under a millisecond of work.
    private static let pollInterval = 20_000

    init(_ evaluator: Evaluator, _ expression: Expression, _ query: Frame, _ shouldStop: @escaping () -> StopReason?) {
        source = evaluator.source
        limits = evaluator.limits
        settings = evaluator.settings
        self.query = query
        evidence = evaluator.settings.gathersEvidence ? EvidenceCollector() : nil
        hasFixedInstants = StepInvariance.hasFixedInstant(expression)
        self.shouldStop = shouldStop
    }

    // MARK: Bounds

    func note(_ severity: Annotation.Severity, _ message: String, at range: SourceRange) {
        let annotation = Annotation(severity: severity, message: message, range: range)
        if noted.insert(annotation).inserted { annotations.append(annotation) }
    }

    /// Counts samples that were read.
    func read(_ count: Int) throws(EvaluationError) {
        samplesRead += count
        if samplesRead > limits.samples {
            throw EvaluationError(
                .limit,
                "query processing would read more than \(limits.samples) samples; narrow the selectors or the time range, or raise `samples` of the query limits"
            )
        }
        try work(count)
    }

    /// Counts work, and now and then asks whether to go on.
    func work(_ amount: Int) throws(EvaluationError) {
        workSincePoll += amount + 100
        if workSincePoll < Evaluation.pollInterval { return }
        workSincePoll = 0
        switch shouldStop() {
        case nil: return
        case .cancelled: throw EvaluationError(.cancelled, "query was canceled in expression evaluation")
        case .deadline:
            throw EvaluationError(
                .deadline, "query timed out in expression evaluation; narrow the selectors or the time range, or raise the query timeout")
        }
    }

    /// Counts numbers that are kept until the query ends.
    func hold(_ count: Int) throws(EvaluationError) {
        heldValues += count
        if heldValues > limits.heldValues {
            throw EvaluationError(
                .limit,
                "query would hold more than \(limits.heldValues) numbers in memory; aggregate earlier, use a larger step, or raise `heldValues` of the query limits"
            )
        }
    }

    func checkReturned(_ count: Int) throws(EvaluationError) {
        if count > limits.series {
            throw EvaluationError(
                .limit, "query returns more than \(limits.series) series; aggregate or filter, or raise `series` of the query limits")
        }
    }

    // MARK: Vectors

    /// Evaluates a vector at every step of the frame and hands over its series.
    func stream(_ expression: Expression, _ frame: Frame, _ body: @escaping Emit.Body) throws(EvaluationError) {
        try stream(expression, frame, Emit(body))
    }

    /// Evaluates a vector at every step of the frame and hands over its series.
    func stream(_ expression: Expression, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        if hasFixedInstants, frame.count > 1, StepInvariance.holds(expression) {
            let single = Frame(start: frame.start, interval: 1, count: 1)
            var spread: [Double] = []
            return try stream(expression, single) { (labels, values) throws(EvaluationError) in
                spread = Array(repeating: values[0], count: frame.count)
                try emit(labels, &spread)
            }
        }
        switch expression {
        case .parenthesized(let inner, _): try stream(inner, frame, emit)
        case .selector(let node): try streamSelector(node, frame, emit)
        case .unary(let node):
            guard node.negates else { return try stream(node.operand, frame, emit) }
            try mapDroppingName(node.operand, frame, emit) { -$0 }
        case .binary(let node): try streamBinary(node, frame, emit)
        case .aggregation(let node): try streamAggregation(node, frame, emit)
        case .call(let node): try streamCall(node, frame, emit)
        case .number, .string, .range, .subquery:
            throw .execution("internal: a \(expression.type) where an instant vector is needed")
        }
    }

    /// All series of a vector.
    func rows(_ expression: Expression, _ frame: Frame) throws(EvaluationError) -> [Row] {
        var rows: [Row] = []
        try stream(expression, frame) { [self] (labels, values) throws(EvaluationError) in
            try hold(values.count)
            rows.append(Row(labels: labels.resolved, values: values))
        }
        return rows
    }

    /// Changes the numbers of a vector and drops the metric's name, which may make series clash.
    func transformDroppingName(
        _ child: Expression, _ frame: Frame, _ emit: Emit, _ transform: @escaping (inout [Double]) throws(EvaluationError) -> Void
    ) throws(EvaluationError) {
        if NameUniformity.holds(child) {
            return try stream(child, frame) { (labels, values) throws(EvaluationError) in
                try transform(&values)
                try emit(labels.droppingName, &values)
            }
        }
        var merged = MergedRows()
        try stream(child, frame) { [self] (labels, values) throws(EvaluationError) in
            try transform(&values)
            try hold(values.count)
            if !merged.add(labels.droppingName.resolved, values) { throw .sameLabelSet }
        }
        try emitRows(merged.rows, emit)
    }

    /// Applies a function to every number; inlined into a loop of its own.
    @inline(__always)
    func mapDroppingName(
        _ child: Expression, _ frame: Frame, _ emit: Emit, _ function: @escaping (Double) -> Double
    ) throws(EvaluationError) {
        try transformDroppingName(child, frame, emit) { values throws(EvaluationError) in
            for step in values.indices where isPresent(values[step]) { values[step] = function(values[step]) }
        }
    }

    func emitRows(_ rows: [Row], _ emit: Emit) throws(EvaluationError) {
        for row in rows {
            var values = row.values
            try emit(SeriesLabels(full: row.labels), &values)
        }
    }

    // MARK: Scalars

    /// Evaluates a scalar at every step of the frame.
    func scalar(_ expression: Expression, _ frame: Frame) throws(EvaluationError) -> ScalarSteps {
        switch expression {
        case .number(let node): return .constant(node.value)
        case .parenthesized(let inner, _): return try scalar(inner, frame)
        case .unary(let node):
            let operand = try scalar(node.operand, frame)
            if !node.negates { return operand }
            return mapScalars(operand, .constant(0), frame) { value, _ in -value }
        case .binary(let node):
            let left = try scalar(node.left, frame)
            let right = try scalar(node.right, frame)
            let operation = node.operation
            return mapScalars(left, right, frame) { Arithmetic.scalar(operation, $0, $1) }
        case .call(let node):
            switch node.function {
            case .pi: return .constant(.pi)
            case .time: return .varying((0..<frame.count).map { Double(frame.time($0)) / 1000 })
            default: return try scalarOfVector(node.arguments[0], frame)
            }
        default: throw .execution("internal: a \(expression.type) where a scalar is needed")
        }
    }

    private func mapScalars(_ left: ScalarSteps, _ right: ScalarSteps, _ frame: Frame, _ body: (Double, Double) -> Double) -> ScalarSteps {
        if case .constant(let one) = left, case .constant(let other) = right { return .constant(body(one, other)) }
        return .varying((0..<frame.count).map { body(left[$0], right[$0]) })
    }

    /// `scalar(v)`: the number of the only series, NaN where there is not exactly one.
    private func scalarOfVector(_ expression: Expression, _ frame: Frame) throws(EvaluationError) -> ScalarSteps {
        var result = Array(repeating: Double.nan, count: frame.count)
        var counts = Array(repeating: 0, count: frame.count)
        try stream(expression, frame) { (_, values) throws(EvaluationError) in
            for step in 0..<frame.count where isPresent(values[step]) {
                counts[step] += 1
                result[step] = counts[step] == 1 ? values[step] : .nan
            }
        }
        return .varying(result)
    }

    /// The text of an argument.
    func string(_ expression: Expression) -> StringLiteral {
        guard case .string(let literal) = expression.unwrapped else { return StringLiteral(bytes: [], range: expression.range) }
        return literal
    }
}

/// Whether an expression has the same value at every step, because `@` holds all its selectors in place.
enum StepInvariance {
    static func hasFixedInstant(_ expression: Expression) -> Bool {
        switch expression {
        case .number, .string: false
        case .selector(let node): node.shift.instant != nil
        case .range(let node): node.selector.shift.instant != nil
        case .subquery(let node): node.shift.instant != nil || hasFixedInstant(node.expression)
        case .parenthesized(let inner, _): hasFixedInstant(inner)
        case .unary(let node): hasFixedInstant(node.operand)
        case .binary(let node): hasFixedInstant(node.left) || hasFixedInstant(node.right)
        case .call(let node): node.arguments.contains(where: hasFixedInstant)
        case .aggregation(let node): hasFixedInstant(node.expression) || node.parameter.map(hasFixedInstant) ?? false
        }
    }

    static func holds(_ expression: Expression) -> Bool {
        switch expression {
        case .number, .string: return true
        case .selector(let node): return node.shift.instant != nil
        case .range(let node): return node.selector.shift.instant != nil
        case .subquery(let node): return node.shift.instant != nil
        case .parenthesized(let inner, _): return holds(inner)
        case .unary(let node): return holds(node.operand)
        case .binary(let node): return holds(node.left) && holds(node.right)
        case .aggregation(let node): return holds(node.expression) && node.parameter.map(holds) ?? true
        case .call(let node):
            switch node.function {
            case .time, .predictLinear: return false
            case .daysInMonth, .dayOfMonth, .dayOfWeek, .dayOfYear, .hour, .minute, .month, .year:
                if node.arguments.isEmpty { return false }
            case .timestamp:
                guard case .selector = node.arguments[0].unwrapped else { return false }
            default: break
            }
            return node.arguments.allSatisfy(holds)
        }
    }
}

/// Whether all series of a vector have the same metric name or none, so that dropping it cannot make two of them alike.
enum NameUniformity {
    static func holds(_ expression: Expression) -> Bool {
        switch expression {
        case .selector(let node): node.matchers.contains { $0.name == LabelSet.metricName && $0.operation == .equal }
        case .range(let node): holds(.selector(node.selector))
        case .subquery(let node): holds(node.expression)
        case .parenthesized(let inner, _): holds(inner)
        case .unary(let node): node.negates || holds(node.operand)
        case .binary(let node): holds(node)
        case .aggregation(let node): holds(node)
        case .call(let node):
            switch node.function {
            case .labelReplace, .labelJoin: false
            case .sort, .sortDesc, .lastOverTime: holds(node.arguments[0])
            default: true
            }
        case .number, .string: true
        }
    }

    private static func holds(_ node: BinaryOperation) -> Bool {
        if node.operation == .or { return false }
        if node.operation.isSetOperator { return holds(node.left) }
        if !node.operation.isComparison || node.returnsBool { return node.matching.included.isEmpty }
        // A filter keeps the names of both sides' series, whichever side they come from.
        return holds(node.left) && holds(node.right) && node.matching.included.isEmpty
    }

    private static func holds(_ node: Aggregation) -> Bool {
        switch node.operation {
        case .topk, .bottomk: holds(node.expression)
        case .countValues: false
        default: node.isWithout || !node.grouping.contains(LabelSet.metricName)
        }
    }
}
