// SPDX-License-Identifier: Apache-2.0
//! Rule files to a set of rules. Goes on after a problem, so that one run shows them all.

use std::collections::HashMap;
use std::sync::Arc;

use lictor_api::event::{Kind, Severity};
use lictor_engine::policy::{Position, Problem, hint};
use lictor_engine::yaml::{self, Node, Value};

use super::set::{Act, Rule, RuleSet, State};
use super::{check, fields, place, syntax, trial};

/// More rules than this in one set are refused.
pub const MAX_RULES: usize = 10_000;
/// After this many problems the rest is only counted: nobody reads further.
const MAX_PROBLEMS: usize = 200;
/// A longer id fits no table.
const MAX_ID: usize = 128;
/// Tags, texts of people, references: more is a mistake.
const MAX_TEXT: usize = 4096;

/// The keys of each mapping; the test of the schema holds them against the published schema.
pub(crate) mod keys {
    pub(crate) const FILE: [&str; 2] = ["version", "rules"];
    pub(crate) const RULE: [&str; 12] = [
        "id",
        "description",
        "reason",
        "state",
        "severity",
        "kinds",
        "condition",
        "action",
        "tags",
        "false_positives",
        "references",
        "tests",
    ];
    pub(crate) const TEST: [&str; 3] = ["name", "event", "expect"];
}

/// Parses, checks and compiles rule files; the tests beside the rules are run too, except those of drafts. `files` are
/// names, only used to say where something stands, and contents.
///
/// # Errors
/// Every problem of all files, by file and line. One problem, and there is no set: rules are loaded all or not at all.
pub fn parse(files: &[(String, Vec<u8>)]) -> Result<RuleSet, Vec<Problem>> {
    let work = || {
        let mut reader = Reader::default();
        for (name, bytes) in files {
            reader.file(name, bytes);
        }
        reader.finish()
    };
    syntax::with_room(work).unwrap_or_else(|error| {
        let file = files.first().map_or_else(String::new, |(name, _)| name.clone());
        Err(vec![Problem { file, line: 1, column: 1, message: format!("the rules cannot be checked: {error}") }])
    })
}

/// Sorted, each once, and no more than people read.
fn bounded(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup();
    if problems.len() > MAX_PROBLEMS {
        let more = problems.len() - MAX_PROBLEMS;
        problems.truncate(MAX_PROBLEMS);
        if let Some(last) = problems.last_mut() {
            last.message.push_str(&format!(" (and {more} more problems)"));
        }
    }
    problems
}

#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
    rules: Vec<Rule>,
    /// Where each id stands.
    ids: HashMap<String, Position>,
    too_many: bool,
}

/// A file while it is read.
struct Source<'f> {
    text: &'f str,
}

impl Reader {
    fn report(&mut self, at: &Position, message: impl Into<String>) {
        self.problems.push(at.problem(message));
    }

    fn finish(mut self) -> Result<RuleSet, Vec<Problem>> {
        if self.problems.is_empty() {
            for rule in &self.rules {
                if rule.state != State::Draft {
                    let failed = rule.trials().filter_map(|result| result.problem(rule));
                    self.problems.extend(failed);
                }
            }
        }
        if self.problems.is_empty() { Ok(RuleSet::new(self.rules)) } else { Err(bounded(self.problems)) }
    }

    fn file(&mut self, name: &str, bytes: &[u8]) {
        let file: Arc<str> = name.into();
        let root = match yaml::read(&file, "a rule file", bytes) {
            Ok(root) => root,
            Err(problem) => return self.problems.push(problem),
        };
        // The tree could not be read from anything but UTF-8.
        let source = Source { text: std::str::from_utf8(bytes).unwrap_or_default() };
        if matches!(root.value, Value::Null) {
            return self.report(&root.at, "the file is empty: write `version: 1` and `rules:`, or remove it");
        }
        let entries = self.mapping(&root, "the file", &keys::FILE);
        let version = entries.iter().find(|(_, key, _)| *key == "version").map(|(_, _, value)| *value);
        match version.map(|node| (&node.value, &node.at)) {
            Some((Value::Integer(1), _)) => {}
            Some((Value::Integer(number), at)) => {
                self.report(at, format!("version {number} is not known: this Lictor reads version 1"));
            }
            Some((other, at)) => self.report(at, format!("`version` must be the number 1, not {}", other.kind())),
            None if matches!(root.value, Value::Mapping(_)) => {
                self.report(&root.at, "`version` is missing: write `version: 1` in the first line");
            }
            None => {}
        }
        match entries.iter().find(|(_, key, _)| *key == "rules") {
            Some((key, _, value)) => {
                let items = self.items(value, "rules");
                if items.is_empty() && matches!(value.value, Value::Sequence(_)) {
                    self.report(&key.at, "`rules` is empty: write a rule, or remove the file");
                }
                for item in items {
                    self.rule(item, &source);
                }
            }
            None if matches!(root.value, Value::Mapping(_)) => {
                self.report(&root.at, "`rules` is missing: a rule file has a list of rules");
            }
            None => {}
        }
    }

