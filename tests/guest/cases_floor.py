# SPDX-License-Identifier: Apache-2.0
"""The floor: what no policy gives, for governed sessions and, on the daemon itself, for everybody."""

from case import attack, benign


def floor(id, title, command, effect="status", event=None, evasions=(), **more):
    return attack("floor-" + id, title, command, more.pop("agent", "open"), effect, event, tier="floor", evasions=evasions, **more)


def guard(id, title, command, effect="daemon", event=None, evasions=(), **more):
    """A governed session against Lictor itself."""
    return attack("guard-" + id, title, command, "open", effect, event, evasions=evasions, **more)


def protect(id, title, command, evasions=(), effect="daemon", **more):
    """Ungoverned root against Lictor itself, with `self_protection: on`."""
    return attack("protect-" + id, title, command, "", effect, evasions=evasions, self_protection=True, **more)


# For files of another process the kernel turns every refused ptrace check into EACCES, whoever refused it.
HIDDEN = ("EPERM", "EACCES")

CASES = [
    # Other processes.
    floor("ptrace", "tracing another process", "ptrace {victim} {address}", "leak", "process", (55,)),
    floor("seize", "PTRACE_SEIZE", "seize {victim}", "status", "process", (55,)),
    floor("traceme", "having itself traced by who started the session", "--here traceme", "status", "process", (56,)),
    floor("vm-read", "process_vm_readv", "vm-read {victim} {address}", "leak", "process", (57,)),
    floor("vm-write", "process_vm_writev", "vm-write {victim} {address}", "victim", "process", (57,)),
    floor("proc-mem", "/proc/PID/mem", "proc-mem {victim} {address}", "leak", None, (57,), errors=HIDDEN),
    floor("environ", "/proc/PID/environ", "read /proc/{victim}/environ", "leak", None, (58,), errors=HIDDEN),
    floor("maps", "/proc/PID/maps", "read /proc/{victim}/maps", "status", None, (58,), errors=HIDDEN),
    floor("proc-fd", "an open file of another process through /proc/PID/fd", "read /proc/{victim}/fd/9", "leak", None, (58, 3), errors=HIDDEN),
    floor("proc-root", "the file system of another process through /proc/PID/root", "read /proc/{victim}/root{home}/.ssh/id_ed25519", "leak", None, (3,), errors=HIDDEN),
    floor("pidfd-getfd", "taking a descriptor of another process", "pidfd-getfd {victim} 9", "leak", "process", (57, 91)),
    floor("kcmp", "kcmp", "kcmp {victim}", "status", None, (57,)),
    floor("madvise", "process_madvise", "madvise {victim} {address}", "status", None, (57,), errors=HIDDEN),
    floor("kill", "killing another process", "kill {victim} 9", "victim", "process", (60,)),
    floor("stop", "stopping another process", "kill {victim} 19", "victim", "process", (60,)),
    floor("kill-group", "killing another process group", "kill-group {victim} 9", "victim", "process", (60,)),
    floor("tgkill", "tgkill", "tgkill {victim} 9", "victim", "process", (60,)),
    floor("sigqueue", "sigqueue", "sigqueue {victim} 15", "victim", "process", (60,)),
    floor("pidfd-signal", "pidfd_send_signal", "pidfd-signal {victim} 9", "victim", "process", (60,)),
    floor("sigio", "a signal sent by the kernel to the owner of a pipe", "sigio {victim} 15", "victim", None, (60,)),
    floor("tiocsti", "typing into a terminal", "tiocsti", "status", None, (60,)),
    floor("key", "reading a key of another session", "key-read {key}", "leak", "privilege", (62,)),
    # Namespaces and cgroups.
    floor("userns", "a user namespace", "userns", "status", "privilege", (75,)),
    floor("userns-clone", "a user and network namespace by clone3", "userns-clone", "status", "privilege", (75, 101)),
    floor("userns-user", "a user namespace as an ordinary user", "userns", "status", "privilege", (75,), user="dev"),
    floor("setns", "entering another process's namespaces by pidfd", "setns-pidfd {other_namespace}", "status", None, (69,)),
    floor("setns-file", "entering a namespace by /proc/PID/ns", "setns-file {other_namespace}", "status", None, (69,), errors=HIDDEN),
    floor("cgroup-move", "moving to a cgroup of its own", "cgroup-move /sys/fs/cgroup/attack", "status", None, (71,)),
    floor("cgroup-root", "moving to another cgroup", "cgroup-move {other_cgroup}", "status", None, (71,)),
    floor("cgroup-clone", "being born in another cgroup", "cgroup-clone {other_cgroup}", "status", None, (72,)),
    floor("cgroup-kill", "cgroup.kill of another cgroup", "write {victim_cgroup}/cgroup.kill 1", "victim", None, (115,)),
    floor("cgroup-freeze", "cgroup.freeze of another cgroup", "write {victim_cgroup}/cgroup.freeze 1", "{victim_cgroup}/cgroup.freeze", None, (115,)),
    floor("cgroup-starve", "starving another cgroup", "write {victim_cgroup}/cgroup.max.depth 3", "{victim_cgroup}/cgroup.max.depth", None, (116,)),
    # Mounts.
    floor("mount", "mount", "mount {scratch}", "status", "privilege", (5,)),
    floor("mount-bind", "a bind mount", "mount-bind {home} {scratch}", "status", "privilege", (5,)),
    floor("mount-new", "fsopen, fsmount, move_mount", "mount-new {scratch}", "status", None, (7,)),
    floor("mount-clone", "open_tree, move_mount", "mount-clone {home} {scratch}", "status", None, (6, 7)),
    floor("remount", "a remount", "remount {bound}", "status", "privilege", (7,)),
    floor("umount", "umount", "umount {bound_run}", "status", "privilege", (7, 122)),
    floor("pivot-root", "pivot_root", "pivot-root {scratch}", "status", None, (21,)),
    # The kernel.
    floor("bpf-map", "making a BPF map", "bpf-map", "status", "privilege", (125,)),
    floor("bpf-prog", "loading a BPF program", "bpf-prog", "status", "privilege", (61, 125)),
    floor("perf", "perf_event_open", "perf", "status", "privilege", (61,), errors=HIDDEN),
    floor("userfaultfd", "userfaultfd", "userfaultfd", "status", "privilege", (59, 112)),
    floor("module-file", "loading a module from a file", "module-file {module}", "status", "privilege", (52,)),
    floor("module-memory", "loading a module from memory", "module-memory {module}", "status", "privilege", (52,)),
    floor("module-autoload", "a module that the kernel loads by itself", "autoload {autoloaded} {scratch}", "status", "privilege", (53,)),
    floor("binfmt", "an interpreter for a program format, in binfmt_misc", "binfmt {formats}", "status", None, (40,)),
    floor("mount-fuse", "a file system served by its own program", "mount-fuse {scratch}", "status", None, (36,)),
    floor("kexec", "kexec_load", "kexec", "status", "privilege", (126,)),
    floor("iopl", "access to I/O ports", "iopl", "status", "privilege", (126,)),
    floor("clock", "setting the clock", "set-clock", "status", "privilege", (128,)),
    floor("reboot", "reboot(2)", "reboot-key", "status", "privilege", (126,)),
    floor("sysrq", "/proc/sysrq-trigger", "write /proc/sysrq-trigger h", "status", None, (126,)),
    floor("core-pattern", "a program for core dumps, in /proc/sys", "write /proc/sys/kernel/core_pattern |/bin/false", "/proc/sys/kernel/core_pattern", None, (54,)),
    floor("modprobe-path", "a program for module loading, in /proc/sys", "write /proc/sys/kernel/modprobe /bin/false", "/proc/sys/kernel/modprobe", None, (54,)),
    floor("sysctl", "a kernel setting", "write /proc/sys/kernel/panic 9", "/proc/sys/kernel/panic", None, (54,)),
    floor("sysfs", "a setting in /sys", "write {sysfs} 33333", "{sysfs}", None, (54,)),
    floor("tracefs", "a kernel probe by tracefs", "write /sys/kernel/tracing/tracing_on 0", "/sys/kernel/tracing/tracing_on", None, (61, 123)),
    floor("oom", "the memory killer's preference of another process", "write /proc/{victim}/oom_score_adj 999", "victim", None, (116,)),
    floor("block-device", "reading the disk below the file system", "read-device {disk} 1024", "status", None, (17,)),
    floor("mknod-device", "making a device node and reading it", "mknod-device {disk} {tmp}/disk", "status", None, (17,)),
    floor("mem-device", "/dev/mem", "read-device /dev/mem 0xf0000", "status", None, (126,)),
    floor("kmsg", "clearing the kernel's log", "clear-log", "status", None, (129,)),
    floor("acct", "process accounting into a file", "acct {tmp}/plain", "status", None, (126,)),
    floor("tun", "a network device of its own", "tun", "status", None, (99,)),
    floor("bpffs", "writing to bpffs", "mkdir /sys/fs/bpf/attack", "status", None, (122,)),
    # A governed session against Lictor itself.
    guard("kill", "killing the daemon", "kill {daemon} 9", evasions=(113,), event="process"),
    guard("stop", "stopping the daemon", "kill {daemon} 19", evasions=(114,), event="process"),
    guard("ptrace", "tracing the daemon", "seize {daemon}", "status", "process", (114,)),
    guard("proc-mem", "the daemon's memory", "open-write /proc/{daemon}/mem", "status", None, (57,), errors=HIDDEN),
    guard("prlimit", "the daemon's limits", "prlimit {daemon}", evasions=(117,)),
    guard("scheduler", "the daemon's scheduling", "scheduler {daemon}", evasions=(116,)),
    guard("nice", "the daemon's priority", "nice {daemon}", evasions=(116,)),
    guard("affinity", "the daemon's processors", "affinity {daemon}", evasions=(116,)),
    guard("oom", "the memory killer's preference for the daemon", "write /proc/{daemon}/oom_score_adj 999", evasions=(116,)),
    guard("cgroup-kill", "cgroup.kill of the daemon's cgroup", "write {daemon_cgroup}/cgroup.kill 1", evasions=(115,)),
    guard("cgroup-freeze", "cgroup.freeze of the daemon's cgroup", "write {daemon_cgroup}/cgroup.freeze 1", "{daemon_cgroup}/cgroup.freeze", evasions=(115,)),
    guard("pins", "removing the pins", "remove-pins {pins}", "status", None, (122,)),
    guard("pins-cover", "mounting over the pins", "mount /sys/fs/bpf", "status", None, (122,)),
    guard("pins-rename", "renaming the pins", "rename {pins} {pins}-gone", "status", None, (122,)),
    guard("map-by-id", "spoiling a map by its id", "bpf-by-id {daemon}", "status", None, (119, 120), errors=HIDDEN),
    guard("map-pinned", "spoiling a pinned map", "bpf-pinned {pins}", "status", None, (119,)),
    guard("policy", "writing the policy", "append {policy} #", "{policy}", None, (118,)),
    guard("config", "writing the settings", "append {config} #", "{config}", None, (118,)),
    guard("state", "writing into the state", "create {state}/attack x", "status", None, (118, 129)),
    guard("control", "talking to the control socket", "unix-reach {control}", "status", None, (130,)),
    # Ungoverned root against Lictor itself.
    protect("kill", "SIGKILL", "kill {daemon} 9", (113,)),
    protect("term", "SIGTERM", "kill {daemon} 15", (113,)),
    protect("stop", "SIGSTOP", "kill {daemon} 19", (114,)),
    protect("seize", "ptrace", "seize {daemon}", (114,), effect="status"),
    protect("prlimit", "prlimit", "prlimit {daemon}", (117,)),
    protect("scheduler", "scheduling class", "scheduler {daemon}", (116,)),
    protect("cgroup-kill", "cgroup.kill", "write {daemon_cgroup}/cgroup.kill 1", (115,)),
    protect("cgroup-freeze", "cgroup.freeze", "write {daemon_cgroup}/cgroup.freeze 1", (115,), effect="{daemon_cgroup}/cgroup.freeze"),
    protect("map-by-id", "a map taken by its id", "bpf-by-id {daemon}", (119, 120), effect="status", errors=HIDDEN),
    protect("map-pinned", "a pinned map", "bpf-pinned {pins}", (119,), effect="status"),
    protect("pins", "removing the pins", "remove-pins {pins}", (122,), effect="status"),
    protect("pins-rename", "renaming the pins", "rename {pins} {pins}-gone", (122,), effect="status"),
    protect("pins-cover", "mounting over bpffs", "mount /sys/fs/bpf", (122,), effect="status"),
    protect("pins-unmount", "unmounting bpffs", "umount /sys/fs/bpf", (122,), effect="status"),
    # Ordinary work.
    benign("floor-trace-own", "tracing its own child", "trace-child", "open"),
    benign("floor-signal-own", "signalling its own child", "signal-child", "open"),
    benign("floor-key-own", "a key of its own", "key-own", "open"),
    benign("floor-proc-self", "its own /proc entries", "read /proc/self/environ", "open"),
    benign("floor-cpuinfo", "the host's /proc entries", "read /proc/meminfo", "open"),
    benign("floor-sysctl-read", "reading a kernel setting", "read /proc/sys/kernel/ostype", "open"),
    benign("floor-sysfs-read", "reading /sys", "list /sys/class/net", "open"),
    benign("floor-pidfd-own", "signalling its own child by descriptor", "pidfd-child", "open"),
    benign("floor-terminal", "a terminal of its own", "terminal", "open"),
    benign("floor-nameless", "objects without a name", "nameless {ws}", "open"),
    benign("floor-tmp", "files of its own in /tmp", "work-tree /tmp", "open"),
    benign("floor-build", "a C compiler", "shell 'cd {ws} && gcc -o prog main.c && ./prog && touch {mark}'", "open", "ran"),
    benign("floor-git", "git", "shell 'cd {ws} && git init -q repo && cd repo && git config user.email dev@localhost && git config user.name dev && echo x > f && git add f && git commit -qm first && touch {mark}'",
           "open", "ran"),
    benign("floor-user", "as an ordinary user", "read {ws}/plain.txt", "open", user="dev"),
    benign("floor-privilege-perf", "a privilege that the policy gives back: perf", "perf", "privileged"),
    benign("floor-privilege-bpf", "a privilege that the policy gives back: bpf", "bpf-map", "privileged"),
    benign("floor-privilege-mount", "a privilege that the policy gives back: mount", "mount {scratch}", "privileged"),
    benign("floor-privilege-userns", "a privilege that the policy gives back: userns", "userns", "privileged"),
    benign("floor-privilege-raw", "a privilege that the policy gives back: raw_sockets", "socket 2 3 1", "privileged"),
    benign("floor-privilege-ptrace", "a privilege that the policy gives back: ptrace", "seize {victim}", "privileged"),
    benign("floor-privilege-module", "a privilege that the policy gives back: modules", "module-file {module}", "privileged"),
    benign("floor-privilege-key", "a privilege that the policy gives back: keyring", "key-read {key}", "privileged"),
]
