import Fleet
import Libvirt
import Plans

/// What is done to volumes.
extension LibvirtActuator {
    func actOnVolume(_ action: Action) throws(HypervisorError) -> String? {
        switch action {
        case .createVolume(let volume, let size, _):
            let format = volume.name.hasSuffix(".raw") ? "raw" : "qcow2"
            return try create(volume, "<capacity>\(size.count)</capacity><target><format type='\(format)'/></target>")
        case .createOverlay(let volume, let backing, let size, _): return try createOverlay(volume, backing, size)
        case .createSeed(let volume, let owner): return try createSeed(volume, owner)
        case .quarantineVolume(let volume, _): return try quarantine(volume)
        case .deleteVolume(let volume, _):
            if let user = try user(of: volume) { return "\(volume) is still a disk of \(user)" }
            try connections.connection(to: volume.host).deleteVolume(volume.name, inPool: volume.pool)
            return nil
        default: return "not an action on a volume"
        }
    }

    func lookAtVolume(_ action: Action) throws(HypervisorError) -> Observation {
        switch action.expectation {
        case .volume(let reference, let backing, let size):
            guard let found = try connections.connection(to: reference.host).volume(reference.name, inPool: reference.pool) else {
                return .notInEffect
            }
            if let backing, found.backing != backing {
                return .prevented("\(reference) exists over \(found.backing ?? "nothing"), not over \(backing)")
            }
            if let size, found.capacity < size { return .prevented("\(reference) exists with \(found.capacity), less than \(size)") }
            if case .createSeed(_, let owner) = action { return try lookAtSeed(reference, owner) }
            return .inEffect(evidence: "\(reference) exists")
        case .noVolume(let reference):
            let found = try connections.connection(to: reference.host).volume(reference.name, inPool: reference.pool)
            return found == nil ? .inEffect(evidence: "there is no \(reference)") : .notInEffect
        default: return .unknown("not an expectation about a volume")
        }
    }

    private func create(_ volume: VolumeReference, _ rest: String) throws(HypervisorError) -> String? {
        guard let name = xmlEscaped(volume.name) else { return "'\(volume.name)' cannot be a volume's name" }
        try connections.connection(to: volume.host).createVolume("<volume><name>\(name)</name>\(rest)</volume>", inPool: volume.pool)
        return nil
    }

    private func createOverlay(_ volume: VolumeReference, _ backing: String, _ size: Bytes) throws(HypervisorError) -> String? {
        guard let path = xmlEscaped(backing) else { return "'\(backing)' cannot be a path" }
        let connection = try connections.connection(to: volume.host)
        guard let base = try connection.volume(atPath: backing) else { return "\(volume.host) has no volume at \(backing)" }
        let format = base.format ?? "raw"
        // An overlay smaller than what it covers would cut it off.
        let capacity = max(size, base.capacity)
        return try create(
            volume,
            "<capacity>\(capacity.count)</capacity><target><format type='qcow2'/></target>"
                + "<backingStore><path>\(path)</path><format type='\(format)'/></backingStore>")
    }

    // MARK: Seeds

    private func createSeed(_ volume: VolumeReference, _ owner: GuestID) throws(HypervisorError) -> String? {
        guard let files = services.seed(owner) else { return "no seed of \(owner) is kept" }
        let image: [UInt8]
        do { image = try SeedImage.bytes(of: files) } catch { return "\(error)" }
        let connection = try connections.connection(to: volume.host)
        if try connection.volume(volume.name, inPool: volume.pool) == nil {
            _ = try create(volume, "<capacity>\(image.count)</capacity><target><format type='raw'/></target>")
        }
        try connection.upload(image, to: volume.name, inPool: volume.pool)
        return nil
    }

    /// A seed whose upload was cut off exists but does not hold what it should: it is compared byte by byte.
    private func lookAtSeed(_ volume: VolumeReference, _ owner: GuestID) throws(HypervisorError) -> Observation {
        guard let files = services.seed(owner), let image = try? SeedImage.bytes(of: files) else {
            return .prevented("no seed of \(owner) is kept")
        }
        let connection = try connections.connection(to: volume.host)
        let found = try connection.download(volume.name, inPool: volume.pool, limit: image.count)
        return found == image ? .inEffect(evidence: "\(volume) holds the seed") : .notInEffect
    }

    // MARK: Setting aside

    /// The guest that has the volume as a disk, on any host that answers.
    private func user(of volume: VolumeReference) throws(HypervisorError) -> String? {
        guard let found = try connections.connection(to: volume.host).volume(volume.name, inPool: volume.pool) else { return nil }
        for host in connections.hosts where services.answers(host.name) {
            let connection = try connections.connection(to: host.name)
            for (guest, name) in try connection.guests() {
                // A guest that went away between the two calls uses nothing.
                guard let xml = try? connection.guestXML(guest), let needs = try? GuestNeeds(xml) else { continue }
                if needs.paths.contains(found.path) || needs.volumes.contains(.init(pool: volume.pool, volume: volume.name)) {
                    return "guest \(name) on \(host.name)"
                }
            }
        }
        return nil
    }

    /// libvirt cannot rename a volume: its content is copied under the quarantine's name, and only then is it deleted.
    private func quarantine(_ volume: VolumeReference) throws(HypervisorError) -> String? {
        if let user = try user(of: volume) { return "\(volume) is still a disk of \(user)" }
        let connection = try connections.connection(to: volume.host)
        guard let found = try connection.volume(volume.name, inPool: volume.pool) else { return nil }
        let name = quarantineName(of: volume.name)
        guard let text = xmlEscaped(name) else { return "'\(volume.name)' cannot be a volume's name" }
        // A copy that was cut off is made again.
        if try connection.volume(name, inPool: volume.pool) != nil { try connection.deleteVolume(name, inPool: volume.pool) }
        var backing = ""
        if let path = found.backing.flatMap(xmlEscaped) {
            let format = try connection.volume(atPath: found.backing ?? "")?.format ?? "raw"
            backing = "<backingStore><path>\(path)</path><format type='\(format)'/></backingStore>"
        }
        try connection.copyVolume(
            volume.name, inPool: volume.pool,
            to: "<volume><name>\(text)</name><capacity>\(found.capacity.count)</capacity>"
                + "<target><format type='\(found.format ?? "raw")'/></target>\(backing)</volume>")
        try connection.deleteVolume(volume.name, inPool: volume.pool)
        return nil
    }
}

/// The name under which a volume is kept that was set aside.
public func quarantineName(of volume: String) -> String { "quarantined-by-steward-\(volume)" }
