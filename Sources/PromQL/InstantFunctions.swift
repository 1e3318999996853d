import Fleet
import TimeSeries

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

extension Evaluation {
    func streamCall(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        if node.function.takesRange { return try streamRangeFunction(node, frame, emit) }
        switch node.function {
        case .abs, .ceil, .floor, .sqrt, .exp, .ln, .log2, .log10, .sgn, .rad, .deg: try streamSimple(node, frame, emit)
        case .sin, .cos, .tan, .asin, .acos, .atan, .sinh, .cosh, .tanh, .asinh, .acosh, .atanh: try streamTrigonometric(node, frame, emit)
        case .clamp, .clampMin, .clampMax: try streamClamp(node, frame, emit)
        case .round:
            // Dividing by the inverse is what Prometheus does, for fewer wrong last digits.
            let nearest = node.arguments.count > 1 ? try scalar(node.arguments[1], frame) : .constant(1)
            try transformDroppingName(node.arguments[0], frame, emit) { values throws(EvaluationError) in
                for step in values.indices where isPresent(values[step]) {
                    let inverse = 1 / nearest[step]
                    values[step] = (values[step] * inverse + 0.5).rounded(.down) / inverse
                }
            }
        case .daysInMonth, .dayOfMonth, .dayOfWeek, .dayOfYear, .hour, .minute, .month, .year: try streamCalendar(node, frame, emit)
        case .timestamp: try streamTimestamp(node, frame, emit)
        case .vector:
            let value = try scalar(node.arguments[0], frame)
            var values = (0..<frame.count).map { value[$0] }
            try emit(SeriesLabels(full: .empty), &values)
        case .absent: try streamAbsent(node, frame, emit)
        case .sort, .sortDesc: try streamSorted(node, frame, emit)
        case .labelReplace: try streamLabelReplace(node, frame, emit)
        case .labelJoin: try streamLabelJoin(node, frame, emit)
        case .histogramQuantile, .histogramFraction: try streamHistogram(node, frame, emit)
        case .histogramAvg, .histogramCount, .histogramStddev, .histogramStdvar, .histogramSum:
            // These read native histograms only, which no series here has: the argument is evaluated for its errors.
            try stream(node.arguments[0], frame) { (_, _) throws(EvaluationError) in }
        default: throw .execution("internal: \(node.function.rawValue) is not a function of an instant vector")
        }
    }

    private func streamSimple(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        let child = node.arguments[0]
        switch node.function {
        case .abs: try mapDroppingName(child, frame, emit) { $0.magnitude }
        case .ceil: try mapDroppingName(child, frame, emit) { $0.rounded(.up) }
        case .floor: try mapDroppingName(child, frame, emit) { $0.rounded(.down) }
        case .sqrt: try mapDroppingName(child, frame, emit) { $0.squareRoot() }
        case .exp: try mapDroppingName(child, frame, emit) { exp($0) }
        case .ln: try mapDroppingName(child, frame, emit) { log($0) }
        case .log2: try mapDroppingName(child, frame, emit) { log2($0) }
        case .log10: try mapDroppingName(child, frame, emit) { log10($0) }
        case .rad: try mapDroppingName(child, frame, emit) { $0 * .pi / 180 }
        case .deg: try mapDroppingName(child, frame, emit) { $0 * 180 / .pi }
        default: try mapDroppingName(child, frame, emit) { $0 < 0 ? -1 : $0 > 0 ? 1 : $0 }
        }
    }

    private func streamTrigonometric(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        let child = node.arguments[0]
        switch node.function {
        case .sin: try mapDroppingName(child, frame, emit) { sin($0) }
        case .cos: try mapDroppingName(child, frame, emit) { cos($0) }
        case .tan: try mapDroppingName(child, frame, emit) { tan($0) }
        case .asin: try mapDroppingName(child, frame, emit) { asin($0) }
        case .acos: try mapDroppingName(child, frame, emit) { acos($0) }
        case .atan: try mapDroppingName(child, frame, emit) { atan($0) }
        case .sinh: try mapDroppingName(child, frame, emit) { sinh($0) }
        case .cosh: try mapDroppingName(child, frame, emit) { cosh($0) }
        case .tanh: try mapDroppingName(child, frame, emit) { tanh($0) }
        case .asinh: try mapDroppingName(child, frame, emit) { asinh($0) }
        case .acosh: try mapDroppingName(child, frame, emit) { acosh($0) }
        default: try mapDroppingName(child, frame, emit) { atanh($0) }
        }
    }

