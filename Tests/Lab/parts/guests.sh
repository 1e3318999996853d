# shellcheck shell=bash
# Guests: real domains in QEMU's own emulation (no KVM), 112 MiB, on the shared folder and the lab's guest network.

lab_guest() {
    need_lab
    local verb=${1:-}
    if (($#)); then shift; fi
    case $verb in
        define) guest_define "$@" >/dev/null ;;
        create)
            guest_define "$@"
            virsh_on "$G_HOST" start "$G_NAME" >/dev/null || die "the guest '$G_NAME' is defined on $G_HOST but does not start" "see the message of virsh above" "lab -n $NAME virsh $G_HOST start $G_NAME"
            ;;
        start | stop | destroy | undefine | wait | ip | xml | host | exec) guest_verb "$verb" "$@" ;;
        *) usage_error "guest does not know '$verb'" "lab help" ;;
    esac
}

guest_verb() {
    local verb=$1 name=${2:-} host
    [[ -n $name ]] || usage_error "guest $verb needs the guest's name" "lab guest $verb web-1"
    if [[ $verb == exec ]]; then
        (($# >= 3)) || usage_error "guest exec needs a guest and a command" "lab guest exec web-1 cat /proc/meminfo"
    elif [[ $verb != wait ]]; then
        (($# == 2)) || usage_error "guest $verb takes one guest" "lab guest $verb web-1"
    fi
    host=$(need_guest "$name") || exit 1
    case $verb in
        start) virsh_on "$host" start "$name" >/dev/null ;;
        stop) guest_stop "$host" "$name" ;;
        destroy) virsh_on "$host" destroy "$name" >/dev/null ;;
        undefine) guest_undefine "$name" ;;
        wait) guest_wait "$name" "${@:3}" ;;
        ip) guest_address "$host" "$name" && printf '\n' ;;
        xml) virsh_on "$host" dumpxml "$name" ;;
        exec) guest_exec "$host" "${@:2}" ;;
        host) printf '%s\n' "$host" ;;
    esac
}

# Prints the host a guest runs on, or else the first one that defines it. It looks at libvirt's files and not at libvirt,
# so that it knows the answer while libvirtd hangs or is dead. During a migration the source is the one that counts.
find_guest() {
    local host found=''
    for host in $(host_names); do
        if [[ -e $LAB/$host/run/libvirt/qemu/$1.pid ]]; then
            if grep -qs "<domstatus state='running'" "$LAB/$host/run/libvirt/qemu/$1.xml"; then
                printf '%s' "$host"
                return
            fi
            found=$host
        elif [[ -z $found && -e $LAB/$host/etc/qemu/$1.xml ]]; then
            found=$host
        fi
    done
    [[ -n $found ]] && printf '%s' "$found"
}

need_guest() {
    find_guest "$1" || die "no host knows the guest '$1'" "it is neither running nor defined on h1 to h$HOST_COUNT" "lab -n $NAME guests"
}

# guest_file HOST NAME: libvirt's own file about a guest, the running one if there is one.
guest_file() {
    if [[ -e $LAB/$1/run/libvirt/qemu/$2.xml ]]; then printf '%s/%s/run/libvirt/qemu/%s.xml' "$LAB" "$1" "$2"; else printf '%s/%s/etc/qemu/%s.xml' "$LAB" "$1" "$2"; fi
}

