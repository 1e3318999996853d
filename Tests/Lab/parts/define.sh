# shellcheck shell=bash
# A guest from nothing: its options, its disk and its XML.

guest_define() {
    G_NAME='' G_HOST='' G_MEMORY=112 G_VCPUS=1 G_DISK=64 G_LOAD='' G_METADATA='' G_SEED='' G_UUID=''
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
