# SPDX-License-Identifier: Apache-2.0
"""The process tree of the whole host, governed or not."""

import contextlib
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import time

from seq_told import control_group
from sequence import environment, finish, governed, lictor, raise_flag, require, sequence, session, signal_daemon, stop_flag, wait_until

KEY = "{home}/.ssh/id_ed25519"
# Two generations that end at once, and one that stays.
ORPHAN = "/bin/sh -c '/bin/sh -c \"exec /bin/sleep {seconds} & \" second; true' first"
# With what makes the longest records.
PROCESSES = """
import os
for _ in range({count}):
    os.waitpid(os.posix_spawn("/bin/true", ["true", "{argument}"], {{}}), 0)
"""


def everybody(suite, *options):
    got = lictor(suite, "ps", "--all", "--json", *options)
    require(got.returncode == 0, f"ps --all: {got.stderr}")
    return json.loads(got.stdout)


def living(suite, *options):
    return {process["pid"]: process for process in everybody(suite, *options) if not process.get("ended")}


def ticks_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def in_proc():
    """Number, start in ticks, user, program and command line of every process that is not about to end."""
    found = {}
    for folder in pathlib.Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
            program = os.readlink(folder / "exe") if line else None
            if status["State"][0] not in "ZX":
                found[int(folder.name)] = (ticks_of(folder.name), int(status["Uid"].split()[0]), program, line.rstrip("\0").replace("\0", " "))
    return found


def by_line(processes, line):
    return [process for process in processes if process.get("cmdline") == line]


def chain(processes, process):
    """Who created it, and who created that one."""
    known, above = {(p["pid"], p["start_time"]): p for p in processes}, []
    while "parent" in process and len(above) < 64:
        process = known.get((process["parent"]["pid"], process["parent"]["start_time"]))
        if process is None:
            break
        above.append(process)
    return above


def start(suite, text):
    return subprocess.Popen(["/bin/sh", "-c", text], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True, env=environment(suite))


def end(line):
    subprocess.run(["/usr/bin/pkill", "-KILL", "-x", "-f", line], check=False)


def same_as_proc(suite):
    """The tree's living are those of /proc, and what it says of them is what /proc says."""
    for _ in range(20):
        before, tree, after = in_proc(), living(suite), in_proc()
        steady = {pid: facts for pid, facts in before.items() if after.get(pid) == facts}
        wrong = [(pid, facts, tree.get(pid)) for pid, facts in steady.items() if not agrees(tree.get(pid), facts)]
        # The client that asked is in neither reading.
        extra = [process for pid, process in tree.items() if pid not in before and pid not in after and process.get("name") != "lictor"]
        if not wrong and not extra:
            return len(steady)
        time.sleep(0.5)
    raise AssertionError(f"of /proc: {wrong[:3]}; nobody: {extra[:3]}")


def agrees(process, facts):
    if process is None:
        return False
    ticks, uid, program, line = facts
    same = process["start_time"] // 10_000_000 == ticks and process["uid"] == uid
    return same and (program is None or (process.get("exe"), process.get("cmdline")) == (program, line) or "\\" in process.get("cmdline", ""))


