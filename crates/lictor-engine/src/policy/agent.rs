// SPDX-License-Identifier: Apache-2.0
//! What a policy file says, after parsing: every list entry is well formed and knows its place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::glob::Glob;
use super::problem::Position;

/// Whether a denial takes place or is only recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Enforce,
    Monitor,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Enforce => "enforce",
            Mode::Monitor => "monitor",
        })
    }
}

/// What happens to an execution that no tier has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Undecided {
    /// It runs, and is judged beside.
    Allow,
    /// It waits before its first instruction until it is judged.
    Hold,
    /// It is refused; the next attempt gets the answer.
    Deny,
}

/// What `privileges:` can give back from the floor, as bits.
pub mod privilege {
    pub const PTRACE: u32 = 1;
    pub const MOUNT: u32 = 2;
    pub const USERNS: u32 = 4;
    pub const RAW_SOCKETS: u32 = 8;
    pub const BPF: u32 = 16;
    pub const PERF: u32 = 32;
    pub const KEYRING: u32 = 64;
    pub const MODULES: u32 = 128;

    /// Every name a policy may use, with its bit.
    pub const NAMES: [(&str, u32); 8] = [
        ("ptrace", PTRACE),
        ("mount", MOUNT),
        ("userns", USERNS),
        ("raw_sockets", RAW_SOCKETS),
        ("bpf", BPF),
        ("perf", PERF),
        ("keyring", KEYRING),
        ("modules", MODULES),
    ];
}

/// The lists of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListKind {
    ExecAllow,
    ExecDeny,
    ExecLibraries,
    FilesRead,
    FilesWrite,
    FilesDeny,
    FilesReadonly,
    NetworkConnect,
    NetworkListen,
    NetworkDeny,
    NetworkUnix,
}

impl ListKind {
    /// The key that leads to the list, as people write it.
    pub fn key(self) -> &'static str {
        match self {
            ListKind::ExecAllow => "exec.allow",
            ListKind::ExecDeny => "exec.deny",
            ListKind::ExecLibraries => "exec.libraries",
            ListKind::FilesRead => "files.read",
            ListKind::FilesWrite => "files.write",
            ListKind::FilesDeny => "files.deny",
            ListKind::FilesReadonly => "files.readonly",
            ListKind::NetworkConnect => "network.connect",
            ListKind::NetworkListen => "network.listen",
            ListKind::NetworkDeny => "network.deny",
            ListKind::NetworkUnix => "network.unix",
        }
    }

    /// Whether naming something here permits it (and so whether leaving it out forbids it).
    pub fn permits(self) -> bool {
        !matches!(self, ListKind::ExecDeny | ListKind::FilesDeny | ListKind::FilesReadonly | ListKind::NetworkDeny)
    }
}

/// A policy file that parsed: every agent stands alone, with what it extends already taken in.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    pub(super) file: Arc<str>,
    pub(super) agents: BTreeMap<String, Agent>,
}

impl PolicyFile {
    /// The name the file was parsed under.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The agent of that name, if the file has one.
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.get(name)
    }

    /// All agents, in the order of their names.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }
}

/// One agent: what its processes may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub(super) name: Arc<str>,
    pub(super) at: Position,
    pub(super) extends: Option<(String, Position)>,
    pub(super) mode: Option<Mode>,
    pub(super) undecided: Option<Undecided>,
    pub(super) anonymous: Option<bool>,
    pub(super) has_network: bool,
    pub(super) privileges: u32,
    pub(super) rules: Option<Vec<(String, Position)>>,
    pub(super) lists: BTreeMap<ListKind, List>,
}

impl Agent {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the agent's definition starts.
    pub fn position(&self) -> &Position {
        &self.at
    }

    pub fn mode(&self) -> Mode {
        self.mode.unwrap_or(Mode::Enforce)
    }

    pub fn undecided(&self) -> Undecided {
        self.undecided.unwrap_or(Undecided::Allow)
    }

    /// Whether a program with no file behind it may run.
    pub fn anonymous_allowed(&self) -> bool {
        self.anonymous.unwrap_or(false)
    }

    /// The [`privilege`] bits given back.
    pub fn privileges(&self) -> u32 {
        self.privileges
    }

    /// Ids of the rules that judge this agent, in which `*` stands for any run of characters, and where each is written.
    /// None when the policy does not say: then all rules do.
    pub fn rules(&self) -> Option<&[(String, Position)]> {
        self.rules.as_deref()
    }

    /// How many entries all lists have together.
    pub fn pattern_count(&self) -> usize {
        self.lists.values().map(|l| l.entries.len()).sum()
    }

    /// The texts of one list, or `None` when the policy does not have it.
    pub fn list(&self, kind: ListKind) -> Option<impl Iterator<Item = &str>> {
        self.lists.get(&kind).map(|l| l.entries.iter().map(|e| e.text.as_str()))
    }

    /// Takes in what this agent extends: lists are appended to the parent's, scalars win over it.
    pub(super) fn inherit(&mut self, parent: &Agent) {
        self.mode = self.mode.or(parent.mode);
        self.undecided = self.undecided.or(parent.undecided);
        self.anonymous = self.anonymous.or(parent.anonymous);
        self.has_network |= parent.has_network;
        self.privileges |= parent.privileges;
        self.rules = self.rules.take().or_else(|| parent.rules.clone());
        for (kind, inherited) in &parent.lists {
            match self.lists.get_mut(kind) {
                Some(own) => {
                    let mut entries = inherited.entries.clone();
                    entries.append(&mut own.entries);
                    own.entries = entries;
                }
                None => {
                    self.lists.insert(*kind, inherited.clone());
                }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub(super) at: Position,
    pub(super) entries: Vec<Entry>,
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The agent that wrote it, which is not the agent that uses it when it was inherited.
    pub(super) owner: Arc<str>,
    /// Its place in the list of its owner.
    pub(super) index: usize,
    pub(super) at: Position,
    pub(super) text: String,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Path(Glob),
    Hash([u8; 32]),
    Endpoint(Endpoint),
}
