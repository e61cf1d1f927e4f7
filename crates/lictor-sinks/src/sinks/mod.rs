// SPDX-License-Identifier: Apache-2.0
//! Sinks: where records are sent. Each has its own filter, queue, threads, counters and fate.
//!
//! `queue` (what waits), `spill` (on disk), this file (deliver, retry, give up), `transport` and its four kinds.

mod file;
mod http;
mod otlp;
mod queue;
mod record;
mod spill;
mod syslog;
mod transport;
mod webhook;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lictor_api::alert::{SinkState, SinkStatus};
use lictor_api::event::Event;
use lictor_api::settings::sinks::{Sink as Settings, Stream};
use lictor_judge::rules::Filter;

pub use self::otlp::proto;
pub use self::record::Record;
pub(crate) use self::record::{ERASED, Queued};
pub use self::transport::SetupError;

use self::queue::{Next, Queue};
use self::transport::{Failure, Remedy, Transport, make};
use crate::format::Host;
use crate::metrics::Metrics;

/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// How often the thread of an idle sink looks around.
const IDLE: Duration = Duration::from_secs(5);

/// One sink at work.
pub struct Sink {
    shared: Arc<Shared>,
    delivery: Option<JoinHandle<()>>,
    spilling: Option<JoinHandle<()>>,
}

struct Shared {
    name: String,
    settings: Settings,
    filter: Option<Filter>,
    queue: Queue,
    sent: AtomicU64,
    rejected: AtomicU64,
    filter_faults: AtomicU64,
    health: Mutex<Health>,
    host: Arc<Host>,
    metrics: Arc<Metrics>,
}

struct Health {
    state: SinkState,
    last_error: Option<String>,
    last_sent: Option<Timestamp>,
}

impl Sink {
    /// Starts the threads. `dir` is the sink's own folder for what has to wait on disk.
    ///
    /// # Errors
    /// The folder cannot be used, or there is no room for threads.
    pub fn start(
        name: &str,
        settings: Settings,
        filter: Option<Filter>,
        dir: &Path,
        host: Arc<Host>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Sink> {
        let queue = Queue::open(name, settings.queue, dir, settings.spill)?;
        let spills = settings.spill > 0;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            settings,
            filter,
            queue,
            sent: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            filter_faults: AtomicU64::new(0),
            health: Mutex::new(Health { state: SinkState::Working, last_error: None, last_sent: None }),
            host,
            metrics,
        });
        let delivering = Arc::clone(&shared);
        let delivery = thread::Builder::new().name(format!("sink-{name:.10}")).spawn(move || delivering.deliver())?;
        let mut spilling = None;
        if spills {
            let shared = Arc::clone(&shared);
            let work = move || shared.queue.keep_spilling(|why| shared.failed(SinkState::Retrying, &why));
            spilling = Some(thread::Builder::new().name(format!("spill-{name:.9}")).spawn(work)?);
        }
        Ok(Sink { shared, delivery: Some(delivery), spilling })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Takes a record, if the sink wants it. Never waits.
    pub fn offer(&self, record: &Record) {
        if self.shared.wants(record) {
            self.shared.queue.offer(record.clone());
        }
    }

    #[must_use]
    pub fn status(&self) -> SinkStatus {
        self.shared.status()
    }

    /// Delivers what it can within `grace`, keeps the rest on disk, and ends.
    pub fn close(&mut self, grace: Duration) {
        let until = Instant::now() + grace;
        self.shared.queue.close();
        if let Some(spilling) = self.spilling.take() {
            // It holds nothing that a panic there could have broken.
            let _ = spilling.join();
        }
        if let Some(delivery) = self.delivery.take() {
            while !delivery.is_finished() && Instant::now() < until {
                thread::sleep(Duration::from_millis(5));
            }
            if delivery.is_finished() {
                let _ = delivery.join();
            }
            // A delivery that hangs is left alone; what it holds is kept as not delivered.
        }
        if let Err(error) = self.shared.queue.shut() {
            tracing::error!("the sink `{}` cannot keep what it did not send: {error}", self.shared.name);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if self.delivery.is_some() {
            self.close(Duration::ZERO);
        }
    }
}

impl Shared {
    fn wants(&self, record: &Record) -> bool {
        let (stream, event) = match record {
            Record::Event(event) => (Stream::Events, Some(&**event)),
            Record::Alert(alert) => (Stream::Alerts, alert.example_event.as_deref()),
        };
        self.settings.send.contains(&stream) && event.is_none_or(|event| self.passes(event))
    }

    fn passes(&self, event: &Event) -> bool {
        // What was lost may have been something that the filter wants.
        let Some(filter) = self.filter.as_ref().filter(|_| event.lost.is_none()) else { return true };
        filter.matches(event).unwrap_or_else(|_| {
            self.filter_faults.fetch_add(1, Ordering::Relaxed);
            true
        })
    }

