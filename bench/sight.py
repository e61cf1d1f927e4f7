# SPDX-License-Identifier: Apache-2.0
"""How soon who looks sees what happened: from an event in the kernel to a WebSocket of the HTTP interface, and a list of events."""

import base64
import datetime
import http.client
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

HOST, PORT = "127.0.0.1", 7480
# What a browser that is logged in has open: all events, as they come.
STREAM = "/api/v1/events/stream"
DENIED = "/etc/shadow"
DENIED_PATH, LOST = f'"path":"{DENIED}"'.encode(), b'{"type":"lost"'
# (events, pause between two in seconds): as an agent works, and as fast as it can.
LOADS = {"one every 20 ms": (500, 0.02), "as fast as they come": (2_000, 0.0)}
LISTS, LIST = 200, "/api/v1/events?limit=200"
LIVE_MS, LIST_MS = 250, 10


def settings(lictor):
    with open(lictor.config, "a") as config:
        config.write(f"http: {{listen: '{HOST}:{PORT}'}}\n")


class Stream:
    """A WebSocket that only listens (RFC 6455). Each message is kept with the time at which it was here, and read later: this
    program takes longer for that than a browser, on the processor that the daemon needs."""

    def __init__(self, token):
        self.denied, self.lost = [], 0
        self.socket = socket.create_connection((HOST, PORT), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {STREAM} HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nAuthorization: Bearer {token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self.reader = self.socket.makefile("rb")
        status = self.reader.readline()
        if b" 101 " not in status:
            sys.exit(f"bench: no stream of events: {status.decode(errors='replace')}")
        while self.reader.readline().strip():
            pass
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while head := self.reader.read(2):
            length = head[1] & 127
            if length > 125:
                size = 2 if length == 126 else 8
                length = struct.unpack(">H" if size == 2 else ">Q", self.reader.read(size))[0]
            body, now = self.reader.read(length), time.time()
            if head[0] & 15 != 1:
                continue
            if DENIED_PATH in body:
                self.denied.append((now, body))
            elif LOST in body:
                self.lost += json.loads(body)["count"]

    def seen(self):
        """Milliseconds from the kernel's time of each to its time here."""
        told = ((now, json.loads(body)["event"]) for now, body in list(self.denied))
        return [(now - when(event["time"])) * 1000 for now, event in told if event["file"]["path"] == DENIED]


def when(text):
    """Seconds since 1970 of an event's time, which has nine digits."""
    whole, _, digits = text.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp()
    return seconds + float(f"0.{digits or 0}")


def denials(governed, count, pause):
    script = f"import time\nfor _ in range({count}):\n try: open('{DENIED}')\n except PermissionError: pass\n if {pause}: time.sleep({pause})"
    done = subprocess.run([*governed.launcher(), "/usr/bin/python3", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench: the session ended with {done.returncode}: {done.stderr[-500:]}")


def percentiles(milliseconds):
    ordered = sorted(milliseconds)
    return {"p50": statistics.median(ordered), "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], "worst": ordered[-1]}


def measure(lictor, governed):
    """{"live": {load: {"p50", "p99", "worst": milliseconds, "events": n, "lost": n}}, "list": the same of a list}"""
    token = (lictor.work / "http.token").read_text().strip()  # beside the control socket
    live = {}
    for name, (count, pause) in LOADS.items():
        stream = Stream(token)
        denials(governed, count, pause)
        deadline = time.monotonic() + 30
        while len(stream.denied) + stream.lost < count and time.monotonic() < deadline:
            time.sleep(0.1)
        seen = stream.seen()
        if not seen:
            sys.exit(f"bench: no denial came by the stream\n{lictor.log()}")
        live[name] = {**percentiles(seen), "events": len(seen), "wanted": count, "lost": stream.lost}
    return {"live": live, "list": listed(token)}


def listed(token):
    client, took = http.client.HTTPConnection(HOST, PORT, timeout=60), []
    for number in range(LISTS + 10):
        began = time.perf_counter()
        client.request("GET", LIST, headers={"Authorization": f"Bearer {token}"})
        answer = client.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"bench: {LIST}: {answer.status} {body[:300]}")
        if number >= 10:  # the first ones open connections and fill caches
            took.append((time.perf_counter() - began) * 1000)
        time.sleep(0.02)  # below what one client may ask a second
    return {**percentiles(took), "events": len(json.loads(body)["items"])}


def lines(result):
    out = ["| | p50 | p99 | worst | events |", "|---|---|---|---|---|"]
    rows = {f"from the kernel to the browser, {name}": row for name, row in result["live"].items()}
    for name, row in {**rows, "a list of 200 events": result["list"]}.items():
        out.append(f"| {name} | {row['p50']:.1f} ms | {row['p99']:.1f} ms | {row['worst']:.1f} ms | {row['events']} |")
    return out


def promises(result):
    rows = []
    for name, row in result["live"].items():
        said = f"p99 {row['p99']:.1f} ms, {row['events']} of {row['wanted']}"
        rows.append((f"from the kernel to the browser within {LIVE_MS} ms (p99), {name}", said, row["p99"] < LIVE_MS and row["events"] == row["wanted"]))
    found = result["list"]
    rows.append((f"a list of 200 events within {LIST_MS} ms (p50)", f"{found['p50']:.1f} ms", found["p50"] < LIST_MS and found["events"] == 200))
    return rows
