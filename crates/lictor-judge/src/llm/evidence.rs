// SPDX-License-Identifier: Apache-2.0
//! What a model is shown: one JSON document about a case, without secrets, without hidden characters, of bounded size,
//! and honest about what is not in it.

use std::io;

use jiff::Timestamp;
use lictor_api::event::{Event, Parent};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::Formatter;

use super::{redact, text};
use crate::case::Case;
use crate::tier::Finding;

/// Room kept for the list of what was left out.
const ROOM: usize = 768;
/// Longest text of an earlier event, in bytes; enough to recognise it.
const RECENT_TEXT: usize = 240;
/// Most entries of any list.
const LIST: usize = 400;
const ANCESTORS: usize = 16;
const FINDINGS: usize = 16;

/// The document, and what a caller must know about it.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// JSON on one line.
    pub json: String,
    /// Whether everything of the judged action is in it. Earlier events do not count.
    pub complete: bool,
    /// What was taken out, by kind.
    pub redacted: redact::Counts,
}

#[derive(Serialize)]
struct Document<'a> {
    /// An [`Action`].
    action: &'a Value,
    /// [`Found`].
    findings_so_far: &'a Value,
    /// [`Recent`].
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    earlier_events: &'a [Value],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    left_out: &'a [String],
}

impl<'a> Document<'a> {
    /// Without earlier events.
    fn core(action: &'a Value, findings: &'a Value, left_out: &'a [String]) -> Document<'a> {
        Document { action, findings_so_far: findings, earlier_events: &[], left_out }
    }
}

#[derive(Default, Serialize)]
struct Action {
    kind: String,
    operation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interpreter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_container: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network>,
    /// The parent first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    started_by: Vec<Starter>,
}

#[derive(Serialize)]
struct Network {
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
}

#[derive(Serialize)]
struct Starter {
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<String>,
}

#[derive(Serialize)]
struct Found {
    by: String,
    rule: String,
    severity: String,
    reason: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    malicious_probability: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    weighed_most: Vec<String>,
}

#[derive(Serialize)]
struct Recent {
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_before: Option<i64>,
    did: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
}

impl Evidence {
    /// The evidence of `case` in at most `max_bytes`, with at most `max_recent` earlier events. `None` when not even its
    /// shortest form fits.
    #[must_use]
    pub fn new(case: &Case, before: &[Finding], max_recent: usize, max_bytes: usize) -> Option<Evidence> {
        // Redacted once, and before anything is cut: half a token is not recognised.
        let mut cleaner = Cleaner { redacted: redact::Counts::new() };
        let whole_action = serde_json::to_value(cleaner.action(&case.event)).ok()?;
        let found: Vec<Found> = before.iter().take(FINDINGS).map(|finding| cleaner.finding(finding)).collect();
        let whole_findings = serde_json::to_value(found).ok()?;
        // The longest texts that fit are the best: texts shrink by halves until all takes three quarters at most.
        let mut limit = max_bytes / 2;
        let (action, findings, tally) = loop {
            let mut tally = Tally::default();
            let action = shortened(&whole_action, limit, &mut tally);
            let findings = shortened(&whole_findings, limit, &mut Tally::default());
            let size = write(&Document::core(&action, &findings, &[]))?.len();
            if size + ROOM <= max_bytes / 4 * 3 || (limit <= 32 && size + ROOM <= max_bytes) {
                break (action, findings, tally);
            }
            if limit <= 32 {
                return None;
            }
            limit /= 2;
        };
        let ancestors = case.event.process.ancestors.len() + usize::from(case.event.process.parent.is_some());
        let complete = tally == Tally::default();
        let mut left_out = Vec::new();
        if tally.cut > 0 {
            left_out.push(format!("{} bytes of long texts of the action, marked [... LEFT OUT]", tally.cut));
        }
        if tally.dropped > 0 {
            left_out.push(format!("{} arguments of the action", tally.dropped));
        }
        if before.len() > FINDINGS {
            left_out.push(format!("{} findings", before.len() - FINDINGS));
        }
        if ancestors > ANCESTORS {
            left_out.push(format!("{} ancestors", ancestors - ANCESTORS));
        }

        let core = write(&Document::core(&action, &findings, &left_out))?;
        let mut room = max_bytes.saturating_sub(core.len() + ROOM);
        let mut recent = Vec::new();
        // The newest first, as long as there is room; then back into their order.
        for event in case.recent.iter().rev().take(max_recent) {
            let whole = serde_json::to_value(cleaner.recent(event, &case.event)).ok()?;
            let shown = shortened(&whole, RECENT_TEXT, &mut Tally::default());
            let size = write(&shown)?.len() + 1;
            if size > room {
                break;
            }
            room -= size;
            recent.push(shown);
        }
        recent.reverse();
        if case.recent.len() > recent.len() {
            left_out.push(format!(
                "the oldest {} of {} earlier events",
                case.recent.len() - recent.len(),
                case.recent.len()
            ));
        }
        let json = write(&Document { earlier_events: &recent, ..Document::core(&action, &findings, &left_out) })?;
        (json.len() <= max_bytes).then_some(Evidence { json, complete, redacted: cleaner.redacted })
    }
}

struct Cleaner {
    redacted: redact::Counts,
}

impl Cleaner {
    fn action(&mut self, event: &Event) -> Action {
        let process = &event.process;
        let exec = event.exec.as_ref();
        let program = process.exe.as_ref().or(exec.and_then(|exec| exec.path.as_ref()));
        let object = event.object();
        Action {
            kind: event.kind.to_string(),
            operation: self.text(&event.operation()),
            agent: event.agent.as_ref().map(|agent| self.text(agent)),
            object: (!object.is_empty()).then(|| self.text(&object)),
            program: program.map(|program| self.text(program)),
            interpreter: exec.and_then(|exec| exec.interpreter.as_ref()).map(|path| self.text(path)),
            // A hash of a file is no secret, and looks like one.
            sha256: exec.and_then(|exec| exec.sha256.as_ref()).filter(|hash| is_hash(hash)).cloned(),
            arguments: process.args.as_ref().map(|args| self.args(args)),
            command_line: process.cmdline.as_ref().filter(|_| process.args.is_none()).map(|line| self.text(line)),
            directory: process.cwd.as_ref().map(|cwd| self.text(cwd)),
            uid: process.uid,
            in_container: process.container.as_ref().map(|_| true),
            network: event.network.as_ref().map(|network| Network {
                family: network.family.as_ref().map(|family| self.text(family)),
                protocol: network.protocol.as_ref().map(|protocol| self.text(protocol)),
            }),
            started_by: process
                .parent
                .iter()
                .chain(&process.ancestors)
                .take(ANCESTORS)
                .map(|one| self.starter(one))
                .collect(),
        }
    }

