// SPDX-License-Identifier: Apache-2.0
//! `make bench-store`: how fast events are taken, found and counted, and what they cost on disk and in memory.
//!
//!     bench-store DIR [EVENTS] [RATE]
//!
//! Fills a store in DIR (10 million events by default), offers RATE events a second (20,000) to the full store for 30 seconds, then
//! asks. Everything is printed as a table in Markdown.

#[path = "../tests/support/mod.rs"]
mod support;

use lictor_api::EventFilter;
use lictor_api::event::{Event, Kind, Severity};
use lictor_api::settings::store::Store as Settings;
use lictor_store::events::sql::{Question, Sink, query};
use lictor_store::events::{Limits, Order, Page, Store, Value};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-store: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: bench-store DIR [EVENTS] [RATE]")?;
    if dir == "--resident" {
        return resident(Path::new(&arguments.next().ok_or("usage: bench-store --resident DIR")?));
    }
    let (dir, events) = (Path::new(&dir), arguments.next().map_or(Ok(10_000_000), |text| text.parse::<u64>())?);
    let rate = arguments.next().map_or(Ok(20_000), |text| text.parse::<u64>())?;
    let store = Store::open(
        dir,
        Limits { keep: Duration::from_secs(365 * 86_400), max_size: 1 << 40, ..Limits::new(&Settings::default()) },
    )?;
    let mut generator = support::Generator::new(42, 100_000);
    fill(&store, &mut generator, events)?;
    sustain(&store, &mut generator, rate)?;
    println!("| this process, its generator included | {} MB resident |", resident_mb()?);
    searches(&store, events)?;
    let stored = store.health().size;
    drop(store);
    let again =
        std::process::Command::new(std::env::current_exe()?).args(["--resident".as_ref(), dir.as_os_str()]).output()?;
    print!("{}", String::from_utf8_lossy(&again.stdout));
    println!("| on disk | {} MB, {:.1} bytes an event |", stored >> 20, stored as f64 / events as f64);
    sql(dir)
}

/// What a process has in memory that opens the store and has answered, as `lictord` does after a start.
fn resident(dir: &Path) -> Result<(), Failure> {
    let before = resident_mb()?;
    let limits =
        Limits { keep: Duration::from_secs(365 * 86_400), max_size: 1 << 40, ..Limits::new(&Settings::default()) };
    let store = Store::open(dir, limits)?;
    for denied in [false, true] {
        let filter = EventFilter { denied, ..EventFilter::default() };
        store.reader()?.query(&filter, Page { order: Order::NewestFirst, after: None, limit: 200 })?;
    }
    println!(
        "| opened, and asked for the newest and the newest denied | {} MB more resident than before |",
        resident_mb()? - before
    );
    Ok(())
}

/// As fast as it goes; the processor time is that of the store's thread alone.
fn fill(store: &Store, generator: &mut support::Generator, events: u64) -> Result<(), Failure> {
    let (mut spent, mut json) = (Duration::ZERO, 0u64);
    let before = store_thread_seconds()?;
    let mut left = events;
    while left > 0 {
        let some: Vec<Arc<Event>> = (0..left.min(16_000)).map(|_| Arc::new(generator.next_event())).collect();
        left -= some.len() as u64;
        json += serde_json::to_vec(&*some[0])?.len() as u64 * some.len() as u64;
        let began = Instant::now();
        if store.submit(some) != 0 {
            return Err("events were lost while filling".into());
        }
        store.flush(Duration::from_secs(60))?;
        spent += began.elapsed();
    }
    let cpu = store_thread_seconds()? - before;
    println!("| measured | |\n|---|---|");
    println!("| an event as JSON | about {} bytes |", json / events.max(1));
    println!("| taken and on disk, as fast as it goes | {:.0} a second |", events as f64 / spent.as_secs_f64());
    println!("| processor time of the writing thread | {:.1} us an event |", cpu * 1e6 / events as f64);
    Ok(())
}

fn sustain(store: &Store, generator: &mut support::Generator, rate: u64) -> Result<(), Failure> {
    // Made beforehand: making them costs more than storing them.
    let some: Vec<Arc<Event>> = (0..rate).map(|_| Arc::new(generator.next_event())).collect();
    let (begin, mut lost, mut longest, seconds) = (Instant::now(), 0, Duration::ZERO, 30);
    let cpu = store_thread_seconds()?;
    for round in 0..seconds * 50 {
        let due = begin + Duration::from_millis(20) * round;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let part = (round % 50) as usize * some.len() / 50..(round % 50 + 1) as usize * some.len() / 50;
        let call = Instant::now();
        lost += store.submit(some[part].iter().cloned());
        longest = longest.max(call.elapsed());
    }
    store.flush(Duration::from_secs(60))?;
    let cpu = (store_thread_seconds()? - cpu) / f64::from(seconds) * 100.0;
    println!(
        "| {rate} a second for {seconds} s into the full store | {lost} lost; longest wait of the caller {longest:.1?}; {cpu:.0} % of a core |"
    );
    Ok(())
}

