// SPDX-License-Identifier: Apache-2.0
//! The HTTP interface of the running daemon: what it adds to the desk, and the thread that gives it the events.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use lictor_api::control::{EventFilter, ProcessInfo, State, Status, StoreStatus, Verdicts};
use lictor_api::event::Event;
use lictor_api::settings::Settings;
use lictor_api::view::{Actor, Component, Done, HealthState, Page, SessionRow, VerdictAction, Window};
use lictor_bpf::PidFd;
use lictor_http::{Fault, Live, Measure, MeasureKind, Options, Running, Tcp, Tls, UnixSocket};
use lictor_judge::counters::RuleCounts;
use lictor_store::audit::{self, Entry, Kind};
use lictor_store::events::history::History;

use crate::daemon::Daemon;
use crate::desk::{Desk, Events, Host, Recording, Stored};
use crate::{census, control, desk};

/// Events that are kept in memory for lists and views: about 5 KB each.
const KEPT: usize = 2_000;
const ROUND: Duration = Duration::from_millis(500);
const GROUP: &str = "lictor";

struct Governing {
    daemon: Arc<Daemon>,
}

/// Listens as the settings say, and follows the record.
pub(crate) fn start(daemon: &Arc<Daemon>) -> Result<(Running, std::thread::JoinHandle<()>)> {
    let settings = &daemon.settings;
    let recording = Arc::new(Recording::new(KEPT));
    let live = Live::new();
    // First the queue, then the log: what comes between is in both, and is told once.
    let (recent, queue) = daemon.recorder().follow(EventFilter { follow: true, ..EventFilter::default() });
    daemon.recorder().flush();
    let pump = {
        let (daemon, recording, live) = (Arc::clone(daemon), Arc::clone(&recording), live.clone());
        let work = move || {
            let mut seen = fill(&daemon, &recording, recent);
            while let Some(event) = next(&daemon, &queue, &mut seen) {
                if event.id.is_empty() || !seen.remove(&event.id) {
                    recording.add(Arc::clone(&event));
                }
                live.publish(event);
            }
        };
        std::thread::Builder::new().name("live".into()).spawn(work)?
    };
    let host = Arc::new(Governing { daemon: Arc::clone(daemon) });
    let audit = daemon.audit.as_ref().map(|audit| audit.dir().to_owned());
    let events: Arc<dyn Events> = match daemon.recorder().store() {
        Some(store) => Arc::new(Stored::new(store, recording)),
        None => recording,
    };
    let desk = Desk::new(events, host, settings.policy.clone(), settings.rules.clone())
        .keeping(daemon.dispatcher.clone(), audit);
    let running =
        lictor_http::start(options(settings), Arc::new(desk), live).context("the HTTP interface cannot be started")?;
    if let Some(address) = running.address() {
        tracing::info!("the HTTP interface listens on {address}");
    }
    Ok((running, pump))
}

/// Takes the log's last events and those that are in memory into the recording; gives back the ids of all.
fn fill(daemon: &Daemon, recording: &Recording, recent: Vec<Arc<Event>>) -> HashSet<String> {
    let last = EventFilter { limit: Some(KEPT), ..EventFilter::default() };
    let reader = daemon.recorder().store().and_then(|store| store.reader().ok());
    let past: Vec<Event> = match History::new(&daemon.settings.state, reader, &last) {
        Ok(mut history) => {
            let past = history.by_ref().filter_map(Result::ok).collect();
            history.problems().iter().for_each(|problem| tracing::warn!("{problem}"));
            past
        }
        Err(error) => {
            tracing::warn!("what was recorded before is not shown: {error}");
            Vec::new()
        }
    };
    let seen: HashSet<String> = past.iter().map(|event| event.id.clone()).collect();
    past.into_iter().map(Arc::new).for_each(|event| recording.add(event));
    recent.into_iter().filter(|event| !seen.contains(&event.id)).for_each(|event| recording.add(event));
    seen
}

/// The next event; nothing when the daemon stops.
fn next(daemon: &Daemon, queue: &Receiver<Arc<Event>>, seen: &mut HashSet<String>) -> Option<Arc<Event>> {
    loop {
        match queue.recv_timeout(ROUND) {
            Ok(event) => return Some(event),
            Err(RecvTimeoutError::Timeout) if !daemon.stopping.load(Ordering::Acquire) => {
                // The queue was empty: from here on nothing comes twice.
                *seen = HashSet::new();
            }
            Err(_) => return None,
        }
    }
}

fn options(settings: &Settings) -> Options {
    let http = &settings.http;
    let token = settings.control.with_file_name("http.token");
    Options {
        unix: Some(UnixSocket { path: settings.http_socket(), group: GROUP.to_owned() }),
        tcp: http.listen.map(|listen| Tcp {
            listen,
            tls: http.tls.as_ref().map(|tls| Tls { certificate: tls.certificate.clone(), key: tls.key.clone() }),
            token,
            tokens: Some(settings.http_tokens()),
            hosts: http.hosts.clone(),
        }),
        ..Options::default()
    }
}

