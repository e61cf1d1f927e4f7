// SPDX-License-Identifier: Apache-2.0
//! Any bytes as a policy: problems or tables, never a panic, a hang or unbounded memory.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run policy -- -max_len=4096 -timeout=10 -rss_limit_mb=2048`
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use lictor_engine::policy::{Access, Limits, Protocol, SessionFacts, parse, right};

fuzz_target!(|bytes: &[u8]| {
    let file = match parse("p.yaml", bytes) {
        Ok(file) => file,
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.line > 0 && problem.column > 0, "{problem:?}");
                assert!(!problem.message.is_empty() && !problem.to_string().contains('\n'), "{problem:?}");
            }
            return;
        }
    };
    let facts = SessionFacts { home: b"/home/u".to_vec(), user: b"u".to_vec(), cwd: b"/home/u/w[1]".to_vec() };
    for agent in file.agents() {
        let guard = [b"/var/lib/lictor".to_vec()];
        let Ok(compiled) = agent.compile(&facts, &guard, Limits { max_cells: 1 << 16 }) else { continue };
        assert!(compiled.automaton.cells.len() <= 1 << 16);
        for path in [&b"/"[..], b"/etc/shadow", b"/home/u/w[1]/a b", b"@x", b"/\xff\n", bytes] {
            // The explanation, found pattern by pattern, must agree with the table.
            let mask = compiled.mask(path);
            for bit in [right::READ, right::WRITE, right::EXEC, right::EXEC_DENY, right::LIBRARY, right::UNIX] {
                let named = compiled.why(bit, path).rule.ends_with(']');
                assert_eq!(named, mask & bit != 0, "bit {bit} of {path:?}");
            }
            let _ = compiled.decide_file(Access::Write, path);
            let _ = compiled.decide_exec(path, Some(&[0; 32]));
            let _ = compiled.decide_unix(path);
        }
        assert!(!compiled.decide_file(Access::Read, b"/var/lib/lictor/state").is_allowed());
        let _ = compiled.decide_connect(IpAddr::V4(Ipv4Addr::LOCALHOST), 80, Protocol::Tcp);
        let _ = compiled.deny_globs();
    }
});
