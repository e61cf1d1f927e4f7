// SPDX-License-Identifier: Apache-2.0
//! What is asked is found, all of it and nothing else: compared with looking at every event.

use super::*;
use lictor_api::EventFilter;
use lictor_api::event::{Action, Kind, Lost, Severity};

fn filters() -> Vec<EventFilter> {
    let base = EventFilter::default;
    let some = |text: &str| Some(text.to_owned());
    vec![
        base(),
        EventFilter { denied: true, ..base() },
        EventFilter { kinds: vec![Kind::Network, Kind::Privilege], ..base() },
        EventFilter { agent: some("coder"), kinds: vec![Kind::File], denied: true, ..base() },
        EventFilter { agent: some("nobody"), ..base() },
        EventFilter { session: some("s-00000000"), ..base() },
        EventFilter { verdicts: vec![Action::Deny, Action::Kill], ..base() },
        EventFilter { severity: Some(Severity::High), ..base() },
        EventFilter { severity: Some(Severity::Critical), ..base() },
        EventFilter { program: some("git"), denied: true, ..base() },
        EventFilter { program: some("/usr/bin/rg"), kinds: vec![Kind::Exec], ..base() },
        EventFilter { path: some("/home/dev1/.ssh"), ..base() },
        EventFilter { path: some("/home/dev1/.ssh/"), ..base() },
        EventFilter { path: some("/home/dev1/.ss"), ..base() },
        EventFilter { path: some("/etc/shadow"), ..base() },
        EventFilter { path: some("/"), kinds: vec![Kind::File], ..base() },
        EventFilter { address: some("169.254.169.254"), ..base() },
        EventFilter { address: some("169.254.169.254:80"), ..base() },
        EventFilter { address: some("169.254.169.254:81"), ..base() },
        EventFilter { rule: some("secrets-read-by-tool"), ..base() },
        EventFilter { pid: Some(2100), ..base() },
        EventFilter { text: some("pytest tests/test_7.py"), ..base() },
        EventFilter { text: some("PYTEST 169.254"), ..base() },
        EventFilter { text: some("ssh-ed25519"), ..base() },
        EventFilter { text: some("id_ed25519"), ..base() },
        EventFilter { since_ms: Some(support::BEGIN_MS + 100_000), ..base() },
        EventFilter {
            since_ms: Some(support::BEGIN_MS + 150_000),
            until_ms: Some(support::BEGIN_MS + 151_000),
            ..base()
        },
        EventFilter { until_ms: Some(support::BEGIN_MS + 20_000), denied: true, ..base() },
    ]
}

/// Both orders, in pages of an odd size, against the filter itself on every event.
fn check(reader: &Reader, events: &[Event]) {
    for filter in filters() {
        let mut expected: Vec<&Event> = events.iter().filter(|event| filter.matches(event)).collect();
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = reader.query(&filter, Page { order, after, limit: 997 }).unwrap();
                assert!(page.events.len() <= 997);
                assert_eq!(page.damaged, 0, "{filter:?} {order:?} {after:?}");
                found.extend(page.events.into_iter().map(|(_, event)| event));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert!(
                found.iter().eq(expected.iter().copied()),
                "{filter:?} {order:?}: {} of {}",
                found.len(),
                expected.len()
            );
            expected.reverse();
        }
    }
}

fn events() -> Vec<Event> {
    let mut events = generated(7, 40_000);
    let mut lost = Event::new(Kind::Lost, "01LOST".into(), "2026-11-01T00:01:00Z".into());
    lost.lost = Some(Lost { count: 3, reason: "the ring was full".into() });
    events.insert(20_000, lost);
    // Clocks: one from before all others, one from far ahead, one without a time that can be read.
    events[100].time = "1970-01-01T00:00:01Z".into();
    events[30_000].time = "2099-01-01T00:00:00Z".into();
    events[17_000].time = "yesterday".into();
    events
}

