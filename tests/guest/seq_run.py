# SPDX-License-Identifier: Apache-2.0
"""The contract of `lictor run`: what the caller and the command see, with a daemon and without."""

import contextlib
import grp
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time

from daemon import CONTROL, PINS
from sequence import daemons, environment, events_in, governed, lictor, processes, require, sequence, wait_until

KEY = "{home}/.ssh/id_ed25519"


def run(suite, *command, options=("--agent", "files", "--quiet"), **more):
    return lictor(suite, "run", *options, "--", *command, **more)


@sequence("exit-status", "the exit status is the command's own, 128+N, 126 or 127", once=True)
def exit_status(suite):
    program, plain = suite.ground.names["bin"] + "/attack", suite.ground.names["ws"] + "/plain.txt"
    for command, expected in (
        ((program, "--here", "end-with", "0"), 0),
        ((program, "--here", "end-with", "7"), 7),
        ((program, "--here", "end-with", "125"), 125),
        ((program, "--here", "end-by-signal", "15"), 143),
        ((program, "--here", "end-by-signal", "9"), 137),
        (("no-such-program-anywhere",), 127),
        (("/no/such/program",), 127),
        ((plain,), 126),
    ):
        got = run(suite, *command)
        require(got.returncode == expected, f"`{' '.join(command)}` ends with {got.returncode} instead of {expected}: {got.stderr}")
    denied = run(suite, suite.ground.names["bad"] + "/payload", options=("--agent", "exec", "--quiet"))
    require(denied.returncode == 126, f"a command that the policy denies ends with {denied.returncode} instead of 126: {denied.stderr}")
    return "9 commands"


@sequence("streams", "standard streams, arguments, environment and working directory are the command's own", once=True)
def streams(suite):
    got = run(suite, "sh", "-c", 'cat; echo "$PWD $1 $EXTRA"; echo talk >&2; exit 3', "sh", "a b", stdin=None, input="given\n", env={**environment(suite), "EXTRA": "e x"})
    require(got.returncode == 3, f"status {got.returncode}: {got.stderr}")
    require(got.stdout == f"given\n{suite.ground.names['ws']} a b e x\n", f"stdout is {got.stdout!r}")
    require(got.stderr == "talk\n", f"stderr is {got.stderr!r}")
    return "as given"


@sequence("summary", "one line at the end says how many actions were denied", once=True)
def summary(suite):
    program = suite.ground.names["bin"] + "/attack"
    got = run(suite, program, "read", KEY.format_map(suite.ground.names), options=("--agent", "files"))
    lines = [line for line in got.stderr.splitlines() if "denied" in line]
    require(len(lines) == 1 and any(c.isdigit() for c in lines[0]), f"stderr is {got.stderr!r}")
    return lines[0]


@sequence("profile", "an agent's own command is governed by its built-in profile, and one line says so", once=True)
def profile(suite):
    directory = f"{suite.ground.names['ws']}/agents"
    os.makedirs(directory)
    claude = pathlib.Path(directory, "claude")
    claude.write_text("#!/bin/sh\ncat /root/.codex/auth.json\n")
    claude.chmod(0o755)
    os.makedirs("/root/.codex", exist_ok=True)
    token = pathlib.Path("/root/.codex/auth.json")
    token.write_text("another agent's token\n")
    try:
        got = run(suite, str(claude), options=())
        chosen = [line for line in got.stderr.splitlines() if "claude-code" in line]
        require(got.returncode == 1 and "token" not in got.stdout, f"the profile does not hold: {got.returncode} {got.stdout} {got.stderr}")
        require(len(chosen) == 1 and "built-in" in chosen[0] and "--agent" in chosen[0], f"stderr is {got.stderr!r}")
        quiet = run(suite, str(claude), options=("--quiet",))
        require("claude-code" not in quiet.stderr, f"with --quiet stderr is {quiet.stderr!r}")
        asked = run(suite, str(claude), options=("--agent", "open"))
        require(asked.returncode == 0 and "claude-code" not in asked.stderr, f"--agent was not followed: {asked.stderr}")
    finally:
        token.unlink()
        os.rmdir("/root/.codex")
    return chosen[0]


