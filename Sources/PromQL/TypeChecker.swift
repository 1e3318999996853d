/// Checks that operands and arguments have the types that operators and functions take, in Prometheus' words.
struct TypeChecker {
    let source: [UInt8]

    private func failure(_ message: String, at range: SourceRange) -> ParseError { ParseError(message, at: range, in: source) }

    func check(_ expression: Expression) throws(ParseError) {
        switch expression {
        case .number, .string, .selector, .range: return
        case .parenthesized(let inner, _): try check(inner)
        case .unary(let node):
            try check(node.operand)
            let type = node.operand.type
            if type != .scalar, type != .vector {
                throw failure(
                    "unary expression only allowed on expressions of type scalar or instant vector, got \"\(type)\"", at: node.range)
            }
        case .subquery(let node):
            try check(node.expression)
            if node.expression.type != .vector {
                throw failure("subquery is only allowed on instant vector, got \(node.expression.type) instead", at: node.range)
            }
        case .binary(let node): try check(node)
        case .call(let node): try check(node)
        case .aggregation(let node): try check(node)
        }
    }

    private func check(_ node: BinaryOperation) throws(ParseError) {
        try check(node.left)
        try check(node.right)
        let left = node.left.type
        let right = node.right.type
        for (type, side) in [(left, node.left), (right, node.right)] where type != .scalar && type != .vector {
            throw failure("binary expression must contain only scalar and instant vector types", at: side.range)
        }
        let hasScalar = left == .scalar || right == .scalar
        if left == .scalar, right == .scalar, node.operation.isComparison, !node.returnsBool {
            throw failure("comparisons between scalars must use BOOL modifier", at: node.operatorRange)
        }
        if hasScalar, node.operation.isSetOperator {
            throw failure("set operator \"\(node.operation.rawValue)\" not allowed in binary scalar expression", at: node.operatorRange)
        }
        if hasScalar, node.matching.isExplicit {
            throw failure("vector matching only allowed between instant vectors", at: node.operatorRange)
        }
    }

    private func check(_ node: Aggregation) throws(ParseError) {
        try check(node.expression)
        try expect(node.expression, .vector, in: "aggregation expression")
        guard let parameter = node.parameter else { return }
        try check(parameter)
        try expect(parameter, node.operation == .countValues ? .string : .scalar, in: "aggregation parameter")
    }

    private func check(_ node: FunctionCall) throws(ParseError) {
        let name = node.function.rawValue
        let types = node.function.arguments
        let required = types.count - node.function.optionalArguments
        let given = node.arguments.count
        if given < required {
            let atLeast = node.function.optionalArguments > 0 ? "at least " : ""
            throw failure("expected \(atLeast)\(required) argument(s) in call to \"\(name)\", got \(given)", at: node.range)
        }
        if given > types.count, !node.function.repeatsLastArgument {
            let atMost = node.function.optionalArguments > 0 ? "at most " : ""
            throw failure("expected \(atMost)\(types.count) argument(s) in call to \"\(name)\", got \(given)", at: node.range)
        }
        for (index, argument) in node.arguments.enumerated() {
            try check(argument)
            try expect(argument, types[min(index, types.count - 1)], in: "call to function \"\(name)\"")
        }
    }

    private func expect(_ expression: Expression, _ type: ValueType, in context: String) throws(ParseError) {
        if expression.type != type {
            throw failure("expected type \(type) in \(context), got \(expression.type)", at: expression.range)
        }
    }
}
