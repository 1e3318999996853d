import CCurl
import Fleet
import Glibc

/// One call over HTTP, before it is made.
public struct WebCall: Sendable {
    /// The largest body of an answer that is read unless told otherwise: a query's answer is far smaller.
    public static let answerMaximum = 1 << 20

    /// The URL, http or https.
    public var url: String
    /// The header fields, in order.
    public var headers: [Header]
    /// The body to post; nil makes it a GET.
    public var body: [UInt8]?
    /// How long all of it may take: resolving, connecting, sending and receiving.
    public var deadline: Duration
    /// The most bytes of body that are read.
    public var answerMaximum = WebCall.answerMaximum
    /// A file of certificates to trust instead of the system's.
    public var trustedCertificates: String?

    /// A header field.
    public struct Header: Hashable, Sendable {
        /// The name.
        public let name: String
        /// The value.
        public let value: String
        /// A header field.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// A call; a GET where there is no body.
    public init(_ url: String, headers: [Header] = [], body: [UInt8]? = nil, deadline: Duration) {
        self.url = url
        self.headers = headers
        self.body = body
        self.deadline = deadline
    }

    /// Makes the call: blocks until the answer is there or the deadline has passed, so it belongs on a thread of its own.
    ///
    /// Redirects are answers, not followed; certificates are verified; proxies of the environment are not used.
    public func make() throws(WebFailure) -> WebAnswer {
        guard CurlLibrary.isReady else { throw WebFailure(.failed, url: url, words: "libcurl could not be initialised") }
        for header in headers where header.name.utf8.contains(where: isControl) || header.value.utf8.contains(where: isControl) {
            throw WebFailure(.invalid, url: url, words: "the header field '\(header.name)' holds a control character")
        }
        let transfer = try Transfer(of: self)
        return try transfer.run(self)
    }
}

private func isControl(_ byte: UInt8) -> Bool { byte < 32 || byte == 127 }

/// What came back.
public struct WebAnswer: Hashable, Sendable {
    /// The HTTP status.
    public let status: Int
    /// The body.
    public let body: [UInt8]
    /// The value of `Retry-After`, where there was one.
    public let retryAfter: String?

    /// An answer.
    public init(status: Int, body: [UInt8] = [], retryAfter: String? = nil) {
        self.status = status
        self.body = body
        self.retryAfter = retryAfter
    }

    /// The body as text.
    public var text: String { String(decoding: body, as: UTF8.self) }
}

/// Why there is no answer.
public struct WebFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Kind: String, Hashable, Sendable {
        /// The URL or a header field makes no sense.
        case invalid
        /// The name does not resolve, or nothing accepts there.
        case unreachable
        /// The deadline passed.
        case timedOut
        /// The certificate is not trusted, or TLS failed.
        case untrusted
        /// The answer is larger than what is read.
        case tooLarge
        /// Anything else.
        case failed
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// The URL.
    public let url: String
    /// libcurl's words.
    public let words: String

    init(_ kind: Kind, url: String, words: String) {
        self.kind = kind
        self.url = url
        self.words = words
    }

    /// For the operator.
    public var description: String { "\(url): \(words)" }
}

/// libcurl wants to be initialised once in a process, before any thread uses it.
private enum CurlLibrary {
    static let isReady = steward_curl_begin() == CURLE_OK
}

/// One easy handle with its header list, freed together.
private struct Transfer: ~Copyable {
    private let handle: UnsafeMutableRawPointer
    private var fields: UnsafeMutablePointer<curl_slist>?

    init(of call: WebCall) throws(WebFailure) {
        guard let handle = curl_easy_init() else { throw WebFailure(.failed, url: call.url, words: "libcurl has no memory") }
        self.handle = handle
        // "Expect:" empty: curl would otherwise wait a second for a 100 that many receivers never send.
        for header in call.headers + [WebCall.Header("Expect", "")] {
            fields = curl_slist_append(fields, header.value.isEmpty ? "\(header.name):" : "\(header.name): \(header.value)")
        }
    }

    deinit {
        curl_slist_free_all(fields)
        curl_easy_cleanup(handle)
    }

