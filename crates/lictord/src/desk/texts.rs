// SPDX-License-Identifier: Apache-2.0
//! Policy and rules as texts: read, checked, tried on events, replaced. A text with a problem replaces nothing.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lictor_api::event::{Action, Event, Tier};
use lictor_api::view::{
    DryRunResult, PolicyDiff, PolicyView, Problems, Profile, RuleDetail, RuleMatch, RuleRow, RuleState, RuleText,
    TextFile, TextProblem, WouldChange,
};
use lictor_engine::policy::{self, BUILTIN, PolicyFile, Problem, SessionFacts};
use lictor_http::Fault;
use lictor_judge::counters::RuleCounts;
use lictor_judge::rules::{self, Act, Rule, RuleSet, State};
use sha2::{Digest as _, Sha256};

use super::views::place;
use crate::replay::Replay;

/// Events that are told of at the most.
const CHANGES: usize = 1000;
/// The name that problems of a text are told under.
const SENT: &str = "sent.yaml";

pub(super) struct Texts {
    policy: PathBuf,
    rules: PathBuf,
    /// One change at a time: what is compared is what is replaced.
    changing: Mutex<()>,
}

fn etag(text: &[u8]) -> String {
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Fault {
    let what = format!("cannot {what} {}", path.display());
    move |error| Fault::Failed(format!("{what}: {error}"))
}

/// The text of a file; empty when there is none.
fn read(path: &Path) -> Result<Option<String>, Fault> {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Fault::Failed(format!("{} is no text in UTF-8", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Replaces a file as a whole, with the owner and mode that it has.
fn replace(path: &Path, text: &str) -> Result<(), Fault> {
    let old = fs::metadata(path).ok();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Hidden: nobody who reads the folder takes it for one of its files.
    let new = path.with_file_name(format!(".{name}.new"));
    let _leftover = fs::remove_file(&new);
    let write = || -> io::Result<()> {
        let mode = old.as_ref().map_or(0o640, |old| old.mode() & 0o777);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        if let Some(old) = &old {
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(failed("write", path))
}

fn told(problems: &[Problem], file: &str) -> Problems {
    let problem = |problem: &Problem| TextProblem {
        line: problem.line,
        column: problem.column,
        message: if problem.file == file { problem.message.clone() } else { problem.to_string() },
    };
    Problems { problems: problems.iter().map(problem).collect() }
}

pub(super) fn check_rules(text: &str) -> Problems {
    match rules::parse(&[(SENT.to_owned(), text.as_bytes().to_vec())]) {
        Ok(_) => Problems::default(),
        Err(problems) => told(&problems, SENT),
    }
}

pub(super) fn dry_run(text: &str, events: &[Event], limit: usize) -> Result<DryRunResult, Fault> {
    let set = rules::parse(&[(SENT.to_owned(), text.as_bytes().to_vec())])
        .map_err(|problems| Fault::Problems(told(&problems, SENT)))?;
    let mut result = DryRunResult { events: events.len() as u64, ..DryRunResult::default() };
    for event in events {
        let mut strictest = None;
        for rule in set.rules().iter().filter(|rule| rule.kinds.contains(&event.kind)) {
            // A condition that fails counts as a match for what denies, and is none for the rest.
            let holds = rule.holds(event).unwrap_or(rule.action == Act::Deny);
            if !holds {
                continue;
            }
            if result.matches.len() < limit {
                let (event, rule, action) = (event.id.clone(), rule.id.clone(), rule.action.to_string());
                result.matches.push(RuleMatch { rule, event, action });
            }
            strictest = strictest.max(match rule.action {
                Act::Deny => Some(Action::Kill),
                Act::Alert => Some(Action::Allow),
                Act::Allow | Act::Escalate => None,
            });
        }
        // What the kernel denied stays denied, whatever rules say.
        let before = event.verdict.as_ref().map(|verdict| verdict.action);
        let after = match strictest {
            Some(Action::Kill) if !event.is_denied() => Some(Action::Deny),
            Some(Action::Allow) if before.is_none_or(|before| before == Action::Allow) => Some(Action::Alert),
            _ => None,
        };
        if let Some(after) = after
            && result.changed.len() < limit
        {
            result.changed.push(WouldChange { event: event.id.clone(), before, after });
        }
    }
    Ok(result)
}

pub(super) fn profiles() -> Vec<Profile> {
    let profile = |name: &&str| Some(Profile { name: (*name).to_owned(), text: policy::builtin(name)?.to_owned() });
    BUILTIN.iter().filter_map(profile).collect()
}

/// A file's name and its bytes.
type NamedText = (String, Vec<u8>);

impl Texts {
    pub(super) fn new(policy: PathBuf, rules: PathBuf) -> Texts {
        Texts { policy, rules, changing: Mutex::new(()) }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn policy_name(&self) -> String {
        self.policy.display().to_string()
    }

    pub(super) fn policy(&self, epoch: u64) -> Result<PolicyView, Fault> {
        let text = read(&self.policy)?;
        let names = |file: &PolicyFile| file.agents().map(|agent| agent.name().to_owned()).collect();
        let (file, agents) = match &text {
            // A file with problems is not in force, and is shown all the same: somebody has to mend it.
            Some(text) => (
                self.policy_name(),
                policy::parse(&self.policy_name(), text.as_bytes()).map_or_else(|_| Vec::new(), |file| names(&file)),
            ),
            None => ("built-in".to_owned(), BUILTIN.iter().map(|name| (*name).to_owned()).collect()),
        };
        let text = text.unwrap_or_default();
        Ok(PolicyView { file, epoch, agents, etag: etag(text.as_bytes()), text })
    }

    pub(super) fn check_policy(&self, text: &str) -> Problems {
        let name = self.policy_name();
        match policy::parse(&name, text.as_bytes()) {
            Ok(_) => Problems::default(),
            Err(problems) => told(&problems, &name),
        }
    }

    fn parsed(&self, text: &str) -> Result<PolicyFile, Fault> {
        let name = self.policy_name();
        policy::parse(&name, text.as_bytes()).map_err(|problems| Fault::Problems(told(&problems, &name)))
    }

    /// `events`: newest first.
    pub(super) fn diff_policy(&self, text: &str, events: &[Event]) -> Result<PolicyDiff, Fault> {
        let policy = self.parsed(text)?;
        let old = read(&self.policy)?.unwrap_or_default();
        let diff = similar::TextDiff::from_lines(old.as_str(), text);
        let diff = diff.unified_diff().context_radius(3).header("in force", "sent").to_string();
        // Whose home and name, a recording does not tell.
        let facts = SessionFacts { home: b"/root".to_vec(), user: b"root".to_vec(), cwd: Vec::new() };
        let fail = |error: anyhow::Error| Fault::Failed(format!("{error:#}"));
        let mut replay = Replay::new(&policy, None, facts).map_err(fail)?;
        let mut would_change = Vec::new();
        // The first events of a session tell its directory.
        for event in events.iter().rev() {
            // What tiers above the policy denied, and what an agent that is not in it did, it does not change.
            let of_policy =
                event.verdict.as_ref().is_none_or(|it| it.tier == Tier::Policy || it.action == Action::Allow);
            let known = event.agent.as_deref().is_some_and(|agent| policy.agent(agent).is_some());
            if !of_policy || !known {
                continue;
            }
            let Ok(judgement) = replay.judge(event) else { continue };
            let Some(after) = judgement.verdict else { continue };
            if event.is_denied() != (after.action == Action::Deny) && would_change.len() < CHANGES {
                let before = event.verdict.as_ref().map(|verdict| verdict.action);
                would_change.push(WouldChange { event: event.id.clone(), before, after: after.action });
            }
        }
        Ok(PolicyDiff { diff, would_change, events: events.len() as u64 })
    }

    pub(super) fn put_policy(
        &self,
        text: &str,
        wanted: &str,
        reload: impl Fn() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.parsed(text)?;
        let _one = self.lock();
        let old = read(&self.policy)?;
        same(wanted, old.as_deref())?;
        self.swap(&self.policy, old.as_deref(), text, reload)
    }

    /// Writes `text` and has it put into force; puts `old` back when that does not work.
    fn swap(
        &self,
        path: &Path,
        old: Option<&str>,
        text: &str,
        reload: impl Fn() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        replace(path, text)?;
        let Err(fault) = reload() else { return Ok(()) };
        match old {
            Some(old) => replace(path, old)?,
            None => fs::remove_file(path).map_err(failed("remove", path))?,
        }
        // The one before was in force a moment ago.
        if let Err(again) = reload() {
            tracing::error!("{} was put back, and is not in force: {again}", path.display());
        }
        Err(fault)
    }

    fn set(&self) -> Result<(Vec<NamedText>, RuleSet), Fault> {
        if !self.rules.exists() {
            return Ok((Vec::new(), RuleSet::default()));
        }
        let fail = |problems: Vec<Problem>| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Fault::Conflict(format!("the rules on disk have problems: {}", lines.join("; ")))
        };
        let files = rules::read(&self.rules).map_err(fail)?;
        let set = rules::parse(&files).map_err(fail)?;
        Ok((files, set))
    }

    pub(super) fn rules(&self, counts: &[(String, RuleCounts)]) -> Result<Vec<RuleRow>, Fault> {
        let (_, set) = self.set()?;
        let counts: HashMap<&str, &RuleCounts> = counts.iter().map(|(id, counts)| (id.as_str(), counts)).collect();
        Ok(set.rules().iter().map(|rule| row(rule, counts.get(rule.id.as_str()).copied())).collect())
    }

    pub(super) fn rule(&self, id: &str, counts: &[(String, RuleCounts)]) -> Result<RuleDetail, Fault> {
        let (files, set) = self.set()?;
        let no_rule = || Fault::NotFound(format!("there is no rule {}", id.escape_debug()));
        let rule = set.rule(id).ok_or_else(no_rule)?;
        let counts = counts.iter().find(|(other, _)| other == id).map(|(_, counts)| counts);
        Ok(RuleDetail {
            row: row(rule, counts),
            text: rule_text(&files, &set, rule),
            condition: rule.condition.clone(),
        })
    }

    pub(super) fn set_rule_state(
        &self,
        id: &str,
        state: RuleState,
        reload: impl Fn() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let _one = self.lock();
        self.rule(id, &[])?;
        let state = match state {
            RuleState::Draft => State::Draft,
            RuleState::Testing => State::Testing,
            RuleState::Active => State::Active,
        };
        rules::set_state(&self.rules, id, state).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Fault::Conflict(lines.join("; "))
        })?;
        reload()
    }

    pub(super) fn rule_files(&self) -> Result<Vec<TextFile>, Fault> {
        if !self.rules.exists() {
            return Ok(Vec::new());
        }
        let files = rules::read(&self.rules).map_err(|problems| {
            Fault::Conflict(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        files.into_iter().map(|(name, bytes)| text_file(&short(&name), bytes)).collect()
    }

    pub(super) fn rule_file(&self, name: &str) -> Result<TextFile, Fault> {
        let path = self.rule_path(name)?;
        let no_file = || Fault::NotFound(format!("there is no file of rules {}", name.escape_debug()));
        let text = read(&path)?.ok_or_else(no_file)?;
        text_file(name, text.into_bytes())
    }

    /// A name is one of a file in the directory of rules, and nothing else.
    fn rule_path(&self, name: &str) -> Result<PathBuf, Fault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.starts_with('.') || !name.ends_with(".yaml") || name.len() > 200 || !name.chars().all(plain) {
            return Err(Fault::Invalid(
                "a file of rules is named with letters, digits, `-`, `_` and `.`, and ends in `.yaml`".into(),
            ));
        }
        Ok(self.rules.join(name))
    }

    pub(super) fn put_rule_file(
        &self,
        name: &str,
        text: &str,
        wanted: &str,
        reload: impl Fn() -> Result<(), Fault>,
    ) -> Result<TextFile, Fault> {
        let path = self.rule_path(name)?;
        let _one = self.lock();
        let old = read(&path)?;
        same(wanted, old.as_deref())?;
        // All files together: two rules of one id are a problem of neither alone.
        let mut files = if self.rules.exists() { rules::read(&self.rules).unwrap_or_default() } else { Vec::new() };
        files.retain(|(other, _)| short(other) != name);
        files.push((name.to_owned(), text.as_bytes().to_vec()));
        files.sort();
        rules::parse(&files).map_err(|problems| Fault::Problems(told(&problems, name)))?;
        fs::create_dir_all(&self.rules).map_err(failed("make", &self.rules))?;
        self.swap(&path, old.as_deref(), text, reload)?;
        text_file(name, text.as_bytes().to_vec())
    }

    /// The line that a source names, for a policy the line, for a rule the whole rule. Only of the texts that are kept
    /// here: an event may name any file.
    pub(super) fn at(&self, source: &str) -> Option<RuleText> {
        let (file, line) = place(source)?;
        let text = match file.strip_prefix("builtin:") {
            Some(profile) => policy::builtin(profile)?.to_owned(),
            None if Path::new(file) == self.policy => read(&self.policy).ok().flatten()?,
            None => {
                let (files, set) = self.set().ok()?;
                let rule = set.rules().iter().find(|rule| rule.source == source)?;
                let text = rule_text(&files, &set, rule);
                return Some(RuleText { file: file.to_owned(), line, text });
            }
        };
        let at = usize::try_from(line).ok()?.checked_sub(1)?;
        Some(RuleText { file: file.to_owned(), line, text: text.lines().nth(at)?.to_owned() })
    }
}

fn same(wanted: &str, now: Option<&str>) -> Result<(), Fault> {
    let fits = match now {
        Some(text) => wanted == etag(text.as_bytes()),
        None => wanted == "*" || wanted == etag(b""),
    };
    if fits { Ok(()) } else { Err(Fault::Changed("this is not what is there now".into())) }
}

fn text_file(name: &str, bytes: Vec<u8>) -> Result<TextFile, Fault> {
    let text = String::from_utf8(bytes).map_err(|_| Fault::Failed(format!("{name} is no text in UTF-8")))?;
    Ok(TextFile { name: name.to_owned(), etag: etag(text.as_bytes()), text })
}

fn short(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

fn row(rule: &Rule, counts: Option<&RuleCounts>) -> RuleRow {
    let nothing = RuleCounts::default();
    let counts = counts.unwrap_or(&nothing);
    RuleRow {
        id: rule.id.clone(),
        description: rule.description.clone(),
        state: match rule.state {
            State::Draft => RuleState::Draft,
            State::Testing => RuleState::Testing,
            State::Active => RuleState::Active,
        },
        severity: rule.severity,
        kinds: rule.kinds.clone(),
        action: rule.action.to_string(),
        tags: rule.tags.clone(),
        file: short(&rule.at.file),
        line: rule.at.line,
        hits: counts.hits,
        last_hit: counts.last_hit.clone(),
        sessions: counts.sessions,
        users: counts.users,
        programs: counts.programs,
    }
}

/// A rule as it is written: from its line to the next rule's, without what stands empty before that.
fn rule_text(files: &[(String, Vec<u8>)], set: &RuleSet, rule: &Rule) -> String {
    let Some((_, bytes)) = files.iter().find(|(name, _)| **name == *rule.at.file) else { return String::new() };
    let text = String::from_utf8_lossy(bytes);
    let next = set.rules().iter().filter(|other| other.at.file == rule.at.file && other.at.line > rule.at.line);
    let next = next.map(|other| other.at.line).min().unwrap_or(u32::MAX);
    let lines = text.lines().skip(rule.at.line.saturating_sub(1) as usize).take((next - rule.at.line) as usize);
    let mut lines: Vec<&str> = lines.collect();
    while lines.last().is_some_and(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        lines.pop();
    }
    let indent = lines.first().map_or(0, |line| line.len() - line.trim_start().len());
    lines.iter().map(|line| line.get(indent..).unwrap_or(line.trim_start())).collect::<Vec<_>>().join("\n") + "\n"
}
