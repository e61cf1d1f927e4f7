// SPDX-License-Identifier: Apache-2.0
//! The table the kernel walks: every state's row is its most common target plus exceptions, and the
//! exceptions of all rows lie interleaved in one array (row displacement).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::dfa::{self, Failure, Patterns, Table};
use super::right;

/// The `check` of a cell that holds no transition.
pub const UNUSED: u32 = u32::MAX;
/// A state may have exceptions for all bytes, one cell behind its own.
const ROW: usize = 257;
/// How many holes are tried for a row before it goes to the end; bounds the time, not the result.
const ATTEMPTS: usize = 256;

/// A cell is two things at once: the head of the state whose number is its place (`default`,
/// `accept`), and a slot for a transition of some other state (`check`, `next`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Cell {
    /// The state whose transition lies here, or [`UNUSED`].
    pub check: u32,
    /// Where that transition goes.
    pub next: u32,
    /// Where this state goes on every byte that has no transition of its own.
    pub default: u32,
    /// Low 8 bits: the [`right`]s of a path that ends here. Upper 24 bits: the move class.
    pub accept: u32,
}

/// All path patterns of an agent. `cells[s + 1 + byte]` holds the transition of `s` if its `check` is
/// `s`; otherwise `cells[s].default` is next. State 0 is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Automaton {
    pub cells: Vec<Cell>,
    pub start: u32,
}

impl Automaton {
    /// What stands at the end of `path`: rights and move class, as in [`Cell::accept`].
    pub fn walk(&self, path: &[u8]) -> u32 {
        self.cells[self.state_after(path) as usize].accept
    }

    fn state_after(&self, path: &[u8]) -> u32 {
        let mut state = self.start;
        for byte in path {
            let cell = &self.cells[state as usize + 1 + usize::from(*byte)];
            state = if cell.check == state { cell.next } else { self.cells[state as usize].default };
        }
        state
    }

    pub(super) fn build(patterns: &Patterns, limits: super::Limits) -> Result<Automaton, Failure> {
        let table = minimise(&dfa::build(patterns, limits)?);
        let mut kept = right::DENY | right::READONLY | right::EXEC_DENY;
        if !patterns[right::READ.trailing_zeros() as usize].is_empty() {
            kept |= right::READ;
        }
        let moves = refine(&table, |mask| mask & kept);
        if moves.iter().any(|class| *class >= 1 << 24) {
            return Err(Failure::TooBig);
        }
        pack(&table, &moves, limits.max_cells)
    }
}

/// The coarsest partition in which states of one class carry the same label and so do all their
/// continuations. Rounds look only at states with a successor that changed its class, and the largest
/// part of a class keeps the number, so that few do.
fn refine(table: &Table, label: impl Fn(u8) -> u8) -> Vec<u32> {
    let states = table.len();
    let mut numbers: HashMap<u8, u32> = HashMap::new();
    let mut members: Vec<Vec<u32>> = Vec::new();
    let mut class: Vec<u32> = Vec::with_capacity(states);
    for (state, mask) in table.masks.iter().enumerate() {
        let number = *numbers.entry(label(*mask)).or_insert_with(|| {
            members.push(Vec::new());
            members.len() as u32 - 1
        });
        members[number as usize].push(state as u32);
        class.push(number);
    }
    let (offsets, sources) = predecessors(table);
    let hasher = RandomState::new();
    let mut dirty: Vec<u32> = (0..states as u32).collect();
    let mut is_dirty = vec![true; states];
    while !dirty.is_empty() {
        dirty.sort_unstable_by_key(|s| (class[*s as usize], *s));
        let mut changes: Vec<(u32, u32)> = Vec::new();
        let mut split: Vec<u32> = Vec::new();
        let mut fresh = members.len() as u32;
        for touched in dirty.chunk_by(|a, b| class[*a as usize] == class[*b as usize]) {
            let number = class[touched[0] as usize];
            let all = &members[number as usize];
            if all.len() == 1 {
                continue;
            }
            let mut groups = by_row(table, &class, &hasher, touched);
            let untouched = all.len() - touched.len();
            if untouched > 0 && groups.iter().all(|g| g.len() <= untouched) {
                // The untouched part is the largest and stays; the others move out.
            } else if untouched > 0 {
                let largest = take_largest(&mut groups);
                debug_assert!(!largest.is_empty());
                groups.push(all.iter().copied().filter(|s| !is_dirty[*s as usize]).collect());
            } else {
                take_largest(&mut groups);
            }
            for group in &groups {
                changes.extend(group.iter().map(|s| (*s, fresh)));
                fresh += 1;
            }
            if !groups.is_empty() {
                split.push(number);
            }
        }
        for &state in &dirty {
            is_dirty[state as usize] = false;
        }
        dirty.clear();
        members.resize(fresh as usize, Vec::new());
        for &(state, number) in &changes {
            class[state as usize] = number;
            members[number as usize].push(state);
        }
        for &number in &split {
            members[number as usize].retain(|s| class[*s as usize] == number);
        }
        for &(state, _) in &changes {
            for &source in &sources[offsets[state as usize]..offsets[state as usize + 1]] {
                if !is_dirty[source as usize] {
                    is_dirty[source as usize] = true;
                    dirty.push(source);
                }
            }
        }
    }
    class
}

