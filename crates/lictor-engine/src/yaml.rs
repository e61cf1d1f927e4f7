// SPDX-License-Identifier: Apache-2.0
//! Text to a tree in which every value knows its line and column.
//!
//! The only module that knows the YAML library. A tree rather than derived structs, because a derived
//! deserializer stops at the first wrong key and people want to see all their mistakes at once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::policy::{Position, Problem};

/// More than this is refused unread: 10,000 patterns need less than a megabyte.
pub const MAX_INPUT: usize = 16 << 20;

/// One value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    pub at: Position,
    /// The bytes of the text that the value was written in, quotes and a block's header included. Absent for
    /// what an alias or a merge key brought in from elsewhere.
    pub span: Option<Range<usize>>,
}

#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    String(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

impl Value {
    /// What it is, for "expected a list, found a number".
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::String(_) => "text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

/// Reads one document. `file` names it in positions, `what` in messages: `a policy`.
///
/// # Errors
/// The first place that is not YAML, not UTF-8, or beyond the limits: 16 MiB, 32 levels, a million values.
pub fn read(file: &Arc<str>, what: &str, bytes: &[u8]) -> Result<Node, Problem> {
    let start = Position { file: file.clone(), line: 1, column: 1 };
    if bytes.len() > MAX_INPUT {
        return Err(start.problem(format!(
            "the file has {} bytes; {what} may have at most {MAX_INPUT}: split it into several files",
            bytes.len()
        )));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let good = &bytes[..e.valid_up_to()];
        let line = good.iter().filter(|b| **b == b'\n').count() + 1;
        let last = good.rsplit(|b| *b == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(last).chars().count() + 1;
        let at = Position { file: file.clone(), line: clamp(line as u64), column: clamp(column as u64) };
        at.problem(format!("byte 0x{:02x} is not UTF-8: save the file as UTF-8", bytes[e.valid_up_to()]))
    })?;
    let parsed: Result<Spanned<Raw>, _> = serde_saphyr::from_str_with_options(text, options());
    match parsed {
        Ok(root) => Ok(convert(file, root)),
        Err(error) => {
            let error = error.without_snippet();
            let at = match error.location() {
                Some(l) if l.line() > 0 => {
                    Position { file: file.clone(), line: clamp(l.line()), column: clamp(l.column()) }
                }
                _ => start,
            };
            Err(at.problem(one_line(&error.to_string())))
        }
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_documents: 1,
            max_nodes: 1_000_000,
            max_events: 2_000_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_merge_keys: 1_000,
            max_total_scalar_bytes: MAX_INPUT,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
            max_alias_expansions_per_anchor: 1_000,
        },
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The library ends some messages with its own idea of the position; ours stands in front already.
fn one_line(message: &str) -> String {
    let message = message.split('\n').map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ");
    match message.rfind(" at line ") {
        Some(i) => message[..i].trim_end_matches([',', ';']).to_owned(),
        None => message,
    }
}

fn clamp(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn convert(file: &Arc<str>, raw: Spanned<Raw>) -> Node {
    let at =
        Position { file: file.clone(), line: clamp(raw.referenced.line()), column: clamp(raw.referenced.column()) };
    let own = raw.referenced == raw.defined;
    let span = raw.referenced.span();
    let span = match (own, span.byte_offset(), span.byte_len()) {
        (true, Some(start), Some(length)) => usize::try_from(start).ok().zip(usize::try_from(length).ok()),
        _ => None,
    };
    let span = span.map(|(start, length)| start..start.saturating_add(length));
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Integer(i) => Value::Integer(i),
        Raw::Float(value) => Value::Float(value),
        Raw::String(s) => Value::String(s),
        Raw::Sequence(items) => Value::Sequence(items.into_iter().map(|i| convert(file, i)).collect()),
        Raw::Mapping(items) => {
            Value::Mapping(items.into_iter().map(|(k, v)| (convert(file, k), convert(file, v))).collect())
        }
    };
    Node { value, at, span }
}

enum Raw {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    String(String),
    Sequence(Vec<Spanned<Raw>>),
    Mapping(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(v.into()))
    }

    fn visit_i128<E>(self, v: i128) -> Result<Raw, E> {
        Ok(Raw::Integer(v))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Raw, E> {
        Ok(Raw::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Raw, E> {
        Ok(Raw::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Raw, E> {
        Ok(Raw::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(entry) = map.next_entry()? {
            items.push(entry);
        }
        Ok(Raw::Mapping(items))
    }
}
