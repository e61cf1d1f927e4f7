// SPDX-License-Identifier: Apache-2.0
//! The newest events in memory: all of a recording, or the last of a running daemon.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;
use lictor_api::event::Event;
use lictor_api::query::{EventQuery, Order};
use lictor_api::view::{Overview, Page, SessionRow, Window};
use lictor_http::Fault;
use lictor_judge::counters::RuleCounts;

use super::{Events, views};

/// Events in the order in which they were recorded.
pub struct Recording {
    kept: usize,
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    events: VecDeque<Arc<Event>>,
    /// The number of the first: cursors name numbers, so that they hold while events come and go.
    first: u64,
    numbers: HashMap<String, u64>,
}

impl Recording {
    /// Keeps the last `kept` events.
    #[must_use]
    pub fn new(kept: usize) -> Recording {
        Recording { kept: kept.max(1), held: RwLock::default() }
    }

    pub fn add(&self, event: Arc<Event>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.events.len() == self.kept {
            if let Some(old) = held.events.pop_front() {
                let first = held.first;
                if held.numbers.get(&old.id) == Some(&first) {
                    held.numbers.remove(&old.id);
                }
            }
            held.first += 1;
        }
        let number = held.first + held.events.len() as u64;
        if !event.id.is_empty() {
            held.numbers.insert(event.id.clone(), number);
        }
        held.events.push_back(event);
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The place of an event.
    fn place(&self, id: &str) -> Result<usize, Fault> {
        let number = self.numbers.get(id).and_then(|number| number.checked_sub(self.first));
        number
            .and_then(|place| usize::try_from(place).ok())
            .ok_or_else(|| Fault::NotFound(format!("there is no event {}", id.escape_debug())))
    }
}

impl Events for Recording {
    fn list(&self, query: &EventQuery, order: Order, window: &Window) -> Result<Page<Event>, Fault> {
        let held = self.held();
        let wrong = |_| Fault::Invalid("`cursor` is none that this list gave".into());
        let cursor = window.cursor.as_deref().map(|cursor| cursor.parse::<u64>().map_err(wrong)).transpose()?;
        let end = held.events.len();
        let place = |number: u64| usize::try_from(number.saturating_sub(held.first)).unwrap_or(end).min(end);
        // A cursor is the number of the first event that was not looked at.
        let range = match (order, cursor) {
            (Order::Asc, from) => from.map_or(0, place)..end,
            (Order::Desc, Some(last)) => 0..place(last.saturating_add(1)),
            (Order::Desc, None) => 0..end,
        };
        let mut items = Vec::new();
        let mut look = |at: usize| {
            let event = &held.events[at];
            if query.matches(event) {
                if items.len() == window.limit {
                    return Some((held.first + at as u64).to_string());
                }
                items.push(Event::clone(event));
            }
            None
        };
        let next = match order {
            Order::Asc => range.into_iter().find_map(&mut look),
            Order::Desc => range.rev().find_map(&mut look),
        };
        Ok(Page { items, next })
    }

    fn find(&self, id: &str) -> Result<Event, Fault> {
        let held = self.held();
        held.place(id).map(|place| Event::clone(&held.events[place]))
    }

    fn after(&self, id: &str, query: &EventQuery, limit: usize) -> Result<Vec<Event>, Fault> {
        let held = self.held();
        let later = held.events.range(held.place(id)? + 1..);
        Ok(later.filter(|event| query.matches(event)).take(limit).map(|event| Event::clone(event)).collect())
    }

    fn before(&self, id: &str, query: &EventQuery, limit: usize) -> Result<Vec<Event>, Fault> {
        let held = self.held();
        let earlier = held.events.range(..held.place(id)?).rev();
        let mut found: Vec<Event> =
            earlier.filter(|event| query.matches(event)).take(limit).map(|event| Event::clone(event)).collect();
        found.reverse();
        Ok(found)
    }

    fn sessions(&self, limit: usize) -> Result<Vec<SessionRow>, Fault> {
        let held = self.held();
        let mut rows = views::sessions(held.events.iter().map(|event| &**event));
        rows.truncate(limit);
        Ok(rows)
    }

    fn overview(&self, since: Timestamp) -> Result<Overview, Fault> {
        let held = self.held();
        Ok(views::overview(held.events.iter().map(|event| &**event), since, Timestamp::now()))
    }

    fn rule_counts(&self) -> Result<Vec<(String, RuleCounts)>, Fault> {
        let held = self.held();
        let mut of_rule: BTreeMap<&str, views::Hits<'_>> = BTreeMap::new();
        for event in &held.events {
            for rule in event.verdict.iter().flat_map(|verdict| verdict.rule.iter().chain(&verdict.also)) {
                of_rule.entry(rule).or_default().add(event);
            }
        }
        Ok(of_rule.into_iter().map(|(rule, hits)| (rule.to_owned(), hits.counts())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: usize) -> Arc<Event> {
        let kind = if id.is_multiple_of(2) { "file" } else { "exec" };
        Arc::new(serde_json::from_str(&format!(r#"{{"id":"{id}","kind":"{kind}"}}"#)).unwrap())
    }

    fn ids(events: &[Event]) -> String {
        events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pages_follow_each_other_while_events_come_and_go() {
        let recording = Recording::new(10);
        (0..10).for_each(|id| recording.add(event(id)));
        let files: EventQuery = serde_json::from_str(r#"{"kind":["file"]}"#).unwrap();
        let page = |order, cursor: Option<String>| recording.list(&files, order, &Window { limit: 2, cursor }).unwrap();
        let first = page(Order::Desc, None);
        assert_eq!(ids(&first.items), "8 6");
        recording.add(event(10));
        recording.add(event(11));
        let second = page(Order::Desc, first.next);
        assert_eq!(ids(&second.items), "4 2", "what came meanwhile changes nothing");
        assert_eq!(second.next, None, "0 has gone");

        let first = page(Order::Asc, None);
        assert_eq!(ids(&first.items), "2 4");
        let second = page(Order::Asc, first.next);
        assert_eq!(ids(&second.items), "6 8");
        let third = page(Order::Asc, second.next);
        assert_eq!((ids(&third.items).as_str(), third.next), ("10", None));
        let wrong = Window { limit: 2, cursor: Some("x".into()) };
        assert!(matches!(recording.list(&files, Order::Asc, &wrong), Err(Fault::Invalid(_))));
        let far = Window { limit: 2, cursor: Some(u64::MAX.to_string()) };
        assert!(recording.list(&files, Order::Asc, &far).unwrap().items.is_empty());
        assert_eq!(ids(&recording.list(&files, Order::Desc, &far).unwrap().items), "10 8");
    }

    #[test]
    fn what_is_around_an_event_is_told_in_order() {
        let recording = Recording::new(10);
        (0..12).for_each(|id| recording.add(event(id)));
        let all = EventQuery::default();
        assert_eq!(ids(&recording.before("8", &all, 3).unwrap()), "5 6 7");
        assert_eq!(ids(&recording.after("8", &all, 2).unwrap()), "9 10");
        assert_eq!(recording.find("2").unwrap().id, "2");
        assert!(matches!(recording.find("1"), Err(Fault::NotFound(_))), "it is not kept any more");
    }
}
