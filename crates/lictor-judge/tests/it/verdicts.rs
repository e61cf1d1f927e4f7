// SPDX-License-Identifier: Apache-2.0
//! What the rules together say: order, states, selection, basis, counters.

use std::sync::Arc;

use lictor_api::event::{Event, Severity, Tier};
use lictor_judge::rules::{FAILED, Rules, TESTING, parse};
use lictor_judge::{Answer, Basis, Failure, Outcome};

use super::{event, file, rule, set};

fn sh() -> Event {
    event(
        r#"{"kind":"exec","time":"2026-01-02T03:04:05Z","session":"s-1","agent":"coder","process":{"exe":"/bin/sh","args":["sh"],"cmdline":"sh"},"exec":{"path":"/bin/sh"}}"#,
    )
}

#[track_caller]
fn answer(rules: &[String], event: &Event) -> Answer {
    Rules::for_everybody(set(&file(rules))).answer(event, None).unwrap()
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.findings.iter().map(|finding| finding.rule.as_str()).collect()
}

#[test]
fn the_order_is_that_of_the_contract() {
    let (allow, deny) = (rule("allow", "allow", "true"), rule("deny", "deny", "true"));
    let (alert, escalate) = (rule("alert", "alert", "true"), rule("escalate", "escalate", "true"));
    let all = answer(&[alert.clone(), escalate.clone(), allow.clone(), deny], &sh());
    assert_eq!((all.outcome, ids(&all)), (Outcome::Deny, vec!["deny", "alert", "escalate", "allow"]));
    let all = answer(&[alert.clone(), escalate.clone(), allow], &sh());
    assert_eq!((all.outcome, ids(&all)), (Outcome::Allow, vec!["allow", "alert", "escalate"]));
    let all = answer(&[alert.clone(), escalate], &sh());
    assert_eq!((all.outcome, ids(&all)), (Outcome::Escalate, vec!["escalate", "alert"]));
    let all = answer(&[alert], &sh());
    assert_eq!((all.outcome, ids(&all)), (Outcome::Pass, vec!["alert"]));
    let all = answer(&[rule("no", "deny", "false")], &sh());
    assert_eq!((all.outcome, ids(&all)), (Outcome::Pass, vec![]));
}

#[test]
fn the_most_severe_speaks_first() {
    let low = rule("low", "deny", "true").replace("high", "low");
    let all = answer(&[low, rule("first", "deny", "true"), rule("second", "deny", "true")], &sh());
    assert_eq!(ids(&all), ["first", "second", "low"]);
    let first = &all.findings[0];
    assert_eq!((first.tier, first.severity), (Tier::Rules, Severity::High));
    assert_eq!((first.reason.as_str(), first.source.as_deref()), ("about first", Some("r.yaml:9:5")));
}

#[test]
fn drafts_are_not_asked_and_what_is_tested_changes_nothing() {
    let in_state =
        |state: &str| rule("a", "deny", "true").replace("action: deny", &format!("action: deny\n    state: {state}"));
    let rules = Rules::for_everybody(set(&file(&[in_state("testing")])));
    let testing = rules.answer(&sh(), None).unwrap();
    assert_eq!(testing.outcome, Outcome::Pass);
    assert!(testing.findings[0].tags.iter().any(|tag| tag == TESTING));
    assert_eq!(rules.now().counts().next().unwrap().1.hits, 1);
    let draft = answer(&[in_state("draft")], &sh());
    assert_eq!((draft.outcome, draft.findings.len()), (Outcome::Pass, 0));
}

