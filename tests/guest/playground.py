# SPDX-License-Identifier: Apache-2.0
"""What the attacks act on: protected files, a workspace, victims, decoys of Lictor's own parts, and the policy over them."""

import contextlib
import ctypes
import glob
import hashlib
import json
import lzma
import os
import pathlib
import secrets
import shutil
import stat
import subprocess

ROOT = "/srv/lictor-suite"  # rebuilt whenever an attack changed it
FIXED = "/srv/lictor-suite-fixed"  # sockets, bind mounts and files of the run itself: never rebuilt
CGROUPS = "/sys/fs/cgroup"
ADDRESSES = ("10.0.1.1/24", "10.0.1.2/24", "2001:db8::1/64", "169.254.169.254/32")


def shell(command):
    return subprocess.run(command, shell=True, capture_output=True, text=True)


def must(command):
    done = shell(command)
    if done.returncode:
        raise RuntimeError(f"`{command}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


# By the system call: the tree is rebuilt for every second attack, and in an emulated guest a program takes longer than all the rest.
LIBC = ctypes.CDLL(None, use_errno=True)
MS_BIND, MNT_DETACH = 0x1000, 2


def mount(source, target, kind=None, flags=0, data=None):
    if LIBC.mount(*(text and os.fsencode(text) for text in (source, target, kind)), ctypes.c_ulong(flags), data and data.encode()):
        raise OSError(ctypes.get_errno(), f"cannot mount {source}", target)


class Playground:
    def __init__(self, attack_program, library):
        self.program, self.library = attack_program, library
        self.secret = "SECRET-" + secrets.token_hex(12)
        self.names = {
            "home": f"{ROOT}/home", "ws": f"{ROOT}/ws", "tmp": f"{ROOT}/tmp", "prot": f"{ROOT}/prot", "bin": f"{ROOT}/bin",
            "bad": f"{ROOT}/bad", "scratch": f"{ROOT}/ws/scratch", "mark": f"{ROOT}/tmp/mark", "run": f"{FIXED}/run",
            "bound": f"{FIXED}/bound", "bound_bad": f"{FIXED}/bound-bad", "bound_run": f"{FIXED}/bound-run", "memory": f"{FIXED}/memory",
            "overlay": f"{FIXED}/overlay", "layers": f"{FIXED}/layers",
            "deep": f"{ROOT}/home/deep/" + "/".join(f"d{i}" for i in range(40)) + "/secret",
            "long": f"{ROOT}/home/long/" + "/".join("x" * 250 for _ in range(12)) + "/secret",
            "long_first": f"{ROOT}/home/long/" + "x" * 250 + "/secret",
            "odd_newline": f"{ROOT}/home/odd/a\nb%s\x1b[31m", "odd_bytes": f"{ROOT}/home/odd/\udcff\udcfe",
            "suid": f"{ROOT}/bin/suid-attack", "victim_cgroup": f"{CGROUPS}/suite-victim", "other_cgroup": f"{CGROUPS}/suite-other",
        }  # fmt: skip
        self.victims, self.conditions = {}, {}
        self.generation = 0  # counts the times that the tree was built
        self._build_fixed()
        self.build()

    # The tree ---------------------------------------------------------------------------------------------------

    def build(self):
        self.generation += 1
        self._drop_mounts()
        shutil.rmtree(ROOT, ignore_errors=True)
        n = self.names
        for name in ("home/.ssh/empty", "ws/.git/hooks", "ws/a/b/c", "ws/scratch", "tmp", "prot/dir/empty", "bin", "bad", "home/odd"):
            os.makedirs(f"{ROOT}/{name}")
        secret = f"{self.secret}\n"
        for path in (f"{n['home']}/.ssh/id_ed25519", f"{n['prot']}/secret.txt", f"{n['ws']}/a/b/c/.env", n["deep"], n["long"], n["long_first"],
                     n["odd_newline"], n["odd_bytes"], f"{n['ws']}/keep.txt", f"{n['ws']}/.git/hooks/post-merge"):  # fmt: skip
            os.makedirs(os.path.dirname(path), exist_ok=True)
            pathlib.Path(path).write_text(secret)
            os.chmod(path, 0o600)
        os.symlink("id_ed25519", f"{n['home']}/.ssh/link")
        os.link(f"{n['home']}/.ssh/id_ed25519", f"{n['ws']}/alias")
        os.symlink(f"{n['prot']}/secret.txt", f"{n['ws']}/outside")
        pathlib.Path(n["ws"], "plain.txt").write_text("nothing secret\n")
        pathlib.Path(n["ws"], "main.c").write_text('#include <stdio.h>\nint main(void) { puts("built"); return 0; }\n')
        pathlib.Path(n["tmp"], "plain").touch()
        pathlib.Path(n["ws"], "code.bin").write_bytes(bytes([0xB8, 42, 0, 0, 0, 0xC3]))
        self._build_programs()
        for name in ("ws", "tmp", "ws/scratch"):
            os.chmod(f"{ROOT}/{name}", 0o777)
        for source, target in ((f"{n['home']}/.ssh", n["bound"]), (n["bad"], n["bound_bad"]), (n["run"], n["bound_run"])):
            mount(source, target, flags=MS_BIND)
        # File handles need a file system that gives them: an overlay, which a guest's root often is, does not.
        mount("suite", n["memory"], "tmpfs")
        pathlib.Path(n["memory"], "secret").write_text(secret)
        self._build_overlay(secret)
        self._mounts = self._read_mounts()
        self.clean = self.snapshot()
        self.writable = {name: set(os.listdir(f"{ROOT}/{name}")) for name in ("ws", "ws/scratch", "tmp", "bin")}
        self.identities = self._identities()

    def _build_overlay(self, secret):
        """A file with two names in the lower layer: one of them is denied, and copying the other up parts the two."""
        layers = self.names["layers"]
        mount("suite", layers, "tmpfs")
        for name in ("lower", "upper", "work"):
            os.makedirs(f"{layers}/{name}")
        pathlib.Path(layers, "lower/secret").write_text(secret)
        os.link(f"{layers}/lower/secret", f"{layers}/lower/alias")
        mount("overlay", self.names["overlay"], "overlay", data=f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work")

    def _build_programs(self):
        n = self.names
        original = pathlib.Path(self.program).read_bytes()
        touch = os.path.realpath("/usr/bin/touch")

        def program(path, content):
            pathlib.Path(path).write_bytes(content)
            os.chmod(path, 0o755)

        for path in ("bin/attack", "bin/payload", "bad/payload", "ws/payload"):
            program(f"{ROOT}/{path}", original)
        hashed = original + b"the program that a policy denies by its content"
        program(f"{n['bin']}/hashed", hashed)
        program(f"{n['bin']}/near-hashed", hashed + b".")
        self.hash = hashlib.sha256(hashed).hexdigest()
        program(n["suid"], original)
        os.chmod(n["suid"], 0o4755)
        os.link(f"{n['bad']}/payload", f"{n['bin']}/alias")
        for directory in ("ws", "bad", "bin"):
            shutil.copy(self.library, f"{ROOT}/{directory}/library.so")
        for directory in ("ws", "bad"):
            shutil.copy(touch, f"{ROOT}/{directory}/touch")
        script = b'#!/bin/sh\n: > "$LICTOR_MARK"\n'
        for path in ("bad/script.sh", "ws/script.sh", "bin/good.sh"):
            program(f"{ROOT}/{path}", script)
        program(f"{n['bin']}/odd-interpreter", f"#!{n['bad']}/payload\n".encode())

    def _build_fixed(self):
        n = self.names
        self._drop_mounts()
        shutil.rmtree(FIXED, ignore_errors=True)
        for name in ("run", "bound", "bound_bad", "bound_run", "memory", "overlay", "layers"):
            os.makedirs(n[name])
        shell("modprobe -q -a tun sctp fuse binfmt_misc overlay")
        formats = "/proc/sys/fs/binfmt_misc"
        if os.path.exists(f"{formats}/register") or not shell(f"mount -t binfmt_misc binfmt_misc {formats}").returncode:
            n["formats"] = formats
        if not os.path.exists("/dev/fd"):
            os.symlink("/proc/self/fd", "/dev/fd")
        for address in ADDRESSES:
            shell(f"ip address add {address} dev lo {'nodad' if ':' in address else ''}")
        if shell("id dev").returncode:
            must("useradd --create-home --shell /bin/bash dev")
        for cgroup in (n["victim_cgroup"], n["other_cgroup"], f"{CGROUPS}/suite-decoy"):
            os.makedirs(cgroup, exist_ok=True)
        for path in ("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs", "/sys/kernel/mm/ksm/sleep_millisecs"):
            if os.path.exists(path):
                n["sysfs"] = path
                break
        for disk in ("vda", "sda", "nvme0n1"):
            if os.path.exists(f"/dev/{disk}"):
                n["disk"] = f"/dev/{disk}"
                break
        self._find_module()

    def _find_module(self):
        """A real module that is not loaded, unpacked: what the module attacks bring in."""
        release = os.uname().release
        here = os.path.dirname(os.path.realpath(__file__))
        for name in ("dummy", "ifb", "nlmon", "netdevsim"):
            if os.path.isdir(f"/sys/module/{name}"):
                continue
            for found in glob.glob(f"/lib/modules/{release}/**/{name}.ko*", recursive=True) + glob.glob(f"{here}/modules/{release}/{name}.ko*"):
                data = pathlib.Path(found).read_bytes()
                if found.endswith(".xz"):
                    data = lzma.decompress(data)
                elif not found.endswith(".ko"):
                    continue
                self.names["module"], self.module_name = f"{FIXED}/{name}.ko", name
                if found.startswith("/lib/modules"):
                    self.names["autoloaded"] = name
                    pathlib.Path("/etc/modprobe.d/lictor-suite.conf").write_text(f"alias binfmt-0403 {name}\n")
                pathlib.Path(self.names["module"]).write_bytes(data)
                return

    def snapshot(self):
        """Everything that a change of a protected file would change."""
        seen = {}
        for top in ("home", "prot", "bad", "ws/.git", "ws/a", "ws/keep.txt", "ws/notyet.cfg"):
            self._look(None, f"{ROOT}/{top}", f"{ROOT}/{top}", seen)
        return seen

    def _look(self, directory, name, path, seen):
        """From directory to directory: a path of three thousand bytes takes the kernel long each time that it is given."""
        try:
            info = os.stat(name, dir_fd=directory, follow_symlinks=False)
            content = None
            if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode):
                opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
                try:
                    if stat.S_ISREG(info.st_mode):
                        content = os.read(opened, 4096)
                    else:
                        for below in os.listdir(opened):
                            self._look(opened, below, f"{path}/{below}", seen)
                finally:
                    os.close(opened)
        except FileNotFoundError:
            return
        seen[path] = (info.st_mode, info.st_uid, info.st_gid, info.st_size, info.st_ctime_ns, info.st_nlink, info.st_ino, content)

    # What an attack leaves behind -------------------------------------------------------------------------------

    @staticmethod
    def _read_mounts():
        with open("/proc/self/mounts") as mounts:
            return sorted(line for line in mounts if "lictor-suite" in line or " /sys/fs/bpf " in line)

    @staticmethod
    def _drop_mounts():
        with open("/proc/self/mounts") as mounts:
            points = [line.split()[1] for line in mounts]
        for point in reversed(points):
            if point.startswith((ROOT + "/", FIXED + "/")):
                if LIBC.umount2(os.fsencode(point), MNT_DETACH):
                    raise OSError(ctypes.get_errno(), "cannot unmount", point)

    def reset(self):
        """Undoes what the last attack did. The tree is rebuilt only when something in it differs."""
        if "10.9.9.9" in pathlib.Path("/proc/net/fib_trie").read_text():
            must("ip address del 10.9.9.9/32 dev lo")
        if "module" in self.names and os.path.isdir(f"/sys/module/{self.module_name}"):
            must(f"rmmod {self.module_name}")
        with contextlib.suppress(OSError):
            os.rmdir("/sys/fs/bpf/attack")
        with contextlib.suppress(OSError):
            os.rmdir(f"{CGROUPS}/attack")
        if os.listdir(f"{self.names['layers']}/upper"):
            self.build()
        if self._read_mounts() != self._mounts:
            self.repair_bpffs()
            self.build()
        elif self.snapshot() != self.clean or not self._sweep():
            self.build()

    def _sweep(self):
        """Removes what was added to the writable directories; false when something of theirs is missing or differs."""
        for name, expected in self.writable.items():
            directory = f"{ROOT}/{name}"
            found = set(os.listdir(directory))
            if expected - found:
                return False
            for extra in found - expected:
                path = f"{directory}/{extra}"
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.unlink(path)
        return self._identities() == self.identities

    def _identities(self):
        """Which file stands behind each name, and its size: a swap or a write shows here."""
        return {f"{n}/{e}": (i.st_ino, i.st_size) for n, es in self.writable.items() for e in es for i in [os.lstat(f"{ROOT}/{n}/{e}")] if not stat.S_ISDIR(i.st_mode)}

    @staticmethod
    def repair_bpffs():
        with open("/proc/self/mounts") as mounts:
            lines = [line.split() for line in mounts if line.split()[1] == "/sys/fs/bpf"]
        while lines and lines[-1][2] != "bpf":
            must("umount -l /sys/fs/bpf")
            lines.pop()
        if not lines:
            must("mount -t bpf bpf /sys/fs/bpf")

    # Processes --------------------------------------------------------------------------------------------------

    def start_victim(self, name, command, cgroup, prefix=()):
        """Starts a process that says READY and what it holds, in its own cgroup."""
        process = subprocess.Popen([*prefix, self.program, "--here", *command], stdout=subprocess.PIPE, text=True, start_new_session=True,
                                   env={"LICTOR_HELD": self.secret})  # fmt: skip
        answer = process.stdout.readline().split()
        if not answer or answer[0] != "READY":
            raise RuntimeError(f"the {name} did not start: {answer}")
        pathlib.Path(cgroup, "cgroup.procs").write_text(answer[1])
        self.victims[name] = process
        self.conditions[name] = self.condition(process.pid)
        return answer[1:]

    def ensure_victims(self, decoy):
        n = self.names
        if not self._healthy("victim"):
            pid, address, _, key, segment = self.start_victim("victim", ["victim", self.secret, f"{n['home']}/.ssh/id_ed25519"], n["victim_cgroup"])
            n.update(victim=pid, address=address, segment=segment)
            if int(key) > 0:
                n["key"] = key
        if not self._healthy("namespaced"):
            pid = self.start_victim("namespaced", ["victim", self.secret, f"{n['home']}/.ssh/id_ed25519"], n["other_cgroup"], ("unshare", "--uts", "--net"))[0]
            n["other_namespace"] = pid
        if decoy and not self._healthy("decoy"):
            self.start_decoy()

    def start_decoy(self):
        """Stands in for the daemon when attacks are tried without Lictor."""
        pins, directory = "/sys/fs/bpf/decoy", f"{FIXED}/decoy"
        self.repair_bpffs()
        for path in (f"{pins}/map", f"{pins}-gone/map"):
            with contextlib.suppress(OSError):
                os.unlink(path)
                os.rmdir(os.path.dirname(path))
        os.makedirs(pins, exist_ok=True)
        os.makedirs(directory, exist_ok=True)
        shutil.rmtree(f"{directory}/state", ignore_errors=True)
        os.makedirs(f"{directory}/state")
        for name in ("policy.yaml", "lictord.yaml"):
            pathlib.Path(directory, name).write_text("decoy: true\n")
        pid = self.start_victim("decoy", ["bpf-hold", f"{pins}/map"], f"{CGROUPS}/suite-decoy")[0]
        self.names.update(daemon=pid, daemon_cgroup=f"{CGROUPS}/suite-decoy", pins=pins, control=f"{self.names['run']}/decoy.sock",
                          policy=f"{directory}/policy.yaml", config=f"{directory}/lictord.yaml", state=f"{directory}/state")  # fmt: skip
        self._mounts = self._read_mounts()

    def _healthy(self, name):
        process = self.victims.get(name)
        unharmed = process is not None and self.condition(process.pid) == self.conditions[name]
        if name == "victim":
            unharmed = unharmed and not self.overwritten()
        elif name == "decoy":
            unharmed = unharmed and os.path.exists(f"{self.names['pins']}/map")
        if unharmed:
            return True
        self.forget_victim(name)
        return False

    def forget_victim(self, name):
        process = self.victims.pop(name, None)
        self.conditions.pop(name, None)
        if process:
            for cgroup in (self.names["victim_cgroup"], self.names["other_cgroup"], f"{CGROUPS}/suite-decoy"):
                with contextlib.suppress(OSError):
                    pathlib.Path(cgroup, "cgroup.freeze").write_text("0")
            process.kill()
            process.wait()
            process.stdout.close()

    def close(self):
        for name in list(self.victims):
            self.forget_victim(name)
        self._drop_mounts()
        shutil.rmtree(ROOT, ignore_errors=True)
        shutil.rmtree(FIXED, ignore_errors=True)
        pathlib.Path("/etc/modprobe.d/lictor-suite.conf").unlink(missing_ok=True)

    @staticmethod
    def condition(pid):
        """What an attack on a process could change about it; None when it is gone."""
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(") ", 1)[1].split()
            if fields[0] in "ZX":
                return None
            with open(f"/proc/{pid}/limits") as file:
                limits = file.read()
            with open(f"/proc/{pid}/oom_score_adj") as file:
                oom = file.read()
            with open(f"/proc/{pid}/status") as file:
                status = [line for line in file if line.startswith(("TracerPid", "Cpus_allowed:"))]
            return (fields[0] in "Tt", fields[15], fields[16], fields[38], limits, oom, status)
        except (FileNotFoundError, ProcessLookupError):
            return None

    def overwritten(self):
        """Whether the victim's memory no longer holds the secret."""
        try:
            with open(f"/proc/{self.names['victim']}/mem", "rb") as memory:
                memory.seek(int(self.names["address"], 16))
                return not memory.read(64).startswith(self.secret.encode())
        except OSError:
            return True

    # The policy -------------------------------------------------------------------------------------------------

    def policy(self):
        n = self.names
        denied_files = [f"{n['home']}/{{.ssh,.nothing}}/**", f"{n['home']}/deep/**", f"{n['home']}/long/**", f"{n['home']}/odd/**", f"{n['memory']}/**", f"{n['overlay']}/secret", "**/.env",
                        f"{n['ws']}/.git/hooks/**", f"{n['ws']}/notyet.cfg", f"{n['ws']}/keep.txt"]  # fmt: skip
        system = ["/usr/**", "/bin/**", "/lib/**", "/lib64/**", "/etc/**", "/dev/**", "/proc/**", f"{n['bin']}/**", f"{n['ws']}/**"]
        programs = ["/usr/**", "/bin/**", f"{n['bin']}/**"]
        connect = ["10.0.1.1:7001", "127.0.0.0/29:7001", "[2001:db8::/64]:7001", "10.0.1.1:7001/udp", "[2001:db8::1]:7001/udp", "10.0.1.1:7003",
                   "10.0.1.1:7004/udp", "127.0.0.1:8000-8100"]  # fmt: skip
        agents = {
            "open": {},
            "files": {"files": {"read": ["/**"], "write": [f"{n['ws']}/**", f"{n['tmp']}/**", "/tmp/**", "/dev/null", "/dev/tty", "/dev/ptmx", "/dev/pts/**"], "deny": denied_files}},
            "kept": {"files": {"write": [f"{n['ws']}/**", f"{n['tmp']}/**"], "readonly": [f"{n['ws']}/.git/hooks/**", f"{n['ws']}/keep.txt", f"{n['ws']}/notyet.cfg"]}},
            "extended": {"extends": "files", "files": {"deny": [f"{n['ws']}/main.c"]}},
            "narrow": {"files": {"read": system, "deny": []}},
            "blind": {"files": {"read": []}},
            "exec": {"exec": {"allow": programs, "deny": [f"{n['bad']}/**", f"sha256:{self.hash}"],
                              "libraries": ["/usr/lib/**", "/lib/**", "/lib64/**"], "anonymous": "deny"}},
            "anonymous": {"exec": {"anonymous": "allow"}},
            "net": {"network": {"connect": connect, "listen": ["127.0.0.1:8000-8100"],
                                "unix": [f"{n['run']}/ok.sock", f"{n['run']}/helper.sock", "@lictor-ok"]}},
            "blocked": {"network": {"deny": ["10.0.1.1:7002", "10.0.1.1:7002/udp", "[2001:db8::/32]:*"]}},
            "net-files": {"files": {"deny": denied_files}, "network": {"connect": [], "unix": [f"{n['run']}/helper.sock"]}},
            "upgraded": {"files": {"deny": denied_files}, "exec": {"deny": [f"{n['bad']}/**"]}, "network": {"connect": ["10.0.1.1:7001"]}},
            "offline": {"network": {"connect": [], "listen": [], "unix": []}},
            "watched": {"mode": "monitor", "files": {"deny": denied_files}, "exec": {"deny": [f"{n['bad']}/**"]}, "network": {"connect": connect}},
            "judged": {"undecided": "hold", "rules": ["suite-*"]},
            "tiers": {"undecided": "hold", "rules": ["tiers-*"]},
            "shipped": {"undecided": "hold", "rules": ["*"]},
            "beside": {"undecided": "allow", "rules": ["suite-*"]},
            "refused": {"undecided": "deny", "rules": ["suite-*"]},
            "privileged": {"privileges": ["ptrace", "mount", "userns", "raw_sockets", "bpf", "perf", "keyring", "modules"]},
        }  # fmt: skip
        for agent in agents.values():
            agent.setdefault("mode", "enforce")
        return json.dumps({"version": 1, "agents": agents}, indent=1)
