# Two scrapes, `seconds` apart, as a table of guests.
function label(name,    at, rest) {
    at = index($0, name "=\"")
    if (!at) return ""
    rest = substr($0, at + length(name) + 2)
    return substr(rest, 1, index(rest, "\"") - 1)
}
function size(bytes) {
    if (bytes >= 1048576) return sprintf("%.1f MiB", bytes / 1048576)
    return sprintf("%.0f KiB", bytes / 1024)
}
/^libvirt_domain_/ {
    metric = substr($0, 1, index($0, "{") - 1)
    key = label("host") "\t" label("domain")
    value = $NF
    second = (FNR != NR)
    if (metric == "libvirt_domain_cpu_time_seconds_total") { cpu[second, key] += value; guest[key] = 1 }
    if (metric ~ /^libvirt_domain_block_(read|write)_bytes_total$/) disk[second, key] += value
    if (metric ~ /^libvirt_domain_interface_(receive|transmit)_bytes_total$/) net[second, key] += value
    if (second && metric == "libvirt_domain_state_code") state[key] = value
    if (second && metric == "libvirt_domain_memory_available_bytes") available[key] = value
    if (second && metric == "libvirt_domain_memory_usable_bytes") usable[key] = value
}
END {
    split("no state,running,blocked,paused,in shutdown,shut off,crashed,suspended", word, ",")
    printf "%-6s %-10s %-9s %6s %10s %12s %12s\n", "HOST", "GUEST", "STATE", "CPU %", "MEMORY", "DISK/s", "NETWORK/s"
    for (key in guest) {
        split(key, part, "\t")
        memory = (key in available) ? size(available[key] - usable[key]) : "unknown"
        printf "%-6s %-10s %-9s %6.1f %10s %12s %12s\n", part[1], part[2], word[state[key] + 1], (cpu[1, key] - cpu[0, key]) / seconds * 100, memory, size((disk[1, key] - disk[0, key]) / seconds), size((net[1, key] - net[0, key]) / seconds) | "sort -k2"
    }
    close("sort -k2")
}
