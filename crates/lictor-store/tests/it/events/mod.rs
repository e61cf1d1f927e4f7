// SPDX-License-Identifier: Apache-2.0
//! The store as its users meet it: on a real disk, killed, damaged, full.

mod archive;
mod crash;
mod damage;
mod erase;
mod full;
mod query;
mod sql;
#[path = "../../support/mod.rs"]
mod support;

use lictor_api::event::Event;
use lictor_api::settings::store::Store as Settings;
use lictor_store::events::{Limits, Order, Page, Reader, Store};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn limits() -> Limits {
    Limits { round: Duration::from_millis(50), ..Limits::new(&Settings::default()) }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, limits()).unwrap()
}

/// Waits for room: nothing is lost.
fn submit(store: &Store, events: impl IntoIterator<Item = Event>) {
    let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
    for some in events.chunks(8192) {
        assert_eq!(store.submit(some.iter().cloned()), 0);
        store.flush(PATIENCE).unwrap();
    }
}

fn generated(seed: u64, count: usize) -> Vec<Event> {
    let mut generator = support::Generator::new(seed, 10_000);
    (0..count).map(|_| generator.next_event()).collect()
}

fn all(reader: &Reader) -> Vec<Event> {
    let (mut events, mut after) = (Vec::new(), None);
    loop {
        let page = Page { order: Order::OldestFirst, after, limit: 5000 };
        let found = reader.query(&Default::default(), page).unwrap();
        assert_eq!(found.damaged, 0);
        events.extend(found.events.into_iter().map(|(_, event)| event));
        after = found.next;
        if after.is_none() {
            return events;
        }
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}: not within 30 s");
}
