// SPDX-License-Identifier: Apache-2.0
//! Rules that are ready, and what they say of one event.

use std::fmt;
use std::time::Instant;

use lictor_api::event::{Event, Kind, Severity};
use lictor_engine::policy::Position;

use super::code::Bool;
use super::eval::{self, Facts, Fault};
use super::index::Index;
use super::trial::Trial;
use crate::case::Basis;
use crate::contain::contain;

/// How far a rule has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Parsed and checked only.
    Draft,
    /// Judged, recorded and counted; changes nothing.
    Testing,
    Active,
}

impl State {
    pub const NAMES: [(&'static str, State); 3] =
        [("draft", State::Draft), ("testing", State::Testing), ("active", State::Active)];
}

/// What a rule that matches does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Settles, unless a `deny` rule matches too.
    Allow,
    /// Settles, whatever else matches.
    Deny,
    /// Is told and settles nothing.
    Alert,
    /// Asks the next tiers, unless an `allow` rule settles.
    Escalate,
}

impl Act {
    pub const NAMES: [(&'static str, Act); 4] =
        [("allow", Act::Allow), ("deny", Act::Deny), ("alert", Act::Alert), ("escalate", Act::Escalate)];
}

macro_rules! display_names {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let name = $name::NAMES.iter().find(|(_, value)| value == self).map_or("", |(name, _)| *name);
                f.pad(name)
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let found = $name::NAMES.iter().find(|(name, _)| *name == text);
                found.map(|(_, value)| *value).ok_or_else(|| {
                    let names: Vec<_> = $name::NAMES.iter().map(|(name, _)| *name).collect();
                    format!("`{}` is none of {}", text.escape_debug(), names.join(", "))
                })
            }
        }
    )+};
}
display_names!(State, Act);

/// One rule, checked and compiled.
#[derive(Debug)]
pub struct Rule {
    pub id: String,
    pub description: String,
    /// What a person is told when it matches.
    pub reason: String,
    pub state: State,
    pub severity: Severity,
    pub kinds: Vec<Kind>,
    /// As written.
    pub condition: String,
    pub action: Act,
    pub tags: Vec<String>,
    pub false_positives: Vec<String>,
    pub references: Vec<String>,
    pub tests: Vec<Trial>,
    /// `FILE:LINE:COLUMN`.
    pub source: String,
    pub at: Position,
    pub condition_at: Position,
    /// What its fields are remembered by.
    pub basis: Basis,
    pub(crate) code: Bool,
}

impl Rule {
    /// Whether the condition holds of the event. The kind is not looked at.
    ///
    /// # Errors
    /// The condition failed while it ran.
    pub fn holds(&self, event: &Event) -> Result<bool, Fault> {
        self.holds_of(&Facts::new(event, None))
    }

    pub(crate) fn holds_of(&self, facts: &Facts<'_>) -> Result<bool, Fault> {
        // The checked code cannot reach a panic that we know of; if one is left, it is this rule's failure and not
        // the end of whoever judges.
        contain(|| eval::holds(&self.code, facts)).unwrap_or(Err(Fault::Broken))
    }
}

/// A rule that matched, or failed and so counts as if.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'r> {
    pub rule: &'r Rule,
    /// Its number in the set.
    pub number: usize,
    pub fault: Option<Fault>,
}

/// All rules that are in force together. Immutable: a reload makes another.
#[derive(Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    index: Index,
}

impl RuleSet {
    pub(crate) fn new(mut rules: Vec<Rule>) -> RuleSet {
        let index = Index::build(rules.iter_mut().map(|rule| &mut rule.code));
        RuleSet { rules, index }
    }

    /// In the order of the files and their lines.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of that id.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// Whether a glob of ids names any rule.
    #[must_use]
    pub fn has(&self, glob: &str) -> bool {
        glob == "*" || self.rules.iter().any(|rule| names(glob, &rule.id))
    }

    /// The rules that judge an agent whose policy says `rules: globs`: those whose id one of them names. `*` stands for
    /// any run of characters, everything else for itself.
    #[must_use]
    pub fn select<S: AsRef<str>>(&self, globs: &[S]) -> Selection {
        let mut selection = Selection::default();
        for (number, rule) in self.rules.iter().enumerate() {
            if rule.state == State::Draft || !globs.iter().any(|glob| names(glob.as_ref(), &rule.id)) {
                continue;
            }
            for kind in &rule.kinds {
                let kind = *kind as usize;
                if let Some(numbers) = selection.by_kind.get_mut(kind) {
                    numbers.push(number);
                }
            }
        }
        selection
    }

    /// Every rule of the selection that matches the event, or whose condition fails, in the order of the set.
    ///
    /// # Errors
    /// How many rules were asked when the deadline passed.
    pub fn hits(&self, event: &Event, selection: &Selection, deadline: Option<Instant>) -> Result<Vec<Hit<'_>>, usize> {
        self.ask(event, selection, deadline).map(|(hits, _)| hits)
    }

    /// The hits, and what an answer depends on that took all of the rules to give.
    pub(crate) fn ask(
        &self,
        event: &Event,
        selection: &Selection,
        deadline: Option<Instant>,
    ) -> Result<(Vec<Hit<'_>>, Basis), usize> {
        let facts = Facts::new(event, Some(&self.index));
        let mut hits = Vec::new();
        // Only executions are remembered.
        let mut basis = if event.kind == Kind::Exec { Basis::Object } else { Basis::Once };
        let numbers = selection.by_kind.get(event.kind as usize).map(Vec::as_slice).unwrap_or_default();
        for (asked, number) in numbers.iter().copied().enumerate() {
            // A look at the clock costs as much as a rule.
            if asked % 64 == 63 && deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return Err(asked);
            }
            let Some(rule) = self.rules.get(number) else { continue };
            let holds = rule.holds_of(&facts);
            // A condition that was decided before it came to what the kernel cannot compare does not depend on that: the
            // order in which a condition is evaluated is fixed.
            let within = !facts.looked_beyond();
            basis = basis.max(if within { rule.basis.min(Basis::Invocation) } else { rule.basis });
            match holds {
                Ok(true) => hits.push(Hit { rule, number, fault: None }),
                Ok(false) => {}
                Err(fault) => hits.push(Hit { rule, number, fault: Some(fault) }),
            }
        }
        Ok((hits, basis))
    }
}

/// The rules of a set that judge one agent. Belongs to the set that made it.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    by_kind: [Vec<usize>; Kind::ALL.len()],
}

impl Selection {
    /// How many rules are asked about an event of this kind.
    #[must_use]
    pub fn len(&self, kind: Kind) -> usize {
        self.by_kind.get(kind as usize).map_or(0, Vec::len)
    }
}

/// Whether a glob of ids names the id.
pub(crate) fn names(glob: &str, id: &str) -> bool {
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = id.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}
