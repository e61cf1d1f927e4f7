// SPDX-License-Identifier: Apache-2.0
//! `lictor policy check` and `lictor policy test`: policies without a daemon, as any user.

use crate::cli::{CheckArgs, TestArgs};
use crate::judge::load_rules;
use crate::output::{self, Cell, count};
use anyhow::{Context as _, bail};
use lictor_api::EventLog;
use lictor_api::bytes::printable;
use lictor_api::event::{Action, Event, Kind, Verdict};
use lictor_engine::policy::{Limits, PolicyFile, Problem, SessionFacts, parse};
use lictor_judge::rules::complete;
use lictor_judge::{Case, Pipeline};
use lictord::replay::{Judgement, Replay};
use nix::unistd::{User, getuid};
use serde::Serialize;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

/// One byte more than a policy may have, so that the parser sees that it is too long.
const MAX_POLICY: u64 = (16 << 20) + 1;

/// Prints each problem as `FILE:LINE:COLUMN: message`. Every agent is compiled as for a session, with
/// a person's usual directories, as some problems only show then.
pub(crate) fn check(args: &CheckArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let facts =
        SessionFacts { home: b"/home/user".to_vec(), user: b"user".to_vec(), cwd: b"/home/user/project".to_vec() };
    let mut all_good = true;
    for file in &args.files {
        let name = printable(&file.display().to_string());
        let (agents, problems) = match read(file) {
            Ok(bytes) => match parse(&name, &bytes) {
                Ok(policy) => {
                    let (patterns, problems) = compile_all(&policy, &facts);
                    (Some((policy.agents().count(), patterns)), problems)
                }
                Err(problems) => (None, problems.iter().map(ToString::to_string).collect()),
            },
            Err(error) => (None, vec![format!("{name}:1:1: cannot be read: {error}")]),
        };
        match (agents, problems.as_slice()) {
            (Some((agents, patterns)), []) => {
                writeln!(out, "{name}: ok, {}, {}", count(agents as u64, "agent"), count(patterns as u64, "pattern"))?;
            }
            (_, problems) => {
                all_good = false;
                problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))?;
            }
        }
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many patterns the agents have, and each problem once, though agents may share the line.
fn compile_all(policy: &PolicyFile, facts: &SessionFacts) -> (usize, Vec<String>) {
    let mut problems = Vec::new();
    let mut patterns = 0;
    for agent in policy.agents() {
        patterns += agent.pattern_count();
        if let Err(found) = agent.compile(facts, &[], Limits::default()) {
            problems.extend(found);
        }
    }
    problems.sort();
    problems.dedup();
    (patterns, problems.iter().map(ToString::to_string).collect())
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_POLICY).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the policy says of one recorded event, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    event: Reference<'a>,
    /// What was decided when it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<Action>,
    #[serde(flatten)]
    judgement: &'a Judgement,
    changes: bool,
}

/// The event's id, or its line number when it has none.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Reference<'a> {
    Id(&'a str),
    Line(u64),
}

impl<'a> Reference<'a> {
    pub(crate) fn of(event: &'a Event, line: u64) -> Reference<'a> {
        if event.id.is_empty() { Reference::Line(line) } else { Reference::Id(&event.id) }
    }
}

impl fmt::Display for Reference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Id(id) => f.write_str(id),
            Reference::Line(line) => write!(f, "line {line}"),
        }
    }
}

/// A policy, or its problems.
pub(crate) fn load(file: &Path) -> anyhow::Result<Result<PolicyFile, Vec<Problem>>> {
    let name = printable(&file.display().to_string());
    let bytes = read(file).with_context(|| format!("{name}: the policy cannot be read"))?;
    Ok(parse(&name, &bytes))
}

