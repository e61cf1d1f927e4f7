// SPDX-License-Identifier: Apache-2.0
//! Reads recorded events from files of JSON Lines: what the daemon wrote (`events.jsonl`, and
//! `events.1.jsonl`, its predecessor), or any file that holds events.

use crate::control::EventFilter;
use crate::event::Event;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The file that the daemon appends to, in its state directory.
pub const CURRENT: &str = "events.jsonl";
/// The file that it becomes when it is full.
pub const PREVIOUS: &str = "events.1.jsonl";

#[derive(Debug, Error)]
pub enum LogError {
    #[error("{} cannot be read: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}:{line}: not an event: {source}", path.display())]
    NotAnEvent { path: PathBuf, line: u64, source: serde_json::Error },
}

/// Recorded events, oldest first.
#[derive(Debug)]
pub struct EventLog {
    files: Vec<PathBuf>,
}

impl EventLog {
    /// What the daemon with this state directory has recorded.
    #[must_use]
    pub fn of_state(state: &Path) -> Self {
        // Oldest first. A missing file is no error: nothing was recorded, or nothing was rotated yet.
        let files = [PREVIOUS, CURRENT].map(|name| state.join(name)).into_iter().filter(|path| path.exists()).collect();
        Self { files }
    }

    /// One file of events.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        Self { files: vec![path.to_owned()] }
    }

    /// The files read, oldest first.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Every event with the line it stands on. A last line without its newline is one still being
    /// written, or cut off by a crash: it is left out when it is not a whole event. Any other line that
    /// is no event is an error of its own; reading goes on after it.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, LogError>> + '_ {
        self.files.iter().flat_map(|path| match File::open(path) {
            Ok(file) => Entries::Lines(Lines::new(path.clone(), BufReader::new(file))),
            Err(source) => Entries::Failed(Some(LogError::Io { path: path.clone(), source })),
        })
    }

    /// The events that `filter` wants, at most the last `filter.limit`, and what could not be read.
    pub fn select(&self, filter: &EventFilter) -> (Vec<Event>, Vec<LogError>) {
        let mut events = VecDeque::new();
        let mut problems = Vec::new();
        for entry in self.entries() {
            match entry {
                Ok(entry) if filter.matches(&entry.event) => {
                    if filter.limit.is_some_and(|limit| events.len() >= limit) {
                        events.pop_front();
                    }
                    if filter.limit != Some(0) {
                        events.push_back(entry.event);
                    }
                }
                Ok(_) => {}
                Err(problem) => problems.push(problem),
            }
        }
        (events.into(), problems)
    }

    /// The event with this id.
    pub fn find(&self, id: &str) -> Result<Option<Event>, LogError> {
        let mut problem = None;
        for entry in self.entries() {
            match entry {
                Ok(entry) if entry.event.id == id => return Ok(Some(entry.event)),
                Ok(_) => {}
                Err(error) => problem = Some(error),
            }
        }
        // A damaged line may have been the one that was asked for.
        problem.map_or(Ok(None), Err)
    }
}

/// An event and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub line: u64,
    pub event: Event,
}

enum Entries {
    Lines(Lines<BufReader<File>>),
    Failed(Option<LogError>),
}

impl Iterator for Entries {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::Failed(error) => error.take().map(Err),
        }
    }
}

/// The events in one stream of JSON Lines; `path` is only for messages.
#[derive(Debug)]
pub struct Lines<R> {
    path: PathBuf,
    reader: R,
    line: u64,
    failed: bool,
}

impl<R: BufRead> Lines<R> {
    pub fn new(path: PathBuf, reader: R) -> Self {
        Self { path, reader, line: 0, failed: false }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let mut text = Vec::new();
            match self.reader.read_until(b'\n', &mut text) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(source) if source.kind() == ErrorKind::Interrupted => continue,
                Err(source) => {
                    self.failed = true;
                    return Some(Err(LogError::Io { path: self.path.clone(), source }));
                }
            }
            self.line += 1;
            if text.trim_ascii().is_empty() {
                continue;
            }
            let torn = text.last() != Some(&b'\n');
            return match serde_json::from_slice(&text) {
                Ok(event) => Some(Ok(Entry { line: self.line, event })),
                Err(_) if torn => None,
                Err(source) => Some(Err(LogError::NotAnEvent { path: self.path.clone(), line: self.line, source })),
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn ids(events: &[Event]) -> String {
        events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn line(id: &str) -> String {
        format!("{{\"id\":\"{id}\",\"kind\":\"exec\"}}\n")
    }

    #[test]
    fn rotated_events_come_first_and_a_torn_end_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(PREVIOUS), line("1") + &line("2")).unwrap();
        fs::write(dir.path().join(CURRENT), line("3") + "\n" + r#"{"id":"4","ki"#).unwrap();
        let log = EventLog::of_state(dir.path());
        let (events, problems) = log.select(&EventFilter::default());
        assert_eq!((ids(&events).as_str(), problems.len()), ("1 2 3", 0));
        let (events, _) = log.select(&EventFilter { limit: Some(2), ..Default::default() });
        assert_eq!(ids(&events), "2 3");
        let (events, _) = log.select(&EventFilter { limit: Some(0), ..Default::default() });
        assert_eq!(ids(&events), "");
        assert_eq!(log.find("2").unwrap().unwrap().id, "2");
        assert!(log.find("4").unwrap().is_none());
    }

    #[test]
    fn a_line_that_is_no_event_is_named_and_the_rest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.jsonl");
        fs::write(&path, line("1") + "nonsense\n" + &line("2")).unwrap();
        let log = EventLog::of_file(&path);
        let (events, problems) = log.select(&EventFilter::default());
        assert_eq!(ids(&events), "1 2");
        assert!(problems[0].to_string().starts_with(&format!("{}:2: not an event", path.display())), "{}", problems[0]);
        assert!(log.find("9").is_err(), "the damaged line may have been event 9");
    }

    #[test]
    fn a_whole_last_line_counts_without_its_newline() {
        let lines = Lines::new("x".into(), io::Cursor::new(r#"{"kind":"exec"}"#));
        assert_eq!(lines.filter_map(Result::ok).count(), 1);
    }

    #[test]
    fn a_missing_file_is_an_error_and_an_empty_state_directory_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (_, problems) = EventLog::of_file(&dir.path().join("none")).select(&EventFilter::default());
        assert!(problems[0].to_string().contains("cannot be read"), "{}", problems[0]);
        let (events, problems) = EventLog::of_state(dir.path()).select(&EventFilter::default());
        assert!(events.is_empty() && problems.is_empty());
    }
}
