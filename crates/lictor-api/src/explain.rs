// SPDX-License-Identifier: Apache-2.0
//! From an event to an answer: why was this decided, and which line would change it.
//!
//! Works on the event alone, so that it also explains what a daemon recorded that has ended since.

use crate::bytes::printable;
use crate::control::{Explanation, Fact};
use crate::event::{Action, Event, FileOp, NetworkOp, ProcessOp, Tier, Verdict};

/// Explains `event`.
#[must_use]
pub fn explain(event: Event) -> Explanation {
    let verdict = event.verdict.as_ref();
    Explanation {
        summary: summary(&event),
        rule: verdict.and_then(|verdict| verdict.rule.clone()),
        source: verdict.and_then(|verdict| verdict.source.clone()),
        facts: facts(&event),
        fix: verdict.and_then(|verdict| fix(&event, verdict)),
        event,
    }
}

/// `curl (pid 412) of agent coder: exec /usr/bin/curl was denied by policy: REASON`
fn summary(event: &Event) -> String {
    let mut out = String::new();
    match (&event.process.exe, event.process.pid) {
        (Some(exe), Some(pid)) => out.push_str(&format!("{exe} (pid {pid})")),
        (Some(exe), None) => out.push_str(exe),
        (None, Some(pid)) => out.push_str(&format!("pid {pid}")),
        (None, None) => out.push_str("a process"),
    }
    if let Some(agent) = &event.agent {
        out.push_str(&format!(" of agent {agent}"));
    }
    out.push_str(&format!(": {}", event.operation()));
    if !event.object().is_empty() {
        out.push_str(&format!(" {}", event.object()));
    }
    let Some(verdict) = &event.verdict else { return out };
    let became = match (verdict.action, verdict.enforced) {
        (Action::Deny | Action::Kill, Some(false)) => "would have been denied",
        (Action::Allow, _) => "was allowed",
        (Action::Deny, _) => "was denied",
        (Action::Kill, _) => "was ended by SIGKILL",
        (Action::Hold, _) => "was held",
        (Action::Alert, _) => "was reported",
    };
    out.push_str(&format!(" {became} by {}", tier_in_words(verdict.tier)));
    if let Some(reason) = &verdict.reason {
        // The tier is in the sentence already.
        out.push_str(&format!(": {}", reason.strip_prefix("the floor: ").unwrap_or(reason)));
    }
    out
}

fn tier_in_words(tier: Tier) -> &'static str {
    match tier {
        Tier::Floor => "the floor, which holds whatever the policy says",
        Tier::Heartbeat => "the kernel, as lictord had not been heard of",
        Tier::Policy => "the policy",
        Tier::VerdictCache => "a stored verdict",
        Tier::Rules => "a rule",
        Tier::Classifier => "the classifier",
        Tier::Llm => "the language model",
        Tier::Human => "a person",
    }
}

fn facts(event: &Event) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.push(Fact { name: name.to_owned(), value });
        }
    };
    let process = &event.process;
    add("operation", Some(event.operation()));
    add("object", Some(event.object()));
    if let Some(exec) = &event.exec {
        add("sha256", exec.sha256.clone());
        add("interpreter", exec.interpreter.clone());
        add("arguments, as passed", Some(exec.args.join(" ")));
    }
    if let Some(network) = &event.network {
        add("family", network.family.clone());
        add("protocol", network.protocol.clone());
        add("domain", network.domain.clone());
    }
    add("program", process.exe.clone());
    add("command line", process.cmdline.clone());
    add("directory", process.cwd.clone());
    add("pid", process.pid.map(|pid| pid.to_string()));
    add("user", process.uid.map(|uid| format!("uid {uid}")));
    add("started by", process.parent.as_ref().and_then(|parent| parent.exe.clone()));
    add("container", process.container.as_ref().map(ToString::to_string));
    add("session", event.session.clone());
    add("agent", event.agent.clone());
    add("time", Some(event.time.clone()));
    add("decided in", event.verdict.as_ref().and_then(|verdict| verdict.latency_us).map(|us| format!("{us} µs")));
    facts
}

/// The line that would change a denial. Allowed events have none: nothing is to be mended.
fn fix(event: &Event, verdict: &Verdict) -> Option<String> {
    if !event.is_denied() {
        return None;
    }
    match verdict.tier {
        Tier::Heartbeat => Some(
            "start lictord again (`systemctl restart lictord`): it takes over the sessions that are running".to_owned(),
        ),
        Tier::Floor => Some(floor_fix(event)),
        Tier::Policy => policy_fix(event, verdict),
        Tier::VerdictCache | Tier::Rules | Tier::Classifier | Tier::Llm | Tier::Human => None,
    }
}

