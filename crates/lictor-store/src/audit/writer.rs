// SPDX-License-Identifier: Apache-2.0
//! The thread that writes. Entries wait in a bounded queue; a group of them is sealed, numbered, written and synced
//! together, and only then acknowledged. When the disk refuses, the same group is tried again from the last good byte until
//! it succeeds; meanwhile the queue fills up, and what finds no room is counted and told as an entry afterwards.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::checkpoint::{Checkpoint, Signer};
use super::entry::{Commitment, Entry, Hash, Kind, Record, hash_of, hex};
use super::files::{self, AuditError, Segment, at};
use super::recover::{End, recover};
use super::seal::{Begun, Subjects};
use super::subject::Person;

/// How the chain is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Size in bytes at which a new file is begun.
    pub segment_bytes: u64,
    /// Entries between two checkpoints at the most.
    pub checkpoint_entries: u64,
    /// Time between two checkpoints at the most, if there were entries.
    pub checkpoint_every: Duration,
    /// How long the first entry of a group waits for others.
    pub linger: Duration,
    /// What may wait to be written: entries, and bytes.
    pub queue_entries: usize,
    pub queue_bytes: usize,
    /// Between two attempts when the disk refuses.
    pub retry: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            checkpoint_entries: 1000,
            checkpoint_every: Duration::from_secs(60),
            linger: Duration::from_millis(20),
            queue_entries: 65_536,
            queue_bytes: 32 << 20,
            retry: Duration::from_secs(1),
        }
    }
}

/// Entries that are written and synced together.
const GROUP: usize = 8192;
const GROUP_BYTES: usize = 8 << 20;

/// How the chain is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The last entry that is on the disk.
    pub acknowledged: u64,
    /// Entries that wait.
    pub queued: u64,
    /// Entries that found no room in the queue since the start.
    pub lost: u64,
    /// Why nothing can be written at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// What was found at start not to be what had been signed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tampering: Vec<String>,
}

pub(crate) enum Item {
    Entry(Box<Entry>),
    Checkpoint(SyncSender<Result<Checkpoint, String>>),
    /// Destroy the key, and begin a new file, so that nobody writes to the ones with the subject's texts any more.
    Forget(Box<Person>, SyncSender<Result<Option<Begun>, String>>),
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    bytes: usize,
    /// Counts what was put into the queue, and what has left it for good.
    accepted: u64,
    settled: u64,
    flush: bool,
    stop: bool,
    health: Health,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    done: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The chain of this host, open for appending. One process at a time has it.
pub struct Audit {
    dir: PathBuf,
    limits: (usize, usize),
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    pub(crate) erasing: Mutex<()>,
    _lock: File,
}

impl Audit {
    /// Opens the chain in `dir`, which is made if there is none. What a crash left at its end is cut off; whatever was not
    /// as it should be is the first thing that it tells.
    pub fn open(dir: &Path, options: Options) -> Result<Self, AuditError> {
        files::make_dir(dir)?;
        let lock = files::lock_for_writing(dir)?;
        let (signer, made) = Signer::open(dir)?;
        let subjects = Subjects::open(dir)?;
        let End { segment, n, head, chain, checkpoint, findings } = recover(dir)?;
        let shared = Arc::new(Shared::default());
        let mut first = Vec::new();
        if n == 0 {
            let key = signer.public().hex();
            first.push(Entry::new(Kind::Chain).with("version", 1).with("key", key));
        }
        let other_key = checkpoint.is_some_and(|checkpoint| checkpoint.key != signer.public().hex());
        if n > 0 && (made || other_key) {
            first.push(Entry::new(Kind::Key).with("key", signer.public().hex()).with("made_now", made));
        }
        let tampering: Vec<String> = findings
            .iter()
            .filter(|entry| entry.kind == Kind::Tampering)
            .filter_map(|entry| entry.data.get("what")?.as_str().map(str::to_owned))
            .collect();
        first.extend(findings);
        {
            let mut state = shared.lock();
            state.health.acknowledged = n;
            state.health.tampering = tampering;
            state.accepted = first.len() as u64;
            state.queue.extend(first.into_iter().map(|entry| Item::Entry(Box::new(entry))));
        }
        let segment = match segment {
            Some(segment) => Open::go_on(segment).map_err(at("open", dir))?,
            None => Open::begin(dir, n + 1).map_err(at("make a file in", dir))?,
        };
        let limits = (options.queue_entries, options.queue_bytes);
        let writer = Writer {
            dir: dir.to_owned(),
            options,
            shared: Arc::clone(&shared),
            signer,
            subjects,
            segment,
            chain,
            n,
            head,
            unsigned: 0,
            signed_at: Instant::now(),
            rotate: false,
            lost_told: 0,
        };
        let thread = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run())
            .map_err(at("start a thread for", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            limits,
            shared,
            writer: Mutex::new(Some(thread)),
            erasing: Mutex::new(()),
            _lock: lock,
        })
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts an entry in line. Never waits; false: there was no room, and that is counted.
    pub fn append(&self, entry: Entry) -> bool {
        let size = entry.size();
        let mut state = self.shared.lock();
        if state.stop || state.queue.len() >= self.limits.0 || state.bytes + size > self.limits.1 {
            state.health.lost += 1;
            return false;
        }
        state.bytes += size;
        state.accepted += 1;
        state.queue.push_back(Item::Entry(Box::new(entry)));
        let news = state.queue.len() == 1 || state.queue.len() == GROUP;
        drop(state);
        if news {
            self.shared.wake.notify_one();
        }
        true
    }

