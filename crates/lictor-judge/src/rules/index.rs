// SPDX-License-Identifier: Apache-2.0
//! Makes many rules cheap: what the conditions of a set search a field for is looked for at once, in one pass over the
//! text, before any of them runs.
//!
//! A regular expression can only match where one of some literals stands, as `curl` or `wget` for `(curl|wget)\s`. One
//! automaton finds all literals of all conditions; an expression none of whose literals was found is false without being
//! run. Letters are compared without regard to case, which finds too much and never too little. An expression that
//! several conditions share is run once an event.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::code::{Bool, List, Search, Text};
use super::fields::TextField;

/// Shorter literals stand in most command lines.
const SHORTEST: usize = 2;
/// More alternatives than this are not worth looking for.
const MOST: usize = 512;
/// Literals that are built from parts stop growing here.
const LONGEST: usize = 24;
/// How many literals may be built from parts at a time.
const PRODUCT: usize = 64;

/// The searches of a set.
#[derive(Debug, Default)]
pub(crate) struct Index {
    searches: usize,
    fields: HashMap<TextField, FieldIndex>,
}

#[derive(Debug)]
struct FieldIndex {
    automaton: AhoCorasick,
    /// The searches that each literal belongs to.
    searches: Vec<Vec<u32>>,
    /// Searches without literals, which always have to run.
    always: Vec<u32>,
}

/// What the index knows of one event; filled as it is asked.
#[derive(Debug)]
pub(crate) struct Found<'i> {
    index: &'i Index,
    candidates: [OnceCell<Vec<u64>>; TextField::COUNT],
    results: Vec<Cell<Option<bool>>>,
}

impl Index {
    /// Numbers the searches of all conditions: the same search in the same field has the same number.
    pub(crate) fn build<'c>(conditions: impl Iterator<Item = &'c mut Bool>) -> Index {
        let mut collector = Collector::default();
        for condition in conditions {
            collector.bool(condition);
        }
        let mut fields = HashMap::new();
        for (field, found) in collector.fields {
            let automaton = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(true)
                // A table of one step a byte takes ten times the room, and is no faster but on texts of kilobytes.
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(&found.literals)
                .or_else(|_| AhoCorasick::builder().ascii_case_insensitive(true).build(&found.literals));
            // Without an automaton all searches run, as they would alone.
            if let Ok(automaton) = automaton {
                let FieldSearches { searches, always, .. } = found;
                fields.insert(field, FieldIndex { automaton, searches, always });
            }
        }
        Index { searches: collector.numbers.len(), fields }
    }

    pub(crate) fn begin(&self) -> Found<'_> {
        Found {
            index: self,
            candidates: [const { OnceCell::new() }; TextField::COUNT],
            results: vec![Cell::new(None); self.searches],
        }
    }
}

impl Found<'_> {
    /// Whether the search can find anything in the field, whose text this is.
    pub(crate) fn possible(&self, field: TextField, search: u32, text: &str) -> bool {
        let Some(index) = self.index.fields.get(&field) else { return true };
        let candidates = self.candidates[field as usize].get_or_init(|| {
            let mut bits = vec![0u64; self.index.searches.div_ceil(64)];
            let mut set = |searches: &[u32]| {
                for search in searches {
                    if let Some(word) = bits.get_mut(*search as usize / 64) {
                        *word |= 1 << (search % 64);
                    }
                }
            };
            set(&index.always);
            for found in index.automaton.find_overlapping_iter(text) {
                set(index.searches.get(found.pattern().as_usize()).map(Vec::as_slice).unwrap_or_default());
            }
            bits
        });
        candidates.get(search as usize / 64).is_none_or(|word| word >> (search % 64) & 1 == 1)
    }

    /// What the search found before, of the same event.
    pub(crate) fn result(&self, search: u32) -> Option<bool> {
        self.results.get(search as usize).and_then(Cell::get)
    }

    pub(crate) fn remember(&self, search: u32, result: bool) {
        if let Some(cell) = self.results.get(search as usize) {
            cell.set(Some(result));
        }
    }
}

