// SPDX-License-Identifier: Apache-2.0
//! Keeps the rules of a directory in force: loads what changes, all or nothing, and stays with the last good set when
//! that does not work, also across a restart.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lictor_engine::policy::Problem;
use serde::{Deserialize, Serialize};

use super::judge::Rules;
use super::{files, parse};

/// The copy of the last good set, in the state directory.
pub const LAST_GOOD: &str = "rules.last-good.json";
/// How long a directory must lie still before it is loaded: an editor or a package manager may be at it.
const STILL: Duration = Duration::from_millis(150);
/// A directory that never lies still is loaded all the same when a reading of it finds it unchanged.
const PATIENCE: Duration = Duration::from_secs(5);

/// Watches a directory of rule files by looking at it.
pub struct RuleStore {
    directory: PathBuf,
    last_good: PathBuf,
    rules: Arc<Rules>,
    /// What the directory looked like when it was last loaded, or tried.
    tried: Option<Stamp>,
    /// What it looks like now, since when, and since when it is another than `tried`.
    pending: Option<(Stamp, Instant, Instant)>,
    status: RuleStatus,
}

/// What is in force, and what keeps the directory's content from being so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleStatus {
    /// Zero when no set has come into force: then the tier is not available.
    pub epoch: u64,
    pub rules: usize,
    /// Whether the set in force is an earlier one than the directory holds.
    pub stale: bool,
    pub problems: Vec<Problem>,
}

/// Names, inodes, sizes and times of the files; nothing when the directory cannot be listed.
type Stamp = Vec<(PathBuf, Option<(u64, u64, i64, i64, i64, i64)>)>;

#[derive(Serialize, Deserialize)]
struct Copy {
    version: u32,
    files: Vec<CopiedFile>,
}

#[derive(Serialize, Deserialize)]
struct CopiedFile {
    name: String,
    text: String,
}

impl RuleStore {
    /// Loads `directory` into `rules`; where that fails, the last good set, which is kept in the directory `state`. A
    /// directory that does not exist and never did is a set without rules. See [`RuleStore::status`] for how it went.
    #[must_use]
    pub fn open(directory: &Path, state: &Path, rules: Arc<Rules>) -> RuleStore {
        let mut store = RuleStore {
            directory: directory.to_owned(),
            last_good: state.join(LAST_GOOD),
            rules,
            tried: None,
            pending: None,
            status: RuleStatus::default(),
        };
        store.load(store.stamp());
        if store.status.epoch == 0 {
            store.restore();
        }
        store
    }

    #[must_use]
    pub fn status(&self) -> &RuleStatus {
        &self.status
    }

    /// Looks whether the directory has changed, and loads it when it has and lies still. To be called a few times a
    /// second. True when something was loaded or tried: [`RuleStore::status`] has news.
    pub fn poll(&mut self, now: Instant) -> bool {
        let stamp = self.stamp();
        if self.tried.as_ref() == Some(&stamp) {
            self.pending = None;
            return false;
        }
        let (since, first) = match &self.pending {
            Some((pending, since, first)) if *pending == stamp => (*since, *first),
            Some((_, _, first)) => (now, *first),
            None => (now, now),
        };
        self.pending = Some((stamp.clone(), since, first));
        if now.duration_since(since) < STILL && now.duration_since(first) < PATIENCE {
            return false;
        }
        self.load(stamp)
    }

    /// Loads now, whether or not anything has changed: what a person asked for. True when it was not changed meanwhile.
    pub fn reload(&mut self) -> bool {
        self.load(self.stamp())
    }

    fn load(&mut self, before: Stamp) -> bool {
        let read =
            if self.directory.exists() || self.is_missed() { files::read(&self.directory) } else { Ok(Vec::new()) };
        if self.stamp() != before {
            // It was written while it was read: half of it may be old.
            return false;
        }
        self.tried = Some(before);
        self.pending = None;
        match read.and_then(|files| parse(&files).map(|set| (files, set))) {
            Ok((files, set)) => {
                let rules = set.rules().len();
                // The copy first: were it the other way round, a crash between would bring back the set before.
                let problems = self.keep(files).err().into_iter().collect();
                let epoch = self.rules.replace(set);
                self.status = RuleStatus { epoch, rules, stale: false, problems };
            }
            Err(problems) => {
                self.status.stale = self.status.epoch > 0;
                self.status.problems = problems;
            }
        }
        true
    }

    /// Whether rules were in force before, so that a directory that is not there is one that was lost.
    fn is_missed(&self) -> bool {
        // A copy that cannot be read was one of something.
        let copied = || self.copied().is_some_and(|copy| copy.map_or(true, |copy| !copy.files.is_empty()));
        self.status.rules > 0 || copied()
    }

    /// The last good set, when there is a copy.
    fn copied(&self) -> Option<Result<Copy, Problem>> {
        let bad =
            |error: String| files::problem(&self.last_good, format!("the last good rules cannot be read: {error}"));
        let bytes = match std::fs::read(&self.last_good) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => return Some(Err(bad(error.to_string()))),
        };
        Some(match serde_json::from_slice::<Copy>(&bytes) {
            Ok(copy) if copy.version == 1 => Ok(copy),
            Ok(copy) => Err(bad(format!("version {} is not known", copy.version))),
            Err(error) => Err(bad(error.to_string())),
        })
    }

    fn keep(&self, files: Vec<(String, Vec<u8>)>) -> Result<(), Problem> {
        let failed = |error: String| files::problem(&self.last_good, format!("the copy cannot be kept: {error}"));
        let to_text = |(name, bytes)| String::from_utf8(bytes).map(|text| CopiedFile { name, text });
        let files: Result<Vec<CopiedFile>, _> = files.into_iter().map(to_text).collect();
        let copy = Copy { version: 1, files: files.map_err(|error| failed(error.to_string()))? };
        let json = serde_json::to_vec(&copy).map_err(|error| failed(error.to_string()))?;
        files::write(&self.last_good, &json).map_err(|error| failed(error.to_string()))
    }

    /// Puts the last good set into force when the directory gives none at the start.
    fn restore(&mut self) {
        let files: Vec<(String, Vec<u8>)> = match self.copied() {
            None => return,
            Some(Ok(copy)) => copy.files.into_iter().map(|file| (file.name, file.text.into_bytes())).collect(),
            Some(Err(problem)) => return self.status.problems.push(problem),
        };
        match parse(&files) {
            Ok(set) => {
                self.status.rules = set.rules().len();
                self.status.epoch = self.rules.replace(set);
                self.status.stale = true;
            }
            // A newer Lictor may refuse what an older one took.
            Err(problems) => self.status.problems.extend(problems),
        }
    }

    fn stamp(&self) -> Stamp {
        let paths = files::list(&self.directory).unwrap_or_default();
        let of = |path: PathBuf| {
            let facts = std::fs::metadata(&path).ok();
            let facts = facts.map(|m| (m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()));
            (path, facts)
        };
        let mut stamp: Stamp = paths.into_iter().map(of).collect();
        // Tells a directory that is gone from one that is empty.
        stamp.push((self.directory.clone(), std::fs::metadata(&self.directory).ok().map(|m| (m.ino(), 0, 0, 0, 0, 0))));
        stamp
    }
}