    /// The last entry that is on the disk.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.lock().health.acknowledged
    }

    #[must_use]
    pub fn health(&self) -> Health {
        let state = self.shared.lock();
        Health { queued: state.accepted - state.settled, ..state.health.clone() }
    }

    /// Returns when everything that was appended before is on the disk; an error after `patience`.
    pub fn flush(&self, patience: Duration) -> Result<u64, AuditError> {
        let mut state = self.shared.lock();
        let target = state.accepted;
        state.flush = true;
        self.shared.wake.notify_one();
        let (state, _) = self
            .shared
            .done
            .wait_timeout_while(state, patience, |state| state.settled < target && !state.stop)
            .unwrap_or_else(PoisonError::into_inner);
        if state.settled >= target {
            return Ok(state.health.acknowledged);
        }
        let reason = state.health.failing.clone().unwrap_or_else(|| "it takes too long".into());
        Err(AuditError::NotWritten { reason })
    }

    /// Writes a checkpoint over everything that was appended before, and returns it.
    pub fn checkpoint(&self, patience: Duration) -> Result<Checkpoint, AuditError> {
        let (sender, receiver) = sync_channel(1);
        self.order(Item::Checkpoint(sender), &receiver, patience)
    }

    pub(crate) fn forget(&self, person: Person, patience: Duration) -> Result<Option<Begun>, AuditError> {
        let (sender, receiver) = sync_channel(1);
        self.order(Item::Forget(Box::new(person), sender), &receiver, patience)
    }

    fn order<T>(&self, item: Item, answer: &Receiver<Result<T, String>>, patience: Duration) -> Result<T, AuditError> {
        {
            let mut state = self.shared.lock();
            if state.stop {
                return Err(AuditError::NotWritten { reason: "it is closed".into() });
            }
            state.accepted += 1;
            state.flush = true;
            state.queue.push_back(item);
        }
        self.shared.wake.notify_one();
        match answer.recv_timeout(patience) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(reason)) => Err(AuditError::NotWritten { reason }),
            Err(_) => {
                let reason = self.shared.lock().health.failing.clone();
                Err(AuditError::NotWritten { reason: reason.unwrap_or_else(|| "it takes too long".into()) })
            }
        }
    }

    /// Writes what waits, and a last checkpoint. Waits for the disk no longer than one attempt takes.
    pub fn close(&self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes the audit chain panicked");
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.close();
    }
}

