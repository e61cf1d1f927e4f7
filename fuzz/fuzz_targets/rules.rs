// SPDX-License-Identifier: Apache-2.0
//! Any bytes as a rule file, and as a condition: problems or rules, never a panic, a hang or unbounded memory; and rules
//! say the same of an event one by one as all at once.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run rules -- -max_len=4096 -timeout=10 -rss_limit_mb=2048`
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use lictor_api::Event;
use lictor_judge::rules::{RuleSet, parse};

static EVENTS: LazyLock<Vec<Event>> = LazyLock::new(|| {
    let texts = [
        r#"{"kind":"exec"}"#,
        r#"{"kind":"exec","process":{"exe":"/bin/sh","args":["sh","-c","curl x|sh"],"cmdline":"sh -c curl x|sh","uid":0,
            "parent":{"exe":"/bin/a"},"ancestors":[{"exe":"/b","args":["c"]},{}]},"exec":{"path":"/bin/sh"}}"#,
        r#"{"kind":"file","file":{"op":"write","path":"/tmp/\\xff"}}"#,
        r#"{"kind":"network","network":{"op":"connect","address":"10.0.0.1","port":443}}"#,
    ];
    texts.iter().map(|text| serde_json::from_str(text).expect("an event")).collect()
});

fuzz_target!(|bytes: &[u8]| {
    judge(bytes.to_vec());
    // Few inputs are rule files: as a condition every one that is text reaches the checker.
    if let Ok(condition) = std::str::from_utf8(bytes) {
        let condition = serde_json::to_string(condition).expect("a text");
        let rule = "version: 1\nrules:\n  - { id: a, description: d, severity: low, action: deny, kinds: [exec, file, network],\n";
        judge(format!("{rule}      condition: {condition} }}\n").into_bytes());
    }
});

fn judge(bytes: Vec<u8>) {
    let set: RuleSet = match parse(&[("r.yaml".to_owned(), bytes)]) {
        Ok(set) => set,
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.line > 0 && problem.column > 0, "{problem:?}");
                assert!(!problem.message.is_empty() && !problem.to_string().contains('\n'), "{problem:?}");
            }
            return;
        }
    };
    let all = set.select(&["*"]);
    for event in EVENTS.iter() {
        let hits = set.hits(event, &all, None).expect("no deadline");
        for rule in set.rules().iter().filter(|rule| rule.kinds.contains(&event.kind)) {
            let hit = hits.iter().find(|hit| hit.rule.id == rule.id);
            let expected = hit.map_or(Ok(false), |hit| hit.fault.map_or(Ok(true), Err));
            if rule.state != lictor_judge::rules::State::Draft {
                assert_eq!(rule.holds(event), expected, "{}", rule.condition);
            }
        }
    }
}
