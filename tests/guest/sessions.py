# SPDX-License-Identifier: Apache-2.0
"""Sessions that stay open, one for each agent: starting one for every attack would take most of the suite's time."""

import contextlib
import datetime
import functools
import json
import os
import selectors
import subprocess
import time


class Session:
    """`lictor run` around the attack program's server; runs one command after the other in the same session."""

    def __init__(self, lictor, agent, program, events, directory, environment):
        self.events = events
        self.process = subprocess.Popen([lictor, "run", "--agent", agent, "--events", str(events), "--quiet", "--", program, "--here", "serve"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=directory, env=environment)  # fmt: skip
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.process.stdout, selectors.EVENT_READ)
        self._buffer = b""

    @property
    def alive(self):
        return self.process.poll() is None

    def execute(self, command, seconds):
        """Returns the command's status, stdout and stderr."""
        line = " ".join("".join(chr(b) if b < 128 and chr(b).isalnum() else f"%{b:02x}" for b in word.encode(errors="surrogateescape")) or "%" for word in command)
        deadline = time.monotonic() + seconds
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
            status, out, err = map(int, self._until(lambda b: b.partition(b"\n")[0] if b"\n" in b else None, 1, deadline).split())
            data = self._until(lambda b: b[: out + err] if len(b) >= out + err else None, 0, deadline)
            return status, data[:out], data[out:]
        except BrokenPipeError:
            return self._ended()

    def _until(self, take, extra, deadline):
        while (found := take(self._buffer)) is None:
            if not self._selector.select(max(0, deadline - time.monotonic())):
                raise subprocess.TimeoutExpired("a command in a session", 0)
            data = self.process.stdout.read1(65536)
            if not data:
                raise BrokenPipeError
            self._buffer += data
        self._buffer = self._buffer[len(found) + extra :]
        return found

    def _ended(self):
        self.process.wait()
        return self.process.returncode, b"", b"broken: the session ended: " + self.process.stderr.read()

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._selector.close()
        self.process.stdout.close()
        self.process.stderr.close()


def denials(path, since_ns=0, until_ns=None):
    """The denials that a file of events holds, between two moments."""
    try:
        info = os.stat(path)
    except FileNotFoundError:
        return []
    return [event for at, event in _denials(path, info.st_size, info.st_mtime_ns) if since_ns <= at and (until_ns is None or at <= until_ns)]


@functools.lru_cache(maxsize=1)
def _denials(path, _size, _mtime):
    """All denials in the file with their moments: a session's file is asked once for each attack that was made in it."""
    found = []
    with open(path) as lines:
        for line in lines:
            event = json.loads(line)
            verdict = event.get("verdict", {})
            if verdict.get("action") in ("deny", "kill") and verdict.get("enforced", True):
                found.append((nanoseconds(event["time"]), event))
    return found


def nanoseconds(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = int(datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)