#[derive(Default)]
struct Collector {
    /// The rules' tests were run with these: a set in force starts without what that left in memory.
    expressions: HashMap<String, Regex>,
    /// By field, whether it is in lower case, the kind of search, and what is searched.
    numbers: HashMap<(TextField, bool, bool, String), u32>,
    fields: HashMap<TextField, FieldSearches>,
}

#[derive(Default)]
struct FieldSearches {
    literals: Vec<Vec<u8>>,
    by_literal: HashMap<Vec<u8>, usize>,
    searches: Vec<Vec<u32>>,
    always: Vec<u32>,
}

impl Collector {
    fn search(&mut self, text: &Text, search: &mut Search) {
        search.share(&mut self.expressions);
        let (field, lower) = match text {
            Text::Field(field) => (*field, false),
            Text::LowerField(field) => (*field, true),
            _ => return,
        };
        let key = (field, lower, search.is_regex(), search.pattern().to_owned());
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        if let Some(number) = self.numbers.get(&key) {
            search.number = Some(*number);
            return;
        }
        self.numbers.insert(key, next);
        search.number = Some(next);
        let found = self.fields.entry(field).or_default();
        let Some(literals) = search.literals() else {
            found.always.push(next);
            return;
        };
        for literal in literals {
            let at = *found.by_literal.entry(literal.clone()).or_insert_with(|| {
                found.literals.push(literal);
                found.searches.push(Vec::new());
                found.literals.len() - 1
            });
            if let Some(searches) = found.searches.get_mut(at) {
                searches.push(next);
            }
        }
    }

    fn bool(&mut self, code: &mut Bool) {
        match code {
            Bool::Search(text, search) => {
                self.search(text, search);
                self.text(text);
            }
            Bool::And(operands) | Bool::Or(operands) => operands.iter_mut().for_each(|operand| self.bool(operand)),
            Bool::Not(operand) => self.bool(operand),
            Bool::If(parts) => {
                self.bool(&mut parts.0);
                self.bool(&mut parts.1);
                self.bool(&mut parts.2);
            }
            Bool::Same(sides) => {
                self.bool(&mut sides.0);
                self.bool(&mut sides.1);
            }
            Bool::Loop(code) => {
                self.list(&mut code.list);
                self.bool(&mut code.body);
            }
            // Searches inside values are rare and may run by themselves.
            _ => {}
        }
    }

    fn text(&mut self, code: &mut Text) {
        if let Text::If(parts) = code {
            self.bool(&mut parts.0);
        }
    }

    fn list(&mut self, code: &mut List) {
        if let List::Map(map) = code {
            self.list(&mut map.list);
            if let Some(keep) = &mut map.keep {
                self.bool(keep);
            }
        }
    }
}

/// Literals one of which stands, whatever the case of its letters, in every text that the expression matches. None when
/// there are no such literals, or too many, or too short ones.
pub(crate) fn literals_of(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let required = walk(&hir).required()?;
    (required.iter().all(|literal| literal.len() >= SHORTEST) && required.len() <= MOST).then_some(required)
}

/// A plain text as a literal.
pub(crate) fn literal_of(text: &str) -> Option<Vec<Vec<u8>>> {
    (text.len() >= SHORTEST).then(|| vec![text.to_ascii_lowercase().into_bytes()])
}

#[derive(Clone)]
enum Literals {
    /// Every text it matches is one of these.
    Exact(Vec<Vec<u8>>),
    /// Every text it matches contains one of these.
    Inside(Vec<Vec<u8>>),
    Unknown,
}

impl Literals {
    fn required(self) -> Option<Vec<Vec<u8>>> {
        match self {
            Literals::Exact(set) | Literals::Inside(set) if !set.is_empty() && set.iter().all(|l| !l.is_empty()) => {
                Some(set)
            }
            _ => None,
        }
    }
}

