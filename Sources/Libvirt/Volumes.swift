import CLibvirt
public import Fleet
import Glibc

/// What a pool says of a volume.
public struct VolumeDescription: Hashable, Sendable {
    /// Its path, or key where it has none.
    public let path: String
    /// What a guest sees of it.
    public let capacity: Bytes
    /// Its format, such as `qcow2`.
    public let format: String?
    /// The file under it.
    public let backing: String?
}

/// Storage volumes: all need a read-write connection, and a pool that is active.
extension LibvirtConnection {
    private func pool(_ name: String) throws(HypervisorError) -> PoolHandle {
        guard let pointer = virStoragePoolLookupByName(handle.pointer, name) else {
            throw lastError("virStoragePoolLookupByName", host: host)
        }
        return PoolHandle(owning: pointer)
    }

    /// A volume, or nil where the pool has none of that name; the pool is refreshed first, since another host may have written to it.
    public func volume(_ name: String, inPool poolName: String) throws(HypervisorError) -> VolumeDescription? {
        let pool = try pool(poolName)
        guard virStoragePoolRefresh(pool.pointer, 0) == 0 else { throw lastError("virStoragePoolRefresh", host: host) }
        guard let pointer = virStorageVolLookupByName(pool.pointer, name) else {
            let error = lastError("virStorageVolLookupByName", host: host)
            if error.kind == .noSuchObject { return nil }
            throw error
        }
        let volume = VolumeHandle(owning: pointer)
        return try describe(volume)
    }

    /// The folder of each active pool that has one, by the pool's name.
    public func poolFolders() throws(HypervisorError) -> [(pool: String, folder: String)] {
        var listed: UnsafeMutablePointer<virStoragePoolPtr?>?
        let count = virConnectListAllStoragePools(handle.pointer, &listed, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE.rawValue)
        guard count >= 0, let listed else { throw lastError("virConnectListAllStoragePools", host: host) }
        defer { free(listed) }
        var folders: [(pool: String, folder: String)] = []
        for index in 0..<Int(count) {
            guard let pointer = listed[index] else { continue }
            let pool = PoolHandle(owning: pointer)
            guard let name = virStoragePoolGetName(pool.pointer), let text = virStoragePoolGetXMLDesc(pool.pointer, 0) else { continue }
            defer { free(text) }
            // What cannot be read has no folder that could be compared.
            guard let element = try? XMLElement(parsing: String(cString: text)), let path = element.child("target")?.child("path")?.text
            else { continue }
            folders.append((String(cString: name), path))
        }
        return folders.sorted { $0.pool < $1.pool }
    }

    /// The volume at a path, or nil where no active pool of the host has it; pools are as old as their last refresh.
    public func volume(atPath path: String) throws(HypervisorError) -> VolumeDescription? {
        guard let pointer = virStorageVolLookupByPath(handle.pointer, path) else {
            let error = lastError("virStorageVolLookupByPath", host: host)
            if error.kind == .noSuchObject { return nil }
            throw error
        }
        let volume = VolumeHandle(owning: pointer)
        return try describe(volume)
    }

    private func describe(_ volume: borrowing VolumeHandle) throws(HypervisorError) -> VolumeDescription {
        guard let text = virStorageVolGetXMLDesc(volume.pointer, 0) else { throw lastError("virStorageVolGetXMLDesc", host: host) }
        defer { free(text) }
        let element: XMLElement
        do { element = try XMLElement(parsing: String(cString: text)) } catch {
            throw HypervisorError(.failed, call: "virStorageVolGetXMLDesc", host: host, words: "\(error)")
        }
        let target = element.child("target")
        return VolumeDescription(
            path: target?.child("path")?.text ?? element.child("key")?.text ?? "",
            capacity: Bytes(element.child("capacity").flatMap { UInt64($0.trimmedText) } ?? 0),
            format: target?.child("format")?["type"], backing: element.child("backingStore")?.child("path")?.text)
    }

    /// Creates a volume from its XML.
    public func createVolume(_ xml: String, inPool poolName: String) throws(HypervisorError) {
        let pool = try pool(poolName)
        guard let pointer = virStorageVolCreateXML(pool.pointer, xml, 0) else { throw lastError("virStorageVolCreateXML", host: host) }
        virStorageVolFree(pointer)
    }

