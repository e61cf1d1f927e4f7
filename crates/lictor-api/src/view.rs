// SPDX-License-Identifier: Apache-2.0
//! What the HTTP interface shows and takes, beside events: sessions with their trees, alerts, rules, policies, verdicts.
//!
//! Times are RFC 3339, UTC. Strings that come from the kernel are in the form of [`crate::bytes::escape`]. What is not
//! known is left out.

use crate::alert::ChainLink;
use crate::control::{Explanation, Mode};
use crate::event::{Action, Event, FileOp, Kind, NetworkOp, Severity, Tier, words};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A part of a list, and where the next part begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// `cursor` of the request for what follows; null at the end.
    pub next: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// 1 to 1000.
    pub limit: usize,
    /// As an earlier page's `next` said.
    pub cursor: Option<String>,
}

impl Default for Window {
    fn default() -> Self {
        Self { limit: 200, cursor: None }
    }
}

words! {
    /// What somebody may do: each role may do what those before it may.
    Role {
        /// See everything.
        Viewer = "viewer",
        /// Decide: alerts, silences, verdicts, states of rules.
        Operator = "operator",
        /// Change policy and rules.
        Admin = "admin",
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// `uid 0` on the unix socket, else the token's name.
    pub name: String,
    pub role: Role,
}

/// The answer to a login, and to the question who one is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    pub name: String,
    pub role: Role,
    /// For the header `X-CSRF-Token` of requests that change something; absent where no cookie is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf: Option<String>,
}

/// What happened in a time, at a glance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    pub verdicts: Vec<VerdictBucket>,
    /// The rules that denied most, most first.
    pub top_denials: Vec<TopDenial>,
    /// Sessions that are live.
    pub sessions: u64,
    /// Absent where nobody keeps alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts_open: Option<u64>,
    /// Events that could not be delivered in that time.
    pub lost: u64,
}

/// Counts from `time` on, until the next bucket's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerdictBucket {
    pub time: String,
    pub allow: u64,
    pub deny: u64,
    pub alert: u64,
    pub kill: u64,
    pub hold: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopDenial {
    /// The tier's name where no rule is named.
    pub rule: String,
    pub count: u64,
    pub last: String,
    /// The newest event's id.
    pub example_event: String,
}

/// A session, live or past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionRow {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Of a past session: its first recorded event.
    pub started: String,
    /// Absent while it is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The command line that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Processes that run.
    pub tasks: u64,
    pub events: u64,
    pub denied: u64,
    /// Where its policy comes from: a file, or `built-in`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The built-in profile, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionDetail {
    #[serde(flatten)]
    pub row: SessionRow,
    /// The processes that nobody in the session started.
    pub tree: Vec<ProcessNode>,
    pub touched: Touched,
    pub timeline: Vec<TimelineBucket>,
    /// Whether the session has more events than were looked at: then tree, touched and timeline tell of the newest.
    pub partial: bool,
}

