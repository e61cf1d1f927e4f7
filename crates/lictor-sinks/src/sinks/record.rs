// SPDX-License-Identifier: Apache-2.0
//! What a sink is given, and how it waits on disk.

use std::sync::Arc;

use jiff::Timestamp;
use lictor_api::alert::Alert;
use lictor_api::event::{Event, Kind, Lost};
use serde::{Deserialize, Serialize};

/// An event or an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Event(Arc<Event>),
    Alert(Arc<Alert>),
}

impl Record {
    /// A rough size in memory, in bytes: enough to bound a queue by.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Event(event) => event_weight(event),
            Self::Alert(alert) => 1024 + alert.title.len() + alert.example_event.as_deref().map_or(0, event_weight),
        }
    }

    /// What did not find room, as an event of its own.
    pub(crate) fn lost(count: u64, reason: String, at_ms: i64) -> Record {
        let time = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let id = ulid::Ulid::from_parts(u64::try_from(at_ms).unwrap_or(0), ulid::Ulid::new().random());
        let mut event = Event::new(Kind::Lost, id.to_string(), format!("{time:.9}"));
        event.lost = Some(Lost { count, reason });
        Record::Event(Arc::new(event))
    }
}

fn event_weight(event: &Event) -> usize {
    let process = &event.process;
    let args: usize = process.args.iter().flatten().map(|arg| arg.len() + 24).sum();
    let ancestors: usize =
        process.ancestors.iter().map(|parent| 256 + parent.cmdline.as_ref().map_or(0, String::len) * 2).sum();
    1024 + args + process.cmdline.as_ref().map_or(0, String::len) + ancestors
}

/// What the lines of erased records are written over with.
pub(crate) const ERASED: u8 = b'#';

/// A record that waits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Queued {
    /// When it began to wait, in milliseconds of Unix time.
    pub(crate) at_ms: i64,
    pub(crate) record: Record,
    /// Where it ends on disk, if it came from there.
    pub(crate) place: Option<Place>,
}

/// A position in the spill: everything before it has been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Written<'a> {
    Event(&'a Event),
    Alert(&'a Alert),
}

#[derive(Serialize)]
struct WrittenLine<'a> {
    at_ms: i64,
    record: Written<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Read {
    Event(Box<Event>),
    Alert(Box<Alert>),
}

#[derive(Deserialize)]
struct ReadLine {
    at_ms: i64,
    record: Read,
}

impl Queued {
    /// One line of JSON, its end included.
    pub(crate) fn line(&self) -> serde_json::Result<Vec<u8>> {
        let record = match &self.record {
            Record::Event(event) => Written::Event(event),
            Record::Alert(alert) => Written::Alert(alert),
        };
        let mut line = serde_json::to_vec(&WrittenLine { at_ms: self.at_ms, record })?;
        line.push(b'\n');
        Ok(line)
    }

    pub(crate) fn parse(line: &[u8]) -> serde_json::Result<Queued> {
        let ReadLine { at_ms, record } = serde_json::from_slice(line)?;
        let record = match record {
            Read::Event(event) => Record::Event(Arc::from(event)),
            Read::Alert(alert) => Record::Alert(Arc::from(alert)),
        };
        Ok(Queued { at_ms, record, place: None })
    }
}
