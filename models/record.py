#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records the executions of real work: what `execve` got, by whom, where, and from which program.

    models/record.py --out models/data/recorded.jsonl.gz [SESSION...]

Each file of `models/record/` is a session: shell lines apart by `%%`, run one after the other as `bash -c LINE` in a
fresh folder, as coding agents do; `builds.txt` holds builds, tests and installs of open-source packages. Everything
runs under strace(1), in a mount and process namespace with a `/tmp` of its own. Needs root, strace, git, gcc, python3,
node; some lines call programs that are not installed, as agents do.

The folder that a session ran in is written as one that people use (`/home/dev/app`, `/workspace`): the real one is
this machine's and says nothing. Executions that are the same but for numbers are kept twice at most, of one program in
one session at most 60, evenly spaced; `--merge` puts recordings together by the same rule.
"""

import argparse
import ast
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACES = ["/home/dev/app", "/workspace", "/testbed", "/repo", "/home/user/project", "/srv/app", "/app"]
LINE_SECONDS = 240
OF_ONE_PROGRAM = 60
LONGEST = 8000
EXEC = re.compile(r'^execve\("((?:[^"\\]|\\.)*)", \[(.*)\], 0x[0-9a-f]+ /\* \d+ vars \*/\) = 0$')
FORK = re.compile(r"^(?:clone3?|v?fork)\(.*\) *= (\d+)$")
CHDIR = re.compile(r'^chdir\("((?:[^"\\]|\\.)*)"\) += 0$')
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?')


def unescape(text):
    return ast.literal_eval(f'b"{text}"').decode("utf-8", "replace")


def trace(line, folder, env, logs):
    """Runs `line` under strace; the executions, parents before children: (program, args, cwd, parent's program)."""
    logs.mkdir()
    command = ["strace", "-ff", "-qq", "-s", "65536", "-e", "trace=execve,clone,clone3,fork,vfork,chdir", "-e", "signal=none"]
    command += ["-o", str(logs / "t"), "bash", "-c", line]
    try:
        child = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        child.wait(timeout=LINE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        print(f"not ended after {LINE_SECONDS} s: {line[:60]!r}", file=sys.stderr)
    events = {int(log.suffix[1:]): log.read_text(errors="replace").splitlines() for log in logs.iterdir()}
    children = {int(match[1]) for lines in events.values() for entry in lines if (match := FORK.match(entry))}
    out = []

    def walk(pid, program, cwd):
        for entry in events.pop(pid, []):
            if match := EXEC.match(entry):
                args = [unescape(text) for text, cut in STRING.findall(match[2])]
                path = unescape(match[1])
                out.append((path, args, cwd, program))
                program = path if path.startswith("/") else os.path.normpath(os.path.join(cwd, path))
            elif match := CHDIR.match(entry):
                cwd = os.path.normpath(os.path.join(cwd, unescape(match[1])))
            elif match := FORK.match(entry):
                walk(int(match[1]), program, cwd)

    for root in sorted(set(events) - children):
        walk(root, "/usr/bin/node", str(folder))
    shutil.rmtree(logs)
    return out


def key(args):
    """What makes two executions the same here: the arguments but for numbers, hashes and temporary names."""
    text = "\0".join(args)
    text = re.sub(r"[0-9a-f]{7,}|\b\w*[A-Z0-9]\w*\d\w{3,}\b", "H", text)
    return re.sub(r"\d+", "0", text)


def sessions(names):
    for number, path in enumerate(sorted((HERE / "record").glob("*.txt"))):
        if not names or path.stem in names:
            yield path.stem, PLACES[number % len(PLACES)], [line.strip("\n") for line in path.read_text().split("\n%%\n")]


def record(names):
    scratch = Path(tempfile.mkdtemp(prefix="lictor-record-"))
    home = scratch / "home"
    home.mkdir()
    env = {name: os.environ[name] for name in ("PATH", "LANG", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "NPM_CONFIG_REGISTRY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE") if name in os.environ}
    real = Path.home()
    env |= {"HOME": str(home), "USER": "dev", "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(real / ".rustup")), "CARGO_HOME": os.environ.get("CARGO_HOME", str(real / ".cargo"))}
    for name in (".npmrc", ".config/pip"):
        if (real / name).exists():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (real / name).is_dir() else shutil.copy)(real / name, home / name)
    rows = []
    for name, place, lines in sessions(names):
        folder = scratch / name
        folder.mkdir()
        moved = [(str(folder), place), (str(home), "/home/dev"), (str(scratch), "/home/dev"), (str(real), "/home/dev")]

        def tidy(text):
            for old, new in moved:
                text = text.replace(old, new)
            return text

        for number, line in enumerate(lines):
            found = trace(line.replace("{D}", str(folder)), folder, env, scratch / "log")
            print(f"{name} {number + 1}/{len(lines)}: {len(found)} executions", file=sys.stderr)
            for at, (program, args, cwd, parent) in enumerate(found):
                args = [tidy(arg) for arg in args]
                agent = at == 0 and name != "builds"
                if re.search(r"https?://(?!localhost|127\.)[\w.-]*(pypi|registry|mirror|proxy|artifact)", " ".join(args)):
                    continue
                if not args:
                    continue
                row = {"args": args, "exe": tidy(program), "cwd": tidy(cwd), "uid": os.getuid(), "parent": tidy(parent), "label": "benign", "session": name}
                row["source"] = "recorded/agent" if agent else "recorded/build" if name == "builds" else "recorded/exec"
                if agent:
                    row["cmd"] = args[2]
                rows.append(row)
    shutil.rmtree(scratch, ignore_errors=True)
    return rows


def thin(rows):
    """Without what says the same again."""
    seen, groups = {}, {}
    for row in rows:
        same = key(row["args"])
        seen[same] = seen.get(same, 0) + 1
        if seen[same] <= 2 and sum(map(len, row["args"])) <= LONGEST:
            agent = row["source"] == "recorded/agent"
            groups.setdefault((row["session"], "agent" if agent else os.path.basename(row["exe"])), []).append(row)
    out = []
    for (_, program), group in groups.items():
        step = 1 if program == "agent" else max(1, -(-len(group) // OF_ONE_PROGRAM))
        out.extend(group[::step])
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--merge", type=Path, nargs="*", help="recordings to put together instead of recording")
    parser.add_argument("session", nargs="*")
    arguments = parser.parse_args()
    if not arguments.inside and not arguments.merge:
        inner = [sys.executable, __file__, "--inside", "--out", str(arguments.out.resolve()), *arguments.session]
        script = 'mount -t tmpfs tmpfs /tmp && exec "$@"'
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script, "sh", *inner])
    if arguments.merge:
        rows = [json.loads(line) for path in arguments.merge for line in gzip.open(path, "rt", encoding="utf-8")]
    else:
        rows = record(arguments.session)
    rows = thin(rows)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with open(arguments.out, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed:
        for row in rows:
            packed.write((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass"))
    print(f"{len(rows)} executions in {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
