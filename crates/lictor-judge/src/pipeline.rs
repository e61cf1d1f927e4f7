// SPDX-License-Identifier: Apache-2.0
//! The order in which tiers are asked, and what becomes of their answers.
//!
//! What holds whatever a tier says:
//! - a denial settles: no later tier is asked, none can lift it;
//! - only rules allow what is judged for good. A later tier that finds nothing wrong objects to nothing: the classifier
//!   lets the execution go on as the policy permitted it, the language model cannot even that, since whoever wrote the
//!   command may have written it for the model to read. After it the default action applies;
//! - a tier that fails is counted and passed over. What then remains undecided gets the default action; a denial by
//!   another tier stands;
//! - the language model is asked where a rule escalated or the classifier was in doubt, and only there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lictor_api::event::{Action, Severity, Tier, Verdict};
use thiserror::Error;

use crate::case::{Basis, Case};
use crate::counters::TierCounts;
use crate::rules::{ESCALATES, FAILED, TESTING};
use crate::stage::Stage;
use crate::tier::{Answer, Failure, Finding, Judge, Outcome};

/// What happens when no tier decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultAction {
    #[default]
    Allow,
    Deny,
    /// A person decides.
    Hold,
}

impl DefaultAction {
    fn action(self) -> Action {
        match self {
            DefaultAction::Allow => Action::Allow,
            DefaultAction::Deny => Action::Deny,
            DefaultAction::Hold => Action::Hold,
        }
    }
}

/// What all tiers together say of a case.
#[derive(Clone, Debug)]
#[must_use]
pub struct Judgement {
    /// `alert` is an `allow` that somebody should look at.
    pub action: Action,
    /// Who decided; the last one asked when the default action applies.
    pub tier: Tier,
    /// The rule or model that decided.
    pub rule: Option<String>,
    pub source: Option<String>,
    pub reason: String,
    pub severity: Option<Severity>,
    /// What was found, what decided first.
    pub findings: Vec<Finding>,
    /// Whether a tier decided; if not, the default action applies.
    pub decided: bool,
    /// What the judgement depends on.
    pub basis: Basis,
    /// Whether the same question, by its `basis`, has the same answer as long as policy and rules stay in force. An
    /// answer that took a failure to give is not remembered, nor is a default action that a person or a language model
    /// could have spared.
    pub cacheable: bool,
    /// How long it may be remembered; `None`: as long as policy and rules stay in force.
    pub ttl: Option<Duration>,
    /// The tiers that were asked, in order, with how long each took and whether it failed.
    pub asked: Vec<Asked>,
    pub took: Duration,
}

/// By what, and how long, the answers so far may be remembered together.
#[derive(Clone, Copy)]
struct Kept {
    basis: Basis,
    ttl: Option<Duration>,
}

impl Kept {
    fn and(self, other: Kept) -> Kept {
        let ttl = self.ttl.into_iter().chain(other.ttl).min();
        Kept { basis: self.basis.max(other.basis), ttl }
    }
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub tier: Tier,
    pub took: Duration,
    pub failure: Option<Failure>,
}

impl Judgement {
    /// Whether the process may go on now.
    #[must_use]
    pub fn permits(&self) -> bool {
        matches!(self.action, Action::Allow | Action::Alert)
    }

    /// The form that events carry.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let also = self.findings.iter().map(|finding| &finding.rule).filter(|rule| Some(*rule) != self.rule.as_ref());
        let live = self.findings.iter().filter(|finding| is_live(finding));
        let mut tags: Vec<String> = Vec::new();
        for tag in live.flat_map(|finding| &finding.tags).filter(|tag| *tag != ESCALATES) {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        Verdict {
            rule: self.rule.clone(),
            source: self.source.clone(),
            reason: Some(self.reason.clone()),
            latency_us: Some(u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)),
            severity: self.severity,
            tags,
            also: also.cloned().collect(),
            score: self.findings.iter().find_map(|finding| finding.score),
            ..Verdict::new(self.action, self.tier)
        }
    }
}

