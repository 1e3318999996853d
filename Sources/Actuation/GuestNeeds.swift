public import Fleet

/// What a guest's definition asks of the host that runs it.
public struct GuestNeeds: Hashable, Sendable {
    /// A volume by pool and name.
    public struct Volume: Hashable, Sendable {
        /// The pool.
        public let pool: String
        /// The volume.
        public let volume: String
    }

    /// The CPU model, where a named one is asked for.
    public let cpuModel: String?
    /// A CPU description that libvirt can compare with a host's, where a named model is asked for.
    public let cpuXML: String?
    /// The domain's type, such as `kvm`.
    public let type: String?
    /// The machine type.
    public let machine: String?
    /// libvirt networks.
    public let networks: [String]
    /// Bridges.
    public let bridges: [String]
    /// Network filters.
    public let filters: [String]
    /// Disks that are named by pool and volume.
    public let volumes: [Volume]
    /// Disks that are named by a path, the writable ones first.
    public let paths: [String]
    /// What keeps the guest on its host, in words; empty where nothing does.
    public let boundToHost: [String]
    /// The files that it writes and nobody else may: what must never be open on two hosts.
    public let exclusiveDisks: [String]

    /// Reads them from libvirt's domain XML.
    public init(_ xml: String) throws(XMLError) {
        let domain = try XMLElement(parsing: xml)
        let devices = domain.child("devices")
        type = domain["type"]
        let all = devices?.children ?? []
        let cpu = domain.child("cpu")
        cpuModel = cpu?.child("model")?.trimmedText
        let model = cpu?.child("model").map(\.trimmedText).flatMap(xmlEscaped)
        cpuXML = cpu?["mode"] == "custom" ? model.map { "<cpu match='minimum'><model>\($0)</model></cpu>" } : nil
        machine = domain.child("os")?.child("type")?["machine"]
        let interfaces = all.filter { $0.name == "interface" }
        networks = interfaces.filter { $0["type"] == "network" }.compactMap { $0.child("source")?["network"] }
        bridges = interfaces.filter { $0["type"] == "bridge" }.compactMap { $0.child("source")?["bridge"] }
        filters = interfaces.compactMap { $0.child("filterref")?["filter"] }
        let disks = all.filter { $0.name == "disk" && $0.child("source") != nil }
        volumes = disks.compactMap { disk in
            disk.child("source")?["pool"].flatMap { pool in disk.child("source")?["volume"].map { Volume(pool: pool, volume: $0) } }
        }
        func path(_ disk: XMLElement) -> String? { disk.child("source")?["file"] ?? disk.child("source")?["dev"] }
        let writable = disks.filter { $0.child("readonly") == nil && $0["device"] ?? "disk" == "disk" }
        paths = (writable + disks.filter { !writable.contains($0) }).compactMap(path)
        exclusiveDisks = writable.filter { $0.child("shareable") == nil }.compactMap { disk in
            path(disk) ?? disk.child("source")?["pool"].flatMap { pool in disk.child("source")?["volume"].map { "\(pool)/\($0)" } }
                ?? disk.child("source")?["name"]
        }
        var bound: [String] = []
        if all.contains(where: { $0.name == "hostdev" }) { bound.append("it has a device of the host") }
        if all.contains(where: { $0.name == "tpm" }) { bound.append("its TPM state lies on the host") }
        if domain.child("os")?.child("nvram") != nil { bound.append("its NVRAM lies on the host") }
        if domain.child("memoryBacking")?.child("hugepages") != nil { bound.append("it needs huge pages") }
        boundToHost = bound
    }
}
