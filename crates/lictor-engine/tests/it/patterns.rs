// SPDX-License-Identifier: Apache-2.0
//! What patterns match, and that the table the kernel walks says the same as the patterns one by one.

use lictor_engine::policy::{Automaton, Compiled, Limits, SessionFacts, UNUSED, parse, right};
use proptest::prelude::*;

use super::{agent, compile, facts};

fn matches(pattern: &str, path: &[u8]) -> bool {
    let list = serde_json::to_string(pattern).unwrap();
    compile(&agent(&format!("    files: {{ read: [{list}] }}\n"))).mask(path) & right::READ != 0
}

#[test]
fn patterns_match_as_documented() {
    let cases: &[(&str, &str, bool)] = &[
        ("/a/b", "/a/b", true),
        ("/a/b", "/a/b/", false),
        ("/a/b", "/a/bc", false),
        ("/a/b", "/a", false),
        ("/", "/", true),
        ("/", "/a", false),
        ("/a/*", "/a/b", true),
        ("/a/*", "/a/.b", true),
        ("/a/*", "/a/b/c", false),
        ("/a/*", "/a", false),
        ("/a/b*d", "/a/bd", true),
        ("/a/b*d", "/a/bcccd", true),
        ("/a/b*d", "/a/b/d", false),
        ("/a/?", "/a/b", true),
        ("/a/?", "/a/", false),
        ("/a/?", "/a//", false),
        ("/a/?", "/a/ü", true),
        ("/a/?", "/a/bc", false),
        ("/a/**", "/a", true),
        ("/a/**", "/a/b", true),
        ("/a/**", "/a/b/c", true),
        ("/a/**", "/ab", false),
        ("/a/**/z", "/a/z", true),
        ("/a/**/z", "/a/b/c/z", true),
        ("/a/**/z", "/a/bz", false),
        ("/a/**z", "/a/b/cz", true),
        ("/a/**z", "/az", false),
        ("/**", "/", true),
        ("/**", "/a/b", true),
        ("**/.env", "/.env", true),
        ("**/.env", "/a/b/.env", true),
        ("**/.env", "/a/b/x.env", false),
        ("**/.env", "/a/.env/b", false),
        ("**/.ssh/**", "/home/u/.ssh", true),
        ("**/.ssh/**", "/home/u/.ssh/id", true),
        ("/**/x", "/x", true),
        ("/a/***", "/a/b/c", true),
        ("/[a-c]x", "/bx", true),
        ("/[a-c]x", "/dx", false),
        ("/[!a-c]x", "/dx", true),
        ("/[!a-c]x", "/ax", false),
        ("/[^a-c]x", "/dx", true),
        ("/a[!b]c", "/a/c", false),
        ("/[+-9]x", "//x", false),
        ("/[]x]", "/]", true),
        ("/[a-]", "/-", true),
        ("/[ä-ü]", "/ö", true),
        ("/[!ä]", "/a", true),
        ("/[\\]]", "/]", true),
        ("/{a,b}/c", "/b/c", true),
        ("/{a,b}/c", "/c/c", false),
        ("/{a,b{c,d}}", "/bd", true),
        ("/x{,.bak}", "/x", true),
        ("/x{,.bak}", "/x.bak", true),
        ("/{a/b,c}/d", "/a/b/d", true),
        ("/{a/**,b}/c", "/a/c", true),
        ("/{a/**,b}/c", "/a/x/c", true),
        ("/{a/**,b}/c", "/b/c", true),
        ("/{a/**,b}/c", "/b/x/c", false),
        ("/a/{**,b}", "/a", true),
        ("{/a,/b}/c", "/b/c", true),
        ("/a\\*", "/a*", true),
        ("/a\\*", "/ab", false),
        ("/a\\{b,c\\}", "/a{b,c}", true),
        ("/a,b", "/a,b", true),
        ("/$x", "/$x", true),
        ("/\\$\\{HOME\\}", "/${HOME}", true),
        ("${HOME}/.ssh/**", "/home/u/.ssh/id", true),
        ("${HOME}", "/home/u", true),
        ("/run/${USER}/x", "/run/u/x", true),
        ("${CWD}/**", "/srv/app", true),
        ("${CWD}-old/*", "/srv/app-old/x", true),
        ("/a\tb\u{1}", "/a\tb\u{1}", true),
    ];
    for (pattern, path, expected) in cases {
        assert_eq!(matches(pattern, path.as_bytes()), *expected, "`{pattern}` on `{path}`");
    }
}

