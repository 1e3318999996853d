import ArgumentParser

/// An address and a port on the command line: `127.0.0.1:9177`.
struct ListenAddress: ExpressibleByArgument {
    let address: String
    let port: Int

    /// 9177 is the port that Prometheus' list of ports keeps for exporters of libvirt.
    static let standard = ListenAddress(address: "127.0.0.1", port: 9177)

    private init(address: String, port: Int) {
        self.address = address
        self.port = port
    }

    init?(argument: String) {
        guard let colon = argument.lastIndex(of: ":"), let port = UInt16(argument[argument.index(after: colon)...]) else { return nil }
        let address = argument[..<colon]
        guard !address.isEmpty else { return nil }
        let isBracketed = address.hasPrefix("[") && address.hasSuffix("]")
        self.address = isBracketed ? String(address.dropFirst().dropLast()) : String(address)
        self.port = Int(port)
    }

    var isLoopback: Bool { address == "localhost" || address == "::1" || address.hasPrefix("127.") }
    var defaultValueDescription: String { "\(address):\(port)" }
}