/// Whether a finding is of a rule that acts.
fn is_live(finding: &Finding) -> bool {
    !finding.tags.iter().any(|tag| tag == TESTING || tag == FAILED)
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("`{tier}` cannot be asked after `{after}`: the order is rules, classifier, llm")]
pub struct OutOfOrder {
    pub tier: Tier,
    pub after: Tier,
}

/// The tiers, in order.
pub struct Pipeline {
    stages: Vec<Stage>,
    default_action: DefaultAction,
}

impl Pipeline {
    /// Asks `stages` in their order: rules, classifier, language model; each may be left out.
    ///
    /// # Errors
    /// When they stand in another order, or one stands there twice: what a tier may do depends on its place.
    pub fn new(stages: Vec<Stage>, default_action: DefaultAction) -> Result<Pipeline, OutOfOrder> {
        match stages.windows(2).find(|pair| pair[0].tier() >= pair[1].tier()) {
            Some(pair) => Err(OutOfOrder { tier: pair[1].tier(), after: pair[0].tier() }),
            None => Ok(Pipeline { stages, default_action }),
        }
    }

    /// Tiers that all answer in the caller's thread, for tools that can wait.
    ///
    /// # Errors
    /// As [`Pipeline::new`].
    pub fn inline(
        tiers: Vec<Box<dyn Judge>>,
        budget: Duration,
        default_action: DefaultAction,
    ) -> Result<Pipeline, OutOfOrder> {
        let stages = tiers.into_iter().map(|tier| Stage::inline(Arc::from(tier), budget)).collect();
        Pipeline::new(stages, default_action)
    }

