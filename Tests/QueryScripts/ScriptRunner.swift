import Fleet
import PromQL
import TimeSeries

/// What running one script showed.
public struct ScriptReport: Sendable {
    /// An evaluation that did not run, or did not hold.
    public struct Finding: Sendable, CustomStringConvertible {
        /// The line of its command.
        public let line: Int
        /// Why.
        public let message: String
        /// `line N: why`.
        public var description: String { "line \(line): \(message)" }
    }

    /// Evaluations that held.
    public var passed = 0
    /// Evaluations that are out of scope by a rule of ``Exclusion``, with the rule's name.
    public var excluded: [Finding] = []
    /// Evaluations that did not hold.
    public var failed: [Finding] = []
    /// All evaluations of the script.
    public var total: Int { passed + excluded.count + failed.count }
}

/// Why an evaluation of Prometheus' scripts is not run here: by rule, never by line.
public enum Exclusion: String, CaseIterable, Sendable {
    /// libvirt has no native histograms, so the store holds none; classic buckets are run.
    case nativeExpected = "expects a native histogram"
    /// The same.
    case nativeSelected = "selects a native histogram"
    /// Functions, aggregations and modifiers that need a feature flag in Prometheus 3.9 too.
    case experimental = "uses an experimental function, aggregation or modifier of Prometheus 3.9"

    /// Words that need a feature flag in Prometheus 3.9.1, besides the functions that `PromQL` names.
    static let experimentalWords: [String] =
        Function.experimental + Function.experimentalAggregations + ["anchored", "smoothed", "fill", "fill_left", "fill_right"]
}

/// Runs a script over series in memory.
public struct ScriptRunner {
    private var source = MemorySource()
    private var natives: [LabelSet] = []
    private var report = ScriptReport()

    private init() {}

    /// Runs a whole script; throws where it cannot be read.
    public static func run(_ text: String) throws -> ScriptReport {
        var reader = ScriptReader(text)
        var runner = ScriptRunner()
        for (_, command) in try reader.commands() { runner.perform(command) }
        return runner.report
    }

    private mutating func perform(_ command: ScriptCommand) {
        switch command {
        case .clear:
            source = MemorySource()
            natives = []
        case .load(let step, let series, let alsoNative):
            for one in series { load(one, step, alsoNative: alsoNative) }
        case .evaluate(let evaluation):
            if let rule = exclusion(evaluation) {
                report.excluded.append(.init(line: evaluation.line, message: "\(rule.rawValue): \(evaluation.query)"))
            } else if let problem = problem(evaluation) {
                report.failed.append(.init(line: evaluation.line, message: "\(problem) in: \(evaluation.query)"))
            } else {
                report.passed += 1
            }
        }
    }

    private mutating func load(_ series: SeriesNotation, _ step: Int64, alsoNative: Bool) {
        if series.values.contains(.native) { natives.append(series.labels) }
        if alsoNative, let name = series.labels[LabelSet.metricName], name.hasSuffix("_bucket"), series.labels["le"] != nil {
            natives.append(series.labels.setting(LabelSet.metricName, to: String(name.dropLast(7))).setting("le", to: ""))
        }
        for (index, value) in series.values.enumerated() {
            if case .number(let number) = value { source.add(series.labels, Int64(index) * step, number) }
        }
    }

    private func exclusion(_ evaluation: ScriptEvaluation) -> Exclusion? {
        if evaluation.expectsNative { return .nativeExpected }
        let words = Set(evaluation.query.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init))
        if Exclusion.experimentalWords.contains(where: words.contains) { return .experimental }
        guard let expression = try? Expression(parsing: evaluation.query) else { return nil }
        let selectsNative = expression.selectors.contains { selector in natives.contains { selector.matchers.allMatch($0) } }
        return selectsNative ? .nativeSelected : nil
    }

    // MARK: Evaluation

    private enum Outcome {
        case result(QueryResult)
        case failure(String)
    }

    private func outcome(_ query: String, from start: Int64, through end: Int64, step: Int64?) -> Outcome {
        let evaluator = Evaluator(source: source)
        do {
            let expression = try Expression(parsing: query)
            guard let step else { return .result(try evaluator.instant(expression, at: Timestamp(milliseconds: start))) }
            return .result(
                try evaluator.range(
                    expression, from: Timestamp(milliseconds: start), through: Timestamp(milliseconds: end), step: .milliseconds(step)))
        } catch let error as ParseError {
            return .failure(error.description)
        } catch let error as EvaluationError {
            return .failure(error.description)
        } catch {
            return .failure("\(error)")
        }
    }

    /// What is wrong with the answer, or nil.
    private func problem(_ evaluation: ScriptEvaluation) -> String? {
        let outcome = outcome(evaluation.query, from: evaluation.start, through: evaluation.end, step: evaluation.step)
        for case .failure(let check) in evaluation.expectations {
            guard case .failure(let message) = outcome else { return "expected a failure" }
            return check.holds(message) ? nil : "the failure says: \(message)"
        }
        switch outcome {
        case .failure(let message): return "failed: \(message)"
        case .result(let result):
            if let problem = annotationProblem(evaluation, result.annotations) { return problem }
            if let problem = Comparison.problem(evaluation, result.value) { return problem }
            return rangeProblem(evaluation, result.value)
        }
    }

    private func annotationProblem(_ evaluation: ScriptEvaluation, _ annotations: [Annotation]) -> String? {
        let warnings = annotations.filter { $0.severity == .warning }.map(\.text)
        let infos = annotations.filter { $0.severity == .info }.map(\.text)
        for expectation in evaluation.expectations {
            switch expectation {
            case .warning(let check) where !warnings.contains(where: check.holds): return "no such warning, but \(warnings)"
            case .info(let check) where !infos.contains(where: check.holds): return "no such note, but \(infos)"
            case .noWarning where !warnings.isEmpty: return "warnings: \(warnings)"
            case .noInfo where !infos.isEmpty: return "notes: \(infos)"
            default: continue
            }
        }
        return nil
    }

    /// An instant query must yield the same as the middle step of a range query.
    private func rangeProblem(_ evaluation: ScriptEvaluation, _ value: QueryValue) -> String? {
        guard evaluation.step == nil, !evaluation.isOrdered, case .vector = value else { return nil }
        if evaluation.query.contains("start()") || evaluation.query.contains("end()") { return nil }
        let minute: Int64 = 60_000
        let outcome = outcome(evaluation.query, from: evaluation.start - minute, through: evaluation.start + minute, step: minute)
        switch outcome {
        case .failure(let message): return "as a range query it failed: \(message)"
        case .result(let result):
            guard case .matrix(let series) = result.value else { return "as a range query it is no matrix" }
            var samples: [VectorSample] = []
            for one in series {
                guard let index = one.samples.milliseconds.firstIndex(of: evaluation.start) else { continue }
                samples.append(
                    VectorSample(labels: one.labels, time: Timestamp(milliseconds: evaluation.start), value: one.samples.values[index]))
            }
            return Comparison.problem(evaluation, .vector(samples)).map { "as a range query: \($0)" }
        }
    }
}

