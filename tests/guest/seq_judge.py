# SPDX-License-Identifier: Apache-2.0
"""Executions that the judges decide: held, judged beside, refused; remembered by the kernel; and attacks on the holding."""

import contextlib
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import time

from sequence import environment, events_in, lictor, require, sequence, wait_until

RULES = """version: 1
rules:
  - id: suite-word
    description: an argument that no program may have
    state: active
    severity: high
    kinds: [exec]
    condition: process.args.exists(a, a == "forbidden-word")
    action: deny
    tags: [T1059]
  - id: suite-shells
    description: shells and the programs of the suite
    state: active
    severity: info
    kinds: [exec]
    condition: basename(process.exe) in ["sh", "dash", "bash"]
    action: allow
  - id: suite-id
    description: somebody asks who he is
    state: active
    severity: low
    kinds: [exec]
    condition: basename(process.exe) == "id"
    action: alert
"""
NOTHING = """version: 1
rules:
  - {id: nothing, description: nothing, state: draft, severity: info, kinds: [exec], condition: "false", action: alert}
"""
SECONDS_UNTIL_OLD = 2.5  # a file must be older than this for a verdict about it to be remembered


@contextlib.contextmanager
def rules(suite, text=RULES, settings=None):
    """The daemon judges by these rules; with settings of the judge it is started anew."""
    put(suite, text)
    if settings is not None:
        suite.daemon.settings = f"judge: {json.dumps(settings)}\n"
        suite.daemon.kill()
        suite.daemon.start()
    wait_until(lambda: "suite-word" in rules_in_force(suite), 20, "the rules are in force")
    try:
        yield
    finally:
        put(suite, NOTHING)
        if settings is not None:
            suite.daemon.settings = ""
            suite.daemon.kill()
            suite.daemon.start()
        wait_until(lambda: "suite-word" not in rules_in_force(suite), 20, "the rules are gone")


def put(suite, text):
    suite.daemon.rules.mkdir(exist_ok=True)
    fresh = suite.daemon.rules / "suite.new"
    fresh.write_text(text)
    os.rename(fresh, suite.daemon.rules / "suite.yaml")


def rules_in_force(suite):
    return json.loads(lictor(suite, "status", "--json").stdout).get("rules") or {}


def script(suite, agent, text, events):
    """Runs a shell script in a session of the agent."""
    path = suite.work / f"{agent}.sh"
    path.write_text(text)
    time.sleep(SECONDS_UNTIL_OLD)
    return lictor(suite, "run", "--agent", agent, "--quiet", "--events", str(events), "--", "/bin/sh", str(path), timeout=120)


def executions(events):
    """In the order in which they took place: a judge's verdict is told when it is there, the kernel's own at once."""
    told = sorted((e for e in events_in(events) if e["kind"] == "exec"), key=lambda event: event["time"])
    return [(e["process"].get("cmdline", ""), e["verdict"]) for e in told]


def verdicts_of(events, word):
    return [(v["action"], v["tier"]) for line, v in executions(events) if word in line and "/bin/echo" in line]


WORK = """for i in 1 2 3; do /bin/echo "fine $i"; done
/bin/echo "fine 1"
/usr/bin/id -u >/dev/null
/bin/echo forbidden-word; echo "status $?"
/bin/echo forbidden-word; echo "status $?"
/bin/echo more forbidden-word words; echo "status $?"
/bin/echo end
"""


