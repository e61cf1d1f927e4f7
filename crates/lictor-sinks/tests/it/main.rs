// SPDX-License-Identifier: Apache-2.0
//! Sinks against servers of the tests' own, on real sockets and real files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy knows only functions marked as tests, not their helpers"
)]

mod delivery;
mod deploy;
mod disk;
mod dispatcher;
mod files;
mod http;
mod server;
mod syslog;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lictor_api::alert::SinkStatus;
use lictor_api::event::Event;
use lictor_api::settings::{Settings, sinks};
use lictor_judge::rules::Filter;
use lictor_sinks::Metrics;
use lictor_sinks::format::Host;
use lictor_sinks::sinks::{Record, Sink};

/// The settings of the one sink in `text`, as `lictord.yaml` would give them.
pub(crate) fn settings(text: &str) -> sinks::Sinks {
    let text = format!("sinks:\n  s: {{{text}}}\n");
    Settings::parse("lictord.yaml", text.as_bytes()).unwrap().sinks
}

pub(crate) fn host() -> Host {
    Host { name: "box".into(), version: "0.1.0".into() }
}

pub(crate) fn start(dir: &Path, text: &str) -> Sink {
    let settings = settings(text).0.remove("s").unwrap();
    let filter = settings.filter.as_deref().map(|filter| Filter::new(filter).unwrap());
    Sink::start("s", settings, filter, &dir.join("s"), Arc::new(host()), Arc::new(Metrics::default())).unwrap()
}

pub(crate) fn event(number: usize) -> Record {
    let text = format!(
        r#"{{"id":"{number}","time":"2026-01-02T03:04:05.678901234Z","kind":"file","session":"s-1","agent":"coder",
            "process":{{"pid":7,"exe":"/bin/cat"}},"file":{{"op":"read","path":"/tmp/{number}"}},
            "verdict":{{"action":"deny","tier":"policy"}}}}"#
    );
    Record::Event(Arc::new(serde_json::from_str::<Event>(&text).unwrap()))
}

/// Waits until `done`, ten seconds at the most.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
pub(crate) fn until_status(sink: &Sink, done: impl Fn(&SinkStatus) -> bool) -> SinkStatus {
    let began = Instant::now();
    loop {
        let status = sink.status();
        if done(&status) {
            return status;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `from..to` as the ids of events.
pub(crate) fn ids(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| number.to_string()).collect()
}

/// Compares without printing thousands of ids.
#[track_caller]
pub(crate) fn assert_ids(found: &[String], expected: &[String]) {
    let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    let around = |ids: &[String]| ids.iter().skip(same.saturating_sub(1)).take(4).cloned().collect::<Vec<_>>();
    assert_eq!((around(found), found.len()), (around(expected), expected.len()), "from number {same}");
}
