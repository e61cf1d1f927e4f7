// SPDX-License-Identifier: Apache-2.0
import type { TreeNode } from "../api/types";

/** One visible line of the process tree. */
export interface TreeRow {
  key: string;
  node: TreeNode;
  /** From 1. */
  level: number;
  /** Place among its siblings, from 1, and how many they are. */
  place: number;
  siblings: number;
  open: boolean;
  /** Denials of those below it, itself left out. */
  deniedBelow: number;
  /** How many processes are below it. */
  below: number;
}

/** A pid alone is used again; with the start time it names one process for good. */
export const nodeKey = (node: TreeNode): string => `${node.pid}.${node.start_time ?? node.started ?? ""}`;

/** The tree's lines from top to bottom; what is below a closed node is left out. Not recursive: a chain can be deep. */
export function flatten(roots: readonly TreeNode[], closed: ReadonlySet<string>): TreeRow[] {
  const sums = sumBelow(roots);
  const rows: TreeRow[] = [];
  const todo: { node: TreeNode; level: number; place: number; siblings: number }[] = [];
  const push = (nodes: readonly TreeNode[], level: number) => {
    for (let at = nodes.length - 1; at >= 0; at -= 1) {
      const node = nodes[at];
      if (node) todo.push({ node, level, place: at + 1, siblings: nodes.length });
    }
  };
  push(roots, 1);
  for (let next = todo.pop(); next; next = todo.pop()) {
    const { node, level } = next;
    const key = nodeKey(node);
    const open = node.children.length > 0 && !closed.has(key);
    const { below, denied } = sums.get(node) ?? { below: 0, denied: 0 };
    rows.push({ key, open, deniedBelow: denied, below, ...next });
    if (open) push(node.children, level + 1);
  }
  return rows;
}

function sumBelow(roots: readonly TreeNode[]): Map<TreeNode, { below: number; denied: number }> {
  const order: TreeNode[] = [...roots];
  for (let at = 0; at < order.length; at += 1) order.push(...(order[at]?.children ?? []));
  const sums = new Map<TreeNode, { below: number; denied: number }>();
  for (const node of order.reverse()) {
    const sum = { below: 0, denied: 0 };
    for (const child of node.children) {
      const childSum = sums.get(child) ?? { below: 0, denied: 0 };
      sum.below += 1 + childSum.below;
      sum.denied += child.denied + childSum.denied;
    }
    sums.set(node, sum);
  }
  return sums;
}
