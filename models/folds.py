# SPDX-License-Identifier: Apache-2.0
"""What is held out together, scores of held-out rows, and thresholds fixed on them."""

import numpy as np

from dataset import AGENTS, BENIGN_FOLDS, MALICIOUS_FOLDS

ATOMICS = "redcanaryco/atomic-red-team"
EASY = ["recorded/exec", "recorded/build"]


def source_folds(problem):
    """Masks of rows: each fold holds out whole sources, benign and malicious ones together."""
    benign = [fold for fold in BENIGN_FOLDS if np.isin(problem.source, fold).any()]
    folds = []
    for at, sources in enumerate(benign):
        test = np.isin(problem.source, sources) & (problem.label == 0)
        if at < len(MALICIOUS_FOLDS):
            test |= np.isin(problem.source, MALICIOUS_FOLDS[at]) & (problem.label == 1)
        folds.append(test)
    return folds


def technique_folds(problem, count=5, seed=3):
    """Masks of rows: each fold holds out whole ATT&CK techniques (with their sub-techniques), in whatever source, and
    a share of the benign clusters."""
    technique = np.array([str(row.get("technique", "")).split(".")[0] for row in problem.rows.rows])
    families = sorted(set(technique[problem.source == ATOMICS]))
    generator = np.random.default_rng(seed)
    generator.shuffle(families)
    share = generator.integers(0, count, int(problem.rows.cluster.max()) + 1)[problem.rows.cluster]
    folds = []
    for at in range(count):
        test = (problem.label == 1) & np.isin(technique, families[at::count]) | (problem.label == 0) & (share == at)
        folds.append(test)
    return folds


def held_out_scores(problem, model, folds, among=None):
    """Each row's score by a model that saw neither it nor its source or near-duplicates; NaN for rows in no fold.

    With `among` (a mask) only those rows exist.
    """
    scores = np.full(len(problem.label), np.nan)
    for test in folds:
        train = problem.apart(test)
        if among is not None:
            test = test & among
            train &= among
        if test.any() and problem.label[train].any():
            scores[test] = model().fit(train).score()[test]
    return scores


def threshold_for(problem, scores, rate):
    """The score that at most a share `rate` of the held-out benign rows is above, and of coding agents' commands too.

    Single executions that we recorded do not count: they are easy, and would lower it.
    """
    benign = (problem.label == 0) & ~np.isnan(scores) & ~np.isin(problem.source, EASY)
    agents = benign & np.isin(problem.source, sorted(AGENTS))
    return max(float(np.quantile(scores[rows], 1 - rate, method="higher")) for rows in (benign, agents))
