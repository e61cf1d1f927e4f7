# SPDX-License-Identifier: Apache-2.0
"""`self_protection: on`, a daemon that dies, and who may be the daemon after it. PID 1 of the guest stands in for a
service manager: it runs each line that root writes into a pipe."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import time

from daemon import PINS
from sequence import Untried, environment, finish, governed, log_of, now, raise_flag, require, sequence, session, stop_flag, wait_until

PIPE = "/run/guest-init"
KEY = "{home}/.ssh/id_ed25519"


def init(line):
    """Has PID 1 run a shell line."""
    if not os.path.exists(PIPE):
        raise Untried("PID 1 of this system takes no orders")
    with open(PIPE, "w") as pipe:
        pipe.write(line + "\n")


class Service:
    """lictord as a service of PID 1."""

    def __init__(self, suite):
        self.suite, self.daemon = suite, suite.daemon
        self.log = suite.work / "service.log"
        self.config = self.daemon.write_config(self_protection=True)
        self.pid_file = suite.work / "service.pid"

    def start(self, program=None, environment="", through="exec"):
        """Starts a program as PID 1 does: the process that PID 1 made executes it, or, with another `through`, what is given."""
        self.pid_file.unlink(missing_ok=True)
        program = program or self.daemon.program
        init(f"( echo $BASHPID >{self.pid_file}; {environment} {through} {program} --config {self.config} ) 9>&- >>{self.log} 2>&1 &")
        wait_until(lambda: self.pid_file.exists() and self.pid_file.read_text().strip(), 10, "PID 1 starts a service")
        return int(self.pid_file.read_text())

    def start_and_wait(self, **how):
        pid = self.start(**how)
        wait_until(lambda: not alive(pid) or self.daemon.answers(), 240, "the service answers or ends")
        require(alive(pid), f"the service ended: {self.said()}")
        require(self.daemon.enforces(), f"the service does not enforce: {self.said()}")
        return pid

    def end(self):
        """Only a daemon that ends as it is told to takes its protection along: after whatever went wrong there must be one."""
        if not self.daemon.answers():
            self.start_and_wait()
        init("kill -TERM $(pidof lictord)")
        wait_until(lambda: subprocess.run(["pidof", "lictord"], stdout=subprocess.DEVNULL, check=False).returncode, 60, "the service ends when PID 1 says so")

    def must_not_be_the_daemon(self, pid, what):
        wait_until(lambda: not alive(pid), 60, f"{what} ends")
        require(not self.daemon.answers(), f"{what} became the daemon: {self.said()}")
        protected(self.suite, what)

    def said(self):
        return " / ".join(self.log.read_text(errors="replace").splitlines()[-4:])


def alive(pid):
    """A process is gone with its last thread; until then it holds what it had open, though its first one is a zombie."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(") ", 1)[1][0] not in "ZX" or len(os.listdir(f"/proc/{pid}/task")) > 1
    return False


def protected(suite, when):
    """Ungoverned root reaches neither the maps, nor the pins, nor the programs."""
    attack = f"{suite.ground.names['bin']}/attack"
    for arguments in (["bpf-pinned", PINS], ["remove-pins", PINS], ["rename", PINS, PINS + "-gone"], ["append", suite.daemon.program, "x"],
                      ["rename", suite.daemon.program, suite.daemon.program + "-gone"], ["append", str(suite.daemon.policy_file), "#"]):  # fmt: skip
        done = subprocess.run([attack, *arguments], capture_output=True, text=True, check=False)
        # A program that runs cannot be written to in any case: 3 is ETXTBSY.
        wanted = (1, 3) if arguments[:2] == ["append", suite.daemon.program] else (1,)
        require(done.returncode in wanted, f"{when}: {' '.join(arguments)}: status {done.returncode}: {done.stderr}")


