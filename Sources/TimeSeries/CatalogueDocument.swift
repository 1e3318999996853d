extension MetricCatalogue {
    /// The catalogue as a Markdown page: what `Docs/Metrics.md` holds.
    public static func document() -> String {
        var page = """
            # Metrics

            Written by Steward from its catalogue of metrics; do not edit. A test fails when this page is not what the code says.

            Every series of a guest carries `host`, `uuid` and `domain`, every series of a host `host`, every series of a storage pool
            `host` and `pool`. What is descriptive stands only on the `*_info` series, whose value is always 1:

                rate(libvirt_domain_cpu_time_seconds_total[5m]) * on (host, uuid) group_left (tenant) libvirt_domain_info

            What is unknown has no series: never a zero. A guest that keeps libvirt from answering keeps its descriptions,
            `steward_guest_stuck` and `steward_guest_read_timestamp_seconds`, and nothing else. Numbers are whole in libvirt's own unit
            inside and shown in base units, exactly: nothing is rounded.

            *Field* is libvirt's name for the number (`*` stands for a number, `?` for a word that the hypervisor chooses). *Since* is the
            libvirt in whose headers the group of statistics, or the parameter, first stands (single fields may be younger). *Checked on* says whether its values were compared with libvirt's on real guests, or on recorded or
            written data only, since the laboratory's hosts do not give it. *Read* is "tick" for figures that are read anew in every tick.


            """
        for (subject, title) in [
            (MetricFamily.Subject.domain, "Guests"), (.node, "Hosts"), (.pool, "Storage pools"), (.process, "Steward's process"),
        ] {
            let own = families.filter { $0.subject == subject }
            page += "## \(title)\n\n"
            page +=
                "| metric | type | further labels | what it is | field | since | checked on | read |\n|---|---|---|---|---|---|---|---|\n"
            for family in own { page += row(family) }
            page += "\n"
        }
        return page + legacyDocument()
    }

    private static func row(_ family: MetricFamily) -> String {
        var seen: [String] = []
        for field in family.fields where !seen.contains(field.pattern) { seen.append(field.pattern) }
        let labels = family.labels.map { "`\($0)`" }.joined(separator: " ")
        let fields = seen.map { family.fields[0].answer == .other ? $0 : "`\($0)`" }.joined(separator: " ")
        return "| `\(family.name)` | \(family.kind.rawValue) | \(labels) | \(family.help) | \(fields) | \(family.since ?? "") "
            + "| \(family.evidence.rawValue) | \(family.isReadEveryTick ? "tick" : "on change") |\n"
    }

    private static func legacyDocument() -> String {
        var page = """
            ## Names of the archived exporter: `--metric-names=tinkoff`

            For dashboards made for https://github.com/Tinkoff/libvirt-exporter. Names, units and labels are that exporter's; every series
            carries `host` besides, since one Steward serves many hosts. Not served: `libvirt_domain_vcpu_cpu` (which CPU a vCPU runs on
            is not asked for), and the labels that only OpenStack's metadata or the disk's XML type would give.

            | legacy name | from | labels |
            |---|---|---|

            """
        for family in legacy {
            let canonical = index(of: family.canonical).map { families[$0].labels + families[$0].subject.labels } ?? []
            var labels = family.labels.filter { canonical.contains($0.from) }.map { "`\($0.to)`" }.joined(separator: " ")
            if let condition = family.condition { labels += " where `\(condition.name)` is \(condition.value)" }
            if let whole = family.percentOf { labels += ", in percent of `\(whole)`" }
            page += "| `\(family.name)` | `\(family.canonical)` | \(labels) |\n"
        }
        return page
    }
}
