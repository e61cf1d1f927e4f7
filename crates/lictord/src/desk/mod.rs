// SPDX-License-Identifier: Apache-2.0
//! What the HTTP interface shows and changes, put together from its three sources: recorded events ([`Events`]), the
//! texts of policy and rules (`texts`), and whatever a running daemon adds ([`Host`]).

mod kept;
mod recording;
mod stored;
mod texts;
mod views;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lictor_api::alert::{Alert, AlertChange, AlertFilter, NewSilence, Silence};
use lictor_api::control::{ProcessInfo, Status, Verdicts};
use lictor_api::event::Event;
use lictor_api::explain::explain;
use lictor_api::query::{EventQuery, Order};
use lictor_api::view::{
    Actor, AuditQuery, AuditReport, Component, Done, DryRun, DryRunResult, Investigation, Overview, Page, PolicyDiff,
    PolicyView, Problems, Profile, RuleDetail, RuleRow, RuleState, SessionDetail, SessionRow, TextFile, VerdictAction,
    Window,
};
use lictor_http::{Backend, Fault, Measure};
use lictor_judge::counters::RuleCounts;
use lictor_sinks::Dispatcher;

pub use recording::Recording;
pub use stored::Stored;

/// Of one session, how many events its tree, what it touched and its course are made from.
const OF_SESSION: usize = 50_000;
/// What an investigation shows before and after the event.
const AROUND: usize = 25;

/// Recorded events.
pub trait Events: Send + Sync + 'static {
    fn list(&self, query: &EventQuery, order: Order, window: &Window) -> Result<Page<Event>, Fault>;
    fn find(&self, id: &str) -> Result<Event, Fault>;
    /// Recorded after the event `id`, oldest first; [`Fault::NotFound`] when it is not known.
    fn after(&self, id: &str, query: &EventQuery, limit: usize) -> Result<Vec<Event>, Fault>;
    /// Recorded before the event `id`, oldest first, at most the last `limit`.
    fn before(&self, id: &str, query: &EventQuery, limit: usize) -> Result<Vec<Event>, Fault>;
    /// Newest first, as the events alone tell of them; at most `limit`.
    fn sessions(&self, limit: usize) -> Result<Vec<SessionRow>, Fault>;
    /// Without the number of sessions.
    fn overview(&self, since: Timestamp) -> Result<Overview, Fault>;
    /// Hits of rules, as the events tell of them.
    fn rule_counts(&self) -> Result<Vec<(String, RuleCounts)>, Fault>;
}

/// What only a running daemon knows and can do.
pub trait Host: Send + Sync + 'static {
    fn status(&self) -> Result<Status, Fault>;
    fn health(&self) -> Result<Vec<Component>, Fault>;
    fn settings(&self) -> Result<serde_json::Value, Fault>;
    fn readiness(&self) -> Result<(), String>;
    fn measures(&self) -> Result<Vec<Measure>, Fault>;
    fn admit(&self, pid: u32) -> Result<(), String>;
    fn noted(&self, actor: &Actor, what: &str);
    /// `None` where sessions are known by their events alone.
    fn live_sessions(&self) -> Result<Option<Vec<SessionRow>>, Fault>;
    /// Every process of the host, by number.
    fn processes(&self, _hashes: bool, _window: &Window) -> Result<Page<ProcessInfo>, Fault> {
        Err(Fault::Conflict("this is a recording: no process of it lives".into()))
    }
    /// `None` where they are known by the events alone.
    fn rule_counts(&self) -> Result<Option<Vec<(String, RuleCounts)>>, Fault>;
    /// Counts policies that were in force.
    fn epoch(&self) -> u64;
    /// Puts the files of policy and rules into force, as `actor` wants.
    fn reload(&self, actor: &Actor, what: &str) -> Result<(), Fault>;
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
}

/// Answers the HTTP interface.
pub struct Desk {
    events: Arc<dyn Events>,
    host: Arc<dyn Host>,
    texts: texts::Texts,
    alerts: Option<Arc<Dispatcher>>,
    audit: Option<PathBuf>,
}

impl Desk {
    /// `policy`: the policy file, which need not exist; `rules`: the directory of rules.
    #[must_use]
    pub fn new(events: Arc<dyn Events>, host: Arc<dyn Host>, policy: PathBuf, rules: PathBuf) -> Desk {
        Desk { events, host, texts: texts::Texts::new(policy, rules), alerts: None, audit: None }
    }

    /// With alerts, where there are any, and with the audit chain in a folder.
    #[must_use]
    pub fn keeping(self, alerts: Option<Arc<Dispatcher>>, audit: Option<PathBuf>) -> Desk {
        Desk { alerts, audit, ..self }
    }

    fn dispatcher(&self) -> Result<&Dispatcher, Fault> {
        self.alerts.as_deref().ok_or_else(|| Fault::Unsupported("this daemon keeps no alerts".into()))
    }

    fn chain(&self) -> Result<&Path, Fault> {
        self.audit.as_deref().ok_or_else(|| Fault::Unsupported("this daemon keeps no audit chain".into()))
    }

