// SPDX-License-Identifier: Apache-2.0
//! Every mistake that a condition can hold, with the line and column it is reported at.

use super::{problems, rule};

/// A file whose condition begins at 7:16, in plain style.
fn plain(kinds: &str, condition: &str) -> String {
    format!(
        "version: 1\nrules:\n  - id: a\n    description: d\n    severity: low\n    kinds: [{kinds}]\n    condition: {condition}\n    action: deny\n"
    )
}

/// One problem, this many characters into the condition.
#[track_caller]
fn one(kinds: &str, condition: &str, column: usize, words: &str) {
    let found = problems(plain(kinds, condition).as_bytes());
    assert_eq!(found.len(), 1, "{condition}: {found:#?}");
    assert!(found[0].starts_with(&format!("r.yaml:7:{}: condition: ", 15 + column)), "{column}: {}", found[0]);
    assert!(found[0].contains(words), "`{words}`: {}", found[0]);
    assert!(!found[0].contains('\n'));
}

#[test]
fn of_names() {
    one("exec", "proces.exe == 'x'", 1, "unknown name `proces`: did you mean `process`?");
    one("exec", "true && process.exec == 'x'", 17, "`process` has no field `exec`");
    one("exec", "process.exe.name == 'x'", 13, "`process.exe` is text and has no field `name`");
    one("exec", "process.parent.cwd == 'x'", 16, "no field `cwd`");
    one("exec", "process.ancestors.exists(a, a.cwd == 'x')", 31, "an ancestor has no field `cwd`");
    one("exec", "process.parent == 1", 9, "`process.parent` has no value of its own");
    one("exec", "process.args.exists(a, b == 'x')", 24, "unknown name `b`");
    one("exec", "process.args.exists(process, process == 'x')", 14, "`process` means something already");
    one("exec", "lost.count == 1", 1, "events of kind `lost` are not judged");
    one("exec", "has(process.cwdd)", 13, "did you mean `cwd`?");
}

#[test]
fn of_kinds() {
    one("exec", "network.port == 1", 1, "`network.port` is only known of `network` events");
    one("exec, network", "network.port == 1", 9, "`network.port` is never known of `exec` events");
    assert_eq!(problems(plain("exec, network", "network.address == '1'").as_bytes()), [""; 0]);
    one("file", "file.op == 'open'", 9, "it is never `open`");
    one("file", "file.op in ['read', 'wirte']", 9, "did you mean `write`?");
    one("exec", "kind == 'lost'", 6, "it is never `lost`");
}

#[test]
fn of_types() {
    one("exec", "process.uid == '0'", 13, "`==` compares two of the same type, and these are a number and text");
    one("exec", "process.exe + 1 == 'x'", 13, "`+` takes two of the same type");
    one("exec", "process.exe - 'x' == 'x'", 13, "`-` cannot be applied to text");
    one("exec", "process.exe", 1, "a condition is true or false, and this gives text");
    one("exec", "true && process.args", 9, "`&&` takes true or false, not a list of texts");
    one("exec", "true && !process.exe", 9, "`!` takes true or false, not text");
    one("exec", "-process.exe == 'x'", 1, "`-` takes a number, not text");
    one("exec", "process.exe in process.cwd", 13, "`in` takes a list after it, not text");
    one("exec", "process.uid in ['root']", 13, "a number is never in a list of other things");
    one("exec", "process.uid in []", 13, "never true");
    one("exec", "process.args[process.exe] == 'x'", 13, "an element is named by its number, not by text");
    one("exec", "process.exe[0] == 'x'", 12, "only a list has elements by number, and this is text");
    one("exec", "true && [1, 'a'] == [1]", 13, "the elements of a list have one type");
    one("exec", "process.exe.exists(x, true)", 13, "only a list can be gone through, not text");
    one("exec", "process.args.exists(a, a)", 24, "a loop's condition is true or false, and this gives text");
    one("exec", "(true?1:'a') == 1", 6, "both sides of `:` have one type");
    one("exec", "process.args < process.args", 14, "`<` cannot be applied to a list of texts");
    one("exec", "process.ancestors == process.ancestors", 19, "lists of processes cannot be compared");
    one("exec", "process.exe == null", 16, "nothing is ever null");
    one("exec", "process.uid == 0.5", 16, "no numbers with a fraction");
    one("exec", "process.uid == 5u", 16, "without `u`");
    one("exec", "process.exe == b'x'", 16, "not bytes");
    one("exec", "size({}) == 1", 6, "no maps");
}

#[test]
fn of_calls() {
    one("exec", "foo(process.exe)", 1, "there is no function `foo`");
    one("exec", "true && process.exe.contain('x')", 21, "did you mean `contains`?");
    one("exec", "process.exe.contains()", 13, "is called as `string.contains(string)`, not with 0 arguments");
    one("exec", "process.exe.contains(1)", 13, "not on text with a number");
    one("exec", "process.uid.contains('1')", 13, "not on a number with text");
    one("exec", "contains(process.exe, 'x')", 1, "is called as `string.contains(string)`");
    one("exec", "process.exe.basename() == 'x'", 13, "is called as `basename(string)`");
    one("exec", "process.args.exists(a)", 14, "is called as `list.exists(x, ...)`");
    one("exec", "process.args.exists(a, process.args.exists(b, process.args.exists(c, a == c)))", 60, "at most 2 deep");
}

