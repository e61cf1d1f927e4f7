// SPDX-License-Identifier: Apache-2.0
//! The Open Cybersecurity Schema Framework, 1.5.0: which class and activity a record is, and its facts in that class.
//! `tests/sinks` validates what comes out against the published schema.

use jiff::Timestamp;
use lictor_api::alert::{Alert, AlertSource, AlertState, ChainLink};
use lictor_api::event::{Action, Event, FileOp, Kind, MemoryOp, NetworkOp, Parent, Process, ProcessOp, Severity, Tier};
use serde_json::{Map, Value, json};

use super::{Host, severity, text};
use crate::sinks::Record;

/// The schema's version.
pub const VERSION: &str = "1.5.0";

const OTHER: u32 = 99;

/// The record as one OCSF event.
#[must_use]
pub fn of(record: &Record, host: &Host) -> Value {
    let mut out = match record {
        Record::Event(event) => of_event(event),
        Record::Alert(alert) => of_alert(alert),
    };
    let (id, time) = match record {
        Record::Event(event) => (&event.id, &event.time),
        Record::Alert(alert) => (&alert.id, &alert.last_seen),
    };
    let level = match severity(record) {
        Severity::Info => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    };
    out.insert("severity_id".into(), level.into());
    out.insert("time".into(), milliseconds(time).into());
    out.insert(
        "device".into(),
        json!({ "hostname": host.name, "type_id": 0, "os": { "name": "Linux", "type_id": 200 } }),
    );
    let mut profiles = vec!["host"];
    if out.contains_key("action_id") {
        profiles.push("security_control");
    }
    let contained = |value: Option<&Value>| value.is_some_and(|value| value.get("container").is_some());
    if contained(out.get("process")) || contained(out.get("actor").and_then(|actor| actor.get("process"))) {
        profiles.push("container");
    }
    let product = json!({ "name": "Lictor", "vendor_name": "Lictor", "version": host.version });
    let mut metadata = json!({ "version": VERSION, "product": product, "profiles": profiles });
    if !id.is_empty()
        && let Some(metadata) = metadata.as_object_mut()
    {
        metadata.insert("uid".into(), id.as_str().into());
    }
    out.insert("metadata".into(), metadata);
    Value::Object(out)
}

/// The fields that say what kind of record it is.
fn class(class: u32, category: u32, activity: u32) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("class_uid".into(), class.into());
    out.insert("category_uid".into(), category.into());
    out.insert("activity_id".into(), activity.into());
    out.insert("type_uid".into(), (class * 100 + activity).into());
    out
}

fn of_event(event: &Event) -> Map<String, Value> {
    let mut out = match event.kind {
        Kind::Exec => launched(event),
        Kind::File => file(event),
        Kind::Network => network(event),
        Kind::Process => process_activity(event),
        Kind::Memory => memory(event),
        Kind::Privilege => kernel(event),
        // Nothing that a process did: the base class.
        Kind::Lost => class(0, 0, OTHER),
    };
    if event.kind != Kind::Lost && !out.contains_key("actor") {
        out.insert("actor".into(), actor(event, process(&event.process)));
    }
    out.insert("message".into(), text::message(event).into());
    if let Some(verdict) = &event.verdict {
        let denied = matches!(verdict.action, Action::Deny | Action::Kill);
        let took_place = denied && verdict.enforced != Some(false);
        let (action, disposition) = match verdict.action {
            _ if took_place => (2, 2),
            Action::Hold => (3, 14),
            Action::Alert => (3, 19),
            Action::Deny | Action::Kill => (3, 17),
            Action::Allow => (1, 1),
        };
        out.insert("action_id".into(), action.into());
        out.insert("disposition_id".into(), disposition.into());
        out.insert("status_id".into(), u32::from(took_place).saturating_add(1).into());
        out.insert("is_alert".into(), (verdict.action != Action::Allow).into());
        if let Some(reason) = &verdict.reason {
            out.insert("status_detail".into(), reason.as_str().into());
        }
        if let Some(rule) = &verdict.rule {
            out.insert("policy".into(), json!({ "uid": rule, "name": rule, "is_applied": took_place }));
        }
        let attacks = attacks(&verdict.tags);
        if !attacks.is_empty() {
            out.insert("attacks".into(), attacks.into());
        }
        out.insert("unmapped".into(), json!({ "tier": verdict.tier, "source": verdict.source, "tags": verdict.tags }));
    }
    if let Some(lost) = &event.lost {
        out.insert("count".into(), lost.count.into());
    }
    out
}

