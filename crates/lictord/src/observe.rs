// SPDX-License-Identifier: Apache-2.0
//! What the kernel reported, as an event that a person can read: who, what, when, by which rule.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;

use lictor_api::bytes::escape;
use lictor_api::event::{
    Action, Container, Event, Exec, File, FileOp, Kind, Memory, MemoryOp, Network, NetworkOp, Parent, Privilege,
    Process, ProcessEvent, ProcessOp, Tier, Verdict,
};
use lictor_bpf::{RawEvent, abi, abi::why};
use lictor_engine::policy::{Access, Compiled, Decision, Protocol, RuleRef};
use lictor_engine::process::{ProcessFacts, ProcessKey, ProcessTree};

/// What the session adds to an event.
pub(crate) struct Context<'a> {
    pub(crate) session: String,
    pub(crate) agent: &'a str,
    pub(crate) container: Option<&'a Container>,
    pub(crate) compiled: &'a Compiled,
    /// Answers already found: whoever is denied tends to try again, and finding the line asks every pattern.
    pub(crate) answers: &'a RefCell<Answers>,
}

type Question = (u32, u32, u32, Vec<u8>, Vec<u8>, Option<IpAddr>, u16, u32);
pub(crate) type Answers = HashMap<Question, Option<RuleRef>>;
const ANSWERS_KEPT: usize = 1024;

/// Takes the raw event into the tree, and gives it words. `None`: it only concerned the tree.
pub(crate) fn observe(
    raw: &RawEvent,
    tree: &mut ProcessTree,
    context: Option<&Context<'_>>,
    time: String,
) -> Option<Event> {
    let key = ProcessKey { pid: raw.pid, start_ns: raw.start_ns };
    let exits = raw.kind == abi::kind::PROCESS && raw.op == abi::process_op::EXIT;
    // Its last threads may end at once, and each be told of as the last.
    if exits && tree.has_exited(key) {
        return None;
    }
    // An end that is told late does not know the parent any more.
    let ppid = if raw.ppid == 0 { tree.get(key).map_or(0, |facts| facts.ppid) } else { raw.ppid };
    tree.seen(key, raw.session, ppid, raw.uid, raw.gid);
    if raw.denied {
        tree.denied(key);
    }
    if raw.kind == abi::kind::EXEC && raw.op == abi::exec_op::SCRIPT && !(raw.denied && raw.enforced) {
        tree.script(key, &raw.path);
        if !raw.denied {
            return None;
        }
    }
    let mut script = None;
    // By then the program is in place, whatever becomes of it.
    let late = matches!(raw.reason, why::VERDICT | why::TRACED | why::INTERNAL) && raw.judged != abi::judged::NOT;
    if raw.kind == abi::kind::EXEC && (!raw.denied || late) {
        script = tree.take_script(key).filter(|_| raw.op == abi::exec_op::INTERPRETED);
        tree.executed(key, &raw.path, &raw.args, (!raw.path2.is_empty()).then_some(&raw.path2));
    }
    let kind = match raw.kind {
        abi::kind::EXEC => Kind::Exec,
        abi::kind::FILE => Kind::File,
        abi::kind::NETWORK => Kind::Network,
        abi::kind::PROCESS => Kind::Process,
        abi::kind::MEMORY => Kind::Memory,
        abi::kind::PRIVILEGE => Kind::Privilege,
        _ => return None,
    };
    let mut event = Event::new(kind, ulid::Ulid::new().to_string(), time);
    event.session = context.map(|context| context.session.clone());
    event.agent = context.map(|context| context.agent.to_owned());
    event.process = process_of(key, ppid, raw.uid, raw.gid, tree, raw.kind == abi::kind::EXEC);
    event.process.container = context.and_then(|context| context.container.cloned());
    match kind {
        Kind::Exec => {
            event.exec = Some(Exec {
                path: text(script.as_ref().unwrap_or(&raw.path)),
                sha256: hash(raw, context).map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect()),
                interpreter: script.as_ref().and_then(|_| text(&raw.path)),
                args: if raw.denied { raw.args.iter().map(|arg| escape(arg)).collect() } else { Vec::new() },
            });
        }
        Kind::File => {
            let op = match raw.op {
                abi::file_op::READ => FileOp::Read,
                abi::file_op::WRITE => FileOp::Write,
                abi::file_op::CREATE => FileOp::Create,
                abi::file_op::DELETE => FileOp::Delete,
                abi::file_op::RENAME => FileOp::Rename,
                abi::file_op::LINK => FileOp::Link,
                _ => FileOp::Attributes,
            };
            event.file = Some(File { op, path: text(&raw.path), to: text(&raw.path2) });
        }
        Kind::Network => event.network = Some(network(raw)),
        Kind::Process => {
            let op = match raw.op {
                abi::process_op::FORK => ProcessOp::Fork,
                abi::process_op::EXIT => ProcessOp::Exit,
                abi::process_op::SIGNAL => ProcessOp::Signal,
                abi::process_op::TRACE => ProcessOp::Trace,
                _ => ProcessOp::Setuid,
            };
            let (target, code) = match op {
                ProcessOp::Fork => (Some(raw.detail2), None),
                ProcessOp::Exit => (None, Some(exit_status(raw.detail))),
                ProcessOp::Signal => (Some(raw.detail2), Some(raw.detail as i32)),
                ProcessOp::Trace => (Some(raw.detail2), None),
                ProcessOp::Setuid => (None, Some(raw.detail as i32)),
            };
            event.process_event = Some(ProcessEvent { op, target, code });
        }
        Kind::Memory => {
            let op = if raw.op == abi::memory_op::MAP { MemoryOp::MapExec } else { MemoryOp::ProtectExec };
            event.memory = Some(Memory { op, path: text(&raw.path) });
        }
        Kind::Privilege => {
            let (op, detail) = privilege(raw.op, raw.detail);
            event.privilege = Some(Privilege { op: op.to_owned(), detail });
        }
        Kind::Lost => return None,
    }
    event.verdict = Some(verdict(raw, context, &event));
    if exits {
        tree.exited(key);
    }
    Some(event)
}

