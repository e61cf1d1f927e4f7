// SPDX-License-Identifier: Apache-2.0
//! Erasure: what tells of a person goes from the alerts and from what waits on disk. What was sent has left Lictor's keeping,
//! and what waits in memory is about to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use jiff::Timestamp;
use lictor_api::alert::Alert;
use lictor_api::event::Event;

use crate::alerts::Alerts;
use crate::alerts::file::{self, FileError};
use crate::sinks::{ERASED, Queued, Record};

/// What is to go.
pub struct Whose<'a> {
    /// Whether an event is theirs, or tells of them.
    pub event: &'a dyn Fn(&Event) -> bool,
    /// Whether a text names them.
    pub text: &'a dyn Fn(&str) -> bool,
}

impl Whose<'_> {
    pub(crate) fn alert(&self, alert: &Alert) -> bool {
        let example = alert.example_event.as_deref();
        example.is_some_and(self.event) || serde_json::to_string(alert).is_ok_and(|text| (self.text)(&text))
    }

    fn line(&self, line: &[u8]) -> bool {
        match Queued::parse(line).map(|queued| queued.record) {
            Ok(Record::Event(event)) => (self.event)(&event),
            Ok(Record::Alert(alert)) => self.alert(&alert),
            Err(_) => (self.text)(&String::from_utf8_lossy(line)),
        }
    }
}

/// Erases where no daemon runs; gives how many alerts and records went.
///
/// # Errors
/// A file cannot be read or written; what was erased by then is gone.
pub fn stopped(state: &Path, whose: &Whose<'_>) -> Result<u64, FileError> {
    let mut alerts: Alerts = file::load(state, Timestamp::now())?.alerts;
    let gone = alerts.forget(|alert| whose.alert(alert));
    if gone > 0 {
        let path = state.join(file::NAME);
        let text = file::text(&alerts).map_err(|error| FileError::Write { path, source: error.into() })?;
        file::write(state, &text)?;
    }
    Ok(gone + waiting(state, whose)?)
}

/// Erases in the records of all sinks that wait on disk: lines are written over where they stand, so that whoever reads or
/// appends is not disturbed.
pub(crate) fn waiting(state: &Path, whose: &Whose<'_>) -> Result<u64, FileError> {
    let mut gone = 0;
    let folders = match fs::read_dir(state.join("sinks")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        folders => folders.map_err(|source| FileError::Read { path: state.join("sinks"), source })?,
    };
    for folder in folders.flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let path = file.path();
            if path.extension().is_some_and(|ending| ending == "jsonl") {
                gone += write_over(&path, whose).map_err(|source| FileError::Write { path, source })?;
            }
        }
    }
    Ok(gone)
}

fn write_over(path: &Path, whose: &Whose<'_>) -> io::Result<u64> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        // It was delivered meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let mut reader = BufReader::new(File::open(path)?);
    let (mut at, mut gone) = (0u64, 0);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if line.ends_with(b"\n") && whose.line(&line) {
            file.write_all_at(&vec![ERASED; line.len() - 1], at)?;
            gone += 1;
        }
        at += line.len() as u64;
        line.clear();
    }
    if gone > 0 {
        file.sync_data()?;
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dispatcher, format::Host};
    use lictor_api::alert::AlertFilter;
    use lictor_api::settings::Settings;
    use std::sync::Arc;
    use std::time::Duration;

    fn denial(id: &str, uid: u32, path: &str) -> Arc<Event> {
        let text = format!(
            r#"{{"id":"{id}","time":"2026-01-02T03:04:05Z","kind":"file","session":"s-{id}","process":{{"pid":{uid},"uid":{uid},"exe":"/bin/cat"}},
                "file":{{"op":"read","path":"{path}"}},"verdict":{{"action":"deny","tier":"rules","rule":"r-{id}","severity":"high"}}}}"#
        );
        Arc::new(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn nothing_of_a_person_is_left_and_everything_of_others() {
        let dir = tempfile::tempdir().unwrap();
        // A webhook that nobody answers: everything waits.
        let text = b"sinks: {team: {type: webhook, url: 'http://127.0.0.1:9/'}}".as_slice();
        let settings = Settings::parse("l.yaml", text).unwrap();
        let host = || Host { name: "box".into(), version: "1".into() };
        let dispatcher = Dispatcher::start(&settings.sinks, dir.path(), host()).unwrap();
        dispatcher.offer(&denial("1", 4001, "/srv/alpha-secret"));
        dispatcher.offer(&denial("2", 4002, "/srv/other"));
        dispatcher.close(Duration::ZERO);
        let holds = |needle: &str| {
            let mut files = vec![dir.path().join(file::NAME)];
            files.extend(fs::read_dir(dir.path().join("sinks/team")).unwrap().map(|file| file.unwrap().path()));
            files.iter().filter(|file| fs::read_to_string(file).unwrap().contains(needle)).count()
        };
        assert!(holds("alpha-secret") >= 2 && holds("/srv/other") >= 2, "in the alerts and in what waits");
        let whose =
            Whose { event: &|event| event.process.uid == Some(4001), text: &|text| text.contains("alpha-secret") };
        assert!(stopped(dir.path(), &whose).unwrap() >= 2);
        assert_eq!(holds("alpha-secret"), 0);
        assert!(holds("/srv/other") >= 2);
        assert_eq!(stopped(dir.path(), &whose).unwrap(), 0, "it can be done again");

        let dispatcher = Dispatcher::start(&settings.sinks, dir.path(), host()).unwrap();
        assert_eq!(dispatcher.alerts(&AlertFilter::default()).len(), 1);
        dispatcher.offer(&denial("3", 4001, "/srv/alpha-secret"));
        while dispatcher.alerts(&AlertFilter::default()).len() < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(dispatcher.forget(&whose).unwrap() >= 1);
        assert_eq!(dispatcher.alerts(&AlertFilter::default()).len(), 1);
        assert_eq!(fs::read_to_string(dir.path().join(file::NAME)).unwrap().matches("alpha-secret").count(), 0);
        dispatcher.close(Duration::ZERO);
    }
}
