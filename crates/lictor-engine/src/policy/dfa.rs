// SPDX-License-Identifier: Apache-2.0
//! All patterns of all rights to one deterministic table.
//!
//! Patterns of a right share their beginnings (a trie of tokens) and their endings (equal NFA states are
//! one) before the subset construction sees them. Without that, ten thousand patterns are ten thousand
//! alternatives that stay open byte after byte, and every state pays for each of them.

use std::collections::{BTreeMap, HashMap};

use regex_automata::nfa::thompson::{self, NFA, State, Transition, pikevm::PikeVM};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;
use regex_automata::{Anchored, Input};
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

    /// The rights of `path`.
    pub(super) fn walk(&self, path: &[u8]) -> u8 {
        let step = |state: u32, byte: &u8| {
            self.targets[state as usize * self.columns + usize::from(self.classes[usize::from(*byte)])]
        };
        self.masks[path.iter().fold(self.start, step) as usize]
    }

    pub(super) fn row(&self, state: u32) -> &[u32] {
        let from = state as usize * self.columns;
        &self.targets[from..from + self.columns]
    }
}

pub(super) fn build(patterns: &Patterns, limits: Limits) -> Result<Table, Failure> {
    let nfa = nfa(patterns.iter().map(Vec::as_slice), false, limits)?;
    Subsets::new(&nfa, limits).table()
}

/// A matcher for a single pattern, to say which line of a list named a path.
pub(super) fn matcher(tokens: &[Vec<Token>]) -> Option<PikeVM> {
    let nfa = nfa(std::iter::once(tokens), true, Limits::default()).ok()?;
    PikeVM::builder().build_from_nfa(nfa).ok()
}

pub(super) fn matches(vm: &PikeVM, path: &[u8]) -> bool {
    vm.is_match(&mut vm.create_cache(), Input::new(path).anchored(Anchored::Yes))
}

/// The subset construction.
///
/// The library's own asks for every byte class of every state anew, which is nine tenths of the time for
/// patterns like these: most of a row goes where the wide wildcards go. This one cuts a row where a
/// transition begins or ends and asks once for each piece. It also counts its work, so that hostile
/// patterns end in an error after a time that the limits set.
struct Subsets<'a> {
    nfa: &'a NFA,
    /// The first byte of each byte class, in order; classes are runs of bytes.
    samples: Vec<u8>,
    numbers: HashMap<Box<[StateID]>, u32>,
    sets: Vec<Box<[StateID]>>,
    /// The number of the closure that last saw an NFA state.
    seen: Vec<usize>,
    closures: usize,
    /// How much more may be done and remembered.
    work: usize,
    memory: usize,
}

impl<'a> Subsets<'a> {
    fn new(nfa: &'a NFA, limits: Limits) -> Self {
        let cells = limits.max_cells as usize;
        let mut samples = Vec::new();
        for byte in 0..=255u8 {
            if usize::from(nfa.byte_classes().get(byte)) == samples.len() {
                samples.push(byte);
            }
        }
        // Number 0 is the empty set: dead.
        let (numbers, sets) = (HashMap::from([(Box::default(), 0)]), vec![Box::default()]);
        let seen = vec![0; nfa.states().len()];
        Subsets {
            nfa,
            samples,
            numbers,
            sets,
            seen,
            closures: 0,
            work: cells.saturating_mul(16),
            memory: cells.saturating_mul(16),
        }
    }

    fn table(mut self) -> Result<Table, Failure> {
        let mut classes = [0; 256];
        for (byte, class) in (0..=255u8).zip(&mut classes) {
            *class = self.nfa.byte_classes().get(byte);
        }
        let columns = self.samples.len();
        let start = self.number(&[self.nfa.start_anchored()])?;
        let mut targets = Vec::new();
        let mut masks = Vec::new();
        let mut done = 0;
        while let Some(set) = self.sets.get(done).cloned() {
            done += 1;
            self.spend(0, columns * size_of::<u32>())?;
            targets.resize(done * columns, 0);
            let row = &mut targets[(done - 1) * columns..];
            masks.push(self.row(&set, row)?);
        }
        Ok(Table { classes, columns, targets, masks, start })
    }

