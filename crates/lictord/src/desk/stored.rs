// SPDX-License-Identifier: Apache-2.0
//! The event store: every recorded event, however old. What is told of many events together (sessions, an overview) is told
//! of the newest ones, which are in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lictor_api::control::EventFilter;
use lictor_api::event::Event;
use lictor_api::query::{EventQuery, Order};
use lictor_api::view::{Overview, Page, SessionRow, Window};
use lictor_http::Fault;
use lictor_judge::counters::RuleCounts;
use lictor_store::events::{self, Reader, Store, StoreError};

use super::{Events, Recording};

/// Events that are read at once.
const AT_ONCE: usize = 1000;
/// A question that the index cannot answer is given up after this; the list goes on from there when asked to.
const LONGEST: Duration = Duration::from_secs(5);

pub struct Stored {
    store: Arc<Store>,
    newest: Arc<Recording>,
}

impl Stored {
    #[must_use]
    pub fn new(store: Arc<Store>, newest: Arc<Recording>) -> Stored {
        Stored { store, newest }
    }

    fn reader(&self) -> Result<Reader, Fault> {
        self.store.reader().map_err(fault)
    }

    fn number(&self, reader: &Reader, id: &str) -> Result<u64, Fault> {
        reader
            .place(id)
            .map_err(fault)?
            .ok_or_else(|| Fault::NotFound(format!("there is no event {}", id.escape_debug())))
    }
}

fn fault(error: StoreError) -> Fault {
    match error {
        StoreError::Filter(what) => Fault::Invalid(what),
        other => Fault::Failed(other.to_string()),
    }
}

/// What of the query the index knows: everything that the query wants is among what this filter wants.
fn narrowed(query: &EventQuery) -> EventFilter {
    let plain = |wanted: &[String]| match wanted {
        [one] if !one.contains(['*', '?']) => Some(one.clone()),
        _ => None,
    };
    let only = |wanted: &[String]| match wanted {
        [one] => Some(one.clone()),
        _ => None,
    };
    EventFilter {
        session: only(&query.session),
        agent: only(&query.agent),
        kinds: query.kind.clone(),
        denied: query.denied,
        since_ms: query.since.map(Timestamp::as_millisecond),
        // The query's end is part of it, the filter's is not.
        until_ms: query.until.map(|until| until.as_millisecond().saturating_add(1)),
        verdicts: query.verdict.clone(),
        severity: query.severity.iter().min().copied(),
        program: plain(&query.program),
        path: plain(&query.path),
        address: plain(&query.address),
        rule: plain(&query.rule),
        text: query.text.clone(),
        ..EventFilter::default()
    }
}

/// An event with its place in the order of recording.
type Numbered = (u64, Event);

/// Wanted events from `after` on, with their numbers, and whether there may be more.
fn some(
    reader: &Reader,
    query: &EventQuery,
    order: events::Order,
    mut after: Option<u64>,
    limit: usize,
) -> Result<(Vec<Numbered>, Option<u64>), Fault> {
    let filter = narrowed(query);
    let end = Instant::now() + LONGEST;
    let mut wanted = Vec::new();
    // One more says whether there is more. Where the index knows all that is wanted, these are enough.
    let mut at_once = limit.saturating_add(1).min(AT_ONCE);
    loop {
        let page = events::Page { order, after, limit: std::mem::replace(&mut at_once, AT_ONCE) };
        let found = reader.query(&filter, page).map_err(fault)?;
        for (number, event) in found.events {
            if wanted.len() == limit {
                return Ok((wanted, after));
            }
            after = Some(number);
            if query.matches(&event) {
                wanted.push((number, event));
            }
        }
        match found.next {
            None => return Ok((wanted, None)),
            Some(next) => after = Some(next),
        }
        if wanted.len() == limit || Instant::now() > end {
            return Ok((wanted, after));
        }
    }
}

fn without_numbers(events: Vec<Numbered>) -> Vec<Event> {
    events.into_iter().map(|(_, event)| event).collect()
}

impl Events for Stored {
    fn list(&self, query: &EventQuery, order: Order, window: &Window) -> Result<Page<Event>, Fault> {
        let wrong = |_| Fault::Invalid("`cursor` is none that this list gave".into());
        let after = window.cursor.as_deref().map(|cursor| cursor.parse::<u64>().map_err(wrong)).transpose()?;
        let order = match order {
            Order::Desc => events::Order::NewestFirst,
            Order::Asc => events::Order::OldestFirst,
        };
        let (items, next) = some(&self.reader()?, query, order, after, window.limit)?;
        Ok(Page { items: without_numbers(items), next: next.map(|number| number.to_string()) })
    }

