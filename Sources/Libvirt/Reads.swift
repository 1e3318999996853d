import CLibvirt
public import Fleet
import Glibc

extension LibvirtConnection {
    /// Reads the statistics of many guests in one call.
    public func readDomains(_ groups: StatGroups, _ scope: GuestScope) throws(HypervisorError) -> [DomainReading] {
        let readings: [DomainReading]
        switch scope {
        case .active: readings = try readAll(groups, VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE.rawValue | steward_nowait_flag())
        case .inactive: return try readAll(groups, VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE.rawValue)
        case .activeExcept(let excluded): readings = try readListed(groups, except: excluded)
        }
        rememberShapes(readings)
        return readings
    }

    private func readAll(_ groups: StatGroups, _ flags: UInt32) throws(HypervisorError) -> [DomainReading] {
        var records: UnsafeMutablePointer<virDomainStatsRecordPtr?>?
        let count = virConnectGetAllDomainStats(handle.pointer, groups.rawValue, &records, flags)
        guard count >= 0 else { throw lastError("virConnectGetAllDomainStats", host: host) }
        defer { virDomainStatsRecordListFree(records) }
        return copyRecords(records, count: Int(count))
    }

    /// Lists the active guests, then asks all but some of them: the call on which a stuck guest would block never meets it.
    private func readListed(_ groups: StatGroups, except excluded: [GuestID]) throws(HypervisorError) -> [DomainReading] {
        var listed: UnsafeMutablePointer<virDomainPtr?>?
        let count = virConnectListAllDomains(handle.pointer, &listed, VIR_CONNECT_LIST_DOMAINS_ACTIVE.rawValue)
        guard count >= 0, let listed else { throw lastError("virConnectListAllDomains", host: host) }
        defer {
            for index in 0..<Int(count) { virDomainFree(listed[index]) }
            free(listed)
        }
        var readings: [DomainReading] = []
        var asked: [virDomainPtr?] = []
        for index in 0..<Int(count) {
            guard let domain = listed[index], let guest = guestID(of: domain) else { continue }
            if excluded.contains(guest) {
                readings.append(DomainReading(guest: guest, name: name(of: domain), domainID: activeID(of: domain), parameters: []))
            } else {
                asked.append(domain)
            }
        }
        guard !asked.isEmpty else { return readings }
        asked.append(nil)
        var records: UnsafeMutablePointer<virDomainStatsRecordPtr?>?
        let read = virDomainListGetStats(&asked, groups.rawValue, &records, steward_nowait_flag())
        guard read >= 0 else { throw lastError("virDomainListGetStats", host: host) }
        defer { virDomainStatsRecordListFree(records) }
        return readings + copyRecords(records, count: Int(read))
    }

    private func copyRecords(_ records: UnsafeMutablePointer<virDomainStatsRecordPtr?>?, count: Int) -> [DomainReading] {
        guard let records else { return [] }
        var readings: [DomainReading] = []
        readings.reserveCapacity(count)
        for index in 0..<count {
            guard let record = records[index], let domain = record.pointee.dom, let guest = guestID(of: domain) else { continue }
            readings.append(
                DomainReading(
                    guest: guest, name: name(of: domain), domainID: activeID(of: domain),
                    parameters: copyParameters(record.pointee.params, count: Int(record.pointee.nparams), reusing: shape(of: guest))))
        }
        return readings
    }

    private func name(of domain: virDomainPtr) -> String {
        virDomainGetName(domain).map { String(cString: $0) } ?? ""
    }

    private func activeID(of domain: virDomainPtr) -> Int32? {
        let id = virDomainGetID(domain)
        return id == UInt32.max ? nil : Int32(truncatingIfNeeded: id)
    }

    /// The groups that this host's libvirt knows, each tried with ENFORCE_STATS on the inactive guests, which costs no monitor call.
    public func supportedGroups(among groups: StatGroups) throws(HypervisorError) -> StatGroups {
        var supported: StatGroups = []
        for bit in 0..<UInt32.bitWidth where groups.rawValue & 1 << UInt32(bit) != 0 {
            let group = StatGroups(rawValue: 1 << UInt32(bit))
            do throws(HypervisorError) {
                let flags = VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE.rawValue | steward_enforce_stats_flag()
                _ = try readAll(group, flags)
                supported.formUnion(group)
            } catch {
                guard error.kind == .unsupported || error.kind == .invalid else { throw error }
            }
        }
        return supported
    }

