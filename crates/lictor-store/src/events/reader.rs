// SPDX-License-Identifier: Apache-2.0
//! Finds events.

use super::block::{self, BLOCK, Places};
use super::chunk::Chunk;
use super::error::{At as _, StoreError};
use super::file;
use super::terms::{self, Term};
use lictor_api::EventFilter;
use lictor_api::event::Event;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Which part of the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub order: Order,
    /// Goes on behind this event's number, in `order`.
    pub after: Option<u64>,
    /// At most so many events.
    pub limit: usize,
}

/// Events are in the order in which they were recorded, whatever the clocks said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Each with its number.
    pub events: Vec<(u64, Event)>,
    /// Where to go on, as [`Page::after`]; `None` when there is no more.
    pub next: Option<u64>,
    /// Events that may have matched and could not be read.
    pub damaged: u64,
}

/// One process's eye on a store; it writes nothing.
pub struct Reader {
    connection: Connection,
    path: PathBuf,
    open: Open,
}

enum Open {
    /// The writer's own: always up to date.
    Live(Arc<RwLock<Chunk>>),
    /// As it was when the reader was opened, which then sees the whole store as of that moment.
    AsOf(Box<Chunk>),
}

/// A closed chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChunkInfo {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) recorded_ms: i64,
    pub(super) min_ms: i64,
    pub(super) max_ms: i64,
}

impl Reader {
    /// Reads the store in `dir` as it is now, whoever writes there.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = file::path(dir);
        if !path.exists() {
            return Err(StoreError::Missing { path: dir.to_owned() });
        }
        let connection = connect(&path)?;
        connection.execute_batch("BEGIN").at(&path)?;
        let (chunk, _) = file::read_open(&connection, &path)?;
        Ok(Self { connection, path, open: Open::AsOf(Box::new(chunk)) })
    }

    pub(super) fn of_writer(dir: &Path, open: Arc<RwLock<Chunk>>) -> Result<Self, StoreError> {
        let path = file::path(dir);
        Ok(Self { connection: connect(&path)?, path, open: Open::Live(open) })
    }

    /// The events that `filter` wants, a page of them. `limit` and `follow` of the filter are not looked at.
    pub fn query(&self, filter: &EventFilter, page: Page) -> Result<Found, StoreError> {
        filter.check().map_err(StoreError::Filter)?;
        let mut search =
            Search { reader: self, filter, groups: terms::of_filter(filter), page, found: Found::default() };
        if page.limit > 0 {
            match page.order {
                Order::NewestFirst => search.newest_first()?,
                Order::OldestFirst => search.oldest_first()?,
            }
        }
        Ok(search.found)
    }

    /// The event with this id.
    pub fn find(&self, id: &str) -> Result<Option<Event>, StoreError> {
        Ok(self.find_numbered(id)?.map(|(_, event)| event))
    }

    /// The number of the event with this id: its place in the order of recording.
    pub fn place(&self, id: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.find_numbered(id)?.map(|(number, _)| number))
    }

    fn find_numbered(&self, id: &str) -> Result<Option<(u64, Event)>, StoreError> {
        let (boundary, found) = self.with_open(|open| {
            let found = open.find(id).and_then(|at| Some((open.first + at as u64, block::parse(open.line(at))?)));
            (open.first, found)
        });
        if found.is_some() {
            return Ok(found);
        }
        // CROSS: the few chunks first, then their blocks; never all blocks.
        let sql = "SELECT block.first, block.data FROM chunk CROSS JOIN block ON block.first >= chunk.first AND block.first < chunk.first + chunk.count
                   WHERE chunk.first < ?2 AND ?1 BETWEEN chunk.min_id AND chunk.max_id AND ?1 BETWEEN block.min_id AND block.max_id
                   ORDER BY block.first DESC";
        let mut select = self.connection.prepare_cached(sql).at(&self.path)?;
        let mut rows = select.query(params![id, boundary]).at(&self.path)?;
        let mut damage = None;
        while let Some(row) = rows.next().at(&self.path)? {
            let first: u64 = row.get(0).at(&self.path)?;
            let data: Vec<u8> = row.get(1).at(&self.path)?;
            match block::unpack(&data) {
                Ok(lines) => {
                    let events = (first..).zip(block::lines(&lines).map(block::parse));
                    let found =
                        events.filter_map(|(number, event)| Some((number, event?))).find(|(_, event)| event.id == id);
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Err(error) => damage = Some(StoreError::Io { path: self.path.clone(), source: error }),
            }
        }
        // The damaged block may have held the one that was asked for.
        damage.map_or(Ok(None), Err)
    }

    /// Closed chunks, oldest first.
    pub(super) fn chunks(&self) -> Result<Vec<ChunkInfo>, StoreError> {
        let sql = "SELECT first, count, recorded_ms, min_ms, max_ms FROM chunk ORDER BY first";
        let mut select = self.connection.prepare_cached(sql).at(&self.path)?;
        let rows = select.query_map([], |row| {
            Ok(ChunkInfo {
                first: row.get(0)?,
                count: row.get(1)?,
                recorded_ms: row.get(2)?,
                min_ms: row.get(3)?,
                max_ms: row.get(4)?,
            })
        });
        rows.at(&self.path)?.collect::<Result<_, _>>().at(&self.path)
    }

    /// The lines of the block that begins with event `first`.
    pub(super) fn block(&self, first: u64) -> Result<Vec<u8>, StoreError> {
        let select = self.connection.prepare_cached("SELECT data FROM block WHERE first = ?");
        let data: Option<Vec<u8>> =
            select.and_then(|mut select| select.query_row([first], |row| row.get(0)).optional()).at(&self.path)?;
        let unpacked = data.map(|data| block::unpack(&data));
        unpacked.unwrap_or(Ok(Vec::new())).at(&self.path)
    }

    pub(super) fn with_open<T>(&self, look: impl FnOnce(&Chunk) -> T) -> T {
        match &self.open {
            Open::Live(open) => look(&open.read().unwrap_or_else(PoisonError::into_inner)),
            Open::AsOf(chunk) => look(chunk),
        }
    }

    /// Bytes in use, and bytes that are free.
    pub(super) fn size(&self) -> Result<(u64, u64), StoreError> {
        file::size(&self.connection, &self.path)
    }

    pub(super) fn is_sound(&self) -> bool {
        file::is_sound(&self.connection)
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    // SQLite would not say that it is the permission that is missing.
    std::fs::File::open(path).at(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).at(path)?;
    connection.busy_timeout(Duration::from_secs(5)).at(path)?;
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4096; PRAGMA trusted_schema = OFF;")
        .at(path)?;
    Ok(connection)
}

/// One question being answered.
struct Search<'a> {
    reader: &'a Reader,
    filter: &'a EventFilter,
    groups: Vec<Vec<Term>>,
    page: Page,
    found: Found,
}

