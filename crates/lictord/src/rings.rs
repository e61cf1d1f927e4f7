// SPDX-License-Identifier: Apache-2.0
//! The ring thread: the kernel's records to the tree, to words, to the record or to the judges.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use lictor_api::control::Mode;
use lictor_api::event::{Action, Event, Kind, Lost};
use lictor_bpf::{DecodeError, Legacy, RawEvent, Rings, abi, abi::judged, decode, monotonic_ns, return_freed_memory};
use lictor_engine::policy::{Compiled, Limits, SessionFacts, builtin, parse};
use lictor_engine::process::{ProcessFacts, ProcessKey, ProcessTree};
use lictor_store::audit::{self, Actor, Entry};

use crate::daemon::{BEAT, Changing, Daemon};
use crate::judging::{Judging, Work};
use crate::observe::{Answers, Context, observe};
use crate::session::session_name;
use crate::{canary, census};

/// How often the rings are looked into: the kernel wakes us only when one fills up, or a session has ended.
pub(crate) const ROUND: Duration = Duration::from_millis(20);
/// The same while there is no session, and so nothing to tell.
const IDLE_ROUND: Duration = Duration::from_millis(250);
/// Idle rounds after which nothing of the last session, or of the start, is still being written.
const SETTLED: u64 = 20;
/// Events taken from each ring in one round, with the lock held: clients wait for it.
const BATCH: usize = 2048;
/// How often the ring of those whom nobody governs is looked into. It holds what a busy host tells in seconds.
const HOST_ROUND: Duration = Duration::from_millis(250);

/// What a ring tells.
enum Told {
    Record(Vec<u8>),
    /// Another build's ring was full this often since it was last asked.
    LostElsewhere(u64),
    /// Records of another build in a form that this one does not read.
    Unreadable(u64),
}

/// What the ring thread took in one round.
#[derive(Default)]
struct Round {
    records: Vec<Vec<u8>>,
    lost_elsewhere: u64,
    unreadable: u64,
}

impl Round {
    /// A full batch may have left something in the rings.
    fn emptied(&self) -> bool {
        self.records.len() < BATCH
    }

    fn gather(receiver: &Receiver<Told>) -> Round {
        let mut round = Round::default();
        for told in receiver.try_iter() {
            match told {
                Told::Record(bytes) => round.records.push(bytes),
                Told::LostElsewhere(count) => round.lost_elsewhere += count,
                Told::Unreadable(count) => round.unreadable += count,
            }
        }
        round
    }
}

/// Reads this build's rings until the daemon stops; each older build's are read by a thread that ends with that build.
pub(crate) fn read(daemon: &Daemon) {
    crate::daemon::go_ahead("the thread that records");
    let (sender, receiver) = channel();
    let rings = open(|| Rings::open(&daemon.sensor, tell(&sender)));
    let (host_sender, host_told) = channel();
    let host = daemon.watches_host().then(|| open(|| Rings::of_host(&daemon.sensor, tell(&host_sender))));
    std::thread::scope(|scope| {
        let older: Vec<_> = daemon
            .legacy()
            .into_iter()
            .map(|older| {
                let sender = sender.clone();
                scope.spawn(move || read_older(daemon, older, &sender))
            })
            .collect();
        let mut idle = 0;
        let mut host_taken = Instant::now();
        while !daemon.stopping.load(Ordering::Acquire) {
            let over = {
                let sessions = &daemon.lock().sessions;
                idle = if sessions.live.is_empty() { idle + 1 } else { 0 };
                sessions.any_over()
            };
            if idle == SETTLED {
                return_freed_memory();
            }
            let wait = match idle {
                _ if over => Duration::ZERO,
                0 => ROUND,
                _ => IDLE_ROUND,
            };
            take_round(daemon, &rings, &receiver, wait, |busy| {
                if let Some(host) = &host {
                    take_host(daemon, host, &host_told, &mut host_taken, busy);
                }
            });
            if daemon.judging.poll_rules() {
                // To read them takes twice what they take.
                return_freed_memory();
                daemon.tell_rules(&Actor::Lictor);
                let changing = &mut *daemon.lock();
                if let Err(error) = changing.sessions.renew_judges(&daemon.sensor) {
                    tracing::error!("verdicts by the rules before may still hold: {error:#}");
                }
            }
        }
        for thread in older {
            if thread.join().is_err() {
                tracing::error!("a thread that read an older build's rings panicked");
            }
        }
        take_round(daemon, &rings, &receiver, Duration::ZERO, |_| {});
        daemon.no_more_rounds();
    });
}