#[test]
fn bytes_that_are_no_text_are_characters() {
    assert!(matches("/a?", b"/a\xff"));
    assert!(matches("/a*", b"/a\xff\xfe\n"));
    assert!(matches("/a[!b]", b"/a\xff"));
    assert!(!matches("/a[\u{a1}-\u{ff}]", b"/a\xff"));
}

#[test]
fn values_are_inserted_literally() {
    let text = agent("    files: { read: [\"${CWD}/**\"], write: [\"${HOME}/x\"] }\n");
    let file = parse("p.yaml", text.as_bytes()).unwrap();
    let odd = SessionFacts { home: b"/h[a]*\xff{b,c}".to_vec(), user: b"u".to_vec(), cwd: b"/a?".to_vec() };
    let c = file.agent("a").unwrap().compile(&odd, &[], Limits::default()).unwrap();
    assert_eq!(c.mask(b"/a?/x"), right::READ);
    assert_eq!(c.mask(b"/ab/x"), 0);
    assert_eq!(c.mask(b"/h[a]*\xff{b,c}/x"), right::WRITE);
    assert_eq!(c.mask(b"/ha\xffb/x"), 0);
}

#[test]
fn the_root_as_working_directory_means_everything() {
    let text = agent("    files: { read: [\"${CWD}/**\"], write: [\"${CWD}\"], deny: [\"${CWD}/x\"] }\n");
    let file = parse("p.yaml", text.as_bytes()).unwrap();
    let root = SessionFacts { home: b"/root".to_vec(), user: b"root".to_vec(), cwd: b"/".to_vec() };
    let c = file.agent("a").unwrap().compile(&root, &[], Limits::default()).unwrap();
    assert_eq!(c.mask(b"/"), right::READ | right::WRITE);
    assert_eq!(c.mask(b"/x"), right::READ | right::DENY);
    assert_eq!(c.mask(b"/a/b"), right::READ);
}

#[test]
fn rights_of_all_lists_meet_in_one_mask() {
    let c = compile(&agent(concat!(
        "    exec: { allow: [\"/bin/*\"], deny: [\"/bin/nc\"], libraries: [\"/lib/**\"] }\n",
        "    files: { read: [\"/**\"], write: [\"/tmp/**\"], deny: [\"/tmp/secret\"], readonly: [\"**/.git/config\"] }\n",
        "    network: { unix: [\"/tmp/*.sock\", \"@x*\"] }\n",
    )));
    assert_eq!(c.mask(b"/bin/ls"), right::READ | right::EXEC);
    assert_eq!(c.mask(b"/bin/nc"), right::READ | right::EXEC | right::EXEC_DENY);
    assert_eq!(c.mask(b"/tmp/secret"), right::READ | right::WRITE | right::DENY);
    assert_eq!(c.mask(b"/tmp/a.sock"), right::READ | right::WRITE | right::UNIX);
    assert_eq!(c.mask(b"/tmp/.git/config"), right::READ | right::WRITE | right::READONLY);
    assert_eq!(c.mask(b"/lib/libc.so.6"), right::READ | right::LIBRARY);
    assert_eq!(c.mask(b"@xy"), right::UNIX);
    assert_eq!(c.mask(b"/var/lib/lictor/state"), right::READ | right::DENY | right::READONLY);
}

#[test]
fn move_classes_tell_apart_what_forbids_differently_below() {
    let c = compile(&agent(concat!(
        "    files:\n",
        "      read: [\"/r/**\", \"/s/**\"]\n",
        "      write: [\"/r/w/**\"]\n",
        "      deny: [\"/r/a/secret\", \"**/.env\"]\n",
        "      readonly: [\"**/.git/config\"]\n",
    )));
    assert!(c.same_below(b"/r/x", b"/r/y"));
    assert!(c.same_below(b"/r/x/y/z", b"/s/y"), "write does not count: both ends are checked on their own");
    assert!(c.same_below(b"/r/w", b"/r/x"));
    assert!(!c.same_below(b"/r/a", b"/r/b"), "a secret below would be found under a new name");
    assert!(!c.same_below(b"/r/x", b"/r/.git"));
    assert!(!c.same_below(b"/r/x", b"/t"), "what could be read could not be any more, or the other way");
    assert!(c.same_below(b"/t", b"/u"));
    assert!(!c.same_below(b"/var", b"/war"), "Lictor's own trees are below");
}

#[test]
fn without_a_read_list_reading_does_not_tell_directories_apart() {
    let c = compile(&agent("    files: { write: [\"/w/**\"] }\n"));
    assert!(c.same_below(b"/w", b"/x"));
}

