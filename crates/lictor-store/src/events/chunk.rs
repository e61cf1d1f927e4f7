// SPDX-License-Identifier: Apache-2.0
//! The open chunk: events that are on disk as they were committed, with their index in memory.

use super::block::{BLOCK, CHUNK, Places};
use super::terms::{self, Term};
use jiff::Timestamp;
use lictor_api::event::Event;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Events made ready to be written: nothing here refers to where they will stand.
#[derive(Default)]
pub(super) struct Batch {
    /// JSON Lines.
    pub(super) lines: Vec<u8>,
    /// Where each line ends in `lines`.
    ends: Vec<usize>,
    times: Vec<Option<i64>>,
    ids: Vec<String>,
    terms: Vec<Term>,
    /// Where each event's terms end in `terms`.
    term_ends: Vec<usize>,
}

impl Batch {
    pub(super) fn push(&mut self, event: &Event) -> Result<(), serde_json::Error> {
        let start = self.lines.len();
        if let Err(error) = serde_json::to_writer(&mut self.lines, event) {
            self.lines.truncate(start);
            return Err(error);
        }
        self.push_line_end(event);
        Ok(())
    }

    /// A line that was written before, and the event that it is.
    pub(super) fn push_line(&mut self, line: &[u8], event: &Event) {
        self.lines.extend_from_slice(line);
        self.push_line_end(event);
    }

    fn push_line_end(&mut self, event: &Event) {
        self.lines.push(b'\n');
        self.ends.push(self.lines.len());
        self.times.push(event.time.parse::<Timestamp>().ok().map(Timestamp::as_millisecond));
        self.ids.push(event.id.clone());
        terms::of_event(event, &mut self.terms);
        self.term_ends.push(self.terms.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// Terms are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

pub(super) struct Chunk {
    /// The number of its first event.
    pub(super) first: u64,
    /// When its first event was recorded, Unix milliseconds.
    pub(super) opened_ms: i64,
    lines: Vec<u8>,
    ends: Vec<usize>,
    times: Vec<Option<i64>>,
    ids: Vec<String>,
    terms: HashMap<Term, Vec<u16>, BuildHasherDefault<AsItIs>>,
}

/// Times and ids of some events, from the least to the greatest. A time that could not be read counts as any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) min_ms: i64,
    pub(super) max_ms: i64,
    pub(super) min_id: String,
    pub(super) max_id: String,
}

impl Chunk {
    pub(super) fn new(first: u64) -> Self {
        Self {
            first,
            opened_ms: 0,
            lines: Vec::new(),
            ends: Vec::new(),
            times: Vec::new(),
            ids: Vec::new(),
            terms: HashMap::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many more events it takes.
    pub(super) fn room(&self) -> usize {
        CHUNK - self.len().min(CHUNK)
    }

    pub(super) fn append(&mut self, batch: &Batch, now_ms: i64) {
        if self.len() == 0 {
            self.opened_ms = now_ms;
        }
        let mut start = 0;
        for (at, end) in (self.len()..).zip(&batch.term_ends) {
            // There is room for it: whoever fills the batch asks.
            let at = u16::try_from(at).unwrap_or(u16::MAX);
            for term in &batch.terms[start..*end] {
                let places = self.terms.entry(*term).or_default();
                if places.last() != Some(&at) {
                    places.push(at);
                }
            }
            start = *end;
        }
        let offset = self.lines.len();
        self.lines.extend_from_slice(&batch.lines);
        self.ends.extend(batch.ends.iter().map(|end| offset + end));
        self.times.extend_from_slice(&batch.times);
        self.ids.extend_from_slice(&batch.ids);
    }

    /// The events whose terms are in each group.
    pub(super) fn candidates(&self, groups: &[Vec<Term>]) -> Places {
        let mut found = Places::first(self.len());
        for group in groups {
            let mut any = Places::none();
            group.iter().filter_map(|term| self.terms.get(term)).for_each(|places| any.add(places));
            found.and(&any);
        }
        found
    }

    /// One event's line, without its newline.
    pub(super) fn line(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.lines[start..self.ends[at] - 1]
    }

    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.ids.iter().position(|own| own == id)
    }

    /// All lines, and those of each block: the number of its first event, its lines, its span.
    pub(super) fn all_lines(&self) -> &[u8] {
        &self.lines
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = (u64, &[u8], Span)> {
        (0..self.len()).step_by(BLOCK).map(|from| {
            let to = (from + BLOCK).min(self.len());
            let start = from.checked_sub(1).map_or(0, |before| self.ends[before]);
            (self.first + from as u64, &self.lines[start..self.ends[to - 1]], self.span(from..to))
        })
    }

    pub(super) fn span(&self, range: std::ops::Range<usize>) -> Span {
        let times = &self.times[range.clone()];
        let ids = &self.ids[range];
        Span {
            min_ms: times.iter().map(|time| time.unwrap_or(i64::MIN)).min().unwrap_or(i64::MIN),
            max_ms: times.iter().map(|time| time.unwrap_or(i64::MAX)).max().unwrap_or(i64::MAX),
            min_id: ids.iter().min().cloned().unwrap_or_default(),
            max_id: ids.iter().max().cloned().unwrap_or_default(),
        }
    }

    /// Each term with its places, in the order of the terms.
    pub(super) fn sorted_terms(&self) -> Vec<(Term, &[u16])> {
        let mut terms: Vec<_> = self.terms.iter().map(|(term, places)| (*term, places.as_slice())).collect();
        // As they are stored: as signed numbers.
        terms.sort_unstable_by_key(|(term, _)| *term as i64);
        terms
    }
}
