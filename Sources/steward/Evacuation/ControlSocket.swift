import Fleet
import Glibc
import Threads

/// The socket in the data folder over which the command line talks to a running server: one request a connection, one line of
/// tab-separated words there, any text back.
enum ControlSocket {
    /// The longest request, and the longest answer that a client reads.
    static let requestMaximum = 4096
    static let answerMaximum = 4 << 20
    /// How long the other side may take.
    static let patience = Duration.seconds(30)

    static func path(in folder: String) -> String { folder + "/steward.sock" }

    /// Listens, on a thread of its own; each request is answered on one more.
    static func serve(folder: String, _ answer: @escaping @Sendable ([String]) -> String) throws {
        let path = path(in: folder)
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure("the control socket: \(String(cString: strerror(errno)))") }
        // The folder's lock is ours, so what lies there is a dead server's.
        unlink(path)
        let before = umask(0o177)
        let bound = try withAddress(path) { bind(descriptor, $0, $1) }
        umask(before)
        guard bound == 0, listen(descriptor, 16) == 0 else {
            throw Failure("the control socket \(path): \(String(cString: strerror(errno)))")
        }
        startThread(named: "control") {
            while true {
                let client = accept(descriptor, nil, nil)
                guard client >= 0 else { continue }
                startThread(named: "control answer") {
                    setPatience(client)
                    let request = readAll(client, limit: requestMaximum, untilNewline: true)
                    let words = request.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
                    writeAll(answer(words), client)
                    close(client)
                }
            }
        }
    }

    /// Asks the server of a folder, or nil where none runs there.
    static func ask(folder: String, _ words: [String]) throws -> String? {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure("the control socket: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        setPatience(descriptor)
        guard try withAddress(path(in: folder), { connect(descriptor, $0, $1) }) == 0 else { return nil }
        writeAll(words.joined(separator: "\t") + "\n", descriptor)
        return readAll(descriptor, limit: answerMaximum, untilNewline: false)
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) throws -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw Failure("the data folder's path is too long for a socket: \(path)", code: Failure.usage)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }

    private static func setPatience(_ descriptor: Int32) {
        // A timeval, seconds and microseconds, whose initialiser other imports of this module hide.
        let time = [Int(patience.milliseconds / 1000), 0]
        let size = socklen_t(2 * MemoryLayout<Int>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, time, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, time, size)
    }

    private static func readAll(_ descriptor: Int32, limit: Int, untilNewline: Bool) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count < limit {
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            bytes += buffer.prefix(count)
            if untilNewline, let end = bytes.firstIndex(of: UInt8(ascii: "\n")) { return String(decoding: bytes[..<end], as: UTF8.self) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func writeAll(_ text: String, _ descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            // MSG_NOSIGNAL: a client that went away must not end the server.
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
