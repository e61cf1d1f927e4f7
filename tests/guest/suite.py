#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attacks on Lictor's promises, and ordinary work that must go on.

Each attack is made twice: bare, where it must reach its aim, and in a session of `lictor run`, where it must fail with
EPERM, leave no trace of its aim, and be recorded. Each benign twin must succeed in both. Runs as root, in a guest.

    suite.py --lictor DIR --out results.json
    suite.py --bare-only            the attacks without Lictor: do they work on this kernel at all?
    suite.py --list [--json]        the cases, and which evasions each answers
"""

import argparse
import contextlib
import json
import os
import pathlib
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import cases_exec
import cases_files
import cases_floor
import cases_net
import seq_attacks  # noqa: F401  registers its sequences
import seq_audit  # noqa: F401  registers its sequences
import seq_daemon  # noqa: F401  registers its sequences
import seq_folders  # noqa: F401  registers its sequences
import seq_host  # noqa: F401  registers its sequences
import seq_install  # noqa: F401  registers its sequences
import seq_judge  # noqa: F401  registers its sequences
import seq_protect  # noqa: F401  registers its sequences
import seq_run  # noqa: F401  registers its sequences
import seq_tiers  # noqa: F401  registers its sequences
import seq_told  # noqa: F401  registers its sequences
import seq_upgrade  # noqa: F401  registers its sequences
import seq_work  # noqa: F401  registers its sequences
import seq_web  # noqa: F401  registers its sequences
import sequence
from daemon import Daemon
from peers import Caller, Peers
from playground import Playground
from sessions import Session, denials

CASES = [*cases_files.CASES, *cases_exec.CASES, *cases_net.CASES, *cases_floor.CASES]
HERE = pathlib.Path(__file__).resolve().parent
REACHED, REFUSED, UNTRIED = 0, 1, 2
SECONDS_PER_RUN = 60
CLOCK_SLACK_NS = 20_000_000  # between the clock that events carry and the one read here


class Suite:
    def __init__(self, options):
        self.options = options
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="lictor-suite-"))
        program, library = self._programs()
        self.ground = Playground(program, library)
        self.peers = Peers(self.ground.names["run"], f"{self.ground.names['home']}/.ssh/id_ed25519")
        self.daemon = None
        self.results = []
        self._sessions = {}
        self._bare = {}  # what came of each case without Lictor
        self._runs = 0

    def _programs(self):
        """The attack program: beside the suite or beside Lictor's programs, else built here."""
        for directory in (HERE, self.options.lictor):
            if directory and (directory / "attack").is_file():
                return str(directory / "attack"), str(directory / "attack-library.so")
        subprocess.run(["make", "-s", "-C", HERE, f"OUT={self.work}"], check=True)
        return str(self.work / "attack"), str(self.work / "attack-library.so")

    # One run of one case ----------------------------------------------------------------------------------------

    def run(self, case, governed):
        """Runs the case once. Returns (verdict, detail), verdict being None when it came out as it must."""
        ground = self.ground
        ground.reset()
        ground.ensure_victims(decoy=not governed and self.daemon is None)
        self._runs += 1
        token = f"TOKEN-{self._runs}-{ground.secret[-8:]}"
        names = {**ground.names, "token": token}
        try:
            command = [part.format_map(names) for part in shlex.split(case.command)]
            watched = case.effect.format_map(names) if case.effect[0] in "/{" else None
            before = pathlib.Path(watched).read_text() if watched else None
        except (KeyError, FileNotFoundError) as missing:
            return "untried", f"this guest has no {missing}"
        victim_before = self._conditions() if case.effect in ("victim", "daemon") else {}
        started = time.monotonic()
        outcome = self._execute(case, [f"{names['bin']}/attack", *command], governed)
        seconds = time.monotonic() - started
        reached = self._reached(case, outcome, token, watched, before, victim_before)
        detail = f"{outcome.said} ({seconds:.2f} s)"
        if watched and pathlib.Path(watched).read_text() != before:
            pathlib.Path(watched).write_text(before)
        if outcome.status == UNTRIED:
            return "untried", detail
        wanted = case.benign or not governed
        if wanted:
            if outcome.status != REACHED or not reached:
                return "failed", f"had to work: {detail}" + ("" if reached else f", but the effect ({case.effect}) was not seen")
            if governed and case.agent != "watched" and (denied := denials(outcome.events)):
                return "failed", f"worked, but something was denied on the way: {json.dumps(denied[0])}"
            return None, detail
        return self._judge_refusal(case, outcome, reached, detail)

    def _judge_refusal(self, case, outcome, reached, detail):
        if outcome.status == REACHED or (reached and case.effect != "status"):
            return "failed", f"got THROUGH: {detail}"
        if case.errors and (outcome.status != REFUSED or not outcome.said.endswith(case.errors)):
            return "failed", f"status {outcome.status} instead of a refusal with {'/'.join(case.errors)}: {detail}"
        if case.self_protection or not case.event:
            return None, detail
        if outcome.session:
            # Its events are complete when the session has ended: the rest of the judgement waits for that.
            outcome.session.pending.append((case, outcome, detail))
            return "pending", detail
        return self._judge_record(case, outcome, detail)

    def _judge_record(self, case, outcome, detail):
        recorded = denials(outcome.events, outcome.since, outcome.until)
        if event := next((e for e in recorded if self._fits(e, case)), None):
            verdict = event["verdict"]
            return None, f"{detail} {verdict.get('tier')} {verdict.get('rule', '')} {verdict.get('latency_us', '?')} us"
        if not recorded:
            return "failed", f"refused, but no denial was recorded: {detail}"
        wanted = {k: v for k, v in (("kind", case.event), ("tier", case.tier), ("path", case.path), ("rule", case.rule)) if v}
        return "failed", f"refused, but no recorded denial is {wanted}: {json.dumps(recorded[-1])}"

    @staticmethod
    def _fits(event, case):
        verdict = event["verdict"]
        return (
            event["kind"] == case.event
            and (not case.tier or verdict.get("tier") == case.tier)
            # Compared in the JSON's own spelling, so that escaped names are found too.
            and (not case.path or case.path in json.dumps(event.get("process_event" if case.event == "process" else case.event, {})))
            and (not case.rule or str(verdict.get("rule", "")).startswith(case.rule))
        )

    def _execute(self, case, command, governed):
        events = self.work / f"events-{self._runs}.jsonl"
        # Ordinary work has a session of its own, so that its end shows whether anything was denied on the way.
        shared = governed and not (case.benign or case.self_protection or case.user or case.alone or "--here" in command)
        options = {}
        if governed and not shared and not case.self_protection:
            user = ["--user", case.user] if case.user else []
            command = [self.daemon.command, "run", "--agent", case.agent, *user, "--events", str(events), "--quiet", "--", *command]
        elif case.user:
            record = pwd.getpwnam(case.user)
            options = {"user": record.pw_uid, "group": record.pw_gid, "extra_groups": []}
        caller = Caller(*case.knock) if case.knock else contextlib.nullcontext()
        session = self._session(case.agent) if shared else None
        since = time.time_ns() - CLOCK_SLACK_NS if shared else 0
        with caller:
            try:
                if shared:
                    events = session.events
                    status, out, err = session.execute(command, SECONDS_PER_RUN)
                else:
                    done = subprocess.run(command, cwd=self.ground.names["ws"], env=self._environment(), stdin=subprocess.DEVNULL,
                                          capture_output=True, timeout=SECONDS_PER_RUN, **options)  # fmt: skip
                    status, out, err = done.returncode, done.stdout, done.stderr
            except subprocess.TimeoutExpired as late:
                status, out, err = 124, late.stdout or b"", (late.stderr or b"") + b"\nno answer in time"
                if session:
                    session.process.kill()
        served = bool(case.knock and caller.served)
        outcome = Outcome(status, out.decode(errors="surrogateescape"), err.decode(errors="replace"), events, served)
        outcome.session, outcome.since = session, since
        outcome.until = time.time_ns() + CLOCK_SLACK_NS if shared else None
        return outcome

    def _reached(self, case, outcome, token, watched, before, victim_before):
        """Whether the attack's aim is seen from outside."""
        match case.effect:
            case "leak":
                return self.ground.secret in outcome.out
            case "sent":
                return self.peers.got(token.encode())
            case "ran":
                return os.path.exists(self.ground.names["mark"])
            case "changed":
                return self.ground.snapshot() != self.ground.clean
            case "victim" | "daemon":
                return self._changed(case.effect, victim_before)
            case "status":
                return outcome.status == REACHED or outcome.served
            case _:
                return pathlib.Path(watched).read_text() != before

    def _conditions(self):
        names = self.ground.names
        return {name: self.ground.condition(names[name]) for name in ("victim", "daemon") if name in names}

    def _changed(self, name, before):
        # A signal takes a moment to be delivered.
        for _ in range(10):
            if self._conditions().get(name) != before.get(name) or (name == "victim" and self.ground.overwritten()):
                return True
            time.sleep(0.03)
        return False

    def _session(self, agent):
        """The agent's open session; a new one when there is none or the tree was rebuilt, since a session names what it finds at its start."""
        found = self._sessions.get(agent)
        if found and found.alive and found.generation == self.ground.generation:
            return found
        if found:
            self._close_session(agent)
        events = self.work / f"events-{agent}-{self._runs}.jsonl"
        session = Session(self.daemon.command, agent, f"{self.ground.names['bin']}/attack", events, self.ground.names["ws"], self._environment())
        session.generation, session.pending = self.ground.generation, []
        self._sessions[agent] = session
        return session

    def _close_session(self, agent):
        session = self._sessions.pop(agent)
        session.close()
        for case, outcome, detail in session.pending:
            self._report(case, self._bare[case.id], self._judge_record(case, outcome, detail))

    def _environment(self):
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C",
                "LICTOR_MARK": self.ground.names["mark"], "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip

    # The whole --------------------------------------------------------------------------------------------------

    def main(self):
        cases = [c for c in CASES if self._selected(c.id)] if self._wanted("cases") else []
        for case in cases:
            self._bare[case.id] = self._guarded(case, governed=False)
            if self.options.bare_only:
                self._report(case, self._bare[case.id], None)
        if not self.options.bare_only:
            self._run_governed(cases)
        return self._finish()

    def _run_governed(self, cases):
        self.ground.forget_victim("decoy")
        self.ground.reset()
        self.daemon = Daemon(self.options.lictor, self.work, self.ground)
        self._run_batch([c for c in cases if not c.self_protection], protection=False)
        for steps in sequence.ALL:
            if self._selected(steps.id) and self._wanted("judging" if steps.id.startswith("seq-judge-") else "sequences"):
                self._run_sequence(steps)
        self.daemon.stop()
        # Last, because a daemon that protects itself from root does not end when the suite asks it to.
        self._run_batch([c for c in cases if c.self_protection], protection=True)

    def _run_batch(self, cases, protection):
        if not cases:
            return
        seconds = self.daemon.start(protection)
        print(f"lictord answers after {seconds:.2f} s", flush=True)
        gone = None
        for case in cases:
            if gone:
                self._report(case, self._bare[case.id], ("failed", gone))
                continue
            result = self._guarded(case, governed=True)
            if result[0] != "pending":
                self._report(case, self._bare[case.id], result)
            try:
                if case.effect == "daemon" or case.id.startswith("guard-") or case.self_protection:
                    self.daemon.ensure()
            except RuntimeError as problem:
                gone = f"no daemon since {case.id}: {problem}"
        for agent in list(self._sessions):
            self._close_session(agent)

    def _guarded(self, case, governed):
        try:
            return self.run(case, governed)
        except (OSError, RuntimeError, ValueError) as problem:
            return "failed", f"the suite itself failed: {type(problem).__name__}: {problem}"

    def _run_sequence(self, steps):
        started = time.monotonic()
        try:
            if steps.once and not self.options.everywhere and not os.uname().release.startswith(sequence.ONE_KERNEL):
                raise sequence.Untried(f"SKIPPED: the same on every kernel, and tried on {sequence.ONE_KERNEL}")
            self.ground.reset()
            self.ground.ensure_victims(decoy=False)
            self.daemon.use(steps.judge(self) if steps.judge else None)
            self.daemon.ensure()
            detail, verdict = steps.run(self), None
        except sequence.Untried as reason:
            verdict, detail = "untried", str(reason)
        except Exception as problem:  # whatever a sequence did not foresee ends that one, and not the others
            verdict, detail = "failed", f"{type(problem).__name__}: {problem}; lictord: {self.daemon.log()}"
        self._add(steps.id, steps.title, "sequence", steps.evasions, verdict, f"{detail or ''} ({time.monotonic() - started:.1f} s)", {})

    def _wanted(self, part):
        return not self.options.part or part in self.options.part

    def _selected(self, name):
        return not self.options.only or any(name.startswith(wanted) for wanted in self.options.only)

    def _report(self, case, bare, governed):
        verdicts = [run[0] for run in (bare, governed) if run]
        verdict = next((v for v in ("failed", "untried") if v in verdicts), None)
        # An attack that this kernel cannot make, yet was let to try, says nothing: it counts as untried.
        if bare[0] == "untried" and governed and governed[0] == "failed" and "THROUGH" not in governed[1]:
            verdict = "untried"
        detail = f"bare: {bare[1]}" + (f" | governed: {governed[1]}" if governed else "")
        self._add(case.id, case.title, case.kind, case.evasions, verdict, detail, {"bare": bare, "governed": governed})

    def _add(self, name, title, kind, evasions, verdict, detail, runs):
        word = {None: "ok     ", "failed": "FAILED ", "untried": "untried"}[verdict]
        print(f"{word} {kind:8} {name:28} {title}" + (f"\n        {detail}" if verdict or self.options.verbose else ""), flush=True)
        self.results.append({"id": name, "title": title, "kind": kind, "evasions": evasions, "verdict": verdict or "passed", "detail": detail, **runs})

    def _finish(self):
        count = {v: sum(r["verdict"] == v for r in self.results) for v in ("passed", "failed", "untried")}
        if self.options.out:
            document = {"kernel": os.uname().release, "counts": count, "results": self.results}
            self.options.out.write_text(json.dumps(document, indent=1))
            if count["failed"] and not self.options.bare_only:
                # What the daemon said and recorded: without it a failure in a guest that is gone tells little.
                shutil.copytree(self.work, self.options.out.with_suffix(".logs"), dirs_exist_ok=True, ignore=shutil.ignore_patterns("attack*"))
        self.ground.close()
        if not count["failed"]:
            # The last daemon protects itself, its settings among them, also against this.
            shutil.rmtree(self.work, ignore_errors=True)
        for missing in self.peers.missing:
            print(f"this kernel has no {missing}")
        if count["untried"]:
            print(f"{count['untried']} untried: this guest lacks what they need")
        print(f"{count['passed']} passed, {count['failed']} failed")
        return 1 if count["failed"] or not count["passed"] else 0


