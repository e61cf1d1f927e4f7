// SPDX-License-Identifier: Apache-2.0
//! Every mistake a policy can hold, with the line and the column it is reported at.

use lictor_engine::policy::{Limits, SessionFacts, parse};

use super::{agent, facts};

fn problems(text: &[u8]) -> Vec<String> {
    let file = match parse("p.yaml", text) {
        Ok(file) => file,
        Err(problems) => return problems.iter().map(ToString::to_string).collect(),
    };
    let compiled = file.agents().filter_map(|a| a.compile(&facts(), &[], Limits::default()).err());
    compiled.flatten().map(|p| p.to_string()).collect()
}

#[track_caller]
fn one(text: &str, place: &str, words: &str) {
    let found = problems(text.as_bytes());
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(&format!("p.yaml:{place}: ")), "{place}: {}", found[0]);
    assert!(found[0].contains(words), "`{words}`: {}", found[0]);
    assert!(!found[0].contains('\n'));
}

#[test]
fn of_the_file() {
    one("", "1:1", "the policy is empty");
    one("[]", "1:1", "the policy must be a mapping, not a list");
    one("version: 2\nagents: {a: {mode: enforce}}\n", "1:10", "version 2 is not known");
    one("version: \"1\"\nagents: {a: {mode: enforce}}\n", "1:10", "must be the number 1, not text");
    one("agents: {a: {mode: enforce}}\n", "1:1", "`version` is missing");
    one("version: 1\n", "1:1", "`agents` is missing");
    one("version: 1\nagents: {}\n", "2:1", "`agents` is empty");
    one(
        "version: 1\nagent: {}\nagents: {a: {mode: enforce}}\n",
        "2:1",
        "unknown key `agent` in the policy: did you mean `agents`?",
    );
    one("version: 1\nagents:\n  a:\n    mode: [enforce\n", "4:11", "unclosed bracket");
    one("version: 1\nagents:\n  7: {mode: enforce}\n", "3:3", "name must be text");
    one("version: 1\nagents:\n  a b: {mode: enforce}\n", "3:3", "no name for an agent");
}

#[test]
fn of_bytes() {
    let found = problems(b"version: 1\nagents:\n  a\xc3\xa4\xff: {}\n");
    assert_eq!(found, ["p.yaml:3:5: byte 0xff is not UTF-8: save the file as UTF-8"]);
    assert_eq!(problems(b"version: 1\nversion: 1\nagents: {a: {mode: enforce}}\n").len(), 1);
    assert!(problems(b"version: 1\nversion: 1\n")[0].starts_with("p.yaml:2:1: "));
}

#[test]
fn of_keys_and_types() {
    one(&agent("    modes: enforce\n"), "4:5", "unknown key `modes` in agent `a`: did you mean `mode`?");
    one(&agent("    mode: audit\n"), "4:11", "`mode` must be enforce or monitor, not `audit`");
    one(&agent("    mode: 1\n"), "4:11", "not a number");
    one(&agent("    undecided: maybe\n"), "4:16", "must be allow or hold or deny");
    one(&agent("    exec: []\n"), "4:11", "exec must be a mapping, not a list");
    one(&agent("    exec: { anonymous: yes }\n"), "4:24", "exec.anonymous");
    one(&agent("    exec: { alow: [] }\n"), "4:13", "did you mean `allow`?");
    one(&agent("    files: { read: /etc }\n"), "4:20", "`files.read` must be a list, not text");
    one(&agent("    files:\n      read:\n"), "5:11", "write `[]` to permit nothing");
    one(&agent("    files: { read: [5] }\n"), "4:21", "put it in quotes");
    one(&agent("    files: { read: [{a: b}] }\n"), "4:21", "not a mapping");
    one(&agent("    network: { conect: [] }\n"), "4:16", "did you mean `connect`?");
    one(&agent("    privileges: [root]\n"), "4:18", "unknown privilege `root`");
    one(&agent("    rules: [\"a b\"]\n"), "4:13", "`a b` is no id of a rule");
    one(&agent("    extends: defualt\n"), "4:14", "did you mean `default`?");
    one(&agent("    files: {}\n    files: {}\n"), "5:5", "duplicate");
}

#[test]
fn of_patterns() {
    let list = |p: &str| agent(&format!("    files: {{ read: [\"/ok\", '{p}'] }}\n"));
    let cases = [
        ("", "the pattern is empty"),
        ("etc/passwd", "write `${CWD}/etc/passwd`"),
        ("~/x", "write `${HOME}/x`"),
        ("$HOME/x", "write `${HOME}/x`"),
        ("**", "write `/**`"),
        ("**x", "not absolute"),
        ("{/a,b}", "not absolute in every alternative"),
        ("/a/", "no path ends with `/`"),
        ("/a//b", "`//` never occurs"),
        ("/a/./b", "`.` and `..` never occur"),
        ("/a/../b", "`.` and `..` never occur"),
        ("/a/..", "`.` and `..` never occur"),
        ("/a[b", "`[` at character 3"),
        ("/a[]", "is never closed"),
        ("/[z-a]", "the range `z-a` is reversed"),
        ("/[a/b]", "never matches `/`"),
        ("/[[:alpha:]]", "named classes"),
        ("/{a,b", "`{` at character 2"),
        ("/{a}", "at least two alternatives"),
        ("/a}", "closes nothing"),
        ("/{{{{{{{{{a,b},c},c},c},c},c},c},c},c}", "nested deeper than 8"),
        ("/a\\", "escapes nothing"),
        ("/${XDG}/a", "unknown variable `${XDG}`"),
        ("/${HOME/a", "is never closed"),
        ("/x/${HOME}/a", "can only stand at the start"),
        ("${USER}/a", "`${USER}` is a name"),
        ("@abstract", "not absolute"),
        ("sha256:00", "can only stand in exec.allow"),
    ];
    for (pattern, words) in cases {
        one(&list(pattern), "4:28", words);
    }
    one(&list(&format!("/{}", "a".repeat(5000))), "4:28", "more than any path");
    one(&agent("    files: { read: [\"/a\\0b\"] }\n"), "4:21", "NUL");
    one(&agent("    exec: { deny: [\"sha256:0123\"] }\n"), "4:20", "64 hexadecimal digits");
    one(&agent(&format!("    exec: {{ allow: [\"sha256:{}g\"] }}\n", "0".repeat(63))), "4:21", "64 hexadecimal digits");
    one(&agent("    exec: { libraries: [\"sha256:00\"] }\n"), "4:25", "can only stand");
    one(&agent("    network: { unix: [run] }\n"), "4:23", "neither an absolute path nor an `@name`");
    one(&agent("    network: { unix: [\"@\"] }\n"), "4:23", "needs a name");
}

