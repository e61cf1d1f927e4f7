// SPDX-License-Identifier: Apache-2.0
//! `lictor rules`: rules without a daemon, as any user who may read or write their files.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use lictor_api::bytes::printable;
use lictor_api::event::Severity;
use lictor_engine::policy::Problem;
use lictor_judge::rules::{self, ConflictKind, Expect, Rule, RuleSet, State};
use serde::Serialize;

use crate::cli::{RulesCheckArgs, RulesListArgs, RulesMergeArgs, RulesSetStateArgs, RulesTestArgs};
use crate::context::Context;
use crate::output::{self, Cell, count};

/// Prints each problem as `FILE:LINE:COLUMN: message`.
pub(crate) fn check(args: &RulesCheckArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut all_good = true;
    for path in &args.paths {
        let Some((files, set)) = load(path, out)? else {
            all_good = false;
            continue;
        };
        let tests: usize = set.rules().iter().map(|rule| rule.tests.len()).sum();
        writeln!(
            out,
            "{}: ok, {}, {}, {}",
            printable(&path.display().to_string()),
            count(files as u64, "file"),
            count(set.rules().len() as u64, "rule"),
            count(tests as u64, "test")
        )?;
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many files there are, and their rules; prints the problems where there is no set.
fn load(path: &Path, out: &mut impl Write) -> io::Result<Option<(usize, RuleSet)>> {
    let loaded = rules::read(path).and_then(|files| rules::parse(&files).map(|set| (files.len(), set)));
    match loaded {
        Ok(loaded) => Ok(Some(loaded)),
        Err(problems) => {
            print(&problems, out)?;
            Ok(None)
        }
    }
}

fn print(problems: &[Problem], out: &mut impl Write) -> io::Result<()> {
    problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))
}

/// A rule in `lictor rules list --json`.
#[derive(Serialize)]
struct Listed<'r> {
    id: &'r str,
    state: String,
    severity: Severity,
    action: String,
    kinds: Vec<&'static str>,
    description: &'r str,
    tags: &'r [String],
    tests: usize,
    source: &'r str,
}

impl<'r> Listed<'r> {
    fn of(rule: &'r Rule) -> Listed<'r> {
        Listed {
            id: &rule.id,
            state: rule.state.to_string(),
            severity: rule.severity,
            action: rule.action.to_string(),
            kinds: rule.kinds.iter().map(|kind| kind.as_str()).collect(),
            description: &rule.description,
            tags: &rule.tags,
            tests: rule.tests.len(),
            source: &rule.source,
        }
    }
}

pub(crate) fn list(args: &RulesListArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let path = args.rules.as_ref().unwrap_or(&context.settings.rules);
    let Some((_, set)) = load(path, out)? else { return Ok(ExitCode::FAILURE) };
    let rules: Vec<Listed<'_>> = set.rules().iter().map(Listed::of).collect();
    if args.json {
        serde_json::to_writer(&mut *out, &rules)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<Cell>> = rules
        .iter()
        .map(|rule| {
            let state = match rule.state.as_str() {
                "active" => output::GOOD,
                "testing" => output::WARN,
                _ => output::DIM,
            };
            vec![
                Cell::new(rule.id),
                Cell::styled(&rule.state, state),
                Cell::new(rule.severity.as_str()),
                Cell::new(&rule.action),
                Cell::new(rule.kinds.join(",")),
                Cell::new(rule.tests.to_string()),
                Cell::new(rule.description),
            ]
        })
        .collect();
    output::table(out, &["ID", "STATE", "SEVERITY", "ACTION", "KINDS", "TESTS", "DESCRIPTION"], &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// A test in `lictor rules test --json`.
#[derive(Serialize)]
struct Tested<'r> {
    rule: &'r str,
    test: &'r str,
    expect: String,
    passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    source: String,
}

/// Runs the tests of all rules, drafts included, and names the rules that have none of a kind.
pub(crate) fn test(args: &RulesTestArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let Some((_, set)) = load(&args.path, out)? else { return Ok(ExitCode::FAILURE) };
    let (mut passed, mut failed, mut untested) = (0, 0, 0);
    for rule in set.rules() {
        for result in rule.trials() {
            let problem = result.problem(rule);
            if result.passed() {
                passed += 1
            } else {
                failed += 1
            }
            if args.json {
                let line = Tested {
                    rule: &rule.id,
                    test: &result.trial.name,
                    expect: result.trial.expect.to_string(),
                    passed: result.passed(),
                    problem: problem.map(|problem| problem.message),
                    source: result.trial.at.to_string(),
                };
                serde_json::to_writer(&mut *out, &line)?;
                writeln!(out)?;
            } else if let Some(problem) = problem {
                writeln!(out, "{problem}")?;
            }
        }
        for expect in [Expect::Match, Expect::NoMatch] {
            if !rule.tests.iter().any(|test| test.expect == expect) {
                untested += 1;
                eprintln!("lictor: {}: rule `{}` has no test that expects `{expect}`", rule.source, rule.id);
            }
        }
    }
    out.flush()?;
    let rules = count(set.rules().len() as u64, "rule");
    eprintln!("lictor: {rules}; {passed} tests passed, {failed} failed; {untested} missing");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) fn set_state(args: &RulesSetStateArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let path = args.rules.as_ref().unwrap_or(&context.settings.rules);
    let state: State = args.state;
    match rules::set_state(path, &args.id, state) {
        Ok(changed) => {
            let file = printable(&changed.file.display().to_string());
            if changed.from == changed.to {
                writeln!(out, "{}: is {} already, in {file}", args.id, changed.to)?;
            } else {
                writeln!(out, "{}: {} -> {}, in {file}", args.id, changed.from, changed.to)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            print(&problems, out)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

pub(crate) fn merge(args: &RulesMergeArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let merged = match rules::merge(&args.from, &args.into, args.skip_conflicts) {
        Ok(merged) => merged,
        Err(problems) => {
            print(&problems, out)?;
            return Ok(ExitCode::FAILURE);
        }
    };
    for conflict in &merged.conflicts {
        let what = match conflict.kind {
            ConflictKind::SameId => "is another rule than the one of the same id".to_owned(),
            ConflictKind::SameCondition => format!("has the same condition as `{}`", conflict.with),
        };
        writeln!(out, "{}: conflict: `{}` {what} at {}", conflict.source, conflict.id, conflict.with_source)?;
    }
    for file in &merged.written {
        writeln!(out, "{}: written", printable(&file.display().to_string()))?;
    }
    out.flush()?;
    eprintln!(
        "lictor: {} added, {} there already, {}",
        count(merged.added.len() as u64, "rule"),
        merged.duplicates.len(),
        count(merged.conflicts.len() as u64, "conflict")
    );
    let stopped = !merged.conflicts.is_empty() && !args.skip_conflicts;
    if stopped {
        eprintln!("lictor: nothing was written: settle the conflicts, or leave them out with --skip-conflicts");
    }
    Ok(if stopped { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
