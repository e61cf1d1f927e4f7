// SPDX-License-Identifier: Apache-2.0
//! How much is asked: at the same time, in a minute, on a day. Waiting ends at the caller's deadline.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use lictor_api::settings::llm::Overflow;
use serde::{Deserialize, Serialize};

use super::SetupError;

/// Why a question is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// All are busy, and as many as may wait do.
    QueueFull,
    /// Its turn did not come in time.
    QueueLate,
    MinuteSpent,
    DaySpent {
        requests: u32,
    },
    /// The day's count cannot be kept, so it cannot be honoured.
    Uncounted(String),
}

/// A poisoned lock: whoever panicked left these counters whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many at the same time; so many may wait.
#[derive(Debug)]
pub(crate) struct Gate {
    parallel: usize,
    queue: usize,
    overflow: Overflow,
    state: Mutex<Crowd>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Crowd {
    inside: usize,
    waiting: usize,
}

/// A place inside; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new(parallel: usize, queue: usize, overflow: Overflow) -> Gate {
        Gate { parallel, queue, overflow, state: Mutex::default(), left: Condvar::new() }
    }

    pub(crate) fn enter(&self, deadline: Instant) -> Result<Place<'_>, Refusal> {
        let mut crowd = lock(&self.state);
        if crowd.inside >= self.parallel {
            if crowd.waiting >= self.queue && self.overflow == Overflow::Fail {
                return Err(Refusal::QueueFull);
            }
            crowd.waiting += 1;
            while crowd.inside >= self.parallel {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    crowd.waiting -= 1;
                    return Err(Refusal::QueueLate);
                }
                crowd = self.left.wait_timeout(crowd, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            crowd.waiting -= 1;
        }
        crowd.inside += 1;
        Ok(Place(self))
    }

    /// Inside, and waiting.
    pub(crate) fn crowd(&self) -> (usize, usize) {
        let crowd = lock(&self.state);
        (crowd.inside, crowd.waiting)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).inside -= 1;
        self.0.left.notify_one();
    }
}

/// So many in any 60 seconds.
#[derive(Debug)]
pub(crate) struct Minute {
    limit: usize,
    overflow: Overflow,
    window: Duration,
    spent: Mutex<VecDeque<Instant>>,
}

impl Minute {
    pub(crate) fn new(limit: u32, overflow: Overflow) -> Minute {
        Minute { limit: limit as usize, overflow, window: Duration::from_secs(60), spent: Mutex::default() }
    }

    /// Takes one; waits for it when that is the policy.
    pub(crate) fn spend(&self, deadline: Instant) -> Result<(), Refusal> {
        loop {
            let now = Instant::now();
            let free_at = {
                let mut spent = lock(&self.spent);
                while spent.front().is_some_and(|first| now.duration_since(*first) >= self.window) {
                    spent.pop_front();
                }
                match spent.front() {
                    Some(first) if spent.len() >= self.limit => *first + self.window,
                    _ => {
                        spent.push_back(now);
                        return Ok(());
                    }
                }
            };
            if self.overflow == Overflow::Fail || free_at >= deadline {
                return Err(Refusal::MinuteSpent);
            }
            std::thread::sleep(free_at.saturating_duration_since(now));
        }
    }
}

