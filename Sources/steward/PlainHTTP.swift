import Glibc

/// One form POST over plain HTTP/1.1: all that `steward query --url` needs of a client.
struct PlainHTTP {
    /// The largest answer that is read: what a terminal or a script can use.
    private static let maximumBodyBytes = 256 << 20
    /// No answer for so long means that none will come: longer than the longest query may take.
    private static let timeoutSeconds = 150

    private let host: String
    private let port: String
    private let prefix: String

    /// A server, from `http://host:port/prefix`.
    init(url: String) throws(Failure) {
        guard url.hasPrefix("http://") else {
            throw Failure(
                "--url \(url) does not begin with http://; for TLS, put a tunnel before it or ask with curl", code: Failure.usage)
        }
        let rest = url.dropFirst("http://".count)
        let authority = rest.prefix { $0 != "/" }
        var path = String(rest.dropFirst(authority.count))
        while path.hasSuffix("/") { path.removeLast() }
        prefix = path
        let afterBracket = authority.lastIndex(of: "]").map { authority[authority.index(after: $0)...] } ?? authority
        let colon = afterBracket.lastIndex(of: ":")
        let name = colon.map { authority[..<$0] } ?? authority
        port = colon.map { String(authority[authority.index(after: $0)...]) } ?? "80"
        host = name.hasPrefix("[") ? String(name.dropFirst().dropLast()) : String(name)
        if host.isEmpty || UInt16(port) == nil {
            throw Failure("--url \(url) has no host, or a wrong port; write http://127.0.0.1:9177", code: Failure.usage)
        }
    }

    /// Posts a form; returns the status and the body.
    func post(_ path: String, _ form: [(name: String, value: String)]) throws(Failure) -> (status: Int, body: [UInt8]) {
        let body = form.map { "\(PlainHTTP.escaped($0.name))=\(PlainHTTP.escaped($0.value))" }.joined(separator: "&")
        let shownHost = host.contains(":") ? "[\(host)]" : host
        let head =
            "POST \(prefix)\(path) HTTP/1.1\r\nHost: \(shownHost):\(port)\r\nConnection: close\r\nAccept: application/json\r\n"
            + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
        let descriptor = try connected()
        defer { close(descriptor) }
        try send(descriptor, Array((head + body).utf8))
        return try PlainHTTP.parse(try receive(descriptor), from: "\(shownHost):\(port)")
    }

    private func failed(_ what: String) -> Failure {
        Failure("\(what) http://\(host):\(port): \(String(cString: strerror(errno))); is 'steward serve' running there?")
    }

    private func connected() throws(Failure) -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, port, &hints, &list)
        guard status == 0 else { throw Failure("cannot resolve \(host): \(String(cString: gai_strerror(status)))") }
        defer { freeaddrinfo(list) }
        var next = list
        while let address = next {
            let descriptor = socket(address.pointee.ai_family, address.pointee.ai_socktype, address.pointee.ai_protocol)
            if descriptor >= 0 {
                // A timeval by its two longs: beside Foundation, MemberImportVisibility hides the members of the C struct.
                let limit = [PlainHTTP.timeoutSeconds, 0]
                let size = socklen_t(MemoryLayout<timeval>.size)
                setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, limit, size)
                setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, limit, size)
                if connect(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0 { return descriptor }
                let reason = errno
                close(descriptor)
                errno = reason
            }
            next = address.pointee.ai_next
        }
        throw failed("cannot connect to")
    }

    private func send(_ descriptor: Int32, _ bytes: [UInt8]) throws(Failure) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count <= 0 { throw failed("cannot send to") }
            sent += count
        }
    }

    private func receive(_ descriptor: Int32) throws(Failure) -> [UInt8] {
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            if count < 0 { throw failed("no answer from") }
            if count == 0 { return result }
            result.append(contentsOf: buffer[..<count])
            if result.count > PlainHTTP.maximumBodyBytes {
                throw Failure("the answer is larger than \(PlainHTTP.maximumBodyBytes >> 20) MiB; aggregate, or take a larger --step")
            }
        }
    }

    private static func parse(_ bytes: [UInt8], from server: String) throws(Failure) -> (status: Int, body: [UInt8]) {
        let strange = Failure("\(server) does not answer in HTTP; is it Steward's or Prometheus' port?")
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { throw strange }
        let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
        let lines = head.split(whereSeparator: \.isNewline)
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else { throw strange }
        let isChunked = lines.contains { $0.lowercased().hasPrefix("transfer-encoding:") && $0.lowercased().contains("chunked") }
        let body = bytes[end.upperBound...]
        if !isChunked { return (status, Array(body)) }
        var result: [UInt8] = []
        var rest = body
        while let line = rest.firstRange(of: [13, 10]) {
            let text = String(decoding: rest[rest.startIndex..<line.lowerBound], as: UTF8.self).prefix { $0.isHexDigit }
            guard let size = Int(text, radix: 16), size >= 0, rest.endIndex - line.upperBound >= size else { throw strange }
            if size == 0 { return (status, result) }
            result.append(contentsOf: rest[line.upperBound..<line.upperBound + size])
            rest = rest[(line.upperBound + size)...].dropFirst(2)
        }
        throw Failure("\(server) broke off in the middle of its answer; ask again")
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case 48...57, 65...90, 97...122, 45, 46, 95, 126: result.unicodeScalars.append(Unicode.Scalar(byte))
            default: result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return result
    }
}
