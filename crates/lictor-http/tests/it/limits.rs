// SPDX-License-Identifier: Apache-2.0
//! Clients that ask too much, too fast, or not at all.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::{Server, status};

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let server = Server::new();
    let text = "x".repeat(3 << 20);
    let (code, error) = server.send("POST", "/api/v1/policy/check", &json!({ "text": text }), &[]);
    assert_eq!((code, error["error"]["code"].as_str()), (413, Some("too_large")));
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(64 << 10));
    let answer = server.raw(long.as_bytes());
    assert!(matches!(status(&answer), 414 | 431), "{answer}");
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
    assert_eq!(status(&server.raw(many.as_bytes())), 431);
}

#[test]
fn what_is_malformed_is_refused_and_harms_nothing() {
    let server = Server::new();
    for request in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\0 / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /api/v1/policy/check HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n",
    ] {
        let answer = server.raw(request);
        assert!(answer.is_empty() || matches!(status(&answer), 400..500), "{request:?}: {answer}");
    }
    for body in ["", "{", "[]", "{\"text\":1}", "{\"text\":\"\",\"more\":1}", "\"\\ud800\""] {
        let answer = server
            .client()
            .post(server.url("/api/v1/policy/check"))
            .bearer_auth(&server.token)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .unwrap();
        assert_eq!(answer.status(), 400, "{body}");
        assert!(answer.text().unwrap().contains("\"code\":\"invalid\""), "{body}");
    }
    let other = server.client().post(server.url("/api/v1/policy/check")).bearer_auth(&server.token).body("{}").send();
    assert_eq!(other.unwrap().status(), 415);
    assert_eq!(server.get("/api/v1/me").status(), 200);
}

#[test]
fn a_client_that_asks_too_fast_is_told_to_wait() {
    let server = Server::with(|options| (options.limits.burst, options.limits.per_second) = (30, 1));
    let client = server.client();
    let ask = || client.get(server.url("/healthz")).send().unwrap();
    let answers: Vec<_> = (0..40).map(|_| ask()).collect();
    assert!(answers[..30].iter().all(|answer| answer.status() == 200));
    let last = answers.last().unwrap();
    assert_eq!((last.status().as_u16(), last.headers()["retry-after"].to_str().unwrap()), (429, "1"));
}

#[test]
fn guessing_tokens_is_slow() {
    let server = Server::with(|options| (options.limits.burst, options.limits.per_second) = (100, 1));
    let client = server.client();
    let guess = |number| client.get(server.url("/api/v1/me")).bearer_auth(format!("lictor_{number}")).send().unwrap();
    let codes: Vec<u16> = (0..10).map(|number| guess(number).status().as_u16()).collect();
    assert_eq!(codes[0], 401);
    assert_eq!(*codes.last().unwrap(), 429, "{codes:?}");
}

#[test]
fn a_request_that_does_not_come_to_its_end_is_given_up() {
    let server = Server::with(|options| options.limits.head = Duration::from_millis(300));
    let began = Instant::now();
    let mut slow: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    assert_eq!(server.get("/healthz").status(), 200, "others are served meanwhile");
    for stream in &mut slow {
        let mut answer = Vec::new();
        // Closed with or without a word.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || status(&String::from_utf8_lossy(&answer)) == 408);
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn one_connection_too_many_is_closed_and_the_unix_socket_has_places_of_its_own() {
    let server = Server::with(|options| options.limits.connections = 20);
    let held: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let mut late = TcpStream::connect(server.address).unwrap();
    late.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = late.read_to_end(&mut answer);
    assert!(answer.is_empty());
    let mut unix = std::os::unix::net::UnixStream::connect(server.dir.path().join("http.sock")).unwrap();
    unix.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    unix.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 200);
    drop(held);
    let again = || server.client().get(server.url("/healthz")).send().is_ok_and(|answer| answer.status() == 200);
    let until = Instant::now() + Duration::from_secs(10);
    while !again() {
        assert!(Instant::now() < until, "places are free again when their clients have gone");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let server = Server::with(|options| options.limits.write = Duration::from_millis(500));
    for number in 0..9_000 {
        let mut event = crate::server::events().remove(0);
        event.id = format!("x{number}");
        event.process.cmdline = Some("x".repeat(2_000));
        server.recording.add(event.into());
    }
    let mut stream = TcpStream::connect(server.address).unwrap();
    let request = format!(
        "GET /api/v1/events?limit=1000 HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {}\r\n\r\n",
        server.address.port(),
        server.token
    );
    for _ in 0..20 {
        stream.write_all(request.as_bytes()).unwrap();
    }
    std::thread::sleep(Duration::from_secs(5));
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all);
    let whole = 20 * 2_000_000;
    assert!(all.len() < whole, "it was cut after {} bytes: {ended:?}", all.len());
}

#[test]
fn requests_that_are_being_answered_end_before_the_server_does() {
    let mut server = Server::new();
    let url = server.url("/api/v1/events");
    let (client, token) = (server.client(), server.token.clone());
    assert_eq!(client.get(&url).bearer_auth(&token).send().unwrap().status(), 200);
    let began = Instant::now();
    server.running.take().unwrap().stop();
    assert!(began.elapsed() < Duration::from_secs(9), "idle connections hold nobody up: {:?}", began.elapsed());
    assert!(client.get(&url).bearer_auth(&token).send().is_err());
}

#[test]
fn a_list_of_200_events_is_there_in_10_ms() {
    let server = Server::new();
    for number in 0..9_000 {
        let mut event = crate::server::events().remove(number % 3);
        event.id = format!("x{number}");
        server.recording.add(event.into());
    }
    let client = server.client();
    let mut times: Vec<Duration> = (0..60)
        .map(|_| {
            let began = Instant::now();
            let answer = client.get(server.url("/api/v1/events?limit=200")).bearer_auth(&server.token).send().unwrap();
            assert_eq!(answer.text().unwrap().matches("\"id\":\"x").count(), 200);
            began.elapsed()
        })
        .collect();
    times.sort();
    let median = times[times.len() / 2];
    println!("200 events: p50 {median:?}, p90 {:?}", times[times.len() * 9 / 10]);
    assert!(median < Duration::from_millis(10), "{median:?}");
}
