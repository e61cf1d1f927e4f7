// SPDX-License-Identifier: Apache-2.0
//! How many of the kernel's events one core takes, from the record's bytes through the process tree to the event.
//!
//!     cargo bench -p lictord --bench intake
//!
//! Processes that live as those of a build do: forked, executed, eight files each, ended. Prints the rate; fails below the promise.

use std::process::ExitCode;
use std::time::Instant;

use lictor_bpf::{Sample, abi, encode};
use lictord::Intake;

/// Events a second.
const PROMISE: f64 = 100_000.0;
const ROUND: usize = 2048;
const PROCESSES: u32 = 40_000;

fn main() -> ExitCode {
    let mut intake = match Intake::new() {
        Ok(intake) => intake,
        Err(error) => {
            eprintln!("intake: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let records = records();
    let (warm, measured) = records.split_at(records.len() / 10);
    let mut take = |records: &[Vec<u8>]| records.chunks(ROUND).map(|round| intake.take(round).len()).sum::<usize>();
    take(warm);
    let begin = Instant::now();
    let events = take(measured);
    let rate = events as f64 / begin.elapsed().as_secs_f64();
    println!("{events} events from {} records: {rate:.0} a second, promised {PROMISE:.0}", measured.len());
    if events == measured.len() && rate >= PROMISE { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn records() -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for number in 0..PROCESSES {
        // A tree ten deep: each starts the next, and every tenth is the shell's.
        let (pid, ppid) = (1000 + number, if number % 10 == 0 { 1 } else { 999 + number });
        let start_ns = u64::from(number) * 1000;
        let mut tell = |kind: u32, op: u32, path: &str, args: &[u8]| {
            records.push(encode(&Sample {
                kind,
                op,
                time_ns: start_ns + records.len() as u64,
                session: 1,
                pid,
                ppid,
                start_ns,
                denied: false,
                path: path.as_bytes(),
                path2: if kind == abi::kind::EXEC { b"/srv/app/target/debug" } else { b"" },
                args,
            }));
        };
        tell(abi::kind::PROCESS, abi::process_op::FORK, "", b"");
        let args = b"/usr/bin/cc\0-O2\0-g\0-Wall\0-Iinclude\0-c\0-o\0build/parser.o\0src/parser.c\0";
        tell(abi::kind::EXEC, 0, "/usr/bin/x86_64-linux-gnu-gcc-12", args);
        for file in 0..8 {
            let op = if file % 4 == 0 { abi::file_op::WRITE } else { abi::file_op::READ };
            tell(abi::kind::FILE, op, &format!("/srv/app/src/module-{file}/include/parser-{number}.h"), b"");
        }
        tell(abi::kind::PROCESS, abi::process_op::EXIT, "", b"");
    }
    records
}