/// The lists of a policy, as rules name them behind the agent.
const LISTS: &[&str] = &[
    "exec.allow",
    "exec.deny",
    "exec.libraries",
    "files.read",
    "files.write",
    "files.deny",
    "files.readonly",
    "network.connect",
    "network.listen",
    "network.deny",
    "network.unix",
];

/// Agents that nobody has written a policy for: the profiles that ship with Lictor.
pub const BUILTIN_AGENTS: &[&str] = &["default", "claude-code", "codex", "gemini-cli", "opencode", "aider"];

fn policy_fix(event: &Event, verdict: &Verdict) -> Option<String> {
    let rule = verdict.rule.as_deref()?;
    let agent = event.agent.as_deref().unwrap_or("NAME");
    match rule {
        "exec.anonymous" => return Some(format!("agents.{agent}.exec.anonymous: allow")),
        "undecided" => return Some(format!("agents.{agent}.undecided: allow")),
        "network" => {
            return Some(format!("leave agents.{agent}.network out: with it, rare address families are closed"));
        }
        "exec.deny" => {
            let hash = event.exec.as_ref().and_then(|exec| exec.sha256.as_deref()).unwrap_or("...");
            return Some(format!("agents.{agent}.exec.deny: take \"sha256:{hash}\" out"));
        }
        "policy.object" => {
            return Some(format!(
                "take the entry that denies the object under its other name out of agents.{agent}: a deny follows the object"
            ));
        }
        "files.move" => {
            return Some(format!(
                "make agents.{agent}.files say the same of the old and the new name, or copy instead of moving"
            ));
        }
        _ => {}
    }
    let source = verdict.source.as_deref().unwrap_or_default();
    let place = if source.is_empty() { String::new() } else { format!(" ({source})") };
    let is_builtin = source.starts_with("builtin:");
    let (path, entry) = match rule.strip_suffix(']').and_then(|rule| rule.rsplit_once('[')) {
        Some((path, _)) => (path, true),
        None => (rule, false),
    };
    let list = LISTS.iter().find(|list| path.strip_suffix(**list).is_some_and(|agent| agent.ends_with('.')))?;
    if entry {
        // An entry decided: it has to go, or to become narrower. Nothing that is added elsewhere beats it.
        return Some(if is_builtin {
            format!(
                "the built-in profiles forbid it{place}, and what extends them cannot take that back: give agent {agent} \
                 lists of its own, without `extends` and without this entry"
            )
        } else {
            format!(
                "take the entry {rule}{place} out, or make its pattern narrower: {list} beats every list that permits"
            )
        });
    }
    let value = quoted(&permitted_by(event)?);
    Some(if BUILTIN_AGENTS.contains(&agent) && is_builtin {
        let (section, key) = list.split_once('.')?;
        format!(
            "write a policy that adds to the built-in profile, and run with --policy FILE --agent mine:\n\
             version: 1\nagents:\n  mine:\n    extends: {agent}\n    {section}:\n      {key}: [\"{value}\"]"
        )
    } else if is_builtin {
        format!("agents.{agent}.{list}: add \"{value}\"; the list so far is the built-in profile's{place}")
    } else {
        format!("agents.{agent}.{list}{place}: add \"{value}\"")
    })
}

