# SPDX-License-Identifier: Apache-2.0
"""Ordinary work under the strictest judging: a coding session, every execution of which is held until it is judged."""

import json
import os
import pathlib
import shutil
import subprocess

from sequence import PATH, Untried, events_in, require, sequence
from seq_attacks import SEVERITIES
from tiers import classifier, require_tiers, shipped_rules
from work import commands

HERE = pathlib.Path(__file__).resolve().parent
COMMANDS = 300
SECONDS = 500


@sequence("judge-work", "a coding session of 300 commands, held and judged by the shipped rules and classifier: nothing is denied", judge=classifier, once=True)
def work(suite):
    source, folder, results, events = HERE / "work-session.txt", pathlib.Path("/home/dev/project"), pathlib.Path("/tmp/work-results.jsonl"), suite.work / "work.jsonl"
    require(len(commands(source.read_text())) >= COMMANDS, f"the session has fewer than {COMMANDS} commands")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    results.touch()
    for path in (folder, results):
        shutil.chown(path, "dev", "dev")
    environment = {"PATH": PATH, "HOME": "/home/dev", "USER": "dev", "LOGNAME": "dev", "LANG": "C.UTF-8", "SHELL": "/bin/bash"}
    with shipped_rules(suite):
        require_tiers(suite, "rules", "classifier")
        done = subprocess.run([suite.daemon.command, "run", "--agent", "shipped", "--user", "dev", "--quiet", "--events", str(events), "--",
                               "/usr/bin/python3", str(HERE / "work.py"), str(source), str(folder), str(results)],
                              cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)  # fmt: skip
    require(done.returncode == 0, f"the agent ended with {done.returncode}: {done.stderr[-500:]}")
    rows, recorded = [json.loads(line) for line in results.read_text().splitlines()], events_in(events)
    if suite.options.out:
        suite.options.out.with_name("work.json").write_text(json.dumps({"commands": rows, "findings": findings(recorded)}, indent=1))
    results.unlink()
    failed = [f"`{row['command'][:120]}` ended with {row['status']}: {row['said'].strip()}" for row in rows if row["status"]]
    require(not failed, f"{len(failed)} commands failed: {' | '.join(failed[:5])}")
    loud = [f"{f['action']} {f['severity']} {f['tier']} {f['rule']} `{f['what']}`" for f in findings(recorded) if f["loud"]]
    require(not loud, f"{len(loud)} above `low` or denied: {' | '.join(loud[:8])}")
    lost = sum(event["lost"]["count"] for event in recorded if event["kind"] == "lost")
    require(not lost, f"{lost} events were lost")
    executions = [event["verdict"]["tier"] for event in recorded if event["kind"] == "exec"]
    tiers = ", ".join(f"{executions.count(tier)} by {tier}" for tier in sorted(set(executions)))
    return f"{len(rows)} commands, {len(executions)} executions ({tiers}); {len(findings(recorded))} noted, none above low"


def findings(recorded):
    """What was said of the session's events beyond an allowance."""
    found = []
    for event in recorded:
        verdict = event.get("verdict") or {}
        if verdict.get("action") in (None, "allow"):
            continue
        severity = verdict.get("severity", "")
        loud = verdict["action"] != "alert" or not severity or SEVERITIES.index(severity) > SEVERITIES.index("low")
        what = event["process"].get("cmdline") if event["kind"] == "exec" else json.dumps(event.get(event["kind"]))
        found.append({"action": verdict["action"], "severity": severity, "tier": verdict["tier"], "rule": verdict.get("rule"), "what": (what or "")[:200],
                      "score": verdict.get("score"), "loud": loud})  # fmt: skip
    return found