@sequence("signals", "signals to `lictor run` reach the command")
def signals(suite):
    script = 'trap "echo got TERM; exit 9" TERM; echo ready; while :; do sleep 0.1; done'
    process = subprocess.Popen([suite.daemon.command, "run", "--agent", "anonymous", "--quiet", "--", "sh", "-c", script], stdout=subprocess.PIPE,
                               text=True, env=environment(suite))  # fmt: skip
    try:
        require(process.stdout.readline() == "ready\n", "the command did not start")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    require(output == "got TERM\n" and process.returncode == 9, f"status {process.returncode}, output {output!r}")
    return "SIGTERM"


@sequence("user", "--user runs the command as that user, with that user's groups")
def user(suite):
    record = pwd.getpwnam("dev")
    got = run(suite, "sh", "-c", "id -u; id -g; id -G; echo $HOME", options=("--agent", "anonymous", "--quiet", "--user", "dev"))
    wanted = f"{record.pw_uid}\n{record.pw_gid}\n"
    require(got.returncode == 0 and got.stdout.startswith(wanted), f"status {got.returncode}: {got.stdout} {got.stderr}")
    groups = {int(word) for word in got.stdout.splitlines()[2].split()}
    require(0 not in groups, f"root's groups are kept: {groups}")
    require(got.stdout.splitlines()[3] == record.pw_dir, f"HOME is {got.stdout.splitlines()[3]}")
    unknown = run(suite, "true", options=("--agent", "anonymous", "--user", "nobody-of-this-name"))
    require(unknown.returncode == 125, f"an unknown user ends with {unknown.returncode}")
    return got.stdout.replace("\n", " ")


@sequence("bad-policy", "with a policy that does not load `run` ends with 125, says where, and starts nothing", once=True)
def bad_policy(suite):
    mark, file = pathlib.Path(suite.ground.names["mark"]), suite.work / "bad.yaml"
    deep = "[" * 5000 + "]" * 5000
    for text, place in (
        ("version: 1\nagents: {a: {mode: enforce, nonsense: 1}}\n", ":2:"),
        ("version: 1\nagents:\n  a:\n    files:\n      read: [relative/path]\n", ":5:"),
        ("version: 1\nagents:\n  a:\n    files:\n      read: ['']\n", ":5:"),
        ("version: 1\nagents:\n  a:\n    mode: perhaps\n", ":4:"),
        ("version: 1\nagents:\n  a:\n    network:\n      connect: ['10.0.0.1:99999']\n", ":5:"),
        ("version: 1\nagents:\n  a:\n    network:\n      connect: ['api.example.com:443']\n", ":5:"),
        ("version: 1\nagents:\n  a: {exec: {deny: ['sha256:123']}}\n", ":3:"),
        ("version: 2\nagents: {}\n", ":1:"),
        ("agents: [\n", ":"),
        (f"version: 1\nagents: {deep}\n", ":"),
        ("\x00", ":"),
        ("", ":"),
    ):
        file.write_text(text)
        got = run(suite, "touch", mark, options=("--policy", file, "--agent", "a"))
        require(got.returncode == 125, f"{text[:60]!r}: status {got.returncode}: {got.stderr}")
        require(not mark.exists(), f"{text[:60]!r}: the command was started")
        require(f"{file}{place}" in got.stderr, f"{text[:60]!r}: no place in {got.stderr!r}")
        checked = lictor(suite, "policy", "check", file)
        require(checked.returncode == 1 and f"{file}{place}" in checked.stdout + checked.stderr, f"policy check of {text[:60]!r}: {checked.stdout}")
    for options in (("--policy", "/no/such/file"), ("--policy", "/"), ("--agent", "no-such-agent"), ("--nonsense",)):
        got = run(suite, "touch", mark, options=options)
        require(got.returncode == 125 and not mark.exists(), f"{options}: status {got.returncode}: {got.stderr}")
    return "16 ways"


