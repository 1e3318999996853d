import ArgumentParser
import Fleet
import Libvirt

struct Tag: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes Steward's metadata of a guest: its group, tenant, instance type, tags, disk types.",
        discussion: """
            The metadata lives in the guest's own libvirt definition, so it moves with the guest and needs no database. A running \
            guest gets it at once, a defined one for good. This needs a connection that may write.

                steward tag web-1 group=web tenant=acme instance-type=s1.small
                steward tag web-1 tag.owner=anna disk.vda=ssd
                steward tag web-1 group=            # removes the group
                steward tag web-1                   # shows what there is
            """)

    @OptionGroup var hosts: ConnectOptions

    @Argument(help: "The guest's name or UUID.")
    var guest: String

    @Argument(help: ArgumentHelp("group, tenant, instance-type, tag.NAME or disk.TARGET, with its value.", valueName: "key=value"))
    var settings: [String] = []

    @Flag(help: "Print the metadata as JSON.")
    var json = false

    func run() throws {
        let changes = try settings.map(MetadataChange.init)
        let runtime = try LibvirtRuntime()
        var names: [String] = []
        for host in try hosts.hosts() {
            do throws(HypervisorError) {
                let connection = try LibvirtConnection(
                    to: host.uri, host: host.name, access: changes.isEmpty ? .readOnly : .readWrite, runtime: runtime, events: { _ in })
                defer { connection.close() }
                guard let found = try connection.findGuest(guest) else {
                    names += try connection.guestNames()
                    continue
                }
                var metadata = try connection.describeGuest(found.guest).metadata
                for change in changes { change.apply(to: &metadata) }
                if !changes.isEmpty {
                    let element: String?
                    do { element = metadata.isEmpty ? nil : try metadata.bareXML() } catch {
                        throw HypervisorError(.invalid, call: "steward tag", host: host.name, guest: found.guest, words: "\(error)")
                    }
                    try connection.setMetadata(of: found.guest, to: element)
                }
                print(json ? metadata.json(guest: found, host: host.name).serialized : metadata.lines(guest: found, host: host.name))
                return
            } catch {
                throw Failure("\(error)" + (error.kind == .denied ? "; this needs a connection that may write" : ""))
            }
        }
        let hint = nearest(to: guest, among: names).map { "; did you mean '\($0)'?" } ?? ""
        throw Failure("no guest '\(guest)' on \(try hosts.hosts().map(\.name.text).joined(separator: ", "))\(hint)")
    }
}

/// One `key=value` of the command line.
struct MetadataChange {
    static let keys = ["group", "tenant", "instance-type"]

    private let key: String
    private let value: String

    init(_ text: String) throws {
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
            throw Failure("'\(text)' is no key=value; write for example group=web", code: Failure.usage)
        }
        key = String(text[..<equals])
        value = String(text[text.index(after: equals)...])
        let isNamed = (key.hasPrefix("tag.") && key.count > 4) || (key.hasPrefix("disk.") && key.count > 5)
        guard isNamed || MetadataChange.keys.contains(key) else {
            let close = nearest(to: key, among: MetadataChange.keys).map { "did you mean '\($0)'?" }
            throw Failure("unknown key '\(key)'; \(close ?? "for a free tag write tag.\(key)=\(value)")", code: Failure.usage)
        }
    }

    func apply(to metadata: inout GuestMetadata) {
        let content = value.isEmpty ? nil : value
        switch key {
        case "group": metadata.group = content
        case "tenant": metadata.tenant = content
        case "instance-type": metadata.instanceType = content
        case let tag where tag.hasPrefix("tag."):
            let name = String(tag.dropFirst(4))
            let others = metadata.tags.filter { $0.name != name }
            metadata.tags = (others + (content.map { [GuestMetadata.Tag(name: name, value: $0)] } ?? [])).sorted { $0.name < $1.name }
        default:
            let target = String(key.dropFirst(5))
            let others = metadata.diskTypes.filter { $0.target != target }
            let added = content.map { [GuestMetadata.DiskType(target: target, type: $0)] } ?? []
            metadata.diskTypes = (others + added).sorted { $0.target < $1.target }
        }
    }
}

extension GuestMetadata {
    fileprivate func lines(guest: (guest: GuestID, name: String), host: HostName) -> String {
        var lines = ["\(guest.name) (\(guest.guest)) on \(host)"]
        if let group { lines.append("  group=\(group)") }
        if let tenant { lines.append("  tenant=\(tenant)") }
        if let instanceType { lines.append("  instance-type=\(instanceType)") }
        lines += tags.map { "  tag.\($0.name)=\($0.value)" } + diskTypes.map { "  disk.\($0.target)=\($0.type)" }
        if lines.count == 1 { lines.append("  no metadata of Steward's") }
        return lines.joined(separator: "\n")
    }

    fileprivate func json(guest: (guest: GuestID, name: String), host: HostName) -> Json {
        .object([
            ("host", .text(host.text)), ("uuid", .text(guest.guest.description)), ("domain", .text(guest.name)),
            ("group", .optional(group)), ("tenant", .optional(tenant)), ("instance_type", .optional(instanceType)),
            ("tags", .object(tags.map { ($0.name, .text($0.value)) })),
            ("disk_types", .object(diskTypes.map { ($0.target, .text($0.type)) })),
        ])
    }
}
