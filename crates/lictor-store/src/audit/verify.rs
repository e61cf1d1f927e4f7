// SPDX-License-Identifier: Apache-2.0
//! Says whether a chain is what was written, from the files alone, and where it is not.
//!
//! The walk goes on after what it finds, so that one damaged line does not hide another. Each check names the attack that
//! it finds; `docs/audit.md` lists them.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, PublicKey};
use super::entry::{Hash, Kind, NO_HASH, Record, hash_of, hex, parse_hash};
use super::files::{self, AuditError, Line, Lines, MAX_CHAIN_LINE, MAX_SEALED_LINE, Segment, at};
use super::jsonl::open_if_there;
use super::recover::chain_of;
use super::seal::{Openers, SealedText};

/// What is looked at.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The folder of a chain, or one of its files, wherever it was copied to.
    pub path: PathBuf,
    /// Checkpoints that were kept elsewhere.
    pub checkpoints: Vec<PathBuf>,
    /// The keys that checkpoints must be signed with. Without one, those beside and in the chain are believed.
    pub keys: Vec<PathBuf>,
}

/// One thing that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub file: String,
    pub line: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// `malformed`, `changed`, `missing`, `moved`, `repeated`, `renamed`, `truncated`, `rewritten`, `signature`, `key`,
    /// `foreign`, `text`, `tampering`.
    pub kind: String,
    pub message: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Nothing was found wrong.
    pub ok: bool,
    pub files: u64,
    pub entries: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// The SHA-256 of the last entry's line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The SHA-256 of the chain's first line, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// The key that signs at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Checkpoints that hold, and the last entry that one of them speaks for: a later one can have been changed or cut off
    /// without a trace.
    pub checkpoints: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<u64>,
    /// Sealed texts: opened and right; there, but without a key to open them; erased.
    pub texts: u64,
    pub unopened: u64,
    pub erased: u64,
    pub problems: Vec<Problem>,
    /// Problems beyond those that are listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_problems: u64,
    /// What is worth knowing and no problem.
    pub notes: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Problems that are listed one by one.
const LISTED: usize = 200;
/// Entries back that a line is still compared with.
const REMEMBERED: usize = 4096;

/// Reads the chain from its first line to its last.
pub fn verify(sources: &Sources) -> Result<Report, AuditError> {
    let path = &sources.path;
    let is_folder = path.is_dir();
    let dir = if is_folder { path.as_path() } else { path.parent().unwrap_or(Path::new(".")) };
    let _not_while_texts_are_destroyed = files::lock_for_reading(dir);
    let mut walk = Walk::new(sources, is_folder)?;
    if is_folder {
        let segments = files::segments(path)?;
        if segments.is_empty() && walk.outside.is_empty() {
            return Err(AuditError::NoChain { path: path.clone() });
        }
        for (segment, at) in segments.iter().zip(1..) {
            walk.file(&segment.chain, Some(segment), at == segments.len())?;
        }
    } else {
        walk.file(path, Segment::of_file(path).as_ref(), true)?;
    }
    Ok(walk.end(is_folder))
}

/// `entry 5 is`, `entries 5 to 7 are`.
fn entries(from: u64, to: u64) -> String {
    if from == to { format!("entry {from} is") } else { format!("entries {from} to {to} are") }
}

/// A line that was read.
#[derive(Clone)]
struct Known {
    hash: Hash,
    file: usize,
    line: u64,
}

struct Walk {
    report: Report,
    files: Vec<String>,
    /// The number that the next entry must have, once there was one.
    next: Option<u64>,
    /// Lines since the last entry that are none: one of them may be the entry that is missing.
    damaged: u64,
    known: HashMap<u64, Known>,
    order: VecDeque<u64>,
    last: Option<Known>,
    /// Entries that are missing where they should stand, with the place of the one that follows.
    gaps: Vec<(u64, u64, usize, u64)>,
    /// Checkpoints from outside the chain, by entry, with the file that they came from.
    outside: BTreeMap<u64, Vec<(Checkpoint, String)>>,
    keys: Vec<PublicKey>,
    /// `key.pub` beside the chain.
    beside: Option<PublicKey>,
    in_force: Option<String>,
    chain: Option<Hash>,
    openers: Openers,
    erased_subjects: HashSet<String>,
    erased_texts: HashSet<(u64, u32)>,
    /// Texts that are not there, by subject: entry, text, place.
    missing: HashMap<String, Vec<(u64, u32, usize, u64)>>,
    /// Subjects whose texts are there and their key is not, with the first place.
    keyless: HashMap<String, (u64, usize, u64)>,
}

