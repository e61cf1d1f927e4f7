// SPDX-License-Identifier: Apache-2.0
import { request } from "../api/client";
import type { DryRun } from "../api/types";

/** Every stored event of the time is judged. */
const TIMEOUT_MS = 120_000;
const MATCHES = 1000;

/** One rule's text stands alone in an answer of the server; a file has a head. */
export function asFile(text: string): string {
  if (/^\s*version:/m.test(text) && /^rules:/m.test(text)) return text;
  const lines = text.replace(/\s+$/, "").split("\n");
  const indent = Math.min(
    ...lines.filter((line) => line.trim() !== "").map((line) => line.length - line.trimStart().length),
  );
  const flush = lines.map((line) => line.slice(indent));
  const item = flush[0]?.startsWith("- ")
    ? flush
    : flush.map((line, at) => (at === 0 ? `- ${line}` : line && `  ${line}`));
  return `version: 1\nrules:\n${item.map((line) => (line ? `  ${line}` : "")).join("\n")}\n`;
}

/** What the rules in `text` would have said of stored events since `since`. */
export const dryRun = (text: string, since: string): Promise<DryRun> =>
  request<DryRun>("POST", "/rules/dry-run", {
    body: { text: asFile(text), since, limit: MATCHES },
    timeoutMs: TIMEOUT_MS,
  });
