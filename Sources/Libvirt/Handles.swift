import CLibvirt
import Fleet

/// Owns one reference to a connection; the last one closes it.
struct ConnectionHandle: ~Copyable {
    let pointer: virConnectPtr

    init(owning pointer: virConnectPtr) { self.pointer = pointer }

    deinit { virConnectClose(pointer) }
}

/// Owns one reference to a domain.
struct DomainHandle: ~Copyable {
    let pointer: virDomainPtr

    init(owning pointer: virDomainPtr) { self.pointer = pointer }

    deinit { virDomainFree(pointer) }
}

/// Owns one reference to a storage pool.
struct PoolHandle: ~Copyable {
    let pointer: virStoragePoolPtr

    init(owning pointer: virStoragePoolPtr) { self.pointer = pointer }

    deinit { virStoragePoolFree(pointer) }
}

/// The identity of a domain; libvirt keeps it beside the handle, so that no call leaves the process.
func guestID(of domain: virDomainPtr) -> GuestID? {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(VIR_UUID_BUFLEN)) { bytes -> GuestID? in
        guard let start = bytes.baseAddress, virDomainGetUUID(domain, start) == 0 else { return nil }
        let halves = (0..<2).map { half in bytes[half * 8..<half * 8 + 8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
        return GuestID(high: halves[0], low: halves[1])
    }
}

/// Looks a domain up by its identity: one call to the host.
func lookUp(_ guest: GuestID, on connection: borrowing ConnectionHandle, host: HostName) throws(HypervisorError) -> DomainHandle {
    guard let pointer = virDomainLookupByUUIDString(connection.pointer, guest.description) else {
        throw lastError("virDomainLookupByUUIDString", host: host, guest: guest)
    }
    return DomainHandle(owning: pointer)
}