@sequence("own-policy", "root may govern one session by a policy file of its own")
def own_policy(suite):
    file = suite.work / "own.yaml"
    file.write_text("version: 1\nagents:\n  mine:\n    files:\n      deny: ['{ws}/plain.txt']\n".format_map(suite.ground.names))
    options = ("--policy", str(file))
    denied = governed(suite, "mine", "read", "{ws}/plain.txt", options=options)
    require(denied.returncode == 1, f"status {denied.returncode}: {denied.stderr}")
    free = governed(suite, "mine", "read", KEY, options=options)
    require(free.returncode == 0, f"the daemon's policy was mixed in: {free.stderr}")
    still = governed(suite, "files", "read", KEY)
    require(still.returncode == 1, "the daemon's own policy no longer holds")
    return "the session's own"


def as_user(name, *groups):
    record = pwd.getpwnam(name)
    return {"user": record.pw_uid, "group": record.pw_gid, "extra_groups": [grp.getgrnam(g).gr_gid for g in groups]}


@sequence("group", "members of the group `lictor` may start sessions, others may not; --policy is for root", 130)
def group(suite):
    if "lictor" not in {entry.gr_name for entry in grp.getgrall()}:
        subprocess.run(["groupadd", "lictor"], check=True)
        suite.daemon.stop()
        suite.daemon.start()
    program = suite.ground.names["bin"] + "/attack"
    plain = suite.ground.names["ws"] + "/plain.txt"
    member = run(suite, program, "read", plain, **as_user("dev", "lictor"))
    require(member.returncode == 0, f"a member of the group: status {member.returncode}: {member.stderr}")
    denied = run(suite, program, "read", f"{suite.ground.names['ws']}/keep.txt", **as_user("dev", "lictor"))
    require(denied.returncode == 1, f"a member's session is not governed: status {denied.returncode}")
    chosen = run(suite, program, "read", plain, options=("--policy", suite.daemon.policy_file, "--agent", "open"), **as_user("dev", "lictor"))
    require(chosen.returncode == 125, f"a member chose a policy of its own: status {chosen.returncode}: {chosen.stderr}")
    root = run(suite, "id", "-u", options=("--agent", "open", "--quiet", "--user", "root"), **as_user("dev", "lictor"))
    require(root.returncode == 125 and "0" != root.stdout.strip(), f"a member became root: {root.stdout} {root.stderr}")
    stranger = run(suite, program, "nothing", **as_user("dev"))
    require(stranger.returncode == 125, f"somebody outside the group: status {stranger.returncode}: {stranger.stderr}")
    return "member, chosen policy, chosen user, stranger"


@contextlib.contextmanager
def no_daemon(suite):
    suite.daemon.stop()
    wait_until(lambda: not suite.daemon.answers(), 10, "the control socket is closed")
    try:
        yield
    finally:
        suite.daemon.start()


def require_no_trace():
    # The kernel takes its time to let go of the programs of one that has ended.
    wait_until(lambda: not daemons(), 60, "no daemon is left")
    for directory in ("/sys/fs/bpf", "/run"):
        left = [name for name in os.listdir(directory) if name.startswith("lictor")]
        left = [name for name in left if f"{directory}/{name}" != os.path.dirname(CONTROL)]
        require(not left, f"{left} is left in {directory}")
    require(not os.path.exists(CONTROL), f"{CONTROL} is left")


