// SPDX-License-Identifier: Apache-2.0
//! A small HTTP server on raw sockets, so that every fault is exactly the one that is wanted.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lictor_api::event::{Event, Kind};
use lictor_api::settings::Settings;
use lictor_api::settings::llm::Llm;
use lictor_judge::llm::LlmJudge;
use lictor_judge::{Answer, Case, Failure, Judge as _};
use serde_json::{Value, json};

/// What is done with one request, piece after piece; then the connection is closed.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Send(Vec<u8>),
    Wait(u64),
    /// Sends these bytes again and again until nobody takes them.
    Flood(Vec<u8>),
    /// One byte at a time, with so many milliseconds between.
    Drip(Vec<u8>, u64),
    Reset,
}

pub(crate) type Act = Vec<Piece>;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Gives the n-th request the n-th act, and every later one the last.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(acts: Vec<Act>) -> Server {
        Server::start_with(acts, |stream| Some(Box::new(stream)))
    }

    /// `wrap` makes a connection what is spoken over, or nothing.
    pub(crate) fn start_with<W>(acts: Vec<Act>, wrap: W) -> Server
    where
        W: Fn(TcpStream) -> Option<Box<dyn Connection>> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let next = Arc::<AtomicUsize>::default();
        let (acts, wrap) = (Arc::new(acts), Arc::new(wrap));
        let thread = thread::spawn({
            let (requests, stop) = (requests.clone(), stop.clone());
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let (acts, wrap, requests, next) = (acts.clone(), wrap.clone(), requests.clone(), next.clone());
                    let stream = stream.unwrap();
                    thread::spawn(move || {
                        let raw = stream.try_clone().unwrap();
                        let Some(mut connection) = wrap(stream) else { return };
                        let Some(request) = read_request(&mut *connection) else { return };
                        requests.lock().unwrap().push(request);
                        let at = next.fetch_add(1, Ordering::SeqCst).min(acts.len() - 1);
                        // A client that has heard enough hangs up; that is its right.
                        let _ = perform(&acts[at], &mut *connection, &raw);
                    });
                }
            }
        });
        Server { address, requests, stop, thread: Some(thread) }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

pub(crate) trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

fn read_request(connection: &mut dyn Connection) -> Option<Request> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|read| *read > 0)?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let mut request = Request { line: line.trim_end().to_owned(), headers, body: String::new(), at: Instant::now() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}

fn perform(act: &Act, connection: &mut dyn Connection, raw: &TcpStream) -> std::io::Result<()> {
    for piece in act {
        match piece {
            Piece::Send(bytes) => {
                connection.write_all(bytes)?;
                connection.flush()?;
            }
            Piece::Wait(milliseconds) => thread::sleep(Duration::from_millis(*milliseconds)),
            Piece::Flood(bytes) => loop {
                connection.write_all(bytes)?;
            },
            Piece::Drip(bytes, milliseconds) => {
                for byte in bytes {
                    connection.write_all(&[*byte])?;
                    connection.flush()?;
                    thread::sleep(Duration::from_millis(*milliseconds));
                }
            }
            Piece::Reset => {
                // Unread and unsent data is dropped: the peer sees a reset.
                let linger = libc_linger();
                nix::sys::socket::setsockopt(&raw.as_fd(), nix::sys::socket::sockopt::Linger, &linger)?;
                return Ok(());
            }
        }
    }
    Ok(())
}

fn libc_linger() -> nix::libc::linger {
    nix::libc::linger { l_onoff: 1, l_linger: 0 }
}

/// A whole answer with this body.
pub(crate) fn reply(status: &str, content_type: &str, body: &str) -> Act {
    reply_with(status, &format!("content-type: {content_type}\r\n"), body)
}

pub(crate) fn reply_with(status: &str, headers: &str, body: &str) -> Act {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
    vec![Piece::Send(text.into_bytes())]
}

pub(crate) fn head(content_type: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n").into_bytes()
}

pub(crate) fn said(verdict: &str, confidence: f64) -> String {
    json!({ "verdict": verdict, "confidence": confidence, "reason": "because", "technique": "T1059.004" }).to_string()
}

/// An OpenAI-compatible answer whose model wrote `text`.
pub(crate) fn openai(text: &str) -> Act {
    let body = json!({ "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }] });
    reply("200 OK", "application/json", &body.to_string())
}

pub(crate) fn deny() -> Act {
    openai(&said("deny", 0.9))
}

pub(crate) fn allow() -> Act {
    openai(&said("allow", 0.9))
}

/// The settings below `judge.llm`, as `lictord.yaml` would give them; `more` overrides.
pub(crate) fn settings(base_url: &str, more: &[(&str, &str)]) -> Llm {
    let mut keys = vec![
        ("provider", "openai"),
        ("model", "m"),
        ("base_url", base_url),
        ("timeout", "5s"),
        ("breaker_failures", "100"),
    ];
    for (key, value) in more {
        keys.retain(|(known, _)| known != key);
        keys.push((key, value));
    }
    let keys: String = keys.iter().map(|(key, value)| format!("    {key}: {value}\n")).collect();
    let text = format!("judge:\n  llm:\n{keys}");
    Settings::parse("lictord.yaml", text.as_bytes()).unwrap().judge.llm.unwrap()
}

pub(crate) fn judge(base_url: &str, more: &[(&str, &str)]) -> LlmJudge {
    LlmJudge::new(&settings(base_url, more), None).unwrap()
}

pub(crate) fn case(args: &[&str]) -> Case {
    let mut event = Event::new(Kind::Exec, String::new(), String::new());
    event.process.args = Some(args.iter().map(ToString::to_string).collect());
    Case::new(event)
}

pub(crate) fn in_seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// Judges `args` with a minute of time.
pub(crate) fn ask(judge: &LlmJudge, args: &[&str]) -> Result<Answer, Failure> {
    judge.judge(&case(args), &[], in_seconds(60))
}
