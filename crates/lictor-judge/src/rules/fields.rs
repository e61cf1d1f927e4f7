// SPDX-License-Identifier: Apache-2.0
//! The fields of an event that a condition may name: the one table that the checker, the evaluator, the tests of rules
//! and the published list are made from.

use lictor_api::event::{Action, Event, FileOp, Kind, MemoryOp, NetworkOp, Parent, ProcessOp, Severity, Tier};

use crate::case::Basis;

/// A field and all that is said about it.
pub(crate) struct Field {
    /// As a condition writes it.
    pub(crate) path: &'static str,
    pub(crate) get: Get,
    /// Kinds whose events can have it.
    pub(crate) kinds: &'static [Kind],
    /// By what an answer that looked at it may be remembered.
    pub(crate) basis: Basis,
    pub(crate) about: &'static str,
}

/// How the field is taken from an event, which also fixes its type.
#[derive(Clone, Copy)]
pub(crate) enum Get {
    /// An absent text reads as `""`.
    Text(TextField),
    /// An absent number has no value: looking at it fails.
    Number(NumberField),
    /// An absent list reads as `[]`.
    Texts(TextsField),
    /// `process.ancestors`.
    Parents,
    /// `process.parent`; its fields follow it in the table.
    Parent,
    /// Only its fields and `has()` can be asked.
    Object(fn(&Event) -> bool),
}

macro_rules! text_fields {
    ($($variant:ident),+ $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum TextField { $($variant),+ }
        impl TextField {
            pub(crate) const COUNT: usize = [$(TextField::$variant),+].len();
        }
    };
}