@sequence("private", "without a daemon `run` enforces from the first instruction and leaves nothing behind")
def private(suite):
    mark = suite.ground.names["mark"]
    with no_daemon(suite):
        # A daemon that ended leaves its pins for the next one: what is counted here is what the private one adds.
        shutil.rmtree(PINS, ignore_errors=True)
        options = ("--policy", str(suite.daemon.policy_file))
        events = suite.work / "private.jsonl"
        attack, names = f"{suite.ground.names['bin']}/attack", suite.ground.names
        both = f"{attack} --here read {KEY.format_map(names)}; denied=$?; {attack} read {names['ws']}/plain.txt >&2; echo $denied $?"
        got = lictor(suite, "run", "--agent", "files", "--quiet", *options, "--events", events, "--", "/bin/sh", "-c", both)
        require(got.stdout.split() == ["1", "0"], f"a denied and a permitted file: {got.stdout} {got.stderr}")
        require(any(e.get("verdict", {}).get("action") == "deny" for e in events_in(events)), "the denial is not recorded")
        require_no_trace()
        stranger = run(suite, "touch", mark, options=("--policy", suite.daemon.policy_file, "--agent", "open"), **as_user("dev"))
        require(stranger.returncode == 125 and not os.path.exists(mark), f"an ordinary user without a daemon: status {stranger.returncode}")
        require_no_trace()
    return "2 sessions"


@sequence("private-killed", "a private daemon that is killed takes no rule away from the session that it started", 113, once=True)
def private_killed(suite):
    with no_daemon(suite):
        shutil.rmtree(PINS, ignore_errors=True)
        stop = f"{suite.ground.names['tmp']}/private.stop"
        names = suite.ground.names
        command = [suite.daemon.command, "run", "--policy", str(suite.daemon.policy_file), "--agent", "files", "--quiet", "--",
                   f"{names['bin']}/attack", "--here", "watch-verdicts", KEY.format_map(names), f"{names['ws']}/plain.txt", stop]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment(suite))
        wait_until(lambda: daemons() and processes(lambda name, _: name == "attack"), 30, "the private daemon and the command run")
        time.sleep(1)
        for pid in daemons():
            os.kill(pid, signal.SIGKILL)
        time.sleep(3)
        pathlib.Path(stop).touch()
        _, said = process.communicate(timeout=30)
        require("broken:" not in said, said)
        shutil.rmtree(PINS, ignore_errors=True)
    return "file rules held"


def home_of_root():
    """Files that the built-in profile must protect, in the home of whoever runs the session."""
    return {"/root/.ssh/id_rsa": "k", "/root/.aws/credentials": "k", "/root/.gnupg/private": "k", "/root/.bash_history": "k", "/root/.netrc": "k",
            "/root/.config/gcloud/credentials.db": "k", "/root/.kube/config": "k", "/root/.docker/config.json": "k"}  # fmt: skip


@sequence("default", "with nothing configured the built-in profile protects secrets and what runs later, and lets work be done", 50, 73, 97, once=True)
def default_profile(suite):
    with listening("/run/docker.sock", "/run/dbus/system_bus_socket", "/run/systemd/private", "/tmp/tmux-0/default", "/tmp/nvim.root/a/nvim.1.0") as others:
        return default_profile_beside(suite, others)


@contextlib.contextmanager
def listening(*paths):
    """Stands in for daemons that would work for whoever asks."""
    sockets, folders = [], []
    for path in paths:
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path))
            folders.append(os.path.dirname(path))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(16)
        sockets.append(listener)
    try:
        yield paths
    finally:
        for listener, path in zip(sockets, paths):
            listener.close()
            os.unlink(path)
        for folder in folders:
            os.rmdir(folder)


