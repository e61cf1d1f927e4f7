// SPDX-License-Identifier: Apache-2.0
//! What is counted while judging. Reading never stops whoever counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cardinality_estimator::CardinalityEstimator;
use lictor_api::event::Event;
use serde::Serialize;

use crate::tier::{Failure, Outcome};

/// Counts of one rule. They follow the rule's id through reloads and end with the process.
#[derive(Debug, Default)]
pub struct RuleCounter {
    hits: AtomicU64,
    faults: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    last: String,
    sessions: CardinalityEstimator<str>,
    users: CardinalityEstimator<u32>,
    programs: CardinalityEstimator<str>,
}

/// What a rule has seen. `sessions`, `users` and `programs` are how many different ones its hits had: exact up to 128,
/// an estimate within about 3 percent above, in a few kilobytes whatever happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleCounts {
    /// How often it matched, failures of a `deny` or `escalate` rule included.
    pub hits: u64,
    /// How often its condition failed while it ran.
    pub faults: u64,
    /// The time of the event that it last matched, as recorded; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_hit: Option<String>,
    pub sessions: u64,
    pub users: u64,
    pub programs: u64,
}

impl RuleCounter {
    pub(crate) fn hit(&self, event: &Event) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        // A panic while counting leaves counts that are still counts.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !event.time.is_empty() {
            seen.last.clone_from(&event.time);
        }
        if let Some(session) = event.session.as_deref() {
            seen.sessions.insert(session);
        }
        if let Some(user) = &event.process.uid {
            seen.users.insert(user);
        }
        if let Some(program) = event.process.exe.as_deref() {
            seen.programs.insert(program);
        }
    }

    pub(crate) fn fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn counts(&self) -> RuleCounts {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let distinct = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        RuleCounts {
            hits: self.hits.load(Ordering::Relaxed),
            faults: self.faults.load(Ordering::Relaxed),
            last_hit: Some(seen.last.clone()).filter(|last| !last.is_empty()),
            sessions: distinct(seen.sessions.estimate()),
            users: distinct(seen.users.estimate()),
            programs: distinct(seen.programs.estimate()),
        }
    }
}

/// How many powers of two of microseconds are told apart: the last is a minute and more.
const BUCKETS: usize = 27;

/// Durations by powers of two of microseconds.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl Histogram {
    pub(crate) fn record(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - microseconds.leading_zeros()) as usize;
        if let Some(count) = self.buckets.get(bucket.min(BUCKETS - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pairs of an upper bound in microseconds, exclusive, and how many lay below it and above the one before; the
    /// empty ones left out. The last bound stands for everything above.
    #[must_use]
    pub fn counts(&self) -> Vec<(u64, u64)> {
        let counts = self.buckets.iter().enumerate().map(|(at, count)| (1u64 << at, count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// Counts of one tier.
#[derive(Debug, Default)]
pub struct TierCounter {
    asked: AtomicU64,
    allowed: AtomicU64,
    denied: AtomicU64,
    passed: AtomicU64,
    escalated: AtomicU64,
    late: AtomicU64,
    overload: AtomicU64,
    unavailable: AtomicU64,
    invalid: AtomicU64,
    broken: AtomicU64,
    latency: Histogram,
}

/// What became of the questions to a tier: `asked` is the sum of all but `latency_us`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TierCounts {
    pub asked: u64,
    pub allowed: u64,
    pub denied: u64,
    pub passed: u64,
    pub escalated: u64,
    /// Failures by kind.
    pub late: u64,
    pub overload: u64,
    pub unavailable: u64,
    pub invalid: u64,
    pub broken: u64,
    /// See [`Histogram::counts`]; failures included.
    pub latency_us: Vec<(u64, u64)>,
}

impl TierCounter {
    pub(crate) fn record(&self, outcome: Result<Outcome, &Failure>, took: Duration) {
        let counter = match outcome {
            Ok(Outcome::Allow) => &self.allowed,
            Ok(Outcome::Deny) => &self.denied,
            Ok(Outcome::Pass) => &self.passed,
            Ok(Outcome::Escalate) => &self.escalated,
            Err(Failure::Late) => &self.late,
            Err(Failure::Overload(_)) => &self.overload,
            Err(Failure::Unavailable(_)) => &self.unavailable,
            Err(Failure::Invalid(_)) => &self.invalid,
            Err(Failure::Broken(_)) => &self.broken,
        };
        self.asked.fetch_add(1, Ordering::Relaxed);
        counter.fetch_add(1, Ordering::Relaxed);
        self.latency.record(took);
    }

    #[must_use]
    pub fn counts(&self) -> TierCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TierCounts {
            asked: get(&self.asked),
            allowed: get(&self.allowed),
            denied: get(&self.denied),
            passed: get(&self.passed),
            escalated: get(&self.escalated),
            late: get(&self.late),
            overload: get(&self.overload),
            unavailable: get(&self.unavailable),
            invalid: get(&self.invalid),
            broken: get(&self.broken),
            latency_us: self.latency.counts(),
        }
    }
}
