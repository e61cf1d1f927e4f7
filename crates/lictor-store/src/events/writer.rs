// SPDX-License-Identifier: Apache-2.0
//! The thread that writes. Whatever the disk does, it goes on: it repeats what failed until it works, and meanwhile the queue fills.

use super::archive;
use super::chunk::{Batch, Chunk};
use super::erase::{Erasure, Goes};
use super::error::StoreError;
use super::file::{self, File};
use super::store::{Queue, Shared};
use jiff::Timestamp;
use lictor_api::event::{Event, Kind, Lost};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Events of one transaction at the most.
const BATCH: usize = 4096;
/// How long an event waits for others to be written with.
const GATHER: Duration = Duration::from_millis(100);
/// The store's own events in one transaction at the most.
const NOTICES: usize = 8;
/// Between two attempts at a disk that failed.
const PAUSE: Duration = Duration::from_millis(250);
/// How often a chunk is looked at whose time may be up.
const IDLE: Duration = Duration::from_secs(1);
/// However few events come, a chunk is closed after this, so that age can be counted by chunks.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What there is to do besides writing.
struct Orders {
    stop: bool,
    put_aside: bool,
    /// All chunks that begin before this number.
    forget: Option<u64>,
    erase: Option<Erasure>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    file: Option<File>,
    /// What is to be written next; stays until it is.
    batch: Batch,
    /// How many of `batch` were submitted, and how many losses it tells of.
    submitted: u64,
    told: u64,
    /// Events of the store's own, for the next batch.
    notices: Vec<Event>,
    /// Events in closed chunks.
    stored: u64,
    /// Whether the open chunk in memory is what was read from, or written to, a file.
    loaded: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            file: None,
            batch: Batch::default(),
            submitted: 0,
            told: 0,
            notices: Vec::new(),
            stored: 0,
            loaded: false,
        }
    }

    /// The first attempt to open the file; an error is one that waiting does not mend.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        match self.reopen() {
            Err(error @ StoreError::Newer { .. }) => Err(error),
            Err(error) => {
                self.failed(&error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let Orders { stop, put_aside, forget, erase } = self.collect();
            if put_aside {
                self.put_aside("a reader met damage");
            }
            let written = self.write();
            let done = self.shared.queue().events.is_empty();
            if done && let Some(Err(error)) = self.file.as_ref().map(|file| file.rest()) {
                tracing::warn!("the event store keeps its memory: {error}");
            }
            if written && let Some(before) = forget {
                self.forget(before);
            }
            if let Some(erasure) = erase {
                // Whoever asked may have gone.
                let _nobody_waits = erasure.answer.send(self.erase(written, &erasure.goes));
            }
            if stop && (self.batch.is_empty() || !written) {
                let mut queue = self.shared.queue();
                let rest = queue.events.len() as u64 + self.submitted;
                if rest > 0 {
                    tracing::error!("{rest} events were not written at the end of the event store");
                    give_up(&mut queue, rest);
                } else if !queue.events.is_empty() {
                    continue;
                }
                drop(queue);
                self.shared.tell();
                if let Some(Err(error)) = self.file.take().map(|file| file.fold()) {
                    tracing::warn!("the event store's log stays beside it: {error}");
                }
                return;
            }
        }
    }

    /// Waits for work, and takes as much of it as fits into one transaction.
    fn collect(&mut self) -> Orders {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue();
        if self.batch.is_empty() {
            queue = gather(&shared, queue);
        } else {
            // The last attempt failed.
            let end = Instant::now() + PAUSE;
            while !queue.stop
                && let Some(rest) = end.checked_duration_since(Instant::now())
            {
                queue = shared.wait_for_work(queue, rest);
            }
        }
        let orders = Orders {
            stop: queue.stop,
            put_aside: std::mem::take(&mut queue.put_aside),
            forget: queue.forget_before,
            erase: queue.erase.take(),
        };
        if !self.batch.is_empty() {
            return orders;
        }
        let room = self.room().min(BATCH).saturating_sub(NOTICES);
        let count = room.min(queue.events.len());
        let events: Vec<Arc<Event>> = queue.events.drain(..count).collect();
        if queue.events.is_empty() {
            queue.hurry = false;
        }
        self.told = if self.batch.is_empty() { queue.untold } else { 0 };
        drop(queue);
        self.fill(&events);
        orders
    }

    fn room(&self) -> usize {
        self.open_chunk().room()
    }

    fn fill(&mut self, events: &[Arc<Event>]) {
        if self.told > 0 {
            self.notices.push(lost(self.told, "the event store could not write them: its disk was full or too slow"));
        }
        // Room is left for so many.
        for notice in std::mem::take(&mut self.notices).into_iter().take(NOTICES) {
            if let Err(error) = self.batch.push(&notice) {
                tracing::error!("an event cannot be written as JSON: {error}");
            }
        }
        let mut unwritable = 0;
        for event in events {
            if let Err(error) = self.batch.push(event) {
                tracing::error!("event {} cannot be written as JSON: {error}", event.id);
                unwritable += 1;
            }
        }
        self.submitted = events.len() as u64 - unwritable;
        if unwritable > 0 {
            give_up(&mut self.shared.queue(), unwritable);
        }
    }

    /// Writes the batch, and closes the chunk when it is full or old. False when that failed.
    fn write(&mut self) -> bool {
        match self.try_write() {
            Ok(()) => true,
            Err(error) => {
                self.file = None;
                if error.is_damage() {
                    self.put_aside(&error.to_string());
                    return false;
                }
                self.failed(&error);
                false
            }
        }
    }

    fn try_write(&mut self) -> Result<(), StoreError> {
        if self.file.is_none() {
            self.reopen()?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let now = Timestamp::now().as_millisecond();
        let shared = Arc::clone(&self.shared);
        if !self.batch.is_empty() {
            {
                let open = shared.open.read().unwrap_or_else(PoisonError::into_inner);
                file.commit(&open, &self.batch, now)?;
            }
            let mut open = shared.open.write().unwrap_or_else(PoisonError::into_inner);
            open.append(&self.batch, now);
            drop(open);
            self.batch = Batch::default();
            self.written();
        }
        self.close_chunk(now, false)
    }

    fn written(&mut self) {
        let mut queue = self.shared.queue();
        queue.health.written += std::mem::take(&mut self.submitted);
        queue.untold -= std::mem::take(&mut self.told).min(queue.untold);
        if let Some(problem) = queue.health.problem.take() {
            tracing::warn!("the event store writes again, after: {problem}");
        }
        drop(queue);
        self.shared.tell();
    }

    fn close_chunk(&mut self, now: i64, at_once: bool) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let longest = (shared.limits.keep / 8).min(LONGEST).as_millis() as i64;
        let open = shared.open.read().unwrap_or_else(PoisonError::into_inner);
        let full = open.room() <= NOTICES;
        let old = open.len() > 0 && now.saturating_sub(open.opened_ms) > longest;
        let Some(file) = self.file.as_mut().filter(|_| full || old || (at_once && open.len() > 0)) else {
            return Ok(());
        };
        file.close_chunk(&open, now)?;
        self.stored += open.len() as u64;
        let next = Chunk::new(open.first + open.len() as u64);
        drop(open);
        *shared.open.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Erases what is on disk, the open chunk as a closed one.
    fn erase(&mut self, written: bool, goes: &Goes) -> Result<u64, StoreError> {
        let cannot = || StoreError::NotErased("the event store cannot write at the moment: see its status".to_owned());
        if !written {
            return Err(cannot());
        }
        self.close_chunk(Timestamp::now().as_millisecond(), true)?;
        self.file.as_mut().ok_or_else(cannot)?.erase(goes)
    }

    fn forget(&mut self, before: u64) {
        let Some(file) = &mut self.file else { return };
        let done = file.forget_before(before).and_then(|()| {
            self.stored = file.stored()?;
            // So much at a time that nobody waits for it: 4 MB.
            file.shrink(512)
        });
        match done {
            Ok(()) => {
                self.shared.queue().forget_before = None;
                self.shared.tell();
            }
            Err(error) => {
                self.file = None;
                if error.is_damage() { self.put_aside(&error.to_string()) } else { self.failed(&error) }
            }
        }
    }

    /// Opens the file again. What is in memory of the open chunk counts for more than what is there.
    fn reopen(&mut self) -> Result<(), StoreError> {
        let dir = self.shared.dir.clone();
        let least = archive::last_number(&dir).max(self.open_chunk().first);
        let mut file = match File::open(&dir, least) {
            Err(error) if error.is_damage() => {
                self.put_aside(&error.to_string());
                File::open(&dir, least)?
            }
            other => other?,
        };
        let (mut found, mut unread) = match file.open_chunk() {
            Err(error) if error.is_damage() => {
                drop(file);
                self.put_aside(&error.to_string());
                file = File::open(&dir, least)?;
                file.open_chunk()?
            }
            other => other?,
        };
        self.stored = file.stored()?;
        let in_memory = self.loaded.then(|| self.open_chunk());
        if let Some(open) = in_memory.as_ref().filter(|open| open.first != found.first || open.len() != found.len()) {
            file.restore(open)?;
        } else if unread > 0 {
            file.restore(&found)?;
        }
        drop(in_memory);
        if !self.loaded {
            if unread > 0 {
                let reason = "they were on disk, not in a chunk yet, and damaged";
                self.notices.push(lost(unread, reason));
                tracing::error!("{unread} events of the event store cannot be read: {reason}");
            }
            unread = 0;
            std::mem::swap(&mut *self.shared.open.write().unwrap_or_else(PoisonError::into_inner), &mut found);
            self.loaded = true;
        }
        if unread > 0 {
            tracing::warn!("{unread} events were damaged on disk and are written anew from memory");
        }
        self.file = Some(file);
        Ok(())
    }

    fn open_chunk(&self) -> std::sync::RwLockReadGuard<'_, Chunk> {
        self.shared.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_aside(&mut self, why: &str) {
        self.file = None;
        match file::put_aside(&self.shared.dir) {
            Ok(aside) => {
                let what = format!("the event store was damaged and is put aside as {}", aside.display());
                tracing::error!("{what} ({why}); {} events were in it", count_or_unknown(self.stored));
                self.notices.push(lost(self.stored, &what));
                self.stored = 0;
            }
            Err(error) => self.failed(&error),
        }
        self.shared.queue().health.damaged_files = file::damaged_files(&self.shared.dir);
    }

    /// Says it once, not with each attempt.
    fn failed(&self, error: &StoreError) {
        let problem = error.to_string();
        let mut queue = self.shared.queue();
        if queue.health.problem.as_ref() != Some(&problem) {
            tracing::error!("the event store cannot write, and goes on trying: {problem}");
        }
        queue.health.problem = Some(problem);
    }
}

