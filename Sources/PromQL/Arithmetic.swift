#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The operators on numbers.
enum Arithmetic {
    /// The result on two scalars; comparisons yield 0 and 1.
    static func scalar(_ operation: BinaryOperator, _ left: Double, _ right: Double) -> Double {
        operation.isComparison ? (holds(operation, left, right) ? 1 : 0) : value(operation, left, right)
    }

    /// The result of an operator that is not a comparison.
    @inline(__always)
    static func value(_ operation: BinaryOperator, _ left: Double, _ right: Double) -> Double {
        switch operation {
        case .add: left + right
        case .subtract: left - right
        case .multiply: left * right
        case .divide: left / right
        case .modulo: fmod(left, right)
        case .power: pow(left, right)
        default: atan2(left, right)
        }
    }

    /// Whether a comparison holds.
    @inline(__always)
    static func holds(_ operation: BinaryOperator, _ left: Double, _ right: Double) -> Bool {
        switch operation {
        case .equal: left == right
        case .notEqual: left != right
        case .greater: left > right
        case .less: left < right
        case .greaterOrEqual: left >= right
        default: left <= right
        }
    }

    /// The smaller number, NaN when either is one (Go's rule, not C's).
    static func minimum(_ left: Double, _ right: Double) -> Double {
        left.isNaN || right.isNaN ? .nan : left < right || (left == right && left.sign == .minus) ? left : right
    }

    /// The larger number, NaN when either is one (Go's rule, not C's).
    static func maximum(_ left: Double, _ right: Double) -> Double {
        left.isNaN || right.isNaN ? .nan : left > right || (left == right && left.sign == .plus) ? left : right
    }
}
