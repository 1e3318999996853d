// What is asked for only where the XML or a running job gives cause: perf events, resctrl monitors, I/O threads, dirty rate,
// the hypervisor's own statistics, jobs.

extension MetricCatalogue {
    static let rareFamilies: [MetricFamily] = perfFamilies + monitorFamilies + threadFamilies + hypervisorFamilies

    /// Events that are counts; the others are bytes, bytes per second or nanoseconds.
    private static let perfEvents = [
        "cpu_cycles", "instructions", "cache_references", "cache_misses", "branch_instructions", "branch_misses", "bus_cycles",
        "stalled_cycles_frontend", "stalled_cycles_backend", "ref_cpu_cycles", "page_faults", "context_switches", "cpu_migrations",
        "page_faults_min", "page_faults_maj", "alignment_faults", "emulation_faults",
    ]

    private static let perfFamilies: [MetricFamily] = [
        .read(
            "libvirt_domain_perf_events_total", .counter, "Performance events of the guest's process, where its XML enables them.",
            fields: perfEvents.map { MetricField(answer: .domainStatistics, pattern: "perf.\($0)", labels: [.fixed("event", $0)]) },
            since: "2.3.0", evidence: .recordedData),
        .read(
            "libvirt_domain_perf_clock_seconds_total", .counter, "Clock events of the guest's process, where its XML enables them.",
            fields: ["cpu_clock", "task_clock"].map {
                MetricField(answer: .domainStatistics, pattern: "perf.\($0)", labels: [.fixed("event", $0)])
            }, scale: .nanoseconds, since: "3.2.0", evidence: .recordedData),
        .read(
            "libvirt_domain_perf_cache_occupancy_bytes", .gauge, "Last-level cache that the guest holds, by the perf event cmt.",
            "perf.cmt", since: "1.3.3", evidence: .recordedData),
        .read(
            "libvirt_domain_perf_memory_bandwidth_bytes_per_second", .gauge,
            "Memory bandwidth by the perf events mbmt (total) and mbml (local).",
            fields: [("mbmt", "total"), ("mbml", "local")].map {
                MetricField(answer: .domainStatistics, pattern: "perf.\($0)", labels: [.fixed("scope", $1)])
            }, since: "1.3.5", evidence: .recordedData),
    ]

    private static let monitorFamilies: [MetricFamily] = [
        .read(
            "libvirt_domain_cache_occupancy_bytes", .gauge, "Last-level cache that the vCPUs of a resctrl monitor hold.",
            "cpu.cache.monitor.*.bank.*.bytes",
            [
                MetricLabel(name: "monitor", value: .field("cpu.cache.monitor.*.name")),
                MetricLabel(name: "bank", value: .field("cpu.cache.monitor.*.bank.*.id")),
            ], since: "1.2.9", evidence: .recordedData),
        .read(
            "libvirt_domain_memory_bandwidth_bytes_total", .counter, "Memory traffic of the vCPUs of a resctrl monitor.",
            fields: ["total", "local"].map {
                MetricField(
                    answer: .domainStatistics, pattern: "memory.bandwidth.monitor.*.node.*.bytes.\($0)",
                    labels: [
                        MetricLabel(name: "monitor", value: .field("memory.bandwidth.monitor.*.name")),
                        MetricLabel(name: "node", value: .field("memory.bandwidth.monitor.*.node.*.id")), .fixed("scope", $0),
                    ])
            }, since: "6.0.0", evidence: .recordedData),
    ]

    private static let iothread = [MetricLabel(name: "iothread", value: .number(0))]

    private static let threadFamilies: [MetricFamily] = [
        .read(
            "libvirt_domain_iothread_poll_max_seconds", .gauge, "Longest time that the I/O thread polls; 0 means that it does not.",
            "iothread.*.poll-max-ns", iothread, scale: .nanoseconds, since: "4.10.0", evidence: .recordedData),
        .read(
            "libvirt_domain_iothread_poll_grow", .gauge, "Factor by which the I/O thread's polling grows; 0 leaves it to the hypervisor.",
            "iothread.*.poll-grow", iothread, since: "4.10.0", evidence: .recordedData),
        .read(
            "libvirt_domain_iothread_poll_shrink", .gauge,
            "Factor by which the I/O thread's polling shrinks; 0 leaves it to the hypervisor.",
            "iothread.*.poll-shrink", iothread, since: "4.10.0", evidence: .recordedData),
        .read(
            "libvirt_domain_dirty_rate_bytes_per_second", .gauge,
            "Memory that the guest dirties, as last measured; absent until somebody measures.", "dirtyrate.megabytes_per_second",
            scale: .mebibytes, since: "7.2.0", evidence: .recordedData),
        .read(
            "libvirt_domain_vcpu_dirty_rate_bytes_per_second", .gauge, "Memory that the vCPU dirties, as last measured.",
            "dirtyrate.vcpu.*.megabytes_per_second", [.vcpu], scale: .mebibytes, since: "7.2.0", evidence: .recordedData),
    ]

    private static let statistic = MetricLabel(name: "statistic", value: .word)