    fn starter(&mut self, one: &Parent) -> Starter {
        Starter {
            program: one.exe.as_ref().map(|exe| self.text(exe)),
            arguments: one.args.as_ref().map(|args| self.args(args)),
            command_line: one.cmdline.as_ref().filter(|_| one.args.is_none()).map(|line| self.text(line)),
        }
    }

    fn finding(&mut self, finding: &Finding) -> Found {
        Found {
            by: finding.tier.to_string(),
            rule: self.text(&finding.rule),
            severity: finding.severity.to_string(),
            reason: self.text(&finding.reason),
            tags: finding.tags.iter().take(ANCESTORS).map(|tag| self.text(tag)).collect(),
            malicious_probability: finding.score.map(|score| (score * 1000.0).round() / 1000.0),
            weighed_most: finding.parts.iter().take(8).map(|(part, _)| self.text(part)).collect(),
        }
    }

    fn recent(&mut self, event: &Event, now: &Event) -> Recent {
        let time = |event: &Event| event.time.parse::<Timestamp>().ok();
        let verdict = event.verdict.as_ref().map(|verdict| match &verdict.rule {
            Some(rule) => format!("{} by {}", verdict.action, self.text(rule)),
            None => verdict.action.to_string(),
        });
        Recent {
            seconds_before: time(now).zip(time(event)).map(|(now, then)| now.as_second() - then.as_second()),
            did: self.text(&event.operation()),
            object: self.text(&event.object()),
            arguments: event.process.args.as_ref().filter(|_| event.exec.is_some()).map(|args| self.args(args)),
            verdict,
        }
    }

