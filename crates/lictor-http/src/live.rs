// SPDX-License-Identifier: Apache-2.0
//! Live events: one ring for all who listen. Whoever is too slow finds that the ring has moved on, and is told by how
//! much; nobody is waited for.

use std::sync::{Arc, OnceLock};

use lictor_api::event::Event;
use tokio::sync::broadcast;

use crate::measure::Counted;

/// Events that a listener may be behind.
const RING: usize = 8192;

/// An event, and its JSON, which is made when the first listener wants it.
pub(crate) struct Shown {
    pub(crate) event: Arc<Event>,
    json: OnceLock<Option<String>>,
}

impl Shown {
    /// `{"type":"event","event":...}`
    pub(crate) fn message(&self) -> Option<&str> {
        let make = || match serde_json::to_string(&*self.event) {
            Ok(json) => Some(format!("{{\"type\":\"event\",\"event\":{json}}}")),
            Err(error) => {
                tracing::error!("an event cannot be written as JSON: {error}");
                None
            }
        };
        self.json.get_or_init(make).as_deref()
    }
}

/// Takes each recorded event, once. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    sender: broadcast::Sender<Arc<Shown>>,
    pub(crate) counted: Arc<Counted>,
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Live {
    #[must_use]
    pub fn new() -> Self {
        Self { sender: broadcast::Sender::new(RING), counted: Arc::default() }
    }

    /// Counts the event and gives it to whoever listens; never waits.
    pub fn publish(&self, event: Arc<Event>) {
        self.counted.count(&event);
        if self.sender.receiver_count() > 0 {
            // That the last listener has gone meanwhile is no error.
            let _nobody = self.sender.send(Arc::new(Shown { event, json: OnceLock::new() }));
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Shown>> {
        self.sender.subscribe()
    }

    pub(crate) fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }
}
