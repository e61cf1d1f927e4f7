# SPDX-License-Identifier: Apache-2.0
"""The audit chain of a daemon at work: written through a crash, verified, changed by somebody, and a person's data erased."""

import json
import os
import pathlib
import random
import shutil
import subprocess
import time

from sequence import environment, lictor, raise_flag, require, sequence, stop_flag, wait_until

EVERY_KIND = {"chain", "start", "takeover", "mode", "policy", "rules", "session-start", "session-end", "verdict", "verdict-clear", "checkpoint"}


def verify(suite, folder, *options):
    """The report, and whether the exit status agrees with it."""
    done = lictor(suite, "audit", "verify", folder, "--json", *options)
    report = json.loads(done.stdout)
    require((done.returncode == 0) == report["ok"], f"status {done.returncode} of {report}")
    return report


def entries(suite, folder):
    done = lictor(suite, "audit", "show", folder, "--limit", "1000000", "--json")
    return [json.loads(line) for line in done.stdout.splitlines()]


def holders(folder, needle):
    """Every file below the folder that holds the needle."""
    return [str(path) for path in pathlib.Path(folder).rglob("*") if path.is_file() and needle.encode() in path.read_bytes()]


@sequence("audit", "the audit chain holds through a crash, shows what was changed, and forgets a person", once=True)
def audit(suite):
    names = suite.ground.names
    chain = pathlib.Path(names["state"]) / "audit"
    kept = suite.work / "kept.json"
    before = verify(suite, chain)
    require(before["ok"], f"the chain does not hold at the beginning: {before['problems'][:3]}")

    word = f"audit-word-{os.urandom(8).hex()}"
    shell = f': < {names["home"]}/.ssh/id_ed25519; echo x >> {chain}/chain-000000000001.jsonl; : {word}'
    lictor(suite, "run", "--agent", "files", "--quiet", "--", "/bin/sh", "-c", shell)
    denials = lambda: [entry for entry in entries(suite, chain) if entry["kind"] == "verdict" and word in json.dumps(entry)]  # noqa: E731
    wait_until(denials, 20, "the chain tells of the denials")
    wait_until(lambda: "session-end" in {entry["kind"] for entry in entries(suite, chain)}, 20, "the chain tells of the session's end")
    lictor(suite, "verdicts", "clear")
    kept.write_text(lictor(suite, "audit", "checkpoint").stdout)
    suite.daemon.kill()
    suite.daemon.start()

    report = verify(suite, chain, "--checkpoint", kept, "--key", chain / "key.pub")
    require(report["ok"] and report["signed"] >= json.loads(kept.read_text())["entry"], f"after SIGKILL: {report['problems'][:3]}")
    told = entries(suite, chain)
    missing = EVERY_KIND - {entry["kind"] for entry in told}
    require(not missing, f"the chain does not tell of {missing}")
    denied = [entry for entry in told if entry["kind"] == "verdict" and word in json.dumps(entry)]
    require(denied and all(personal["subject"] == "uid:0" for entry in denied for personal in entry["personal"]), f"{denied[:1]}")
    require(not holders(chain, word), f"in clear in the chain: {holders(chain, word)}")
    # What the store keeps is packed: it is asked for.
    recorded = lambda: word in lictor(suite, "events", "--json").stdout  # noqa: E731
    require(recorded(), "the recorded events do not hold what is to be erased")

    copy = suite.work / "copied"
    shutil.copytree(chain, copy)
    first = min(copy.glob("chain-*.jsonl"))
    lines = first.read_text().splitlines(keepends=True)
    first.write_text("".join([*lines[:1], lines[1].replace('"kind":"', '"kind":"x'), *lines[2:]]))
    edited = verify(suite, copy)
    require([(p["kind"], p["line"]) for p in edited["problems"]][:1] == [("changed", 2)], f"an edit: {edited['problems'][:3]}")
    shutil.rmtree(copy)
    shutil.copytree(chain, copy)
    newest = max(copy.glob("chain-*.jsonl"))
    newest.write_text("".join(newest.read_text().splitlines(keepends=True)[:2]))
    (copy / "checkpoint.json").unlink()
    cut = verify(suite, copy, "--checkpoint", kept)
    require([p["kind"] for p in cut["problems"]] == ["truncated"], f"a cut tail: {cut['problems'][:3]}")

    done = lictor(suite, "audit", "erase", "--subject", "root", "--json")
    require(done.returncode == 0, f"erase: {done.stderr}")
    erased = json.loads(done.stdout)
    require(erased["texts"] >= len(denied) and dict(erased["copies"])["recorded events"] > 0, f"erased {erased}")
    require(not holders(names["state"], word), f"still in {holders(names['state'], word)}")
    require(not recorded(), "an event that was to be erased is still found")
    after = verify(suite, chain, "--checkpoint", kept)
    require(after["ok"] and after["erased"] >= erased["texts"], f"after the erasure: {after['problems'][:3]}")
    status = subprocess.run([suite.daemon.command, "status"], capture_output=True, text=True, check=False)
    require(status.returncode == 0, f"status after all that: {status.stdout}")
    return f"{after['entries']} entries in {after['files']} files, {erased['texts']} texts erased"


