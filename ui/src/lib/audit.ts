// SPDX-License-Identifier: Apache-2.0
// Entries of the audit chain in words.
import type { AuditEntry, Event } from "../api/types";
import { OUTCOME_WORDS, object, operation, outcome } from "./events";

/** Whom it is about, once each: `uid:1000`, or why that cannot be said. */
export function auditWho(entry: AuditEntry): string {
  return [...new Set((entry.personal ?? []).map((one) => one.subject ?? one.state))].join(", ");
}

/** The event of a verdict, where it can be read: its facts are said as everywhere else, the rest is behind the line. */
function verdictLine(entry: AuditEntry): string | undefined {
  const texts = (entry.personal ?? []).map((one) => one.text);
  const event = texts.flatMap((text) =>
    typeof text === "object" && text !== null && "event" in text ? [text.event as Event] : [],
  )[0];
  if (entry.kind !== "verdict" || !event?.verdict) return undefined;
  const { rule, tier } = event.verdict;
  const what = [operation(event), OUTCOME_WORDS[outcome(event)]].join(" ");
  const who = [event.agent, event.session].filter(Boolean).join(", ");
  return [[what, object(event)].filter(Boolean).join(": "), rule ?? tier, who].filter(Boolean).join(" · ");
}

/** What the chain says in the open, and what could be unsealed; who did it has a column of its own. */
export function auditDetail(entry: AuditEntry): string {
  const verdict = verdictLine(entry);
  if (verdict) return verdict;
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