    /// Fills the row of a set and gives its rights.
    fn row(&mut self, set: &[StateID], row: &mut [u32]) -> Result<u8, Failure> {
        let mut mask = 0;
        // First column, column behind the last, target.
        let mut ways: Vec<(usize, usize, StateID)> = Vec::new();
        let column = |byte: u8| usize::from(self.nfa.byte_classes().get(byte));
        for state in set {
            match self.nfa.state(*state) {
                State::ByteRange { trans } => ways.push((column(trans.start), column(trans.end) + 1, trans.next)),
                State::Sparse(sparse) => {
                    ways.extend(sparse.transitions.iter().map(|t| (column(t.start), column(t.end) + 1, t.next)));
                }
                State::Match { pattern_id } => mask |= 1 << pattern_id.as_u32(),
                other => return Err(Failure::Refused(format!("an unexpected state {other:?}"))),
            }
        }
        let mut cuts: Vec<usize> = ways.iter().flat_map(|w| [w.0, w.1]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        self.spend(cuts.len() * ways.len(), 0)?;
        let mut answers: HashMap<Vec<StateID>, u32> = HashMap::new();
        for piece in cuts.windows(2) {
            let (from, to) = (piece[0], piece[1]);
            let next: Vec<StateID> = ways.iter().filter(|w| w.0 <= from && to <= w.1).map(|w| w.2).collect();
            let number = match answers.get(&next) {
                Some(number) => *number,
                None => {
                    let number = self.number(&next)?;
                    answers.insert(next, number);
                    number
                }
            };
            row[from..to].fill(number);
        }
        Ok(mask)
    }

    /// The number of the set that `roots` reach without a byte.
    fn number(&mut self, roots: &[StateID]) -> Result<u32, Failure> {
        self.closures += 1;
        let mut set = Vec::new();
        let mut stack = roots.to_vec();
        let mut visited = 0;
        while let Some(state) = stack.pop() {
            visited += 1;
            let seen = &mut self.seen[state.as_usize()];
            if *seen == self.closures {
                continue;
            }
            *seen = self.closures;
            match self.nfa.state(state) {
                State::Union { alternates } => stack.extend_from_slice(alternates),
                State::BinaryUnion { alt1, alt2 } => stack.extend([*alt1, *alt2]),
                State::Fail => {}
                _ => set.push(state),
            }
        }
        set.sort_unstable();
        let set = set.into_boxed_slice();
        self.spend(visited, 0)?;
        if let Some(number) = self.numbers.get(&set) {
            return Ok(*number);
        }
        self.spend(0, 2 * size_of_val(&*set) + 64)?;
        let number = u32::try_from(self.sets.len()).map_err(|_| Failure::TooBig)?;
        self.sets.push(set.clone());
        self.numbers.insert(set, number);
        Ok(number)
    }

    fn spend(&mut self, work: usize, memory: usize) -> Result<(), Failure> {
        self.work = self.work.checked_sub(work).ok_or(Failure::TooBig)?;
        self.memory = self.memory.checked_sub(memory).ok_or(Failure::TooBig)?;
        Ok(())
    }
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
        let start = Right { builder: &mut b, known: HashMap::new(), loops: HashMap::new() }.trie(patterns, accept)?;
        b.finish_pattern(start).map_err(failure)?;
        starts.push(start);
    }
    let start = b.add_union(starts).map_err(failure)?;
    b.build(start, start).map_err(failure)
}

fn failure(error: thompson::BuildError) -> Failure {
    if error.size_limit().is_some() { Failure::TooBig } else { Failure::Refused(error.to_string()) }
}

#[derive(Default)]
struct TrieNode<'a> {
    children: BTreeMap<&'a Token, usize>,
    accepts: bool,
}

/// The NFA of one right, built from its end. Equal states are one state: patterns that go on in the same
/// way share that way, as `/srv/1/data/**` and `/srv/2/data/**` do. Were their endings apart, the subset
/// construction would copy every `**/x` into each of them.
struct Right<'b> {
    builder: &'b mut thompson::Builder,
    known: HashMap<Shape, StateID>,
    loops: HashMap<(bool, StateID), StateID>,
}

#[derive(PartialEq, Eq, Hash)]
enum Shape {
    Bytes(Vec<(u8, u8, StateID)>),
    OneOf(Vec<StateID>),
}