def default_profile_beside(suite, daemons_of_others):
    secrets, ws = home_of_root(), suite.ground.names["ws"]
    created = []
    for path, text in secrets.items():
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            pathlib.Path(path).write_text(text)
            created.append(path)
    wrong = []
    with no_daemon(suite):
        shutil.rmtree(PINS, ignore_errors=True)
        attacks = [("read", path) for path in secrets] + [
            ("read", "/etc/shadow"), ("create", "/root/.bash_login", "x"), ("create", "/root/.profile.d-test/../.zshrc", "x"),
            ("create", f"{ws}/.git/hooks/pre-push", "x"), ("create", f"{ws}/.git/config", "x"), ("create", f"{ws}/.github/workflows/x.yml", "x"),
            ("create", "/etc/cron.d/x", "x"), ("create", "/etc/systemd/system/x.service", "x"), ("create", "/root/.config/autostart/x.desktop", "x"),
            ("create", f"{ws}/.vscode/tasks.json", "x"), ("create", f"{ws}/.claude/settings.json", "x"), ("create", "/usr/local/bin/x", "x"),
            ("append", "/etc/passwd", "\n"), ("tcp", "169.254.169.254", "80", "t"), ("tcp", "169.254.169.254", "53", "t"), ("udp", "169.254.169.254", "53", "t"),
            *(("unix-reach", path) for path in daemons_of_others), ("kill", suite.ground.names["victim"], "9"), ("bpf-map",), ("mount", ws),
        ]  # fmt: skip
        os.makedirs("/root/.profile.d-test", exist_ok=True)
        for directory in (".github/workflows", ".vscode", ".claude"):
            os.makedirs(f"{ws}/{directory}", exist_ok=True)
        os.makedirs("/root/.config/autostart", exist_ok=True)
        work = [
            ("read", f"{ws}/plain.txt"), ("read", "/etc/hostname"), ("save-file", ws), ("work-tree", ws), ("work-tree", "/tmp"), ("trace-child",), ("jit",),
            ("run", "sh", "-c", f"cd {ws} && gcc -o prog main.c && ./prog"), ("run", "git", "init", "-q", f"{ws}/repository"),
            ("run", "python3", "-c", "import json, ssl, socket"), ("own-server", "127.0.0.1", "8012"),
        ]  # fmt: skip
        program = suite.ground.names["bin"] + "/attack"
        # One session for all: a private daemon for each would take minutes in an emulated guest.
        script = "".join(f'"{program}" {" ".join(quote(a) for a in attack)} >&2; echo {kind} $?\n' for kind, batch in (("attack", attacks), ("work", work))
                         for attack in batch)  # fmt: skip
        got = run(suite, "sh", "-c", script, options=("--quiet",), timeout=300)
        answers = [line.split() for line in got.stdout.splitlines() if line.startswith(("attack ", "work "))]
        require(len(answers) == len(attacks) + len(work), f"{len(answers)} answers, status {got.returncode}: {got.stderr[-500:]}")
        for (kind, status), tried in zip(answers, attacks + work):
            if status != ("1" if kind == "attack" else "0"):
                wrong.append(f"{kind} {' '.join(tried)}: status {status}")
    for path in created:
        os.unlink(path)
    require(not wrong, "; ".join(wrong))
    return f"{len(attacks)} attacks, {len(work)} pieces of work"


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


GIT = """
export HOME={home} GIT_TERMINAL_PROMPT=0
try() {{ want=$1; shift; "$@" >>{log} 2>&1; got=$?; [ $got = 0 ] && got=works || got=refused; [ $got = $want ] || echo "$* ($got)"; }}
echo more >>file
try works git status
try works git add file
try works git commit -qm second
try works git fetch -q
try works git pull -q --rebase
try works git push -q origin main
try works git stash list
try works git switch -q --no-track -c mine origin/feature
try works git push -q origin mine
try works git -c user.name=Other commit -q --allow-empty -m third
try works git switch -q main
try works git clone -q {origin} clone
try works git -C clone remote add other {origin}
try works git init -q below
try refused git config user.name Other
try refused git remote add other {origin}
try works git push -q -u origin HEAD:again
try works git ls-remote -q --exit-code {origin} again
try works git switch -q -c tracking origin/feature
try refused sh -c 'echo x >.git/hooks/pre-commit'
try refused sh -c 'echo x >.git/config'
true
"""


