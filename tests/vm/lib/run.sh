# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# One guest, from disks to exit status.

vm_run() {
    local kernel=6.12 memory=2048 timeout=600 append="" tty=no console="" results="" count=no turns=no forward="" dirs=()
    while [ $# -gt 0 ]; do
        case $1 in
            -k | --kernel) kernel=$2 && shift 2 ;;
            -d | --dir) dirs+=("$2") && shift 2 ;;
            -o | --results) results=$2 && shift 2 ;;
            -m | --memory) memory=$2 && shift 2 ;;
            -t | --timeout) timeout=$2 && shift 2 ;;
            -a | --append) append=$2 && shift 2 ;;
            --console) console=$2 && shift 2 ;;
            --forward) forward=$2 && shift 2 ;;
            --tty) tty=yes && shift ;;
            --count-instructions) count=yes && shift ;;
            --in-turn) turns=yes && shift ;;
            --) shift && break ;;
            -*) die "run: unknown option $1 (see lictor-vm help)" ;;
            *) break ;;
        esac
    done
    [ $# -gt 0 ] || die "run: no command given (see lictor-vm help)"
    local host_port=${forward%%:*} guest_port=${forward##*:}
    if [ -n "$forward" ]; then
        [[ $forward =~ ^[0-9]+:[0-9]+$ ]] || die "run: --forward $forward is not HOSTPORT:GUESTPORT"
        # Taken, it would look like a guest that does not start.
        if (exec 3<>"/dev/tcp/127.0.0.1/$host_port") 2>/dev/null; then die "run: port $host_port is in use on this host"; fi
    fi

    command -v qemu-system-x86_64 mmdebstrap debugfs depmod cpio busybox >/dev/null || vm_deps
    kernel_dir "$kernel" >/dev/null || vm_kernels "$kernel"
    vm_rootfs
    local kernel_path root
    kernel_path=$(kernel_dir "$kernel") || die "there is no kernel $kernel in $CACHE/kernels"
    root=$(root_image) || die "there is no root image in $CACHE/rootfs"

    # Global, for the trap: it runs when this function's variables are gone.
    RUN_DIR=$(mktemp -d "$CACHE/run.XXXXXX")
    trap 'rm -rf "$RUN_DIR"' EXIT
    make_initramfs "$kernel_path" "$RUN_DIR/initramfs"

    local drives=() index=0 mounts="" entry source place size
    for entry in "${dirs[@]}"; do
        source=${entry%%:*} place=/payload
        case $entry in *:*) place=${entry#*:} ;; esac
        [ -d "$source" ] || die "run: $source is not a directory"
        size=$(du -sm --apparent-size "$source" | cut -f1)
        make_ext4 "$RUN_DIR/dir$index.ext4" $((size * 5 / 4 + 256)) "$source"
        drives+=(-drive "file=$RUN_DIR/dir$index.ext4,if=none,id=dir$index,format=raw,cache=unsafe"
            -device "virtio-blk-pci,drive=dir$index,serial=dir$index")
        mounts+="dir$index $place"$'\n'
        index=$((index + 1))
    done

    mkdir -p "$RUN_DIR/results/.lictor-vm"
    printf '%s' "$mounts" >"$RUN_DIR/results/.lictor-vm/mounts"
    local rows=24 columns=80
    [ "$tty" = no ] || [ ! -t 0 ] || read -r rows columns < <(stty size)
    printf 'TTY=%s\nROWS=%s\nCOLUMNS=%s\nFORWARDED=%s\n' "$tty" "$rows" "$columns" "$guest_port" >"$RUN_DIR/results/.lictor-vm/options"
    # One word is a line for the shell, as with ssh(1); more are run as they stand.
    if [ $# = 1 ]; then printf '%s\n' "$1"; else printf '%q ' "$@"; fi >"$RUN_DIR/results/.lictor-vm/command"

    local attempt status
    for attempt in 1 2 3; do
        make_ext4 "$RUN_DIR/results.ext4" 1024 "$RUN_DIR/results"
        start_guest
        status=$(debugfs -R 'cat /.lictor-vm/status' "$RUN_DIR/results.ext4" 2>/dev/null)
        if guest_started; then
            [ "$ACCEL" = tcg ] || echo "$ACCEL" >"$(accel_file)"
            break
        fi
        if [ "$ACCEL" = kvm ] && accel_is_a_guess; then
            say "KVM does not run this guest on this host; software emulation from now on (remove $(accel_file) to try again)"
            echo tcg >"$(accel_file)"
            continue
        fi
        [ "$GUEST_STATUS" = 124 ] && break
        say "the guest died before its first line (attempt $attempt of 3)"
    done

    [ -z "$console" ] || cp "$RUN_DIR/console" "$console"
    [ -z "$results" ] || collect_results "$results"
    if [ -z "$status" ]; then
        say "the end of the guest's console:"
        tail -n 25 "$RUN_DIR/console" >&2
        if [ "$GUEST_STATUS" = 124 ]; then
            say "the guest was ended after $timeout s (--timeout)"
            exit 124
        fi
        die "the guest ended without an exit status (qemu: $GUEST_STATUS)"
    fi
    exit "$status"
}

# The kernel's part is made once, ours is small: both are cpio archives, and the kernel unpacks them one after the other.
make_initramfs() {
    local kernel_path=$1 out=$2 tree=$RUN_DIR/initramfs.d tool
    mkdir -p "$tree"/{bin,dev,sys,new,modules}
    cp "$(command -v busybox)" "$tree/bin/busybox"
    for tool in sh mount umount insmod switch_root sleep cat cp echo; do ln -s busybox "$tree/bin/$tool"; done
    cp "$kernel_path"/boot-modules/*.ko "$tree/modules/"
    install -m 755 "$VM_DIR/guest/init" "$tree/init"
    install -m 755 "$VM_DIR/guest/boot-guest" "$tree/boot-guest"
    (cd "$tree" && find . | with_root_owner cpio --quiet -o -H newc) >"$out"
    rm -rf "$tree"
}

# Whether KVM works is found out by trying, once per host kernel: a /dev/kvm that is there may still run no guest.
accel_file() { echo "$CACHE/accel-$(uname -r)"; }

choose_accel() {
    ACCEL=${LICTOR_VM_ACCEL:-}
    [ -n "$ACCEL" ] && return
    ACCEL=tcg
    [ -r /dev/kvm ] && [ -w /dev/kvm ] && ACCEL=kvm
    if [ -f "$(accel_file)" ]; then ACCEL=$(cat "$(accel_file)"); fi
}

accel_is_a_guess() { [ -z "${LICTOR_VM_ACCEL:-}" ] && [ ! -f "$(accel_file)" ]; }

guest_started() { grep -qa 'lictor-vm: started' "$RUN_DIR/console"; }

# Uses the variables of vm_run; sets GUEST_STATUS.
start_guest() {
    choose_accel
    local accel=tcg,thread=multi limit=$timeout chardev_extra="" watchdog=""
    # Emulated, these cost much and give nothing: a byte at a time, a level more of page tables, flushes.
    local cpu=max,-erms,-fsrm,-la57,-smap,-smep,-umip,-pku
    # Debian's default clears what the kernel allocates; figures are taken with it, tests need not wait for it.
    local machine=() processors=2 clearing=init_on_alloc=0
    if [ "$count" = yes ]; then
        # One instruction is one nanosecond of the guest's time, and idle time is the host's. One processor only: with
        # two, each one's instructions would also count as the other's time.
        ACCEL=tcg accel=tcg processors=1 machine=(-icount shift=0,sleep=on) clearing=init_on_alloc=1
    elif [ "$ACCEL" = kvm ]; then
        accel=kvm cpu=max
    elif [ "$turns" = yes ]; then
        # Between dropping its translation of a piece of code and writing to it for one processor, the emulator may
        # translate the old bytes anew for another, and keep them. Where the kernel patches itself by the hundred (each
        # program attached, each detached), that is sooner or later a breakpoint that is nobody's, and its end.
        accel=tcg,thread=single
    fi
    [ "$tty" = no ] || chardev_extra=,signal=off
    # The guest reaches nobody by it; only answers leave.
    local network=(-nic none)
    if [ -n "$forward" ]; then
        network=(-netdev "user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:$host_port-:$guest_port"
            -device virtio-net-pci,netdev=net,romfile=)
    fi
    : >"$RUN_DIR/console"
    local program=qemu-system-x86_64
    [ "$ACCEL" = kvm ] || program=$(emulator)
    local qemu=("$program" -accel "$accel" "${machine[@]}" -cpu "$cpu" -smp "$processors" -m "$memory" -nodefaults -no-user-config -display none
        -no-reboot "${network[@]}" -pidfile "$RUN_DIR/qemu.pid" -kernel "$kernel_path/vmlinuz" -initrd "$RUN_DIR/initramfs"
        -append "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off $clearing random.trust_cpu=on $append"
        -serial "file:$RUN_DIR/console" -chardev "stdio,id=out$chardev_extra" -serial chardev:out
        -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng
        -drive "file=$root,if=none,id=root,format=raw,snapshot=on,cache=unsafe" -device virtio-blk-pci,drive=root,serial=root
        -drive "file=$kernel_path/modules.ext4,if=none,id=modules,format=raw,readonly=on" -device virtio-blk-pci,drive=modules,serial=modules
        -drive "file=$RUN_DIR/results.ext4,if=none,id=results,format=raw,cache=unsafe" -device virtio-blk-pci,drive=results,serial=results
        "${drives[@]}")
    GUEST_STATUS=0
    if [ "$ACCEL" = kvm ] && accel_is_a_guess; then
        # A KVM that cannot run the guest may stop it in silence instead of failing.
        (
            sleep 40
            guest_started || kill "$(cat "$RUN_DIR/qemu.pid")"
        ) 2>/dev/null &
        watchdog=$!
    fi
    if [ "$tty" = yes ]; then
        TMPDIR=$RUN_DIR timeout --foreground -k 5 "$limit" "${qemu[@]}" || GUEST_STATUS=$?
    else
        TMPDIR=$RUN_DIR timeout --foreground -k 5 "$limit" "${qemu[@]}" </dev/null 2>"$RUN_DIR/qemu.log" || GUEST_STATUS=$?
        # qemu says nothing when all is well.
        [ ! -s "$RUN_DIR/qemu.log" ] || sed 's/^/lictor-vm: qemu: /' "$RUN_DIR/qemu.log" >&2
    fi
    [ -z "$watchdog" ] || kill "$watchdog" 2>/dev/null || true
}

collect_results() {
    local target=$1
    mkdir -p "$target"
    # A guest that was ended at its time limit leaves a file system that wants a check first.
    e2fsck -fy "$RUN_DIR/results.ext4" >/dev/null 2>&1 || true
    local out
    out=$(debugfs -R "rdump / \"$target\"" "$RUN_DIR/results.ext4" 2>&1 >/dev/null | grep -v '^debugfs ' || true)
    [ -z "$out" ] || say "results: $out"
    rm -rf "$target/lost+found" "$target/.lictor-vm"
}
