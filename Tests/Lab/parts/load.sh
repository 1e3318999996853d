# shellcheck shell=bash
# Load inside a guest, set while it runs through its web server (guest/load).

# check_load "cpu=50 disk=4": every part a known kind and a number; either spaces or commas between.
check_load() {
    local pair
    for pair in ${1//,/ }; do
        [[ $pair =~ ^(cpu|disk|net|mem|dirty)=[0-9]{1,4}$ ]] ||
            usage_error "'$pair' is not a load" "cpu=80 (percent of one CPU) disk=4 net=2 dirty=1 (MiB/s) mem=30 (MiB); 0 ends it"
    done
}

lab_load() {
    need_lab
    (($# >= 1)) || usage_error "load needs a guest" "lab load web-1 cpu=80 disk=4"
    local name=$1 host address answer
    shift
    check_load "$*"
    host=$(need_guest "$name") || exit 1
    address=$(guest_address "$host" "$name")
    answer=$(load_query "$address" "$*") ||
        die "the guest '$name' does not take the load" "http://$address/cgi-bin/load does not answer" "lab -n $NAME guest wait $name"
    [[ $answer != *refused:* ]] || die "the guest '$name' refuses a load" "$(grep -o 'refused:.*' <<<"$answer" | tr '\n' ' ')" "make the guest with more --memory or --disk, or ask for less"
    printf '%s\n' "$answer" | tr '\n' ' '
    printf '\n'
}

load_query() {
    local query=${2//,/ }
    # Quoted, as bash 5.2 takes a bare & in the replacement for the matched text.
    http_get "$1" "/cgi-bin/load?${query// /"&"}"
}
