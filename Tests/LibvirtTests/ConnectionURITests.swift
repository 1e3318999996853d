import Fleet
import Libvirt
import Testing

@Suite("Connection URIs")
struct ConnectionURITests {
    @Test(
        "a URI says driver, transport, host and port as libvirt reads them",
        arguments: [
            ("qemu:///system", "qemu", "unix", nil, nil),
            ("qemu://kvm1/system", "qemu", "tls", "kvm1", 16514),
            ("qemu+tcp://kvm1/system", "qemu", "tcp", "kvm1", 16509),
            ("qemu+tcp://kvm1:17000/system", "qemu", "tcp", "kvm1", 17000),
            ("qemu+ssh://root@kvm1/system", "qemu", "ssh", "kvm1", 22),
            ("qemu+tls://[fd00::1]/system", "qemu", "tls", "fd00::1", 16514),
            ("qemu+tcp://[fd00::1]:99/system", "qemu", "tcp", "fd00::1", 99),
            ("test:///default", "test", "unix", nil, nil),
            ("qemu+unix:///system?socket=/run/x", "qemu", "unix", nil, nil),
        ] as [(String, String, String, String?, UInt16?)])
    func reads(text: String, driver: String, transport: String, address: String?, port: UInt16?) throws {
        let uri = try ConnectionURI(text)
        #expect(uri.driver == driver && uri.transport.rawValue == transport && uri.address == address && uri.port == port)
        #expect(uri.description == text)
    }

    @Test(
        "a wrong URI is refused with what to write",
        arguments: [
            ("kvm1", "it has no scheme; write for example qemu:///system or qemu+tls://kvm1/system"),
            ("", "write for example qemu:///system or qemu+tls://host/system"),
            ("qmeu:///system", "did you mean qemu?"),
            ("http://kvm1/", "libvirt has no driver 'http' that Steward knows"),
            ("qemu+tsl://kvm1/system", "there is no transport 'tsl'; did you mean"),
            ("qemu+tcp:///system", "transport tcp needs a host; write qemu+tcp://host/system"),
            ("qemu+tcp://kvm1:0/system", "is no host and port"),
            ("qemu+tcp://kvm1:65536/system", "is no host and port"),
            ("qemu+tcp://fd00::1/system", "an IPv6 address in brackets"),
            ("qemu+tcp://root@/system", "is no host and port"),
        ])
    func refuses(text: String, expected: String) {
        do throws(ConnectionURIError) {
            _ = try ConnectionURI(text)
            Issue.record("\(text) was taken")
        } catch {
            #expect(error.description.contains(expected), "\(error)")
        }
    }

    @Test("a host without a name of its own is called by its address")
    func names() throws {
        #expect(try ConnectionURI("qemu+ssh://root@kvm1:22/system").defaultHostName(localName: "here") == "kvm1")
        #expect(try ConnectionURI("qemu:///system").defaultHostName(localName: "here") == "here")
    }
}
