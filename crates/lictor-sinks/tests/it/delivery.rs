// SPDX-License-Identifier: Apache-2.0
//! What becomes of records when the other side is away, slow, or says no.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use lictor_api::alert::SinkState;

use crate::server::{Act, Server};
use crate::{assert_ids, event, ids, start, until, until_status};

fn webhook(url: &str, more: &str) -> String {
    format!(
        "type: webhook, url: \"{url}\", send: [events], retry: 20ms, retry_max: 100ms, timeout: 2s, batch: 50, {more}"
    )
}

/// An address where nobody listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn an_unreachable_server_gets_everything_in_order_when_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let address = nowhere();
    let sink = start(dir.path(), &webhook(&format!("http://{address}/hook"), "queue: 1000"));
    for number in 0..5000 {
        sink.offer(&event(number));
        if number % 50 == 0 {
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    let status = until_status(&sink, |status| status.state == SinkState::Retrying && status.queue_depth == 5000);
    assert_eq!((status.sent, status.dropped), (0, 0));
    assert!(status.last_error.unwrap().contains("refused"));
    assert!(status.spilled > 4000 && status.spill_bytes > 0 && status.lag_ms > 0);
    let server = Server::on(address, vec![Act::Answer(200, "")]);
    let status = until_status(&sink, |status| status.sent == 5000);
    assert_eq!((status.queue_depth, status.dropped, status.state), (0, 0, SinkState::Working));
    assert_ids(&server.taken(), &ids(0, 5000));
}

#[test]
fn what_waits_outlives_a_restart_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let address = nowhere();
    let text = webhook(&format!("http://{address}/hook"), "queue: 1000");
    for round in 0..4 {
        let mut sink = start(dir.path(), &text);
        for number in 0..500 {
            sink.offer(&event(round * 500 + number));
        }
        // Closed at different moments: before, during and after the first attempts.
        std::thread::sleep(Duration::from_millis(40 * round as u64));
        sink.close(Duration::from_millis(100));
        let status = sink.status();
        assert_eq!((status.dropped, status.queue_depth), (0, (round as u64 + 1) * 500), "{status:?}");
    }
    let server = Server::on(address, vec![Act::Answer(200, "")]);
    let mut sink = start(dir.path(), &text);
    sink.offer(&event(2000));
    until_status(&sink, |status| status.sent == 2001);
    assert_ids(&server.taken(), &ids(0, 2001));
    sink.close(Duration::from_secs(1));
    // And nothing comes twice.
    let sink = start(dir.path(), &text);
    sink.offer(&event(2001));
    until_status(&sink, |status| status.sent == 1);
    assert_ids(&server.taken(), &ids(0, 2002));
}

#[test]
fn above_the_bound_it_is_counted_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let address = nowhere();
    let sink = start(dir.path(), &webhook(&format!("http://{address}/hook"), "queue: 100, spill: 64KiB"));
    for number in 0..3000 {
        sink.offer(&event(number));
        if number % 20 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let status = until_status(&sink, |status| status.dropped > 0 && status.spill_bytes > 50_000);
    assert!(status.queue_depth + status.dropped >= 3000, "{status:?}");
    assert!(status.spill_bytes <= 64 << 10);
    let server = Server::on(address, vec![Act::Answer(200, "")]);
    until_status(&sink, |status| status.queue_depth == 0 && status.sent > 0);
    // What is left has its order, and says how many are missing.
    let bodies: Vec<_> =
        server.requests().iter().filter(|request| request.taken).map(|request| request.json()).collect();
    let records: Vec<_> = bodies.iter().flat_map(|body| body["records"].as_array().unwrap()).collect();
    let lost: u64 = records.iter().filter_map(|record| record["event"]["lost"]["count"].as_u64()).sum();
    assert_eq!(lost, sink.status().dropped);
    let kept: Vec<u64> = records.iter().filter_map(|record| record["event"]["id"].as_str()?.parse().ok()).collect();
    assert!(kept.is_sorted() && kept.len() as u64 + lost == 3000, "{} {lost}", kept.len());
}

