// SPDX-License-Identifier: Apache-2.0
//! The event: one JSON object a line. Absent facts are left out, never invented; fields that a
//! reader does not know are passed over.
//!
//! Every string that comes from the kernel (paths, arguments, names) is in the form of
//! [`crate::bytes::escape`].

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that happened, or was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// A ULID: unique, and sorts by time. Empty only in hand-written events.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// RFC 3339 with nanoseconds, UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time: String,
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Process::is_unknown")]
    pub process: Process,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Exec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_event: Option<ProcessEvent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privilege: Option<Privilege>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// Absent where nothing was judged: `lost`, and recordings made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

impl Event {
    /// An event of `kind` with nothing known yet.
    #[must_use]
    pub fn new(kind: Kind, id: String, time: String) -> Self {
        Self {
            id,
            time,
            kind,
            session: None,
            agent: None,
            process: Process::default(),
            exec: None,
            file: None,
            network: None,
            process_event: None,
            memory: None,
            privilege: None,
            lost: None,
            verdict: None,
        }
    }

    /// Whether the action was refused, or would have been in a session that only monitors.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| matches!(verdict.action, Action::Deny | Action::Kill))
    }

    /// What was acted on, as one short text: a path, `address:port`, an operation.
    #[must_use]
    pub fn object(&self) -> String {
        if let Some(exec) = &self.exec {
            return exec.path.clone().unwrap_or_default();
        }
        if let Some(file) = &self.file {
            return match (&file.path, &file.to) {
                (Some(path), Some(to)) => format!("{path} -> {to}"),
                (Some(path), None) | (None, Some(path)) => path.clone(),
                (None, None) => String::new(),
            };
        }
        if let Some(network) = &self.network {
            return network.endpoint();
        }
        if let Some(process) = &self.process_event {
            let target = process.target.map(|target| format!("pid {target}"));
            let code = process.code.map(|code| match process.op {
                ProcessOp::Exit => format!("status {code}"),
                ProcessOp::Setuid => format!("uid {code}"),
                ProcessOp::Signal => format!("{code} to"),
                ProcessOp::Fork | ProcessOp::Trace => code.to_string(),
            });
            return [code, target].into_iter().flatten().collect::<Vec<_>>().join(" ");
        }
        if let Some(memory) = &self.memory {
            return memory.path.clone().unwrap_or_else(|| "anonymous memory".to_owned());
        }
        if let Some(privilege) = &self.privilege {
            return privilege.detail.clone().unwrap_or_default();
        }
        self.lost.as_ref().map(|lost| format!("{} events: {}", lost.count, lost.reason)).unwrap_or_default()
    }

    /// What was done to the object, in the contract's word; the kind itself where it has no operations.
    #[must_use]
    pub fn operation(&self) -> String {
        let named = self.file.as_ref().map(|file| file.op.to_string());
        let named = named.or_else(|| self.network.as_ref().map(|network| network.op.to_string()));
        let named = named.or_else(|| self.process_event.as_ref().map(|process| process.op.to_string()));
        let named = named.or_else(|| self.memory.as_ref().map(|memory| memory.op.to_string()));
        let named = named.or_else(|| self.privilege.as_ref().map(|privilege| privilege.op.clone()));
        named.unwrap_or_else(|| self.kind.to_string())
    }
}

/// Who acted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Process {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Nanoseconds since boot. With `pid` it names one process for good; a pid alone is used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ppid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// The arguments joined by spaces, for reading and searching; `args` is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The parent's parent and so on, nearest first, as far as they are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Parent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
}

