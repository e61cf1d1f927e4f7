// SPDX-License-Identifier: Apache-2.0
//! The alert: what a person should look at, however often it happened; and silences, which keep alerts from being sent.

use crate::event::{Event, Kind, Severity, Tier, words};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that needs a person, with everything that was the same thing counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// A ULID: unique, and sorts by the time of the first occurrence.
    pub id: String,
    /// What makes two events the same alert.
    pub key: String,
    /// One line for people; may hold names that come from processes.
    pub title: String,
    pub source: AlertSource,
    pub severity: Severity,
    /// ATT&CK techniques, `T1059.004`.
    #[serde(default)]
    #[schema(required = true)]
    pub techniques: Vec<String>,
    /// The other labels of the rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    pub state: AlertState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who changed state or note last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Occurrences; of lost events, how many were lost.
    pub count: u64,
    /// RFC 3339, UTC.
    pub first_seen: String,
    /// RFC 3339, UTC.
    pub last_seen: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The first occurrence; absent where no event was behind it. Long texts in it are cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example_event: Option<Box<Event>>,
    /// The acting process and its ancestors, nearest first.
    #[serde(default)]
    #[schema(required = true)]
    pub chain: Vec<ChainLink>,
    /// The id of the closed alert with the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Whether it has been sent; not while a silence covers it.
    #[serde(default)]
    pub announced: bool,
}

/// A process of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChainLink {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
}

words! {
    /// Where an alert comes from.
    AlertSource {
        /// A rule, the classifier, a language model or a person's standing verdict.
        Rule = "rule",
        /// A denial by the kernel that no rule named.
        Kernel = "kernel",
        /// Events that could not be delivered.
        Loss = "loss",
        /// Lictor does less than it was asked to.
        Degraded = "degraded",
        /// An attack on Lictor itself.
        Tamper = "tamper",
    }
}

words! {
    AlertState { Open = "open", Acknowledged = "acknowledged", Closed = "closed" }
}

/// What is changed in an alert; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<AlertState>,
    /// An empty note removes the note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Which alerts are wanted. An empty filter wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertFilter {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<AlertState>,
    /// At least this severe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl AlertFilter {
    /// Whether the alert is wanted; `limit` is about the list and not looked at here.
    #[must_use]
    pub fn matches(&self, alert: &Alert) -> bool {
        (self.states.is_empty() || self.states.contains(&alert.state))
            && self.severity.is_none_or(|least| alert.severity >= least)
            && (self.session.is_none() || self.session == alert.session)
    }
}

/// Keeps matching alerts from being sent until it ends. They are still counted and listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Silence {
    /// A ULID.
    pub id: String,
    #[serde(rename = "match")]
    pub matches: SilenceMatch,
    /// RFC 3339, UTC.
    pub until: String,
    pub reason: String,
    /// Who made it.
    pub by: String,
}

/// All that is given must fit. `*` stands for any run of characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SilenceMatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// What a client asks for; the daemon adds id and author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSilence {
    #[serde(rename = "match")]
    pub matches: SilenceMatch,
    /// RFC 3339; must lie in the future.
    #[schema(format = DateTime)]
    pub until: String,
    #[serde(default)]
    pub reason: String,
}

/// How one sink does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SinkStatus {
    pub name: String,
    /// `file`, `syslog`, `webhook`, `otlp`.
    pub kind: String,
    pub state: SinkState,
    /// Records that the other side has.
    pub sent: u64,
    /// Records that found no room, in memory or on disk.
    pub dropped: u64,
    /// Records that the other side refused for good.
    pub rejected: u64,
    /// Records that went through the disk.
    pub spilled: u64,
    /// Records waiting in memory and on disk.
    pub queue_depth: u64,
    /// Bytes waiting on disk.
    pub spill_bytes: u64,
    /// How long the oldest waiting record has waited; 0 when none waits.
    pub lag_ms: u64,
    /// Times that the filter's condition failed, which counts as wanted.
    pub filter_faults: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sent: Option<String>,
}

words! {
    SinkState {
        Working = "working",
        /// The last attempt failed; it is tried again.
        Retrying = "retrying",
        /// It could not be set up; `last_error` says why.
        Broken = "broken",
    }
}
