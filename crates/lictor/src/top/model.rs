// SPDX-License-Identifier: Apache-2.0
//! What `lictor top` shows, apart from how: rates from counters, the order, what is chosen.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use lictor_api::Event;
use lictor_api::control::{SessionInfo, Status};
use ratatui::crossterm::event::KeyCode;
use serde::Serialize;

/// Denials that are kept.
const KEPT: usize = 500;

#[derive(Default)]
pub(super) struct Model {
    pub(super) status: Option<Status>,
    pub(super) sessions: Vec<Row>,
    /// Newest first.
    pub(super) denials: VecDeque<Event>,
    pub(super) events_per_s: f64,
    pub(super) denied_per_s: f64,
    pub(super) problem: Option<String>,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// The id of the session that is chosen.
    pub(super) chosen: Option<String>,
    pub(super) order: Order,
    before: Option<Before>,
}

struct Before {
    at: Instant,
    events: u64,
    denied: u64,
    sessions: HashMap<String, (u64, u64)>,
}

/// A session with its rates.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) session: SessionInfo,
    pub(super) events_per_s: f64,
    pub(super) denied_per_s: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    #[default]
    Denials,
    Rate,
    Newest,
}

impl Order {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Denials => "denials",
            Self::Rate => "events a second",
            Self::Newest => "newest",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Denials => Self::Rate,
            Self::Rate => Self::Newest,
            Self::Newest => Self::Denials,
        }
    }
}

/// `lictor top --json`.
#[derive(Serialize)]
pub(super) struct Snapshot<'a> {
    time: String,
    state: Option<&'static str>,
    events_per_s: f64,
    denied_per_s: f64,
    sessions: &'a [Row],
}

impl Model {
    pub(super) fn update(&mut self, status: Status, sessions: Vec<SessionInfo>, now: Instant) {
        let counter = |name: &str| status.counters.get(name).copied().unwrap_or(0);
        let (events, denied) = (counter("events"), counter("denied"));
        let seconds = self.before.as_ref().map(|before| now.saturating_duration_since(before.at).as_secs_f64());
        // A counter that is smaller than before is that of a daemon that was started anew.
        let rate = |now: u64, before: Option<u64>| match (seconds, before) {
            (Some(seconds), Some(before)) if seconds > 0.0 => now.saturating_sub(before) as f64 / seconds,
            _ => 0.0,
        };
        self.events_per_s = rate(events, self.before.as_ref().map(|before| before.events));
        self.denied_per_s = rate(denied, self.before.as_ref().map(|before| before.denied));
        let known = |id: &str| self.before.as_ref().and_then(|before| before.sessions.get(id).copied());
        self.sessions = sessions
            .into_iter()
            .map(|session| {
                let before = known(&session.id);
                Row {
                    events_per_s: rate(session.events, before.map(|(events, _)| events)),
                    denied_per_s: rate(session.denied, before.map(|(_, denied)| denied)),
                    session,
                }
            })
            .collect();
        self.before = Some(Before {
            at: now,
            events,
            denied,
            sessions: self
                .sessions
                .iter()
                .map(|row| (row.session.id.clone(), (row.session.events, row.session.denied)))
                .collect(),
        });
        self.status = Some(status);
        self.sort();
        if self.chosen.as_ref().is_some_and(|chosen| !self.sessions.iter().any(|row| row.session.id == *chosen)) {
            self.chosen = None;
        }
    }

    fn sort(&mut self) {
        let order = self.order;
        self.sessions.sort_by(|a, b| {
            let newest = || b.session.started.cmp(&a.session.started).then_with(|| a.session.id.cmp(&b.session.id));
            match order {
                Order::Denials => b.session.denied.cmp(&a.session.denied).then_with(newest),
                Order::Rate => b.events_per_s.total_cmp(&a.events_per_s).then_with(newest),
                Order::Newest => newest(),
            }
        });
    }

    pub(super) fn denial(&mut self, event: Event) {
        if self.denials.len() == KEPT {
            self.denials.pop_back();
        }
        self.denials.push_front(event);
    }

    /// The denials of the chosen session, or all of them.
    pub(super) fn shown_denials(&self) -> impl Iterator<Item = &Event> {
        self.denials.iter().filter(|event| self.chosen.is_none() || event.session == self.chosen)
    }

