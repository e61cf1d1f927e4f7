# SPDX-License-Identifier: Apache-2.0
"""The HTTP interface: who is governed reaches it in no way, others do."""

import json
import os
import pathlib
import subprocess
import sys

from daemon import STATE
from sequence import governed, lictor, require, sequence

PORT = 7480
SOCKET, TOKEN = "/run/lictor/http.sock", "/run/lictor/http.token"

# Tries every way in that a program has, and prints one line for each: its name, and an error's number or 0.
WAYS = r"""
import ctypes, os, select, socket, sys
port, path = int(sys.argv[1]), sys.argv[2]
def way(name, act):
    try:
        act()
        print(name, 0)
    except OSError as error:
        print(name, error.errno)
def tcp(family, host, protocol=0, bind=None, before=None):
    def act():
        with socket.socket(family, socket.SOCK_STREAM, protocol) as sock:
            sock.settimeout(10)
            if bind:
                sock.bind((bind, 0))
            if before:
                before(sock)
            sock.connect((host, port))
    return act
def fast_open(family, host):
    def act():
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(10)
            try:
                sock.sendto(b"GET / HTTP/1.1\r\n\r\n", socket.MSG_FASTOPEN, (host, port))
            except BlockingIOError:
                # Without a cookie from earlier it is an ordinary handshake, which is on its way.
                select.select([], [sock], [], 10)
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, "fast open")
    return act
def disconnected(sock):
    # From nowhere to here: a socket that was told to forget its peer.
    libc = ctypes.CDLL(None)
    libc.connect(sock.fileno(), bytes(16), 16)
def unix():
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
four, six = socket.AF_INET, socket.AF_INET6
for host in ("127.0.0.1", "127.0.0.2", "0.0.0.0"):
    way("tcp " + host, tcp(four, host))
for host in ("::ffff:127.0.0.1", "::ffff:0.0.0.0"):
    way("tcp " + host, tcp(six, host))
way("tcp :: from a mapped address", tcp(six, "::", bind="::ffff:127.0.0.1"))
way("mptcp", tcp(four, "127.0.0.1", 262))
way("fast open", fast_open(four, "127.0.0.1"))
way("fast open mapped", fast_open(six, "::ffff:127.0.0.1"))
way("disconnected", tcp(four, "127.0.0.1", before=disconnected))
way("unix", unix)
"""


def attempts(text):
    return {line.rsplit(" ", 1)[0]: int(line.rsplit(" ", 1)[1]) for line in text.splitlines() if " " in line}


def ask(path, *options):
    done = subprocess.run(["curl", "-s", "-m", "20", "-w", "\n%{http_code}", *options, path], capture_output=True, text=True, check=False)
    body, _, code = done.stdout.rpartition("\n")
    return int(code or 0), body


@sequence("web", "the HTTP interface is served, and who is governed reaches it in no way", 90, once=True)
def web(suite):
    daemon = suite.daemon
    daemon.stop()
    daemon.settings = f"http: {{listen: '127.0.0.1:{PORT}'}}\n"
    script = pathlib.Path(suite.ground.names["ws"], "ways.py")
    script.write_text(WAYS)
    arguments = [str(script), str(PORT), SOCKET]
    try:
        daemon.start()
        token = pathlib.Path(TOKEN).read_text().strip()
        require(oct(os.stat(TOKEN).st_mode & 0o777) == "0o600", "the token is for its owner alone")
        bearer = ("-H", f"Authorization: Bearer {token}")

        # Bare: every way leads there. 127.0.0.2 is another address of this host on which nobody listens.
        bare = attempts(subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=120).stdout)
        nobody = {"tcp 127.0.0.2"}
        reached = {way for way, error in bare.items() if error == 0}
        require({"tcp 127.0.0.1", "tcp 0.0.0.0", "tcp ::ffff:127.0.0.1", "fast open", "unix"} <= reached, f"bare: {bare}")

        session = governed(suite, "open", "run", "python3", *arguments)
        inside = attempts(session.stdout)
        require(inside.keys() == bare.keys(), f"{len(inside)} of {len(bare)} ways were tried: {session.stdout} {session.stderr[-300:]}")
        through = {way: error for way, error in inside.items() if error != 1 and way in reached}
        require(not through, f"a governed program came through: {through}")
        require(all(inside[way] != 0 for way in inside), f"something was reached: {inside}")
        require(inside["tcp 127.0.0.2"] == bare["tcp 127.0.0.2"], f"where the daemon does not listen nothing is refused: {inside} {nobody}")
        again = attempts(subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=120).stdout)
        require(again == bare, f"others reach it as before: {again}")

        # What it tells is what happened.
        code, body = ask(f"http://127.0.0.1:{PORT}/api/v1/status", *bearer)
        require(code == 200 and json.loads(body)["state"] == "ENFORCING", f"status: {code} {body}")
        require(ask(f"http://127.0.0.1:{PORT}/api/v1/status")[0] == 401, "without a token nothing is told")
        require(ask(f"http://127.0.0.1:{PORT}/api/v1/status", *bearer, "-H", "Host: evil.example")[0] == 403, "a foreign name is refused")
        code, body = ask("http://localhost/api/v1/me", "--unix-socket", SOCKET)
        require(code == 200 and json.loads(body)["role"] == "admin", f"on the unix socket: {code} {body}")
        denied = governed(suite, "files", "read", "{home}/.ssh/id_ed25519")
        require(denied.returncode == 1, f"the attack: {denied.returncode} {denied.stderr}")
        lictor(suite, "status")
        code, body = ask(f"http://127.0.0.1:{PORT}/api/v1/events?denied=true&kind=file&limit=50", *bearer)
        require(code == 200 and any("id_ed25519" in json.dumps(event) for event in json.loads(body)["items"]), f"events: {code} {body[:300]}")
        code, body = ask(f"http://127.0.0.1:{PORT}/metrics", *bearer)
        require(code == 200 and "lictor_heartbeat_age_seconds" in body and 'lictor_events_total{kind="file"' in body, f"metrics: {body[:300]}")
        require(ask(f"http://127.0.0.1:{PORT}/readyz")[0] == 200, "it is ready")

        # A named token, and its end.
        made = lictor(suite, "--config", daemon.config_file, "token", "add", "suite", "--role", "viewer")
        named = ("-H", f"Authorization: Bearer {made.stdout.strip()}")
        require(ask(f"http://127.0.0.1:{PORT}/api/v1/me", *named)[0] == 200, f"a named token: {made}")
        require(ask(f"http://127.0.0.1:{PORT}/api/v1/verdicts", "-X", "DELETE", *named)[0] == 403, "a viewer changes nothing")
        processes = f"http://127.0.0.1:{PORT}/api/v1/processes?limit=1000"
        require(ask(processes, *named)[0] == 403, "a viewer does not see everybody's processes")
        code, body = ask(processes, *bearer)
        told = {process["pid"]: process for process in json.loads(body)["items"]}
        require(code == 200 and told[daemon.pid].get("exe") == os.path.realpath(daemon.program) and told[1]["ppid"] == 0, f"the host's processes: {code} {body[:300]}")
        lictor(suite, "--config", daemon.config_file, "token", "remove", "suite")
        require(ask(f"http://127.0.0.1:{PORT}/api/v1/me", *named)[0] == 401, "a removed token")
    finally:
        daemon.settings = ""
        daemon.stop()
        pathlib.Path(STATE, "http-tokens.json").unlink(missing_ok=True)
        daemon.start()
    return f"{len(reached)} ways in, none for who is governed"