    fn args(&mut self, args: &[String]) -> Vec<String> {
        redact::args(args, &mut self.redacted).iter().map(|arg| text::visible(arg)).collect()
    }

    fn text(&mut self, raw: &str) -> String {
        text::visible(&redact::text(raw, &mut self.redacted))
    }
}

/// What shortening took away.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Bytes of texts.
    cut: usize,
    /// Entries of lists.
    dropped: usize,
}

/// `value` with no text longer than `limit` bytes and no list much longer, each without its middle: what is at the end
/// matters as much as what is at the beginning.
fn shortened(value: &Value, limit: usize, tally: &mut Tally) -> Value {
    match value {
        Value::String(text) if text.len() > limit && !is_hash(text) => {
            let head = text.floor_char_boundary(limit / 4 * 3);
            let tail = text.ceil_char_boundary(text.len() - limit / 4);
            tally.cut += tail - head;
            Value::String(format!("{}[... {} BYTES LEFT OUT]{}", &text[..head], tail - head, &text[tail..]))
        }
        Value::Array(entries) => {
            let most = LIST.min(limit);
            let gap = entries.len().saturating_sub(most);
            let (head, tail) =
                if gap > 0 { (most - most / 4, entries.len() - most / 4) } else { (entries.len(), entries.len()) };
            let mut shown: Vec<Value> = entries[..head].iter().map(|entry| shortened(entry, limit, tally)).collect();
            if gap > 0 {
                tally.dropped += gap;
                shown.push(Value::String(format!("[... {gap} LEFT OUT]")));
            }
            shown.extend(entries[tail..].iter().map(|entry| shortened(entry, limit, tally)));
            Value::Array(shown)
        }
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, field)| (name.clone(), shortened(field, limit, tally))).collect())
        }
        other => other.clone(),
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// JSON in which no text can be taken for a mark of a chat template or for markup: servers look for these in the whole
/// request, JSON or not.
fn write(value: &impl Serialize) -> Option<String> {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Plain);
    // Neither writing to memory nor these types can fail.
    value.serialize(&mut serializer).ok()?;
    String::from_utf8(out).ok()
}

struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '[']) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let upper: String = from.chars().take(6).collect::<String>().to_ascii_uppercase();
            match from.as_bytes()[0] {
                b'<' => writer.write_all(b"\\u003c")?,
                b'>' => writer.write_all(b"\\u003e")?,
                _ if upper.starts_with("[INST") || upper.starts_with("[/INST") => writer.write_all(b"\\u005b")?,
                other => writer.write_all(&[other])?,
            }
            rest = &from[1..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_api::event::{Action as Verdicted, Exec, Kind, Severity, Tier, Verdict};
    use proptest::prelude::*;

    fn exec(args: &[&str]) -> Event {
        let mut event = Event::new(Kind::Exec, String::new(), "2026-01-02T03:04:05Z".to_owned());
        event.process.args = Some(args.iter().map(ToString::to_string).collect());
        event.process.cmdline = Some(args.join(" "));
        event.exec = Some(Exec {
            path: Some("/usr/bin/curl".into()),
            sha256: Some("ab".repeat(32)),
            interpreter: None,
            args: vec![],
        });
        event
    }

    fn shown(case: &Case, before: &[Finding], max: usize) -> (Value, Evidence) {
        let evidence = Evidence::new(case, before, 20, max).unwrap();
        assert!(evidence.json.len() <= max, "{} of {max}", evidence.json.len());
        (serde_json::from_str(&evidence.json).unwrap(), evidence)
    }

    #[test]
    fn a_case_is_told_whole() {
        let mut case = Case::new(exec(&["curl", "-u", "me:hunter2", "http://10.0.0.1/\u{202e}x"]));
        case.event.process.parent = Some(Parent {
            exe: Some("/bin/sh".into()),
            args: Some(vec!["sh".into(), "x y".into()]),
            ..Default::default()
        });
        let mut earlier = exec(&["cat", "/etc/passwd"]);
        earlier.time = "2026-01-02T03:04:00Z".to_owned();
        let mut verdict = Verdict::new(Verdicted::Alert, Tier::Rules);
        verdict.rule = Some("reads-accounts".into());
        earlier.verdict = Some(verdict);
        case.recent = vec![earlier];
        let finding = Finding {
            tier: Tier::Classifier,
            rule: "m1".into(),
            severity: Severity::Low,
            reason: "gray".into(),
            source: None,
            tags: vec!["T1105".into()],
            score: Some(0.51234),
            parts: vec![("http".into(), 0.4)],
        };
        let (json, evidence) = shown(&case, &[finding], 16_384);
        assert!(evidence.complete && !evidence.json.contains("hunter2"));
        assert_eq!(evidence.redacted["password"], 1);
        let action = &json["action"];
        assert_eq!(action["arguments"][2], "me:[REDACTED:password]");
        assert_eq!(action["arguments"][3], "http://10.0.0.1/\\u{202e}x");
        assert_eq!(action["sha256"], "ab".repeat(32));
        assert_eq!(action["started_by"][0]["arguments"][1], "x y");
        assert_eq!(json["findings_so_far"][0]["malicious_probability"], 0.512);
        assert_eq!(json["earlier_events"][0]["seconds_before"], 5);
        assert_eq!(json["earlier_events"][0]["verdict"], "alert by reads-accounts");
        assert_eq!(json.get("left_out"), None);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        let long = format!("START{}END", "x".repeat(200_000));
        let mut case = Case::new(exec(&["sh", "-c", &long]));
        case.recent = (0..100).map(|at| exec(&["echo", &at.to_string()])).collect();
        for max in [4096, 8192, 65_536] {
            let (json, evidence) = shown(&case, &[], max);
            assert!(!evidence.complete);
            let arg = json["action"]["arguments"][2].as_str().unwrap();
            assert!(arg.starts_with("START") && arg.ends_with("END") && arg.contains("BYTES LEFT OUT]"), "{arg:.60}");
            assert!(json["left_out"].to_string().contains("earlier events"), "{}", json["left_out"]);
            assert_eq!(json["earlier_events"].as_array().unwrap().last().unwrap()["arguments"][1], "99");
        }
        let many: Vec<String> = (0..20_000).map(|at| format!("file-{at}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let (json, evidence) = shown(&Case::new(exec(&many)), &[], 8192);
        assert!(
            !evidence.complete && json["left_out"].to_string().contains("arguments of the action"),
            "{}",
            json["left_out"]
        );
        assert_eq!(json["action"]["arguments"].as_array().unwrap().last().unwrap(), "file-19999");
    }

    #[test]
    fn no_text_looks_like_a_chat_template() {
        let (json, evidence) = shown(&Case::new(exec(&["<|im_start|>system", "[INST]</s>[x]", "[/inst]"])), &[], 8192);
        assert!(
            !evidence.json.contains(['<', '>']) && !evidence.json.to_lowercase().contains("[inst"),
            "{}",
            evidence.json
        );
        assert_eq!(json["action"]["arguments"][0], "<|im_start|>system");
        assert_eq!(json["action"]["arguments"][1], "[INST]</s>[x]");
    }

    proptest! {
        #[test]
        fn it_is_one_line_of_json_of_bounded_size(args in proptest::collection::vec(any::<String>(), 0..40), max in 4096_usize..20_000) {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let (_, evidence) = shown(&Case::new(exec(&args)), &[], max);
            let clean = !evidence.json.contains(['\n', '\u{202e}', '<']);
            prop_assert!(clean);
        }
    }
}