    /// False when the key ends the program.
    pub(super) fn key(&mut self, key: KeyCode) -> bool {
        match key {
            KeyCode::Char('q') => return false,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Esc if self.chosen.is_some() => self.chosen = None,
            KeyCode::Esc => return false,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char('s') => {
                self.order = self.order.next();
                self.sort();
            }
            KeyCode::Down | KeyCode::Char('j') => self.choose(1),
            KeyCode::Up | KeyCode::Char('k') => self.choose(-1),
            _ => {}
        }
        true
    }

    fn choose(&mut self, by: isize) {
        let Some(last) = self.sessions.len().checked_sub(1) else { return };
        let at = self.chosen.as_ref().and_then(|id| self.sessions.iter().position(|row| row.session.id == *id));
        let next = match at {
            None => 0,
            Some(at) => at.saturating_add_signed(by).min(last),
        };
        self.chosen = self.sessions.get(next).map(|row| row.session.id.clone());
    }

    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            time: jiff::Timestamp::now().to_string(),
            state: self.status.as_ref().map(|status| status.state.as_str()),
            events_per_s: self.events_per_s,
            denied_per_s: self.denied_per_s,
            sessions: &self.sessions,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::time::Duration;

    pub(in crate::top) fn status(events: u64, denied: u64) -> Status {
        serde_json::from_value(serde_json::json!({
            "state": "ENFORCING", "reasons": [], "version": "1", "pid": 1, "kernel": "6.12", "lsm": ["bpf"],
            "hooks": {"attached": 1}, "policy": "built-in", "epoch": 1, "sessions": 2,
            "counters": {"events": events, "denied": denied}, "uptime_ms": 61_000
        }))
        .unwrap()
    }

    pub(in crate::top) fn session(id: &str, started: &str, events: u64, denied: u64) -> SessionInfo {
        serde_json::from_value(serde_json::json!({
            "id": id, "agent": "coder", "mode": "enforce", "started": started, "policy": "built-in",
            "tasks": [{"pid": 7, "cmdline": "bash \u{1b}[31m"}], "events": events, "denied": denied
        }))
        .unwrap()
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let (mut model, begin) = (Model::default(), Instant::now());
        model.update(status(100, 10), vec![session("s-1", "2026-01-02T03:04:05Z", 50, 5)], begin);
        assert_eq!((model.events_per_s, model.sessions[0].events_per_s), (0.0, 0.0));
        let later = begin + Duration::from_secs(2);
        let new = session("s-2", "2026-01-02T03:05:05Z", 900, 90);
        model.update(status(300, 20), vec![session("s-1", "2026-01-02T03:04:05Z", 250, 6), new], later);
        assert_eq!((model.events_per_s, model.denied_per_s), (100.0, 5.0));
        let rates: Vec<_> = model.sessions.iter().map(|row| (row.session.id.as_str(), row.events_per_s)).collect();
        assert_eq!(rates, [("s-2", 0.0), ("s-1", 100.0)], "most denials first; what is new has no rate yet");
        // Started anew.
        model.update(status(3, 0), vec![], later + Duration::from_secs(1));
        assert_eq!(model.events_per_s, 0.0);
    }

    #[test]
    fn keys_choose_sort_and_end() {
        let mut model = Model::default();
        let sessions = ["s-1", "s-2", "s-3"].map(|id| session(id, "2026-01-02T03:04:05Z", 1, 0));
        model.update(status(1, 0), sessions.to_vec(), Instant::now());
        for (key, chosen) in
            [(KeyCode::Down, "s-1"), (KeyCode::Down, "s-2"), (KeyCode::Up, "s-1"), (KeyCode::Up, "s-1")]
        {
            assert!(model.key(key));
            assert_eq!(model.chosen.as_deref(), Some(chosen));
        }
        let of = |session: &str| {
            let mut event = Event::new(lictor_api::event::Kind::File, "1".into(), String::new());
            event.session = Some(session.into());
            event
        };
        model.denial(of("s-1"));
        model.denial(of("s-2"));
        assert_eq!(model.shown_denials().count(), 1);
        assert!(model.key(KeyCode::Esc) && model.chosen.is_none());
        assert_eq!(model.shown_denials().count(), 2);
        assert!(model.key(KeyCode::Char('s')) && model.order == Order::Rate);
        assert!(model.key(KeyCode::Char('p')) && model.paused);
        assert!(!model.key(KeyCode::Char('q')) && !model.key(KeyCode::Esc));
        (0..2 * KEPT).for_each(|_| model.denial(of("s-1")));
        assert_eq!(model.denials.len(), KEPT);
    }
}
