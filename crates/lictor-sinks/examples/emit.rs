// SPDX-License-Identifier: Apache-2.0
//! Sends recorded events to the sinks of a settings file, as `lictord` would:
//! `cargo run -p lictor-sinks --example emit -- lictord.yaml events.jsonl STATE-DIR`

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lictor_api::log::Lines;
use lictor_api::settings::Settings;
use lictor_sinks::Dispatcher;
use lictor_sinks::format::Host;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [config, events, state] = arguments.as_slice() else {
        eprintln!("usage: emit SETTINGS EVENTS STATE-DIR");
        return ExitCode::from(2);
    };
    match emit(config, events, state) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("emit: {error}");
            ExitCode::FAILURE
        }
    }
}

fn emit(config: &Path, events: &Path, state: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::load(Some(config))?;
    let host = Host { name: "emit".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let dispatcher = Dispatcher::start(&settings.sinks, state, host)?;
    let mut count = 0_u64;
    for entry in Lines::new(events.to_owned(), BufReader::new(File::open(events)?)) {
        dispatcher.offer(&Arc::new(entry?.event));
        count += 1;
    }
    // Long enough for everything to be sent, and for what is sent from time to time.
    let began = Instant::now();
    let done = || dispatcher.sinks().iter().all(|sink| sink.queue_depth == 0);
    while began.elapsed() < Duration::from_secs(30) && (began.elapsed() < Duration::from_secs(4) || !done()) {
        std::thread::sleep(Duration::from_millis(20));
    }
    for sink in dispatcher.sinks() {
        println!(
            "{} sent {} rejected {} dropped {} waiting {}",
            sink.name, sink.sent, sink.rejected, sink.dropped, sink.queue_depth
        );
        if let Some(error) = sink.last_error {
            eprintln!("{}: {error}", sink.name);
        }
    }
    dispatcher.close(Duration::from_secs(2));
    println!("events {count}");
    Ok(())
}