words! {
    ProcessState { Running = "running", Exited = "exited" }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessNode {
    pub pid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ppid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    pub state: ProcessState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    pub denied: u64,
    /// When it was first seen.
    pub started: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    #[schema(no_recursion)]
    pub children: Vec<ProcessNode>,
}

/// What a session touched: of each kind at most a thousand, those denied and those touched most first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Touched {
    pub files: Vec<TouchedFile>,
    pub network: Vec<TouchedAddress>,
    pub programs: Vec<TouchedProgram>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TouchedFile {
    pub path: String,
    pub ops: Vec<FileOp>,
    pub count: u64,
    pub denied: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TouchedAddress {
    pub address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    pub op: NetworkOp,
    pub count: u64,
    pub denied: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TouchedProgram {
    pub path: String,
    pub count: u64,
    pub denied: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimelineBucket {
    pub time: String,
    pub events: u64,
    pub denied: u64,
}

/// One event with everything that helps to understand it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Investigation {
    pub event: Event,
    /// The process and those that it descends from, oldest first.
    pub chain: Vec<ChainLink>,
    /// Of the same session, oldest first.
    pub before: Vec<Event>,
    pub after: Vec<Event>,
    pub evidence: Vec<Evidence>,
    pub explanation: Explanation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_text: Option<RuleText>,
}

/// What a tier said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    pub tier: Tier,
    pub outcome: String,
    pub detail: String,
}

/// The text of a rule or policy entry, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleText {
    pub file: String,
    pub line: u32,
    pub text: String,
}

words! {
    RuleState { Draft = "draft", Testing = "testing", Active = "active" }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleRow {
    pub id: String,
    pub description: String,
    pub state: RuleState,
    pub severity: Severity,
    pub kinds: Vec<Kind>,
    /// `allow`, `deny`, `alert` or `escalate`.
    pub action: String,
    pub tags: Vec<String>,
    pub file: String,
    pub line: u32,
    pub hits: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_hit: Option<String>,
    /// How many different ones it hit.
    pub sessions: u64,
    pub users: u64,
    pub programs: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleDetail {
    #[serde(flatten)]
    pub row: RuleRow,
    /// As it is written in its file.
    pub text: String,
    pub condition: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleStateChange {
    pub state: RuleState,
}

/// A file's text, and what it is known by: the same text has the same `etag`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextFile {
    pub name: String,
    pub text: String,
    pub etag: String,
}

/// A text that is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub text: String,
}

/// What is wrong with a text; nothing is, when the list is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problems {
    pub problems: Vec<TextProblem>,
}

/// Lines and columns count from one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextProblem {
    pub line: u32,
    pub column: u32,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DryRun {
    /// A file of rules, which are tried whatever their state.
    pub text: String,
    /// A time (RFC 3339) or an age (`10m`); what is older is not tried.
    #[serde(default)]
    #[schema(value_type = Option<crate::query::When>, inline)]
    pub since: Option<String>,
    /// How many matches are told at the most; 200 when it is not said.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// A whole number, also written as `20.0`: for JSON Schema that is an integer, and some clients have no other numbers.
fn whole<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(from)? else { return Ok(None) };
    let float = number.as_f64().filter(|it| it.fract() == 0.0 && (0.0..1e15).contains(it));
    let whole = number.as_u64().or(float.map(|it| it as u64)).and_then(|it| usize::try_from(it).ok());
    whole.map(Some).ok_or_else(|| serde::de::Error::custom(format!("{number} is no whole number")))
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DryRunResult {
    /// How many were tried.
    pub events: u64,
    pub matches: Vec<RuleMatch>,
    /// Events that would have been decided otherwise.
    pub changed: Vec<WouldChange>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleMatch {
    pub rule: String,
    /// An event's id.
    pub event: String,
    pub action: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WouldChange {
    /// An event's id.
    pub event: String,
    /// Absent where nothing was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Action>,
    pub after: Action,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// The file; `built-in` when there is none.
    pub file: String,
    pub text: String,
    /// Counts the policies that have been in force since the daemon started.
    pub epoch: u64,
    pub agents: Vec<String>,
    pub etag: String,
}

/// A policy that ships with Lictor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Profile {
    pub name: String,
    pub text: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyDiff {
    /// In the unified form; empty when nothing differs.
    pub diff: String,
    pub would_change: Vec<WouldChange>,
    /// How many recorded events were asked for.
    pub events: u64,
}

/// A person's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictChange {
    pub action: VerdictAction,
    /// Such as `1h`; without it the verdict holds until it is removed.
    #[serde(default)]
    #[schema(pattern = "^[1-9][0-9]{0,3}[smhd]$|^[1-9][0-9]?h[0-5]?[0-9]m$")]
    pub ttl: Option<String>,
}

words! {
    VerdictAction { Allow = "allow", Deny = "deny" }
}

/// How many were concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    pub done: u64,
}

/// What came of a check of the audit chain.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditReport {
    pub ok: bool,
    pub entries: u64,
    /// The hash of the last entry.
    pub head: String,
    /// The last entry that a checkpoint speaks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<u64>,
    /// The key that signs, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many checkpoints hold.
    pub checkpoints: u64,
    /// At most the first 200.
    pub problems: Vec<AuditProblem>,
    /// What is worth knowing and no problem.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditProblem {
    pub file: String,
    pub line: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    pub kind: String,
    pub message: String,
}

/// Which entries of the audit chain are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// What an entry is of, such as `policy` or `login`; empty: all.
    pub kind: Vec<String>,
    pub since: Option<jiff::Timestamp>,
    pub until: Option<jiff::Timestamp>,
}

words! {
    HealthState { Ok = "ok", Degraded = "degraded", Failed = "failed" }
}

/// A part of the daemon, and how it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Component {
    pub name: String,
    pub state: HealthState,
    pub detail: String,
}
