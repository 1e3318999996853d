# shellcheck shell=bash
# Guests: real domains in QEMU's own emulation (no KVM), 96 MiB, on the shared folder and the lab's guest network.

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
        *) usage_error "guest does not know '$verb'" "lab help guest" ;;
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
        undefine) guest_undefine "$host" "$name" ;;
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

guest_undefine() {
    if ! guest_is_off "$1" "$2"; then virsh_on "$1" destroy "$2" >/dev/null; fi
    if [[ -e $LAB/$1/etc/qemu/$2.xml ]]; then virsh_on "$1" undefine "$2" >/dev/null; fi
    rm -f "$LAB/shared/images/$2.qcow2" "$LAB/shared/images/$2-seed.iso" "$LAB/shared/console/$2.log"
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

guest_define() {
    G_NAME='' G_HOST='' G_MEMORY=96 G_VCPUS=1 G_DISK=64 G_LOAD='' G_METADATA='' G_SEED='' G_UUID=''
    parse_guest_options "$@"
    need_host "$G_HOST"
    if find_guest "$G_NAME" >/dev/null; then
        die "there is a guest '$G_NAME' already, on $(find_guest "$G_NAME")" "names are unique in a lab" "lab -n $NAME guest undefine $G_NAME"
    fi
    : "${G_UUID:=$(cat /proc/sys/kernel/random/uuid)}"
    build_image
    if ((G_DISK > 0)); then qemu-img create -q -f qcow2 "$LAB/shared/images/$G_NAME.qcow2" "${G_DISK}M"; fi
    if [[ -n $G_SEED ]]; then cp "$G_SEED" "$LAB/shared/images/$G_NAME-seed.iso"; fi
    local xml=$LAB/shared/$G_NAME.xml
    guest_xml >"$xml"
    virsh_on "$G_HOST" define "$xml" >/dev/null || {
        rm -f "$xml" "$LAB/shared/images/$G_NAME.qcow2" "$LAB/shared/images/$G_NAME-seed.iso"
        die "libvirt on $G_HOST refuses the guest '$G_NAME'" "see the message of virsh above"
    }
    rm -f "$xml"
}

parse_guest_options() {
    local example='lab guest create web-1 --host h1 --load cpu=50 --metadata group=web,tenant=acme'
    while (($#)); do
        case $1 in
            --host | --memory | --vcpus | --disk | --load | --metadata | --seed | --uuid)
                (($# >= 2)) || usage_error "$1 needs a value" "$example"
                set_guest_option "$1" "$2"
                shift 2
                ;;
            -*) usage_error "guest define does not know '$1'" "$example" ;;
            *)
                [[ -z $G_NAME ]] || usage_error "one guest at a time, not '$G_NAME' and '$1'" "$example"
                G_NAME=$1
                shift
                ;;
        esac
    done
    [[ $G_NAME =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$ ]] || usage_error "'$G_NAME' cannot be a guest's name here: letters, digits, '.', '_', '-', at most 40" "$example"
    [[ -n $G_HOST ]] || usage_error "--host is missing" "$example"
}

set_guest_option() {
    case $1 in
        --memory | --vcpus | --disk) [[ $2 =~ ^[0-9]{1,5}$ ]] || usage_error "$1 needs a whole number, not '$2'" "$1 80" ;;
        --seed) [[ -r $2 ]] || die "the seed $2 cannot be read" "there is no such file" ;;
        --uuid) [[ $2 =~ ^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$ ]] || usage_error "'$2' is not a UUID" "--uuid $(cat /proc/sys/kernel/random/uuid)" ;;
        --load) check_load "$2" ;;
    esac
    case $1 in
        --host) G_HOST=$2 ;;
        --memory) G_MEMORY=$2 ;;
        --vcpus) G_VCPUS=$2 ;;
        --disk) G_DISK=$2 ;;
        --load) G_LOAD=$2 ;;
        --metadata) G_METADATA=$2 ;;
        --seed) G_SEED=$2 ;;
        --uuid) G_UUID=$2 ;;
    esac
}

# The next MAC address of the lab, counted, so that no two guests made here share an address.
next_mac() {
    local counter lock
    exec {lock}<"$LAB/shared"
    flock "$lock"
    counter=$(cat "$LAB/next-guest" 2>/dev/null || echo 1)
    printf '%d\n' $((counter % 32500 + 1)) >"$LAB/next-guest"
    exec {lock}<&-
    printf '52:54:00:%02x:%02x:%02x' "${SUBNET#10.}" $((counter >> 8)) $((counter & 255))
}

# The replacements are quoted: bash 5.2 takes a bare & there for the matched text.
escape_xml() {
    local text=$1
    text=${text//&/"&amp;"}
    text=${text//</"&lt;"}
    text=${text//>/"&gt;"}
    printf '%s' "${text//\"/"&quot;"}"
}

# --metadata is a file with a whole element, or a list: group=web,tenant=acme,instance-type=s1.small,tag.KEY=VALUE
guest_metadata() {
    local pair key value
    if [[ -z $G_METADATA ]]; then return; fi
    if [[ -f $G_METADATA ]]; then
        cat "$G_METADATA"
        return
    fi
    printf '<steward:guest xmlns:steward="https://steward.dev/xmlns/guest/1">\n'
    for pair in ${G_METADATA//,/ }; do
        key=${pair%%=*}
        value=$(escape_xml "${pair#*=}")
        case $key in
            group | tenant | instance-type) printf '<steward:%s>%s</steward:%s>\n' "$key" "$value" "$key" ;;
            tag.?*) printf '<steward:tag name="%s">%s</steward:tag>\n' "$(escape_xml "${key#tag.}")" "$value" ;;
            *) usage_error "metadata does not know '$key'" "--metadata group=web,tenant=acme,instance-type=s1.small,tag.stage=test" ;;
        esac
    done
    printf '</steward:guest>\n'
}

guest_xml() {
    local metadata
    metadata=$(guest_metadata) || exit $?
    cat <<END
<domain type='qemu'>
  <name>$G_NAME</name>
  <uuid>$G_UUID</uuid>
  <metadata>$metadata</metadata>
  <memory unit='MiB'>$G_MEMORY</memory>
  <vcpu>$G_VCPUS</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$KERNEL</kernel>
    <initrd>$INITRD</initrd>
    <cmdline>console=ttyS0 panic=1 quiet lab.name=$G_NAME lab.subnet=$SUBNET lab.load=${G_LOAD// /,}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact'><model fallback='forbid'>qemu64</model></cpu>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>$(command -v qemu-system-x86_64)</emulator>
    <controller type='usb' model='none'/>
END
    if ((G_DISK > 0)); then
        cat <<END
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='$LAB/shared/images/$G_NAME.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
END
    fi
    if [[ -n $G_SEED ]]; then
        cat <<END
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw' cache='none'/>
      <source file='$LAB/shared/images/$G_NAME-seed.iso'/>
      <target dev='hda' bus='ide'/>
      <readonly/>
    </disk>
END
    fi
    cat <<END
    <interface type='bridge'>
      <mac address='$(next_mac)'/>
      <source bridge='guests'/>
      <model type='virtio'/>
    </interface>
    <serial type='file'><source path='$LAB/shared/console/$G_NAME.log' append='on'/></serial>
    <memballoon model='virtio'><stats period='2'/></memballoon>
  </devices>
</domain>
END
}
