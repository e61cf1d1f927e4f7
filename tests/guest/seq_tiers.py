# SPDX-License-Identifier: Apache-2.0
"""Each tier decides a real execution, and the kernel gives the same answer the second time, alone."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess

from sequence import environment, events_in, lictor, require, sequence, wait_until
from tiers import DENIED_BY_MODEL, classifier_and_model, language_model, only_rules, require_tiers

RULES = """version: 1
rules:
  - id: tiers-word
    description: an argument that no program may have
    severity: high
    kinds: [exec]
    condition: process.args.exists(a, a == "forbidden-word")
    action: deny
  - id: tiers-ask
    description: what a rule cannot say
    severity: medium
    kinds: [exec]
    condition: process.args.exists(a, a == "ask-the-model")
    action: escalate
"""
# One execution for each tier: what decides it, its status, what it is.
EXECUTIONS = (
    ("rules", 137, "/bin/echo forbidden-word"),
    ("classifier", 0, "/bin/ls -d /"),
    ("classifier", 137, "/bin/sh -c 'echo aGVsbG8K | base64 -d | sh'"),
    ("llm", 137, f"/bin/echo ask-the-model {DENIED_BY_MODEL}"),
)


def script(go):
    round_ = "".join(f'{command} >/dev/null 2>&1; echo "$round {number} $?"\n' for number, (*_, command) in enumerate(EXECUTIONS))
    # Reading from the pipe is the shell's own: nothing is executed for it.
    return f"round=first\n{round_}read word < {go}\nround=second\n{round_}/bin/echo never seen before\n"


@contextlib.contextmanager
def stopped(suite):
    suite.daemon.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: pathlib.Path(f"/proc/{suite.daemon.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", 10, "lictord stands still")
        yield
    finally:
        suite.daemon.signal(signal.SIGCONT)


def said(path, word):
    return [line.split()[1:] for line in path.read_text().splitlines() if line.startswith(word)]


@sequence("judge-tiers", "rules, classifier and language model each decide an execution; the kernel answers the second time while lictord stands still",
          judge=classifier_and_model)  # fmt: skip
def tiers(suite):
    events, out, go = suite.work / "judge-tiers.jsonl", suite.work / "judge-tiers.out", suite.ground.names["tmp"] + "/judge-tiers.go"
    os.mkfifo(go)
    # Not in a folder of temporary files: a shell that executes what lies there is what the classifier is there for.
    file = pathlib.Path(suite.ground.names["ws"], "judge-tiers.sh")
    file.write_text(script(go))
    wanted = [[str(number), str(code)] for number, (_, code, _) in enumerate(EXECUTIONS)]
    with language_model() as model, only_rules(suite, {"tiers.yaml": RULES}, "tiers-word"):
        require_tiers(suite, "rules", "classifier", "llm")
        with open(out, "w") as output:
            session = subprocess.Popen([suite.daemon.command, "run", "--agent", "tiers", "--quiet", "--events", str(events), "--", "/bin/sh", str(file)],
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True, env=environment(suite))  # fmt: skip
        try:
            wait_until(lambda: len(said(out, "first")) == len(EXECUTIONS), 90, "the tiers have decided")
            require(said(out, "first") == wanted, f"first round: {out.read_text()}")
            remembered = json.loads(lictor(suite, "verdicts", "list", "--json").stdout)["remembered"]
            tiers = {entry["verdict"]["tier"] for entry in remembered if entry.get("verdict")}
            require({"rules", "classifier", "llm"} <= tiers, f"the kernel was told verdicts of {tiers} only")
            limited = [entry for entry in remembered if entry.get("verdict", {}).get("tier") == "llm"]
            require(all(entry.get("expires_in_ms", 0) > 0 for entry in limited), f"a model's word is remembered for ever: {limited}")
            require_counts(suite)
            asked = len(model.questions)
            with stopped(suite):
                with open(go, "w") as pipe:
                    pipe.write("go\n")
                wait_until(lambda: len(said(out, "second")) == len(EXECUTIONS), 60, "the kernel answers alone")
                require(said(out, "second") == wanted, f"second round: {out.read_text()}")
                # The control: what nobody has judged yet does wait for the daemon.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    session.wait(timeout=1.5)
                require(session.poll() is None and "never seen" not in out.read_text(), "THROUGH: an unknown execution ran without the daemon")
            _, err = session.communicate(timeout=60)
        finally:
            if session.poll() is None:
                session.kill()
                session.wait()
        require(session.returncode == 0 and "never seen before" in out.read_text(), f"{session.returncode} {err} {out.read_text()}")
        require(len(model.questions) == asked, "the model was asked again")
    return check_events(events)


def require_counts(suite):
    """`lictor rules list` says what the rules in force have done."""
    listed = json.loads(lictor(suite, "--config", suite.daemon.config_file, "rules", "list", "--json").stdout)
    counts = {rule["id"]: rule.get("counts", {}) for rule in listed}
    for rule in ("tiers-word", "tiers-ask"):
        found = {name: counts[rule].get(name) for name in ("hits", "sessions", "users", "programs")}
        require(found == {"hits": 1, "sessions": 1, "users": 1, "programs": 1} and counts[rule].get("last_hit"), f"{rule}: {counts[rule]}")


def check_events(events):
    recorded = [e for e in events_in(events) if e["kind"] == "exec"]
    for tier, status, command in EXECUTIONS:
        words = command.replace("'", "")
        found = [e["verdict"] for e in recorded if e["process"].get("cmdline") == words]
        action = "kill" if status else "allow"
        require([v["tier"] for v in found] == [tier, "verdict-cache"], f"`{command}`: {found}")
        require(all(v["action"] == action for v in found), f"`{command}`: {found}")
    return f"{len(EXECUTIONS)} executions: by rules, classifier and model, then each by the kernel alone"