text_fields! {
    Id, Time, Kind, Session, Agent, Exe, Cmdline, Cwd, Container, ContainerRuntime, Pod, PodNamespace, ExecPath, Sha256, Interpreter, FileOp, FilePath, FileTo,
    NetworkOp, Family, Protocol, Address, Domain, ProcessOp, MemoryOp, MemoryPath, PrivilegeOp, PrivilegeDetail,
    VerdictAction, VerdictTier, VerdictRule, VerdictReason, VerdictSeverity
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum NumberField {
    Pid,
    StartTime,
    Ppid,
    Uid,
    Gid,
    Port,
    Target,
    Code,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TextsField {
    Args,
    VerdictTags,
}

/// The fields of a parent or another ancestor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ParentField {
    Pid,
    Exe,
    Args,
    Cmdline,
}

impl ParentField {
    pub(crate) const ALL: [(&'static str, ParentField); 4] = [
        ("pid", ParentField::Pid),
        ("exe", ParentField::Exe),
        ("args", ParentField::Args),
        ("cmdline", ParentField::Cmdline),
    ];

    pub(crate) fn named(name: &str) -> Option<ParentField> {
        ParentField::ALL.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    pub(crate) fn is_known(self, parent: &Parent) -> bool {
        match self {
            ParentField::Pid => parent.pid.is_some(),
            ParentField::Exe => parent.exe.is_some(),
            ParentField::Args => parent.args.is_some(),
            ParentField::Cmdline => parent.cmdline.is_some(),
        }
    }

    /// The parent's program is part of what the kernel compares; everything else about it is not.
    pub(crate) fn basis(self) -> Basis {
        if self == ParentField::Exe { Basis::Invocation } else { Basis::Once }
    }
}

impl TextField {
    /// The text, when the event has it.
    pub(crate) fn get(self, event: &Event) -> Option<&str> {
        let process = &event.process;
        match self {
            TextField::Id => some(&event.id),
            TextField::Time => some(&event.time),
            TextField::Kind => Some(event.kind.as_str()),
            TextField::Session => event.session.as_deref(),
            TextField::Agent => event.agent.as_deref(),
            TextField::Exe => process.exe.as_deref(),
            TextField::Cmdline => process.cmdline.as_deref(),
            TextField::Cwd => process.cwd.as_deref(),
            TextField::Container => process.container.as_ref()?.id.as_deref(),
            TextField::ContainerRuntime => process.container.as_ref()?.runtime.as_deref(),
            TextField::Pod => process.container.as_ref()?.pod.as_deref(),
            TextField::PodNamespace => process.container.as_ref()?.namespace.as_deref(),
            TextField::ExecPath => event.exec.as_ref()?.path.as_deref(),
            TextField::Sha256 => event.exec.as_ref()?.sha256.as_deref(),
            TextField::Interpreter => event.exec.as_ref()?.interpreter.as_deref(),
            TextField::FileOp => Some(event.file.as_ref()?.op.as_str()),
            TextField::FilePath => event.file.as_ref()?.path.as_deref(),
            TextField::FileTo => event.file.as_ref()?.to.as_deref(),
            TextField::NetworkOp => Some(event.network.as_ref()?.op.as_str()),
            TextField::Family => event.network.as_ref()?.family.as_deref(),
            TextField::Protocol => event.network.as_ref()?.protocol.as_deref(),
            TextField::Address => event.network.as_ref()?.address.as_deref(),
            TextField::Domain => event.network.as_ref()?.domain.as_deref(),
            TextField::ProcessOp => Some(event.process_event.as_ref()?.op.as_str()),
            TextField::MemoryOp => Some(event.memory.as_ref()?.op.as_str()),
            TextField::MemoryPath => event.memory.as_ref()?.path.as_deref(),
            TextField::PrivilegeOp => Some(event.privilege.as_ref()?.op.as_str()),
            TextField::PrivilegeDetail => event.privilege.as_ref()?.detail.as_deref(),
            TextField::VerdictAction => Some(event.verdict.as_ref()?.action.as_str()),
            TextField::VerdictTier => Some(event.verdict.as_ref()?.tier.as_str()),
            TextField::VerdictRule => event.verdict.as_ref()?.rule.as_deref(),
            TextField::VerdictReason => event.verdict.as_ref()?.reason.as_deref(),
            TextField::VerdictSeverity => event.verdict.as_ref()?.severity.map(Severity::as_str),
        }
    }

    /// As in the table, which is too long to search in for each look.
    pub(crate) fn basis(self) -> Basis {
        match self {
            TextField::Kind | TextField::Agent | TextField::Exe => Object,
            TextField::ExecPath | TextField::Sha256 | TextField::Interpreter => Object,
            TextField::Cmdline | TextField::Cwd => Invocation,
            _ => Once,
        }
    }

    /// The words it can have, where the contract closes the set.
    pub(crate) fn words(self) -> Option<Vec<&'static str>> {
        fn of<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Option<Vec<&'static str>> {
            Some(all.iter().map(|value| word(*value)).collect())
        }
        match self {
            TextField::Kind => of(JUDGED, Kind::as_str),
            TextField::FileOp => of(FileOp::ALL, FileOp::as_str),
            TextField::NetworkOp => of(NetworkOp::ALL, NetworkOp::as_str),
            TextField::ProcessOp => of(ProcessOp::ALL, ProcessOp::as_str),
            TextField::MemoryOp => of(MemoryOp::ALL, MemoryOp::as_str),
            TextField::VerdictAction => of(Action::ALL, Action::as_str),
            TextField::VerdictTier => of(Tier::ALL, Tier::as_str),
            TextField::VerdictSeverity => of(Severity::ALL, Severity::as_str),
            _ => None,
        }
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl NumberField {
    /// The number, when the event has it.
    pub(crate) fn get(self, event: &Event) -> Option<i64> {
        let process = &event.process;
        match self {
            NumberField::Pid => process.pid.map(i64::from),
            // Nanoseconds since boot reach the sign after 292 years.
            NumberField::StartTime => process.start_time.and_then(|time| i64::try_from(time).ok()),
            NumberField::Ppid => process.ppid.map(i64::from),
            NumberField::Uid => process.uid.map(i64::from),
            NumberField::Gid => process.gid.map(i64::from),
            NumberField::Port => event.network.as_ref()?.port.map(i64::from),
            NumberField::Target => event.process_event.as_ref()?.target.map(i64::from),
            NumberField::Code => event.process_event.as_ref()?.code.map(i64::from),
        }
    }

    /// As in the table.
    pub(crate) fn basis(self) -> Basis {
        if self == NumberField::Uid { Invocation } else { Once }
    }

    pub(crate) fn path(self) -> &'static str {
        let found = FIELDS.iter().find(|field| matches!(field.get, Get::Number(number) if number == self));
        found.map_or("a number", |field| field.path)
    }
}

impl TextsField {
    pub(crate) fn get(self, event: &Event) -> Option<&[String]> {
        match self {
            TextsField::Args => event.process.args.as_deref(),
            TextsField::VerdictTags => Some(&event.verdict.as_ref()?.tags),
        }
    }
}

/// The kinds that are judged. `lost` is a report about events, not something that a process did.
pub(crate) const JUDGED: &[Kind] =
    &[Kind::Exec, Kind::File, Kind::Network, Kind::Process, Kind::Memory, Kind::Privilege];
const EXEC: &[Kind] = &[Kind::Exec];
const FILE: &[Kind] = &[Kind::File];
const NETWORK: &[Kind] = &[Kind::Network];
const PROCESS: &[Kind] = &[Kind::Process];
const MEMORY: &[Kind] = &[Kind::Memory];
const PRIVILEGE: &[Kind] = &[Kind::Privilege];

const fn field(path: &'static str, get: Get, kinds: &'static [Kind], basis: Basis, about: &'static str) -> Field {
    Field { path, get, kinds, basis, about }
}

use Basis::{Invocation, Object, Once};
use Get::{Number, Text};

/// Every field, in the order of the published list.
pub(crate) const FIELDS: &[Field] = &[
    field("kind", Text(TextField::Kind), JUDGED, Object, "what the event is about"),
    field("id", Text(TextField::Id), JUDGED, Once, "the event's ULID"),
    field("time", Text(TextField::Time), JUDGED, Once, "RFC 3339, UTC"),
    field("session", Text(TextField::Session), JUDGED, Once, "the session's id"),
    // A selection of rules belongs to an agent, so no answer is remembered across agents anyway.
    field("agent", Text(TextField::Agent), JUDGED, Object, "the agent's name in the policy"),
    field("process", Get::Object(|_| true), JUDGED, Object, "who acted; for `exec`, what the process becomes"),
    field("process.pid", Number(NumberField::Pid), JUDGED, Once, "process id"),
    field("process.start_time", Number(NumberField::StartTime), JUDGED, Once, "nanoseconds since boot"),
    field("process.ppid", Number(NumberField::Ppid), JUDGED, Once, "the parent's process id"),
    field("process.exe", Text(TextField::Exe), JUDGED, Object, "path of the program"),
    field("process.args", Get::Texts(TextsField::Args), JUDGED, Invocation, "the arguments, the program's name first"),
    field("process.cmdline", Text(TextField::Cmdline), JUDGED, Invocation, "the arguments joined by spaces"),
    field("process.cwd", Text(TextField::Cwd), JUDGED, Invocation, "working directory"),
    field("process.uid", Number(NumberField::Uid), JUDGED, Invocation, "user id"),
    field("process.gid", Number(NumberField::Gid), JUDGED, Once, "group id"),
    field("process.parent", Get::Parent, JUDGED, Invocation, "the process that started it"),
    field("process.ancestors", Get::Parents, JUDGED, Once, "the parent's parent and so on, nearest first"),
    field("process.container", Get::Object(|e| e.process.container.is_some()), JUDGED, Once, "the container it is in"),
    field("process.container.id", Text(TextField::Container), JUDGED, Once, "the container's id"),
    field(
        "process.container.runtime",
        Text(TextField::ContainerRuntime),
        JUDGED,
        Once,
        "what runs it: docker, podman ...",
    ),
    field("process.container.pod", Text(TextField::Pod), JUDGED, Once, "Kubernetes: the pod's name, or its uid"),
    field(
        "process.container.namespace",
        Text(TextField::PodNamespace),
        JUDGED,
        Once,
        "Kubernetes: the pod's namespace",
    ),
    field("exec", Get::Object(|e| e.exec.is_some()), EXEC, Object, "the execution"),
    field("exec.path", Text(TextField::ExecPath), EXEC, Object, "the executed file"),
    field("exec.sha256", Text(TextField::Sha256), EXEC, Object, "its content's SHA-256, 64 lower-case digits"),
    field("exec.interpreter", Text(TextField::Interpreter), EXEC, Object, "for a script: the program that reads it"),
    field("file", Get::Object(|e| e.file.is_some()), FILE, Once, "the file operation"),
    field("file.op", Text(TextField::FileOp), FILE, Once, "what is done to it"),
    field("file.path", Text(TextField::FilePath), FILE, Once, "the file"),
    field("file.to", Text(TextField::FileTo), FILE, Once, "the other end of a rename or link"),
    field("network", Get::Object(|e| e.network.is_some()), NETWORK, Once, "the socket operation"),
    field("network.op", Text(TextField::NetworkOp), NETWORK, Once, "what is done"),
    field("network.family", Text(TextField::Family), NETWORK, Once, "`inet`, `inet6`, `unix`, `netlink`, ..."),
    field("network.protocol", Text(TextField::Protocol), NETWORK, Once, "`tcp`, `udp`, or a number"),
    field("network.address", Text(TextField::Address), NETWORK, Once, "IP address, or a unix socket's path or `@name`"),
    field("network.port", Number(NumberField::Port), NETWORK, Once, "the port"),
    field("network.domain", Text(TextField::Domain), NETWORK, Once, "the name that was asked for"),
    field("process_event", Get::Object(|e| e.process_event.is_some()), PROCESS, Once, "what was done to a process"),
    field("process_event.op", Text(TextField::ProcessOp), PROCESS, Once, "what"),
    field("process_event.target", Number(NumberField::Target), PROCESS, Once, "the other process's id"),
    field("process_event.code", Number(NumberField::Code), PROCESS, Once, "signal, new user id, or exit status"),
    field("memory", Get::Object(|e| e.memory.is_some()), MEMORY, Once, "the mapping"),
    field("memory.op", Text(TextField::MemoryOp), MEMORY, Once, "what is made executable"),
    field("memory.path", Text(TextField::MemoryPath), MEMORY, Once, "the mapped file; absent for anonymous memory"),
    field("privilege", Get::Object(|e| e.privilege.is_some()), PRIVILEGE, Once, "the use of a privilege"),
    field("privilege.op", Text(TextField::PrivilegeOp), PRIVILEGE, Once, "`capability`, `module`, `mount`, `bpf`, ..."),
    field("privilege.detail", Text(TextField::PrivilegeDetail), PRIVILEGE, Once, "which one"),
];

/// What a filter over recorded events may name beside [`FIELDS`]: a rule is asked before there is a verdict.
pub(crate) const OF_VERDICT: &[Field] = &[
    field("verdict", Get::Object(|e| e.verdict.is_some()), JUDGED, Once, "what was decided"),
    field("verdict.action", Text(TextField::VerdictAction), JUDGED, Once, "`allow`, `deny`, `kill`, `hold`, `alert`"),
    field("verdict.tier", Text(TextField::VerdictTier), JUDGED, Once, "who decided"),
    field("verdict.rule", Text(TextField::VerdictRule), JUDGED, Once, "the entry or the rule"),
    field("verdict.reason", Text(TextField::VerdictReason), JUDGED, Once, "one sentence"),
    field("verdict.severity", Text(TextField::VerdictSeverity), JUDGED, Once, "`info` to `critical`"),
    field("verdict.tags", Get::Texts(TextsField::VerdictTags), JUDGED, Once, "techniques and labels"),
];

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// An event that is to be judged.
    Rule,
    /// A recorded event of any kind, with its verdict.
    Filter,
}

impl Scope {
    fn fields(self) -> impl Iterator<Item = &'static Field> {
        let more = if self == Scope::Filter { OF_VERDICT } else { &[] };
        FIELDS.iter().chain(more)
    }

    /// The field that a condition writes as `path`.
    pub(crate) fn named(self, path: &str) -> Option<&'static Field> {
        self.fields().find(|field| field.path == path)
    }

    /// The names that may follow `prefix.`; without a prefix, the first names of all fields.
    pub(crate) fn below(self, prefix: &str) -> Vec<&'static str> {
        if prefix == "process.parent" {
            return ParentField::ALL.iter().map(|(name, _)| *name).collect();
        }
        let rest = |path: &'static str| {
            let rest = if prefix.is_empty() { path } else { path.strip_prefix(prefix)?.strip_prefix('.')? };
            (!rest.contains('.')).then_some(rest)
        };
        self.fields().filter_map(|field| rest(field.path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_field_is_remembered_by_is_said_once() {
        for field in FIELDS {
            match field.get {
                Get::Text(get) => assert_eq!(get.basis(), field.basis, "{}", field.path),
                Get::Number(get) => assert_eq!(get.basis(), field.basis, "{}", field.path),
                Get::Texts(_) => assert_eq!(field.basis, Invocation, "the evaluator counts on it"),
                Get::Parents | Get::Parent | Get::Object(_) => {}
            }
        }
    }
}
