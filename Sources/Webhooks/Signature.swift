import Crypto
public import Fleet
import Foundation

/// A secret shared with a receiver, under which what it is told is signed (Standard Webhooks, `v1`: HMAC-SHA256).
public struct WebhookSecret: Sendable {
    /// The fewest bytes, as Standard Webhooks asks.
    public static let bytesMinimum = 24
    /// The most bytes.
    public static let bytesMaximum = 64

    private let bytes: [UInt8]

    /// A secret from its text: `whsec_` and base64.
    ///
    /// - Throws: ``WebhookSecretError`` where it is something else or has another length.
    public init(_ text: String) throws(WebhookSecretError) {
        guard text.hasPrefix("whsec_"), let data = Data(base64Encoded: String(text.dropFirst(6))) else {
            throw WebhookSecretError(words: "it does not read 'whsec_' and base64; make one with: echo whsec_$(openssl rand -base64 32)")
        }
        guard (WebhookSecret.bytesMinimum...WebhookSecret.bytesMaximum).contains(data.count) else {
            throw WebhookSecretError(
                words: "it has \(data.count) bytes, where \(WebhookSecret.bytesMinimum) to \(WebhookSecret.bytesMaximum) are wanted")
        }
        bytes = Array(data)
    }

    /// The signature of a message: `v1,` and the base64 of the HMAC over `id.timestamp.body`.
    public func signature(id: String, at instant: Timestamp, body: [UInt8]) -> String {
        let message = Array("\(id).\(instant.wholeSeconds).".utf8) + body
        let code = HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: bytes))
        return "v1," + Data(code).base64EncodedString()
    }
}

/// Why a text is no secret; the text itself is never part of it.
public struct WebhookSecretError: Error, Hashable, Sendable, CustomStringConvertible {
    let words: String
    /// What is wrong, without a full stop.
    public var description: String { words }
}

/// The header fields of a signed message; with several secrets it carries a signature of each, so that they can be rotated.
public func signedHeaders(id: String, at instant: Timestamp, body: [UInt8], secrets: [WebhookSecret]) -> [WebCall.Header] {
    var headers = [WebCall.Header("webhook-id", id), WebCall.Header("webhook-timestamp", "\(instant.wholeSeconds)")]
    if !secrets.isEmpty {
        let signatures = secrets.map { $0.signature(id: id, at: instant, body: body) }
        headers.append(WebCall.Header("webhook-signature", signatures.joined(separator: " ")))
    }
    return headers
}
