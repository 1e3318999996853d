import Fleet
import Glibc

/// Tries a TCP connection with a deadline, since virConnectOpen has none: a dead address would hold the thread for two minutes.
///
/// Resolving the name may block as long as the system's resolver does. ssh goes unchecked where its name does not resolve: it may be
/// an alias from the ssh configuration.
func checkReachable(_ uri: ConnectionURI, host: HostName, within limit: Duration) throws(HypervisorError) {
    guard let address = uri.address, let port = uri.port, uri.transport != .unix, uri.transport != .ext else { return }
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(address, String(port), &hints, &list)
    guard status == 0 else {
        if uri.transport == .ssh { return }
        let words = "the name '\(address)' does not resolve: \(String(cString: gai_strerror(status)))"
        throw HypervisorError(.unreachable, call: "getaddrinfo", host: host, words: words)
    }
    defer { freeaddrinfo(list) }
    let deadline = ContinuousClock.now + limit
    var failure = HypervisorError(.unreachable, call: "connect", host: host, words: "no address of '\(address)' could be tried")
    var next = list
    while let candidate = next {
        switch connectOnce(candidate.pointee, deadline: deadline) {
        case 0: return
        case ETIMEDOUT:
            failure = HypervisorError(
                .unreachable, call: "connect", host: host, words: "\(address) port \(port) did not answer in time")
        case let code:
            failure = HypervisorError(
                .unreachable, call: "connect", host: host, words: "\(address) port \(port): \(String(cString: strerror(code)))")
        }
        next = candidate.pointee.ai_next
    }
    throw failure
}

/// What a TCP connection to a host's libvirt came to.
public enum Reachability: Hashable, Sendable {
    /// It was accepted: at least the machine's kernel lives.
    case accepted
    /// It was refused: the machine lives, nothing listens there.
    case refused
    /// Nothing came back in time, or the network says that there is no way.
    case silent(String)
    /// There is nothing to connect to: a local socket, or a name that does not resolve here.
    case unknown
}

/// Tries a TCP connection to a host, with a deadline.
public func reach(_ address: String, port: UInt16, within limit: Duration) -> Reachability {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(address, String(port), &hints, &list) == 0 else { return .unknown }
    defer { freeaddrinfo(list) }
    let deadline = ContinuousClock.now + limit
    var last = Reachability.unknown
    var next = list
    while let candidate = next {
        switch connectOnce(candidate.pointee, deadline: deadline) {
        case 0: return .accepted
        case ECONNREFUSED: last = .refused
        case let code: if last != .refused { last = .silent(String(cString: strerror(code))) }
        }
        next = candidate.pointee.ai_next
    }
    return last
}

extension ConnectionURI {
    /// Tries a TCP connection to where the URI leads.
    public func reach(within limit: Duration) -> Reachability {
        guard let address, let port, transport != .unix, transport != .ext else { return .unknown }
        return Libvirt.reach(address, port: port, within: limit)
    }
}

/// Connects and disconnects; the system's error number, 0 where the connection was made, ETIMEDOUT at the deadline.
private func connectOnce(_ candidate: addrinfo, deadline: ContinuousClock.Instant) -> Int32 {
    let descriptor = socket(candidate.ai_family, candidate.ai_socktype | Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return errno }
    defer { Glibc.close(descriptor) }
    if connect(descriptor, candidate.ai_addr, candidate.ai_addrlen) == 0 { return 0 }
    guard errno == EINPROGRESS else { return errno }
    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    while true {
        let left = (deadline - ContinuousClock.now).milliseconds
        guard left > 0 else { return ETIMEDOUT }
        let ready = poll(&waiting, 1, Int32(clamping: left))
        if ready > 0 { break }
        if ready < 0, errno != EINTR { return errno }
    }
    var code: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else { return errno }
    return code
}