/// The content's hash, where the policy names it.
fn hash<'a>(raw: &RawEvent, context: Option<&Context<'a>>) -> Option<&'a [u8; 32]> {
    Some(&context?.compiled.hashes.get(raw.hash? as usize)?.0)
}

fn text(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| escape(bytes))
}

/// The kernel's exit code as a shell shows it.
fn exit_status(code: u32) -> i32 {
    match code & 0x7f {
        0 => (code >> 8 & 0xff) as i32,
        signal => 128 + signal as i32,
    }
}

/// Where something starts, the chain above it is told too; every other event of the process can be joined with that one.
pub(crate) fn process_of(key: ProcessKey, ppid: u32, uid: u32, gid: u32, tree: &ProcessTree, starts: bool) -> Process {
    let facts = tree.get(key);
    let args = facts.and_then(arguments);
    let mut chain = tree.ancestors(ppid, facts.map_or(0, |facts| facts.session));
    let parent = match chain.next() {
        Some((pid, facts)) if starts => known(pid, facts),
        Some((pid, facts)) => Parent { pid: Some(pid), exe: exe(facts), ..Parent::default() },
        None => Parent { pid: Some(ppid), ..Parent::default() },
    };
    let above = chain.map(|(pid, facts)| Parent { args: None, ..known(pid, facts) });
    Process {
        pid: Some(key.pid),
        start_time: Some(key.start_ns),
        ppid: Some(ppid),
        exe: facts.and_then(exe),
        cmdline: args.as_ref().map(|args| args.join(" ")),
        args,
        cwd: facts.and_then(ProcessFacts::cwd).map(escape),
        uid: Some(uid),
        gid: Some(gid),
        parent: Some(parent),
        ancestors: if starts { above.collect() } else { Vec::new() },
        container: None,
    }
}

fn known(pid: u32, facts: &ProcessFacts) -> Parent {
    let args = arguments(facts);
    Parent { pid: Some(pid), exe: exe(facts), cmdline: args.as_ref().map(|args| args.join(" ")), args }
}

fn exe(facts: &ProcessFacts) -> Option<String> {
    facts.exe().map(escape)
}

fn arguments(facts: &ProcessFacts) -> Option<Vec<String>> {
    let args: Vec<String> = facts.args().map(escape).collect();
    (!args.is_empty()).then_some(args)
}