    /// libvirt passes these on as the hypervisor names them and promises nothing about them.
    private static let hypervisorFamilies: [MetricFamily] = [
        .read(
            "libvirt_domain_hypervisor_events_total", .counter,
            "A sum that the hypervisor keeps of the guest, by the hypervisor's own name.",
            "vm.?.sum", [statistic], since: "8.9.0", evidence: .recordedData),
        .read(
            "libvirt_domain_hypervisor_value", .gauge, "A current or peak value that the hypervisor keeps of the guest.",
            fields: ["cur", "max"].map {
                MetricField(answer: .domainStatistics, pattern: "vm.?.\($0)", labels: [statistic, .fixed("value", $0)])
            }, since: "8.9.0", evidence: .recordedData),
        .read(
            "libvirt_domain_vcpu_hypervisor_events_total", .counter,
            "A sum that the hypervisor keeps of the vCPU, by the hypervisor's own name.", "vcpu.*.?.sum", [.vcpu, statistic],
            since: "8.9.0",
            evidence: .recordedData),
        .read(
            "libvirt_domain_vcpu_hypervisor_value", .gauge, "A current or peak value that the hypervisor keeps of the vCPU.",
            fields: ["cur", "max"].map {
                MetricField(answer: .domainStatistics, pattern: "vcpu.*.?.\($0)", labels: [.vcpu, statistic, .fixed("value", $0)])
            }, since: "8.9.0", evidence: .recordedData),
    ]
}

extension MetricCatalogue {
    static let jobFamilies: [MetricFamily] =
        jobProgress + jobVolume("data", "Data of the job, memory and disks together") + jobVolume("memory", "Memory of the job")
        + jobVolume("disk", "Disk data of the job") + jobDetails

    private static let jobProgress: [MetricFamily] =
        [
            .made(
                "libvirt_domain_job_type_code", .gauge,
                "The guest's job: 1 bounded, 2 unbounded, 3 completed, 4 failed, 5 cancelled; absent without a job.",
                source: "virDomainGetJobStats type", since: "1.0.3", evidence: .recordedData),
            job(
                "operation_code", "What the job does, by libvirt's number (5 and 6 are incoming and outgoing migration).", "operation",
                "3.3.0"),
            job("elapsed_seconds", "How long the job has run.", "time_elapsed", scale: .milliseconds),
            job("remaining_seconds", "How long the job is expected to run yet.", "time_remaining", scale: .milliseconds),
            job("downtime_seconds", "How long the guest was or is expected to be stopped.", "downtime", scale: .milliseconds),
            job("setup_seconds", "How long the job took to set up.", "setup_time", "1.2.9", scale: .milliseconds),
        ]

    private static let jobDetails: [MetricFamily] =
        [
            job("memory_bytes_per_second", "Rate at which the job moves memory.", "memory_bps", "1.2.9"),
            job("disk_bytes_per_second", "Rate at which the job moves disk data.", "disk_bps", "1.2.9"),
            job("memory_dirty_pages_per_second", "Rate at which the guest dirties pages.", "memory_dirty_rate", "1.3.1"),
            job("memory_page_size_bytes", "Size of the pages that the job counts.", "memory_page_size", "3.9.0"),
            job("memory_iteration", "Which pass over memory the job is in.", "memory_iteration", "1.3.1"),
            job("memory_postcopy_requests", "Pages that the target asked for after the switch.", "memory_postcopy_requests", "5.0.0"),
            job("memory_constant_pages", "Pages that the job sent as one repeated byte.", "memory_constant"),
            job("memory_normal_pages", "Pages that the job sent as they are.", "memory_normal"),
            job("memory_normal_bytes", "Memory that the job sent as it is.", "memory_normal_bytes"),
            job("compression_cache_bytes", "Cache of the job's compression.", "compression_cache"),
            job("compression_bytes", "Compressed memory that the job sent.", "compression_bytes"),
            job("compression_pages", "Pages that the job sent compressed.", "compression_pages"),
            job("compression_cache_misses", "Pages that the job's compression cache did not hold.", "compression_cache_misses"),
            job("compression_overflow", "Pages that would have grown by compression.", "compression_overflow"),
            job(
                "auto_converge_throttle_ratio", "Share of its CPU that the job takes from the guest so that it can finish.",
                "auto_converge_throttle", "2.0.0", scale: Scale(decimals: 2)),
            job("disk_temporary_used_bytes", "Temporary disk space that the job uses.", "disk_temp_used", "6.0.0"),
            job("disk_temporary_total_bytes", "Temporary disk space that the job may use.", "disk_temp_total", "6.0.0"),
        ]

    private static func job(
        _ name: String, _ help: String, _ field: String, _ since: String = "1.0.3", scale: Scale = .one
    ) -> MetricFamily {
        .read("libvirt_domain_job_\(name)", .gauge, help, from: .jobStatistics, field, scale: scale, since: since, evidence: .recordedData)
    }

    private static func jobVolume(_ field: String, _ words: String) -> [MetricFamily] {
        [("total", "in all"), ("processed", "moved so far"), ("remaining", "yet to be moved")].map { part, rest in
            job("\(field)_\(part)_bytes", "\(words), \(rest).", "\(field)_\(part)")
        }
    }
}