/// Waits until there is something to do, and then a little for more of it.
fn gather<'a>(shared: &'a Shared, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
    let idle = |queue: &Queue| {
        queue.events.is_empty()
            && !queue.stop
            && !queue.put_aside
            && queue.forget_before.is_none()
            && queue.erase.is_none()
            && queue.untold == 0
    };
    let end = Instant::now() + IDLE;
    while idle(&queue)
        && let Some(rest) = end.checked_duration_since(Instant::now())
    {
        queue = shared.wait_for_work(queue, rest);
    }
    let end = Instant::now() + GATHER;
    let full = |queue: &Queue| queue.hurry || queue.erase.is_some() || queue.events.len() >= BATCH;
    while !(idle(&queue) || queue.stop || queue.put_aside || full(&queue))
        && let Some(rest) = end.checked_duration_since(Instant::now())
    {
        queue = shared.wait_for_work(queue, rest);
    }
    queue
}

fn give_up(queue: &mut Queue, count: u64) {
    queue.given_up += count;
    queue.health.lost += count;
    queue.untold += count;
}

fn count_or_unknown(count: u64) -> String {
    if count == 0 { "an unknown number of".into() } else { count.to_string() }
}

fn lost(count: u64, reason: &str) -> Event {
    let now = format!("{:.9}", Timestamp::now());
    let mut event = Event::new(Kind::Lost, ulid::Ulid::new().to_string(), now);
    event.lost = Some(Lost { count, reason: reason.into() });
    event
}
