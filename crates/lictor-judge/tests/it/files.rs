// SPDX-License-Identifier: Apache-2.0
//! Mistakes of rule files around the conditions, and their bounds.

use lictor_judge::rules::{MAX_RULES, parse};

use super::{file, problems, rule, set};

#[track_caller]
fn one(text: &str, place: &str, words: &str) {
    let found = problems(text.as_bytes());
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(&format!("r.yaml:{place}: ")), "{place}: {}", found[0]);
    assert!(found[0].contains(words), "`{words}`: {}", found[0]);
}

const GOOD: &str = "version: 1
rules:
  - id: a
    description: d
    severity: low
    kinds: [exec]
    condition: process.exe == '/bin/a'
    action: deny
";

#[test]
fn of_the_file() {
    one("", "1:1", "the file is empty");
    one("[]", "1:1", "the file must be a mapping, not a list");
    one("version: 1\n", "1:1", "`rules` is missing");
    one("version: 1\nrules: []\n", "2:1", "`rules` is empty");
    one("version: 1\nrules: {}\n", "2:8", "`rules` must be a list, not a mapping");
    one(&GOOD.replace("version: 1", "version: 2"), "1:10", "version 2 is not known");
    one(&GOOD.replace("version: 1\n", ""), "1:1", "`version` is missing");
    let found = problems(GOOD.replace("rules:", "rule:").as_bytes());
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("r.yaml:1:1: `rules` is missing"), "{found:#?}");
    assert!(found[1].starts_with("r.yaml:2:1: unknown key `rule` in the file: did you mean `rules`?"), "{found:#?}");
    one("version: 1\nrules:\n  - id: [\n", "3:9", "unclosed bracket");
}

#[test]
fn of_keys_and_types() {
    let found = problems(GOOD.replace("severity", "severty").as_bytes());
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("r.yaml:3:5: `severity` is missing in this rule"), "{found:#?}");
    assert!(
        found[1].starts_with("r.yaml:5:5: unknown key `severty` in a rule: did you mean `severity`?"),
        "{found:#?}"
    );
    one(&GOOD.replace("id: a", "id: a b"), "3:9", "`a b` is no id for a rule");
    one(&GOOD.replace("id: a", "id: 7"), "3:9", "`id` must be text, not a number");
    one(&GOOD.replace("description: d", "description: ''"), "4:18", "`description` is empty");
    one(
        &GOOD.replace("low", "lowest"),
        "5:15",
        "`severity` must be info or low or medium or high or critical, not `lowest`",
    );
    one(&GOOD.replace("[exec]", "[]"), "6:12", "`kinds` is empty");
    one(&GOOD.replace("[exec]", "exec"), "6:12", "`kinds` must be a list, not text");
    one(&GOOD.replace("[exec]", "[exce]"), "6:13", "a kind must be exec or file");
    one(&GOOD.replace("[exec]", "[lost]"), "6:13", "events of kind `lost` are not judged");
    one(&GOOD.replace("[exec]", "[exec, exec]"), "6:19", "twice");
    one(&GOOD.replace("deny", "block"), "8:13", "`action` must be allow or deny or alert or escalate, not `block`");
    one(&GOOD.replace("process.exe == '/bin/a'", "7"), "7:16", "`condition` must be text, not a number");
    one(&GOOD.replace("process.exe == '/bin/a'", "''"), "7:17", "the condition is empty");
    one(&format!("{GOOD}    state: on\n"), "9:12", "`state` must be draft or testing or active");
    one(&format!("{GOOD}    tags: T1059\n"), "9:11", "`tags` must be a list, not text");
    one(&format!("{GOOD}    tags: [1]\n"), "9:12", "`tags` must be text, not a number: put it in quotes");
    one(&format!("{GOOD}    reason: {}\n", "x".repeat(5000)), "9:13", "`reason` has 5000 bytes");
    assert!(problems(GOOD.replace("process.exe == '/bin/a'", "true").as_bytes()).is_empty());
}

#[test]
fn of_ids_in_several_files() {
    let files = [("a.yaml".to_owned(), GOOD.as_bytes().to_vec()), ("b.yaml".to_owned(), GOOD.as_bytes().to_vec())];
    let found = parse(&files).unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "b.yaml:3:9: there is a rule `a` already, at a.yaml:3:9: give one of them another id"
    );
}