fn network(raw: &RawEvent) -> Network {
    let op = match raw.op {
        abi::net_op::CONNECT => NetworkOp::Connect,
        abi::net_op::SEND => NetworkOp::Send,
        abi::net_op::LISTEN => NetworkOp::Listen,
        abi::net_op::ACCEPT => NetworkOp::Accept,
        _ => NetworkOp::Socket,
    };
    // A unix peer comes with its path and without an endpoint.
    let family = if raw.family == 0 && !raw.path.is_empty() { 1 } else { raw.family };
    Network {
        op,
        family: Some(family_name(family)),
        protocol: protocol_name(raw.protocol),
        address: raw
            .address
            .filter(|_| op != NetworkOp::Socket)
            .map(|address| address.to_string())
            .or_else(|| text(&raw.path)),
        port: (raw.port != 0).then_some(raw.port),
        domain: None,
    }
}

fn family_name(family: u16) -> String {
    match family {
        1 => "unix".into(),
        2 => "inet".into(),
        10 => "inet6".into(),
        16 => "netlink".into(),
        17 => "packet".into(),
        38 => "alg".into(),
        40 => "vsock".into(),
        44 => "xdp".into(),
        other => other.to_string(),
    }
}

fn protocol_name(protocol: u32) -> Option<String> {
    match protocol {
        0 => None,
        1 => Some("icmp".into()),
        6 => Some("tcp".into()),
        17 => Some("udp".into()),
        58 => Some("icmpv6".into()),
        132 => Some("sctp".into()),
        other => Some(other.to_string()),
    }
}

const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

fn privilege(op: u32, detail: u32) -> (&'static str, Option<String>) {
    use abi::privilege_op as p;
    match op {
        p::CAPABILITY => (
            "capability",
            CAPABILITIES.get(detail as usize).map(|name| (*name).to_owned()).or(Some(detail.to_string())),
        ),
        p::MODULE => ("module", None),
        p::MOUNT => ("mount", None),
        p::BPF => ("bpf", Some(format!("command {detail}"))),
        p::USERNS => ("userns", None),
        p::KEY => ("key", None),
        p::PERF => ("perf", None),
        p::IO_URING => ("io_uring", None),
        p::USERFAULTFD => ("userfaultfd", None),
        p::DEVICE => ("device", None),
        p::IOCTL => ("ioctl", Some(format!("{detail:#x}"))),
        p::CGROUP => ("cgroup", None),
        p::RESOURCE => ("resource", None),
        p::TUN => ("tun", None),
        p::NAMESPACE => ("namespace", None),
        p::DESCRIPTOR => ("descriptor", None),
        p::GUARD => ("guard", None),
        p::IPC => ("ipc", None),
        p::KERNEL_FILE => ("kernel_file", None),
        p::DISGUISE => ("disguise", None),
        _ => ("other", Some(format!("{op}"))),
    }
}

fn verdict(raw: &RawEvent, context: Option<&Context<'_>>, event: &Event) -> Verdict {
    let tier = match raw.tier {
        abi::tier::FLOOR => Tier::Floor,
        abi::tier::HEARTBEAT => Tier::Heartbeat,
        abi::tier::CACHE => Tier::VerdictCache,
        _ => Tier::Policy,
    };
    let latency_us = Some(raw.latency_ns.div_ceil(1000));
    if !raw.denied {
        return Verdict { latency_us, ..Verdict::new(Action::Allow, tier) };
    }
    let rule = context.and_then(|context| {
        let question = (
            raw.kind,
            raw.op,
            raw.reason,
            raw.path.clone(),
            raw.path2.clone(),
            raw.address,
            raw.port,
            raw.protocol | raw.hash.unwrap_or(0) << 16,
        );
        let mut answers = context.answers.borrow_mut();
        if answers.len() > ANSWERS_KEPT {
            answers.clear();
        }
        answers.entry(question).or_insert_with(|| rule_of(raw, context.compiled, hash(raw, Some(context)))).clone()
    });
    let reason = match &rule {
        Some(rule) => rule.reason.clone(),
        None => reason_text(raw, event),
    };
    Verdict {
        rule: rule.as_ref().map(|rule| rule.rule.clone()).or_else(|| Some(builtin_rule(raw, event))),
        source: rule.map(|rule| rule.source),
        reason: Some(reason),
        latency_us,
        enforced: (!raw.enforced).then_some(false),
        // Arguments are final when the program is in place: then a denial is an end, not an error.
        ..Verdict::new(
            if raw.reason == why::VERDICT || raw.reason == why::TRACED { Action::Kill } else { Action::Deny },
            tier,
        )
    }
}

