// Storage pools, and Steward's own books: how fresh and how whole the figures are, and what gathering them costs.

extension MetricCatalogue {
    static let poolFamilies: [MetricFamily] = [
        .made(
            "libvirt_storage_pool_state_code", .gauge, "State of the pool: 0 inactive, 1 building, 2 running, 3 degraded, 4 inaccessible.",
            about: .pool, source: "virStoragePoolGetInfo state", evidence: .recordedData, isReadEveryTick: false),
        pool("capacity", "Size of the pool."),
        pool("allocation", "What is in use of the pool."),
        pool("available", "What is left of the pool."),
        .made(
            "libvirt_storage_pool_read_timestamp_seconds", .gauge, "When the pool's figures were read from libvirt.", about: .pool,
            source: "Steward's clock", scale: .milliseconds, evidence: .recordedData, isReadEveryTick: false),
        .made(
            "libvirt_storage_pool_refreshed_timestamp_seconds", .gauge,
            "When libvirt itself last looked at the pool, where Steward saw it: the age of the figures.", about: .pool,
            source: "VIR_STORAGE_POOL_EVENT_ID_REFRESH", scale: .milliseconds, evidence: .recordedData, isReadEveryTick: false),
    ]

    private static func pool(_ field: String, _ help: String) -> MetricFamily {
        .made(
            "libvirt_storage_pool_\(field)_bytes", .gauge, help, about: .pool, source: "virStoragePoolGetInfo \(field)",
            evidence: .recordedData, isReadEveryTick: false)
    }

    static let stewardFamilies: [MetricFamily] = guestFamilies + laneFamilies + processFamilies

    private static let guestFamilies: [MetricFamily] = [
        own("steward_guest_stuck", .gauge, "Whether the guest keeps libvirt from answering; its figures are left out.", about: .domain),
        own(
            "steward_guest_partial", .gauge, "Whether the last answer lacks figures that the guest gave before; those are left out.",
            about: .domain),
        own(
            "steward_guest_read_timestamp_seconds", .gauge, "When the guest's figures were last read.", about: .domain,
            scale: .milliseconds),
    ]

    private static let laneFamilies: [MetricFamily] = [
        own("steward_reads_total", .counter, "Ticks in which the host's figures were read.", about: .node),
        own("steward_ticks_missed_total", .counter, "Ticks for which there is no reading.", about: .node),
        own("steward_tick_duration_seconds", .gauge, "Time that the calls of the last tick took.", about: .node, scale: .nanoseconds),
        own("steward_tick_timestamp_seconds", .gauge, "When the host's figures were last read.", about: .node, scale: .milliseconds),
        own("steward_map_seconds_total", .counter, "CPU time spent on turning answers into samples.", about: .node, scale: .nanoseconds),
        own("steward_guests_stuck", .gauge, "Guests that keep libvirt from answering.", about: .node),
        own("steward_guests_partial", .gauge, "Guests whose last answer was incomplete.", about: .node),
        own("steward_connects_total", .counter, "Connections to the host that were opened.", about: .node),
        own("steward_libvirt_calls_total", .counter, "Calls sent to the host.", about: .node),
        own("steward_libvirt_call_failures_total", .counter, "Calls to the host that failed.", about: .node),
        own("steward_calls_abandoned_total", .counter, "Calls whose thread was left behind at the deadline.", about: .node),
        own("steward_late_answers_total", .counter, "Abandoned calls that came back after all.", about: .node),
        own("steward_libvirt_events_total", .counter, "Events that the host told.", about: .node),
    ]

    private static let processFamilies: [MetricFamily] = [
        .made(
            "steward_build_info", .info, "Steward's version and the libraries that it runs with.", about: .process, source: "Steward",
            labels: ["version", "swift", "libvirt_library", "sqlite"], evidence: .own),
        own("steward_scrapes_total", .counter, "Scrapes that were answered.", about: .process),
        own(
            "steward_scrape_seconds_total", .counter, "CPU time spent on writing answers to scrapes.", about: .process, scale: .nanoseconds),
        own("steward_scrape_bytes_total", .counter, "Bytes written for scrapes, compressed where the scraper takes that.", about: .process),
        own(
            "process_cpu_seconds_total", .counter, "CPU time of Steward's process, user and system.", about: .process,
            scale: .nanoseconds),
        own("process_resident_memory_bytes", .gauge, "Memory that Steward's process holds.", about: .process),
        own("process_start_time_seconds", .gauge, "When Steward's process began.", about: .process, scale: .milliseconds),
        own("process_open_fds", .gauge, "File descriptors that Steward's process has open.", about: .process),
        own("process_threads", .gauge, "Threads of Steward's process.", about: .process),
    ]

    private static func own(
        _ name: String, _ kind: MetricFamily.Kind, _ help: String, about subject: MetricFamily.Subject,
        labels: [String] = [], scale: Scale = .one
    ) -> MetricFamily {
        .made(name, kind, help, about: subject, source: "Steward", labels: labels, scale: scale, evidence: .own)
    }
}
