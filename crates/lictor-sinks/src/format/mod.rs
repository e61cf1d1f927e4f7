// SPDX-License-Identifier: Apache-2.0
//! Records as others read them. Everything that a process can choose (names, arguments, addresses) is made harmless for the
//! reader here: no line, colour, link, mention or direction of text can be forged by it.

pub mod ocsf;
pub mod slack;
pub mod text;

use lictor_api::event::Severity;
use lictor_api::settings::sinks::Format;
use serde_json::{Value, json};

use crate::sinks::Record;

/// This machine and program, as others are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub version: String,
}

/// The record as one line, without its end.
///
/// # Errors
/// It cannot be written as JSON, which is a defect of Lictor.
pub fn line(format: Format, record: &Record, host: &Host) -> serde_json::Result<String> {
    match format {
        Format::Json => json_line(record),
        Format::Text => Ok(text::line(record)),
        Format::Ocsf => serde_json::to_string(&ocsf::of(record, host)).map(visible),
        Format::Slack => serde_json::to_string(&slack::message(record, host)),
    }
}

/// An event is what it is everywhere; an alert says so: `{"alert":{...}}`.
fn json_line(record: &Record) -> serde_json::Result<String> {
    match record {
        Record::Event(event) => serde_json::to_string(&**event),
        Record::Alert(alert) => serde_json::to_string(&json!({ "alert": &**alert })),
    }
    .map(visible)
}

/// The record as JSON for a batch: `{"event":{...}}` or `{"alert":{...}}`.
///
/// # Errors
/// It cannot be written as JSON, which is a defect of Lictor.
pub fn value(record: &Record) -> serde_json::Result<Value> {
    Ok(match record {
        Record::Event(event) => json!({ "event": serde_json::to_value(&**event)? }),
        Record::Alert(alert) => json!({ "alert": serde_json::to_value(&**alert)? }),
    })
}

/// JSON is escaped against line breaks and C0 controls; whoever looks at it with a pager must not be deceived by the rest.
/// Such characters only occur inside of strings, where `\uXXXX` means the same.
#[must_use]
pub fn visible(json: String) -> String {
    let hidden = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    if !json.contains(hidden) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 32);
    for c in json.chars() {
        if hidden(c) {
            out.push_str(&format!("\\u{:04x}", c as u32));
        } else {
            out.push(c);
        }
    }
    out
}

/// How bad a record is: what the judges said, else by what became of it.
#[must_use]
pub fn severity(record: &Record) -> Severity {
    match record {
        Record::Alert(alert) => alert.severity,
        Record::Event(event) => {
            let said = event.verdict.as_ref().and_then(|verdict| verdict.severity);
            said.unwrap_or(if event.lost.is_some() {
                Severity::High
            } else if event.is_denied() {
                Severity::Medium
            } else {
                Severity::Info
            })
        }
    }
}
