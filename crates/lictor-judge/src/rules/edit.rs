// SPDX-License-Identifier: Apache-2.0
//! Changes rule files in place: what is not changed stays as it was written, comments included.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lictor_engine::policy::{Problem, hint};
use lictor_engine::yaml::{self, Node, Value};

use super::set::{Rule, RuleSet, State};
use super::{files, parse};

/// What changing a state did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub file: PathBuf,
    pub from: State,
    pub to: State,
}

/// Sets the state of a rule in the file or directory `path`, and replaces its file atomically.
///
/// # Errors
/// The problems of the rules as they are, a rule that is not there, or what keeps its file from being changed.
pub fn set_state(path: &Path, id: &str, to: State) -> Result<Changed, Vec<Problem>> {
    let files = files::read(path)?;
    let set = parse(&files)?;
    let Some(rule) = set.rule(id) else {
        let known: Vec<&str> = set.rules().iter().map(|rule| rule.id.as_str()).collect();
        let message = format!("there is no rule `{}`{}", id.escape_debug(), hint(id, &known));
        return Err(vec![files::problem(path, message)]);
    };
    let found = files.iter().find(|(name, _)| **name == *rule.at.file);
    let file = if path.is_dir() {
        let names = files::list(path).map_err(|problem| vec![problem])?;
        names.into_iter().find(|candidate| files::name(candidate) == *rule.at.file)
    } else {
        Some(path.to_owned())
    };
    let (Some((name, bytes)), Some(file)) = (found, file) else {
        return Err(vec![rule.at.problem("its file is not there any more")]);
    };
    let changed = Changed { file: file.clone(), from: rule.state, to };
    if rule.state == to {
        return Ok(changed);
    }
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let text = with_state(name, text, id, to).map_err(|problem| vec![problem])?;
    // The tests of a rule that leaves `draft` are run here.
    let after = parse(&[(name.clone(), text.clone().into_bytes())])?;
    let before = parse(&[(name.clone(), bytes.clone())])?;
    if !differ_by_state(&before, &after, id, to) {
        return Err(vec![rule.at.problem("its state cannot be changed where it stands: change the file by hand")]);
    }
    if files::read_file(&file).map_err(|problem| vec![problem])? != *bytes {
        return Err(vec![rule.at.problem("the file was changed meanwhile: try again")]);
    }
    files::write(&file, text.as_bytes())
        .map_err(|error| vec![files::problem(&file, format!("cannot be written: {error}"))])?;
    Ok(changed)
}

/// The text of a rule file with another state of one rule.
fn with_state(name: &str, text: &str, id: &str, to: State) -> Result<String, Problem> {
    let by_hand =
        |node: &Node| node.at.problem("it is written in a way that cannot be changed here: change it by hand");
    let file: Arc<str> = name.into();
    let root = yaml::read(&file, "a rule file", text.as_bytes())?;
    let rule = rule_node(&root, id).ok_or_else(|| by_hand(&root))?;
    let Value::Mapping(entries) = &rule.value else { return Err(by_hand(rule)) };
    let get =
        |wanted: &str| entries.iter().find(|(key, _)| matches!(&key.value, Value::String(name) if name == wanted));
    if let Some((_, value)) = get("state") {
        let span = value.span.clone().ok_or_else(|| by_hand(value))?;
        let span = scalar(text, span, &value.value).ok_or_else(|| by_hand(value))?;
        return Ok(format!("{}{to}{}", &text[..span.start], &text[span.end..]));
    }
    let (key, value) = get("id").ok_or_else(|| by_hand(rule))?;
    let span = value.span.clone().and_then(|span| scalar(text, span, &value.value)).ok_or_else(|| by_hand(value))?;
    let in_braces = rule.span.as_ref().is_some_and(|span| text[span.start..].starts_with('{'));
    let (at, insert) = if in_braces {
        (span.end, format!(", state: {to}"))
    } else {
        let end = text[span.end..].find('\n').map_or(text.len(), |at| span.end + at);
        let indent = usize::try_from(key.at.column).unwrap_or(1).saturating_sub(1);
        (end, format!("\n{:indent$}state: {to}", ""))
    };
    Ok(format!("{}{insert}{}", &text[..at], &text[at..]))
}

/// The bytes of a one-line text, without what the reader counts to it behind.
fn scalar(text: &str, span: Range<usize>, value: &Value) -> Option<Range<usize>> {
    let Value::String(value) = value else { return None };
    let written = text.get(span.clone())?;
    let trimmed = written.trim_end();
    let bare = trimmed.trim_matches(['"', '\'']);
    (bare == value && !trimmed.contains('\n')).then(|| span.start..span.start + trimmed.len())
}

fn rule_node<'n>(root: &'n Node, id: &str) -> Option<&'n Node> {
    fn entry<'n>(node: &'n Node, wanted: &str) -> Option<&'n Node> {
        let Value::Mapping(entries) = &node.value else { return None };
        let found = entries.iter().find(|(key, _)| matches!(&key.value, Value::String(name) if name == wanted));
        found.map(|(_, value)| value)
    }
    let Value::Sequence(rules) = &entry(root, "rules")?.value else { return None };
    rules.iter().find(|rule| matches!(entry(rule, "id").map(|id| &id.value), Some(Value::String(name)) if name == id))
}

/// Whether two sets are the same but for the state of one rule.
fn differ_by_state(before: &RuleSet, after: &RuleSet, id: &str, to: State) -> bool {
    before.rules().len() == after.rules().len()
        && before.rules().iter().zip(after.rules()).all(|(before, after)| {
            let state = if before.id == id { to } else { before.state };
            after.state == state && same_but_state(before, after)
        })
}

/// Whether two rules say the same, whatever their state and place.
pub(crate) fn same_but_state(left: &Rule, right: &Rule) -> bool {
    let tests = |rule: &Rule| -> Vec<_> {
        rule.tests.iter().map(|test| (test.name.clone(), test.event.clone(), test.expect)).collect()
    };
    left.id == right.id
        && left.description == right.description
        && left.reason == right.reason
        && left.severity == right.severity
        && same_question(left, right)
        && left.action == right.action
        && left.tags == right.tags
        && left.false_positives == right.false_positives
        && left.references == right.references
        && tests(left) == tests(right)
}

/// Whether two rules ask the same of the same events.
pub(crate) fn same_question(left: &Rule, right: &Rule) -> bool {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut kinds = (left.kinds.clone(), right.kinds.clone());
    kinds.0.sort();
    kinds.1.sort();
    kinds.0 == kinds.1 && words(&left.condition) == words(&right.condition)
}
