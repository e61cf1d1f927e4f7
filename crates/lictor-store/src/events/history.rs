// SPDX-License-Identifier: Apache-2.0
//! What happened on this host so far: the store of the daemon, and the event file that sessions without a daemon write, as one.

use super::error::StoreError;
use super::reader::{Order, Page, Reader};
use lictor_api::{Event, EventFilter, EventLog};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// The store's folder in the state directory of `lictord`.
#[must_use]
pub fn store_dir(state: &Path) -> PathBuf {
    state.join("store")
}

/// Events read from the store at once.
const PAGE: usize = 1000;

/// Past events that a filter wants, oldest first. With `limit`, the last so many.
pub struct History {
    reader: Option<Reader>,
    filter: EventFilter,
    stored: VecDeque<Event>,
    after: Option<u64>,
    more: bool,
    log: VecDeque<Event>,
    problems: Vec<String>,
}

impl History {
    /// What is recorded below `state`; `reader` is the store's, `None` to open what is there.
    pub fn new(state: &Path, reader: Option<Reader>, filter: &EventFilter) -> Result<Self, StoreError> {
        filter.check().map_err(StoreError::Filter)?;
        let reader = match reader {
            Some(reader) => Some(reader),
            None => open(state)?,
        };
        let (log, problems) = EventLog::of_state(state).select(filter);
        let mut history = Self {
            more: reader.is_some(),
            reader,
            filter: filter.clone(),
            stored: VecDeque::new(),
            after: None,
            log: log.into(),
            problems: problems.iter().map(ToString::to_string).collect(),
        };
        if let Some(limit) = filter.limit {
            history.take_last(limit)?;
        }
        Ok(history)
    }

    /// What could not be read so far.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Whether nothing was ever recorded there.
    #[must_use]
    pub fn is_without_source(&self, state: &Path) -> bool {
        self.reader.is_none() && EventLog::of_state(state).files().is_empty()
    }

    fn take_last(&mut self, limit: usize) -> Result<(), StoreError> {
        while self.more && self.stored.len() < limit {
            let page =
                Page { order: Order::NewestFirst, after: self.after, limit: PAGE.min(limit - self.stored.len()) };
            for event in self.page(page)? {
                self.stored.push_front(event);
            }
        }
        self.more = false;
        while self.stored.len() + self.log.len() > limit {
            drop(self.older());
        }
        Ok(())
    }

    fn page(&mut self, page: Page) -> Result<Vec<Event>, StoreError> {
        let Some(reader) = &self.reader else { return Ok(Vec::new()) };
        let found = reader.query(&self.filter, page)?;
        (self.after, self.more) = (found.next, found.next.is_some());
        if found.damaged > 0 {
            self.problems.push(format!("{} stored events are damaged and left out", found.damaged));
        }
        Ok(found.events.into_iter().map(|(_, event)| event).collect())
    }

    /// The older one of the two that are next; in the store, events are in their order already.
    fn older(&mut self) -> Option<Event> {
        match (self.stored.front(), self.log.front()) {
            (Some(stored), Some(logged)) if logged.time < stored.time => self.log.pop_front(),
            (None, _) => self.log.pop_front(),
            _ => self.stored.pop_front(),
        }
    }
}

impl Iterator for History {
    type Item = Result<Event, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.more && self.stored.is_empty() {
            match self.page(Page { order: Order::OldestFirst, after: self.after, limit: PAGE }) {
                Ok(events) => self.stored.extend(events),
                Err(error) => {
                    self.more = false;
                    return Some(Err(error));
                }
            }
        }
        self.older().map(Ok)
    }
}

/// The event with this id, wherever it is recorded below `state`.
pub fn find(state: &Path, reader: Option<Reader>, id: &str) -> Result<Option<Event>, StoreError> {
    let reader = match reader {
        Some(reader) => Some(reader),
        None => open(state)?,
    };
    let found = reader.as_ref().map_or(Ok(None), |reader| reader.find(id));
    if let Ok(Some(event)) = found {
        return Ok(Some(event));
    }
    match EventLog::of_state(state).find(id) {
        Ok(Some(event)) => Ok(Some(event)),
        Ok(None) => found,
        Err(error) => found.and(Err(StoreError::Log(error))),
    }
}

fn open(state: &Path) -> Result<Option<Reader>, StoreError> {
    match Reader::open(&store_dir(state)) {
        Ok(reader) => Ok(Some(reader)),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
