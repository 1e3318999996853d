/// A request as the routes see it: method and path were matched already.
public struct WebRequest: Sendable {
    /// The path's variable parts, in order.
    public let captures: [String]
    /// The parameters of the query and of a form body, in order, decoded.
    public let parameters: [WebParameter]
    /// The header fields that routes look at.
    public let accept: String?
    /// Which compressions the client takes.
    public let acceptEncoding: String?
    /// The credentials, as sent.
    public let authorization: String?

    /// The first value of a parameter.
    public func parameter(_ name: String) -> String? {
        parameters.first { $0.name == name }?.value
    }

    /// All values of a parameter.
    public func allParameters(_ name: String) -> [String] {
        parameters.filter { $0.name == name }.map(\.value)
    }
}

/// One decoded parameter of a request.
public struct WebParameter: Hashable, Sendable {
    /// The name.
    public let name: String
    /// The value.
    public let value: String
    /// A parameter.
    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// What a route answers.
public struct WebResponse: Sendable {
    /// The body, whole or in pieces.
    public enum Body: Sendable {
        /// All of it.
        case bytes([UInt8])
        /// Piece by piece until nil; each piece is made when the one before has been taken.
        case pieces(@Sendable () -> [UInt8]?)
    }

    /// The HTTP status.
    public let status: Int
    /// The media type.
    public let contentType: String
    /// Further header fields.
    public let headers: [WebParameter]
    /// The body.
    public let body: Body

    /// A response.
    public init(status: Int = 200, contentType: String, headers: [WebParameter] = [], body: Body) {
        self.status = status
        self.contentType = contentType
        self.headers = headers
        self.body = body
    }

    /// A short text.
    public static func text(_ text: String, status: Int = 200) -> WebResponse {
        WebResponse(status: status, contentType: "text/plain; charset=utf-8", body: .bytes(Array(text.utf8)))
    }

    /// A JSON text.
    public static func json(_ text: String, status: Int = 200) -> WebResponse {
        WebResponse(status: status, contentType: "application/json", body: .bytes(Array(text.utf8)))
    }
}

/// A path and who answers it.
public struct WebRoute: Sendable {
    /// `GET` or `POST`; a GET route answers HEAD too.
    public let method: String
    /// The path; a part `{name}` matches anything but a slash and is captured.
    public let path: String
    /// Answers a request.
    ///
    /// Long work belongs on a thread of its own, not into this function's.
    public let answer: @Sendable (WebRequest) async -> WebResponse

    /// A route.
    public init(_ method: String, _ path: String, answer: @escaping @Sendable (WebRequest) async -> WebResponse) {
        self.method = method
        self.path = path
        self.answer = answer
    }
}
