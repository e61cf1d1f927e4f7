# SPDX-License-Identifier: Apache-2.0
"""The daemon killed, stopped, restarted and reloaded while sessions run."""

import json
import os
import pathlib
import shutil
import subprocess
import time

from daemon import PINS, STATE
from sequence import (
    Failure,
    Untried,
    environment,
    events_in,
    finish,
    governed,
    lictor,
    log_of,
    now,
    processes,
    raise_flag,
    require,
    sequence,
    session,
    signal_daemon,
    stop_flag,
    times,
    wait_until,
)
from tiers import shipped_rules

KEY = "{home}/.ssh/id_ed25519"
CLOSED_WITHIN_MS = 2500


def network_under(suite, name, act, undo):
    """Runs a session that connects all the time; `act` takes the daemon away, `undo` brings it back."""
    log, stop = f"{suite.ground.names['tmp']}/{name}.log", stop_flag(suite, name)
    verdicts_stop = stop_flag(suite, name + "-verdicts")
    with (
        session(suite, "net", "--here", "watch-network", "10.0.1.1", "7001", log, stop) as network,
        session(suite, "files", "--here", "watch-verdicts", KEY, "{ws}/plain.txt", verdicts_stop) as verdicts,
    ):
        require(verdicts.stdout.readline() == "watching\n", "the session did not start")
        wait_until(lambda: [e for e in log_of(log) if e[1] == "OK"], 20, "a permitted connection before the daemon goes")
        acted = now()
        act()
        wait_until(lambda: log_of(log)[-1][1] != "OK", 10, "the network of an enforcing session is closed")
        closed = next(at for at, outcome in log_of(log) if at > acted and outcome != "OK")
        time.sleep(0.5)
        outcomes = {outcome for at, outcome in log_of(log) if at > closed}
        ungoverned = subprocess.run([f"{suite.ground.names['bin']}/attack", "tcp", "10.0.1.1", "7001", "token"], capture_output=True, text=True, check=False)
        undo()
        wait_until(lambda: log_of(log)[-1][1] == "OK", 20, "the network opens again when the daemon is back")
        raise_flag(stop)
        raise_flag(verdicts_stop)
        status, said = finish(verdicts)
        finish(network)
    require(closed - acted <= CLOSED_WITHIN_MS, f"the network stayed open for {closed - acted} ms")
    require(outcomes == {"EPERM"}, f"a closed network answers {outcomes} instead of EPERM")
    require(ungoverned.returncode == 0, f"an ungoverned process was denied the network: {ungoverned.stderr}")
    require(status == 0, f"file rules changed without the daemon: {said}")
    return f"closed after {closed - acted} ms; file rules: {said}"


def resident(suite, megabytes):
    """In kB, when what the start took has been given back: once it is under that, or after a while."""
    settled = time.monotonic() + 10
    time.sleep(2)
    while True:
        with open(f"/proc/{suite.daemon.pid}/status") as lines:
            found = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "VmHWM", "Rss"))}
        if found["VmRSS"] < megabytes * 1024 or time.monotonic() > settled:
            return found
        time.sleep(0.5)


@sequence("memory", "the idle daemon stays under 60 MB, under 75 MB with all the events that it keeps in memory, and under 120 MB with the shipped rules", once=True)
def memory(suite):
    state, aside = pathlib.Path(STATE), pathlib.Path(f"{STATE}-aside")
    suite.daemon.stop()
    state.rename(aside)
    try:
        suite.daemon.start()
        new = resident(suite, 60)
        require(new["VmRSS"] < 60 * 1024, f"kB resident with nothing recorded: {new}")
        suite.daemon.stop()
    finally:
        suite.daemon.kill()
        shutil.rmtree(state, ignore_errors=True)
        aside.rename(state)
        suite.daemon.start()
    command = f"for i in $(seq 2500); do : < {suite.ground.names['home']}/.ssh/id_ed25519; done 2>/dev/null; true"
    got = lictor(suite, "run", "--agent", "files", "--quiet", "--", "/bin/bash", "-c", command)
    require(got.returncode == 0, f"the session: {got.stderr}")
    busy = resident(suite, 75)
    suite.daemon.stop()
    suite.daemon.start()
    again = resident(suite, 75)
    require(max(busy["VmRSS"], again["VmRSS"]) < 75 * 1024, f"kB resident with events in memory: {busy}, and after a restart: {again}")
    with shipped_rules(suite):
        judging = resident(suite, 120)
    require(judging["VmRSS"] < 120 * 1024, f"kB resident with all shipped rules in force: {judging}")
    return f"{new['VmRSS']} kB, {busy['VmRSS']} kB after 2,500 denials, {again['VmRSS']} kB after a restart, {judging['VmRSS']} kB with the shipped rules"


