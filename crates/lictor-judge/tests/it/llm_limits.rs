// SPDX-License-Identifier: Apache-2.0
//! Queue, budgets, breaker, memory: each seen to work, with short times.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use lictor_judge::llm::{BUDGET_FILE, BreakerState, LlmJudge};
use lictor_judge::{Failure, Outcome};

use crate::llm_server::{Act, Piece, Server, allow, ask, deny, judge, openai, reply, said, settings};

/// An answer after so many milliseconds.
fn slowly(milliseconds: u64, mut act: Act) -> Act {
    act.insert(0, Piece::Wait(milliseconds));
    act
}

#[test]
fn equal_questions_at_the_same_time_are_asked_once() {
    let server = Server::start(vec![slowly(500, deny())]);
    let judge = judge(&server.base(), &[]);
    let barrier = Barrier::new(8);
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|at| {
                let (judge, barrier) = (&judge, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    ask(judge, &["as", "-o", &format!("/tmp/ccAb{at}xYz.o")]).unwrap().outcome
                })
            })
            .collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(outcomes, vec![Outcome::Deny; 8]);
    let counted = judge.snapshot();
    assert_eq!((server.count(), counted.requests, counted.questions), (1, 1, 8));
    assert_eq!(counted.shared + counted.remembered, 7, "{counted:?}");
}

#[test]
fn a_failure_is_shared_but_not_remembered() {
    let server = Server::start(vec![slowly(300, reply("400 No", "text/plain", "")), deny()]);
    let judge = judge(&server.base(), &[]);
    let barrier = Barrier::new(3);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                barrier.wait();
                assert!(matches!(ask(&judge, &["a"]), Err(Failure::Unavailable(_))));
            });
        }
    });
    assert_eq!((server.count(), judge.snapshot().shared), (1, 2));
    assert_eq!(ask(&judge, &["a"]).unwrap().outcome, Outcome::Deny);
}

#[test]
fn an_answer_is_remembered_for_a_while() {
    let server = Server::start(vec![allow(), deny(), allow()]);
    let judge = judge(&server.base(), &[("cache_ttl", "500ms")]);
    assert_eq!(ask(&judge, &["cat", "/proc/17/stat"]).unwrap().outcome, Outcome::Allow);
    let answer = ask(&judge, &["cat", "/proc/42/stat"]).unwrap();
    assert_eq!((answer.outcome, server.count()), (Outcome::Allow, 1));
    assert!(answer.findings[0].reason.contains("said of the same"), "{answer:?}");
    assert_eq!(judge.snapshot().remembered, 1);
    thread::sleep(Duration::from_millis(550));
    assert_eq!(ask(&judge, &["cat", "/proc/42/stat"]).unwrap().outcome, Outcome::Deny);
    judge.forget();
    assert_eq!(ask(&judge, &["cat", "/proc/42/stat"]).unwrap().outcome, Outcome::Allow);
    assert_eq!((server.count(), judge.snapshot().remembered_now), (3, 1));
}

#[test]
fn only_a_denial_is_remembered_for_what_is_similar() {
    let server = Server::start(vec![allow(), deny(), allow()]);
    let judge = judge(&server.base(), &[]);
    assert_eq!(ask(&judge, &["curl", "http://good.example/x"]).unwrap().outcome, Outcome::Allow);
    assert_eq!(ask(&judge, &["curl", "http://evil.example/x"]).unwrap().outcome, Outcome::Deny, "asked anew");
    let answer = ask(&judge, &["curl", "http://evil2.example/x"]).unwrap();
    assert_eq!((answer.outcome, server.count()), (Outcome::Deny, 2));
    assert!(answer.findings[0].reason.contains("something similar"), "{answer:?}");
    assert_eq!(
        ask(&judge, &["curl", "http://good.example/x"]).unwrap().outcome,
        Outcome::Allow,
        "its own answer goes first"
    );
    assert_eq!(server.count(), 2);
}

