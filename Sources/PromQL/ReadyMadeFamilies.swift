/// A metric that is worked out when it is asked for, from two neighbouring readings of one guest or host, and never stored.
public struct ReadyMadeFamily: Sendable {
    /// The name.
    public let name: String
    /// One sentence, for `# HELP`.
    public let help: String
    /// `ratio` or `bytes_per_second`, and so on: what the name ends in.
    public let unit: String
    let figure: Figure

    /// Where the number comes from.
    enum Figure: Sendable {
        /// The growth of counters, by the time between the readings and the vCPUs.
        case guestTimeShare([String])
        /// The growth of counters, by the time between the readings.
        case guestRate([String])
        /// What the guest uses of the memory that it manages, as long as its figures are fresh.
        case guestMemory
        case hostCPU
        case hostMemory

        var isOfGuest: Bool {
            switch self {
            case .hostCPU, .hostMemory: false
            default: true
            }
        }
    }

    private init(_ name: String, _ unit: String, _ help: String, _ figure: Figure) {
        self.name = name
        self.unit = unit
        self.help = help
        self.figure = figure
    }

    /// All of them, sorted by name.
    public static let all: [ReadyMadeFamily] = [
        ReadyMadeFamily(
            "steward_guest_cpu_ratio", "ratio", "CPU time of the guest's process between two readings, as a share of its vCPUs.",
            .guestTimeShare(["libvirt_domain_cpu_time_seconds_total"])),
        ReadyMadeFamily(
            "steward_guest_disk_read_bytes_per_second", "bytes_per_second", "Bytes read from all disks of the guest between two readings.",
            .guestRate(["libvirt_domain_block_read_bytes_total"])),
        ReadyMadeFamily(
            "steward_guest_disk_requests_per_second", "requests_per_second",
            "Reads and writes of all disks of the guest between two readings.",
            .guestRate(["libvirt_domain_block_read_requests_total", "libvirt_domain_block_write_requests_total"])),
        ReadyMadeFamily(
            "steward_guest_disk_write_bytes_per_second", "bytes_per_second",
            "Bytes written to all disks of the guest between two readings.", .guestRate(["libvirt_domain_block_write_bytes_total"])),
        ReadyMadeFamily(
            "steward_guest_memory_used_ratio", "ratio",
            "Memory that the guest uses, as a share of what its kernel manages; only while the guest reports.", .guestMemory),
        ReadyMadeFamily(
            "steward_guest_network_receive_bytes_per_second", "bytes_per_second",
            "Bytes received on all interfaces of the guest between two readings.",
            .guestRate(["libvirt_domain_interface_receive_bytes_total"])),
        ReadyMadeFamily(
            "steward_guest_network_transmit_bytes_per_second", "bytes_per_second",
            "Bytes sent on all interfaces of the guest between two readings.",
            .guestRate(["libvirt_domain_interface_transmit_bytes_total"])),
        ReadyMadeFamily(
            "steward_guest_steal_ratio", "ratio",
            "Time that the guest's vCPUs were ready to run but had no CPU between two readings, as a share of its vCPUs.",
            .guestTimeShare(["libvirt_domain_vcpu_delay_seconds_total"])),
        ReadyMadeFamily(
            "steward_host_cpu_ratio", "ratio",
            "Share of the host's CPU time between two readings that was neither idle nor waiting for I/O.",
            .hostCPU),
        ReadyMadeFamily(
            "steward_host_memory_used_ratio", "ratio", "Share of the host's memory that is neither free nor buffers nor cache.", .hostMemory
        ),
    ]
}
