// SPDX-License-Identifier: Apache-2.0
//! Where a chain goes on: finds its end, cuts off what a crash left behind it, and compares it with the last checkpoint.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::checkpoint::Checkpoint;
use super::entry::{Entry, Hash, Kind, NO_HASH, Record, hash_of, hex};
use super::files::{self, AuditError, Segment, at};
use super::jsonl::read_if_there;
use super::seal::SealedText;

/// The end of a chain.
#[derive(Debug)]
pub(crate) struct End {
    /// The file to go on in; `None`: a new one is to be made.
    pub(crate) segment: Option<Segment>,
    /// The last entry, 0 if there is none, and the hash of its line.
    pub(crate) n: u64,
    pub(crate) head: Hash,
    /// The hash of the first entry's line; `None` as long as there is none.
    pub(crate) chain: Option<Hash>,
    /// The newest checkpoint that was written beside the chain.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// What the chain is to say about the state in which it was found.
    pub(crate) findings: Vec<Entry>,
}

/// Finds the end of the chain in `dir`, after mending it.
pub(crate) fn recover(dir: &Path) -> Result<End, AuditError> {
    remove_temporary(dir)?;
    let mut findings = Vec::new();
    let segments = files::segments(dir)?;
    let checkpoint = match Checkpoint::read(&dir.join(files::CHECKPOINT)) {
        Ok(checkpoint) => checkpoint,
        Err(AuditError::Damaged { reason, .. }) => {
            findings
                .push(Entry::new(Kind::Tampering).with("what", "the newest checkpoint is damaged").with("why", reason));
            None
        }
        Err(error) => return Err(error),
    };
    let mut end = End { segment: None, n: 0, head: NO_HASH, chain: None, checkpoint, findings };
    if let Some(last) = segments.last() {
        let mut tail = Tail::read(last)?;
        tail.mend(dir, last, end.checkpoint.as_ref(), &mut end.findings)?;
        match tail.last {
            Some((n, head)) => (end.n, end.head) = (n, head),
            // The file was made, and nothing written: the one before holds the last entry.
            None => {
                let before = segments.iter().rev().nth(1).map(Tail::read).transpose()?;
                if let Some((n, head)) = before.and_then(|tail| tail.last) {
                    (end.n, end.head) = (n, head);
                }
            }
        }
        // A file whose name would lie is not gone on in.
        end.segment = (tail.last.is_some() || last.first == end.n + 1).then(|| last.clone());
        mend_sealed(last, end.n)?;
        end.chain = chain_of(dir)?;
    }
    compare(dir, &segments, &mut end)?;
    Ok(end)
}

/// Which chain this folder holds: the hash of its first line, or what the newest checkpoint says.
pub(crate) fn chain_of(dir: &Path) -> Result<Option<Hash>, AuditError> {
    let first = Segment::of(dir, 1).chain;
    if let Some(file) = super::jsonl::open_if_there(&first).map_err(at("read", &first))? {
        let mut lines = files::Lines::new(io::BufReader::new(file), files::MAX_CHAIN_LINE);
        let line = lines.next().map_err(at("read", &first))?;
        let first = line.filter(|line| line.whole && Record::parse(&line.bytes).is_ok_and(|record| record.n == 1));
        if let Some(line) = first {
            return Ok(Some(hash_of(&line.bytes)));
        }
    }
    let newest = Checkpoint::read(&dir.join(files::CHECKPOINT)).ok().flatten();
    Ok(newest.and_then(|checkpoint| checkpoint.chain_hash()))
}

/// The last file of the chain, in memory.
struct Tail {
    bytes: Vec<u8>,
    /// Where the last line ends that can be kept.
    keep: usize,
    last: Option<(u64, Hash)>,
    /// The number of the first line that is cut off.
    line: u64,
}

impl Tail {
    /// Looks for the last line that is an entry: what follows it is cut off. A line before it that is none is left: it is
    /// no crash that leaves such lines, with one exception. Where a file system wrote the end of a group of entries before
    /// its beginning, there are NUL bytes in between.
    fn read(segment: &Segment) -> Result<Self, AuditError> {
        let bytes = fs::read(&segment.chain).map_err(at("read", &segment.chain))?;
        let mut tail = Self { keep: 0, last: None, line: 1, bytes };
        let mut position = 0;
        for (line, number) in tail.bytes.split_inclusive(|byte| *byte == b'\n').zip(1u64..) {
            position += line.len();
            let Some(line) = line.strip_suffix(b"\n") else { break };
            if line.contains(&0) {
                break;
            }
            if let Ok(record) = Record::parse(line) {
                tail.keep = position;
                tail.last = Some((record.n, hash_of(line)));
                tail.line = number + 1;
            }
        }
        Ok(tail)
    }

