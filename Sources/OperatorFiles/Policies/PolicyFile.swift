public import Decisions
public import Fleet
import Plans

/// A policy with the place of its document.
public struct LoadedPolicy: Sendable {
    /// The policy.
    public let policy: Policy
    /// Where it begins.
    public let place: SourcePlace
}

/// An alert rule with the place of its document.
public struct LoadedAlert: Sendable {
    /// The rule.
    public let alert: AlertRule
    /// Where it begins.
    public let place: SourcePlace
}

/// A receiver of notices, as a document describes it.
public struct LoadedWebhook: Sendable {
    /// The name by which policies call it.
    public let name: String
    /// The URL.
    public let url: String
    /// The file with its secrets, one a line, the newest first; nil where what is sent is not signed.
    public let secretFile: String?
    /// A file of certificates to trust instead of the system's.
    public let certificateFile: String?
    /// How long one attempt may take.
    public let timeout: Duration
    /// Where the document begins.
    public let place: SourcePlace
}

/// Every policy and alert of some files, or what is wrong with them.
///
/// All or nothing: where any diagnostic is an error, nothing of the set is to be used and the last good set stays.
public struct PolicySet: Sendable {
    /// The policies, in the order of the files.
    public let policies: [LoadedPolicy]
    /// The alert rules, in the order of the files.
    public let alerts: [LoadedAlert]
    /// The receivers of notices, in the order of the files.
    public let webhooks: [LoadedWebhook]
    /// Errors and warnings, by place.
    public let diagnostics: [Diagnostic]
    /// Whether the set may be used.
    public var isUsable: Bool { !diagnostics.contains { $0.severity == .error } }
}

/// Reads policy files.
public enum PolicyFiles {
    /// The most documents of one file: each steers a group, and more want a second file.
    public static let documentsMaximum = 500

    /// A file by its path and text.
    public struct File: Sendable {
        /// The path as the operator gave it.
        public let path: String
        /// The text.
        public let text: String
        /// A file.
        public init(path: String, text: String) {
            self.path = path
            self.text = text
        }
    }

    /// Reads files of `policy:`, `alert:` and `webhook:` documents; all diagnostics at once, sorted by place.
    ///
    /// `flaw` says what is wrong with a query, or nil; the caller gives the PromQL parser's word.
    public static func read(_ files: [File], flaw: @escaping (String) -> String? = { _ in nil }) -> PolicySet {
        var problems = YamlProblems()
        var policies: [LoadedPolicy] = []
        var alerts: [LoadedAlert] = []
        var webhooks: [LoadedWebhook] = []
        for file in files {
            for root in documents(file, &problems) {
                guard var mapping = root.mapping("a policy or alert", &problems) else { continue }
                if mapping.has("alert") {
                    if let alert = PolicyReader(flaw: flaw).alert(&mapping, &problems) {
                        alerts.append(LoadedAlert(alert: alert, place: mapping.place))
                    }
                } else if mapping.has("policy") || mapping.has("scale") {
                    if let policy = PolicyReader(flaw: flaw).policy(&mapping, &problems) {
                        PolicyLint.check(policy, at: mapping.place, &problems)
                        policies.append(LoadedPolicy(policy: policy, place: mapping.place))
                    }
                } else if mapping.has("webhook") {
                    if let webhook = PolicyReader(flaw: flaw).webhook(&mapping, &problems) { webhooks.append(webhook) }
                } else {
                    problems.error(
                        "a document begins with 'policy:', 'alert:' or 'webhook:'", at: mapping.place,
                        suggestion: mapping.entries.first.flatMap { nearest(to: $0.key, among: ["policy", "alert", "webhook"]) }.map {
                            "did you mean '\($0)'?"
                        })
                }
            }
        }
        PolicyLint.conflicts(policies, alerts, &problems)
        PolicyLint.webhooks(webhooks, policies, alerts, &problems)
        return PolicySet(policies: policies, alerts: alerts, webhooks: webhooks, diagnostics: problems.sorted)
    }

    /// The documents of a file, each with its true lines: a line that begins with `---` always begins a document.
    static func documents(_ file: File, _ problems: inout YamlProblems) -> [YamlNode] {
        guard file.text.utf8.count <= YamlLimits().bytes else {
            problems.error(
                "the file has \(file.text.utf8.count) bytes, more than the \(YamlLimits().bytes) that are read",
                at: SourcePlace(file: file.path), suggestion: "split it")
            return []
        }
        var chunks: [(before: Int, lines: [Substring])] = [(0, [])]
        for (index, line) in file.text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.hasPrefix("---") {
                chunks.append((index + 1, []))
            } else {
                chunks[chunks.count - 1].lines.append(line)
            }
        }
        chunks.removeAll { chunk in
            chunk.lines.allSatisfy { line in
                let text = line.drop { $0 == " " || $0 == "\t" || $0 == "\r" }
                return text.isEmpty || text.hasPrefix("#")
            }
        }
        if chunks.isEmpty { problems.error("the file is empty", at: SourcePlace(file: file.path)) }
        if chunks.count > documentsMaximum {
            problems.error("the file holds \(chunks.count) documents, more than \(documentsMaximum)", at: SourcePlace(file: file.path))
            return []
        }
        return chunks.compactMap { chunk in
            YamlNode.parse(
                String(repeating: "\n", count: chunk.before) + chunk.lines.joined(separator: "\n") + "\n", file: file.path, &problems)
        }
    }
}
