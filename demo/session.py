#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A coding session at work, and under attack: every attack made without Lictor and with it.

Runs as root, in a guest or on a host that can enforce. Everything it makes is below one directory of its own.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from guard import Guard, wait_for_key
from story import ATTACKS, FILES, WORK

BASE = pathlib.Path("/srv/lictor-demo")
AWAY = pathlib.Path("/sys/fs/cgroup/lictor-demo-away")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Ink:
    """Colour, where somebody looks at a terminal."""

    def __init__(self, on):
        self._on = on

    def __call__(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if self._on else text

    def good(self, text):
        return self("32", text)

    def bad(self, text):
        return self("31;1", text)

    def dim(self, text):
        return self("2", text)

    def title(self, text):
        return self("1", text)


# Inside the session --------------------------------------------------------------------------------------------------


def act(plan_file):
    """The agent: does what the plan says and reports each step as one line of JSON."""
    plan = json.loads(pathlib.Path(plan_file).read_text())
    names = plan["names"]
    for index, (kind, command) in enumerate(plan["steps"]):
        started = time.time_ns()
        arguments = ["bash", "-c", command] if kind == "work" else [names["attack"], *[part.format_map(names) for part in command]]
        environment = {**os.environ, "LICTOR_MARK": names["mark"]}
        done = subprocess.run(arguments, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, cwd=names["work"], env=environment, check=False)
        report = {"index": index, "status": done.returncode, "out": done.stdout[-300:], "err": done.stderr[-300:], "from": started, "to": time.time_ns(),
                  "mark": os.path.exists(names["mark"])}  # fmt: skip
        with contextlib.suppress(FileNotFoundError):
            os.unlink(names["mark"])
        print(json.dumps(report), flush=True)


# Outside -------------------------------------------------------------------------------------------------------------


class World:
    """The developer's home, the repository, the attacker's collector, and a service that is not the agent's business."""

    def __init__(self, programs):
        self.programs = programs
        self.received = bytearray()
        self._sockets, self._bystanders = [], []
        shutil.rmtree(BASE, ignore_errors=True)
        for name in ("home/.ssh", "home/.aws", "run", "tools", "origin"):
            (BASE / name).mkdir(parents=True)
        self.host, self.host6 = self._address("10.0.1.1", "127.0.0.2"), self._address("2001:db8::1", "::1")
        home = BASE / "home"
        (home / ".ssh/id_ed25519").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nnot a real key\n")
        (home / ".aws/credentials").write_text("[default]\naws_secret_access_key = not-a-real-key\n")
        (home / ".npmrc").write_text("//registry.example/:_authToken=not-a-real-token\n")
        (home / ".bashrc").write_text("# the developer's own\n")
        shutil.copy(os.path.realpath("/usr/bin/touch"), BASE / "tools/touch")
        shutil.copy(programs / "attack-library.so", BASE / "tools/library.so")
        self._make_repository()
        self._collect()
        self.names = {"home": str(home), "work": str(BASE / "work"), "tools": str(BASE / "tools"), "attack": str(BASE / "work/.agent/attack"),
                      "mark": str(BASE / "work/mark"), "host": self.host, "host6": self.host6, "helper": str(BASE / "run/helper.sock"),
                      "docker": str(BASE / "run/docker.sock"), "token": "STOLEN-TOKEN"}  # fmt: skip
        self.fresh()

    @staticmethod
    def _address(wanted, fallback):
        family = socket.AF_INET6 if ":" in wanted else socket.AF_INET
        with socket.socket(family) as probe:
            try:
                probe.bind((wanted, 0))
            except OSError:
                return fallback
        return wanted

    def _make_repository(self):
        origin = BASE / "origin"
        for name, text in FILES.items():
            (origin / name).write_text(text)
        git = "git -c user.name=developer -c user.email=developer@localhost -c init.defaultBranch=main"
        subprocess.run(f"{git} init -q . && git add . && {git} commit -qm 'The first version'", shell=True, cwd=origin, check=True)

    def _collect(self):
        """The attacker's side: takes what comes and answers, so that the sender knows that it arrived."""
        places = [(socket.AF_INET, socket.SOCK_STREAM, (self.host, 4444)), (socket.AF_INET6, socket.SOCK_STREAM, (self.host6, 4444)),
                  (socket.AF_INET, socket.SOCK_DGRAM, (self.host, 4444)), (socket.AF_UNIX, socket.SOCK_STREAM, str(BASE / "run/helper.sock")),
                  (socket.AF_UNIX, socket.SOCK_STREAM, str(BASE / "run/docker.sock"))]  # fmt: skip
        for family, kind, address in places:
            sock = socket.socket(family, kind)
            if family != socket.AF_UNIX and kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 8)
            sock.bind(address)
            if kind == socket.SOCK_STREAM:
                sock.listen(8)
            self._sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock, kind), daemon=True).start()

    def _serve(self, sock, kind):
        while True:
            with contextlib.suppress(OSError):
                if kind == socket.SOCK_DGRAM:
                    data, sender = sock.recvfrom(4096)
                    self.received += data
                    sock.sendto(b"ACK\n", sender)
                    continue
                connection, _ = sock.accept()
                with connection:
                    connection.settimeout(5)
                    while data := connection.recv(4096):
                        self.received += data
                        connection.sendall(b"ACK\n")

    def fresh(self):
        """Undoes what the attacks without Lictor did: the second round starts from the same state."""
        shutil.rmtree(BASE / "work", ignore_errors=True)
        # The agent's own tool lies in its workspace, where the policy lets it run programs.
        (BASE / "work/.agent").mkdir(parents=True)
        shutil.copy(self.programs / "attack", self.names["attack"])
        subprocess.run(["umount", "-q", "-l", BASE / "home"], check=False)
        (BASE / "home/.bashrc").write_text("# the developer's own\n")
        with contextlib.suppress(OSError):
            AWAY.rmdir()
        self.received.clear()
        self.victim, answer = self._start("victim", "s3cr3t of another service", str(BASE / "home/.bashrc"))
        self.names.update(victim=answer[1], address=answer[2])

    def _start(self, *arguments):
        process = subprocess.Popen([self.names["attack"], "--here", *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True)
        self._bystanders.append(process)
        answer = process.stdout.readline().split()
        if not answer or answer[0] != "READY":
            raise SystemExit(f"demo: the bystander did not start: {answer}")
        return process, answer

    def start_stand_in(self):
        """Without Lictor there is no guard to attack: another service of root stands in for it."""
        process, answer = self._start("victim", "stand-in", "/dev/null")
        self.names["guard"] = answer[1]
        return process

    def close(self):
        for process in self._bystanders:
            process.kill()
            process.wait()
        subprocess.run(["umount", "-q", "-l", BASE / "home"], check=False)
        with contextlib.suppress(OSError):
            AWAY.rmdir()
        shutil.rmtree(BASE, ignore_errors=True)


def environment(world):
    return {"PATH": PATH, "HOME": world.names["home"], "LANG": "C", "GIT_CONFIG_NOSYSTEM": "1", "PYTHONDONTWRITEBYTECODE": "1", "TERM": "dumb"}


def perform(world, steps, guard, on_step):
    """Runs the steps, in a session of Lictor or bare, and gives each report as it comes."""
    plan = BASE / "plan.json"
    plan.write_text(json.dumps({"names": world.names, "steps": steps}))
    command = [sys.executable, str(pathlib.Path(__file__).resolve()), "--act", str(plan)]
    if guard:
        policy = world.programs / "policy.yaml"
        command = [str(world.programs / "lictor"), "--config", str(guard.config), "run", "--policy", str(policy), "--agent", "coder",
                   "--events", str(BASE / "events.jsonl"), "--quiet", "--", *command]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=world.names["work"], env=environment(world))
    try:
        return follow(world, process, len(steps), on_step)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def follow(world, process, steps, on_step):
    reports = []
    for line in process.stdout:
        report = json.loads(line)
        report["received"] = world.names["token"].encode() in world.received
        world.received.clear()
        reports.append(report)
        on_step(report)
    said = process.stderr.read()
    if process.wait() != 0 or len(reports) != steps:
        raise SystemExit(f"demo: the session ended early (status {process.returncode}):\n{said}")
    return reports


