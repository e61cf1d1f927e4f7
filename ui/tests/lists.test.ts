// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { TreeNode } from "../src/api/types";
import { parseDiff } from "../src/lib/diff";
import { Ring } from "../src/lib/ring";
import { ago, axis, duration } from "../src/lib/time";
import { flatten, nodeKey } from "../src/lib/tree";

const node = (pid: number, denied: number, ...children: TreeNode[]): TreeNode => ({
  pid,
  start_time: pid,
  state: "running",
  denied,
  started: "2026-01-02T03:04:05Z",
  children,
});

describe("the ring of live events", () => {
  test("keeps the last and forgets the first", () => {
    const ring = new Ring<number>(3);
    for (let item = 0; item < 5; item += 1) ring.push(item);
    expect([ring.total, ring.first, ring.length]).toEqual([5, 2, 3]);
    expect([1, 2, 3, 4, 5].map((at) => ring.at(at))).toEqual([undefined, 2, 3, 4, undefined]);
    ring.clear();
    expect([ring.length, ring.at(4)]).toEqual([0, undefined]);
  });

  test("a hundred thousand and more cost no memory beyond the capacity", () => {
    const ring = new Ring<number>(100_000);
    for (let item = 0; item < 350_000; item += 1) ring.push(item);
    expect(ring.length).toBe(100_000);
    expect(ring.at(250_000)).toBe(250_000);
    expect(ring.at(249_999)).toBeUndefined();
  });
});

describe("the process tree", () => {
  const tree = [node(1, 0, node(2, 1, node(3, 2)), node(4, 0))];

  test("is read from top to bottom", () => {
    const rows = flatten(tree, new Set());
    expect(rows.map((row) => [row.node.pid, row.level, row.place, row.siblings])).toEqual([
      [1, 1, 1, 1],
      [2, 2, 1, 2],
      [3, 3, 1, 1],
      [4, 2, 2, 2],
    ]);
    expect(rows[0]).toMatchObject({ deniedBelow: 3, below: 3, open: true });
  });

  test("what is closed still tells of what is below", () => {
    const rows = flatten(tree, new Set([nodeKey(tree[0]?.children[0] as TreeNode)]));
    expect(rows.map((row) => row.node.pid)).toEqual([1, 2, 4]);
    expect(rows[1]).toMatchObject({ open: false, deniedBelow: 2, below: 1 });
  });

  test("a chain of fifty thousand does not overflow the stack", () => {
    let chain = node(50_000, 1);
    for (let pid = 49_999; pid > 0; pid -= 1) chain = node(pid, 0, chain);
    const rows = flatten([chain], new Set());
    expect(rows).toHaveLength(50_000);
    expect(rows[0]?.deniedBelow).toBe(1);
  });
});

test("a diff with its line numbers", () => {
  const diff = "--- a\n+++ b\n@@ -3,3 +3,3 @@\n same\n-old\n+new\n --- not a header\n\\ No newline at end of file\n";
  expect(parseDiff(diff)).toEqual([
    { kind: "hunk", text: "@@ -3,3 +3,3 @@" },
    { kind: "context", text: "same", before: 3, after: 3 },
    { kind: "removed", text: "old", before: 4 },
    { kind: "added", text: "new", after: 4 },
    { kind: "context", text: "--- not a header", before: 5, after: 5 },
  ]);
});

test("times in words", () => {
  expect([0, 59_999, 127_000, 90_000_000, 3_600_000].map(duration)).toEqual(["0s", "59s", "2m 7s", "1d 1h", "1h"]);
  const now = Date.parse("2026-01-02T03:04:05Z");
  expect(ago("2026-01-02T03:04:04Z", now)).toBe("now");
  expect(ago("2026-01-02T01:00:00Z", now)).toBe("2h ago");
  expect(ago("2026-01-02T03:09:05Z", now)).toBe("in 5m");
  expect(ago("no time", now)).toBe("no time");
});

test("what stands below a chart says the day where one begins, and seconds where they say something", () => {
  const at = (...times: string[]) => axis(times.map((time) => new Date(time).toISOString()));
  expect(at("2026-11-21T23:53:57", "2026-11-21T23:54:12")).toEqual(["23:53:57", "23:54:12"]);
  expect(at("2026-11-21T20:00:00", "2026-11-21T22:00:00", "2026-11-22T00:00:00")).toEqual(["11-21", "22:00", "11-22"]);
  expect(at("2026-11-18T20:00:00", "2026-11-21T20:00:00")).toEqual(["11-18", "11-21"]);
  expect(axis([])).toEqual([]);
});
