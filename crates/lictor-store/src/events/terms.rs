// SPDX-License-Identifier: Apache-2.0
//! Search terms: what an event can be found by, and what a filter asks for.
//!
//! A term is a field and a value as one 64-bit hash. Two values with the same hash make the index name an event too many, never
//! one too few; whoever searches looks at the event itself afterwards.

use lictor_api::EventFilter;
use lictor_api::event::{Action, Event, Kind, Severity};
use lictor_api::search::{base_name, folded, host_port, pieces, words};
use twox_hash::XxHash3_64;

pub(super) type Term = u64;

/// The numbers are in files: none is ever used again for something else.
#[derive(Clone, Copy)]
enum Field {
    Kind = 1,
    Session = 2,
    Agent = 3,
    Denied = 4,
    Action = 5,
    Severity = 6,
    Pid = 7,
    Program = 8,
    Path = 9,
    Address = 10,
    Rule = 11,
    Word = 12,
    /// Losses that concern everybody.
    Lost = 13,
}

fn term(field: Field, value: &str) -> Term {
    XxHash3_64::oneshot_with_seed(field as u64, value.as_bytes())
}

/// Every term of `event`; some come more than once.
pub(super) fn of_event(event: &Event, out: &mut Vec<Term>) {
    out.push(term(Field::Kind, event.kind.as_str()));
    out.extend(event.session.as_deref().map(|session| term(Field::Session, session)));
    out.extend(event.agent.as_deref().map(|agent| term(Field::Agent, agent)));
    if event.kind == Kind::Lost && event.session.is_none() {
        out.push(term(Field::Lost, ""));
    }
    if event.is_denied() {
        out.push(term(Field::Denied, ""));
    }
    if let Some(verdict) = &event.verdict {
        out.push(term(Field::Action, verdict.action.as_str()));
        out.extend(verdict.severity.map(|severity| term(Field::Severity, severity.as_str())));
    }
    out.extend(event.process.pid.map(|pid| term(Field::Pid, &pid.to_string())));
    if let Some(exe) = &event.process.exe {
        out.push(term(Field::Program, exe));
        out.push(term(Field::Program, base_name(exe)));
    }
    event.paths().for_each(|path| of_path(path, out));
    let port = event.network.as_ref().and_then(|network| network.port);
    for host in event.hosts() {
        out.push(term(Field::Address, host));
        out.extend(port.map(|port| term(Field::Address, &host_port(host, port))));
    }
    out.extend(event.rules().map(|rule| term(Field::Rule, rule)));
    for text in event.texts() {
        out.extend(words(&folded(text)).map(|word| term(Field::Word, word)));
    }
}

/// A path can be found by itself and by every folder above it.
fn of_path(path: &str, out: &mut Vec<Term>) {
    let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    out.extend(ends.map(|end| term(Field::Path, &path[..end])));
    out.push(term(Field::Path, path));
}

/// What an event must have to match `filter`: of each group at least one. No group: any event may match.
pub(super) fn of_filter(filter: &EventFilter) -> Vec<Vec<Term>> {
    let mut groups = Vec::new();
    let lost = term(Field::Lost, "");
    groups.extend(filter.session.as_deref().map(|session| vec![term(Field::Session, session), lost]));
    groups.extend(filter.agent.as_deref().map(|agent| vec![term(Field::Agent, agent), lost]));
    if filter.denied {
        groups.push(vec![term(Field::Denied, ""), lost]);
    }
    if !filter.kinds.is_empty() {
        groups.push(filter.kinds.iter().map(|kind| term(Field::Kind, kind.as_str())).collect());
    }
    if !filter.verdicts.is_empty() {
        groups.push(filter.verdicts.iter().map(|action: &Action| term(Field::Action, action.as_str())).collect());
    }
    if let Some(least) = filter.severity {
        let enough = Severity::ALL.iter().filter(|severity| **severity >= least);
        groups.push(enough.map(|severity| term(Field::Severity, severity.as_str())).collect());
    }
    groups.extend(filter.pid.map(|pid| vec![term(Field::Pid, &pid.to_string())]));
    groups.extend(filter.program.as_deref().map(|program| vec![term(Field::Program, program)]));
    let path = filter.path.as_deref().map(|path| path.trim_end_matches('/')).filter(|path| !path.is_empty());
    groups.extend(path.map(|path| vec![term(Field::Path, path)]));
    groups.extend(filter.address.as_deref().map(|address| vec![term(Field::Address, address)]));
    groups.extend(filter.rule.as_deref().map(|rule| vec![term(Field::Rule, rule)]));
    if let Some(pieces) = filter.text.as_deref().and_then(|text| pieces(text).ok()) {
        for piece in pieces {
            groups.extend(words(&piece).map(|word| vec![term(Field::Word, word)]));
        }
    }
    groups
}