impl Search<'_> {
    fn newest_first(&mut self) -> Result<(), StoreError> {
        let boundary = self.reader.with_open(|open| {
            self.open_chunk(open);
            open.first
        });
        if self.is_full() {
            return Ok(());
        }
        let end = self.page.after.map_or(boundary, |after| after.min(boundary));
        self.closed_chunks("WHERE first < ?1 AND first + count > ?2 ORDER BY first DESC", end, 0)
    }

    fn oldest_first(&mut self) -> Result<(), StoreError> {
        let mut begin = self.page.after.map_or(0, |after| after + 1);
        loop {
            let boundary = self.reader.with_open(|open| open.first);
            self.closed_chunks("WHERE first < ?1 AND first + count > ?2 ORDER BY first", boundary, begin)?;
            // Meanwhile it may have been closed, and another one opened.
            let same = self.reader.with_open(|open| {
                let same = open.first == boundary;
                if same {
                    self.open_chunk(open);
                }
                same
            });
            if same || self.is_full() {
                return Ok(());
            }
            begin = begin.max(boundary);
        }
    }

    fn is_full(&self) -> bool {
        self.found.next.is_some()
    }

    /// Whether an event with this number belongs to the page as far as its beginning is concerned.
    fn is_on_page(&self, number: u64) -> bool {
        self.page.after.is_none_or(|after| match self.page.order {
            Order::NewestFirst => number < after,
            Order::OldestFirst => number > after,
        })
    }

    fn in_order(&self, places: &Places) -> Vec<usize> {
        let mut places: Vec<usize> = places.iter().collect();
        if self.page.order == Order::NewestFirst {
            places.reverse();
        }
        places
    }

    /// Takes the event if it matches.
    fn take(&mut self, number: u64, line: &[u8]) {
        match block::parse(line) {
            Some(event) if self.filter.matches(&event) => {
                self.found.events.push((number, event));
                if self.found.events.len() >= self.page.limit {
                    self.found.next = Some(number);
                }
            }
            Some(_) => {}
            None => self.found.damaged += 1,
        }
    }

    fn open_chunk(&mut self, open: &Chunk) {
        for at in self.in_order(&open.candidates(&self.groups)) {
            let number = open.first + at as u64;
            if self.is_full() {
                return;
            }
            if self.is_on_page(number) {
                self.take(number, open.line(at));
            }
        }
    }

    fn closed_chunks(&mut self, which: &str, end: u64, begin: u64) -> Result<(), StoreError> {
        let (connection, path) = (&self.reader.connection, &self.reader.path);
        // What the keeper forgets meanwhile is still there for us.
        let snapshot = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose().at(path)?;
        let mut select =
            connection.prepare_cached(&format!("SELECT first, count, min_ms, max_ms FROM chunk {which}")).at(path)?;
        let mut rows = select.query(params![end, begin]).at(path)?;
        while let Some(row) = rows.next().at(path)? {
            let (first, count): (u64, usize) = (row.get(0).at(path)?, row.get(1).at(path)?);
            if self.is_in_time(row.get(2).at(path)?, row.get(3).at(path)?) {
                self.closed_chunk(first, count)?;
            }
            if self.is_full() {
                break;
            }
        }
        drop(rows);
        drop(select);
        drop(snapshot);
        Ok(())
    }

    fn is_in_time(&self, min_ms: i64, max_ms: i64) -> bool {
        self.filter.since_ms.is_none_or(|since| max_ms >= since)
            && self.filter.until_ms.is_none_or(|until| min_ms < until)
    }

    fn closed_chunk(&mut self, first: u64, count: usize) -> Result<(), StoreError> {
        let places = self.candidates(first, count)?;
        let places = self.in_order(&places);
        for block in places.chunk_by(|a, b| a / BLOCK == b / BLOCK) {
            let start = block[0] / BLOCK * BLOCK;
            let numbers: Vec<usize> = block.iter().copied().filter(|at| self.is_on_page(first + *at as u64)).collect();
            if !numbers.is_empty() {
                self.block(first + start as u64, numbers.iter().map(|at| at - start))?;
            }
            if self.is_full() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn candidates(&self, chunk: u64, count: usize) -> Result<Places, StoreError> {
        let (connection, path) = (&self.reader.connection, &self.reader.path);
        let mut places = Places::first(count);
        let mut select = connection.prepare_cached("SELECT places FROM term WHERE chunk = ? AND term = ?").at(path)?;
        for group in &self.groups {
            let mut any = Places::none();
            for term in group {
                let mut rows = select.query(params![chunk, *term as i64]).at(path)?;
                if let Some(row) = rows.next().at(path)? {
                    let data = row.get_ref(0).and_then(|data| Ok(data.as_blob()?)).at(path)?;
                    if !any.add_packed(data) {
                        return Err(StoreError::Damaged {
                            path: path.clone(),
                            what: format!("index of chunk {chunk}"),
                        });
                    }
                }
            }
            places.and(&any);
            if places.is_empty() {
                break;
            }
        }
        Ok(places)
    }

    fn block(&mut self, first: u64, places: impl Iterator<Item = usize>) -> Result<(), StoreError> {
        let path = &self.reader.path;
        let sql = "SELECT min_ms, max_ms, data FROM block WHERE first = ?";
        let mut select = self.reader.connection.prepare_cached(sql).at(path)?;
        let mut rows = select.query([first]).at(path)?;
        let lines = match rows.next().at(path)? {
            Some(row) if !self.is_in_time(row.get(0).at(path)?, row.get(1).at(path)?) => return Ok(()),
            Some(row) => block::unpack(row.get_ref(2).and_then(|data| Ok(data.as_blob()?)).at(path)?).ok(),
            None => None,
        };
        let Some(lines) = lines else {
            // The rest of the store is as good as it was.
            tracing::warn!(
                "{}: the events from number {first} on cannot be read: their block is damaged",
                path.display()
            );
            self.found.damaged += places.count() as u64;
            return Ok(());
        };
        let lines: Vec<&[u8]> = block::lines(&lines).collect();
        for at in places {
            match lines.get(at) {
                Some(line) => self.take(first + at as u64, line),
                None => self.found.damaged += 1,
            }
            if self.is_full() {
                break;
            }
        }
        Ok(())
    }
}
