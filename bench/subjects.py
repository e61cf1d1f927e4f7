# SPDX-License-Identifier: Apache-2.0
"""What is compared. Each subject is set up when entered, and taken away without a trace when left."""

import contextlib
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import rules

SECONDS_TO_ENFORCE = 120
SECONDS_TO_UNLOAD = 30


def call(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"bench: {' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Subject(contextlib.AbstractContextManager):
    name = ""

    def unfit(self):
        """Why it cannot be measured on this host; None when it can."""
        return None

    def launcher(self):
        return []

    def __exit__(self, *_):
        return None


class Bare(Subject):
    name = "nothing"


class AppArmor(Subject):
    name = "AppArmor"

    def __init__(self):
        self.profile = pathlib.Path("/tmp/lictor-bench.apparmor")

    def unfit(self):
        if "apparmor" not in pathlib.Path("/sys/kernel/security/lsm").read_text():
            return "this kernel runs without AppArmor"
        return None

    def __enter__(self):
        self.profile.write_text(rules.apparmor_profile())
        call("apparmor_parser", "--replace", "--skip-cache", self.profile)
        # A profile that is loaded and does not hold would make a fine figure.
        for path, want in (("/etc/shadow", False), ("/etc/passwd", True)):
            works = subprocess.run([*self.launcher(), "cat", path], capture_output=True).returncode == 0
            if works != want:
                sys.exit(f"bench: AppArmor {'permits' if works else 'denies'} {path}")
        return self

    def __exit__(self, *_):
        call("apparmor_parser", "--remove", self.profile)

    def launcher(self):
        return ["aa-exec", "-p", "lictor-bench", "--"]


class Landlock(Subject):
    name = "Landlock"

    def __init__(self, programs):
        self.program = str(programs / "landlock-run")

    def unfit(self):
        if "landlock" not in pathlib.Path("/sys/kernel/security/lsm").read_text():
            return "this kernel runs without Landlock"
        return None

    def __enter__(self):
        if subprocess.run([*self.launcher(), "ls", "/root"], capture_output=True).returncode == 0:
            sys.exit("bench: Landlock permits /root")
        return self

    def launcher(self):
        return [self.program, *rules.landlock_arguments(), "--"]


class Auditd(Subject):
    name = "auditd"

    def __init__(self):
        self.daemon = None

    def __enter__(self):
        pathlib.Path("/var/log/audit").mkdir(parents=True, exist_ok=True)
        call("auditctl", "-D")
        self.daemon = subprocess.Popen(["auditd", "-n", "-s", "enable"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_for_daemon()
        call("auditctl", "-b", "8192")
        for rule in rules.audit_rules():
            call("auditctl", *rule.split())
        return self

    def _wait_for_daemon(self):
        for _ in range(100):
            if f"pid {self.daemon.pid}" in call("auditctl", "-s"):
                return
            time.sleep(0.1)
        sys.exit("bench: auditd did not register with the kernel in 10 s")

    def __exit__(self, *_):
        call("auditctl", "-D")
        self.daemon.terminate()
        self.daemon.wait()
        call("auditctl", "-e", "0")
        # The kernel goes on preparing for audit at each system call of a new task once audit was ever on. This rule
        # stops that, or else everything measured after auditd would pay for it.
        call("auditctl", "-a", "never,task")
        for log in pathlib.Path("/var/log/audit").iterdir():
            log.unlink()


class Lictor:
    """A lictord of our own: started and unloaded as the rounds want it."""

    def __init__(self, programs):
        self.programs = programs
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="lictor-bench-"))
        self.config = self.work / "lictord.yaml"
        self.policy = self.work / "policy.yaml"
        self.policy.write_text(rules.lictor_policy())
        self.config.write_text(
            f"policy: {self.policy}\nrules: {self.work}/rules.d\nstate: {self.work}/state\n"
            f"control: {self.work}/control.sock\npins: /sys/fs/bpf/lictor\n"
        )
        self.daemon = None
        self.start_seconds = []
        self.resident_kib = []

    def command(self, *arguments):
        return [str(self.programs / "lictor"), "--config", str(self.config), *arguments]

    def start(self):
        began = time.monotonic()
        log = (self.work / "lictord.log").open("a")
        self.daemon = subprocess.Popen([self.programs / "lictord", "--config", self.config], stdout=log, stderr=log)
        while True:
            state = subprocess.run(self.command("status"), capture_output=True, text=True)
            if re.search(r"\bENFORCING\b", state.stdout):
                break
            if self.daemon.poll() is not None or time.monotonic() - began > SECONDS_TO_ENFORCE:
                sys.exit(f"bench: lictord is not ENFORCING: {state.stdout} {state.stderr}\n{self.log()}")
            time.sleep(0.05)
        self.start_seconds.append(round(time.monotonic() - began, 3))
        time.sleep(1)
        status = pathlib.Path(f"/proc/{self.daemon.pid}/status").read_text()
        self.resident_kib.append(int(re.search(r"VmRSS:\s*(\d+)", status)[1]))

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait()
        # Pins keep the programs in force without a daemon: they must go, or `nothing` would not be nothing.
        call("find", "/sys/fs/bpf/lictor", "-mindepth", "1", "-delete")
        deadline = time.monotonic() + SECONDS_TO_UNLOAD
        while "lictor" in call("bpftool", "prog", "list"):
            if time.monotonic() > deadline:
                sys.exit("bench: the kernel still holds programs of Lictor after their pins are gone")
            time.sleep(0.2)

    def log(self):
        return (self.work / "lictord.log").read_text()[-2000:]


class Ungoverned(Subject):
    name = "Lictor, ungoverned"

    def __init__(self, lictor):
        self.lictor = lictor

    def __enter__(self):
        self.lictor.start()
        return self

    def __exit__(self, *_):
        self.lictor.stop()


class Governed(Ungoverned):
    def __init__(self, lictor, policy, name):
        super().__init__(lictor)
        self.name = name
        self.policy = lictor.work / f"{re.sub('[^a-z0-9]', '-', name.lower())}.yaml"
        self.policy.write_text(policy)

    def __enter__(self):
        super().__enter__()
        for path, want in (("/etc/shadow", False), ("/etc/passwd", True)):
            works = subprocess.run([*self.launcher(), "cat", path], capture_output=True).returncode == 0
            if works != want:
                sys.exit(f"bench: Lictor {'permits' if works else 'denies'} {path}\n{self.lictor.log()}")
        return self

    def launcher(self):
        return self.lictor.command("run", "--quiet", "--agent", "bench", "--policy", str(self.policy), "--")
