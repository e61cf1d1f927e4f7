// SPDX-License-Identifier: Apache-2.0
//! The last tier before a person: a language model is shown the evidence and asked for a verdict.
//!
//! The order of things is in [`LlmJudge::judge`] and `LlmJudge::ask`. What a model says can only make a verdict stricter:
//! its "allow" is no more than "no objection", and not even that when the action spoke to its judge ([`injection`]) or was
//! too long to be shown whole. What leaves the machine is built by [`evidence`], without secrets ([`redact`]).
//!
//! A model that does not answer, or not by the schema, is a [`Failure`]: counted, and the default action applies.

pub mod answer;
mod breaker;
mod counters;
mod engine;
pub mod evidence;
pub mod fingerprint;
mod http;
pub mod injection;
mod key;
mod limit;
mod memory;
mod prompt;
mod provider;
pub mod redact;
mod text;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lictor_api::event::{Severity, Tier};
use lictor_api::settings::llm::Llm;
use thiserror::Error;

/// What everything that leaves this machine is sent with: keys from files or the environment, trusted authorities.
pub mod outbound {
    pub use super::SetupError;
    pub use super::http::{describe, retry_after, trusting};
    pub use super::key::load as load_key;
}

pub use self::breaker::BreakerState;
pub use self::counters::Snapshot;

use self::answer::{Answer as Said, Opinion};
use self::breaker::{Breaker, Health};
use self::counters::{Counters, add};
use self::engine::Engine;
use self::evidence::Evidence;
use self::fingerprint::Fingerprint;
use self::http::{Phase, Transport, Trouble};
use self::limit::{Day, Gate, Minute, Refusal, lock};
use self::memory::{Boarding, Cache, Flights, Likeness, Remembered};
use crate::case::{Basis, Case};
use crate::tier::{Answer, Failure, Finding, Judge, Outcome};

/// Name of the file below the state directory that counts the requests of a day.
pub const BUDGET_FILE: &str = "llm-budget.json";

/// Requests for one question: a failed one is repeated once.
const ATTEMPTS: usize = 2;
/// Wait before a repetition that nobody asked to be later, and as much again at random.
const BACKOFF: Duration = Duration::from_millis(150);

/// Why no judge could be made of the settings. The operator must act; no text repeats a key.
#[derive(Debug, Error)]
pub enum SetupError {
    #[error("the key file {} cannot be read: {source}", path.display())]
    KeyFile { path: PathBuf, source: std::io::Error },
    #[error("the key file {} is no regular file", path.display())]
    KeyFileKind { path: PathBuf },
    #[error("the key file {} has mode {mode:04o} and belongs to uid {owner}: others must not read it, and it must belong to root or to whom Lictor runs as; chmod 600 it", path.display())]
    KeyFileMode { path: PathBuf, mode: u32, owner: u32 },
    #[error("the environment variable {name}, which is to hold the key, is not set, or not text")]
    KeyEnv { name: String },
    #[error("the key is empty, too long, or has characters that no key has: it must be one line of printable ASCII")]
    KeyForm,
    #[error("the certificate authorities in {} cannot be used: {why}", path.display())]
    Authorities { path: PathBuf, why: String },
    #[error("this host has no certificate authorities: install `ca-certificates`, or name a file with `ca_file`")]
    NoAuthorities,
    #[error("the count of requests in {} cannot be used: {why}; remove the file to count from zero", path.display())]
    Budget { path: PathBuf, why: String },
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// Asks a language model. One for the whole program: its limits, memory and breaker are its own.
#[derive(Debug)]
pub struct LlmJudge {
    settings: Arc<Llm>,
    transport: Transport,
    engine: Engine,
    gate: Gate,
    minute: Minute,
    day: Day,
    breaker: Mutex<Breaker>,
    cache: Cache,
    flights: Flights,
    counters: Counters,
}

impl LlmJudge {
    /// Reads the key and the day's count, and makes the client; asks nobody yet. `state` is the directory in which the day's
    /// count is kept; without one it ends with the process.
    pub fn new(settings: &Llm, state: Option<&Path>) -> Result<LlmJudge, SetupError> {
        let settings = Arc::new(settings.clone());
        let key = settings.key.as_ref().map(key::load).transpose()?;
        Ok(LlmJudge {
            transport: Transport::new(settings.clone(), key.as_ref())?,
            engine: Engine::start()?,
            gate: Gate::new(settings.parallel, settings.queue, settings.overflow),
            minute: Minute::new(settings.per_minute, settings.overflow),
            day: Day::open(settings.per_day, state.map(|directory| directory.join(BUDGET_FILE)))?,
            breaker: Mutex::new(Breaker::new(settings.breaker_failures, settings.breaker_pause)),
            cache: Cache::new(settings.cache_entries, settings.cache_ttl),
            flights: Flights::default(),
            counters: Counters::default(),
            settings,
        })
    }

