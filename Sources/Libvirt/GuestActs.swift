import CLibvirt
public import Fleet
import Glibc

/// What a host has of a guest.
public struct GuestPresence: Hashable, Sendable {
    /// The state.
    public let state: DomainState
    /// libvirt's reason for the state; its meaning depends on the state.
    public let reason: Int32
    /// Whether a process exists for it.
    public let isActive: Bool
    /// Whether a definition survives its end.
    public let isPersistent: Bool
    /// Whether libvirt starts it at the host's boot.
    public let isAutostarted: Bool
    /// The domain's number on the host while active.
    public let domainID: Int32?

    /// Whether its CPUs run, or would if it had something to do.
    public var isRunning: Bool { state == .running || state == .blocked || state == .suspended }

    /// Whether it is paused because a migration has not ended: its target side before the switch, its source side after it.
    public var isPausedByMigration: Bool {
        // VIR_DOMAIN_PAUSED_MIGRATION 2, STARTING_UP 11, POSTCOPY 12, POSTCOPY_FAILED 13.
        state == .paused && [2, 11, 12, 13].contains(reason)
    }

    /// A presence.
    public init(state: DomainState, reason: Int32, isActive: Bool, isPersistent: Bool, isAutostarted: Bool, domainID: Int32?) {
        self.state = state
        self.reason = reason
        self.isActive = isActive
        self.isPersistent = isPersistent
        self.isAutostarted = isAutostarted
        self.domainID = domainID
    }
}

/// What of a guest outlives its definition.
public enum UndefineScope: Sendable {
    /// Only the definition goes; NVRAM and TPM state stay where they are.
    case definition
    /// NVRAM, TPM state, saved images and the metadata of snapshots and checkpoints go too.
    case everything
}

/// What changes guests on a host: all need a read-write connection.
extension LibvirtConnection {
    /// Asks the host's libvirt for its version: the cheapest question that goes all the way there and back.
    public func ping() throws(HypervisorError) {
        var version: CUnsignedLong = 0
        guard virConnectGetLibVersion(handle.pointer, &version) == 0 else { throw lastError("virConnectGetLibVersion", host: host) }
    }

    /// What the host has of a guest, or nil where it has neither a process nor a definition.
    public func presence(of guest: GuestID) throws(HypervisorError) -> GuestPresence? {
        guard let pointer = virDomainLookupByUUIDString(handle.pointer, guest.description) else {
            let error = lastError("virDomainLookupByUUIDString", host: host, guest: guest)
            if error.kind == .noSuchGuest { return nil }
            throw error
        }
        let domain = DomainHandle(owning: pointer)
        var state: Int32 = 0
        var reason: Int32 = 0
        guard virDomainGetState(domain.pointer, &state, &reason, 0) == 0 else {
            let error = lastError("virDomainGetState", host: host, guest: guest)
            if error.kind == .noSuchGuest { return nil }
            throw error
        }
        var autostart: Int32 = 0
        let persistent = virDomainIsPersistent(domain.pointer)
        // A transient guest has no autostart flag; libvirt answers with an error.
        if persistent != 1 || virDomainGetAutostart(domain.pointer, &autostart) != 0 { autostart = 0 }
        let id = virDomainGetID(domain.pointer)
        let active = virDomainIsActive(domain.pointer)
        guard persistent >= 0, active >= 0 else {
            let error = lastError("virDomainIsActive", host: host, guest: guest)
            if error.kind == .noSuchGuest { return nil }
            throw error
        }
        return GuestPresence(
            state: DomainState(rawValue: state) ?? .noState, reason: reason, isActive: active == 1, isPersistent: persistent == 1,
            isAutostarted: autostart == 1, domainID: id == UInt32.max ? nil : Int32(truncatingIfNeeded: id))
    }

    /// The identities and names of all guests, active or not, sorted by name.
    public func guests() throws(HypervisorError) -> [(guest: GuestID, name: String)] {
        var listed: UnsafeMutablePointer<virDomainPtr?>?
        let count = virConnectListAllDomains(handle.pointer, &listed, 0)
        guard count >= 0, let listed else { throw lastError("virConnectListAllDomains", host: host) }
        defer { free(listed) }
        var guests: [(guest: GuestID, name: String)] = []
        for index in 0..<Int(count) {
            guard let pointer = listed[index] else { continue }
            let domain = DomainHandle(owning: pointer)
            guard let id = guestID(of: domain.pointer), let name = virDomainGetName(domain.pointer) else { continue }
            guests.append((id, String(cString: name)))
        }
        return guests.sorted { ($0.name, $0.guest) < ($1.name, $1.guest) }
    }

