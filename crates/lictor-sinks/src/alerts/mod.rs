// SPDX-License-Identifier: Apache-2.0
//! Alerts: what a person should look at. Pure: events and the time go in, changes come out; [`file`] keeps the state.
//!
//! Events with the same key (rule, or tier, kind and class of object; agent; session) are one alert with a count, so that a
//! storm is one line. What is new is sent at once; what goes on is sent again at 10, 100, 1000 occurrences, when it gets
//! more severe, and never twice within [`QUIET`]. A closed alert that happens again is a new one, which names the old.

mod classify;
pub mod file;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use lictor_api::alert::{
    Alert, AlertChange, AlertFilter, AlertSource, AlertState, ChainLink, NewSilence, Silence, SilenceMatch,
};
use lictor_api::event::{Event, Severity};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use ulid::Ulid;

use self::classify::{Occurrence, cut};

/// Alerts kept at the most; closed and old ones go first.
pub const MAX_ALERTS: usize = 2_000;
/// New alerts of one minute; what is beyond becomes one alert that counts the rest.
pub const NEW_PER_MINUTE: u32 = 120;
/// The shortest time between two messages about one alert.
pub const QUIET: Duration = Duration::from_secs(60);
pub const MAX_SILENCES: usize = 1_000;
const MAX_NOTE: usize = 4_096;
/// Longest text kept of an example, in bytes.
const LONGEST: usize = 2_048;

/// What is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Nobody has heard of it yet.
    New(Alert),
    /// It goes on, or a person changed it.
    Update(Alert),
}

impl Change {
    #[must_use]
    pub fn alert(&self) -> &Alert {
        match self {
            Self::New(alert) | Self::Update(alert) => alert,
        }
    }
}

/// Why something asked for by a person is refused.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum Refused {
    #[error("there is no alert `{0}`: lictor alerts list --all shows them")]
    NoAlert(String),
    #[error("there is no silence `{0}`: lictor alerts silences shows them")]
    NoSilence(String),
    #[error("nothing is to be changed: give a state or a note")]
    NoChange,
    #[error("the note has {0} bytes, and at most {MAX_NOTE} are kept")]
    LongNote(usize),
    #[error("a silence without rule, session, agent or program would silence everything: name one")]
    Everything,
    #[error("`{0}` is no time in the future: write RFC 3339, like 2026-01-02T03:04:05Z")]
    Until(String),
    #[error("there are {MAX_SILENCES} silences: remove some")]
    Silences,
}

/// All alerts and silences.
#[derive(Debug, Default)]
pub struct Alerts {
    /// By id, so by age.
    alerts: BTreeMap<String, Entry>,
    /// The alert that is not closed, by key.
    live: HashMap<String, String>,
    silences: Vec<Silence>,
    minute: (i64, u32),
    /// Alerts that made room for others while they were not closed.
    evicted: u64,
    /// Grows with every change.
    version: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    alert: Alert,
    /// When it was sent last, in milliseconds of Unix time, and how often it had happened then.
    #[serde(default)]
    sent_ms: i64,
    #[serde(default)]
    sent_count: u64,
    #[serde(default)]
    sent_severity: Option<Severity>,
}

impl Alerts {
    /// Takes one event into account.
    pub fn observe(&mut self, event: &Event, now: Timestamp) -> Option<Change> {
        let occurrence = classify::classify(event)?;
        self.occur(occurrence, Some(event), now)
    }

    /// Takes something into account that no event tells of: `name` is what makes it the same, `title` is for people.
    pub fn report(
        &mut self,
        source: AlertSource,
        severity: Severity,
        name: &str,
        title: &str,
        now: Timestamp,
    ) -> Option<Change> {
        let key = format!("{source}:{name}");
        let occurrence = Occurrence { key, title: title.to_owned(), source, severity, weight: 1, rule: None };
        self.occur(occurrence, None, now)
    }

