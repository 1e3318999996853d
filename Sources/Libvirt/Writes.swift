import CLibvirt
public import Fleet
import Glibc

/// What changes something on a host: needs a read-write connection, or libvirt answers that it is forbidden.
extension LibvirtConnection {
    /// A guest's identity by its name or its UUID as text, and its name.
    public func findGuest(_ nameOrUUID: String) throws(HypervisorError) -> (guest: GuestID, name: String)? {
        let pointer =
            GuestID(nameOrUUID).flatMap { virDomainLookupByUUIDString(handle.pointer, $0.description) }
            ?? virDomainLookupByName(handle.pointer, nameOrUUID)
        guard let pointer else {
            let error = lastError("virDomainLookupByName", host: host)
            if error.kind == .noSuchGuest { return nil }
            throw error
        }
        let domain = DomainHandle(owning: pointer)
        guard let guest = guestID(of: domain.pointer) else { throw lastError("virDomainGetUUID", host: host) }
        return (guest, virDomainGetName(domain.pointer).map { String(cString: $0) } ?? nameOrUUID)
    }

    /// The names of all guests, active or not, sorted.
    public func guestNames() throws(HypervisorError) -> [String] {
        var listed: UnsafeMutablePointer<virDomainPtr?>?
        let count = virConnectListAllDomains(handle.pointer, &listed, 0)
        guard count >= 0, let listed else { throw lastError("virConnectListAllDomains", host: host) }
        defer { free(listed) }
        var names: [String] = []
        for index in 0..<Int(count) {
            guard let pointer = listed[index] else { continue }
            let domain = DomainHandle(owning: pointer)
            if let name = virDomainGetName(domain.pointer) { names.append(String(cString: name)) }
        }
        return names.sorted()
    }

    /// Replaces Steward's own metadata of a guest, in the definition and, where it runs, in the running guest too.
    ///
    /// - Parameter element: the element as `GuestMetadata.bareXML` writes it, or nil to remove it.
    public func setMetadata(of guest: GuestID, to element: String?) throws(HypervisorError) {
        let domain = try lookUp(guest, on: handle, host: host)
        var flags: UInt32 = 0
        if virDomainIsActive(domain.pointer) == 1 { flags |= VIR_DOMAIN_AFFECT_LIVE.rawValue }
        if virDomainIsPersistent(domain.pointer) == 1 { flags |= VIR_DOMAIN_AFFECT_CONFIG.rawValue }
        let status = virDomainSetMetadata(
            domain.pointer, Int32(VIR_DOMAIN_METADATA_ELEMENT.rawValue), element, GuestMetadata.prefix, GuestMetadata.namespace, flags)
        guard status == 0 else { throw lastError("virDomainSetMetadata", host: host, guest: guest) }
    }
}
