// SPDX-License-Identifier: Apache-2.0
//! The one thread between who records events and who is told: alerts first, then the sinks.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lictor_api::alert::{Alert, AlertChange, AlertFilter, AlertSource, NewSilence, Silence, SinkStatus};
use lictor_api::event::{Event, Severity};
use lictor_api::settings::sinks::Sinks as Settings;
use lictor_judge::rules::Filter;
use thiserror::Error;

use crate::alerts::file::{self, FileError};
use crate::alerts::{Alerts, Change, Refused};
use crate::forget::{self, Whose};
use crate::format::Host;
use crate::metrics::Metrics;
use crate::sinks::{Record, Sink};

/// Events that may wait for the thread. More are counted, and told as lost.
const QUEUE: usize = 65_536;
/// How often changed alerts are written.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// How often the thread looks around when nothing comes.
const LOOK: Duration = Duration::from_millis(500);

/// What no event tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub source: AlertSource,
    pub severity: Severity,
    /// What makes it the same the next time.
    pub name: String,
    /// One line for people.
    pub title: String,
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error("the filter of the sink `{sink}`: {why}")]
    Filter { sink: String, why: String },
    #[error(transparent)]
    Alerts(#[from] FileError),
    #[error("the folder of the sink `{sink}` cannot be used: {source}")]
    Sink { sink: String, source: std::io::Error },
    #[error("there is no room for a thread: {0}")]
    Thread(std::io::Error),
}

/// Alerts and sinks at work.
pub struct Dispatcher {
    shared: Arc<Shared>,
    sender: Mutex<Option<SyncSender<Message>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: PathBuf,
    alerts: Mutex<Alerts>,
    sinks: Mutex<Vec<Sink>>,
    metrics: Arc<Metrics>,
    missed: AtomicU64,
    /// One at a time writes the file of alerts.
    saving: Mutex<()>,
}