impl Right<'_> {
    fn trie(&mut self, patterns: &[Vec<Token>], accept: StateID) -> Result<StateID, Failure> {
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
                    Token::Byte(byte) => bytes.push((*byte, *byte, states[child])),
                    token => ways.push(self.fragment(token, states[child])?),
                }
            }
            if !bytes.is_empty() {
                ways.push(self.bytes(bytes)?);
            }
            if node.accepts {
                ways.push(accept);
            }
            states[i] = self.one_of(ways)?;
        }
        Ok(states[0])
    }

    /// A state that takes any of the ranges, which are sorted and apart.
    fn bytes(&mut self, ranges: Vec<(u8, u8, StateID)>) -> Result<StateID, Failure> {
        let shape = Shape::Bytes(ranges);
        if let Some(state) = self.known.get(&shape) {
            return Ok(*state);
        }
        let Shape::Bytes(ranges) = &shape else {
            return Err(Failure::Refused("a shape changed its kind".into()));
        };
        let transitions = ranges.iter().map(|&(start, end, next)| Transition { start, end, next }).collect();
        let state = self.builder.add_sparse(transitions).map_err(failure)?;
        self.known.insert(shape, state);
        Ok(state)
    }

    fn one_of(&mut self, mut ways: Vec<StateID>) -> Result<StateID, Failure> {
        ways.sort_unstable();
        ways.dedup();
        if let [only] = ways.as_slice() {
            return Ok(*only);
        }
        let shape = Shape::OneOf(ways.clone());
        if let Some(state) = self.known.get(&shape) {
            return Ok(*state);
        }
        let state = if ways.is_empty() { self.builder.add_fail() } else { self.builder.add_union(ways) };
        let state = state.map_err(failure)?;
        self.known.insert(shape, state);
        Ok(state)
    }

    /// The states that take `token` and go on at `next`.
    fn fragment(&mut self, token: &Token, next: StateID) -> Result<StateID, Failure> {
        match token {
            Token::Byte(byte) => self.bytes(vec![(*byte, *byte, next)]),
            Token::Star => self.repeat(false, next),
            Token::Globstar => self.repeat(true, next),
            Token::SubtreeOf => {
                let below = self.repeat(true, next)?;
                let slash = self.bytes(vec![(b'/', b'/', below)])?;
                self.one_of(vec![slash, next])
            }
            Token::One => self.characters(&Class { negated: true, ranges: Vec::new() }, next),
            Token::Class(class) => self.characters(class, next),
            Token::Alternatives(branches) => {
                let mut ways = Vec::with_capacity(branches.len());
                for branch in branches {
                    let mut at = next;
                    for token in branch.iter().rev() {
                        at = self.fragment(token, at)?;
                    }
                    ways.push(at);
                }
                self.one_of(ways)
            }
        }
    }

    /// Any run of bytes, with or without `/` among them.
    fn repeat(&mut self, crosses: bool, next: StateID) -> Result<StateID, Failure> {
        if let Some(state) = self.loops.get(&(crosses, next)) {
            return Ok(*state);
        }
        let again = self.builder.add_union(Vec::new()).map_err(failure)?;
        let step = if crosses {
            self.bytes(vec![(0, 255, again)])?
        } else {
            self.bytes(vec![(0, b'/' - 1, again), (b'/' + 1, 255, again)])?
        };
        self.builder.patch(again, step).map_err(failure)?;
        self.builder.patch(again, next).map_err(failure)?;
        self.loops.insert((crosses, next), again);
        Ok(again)
    }

    /// One character of the class. A negated class also takes any single byte from 0x80 on: such a byte
    /// is a character of its own in a name that is not UTF-8.
    fn characters(&mut self, class: &Class, next: StateID) -> Result<StateID, Failure> {
        let mut ranges = merge(&class.ranges);
        if class.negated {
            ranges = complement(&ranges);
        }
        let mut ways = Vec::new();
        for (low, high) in without_slash(&ranges) {
            for sequence in Utf8Sequences::new(low, high) {
                let mut at = next;
                for part in sequence.as_slice().iter().rev() {
                    at = self.bytes(vec![(part.start, part.end, at)])?;
                }
                ways.push(at);
            }
        }
        if class.negated {
            ways.push(self.bytes(vec![(0x80, 0xff, next)])?);
        }
        self.one_of(ways)
    }
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
