// SPDX-License-Identifier: Apache-2.0
//! Where events go: the store (or, for one `lictor run`, a file of JSON Lines), the last ones in memory, and whoever follows.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use lictor_api::control::{EventFilter, StoreStatus};
use lictor_api::event::{Event, Kind, Lost};
use lictor_api::settings::Settings;
use lictor_sinks::Dispatcher;
use lictor_store::audit::{Audit, Entry, Person};
use lictor_store::events::history::store_dir;
use lictor_store::events::{Limits, Store};

/// Size at which `events.jsonl` becomes `events.1.jsonl`.
const ROTATE_BYTES: u64 = 64 << 20;
const RECENT: usize = 1_000;
/// Events that a follower may be behind before it loses some (and is told so).
const FOLLOWER_QUEUE: usize = 65_536;
/// How often followers are told of losses at the most.
const TELL: Duration = Duration::from_secs(1);

struct Follower {
    filter: EventFilter,
    queue: SyncSender<Arc<Event>>,
    missed: u64,
}

pub(crate) struct Recorder {
    sink: Sink,
    recent: VecDeque<Arc<Event>>,
    followers: Vec<Follower>,
    audit: Option<Arc<Audit>>,
    /// Alerts and sinks; it never waits for them.
    dispatcher: Option<Arc<Dispatcher>>,
}

enum Sink {
    File(Log),
    Store(Keeping),
    /// The store cannot be used, and why; what would have gone there is counted.
    Nothing {
        problem: String,
        lost: u64,
    },
}

struct Keeping {
    store: Arc<Store>,
    batch: Vec<Arc<Event>>,
    /// Losses that followers have not been told of.
    lost: u64,
    told: Instant,
}

impl Recorder {
    /// A private daemon keeps no store: it leaves one file, as `lictor events` reads it when no daemon answers.
    ///
    /// A store that cannot be used does not stop the daemon: enforcement does not depend on the record.
    pub(crate) fn open(
        settings: &Settings,
        private: bool,
        audit: Option<Arc<Audit>>,
        dispatcher: Option<Arc<Dispatcher>>,
    ) -> Result<Recorder> {
        let state = &settings.state;
        std::fs::create_dir_all(state).with_context(|| format!("cannot make {}", state.display()))?;
        let sink = if private {
            Sink::File(Log::open(state)?)
        } else {
            match Store::open(&store_dir(state), Limits::new(&settings.store)) {
                Ok(store) => {
                    Sink::Store(Keeping { store: Arc::new(store), batch: Vec::new(), lost: 0, told: Instant::now() })
                }
                Err(error) => {
                    tracing::error!("events are not kept: {error}");
                    Sink::Nothing { problem: error.to_string(), lost: 0 }
                }
            }
        };
        Ok(Recorder { sink, recent: VecDeque::new(), followers: Vec::new(), audit, dispatcher })
    }

    pub(crate) fn write(&mut self, event: Event) {
        let event = Arc::new(event);
        if let Some(audit) = &self.audit
            && let Some(entry) = Entry::of_event(&event)
        {
            audit.append(entry);
        }
        if let Some(dispatcher) = &self.dispatcher {
            dispatcher.offer(&event);
        }
        match &mut self.sink {
            Sink::File(log) => log.write(&event),
            Sink::Store(keeping) => keeping.batch.push(Arc::clone(&event)),
            Sink::Nothing { lost, .. } => *lost += 1,
        }
        self.show(event);
    }

    /// To those who look at what happens now.
    fn show(&mut self, event: Arc<Event>) {
        self.followers.retain_mut(|follower| !follower.filter.matches(&event) || follower.deliver(Arc::clone(&event)));
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(event);
    }

    /// To be called after each batch: what was written goes to the file, or to the store's queue, which never waits.
    pub(crate) fn flush(&mut self) {
        match &mut self.sink {
            Sink::File(log) => log.flush(),
            Sink::Store(keeping) => {
                if let Some(count) = keeping.submit() {
                    let mut lost = Event::new(Kind::Lost, String::new(), format!("{:.9}", Timestamp::now()));
                    lost.lost = Some(Lost { count, reason: "the event store's queue was full".into() });
                    self.show(Arc::new(lost));
                }
            }
            Sink::Nothing { .. } => {}
        }
    }