    /// Everything that is counted.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (breaker, breaker_opened) = {
            let breaker = lock(&self.breaker);
            (breaker.state(), breaker.opened())
        };
        let (asking, waiting) = self.gate.crowd();
        Snapshot {
            breaker,
            breaker_opened,
            asking,
            waiting,
            remembered_now: self.cache.len(),
            requests_today: self.day.spent(Timestamp::now()),
            ..self.counters.snapshot()
        }
    }

    /// Forgets all answers: when the policy or the rules have changed, the findings that they rest on may have, too.
    pub fn forget(&self) {
        self.cache.clear();
    }

    /// The model's opinion, from memory, from an equal question under way, or asked for now.
    fn opinion(
        &self,
        case: &Case,
        before: &[Finding],
        evidence: &Evidence,
        deadline: Instant,
    ) -> Result<Remembered, Failure> {
        let fingerprint = Fingerprint::new(case, before, &self.settings.model);
        let fresh = |answer| Remembered { answer, likeness: Likeness::Alike, age: Duration::ZERO };
        let recall = || {
            let found = self.cache.find(&fingerprint, Instant::now())?;
            add(&self.counters.remembered, 1);
            Some(found)
        };
        if let Some(found) = recall() {
            return Ok(found);
        }
        match self.flights.board(fingerprint.alike, deadline) {
            Boarding::Told(outcome) => {
                add(&self.counters.shared, 1);
                outcome.map(fresh)
            }
            Boarding::Lead(lead) => {
                // It may have been answered between the look into memory and now.
                if let Some(found) = recall() {
                    lead.land(Ok(found.answer.clone()));
                    return Ok(found);
                }
                let outcome = self.ask(evidence, deadline);
                if let Ok(answer) = &outcome {
                    self.cache.remember(&fingerprint, answer, Instant::now());
                }
                lead.land(outcome.clone());
                outcome.map(fresh)
            }
        }
    }

    /// Asks now: a turn, the breaker, the budgets, the request, the strict reading; a failure is repeated once.
    fn ask(&self, evidence: &Evidence, deadline: Instant) -> Result<Said, Failure> {
        let _turn = self.gate.enter(deadline).map_err(|refusal| self.refused(refusal))?;
        let mut failure: Option<Failure> = None;
        for attempt in 0..ATTEMPTS {
            let permit = match Permit::take(self) {
                Ok(permit) => permit,
                Err(wait) => {
                    return Err(failure.unwrap_or_else(|| {
                        add(&self.counters.breaker_refused, 1);
                        let wait = wait.as_secs_f64().ceil();
                        Failure::Unavailable(format!("it failed too often, and is left alone for another {wait} s"))
                    }));
                }
            };
            self.minute.spend(deadline).map_err(|refusal| self.refused(refusal))?;
            self.day.spend(Timestamp::now()).map_err(|refusal| self.refused(refusal))?;
            if attempt > 0 {
                add(&self.counters.repetitions, 1);
            }
            let asked = Instant::now();
            let trouble = match self.request(evidence, deadline)? {
                Ok(answer) => {
                    permit.report(Health::Well);
                    return Ok(answer);
                }
                Err(trouble) => trouble,
            };
            self.counters.trouble(&trouble);
            tracing::debug!(model = self.settings.model, attempt, %trouble, "the language model gave no verdict");
            permit.report(self.health(&trouble, asked.elapsed()));
            let late = Instant::now() >= deadline;
            if late {
                add(&self.counters.late, 1);
                return Err(Failure::Late);
            }
            let wait = wait_before_repeating(&trouble);
            failure = Some(to_failure(trouble));
            match wait {
                Some(wait) if attempt + 1 < ATTEMPTS && Instant::now() + wait < deadline => std::thread::sleep(wait),
                _ => break,
            }
        }
        Err(failure.unwrap_or(Failure::Late))
    }

    /// One request. The outer failure is our own, the inner trouble the provider's or the model's.
    fn request(&self, evidence: &Evidence, deadline: Instant) -> Result<Result<Said, Trouble>, Failure> {
        let broken = |why: String| {
            add(&self.counters.broken, 1);
            Failure::Broken(why)
        };
        let boundary = prompt::boundary().map_err(broken)?;
        let question = prompt::question(evidence, &boundary);
        let body = provider::body(&self.settings, prompt::SYSTEM, &question);
        let body = serde_json::to_vec(&body).map_err(|error| broken(error.to_string()))?;
        add(&self.counters.requests, 1);
        add(&self.counters.bytes_sent, body.len() as u64);
        let started = Instant::now();
        let transport = self.transport.clone();
        let reply = self.engine.run(deadline, async move { transport.ask(body, deadline.into()).await });
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        add(&self.counters.request_us, took);
        self.counters.longest_request_us.fetch_max(took, Ordering::Relaxed);
        let reply = reply.map_err(broken)?;
        let Some(reply) = reply else { return Ok(Err(Trouble::Slow(Phase::Whole))) };
        add(&self.counters.bytes_received, reply.bytes as u64);
        Ok(reply.text.and_then(|text| Said::parse(&text).map_err(Trouble::Invalid)))
    }

    /// What `trouble` tells about the provider. An answer that is not of the schema tells nothing: an action could provoke
    /// it, and must not be able to switch the judge off.
    fn health(&self, trouble: &Trouble, waited: Duration) -> Health {
        match trouble {
            Trouble::Invalid(_) | Trouble::Status { code: 400 | 413 | 422, .. } => Health::Unknown,
            // Somebody had little time left; the provider had no chance.
            Trouble::Slow(Phase::Whole) if waited < self.settings.timeout / 2 => Health::Unknown,
            Trouble::Status { code: 429 | 503, retry_after } => Health::Sick { not_before: *retry_after },
            _ => Health::Sick { not_before: None },
        }
    }

    fn refused(&self, refusal: Refusal) -> Failure {
        self.counters.refusal(&refusal);
        match refusal {
            Refusal::QueueFull => {
                Failure::Overload(format!("{} questions wait already (judge.llm.queue)", self.settings.queue))
            }
            Refusal::QueueLate => Failure::Late,
            Refusal::MinuteSpent => {
                Failure::Overload(format!("{} requests in a minute (judge.llm.per_minute)", self.settings.per_minute))
            }
            Refusal::DaySpent { requests } => {
                Failure::Overload(format!("{requests} requests today (judge.llm.per_day)"))
            }
            Refusal::Uncounted(why) => Failure::Broken(format!("requests cannot be counted, so none is made: {why}")),
        }
    }
}

