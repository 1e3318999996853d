/// The functions of PromQL 3.9 that are not experimental; the raw value is the name in a query.
public enum Function: String, CaseIterable, Hashable, Sendable {
    case abs, absent
    case absentOverTime = "absent_over_time"
    case acos, acosh, asin, asinh, atan, atanh
    case avgOverTime = "avg_over_time"
    case ceil, changes, clamp
    case clampMax = "clamp_max"
    case clampMin = "clamp_min"
    case cos, cosh
    case countOverTime = "count_over_time"
    case daysInMonth = "days_in_month"
    case dayOfMonth = "day_of_month"
    case dayOfWeek = "day_of_week"
    case dayOfYear = "day_of_year"
    case deg, delta, deriv, exp, floor
    case histogramAvg = "histogram_avg"
    case histogramCount = "histogram_count"
    case histogramFraction = "histogram_fraction"
    case histogramQuantile = "histogram_quantile"
    case histogramStddev = "histogram_stddev"
    case histogramStdvar = "histogram_stdvar"
    case histogramSum = "histogram_sum"
    case hour, idelta, increase, irate
    case labelJoin = "label_join"
    case labelReplace = "label_replace"
    case lastOverTime = "last_over_time"
    case ln, log10, log2
    case maxOverTime = "max_over_time"
    case minOverTime = "min_over_time"
    case minute, month, pi
    case predictLinear = "predict_linear"
    case presentOverTime = "present_over_time"
    case quantileOverTime = "quantile_over_time"
    case rad, rate, resets, round, scalar, sgn, sin, sinh, sort
    case sortDesc = "sort_desc"
    case sqrt
    case stddevOverTime = "stddev_over_time"
    case stdvarOverTime = "stdvar_over_time"
    case sumOverTime = "sum_over_time"
    case tan, tanh, time, timestamp, vector, year

    /// Functions of 3.9.1 that need a feature flag there and are not offered here.
    public static let experimental = [
        "double_exponential_smoothing", "first_over_time", "info", "mad_over_time", "sort_by_label", "sort_by_label_desc",
        "ts_of_first_over_time", "ts_of_last_over_time", "ts_of_max_over_time", "ts_of_min_over_time",
    ]

    /// Aggregations of 3.9.1 that need a feature flag there and are not offered here.
    public static let experimentalAggregations = ["limitk", "limit_ratio"]

    /// What it takes, the optional arguments last.
    public var arguments: [ValueType] {
        switch self {
        case .absentOverTime, .avgOverTime, .changes, .countOverTime, .delta, .deriv, .idelta, .increase, .irate, .lastOverTime,
            .maxOverTime, .minOverTime, .presentOverTime, .rate, .resets, .stddevOverTime, .stdvarOverTime, .sumOverTime:
            [.matrix]
        case .predictLinear: [.matrix, .scalar]
        case .quantileOverTime: [.scalar, .matrix]
        case .clamp: [.vector, .scalar, .scalar]
        case .clampMax, .clampMin, .round: [.vector, .scalar]
        case .histogramFraction: [.scalar, .scalar, .vector]
        case .histogramQuantile: [.scalar, .vector]
        case .labelJoin: [.vector, .string, .string, .string]
        case .labelReplace: [.vector, .string, .string, .string, .string]
        case .vector: [.scalar]
        case .pi, .time: []
        default: [.vector]
        }
    }

    /// How many of the arguments may be left out.
    public var optionalArguments: Int {
        switch self {
        case .daysInMonth, .dayOfMonth, .dayOfWeek, .dayOfYear, .hour, .minute, .month, .year, .round, .labelJoin: 1
        default: 0
        }
    }

    /// Whether the last argument may be given again and again.
    public var repeatsLastArgument: Bool { self == .labelJoin }

    /// What it yields.
    public var result: ValueType {
        switch self {
        case .pi, .scalar, .time: .scalar
        default: .vector
        }
    }

    /// Whether it reads a window of samples.
    public var takesRange: Bool { arguments.contains(.matrix) }
}
