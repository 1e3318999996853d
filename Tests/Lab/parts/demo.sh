# shellcheck shell=bash
# Six guests of different habits, for the demo.

# name  host  load  metadata; the host is counted over, so that one host is enough.
DEMO_GUESTS=(
    "web-1   1 cpu=30,net=1       group=web,tenant=acme,instance-type=s1.small"
    "web-2   2 cpu=15,net=1       group=web,tenant=acme,instance-type=s1.small"
    "db-1    1 cpu=8,disk=1       group=db,tenant=acme,instance-type=m1.medium"
    "batch-1 3 cpu=40             group=batch,tenant=globex,instance-type=c1.small"
    "idle-1  2 cpu=0              group=idle,tenant=globex,instance-type=s1.small"
    "chat-1  3 cpu=4,mem=20       group=chat,tenant=globex,instance-type=s1.small"
)

# Idempotent: makes what is missing, starts what is off; all six at once.
lab_demo_guests() {
    need_lab
    (($# == 0)) || usage_error "demo-guests takes no argument" "lab -n $NAME demo-guests"
    local line pid failed=no
    local -a making=()
    build_image
    for line in "${DEMO_GUESTS[@]}"; do
        # shellcheck disable=SC2086 # four words
        (demo_guest $line) &
        making+=($!)
    done
    for pid in "${making[@]}"; do wait "$pid" || failed=yes; done
    [[ $failed == no ]] || die "not every demo guest came up" "see the messages above" "lab -n $NAME status"
}

demo_guest() {
    local name=$1 place=$2 load=$3 metadata=$4 host
    if ! host=$(find_guest "$name"); then
        lab_guest create "$name" --host "h$(((place - 1) % HOST_COUNT + 1))" --load "$load" --metadata "$metadata" --uuid "$(uuid_for "$NAME/guest/$name")"
    elif guest_is_off "$host" "$name"; then
        virsh_on "$host" start "$name" >/dev/null
    fi
    guest_wait "$name" --seconds 120
}
