import Fleet
import PromQL
import QueryScripts
import Testing
import TimeSeries

@Suite("Queries")
struct QueryTests {
    /// Two guests on one host, a sample every ten seconds for ten minutes; guest 2 was last heard at five minutes.
    static var source: MemorySource {
        var source = MemorySource()
        for index in 0...60 {
            let time = Int64(index) * 10_000
            source.add(LabelSet(metric: "cpu_total", [Label("host", "a"), Label("uuid", "1")]), time, Double(index))
            if index <= 30 { source.add(LabelSet(metric: "cpu_total", [Label("host", "a"), Label("uuid", "2")]), time, 2) }
        }
        return source
    }

    private func instant(
        _ query: String, at seconds: Int64 = 600, limits: EvaluationLimits = EvaluationLimits(), stop: StopReason? = nil
    ) throws -> QueryResult {
        try Evaluator(source: QueryTests.source, limits: limits)
            .instant(try Expression(parsing: query), at: Timestamp(milliseconds: seconds * 1000)) { stop }
    }

    // MARK: Evidence

    @Test("evidence says how many guests a number rests on, and how old the oldest of the newest samples is")
    func evidence() throws {
        let result = try instant("sum(cpu_total) / count(cpu_total{uuid=\"1\"})", at: 590)
        try #require(result.evidence.count == 2)
        #expect(result.evidence[0].guests == ["1", "2"])
        #expect(result.evidence[0].oldestSample == Timestamp(milliseconds: 300_000))
        #expect(result.evidence[1].guests == ["1"])
        #expect(result.evidence[1].oldestSample == Timestamp(milliseconds: 590_000))
        #expect(result.evidence[0].steps.map(\.guests) == [2])
    }

    @Test("a guest that is silent longer than the lookback is missing from the evidence, not counted as zero")
    func silentGuest() throws {
        let atEdge = try instant("avg(cpu_total)", at: 599)
        #expect(atEdge.evidence[0].guests == ["1", "2"])
        let beyond = try instant("avg(cpu_total)", at: 600)
        #expect(beyond.evidence[0].guests == ["1"])
        guard case .vector(let samples) = beyond.value else { throw NotAVector() }
        #expect(samples.map(\.value) == [60])
    }

    @Test("evidence of a range query is told step by step")
    func evidenceBySteps() throws {
        let result = try Evaluator(source: QueryTests.source).range(
            try Expression(parsing: "rate(cpu_total[1m])"), from: Timestamp(milliseconds: 300_000),
            through: Timestamp(milliseconds: 400_000), step: .seconds(50))
        #expect(result.evidence[0].steps.map(\.guests) == [2, 2, 1])
    }

    struct NotAVector: Error {}

    // MARK: Bounds