    fn occur(&mut self, mut occurrence: Occurrence, mut event: Option<&Event>, now: Timestamp) -> Option<Change> {
        self.version += 1;
        if !self.live.contains_key(&occurrence.key) && self.too_many(now) {
            occurrence.key = format!("overflow:{}", occurrence.source);
            occurrence.title = format!("more than {NEW_PER_MINUTE} new alerts in a minute: the rest is counted here");
            occurrence.rule = None;
            // Sessions and agents of the rest differ: the alert is about none of them.
            event = event.filter(|_| !self.live.contains_key(&occurrence.key));
        }
        let silenced = self.is_silenced(&occurrence, event, now);
        let id = match self.live.get(&occurrence.key) {
            Some(id) => id.clone(),
            None => self.open(&occurrence, event, now),
        };
        let entry = self.alerts.get_mut(&id)?;
        entry.alert.count = entry.alert.count.saturating_add(occurrence.weight);
        entry.alert.last_seen = now.to_string();
        entry.alert.severity = entry.alert.severity.max(occurrence.severity);
        if silenced { None } else { entry.take_to_send(now) }
    }

    /// A new alert, without an occurrence yet; gives its id.
    fn open(&mut self, occurrence: &Occurrence, event: Option<&Event>, now: Timestamp) -> String {
        let previous = self.alerts.values().rev().find(|entry| entry.alert.key == occurrence.key);
        let previous = previous.map(|entry| entry.alert.id.clone());
        self.make_room();
        let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
        // Ids sort by time even within one millisecond, so that the newest is the last.
        let last = self.alerts.keys().next_back().and_then(|id| Ulid::from_string(id).ok());
        let fresh = Ulid::from_parts(milliseconds, Ulid::new().random());
        let id = match last {
            Some(last) if last >= fresh => last.increment().unwrap_or(fresh),
            _ => fresh,
        };
        let (techniques, tags) =
            classify::techniques(event.and_then(|event| event.verdict.as_ref()).map_or(&[], |verdict| &verdict.tags));
        let alert = Alert {
            id: id.to_string(),
            key: occurrence.key.clone(),
            title: cut(&occurrence.title, LONGEST),
            source: occurrence.source,
            severity: occurrence.severity,
            techniques,
            tags,
            state: AlertState::Open,
            note: None,
            by: None,
            count: 0,
            first_seen: now.to_string(),
            last_seen: now.to_string(),
            session: event.and_then(|event| event.session.clone()),
            agent: event.and_then(|event| event.agent.clone()),
            rule: occurrence.rule.clone(),
            tier: event.and_then(|event| event.verdict.as_ref()).map(|verdict| verdict.tier),
            kind: event.map(|event| event.kind),
            chain: event.map(|event| classify::chain(event, LONGEST)).unwrap_or_default(),
            example_event: event.map(|event| Box::new(shortened(event))),
            previous,
            announced: false,
        };
        let entry = Entry { alert, sent_ms: 0, sent_count: 0, sent_severity: None };
        self.live.insert(occurrence.key.clone(), id.to_string());
        self.alerts.insert(id.to_string(), entry);
        id.to_string()
    }

    fn too_many(&mut self, now: Timestamp) -> bool {
        let minute = now.as_second().div_euclid(60);
        if self.minute.0 != minute {
            self.minute = (minute, 0);
        }
        self.minute.1 = self.minute.1.saturating_add(1);
        self.minute.1 > NEW_PER_MINUTE
    }

    /// Closed ones go first, then the least severe, then those that were seen longest ago.
    fn make_room(&mut self) {
        if self.alerts.len() < MAX_ALERTS {
            return;
        }
        let order = |entry: &Entry| {
            let alert = &entry.alert;
            let open = match alert.state {
                AlertState::Closed => 0,
                AlertState::Acknowledged => 1,
                AlertState::Open => 2,
            };
            (open.min(1), if open == 0 { Severity::Info } else { alert.severity }, open, alert.last_seen.clone())
        };
        let Some(id) = self.alerts.iter().min_by_key(|(_, entry)| order(entry)).map(|(id, _)| id.clone()) else {
            return;
        };
        if let Some(entry) = self.alerts.remove(&id)
            && entry.alert.state != AlertState::Closed
        {
            self.evicted += 1;
            self.live.remove(&entry.alert.key);
        }
    }

