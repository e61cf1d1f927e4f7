// SPDX-License-Identifier: Apache-2.0
//! The protocol on the control socket. A client sends [`Request`] lines; the daemon answers each
//! with one [`Reply`] line, `events` with a stream of them.
//!
//! ```text
//! > {"op":"ping","version":1}
//! < {"pong":{"version":1,"program":"0.1.0"}}
//! > {"op":"events","filter":{"denied":true}}
//! < {"event":{"id":"01J...","kind":"file",...}}
//! < {"end":true}
//! ```

use crate::alert::{Alert, AlertChange, AlertFilter, NewSilence, Silence, SinkStatus};
use crate::event::{Action, Container, Event, Kind, Severity, words};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The protocol's version; it changes when an old client would misunderstand a new daemon.
pub const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Answered by [`Reply::Pong`].
    Ping { version: u32 },
    /// Answered by [`Reply::Started`]: from then on the process and all that it starts is governed.
    StartSession(StartSession),
    /// Answered by [`Reply::Summary`] when the session's last events are written.
    WaitSession { session: String },
    /// Answered by [`Reply::Event`] lines, then [`Reply::End`] unless `follow` is set.
    Events { filter: EventFilter },
    /// Answered by [`Reply::Explanation`].
    Explain { id: String },
    /// Answered by [`Reply::Sessions`].
    Ps {},
    /// Every process of the host; answered by [`Reply::Processes`] lines, then [`Reply::End`].
    Processes {
        /// With the hash of each one's program, as far as they can be read within 20 s.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hashes: bool,
    },
    /// Answered by [`Reply::Status`].
    Status {},
    /// Answered by [`Reply::Verdicts`].
    Verdicts {},
    /// Answered by [`Reply::Done`] with the number of held processes that were decided by it.
    SetVerdict {
        /// As [`Verdicts`] shows it, or the number of a held process.
        key: String,
        allow: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_s: Option<u64>,
    },
    /// Makes the kernel forget all verdicts. Answered by [`Reply::Done`].
    ClearVerdicts {},
    /// Signs how far the audit chain has come. Answered by [`Reply::Checkpoint`].
    AuditCheckpoint {},
    /// Erases a person's data from everything that Lictor keeps. Answered by [`Reply::Erased`].
    AuditErase {
        /// A user name, a uid, `uid:NUMBER`, `token:NAME`, or `unknown`.
        subject: String,
        /// Also what others did that names the person as a word.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        mentions: bool,
    },
    /// Loads policy and rules again, all or nothing. Answered by [`Reply::Reloaded`].
    Reload {},
    /// Answered by [`Reply::Alerts`], the last seen first.
    Alerts { filter: AlertFilter },
    /// Answered by [`Reply::Alerts`] with the alert as it is now.
    ChangeAlert { id: String, change: AlertChange },
    /// Answered by [`Reply::Silences`]: those that have not ended.
    Silences {},
    /// Answered by [`Reply::Silences`] with the new one.
    AddSilence { silence: NewSilence },
    /// Answered by [`Reply::Done`].
    RemoveSilence { id: String },
    /// Answered by [`Reply::Sinks`].
    Sinks {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Pong(Pong),
    Started(Started),
    Summary(Summary),
    Event(Box<Event>),
    /// The end of a stream of events; always `true`.
    End(bool),
    Explanation(Box<Explanation>),
    Sessions(Vec<SessionInfo>),
    /// Some of them, by number.
    Processes(Vec<ProcessInfo>),
    Status(Box<Status>),
    Reloaded(Reloaded),
    Verdicts(Verdicts),
    /// One signed checkpoint, as its file is written.
    Checkpoint(serde_json::Value),
    Erased(Erased),
    Alerts(Vec<Alert>),
    Silences(Vec<Silence>),
    Sinks(Vec<SinkStatus>),
    /// How many were concerned.
    Done(u64),
    Error(Failure),
}

impl Reply {
    #[must_use]
    pub fn error(message: impl fmt::Display) -> Self {
        Self::Error(Failure { message: message.to_string() })
    }

