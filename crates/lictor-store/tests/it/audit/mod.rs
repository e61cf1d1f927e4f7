// SPDX-License-Identifier: Apache-2.0
//! The audit chain against whoever changes it, against crashes, against a full disk; and erasure.

mod crash;
mod disk;
mod erasure;
mod properties;
mod tampering;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lictor_api::event::{Action, Event, Exec, Kind as EventKind, Tier, Verdict};
use lictor_store::audit::{Audit, Entry, Kind, Options, Report, Sources, verify};

const PATIENCE: Duration = Duration::from_secs(20);

/// Groups are written at once, files and checkpoints come often.
fn quick() -> Options {
    Options {
        segment_bytes: 4096,
        checkpoint_entries: 10,
        linger: Duration::ZERO,
        retry: Duration::from_millis(10),
        ..Options::default()
    }
}

/// In memory where there is such a place: these tests sync thousands of times.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn denied(uid: u32, path: &str) -> Arc<Event> {
    let mut event = Event::new(EventKind::Exec, "01EVENT".into(), "2026-01-02T03:04:05Z".into());
    event.process.uid = Some(uid);
    event.process.args = Some(vec!["tool".into(), path.to_owned()]);
    event.exec = Some(Exec { path: Some(path.to_owned()), ..Exec::default() });
    event.verdict = Some(Verdict::new(Action::Deny, Tier::Policy));
    Arc::new(event)
}

/// A closed chain of at least `entries` entries, every third with a sealed text.
fn chain(dir: &Path, entries: u64, options: Options) {
    let audit = Audit::open(dir, options).unwrap();
    add(&audit, entries);
    audit.close();
}

fn add(audit: &Audit, entries: u64) {
    for number in 0..entries {
        let entry = match number % 3 {
            0 => Entry::of_event(&denied(7, &format!("/srv/file-{number}"))).unwrap(),
            _ => Entry::new(Kind::Rules).with("number", number),
        };
        assert!(audit.append(entry));
        audit.flush(PATIENCE).unwrap();
    }
}

fn check(path: &Path) -> Report {
    verify(&Sources { path: path.to_owned(), ..Sources::default() }).unwrap()
}

fn files(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        .collect();
    found.sort();
    found
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// What the problems say, for messages and comparisons.
fn said(report: &Report) -> Vec<String> {
    let name = |file: &str| Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
    report
        .problems
        .iter()
        .map(|problem| format!("{}:{} {}: {}", name(&problem.file), problem.line, problem.kind, problem.message))
        .collect()
}