@sequence("second", "a second daemon on the same pins is refused, and takes nothing from the first or from its sessions", once=True)
def second(suite):
    config = suite.work / "second.yaml"
    apart = {"state": suite.work / "second", "control": suite.work / "second.sock", "rules": suite.work / "second.d", "policy": suite.work / "second-policy.yaml"}
    document = json.loads(suite.daemon.policy_file.read_text())
    del document["agents"]["files"]["files"]["deny"]  # what it would bring into force
    apart["policy"].write_text(json.dumps(document))
    config.write_text("".join(f"{name}: {path}\n" for name, path in apart.items()) + f"pins: {PINS}\n")
    flag = stop_flag(suite, "second")
    with session(suite, "files", "--here", "watch-verdicts", KEY, "{ws}/plain.txt", flag) as load:
        require(load.stdout.readline() == "watching\n", "the session did not start")
        got = subprocess.run([suite.daemon.program, "--config", str(config)], capture_output=True, text=True, check=False, timeout=60)
        require(got.returncode != 0 and "another lictord" in got.stderr, f"status {got.returncode}: {got.stderr}")
        require(suite.daemon.enforces(), "the first one does not enforce any more")
        require(governed(suite, "files", "read", KEY).returncode == 1, "a new session reads a denied file")
        raise_flag(flag)
        status, said = finish(load)
    require(status == 0, said)
    return said


@sequence("kill", "kill -9 of the daemon closes the network of sessions, and nothing else", 113)
def kill(suite):
    def act():
        suite.daemon.signal(9)
        suite.daemon.process.wait()

    return network_under(suite, "kill", act, lambda: suite.daemon.start())


@sequence("stop", "a stopped daemon closes the network of sessions, and nothing else", 114)
def stop(suite):
    return network_under(suite, "stop", lambda: signal_daemon(suite, "SIGSTOP"), lambda: signal_daemon(suite, "SIGCONT"))


@sequence("restart", "restarts under load: no denied open succeeds, no permitted one fails", 113, 136)
def restart(suite):
    flag, rounds = stop_flag(suite, "restart"), times(suite, 5, 2)
    with session(suite, "files", "--here", "watch-verdicts", KEY, "{ws}/plain.txt", flag) as load:
        require(load.stdout.readline() == "watching\n", "the session did not start")
        for round_ in range(rounds):
            if round_ % 2:
                suite.daemon.kill()
            else:
                suite.daemon.stop()
            if load.poll() is not None:
                raise Failure(f"the session ended at restart {round_}: {finish(load)}")
            suite.daemon.start()
        require(governed(suite, "files", "read", KEY).returncode == 1, "a session started after the restarts reads a denied file")
        raise_flag(flag)
        status, said = finish(load)
    require(status == 0, said)
    return f"{rounds} restarts; {said}"


@sequence("reload", "policy reloads under load: no denied open succeeds, no permitted one fails", 135)
def reload(suite):
    policy = suite.daemon.policy_file
    original = policy.read_text()
    try:
        return reload_under_load(suite, policy, json.loads(original))
    finally:
        policy.write_text(original)
        signal_daemon(suite, "SIGHUP")


