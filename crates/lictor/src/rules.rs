// SPDX-License-Identifier: Apache-2.0
//! `lictor rules`: rules without a daemon, as any user who may read or write their files.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use jiff::tz::TimeZone;
use lictor_api::bytes::printable;
use lictor_api::event::Severity;
use lictor_engine::policy::Problem;
use lictor_judge::rules::{self, ConflictKind, Expect, Rule, RuleSet, State};
use serde::{Deserialize, Serialize};

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
    /// Absent without a running daemon that judges by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<&'r Counts>,
}

/// What a rule has done since the daemon started, as its status says.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Counts {
    hits: u64,
    faults: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_hit: Option<String>,
    sessions: u64,
    users: u64,
    programs: u64,
}

/// Each rule's counts by its id: of the daemon that runs, or why there are none.
fn live(context: &Context) -> Result<HashMap<String, Counts>, String> {
    let status = context.connect().and_then(|mut client| client.status()).map_err(|error| error.to_string())?;
    if status.rules.is_null() {
        return Ok(HashMap::new());
    }
    serde_json::from_value(status.rules).map_err(|error| format!("its counts cannot be understood: {error}"))
}

impl<'r> Listed<'r> {
    fn of(rule: &'r Rule, counts: Option<&'r Counts>) -> Listed<'r> {
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
            counts,
        }
    }
}

