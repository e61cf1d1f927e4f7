// SPDX-License-Identifier: Apache-2.0
//! One entry: what a caller says, and the line that it becomes.

use std::sync::Arc;

use jiff::Timestamp;
use lictor_api::event::{self, Action, Event};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::subject::{Actor, Subject};

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// What the first entry of a chain has as the hash of its predecessor.
pub(crate) const NO_HASH: Hash = [0; 32];

/// The hash that the next line holds: of all bytes of this one without its line feed.
pub(crate) fn hash_of(line: &[u8]) -> Hash {
    Sha256::digest(line).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// 64 lower-case hexadecimal digits.
pub(crate) fn parse_hash(text: &str) -> Option<Hash> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// What is sealed for somebody: JSON.
pub(crate) type Text = (Subject, Vec<u8>);

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The first entry: version of the format, and the key that signs.
    Chain,
    Start,
    Stop,
    /// A daemon took over what an earlier one had pinned.
    Takeover,
    SessionStart,
    SessionEnd,
    /// An event whose verdict is not plain `allow`.
    Verdict,
    /// Another policy is in force, or was refused.
    Policy,
    /// Another set of rules is in force.
    Rules,
    /// Somebody decided by hand.
    VerdictSet,
    VerdictClear,
    /// Enforcing, monitoring, degraded.
    Mode,
    /// Another key signs from here on.
    Key,
    Login,
    /// A change through the programming interface that has no kind of its own.
    Change,
    Erasure,
    Checkpoint,
    /// The torn end that a crash left was cut off.
    Repair,
    /// What was found at start is not what had been signed.
    Tampering,
    /// Events or entries that could not be kept.
    Lost,
}

impl Kind {
    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Takeover => "takeover",
            Self::SessionStart => "session-start",
            Self::SessionEnd => "session-end",
            Self::Verdict => "verdict",
            Self::Policy => "policy",
            Self::Rules => "rules",
            Self::VerdictSet => "verdict-set",
            Self::VerdictClear => "verdict-clear",
            Self::Mode => "mode",
            Self::Key => "key",
            Self::Login => "login",
            Self::Change => "change",
            Self::Erasure => "erasure",
            Self::Checkpoint => "checkpoint",
            Self::Repair => "repair",
            Self::Tampering => "tampering",
            Self::Lost => "lost",
        }
    }
}

/// What a caller has to say. Whatever tells of a person goes into [`Entry::about`], which is sealed; everything else is
/// readable for ever.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(crate) kind: Kind,
    pub(crate) time: Timestamp,
    pub(crate) data: Map<String, Value>,
    pub(crate) personal: Vec<(Subject, Value)>,
    /// Turned into text by the thread that writes.
    event: Option<Arc<Event>>,
}

impl Entry {
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind, time: Timestamp::now(), data: Map::new(), personal: Vec::new(), event: None }
    }

    /// A fact that is no personal data.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }

    /// Who did it: sealed under his own key.
    #[must_use]
    pub fn by(self, actor: &Actor) -> Self {
        let who = actor.describe();
        self.about(actor.subject(), serde_json::json!({ "who": who }))
    }

    /// Personal data of `subject`, sealed under its key.
    #[must_use]
    pub fn about(mut self, subject: Subject, text: Value) -> Self {
        self.personal.push((subject, text));
        self
    }

    /// The entry of a recorded event; `None` for what was plainly allowed, which needs none.
    #[must_use]
    pub fn of_event(event: &Arc<Event>) -> Option<Self> {
        if let Some(lost) = &event.lost {
            return Some(Self::new(Kind::Lost).with("events", lost.count).with("reason", lost.reason.as_str()));
        }
        let verdict = event.verdict.as_ref()?;
        if verdict.action == Action::Allow {
            return None;
        }
        let mut entry = Self::new(Kind::Verdict);
        entry.event = Some(Arc::clone(event));
        Some(entry)
    }

    /// Bytes in memory, roughly: what the queue is bounded by.
    pub(crate) fn size(&self) -> usize {
        let event = self.event.as_ref().map_or(0, |event| {
            let args = event.process.args.iter().flatten().map(String::len).sum::<usize>();
            2048 + 2 * args
        });
        512 + 128 * (self.data.len() + self.personal.len()) + event
    }

    /// What stands in the chain, and what is sealed: the text of each subject.
    pub(crate) fn parts(&self) -> serde_json::Result<(Map<String, Value>, Vec<Text>)> {
        let mut data = self.data.clone();
        let mut texts = Vec::with_capacity(self.personal.len() + 1);
        if let Some(event) = &self.event {
            facts_of(event, &mut data);
            #[derive(Serialize)]
            struct Told<'a> {
                event: &'a Event,
            }
            texts.push((Subject::of_event(event), serde_json::to_vec(&Told { event })?));
        }
        for (subject, text) in &self.personal {
            texts.push((subject.clone(), serde_json::to_vec(text)?));
        }
        Ok((data, texts))
    }
}