fn take_largest(groups: &mut Vec<Vec<u32>>) -> Vec<u32> {
    match (0..groups.len()).max_by_key(|i| groups[*i].len()) {
        Some(i) => groups.swap_remove(i),
        None => Vec::new(),
    }
}

/// Groups states by the classes their rows lead to.
fn by_row(table: &Table, class: &[u32], hasher: &RandomState, states: &[u32]) -> Vec<Vec<u32>> {
    let classes_of = |state: u32| table.row(state).iter().map(|t| class[*t as usize]);
    let mut groups: Vec<Vec<u32>> = Vec::new();
    // A hash only finds the candidates; rows decide.
    let mut found: HashMap<u64, Vec<usize>> = HashMap::new();
    let mut row: Vec<u32> = Vec::with_capacity(table.columns);
    for &state in states {
        row.clear();
        row.extend(classes_of(state));
        let candidates = found.entry(hasher.hash_one(&row)).or_default();
        match candidates.iter().find(|g| classes_of(groups[**g][0]).eq(row.iter().copied())) {
            Some(&group) => groups[group].push(state),
            None => {
                candidates.push(groups.len());
                groups.push(vec![state]);
            }
        }
    }
    groups
}

/// For every state the states that lead to it, each once: `sources[offsets[s]..offsets[s + 1]]`.
fn predecessors(table: &Table) -> (Vec<usize>, Vec<u32>) {
    let states = table.len();
    let mut offsets = vec![0; states + 1];
    let mut seen = vec![UNUSED; states];
    let mut each = |visit: &mut dyn FnMut(u32, u32)| {
        seen.fill(UNUSED);
        for source in 0..states as u32 {
            for &target in table.row(source) {
                if seen[target as usize] != source {
                    seen[target as usize] = source;
                    visit(source, target);
                }
            }
        }
    };
    each(&mut |_, target| offsets[target as usize + 1] += 1);
    for i in 0..states {
        offsets[i + 1] += offsets[i];
    }
    let mut sources = vec![0; offsets[states]];
    let mut cursor = offsets.clone();
    each(&mut |source, target| {
        sources[cursor[target as usize]] = source;
        cursor[target as usize] += 1;
    });
    (offsets, sources)
}

/// One state for each class of states that no continuation tells apart, dead first, then as reached.
fn minimise(table: &Table) -> Table {
    let class = refine(table, |mask| mask);
    let classes = class.iter().max().map_or(0, |m| *m as usize + 1);
    let mut numbers = vec![UNUSED; classes];
    let mut order = vec![0u32];
    numbers[class[0] as usize] = 0;
    let mut number = |state: u32, order: &mut Vec<u32>| {
        let slot = &mut numbers[class[state as usize] as usize];
        if *slot == UNUSED {
            *slot = order.len() as u32;
            order.push(state);
        }
        *slot
    };
    let start = number(table.start, &mut order);
    let mut targets = Vec::new();
    let mut masks = Vec::new();
    let mut done = 0;
    while let Some(&state) = order.get(done) {
        done += 1;
        masks.push(table.masks[state as usize]);
        for &target in table.row(state) {
            targets.push(number(target, &mut order));
        }
    }
    Table { classes: table.classes, columns: table.columns, targets, masks, start }
}