/// What `${HOME}`, `${USER}` and `${CWD}` stand for where nothing else is said.
pub(crate) fn facts(home: Option<&Path>, user: Option<&OsStr>, cwd: Option<&Path>) -> anyhow::Result<SessionFacts> {
    // Services and containers often have neither variable, and every user has an entry.
    let entry = || User::from_uid(getuid()).ok().flatten();
    let home = home.map(|home| home.as_os_str().to_owned()).or_else(|| std::env::var_os("HOME"));
    let home = home.or_else(|| entry().map(|user| user.dir.into_os_string()));
    let user = user.map(OsStr::to_owned).or_else(|| std::env::var_os("USER"));
    let user = user.or_else(|| entry().map(|user| user.name.into()));
    let (Some(home), Some(user)) = (home, user) else {
        bail!("neither $HOME and $USER are set nor is the user known to this host: set them");
    };
    Ok(SessionFacts {
        home: home.as_bytes().to_vec(),
        user: user.as_bytes().to_vec(),
        cwd: cwd.map(|cwd| cwd.as_os_str().as_bytes().to_vec()).unwrap_or_default(),
    })
}

/// What the rules make of what the policy permits or does not speak of.
fn with_rules(rules: &Pipeline, of_policy: Judgement, monitors: bool, event: &Event) -> Judgement {
    let denied_before = event.is_denied() && of_policy.verdict.is_none();
    let decided = of_policy.verdict.as_ref().is_some_and(|verdict| verdict.action != Action::Allow);
    if decided || denied_before || event.kind == Kind::Lost {
        return of_policy;
    }
    let mut event = event.clone();
    complete(&mut event);
    let judgement = rules.judge(&Case::new(event));
    if judgement.findings.is_empty() {
        return of_policy;
    }
    // A recording is judged the same way twice, but not in the same time.
    let enforced = (monitors && !judgement.permits()).then_some(false);
    let verdict = Verdict { latency_us: None, enforced, ..judgement.verdict() };
    Judgement { verdict: Some(verdict), unjudged: None }
}