def reload_under_load(suite, policy, document):
    flag, rounds, denied = stop_flag(suite, "reload"), times(suite, 1000, 300), document["agents"]["files"]["files"]["deny"]
    with session(suite, "files", "--here", "watch-verdicts", KEY, "{ws}/plain.txt", flag, "300") as load:
        require(load.stdout.readline() == "watching\n", "the session did not start")
        for number in range(rounds):
            # Written beside it and renamed, as editors and configuration tools do.
            fresh = policy.with_suffix(".new")
            fresh.write_text(json.dumps({**document, "agents": {**document["agents"], f"agent-{number}": {"mode": "enforce"}}}, indent=1))
            os.rename(fresh, policy)
            signal_daemon(suite, "SIGHUP")
            time.sleep(0.01)
            if load.poll() is not None:
                raise Failure(f"the session ended at reload {number}: {finish(load)}")
        # The last one must be in force, or those before proved nothing.
        denied.append(suite.ground.names["ws"] + "/main.c")
        policy.write_text(json.dumps(document, indent=1))
        signal_daemon(suite, "SIGHUP")
        wait_until(lambda: governed(suite, "files", "read", "{ws}/main.c").returncode == 1, 60, "the last reload denies main.c to a new session")
        raise_flag(flag)
        status, said = finish(load)
    require(status == 0, said)
    return f"{rounds} reloads; {said}"


@sequence("bad-reload", "a policy that does not load never replaces the one that works", 135, once=True)
def bad_reload(suite):
    policy = suite.daemon.policy_file
    original = policy.read_text()
    try:
        for text in ("version: 1\nagents: [", "", "version: 1\nagents: {files: {nonsense: 1}}", "\0\xff", original.replace('"version": 1', '"version": 99')):
            policy.write_text(text)
            signal_daemon(suite, "SIGHUP")
            time.sleep(0.3)
            denied = governed(suite, "files", "read", KEY)
            require(denied.returncode == 1, f"with the policy {text[:40]!r} a denied file is not refused: status {denied.returncode}: {denied.stderr}")
            permitted = governed(suite, "files", "read", "{ws}/plain.txt")
            require(permitted.returncode == 0, f"with the policy {text[:40]!r} a permitted file is refused: {permitted.stderr}")
    finally:
        policy.write_text(original)
        signal_daemon(suite, "SIGHUP")
    wait_until(suite.daemon.answers, 10, "the daemon answers")
    return "5 broken policies"


@sequence("fork-storm", "every process of a fork storm is governed", 132)
def fork_storm(suite):
    result = governed(suite, "files", "--here", "fork-storm", KEY, "2000")
    require(result.returncode == 1, f"status {result.returncode}: {result.stderr}")
    return "2000 processes"


# Beside each other and preempting each other: a kernel that leaves out a program's run does so here.
EXEC_STORM = "for k in 1 2 3 4 5 6; do (i=0; while [ $i -lt {each} ]; do /bin/true; i=$((i + 1)); done) & done; wait; : > {over}; cat {ws}/plain.txt; cat {key}"


@sequence("exec-storm", "in a storm of executions none is left out, the session lasts as long as its processes, and ends with them", 132)
def exec_storm(suite):
    names, each, events = suite.ground.names, 40, suite.work / "exec-storm.jsonl"
    over = pathlib.Path(names["tmp"], "storm-over")
    script = EXEC_STORM.format(each=each, ws=names["ws"], key=KEY.format_map(names), over=over)
    process = subprocess.Popen([suite.daemon.command, "run", "--agent", "files", "--quiet", "--events", str(events), "--", "/bin/sh", "-c", script],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=names["ws"], env=environment(suite))  # fmt: skip
    listed = lambda: any(s["agent"] == "files" for s in json.loads(lictor(suite, "ps", "--json").stdout))  # noqa: E731
    wait_until(listed, 30, "the session is listed")
    while process.poll() is None and not over.exists():
        there = listed()
        require(there or over.exists(), "the session ended before its processes")
    out, err = process.communicate(timeout=30)
    require(out == "nothing secret\n", f"what is permitted, after the storm: {out!r}, {err[-300:]}")
    require("Operation not permitted" in err, f"what is denied, after the storm: {err[-300:]}")
    wait_until(lambda: not listed(), 10, "the session has ended with its last process")
    recorded = [e for e in events_in(events) if e["kind"] == "exec" and e["process"]["cmdline"] == "/bin/true"]
    lost = sum(e["lost"]["count"] for e in events_in(events) if e["kind"] == "lost")
    require(len(recorded) + lost >= 6 * each, f"{len(recorded)} of {6 * each} executions are recorded, {lost} events counted as lost")
    return f"{len(recorded)} executions recorded, {lost} events counted as lost"