    /// Reads the node's CPU and memory figures; what the driver does not support stays empty.
    public func readNode() throws(HypervisorError) -> NodeReading {
        NodeReading(cpu: try readNodeCPU(), memory: try readNodeMemory())
    }

    private func readNodeCPU() throws(HypervisorError) -> [StatParameter] {
        var count: Int32 = 0
        guard virNodeGetCPUStats(handle.pointer, Int32(VIR_NODE_CPU_STATS_ALL_CPUS.rawValue), nil, &count, 0) == 0 else {
            return try emptyIfUnsupported("virNodeGetCPUStats")
        }
        var stats = [virNodeCPUStats](repeating: virNodeCPUStats(), count: Int(count))
        guard virNodeGetCPUStats(handle.pointer, Int32(VIR_NODE_CPU_STATS_ALL_CPUS.rawValue), &stats, &count, 0) == 0 else {
            return try emptyIfUnsupported("virNodeGetCPUStats")
        }
        return (0..<min(stats.count, Int(count))).map { index in
            StatParameter(String(cString: steward_node_cpu_field(&stats, Int32(index))), .unsigned(stats[index].value))
        }
    }

    private func readNodeMemory() throws(HypervisorError) -> [StatParameter] {
        var count: Int32 = 0
        guard virNodeGetMemoryStats(handle.pointer, Int32(VIR_NODE_MEMORY_STATS_ALL_CELLS.rawValue), nil, &count, 0) == 0 else {
            return try emptyIfUnsupported("virNodeGetMemoryStats")
        }
        var stats = [virNodeMemoryStats](repeating: virNodeMemoryStats(), count: Int(count))
        guard virNodeGetMemoryStats(handle.pointer, Int32(VIR_NODE_MEMORY_STATS_ALL_CELLS.rawValue), &stats, &count, 0) == 0 else {
            return try emptyIfUnsupported("virNodeGetMemoryStats")
        }
        return (0..<min(stats.count, Int(count))).map { index in
            StatParameter(String(cString: steward_node_memory_field(&stats, Int32(index))), .unsigned(stats[index].value))
        }
    }

    private func emptyIfUnsupported(_ call: String) throws(HypervisorError) -> [StatParameter] {
        let error = lastError(call, host: host)
        guard error.kind == .unsupported else { throw error }
        return []
    }

    /// A guest's live XML as libvirt prints it, without secrets.
    public func guestXML(_ guest: GuestID) throws(HypervisorError) -> String {
        let domain = try lookUp(guest, on: handle, host: host)
        guard let text = virDomainGetXMLDesc(domain.pointer, 0) else {
            throw lastError("virDomainGetXMLDesc", host: host, guest: guest)
        }
        defer { free(text) }
        return String(cString: text)
    }

    /// Reads and parses a guest's live XML.
    public func describeGuest(_ guest: GuestID) throws(HypervisorError) -> GuestDescription {
        let domain = try lookUp(guest, on: handle, host: host)
        guard let text = virDomainGetXMLDesc(domain.pointer, 0) else {
            throw lastError("virDomainGetXMLDesc", host: host, guest: guest)
        }
        defer { free(text) }
        let isPersistent = virDomainIsPersistent(domain.pointer) == 1
        do {
            return try GuestDescription(domainXML: String(cString: text), isPersistent: isPersistent)
        } catch {
            throw HypervisorError(.failed, call: "virDomainGetXMLDesc", host: host, guest: guest, words: "\(error)")
        }
    }

