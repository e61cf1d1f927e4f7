// SPDX-License-Identifier: Apache-2.0
// What the server says and is told: names for the generated types (`ui/run types`). Every string that comes from a process
// is hostile: it is shown by `SafeText`.
import type { components } from "./schema";

type Schemas = components["schemas"];
/** What is not known is left out of an answer, and never null; the generated types cannot say so. */
type Given<T> = T extends readonly (infer Element)[]
  ? Given<Element>[]
  : T extends object
    ? { [Name in keyof T]: Given<Exclude<T[Name], null>> }
    : T;

export type Kind = Schemas["Kind"];
export type Action = Schemas["Action"];
export type Tier = Schemas["Tier"];
export type Severity = Schemas["Severity"];
export type RuleState = Schemas["RuleState"];

export const KINDS: readonly Kind[] = ["exec", "file", "network", "process", "memory", "privilege", "lost"];
export const ACTIONS: readonly Action[] = ["allow", "deny", "kill", "hold", "alert"];
export const TIERS: readonly Tier[] = [
  "floor",
  "heartbeat",
  "policy",
  "verdict-cache",
  "rules",
  "classifier",
  "llm",
  "human",
];
/** From harmless to worst. */
export const SEVERITIES: readonly Severity[] = ["info", "low", "medium", "high", "critical"];

/** A part of a list; `next` is the `cursor` of what follows. */
export interface Page<T> {
  items: T[];
  next: string | null;
}

export type Event = Given<Schemas["Event"]>;
export type Verdict = Given<Schemas["Verdict"]>;
export type Network = Given<Schemas["Network"]>;
export type ProcessEvent = Given<Schemas["ProcessEvent"]>;
export type Status = Given<Schemas["Status"]>;
export type Overview = Given<Schemas["Overview"]>;
export type Bucket = Schemas["VerdictBucket"];
export type SessionSummary = Given<Schemas["SessionRow"]>;
export type SessionDetail = Given<Schemas["SessionDetail"]>;
export type TreeNode = Given<Schemas["ProcessNode"]>;
export type ChainLink = Given<Schemas["ChainLink"]>;
export type Investigation = Given<Schemas["Investigation"]>;
export type AlertState = Schemas["AlertState"];
export type Alert = Given<Schemas["Alert"]>;
export type Silence = Given<Schemas["Silence"]>;
export type Rule = Given<Schemas["RuleRow"]>;
export type RuleDetail = Given<Schemas["RuleDetail"]>;
export type TextFile = Schemas["TextFile"];
export type Problem = Schemas["TextProblem"];
export type DryRun = Given<Schemas["DryRunResult"]>;
export type Policy = Schemas["PolicyView"];
export type Profile = Schemas["Profile"];
export type PolicyDiff = Given<Schemas["PolicyDiff"]>;
export type Verdicts = Given<Schemas["Verdicts"]>;
/** An entry of the audit chain, with what could be unsealed of it; the kinds are an open set. */
export interface AuditEntry {
  n: number;
  time: string;
  kind: string;
  data?: Record<string, unknown>;
  /** What it says of people: `state` is `open`, `sealed` (no key here) or `erased`. */
  personal?: { id: string; subject?: string; state: string; text?: unknown }[];
}
export type AuditReport = Given<Schemas["AuditReport"]>;
export type Component = Schemas["Component"];
export type Me = Given<Schemas["Me"]>;
export type StreamMessage = Given<Schemas["LiveMessage"]>;