fn failed(error: anyhow::Error) -> Fault {
    Fault::Failed(format!("{error:#}"))
}

/// The actor as the audit chain knows it.
fn auditor(actor: &Actor) -> audit::Actor {
    // No token can have such a name.
    match actor.name.strip_prefix("uid ").and_then(|uid| uid.parse().ok()) {
        Some(uid) => audit::Actor::User(uid),
        None => audit::Actor::Token(actor.name.clone()),
    }
}

impl Governing {
    fn component(name: &str, good: bool, detail: String) -> Component {
        let state = if good { HealthState::Ok } else { HealthState::Degraded };
        Component { name: name.to_owned(), state, detail }
    }
}

impl Host for Governing {
    fn status(&self) -> Result<Status, Fault> {
        self.daemon.status().map_err(failed)
    }

    fn health(&self) -> Result<Vec<Component>, Fault> {
        let status = self.status()?;
        let enforces = status.state != State::Degraded;
        let detail = if enforces { status.state.to_string() } else { status.reasons.join("; ") };
        let mut parts = vec![Component {
            name: "kernel".into(),
            state: if enforces { HealthState::Ok } else { HealthState::Failed },
            detail,
        }];
        let age = self.daemon.heart_age();
        parts.push(Self::component("heartbeat", age < Duration::from_secs(2), format!("{} ms ago", age.as_millis())));
        for tier in &status.judge {
            let good = tier.state == "working";
            parts.push(Self::component(
                tier.tier.as_str(),
                good,
                if good { tier.state.clone() } else { tier.reasons.join("; ") },
            ));
        }
        if let Some(store) = &status.store {
            let detail = format!("{} written, {} waiting, {} lost", store.written, store.queued, store.lost);
            let good = store.state == "working";
            parts.push(Self::component("store", good, if good { detail } else { store.reasons.join("; ") }));
        }
        let lost = status.counters.get("lost_ring").copied().unwrap_or(0);
        parts.push(Self::component("events", lost == 0, format!("{lost} lost since the start")));
        Ok(parts)
    }

    fn settings(&self) -> Result<serde_json::Value, Fault> {
        let settings = &self.daemon.settings;
        let llm = settings.judge.llm.is_some();
        Ok(serde_json::json!({
            "policy": settings.policy, "rules": settings.rules, "state": settings.state, "control": settings.control,
            "pins": settings.pins, "self_protection": settings.self_protection, "fail_closed": settings.fail_closed,
            "watch_host": settings.watch_host,
            "automaton_cells": settings.automaton_cells,
            "judge": {
                "default_action": settings.judge.default_action,
                "hold_limit_ms": settings.judge.hold_limit.as_millis() as u64,
                "classifier": { "model": settings.judge.classifier.model },
                "llm": if llm { "on" } else { "off" },
            },
            "http": {
                "socket": settings.http_socket(), "listen": settings.http.listen, "tls": settings.http.tls.is_some(),
                "hosts": settings.http.hosts,
            },
        }))
    }

    fn readiness(&self) -> Result<(), String> {
        let reasons = self.daemon.reasons();
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ")) }
    }

