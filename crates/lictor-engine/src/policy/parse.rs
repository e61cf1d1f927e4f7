// SPDX-License-Identifier: Apache-2.0
//! The tree to agents. Goes on after a problem, so that one run shows them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::agent::{Agent, Entry, List, ListKind, Mode, PolicyFile, Undecided, What, privilege};
use super::endpoint::Endpoint;
use super::glob::{Glob, Space};
use super::problem::{Position, Problem, hint};
use super::profiles;
use crate::yaml::{self, Node, Value};

/// After this many problems the rest is not listed: nobody reads further, and a hostile file must not
/// make the answer bigger than itself.
const MAX_PROBLEMS: usize = 200;

/// Parses a policy. `file_name` is only used to say where something stands.
///
/// # Errors
/// Every problem of the text, in the order of the lines. A text with a problem gives no policy at all.
pub fn parse(file_name: &str, bytes: &[u8]) -> Result<PolicyFile, Vec<Problem>> {
    let file: Arc<str> = file_name.into();
    let root = yaml::read(&file, "a policy", bytes).map_err(|p| vec![p])?;
    let mut reader = Reader { problems: Vec::new() };
    let written = reader.file(&root);
    let agents = reader.resolve(&written);
    let mut problems = reader.problems;
    if problems.is_empty() {
        return Ok(PolicyFile { file, agents });
    }
    problems.sort_by_key(|p| (p.line, p.column));
    problems.dedup();
    if problems.len() > MAX_PROBLEMS {
        let more = problems.len() - MAX_PROBLEMS;
        problems.truncate(MAX_PROBLEMS);
        if let Some(last) = problems.last_mut() {
            last.message.push_str(&format!(" (and {more} more problems)"));
        }
    }
    Err(problems)
}

/// The keys of each mapping; the schema's test holds them against the published schema.
pub(super) mod keys {
    pub(in super::super) const FILE: [&str; 2] = ["version", "agents"];
    pub(in super::super) const AGENT: [&str; 8] =
        ["extends", "mode", "undecided", "exec", "files", "network", "privileges", "rules"];
    pub(in super::super) const EXEC: [&str; 4] = ["allow", "deny", "libraries", "anonymous"];
    pub(in super::super) const FILES: [&str; 4] = ["read", "write", "deny", "readonly"];
    pub(in super::super) const NETWORK: [&str; 4] = ["connect", "listen", "deny", "unix"];
}

struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn report(&mut self, at: &Position, message: impl Into<String>) {
        self.problems.push(at.problem(message));
    }

    fn file(&mut self, root: &Node) -> BTreeMap<String, Agent> {
        let mut agents = BTreeMap::new();
        let mut version = None;
        let mut seen_agents = false;
        for (key, name, value) in self.mapping(root, "the policy", &keys::FILE) {
            if name == "version" {
                version = Some(value);
            } else if name == "agents" {
                seen_agents = true;
                agents = self.agents(value, &key.at);
            }
        }
        match version.map(|v| (&v.value, &v.at)) {
            Some((Value::Integer(1), _)) => {}
            Some((Value::Integer(n), at)) => {
                self.report(at, format!("version {n} is not known: this Lictor reads version 1"));
            }
            Some((other, at)) => self.report(at, format!("`version` must be the number 1, not {}", other.kind())),
            None if matches!(root.value, Value::Mapping(_)) => {
                self.report(&root.at, "`version` is missing: write `version: 1` in the first line");
            }
            None => {}
        }
        if !seen_agents && matches!(root.value, Value::Mapping(_)) {
            self.report(&root.at, "`agents` is missing: a policy names at least one agent");
        }
        agents
    }

    fn agents(&mut self, node: &Node, at: &Position) -> BTreeMap<String, Agent> {
        let Value::Mapping(items) = &node.value else {
            self.report(&node.at, format!("`agents` must be a mapping of names to agents, not {}", node.value.kind()));
            return BTreeMap::new();
        };
        if items.is_empty() {
            self.report(at, "`agents` is empty: a policy names at least one agent");
        }
        let mut agents = BTreeMap::new();
        for (key, value) in items {
            let Value::String(name) = &key.value else {
                self.report(
                    &key.at,
                    format!("an agent's name must be text, not {}: put it in quotes", key.value.kind()),
                );
                continue;
            };
            let proper = name.len() <= 64
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            if !proper {
                self.report(
                    &key.at,
                    format!(
                        "`{}` is no name for an agent: letters, digits, `-`, `_` and `.`, at most 64",
                        name.escape_debug()
                    ),
                );
                continue;
            }
            let agent = self.agent(name, &key.at, value);
            agents.insert(name.clone(), agent);
        }
        agents
    }

    fn agent(&mut self, name: &str, at: &Position, node: &Node) -> Agent {
        let mut agent = Agent {
            name: name.into(),
            at: at.clone(),
            extends: None,
            mode: None,
            undecided: None,
            anonymous: None,
            has_network: false,
            privileges: 0,
            rules: None,
            lists: BTreeMap::new(),
        };
        for (_, key, value) in self.mapping(node, &format!("agent `{name}`"), &keys::AGENT) {
            match key {
                "extends" => agent.extends = self.text(value, "extends").map(|t| (t.to_owned(), value.at.clone())),
                "mode" => {
                    agent.mode = self.choice(value, "mode", &[("enforce", Mode::Enforce), ("monitor", Mode::Monitor)]);
                }
                "undecided" => {
                    let known = [("allow", Undecided::Allow), ("hold", Undecided::Hold), ("deny", Undecided::Deny)];
                    agent.undecided = self.choice(value, "undecided", &known);
                }
                "exec" => self.exec(&mut agent, value),
                "files" => self.files(&mut agent, value),
                "network" => self.network(&mut agent, value),
                "privileges" => agent.privileges = self.privileges(value),
                "rules" => agent.rules = Some(self.rules(value)),
                _ => {}
            }
        }
        agent
    }

    fn exec(&mut self, agent: &mut Agent, node: &Node) {
        for (_, key, value) in self.mapping(node, "exec", &keys::EXEC) {
            match key {
                "allow" => self.list(agent, ListKind::ExecAllow, value, program),
                "deny" => self.list(agent, ListKind::ExecDeny, value, program),
                "libraries" => self.list(agent, ListKind::ExecLibraries, value, path),
                _ => agent.anonymous = self.choice(value, "exec.anonymous", &[("deny", false), ("allow", true)]),
            }
        }
    }

    fn files(&mut self, agent: &mut Agent, node: &Node) {
        for (_, key, value) in self.mapping(node, "files", &keys::FILES) {
            let kind = match key {
                "read" => ListKind::FilesRead,
                "write" => ListKind::FilesWrite,
                "deny" => ListKind::FilesDeny,
                _ => ListKind::FilesReadonly,
            };
            self.list(agent, kind, value, path);
        }
    }

    fn network(&mut self, agent: &mut Agent, node: &Node) {
        agent.has_network = true;
        for (_, key, value) in self.mapping(node, "network", &keys::NETWORK) {
            let endpoint = |text: &str| Endpoint::parse(text).map(What::Endpoint);
            match key {
                "connect" => self.list(agent, ListKind::NetworkConnect, value, endpoint),
                "listen" => self.list(agent, ListKind::NetworkListen, value, endpoint),
                "deny" => self.list(agent, ListKind::NetworkDeny, value, endpoint),
                _ => {
                    self.list(agent, ListKind::NetworkUnix, value, |t| Glob::parse(t, Space::UnixNames).map(What::Path))
                }
            }
        }
    }

    fn privileges(&mut self, node: &Node) -> u32 {
        let mut bits = 0;
        for item in self.items(node, "privileges") {
            let Some(name) = self.text(item, "a privilege") else { continue };
            match privilege::NAMES.iter().find(|(known, _)| *known == name) {
                Some((_, bit)) => bits |= bit,
                None => {
                    let known: Vec<_> = privilege::NAMES.iter().map(|(n, _)| *n).collect();
                    let message = format!("unknown privilege `{}`{}", name.escape_debug(), hint(name, &known));
                    self.report(&item.at, message);
                }
            }
        }
        bits
    }

    /// Whether there is such a rule, only who has the rules can say.
    fn rules(&mut self, node: &Node) -> Vec<(String, Position)> {
        let mut globs = Vec::new();
        for item in self.items(node, "rules") {
            let Some(glob) = self.text(item, "a rule's id") else { continue };
            let proper = !glob.is_empty()
                && glob.len() <= 128
                && glob.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'*'));
            if proper {
                globs.push((glob.to_owned(), item.at.clone()));
            } else {
                let message = format!(
                    "`{}` is no id of a rule: letters, digits, `-`, `_` and `.`, and `*` for any run of them",
                    glob.escape_debug()
                );
                self.report(&item.at, message);
            }
        }
        globs
    }

    fn list(&mut self, agent: &mut Agent, kind: ListKind, node: &Node, parse: impl Fn(&str) -> Result<What, String>) {
        let mut entries = Vec::new();
        for (index, item) in self.items(node, kind.key()).iter().enumerate() {
            let text = match &item.value {
                Value::String(text) => text,
                Value::Mapping(_) => {
                    self.report(
                        &item.at,
                        format!("an entry of `{}` is text, not a mapping: put it in quotes", kind.key()),
                    );
                    continue;
                }
                other => {
                    let message =
                        format!("an entry of `{}` is text, not {}: put it in quotes", kind.key(), other.kind());
                    self.report(&item.at, message);
                    continue;
                }
            };
            match parse(text) {
                Ok(what) => {
                    let (owner, at) = (agent.name.clone(), item.at.clone());
                    entries.push(Entry { owner, index, at, text: text.clone(), what });
                }
                Err(message) => self.report(&item.at, format!("{}: {message}", kind.key())),
            }
        }
        agent.lists.insert(kind, List { at: node.at.clone(), entries });
    }

    /// The entries of a mapping whose keys are known; reports the rest.
    fn mapping<'a>(&mut self, node: &'a Node, what: &str, known: &[&str]) -> Vec<(&'a Node, &'a str, &'a Node)> {
        let items = match &node.value {
            Value::Mapping(items) => items,
            Value::Null => {
                self.report(&node.at, format!("{what} is empty: write its keys below it, or remove the line"));
                return Vec::new();
            }
            other => {
                self.report(&node.at, format!("{what} must be a mapping, not {}", other.kind()));
                return Vec::new();
            }
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
            Value::Null => {
                // Absent and empty mean opposite things, so nothing must not be taken for either.
                self.report(&node.at, format!("`{what}` is empty: write `[]` to permit nothing, or remove the line"));
                &[]
            }
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
        self.report(&node.at, format!("{what} must be text, not {}", node.value.kind()));
        None
    }

    fn choice<T: Copy>(&mut self, node: &Node, what: &str, known: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = known.iter().map(|(n, _)| *n).collect();
        let Value::String(text) = &node.value else {
            let message = format!("`{what}` must be {}, not {}", names.join(" or "), node.value.kind());
            self.report(&node.at, message);
            return None;
        };
        let found = known.iter().find(|(n, _)| n == text).map(|(_, v)| *v);
        if found.is_none() {
            self.report(&node.at, format!("`{what}` must be {}, not `{}`", names.join(" or "), text.escape_debug()));
        }
        found
    }

    /// Takes in what each agent extends and checks what only shows then.
    fn resolve(&mut self, written: &BTreeMap<String, Agent>) -> BTreeMap<String, Agent> {
        let mut resolved = BTreeMap::new();
        for (name, agent) in written {
            let mut whole = agent.clone();
            let mut chain = vec![name.as_str()];
            let mut next = agent.extends.as_ref();
            while let Some((parent, at)) = next {
                // An agent that extends its own name means the built-in profile of that name.
                let in_file = written.get(parent).filter(|_| chain.last() != Some(&parent.as_str()));
                if let Some(parent_agent) = in_file {
                    if parent == name {
                        self.report(at, format!("`extends` goes in a circle: {} -> {parent}", chain.join(" -> ")));
                        break;
                    }
                    // Runs into a circle that its own members report.
                    if chain.contains(&parent.as_str()) {
                        break;
                    }
                    chain.push(parent);
                    whole.inherit(parent_agent);
                    next = parent_agent.extends.as_ref();
                    continue;
                }
                match profiles::resolved(parent) {
                    Some(Ok(profile)) => whole.inherit(&profile),
                    Some(Err(mut problems)) => self.problems.append(&mut problems),
                    None => {
                        let known: Vec<_> =
                            written.keys().map(String::as_str).chain(profiles::BUILTIN.iter().copied()).collect();
                        let message = format!(
                            "there is neither an agent nor a built-in profile `{}`{}",
                            parent.escape_debug(),
                            hint(parent, &known)
                        );
                        self.report(at, message);
                    }
                }
                next = None;
            }
            self.check_effect(&whole);
            resolved.insert(name.clone(), whole);
        }
        resolved
    }

    /// An entry that permits what another forbids in the same words can never take effect.
    fn check_effect(&mut self, agent: &Agent) {
        use ListKind::{
            ExecAllow, ExecDeny, ExecLibraries, FilesDeny, FilesRead, FilesReadonly, FilesWrite, NetworkConnect,
            NetworkDeny, NetworkListen, NetworkUnix,
        };
        let beaten: [(ListKind, &[ListKind]); 4] = [
            (FilesDeny, &[FilesRead, FilesWrite, ExecAllow, ExecLibraries, NetworkUnix]),
            (ExecDeny, &[ExecAllow, ExecLibraries]),
            (FilesReadonly, &[FilesWrite]),
            (NetworkDeny, &[NetworkConnect, NetworkListen]),
        ];
        for (deny, allows) in beaten {
            let Some(denies) = agent.lists.get(&deny) else { continue };
            let by_text: BTreeMap<&str, &Entry> = denies.entries.iter().map(|e| (e.text.as_str(), e)).collect();
            for allow in allows {
                for entry in agent.lists.get(allow).map(|l| l.entries.as_slice()).unwrap_or_default() {
                    // What was inherited is only this agent's business where its own entry is in play.
                    let Some(stronger) = by_text.get(entry.text.as_str()) else { continue };
                    if entry.owner != agent.name && stronger.owner != agent.name {
                        continue;
                    }
                    let at = if entry.owner == agent.name { &entry.at } else { &stronger.at };
                    let message = format!(
                        "`{}` in {} can never take effect: {} at {} forbids it; remove one of the two",
                        entry.text.escape_debug(),
                        allow.key(),
                        deny.key(),
                        stronger.at
                    );
                    self.report(at, message);
                }
            }
        }
    }
}

fn path(text: &str) -> Result<What, String> {
    if text.starts_with("sha256:") {
        return Err("a hash names a program: it can only stand in exec.allow and exec.deny".into());
    }
    Glob::parse(text, Space::Paths).map(What::Path)
}

fn program(text: &str) -> Result<What, String> {
    let Some(digits) = text.strip_prefix("sha256:") else {
        return path(text);
    };
    let wrong = || format!("`sha256:` takes 64 hexadecimal digits, not `{}`", digits.escape_debug());
    if digits.len() != 64 {
        return Err(wrong());
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => *byte = u8::try_from(high << 4 | low).map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
    }
    Ok(What::Hash(hash))
}
