# SPDX-License-Identifier: Apache-2.0
"""The daemon replaced by one of another build while sessions run."""

import contextlib
import json
import os
import subprocess
import time

from daemon import PINS
from sequence import Failure, environment, finish, governed, lictor, log_of, now, raise_flag, require, sequence, session, stop_flag, wait_until
from sessions import Session

KEY = "{home}/.ssh/id_ed25519"
# The heart beats every 500 ms and counts as stopped after 2 s: nothing may close sooner than this after its last beat.
OPEN_AT_LEAST_MS = 1400


def builds():
    return sorted(name for name in os.listdir(PINS) if os.path.isdir(f"{PINS}/{name}/links"))


def links_held(pid):
    """The links to programs in the kernel that a process keeps, by their ids: each one keeps its program attached."""
    held = set()
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as entry:
            held |= {line for line in entry if line.startswith("link_id:")}
    return held


def wait_for_own_links(suite, build):
    """Until the daemon keeps its own build's links and no others. The kernel waits for all its processors before it lets
    a program go, one after the other: seconds where these are emulated."""
    own = len(os.listdir(f"{PINS}/{build}/links"))
    require(own > 50, f"{own} links are pinned")
    wait_until(lambda: len(links_held(suite.ground.names["daemon"])) == own, 180, f"the daemon keeps its own {own} links and no others")


def status(suite):
    got = lictor(suite, "status", "--json")
    require(got.returncode == 0, f"lictor status: {got.stdout} {got.stderr}")
    return json.loads(got.stdout)


def attempts(names, log, stop):
    return ["--here", "watch-all", KEY, "{ws}/plain.txt", f"{names['bad']}/payload", "/bin/true", "10.0.1.1", "7002", "7001", log, stop]


ATTEMPTS = ("denied-open", "open", "denied-exec", "exec", "denied-connect", "connect")


def counted(said):
    """What watch-all says at its end: for each attempt how often it went through, was refused, or neither."""
    rows = [line.split() for line in said.splitlines()]
    found = {row[0]: [int(n) for n in row[1:]] for row in rows if row and row[0] in ATTEMPTS and len(row) == 4}
    require(sorted(found) == sorted(ATTEMPTS), f"the session's counts are incomplete: {said[-500:]}")
    return found


def works_bare(suite):
    """Each of the three attacks reaches its aim, and each twin works, without Lictor."""
    names = suite.ground.names
    log, stop = f"{names['tmp']}/bare.log", stop_flag(suite, "bare")
    process = subprocess.Popen([f"{names['bin']}/attack", *(a.format_map(names) for a in attempts(names, log, stop))], stdout=subprocess.PIPE, text=True,
                               env=environment(suite))  # fmt: skip
    wait_until(lambda: len(log_of(log)) > 3, 20, "the attacks without Lictor")
    raise_flag(stop)
    said, _ = process.communicate(timeout=20)
    for what, (through, refused, other) in counted(said).items():
        require(through and not refused and not other, f"without Lictor: {what} {through} {refused} {other}")


@contextlib.contextmanager
def upgraded(suite, other, hard):
    """Starts sessions under one build, replaces the daemon by the other build, and yields both sessions and the moments. The other
    build stays in charge: each that loads its programs takes its time in an emulated guest."""
    names, original = suite.ground.names, suite.daemon.program
    log, stop = f"{names['tmp']}/upgrade.log", stop_flag(suite, "upgrade")
    suite.daemon.ensure()
    # One that was started a moment ago may still be letting go of what the last sequence left.
    wait_until(lambda: len(builds()) == 1, 60, "one build's programs are in force")
    before = builds()[0]
    wait_for_own_links(suite, before)
    held = Session(suite.daemon.command, "privileged", f"{names['bin']}/attack", suite.work / "held.jsonl", names["ws"], environment(suite))
    try:
        with session(suite, "upgraded", *attempts(names, log, stop)) as load:
            require(load.stdout.readline() == "watching\n", "the session did not start")
            require(held.execute([f"{names['bin']}/attack", "nothing"], 60)[0] == 0, "the second session did not start")
            wait_until(lambda: [e for e in log_of(log) if e[1] == "OK"], 20, "a permitted connection before the daemon goes")
            gone = now()
            (suite.daemon.kill if hard else suite.daemon.stop)()
            if hard:
                time.sleep(3.5)
            suite.daemon.program = other
            suite.daemon.start()
            yield {"load": load, "held": held, "log": log, "stop": stop, "gone": gone, "back": now(), "before": before}
    except BaseException:
        held.close()
        suite.daemon.kill()
        suite.daemon.program = original
        suite.daemon.start()
        raise
    held.close()


