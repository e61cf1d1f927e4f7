// SPDX-License-Identifier: Apache-2.0
//! Where events go: the log on disk (JSON Lines, rotated once), the last ones in memory, and whoever follows.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use anyhow::{Context as _, Result};
use lictor_api::control::EventFilter;
use lictor_api::event::{Event, Kind, Lost};
use lictor_api::log::{CURRENT, PREVIOUS};
use lictor_sinks::Dispatcher;
use lictor_store::audit::{Audit, Entry, Person};

/// Size at which `events.jsonl` becomes `events.1.jsonl`.
const ROTATE_BYTES: u64 = 64 << 20;
/// Where the current file is while an erasure writes older ones anew.
const ASIDE: &str = "events.aside.jsonl";
const RECENT: usize = 1_000;
/// Events that a follower may be behind before it loses some (and is told so).
const FOLLOWER_QUEUE: usize = 65_536;

struct Follower {
    filter: EventFilter,
    queue: SyncSender<Arc<Event>>,
    missed: u64,
}

pub(crate) struct Recorder {
    path: PathBuf,
    out: BufWriter<File>,
    size: u64,
    recent: VecDeque<Arc<Event>>,
    followers: Vec<Follower>,
    audit: Option<Arc<Audit>>,
    /// The full file waits: older ones are being written anew.
    erasing: bool,
    /// Alerts and sinks; it never waits for them.
    dispatcher: Option<Arc<Dispatcher>>,
}

impl Recorder {
    pub(crate) fn open(
        state: &Path,
        audit: Option<Arc<Audit>>,
        dispatcher: Option<Arc<Dispatcher>>,
    ) -> Result<Recorder> {
        std::fs::create_dir_all(state).with_context(|| format!("cannot make {}", state.display()))?;
        let path = state.join("events.jsonl");
        let out = open_log(&path)?;
        let size = out.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
        Ok(Recorder {
            path,
            out: BufWriter::new(out),
            size,
            recent: VecDeque::new(),
            followers: Vec::new(),
            audit,
            erasing: false,
            dispatcher,
        })
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
        match serde_json::to_string(&*event) {
            Ok(mut line) => {
                line.push('\n');
                self.size += line.len() as u64;
                if let Err(error) = self.out.write_all(line.as_bytes()) {
                    tracing::error!("cannot write {}: {error}", self.path.display());
                }
            }
            Err(error) => tracing::error!("an event cannot be written as JSON: {error}"),
        }
        self.followers.retain_mut(|follower| !follower.filter.matches(&event) || follower.deliver(Arc::clone(&event)));
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(event);
    }

    /// To be called after each batch: what was written reaches the file, and a full file is put aside.
    pub(crate) fn flush(&mut self) {
        if let Err(error) = self.out.flush() {
            tracing::error!("cannot write {}: {error}", self.path.display());
        }
        if self.size > ROTATE_BYTES && !self.erasing {
            let old = self.path.with_file_name("events.1.jsonl");
            let renewed =
                std::fs::rename(&self.path, &old).map_err(anyhow::Error::from).and_then(|()| open_log(&self.path));
            match renewed {
                Ok(file) => (self.out, self.size) = (BufWriter::new(file), 0),
                Err(error) => tracing::error!("cannot rotate {}: {error:#}", self.path.display()),
            }
        }
    }

    /// The files of recorded events, oldest first; the middle one is there only while an erasure goes on.
    pub(crate) fn files(state: &Path) -> [PathBuf; 3] {
        [PREVIOUS, ASIDE, CURRENT].map(|name| state.join(name))
    }

    /// Forgets what tells of `person` in memory, and goes on in a new file. Returns the files to be written anew, which
    /// nobody writes to until [`Recorder::end_erasure`].
    pub(crate) fn begin_erasure(&mut self, person: &Person) -> Result<[PathBuf; 2]> {
        self.recent.retain(|event| !person.is_told_of_by(event));
        self.flush();
        let [previous, aside, _] = Self::files(self.state());
        // One that an interrupted erasure left goes first.
        join(&previous, &aside)?;
        std::fs::rename(&self.path, &aside).with_context(|| format!("cannot rename {}", self.path.display()))?;
        (self.out, self.size) = (BufWriter::new(open_log(&self.path)?), 0);
        self.erasing = true;
        Ok([previous, aside])
    }

    /// Brings what was put aside into the older file.
    pub(crate) fn end_erasure(&mut self) -> Result<()> {
        self.erasing = false;
        let [previous, aside, _] = Self::files(self.state());
        join(&previous, &aside)
    }

    fn state(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
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

/// Appends `aside`, if it is there, to `file`, and removes it.
fn join(file: &Path, aside: &Path) -> Result<()> {
    let mut from = match File::open(aside) {
        Ok(from) => from,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", aside.display())),
    };
    let mut to = open_log(file)?;
    std::io::copy(&mut from, &mut to).with_context(|| format!("cannot write {}", file.display()))?;
    to.sync_all().with_context(|| format!("cannot write {}", file.display()))?;
    std::fs::remove_file(aside).with_context(|| format!("cannot remove {}", aside.display()))
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

    #[test]
    fn a_follower_gets_what_was_there_and_what_comes() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::open(dir.path(), None, None).unwrap();
        recorder.write(event("1"));
        let (past, queue) = recorder.follow(EventFilter::default());
        recorder.write(event("2"));
        recorder.flush();
        assert_eq!(past.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["1"]);
        assert_eq!(queue.try_recv().unwrap().id, "2");
        assert_eq!(recorder.find("1").unwrap().id, "1");
        let text = std::fs::read_to_string(dir.path().join("events.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn an_erasure_leaves_everything_but_the_person_and_loses_nothing_meanwhile() {
        use lictor_store::audit::{Copies as _, EventFiles, Subject};
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::open(dir.path(), None, None).unwrap();
        let of = |id: &str, uid: u32| {
            let mut event = event(id);
            event.process.uid = Some(uid);
            event
        };
        recorder.write(of("1", 4001));
        recorder.write(of("2", 4002));
        let person = Person { subject: Subject::Uid(4001), names: vec![], homes: vec![], by_name: false };
        let files = recorder.begin_erasure(&person).unwrap();
        recorder.write(of("3", 4002));
        assert_eq!(EventFiles::new(files.to_vec()).erase(&person), Ok(1));
        recorder.end_erasure().unwrap();
        recorder.flush();
        assert!(recorder.find("1").is_none() && recorder.find("2").is_some());
        let (left, _) = lictor_api::EventLog::of_state(dir.path()).select(&EventFilter::default());
        assert_eq!(left.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["2", "3"]);
        assert!(!dir.path().join(ASIDE).exists());
    }

    #[test]
    fn what_is_recorded_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("told.jsonl");
        let text = format!("sinks: {{a: {{type: file, path: {}}}}}", out.display());
        let settings = lictor_api::settings::Settings::parse("l.yaml", text.as_bytes()).unwrap();
        let host = lictor_sinks::format::Host { name: "box".into(), version: "1".into() };
        let dispatcher = Arc::new(Dispatcher::start(&settings.sinks, dir.path(), host).unwrap());
        let mut recorder = Recorder::open(dir.path(), None, Some(Arc::clone(&dispatcher))).unwrap();
        recorder.write(event("first"));
        dispatcher.close(std::time::Duration::from_secs(10));
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