#[test]
fn the_table_is_well_formed() {
    let c = compile(&agent(
        "    files: { read: [\"/usr/**\", \"/etc/*.conf\", \"**/x\"], deny: [\"/etc/shadow\", \"**/.ssh/**\"] }\n",
    ));
    check_table(&c.automaton);
}

fn check_table(a: &Automaton) {
    let bases: std::collections::BTreeSet<u32> = a
        .cells
        .iter()
        .flat_map(|c| [c.default, if c.check == UNUSED { 0 } else { c.next }])
        .chain([a.start, 0])
        .collect();
    assert!(a.cells.len() > *bases.last().unwrap() as usize + 257, "a walk must never leave the table");
    for (i, c) in a.cells.iter().enumerate() {
        assert_ne!(c.check, 0, "nothing leads out of the dead state");
        if c.check != UNUSED {
            assert!((c.check as usize) < i && i <= c.check as usize + 256);
            assert_ne!(c.next, a.cells[c.check as usize].default, "only exceptions are stored");
        }
    }
    assert_eq!(a.cells[0].default, 0);
    assert_eq!(a.cells[0].accept & 0xff, 0);
}

#[test]
fn anchors_name_single_objects_and_globs_the_rest() {
    let c = compile(&agent(concat!(
        "    exec: { deny: [\"/usr/bin/nmap\"] }\n",
        "    files: { deny: [\"/etc/shadow\", \"${HOME}/.ssh/**\", \"**/.env\", \"/opt/k*/x\", \"/opt/**/y\", \"/srv/{a,b*}/{c,d/e}/**\", \"/var/{x,y}{1,2}\"], readonly: [\"/etc/shadow\", \"/etc/**\"] }\n",
    )));
    let anchors: Vec<(String, u8, bool)> =
        c.anchors.iter().map(|a| (String::from_utf8(a.path.clone()).unwrap(), a.rights, a.subtree)).collect();
    assert_eq!(
        anchors,
        [
            ("/etc".to_owned(), right::READONLY, true),
            ("/etc/shadow".to_owned(), right::DENY | right::READONLY, false),
            ("/home/u/.ssh".to_owned(), right::DENY, true),
            ("/srv/a/c".to_owned(), right::DENY, true),
            ("/srv/a/d/e".to_owned(), right::DENY, true),
            ("/usr/bin/nmap".to_owned(), right::EXEC_DENY, false),
            ("/var/lib/lictor".to_owned(), right::DENY | right::READONLY, true),
            ("/var/x1".to_owned(), right::DENY, false),
            ("/var/x2".to_owned(), right::DENY, false),
            ("/var/y1".to_owned(), right::DENY, false),
            ("/var/y2".to_owned(), right::DENY, false),
        ]
    );
    let globs = c.deny_globs();
    let found: Vec<(&str, &[u8], bool, bool)> =
        globs.iter().map(|g| (g.text, g.directory.as_slice(), g.subtree, g.any_depth)).collect();
    assert_eq!(
        found,
        [
            ("**/.env", b"/".as_slice(), false, true),
            ("/opt/k*/x", b"/opt".as_slice(), false, false),
            ("/opt/**/y", b"/opt".as_slice(), false, true),
            ("/srv/{a,b*}/{c,d/e}/**", b"/srv".as_slice(), true, false),
        ]
    );
    assert!(globs[0].names(b"/a/.env") && !globs[0].names(b"/a/.envrc") && globs[0].leads_below(b"/a/b"));
    assert!(globs[1].names(b"/opt/kk/x") && globs[1].leads_below(b"/opt/kk"));
    assert!(!globs[1].leads_below(b"/opt/j") && !globs[1].leads_below(b"/opt/kk/x"));
    assert!(globs[2].leads_below(b"/opt") && globs[2].leads_below(b"/opt/z") && !globs[2].leads_below(b"/optional"));
    assert!(globs[3].names(b"/srv/b1/d/e") && globs[3].names(b"/srv/b1/c") && !globs[3].names(b"/srv/a/c"));
    assert!(
        globs[3].leads_below(b"/srv/b1/d") && !globs[3].leads_below(b"/srv/b1/c") && !globs[3].leads_below(b"/srv/c")
    );
}