def under_upgrade(suite, hard):
    names = suite.ground.names
    works_bare(suite)
    other = suite.daemon.other_build(suite.work / f"lictord-{'killed' if hard else 'stopped'}")
    with upgraded(suite, other, hard) as state:
        log, before = state["log"], state["before"]
        after = [b for b in builds() if b != before]
        require(len(after) == 1, f"programs in force after the upgrade: {builds()}, before: {before}")
        if state["load"].poll() is not None:
            raise Failure(f"the old session ended: {finish(state['load'])}")
        told = status(suite)
        require([o["build"] for o in told.get("older_builds", [])] == [before] and told["older_builds"][0]["sessions"] >= 2, f"status: {told}")
        listed = {s["agent"]: s for s in json.loads(lictor(suite, "ps", "--json").stdout)}
        for agent in ("upgraded", "privileged"):
            require(listed[agent].get("build") == before, f"lictor ps: {listed}")
        require(governed(suite, "files", "read", KEY).returncode == 1, "a new session reads a denied file")
        require(governed(suite, "files", "read", "{ws}/plain.txt").returncode == 0, "a new session cannot read a permitted file")
        reach_across(suite, state["held"])
        newest = Session(suite.daemon.command, "privileged", f"{names['bin']}/attack", suite.work / "newest.jsonl", names["ws"], environment(suite))
        try:
            reach_across(suite, newest)
        finally:
            newest.close()
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        time.sleep(3)  # longer than a heart may stand still
        wait_until(lambda: events_after(suite, listed["upgraded"]["id"], since), 20, "denials of the old session are recorded after the upgrade")
        event = events_after(suite, listed["upgraded"]["id"], since)[-1]
        require(event["verdict"].get("rule", "").startswith("upgraded."), f"an event of the old session names no rule: {event}")
        raise_flag(state["stop"])
        said, talk = state["load"].communicate(timeout=30)
        require(state["load"].returncode == 0, f"the old session: {talk}")
        state["held"].close()
        wait_until(lambda: builds() == after, 30, f"the programs of {before} are removed after their last session")
        wait_until(lambda: not status(suite).get("older_builds"), 10, "status no longer tells of them")
        wait_for_own_links(suite, after[0])
    return judge(log_of(log), counted(said), state, hard)


def events_after(suite, session_id, since):
    got = lictor(suite, "events", "--json", "--denied", "--session", session_id)
    require(got.returncode == 0, f"lictor events: {got.stderr}")
    return [e for line in got.stdout.splitlines() if (e := json.loads(line)).get("time", "") > since]


def reach_across(suite, held):
    """A session with every privilege reaches neither the new daemon nor either build's objects."""
    program, names = f"{suite.ground.names['bin']}/attack", suite.ground.names
    for attack in (["bpf-by-id", names["daemon"]], ["bpf-pinned", PINS], ["remove-pins", PINS], ["kill", names["daemon"], "9"], ["unix-reach", names["control"]],
                   ["write", f"{names['daemon_cgroup']}/cgroup.kill", "1"]):  # fmt: skip
        status_, out, err = held.execute([program, *attack], 60)
        require(status_ == 1, f"{' '.join(attack)}: status {status_}: {err.decode(errors='replace')}")


def judge(log, counts, state, hard):
    for what, (through, refused, other) in counts.items():
        require(not other, f"{what}: {other} answers that are neither: {counts}")
        if what.startswith("denied"):
            require(not through and refused, f"{what}: {through} got THROUGH, {refused} refused")
        elif what != "connect":
            require(through and not refused, f"{what}: {refused} permitted ones were refused, {through} went through")
    closed = [at for at, answer in log if answer == "EPERM"]
    early = [at - state["gone"] for at in closed if at < state["gone"] + OPEN_AT_LEAST_MS]
    require(not early, f"the network closed {early[:1]} ms after the daemon went")
    late = [at - state["back"] for at in closed if at > state["back"] + 1000]
    require(not late, f"the network was still closed {late[-1:]} ms after the new daemon answered")
    if hard:
        require(closed, "the network of the session stayed open although no daemon lived for 3.5 s")
    tried = {what: sum(answers) for what, answers in counts.items()}
    return f"{tried}; network closed for {max(closed) - min(closed) if closed else 0} ms"


@sequence("upgrade", "a daemon of another build takes over under load: old sessions keep their programs, new ones get the new", 113, 136, once=True)
def upgrade(suite):
    return under_upgrade(suite, hard=False)


@sequence("upgrade-killed", "the same after kill -9, with three seconds without a daemon", 113, 136, once=True)
def upgrade_killed(suite):
    return under_upgrade(suite, hard=True)
