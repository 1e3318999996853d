public import Decisions
public import Fleet

/// Why a member cannot be defined.
public struct MemberDefinitionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, without a full stop.
    public let description: String
}

/// What a member is made from, with everything that its files name read in.
public struct MemberBlueprint: Hashable, Sendable {
    /// The policy's template.
    public var template: MemberTemplate
    /// vCPUs of the instance type.
    public var vcpus: Int
    /// Memory of the instance type.
    public var memory: Bytes
    /// The cloud-init user data.
    public var userData: String
    /// The operator's domain XML, without what Steward writes itself; nil for the standard one.
    public var domain: String?
    /// The tenant who pays for the members.
    public var tenant: String?

    /// A blueprint.
    public init(template: MemberTemplate, vcpus: Int, memory: Bytes, userData: String, domain: String? = nil, tenant: String? = nil) {
        self.template = template
        self.vcpus = vcpus
        self.memory = memory
        self.userData = userData
        self.domain = domain
        self.tenant = tenant
    }

    /// What is wrong with the operator's domain XML, or nil.
    public var flaw: String? {
        guard let domain else { return nil }
        let root: XMLElement
        do { root = try XMLElement(parsing: domain) } catch { return "\(error)" }
        guard root.name == "domain" else { return "it begins with <\(root.name)>, not with <domain>" }
        let own = ["name", "uuid", "memory", "currentMemory", "vcpu", "metadata"]
        if let taken = own.first(where: { root.child($0) != nil }) { return "it has <\(taken)>, which Steward writes: take it out" }
        guard let devices = root.child("devices") else { return "it has no <devices>" }
        if devices.child("disk") != nil || devices.child("interface") != nil {
            return "it has a <disk> or an <interface>, which Steward writes: take them out"
        }
        guard domain.range(ofText: "</devices>") != nil else { return "its <devices> must be closed with </devices>" }
        return nil
    }

    /// The cloud-init meta-data of a member; its instance-id is the UUID, so that a new member is a new instance.
    public func metaData(of member: MemberIdentity) -> String {
        "instance-id: \(member.guest)\nlocal-hostname: \(member.name)\n"
    }

    /// The domain XML of a member.
    public func definition(
        of member: MemberIdentity, disk: String, seed: String, macs: [String], domainType: String, filter: String?
    ) throws(MemberDefinitionError) -> String {
        if let flaw { throw MemberDefinitionError(description: "the template's domain cannot be used: \(flaw)") }
        let base = domain ?? MemberBlueprint.standard(type: domainType)
        guard let opening = base.range(ofText: "<domain").flatMap({ base[$0.lowerBound...].firstIndex(of: ">") }),
            let closing = base.lastRange(ofText: "</devices>")
        else { throw MemberDefinitionError(description: "the template's domain has no <domain> and <devices>") }
        let after = base.index(after: opening)
        return String(base[..<after]) + (try head(member)) + base[after..<closing.lowerBound]
            + (try devices(disk: disk, seed: seed, macs: macs, filter: filter)) + base[closing.lowerBound...]
    }

    private func head(_ member: MemberIdentity) throws(MemberDefinitionError) -> String {
        var metadata = GuestMetadata(group: member.group, tenant: tenant, instanceType: template.instanceType)
        if let type = template.diskType { metadata.diskTypes = [GuestMetadata.DiskType(target: "vda", type: type)] }
        let element: String
        do { element = try metadata.qualifiedXML() } catch { throw MemberDefinitionError(description: "\(error)") }
        return "\n<name>\(try escaped(member.name))</name>\n<uuid>\(member.guest)</uuid>\n<metadata>\(element)</metadata>\n"
            + "<memory unit='b'>\(memory.count)</memory>\n<vcpu>\(vcpus)</vcpu>\n"
    }

    private func devices(disk: String, seed: String, macs: [String], filter: String?) throws(MemberDefinitionError) -> String {
        var xml = """
            <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' discard='unmap'/>\
            <source file='\(try escaped(disk))'/><target dev='vda' bus='virtio'/></disk>
            <disk type='file' device='disk'><driver name='qemu' type='raw'/>\
            <source file='\(try escaped(seed))'/><target dev='vdb' bus='virtio'/><readonly/></disk>

            """
        for (network, mac) in zip(template.networks, macs) {
            let isBridge = network.hasPrefix("bridge:")
            let name = try escaped(isBridge ? String(network.dropFirst(7)) : network)
            let reference = try filter.map { name throws(MemberDefinitionError) in "<filterref filter='\(try escaped(name))'/>" } ?? ""
            xml +=
                "<interface type='\(isBridge ? "bridge" : "network")'><mac address='\(mac)'/>"
                + "<source \(isBridge ? "bridge" : "network")='\(name)'/><model type='virtio'/>\(reference)</interface>\n"
        }
        return xml
    }

    private func escaped(_ text: String) throws(MemberDefinitionError) -> String {
        guard let escaped = xmlEscaped(text) else {
            throw MemberDefinitionError(description: "'\(text)' holds a control character, which a definition cannot carry")
        }
        return escaped
    }

    private static func standard(type: String) -> String {
        """
        <domain type='\(type)'>
        <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
        <features><acpi/><apic/></features>
        <cpu mode='\(type == "kvm" ? "host-model" : "maximum")'/>
        <on_crash>restart</on_crash>
        <devices>
        <serial type='pty'/><console type='pty'/>
        <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
        <memballoon model='virtio'><stats period='5'/></memballoon>
        </devices>
        </domain>

        """
    }

    /// A filter that joins the security groups of a policy, since an interface holds one reference only.
    public static func composedFilter(name: String, of groups: [String]) -> String? {
        let references = groups.compactMap { xmlEscaped($0).map { "<filterref filter='\($0)'/>" } }
        guard references.count == groups.count, let escaped = xmlEscaped(name) else { return nil }
        let id = GuestID(high: mixed(name, salt: 1) & ~0xF000 | 0x8000, low: mixed(name, salt: 2) & ~(3 << 62) | 2 << 62)
        return "<filter name='\(escaped)' chain='root'><uuid>\(id)</uuid>\(references.joined())</filter>"
    }
}

extension String {
    func range(ofText needle: String) -> Range<String.Index>? {
        var index = startIndex
        while index < endIndex {
            if self[index...].hasPrefix(needle) { return index..<self.index(index, offsetBy: needle.count) }
            index = self.index(after: index)
        }
        return nil
    }

    func lastRange(ofText needle: String) -> Range<String.Index>? {
        var index = endIndex
        while index > startIndex {
            index = self.index(before: index)
            if self[index...].hasPrefix(needle) { return index..<self.index(index, offsetBy: needle.count) }
        }
        return nil
    }
}

/// An address worked out from a MAC address: the network's bits, then the lowest bits of the MAC, as OpenNebula and others do.
public func address(fromMAC mac: String, network: String) -> String? {
    let halves = network.split(separator: "/")
    guard halves.count == 2, let bits = Int(halves[1]), (9...31).contains(bits) else { return nil }
    let parts = halves[0].split(separator: ".", omittingEmptySubsequences: false).compactMap { UInt8($0) }
    let low = mac.split(separator: ":").compactMap { UInt8($0, radix: 16) }
    guard parts.count == 4, low.count == 6 else { return nil }
    let base = parts.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let host = low.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let mask = UInt32.max >> UInt32(bits)
    let whole = base & ~mask | host & mask
    return (0..<4).map { String(whole >> UInt32(24 - $0 * 8) & 255) }.joined(separator: ".")
}