/// The files that are written to.
struct Open {
    segment: Segment,
    chain: File,
    sealed: File,
    /// Up to here everything is on the disk.
    chain_len: u64,
    sealed_len: u64,
    /// Something was written behind that and not synced: it is cut off before the next attempt.
    dirty: bool,
}

impl Open {
    fn go_on(segment: Segment) -> io::Result<Self> {
        let open = |path: &Path| OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let (chain, sealed) = (open(&segment.chain)?, open(&segment.sealed)?);
        let (chain_len, sealed_len) = (chain.metadata()?.len(), sealed.metadata()?.len());
        files::sync_dir(segment.chain.parent().unwrap_or(Path::new(".")))?;
        Ok(Self { segment, chain, sealed, chain_len, sealed_len, dirty: false })
    }

    fn begin(dir: &Path, first: u64) -> io::Result<Self> {
        Self::go_on(Segment::of(dir, first))
    }

    /// All of it is on the disk, or nothing counts. Sealed texts first: an entry is never there without its text.
    fn write(&mut self, group: &Group) -> io::Result<()> {
        if self.dirty {
            // After a failed sync the kernel may have dropped what was written: fresh descriptors, and all of it again.
            *self =
                Self { chain_len: self.chain_len, sealed_len: self.sealed_len, ..Self::go_on(self.segment.clone())? };
            self.dirty = true;
            self.chain.set_len(self.chain_len)?;
            self.sealed.set_len(self.sealed_len)?;
        }
        self.dirty = true;
        if !group.sealed.is_empty() {
            self.sealed.write_all(&group.sealed)?;
            self.sealed.sync_data()?;
        }
        self.chain.write_all(&group.chain)?;
        self.chain.sync_data()?;
        self.dirty = false;
        self.chain_len += group.chain.len() as u64;
        self.sealed_len += group.sealed.len() as u64;
        Ok(())
    }
}

/// Entries as they will stand in the files.
struct Group {
    chain: Vec<u8>,
    sealed: Vec<u8>,
    n: u64,
    head: Hash,
    chain_id: Option<Hash>,
    checkpoint: Option<Checkpoint>,
    /// Entries that were lost since the start, as far as the group tells of them.
    lost: u64,
}

struct Writer {
    dir: PathBuf,
    options: Options,
    shared: Arc<Shared>,
    signer: Signer,
    subjects: Subjects,
    segment: Open,
    chain: Option<Hash>,
    n: u64,
    head: Hash,
    /// Entries since the last checkpoint.
    unsigned: u64,
    signed_at: Instant,
    rotate: bool,
    lost_told: u64,
}

impl Writer {
    fn run(mut self) {
        loop {
            let (items, stop) = self.take();
            let settled = items.len() as u64;
            let mut entries = Vec::new();
            let mut sign = stop || self.signed_at.elapsed() >= self.options.checkpoint_every;
            let mut orders = Vec::new();
            for item in items {
                match item {
                    Item::Entry(entry) => entries.push(*entry),
                    Item::Checkpoint(answer) => {
                        sign = true;
                        orders.push(Item::Checkpoint(answer));
                    }
                    forget @ Item::Forget(..) => orders.push(forget),
                }
            }
            let written = self.write(&entries, sign);
            for order in orders {
                self.obey(order, &written);
            }
            let mut state = self.shared.lock();
            state.settled += settled;
            if written.is_err() {
                // Only at the end is anything given up.
                state.health.lost += entries.len() as u64;
            }
            let ended = stop && state.queue.is_empty();
            if state.queue.is_empty() {
                state.flush = false;
            }
            drop(state);
            self.shared.done.notify_all();
            if ended {
                return;
            }
        }
    }

