# shellcheck shell=bash
# The lab's network: a namespace of its own holds both bridges (the "switch"), so that the machine's firewall rules for
# bridges do not reach them; the machine itself gets two interfaces, one for management and one for the guests.
#
#   SUBNET.0.0/24    management: hosts .1 to .60, their BMCs .101 to .160, the machine .254
#   SUBNET.128.0/17  guests: by the last 15 bits of their MAC address; the machine .255.253, the sink for load .255.254

# MAC addresses are fixed: mac KIND INDEX. KIND: 1 a host's management, 2 a host's guest link, 3 the switch, 4 the machine.
mac() { printf '02:5e:%02x:00:%02x:%02x' "${SUBNET#10.}" "$1" "$2"; }

# Sets SUBNET to the first 10.x which no address and no route of this machine touches, beginning at one that the name gives.
choose_subnet() {
    local start candidate try
    start=$(($(printf '%s' "$NAME" | cksum | cut -d' ' -f1) % 90))
    for ((try = 0; try < 90; try++)); do
        candidate=10.$((160 + (start + try) % 90))
        if subnet_is_free "$candidate"; then
            SUBNET=$candidate
            return
        fi
    done
    die "no free subnet" "addresses or routes of this machine touch each of 10.160.0.0/16 to 10.249.0.0/16" "look at: ip route show table all"
}

# A route that holds the range (other than a default) or lies within it means that somebody uses it.
subnet_is_free() {
    # Not grep -q: it closes the pipe at the first match, and the writer's SIGPIPE would count as "no match".
    if ip -4 route show table all match "$1.0.0/16" | grep -v '^default' >/dev/null; then return 1; fi
    [[ -z $(ip -4 route show table all root "$1.0.0/16") ]]
}

# The lab's two interfaces on the machine say in their alias whose they are. Others of the same name are left alone; if they are a
# lab's of this name in another folder, its namespaces have our names too, and nothing may be done to them from here.
refuse_foreign_names() {
    local link alias
    for link in "$MGMT_LINK" "$GUEST_LINK"; do
        if ! alias=$(cat "/sys/class/net/$link/ifalias" 2>/dev/null) || [[ $alias == "$LINK_ALIAS" ]]; then continue; fi
        if [[ $alias == "$PREFIX "* ]]; then
            die "the lab '$NAME' lives in ${alias#"$PREFIX "}, not in $LAB" "LAB_DIR says so, and the name is taken" "set LAB_DIR=${alias#"$PREFIX "}, or use another name: lab -n OTHER"
        fi
        die "the interface $link is there already" "it is not this lab's (its alias is '$alias')" "use another name: lab -n OTHER up"
    done
}

switch_is_up() { [[ -e $LAB/switch-ready ]] && namespace_exists "$SWITCH" && [[ -e /sys/class/net/$MGMT_LINK && -e /sys/class/net/$GUEST_LINK ]]; }

# Two labs that come up at once must not choose the same subnet: the choice and the addresses are made under one lock,
# on a folder that is there anyway.
switch_up() {
    if switch_is_up; then return; fi
    local machine_lock
    exec {machine_lock}</var/tmp
    flock -w 60 "$machine_lock" || die "another lab holds the lock on /var/tmp" "it chooses its subnet" "try again"
    switch_down
    if [[ -z $SUBNET ]] || ! subnet_is_free "$SUBNET"; then
        choose_subnet
        write_record
    fi
    make_switch || die "the lab's switch cannot be made" "see the message of ip above" "lab -n $NAME down, then up again"
    exec {machine_lock}<&-
    : >"$LAB/switch-ready"
}