fn searches(store: &Store, events: u64) -> Result<(), Failure> {
    let middle = support::BEGIN_MS + i64::try_from(events)? * 50;
    let base = EventFilter::default;
    let some = |text: &str| Some(text.to_owned());
    let known = store.reader()?.query(&base(), Page { order: Order::OldestFirst, after: None, limit: 1 })?;
    let (_, first) = known.events.first().ok_or("the store is empty")?;
    // What is looked for stands somewhere in the middle.
    let there = |kind: Kind| -> Result<Event, Failure> {
        let filter = EventFilter { kinds: vec![kind], since_ms: Some(middle), ..base() };
        let found = store.reader()?.query(&filter, Page { order: Order::OldestFirst, after: None, limit: 1 })?;
        Ok(found.events.into_iter().next().ok_or("there is no such event in the middle")?.1)
    };
    let path = there(Kind::File)?.file.and_then(|file| file.path).ok_or("a file without a path")?;
    let (folder, name) = path.rsplit_once('/').ok_or("a path without a folder")?;
    let address = there(Kind::Network)?.network.and_then(|network| network.address);
    let filters = [
        ("the newest", base()),
        ("denied", EventFilter { denied: true, ..base() }),
        (
            "an hour in the middle, denied",
            EventFilter { since_ms: Some(middle), until_ms: Some(middle + 3_600_000), denied: true, ..base() },
        ),
        ("a session of the first day", EventFilter { session: first.session.clone(), ..base() }),
        (
            "agent and kind and denied",
            EventFilter { agent: some("codex"), kinds: vec![Kind::Network], denied: true, ..base() },
        ),
        ("severity critical", EventFilter { severity: Some(Severity::Critical), ..base() }),
        ("program", EventFilter { program: some("rg"), ..base() }),
        ("a path", EventFilter { path: some("/home/dev1/.ssh/id_ed25519"), ..base() }),
        ("a folder", EventFilter { path: some(folder), ..base() }),
        ("an address", EventFilter { address, ..base() }),
        ("a rule", EventFilter { rule: some("secrets-read-by-tool"), ..base() }),
        (
            "words",
            EventFilter {
                text: Some(format!("{} {name}", folder.rsplit_once('/').map_or(folder, |(_, last)| last))),
                ..base()
            },
        ),
        ("words that never stand together", EventFilter { text: some("pytest handle_5"), ..base() }),
        ("a word that is nowhere", EventFilter { text: some("xyzzy"), ..base() }),
        ("a path that is nowhere", EventFilter { path: some("/nowhere"), ..base() }),
    ];
    println!("\n| 100 of {events} events | found | first time | again, median of 20 |\n|---|---|---|---|");
    for (name, filter) in &filters {
        for (way, order) in [("newest", Order::NewestFirst), ("oldest", Order::OldestFirst)] {
            let mut times = Vec::new();
            let mut found = 0;
            for _ in 0..21 {
                let began = Instant::now();
                // As a client of the daemon has it: with a reader of its own.
                let answer = store.reader()?.query(filter, Page { order, after: None, limit: 100 })?;
                times.push(began.elapsed());
                found = answer.events.len();
            }
            let first = times.remove(0);
            times.sort();
            println!("| {name}, {way} first | {found} | {first:.1?} | {:.1?} |", times[10]);
        }
    }
    let began = Instant::now();
    store.reader()?.find(&first.id)?.ok_or("an event is gone")?;
    println!("| an event by its id | 1 | {:.1?} | |", began.elapsed());
    Ok(())
}

fn sql(dir: &Path) -> Result<(), Failure> {
    #[derive(Default)]
    struct Count(u64);
    impl Sink for Count {
        fn head(&mut self, _: &[String]) -> std::io::Result<()> {
            Ok(())
        }
        fn row(&mut self, _: &[Value]) -> std::io::Result<()> {
            self.0 += 1;
            Ok(())
        }
    }
    println!("\n| SQL | rows | time |\n|---|---|---|");
    for (sql, hours) in [
        ("SELECT program, count(*) FROM events WHERE denied GROUP BY program", Some(1)),
        ("SELECT program, count(*) FROM events WHERE denied GROUP BY program", Some(24)),
        ("SELECT count(*) FROM events", None),
    ] {
        let end = support::BEGIN_MS + 11 * 86_400_000;
        let since_ms = hours.map(|hours: i64| end - hours * 3_600_000);
        let question = Question { sql, since_ms, until_ms: None, time_limit: Duration::from_secs(300) };
        let (mut rows, began) = (Count::default(), Instant::now());
        query(dir, &question, &mut rows)?;
        let span = hours.map_or("everything".to_owned(), |hours| format!("the last {hours} h"));
        println!("| `{sql}`, {span} | {} | {:.1?} |", rows.0, began.elapsed());
    }
    Ok(())
}

/// Processor time of the thread that writes, from /proc. It gives itself its name a moment after it has begun.
fn store_thread_seconds() -> Result<f64, Failure> {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        for task in std::fs::read_dir("/proc/self/task")? {
            let path = task?.path();
            if std::fs::read_to_string(path.join("comm"))?.trim() == "store" {
                let text = std::fs::read_to_string(path.join("schedstat"))?;
                return Ok(text.split(' ').next().unwrap_or("0").parse::<f64>()? / 1e9);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("there is no thread that writes".into())
}

fn resident_mb() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}
