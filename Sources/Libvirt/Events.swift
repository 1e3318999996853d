import CLibvirt
import Fleet

/// Carries the listener through libvirt's opaque pointer; libvirt drops it with the subscription.
private final class Listener: Sendable {
    let deliver: @Sendable (HypervisorEvent) -> Void
    init(_ deliver: @escaping @Sendable (HypervisorEvent) -> Void) { self.deliver = deliver }

    static func at(_ opaque: UnsafeMutableRawPointer?) -> Listener? {
        opaque.map { Unmanaged<Listener>.fromOpaque($0).takeUnretainedValue() }
    }
}

private func releaseListener(_ opaque: UnsafeMutableRawPointer?) {
    if let opaque { Unmanaged<Listener>.fromOpaque(opaque).release() }
}

/// Subscribes to what the host tells; returns the ids of the subscriptions that it accepted.
///
/// A driver without some event (test:///) refuses that one; polling still finds what it would have told.
func subscribe(to connection: virConnectPtr, events: @escaping @Sendable (HypervisorEvent) -> Void) -> [Int32] {
    let registrations: [(UnsafeMutableRawPointer) -> Int32] = [
        { steward_register_lifecycle(connection, lifecycleChanged, $0, releaseListener) },
        { steward_register_device_added(connection, deviceChanged, $0, releaseListener) },
        { steward_register_device_removed(connection, deviceChanged, $0, releaseListener) },
        { steward_register_metadata_change(connection, metadataChanged, $0, releaseListener) },
        { steward_register_job_completed(connection, jobCompleted, $0, releaseListener) },
        { steward_register_migration_iteration(connection, migrationPassed, $0, releaseListener) },
    ]
    var accepted: [Int32] = []
    for register in registrations {
        let listener = Unmanaged.passRetained(Listener(events)).toOpaque()
        let id = register(listener)
        if id >= 0 { accepted.append(id) } else { releaseListener(listener) }
    }
    let listener = Unmanaged.passRetained(Listener(events)).toOpaque()
    if virConnectRegisterCloseCallback(connection, connectionClosed, listener, releaseListener) < 0 { releaseListener(listener) }
    return accepted
}

private let lifecycleChanged: virConnectDomainEventCallback = { _, domain, event, detail, opaque in
    guard let domain, let listener = Listener.at(opaque), let guest = guestID(of: domain),
        let lifecycle = HypervisorEvent.Lifecycle(rawValue: event)
    else { return 0 }
    let name = virDomainGetName(domain).map { String(cString: $0) } ?? guest.description
    let id = virDomainGetID(domain)
    let run = id == UInt32.max ? nil : Int32(truncatingIfNeeded: id)
    listener.deliver(.lifecycle(guest: guest, name: name, event: lifecycle, detail: detail, run: run))
    return 0
}

private func changed(_ domain: virDomainPtr?, _ opaque: UnsafeMutableRawPointer?) {
    guard let domain, let listener = Listener.at(opaque), let guest = guestID(of: domain) else { return }
    listener.deliver(.changed(guest: guest))
}

private let deviceChanged: @convention(c) (virConnectPtr?, virDomainPtr?, UnsafePointer<CChar>?, UnsafeMutableRawPointer?) -> Void = {
    _, domain, _, opaque in changed(domain, opaque)
}

private let metadataChanged: virConnectDomainEventMetadataChangeCallback = { _, domain, _, _, opaque in changed(domain, opaque) }

private let jobCompleted: virConnectDomainEventJobCompletedCallback = { _, domain, _, _, opaque in
    guard let domain, let listener = Listener.at(opaque), let guest = guestID(of: domain) else { return }
    listener.deliver(.jobCompleted(guest: guest))
}

/// Told once when the connection ends for any reason but our own close.
let connectionClosed: virConnectCloseFunc = { _, reason, opaque in
    let words =
        switch virConnectCloseReason(rawValue: UInt32(bitPattern: reason)) {
        case VIR_CONNECT_CLOSE_REASON_EOF: "the host ended the connection"
        case VIR_CONNECT_CLOSE_REASON_KEEPALIVE: "the host did not answer keepalive"
        case VIR_CONNECT_CLOSE_REASON_CLIENT: "closed by Steward"
        default: "input or output error"
        }
    Listener.at(opaque)?.deliver(.closed(reason: words))
}

private let migrationPassed: virConnectDomainEventMigrationIterationCallback = { _, domain, iteration, opaque in
    guard let domain, let listener = Listener.at(opaque), let guest = guestID(of: domain) else { return }
    listener.deliver(.migrationPass(guest: guest, pass: iteration))
}
