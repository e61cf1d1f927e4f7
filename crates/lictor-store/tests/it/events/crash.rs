// SPDX-License-Identifier: Apache-2.0
//! Killed at random moments: the store opens, and what was acknowledged is there.

use super::*;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

const CHILD: &str = "LICTOR_STORE_TEST_CHILD";
const ROUNDS: usize = 50;

/// The process that is killed: writes numbered events for ever, and says up to which they are on disk.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let store = open(Path::new(&dir));
    let last = Page { order: Order::NewestFirst, after: None, limit: 1 };
    let last = store.reader().unwrap().query(&Default::default(), last).unwrap();
    let mut number = last.events.first().map_or(0, |(_, event)| event.id.parse::<u64>().unwrap() + 1);
    let mut generator = support::Generator::new(number, 10_000);
    // A line of its own, whatever the test runner has printed.
    println!("\nready {number}");
    loop {
        let count = 300 + number * 7 % 3000;
        let events: Vec<Arc<Event>> = (number..number + count)
            .map(|number| {
                let mut event = generator.next_event();
                event.id = format!("{number:020}");
                Arc::new(event)
            })
            .collect();
        assert_eq!(store.submit(events), 0);
        number += count;
        store.flush(PATIENCE).unwrap();
        println!("\nwritten {number}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = 12_345u64;
    let mut acknowledged = 0u64;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "events::crash::child", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut numbers = lines.by_ref().filter_map(|line| {
            let (word, number) = line.split_once(' ')?;
            let number: u64 = number.parse().ok()?;
            matches!(word, "ready" | "written").then_some(number)
        });
        let ready = numbers.next().unwrap();
        assert!(ready >= acknowledged, "round {round}: {acknowledged} were acknowledged, {ready} are there");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let end = Instant::now() + Duration::from_micros((random >> 33) % 200_000);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        acknowledged = numbers.last().unwrap_or(ready).max(ready);
        killer.join().unwrap();
    }
    assert!(acknowledged > 20_000, "only {acknowledged} events were written: nothing was tested");
    let store = open(dir.path());
    let events = all(&store.reader().unwrap());
    assert!(events.len() as u64 >= acknowledged);
    assert!(
        events.iter().zip(0u64..).all(|(event, number)| event.id == format!("{number:020}")),
        "each once, in order"
    );
    assert_eq!(store.health().damaged_files, 0);
}

#[test]
fn a_log_that_was_cut_or_changed_gives_what_came_before() {
    let dir = tempfile::tempdir().unwrap();
    let events = generated(5, 3000);
    let store = open(dir.path());
    events.chunks(100).for_each(|some| submit(&store, some.to_vec()));
    let copy = |change: &dyn Fn(&mut Vec<u8>)| {
        let other = tempfile::tempdir().unwrap();
        std::fs::copy(dir.path().join("events.db"), other.path().join("events.db")).unwrap();
        let mut log = std::fs::read(dir.path().join("events.db-wal")).unwrap();
        change(&mut log);
        std::fs::write(other.path().join("events.db-wal"), log).unwrap();
        let store = open(other.path());
        assert_eq!(store.health().damaged_files, 0);
        let found = all(&store.reader().unwrap());
        assert!(found.iter().eq(&events[..found.len()]));
        // It goes on from there.
        submit(&store, generated(6, 10));
        assert_eq!(all(&store.reader().unwrap()).len(), found.len() + 10);
        found.len()
    };
    assert_eq!(copy(&|_| ()), 3000);
    let length = std::fs::metadata(dir.path().join("events.db-wal")).unwrap().len() as usize;
    let mut least = 3000;
    for step in 1..24 {
        least = least.min(copy(&|log| log.truncate(length * step / 24 + step)));
        copy(&|log| log[length * step / 24] ^= 0x40);
    }
    assert!(least < 1500, "the cuts were too small: {least}");
}
