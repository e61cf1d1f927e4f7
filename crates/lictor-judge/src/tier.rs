// SPDX-License-Identifier: Apache-2.0
//! The shape that all tiers share.

use std::time::{Duration, Instant};

use lictor_api::event::{Severity, Tier};
use thiserror::Error;

use crate::case::{Basis, Case};

/// One tier: asked with a deadline, answers once.
///
/// Called from several threads at a time. A panic or a deadline that passes is a [`Failure`] to the caller.
pub trait Judge: Send + Sync {
    /// Its name in verdicts and counters.
    fn tier(&self) -> Tier;

    /// `before` is what the tiers before have found without settling it.
    fn judge(&self, case: &Case, before: &[Finding], deadline: Instant) -> Result<Answer, Failure>;
}

/// What a tier says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub outcome: Outcome,
    /// Everything it found, most severe first: what settled it is the first one, alerts come along.
    pub findings: Vec<Finding>,
    /// What the outcome depends on.
    pub basis: Basis,
    /// How long it may be remembered by its basis; `None`: as long as nothing changes.
    pub ttl: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    Allow,
    Deny,
    /// It cannot say: the next tier is asked.
    #[default]
    Pass,
    /// It cannot say and wants all later tiers asked: a rule with `action: escalate`.
    Escalate,
}

/// One reason, for people and for the next tier.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub tier: Tier,
    /// Id of the rule, name of the model.
    pub rule: String,
    pub severity: Severity,
    /// What a person is told.
    pub reason: String,
    /// `FILE:LINE:COLUMN` of a rule.
    pub source: Option<String>,
    /// Techniques and other labels.
    pub tags: Vec<String>,
    /// 0 (benign) to 1 (malicious), calibrated; classifier and language model only.
    pub score: Option<f64>,
    /// Parts of the command that weighed most, with their weight.
    pub parts: Vec<(String, f64)>,
}

/// Why a tier has no answer. Counted; then the next tier is asked, and without one the default action applies.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    #[error("no answer in time")]
    Late,
    #[error("it is busy: {0}")]
    Overload(String),
    #[error("it is not available: {0}")]
    Unavailable(String),
    #[error("its answer is not one: {0}")]
    Invalid(String),
    #[error("it broke: {0}")]
    Broken(String),
}
