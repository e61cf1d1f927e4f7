// SPDX-License-Identifier: Apache-2.0
//! All patterns of all rights to one deterministic table.
//!
//! Patterns of a right share their beginnings in a trie of tokens before they become an NFA. Without
//! that, ten thousand patterns are ten thousand alternatives that stay open byte after byte, and the
//! subset construction pays for each of them in every state.

use std::collections::{BTreeMap, HashMap};

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson::{self, NFA, Transition, pikevm::PikeVM};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start::Config as StartConfig;
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::utf8::Utf8Sequences;

use super::compile::Limits;
use super::glob::{Class, Token};

/// One pattern list for each bit of the rights mask.
pub(super) type Patterns = [Vec<Vec<Token>>; 8];

/// Why there is no table.
#[derive(Debug)]
pub(super) enum Failure {
    /// The patterns together need more states than the limits allow.
    TooBig,
    /// The automata library refused; a bug rather than somebody's pattern.
    Refused(String),
}

/// A complete transition table. State 0 is dead: no right, and no way out.
pub(super) struct Table {
    /// The column of each byte.
    pub(super) classes: [u8; 256],
    pub(super) columns: usize,
    /// `columns` targets for each state.
    pub(super) targets: Vec<u32>,
    /// The rights of a path that ends in the state.
    pub(super) masks: Vec<u8>,
    pub(super) start: u32,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.masks.len()
    }

    pub(super) fn row(&self, state: u32) -> &[u32] {
        let from = state as usize * self.columns;
        &self.targets[from..from + self.columns]
    }
}

pub(super) fn build(patterns: &Patterns, limits: Limits) -> Result<Table, Failure> {
    let nfa = nfa(patterns.iter().map(Vec::as_slice), false, limits)?;
    let bytes = |per_cell: usize, most: usize| (limits.max_cells as usize).saturating_mul(per_cell).min(most);
    let config = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Anchored)
        .accelerate(false)
        .dfa_size_limit(Some(bytes(128, 512 << 20)))
        // Also what bounds the time: the subset construction touches each remembered NFA state once
        // for each byte class.
        .determinize_size_limit(Some(bytes(8, 32 << 20)));
    let dfa = dense::Builder::new()
        .configure(config)
        .build_from_nfa(&nfa)
        .map_err(|e| if e.is_size_limit_exceeded() { Failure::TooBig } else { Failure::Refused(e.to_string()) })?;
    table(&dfa)
}

/// A matcher for a single pattern, to say which line of a list named a path.
pub(super) fn matcher(tokens: &[Vec<Token>]) -> Option<PikeVM> {
    let nfa = nfa(std::iter::once(tokens), true, Limits::default()).ok()?;
    PikeVM::builder().build_from_nfa(nfa).ok()
}

pub(super) fn matches(vm: &PikeVM, path: &[u8]) -> bool {
    vm.is_match(&mut vm.create_cache(), Input::new(path).anchored(Anchored::Yes))
}

fn table(dfa: &dense::DFA<Vec<u32>>) -> Result<Table, Failure> {
    let refused = |e: &dyn std::fmt::Display| Failure::Refused(e.to_string());
    let first = dfa.start_state(&StartConfig::new().anchored(Anchored::Yes)).map_err(|e| refused(&e))?;
    let mut classes = [0; 256];
    let mut samples: Vec<u8> = Vec::new();
    for byte in 0..=255u8 {
        classes[usize::from(byte)] = dfa.byte_classes().get(byte);
        if usize::from(classes[usize::from(byte)]) == samples.len() {
            samples.push(byte);
        }
    }
    let columns = samples.len();
    let mut numbers: HashMap<_, u32> = HashMap::new();
    let mut order = Vec::new();
    let mut number = |state, order: &mut Vec<_>| {
        if dfa.is_dead_state(state) {
            return Ok(0);
        }
        let next = u32::try_from(order.len() + 1).map_err(|e| refused(&e))?;
        Ok(*numbers.entry(state).or_insert_with(|| {
            order.push(state);
            next
        }))
    };
    let start = number(first, &mut order)?;
    let mut targets = vec![0; columns];
    let mut masks = vec![0];
    let mut done = 0;
    while let Some(&state) = order.get(done) {
        done += 1;
        for &byte in &samples {
            targets.push(number(dfa.next_state(state, byte), &mut order)?);
        }
        // A match shows one transition late in this library, so it is asked for at the path's end.
        let end = dfa.next_eoi_state(state);
        let mut mask = 0u8;
        if dfa.is_match_state(end) {
            for i in 0..dfa.match_len(end) {
                mask |= 1 << dfa.match_pattern(end, i).as_u32();
            }
        }
        masks.push(mask);
    }
    Ok(Table { classes, columns, targets, masks, start })
}

#[derive(Default)]
struct TrieNode<'a> {
    children: BTreeMap<&'a Token, usize>,
    accepts: bool,
}

/// `whole` makes the NFA itself insist on the end of the path, for engines that search rather than walk.
fn nfa<'a>(rights: impl Iterator<Item = &'a [Vec<Token>]>, whole: bool, limits: Limits) -> Result<NFA, Failure> {
    let mut b = thompson::Builder::new();
    b.set_utf8(false);
    b.set_size_limit(Some((limits.max_cells as usize).saturating_mul(64).min(256 << 20))).map_err(failure)?;
    let mut starts = Vec::new();
    for patterns in rights {
        b.start_pattern().map_err(failure)?;
        let accept = b.add_match().map_err(failure)?;
        let accept = if whole { b.add_look(accept, Look::End).map_err(failure)? } else { accept };
        let start = if patterns.is_empty() { b.add_fail().map_err(failure)? } else { trie(&mut b, patterns, accept)? };
        b.finish_pattern(start).map_err(failure)?;
        starts.push(start);
    }
    let start = b.add_union(starts).map_err(failure)?;
    b.build(start, start).map_err(failure)
}