/// `before` is done between reading and taking, and told whether there is something: a session's first process is known
/// before its events when what the kernel told of whoever started it is taken first.
fn take_round(
    daemon: &Daemon,
    rings: &Rings<'_>,
    receiver: &Receiver<Told>,
    wait: Duration,
    before: impl FnOnce(bool),
) {
    if let Err(error) = rings.poll(wait, BATCH) {
        tracing::error!("cannot read the kernel's events: {error}");
        std::thread::sleep(ROUND);
    }
    let round = Round::gather(receiver);
    before(!round.records.is_empty());
    daemon.take(&round);
    if round.emptied() {
        daemon.round_done();
    }
}

/// The rings of another build's programs, until they are removed: whoever holds that build keeps its programs in force.
fn read_older(daemon: &Daemon, older: Arc<Legacy>, sender: &Sender<Told>) {
    let readable = older.events_are_readable();
    // The receiver outlives this thread.
    let tell = |told: Told| {
        let _alive = sender.send(told);
    };
    let rings =
        match older.rings(|bytes| tell(if readable { Told::Record(bytes.to_vec()) } else { Told::Unreadable(1) })) {
            Ok(rings) => rings,
            Err(error) => {
                tracing::error!("the events of build {} cannot be read: {error}", older.build());
                return;
            }
        };
    let mut lost = 0;
    loop {
        let last = older.is_removed() || daemon.stopping.load(Ordering::Acquire);
        let wait = if last { Duration::ZERO } else { ROUND };
        if let Err(error) = rings.poll(wait, BATCH) {
            tracing::error!("cannot read the events of build {}: {error}", older.build());
            std::thread::sleep(ROUND);
        }
        if let Ok(counters) = older.counters() {
            if counters.lost_ring > lost {
                tell(Told::LostElsewhere(counters.lost_ring - lost));
            }
            lost = counters.lost_ring;
        }
        if last {
            return;
        }
    }
}

/// What the kernel told of processes that nobody governs: before events of sessions (`busy`), every [`HOST_ROUND`], or when
/// somebody wants it.
fn take_host(daemon: &Daemon, rings: &Rings<'_>, told: &Receiver<Told>, last: &mut Instant, busy: bool) {
    if !daemon.census.wanted.swap(false, Ordering::AcqRel) && !busy && last.elapsed() < HOST_ROUND {
        return;
    }
    *last = Instant::now();
    loop {
        let taken = rings.take(BATCH).unwrap_or_else(|error| {
            tracing::error!("cannot read what the kernel tells of the host's processes: {error}");
            0
        });
        let round = Round::gather(told);
        let (raws, errors) = in_order(&round.records);
        for error in &errors {
            tracing::error!("what the kernel tells of a process of the host cannot be decoded: {error}");
        }
        daemon.lock().undecodable += errors.len() as u64;
        census::take(daemon, &raws);
        if taken < BATCH {
            return;
        }
    }
}

/// Into the channel. The receiver lives as long as the ring.
fn tell(sender: &Sender<Told>) -> impl Fn(&[u8]) + Clone + use<> {
    let sender = sender.clone();
    move |bytes| drop(sender.send(Told::Record(bytes.to_vec())))
}

fn open<'a>(open: impl Fn() -> lictor_bpf::Result<Rings<'a>>) -> Rings<'a> {
    loop {
        match open() {
            Ok(rings) => return rings,
            Err(error) => {
                tracing::error!("cannot open the kernel's events: {error}");
                std::thread::sleep(BEAT);
            }
        }
    }
}