#[test]
fn of_patterns() {
    one("exec", "process.exe.matches('a(b')", 21, "the regular expression cannot be read: unclosed group");
    one("exec", "process.exe.matches('(?=x)')", 21, "look-around");
    one("exec", "process.exe.matches('(a{1000}){1000}')", 21, "too big");
    one("exec", "process.exe.matches(process.cwd)", 28, "written out");
    one("exec", "glob(process.exe, 'etc/**')", 19, "not absolute");
    one("exec", "glob(process.exe, '${HOME}/x')", 19, "only in a policy");
    one("exec", "glob(process.exe, process.cwd)", 26, "written out");
    one("exec", "cidr(process.exe, '10.0.0.0/99')", 19, "neither an address nor a network");
    one("exec", "cidr(process.exe, '10.0.0.1/8')", 19, "bits after its prefix: write `10.0.0.0/8`");
}

#[test]
fn of_syntax() {
    one("exec", "process.exe == 'x' &&", 22, "unexpected end");
    one("exec", "process.exe = 'x'", 13, "unexpected");
    one("exec", "process.exe == 'x", 16, "unexpected");
    one("exec", "(process.exe == 'x'", 19, "unexpected end: `)` is missing");
    one("exec", "a b", 3, "unexpected `b`");
}

/// Every style of YAML, the same mistake: `bad` stands in the third line of a text that has characters of two bytes
/// before it.
#[test]
fn in_every_style_of_writing() {
    let head =
        "version: 1\nrules:\n  - id: a\n    description: d\n    severity: low\n    kinds: [exec]\n    action: deny\n";
    let check = |condition: &str, place: &str| {
        let found = problems(format!("{head}    condition: {condition}\n").as_bytes());
        assert_eq!(found.len(), 1, "{condition}: {found:#?}");
        let expected = format!("r.yaml:{place}: condition: unknown name `bad`");
        assert!(found[0].starts_with(&expected), "{condition}: {}", found[0]);
    };
    check("process.exe == 'ü' || bad", "8:38");
    check("process.exe == 'ü'\n      ||\n      bad", "10:7");
    check("'process.exe == ''ü'' || bad'", "8:41");
    check("\"process.exe == \\\"\\u00fc\\\" || bad\"", "8:46");
    check("\"process.exe == 'ü' \\\n      || \\\n      bad\"", "10:7");
    check("|\n      process.exe == 'ü'\n      ||\n      bad", "11:7");
    check("|-  # a comment\n        process.exe == 'ü'\n          ||\n            bad", "11:13");
    check(">\n      process.exe == 'ü'\n      ||\n      bad", "11:7");
    check(">-\n      process.exe == 'ü'\n\n      || bad", "11:10");
}

#[test]
fn all_mistakes_of_a_condition_are_told_at_once() {
    let text = plain(
        "exec",
        "process.exee == 'x' && process.uid == 'y' && foo(process.cwd) && process.args.exists(a, a == 1)",
    );
    let found = problems(text.as_bytes());
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn a_condition_of_a_megabyte_is_refused_unread() {
    let long = format!("process.exe == '{}'", "x".repeat(1 << 20));
    one("exec", &long, 1, "the condition has 1048593 bytes, and at most 65536 are allowed");
}

/// Whatever the parser does with them, conditions of the allowed length end in an answer.
#[test]
fn hostile_conditions_are_refused_and_not_a_crash() {
    const N: usize = 20_000;
    for (name, condition) in [
        ("parentheses", "(".repeat(N) + "true" + &")".repeat(N)),
        ("open parentheses", "(".repeat(3 * N)),
        ("sum", vec!["1"; N].join("+") + " == 1"),
        ("equals", vec!["true"; N / 2].join("==")),
        ("select", "process".to_owned() + &".exe".repeat(N / 2)),
        ("index", "process.args".to_owned() + &"[0]".repeat(N / 2)),
        ("conditional", "true?true:".repeat(N / 4) + "true"),
        ("lists", "[".repeat(N) + &"]".repeat(N)),
        ("calls", "basename(".repeat(N / 4) + "process.exe" + &")".repeat(N / 4)),
        ("garbage", "$#@".repeat(N)),
    ] {
        assert!(condition.len() <= 64 << 10, "{name}");
        let found = problems(plain("exec", &serde_json::to_string(&condition).unwrap()).as_bytes());
        assert!(!found.is_empty(), "{name}");
        assert!(found.iter().all(|line| line.len() < 400), "{name}: {found:#?}");
    }
    // The parser takes pairs of these together.
    for condition in ["!".repeat(3 * N) + "true", "-".repeat(3 * N) + "1 == 1"] {
        let _ = problems(plain("exec", &serde_json::to_string(&condition).unwrap()).as_bytes());
    }
    let many = (0..2000).map(|n| format!("process.exe == '/{n}'")).collect::<Vec<_>>().join(" || ");
    assert!(problems(super::file(&[rule("a", "deny", &many)]).as_bytes()).is_empty(), "wide is not deep");
}
