/// One metric under the name that the archived exporter https://github.com/Tinkoff/libvirt-exporter gave it.
///
/// Its dashboards ask for these names and for the label `domain`. One such exporter served one host; Steward serves many, so every
/// series carries `host` as well, which those queries do not see.
public struct LegacyFamily: Sendable, CustomStringConvertible {
    /// The legacy name.
    public let name: String
    /// Counter or gauge: the exporter knew no info metrics.
    public let kind: MetricFamily.Kind
    /// One sentence without line breaks.
    public let help: String
    /// The name of the catalogue's family that gives the numbers.
    public let canonical: String
    /// For each of the canonical labels shown, source labels included, its legacy name; others are left out.
    public let labels: [Rename]
    /// Only series with that label and value; the label is left out.
    public let condition: Label?
    /// Where the number is a share of another metric's in percent, that metric's name.
    public let percentOf: String?

    /// A label under another name.
    public struct Rename: Hashable, Sendable {
        /// The catalogue's name of the label.
        public let from: String
        /// The exporter's.
        public let to: String
    }

    /// The legacy name.
    public var description: String { name }
}

extension MetricCatalogue {
    /// The legacy families in the order of the canonical ones.
    public static let legacy: [LegacyFamily] =
        (legacyDomain + legacyVCPU + legacyMemory + legacyBlock + legacyLimits + legacyInterface + legacyHost).enumerated().sorted {
            (index(of: $0.element.canonical) ?? .max, $0.offset) < (index(of: $1.element.canonical) ?? .max, $1.offset)
        }.map(\.element)

    private static let legacyDomain: [LegacyFamily] = [
        LegacyFamily(
            "domain_info_meta", "libvirt_domain_info", "What is known of the domain.",
            [("uuid", "uuid"), ("title", "instance_name"), ("instance_type", "flavor"), ("tenant", "project_name")]),
        LegacyFamily("domain_info_maximum_memory_bytes", "libvirt_domain_memory_maximum_bytes", "Memory that the domain may have."),
        LegacyFamily(
            "domain_info_memory_usage_bytes", "libvirt_domain_memory_current_bytes",
            "Size of the domain's balloon, which is not what it uses."),
        LegacyFamily("domain_info_virtual_cpus", "libvirt_domain_vcpus_current", "vCPUs of the domain."),
        LegacyFamily("domain_info_cpu_time_seconds_total", "libvirt_domain_cpu_time_seconds_total", "CPU time of the domain."),
        LegacyFamily(
            "domain_info_vstate", "libvirt_domain_state_code",
            "State: 0 none, 1 running, 2 blocked, 3 paused, 4 in shutdown, 5 shut off, 6 crashed, 7 suspended by the guest."),
    ]

    private static let legacyVCPU: [LegacyFamily] = [
        ("time_seconds_total", "time_seconds_total", "CPU time of the vCPU."),
        ("delay_seconds_total", "delay_seconds_total", "Time the vCPU was ready to run but had no CPU."),
        ("wait_seconds_total", "wait_seconds_total", "Time the vCPU waited for I/O."),
        ("state", "state_code", "State of the vCPU: 0 offline, 1 running, 2 blocked."),
    ].map { LegacyFamily("domain_vcpu_\($0)", "libvirt_domain_vcpu_\($1)", $2, [("vcpu", "vcpu")]) }

    private static let legacyMemory: [LegacyFamily] =
        [
            ("major_fault_total", "major_faults_total", "Page faults in the domain that needed I/O."),
            ("minor_fault_total", "minor_faults_total", "Page faults in the domain that needed no I/O."),
            ("unused_bytes", "unused_bytes", "Memory that the domain uses for nothing."),
            ("available_bytes", "available_bytes", "Memory that the domain's kernel manages."),
            ("actual_balloon_bytes", "current_bytes", "Size of the domain's balloon."),
            ("rss_bytes", "rss_bytes", "Memory of the host that the domain's process holds."),
            ("usable_bytes", "usable_bytes", "Memory that the domain could give away without swapping."),
            ("disk_cache_bytes", "disk_caches_bytes", "Memory that the domain uses as disk cache."),
        ].map { LegacyFamily("domain_memory_stats_\($0)", "libvirt_domain_memory_\($1)", $2) } + [
            LegacyFamily(
                "domain_memory_stats_used_percent", "libvirt_domain_memory_used_bytes", "Memory that the domain uses, in percent.",
                percentOf: "libvirt_domain_memory_available_bytes")
        ]

    private static let device = [("device", "target_device")]