impl Judge for LlmJudge {
    fn tier(&self) -> Tier {
        Tier::Llm
    }

    fn judge(&self, case: &Case, before: &[Finding], deadline: Instant) -> Result<Answer, Failure> {
        let deadline = deadline.min(Instant::now() + self.settings.timeout);
        add(&self.counters.questions, 1);

        // 1. Does the action speak to its judge? That counts whatever the model says, and when it says nothing.
        let injection = injection::finding(case);
        add(&self.counters.injections, u64::from(injection.is_some()));

        // 2. What may leave the machine.
        let (most, bytes) = (self.settings.recent_events, self.settings.max_evidence_bytes);
        let Some(evidence) = Evidence::new(case, before, most, bytes) else {
            add(&self.counters.broken, 1);
            return unless_injected(
                injection,
                Failure::Broken("the evidence does not fit (judge.llm.max_evidence_bytes)".to_owned()),
            );
        };
        add(&self.counters.redactions, evidence.redacted.values().map(|count| *count as u64).sum());
        add(&self.counters.incomplete, u64::from(!evidence.complete));

        // 3. The model's opinion.
        let remembered = match self.opinion(case, before, &evidence, deadline) {
            Ok(remembered) => remembered,
            Err(failure) => return unless_injected(injection, failure),
        };

        // 4. What it is worth.
        Ok(self.weigh(case, &evidence, injection, &remembered))
    }
}

