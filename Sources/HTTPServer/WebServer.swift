import Glibc
import HTTPTypes
import Hummingbird
public import Logging
import NIOCore

/// Serves routes over HTTP on one address.
public struct WebServer: Sendable {
    /// The largest form body that is read: Prometheus' own bound on a query is of this order, and no route takes files.
    public static let maximumBodyBytes = 2 << 20

    private let address: String
    private let port: Int
    private let routes: [WebRoute]
    private let logger: Logger

    /// A server; nothing is bound before `run`.
    public init(address: String, port: Int, routes: [WebRoute], logger: Logger) {
        self.address = address
        self.port = port
        self.routes = routes
        self.logger = logger
    }

    /// Binds and serves until the task is cancelled.
    ///
    /// - Parameter bound: called once with the port, which differs from the one asked for where that was 0.
    /// - Throws: `WebServerError` where the address cannot be bound.
    public func run(bound: @escaping @Sendable (Int) -> Void) async throws {
        let router = Router()
        for route in routes {
            guard let method = HTTPRequest.Method(rawValue: route.method) else { continue }
            let captures = route.path.split(separator: "/").filter { $0.hasPrefix("{") }.map { String($0.dropFirst().dropLast()) }
            router.on(RouterPath(route.path), method: method) { request, context in
                try await WebServer.answer(route, captures, request, context)
            }
            guard method == .get else { continue }
            router.on(RouterPath(route.path), method: .head) { request, context in
                let response = try await WebServer.answer(route, captures, request, context)
                return Response(status: response.status, headers: response.headers)
            }
        }
        let application = Application(
            router: router, configuration: .init(address: .hostname(address, port: port), serverName: "steward"),
            onServerRunning: { channel in bound(channel.localAddress?.port ?? port) }, logger: quiet(logger))
        do {
            try await application.run()
        } catch let error as IOError {
            throw WebServerError(address: address, port: port, code: error.errnoCode)
        }
    }

    /// The server library's own start and stop lines would double ours.
    private func quiet(_ logger: Logger) -> Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        return quiet
    }

    private static func answer(
        _ route: WebRoute, _ captures: [String], _ request: Request, _ context: BasicRequestContext
    ) async throws -> Response {
        var parameters = decodeForm(request.uri.query ?? "")
        if request.method == .post {
            let form = try await request.body.collect(upTo: maximumBodyBytes)
            parameters += decodeForm(String(buffer: form))
        }
        let answer = await route.answer(
            WebRequest(
                captures: captures.compactMap { context.parameters.get($0) }, parameters: parameters, accept: request.headers[.accept],
                acceptEncoding: request.headers[.acceptEncoding], authorization: request.headers[.authorization]))
        var headers = HTTPFields()
        headers[.contentType] = answer.contentType
        for header in answer.headers {
            if let name = HTTPField.Name(header.name) { headers[name] = header.value }
        }
        let body: ResponseBody =
            switch answer.body {
            case .bytes(let bytes): ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
            case .pieces(let next):
                ResponseBody { writer in
                    while let piece = next() { try await writer.write(ByteBuffer(bytes: piece)) }
                    try await writer.finish(nil)
                }
            }
        return Response(status: .init(code: answer.status), headers: headers, body: body)
    }
}

/// The server could not bind its address.
public struct WebServerError: Error, CustomStringConvertible {
    let address: String
    let port: Int
    let code: Int32

    /// What failed, why, what to do next.
    public var description: String {
        let why =
            switch code {
            case EADDRINUSE: "another program listens there; stop it, or choose another port with --listen \(address):PORT"
            case EACCES: "this user may not bind that port; choose one above 1023 with --listen"
            case EADDRNOTAVAIL: "this machine has no such address; use 127.0.0.1, or one that `ip address` shows"
            default: String(cString: strerror(code))
            }
        return "cannot listen on \(address) port \(port): \(why)"
    }
}
