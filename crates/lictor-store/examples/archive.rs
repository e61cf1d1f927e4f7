// SPDX-License-Identifier: Apache-2.0
//! Puts recorded events into a store of their own and from there into its archive, all of them:
//! `cargo run -p lictor-store --example archive -- events.jsonl DIR`

use lictor_api::log::Lines;
use lictor_api::settings::store::Store as Settings;
use lictor_store::events::{Limits, Order, Page, Store, archive};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// More than a queue takes is lost.
const SOME: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [events, dir] = arguments.as_slice() else {
        eprintln!("usage: archive EVENTS DIR");
        return ExitCode::from(2);
    };
    match run(events, dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("archive: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(events: &Path, dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let limits = Limits::new(&Settings::default());
    let store =
        Store::open(dir, Limits { keep: Duration::from_millis(1), round: Duration::from_millis(100), ..limits })?;
    let mut waiting = Vec::new();
    let mut count = 0;
    for entry in Lines::new(events.to_owned(), BufReader::new(File::open(events)?)) {
        waiting.push(Arc::new(entry?.event));
        count += 1;
        if waiting.len() == SOME {
            put(&store, &mut waiting)?;
        }
    }
    put(&store, &mut waiting)?;
    let began = Instant::now();
    let oldest = Page { order: Order::OldestFirst, after: None, limit: 1 };
    while !store.reader()?.query(&Default::default(), oldest)?.events.is_empty() {
        if began.elapsed() > PATIENCE {
            return Err("the store still has events that are older than it keeps them".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("{count} events in {} files", archive::parts(dir)?.len());
    Ok(())
}

fn put(store: &Store, events: &mut Vec<Arc<lictor_api::event::Event>>) -> Result<(), Box<dyn std::error::Error>> {
    if store.submit(events.drain(..)) > 0 {
        return Err("the store's queue was full".into());
    }
    Ok(store.flush(PATIENCE)?)
}