    /// A definition complete enough to start the guest elsewhere: with its secrets, as an older or other libvirt can read it.
    ///
    /// - Parameter isLive: the running guest's, else the one for its next start.
    public func completeXML(of guest: GuestID, isLive: Bool) throws(HypervisorError) -> String {
        let domain = try lookUp(guest, on: handle, host: host)
        var flags = VIR_DOMAIN_XML_SECURE.rawValue
        flags |= isLive ? VIR_DOMAIN_XML_MIGRATABLE.rawValue : VIR_DOMAIN_XML_INACTIVE.rawValue
        guard let text = virDomainGetXMLDesc(domain.pointer, flags) else {
            throw lastError("virDomainGetXMLDesc", host: host, guest: guest)
        }
        defer { free(text) }
        return String(cString: text)
    }

    /// Defines a guest, or replaces its definition; returns its identity.
    @discardableResult
    public func define(_ xml: String) throws(HypervisorError) -> GuestID {
        guard let pointer = virDomainDefineXMLFlags(handle.pointer, xml, 0) else { throw lastError("virDomainDefineXMLFlags", host: host) }
        let domain = DomainHandle(owning: pointer)
        guard let guest = guestID(of: domain.pointer) else { throw lastError("virDomainGetUUID", host: host) }
        return guest
    }

    /// Starts a defined guest.
    public func start(_ guest: GuestID) throws(HypervisorError) {
        let domain = try lookUp(guest, on: handle, host: host)
        guard virDomainCreate(domain.pointer) == 0 else { throw lastError("virDomainCreate", host: host, guest: guest) }
    }

    /// Presses the guest's power button.
    public func shutdown(_ guest: GuestID) throws(HypervisorError) {
        let domain = try lookUp(guest, on: handle, host: host)
        guard virDomainShutdownFlags(domain.pointer, 0) == 0 else { throw lastError("virDomainShutdownFlags", host: host, guest: guest) }
    }

    /// Ends the guest's process at once: SIGTERM, then SIGKILL.
    public func destroy(_ guest: GuestID) throws(HypervisorError) {
        let domain = try lookUp(guest, on: handle, host: host)
        guard virDomainDestroyFlags(domain.pointer, 0) == 0 else { throw lastError("virDomainDestroyFlags", host: host, guest: guest) }
    }

    /// Removes a guest's definition.
    public func undefine(_ guest: GuestID, _ scope: UndefineScope) throws(HypervisorError) {
        let domain = try lookUp(guest, on: handle, host: host)
        var flags = VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA.rawValue | VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA.rawValue
        switch scope {
        case .definition: flags |= VIR_DOMAIN_UNDEFINE_KEEP_NVRAM.rawValue | VIR_DOMAIN_UNDEFINE_KEEP_TPM.rawValue
        case .everything:
            flags |= VIR_DOMAIN_UNDEFINE_MANAGED_SAVE.rawValue | VIR_DOMAIN_UNDEFINE_NVRAM.rawValue | VIR_DOMAIN_UNDEFINE_TPM.rawValue
        }
        guard virDomainUndefineFlags(domain.pointer, flags) == 0 else {
            throw lastError("virDomainUndefineFlags", host: host, guest: guest)
        }
    }

    /// Sets whether libvirt starts the guest at the host's boot.
    public func setAutostart(_ guest: GuestID, _ isOn: Bool) throws(HypervisorError) {
        let domain = try lookUp(guest, on: handle, host: host)
        guard virDomainSetAutostart(domain.pointer, isOn ? 1 : 0) == 0 else {
            throw lastError("virDomainSetAutostart", host: host, guest: guest)
        }
    }

