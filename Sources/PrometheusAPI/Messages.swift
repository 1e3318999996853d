import PromQL

/// A request, its path already matched.
public struct APIRequest: Sendable {
    /// The path's variable parts.
    public let captures: [String]
    /// The parameters of the query and of a form body, decoded, in order.
    public let parameters: [(name: String, value: String)]

    /// A request.
    public init(captures: [String] = [], parameters: [(name: String, value: String)]) {
        self.captures = captures
        self.parameters = parameters
    }

    subscript(name: String) -> String? { parameters.first { $0.name == name }?.value }

    func all(_ name: String) -> [String] { parameters.filter { $0.name == name }.map(\.value) }
}

/// What is answered.
public struct APIResponse: Sendable {
    /// The HTTP status.
    public let status: Int
    /// The media type.
    public let contentType: String
    /// The body.
    public let body: [UInt8]
}

/// Why a request has no answer: Prometheus' error types, with the status that each has.
struct APIError: Error {
    enum Kind: String {
        case badData = "bad_data"
        case execution
        case canceled
        case timeout
        case unavailable
        case internalError = "internal"
        case notFound = "not_found"

        var status: Int {
            switch self {
            case .badData: 400
            case .execution: 422
            // nginx' number for a client that closed the connection, which Prometheus took over.
            case .canceled: 499
            case .timeout, .unavailable: 503
            case .internalError: 500
            case .notFound: 404
            }
        }
    }

    let kind: Kind
    let message: String

    static func invalid(_ parameter: String, _ why: String) -> APIError {
        APIError(kind: .badData, message: "invalid parameter \"\(parameter)\": \(why)")
    }

    init(kind: Kind, message: String) {
        self.kind = kind
        self.message = message
    }

    init(_ error: EvaluationError) {
        switch error.kind {
        case .invalid: self = .invalid("query", error.description)
        case .execution, .limit: self.init(kind: .execution, message: error.description)
        case .source: self.init(kind: .internalError, message: error.description)
        case .cancelled: self.init(kind: .canceled, message: error.description)
        case .deadline: self.init(kind: .timeout, message: error.description)
        }
    }
}

/// An answer within Prometheus' envelope.
struct Envelope {
    var data: JSONText
    var warnings: [String] = []
    var infos: [String] = []

    /// An answer; `data` writes one JSON value.
    init(_ data: (inout JSONText) -> Void) {
        var json = JSONText()
        data(&json)
        self.data = json
    }

    var response: APIResponse {
        var json = JSONText()
        json.object { json in
            json.member("status", "success")
            json.name("data")
            json.append(members: data)
            for (title, texts) in [("warnings", warnings), ("infos", infos)] where !texts.isEmpty {
                json.name(title)
                json.texts(texts)
            }
        }
        return APIResponse(status: 200, contentType: "application/json", body: json.bytes)
    }

    static func failure(_ error: APIError) -> APIResponse {
        var json = JSONText()
        json.object { json in
            json.member("status", "error")
            json.member("errorType", error.kind.rawValue)
            json.member("error", error.message)
        }
        return APIResponse(status: error.kind.status, contentType: "application/json", body: json.bytes)
    }
}