# The machine's two interfaces are made and marked inside the namespace and then moved out, so that they are never seen unmarked:
# a crash at any moment leaves either nothing outside or something that `down` knows for its own.
make_switch() {
    local host
    ip netns add "$SWITCH" &&
        ip -n "$SWITCH" -batch - <<END &&
link set lo up
link add mgmt address $(mac 3 1) type bridge mcast_snooping 0
link add guests address $(mac 3 2) type bridge mcast_snooping 0
link add outside-m type veth peer name $MGMT_LINK address $(mac 4 1)
link add outside-g type veth peer name $GUEST_LINK address $(mac 4 2)
link set outside-m master mgmt up
link set outside-g master guests up
link set mgmt up
link set guests up
addr add $SUBNET.255.254/17 dev guests
link set $MGMT_LINK alias "$LINK_ALIAS"
link set $GUEST_LINK alias "$LINK_ALIAS"
link set $MGMT_LINK netns $$
link set $GUEST_LINK netns $$
END
        quiet_ipv6 "$MGMT_LINK" "$GUEST_LINK" &&
        ip -batch - <<END &&
link set $MGMT_LINK up
link set $GUEST_LINK up
addr add $SUBNET.0.254/24 dev $MGMT_LINK
addr add $SUBNET.255.253/17 dev $GUEST_LINK
END
        # A neighbour that must be asked for answers "no route to host" after 3 s; a known one is a black hole when it is cut off.
        for ((host = 1; host <= HOST_LIMIT; host++)); do
            printf 'neigh replace %s.0.%d lladdr %s dev %s nud permanent\n' "$SUBNET" "$host" "$(mac 1 "$host")" "$MGMT_LINK"
        done | ip -batch - &&
        launch "$LAB/sink.log" nsenter --net="/run/netns/$SWITCH" busybox nc -ll -p 9 -e busybox dd of=/dev/null
}

# The machine's own side speaks IPv4 only: no router may be found through the lab.
quiet_ipv6() {
    local link
    for link in "$@"; do
        if [[ -d /proc/sys/net/ipv6/conf/$link ]]; then echo 1 >"/proc/sys/net/ipv6/conf/$link/disable_ipv6"; fi
    done
}

switch_down() {
    local link
    rm -f "$LAB/switch-ready"
    kill_namespace "$SWITCH"
    for link in "$MGMT_LINK" "$GUEST_LINK"; do
        if [[ -e /sys/class/net/$link && $(cat "/sys/class/net/$link/ifalias") == "$LINK_ALIAS" ]]; then ip link del "$link"; fi
    done
    if namespace_exists "$SWITCH"; then ip netns del "$SWITCH"; fi
}

# Gives a host its namespace, its address on the management bridge and its piece of the guest bridge.
host_network_up() {
    local host=$1 index=${1#h} space peer
    space=$(host_namespace "$host")
    if [[ -e $LAB/$host/network-ready ]] && namespace_exists "$space" && ip -n "$SWITCH" link show "m$index" >/dev/null 2>&1; then return; fi
    host_network_down "$host"
    ip netns add "$space"
    ip -n "$SWITCH" -batch - <<END
link add m$index type veth peer name eth0 address $(mac 1 "$index") netns $space
link add g$index type veth peer name eth1 address $(mac 2 "$index") netns $space
link set m$index master mgmt up
link set g$index master guests up
END
    {
        printf 'link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\n' "$(host_address "$host")"
        printf 'link add guests address %s type bridge mcast_snooping 0\nlink set eth1 master guests up\nlink set guests up\n' "$(mac 2 "$index")"
        printf 'neigh replace %s.0.254 lladdr %s dev eth0 nud permanent\n' "$SUBNET" "$(mac 4 1)"
        for ((peer = 1; peer <= HOST_LIMIT; peer++)); do
            if ((peer != index)); then printf 'neigh replace %s.0.%d lladdr %s dev eth0 nud permanent\n' "$SUBNET" "$peer" "$(mac 1 "$peer")"; fi
        done
    } | ip -n "$space" -batch -
    : >"$LAB/$host/network-ready"
}

host_network_down() {
    local space
    space=$(host_namespace "$1")
    rm -f "$LAB/$1/network-ready"
    kill_namespace "$space"
    if namespace_exists "$SWITCH"; then
        ip -n "$SWITCH" link del "m${1#h}" 2>/dev/null || true
        ip -n "$SWITCH" link del "g${1#h}" 2>/dev/null || true
    fi
    if namespace_exists "$space"; then ip netns del "$space"; fi
}

# host_links HOST up|down [all]: the management link, with `all` the guests' too.
host_links() {
    ip -n "$SWITCH" link set "m${1#h}" "$2"
    if [[ ${3:-} == all ]]; then ip -n "$SWITCH" link set "g${1#h}" "$2"; fi
}

# link_is_up HOST m|g
link_is_up() { [[ -n $(ip -n "$SWITCH" -o link show "$2${1#h}" up 2>/dev/null) ]]; }
