// SPDX-License-Identifier: Apache-2.0
//! Archive and store as one long table, read by row and column: what SQL is asked over.

use super::archive::{self, PartReader};
use super::block::{self, BLOCK};
use super::columns::{COLUMNS, Row, Value};
use super::error::StoreError;
use super::reader::Reader;
use jiff::{Timestamp, tz::TimeZone};
use lictor_api::event::Event;
use std::path::Path;

pub(super) struct Rows {
    reader: Option<Reader>,
    parts: Vec<PartReader>,
    sources: Vec<Source>,
    /// The last one used: rows are asked for in their order.
    cached: Cached,
    /// Events that could not be read; they are rows without values.
    pub(super) damaged: u64,
}

/// Rows that come from one place.
struct Source {
    begin: u64,
    count: u64,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    /// A row group of `parts[part]`.
    Part {
        part: usize,
        group: usize,
    },
    /// The closed chunk that begins with this event.
    Chunk(u64),
    Open,
}

enum Cached {
    Nothing,
    Group { source: usize, columns: Vec<Option<Vec<Value>>> },
    Lines { begin: u64, lines: Vec<String>, event: Option<(u64, Box<Event>)> },
}

impl Rows {
    /// What may have happened from `since_ms` to `until_ms` (Unix milliseconds): a row too many is possible, one too few is not.
    pub(super) fn open(store: &Path, since_ms: Option<i64>, until_ms: Option<i64>) -> Result<Self, StoreError> {
        let reader = match Reader::open(store) {
            Ok(reader) => Some(reader),
            Err(StoreError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut rows = Self { reader, parts: Vec::new(), sources: Vec::new(), cached: Cached::Nothing, damaged: 0 };
        let parts = archive::parts(store)?;
        if rows.reader.is_none() && parts.is_empty() {
            return Err(StoreError::Missing { path: store.to_owned() });
        }
        let chunks = rows.reader.as_ref().map_or(Ok(Vec::new()), Reader::chunks)?;
        let open = rows.reader.as_ref().map(|reader| reader.with_open(|open| (open.first, open.len() as u64)));
        let begin = chunks.first().map(|chunk| chunk.first).or(open.map(|(first, _)| first));
        let day = |ms: i64| Timestamp::from_millisecond(ms).ok().map(|time| time.to_zoned(TimeZone::UTC).date());
        let (since, until) = (since_ms.and_then(day), until_ms.and_then(day));
        for part in parts {
            // Archived and not forgotten yet: it is in the store.
            let twice = begin.is_some_and(|begin| part.first >= begin);
            if twice || since.is_some_and(|since| part.day < since) || until.is_some_and(|until| part.day > until) {
                continue;
            }
            let reader = PartReader::open(&part.path)?;
            for (group, count) in reader.groups().into_iter().enumerate() {
                rows.push(count as u64, Place::Part { part: rows.parts.len(), group });
            }
            rows.parts.push(reader);
        }
        for chunk in chunks {
            let late = since_ms.is_none_or(|since| chunk.max_ms >= since);
            if late && until_ms.is_none_or(|until| chunk.min_ms < until) {
                rows.push(chunk.count, Place::Chunk(chunk.first));
            }
        }
        if let Some((_, count)) = open {
            rows.push(count, Place::Open);
        }
        Ok(rows)
    }

    fn push(&mut self, count: u64, place: Place) {
        let begin = self.count();
        self.sources.push(Source { begin, count, place });
    }

    pub(super) fn count(&self) -> u64 {
        self.sources.last().map_or(0, |last| last.begin + last.count)
    }

    pub(super) fn value(&mut self, row: u64, column: usize) -> Result<Value, StoreError> {
        let after = self.sources.partition_point(|source| source.begin <= row);
        let Some(at) = after.checked_sub(1) else { return Ok(Value::Null) };
        let source = &self.sources[at];
        if row >= source.begin + source.count || column >= COLUMNS.len() {
            return Ok(Value::Null);
        }
        let within = row - source.begin;
        match source.place {
            Place::Part { part, group } => self.archived(at, part, group, within as usize, column),
            Place::Chunk(first) => self.stored(first, within, column),
            Place::Open => self.open_value(within, column),
        }
    }

    fn archived(
        &mut self,
        source: usize,
        part: usize,
        group: usize,
        row: usize,
        column: usize,
    ) -> Result<Value, StoreError> {
        if !matches!(self.cached, Cached::Group { source: own, .. } if own == source) {
            self.cached = Cached::Group { source, columns: vec![None; COLUMNS.len()] };
        }
        let Cached::Group { columns, .. } = &mut self.cached else { return Ok(Value::Null) };
        if columns[column].is_none() {
            columns[column] = Some(self.parts[part].column(group, column)?);
        }
        Ok(columns[column].as_ref().and_then(|values| values.get(row)).cloned().unwrap_or(Value::Null))
    }

    fn stored(&mut self, first: u64, within: u64, column: usize) -> Result<Value, StoreError> {
        let begin = first + within / BLOCK as u64 * BLOCK as u64;
        if !matches!(&self.cached, Cached::Lines { begin: own, .. } if *own == begin) {
            let Some(reader) = &self.reader else { return Ok(Value::Null) };
            let lines = match reader.block(begin) {
                Ok(lines) => texts(&lines),
                Err(StoreError::Io { .. }) => {
                    self.damaged += BLOCK as u64;
                    Vec::new()
                }
                Err(error) => return Err(error),
            };
            self.cached = Cached::Lines { begin, lines, event: None };
        }
        Ok(self.line_value(first + within, column))
    }

    fn open_value(&mut self, within: u64, column: usize) -> Result<Value, StoreError> {
        let Some(reader) = &self.reader else { return Ok(Value::Null) };
        let first = reader.with_open(|open| open.first);
        if !matches!(&self.cached, Cached::Lines { begin: own, .. } if *own == first) {
            let lines = reader.with_open(|open| texts(open.all_lines()));
            self.cached = Cached::Lines { begin: first, lines, event: None };
        }
        Ok(self.line_value(first + within, column))
    }

    fn line_value(&mut self, number: u64, column: usize) -> Value {
        let Cached::Lines { begin, lines, event } = &mut self.cached else { return Value::Null };
        let Some(line) = lines.get((number - *begin) as usize) else { return Value::Null };
        if event.as_ref().is_none_or(|(own, _)| *own != number) {
            *event = block::parse(line.as_bytes()).map(|event| (number, Box::new(event)));
        }
        event.as_ref().map_or(Value::Null, |(_, event)| Row { number, event, line }.value(column))
    }
}

fn texts(lines: &[u8]) -> Vec<String> {
    block::lines(lines).map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}
