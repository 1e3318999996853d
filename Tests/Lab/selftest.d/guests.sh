# shellcheck shell=bash
# The lab comes up, and guests with load in them run, are seen and move.

three_hosts_answer() {
    local host
    for host in h1 h2 h3; do [[ $(tcp "$host" hostname) == "$host" && $(socket "$host" hostname) == "$host" ]]; done
}

hosts_are_different_machines() {
    [[ $(for host in h1 h2 h3; do tcp "$host" capabilities | sed -n 's/.*<uuid>\(.*\)<.*/\1/p' | head -n 1; done | sort -u | wc -l) == 3 ]]
}

ends_with() {
    local code=0
    "${@:2}" || code=$?
    ((code == $1)) || { echo "it ended with $code"; return 1; }
}

pool_is_active() {
    local host
    for host in h1 h2 h3; do tcp "$host" pool-info shared >"$WORK/pool"; cat "$WORK/pool"; grep -E "State: +running" "$WORK/pool"; done
}

test_up() {
    check "up brings up three hosts" lab up --hosts 3
    check "each host answers over TCP and on its socket" three_hosts_answer
    check "a second up only verifies" lab up
    check "up refuses to take hosts away" not lab up --hosts 2
    check "the hosts have UUIDs of their own" hosts_are_different_machines
    check "the pool 'shared' is active on each host" pool_is_active
    check "wrong usage ends with 2" ends_with 2 lab fault
    check "an unknown host ends with 1" ends_with 1 lab uri h9
}

guest_is_itself() { [[ $(get web-1 /) == "web-1 11111111-2222-4333-8444-555555555555" ]]; }

metadata_is_stewards() {
    [[ $(tcp h1 metadata web-1 https://steward.dev/xmlns/guest/1 | tr -d ' \n') == *'<group>web</group><tenant>a&amp;b</tenant>'*'<tagname="stage">test</tag>'* ]]
}

make_seed() {
    mkdir -p "$WORK/seed"
    printf 'instance-id: i-0042\nlocal-hostname: seeded\n' >"$WORK/seed/meta-data"
    printf '#cloud-config\n{}\n' >"$WORK/seed/user-data"
    genisoimage -quiet -o "$WORK/seed.iso" -V cidata -J -r "$WORK/seed/meta-data" "$WORK/seed/user-data"
}

seed_is_read() { [[ $(get seed-1 /instance-id) == i-0042 && $(get seed-1 /) == "seeded "* ]]; }

test_guests() {
    make_seed
    check "a guest is made with a UUID, metadata and no load" lab guest create web-1 --host h1 \
        --uuid 11111111-2222-4333-8444-555555555555 --metadata 'group=web,tenant=a&b,instance-type=s1.small,tag.stage=test'
    check "a guest is made with a cloud-init seed" lab guest create seed-1 --host h2 --seed "$WORK/seed.iso"
    check "the first guest answers" lab guest wait web-1
    check "it answers with its name and UUID" guest_is_itself
    check "its metadata reads back through libvirt" metadata_is_stewards
    check "a second guest of the same name is refused" not lab guest create web-1 --host h2
    check "the second guest answers" lab guest wait seed-1
    check "it has read its seed" seed_is_read
    check "it shuts down at the power button" lab guest stop seed-1
    check "it is gone once undefined" lab guest undefine seed-1
    check "and nobody knows it any more" not lab guest host seed-1
    check "status --json names hosts and guests" grep -q '"name":"h3".*' <(lab status --json | grep '"name":"web-1","uuid":"11111111-2222-4333-8444-555555555555","state":"running"')
}

# rate FIELD GROUP: how much the number grows in about three seconds.
rate() {
    local before
    before=$(domstat web-1 "$2" "$1")
    sleep 3
    echo $(($(domstat web-1 "$2" "$1") - before))
}

grows_by() { (($(rate "$1" "$2") >= $3)) || { echo "it grew by less than $3"; return 1; }; }
held_kib() { echo $(($(domstat web-1 balloon balloon.available) - $(domstat web-1 balloon balloon.usable))); }
holds() { (($(held_kib) >= $1)); }
fresh_balloon() { [[ $(domstat web-1 balloon balloon.last-update) -gt $1 ]]; }

test_load() {
    local held
    check "the balloon reports" soon 30 fresh_balloon 0
    held=$(held_kib)
    # A third of a CPU asked for, an eighth demanded: this machine may be busy building.
    check "an idle guest uses less than a tenth of a CPU" not grows_by cpu.time cpu-total 300000000
    check "load is set while it runs" lab load web-1 cpu=60 disk=4 net=2 mem=20
    check "the CPU time shows it" soon 30 grows_by cpu.time cpu-total 600000000
    check "the written bytes show it" soon 30 grows_by block.0.wr.bytes block 3000000
    check "the sent bytes show it" soon 30 grows_by net.0.tx.bytes interface 2000000
    check "the balloon's statistics show it" soon 30 holds $((held + 15000))
    check "an impossible load is refused" not lab load web-1 cpu=much
    check "a load that would not fit is refused" not lab load web-1 mem=90
}

boot_id() { get web-1 /boot-id; }

migrates_whole() {
    local before
    before=$(boot_id)
    lab migrate web-1 --to h2
    [[ $(lab guest host web-1) == h2 ]]
    soon 20 answers web-1
    [[ $(boot_id) == "$before" ]]
}

second_copy_is_refused() {
    lab guest xml web-1 >"$WORK/web-1.xml"
    tcp h3 define "$WORK/web-1.xml"
    if tcp h3 start web-1; then return 1; fi
    tcp h3 undefine web-1
}

test_migration() {
    check "a loaded guest migrates and runs on, under the same address" migrates_whole
    check "its load goes on" soon 30 grows_by cpu.time cpu-total 600000000
    check "the source does not define it any more" not socket h1 dominfo web-1
    check "a second copy on another host does not start" second_copy_is_refused
    check "the load ends when told" lab load web-1 cpu=0 disk=0 net=0 mem=0
    check "and the guest is idle again" soon 30 not grows_by cpu.time cpu-total 300000000
}
