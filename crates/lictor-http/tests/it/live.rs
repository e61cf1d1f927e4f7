// SPDX-License-Identifier: Apache-2.0
//! Live events: filters, resuming, slow clients, many clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use lictor_api::event::Event;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::server::{Server, events};

type Socket = WebSocketStream<TcpStream>;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

async fn connect(server: &Server, query: &str) -> Result<Socket, Error> {
    let mut request = format!("ws://{}/api/v1/events/stream{query}", server.address).into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {}", server.token).parse().unwrap());
    let stream = TcpStream::connect(server.address).await?;
    Ok(client_async(request, stream).await?.0)
}

async fn next(socket: &mut Socket) -> Value {
    let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap().unwrap().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
    // It is read before the next event is published.
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn event(id: &str) -> Arc<Event> {
    let mut event = events().remove(0);
    event.id = id.to_owned();
    Arc::new(event)
}

#[test]
fn events_come_when_they_happen_and_only_those_that_are_wanted() {
    let server = Server::new();
    run(async {
        let mut all = connect(&server, "").await.unwrap();
        let mut denied = connect(&server, "?denied=true").await.unwrap();
        events().into_iter().for_each(|event| server.live.publish(event.into()));
        for id in ["01", "02", "03"] {
            let message = next(&mut all).await;
            assert_eq!((&message["type"], &message["event"]["id"]), (&json!("event"), &json!(id)));
        }
        let only = next(&mut denied).await;
        assert_eq!(only["event"], serde_json::to_value(&events()[1]).unwrap(), "the event as it is elsewhere");

        say(&mut denied, json!({"type": "filter", "filter": {"kind": ["network"]}})).await;
        events().into_iter().for_each(|event| server.live.publish(event.into()));
        assert_eq!(next(&mut denied).await["event"]["id"], "03");

        say(&mut denied, json!({"type": "pause"})).await;
        server.live.publish(events().remove(2).into());
        assert!(tokio::time::timeout(Duration::from_millis(300), denied.next()).await.is_err());
        say(&mut denied, json!({"type": "resume"})).await;
        assert_eq!(next(&mut denied).await["event"]["id"], "03", "what passed by is kept for a while");

        for wrong in [json!({"type": "shout"}), json!({"type": "filter", "filter": {"kin": []}}), json!(7)] {
            say(&mut denied, wrong).await;
            assert_eq!(next(&mut denied).await["type"], "error");
        }
    });
}

#[test]
fn who_resumes_misses_nothing_and_gets_nothing_twice() {
    let server = Server::new();
    run(async {
        let mut socket = connect(&server, "?resume=01").await.unwrap();
        assert_eq!(next(&mut socket).await["event"]["id"], "02");
        assert_eq!(next(&mut socket).await["event"]["id"], "03");
        // Recorded, sent from the record, and only then published: it comes once.
        server.recording.add(event("04"));
        let mut late = connect(&server, "?resume=03").await.unwrap();
        assert_eq!(next(&mut late).await["event"]["id"], "04");
        server.live.publish(event("04"));
        server.live.publish(event("05"));
        assert_eq!(next(&mut late).await["event"]["id"], "05");
        let mut unknown = connect(&server, "?resume=nothing").await.unwrap();
        let lost = next(&mut unknown).await;
        assert_eq!((&lost["type"], &lost["count"]), (&json!("lost"), &json!(0)));
        server.live.publish(event("06"));
        assert_eq!(next(&mut unknown).await["event"]["id"], "06");
    });
}

#[test]
fn a_slow_client_loses_events_is_told_how_many_and_holds_nobody_up() {
    let server = Server::new();
    run(async {
        let mut slow = connect(&server, "").await.unwrap();
        let mut quick = connect(&server, "").await.unwrap();
        let total = 60_000u64;
        let reader = tokio::spawn(async move {
            let (mut got, mut lost) = (0u64, 0u64);
            while got + lost < total {
                let message = next(&mut quick).await;
                match message["type"].as_str() {
                    Some("event") => got += 1,
                    Some("lost") => lost += message["count"].as_u64().unwrap(),
                    _ => {}
                }
            }
            (got, lost)
        });
        let big = Arc::new(Event { agent: Some("x".repeat(1000)), ..Event::clone(&event("x")) });
        let mut longest = Duration::ZERO;
        for number in 0..total {
            let began = Instant::now();
            server.live.publish(Arc::clone(&big));
            longest = longest.max(began.elapsed());
            if number % 500 == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        println!("the longest publishing: {longest:?}");
        let (got, lost) = reader.await.unwrap();
        assert_eq!(got + lost, total);
        assert!(got > total / 2, "who reads gets most: {got}");
        let (mut got, mut lost) = (0u64, 0u64);
        while got + lost < total {
            let message = next(&mut slow).await;
            match message["type"].as_str() {
                Some("event") => got += 1,
                Some("lost") => lost += message["count"].as_u64().unwrap(),
                _ => {}
            }
        }
        println!("the slow one got {got} and was told that it lost {lost}");
        assert!(lost > 0 && got + lost == total);
    });
}

#[test]
fn ten_thousand_clients_that_read_nothing_are_survived() {
    // Each has two ends in this process.
    let (limit, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let (_, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most, most).unwrap();
    let server = Server::with(|options| options.limits.write = Duration::from_secs(2));
    run(async {
        let (mut open, mut refused) = (Vec::new(), 0);
        for _ in 0..10_000 {
            match connect(&server, "").await {
                Ok(socket) => open.push(socket),
                Err(_) => refused += 1,
            }
        }
        println!("{} are served, {refused} refused (files: {limit} of {most})", open.len());
        assert_eq!(open.len(), 512, "as many as there are places");
        assert_eq!(refused, 9_488);
        let began = Instant::now();
        let big = Arc::new(Event { agent: Some("x".repeat(20_000)), ..Event::clone(&event("x")) });
        (0..20_000).for_each(|_| server.live.publish(Arc::clone(&big)));
        assert!(began.elapsed() < Duration::from_secs(5), "nobody is waited for: {:?}", began.elapsed());
        let asked = tokio::task::block_in_place(|| server.get("/api/v1/events").status());
        assert_eq!(asked, 200, "others are served meanwhile");
        // Who does not read is cut off, and makes room.
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(mut socket) = connect(&server, "").await {
                server.live.publish(event("after"));
                while next(&mut socket).await["event"]["id"] != "after" {}
                break;
            }
            assert!(Instant::now() < until, "there is no place again");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}

#[test]
fn a_stream_needs_a_token_and_our_own_origin() {
    let server = Server::new();
    run(async {
        let ask = async |headers: &[(&'static str, String)]| {
            let url = format!("ws://{}/api/v1/events/stream", server.address);
            let mut request = url.into_client_request().unwrap();
            for (name, value) in headers {
                request.headers_mut().insert(*name, value.parse().unwrap());
            }
            let stream = TcpStream::connect(server.address).await.unwrap();
            match client_async(request, stream).await {
                Ok(_) => 101,
                Err(Error::Http(answer)) => answer.status().as_u16(),
                Err(error) => panic!("{error}"),
            }
        };
        let token = ("authorization", format!("Bearer {}", server.token));
        assert_eq!(ask(&[]).await, 401);
        assert_eq!(ask(std::slice::from_ref(&token)).await, 101);
        assert_eq!(ask(&[token.clone(), ("origin", "http://evil.example".into())]).await, 403);
        assert_eq!(ask(&[token, ("origin", format!("http://{}", server.address))]).await, 101);
    });
    assert_eq!(server.get("/api/v1/events/stream").status(), 426);
    assert_eq!(server.get("/api/v1/events/stream?kind=x").status(), 400);
}

#[test]
fn listeners_are_told_when_the_daemon_stops() {
    let mut server = Server::new();
    run(async {
        let mut socket = connect(&server, "").await.unwrap();
        let running = server.running.take().unwrap();
        let stopping = tokio::task::spawn_blocking(move || running.stop());
        let message = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(&message, Message::Close(Some(frame)) if u16::from(frame.code) == 1001), "{message:?}");
        stopping.await.unwrap();
    });
}