@sequence("judge-hold", "a held execution is judged before its first instruction; the second time the kernel answers")
def hold(suite):
    events = suite.work / "judge-hold.jsonl"
    with rules(suite):
        done = script(suite, "judged", WORK, events)
    said = done.stdout.splitlines()
    require(said == ["fine 1", "fine 2", "fine 3", "fine 1", "status 137", "status 137", "status 137", "end"], f"it said {said} {done.stderr}")
    forbidden = verdicts_of(events, "forbidden-word")
    require(forbidden == [("kill", "rules"), ("kill", "verdict-cache"), ("kill", "rules")], f"verdicts of the forbidden: {forbidden}")
    fine = verdicts_of(events, "fine 1")
    require([tier for _, tier in fine] == ["rules", "verdict-cache"], f"verdicts of the permitted: {fine}")
    word = next(v for line, v in executions(events) if "forbidden-word" in line)
    require(word.get("rule") == "suite-word" and word.get("severity") == "high" and "T1059" in word.get("tags", []), f"{word}")
    alert = next(v for line, v in executions(events) if line.startswith("/usr/bin/id"))
    require((alert["action"], alert.get("rule")) == ("alert", "suite-id"), f"{alert}")
    return f"{len(forbidden)} ended, {len(fine)} let go"


@sequence("judge-beside", "undecided: allow judges beside the running process and ends it with what it started")
def beside(suite):
    events, mark = suite.work / "judge-beside.jsonl", suite.ground.names["tmp"] + "/beside-mark"
    # The shell that is denied starts a child first; both must go. `sleep` gives the judges the time that they may take.
    text = f"""/bin/echo fine 1
cat > "$LICTOR_TMP" <<'X'
sleep 20 && touch {mark} &
sleep 20
touch {mark}
X
/bin/bash "$LICTOR_TMP" forbidden-word; echo "status $?"
/bin/echo end
""".replace("$LICTOR_TMP", suite.ground.names["tmp"] + "/beside.sh")
    began = time.monotonic()
    with rules(suite):
        done = script(suite, "beside", text, events)
        took = time.monotonic() - began
        left = subprocess.run(["pgrep", "-f", "sleep 20"], capture_output=True, text=True, check=False).stdout.split()
    require(done.stdout.splitlines() == ["fine 1", "status 137", "end"], f"it said {done.stdout} {done.stderr}")
    require(not left and not os.path.exists(mark), f"what the denied process started lives on: {left}")
    killed = [v for line, v in executions(events) if "forbidden-word" in line]
    require(killed and killed[0]["action"] == "kill", f"{killed}")
    return f"ended, {took:.0f} s in all"


@sequence("judge-refused", "undecided: deny refuses what nobody has judged; the next attempt gets the answer", once=True)
def refused(suite):
    events, names = suite.work / "judge-refused.jsonl", suite.ground.names
    text = "/bin/echo fine 1 || echo refused\nsleep 1 2>/dev/null\n/bin/echo fine 1 || echo refused again\n"
    with rules(suite):
        first = lictor(suite, "run", "--agent", "refused", "--quiet", "--", "/bin/sh", "-c", "exit 0")
        require(first.returncode == 126, f"the shell itself was not refused: {first.returncode} {first.stderr}")
        time.sleep(1)
        done = script(suite, "refused", text, events)
    said = done.stdout.splitlines()
    require(done.returncode in (0, 126), f"{done.returncode} {done.stderr} {names['ws']}")
    if done.returncode == 0:
        require(said[:1] == ["refused"], f"it said {said} {done.stderr}")
    return f"first 126, then {said}"


def held_now(suite):
    return json.loads(lictor(suite, "verdicts", "list", "--json").stdout)["held"]


def state_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return None


def held_command(suite, *command):
    """Starts a session whose command is held; returns the process of `lictor run` and the held pid."""
    process = subprocess.Popen([suite.daemon.command, "run", "--agent", "judged", "--quiet", "--", *command], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=environment(suite), cwd=suite.ground.names["ws"], start_new_session=True)  # fmt: skip
    wait_until(lambda: held_now(suite), 20, "an execution is held")
    return process, held_now(suite)[0]["pid"]