/// A second reading of the pattern language, by backtracking, to hold the automaton against.
fn naive(p: &[u8], s: &[u8], at_start: bool) -> bool {
    let Some(&c) = p.first() else { return s.is_empty() };
    let bounded = |rest: &[u8]| rest.is_empty() || rest[0] == b'/';
    if at_start && p.starts_with(b"**/") {
        return naive(&[b"/", p].concat(), s, false);
    }
    if p.starts_with(b"/**") && bounded(&p[3..]) {
        let below = s.first() == Some(&b'/') && (1..=s.len()).any(|i| naive(&p[3..], &s[i..], false));
        return below || naive(&p[3..], s, false);
    }
    if p.starts_with(b"**") {
        return (0..=s.len()).any(|i| naive(&p[2..], &s[i..], false));
    }
    match c {
        b'*' => {
            let end = s.iter().position(|b| *b == b'/').unwrap_or(s.len());
            (0..=end).any(|i| naive(&p[1..], &s[i..], false))
        }
        b'?' => s.first().is_some_and(|b| *b != b'/') && naive(&p[1..], &s[1..], false),
        b'[' => {
            let end = p.iter().position(|b| *b == b']').unwrap();
            let inside = s.first().is_some_and(|b| *b != b'/' && (p[1] == b'!') != p[1..end].contains(b));
            inside && naive(&p[end + 1..], &s[1..], false)
        }
        b'{' => {
            let end = p.iter().position(|b| *b == b'}').unwrap();
            p[1..end].split(|b| *b == b',').any(|alt| naive(&[alt, &p[end + 1..]].concat(), s, false))
        }
        c => s.first() == Some(&c) && naive(&p[1..], &s[1..], false),
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[abc]".prop_map(|s| s),
        2 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("[!ab]".to_owned()),
        1 => Just("{a,bc}".to_owned()),
        1 => Just("{,b}".to_owned()),
    ];
    let component = prop_oneof![
        4 => prop::collection::vec(piece, 1..4).prop_map(|v| v.concat().replace("**", "*a")),
        1 => Just("**".to_owned()),
        1 => Just("a**b".to_owned()),
    ];
    prop::collection::vec(component, 1..4).prop_map(|v| format!("/{}", v.join("/")))
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[abc]{1,3}", 0..4).prop_map(|v| format!("/{}", v.join("/")))
}

fn read_of(c: &Compiled, path: &str) -> u8 {
    c.mask(path.as_bytes()) & (right::READ | right::WRITE | right::DENY | right::READONLY)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_automaton_says_what_the_patterns_say(
        lists in prop::collection::vec(prop::collection::vec(pattern(), 0..5), 4),
        paths in prop::collection::vec(path(), 40),
    ) {
        let keys = ["read", "write", "deny", "readonly"];
        let bits = [right::READ, right::WRITE, right::DENY, right::READONLY];
        let body: String = keys.iter().zip(&lists)
            .map(|(k, l)| format!("      {k}: {}\n", serde_json::to_string(l).unwrap()))
            .collect();
        let text = agent(&format!("    files:\n{body}"));
        // A pattern in two lists, or an allowed path that is denied, is an error of its own.
        let Ok(file) = parse("p.yaml", text.as_bytes()) else { return Ok(()) };
        let Ok(c) = file.agent("a").unwrap().compile(&facts(), &[], Limits::default()) else { return Ok(()) };
        check_table(&c.automaton);
        for path in &paths {
            let expected = lists.iter().zip(bits)
                .filter(|(l, _)| l.iter().any(|p| naive(p.as_bytes(), path.as_bytes(), true)))
                .fold(0, |mask, (_, bit)| mask | bit);
            prop_assert_eq!(read_of(&c, path), expected, "{:?} on {}", lists, path);
            for (list, bit) in lists.iter().zip(bits) {
                let named = list.iter().any(|p| naive(p.as_bytes(), path.as_bytes(), true));
                prop_assert_eq!(c.why(bit, path.as_bytes()).rule.ends_with(']'), named);
            }
        }
    }

    #[test]
    fn equal_move_classes_mean_equal_rights_below(
        deny in prop::collection::vec(pattern(), 1..5),
        dirs in prop::collection::vec(path(), 6),
        below in prop::collection::vec(path(), 20),
    ) {
        let text = agent(&format!("    files: {{ deny: {} }}\n", serde_json::to_string(&deny).unwrap()));
        let c = compile(&text);
        for a in &dirs {
            for b in &dirs {
                if c.same_below(a.as_bytes(), b.as_bytes()) {
                    for rest in &below {
                        let (x, y) = (format!("{a}{rest}"), format!("{b}{rest}"));
                        prop_assert_eq!(c.mask(x.as_bytes()) & right::DENY, c.mask(y.as_bytes()) & right::DENY);
                    }
                }
            }
        }
    }
}
