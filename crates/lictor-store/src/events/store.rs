// SPDX-License-Identifier: Apache-2.0
//! The store as whoever writes into it sees it: a queue that never makes anybody wait.

use super::chunk::Chunk;
use super::erase::Erasure;
use super::error::{At as _, StoreError};
use super::keeper::Keeper;
use super::reader::Reader;
use super::writer::Writer;
use super::{archive, file};
use lictor_api::event::Event;
use lictor_api::settings::Switch;
use lictor_api::settings::store::Store as Settings;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much is kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub keep: Duration,
    /// Bytes of `events.db`.
    pub max_size: u64,
    /// What leaves the store goes into the archive; without one it is gone.
    pub archive: Option<archive::Limits>,
    /// Events that may wait to be written; what comes beyond is lost, and counted.
    pub queue: usize,
    /// How often age and size are looked at.
    pub round: Duration,
}

impl Limits {
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let archive = archive::Limits { keep: settings.archive_keep, max_size: settings.archive_max_size };
        Self {
            keep: settings.keep,
            max_size: settings.max_size,
            archive: (settings.archive == Switch::On).then_some(archive),
            // 1.6 seconds at 20,000 a second: a chunk takes a quarter of a second to be closed.
            queue: 32_768,
            round: Duration::from_secs(30),
        }
    }
}

/// How the store is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why events cannot be written at the moment.
    pub problem: Option<String>,
    /// Events that were taken since the start.
    pub accepted: u64,
    /// Events since the start that are on disk.
    pub written: u64,
    /// Events since the start that were lost: the disk was full or too slow.
    pub lost: u64,
    /// Events that wait to be written.
    pub queued: u64,
    /// Damaged files that were put aside and are still there.
    pub damaged_files: u64,
    /// Bytes of `events.db` that are in use.
    pub size: u64,
}

/// The one writer of a store. Dropping it writes what is queued.
pub struct Store {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Held as long as this lives.
    _lock: File,
}

/// What the threads and the callers have in common.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) limits: Limits,
    queue: Mutex<Queue>,
    /// Something was put into the queue for the writer to do.
    work: Condvar,
    /// Something was written, or failed.
    done: Condvar,
    pub(super) open: Arc<RwLock<Chunk>>,
    /// Held by whoever changes the archive.
    pub(super) archiving: Mutex<()>,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) events: VecDeque<Arc<Event>>,
    pub(super) health: Health,
    /// Losses that no event tells of yet.
    pub(super) untold: u64,
    /// Somebody waits for what is queued.
    pub(super) hurry: bool,
    /// Accepted, and lost all the same.
    pub(super) given_up: u64,
    /// All chunks that begin before this number are to be forgotten.
    pub(super) forget_before: Option<u64>,
    pub(super) erase: Option<Erasure>,
    /// A reader met damage: the file is to be looked through.
    pub(super) suspect: bool,
    /// It is damaged.
    pub(super) put_aside: bool,
    pub(super) stop: bool,
}

impl Shared {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the writer.
    pub(super) fn wake(&self) {
        self.work.notify_one();
    }

    /// Wakes whoever waits for the writer.
    pub(super) fn tell(&self) {
        self.done.notify_all();
    }

    pub(super) fn wait_for_work<'a>(&self, queue: MutexGuard<'a, Queue>, span: Duration) -> MutexGuard<'a, Queue> {
        self.work.wait_timeout(queue, span).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until `done` says so; false when `span` was not enough.
    pub(super) fn wait_until(&self, span: Duration, mut done: impl FnMut(&Queue) -> bool) -> bool {
        let end = Instant::now() + span;
        let mut queue = self.queue();
        while !done(&queue) {
            let Some(rest) = end.checked_duration_since(Instant::now()) else { return false };
            queue = self.done.wait_timeout(queue, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Store {
    /// Opens the store in `dir`, and begins one where there is none. A damaged file is put aside.
    ///
    /// A disk that cannot be written at the moment is no error: events are queued, then lost and counted, and writing begins when it
    /// can. An error is what waiting does not mend: another process writes here, or the file is a later version's.
    pub fn open(dir: &Path, limits: Limits) -> Result<Self, StoreError> {
        let lock = lock(dir)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            limits,
            queue: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            open: Arc::new(RwLock::new(Chunk::new(0))),
            archiving: Mutex::new(()),
        });
        shared.queue().health.damaged_files = file::damaged_files(dir);
        let mut writer = Writer::new(Arc::clone(&shared));
        writer.begin()?;
        let keeper = Keeper::new(Arc::clone(&shared));
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run).at(dir)
        };
        let threads = vec![
            spawn("store", Box::new(move || writer.run()))?,
            spawn("store-keeper", Box::new(move || keeper.run()))?,
        ];
        Ok(Self { shared, threads, _lock: lock })
    }

    /// Takes `events` to be written within a fifth of a second. Never waits for the disk; how many it could not take.
    pub fn submit(&self, events: impl IntoIterator<Item = Arc<Event>>) -> u64 {
        let mut lost = 0;
        let mut queue = self.shared.queue();
        for event in events {
            if queue.events.len() < self.shared.limits.queue {
                queue.events.push_back(event);
                queue.health.accepted += 1;
            } else {
                lost += 1;
            }
        }
        queue.health.lost += lost;
        queue.untold += lost;
        drop(queue);
        self.shared.wake();
        lost
    }

    /// Returns when everything that was submitted before is on disk; an error when it is not within `patience`.
    pub fn flush(&self, patience: Duration) -> Result<(), StoreError> {
        let target = {
            let mut queue = self.shared.queue();
            queue.hurry = true;
            queue.health.accepted
        };
        self.shared.wake();
        if self.shared.wait_until(patience, |queue| queue.health.written + queue.given_up >= target || queue.stop) {
            return Ok(());
        }
        let why = self.health().problem.unwrap_or_else(|| format!("the disk took longer than {patience:?}"));
        Err(StoreError::NotDurable(why))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    #[must_use]
    pub fn health(&self) -> Health {
        let queue = self.shared.queue();
        Health { queued: queue.events.len() as u64, ..queue.health.clone() }
    }

    /// Finds events of this store, the newest ones included.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::of_writer(&self.shared.dir, Arc::clone(&self.shared.open))
    }

    /// A reader met damage: the whole file is looked through, and put aside if it is damaged. Returns at once.
    pub fn suspect(&self) {
        self.shared.queue().suspect = true;
        self.shared.tell();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.queue().stop = true;
        self.shared.wake();
        self.shared.tell();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the event store panicked");
            }
        }
    }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    std::fs::create_dir_all(dir).at(dir)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).at(&path)?;
    // A process that was started a moment ago holds what its parent had, until it executes its program.
    let end = Instant::now() + Duration::from_secs(1);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(StoreError::Io { path, source }),
        }
    }
}