@sequence("judge-human", "who is held waits for a person, through the daemon's death, and nobody else lets him go", 56, 60)
def human(suite):
    libc = ctypes.CDLL(None, use_errno=True)
    with rules(suite, settings={"default_action": "hold", "hold_limit": "60s"}):
        process, pid = held_command(suite, "/bin/echo", "at last")
        wait_until(lambda: state_of(pid) == "T", 10, "it is stopped")
        # Root, outside of any session.
        try:
            os.kill(pid, signal.SIGCONT)
            require(False, "THROUGH: root let a held process go with SIGCONT")
        except PermissionError:
            pass
        libc.ptrace.argtypes = [ctypes.c_long] * 4
        require(libc.ptrace(16, pid, 0, 0) == -1, "THROUGH: root attached to a held process")  # PTRACE_ATTACH
        require(libc.ptrace(0x4206, pid, 0, 0) == -1, "THROUGH: root seized a held process")  # PTRACE_SEIZE
        suite.daemon.signal(signal.SIGKILL)
        suite.daemon.process.wait()
        with contextlib.suppress(PermissionError):
            os.kill(pid, signal.SIGCONT)
        time.sleep(1)
        require(state_of(pid) == "T", f"without the daemon the held process is in state {state_of(pid)}")
        suite.daemon.start()
        wait_until(lambda: [h for h in held_now(suite) if h["pid"] == pid], 20, "the new daemon knows who is held")
        require(state_of(pid) == "T", "the new daemon let it go by itself")
        done = lictor(suite, "verdicts", "set", "allow", str(pid))
        require(done.returncode == 0, done.stderr)
        out, err = process.communicate(timeout=30)
        require(out == "at last\n" and process.returncode == 0, f"let go, it said {out!r} {err!r} {process.returncode}")

        # Whoever looks after those who are held does not take one who was just let go for one who goes on without leave.
        words = [f"word-{number}" for number in range(12)]
        process, _ = held_command(suite, "/bin/sh", "-c", "".join(f"/bin/echo {word} & " for word in words) + "wait")
        wait_until(lambda: len(held_now(suite)) == len(words), 20, f"{len(words)} executions are held")
        time.sleep(1.2)
        for held in held_now(suite):
            done = lictor(suite, "verdicts", "set", "allow", str(held["pid"]))
            require(done.returncode == 0, done.stderr)
        out, err = process.communicate(timeout=30)
        require(sorted(out.split()) == sorted(words), f"all were let go, and said {out!r} {err!r} {process.returncode}")

        process, pid = held_command(suite, "/bin/echo", "never")
        require(lictor(suite, "verdicts", "set", "deny", str(pid)).returncode == 0, "a person's denial failed")
        out, err = process.communicate(timeout=30)
        require(out == "" and process.returncode == 137, f"denied, it said {out!r} {err!r} {process.returncode}")
        again = lictor(suite, "run", "--agent", "judged", "--quiet", "--", "/bin/echo", "never", timeout=30)
        return f"{len(words) + 1} allowed and one denied by hand; the same again ended with {again.returncode}"


@sequence("judge-upgrade", "who is held when a daemon of another build takes over is not let go, and is ended when his time is over", 60, once=True)
def upgrade(suite):
    daemon = suite.daemon
    own, other = daemon.program, daemon.other_build(suite.work / "lictord-judge")
    with rules(suite, settings={"default_action": "hold", "hold_limit": "45s"}):
        process, pid = held_command(suite, "/bin/echo", "too late")
        try:
            daemon.stop()
            daemon.program = other
            daemon.start()
            require(state_of(pid) == "T", f"under a daemon of another build it is in state {state_of(pid)}")
            out, err = process.communicate(timeout=90)
            told = [json.loads(line) for line in lictor(suite, "events", "--json", "--denied", "--limit", "50").stdout.splitlines()]
            said = [e["verdict"]["reason"] for e in told if e["kind"] == "exec" and e["process"]["pid"] == pid and e["verdict"]["action"] == "kill"]
            require(len(said) == 1 and "whose daemon is gone" in said[0], f"recorded of it: {said}")
        finally:
            daemon.kill()
            daemon.program = own
            daemon.start()
    require(out == "" and process.returncode == 137, f"it said {out!r} {err!r} {process.returncode}")
    return "ended when its time was over"


