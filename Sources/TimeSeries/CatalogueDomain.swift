// What libvirt says of every guest and of the node in every tick.
//
// Names follow Prometheus' practice (base units, `_total`, `_info`); the libvirt versions are those that its headers give for a group of
// statistics (VIR_DOMAIN_STATS_…) or a parameter.

extension MetricCatalogue {
    static let nodeFamilies: [MetricFamily] = [
        .made(
            "libvirt_up", .gauge, "Whether the host answered the last tick.", about: .node, source: "virConnectGetAllDomainStats answered"),
        .made(
            "libvirt_node_info", .info,
            "The host: its own name, hypervisor, versions, how its CPUs are arranged, its zone and region, and the operator's labels, each behind `label_`.",
            about: .node,
            source: "virConnectGetHostname, virConnectGetVersion, virConnectGetLibVersion, virNodeGetInfo",
            labels: [
                "hostname", "hypervisor", "hypervisor_version", "libvirt_version", "library_version", "cpu_model", "cells", "sockets",
                "cores", "threads", "zone", "region",
            ], evidence: .recordedData),
        .made(
            "libvirt_node_cpus", .gauge, "CPUs of the host that guests may use.", about: .node, source: "virNodeGetInfo cpus",
            since: "0.1.0",
            evidence: .recordedData, isReadEveryTick: false),
        .made(
            "libvirt_node_cpu_frequency_hertz", .gauge, "Clock of the host's CPUs as the host reports it.", about: .node,
            source: "virNodeGetInfo mhz", scale: Scale(multiplier: 1_000_000), evidence: .recordedData, isReadEveryTick: false),
        .read(
            "libvirt_node_cpu_seconds_total", .counter, "CPU time of the host over all CPUs.", about: .node,
            fields: ["kernel", "user", "idle", "iowait", "intr"].map {
                MetricField(answer: .nodeCPU, pattern: $0, labels: [.fixed("mode", $0)])
            }, scale: .nanoseconds, since: "0.9.3"),
        nodeMemory("total", "Memory of the host."),
        nodeMemory("free", "Memory of the host that nothing uses."),
        nodeMemory("buffers", "Memory of the host that holds buffers."),
        nodeMemory("cached", "Memory of the host that caches files."),
        .made("libvirt_domains", .gauge, "Guests on the host in a state.", about: .node, source: "state.state, counted", labels: ["state"]),
    ]

    private static func nodeMemory(_ field: String, _ help: String) -> MetricFamily {
        .read(
            "libvirt_node_memory_\(field)_bytes", .gauge, help, about: .node, from: .nodeMemory, field, scale: .kibibytes,
            since: "0.9.3")
    }

    static let domainFamilies: [MetricFamily] =
        identityFamilies + cpuFamilies + vcpuFamilies + memoryFamilies

    private static let identityFamilies: [MetricFamily] = [
        .made(
            "libvirt_domain_info", .info, "The guest as its XML describes it, with Steward's metadata.",
            source: "domain XML", labels: ["title", "os_type", "architecture", "machine", "group", "tenant", "instance_type"]),
        .made(
            "libvirt_domain_tag_info", .info, "A tag of the guest in Steward's metadata.", source: "domain XML", labels: ["tag", "value"]),
        .made(
            "libvirt_domain_id", .gauge, "libvirt's number of the running guest, which changes at each start.", source: "virDomainGetID"),
        .read(
            "libvirt_domain_state_code", .gauge,
            "State of the guest: 0 none, 1 running, 2 blocked, 3 paused, 4 in shutdown, 5 shut off, 6 crashed, 7 suspended by the guest.",
            "state.state", since: "1.2.8"),
        .read(
            "libvirt_domain_state_reason_code", .gauge, "Why the guest is in its state, by libvirt's number for that state.",
            "state.reason",
            since: "1.2.8"),
    ]

    private static let cpuFamilies: [MetricFamily] = [
        .read(
            "libvirt_domain_cpu_time_seconds_total", .counter, "CPU time of the guest's process, vCPUs and hypervisor together.",
            "cpu.time", scale: .nanoseconds, since: "1.2.9"),
        .read(
            "libvirt_domain_cpu_user_seconds_total", .counter, "CPU time of the guest's process in user mode.", "cpu.user",
            scale: .nanoseconds, since: "1.2.9"),
        .read(
            "libvirt_domain_cpu_system_seconds_total", .counter, "CPU time of the guest's process in the host's kernel.",
            "cpu.system", scale: .nanoseconds, since: "1.2.9"),
        .read(
            "libvirt_domain_cpu_haltpoll_seconds_total", .counter,
            "CPU time spent polling for work before halting a vCPU, by whether work came.",
            fields: ["success", "fail"].map {
                MetricField(answer: .domainStatistics, pattern: "cpu.haltpoll.\($0).time", labels: [.fixed("result", $0)])
            }, scale: .nanoseconds, since: "1.2.9", evidence: .recordedData),
    ]