    private static let legacyBlock: [LegacyFamily] =
        [
            LegacyFamily(
                "domain_block_meta", "libvirt_domain_block_info", "What is known of the disk.",
                device + [
                    ("source", "source_file"), ("serial", "serial"), ("bus", "bus"), ("format", "driver_type"), ("cache", "cache"),
                    ("discard", "discard"),
                ])
        ]
        + [
            ("read_bytes_total", "read_bytes_total", "Bytes read from the disk."),
            ("read_requests_total", "read_requests_total", "Reads from the disk."),
            ("read_time_seconds_total", "read_time_seconds_total", "Time that reads from the disk took."),
            ("write_bytes_total", "write_bytes_total", "Bytes written to the disk."),
            ("write_requests_total", "write_requests_total", "Writes to the disk."),
            ("write_time_seconds_total", "write_time_seconds_total", "Time that writes to the disk took."),
            ("flush_requests_total", "flush_requests_total", "Flushes of the disk's cache."),
            ("flush_time_seconds_total", "flush_time_seconds_total", "Time that flushes of the disk's cache took."),
            ("allocation", "allocation_bytes", "Offset of the highest written sector."),
            ("capacity_bytes", "capacity_bytes", "Size of the disk as the domain sees it."),
            ("physicalsize_bytes", "physical_bytes", "Size of what holds the disk's image."),
        ].map { LegacyFamily("domain_block_stats_\($0)", "libvirt_domain_block_\($1)", $2, device) }

    private static let legacyLimits: [LegacyFamily] =
        ["total", "read", "write"].flatMap { operation in
            [
                ("limit_\(operation)_bytes", "bytes_per_second", "Throughput limit in bytes a second."),
                ("limit_\(operation)_requests", "requests_per_second", "Request limit a second."),
                ("limit_burst_\(operation)_bytes", "burst_bytes_per_second", "Burst throughput limit in bytes a second."),
                ("limit_burst_\(operation)_requests", "burst_requests_per_second", "Burst request limit a second."),
                ("limit_burst_\(operation)_bytes_length_seconds", "burst_bytes_seconds", "How long throughput may burst."),
                ("limit_burst_length_\(operation)_requests_seconds", "burst_requests_seconds", "How long requests may burst."),
            ].map {
                LegacyFamily(
                    "domain_block_stats_\($0)", "libvirt_domain_block_limit_\($1)", $2, device, condition: Label("operation", operation))
            }
        } + [
            LegacyFamily(
                "domain_block_stats_size_iops_bytes", "libvirt_domain_block_limit_request_size_bytes",
                "Size up to which a request counts as one.",
                device)
        ]

    private static let legacyInterface: [LegacyFamily] =
        [
            LegacyFamily(
                "domain_interface_meta", "libvirt_domain_interface_info", "What is known of the interface.",
                device + [("source", "source_bridge")])
        ]
        + ["receive", "transmit"].flatMap { direction in
            ["bytes", "packets", "errors", "drops"].map { what in
                LegacyFamily(
                    "domain_interface_stats_\(direction)_\(what)_total", "libvirt_domain_interface_\(direction)_\(what)_total",
                    "Interface \(direction) \(what).", device)
            }
        }

    private static let legacyHost: [LegacyFamily] =
        [
            LegacyFamily("up", "libvirt_up", "Whether the host answered."),
            LegacyFamily(
                "versions_info", "libvirt_node_info", "Versions of the host's hypervisor and libvirt.",
                [
                    ("hypervisor_version", "hypervisor_running"), ("libvirt_version", "libvirtd_running"),
                    ("library_version", "libvirt_library"),
                ]),
        ]
        + [
            ("state", "state_code", "State of the pool."), ("capacity_bytes", "capacity_bytes", "Size of the pool."),
            ("allocation_bytes", "allocation_bytes", "What is in use of the pool."),
            ("available_bytes", "available_bytes", "What is left of the pool."),
        ].map { LegacyFamily("storage_pool_info_\($0)", "libvirt_storage_pool_\($1)", $2, [("pool", "pool")]) }
}

extension LegacyFamily {
    fileprivate init(
        _ name: String, _ canonical: String, _ help: String, _ labels: [(String, String)] = [], condition: Label? = nil,
        percentOf: String? = nil
    ) {
        self.name = "libvirt_\(name)"
        self.canonical = canonical
        self.help = help
        self.kind = name.hasSuffix("_total") ? .counter : .gauge
        self.labels = ([("domain", "domain"), ("host", "host")] + labels).map { Rename(from: $0, to: $1) }
        self.condition = condition
        self.percentOf = percentOf
    }
}
