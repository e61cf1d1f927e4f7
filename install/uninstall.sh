#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Removes what install.sh put. Settings (/etc/lictor) and records (/var/lib/lictor) stay unless --purge is given.
set -euo pipefail

prefix=/usr/local destdir="" purge=no
while [ $# -gt 0 ]; do
    case $1 in
        --prefix) prefix=$2 && shift 2 ;;
        --destdir) destdir=${2%/} && shift 2 ;;
        --purge) purge=yes && shift ;;
        *) echo "uninstall: unknown option $1" >&2 && exit 2 ;;
    esac
done

if [ -z "$destdir" ] && [ "$(id -u)" != 0 ]; then
    echo "uninstall: only root may do this: sudo make uninstall" >&2
    exit 1
fi

if [ -z "$destdir" ]; then
    if [ -d /run/systemd/system ] && systemctl cat lictord.service >/dev/null 2>&1; then
        systemctl disable --now lictord
    fi
    # Pinned programs enforce without a daemon; removing the pins is what ends it.
    if [ -d /sys/fs/bpf/lictor ]; then
        rm -rf /sys/fs/bpf/lictor
        echo "removed   /sys/fs/bpf/lictor: nothing is enforced any more"
    fi
    rm -rf /run/lictor
fi

for file in "$prefix/bin/lictor" "$prefix/bin/lictord" "$prefix/lib/systemd/system/lictord.service" \
    "$prefix/lib/sysusers.d/lictor.conf" "$prefix/lib/tmpfiles.d/lictor.conf"; do
    if [ -e "$destdir$file" ]; then
        rm "$destdir$file"
        echo "removed   $destdir$file"
    fi
done

if [ "$purge" = yes ]; then
    rm -rf "$destdir/etc/lictor" "$destdir/var/lib/lictor"
    echo "removed   settings and records"
else
    echo "kept      $destdir/etc/lictor and $destdir/var/lib/lictor (install/uninstall.sh --purge removes them)"
fi
if [ -z "$destdir" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
