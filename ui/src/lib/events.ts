// SPDX-License-Identifier: Apache-2.0
// An event in words. The same answers as `Event::object` and `Event::operation` in lictor-api.
import type { Action, Event, Verdict } from "../api/types";

/** Whether the action was refused, or would have been in a session that only monitors. */
export function isDenied(event: Event): boolean {
  return event.verdict?.action === "deny" || event.verdict?.action === "kill";
}

/** What became of it, in one word. A denial that did not take place says so. */
export type Outcome = Action | "would-deny" | "lost" | "none";

export function outcome(event: Event): Outcome {
  if (event.kind === "lost") return "lost";
  return event.verdict ? verdictOutcome(event.verdict) : "none";
}

export function verdictOutcome(verdict: Verdict): Outcome {
  const refused = verdict.action === "deny" || verdict.action === "kill";
  return refused && verdict.enforced === false ? "would-deny" : verdict.action;
}

/** What was done to the object; the kind itself where it has no operations. */
export function operation(event: Event): string {
  return (
    event.file?.op ??
    event.network?.op ??
    event.process_event?.op ??
    event.memory?.op ??
    event.privilege?.op ??
    event.kind
  );
}

/** What was acted on, as one short text. */
export function object(event: Event): string {
  if (event.exec) return event.exec.path ?? "";
  if (event.file) {
    const { path, to } = event.file;
    return path !== undefined && to !== undefined ? `${path} -> ${to}` : (path ?? to ?? "");
  }
  if (event.network) return endpoint(event.network);
  if (event.process_event) return processObject(event.process_event);
  if (event.memory) return event.memory.path ?? "anonymous memory";
  if (event.privilege) return event.privilege.detail ?? "";
  if (event.lost) return `${event.lost.count} events: ${event.lost.reason}`;
  return event.kind === "exec" ? (event.process?.exe ?? "") : "";
}

function processObject(happened: NonNullable<Event["process_event"]>): string {
  const { op, target, code } = happened;
  const codes: Record<string, string> = { exit: `status ${code}`, setuid: `uid ${code}`, signal: `${code} to` };
  const parts = [code === undefined ? undefined : (codes[op] ?? String(code)), target && `pid ${target}`];
  return parts.filter(Boolean).join(" ");
}

/** As a policy would write it: `10.0.0.1:443/udp`, `[2001:db8::1]:53`, `/run/x.sock`. */
export function endpoint(network: NonNullable<Event["network"]>): string {
  const { domain, address, port, protocol, family } = network;
  let out = domain ?? address;
  if (out === undefined) return family ?? "";
  if (!domain && port !== undefined && out.includes(":")) out = `[${out}]`;
  if (port === undefined) return out;
  return `${out}:${port}${protocol && protocol !== "tcp" ? `/${protocol}` : ""}`;
}

export const OUTCOME_WORDS: Record<Outcome, string> = {
  allow: "allowed",
  deny: "denied",
  kill: "killed",
  hold: "held",
  alert: "alert",
  "would-deny": "would deny",
  lost: "lost",
  none: "recorded",
};

export const TIER_WORDS: Record<string, string> = {
  floor: "the floor, which holds whatever the policy says",
  heartbeat: "the kernel, as lictord had not been heard of",
  policy: "the policy",
  "verdict-cache": "a stored verdict",
  rules: "a rule",
  classifier: "the classifier",
  llm: "the language model",
  human: "a person",
};
