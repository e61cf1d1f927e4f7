// SPDX-License-Identifier: Apache-2.0
//! The rules as a tier.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use lictor_api::event::{Event, Tier};

use super::set::{Act, Hit, RuleSet, Selection, State};
use crate::case::{Basis, Case};
use crate::counters::{RuleCounter, RuleCounts};
use crate::tier::{Answer, Failure, Finding, Judge, Outcome};

/// The tag of a finding whose rule is in state `testing`, and so changed nothing.
pub const TESTING: &str = "testing";
/// The tag of a finding whose rule did not match but fail.
pub const FAILED: &str = "failed";

/// The tag of a finding whose rule asks the next tiers.
pub const ESCALATES: &str = "escalate";

/// Which rules judge an event: the `rules:` list of its agent, in the policy of its session.
pub type Selector = dyn Fn(&Event) -> Arc<[String]> + Send + Sync;

/// More lists of globs than this belong to agents that are gone.
const MAX_SELECTIONS: usize = 1024;

/// The rules in force, and their counters. Judging goes on while they are replaced: each event is judged by one set
/// from begin to end.
pub struct Rules {
    now: RwLock<Arc<InForce>>,
    selector: Box<Selector>,
}

/// A set while it is in force.
pub struct InForce {
    pub set: RuleSet,
    /// Grows with every set that comes into force. Zero has no rules.
    pub epoch: u64,
    counters: Vec<Arc<RuleCounter>>,
    selections: RwLock<HashMap<Arc<[String]>, Arc<Selection>>>,
}

impl InForce {
    /// The rules that judge an agent with this `rules:` list.
    #[must_use]
    pub fn selection(&self, globs: &Arc<[String]>) -> Arc<Selection> {
        let known = self.selections.read().unwrap_or_else(PoisonError::into_inner).get(globs).cloned();
        known.unwrap_or_else(|| {
            let selection = Arc::new(self.set.select(globs));
            let mut selections = self.selections.write().unwrap_or_else(PoisonError::into_inner);
            if selections.len() >= MAX_SELECTIONS {
                selections.clear();
            }
            selections.insert(Arc::clone(globs), Arc::clone(&selection));
            selection
        })
    }

    /// Each rule's id and counts.
    pub fn counts(&self) -> impl Iterator<Item = (&str, RuleCounts)> {
        self.set.rules().iter().zip(&self.counters).map(|(rule, counter)| (rule.id.as_str(), counter.counts()))
    }
}

impl Rules {
    /// No rules yet. `selector` says which judge an event.
    #[must_use]
    pub fn new(selector: Box<Selector>) -> Rules {
        let none = InForce { set: RuleSet::default(), epoch: 0, counters: Vec::new(), selections: RwLock::default() };
        Rules { now: RwLock::new(Arc::new(none)), selector }
    }

    /// Every rule judges every event.
    #[must_use]
    pub fn for_everybody(set: RuleSet) -> Rules {
        let every: Arc<[String]> = Arc::from(["*".to_owned()]);
        let rules = Rules::new(Box::new(move |_| Arc::clone(&every)));
        rules.replace(set);
        rules
    }

    /// Puts a set into force and gives its epoch. Rules that keep their id keep their counts.
    pub fn replace(&self, set: RuleSet) -> u64 {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let before: HashMap<&str, &Arc<RuleCounter>> =
            now.set.rules().iter().map(|rule| rule.id.as_str()).zip(&now.counters).collect();
        let counters =
            set.rules().iter().map(|rule| before.get(rule.id.as_str()).copied().cloned().unwrap_or_default());
        let counters = counters.collect();
        let epoch = now.epoch + 1;
        *now = Arc::new(InForce { set, epoch, counters, selections: RwLock::default() });
        epoch
    }

    /// The set in force.
    #[must_use]
    pub fn now(&self) -> Arc<InForce> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the rules say of an event, by the set in force.
    ///
    /// An answer holds for the agent that it was given about, and for the epoch of the set.
    ///
    /// # Errors
    /// [`Failure::Late`]: the deadline passed before all rules were asked. [`Failure::Unavailable`]: no set has come
    /// into force.
    pub fn answer(&self, event: &Event, deadline: Option<Instant>) -> Result<Answer, Failure> {
        let now = self.now();
        if now.epoch == 0 {
            return Err(Failure::Unavailable("no rules could be loaded".to_owned()));
        }
        let selection = now.selection(&(self.selector)(event));
        let (hits, basis) = now.set.ask(event, &selection, deadline).map_err(|_| Failure::Late)?;
        for hit in &hits {
            if let Some(counter) = now.counters.get(hit.number) {
                if hit.fault.is_some() {
                    counter.fault();
                }
                if counts_as(hit).is_some() {
                    counter.hit(event);
                }
            }
        }
        Ok(decide(&hits, basis))
    }
}

