// SPDX-License-Identifier: Apache-2.0
//! Messages for Slack's incoming webhooks, and for what takes the same (Mattermost, Rocket.Chat, Discord's `/slack`).
//!
//! What a process can choose stands in code spans: there is no link, mention or emphasis in them, and `&`, `<`, `>` are
//! escaped everywhere, as Slack asks.

use lictor_api::alert::{Alert, AlertState};
use lictor_api::bytes::printable;
use lictor_api::event::{Event, Severity};
use serde_json::{Value, json};

use super::{Host, severity, text};
use crate::alerts::chain_text;
use crate::sinks::Record;

/// Slack takes 150 characters in a header and 3000 in a section; escaping makes up to five of one.
const HEADER: usize = 140;
const FIELD: usize = 350;

/// The body of one message.
#[must_use]
pub fn message(record: &Record, host: &Host) -> Value {
    let (title, fields) = match record {
        Record::Alert(alert) => of_alert(alert),
        Record::Event(event) => of_event(event),
    };
    let title = cut(&format!("{} {title}", mark(severity(record))), HEADER);
    let lines: Vec<String> = fields
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("*{name}* {}", code(&value)))
        .chain([format!("*host* {}", code(&host.name))])
        .collect();
    json!({
        // Shown in notifications, and by servers that know no blocks.
        "text": escape(&title),
        "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": title, "emoji": false } },
            { "type": "section", "text": { "type": "mrkdwn", "verbatim": true, "text": lines.join("\n") } }
        ]
    })
}

fn of_alert(alert: &Alert) -> (String, Vec<(&'static str, String)>) {
    let state = match alert.state {
        AlertState::Open => String::new(),
        state => format!("[{state}] "),
    };
    let seen = if alert.count > 1 {
        format!("{} times, {} to {}", alert.count, alert.first_seen, alert.last_seen)
    } else {
        alert.first_seen.clone()
    };
    let object = alert.example_event.as_ref().map(|event| text::message(event)).unwrap_or_default();
    let fields = vec![
        ("what", object),
        ("seen", seen),
        ("agent", alert.agent.clone().unwrap_or_default()),
        ("session", alert.session.clone().unwrap_or_default()),
        ("rule", alert.rule.clone().unwrap_or_default()),
        ("technique", alert.techniques.join(", ")),
        ("chain", chain_text(&alert.chain)),
        ("note", alert.note.clone().unwrap_or_default()),
        ("alert", alert.id.clone()),
    ];
    (format!("{state}{}: {}", alert.severity, printable(&alert.title)), fields)
}

fn of_event(event: &Event) -> (String, Vec<(&'static str, String)>) {
    (printable(&text::message(event)), vec![("time", event.time.clone()), ("event", event.id.clone())])
}

fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "\u{1f534}",
        Severity::Medium => "\u{1f7e0}",
        Severity::Low | Severity::Info => "\u{26aa}",
    }
}

/// A code span whose end the text cannot write.
fn code(text: &str) -> String {
    let text = cut(&printable(text), FIELD).replace('`', "\u{2bc}");
    format!("`{}`", escape(&text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_message_mentions_nobody_and_links_nowhere() {
        let event: Event = serde_json::from_str(
            r#"{"kind":"exec","process":{"exe":"/tmp/<!channel>`*x*`","args":["a"],"cmdline":"<https://evil|ok> & \u202e\n@here"},
                "exec":{"path":"/tmp/<!channel>"},"verdict":{"action":"deny","tier":"rules","severity":"high"}}"#,
        )
        .unwrap();
        let body = message(&Record::Event(Arc::new(event)), &Host { name: "h`<".into(), version: "1".into() });
        let section = body["blocks"][1]["text"]["text"].as_str().unwrap();
        for text in [body["text"].as_str().unwrap(), section] {
            assert!(!text.contains('<') && !text.contains('>') && !text.contains('\u{202e}'), "{text}");
        }
        assert!(section.contains("`h\u{2bc}&lt;`"), "{section}");
        assert!(body["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() <= 150);
        assert_eq!(body["blocks"][0]["text"]["type"], "plain_text");
    }
}
