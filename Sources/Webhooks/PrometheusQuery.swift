public import Fleet
import Foundation

/// An instant query at a Prometheus server's HTTP API.
public enum PrometheusQuery {
    /// What a query gave.
    public enum Result: Hashable, Sendable {
        /// One number, and how old its sample is.
        case value(Double, age: Duration)
        /// No series.
        case empty
        /// No usable answer, and why.
        case failed(String)
    }

    /// Asks for the value of a query at an instant: blocks up to the deadline.
    ///
    /// - Parameter server: the URL before `/api/v1/query`.
    public static func run(_ query: String, at instant: Timestamp, server: String, deadline: Duration) -> Result {
        let base = server.hasSuffix("/") ? String(server.dropLast()) : server
        let milliseconds = instant.milliseconds % 1000
        let time = "\(instant.milliseconds / 1000).\(String(repeating: "0", count: 3 - "\(milliseconds)".count))\(milliseconds)"
        let form = "query=\(escaped(query))&time=\(time)"
        let call = WebCall(
            base + "/api/v1/query", headers: [WebCall.Header("content-type", "application/x-www-form-urlencoded")],
            body: Array(form.utf8), deadline: deadline)
        do {
            let answer = try call.make()
            return read(answer, now: instant)
        } catch {
            return .failed("\(error)")
        }
    }

    /// Reads an answer of `/api/v1/query`.
    public static func read(_ answer: WebAnswer, now: Timestamp) -> Result {
        guard let body = try? JSONDecoder().decode(Body.self, from: Data(answer.body)) else {
            return .failed("Prometheus answered \(answer.status) with something that is not its API's JSON")
        }
        guard body.status == "success", let data = body.data else {
            return .failed("Prometheus answered \(answer.status): \(body.error ?? "no reason given")")
        }
        let samples: [Sample]
        switch data.result {
        case .sample(let sample): samples = [sample]
        case .vector(let elements): samples = elements.map(\.value)
        }
        guard let sample = samples.first else { return .empty }
        guard samples.count == 1 else {
            return .failed("the query gives \(samples.count) series; write one that gives one, such as sum(…)")
        }
        guard let value = Double(sample.text), value.isFinite else { return .failed("the query gives \(sample.text)") }
        let age = max(.zero, now - Timestamp(milliseconds: Int64(sample.seconds * 1000)))
        return .value(value, age: age)
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case 48...57, 65...90, 97...122, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                result += digits.count == 1 ? "%0" + digits : "%" + digits
            }
        }
        return result
    }

    // The shape of https://prometheus.io/docs/prometheus/latest/querying/api/.
    private struct Body: Decodable {
        let status: String
        let error: String?
        let data: Payload?
    }

    private struct Payload: Decodable {
        enum Result {
            case sample(Sample)
            case vector([Element])
        }
        let result: Result

        enum Keys: String, CodingKey { case resultType, result }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Keys.self)
            result =
                switch try container.decode(String.self, forKey: .resultType) {
                case "scalar": .sample(try container.decode(Sample.self, forKey: .result))
                default: .vector(try container.decode([Element].self, forKey: .result))
                }
        }
    }

    private struct Element: Decodable {
        let value: Sample
    }

    /// `[1435781451.781, "1"]`.
    private struct Sample: Decodable {
        let seconds: Double
        let text: String

        init(from decoder: any Decoder) throws {
            var pair = try decoder.unkeyedContainer()
            seconds = try pair.decode(Double.self)
            text = try pair.decode(String.self)
        }
    }
}
