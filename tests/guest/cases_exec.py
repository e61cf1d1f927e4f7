# SPDX-License-Identifier: Apache-2.0
"""Execution: programs, scripts, libraries and mapped code that may not run."""

from case import attack, benign


def run(id, title, command, evasions=(), event="exec", effect="ran", **more):
    return attack("exec-" + id, title, command, "exec", effect, event, tier="policy", evasions=evasions, **more)


CASES = [
    run("denied", "a denied program", "exec {bad}/payload", path="bad/payload", rule="exec.exec.deny[0]"),
    run("symlink", "through a symbolic link", "exec-symlink {bad}/payload {bin}", (33,)),
    run("hardlink", "through a new hard link in a permitted directory", "exec-hardlink {bad}/payload {bin}", (33,), event=None),
    run("old-hardlink", "through a hard link made before the session", "exec {bin}/alias", (33,)),
    run("rename", "renamed into a permitted directory", "exec-renamed {bad}/payload {bin}/moved", (33,), event=None),
    run("bind-mount", "through a bind mount made before the session", "exec {bound_bad}/payload", (5, 33)),
    run("relative", "by a relative name", "exec-relative {bad} payload", (4,)),
    run("fd", "execveat of a descriptor", "exec-fd {bad}/payload", (15,)),
    run("proc-fd", "through /proc/self/fd", "exec-proc-fd {bad}/payload", (15, 28)),
    run("thread", "from a thread that is not the leader", "exec-thread {bad}/payload", (65,)),
    run("vfork", "after vfork", "exec-vfork {bad}/payload", (65,)),
    run("no-argv", "with an empty argv", "exec-no-argv {bad}/payload", (44,)),
    run("hash", "a program denied by its content", "exec {bin}/hashed", (32,), rule="exec.exec.deny[1]"),
    run("hash-copy", "a copy of it under another name", "exec-copied {bin}/hashed {bin}/other", (32, 33)),
    run("hash-rename", "it, renamed", "exec-renamed {bin}/hashed {bin}/other", (32, 33)),
    run("unlisted", "a program that exec.allow does not name", "exec {ws}/payload", path="ws/payload"),
    run("unlisted-copy", "a copy of a permitted program elsewhere", "exec-copied {bin}/attack {ws}/copy", (33,)),
    run("unlisted-uncached", "a program written a moment ago", "exec-copied {bin}/attack {tmp}/copy", (35,)),
    run("script", "a denied script", "exec {bad}/script.sh", (39,), path="script.sh"),
    run("script-unlisted", "a script that exec.allow does not name", "exec {ws}/script.sh", (39,)),
    run("interpreter", "a permitted script whose interpreter is denied", "exec {bin}/odd-interpreter", (39,)),
    run("find", "by find -exec", "shell 'find {ws}/plain.txt -exec {bad}/touch {mark} \\;'", (48,)),
    run("env", "by env -S", "shell 'env -S \"{bad}/touch {mark}\"'", (45, 48)),
    run("memfd", "a program in memory, by execveat", "exec-memfd", (27,)),
    run("memfd-proc", "a program in memory, through /proc/self/fd", "exec-memfd-proc", (27,)),
    run("memfd-script", "a script in memory", "exec-memfd-script", (27,)),
    run("tmpfile", "an unnamed file in a permitted directory", "exec-tmpfile {bin}", (28,)),
    run("unlinked", "a program removed before it runs", "exec-unlinked {bin}", (28,)),
    run("loader", "a denied program, passed to the dynamic loader", "loader {bad}/touch", (29,), event="memory", path="bad/touch"),
    run("loader-unlisted", "an unlisted program, passed to the dynamic loader", "loader {ws}/touch", (29,), event="memory"),
    run("preload", "an unlisted library by LD_PRELOAD", "preload {ws}/library.so", (49,), event="memory", path="library.so"),
    run("preload-denied", "a denied library by LD_PRELOAD", "preload {bad}/library.so", (49,), event="memory"),
    run("preload-memfd", "a library in memory", "preload-memfd {bin}/library.so", (51,), event="memory"),
    run("map", "mapping an unlisted file executable", "map-exec {ws}/code.bin", (29, 30), event="memory", effect="status"),
    run("protect", "mapping it first, executable later", "protect-exec {ws}/code.bin", (10, 30), event="memory", effect="status"),
    run("map-memfd", "mapping memory-file code", "map-memfd", (51,), event="memory", effect="status"),
    attack("exec-patch-text", "rewriting read-only code through /proc/self/mem", "patch-text", "open", "status", evasions=(31,), tier="floor"),
    attack("exec-spoof-exe", "naming another program as its own (PR_SET_MM)", "spoof-exe /bin/true", "open", "status", evasions=(42,), tier="floor"),
    benign("exec-permitted", "a permitted program", "exec {bin}/payload", "exec", "ran"),
    benign("exec-symlink-ok", "a symbolic link to it", "exec-symlink {bin}/payload {tmp}", "exec", "ran"),
    benign("exec-fd-ok", "by descriptor", "exec-fd {bin}/payload", "exec", "ran"),
    benign("exec-script-ok", "a permitted script", "exec {bin}/good.sh", "exec", "ran"),
    benign("exec-thread-ok", "from a thread", "exec-thread {bin}/payload", "exec", "ran"),
    benign("exec-vfork-ok", "after vfork", "exec-vfork {bin}/payload", "exec", "ran"),
    benign("exec-loader-ok", "a permitted program, passed to the loader", "loader /usr/bin/touch", "exec", "ran"),
    benign("exec-preload-ok", "a permitted library", "preload {bin}/library.so", "exec", "ran"),
    benign("exec-jit", "code made at run time in anonymous memory", "jit", "exec"),
    benign("exec-python", "an interpreter that loads libraries", "run python3 -c 'import socket, zlib, hashlib, subprocess; subprocess.run([\"true\"], check=True)'", "exec"),
    benign("exec-anonymous", "a program in memory where the policy permits it", "exec-memfd", "anonymous", "ran"),
    benign("exec-near-hash", "a program that differs by one byte from a denied one", "exec {bin}/near-hashed", "exec", "ran"),
    benign("exec-monitor", "a denied program in monitor mode", "exec {bad}/payload", "watched", "ran"),
]
