// SPDX-License-Identifier: Apache-2.0
//! What has been answered, and what is being asked: an answer is remembered for a while, and a question that is already
//! under way is not asked a second time.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use super::answer::{Answer, Opinion};
use super::fingerprint::{Fingerprint, Key};
use super::limit::lock;
use crate::tier::Failure;

/// Answers by fingerprint: the least recently used one goes first.
#[derive(Debug)]
pub(crate) struct Cache {
    ttl: Duration,
    answers: Mutex<LruCache<(Likeness, Key), (Instant, Answer)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Likeness {
    Alike,
    Similar,
}

/// An answer from before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Remembered {
    pub(crate) answer: Answer,
    pub(crate) likeness: Likeness,
    pub(crate) age: Duration,
}

impl Cache {
    pub(crate) fn new(entries: usize, ttl: Duration) -> Cache {
        let entries = NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN);
        Cache { ttl, answers: Mutex::new(LruCache::new(entries)) }
    }

    pub(crate) fn find(&self, fingerprint: &Fingerprint, now: Instant) -> Option<Remembered> {
        let mut answers = lock(&self.answers);
        for key in [(Likeness::Alike, fingerprint.alike), (Likeness::Similar, fingerprint.similar)] {
            let Some((then, answer)) = answers.get(&key) else { continue };
            let age = now.saturating_duration_since(*then);
            if age < self.ttl {
                return Some(Remembered { answer: answer.clone(), likeness: key.0, age });
            }
            answers.pop(&key);
        }
        None
    }

    pub(crate) fn remember(&self, fingerprint: &Fingerprint, answer: &Answer, now: Instant) {
        if self.ttl.is_zero() {
            return;
        }
        let mut answers = lock(&self.answers);
        answers.put((Likeness::Alike, fingerprint.alike), (now, answer.clone()));
        // Only what is stricter may spread.
        if answer.opinion == Opinion::Deny {
            answers.put((Likeness::Similar, fingerprint.similar), (now, answer.clone()));
        }
    }

    pub(crate) fn clear(&self) {
        lock(&self.answers).clear();
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.answers).len()
    }
}

pub(crate) type Outcome = Result<Answer, Failure>;

/// Questions under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    flights: Mutex<HashMap<Key, Arc<Flight>>>,
}

#[derive(Debug, Default)]
struct Flight {
    outcome: Mutex<Option<Outcome>>,
    landed: Condvar,
}

/// Whether to ask, or what somebody else was told.
pub(crate) enum Boarding<'a> {
    Lead(Lead<'a>),
    Told(Outcome),
}

/// The duty to ask. Dropped without [`land`](Self::land), the others learn that it broke.
pub(crate) struct Lead<'a> {
    flights: &'a Flights,
    key: Key,
    flight: Arc<Flight>,
}