#[test]
fn of_tests() {
    let with = |test: &str| format!("{GOOD}    tests:\n      - {test}\n");
    one(
        &with("{ event: {}, expect: match }"),
        "10:9",
        "test 1 of rule `a` expects a match, and the condition does not match",
    );
    one(
        &with("{ name: wget, event: { process: { exe: /bin/a } }, expect: no-match }"),
        "10:9",
        "test wget of rule `a` expects no match, and the condition matches",
    );
    one(
        &with("{ event: { process: { ex: /bin/a } }, expect: match }"),
        "10:31",
        "an event has no field `process.ex`: did you mean `exe`?",
    );
    one(&with("{ event: { process: { args: [5] } }, expect: match }"), "10:38", "put it in quotes");
    one(&with("{ event: { process: { uid: x } }, expect: match }"), "10:36", "`process.uid` must be a number");
    one(&with("{ event: { kind: fiel }, expect: match }"), "10:26", "`kind` is never `fiel`: did you mean `file`?");
    one(&with("{ event: { file: { path: /x } }, expect: match }"), "10:18", "missing field `op`");
    one(&with("{ event: {} }"), "10:9", "`expect` is missing in this test");
    one(&with("{ event: {}, expect: yes }"), "10:30", "`expect` must be match or no-match");
    // The executed file and the program stand for each other, a command line is made of the arguments.
    let text = with("{ event: { exec: { path: /bin/a } }, expect: match }");
    set(&text);
    set(&text
        .replace("process.exe == '/bin/a'", "process.cmdline == 'a b'")
        .replace("exec: { path: /bin/a }", "process: { args: [a, b] }"));
    // A rule for several kinds is tried with the event that is written.
    set(&with("{ event: { file: { op: read, path: /x } }, expect: match }")
        .replace("[exec]", "[exec, file]")
        .replace("process.exe == '/bin/a'", "file.path == '/x'"));
    // A draft may be wrong until it leaves the state.
    let wrong = with("{ event: {}, expect: match }");
    assert!(problems(wrong.replace("action: deny", "action: deny\n    state: draft").as_bytes()).is_empty());
}

#[test]
fn ten_thousand_rules_load_and_one_more_does_not() {
    let rules: Vec<String> = (0..MAX_RULES)
        .map(|n| {
            rule(&format!("r{n}"), "deny", &format!("process.exe == '/bin/{n}' && process.cmdline.contains('x{n}')"))
        })
        .collect();
    let text = file(&rules);
    let start = std::time::Instant::now();
    let set = set(&text);
    println!("{MAX_RULES} rules, {} bytes: {:?}", text.len(), start.elapsed());
    assert_eq!(set.rules().len(), MAX_RULES);
    let mut event = super::event(r#"{"kind":"exec","process":{"exe":"/bin/9999","cmdline":"a x9999"}}"#);
    let hits = set.hits(&event, &set.select(&["*"]), None).unwrap();
    assert_eq!(hits.iter().map(|hit| hit.rule.id.as_str()).collect::<Vec<_>>(), ["r9999"]);
    event.process.exe = None;
    assert!(set.hits(&event, &set.select(&["*"]), None).unwrap().is_empty());
    let mut more = text;
    more.push_str(&rule("more", "deny", "true"));
    more.push_str(&rule("still-more", "deny", "true"));
    let found = problems(more.as_bytes());
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("one rule more than the 10000"), "{}", found[0]);
}

#[test]
fn bytes_that_are_no_rules_are_problems_with_a_place() {
    for bytes in [
        &b"\xff"[..],
        b"version: 1\nrules:\n  - \xc3\x28\n",
        b"\0",
        b"- - - -",
        b"&a [*a]",
        b"version: 1\nversion: 1\n",
    ] {
        let found = problems(bytes);
        assert!(!found.is_empty() && found.iter().all(|line| line.starts_with("r.yaml:")), "{found:?}");
    }
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned()
        + &(0..8)
            .map(|n| {
                format!(
                    "b{n}: &b{n} [{}]\n",
                    vec![if n == 0 { "*a".to_owned() } else { format!("*b{}", n - 1) }; 9].join(",")
                )
            })
            .collect::<String>();
    assert!(!problems(bomb.as_bytes()).is_empty());
    assert!(problems(&vec![b' '; (16 << 20) + 1])[0].contains("at most 16777216"));
}
