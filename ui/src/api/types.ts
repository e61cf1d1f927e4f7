// SPDX-License-Identifier: Apache-2.0
// What the server says and is told. Every string that comes from a process is hostile: it is shown by `SafeText`.

export type Kind = "exec" | "file" | "network" | "process" | "memory" | "privilege" | "lost";
export type Action = "allow" | "deny" | "kill" | "hold" | "alert";
export type Tier = "floor" | "heartbeat" | "policy" | "verdict-cache" | "rules" | "classifier" | "llm" | "human";
export type Severity = "info" | "low" | "medium" | "high" | "critical";
export type Mode = "enforce" | "monitor";
export type RuleState = "draft" | "testing" | "active";
export type Role = "viewer" | "operator" | "admin";

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
export const SEVERITIES: readonly Severity[] = ["info", "low", "medium", "high", "critical"];

export interface Page<T> {
  items: T[];
  next: string | null;
}

export interface ProcessRef {
  pid?: number;
  start_time?: number;
  exe?: string;
  args?: string[];
  cmdline?: string;
}

export interface Process extends ProcessRef {
  ppid?: number;
  cwd?: string;
  uid?: number;
  gid?: number;
  parent?: ProcessRef;
  ancestors?: ProcessRef[];
  container?: { id?: string } | null;
}

export interface Verdict {
  action: Action;
  tier: Tier;
  rule?: string;
  /** `FILE:LINE:COLUMN` */
  source?: string;
  reason?: string;
  latency_us?: number;
  severity?: Severity;
  tags?: string[];
  also?: string[];
  score?: number;
  enforced?: boolean;
}

export interface Event {
  id: string;
  time?: string;
  kind: Kind;
  session?: string;
  agent?: string;
  process?: Process;
  exec?: { path?: string; sha256?: string; interpreter?: string | null; args?: string[] };
  file?: { op: string; path?: string; to?: string };
  network?: {
    op: string;
    family?: string;
    protocol?: string;
    address?: string;
    port?: number;
    domain?: string;
  };
  process_event?: { op: string; target?: number; code?: number };
  memory?: { op: string; path?: string };
  privilege?: { op: string; detail?: string };
  lost?: { count: number; reason: string };
  verdict?: Verdict;
}

export interface TierStatus {
  tier: Tier;
  state: string;
  reasons?: string[];
  counts?: Record<string, unknown>;
}

export interface Status {
  state: "ENFORCING" | "MONITORING" | "DEGRADED";
  reasons: string[];
  version: string;
  pid: number;
  kernel: string;
  lsm: string[];
  policy: string;
  epoch: number;
  sessions: number;
  older_builds?: { build: string; sessions: number }[];
  counters: Record<string, number>;
  judge?: TierStatus[];
  uptime_ms: number;
}

export interface Bucket {
  time: string;
  allow: number;
  deny: number;
  alert: number;
  kill: number;
  hold: number;
}

export interface Overview {
  verdicts: Bucket[];
  top_denials: { rule: string; count: number; last: string; example_event: string }[];
  sessions: number;
  /** Absent where nobody keeps alerts. */
  alerts_open?: number;
  lost: number;
}

export interface SessionSummary {
  id: string;
  agent?: string;
  mode?: Mode;
  started: string;
  ended?: string;
  user?: string;
  command?: string;
  tasks: number;
  events: number;
  denied: number;
  policy?: string;
  profile?: string;
}

export interface TreeNode {
  pid: number;
  start_time?: number;
  ppid?: number;
  exe?: string;
  args?: string[];
  cwd?: string;
  uid?: number;
  state: "running" | "exited";
  exit_code?: number;
  denied: number;
  started?: string;
  ended?: string;
  children: TreeNode[];
}

export interface Touched {
  files: { path: string; ops: string[]; count: number; denied: number }[];
  network: { address: string; port?: number; op: string; count: number; denied: number }[];
  programs: { path: string; count: number; denied: number }[];
}

export interface SessionDetail extends SessionSummary {
  tree: TreeNode[];
  touched: Touched;
  timeline: { time: string; events: number; denied: number }[];
  /** Only the newest events were looked at. */
  partial?: boolean;
}

export interface Explanation {
  event: Event;
  summary: string;
  rule?: string;
  source?: string;
  facts: { name: string; value: string }[];
  fix?: string;
}

export interface Investigation {
  event: Event;
  chain: ProcessRef[];
  before: Event[];
  after: Event[];
  evidence: { tier: Tier; outcome: string; detail?: string }[];
  explanation: Explanation;
  rule_text?: { file: string; line: number; text: string };
}

export type AlertState = "open" | "acknowledged" | "closed";

export interface Alert {
  id: string;
  key: string;
  title: string;
  severity: Severity;
  techniques: string[];
  count: number;
  first_seen: string;
  last_seen: string;
  state: AlertState;
  note?: string;
  session?: string;
  agent?: string;
  rule?: string;
  example_event?: string;
  chain: { pid?: number; exe?: string }[];
  source: "rule" | "kernel" | "loss" | "degraded" | "tamper";
}

export interface Silence {
  id: string;
  match: { rule?: string; session?: string; agent?: string; program?: string };
  until: string;
  reason: string;
  by: string;
}

export interface Rule {
  id: string;
  description: string;
  state: RuleState;
  severity: Severity;
  kinds: Kind[];
  action: string;
  tags: string[];
  file: string;
  line: number;
  hits: number;
  last_hit?: string;
  sessions: number;
  users: number;
  programs: number;
}

export interface RuleDetail extends Rule {
  text: string;
  condition: string;
}

export interface TextFile {
  name: string;
  text: string;
  etag: string;
}

export interface Problem {
  line: number;
  column: number;
  message: string;
}

export interface DryRun {
  events: number;
  matches: { rule: string; event: string; action: string }[];
  changed: WouldChange[];
}

export interface WouldChange {
  event: string;
  before?: Action;
  after: Action;
}

export interface Policy {
  file: string;
  text: string;
  epoch: number;
  agents: string[];
  etag: string;
}

export interface Profile {
  name: string;
  text: string;
}

export interface PolicyDiff {
  /** Unified; empty when nothing differs. */
  diff: string;
  would_change: WouldChange[];
  /** How many recorded events were asked for. */
  events: number;
}

export interface Verdicts {
  remembered: { key: string; allow: boolean; expires_in_ms?: number; verdict?: Verdict }[];
  held: { key: string; pid: number; session: string; waiting_ms: number; cmdline?: string }[];
}

export interface AuditEntry {
  seq?: number;
  time?: string;
  kind?: string;
  [fact: string]: unknown;
}

export interface AuditReport {
  ok: boolean;
  entries: number;
  head: string;
  problems: { line: number; entry?: number; kind: string; message: string }[];
  checkpoints: unknown[];
}

export interface Component {
  name: string;
  state: "ok" | "degraded" | "failed";
  detail: string;
}

export interface Me {
  name: string;
  role: Role;
  csrf?: string;
}

export type StreamMessage =
  | { type: "event"; event: Event }
  | { type: "lost"; count: number; reason: string }
  | { type: "error"; message: string }
  | { type: "ping" };