/// What a hit amounts to. A condition that fails may be one that would have matched: that is a match where a match is
/// the stricter outcome, and none where it is not.
fn counts_as(hit: &Hit<'_>) -> Option<Act> {
    match (hit.fault, hit.rule.action) {
        (Some(_), Act::Allow | Act::Alert) => None,
        (_, act) => Some(act),
    }
}

/// `of_all` is what all rules together looked at.
///
/// The order of the contract: `deny` beats `allow`, `allow` settles, `escalate` passes on, `alert` is told.
fn decide(hits: &[Hit<'_>], of_all: Basis) -> Answer {
    let acts = |wanted: Act| {
        let active = hits.iter().filter(|hit| hit.rule.state == State::Active);
        active.filter(move |hit| counts_as(hit) == Some(wanted))
    };
    let most_severe = |wanted: Act| {
        // The first of the most severe, in the order of the set.
        acts(wanted).max_by(|a, b| a.rule.severity.cmp(&b.rule.severity).then(b.number.cmp(&a.number)))
    };
    let (outcome, settled_by) = if let Some(hit) = most_severe(Act::Deny) {
        (Outcome::Deny, Some(hit))
    } else if let Some(hit) = most_severe(Act::Allow) {
        (Outcome::Allow, Some(hit))
    } else if let Some(hit) = most_severe(Act::Escalate) {
        (Outcome::Escalate, Some(hit))
    } else {
        (Outcome::Pass, None)
    };
    // A denial takes one rule that matches, whatever the others say. Everything else takes all of them not to.
    let basis = match outcome {
        Outcome::Deny => acts(Act::Deny).filter(|hit| hit.fault.is_none()).map(|hit| hit.rule.basis).min(),
        _ => Some(of_all),
    };
    let mut rest: Vec<&Hit<'_>> =
        hits.iter().filter(|hit| settled_by.is_none_or(|settled| settled.number != hit.number)).collect();
    rest.sort_by_key(|hit| {
        let shown = hit.rule.state == State::Active && counts_as(hit).is_some();
        (!shown, std::cmp::Reverse(hit.rule.severity), hit.number)
    });
    // A failure may be one of this moment: nothing is remembered of it.
    let failed = hits.iter().any(|hit| hit.fault.is_some());
    let basis = if failed && outcome != Outcome::Deny { Basis::Once } else { basis.unwrap_or(Basis::Once) };
    Answer { outcome, findings: settled_by.into_iter().chain(rest).map(finding).collect(), basis, ttl: None }
}

fn finding(hit: &Hit<'_>) -> Finding {
    let rule = hit.rule;
    let mut tags = rule.tags.clone();
    if rule.state == State::Testing {
        tags.push(TESTING.to_owned());
    }
    if rule.action == Act::Escalate {
        tags.push(ESCALATES.to_owned());
    }
    let reason = match (hit.fault, counts_as(hit)) {
        (None, _) => rule.reason.clone(),
        (Some(fault), Some(_)) => format!("{} (its condition failed, which counts as a match: {fault})", rule.reason),
        (Some(fault), None) => format!("the condition of `{}` failed, which counts as no match: {fault}", rule.id),
    };
    if hit.fault.is_some() {
        tags.push(FAILED.to_owned());
    }
    Finding {
        tier: Tier::Rules,
        rule: rule.id.clone(),
        severity: rule.severity,
        reason,
        source: Some(rule.source.clone()),
        tags,
        score: None,
        parts: Vec::new(),
    }
}

impl Judge for Rules {
    fn tier(&self) -> Tier {
        Tier::Rules
    }

    fn judge(&self, case: &Case, _before: &[Finding], deadline: Instant) -> Result<Answer, Failure> {
        self.answer(&case.event, Some(deadline))
    }
}
