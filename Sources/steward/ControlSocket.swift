import Fleet
import Glibc
import Threads

/// The way in which commands talk to a running server: a socket in its data folder, for its owner alone (mode 0600).
///
/// A request is one line of words, parted by the unit separator; the answer is a line with the exit code, then text.
enum ControlSocket {
    /// The longest request.
    static let requestMaximum = 64 << 10
    /// How long a client may take to ask.
    static let deadlineSeconds = 5
    private static let separator = Character("\u{1F}")

    /// Where the socket of a data folder lies.
    static func path(in folder: String) -> String { folder + "/control.sock" }

    /// What a command answers.
    struct Answer: Sendable {
        var code: Int32 = 0
        var text: String
    }

    private static func address(_ path: String) throws(Failure) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity else {
            throw Failure(
                "the path \(path) is longer than a socket's may be (\(capacity - 1) bytes); use a data folder with a shorter path")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        return address
    }

    private static func withAddress<Result>(_ address: sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }

    /// Serves requests until the process ends; `answer` is given the words and the name of the user who asks.
    static func serve(folder: String, _ answer: @escaping @Sendable ([String], _ user: String) -> Answer) throws(Failure) {
        let place = path(in: folder)
        let address = try address(place)
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard listener >= 0 else { throw Failure("no socket for commands: \(words())") }
        // What an earlier process left; the folder's lock says that it is gone.
        unlink(place)
        let mask = umask(0o177)
        let isBound = withAddress(address) { bind(listener, $0, $1) == 0 } && listen(listener, 16) == 0
        umask(mask)
        guard isBound else { throw Failure("cannot listen on \(place): \(words())") }
        startThread(named: "control") {
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { continue }
                startThread(named: "command") {
                    defer { close(connection) }
                    var limit = timeval(tv_sec: deadlineSeconds, tv_usec: 0)
                    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
                    guard let line = readLine(connection) else { return }
                    let reply = answer(
                        line.split(separator: separator, omittingEmptySubsequences: false).map(String.init), user(connection))
                    write(connection, "\(reply.code)\n\(reply.text)")
                }
            }
        }
    }

    /// Asks the server of a data folder.
    static func ask(folder: String, _ request: [String]) throws(Failure) -> Answer {
        let place = path(in: folder)
        let address = try address(place)
        let connection = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(connection) }
        guard connection >= 0, withAddress(address, { connect(connection, $0, $1) == 0 }) else {
            throw Failure(
                "no steward serve answers at \(place): \(words()); start one with --data \(folder) --policies DIR, or name its folder with --data"
            )
        }
        write(connection, request.joined(separator: String(separator)) + "\n")
        shutdown(connection, Int32(SHUT_WR))
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(connection, &buffer, buffer.count)
            if count <= 0 { break }
            bytes += buffer.prefix(count)
        }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.firstIndex(of: "\n"), let code = Int32(text[..<end]) else {
            throw Failure("the server at \(place) ended before it answered")
        }
        return Answer(code: code, text: String(text[text.index(after: end)...]))
    }

    private static func words() -> String { String(cString: strerror(errno)) }

    private static func readLine(_ connection: Int32) -> String? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count < requestMaximum {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0 else { return nil }
            bytes += buffer.prefix(count)
            if let end = bytes.firstIndex(of: 10) { return String(decoding: bytes[..<end], as: UTF8.self) }
        }
        return nil
    }

    private static func write(_ connection: Int32, _ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let sent = bytes.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { return }
            bytes = bytes.dropFirst(sent)
        }
    }

    /// The user at the other end, as the kernel knows it.
    private static func user(_ connection: Int32) -> String {
        var credentials = Credentials()
        var length = socklen_t(MemoryLayout<Credentials>.size)
        guard getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 else { return "somebody" }
        return getpwuid(credentials.user).map { String(cString: $0.pointee.pw_name) } ?? "uid \(credentials.user)"
    }

    /// The kernel's `struct ucred`, which is a GNU extension that Swift's Glibc does not show.
    private struct Credentials {
        var process: Int32 = 0
        var user: UInt32 = 0
        var group: UInt32 = 0
    }
}
