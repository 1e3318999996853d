public import Fleet

/// A libvirt connection URI, `driver[+transport]://[user@][host][:port]/[path][?parameters]`.
///
/// The form is libvirt's (https://libvirt.org/uri.html).
public struct ConnectionURI: Hashable, Sendable, CustomStringConvertible {
    /// How the host is reached.
    public enum Transport: String, Hashable, Sendable, CaseIterable {
        /// A socket on this machine.
        case unix
        /// Plain TCP: for labs and trusted networks only.
        case tcp
        /// TLS with certificates.
        case tls
        /// An ssh program.
        case ssh
        /// ssh through libssh2.
        case libssh2
        /// ssh through libssh.
        case libssh
        /// An external program.
        case ext

        /// The port where the URI names none.
        var defaultPort: UInt16? {
            switch self {
            case .tcp: 16509
            case .tls: 16514
            case .ssh, .libssh2, .libssh: 22
            case .unix, .ext: nil
            }
        }
    }

    /// Drivers that Steward knows to answer its calls; the first is the usual one.
    public static let knownDrivers = ["qemu", "test", "ch", "xen", "lxc", "bhyve", "vz", "hvf"]

    /// The text as the operator wrote it.
    public let text: String
    /// The driver, such as `qemu`.
    public let driver: String
    /// How the host is reached.
    public let transport: Transport
    /// The host's address, nil for a local one.
    public let address: String?
    /// The port, where the transport has one.
    public let port: UInt16?
    private let hasQuery: Bool

    /// Reads a URI; the error says what is wrong with it and what to write.
    public init(_ text: String) throws(ConnectionURIError) {
        func refuse(_ message: String, _ suggestion: String? = nil) -> ConnectionURIError {
            ConnectionURIError(text: text, message: message, suggestion: suggestion)
        }
        guard let schemeEnd = text.firstRange(of: "://") else {
            throw refuse("it has no scheme", "write for example qemu:///system or qemu+tls://\(text.isEmpty ? "host" : text)/system")
        }
        let scheme = text[..<schemeEnd.lowerBound].split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
        let driver = String(scheme[0])
        guard ConnectionURI.knownDrivers.contains(driver) else {
            let close = nearest(to: driver, among: ConnectionURI.knownDrivers)
            throw refuse(
                "libvirt has no driver '\(driver)' that Steward knows",
                close.map { "did you mean \($0)?" } ?? "use qemu:///system, or qemu+ssh://, qemu+tls:// or qemu+tcp:// with a host")
        }
        let rest = text[schemeEnd.upperBound...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        guard let (address, port) = ConnectionURI.split(authority) else {
            throw refuse("'\(authority)' is no host and port", "write host:port, and an IPv6 address in brackets")
        }
        if scheme.count == 2 {
            guard let transport = Transport(rawValue: String(scheme[1])) else {
                let names = Transport.allCases.map(\.rawValue)
                throw refuse(
                    "there is no transport '\(scheme[1])'",
                    nearest(to: String(scheme[1]), among: names).map { "did you mean \($0)?" }
                        ?? "use one of \(names.joined(separator: ", "))")
            }
            self.transport = transport
        } else {
            // libvirt: without a transport, a host means TLS and none means the local socket.
            transport = address == nil ? .unix : .tls
        }
        guard transport == .unix || transport == .ext || address != nil else {
            throw refuse("transport \(transport.rawValue) needs a host", "write \(driver)+\(transport.rawValue)://host/system")
        }
        self.text = text
        self.driver = driver
        self.address = address
        self.port = port ?? (address == nil ? nil : transport.defaultPort)
        hasQuery = rest.contains("?")
    }

    /// Splits `[user@]host[:port]`, or returns nil where it is none.
    ///
    /// An empty authority is a local host.
    private static func split(_ authority: Substring) -> (address: String?, port: UInt16?)? {
        let place = authority.lastIndex(of: "@").map { authority[authority.index(after: $0)...] } ?? authority
        if place.isEmpty { return authority.isEmpty ? (nil, nil) : nil }
        if place.first == "[" {
            guard let end = place.firstIndex(of: "]") else { return nil }
            let rest = place[place.index(after: end)...]
            let address = String(place[place.index(after: place.startIndex)..<end])
            if rest.isEmpty { return (address, nil) }
            guard rest.first == ":", let port = UInt16(rest.dropFirst()) else { return nil }
            return (address, port)
        }
        let parts = place.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, !parts[0].isEmpty else { return nil }
        guard parts.count == 2 else { return (String(parts[0]), nil) }
        guard let port = UInt16(parts[1]), port > 0 else { return nil }
        return (String(parts[0]), port)
    }

    /// What libvirt is given: ssh must never ask on a terminal, since nobody sits there.
    var textForLibvirt: String {
        guard transport == .ssh, !text.contains("no_tty=") else { return text }
        return text + (hasQuery ? "&" : "?") + "no_tty=1"
    }

    /// A name for the host where the operator gave none: its address, or this machine's name for a local one.
    public func defaultHostName(localName: String) -> HostName {
        HostName(address ?? localName)
    }

    /// The text as the operator wrote it.
    public var description: String { text }
}

/// Why a text is no connection URI.
public struct ConnectionURIError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The text.
    public let text: String
    /// What is wrong.
    public let message: String
    /// What to write.
    public let suggestion: String?

    /// `connection URI 'x': message; suggestion`.
    public var description: String {
        "connection URI '\(text)': \(message)" + (suggestion.map { "; \($0)" } ?? "")
    }
}