/// The line of the policy that decided, found by asking the engine the same question.
fn rule_of(raw: &RawEvent, compiled: &Compiled, hash: Option<&[u8; 32]>) -> Option<RuleRef> {
    let denied = |decision: Decision| match decision {
        Decision::Deny(rule) => Some(rule),
        Decision::Allow(_) => None,
    };
    let file = |access: Access| {
        // Of two ends the one that was refused.
        [&raw.path, &raw.path2]
            .into_iter()
            .filter(|path| !path.is_empty())
            .find_map(|path| denied(compiled.decide_file(access, path)))
    };
    match (raw.kind, raw.reason) {
        (abi::kind::FILE, why::NOT_READ) => file(Access::Read),
        (abi::kind::FILE, why::DENY_LIST) if raw.op == abi::file_op::READ => file(Access::Read),
        (abi::kind::FILE, why::DENY_LIST | why::READONLY | why::NOT_WRITE) => file(Access::Write),
        (abi::kind::EXEC, why::DENY_LIST | why::EXEC_DENY | why::NOT_EXEC | why::HASH_DENY) => {
            denied(compiled.decide_exec(&raw.path, hash))
        }
        (abi::kind::MEMORY, why::DENY_LIST | why::EXEC_DENY | why::NOT_LIBRARY) => {
            denied(compiled.decide_library(&raw.path))
        }
        (abi::kind::MEMORY, why::NOT_EXEC) => denied(compiled.decide_exec(&raw.path, None)),
        (abi::kind::NETWORK, why::DENY_LIST | why::NOT_UNIX) => denied(compiled.decide_unix(&raw.path)),
        (abi::kind::NETWORK, why::NOT_CONNECT) => {
            denied(compiled.decide_connect(raw.address?, raw.port, protocol(raw.protocol)))
        }
        (abi::kind::NETWORK, why::NOT_LISTEN) => {
            denied(compiled.decide_listen(raw.address?, raw.port, protocol(raw.protocol)))
        }
        _ => None,
    }
}

fn protocol(number: u32) -> Protocol {
    if number == 17 { Protocol::Udp } else { Protocol::Tcp }
}

/// The name of what is not a line of the policy.
fn builtin_rule(raw: &RawEvent, event: &Event) -> String {
    match raw.reason {
        why::HEARTBEAT => "heartbeat".into(),
        why::GUARD => "floor.guard".into(),
        why::FLOOR => format!("floor.{}", event.operation()),
        why::OBJECT => "policy.object".into(),
        why::ANONYMOUS => "exec.anonymous".into(),
        why::UNDECIDED | why::TRACED => "undecided".into(),
        why::VERDICT => "verdicts".into(),
        why::HASH_DENY => "exec.deny".into(),
        why::FAMILY | why::NETLINK_WRITE => "network".into(),
        why::MOVE | why::WIDEN => "files.move".into(),
        _ => "fail-closed".into(),
    }
}

fn reason_text(raw: &RawEvent, event: &Event) -> String {
    let object = event.object();
    match raw.reason {
        why::OBJECT => format!("`{object}` is another name of an object that the policy denies"),
        why::ANONYMOUS => "the program has no file behind it (exec.anonymous: deny)".into(),
        why::UNREACHABLE => "the object has no path in the session's mount view".into(),
        why::TOO_LONG => "the path is longer than can be judged".into(),
        why::MOVE => "moving this directory would change what is protected below it".into(),
        why::WIDEN => "under its new name the file could be read or run, under the old one it cannot".into(),
        why::HASH_DENY => "exec.deny names the content of this file".into(),
        why::HASH_UNKNOWN => "the policy decides by content and the kernel has no hash of this file".into(),
        why::UNDECIDED => "no rule has decided this execution (undecided: deny)".into(),
        why::VERDICT => "it was judged before, and denied".into(),
        why::TRACED => "it would have been held until it is judged, but its tracer could have let it go".into(),
        why::FAMILY => "with a network section only IPv4, IPv6, unix and read-only netlink are permitted".into(),
        why::NETLINK_WRITE => "with a network section netlink may only be asked".into(),
        why::FOREIGN_SOCKET => {
            "the socket comes from outside the session and its peer is not in network.connect".into()
        }
        why::HEARTBEAT => {
            "lictord has not given a sign of life for 2 s; the network stays closed until it is back".into()
        }
        why::NO_POLICY => "there is no policy in force for this session".into(),
        why::INTERNAL => "an internal limit was reached; what cannot be judged is denied".into(),
        why::BUSY => "the path kept changing while it was judged".into(),
        why::GUARD => "governed processes may not touch Lictor".into(),
        why::FLOOR => floor_text(raw, event),
        _ => format!("denied ({})", raw.reason),
    }
}

