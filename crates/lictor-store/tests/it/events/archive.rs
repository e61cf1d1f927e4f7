// SPDX-License-Identifier: Apache-2.0
//! What is too old or too much leaves the store, and is in the archive.

use super::*;
use lictor_store::events::archive;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use std::collections::BTreeMap;
use std::fs::File;

/// Each archived event's JSON by day.
fn archived(dir: &Path) -> BTreeMap<String, Vec<String>> {
    let mut days: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in archive::parts(dir).unwrap() {
        let reader = SerializedFileReader::new(File::open(&part.path).unwrap()).unwrap();
        let names: Vec<String> =
            reader.metadata().file_metadata().schema_descr().columns().iter().map(|it| it.name().to_owned()).collect();
        let (event, id) =
            (names.iter().position(|it| it == "event").unwrap(), names.iter().position(|it| it == "id").unwrap());
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let json = row.get_string(event).unwrap().clone();
            assert!(json.contains(row.get_string(id).unwrap().as_str()));
            days.entry(part.day.to_string()).or_default().push(json);
        }
    }
    days
}

#[test]
fn old_events_go_into_parquet_by_day() {
    let dir = tempfile::tempdir().unwrap();
    // 40,000 events of which each is 5.4 s after the one before: two and a half days.
    let mut generator = support::Generator::new(1, 5_400_000);
    let mut events: Vec<Event> = (0..40_000).map(|_| generator.next_event()).collect();
    events[5].time = "1999-12-31T23:59:59Z".into();
    let store = Store::open(dir.path(), Limits { keep: Duration::from_secs(1), ..limits() }).unwrap();
    submit(&store, events.clone());
    wait_for("all archived", || all(&store.reader().unwrap()).is_empty());
    let days = archived(dir.path());
    assert_eq!(days.keys().collect::<Vec<_>>(), ["1999-12-31", "2026-11-01", "2026-11-02", "2026-11-03"]);
    let mut found: Vec<Event> = days.values().flatten().map(|json| serde_json::from_str(json).unwrap()).collect();
    assert_eq!(found.len(), events.len());
    found.sort_by(|a, b| a.id.cmp(&b.id));
    assert!(found == events, "each once, and as it was");
    // A store that begins anew goes on counting behind the archive.
    let last = archive::parts(dir.path()).unwrap().iter().map(|part| part.last).max().unwrap();
    drop(store);
    std::fs::remove_file(dir.path().join("events.db")).unwrap();
    let store = open(dir.path());
    submit(&store, generated(2, 1));
    let page = Page { order: Order::NewestFirst, after: None, limit: 1 };
    assert!(store.reader().unwrap().query(&Default::default(), page).unwrap().events[0].0 > last);
}

#[test]
fn size_is_kept_and_the_oldest_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 6 << 20;
    let store = Store::open(dir.path(), Limits { max_size: limit, archive: None, ..limits() }).unwrap();
    let events = generated(1, 120_000);
    submit(&store, events.clone());
    let mut before = 0;
    wait_for("small enough, and as it stays", || {
        let now = all(&store.reader().unwrap()).len();
        std::thread::sleep(Duration::from_millis(300));
        std::mem::replace(&mut before, now) == now && store.health().size <= limit
    });
    let left = all(&store.reader().unwrap());
    assert!(left.len() > 16_384 && left.len() < events.len(), "{}", left.len());
    assert!(left.iter().eq(&events[events.len() - left.len()..]), "a part of the newest is missing");
    assert!(archive::parts(dir.path()).unwrap().is_empty(), "without an archive they are gone");
    wait_for("the file is shorter", || std::fs::metadata(dir.path().join("events.db")).unwrap().len() < 3 * limit);
}

#[test]
fn the_archive_has_limits_too() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Some(archive::Limits { keep: Duration::from_secs(86_400), max_size: 1 });
    let store = Store::open(dir.path(), Limits { keep: Duration::from_secs(1), archive, ..limits() }).unwrap();
    submit(&store, generated(1, 2000));
    wait_for("archived, and gone", || {
        all(&store.reader().unwrap()).is_empty() && archive::parts(dir.path()).unwrap().is_empty()
    });
    assert_eq!(std::fs::read_dir(dir.path().join("archive/events")).unwrap().count(), 0, "no empty folders");
}
