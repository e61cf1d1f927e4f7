# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The guest's root: Debian bookworm from mmdebstrap as one ext4 image. Its name is a hash of all that goes into it.

ROOT_SUITE=bookworm
ROOT_MB=6144 # sparse: only what is used takes space

root_packages() { sed 's/#.*//' "$VM_DIR/guest/packages" | tr -s ' \n' '\n' | sed '/^$/d' | sort; }

root_hash() {
    {
        echo "$ROOT_SUITE $ROOT_MB"
        root_packages
        cat "$VM_DIR/guest/customise"
    } | sha256sum | cut -c1-16
}

# Prints the image's path; fails where it is not built.
root_image() {
    local image
    image=$CACHE/rootfs/$(root_hash).ext4
    [ -f "$image" ] && echo "$image"
}

vm_rootfs() {
    root_image >/dev/null && return
    locked build_rootfs
}

build_rootfs() {
    # Another run may have built it while this one waited for the lock.
    root_image >/dev/null && return
    local work hash image log suite
    hash=$(root_hash)
    image=$CACHE/rootfs/$hash.ext4
    log=$CACHE/rootfs/build.log
    mkdir -p "$CACHE/rootfs"
    work=$(mktemp -d "$CACHE/rootfs/work.XXXXXX")
    for suite in $ROOT_SUITE $ROOT_SUITE-updates $ROOT_SUITE-security; do debian_source "$suite"; done >"$work/sources.list"

    say "building the guest's root image from Debian $ROOT_SUITE ($(root_packages | wc -l) packages and what they need, one or two minutes)"
    local start=$SECONDS
    mmdebstrap --variant=minbase --include="$(root_packages | paste -sd,)" \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
        --customize-hook="$VM_DIR/guest/customise \"\$1\"" \
        "$ROOT_SUITE" "$work/root.tar" "$work/sources.list" >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        rm -rf "$work"
        die "mmdebstrap failed; the whole log is $log"
    }
    with_root_owner bash -euc '
        mkdir "$1/root"
        tar --numeric-owner -xpf "$1/root.tar" -C "$1/root" --exclude="./dev/*"
        mke2fs -q -t ext4 -L lictor-root -E root_owner=0:0 -d "$1/root" "$1/root.ext4" "$2M" >/dev/null
        rm -rf "$1/root"
    ' _ "$work" "$ROOT_MB" || die "cannot make the root image in $work"
    mv "$work/root.ext4" "$image"
    rm -rf "$work"
    # Older images are of other package lists. A guest that runs from one keeps it open.
    find "$CACHE/rootfs" -name '*.ext4' ! -name "$hash.ext4" -delete
    say "the root image is ready after $((SECONDS - start)) s: $image"
}