fn failure(error: thompson::BuildError) -> Failure {
    if error.size_limit().is_some() { Failure::TooBig } else { Failure::Refused(error.to_string()) }
}

fn trie(b: &mut thompson::Builder, patterns: &[Vec<Token>], accept: StateID) -> Result<StateID, Failure> {
    let mut nodes = vec![TrieNode::default()];
    for pattern in patterns {
        let mut at = 0;
        for token in pattern {
            let fresh = nodes.len();
            at = *nodes[at].children.entry(token).or_insert(fresh);
            if at == fresh {
                nodes.push(TrieNode::default());
            }
        }
        nodes[at].accepts = true;
    }
    // A child's number is always higher than its parent's, so backwards every target is there already.
    let mut states = vec![accept; nodes.len()];
    for (i, node) in nodes.iter().enumerate().rev() {
        let mut ways = Vec::new();
        let mut bytes = Vec::new();
        for (token, &child) in &node.children {
            match token {
                Token::Byte(byte) => bytes.push(Transition { start: *byte, end: *byte, next: states[child] }),
                token => ways.push(fragment(b, token, states[child])?),
            }
        }
        match bytes.as_slice() {
            [] => {}
            [one] => ways.push(b.add_range(*one).map_err(failure)?),
            _ => ways.push(b.add_sparse(bytes).map_err(failure)?),
        }
        if node.accepts {
            ways.push(accept);
        }
        states[i] = one_of(b, ways)?;
    }
    Ok(states[0])
}

fn one_of(b: &mut thompson::Builder, mut ways: Vec<StateID>) -> Result<StateID, Failure> {
    match (ways.len(), ways.pop()) {
        (1, Some(only)) => Ok(only),
        (_, Some(last)) => {
            ways.push(last);
            b.add_union(ways).map_err(failure)
        }
        (_, None) => b.add_fail().map_err(failure),
    }
}

/// The states that take `token` and go on at `next`.
fn fragment(b: &mut thompson::Builder, token: &Token, next: StateID) -> Result<StateID, Failure> {
    match token {
        Token::Byte(byte) => range(b, *byte, *byte, next),
        Token::Star => repeat(b, &[(0, b'/' - 1), (b'/' + 1, 255)], next),
        Token::Globstar => repeat(b, &[(0, 255)], next),
        Token::SubtreeOf => {
            let below = repeat(b, &[(0, 255)], next)?;
            let slash = range(b, b'/', b'/', below)?;
            one_of(b, vec![slash, next])
        }
        Token::One => characters(b, &Class { negated: true, ranges: Vec::new() }, next),
        Token::Class(class) => characters(b, class, next),
        Token::Alternatives(branches) => {
            let mut ways = Vec::with_capacity(branches.len());
            for branch in branches {
                let mut at = next;
                for token in branch.iter().rev() {
                    at = fragment(b, token, at)?;
                }
                ways.push(at);
            }
            one_of(b, ways)
        }
    }
}

fn range(b: &mut thompson::Builder, start: u8, end: u8, next: StateID) -> Result<StateID, Failure> {
    b.add_range(Transition { start, end, next }).map_err(failure)
}

fn repeat(b: &mut thompson::Builder, ranges: &[(u8, u8)], next: StateID) -> Result<StateID, Failure> {
    let again = b.add_union(Vec::new()).map_err(failure)?;
    let step = ranges.iter().map(|&(start, end)| Transition { start, end, next: again }).collect();
    let step = b.add_sparse(step).map_err(failure)?;
    b.patch(again, step).map_err(failure)?;
    b.patch(again, next).map_err(failure)?;
    Ok(again)
}

/// One character of the class. A negated class also takes any single byte from 0x80 on: such a byte is
/// a character of its own in a name that is not UTF-8.
fn characters(b: &mut thompson::Builder, class: &Class, next: StateID) -> Result<StateID, Failure> {
    let mut ranges = merge(&class.ranges);
    if class.negated {
        ranges = complement(&ranges);
    }
    let mut ways = Vec::new();
    for (low, high) in without_slash(&ranges) {
        for sequence in Utf8Sequences::new(low, high) {
            let mut at = next;
            for part in sequence.as_slice().iter().rev() {
                at = range(b, part.start, part.end, at)?;
            }
            ways.push(at);
        }
    }
    if class.negated {
        ways.push(range(b, 0x80, 0xff, next)?);
    }
    one_of(b, ways)
}

fn merge(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut out: Vec<(char, char)> = Vec::new();
    for (low, high) in sorted {
        match out.last_mut() {
            Some(last) if low <= last.1 => last.1 = last.1.max(high),
            _ => out.push((low, high)),
        }
    }
    out
}

/// Everything but the merged ranges. Never holds NUL, which no path has.
fn complement(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut out = Vec::new();
    let mut from = Some('\u{1}');
    for &(low, high) in ranges {
        if let (Some(start), Some(end)) = (from, before(low))
            && start <= end
        {
            out.push((start, end));
        }
        from = after(high);
    }
    if let Some(start) = from {
        out.push((start, char::MAX));
    }
    out
}

fn without_slash(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut out = Vec::new();
    for &(low, high) in ranges {
        if low <= '/' && '/' <= high {
            if low < '/' {
                out.push((low, '.'));
            }
            if '/' < high {
                out.push(('0', high));
            }
        } else {
            out.push((low, high));
        }
    }
    out
}

fn before(c: char) -> Option<char> {
    ('\0'..c).next_back()
}

fn after(c: char) -> Option<char> {
    (c..=char::MAX).nth(1)
}
