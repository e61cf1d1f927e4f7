// SPDX-License-Identifier: Apache-2.0
//! Which events are asked for, and in which order: the filters of the HTTP interface.

use crate::event::{Action, Event, Kind, Severity, Tier, words};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Events that fulfil every filter that is set; of a list, one entry is enough. An empty query wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    pub session: Vec<String>,
    pub agent: Vec<String>,
    pub kind: Vec<Kind>,
    /// What was decided.
    pub verdict: Vec<Action>,
    pub tier: Vec<Tier>,
    /// The acting program: a path, a file name, or a pattern with `*` and `?`.
    pub program: Vec<String>,
    /// The file, program or socket acted on: a path and what is below it, or a pattern with `*` and `?`.
    pub path: Vec<String>,
    /// The other end: an address, or a pattern with `*` and `?`.
    pub address: Vec<String>,
    /// The deciding rule or another one that matched: its name, or a pattern with `*` and `?`.
    pub rule: Vec<String>,
    pub severity: Vec<Severity>,
    /// Only what was refused, or would have been.
    pub denied: bool,
    /// Every word of it stands somewhere in the event; capital letters are the same as small ones.
    #[schema(min_length = 1)]
    #[param(min_length = 1)]
    pub text: Option<String>,
    /// RFC 3339; what is older is left out.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[param(value_type = Option<When>, inline)]
    pub since: Option<Timestamp>,
    /// RFC 3339; what is newer is left out.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[param(value_type = Option<When>, inline)]
    pub until: Option<Timestamp>,
}

/// How a time is written in a request's address: RFC 3339, or as an age such as `90s`, `1h30m`, `2d`.
#[derive(Debug)]
pub struct When;

impl utoipa::PartialSchema for When {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{AnyOf, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let time = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).build();
        let age = text().pattern(Some("^[1-9][0-9]{0,3}[smhd]$|^[1-9][0-9]?h[0-5]?[0-9]m$")).build();
        Schema::AnyOf(AnyOf { items: vec![time.into(), age.into()], ..AnyOf::default() }).into()
    }
}

impl utoipa::ToSchema for When {}

words! {
    /// Newest or oldest first.
    #[derive(Default)]
    Order { #[default] Desc = "desc", Asc = "asc" }
}

impl EventQuery {
    /// Whether `event` is wanted.
    ///
    /// What was lost may have been of any session, and a denial: whoever looks at either has to know. An event whose
    /// time cannot be read is not left out for it: hiding it would be worse.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let lost = event.kind == Kind::Lost && event.session.is_none();
        let verdict = event.verdict.as_ref();
        let one_of = |wanted: &[String], value: Option<&String>| {
            wanted.is_empty() || lost || value.is_some_and(|value| wanted.contains(value))
        };
        one_of(&self.session, event.session.as_ref())
            && one_of(&self.agent, event.agent.as_ref())
            && (self.kind.is_empty() || self.kind.contains(&event.kind))
            && (self.verdict.is_empty() || verdict.is_some_and(|verdict| self.verdict.contains(&verdict.action)))
            && (self.tier.is_empty() || verdict.is_some_and(|verdict| self.tier.contains(&verdict.tier)))
            && (self.severity.is_empty()
                || verdict.and_then(|verdict| verdict.severity).is_some_and(|it| self.severity.contains(&it)))
            && (!self.denied || event.is_denied() || lost)
            && self.in_time(event)
            && self.names(event)
            && self.text.as_ref().is_none_or(|text| event.has_text(text))
    }

    fn in_time(&self, event: &Event) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        event.time.parse::<Timestamp>().map_or(true, |time| {
            self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until)
        })
    }

    fn names(&self, event: &Event) -> bool {
        let any =
            |wanted: &[String], fits: &dyn Fn(&str) -> bool| wanted.is_empty() || wanted.iter().any(|it| fits(it));
        any(&self.program, &|wanted| event.process.exe.as_deref().is_some_and(|exe| is_program(wanted, exe)))
            && any(&self.path, &|wanted| event.paths().any(|path| is_below(wanted, path)))
            && any(&self.address, &|wanted| {
                let network = event.network.as_ref();
                network.and_then(|network| network.address.as_deref()).is_some_and(|address| like(wanted, address))
            })
            && any(&self.rule, &|wanted| {
                event
                    .verdict
                    .as_ref()
                    .is_some_and(|verdict| verdict.rule.iter().chain(&verdict.also).any(|rule| like(wanted, rule)))
            })
    }
}

