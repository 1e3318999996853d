import Fleet
import Glibc
import Plans
import Synchronization
import Testing
import Webhooks

private let noon = Timestamp(seconds: 1_764_000_000)

private func thread(_ name: String, _ body: @escaping @Sendable () -> Void) {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    pthread_create(
        &thread, nil,
        { argument in
            guard let argument else { return nil }
            Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        }, Unmanaged.passRetained(Box(body)).toOpaque())
    pthread_detach(thread)
}

/// Waits for a condition; false where a generous deadline passes first.
private func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < deadline {
        if try condition() { return true }
        usleep(5000)
    }
    return false
}

@Suite("Calls over HTTP")
struct WebCallTests {
    @Test("a call brings back the status, the body and Retry-After")
    func answer() throws {
        let receiver = try Receiver([.status(503, headers: ["Retry-After: 120"], body: "later")])
        defer { receiver.stop() }
        let answer = try WebCall(receiver.url, headers: [.init("x-one", "1")], body: Array("hello".utf8), deadline: .seconds(20)).make()
        #expect(answer == WebAnswer(status: 503, body: Array("later".utf8), retryAfter: "120"))
        let received = try #require(receiver.received.first)
        #expect(received.head.hasPrefix("POST / HTTP/1.1"))
        #expect(received.body == "hello")
        #expect(received.header("x-one") == "1")
    }

    @Test("a receiver that never answers costs the deadline and no more")
    func silence() throws {
        let receiver = try Receiver([.silence])
        defer { receiver.stop() }
        let error = #expect(throws: WebFailure.self) { try WebCall(receiver.url, deadline: .milliseconds(300)).make() }
        #expect(error?.kind == .timedOut)
    }

    @Test("an answer of exactly the bound is read, one byte more is refused", arguments: [(1000, true), (1001, false)])
    func bound(size: Int, isRead: Bool) throws {
        let receiver = try Receiver([.status(200, body: String(repeating: "x", count: size))])
        defer { receiver.stop() }
        var call = WebCall(receiver.url, deadline: .seconds(20))
        call.answerMaximum = 1000
        if isRead {
            #expect(try call.make().body.count == size)
        } else {
            #expect(throws: WebFailure.self) { try call.make() }
        }
    }

    @Test("a redirect is an answer and is not followed")
    func redirect() throws {
        let receiver = try Receiver([.status(302, headers: ["Location: http://127.0.0.1:1/"])])
        defer { receiver.stop() }
        #expect(try WebCall(receiver.url, deadline: .seconds(20)).make().status == 302)
    }

    @Test(
        "what cannot be called says why",
        arguments: [
            ("file:///etc/passwd", WebFailure.Kind.invalid), ("gopher://127.0.0.1/", .invalid), ("http://127.0.0.1:1/", .unreachable),
        ])
    func failures(url: String, kind: WebFailure.Kind) {
        let error = #expect(throws: WebFailure.self) { try WebCall(url, deadline: .seconds(20)).make() }
        #expect(error?.kind == kind)
    }

    @Test("a header with a line end is refused, so that nobody smuggles a second one in")
    func smuggling() {
        let call = WebCall("http://127.0.0.1:1/", headers: [.init("x", "1\r\nx-admin: yes")], deadline: .seconds(1))
        #expect(throws: WebFailure.self) { try call.make() }
    }

    @Test("a port that accepts is well, one that does not is not")
    func probe() throws {
        let receiver = try Receiver([])
        #expect(Probe.connect(to: "127.0.0.1", port: receiver.port, within: .seconds(20)) == nil)
        receiver.stop()
        #expect(Probe.connect(to: "127.0.0.1", port: 1, within: .seconds(20)) == "Connection refused")
        #expect(Probe.connect(to: "localhost", port: 1, within: .seconds(20)) == "'localhost' is no address")
    }
}

