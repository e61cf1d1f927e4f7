// SPDX-License-Identifier: Apache-2.0
//! Leaves a failing provider alone for a while: closed (all is well), open (nobody asks), half-open (one asks, and what
//! comes of it decides). Takes the time as an argument.

use std::time::{Duration, Instant};

use serde::Serialize;

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(crate) struct Breaker {
    threshold: u32,
    first_pause: Duration,
    state: State,
    /// Pause of the last opening, doubled at each failed attempt.
    pause: Duration,
    opened: u64,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

/// What `status` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    #[default]
    Closed,
    Open,
    HalfOpen,
}

/// How a request went, as far as the provider is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    /// The provider fails, or asks to be left alone for so long.
    Sick {
        not_before: Option<Duration>,
    },
    /// It says nothing about the provider: the answer was not of the schema, or nobody waited for it.
    Unknown,
}

impl Breaker {
    pub(crate) fn new(threshold: u32, first_pause: Duration) -> Breaker {
        Breaker { threshold, first_pause, state: State::Closed { failures: 0 }, pause: first_pause, opened: 0 }
    }

    /// Whether a request may be made now; if not, in how long. Every admission must be followed by one [`report`](Self::report).
    pub(crate) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed { .. } => Ok(()),
            State::Open { until } if now >= until => {
                self.state = State::HalfOpen;
                Ok(())
            }
            State::Open { until } => Err(until - now),
            // Somebody is finding out.
            State::HalfOpen => Err(Duration::ZERO),
        }
    }

    pub(crate) fn report(&mut self, health: Health, now: Instant) {
        match (&mut self.state, health) {
            (_, Health::Well) => {
                self.state = State::Closed { failures: 0 };
                self.pause = self.first_pause;
            }
            (State::Closed { failures }, Health::Sick { not_before }) => {
                *failures += 1;
                if *failures >= self.threshold || not_before.is_some() {
                    self.pause = self.first_pause;
                    self.open(not_before, now);
                }
            }
            (State::HalfOpen, Health::Sick { not_before }) => {
                self.pause = (self.pause * 2).min(MAX_PAUSE);
                self.open(not_before, now);
            }
            // The next one finds out.
            (State::HalfOpen, Health::Unknown) => self.state = State::Open { until: now },
            // One that had been let in before it opened.
            (State::Open { .. }, Health::Sick { .. }) | (_, Health::Unknown) => {}
        }
    }

    fn open(&mut self, not_before: Option<Duration>, now: Instant) {
        let pause = not_before.map_or(self.pause, |asked| asked.min(MAX_PAUSE));
        self.state = State::Open { until: now + pause };
        self.opened += 1;
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen => BreakerState::HalfOpen,
        }
    }

    /// How often it opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SICK: Health = Health::Sick { not_before: None };

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_one_success() {
        let start = Instant::now();
        let mut breaker = Breaker::new(3, Duration::from_secs(10));
        for health in [SICK, SICK, Health::Well, SICK, SICK, Health::Unknown] {
            breaker.admit(start).unwrap();
            breaker.report(health, start);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.report(SICK, start);
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Open, 1));
        assert_eq!(breaker.admit(at(start, 4)), Err(Duration::from_secs(6)));
        breaker.admit(at(start, 10)).unwrap();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.admit(at(start, 10)).is_err(), "one at a time");
        breaker.report(Health::Well, at(start, 11));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn the_pause_doubles_up_to_ten_minutes() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(1, Duration::from_secs(100));
        breaker.report(SICK, now);
        for expected in [100, 200, 400, 600, 600] {
            assert_eq!(breaker.admit(now).unwrap_err().as_secs(), expected);
            now = at(now, expected);
            breaker.admit(now).unwrap();
            breaker.report(SICK, now);
        }
        now = at(now, 600);
        breaker.admit(now).unwrap();
        breaker.report(Health::Well, now);
        breaker.report(SICK, now);
        assert_eq!(breaker.admit(now).unwrap_err().as_secs(), 100, "from the beginning");
    }

    #[test]
    fn a_provider_that_asks_for_time_gets_it_at_once() {
        let now = Instant::now();
        let mut breaker = Breaker::new(5, Duration::from_secs(1));
        breaker.report(Health::Sick { not_before: Some(Duration::from_secs(42)) }, now);
        assert_eq!(breaker.admit(now).unwrap_err().as_secs(), 42);
        breaker.admit(at(now, 42)).unwrap();
        breaker.report(Health::Sick { not_before: Some(Duration::from_secs(86_400)) }, at(now, 42));
        assert_eq!(breaker.admit(at(now, 42)).unwrap_err(), MAX_PAUSE, "but not for ever");
    }

    #[test]
    fn an_attempt_that_nobody_waited_for_leaves_the_door_open_for_the_next() {
        let now = Instant::now();
        let mut breaker = Breaker::new(1, Duration::from_secs(1));
        breaker.report(SICK, now);
        breaker.admit(at(now, 1)).unwrap();
        breaker.report(Health::Unknown, at(now, 1));
        breaker.admit(at(now, 1)).unwrap();
    }
}