    func run(_ call: WebCall) throws(WebFailure) -> WebAnswer {
        let received = Received(maximum: call.answerMaximum)
        let context = Unmanaged.passRetained(received)
        defer { context.release() }
        steward_curl_set_text(handle, CURLOPT_URL, call.url)
        steward_curl_set_text(handle, CURLOPT_PROTOCOLS_STR, "http,https")
        steward_curl_set_text(handle, CURLOPT_PROXY, "")
        steward_curl_set_text(handle, CURLOPT_USERAGENT, "steward")
        steward_curl_set_long(handle, CURLOPT_NOSIGNAL, 1)
        steward_curl_set_long(handle, CURLOPT_TIMEOUT_MS, max(1, Int(call.deadline.milliseconds)))
        steward_curl_set_pointer(handle, CURLOPT_HTTPHEADER, fields.map { UnsafeMutableRawPointer($0) })
        steward_curl_set_receiver(handle, CURLOPT_WRITEFUNCTION, receiveBody)
        steward_curl_set_pointer(handle, CURLOPT_WRITEDATA, context.toOpaque())
        steward_curl_set_receiver(handle, CURLOPT_HEADERFUNCTION, receiveHeader)
        steward_curl_set_pointer(handle, CURLOPT_HEADERDATA, context.toOpaque())
        if let path = call.trustedCertificates { steward_curl_set_text(handle, CURLOPT_CAINFO, path) }
        let code: CURLcode
        if var body = call.body {
            steward_curl_set_long(handle, CURLOPT_POST, 1)
            steward_curl_set_long(handle, CURLOPT_POSTFIELDSIZE, body.count)
            code = body.withUnsafeMutableBytes { bytes in
                // An empty body still needs a pointer, or curl reads from standard input.
                withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { empty in
                    steward_curl_set_pointer(handle, CURLOPT_POSTFIELDS, bytes.baseAddress ?? empty.baseAddress)
                    return curl_easy_perform(handle)
                }
            }
        } else {
            code = curl_easy_perform(handle)
        }
        guard code == CURLE_OK else { throw failure(code, call, received) }
        var status = 0
        steward_curl_get_long(handle, CURLINFO_RESPONSE_CODE, &status)
        return WebAnswer(status: status, body: received.body, retryAfter: received.retryAfter)
    }

    private func failure(_ code: CURLcode, _ call: WebCall, _ received: Received) -> WebFailure {
        let words = String(cString: curl_easy_strerror(code))
        switch code {
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: return WebFailure(.invalid, url: call.url, words: words)
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_CONNECT: return WebFailure(.unreachable, url: call.url, words: words)
        case CURLE_OPERATION_TIMEDOUT:
            return WebFailure(.timedOut, url: call.url, words: "no answer within \(call.deadline.milliseconds) ms")
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE:
            return WebFailure(.untrusted, url: call.url, words: words)
        case CURLE_WRITE_ERROR where received.isTooLarge:
            return WebFailure(.tooLarge, url: call.url, words: "the answer has more than \(call.answerMaximum) bytes")
        default: return WebFailure(.failed, url: call.url, words: words)
        }
    }
}

/// What arrives, touched by the one thread that runs the transfer.
private final class Received {
    let maximum: Int
    var body: [UInt8] = []
    var isTooLarge = false
    var retryAfter: String?

    init(maximum: Int) { self.maximum = maximum }
}

private func receiveBody(_ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?) -> Int {
    guard let bytes, let context else { return 0 }
    let received = Unmanaged<Received>.fromOpaque(context).takeUnretainedValue()
    guard received.body.count + size * count <= received.maximum else {
        received.isTooLarge = true
        return 0
    }
    received.body.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: size * count))
    return size * count
}

private func receiveHeader(_ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?) -> Int {
    guard let bytes, let context else { return 0 }
    let received = Unmanaged<Received>.fromOpaque(context).takeUnretainedValue()
    let line = String(decoding: UnsafeRawBufferPointer(start: bytes, count: size * count), as: UTF8.self)
    if let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == "retry-after" {
        let value = line[line.index(after: colon)...].split(whereSeparator: \.isWhitespace).joined(separator: " ")
        received.retryAfter = String(value.prefix(100))
    }
    return size * count
}
