// SPDX-License-Identifier: Apache-2.0
//! Rules in a directory: loading, reloading, restarting, changing files.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lictor_judge::Outcome;
use lictor_judge::rules::{ConflictKind, LAST_GOOD, RuleStore, Rules, State, merge, set_state};

use super::{event, file, rule};

struct Fixture {
    dir: tempfile::TempDir,
    rules: Arc<Rules>,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("rules.d")).unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        Fixture { dir, rules: fresh() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("rules.d").join(name)
    }

    fn open(&self) -> RuleStore {
        RuleStore::open(&self.dir.path().join("rules.d"), &self.dir.path().join("state"), Arc::clone(&self.rules))
    }

    /// As after a restart.
    fn reopen(&mut self) -> RuleStore {
        self.rules = fresh();
        self.open()
    }

    fn outcome(&self) -> Option<Outcome> {
        self.rules.answer(&event(r#"{"kind":"exec"}"#), None).ok().map(|answer| answer.outcome)
    }
}

fn fresh() -> Arc<Rules> {
    let every: Arc<[String]> = Arc::from(["*".to_owned()]);
    Arc::new(Rules::new(Box::new(move |_| Arc::clone(&every))))
}

/// Polls as a daemon would until something was tried.
fn settle(store: &mut RuleStore) {
    let start = Instant::now();
    for tick in 0..100 {
        if store.poll(start + Duration::from_millis(100 * tick)) {
            return;
        }
    }
    panic!("nothing was loaded");
}

#[test]
fn a_change_comes_into_force_whole_or_not_at_all() {
    let fixture = Fixture::new();
    fs::write(fixture.path("a.yaml"), file(&[rule("a", "deny", "true")])).unwrap();
    let mut store = fixture.open();
    assert_eq!((store.status().epoch, store.status().rules, fixture.outcome()), (1, 1, Some(Outcome::Deny)));
    assert!(!store.poll(Instant::now()), "nothing has changed");

    fs::write(fixture.path("b.yaml"), file(&[rule("b", "allow", "procss.exe == ''")])).unwrap();
    fs::write(fixture.path("a.yaml"), file(&[rule("a", "allow", "true")])).unwrap();
    settle(&mut store);
    let status = store.status();
    assert_eq!((status.epoch, status.stale, fixture.outcome()), (1, true, Some(Outcome::Deny)));
    let problem = status.problems[0].to_string();
    assert!(
        problem.starts_with(&format!("{}:7:17: condition: unknown name", fixture.path("b.yaml").display())),
        "{problem}"
    );

    fs::write(fixture.path("b.yaml"), file(&[rule("b", "alert", "true")])).unwrap();
    settle(&mut store);
    let status = store.status();
    assert_eq!((status.epoch, status.rules, status.stale, fixture.outcome()), (2, 2, false, Some(Outcome::Allow)));
    assert!(status.problems.is_empty());

    fs::remove_file(fixture.path("a.yaml")).unwrap();
    settle(&mut store);
    assert_eq!((store.status().epoch, fixture.outcome()), (3, Some(Outcome::Pass)));
}

#[test]
fn a_directory_that_is_being_written_is_left_alone() {
    let fixture = Fixture::new();
    let mut store = fixture.open();
    let start = Instant::now();
    for step in 0..5u64 {
        fs::write(fixture.path("a.yaml"), "x".repeat(step as usize + 1)).unwrap();
        assert!(!store.poll(start + Duration::from_millis(10 * step)), "step {step}");
    }
    assert!(store.poll(start + Duration::from_secs(1)));
}

#[test]
fn the_last_good_set_survives_a_restart() {
    let mut fixture = Fixture::new();
    fs::write(fixture.path("a.yaml"), file(&[rule("a", "deny", "true")])).unwrap();
    drop(fixture.open());
    fs::write(fixture.path("a.yaml"), "nonsense").unwrap();
    let store = fixture.reopen();
    assert_eq!((store.status().epoch, store.status().stale, fixture.outcome()), (1, true, Some(Outcome::Deny)));
    assert!(!store.status().problems.is_empty());
    // A directory that is gone is one that was lost, not one without rules.
    fs::remove_dir_all(fixture.dir.path().join("rules.d")).unwrap();
    let store = fixture.reopen();
    assert_eq!((store.status().stale, fixture.outcome()), (true, Some(Outcome::Deny)));
    assert!(store.status().problems[0].message.contains("cannot be read"), "{:?}", store.status().problems);
    // Without any good set nothing is said, which is a failure of the tier and not a permission.
    fs::write(fixture.dir.path().join("state").join(LAST_GOOD), "{").unwrap();
    let store = fixture.reopen();
    assert_eq!((store.status().epoch, fixture.outcome()), (0, None));
    assert_eq!(store.status().problems.len(), 2, "{:?}", store.status().problems);
}

#[test]
fn a_host_without_rules_has_none_and_no_problem() {
    let mut fixture = Fixture::new();
    fs::remove_dir(fixture.dir.path().join("rules.d")).unwrap();
    for _ in 0..2 {
        let store = fixture.reopen();
        assert_eq!((store.status().epoch, store.status().rules), (1, 0));
        assert!(store.status().problems.is_empty() && !store.status().stale, "{:?}", store.status());
    }
}

#[test]
fn what_looks_like_a_rule_file_and_is_none_is_a_problem() {
    let fixture = Fixture::new();
    fs::write(fixture.path("a.yml"), "").unwrap();
    fs::write(fixture.path(".hidden.yaml"), "nonsense").unwrap();
    fs::write(fixture.path("notes.txt"), "nonsense").unwrap();
    fs::create_dir(fixture.path("d.yaml")).unwrap();
    let store = fixture.open();
    let found: Vec<_> = store.status().problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("rename it") && found[1].contains("not a file"), "{found:?}");
}

