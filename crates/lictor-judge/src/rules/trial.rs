// SPDX-License-Identifier: Apache-2.0
//! The tests that stand beside a rule: an event with what matters of it, and whether the rule must match.

use std::fmt;

use lictor_api::event::{Event, Exec, Kind};
use lictor_engine::policy::Position;
use lictor_engine::policy::{Problem, hint};
use lictor_engine::yaml::{Node, Value};
use serde_json::{Map, Value as Json};

use super::eval::Fault;
use super::fields::{self, Get, ParentField};
use super::set::Rule;

/// One test of a rule.
#[derive(Clone, Debug)]
pub struct Trial {
    /// As the file says, else its number from one.
    pub name: String,
    pub at: Position,
    pub event: Event,
    pub expect: Expect,
}

/// What a test expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Match,
    NoMatch,
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Expect::Match { "match" } else { "no-match" })
    }
}

/// How a test went.
#[derive(Clone, Debug)]
pub struct TrialResult<'r> {
    pub trial: &'r Trial,
    pub outcome: Result<bool, Fault>,
}

impl TrialResult<'_> {
    /// A condition that fails has not passed, whatever was expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcome == Ok(self.trial.expect == Expect::Match)
    }

    /// What is wrong, and where.
    #[must_use]
    pub fn problem(&self, rule: &Rule) -> Option<Problem> {
        let name = &self.trial.name;
        let message = match self.outcome {
            _ if self.passed() => return None,
            Ok(true) => format!("test {name} of rule `{}` expects no match, and the condition matches", rule.id),
            Ok(false) => format!("test {name} of rule `{}` expects a match, and the condition does not match", rule.id),
            Err(fault) => format!("test {name} of rule `{}`: the condition fails: {fault}", rule.id),
        };
        Some(self.trial.at.problem(message))
    }
}

impl Rule {
    /// Runs the rule's tests.
    pub fn trials(&self) -> impl Iterator<Item = TrialResult<'_>> {
        self.tests.iter().map(|trial| TrialResult {
            trial,
            outcome: if self.kinds.contains(&trial.event.kind) { self.holds(&trial.event) } else { Ok(false) },
        })
    }
}

/// Fills in what follows from what an event says, for events that people write: the command line from the arguments,
/// the program and the executed file of an execution from each other, else from the first argument.
pub fn complete(event: &mut Event) {
    let join = |args: &Option<Vec<String>>| args.as_ref().map(|args| args.join(" "));
    let process = &mut event.process;
    process.cmdline = process.cmdline.take().or_else(|| join(&process.args));
    for parent in process.parent.iter_mut().chain(&mut process.ancestors) {
        parent.cmdline = parent.cmdline.take().or_else(|| join(&parent.args));
    }
    if event.kind != Kind::Exec {
        return;
    }
    let executed = event.exec.as_ref().and_then(|exec| exec.path.clone());
    let first = || process.args.as_ref().and_then(|args| args.first().cloned());
    process.exe = process.exe.take().or(executed).or_else(first);
    if let Some(exe) = &process.exe {
        let exec = event.exec.get_or_insert_with(Exec::default);
        exec.path.get_or_insert_with(|| exe.clone());
    }
}

/// The event of a test. Its kind is what it says, else that of the object that it has, else the first of `kinds`.
pub(crate) fn event(node: &Node, kinds: &[Kind]) -> Result<Event, Vec<Problem>> {
    let mut problems = Vec::new();
    let json = object(node, "", &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut json = json.unwrap_or_default();
    if !json.contains_key("kind") {
        let of_object = fields::JUDGED.iter().find(|kind| json.contains_key(object_of(**kind)));
        let kind = of_object.or(kinds.first()).copied().unwrap_or(Kind::Exec);
        json.insert("kind".to_owned(), Json::from(kind.as_str()));
    }
    match serde_json::from_value::<Event>(Json::Object(json)) {
        Ok(mut event) => {
            complete(&mut event);
            Ok(event)
        }
        Err(error) => Err(vec![node.at.problem(format!("this is no event: {error}"))]),
    }
}

/// The key of the object that an event of the kind carries.
fn object_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Process => "process_event",
        other => other.as_str(),
    }
}

/// A mapping whose keys are fields below `prefix`.
fn object(node: &Node, prefix: &str, problems: &mut Vec<Problem>) -> Option<Map<String, Json>> {
    let Value::Mapping(items) = &node.value else {
        let what = if prefix.is_empty() { "event" } else { prefix };
        problems.push(node.at.problem(format!("`{what}` must be a mapping, not {}", node.value.kind())));
        return None;
    };
    let mut out = Map::new();
    for (key, value) in items {
        let Value::String(name) = &key.value else {
            problems.push(key.at.problem(format!("a key of an event must be text, not {}", key.value.kind())));
            continue;
        };
        // An absent fact may be written as one.
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let field = fields::Scope::Rule.named(&path).map(|field| field.get);
        let parent_field = (prefix == "process.parent").then(|| ParentField::named(name)).flatten();
        let json = match (field, parent_field) {
            (None, None) => {
                let known = fields::Scope::Rule.below(prefix);
                let message = format!("an event has no field `{}`{}", path.escape_debug(), hint(name, &known));
                problems.push(key.at.problem(message));
                continue;
            }
            _ if matches!(value.value, Value::Null) => continue,
            (_, Some(ParentField::Pid)) | (Some(Get::Number(_)), _) => number(value, &path, problems),
            (_, Some(ParentField::Exe | ParentField::Cmdline)) | (Some(Get::Text(_)), _) => {
                text(value, &path, problems)
            }
            (_, Some(ParentField::Args)) | (Some(Get::Texts(_)), _) => texts(value, &path, problems),
            (Some(Get::Parents), _) => match &value.value {
                Value::Sequence(items) => {
                    let each = items.iter().filter_map(|item| object(item, "process.parent", problems));
                    Some(Json::Array(each.map(Json::Object).collect()))
                }
                other => {
                    problems.push(value.at.problem(format!("`{path}` must be a list, not {}", other.kind())));
                    None
                }
            },
            (Some(Get::Object(_) | Get::Parent), _) => object(value, &path, problems).map(Json::Object),
        };
        if let (Some(Get::Text(field)), Some(Json::String(word))) = (field, &json)
            && let Some(words) = field.words().filter(|words| !words.contains(&word.as_str()))
        {
            let message = format!("`{path}` is never `{}`{}", word.escape_debug(), hint(word, &words));
            problems.push(value.at.problem(message));
        }
        if let Some(json) = json {
            out.insert(name.clone(), json);
        }
    }
    Some(out)
}

fn text(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Json> {
    if let Value::String(text) = &node.value {
        return Some(Json::from(text.as_str()));
    }
    problems.push(node.at.problem(format!("`{path}` must be text, not {}: put it in quotes", node.value.kind())));
    None
}

fn number(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Json> {
    match &node.value {
        Value::Integer(number) => match i64::try_from(*number) {
            Ok(number) => return Some(Json::from(number)),
            Err(_) => problems.push(node.at.problem(format!("`{path}` is never {number}"))),
        },
        other => problems.push(node.at.problem(format!("`{path}` must be a number, not {}", other.kind()))),
    }
    None
}

fn texts(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Json> {
    let Value::Sequence(items) = &node.value else {
        problems.push(node.at.problem(format!("`{path}` must be a list, not {}", node.value.kind())));
        return None;
    };
    // A number among arguments is what people write without thinking of quotes, and an argument is always text: what
    // YAML made of it may differ from what was written, so it is an error.
    Some(Json::Array(items.iter().filter_map(|item| text(item, path, problems)).collect()))
}
