# shellcheck shell=bash
# What state everything is in, read from processes, links and files: it answers at once, whatever hangs.

lab_status() {
    need_lab
    local host
    case ${1:-} in
        '') for host in $(host_names); do host_status "$host" text; done ;;
        --json)
            printf '{"name":"%s","folder":"%s","subnet":"%s","hosts":[' "$NAME" "$LAB" "$SUBNET"
            for host in $(host_names); do
                if [[ $host != h1 ]]; then printf ','; fi
                host_status "$host" json
            done
            printf ']}\n'
            ;;
        *) usage_error "status does not know '$1'" "lab status --json" ;;
    esac
}

host_status() {
    local host=$1 power=off link=down guest_link=down daemon=dead uuid
    if host_is_on "$host"; then power=on; fi
    if link_is_up "$host" m; then link=up; fi
    if link_is_up "$host" g; then guest_link=up; fi
    daemon=$(daemon_state "$host")
    if [[ $2 == json ]]; then
        uuid=$(uuid_for "$NAME/$host")
        printf '{"name":"%s","uuid":"%s","address":"%s","power":"%s","link":"%s","guest_link":"%s","libvirtd":"%s","uri":"%s","socket_uri":"%s"' \
            "$host" "$uuid" "$(host_address "$host")" "$power" "$link" "$guest_link" "$daemon" "$(tcp_uri "$host")" "$(socket_uri "$host")"
        if [[ $WITH_BMC == yes ]]; then printf ',"bmc":"%s"' "$(bmc_address "$host")"; fi
        printf ',"guests":['
        guest_states "$host" json
        printf ']}'
    else
        printf '%-4s %-15s power %-3s  link %-4s  guest link %-4s  libvirtd %s\n' "$host" "$(host_address "$host")" "$power" "$link" "$guest_link" "$daemon"
        guest_states "$host" text
    fi
}

daemon_state() {
    local pid
    if ! pid=$(daemon_pid "$1" libvirtd); then
        printf 'dead'
    elif [[ $(process_state "$pid") == T ]]; then
        printf 'frozen'
    else
        printf 'running'
    fi
}

guest_states() {
    local host name state address uuid comma='' pid
    while IFS=$'\t' read -r host name state; do
        if [[ $host != "$1" ]]; then continue; fi
        address=$(guest_address "$host" "$name" 2>/dev/null) || address=''
        if [[ $state == running ]]; then
            pid=$(qemu_pid "$host" "$name") || state=dead
            if [[ $state == running && $(process_state "$pid") == T ]]; then state=frozen; fi
        fi
        if [[ $2 == json ]]; then
            uuid=$(grep -m1 -o '<uuid>[^<]*' "$(guest_file "$host" "$name")") || uuid=''
            printf '%s{"name":"%s","uuid":"%s","state":"%s","address":"%s"}' "$comma" "$name" "${uuid#<uuid>}" "$state" "$address"
            comma=,
        else
            printf '     %-24s %-8s %s\n' "$name" "$state" "$address"
        fi
    done < <(lab_guests)
}