#[test]
fn errors_and_cut_connections_are_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let acts = vec![
        Act::Answer(500, ""),
        Act::Reset,
        Act::Answer(503, ""),
        Act::Answer(302, "location: http://127.0.0.1:1/\r\n"),
        Act::Answer(401, ""),
        Act::Answer(200, ""),
    ];
    let server = Server::start(acts);
    let sink = start(dir.path(), &webhook(&server.url(), ""));
    for number in 0..10 {
        sink.offer(&event(number));
    }
    let status = until_status(&sink, |status| status.sent == 10);
    assert_eq!((status.rejected, status.dropped, status.state), (0, 0, SinkState::Working));
    assert_ids(&server.taken(), &ids(0, 10));
    let requests = server.requests();
    assert_eq!(requests.len(), 6, "five failures, each answered by one attempt; a redirect is not followed");
    let delivery = |at: usize| requests[at].header("x-lictor-delivery").unwrap().to_owned();
    assert!((1..6).all(|at| delivery(at) == delivery(0)), "a repetition is known as one");
}

#[test]
fn a_server_that_asks_to_wait_is_left_alone_for_so_long() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Act::Answer(429, "retry-after: 1\r\n"), Act::Answer(200, "")]);
    let sink = start(dir.path(), &webhook(&server.url(), ""));
    sink.offer(&event(0));
    let status = until_status(&sink, |status| status.last_error.is_some());
    assert!(status.last_error.unwrap().contains("429"));
    until_status(&sink, |status| status.sent == 1);
    let requests = server.requests();
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(1));
}

#[test]
fn a_slow_server_is_given_up_in_time_and_holds_up_nobody() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let slow = Server::start(vec![Act::Slow(60_000), Act::Answer(200, "")]);
    let quick = Server::start(vec![Act::Answer(200, "")]);
    let text = webhook(&slow.url(), "").replace("timeout: 2s", "timeout: 300ms");
    let (slow_sink, quick_sink) = (start(dir.path(), &text), start(other.path(), &webhook(&quick.url(), "")));
    let began = Instant::now();
    for number in 0..1000 {
        slow_sink.offer(&event(number));
        quick_sink.offer(&event(number));
    }
    assert!(began.elapsed() < Duration::from_secs(1), "offering never waits");
    until_status(&quick_sink, |status| status.sent == 1000);
    let status = until_status(&slow_sink, |status| status.last_error.is_some());
    assert!(status.last_error.unwrap().contains("no answer within 300ms"));
    until_status(&slow_sink, |status| status.sent == 1000);
    assert_ids(&slow.taken(), &ids(0, 1000));
}

#[test]
fn one_record_that_is_refused_for_good_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Act::RefuseIf("/tmp/13\"")]);
    let sink = start(dir.path(), &webhook(&server.url(), ""));
    for number in 0..120 {
        sink.offer(&event(number));
    }
    let status = until_status(&sink, |status| status.queue_depth == 0 && status.sent > 0);
    assert_eq!((status.sent, status.rejected), (119, 1));
    let mut expected = ids(0, 120);
    expected.remove(13);
    assert_ids(&server.taken(), &expected);
}

#[test]
fn closing_does_not_wait_for_a_server_that_hangs_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let hanging = Server::start(vec![Act::Slow(60_000)]);
    let text = webhook(&hanging.url(), "").replace("timeout: 2s", "timeout: 60s");
    let mut sink = start(dir.path(), &text);
    for number in 0..200 {
        sink.offer(&event(number));
    }
    until("the first request", || !hanging.requests().is_empty());
    let began = Instant::now();
    sink.close(Duration::from_millis(200));
    assert!(began.elapsed() < Duration::from_secs(3));
    let server = Server::start(vec![Act::Answer(200, "")]);
    let sink = start(dir.path(), &webhook(&server.url(), ""));
    until_status(&sink, |status| status.sent == 200);
    assert_ids(&server.taken(), &ids(0, 200));
}

#[test]
fn without_room_on_disk_memory_is_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let sink = start(dir.path(), &webhook(&format!("http://{}/hook", nowhere()), "queue: 100, spill: 0"));
    for number in 0..500 {
        sink.offer(&event(number));
    }
    let status = until_status(&sink, |status| status.state == SinkState::Retrying);
    // Beside the notice of what is missing.
    assert_eq!(
        (status.queue_depth + status.dropped).clamp(500, 510),
        status.queue_depth + status.dropped,
        "{status:?}"
    );
    assert_eq!(status.spilled, 0);
    assert!(!dir.path().join("s").exists());
}
