// SPDX-License-Identifier: Apache-2.0
//! One line for people.

use lictor_api::alert::Alert;
use lictor_api::bytes::printable;
use lictor_api::event::{Action, Event};

use crate::alerts::chain_text;
use crate::sinks::Record;

/// Longest part of a command line shown, in bytes.
const LONGEST: usize = 400;

/// The record in one line without its end: time, what became of what, whose it was, why.
#[must_use]
pub fn line(record: &Record) -> String {
    match record {
        Record::Event(event) => of_event(event),
        Record::Alert(alert) => of_alert(alert),
    }
}

fn of_event(event: &Event) -> String {
    format!("{} {}", event.time, message(event))
}

/// The same without the time.
#[must_use]
pub fn message(event: &Event) -> String {
    let mut out = String::new();
    let mut say = |text: &str| {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&printable(text));
    };
    if let Some(verdict) = &event.verdict {
        let denied = matches!(verdict.action, Action::Deny | Action::Kill);
        say(if denied && verdict.enforced == Some(false) { "would-deny" } else { verdict.action.as_str() });
    }
    let operation = event.operation();
    say(event.kind.as_str());
    if operation != event.kind.as_str() {
        say(&operation);
    }
    say(&short(&event.object()));
    if let Some(exe) = &event.process.exe {
        let pid = event.process.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
        say(&format!("by {}{pid}", short(exe)));
    }
    if let Some(cmdline) = &event.process.cmdline {
        say(&format!("(`{}`)", short(cmdline)));
    }
    for (name, value) in [("agent", &event.agent), ("session", &event.session)] {
        if let Some(value) = value {
            say(&format!("{name} {value}"));
        }
    }
    if let Some(verdict) = &event.verdict {
        let why = [&verdict.rule, &verdict.reason].into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        let tail = if why.is_empty() { String::new() } else { format!(": {}", short(&why.join(": "))) };
        say(&format!("- {}{tail}", verdict.tier));
    }
    out
}

fn of_alert(alert: &Alert) -> String {
    let mut out = format!("{} ALERT {} {}", alert.last_seen, alert.severity, printable(&short(&alert.title)));
    if alert.count > 1 {
        out.push_str(&format!(" ({} times since {})", alert.count, alert.first_seen));
    }
    if alert.state != lictor_api::alert::AlertState::Open {
        out.push_str(&format!(" [{}]", alert.state));
    }
    for (name, value) in [("agent", &alert.agent), ("session", &alert.session), ("rule", &alert.rule)] {
        if let Some(value) = value {
            out.push_str(&format!(" {name} {}", printable(value)));
        }
    }
    if !alert.techniques.is_empty() {
        out.push_str(&format!(" {}", printable(&alert.techniques.join(","))));
    }
    if !alert.chain.is_empty() {
        out.push_str(&format!(" chain {}", printable(&short(&chain_text(&alert.chain)))));
    }
    out.push_str(&format!(" id {}", alert.id));
    out
}

fn short(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let mut end = LONGEST;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_name_cannot_forge_a_line_a_colour_or_a_direction() {
        let event: Event = serde_json::from_str(
            r#"{"id":"1","time":"2026-01-02T03:04:05Z","kind":"file","session":"s-1","agent":"coder",
                "process":{"pid":7,"exe":"/bin/ev\u001b[31mil","cmdline":"a\nb"},
                "file":{"op":"write","path":"/tmp/x\n2026-01-02 allow exec\u202e"},
                "verdict":{"action":"deny","tier":"policy","rule":"coder.files.write","reason":"no\r"}}"#,
        )
        .unwrap();
        let line = line(&Record::Event(Arc::new(event)));
        assert_eq!(
            line,
            "2026-01-02T03:04:05Z deny file write /tmp/x\\n2026-01-02 allow exec\\u{202e} by /bin/ev\\x1b[31mil[7] (`a\\nb`) \
             agent coder session s-1 - policy: coder.files.write: no\\r"
        );
    }
}
