// SPDX-License-Identifier: Apache-2.0
//! What a judgement does: lets a held process go or ends it, tells the kernel what to remember, records the event. And
//! the bailiff, who sees to it that nobody waits longer than is allowed, or goes on without leave.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lictor_api::control::{HeldInfo, RememberedInfo, Verdicts};
use lictor_api::event::{Action, Event, Exec, Kind, Tier, Verdict};
use lictor_bpf::{Fingerprint, Held, PidFd, abi::judged, monotonic_ns};
use lictor_engine::process::ProcessKey;
use lictor_judge::{DefaultAction, Judgement};

use crate::daemon::Daemon;
use crate::judging::{Facts, Work, facts_of};
use crate::session::session_name;

/// How often the bailiff looks.
const WATCH: Duration = Duration::from_millis(100);
/// A process that is held is stopped by the time that it would return to its program: long before this.
const TO_STOP: Duration = Duration::from_secs(1);
/// An event that has not come by then counts as lost, even if the rings are never empty.
const TO_COME: Duration = Duration::from_secs(2);

/// A worker: one execution after the other.
pub(crate) fn work(daemon: &Daemon) {
    while let Some(work) = daemon.judging.next() {
        daemon.decide(work);
        daemon.judging.done();
    }
}

impl Daemon {
    fn decide(&self, mut work: Work) {
        if work.args_cut
            && let Ok(Some(_)) = self.still(&work.key)
            && let Some(Facts { args, .. }) = facts_of(work.key.pid)
        {
            let args: Vec<String> = args.iter().map(|argument| lictor_api::bytes::escape(argument)).collect();
            work.event.process.cmdline = Some(args.join(" "));
            work.event.process.args = Some(args);
        }
        let judgement = self.judging.judge(&work);
        self.carry_out(work, &judgement);
    }

    fn carry_out(&self, mut work: Work, judgement: &Judgement) {
        let mut verdict = judgement.verdict();
        let waits = work.state == judged::HELD && judgement.action == Action::Hold;
        if work.enforce && !judgement.permits() && !waits && work.state != judged::REFUSED {
            verdict.action = Action::Kill;
        }
        // Before it goes on: what it does next may be the same again.
        if let Some(print) = self.judging.memorable(&work, judgement) {
            self.remember(print, judgement.permits(), verdict.clone(), judgement.ttl);
        }
        if work.enforce {
            match (work.state, judgement.permits()) {
                _ if waits => {}
                (judged::HELD, true) => self.let_go(&work),
                (judged::REFUSED, _) => {}
                (_, true) => {}
                (_, false) => {
                    self.end(&work.key);
                    self.judging.decided(&work.key);
                }
            }
        } else if !judgement.permits() {
            verdict.enforced = Some(false);
        }
        if work.state == judged::REFUSED {
            // It was refused, whatever is said of it now; the next attempt gets the answer.
            let said = format!(
                "nobody had judged it yet (undecided: deny); the judgement: {} by {}",
                verdict.action, verdict.tier
            );
            verdict.action = Action::Deny;
            verdict.reason = Some(match verdict.reason {
                Some(reason) => format!("{said}: {reason}"),
                None => said,
            });
        }
        work.event.verdict = Some(verdict);
        self.record_judged(work.session, work.event);
    }

    /// There was no room to judge it: the default action, and said so.
    pub(crate) fn unjudged(&self, work: Work) {
        let judgement = self.judging.overflowed();
        self.carry_out(work, &judgement);
    }

    /// Into the record, the session's sums and what is remembered of it.
    fn record_judged(&self, session: u64, event: Event) {
        self.judging.noted(session, &event);
        self.lock().sessions.count(session, event.is_denied());
        let mut recorder = self.recorder();
        recorder.write(event);
        recorder.flush();
    }