#[test]
fn of_endpoints() {
    let cases = [
        ("api.github.com:443", "names need the egress proxy"),
        ("*.example.com:443", "names need the egress proxy"),
        ("localhost:*", "names need the egress proxy"),
        ("10.0.0.1", "a port is missing"),
        ("[::1]", "a port is missing"),
        ("::1:80", "stands in brackets"),
        ("[::1:80", "is never closed"),
        ("10.0.0.1:0", "not a port"),
        ("10.0.0.1:65536", "not a port"),
        ("10.0.0.1:http", "not a port"),
        ("10.0.0.1:+80", "not a port"),
        ("10.0.0.1:90-80", "reversed: write `80-90`"),
        ("10.0.0.1:80/sctp", "unknown protocol `sctp`"),
        ("[::1]:80/icmp", "unknown protocol `icmp`"),
        ("10.0.0.256:80", "not an IPv4 address"),
        ("10.0.0.1/8:80", "write `10.0.0.0/8`"),
        ("10.0.0.0/33:80", "not a prefix length"),
        ("[2001:db8::1/32]:80", "write `2001:db8::/32`"),
        ("[::/129]:80", "not a prefix length"),
        ("[::ffff:0.0.0.0/90]:80", "mixes mapped IPv4 and IPv6"),
        ("[x]:80", "not an IPv6 address"),
        (":80", "the host is missing"),
        ("a b:80", "neither an address"),
    ];
    for (endpoint, words) in cases {
        one(&agent(&format!("    network: {{ connect: [\"{endpoint}\"] }}\n")), "4:26", words);
    }
}

#[test]
fn of_rules_that_never_take_effect() {
    one(
        &agent("    files: { read: [\"/etc/shadow\"], deny: [\"/etc/shadow\"] }\n"),
        "4:21",
        "can never take effect: files.deny at p.yaml:4:44 forbids it",
    );
    one(&agent("    files: { write: [\"/a/**\"], readonly: [\"/a/**\"] }\n"), "4:22", "files.readonly");
    one(&agent("    exec: { allow: [/bin/x], deny: [/bin/x] }\n"), "4:21", "exec.deny");
    one(&agent("    network: { connect: [\"10.0.0.1:80\"], deny: [\"10.0.0.1:80\"] }\n"), "4:26", "network.deny");
    one(
        &agent("    files: { read: [\"/etc/ssl/key\"], deny: [\"/etc/**\"] }\n"),
        "4:21",
        "files.deny `/etc/**` at p.yaml:4:45",
    );
    one(&agent("    extends: default\n    files: { read: [\"/etc/shadow\"] }\n"), "5:21", "builtin:base:");
}

#[test]
fn of_inheritance() {
    let circle = "version: 1\nagents:\n  a: { extends: b }\n  b: { extends: c }\n  c: { extends: b }\n";
    let found = problems(circle.as_bytes());
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("p.yaml:4:17: `extends` goes in a circle"), "{found:#?}");
    one(&agent("    extends: 3\n"), "4:14", "extends must be text");
}

#[test]
fn of_facts() {
    let text = agent("    files: { read: [\"${HOME}/x\", \"/${USER}\"] }\n");
    let file = parse("p.yaml", text.as_bytes()).unwrap();
    let bad = SessionFacts { home: b"nowhere".to_vec(), user: b"a/b".to_vec(), cwd: b"/".to_vec() };
    let found = file.agent("a").unwrap().compile(&bad, &[], Limits::default()).unwrap_err();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "p.yaml:4:21: files.read: the session's ${HOME} is `nowhere`, which is not an absolute path",
            "p.yaml:4:34: files.read: the session's ${USER} is `a/b`, which is not a user's name",
        ]
    );
}

#[test]
fn all_at_once() {
    let text = agent(
        "    mode: x\n    files: { read: [a, /b/], rite: [] }\n    network: { connect: [\"x:1\", \"1.2.3:4\"] }\n",
    );
    let found = problems(text.as_bytes());
    let places: Vec<&str> = found.iter().map(|p| p.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["p.yaml:4:11", "p.yaml:5:21", "p.yaml:5:24", "p.yaml:5:30", "p.yaml:6:26", "p.yaml:6:33"]);
}