    /// The name of the reply's kind, for messages about one that was not expected.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pong(_) => "pong",
            Self::Started(_) => "started",
            Self::Summary(_) => "summary",
            Self::Event(_) => "event",
            Self::End(_) => "end",
            Self::Explanation(_) => "explanation",
            Self::Sessions(_) => "sessions",
            Self::Processes(_) => "processes",
            Self::Status(_) => "status",
            Self::Reloaded(_) => "reloaded",
            Self::Verdicts(_) => "verdicts",
            Self::Checkpoint(_) => "checkpoint",
            Self::Erased(_) => "erased",
            Self::Alerts(_) => "alerts",
            Self::Silences(_) => "silences",
            Self::Sinks(_) => "sinks",
            Self::Done(_) => "done",
            Self::Error(_) => "error",
        }
    }
}

/// Names the process that becomes the root of a session. Paths and names are escaped as in events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartSession {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The built-in profile of the command, for when nobody names an agent: without `agent` and `policy`, and where the
    /// daemon's policy has no `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The waiting child: it has not executed the command yet.
    pub pid: u32,
    pub home: String,
    pub user: String,
    pub cwd: String,
    /// Also report each allowed read, once an object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_events: bool,
}

/// A policy sent along with a request: the daemon need not be able to read the client's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyText {
    /// The name that messages about it start with.
    pub file: String,
    pub text: String,
}

words! {
    Mode { Enforce = "enforce", Monitor = "monitor" }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    pub version: u32,
    /// The daemon's own version.
    pub program: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub session: String,
    pub agent: String,
    pub mode: Mode,
    /// The file the agent was found in, or `built-in`.
    pub policy_source: String,
}

/// What a session did, at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub session: String,
    pub denied: u64,
    pub events: u64,
    pub lost: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    pub policy: String,
    pub agents: u64,
    /// Counts the policies that have been in force since the daemon started.
    pub epoch: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub message: String,
}

/// Which events are wanted. An empty filter wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Empty: every kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Kind>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
    /// Unix time in milliseconds; what is older is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// Unix time in milliseconds; what is this young or younger is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// Empty: every verdict, and what was not judged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Action>,
    /// At least so bad; what has no severity is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Who acted: a path, or a name without its folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// What was acted on: this file, or anything below this folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The other end: an address or a name, with `:PORT` behind it or without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// A rule that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Words that must all be there; see [`crate::search`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Of those that are there already, the last so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Goes on with those that come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

impl EventFilter {
    /// Whether `event` is wanted; `limit` and `follow` are about the stream and not looked at here.
    ///
    /// An event whose time cannot be read is not left out for being old: hiding it would be worse.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        // What was lost may have been of any session, and a denial: whoever looks at either has to know.
        let lost = event.kind == Kind::Lost && event.session.is_none();
        let wanted = |filter: &Option<String>, value: &Option<String>| filter.is_none() || filter == value || lost;
        wanted(&self.session, &event.session)
            && wanted(&self.agent, &event.agent)
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && (!self.denied || event.is_denied() || lost)
            && self.matches_time(event)
            && self.matches_verdict(event)
            && self.pid.is_none_or(|pid| event.process.pid == Some(pid))
            && self.program.as_deref().is_none_or(|program| event.is_of_program(program))
            && self.path.as_deref().is_none_or(|path| event.is_about_path(path))
            && self.address.as_deref().is_none_or(|address| event.is_about_address(address))
            && self.text.as_deref().is_none_or(|text| event.has_text(text))
    }

    fn matches_time(&self, event: &Event) -> bool {
        if self.since_ms.is_none() && self.until_ms.is_none() {
            return true;
        }
        event.time.parse::<Timestamp>().map_or(true, |time| {
            let time = time.as_millisecond();
            self.since_ms.is_none_or(|since| time >= since) && self.until_ms.is_none_or(|until| time < until)
        })
    }

    fn matches_verdict(&self, event: &Event) -> bool {
        let verdict = event.verdict.as_ref();
        (self.verdicts.is_empty() || verdict.is_some_and(|verdict| self.verdicts.contains(&verdict.action)))
            && self.severity.is_none_or(|least| verdict.and_then(|verdict| verdict.severity) >= Some(least))
            && self.rule.as_deref().is_none_or(|wanted| event.rules().any(|rule| rule == wanted))
    }

    /// Whether everything in it can be looked for; the error is for people.
    pub fn check(&self) -> Result<(), String> {
        self.text.as_deref().map_or(Ok(()), |text| crate::search::pieces(text).map(drop))
    }
}

