# SPDX-License-Identifier: Apache-2.0
"""What it costs that executions are judged: held until the rules have answered, or answered by the kernel from what it remembers."""

import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

import subjects

PROGRAM = "/usr/bin/true"
# A session's name is nothing that the kernel compares, so the answer of the second rule is asked for each time.
RULES = f"""version: 1
rules:
  - id: bench-known
    description: answered by the file alone, and remembered by it
    severity: info
    kinds: [exec]
    condition: exec.path == "{PROGRAM}"
    action: allow
  - id: bench-asked
    description: answered for this once
    severity: info
    kinds: [exec]
    condition: exec.path == "{PROGRAM}" && session != ""
    action: allow
"""
# Which rules judge each: none, the one that is remembered, the one that is not, and the latter with all that are installed.
AGENTS = {"unjudged": None, "remembered": ["bench-known"], "held": ["bench-asked"], "held, all rules": ["*"]}
BATCHES, COUNT = 4, 100
MANY = 10_000  # in a minute, without a loss


def policy():
    agents = {}
    for name, chosen in AGENTS.items():
        agents[slug(name)] = {"mode": "enforce", **({"undecided": "hold", "rules": chosen} if chosen else {"rules": []})}
    return json.dumps({"version": 1, "agents": agents})


def slug(name):
    return re.sub("[^a-z]+", "-", name)


class Judged(subjects.Governed):
    def __init__(self, lictor, name):
        super().__init__(lictor, policy(), name)
        self.agent = slug(name)

    def __enter__(self):
        return self

    def launcher(self, *options):
        return self.lictor.command("run", "--quiet", "--agent", self.agent, "--policy", str(self.policy), *options, "--")


def install(lictor, installed):
    """The rules must be there before the daemon starts."""
    folder = lictor.work / "rules.d"
    folder.mkdir(exist_ok=True)
    (folder / "bench.yaml").write_text(RULES)
    for path in pathlib.Path(installed).glob("*.yaml"):
        (folder / path.name).write_text(path.read_text())


def status(lictor):
    return json.loads(subprocess.run(lictor.command("status", "--json"), capture_output=True, text=True, check=True).stdout)


def switches(lictor):
    """How often the daemon's threads went to sleep: each wake-up ends so."""
    total = 0
    for path in pathlib.Path(f"/proc/{lictor.daemon.pid}/task").glob("*/status"):
        total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", path.read_text(), re.MULTILINE)[1])
    return total


def micro(command, batches, count):
    done = subprocess.run([*command, "exec", str(batches), str(count), PROGRAM], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        sys.exit(f"bench: {' '.join(map(str, command))} ended with {done.returncode}: {done.stderr.strip()}")
    return statistics.median(int(line.split()[0]) for line in done.stdout.splitlines())


def measure(lictor, program, rounds):
    """{"passed_ns": {bare and each agent: nanoseconds of one execution}, "wakeups": of each, "many": what became of many}"""
    passed, wakeups = {"nothing": []}, {}
    for _ in range(rounds):
        passed["nothing"].append(micro([program], BATCHES, COUNT))
        for name in AGENTS:
            judged = Judged(lictor, name)
            before, asked, began = switches(lictor), rules_asked(lictor), time.monotonic()
            passed.setdefault(name, []).append(micro([*judged.launcher(), program], BATCHES, COUNT))
            seconds, executions = time.monotonic() - began, (BATCHES + 1) * COUNT
            asked = rules_asked(lictor) - asked
            if name == "remembered" and asked > executions / 10 or name.startswith("held") and asked < executions:
                sys.exit(f"bench: {name}: the rules were asked {asked} times for {executions} executions")
            wakeups.setdefault(name, []).append((switches(lictor) - before - idle(lictor) * seconds) / executions)
    medians = {name: statistics.median(figures) for name, figures in passed.items()}
    return {"passed_ns": medians, "wakeups": {name: statistics.median(w) for name, w in wakeups.items()}, "many": many(lictor, program)}


def rules_asked(lictor):
    return next((tier["counts"]["asked"] for tier in status(lictor)["judge"] if tier["tier"] == "rules"), 0)


def idle(lictor, seconds=2):
    """Wake-ups a second with nothing to do."""
    before = switches(lictor)
    time.sleep(seconds)
    return (switches(lictor) - before) / seconds


def many(lictor, program):
    """Every one of them held, judged by all rules, and recorded."""
    events = lictor.work / "many.jsonl"
    lost, began = losses(lictor), time.monotonic()
    micro([*Judged(lictor, "held, all rules").launcher("--events", events), program], 3, MANY // 4)
    seconds = time.monotonic() - began
    with open(events) as lines:
        recorded = [event for event in map(json.loads, lines) if event["kind"] == "exec" and (event.get("exec") or {}).get("path") == PROGRAM]
    events.unlink()
    judged = sum(event["verdict"]["tier"] == "rules" for event in recorded)
    return {"executions": MANY, "seconds": round(seconds, 1), "recorded": len(recorded), "judged": judged, "lost": losses(lictor) - lost}


def losses(lictor):
    return sum(count for name, count in status(lictor)["counters"].items() if "lost" in name or name == "judge_overflowed")


def lines(result):
    passed = result["passed_ns"]
    out = ["| one execution, time that passes | | daemon's wake-ups |", "|---|---|---|"]
    for name, nanoseconds in passed.items():
        wakeups = f"{result['wakeups'][name]:.2f}" if name in result["wakeups"] else ""
        out.append(f"| {name} | {nanoseconds / 1e6:.3f} ms | {wakeups} |")
    return out


def promises(result):
    passed, many_ = result["passed_ns"], result["many"]
    rows = []
    for name in ("held", "held, all rules"):
        cost = (passed[name] - passed["unjudged"]) / passed["nothing"]
        rows.append((f"{name}: to be judged by rules costs at most one plain exec", f"{cost:.2f}", cost <= 1))
    cost = result["wakeups"]["remembered"]
    more = cost - result["wakeups"]["unjudged"]
    rows.append(("a remembered verdict wakes nobody (wake-ups beyond those of an unjudged exec)", f"{more:.2f}", more <= 0.05))
    whole = many_["recorded"] == many_["judged"] == many_["executions"] and not many_["lost"]
    rate = many_["executions"] * 60 / many_["seconds"]
    rows.append((f"{many_['executions']} held executions in a minute, none lost", f"{rate:.0f} a minute, {many_['recorded']} recorded, {many_['lost']} lost",
                 whole and rate >= many_["executions"]))  # fmt: skip
    return rows
