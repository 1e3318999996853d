# shellcheck shell=bash
# The hosts: their folders and settings, their start and end, and the commands up, down, hosts, uri, exec and virsh.

# Sixty hosts have addresses; about eight is what two cores carry.
HOST_LIMIT=60

lab_up() {
    local wanted='' bmc=''
    while (($#)); do
        case $1 in
            --hosts)
                if ! [[ ${2:-} =~ ^[1-9][0-9]?$ ]] || (($2 > HOST_LIMIT)); then
                    usage_error "--hosts needs a number from 1 to $HOST_LIMIT" "lab up --hosts 3"
                fi
                wanted=$2
                shift 2
                ;;
            --bmc)
                bmc=yes
                shift
                ;;
            *) usage_error "up does not know '$1'" "lab up --hosts 3 --bmc" ;;
        esac
    done
    refuse_foreign_names
    lock_lab
    if [[ -n $wanted ]] && ((wanted < HOST_COUNT)); then
        die "the lab '$NAME' has $HOST_COUNT hosts already" "up adds hosts but takes none away" "lab -n $NAME down, then up --hosts $wanted"
    fi
    check_machine
    chmod 700 "$LAB"
    HOST_COUNT=${wanted:-$((HOST_COUNT > 0 ? HOST_COUNT : 3))}
    WITH_BMC=${bmc:-$WITH_BMC}
    write_record
    mkdir -p "$LAB"/shared/{images,boot,leases,console}
    build_image
    switch_up
    write_hosts_file
    start_all_hosts
    if [[ $WITH_BMC == yes ]]; then bmc_up; fi
}

# What the machine must have, each with the package that brings it.
check_machine() {
    need_tool libvirtd libvirt-daemon-system
    need_tool virtlockd libvirt-daemon-system
    need_tool virsh libvirt-clients
    need_tool qemu-system-x86_64 qemu-system-x86
    need_tool qemu-img qemu-utils
    need_tool ip iproute2
    need_tool unshare util-linux
    need_tool busybox busybox-static
    [[ -c /dev/net/tun ]] || die "/dev/net/tun is missing" "the guests' interfaces are tap devices" "modprobe tun"
    # The guests' disks use cache='none', which tmpfs on older kernels refuses.
    if ! dd if=/dev/zero of="$LAB/direct" bs=4096 count=1 oflag=direct status=none 2>/dev/null; then
        rm -f "$LAB/direct"
        die "$LAB lies on a file system without direct I/O" "the guests' disks use cache='none'" "set LAB_DIR to a folder on ext4, xfs or btrfs"
    fi
    rm -f "$LAB/direct"
}

write_hosts_file() {
    local host
    {
        printf '127.0.0.1 localhost\n%s.0.254 outside\n' "$SUBNET"
        for host in $(host_names); do printf '%s %s\n' "$(host_address "$host")" "$host"; done
    } >"$LAB/hosts.new"
    # Written in place: the file is bound into the hosts, and a bind holds on to the old one.
    cat "$LAB/hosts.new" >"$LAB/hosts"
    rm "$LAB/hosts.new"
}

start_all_hosts() {
    local host failed=''
    local -A starting=()
    for host in $(host_names); do
        (host_up "$host") &
        starting[$host]=$!
    done
    for host in $(host_names); do wait "${starting[$host]}" || failed+=" $host"; done
    [[ -z $failed ]] || die "not every host came up:$failed" "see the messages above, and DIR/HOST/init.log and DIR/HOST/log/libvirtd.log in $LAB" "lab -n $NAME status"
}

# Brings one host to the state "on, linked, answering", whatever was done to it before.
host_up() {
    local host=$1
    mkdir -p "$LAB/$host"/{run,lib,log,cache,etc}
    host_network_up "$host"
    if ! link_is_up "$host" m || ! link_is_up "$host" g; then host_links "$host" up all; fi
    if ! host_is_on "$host"; then host_start "$host"; fi
    daemon_resume "$host"
    if ! answers "$(tcp_uri "$host")"; then wait_for_host "$host"; fi
}

host_is_on() { outer_pid "$1" 1 >/dev/null; }

answers() { timeout -k 1 3 virsh -q -c "$1" hostname >/dev/null 2>&1; }

wait_for_host() {
    if ! wait_for 60 host_answers_or_died "$1" || ! answers "$(tcp_uri "$1")"; then
        die "the libvirtd of $1 does not answer at $(tcp_uri "$1")" "$(tail -n 3 "$LAB/$1/init.log" "$LAB/$1/log/libvirtd.log" 2>/dev/null | tr '\n' ' ')" "lab -n $NAME status; lab -n $NAME down"
    fi
}

host_answers_or_died() { answers "$(tcp_uri "$1")" || ! host_is_on "$1"; }