    /// The alerts that `filter` wants, the last seen first.
    #[must_use]
    pub fn list(&self, filter: &AlertFilter) -> Vec<Alert> {
        let mut found: Vec<&Alert> =
            self.alerts.values().map(|entry| &entry.alert).filter(|alert| filter.matches(alert)).collect();
        found.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| b.id.cmp(&a.id)));
        found.into_iter().take(filter.limit.unwrap_or(usize::MAX)).cloned().collect()
    }

    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Alert> {
        self.alerts.get(id).map(|entry| &entry.alert)
    }

    /// Changes state or note on behalf of `by`.
    ///
    /// # Errors
    /// There is no such alert, nothing to change, or the note is too long.
    pub fn change(&mut self, id: &str, change: &AlertChange, by: &str) -> Result<Change, Refused> {
        if change.state.is_none() && change.note.is_none() {
            return Err(Refused::NoChange);
        }
        if let Some(note) = change.note.as_ref().filter(|note| note.len() > MAX_NOTE) {
            return Err(Refused::LongNote(note.len()));
        }
        let entry = self.alerts.get_mut(id).ok_or_else(|| Refused::NoAlert(id.to_owned()))?;
        if let Some(state) = change.state {
            let key = &entry.alert.key;
            match state {
                AlertState::Closed => {
                    // Another alert may have taken the key since this one was closed.
                    if self.live.get(key).is_some_and(|live| live == id) {
                        self.live.remove(key);
                    }
                }
                AlertState::Open | AlertState::Acknowledged => {
                    self.live.entry(key.clone()).or_insert_with(|| id.to_owned());
                }
            }
            entry.alert.state = state;
        }
        if let Some(note) = &change.note {
            entry.alert.note = (!note.trim().is_empty()).then(|| note.clone());
        }
        entry.alert.by = Some(by.to_owned());
        self.version += 1;
        Ok(Change::Update(entry.alert.clone()))
    }

    /// Removes the alerts for which `goes` holds; gives their number. What happens again is a new alert.
    pub fn forget(&mut self, goes: impl Fn(&Alert) -> bool) -> u64 {
        let before = self.alerts.len();
        self.alerts.retain(|_, entry| !goes(&entry.alert));
        let Self { alerts, live, .. } = self;
        live.retain(|_, id| alerts.contains_key(id));
        let gone = (before - self.alerts.len()) as u64;
        self.version += u64::from(gone > 0);
        gone
    }

    /// Those that have not ended.
    #[must_use]
    pub fn silences(&self, now: Timestamp) -> Vec<Silence> {
        self.silences.iter().filter(|silence| !has_ended(silence, now)).cloned().collect()
    }

    /// Adds a silence on behalf of `by`.
    ///
    /// # Errors
    /// It would silence everything, has ended already, or there are too many.
    pub fn silence(&mut self, new: NewSilence, by: &str, now: Timestamp) -> Result<Silence, Refused> {
        let given = [&new.matches.rule, &new.matches.session, &new.matches.agent, &new.matches.program];
        if given.into_iter().flatten().all(|pattern| pattern.chars().all(|c| c == '*')) {
            return Err(Refused::Everything);
        }
        let until = new.until.parse::<Timestamp>().ok().filter(|until| *until > now);
        let until = until.ok_or_else(|| Refused::Until(new.until.clone()))?;
        self.silences.retain(|silence| !has_ended(silence, now));
        if self.silences.len() >= MAX_SILENCES {
            return Err(Refused::Silences);
        }
        let silence = Silence {
            id: Ulid::new().to_string(),
            matches: new.matches,
            until: until.to_string(),
            reason: cut(&new.reason, MAX_NOTE),
            by: by.to_owned(),
        };
        self.silences.push(silence.clone());
        self.version += 1;
        Ok(silence)
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// There is none with this id.
    pub fn unsilence(&mut self, id: &str) -> Result<(), Refused> {
        let before = self.silences.len();
        self.silences.retain(|silence| silence.id != id);
        if self.silences.len() == before {
            return Err(Refused::NoSilence(id.to_owned()));
        }
        self.version += 1;
        Ok(())
    }

    fn is_silenced(&self, occurrence: &Occurrence, event: Option<&Event>, now: Timestamp) -> bool {
        let fits = |silence: &Silence| {
            let SilenceMatch { rule, session, agent, program } = &silence.matches;
            let all = [
                (rule, occurrence.rule.as_ref()),
                (session, event.and_then(|event| event.session.as_ref())),
                (agent, event.and_then(|event| event.agent.as_ref())),
                (program, event.and_then(|event| event.process.exe.as_ref())),
            ];
            all.into_iter().all(|(wanted, value)| match (wanted, value) {
                (None, _) => true,
                (Some(pattern), Some(value)) => matches_glob(pattern, value),
                (Some(_), None) => false,
            })
        };
        self.silences.iter().any(|silence| !has_ended(silence, now) && fits(silence))
    }

    /// How many alerts are not closed, by severity from `info` to `critical`.
    #[must_use]
    pub fn open_by_severity(&self) -> [u64; Severity::ALL.len()] {
        let mut counts = [0; Severity::ALL.len()];
        for entry in self.alerts.values().filter(|entry| entry.alert.state != AlertState::Closed) {
            if let Some(count) = counts.get_mut(entry.alert.severity as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// Alerts that made room for others before anybody closed them.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Grows with every change; what is saved at one version need not be saved again at the same.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl Entry {
    /// The change that is worth a message now, if any.
    fn take_to_send(&mut self, now: Timestamp) -> Option<Change> {
        let now_ms = now.as_millisecond();
        if !self.alert.announced {
            self.alert.announced = true;
            self.sent(now_ms);
            return Some(Change::New(self.alert.clone()));
        }
        // Somebody looks after it already: only worse news are news.
        let worse = self.sent_severity.is_some_and(|sent| self.alert.severity > sent);
        let more =
            self.alert.state == AlertState::Open && self.alert.count >= self.sent_count.saturating_mul(10).max(10);
        let quiet = i64::try_from(QUIET.as_millis()).unwrap_or(i64::MAX);
        // A clock that was set back must not keep it quiet for ever.
        let since = now_ms.saturating_sub(self.sent_ms);
        if !(worse || (more && !(0..quiet).contains(&since))) {
            return None;
        }
        self.sent(now_ms);
        Some(Change::Update(self.alert.clone()))
    }

    fn sent(&mut self, now_ms: i64) {
        self.sent_ms = now_ms;
        self.sent_count = power_of_ten(self.alert.count);
        self.sent_severity = Some(self.alert.severity);
    }
}

/// The largest power of ten that is not above `count`.
fn power_of_ten(count: u64) -> u64 {
    10_u64.saturating_pow(count.max(1).ilog10())
}

fn has_ended(silence: &Silence, now: Timestamp) -> bool {
    silence.until.parse::<Timestamp>().map_or(true, |until| until <= now)
}

/// `*` stands for any run of characters, everything else for itself.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = text.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    text.ends_with(last)
}

/// The event with its long texts cut: a command line of a megabyte is not kept a thousand times.
fn shortened(event: &Event) -> Event {
    let mut event = event.clone();
    let process = &mut event.process;
    process.cmdline = process.cmdline.as_deref().map(|text| cut(text, LONGEST));
    if let Some(args) = &mut process.args {
        shorten_args(args);
    }
    for parent in process.parent.iter_mut().chain(&mut process.ancestors) {
        parent.cmdline = parent.cmdline.as_deref().map(|text| cut(text, LONGEST));
        if let Some(args) = &mut parent.args {
            shorten_args(args);
        }
    }
    process.ancestors.truncate(32);
    if let Some(exec) = &mut event.exec {
        shorten_args(&mut exec.args);
    }
    event
}

fn shorten_args(args: &mut Vec<String>) {
    let mut left = LONGEST;
    let fits = args.iter().take_while(|arg| {
        let had = left;
        left = left.saturating_sub(arg.len() + 1);
        had > 0
    });
    let fits = fits.count();
    args.truncate(fits);
    for arg in args {
        *arg = cut(arg, LONGEST);
    }
}

/// The process chain of an alert in one line: `bash < node < systemd`.
#[must_use]
pub fn chain_text(chain: &[ChainLink]) -> String {
    let name = |link: &ChainLink| {
        let exe = link.exe.as_deref().unwrap_or("?");
        let name = exe.rsplit('/').next().unwrap_or(exe).to_owned();
        link.pid.map_or(name.clone(), |pid| format!("{name}[{pid}]"))
    };
    chain.iter().map(name).collect::<Vec<_>>().join(" < ")
}

#[cfg(test)]
mod tests;
