# SPDX-License-Identifier: Apache-2.0
"""What takes more than one step. A sequence raises Failure where the product breaks its promise."""

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Callable

# Where what is the same on every kernel is tried.
ONE_KERNEL = "6.12"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failure(Exception):
    """The product did not do what it promises."""


class Untried(Exception):
    """This guest lacks what the sequence needs."""


@dataclass(frozen=True)
class Sequence:
    id: str
    title: str
    evasions: tuple[int, ...]
    run: Callable
    judge: Callable | None = None  # the settings `judge:` of its daemon, given the suite
    once: bool = False  # what it shows of the kernel others show on each: one is enough, but for --everywhere


ALL = []


def sequence(id, title, *evasions, judge=None, once=False):
    def register(function):
        ALL.append(Sequence("seq-" + id, title, evasions, function, judge, once))
        return function

    return register


def times(suite, whole, elsewhere):
    """How often something is done: `whole` where everything is tried, fewer times on the other kernels."""
    return whole if suite.options.everywhere or os.uname().release.startswith(ONE_KERNEL) else elsewhere


def require(condition, message):
    if not condition:
        raise Failure(message)


def environment(suite):
    return {"PATH": PATH, "HOME": "/root", "LANG": "C", "LICTOR_MARK": suite.ground.names["mark"], "PYTHONDONTWRITEBYTECODE": "1"}


def command_of(suite, agent, arguments, *options):
    """The command line of a session that runs the attack program."""
    names = suite.ground.names
    chosen = ["--agent", agent] if agent else []
    return [suite.daemon.command, "run", *chosen, *options, "--", f"{names['bin']}/attack", *[a.format_map(names) for a in arguments]]


def lictor(suite, *arguments, **options):
    """Runs `lictor` and returns what came of it."""
    settings = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": 240, "cwd": suite.ground.names["ws"],
                "env": environment(suite), **options}  # fmt: skip
    return subprocess.run([suite.daemon.command, *map(str, arguments)], **settings)


def governed(suite, agent, *arguments, options=(), **more):
    """Runs one attack in a session of its own and returns what came of it."""
    return lictor(suite, *command_of(suite, agent, arguments, "--quiet", *options)[1:], **more)


@contextlib.contextmanager
def session(suite, agent, *arguments):
    """A session in the background; it is waited for, and killed when it does not end."""
    process = subprocess.Popen(command_of(suite, agent, arguments, "--quiet"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, cwd=suite.ground.names["ws"], env=environment(suite))  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def finish(process, seconds=30):
    """Waits for a background session; returns its status and the attack's own words."""
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"a session did not end within {seconds} s") from late
    lines = [line for line in said.splitlines() if line.startswith(("done: ", "refused: ", "broken: ", "untried: "))]
    return process.returncode, (lines or [said.strip()])[-1]


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        require(time.monotonic() < deadline, f"after {seconds} s still not: {what}")
        time.sleep(0.02)


def log_of(path):
    """The log of watch-network as (milliseconds, outcome)."""
    with contextlib.suppress(FileNotFoundError), open(path) as lines:
        return [(int(parts[0]), parts[1]) for line in lines if line.endswith("\n") and len(parts := line.split()) == 2]
    return []


def events_in(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines]


def now():
    return int(time.monotonic() * 1000)


def stop_flag(suite, name):
    return f"{suite.ground.names['tmp']}/{name}.stop"


def raise_flag(path):
    with open(path, "w"):
        pass


def signal_daemon(suite, name):
    suite.daemon.signal(getattr(signal, name))


def processes(matches):
    """Ids of the processes whose name and arguments `matches` accepts."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as name, open(f"/proc/{pid}/cmdline") as arguments:
            if matches(name.read().strip(), arguments.read().split("\0")):
                found.append(int(pid))
    return found


def daemons():
    """Daemons of either kind: lictord, and the private one that `lictor run` starts."""
    return processes(lambda name, arguments: name == "lictord" or "__lictord" in arguments)
