// SPDX-License-Identifier: Apache-2.0
//! The thread that looks after age and size: what is too old or too much goes into the archive, then out of the store.

use super::archive;
use super::error::StoreError;
use super::reader::{ChunkInfo, Reader};
use super::store::Shared;
use jiff::Timestamp;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Chunks that are archived and forgotten in one step: the writer is busy for a moment with it.
const STEP: usize = 8;
/// How long the writer may take for one step.
const PATIENCE: Duration = Duration::from_secs(30);
/// A clock that moved by so much more than time passed was set: nothing is too old for an hour, so that somebody can set it right.
const JUMP: Duration = Duration::from_secs(86_400);
const AFTER_JUMP: Duration = Duration::from_secs(3600);

pub(super) struct Keeper {
    shared: Arc<Shared>,
    clock: Clock,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, clock: Clock::new(Timestamp::now(), Instant::now()) }
    }

    pub(super) fn run(mut self) {
        loop {
            self.shared.wait_until(self.shared.limits.round, |queue| queue.stop || queue.suspect);
            let suspect = {
                let mut queue = self.shared.queue();
                if queue.stop {
                    return;
                }
                std::mem::take(&mut queue.suspect)
            };
            if let Err(error) = self.round(suspect) {
                tracing::error!("the event store cannot be kept within its limits: {error}");
            }
        }
    }

    fn round(&mut self, suspect: bool) -> Result<(), StoreError> {
        let reader = self.reader()?;
        if suspect {
            let damaged = !reader.is_sound();
            drop(reader);
            if damaged {
                self.shared.queue().put_aside = true;
                self.shared.wake();
            }
            return Ok(());
        }
        drop(reader);
        while self.step()? {}
        if let Some(limits) = &self.shared.limits.archive {
            let _nobody_erases = self.shared.archiving.lock().unwrap_or_else(PoisonError::into_inner);
            archive::prune(&self.shared.dir, limits, Timestamp::now())?;
        }
        Ok(())
    }

    /// Without the open chunk, which is in memory once already.
    fn reader(&self) -> Result<Reader, StoreError> {
        Reader::of_writer(&self.shared.dir, Arc::clone(&self.shared.open))
    }

    /// Archives and forgets some chunks; false when there is nothing to do.
    fn step(&mut self) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.shared);
        let _nobody_erases = shared.archiving.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = self.reader()?;
        let chunks = reader.chunks()?;
        let (size, _) = reader.size()?;
        self.shared.queue().health.size = size;
        let now = self.clock.now(Timestamp::now(), Instant::now());
        let count = doomed(&chunks, size, &self.shared.limits, now).min(STEP);
        let Some(next) = count.checked_sub(1).map(|last| chunks[last].first + 1) else { return Ok(false) };
        if self.shared.limits.archive.is_some() {
            archive::write(&self.shared.dir, &reader, &chunks[..count])?;
        }
        drop(reader);
        self.shared.queue().forget_before = Some(next);
        self.shared.wake();
        let done = self.shared.wait_until(PATIENCE, |queue| queue.stop || queue.forget_before.is_none());
        Ok(done && !self.shared.queue().stop)
    }
}

/// How many of `chunks`, from the oldest on, are too old or too much. `now` is absent while the clock cannot be trusted.
fn doomed(chunks: &[ChunkInfo], size: u64, limits: &super::Limits, now: Option<i64>) -> usize {
    let keep = i64::try_from(limits.keep.as_millis()).unwrap_or(i64::MAX);
    let oldest = now.map_or(i64::MIN, |now| now.saturating_sub(keep));
    let old = chunks.iter().take_while(|chunk| chunk.recorded_ms < oldest).count();
    let each = size / (chunks.len() as u64).max(1);
    let too_much = size.saturating_sub(limits.max_size).div_ceil(each.max(1));
    old.max(usize::try_from(too_much).unwrap_or(usize::MAX)).min(chunks.len())
}

/// The calendar, watched.
struct Clock {
    last: (Timestamp, Instant),
    trusted_from: Option<Instant>,
}

impl Clock {
    fn new(wall: Timestamp, mono: Instant) -> Self {
        Self { last: (wall, mono), trusted_from: None }
    }

    /// Unix milliseconds; `None` for an hour after the calendar jumped ahead.
    fn now(&mut self, wall: Timestamp, mono: Instant) -> Option<i64> {
        let passed = mono.saturating_duration_since(self.last.1);
        let moved = Duration::try_from(wall.duration_since(self.last.0)).unwrap_or_default();
        if moved > passed + JUMP {
            tracing::warn!("the clock jumped ahead by {} s: no event is too old for the next hour", moved.as_secs());
            self.trusted_from = Some(mono + AFTER_JUMP);
        }
        self.last = (wall, mono);
        self.trusted_from.is_none_or(|from| mono >= from).then(|| wall.as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_jump_of_the_clock_nothing_is_old() {
        let (wall, mono) = (Timestamp::from_second(1_000_000).unwrap(), Instant::now());
        let mut clock = Clock::new(wall, mono);
        let after = |wall_s: i64, mono_s: u64| {
            (Timestamp::from_second(1_000_000 + wall_s).unwrap(), mono + Duration::from_secs(mono_s))
        };
        let mut at = |wall_s, mono_s| {
            let (wall, mono) = after(wall_s, mono_s);
            clock.now(wall, mono).map(|now| now / 1000 - 1_000_000)
        };
        assert_eq!(at(30, 30), Some(30));
        assert_eq!(at(-9000, 60), Some(-9000), "back is harmless");
        assert_eq!(at(400 * 86_400, 90), None);
        assert_eq!(at(400 * 86_400 + 60, 150), None);
        assert_eq!(at(400 * 86_400 + 4000, 90 + 3600), Some(400 * 86_400 + 4000), "it was meant");
    }

    #[test]
    fn age_and_size_take_the_oldest() {
        let chunk = |first, recorded_ms| ChunkInfo { first, count: 10, recorded_ms, min_ms: 0, max_ms: 0 };
        let chunks = [chunk(1, 1000), chunk(11, 2000), chunk(21, 9000), chunk(31, 3000)];
        let mut limits = super::super::Limits::new(&lictor_api::settings::store::Store::default());
        (limits.keep, limits.max_size) = (Duration::from_secs(5), 400);
        assert_eq!(doomed(&chunks, 400, &limits, Some(6500)), 1);
        assert_eq!(doomed(&chunks, 400, &limits, Some(8500)), 2, "an old one behind a young one waits");
        assert_eq!(doomed(&chunks, 400, &limits, None), 0);
        limits.max_size = 250;
        assert_eq!(doomed(&chunks, 400, &limits, Some(0)), 2);
        limits.max_size = 0;
        assert_eq!(doomed(&chunks, 400, &limits, Some(0)), 4);
        assert_eq!(doomed(&[], 400, &limits, Some(0)), 0);
    }
}
