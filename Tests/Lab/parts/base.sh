# shellcheck shell=bash
# What every part needs: errors, names, the lab's record, locks, waiting and finding processes.

# Ends the lab command with a message of three parts: what failed, why, and what to do next.
die() {
    printf 'lab: %s\n' "$1" >&2
    if [[ -n ${2:-} ]]; then printf '  why: %s\n' "$2" >&2; fi
    if [[ -n ${3:-} ]]; then printf '  do:  %s\n' "$3" >&2; fi
    exit 1
}

# Ends with exit code 2: the command line is wrong; $2 is a line that would be right.
usage_error() {
    printf 'lab: %s\n' "$1" >&2
    if [[ -n ${2:-} ]]; then printf '  try: %s\n' "$2" >&2; fi
    exit 2
}

say() { printf '%s\n' "$*" >&2; }

# Checks the name and sets the variables which all parts use. Reads the lab's record if there is one.
open_lab() {
    # The longest interface name is NAME-mgmt, and Linux allows 15 characters.
    [[ $NAME =~ ^[a-z][a-z0-9]{0,9}$ ]] ||
        usage_error "'$NAME' cannot be a lab's name: a letter, then up to nine small letters or digits" "lab -n demo up"
    ((EUID == 0)) || die "the lab needs root" "it makes network namespaces, mounts and tap devices" "run it as root, or with sudo"
    LAB=$(readlink -m "${LAB_DIR:-/var/tmp/steward-lab-$NAME}")
    PREFIX=steward-lab-$NAME
    SWITCH=$PREFIX-switch
    MGMT_LINK=$NAME-mgmt
    GUEST_LINK=$NAME-net
    LINK_ALIAS="$PREFIX $LAB"
    # The path is written into settings, XML and generated commands, and each host has a /run of its own over the machine's.
    [[ $LAB =~ ^/[A-Za-z0-9._/-]+$ && $LAB != /run* ]] ||
        die "the lab cannot live in '$LAB'" "its path goes into settings and commands, and /run is another one inside a host" "set LAB_DIR to a path outside of /run, of letters, digits, '.', '_', '-' and '/'"
    # A unix socket's path is limited to 107 characters, and the longest one inside the folder takes 40.
    ((${#LAB} <= 64)) || die "the folder $LAB has too long a path" "libvirt's sockets lie in it and their paths are limited" "set LAB_DIR to a path of at most 64 characters"
    SUBNET='' HOST_COUNT=0 WITH_BMC=no
    if [[ -f $LAB/lab.conf ]]; then read_record; fi
}

# The record is written before anything is made outside the folder, so that `down` knows what to look for.
write_record() {
    printf 'name=%s\nsubnet=%s\nhosts=%s\nbmc=%s\n' "$NAME" "$SUBNET" "$HOST_COUNT" "$WITH_BMC" >"$LAB/lab.conf.new"
    mv "$LAB/lab.conf.new" "$LAB/lab.conf"
}

read_record() {
    local key value
    while IFS='=' read -r key value; do
        case $key in
            name) [[ $value == "$NAME" ]] ||
                die "$LAB belongs to the lab '$value', not to '$NAME'" "two labs cannot share a folder" "set LAB_DIR to another folder, or use -n $value" ;;
            subnet) SUBNET=$value ;;
            hosts) HOST_COUNT=$value ;;
            bmc) WITH_BMC=$value ;;
        esac
    done <"$LAB/lab.conf"
}

need_lab() {
    [[ -n $SUBNET ]] || die "the lab '$NAME' is not up" "there is no record of it in $LAB" "lab -n $NAME up"
}

# host_names: h1 … hN, one a line.
host_names() {
    local index
    for ((index = 1; index <= HOST_COUNT; index++)); do printf 'h%d\n' "$index"; done
}