/// The answer to "why": everything a person needs to agree with a verdict or to change it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Explanation {
    pub event: Event,
    /// One sentence: who wanted what, and what became of it.
    pub summary: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// `FILE:LINE:COLUMN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the verdict was based on, in the order that helps reading.
    pub facts: Vec<Fact>,
    /// The line that would change the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fact {
    pub name: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    pub id: String,
    pub agent: String,
    pub mode: Mode,
    /// RFC 3339, UTC.
    pub started: String,
    /// Where the policy comes from: a file, or `built-in`.
    pub policy: String,
    /// The older build whose programs govern it, if it is not the daemon's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// What its processes run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    pub tasks: Vec<TaskInfo>,
    pub denied: u64,
    pub events: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInfo {
    pub pid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ppid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// How often something was denied to it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub denied: u64,
    /// It is stopped before its first instruction, until somebody has judged it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

/// A process, for ever: numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Creator {
    pub pid: u32,
    /// Nanoseconds of CLOCK_BOOTTIME.
    pub start_time: u64,
}

/// A process of the host, whether governed or not. Text as in events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProcessInfo {
    pub pid: u32,
    /// Nanoseconds of CLOCK_BOOTTIME; with `pid` its identity.
    pub start_time: u64,
    /// Who looks after it now.
    pub ppid: u32,
    /// Who created it, also when that one has ended since; as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Creator>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// The kernel's short name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Of its program, when hashes were asked for and it could be read in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    pub uid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The session that governs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// How often something was denied to it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub denied: u64,
    /// It is stopped before its first instruction, until somebody has judged it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// It has ended; somebody whom it created lives.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

words! {
    /// Whether denials take place.
    State {
        /// A canary was denied through each class of hook, and everything is attached.
        Enforcing = "ENFORCING",
        /// Judges and records; denies nothing.
        Monitoring = "MONITORING",
        /// Something that enforcement needs is missing: sessions in mode `enforce` are refused.
        Degraded = "DEGRADED",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Status {
    pub state: State,
    /// Why it is not ENFORCING; empty when it is.
    #[serde(default)]
    pub reasons: Vec<String>,
    pub version: String,
    pub pid: u32,
    pub kernel: String,
    /// The kernel's list of active security modules, in its order.
    #[serde(default)]
    pub lsm: Vec<String>,
    pub hooks: Hooks,
    /// The policy in force: a file, or `built-in`.
    pub policy: String,
    /// Counts the policies that have been in force since the daemon started.
    #[serde(default)]
    pub epoch: u64,
    /// All of them, those that older builds' programs govern included.
    pub sessions: u64,
    /// Programs of other builds that are still in force, until their last session ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older_builds: Vec<OlderBuild>,
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
    /// The tiers above the policy, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judge: Vec<TierStatus>,
    /// Each rule's hits, last hit and whom it hit.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub rules: serde_json::Value,
    /// Where events are kept; absent in a daemon that keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreStatus>,
    pub uptime_ms: u64,
}

/// What an erasure removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    pub subject: String,
    /// The person's own texts beside the audit chain.
    pub texts: u64,
    /// Texts of others that told of the person.
    pub others: u64,
    /// Records that went from other copies, by the copy's name.
    pub copies: Vec<(String, u64)>,
}

/// The event store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StoreStatus {
    /// `working` or `degraded`; enforcement does not depend on it.
    pub state: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Events since the daemon's start: on disk, waiting, and lost for want of room or time.
    pub written: u64,
    pub queued: u64,
    pub lost: u64,
    /// Damaged files that were put aside.
    pub damaged_files: u64,
    /// Bytes of the store; the archive is not counted.
    pub size: u64,
}

/// One tier of the judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TierStatus {
    pub tier: crate::event::Tier,
    /// `working` or `degraded`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The tier's own counters.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub counts: serde_json::Value,
}

