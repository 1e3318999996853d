# shellcheck shell=bash
# A simulated BMC (ipmi_sim) for each host: it lives in the switch's namespace, on an address of its own beside the hosts,
# so it answers when its host is off, and its power button is the lab's power-off and power-on.

BMC_USER=lab BMC_PASSWORD=secret

bmc_address() { printf '%s.0.%d' "$SUBNET" $((100 + ${1#h})); }

bmc_up() {
    local host
    need_tool ipmi_sim openipmi
    for host in $(host_names); do
        if ! bmc_pid "$host" >/dev/null; then bmc_start "$host"; fi
    done
    for host in $(host_names); do
        wait_for 20 bmc_listens "$host" ||
            die "the BMC of $host does not listen at $(bmc_address "$host")" "$(tail -n 3 "$LAB/$host/bmc/log" | tr '\n' ' ')" "lab -n $NAME down, then up --bmc"
    done
}

bmc_start() {
    local host=$1 folder=$LAB/$1/bmc
    mkdir -p "$folder/state"
    bmc_settings "$host" >"$folder/lan.conf"
    printf 'mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n' >"$folder/sim.emu"
    printf '#!/bin/sh\nLAB_DIR=%s exec %s -n %s chassis %s "$@"\n' "$LAB" "$LAB_HOME/lab" "$NAME" "$host" >"$folder/chassis"
    chmod 755 "$folder/chassis"
    ip -n "$SWITCH" addr replace "$(bmc_address "$host")/24" dev mgmt
    launch "$folder/log" nsenter --net="/run/netns/$SWITCH" \
        ipmi_sim -c "$folder/lan.conf" -f "$folder/sim.emu" -s "$folder/state" -n
}

bmc_settings() {
    local role
    printf 'name "%s"\nset_working_mc 0x20\n  startlan 1\n    addr %s 623\n    priv_limit admin\n' "$1" "$(bmc_address "$1")"
    for role in callback user operator admin; do printf '    allowed_auths_%s none md2 md5 straight\n' "$role"; done
    printf '    guid %s\n  endlan\n  chassis_control "%s 0x20"\n' "$(uuid_for "$NAME/$1/bmc" | tr -d -)" "$LAB/$1/bmc/chassis"
    printf '  user 1 false "" "" user 10 none md2 md5 straight\n  user 2 true "%s" "%s" admin 10 none md2 md5 straight\n' "$BMC_USER" "$BMC_PASSWORD"
}

bmc_pid() {
    local pid
    for pid in $(namespace_pids "$SWITCH"); do
        if [[ $(command_line "$pid") == "ipmi_sim -c $LAB/$1/bmc/lan.conf "* ]]; then
            printf '%s' "$pid"
            return
        fi
    done
    return 1
}

# A bound UDP socket: port 623 is 026F in /proc/net/udp, the address backwards.
bmc_listens() {
    local one two three four
    IFS=. read -r one two three four <<<"$(bmc_address "$1")"
    nsenter --net="/run/netns/$SWITCH" grep -q "$(printf '%02X%02X%02X%02X' "$four" "$three" "$two" "$one"):026F" /proc/net/udp
}

# cipher=3 spares ipmitool its question for the cipher suites, which ipmi_sim does not answer: 10 s at each call.
lab_bmc() {
    (($# == 1)) || usage_error "bmc needs a host" "lab bmc h1"
    need_host "$1"
    [[ $WITH_BMC == yes ]] || die "the lab '$NAME' has no BMCs" "it was brought up without them" "lab -n $NAME up --bmc"
    printf 'ip=%s\nipport=623\nlogin=%s\npassword=%s\nlanplus=1\ncipher=3\n' "$(bmc_address "$1")" "$BMC_USER" "$BMC_PASSWORD"
}

# What ipmi_sim calls: 0x20 get NAME… | set NAME VALUE… | check NAME. Not for people.
lab_chassis() {
    need_host "$1"
    local host=$1 verb=${3:-}
    shift 3
    case $verb in
        check) [[ $1 == power || $1 == reset || $1 == shutdown ]] ;;
        get)
            for item in "$@"; do
                case $item in
                    power) if host_is_on "$host"; then printf 'power:1\n'; else printf 'power:0\n'; fi ;;
                    boot) printf 'boot:default\n' ;;
                    *) return 1 ;;
                esac
            done
            ;;
        set)
            while (($# >= 2)); do
                chassis_set "$host" "$1" "$2"
                shift 2
            done
            ;;
        *) return 1 ;;
    esac
}

# Off is done before the BMC answers, so that what it then says is true. On takes a second or more: the BMC does not wait.
chassis_set() {
    case $2=$3 in
        power=0 | shutdown=1) power_off "$1" ;;
        power=1) launch "$LAB/$1/bmc/log" "$LAB_HOME/lab" -n "$NAME" fault power-on "$1" ;;
        reset=1)
            power_off "$1"
            launch "$LAB/$1/bmc/log" "$LAB_HOME/lab" -n "$NAME" fault power-on "$1"
            ;;
        boot=*) ;;
        *) return 1 ;;
    esac
}

bmc_kill() {
    local pid
    pid=$(bmc_pid "$1") || die "no BMC runs for $1" "it is dead, or the lab was brought up without BMCs" "lab -n $NAME up --bmc"
    kill -KILL "$pid"
    wait_for 10 bmc_is_dead "$1" || die "the BMC of $1 (process $pid) does not die" "its state is $(process_state "$pid" || echo gone)"
}

bmc_is_dead() { ! bmc_pid "$1" >/dev/null; }