@sequence("git", "under the built-in profile git works, and what it would run later cannot be written", 50, once=True)
def git(suite):
    names = suite.ground.names
    repository, origin = f"{names['ws']}/repository", "/tmp/lictor-suite-origin.git"
    home, log = f"{names['ws']}/git-home", "/tmp/lictor-suite-git.log"
    prepare = f"""set -e
        export HOME={home}; mkdir {home}; printf '[user]\nname = Dev\nemail = dev@localhost\n[init]\ndefaultBranch = main\n' >{home}/.gitconfig
        git init -q --bare {origin}; git init -q {repository}; cd {repository}
        echo text >file; git add file; git commit -qm first; git remote add origin {origin}; git push -q -u origin main; git push -q origin main:feature; git fetch -q"""
    shutil.rmtree(origin, ignore_errors=True)
    subprocess.run(["sh", "-c", prepare], check=True, capture_output=True)
    config = pathlib.Path(repository, ".git/config")
    before = config.read_text()
    script = GIT.format(home=home, log=log, origin=origin)
    got = run(suite, "sh", "-c", script, options=("--agent", "default", "--quiet"), cwd=repository, timeout=180)
    said = pathlib.Path(log).read_text()
    pathlib.Path(log).unlink()
    shutil.rmtree(origin)
    require(got.returncode == 0 and not got.stdout.strip(), f"status {got.returncode}, otherwise than documented: {got.stdout} {got.stderr}; git: {said[-800:]}")
    require(config.read_text() == before, "the repository's configuration was changed")
    require(not os.path.exists(f"{repository}/.git/hooks/pre-commit"), "a hook was written")
    return "17 kinds of work, 4 refusals"


@sequence("exec-events", "an execution is recorded with its script, its interpreter, and, where it is denied, the arguments as passed", once=True)
def exec_events(suite):
    names, events = suite.ground.names, suite.work / "exec-events.jsonl"
    script = f"{names['bin']}/good.sh one; {names['bad']}/payload 'a b' c; {names['bad']}/script.sh x; true"
    got = run(suite, "sh", "-c", script, options=("--agent", "exec", "--quiet", "--events", str(events)))
    require(got.returncode == 0, f"status {got.returncode}: {got.stderr}")
    executions = [e for e in events_in(events) if e["kind"] == "exec"]
    shell = os.path.realpath("/bin/sh")
    ran = [e for e in executions if e["exec"].get("path") == f"{names['bin']}/good.sh"]
    require(len(ran) == 1 and ran[0]["exec"].get("interpreter") == shell and ran[0]["process"]["exe"] == shell, f"the permitted script: {ran}")
    require(ran[0]["process"]["args"][1:] == [f"{names['bin']}/good.sh", "one"] and "args" not in ran[0]["exec"], f"the permitted script: {ran}")
    plain = [e for e in executions if e["exec"].get("path") == shell and e["verdict"]["action"] == "allow"]
    require(plain and all("interpreter" not in e["exec"] for e in plain), f"the shell itself: {plain}")
    denied = {e["exec"]["path"]: e["exec"].get("args") for e in executions if e["verdict"]["action"] == "deny"}
    wanted = {f"{names['bad']}/payload": ["a b", "c"], f"{names['bad']}/script.sh": ["x"]}
    for path, arguments in wanted.items():
        require(denied.get(path) == [path, *arguments], f"arguments of the denied {path}: {denied}")
    return f"{len(executions)} executions"


@sequence("told-in-order", "a denial at the very start of a session is told with the program that met it and its arguments")
def told_in_order(suite):
    """Denials and executions come to lictord by two ways; it looks for them together, after a while in which nothing was going on."""
    for n in range(8):
        events = suite.work / f"order-{n}.jsonl"
        time.sleep(0.4)
        got = run(suite, "sh", "-c", f": < {suite.ground.names['home']}/.ssh/id_ed25519; : {n}", options=("--agent", "files", "--quiet", "--events", str(events)))
        require(got.returncode != 0, "the key was read")
        denied = [e for e in events_in(events) if e["kind"] == "file" and e["verdict"]["action"] == "deny"]
        require(denied and all(e["process"].get("args", [""])[-1].endswith(f": {n}") for e in denied), f"session {n}: {denied}")
    return "8 sessions"
