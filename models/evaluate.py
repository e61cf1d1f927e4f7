#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the model card reports: every approach on sources, and on techniques, that it never saw.

    models/evaluate.py --data FOLDER [--recorded FILE] --featurize PROGRAM [--out FILE] [APPROACH...]

For each fold the threshold of a nominal false-positive rate is fixed on the held-out scores of the *other* folds'
benign rows (single executions that were recorded do not count: they are easy), and only then applied to the fold. So a realised rate can be, and is, other than the nominal one. Intervals: 95 %, 1000 bootstrap samples of
near-duplicate clusters.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import dataset
from folds import ATOMICS, EASY, held_out_scores, source_folds, technique_folds
from learn import Bag, Baseline, Ensemble, Linear, Problem, Trees

RATES = (0.001, 0.005, 0.01)


def decided(problem, scores, folds, rate):
    """For each row with a score: whether it is above the threshold that the other folds gave."""
    above = np.zeros(len(scores), dtype=bool)
    countable = (problem.label == 0) & ~np.isin(problem.source, EASY) & ~np.isnan(scores)
    for test in folds:
        threshold = np.quantile(scores[countable & ~test], 1 - rate, method="higher")
        above[test] = scores[test] > threshold
    return above


def interval(problem, above, mask, samples=1000):
    """Share of `mask` that is above, with its interval over clusters."""
    rows = np.flatnonzero(mask)
    if len(rows) == 0:
        return None
    _, which = np.unique(problem.rows.cluster[rows], return_inverse=True)
    hits = np.bincount(which, weights=above[rows])
    sizes = np.bincount(which)
    generator = np.random.default_rng(5)
    draws = generator.integers(0, len(sizes), (samples, len(sizes)))
    shares = hits[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return [round(float(x), 4) for x in (above[rows].mean(), low, high)] + [len(rows)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recorded", type=Path, default=Path(__file__).parent / "data/recorded.jsonl.gz")
    parser.add_argument("--featurize", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "figures.json")
    parser.add_argument("approach", nargs="*", default=["baseline", "linear", "trees", "bag", "ensemble"])
    arguments = parser.parse_args()
    rows, _ = dataset.load(arguments.data, arguments.recorded, arguments.featurize)
    problem = Problem(rows)
    approaches = {"baseline": Baseline, "linear": Linear, "trees": Trees, "bag": Bag, "ensemble": Ensemble}
    figures = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.approach:
        figures[name] = {}
        for kind, folds in (("sources", source_folds(problem)), ("techniques", technique_folds(problem))):
            scores = held_out_scores(problem, lambda: approaches[name](problem), folds)
            known = ~np.isnan(scores)
            for rate in RATES:
                above = decided(problem, scores, folds, rate)
                masks = {}
                if kind == "sources":
                    masks["strong"] = problem.strong & known
                    for source in sorted(set(problem.source[problem.strong])):
                        masks[f"strong {source}"] = problem.strong & known & (problem.source == source)
                    for source in sorted(set(problem.source[problem.label == 0])):
                        masks[f"benign {source}"] = (problem.label == 0) & known & (problem.source == source)
                    masks["agents"] = (problem.label == 0) & known & np.isin(problem.source, sorted(dataset.AGENTS))
                else:
                    masks["strong atomics"] = problem.strong & known & (problem.source == ATOMICS)
                masks["benign"] = (problem.label == 0) & known & ~np.isin(problem.source, EASY)
                figures[name][f"{kind} {rate}"] = {what: interval(problem, above, mask) for what, mask in masks.items() if mask.any()}
            for rate in RATES:
                got = figures[name][f"{kind} {rate}"]
                print(name, kind, rate, {what: got[what] for what in ("strong", "strong atomics", "benign", "agents") if what in got}, flush=True)
        arguments.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