/// So many on a UTC day, counted in a file that survives a restart.
#[derive(Debug)]
pub(crate) struct Day {
    limit: u32,
    file: Option<PathBuf>,
    spent: Mutex<Spent>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spent {
    /// `YYYY-MM-DD`.
    #[serde(with = "as_text")]
    day: Date,
    requests: u32,
}

mod as_text {
    use jiff::civil::Date;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(day: &Date, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(day)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Date, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Day {
    /// `file` need not exist; its directory must.
    pub(crate) fn open(limit: u32, file: Option<PathBuf>) -> Result<Day, SetupError> {
        let none = Spent { day: Date::MIN, requests: 0 };
        let spent = match &file {
            None => none,
            Some(path) => match fs::read(path) {
                Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| SetupError::Budget {
                    path: path.clone(),
                    why: format!("it is not what was written: {error}"),
                })?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => none,
                Err(error) => return Err(SetupError::Budget { path: path.clone(), why: error.to_string() }),
            },
        };
        Ok(Day { limit, file, spent: Mutex::new(spent) })
    }

    /// Takes one of the day of `now`. It is written down before it is used.
    pub(crate) fn spend(&self, now: Timestamp) -> Result<(), Refusal> {
        let today = now.to_zoned(TimeZone::UTC).date();
        let mut spent = lock(&self.spent);
        let requests = if spent.day == today { spent.requests } else { 0 };
        if requests >= self.limit {
            return Err(Refusal::DaySpent { requests });
        }
        let next = Spent { day: today, requests: requests + 1 };
        if let Some(path) = &self.file {
            write(path, &next).map_err(|error| Refusal::Uncounted(format!("{}: {error}", path.display())))?;
        }
        *spent = next;
        Ok(())
    }

    /// Requests of the day of `now`.
    pub(crate) fn spent(&self, now: Timestamp) -> u32 {
        let spent = lock(&self.spent);
        if spent.day == now.to_zoned(TimeZone::UTC).date() { spent.requests } else { 0 }
    }
}

/// All or nothing; readable by its owner only.
fn write(path: &Path, spent: &Spent) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer(&mut file, spent)?;
    file.write_all(b"\n")?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    fn soon(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    #[test]
    fn beyond_the_queue_a_question_fails_at_once() {
        let gate = Arc::new(Gate::new(1, 1, Overflow::Fail));
        let inside = gate.enter(soon(0)).unwrap();
        let waiter = thread::spawn({
            let gate = gate.clone();
            move || gate.enter(soon(5000)).map(drop)
        });
        while gate.crowd() != (1, 1) {
            thread::yield_now();
        }
        assert_eq!(gate.enter(soon(5000)).unwrap_err(), Refusal::QueueFull);
        drop(inside);
        waiter.join().unwrap().unwrap();
        assert_eq!(gate.crowd(), (0, 0));
    }

    #[test]
    fn a_question_waits_until_its_time_is_up() {
        let gate = Gate::new(1, 0, Overflow::Wait);
        let inside = gate.enter(soon(0)).unwrap();
        assert_eq!(gate.enter(soon(30)).unwrap_err(), Refusal::QueueLate);
        assert_eq!(gate.crowd(), (1, 0));
        drop(inside);
        gate.enter(soon(0)).unwrap();
    }

    #[test]
    fn the_minute_is_a_window_that_slides() {
        let mut minute = Minute::new(2, Overflow::Fail);
        minute.window = Duration::from_millis(80);
        minute.spend(soon(0)).unwrap();
        minute.spend(soon(0)).unwrap();
        assert_eq!(minute.spend(soon(5000)), Err(Refusal::MinuteSpent));
        minute.overflow = Overflow::Wait;
        let start = Instant::now();
        minute.spend(soon(5000)).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(20), "{:?}", start.elapsed());
        minute.spend(soon(5000)).unwrap();
        assert_eq!(minute.spend(soon(1)), Err(Refusal::MinuteSpent), "it would come too late");
    }

    #[test]
    fn the_day_survives_a_restart_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("llm-budget.json");
        let noon: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        let tomorrow: Timestamp = "2026-01-03T00:00:00Z".parse().unwrap();
        let day = Day::open(2, Some(file.clone())).unwrap();
        day.spend(noon).unwrap();
        let day = Day::open(2, Some(file.clone())).unwrap();
        assert_eq!(day.spent(noon), 1);
        day.spend(noon).unwrap();
        assert_eq!(day.spend(noon), Err(Refusal::DaySpent { requests: 2 }));
        assert_eq!(day.spent(tomorrow), 0);
        day.spend(tomorrow).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "{\"day\":\"2026-01-03\",\"requests\":1}\n");
    }

    #[test]
    fn a_count_that_cannot_be_read_or_written_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b");
        fs::write(&file, "{\"day\":").unwrap();
        let error = Day::open(1, Some(file.clone())).unwrap_err().to_string();
        assert!(error.contains(&file.display().to_string()), "{error}");
        let day = Day::open(1, Some(dir.path().join("none").join("b"))).unwrap();
        assert!(matches!(day.spend(Timestamp::UNIX_EPOCH), Err(Refusal::Uncounted(_))));
    }
}