@sequence("judge-orphan", "a held process whose terminal or parent goes away is ended, not let go", 60)
def orphan(suite):
    """The kernel itself sends SIGHUP and SIGCONT to a stopped process group that becomes an orphan; nohup survives the first."""
    mark = suite.ground.names["tmp"] + "/orphan-mark"
    text = f"""trap '' HUP
setsid /bin/bash -c 'set -m; trap "" HUP; (trap "" HUP; exec /usr/bin/touch {mark}) & sleep 0.5; exit 0' 2>/dev/null
"""
    with rules(suite, RULES.replace('["sh", "dash", "bash"]', '["sh", "dash", "bash", "setsid", "sleep"]'), {"default_action": "hold", "hold_limit": "20s"}):
        path = suite.work / "orphan.sh"
        path.write_text(text)
        done = lictor(suite, "run", "--agent", "judged", "--quiet", "--", "/bin/sh", str(path), timeout=60)
        held = held_now(suite)
        time.sleep(4)
        left = held_now(suite)
    require(not os.path.exists(mark), f"THROUGH: a held process ran when its process group became an orphan ({held} {left})")
    return f"status {done.returncode}; held {len(held)}, later {len(left)}"


@sequence("judge-reload", "200 changes of the rules under load, good and broken: none is judged wrong, none is lost", once=True)
def reload(suite):
    events = suite.work / "judge-reload.jsonl"
    log = suite.ground.names["tmp"] + "/judge-reload.log"
    stop = suite.ground.names["tmp"] + "/judge-reload.stop"
    loop = f"""while [ ! -e {stop} ]; do
/bin/true forbidden-word && echo THROUGH >> {log}
/bin/true fine || echo BROKEN >> {log}
echo round >> {log}
done
"""
    path = suite.work / "reload.sh"
    path.write_text(loop)
    other = RULES + "".join(
        f"  - {{id: suite-more-{n}, description: more, state: active, severity: low, kinds: [exec], condition: 'process.cmdline.matches(\"x{n}y+z\")', action: alert}}\n"
        for n in range(50)
    )
    broken = RULES.replace("process.args.exists", "process.argz.exists")
    with rules(suite):
        process = subprocess.Popen([suite.daemon.command, "run", "--agent", "judged", "--quiet", "--events", str(events), "--", "/bin/sh", str(path)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, env=environment(suite))  # fmt: skip
        wait_until(lambda: os.path.exists(log), 20, "the load has begun")
        for number in range(200):
            put(suite, (other, broken, RULES, "rules: [")[number % 4])
            suite.daemon.signal(signal.SIGHUP)
            time.sleep(0.06)
        put(suite, RULES)
        pathlib.Path(stop).write_text("")
        _, err = process.communicate(timeout=60)
        epoch = len(rules_in_force(suite))
    lines = pathlib.Path(log).read_text().split()
    require(process.returncode == 0, f"{process.returncode} {err}")
    require("THROUGH" not in lines, f"THROUGH: {lines.count('THROUGH')} of {lines.count('round')} denied executions ran")
    require("BROKEN" not in lines, f"{lines.count('BROKEN')} of {lines.count('round')} permitted executions were ended")
    rounds, recorded = lines.count("round"), executions(events)
    for word, action in (("forbidden-word", "kill"), ("fine", "allow")):
        said = [verdict["action"] for line, verdict in recorded if line == f"/bin/true {word}"]
        told = [(e["process"]["pid"], e["id"], e["time"], e["verdict"]) for e in events_in(events) if e["kind"] == "exec" and e["process"].get("cmdline") == f"/bin/true {word}"]
        twice = [t for t in told if [u[0] for u in told].count(t[0]) > 1]
        require(len(said) == rounds, f"{len(said)} of {rounds} executions of `{word}` were recorded; of the same process: {twice}")
        require(set(said) == {action}, f"`{word}` was judged {set(said)}")
    lost = [event for event in events_in(events) if event["kind"] == "lost"]
    require(not lost, f"events were lost: {lost}")
    return f"{rounds} rounds, {len(recorded)} executions recorded, {epoch} rules at the end"
