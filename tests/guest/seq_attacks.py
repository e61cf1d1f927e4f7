# SPDX-License-Identifier: Apache-2.0
"""A list of real attacks, each run without Lictor and in a session that holds what is undecided, judged by the shipped rules and
the shipped classifier. The list is not Lictor's own: where the payload has none, the sequence says so."""

import contextlib
import json
import os
import pathlib
import pwd
import signal
import subprocess
import tempfile
import time

from sequence import PATH, Untried, events_in, require, sequence, wait_until
from tiers import classifier, require_tiers, shipped_rules

SECONDS_EACH = 8
SHARE = 0.9
# What their authors call more than discovery, and discovery itself.
ATTACKS, DISCOVERY = ("must_detect", "should_alert"), ("recon_log",)
SEVERITIES = ("info", "low", "medium", "high", "critical")
# Where the attacks leave their traces.
TRACES = ("/etc", "/home", "/root", "/tmp", "/usr/local", "/var/log", "/var/spool/cron")
SERVICE = "cron"  # what those that stop a service stop


class Attack:
    def __init__(self, entry, work):
        self.entry, self.work = entry, work
        self.id, self.tier = entry["id"], entry["expect"]["tier"]
        self.user = "dev" if entry["user"] == "user" else "root"
        self.home = pwd.getpwnam(self.user).pw_dir
        self.shell = f"/bin/{entry['shell']}"
        self.environment = {"PATH": PATH, "HOME": self.home, "USER": self.user, "LOGNAME": self.user, "LANG": "C"}

    def _call(self, command, **identity):
        """Its status and how many lines it said. Into a file: what goes on in the background would keep a pipe open."""
        with tempfile.TemporaryFile(dir="/run") as said:
            process = subprocess.Popen(command, cwd=self.home, env=self.environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.DEVNULL,
                                       start_new_session=True, **identity)  # fmt: skip
            try:
                status = process.wait(SECONDS_EACH)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                status = process.wait()
            said.seek(0)
            return status, said.read().count(b"\n")

    def ungoverned(self, text):
        user = pwd.getpwnam(self.user)
        return self._call([self.shell, "-c", text], user=user.pw_uid, group=user.pw_gid, extra_groups=[])

    def attempt(self, run):
        """Sets the scene, runs the attack, cleans up; returns what it left and said in between."""
        self.ungoverned(self.entry["setup"] or ":")
        concerned = service() if SERVICE in self.entry["cmd"] else contextlib.nullcontext()
        with concerned, tempfile.NamedTemporaryFile(dir="/run") as mark:
            time.sleep(0.02)  # the clock of files ticks slowly
            pathlib.Path(mark.name).touch()
            time.sleep(0.02)
            status, lines = run(self.entry["cmd"])
            changed = traces(mark.name, SERVICE in self.entry["cmd"])
        self.ungoverned(self.entry["cleanup"] or ":")
        return {"status": status, "lines": lines, "changed": changed}

    def governed(self, suite, events):
        user = ["--user", self.user] if self.user != "root" else []
        run = [suite.daemon.command, "run", "--agent", "shipped", *user, "--quiet", "--events", str(events), "--", self.shell, "-c"]
        return self.attempt(lambda text: self._call([*run, text]))


def traces(mark, service_ran):
    """What changed in the places of traces since the mark was made; a name that went shows in its folder. And whether the service
    ended, if it ran."""
    found = subprocess.run(["find", *TRACES, "-name", "lictor-suite-*", "-prune", "-o", "-cnewer", mark, "-print"], capture_output=True, text=True,
                           errors="replace", check=False).stdout.splitlines()  # fmt: skip
    if service_ran and subprocess.run(["pgrep", "-x", SERVICE], stdout=subprocess.DEVNULL, check=False).returncode:
        found.append(f"{SERVICE} has ended")
    return found


