// SPDX-License-Identifier: Apache-2.0
//! The rules that are shipped: complete, true to their own tests, silent about ordinary work, and awake for attacks.
//!
//! `LICTOR_UPDATE_RULES=1` writes the table of `rules/README.md` anew. Recorded attacks are judged where
//! `LICTOR_SHARED_DATA`, or `../shared/data` beside the checkout, holds `attacks/atomics.jsonl`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use lictor_api::event::{Event, Kind, Severity};
use lictor_judge::Basis;
use lictor_judge::rules::{self, Act, Expect, Hit, RuleSet, Selection, State};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pack() -> RuleSet {
    let files = rules::read(&root().join("rules")).unwrap_or_else(|problems| panic!("{problems:#?}"));
    rules::parse(&files).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn everything(set: &RuleSet) -> Selection {
    set.select(&["*"])
}

/// An event that says no more than the JSON does.
fn event(json: Value) -> Event {
    let mut event: Event = serde_json::from_value(json).expect("an event");
    rules::complete(&mut event);
    event
}

fn hits<'s>(set: &'s RuleSet, selection: &Selection, event: &Event) -> Vec<Hit<'s>> {
    set.hits(event, selection, None).expect("there is no deadline")
}

fn names(hits: &[Hit<'_>]) -> Vec<String> {
    hits.iter().map(|hit| hit.rule.id.clone()).collect()
}

#[test]
fn every_rule_passes_its_own_tests() {
    let set = pack();
    let failed: Vec<_> = set
        .rules()
        .iter()
        .flat_map(|rule| rule.trials().filter_map(|trial| trial.problem(rule)).map(|problem| (&rule.id, problem)))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_rule_says_what_a_person_needs() {
    let set = pack();
    let active = set.rules().iter().filter(|rule| rule.state == State::Active).count();
    assert!(active >= 90, "only {active} rules are active");
    for rule in set.rules() {
        let id = &rule.id;
        assert!(rule.description.len() > 15, "{id}: the description says too little");
        assert!(rule.reason.len() > 15 && rule.reason != rule.description, "{id}: no reason for people");
        assert!(rule.tags.iter().any(|tag| is_technique(tag)), "{id}: no technique");
        assert!(rule.tags.iter().any(|tag| !is_technique(tag)), "{id}: no plain label");
        assert!(!rule.false_positives.is_empty(), "{id}: nothing is said about false positives");
        let of = |expect| rule.tests.iter().filter(|test| test.expect == expect).count();
        assert!(of(Expect::Match) >= 2 && of(Expect::NoMatch) >= 2, "{id}: two tests of each kind are asked for");
        if rule.action == Act::Deny {
            assert!(rule.severity >= Severity::High, "{id}: what is denied is at least of high severity");
        }
        assert!(matches!(rule.action, Act::Deny | Act::Alert), "{id}: a shipped rule denies or alerts");
        assert!(rule.basis <= Basis::Once, "{id}");
    }
}

/// `T1059` or `T1059.004`.
fn is_technique(tag: &str) -> bool {
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(number) = tag.strip_prefix('T') else { return false };
    match number.split_once('.') {
        Some((technique, part)) => digits(technique, 4) && digits(part, 3),
        None => digits(number, 4),
    }
}

#[test]
fn no_condition_fails_where_facts_are_missing() {
    let set = pack();
    let selection = everything(&set);
    let mut sparse = Vec::new();
    for kind in Kind::ALL {
        sparse.push(json!({ "kind": kind.as_str() }));
        sparse.push(json!({ "kind": kind.as_str(), "process": { "args": [], "exe": "/usr/bin/true" } }));
    }
    for op in ["connect", "send", "listen", "accept", "socket"] {
        sparse.push(json!({ "kind": "network", "network": { "op": op } }));
        sparse.push(json!({ "kind": "network", "network": { "op": op, "family": "unix", "address": "@x" } }));
    }
    for op in ["fork", "exit", "signal", "trace", "setuid"] {
        sparse.push(json!({ "kind": "process", "process_event": { "op": op } }));
    }
    for op in ["read", "write", "create", "delete", "rename", "link", "attributes"] {
        sparse.push(json!({ "kind": "file", "file": { "op": op } }));
    }
    for json in sparse {
        let event = event(json.clone());
        let failed: Vec<_> = hits(&set, &selection, &event)
            .iter()
            .filter_map(|hit| hit.fault.map(|fault| (hit.rule.id.clone(), fault)))
            .collect();
        assert!(failed.is_empty(), "{json}: {failed:?}");
    }
}

#[test]
fn a_coding_session_raises_nothing_above_low() {
    let set = pack();
    let selection = everything(&set);
    let path = root().join("tests/scenarios/coding-session.jsonl");
    let text = fs::read_to_string(&path).expect("the scenario");
    let mut lines = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in text.lines() {
        let event = event(serde_json::from_str(line).expect("JSON"));
        let args = event.process.args.clone().unwrap_or_default();
        if event.kind == Kind::Exec && args.iter().any(|arg| arg == "-c" || arg == "-lc") {
            lines.insert(args.last().cloned());
        }
        let found = hits(&set, &selection, &event);
        if found
            .iter()
            .any(|hit| hit.fault.is_some() || hit.rule.action == Act::Deny || hit.rule.severity > Severity::Low)
        {
            wrong.push((event.object(), event.process.cmdline.clone(), names(&found)));
        }
    }
    assert!(lines.len() >= 300, "only {} command lines", lines.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One recorded behaviour, as the list has it.
struct Behaviour {
    id: String,
    shell: String,
    command: String,
    tier: String,
}

fn behaviours() -> Option<Vec<Behaviour>> {
    let given = std::env::var_os("LICTOR_SHARED_DATA").map(PathBuf::from);
    let data = given.unwrap_or_else(|| root().join("../shared/data"));
    let text = match fs::read_to_string(data.join("attacks/atomics.jsonl")) {
        Ok(text) => text,
        Err(error) => {
            println!("skipped: no recorded attacks in {}: {error}", data.display());
            return None;
        }
    };
    let text_of = |value: &Value| value.as_str().expect("text").to_owned();
    let of = |line: &str| {
        let json: Value = serde_json::from_str(line).expect("JSON");
        Behaviour {
            id: text_of(&json["id"]),
            shell: text_of(&json["shell"]),
            command: text_of(&json["cmd"]),
            tier: text_of(&json["expect"]["tier"]),
        }
    };
    Some(text.lines().map(of).collect())
}

#[test]
fn recorded_attacks_are_seen_and_discovery_is_only_noted() {
    let Some(behaviours) = behaviours() else { return };
    let set = pack();
    let selection = everything(&set);
    let (mut asked, mut missed, mut wrong) = (0, Vec::new(), Vec::new());
    for Behaviour { id, shell, command, tier } in behaviours {
        // Seen twice: as the shell's execution, and as that of what limits its time.
        let found: Vec<_> = [json!(["timeout", "30", shell, "-c", command]), json!([shell, "-c", command])]
            .map(|args| event(json!({ "kind": "exec", "process": { "args": args } })))
            .iter()
            .map(|event| hits(&set, &selection, event))
            .collect();
        let worst = |hits: &Vec<Hit<'_>>| hits.iter().map(|hit| hit.rule.severity).max();
        let denied = |hits: &Vec<Hit<'_>>| hits.iter().any(|hit| hit.rule.action == Act::Deny);
        match tier.as_str() {
            "must_detect" | "should_alert" => {
                asked += 1;
                if !found.iter().all(|hits| worst(hits) >= Some(Severity::Medium)) {
                    missed.push((id, command));
                }
            }
            "recon_log" if !found.iter().all(|hits| worst(hits).is_some() && !denied(hits)) => {
                wrong.push((id, command))
            }
            // Nothing that an execution hook could see.
            _ => {}
        }
    }
    println!("{} of {asked} attacks are seen, missed: {missed:?}", asked - missed.len());
    assert!(asked > 0, "the list is empty");
    // The list counts `hostname; whoami`, typed behind a space, as an attack: no event can tell it from the plain one.
    assert!(missed.len() <= 1, "{missed:#?}");
    assert!(wrong.is_empty(), "discovery is denied or not even noted: {wrong:#?}");
}

#[test]
fn the_table_of_the_readme_is_the_pack() {
    const BEGIN: &str = "<!-- rules: begin -->\n";
    const END: &str = "<!-- rules: end -->\n";
    let path = root().join("rules/README.md");
    let readme = fs::read_to_string(&path).expect("rules/README.md");
    let (head, rest) = readme.split_once(BEGIN).expect("the mark of the table's begin");
    let (_, tail) = rest.split_once(END).expect("the mark of the table's end");
    let current = format!("{head}{BEGIN}{}{END}{tail}", table(&pack()));
    if std::env::var_os("LICTOR_UPDATE_RULES").is_some() {
        fs::write(&path, &current).unwrap();
        return;
    }
    let hint = "run `LICTOR_UPDATE_RULES=1 cargo test -p lictor-judge rule_pack` and commit rules/README.md";
    assert!(readme == current, "{hint}");
}

fn table(set: &RuleSet) -> String {
    let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for rule in set.rules() {
        // `.../rules/shells.yaml:7:5` is `shells.yaml`.
        let file = rule.source.rsplit('/').next().and_then(|name| name.split(':').next()).expect("a file");
        let techniques: Vec<_> = rule.tags.iter().filter(|tag| is_technique(tag)).map(String::as_str).collect();
        let row = format!(
            "| `{}` | {} | {} | {} | {} |",
            rule.id,
            rule.severity,
            rule.action,
            techniques.join(" "),
            rule.description.replace('|', "\\|")
        );
        files.entry(file).or_default().push(row);
    }
    let mut out = String::new();
    let denies = set.rules().iter().filter(|rule| rule.action == Act::Deny).count();
    writeln!(out, "{} rules, {denies} of them deny.", set.rules().len()).unwrap();
    for (file, rows) in files {
        writeln!(out, "\n### {file}\n\n| rule | severity | action | technique | what |\n|---|---|---|---|---|")
            .unwrap();
        for row in rows {
            writeln!(out, "{row}").unwrap();
        }
    }
    out
}
