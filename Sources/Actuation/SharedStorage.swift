public import Fleet
import Libvirt

/// Which pools two hosts really share, proven by a marker that is written through one host and seen through the other.
public struct SharedPools: Hashable, Sendable {
    /// A pool of a host with its folder, and the hosts that were seen to share it.
    public struct Pool: Hashable, Sendable {
        /// The pool's name.
        public let name: String
        /// Its folder.
        public let folder: String
        /// The other hosts on which the marker was seen, sorted.
        public let hosts: [HostName]
    }

    /// The pools of the host.
    public let pools: [Pool]

    /// The hosts that see the file at a path, or nil where it lies in no pool of the host.
    public func hosts(seeing path: String) -> [HostName]? {
        pools.filter { path.hasPrefix($0.folder + "/") }.max { $0.folder.utf8.count < $1.folder.utf8.count }?.hosts
    }
}

extension LibvirtActuator {
    /// Proves which of `others` share the pools of `host`.
    ///
    /// A marker of 512 bytes with a name nobody can guess is created, looked for and deleted; a host that cannot be asked shares nothing.
    public func provePools(of host: HostName, among others: [HostName], token: UInt64) throws(HypervisorError) -> SharedPools {
        try connections.leasing { () throws(HypervisorError) in try prove(host, others, token) }
    }

    private func prove(_ host: HostName, _ others: [HostName], _ token: UInt64) throws(HypervisorError) -> SharedPools {
        let connection = try connections.connection(to: host)
        var pools: [SharedPools.Pool] = []
        for (pool, folder) in try connection.poolFolders() {
            let marker = "steward-marker-\(host)-\(String(token, radix: 16)).raw"
            guard let name = xmlEscaped(marker) else { continue }
            do throws(HypervisorError) {
                try connection.createVolume(
                    "<volume><name>\(name)</name><capacity>512</capacity><target><format type='raw'/></target></volume>", inPool: pool)
            } catch {
                // A pool that cannot be written proves nothing.
                pools.append(SharedPools.Pool(name: pool, folder: folder, hosts: []))
                continue
            }
            var seen: [HostName] = []
            for other in others where other != host {
                do throws(HypervisorError) {
                    let there = try connections.connection(to: other)
                    guard try there.poolFolders().contains(where: { $0 == (pool, folder) }) else { continue }
                    if try there.volumeIfAny(marker, inPool: pool) != nil { seen.append(other) }
                } catch { continue }
            }
            try connection.deleteVolume(marker, inPool: pool)
            pools.append(SharedPools.Pool(name: pool, folder: folder, hosts: seen.sorted()))
        }
        return SharedPools(pools: pools)
    }
}
