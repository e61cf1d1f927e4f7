#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Lictor costs, beside what else restricts or watches processes. Runs as root in a guest (bench/run starts it).

Every round runs every workload under every subject, in an order of its own; a subject's figure in a round is compared
with the bare figure of the same round, so that a slow stretch of the host touches both. There are two figures: the
processor time of the workload itself, kernel included, which is what a program pays; and the time that passed, which on
the guest's one processor holds the daemons' work too. Reported is the median of the rounds'
ratios, and the lowest and highest one.
"""

import argparse
import json
import os
import pathlib
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import time

import judging
import rules
import sight
import subjects
from report import write_reports

WORK = pathlib.Path(rules.WORK)
SOURCES = 10
TREE_DIRECTORIES, TREE_FILES = 40, 20
# name: (what micro does, batches, operations a batch, argument)
WORKLOADS = {
    "open+close": ("open", 4, 2000, f"{rules.WORK}/open"),
    "stat walk": ("walk", 4, 2, f"{rules.WORK}/tree"),
    "exec": ("exec", 4, 25, "/usr/bin/true"),
    "connect+accept": ("connect", 4, 300, str(rules.PORT)),
    "git clone + C build": (
        "run",
        1,
        1,
        f"cd {rules.WORK} && rm -rf clone && git clone -q --no-hardlinks {rules.WORK}/origin clone && make -s -C clone",
    ),
}
MACRO = "git clone + C build"


def prepare():
    """The files that the workloads work on. All of it is made here: nothing is fetched."""
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "open").mkdir(parents=True)
    for directory in range(TREE_DIRECTORIES):
        place = WORK / "tree" / f"module-{directory}" / "src"
        place.mkdir(parents=True)
        for number in range(TREE_FILES):
            (place / f"file-{number}.c").write_text("int x;\n")
    for secret in ("/root/.ssh", "/home/dev/.ssh"):
        pathlib.Path(secret).mkdir(exist_ok=True)

    origin = WORK / "origin"
    origin.mkdir()
    for number in range(SOURCES):
        (origin / f"part{number}.c").write_text(
            "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
            + "".join(f"int part{number}_{i}(int x) {{ return x * {i} + (int)strlen(\"part\"); }}\n" for i in range(20))
        )
    (origin / "main.c").write_text(
        "".join(f"int part{n}_1(int);\n" for n in range(SOURCES))
        + "int main(void) { return "
        + " + ".join(f"part{n}_1(0)" for n in range(SOURCES))
        + f" == {4 * SOURCES} ? 0 : 1; }}\n"
    )
    (origin / "Makefile").write_text(
        "OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))\nall: program\n\t./program\nprogram: $(OBJECTS)\n\t$(CC) -o $@ $^\n"
    )
    git = ["git", "-C", origin, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "init.defaultBranch=main"]
    for step in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "A program in parts"]):
        subprocess.run([*git, *step], check=True)
    # Another user's files would make git refuse; there is none here, but the guest's HOME may be read-only to a subject.
    subprocess.run(["git", "config", "--system", "--add", "safe.directory", "*"], check=True)


def measure(subject, name, micro):
    what, batches, count, argument = WORKLOADS[name]
    command = [*subject.launcher(), micro, what, str(batches), str(count), argument]
    done = subprocess.run(command, cwd=WORK, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    if done.returncode:
        sys.exit(f"bench: {name} under {subject.name} ended with status {done.returncode}: {done.stderr.strip()}\n  {' '.join(command)}")
    samples = [[int(figure) for figure in line.split()] for line in done.stdout.splitlines()]
    if len(samples) != batches or any(len(sample) != 2 for sample in samples):
        sys.exit(f"bench: {name} under {subject.name} printed something else than {batches} pairs of figures: {done.stdout}{done.stderr}")
    return {"passed": statistics.median(s[0] for s in samples), "own": statistics.median(s[1] for s in samples)}


def run_rounds(options, fields, lictor):
    """{workload: {subject: [figures of each round]}}, and the same for long and short policies: {patterns: [figures]}"""
    for name in options.workloads:  # caches of the file system, so that the first round is not the cold one
        measure(subjects.Bare(), name, options.micro)
    figures = {name: {subject.name: [] for subject in fields} for name in options.workloads}
    texts = {rules.patterns_of(text): text for text in map(rules.lictor_policy, (0, 10_000))} if options.patterns else {}
    by_count = {count: [] for count in texts}
    order = random.Random(1)

    def one(number, subject):
        began = time.monotonic()
        with subject:
            for name in options.workloads:
                figures[name][subject.name].append(measure(subject, name, options.micro))
        print(f"bench: round {number} of {options.rounds}: {subject.name} ({time.monotonic() - began:.0f} s)", flush=True)

    without = [subject for subject in fields if not subject.needs_lictord]
    within = [subject for subject in fields if subject.needs_lictord]
    for number in range(1, options.rounds + 1):
        for subject in order.sample(without, len(without)):
            one(number, subject)
        if not within:
            continue
        # Loading takes the verifier longer than all the workloads together, so it is done once a round.
        with lictor:
            for subject in order.sample(within, len(within)):
                one(number, subject)
            for count, text in texts.items():
                with subjects.Governed(lictor, text, f"{count} patterns") as governed:
                    by_count[count].append(measure(governed, "open+close", options.micro))
                print(f"bench: round {number} of {options.rounds}: {count} patterns", flush=True)
    return figures, by_count


def run_judging(options, lictor):
    """What judging costs, with a daemon of its own: the others are measured without rules."""
    judging.install(lictor, options.programs / "rules")
    with lictor:
        print("bench: judging", flush=True)
        return judging.measure(lictor, options.micro, options.rounds)


def run_sight(lictor):
    """How soon events are seen, with a daemon that serves the HTTP interface."""
    sight.settings(lictor)
    with lictor, subjects.Governed(lictor, rules.lictor_policy(), "seen") as governed:
        print("bench: sight", flush=True)
        return sight.measure(lictor, governed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="the directory of micro and landlock-run")
    parser.add_argument("--lictor", type=pathlib.Path, help="the directory of lictor and lictord; without it only the others are measured")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="where results.json and table.md go")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", metavar="SUBJECT", help="measure this subject beside the bare one; may be repeated")
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), dest="workloads")
    parser.add_argument("--judging-only", action="store_true", help="measure only what judging executions costs")
    parser.add_argument("--sight-only", action="store_true", help="measure only how soon events are seen")
    parser.add_argument("--clock", default="wall", help="what the guest's clock counts, for the report")
    options = parser.parse_args()
    everything = not (options.only or options.workloads or options.judging_only or options.sight_only)
    options.judging = bool(options.lictor) and (options.judging_only or everything)
    options.sight = bool(options.lictor) and (options.sight_only or everything)
    options.workloads = [] if options.judging_only or options.sight_only else options.workloads or list(WORKLOADS)
    options.micro = str(options.programs / "micro")
    if os.geteuid() != 0:
        sys.exit("bench: run this as root, in a guest (bench/run does)")

    prepare()
    lictor = subjects.Lictor(options.lictor) if options.lictor else None
    fields = [subjects.Bare(), subjects.AppArmor(), subjects.Landlock(options.programs), subjects.Auditd()]
    if lictor:
        fields += [subjects.Ungoverned(lictor), subjects.Governed(lictor, rules.lictor_policy(), "Lictor, governed")]
    if options.only:
        known = {subject.name for subject in fields}
        if unknown := set(options.only) - known:
            sys.exit(f"bench: no subject {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}")
        fields = [subject for subject in fields if subject.name in options.only or isinstance(subject, subjects.Bare)]
    options.patterns = lictor and not options.only
    unfit = {subject.name: reason for subject in fields if (reason := subject.unfit())}
    for name, reason in unfit.items():
        print(f"bench: {name} is left out: {reason}", flush=True)
    fields = [subject for subject in fields if subject.name not in unfit]

    figures, by_count = run_rounds(options, fields, lictor) if options.workloads else ({}, {})
    result = {
        "kernel": platform.release(),
        "cpu": re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())[1],
        "clock": options.clock,
        "rounds": options.rounds,
        "left_out": unfit,
        "figures": figures,
    }
    if by_count:
        result["patterns"] = by_count
    # Before the other, which installs rules for every daemon that comes after.
    if options.sight:
        result["sight"] = run_sight(lictor)
    if options.judging:
        result["judging"] = run_judging(options, lictor)
    if lictor and lictor.start_seconds:
        result["start_to_enforcing_s"] = lictor.start_seconds
        result["idle_resident_kib"] = lictor.resident_kib
    write_reports(result, options.out)


if __name__ == "__main__":
    main()