/// Two hundred reloads, good and broken, while four threads judge: each answer is one that a good set gives, and a set
/// that has come into force is never followed by an older one's answer.
#[test]
fn reloads_under_load_misjudge_nothing() {
    let fixture = Fixture::new();
    let version = |n: u64| file(&[rule(&format!("v{n}"), if n.is_multiple_of(2) { "deny" } else { "allow" }, "true")]);
    fs::write(fixture.path("a.yaml"), version(0)).unwrap();
    let mut store = fixture.open();
    let stop = AtomicBool::new(false);
    let judged = AtomicU64::new(0);
    // The newest version that is known to be in force.
    let in_force = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let event = event(r#"{"kind":"exec"}"#);
                while !stop.load(Ordering::Acquire) {
                    let at_least = in_force.load(Ordering::Acquire);
                    let answer = fixture.rules.answer(&event, None).unwrap();
                    assert_eq!(answer.findings.len(), 1);
                    let seen: u64 = answer.findings[0].rule[1..].parse().unwrap();
                    let expected = if seen.is_multiple_of(2) { Outcome::Deny } else { Outcome::Allow };
                    assert_eq!(answer.outcome, expected, "version {seen}");
                    assert!(seen >= at_least, "version {seen} after {at_least}");
                    judged.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut good = 0;
        for step in 1..=200u64 {
            let broken = step % 3 == 0;
            let text = if broken { version(1_000_000 + step).replace("true", "treu") } else { version(step) };
            let temporary = fixture.dir.path().join("new");
            fs::write(&temporary, text).unwrap();
            fs::rename(&temporary, fixture.path("a.yaml")).unwrap();
            settle(&mut store);
            assert_eq!(store.status().stale, broken, "step {step}: {:?}", store.status());
            if !broken {
                good += 1;
                in_force.store(step, Ordering::Release);
            }
            assert_eq!(store.status().epoch, good + 1, "step {step}");
        }
        stop.store(true, Ordering::Release);
    });
    println!("{} events judged during 200 reloads", judged.load(Ordering::Relaxed));
    assert!(judged.load(Ordering::Relaxed) > 200);
}

