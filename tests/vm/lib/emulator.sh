# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The emulator of a host without KVM: its own, or a newer one from Debian's backports, kept in the cache. Nothing of the
# host changes.

# Before this, QEMU takes three times as long for what starts programs, and the suite starts thousands of them.
EMULATOR_MAJOR=10
EMULATOR_PACKAGES=(qemu-system-x86 qemu-system-common qemu-system-data)

# Prints the program that runs guests under software emulation; fetches it when there is a better one than the host's.
emulator() {
    local cached=$CACHE/qemu/root/usr/bin/qemu-system-x86_64
    if [ -n "${LICTOR_VM_QEMU:-}" ]; then
        command -v "$LICTOR_VM_QEMU" || die "LICTOR_VM_QEMU=$LICTOR_VM_QEMU is no program"
    elif [ "$(emulator_version qemu-system-x86_64)" -ge $EMULATOR_MAJOR ]; then
        command -v qemu-system-x86_64
    else
        emulator_is_settled || locked fetch_emulator >&2
        # It runs with the host's libraries, which may have changed since.
        if [ "$(emulator_version "$cached")" -ge $EMULATOR_MAJOR ]; then echo "$cached"; else command -v qemu-system-x86_64; fi
    fi
}

# The major version of a QEMU; 0 for one that does not run.
emulator_version() { ("$1" --version 2>/dev/null || true) | sed -nE 's/^QEMU emulator version ([0-9]+)\..*/\1/p;1q' | grep . || echo 0; }

# Where none could be had, that is asked again after a day, and not before every guest.
emulator_is_settled() { [ -d "$CACHE/qemu/root" ] || [ -n "$(find "$CACHE/qemu/tried" -mmin -1440 2>/dev/null)" ]; }

fetch_emulator() {
    ! emulator_is_settled || return 0
    local suite apt=$CACHE/apt/qemu work=$CACHE/qemu.new package
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")-backports
    rm -rf "$work" "$CACHE/qemu"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$work/root"
    say "QEMU: the host's is older than $EMULATOR_MAJOR and emulates slowly; looking for a newer one in $suite"
    if (debian_source "$suite") >"$apt/sources.list" && private_apt "$apt" apt-get update -q >"$apt/update.log" 2>&1 &&
        (cd "$work" && private_apt "$apt" apt-get download -q "${EMULATOR_PACKAGES[@]}" >"$apt/download.log" 2>&1); then
        for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
        rm -f "$work"/*.deb
    fi
    if [ "$(emulator_version "$work/root/usr/bin/qemu-system-x86_64")" -ge $EMULATOR_MAJOR ]; then
        say "QEMU: $("$work/root/usr/bin/qemu-system-x86_64" --version | head -n 1) is ready"
    else
        say "QEMU: no newer one runs here (see $apt/*.log); the host's own it is, for a day"
        rm -rf "$work/root"
    fi
    : >"$work/tried"
    mv "$work" "$CACHE/qemu"
}