    /// Up to `limit` wanted events, newest first, and whether there are more.
    fn newest(&self, query: &EventQuery, limit: usize) -> Result<(Vec<Event>, bool), Fault> {
        let mut events = Vec::new();
        let mut window = Window { limit: 1000, cursor: None };
        loop {
            let page = self.events.list(query, Order::Desc, &window)?;
            events.extend(page.items);
            match page.next {
                Some(_) if events.len() >= limit => {
                    events.truncate(limit);
                    return Ok((events, true));
                }
                Some(next) => window.cursor = Some(next),
                None => return Ok((events, false)),
            }
        }
    }

    /// Sessions that live, then past ones, newest first.
    fn all_sessions(&self) -> Result<Vec<SessionRow>, Fault> {
        let mut rows = self.events.sessions(10_000)?;
        if let Some(live) = self.host.live_sessions()? {
            for row in &mut rows {
                // Its last event is all that is known of when it ended.
                let known = live.iter().find(|live| live.id == row.id);
                if let Some(known) = known {
                    *row = SessionRow {
                        command: known.command.clone().or_else(|| row.command.take()),
                        user: known.user.clone().or_else(|| row.user.take()),
                        ..known.clone()
                    };
                }
            }
            rows.extend(live.into_iter().filter(|live| !rows.iter().any(|row| row.id == live.id)).collect::<Vec<_>>());
        }
        rows.sort_by(|one, other| {
            (one.ended.is_some(), &other.started, &one.id).cmp(&(other.ended.is_some(), &one.started, &other.id))
        });
        Ok(rows)
    }

    fn counts(&self) -> Result<Vec<(String, RuleCounts)>, Fault> {
        match self.host.rule_counts()? {
            Some(counts) => Ok(counts),
            None => self.events.rule_counts(),
        }
    }
}

/// A part of a list that is made anew for each request; its cursor is the place in it.
pub(crate) fn part<T>(all: Vec<T>, window: &Window) -> Result<Page<T>, Fault> {
    let from = match &window.cursor {
        None => 0,
        Some(cursor) => {
            cursor.parse::<usize>().map_err(|_| Fault::Invalid("`cursor` is none that this list gave".into()))?
        }
    };
    let end = from.saturating_add(window.limit);
    let next = (end < all.len()).then(|| end.to_string());
    Ok(Page { items: all.into_iter().skip(from).take(window.limit).collect(), next })
}

impl Backend for Desk {
    fn processes(&self, hashes: bool, window: &Window) -> Result<Page<ProcessInfo>, Fault> {
        self.host.processes(hashes, window)
    }

    fn status(&self) -> Result<Status, Fault> {
        self.host.status()
    }

    fn health(&self) -> Result<Vec<Component>, Fault> {
        self.host.health()
    }

    fn settings(&self) -> Result<serde_json::Value, Fault> {
        self.host.settings()
    }

    fn readiness(&self) -> Result<(), String> {
        self.host.readiness()
    }

    fn measures(&self) -> Result<Vec<Measure>, Fault> {
        self.host.measures()
    }

    fn admit(&self, pid: u32) -> Result<(), String> {
        self.host.admit(pid)
    }

    fn noted(&self, actor: &Actor, what: &str) {
        self.host.noted(actor, what);
    }

    fn overview(&self, since: Timestamp) -> Result<Overview, Fault> {
        let sessions = self.all_sessions()?.iter().filter(|row| row.ended.is_none()).count() as u64;
        let alerts_open = self.alerts.as_ref().map(|alerts| alerts.open_by_severity().iter().sum());
        Ok(Overview { sessions, alerts_open, ..self.events.overview(since)? })
    }

    fn sessions(&self, window: &Window) -> Result<Page<SessionRow>, Fault> {
        part(self.all_sessions()?, window)
    }

    fn session(&self, id: &str) -> Result<SessionDetail, Fault> {
        let row = self.all_sessions()?.into_iter().find(|row| row.id == id);
        let row = row.ok_or_else(|| Fault::NotFound(format!("there is no session {}", id.escape_debug())))?;
        let query = EventQuery { session: vec![id.to_owned()], ..EventQuery::default() };
        let (mut events, partial) = self.newest(&query, OF_SESSION)?;
        // Losses that are of no session fit every filter; they are no part of this one.
        events.retain(|event| event.session.is_some());
        events.reverse();
        let over = row.ended.is_some();
        Ok(SessionDetail {
            tree: views::tree(&events, over),
            touched: views::touched(&events),
            timeline: views::timeline(&events),
            partial,
            row,
        })
    }

    fn events(&self, query: &EventQuery, order: Order, window: &Window) -> Result<Page<Event>, Fault> {
        self.events.list(query, order, window)
    }

    fn event(&self, id: &str) -> Result<Event, Fault> {
        self.events.find(id)
    }

    fn events_after(&self, id: &str, query: &EventQuery, limit: usize) -> Result<Vec<Event>, Fault> {
        self.events.after(id, query, limit)
    }

