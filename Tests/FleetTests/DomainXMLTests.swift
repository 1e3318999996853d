import Fleet
import Testing

private let complete = """
    <domain type='kvm' id='7'>
      <name>web &amp; shop</name>
      <uuid>0A1B2C3D-4e5f-6789-abcd-ef0123456789</uuid>
      <title>The shop</title>
      <metadata>
        <other:thing xmlns:other="urn:o"><guest>not ours</guest></other:thing>
        <s:guest xmlns:s="https://steward.dev/xmlns/guest/1">
          <s:group>web</s:group><s:tenant>acme</s:tenant><s:instance-type>s1.small</s:instance-type>
          <s:tag name="z">last</s:tag><s:tag name="a"> first </s:tag><s:tag>nameless</s:tag>
          <s:disk target="vdb" type="hdd"/><s:disk target="vda" type="ssd"/><s:disk target="vdc"/>
        </s:guest>
      </metadata>
      <memory unit='GiB'>2</memory>
      <currentMemory unit='KiB'>1048576</currentMemory>
      <vcpu placement='static' current='2'>4</vcpu>
      <iothreads>3</iothreads>
      <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
      <perf><event name='cmt' enabled='no'/><event name='cpu_cycles' enabled='yes'/></perf>
      <devices>
        <disk type='file' device='disk'>
          <driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
          <source file='/images/a.qcow2' index='1'/><backingStore type='file'><source file='/images/base.qcow2'/></backingStore>
          <target dev='vda' bus='virtio'/><serial>S1</serial>
        </disk>
        <disk type='volume'><source pool='fast' volume='b'/><target dev='vdb' bus='scsi'/><shareable/>
          <iotune><total_bytes_sec>1048576</total_bytes_sec><read_iops_sec>0</read_iops_sec><group_name>g</group_name></iotune></disk>
        <disk type='network' device='lun'><source protocol='rbd' name='pool/image'/><target dev='vdc'/></disk>
        <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
        <disk type='file'><source file='/no/target'/></disk>
        <interface type='bridge'>
          <mac address='52:54:00:AB:CD:EF'/><source bridge='br0'/><target dev='vnet3'/><model type='virtio'/>
        </interface>
        <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default' portid='x' bridge='virbr0'/></interface>
        <interface type='user'/>
        <memballoon model='virtio'><stats period='5'/></memballoon>
      </devices>
    </domain>
    """

@Suite("A guest's description from its XML")
struct DomainXMLTests {
    @Test("everything that a description holds is found where libvirt puts it")
    func everything() throws {
        let expected = GuestDescription(
            guest: try #require(GuestID("0a1b2c3d-4e5f-6789-abcd-ef0123456789")), name: "web & shop", title: "The shop", osType: "hvm",
            architecture: "x86_64", machine: "pc-q35-7.2", vcpusMaximum: 4, vcpusCurrent: 2, memoryMaximum: .gibibytes(2),
            balloonPeriodSeconds: 5, isPersistent: false, iothreads: 3, hasPerfEvents: true,
            disks: [
                DiskDescription(
                    target: "vda", bus: "virtio", format: "qcow2", cache: "none", discard: "unmap", source: "/images/a.qcow2", serial: "S1"),
                DiskDescription(
                    target: "vdb", bus: "scsi", source: "fast/b", pool: "fast", isShareable: true,
                    limits: [.init(name: "total_bytes_sec", value: 1_048_576)]),
                DiskDescription(target: "vdc", device: "lun", source: "pool/image"),
                DiskDescription(target: "sda", device: "cdrom", bus: "sata", isReadOnly: true),
            ],
            interfaces: [
                InterfaceDescription(device: "vnet3", mac: "52:54:00:ab:cd:ef", type: "bridge", source: "br0", model: "virtio"),
                InterfaceDescription(device: nil, mac: "52:54:00:00:00:01", type: "network", source: "virbr0", model: nil),
                InterfaceDescription(device: nil, mac: nil, type: "user", source: nil, model: nil),
            ],
            metadata: GuestMetadata(
                group: "web", tenant: "acme", instanceType: "s1.small",
                tags: [.init(name: "a", value: "first"), .init(name: "z", value: "last")],
                diskTypes: [.init(target: "vda", type: "ssd"), .init(target: "vdb", type: "hdd")]))
        #expect(try GuestDescription(domainXML: complete, isPersistent: false) == expected)
    }

    static let uuid = "<uuid>0a1b2c3d-4e5f-6789-abcd-ef0123456789</uuid>"

    @Test("the least that describes a guest is a name, a UUID and its memory")
    func least() throws {
        let guest = try GuestDescription(domainXML: "<domain><name>n</name>\(Self.uuid)<memory>1024</memory></domain>")
        #expect(guest.vcpusMaximum == 1 && guest.vcpusCurrent == 1)
        #expect(guest.memoryMaximum == .mebibytes(1))
        #expect(guest.balloonPeriodSeconds == nil && guest.metadata.isEmpty && guest.disks.isEmpty)
    }

    @Test(
        "a balloon without statistics has the period 0, and none has none",
        arguments: [
            ("<memballoon model='virtio'/>", 0), ("<memballoon model='virtio'><stats period='10'/></memballoon>", 10),
            ("<memballoon model='none'/>", nil), ("", nil),
        ])
    func balloon(device: String, period: Int?) throws {
        let xml = "<domain><name>n</name>\(Self.uuid)<memory>1024</memory><devices>\(device)</devices></domain>"
        #expect(try GuestDescription(domainXML: xml).balloonPeriodSeconds == period)
    }