@Suite("Webhook deliveries")
struct DeliveryTests {
    /// The example of the Standard Webhooks specification's own libraries.
    @Test("a signature is that of the specification's example")
    func signature() throws {
        let secret = try WebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        let signature = secret.signature(
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek", at: Timestamp(seconds: 1_614_265_330), body: Array(#"{"test": 2432232314}"#.utf8))
        #expect(signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    }

    @Test("a secret of the wrong form or length is refused", arguments: ["secret", "whsec_%%%", "whsec_c2hvcnQ="])
    func badSecret(text: String) {
        #expect(throws: WebhookSecretError.self) { try WebhookSecret(text) }
    }

    @Test("with two secrets a message carries both signatures, so that a receiver may change over")
    func rotation() throws {
        let old = try WebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        let new = try WebhookSecret("whsec_" + "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0")
        let headers = signedHeaders(id: "m", at: noon, body: [1], secrets: [new, old])
        let both = [new, old].map { $0.signature(id: "m", at: noon, body: [1]) }.joined(separator: " ")
        #expect(headers.last == WebCall.Header("webhook-signature", both))
    }

    private static let notice = Notice(id: "n1", endpoint: "ops", event: "scale", at: noon, body: "{}")

    @Test("attempts follow the stated pauses, then the delivery is given up")
    func schedule() {
        var delivery = Delivery(DeliveryTests.notice)
        for pause in RetryRule.pauses {
            delivery = RetryRule.after(.answered(WebAnswer(status: 500)), of: delivery, now: noon, jitter: 0)
            #expect(delivery.state == .pending(noon + pause))
        }
        delivery = RetryRule.after(.answered(WebAnswer(status: 500)), of: delivery, now: noon, jitter: 0)
        #expect(delivery.state == .givenUp("10 attempts failed"))
        #expect(delivery.attempts.count == 10)
    }

    @Test(
        "a status decides",
        arguments: [
            (200, nil, Delivery.State.delivered), (204, nil, .delivered), (410, nil, .givenUp("the endpoint is gone (410)")),
            (302, nil, .pending(noon + .seconds(5))), (503, "60", .pending(noon + .seconds(60))),
            (503, "1", .pending(noon + .seconds(5))), (503, "999999999", .pending(noon + .seconds(86_400))),
            (503, "soon", .pending(noon + .seconds(5))),
        ] as [(Int, String?, Delivery.State)])
    func statuses(status: Int, retryAfter: String?, state: Delivery.State) {
        let answer = WebAnswer(status: status, retryAfter: retryAfter)
        #expect(RetryRule.after(.answered(answer), of: Delivery(DeliveryTests.notice), now: noon, jitter: 0).state == state)
    }

    @Test("jitter adds up to a tenth of the pause", arguments: [(0.0, 5000), (1.0, 5500)])
    func jitter(jitter: Double, milliseconds: Int64) {
        let after = RetryRule.after(.answered(WebAnswer(status: 500)), of: Delivery(DeliveryTests.notice), now: noon, jitter: jitter)
        #expect(after.state == .pending(noon + .milliseconds(milliseconds)))
    }

    @Test("a hanging endpoint delays no other, and a retry carries the same id")
    func isolation() throws {
        let slow = try Receiver([.silence])
        let flaky = try Receiver([.status(500), .status(200)])
        defer {
            slow.stop()
            flaky.stop()
        }
        let clock = Mutex(noon)
        let log = InMemoryDeliveryLog()
        let deliverer = Deliverer(log: log, now: { clock.withLock { $0 } }, jitter: { 0 }, startThread: thread)
        var hanging = WebhookEndpoint(name: "slow", url: slow.url)
        hanging.deadline = .seconds(60)
        let secret = try WebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        deliverer.setEndpoints([hanging, WebhookEndpoint(name: "ops", url: flaky.url, secrets: [secret])])
        try deliverer.take(Notice(id: "s1", endpoint: "slow", event: "scale", at: noon, body: "{}"))
        try deliverer.take(DeliveryTests.notice)
        #expect(try eventually { try log.delivery(id: "n1")?.attempts.count == 1 })
        clock.withLock { $0 = noon + .seconds(6) }
        try deliverer.resume()
        #expect(try eventually { try log.delivery(id: "n1")?.state == .delivered })
        #expect(flaky.received.map { $0.header("webhook-id") } == ["n1", "n1"])
        let second = try #require(flaky.received.last)
        #expect(
            second.header("webhook-signature") == secret.signature(id: "n1", at: noon + .seconds(6), body: Array("{}".utf8)))
        #expect(try log.delivery(id: "s1")?.attempts.isEmpty == true)
    }

    @Test("the same notice twice is delivered once")
    func once() throws {
        let receiver = try Receiver([])
        defer { receiver.stop() }
        let log = InMemoryDeliveryLog()
        let deliverer = Deliverer(log: log, now: { noon }, jitter: { 0 }, startThread: thread)
        deliverer.setEndpoints([WebhookEndpoint(name: "ops", url: receiver.url)])
        try deliverer.take(DeliveryTests.notice)
        try deliverer.take(DeliveryTests.notice)
        #expect(try eventually { try log.delivery(id: "n1")?.state == .delivered })
        try deliverer.take(DeliveryTests.notice)
        #expect(receiver.received.count == 1)
    }

    @Test("a notice for an endpoint that nobody configured is refused by name")
    func unknown() {
        let deliverer = Deliverer(log: InMemoryDeliveryLog(), now: { noon }, jitter: { 0 }, startThread: thread)
        #expect(throws: JournalError.self) { try deliverer.take(DeliveryTests.notice) }
    }
}

@Suite("Queries to a Prometheus")
struct PrometheusQueryTests {
    @Test(
        "an answer is one number, nothing, or a reason",
        arguments: [
            (
                #"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1764000000.0,"0.5"]}]}}"#,
                PrometheusQuery.Result.value(0.5, age: .zero)
            ),
            (#"{"status":"success","data":{"resultType":"scalar","result":[1763999990,"7"]}}"#, .value(7, age: .seconds(10))),
            (#"{"status":"success","data":{"resultType":"vector","result":[]}}"#, .empty),
            (
                #"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1764000000,"NaN"]}]}}"#,
                .failed("the query gives NaN")
            ),
            (
                #"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"2"]}]}}"#,
                .failed("the query gives 2 series; write one that gives one, such as sum(…)")
            ),
            (
                #"{"status":"error","errorType":"bad_data","error":"parse error"}"#, .failed("Prometheus answered 200: parse error")
            ),
            ("<html>", .failed("Prometheus answered 200 with something that is not its API's JSON")),
        ])
    func answers(body: String, result: PrometheusQuery.Result) {
        #expect(PrometheusQuery.read(WebAnswer(status: 200, body: Array(body.utf8)), now: noon) == result)
    }

    @Test("the query travels escaped, with its time")
    func form() throws {
        let receiver = try Receiver([.status(200, body: #"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#)])
        defer { receiver.stop() }
        _ = PrometheusQuery.run(
            #"sum(rate(x{a="b c"}[1m]))"#, at: Timestamp(milliseconds: 1_764_000_000_007), server: receiver.url, deadline: .seconds(20))
        let received = try #require(receiver.received.first)
        #expect(received.head.hasPrefix("POST /api/v1/query "))
        #expect(received.body == "query=sum%28rate%28x%7Ba%3D%22b%20c%22%7D%5B1m%5D%29%29&time=1764000000.007")
    }

    @Test("a server that is away is a failure, never a zero")
    func away() {
        guard case .failed = PrometheusQuery.run("up", at: noon, server: "http://127.0.0.1:1", deadline: .seconds(20)) else {
            Issue.record("a dead server gave a value")
            return
        }
    }
}