    /// Gives a guest another size: its definition, and where it runs also the running guest as far as that can.
    public func resize(_ guest: GuestID, vcpus: Int, memory: Bytes) throws(HypervisorError) {
        let domain = try lookUp(guest, on: handle, host: host)
        let isActive = virDomainIsActive(domain.pointer) == 1
        let kibibytes = CUnsignedLong(memory.count / 1024)
        let config = VIR_DOMAIN_AFFECT_CONFIG.rawValue
        let live = VIR_DOMAIN_AFFECT_LIVE.rawValue
        if virDomainIsPersistent(domain.pointer) == 1 {
            let most = virDomainGetVcpusFlags(domain.pointer, config | VIR_DOMAIN_VCPU_MAXIMUM.rawValue)
            if most < Int32(vcpus) {
                let flags = config | VIR_DOMAIN_VCPU_MAXIMUM.rawValue
                guard virDomainSetVcpusFlags(domain.pointer, UInt32(vcpus), flags) == 0 else {
                    throw lastError("virDomainSetVcpusFlags", host: host, guest: guest)
                }
            }
            guard virDomainSetVcpusFlags(domain.pointer, UInt32(vcpus), config) == 0 else {
                throw lastError("virDomainSetVcpusFlags", host: host, guest: guest)
            }
            // The maximum first when growing: the current size may never lie above it.
            _ = virDomainSetMemoryFlags(domain.pointer, kibibytes, config | VIR_DOMAIN_MEM_MAXIMUM.rawValue)
            guard virDomainSetMemoryFlags(domain.pointer, kibibytes, config) == 0 else {
                throw lastError("virDomainSetMemoryFlags", host: host, guest: guest)
            }
        }
        guard isActive else { return }
        guard virDomainSetVcpusFlags(domain.pointer, UInt32(vcpus), live) == 0 else {
            throw lastError("virDomainSetVcpusFlags", host: host, guest: guest)
        }
        guard virDomainSetMemoryFlags(domain.pointer, kibibytes, live) == 0 else {
            throw lastError("virDomainSetMemoryFlags", host: host, guest: guest)
        }
    }

    /// A guest's vCPUs and memory: the running guest's where it runs, else its definition's.
    public func size(of guest: GuestID) throws(HypervisorError) -> (vcpus: Int, memory: Bytes) {
        let domain = try lookUp(guest, on: handle, host: host)
        let vcpus = virDomainGetVcpusFlags(domain.pointer, 0)
        guard vcpus >= 0 else { throw lastError("virDomainGetVcpusFlags", host: host, guest: guest) }
        var info = virDomainInfo()
        guard virDomainGetInfo(domain.pointer, &info) == 0 else { throw lastError("virDomainGetInfo", host: host, guest: guest) }
        return (Int(vcpus), Bytes(UInt64(info.memory) * 1024))
    }

    /// What keeps a guest from being defined elsewhere and undefined here without loss: snapshots, checkpoints, a saved image.
    public func tiesToHost(of guest: GuestID) throws(HypervisorError) -> [String] {
        let domain = try lookUp(guest, on: handle, host: host)
        var ties: [String] = []
        let snapshots = virDomainSnapshotNum(domain.pointer, 0)
        if snapshots > 0 { ties.append("it has \(snapshots) snapshot\(snapshots == 1 ? "" : "s"), whose metadata would be lost") }
        if virDomainHasManagedSaveImage(domain.pointer, 0) == 1 { ties.append("it has a saved image on this host") }
        return ties
    }

    /// The text of an element of a guest's metadata, or nil where there is none.
    public func metadataElement(of guest: GuestID, namespace: String) throws(HypervisorError) -> String? {
        let domain = try lookUp(guest, on: handle, host: host)
        guard
            let text = virDomainGetMetadata(
                domain.pointer, Int32(VIR_DOMAIN_METADATA_ELEMENT.rawValue), namespace, VIR_DOMAIN_AFFECT_CONFIG.rawValue)
        else {
            let error = lastError("virDomainGetMetadata", host: host, guest: guest)
            if error.kind == .noSuchObject { return nil }
            throw error
        }
        defer { free(text) }
        return String(cString: text)
    }

    /// Sets an element of a guest's metadata in its definition.
    public func setMetadataElement(of guest: GuestID, namespace: String, prefix: String, to element: String) throws(HypervisorError) {
        let domain = try lookUp(guest, on: handle, host: host)
        let status = virDomainSetMetadata(
            domain.pointer, Int32(VIR_DOMAIN_METADATA_ELEMENT.rawValue), element, prefix, namespace, VIR_DOMAIN_AFFECT_CONFIG.rawValue)
        guard status == 0 else { throw lastError("virDomainSetMetadata", host: host, guest: guest) }
    }
}
