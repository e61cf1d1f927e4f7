// SPDX-License-Identifier: Apache-2.0
//! Brings the rules of one place into another.

use std::path::{Path, PathBuf};

use lictor_engine::policy::Problem;

use super::edit::{same_but_state, same_question};
use super::set::{Rule, RuleSet};
use super::{files, parse};

/// What merging found, and wrote.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// Ids that came in.
    pub added: Vec<String>,
    /// Ids of rules that were there already, word for word; their state there stays.
    pub duplicates: Vec<String>,
    pub conflicts: Vec<Conflict>,
    /// The files that were written.
    pub written: Vec<PathBuf>,
}

/// Two rules of which only a person can say which is meant.
#[derive(Clone, Debug)]
pub struct Conflict {
    pub id: String,
    /// `FILE:LINE:COLUMN` of the rule that would come in.
    pub source: String,
    pub with: String,
    /// And of the one that is there.
    pub with_source: String,
    pub kind: ConflictKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// The same id, and not the same rule.
    SameId,
    /// The same condition on the same kinds, and another id.
    SameCondition,
}

/// Brings the rules of `from`, a file or directory, into the directory `into`. With conflicts nothing is written,
/// unless `skip_conflicts`: then what is in conflict stays out.
///
/// # Errors
/// The problems of either place, and of both together.
pub fn merge(from: &Path, into: &Path, skip_conflicts: bool) -> Result<Merged, Vec<Problem>> {
    if !into.is_dir() {
        return Err(vec![files::problem(into, "rules are merged into a directory, and this is none".to_owned())]);
    }
    let sources = files::read(from)?;
    let coming = parse(&sources)?;
    let there = files::read(into)?;
    let present = parse(&there)?;
    let mut merged = Merged::default();
    let mut dropped: Vec<&Rule> = Vec::new();
    for rule in coming.rules() {
        match find(&present, rule) {
            Found::New => merged.added.push(rule.id.clone()),
            Found::Duplicate => {
                merged.duplicates.push(rule.id.clone());
                dropped.push(rule);
            }
            Found::Conflict(conflict) => {
                merged.conflicts.push(conflict);
                dropped.push(rule);
            }
        }
    }
    if !merged.conflicts.is_empty() && !skip_conflicts {
        merged.added.clear();
        return Ok(merged);
    }
    let mut outputs: Vec<(PathBuf, String)> = Vec::new();
    for (name, bytes) in &sources {
        let of_file = |rule: &&Rule| *rule.at.file == **name;
        let rules: Vec<&Rule> = coming.rules().iter().filter(of_file).collect();
        let gone: Vec<&Rule> = dropped.iter().copied().filter(|rule| of_file(rule)).collect();
        if gone.len() == rules.len() {
            continue;
        }
        let text = without(std::str::from_utf8(bytes).unwrap_or_default(), &rules, &gone)?;
        let taken = |path: &Path| path.exists() || outputs.iter().any(|(other, _)| other == path);
        let stem = Path::new(name).file_stem().map_or_else(|| "rules".into(), |stem| stem.to_string_lossy());
        let candidates = std::iter::once(format!("{stem}.yaml")).chain((2..).map(|n| format!("{stem}-{n}.yaml")));
        let path = candidates.map(|name| into.join(name)).find(|path| !taken(path));
        outputs.extend(path.map(|path| (path, text)));
    }
    // All that will be there, as it will be there, before any of it is written.
    let mut together = there;
    together.extend(outputs.iter().map(|(path, text)| (files::name(path), text.clone().into_bytes())));
    let after = parse(&together)?;
    if after.rules().len() != present.rules().len() + merged.added.len() {
        return Err(vec![files::problem(from, "its rules cannot be taken apart: merge it by hand".to_owned())]);
    }
    for (path, text) in outputs {
        let failed = |error| vec![files::problem(&path, format!("cannot be written: {error}"))];
        files::write(&path, text.as_bytes()).map_err(failed)?;
        merged.written.push(path);
    }
    Ok(merged)
}

enum Found {
    New,
    Duplicate,
    Conflict(Conflict),
}

fn find(present: &RuleSet, rule: &Rule) -> Found {
    let conflict = |other: &Rule, kind| {
        Found::Conflict(Conflict {
            id: rule.id.clone(),
            source: rule.source.clone(),
            with: other.id.clone(),
            with_source: other.source.clone(),
            kind,
        })
    };
    match present.rule(&rule.id) {
        Some(other) if same_but_state(rule, other) => Found::Duplicate,
        Some(other) => conflict(other, ConflictKind::SameId),
        None => match present.rules().iter().find(|other| same_question(rule, other)) {
            Some(other) => conflict(other, ConflictKind::SameCondition),
            None => Found::New,
        },
    }
}

/// The text of a file without some of its rules. A rule's lines begin with the comment right above it.
fn without(text: &str, rules: &[&Rule], gone: &[&Rule]) -> Result<String, Vec<Problem>> {
    if gone.is_empty() {
        return Ok(text.to_owned());
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let begin = |rule: &Rule| {
        let mut line = usize::try_from(rule.at.line).unwrap_or(1).saturating_sub(1);
        while line > 0 && lines.get(line - 1).is_some_and(|above| above.trim_start().starts_with('#')) {
            line -= 1;
        }
        line
    };
    let mut keep = vec![true; lines.len()];
    for (index, rule) in rules.iter().enumerate() {
        let end = rules.get(index + 1).map_or(lines.len(), |next| begin(next));
        let own = lines.get(usize::try_from(rule.at.line).unwrap_or(1).saturating_sub(1)).copied().unwrap_or_default();
        if !gone.iter().any(|other| other.id == rule.id) {
            continue;
        }
        if !own.trim_start().starts_with('-') || end <= begin(rule) {
            return Err(vec![rule.at.problem("this rule shares its line with others: write each on lines of its own")]);
        }
        keep.iter_mut().take(end).skip(begin(rule)).for_each(|keep| *keep = false);
    }
    Ok(lines.iter().zip(keep).filter(|(_, keep)| *keep).map(|(line, _)| *line).collect())
}
