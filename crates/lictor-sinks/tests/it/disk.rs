// SPDX-License-Identifier: Apache-2.0
//! A disk that is full, and a process that is killed: each in a process of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lictor_api::alert::SinkState;

use crate::server::{Act, Server};
use crate::{assert_ids, event, ids, start, until_status};

const DIR: &str = "LICTOR_TEST_DIR";

/// Runs the ignored test `name` of this program, by a shell that sets the stage.
fn child(name: &str, dir: &Path, stage: &str) -> Child {
    let script = format!("{stage} exec \"$0\" --exact {name} --ignored --nocapture");
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("/bin/bash");
    command.args(["-c", &script]).arg(program).env(DIR, dir).stdout(Stdio::null());
    command.spawn().unwrap()
}

fn unreachable() -> &'static str {
    // Port 1 of this machine: nobody listens there.
    "type: webhook, url: \"http://127.0.0.1:1/hook\", send: [events], queue: 200, retry: 20ms, retry_max: 50ms"
}

#[test]
#[ignore = "run by a_full_disk_keeps_what_is_there_and_counts_the_rest"]
fn writes_until_the_disk_is_full() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let mut sink = start(Path::new(&dir), unreachable());
    for number in 0..3000 {
        sink.offer(&event(number));
        if number % 20 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let status = until_status(&sink, |status| {
        status.dropped > 0 && status.last_error.as_ref().is_some_and(|error| error.contains("cannot keep"))
    });
    assert!(status.queue_depth + status.dropped >= 3000, "{status:?}");
    sink.close(Duration::from_millis(50));
    std::fs::write(Path::new(&dir).join("dropped"), sink.status().dropped.to_string()).unwrap();
}

#[test]
fn a_full_disk_keeps_what_is_there_and_counts_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    // No file may be longer than 100 KiB: a write beyond is cut and fails, as on a full disk.
    let mut child = child("disk::writes_until_the_disk_is_full", dir.path(), "trap '' XFSZ; ulimit -f 100;");
    assert!(child.wait().unwrap().success());
    let dropped: u64 = std::fs::read_to_string(dir.path().join("dropped")).unwrap().parse().unwrap();
    let server = Server::start(vec![Act::Answer(200, "")]);
    let text = unreachable().replace("http://127.0.0.1:1/hook", &server.url());
    let sink = start(dir.path(), &text);
    let status = until_status(&sink, |status| status.queue_depth == 0 && status.sent > 0);
    assert_eq!((status.dropped, status.state), (0, SinkState::Working), "no line was torn");
    let taken = server.taken();
    let kept: Vec<u64> = taken.iter().filter_map(|id| id.parse().ok()).collect();
    assert!(kept.is_sorted_by(|a, b| a < b) && kept.len() > 100, "{}", kept.len());
    // Every record is kept or counted; a notice of what is missing may have been dropped, too.
    let all = kept.len() as u64 + dropped;
    assert!((3000..=3010).contains(&all), "{all}");
}

#[test]
#[ignore = "run by what_is_on_disk_outlives_a_kill"]
fn offers_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let sink = start(Path::new(&dir), &unreachable().replace("queue: 200", "queue: 20000"));
    for number in 0..1_000_000 {
        sink.offer(&event(number));
        if number % 10 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn what_is_on_disk_outlives_a_kill() {
    for round in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let mut child = child("disk::offers_until_it_is_killed", dir.path(), "");
        std::thread::sleep(Duration::from_millis(700 + 90 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let server = Server::start(vec![Act::Answer(200, "")]);
        let sink = start(dir.path(), &unreachable().replace("http://127.0.0.1:1/hook", &server.url()));
        until_status(&sink, |status| status.queue_depth == 0 && status.sent > 0);
        let taken = server.taken();
        assert!(taken.len() > 20, "{}", taken.len());
        // The first batch was in the hands of the delivery, in memory: it is what a kill costs at the most.
        let first: usize = taken[0].parse().unwrap();
        assert!(first <= 500, "{first}");
        assert_ids(&taken, &ids(first, first + taken.len()));
    }
}