impl Flights {
    /// The first one leads; the others wait for what it brings, until `deadline` at the latest.
    pub(crate) fn board(&self, key: Key, deadline: Instant) -> Boarding<'_> {
        let flight = {
            let mut flights = lock(&self.flights);
            match flights.get(&key) {
                Some(flight) => flight.clone(),
                None => {
                    let flight = Arc::<Flight>::default();
                    flights.insert(key, flight.clone());
                    return Boarding::Lead(Lead { flights: self, key, flight });
                }
            }
        };
        let mut outcome = lock(&flight.outcome);
        loop {
            if let Some(outcome) = outcome.as_ref() {
                return Boarding::Told(outcome.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Boarding::Told(Err(Failure::Late));
            }
            outcome = flight.landed.wait_timeout(outcome, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Lead<'_> {
    pub(crate) fn land(self, outcome: Outcome) {
        *lock(&self.flight.outcome) = Some(outcome);
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        lock(&self.flights.flights).remove(&self.key);
        let mut outcome = lock(&self.flight.outcome);
        if outcome.is_none() {
            *outcome = Some(Err(Failure::Broken("whoever asked this question did not come back".to_owned())));
        }
        self.flight.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn answer(opinion: Opinion) -> Answer {
        Answer { opinion, confidence: 1.0, reason: String::new(), technique: String::new() }
    }

    fn key(alike: u8, similar: u8) -> Fingerprint {
        Fingerprint { alike: [alike; 32], similar: [similar; 32] }
    }

    #[test]
    fn only_a_denial_is_told_to_what_is_similar() {
        let now = Instant::now();
        let cache = Cache::new(10, Duration::from_secs(10));
        for (at, opinion) in [Opinion::Allow, Opinion::Unsure, Opinion::Deny].into_iter().enumerate() {
            let at = at as u8;
            cache.remember(&key(at, 100 + at), &answer(opinion), now);
            assert_eq!(cache.find(&key(at, 0), now).unwrap().answer.opinion, opinion);
            let similar = cache.find(&key(50, 100 + at), now).map(|found| (found.likeness, found.answer.opinion));
            assert_eq!(similar, (opinion == Opinion::Deny).then_some((Likeness::Similar, Opinion::Deny)));
        }
    }

    #[test]
    fn answers_are_forgotten_by_age_and_by_number() {
        let now = Instant::now();
        let cache = Cache::new(2, Duration::from_secs(10));
        cache.remember(&key(1, 1), &answer(Opinion::Allow), now);
        let later = now + Duration::from_secs(9);
        assert_eq!(cache.find(&key(1, 1), later).unwrap().age, Duration::from_secs(9));
        assert_eq!(cache.find(&key(1, 1), now + Duration::from_secs(10)), None);
        assert_eq!(cache.len(), 0);
        for at in 1..=3 {
            cache.remember(&key(at, 0), &answer(Opinion::Allow), now);
        }
        assert_eq!((cache.len(), cache.find(&key(1, 0), now)), (2, None));
        cache.clear();
        assert_eq!(cache.len(), 0);
        let none = Cache::new(2, Duration::ZERO);
        none.remember(&key(1, 1), &answer(Opinion::Deny), now);
        assert_eq!(none.len(), 0);
    }

    #[test]
    fn one_asks_and_all_are_told() {
        let flights = Flights::default();
        let deadline = Instant::now() + Duration::from_secs(5);
        let Boarding::Lead(lead) = flights.board([1; 32], deadline) else { panic!("the first one leads") };
        thread::scope(|scope| {
            let told: Vec<_> = (0..4).map(|_| scope.spawn(|| flights.board([1; 32], deadline))).collect();
            let Boarding::Lead(other) = flights.board([2; 32], deadline) else { panic!("another question") };
            drop(other);
            // The table, the lead, and the four who wait.
            while Arc::strong_count(&lead.flight) < 6 {
                thread::yield_now();
            }
            lead.land(Ok(answer(Opinion::Deny)));
            for thread in told {
                match thread.join().unwrap() {
                    Boarding::Told(outcome) => assert_eq!(outcome.unwrap().opinion, Opinion::Deny),
                    Boarding::Lead(_) => panic!("it was under way"),
                }
            }
        });
        assert!(matches!(flights.board([1; 32], deadline), Boarding::Lead(_)), "and then anew");
    }

    #[test]
    fn nobody_waits_for_one_that_is_gone_or_too_slow() {
        let flights = Flights::default();
        let deadline = Instant::now() + Duration::from_millis(20);
        let Boarding::Lead(lead) = flights.board([1; 32], deadline) else { panic!("the first one leads") };
        assert!(matches!(flights.board([1; 32], deadline), Boarding::Told(Err(Failure::Late))));
        thread::scope(|scope| {
            let told = scope.spawn(|| flights.board([1; 32], Instant::now() + Duration::from_secs(5)));
            while Arc::strong_count(&lead.flight) < 3 {
                thread::yield_now();
            }
            drop(lead);
            assert!(matches!(told.join().unwrap(), Boarding::Told(Err(Failure::Broken(_)))));
        });
    }
}