impl Process {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Parent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Container {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `docker`, `podman`, `containerd`, `cri-o`, `lxc`, `systemd-nspawn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Kubernetes: the pod's name; its uid where the kubelet keeps no record of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Kubernetes: the pod's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// `docker 0f3a…, pod shop/cart-7d9f`
impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |words: [&Option<String>; 2], between: &str| {
            words.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(between)
        };
        write!(f, "{}", known([&self.runtime, &self.id], " "))?;
        match &self.pod {
            Some(_) => write!(f, ", pod {}", known([&self.namespace, &self.pod], "/")),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Exec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// For a script: the program that reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// Of an execution that was denied: the arguments as the caller passed them. A hint, and no fact: the caller can have
    /// changed them while the kernel decided, and nothing is decided by them. What runs has its arguments in `process`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct File {
    pub op: FileOp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The other end of a rename or a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    pub op: NetworkOp,
    /// `inet`, `inet6`, `unix`, `netlink` and so on, or the number of a family that has no name here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// `tcp`, `udp`, or the protocol's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// An IP address, or for unix sockets the path or `@name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

impl Network {
    /// The other end as a policy would write it: `10.0.0.1:443/udp`, `[2001:db8::1]:53`, `/run/x.sock`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let mut out = match (&self.domain, &self.address) {
            (Some(domain), _) => domain.clone(),
            (None, Some(address)) if self.port.is_some() && address.contains(':') => format!("[{address}]"),
            (None, Some(address)) => address.clone(),
            (None, None) => return self.family.clone().unwrap_or_default(),
        };
        if let Some(port) = self.port {
            out.push_str(&format!(":{port}"));
            match self.protocol.as_deref() {
                None | Some("tcp") => {}
                Some(protocol) => out.push_str(&format!("/{protocol}")),
            }
        }
        out
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProcessEvent {
    pub op: ProcessOp,
    /// The other process's pid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<u32>,
    /// The signal's number, the new uid, or the exit status (128+N when signal N ended it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    pub op: MemoryOp,
    /// Absent when the memory has no file behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Privilege {
    /// `capability`, `module`, `mount`, `bpf`, `userns`, `key` and others: an open set, it grows with the kernel.
    pub op: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lost {
    pub count: u64,
    pub reason: String,
}

/// What was decided, by whom, and where that is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    pub action: Action,
    pub tier: Tier,
    /// `coder.files.deny[1]` for an entry, `coder.files.write` for a list that does not name the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// `FILE:LINE:COLUMN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<u64>,
    /// How bad it is, where a tier above the policy judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Techniques (ATT&CK) and other labels of what matched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Other rules that matched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The classifier's probability that this is malicious, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// `false` in monitor mode, where the denial did not take place; otherwise absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforced: Option<bool>,
}

impl Verdict {
    /// A verdict without its reasons.
    #[must_use]
    pub fn new(action: Action, tier: Tier) -> Self {
        Self {
            action,
            tier,
            rule: None,
            source: None,
            reason: None,
            latency_us: None,
            severity: None,
            tags: Vec::new(),
            also: Vec::new(),
            score: None,
            enforced: None,
        }
    }
}

/// An enum whose variants are words of the contract: serde, `Display` and `FromStr` agree on them.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:tt),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in the contract's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    other => Err(format!("`{other}` is none of {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What an event is about; names the object that it carries.
    Kind { Exec = "exec", File = "file", Network = "network", Process = "process", Memory = "memory",
           Privilege = "privilege", Lost = "lost" }
}
words! {
    FileOp { Read = "read", Write = "write", Create = "create", Delete = "delete", Rename = "rename", Link = "link",
             Attributes = "attributes" }
}
words! {
    NetworkOp { Connect = "connect", Send = "send", Listen = "listen", Accept = "accept", Socket = "socket" }
}
words! {
    ProcessOp { Fork = "fork", Exit = "exit", Signal = "signal", Trace = "trace", Setuid = "setuid" }
}
words! {
    MemoryOp { MapExec = "map_exec", ProtectExec = "protect_exec" }
}
words! {
    Action { Allow = "allow", Deny = "deny", Kill = "kill", Hold = "hold", Alert = "alert" }
}
words! {
    Severity { Info = "info", Low = "low", Medium = "medium", High = "high", Critical = "critical" }
}
words! {
    /// Who decided.
    Tier { Floor = "floor", Heartbeat = "heartbeat", Policy = "policy", VerdictCache = "verdict-cache", Rules = "rules",
           Classifier = "classifier", Llm = "llm", Human = "human" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    const CONTRACT_EXAMPLE: &str = r#"{"id":"01J","time":"2026-01-02T03:04:05.678901234Z","kind":"exec","session":"s-7f3a","agent":"coder",
 "process":{"pid":412,"start_time":123456789,"ppid":400,"exe":"/usr/bin/curl","args":["curl","http://10.0.0.1/"],"cmdline":"curl http://10.0.0.1/","cwd":"/srv/app","uid":1000,"gid":1000,
            "parent":{"pid":400,"exe":"/usr/bin/bash"},"container":null},
 "exec":{"path":"/usr/bin/curl","sha256":"ab","interpreter":null},
 "verdict":{"action":"deny","tier":"policy","rule":"coder.exec.deny[0]","source":"/etc/lictor/policy.yaml:9:14","reason":"no","latency_us":12}}"#;

    #[test]
    fn the_contracts_example_is_read_and_written_back_without_its_nulls() {
        let event: Event = serde_json::from_str(CONTRACT_EXAMPLE).unwrap();
        assert!(event.is_denied());
        assert_eq!(event.object(), "/usr/bin/curl");
        let mut expected: serde_json::Value = serde_json::from_str(CONTRACT_EXAMPLE).unwrap();
        expected["process"].as_object_mut().unwrap().remove("container");
        expected["exec"].as_object_mut().unwrap().remove("interpreter");
        assert_eq!(serde_json::to_value(&event).unwrap(), expected);
    }

    #[test]
    fn a_kind_and_arguments_are_event_enough() {
        let text = r#"{"kind":"exec","process":{"args":["sh","-c","CMD"]}}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!(event.process.pid, None);
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        let event: Event =
            serde_json::from_str(r#"{"kind":"lost","lost":{"count":3,"reason":"ring full","x":1},"y":{}}"#).unwrap();
        assert_eq!(event.object(), "3 events: ring full");
        assert_eq!(event.operation(), "lost");
    }

    #[test]
    fn what_processes_do_is_told_in_words() {
        let check = |object: &str, expected: &str| {
            let event: Event =
                serde_json::from_str(&format!(r#"{{"kind":"process","process_event":{object}}}"#)).unwrap();
            assert_eq!(format!("{} {}", event.operation(), event.object()), expected);
        };
        check(r#"{"op":"exit","code":1}"#, "exit status 1");
        check(r#"{"op":"signal","target":1,"code":9}"#, "signal 9 to pid 1");
        check(r#"{"op":"fork","target":243}"#, "fork pid 243");
        check(r#"{"op":"setuid","code":0}"#, "setuid uid 0");
        check(r#"{"op":"trace","target":7}"#, "trace pid 7");
    }

    #[test]
    fn words_are_those_of_the_contract() {
        fn check<T: Serialize + fmt::Display + Copy + std::str::FromStr<Err = String> + PartialEq + fmt::Debug>(
            all: &[T],
            expected: &str,
        ) {
            let words: Vec<String> = all.iter().map(ToString::to_string).collect();
            assert_eq!(words.join(" "), expected);
            for (value, word) in all.iter().zip(&words) {
                assert_eq!(serde_json::to_string(value).unwrap(), format!("\"{word}\""));
                assert_eq!(word.parse::<T>().as_ref(), Ok(value));
            }
        }
        check(Kind::ALL, "exec file network process memory privilege lost");
        check(FileOp::ALL, "read write create delete rename link attributes");
        check(NetworkOp::ALL, "connect send listen accept socket");
        check(ProcessOp::ALL, "fork exit signal trace setuid");
        check(MemoryOp::ALL, "map_exec protect_exec");
        check(Action::ALL, "allow deny kill hold alert");
        check(Severity::ALL, "info low medium high critical");
        check(Tier::ALL, "floor heartbeat policy verdict-cache rules classifier llm human");
        assert_eq!(
            "open".parse::<FileOp>().unwrap_err(),
            "`open` is none of read, write, create, delete, rename, link, attributes"
        );
    }

    #[test]
    fn an_endpoint_reads_as_a_policy_would_write_it() {
        let check = |address: &str, port: Option<u16>, protocol: &str, expected: &str| {
            let network = Network {
                op: NetworkOp::Connect,
                family: None,
                protocol: Some(protocol.to_owned()),
                address: Some(address.to_owned()),
                port,
                domain: None,
            };
            assert_eq!(network.endpoint(), expected);
        };
        check("10.0.0.1", Some(443), "tcp", "10.0.0.1:443");
        check("2001:db8::1", Some(53), "udp", "[2001:db8::1]:53/udp");
        check("/run/docker.sock", None, "stream", "/run/docker.sock");
    }
}