/// Compares answers with what a script says.
enum Comparison {
    /// Prometheus' tolerance in these scripts.
    private static let tolerance = 1e-6

    static func isClose(_ left: Double, _ right: Double) -> Bool {
        if left.isNaN || right.isNaN { return left.isNaN && right.isNaN }
        if left == right { return true }
        let sum = left.magnitude + right.magnitude
        let difference = (left - right).magnitude
        if left == 0 || right == 0 || sum < .leastNormalMagnitude { return difference < tolerance * .leastNormalMagnitude }
        return difference / min(sum, .greatestFiniteMagnitude) < tolerance
    }

    static func problem(_ evaluation: ScriptEvaluation, _ value: QueryValue) -> String? {
        switch value {
        case .string(let text):
            guard let expected = evaluation.expectedString else { return "got a string" }
            return text == expected ? nil : "got \"\(text)\""
        case .scalar(let number):
            guard case .number(let expected)? = evaluation.expectedNumber else { return "got the scalar \(number)" }
            return isClose(number, expected) ? nil : "got \(number), not \(expected)"
        case .vector(let samples): return vectorProblem(evaluation, samples)
        case .matrix(let series): return matrixProblem(evaluation, series)
        }
    }

    private static func vectorProblem(_ evaluation: ScriptEvaluation, _ samples: [VectorSample]) -> String? {
        let got = samples.map { "\($0.labels.promText) \($0.value)" }.joined(separator: "; ")
        if samples.count != evaluation.expected.count {
            return "got \(samples.count) series and not \(evaluation.expected.count): \(got)"
        }
        for (index, expected) in evaluation.expected.enumerated() {
            guard case .number(let number)? = expected.values.first, expected.values.count == 1 else {
                return "an instant query yields one number a series"
            }
            let place = evaluation.isOrdered ? index : samples.firstIndex { $0.labels == expected.labels }
            guard let place, samples[place].labels == expected.labels else {
                return "no \(expected.labels.promText) (in its place): \(got)"
            }
            if !isClose(samples[place].value, number) {
                return "\(expected.labels.promText) is \(samples[place].value), not \(number)"
            }
        }
        return nil
    }

    private static func matrixProblem(_ evaluation: ScriptEvaluation, _ series: [ResultSeries]) -> String? {
        let start = evaluation.rangeStart ?? evaluation.start
        let step = evaluation.rangeStep ?? evaluation.step ?? 1
        var expected = evaluation.expected
        if expected.isEmpty, let number = evaluation.expectedNumber {
            expected = [SeriesNotation(labels: LabelSet.empty, values: [number])]
        }
        expected = expected.filter { $0.values.contains { $0 != .absent } }
        if series.count != expected.count {
            return "got \(series.count) series and not \(expected.count): \(series.map(\.labels.promText))"
        }
        for wanted in expected {
            guard let one = series.first(where: { $0.labels == wanted.labels }) else {
                return "no \(wanted.labels.promText): \(series.map(\.labels.promText))"
            }
            var remaining = zip(one.samples.milliseconds, one.samples.values).makeIterator()
            for (index, value) in wanted.values.enumerated() {
                guard case .number(let number) = value else { continue }
                let time = start + Int64(index) * step
                guard let (sampleTime, sample) = remaining.next() else { return "\(wanted.labels.promText) ends before \(time) ms" }
                if sampleTime != time { return "\(wanted.labels.promText) has a sample at \(sampleTime) ms, not \(time) ms" }
                if !isClose(sample, number) { return "\(wanted.labels.promText) at \(time) ms is \(sample), not \(number)" }
            }
            if let (time, _) = remaining.next() { return "\(wanted.labels.promText) goes on at \(time) ms" }
        }
        return nil
    }
}