@sequence("host-tree", "every process of the host is in the tree, governed or not, with who created it also when that one has ended")
def host_tree(suite):
    count = same_as_proc(suite)
    starter = start(suite, ORPHAN.format(seconds=3111))
    try:
        starter.wait(timeout=30)
        processes = everybody(suite, "--hashes")
        orphan = by_line(processes, "/bin/sleep 3111")
        require(len(orphan) == 1 and not orphan[0].get("ended"), f"the process that nobody waits for: {orphan}")
        above = [(p.get("cmdline", "").split(" ")[-1], p.get("ended", False)) for p in chain(processes, orphan[0])]
        require(above[0] == ("second", True) and above[1] == ("first", True), f"who created it: {above}")
        content = hashlib.sha256(pathlib.Path(orphan[0]["exe"]).read_bytes()).hexdigest()
        require(orphan[0].get("sha256") == content, f"the hash of its program: {orphan[0]}")
        require(orphan[0].get("user") == "root" and "session" not in orphan[0], f"whose it is: {orphan[0]}")
        flag = stop_flag(suite, "host-tree")
        with session(suite, "files", "--here", "watch-verdicts", KEY, "{ws}/plain.txt", flag) as watching:
            require(watching.stdout.readline() == "watching\n", "the session did not start")
            wait_until(lambda: any(p.get("denied") for p in everybody(suite) if p.get("session")), 20, "a denial is marked")
            processes = everybody(suite)
            inside = [p for p in processes if p.get("session")]
            require(all(p["agent"] == "files" for p in inside), f"{inside}")
            require(any("lictor" in p.get("exe", "") for p in chain(processes, inside[0])), f"who started the session: {chain(processes, inside[0])}")
            shown = lictor(suite, "ps", "--all").stdout
            require(any(inside[0]["session"] in line and " denied" in line for line in shown.splitlines()), shown)
            raise_flag(flag)
            finish(watching)
        user = lictor(suite, "ps", "--all", user=65534, group=65534, extra_groups=[])
        require(user.returncode != 0 and not user.stdout, f"somebody else than root was told: {user.stdout[:200]}")
    finally:
        end("/bin/sleep 3111")
    wait_until(lambda: not by_line(living(suite).values(), "/bin/sleep 3111"), 20, "its end is told")
    subprocess.run(["/usr/bin/python3", "-c", PROCESSES.format(count=300, argument="x")], check=True)
    same_as_proc(suite)
    id_ = "0f3a9c5d7e1b2468" * 4
    with control_group(pathlib.Path(f"system.slice/docker-{id_}.scope")) as group:
        inside = start(suite, f"echo $$ > {group}/cgroup.procs; exec /bin/sleep 3112")
        try:
            wanted = {"id": id_, "runtime": "docker"}
            wait_until(lambda: [p.get("container") for p in by_line(living(suite).values(), "/bin/sleep 3112")] == [wanted], 20, "the container is named")
        finally:
            inside.kill()
            inside.wait(timeout=20)
    return f"{count} processes as in /proc"


@sequence("host-census", "what the kernel could not tell of the host's processes is found: a full ring, a daemon that was away", once=True)
def host_census(suite):
    require(not by_line(everybody(suite), "/bin/sleep 3113"), "an earlier run left its process")
    away = start(suite, "exec /bin/sleep 3113")
    during = None
    quiet = [suite.daemon.command, "run", "--agent", "files", "--quiet", "--", "/bin/sleep", "3116"]
    quiet = subprocess.Popen(quiet, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=suite.ground.names["ws"], env=environment(suite))
    try:
        wait_until(lambda: by_line(living(suite).values(), "/bin/sleep 3116"), 20, "a session that does nothing")
        session_of = by_line(living(suite).values(), "/bin/sleep 3116")[0]["session"]
        wait_until(lambda: by_line(living(suite).values(), "/bin/sleep 3113"), 20, "the process that will end")
        suite.daemon.kill()
        away.kill()
        away.wait(timeout=20)
        during = start(suite, "exec /bin/sleep 3114")
        suite.daemon.start()
        wait_until(lambda: by_line(living(suite).values(), "/bin/sleep 3114"), 20, "who started while the daemon was away")
        require(not by_line(living(suite).values(), "/bin/sleep 3113"), "who ended while the daemon was away is still shown as living")
        governed_still = by_line(living(suite).values(), "/bin/sleep 3116")
        require([p.get("session") for p in governed_still] == [session_of], f"the session that does nothing: {governed_still}")
        lost = lambda: json.loads(lictor(suite, "status", "--json").stdout)["counters"]["lost_host"]  # noqa: E731
        before, denied = lost(), governed(suite, "files", "read", KEY)
        require(denied.returncode != 0, "THROUGH: the key was read")
        signal_daemon(suite, "SIGSTOP")
        try:
            subprocess.run(["/usr/bin/python3", "-c", PROCESSES.format(count=700, argument="x" * 4090)], check=True)
            during.send_signal(signal.SIGKILL)
            during.wait(timeout=20)
            during = start(suite, "exec /bin/sleep 3115")
            time.sleep(1)
        finally:
            signal_daemon(suite, "SIGCONT")
        missed = lost() - before
        require(missed > 0, "the ring was not full: nothing is shown by this")
        wait_until(lambda: by_line(living(suite).values(), "/bin/sleep 3115"), 40, "who started while the ring was full")
        wait_until(lambda: not by_line(living(suite).values(), "/bin/sleep 3114"), 40, "who ended while the ring was full")
        count = same_as_proc(suite)
    finally:
        end("/bin/sleep 3116")
        for process in (away, during, quiet):
            if process and process.poll() is None:
                process.kill()
                process.wait(timeout=20)
    return f"{missed} not told, {count} processes as in /proc"
