import CLibvirt
public import Fleet

/// How a live migration is made.
public struct MigrationOptions: Hashable, Sendable {
    /// The target's libvirt as the source host reaches it.
    public var target: String
    /// Where the memory goes, as the source host reaches it (`tcp://address`); nil lets the target's libvirt say.
    public var memoryAddress: String?
    /// Whether libvirt is told that the disks are safe, though it cannot see that: a lab's setting, never a policy's.
    public var isUnsafe = false
    /// Whether the memory travels over TLS.
    public var usesTLS = false
    /// Whether a guest that dirties its memory too fast is slowed down.
    public var autoConverges = true
    /// The most bytes a second; nil for no limit.
    public var bandwidth: Bytes?

    /// Options for a migration to a host.
    public init(target: String) { self.target = target }
}

extension LibvirtConnection {
    /// Migrates a running guest, from host to host by themselves (peer to peer), and returns when it has ended.
    ///
    /// The definition goes with it and is removed here. An error does not mean that the guest is not on the target: look.
    public func migrate(_ guest: GuestID, _ options: MigrationOptions) throws(HypervisorError) {
        let domain = try lookUp(guest, on: handle, host: host)
        var flags = VIR_MIGRATE_LIVE.rawValue | VIR_MIGRATE_PEER2PEER.rawValue | VIR_MIGRATE_PERSIST_DEST.rawValue
        flags |= VIR_MIGRATE_UNDEFINE_SOURCE.rawValue | VIR_MIGRATE_ABORT_ON_ERROR.rawValue
        if options.isUnsafe { flags |= VIR_MIGRATE_UNSAFE.rawValue }
        if options.usesTLS { flags |= VIR_MIGRATE_TLS.rawValue }
        if options.autoConverges { flags |= VIR_MIGRATE_AUTO_CONVERGE.rawValue }
        var parameters: virTypedParameterPtr?
        var count: Int32 = 0
        var room: Int32 = 0
        defer { virTypedParamsFree(parameters, count) }
        if let address = options.memoryAddress { virTypedParamsAddString(&parameters, &count, &room, VIR_MIGRATE_PARAM_URI, address) }
        if let bandwidth = options.bandwidth {
            // libvirt counts MiB a second; 0 would mean no limit.
            virTypedParamsAddULLong(&parameters, &count, &room, VIR_MIGRATE_PARAM_BANDWIDTH, max(1, bandwidth.count >> 20))
        }
        let status = virDomainMigrateToURI3(domain.pointer, options.target, parameters, UInt32(count), flags)
        guard status == 0 else { throw lastError("virDomainMigrateToURI3", host: host, guest: guest) }
    }

    /// Ends the guest's job; a migration before its switch leaves the guest running here.
    public func abortJob(of guest: GuestID) throws(HypervisorError) {
        let domain = try lookUp(guest, on: handle, host: host)
        guard virDomainAbortJob(domain.pointer) == 0 else { throw lastError("virDomainAbortJob", host: host, guest: guest) }
    }

    /// Allows a migration that is under way a longer stop of the guest.
    public func setMigrationDowntime(of guest: GuestID, _ downtime: Duration) throws(HypervisorError) {
        let domain = try lookUp(guest, on: handle, host: host)
        guard virDomainMigrateSetMaxDowntime(domain.pointer, UInt64(max(1, downtime.milliseconds)), 0) == 0 else {
            throw lastError("virDomainMigrateSetMaxDowntime", host: host, guest: guest)
        }
    }

    /// Whether the host's hypervisor can give a guest the CPU that its definition asks for; nil where libvirt cannot compare.
    ///
    /// - Parameter type: the domain's type, such as `kvm`: an emulated CPU needs nothing of the host's.
    public func canRunCPU(_ cpuXML: String, type: String?) throws(HypervisorError) -> Bool? {
        let answer = virConnectCompareHypervisorCPU(handle.pointer, nil, nil, nil, type, cpuXML, 0)
        if answer < 0 {
            let error = lastError("virConnectCompareHypervisorCPU", host: host)
            if [.unsupported, .invalid, .failed].contains(error.kind) { return nil }
            throw error
        }
        return answer != Int32(VIR_CPU_COMPARE_INCOMPATIBLE.rawValue)
    }

    /// Whether the host has an active network of that name.
    public func hasNetwork(_ name: String) throws(HypervisorError) -> Bool {
        guard let network = virNetworkLookupByName(handle.pointer, name) else {
            let error = lastError("virNetworkLookupByName", host: host)
            if error.kind == .noSuchObject { return false }
            throw error
        }
        defer { virNetworkFree(network) }
        return virNetworkIsActive(network) == 1
    }

    /// Whether the host has a network interface of that name, such as a bridge; nil where its libvirt cannot say.
    public func hasInterface(_ name: String) throws(HypervisorError) -> Bool? {
        guard let interface = virInterfaceLookupByName(handle.pointer, name) else {
            let error = lastError("virInterfaceLookupByName", host: host)
            if error.code == Int32(VIR_ERR_NO_INTERFACE.rawValue) { return false }
            if error.kind == .unsupported || error.kind == .failed { return nil }
            throw error
        }
        virInterfaceFree(interface)
        return true
    }

    /// The names of network filters.
    public func hasFilter(_ name: String) throws(HypervisorError) -> Bool {
        guard let filter = virNWFilterLookupByName(handle.pointer, name) else {
            let error = lastError("virNWFilterLookupByName", host: host)
            if error.kind == .noSuchObject { return false }
            throw error
        }
        virNWFilterFree(filter)
        return true
    }

    /// Defines a network filter.
    public func defineFilter(_ xml: String) throws(HypervisorError) {
        guard let filter = virNWFilterDefineXML(handle.pointer, xml) else { throw lastError("virNWFilterDefineXML", host: host) }
        virNWFilterFree(filter)
    }

    /// Removes a network filter; libvirt refuses while a running guest uses it.
    public func undefineFilter(_ name: String) throws(HypervisorError) {
        guard let filter = virNWFilterLookupByName(handle.pointer, name) else { throw lastError("virNWFilterLookupByName", host: host) }
        defer { virNWFilterFree(filter) }
        guard virNWFilterUndefine(filter) == 0 else { throw lastError("virNWFilterUndefine", host: host) }
    }
}