impl Walk {
    fn new(sources: &Sources, is_folder: bool) -> Result<Self, AuditError> {
        let path = &sources.path;
        let dir = if is_folder { path.as_path() } else { path.parent().unwrap_or(Path::new(".")) };
        let segment = Segment::of_file(path);
        let keys = sources.keys.iter().map(|path| PublicKey::read(path)).collect::<Result<Vec<_>, _>>()?;
        let ours = is_folder || segment.is_some();
        let public = dir.join(files::PUBLIC_KEY);
        let mut walk = Self {
            report: Report::default(),
            files: Vec::new(),
            next: None,
            damaged: 0,
            known: HashMap::new(),
            order: VecDeque::new(),
            last: None,
            gaps: Vec::new(),
            outside: BTreeMap::new(),
            keys,
            beside: if ours && public.exists() { Some(PublicKey::read(&public)?) } else { None },
            in_force: None,
            chain: if ours { chain_of(dir)? } else { None },
            openers: if ours { Openers::load(dir) } else { Openers::default() },
            erased_subjects: HashSet::new(),
            erased_texts: HashSet::new(),
            missing: HashMap::new(),
            keyless: HashMap::new(),
        };
        for path in &sources.checkpoints {
            let checkpoint = Checkpoint::read(path)?.ok_or_else(|| AuditError::NoChain { path: path.clone() })?;
            walk.outside.entry(checkpoint.entry).or_default().push((checkpoint, path.display().to_string()));
        }
        // The newest one is beside the newest file.
        let newest = dir.join(files::CHECKPOINT);
        let is_last = is_folder || (segment.is_some() && files::segments(dir)?.last() == segment.as_ref());
        if is_last && ours {
            match Checkpoint::read(&newest) {
                Ok(Some(checkpoint)) => {
                    let from = newest.display().to_string();
                    walk.outside.entry(checkpoint.entry).or_default().push((checkpoint, from));
                }
                Ok(None) => {}
                Err(AuditError::Damaged { reason, .. }) => {
                    let file = walk.name_file(&newest);
                    walk.problem(file, 1, None, "signature", reason);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(walk)
    }

    fn name_file(&mut self, path: &Path) -> usize {
        self.files.push(path.display().to_string());
        self.files.len() - 1
    }

    fn problem(&mut self, file: usize, line: u64, entry: Option<u64>, kind: &str, message: impl Into<String>) {
        if self.report.problems.len() >= LISTED {
            self.report.more_problems += 1;
            return;
        }
        let file = self.files.get(file).cloned().unwrap_or_default();
        // One change of a line can be seen from its neighbours too: it is told once.
        let told = |known: &&Problem| known.file == file && known.line == line && known.kind == kind;
        if self.report.problems.iter().rev().take(4).find(told).is_some_and(|known| known.entry == entry) {
            return;
        }
        self.report.problems.push(Problem { file, line, entry, kind: kind.to_owned(), message: message.into() });
    }

    fn file(&mut self, path: &Path, segment: Option<&Segment>, is_last: bool) -> Result<(), AuditError> {
        let file = self.name_file(path);
        self.report.files += 1;
        let handle = File::open(path).map_err(at("read", path))?;
        let mut lines = Lines::new(BufReader::new(handle), MAX_CHAIN_LINE);
        let mut texts = match segment {
            Some(segment) => Texts::open(&segment.sealed, self)?,
            None => None,
        };
        let mut is_first = true;
        while let Some(line) = lines.next().map_err(at("read", path))? {
            if !line.whole {
                if is_last {
                    self.report.notes.push(format!(
                        "{}:{}: the last line is not whole: it is being written, or a crash cut it off; lictord cuts it off at its next start",
                        path.display(),
                        line.number
                    ));
                } else {
                    self.problem(
                        file,
                        line.number,
                        None,
                        "malformed",
                        "the file ends in the middle of a line, and another file follows",
                    );
                }
                break;
            }
            let record = self.line(file, &line);
            if let (true, Some(record), Some(segment)) = (is_first, &record, segment)
                && record.n != segment.first
            {
                let message = format!(
                    "the file's name says that it begins with entry {}: it was renamed, or its beginning cut off",
                    segment.first
                );
                self.problem(file, line.number, Some(record.n), "renamed", message);
            }
            is_first = false;
            if let (Some(record), Some(texts)) = (&record, &mut texts) {
                texts.check(record, file, line.number, self)?;
            }
        }
        if let Some(texts) = &mut texts {
            texts.rest(is_last, self)?;
        }
        Ok(())
    }

    /// One whole line. Returns the entry if it stands where it belongs.
    fn line(&mut self, file: usize, line: &Line) -> Option<Record> {
        let parsed = if line.too_long { Err("it is too long".to_owned()) } else { Record::parse(&line.bytes) };
        let mut record = match parsed {
            Ok(record) => record,
            Err(reason) => {
                self.damaged += 1;
                self.problem(file, line.number, self.next, "malformed", format!("this is no entry: {reason}"));
                return None;
            }
        };
        self.report.entries += 1;
        let hash = hash_of(&line.bytes);
        let here = Known { hash, file, line: line.number };
        let in_place = match self.next {
            None => self.begin(&record, &here),
            Some(next) => self.place(&mut record, next, &here),
        };
        self.damaged = 0;
        self.known.entry(record.n).or_insert_with(|| {
            self.order.push_back(record.n);
            here.clone()
        });
        if self.order.len() > REMEMBERED
            && let Some(old) = self.order.pop_front()
        {
            self.known.remove(&old);
        }
        self.next = Some(self.next.unwrap_or(0).max(record.n + 1));
        if !in_place {
            return None;
        }
        self.last = Some(here.clone());
        self.meaning(&record, &here);
        self.compare(&record, &here);
        Some(record)
    }

    fn begin(&mut self, record: &Record, here: &Known) -> bool {
        self.report.first = Some(record.n);
        if record.n == 1 {
            self.chain = Some(here.hash);
            if record.prev_hash() != NO_HASH {
                self.problem(here.file, here.line, Some(1), "changed", "the first entry names one before it");
            }
            if !record.is(Kind::Chain) {
                self.problem(
                    here.file,
                    here.line,
                    Some(1),
                    "changed",
                    "the first entry of a chain is of the kind `chain`",
                );
            }
        }
        true
    }

    /// Whether the entry follows the ones before it, and what it is if not.
    fn place(&mut self, record: &mut Record, next: u64, here: &Known) -> bool {
        let n = record.n;
        let follows_last = self.last.as_ref().is_some_and(|last| last.hash == record.prev_hash());
        if n != next && follows_last && self.damaged == 0 {
            let message = format!("it is numbered {n} and was written as entry {next}");
            self.problem(here.file, here.line, Some(next), "changed", message);
            record.n = next;
            return true;
        }
        if n < next {
            self.out_of_place(record, next, here);
            return false;
        }
        if n > next {
            // As many lines as are no entries may be the ones that are missing.
            let gone = (n - next).saturating_sub(self.damaged);
            if gone > 0 {
                self.gaps.push((next, n - 1, here.file, here.line));
            }
            return true;
        }
        if let Some(before) = self.known.get(&(n - 1)).cloned()
            && before.hash != record.prev_hash()
        {
            let message = format!(
                "entry {} was changed after it was written: its SHA-256 is {}, and entry {n} follows {}",
                n - 1,
                hex(&before.hash),
                record.prev
            );
            self.problem(before.file, before.line, Some(n - 1), "changed", message);
        }
        true
    }

    fn out_of_place(&mut self, record: &Record, next: u64, here: &Known) {
        let n = record.n;
        if let Some(at) = self.gaps.iter().position(|(from, to, ..)| (*from..=*to).contains(&n)) {
            let (from, to, file, line) = self.gaps.swap_remove(at);
            if from < n {
                self.gaps.push((from, n - 1, file, line));
            }
            if n < to {
                self.gaps.push((n + 1, to, file, line));
            }
            let message = format!("entry {n} was moved: it stands behind entry {}", next - 1);
            self.problem(here.file, here.line, Some(n), "moved", message);
            return;
        }
        let first = match self.known.get(&n) {
            Some(known) => {
                let file = self.files.get(known.file).cloned().unwrap_or_default();
                let same = if known.hash == here.hash { "the same" } else { "another" };
                format!("{same} entry {n} stands at {file}:{}", known.line)
            }
            None => format!("entry {n} has its place before entry {}", next - 1),
        };
        let message = format!("entry {n} stands where entry {next} is expected: {first}");
        self.problem(here.file, here.line, Some(n), "repeated", message);
    }

    /// What some kinds of entries say about the chain itself.
    fn meaning(&mut self, record: &Record, here: &Known) {
        let text = |name: &str| record.data.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        if record.is(Kind::Chain) {
            self.in_force = Some(text("key"));
        } else if record.is(Kind::Key) {
            let key = text("key");
            if !self.keys.iter().any(|known| known.hex() == key) {
                let message = format!(
                    "another key signs from here on, {key}: whoever made it says so himself; if it is right, name it with --key"
                );
                self.problem(here.file, here.line, Some(record.n), "key", message);
            }
            self.in_force = Some(key);
        } else if record.is(Kind::Tampering) {
            let message = format!("lictord found at its start: {}", text("what"));
            self.problem(here.file, here.line, Some(record.n), "tampering", message);
        } else if record.is(Kind::Repair) {
            self.report.notes.push(format!("entry {}: {}", record.n, text("what")));
        } else if record.is(Kind::Lost) {
            let count = |name: &str| record.data.get(name).and_then(serde_json::Value::as_u64);
            let what = match (count("entries"), count("events")) {
                (Some(count), _) => format!("{count} entries"),
                (None, count) => format!("{} events", count.unwrap_or_default()),
            };
            self.report.notes.push(format!("entry {}: {what} could not be kept: {}", record.n, text("reason")));
        } else if record.is(Kind::Erasure) {
            let list =
                |name: &str| record.data.get(name).and_then(|value| value.as_array()).cloned().unwrap_or_default();
            self.erased_subjects.extend(list("subjects").iter().filter_map(|id| Some(id.as_str()?.to_owned())));
            self.erased_texts
                .extend(list("others").into_iter().filter_map(|pair| serde_json::from_value::<(u64, u32)>(pair).ok()));
        } else if record.is(Kind::Checkpoint) {
            self.checkpoint_entry(record, here);
        }
    }

    fn checkpoint_entry(&mut self, record: &Record, here: &Known) {
        let parsed = serde_json::from_value::<Checkpoint>(serde_json::Value::Object(record.data.clone()));
        let since = self.report.signed.unwrap_or(0) + 1;
        let verdict = match parsed {
            Err(error) => Err(("signature", format!("this is no checkpoint: {error}"))),
            Ok(checkpoint) => self.trust(&checkpoint).map_err(|reason| ("signature", reason)).and_then(|()| {
                if checkpoint.entry + 1 == record.n && checkpoint.head == record.prev {
                    Ok(checkpoint.entry)
                } else {
                    Err((
                        "rewritten",
                        format!("the checkpoint was made for entry {} as it was written", checkpoint.entry),
                    ))
                }
            }),
        };
        match verdict {
            Ok(entry) => {
                self.report.checkpoints += 1;
                self.report.signed = Some(entry);
            }
            Err((kind, reason)) => {
                let message = format!("{reason}: entries {since} to {} may have been written anew", record.n - 1);
                self.problem(here.file, here.line, Some(record.n), kind, message);
            }
        }
    }

    /// Whether a checkpoint is signed by a key that counts, for this chain.
    fn trust(&mut self, checkpoint: &Checkpoint) -> Result<(), String> {
        let key = checkpoint.signer()?;
        if self.keys.is_empty() {
            let in_force = self.in_force.get_or_insert_with(|| key.hex());
            if *in_force != key.hex() {
                return Err(format!(
                    "the checkpoint is signed by {}, and the key of the chain is {in_force}",
                    key.hex()
                ));
            }
        } else if !self.keys.contains(&key) {
            return Err(format!("the checkpoint is signed by {}, which is none of the keys given", key.hex()));
        }
        let chain = checkpoint.chain_hash().ok_or("`chain` is no SHA-256")?;
        match *self.chain.get_or_insert(chain) == chain {
            true => Ok(()),
            false => Err(format!("the checkpoint is one of another chain, {}", checkpoint.chain)),
        }
    }

    /// Compares an entry with what was signed about it outside the chain.
    fn compare(&mut self, record: &Record, here: &Known) {
        for (checkpoint, from) in self.outside.remove(&record.n).unwrap_or_default() {
            let since = self.report.signed.unwrap_or(0) + 1;
            match self.trust(&checkpoint) {
                Err(reason) => {
                    let kind = if checkpoint.signer().is_ok() { "foreign" } else { "signature" };
                    self.problem(here.file, here.line, Some(record.n), kind, format!("{from}: {reason}"));
                }
                Ok(()) if checkpoint.head_hash() != Some(here.hash) => {
                    let message = format!(
                        "{from}, signed at {}, was made for another entry {}: entries {since} to {} or some of them were written anew",
                        checkpoint.time, record.n, record.n
                    );
                    self.problem(here.file, here.line, Some(record.n), "rewritten", message);
                }
                Ok(()) => {
                    self.report.checkpoints += 1;
                    self.report.signed = Some(record.n.max(self.report.signed.unwrap_or(0)));
                }
            }
        }
    }

    fn end(mut self, is_folder: bool) -> Report {
        let last = self.next.map_or(0, |next| next - 1);
        let place = self.last.clone().unwrap_or(Known { hash: NO_HASH, file: 0, line: 0 });
        if let Some(first) = self.report.first.filter(|first| *first > 1) {
            if is_folder {
                self.problem(
                    0,
                    1,
                    Some(first),
                    "missing",
                    format!("{} missing: the chain begins with entry {first}", entries(1, first - 1)),
                );
            } else {
                self.report
                    .notes
                    .push(format!("the file begins with entry {first}: what came before is in other files"));
            }
        }
        for (from, to, file, line) in std::mem::take(&mut self.gaps) {
            self.problem(
                file,
                line,
                Some(from),
                "missing",
                format!("{} missing before this line: deleted, or changed beyond recognition", entries(from, to)),
            );
        }
        for (entry, checkpoints) in std::mem::take(&mut self.outside) {
            for (checkpoint, from) in checkpoints {
                self.beyond(entry, last, &checkpoint, &from, &place);
            }
        }
        self.end_keys(&place);
        self.end_texts();
        self.report.last = (last > 0).then_some(last);
        self.report.head = self.last.as_ref().map(|last| hex(&last.hash));
        self.report.chain = self.chain.map(|chain| hex(&chain));
        self.report.key = self.in_force;
        let order: HashMap<&str, usize> = self.files.iter().map(String::as_str).zip(0..).collect();
        self.report.problems.sort_by_key(|problem| (order.get(problem.file.as_str()).copied(), problem.line));
        self.report.ok = self.report.problems.is_empty();
        self.report
    }

    /// A checkpoint for an entry that did not come.
    fn beyond(&mut self, entry: u64, last: u64, checkpoint: &Checkpoint, from: &str, place: &Known) {
        if let Err(reason) = self.trust(checkpoint) {
            let kind = if checkpoint.signer().is_ok() { "foreign" } else { "signature" };
            self.problem(place.file, place.line, None, kind, format!("{from}: {reason}"));
        } else if entry > last {
            let message = format!(
                "the chain ends with entry {last}, and {from} was signed at {} when it had reached entry {entry}: entries {} to {entry} were cut off",
                checkpoint.time,
                last + 1
            );
            self.problem(place.file, place.line, Some(last + 1), "truncated", message);
        } else if self.report.first.is_some_and(|first| entry < first) {
            self.report.notes.push(format!("{from} speaks for entry {entry}, which is in another file"));
        } else {
            let message = format!("{from} was made for entry {entry}, which is not there");
            self.problem(place.file, place.line, Some(entry), "missing", message);
        }
    }

    fn end_keys(&mut self, place: &Known) {
        let Some(in_force) = self.in_force.clone() else { return };
        if parse_hash(&in_force).is_none() {
            self.problem(0, 1, Some(1), "key", "the chain names no key that could sign it");
        } else if let (true, Some(beside)) = (self.keys.is_empty(), self.beside)
            && beside.hex() != in_force
        {
            let message =
                format!("key.pub beside the chain is {}, and the chain is signed by {in_force}", beside.hex());
            self.problem(place.file, place.line, None, "key", message);
        }
        if self.keys.is_empty() {
            self.report.notes.push("the key was taken from the chain itself: keep key.pub and checkpoints on another machine, and name them with --key and --checkpoint".into());
        }
    }

    fn end_texts(&mut self) {
        for (subject, texts) in std::mem::take(&mut self.missing) {
            let erased = self.erased_subjects.contains(&subject);
            for (n, i, file, line) in texts {
                if erased || self.erased_texts.contains(&(n, i)) {
                    self.report.erased += 1;
                } else {
                    self.problem(file, line, Some(n), "text", "its sealed text was removed, and no erasure says so");
                }
            }
        }
        // A reader without any keys is no root, and misses them all.
        if !self.openers.is_empty() {
            for (subject, (n, file, line)) in std::mem::take(&mut self.keyless) {
                if !self.erased_subjects.contains(&subject) {
                    self.problem(
                        file,
                        line,
                        Some(n),
                        "text",
                        "the key of its sealed text is gone, and no erasure says so",
                    );
                }
            }
        }
    }
}

/// The sealed texts of one file, in the order of its entries.
struct Texts {
    lines: Lines<BufReader<File>>,
    path: PathBuf,
    file: usize,
    next: Option<(SealedText, u64)>,
}

impl Texts {
    fn open(path: &Path, walk: &mut Walk) -> Result<Option<Self>, AuditError> {
        let Some(file) = open_if_there(path).map_err(at("read", path))? else {
            walk.report.notes.push(format!("{} is not there: sealed texts are not looked at", path.display()));
            return Ok(None);
        };
        let lines = Lines::new(BufReader::new(file), MAX_SEALED_LINE);
        let file = walk.name_file(path);
        let mut texts = Self { lines, path: path.to_owned(), file, next: None };
        texts.advance(walk)?;
        Ok(Some(texts))
    }

    fn advance(&mut self, walk: &mut Walk) -> Result<(), AuditError> {
        self.next = None;
        while let Some(line) = self.lines.next().map_err(at("read", &self.path))? {
            match serde_json::from_slice(&line.bytes) {
                Ok(text) => {
                    self.next = Some((text, line.number));
                    return Ok(());
                }
                // Being written just now, or what a crash left.
                Err(_) if !line.whole => return Ok(()),
                Err(error) => {
                    walk.problem(self.file, line.number, None, "text", format!("this is no sealed text: {error}"));
                }
            }
        }
        Ok(())
    }

    /// The texts that an entry commits itself to.
    fn check(&mut self, record: &Record, file: usize, line: u64, walk: &mut Walk) -> Result<(), AuditError> {
        for (commitment, i) in record.sealed.iter().zip(0u32..) {
            while let Some((text, number)) = self.next.as_ref().filter(|(text, _)| (text.n, text.i) < (record.n, i)) {
                let (n, number) = (text.n, *number);
                walk.problem(self.file, number, Some(n), "text", "no entry commits itself to this text");
                self.advance(walk)?;
            }
            let Some((text, number)) = self.next.as_ref().filter(|(text, _)| (text.n, text.i) == (record.n, i)) else {
                walk.missing.entry(commitment.subject.clone()).or_default().push((record.n, i, file, line));
                continue;
            };
            let number = *number;
            let chain = walk.chain.unwrap_or_default();
            let key = walk.openers.get(&commitment.subject);
            let right = key.map(|key| {
                let opened = key.open(&chain, text);
                opened.is_some_and(|(_, commit)| parse_hash(&commitment.commit) == Some(commit))
            });
            match right {
                _ if text.subject != commitment.subject => {
                    walk.problem(self.file, number, Some(record.n), "text", "the text is said to be another subject's");
                }
                Some(true) => walk.report.texts += 1,
                Some(false) => {
                    walk.problem(
                        self.file,
                        number,
                        Some(record.n),
                        "text",
                        "the sealed text was changed: it is not the one that its entry commits itself to",
                    );
                }
                None => {
                    walk.report.unopened += 1;
                    walk.keyless.entry(commitment.subject.clone()).or_insert((record.n, file, line));
                }
            }
            self.advance(walk)?;
        }
        Ok(())
    }

    /// Texts behind the last entry: at the end of the last file they belong to entries that are being written.
    fn rest(&mut self, is_last: bool, walk: &mut Walk) -> Result<(), AuditError> {
        while let Some((text, number)) = &self.next {
            let (n, number) = (text.n, *number);
            if !is_last || walk.next.is_some_and(|next| n < next) {
                walk.problem(self.file, number, Some(n), "text", "no entry commits itself to this text");
            }
            self.advance(walk)?;
        }
        Ok(())
    }
}
