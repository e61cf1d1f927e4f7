// SPDX-License-Identifier: Apache-2.0
//! What a policy would have said of a recorded event. It judges by names: that a name was another one
//! for a denied object, the kernel knew when it happened and a recording does not tell.

use anyhow::{Context as _, bail};
use lictor_api::bytes::{escape, unescape};
use lictor_api::event::{Action, Event, File, FileOp, Memory, Network, NetworkOp, Tier, Verdict};
use lictor_engine::policy::{Access, Compiled, Decision, Limits, Mode, PolicyFile, Protocol, SessionFacts, Undecided};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The policy's answer, or why it has none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unjudged: Option<&'static str>,
}

/// Judges events one after the other; each agent and working directory is compiled once.
pub struct Replay<'a> {
    policy: &'a PolicyFile,
    agent: Option<&'a str>,
    facts: SessionFacts,
    /// The working directory each session began in, as far as it is recorded.
    directories: BTreeMap<Option<String>, Vec<u8>>,
    compiled: BTreeMap<(String, Vec<u8>), Compiled>,
}

impl<'a> Replay<'a> {
    /// `agent` judges every event when it is given. An empty `facts.cwd` is taken from the events.
    pub fn new(policy: &'a PolicyFile, agent: Option<&'a str>, facts: SessionFacts) -> anyhow::Result<Self> {
        if let Some(name) = agent.filter(|name| policy.agent(name).is_none()) {
            bail!("{} has no agent `{name}`: it has {}", policy.file(), names(policy));
        }
        Ok(Self { policy, agent, facts, directories: BTreeMap::new(), compiled: BTreeMap::new() })
    }

    pub fn judge(&mut self, event: &Event) -> anyhow::Result<Judgement> {
        let denied_below =
            event.is_denied() && event.verdict.as_ref().is_some_and(|verdict| is_below_policy(verdict.tier));
        if denied_below {
            return Ok(Judgement {
                verdict: None,
                unjudged: Some("denied by the floor or the heartbeat, whatever a list says"),
            });
        }
        let compiled = self.compiled_for(event)?;
        let monitors = compiled.flags.mode == Mode::Monitor;
        let verdict = |denied: bool, rule: &str, source: &str, reason: &str| Verdict {
            rule: Some(rule.to_owned()),
            source: Some(source.to_owned()),
            reason: Some(reason.to_owned()),
            enforced: (denied && monitors).then_some(false),
            ..Verdict::new(if denied { Action::Deny } else { Action::Allow }, Tier::Policy)
        };
        let verdict = match decided_by_scalar(compiled, event) {
            Scalar::None => match decide(compiled, event) {
                Some(decision) => {
                    let rule = decision.rule();
                    verdict(!decision.is_allowed(), &rule.rule, &rule.source, &rule.reason)
                }
                None => return Ok(Judgement { verdict: None, unjudged: Some("no list of a policy speaks of this") }),
            },
            Scalar::Decides { denied, rule, reason } => verdict(denied, rule, &compiled.source, reason),
            Scalar::Unknowable => {
                return Ok(Judgement { verdict: None, unjudged: Some("depends on what the kernel saw, not on names") });
            }
        };
        Ok(Judgement { verdict: Some(verdict), unjudged: None })
    }

    /// Whether denials of the event's agent are only recorded.
    pub fn monitors(&mut self, event: &Event) -> anyhow::Result<bool> {
        Ok(self.compiled_for(event)?.flags.mode == Mode::Monitor)
    }

    fn compiled_for(&mut self, event: &Event) -> anyhow::Result<&Compiled> {
        let named = self.agent.or(event.agent.as_deref()).and_then(|name| self.policy.agent(name));
        let mut agents = self.policy.agents();
        let agent = match (named, agents.next(), agents.next()) {
            (Some(agent), ..) | (None, Some(agent), None) => agent,
            _ => bail!(
                "the event's agent `{}` is not in {}: choose one with --agent: {}",
                event.agent.as_deref().unwrap_or("none"),
                self.policy.file(),
                names(self.policy)
            ),
        };
        let mut facts = self.facts.clone();
        if facts.cwd.is_empty() {
            let recorded = event.process.cwd.as_deref().map(unescape);
            facts.cwd = match self.directories.get(&event.session) {
                Some(directory) => directory.clone(),
                None => {
                    if let Some(directory) = &recorded {
                        self.directories.insert(event.session.clone(), directory.clone());
                    }
                    recorded.unwrap_or_else(|| b"/".to_vec())
                }
            };
        }
        let key = (agent.name().to_owned(), facts.cwd.clone());
        if !self.compiled.contains_key(&key) {
            let compiled = agent.compile(&facts, &[], Limits::default()).map_err(|problems| {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                anyhow::anyhow!("{}", lines.join("; "))
            })?;
            self.compiled.insert(key.clone(), compiled);
        }
        self.compiled.get(&key).with_context(|| format!("agent {} was not compiled", escape(key.0.as_bytes())))
    }
}

