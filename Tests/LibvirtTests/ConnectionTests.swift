import Fleet
import Glibc
import Libvirt
import Testing

/// libvirt's own test driver needs no host: what every driver answers in the same way is tried on it.
@Suite("Connections", .serialized)
struct ConnectionTests {
    func open(_ text: String, _ access: Access = .readOnly, within limit: Duration = .milliseconds(300)) throws -> LibvirtConnection {
        try LibvirtConnection(
            to: ConnectionURI(text), host: "t", access: access, preflight: limit, runtime: LibvirtRuntime(), events: { _ in })
    }

    @Test("the test driver's guest is found, described and read")
    func reads() throws {
        let connection = try open("test:///default")
        defer { connection.close() }
        #expect(try connection.describeHost().hypervisor == "TEST")
        let found = try #require(try connection.findGuest("test"))
        #expect(try connection.findGuest(found.guest.description)?.name == "test")
        #expect(try connection.findGuest("no-such-guest") == nil)
        #expect(try connection.guestNames() == ["test"])
        #expect(try connection.describeGuest(found.guest).name == "test")
        #expect(try connection.guestXML(found.guest).contains("<name>test</name>"))
        let readings = try connection.readDomains(.standard, .active)
        #expect(readings.map(\.guest) == [found.guest] && readings[0].domainID == 1)
        #expect(try connection.readPools().map(\.name) == ["default-pool"])
    }

    @Test("metadata that was written is read back, and a read-only connection may not write it")
    func metadata() throws {
        let connection = try open("test:///default", .readWrite)
        defer { connection.close() }
        let guest = try #require(try connection.findGuest("test")).guest
        var metadata = GuestMetadata()
        metadata.group = "web"
        try connection.setMetadata(of: guest, to: metadata.bareXML())
        #expect(try connection.describeGuest(guest).metadata.group == "web")
        let reader = try open("test:///default")
        defer { reader.close() }
        let error = try #require(throws: HypervisorError.self) { try reader.setMetadata(of: guest, to: metadata.bareXML()) }
        #expect(error.kind == .denied && error.call == "virDomainSetMetadata" && error.guest == guest)
    }

    @Test("a guest that is not there is an error that says so, with libvirt's number and words")
    func missing() throws {
        let connection = try open("test:///default")
        defer { connection.close() }
        let nobody = GuestID(high: 1, low: 2)
        let error = try #require(throws: HypervisorError.self) { try connection.describeGuest(nobody) }
        #expect(error.kind == .noSuchGuest && error.code == 42 && error.description.contains("on host t for guest \(nobody)"))
    }

    @Test("a name that does not resolve and a port where nobody listens are told before libvirt is asked")
    func unreachable() throws {
        let unresolved = try #require(throws: HypervisorError.self) { try open("qemu+tcp://no-such-host.invalid/system") }
        #expect(unresolved.kind == .unreachable && unresolved.words.contains("does not resolve"))
        let (descriptor, port) = try listener(backlog: 0)
        close(descriptor)
        let refused = try #require(throws: HypervisorError.self) { try open("qemu+tcp://127.0.0.1:\(port)/system") }
        #expect(refused.kind == .unreachable && refused.words.contains("127.0.0.1 port \(port)"))
    }

    /// A listening TCP socket on a free port of the loopback.
    private func listener(backlog: Int32) throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, length) == 0 && listen(descriptor, backlog) == 0
                    && getsockname(descriptor, generic, &length) == 0
            }
        }
        try #require(bound)
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }
}