    /// The next group: up to the first order, which is the last of its group. Empty when it is time for a checkpoint.
    fn take(&mut self) -> (Vec<Item>, bool) {
        let mut state = self.shared.lock();
        while state.queue.is_empty() && !state.stop {
            let due = self.options.checkpoint_every.saturating_sub(self.signed_at.elapsed());
            if self.unsigned == 0 {
                state = self.shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else if due.is_zero() {
                return (Vec::new(), false);
            } else {
                state = self.shared.wake.wait_timeout(state, due).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        let fill = state.queue.len() < GROUP && !state.flush && !state.stop;
        if fill {
            let waiting = |state: &mut State| state.queue.len() < GROUP && !state.flush && !state.stop;
            state = self
                .shared
                .wake
                .wait_timeout_while(state, self.options.linger, waiting)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let mut items = Vec::new();
        let mut bytes = 0;
        while items.len() < GROUP && bytes < GROUP_BYTES {
            let Some(item) = state.queue.pop_front() else { break };
            let order = match &item {
                Item::Entry(entry) => {
                    bytes += entry.size();
                    false
                }
                Item::Checkpoint(_) | Item::Forget(..) => true,
            };
            items.push(item);
            if order {
                break;
            }
        }
        state.bytes = state.bytes.saturating_sub(bytes);
        (items, state.stop)
    }

    /// Tries until it succeeds or the chain is closed; says so meanwhile.
    fn write(&mut self, entries: &[Entry], sign: bool) -> Result<Option<Checkpoint>, String> {
        // Each attempt writes the same bytes: whoever reads meanwhile sees less of them, or all, and never others.
        let mut group = None;
        loop {
            match self.attempt(&mut group, entries, sign) {
                Ok(checkpoint) => {
                    let mut state = self.shared.lock();
                    state.health.acknowledged = self.n;
                    if state.health.failing.take().is_some() {
                        tracing::info!("the audit chain is written again");
                    }
                    return Ok(checkpoint);
                }
                Err(error) => {
                    let reason = format!("{}: {error}", self.segment.segment.chain.display());
                    let mut state = self.shared.lock();
                    if state.health.failing.as_deref() != Some(&reason) {
                        tracing::error!("the audit chain cannot be written, and entries wait: {reason}");
                    }
                    state.health.failing = Some(reason.clone());
                    let (state, _) = self
                        .shared
                        .wake
                        .wait_timeout_while(state, self.options.retry, |state| !state.stop)
                        .unwrap_or_else(PoisonError::into_inner);
                    if state.stop {
                        drop(state);
                        // A disk that has room again just now is not to lose what it could have kept.
                        return self.attempt(&mut group, entries, sign).map_err(|_| reason);
                    }
                }
            }
        }
    }

    fn attempt(&mut self, group: &mut Option<Group>, entries: &[Entry], sign: bool) -> io::Result<Option<Checkpoint>> {
        if group.is_none() {
            *group = Some(self.prepare(entries, sign)?);
        }
        let Some(group) = group.as_ref().filter(|group| !group.chain.is_empty()) else { return Ok(None) };
        self.segment.write(group)?;
        let written = group.n - self.n;
        (self.n, self.head, self.chain, self.lost_told) = (group.n, group.head, group.chain_id, group.lost);
        self.unsigned += written;
        if let Some(checkpoint) = &group.checkpoint {
            self.unsigned = 0;
            self.signed_at = Instant::now();
            // An entry of the chain says the same already: this copy shows a cut.
            let path = self.dir.join(files::CHECKPOINT);
            if let Err(error) = write_checkpoint(&path, checkpoint) {
                tracing::error!("cannot write {}: {error}", path.display());
            }
        }
        Ok(group.checkpoint.clone())
    }

    fn prepare(&mut self, entries: &[Entry], sign: bool) -> io::Result<Group> {
        if self.segment.chain_len >= self.options.segment_bytes || (self.rotate && self.segment.chain_len > 0) {
            self.segment = Open::begin(&self.dir, self.n + 1)?;
        }
        self.rotate = false;
        let lost = self.shared.lock().health.lost;
        self.encode(entries, lost, sign)
    }

    fn encode(&mut self, entries: &[Entry], lost: u64, sign: bool) -> io::Result<Group> {
        let mut group = Group {
            chain: Vec::with_capacity(512 * entries.len()),
            sealed: Vec::new(),
            n: self.n,
            head: self.head,
            chain_id: self.chain,
            checkpoint: None,
            lost,
        };
        let lost = lost - self.lost_told;
        for entry in entries {
            self.encode_entry(entry, &mut group)?;
        }
        if lost > 0 {
            let entry =
                Entry::new(Kind::Lost).with("entries", lost).with("reason", "the queue of the audit chain was full");
            self.encode_entry(&entry, &mut group)?;
        }
        let unsigned = self.unsigned + (group.n - self.n);
        if let Some(chain) = group.chain_id
            && unsigned > 0
            && (sign || unsigned >= self.options.checkpoint_entries)
        {
            let checkpoint = self.signer.sign(&chain, group.n, &group.head);
            let mut entry = Entry::new(Kind::Checkpoint);
            if let serde_json::Value::Object(data) = serde_json::to_value(&checkpoint)? {
                entry.data = data;
            }
            self.encode_entry(&entry, &mut group)?;
            // The copy beside the chain speaks for this entry too, so that nothing can be cut off.
            group.checkpoint = Some(self.signer.sign(&chain, group.n, &group.head));
        }
        Ok(group)
    }

    fn encode_entry(&mut self, entry: &Entry, group: &mut Group) -> io::Result<()> {
        let n = group.n + 1;
        let (data, texts) = entry.parts()?;
        let mut sealed = Vec::with_capacity(texts.len());
        for ((subject, text), i) in texts.iter().zip(0u32..) {
            let key = self.subjects.key_of(subject)?;
            // The first entry has no texts: there is no chain yet to bind them to.
            let (line, commit) = key.seal(&group.chain_id.unwrap_or_default(), n, i, text)?;
            serde_json::to_writer(&mut group.sealed, &line)?;
            group.sealed.push(b'\n');
            sealed.push(Commitment { subject: key.id.clone(), commit: hex(&commit) });
        }
        let record = Record {
            n,
            prev: hex(&group.head),
            time: format!("{:.9}", entry.time),
            kind: entry.kind.as_str().to_owned(),
            data,
            sealed,
        };
        let begin = group.chain.len();
        serde_json::to_writer(&mut group.chain, &record)?;
        group.head = hash_of(&group.chain[begin..]);
        if group.chain_id.is_none() {
            group.chain_id = Some(group.head);
        }
        group.chain.push(b'\n');
        group.n = n;
        Ok(())
    }

    fn obey(&mut self, order: Item, written: &Result<Option<Checkpoint>, String>) {
        // Whoever asked may have lost patience: then nobody takes the answer.
        match (order, written) {
            (Item::Checkpoint(answer), Ok(Some(checkpoint))) => drop(answer.send(Ok(checkpoint.clone()))),
            (Item::Checkpoint(answer), Ok(None)) => {
                let newest = Checkpoint::read(&self.dir.join(files::CHECKPOINT));
                let newest = newest.map_err(|error| error.to_string());
                drop(answer.send(newest.and_then(|newest| newest.ok_or_else(|| "there is no entry yet".into()))));
            }
            (Item::Checkpoint(answer), Err(reason)) => drop(answer.send(Err(reason.clone()))),
            (Item::Forget(person, answer), Ok(_)) => {
                let begun = self.subjects.begin_erasure(&person).map_err(|error| error.to_string());
                self.rotate = true;
                drop(answer.send(begun));
            }
            (Item::Forget(_, answer), Err(reason)) => drop(answer.send(Err(reason.clone()))),
            (Item::Entry(_), _) => {}
        }
    }
}

fn write_checkpoint(path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(checkpoint)?;
    bytes.push(b'\n');
    files::write_atomic(path, &bytes, 0o644)
}
