# shellcheck shell=bash
# The guests' kernel and initramfs: Debian's cloud kernel, busybox, the modules it needs, and guest/init.

# Loaded at boot, in this order, each after what it depends on. What the kernel has built in is left out.
GUEST_MODULES=(virtio_pci virtio_net virtio_blk virtio_balloon button evdev ata_piix sr_mod isofs nls_ascii nls_cp437 vfat)

# Prints the newest cloud kernel's version that has both its image and its modules.
find_kernel() {
    local image version
    while read -r image; do
        version=${image#/boot/vmlinuz-}
        if [[ -f /lib/modules/$version/modules.dep ]]; then
            printf '%s' "$version"
            return
        fi
    done < <(find /boot -maxdepth 1 -name 'vmlinuz-*-cloud-amd64' | sort -rV)
    die "no kernel for the guests" "there is no /boot/vmlinuz-*-cloud-amd64 with its modules in /lib/modules" "apt-get install linux-image-cloud-amd64"
}

# Builds the guest image unless this kernel and this init are in the folder already. Sets KERNEL and INITRD.
build_image() {
    local version hash tree busybox
    busybox=$(command -v busybox) || die "busybox is missing" "the guests run it" "apt-get install busybox-static"
    version=$(find_kernel)
    hash=$(cat "$LAB_HOME/guest/init" "$LAB_HOME/guest/load" "$LAB_HOME/guest/exec" "$LAB_HOME/parts/image.sh" | sha256sum | cut -c1-12)
    KERNEL=$LAB/shared/boot/vmlinuz-$version
    INITRD=$LAB/shared/boot/initrd-$version-$hash
    if [[ -s $KERNEL && -s $INITRD ]]; then return; fi
    need_tool cpio cpio
    # A busybox with shared libraries would start as init and die: "not found".
    if ldd "$busybox" >/dev/null 2>&1; then
        die "$busybox needs shared libraries" "the guests have none" "apt-get install busybox-static"
    fi
    mkdir -p "$LAB/shared/boot"
    cp "/boot/vmlinuz-$version" "$KERNEL.new"
    tree=$LAB/shared/boot/tree
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,lib,proc,sys,dev,run,seed,mem,etc/acpi/PWRF,www/cgi-bin}
    cp "$busybox" "$tree/bin/busybox"
    cp "$LAB_HOME/guest/init" "$tree/init"
    cp "$LAB_HOME/guest/load" "$tree/www/cgi-bin/load"
    cp "$LAB_HOME/guest/exec" "$tree/www/cgi-bin/exec"
    chmod 755 "$tree/init" "$tree/www/cgi-bin"/* "$tree/bin/busybox"
    copy_modules "$version" "$tree"
    (cd "$tree" && find . | cpio -o -H newc --quiet | gzip -9) >"$INITRD.new"
    rm -rf "$tree"
    mv "$KERNEL.new" "$KERNEL"
    mv "$INITRD.new" "$INITRD"
}

# Copies the modules and writes /lib/order: modules.dep lists the last one needed first, so each line is read backwards.
copy_modules() {
    local modules=/lib/modules/$1 tree=$2 name line path base
    local -a needed=()
    local -A seen=()
    for name in "${GUEST_MODULES[@]}"; do
        if grep -q "/$name\.ko" "$modules/modules.builtin"; then continue; fi
        line=$(grep -m1 -E "^[^:]*/$name\.ko(\.xz|\.zst)?:" "$modules/modules.dep") ||
            die "the kernel $1 has no module '$name'" "the guests need it and it is neither a module nor built in" "apt-get install --reinstall linux-image-cloud-amd64"
        needed=()
        # shellcheck disable=SC2086 # the line is a list of paths
        for path in ${line/:/}; do needed=("$path" "${needed[@]}"); done
        for path in "${needed[@]}"; do
            base=$(basename "$path")
            if [[ -n ${seen[$base]:-} ]]; then continue; fi
            seen[$base]=yes
            case $base in
                *.xz) xz -dc "$modules/$path" >"$tree/lib/${base%.xz}" ;;
                *.zst) zstd -qdc "$modules/$path" >"$tree/lib/${base%.zst}" ;;
                *) cp "$modules/$path" "$tree/lib/$base" ;;
            esac
            base=${base%.xz}
            printf '%s\n' "${base%.zst}" >>"$tree/lib/order"
        done
    done
}
