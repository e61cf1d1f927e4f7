# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What every part of lictor-vm uses: the cache, messages, and the lock around whatever changes the cache.

CACHE=${LICTOR_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lictor-vm}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf 'lictor-vm: %s\n' "$*" >&2; }

# 125 is "the harness itself failed", as with env(1) and timeout(1): CMD's own status cannot be confused with it
# in practice, and the message says which it was.
die() {
    say "$*"
    exit 125
}

# Debian keeps mke2fs, debugfs and depmod in directories that a normal user's PATH may leave out.
PATH=$PATH:/usr/sbin:/sbin

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "\`$1\` must run as root, and sudo is not installed: run this as root once"
    fi
}

# Files on a disk image belong to the guest's root even if an ordinary user of the host made the image.
with_root_owner() {
    if [ "$(id -u)" = 0 ]; then "$@"; else fakeroot -- "$@"; fi
}

# Runs a function while holding the cache's lock; waits, and says so, while another run has it.
locked() {
    mkdir -p "$CACHE"
    (
        if ! flock -n 9; then
            say "waiting: another lictor-vm is changing $CACHE"
            flock 9
        fi
        "$@"
    ) 9>"$CACHE/lock"
}

# make_ext4 IMAGE SIZE_MB [SOURCE_DIR]: a sparse image, complete or absent, never half written.
make_ext4() {
    local image=$1 size=$2 source=${3:-}
    rm -f "$image.new"
    with_root_owner mke2fs -q -t ext4 -O ^has_journal -E root_owner=0:0 ${source:+-d "$source"} "$image.new" "${size}M" >/dev/null ||
        die "cannot make the disk image $image from ${source:-nothing}"
    mv "$image.new" "$image"
}