def impostors(suite, service):
    """Everybody who is not the daemon that PID 1 brings back, while none lives."""
    names, daemon, tried = suite.ground.names, suite.daemon, 0
    arguments = ["--config", str(service.config)]
    library = f"{names['ws']}/library.so"
    for what, options in (("root's own shell", {}), ("LD_PRELOAD", {"LD_PRELOAD": library}), ("LD_AUDIT", {"LD_AUDIT": library})):
        done = subprocess.run([daemon.program, *arguments], env={**environment(suite), **options}, capture_output=True, text=True, timeout=60, check=False)
        require(done.returncode != 0, f"{what} started the daemon")
        protected(suite, what)
        tried += 1
        if what == "LD_PRELOAD":
            require(os.path.exists(names["mark"]), "the library does not run in a program of root's shell: later its absence would say nothing")
    pathlib.Path(names["mark"]).unlink(missing_ok=True)
    # An orphan that PID 1 only adopted.
    subprocess.run(["sh", "-c", f"(sleep 0.5; exec {daemon.program} --config {service.config} >{names['tmp']}/orphan.log 2>&1) &"], check=True)
    time.sleep(3)
    require(not daemon.answers(), "an orphan became the daemon")
    protected(suite, "an orphan")
    copy = f"{names['ws']}/lictord-copy"
    shutil.copy(daemon.program, copy)
    script = f"{names['ws']}/lictord-script"
    pathlib.Path(script).write_text(f"#!{daemon.program} --config\n")
    os.chmod(script, 0o755)
    for what, how in (
        ("a copy that PID 1 starts", {"program": copy}),
        ("a script with it as interpreter", {"program": script}),
        ("a program between PID 1 and it", {"through": "exec /usr/bin/env"}),
        ("another view of the files", {"through": "exec unshare --mount"}),
        ("a shell that PID 1 started", {"through": "exec /bin/sh -c 'exec \"$@\"' sh"}),
        ("the loader with it as argument", {"through": "exec /lib64/ld-linux-x86-64.so.2"}),
    ):
        service.must_not_be_the_daemon(service.start(**how), what)
        tried += 1
    inner = governed(suite, "open", "run", daemon.program, *arguments)
    require(inner.returncode != 0, f"a governed session started the daemon: {inner.stderr}")
    traced(suite, service)
    return tried + 3


def traced(suite, service):
    """A tracer that waits for the process of PID 1 which is about to be the daemon."""
    waiting = service.start(through="read -r -t 3 <> /run/guest-wait || exec")
    done = subprocess.run([f"{suite.ground.names['bin']}/attack", "seize", str(waiting)], capture_output=True, text=True, check=False)
    require(done.returncode == 1, f"root traces what is about to be the daemon: status {done.returncode}: {done.stderr}")
    wait_until(service.daemon.answers, 240, "the daemon that was not traced answers")
    init(f"kill -9 {waiting}")
    wait_until(lambda: not alive(waiting), 10, "PID 1 ends the daemon")


@sequence("protected-restart", "with self_protection, a daemon that crashed is brought back by PID 1, and nobody else becomes the daemon", 113, 49, 118, once=True)
def protected_restart(suite):
    names = suite.ground.names
    if not os.path.exists("/run/guest-wait"):
        os.mkfifo("/run/guest-wait")
    suite.daemon.stop()
    service = Service(suite)
    pid = service.start_and_wait()
    log, stop, watch = f"{names['tmp']}/protected.log", stop_flag(suite, "protected"), stop_flag(suite, "protected-watch")
    try:
        with (
            session(suite, "net", "--here", "watch-network", "10.0.1.1", "7001", log, stop) as network,
            session(suite, "files", "--here", "watch-verdicts", KEY, "{ws}/plain.txt", watch) as verdicts,
        ):
            require(verdicts.stdout.readline() == "watching\n", "the session did not start")
            wait_until(lambda: [e for e in log_of(log) if e[1] == "OK"], 20, "a permitted connection")
            protected(suite, "before the crash")
            died = now()
            init(f"kill -9 {pid}")
            wait_until(lambda: not alive(pid), 10, "PID 1 ends the daemon")
            protected(suite, "without a daemon")
            tried = impostors(suite, service)
            # The real one, with a library that the loader must not take from the environment.
            preload = f"LD_PRELOAD={names['ws']}/library.so LD_LIBRARY_PATH={names['ws']} LICTOR_MARK={names['mark']}"
            pid = service.start_and_wait(environment=preload)
            require(not os.path.exists(names["mark"]), "a library of the environment ran in the daemon")
            back = now()
            wait_until(lambda: log_of(log)[-1][1] == "OK", 20, "the network opens again")
            protected(suite, "after the restart")
            done = subprocess.run([f"{names['bin']}/attack", "kill", str(pid), "9"], capture_output=True, text=True, check=False)
            require(done.returncode == 1 and alive(pid), f"root kills the daemon that came back: {done.stderr}")
            raise_flag(stop)
            raise_flag(watch)
            status, said = finish(verdicts)
            finish(network)
            require(status == 0, f"file rules changed without the daemon: {said}")
    finally:
        service.end()
        suite.daemon.start(False)
    return f"{tried} impostors; back after {back - died} ms; file rules: {said}"
