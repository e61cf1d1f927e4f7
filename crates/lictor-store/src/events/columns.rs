// SPDX-License-Identifier: Apache-2.0
//! An event as a row: the columns of `lictor query` and of the Parquet files, by the same names.

use lictor_api::event::Event;

/// What stands in a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
    /// Not text, in an answer to a query only.
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Int,
    Float,
    Text,
    /// Text in SQL, a timestamp (nanoseconds, UTC) in Parquet.
    Time,
    /// 0 or 1 in SQL, a boolean in Parquet.
    Bool,
}

macro_rules! columns {
    ($($name:literal $kind:ident $meaning:literal $value:expr;)+) => {
        /// Name and meaning of each column, in their order.
        pub const COLUMNS: &[(&str, &str)] = &[$(($name, $meaning)),+];
        pub(super) const TYPES: &[Type] = &[$(Type::$kind),+];

        const VALUES: &[fn(&Row<'_>) -> Value] = &[$($value),+];
    };
}

/// An event with its number and its JSON.
pub(super) struct Row<'a> {
    pub(super) number: u64,
    pub(super) event: &'a Event,
    pub(super) line: &'a str,
}

impl Row<'_> {
    pub(super) fn value(&self, column: usize) -> Value {
        VALUES.get(column).map_or(Value::Null, |value| value(self))
    }

    pub(super) fn values(&self) -> Vec<Value> {
        VALUES.iter().map(|value| value(self)).collect()
    }
}

columns! {
    "number" Int "place in the order of recording" |row| int(Some(row.number));
    "id" Text "the event's id" |row| some(&row.event.id);
    "time" Time "when it happened: RFC 3339, UTC" |row| some(&row.event.time);
    "kind" Text "exec, file, network, process, memory, privilege, lost" |row| text(Some(row.event.kind.as_str()));
    "session" Text "the session" |row| text(row.event.session.as_deref());
    "agent" Text "the agent" |row| text(row.event.agent.as_deref());
    "pid" Int "who acted: process id" |row| int(row.event.process.pid);
    "ppid" Int "its parent's" |row| int(row.event.process.ppid);
    "uid" Int "its user" |row| int(row.event.process.uid);
    "program" Text "its program" |row| text(row.event.process.exe.as_deref());
    "cmdline" Text "its arguments, joined by spaces" |row| text(row.event.process.cmdline.as_deref());
    "cwd" Text "its directory" |row| text(row.event.process.cwd.as_deref());
    "parent" Text "its parent's program" |row| text(row.event.process.parent.as_ref().and_then(|parent| parent.exe.as_deref()));
    "container" Text "its container's id" |row| text(row.event.process.container.as_ref().and_then(|it| it.id.as_deref()));
    "operation" Text "what was done: read, connect, exec, ..." |row| some(&row.event.operation());
    "object" Text "to what, as `lictor events` shows it" |row| some(&row.event.object());
    "path" Text "the file" |row| text(row.event.paths().next());
    "address" Text "the other end's address" |row| text(row.event.network.as_ref().and_then(|it| it.address.as_deref()));
    "port" Int "the other end's port" |row| int(row.event.network.as_ref().and_then(|it| it.port));
    "domain" Text "the other end's name" |row| text(row.event.network.as_ref().and_then(|it| it.domain.as_deref()));
    "sha256" Text "the program's content" |row| text(row.event.exec.as_ref().and_then(|it| it.sha256.as_deref()));
    "verdict" Text "allow, deny, kill, hold, alert" |row| text(row.event.verdict.as_ref().map(|it| it.action.as_str()));
    "denied" Bool "1 when it was denied, or would have been in mode monitor" |row| int(Some(row.event.is_denied()));
    "enforced" Bool "0 when a denial did not take place" |row| int(row.event.verdict.as_ref().and_then(|it| it.enforced));
    "tier" Text "who decided: floor, policy, rules, ..." |row| text(row.event.verdict.as_ref().map(|it| it.tier.as_str()));
    "rule" Text "the rule that decided" |row| text(row.event.verdict.as_ref().and_then(|it| it.rule.as_deref()));
    "source" Text "where it is written: FILE:LINE:COLUMN" |row| text(row.event.verdict.as_ref().and_then(|it| it.source.as_deref()));
    "reason" Text "why" |row| text(row.event.verdict.as_ref().and_then(|it| it.reason.as_deref()));
    "severity" Text "info, low, medium, high, critical" |row| text(row.event.verdict.as_ref().and_then(|it| it.severity).map(|it| it.as_str()));
    "score" Float "the classifier's, 0 to 1" |row| row.event.verdict.as_ref().and_then(|it| it.score).map_or(Value::Null, Value::Float);
    "event" Text "all of it, as JSON" |row| some(row.line);
}

fn int(value: Option<impl Into<Number>>) -> Value {
    value.map_or(Value::Null, |value| Value::Int(value.into().0))
}

fn text(value: Option<&str>) -> Value {
    value.map_or(Value::Null, |value| Value::Text(value.to_owned()))
}

/// Empty is absent.
fn some(value: &str) -> Value {
    text(Some(value).filter(|value| !value.is_empty()))
}

struct Number(i64);

macro_rules! numbers {
    ($($from:ty)+) => { $(impl From<$from> for Number { fn from(value: $from) -> Self { Self(i64::from(value)) } })+ };
}
numbers!(u16 u32 bool);

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// The place of a column in a row.
pub(super) fn index(name: &str) -> Option<usize> {
    COLUMNS.iter().position(|(own, _)| *own == name)
}
