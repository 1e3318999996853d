import Actuation
import Testing

@Suite("What a guest needs of its host")
struct GuestNeedsTests {
    static func needs(_ devices: String, rest: String = "") throws -> GuestNeeds {
        try GuestNeeds("<domain type='kvm'><name>g</name>\(rest)<devices>\(devices)</devices></domain>")
    }

    @Test("networks, bridges and filters are told apart")
    func networks() throws {
        let needs = try GuestNeedsTests.needs(
            """
            <interface type='network'><source network='blue'/><filterref filter='clean'/></interface>
            <interface type='bridge'><source bridge='br0'/></interface>
            """)
        #expect(needs.networks == ["blue"])
        #expect(needs.bridges == ["br0"])
        #expect(needs.filters == ["clean"])
    }

    @Test("writable disks come first, and only they, unshared, are exclusive")
    func disks() throws {
        let needs = try GuestNeedsTests.needs(
            """
            <disk type='file' device='cdrom'><source file='/seed.iso'/><readonly/></disk>
            <disk type='file' device='disk'><source file='/a.qcow2'/></disk>
            <disk type='block' device='disk'><source dev='/dev/shared'/><shareable/></disk>
            <disk type='volume' device='disk'><source pool='p' volume='v'/></disk>
            <disk type='file' device='cdrom'/>
            """)
        #expect(needs.paths == ["/a.qcow2", "/dev/shared", "/seed.iso"])
        #expect(needs.exclusiveDisks == ["/a.qcow2", "p/v"])
        #expect(needs.volumes.map(\.pool) == ["p"])
    }

    @Test(
        "what binds a guest to its host is named",
        arguments: [
            ("<hostdev/>", "", "it has a device of the host"), ("<tpm/>", "", "its TPM state lies on the host"),
            ("", "<os><nvram>/x</nvram></os>", "its NVRAM lies on the host"),
            ("", "<memoryBacking><hugepages/></memoryBacking>", "it needs huge pages"),
        ])
    func bound(devices: String, rest: String, words: String) throws {
        #expect(try GuestNeedsTests.needs(devices, rest: rest).boundToHost == [words])
    }

    @Test("only a named CPU model is compared")
    func cpu() throws {
        #expect(try GuestNeedsTests.needs("", rest: "<cpu mode='host-passthrough'/>").cpuXML == nil)
        let named = try GuestNeedsTests.needs("", rest: "<cpu mode='custom'><model fallback='forbid'>EPYC</model></cpu>")
        #expect(named.cpuModel == "EPYC")
        #expect(named.cpuXML == "<cpu match='minimum'><model>EPYC</model></cpu>")
    }
}
