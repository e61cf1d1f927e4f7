// SPDX-License-Identifier: Apache-2.0
//! One tier in its place: its time budget, its threads, its counts. Whatever the tier does, the question ends in time
//! with an answer or a failure.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lictor_api::event::Tier;

use crate::case::{Basis, Case};
use crate::contain::contain;
use crate::counters::{TierCounter, TierCounts};
use crate::tier::{Answer, Failure, Finding, Judge};

/// How a tier is run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the question to the answer, waiting included.
    pub budget: Duration,
    /// How many questions are answered at a time.
    pub threads: usize,
    /// How many may wait.
    pub waiting: usize,
    /// How many threads may hang and be replaced. When one more hangs, it stays unreplaced.
    pub stuck: usize,
}

/// A tier with its budget.
pub struct Stage {
    tier: Tier,
    budget: Duration,
    how: How,
    counter: TierCounter,
}

enum How {
    Inline(Arc<dyn Judge>),
    Threads(Arc<Pool>),
}

impl Stage {
    /// For a tier whose own costs are bounded, as those of rules are: it is asked in the caller's thread, and trusted
    /// to look at the deadline.
    #[must_use]
    pub fn inline(judge: Arc<dyn Judge>, budget: Duration) -> Stage {
        Stage { tier: judge.tier(), budget, how: How::Inline(judge), counter: TierCounter::default() }
    }

    /// For a tier that may take long or hang: it is asked in threads of its own.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn threads(judge: Arc<dyn Judge>, limits: Limits) -> std::io::Result<Stage> {
        let pool =
            Arc::new(Pool { tier: judge.tier(), judge, limits, state: Mutex::default(), arrived: Condvar::new() });
        for _ in 0..limits.threads.max(1) {
            pool.lock().live += 1;
            Pool::start(&pool)?;
        }
        let (tier, budget) = (pool.tier, limits.budget);
        Ok(Stage { tier, budget, how: How::Threads(pool), counter: TierCounter::default() })
    }

    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    #[must_use]
    pub fn counts(&self) -> TierCounts {
        self.counter.counts()
    }

    /// How many threads hang in a question that nobody waits for any more.
    #[must_use]
    pub fn stuck(&self) -> usize {
        match &self.how {
            How::Inline(_) => 0,
            How::Threads(pool) => pool.lock().stuck,
        }
    }

    /// `shared` is the same case, made when the first tier with threads needs it.
    pub(crate) fn ask(
        &self,
        case: &Case,
        shared: &mut Option<Arc<Case>>,
        before: &[Finding],
    ) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.budget;
        let answer = match &self.how {
            How::Inline(judge) => {
                let answer = contained(|| judge.judge(case, before, deadline));
                // An answer that is late is no answer: whoever asked may have acted already.
                if answer.is_ok() && Instant::now() > deadline { Err(Failure::Late) } else { answer }
            }
            How::Threads(pool) => {
                let case = shared.get_or_insert_with(|| Arc::new(case.clone()));
                pool.ask(Arc::clone(case), before.to_vec(), deadline)
            }
        }?;
        check(self.tier, answer)
    }

    pub(crate) fn record(&self, result: &Result<Answer, Failure>, took: Duration) {
        self.counter.record(result.as_ref().map(|answer| answer.outcome), took);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let How::Threads(pool) = &self.how {
            pool.lock().closed = true;
            pool.arrived.notify_all();
        }
    }
}

/// An answer that says it is somebody else's is not one.
fn check(tier: Tier, mut answer: Answer) -> Result<Answer, Failure> {
    if tier > Tier::Rules {
        // A model looks at the arguments at least, whatever it says.
        answer.basis = answer.basis.max(Basis::Invocation);
    }
    if let Some(other) = answer.findings.iter().find(|finding| finding.tier != tier) {
        return Err(Failure::Invalid(format!("a finding in the name of {}", other.tier)));
    }
    let scores = answer.findings.iter().filter_map(|finding| finding.score);
    if scores.into_iter().any(|score| !(0.0..=1.0).contains(&score)) {
        return Err(Failure::Invalid("a score that is not between 0 and 1".to_owned()));
    }
    Ok(answer)
}

