# shellcheck shell=bash
# Each fault and its healing, BMCs, figures of a host, two labs at once, and the end without a trace.

lists() { [[ $(tcp "$1" domstate "$2") == "$3" ]]; }
hangs() { not timeout 3 virsh -q -c "$(lab uri "$1")" hostname; }

test_faults() {
    local id
    check "link-down is taken" lab fault link-down h2
    check "the cut host is a black hole, not a refusal" is_black_hole h2
    check "its guest runs on and answers" answers web-1
    check "its libvirtd still answers on its socket" lists_on_socket h2 web-1 running
    check "link-down --all cuts the guests too" lab fault link-down h2 --all
    check "its guest is silent" not answers web-1
    check "link-up heals" lab fault link-up h2
    check "the host answers again" soon 20 tcp h2 hostname
    check "the guest answers again" soon 20 answers web-1

    check "libvirtd-freeze is taken" lab fault libvirtd-freeze h2
    check "the frozen host accepts connections" connects h2
    check "but answers nothing" hangs h2
    check "status knows it" grep -q frozen <(lab status)
    check "libvirtd-thaw heals" lab fault libvirtd-thaw h2
    check "the thawed host lists its guest" soon 20 lists h2 web-1 running

    check "libvirtd-kill is taken" lab fault libvirtd-kill h2
    check "the host refuses connections" not connects h2
    check "its guest runs on" answers web-1
    check "libvirtd-start heals" lab fault libvirtd-start h2
    check "the new libvirtd knows the old guest" soon 20 lists h2 web-1 running

    check "qemu-freeze is taken" lab fault qemu-freeze web-1
    check "the frozen guest is silent" not answers web-1
    check "qemu-thaw heals" lab fault qemu-thaw web-1
    check "the thawed guest answers" soon 20 answers web-1
    id=$(boot_id)
    check "qemu-kill is taken" lab fault qemu-kill web-1
    check "libvirt says it is off" soon 20 lists h2 web-1 "shut off"
    check "it starts again" lab guest start web-1
    check "and answers" lab guest wait web-1
    check "as another boot" test "$(boot_id)" != "$id"

    lab guest xml web-1 >"$WORK/web-1.xml"
    check "power-off is taken" lab fault power-off h2
    check "no process of the host is left" test -z "$(ip netns pids steward-lab-self-h2)"
    check "the dead host is a black hole" is_black_hole h2
    check "its guest starts elsewhere from its definition" starts_on_h3
    check "power-on brings the host back" lab fault power-on h2
    check "with its guest defined and off" lists h2 web-1 "shut off"
    check "which cannot start while its other copy runs" not tcp h2 start web-1
    check "up heals three faults at once" heals_all
}

lists_on_socket() { [[ $(socket "$1" domstate "$2") == "$3" ]]; }

starts_on_h3() {
    tcp h3 define "$WORK/web-1.xml"
    tcp h3 start web-1
    soon 60 answers web-1
}

heals_all() {
    lab fault libvirtd-freeze h1
    lab fault link-down h2 --all
    lab fault libvirtd-kill h3
    lab up
    three_hosts_answer
    lists h3 web-1 running
}

# fence HOST ACTION: the agent's exit code, 0 on or done, 2 off.
fence() {
    local code=0
    { lab bmc "$1" && echo "action=$2"; } | fence_ipmilan || code=$?
    echo "fence_ipmilan $2: $code"
    return "$code"
}

fence_says_off() {
    local code=0
    fence "$1" status || code=$?
    ((code == 2))
}

test_bmc() {
    check "up --bmc adds BMCs to a running lab" lab up --bmc
    check "a BMC says that its host is on" fence h1 status
    check "fencing turns the host off" fence h1 off
    check "and it is off" test -z "$(ip netns pids steward-lab-self-h1)"
    check "the BMC of the dead host says so" fence_says_off h1
    check "fencing turns it on" fence h1 on
    check "and it answers" soon 30 tcp h1 hostname
    check "bmc-kill is taken" lab fault bmc-kill h1
    check "the dead BMC is unreachable" not fence h1 status
    check "bmc-start heals" lab fault bmc-start h1
    check "it answers again" fence h1 status
}

node_cpu_between() {
    local usage
    usage=$(tcp "$1" nodecpustats --percent | sed -n 's/^usage: *\([0-9]*\).*/\1/p')
    (($2 <= usage && usage <= $3)) || { echo "its usage is $usage %"; return 1; }
}

node_free_between() {
    local total free
    total=$(tcp "$1" nodememstats | sed -n 's/^total *: *\([0-9]*\).*/\1/p')
    free=$(tcp "$1" nodememstats | sed -n 's/^free *: *\([0-9]*\).*/\1/p')
    (($2 <= free * 100 / total && free * 100 / total <= $3))
}

test_node() {
    check "a host is made to look loaded" lab node h1 cpu=80 mem=60
    check "its CPUs show it" soon 20 node_cpu_between h1 70 90
    check "its memory shows it" soon 20 node_free_between h1 39 41
    check "it is changed while it runs" lab node h1 cpu=30
    check "and shows it" soon 20 node_cpu_between h1 20 40
    check "another host does not" not node_free_between h2 39 41
    check "off shows the machine again" lab node h1 off
    check "as it is" not node_free_between h1 39 41
}

# killed_at CONDITION…: starts `up` of the second lab and kills it the moment the condition holds, or when it is done.
killed_at() {
    setsid "$HERE/lab" -n selfb up --hosts 2 &
    local up=$!
    until "$@" || [[ ! -d /proc/$up ]]; do :; done
    kill -KILL -- "-$up" 2>/dev/null || true
    wait "$up" 2>/dev/null || true
}

subnets_differ() { [[ $(lab uri h1) != "$(labb uri h1)" ]]; }

test_side_by_side() {
    local moment
    for moment in /var/tmp/steward-lab-selfb/lab.conf /run/netns/steward-lab-selfb-switch /sys/class/net/selfb-mgmt \
        /run/netns/steward-lab-selfb-h2 /var/tmp/steward-lab-selfb/h1/network-ready /var/tmp/steward-lab-selfb/h1/run/libvirt/libvirt-sock; do
        killed_at test -e "$moment"
        check "up goes on from where it was killed (${moment##*/})" labb up --hosts 2
        check "down clears it up" labb down
        killed_at test -e "$moment"
        check "down clears up a half-made lab (${moment##*/})" labb down
    done
    check "a second lab comes up beside the first" labb up --hosts 1
    check "on a subnet of its own" subnets_differ
    check "a wrong LAB_DIR takes nobody's lab down" not env LAB_DIR="$WORK/elsewhere" "$HERE/lab" -n selfb down
    check "the second goes down" labb down
    check "and the first is unharmed" answers web-1
}

nothing_left_inside() { [[ -z $(lab guests) && -z $(socket h1 vol-list shared | grep -v '^ *$' || true) ]]; }

test_down() {
    lab fault qemu-freeze web-1
    lab fault power-off h2
    check "clean heals and removes every guest and volume" lab clean
    check "and nothing is left inside" nothing_left_inside
    check "the healed hosts answer" three_hosts_answer
    check "down takes everything down" lab down
    check "nothing is left: namespaces, links, mounts, processes, folder" same_trace
    check "a second down finds nothing to do" lab down
}