#[test]
fn every_filter_finds_what_it_would_pick() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let events = events();
    submit(&store, events.clone());
    check(&store.reader().unwrap(), &events);
    check(&Reader::open(dir.path()).unwrap(), &events);
    let hits = |filter: &EventFilter| events.iter().filter(|event| filter.matches(event)).count();
    let unused: Vec<_> = filters().into_iter().filter(|filter| hits(filter) == 0).collect();
    assert_eq!(unused.len(), 3, "filters that find nothing test little: {unused:#?}");
    drop(store);
    let store = open(dir.path());
    check(&store.reader().unwrap(), &events);
    let reader = store.reader().unwrap();
    for at in [0, 100, 16_384, 20_000, 39_999, 40_000] {
        assert_eq!(reader.find(&events[at].id).unwrap().as_ref(), Some(&events[at]));
    }
    assert_eq!(reader.find("01NONE").unwrap(), None);
}

#[test]
fn names_are_stored_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut event = Event::new(Kind::Exec, "01A".into(), "2026-11-01T00:00:00Z".into());
    event.process.exe = Some("/tmp/\u{1b}[31m\u{202e}evil\n\\xff\0Grün".into());
    submit(&store, [event.clone()]);
    let reader = store.reader().unwrap();
    assert_eq!(all(&reader), [event.clone()]);
    for text in ["GRÜN", "evil", "xff"] {
        let filter = EventFilter { text: Some(text.into()), ..Default::default() };
        let page = Page { order: Order::NewestFirst, after: None, limit: 10 };
        assert_eq!(reader.query(&filter, page).unwrap().events.len(), 1, "{text}");
    }
    let filter = EventFilter { text: Some("->".into()), ..Default::default() };
    let page = Page { order: Order::NewestFirst, after: None, limit: 10 };
    assert!(reader.query(&filter, page).unwrap_err().to_string().contains("no letter"));
}

#[test]
fn one_process_writes() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path());
    let error = Store::open(dir.path(), limits()).err().unwrap().to_string();
    assert!(error.contains("in use by another lictord"), "{error}");
    let error = Reader::open(&dir.path().join("none")).err().unwrap().to_string();
    assert!(error.contains("no events are stored"), "{error}");
}

#[test]
fn readers_see_all_while_chunks_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let events = generated(3, 50_000);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| events.chunks(1000).for_each(|some| submit(&store, some.to_vec())));
        let reader = store.reader().unwrap();
        let mut before = 0;
        while !writer.is_finished() {
            let seen = all(&reader);
            assert!(seen.len() >= before && seen.iter().eq(&events[..seen.len()]));
            before = seen.len();
        }
        writer.join().unwrap();
        assert_eq!(all(&reader).len(), events.len());
    });
}

#[test]
fn the_store_and_the_event_file_are_one_history() {
    use lictor_store::events::history::{self, History, store_dir};
    let state = tempfile::tempdir().unwrap();
    let events = generated(8, 6000);
    // Every third was of a session without a daemon.
    let (logged, stored): (Vec<_>, Vec<_>) = events.iter().cloned().enumerate().partition(|(at, _)| at % 3 == 0);
    let lines: Vec<String> = logged.iter().map(|(_, event)| serde_json::to_string(event).unwrap() + "\n").collect();
    std::fs::write(state.path().join("events.jsonl"), lines.concat()).unwrap();
    let history = |filter: &EventFilter| History::new(state.path(), None, filter).unwrap();
    assert_eq!(history(&EventFilter::default()).count(), 2000, "without a store");
    let store = open(&store_dir(state.path()));
    submit(&store, stored.into_iter().map(|(_, event)| event));
    for limit in [None, Some(0), Some(1), Some(777), Some(10_000)] {
        for denied in [false, true] {
            let filter = EventFilter { limit, denied, ..Default::default() };
            let mut expected: Vec<&Event> = events.iter().filter(|event| filter.matches(event)).collect();
            expected.drain(..expected.len().saturating_sub(limit.unwrap_or(usize::MAX)));
            for reader in [None, Some(store.reader().unwrap())] {
                let found: Vec<Event> =
                    History::new(state.path(), reader, &filter).unwrap().collect::<Result<_, _>>().unwrap();
                assert!(found.iter().eq(expected.iter().copied()), "{filter:?}: {}", found.len());
            }
        }
    }
    for event in &events[..6] {
        assert_eq!(history::find(state.path(), None, &event.id).unwrap().as_ref(), Some(event));
    }
    assert_eq!(history::find(state.path(), None, "01NONE").unwrap(), None);
    let empty = tempfile::tempdir().unwrap();
    assert!(History::new(empty.path(), None, &EventFilter::default()).unwrap().is_without_source(empty.path()));
}
