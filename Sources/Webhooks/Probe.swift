import Fleet
import Glibc

/// Whether something answers at an address: a health check from outside of the guest.
public enum Probe {
    /// Tries a TCP connection within a deadline; nil where it was accepted, else why it was not.
    ///
    /// Takes addresses only, no names, so that no resolver can hold the thread.
    public static func connect(to address: String, port: Int, within limit: Duration) -> String? {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(address, String(port), &hints, &list) == 0, let target = list?.pointee else {
            return "'\(address)' is no address"
        }
        defer { freeaddrinfo(list) }
        let descriptor = socket(target.ai_family, target.ai_socktype | Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return String(cString: strerror(errno)) }
        defer { close(descriptor) }
        if Glibc.connect(descriptor, target.ai_addr, target.ai_addrlen) == 0 { return nil }
        guard errno == EINPROGRESS else { return String(cString: strerror(errno)) }
        let deadline = ContinuousClock.now + limit
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        while true {
            let left = (deadline - ContinuousClock.now).milliseconds
            guard left > 0 else { return "no answer within \(limit.milliseconds) ms" }
            let ready = poll(&waiting, 1, Int32(clamping: left))
            if ready > 0 { break }
            if ready < 0, errno != EINTR { return String(cString: strerror(errno)) }
        }
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else { return String(cString: strerror(errno)) }
        return code == 0 ? nil : String(cString: strerror(code))
    }
}