    @Test("each bound stops a query with an error that names it, and the number just inside passes")
    func bounds() throws {
        var limits = EvaluationLimits()
        limits.samples = 61 + 31
        _ = try instant("count_over_time(cpu_total[1h])", limits: limits)
        limits.samples -= 1
        #expect { try instant("count_over_time(cpu_total[1h])", limits: limits) } throws: { error in
            (error as? EvaluationError)?.kind == .limit && "\(error)".contains("raise `samples` of the query limits")
        }
        limits = EvaluationLimits()
        limits.series = 2
        _ = try instant("cpu_total", at: 300, limits: limits)
        limits.series = 1
        #expect { try instant("cpu_total", at: 300, limits: limits) } throws: { error in
            (error as? EvaluationError)?.kind == .limit && "\(error)".contains("raise `series` of the query limits")
        }
        limits = EvaluationLimits()
        limits.subquerySteps = 10
        _ = try instant("max_over_time(cpu_total[10m:1m])", limits: limits)
        #expect { try instant("max_over_time(cpu_total[11m:1m])", limits: limits) } throws: { error in
            (error as? EvaluationError)?.kind == .limit && "\(error)".contains("`subquerySteps`")
        }
        limits = EvaluationLimits()
        limits.heldValues = 1
        #expect { try instant("cpu_total or cpu_total", at: 300, limits: limits) } throws: { error in
            (error as? EvaluationError)?.kind == .limit && "\(error)".contains("`heldValues`")
        }
    }

    @Test("a range query takes 11,000 steps and not 11,001")
    func steps() throws {
        let evaluator = Evaluator(source: QueryTests.source)
        let query = try Expression(parsing: "1")
        let start = Timestamp(milliseconds: 0)
        _ = try evaluator.range(query, from: start, through: Timestamp(milliseconds: 10_999), step: .milliseconds(1))
        #expect(throws: EvaluationError.self) {
            try evaluator.range(query, from: start, through: Timestamp(milliseconds: 11_000), step: .milliseconds(1))
        }
    }

    @Test("a cancelled query and one out of time say so", arguments: [StopReason.cancelled, .deadline])
    func stopped(reason: StopReason) throws {
        let kind: EvaluationError.Kind = reason == .cancelled ? .cancelled : .deadline
        #expect { try instant("max_over_time(vector(1)[1h:10ms])", stop: reason) } throws: { ($0 as? EvaluationError)?.kind == kind }
    }

    @Test("a query may nest 200 deep and no deeper")
    func depth() throws {
        func nested(_ depth: Int) -> String { String(repeating: "(", count: depth) + "1" + String(repeating: ")", count: depth) }
        _ = try Expression(parsing: nested(Expression.depthLimit - 10))
        #expect(throws: ParseError.self) { try Expression(parsing: nested(Expression.depthLimit + 1)) }
        #expect(throws: ParseError.self) { try Expression(parsing: nested(100_000)) }
    }

    // MARK: Text

    @Test(
        "what is printed reads back as the same",
        arguments: [
            "sum by (host) (rate(cpu_total{uuid!=\"1\", host=~\"a|b\"}[5m] offset 1m))", "-cpu_total ^ 2", "1 - -2", "(1 + 2) * 3",
            "max_over_time(rate(cpu_total[1m])[1h:1m] @ end() offset -5m)", "a / on (x) group_left (y) b",
            "a and ignoring (x) b or c unless d",
            "topk(3, {\"guest.cpu\", \"la bel\"=\"x\"})", "count_values without (a) (\"v\", b)", "a == bool 1", "a @ 1.5", "a @ start()",
            "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))", "label_replace(a, \"b\", \"$1\", \"c\", \"(.*)\")", "\"text\"",
            "Inf",
        ])
    func roundTrip(query: String) throws {
        let printed = try Expression(parsing: query).description
        #expect(try Expression(parsing: printed).description == printed)
    }

    @Test(
        "a wrong query names line, column and what was expected",
        arguments: [
            ("sum(", "1:5: parse error: unclosed left parenthesis"),
            ("rate(up)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"),
            ("up\n  and 1", "2:3: parse error: set operator \"and\" not allowed in binary scalar expression"),
            ("foo bar", "1:5: parse error: unexpected identifier \"bar\""), ("", "1:1: parse error: no expression found in input"),
            ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ])
    func parseErrors(query: String, message: String) throws {
        #expect { try Expression(parsing: query) } throws: { error in
            guard let error = error as? ParseError else { return false }
            if error.description != message { Issue.record("\(error)") }
            return error.description == message && error.rendered.contains("^")
        }
    }

    @Test("an unknown function suggests the nearest")
    func suggestion() throws {
        #expect { try Expression(parsing: "rte(up[5m])") } throws: { error in (error as? ParseError)?.suggestion?.contains("rate") ?? false
        }
    }

    @Test("random bytes and random cuts of queries never crash the parser, and a megabyte is read in linear time")
    func hostileTexts() throws {
        var seed: UInt64 = 7
        func dice(_ bound: Int) -> Int {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(seed >> 33) % bound
        }
        let words = [
            "sum", "by", "(", ")", "{", "}", "[", "]", "rate", "up", "\"a\"", "=~", "5m", "1", "@", "offset", "-", "^", "or", "bool", ",",
            ":",
            "\\", "\u{e9}", "group_left", "on", "0x", "1e", "'", "#", "start", "\n", "!", "==",
        ]
        var parsed = 0
        for _ in 0..<20_000 {
            let text = (0..<dice(12)).map { _ in words[dice(words.count)] }.joined(separator: dice(2) == 0 ? " " : "")
            if let expression = try? Expression(parsing: text) {
                parsed += 1
                let printed = expression.description
                #expect((try? Expression(parsing: printed))?.description == printed, "\(text) is printed as \(printed)")
            }
        }
        #expect(parsed > 100)
        for text in [
            String(repeating: "a", count: 1 << 20), String(repeating: "up{a=\"", count: 1 << 17), String(repeating: "-", count: 1 << 20),
        ] {
            _ = try? Expression(parsing: text)
        }
    }

    @Test(
        "numbers print as Go prints them",
        arguments: [
            (0.1, "0.1", "0.1"), (1e21, "1000000000000000000000", "1e+21"), (1e-7, "0.0000001", "1e-07"), (.infinity, "+Inf", "+Inf"),
            (-0.0, "-0", "-0"), (123_456.75, "123456.75", "123456.75"), (1e100, "1" + String(repeating: "0", count: 100), "1e+100"),
        ])
    func numbers(value: Double, plain: String, general: String) {
        #expect(NumberText.plain(value) == plain)
        #expect(NumberText.general(value) == general)
    }
}
