// SPDX-License-Identifier: Apache-2.0
//! Erasure: of an event that goes, its number, time and kind stay, so that every other one keeps its place.
//!
//! Chunks that hold such events are written anew with their terms; SQLite overwrites what it frees (`secure_delete`), and the log
//! is folded into the file. Parts of the archive are written anew without the rows. Damaged files that were put aside
//! cannot be looked through: they go whole.

use super::archive::{self, PartReader, PartWriter};
use super::block;
use super::chunk::{Batch, Chunk};
use super::columns::{COLUMNS, Value};
use super::error::{At as _, StoreError};
use super::file::{self, File};
use super::store::{Queue, Store};
use lictor_api::event::Event;
use rusqlite::params;
use std::path::Path;
use std::sync::{Arc, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Whether an event is to go.
pub type Goes = Arc<dyn Fn(&Event) -> bool + Send + Sync>;

/// What the writer is asked to do, and where it answers.
pub(super) struct Erasure {
    pub(super) goes: Goes,
    pub(super) answer: mpsc::Sender<Result<u64, StoreError>>,
}

/// Readers hold what they read for so long at the most.
const READERS: Duration = Duration::from_secs(30);

impl Store {
    /// Erases what was submitted before, in the store and in its archive; gives how many events went. It may be repeated, and
    /// must be when it fails.
    pub fn erase(&self, goes: &Goes, patience: Duration) -> Result<u64, StoreError> {
        self.flush(patience)?;
        let (answer, answered) = mpsc::channel();
        {
            let mut queue = self.shared().queue();
            queue.erase = Some(Erasure { goes: Arc::clone(goes), answer });
        }
        self.shared().wake();
        let gone = answered
            .recv()
            .map_err(|_| StoreError::NotErased("the event store stopped meanwhile: ask again".to_owned()))??;
        let dir = &self.shared().dir;
        // What the keeper moves into the archive is in one of the two: it moves nothing meanwhile.
        let _nobody_archives = self.shared().archiving.lock().unwrap_or_else(PoisonError::into_inner);
        let archived = in_archive(dir, goes)?;
        let aside = file::remove_damaged(dir)?;
        if aside > 0 {
            tracing::warn!("{aside} damaged files of the event store are removed, as nobody can tell what is in them");
        }
        let mut queue: std::sync::MutexGuard<'_, Queue> = self.shared().queue();
        queue.health.damaged_files = file::damaged_files(dir);
        Ok(gone + archived)
    }
}

/// Erases in the store of `dir` that nobody writes.
pub fn erase_stopped(dir: &Path, goes: &Goes, limits: super::Limits) -> Result<u64, StoreError> {
    if !file::path(dir).exists() && archive::parts(dir)?.is_empty() {
        return Ok(0);
    }
    Store::open(dir, limits)?.erase(goes, READERS)
}

impl File {
    /// Erases in all closed chunks.
    pub(super) fn erase(&mut self, goes: &Goes) -> Result<u64, StoreError> {
        let path = self.path().to_owned();
        let chunks: Vec<(u64, u64)> = {
            let mut select = self.connection.prepare("SELECT first, count FROM chunk ORDER BY first").at(&path)?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).at(&path)?;
            rows.collect::<Result<_, _>>().at(&path)?
        };
        let mut gone = 0;
        for (first, count) in chunks {
            gone += self.erase_in_chunk(first, count, goes)?;
        }
        self.fold_all()?;
        Ok(gone)
    }

    fn erase_in_chunk(&mut self, first: u64, count: u64, goes: &Goes) -> Result<u64, StoreError> {
        let path = self.path().to_owned();
        let (chunk, gone) = {
            let mut select = self
                .connection
                .prepare_cached("SELECT first, data FROM block WHERE first >= ? AND first < ? ORDER BY first")
                .at(&path)?;
            let mut rows = select.query(params![first, first + count]).at(&path)?;
            let (mut chunk, mut gone) = (Chunk::new(first), 0);
            while let Some(row) = rows.next().at(&path)? {
                let begin: u64 = row.get(0).at(&path)?;
                let data: Vec<u8> = row.get(1).at(&path)?;
                let mut batch = Batch::default();
                let lines = block::unpack(&data).unwrap_or_default();
                // What cannot be read cannot be judged; it is told as damaged by whoever looks for it.
                let expected = (begin - first) as usize;
                while chunk.len() + batch.len() < expected {
                    batch.push(&damaged()).map_err(|error| not_json(&error))?;
                }
                for line in block::lines(&lines) {
                    match block::parse(line) {
                        Some(event) if goes(&event) => {
                            batch.push(&remains(&event)).map_err(|error| not_json(&error))?;
                            gone += 1;
                        }
                        Some(event) => batch.push_line(line, &event),
                        None => batch.push(&damaged()).map_err(|error| not_json(&error))?,
                    }
                }
                chunk.append(&batch, 0);
            }
            (chunk, gone)
        };
        if gone > 0 {
            self.replace_chunk(&chunk)?;
        }
        Ok(gone)
    }

    /// Brings all of the log into the file: its pages hold what was there before.
    fn fold_all(&self) -> Result<(), StoreError> {
        let end = Instant::now() + READERS;
        loop {
            let busy: i64 =
                self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).at(self.path())?;
            if busy == 0 {
                return Ok(());
            }
            if Instant::now() > end {
                let why = "somebody reads the event store all the time, and its log keeps what was erased: ask again";
                return Err(StoreError::NotErased(why.to_owned()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What stays of an event.
fn remains(event: &Event) -> Event {
    Event::new(event.kind, event.id.clone(), event.time.clone())
}

/// In place of one that could not be read.
fn damaged() -> Event {
    Event::new(lictor_api::event::Kind::Lost, String::new(), String::new())
}

fn not_json(error: &serde_json::Error) -> StoreError {
    StoreError::NotErased(format!("an event cannot be written as JSON: {error}"))
}

fn in_archive(store: &Path, goes: &Goes) -> Result<u64, StoreError> {
    let whole = COLUMNS.iter().position(|(name, _)| *name == "event").unwrap_or(COLUMNS.len());
    let mut gone = 0;
    for part in archive::parts(store)? {
        let reader = PartReader::open(&part.path)?;
        let groups = reader.groups();
        let mut doomed: Vec<Vec<bool>> = Vec::with_capacity(groups.len());
        for group in 0..groups.len() {
            let lines = reader.column(group, whole)?;
            doomed.push(lines.iter().map(|line| row_goes(line, goes)).collect());
        }
        let count = doomed.iter().flatten().filter(|goes| **goes).count();
        if count == 0 {
            continue;
        }
        if count < groups.iter().sum() {
            let mut writer = PartWriter::beside(&part.path)?;
            for (group, doomed) in doomed.iter().enumerate() {
                let mut columns = Vec::with_capacity(COLUMNS.len());
                for column in 0..COLUMNS.len() {
                    columns.push(reader.column(group, column)?.into_iter());
                }
                for goes in doomed {
                    let row: Vec<Value> =
                        columns.iter_mut().map(|values| values.next().unwrap_or(Value::Null)).collect();
                    if !goes {
                        writer.push(row)?;
                    }
                }
            }
            writer.replace(&part.path)?;
        } else {
            std::fs::remove_file(&part.path).at(&part.path)?;
        }
        gone += count as u64;
    }
    Ok(gone)
}

fn row_goes(line: &Value, goes: &Goes) -> bool {
    match line {
        Value::Text(line) => block::parse(line.as_bytes()).is_some_and(|event| goes(&event)),
        _ => false,
    }
}