fn names(policy: &PolicyFile) -> String {
    policy.agents().map(|agent| agent.name()).collect::<Vec<_>>().join(", ")
}

fn is_below_policy(tier: Tier) -> bool {
    matches!(tier, Tier::Floor | Tier::Heartbeat)
}

/// What a recorded denial that no list entry made depends on.
enum Scalar {
    /// The lists decide.
    None,
    Decides {
        denied: bool,
        rule: &'static str,
        reason: &'static str,
    },
    /// Another name of an object, a move, a limit: a recording of names does not tell.
    Unknowable,
}

fn decided_by_scalar(compiled: &Compiled, event: &Event) -> Scalar {
    let recorded = event.verdict.as_ref().filter(|_| event.is_denied()).and_then(|verdict| verdict.rule.as_deref());
    match recorded {
        Some("exec.anonymous") => Scalar::Decides {
            denied: !compiled.flags.anonymous_allowed,
            rule: "exec.anonymous",
            reason: "exec.anonymous says whether a program with no file behind it may run",
        },
        Some("network") => Scalar::Decides {
            denied: compiled.flags.has_network,
            rule: "network",
            reason: "with a network section rare address families are closed",
        },
        // A program that no list forbids: the scalar has the last word.
        Some("undecided") if decide(compiled, event).is_none_or(|decision| decision.is_allowed()) => Scalar::Decides {
            denied: compiled.flags.undecided == Undecided::Deny,
            rule: "undecided",
            reason: "undecided says what happens to an execution that no tier has decided",
        },
        Some("policy.object" | "files.move" | "fail-closed") => Scalar::Unknowable,
        _ => Scalar::None,
    }
}

/// The first denial among everything the event needs, else the first permission.
fn decide(compiled: &Compiled, event: &Event) -> Option<Decision> {
    let mut decisions = Vec::new();
    if let Some(exec) = &event.exec {
        let hash = exec.sha256.as_deref().and_then(sha256);
        decisions.extend(exec.path.as_deref().map(|path| compiled.decide_exec(&unescape(path), hash.as_ref())));
        decisions.extend(exec.interpreter.as_deref().map(|path| compiled.decide_exec(&unescape(path), None)));
    } else if let Some(file) = &event.file {
        decide_file(compiled, file, &mut decisions);
    } else if let Some(network) = &event.network {
        decisions.extend(decide_network(compiled, network));
    } else if let Some(Memory { path: Some(path), .. }) = &event.memory {
        decisions.push(compiled.decide_library(&unescape(path)));
    }
    let denial = decisions.iter().position(|decision| !decision.is_allowed());
    let first = (!decisions.is_empty()).then_some(0);
    denial.or(first).map(|at| decisions.swap_remove(at))
}

fn decide_file(compiled: &Compiled, file: &File, decisions: &mut Vec<Decision>) {
    let access = match file.op {
        FileOp::Read => Access::Read,
        FileOp::Write | FileOp::Create | FileOp::Delete | FileOp::Rename | FileOp::Link | FileOp::Attributes => {
            Access::Write
        }
    };
    let (path, to) = (file.path.as_deref().map(unescape), file.to.as_deref().map(unescape));
    for path in [&path, &to].into_iter().flatten() {
        decisions.push(compiled.decide_file(access, path));
    }
    if let (Some(path), Some(to)) = (&path, &to) {
        // A new name must not make readable what was not.
        let old = compiled.decide_file(Access::Read, path);
        if !old.is_allowed() && compiled.decide_file(Access::Read, to).is_allowed() {
            decisions.push(old);
        }
    }
}