class Outcome:
    def __init__(self, status, out, err, events, served):
        self.status, self.out, self.events, self.served = status, out, events, served
        self.session, self.since, self.until = None, 0, None
        lines = [line for line in err.splitlines() if line.strip()]
        outcomes = [line for line in lines if line.startswith(("done: ", "refused: ", "untried: ", "broken: "))]
        self.said = (outcomes or lines or [f"status {status}"])[-1]


def list_cases(as_json):
    rows = [{"id": c.id, "kind": c.kind, "title": c.title, "evasions": c.evasions, "agent": c.agent} for c in CASES]
    rows += [{"id": s.id, "kind": "sequence", "title": s.title, "evasions": s.evasions, "agent": None} for s in sequence.ALL]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"{row['kind']:8} {row['id']:28} {row['title']}" + (f"  [{', '.join(map(str, row['evasions']))}]" if row["evasions"] else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lictor", type=pathlib.Path, metavar="DIR", help="where the programs lictor and lictord are")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--only", action="append", metavar="ID", help="only cases whose id starts so; may be repeated")
    parser.add_argument("--part", action="append", choices=("cases", "sequences", "judging"),
                        help="only these: what is tried one by one, what takes several steps, those of the judge; may be repeated")  # fmt: skip
    parser.add_argument("--bare-only", action="store_true", help="try the attacks without Lictor")
    parser.add_argument("--everywhere", action="store_true", help="also what is otherwise tried on one kernel only")
    parser.add_argument("--verbose", action="store_true", help="say of every case what happened")
    parser.add_argument("--kills", type=int, default=4, metavar="N", help="how often seq-kills kills the daemon (4)")
    parser.add_argument("--list", action="store_true", help="print the cases and do nothing")
    parser.add_argument("--json", action="store_true", help="with --list: as JSON")
    options = parser.parse_args()
    if options.list:
        return list_cases(options.json)
    if os.geteuid() != 0:
        parser.error("the suite attacks the system it runs on: run it as root, in a guest")
    if not options.bare_only and not (options.lictor and (options.lictor / "lictord").is_file()):
        parser.error("--lictor must name the directory that holds lictor and lictord (or use --bare-only)")
    return Suite(options).main()


if __name__ == "__main__":
    sys.exit(main())
