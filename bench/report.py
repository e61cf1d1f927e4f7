# SPDX-License-Identifier: Apache-2.0
"""From figures to a table, and to a plain word on each number that is promised."""

import json
import statistics

import judging
import sight

BARE = "nothing"
MACRO = "git clone + C build"


def ratios(figures, kind):
    """Round by round against the bare figure of the same round: (median, lowest, highest) for each subject."""
    bare = figures[BARE]
    out = {}
    for subject, rounds in figures.items():
        by_round = [figure[kind] / reference[kind] for figure, reference in zip(rounds, bare, strict=True)]
        out[subject] = (statistics.median(by_round), min(by_round), max(by_round))
    return out


def human(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"


def promises(result, table):
    """(what is promised, what was measured, met or not); only for what was measured."""

    def cost(workload, subject):
        return table.get(workload, {}).get(subject, (None,))[0]

    rows = []
    for workload in ("open+close", "exec", "connect+accept"):
        mine, theirs = cost(workload, "Lictor, governed"), cost(workload, "AppArmor")
        if mine and theirs:
            rows.append((f"governed {workload} costs at most what AppArmor costs ({theirs:.2f})", f"{mine:.2f}", mine <= theirs))
    for subject, limit in (("Lictor, ungoverned", 1.01), ("Lictor, governed", 1.02)):
        if measured := cost(MACRO, subject):
            rows.append((f"{subject}, macro: at most {limit}", f"{measured:.3f}", measured <= limit))
    if by_count := result.get("patterns"):
        few, many = sorted(by_count)
        each = [b["own"] / a["own"] for a, b in zip(by_count[few], by_count[many], strict=True)]
        measured = statistics.median(each)
        rows.append((f"an open under {many} patterns costs at most 1.2 times one under {few}", f"{measured:.2f}", measured <= 1.2))
    if seconds := result.get("start_to_enforcing_s"):
        measured = statistics.median(seconds)
        rows.append(("start to ENFORCING under 2 s (natively)", f"{measured:.2f} s", measured < 2))
    if resident := result.get("idle_resident_kib"):
        # Later starts find recorded events, and at last rules.
        measured = resident[0] / 1024
        rows.append(("idle lictord, nothing recorded, under 60 MB resident", f"{measured:.1f} MB", measured < 60))
    if judged := result.get("judging"):
        rows += judging.promises(judged)
    if seen := result.get("sight"):
        rows += sight.promises(seen)
    return rows


def table_lines(result, kind):
    subjects = list(next(iter(result["figures"].values())))
    rest = [subject for subject in subjects if subject != BARE]
    lines = ["| workload | bare | " + " | ".join(rest) + " |", "|---|---|" + "---|" * len(rest)]
    for workload, figures in result["figures"].items():
        by_subject = ratios(figures, kind)
        bare = human(statistics.median(figure[kind] for figure in figures[BARE]))
        cells = [f"{m:.3f} ({low:.3f} to {high:.3f})" for m, low, high in (by_subject[s] for s in rest)]
        lines.append(f"| {workload} | {bare} | " + " | ".join(cells) + " |")
    return lines


def markdown(result, rows):
    lines = [f"Kernel {result['kernel']}, {result['cpu']}, {result['rounds']} rounds, clock: {result['clock']}."]
    if result["figures"]:
        lines += [
            "Each figure is a multiple of the bare run in the same round: median (lowest to highest).",
            "",
            "What the workload itself pays (its processor time, kernel included):",
            "",
            *table_lines(result, "own"),
            "",
            "What passes on a single processor (waiting and the daemons' work included):",
            "",
            *table_lines(result, "passed"),
        ]
    if judged := result.get("judging"):
        lines += ["", *judging.lines(judged)]
    if seen := result.get("sight"):
        lines += ["", *sight.lines(seen)]
    lines += [f"\n{name} is left out: {reason}." for name, reason in result["left_out"].items()]
    if rows:
        lines += ["", "| promised | measured | |", "|---|---|---|"]
        lines += [f"| {what} | {measured} | {'met' if met else 'NOT met'} |" for what, measured, met in rows]
    return "\n".join(lines) + "\n"


def write_reports(result, out):
    out.mkdir(parents=True, exist_ok=True)
    tables = {kind: {workload: ratios(figures, kind) for workload, figures in result["figures"].items()} for kind in ("own", "passed")}
    rows = promises(result, tables["own"])
    text = markdown(result, rows)
    (out / "table.md").write_text(text)
    result = {
        **result,
        "ratios": tables,
        "promises": [{"promised": what, "measured": measured, "met": met} for what, measured, met in rows],
    }
    (out / "results.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(text)