struct Row {
    state: u32,
    default: u32,
    exceptions: Vec<(u8, u32)>,
}

fn rows(table: &Table) -> Vec<Row> {
    let mut width = vec![0u32; table.columns];
    for column in table.classes {
        width[usize::from(column)] += 1;
    }
    let mut counts: HashMap<u32, u32> = HashMap::new();
    (0..table.len() as u32)
        .map(|state| {
            let row = table.row(state);
            counts.clear();
            for (target, width) in row.iter().zip(&width) {
                *counts.entry(*target).or_default() += width;
            }
            let default = counts.iter().max_by_key(|(t, n)| (**n, u32::MAX - **t)).map_or(0, |(t, _)| *t);
            let exceptions = (0..=255u8)
                .map(|byte| (byte, row[usize::from(table.classes[usize::from(byte)])]))
                .filter(|(_, target)| *target != default)
                .collect();
            Row { state, default, exceptions }
        })
        .collect()
}

/// Free places, found in the order of their numbers.
struct Holes {
    next: Vec<u32>,
}

impl Holes {
    fn grow(&mut self, len: usize) {
        self.next.extend(self.next.len() as u32..len as u32);
    }

    fn is_free(&self, at: usize) -> bool {
        self.next.get(at).is_none_or(|n| *n as usize == at)
    }

    fn take(&mut self, at: usize) {
        self.grow(at + 2);
        self.next[at] = at as u32 + 1;
    }

    /// The first free place from `at` on; shortens the way for the next who asks.
    fn find(&mut self, at: usize) -> usize {
        let mut end = at;
        while !self.is_free(end) {
            end = self.next[end] as usize;
        }
        let mut here = at;
        while here != end {
            here = std::mem::replace(&mut self.next[here], end as u32) as usize;
        }
        end
    }
}

fn pack(table: &Table, moves: &[u32], max_cells: u32) -> Result<Automaton, Failure> {
    let mut rows = rows(table);
    rows.sort_by_key(|r| std::cmp::Reverse(r.exceptions.len()));
    let mut slots = Holes { next: Vec::new() };
    let mut bases = Holes { next: Vec::new() };
    bases.take(0);
    let mut place = vec![0u32; table.len()];
    let mut cursor = 0;
    for row in rows.iter().filter(|r| r.state != 0) {
        let base = match row.exceptions.first() {
            None => bases.find(1),
            Some((first, _)) => {
                let first = usize::from(*first);
                let mut slot = slots.find(cursor.max(first + 2));
                let mut tried = 0;
                loop {
                    let base = slot - 1 - first;
                    let fits = bases.is_free(base)
                        && row.exceptions.iter().all(|(byte, _)| slots.is_free(base + 1 + usize::from(*byte)));
                    if fits {
                        break base;
                    }
                    tried += 1;
                    if tried == ATTEMPTS {
                        // Holes that took nobody so often are not offered again.
                        cursor = cursor.max(slot.saturating_sub(256));
                    }
                    slot = slots.find(slot + 1);
                }
            }
        };
        bases.take(base);
        for (byte, _) in &row.exceptions {
            slots.take(base + 1 + usize::from(*byte));
        }
        if base + ROW > max_cells as usize {
            return Err(Failure::TooBig);
        }
        place[row.state as usize] = base as u32;
    }
    let last = place.iter().max().map_or(0, |p| *p as usize);
    let empty = Cell { check: UNUSED, next: 0, default: 0, accept: 0 };
    let mut cells = vec![empty; last + 1 + ROW];
    if cells.len() > max_cells as usize {
        return Err(Failure::TooBig);
    }
    for row in &rows {
        let base = place[row.state as usize];
        let head = &mut cells[base as usize];
        head.default = place[row.default as usize];
        head.accept = moves[row.state as usize] << 8 | u32::from(table.masks[row.state as usize]);
        for (byte, target) in &row.exceptions {
            let slot = &mut cells[base as usize + 1 + usize::from(*byte)];
            slot.check = base;
            slot.next = place[*target as usize];
        }
    }
    Ok(Automaton { cells, start: place[table.start as usize] })
}