    fn find(&self, id: &str) -> Result<Event, Fault> {
        let found = self.reader()?.find(id).map_err(fault)?;
        // What is recorded and not written yet is in memory.
        found.map_or_else(|| self.newest.find(id), Ok)
    }

    fn after(&self, id: &str, query: &EventQuery, limit: usize) -> Result<Vec<Event>, Fault> {
        let reader = self.reader()?;
        let number = self.number(&reader, id)?;
        some(&reader, query, events::Order::OldestFirst, Some(number), limit).map(|(events, _)| without_numbers(events))
    }

    fn before(&self, id: &str, query: &EventQuery, limit: usize) -> Result<Vec<Event>, Fault> {
        let reader = self.reader()?;
        let number = self.number(&reader, id)?;
        let (events, _) = some(&reader, query, events::Order::NewestFirst, Some(number), limit)?;
        Ok(events.into_iter().rev().map(|(_, event)| event).collect())
    }

    fn sessions(&self, limit: usize) -> Result<Vec<SessionRow>, Fault> {
        self.newest.sessions(limit)
    }

    fn overview(&self, since: Timestamp) -> Result<Overview, Fault> {
        self.newest.overview(since)
    }

    fn rule_counts(&self) -> Result<Vec<(String, RuleCounts)>, Fault> {
        self.newest.rule_counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_api::settings::store::Store as Settings;

    fn event(id: u32) -> Event {
        let kind = if id.is_multiple_of(2) { "file" } else { "exec" };
        let text = format!(
            r#"{{"id":"{id:06}","time":"2026-01-02T03:04:05.{id:06}Z","kind":"{kind}","session":"s-{}","process":{{"pid":{id},"exe":"/bin/x{}"}}}}"#,
            id % 10,
            id % 3
        );
        serde_json::from_str(&text).unwrap()
    }

    fn stored(dir: &std::path::Path, count: u32) -> Stored {
        let store = Store::open(dir, events::Limits::new(&Settings::default())).unwrap();
        for first in (0..count).step_by(8192) {
            assert_eq!(store.submit((first..count.min(first + 8192)).map(|id| Arc::new(event(id)))), 0);
            store.flush(Duration::from_secs(60)).unwrap();
        }
        Stored::new(Arc::new(store), Arc::new(Recording::new(10)))
    }

    fn ids(events: &[Event]) -> Vec<u32> {
        events.iter().map(|event| event.id.parse().unwrap()).collect()
    }

    #[test]
    fn pages_meet_without_a_gap_in_both_orders() {
        let dir = tempfile::tempdir().unwrap();
        let stored = stored(dir.path(), 5000);
        // The index knows the session, and not what a pattern of programs fits.
        let query: EventQuery = serde_json::from_str(r#"{"session":["s-3"],"program":["/bin/x[12]*","*x1"]}"#).unwrap();
        let expected: Vec<u32> = (0..5000).filter(|id| id % 10 == 3 && id % 3 == 1).collect();
        for order in [Order::Asc, Order::Desc] {
            let (mut all, mut cursor) = (Vec::new(), None);
            loop {
                let page = stored.list(&query, order, &Window { limit: 7, cursor }).unwrap();
                assert!(page.items.len() <= 7);
                all.extend(ids(&page.items));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            if order == Order::Desc {
                all.reverse();
            }
            assert_eq!(all, expected);
        }
        let wrong = Window { limit: 2, cursor: Some("x".into()) };
        assert!(matches!(stored.list(&query, Order::Asc, &wrong), Err(Fault::Invalid(_))));
    }

    #[test]
    fn what_is_around_an_event_is_told_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let stored = stored(dir.path(), 40_000);
        let files: EventQuery = serde_json::from_str(r#"{"kind":["file"]}"#).unwrap();
        assert_eq!(ids(&stored.before("000101", &files, 3).unwrap()), [96, 98, 100]);
        assert_eq!(ids(&stored.after("000101", &files, 2).unwrap()), [102, 104]);
        assert_eq!(ids(&stored.after("039999", &files, 2).unwrap()), [0; 0]);
        assert_eq!(stored.find("030000").unwrap().id, "030000");
        assert!(matches!(stored.before("zz", &files, 3), Err(Fault::NotFound(_))));
        assert!(matches!(stored.find("zz"), Err(Fault::NotFound(_))));
    }
}