/// `text` inside a double-quoted YAML string.
fn quoted(text: &str) -> String {
    printable(&text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The pattern that means just this path.
fn pattern(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for character in path.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

fn floor_fix(event: &Event) -> String {
    match given_back_by(event) {
        Some(name) => format!(
            "agents.{}.privileges: add {name}, if this agent may be trusted with it",
            event.agent.as_deref().unwrap_or("NAME")
        ),
        None => "no line of a policy gives this back: run it outside of the session".to_owned(),
    }
}

/// The privilege that would permit what the floor denied.
fn given_back_by(event: &Event) -> Option<&'static str> {
    if let Some(privilege) = &event.privilege {
        return match (privilege.op.as_str(), privilege.detail.as_deref()) {
            ("mount" | "namespace", _) | ("capability", Some("sys_admin")) => Some("mount"),
            ("userns", _) => Some("userns"),
            ("bpf", _) | ("capability", Some("bpf" | "net_admin")) => Some("bpf"),
            ("perf", _) | ("capability", Some("perfmon")) => Some("perf"),
            ("key", _) => Some("keyring"),
            ("module", _) | ("capability", Some("sys_module")) => Some("modules"),
            ("tun", _) | ("capability", Some("net_raw")) => Some("raw_sockets"),
            ("capability", Some("sys_ptrace")) => Some("ptrace"),
            _ => None,
        };
    }
    if let Some(network) = &event.network {
        let raw = matches!(network.family.as_deref(), Some("packet" | "inet" | "inet6"));
        // SCTP and its like stay closed whatever is given back.
        let of_raw = !matches!(network.protocol.as_deref(), Some("sctp" | "tcp" | "udp"));
        return (raw && of_raw).then_some("raw_sockets");
    }
    // Signals stay inside the session whatever is given back.
    let traces = event.process_event.as_ref().is_some_and(|process| process.op == ProcessOp::Trace);
    traces.then_some("ptrace")
}

/// What a list would have to name for this event to be permitted.
fn permitted_by(event: &Event) -> Option<String> {
    if let Some(network) = &event.network {
        let connects =
            matches!(network.op, NetworkOp::Connect | NetworkOp::Send | NetworkOp::Listen | NetworkOp::Accept);
        let is_path = network.port.is_none();
        return connects.then(|| if is_path { pattern(&network.endpoint()) } else { network.endpoint() });
    }
    if let Some(file) = &event.file {
        // Both ends of a rename or link must be permitted; the new name is the one that is usually not.
        let new_name = matches!(file.op, FileOp::Rename | FileOp::Link).then(|| file.to.clone()).flatten();
        return new_name.or_else(|| file.path.clone()).as_deref().map(pattern);
    }
    let exec = event.exec.as_ref().and_then(|exec| exec.path.clone());
    exec.or_else(|| event.memory.as_ref().and_then(|memory| memory.path.clone())).as_deref().map(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Event {
        serde_json::from_str(json).unwrap()
    }

    fn check_fix(json: &str, expected: Option<&str>) {
        assert_eq!(explain(event(json)).fix.as_deref(), expected, "{json}");
    }

    #[test]
    fn a_denial_is_told_in_one_sentence() {
        let explanation = explain(event(
            r#"{"kind":"file","agent":"coder","process":{"pid":4,"exe":"/usr/bin/cat"},"file":{"op":"read","path":"/etc/shadow"},
                "verdict":{"action":"deny","tier":"policy","rule":"coder.files.deny[0]","source":"p.yaml:9:14","reason":"files.deny names it","latency_us":3}}"#,
        ));
        assert_eq!(
            explanation.summary,
            "/usr/bin/cat (pid 4) of agent coder: read /etc/shadow was denied by the policy: files.deny names it"
        );
        assert_eq!(explanation.source.as_deref(), Some("p.yaml:9:14"));
        let facts: Vec<String> = explanation.facts.iter().map(|fact| format!("{}={}", fact.name, fact.value)).collect();
        assert_eq!(
            facts.join("; "),
            "operation=read; object=/etc/shadow; program=/usr/bin/cat; pid=4; agent=coder; decided in=3 µs"
        );
    }

    #[test]
    fn the_line_that_would_change_it_is_named() {
        check_fix(
            r#"{"kind":"file","file":{"op":"read","path":"/k"},"verdict":{"action":"deny","tier":"policy","rule":"a.files.deny[2]","source":"p:1:2"}}"#,
            Some(
                "take the entry a.files.deny[2] (p:1:2) out, or make its pattern narrower: files.deny beats every list that permits",
            ),
        );
        check_fix(
            r#"{"kind":"file","file":{"op":"rename","path":"/a","to":"/b"},"agent":"a","verdict":{"action":"deny","tier":"policy","rule":"a.files.write","source":"p:7:3"}}"#,
            Some(r#"agents.a.files.write (p:7:3): add "/b""#),
        );
        check_fix(
            r#"{"kind":"network","network":{"op":"send","protocol":"udp","address":"2001:db8::1","port":53},"agent":"a","verdict":{"action":"deny","tier":"policy","rule":"a.network.connect"}}"#,
            Some(r#"agents.a.network.connect: add "[2001:db8::1]:53/udp""#),
        );
        check_fix(
            r#"{"kind":"privilege","agent":"a","privilege":{"op":"mount"},"verdict":{"action":"deny","tier":"floor"}}"#,
            Some("agents.a.privileges: add mount, if this agent may be trusted with it"),
        );
        check_fix(
            r#"{"kind":"exec","exec":{"path":"/bin/ls"},"verdict":{"action":"allow","tier":"policy","rule":"a.exec.allow[0]"}}"#,
            None,
        );
    }

    #[test]
    fn what_a_built_in_profile_denies_is_changed_by_a_policy_of_ones_own() {
        check_fix(
            r#"{"kind":"file","agent":"default","file":{"op":"write","path":"/opt/\"x\n[1]"},"verdict":{"action":"deny","tier":"policy","rule":"default.files.write","source":"builtin:default:7:3"}}"#,
            Some(
                "write a policy that adds to the built-in profile, and run with --policy FILE --agent mine:\n\
                 version: 1\nagents:\n  mine:\n    extends: default\n    files:\n      write: [\"/opt/\\\"x\\n\\\\[1\\\\]\"]",
            ),
        );
        let explanation = explain(event(
            r#"{"kind":"file","agent":"codex","file":{"op":"read","path":"/k"},"verdict":{"action":"deny","tier":"policy","rule":"base.files.deny[2]","source":"builtin:base:1:2"}}"#,
        ));
        assert!(explanation.fix.unwrap().starts_with("the built-in profiles forbid it (builtin:base:1:2)"));
        check_fix(
            r#"{"kind":"file","agent":"coder","file":{"op":"write","path":"/opt/x"},"verdict":{"action":"deny","tier":"policy","rule":"coder.files.write","source":"builtin:base:19:9"}}"#,
            Some(
                r#"agents.coder.files.write: add "/opt/x"; the list so far is the built-in profile's (builtin:base:19:9)"#,
            ),
        );
    }

    #[test]
    fn denials_that_no_list_entry_made_have_their_own_way_out() {
        let check = |rule: &str, start: &str| {
            let json = format!(
                r#"{{"kind":"exec","agent":"a","exec":{{"path":"/x"}},"verdict":{{"action":"deny","tier":"policy","rule":"{rule}"}}}}"#
            );
            let fix = explain(event(&json)).fix.unwrap_or_default();
            assert!(fix.starts_with(start) && fix.is_empty() == start.is_empty(), "{rule}: {fix}");
        };
        check("exec.anonymous", "agents.a.exec.anonymous: allow");
        check("undecided", "agents.a.undecided: allow");
        check("exec.deny", "agents.a.exec.deny: take");
        check("network", "leave agents.a.network out");
        check("policy.object", "take the entry that denies the object");
        check("files.move", "make agents.a.files say the same");
        check("fail-closed", "");
        check("", "");
    }

    #[test]
    fn a_privilege_is_named_only_where_it_helps() {
        let check = |object: &str, privilege: Option<&str>| {
            let json = format!(r#"{{"kind":"privilege",{object},"verdict":{{"action":"deny","tier":"floor"}}}}"#);
            let fix = explain(event(&json)).fix.unwrap();
            let expected = privilege
                .map_or("no line of a policy".to_owned(), |name| format!("agents.NAME.privileges: add {name},"));
            assert!(fix.starts_with(&expected), "{object}: {fix}");
        };
        check(r#""privilege":{"op":"capability","detail":"sys_ptrace"}"#, Some("ptrace"));
        check(r#""privilege":{"op":"capability","detail":"sys_boot"}"#, None);
        check(r#""privilege":{"op":"io_uring"}"#, None);
        check(r#""process_event":{"op":"trace","target":1}"#, Some("ptrace"));
        check(r#""process_event":{"op":"signal","target":1}"#, None);
        check(r#""network":{"op":"socket","family":"packet"}"#, Some("raw_sockets"));
        check(r#""network":{"op":"socket","family":"inet","protocol":"sctp"}"#, None);
        check(r#""network":{"op":"socket","family":"alg"}"#, None);
    }

    #[test]
    fn the_floor_is_named_once() {
        let explanation = explain(event(
            r#"{"kind":"privilege","privilege":{"op":"mount"},"verdict":{"action":"deny","tier":"floor","reason":"the floor: a governed process may not use mount"}}"#,
        ));
        assert_eq!(
            explanation.summary,
            "a process: mount was denied by the floor, which holds whatever the policy says: a governed process may not use mount"
        );
    }

    #[test]
    fn monitoring_says_would_have_been() {
        let explanation = explain(event(
            r#"{"kind":"exec","exec":{"path":"/x"},"verdict":{"action":"deny","tier":"policy","enforced":false}}"#,
        ));
        assert_eq!(explanation.summary, "a process: exec /x would have been denied by the policy");
    }
}
