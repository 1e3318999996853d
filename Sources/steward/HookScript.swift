/// The libvirt hook: a POSIX shell script that never changes with a configuration.
///
/// What libvirt does to a guest whose hook fails is severe (https://libvirt.org/hooks.html): a non-zero exit aborts a start and kills the guest
/// at a reconnect, and output at `migrate` or `restore` replaces the guest's definition. So it exits 0 and prints nothing whatever happens; a
/// child of its own does all work, and what is not done after eight tenths of a second is left to itself.
enum HookScript {
    /// The first lines by which the script is known again.
    static let mark = "# Steward's hook for libvirt, version 1"
    static let standardFolder = "/etc/libvirt/hooks/qemu.d"
    static let name = "50-steward-journal"
    static let journalFolder = "/var/lib/steward-hook"
    /// On memory, so that a full disk can still be told.
    static let lostMark = "/run/steward-hook.lost"

    static let text = """
        #!/bin/sh
        \(mark)
        # Adds one line to \(journalFolder)/journal when a guest's run begins or ends. Always exits 0, prints nothing, never calls
        # libvirt, and takes at most a second: what hangs longer is left behind without any descriptor of libvirt's.
        # `steward hook remove` takes it away.
        # Nothing is kept open that libvirt would wait for; the definition on standard input is read by the child alone, by another number,
        # since a shell gives its children in the background no input.
        exec 3<&0
        (
            journal=${STEWARD_HOOK_JOURNAL:-\(journalFolder)/journal}
            lost=${STEWARD_HOOK_LOST:-\(lostMark)}
            case $2 in started | stopped | release | reconnect | migrate) ;; *) exit 0 ;; esac
            xml=$(head -c 16384 | tr '\\n' ' ')
            exec </dev/null
            uuid=${xml#*<uuid>} uuid=${uuid%%</uuid>*}
            case $uuid in ????????-????-????-????-????????????) ;; *) uuid=- ;; esac
            head=${xml%%>*}
            case $head in
                "<domain"*" id='"*) run=${head#*" id='"} run=${run%%"'"*} ;;
                *) run=- ;;
            esac
            case $run in '' | *[!0-9]*) run=- ;; esac
            read -r boot </proc/sys/kernel/random/boot_id
            read -r up rest </proc/uptime
            centi=${up%.*}${up#*.}
            now=$(date +%s)
            extra=$4
            case $extra in '' | *[!a-z-]*) extra=- ;; esac
            line="1 $boot $centi $now $uuid $2 ${3:--} $extra $run"
            { printf '%s\\n' "$line" >>"$journal" && sync "$journal"; } || : >>"$lost"
        ) <&3 3<&- >/dev/null 2>/dev/null &
        exec </dev/null 3<&- >/dev/null 2>/dev/null
        child=$!
        for wait in 1 2 3 4 5 6 7 8; do
            kill -0 "$child" || break
            sleep 0.1 || break
        done
        exit 0

        """
}
