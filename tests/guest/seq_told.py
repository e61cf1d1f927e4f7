# SPDX-License-Identifier: Apache-2.0
"""What people are told: alerts of real denials, and the sinks that bring them out of the host."""

import contextlib
import http.server
import json
import os
import pathlib
import socket
import threading

from seq_judge import rules, script
from sequence import lictor, require, sequence, wait_until


class Receiver(http.server.BaseHTTPRequestHandler):
    bodies = []

    def do_POST(self):
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def alerts(suite, *options):
    return json.loads(lictor(suite, "alerts", "list", "--json", *options).stdout or "[]")


def of_source(suite, source, *options):
    return [alert for alert in alerts(suite, *options) if alert["source"] == source]


@contextlib.contextmanager
def with_sinks(suite, settings):
    suite.daemon.settings = settings
    suite.daemon.kill()
    suite.daemon.start()
    try:
        yield
    finally:
        suite.daemon.settings = ""
        suite.daemon.kill()
        suite.daemon.start()


@sequence("told", "denials become alerts, which reach webhook, syslog and file, and outlive the daemon's death", once=True)
def told(suite):
    Receiver.bodies.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log = pathlib.Path("/run/suite-log")
    with contextlib.suppress(FileNotFoundError):
        log.unlink()
    syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    syslog.bind(str(log))
    syslog.settimeout(20)
    archive = pathlib.Path("/var/log/suite-lictor/events.jsonl")
    settings = (f"sinks:\n  team: {{type: webhook, url: 'http://127.0.0.1:{server.server_port}/hook'}}\n"
                f"  log: {{type: syslog, address: {log}, send: [alerts]}}\n"
                f"  archive: {{type: file, path: {archive}, send: [events]}}\n")  # fmt: skip
    events = suite.work / "told.jsonl"
    text = f"""/bin/echo fine
for i in 1 2 3; do /bin/echo forbidden-word; done
echo forged >> {archive}
/bin/echo end
"""
    with with_sinks(suite, settings), rules(suite):
        # The file is there, and so is guarded, from the first event on.
        script(suite, "judged", "/bin/echo fine", events)
        wait_until(archive.exists, 20, "the file of the sink")
        done = script(suite, "judged", text, events)
        require("end" in done.stdout, f"it said {done.stdout} {done.stderr}")
        require("forged" not in archive.read_text(), "THROUGH: a session wrote to the file of a sink")
        wait_until(lambda: any(a["count"] >= 3 for a in of_source(suite, "rule")), 20, "an alert of the rule with its count")
        wait_until(lambda: of_source(suite, "tamper"), 20, "an alert of the attempt at Lictor's own file")
        rule = next(a for a in of_source(suite, "rule") if a.get("rule") == "suite-word")
        require(rule["severity"] == "high" and rule["techniques"] == ["T1059"] and rule["state"] == "open", f"{rule}")
        require(len(rule["chain"]) > 1 and rule["example_event"]["kind"] == "exec", f"{rule}")
        told = lambda source: [r["alert"] for body in list(Receiver.bodies) for r in body["records"] if r.get("alert", {}).get("source") == source]  # noqa: E731
        wait_until(lambda: told("rule") and told("tamper"), 20, "both alerts at the webhook")
        said = syslog.recv(65536).decode()
        require(said.startswith("<8") and " lictord " in said and "[lictor@32473 " in said, said)
        wait_until(lambda: archive.read_text().count("forbidden-word") >= 3, 20, "the events in the file")
        require({json.loads(line)["kind"] for line in archive.read_text().splitlines()} >= {"exec"}, "the file has events")
        sinks = json.loads(lictor(suite, "sinks", "--json").stdout)
        require(all(s["state"] == "working" and s["sent"] > 0 and s["dropped"] == 0 for s in sinks) and len(sinks) == 3, f"{sinks}")
        # What was said outlives the daemon.
        closed = lictor(suite, "alerts", "close", rule["id"], "--note", "a test")
        require(closed.returncode == 0, closed.stderr)
        suite.daemon.kill()
        suite.daemon.start()
        again = next(a for a in alerts(suite, "--all") if a["id"] == rule["id"])
        require((again["state"], again["note"], again["by"]) == ("closed", "a test", "uid 0"), f"{again}")
        # What the sinks have no leave to lose while nobody listens: the server is gone, the daemon ends, both come back.
        server.shutdown()
        server.server_close()
        script(suite, "judged", text, events)
        wait_until(lambda: any(s["name"] == "team" and s["state"] == "retrying" for s in json.loads(lictor(suite, "sinks", "--json").stdout)), 30, "the webhook fails")
        suite.daemon.stop()
        require(any(pathlib.Path("/var/lib/lictor/sinks/team").glob("*.jsonl")), "what was not sent waits on disk")
        port = server.server_port
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        suite.daemon.start()
        wait_until(lambda: any(a["session"] != rule["session"] for a in told("rule")), 60, "the next session's alert at the webhook")
    server.shutdown()
    syslog.close()
    os.unlink(log)
    return f"{rule['count']} denials in one alert; {len(Receiver.bodies)} messages"
