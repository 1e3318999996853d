public import Fleet
public import Plans

/// A receiver of notices.
public struct WebhookEndpoint: Sendable {
    /// How long a receiver may take by default; Standard Webhooks proposes 15 to 30 s.
    public static let deadline = Duration.seconds(15)

    /// The name by which policies call it.
    public var name: String
    /// The URL.
    public var url: String
    /// The secrets, the newest first; none means unsigned.
    public var secrets: [WebhookSecret]
    /// How long one attempt may take.
    public var deadline = WebhookEndpoint.deadline
    /// A file of certificates to trust instead of the system's.
    public var trustedCertificates: String?

    /// A receiver.
    public init(name: String, url: String, secrets: [WebhookSecret] = []) {
        self.name = name
        self.url = url
        self.secrets = secrets
    }

    /// Tries to deliver once: blocks up to the deadline.
    public func post(_ notice: Notice, now: Timestamp) -> RetryRule.Outcome {
        let body = Array(notice.body.utf8)
        guard body.count <= Notice.bodyMaximum else {
            return .failed(
                WebFailure(.invalid, url: url, words: "the body has \(body.count) bytes, more than \(Notice.bodyMaximum) are sent"))
        }
        var call = WebCall(
            url,
            headers: [WebCall.Header("content-type", "application/cloudevents+json")]
                + signedHeaders(id: notice.id, at: now, body: body, secrets: secrets),
            body: body, deadline: deadline)
        call.answerMaximum = 64 << 10
        call.trustedCertificates = trustedCertificates
        do { return .answered(try call.make()) } catch { return .failed(error) }
    }
}
