import Glibc
import Synchronization

/// A small HTTP server on a free port of loopback: each connection gets the next scripted answer.
final class Receiver: Sendable {
    enum Answer: Sendable {
        case status(Int, headers: [String] = [], body: String = "")
        /// Accepts, reads, and never answers.
        case silence
        /// Closes without a word.
        case hangUp
    }

    struct Received: Sendable {
        let head: String
        let body: String

        func header(_ name: String) -> String? {
            head.split(separator: "\r\n").first { $0.lowercased().hasPrefix(name + ":") }
                .map { $0.dropFirst(name.count + 1).drop { $0 == " " } }.map(String.init)
        }
    }

    let port: Int
    private let listener: Int32
    private let state = Mutex<(script: [Answer], received: [Received], held: [Int32])>(([], [], []))

    init(_ script: [Answer]) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 16) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard bound else { throw Failure() }
        port = Int(UInt16(bigEndian: address.sin_port))
        state.withLock { $0.script = script }
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Receiver>.fromOpaque(argument).takeRetainedValue().serve()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        pthread_detach(thread)
    }

    struct Failure: Error {}

    var url: String { "http://127.0.0.1:\(port)/" }
    var received: [Received] { state.withLock { $0.received } }

    func stop() {
        // Closed by the thread that accepts: its number must not become another test's while it still asks.
        shutdown(listener, Int32(SHUT_RDWR))
        for descriptor in state.withLock({ $0.held }) { close(descriptor) }
    }

    private func serve() {
        while true {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else {
                close(listener)
                return
            }
            let request = read(connection)
            let answer = state.withLock { state -> Answer in
                state.received.append(request)
                return state.script.isEmpty ? .status(200) : state.script.removeFirst()
            }
            switch answer {
            case .hangUp: close(connection)
            case .silence: state.withLock { $0.held.append(connection) }
            case .status(let status, let headers, let body):
                let head = (["HTTP/1.1 \(status) x", "Content-Length: \(body.utf8.count)", "Connection: close"] + headers)
                let text = head.joined(separator: "\r\n") + "\r\n\r\n" + body
                var bytes = Array(text.utf8)[...]
                while !bytes.isEmpty {
                    let sent = bytes.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                    if sent <= 0 { break }
                    bytes = bytes.dropFirst(sent)
                }
                close(connection)
            }
        }
    }

    private func read(_ connection: Int32) -> Received {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let text = String(decoding: bytes, as: UTF8.self)
            if let end = text.range(ofText: "\r\n\r\n") {
                let head = String(text[..<end.lowerBound])
                let wanted = Received(head: head, body: "").header("content-length").flatMap { Int($0) } ?? 0
                let body = String(text[end.upperBound...])
                if body.utf8.count >= wanted { return Received(head: head, body: body) }
            }
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { return Received(head: text, body: "") }
            bytes += buffer.prefix(count)
        }
    }
}

extension String {
    fileprivate func range(ofText needle: String) -> Range<String.Index>? {
        var index = startIndex
        while index < endIndex {
            if self[index...].hasPrefix(needle) { return index..<self.index(index, offsetBy: needle.count) }
            index = self.index(after: index)
        }
        return nil
    }
}
