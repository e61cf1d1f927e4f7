# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Kernels: found in Debian's suites with private apt lists (the host's own stay as they are), unpacked, and laid down as
#   kernels/VERSION/{vmlinuz,modules.ext4}     and a link SERIES -> VERSION for each name it was asked for.

# series  suites that carry it  pattern of its packages
KERNEL_SOURCES='
5.10    bullseye,bullseye-security                      linux-image-5\.10\.0-[0-9]+-cloud-amd64
6.1     bookworm,bookworm-updates,bookworm-security     linux-image-6\.1\.0-[0-9]+-cloud-amd64
6.12    bookworm,bookworm-updates,bookworm-security     linux-image-6\.12\.[0-9]+[^ ]*-cloud-amd64
newest  trixie-backports                                linux-image-[0-9]+\.[0-9]+\.[0-9]+[^ ]*-cloud-amd64
'
DEFAULT_KERNELS=(6.1 6.12 newest 5.10)

vm_kernels() {
    local refresh=no wanted=()
    while [ $# -gt 0 ]; do
        case $1 in
            --refresh) refresh=yes ;;
            -*) die "kernels: unknown option $1" ;;
            *) wanted+=("$1") ;;
        esac
        shift
    done
    [ "$(dpkg --print-architecture)" = amd64 ] || die "the guests are amd64, and this host is not"
    locked fetch_kernels "$refresh" "${wanted[@]:-${DEFAULT_KERNELS[@]}}"
}

fetch_kernels() {
    local refresh=$1 series failed=()
    shift
    for series in "$@"; do
        # Two steps, since `set -e` is off inside anything whose status is tested.
        [ "$refresh" = no ] && kernel_dir "$series" >/dev/null && continue
        (fetch_kernel "$series") || failed+=("$series")
    done
    [ ${#failed[@]} = 0 ] || die "could not get kernels: ${failed[*]}"
}

# Prints the directory of a kernel that is complete in the cache; fails where there is none.
kernel_dir() {
    local dir=$CACHE/kernels/$1
    [ -f "$dir/complete" ] || return 1
    readlink -f "$dir"
}

private_apt() {
    local dir=$1 tool=$2
    shift 2
    "$tool" -o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache" -o APT::Sandbox::User= \
        -o Dir::State::Status=/dev/null -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Debug::NoLocking=1 -o APT::Update::Post-Invoke::= -o APT::Update::Post-Invoke-Success::= "$@"
}

fetch_kernel() {
    local series=$1 row suites pattern
    row=$(awk -v s="$series" '$1 == s' <<<"$KERNEL_SOURCES")
    if [ -n "$row" ]; then
        read -r _ suites pattern <<<"$row"
    else
        [[ $series =~ ^[0-9]+\.[0-9]+$ ]] || die "\`$series\` is no kernel series: say 6.1, 6.12, 7.2, 5.10 or newest"
        suites=trixie,trixie-security,trixie-backports
        pattern="linux-image-${series/./\\.}\\.[0-9]+[^ ]*-cloud-amd64"
    fi

    local apt=$CACHE/apt/$series suite
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    say "kernel $series: reading the package lists of ${suites//,/, }"
    : >"$apt/sources.list"
    for suite in ${suites//,/ }; do debian_source "$suite" >>"$apt/sources.list"; done
    # A suite that has left the mirror is no obstacle as long as another one has the kernel.
    private_apt "$apt" apt-get update -q >"$apt/update.log" 2>&1 || say "kernel $series: some lists are missing, see $apt/update.log"

    local package tried=0
    while read -r package; do
        [ -n "$package" ] || continue
        tried=$((tried + 1))
        [ $tried -le 3 ] || break
        unpack_kernel "$series" "$apt" "$package" && return
        say "kernel $series: $package is not to be had, trying the next older one"
    done < <(private_apt "$apt" apt-cache search --names-only "^$pattern\$" | cut -d' ' -f1 | sort -rV)
    die "kernel $series: no package of ${suites//,/, } matches $pattern and can be fetched (see $apt/update.log)"
}

unpack_kernel() {
    local series=$1 apt=$2 image=$3
    local version=${image#linux-image-} dir work package
    dir=$CACHE/kernels/$version
    if [ ! -f "$dir/complete" ]; then
        work=$(mktemp -d "$CACHE/kernel.XXXXXX")
        # shellcheck disable=SC2064  # this value, not the one at exit; fetch_kernel runs in a subshell of its own
        trap "rm -rf '$work'" EXIT
        # From 6.19 on the image package is empty and depends on others that hold the binary and the modules.
        for package in "$image" "${image/-image-/-base-}" "${image/-image-/-binary-}" "${image/-image-/-modules-}"; do
            private_apt "$apt" apt-cache show "$package" >/dev/null 2>&1 || continue
            say "kernel $series: fetching $package"
            (cd "$work" && private_apt "$apt" apt-get download -q "$package" >"$apt/download.log" 2>&1) || return 1
        done
        for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root" || return 1; done
        rm -f "$work"/*.deb

        local modules=$work/root/lib/modules
        [ -d "$modules" ] || modules=$work/root/usr/lib/modules
        mkdir -p "$work/m/lib" "$work/kernel"
        # In /boot, or beside the modules in newer packages.
        find "$work/root" -name "vmlinuz*" -type f -exec mv {} "$work/kernel/vmlinuz" \;
        [ -s "$work/kernel/vmlinuz" ] || die "kernel $series: $image holds no vmlinuz"
        mv "$modules" "$work/m/lib/modules"
        depmod -b "$work/m" "$version" || return 1
        make_initramfs_modules "$work/m" "$version" "$work/kernel/boot-modules"
        local size
        size=$(du -sm "$work/m/lib/modules/$version" | cut -f1)
        make_ext4 "$work/kernel/modules.ext4" $((size * 5 / 4 + 16)) "$work/m/lib/modules/$version"
        echo "$version" >"$work/kernel/version"
        : >"$work/kernel/complete"
        mkdir -p "$CACHE/kernels"
        rm -rf "$dir"
        mv "$work/kernel" "$dir"
    fi
    ln -sfn "$version" "$CACHE/kernels/$series"
    # `newest` is also known by its number.
    [ "$series" = newest ] && [[ $version =~ ^([0-9]+\.[0-9]+) ]] && ln -sfn "$version" "$CACHE/kernels/${BASH_REMATCH[1]}"
    say "kernel $series: $version is ready"
}

# The cloud kernels have ext4 built in and everything else that a virtio disk needs as modules.
make_initramfs_modules() {
    local base=$1 version=$2 out=$3 module path order=0 name
    mkdir -p "$out"
    for module in virtio_pci virtio_blk; do
        while read -r _ path; do
            name=$(basename "${path%%.ko*}")
            compgen -G "$out/*-$name.ko" >/dev/null && continue
            order=$((order + 1))
            local target
            target=$out/$(printf '%02d' $order)-$name.ko
            case $path in
                *.xz) xz -dc "$path" >"$target" ;;
                *.zst) zstd -qdc "$path" >"$target" ;;
                *) cp "$path" "$target" ;;
            esac
        done < <(modprobe -d "$base" -S "$version" --show-depends "$module" | grep '^insmod')
    done
}

vm_list() {
    local entry
    echo "cache: $CACHE"
    for entry in "$CACHE"/kernels/*; do
        if [ -L "$entry" ]; then echo "kernel $(basename "$entry") = $(readlink "$entry")"; fi
    done
    if root_image >/dev/null; then echo "root image: $(root_image)"; else echo "root image: not built, or of another package list"; fi
}
