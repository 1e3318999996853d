// Disks and interfaces of a guest.

extension MetricCatalogue {
    static let blockFamilies: [MetricFamily] =
        blockDescription + blockTraffic("read", "rd", "read from", "Reads from") + blockTraffic("write", "wr", "written to", "Writes to")
        + blockState + blockLimits

    private static let blockDescription: [MetricFamily] =
        [
            .made(
                "libvirt_domain_block_info", .info, "A disk of the guest as the XML describes it.", source: "domain XML",
                labels: [
                    "device", "device_type", "bus", "format", "cache", "discard", "source", "pool", "serial", "read_only", "shareable",
                    "type",
                ])
        ]

    private static let blockState: [MetricFamily] =
        [
            .read(
                "libvirt_domain_block_flush_requests_total", .counter, "Flushes of the disk's cache.", "block.*.fl.reqs", [.disk],
                since: "1.2.9"),
            .read(
                "libvirt_domain_block_flush_time_seconds_total", .counter, "Time that flushes of the disk's cache took.",
                "block.*.fl.times", [.disk], scale: .nanoseconds, since: "1.2.9"),
            blockSize("capacity", "Size of the disk as the guest sees it."),
            blockSize("allocation", "Offset of the highest written sector of the disk's image."),
            blockSize("physical", "Size of what holds the disk's image on the host."),
            .read(
                "libvirt_domain_block_threshold_bytes", .gauge, "Offset beyond which a write to the disk raises libvirt's event.",
                "block.*.threshold", [.disk], since: "1.2.9", evidence: .recordedData),
            .read(
                "libvirt_domain_block_errors_total", .counter, "Requests that the disk could not take at once (Xen only).",
                "block.*.errors",
                [.disk], since: "1.2.9", evidence: .recordedData),
        ]

    private static func blockTraffic(_ name: String, _ field: String, _ words: String, _ requests: String) -> [MetricFamily] {
        [
            .read(
                "libvirt_domain_block_\(name)_bytes_total", .counter, "Bytes \(words) the disk.", "block.*.\(field).bytes", [.disk],
                since: "1.2.9"),
            .read(
                "libvirt_domain_block_\(name)_requests_total", .counter, "\(requests) the disk.", "block.*.\(field).reqs",
                [.disk], since: "1.2.9"),
            .read(
                "libvirt_domain_block_\(name)_time_seconds_total", .counter, "\(requests) the disk: how long they took, summed.",
                "block.*.\(field).times", [.disk], scale: .nanoseconds, since: "1.2.9"),
        ]
    }

    private static func blockSize(_ field: String, _ help: String) -> MetricFamily {
        .read("libvirt_domain_block_\(field)_bytes", .gauge, help, "block.*.\(field)", [.disk], since: "1.2.9")
    }

    private static let blockLimits: [MetricFamily] = [
        blockLimit("bytes_per_second", "Throughput that the disk is limited to.", "bytes_sec"),
        blockLimit("requests_per_second", "Request rate that the disk is limited to.", "iops_sec"),
        blockLimit("burst_bytes_per_second", "Throughput that the disk may burst to.", "bytes_sec_max"),
        blockLimit("burst_requests_per_second", "Request rate that the disk may burst to.", "iops_sec_max"),
        blockLimit("burst_bytes_seconds", "How long the disk's throughput may burst.", "bytes_sec_max_length"),
        blockLimit("burst_requests_seconds", "How long the disk's request rate may burst.", "iops_sec_max_length"),
        .made(
            "libvirt_domain_block_limit_request_size_bytes", .gauge, "Size up to which a request counts as one in the disk's limits.",
            source: "domain XML iotune/size_iops_sec", labels: ["device"], evidence: .recordedData, isReadEveryTick: false),
    ]

    private static func blockLimit(_ name: String, _ help: String, _ setting: String) -> MetricFamily {
        .made(
            "libvirt_domain_block_limit_\(name)", .gauge, help, source: "domain XML iotune/{total,read,write}_\(setting)",
            labels: ["device", "operation"], evidence: .recordedData, isReadEveryTick: false)
    }

    static let interfaceFamilies: [MetricFamily] =
        interfaceDescription + interfaceTraffic("receive", "rx", "received") + interfaceTraffic("transmit", "tx", "sent")

    private static let interfaceDescription: [MetricFamily] =
        [
            .made(
                "libvirt_domain_interface_info", .info, "An interface of the guest as the XML describes it.", source: "domain XML",
                labels: ["device", "mac", "type", "source", "model"])
        ]

    private static func interfaceTraffic(_ name: String, _ field: String, _ word: String) -> [MetricFamily] {
        [
            .read(
                "libvirt_domain_interface_\(name)_bytes_total", .counter, "Bytes that the guest \(word) on the interface.",
                "net.*.\(field).bytes", [.interface], since: "1.2.9"),
            .read(
                "libvirt_domain_interface_\(name)_packets_total", .counter, "Packets that the guest \(word) on the interface.",
                "net.*.\(field).pkts", [.interface], since: "1.2.9"),
            .read(
                "libvirt_domain_interface_\(name)_errors_total", .counter, "Packets \(word) on the interface with errors.",
                "net.*.\(field).errs", [.interface], since: "1.2.9"),
            .read(
                "libvirt_domain_interface_\(name)_drops_total", .counter, "Packets dropped that would have been \(word) on the interface.",
                "net.*.\(field).drop", [.interface], since: "1.2.9"),
        ]
    }
}