# Killed at each moment of an execution. The kernel, which cannot read a file for a dying process, takes the ELF file for
# one of an unknown format and asks for a module.
KILLED_EXECUTING = """
import os, signal, time
for i in range({times}):
    child = os.fork()
    if not child:
        os.execv("/bin/true", ["/bin/true"])
    until = time.perf_counter_ns() + i % 110 * 50_000
    while time.perf_counter_ns() < until:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@sequence("killed-executing", "who is killed while it executes a program did not ask for a kernel module")
def killed_executing(suite):
    times, events = 440, suite.work / "killed-executing.jsonl"
    result = lictor(suite, "run", "--agent", "files", "--quiet", "--events", str(events), "--", "/usr/bin/python3", "-c", KILLED_EXECUTING.format(times=times))
    require(result.returncode == 0, f"status {result.returncode}: {result.stderr[-300:]}")
    recorded = events_in(events)
    denied = [e for e in recorded if e.get("verdict", {}).get("action") == "deny"]
    require(not denied, f"{len(denied)} denials, the first: {denied[:1]}")
    began = sum(e["kind"] == "exec" and e["process"]["cmdline"] == "/bin/true" for e in recorded)
    require(0 < began < times, f"{began} of {times} were executed before they were killed: it must be some and not all")
    return f"{began} of {times} were executed before they were killed"


# The thread becomes the first of its process; the process's number is its own then, and its old one free.
THREAD_EXECUTES = """
import os, threading
def execute():
    print(os.getpid(), threading.get_native_id(), flush=True)
    os.execv("/bin/sh", ["/bin/sh", "-c", "echo renamed > /proc/self/comm; echo status $?; read line; exit 7"])