def acknowledged_point(suite, kept):
    done = lictor(suite, "audit", "checkpoint")
    if done.returncode == 0:
        kept.write_text(done.stdout)
    return done.returncode == 0


@sequence("kills", "killed at random moments under load, the daemon finds its chain and its store, and nothing acknowledged is lost", once=True)
def kills(suite):
    """As often as `--kills` says."""
    names, flag = suite.ground.names, stop_flag(suite, "kills")
    chain, kept = pathlib.Path(names["state"]) / "audit", suite.work / "kills.json"
    load = f"while [ ! -e {flag} ]; do /bin/true < {names['ws']}/plain.txt; /bin/true < {names['home']}/.ssh/id_ed25519; done 2>/dev/null"
    process = subprocess.Popen([suite.daemon.command, "run", "--agent", "files", "--quiet", "--", "/bin/sh", "-c", load], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=names["ws"], env=environment(suite))  # fmt: skip
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    acknowledged = 0
    newest = lambda: {json.loads(line)["id"] for line in lictor(suite, "events", "--json", "--limit", "200").stdout.splitlines()}  # noqa: E731
    try:
        wait_until(newest, 60, "the load is recorded")
        for round_ in range(suite.options.kills):
            where = f"kill {round_}, seed {seed}"
            time.sleep(moments.random())
            # Both are answered when it is on disk; a disk that is too slow gives no answer, and nothing is acknowledged.
            ids = newest()
            wait_until(lambda: acknowledged_point(suite, kept), 120, f"{where}: a checkpoint")
            require(ids, f"{where}: no events")
            time.sleep(moments.random() / 2)
            suite.daemon.kill()
            report = verify(suite, chain, "--checkpoint", kept, "--key", chain / "key.pub")
            require(report["ok"], f"{where}: the chain: {report['problems'][:3]}")
            suite.daemon.start()
            listed = ",".join(f"'{id}'" for id in ids)
            asked = lictor(suite, "query", "--json", f"SELECT count(DISTINCT id) AS n FROM events WHERE id IN ({listed})")
            require(asked.returncode == 0, f"{where}: the store: {asked.stderr}")
            found = json.loads(asked.stdout)["n"]
            require(found == len(ids), f"{where}: {found} of {len(ids)} acknowledged events are in the store")
            report = verify(suite, chain, "--checkpoint", kept)
            require(report["ok"], f"{where}: the chain after the start: {report['problems'][:3]}")
            require(process.poll() is None, f"{where}: the session has ended with {process.returncode}")
            acknowledged += len(ids)
            if (round_ + 1) % 10 == 0:
                print(f"        {round_ + 1} kills: {acknowledged} acknowledged events found again, {report['entries']} entries in the chain", flush=True)
    finally:
        raise_flag(flag)
        process.wait(timeout=60)
    status = json.loads(lictor(suite, "status", "--json").stdout)
    require(status["store"]["damaged_files"] == 0, f"the store: {status['store']}")
    return f"{suite.options.kills} kills (seed {seed}): {acknowledged} acknowledged events found again, {report['entries']} entries in the chain"
