// SPDX-License-Identifier: Apache-2.0
//! The files of the chain's folder, and what is done to files so that it holds after a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;

/// Why the chain could not be opened, read, or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditError {
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is in use by another process: is lictord running? Ask it with `lictor audit`, or stop it first", path.display())]
    InUse { path: PathBuf },
    #[error("{}: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("there is no chain at {}", path.display())]
    NoChain { path: PathBuf },
    #[error("nobody is known as `{asked}`: give a user name, uid:NUMBER, token:NAME or `unknown`{}", known_list(known))]
    NoSubject { asked: String, known: Vec<String> },
    #[error("the audit chain cannot be written now: {reason}")]
    NotWritten { reason: String },
    /// A copy beside the chain could not be erased; the erasure is not finished and goes on when it is asked for again.
    #[error("{copy}: the subject's data cannot be erased: {reason}")]
    Copy { copy: String, reason: String },
}

fn known_list(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; the chain knows {}", known.join(", ")) }
}

/// Names an operation and a file in an error.
pub(crate) fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    let path = path.to_owned();
    move |source| AuditError::Io { doing, path, source }
}

/// Sizes above which a line is no line of ours.
pub(crate) const MAX_CHAIN_LINE: usize = 1 << 20;
pub(crate) const MAX_SEALED_LINE: usize = 64 << 20;

const CHAIN: &str = "chain-";
const SEALED: &str = "sealed-";
const SUFFIX: &str = ".jsonl";
pub(crate) const CHECKPOINT: &str = "checkpoint.json";
pub(crate) const SECRET_KEY: &str = "key";
pub(crate) const PUBLIC_KEY: &str = "key.pub";
pub(crate) const SUBJECTS: &str = "subjects";
const LOCK: &str = "lock";
/// A daemon that was killed is there until its last thread is gone, which takes seconds on a machine that is busy.
const HAND_OVER: Duration = Duration::from_secs(10);
/// Held shared by whoever reads sealed texts, exclusively while some are destroyed.
const READERS: &str = "readers.lock";

/// A file of the chain and the file of its sealed texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The number of its first entry, which its name says.
    pub(crate) first: u64,
    pub(crate) chain: PathBuf,
    pub(crate) sealed: PathBuf,
}

impl Segment {
    pub(crate) fn of(dir: &Path, first: u64) -> Self {
        let name = |prefix: &str| dir.join(format!("{prefix}{first:012}{SUFFIX}"));
        Self { first, chain: name(CHAIN), sealed: name(SEALED) }
    }

    /// The segment whose chain file this is, if it is named as one.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        let first = path.file_name()?.to_str()?.strip_prefix(CHAIN)?.strip_suffix(SUFFIX)?.parse().ok()?;
        let segment = Self::of(path.parent()?, first);
        (segment.chain.file_name() == path.file_name()).then_some(segment)
    }
}

/// The segments of a folder in their order.
pub(crate) fn segments(dir: &Path) -> Result<Vec<Segment>, AuditError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(at("read", dir))? {
        let path = entry.map_err(at("read", dir))?.path();
        segments.extend(Segment::of_file(&path));
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

pub(crate) fn make_dir(dir: &Path) -> Result<(), AuditError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at("make", dir))
}

/// So that the names in `dir` are there after a crash.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// `path` holds either what it held or all of `bytes`, whatever happens meanwhile.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_dir(path.parent().unwrap_or(Path::new(".")))
    })();
    if written.is_err() {
        let _it_may_never_have_been_made = fs::remove_file(&temporary);
    }
    written
}

/// Overwrites what a file holds before its last name goes: a removed file's blocks could otherwise be read from the disk.
/// (Where the disk itself keeps copies, only its encryption helps: `docs/audit.md` says so.)
pub(crate) fn scrub(mut file: File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.sync_all()
}

pub(crate) fn open_writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The lock of the one process that writes.
pub(crate) fn lock_for_writing(dir: &Path) -> Result<File, AuditError> {
    let readers = dir.join(READERS);
    lock_file(&readers).map_err(at("make", &readers))?;
    let path = dir.join(LOCK);
    let file = lock_file(&path).map_err(at("open", &path))?;
    // One that is just ending, or a child that it was just starting, holds it for a moment longer.
    let patience = Instant::now() + HAND_OVER;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(fs::TryLockError::WouldBlock) => return Err(AuditError::InUse { path: dir.to_owned() }),
            Err(fs::TryLockError::Error(source)) => return Err(at("lock", &path)(source)),
        }
    }
}

/// Held by readers of sealed texts. `None` in a copy of the folder, and for whoever may not open it.
pub(crate) fn lock_for_reading(dir: &Path) -> Option<File> {
    // It is there wherever somebody writes: a copy is left as it is.
    let file = File::open(dir.join(READERS)).ok()?;
    file.lock_shared().ok()?;
    Some(file)
}

/// Waits until nobody reads sealed texts.
pub(crate) fn lock_for_erasing(dir: &Path) -> Result<File, AuditError> {
    let path = dir.join(READERS);
    let file = lock_file(&path).map_err(at("open", &path))?;
    file.lock().map_err(at("lock", &path))?;
    Ok(file)
}

fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// One line of a file as it stands there.
#[derive(Debug)]
pub(crate) struct Line {
    /// Counted from 1.
    pub(crate) number: u64,
    /// Without its line feed. Empty for one that is longer than the limit.
    pub(crate) bytes: Vec<u8>,
    /// Whether a line feed ends it.
    pub(crate) whole: bool,
    pub(crate) too_long: bool,
}

/// Lines in bounded memory: a hostile file may have none.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    limit: usize,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R, limit: usize) -> Self {
        Self { reader, limit, number: 0 }
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let (mut seen, mut whole) = (0usize, false);
        while !whole {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                break;
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            seen += part.len();
            if seen <= self.limit {
                bytes.extend_from_slice(part);
            }
            whole = end.is_some();
            let used = part.len() + usize::from(whole);
            self.reader.consume(used);
        }
        if seen == 0 && !whole {
            return Ok(None);
        }
        self.number += 1;
        let too_long = seen > self.limit;
        if too_long {
            bytes = Vec::new();
        }
        Ok(Some(Line { number: self.number, bytes, whole, too_long }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_torn_ones_are_known() {
        let mut lines = Lines::new(io::Cursor::new(b"ab\n\nlonger\nc".as_slice()), 3);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push((line.number, String::from_utf8(line.bytes).unwrap(), line.whole, line.too_long));
        }
        let line = |number, text: &str, whole, long| (number, text.to_owned(), whole, long);
        assert_eq!(
            seen,
            [line(1, "ab", true, false), line(2, "", true, false), line(3, "", true, true), line(4, "c", false, false)]
        );
    }

    #[test]
    fn a_segment_is_known_by_its_name() {
        let segment = Segment::of(Path::new("/a"), 17);
        assert_eq!(segment.chain, Path::new("/a/chain-000000000017.jsonl"));
        assert_eq!(Segment::of_file(&segment.chain), Some(segment));
        for other in
            ["chain-17.jsonl", "chain-00000000001x.jsonl", "sealed-000000000017.jsonl", "chain-000000000017.tmp"]
        {
            assert_eq!(Segment::of_file(&Path::new("/a").join(other)), None, "{other}");
        }
    }
}