    fn rule(&mut self, node: &Node, source: &Source<'_>) {
        if self.rules.len() >= MAX_RULES {
            if !std::mem::replace(&mut self.too_many, true) {
                self.report(&node.at, format!("this is one rule more than the {MAX_RULES} that a set may have"));
            }
            return;
        }
        let before = self.problems.len();
        let entries = self.mapping(node, "a rule", &keys::RULE);
        if entries.is_empty() && self.problems.len() > before {
            return;
        }
        let get = |wanted: &str| entries.iter().find(|(_, key, _)| *key == wanted).map(|(_, _, value)| *value);
        for required in ["id", "description", "severity", "kinds", "condition", "action"] {
            if get(required).is_none() {
                self.report(&node.at, format!("`{required}` is missing in this rule"));
            }
        }
        let id = get("id").and_then(|value| self.id(value));
        let description = get("description").and_then(|value| self.line(value, "description"));
        let reason = get("reason").and_then(|value| self.line(value, "reason"));
        let state = get("state").map_or(Some(State::Active), |value| self.choice(value, "state", &State::NAMES));
        let severities: Vec<_> = Severity::ALL.iter().map(|severity| (severity.as_str(), *severity)).collect();
        let severity = get("severity").and_then(|value| self.choice(value, "severity", &severities));
        let action = get("action").and_then(|value| self.choice(value, "action", &Act::NAMES));
        let kinds = get("kinds").and_then(|value| self.kinds(value));
        let tags = get("tags").map(|value| self.lines(value, "tags")).unwrap_or_default();
        let false_positives = get("false_positives").map(|value| self.lines(value, "false_positives"));
        let references = get("references").map(|value| self.lines(value, "references"));
        let condition = get("condition").zip(kinds.as_deref());
        let condition = condition.and_then(|(value, kinds)| self.condition(value, kinds, source));
        let tests = get("tests").zip(kinds.as_deref()).map(|(value, kinds)| self.tests(value, kinds));
        // Every `None` here has been reported.
        let parts = (id, description, severity, action, kinds, condition, state);
        if let (Some(id), Some(description), Some(severity), Some(action), Some(kinds), Some(condition), Some(state)) =
            parts
        {
            let (text, at, checked) = condition;
            self.rules.push(Rule {
                reason: reason.unwrap_or_else(|| description.clone()),
                false_positives: false_positives.unwrap_or_default(),
                references: references.unwrap_or_default(),
                tests: tests.unwrap_or_default(),
                source: node.at.to_string(),
                at: node.at.clone(),
                condition_at: at,
                condition: text,
                code: checked.code,
                basis: checked.basis,
                id,
                description,
                severity,
                action,
                kinds,
                state,
                tags,
            });
        }
    }

    fn id(&mut self, node: &Node) -> Option<String> {
        let id = self.text(node, "id")?;
        let proper = id.len() <= MAX_ID
            && id.starts_with(|c: char| c.is_ascii_alphanumeric())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !proper {
            let shown: String = id.chars().take(MAX_ID).collect();
            let message = format!(
                "`{}` is no id for a rule: letters, digits, `-`, `_` and `.`, at most {MAX_ID}",
                shown.escape_debug()
            );
            self.report(&node.at, message);
            return None;
        }
        if let Some(first) = self.ids.get(id) {
            let message = format!("there is a rule `{id}` already, at {first}: give one of them another id");
            self.report(&node.at, message);
            return None;
        }
        self.ids.insert(id.to_owned(), node.at.clone());
        Some(id.to_owned())
    }

    fn kinds(&mut self, node: &Node) -> Option<Vec<Kind>> {
        let known: Vec<_> = fields::JUDGED.iter().map(|kind| (kind.as_str(), *kind)).collect();
        let items = self.items(node, "kinds");
        if items.is_empty() {
            if matches!(node.value, Value::Sequence(_)) {
                self.report(&node.at, "`kinds` is empty: the rule would never be asked; name the kinds of events");
            }
            return None;
        }
        let mut kinds = Vec::new();
        for item in items {
            if matches!(&item.value, Value::String(text) if text == "lost") {
                self.report(&item.at, "events of kind `lost` are not judged");
                continue;
            }
            let kind = self.choice(item, "a kind", &known)?;
            if kinds.contains(&kind) {
                self.report(&item.at, format!("`{kind}` stands in `kinds` twice"));
            }
            kinds.push(kind);
        }
        (!kinds.is_empty()).then_some(kinds)
    }

