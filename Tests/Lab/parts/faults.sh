# shellcheck shell=bash
# Faults on purpose, each with its healing; `lab up` heals them all.

lab_fault() {
    need_lab
    local fault=${1:-} target=${2:-}
    (($# >= 2)) || usage_error "fault needs a kind and a target" "lab fault power-off h2"
    shift 2
    if [[ $fault != link-down ]] && (($#)); then usage_error "fault $fault takes one target" "lab fault $fault $target"; fi
    case $fault in
        qemu-kill | qemu-freeze | qemu-thaw) need_guest "$target" >/dev/null ;;
        power-off | power-on | link-down | link-up | libvirtd-kill | libvirtd-start | libvirtd-freeze | libvirtd-thaw | bmc-kill | bmc-start) need_host "$target" ;;
        *) usage_error "no fault is called '$fault'" "lab help" ;;
    esac
    case $fault in
        power-off) power_off "$target" ;;
        power-on) power_on "$target" ;;
        link-down) link_down "$target" "$@" ;;
        link-up) host_links "$target" up all ;;
        libvirtd-kill) signal_daemon "$target" KILL ;;
        libvirtd-start) daemon_start "$target" ;;
        libvirtd-freeze) signal_daemon "$target" STOP ;;
        libvirtd-thaw) signal_daemon "$target" CONT ;;
        bmc-kill) bmc_kill "$target" ;;
        bmc-start) bmc_up ;;
        qemu-kill) signal_qemu "$target" KILL ;;
        qemu-freeze) signal_qemu "$target" STOP ;;
        qemu-thaw) signal_qemu "$target" CONT ;;
    esac
}

# The links go first, so that no socket of a dying process says goodbye: to everybody else the host just falls silent.
power_off() {
    lock_lab
    host_links "$1" down all
    kill_namespace "$(host_namespace "$1")"
    find "$LAB/$1/run" -mindepth 1 -delete
    rm -rf "$LAB/$1/node"
}

# Starts with what is on the host's disk: its defined guests are there, and those marked autostart start.
power_on() {
    lock_lab
    host_up "$1"
}

# Cuts the management link only; the guests run on and keep their network, unless --all.
link_down() {
    case ${2:-} in
        '') host_links "$1" down ;;
        --all) host_links "$1" down all ;;
        *) usage_error "link-down does not know '$2'" "lab fault link-down $1 --all" ;;
    esac
}

signal_daemon() {
    local pid
    pid=$(daemon_pid "$1" libvirtd) || die "libvirtd does not run on $1" "$(host_is_on "$1" && echo "it is dead" || echo "the host is off")" "lab -n $NAME fault libvirtd-start $1, or power-on $1"
    kill "-$2" "$pid"
    # The signal is on its way when kill returns; the caller relies on its effect.
    wait_for 10 daemon_took "$1" "$2" || die "libvirtd on $1 (process $pid) did not take SIG$2" "its state is $(process_state "$pid" || echo gone)"
}

daemon_took() {
    local pid
    pid=$(daemon_pid "$1" libvirtd) || pid=''
    took_signal "$pid" "$2"
}

# took_signal PID SIGNAL: whether the process is as the signal should have made it. An empty PID is a dead process.
took_signal() {
    local state=''
    if [[ -n $1 ]]; then state=$(process_state "$1") || state=''; fi
    case $2 in
        KILL) [[ -z $state || $state == Z ]] ;;
        STOP) [[ $state == T ]] ;;
        CONT) [[ -n $state && $state != T ]] ;;
    esac
}

daemon_start() {
    host_is_on "$1" || die "the host $1 is off" "libvirtd cannot start on it" "lab -n $NAME fault power-on $1"
    if ! daemon_pid "$1" libvirtd >/dev/null; then without_locks enter_host "$1" libvirtd -d -l -p /run/libvirt/libvirtd.pid; fi
    wait_for 30 answers "$(socket_uri "$1")" || die "libvirtd on $1 does not answer" "$(tail -n 2 "$LAB/$1/log/libvirtd.log" | tr '\n' ' ')" "lab -n $NAME status"
}

# Heals libvirtd on a host that is on: thaws it, or starts it again. A host that has just been started is still writing its pid file.
daemon_resume() {
    local pid
    if pid=$(daemon_pid "$1" libvirtd); then
        if [[ $(process_state "$pid") == T ]]; then kill -CONT "$pid"; fi
    elif [[ -e $LAB/$1/run/started ]]; then
        daemon_start "$1"
    fi
}

# qemu_pid HOST GUEST
qemu_pid() {
    local inner pid
    inner=$(cat "$LAB/$1/run/libvirt/qemu/$2.pid" 2>/dev/null) || return 1
    pid=$(outer_pid "$1" "$inner") || return 1
    [[ $(cat "/proc/$pid/comm" 2>/dev/null) == qemu-system* ]] || return 1
    printf '%s' "$pid"
}

signal_qemu() {
    local host pid
    host=$(need_guest "$1") || exit 1
    pid=$(qemu_pid "$host" "$1") || die "the guest '$1' does not run" "$host has no QEMU process for it" "lab -n $NAME guest start $1"
    kill "-$2" "$pid"
    wait_for 10 took_signal "$pid" "$2" || die "the QEMU of '$1' (process $pid) did not take SIG$2" "its state is $(process_state "$pid" || echo gone)"
    # A killed guest is off when libvirt has noticed; a libvirtd that cannot notice is a fault of its own.
    if [[ $2 == KILL && $(daemon_state "$host") == running ]]; then wait_for 10 guest_is_off "$host" "$1" || true; fi
}

# Live migration, peer to peer. The shared folder is one local folder seen by all hosts, which libvirt cannot know: --unsafe.
lab_migrate() {
    need_lab
    [[ $# == 3 && $2 == --to ]] || usage_error "migrate needs a guest and a host" "lab migrate web-1 --to h2"
    local source
    need_host "$3"
    source=$(need_guest "$1") || exit 1
    [[ $source != "$3" ]] || die "the guest '$1' is on $3 already" "source and target are the same host"
    VIRSH_SECONDS=300 virsh_on "$source" migrate --live --p2p --unsafe --persistent --undefinesource "$1" "$(tcp_uri "$3")" >/dev/null ||
        die "the migration of '$1' from $source to $3 failed" "see the message of virsh above" "lab -n $NAME status"
}