impl Daemon {
    /// One round: events, losses, ended sessions.
    fn take(&self, round: &Round) {
        let clock = Clock::now();
        let mut orders = Orders::default();
        let mut guard = self.lock();
        let changing = &mut *guard;
        let mut events = Vec::with_capacity(round.records.len());
        let (raws, errors) = in_order(&round.records);
        for raw in &raws {
            changing.sort(raw, &clock, &self.judging, &mut events, &mut orders);
        }
        for error in errors {
            changing.undecodable += 1;
            tracing::error!("an event cannot be decoded: {error}");
            events.push(lost(1, "an event could not be decoded", &clock));
        }
        if let Ok(counters) = self.sensor.counters() {
            let before = changing.lost_reported;
            for (now, then, reason) in [
                (counters.lost_ring, before.lost_ring, "the ring to lictord was full"),
                (
                    counters.lost_scratch,
                    before.lost_scratch,
                    "all path buffers of a CPU were in use; the access was denied",
                ),
                (
                    counters.lost_task,
                    before.lost_task,
                    "the kernel left out a program on a tracepoint: the start or end of a process was not told",
                ),
            ] {
                if now > then {
                    events.push(lost(now - then, reason, &clock));
                }
            }
            if counters.lost_host > before.lost_host {
                self.census.ask();
            }
            changing.lost_reported = counters;
        }
        for (count, reason) in [
            (round.lost_elsewhere, "the ring of an older build's programs was full"),
            (round.unreadable, "an older build's programs tell of events in a form that this build does not read"),
        ] {
            if count > 0 {
                events.push(lost(count, reason, &clock));
            }
        }
        match changing.sessions.collect(&self.sensor, &self.legacy(), round.emptied()) {
            Ok(gone) => {
                for number in gone {
                    changing.tree.forget_session(number);
                    if number != canary::NUMBER {
                        tracing::info!("session {} has ended", session_name(number));
                        self.tell(Entry::new(audit::Kind::SessionEnd).with("session", session_name(number)));
                    }
                }
            }
            Err(error) => tracing::error!("cannot look after the sessions: {error:#}"),
        }
        let (doomed, tree) = (&mut changing.doomed, &changing.tree);
        doomed.retain(|key| tree.is_alive(key) || !tree.started_by(*key).is_empty());
        drop(guard);
        let mut recorder = self.recorder();
        for event in events {
            recorder.write(event);
        }
        recorder.flush();
        drop(recorder);
        for key in orders.end {
            self.end(&key);
        }
        for work in orders.work {
            if let Err(work) = self.judging.submit(work) {
                self.unjudged(*work);
            }
        }
    }
}

impl Changing {
    /// To the record, to the judges, or to its end.
    fn sort(&mut self, raw: &RawEvent, clock: &Clock, judging: &Judging, events: &mut Vec<Event>, orders: &mut Orders) {
        let key = ProcessKey { pid: raw.pid, start_ns: raw.start_ns };
        let event = self.observe(raw, clock);
        if !self.doomed.is_empty() {
            let facts = self.tree.get(key);
            let doomed = |facts: &ProcessFacts| self.doomed.iter().any(|doomed| facts.descends_from(doomed.pid));
            if facts.is_some_and(doomed) && raw.op != abi::process_op::EXIT {
                orders.end.push(key);
            }
        }
        let Some(mut event) = event else { return };
        match raw.judged {
            judged::UNKNOWN | judged::HELD | judged::REFUSED => {
                let enforce = self.sessions.find_mut(raw.session).is_none_or(|session| session.mode == Mode::Enforce);
                orders.work.push(Work {
                    event,
                    key,
                    session: raw.session,
                    fingerprint: raw.fingerprint,
                    state: raw.judged,
                    enforce,
                    args_cut: raw.args_cut,
                });
                return;
            }
            judged::ALLOW | judged::DENY => {
                if let (Some(said), Some(verdict)) = (judging.said_of(&raw.fingerprint), &mut event.verdict) {
                    (verdict.rule, verdict.source, verdict.reason) = (said.rule, said.source, said.reason);
                    (verdict.severity, verdict.tags, verdict.also) = (said.severity, said.tags, said.also);
                    verdict.score = said.score;
                    if verdict.action == Action::Allow && said.action == Action::Alert {
                        verdict.action = Action::Alert;
                    }
                }
            }
            _ => {
                let session = self.sessions.find_mut(raw.session);
                let enforce = session.as_ref().is_none_or(|session| session.mode == Mode::Enforce);
                if session.is_some_and(|session| session.judged) && judging.annotate(&mut event) {
                    if enforce {
                        orders.end.push(key);
                    } else if let Some(verdict) = &mut event.verdict {
                        verdict.enforced = Some(false);
                    }
                }
            }
        }
        self.sessions.count(raw.session, event.is_denied());
        events.push(event);
    }

