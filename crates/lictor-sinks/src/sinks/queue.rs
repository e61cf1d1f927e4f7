// SPDX-License-Identifier: Apache-2.0
//! What waits for one sink: first in memory; on disk when memory fills up or the sink fails; counted when there is no room
//! on either. The order is kept: what is held after a failed delivery, then the disk, then memory.
//!
//! [`Queue::offer`] takes one short lock and never the disk. The lock on the disk is taken before the one on memory.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::record::{Place, Queued, Record};
use super::spill::Spill;

/// Memory that the records of one sink may take, roughly, in bytes.
const MAX_WEIGHT: usize = 64 << 20;
/// How often a full disk is tried again.
const DISK_PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct Queue {
    name: String,
    capacity: usize,
    memory: Mutex<Memory>,
    changed: Condvar,
    /// `None` keeps nothing on disk.
    spill: Mutex<Option<Spill>>,
    on_disk: AtomicU64,
    disk_bytes: AtomicU64,
    damaged: AtomicU64,
    pub(crate) spilled: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

#[derive(Default)]
struct Memory {
    waiting: VecDeque<Queued>,
    weight: usize,
    /// Taken for a delivery, or back from one that failed; older than all else.
    held: VecDeque<Queued>,
    /// What found no room, and has not been told to the sink.
    missed: u64,
    /// On their way from here to the disk.
    moving: usize,
    failing: bool,
    closing: bool,
    /// What is here is on its way to the disk: a delivery that comes back late changes nothing any more.
    shut: bool,
}

impl Memory {
    fn pop(&mut self) -> Option<Queued> {
        let queued = self.waiting.pop_front()?;
        self.weight = self.weight.saturating_sub(queued.record.weight());
        Some(queued)
    }
}

/// What the delivering thread gets.
pub(crate) enum Next {
    Batch(Vec<Record>),
    /// Nothing came until the given time.
    Nothing,
    /// The queue is closing, and there is nothing left.
    Closed,
}

impl Queue {
    pub(crate) fn open(name: &str, capacity: usize, dir: &Path, limit: u64) -> io::Result<Queue> {
        let spill = if limit > 0 { Some(Spill::open(dir, limit)?) } else { None };
        let queue = Queue {
            name: name.to_owned(),
            capacity,
            memory: Mutex::default(),
            changed: Condvar::new(),
            spill: Mutex::new(spill),
            on_disk: AtomicU64::new(0),
            disk_bytes: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            spilled: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        };
        queue.measure(&queue.spill());
        Ok(queue)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spill(&self) -> MutexGuard<'_, Option<Spill>> {
        self.spill.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn measure(&self, spill: &Option<Spill>) {
        let (records, bytes) = spill.as_ref().map_or((0, 0), |spill| (spill.records(), spill.bytes()));
        self.on_disk.store(records, Ordering::Relaxed);
        self.disk_bytes.store(bytes, Ordering::Relaxed);
        self.damaged.store(spill.as_ref().map_or(0, Spill::damaged), Ordering::Relaxed);
    }

    /// Puts a record at the end, or counts it. Never waits for the disk or the sink.
    pub(crate) fn offer(&self, record: Record) {
        let at_ms = Timestamp::now().as_millisecond();
        let mut memory = self.memory();
        let full =
            |memory: &Memory, more: usize| memory.waiting.len() + more > self.capacity || memory.weight > MAX_WEIGHT;
        if memory.closing || full(&memory, 1) {
            memory.missed += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if memory.missed > 0 && !full(&memory, 2) {
            self.tell_missed(&mut memory, at_ms);
        }
        memory.weight += record.weight();
        memory.waiting.push_back(Queued { at_ms, record, place: None });
        let count = memory.waiting.len();
        // Whoever is behind looks for itself; waking it for each record would cost more than the record.
        if count == 1 || count == self.capacity / 2 + 1 || count.is_multiple_of(256) {
            self.changed.notify_all();
        }
    }

    fn tell_missed(&self, memory: &mut Memory, at_ms: i64) {
        let reason = format!("the sink `{}` was too slow, and its room on disk was used up", self.name);
        let record = Record::lost(memory.missed, reason, at_ms);
        memory.weight += record.weight();
        memory.waiting.push_back(Queued { at_ms, record, place: None });
        memory.missed = 0;
    }

    /// The next batch of at most `max`: when there is one, when `linger` has passed since its first record began to wait,
    /// or when it is full.
    pub(crate) fn next(&self, max: usize, linger: Duration, until: Instant) -> io::Result<Next> {
        let mut began = None;
        loop {
            if let Some(batch) = self.take_old(max)? {
                return Ok(Next::Batch(batch));
            }
            let mut memory = self.memory();
            if memory.shut {
                return Ok(Next::Closed);
            }
            if !memory.waiting.is_empty() {
                let waited = began.get_or_insert_with(Instant::now).elapsed();
                if memory.waiting.len() >= max || waited >= linger || memory.closing {
                    drop(memory);
                    if let Some(batch) = self.take_new(max) {
                        return Ok(Next::Batch(batch));
                    }
                    continue;
                }
                drop(self.changed.wait_timeout(memory, linger.saturating_sub(waited)));
                continue;
            }
            if memory.closing {
                return Ok(Next::Closed);
            }
            if memory.missed > 0 {
                let now = Timestamp::now().as_millisecond();
                self.tell_missed(&mut memory, now);
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Next::Nothing);
            }
            drop(self.changed.wait_timeout(memory, left));
        }
    }

    /// What a failed delivery left, or what is on disk.
    fn take_old(&self, max: usize) -> io::Result<Option<Vec<Record>>> {
        let records = |held: &VecDeque<Queued>| held.iter().take(max).map(|queued| queued.record.clone()).collect();
        {
            let memory = self.memory();
            if memory.shut {
                return Ok(None);
            }
            if !memory.held.is_empty() {
                return Ok(Some(records(&memory.held)));
            }
        }
        let mut spill = self.spill();
        let Some(disk) = spill.as_mut().filter(|disk| !disk.is_empty()) else { return Ok(None) };
        let found = disk.next(max)?;
        if found.is_empty() {
            self.measure(&spill);
            return Ok(None);
        }
        let mut memory = self.memory();
        memory.held = found.into();
        Ok(Some(records(&memory.held)))
    }

    fn take_new(&self, max: usize) -> Option<Vec<Record>> {
        // What was moved to the disk meanwhile comes first.
        let spill = self.spill();
        if spill.as_ref().is_some_and(|disk| !disk.is_empty()) {
            return None;
        }
        let mut memory = self.memory();
        if memory.shut {
            return None;
        }
        for _ in 0..max {
            match memory.pop() {
                Some(queued) => memory.held.push_back(queued),
                None => break,
            }
        }
        (!memory.held.is_empty()).then(|| memory.held.iter().map(|queued| queued.record.clone()).collect())
    }

    /// The first `count` of the batch have arrived, or are given up.
    pub(crate) fn settle(&self, count: usize) -> io::Result<()> {
        // The lock on the disk comes first.
        let mut spill = self.spill();
        let places: Vec<Place> = {
            let mut memory = self.memory();
            let count = if memory.shut { 0 } else { count.min(memory.held.len()) };
            memory.held.drain(..count).filter_map(|queued| queued.place).collect()
        };
        if let Some(last) = places.last() {
            let in_segment = places.iter().filter(|place| place.segment == last.segment).count();
            if let Some(disk) = spill.as_mut() {
                disk.advance(*last, in_segment as u64)?;
            }
            self.measure(&spill);
        }
        Ok(())
    }

    /// Whether the sink fails: then what waits goes to the disk at once, where a crash does not reach it.
    pub(crate) fn failing(&self, failing: bool) {
        let mut memory = self.memory();
        if memory.failing != failing {
            memory.failing = failing;
            self.changed.notify_all();
        }
    }

    /// Waits for `pause`, or until the queue is closing.
    pub(crate) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut memory = self.memory();
        while !memory.closing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            memory = match self.changed.wait_timeout(memory, left) {
                Ok((memory, _)) => memory,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.memory().closing
    }

    pub(crate) fn close(&self) {
        self.memory().closing = true;
        self.changed.notify_all();
    }

    /// The work of the spilling thread: moves what waits to the disk when it gets too much for memory, or when the sink
    /// fails. Ends when the queue is closing. `tell` gets what went wrong.
    pub(crate) fn keep_spilling(&self, tell: impl Fn(String)) {
        loop {
            {
                let mut memory = self.memory();
                loop {
                    if memory.closing {
                        return;
                    }
                    let much = memory.waiting.len() > self.capacity / 2 || memory.weight > MAX_WEIGHT / 2;
                    if much || (memory.failing && !memory.waiting.is_empty()) {
                        break;
                    }
                    memory = match self.changed.wait_timeout(memory, Duration::from_secs(1)) {
                        Ok((memory, _)) => memory,
                        Err(poisoned) => poisoned.into_inner().0,
                    };
                }
            }
            match self.spill_waiting(&tell) {
                None => self.pause(DISK_PAUSE),
                // Few large writes instead of many small ones.
                Some(count) if count < self.capacity / 4 => self.pause(Duration::from_millis(20)),
                Some(_) => {}
            }
        }
    }

    /// How many were moved; `None` when there was no room for all of them.
    fn spill_waiting(&self, tell: &impl Fn(String)) -> Option<usize> {
        let mut spill = self.spill();
        let disk = spill.as_mut()?;
        let batch: Vec<Queued> = {
            let mut memory = self.memory();
            memory.weight = 0;
            memory.moving = memory.waiting.len();
            memory.waiting.drain(..).collect()
        };
        let (count, result) = disk.append(&batch);
        if let Err(error) = result {
            tell(format!("cannot keep records on disk: {error}"));
        }
        self.spilled.fetch_add(count as u64, Ordering::Relaxed);
        let left = batch.len() - count;
        // What does not fit stays in memory, in front, and fills it up.
        let mut memory = self.memory();
        for queued in batch.into_iter().skip(count).rev() {
            memory.weight += queued.record.weight();
            memory.waiting.push_front(queued);
        }
        memory.moving = 0;
        self.measure(&spill);
        drop(memory);
        self.changed.notify_all();
        (left == 0).then_some(count)
    }

    /// Brings everything in memory to the disk. To be called when both threads have ended; what finds no room is counted.
    pub(crate) fn shut(&self) -> io::Result<()> {
        let mut spill = self.spill();
        let mut memory = self.memory();
        memory.shut = true;
        // What came from the disk is still there.
        let held: Vec<Queued> = memory.held.drain(..).filter(|queued| queued.place.is_none()).collect();
        if memory.missed > 0 {
            self.tell_missed(&mut memory, Timestamp::now().as_millisecond());
        }
        let waiting: Vec<Queued> = memory.waiting.drain(..).collect();
        memory.weight = 0;
        let all = (held.len() + waiting.len()) as u64;
        let Some(disk) = spill.as_mut() else {
            self.dropped.fetch_add(all, Ordering::Relaxed);
            return Ok(());
        };
        let (front, first) = disk.put_in_front(&held);
        let (back, second) = disk.append(&waiting);
        self.spilled.fetch_add((front + back) as u64, Ordering::Relaxed);
        self.dropped.fetch_add(all - (front + back) as u64, Ordering::Relaxed);
        self.measure(&spill);
        first.and(second)
    }

    /// Records that wait, bytes on disk, and how long the oldest has waited.
    pub(crate) fn depth(&self) -> (u64, u64, Duration) {
        let memory = self.memory();
        let on_disk = self.on_disk.load(Ordering::Relaxed);
        // Those that were read from the disk for a delivery count there until they have arrived.
        let held = memory.held.iter().filter(|queued| queued.place.is_none()).count();
        let oldest = memory.held.front().or(memory.waiting.front()).map_or(Duration::ZERO, |first| age(first.at_ms));
        let depth = on_disk + (held + memory.moving + memory.waiting.len()) as u64;
        (depth, self.disk_bytes.load(Ordering::Relaxed), oldest)
    }

    /// Lines on disk that could not be read.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }
}

/// How long ago that was; a clock that was set back gives none.
fn age(at_ms: i64) -> Duration {
    let ms = Timestamp::now().as_millisecond().saturating_sub(at_ms);
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
