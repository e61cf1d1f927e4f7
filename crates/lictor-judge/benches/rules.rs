// SPDX-License-Identifier: Apache-2.0
//! What judging one event by rules costs, from the event to the answer: building what conditions see included.
//!
//! `cargo bench -p lictor-judge --bench rules`, with `LICTOR_BENCH_RULES=DIR` for other rules than the ones made here.

#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark without its input ends")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::Criterion;
use lictor_api::event::Event;
use lictor_judge::rules::{self, RuleSet, Rules};

/// A hundred rules of the shapes that people write: searches of the command line, programs, paths, parents.
fn hundred() -> String {
    let mut text = String::from("version: 1\nrules:\n");
    let tools = ["curl", "wget", "nc", "socat", "python3", "perl", "openssl", "docker", "kubectl", "ssh"];
    for number in 0..100 {
        let tool = tools[number % tools.len()];
        let condition = match number / 10 {
            0 => {
                format!("basename(process.exe) == '{tool}' && process.args.exists(a, a.startsWith('--upload{number}'))")
            }
            1 => format!("process.cmdline.contains('{tool} --insecure-{number}')"),
            2 => format!("process.cmdline.matches(r'(^|[\\s;&|(]){tool}\\s[^;|]*-(o|O)\\s*/tmp/\\S*{number}')"),
            3 => format!("process.cmdline.lowerAscii().contains('{tool}') && process.cwd.startsWith('/srv/{number}')"),
            4 => format!("process.exe in ['/usr/bin/{tool}', '/usr/local/bin/{tool}'] && process.uid == {number}"),
            5 => format!("process.parent.exe.endsWith('/{tool}') && process.cmdline.contains('-c{number}')"),
            6 => format!("process.ancestors.exists(a, a.exe == '/usr/sbin/{tool}{number}')"),
            7 => format!("glob(exec.path, '/tmp/**/{tool}-{number}*')"),
            8 => format!("process.args.exists(a, a.contains('/dev/tcp/{number}')) || exec.path == '/{tool}{number}'"),
            _ => format!("process.cmdline.matches(r'(?i)({tool}|base64)\\s+(-d|--decode).*\\|\\s*(ba|z)?sh{number}')"),
        };
        text.push_str(&format!(
            "  - {{ id: bench-{number}, description: one of a hundred, severity: low, kinds: [exec], action: alert,\n      condition: \"{}\" }}\n",
            condition.replace('\\', "\\\\").replace('"', "\\\"")
        ));
    }
    text
}

fn load() -> (String, RuleSet) {
    let (name, files) = match std::env::var_os("LICTOR_BENCH_RULES") {
        Some(directory) => (Path::new(&directory).display().to_string(), rules::read(Path::new(&directory))),
        None => ("made".to_owned(), Ok(vec![("bench.yaml".to_owned(), hundred().into_bytes())])),
    };
    let set = files.and_then(|files| rules::parse(&files));
    (name, set.unwrap_or_else(|problems| panic!("{}", problems[0])))
}

fn event(exe: &str, args: &[&str]) -> Event {
    let json = serde_json::json!({
        "kind": "exec", "session": "s-1", "agent": "coder",
        "process": { "pid": 412, "ppid": 400, "exe": exe, "args": args, "cmdline": args.join(" "), "cwd": "/srv/app",
            "uid": 1000, "gid": 1000, "parent": { "pid": 400, "exe": "/usr/bin/bash", "args": ["bash"], "cmdline": "bash" },
            "ancestors": [{ "pid": 300, "exe": "/usr/bin/node" }, { "pid": 1, "exe": "/usr/lib/systemd/systemd" }] },
        "exec": { "path": exe, "sha256": "ab" }
    });
    serde_json::from_value(json).expect("an event")
}

fn events() -> Vec<(&'static str, Event)> {
    let long = "x".repeat(4000);
    vec![
        ("git status", event("/usr/bin/git", &["git", "status", "--short", "--branch"])),
        ("cargo test", event("/usr/bin/cargo", &["cargo", "test", "--workspace", "--", "--nocapture", "parses_rules"])),
        (
            "a script",
            event(
                "/usr/bin/bash",
                &[
                    "bash",
                    "-c",
                    "cd /srv/app && npm ci && npx tsc --noEmit && node dist/server.js --port 8080 > log.txt 2>&1 &",
                ],
            ),
        ),
        (
            "curl",
            event(
                "/usr/bin/curl",
                &["curl", "-fsSL", "-o", "/tmp/archive.tar.gz", "https://example.com/archive.tar.gz"],
            ),
        ),
        ("4 KB of arguments", event("/usr/bin/echo", &["echo", &long])),
    ]
}

/// Prints the share of single calls below a time, which a mean does not show.
fn percentiles(name: &str, rules: &Rules, event: &Event) {
    for _ in 0..2_000 {
        black_box(rules.answer(black_box(event), None).is_ok());
    }
    let mut times: Vec<Duration> = (0..20_000)
        .map(|_| {
            let start = Instant::now();
            black_box(rules.answer(black_box(event), None).is_ok());
            start.elapsed()
        })
        .collect();
    times.sort();
    let at = |share: usize| times[times.len() * share / 1000].as_nanos() as f64 / 1000.0;
    println!("{name:<24} p50 {:>7.2} us   p99 {:>7.2} us   p99.9 {:>7.2} us", at(500), at(990), at(999));
}

fn main() {
    let start = Instant::now();
    let (name, set) = load();
    println!("{} rules ({name}) loaded in {:?}", set.rules().len(), start.elapsed());
    let rules = Rules::for_everybody(set);
    for (name, event) in events() {
        percentiles(name, &rules, &event);
    }
    let mut criterion = Criterion::default().configure_from_args();
    for (name, event) in events() {
        criterion.bench_function(name, |bencher| bencher.iter(|| rules.answer(black_box(&event), None).is_ok()));
    }
    criterion.final_summary();
}