#[test]
fn a_full_queue_fails_at_once_or_waits_as_set() {
    let busy = |overflow: &str| {
        let server = Server::start(vec![slowly(400, deny())]);
        let judge = judge(&server.base(), &[("parallel", "1"), ("queue", "1"), ("overflow", overflow)]);
        let barrier = Barrier::new(4);
        let start = Instant::now();
        let results: Vec<Result<Outcome, Failure>> = thread::scope(|scope| {
            let asked: Vec<_> = ["a", "b", "c", "d"]
                .map(|name| {
                    let (judge, barrier) = (&judge, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        ask(judge, &[name]).map(|answer| answer.outcome)
                    })
                })
                .into();
            asked.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let refused = results.iter().filter(|result| matches!(result, Err(Failure::Overload(_)))).count();
        let denied = results.iter().filter(|result| **result == Ok(Outcome::Deny)).count();
        assert_eq!(judge.snapshot().queue_full, refused as u64);
        (refused, denied, server.count(), start.elapsed())
    };
    let (refused, denied, requests, _) = busy("fail");
    assert_eq!((refused, denied, requests), (2, 2, 2));
    let (refused, denied, requests, took) = busy("wait");
    assert_eq!((refused, denied, requests), (0, 4, 4));
    assert!(took >= Duration::from_millis(1600), "one after the other: {took:?}");
}

#[test]
fn waiting_for_a_turn_ends_at_the_deadline() {
    let server = Server::start(vec![slowly(2000, deny())]);
    let judge = judge(&server.base(), &[("parallel", "1"), ("timeout", "400ms")]);
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(&judge, &["a"]));
        while judge.snapshot().asking == 0 {
            thread::yield_now();
        }
        let second = scope.spawn(|| ask(&judge, &["b"]));
        assert_eq!(first.join().unwrap(), Err(Failure::Late));
        assert!(matches!(second.join().unwrap(), Err(Failure::Late)));
    });
    assert_eq!(judge.snapshot().late, 2);
}

#[test]
fn a_minute_has_so_many_requests() {
    let server = Server::start(vec![deny()]);
    let judge = judge(&server.base(), &[("per_minute", "2")]);
    ask(&judge, &["a"]).unwrap();
    ask(&judge, &["b"]).unwrap();
    ask(&judge, &["b"]).unwrap();
    assert!(matches!(ask(&judge, &["c"]), Err(Failure::Overload(why)) if why.contains("per_minute")));
    assert_eq!((server.count(), judge.snapshot().minute_spent), (2, 1));
}

#[test]
fn a_day_has_so_many_requests_across_restarts() {
    let server = Server::start(vec![openai("not an answer"), deny()]);
    let state = tempfile::tempdir().unwrap();
    let settings = settings(&server.base(), &[("per_day", "3")]);
    let open = || LlmJudge::new(&settings, Some(state.path())).unwrap();
    let judge = open();
    ask(&judge, &["a"]).unwrap();
    assert_eq!(judge.snapshot().requests_today, 2, "a repetition counts, too");
    drop(judge);
    let judge = open();
    ask(&judge, &["b"]).unwrap();
    assert!(matches!(ask(&judge, &["c"]), Err(Failure::Overload(why)) if why.contains("3 requests today")));
    drop(judge);
    assert!(matches!(ask(&open(), &["c"]), Err(Failure::Overload(_))));
    assert_eq!(server.count(), 3);
    std::fs::write(state.path().join(BUDGET_FILE), "oops").unwrap();
    let error = LlmJudge::new(&settings, Some(state.path())).unwrap_err().to_string();
    assert!(error.contains(BUDGET_FILE), "{error}");
}

#[test]
fn the_breaker_opens_and_closes() {
    let broken = || reply("500 Oops", "text/plain", "");
    let server = Server::start(vec![broken(), broken(), broken(), broken(), deny()]);
    let judge = judge(&server.base(), &[("breaker_failures", "3"), ("breaker_pause", "600ms")]);
    assert!(matches!(ask(&judge, &["a"]), Err(Failure::Unavailable(_))));
    assert_eq!(judge.snapshot().breaker, BreakerState::Closed);
    assert!(matches!(ask(&judge, &["a"]), Err(Failure::Unavailable(_))));
    assert_eq!((judge.snapshot().breaker, server.count()), (BreakerState::Open, 3), "not even the repetition is made");
    let start = Instant::now();
    assert!(matches!(ask(&judge, &["a"]), Err(Failure::Unavailable(why)) if why.contains("left alone")));
    assert!(start.elapsed() < Duration::from_millis(300) && server.count() == 3);
    thread::sleep(Duration::from_millis(650));
    assert!(ask(&judge, &["a"]).is_err(), "the one attempt fails, and it opens again");
    assert_eq!((judge.snapshot().breaker_opened, server.count()), (2, 4));
    thread::sleep(Duration::from_millis(650));
    assert!(ask(&judge, &["a"]).is_err(), "the pause has doubled");
    assert_eq!(server.count(), 4);
    thread::sleep(Duration::from_millis(650));
    assert_eq!(ask(&judge, &["a"]).unwrap().outcome, Outcome::Deny);
    let counted = judge.snapshot();
    assert_eq!((counted.breaker, counted.breaker_refused, counted.server_errors), (BreakerState::Closed, 2, 4));
}

#[test]
fn what_an_action_can_provoke_does_not_open_the_breaker() {
    for act in [openai("I refuse."), openai(&said("allow", 7.0)), reply("400 Too long", "text/plain", "")] {
        let server = Server::start(vec![act]);
        let judge = judge(&server.base(), &[("breaker_failures", "1")]);
        for at in 0..4 {
            assert!(ask(&judge, &[&format!("x{at}")]).is_err());
        }
        assert_eq!((judge.snapshot().breaker, judge.snapshot().breaker_refused), (BreakerState::Closed, 0));
    }
}