pub(crate) fn test(args: &TestArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let policy = match load(&args.policy)? {
        Ok(policy) => policy,
        Err(problems) => {
            problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let facts = facts(args.home.as_deref(), args.user.as_deref(), args.cwd.as_deref())?;
    let rules = args.rules.as_ref().map(|path| load_rules(path, &policy, args.agent.as_deref())).transpose()?;
    let mut replay = Replay::new(&policy, args.agent.as_deref(), facts)?;
    let mut report = Report::new(args.json);
    let mut damaged = 0;
    for entry in EventLog::of_file(&args.events).entries() {
        match entry {
            Ok(entry) => {
                let judgement =
                    replay.judge(&entry.event).with_context(|| format!("{}:{}", args.events.display(), entry.line))?;
                let judgement = match &rules {
                    Some(rules) => with_rules(rules, judgement, replay.monitors(&entry.event)?, &entry.event),
                    None => judgement,
                };
                report.add(out, entry.line, &entry.event, &judgement)?;
            }
            Err(error) => {
                damaged += 1;
                eprintln!("lictor: {error}");
            }
        }
    }
    out.flush()?;
    eprintln!("lictor: {}", report.summary());
    Ok(if damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints one line an event and counts what would change.
struct Report {
    json: bool,
    events: u64,
    newly_denied: u64,
    newly_allowed: u64,
    not_judged: u64,
}

const HEAD: [&str; 6] = ["EVENT", "WAS", "NOW", "OPERATION", "RULE", "OBJECT"];
const WIDTHS: [usize; 5] = [26, 6, 6, 10, 24];

impl Report {
    fn new(json: bool) -> Self {
        Self { json, events: 0, newly_denied: 0, newly_allowed: 0, not_judged: 0 }
    }

    fn add(&mut self, out: &mut impl Write, line: u64, event: &Event, judgement: &Judgement) -> io::Result<()> {
        let was = event.verdict.as_ref().map(|verdict| verdict.action);
        let now = judgement.verdict.as_ref().map(|verdict| verdict.action);
        let denies = |action: Action| matches!(action, Action::Deny | Action::Kill);
        let changes = was.zip(now).is_some_and(|(was, now)| denies(was) != denies(now));
        self.events += 1;
        match now {
            None => self.not_judged += 1,
            Some(now) if changes && denies(now) => self.newly_denied += 1,
            Some(_) if changes => self.newly_allowed += 1,
            Some(_) => {}
        }
        if self.json {
            let event = Reference::of(event, line);
            serde_json::to_writer(&mut *out, &Line { event, was, judgement, changes })?;
            return writeln!(out);
        }
        if self.events == 1 {
            output::row(out, &WIDTHS, &HEAD.map(|text| Cell::styled(text, output::HEAD)))?;
        }
        let style = match (changes, now) {
            (true, Some(now)) if denies(now) => output::BAD,
            (true, _) => output::GOOD,
            (false, _) => output::DIM,
        };
        let word = |action: Option<Action>| action.map_or("-", Action::as_str);
        let rule = judgement.verdict.as_ref().and_then(|verdict| verdict.rule.as_deref());
        let reference = Reference::of(event, line).to_string();
        output::row(
            out,
            &WIDTHS,
            &[
                Cell::styled(reference, output::DIM),
                Cell::new(word(was)),
                Cell::styled(word(now), style),
                Cell::new(event.operation()),
                Cell::new(rule.unwrap_or("-")),
                Cell::new(event.object()),
            ],
        )
    }

    fn summary(&self) -> String {
        format!(
            "{}; {} newly denied, {} newly allowed; {} not for a policy's lists to decide",
            count(self.events, "event"),
            self.newly_denied,
            self.newly_allowed,
            self.not_judged
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, PolicyCommand};
    use clap::Parser as _;
    use std::fs;

    const POLICY: &str = "\
version: 1
agents:
  coder:
    files:
      write: [\"${CWD}/**\"]
      deny: [\"/etc/shadow\"]
    network:
      connect: [\"10.0.0.1:443\"]
";

    fn run(dir: &Path, line: &str) -> (bool, String) {
        let line = format!("lictor policy {line}").replace("DIR", &dir.display().to_string());
        let Command::Policy(command) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!("{line}") };
        let mut code = ExitCode::FAILURE;
        let text = output::plain(|out| {
            code = match &command {
                PolicyCommand::Check(args) => check(args, out).unwrap(),
                PolicyCommand::Test(args) => test(args, out).unwrap(),
            };
        });
        (code == ExitCode::SUCCESS, text.replace(&dir.display().to_string(), "DIR"))
    }

    #[test]
    fn check_names_each_problem_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("good.yaml"), POLICY).unwrap();
        fs::write(dir.path().join("bad.yaml"), POLICY.replace("deny:", "denied:").replace("/etc/shadow", "etc"))
            .unwrap();
        assert_eq!(run(dir.path(), "check DIR/good.yaml"), (true, "DIR/good.yaml: ok, 1 agent, 3 patterns\n".into()));
        let (ok, text) = run(dir.path(), "check DIR/good.yaml DIR/bad.yaml DIR/none.yaml");
        assert!(!ok);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("DIR/good.yaml: ok"), "{text}");
        assert!(lines[1].starts_with("DIR/bad.yaml:6:7: ") && lines[1].contains("denied"), "{text}");
        assert!(
            text.ends_with("DIR/none.yaml:1:1: cannot be read: No such file or directory (os error 2)\n"),
            "{text}"
        );
    }

    const EVENTS: &str = r#"{"id":"A","kind":"file","session":"s","process":{"cwd":"/srv/app"},"file":{"op":"read","path":"/etc/shadow"},"verdict":{"action":"allow","tier":"policy"}}
{"id":"B","kind":"file","session":"s","file":{"op":"write","path":"/srv/app/x"},"verdict":{"action":"deny","tier":"policy"}}
{"kind":"network","session":"s","network":{"op":"connect","family":"ipv4","address":"10.0.0.1","port":443},"verdict":{"action":"allow","tier":"policy"}}
{"id":"D","kind":"privilege","session":"s","privilege":{"op":"mount"},"verdict":{"action":"deny","tier":"floor"}}
"#;

    #[test]
    fn test_shows_what_would_change() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("p.yaml"), POLICY).unwrap();
        fs::write(dir.path().join("e.jsonl"), EVENTS).unwrap();
        let (ok, text) = run(dir.path(), "test DIR/p.yaml --events DIR/e.jsonl --home /h --user u");
        assert!(ok);
        assert_eq!(
            text,
            "\
EVENT                       WAS     NOW     OPERATION   RULE                      OBJECT
A                           allow   deny    read        coder.files.deny[0]       /etc/shadow
B                           deny    allow   write       coder.files.write[0]      /srv/app/x
line 3                      allow   allow   connect     coder.network.connect[0]  10.0.0.1:443
D                           deny    -       mount       -                         \n"
        );
        let (_, json) = run(dir.path(), "test DIR/p.yaml --events DIR/e.jsonl --home /h --user u --json");
        let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["event"], "A");
        assert_eq!(lines[0]["was"], "allow");
        assert_eq!(lines[0]["verdict"]["action"], "deny");
        assert_eq!(lines[0]["verdict"]["source"], "DIR/p.yaml:6:14");
        assert_eq!(lines[0]["changes"], true);
        assert_eq!((&lines[2]["event"], &lines[2]["changes"]), (&3.into(), &false.into()));
        assert!(lines[3]["verdict"].is_null() && lines[3]["unjudged"].as_str().unwrap().contains("floor"));
    }

    #[test]
    fn test_takes_rules_along() {
        let dir = tempfile::tempdir().unwrap();
        let rules = "version: 1
rules:
  - { id: writes, description: d, severity: low, kinds: [file], action: deny, condition: file.op == 'write' }
";
        fs::write(dir.path().join("r.yaml"), rules).unwrap();
        fs::write(dir.path().join("p.yaml"), POLICY).unwrap();
        fs::write(dir.path().join("e.jsonl"), EVENTS).unwrap();
        let line = "test DIR/p.yaml --events DIR/e.jsonl --home /h --user u --rules DIR/r.yaml --json";
        let (ok, json) = run(dir.path(), line);
        assert!(ok);
        let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let said: Vec<_> = lines.iter().map(|line| (&line["verdict"]["rule"], &line["changes"])).collect();
        assert_eq!(said[0], (&"coder.files.deny[0]".into(), &true.into()), "the policy comes first");
        assert_eq!(said[1], (&"writes".into(), &false.into()), "denied then by the policy, and now by a rule");
        assert_eq!(said[2], (&"coder.network.connect[0]".into(), &false.into()));
        assert!(lines[3]["verdict"].is_null());
    }

    /// The fenced blocks of `language` in a document.
    fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
        let fence = format!("```{language}\n");
        document.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
    }

    #[test]
    fn the_examples_in_the_documents_load() {
        let facts = SessionFacts { home: b"/h".to_vec(), user: b"u".to_vec(), cwd: b"/w".to_vec() };
        for (name, text, count) in [
            ("README.md", include_str!("../../../README.md"), 1),
            ("docs/policy.md", include_str!("../../../docs/policy.md"), 1),
        ] {
            let examples = blocks(text, "yaml");
            assert_eq!(examples.len(), count, "{name}");
            for example in examples {
                let policy = parse(name, example.as_bytes()).unwrap();
                assert_eq!(compile_all(&policy, &facts).1, Vec::<String>::new());
            }
        }
        let events = blocks(include_str!("../../../docs/events.md"), "json");
        assert_eq!(events.len(), 1);
        let event: Event = serde_json::from_str(events[0]).unwrap();
        assert_eq!(event.verdict.unwrap().action, Action::Deny);
    }

    #[test]
    fn test_refuses_an_agent_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let policy = dir.path().join("p.yaml");
        fs::write(&policy, POLICY).unwrap();
        let policy = parse("p.yaml", &fs::read(policy).unwrap()).unwrap();
        let facts = SessionFacts { home: b"/h".to_vec(), user: b"u".to_vec(), cwd: Vec::new() };
        let error = Replay::new(&policy, Some("codre"), facts).err().unwrap().to_string();
        assert_eq!(error, "p.yaml has no agent `codre`: it has coder");
    }
}
