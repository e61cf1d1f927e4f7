// SPDX-License-Identifier: Apache-2.0
//! The decision in Rust, with its reason. The kernel program must say the same from the same tables.

use std::net::IpAddr;

use super::agent::ListKind;
use super::compile::{Compiled, CompiledEntry, Subject, right_of};
use super::endpoint::Protocol;
use super::network::Direction;
use super::problem::show;
use super::right;

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    Read,
    Write,
}

/// A decision and the line of the policy that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    Allow(RuleRef),
    Deny(RuleRef),
}

impl Decision {
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allow(_))
    }

    pub fn rule(&self) -> &RuleRef {
        match self {
            Decision::Allow(rule) | Decision::Deny(rule) => rule,
        }
    }
}

/// Where a decision stands in the policy, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRef {
    /// `coder.files.deny[1]` for an entry; `coder.files.write` for a list that does not name the object,
    /// or that is absent.
    pub rule: String,
    /// `FILE:LINE:COLUMN`.
    pub source: String,
    /// Why, in one sentence.
    pub reason: String,
    /// The line that would change the decision; empty where no policy can.
    pub fix: String,
}

impl Compiled {
    /// The [`right`]s the patterns give to `path` (or to `@name`).
    pub fn mask(&self, path: &[u8]) -> u8 {
        self.automaton.walk(path) as u8
    }

    /// Whether everything below `from` keeps what the patterns say when it is renamed to `to`.
    pub fn same_below(&self, from: &[u8], to: &[u8]) -> bool {
        let class = |path: &[u8]| self.automaton.walk(&[path, b"/"].concat()) >> 8;
        class(from) == class(to)
    }

    pub fn decide_file(&self, access: Access, path: &[u8]) -> Decision {
        let mask = self.mask(path);
        if mask & right::DENY != 0 {
            return Decision::Deny(self.why(right::DENY, path));
        }
        match access {
            Access::Write if mask & right::READONLY != 0 => Decision::Deny(self.why(right::READONLY, path)),
            Access::Write => self.by_list(self.flags.has_write, right::WRITE, mask, path),
            Access::Read => self.by_list(self.flags.has_read, right::READ, mask, path),
        }
    }

    /// `sha256` is the program's content, when it is known.
    pub fn decide_exec(&self, path: &[u8], sha256: Option<&[u8; 32]>) -> Decision {
        let mask = self.mask(path);
        if let Some(denied) = self.forbidden_program(mask, path) {
            return denied;
        }
        let hash_entry = |kind| self.entries.iter().find(|e| e.kind == kind && is_hash(e, sha256));
        if let Some(entry) = hash_entry(ListKind::ExecDeny) {
            return Decision::Deny(self.named(entry, &show(path)));
        }
        if let Some(entry) = hash_entry(ListKind::ExecAllow) {
            return Decision::Allow(self.named(entry, &show(path)));
        }
        self.by_list(self.flags.has_exec_allow, right::EXEC, mask, path)
    }

    /// A file mapped executable.
    pub fn decide_library(&self, path: &[u8]) -> Decision {
        let mask = self.mask(path);
        if let Some(denied) = self.forbidden_program(mask, path) {
            return denied;
        }
        if self.flags.has_libraries && mask & right::LIBRARY == 0 && mask & right::EXEC != 0 {
            return Decision::Allow(self.why(right::EXEC, path));
        }
        self.by_list(self.flags.has_libraries, right::LIBRARY, mask, path)
    }

    pub fn decide_connect(&self, address: IpAddr, port: u16, protocol: Protocol) -> Decision {
        self.decide_network(Direction::Connect, address, port, protocol)
    }

    pub fn decide_listen(&self, address: IpAddr, port: u16, protocol: Protocol) -> Decision {
        self.decide_network(Direction::Listen, address, port, protocol)
    }

    /// A socket's path, or `@name` for an abstract one.
    pub fn decide_unix(&self, name: &[u8]) -> Decision {
        let mask = self.mask(name);
        if mask & right::DENY != 0 {
            return Decision::Deny(self.why(right::DENY, name));
        }
        self.by_list(self.flags.has_unix, right::UNIX, mask, name)
    }

    /// The first entry that gives `right` (one bit) to `path`, or the list that does not name it.
    pub fn why(&self, right: u8, path: &[u8]) -> RuleRef {
        let of_right = |e: &&CompiledEntry| right_of(e.kind) == right || (e.at.is_none() && right == right::READONLY);
        if let Some(entry) = self.entries.iter().filter(of_right).find(|e| e.matches(path)) {
            return self.named(entry, &show(path));
        }
        self.unnamed(list_of(right), &show(path))
    }

    fn forbidden_program(&self, mask: u8, path: &[u8]) -> Option<Decision> {
        [right::DENY, right::EXEC_DENY]
            .into_iter()
            .find(|bit| mask & bit != 0)
            .map(|bit| Decision::Deny(self.why(bit, path)))
    }

    fn by_list(&self, present: bool, right: u8, mask: u8, path: &[u8]) -> Decision {
        if !present {
            return Decision::Allow(self.absent(list_of(right)));
        }
        let why = self.why(right, path);
        if mask & right != 0 { Decision::Allow(why) } else { Decision::Deny(why) }
    }