    private func streamClamp(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        let lower: ScalarSteps = node.function == .clampMax ? .constant(-.infinity) : try scalar(node.arguments[1], frame)
        let upper: ScalarSteps =
            switch node.function {
            case .clampMin: .constant(.infinity)
            case .clampMax: try scalar(node.arguments[1], frame)
            default: try scalar(node.arguments[2], frame)
            }
        try transformDroppingName(node.arguments[0], frame, emit) { values throws(EvaluationError) in
            for step in values.indices where isPresent(values[step]) {
                let low = lower[step]
                let high = upper[step]
                // Bounds the wrong way round leave nothing; a NaN bound yields NaN.
                values[step] = high < low ? absent : Arithmetic.maximum(low, Arithmetic.minimum(high, values[step]))
            }
        }
    }

    private func streamCalendar(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        let function = node.function
        guard let child = node.arguments.first else {
            var values = (0..<frame.count).map { Calendar.part(function, ofSeconds: Double(frame.time($0)) / 1000) }
            return try emit(SeriesLabels(full: .empty), &values)
        }
        try mapDroppingName(child, frame, emit) { Calendar.part(function, ofSeconds: $0) }
    }

    /// The time of the sample for a selector, of the step for anything else.
    private func streamTimestamp(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        guard case .selector(let selector) = node.arguments[0].unwrapped else {
            return try transformDroppingName(node.arguments[0], frame, emit) { values throws(EvaluationError) in
                for step in values.indices where isPresent(values[step]) { values[step] = Double(frame.time(step)) / 1000 }
            }
        }
        if NameUniformity.holds(.selector(selector)) {
            let dropping = Emit { (labels, values) throws(EvaluationError) in try emit(labels.droppingName, &values) }
            return try streamSelector(selector, frame, wantsTimestamps: true, dropping)
        }
        var merged = MergedRows()
        let merging = Emit { [self] (labels, values) throws(EvaluationError) in
            try hold(values.count)
            if !merged.add(labels.droppingName.resolved, values) { throw .sameLabelSet }
        }
        try streamSelector(selector, frame, wantsTimestamps: true, merging)
        try emitRows(merged.rows, emit)
    }

    private func streamAbsent(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        var result = Array(repeating: 1.0, count: frame.count)
        try stream(node.arguments[0], frame) { (_, values) throws(EvaluationError) in
            for step in 0..<frame.count where isPresent(values[step]) { result[step] = absent }
        }
        try emit(SeriesLabels(full: labelsOfAbsence(node.arguments[0])), &result)
    }

    /// Sorts by value, NaN last; a range query is sorted by labels in the end and keeps its order here.
    private func streamSorted(_ node: FunctionCall, _ frame: Frame, _ emit: Emit) throws(EvaluationError) {
        guard frame.count == 1 else { return try stream(node.arguments[0], frame, emit) }
        let order = ValueOrder(isAscending: node.function == .sort)
        let rows = try rows(node.arguments[0], frame)
        let sorted = rows.indices.sorted { order.precedes(rows[$0].values[0], $0, rows[$1].values[0], $1) }
        try emitRows(sorted.map { rows[$0] }, emit)
    }
}

/// The order of numbers in which NaN comes last and equal numbers keep their places.
struct ValueOrder {
    let isAscending: Bool

    /// Whether a number at a place comes before another.
    @inline(__always)
    func precedes(_ left: Double, _ leftPlace: Int, _ right: Double, _ rightPlace: Int) -> Bool {
        if left.isNaN {
            if !right.isNaN { return false }
            return leftPlace < rightPlace
        }
        if right.isNaN { return true }
        if left == right { return leftPlace < rightPlace }
        return isAscending ? left < right : left > right
    }
}

/// The parts of a civil date in UTC.
enum Calendar {
    /// NaN for what is not an instant within some millions of years.
    static func part(_ function: Function, ofSeconds seconds: Double) -> Double {
        guard seconds.magnitude < 1e14 else { return .nan }
        let whole = Int64(seconds.rounded(.towardZero))
        let day = whole >= 0 ? whole / 86_400 : (whole - 86_399) / 86_400
        let second = whole - day * 86_400
        switch function {
        case .hour: return Double(second / 3600)
        case .minute: return Double(second / 60 % 60)
        case .dayOfWeek: return Double(((day + 4) % 7 + 7) % 7)
        default: break
        }
        let date = CivilDate(daysSinceEpoch: day)
        switch function {
        case .daysInMonth: return Double(CivilDate.daysInMonth(year: date.year, month: date.month))
        case .dayOfMonth: return Double(date.day)
        case .month: return Double(date.month)
        case .year: return Double(date.year)
        default: return Double(day - (CivilDate(year: date.year, month: 1, day: 1)?.daysSinceEpoch ?? day) + 1)
        }
    }
}