fn is_program(wanted: &str, exe: &str) -> bool {
    let name = exe.rsplit('/').next().unwrap_or(exe);
    like(wanted, exe) || (!wanted.contains('/') && like(wanted, name))
}

fn is_below(wanted: &str, path: &str) -> bool {
    if wanted.contains(['*', '?']) {
        return like(wanted, path);
    }
    let folder = wanted.strip_suffix('/').unwrap_or(wanted);
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether `text` is `pattern`, in which `*` stands for any characters and `?` for one. Linear in practice: only the
/// last star is ever gone back to.
#[must_use]
pub fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Event {
        serde_json::from_str(json).unwrap()
    }

    fn denial() -> Event {
        event(
            r#"{"id":"1","time":"2026-01-02T03:04:05Z","kind":"file","session":"s-1","agent":"coder",
                "process":{"pid":4,"exe":"/usr/bin/cat","cmdline":"cat \"/etc/shadow\""},"file":{"op":"read","path":"/etc/shadow"},
                "verdict":{"action":"deny","tier":"policy","rule":"coder.files.deny[0]","severity":"high","also":["read-secrets"]}}"#,
        )
    }

    #[test]
    fn each_filter_decides_alone() {
        let check = |query: &str, expected: bool| {
            let query: EventQuery = serde_json::from_str(query).unwrap();
            assert_eq!(query.matches(&denial()), expected, "{query:?}");
        };
        check("{}", true);
        check(r#"{"session":["s-0","s-1"]}"#, true);
        check(r#"{"session":["s-0"]}"#, false);
        check(r#"{"agent":["coder"]}"#, true);
        check(r#"{"kind":["exec"]}"#, false);
        check(r#"{"verdict":["kill","deny"]}"#, true);
        check(r#"{"tier":["floor"]}"#, false);
        check(r#"{"severity":["high"]}"#, true);
        check(r#"{"severity":["low"]}"#, false);
        check(r#"{"program":["cat"]}"#, true);
        check(r#"{"program":["/bin/cat"]}"#, false);
        check(r#"{"program":["/usr/*"]}"#, true);
        check(r#"{"path":["/etc"]}"#, true);
        check(r#"{"path":["/et"]}"#, false);
        check(r#"{"path":["*shadow"]}"#, true);
        check(r#"{"rule":["coder.files.deny[0]"]}"#, true);
        check(r#"{"rule":["read-*"]}"#, true);
        check(r#"{"rule":["write-*"]}"#, false);
        check(r#"{"text":"CAT shadow"}"#, true);
        check(r#"{"text":"\"/etc/shadow\""}"#, true);
        check(r#"{"text":"shadow gone"}"#, false);
        check(r#"{"since":"2026-01-02T03:04:05Z"}"#, true);
        check(r#"{"since":"2026-01-02T03:04:06Z"}"#, false);
        check(r#"{"until":"2026-01-02T03:04:04Z"}"#, false);
        check(r#"{"denied":true}"#, true);
        assert!(serde_json::from_str::<EventQuery>(r#"{"sesion":["s-1"]}"#).is_err());
    }

    #[test]
    fn a_loss_is_shown_to_whoever_asks_for_a_session_or_for_denials() {
        let lost = event(r#"{"kind":"lost","lost":{"count":3,"reason":"full"}}"#);
        let of_session = EventQuery { session: vec!["s-1".into()], denied: true, ..Default::default() };
        assert!(of_session.matches(&lost));
        assert!(!EventQuery { kind: vec![Kind::File], ..Default::default() }.matches(&lost));
    }

    #[test]
    fn a_pattern_is_matched_as_a_whole() {
        let check =
            |pattern: &str, text: &str, expected: bool| assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        check("", "", true);
        check("*", "", true);
        check("a*c?", "abbcd", true);
        check("a*c?", "abbc", false);
        check("*.env*", "/x/.env.local", true);
        check("gr?n", "gr\u{fc}n", true);
        check(&format!("{}b", "*a".repeat(30)), &"a".repeat(5000), false);
    }
}