threading.Thread(target=execute).start()
threading.Event().wait()
"""


@sequence("thread-exec", "a thread that executes takes over its process: that stays itself, ends once, and leaves no number behind", 65)
def thread_exec(suite):
    events = suite.work / "thread-exec.jsonl"
    process = subprocess.Popen([suite.daemon.command, "run", "--agent", "upgraded", "--quiet", "--events", str(events), "--", "/usr/bin/python3", "-c", THREAD_EXECUTES],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=suite.ground.names["ws"], env=environment(suite))  # fmt: skip
    try:
        pid, number = map(int, process.stdout.readline().split())
        said = process.stdout.readline()
        require(said == "status 0\n", f"the process may not write what is its own below /proc: {said}{[e for e in events_in(events) if e.get('verdict', {}).get('action') == 'deny']}")
        require(read_as(number, KEY.format_map(suite.ground.names)), f"an ungoverned process with the number {number} was denied")
    finally:
        out, err = process.communicate("\n", timeout=30)
    require(process.returncode == 7, f"status {process.returncode}: {out}{err[-300:]}")
    ends = [e["process_event"] for e in events_in(events) if e.get("process", {}).get("pid") == pid and e.get("process_event", {}).get("op") == "exit"]
    require([end.get("code") for end in ends] == [7], f"its end is told as {ends}")
    return f"process {pid}, thread {number}"


def read_as(number, path):
    """Whether a process of this number, which nothing governs, can read the file."""
    for _ in range(50):
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))
        child = os.fork()
        if not child:
            try:
                os._exit(0 if pathlib.Path(path).read_bytes() else 1)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        if child == number:
            return status == 0
    raise Untried(f"no process got the number {number}")


@sequence("sparse", "while the content of an enormous sparse file is hashed, only who executes it waits", 133)
def sparse(suite):
    path = f"{suite.ground.names['ws']}/sparse"
    with open(path, "wb") as file:
        os.truncate(file.fileno(), 2 << 30)
    os.chmod(path, 0o755)
    with session(suite, "exec", "run", path) as hashing:
        time.sleep(2)
        if hashing.poll() is not None:
            raise Untried(f"this machine hashes 2 GiB too quickly to see anyone wait, or not at all: {finish(hashing)}")
        started = now()
        other = governed(suite, "exec", "run", "true")
        took = now() - started
        require(other.returncode == 0, f"another session: {other.stderr}")
        require(suite.daemon.answers(), "the daemon does not answer")
        require(hashing.poll() is None, f"the other session waited for the hash: it took {took} ms")
        hashing.kill()
        for pid in processes(lambda name, arguments: path in arguments):
            os.kill(pid, 9)
    wait_until(lambda: not processes(lambda name, arguments: path in arguments), 120, "what hashed the file ends")
    os.unlink(path)
    return f"another session ran a program in {took} ms meanwhile"


@sequence("flood", "a flood of events hides nothing: every denial holds and is recorded or counted as lost", 79, 131, once=True)
def flood(suite):
    count, path = 50000, suite.work / "flood.jsonl"
    result = governed(suite, "files", "--here", "flood", KEY, str(count), options=("--events", str(path)))
    require(result.returncode == 1, f"status {result.returncode}: {result.stderr}")
    events = events_in(path)
    denied = sum(e.get("verdict", {}).get("action") == "deny" for e in events)
    lost = sum(e["lost"]["count"] for e in events if e["kind"] == "lost")
    require(denied > 0, "no denial was recorded at all")
    require(denied + lost >= count, f"{count} denials: {denied} recorded and {lost} counted as lost, {count - denied - lost} are hidden")
    return f"{denied} recorded, {lost} counted as lost"


@sequence("ungoverned", "with the daemon running, ungoverned processes are denied nothing")
def ungoverned(suite):
    from suite import CASES

    wanted = ("read-plain", "write-hook", "exec-denied", "exec-memfd", "exec-loader", "net-tcp", "net-udp", "net-unix", "net-raw", "net-bind-shell", "floor-ptrace",
              "floor-kill", "floor-mount", "floor-bpf-map", "floor-perf", "floor-userns", "floor-cgroup-move", "floor-sysctl", "floor-key")  # fmt: skip
    refused = []
    for case in (c for c in CASES if c.id in wanted):
        verdict, detail = suite.run(case, governed=False)
        if verdict == "failed":
            refused.append(f"{case.id}: {detail}")
    require(not refused, "; ".join(refused))
    return f"{len(wanted)} actions"


@sequence("ps", "a session is listed while any of its processes lives, and then no more", 63)
def ps(suite):
    names = suite.ground.names

    def listed():
        result = lictor(suite, "ps", "--json")
        require(result.returncode == 0, f"lictor ps: {result.stderr}")
        json.loads(result.stdout)
        return '"anonymous"' in result.stdout

    require(not listed(), "a session of the agent is listed before it started")
    # The command itself ends at once; an orphan of it lives on.
    result = governed(suite, "anonymous", "run", "sh", "-c", f"setsid {names['bin']}/attack sleep 3 >/dev/null 2>&1 &")
    require(result.returncode == 0, result.stderr)
    require(listed(), "the session is gone although an orphan of it lives")
    wait_until(lambda: not listed(), 15, "the session is gone after its last process ended")
    return "listed until its orphan ended"


@sequence("control", "a governed session can neither talk to the daemon nor start another session", 130)
def control(suite):
    names, daemon = suite.ground.names, suite.daemon
    for agent in ("open", "files", "anonymous"):
        inner = governed(suite, agent, "run", daemon.command, "run", "--agent", "anonymous", "--", f"{names['bin']}/attack", "create", names["mark"], "x")
        require(inner.returncode != 0 and not os.path.exists(names["mark"]), f"agent {agent} started a session: {inner.stderr}")
        told = governed(suite, agent, "run", daemon.command, "status")
        require(told.returncode != 0, f"agent {agent} talked to the daemon: {told.stdout}")
    require(suite.daemon.answers(), "the daemon no longer answers")
    return "3 agents"


@sequence("status", "status, events and explain say what was denied and why")
def status(suite):
    path = suite.work / "status.jsonl"
    governed(suite, "files", "read", KEY, options=("--events", str(path)))
    denial = next((e for e in events_in(path) if e.get("verdict", {}).get("action") == "deny"), None)
    require(denial, "the denial is not in the events file")
    for field in ("id", "time", "session", "agent", "process", "file", "verdict"):
        require(field in denial, f"the event has no `{field}`: {denial}")
    require(denial["verdict"].get("source", "").startswith(f"{suite.daemon.policy_file}:"), f"the verdict names no line of the policy: {denial['verdict']}")
    explained = lictor(suite, "explain", denial["id"])
    require(explained.returncode == 0 and ".ssh" in explained.stdout, f"explain says {explained.stdout} {explained.stderr}")
    listed = lictor(suite, "events", "--denied", "--json", "--limit", "1000")
    require(any(json.loads(line)["id"] == denial["id"] for line in listed.stdout.splitlines()), "lictor events --denied does not list it")
    told = lictor(suite, "status", "--json")
    require(told.returncode == 0 and "ENFORCING" in told.stdout.upper(), f"status says {told.stdout} {told.stderr}")
    return denial["verdict"].get("rule", "")


@sequence("monitor", "monitor mode records what it would have denied, and denies nothing")
def monitor(suite):
    path = suite.work / "monitor.jsonl"
    result = governed(suite, "watched", "read", KEY, options=("--events", str(path)))
    require(result.returncode == 0, f"a monitored session was denied: {result.stderr}")
    denials = [e for e in events_in(path) if e.get("verdict", {}).get("action") == "deny" and e["kind"] == "file"]
    require(denials, "nothing was recorded")
    require(all(e["verdict"].get("enforced") is False for e in denials), f"a denial that did not take place is not marked so: {denials[0]}")
    return f"{len(denials)} recorded"


@sequence("passed-fds", "descriptors that the caller had open are not passed into the session", 91)
def passed_descriptors(suite):
    secret = os.open(KEY.format_map(suite.ground.names), os.O_RDONLY)
    try:
        result = governed(suite, "files", "--here", "descriptors", pass_fds=(secret,))
    finally:
        os.close(secret)
    require(result.returncode == 0, result.stderr)
    require(result.stdout.strip() == "", f"descriptors {result.stdout.strip()} are open in the session")
    return "none"


@sequence("later-alias", "a protected file that is replaced during the session stays protected", 14, 138)
def later_alias(suite):
    """An ungoverned editor saves the key anew: the session must not read the new file, nor reach it by a link made from outside."""
    key, alias = pathlib.Path(KEY.format_map(suite.ground.names)), f"{suite.ground.names['ws']}/later"
    flag = stop_flag(suite, "later")
    with session(suite, "files", "--here", "watch-verdicts", str(key), "{ws}/plain.txt", flag, "300") as load:
        require(load.stdout.readline() == "watching\n", "the session did not start")
        for number in range(200):
            fresh = key.with_suffix(".new")
            fresh.write_text(f"{suite.ground.secret}\n{number}\n")
            os.rename(fresh, key)
        raise_flag(flag)
        status_, said = finish(load)
    require(status_ == 0, said)
    os.link(key, alias)
    result = governed(suite, "files", "read", alias)
    require(result.returncode == 1, f"the new file is read by a hard link: status {result.returncode}")
    return said