    fn condition(
        &mut self,
        node: &Node,
        kinds: &[Kind],
        source: &Source<'_>,
    ) -> Option<(String, Position, check::Checked)> {
        let text = match &node.value {
            Value::String(text) => text.clone(),
            // `condition: true` is a condition, only YAML takes it for something else.
            Value::Bool(value) => value.to_string(),
            other => {
                self.report(&node.at, format!("`condition` must be text, not {}", other.kind()));
                return None;
            }
        };
        match check::check(&text, kinds) {
            Ok(checked) => Some((text, node.at.clone(), checked)),
            Err(mistakes) => {
                for mistake in mistakes {
                    let at = place::inside(node, &text, mistake.offset, source.text);
                    self.report(&at, format!("condition: {}", mistake.message));
                }
                None
            }
        }
    }

    fn tests(&mut self, node: &Node, kinds: &[Kind]) -> Vec<trial::Trial> {
        let mut tests = Vec::new();
        for (index, item) in self.items(node, "tests").iter().enumerate() {
            let entries = self.mapping(item, "a test", &keys::TEST);
            let get = |wanted: &str| entries.iter().find(|(_, key, _)| *key == wanted).map(|(_, _, value)| *value);
            let known = [("match", trial::Expect::Match), ("no-match", trial::Expect::NoMatch)];
            let expect = get("expect").and_then(|value| self.choice(value, "expect", &known));
            for required in ["event", "expect"] {
                if get(required).is_none() && matches!(item.value, Value::Mapping(_)) {
                    self.report(&item.at, format!("`{required}` is missing in this test"));
                }
            }
            let name =
                get("name").and_then(|value| self.line(value, "name")).unwrap_or_else(|| (index + 1).to_string());
            let event = get("event").and_then(|value| match trial::event(value, kinds) {
                Ok(event) => Some(event),
                Err(problems) => {
                    self.problems.extend(problems);
                    None
                }
            });
            if let (Some(expect), Some(event)) = (expect, event) {
                tests.push(trial::Trial { name, at: item.at.clone(), event, expect });
            }
        }
        tests
    }

    /// The entries of a mapping whose keys are known; reports the rest.
    fn mapping<'a>(&mut self, node: &'a Node, what: &str, known: &[&str]) -> Vec<(&'a Node, &'a str, &'a Node)> {
        let Value::Mapping(items) = &node.value else {
            self.report(&node.at, format!("{what} must be a mapping, not {}", node.value.kind()));
            return Vec::new();
        };
        let mut found = Vec::with_capacity(items.len());
        for (key, value) in items {
            match &key.value {
                Value::String(name) if known.contains(&name.as_str()) => found.push((key, name.as_str(), value)),
                Value::String(name) => {
                    let message = format!("unknown key `{}` in {what}{}", name.escape_debug(), hint(name, known));
                    self.report(&key.at, message);
                }
                other => self.report(&key.at, format!("a key of {what} must be text, not {}", other.kind())),
            }
        }
        found
    }

    fn items<'a>(&mut self, node: &'a Node, what: &str) -> &'a [Node] {
        match &node.value {
            Value::Sequence(items) => items,
            other => {
                self.report(&node.at, format!("`{what}` must be a list, not {}", other.kind()));
                &[]
            }
        }
    }

    fn text<'a>(&mut self, node: &'a Node, what: &str) -> Option<&'a str> {
        if let Value::String(text) = &node.value {
            return Some(text);
        }
        self.report(&node.at, format!("`{what}` must be text, not {}: put it in quotes", node.value.kind()));
        None
    }

    /// A text for people: not empty, not endless; line breaks become spaces.
    fn line(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.text(node, what)?;
        if text.trim().is_empty() {
            self.report(&node.at, format!("`{what}` is empty: write it, or remove the line"));
            return None;
        }
        if text.len() > MAX_TEXT {
            self.report(&node.at, format!("`{what}` has {} bytes, and at most {MAX_TEXT} are allowed", text.len()));
            return None;
        }
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn lines(&mut self, node: &Node, what: &str) -> Vec<String> {
        let items = self.items(node, what);
        items.iter().filter_map(|item| self.line(item, what)).collect()
    }

    fn choice<T: Copy>(&mut self, node: &Node, what: &str, known: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        let what = if what.starts_with("a ") { what.to_owned() } else { format!("`{what}`") };
        let Value::String(text) = &node.value else {
            self.report(&node.at, format!("{what} must be {}, not {}", names.join(" or "), node.value.kind()));
            return None;
        };
        let found = known.iter().find(|(name, _)| name == text).map(|(_, value)| *value);
        if found.is_none() {
            self.report(&node.at, format!("{what} must be {}, not `{}`", names.join(" or "), text.escape_debug()));
        }
        found
    }
}