    fn decide_network(&self, direction: Direction, address: IpAddr, port: u16, protocol: Protocol) -> Decision {
        let (kind, present, checked) = match direction {
            Direction::Connect => (ListKind::NetworkConnect, self.flags.has_connect, self.flags.checks_connect()),
            Direction::Listen => (ListKind::NetworkListen, self.flags.has_listen, self.flags.checks_listen()),
        };
        if !checked {
            return Decision::Allow(self.absent(kind));
        }
        let address = address.to_canonical();
        let octets = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let object = endpoint_text(address, port, protocol);
        let named_by = |kind| {
            self.entries.iter().find(|e| {
                e.kind == kind && matches!(&e.what, Subject::Endpoint(p) if p.matches(address, port, protocol))
            })
        };
        if self.network.permits(direction, octets, port, protocol) {
            return Decision::Allow(match named_by(kind) {
                Some(entry) => self.named(entry, &object),
                None => self.absent(kind),
            });
        }
        let loopback = match address {
            IpAddr::V4(a) if a.is_unspecified() => Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
            IpAddr::V6(a) if a.is_unspecified() => Some(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)),
            _ => None,
        };
        let denied_by = |address| {
            self.entries.iter().find(|e| {
                e.kind == ListKind::NetworkDeny
                    && matches!(&e.what, Subject::Endpoint(p) if p.matches(address, port, protocol))
            })
        };
        if let Some(entry) = denied_by(address).or_else(|| loopback.and_then(denied_by)) {
            return Decision::Deny(self.named(entry, &object));
        }
        debug_assert!(present);
        Decision::Deny(self.unnamed(kind, &object))
    }

    /// An entry names the object.
    fn named(&self, entry: &CompiledEntry, object: &str) -> RuleRef {
        let Some(at) = &entry.at else {
            return RuleRef {
                rule: entry.rule.clone(),
                source: "lictor".into(),
                reason: format!("`{object}` belongs to Lictor itself"),
                fix: String::new(),
            };
        };
        let (verb, key) = (verb(entry.kind), entry.kind.key());
        let owner = entry.rule.split(&format!(".{key}[")).next().unwrap_or_default();
        let fix = match (entry.kind.permits(), at.file.strip_prefix("builtin:")) {
            (true, _) => format!("agents.{}.files.deny: add {}", self.agent, quoted(object)),
            (false, None) => format!("agents.{owner}.{key}: remove {} ({at})", quoted(&entry.text)),
            (false, Some(profile)) => format!(
                "the built-in profile `{profile}` forbids it: give `{}` lists of its own instead of `extends`, without {}",
                self.agent,
                quoted(&entry.text)
            ),
        };
        let fix = match entry.kind {
            ListKind::NetworkConnect | ListKind::NetworkListen => {
                format!("agents.{}.network.deny: add {}", self.agent, quoted(object))
            }
            ListKind::ExecAllow | ListKind::ExecLibraries => {
                format!("agents.{}.exec.deny: add {}", self.agent, quoted(object))
            }
            _ => fix,
        };
        RuleRef {
            rule: entry.rule.clone(),
            source: at.to_string(),
            reason: format!("{key} {verb} `{}`, which matches `{object}`", entry.text.escape_debug()),
            fix,
        }
    }

    /// The list is there and does not name the object.
    fn unnamed(&self, kind: ListKind, object: &str) -> RuleRef {
        let key = kind.key();
        RuleRef {
            rule: format!("{}.{key}", self.agent),
            source: self.list_source(kind),
            reason: format!("`{object}` is not named by {key}"),
            fix: format!("agents.{}.{key}: add {}", self.agent, quoted(object)),
        }
    }

    /// The list is not there, so its subject is unrestricted.
    fn absent(&self, kind: ListKind) -> RuleRef {
        let key = kind.key();
        RuleRef {
            rule: format!("{}.{key}", self.agent),
            source: self.list_source(kind),
            reason: format!("the policy has no {key}, so it is unrestricted"),
            fix: format!("agents.{}.{key}: a list of what is permitted", self.agent),
        }
    }

    fn list_source(&self, kind: ListKind) -> String {
        let list = self.lists.iter().find(|(k, _)| *k == kind);
        list.map_or_else(|| self.source.clone(), |(_, at)| at.to_string())
    }
}

fn list_of(right: u8) -> ListKind {
    match right {
        right::READ => ListKind::FilesRead,
        right::WRITE => ListKind::FilesWrite,
        right::EXEC => ListKind::ExecAllow,
        right::EXEC_DENY => ListKind::ExecDeny,
        right::LIBRARY => ListKind::ExecLibraries,
        right::UNIX => ListKind::NetworkUnix,
        right::READONLY => ListKind::FilesReadonly,
        _ => ListKind::FilesDeny,
    }
}

fn verb(kind: ListKind) -> &'static str {
    match kind {
        _ if kind.permits() => "permits",
        ListKind::FilesReadonly => "protects",
        _ => "forbids",
    }
}

fn is_hash(entry: &CompiledEntry, sha256: Option<&[u8; 32]>) -> bool {
    matches!((&entry.what, sha256), (Subject::Hash(ours), Some(theirs)) if ours == theirs)
}

/// As it would be written into the policy, with glob characters escaped.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn endpoint_text(address: IpAddr, port: u16, protocol: Protocol) -> String {
    let suffix = if protocol == Protocol::Udp { "/udp" } else { "" };
    match address {
        IpAddr::V4(a) => format!("{a}:{port}{suffix}"),
        IpAddr::V6(a) => format!("[{a}]:{port}{suffix}"),
    }
}