    fn measures(&self) -> Result<Vec<Measure>, Fault> {
        let status = self.status()?;
        let counter = |name: &str| status.counters.get(name).copied().unwrap_or(0) as f64;
        let rules = self.daemon.judging.rule_list();
        let each_rule = |value: fn(&RuleCounts) -> u64| -> Vec<(Vec<(&'static str, String)>, f64)> {
            rules.iter().map(|(id, counts)| (vec![("rule", id.clone())], value(counts) as f64)).collect()
        };
        let kept = |value: fn(&StoreStatus) -> u64| status.store.as_ref().map_or(0, value) as f64;
        let tier = |state: &str| if state == "working" { 0.0 } else { 1.0 };
        Ok(vec![
            Measure::gauge("sessions", "Live sessions", status.sessions as f64),
            Measure::gauge(
                "heartbeat_age_seconds",
                "How long ago the kernel was told that the daemon lives",
                self.daemon.heart_age().as_secs_f64(),
            ),
            Measure::gauge(
                "enforcing",
                "1 when everything that enforcement needs is there",
                f64::from(u8::from(status.state != State::Degraded)),
            ),
            Measure::gauge(
                "judge_queue_depth",
                "Executions that wait to be judged",
                self.daemon.judging.pending() as f64,
            ),
            Measure::gauge("verdicts_remembered", "Verdicts that the kernel remembers", counter("judge_remembered")),
            Measure::counter("kernel_events", "Events that the kernel programs told", counter("events")),
            Measure::counter("kernel_denials", "Operations that the kernel programs denied", counter("denied")),
            Measure::counter("ring_lost", "Events that found no room in the ring", counter("lost_ring")),
            Measure::counter(
                "host_lost",
                "What could not be told of processes that nobody governs; the next census finds it",
                counter("lost_host"),
            ),
            Measure::counter("undecodable", "Events that could not be decoded", counter("undecodable")),
            Measure::counter(
                "judge_default_action",
                "Executions that no tier decided",
                counter("judge_default_action"),
            ),
            Measure::counter(
                "judge_overflowed",
                "Executions that found no room to be judged",
                counter("judge_overflowed"),
            ),
            Measure::counter("store_written", "Events that the event store has on disk", kept(|store| store.written)),
            Measure::gauge("store_queue_depth", "Events that wait for the event store", kept(|store| store.queued)),
            Measure::counter("store_lost", "Events that found no room in the event store", kept(|store| store.lost)),
            Measure::gauge("store_bytes", "Size of the event store without its archive", kept(|store| store.size)),
            Measure {
                name: "rule_hits",
                help: "Events that a rule matched",
                kind: MeasureKind::Counter,
                samples: each_rule(|counts| counts.hits),
            },
            Measure {
                name: "rule_faults",
                help: "Events over which a rule's condition failed",
                kind: MeasureKind::Counter,
                samples: each_rule(|counts| counts.faults),
            },
            Measure {
                name: "breaker_open",
                help: "1 when a tier of the judge is not asked, because it fails",
                kind: MeasureKind::Gauge,
                samples: status.judge.iter().map(|it| (vec![("tier", it.tier.to_string())], tier(&it.state))).collect(),
            },
        ])
    }

    fn admit(&self, pid: u32) -> Result<(), String> {
        // The hook on the socket refuses governed processes already; this is for one that was handed a connection.
        let task = PidFd::open(pid).map_err(|error| error.to_string())?;
        match self.daemon.governs(&task) {
            Ok(false) => Ok(()),
            Ok(true) => Err(format!("process {pid} is governed")),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    fn noted(&self, actor: &Actor, what: &str) {
        tracing::info!("{} ({}): {what}", actor.name, actor.role);
        let who = auditor(actor);
        let kind = if matches!(what, "login" | "logout") { Kind::Login } else { Kind::Change };
        // A file's or program's name can tell of a person.
        let entry = Entry::new(kind).with("role", actor.role.as_str()).by(&who);
        self.daemon.tell(entry.about(who.subject(), serde_json::json!({ "what": what })));
    }

    fn live_sessions(&self) -> Result<Option<Vec<SessionRow>>, Fault> {
        let sessions = control::ps(&self.daemon).map_err(failed)?;
        let row = |session: lictor_api::control::SessionInfo| SessionRow {
            id: session.id,
            agent: Some(session.agent),
            mode: Some(session.mode),
            started: session.started,
            ended: None,
            user: None,
            command: None,
            tasks: session.tasks.len() as u64,
            events: session.events,
            denied: session.denied,
            policy: Some(session.policy),
            profile: None,
        };
        Ok(Some(sessions.into_iter().map(row).collect()))
    }

    fn processes(&self, hashes: bool, window: &Window) -> Result<Page<ProcessInfo>, Fault> {
        let all = census::processes(&self.daemon).map_err(|error| Fault::Conflict(format!("{error:#}")))?;
        let mut page = desk::part(all, window)?;
        if hashes {
            census::add_hashes(&self.daemon, &mut page.items);
        }
        Ok(page)
    }

    fn rule_counts(&self) -> Result<Option<Vec<(String, RuleCounts)>>, Fault> {
        Ok(Some(self.daemon.judging.rule_list()))
    }

    fn epoch(&self) -> u64 {
        self.daemon.epoch.load(Ordering::Acquire)
    }

    fn reload(&self, actor: &Actor, what: &str) -> Result<(), Fault> {
        self.noted(actor, what);
        self.daemon.reload(&auditor(actor)).map_err(|error| Fault::Conflict(format!("{error:#}")))
    }

    fn verdicts(&self) -> Result<Verdicts, Fault> {
        self.daemon.verdicts().map_err(failed)
    }

    fn set_verdict(
        &self,
        actor: &Actor,
        key: &str,
        action: VerdictAction,
        ttl: Option<Duration>,
    ) -> Result<Done, Fault> {
        let allow = action == VerdictAction::Allow;
        self.noted(actor, &format!("verdict {action} for {}", key.escape_debug()));
        let done = self.daemon.set_verdict(key, allow, ttl, &actor.name);
        done.map(|done| Done { done }).map_err(|error| Fault::Conflict(format!("{error:#}")))
    }

    fn remove_verdict(&self, actor: &Actor, key: &str) -> Result<Done, Fault> {
        self.noted(actor, &format!("verdict for {} removed", key.escape_debug()));
        match self.daemon.remove_verdict(key).map_err(failed)? {
            true => Ok(Done { done: 1 }),
            false => Err(Fault::NotFound(format!("the kernel remembers no verdict `{}`", key.escape_debug()))),
        }
    }

    fn clear_verdicts(&self, actor: &Actor) -> Result<Done, Fault> {
        self.noted(actor, "all verdicts removed");
        let before = self.daemon.verdicts().map_err(failed)?.remembered.len() as u64;
        self.daemon.clear_verdicts().map_err(failed)?;
        Ok(Done { done: before })
    }
}