    fn investigate(&self, id: &str) -> Result<Investigation, Fault> {
        let event = self.events.find(id)?;
        let same = EventQuery { session: event.session.iter().cloned().collect(), ..EventQuery::default() };
        let source = event.verdict.as_ref().and_then(|verdict| verdict.source.clone());
        Ok(Investigation {
            chain: views::chain(&event),
            before: self.events.before(id, &same, AROUND)?,
            after: self.events.after(id, &same, AROUND)?,
            evidence: views::evidence(&event),
            rule_text: source.and_then(|source| self.texts.at(&source)),
            explanation: explain(event.clone()),
            event,
        })
    }

    fn alerts(&self, filter: &AlertFilter, window: &Window) -> Result<Page<Alert>, Fault> {
        part(self.dispatcher()?.alerts(filter), window)
    }

    fn change_alert(&self, actor: &Actor, id: &str, change: &AlertChange) -> Result<Alert, Fault> {
        let alert = self.dispatcher()?.change(id, change, &actor.name).map_err(kept::refused)?;
        self.host.noted(actor, &format!("alert {} is {}", alert.id, alert.state));
        Ok(alert)
    }

    fn silences(&self, window: &Window) -> Result<Page<Silence>, Fault> {
        part(self.dispatcher()?.silences(), window)
    }

    fn add_silence(&self, actor: &Actor, silence: NewSilence) -> Result<Silence, Fault> {
        let silence = self.dispatcher()?.silence(silence, &actor.name).map_err(kept::refused)?;
        self.host.noted(actor, &format!("silence {} until {}", silence.id, silence.until));
        Ok(silence)
    }

    fn remove_silence(&self, actor: &Actor, id: &str) -> Result<(), Fault> {
        self.dispatcher()?.unsilence(id).map_err(kept::refused)?;
        self.host.noted(actor, &format!("silence {id} is ended"));
        Ok(())
    }

    fn audit(&self, query: &AuditQuery, window: &Window) -> Result<Page<serde_json::Value>, Fault> {
        kept::entries(self.chain()?, query, window)
    }

    fn verify_audit(&self) -> Result<AuditReport, Fault> {
        kept::check(self.chain()?)
    }

    fn rules(&self, window: &Window) -> Result<Page<RuleRow>, Fault> {
        part(self.texts.rules(&self.counts()?)?, window)
    }

    fn rule(&self, id: &str) -> Result<RuleDetail, Fault> {
        self.texts.rule(id, &self.counts()?)
    }

    fn set_rule_state(&self, actor: &Actor, id: &str, state: RuleState) -> Result<RuleDetail, Fault> {
        self.texts.set_rule_state(id, state, || self.host.reload(actor, &format!("rule {id}: {state}")))?;
        self.rule(id)
    }

    fn rule_files(&self, window: &Window) -> Result<Page<TextFile>, Fault> {
        part(self.texts.rule_files()?, window)
    }

    fn rule_file(&self, name: &str) -> Result<TextFile, Fault> {
        self.texts.rule_file(name)
    }

    fn put_rule_file(&self, actor: &Actor, name: &str, text: &str, etag: &str) -> Result<TextFile, Fault> {
        self.texts.put_rule_file(name, text, etag, || self.host.reload(actor, &format!("rules file {name}")))
    }

    fn check_rules(&self, text: &str) -> Result<Problems, Fault> {
        Ok(texts::check_rules(text))
    }

    fn dry_run(&self, run: &DryRun, since: Option<Timestamp>) -> Result<DryRunResult, Fault> {
        let query = EventQuery { since, ..EventQuery::default() };
        let (events, _) = self.newest(&query, OF_SESSION)?;
        texts::dry_run(&run.text, &events, run.limit.unwrap_or(200))
    }

    fn policy(&self) -> Result<PolicyView, Fault> {
        self.texts.policy(self.host.epoch())
    }

    fn profiles(&self) -> Result<Vec<Profile>, Fault> {
        Ok(texts::profiles())
    }

    fn check_policy(&self, text: &str) -> Result<Problems, Fault> {
        Ok(self.texts.check_policy(text))
    }

    fn diff_policy(&self, text: &str) -> Result<PolicyDiff, Fault> {
        let (events, _) = self.newest(&EventQuery::default(), OF_SESSION)?;
        self.texts.diff_policy(text, &events)
    }

    fn put_policy(&self, actor: &Actor, text: &str, etag: &str) -> Result<PolicyView, Fault> {
        self.texts.put_policy(text, etag, || self.host.reload(actor, "policy"))?;
        self.policy()
    }

    fn verdicts(&self) -> Result<Verdicts, Fault> {
        self.host.verdicts()
    }

    fn set_verdict(
        &self,
        actor: &Actor,
        key: &str,
        action: VerdictAction,
        ttl: Option<Duration>,
    ) -> Result<Done, Fault> {
        self.host.set_verdict(actor, key, action, ttl)
    }

    fn remove_verdict(&self, actor: &Actor, key: &str) -> Result<Done, Fault> {
        self.host.remove_verdict(actor, key)
    }

    fn clear_verdicts(&self, actor: &Actor) -> Result<Done, Fault> {
        self.host.clear_verdicts(actor)
    }
}
