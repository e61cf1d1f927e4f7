// SPDX-License-Identifier: Apache-2.0
//! A small HTTP server on raw sockets, so that every fault is exactly the one that is wanted.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What is done with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Status and further headers, each with its line end.
    Answer(u16, &'static str),
    /// Waits so many milliseconds first.
    Slow(u64),
    /// Takes the request and cuts the connection.
    Reset,
    /// 400 when the body contains the text, else 200.
    RefuseIf(&'static str),
    Body(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
    /// Whether it was answered with a success.
    pub(crate) taken: bool,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The ids of the events in a generic webhook's body.
    pub(crate) fn ids(&self) -> Vec<String> {
        let body = self.json();
        let records = body["records"].as_array().unwrap();
        records.iter().map(|record| record["event"]["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Does the n-th act with the n-th request, and the last with every later one.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(acts: Vec<Act>) -> Server {
        Server::on("127.0.0.1:0".parse().unwrap(), acts)
    }

    pub(crate) fn on(address: SocketAddr, acts: Vec<Act>) -> Server {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let thread = thread::spawn({
            let (requests, stop) = (requests.clone(), stop.clone());
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let (acts, requests) = (acts.clone(), requests.clone());
                    let stream = stream.unwrap();
                    thread::spawn(move || serve(&stream, &acts, &requests));
                }
            }
        });
        Server { address, requests, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The ids of all events that were taken with a success, in their order.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.requests().iter().filter(|request| request.taken).flat_map(Request::ids).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(stream: &TcpStream, acts: &[Act], requests: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let Ok(1..) = reader.read_line(&mut line) else { return };
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        let Ok(1..) = reader.read_line(&mut header) else { return };
        match header.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let mut request =
        Request { line: line.trim_end().to_owned(), headers, body: Vec::new(), at: Instant::now(), taken: false };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    if reader.read_exact(&mut request.body).is_err() {
        return;
    }
    let (act, number) = {
        let mut requests = requests.lock().unwrap();
        let act = acts[requests.len().min(acts.len() - 1)].clone();
        requests.push(request.clone());
        (act, requests.len() - 1)
    };
    let (status, more, body) = match act {
        Act::Answer(status, more) => (status, more, Vec::new()),
        Act::Slow(milliseconds) => {
            thread::sleep(Duration::from_millis(milliseconds));
            (200, "", Vec::new())
        }
        Act::Reset => {
            let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            nix::sys::socket::setsockopt(&stream.as_fd(), nix::sys::socket::sockopt::Linger, &linger).unwrap();
            return;
        }
        Act::RefuseIf(text) => {
            let has = String::from_utf8_lossy(&request.body).contains(text);
            (if has { 400 } else { 200 }, "", Vec::new())
        }
        Act::Body(body) => (200, "", body),
    };
    requests.lock().unwrap()[number].taken = status == 200;
    let head = format!("HTTP/1.1 {status} X\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // A client that has heard enough hangs up; that is its right.
    let mut stream = stream;
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}