fn states(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_state_is_changed_where_it_stands() {
    let fixture = Fixture::new();
    let path = fixture.path("a.yaml");
    let directory = fixture.dir.path().join("rules.d");
    let with_state = rule("a", "deny", "true").replace("severity", "state: active   # since May\n    severity");
    let text = format!("# ours\n{}  # the end\n", file(&[with_state, rule("b", "deny", "true")]));
    fs::write(&path, &text).unwrap();
    let changed = set_state(&directory, "a", State::Testing).unwrap();
    assert_eq!((changed.from, changed.to, changed.file.as_path()), (State::Active, State::Testing, path.as_path()));
    assert_eq!(states(&path), text.replace("state: active ", "state: testing "));
    let changed = set_state(&directory, "b", State::Draft).unwrap();
    assert_eq!(changed.from, State::Active);
    let expected =
        text.replace("state: active ", "state: testing ").replace("- id: b\n", "- id: b\n    state: draft\n");
    assert_eq!(states(&path), expected);
    assert!(set_state(&directory, "c", State::Draft).unwrap_err()[0].message.contains("there is no rule `c`"));
    // In braces, in quotes, and with no end of line.
    let braces = "version: 1\nrules: [{ id: \"x\", description: d, severity: low, kinds: [exec], condition: \"true\", action: deny }]";
    fs::write(&path, braces).unwrap();
    set_state(&path, "x", State::Testing).unwrap();
    assert_eq!(states(&path), braces.replace("\"x\"", "\"x\", state: testing"));
    set_state(&path, "x", State::Active).unwrap();
    assert_eq!(states(&path), braces.replace("\"x\"", "\"x\", state: active"));
}

#[test]
fn a_draft_whose_tests_fail_does_not_become_active() {
    let fixture = Fixture::new();
    let text = file(&[rule("a", "deny", "false").replace("action", "state: draft\n    action")])
        + "    tests: [{ event: {}, expect: match }]\n";
    fs::write(fixture.path("a.yaml"), &text).unwrap();
    let problems = set_state(&fixture.dir.path().join("rules.d"), "a", State::Active).unwrap_err();
    assert!(problems[0].message.contains("expects a match"), "{problems:?}");
    assert_eq!(states(&fixture.path("a.yaml")), text);
}

#[test]
fn a_state_behind_an_alias_is_left_to_people() {
    let fixture = Fixture::new();
    let text = file(&[
        rule("a", "deny", "true").replace("action", "state: &s active\n    action"),
        rule("b", "deny", "true").replace("action", "state: *s\n    action"),
    ]);
    fs::write(fixture.path("a.yaml"), &text).unwrap();
    assert!(set_state(&fixture.path("a.yaml"), "b", State::Draft).unwrap_err()[0].message.contains("by hand"));
    assert_eq!(states(&fixture.path("a.yaml")), text);
}

#[test]
fn merging_drops_duplicates_and_shows_conflicts() {
    let fixture = Fixture::new();
    let into = fixture.dir.path().join("rules.d");
    let from = fixture.dir.path().join("new.yaml");
    fs::write(
        fixture.path("a.yaml"),
        file(&[rule("a", "deny", "process.exe == 'a'"), rule("b", "deny", "process.exe == 'b'")]),
    )
    .unwrap();
    let same = rule("a", "deny", "process.exe == 'a'");
    let new = format!("  # why there is an n\n{}", rule("n", "alert", "process.exe == 'n'"));
    let other = rule("b", "deny", "process.exe == 'other'");
    let renamed = rule("c", "alert", "process.exe   == 'b'");
    fs::write(&from, file(&[same.clone(), new.clone(), other, renamed])).unwrap();
    let merged = merge(&from, &into, false).unwrap();
    assert_eq!(merged.duplicates, ["a"]);
    let conflicts: Vec<_> = merged.conflicts.iter().map(|c| (c.id.as_str(), c.with.as_str(), c.kind)).collect();
    assert_eq!(conflicts, [("b", "b", ConflictKind::SameId), ("c", "b", ConflictKind::SameCondition)]);
    assert!(merged.written.is_empty() && !fixture.path("new.yaml").exists());
    let merged = merge(&from, &into, true).unwrap();
    assert_eq!((merged.added, merged.written), (vec!["n".to_owned()], vec![fixture.path("new.yaml")]));
    assert_eq!(states(&fixture.path("new.yaml")), file(&[new]));
    // Once more, and all of it is there.
    fs::write(&from, file(&[same])).unwrap();
    let merged = merge(&from, &into, false).unwrap();
    assert_eq!((merged.added.len(), merged.duplicates.len(), merged.written.len()), (0, 1, 0));
}