    fn status(&self) -> SinkStatus {
        let (queue_depth, spill_bytes, lag) = self.queue.depth();
        let damaged = self.queue.damaged();
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        SinkStatus {
            name: self.name.clone(),
            kind: self.settings.to.kind().to_string(),
            state: health.state,
            sent: self.sent.load(Ordering::Relaxed),
            dropped: self.queue.dropped.load(Ordering::Relaxed) + damaged,
            rejected: self.rejected.load(Ordering::Relaxed),
            spilled: self.queue.spilled.load(Ordering::Relaxed),
            queue_depth,
            spill_bytes,
            lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
            filter_faults: self.filter_faults.load(Ordering::Relaxed),
            last_error: health.last_error.clone(),
            last_sent: health.last_sent.map(|time| time.to_string()),
        }
    }

    fn failed(&self, state: SinkState, why: &str) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        // Once for each new reason, not once for each attempt.
        if health.last_error.as_deref() != Some(why) || health.state == SinkState::Working {
            tracing::warn!("the sink `{}` fails, and is tried again: {why}", self.name);
        }
        health.state = state;
        health.last_error = Some(why.to_owned());
    }

    /// Nothing is wrong with it any more.
    fn is_well(&self) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if health.state != SinkState::Working {
            tracing::info!("the sink `{}` works again", self.name);
        }
        health.state = SinkState::Working;
    }

    fn worked(&self) {
        self.is_well();
        self.health.lock().unwrap_or_else(PoisonError::into_inner).last_sent = Some(Timestamp::now());
    }

    /// The work of the delivering thread: one batch after the other, each until it has arrived or was refused for good.
    fn deliver(&self) {
        let mut transport: Option<Box<dyn Transport>> = None;
        let mut attempt = 0;
        // Records that are sent one by one, because one of them was refused among others.
        let mut alone = 0;
        loop {
            let step = self.step(&mut transport, &mut alone);
            match step {
                Ok(Step::Closed) => return,
                Ok(Step::Idle) => self.is_well(),
                Ok(Step::Sent) => {
                    attempt = 0;
                    self.queue.failing(false);
                    self.worked();
                }
                Err((state, failure)) => {
                    self.queue.failing(true);
                    self.failed(state, &failure.why);
                    // On the way out there is one attempt; the rest is kept on disk.
                    if self.queue.is_closing() {
                        return;
                    }
                    let asked = if let Remedy::Again(after) = failure.remedy { after } else { None };
                    let pause = self.backoff(attempt).max(asked.unwrap_or_default().min(LONGEST_PAUSE));
                    attempt = if failure.delivered > 0 { 0 } else { attempt.saturating_add(1) };
                    self.queue.pause(pause);
                }
            }
        }
    }

    fn step(
        &self,
        transport: &mut Option<Box<dyn Transport>>,
        alone: &mut usize,
    ) -> Result<Step, (SinkState, Failure)> {
        let working = match transport {
            Some(transport) => transport,
            None => {
                let made = make(&self.settings, &self.host, &self.metrics);
                transport.insert(made.map_err(|error| (SinkState::Broken, Failure::again(error)))?)
            }
        };
        let retrying = |failure| (SinkState::Retrying, failure);
        let disk = |error: io::Error| (SinkState::Retrying, Failure::again(format!("what waits on disk: {error}")));
        let mut until = Instant::now() + IDLE;
        match working.tick(Instant::now()) {
            Some(Ok(next)) => until = until.min(next),
            // What is sent from time to time must not hold up the rest: a collector may take logs and no metrics.
            Some(Err(failure)) => self.failed(SinkState::Retrying, &failure.why),
            None => {}
        }
        let max = if *alone > 0 { 1 } else { self.settings.batch };
        let batch = match self.queue.next(max, working.linger(), until).map_err(disk)? {
            Next::Batch(batch) => batch,
            Next::Nothing => return Ok(Step::Idle),
            Next::Closed => return Ok(Step::Closed),
        };
        let (arrived, gone, failure) = match working.deliver(&batch) {
            Ok(delivered) => {
                self.rejected.fetch_add(delivered.rejected, Ordering::Relaxed);
                let rejected = usize::try_from(delivered.rejected).unwrap_or(batch.len()).min(batch.len());
                (batch.len() - rejected, batch.len(), None)
            }
            Err(failure) if failure.remedy == Remedy::GiveUp && batch.len() - failure.delivered <= 1 => {
                self.rejected.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("the sink `{}` refused a record for good: {}", self.name, failure.why);
                (failure.delivered, batch.len(), None)
            }
            Err(failure) if failure.remedy == Remedy::GiveUp => {
                *alone = batch.len() - failure.delivered;
                (failure.delivered, failure.delivered, None)
            }
            Err(failure) => (failure.delivered, failure.delivered, Some(failure)),
        };
        if max == 1 {
            *alone = alone.saturating_sub(gone);
        }
        self.queue.settle(gone).map_err(disk)?;
        self.sent.fetch_add(arrived as u64, Ordering::Relaxed);
        failure.map_or(Ok(Step::Sent), |failure| Err(retrying(failure)))
    }

    /// Doubles with each attempt; a fifth of it is chance, so that many hosts do not come at once.
    fn backoff(&self, attempt: u32) -> Duration {
        let pause =
            self.settings.retry.saturating_mul(2_u32.saturating_pow(attempt.min(16))).min(self.settings.retry_max);
        let chance = getrandom::u32().unwrap_or(0) % 200;
        pause.mul_f64(0.8 + f64::from(chance) / 1000.0)
    }
}

enum Step {
    Sent,
    Idle,
    Closed,
}
