# shellcheck shell=bash
# One host's own figures for its CPUs and memory (host-node): all hosts share the machine's kernel, and would show the same.

lab_node() {
    (($# >= 2)) || usage_error "node needs a host, and what it should show" "lab node h1 cpu=80 mem=60, or lab node h1 off"
    need_host "$1"
    local host=$1 folder=$LAB/$1/node share=0 used=0 pair
    shift
    host_is_on "$host" || die "the host $host is off" "it shows nothing" "lab -n $NAME fault power-on $host"
    if [[ $# == 1 && $1 == off ]]; then
        node_off "$host"
        return
    fi
    if [[ -e $folder/wanted ]]; then read -r share used <"$folder/wanted"; fi
    for pair in "$@"; do
        if ! [[ $pair =~ ^(cpu|mem)=[0-9]{1,3}$ ]] || ((${pair#*=} > 100)); then
            usage_error "'$pair' is not a figure of a host" "lab node $host cpu=80 mem=60 (percent used)"
        fi
        case $pair in
            cpu=*) share=${pair#*=} ;;
            mem=*) used=${pair#*=} ;;
        esac
    done
    mkdir -p "$folder"
    printf '%d %d\n' "$share" "$used" >"$folder/wanted.new"
    mv "$folder/wanted.new" "$folder/wanted"
    if node_pid "$host" >/dev/null; then return; fi
    rm -f "$folder/ready"
    launch "$folder/log" nsenter --target "$(outer_pid "$host" 1)" --mount --uts --net --pid "$LAB_HOME/host-node" "$folder"
    wait_for 20 test -e "$folder/ready" || die "$host does not take other figures" "$(tail -n 2 "$folder/log")" "lab -n $NAME status"
}

node_pid() {
    local pid
    for pid in $(namespace_pids "$(host_namespace "$1")"); do
        if [[ $(command_line "$pid") == "bash $LAB_HOME/host-node "* ]]; then
            printf '%s' "$pid"
            return
        fi
    done
    return 1
}

node_off() {
    local pid
    if ! pid=$(node_pid "$1"); then return; fi
    kill -KILL "$pid"
    enter_host "$1" umount /proc/stat /proc/meminfo
    rm -rf "$LAB/$1/node"
}