    /// Judges one case. Takes no longer than the budgets of the tiers together, and a little.
    pub fn judge(&self, case: &Case) -> Judgement {
        let begin = Instant::now();
        let mut shared: Option<Arc<Case>> = None;
        let mut asked: Vec<Asked> = Vec::new();
        let mut findings: Vec<Finding> = Vec::new();
        let mut kept = Kept { basis: Basis::Object, ttl: None };
        let mut escalated = false;
        let mut in_doubt = false;
        let mut unheard = false;
        // An answer that lets the execution go on unless a later tier objects.
        let mut cleared: Option<(Tier, Option<Finding>)> = None;

        for stage in &self.stages {
            let tier = stage.tier();
            if tier == Tier::Llm && !(escalated || in_doubt) {
                continue;
            }
            if cleared.is_some() && !escalated {
                break;
            }
            let start = Instant::now();
            let result = stage.ask(case, &mut shared, &findings);
            let took = start.elapsed();
            stage.record(&result, took);
            let answer = match result {
                Ok(answer) => answer,
                Err(failure) => {
                    asked.push(Asked { tier, took, failure: Some(failure) });
                    // Nobody knows what the rules would have said, so nothing after them clears it.
                    unheard |= tier == Tier::Rules;
                    // More scrutiny was wanted and not to be had: what was cleared is undecided again.
                    cleared = cleared.filter(|_| !escalated);
                    continue;
                }
            };
            asked.push(Asked { tier, took, failure: None });
            let Answer { outcome, findings: found, basis: its_basis, ttl } = answer;
            kept = kept.and(Kept { basis: its_basis, ttl });
            let first = found.first().cloned();
            match outcome {
                Outcome::Deny => {
                    findings.splice(0..0, found);
                    return self.settled(Action::Deny, tier, first, findings, kept, asked, begin);
                }
                Outcome::Allow if tier == Tier::Rules => {
                    findings.splice(0..0, found);
                    return self.settled(Action::Allow, tier, first, findings, kept, asked, begin);
                }
                // It may be wrong, and it may have been talked to: it does not free what is to be decided.
                Outcome::Allow | Outcome::Pass | Outcome::Escalate if tier == Tier::Llm => cleared = None,
                Outcome::Allow if unheard => {}
                Outcome::Allow => cleared = Some((tier, first)),
                Outcome::Pass => in_doubt |= tier == Tier::Classifier,
                Outcome::Escalate => escalated = true,
            }
            findings.extend(found);
        }

        match cleared {
            Some((tier, first)) => self.settled(Action::Allow, tier, first, findings, kept, asked, begin),
            None => self.undecided(findings, kept, asked, begin),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the state of `judge`, which reads better in one piece")]
    fn settled(
        &self,
        action: Action,
        tier: Tier,
        first: Option<Finding>,
        findings: Vec<Finding>,
        kept: Kept,
        asked: Vec<Asked>,
        begin: Instant,
    ) -> Judgement {
        let failed = asked.iter().any(|asked| asked.failure.is_some());
        let by_rules = tier == Tier::Rules && action == Action::Allow;
        // An `allow` rule settles alerts too: they come along as findings.
        let alert = (action == Action::Allow && !by_rules).then(|| alert(&findings)).flatten();
        let (action, tier, by) = match alert {
            Some(finding) => (Action::Alert, finding.tier, Some(finding)),
            None => (action, tier, first),
        };
        let reason = by.as_ref().map_or_else(|| format!("decided by {tier}"), |finding| finding.reason.clone());
        Judgement {
            action,
            tier,
            rule: by.as_ref().map(|finding| finding.rule.clone()),
            source: by.as_ref().and_then(|finding| finding.source.clone()),
            reason,
            severity: by.as_ref().map(|finding| finding.severity),
            findings,
            decided: true,
            basis: kept.basis,
            cacheable: !failed && kept.basis < Basis::Once,
            ttl: kept.ttl,
            asked,
            took: begin.elapsed(),
        }
    }

    fn undecided(&self, findings: Vec<Finding>, kept: Kept, asked: Vec<Asked>, begin: Instant) -> Judgement {
        let default = self.default_action.action();
        let failures: Vec<String> = asked
            .iter()
            .filter_map(|asked| asked.failure.as_ref().map(|failure| format!("{}: {failure}", asked.tier)))
            .collect();
        let why = if failures.is_empty() { "no tier decided".to_owned() } else { failures.join("; ") };
        let alert = alert(&findings);
        let (action, tier) = match (&alert, default) {
            (Some(finding), Action::Allow) => (Action::Alert, finding.tier),
            _ => (default, asked.last().map_or(Tier::Rules, |asked| asked.tier)),
        };
        let shown = alert.as_ref().filter(|_| action == Action::Alert);
        let reason = match shown {
            Some(finding) => finding.reason.clone(),
            None => format!("{why}, so the default action applies: {default}"),
        };
        Judgement {
            action,
            tier,
            rule: shown.map(|finding| finding.rule.clone()),
            source: shown.and_then(|finding| finding.source.clone()),
            reason,
            severity: alert.as_ref().map(|finding| finding.severity),
            findings,
            decided: false,
            basis: kept.basis,
            // A person is asked each time, and a language model may know better next time.
            cacheable: failures.is_empty()
                && kept.basis < Basis::Once
                && default != Action::Hold
                && !asked.iter().any(|asked| asked.tier == Tier::Llm),
            ttl: kept.ttl,
            asked,
            took: begin.elapsed(),
        }
    }

    /// Each tier's counts, in order.
    #[must_use]
    pub fn counts(&self) -> Vec<(Tier, TierCounts)> {
        self.stages.iter().map(|stage| (stage.tier(), stage.counts())).collect()
    }

    /// How many threads of each tier hang in a question whose time is over.
    #[must_use]
    pub fn stuck(&self) -> Vec<(Tier, usize)> {
        self.stages.iter().map(|stage| (stage.tier(), stage.stuck())).collect()
    }
}

/// The most severe alert of the rules, if there is one.
fn alert(findings: &[Finding]) -> Option<Finding> {
    let alerts = findings.iter().filter(|finding| {
        finding.tier == Tier::Rules && is_live(finding) && !finding.tags.iter().any(|tag| tag == ESCALATES)
    });
    // The first of the most severe.
    alerts.rev().max_by_key(|finding| finding.severity).cloned()
}