impl LlmJudge {
    /// Turns the model's opinion into an answer; every doubt turns "allow" into nothing.
    fn weigh(&self, case: &Case, evidence: &Evidence, injection: Option<Finding>, remembered: &Remembered) -> Answer {
        let said = &remembered.answer;
        let confident = said.confidence >= self.settings.min_confidence;
        let counter = match said.opinion {
            Opinion::Allow => &self.counters.allowed,
            Opinion::Deny => &self.counters.denied,
            Opinion::Unsure => &self.counters.unsure,
        };
        add(counter, 1);
        if !confident && said.opinion != Opinion::Unsure {
            add(&self.counters.not_confident, 1);
        }
        let doubt = match &injection {
            Some(_) => Some("the action speaks to its judge"),
            None if !evidence.complete => Some("the action was not shown whole"),
            None => None,
        };
        let (outcome, severity, note) = match (said.opinion, confident) {
            (Opinion::Deny, true) => (Outcome::Deny, Severity::High, None),
            (Opinion::Deny, false) => (Outcome::Pass, Severity::Medium, Some("a denial, but not a confident one")),
            (Opinion::Allow, true) if doubt.is_none() => (Outcome::Allow, Severity::Info, None),
            (Opinion::Allow, true) => {
                add(&self.counters.allow_discounted, 1);
                (Outcome::Pass, Severity::Info, doubt)
            }
            (Opinion::Allow, false) => (Outcome::Pass, Severity::Info, Some("no objection, but not a confident one")),
            (Opinion::Unsure, _) => (Outcome::Pass, Severity::Info, Some("the model is unsure")),
        };

        let mut reason = text::visible(&said.reason);
        if let Some(note) = note {
            reason = format!("{reason} ({note})");
        }
        if !remembered.age.is_zero() {
            let likeness = match remembered.likeness {
                Likeness::Alike => "the same",
                Likeness::Similar => "something similar",
            };
            reason = format!("{reason} (said of {likeness} {} s ago)", remembered.age.as_secs());
        }
        let opinion = Finding {
            tier: Tier::Llm,
            rule: self.settings.model.clone(),
            severity,
            reason,
            source: None,
            tags: Some(said.technique.clone()).filter(|technique| !technique.is_empty()).into_iter().collect(),
            score: match said.opinion {
                Opinion::Deny => Some(said.confidence),
                Opinion::Allow => Some(1.0 - said.confidence),
                Opinion::Unsure => None,
            },
            parts: Vec::new(),
        };
        let mut findings: Vec<Finding> = std::iter::once(opinion).chain(injection).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));

        // The model saw ancestors beyond the parent and earlier events, which the kernel cannot compare. A denial holds
        // for the same invocation all the same, as it does here for what is similar, and no longer than here.
        let saw_more = !case.event.process.ancestors.is_empty() || !case.recent.is_empty();
        let left = self.settings.cache_ttl.saturating_sub(remembered.age);
        let spreads = outcome == Outcome::Deny && !left.is_zero();
        let basis = if saw_more && !spreads { Basis::Once } else { Basis::Invocation };
        Answer { outcome, findings, basis, ttl: Some(left) }
    }
}

/// A failure, unless there is a finding that would be lost with it. Either way this tier decides nothing.
fn unless_injected(injection: Option<Finding>, failure: Failure) -> Result<Answer, Failure> {
    match injection {
        None => Err(failure),
        Some(mut finding) => {
            finding.reason = format!("{} (the language model has no answer: {failure})", finding.reason);
            Ok(Answer { outcome: Outcome::Pass, findings: vec![finding], basis: Basis::Invocation, ttl: None })
        }
    }
}

fn to_failure(trouble: Trouble) -> Failure {
    let text = trouble.to_string();
    match trouble {
        Trouble::Slow(Phase::Whole) => Failure::Late,
        Trouble::Status { code: 429, .. } => Failure::Overload(text),
        Trouble::TooLarge(_) | Trouble::Malformed(_) | Trouble::Invalid(_) => Failure::Invalid(text),
        _ => Failure::Unavailable(text),
    }
}

/// How long to wait before the question is repeated; `None` when the same would come back.
fn wait_before_repeating(trouble: &Trouble) -> Option<Duration> {
    match trouble {
        Trouble::Tls(_) | Trouble::Redirect(_) | Trouble::TooLarge(_) | Trouble::Slow(Phase::Whole) => None,
        Trouble::Status { code: 429 | 503, retry_after: Some(wait) } => Some(*wait),
        Trouble::Status { code: 408 | 425 | 429 | 500..=599, .. } => Some(backoff()),
        Trouble::Status { .. } => None,
        // The model may do better at once.
        Trouble::Invalid(_) => Some(Duration::ZERO),
        Trouble::Connect(_) | Trouble::Slow(_) | Trouble::Cut(_) | Trouble::Malformed(_) | Trouble::Provider(_) => {
            Some(backoff())
        }
    }
}

fn backoff() -> Duration {
    let mut byte = [0_u8];
    // Without random numbers the wait is only less spread.
    let _ = getrandom::fill(&mut byte);
    BACKOFF + BACKOFF * u32::from(byte[0]) / 256
}

/// Leave of the breaker to make one request. What is not reported counts as having told nothing.
struct Permit<'a> {
    judge: &'a LlmJudge,
    health: Health,
}

impl Permit<'_> {
    fn take(judge: &LlmJudge) -> Result<Permit<'_>, Duration> {
        lock(&judge.breaker).admit(Instant::now())?;
        Ok(Permit { judge, health: Health::Unknown })
    }

    fn report(mut self, health: Health) {
        self.health = health;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut breaker = lock(&self.judge.breaker);
        let before = breaker.state();
        breaker.report(self.health, Instant::now());
        let after = breaker.state();
        if before != after {
            tracing::warn!(
                model = self.judge.settings.model,
                ?before,
                ?after,
                "the breaker of the language model changed"
            );
        }
    }
}
