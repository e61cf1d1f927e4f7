// SPDX-License-Identifier: Apache-2.0
//! What goes wrong between Lictor and a provider: each fault is a failure of its kind, in time, and counted.

use std::time::{Duration, Instant};

use lictor_judge::{Failure, Outcome};

use crate::llm_server::{Piece, Server, allow, ask, deny, head, judge, openai, reply, reply_with, said};

fn unavailable(failure: &Failure) -> &str {
    match failure {
        Failure::Unavailable(why) => why,
        other => panic!("{other:?}"),
    }
}

fn invalid(failure: &Failure) -> &str {
    match failure {
        Failure::Invalid(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_that_is_none_is_asked_for_once_more() {
    let server = Server::start(vec![openai("Sure! I think it is fine."), deny()]);
    let judge = judge(&server.base(), &[]);
    assert_eq!(ask(&judge, &["a"]).unwrap().outcome, Outcome::Deny);
    let counted = judge.snapshot();
    assert_eq!((counted.requests, counted.repetitions, counted.invalid, counted.denied), (2, 1, 1, 1));
}

#[test]
fn two_answers_that_are_none_are_a_failure() {
    for (text, word) in [
        ("allow", "no JSON"),
        ("{}", "`verdict` is missing"),
        (&format!("{} and more", said("allow", 1.0)), "text follows"),
        (&format!("```json\n{}\n```", said("allow", 1.0)), "no JSON"),
        (&said("allow", 1.5), "outside of 0 to 1"),
        (&said("permit", 0.5), "not of the schema"),
        (&said("allow", 0.5).replace("\"reason\"", "\"verdict\":\"deny\",\"reason\""), "twice"),
        (&said("allow", 0.5).replace("\"reason\"", "\"extra\":1,\"reason\""), "field that the schema does not have"),
    ] {
        let server = Server::start(vec![openai(text)]);
        let judge = judge(&server.base(), &[]);
        let failure = ask(&judge, &["a"]).unwrap_err();
        assert!(invalid(&failure).contains(word), "{text}: {failure}");
        assert_eq!((server.count(), judge.snapshot().invalid), (2, 2), "{text}");
    }
}

#[test]
fn what_is_not_of_the_protocol_is_a_failure() {
    for (act, word) in [
        (reply("200 OK", "application/json", "{\"choices\": [{"), "envelope"),
        (reply("200 OK", "application/json", "[1,2,3]"), "envelope"),
        (reply("200 OK", "application/json", "{\"choices\":7}"), "envelope"),
        (reply("200 OK", "text/html", "<html>hello</html>"), "`text/html`"),
        (reply("200 OK", "text/event-stream", "data: {oops}\n\n"), "envelope"),
        (reply("200 OK", "text/event-stream", "data: \u{fffd}\u{0}\n\n"), "envelope"),
    ] {
        let server = Server::start(vec![act.clone()]);
        let judge = judge(&server.base(), &[]);
        let failure = ask(&judge, &["a"]).unwrap_err();
        assert!(invalid(&failure).contains(word), "{act:?}: {failure}");
        assert_eq!((server.count(), judge.snapshot().malformed), (2, 2), "{act:?}");
    }
}

#[test]
fn an_error_of_the_server_is_tried_once_more() {
    let server = Server::start(vec![reply("500 Oops", "text/plain", "secret detail"), allow()]);
    let judge = judge(&server.base(), &[]);
    assert_eq!(ask(&judge, &["a"]).unwrap().outcome, Outcome::Allow);
    assert_eq!(judge.snapshot().server_errors, 1);
    let server = Server::start(vec![reply("503 Busy", "text/plain", "secret detail")]);
    let judge = crate::llm_server::judge(&server.base(), &[]);
    let failure = ask(&judge, &["a"]).unwrap_err();
    assert_eq!(unavailable(&failure), "status 503");
    assert_eq!((server.count(), judge.snapshot().server_errors), (2, 2));
}

#[test]
fn a_refused_request_is_not_repeated() {
    for (status, word) in
        [("401 No", "key"), ("403 No", "key"), ("404 No", "base_url"), ("400 No", "400"), ("422 No", "422")]
    {
        let server =
            Server::start(vec![reply(status, "application/json", "{\"error\":{\"message\":\"bad key sk-hunter2\"}}")]);
        let judge = judge(&server.base(), &[]);
        let failure = ask(&judge, &["a"]).unwrap_err();
        assert!(unavailable(&failure).contains(word) && !failure.to_string().contains("hunter2"), "{failure}");
        assert_eq!((server.count(), judge.snapshot().client_errors), (1, 1));
    }
}

#[test]
fn retry_after_is_waited_for_when_there_is_time() {
    let server = Server::start(vec![reply_with("429 Slow down", "retry-after: 1\r\n", ""), deny()]);
    let judge = judge(&server.base(), &[]);
    assert_eq!(ask(&judge, &["a"]).unwrap().outcome, Outcome::Deny);
    let requests = server.requests();
    let between = requests[1].at - requests[0].at;
    assert!(between >= Duration::from_secs(1) && between < Duration::from_secs(4), "{between:?}");
    assert_eq!(judge.snapshot().rate_limited, 1);
}

#[test]
fn retry_after_beyond_the_deadline_is_a_failure_and_is_kept_to() {
    let server = Server::start(vec![reply_with("429 Slow down", "retry-after: 60\r\n", ""), deny()]);
    let judge = judge(&server.base(), &[]);
    let start = Instant::now();
    assert!(matches!(ask(&judge, &["a"]), Err(Failure::Overload(why)) if why.contains("429")));
    assert!(start.elapsed() < Duration::from_secs(2));
    let failure = ask(&judge, &["b"]).unwrap_err();
    assert!(unavailable(&failure).contains("another 60 s"), "{failure}");
    assert_eq!((server.count(), judge.snapshot().breaker_refused), (1, 1));
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(vec![allow()]);
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let location = format!("location: {}/chat/completions\r\n", elsewhere.base());
        let server = Server::start(vec![reply_with(status, &location, "")]);
        let judge = judge(&server.base(), &[]);
        let failure = ask(&judge, &["a"]).unwrap_err();
        assert!(unavailable(&failure).contains("not followed"), "{failure}");
        assert_eq!((server.count(), judge.snapshot().redirects), (1, 1));
    }
    assert_eq!(elsewhere.count(), 0);
}

#[test]
fn an_endless_answer_is_cut_off() {
    let garbage = vec![b' '; 4096];
    let line = b"data: {\"choices\":[{\"delta\":{\"content\":\"aaaaaaaa\"}}]}\n\n".to_vec();
    for (kind, flood) in
        [("application/json", garbage.clone()), ("text/event-stream", line), ("text/event-stream", garbage)]
    {
        let server = Server::start(vec![vec![Piece::Send(head(kind)), Piece::Flood(flood)]]);
        let judge = judge(&server.base(), &[("max_answer_bytes", "65536")]);
        let start = Instant::now();
        let failure = ask(&judge, &["a"]).unwrap_err();
        assert!(invalid(&failure).contains("longer than 65536 bytes"), "{failure}");
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert_eq!((server.count(), judge.snapshot().too_large), (1, 1));
    }
    let mut header = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    header.resize(4 << 20, b'a');
    let server = Server::start(vec![vec![Piece::Send(header), Piece::Wait(200)]]);
    assert!(ask(&judge(&server.base(), &[]), &["a"]).is_err(), "an endless header");
}

#[test]
fn a_slow_drip_ends_at_the_deadline() {
    let Piece::Send(bytes) = deny().remove(0) else { panic!("bytes") };
    let server = Server::start(vec![vec![Piece::Drip(bytes, 40)]]);
    let judge = judge(&server.base(), &[("timeout", "600ms"), ("first_byte_timeout", "60s")]);
    let start = Instant::now();
    assert_eq!(ask(&judge, &["a"]).unwrap_err(), Failure::Late);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(6), "{took:?}");
    let counted = judge.snapshot();
    assert_eq!((counted.late, counted.slow, counted.requests), (1, 1, 1));
}

#[test]
fn a_streamed_drip_ends_at_the_callers_deadline() {
    let piece = b"data: {\"choices\":[{\"delta\":{\"content\":\" \"}}]}\n\n".repeat(100);
    let server = Server::start(vec![vec![Piece::Send(head("text/event-stream")), Piece::Drip(piece, 10)]]);
    let judge = judge(&server.base(), &[("timeout", "60s")]);
    let start = Instant::now();
    let deadline = Instant::now() + Duration::from_millis(400);
    let failure = lictor_judge::Judge::judge(&judge, &crate::llm_server::case(&["a"]), &[], deadline).unwrap_err();
    assert_eq!(failure, Failure::Late);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_says_nothing_is_given_up_and_tried_once_more() {
    let server = Server::start(vec![vec![Piece::Wait(20_000)], deny()]);
    let judge = judge(&server.base(), &[("first_byte_timeout", "100ms"), ("connect_timeout", "100ms")]);
    let start = Instant::now();
    assert_eq!(ask(&judge, &["a"]).unwrap().outcome, Outcome::Deny);
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert_eq!(judge.snapshot().slow, 1);
    let head_only = Server::start(vec![vec![Piece::Send(head("application/json")), Piece::Wait(20_000)]]);
    let judge =
        crate::llm_server::judge(&head_only.base(), &[("first_byte_timeout", "100ms"), ("connect_timeout", "100ms")]);
    let failure = ask(&judge, &["a"]).unwrap_err();
    assert!(unavailable(&failure).contains("first byte"), "{failure}");
    assert_eq!(judge.snapshot().slow, 2);
}

#[test]
fn nobody_listening_is_a_failure_at_once() {
    let server = Server::start(vec![deny()]);
    let base = server.base();
    drop(server);
    let judge = judge(&base, &[]);
    let start = Instant::now();
    let failure = ask(&judge, &["a"]).unwrap_err();
    assert!(unavailable(&failure).contains("refused"), "{failure}");
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(judge.snapshot().no_connection, 2);
}

#[test]
fn connecting_takes_no_longer_than_it_may() {
    // A queue of one that nobody empties: later connections are not answered.
    let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    nix::sys::socket::listen(&full, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let address = full.local_addr().unwrap();
    let fill = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200));
    let mut held = Vec::new();
    while let Ok(stream) = fill() {
        held.push(stream);
        assert!(held.len() < 16, "the queue does not fill up");
    }
    let judge = judge(&format!("http://{address}"), &[("connect_timeout", "100ms")]);
    let start = Instant::now();
    let failure = ask(&judge, &["a"]).unwrap_err();
    assert!(unavailable(&failure).contains("connecting took too long"), "{failure}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(judge.snapshot().slow, 2);
}

#[test]
fn a_connection_that_is_cut_is_tried_once_more() {
    let Piece::Send(whole) = deny().remove(0) else { panic!("bytes") };
    let cut = |at: usize| Piece::Send(whole[..at].to_vec());
    let stream = b"data: {\"choices\":[{\"delta\":{\"content\":\"{\"}}]}\n\n".to_vec();
    let chunked =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{\"cho".to_vec();
    for (name, act) in [
        ("before the head", vec![]),
        ("within the head", vec![cut(20)]),
        ("within the body", vec![cut(whole.len() - 10)]),
        ("within a chunk", vec![Piece::Send(chunked)]),
        ("within a stream", vec![Piece::Send(head("text/event-stream")), Piece::Send(stream)]),
        ("by a reset", vec![cut(whole.len() - 10), Piece::Wait(50), Piece::Reset]),
        ("no HTTP", vec![Piece::Send(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())]),
    ] {
        let server = Server::start(vec![act.clone(), deny()]);
        let judge = judge(&server.base(), &[]);
        assert_eq!(ask(&judge, &["a"]).map(|answer| answer.outcome), Ok(Outcome::Deny), "{name}");
        assert_eq!(judge.snapshot().cut, 1, "{name}");
        let server = Server::start(vec![act]);
        let failure = ask(&crate::llm_server::judge(&server.base(), &[]), &["a"]).unwrap_err();
        assert!(unavailable(&failure).contains("broke off"), "{name}: {failure}");
        assert_eq!(server.count(), 2, "{name}");
    }
}
