# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debian packages: those of the host that the harness runs on, and the mirror that kernels and the guest come from.

HOST_PACKAGES=(
    qemu-system-x86     # the guest
    mmdebstrap          # its root
    debian-archive-keyring
    busybox-static      # its initramfs
    cpio                # likewise
    kmod                # depmod and modprobe -S: which modules the initramfs needs, and in which order
    e2fsprogs           # disk images in, results out (debugfs)
    xz-utils zstd       # packed kernel modules
    util-linux          # flock
)

vm_deps() {
    command -v apt-get >/dev/null || die "this host has no apt-get: install by hand: ${HOST_PACKAGES[*]} $*"
    local wanted=("${HOST_PACKAGES[@]}" "$@") missing=() package
    [ "$(id -u)" = 0 ] || wanted+=(fakeroot uidmap)
    for package in "${wanted[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    if [ ${#missing[@]} = 0 ]; then
        say "all Debian packages are installed"
        return
    fi
    say "installing Debian packages: ${missing[*]}"
    # The lists may be absent (a fresh image) or name versions that are gone from the mirror.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 ||
        say "apt-get update failed; trying with the lists that are there"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 ||
        die "apt-get could not install: ${missing[*]}"
}

# Prints the address of the archive (kind `main`) or of the security archive (kind `security`), taken from the
# host's own apt so that a local mirror or proxy is used as everywhere else on the host.
debian_mirror() {
    local kind=$1 uri
    if [ -n "${LICTOR_VM_MIRROR:-}" ]; then
        uri=${LICTOR_VM_MIRROR%/}
        [ "$kind" = security ] && uri=${uri%/debian}/debian-security
        echo "$uri"
        return
    fi
    # shellcheck disable=SC2016  # $(...) here is apt's own syntax
    uri=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v kind="$kind" '
            $1 ~ /^(bullseye|bookworm|trixie|forky|sid|oldoldstable|oldstable|stable|testing)(-security|\/updates)?$/ {
                is_security = $1 ~ /-security$|\/updates$/
                if (is_security == (kind == "security")) { print $2; exit }
            }')
    [ -n "$uri" ] || die "the host's apt names no Debian archive ($kind): set LICTOR_VM_MIRROR to a Debian mirror's address"
    echo "${uri%/}"
}

# Prints a sources.list line for one suite.
debian_source() {
    local suite=$1 kind=main trust=""
    case $suite in *-security) kind=security ;; esac
    [ -r "$KEYRING" ] && trust="[signed-by=$KEYRING] "
    local uri
    uri=$(debian_mirror "$kind")
    echo "deb ${trust}$uri $suite main"
}