    @Test(
        "memory is read in every unit that libvirt writes",
        arguments: [("b", 3), ("KB", 3000), ("KiB", 3072), ("MiB", 3 << 20), ("GiB", 3 << 30), ("TiB", 3 << 40), ("GB", 3_000_000_000)])
    func memoryUnits(unit: String, bytes: UInt64) throws {
        let xml = "<domain><name>n</name>\(Self.uuid)<memory unit='\(unit)'>3</memory></domain>"
        #expect(try GuestDescription(domainXML: xml).memoryMaximum == Bytes(bytes))
    }

    @Test(
        "what no guest can be made of is refused with the reason",
        arguments: [
            ("<domain>", DomainXMLError.malformed(XMLError(line: 1, column: 9, message: "the document ends inside <domain>"))),
            ("<network/>", .unexpectedRoot("network")),
            ("<domain/>", .missing(element: "name")),
            ("<domain><name>n</name></domain>", .missing(element: "uuid")),
            ("<domain><name>n</name><uuid>x</uuid></domain>", .unreadable(element: "uuid", value: "x")),
            ("<domain><name>n</name>\(uuid)</domain>", .missing(element: "memory")),
            ("<domain><name>n</name>\(uuid)<memory>-1</memory></domain>", .unreadable(element: "memory", value: "-1")),
            ("<domain><name>n</name>\(uuid)<memory unit='PB'>1</memory></domain>", .unreadable(element: "memory", value: "PB")),
            (
                "<domain><name>n</name>\(uuid)<memory unit='TiB'>18446744073709551615</memory></domain>",
                .unreadable(element: "memory", value: "18446744073709551615")
            ),
            ("<domain><name>n</name>\(uuid)<memory>1</memory><vcpu>two</vcpu></domain>", .unreadable(element: "vcpu", value: "two")),
        ])
    func refused(xml: String, error: DomainXMLError) {
        #expect(throws: error) { try GuestDescription(domainXML: xml) }
    }
}

@Suite("Steward's metadata element")
struct GuestMetadataXMLTests {
    static let metadata = GuestMetadata(
        group: "web <1>", tenant: "acme & sons", instanceType: "s1.small",
        tags: [.init(name: "k\"'", value: "v\nw"), .init(name: "e", value: "")],
        diskTypes: [.init(target: "vda", type: "ssd")])

    @Test(
        "what is written is read back, with and without the namespace", arguments: [metadata, GuestMetadata(), GuestMetadata(tenant: "日本")])
    func roundTrip(metadata: GuestMetadata) throws {
        #expect(try GuestMetadata(metadataXML: try metadata.qualifiedXML()) == metadata)
        #expect(try GuestMetadata(metadataXML: try metadata.bareXML()) == metadata)
        let domain = """
            <domain><name>n</name>\(DomainXMLTests.uuid)<memory>1</memory><metadata>\(try metadata.qualifiedXML())</metadata></domain>
            """
        #expect(try GuestDescription(domainXML: domain).metadata == metadata)
    }

    @Test("the written element is the documented one")
    func form() throws {
        let metadata = GuestMetadata(
            group: "web", tenant: "acme", instanceType: "s1.small", tags: [.init(name: "k", value: "v")],
            diskTypes: [.init(target: "vda", type: "ssd")])
        #expect(
            try metadata.qualifiedXML() == """
                <steward:guest xmlns:steward="https://steward.dev/xmlns/guest/1"><steward:group>web</steward:group>\
                <steward:tenant>acme</steward:tenant><steward:instance-type>s1.small</steward:instance-type>\
                <steward:tag name="k">v</steward:tag><steward:disk target="vda" type="ssd"/></steward:guest>
                """)
        #expect(try GuestMetadata(tenant: "acme").bareXML() == "<guest><tenant>acme</tenant></guest>")
    }

    @Test("an element of another namespace or name is not ours", arguments: ["<guest xmlns='urn:o'/>", "<host/>", "<guest"])
    func foreign(xml: String) {
        #expect(throws: GuestMetadataError.self) { try GuestMetadata(metadataXML: xml) }
    }

    @Test("text that XML cannot carry, and more than the bounds, are refused before anything is written")
    func bounds() throws {
        #expect(throws: GuestMetadataError.unwritable(what: "group", text: "a\u{1}")) { try GuestMetadata(group: "a\u{1}").bareXML() }
        let longest = String(repeating: "x", count: GuestMetadata.maximumTextBytes)
        _ = try GuestMetadata(tenant: longest).bareXML()
        #expect(throws: GuestMetadataError.tooLong(what: "tenant", bytes: longest.utf8.count + 1)) {
            try GuestMetadata(tenant: longest + "x").bareXML()
        }
        let tags = (0...GuestMetadata.maximumEntries).map { GuestMetadata.Tag(name: "t\($0)", value: "") }
        _ = try GuestMetadata(tags: Array(tags.dropLast())).bareXML()
        #expect(throws: GuestMetadataError.tooMany(what: "tags", count: tags.count)) { try GuestMetadata(tags: tags).bareXML() }
    }
}