    fn mend(
        &mut self,
        dir: &Path,
        segment: &Segment,
        checkpoint: Option<&Checkpoint>,
        findings: &mut Vec<Entry>,
    ) -> Result<(), AuditError> {
        let cut = self.bytes.get(self.keep..).unwrap_or_default();
        if cut.is_empty() {
            return Ok(());
        }
        let last = self.last.map_or(0, |(n, _)| n);
        let mut entry = Entry::new(Kind::Repair)
            .with("what", "the end of the file was torn and is cut off")
            .with("bytes", cut.len() as u64)
            .with("line", self.line)
            .with("sha256", hex(&hash_of(cut)));
        // One line without its end is what every crash leaves. Anything else is kept, for whoever wants to know what it was.
        if cut.contains(&b'\n') || cut.contains(&0) || checkpoint.is_some_and(|checkpoint| checkpoint.entry > last) {
            let path = unused(dir, last);
            let kept = File::create_new(&path).and_then(|mut file| {
                file.write_all(cut)?;
                file.sync_all()
            });
            kept.map_err(at("write", &path))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            entry = entry.with("kept_as", name);
        }
        findings.push(entry);
        cut_off(&segment.chain, self.keep as u64)
    }
}

fn unused(dir: &Path, last: u64) -> PathBuf {
    let name = |round: u32| dir.join(format!("cut-after-{last:012}-{round}.bin"));
    (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

fn cut_off(path: &Path, length: u64) -> Result<(), AuditError> {
    let file = files::open_writable(path).map_err(at("open", path))?;
    file.set_len(length).and_then(|()| file.sync_all()).map_err(at("cut", path))
}

/// Sealed texts are on the disk before the entries that need them: those of entries that did not come go.
fn mend_sealed(segment: &Segment, last: u64) -> Result<(), AuditError> {
    let Some(bytes) = read_if_there(&segment.sealed).map_err(at("read", &segment.sealed))? else { return Ok(()) };
    let mut keep = 0;
    let mut position = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        position += line.len();
        let Some(line) = line.strip_suffix(b"\n") else { break };
        if serde_json::from_slice::<SealedText>(line).is_ok_and(|sealed| sealed.n <= last) {
            keep = position;
        }
    }
    if keep < bytes.len() { cut_off(&segment.sealed, keep as u64) } else { Ok(()) }
}

/// What had been signed must still be there.
fn compare(dir: &Path, segments: &[Segment], end: &mut End) -> Result<(), AuditError> {
    let Some(checkpoint) = &end.checkpoint else { return Ok(()) };
    let what = if let Err(reason) = checkpoint.signer() {
        Some(format!("the newest checkpoint is not signed: {reason}"))
    } else if end.chain.is_some() && end.chain != checkpoint.chain_hash() {
        Some("another chain was put in the place of this one".to_owned())
    } else if checkpoint.entry > end.n {
        Some(format!("entries {} to {} are gone", end.n + 1, checkpoint.entry))
    } else if line_hash(dir, segments, checkpoint.entry)? != checkpoint.head_hash() {
        Some(format!("entry {} is not the one that was signed", checkpoint.entry))
    } else {
        None
    };
    if let Some(what) = what {
        tracing::error!("the audit chain in {} has been tampered with: {what}", dir.display());
        end.findings.push(Entry::new(Kind::Tampering).with("what", what).with("checkpoint", json!(checkpoint)));
    }
    Ok(())
}

fn line_hash(dir: &Path, segments: &[Segment], n: u64) -> Result<Option<Hash>, AuditError> {
    let Some(segment) = segments.iter().rev().find(|segment| segment.first <= n) else { return Ok(None) };
    let bytes = fs::read(&segment.chain).map_err(at("read", dir))?;
    let entry = bytes.split(|byte| *byte == b'\n').find(|line| Record::parse(line).is_ok_and(|record| record.n == n));
    Ok(entry.map(hash_of))
}

/// What an interrupted rewriting left.
fn remove_temporary(dir: &Path) -> Result<(), AuditError> {
    for entry in fs::read_dir(dir).map_err(at("read", dir))? {
        let path = entry.map_err(at("read", dir))?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            super::jsonl::remove_scrubbed(&path).map_err(at("remove", &path))?;
        }
    }
    Ok(())
}
