// SPDX-License-Identifier: Apache-2.0
//! Alerts across restarts: one JSON file, replaced as a whole. What a crash leaves behind is the old file or the new one.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lictor_api::alert::{AlertState, Silence};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Alerts, Entry, MAX_ALERTS, MAX_SILENCES};

/// Name of the file in the state directory.
pub const NAME: &str = "alerts.json";
const VERSION: u32 = 1;
/// A larger file is none of ours.
const MAX_BYTES: u64 = 256 << 20;

#[derive(Debug, Error)]
pub enum FileError {
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

#[derive(Deserialize)]
struct Stored {
    version: u32,
    #[serde(default)]
    evicted: u64,
    #[serde(default)]
    silences: Vec<Silence>,
    alerts: Vec<Entry>,
}

#[derive(Serialize)]
struct ToStore<'a> {
    version: u32,
    evicted: u64,
    silences: &'a [Silence],
    alerts: Vec<&'a Entry>,
}

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    pub alerts: Alerts,
    /// The file was damaged: why, and where it is now.
    pub damaged: Option<(String, PathBuf)>,
}

/// Reads the alerts of a state directory; none where there is no file. A file that cannot be understood is put aside.
///
/// # Errors
/// The file cannot be read, or not be put aside.
pub fn load(state: &Path, now: Timestamp) -> Result<Loaded, FileError> {
    let path = state.join(NAME);
    let read = |source| FileError::Read { path: path.clone(), source };
    let why = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Loaded { alerts: Alerts::default(), damaged: None });
        }
        Err(error) => return Err(read(error)),
        Ok(facts) if !facts.is_file() || facts.len() > MAX_BYTES => "it is no file of alerts".to_owned(),
        Ok(_) => match serde_json::from_slice::<Stored>(&fs::read(&path).map_err(read)?) {
            Ok(stored) if stored.version == VERSION => return Ok(Loaded { alerts: restore(stored), damaged: None }),
            Ok(stored) => format!("it is of version {}, and this is version {VERSION}", stored.version),
            Err(error) => error.to_string(),
        },
    };
    let aside = state.join(format!("{NAME}.damaged-{}", now.as_millisecond()));
    fs::rename(&path, &aside).map_err(|source| FileError::Write { path: aside.clone(), source })?;
    Ok(Loaded { alerts: Alerts::default(), damaged: Some((why, aside)) })
}

fn restore(stored: Stored) -> Alerts {
    let mut alerts = Alerts { evicted: stored.evicted, silences: stored.silences, ..Alerts::default() };
    alerts.silences.truncate(MAX_SILENCES);
    let excess = stored.alerts.len().saturating_sub(MAX_ALERTS);
    let mut live = HashMap::new();
    for entry in stored.alerts.into_iter().skip(excess) {
        if entry.alert.state != AlertState::Closed {
            live.insert(entry.alert.key.clone(), entry.alert.id.clone());
        }
        alerts.alerts.insert(entry.alert.id.clone(), entry);
    }
    alerts.live = live;
    alerts
}

/// The text to be written with [`write()`]; made apart, so that nobody waits for the disk with the alerts locked.
///
/// # Errors
/// They cannot be written as JSON, which is a defect of Lictor.
pub fn text(alerts: &Alerts) -> serde_json::Result<Vec<u8>> {
    let stored = ToStore {
        version: VERSION,
        evicted: alerts.evicted,
        silences: &alerts.silences,
        alerts: alerts.alerts.values().collect(),
    };
    serde_json::to_vec(&stored)
}

/// Replaces the file: written beside it, brought to the disk, then renamed.
///
/// # Errors
/// It cannot be written; the old file is what it was.
pub fn write(state: &Path, text: &[u8]) -> Result<(), FileError> {
    let path = state.join(NAME);
    let beside = state.join(format!("{NAME}.new"));
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(state)?.sync_all()
    };
    write().map_err(|source| FileError::Write { path: path.clone(), source })
}
