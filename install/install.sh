#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the programs, the systemd unit and the example settings. Settings that are there already stay as they are.
set -euo pipefail

HERE=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
prefix=/usr/local destdir="" target=""
while [ $# -gt 0 ]; do
    case $1 in
        --prefix) prefix=$2 && shift 2 ;;
        --destdir) destdir=${2%/} && shift 2 ;;
        --target-dir) target=$2 && shift 2 ;;
        *) echo "install: unknown option $1" >&2 && exit 2 ;;
    esac
done

if [ -z "$destdir" ] && [ "$(id -u)" != 0 ]; then
    echo "install: only root may write to $prefix and /etc: sudo make install (or set DESTDIR)" >&2
    exit 1
fi

# Under sudo the caller's programs are in the caller's target directory, not in root's.
candidates=("$target/release" "$target/debug")
if [ -n "${SUDO_USER:-}" ]; then
    caller_home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
    candidates=("$target/release" "$caller_home/.cache/lictor-target/release" "$target/debug" "$caller_home/.cache/lictor-target/debug")
fi
programs=""
for candidate in "${candidates[@]}"; do
    if [ -x "$candidate/lictor" ] && [ -x "$candidate/lictord" ]; then
        programs=$candidate
        break
    fi
done
if [ -z "$programs" ]; then
    echo "install: lictor and lictord are not built (looked in ${candidates[*]}): run make release first" >&2
    exit 1
fi

if [ -z "$destdir" ] && [ -d /run/systemd/system ] && systemctl is-active --quiet lictord \
    && grep -Eqs '^self_protection:[[:space:]]*on' /etc/lictor/lictord.yaml; then
    echo "install: lictord protects its own program (self_protection: on): systemctl stop lictord, install, then start it again" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

put() {
    local mode=$1 from=$2 to=$destdir$3
    install -D -m "$mode" "$from" "$to"
    echo "installed $to"
}

# put_settings FILE DEST: an administrator's file is never overwritten; the new example lies beside it.
put_settings() {
    local from=$1 to=$2
    if [ -e "$destdir$to" ] && ! cmp -s "$from" "$destdir$to"; then
        put 644 "$from" "$to.example"
        echo "kept      $destdir$to"
    else
        put 644 "$from" "$to"
    fi
}

echo "programs from $programs"
put 755 "$programs/lictor" "$prefix/bin/lictor"
put 755 "$programs/lictord" "$prefix/bin/lictord"
sed "s|@BINDIR@|$prefix/bin|" "$HERE/lictord.service.in" >"$work/lictord.service"
put 644 "$work/lictord.service" "$prefix/lib/systemd/system/lictord.service"
put 644 "$HERE/lictor.sysusers" "$prefix/lib/sysusers.d/lictor.conf"
put 644 "$HERE/lictor.tmpfiles" "$prefix/lib/tmpfiles.d/lictor.conf"
put_settings "$HERE/policy.yaml" /etc/lictor/policy.yaml
put_settings "$HERE/lictord.yaml" /etc/lictor/lictord.yaml
install -d -m 755 "$destdir/etc/lictor/rules.d"
for rules in "$HERE"/../rules/*.yaml; do put_settings "$rules" "/etc/lictor/rules.d/$(basename "$rules")"; done
install -d -m 750 "$destdir/var/lib/lictor"

if [ -n "$destdir" ]; then
    echo "done (DESTDIR is set: the group and the unit are for the package to set up)"
    exit
fi

if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers "$prefix/lib/sysusers.d/lictor.conf"
elif ! getent group lictor >/dev/null; then
    groupadd --system lictor
fi
install -d -m 750 -g lictor /run/lictor

"$prefix/bin/lictor" policy check /etc/lictor/policy.yaml
echo
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    if systemctl is-active --quiet lictord; then
        systemctl restart lictord
        echo "lictord was running and has been restarted; what it enforced stayed in force meanwhile"
    else
        echo "start it:            systemctl enable --now lictord"
    fi
else
    echo "start it:            lictord   (this host does not run systemd)"
fi
echo "is this host fit:    lictor doctor"
echo "run without it:      sudo lictor run -- COMMAND"
echo "let a user run it:   usermod -aG lictor USER"