/// What the kernel remembers, and who waits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Verdicts {
    pub remembered: Vec<RememberedInfo>,
    pub held: Vec<HeldInfo>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RememberedInfo {
    pub key: String,
    pub allow: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// What was said when it was judged; absent after a restart of the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<crate::event::Verdict>,
}

/// A process that is stopped before its first instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeldInfo {
    pub key: String,
    pub pid: u32,
    pub session: String,
    pub waiting_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
}

/// Programs that an earlier build of the daemon loaded, and that go on governing the sessions it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OlderBuild {
    /// Sixteen hexadecimal digits, as the folder of its pins is named.
    pub build: String,
    /// How many of its sessions the daemon knows by name.
    pub sessions: u64,
    /// Why the daemon cannot look after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Hooks {
    pub attached: u64,
    /// Hooks that this kernel does not have, or that failed to attach.
    #[serde(default)]
    pub missing: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Tier, Verdict};

    fn check<T: Serialize + serde::de::DeserializeOwned + PartialEq + fmt::Debug>(message: T, json: &str) {
        assert_eq!(serde_json::to_string(&message).unwrap(), json);
        assert_eq!(serde_json::from_str::<T>(json).unwrap(), message);
    }

    #[test]
    fn messages_look_as_documented() {
        check(Request::Ping { version: 1 }, r#"{"op":"ping","version":1}"#);
        check(Request::Ps {}, r#"{"op":"ps"}"#);
        check(Request::WaitSession { session: "s-1".into() }, r#"{"op":"wait_session","session":"s-1"}"#);
        check(
            Request::StartSession(StartSession {
                agent: Some("coder".into()),
                profile: None,
                policy: Some(PolicyText { file: "p.yaml".into(), text: "version: 1".into() }),
                mode: Some(Mode::Enforce),
                pid: 7,
                home: "/root".into(),
                user: "root".into(),
                cwd: "/tmp".into(),
                all_events: false,
            }),
            r#"{"op":"start_session","agent":"coder","policy":{"file":"p.yaml","text":"version: 1"},"mode":"enforce","pid":7,"home":"/root","user":"root","cwd":"/tmp"}"#,
        );
        check(
            Request::Events { filter: EventFilter { denied: true, kinds: vec![Kind::File], ..Default::default() } },
            r#"{"op":"events","filter":{"kinds":["file"],"denied":true}}"#,
        );
        check(Reply::End(true), r#"{"end":true}"#);
        check(Reply::error("no such session"), r#"{"error":{"message":"no such session"}}"#);
        check(
            Reply::Event(Box::new(Event::new(Kind::Lost, String::new(), String::new()))),
            r#"{"event":{"kind":"lost"}}"#,
        );
        check(
            Reply::Summary(Summary { session: "s-1".into(), denied: 2, events: 9, lost: 0 }),
            r#"{"summary":{"session":"s-1","denied":2,"events":9,"lost":0}}"#,
        );
    }

    #[test]
    fn a_request_with_an_unknown_field_is_refused_not_half_understood() {
        for json in [r#"{"op":"events","filter":{"deny":true}}"#, r#"{"op":"status","x":1}"#, r#"{"op":"erase"}"#] {
            assert!(serde_json::from_str::<Request>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_filter_takes_what_it_names() {
        let mut event = Event::new(Kind::File, "1".into(), "2026-01-02T03:04:05.000000001Z".into());
        event.session = Some("s-1".into());
        event.verdict = Some(Verdict::new(Action::Deny, Tier::Policy));
        let second = 1_767_323_045_000;
        let check = |expected: bool, filter: EventFilter| assert_eq!(filter.matches(&event), expected, "{filter:?}");
        check(true, EventFilter::default());
        check(true, EventFilter { session: Some("s-1".into()), denied: true, ..Default::default() });
        check(false, EventFilter { session: Some("s-2".into()), ..Default::default() });
        check(false, EventFilter { agent: Some("coder".into()), ..Default::default() });
        check(true, EventFilter { kinds: vec![Kind::Exec, Kind::File], ..Default::default() });
        check(false, EventFilter { kinds: vec![Kind::Exec], ..Default::default() });
        check(true, EventFilter { since_ms: Some(second), ..Default::default() });
        check(false, EventFilter { since_ms: Some(second + 1), ..Default::default() });
    }
}
