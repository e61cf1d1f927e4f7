// SPDX-License-Identifier: Apache-2.0
//! Reads entries for people, newest first, with the sealed texts that the reader has keys for. Whether they are what was
//! written is another question: [`super::verify()`].

use std::collections::HashMap;
use std::fs;
use std::io::BufReader;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::entry::{Hash, Record};
use super::files::{self, AuditError, Lines, MAX_SEALED_LINE, Segment, at};
use super::jsonl::open_if_there;
use super::recover::chain_of;
use super::seal::{Openers, SealedText};

/// Entries, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    pub items: Vec<Shown>,
    /// What to ask for as `before` to get the entries before these; `None`: there are none.
    pub next: Option<u64>,
}

/// An entry as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    pub n: u64,
    pub time: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub personal: Vec<Personal>,
}

/// What an entry says of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Personal {
    /// The subject's random name in the chain.
    pub id: String,
    /// `uid:1000`; absent when it was erased, or the reader has no keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `open`, `sealed` (the reader has no key), `erased`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Value>,
}

/// The last `limit` entries before entry `before` for which `wanted` holds.
pub fn page(
    dir: &Path,
    before: Option<u64>,
    limit: usize,
    wanted: impl Fn(&Record) -> bool,
) -> Result<Page, AuditError> {
    let segments = match files::segments(dir) {
        Ok(segments) if !segments.is_empty() => segments,
        Ok(_) => return Err(AuditError::NoChain { path: dir.to_owned() }),
        Err(AuditError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(AuditError::NoChain { path: dir.to_owned() });
        }
        Err(error) => return Err(error),
    };
    let _not_while_texts_are_destroyed = files::lock_for_reading(dir);
    let openers = Openers::load(dir);
    let chain = chain_of(dir)?.unwrap_or_default();
    let before = before.unwrap_or(u64::MAX);
    let mut page = Page { items: Vec::new(), next: None };
    for segment in segments.iter().rev().filter(|segment| segment.first < before) {
        let bytes = fs::read(&segment.chain).map_err(at("read", &segment.chain))?;
        // What follows the last line feed is being written just now.
        let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let mut records = Vec::new();
        for line in bytes.get(..end).unwrap_or_default().rsplit(|byte| *byte == b'\n') {
            let Ok(record) = Record::parse(line) else { continue };
            if record.n >= before || !wanted(&record) {
                continue;
            }
            if page.items.len() + records.len() == limit {
                page.next = page.items.last().map(|shown: &Shown| shown.n).or(Some(before));
                page.next = records.last().map(|record: &Record| record.n).or(page.next);
                break;
            }
            records.push(record);
        }
        let mut texts = texts_of(segment, &records)?;
        page.items.extend(records.into_iter().map(|record| shown(record, &mut texts, &openers, &chain)));
        if page.next.is_some() {
            break;
        }
    }
    Ok(page)
}

type Texts = HashMap<(u64, u32), SealedText>;

fn texts_of(segment: &Segment, records: &[Record]) -> Result<Texts, AuditError> {
    let mut texts = Texts::new();
    let (Some(last), Some(first)) = (records.first(), records.last()) else { return Ok(texts) };
    if records.iter().all(|record| record.sealed.is_empty()) {
        return Ok(texts);
    }
    let Some(file) = open_if_there(&segment.sealed).map_err(at("read", &segment.sealed))? else { return Ok(texts) };
    let mut lines = Lines::new(BufReader::new(file), MAX_SEALED_LINE);
    while let Some(line) = lines.next().map_err(at("read", &segment.sealed))? {
        // A line that is no text is `verify`'s business: here its entry has none.
        let Ok(text) = serde_json::from_slice::<SealedText>(&line.bytes) else { continue };
        if (first.n..=last.n).contains(&text.n) {
            texts.insert((text.n, text.i), text);
        }
    }
    Ok(texts)
}

fn shown(record: Record, texts: &mut Texts, openers: &Openers, chain: &Hash) -> Shown {
    let personal = record.sealed.into_iter().zip(0u32..).map(|(commitment, i)| {
        let id = commitment.subject;
        let Some(text) = texts.remove(&(record.n, i)) else {
            return Personal { id, subject: None, state: "erased".into(), text: None };
        };
        let key = openers.get(&id);
        let subject = key.map(|key| key.person.subject.to_string());
        let plain = key.and_then(|key| key.open(chain, &text));
        let text = plain.and_then(|(plain, _)| serde_json::from_slice(&plain).ok());
        let state = if text.is_some() { "open" } else { "sealed" };
        Personal { id, subject, state: state.into(), text }
    });
    Shown { n: record.n, time: record.time, kind: record.kind, data: record.data, personal: personal.collect() }
}
