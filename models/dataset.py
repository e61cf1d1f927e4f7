# SPDX-License-Identifier: Apache-2.0
"""Rows, their features, near-duplicate clusters and the folds that keep them apart."""

import gzip
import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

AGENTS = {"THUDM/AgentBench", "SWE-agent/SWE-agent", "recorded/agent"}

# Sources that are held out together: alike in kind, or too small to be judged alone.
MALICIOUS_FOLDS = [
    ["GTFOBins/GTFOBins.github.io"],
    ["redcanaryco/atomic-red-team"],
    ["swisskyrepo/PayloadsAllTheThings"],
    ["dtrizna/slp", "0dayCTF/reverse-shell-generator"],
    ["uber-common/metta", "falcosecurity/event-generator"],
]
BENIGN_FOLDS = [
    ["tldr-pages/tldr"],
    ["TellinaTool/nl2bash"],
    ["THUDM/AgentBench", "SWE-agent/SWE-agent", "dtrizna/slp"],
    ["cheat/cheatsheets", "actions/starter-workflows", "actions/runner-images", "geerlingguy/ansible-for-devops", "dev-sec/ansible-collection-hardening", "debops/debops"],
    ["jjhenkel/binnacle-icse2020", "docker-library/postgres", "docker-library/python", "debian-maintainer-scripts", "devcontainers/features"],
    ["recorded/agent"],
    ["recorded/build"],
]


@dataclass
class Rows:
    """Rows and the windows that the featuriser made of them.

    `window_row[w]` is the row of window `w`; a row's score is the highest of its windows'.
    """

    rows: list
    dense: np.ndarray
    hashed: sparse.csr_matrix
    window_row: np.ndarray
    cluster: np.ndarray
    names: list

    def column(self, name, default=""):
        return np.array([row.get(name, default) for row in self.rows], dtype=object)


def load_rows(data: Path, recorded: Path | None):
    """All training rows; those recorded here have `source` recorded/agent or recorded/build."""
    rows = []
    for name in ("malicious.train.jsonl", "benign.train.jsonl"):
        with open(data / name, encoding="utf-8") as lines:
            rows.extend(json.loads(line) for line in lines)
    if recorded is not None and recorded.exists():
        with gzip.open(recorded, "rt", encoding="utf-8") as lines:
            rows.extend(json.loads(line) for line in lines)
    return rows


def text_of(row):
    return row["cmd"] if "cmd" in row else " ".join(row["args"])


def featurize(rows, program: Path):
    """Runs the featuriser of the daemon over `rows`: dense and hashed features of every window."""
    shape = json.loads(subprocess.run([program, "--shape"], check=True, capture_output=True).stdout)
    wanted = ({"args": row["args"]} if "args" in row else {"cmd": row["cmd"]} for row in rows)
    text = "\n".join(json.dumps(row) for row in wanted) + "\n"
    raw = subprocess.run([program], input=text.encode(), check=True, capture_output=True).stdout
    words = np.frombuffer(raw, dtype="<u4")
    floats = words.view("<f4")
    dense, indices, values, ends, window_row = [], [], [], [0], []
    at, row = 0, 0
    width = shape["dense"]
    while at < len(words):
        windows = int(words[at])
        at += 1
        for _ in range(windows):
            dense.append(floats[at : at + width])
            at += width
            count = int(words[at])
            at += 1
            indices.append(words[at : at + count])
            values.append(floats[at + count : at + 2 * count])
            at += 2 * count
            ends.append(ends[-1] + count)
            window_row.append(row)
        row += 1
    if row != len(rows):
        raise RuntimeError(f"{row} rows came back of {len(rows)}")
    hashed = sparse.csr_matrix(
        (np.concatenate(values), np.concatenate(indices).astype(np.int32), np.array(ends)), shape=(len(dense), shape["sparse"])
    )
    return np.array(dense, dtype=np.float32), hashed, np.array(window_row), shape


HOST = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\b[\w.-]+\.(?:com|org|net|io|example)\b|https?://\S+")


def shingles(text):
    """Character 4-grams of the text with hosts and numbers as their kind."""
    text = re.sub(r"\d+", "0", HOST.sub("H", text)).lower()
    text = re.sub(r"\s+", " ", text)
    return {text[i : i + 4] for i in range(max(1, len(text) - 3))}


def clusters(rows, permutations=64, bands=16, threshold=0.7):
    """Near-duplicate clusters: MinHash candidates, confirmed by Jaccard of 4-grams; the id of each row's cluster."""
    rng = np.random.default_rng(7)
    a = rng.integers(1, 2**31 - 1, permutations, dtype=np.uint64)
    b = rng.integers(0, 2**31 - 1, permutations, dtype=np.uint64)
    prime = np.uint64(2**31 - 1)
    parent = list(range(len(rows)))

    def find(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    sets, buckets = [], [dict() for _ in range(bands)]
    step = permutations // bands
    for i, row in enumerate(rows):
        grams = shingles(text_of(row)[:4000])
        sets.append(grams)
        hashes = np.array([int.from_bytes(hashlib.blake2b(g.encode(), digest_size=4).digest(), "little") for g in grams], dtype=np.uint64)
        signature = ((hashes[:, None] * a + b) % prime).min(axis=0)
        for band in range(bands):
            key = signature[band * step : (band + 1) * step].tobytes()
            for other in buckets[band].setdefault(key, [])[-8:]:
                x, y = find(i), find(other)
                if x != y and len(sets[other] & grams) >= threshold * len(sets[other] | grams):
                    parent[x] = y
            buckets[band][key].append(i)
    return np.array([find(i) for i in range(len(rows))])


def load(data: Path, recorded: Path | None, program: Path):
    rows = load_rows(data, recorded)
    dense, hashed, window_row, shape = featurize(rows, program)
    return Rows(rows, dense, hashed, window_row, clusters(rows), shape["names"]), shape