need_host() {
    need_lab
    if ! [[ ${1:-} =~ ^h[1-9][0-9]{0,2}$ ]] || ((${1#h} > HOST_COUNT)); then
        die "the lab '$NAME' has no host '${1:-}'" "its hosts are h1 to h$HOST_COUNT" "lab -n $NAME hosts"
    fi
}

host_namespace() { printf '%s-%s' "$PREFIX" "$1"; }
host_address() { printf '%s.0.%d' "$SUBNET" "${1#h}"; }
socket_uri() { printf 'qemu:///system?socket=%s/%s/run/libvirt/libvirt-sock' "$LAB" "$1"; }
tcp_uri() { printf 'qemu+tcp://%s/system' "$(host_address "$1")"; }

# virsh_on HOST ARGUMENT…: through the host's unix socket, which no cut link can close. Bounded, as a host may hang.
virsh_on() {
    local host=$1
    shift
    timeout -k 2 "${VIRSH_SECONDS:-60}" virsh -q -c "$(socket_uri "$host")" "$@"
}

# Holds the lab's folder for this process until it ends. The lock is on the folder itself, so it leaves nothing behind;
# whoever waited while the folder was removed and made again tries anew.
lock_lab() {
    while :; do
        mkdir -p "$LAB"
        exec {LOCK}<"$LAB"
        flock -w 120 "$LOCK" || die "the lab '$NAME' is busy" "another lab command has held $LAB for 120 s" "look at it with: ps -ef | grep Lab/lab"
        if [[ $LAB -ef /proc/self/fd/$LOCK ]]; then return; fi
        exec {LOCK}<&-
    done
}

# Starts a process that outlives this command: in a session of its own, without a terminal, and without the locks held here.
launch() {
    local log=$1
    shift
    without_locks setsid --fork "$@" </dev/null >>"$log" 2>&1
}

# Runs a command with no file open but the first three, as a daemon it leaves behind would hold a lock for as long as it lives.
without_locks() {
    (
        cd /
        for fd in /proc/"$BASHPID"/fd/*; do
            fd=${fd##*/}
            # 255 is the shell's own hold on its script, which no child inherits.
            if ((fd > 2 && fd != 255)); then exec {fd}<&-; fi
        done
        "$@"
    )
}

# wait_for SECONDS COMMAND…: true as soon as the command succeeds, false when the deadline passes.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

namespace_exists() { [[ -e /run/netns/$1 ]]; }

# Every process of a host shares the host's network namespace, whoever started it: this is how they are found.
namespace_pids() { if namespace_exists "$1"; then ip netns pids "$1" 2>/dev/null || true; fi; }

# outer_pid HOST INNER: the machine's number of the process which the host's own PID namespace calls INNER.
outer_pid() {
    local pid key numbers
    for pid in $(namespace_pids "$(host_namespace "$1")"); do
        while read -r key numbers; do
            if [[ $key == NSpid: ]]; then
                # Exactly two levels below the reader would be a process of the host; the last one is its inner number.
                if [[ $numbers == *[[:space:]]"$2" ]]; then
                    printf '%s' "$pid"
                    return 0
                fi
                break
            fi
        done 2>/dev/null <"/proc/$pid/status" || true
    done
    return 1
}

# daemon_pid HOST NAME: the process of a daemon by its pid file, checked to be that daemon still. 1 when it is not running.
daemon_pid() {
    local inner pid
    inner=$(cat "$LAB/$1/run/libvirt/$2.pid" 2>/dev/null) || return 1
    pid=$(outer_pid "$1" "$inner") || return 1
    [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$2" ]] || return 1
    printf '%s' "$pid"
}

# process_state PID: the kernel's letter (R, S, T stopped, Z …).
process_state() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    printf '%s' "${stat%% *}"
}

# The command line of a process, its words parted by spaces; empty when the process is gone.
command_line() { tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" || true; }

# Kills everything in a namespace and waits until it is gone.
kill_namespace() {
    local pids
    pids=$(namespace_pids "$1")
    if [[ -z $pids ]]; then return 0; fi
    # shellcheck disable=SC2086 # a list of numbers
    kill -KILL $pids 2>/dev/null || true
    wait_for 30 namespace_is_empty "$1" ||
        die "processes in the namespace $1 do not die" "they are: $(namespace_pids "$1" | tr '\n' ' ')" "look at them with: ps -o pid,stat,wchan,args -p PID"
}

namespace_is_empty() { [[ -z $(namespace_pids "$1") ]]; }

# need_tool COMMAND PACKAGE
need_tool() {
    command -v "$1" >/dev/null || die "the command '$1' is missing" "the lab uses it" "apt-get install $2"
}