    /// Creates a volume from its XML with the content of another one of the same pool.
    public func copyVolume(_ name: String, inPool poolName: String, to xml: String) throws(HypervisorError) {
        let pool = try pool(poolName)
        guard let pointer = virStorageVolLookupByName(pool.pointer, name) else {
            throw lastError("virStorageVolLookupByName", host: host)
        }
        let volume = VolumeHandle(owning: pointer)
        guard let copy = virStorageVolCreateXMLFrom(pool.pointer, xml, volume.pointer, 0) else {
            throw lastError("virStorageVolCreateXMLFrom", host: host)
        }
        virStorageVolFree(copy)
    }

    /// Deletes a volume; libvirt does not ask whether somebody uses it.
    public func deleteVolume(_ name: String, inPool poolName: String) throws(HypervisorError) {
        let pool = try pool(poolName)
        guard let pointer = virStorageVolLookupByName(pool.pointer, name) else {
            throw lastError("virStorageVolLookupByName", host: host)
        }
        let volume = VolumeHandle(owning: pointer)
        guard virStorageVolDelete(volume.pointer, 0) == 0 else { throw lastError("virStorageVolDelete", host: host) }
    }

    /// Writes bytes to the start of a volume.
    public func upload(_ bytes: [UInt8], to name: String, inPool poolName: String) throws(HypervisorError) {
        let pool = try pool(poolName)
        guard let pointer = virStorageVolLookupByName(pool.pointer, name) else {
            throw lastError("virStorageVolLookupByName", host: host)
        }
        let volume = VolumeHandle(owning: pointer)
        guard let stream = virStreamNew(handle.pointer, 0) else { throw lastError("virStreamNew", host: host) }
        defer { virStreamFree(stream) }
        guard virStorageVolUpload(volume.pointer, stream, 0, UInt64(bytes.count), 0) == 0 else {
            throw lastError("virStorageVolUpload", host: host)
        }
        var sent = 0
        while sent < bytes.count {
            let step = bytes[sent...].withUnsafeBytes { part in
                virStreamSend(stream, part.baseAddress?.assumingMemoryBound(to: CChar.self), min(part.count, 256 << 10))
            }
            guard step > 0 else {
                let error = lastError("virStreamSend", host: host)
                virStreamAbort(stream)
                throw error
            }
            sent += Int(step)
        }
        guard virStreamFinish(stream) == 0 else { throw lastError("virStreamFinish", host: host) }
    }

    /// Reads a volume from its start, at most `limit` bytes.
    public func download(_ name: String, inPool poolName: String, limit: Int) throws(HypervisorError) -> [UInt8] {
        let pool = try pool(poolName)
        guard let pointer = virStorageVolLookupByName(pool.pointer, name) else {
            throw lastError("virStorageVolLookupByName", host: host)
        }
        let volume = VolumeHandle(owning: pointer)
        guard let stream = virStreamNew(handle.pointer, 0) else { throw lastError("virStreamNew", host: host) }
        defer { virStreamFree(stream) }
        guard virStorageVolDownload(volume.pointer, stream, 0, UInt64(limit), 0) == 0 else {
            throw lastError("virStorageVolDownload", host: host)
        }
        var bytes: [UInt8] = []
        var buffer = [CChar](repeating: 0, count: 64 << 10)
        while bytes.count < limit {
            let step = virStreamRecv(stream, &buffer, buffer.count)
            guard step >= 0 else {
                let error = lastError("virStreamRecv", host: host)
                virStreamAbort(stream)
                throw error
            }
            if step == 0 { break }
            bytes += buffer.prefix(Int(step)).map { UInt8(bitPattern: $0) }
        }
        guard virStreamFinish(stream) == 0 else { throw lastError("virStreamFinish", host: host) }
        return bytes
    }
}

/// Owns one reference to a storage volume.
struct VolumeHandle: ~Copyable {
    let pointer: virStorageVolPtr

    init(owning pointer: virStorageVolPtr) { self.pointer = pointer }

    deinit { virStorageVolFree(pointer) }
}