    fn remember(&self, print: Fingerprint, allow: bool, verdict: Verdict, ttl: Option<Duration>) {
        if self.judging.note_remembered(print, verdict)
            && let Err(error) = self.forget_all()
        {
            tracing::error!("cannot make the kernel forget: {error:#}");
        }
        let expires = ttl.map(|ttl| monotonic_ns().saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX)));
        if let Err(error) = self.sensor.remember(&print, allow, expires) {
            // Without it the next execution asks again: slower, not weaker.
            tracing::error!("{error}");
        }
    }

    fn forget_all(&self) -> Result<()> {
        for (print, ..) in self.sensor.remembered()? {
            self.sensor.forget(&print)?;
        }
        Ok(())
    }

    /// The process, if it is still the one that was meant.
    fn still(&self, key: &ProcessKey) -> Result<Option<PidFd>> {
        let Ok(task) = PidFd::open(key.pid) else { return Ok(None) };
        // After opening: from here on the descriptor is this process or none.
        let held = self.sensor.held_as(key.pid)?;
        let same = match held {
            Some(held) => held.start_ns == key.start_ns,
            None => has_its_number(key),
        };
        Ok(same.then_some(task))
    }

    fn let_go(&self, work: &Work) {
        self.judging.decided(&work.key);
        let released = self.sensor.held_as(work.key.pid).map_err(anyhow::Error::from).and_then(|held| {
            let Some(held) = held.filter(|held| held.start_ns == work.key.start_ns) else { return Ok(()) };
            match self.still(&work.key)? {
                Some(task) => Ok(self.sensor.release(&held, &task)?),
                None => Ok(()),
            }
        });
        if let Err(error) = released {
            // It stays stopped, and the bailiff decides it when its time is over.
            tracing::error!("process {} cannot be let go: {error:#}", work.key.pid);
        }
    }

    /// Ends a process and everything that it started.
    pub(crate) fn end(&self, key: &ProcessKey) {
        let mut doomed = vec![*key];
        {
            let mut changing = self.lock();
            doomed.extend(changing.tree.started_by(*key));
            changing.doomed.insert(*key);
        }
        for key in doomed {
            self.end_one(&key);
        }
    }

    pub(crate) fn end_one(&self, key: &ProcessKey) {
        let ended = self.still(key).and_then(|task| match task {
            Some(task) => Ok(self.sensor.kill(&task)?),
            None => Ok(()),
        });
        if let Err(error) = ended {
            tracing::error!("process {} cannot be ended: {error:#}", key.pid);
        }
    }

    /// For those whose event was lost, whom an earlier daemon left, who wait too long, or who go on without leave.
    pub(crate) fn watch_held(self: &Arc<Daemon>) {
        let (mut missing, mut ended) = (HashMap::new(), HashSet::new());
        while !self.stopping.load(Ordering::Acquire) {
            if let Err(error) = self.look_at_held(&mut missing) {
                tracing::error!("cannot look after held processes: {error:#}");
            }
            self.look_at_older(&mut ended);
            std::thread::sleep(WATCH);
        }
    }

    /// `missing`: those of whom no event has come yet, with the round of the ring thread in which each was first seen.
    fn look_at_held(&self, missing: &mut HashMap<ProcessKey, u64>) -> Result<()> {
        let known = self.judging.known();
        let held = self.sensor.held()?;
        let keys: HashSet<ProcessKey> = held.iter().map(key_of).collect();
        known.difference(&keys).for_each(|gone| self.judging.decided(gone));
        missing.retain(|key, _| keys.contains(key));
        let round = self.round();
        for held in &held {
            let key = key_of(held);
            let waited = Duration::from_nanos(monotonic_ns().saturating_sub(held.since_ns));
            let state = state_of(held.pid);
            // Decided since the list was read: it goes on by right, and had left the table before it did.
            if self.sensor.held_as(held.pid)?.as_ref() != Some(held) {
                continue;
            }
            match state {
                Some('T' | 't' | 'X' | 'Z' | 'x') | None => {}
                Some(state) if waited > TO_STOP => {
                    tracing::error!("process {} was to be held and goes on (state {state}): ended", held.pid);
                    self.end(&key);
                    self.judging.decided(&key);
                    self.record_held(held, Action::Kill, Tier::Floor, "it went on without leave while it was held");
                    continue;
                }
                Some(_) => {}
            }
            if waited > self.judging.hold_limit {
                self.time_is_over(held, &key);
            } else if !known.contains(&key) {
                // In a round that began later its event would have come, if it were still to come.
                if round < *missing.entry(key).or_insert(round) + 2 && waited < TO_COME {
                    continue;
                }
                let Some(event) = self.event_of(held) else { continue };
                // It came meanwhile, was judged and let go: what is known was asked before.
                if self.sensor.held_as(held.pid)?.as_ref() != Some(held) {
                    continue;
                }
                let work = Work {
                    event,
                    key,
                    session: held.session,
                    fingerprint: held.fingerprint,
                    state: judged::HELD,
                    enforce: true,
                    args_cut: false,
                };
                if self.judging.submit(work).is_err() {
                    tracing::error!("process {} waits: there is too much to judge", held.pid);
                }
            }
        }
        Ok(())
    }

    /// Sessions of an older build go on under its programs, and only its own daemon could have let somebody of theirs go.
    fn look_at_older(&self, ended: &mut HashSet<ProcessKey>) {
        for older in self.legacy() {
            let held = match older.held() {
                Ok(held) => held,
                Err(error) => {
                    tracing::error!("cannot look after held processes of build {}: {error}", older.build());
                    continue;
                }
            };
            for held in held {
                let key = key_of(&held);
                let waited = Duration::from_nanos(monotonic_ns().saturating_sub(held.since_ns));
                if waited > self.judging.hold_limit && ended.insert(key) {
                    let reason = format!(
                        "it was held by build {}, whose daemon is gone, and nobody can let it go",
                        older.build()
                    );
                    // First: of one that has ended there is little to tell.
                    self.record_held(&held, Action::Kill, Tier::Rules, &reason);
                    self.end(&key);
                }
            }
        }
        // Who is gone is not told of twice, and its key never comes back.
        ended.retain(|key| state_of(key.pid).is_some());
    }

    fn time_is_over(&self, held: &Held, key: &ProcessKey) {
        let allow = self.judging.default_action == DefaultAction::Allow;
        let reason = format!(
            "it was held for {} s and nobody decided, so {}",
            self.judging.hold_limit.as_secs(),
            if allow { "the default action applies: allow" } else { "it may not run" }
        );
        // First: of one that has ended, or runs something else, there is little to tell.
        self.record_held(held, if allow { Action::Allow } else { Action::Kill }, Tier::Rules, &reason);
        if allow {
            let done = self.still(key).and_then(|task| match task {
                Some(task) => Ok(self.sensor.release(held, &task)?),
                None => Ok(()),
            });
            if let Err(error) = done {
                tracing::error!("process {} cannot be let go: {error:#}", held.pid);
            }
        } else {
            self.end(key);
        }
        self.judging.decided(key);
    }

    fn record_held(&self, held: &Held, action: Action, tier: Tier, reason: &str) {
        let Some(mut event) = self.event_of(held) else { return };
        event.verdict = Some(Verdict { reason: Some(reason.to_owned()), ..Verdict::new(action, tier) });
        self.record_judged(held.session, event);
    }

    /// The event of a held process, from /proc: its own was lost, or taken by a daemon that is gone.
    fn event_of(&self, held: &Held) -> Option<Event> {
        let Facts { args, exe, cwd } = facts_of(held.pid)?;
        let mut changing = self.lock();
        let (key, session) = (key_of(held), held.session);
        let (ppid, uid, gid) = owner_of(held.pid)?;
        changing.tree.seen(key, session, ppid, uid, gid);
        changing.tree.executed(key, exe.as_deref().unwrap_or_default(), &args, cwd.as_deref());
        let time = jiff::Timestamp::now();
        let mut event = Event::new(Kind::Exec, ulid::Ulid::new().to_string(), format!("{time:.9}"));
        event.session = Some(session_name(session));
        event.process = crate::observe::process_of(key, ppid, uid, gid, &changing.tree, true);
        if let Some(session) = changing.sessions.find_mut(session) {
            event.agent = Some(session.record.agent.clone());
            event.process.container = session.record.container.clone();
        }
        event.exec = Some(Exec {
            path: exe.as_deref().map(lictor_api::bytes::escape),
            sha256: None,
            interpreter: None,
            args: Vec::new(),
        });
        Some(event)
    }

    /// For `lictor verdicts list`.
    pub(crate) fn verdicts(&self) -> Result<Verdicts> {
        let now = monotonic_ns();
        let remembered = self.sensor.remembered()?.into_iter().map(|(print, allow, expires)| RememberedInfo {
            key: key_text(&print),
            allow,
            expires_in_ms: expires.map(|at| at.saturating_sub(now) / 1_000_000),
            verdict: self.judging.said_of(&print),
        });
        let held = self.sensor.held()?.into_iter().map(|held| HeldInfo {
            key: key_text(&held.fingerprint),
            pid: held.pid,
            session: session_name(held.session),
            waiting_ms: now.saturating_sub(held.since_ns) / 1_000_000,
            cmdline: facts_of(held.pid).map(|facts| lictor_api::bytes::escape(&facts.args.join(&b' '))),
        });
        Ok(Verdicts { remembered: remembered.collect(), held: held.collect() })
    }

    /// A person's verdict: it is remembered, and held processes that it is about are let go or ended.
    pub(crate) fn set_verdict(&self, key: &str, allow: bool, ttl: Option<Duration>, who: &str) -> Result<u64> {
        let held = self.sensor.held()?;
        let print = match parse_key(key) {
            Some(print) => print,
            None => {
                let pid: u32 =
                    key.parse().ok().with_context(|| format!("`{key}` is no key: see `lictor verdicts list`"))?;
                held.iter()
                    .find(|held| held.pid == pid)
                    .with_context(|| format!("process {pid} is not held"))?
                    .fingerprint
            }
        };
        let by = Verdict {
            reason: Some(format!("{who} said so")),
            ..Verdict::new(if allow { Action::Allow } else { Action::Kill }, Tier::Human)
        };
        // One that is not seen whole cannot be known again: it is decided, and not remembered.
        let whole = print.object != 0 && (print.invocation != 0 || parse_key(key).is_some());
        if whole {
            let expires = ttl.map(|ttl| monotonic_ns() + ttl.as_nanos() as u64);
            self.judging.note_remembered(print, by.clone());
            self.sensor.remember(&print, allow, expires)?;
        }
        let mut decided = 0;
        for held in held.iter().filter(|held| held.fingerprint == print && (whole || key == held.pid.to_string())) {
            let key = key_of(held);
            let event = self.event_of(held);
            if allow {
                if let Some(task) = self.still(&key)? {
                    self.sensor.release(held, &task)?;
                }
            } else {
                self.end(&key);
            }
            self.judging.decided(&key);
            if let Some(mut event) = event {
                event.verdict = Some(by.clone());
                self.record_judged(held.session, event);
            }
            decided += 1;
        }
        ensure!(whole || decided > 0, "nothing is decided by `{key}`");
        Ok(decided)
    }

    /// Makes the kernel forget one verdict; false when it remembers none under that key.
    pub(crate) fn remove_verdict(&self, key: &str) -> Result<bool> {
        let Some(print) = parse_key(key) else { return Ok(false) };
        let known = self.sensor.forget(&print)?;
        self.judging.forget_one(&print);
        Ok(known)
    }

    pub(crate) fn clear_verdicts(&self) -> Result<()> {
        self.judging.forget_remembered();
        self.forget_all()
    }
}