fn floor_text(raw: &RawEvent, event: &Event) -> String {
    let what = match (raw.kind, raw.op) {
        (abi::kind::PROCESS, abi::process_op::SIGNAL) => "signal a process outside the session".to_owned(),
        (abi::kind::PROCESS, abi::process_op::TRACE) => "trace or read a process outside the session".to_owned(),
        (abi::kind::NETWORK, _) => match raw.address {
            Some(IpAddr::V4(_) | IpAddr::V6(_)) if raw.op != abi::net_op::SOCKET => "use this socket".to_owned(),
            _ => format!("open a socket of family {}", family_name(raw.family)),
        },
        (abi::kind::FILE, _) => {
            let (op, _) = privilege(raw.detail, 0);
            format!("use {} ({})", event.object(), op.replace('_', " "))
        }
        _ => match event.object() {
            object if object.is_empty() => format!("use {}", event.operation()),
            object => format!("use {} ({object})", event.operation()),
        },
    };
    format!("the floor: a governed process may not {what}")
}

#[cfg(test)]
mod tests {
    use lictor_engine::policy::{Limits, SessionFacts, parse};

    use super::*;

    const POLICY: &str = "\
version: 1
agents:
  coder:
    exec: { allow: [/usr/bin/**] }
    files:
      write: [/srv/**]
      deny: [/etc/shadow, '**/.env']
    network: { connect: ['10.0.0.0/8:443'], listen: [] }
";

    fn compiled() -> Compiled {
        let file = parse("p.yaml", POLICY.as_bytes()).unwrap();
        let facts = SessionFacts { home: b"/root".to_vec(), user: b"root".to_vec(), cwd: b"/srv".to_vec() };
        file.agent("coder").unwrap().compile(&facts, &[], Limits::default()).unwrap()
    }

    fn raw(kind: u32, op: u32, reason: u32) -> RawEvent {
        RawEvent {
            kind,
            op,
            time_ns: 1,
            session: 7,
            start_ns: 5,
            latency_ns: 1500,
            slot: 0,
            policy: 1,
            pid: 10,
            tid: 10,
            ppid: 1,
            uid: 0,
            gid: 0,
            denied: reason != 0,
            enforced: true,
            tier: 0,
            reason,
            rights: 0,
            detail: 0,
            detail2: 0,
            family: 0,
            port: 0,
            protocol: 0,
            address: None,
            path: vec![],
            path2: vec![],
            args: vec![],
            args_cut: false,
            hash: None,
            comm: vec![],
            judged: abi::judged::NOT,
            fingerprint: lictor_bpf::Fingerprint { object: 0, invocation: 0, judge: 0 },
        }
    }

    fn check(raw: &RawEvent, rule: &str, source: Option<&str>, word: &str) {
        let compiled = compiled();
        let answers = RefCell::default();
        let context =
            Context { session: "s-7".into(), agent: "coder", container: None, compiled: &compiled, answers: &answers };
        let event = observe(raw, &mut ProcessTree::default(), Some(&context), "t".into()).unwrap();
        let verdict = event.verdict.unwrap();
        assert_eq!(verdict.rule.as_deref(), Some(rule));
        assert_eq!(verdict.source.as_deref(), source);
        let reason = verdict.reason.unwrap();
        assert!(reason.contains(word), "{reason}");
        assert_eq!(verdict.latency_us, Some(2));
    }

    #[test]
    fn a_denial_names_the_line_that_decided() {
        let mut file = raw(abi::kind::FILE, abi::file_op::READ, why::DENY_LIST);
        file.path = b"/srv/app/.env".to_vec();
        check(&file, "coder.files.deny[1]", Some("p.yaml:7:27"), ".env");
        let mut write = raw(abi::kind::FILE, abi::file_op::CREATE, why::NOT_WRITE);
        write.path = b"/opt/x".to_vec();
        check(&write, "coder.files.write", Some("p.yaml:6:14"), "/opt/x");
        let mut exec = raw(abi::kind::EXEC, 0, why::NOT_EXEC);
        exec.path = b"/tmp/x".to_vec();
        check(&exec, "coder.exec.allow", Some("p.yaml:4:20"), "/tmp/x");
    }

    #[test]
    fn a_script_is_named_with_its_interpreter() {
        let compiled = compiled();
        let answers = RefCell::default();
        let context =
            Context { session: "s-7".into(), agent: "coder", container: None, compiled: &compiled, answers: &answers };
        let mut tree = ProcessTree::default();
        let mut told = |op: u32, path: &[u8], reason: u32| {
            let mut exec = raw(abi::kind::EXEC, op, reason);
            (exec.path, exec.args) = (path.to_vec(), vec![b"sh".to_vec(), b"-c".to_vec()]);
            observe(&exec, &mut tree, Some(&context), "t".into())
        };
        assert!(told(abi::exec_op::SCRIPT, b"/usr/bin/first", 0).is_none(), "the script alone is no event");
        // Its interpreter was not there; then a program runs, and then another script.
        let exec = told(0, b"/usr/bin/ls", 0).unwrap().exec.unwrap();
        assert_eq!((exec.path.as_deref(), exec.interpreter), (Some("/usr/bin/ls"), None));
        assert!(told(abi::exec_op::SCRIPT, b"/usr/bin/second", 0).is_none());
        let event = told(abi::exec_op::INTERPRETED, b"/usr/bin/dash", 0).unwrap();
        assert_eq!(event.process.exe.as_deref(), Some("/usr/bin/dash"));
        let exec = event.exec.unwrap();
        assert_eq!(
            (exec.path.as_deref(), exec.interpreter.as_deref()),
            (Some("/usr/bin/second"), Some("/usr/bin/dash"))
        );
        assert!(exec.args.is_empty(), "what runs has its arguments in `process`");
        // Told of by nobody: what is not known is not invented.
        let exec = told(abi::exec_op::INTERPRETED, b"/usr/bin/dash", 0).unwrap().exec.unwrap();
        assert_eq!((exec.path.as_deref(), exec.interpreter), (Some("/usr/bin/dash"), None));
        let exec = told(abi::exec_op::SCRIPT, b"/tmp/x", why::NOT_EXEC).unwrap().exec.unwrap();
        assert_eq!((exec.path.as_deref(), exec.args), (Some("/tmp/x"), vec!["sh".to_owned(), "-c".to_owned()]));
    }

    #[test]
    fn a_connection_is_explained_by_its_endpoint() {
        let mut connect = raw(abi::kind::NETWORK, abi::net_op::CONNECT, why::NOT_CONNECT);
        (connect.family, connect.port, connect.protocol) = (2, 80, 6);
        connect.address = Some("10.1.2.3".parse().unwrap());
        check(&connect, "coder.network.connect", Some("p.yaml:8:25"), "10.1.2.3");
    }

    #[test]
    fn what_no_line_decided_has_a_name_of_its_own() {
        check(&raw(abi::kind::NETWORK, abi::net_op::SEND, why::HEARTBEAT), "heartbeat", None, "sign of life");
        let mut capability = raw(abi::kind::PRIVILEGE, abi::privilege_op::CAPABILITY, why::FLOOR);
        capability.detail = 21;
        check(&capability, "floor.capability", None, "sys_admin");
        let mut alias = raw(abi::kind::FILE, abi::file_op::READ, why::OBJECT);
        alias.path = b"/srv/alias".to_vec();
        check(&alias, "policy.object", None, "another name");
    }

    #[test]
    fn an_exit_reads_as_a_shell_shows_it() {
        assert_eq!(exit_status(0), 0);
        assert_eq!(exit_status(7 << 8), 7);
        assert_eq!(exit_status(9), 137);
        assert_eq!(exit_status(0x80 | 11), 139);
    }

    #[test]
    fn a_monitored_denial_says_that_it_was_not_enforced() {
        let mut file = raw(abi::kind::FILE, abi::file_op::READ, why::DENY_LIST);
        file.path = b"/etc/shadow".to_vec();
        file.enforced = false;
        let compiled = compiled();
        let answers = RefCell::default();
        let context =
            Context { session: "s-7".into(), agent: "coder", container: None, compiled: &compiled, answers: &answers };
        let event = observe(&file, &mut ProcessTree::default(), Some(&context), "t".into()).unwrap();
        assert_eq!(event.verdict.unwrap().enforced, Some(false));
    }
}
