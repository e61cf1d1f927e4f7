// SPDX-License-Identifier: Apache-2.0
//! What the interface asks of the daemon. Every method may block; it is called on a thread of its own.

use jiff::Timestamp;
use lictor_api::alert::{Alert, AlertChange, AlertFilter, NewSilence, Silence};
use lictor_api::control::{ProcessInfo, Status, Verdicts};
use lictor_api::event::Event;
use lictor_api::query::{EventQuery, Order};
use lictor_api::view::{
    Actor, AuditQuery, AuditReport, Component, Done, DryRun, DryRunResult, Investigation, Overview, Page, PolicyDiff,
    PolicyView, Problems, Profile, RuleDetail, RuleRow, RuleState, SessionDetail, SessionRow, TextFile, VerdictAction,
    Window,
};
use std::time::Duration;
use thiserror::Error;

/// Why there is no answer; each becomes a status of HTTP.
#[derive(Debug, Error)]
pub enum Fault {
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 422: what was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// 422: a text that was sent has these problems.
    #[error("the text has {} problems", .0.problems.len())]
    Problems(Problems),
    /// 412: it was changed by somebody else since it was read.
    #[error("{0}")]
    Changed(String),
    /// 409: it cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
    /// 501: this daemon has no such part.
    #[error("{0}")]
    Unsupported(String),
    /// 500: told to the log; whoever asked is told the message too, which holds no secret.
    #[error("{0}")]
    Failed(String),
}

/// What a part of the daemon that is not there answers.
fn without<T>(what: &str) -> Result<T, Fault> {
    Err(Fault::Unsupported(format!("this daemon keeps no {what}")))
}

/// The daemon as the interface sees it. A method with a body is one whose part may be absent.
pub trait Backend: Send + Sync + 'static {
    fn status(&self) -> Result<Status, Fault>;
    fn health(&self) -> Result<Vec<Component>, Fault>;
    /// The settings in effect, without secrets.
    fn settings(&self) -> Result<serde_json::Value, Fault>;
    /// Why it is not ready, where it is not.
    fn readiness(&self) -> Result<(), String>;
    /// What is not counted from the events themselves.
    fn measures(&self) -> Result<Vec<Measure>, Fault>;
    /// An error says why the process `pid` may not be served on the unix socket: it is governed.
    fn admit(&self, pid: u32) -> Result<(), String>;
    /// Somebody logged in or out; `what` is `login` or `logout`.
    fn noted(&self, actor: &Actor, what: &str);

    fn overview(&self, since: Timestamp) -> Result<Overview, Fault>;
    /// Newest first.
    fn sessions(&self, window: &Window) -> Result<Page<SessionRow>, Fault>;
    fn session(&self, id: &str) -> Result<SessionDetail, Fault>;
    /// Every process of the host; with `hashes`, of each one's program too.
    fn processes(&self, _hashes: bool, _window: &Window) -> Result<Page<ProcessInfo>, Fault> {
        Err(Fault::Conflict("nothing is known here of processes that live".into()))
    }
    fn events(&self, query: &EventQuery, order: Order, window: &Window) -> Result<Page<Event>, Fault>;
    fn event(&self, id: &str) -> Result<Event, Fault>;
    /// Wanted events that were recorded after the event `id`, oldest first; [`Fault::NotFound`] when it is not known.
    fn events_after(&self, id: &str, query: &EventQuery, limit: usize) -> Result<Vec<Event>, Fault>;
    fn investigate(&self, id: &str) -> Result<Investigation, Fault>;

    fn alerts(&self, _filter: &AlertFilter, _window: &Window) -> Result<Page<Alert>, Fault> {
        without("alerts")
    }
    fn change_alert(&self, _actor: &Actor, _id: &str, _change: &AlertChange) -> Result<Alert, Fault> {
        without("alerts")
    }
    fn silences(&self, _window: &Window) -> Result<Page<Silence>, Fault> {
        without("silences")
    }
    fn add_silence(&self, _actor: &Actor, _silence: NewSilence) -> Result<Silence, Fault> {
        without("silences")
    }
    fn remove_silence(&self, _actor: &Actor, _id: &str) -> Result<(), Fault> {
        without("silences")
    }

    fn rules(&self, window: &Window) -> Result<Page<RuleRow>, Fault>;
    fn rule(&self, id: &str) -> Result<RuleDetail, Fault>;
    fn set_rule_state(&self, actor: &Actor, id: &str, state: RuleState) -> Result<RuleDetail, Fault>;
    fn rule_files(&self, window: &Window) -> Result<Page<TextFile>, Fault>;
    fn rule_file(&self, name: &str) -> Result<TextFile, Fault>;
    /// `etag` is that of the text which is replaced; `*` for a file that is new.
    fn put_rule_file(&self, actor: &Actor, name: &str, text: &str, etag: &str) -> Result<TextFile, Fault>;
    fn check_rules(&self, text: &str) -> Result<Problems, Fault>;
    /// `since`: events that are older are not tried.
    fn dry_run(&self, run: &DryRun, since: Option<Timestamp>) -> Result<DryRunResult, Fault>;

    fn policy(&self) -> Result<PolicyView, Fault>;
    fn profiles(&self) -> Result<Vec<Profile>, Fault>;
    fn check_policy(&self, text: &str) -> Result<Problems, Fault>;
    fn diff_policy(&self, text: &str) -> Result<PolicyDiff, Fault>;
    /// Puts it into force, for all sessions or for none.
    fn put_policy(&self, actor: &Actor, text: &str, etag: &str) -> Result<PolicyView, Fault>;

    fn verdicts(&self) -> Result<Verdicts, Fault>;
    fn set_verdict(
        &self,
        actor: &Actor,
        key: &str,
        action: VerdictAction,
        ttl: Option<Duration>,
    ) -> Result<Done, Fault>;
    fn remove_verdict(&self, actor: &Actor, key: &str) -> Result<Done, Fault>;
    fn clear_verdicts(&self, actor: &Actor) -> Result<Done, Fault>;

    /// Entries of the audit chain as they stand in it, newest first.
    fn audit(&self, _query: &AuditQuery, _window: &Window) -> Result<Page<serde_json::Value>, Fault> {
        without("audit chain")
    }
    fn verify_audit(&self) -> Result<AuditReport, Fault> {
        without("audit chain")
    }
}

/// One metric with its samples, for `/metrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Without the suffix `_total`, which counters get.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MeasureKind,
    /// Labels and value.
    pub samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasureKind {
    /// Only ever grows, until the daemon is started again.
    Counter,
    Gauge,
}

impl Measure {
    /// A measure with one sample and no labels.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, kind: MeasureKind::Gauge, samples: vec![(Vec::new(), value)] }
    }

    #[must_use]
    pub fn counter(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, kind: MeasureKind::Counter, samples: vec![(Vec::new(), value)] }
    }
}