fn key_of(held: &Held) -> ProcessKey {
    ProcessKey { pid: held.pid, start_ns: held.start_ns }
}

fn key_text(print: &Fingerprint) -> String {
    format!("{:016x}-{:016x}-{:x}", print.object, print.invocation, print.judge)
}

fn parse_key(text: &str) -> Option<Fingerprint> {
    let mut parts = text.split('-');
    let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
    let (object, invocation, judge) = (number()?, number()?, number()?);
    Some(Fingerprint { object, invocation, judge: u32::try_from(judge).ok()? })
}

/// Field 3 of /proc/PID/stat.
fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Field 22 of /proc/PID/stat in nanoseconds: CLOCK_BOOTTIME, in the kernel's ticks of 10 ms.
fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks * TICK_NS)
}

/// Whether the process still has its number: /proc tells of it, and of nobody who came after.
pub(crate) fn has_its_number(key: &ProcessKey) -> bool {
    start_of(key.pid).is_some_and(|start| near(start, key.start_ns))
}

const TICK_NS: u64 = 10_000_000;

/// Whether a start time in ticks is that of an exact one.
fn near(ticks_ns: u64, exact_ns: u64) -> bool {
    exact_ns / TICK_NS * TICK_NS == ticks_ns
}

fn owner_of(pid: u32) -> Option<(u32, u32, u32)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((field("PPid:")?, field("Uid:")?, field("Gid:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let print = Fingerprint { object: 0xdead_beef, invocation: u64::MAX, judge: 7 };
        assert_eq!(parse_key(&key_text(&print)), Some(print));
        for wrong in ["", "1", "1-2", "x-1-1", "1-1-fffffffff"] {
            assert_eq!(parse_key(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_start_is_compared_in_ticks() {
        assert!(near(20_000_000, 29_999_999));
        assert!(!near(20_000_000, 30_000_000));
        assert!(start_of(std::process::id()).is_some());
    }
}
