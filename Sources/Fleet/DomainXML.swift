/// Why a domain's XML does not describe a guest.
public enum DomainXMLError: Error, Hashable, Sendable, CustomStringConvertible {
    /// It is not XML, or beyond the reader's bounds.
    case malformed(XMLError)
    /// The root element is another one.
    case unexpectedRoot(String)
    /// An element without which there is no guest.
    case missing(element: String)
    /// An element or attribute holds something else than it should.
    case unreadable(element: String, value: String)

    /// What is wrong, without a full stop.
    public var description: String {
        switch self {
        case .malformed(let error): "the domain's XML is malformed: \(error)"
        case .unexpectedRoot(let name): "the domain's XML begins with <\(name)>, not with <domain>"
        case .missing(let element): "the domain's XML has no <\(element)>"
        case .unreadable(let element, let value): "the domain's XML has '\(value)' in <\(element)>"
        }
    }
}

extension GuestDescription {
    /// A description from libvirt's domain XML (https://libvirt.org/formatdomain.html).
    ///
    /// What the XML does not say is nil; only a name, a UUID and numbers that cannot be read make it fail. Whether the definition
    /// survives a shutdown is not in the XML, so it is passed in.
    public init(domainXML: String, isPersistent: Bool = true) throws(DomainXMLError) {
        let domain: XMLElement
        do { domain = try XMLElement(parsing: domainXML) } catch { throw .malformed(error) }
        guard domain.name == "domain" else { throw .unexpectedRoot(domain.name) }
        guard let name = domain.child("name")?.text, !name.isEmpty else { throw .missing(element: "name") }
        guard let uuid = domain.child("uuid")?.trimmedText else { throw .missing(element: "uuid") }
        guard let guest = GuestID(uuid) else { throw .unreadable(element: "uuid", value: uuid) }

        let vcpu = domain.child("vcpu")
        let vcpusMaximum = try vcpu.map { element throws(DomainXMLError) in try count(element.trimmedText, of: "vcpu") } ?? 1
        let vcpusCurrent = try vcpu?["current"].map { text throws(DomainXMLError) in try count(text, of: "vcpu") } ?? vcpusMaximum
        let devices = domain.child("devices")
        let metadata = domain.child("metadata")?.child("guest", namespace: GuestMetadata.namespace)
        self.init(
            guest: guest, name: name,
            title: domain.child("title")?.text,
            osType: domain.child("os")?.child("type")?.trimmedText,
            architecture: domain.child("os")?.child("type")?["arch"],
            machine: domain.child("os")?.child("type")?["machine"],
            vcpusMaximum: vcpusMaximum, vcpusCurrent: vcpusCurrent,
            memoryMaximum: try memory(domain.child("memory")),
            balloonPeriodSeconds: try balloonPeriod(devices),
            isPersistent: isPersistent,
            iothreads: try domain.child("iothreads").map { element throws(DomainXMLError) in
                try count(element.trimmedText, of: "iothreads")
            } ?? 0,
            hasPerfEvents: domain.child("perf")?.children.contains { $0.name == "event" && $0["enabled"] == "yes" } ?? false,
            disks: devices?.children.filter { $0.name == "disk" }.compactMap(DiskDescription.init(element:)) ?? [],
            interfaces: devices?.children.filter { $0.name == "interface" }.map(InterfaceDescription.init(element:)) ?? [],
            metadata: metadata.map(GuestMetadata.init(element:)) ?? GuestMetadata())
    }
}

extension DiskDescription {
    /// A disk without a target has no name under which anything could be said of it.
    fileprivate init?(element: XMLElement) {
        guard let target = element.child("target")?["dev"] else { return nil }
        let driver = element.child("driver")
        let source = element.child("source")
        let volume = source?["pool"].flatMap { pool in source?["volume"].map { "\(pool)/\($0)" } }
        self.init(
            target: target,
            device: element["device"] ?? "disk",
            bus: element.child("target")?["bus"],
            format: driver?["type"],
            cache: driver?["cache"],
            discard: driver?["discard"],
            source: volume ?? source?["file"] ?? source?["dev"] ?? source?["dir"] ?? source?["name"] ?? source?["path"],
            pool: source?["pool"],
            serial: element.child("serial")?.text,
            isReadOnly: element.child("readonly") != nil,
            isShareable: element.child("shareable") != nil,
            limits: element.child("iotune")?.children.compactMap { setting in
                UInt64(setting.trimmedText).flatMap { $0 == 0 ? nil : Limit(name: setting.name, value: $0) }
            } ?? [])
    }
}

extension InterfaceDescription {
    fileprivate init(element: XMLElement) {
        let source = element.child("source")
        self.init(
            device: element.child("target")?["dev"],
            mac: element.child("mac")?["address"]?.lowercased(),
            type: element["type"] ?? "unknown",
            source: source?["bridge"] ?? source?["network"] ?? source?["dev"] ?? source?["name"] ?? source?["path"],
            model: element.child("model")?["type"])
    }
}

private func count(_ text: String, of element: String) throws(DomainXMLError) -> Int {
    guard let number = Int(text), number >= 0 else { throw .unreadable(element: element, value: text) }
    return number
}

/// libvirt's scaled integers (virScaleInteger): KiB where no unit is given.
private func memory(_ element: XMLElement?) throws(DomainXMLError) -> Bytes {
    guard let element else { throw .missing(element: "memory") }
    let unit = element["unit"] ?? "KiB"
    guard let factor = bytesPerUnit(unit) else { throw .unreadable(element: "memory", value: unit) }
    guard let number = UInt64(element.trimmedText) else { throw .unreadable(element: "memory", value: element.trimmedText) }
    let (count, isTooLarge) = number.multipliedReportingOverflow(by: factor)
    guard !isTooLarge else { throw .unreadable(element: "memory", value: element.trimmedText) }
    return Bytes(count)
}

private func bytesPerUnit(_ unit: String) -> UInt64? {
    switch unit {
    case "b", "bytes": 1
    case "KB": 1000
    case "k", "K", "KiB": 1 << 10
    case "MB": 1_000_000
    case "m", "M", "MiB": 1 << 20
    case "GB": 1_000_000_000
    case "g", "G", "GiB": 1 << 30
    case "TB": 1_000_000_000_000
    case "t", "T", "TiB": 1 << 40
    default: nil
    }
}

/// Nil without a balloon, 0 for a balloon that gathers no statistics.
private func balloonPeriod(_ devices: XMLElement?) throws(DomainXMLError) -> Int? {
    guard let balloon = devices?.child("memballoon"), balloon["model"] != "none" else { return nil }
    guard let period = balloon.child("stats")?["period"] else { return 0 }
    return try count(period, of: "stats")
}