    private static let vcpuFamilies: [MetricFamily] = [
        .read("libvirt_domain_vcpus_current", .gauge, "vCPUs that the guest has now.", "vcpu.current", since: "1.2.9"),
        .read("libvirt_domain_vcpus_maximum", .gauge, "vCPUs that the guest may have.", "vcpu.maximum", since: "1.2.9"),
        .read(
            "libvirt_domain_vcpu_state_code", .gauge, "State of the vCPU: 0 offline, 1 running, 2 blocked.", "vcpu.*.state", [.vcpu],
            since: "1.2.9"),
        .read(
            "libvirt_domain_vcpu_time_seconds_total", .counter, "CPU time of the vCPU's thread.", "vcpu.*.time", [.vcpu],
            scale: .nanoseconds, since: "1.2.9"),
        .read(
            "libvirt_domain_vcpu_wait_seconds_total", .counter,
            "Time the vCPU's thread waited for I/O; 0 where the host's kernel gathers no scheduler statistics.", "vcpu.*.wait", [.vcpu],
            scale: .nanoseconds, since: "1.2.9"),
        .read(
            "libvirt_domain_vcpu_delay_seconds_total", .counter,
            "Time the vCPU's thread was ready to run but had no CPU: what the guest sees as steal.", "vcpu.*.delay", [.vcpu],
            scale: .nanoseconds, since: "1.2.9"),
        .read(
            "libvirt_domain_vcpu_halted", .gauge, "Whether the vCPU is halted.", "vcpu.*.halted", [.vcpu], since: "1.2.9",
            evidence: .recordedData),
    ]

    private static let memoryFamilies: [MetricFamily] = [
        memory("maximum", "Memory that the guest may have.", "maximum", since: "1.2.9"),
        memory("current", "Size of the guest's balloon: what the guest holds now, not what it uses.", "current", since: "1.2.9"),
        memory("rss", "Memory of the host that the guest's process holds.", "rss", since: "1.2.9"),
        memory("available", "Memory that the guest's kernel manages.", "available", since: "1.2.9"),
        memory("usable", "Memory that the guest could give away without swapping.", "usable", since: "1.2.9"),
        memory("unused", "Memory that the guest uses for nothing, caches included in use.", "unused", since: "1.2.9"),
        .made(
            "libvirt_domain_memory_used_bytes", .gauge, "Memory that the guest uses: what it manages less what it could give away.",
            source: "balloon.available − balloon.usable", scale: .kibibytes, since: "1.2.9"),
        memory("disk_caches", "Memory that the guest uses as disk cache and can reclaim at once.", "disk_caches", since: "1.2.9"),
        .read(
            "libvirt_domain_memory_swap_in_bytes_total", .counter, "Memory that the guest read back from its swap.",
            "balloon.swap_in", scale: .kibibytes, since: "1.2.9"),
        .read(
            "libvirt_domain_memory_swap_out_bytes_total", .counter, "Memory that the guest wrote to its swap.",
            "balloon.swap_out", scale: .kibibytes, since: "1.2.9"),
        .read(
            "libvirt_domain_memory_major_faults_total", .counter, "Page faults in the guest that needed I/O.", "balloon.major_fault",
            since: "1.2.9"),
        .read(
            "libvirt_domain_memory_minor_faults_total", .counter, "Page faults in the guest that needed no I/O.", "balloon.minor_fault",
            since: "1.2.9"),
        .read(
            "libvirt_domain_memory_hugetlb_allocations_total", .counter, "Huge pages that the guest allocated.", "balloon.hugetlb_pgalloc",
            since: "1.2.9"),
        .read(
            "libvirt_domain_memory_hugetlb_failures_total", .counter, "Huge pages that the guest could not allocate.",
            "balloon.hugetlb_pgfail", since: "1.2.9"),
        .read(
            "libvirt_domain_memory_stats_updated_timestamp_seconds", .gauge,
            "When the guest last reported its memory figures; without a period on the balloon they stand still.", "balloon.last-update",
            since: "1.2.9"),
    ]

    private static func memory(_ name: String, _ help: String, _ field: String, since: String) -> MetricFamily {
        .read("libvirt_domain_memory_\(name)_bytes", .gauge, help, "balloon.\(field)", scale: .kibibytes, since: since)
    }
}
