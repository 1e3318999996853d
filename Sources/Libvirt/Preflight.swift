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
        do throws(HypervisorError) {
            return try connectOnce(candidate.pointee, "\(address) port \(port)", host: host, deadline: deadline)
        } catch {
            failure = error
        }
        next = candidate.pointee.ai_next
    }
    throw failure
}

private func connectOnce(
    _ candidate: addrinfo, _ target: String, host: HostName, deadline: ContinuousClock.Instant
) throws(HypervisorError) {
    func refuse(_ code: Int32) -> HypervisorError {
        HypervisorError(.unreachable, call: "connect", host: host, words: "\(target): \(String(cString: strerror(code)))")
    }
    let descriptor = socket(candidate.ai_family, candidate.ai_socktype | Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw refuse(errno) }
    defer { Glibc.close(descriptor) }
    if connect(descriptor, candidate.ai_addr, candidate.ai_addrlen) == 0 { return }
    guard errno == EINPROGRESS else { throw refuse(errno) }
    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    while true {
        let left = (deadline - ContinuousClock.now).milliseconds
        guard left > 0 else {
            throw HypervisorError(.unreachable, call: "connect", host: host, words: "\(target) did not answer in time")
        }
        let ready = poll(&waiting, 1, Int32(clamping: left))
        if ready > 0 { break }
        if ready < 0, errno != EINTR { throw refuse(errno) }
    }
    var code: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else { throw refuse(errno) }
    guard code == 0 else { throw refuse(code) }
}