/// A panic is the tier's failure, not the caller's.
fn contained(ask: impl FnOnce() -> Result<Answer, Failure>) -> Result<Answer, Failure> {
    contain(ask).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic");
        let line: String = text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Err(Failure::Broken(line))
    })
}

struct Pool {
    tier: Tier,
    judge: Arc<dyn Judge>,
    limits: Limits,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    questions: VecDeque<Question>,
    /// Threads that take questions.
    live: usize,
    /// Threads that hang in a question that nobody waits for any more.
    stuck: usize,
    closed: bool,
}

struct Question {
    case: Arc<Case>,
    before: Vec<Finding>,
    deadline: Instant,
    progress: Arc<AtomicU8>,
    reply: SyncSender<Result<Answer, Failure>>,
}

/// How far a question has got. Whoever waits and whoever answers each make one step; who is first decides.
mod progress {
    pub(super) const WAITING: u8 = 0;
    pub(super) const RUNNING: u8 = 1;
    pub(super) const ANSWERED: u8 = 2;
    /// Nobody waits any more, and no thread had begun.
    pub(super) const GIVEN_UP: u8 = 3;
    /// Nobody waits any more, and a thread is at it.
    pub(super) const ABANDONED: u8 = 4;
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No tier's code runs while it is held, so that a panic under it leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(self: &Arc<Pool>, case: Arc<Case>, before: Vec<Finding>, deadline: Instant) -> Result<Answer, Failure> {
        let (reply, answer) = sync_channel(1);
        let progress = Arc::new(AtomicU8::new(progress::WAITING));
        {
            let mut state = self.lock();
            // What nobody waits for any more takes no place.
            state.questions.retain(|question| question.progress.load(Ordering::Acquire) == progress::WAITING);
            if state.live == 0 {
                return Err(Failure::Unavailable(format!("all its threads hang, {} of them", state.stuck)));
            }
            if state.questions.len() >= self.limits.waiting {
                return Err(Failure::Overload(format!("{} questions are waiting", state.questions.len())));
            }
            state.questions.push_back(Question { case, before, deadline, progress: Arc::clone(&progress), reply });
        }
        self.arrived.notify_one();
        match answer.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => Err(Failure::Broken("its thread ended".to_owned())),
            Err(RecvTimeoutError::Timeout) => {
                self.give_up(&progress);
                Err(Failure::Late)
            }
        }
    }

    /// Nobody waits any more. A thread that is at it hangs as far as we know: another takes its place, unless too many
    /// hang already.
    fn give_up(self: &Arc<Pool>, progress: &AtomicU8) {
        // The step and the accounts change together: a thread that comes back finds both.
        let mut state = self.lock();
        let step = |from, to| progress.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        if step(progress::WAITING, progress::GIVEN_UP).is_ok() || step(progress::RUNNING, progress::ABANDONED).is_err()
        {
            return;
        }
        state.stuck += 1;
        // Without a thread to be had it is as if too many hung.
        if state.stuck > self.limits.stuck || Pool::start(self).is_err() {
            state.live -= 1;
        }
    }

    fn start(pool: &Arc<Pool>) -> std::io::Result<()> {
        let shared = Arc::clone(pool);
        std::thread::Builder::new().name(format!("judge-{}", pool.tier)).spawn(move || shared.work()).map(drop)
    }

    fn work(&self) {
        while let Some(question) = self.next() {
            let step = |from, to| question.progress.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
            if step(progress::WAITING, progress::RUNNING).is_err() {
                continue;
            }
            let answer = contained(|| self.judge.judge(&question.case, &question.before, question.deadline));
            if step(progress::RUNNING, progress::ANSWERED).is_ok() {
                // The one who waits may have gone this instant; there is room for one answer.
                let _ = question.reply.try_send(answer);
                continue;
            }
            // It was given up and came back. Its place is taken if it was replaced.
            let mut state = self.lock();
            state.stuck -= 1;
            if state.live >= self.limits.threads.max(1) {
                return;
            }
            state.live += 1;
        }
    }

    /// None when there is nobody left to ask.
    fn next(&self) -> Option<Question> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(question) = state.questions.pop_front() {
                return Some(question);
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