# The guest's address follows its MAC address, as guest/init has it.
guest_address() {
    local line high low
    line=$(grep -m1 -o "mac address='[^']*'" "$(guest_file "$1" "$2")") ||
        die "the guest '$2' has no network interface" "its address is made from its MAC address"
    line=${line#*\'}
    line=${line%\'}
    high=${line:12:2}
    low=${line:15:2}
    printf '%s.%d.%d' "$SUBNET" $((128 + (0x$high & 127))) $((0x$low))
}

# http_get ADDRESS PATH: what the guest's web server answers, within 5 s. (Debian 12's busybox wget dies of its own -T.)
http_get() { timeout 5 busybox wget -q -O - "http://$1$2" 2>/dev/null; }

guest_wait() {
    local name=$1 seconds=60 host address
    if [[ ${2:-} == --seconds ]]; then seconds=${3:-60}; fi
    host=$(need_guest "$name") || exit 1
    address=$(guest_address "$host" "$name")
    wait_for "$seconds" guest_answers "$address" || die "the guest '$name' does not answer at http://$address/ after $seconds s" \
        "its console says last: $(tail -n 2 "$LAB/shared/console/$name.log" 2>/dev/null | tr -d '\r' | tr '\n' ' ')" "lab -n $NAME status"
}

guest_exec() {
    local host=$1 name=$2 address
    shift 2
    address=$(guest_address "$host" "$name")
    timeout 30 busybox wget -q -O - --post-data "$*" "http://$address/cgi-bin/exec" ||
        die "the guest '$name' did not answer the command" "http://$address/cgi-bin/exec gave no answer within 30 s" "lab -n $NAME guest wait $name"
}

guest_answers() { [[ -n $(http_get "$1" /) ]]; }

guest_stop() {
    virsh_on "$1" shutdown "$2" >/dev/null
    wait_for 60 guest_is_off "$1" "$2" || die "the guest '$2' does not shut down" "60 s after the power button it still runs" "lab -n $NAME guest destroy $2"
}

guest_is_off() { [[ ! -e $LAB/$1/run/libvirt/qemu/$2.pid ]]; }

# From every host that runs or defines it. A host that is off has only a file to lose.
guest_undefine() {
    local host pid name=$1
    for host in $(host_names); do
        if ! guest_is_off "$host" "$name"; then
            # A frozen QEMU would keep libvirt waiting for it to end.
            if pid=$(qemu_pid "$host" "$name"); then kill -CONT "$pid"; fi
            virsh_on "$host" destroy "$name" >/dev/null
        fi
        if [[ ! -e $LAB/$host/etc/qemu/$name.xml ]]; then continue; fi
        if host_is_on "$host"; then
            virsh_on "$host" undefine "$name" >/dev/null
        else
            rm -f "$LAB/$host/etc/qemu/$name.xml" "$LAB/$host/etc/qemu/autostart/$name.xml"
        fi
    done
    rm -f "$LAB/shared/images/$name.qcow2" "$LAB/shared/images/$name-seed.iso" "$LAB/shared/console/$name.log"
}

# Heals the hosts and removes every guest and every volume, for the next test: faster than down and up.
lab_clean() {
    need_lab
    (($# == 0)) || usage_error "clean takes no argument" "lab -n $NAME clean"
    local name host
    lab_up
    for name in $(lab_guests | cut -f2 | sort -u); do guest_undefine "$name"; done
    find "$LAB/shared/images" "$LAB/shared/leases" "$LAB/shared/console" -mindepth 1 -delete
    for host in $(host_names); do
        node_off "$host"
        virsh_on "$host" pool-refresh shared >/dev/null
    done
}

# Every guest on every host, one a line: host, name, running or defined.
lab_guests() {
    need_lab
    local host path name
    for host in $(host_names); do
        for path in "$LAB/$host"/run/libvirt/qemu/*.pid "$LAB/$host"/etc/qemu/*.xml; do
            if [[ ! -e $path ]]; then continue; fi
            name=${path##*/}
            case $name in
                # QEMU's pid file; libvirt's own (driver.pid) has no XML beside it.
                *.pid) if [[ -e ${path%.pid}.xml ]]; then printf '%s\t%s\trunning\n' "$host" "${name%.pid}"; fi ;;
                *) if guest_is_off "$host" "${name%.xml}"; then printf '%s\t%s\tdefined\n' "$host" "${name%.xml}"; fi ;;
            esac
        done
    done
}