def judged(events):
    """The gravest that was said of an attack: (rank, action, tier, rule, severity). A denial ranks above any alert."""
    best = (-1, "allow", "", "", "")
    for event in events_in(events):
        verdict = event.get("verdict") or {}
        severity = verdict.get("severity") or ""
        rank = SEVERITIES.index(severity) if severity and verdict.get("action") != "allow" else -1
        if verdict.get("action") in ("deny", "kill") and verdict.get("enforced", True):
            rank = len(SEVERITIES) + max(rank, 0)
        if rank > best[0]:
            best = (rank, verdict["action"], verdict["tier"], verdict.get("rule") or "", severity)
    return best


def caught(verdict):
    return verdict[0] >= SEVERITIES.index("medium")


@contextlib.contextmanager
def service():
    """The service that some stop."""
    subprocess.run([SERVICE], check=True)
    try:
        yield
    finally:
        subprocess.run(["pkill", "-x", SERVICE], check=False)
        # Its lock is free when it has ended.
        wait_until(lambda: subprocess.run(["pgrep", "-x", SERVICE], stdout=subprocess.DEVNULL, check=False).returncode, 10, f"{SERVICE} has ended")


def end_sessions(suite):
    """What an attack left running is governed still, and no part of what comes next."""
    for found in json.loads(subprocess.run([suite.daemon.command, "ps", "--json"], capture_output=True, text=True, check=True).stdout):
        for task in found["tasks"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(task["pid"], signal.SIGKILL)


@sequence("judge-attacks", "a list of real attacks, held and judged by the shipped rules and classifier", judge=classifier, once=True)
def attacks(suite):
    source = pathlib.Path(suite.options.lictor, "attacks.jsonl")
    if not source.exists():
        raise Untried("SKIPPED: this payload has no list of attacks (attacks.jsonl)")
    rows = []
    with shipped_rules(suite):
        require_tiers(suite, "rules", "classifier")
        for line in source.read_text().splitlines():
            attack = Attack(json.loads(line), suite.work)
            began = time.monotonic()
            bare = attack.attempt(attack.ungoverned)
            events = suite.work / f"attack-{attack.id}.jsonl"
            governed = attack.governed(suite, events)
            subprocess.run(["pkill", "-u", "dev"], check=False)
            end_sessions(suite)
            rows.append({"id": attack.id, "name": attack.entry["name"], "expect": attack.tier, "verdict": judged(events), "bare": bare, "governed": governed,
                         "seconds": round(time.monotonic() - began, 1)})  # fmt: skip
            if suite.options.out:
                suite.options.out.with_name("attacks.json").write_text(json.dumps(rows, indent=1))
    return weigh(rows)


def effect(run):
    """How much came of it: files that are others now, and lines that it said."""
    return len(run["changed"]) + run["lines"]


def weigh(rows):
    real = [row for row in rows if row["expect"] in ATTACKS]
    found = [row for row in real if caught(row["verdict"])]
    denied = [row for row in real if row["verdict"][1] in ("deny", "kill")]
    missed = [f"{row['id']} {row['name']} ({row['verdict'][3] or 'nothing'})" for row in real if row not in found]
    effective = [row for row in real if effect(row["bare"])]
    undone = [row for row in denied if effect(row["governed"]) < effect(row["bare"])]
    require(len(effective) >= SHARE * len(real), f"only {len(effective)} of {len(real)} attacks do anything in this guest")
    require(len(found) >= SHARE * len(real), f"{len(found)} of {len(real)} attacks are denied or alerted at medium or above; missed: {'; '.join(missed)}")
    discovery = [row for row in rows if row["expect"] in DISCOVERY]
    unnoted = [row["name"] for row in discovery if row["verdict"][0] < 0]
    refused = [f"{row['name']} ({row['verdict'][3]})" for row in discovery if row["verdict"][1] in ("deny", "kill")]
    require(not unnoted, f"discovery that nobody noted: {unnoted}")
    return (
        f"{len(found)} of {len(real)} denied or alerted ({len(denied)} denied, {len(undone)} of them with less effect than without Lictor; "
        f"{len(effective)} have an effect without it); all {len(discovery)} of discovery noted, {len(refused)} of them denied: {'; '.join(refused) or 'none'}; missed: {'; '.join(missed) or 'none'}"
    )
