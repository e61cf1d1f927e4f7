// SPDX-License-Identifier: Apache-2.0
// Entries of the audit chain in words.
import type { AuditEntry } from "../api/types";

/** Whom it is about, once each: `uid:1000`, or why that cannot be said. */
export function auditWho(entry: AuditEntry): string {
  return [...new Set((entry.personal ?? []).map((one) => one.subject ?? one.state))].join(", ");
}

/** What the chain says in the open, and what could be unsealed; who did it has a column of its own. */
export function auditDetail(entry: AuditEntry): string {
  const open = entry.kind === "checkpoint" ? [] : facts(entry.data ?? {});
  const sealed = (entry.personal ?? []).flatMap((one) =>
    typeof one.text === "object" && one.text !== null
      ? facts(one.text).filter((fact) => !fact.startsWith("who: "))
      : one.state === "open"
        ? []
        : [`(${one.state})`],
  );
  return [...open, ...sealed].join(" · ");
}

function facts(of: object): string[] {
  return Object.entries(of)
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => `${name.replaceAll("_", " ")}: ${plain(value)}`);
}

function plain(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (value !== null && typeof value === "object") {
    return Object.entries(value)
      .map(([name, inner]) => `${name} ${plain(inner)}`)
      .join(", ");
  }
  return String(value);
}
