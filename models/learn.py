# SPDX-License-Identifier: Apache-2.0
"""The approaches that were tried, with one shape: `fit(train)` on a mask of rows, `score()` for all rows."""

import warnings

import lightgbm
import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from dataset import AGENTS, text_of

SEED = 20
# What the hashed features are multiplied by before the linear model: they are scaled to unit groups, the dense to 0..1.
HASHED_SCALE = 3.0
DENSE_SCALE = 1.0


class Problem:
    """Labels, weights and matrices of a set of rows."""

    def __init__(self, rows):
        self.rows = rows
        self.texts = [text_of(row) for row in rows.rows]
        self.source = rows.column("source")
        self.label = (rows.column("label") == "malicious").astype(int)
        self.weak = np.array([bool(row.get("weak")) for row in rows.rows])
        self.dual = np.array([bool(row.get("dual_use")) for row in rows.rows])
        self.strong = (self.label == 1) & ~self.weak & ~self.dual
        self.weight = self.weights()
        self.names = rows.names
        self.matrix = sparse.hstack([rows.hashed * HASHED_SCALE, sparse.csr_matrix(rows.dense * DENSE_SCALE)]).tocsr()
        # What says that something was recognised may only raise the score; and what was learned of one kind holds for
        # a technique that the data lack.
        rising = ("severity:", "count:", "data-severity:", "command:", "pattern:", "sign:", "context:")
        self.monotone = [1 if name.startswith(rising) else 0 for name in self.names]

    def weights(self):
        """Large sources do not drown small ones, near-duplicates share, coding agents' commands count more, rows whose
        label says little count little."""
        weight = np.ones(len(self.label))
        for source in set(self.source):
            benign = (self.source == source) & (self.label == 0)
            malicious = (self.source == source) & (self.label == 1)
            if benign.any():
                weight[benign] = min(2.5, (1500 / benign.sum()) ** 0.5) * (2.5 if source in AGENTS else 1.0)
            if malicious.any():
                weight[malicious] = min(1.5, (200 / malicious.sum()) ** 0.5)
        weight[np.isin(self.source, ["recorded/exec", "recorded/build"])] *= 0.5
        weight[self.weak] *= 0.3
        weight[self.dual] *= 0.1
        _, which, count = np.unique(self.rows.cluster, return_inverse=True, return_counts=True)
        weight /= np.sqrt(count[which])
        malicious = self.label == 1
        weight[malicious] *= 0.15 * weight[~malicious].sum() / weight[malicious].sum()
        return weight / weight.mean()

    def windows(self, mask):
        return mask[self.rows.window_row]

    def highest(self, scores):
        """Of each row's windows the highest score."""
        out = np.full(len(self.label), -np.inf)
        np.maximum.at(out, self.rows.window_row, scores)
        return out

    def apart(self, test):
        """The rows that may train when `test` is held out: none of it, and none of its near-duplicates."""
        return ~test & ~np.isin(self.rows.cluster, np.unique(self.rows.cluster[test]))


class Linear:
    """Logistic regression on hashed and dense features."""

    def __init__(self, problem, strength=1.0):
        self.problem, self.strength = problem, strength

    def fit(self, train):
        mask = self.problem.windows(train)
        rows = self.problem.rows.window_row[mask]
        self.model = LogisticRegression(C=self.strength, max_iter=300, tol=1e-3, solver="liblinear", random_state=SEED)
        self.model.fit(self.problem.matrix[mask], self.problem.label[rows], self.problem.weight[rows])
        return self

    def score(self):
        return self.problem.highest(self.model.decision_function(self.problem.matrix))


class Trees:
    """Boosted trees on the dense features."""

    def __init__(self, problem, rounds=200, **parameters):
        self.problem, self.rounds, self.parameters = problem, rounds, parameters

    def fit(self, train):
        mask = self.problem.windows(train)
        rows = self.problem.rows.window_row[mask]
        parameters = dict(
            objective="binary", num_leaves=15, min_data_in_leaf=20, learning_rate=0.06, feature_fraction=0.3, bagging_fraction=0.7,
            monotone_constraints=self.problem.monotone, monotone_constraints_method="basic", bagging_freq=1, lambda_l2=5, path_smooth=2, max_bin=63, verbose=-1, num_threads=1, seed=SEED, deterministic=True, force_col_wise=True,
        ) | self.parameters
        data = lightgbm.Dataset(self.problem.rows.dense[mask], self.problem.label[rows], weight=self.problem.weight[rows])
        self.model = lightgbm.train(parameters, data, self.rounds)
        return self

    def score(self):
        return self.problem.highest(self.model.predict(self.problem.rows.dense, raw_score=True, num_threads=1))


class Bag:
    """Subword embeddings: a small network over the sum of the hashed features' vectors and the dense features."""

    def __init__(self, problem, buckets=8192):
        self.problem = problem
        folded = problem.rows.hashed.tocoo()
        folded = sparse.csr_matrix((folded.data, (folded.row, folded.col % buckets)), shape=(folded.shape[0], buckets))
        self.matrix = sparse.hstack([folded * HASHED_SCALE, sparse.csr_matrix(problem.rows.dense)]).tocsr().astype(np.float32)

    def fit(self, train):
        mask = self.problem.windows(train)
        rows = self.problem.rows.window_row[mask]
        # The network takes no weights: rows are drawn by them.
        weight = self.problem.weight[rows]
        draw = np.random.default_rng(SEED).choice(len(rows), len(rows), p=weight / weight.sum())
        self.model = MLPClassifier((24,), alpha=1e-3, batch_size=256, learning_rate_init=2e-3, max_iter=6, random_state=SEED)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.fit(self.matrix[mask][draw], self.problem.label[rows][draw])
        return self

    def score(self):
        probability = self.model.predict_proba(self.matrix)[:, 1].astype(np.float64).clip(1e-9, 1 - 1e-9)
        return self.problem.highest(np.log(probability / (1 - probability)))


class Baseline:
    """TF-IDF of character 1- to 5-grams of the raw line, logistic regression."""

    def __init__(self, problem):
        self.problem = problem

    def fit(self, train):
        self.words = TfidfVectorizer(analyzer="char", ngram_range=(1, 5), min_df=2, sublinear_tf=True, max_features=200_000)
        text = self.words.fit_transform([self.problem.texts[row] for row in np.flatnonzero(train)])
        self.model = LogisticRegression(C=10, max_iter=200, class_weight="balanced", solver="liblinear", random_state=SEED)
        self.model.fit(text, self.problem.label[train])
        return self

    def score(self):
        return self.model.decision_function(self.words.transform(self.problem.texts))


class Ensemble:
    """A weighted mean of log-odds, window by window."""

    def __init__(self, problem, linear=0.6, trees=0.4):
        self.problem, self.weights = problem, (linear, trees)
        self.linear, self.trees = Linear(problem), Trees(problem)

    def fit(self, train):
        self.linear.fit(train)
        self.trees.fit(train)
        return self

    def score(self):
        linear = self.linear.model.decision_function(self.problem.matrix)
        trees = self.trees.model.predict(self.problem.rows.dense, raw_score=True, num_threads=1)
        return self.problem.highest(self.weights[0] * linear + self.weights[1] * trees)

    def parts(self):
        """For `export.graph`."""
        hashed = self.problem.rows.hashed.shape[1]
        weights = self.linear.model.coef_[0]
        return dict(
            hashed=weights[:hashed] * HASHED_SCALE, dense=weights[hashed:] * DENSE_SCALE, bias=float(self.linear.model.intercept_[0]),
            linear_weight=self.weights[0], trees=self.trees.model, tree_weight=self.weights[1],
        )