/// What an event tells without telling of anybody: words and ids, never a path, an argument, an address or a reason that
/// could hold one.
fn facts_of(event: &Event, data: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
    put("event", event.id.as_str().into());
    put("about", event.kind.as_str().into());
    if event.kind != event::Kind::Exec {
        put("op", event.operation().into());
    }
    for (name, value) in [("session", &event.session), ("agent", &event.agent)] {
        if let Some(value) = value {
            put(name, value.as_str().into());
        }
    }
    let Some(verdict) = &event.verdict else { return };
    put("action", verdict.action.as_str().into());
    put("tier", verdict.tier.as_str().into());
    if let Some(rule) = &verdict.rule {
        put("rule", rule.as_str().into());
    }
    if let Some(severity) = verdict.severity {
        put("severity", severity.as_str().into());
    }
    for (name, list) in [("tags", &verdict.tags), ("also", &verdict.also)] {
        if !list.is_empty() {
            put(name, list.clone().into());
        }
    }
    if let Some(score) = verdict.score {
        put("score", score.into());
    }
    if let Some(enforced) = verdict.enforced {
        put("enforced", enforced.into());
    }
}

/// A line of the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counted from 1, without gaps.
    pub n: u64,
    /// SHA-256 of the line before, without its line feed; 64 zeros in the first.
    pub prev: String,
    /// RFC 3339 with nanoseconds, UTC.
    pub time: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// Which texts are sealed beside the chain, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<Commitment>,
}

/// What the chain knows of a sealed text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    /// A random name, that only the subject's key file links to anybody.
    pub subject: String,
    /// HMAC-SHA-256 of the text, keyed with a salt that is sealed with it.
    pub commit: String,
}

impl Record {
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if parse_hash(&record.prev).is_none() {
            return Err("`prev` is not 64 lower-case hexadecimal digits".into());
        }
        if record.n == 0 {
            return Err("entries are counted from 1".into());
        }
        Ok(record)
    }

    /// Does not panic on a record that was parsed.
    pub(crate) fn prev_hash(&self) -> Hash {
        parse_hash(&self.prev).unwrap_or(NO_HASH)
    }

    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_api::event::{Tier, Verdict};

    fn event(action: Action) -> Arc<Event> {
        let mut event = Event::new(event::Kind::File, "01E".into(), "2026-01-02T03:04:05Z".into());
        event.process.uid = Some(1000);
        event.process.cwd = Some("/home/alice".into());
        event.file = Some(event::File { op: event::FileOp::Read, path: Some("/home/alice/.env".into()), to: None });
        event.verdict = Some(Verdict {
            reason: Some("the policy denies /home/alice/.env".into()),
            source: Some("/home/alice/policy.yaml:1:2".into()),
            ..Verdict::new(action, Tier::Policy)
        });
        Arc::new(event)
    }

    #[test]
    fn only_what_is_not_plainly_allowed_is_an_entry() {
        assert!(Entry::of_event(&event(Action::Allow)).is_none());
        for action in [Action::Deny, Action::Kill, Action::Hold, Action::Alert] {
            assert!(Entry::of_event(&event(action)).is_some(), "{action}");
        }
    }

    #[test]
    fn what_is_readable_tells_of_nobody() {
        let (data, texts) = Entry::of_event(&event(Action::Deny)).unwrap().parts().unwrap();
        let readable = serde_json::to_string(&data).unwrap();
        assert!(!readable.contains("alice") && !readable.contains("1000"), "{readable}");
        assert!(readable.contains(r#""op":"read""#) && readable.contains(r#""action":"deny""#), "{readable}");
        assert_eq!(texts[0].0, Subject::Uid(1000));
        assert!(String::from_utf8_lossy(&texts[0].1).contains("/home/alice/.env"));
    }

    #[test]
    fn a_line_that_cannot_be_an_entry_is_refused() {
        let good = format!(r#"{{"n":1,"prev":"{}","time":"t","kind":"start"}}"#, hex(&NO_HASH));
        assert!(Record::parse(good.as_bytes()).is_ok());
        for bad in [
            good.replace("\"n\":1", "\"n\":0"),
            good.replace("\"n\":1", "\"n\":-1"),
            good.replace("00\"", "0G\""),
            good.replace("00\"", "\""),
            good.replace("\"n\":1", "\"n\":1,\"n\":2"),
            String::new(),
        ] {
            assert!(Record::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
