// SPDX-License-Identifier: Apache-2.0
//! What the OTLP sink tells in numbers: a few counters, and how the sinks do.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lictor_api::alert::SinkStatus;
use lictor_api::event::{Action, Event, Kind, Severity};

/// Counts since the start. Names and labels are those of `/metrics`.
#[derive(Debug)]
pub struct Metrics {
    counts: Mutex<Counts>,
    pub(crate) since: Timestamp,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) events: BTreeMap<(Kind, Option<Action>), u64>,
    pub(crate) lost: BTreeMap<String, u64>,
    /// Alerts that are not closed.
    pub(crate) alerts: [u64; Severity::ALL.len()],
    pub(crate) sinks: Vec<SinkStatus>,
}

/// Reasons are a closed set of ours; this bounds a mistake.
const MAX_REASONS: usize = 64;

impl Default for Metrics {
    fn default() -> Self {
        Self { counts: Mutex::default(), since: Timestamp::now() }
    }
}

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, event: &Event) {
        let mut counts = self.lock();
        *counts.events.entry((event.kind, event.verdict.as_ref().map(|verdict| verdict.action))).or_default() += 1;
        if let Some(lost) = &event.lost {
            let known = counts.lost.len() < MAX_REASONS || counts.lost.contains_key(&lost.reason);
            let reason = if known { lost.reason.clone() } else { "other".to_owned() };
            *counts.lost.entry(reason).or_default() += lost.count;
        }
    }

    pub(crate) fn set(&self, alerts: [u64; Severity::ALL.len()], sinks: Vec<SinkStatus>) {
        let mut counts = self.lock();
        (counts.alerts, counts.sinks) = (alerts, sinks);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }
}
