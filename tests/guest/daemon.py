# SPDX-License-Identifier: Apache-2.0
"""Starts and stops the daemon under test, in a cgroup of its own as a service manager would."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

CONTROL = "/run/lictor/control.sock"
PINS = "/sys/fs/bpf/lictor"
STATE = "/var/lib/lictor"
CGROUP = "/sys/fs/cgroup/suite-lictord"
SECONDS_TO_START = 240


class Daemon:
    def __init__(self, directory, work, ground):
        self.program, self.command = str(directory / "lictord"), str(directory / "lictor")
        self.log_file = work / "lictord.log"
        self.policy_file, self.config_file = work / "policy.yaml", work / "lictord.yaml"
        self.ground = ground
        self.process = None
        self._protection = False
        self.rules, self.settings = work / "rules.d", ""  # more lines of lictord.yaml, for whoever needs them
        # The suite's parent stays outside the daemon's cgroup, so that killing it by its cgroup kills nothing else.
        os.makedirs(CGROUP, exist_ok=True)
        os.makedirs(STATE, exist_ok=True)
        self.policy_file.write_text(ground.policy())

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def start(self, self_protection=None):
        if self_protection is not None:
            self._protection = self_protection
        self.write_config(self._protection)
        started = time.monotonic()
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([self.program, "--config", str(self.config_file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, preexec_fn=lambda: pathlib.Path(CGROUP, "cgroup.procs").write_text("0"))  # fmt: skip
        while not self.answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"lictord ended with {self.process.returncode}: {self.log()}")
            if time.monotonic() - started > SECONDS_TO_START:
                raise RuntimeError(f"lictord does not answer at {CONTROL} after {SECONDS_TO_START} s: {self.log()}")
            time.sleep(0.05)
        if not self.enforces():
            raise RuntimeError(f"lictord answers, but does not enforce: {self.log()}")
        self.ground.names.update(daemon=str(self.process.pid), daemon_cgroup=CGROUP, pins=PINS, control=CONTROL, policy=str(self.policy_file),
                                 config=str(self.config_file), state=STATE)  # fmt: skip
        return time.monotonic() - started

    def write_config(self, self_protection):
        self.config_file.write_text(
            f"policy: {self.policy_file}\nstate: {STATE}\ncontrol: {CONTROL}\npins: {PINS}\nself_protection: {'on' if self_protection else 'off'}\n"
            f"rules: {self.rules}\n{self.settings}"
        )
        return self.config_file

    @staticmethod
    def answers():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(2)
            try:
                sock.connect(CONTROL)
            except OSError:
                return False
        return True

    def enforces(self):
        status = subprocess.run([self.command, "status"], capture_output=True, text=True, check=False, timeout=60)
        return status.returncode == 0 and "ENFORCING" in status.stdout

    def use(self, judge):
        """Settings of the judge for what comes next. Another daemon starts with them when they are others."""
        wanted = f"judge: {json.dumps(judge)}\n" if judge else ""
        if wanted != self.settings:
            self.settings = wanted
            self.kill()
            self.start()

    def other_build(self, path):
        """Makes a daemon whose kernel programs are the same and whose build is another: a byte of each embedded object's header
        differs that no loader reads. Its build is a digest of the object, so it takes nothing of ours over."""
        data = bytearray(pathlib.Path(self.program).read_bytes())
        found, at = 0, data.find(b"\x7fELF\x02\x01\x01", 1)
        while at > 0:
            if int.from_bytes(data[at + 18 : at + 20], "little") == 247:  # EM_BPF
                data[at + 15] ^= 1  # the last of e_ident's padding
                found += 1
            at = data.find(b"\x7fELF\x02\x01\x01", at + 1)
        if not found:
            raise RuntimeError(f"{self.program} contains no kernel program")
        path.write_bytes(data)
        path.chmod(0o755)
        return str(path)

    def ensure(self):
        """After an attack on it: it must be there, else the next case would fail for this one's reason."""
        if self.process is None or self.process.poll() is not None or not self.answers() or not self.enforces():
            self.kill()
            self.start()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        """Ends it the hard way, its own protection notwithstanding: by the service manager's last means, else by SIGKILL."""
        if self.process is None:
            return
        with contextlib.suppress(OSError):
            pathlib.Path(CGROUP, "cgroup.freeze").write_text("0")
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self.signal(signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self):
        """Asks it to end as a service manager does."""
        if self.process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired as late:
            self.kill()
            raise RuntimeError("lictord did not end within 20 s of SIGTERM") from late
        self.process = None

    def log(self):
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        return " / ".join(lines[-6:]) or "it said nothing"