    fn observe(&mut self, raw: &RawEvent, clock: &Clock) -> Option<Event> {
        if raw.session == canary::NUMBER {
            return None;
        }
        let time = clock.time_of(raw.time_ns);
        match self.sessions.find_mut(raw.session) {
            Some(session) => {
                let context = Context {
                    session: session.record.name(),
                    agent: &session.record.agent,
                    container: session.record.container.as_ref(),
                    compiled: &session.compiled,
                    answers: &session.answers,
                };
                observe(raw, &mut self.tree, Some(&context), time)
            }
            None => {
                let mut event = observe(raw, &mut self.tree, None, time);
                if let Some(event) = &mut event {
                    event.session = Some(session_name(raw.session));
                }
                event
            }
        }
    }
}

/// Each ring is in order in itself, and denials come first: without this a denial would be told of before the start of
/// the program that met it, and without its arguments.
fn in_order(records: &[Vec<u8>]) -> (Vec<RawEvent>, Vec<DecodeError>) {
    let (mut raws, mut errors) = (Vec::with_capacity(records.len()), Vec::new());
    for bytes in records {
        match decode(bytes) {
            Ok(raw) => raws.push(raw),
            Err(error) => errors.push(error),
        }
    }
    raws.sort_by_key(|raw| raw.time_ns);
    (raws, errors)
}

/// The way of the kernel's records through decoder and process tree into events, for whoever measures it.
#[doc(hidden)]
pub struct Intake {
    tree: ProcessTree,
    compiled: Compiled,
    answers: RefCell<Answers>,
    clock: Clock,
}

impl Intake {
    /// Of a session under the built-in profile.
    pub fn new() -> anyhow::Result<Intake> {
        let text = builtin("default").context("there is no built-in profile")?;
        let file = parse("default", text.as_bytes()).map_err(|problems| anyhow!("{problems:?}"))?;
        let facts = SessionFacts { home: b"/home/dev".to_vec(), user: b"dev".to_vec(), cwd: b"/srv/app".to_vec() };
        let agent = file.agent("default").context("it has no agent `default`")?;
        let compiled = agent.compile(&facts, &[], Limits::default()).map_err(|problems| anyhow!("{problems:?}"))?;
        Ok(Intake { tree: ProcessTree::default(), compiled, answers: RefCell::default(), clock: Clock::now() })
    }

    /// The events of a round, in order.
    pub fn take(&mut self, records: &[Vec<u8>]) -> Vec<Event> {
        let context = Context {
            session: session_name(1),
            agent: "default",
            container: None,
            compiled: &self.compiled,
            answers: &self.answers,
        };
        let (raws, _undecodable) = in_order(records);
        raws.iter()
            .filter_map(|raw| observe(raw, &mut self.tree, Some(&context), self.clock.time_of(raw.time_ns)))
            .collect()
    }
}

/// What a round of events leads to, done when nothing is locked any more.
#[derive(Default)]
struct Orders {
    work: Vec<Work>,
    end: Vec<ProcessKey>,
}

/// The kernel's monotonic clock in calendar time.
struct Clock {
    mono_ns: u64,
    wall: SystemTime,
}

impl Clock {
    fn now() -> Clock {
        Clock { mono_ns: monotonic_ns(), wall: SystemTime::now() }
    }

    fn time_of(&self, mono_ns: u64) -> String {
        let ago = Duration::from_nanos(self.mono_ns.saturating_sub(mono_ns));
        let time = Timestamp::try_from(self.wall - ago).unwrap_or(Timestamp::UNIX_EPOCH);
        format!("{time:.9}")
    }
}

fn lost(count: u64, reason: &str, clock: &Clock) -> Event {
    let mut event = Event::new(Kind::Lost, ulid::Ulid::new().to_string(), clock.time_of(clock.mono_ns));
    event.lost = Some(Lost { count, reason: reason.into() });
    event
}
