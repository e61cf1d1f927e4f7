// SPDX-License-Identifier: Apache-2.0

export interface DiffLine {
  kind: "added" | "removed" | "context" | "hunk";
  text: string;
  before?: number;
  after?: number;
}

/** The lines of a unified diff with their numbers in both files. File headers are left out. */
export function parseDiff(diff: string): DiffLine[] {
  const lines: DiffLine[] = [];
  let before = 0;
  let after = 0;
  let inHunk = false;
  for (const line of diff.split("\n")) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(line);
    if (hunk) {
      before = Number(hunk[1]);
      after = Number(hunk[2]);
      inHunk = true;
      lines.push({ kind: "hunk", text: line });
    } else if (!inHunk || line.startsWith("\\") || line === "") {
      // File headers, "no newline at end of file", the end.
    } else if (line.startsWith("+")) {
      lines.push({ kind: "added", text: line.slice(1), after });
      after += 1;
    } else if (line.startsWith("-")) {
      lines.push({ kind: "removed", text: line.slice(1), before });
      before += 1;
    } else {
      lines.push({ kind: "context", text: line.slice(1), before, after });
      before += 1;
      after += 1;
    }
  }
  return lines;
}