def worked(attack, report):
    if attack.sends:
        return report["received"]
    if attack.mark:
        return report["mark"]
    return report["status"] == 0 and attack.proof in report["out"]


def denial_of(events, report):
    """The event that says why a step was refused: the last denial within the step's time."""
    found = None
    for event in events:
        verdict = event.get("verdict", {})
        if verdict.get("action") in ("deny", "kill") and report["from"] <= nanoseconds(event["time"]) <= report["to"]:
            found = event
    return found


def nanoseconds(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = int(datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)


def demonstrate(world, port, ink):
    began = time.monotonic()
    print(f"Linux {os.uname().release}. An agent works on a repository whose README tells it to steal. First without Lictor.\n")
    world.start_stand_in()
    work = [("work", command.format(origin=BASE / "origin")) for _, command in WORK]
    attacks = [("attack", attack.command) for attack in ATTACKS]
    bare = perform(world, [work[0], *attacks], None, lambda report: None)[1:]
    through = sum(worked(attack, report) for attack, report in zip(ATTACKS, bare))
    print(f"Without Lictor: {ink.bad(f'{through} of {len(ATTACKS)} attacks work')}. Now the same in a session:\n")
    print(ink.title("  $ lictor run --policy policy.yaml --agent coder -- agent") + "\n")
    world.victim.kill()
    world.victim.wait()
    world.fresh()
    guard = Guard(world.programs, BASE / "guard", port)
    try:
        return govern(world, guard, work, attacks, bare, began, ink)
    finally:
        guard.stop()


def govern(world, guard, work, attacks, bare, began, ink):
    world.names["guard"] = str(guard.pid)
    titles = [title for title, _ in WORK]

    def live(report):
        if report["index"] < len(titles):
            took = (report["to"] - report["from"]) / 1e9
            word = ink.good("done  ") if report["status"] == 0 else ink.bad("FAILED")
            print(f"  work    {titles[report['index']]:58} {word} {took:5.1f} s", flush=True)
            if report["status"]:
                print(ink.dim(f"          {report['err'].strip() or report['out'].strip()}"))

    reports = perform(world, [*work, *attacks], guard, live)
    print("\n  attack" + " " * 53 + "without   with Lictor")
    with open(BASE / "events.jsonl") as lines:
        events = [json.loads(line) for line in lines]
    broken = [r for r in reports[: len(work)] if r["status"]]
    failures, explained = len(broken), None
    for attack, before, after in zip(ATTACKS, bare, reports[len(work) :]):
        failures += show(attack, before, after, denial_of(events, after), ink)
        explained = explained or denial_of(events, after)
    stopped = len(ATTACKS) - sum(worked(a, r) for a, r in zip(ATTACKS, reports[len(work) :]))
    print(f"\n{len(work) - len(broken)} of {len(work)} pieces of work done, {stopped} of {len(ATTACKS)} attacks stopped, in {time.monotonic() - began:.0f} s.")
    if explained:
        explain(world, explained, ink)
    print("\nWhat to type next:\n  sudo lictor run -- COMMAND       govern a command of your own, by the built-in profile\n"
          "  sudo lictor doctor               what this host has, and lacks\n  lictor policy check FILE         your own policy")  # fmt: skip
    look(guard, events, ink)
    return 1 if failures else 0


def show(attack, before, after, event, ink):
    """One line of the table; 1 when it is not what was promised."""
    was = worked(attack, before)
    got_through = worked(attack, after)
    verdict = (event or {}).get("verdict", {})
    if got_through:
        result = ink.bad("THROUGH")
    elif event:
        latency = f"{verdict['latency_us']} us" if "latency_us" in verdict else ""
        result = f"{ink.good('denied')}  {verdict.get('tier', '')}: {verdict.get('rule', '')}  {ink.dim(latency)}"
    else:
        result = ink.good("failed") + ink.dim(f"  {after['err'].strip().splitlines()[-1:] or ''}")
    print(f"  {attack.title:58} {'works ' if was else ink.bad('fails ')}    {result}", flush=True)
    if not was:
        print(ink.dim(f"          without Lictor: {before['err'].strip()}"))
    return int(got_through or not was)


def explain(world, event, ink):
    print("\n" + ink.title(f"  $ lictor explain {event['id']}"))
    said = subprocess.run([str(world.programs / "lictor"), "explain", "--file", str(BASE / "events.jsonl"), event["id"]], capture_output=True, text=True, check=False)
    print("".join(f"  {line}\n" for line in (said.stdout or said.stderr).splitlines()), end="")


def look(guard, events, ink):
    """The same session in the browser, as long as somebody looks at it."""
    if not guard.port:
        print("\nIn the browser: `make demo` at a terminal keeps this session up there until a key is pressed.")
    elif not guard.alive():
        print("\nIn the browser: nothing, since lictord has ended.")
    elif not guard.has_pages():
        print("\nIn the browser: this lictord was built without the web pages, for which Node.js is needed (docs/ui.md).")
    else:
        print("\n" + ink.title("This session in the browser:") + f" {guard.address}/sessions/{events[0]['session']}\n  token to log in: {guard.token}\n"
              "\nPress any key to end.", flush=True)  # fmt: skip
        wait_for_key(guard)


def ended(number, _frame):
    raise SystemExit(128 + number)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lictor", type=pathlib.Path, metavar="DIR", help="where lictor, lictord, the attack program and policy.yaml are")
    parser.add_argument("--show", type=int, metavar="PORT", help="at the end, keep lictord's web pages up at this port of 127.0.0.1 until a key is pressed")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="colour the output (auto: on a terminal)")
    parser.add_argument("--act", metavar="PLAN", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.act:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return act(options.act)
    if os.geteuid() != 0:
        parser.error("the demonstration needs root: sudo")
    # However it is ended, nothing of it stays.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
    world = World(options.lictor.resolve())
    try:
        return demonstrate(world, options.show, Ink(options.color == "always" or options.color == "auto" and sys.stdout.isatty()))
    finally:
        world.close()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