/// A technique names its sub-technique after a dot; the schema has a place for each.
fn attacks(tags: &[String]) -> Vec<Value> {
    let is_technique = |tag: &&String| {
        tag.strip_prefix('T')
            .is_some_and(|rest| rest.len() >= 4 && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    };
    let attack = |tag: &String| match tag.split_once('.') {
        Some((technique, _)) => json!({ "technique": { "uid": technique }, "sub_technique": { "uid": tag } }),
        None => json!({ "technique": { "uid": tag } }),
    };
    tags.iter().filter(is_technique).map(attack).collect()
}

/// An execution: the actor is who started it, the process what it becomes.
fn launched(event: &Event) -> Map<String, Value> {
    let mut out = class(1007, 1, 1);
    let parent = event.process.parent.as_ref().map_or_else(|| json!({ "uid": "unknown" }), ancestor);
    let mut started = process(&event.process);
    if let (Some(exec), Some(started)) = (&event.exec, started.as_object_mut()) {
        if let Some(path) = &exec.path {
            started.insert("file".into(), file_object(path, exec.sha256.as_deref()));
        }
        if started.get("cmd_line").is_none() && !exec.args.is_empty() {
            started.insert("cmd_line".into(), exec.args.join(" ").into());
        }
    }
    out.insert("actor".into(), actor(event, parent));
    out.insert("process".into(), started);
    out
}

fn process_activity(event: &Event) -> Map<String, Value> {
    let Some(did) = &event.process_event else { return class(1007, 1, 0) };
    let activity = match did.op {
        ProcessOp::Fork => 1,
        ProcessOp::Exit => 2,
        ProcessOp::Trace => 3,
        ProcessOp::Setuid => 5,
        ProcessOp::Signal => OTHER,
    };
    let mut out = class(1007, 1, activity);
    let own = process(&event.process);
    let other = did.target.map(|pid| json!({ "pid": pid }));
    out.insert("process".into(), other.unwrap_or_else(|| own.clone()));
    out.insert("actor".into(), actor(event, own));
    if let (ProcessOp::Exit, Some(code)) = (did.op, did.code) {
        out.insert("exit_code".into(), code.into());
    }
    out
}

fn file(event: &Event) -> Map<String, Value> {
    let Some(file) = &event.file else { return class(1001, 1, 0) };
    let activity = match file.op {
        FileOp::Read => 2,
        FileOp::Write => 3,
        FileOp::Create | FileOp::Link => 1,
        FileOp::Delete => 4,
        FileOp::Rename => 5,
        FileOp::Attributes => 6,
    };
    let mut out = class(1001, 1, activity);
    out.insert("file".into(), file_object(file.path.as_deref().unwrap_or("unknown"), None));
    if let Some(to) = &file.to {
        out.insert("file_result".into(), file_object(to, None));
    }
    out
}

fn network(event: &Event) -> Map<String, Value> {
    let Some(network) = &event.network else { return class(4001, 4, 0) };
    let (activity, direction) = match network.op {
        NetworkOp::Connect => (1, 2),
        NetworkOp::Send => (6, 2),
        NetworkOp::Listen => (7, 1),
        NetworkOp::Accept => (1, 1),
        NetworkOp::Socket => (OTHER, 0),
    };
    let mut out = class(4001, 4, activity);
    let mut connection = Map::new();
    connection.insert("direction_id".into(), direction.into());
    if let Some(protocol) = &network.protocol {
        let number = match protocol.as_str() {
            "tcp" => Some(6),
            "udp" => Some(17),
            other => other.parse::<u32>().ok(),
        };
        connection.insert("protocol_name".into(), protocol.as_str().into());
        connection.extend(number.map(|number| ("protocol_num".to_owned(), number.into())));
    }
    out.insert("connection_info".into(), connection.into());
    let mut endpoint = Map::new();
    if let Some(address) = &network.address {
        let is_ip = address.parse::<std::net::IpAddr>().is_ok();
        endpoint.insert(if is_ip { "ip" } else { "name" }.into(), address.as_str().into());
    }
    endpoint.extend(network.domain.as_ref().map(|domain| ("domain".to_owned(), domain.as_str().into())));
    if endpoint.is_empty() {
        let family = network.family.as_deref().unwrap_or("unknown");
        endpoint.insert("name".into(), family.into());
    }
    endpoint.extend(network.port.map(|port| ("port".to_owned(), port.into())));
    let end = if direction == 1 { "src_endpoint" } else { "dst_endpoint" };
    out.insert(end.into(), endpoint.into());
    out
}

fn memory(event: &Event) -> Map<String, Value> {
    let activity = match event.memory.as_ref().map(|memory| memory.op) {
        Some(MemoryOp::MapExec) => 9,
        Some(MemoryOp::ProtectExec) => 2,
        None => 0,
    };
    let mut out = class(1004, 1, activity);
    out.insert("process".into(), process(&event.process));
    out
}

fn kernel(event: &Event) -> Map<String, Value> {
    let mut out = class(1003, 1, 4);
    let detail = event.object();
    let operation = event.operation();
    let name = if detail.is_empty() { operation } else { format!("{operation} {detail}") };
    out.insert("kernel".into(), json!({ "name": name, "type_id": 2 }));
    out
}

fn actor(event: &Event, process: Value) -> Value {
    let mut out = Map::new();
    out.insert("process".into(), process);
    out.extend(event.session.as_ref().map(|session| ("session".to_owned(), json!({ "uid": session }))));
    out.extend(event.agent.as_ref().map(|agent| ("app_name".to_owned(), agent.as_str().into())));
    out.into()
}

/// A process; one of which nothing is known has the name for that.
fn process(process: &Process) -> Value {
    let mut out = Map::new();
    if let Some(pid) = process.pid {
        out.insert("pid".into(), pid.into());
        if let Some(start) = process.start_time {
            out.insert("uid".into(), format!("{pid}:{start}").into());
        }
    }
    if let Some(exe) = &process.exe {
        out.insert("name".into(), name(exe).into());
        out.insert("file".into(), file_object(exe, None));
    }
    out.extend(process.cmdline.as_ref().map(|text| ("cmd_line".to_owned(), text.as_str().into())));
    out.extend(process.cwd.as_ref().map(|cwd| ("working_directory".to_owned(), cwd.as_str().into())));
    // `group` of a process is of the profile `linux_users`; a user's groups are of every one.
    let mut user = Map::new();
    user.extend(process.uid.map(|uid| ("uid".to_owned(), uid.to_string().into())));
    user.extend(process.gid.map(|gid| ("groups".to_owned(), json!([{ "uid": gid.to_string() }]))));
    if process.uid.is_some() {
        out.insert("user".into(), user.into());
    }
    out.extend(process.parent.as_ref().map(|parent| ("parent_process".to_owned(), ancestor(parent))));
    if let Some((container, id)) = process.container.as_ref().and_then(|found| Some((found, found.id.as_ref()?))) {
        let mut object = Map::from_iter([("uid".to_owned(), id.as_str().into())]);
        object.extend(container.runtime.as_ref().map(|runtime| ("runtime".to_owned(), runtime.as_str().into())));
        out.insert("container".into(), object.into());
    }
    if !out.contains_key("pid") {
        out.insert("uid".into(), "unknown".into());
    }
    out.into()
}

fn ancestor(parent: &Parent) -> Value {
    chain_link(&ChainLink { pid: parent.pid, exe: parent.exe.clone(), cmdline: parent.cmdline.clone() })
}

fn chain_link(link: &ChainLink) -> Value {
    let mut out = Map::new();
    match link.pid {
        Some(pid) => out.insert("pid".into(), pid.into()),
        None => out.insert("uid".into(), "unknown".into()),
    };
    if let Some(exe) = &link.exe {
        out.insert("name".into(), name(exe).into());
        out.insert("file".into(), file_object(exe, None));
    }
    out.extend(link.cmdline.as_ref().map(|text| ("cmd_line".to_owned(), text.as_str().into())));
    out.into()
}

fn file_object(path: &str, sha256: Option<&str>) -> Value {
    let mut out = json!({ "path": path, "name": name(path), "type_id": 0 });
    if let (Some(hash), Some(out)) = (sha256, out.as_object_mut()) {
        out.insert("hashes".into(), json!([{ "algorithm_id": 3, "value": hash }]));
    }
    out
}

fn name(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.is_empty() { "/" } else { name }
}

fn of_alert(alert: &Alert) -> Map<String, Value> {
    // Created, updated, closed.
    let activity = match (alert.state, alert.count) {
        (AlertState::Closed, _) => 3,
        (AlertState::Open, 1) => 1,
        _ => 2,
    };
    let mut out = class(2004, 2, activity);
    let status = match alert.state {
        AlertState::Open => 1,
        AlertState::Acknowledged => 2,
        AlertState::Closed => 4,
    };
    out.insert("status_id".into(), status.into());
    out.insert("message".into(), alert.title.as_str().into());
    out.insert("is_alert".into(), true.into());
    out.insert("count".into(), alert.count.into());
    out.insert("start_time".into(), milliseconds(&alert.first_seen).into());
    out.insert("end_time".into(), milliseconds(&alert.last_seen).into());
    out.extend(alert.note.as_ref().map(|note| ("comment".to_owned(), note.as_str().into())));
    let analytic = match (alert.source, alert.tier) {
        (_, Some(Tier::Classifier | Tier::Llm)) => 4,
        (AlertSource::Rule | AlertSource::Kernel | AlertSource::Tamper, _) => 1,
        (AlertSource::Loss | AlertSource::Degraded, _) => OTHER,
    };
    let name = alert.rule.as_deref().unwrap_or(&alert.key);
    let mut finding = json!({
        "uid": alert.id,
        "title": alert.title,
        "types": [alert.source],
        "first_seen_time": milliseconds(&alert.first_seen),
        "last_seen_time": milliseconds(&alert.last_seen),
        "analytic": { "name": name, "uid": name, "type_id": analytic },
    });
    let attacks = attacks(&alert.techniques);
    if let Some(finding) = finding.as_object_mut().filter(|_| !attacks.is_empty()) {
        finding.insert("attacks".into(), attacks.into());
    }
    out.insert("finding_info".into(), finding);
    let chain: Vec<Value> = alert.chain.iter().map(chain_link).collect();
    if let Some(own) = chain.first() {
        let mut evidence = json!({ "actor": { "process": own } });
        let path = alert.example_event.as_ref().and_then(|event| event.file.as_ref()?.path.as_deref());
        if let (Some(path), Some(evidence)) = (path, evidence.as_object_mut()) {
            evidence.insert("file".into(), file_object(path, None));
        }
        out.insert("evidences".into(), json!([evidence]));
    }
    let event = alert.example_event.as_ref().map(|event| event.id.as_str());
    out.insert(
        "unmapped".into(),
        json!({ "key": alert.key, "session": alert.session, "agent": alert.agent, "tags": alert.tags, "chain": chain, "example_event": event }),
    );
    out
}

fn milliseconds(time: &str) -> i64 {
    time.parse::<Timestamp>().map_or(0, |time| time.as_millisecond())
}
