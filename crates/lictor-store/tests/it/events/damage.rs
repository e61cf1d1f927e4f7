// SPDX-License-Identifier: Apache-2.0
//! Files that are not what they were.

use super::*;
use lictor_api::EventFilter;
use lictor_api::event::Kind;
use std::fs;

fn lost_reasons(events: &[Event]) -> Vec<(u64, String)> {
    events.iter().filter_map(|event| event.lost.as_ref()).map(|lost| (lost.count, lost.reason.clone())).collect()
}

#[test]
fn what_is_no_store_is_put_aside_and_told() {
    for content in [&b"this is no database, and it is longer than a page's head: "[..].repeat(400), &vec![0; 100_000]] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("events.db"), content).unwrap();
        fs::write(dir.path().join("events.db-wal"), b"its log").unwrap();
        let store = open(dir.path());
        submit(&store, generated(1, 100));
        let health = store.health();
        assert_eq!((health.damaged_files, health.problem), (1, None));
        let aside = fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.path());
        let aside = aside.filter(|path| path.to_string_lossy().contains(".db.damaged-")).min().unwrap();
        assert_eq!(&fs::read(&aside).unwrap(), content, "nothing of it is lost");
        let told = lost_reasons(&all(&store.reader().unwrap()));
        assert_eq!(told.len(), 1);
        assert!(told[0].1.contains(&aside.display().to_string()), "{told:?}");
    }
}

#[test]
fn another_programs_and_a_later_versions_file_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let change = |sql: &str| {
        let connection = rusqlite::Connection::open(dir.path().join("events.db")).unwrap();
        connection.execute_batch(sql).unwrap();
    };
    change("PRAGMA user_version = 99");
    let error = Store::open(dir.path(), limits()).err().unwrap().to_string();
    assert!(error.contains("later version") && error.contains("99"), "{error}");
    assert!(dir.path().join("events.db").exists(), "nothing is put aside for being new");
    change("PRAGMA user_version = 1; PRAGMA application_id = 7");
    let store = open(dir.path());
    assert_eq!(store.health().damaged_files, 1);
}

#[test]
fn a_damaged_block_costs_its_own_events_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let events = generated(2, 20_000);
    submit(&store, events.clone());
    drop(store);
    let connection = rusqlite::Connection::open(dir.path().join("events.db")).unwrap();
    let change = "UPDATE block SET data = CAST(substr(data, 1, 500) || x'00112233' || substr(data, 505) AS BLOB)
                  WHERE first = (SELECT first FROM block ORDER BY first LIMIT 1 OFFSET 40)";
    assert_eq!(connection.execute(change, []).unwrap(), 1);
    drop(connection);
    let store = open(dir.path());
    let page = Page { order: Order::OldestFirst, after: None, limit: 100_000 };
    let found = store.reader().unwrap().query(&EventFilter::default(), page).unwrap();
    assert_eq!((found.events.len(), found.damaged), (20_000 - 128, 128));
    assert!(found.events.iter().map(|(_, event)| event).eq(events[..40 * 128].iter().chain(&events[41 * 128..])));
    let error = store.reader().unwrap().find(&events[40 * 128].id).unwrap_err();
    assert!(error.to_string().contains("events.db"), "{error}");
}

#[test]
fn damage_that_is_met_while_it_runs_is_put_aside_and_the_open_chunk_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    submit(&store, generated(2, 20_000));
    let before = all(&store.reader().unwrap());
    let open_events = before.len() % 16_376;
    drop(store);
    let path = dir.path().join("events.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    let store = open(dir.path());
    // Pages of the index, the blocks and the list of chunks.
    let mut bytes = fs::read(&path).unwrap();
    for page in bytes.chunks_mut(8192).skip(7) {
        page[..64].fill(0xa5);
    }
    fs::write(&path, bytes).unwrap();
    assert_eq!(store.health().damaged_files, 0);
    let failed: Result<_, _> = store.reader().and_then(|reader| {
        let page = Page { order: Order::OldestFirst, after: None, limit: 100_000 };
        reader.query(&EventFilter { kinds: vec![Kind::File], ..Default::default() }, page)
    });
    assert!(failed.err().unwrap().is_damage());
    store.suspect();
    wait_for("put aside", || store.health().damaged_files == 1);
    submit(&store, generated(9, 5));
    wait_for("written", || store.health().problem.is_none());
    let after = all(&store.reader().unwrap());
    assert_eq!(lost_reasons(&after).len(), 1);
    assert!(after.len() >= 6, "{} of {open_events} are left", after.len());
}