enum Message {
    Event(Arc<Event>),
    // Boxed: there is room for all of them from the start.
    Condition(Box<Condition>),
    Change(Box<Change>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The filter of each sink.
fn filters(settings: &Settings) -> Result<Vec<Option<Filter>>, StartError> {
    let filter = |(name, sink): (&String, &lictor_api::settings::sinks::Sink)| {
        let filter = sink.filter.as_deref().map(Filter::new).transpose();
        filter.map_err(|error| StartError::Filter { sink: name.clone(), why: error.to_string() })
    };
    settings.0.iter().map(filter).collect()
}

impl Dispatcher {
    /// Whether the settings can be meant; starts nothing.
    ///
    /// # Errors
    /// A filter that is none.
    pub fn check(settings: &Settings) -> Result<(), StartError> {
        filters(settings).map(drop)
    }

    /// Reads the alerts below `state` and starts the threads.
    ///
    /// # Errors
    /// A filter is none, or the state directory cannot be used.
    pub fn start(settings: &Settings, state: &Path, host: Host) -> Result<Dispatcher, StartError> {
        let filters = filters(settings)?;
        let loaded = file::load(state, Timestamp::now())?;
        let (host, metrics) = (Arc::new(host), Arc::new(Metrics::default()));
        let mut sinks = Vec::new();
        for ((name, sink), filter) in settings.0.iter().zip(filters) {
            let dir = state.join("sinks").join(name);
            let started = Sink::start(name, sink.clone(), filter, &dir, Arc::clone(&host), Arc::clone(&metrics));
            sinks.push(started.map_err(|source| StartError::Sink { sink: name.clone(), source })?);
        }
        let shared = Arc::new(Shared {
            state: state.to_owned(),
            alerts: Mutex::new(loaded.alerts),
            sinks: Mutex::new(sinks),
            metrics,
            missed: AtomicU64::new(0),
            saving: Mutex::default(),
        });
        let (sender, receiver) = sync_channel(QUEUE);
        let working = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("dispatcher".into()).spawn(move || working.run(&receiver));
        let thread = thread.map_err(StartError::Thread)?;
        let dispatcher = Dispatcher { shared, sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) };
        if let Some((why, aside)) = loaded.damaged {
            let title = format!("the file of alerts was damaged ({why}); it is kept as {}", aside.display());
            tracing::error!("{title}");
            dispatcher.report(Condition {
                source: AlertSource::Degraded,
                severity: Severity::High,
                name: "alerts-damaged".into(),
                title,
            });
        }
        Ok(dispatcher)
    }

    /// Takes an event. Never waits: what finds no room is counted and told.
    pub fn offer(&self, event: &Arc<Event>) {
        self.send(Message::Event(Arc::clone(event)));
    }

    /// Takes something that no event tells of.
    pub fn report(&self, condition: Condition) {
        self.send(Message::Condition(Box::new(condition)));
    }

    fn send(&self, message: Message) {
        if let Some(sender) = lock(&self.sender).as_ref()
            && let Err(TrySendError::Full(_)) = sender.try_send(message)
        {
            self.shared.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[must_use]
    pub fn alerts(&self, filter: &AlertFilter) -> Vec<Alert> {
        lock(&self.shared.alerts).list(filter)
    }

    #[must_use]
    pub fn alert(&self, id: &str) -> Option<Alert> {
        lock(&self.shared.alerts).get(id).cloned()
    }

    /// Changes an alert on behalf of `by`, keeps it, and tells the sinks.
    ///
    /// # Errors
    /// [`Refused`], or it cannot be kept.
    pub fn change(&self, id: &str, change: &AlertChange, by: &str) -> Result<Alert, ChangeError> {
        let change = lock(&self.shared.alerts).change(id, change, by)?;
        let alert = change.alert().clone();
        self.shared.save()?;
        self.send(Message::Change(Box::new(change)));
        Ok(alert)
    }

    #[must_use]
    pub fn silences(&self) -> Vec<Silence> {
        lock(&self.shared.alerts).silences(Timestamp::now())
    }

    /// Adds a silence on behalf of `by`, and keeps it.
    ///
    /// # Errors
    /// [`Refused`], or it cannot be kept.
    pub fn silence(&self, new: NewSilence, by: &str) -> Result<Silence, ChangeError> {
        let silence = lock(&self.shared.alerts).silence(new, by, Timestamp::now())?;
        self.shared.save()?;
        Ok(silence)
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// [`Refused`], or that it ended cannot be kept.
    pub fn unsilence(&self, id: &str) -> Result<(), ChangeError> {
        lock(&self.shared.alerts).unsilence(id)?;
        Ok(self.shared.save()?)
    }

    /// Erases alerts, and records that wait on disk; gives how many went.
    ///
    /// # Errors
    /// A file cannot be read or written; what was erased by then is gone.
    pub fn forget(&self, whose: &Whose<'_>) -> Result<u64, FileError> {
        let gone = lock(&self.shared.alerts).forget(|alert| whose.alert(alert));
        self.shared.save()?;
        Ok(gone + forget::waiting(&self.shared.state, whose)?)
    }

    /// How each sink does.
    #[must_use]
    pub fn sinks(&self) -> Vec<SinkStatus> {
        lock(&self.shared.sinks).iter().map(Sink::status).collect()
    }

    /// Alerts that are not closed, by severity from `info` to `critical`.
    #[must_use]
    pub fn open_by_severity(&self) -> [u64; Severity::ALL.len()] {
        lock(&self.shared.alerts).open_by_severity()
    }

    /// Ends: what is on its way gets to the sinks, which have `grace` to send it and keep the rest on disk.
    pub fn close(&self, grace: Duration) {
        // The thread ends when nobody can send any more.
        drop(lock(&self.sender).take());
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of alerts and sinks panicked");
        }
        let mut sinks = lock(&self.shared.sinks);
        // Side by side, so that one that hangs does not take the time of the others.
        std::thread::scope(|scope| {
            for sink in sinks.iter_mut() {
                scope.spawn(move || sink.close(grace));
            }
        });
        if let Err(error) = self.shared.save() {
            tracing::error!("{error}");
        }
    }
}

/// Why a change did not take place, or will not last.
#[derive(Debug, Error)]
pub enum ChangeError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("it is changed, but will not outlast a restart: {0}")]
    File(#[from] FileError),
}

impl Shared {
    fn run(&self, receiver: &Receiver<Message>) {
        let (mut saved, mut last) = (lock(&self.alerts).version(), Instant::now());
        let mut failed = false;
        // Many alerts take longer to write: a twentieth of the time at the most.
        let mut every = SAVE_EVERY;
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let missed = self.missed.swap(0, Ordering::Relaxed);
            if missed > 0 {
                let reason = "alerts and sinks could not keep up".to_owned();
                if let Record::Event(event) = Record::lost(missed, reason, Timestamp::now().as_millisecond()) {
                    self.take(Message::Event(event));
                }
            }
            if last.elapsed() < every {
                continue;
            }
            last = Instant::now();
            let sinks = lock(&self.sinks).iter().map(Sink::status).collect();
            self.metrics.set(lock(&self.alerts).open_by_severity(), sinks);
            let version = lock(&self.alerts).version();
            if version != saved {
                match self.save() {
                    Ok(()) => (saved, failed) = (version, false),
                    // Once, not every two seconds of a full disk.
                    Err(error) if !failed => {
                        failed = true;
                        tracing::error!("alerts will not outlast a restart: {error}");
                    }
                    Err(_) => {}
                }
                every = SAVE_EVERY.max(last.elapsed() * 20);
            }
        }
    }

    fn take(&self, message: Message) {
        let now = Timestamp::now();
        let change = match message {
            Message::Event(event) => {
                self.metrics.count(&event);
                self.tell(&Record::Event(Arc::clone(&event)));
                lock(&self.alerts).observe(&event, now)
            }
            Message::Condition(condition) => {
                let Condition { source, severity, name, title } = *condition;
                lock(&self.alerts).report(source, severity, &name, &title, now)
            }
            Message::Change(change) => Some(*change),
        };
        if let Some(Change::New(alert) | Change::Update(alert)) = change {
            self.tell(&Record::Alert(Arc::new(alert)));
        }
    }

    fn tell(&self, record: &Record) {
        for sink in lock(&self.sinks).iter() {
            sink.offer(record);
        }
    }

    fn save(&self) -> Result<(), FileError> {
        let _one = lock(&self.saving);
        let text = file::text(&lock(&self.alerts));
        let text =
            text.map_err(|error| FileError::Write { path: self.state.join(file::NAME), source: error.into() })?;
        file::write(&self.state, &text)
    }
}