    /// The job that runs on a guest, or nil where there is none; completed statistics stay for others to read.
    public func readJob(of guest: GuestID) throws(HypervisorError) -> JobReading? {
        let domain = try lookUp(guest, on: handle, host: host)
        var type: Int32 = 0
        var parameters: virTypedParameterPtr?
        var count: Int32 = 0
        guard virDomainGetJobStats(domain.pointer, &type, &parameters, &count, 0) == 0 else {
            throw lastError("virDomainGetJobStats", host: host, guest: guest)
        }
        defer { virTypedParamsFree(parameters, count) }
        guard type != Int32(VIR_DOMAIN_JOB_NONE.rawValue) else { return nil }
        return JobReading(guest: guest, type: type, parameters: copyParameters(parameters, count: Int(count), reusing: []))
    }

    /// The statistics of the last completed job, read so that other tools still can (KEEP_COMPLETED, libvirt 6.0).
    public func readCompletedJob(of guest: GuestID) throws(HypervisorError) -> JobReading? {
        let domain = try lookUp(guest, on: handle, host: host)
        var type: Int32 = 0
        var parameters: virTypedParameterPtr?
        var count: Int32 = 0
        let flags = VIR_DOMAIN_JOB_STATS_COMPLETED.rawValue | VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED.rawValue
        guard virDomainGetJobStats(domain.pointer, &type, &parameters, &count, flags) == 0 else {
            throw lastError("virDomainGetJobStats", host: host, guest: guest)
        }
        defer { virTypedParamsFree(parameters, count) }
        guard type != Int32(VIR_DOMAIN_JOB_NONE.rawValue) else { return nil }
        return JobReading(guest: guest, type: type, parameters: copyParameters(parameters, count: Int(count), reusing: []))
    }

    /// The figures of the active storage pools, as old as the host's last refresh: a read-only connection cannot refresh them.
    public func readPools() throws(HypervisorError) -> [PoolReading] {
        var listed: UnsafeMutablePointer<virStoragePoolPtr?>?
        let count = virConnectListAllStoragePools(handle.pointer, &listed, 0)
        guard count >= 0, let listed else {
            let error = lastError("virConnectListAllStoragePools", host: host)
            if error.kind == .unsupported { return [] }
            throw error
        }
        defer { free(listed) }
        var readings: [PoolReading] = []
        for index in 0..<Int(count) {
            guard let pointer = listed[index] else { continue }
            let pool = PoolHandle(owning: pointer)
            var info = virStoragePoolInfo()
            // A pool that went away between the two calls is simply not there.
            guard virStoragePoolGetInfo(pool.pointer, &info) == 0, let name = virStoragePoolGetName(pool.pointer) else { continue }
            readings.append(
                PoolReading(
                    name: String(cString: name), state: PoolReading.State(rawValue: info.state), capacity: Bytes(info.capacity),
                    allocation: Bytes(info.allocation), available: Bytes(info.available)))
        }
        return readings.sorted { $0.name < $1.name }
    }

    /// What changes seldom about the host.
    public func describeHost() throws(HypervisorError) -> HostDescription {
        var info = virNodeInfo()
        guard virNodeGetInfo(handle.pointer, &info) == 0 else { throw lastError("virNodeGetInfo", host: host) }
        let hostname = virConnectGetHostname(handle.pointer).map { text in
            defer { free(text) }
            return String(cString: text)
        }
        var version: CUnsignedLong = 0
        let hypervisorVersion = virConnectGetVersion(handle.pointer, &version) == 0 && version > 0 ? UInt64(version) : nil
        let libvirtVersion = virConnectGetLibVersion(handle.pointer, &version) == 0 ? UInt64(version) : nil
        return HostDescription(
            hostname: hostname ?? host.text, hypervisor: virConnectGetType(handle.pointer).map { String(cString: $0) } ?? "unknown",
            hypervisorVersion: hypervisorVersion, libvirtVersion: libvirtVersion, libraryVersion: libraryVersion,
            cpuModel: String(cString: steward_node_model(&info)), cpus: Int(info.cpus), megahertz: Int(info.mhz),
            topology: HostDescription.Topology(
                cells: Int(info.nodes), sockets: Int(info.sockets), cores: Int(info.cores), threads: Int(info.threads)),
            memory: .kibibytes(UInt64(info.memory)))
    }
}
