import CLibvirt

/// The libvirt library of this process, made ready before any connection is opened.
///
/// libvirt keeps one error handler and one event loop a process, so there is one of these a process; `steward` makes it.
public final class LibvirtRuntime: Sendable {
    /// How often the event loop turns over without an event; without any timer it would block for ever once it has no handles.
    static let idleTurnMilliseconds: Int32 = 1000

    /// Readies the library: silences its own printing, registers the event loop.
    public init() throws(LibvirtUnavailable) {
        guard virInitialize() == 0 else { throw LibvirtUnavailable(call: "virInitialize") }
        // libvirt prints every error to stderr unless a handler is set; ours are reported where they happen.
        virSetErrorFunc(nil) { _, _ in }
        guard virEventRegisterDefaultImpl() == 0 else { throw LibvirtUnavailable(call: "virEventRegisterDefaultImpl") }
        guard virEventAddTimeout(LibvirtRuntime.idleTurnMilliseconds, { _, _ in }, nil, nil) >= 0 else {
            throw LibvirtUnavailable(call: "virEventAddTimeout")
        }
    }

    /// Serves events and keepalive for all connections, for as long as the process runs; call it on a thread of its own.
    public func runEventLoop() -> Never {
        while true {
            // A failed turn is one unreadable descriptor; the next turn serves the others.
            _ = virEventRunDefaultImpl()
        }
    }

    /// The version of the library, as 1,000,000 × major + 1,000 × minor + release.
    public var libraryVersion: UInt64 {
        var version: CUnsignedLong = 0
        return virGetVersion(&version, nil, nil) == 0 ? UInt64(version) : 0
    }
}

/// The libvirt library could not be made ready, so that no host can be reached.
public struct LibvirtUnavailable: Error, CustomStringConvertible {
    let call: String
    /// What failed and what to look at.
    public var description: String { "\(call) failed: the libvirt library of this machine cannot be used; reinstall libvirt0" }
}
