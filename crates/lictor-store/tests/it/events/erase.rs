// SPDX-License-Identifier: Apache-2.0
//! Erasure: nothing of a person is left in any file, everything of others is, in its place.

use super::*;
use lictor_api::EventFilter;
use lictor_store::events::{Goes, erase_stopped};
use std::path::PathBuf;

fn secret(event: &mut Event, uid: u32) {
    event.process.uid = Some(uid);
    event.process.cmdline = Some(format!("tool zanzibar{uid} --now"));
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { found.extend(files(&entry)) } else { found.push(entry) }
    }
    found
}

fn with(text: &str) -> EventFilter {
    EventFilter { text: Some(text.to_owned()), ..EventFilter::default() }
}

fn hits(store: &Store, text: &str) -> usize {
    let page = Page { order: Order::OldestFirst, after: None, limit: 100_000 };
    store.reader().unwrap().query(&with(text), page).unwrap().events.len()
}

#[test]
fn what_tells_of_a_person_is_gone_and_the_rest_stays_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut events = generated(7, 40_000);
    for (at, event) in events.iter_mut().enumerate() {
        if at % 1000 == 3 {
            secret(event, 4001);
        } else if at % 1000 == 4 {
            secret(event, 4002);
        }
    }
    submit(&store, events.iter().cloned());
    assert_eq!((hits(&store, "zanzibar4001"), hits(&store, "zanzibar4002")), (40, 40));
    let before = all(&store.reader().unwrap());
    let goes: Goes = Arc::new(|event| event.process.uid == Some(4001));
    assert_eq!(store.erase(&goes, PATIENCE).unwrap(), 40);
    assert_eq!((hits(&store, "zanzibar4001"), hits(&store, "zanzibar4002")), (0, 40));
    let after = all(&store.reader().unwrap());
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.id, &before.time, before.kind), (&after.id, &after.time, after.kind));
        assert!(before == after || before.process.uid == Some(4001));
    }
    assert_eq!(store.erase(&goes, PATIENCE).unwrap(), 0, "it can be done again");
    // It goes on as before.
    submit(&store, generated(8, 10));
    assert_eq!(all(&store.reader().unwrap()).len(), 40_010);
}

#[test]
fn no_file_holds_a_byte_of_it_and_the_archive_neither() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { keep: Duration::from_secs(1), ..limits() };
    let mut events = generated(9, 2000);
    for event in events.iter_mut().step_by(10) {
        secret(event, 4001);
    }
    {
        let store = Store::open(dir.path(), limits.clone()).unwrap();
        submit(&store, events.iter().cloned());
        wait_for("the chunk is archived", || !lictor_store::events::archive::parts(dir.path()).unwrap().is_empty());
    }
    std::fs::write(dir.path().join("events.db.damaged-1"), "zanzibar4001").unwrap();
    let count = |condition: &str| sql::number(dir.path(), &format!("SELECT count(*) FROM events WHERE {condition}"));
    assert_eq!(count("cmdline LIKE '%zanzibar4001%'"), 200);
    let goes: Goes = Arc::new(|event| event.process.uid == Some(4001));
    assert_eq!(erase_stopped(dir.path(), &goes, limits).unwrap(), 200);
    assert_eq!((count("cmdline LIKE '%zanzibar4001%'"), count("uid = 4001"), count("true")), (0, 0, 1800));
    for file in files(dir.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(12).any(|window| window == b"zanzibar4001"), "{}", file.display());
    }
}
