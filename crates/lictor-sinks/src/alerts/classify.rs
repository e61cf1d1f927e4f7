// SPDX-License-Identifier: Apache-2.0
//! Which events are something for a person, and which of them are the same thing.

use std::net::IpAddr;

use lictor_api::alert::{AlertSource, ChainLink};
use lictor_api::event::{Action, Event, FileOp, Kind, Severity, Tier};

/// The floor's rule for Lictor's own files, sockets and processes.
const GUARD: &str = "floor.guard";

/// What an event amounts to.
pub(super) struct Occurrence {
    pub(super) key: String,
    pub(super) title: String,
    pub(super) source: AlertSource,
    pub(super) severity: Severity,
    /// By how much the alert's count grows.
    pub(super) weight: u64,
    /// The rule, where one is behind it.
    pub(super) rule: Option<String>,
}

/// `None` for what needs nobody.
pub(super) fn classify(event: &Event) -> Option<Occurrence> {
    if let Some(lost) = &event.lost {
        return Some(Occurrence {
            key: format!("loss:{}", lost.reason),
            title: format!("events were lost: {}", lost.reason),
            source: AlertSource::Loss,
            severity: Severity::High,
            weight: lost.count.max(1),
            rule: None,
        });
    }
    let verdict = event.verdict.as_ref()?;
    if verdict.action == Action::Allow {
        return None;
    }
    let whose = format!("{}:{}", event.agent.as_deref().unwrap_or("-"), event.session.as_deref().unwrap_or("-"));
    let did = match (verdict.action, verdict.enforced) {
        (Action::Deny | Action::Kill, Some(false)) => "would have been denied",
        (Action::Deny, _) => "was denied",
        (Action::Kill, _) => "was ended",
        (Action::Hold, _) => "waits for a person",
        (Action::Alert | Action::Allow, _) => "was noticed",
    };
    let what = what(event);
    let occurrence = match verdict.tier {
        Tier::Rules | Tier::Classifier | Tier::Llm | Tier::VerdictCache | Tier::Human => {
            let rule = verdict.rule.clone();
            let name = rule.clone().unwrap_or_else(|| format!("{}:{}", verdict.tier, class(event)));
            let reason = verdict.reason.as_deref().unwrap_or("a judge objected");
            Occurrence {
                key: format!("rule:{name}:{whose}"),
                title: format!("{what} {did}: {reason}"),
                source: AlertSource::Rule,
                severity: verdict.severity.unwrap_or(Severity::Medium),
                weight: 1,
                rule,
            }
        }
        // Lictor's own files are denied by every session's policy, its other objects by the floor.
        Tier::Floor | Tier::Policy if verdict.rule.as_deref() == Some(GUARD) => Occurrence {
            key: format!("tamper:{}:{}:{whose}", event.kind, class(event)),
            title: format!("an attack on Lictor {did}: {what}"),
            source: AlertSource::Tamper,
            severity: Severity::Critical,
            weight: 1,
            rule: verdict.rule.clone(),
        },
        tier @ (Tier::Floor | Tier::Heartbeat | Tier::Policy) => Occurrence {
            key: format!("kernel:{tier}:{}:{}:{whose}", event.kind, class(event)),
            title: format!("{what} {did} by the {tier}"),
            source: AlertSource::Kernel,
            severity: verdict.severity.unwrap_or_else(|| severity(tier, verdict.rule.as_deref())),
            weight: 1,
            rule: verdict.rule.clone(),
        },
    };
    Some(occurrence)
}

/// A denial that no rule named: what a list does not name happens to every honest program, what it names as forbidden less.
fn severity(tier: Tier, rule: Option<&str>) -> Severity {
    match tier {
        Tier::Heartbeat => Severity::High,
        Tier::Floor => Severity::Medium,
        _ if rule.is_some_and(|rule| rule.contains(".deny[") || rule == "policy.object") => Severity::Medium,
        _ => Severity::Low,
    }
}

fn what(event: &Event) -> String {
    let (operation, object) = (event.operation(), event.object());
    let operation = if operation == event.kind.as_str() { operation } else { format!("{} {operation}", event.kind) };
    if object.is_empty() { operation } else { format!("{operation} of {object}") }
}

/// What the object has in common with others that make the same alert.
fn class(event: &Event) -> String {
    match event.kind {
        Kind::Exec => directory(event.exec.as_ref().and_then(|exec| exec.path.as_deref())),
        Kind::File => {
            let op = event.file.as_ref().map_or("-", |file| if file.op == FileOp::Read { "read" } else { "write" });
            format!("{op}:{}", top(event.file.as_ref().and_then(|file| file.path.as_deref())))
        }
        Kind::Network => {
            let reach = event.network.as_ref().and_then(|network| network.address.as_deref()).map_or("-", reach);
            format!("{}:{reach}", event.operation())
        }
        Kind::Process | Kind::Memory | Kind::Privilege | Kind::Lost => event.operation(),
    }
}

fn directory(path: Option<&str>) -> String {
    let path = path.unwrap_or("-");
    path.rsplit_once('/').map_or(path, |(directory, _)| directory).to_owned()
}

/// The first two names of a path: `/home/mia` of `/home/mia/.ssh/id_rsa`.
fn top(path: Option<&str>) -> String {
    let path = path.unwrap_or("-");
    let end = path.match_indices('/').nth(2).map_or(path.len(), |(at, _)| at);
    path.get(..end).unwrap_or(path).to_owned()
}

fn reach(address: &str) -> &'static str {
    let Ok(address) = address.parse::<IpAddr>() else { return "unix" };
    match address.to_canonical() {
        IpAddr::V4(address) if address.is_loopback() => "loopback",
        IpAddr::V4(address) if address.is_link_local() => "link-local",
        IpAddr::V4(address) if address.is_private() => "private",
        IpAddr::V6(address) if address.is_loopback() => "loopback",
        IpAddr::V6(address) if address.is_unicast_link_local() => "link-local",
        IpAddr::V6(address) if address.is_unique_local() => "private",
        _ => "public",
    }
}

/// ATT&CK techniques among the tags, and the other tags.
pub(super) fn techniques(tags: &[String]) -> (Vec<String>, Vec<String>) {
    tags.iter().cloned().partition(|tag| {
        let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(number) = tag.strip_prefix('T') else { return false };
        match number.split_once('.') {
            Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
            None => digits(number, 4),
        }
    })
}

/// The acting process and its ancestors, nearest first.
pub(super) fn chain(event: &Event, longest: usize) -> Vec<ChainLink> {
    let process = &event.process;
    let own = ChainLink {
        pid: process.pid,
        exe: process.exe.clone(),
        cmdline: process.cmdline.as_deref().map(|text| cut(text, longest)),
    };
    if own == ChainLink::default() {
        return Vec::new();
    }
    let ancestors = process.parent.iter().chain(&process.ancestors).map(|parent| ChainLink {
        pid: parent.pid,
        exe: parent.exe.clone(),
        cmdline: parent.cmdline.as_deref().map(|text| cut(text, longest)),
    });
    std::iter::once(own).chain(ancestors).take(32).collect()
}

/// At most `longest` bytes of `text`, and whether something is missing.
pub(super) fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let mut end = longest;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}