    /// Forgets what tells of `person` in memory; what waits for the store is handed over.
    pub(crate) fn forget(&mut self, person: &Person) {
        self.recent.retain(|event| !person.is_told_of_by(event));
        self.flush();
    }

    /// The store, for whoever reads there, or waits for the disk: not with the recorder locked.
    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        match &self.sink {
            Sink::Store(keeping) => Some(Arc::clone(&keeping.store)),
            Sink::File(_) | Sink::Nothing { .. } => None,
        }
    }

    pub(crate) fn store_status(&self) -> Option<StoreStatus> {
        let state = |reasons: &[String]| if reasons.is_empty() { "working" } else { "degraded" }.to_owned();
        match &self.sink {
            Sink::File(_) => None,
            Sink::Nothing { problem, lost } => {
                let reasons = vec![problem.clone()];
                Some(StoreStatus { state: state(&reasons), reasons, lost: *lost, ..StoreStatus::default() })
            }
            Sink::Store(keeping) => {
                let health = keeping.store.health();
                let reasons: Vec<String> = health.problem.into_iter().collect();
                Some(StoreStatus {
                    state: state(&reasons),
                    reasons,
                    written: health.written,
                    queued: health.queued,
                    lost: health.lost,
                    damaged_files: health.damaged_files,
                    size: health.size,
                })
            }
        }
    }

    /// What is there already, and a queue of what comes: nothing between the two is missed.
    pub(crate) fn follow(&mut self, filter: EventFilter) -> (Vec<Arc<Event>>, Receiver<Arc<Event>>) {
        let mut past: Vec<_> = self.recent.iter().filter(|event| filter.matches(event)).cloned().collect();
        if let Some(limit) = filter.limit {
            past.drain(..past.len().saturating_sub(limit));
        }
        let (queue, receiver) = sync_channel(FOLLOWER_QUEUE);
        self.followers.push(Follower { filter, queue, missed: 0 });
        (past, receiver)
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Event>> {
        self.recent.iter().rev().find(|event| event.id == id).cloned()
    }
}

impl Keeping {
    /// Hands the batch over; the losses to tell of, if it is time to.
    fn submit(&mut self) -> Option<u64> {
        if !self.batch.is_empty() {
            self.lost += self.store.submit(self.batch.drain(..));
        }
        if self.lost == 0 || self.told.elapsed() < TELL {
            return None;
        }
        self.told = Instant::now();
        Some(std::mem::take(&mut self.lost))
    }
}

/// `events.jsonl`, rotated once.
struct Log {
    path: PathBuf,
    out: BufWriter<File>,
    size: u64,
}

impl Log {
    fn open(state: &Path) -> Result<Log> {
        let path = state.join("events.jsonl");
        let out = open_log(&path)?;
        let size = out.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
        Ok(Log { path, out: BufWriter::new(out), size })
    }

    fn write(&mut self, event: &Event) {
        match serde_json::to_string(event) {
            Ok(mut line) => {
                line.push('\n');
                self.size += line.len() as u64;
                if let Err(error) = self.out.write_all(line.as_bytes()) {
                    tracing::error!("cannot write {}: {error}", self.path.display());
                }
            }
            Err(error) => tracing::error!("an event cannot be written as JSON: {error}"),
        }
    }

    fn flush(&mut self) {
        if let Err(error) = self.out.flush() {
            tracing::error!("cannot write {}: {error}", self.path.display());
        }
        if self.size > ROTATE_BYTES {
            let old = self.path.with_file_name("events.1.jsonl");
            let renewed =
                std::fs::rename(&self.path, &old).map_err(anyhow::Error::from).and_then(|()| open_log(&self.path));
            match renewed {
                Ok(file) => (self.out, self.size) = (BufWriter::new(file), 0),
                Err(error) => tracing::error!("cannot rotate {}: {error:#}", self.path.display()),
            }
        }
    }
}