fn decide_network(compiled: &Compiled, network: &Network) -> Option<Decision> {
    let address = network.address.as_deref()?;
    if network.family.as_deref() == Some("unix") || address.starts_with(['/', '@']) {
        return Some(compiled.decide_unix(&unescape(address)));
    }
    let address: IpAddr = address.parse().ok()?;
    let protocol = match network.protocol.as_deref() {
        None | Some("tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        Some(_) => return None,
    };
    match network.op {
        NetworkOp::Connect | NetworkOp::Send => Some(compiled.decide_connect(address, network.port?, protocol)),
        NetworkOp::Listen => Some(compiled.decide_listen(address, network.port?, protocol)),
        NetworkOp::Accept | NetworkOp::Socket => None,
    }
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let (pairs, []) = digits.as_deref()?.as_chunks::<2>() else { return None };
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_engine::policy::parse;

    const POLICY: &str = r#"
version: 1
agents:
  a:
    exec:
      allow: ["/usr/bin/**", "sha256:ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB"]
    files:
      read: ["/srv/**"]
      write: ["/srv/**", "/x"]
    network:
      connect: ["10.0.0.0/8:443"]
      unix: ["/run/user/**"]
  m:
    mode: monitor
    files: { write: [] }
"#;

    fn check(agent: &str, event: &str, expected: &str) {
        let text = POLICY.replace("ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB", &"ab".repeat(32));
        let policy = parse("p.yaml", text.as_bytes()).unwrap();
        let facts = SessionFacts { home: b"/h".to_vec(), user: b"u".to_vec(), cwd: Vec::new() };
        let mut replay = Replay::new(&policy, Some(agent), facts).unwrap();
        let judgement = replay.judge(&serde_json::from_str(event).unwrap()).unwrap();
        let shown = match (judgement.verdict, judgement.unjudged) {
            (Some(verdict), _) => format!("{} {}", verdict.action, verdict.rule.unwrap_or_default()),
            (None, Some(why)) => format!("- {why}"),
            (None, None) => String::new(),
        };
        assert_eq!(shown, expected, "{event}");
    }

    #[test]
    fn events_are_judged_by_what_they_need() {
        let file = |op: &str, path: &str, to: &str| {
            let to = if to.is_empty() { String::new() } else { format!(r#","to":"{to}""#) };
            format!(r#"{{"kind":"file","file":{{"op":"{op}","path":"{path}"{to}}}}}"#)
        };
        check("a", &file("read", "/srv/x", ""), "allow a.files.read[0]");
        check("a", &file("read", "/etc/passwd", ""), "deny a.files.read");
        check("a", &file("delete", "/etc/passwd", ""), "deny a.files.write");
        check("a", &file("rename", "/srv/x", "/etc/x"), "deny a.files.write");
        check("a", &file("rename", "/x", "/srv/x"), "deny a.files.read");
        check("m", &file("write", "/etc/passwd", ""), "deny m.files.write");
        let exec = |object: &str| format!(r#"{{"kind":"exec","exec":{{{object}}}}}"#);
        check("a", &exec(r#""path":"/usr/bin/ls""#), "allow a.exec.allow[0]");
        check("a", &exec(&format!(r#""path":"/opt/x","sha256":"{}""#, "ab".repeat(32))), "allow a.exec.allow[1]");
        check("a", &exec(r#""path":"/opt/x","sha256":"ab""#), "deny a.exec.allow");
        check("a", &exec(r#""path":"/usr/bin/script","interpreter":"/opt/sh""#), "deny a.exec.allow");
        let network = |object: &str| format!(r#"{{"kind":"network","network":{{{object}}}}}"#);
        check("a", &network(r#""op":"connect","address":"::ffff:10.1.2.3","port":443"#), "allow a.network.connect[0]");
        check(
            "a",
            &network(r#""op":"send","protocol":"udp","address":"10.1.2.3","port":443"#),
            "deny a.network.connect",
        );
        check("a", &network(r#""op":"connect","family":"unix","address":"@abstract""#), "deny a.network.unix");
        check("a", r#"{"kind":"memory","memory":{"op":"map_exec","path":"/usr/bin/x"}}"#, "allow a.exec.libraries");
    }

    #[test]
    fn what_lists_do_not_decide_is_said_so() {
        check("a", r#"{"kind":"process","process_event":{"op":"fork"}}"#, "- no list of a policy speaks of this");
        check("a", r#"{"kind":"memory","memory":{"op":"map_exec"}}"#, "- no list of a policy speaks of this");
        check(
            "a",
            r#"{"kind":"file","file":{"op":"read","path":"/srv/x"},"verdict":{"action":"deny","tier":"floor"}}"#,
            "- denied by the floor or the heartbeat, whatever a list says",
        );
        check(
            "a",
            r#"{"kind":"file","file":{"op":"read","path":"/srv/x"},"verdict":{"action":"deny","tier":"policy","rule":"policy.object"}}"#,
            "- depends on what the kernel saw, not on names",
        );
    }

    #[test]
    fn scalars_decide_what_they_decided_when_it_was_recorded() {
        let denied = |rule: &str, object: &str| {
            format!(r#"{{{object},"verdict":{{"action":"deny","tier":"policy","rule":"{rule}"}}}}"#)
        };
        let exec = r#""kind":"exec","exec":{"path":"/usr/bin/x"}"#;
        check("a", &denied("exec.anonymous", exec), "deny exec.anonymous");
        check("a", &denied("undecided", exec), "allow undecided");
        let socket = r#""kind":"network","network":{"op":"socket","family":"21"}"#;
        check("a", &denied("network", socket), "deny network");
        check("m", &denied("network", socket), "allow network");
    }

    #[test]
    fn a_policy_of_several_agents_needs_to_know_which() {
        let policy = parse("p.yaml", b"version: 1\nagents:\n  a: {}\n  b: {}\n").unwrap();
        let facts = SessionFacts { home: b"/h".to_vec(), user: b"u".to_vec(), cwd: Vec::new() };
        let mut replay = Replay::new(&policy, None, facts).unwrap();
        let event: Event = serde_json::from_str(r#"{"kind":"exec","agent":"c"}"#).unwrap();
        let error = replay.judge(&event).unwrap_err().to_string();
        assert_eq!(error, "the event's agent `c` is not in p.yaml: choose one with --agent: a, b");
    }
}