pub(crate) fn list(args: &RulesListArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let path = args.rules.as_ref().unwrap_or(&context.settings.rules);
    let Some((_, set)) = load(path, out)? else { return Ok(ExitCode::FAILURE) };
    // Counts are of the rules in force: what another directory holds may be others of the same id.
    let live = match &args.rules {
        Some(_) => None,
        None => live(context).inspect_err(|why| eprintln!("lictor: without what they have done: {why}")).ok(),
    };
    let counts_of = |rule: &Rule| live.as_ref().and_then(|live| live.get(&rule.id));
    let rules: Vec<Listed<'_>> = set.rules().iter().map(|rule| Listed::of(rule, counts_of(rule))).collect();
    if args.json {
        serde_json::to_writer(&mut *out, &rules)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut head = vec!["ID", "STATE", "SEVERITY", "ACTION", "KINDS", "TESTS"];
    if live.is_some() {
        head.extend(["HITS", "LAST HIT", "SESSIONS", "USERS", "PROGRAMS"]);
    }
    head.push("DESCRIPTION");
    let zone = TimeZone::system();
    let rows: Vec<Vec<Cell>> = rules.iter().map(|rule| row_of(rule, live.is_some(), &zone)).collect();
    output::table(out, &head, &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// With columns for the counts, filled when the rule is in force.
fn row_of(rule: &Listed<'_>, counted: bool, zone: &TimeZone) -> Vec<Cell> {
    let state = match rule.state.as_str() {
        "active" => output::GOOD,
        "testing" => output::WARN,
        _ => output::DIM,
    };
    let mut row = vec![
        Cell::new(rule.id),
        Cell::styled(&rule.state, state),
        Cell::new(rule.severity.as_str()),
        Cell::new(&rule.action),
        Cell::new(rule.kinds.join(",")),
        Cell::new(rule.tests.to_string()),
    ];
    match rule.counts {
        Some(counts) => {
            let last = counts.last_hit.as_deref().map_or_else(|| "-".to_owned(), |time| output::short_time(time, zone));
            let numbers = [counts.sessions, counts.users, counts.programs];
            row.extend([Cell::new(counts.hits.to_string()), Cell::new(last)]);
            row.extend(numbers.map(|number| Cell::new(number.to_string())));
        }
        None if counted => row.extend((0..5).map(|_| Cell::styled("-", output::DIM))),
        None => {}
    }
    row.push(Cell::new(rule.description));
    row
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, RulesCommand};
    use clap::Parser as _;
    use std::fs;

    const RULES: &str = "\
version: 1
rules:
  - id: netcat   # listens
    description: a listener
    severity: medium
    kinds: [exec]
    condition: basename(process.exe) == 'nc'
    action: alert
    tests:
      - { event: { process: { args: [nc, -l] } }, expect: match }
      - { name: other, event: { process: { args: [ls] } }, expect: no-match }
";

    fn run(dir: &Path, line: &str) -> (bool, String) {
        let line = format!("lictor rules {line}").replace("DIR", &dir.display().to_string());
        let Command::Rules(command) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!("{line}") };
        let config = dir.join("lictord.yaml");
        fs::write(&config, "{}").unwrap();
        let context = Context::new(None, Some(config)).unwrap();
        let mut code = ExitCode::FAILURE;
        let text = output::plain(|out| {
            code = match &command {
                RulesCommand::List(args) => list(args, &context, out).unwrap(),
                RulesCommand::Check(args) => check(args, out).unwrap(),
                RulesCommand::Test(args) => test(args, out).unwrap(),
                RulesCommand::SetState(args) => set_state(args, &context, out).unwrap(),
                RulesCommand::Merge(args) => merge(args, out).unwrap(),
            };
        });
        (code == ExitCode::SUCCESS, text.replace(&dir.display().to_string(), "DIR"))
    }

    #[test]
    fn rules_are_checked_listed_tested_and_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, RULES).unwrap();
        fs::write(dir.path().join("bad.txt"), RULES.replace("process.exe", "process.ex")).unwrap();
        assert_eq!(run(dir.path(), "check DIR/a.yaml"), (true, "DIR/a.yaml: ok, 1 file, 1 rule, 2 tests\n".into()));
        let (ok, text) = run(dir.path(), "check DIR/bad.txt DIR/none");
        assert!(!ok);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("DIR/bad.txt:7:33: condition: `process` has no field `ex`"), "{text}");
        assert_eq!(lines[1], "DIR/none:1:1: cannot be read: No such file or directory (os error 2)");
        let (_, text) = run(dir.path(), "list --rules DIR/a.yaml");
        assert_eq!(
            text,
            "ID      STATE   SEVERITY  ACTION  KINDS  TESTS  DESCRIPTION\nnetcat  active  medium    alert   exec   2      a listener\n"
        );
        let (ok, text) = run(dir.path(), "test DIR/a.yaml --json");
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(ok && lines.len() == 2);
        assert_eq!((&lines[1]["test"], &lines[1]["passed"]), (&"other".into(), &true.into()));
        let (ok, text) = run(dir.path(), "set-state netcat draft --rules DIR/a.yaml");
        assert_eq!((ok, text.as_str()), (true, "netcat: active -> draft, in DIR/a.yaml\n"));
        let changed = RULES.replace("# listens\n", "# listens\n    state: draft\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), changed);
        // A draft may be loaded with tests that fail, and they are told when asked for.
        fs::write(&path, changed.replace("'nc'", "'ncat'")).unwrap();
        assert!(run(dir.path(), "check DIR/a.yaml").0);
        let (ok, text) = run(dir.path(), "test DIR/a.yaml");
        assert!(!ok && text.starts_with("DIR/a.yaml:11:9: test 1 of rule `netcat` expects a match"), "{text}");
    }

    #[test]
    fn what_a_rule_has_done_is_listed_with_it() {
        let (set, _) = {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("a.yaml"), RULES).unwrap();
            let files = rules::read(dir.path()).unwrap();
            (rules::parse(&files).unwrap(), dir)
        };
        let counts: HashMap<String, Counts> = serde_json::from_str(
            r#"{"netcat":{"hits":7,"faults":0,"last_hit":"2026-01-02T03:04:05.678901234Z","sessions":2,"users":1,"programs":3}}"#,
        )
        .unwrap();
        let rule = &set.rules()[0];
        let shown = |counts| {
            let row = row_of(&Listed::of(rule, counts), true, &TimeZone::UTC);
            output::plain(|out| output::row(out, &[0; 12], &row).unwrap())
        };
        let text = shown(counts.get("netcat"));
        assert!(text.contains("2  7  01-02 03:04:05.678  2  1  3  a listener"), "{text}");
        assert!(shown(None).contains("2  -  -  -  -  -  a listener"), "{}", shown(None));
        let json = serde_json::to_value(Listed::of(rule, counts.get("netcat"))).unwrap();
        assert_eq!(json["counts"]["sessions"], 2);
    }

    #[test]
    fn merging_says_what_it_did() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("into")).unwrap();
        fs::write(dir.path().join("a.yaml"), RULES).unwrap();
        assert_eq!(run(dir.path(), "merge DIR/a.yaml DIR/into"), (true, "DIR/into/a.yaml: written\n".into()));
        assert_eq!(run(dir.path(), "merge DIR/a.yaml DIR/into"), (true, String::new()));
        fs::write(dir.path().join("a.yaml"), RULES.replace("medium", "high")).unwrap();
        let (ok, text) = run(dir.path(), "merge DIR/a.yaml DIR/into");
        assert!(!ok);
        assert_eq!(
            text,
            "DIR/a.yaml:3:5: conflict: `netcat` is another rule than the one of the same id at DIR/into/a.yaml:3:5\n"
        );
    }
}
