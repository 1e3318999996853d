import Decisions
import Fleet
import Foundation
import Logging
import OperatorFiles
import Plans
import Webhooks

/// Tells receivers what policies do: CloudEvents 1.0 in JSON, signed, each endpoint on a thread of its own.
extension PolicyPart {
    /// Hands a notice to everybody whom the policy tells of such events; a receiver that is not known is logged and costs nothing else.
    func tell(_ policy: Policy, _ event: Policy.Event, key: String, _ words: [String]) {
        for recipient in policy.notify where recipient.events.isEmpty || recipient.events.contains(event) {
            let at = now.wall
            let id = "\(policy.scaling.name)-\(event.rawValue)-\(key)-\(recipient.webhook)"
            let body = Json.object([
                ("specversion", .text("1.0")), ("id", .text(id)), ("source", .text("/steward/policies/\(policy.scaling.name)")),
                ("type", .text("dev.steward.policy.\(event.rawValue)")), ("time", .text("\(at)")),
                ("datacontenttype", .text("application/json")),
                (
                    "data",
                    .object([
                        ("policy", .text(policy.scaling.name)), ("group", .text(policy.scaling.group)),
                        ("mode", .text(policy.scaling.mode.rawValue)),
                        ("reasons", .list(words.prefix(50).map { .text(String($0.prefix(300))) })),
                    ])
                ),
            ])
            do {
                try deliverer.take(Notice(id: id, endpoint: recipient.webhook, event: event.rawValue, at: at, body: body.serialized))
            } catch {
                logger.warning("policy \(policy.scaling.name): nobody is told of '\(event.rawValue)': \(error)")
            }
        }
    }

    /// The endpoints that a folder describes; a secret that cannot be read leaves its endpoint out, and is told.
    static func endpoints(of folder: PolicyFolder, _ complain: (String) -> Void) -> [WebhookEndpoint] {
        folder.webhooks.compactMap { webhook in
            var endpoint = WebhookEndpoint(name: webhook.name, url: webhook.url)
            endpoint.deadline = webhook.timeout
            let base = PolicyFolder.folder(of: webhook.place.file)
            func path(_ name: String) -> String { name.hasPrefix("/") ? name : base + "/" + name }
            endpoint.trustedCertificates = webhook.certificateFile.map(path)
            guard let file = webhook.secretFile else { return endpoint }
            guard let data = FileManager.default.contents(atPath: path(file)) else {
                complain("webhook \(webhook.name): its secret \(path(file)) cannot be read; nothing is sent to it")
                return nil
            }
            do throws(WebhookSecretError) {
                for line in String(decoding: data, as: UTF8.self).split(whereSeparator: \.isWhitespace) {
                    endpoint.secrets.append(try WebhookSecret(String(line)))
                }
            } catch {
                complain("webhook \(webhook.name): a secret in \(path(file)) is no secret: \(error); nothing is sent to it")
                return nil
            }
            return endpoint
        }
    }
}