#[test]
fn a_condition_that_fails_is_a_match_where_that_is_stricter() {
    let failing = "process.uid == 0";
    let of = |action: &str| answer(&[rule("a", action, failing)], &sh());
    assert_eq!(of("deny").outcome, Outcome::Deny);
    assert_eq!(of("escalate").outcome, Outcome::Escalate);
    assert_eq!(of("allow").outcome, Outcome::Pass);
    assert_eq!(of("alert").outcome, Outcome::Pass);
    for action in ["allow", "deny", "alert", "escalate"] {
        let finding = &of(action).findings[0];
        assert!(finding.tags.iter().any(|tag| tag == FAILED), "{action}");
        assert!(finding.reason.contains("`process.uid` is not known of this event"), "{}", finding.reason);
    }
    assert_eq!(of("deny").basis, Basis::Once, "a failure is not remembered");
    let rules = Rules::for_everybody(set(&file(&[rule("a", "deny", failing), rule("b", "allow", failing)])));
    let _ = rules.answer(&sh(), None).unwrap();
    let counts: Vec<_> = rules.now().counts().map(|(_, counts)| (counts.hits, counts.faults)).collect();
    assert_eq!(counts, [(1, 1), (0, 1)]);
}

#[test]
fn an_answer_is_remembered_by_what_it_looked_at() {
    let basis = |rules: &[(&str, &str)]| {
        let rules: Vec<String> = rules
            .iter()
            .enumerate()
            .map(|(n, (action, condition))| rule(&format!("r{n}"), action, condition))
            .collect();
        answer(&rules, &sh()).basis
    };
    assert_eq!(basis(&[("deny", "exec.path == '/x'")]), Basis::Object);
    assert_eq!(basis(&[("deny", "exec.sha256 == 'x' && process.exe == 'y'")]), Basis::Object);
    assert_eq!(basis(&[("deny", "process.cmdline.contains('x')")]), Basis::Invocation);
    assert_eq!(basis(&[("deny", "process.parent.exe == '/x'")]), Basis::Invocation);
    assert_eq!(basis(&[("deny", "process.parent.cmdline == '/x'")]), Basis::Once);
    assert_eq!(basis(&[("deny", "process.ancestors.exists(a, a.exe == 'x')")]), Basis::Once);
    assert_eq!(basis(&[("deny", "session == 'x'")]), Basis::Once);
    assert_eq!(basis(&[("deny", "has(process.parent.pid)")]), Basis::Once);
    // A pass and a permission took all rules to give, a denial one.
    let other = ("alert", "process.ancestors.exists(a, a.exe == 'x')");
    assert_eq!(basis(&[("allow", "exec.path == '/bin/sh'"), other]), Basis::Once);
    assert_eq!(basis(&[other]), Basis::Once);
    // What was decided before it came to the ancestors does not depend on them.
    for more in ["process.ancestors.exists(a, a.exe == 'x')", "process.parent.cmdline == 'x'", "session == 'x'"] {
        let condition = |first: &str| format!("{first} && {more}");
        assert_eq!(basis(&[("alert", &condition("process.exe == '/x'"))]), Basis::Invocation, "{more}");
        assert_eq!(basis(&[("alert", &condition("process.exe != '/x'"))]), Basis::Once, "{more}");
    }
    assert_eq!(basis(&[("deny", "exec.path == '/bin/sh'"), other]), Basis::Object);
    assert_eq!(basis(&[("deny", "process.cmdline == 'sh'"), ("deny", "exec.path == '/bin/sh'")]), Basis::Object);
    // Only executions are remembered.
    let file_rule = rule("a", "deny", "process.exe == '/x'").replace("[exec]", "[file]");
    assert_eq!(answer(&[file_rule], &event(r#"{"kind":"file","file":{"op":"read"}}"#)).basis, Basis::Once);
}

#[test]
fn an_agent_is_judged_by_the_rules_that_its_policy_names() {
    let set =
        set(&file(&[rule("shell-a", "deny", "true"), rule("shell-b", "deny", "true"), rule("net-a", "deny", "true")]));
    let selected = |globs: &[&str]| {
        let hits = set.hits(&sh(), &set.select(globs), None).unwrap();
        hits.iter().map(|hit| hit.rule.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(selected(&["*"]).len(), 3);
    assert_eq!(selected(&["shell-*"]), ["shell-a", "shell-b"]);
    assert_eq!(selected(&["*-a"]), ["shell-a", "net-a"]);
    assert_eq!(selected(&["s*l*b", "net-a"]), ["shell-b", "net-a"]);
    assert_eq!(selected(&["shell"]), [""; 0]);
    assert_eq!(selected(&[]), [""; 0]);
    assert!(set.has("*") && set.has("net-*") && !set.has("none"));
    let rules = Rules::new(Box::new(|event: &Event| match event.agent.as_deref() {
        Some("coder") => Arc::from(["net-a".to_owned()]),
        _ => Arc::from([]),
    }));
    assert_eq!(rules.answer(&sh(), None), Err(Failure::Unavailable("no rules could be loaded".to_owned())));
    assert_eq!(rules.replace(set), 1);
    assert_eq!(ids(&rules.answer(&sh(), None).unwrap()), ["net-a"]);
    let mut other = sh();
    other.agent = Some("other".to_owned());
    assert_eq!(rules.answer(&other, None).unwrap().outcome, Outcome::Pass);
}

#[test]
fn counts_follow_a_rule_through_a_reload_and_stay_small() {
    let text = file(&[rule("a", "alert", "true"), rule("b", "alert", "process.exe == '/bin/sh'")]);
    let rules = Rules::for_everybody(set(&text));
    for number in 0..1000 {
        let mut event = sh();
        event.session = Some(format!("s-{}", number % 20));
        event.process.uid = Some(number % 3);
        event.process.exe = Some(format!("/bin/{number}"));
        let _ = rules.answer(&event, None).unwrap();
    }
    assert_eq!(rules.replace(set(&text)), 2);
    let now = rules.now();
    let counts: Vec<_> = now.counts().collect();
    let (id, a) = &counts[0];
    assert_eq!((*id, a.hits, a.sessions, a.users), ("a", 1000, 20, 3));
    assert_eq!(a.last_hit.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert!((950..=1050).contains(&a.programs), "{}", a.programs);
    assert_eq!((counts[1].1.hits, counts[1].1.last_hit.clone()), (0, None));
}

#[test]
fn a_deadline_that_has_passed_is_a_failure() {
    let many: Vec<String> = (0..200).map(|n| rule(&format!("r{n}"), "deny", "false")).collect();
    let rules = Rules::for_everybody(set(&file(&many)));
    let past = std::time::Instant::now();
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert_eq!(rules.answer(&sh(), Some(past)), Err(Failure::Late));
}

/// An event with everything too long and too strange is judged, and soon.
#[test]
fn enormous_and_strange_events_are_judged() {
    let conditions = [
        "process.cmdline.contains('needle')",
        "process.cmdline.lowerAscii().matches('nee+dle$')",
        "process.args.exists(a, a.contains('needle'))",
        "glob(process.exe, '/**/needle')",
        "process.cmdline.split(' ').exists(w, w == 'needle')",
    ];
    let rules: Vec<String> = conditions.iter().enumerate().map(|(n, c)| rule(&format!("r{n}"), "deny", c)).collect();
    let rules = Rules::for_everybody(parse(&[("r.yaml".into(), file(&rules).into_bytes())]).unwrap());
    let strange = "\u{0}\u{202e}\u{200b}\\xff\\x00а ".repeat(9_000);
    let start = std::time::Instant::now();
    let mut event = sh();
    event.process.args = Some(strange.split(' ').map(str::to_owned).collect());
    event.process.exe = Some(format!("/{strange}"));
    event.process.cmdline = Some(strange.clone());
    assert_eq!(rules.answer(&event, None).unwrap().outcome, Outcome::Pass);
    event.process.cmdline = Some(strange + "NEEDLE");
    assert_eq!(ids(&rules.answer(&event, None).unwrap()), ["r1"]);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
