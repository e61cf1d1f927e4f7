# SPDX-License-Identifier: Apache-2.0
"""What people are told: alerts of real denials, and the sinks that bring them out of the host."""

import contextlib
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading

from seq_judge import rules, script
from sequence import environment, events_in, governed, lictor, raise_flag, require, sequence, stop_flag, wait_until


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


@contextlib.contextmanager
def control_group(path):
    """A control group, with those above it, as a container's runtime makes them."""
    root = pathlib.Path("/sys/fs/cgroup")
    made = [root / above for above in [*reversed(path.parents), path] if not (root / above).exists()]
    for group in made:
        group.mkdir()
    try:
        yield root / path
    finally:
        for group in reversed(made):
            wait_until(lambda group=group: not (group / "cgroup.procs").read_text(), 30, f"{group} is empty")
            group.rmdir()


@sequence("container", "events name the container and the pod that a session runs in, also those that the next daemon tells", once=True)
def container(suite):
    id_, uid = "0f3a9c5d7e1b2468" * 4, "b1f6c0a2-3d4e-4f5a-8b7c-9d0e1f2a3b4c"
    logs = pathlib.Path("/var/log/pods", f"shop_cart-7d9f_{uid}")
    logs.mkdir(parents=True, exist_ok=True)
    flag, begun = stop_flag(suite, "container"), pathlib.Path(suite.ground.names["tmp"], "container-begun")
    for path, wanted in [
        (f"system.slice/docker-{id_}.scope", {"id": id_, "runtime": "docker"}),
        (f"kubepods.slice/kubepods-pod{uid.replace('-', '_')}.slice/cri-containerd-{id_}.scope",
         {"id": id_, "runtime": "containerd", "pod": "cart-7d9f", "namespace": "shop"}),
    ]:  # fmt: skip
        events = suite.work / f"container-{wanted['runtime']}.jsonl"
        for file in (pathlib.Path(flag), begun):
            file.unlink(missing_ok=True)
        with control_group(pathlib.Path(path)) as group:
            inside = f"/bin/true; : > {begun}; while [ ! -e {flag} ]; do sleep 0.1; done; /bin/ls /"
            command = f'echo $$ > {group}/cgroup.procs; exec "$0" "$@"'
            process = subprocess.Popen(["/bin/sh", "-c", command, suite.daemon.command, "run", "--agent", "files", "--quiet", "--events", events, "--", "/bin/sh", "-c", inside],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=suite.ground.names["ws"], env=environment(suite))  # fmt: skip
            try:
                wait_until(lambda: begun.exists() and '"/bin/true"' in events.read_text(), 30, "the session runs, and is told of")
                suite.daemon.kill()
                suite.daemon.start()
            finally:
                raise_flag(flag)
                process.wait(timeout=30)
        # The one ends with the daemon that it asked; of what that one had, the last moment need not be in the store.
        before = events_in(events)
        name = next(event["session"] for event in before if "session" in event)  # a loss has none
        after = map(json.loads, lictor(suite, "events", "--json", "--session", name, "--limit", "1000").stdout.splitlines())
        told = {e["process"]["cmdline"]: e["process"].get("container") for e in [*before, *after] if e["kind"] == "exec"}
        for line in ("/bin/true", "/bin/ls /"):
            require(told.get(line) == wanted, f"{line}: {told}")
    shutil.rmtree(logs)
    result = governed(suite, "files", "run", "true", options=("--events", suite.work / "no-container.jsonl"))
    outside = [e for e in events_in(suite.work / "no-container.jsonl") if "container" in e.get("process", {})]
    require(result.returncode == 0 and not outside, f"in no container: {outside[:1]}")
    return "docker and Kubernetes, before and after a restart"


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