impl Follower {
    /// False when nobody listens any more.
    fn deliver(&mut self, event: Arc<Event>) -> bool {
        if self.missed > 0 {
            let mut lost = Event::new(Kind::Lost, String::new(), event.time.clone());
            lost.lost = Some(Lost { count: self.missed, reason: "this follower was too slow".into() });
            if self.queue.try_send(Arc::new(lost)).is_ok() {
                self.missed = 0;
            }
        }
        match self.queue.try_send(event) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed += 1;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str) -> Event {
        Event::new(Kind::File, id.into(), "2026-01-02T03:04:05Z".into())
    }

    fn settings(state: &Path) -> Settings {
        Settings { state: state.to_owned(), ..Settings::default() }
    }

    #[test]
    fn a_follower_gets_what_was_there_and_what_comes() {
        let dir = tempfile::tempdir().unwrap();
        for private in [true, false] {
            let mut recorder = Recorder::open(&settings(dir.path()), private, None, None).unwrap();
            recorder.write(event("1"));
            let (past, queue) = recorder.follow(EventFilter::default());
            recorder.write(event("2"));
            recorder.flush();
            assert_eq!(past.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["1"]);
            assert_eq!(queue.try_recv().unwrap().id, "2");
            assert_eq!(recorder.find("1").unwrap().id, "1");
            match recorder.store() {
                None => {
                    assert!(private && recorder.store_status().is_none());
                    let text = std::fs::read_to_string(dir.path().join("events.jsonl")).unwrap();
                    assert_eq!(text.lines().count(), 2);
                }
                Some(store) => {
                    store.flush(Duration::from_secs(30)).unwrap();
                    assert_eq!(store.reader().unwrap().find("2").unwrap().unwrap().id, "2");
                    let status = recorder.store_status().unwrap();
                    assert_eq!((status.state.as_str(), status.written, status.lost), ("working", 2, 0));
                }
            }
        }
    }

    #[test]
    fn a_store_that_cannot_be_used_is_told_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let _other = Recorder::open(&settings(dir.path()), false, None, None).unwrap();
        let mut recorder = Recorder::open(&settings(dir.path()), false, None, None).unwrap();
        recorder.write(event("1"));
        recorder.flush();
        let status = recorder.store_status().unwrap();
        assert_eq!((status.state.as_str(), status.lost), ("degraded", 1));
        assert!(status.reasons[0].contains("another lictord"), "{:?}", status.reasons);
        assert_eq!(recorder.find("1").unwrap().id, "1", "what is in memory is still shown");
    }

    #[test]
    fn what_is_recorded_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("told.jsonl");
        let text = format!("sinks: {{a: {{type: file, path: {}}}}}", out.display());
        let sinks = Settings::parse("l.yaml", text.as_bytes()).unwrap().sinks;
        let host = lictor_sinks::format::Host { name: "box".into(), version: "1".into() };
        let dispatcher = Arc::new(Dispatcher::start(&sinks, dir.path(), host).unwrap());
        let mut recorder = Recorder::open(&settings(dir.path()), true, None, Some(Arc::clone(&dispatcher))).unwrap();
        recorder.write(event("first"));
        dispatcher.close(Duration::from_secs(10));
        let told = std::fs::read_to_string(out).unwrap();
        assert!(told.contains("first"), "{told}");
    }

    #[test]
    fn a_follower_that_is_too_slow_is_told_how_much_it_missed() {
        let (queue, receiver) = sync_channel(1);
        let mut follower = Follower { filter: EventFilter::default(), queue, missed: 0 };
        for id in ["1", "2", "3"] {
            assert!(follower.deliver(Arc::new(event(id))));
        }
        assert_eq!(receiver.try_recv().unwrap().id, "1");
        assert!(follower.deliver(Arc::new(event("4"))));
        assert_eq!(receiver.try_recv().unwrap().lost.as_ref().unwrap().count, 2);
        drop(receiver);
        assert!(!follower.deliver(Arc::new(event("5"))));
    }
}
