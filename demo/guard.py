# SPDX-License-Identifier: Apache-2.0
"""The demonstration's own lictord: started for it, looked at in the browser, and gone with it."""

import contextlib
import http.client
import pathlib
import select
import shutil
import socket
import subprocess
import sys
import termios
import time
import tty

PINS = pathlib.Path("/sys/fs/bpf/lictor-demo")
SECONDS_TO_START = 180
SECONDS_TO_END = 30
FIRST_PORT = 7480


class Guard:
    def __init__(self, programs, place, port):
        """All of it is in `place`, which is its state directory, too: what is governed reads nothing of that."""
        self.port = port
        self._programs, self._control = programs, place / "run/control.sock"
        self.config, self._log = place / "lictord.yaml", place / "lictord.log"
        self._sweep()
        place.mkdir(mode=0o700)
        for name in ("rules", "run"):
            (place / name).mkdir()
        self.config.write_text(f"policy: {programs / 'policy.yaml'}\nrules: {place / 'rules'}\nstate: {place}\ncontrol: {self._control}\npins: {PINS}\n"
                               + (f"http: {{listen: '127.0.0.1:{port}'}}\n" if port else ""))  # fmt: skip
        # Whatever ends this program ends lictord, too. Keys at the terminal are not meant for it.
        command = ["setpriv", "--pdeathsig", "TERM", str(programs / "lictord"), "--config", str(self.config)]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self):
        return self._process.pid

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self):
        return self._control.with_name("http.token").read_text().strip()

    def alive(self):
        return self._process.poll() is None

    def _wait(self):
        began = time.monotonic()
        while not self._answers():
            if not self.alive() or time.monotonic() - began > SECONDS_TO_START:
                raise SystemExit(f"demo: lictord did not start:\n{self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        said = subprocess.run([self._programs / "lictor", "--config", self.config, "status"], capture_output=True, text=True, check=False)
        if "ENFORCING" not in said.stdout:
            raise SystemExit(f"demo: lictord does not enforce:\n{said.stdout}{said.stderr}")

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(str(self._control)) == 0

    def has_pages(self):
        """Whether the web pages were there when lictord was built; without them it says so in their place."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            return b"built without the web pages" not in connection.getresponse().read()

    def stop(self):
        if self.alive():
            self._process.terminate()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._sweep()

    @staticmethod
    def _sweep():
        """What a service leaves pinned for its next start."""
        shutil.rmtree(PINS, ignore_errors=True)


def wait_for_key(guard):
    """Until somebody presses a key, or lictord is gone. What was typed before does not count."""
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys)
    tty.setcbreak(keys, termios.TCSAFLUSH)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            while guard.alive() and not select.select([keys], [], [], 1)[0]:
                pass
    finally:
        # The key is not for the shell.
        termios.tcsetattr(keys, termios.TCSAFLUSH, before)


def free_port():
    """The usual port, or the next one that is free on this host."""
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                sock.bind(("127.0.0.1", port))
                sock.listen()
                return port
    raise SystemExit(f"demo: no port from {FIRST_PORT} on is free")


if __name__ == "__main__":
    print(free_port())