host_start() {
    local host=$1
    host_write_settings "$host"
    # A reboot empties /run: whatever lies there speaks of processes that are gone.
    find "$LAB/$host/run" -mindepth 1 -delete
    launch "$LAB/$host/init.log" ip netns exec "$(host_namespace "$host")" \
        unshare --mount --uts --pid --fork --mount-proc --kill-child "$LAB_HOME/host-init" "$LAB" "$host"
    wait_for 20 host_is_on "$host" || die "the host $host did not start" "$(tail -n 3 "$LAB/$host/init.log" | tr '\n' ' ')" "lab -n $NAME down, then up"
}

# A name-based UUID: the same lab and host always have the same one.
uuid_for() {
    local hash
    hash=$(printf '%s' "$1" | sha1sum)
    printf '%s-%s-5%s-8%s-%s' "${hash:0:8}" "${hash:8:4}" "${hash:13:3}" "${hash:17:3}" "${hash:20:12}"
}

host_write_settings() {
    local host=$1 etc=$LAB/$1/etc
    mkdir -p "$etc/storage/autostart" "$etc/qemu"
    if [[ -d /etc/libvirt/nwfilter ]]; then cp -rn /etc/libvirt/nwfilter "$etc/"; fi
    cat >"$etc/libvirtd.conf" <<END
listen_tls = 0
listen_tcp = 1
listen_addr = "0.0.0.0"
auth_tcp = "none"
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "$(uuid_for "$NAME/$host")"
log_level = 3
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
audit_level = 0
END
    cat >"$etc/virtlockd.conf" <<END
log_level = 3
log_outputs = "3:file:/var/log/libvirt/virtlockd.log"
END
    cat >"$etc/qemu.conf" <<END
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
stdio_handler = "file"
migration_host = "$(host_address "$host")"
lock_manager = "lockd"
END
    cat >"$etc/qemu-lockd.conf" <<END
auto_disk_leases = 1
file_lockspace_dir = "$LAB/shared/leases"
END
    cat >"$etc/storage/shared.xml" <<END
<pool type='dir'>
  <name>shared</name>
  <uuid>$(uuid_for "$NAME/$host/shared")</uuid>
  <target><path>$LAB/shared/images</path></target>
</pool>
END
    ln -sf /etc/libvirt/storage/shared.xml "$etc/storage/autostart/shared.xml"
}

# lab_down works from the names alone, so it also clears up after a crash, a half-done up, or a lost folder.
lab_down() {
    (($# == 0)) || usage_error "down takes no argument" "lab -n $NAME down"
    refuse_foreign_names
    if [[ -d $LAB ]]; then
        lock_lab
        [[ -f $LAB/lab.conf || -z $(find "$LAB" -mindepth 1 -print -quit) ]] ||
            die "$LAB is left alone" "it has files but no lab.conf, so it may not be a lab's folder" "look at it and remove it by hand"
    fi
    local space pids=''
    for space in $(lab_namespaces); do pids+=" $(namespace_pids "$space" | tr '\n' ' ')"; done
    # All at once, hosts and helpers: nothing may start anew what has just been stopped.
    # shellcheck disable=SC2086 # a list of numbers
    if [[ -n ${pids// /} ]]; then kill -KILL $pids 2>/dev/null || true; fi
    for space in $(lab_namespaces); do kill_namespace "$space"; done
    switch_down
    for space in $(lab_namespaces); do ip netns del "$space"; done
    if [[ -d $LAB ]]; then rm -rf --one-file-system "$LAB"; fi
}

lab_namespaces() {
    local path name
    for path in /run/netns/"$PREFIX"-*; do
        name=${path##*/}
        if [[ $name =~ ^$PREFIX-(switch|h[0-9]+)$ && -e $path ]]; then printf '%s\n' "$name"; fi
    done
}

lab_hosts() {
    need_lab
    local host
    for host in $(host_names); do printf '%s\t%s\t%s\n' "$host" "$(tcp_uri "$host")" "$(socket_uri "$host")"; done
}

lab_uri() {
    local socket=no
    if [[ ${1:-} == --socket ]]; then
        socket=yes
        shift
    fi
    (($# == 1)) || usage_error "uri needs one host" "lab uri h1, or lab uri --socket h1"
    need_host "$1"
    if [[ $socket == yes ]]; then socket_uri "$1"; else tcp_uri "$1"; fi
    printf '\n'
}

# enter_host HOST COMMAND…: runs in all of the host's namespaces.
enter_host() {
    local host=$1 pid
    shift
    pid=$(outer_pid "$host" 1) || die "the host $host is off" "it has no process" "lab -n $NAME fault power-on $host"
    nsenter --target "$pid" --mount --uts --net --pid "$@"
}

lab_exec() {
    (($# >= 2)) || usage_error "exec needs a host and a command" "lab exec h1 virsh list --all"
    need_host "$1"
    enter_host "$@"
}

lab_virsh() {
    (($# >= 1)) || usage_error "virsh needs a host" "lab virsh h1 list --all"
    need_host "$1"
    local host=$1
    shift
    exec virsh -c "$(socket_uri "$host")" "$@"
}