fn walk(hir: &Hir) -> Literals {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Literals::Exact(vec![Vec::new()]),
        HirKind::Literal(literal) => Literals::Exact(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Class(class) => characters(class).map_or(Literals::Unknown, Literals::Exact),
        HirKind::Capture(capture) => walk(&capture.sub),
        HirKind::Repetition(repetition) => match (repetition.min, repetition.max, walk(&repetition.sub)) {
            (0, Some(1), Literals::Exact(mut set)) => {
                if !set.iter().any(Vec::is_empty) {
                    set.push(Vec::new());
                }
                Literals::Exact(set)
            }
            (0, ..) => Literals::Unknown,
            (1, Some(1), inner) => inner,
            (_, _, inner) => inner.required().map_or(Literals::Unknown, Literals::Inside),
        },
        HirKind::Alternation(branches) => alternation(branches),
        HirKind::Concat(parts) => concatenation(parts),
    }
}

fn characters(class: &Class) -> Option<Vec<Vec<u8>>> {
    const FEW: usize = 8;
    let mut set: Vec<Vec<u8>> = Vec::new();
    let mut add = |c: char| {
        let literal = c.to_string().to_ascii_lowercase().into_bytes();
        if !set.contains(&literal) {
            set.push(literal);
        }
        set.len() <= FEW
    };
    let good = match class {
        Class::Unicode(class) => class.iter().flat_map(|range| range.start()..=range.end()).take(64).all(&mut add),
        Class::Bytes(_) => false,
    };
    (good && !set.is_empty()).then_some(set)
}

fn alternation(branches: &[Hir]) -> Literals {
    let walked: Vec<Literals> = branches.iter().map(walk).collect();
    let mut union: Vec<Vec<u8>> = Vec::new();
    let mut exact = true;
    for literals in walked {
        exact &= matches!(literals, Literals::Exact(_));
        let set = match literals {
            Literals::Exact(set) | Literals::Inside(set) => set,
            Literals::Unknown => return Literals::Unknown,
        };
        for literal in set {
            if !union.contains(&literal) {
                union.push(literal);
            }
        }
        if union.len() > MOST {
            return Literals::Unknown;
        }
    }
    if exact {
        Literals::Exact(union)
    } else if union.iter().all(|literal| !literal.is_empty()) {
        Literals::Inside(union)
    } else {
        Literals::Unknown
    }
}

/// Joins neighbours whose texts are all known, and takes the best that any stretch requires.
fn concatenation(parts: &[Hir]) -> Literals {
    let mut best: Option<Vec<Vec<u8>>> = None;
    let mut consider = |set: Option<Vec<Vec<u8>>>| {
        let Some(set) = set else { return };
        if best.as_ref().is_none_or(|best| worth(&set) > worth(best)) {
            best = Some(set);
        }
    };
    let mut run: Vec<Vec<u8>> = vec![Vec::new()];
    let mut whole = true;
    for part in parts {
        match walk(part) {
            Literals::Exact(set) if run.len() * set.len() <= PRODUCT && run.iter().all(|l| l.len() < LONGEST) => {
                run = run.iter().flat_map(|start| set.iter().map(|end| [start.as_slice(), end].concat())).collect();
            }
            Literals::Exact(set) => {
                consider(Literals::Exact(std::mem::replace(&mut run, set)).required());
                whole = false;
            }
            Literals::Inside(set) => {
                consider(Literals::Exact(std::mem::replace(&mut run, vec![Vec::new()])).required());
                consider(Literals::Inside(set).required());
                whole = false;
            }
            Literals::Unknown => {
                consider(Literals::Exact(std::mem::replace(&mut run, vec![Vec::new()])).required());
                whole = false;
            }
        }
    }
    if whole {
        return Literals::Exact(run);
    }
    consider(Literals::Exact(run).required());
    best.map_or(Literals::Unknown, Literals::Inside)
}

/// Longer is rarer, up to a point; then fewer.
fn worth(set: &[Vec<u8>]) -> (usize, std::cmp::Reverse<usize>) {
    (set.iter().map(Vec::len).min().unwrap_or(0).min(5), std::cmp::Reverse(set.len()))
}
